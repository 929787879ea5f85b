package dev.reprise.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.json.Json;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code reprise render}. */
class RenderCommandTest {
    private static final String CONVERSATION =
            "{\"messages\":[{\"role\":\"user\",\"content\":\"Grüße 🙂 <|im_end|>\"}]}";
    private static final String CHAT_ML =
            "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
                    + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

    @TempDir
    Path directory;

    private String file(String name, String text) throws IOException {
        return Files.writeString(directory.resolve(name), text).toString();
    }

    private Program render(String template, String input, String... more) throws IOException {
        List<String> arguments = new ArrayList<>(
                List.of("render", "--template", file("template.jinja", template), "--input",
                        file("input.json", input)));
        arguments.addAll(List.of(more));
        return Program.run(arguments.toArray(String[]::new));
    }

    @Test
    void theRenderingIsAllThatIsPrinted() throws IOException {
        Program program = render(CHAT_ML, CONVERSATION).succeeds();
        assertArrayEquals(
                "<|im_start|>user\nGrüße 🙂 <|im_end|><|im_end|>\n<|im_start|>assistant\n"
                        .getBytes(StandardCharsets.UTF_8),
                program.bytes());
        assertEquals("", program.err());
        assertEquals("", render("", "{}").succeeds().out());
    }

    @Test
    void variablesArePassedAsTheyAre() throws IOException {
        assertEquals(
                "1.0 12345678901234567890 é [] False",
                render("{{ a }} {{ b }} {{ c }} {{ d }} {{ add_generation_prompt }}",
                        " \n{\"a\":1.0,\"b\":12345678901234567890,\"c\":\"\\u00e9\",\"d\":[],"
                                + "\"add_generation_prompt\":false}").out());
        assertEquals("True", render("{{ add_generation_prompt }}", " { } ").out());
        assertEquals("<b>", render("{{ bos_token }}", "{\"bos_token\": \"<b>\"}").out());
    }

    @Test
    void theInputMayComeFromStandardInput() throws IOException {
        String template = file("template.jinja", CHAT_ML);
        assertEquals(
                render(CHAT_ML, CONVERSATION).out(),
                Program.runWithInput(CONVERSATION, "render", "--template", template, "--input", "-").succeeds().out());
    }

    @Test
    void theDayCanBeGiven() throws IOException {
        assertEquals("26 Jul 2026",
                render("{{ strftime_now('%d %b %Y') }}", "{}", "--now", "2026-07-26").succeeds().out());
        render("x", "{}", "--now", "yesterday").fails(ExitCode.USAGE);
    }

    @Test
    void templateErrorsHaveAStatusAndALine() throws IOException {
        Program raised = render("a\n{{ raise_exception('roles must alternate') }}", "{}").fails(ExitCode.TEMPLATE);
        assertEquals("", raised.out());
        assertEquals("reprise: line 2 of the chat template: roles must alternate\n", raised.err());
        Program malformed = render("a\n\n{% if %}", "{}").fails(ExitCode.TEMPLATE);
        assertTrue(malformed.err().contains("line 3"), malformed.err());
    }

    @Test
    void wrongUseIsNamed() throws IOException {
        String input = file("in.json", CONVERSATION);
        assertTrue(render(CHAT_ML, CONVERSATION, "--ids").fails(ExitCode.USAGE).err().contains("--ids needs MODEL"));
        assertTrue(Program.run("render", "--input", input).fails(ExitCode.USAGE).err()
                .contains("a template is missing"));
        assertTrue(Program.run("render", Program.STORIES).fails(ExitCode.USAGE).err().contains("--input"));
        assertTrue(render(CHAT_ML, "[1]").fails(ExitCode.USAGE).err().contains("no JSON object"));
        assertTrue(render(CHAT_ML, "{\"messages\":").fails(ExitCode.USAGE).err().contains("input.json: JSON"));
        assertTrue(render(CHAT_ML, "{}", "--template-name", "x").fails(ExitCode.USAGE).err()
                .contains("--template-name"));
        assertTrue(Program.run("render", Program.STORIES, "--input", "none.json").fails(ExitCode.IO).err()
                .contains("none.json"));
        Program without = Program.run("render", Program.STORIES, "--input", input).fails(ExitCode.TEMPLATE);
        assertTrue(without.err().contains("no chat template") && without.err().contains("--template FILE"),
                without.err());
    }

    /** The story model has no template, but a vocabulary. */
    @Test
    void aModelWithAnotherTemplateGivesItsTokens() throws IOException {
        String template = file("t.jinja", "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}");
        String input = file("in.json", "{\"messages\":[{\"content\":\"Once upon<|endoftext|>\"}]}");
        String[] text = {"render", Program.STORIES, "--template", template, "--input", input};
        assertEquals("<|endoftext|>Once upon<|endoftext|><|endoftext|>", Program.run(text).succeeds().out());
        String inner = Program.run("tokenize", Program.STORIES, "-p", "Once upon<|endoftext|>", "--ids").out();
        assertEquals(
                "0\n" + inner + "0\n",
                Program.run("render", Program.STORIES, "--template", template, "--input", input, "--ids").succeeds()
                        .out());
    }

    @Test
    void publishedTemplatesRenderExactly() throws IOException {
        Path folder = TestData.path("templates");
        Set<String> known = Files.readAllLines(Path.of("../../native/text/known-differences.txt")).stream()
                .filter(line -> !line.startsWith("#") && !line.isBlank())
                .map(line -> line.split("\t")[0])
                .collect(Collectors.toSet());
        Map<?, ?> data = (Map<?, ?>) Json.parse(Files.readString(folder.resolve("cases.json")));
        Map<?, ?> inputs = (Map<?, ?>) data.get("inputs");
        List<String> wrong = new ArrayList<>();
        int tried = 0;
        for (Object element : (List<?>) data.get("renders")) {
            Map<?, ?> render = (Map<?, ?>) element;
            String name = render.get("template") + " " + render.get("case");
            Map<Object, Object> variables = new LinkedHashMap<>(inputs);
            variables.remove("cases");
            variables.put("strftime_now", variables.get("date_string"));  // whatever the format: so they were rendered
            variables.putAll((Map<?, ?>) ((Map<?, ?>) inputs.get("cases")).get(render.get("case")));
            Program program = Program.runWithInput(
                    Json.write(variables), "render", "--template",
                            folder.resolve((String) render.get("template")).toString(),
                    "--input", "-");
            boolean right = render.get("expected") instanceof String expected
                    ? program.exitCode() == ExitCode.OK && program.out().equals(expected)
                    : program.exitCode() == ExitCode.TEMPLATE && program.out().isEmpty();
            if (!right && !known.contains(name)) {
                wrong.add(name + ": " + program.err());
            }
            tried++;
        }
        assertTrue(tried > 300, tried + " renders");
        assertEquals(List.of(), wrong);
    }
}
