package dev.reprise.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.GenerationOptions;
import dev.reprise.Model;
import dev.reprise.Prompt;
import dev.reprise.Sampling;
import dev.reprise.Session;
import dev.reprise.json.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code reprise chat}, with -p and with lines of standard input. */
class ChatCommandTest {
    private static final String SCHEMA =
            "{\"type\":\"object\",\"properties\":{\"colour\":{\"type\":\"string\",\"maxLength\":12},"
            + "\"number\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":99}},\"required\":[\"colour\",\"number\"],"
            + "\"additionalProperties\":false}";
    private static final String TOOLS =
            "[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"description\":\"Tells the "
            + "weather\",\"parameters\":{\"type\":\"object\","
            + "\"properties\":{\"city\":{\"type\":\"string\",\"maxLength\":20}},"
            + "\"required\":[\"city\"],\"additionalProperties\":false}}},{\"name\":\"now\"}]";

    @TempDir
    Path directory;

    private String file(String name, String text) throws IOException {
        return Files.writeString(directory.resolve(name), text).toString();
    }

    private static Program answer(String prompt, String... more) {
        List<String> arguments = new ArrayList<>(List.of("chat", TestData.chatModel(), "-p", prompt, "--temp", "0"));
        arguments.addAll(List.of(more));
        return Program.run(arguments.toArray(String[]::new));
    }

    private static int[] ids(String lines) {
        return Arrays.stream(lines.split("\n")).mapToInt(Integer::parseInt).toArray();
    }

    @Test
    void theAnswerIsWhatTheRenderingContinuesWith() throws IOException {
        String input = file("in.json", "{\"messages\":[{\"role\":\"system\",\"content\":\"Be terse. <|im_end|>\"},"
                + "{\"role\":\"user\",\"content\":\"Name three colours.\"}]}");
        int[] prompt = ids(Program.run("render", TestData.chatModel(), "--input", input, "--ids").succeeds().out());
        int[] expected;
        try (Model model = Model.load(Path.of(TestData.chatModel())); Session session = model.newSession()) {
            expected = session.complete(
                    Prompt.ids(prompt), GenerationOptions.builder().maxTokens(24).sampling(Sampling.greedy()).build())
                            .ids();
        }
        String[] options = {"--system", "Be terse. <|im_end|>", "-n", "24"};
        String system = "Be terse. <|im_end|>";
        Program ids = answer("Name three colours.", "--system", system, "-n", "24", "--ids").succeeds();
        Program text = answer("Name three colours.", "--system", system, "-n", "24").succeeds();

        assertArrayEquals(expected, ids(ids.out()));
        String decoded = Program.runWithInput(ids.out(), "detokenize", TestData.chatModel()).out();
        assertEquals(decoded.replace("<|im_end|>", "").stripTrailing(), text.out().stripTrailing());
    }

    @Test
    void theEndTokenIsAmongTheIds() {
        String[] lines = answer("Say yes.", "--ids", "--regex", "yes").succeeds().out().split("\n");
        assertEquals("2", lines[lines.length - 1]);  // <|im_end|>
        assertEquals("yes\n", answer("Say yes.", "--regex", "yes").succeeds().out());
    }

    @Test
    void aSchemaIsObeyedAndACutAnswerHasAStatus() throws IOException {
        String schema = file("schema.json", SCHEMA);
        Program program = answer("Name a colour and a number.", "--json-schema", schema).succeeds();
        Map<?, ?> json = (Map<?, ?>) Json.parse(program.out());
        assertTrue(json.get("colour") instanceof String && json.get("number") instanceof Long, program.out());

        Program cut = answer("Name a colour and a number.", "--json-schema", schema, "-n", "3").fails(ExitCode.CUT);
        assertTrue(program.out().startsWith(cut.out().strip()), cut.out());
        answer("Name a colour and a number.", "-n", "3").succeeds();
    }

    @Test
    void aGbnfGrammarIsObeyed() throws IOException {
        assertEquals("ja!\n", answer("?", "--gbnf", file("g", "root ::= \"ja\" \"!\"\n")).succeeds().out());
    }

    @Test
    void aLarkGrammarIsObeyed() throws IOException {
        assertEquals("ja!\n", answer("?", "--lark", file("l", "start: \"ja\" \"!\"\n")).succeeds().out());
    }

    @Test
    void aToolThatMustBeCalledIsPrintedAsALineOfJson() throws IOException {
        String tools = file("tools.json", TOOLS);
        for (String choice : new String[] {"weather", "required"}) {
            Program program =
                    answer("What is the weather in Rome?", "--tools", tools, "--tool-choice", choice).succeeds();
            Map<?, ?> call = (Map<?, ?>) Json.parse(program.out().lines().findFirst().orElseThrow());
            assertEquals(List.of("name", "arguments"), List.copyOf(call.keySet()));
            if (choice.equals("weather")) {
                assertEquals("weather", call.get("name"));
                assertTrue(((Map<?, ?>) call.get("arguments")).get("city") instanceof String, program.out());
            }
        }
        answer("x", "--tools", tools, "--tool-choice", "weather", "-n", "4").fails(ExitCode.CUT);
        Program unknown = answer("x", "--tools", tools, "--tool-choice", "cinema").fails(ExitCode.USAGE);
        assertTrue(unknown.err().contains("cinema"), unknown.err());
    }

    @Test
    void wrongUseIsNamed() throws IOException {
        assertTrue(Program.run("chat").fails(ExitCode.USAGE).err().contains("MODEL is missing"));
        assertTrue(Program.run("chat", "-p", "x").fails(ExitCode.USAGE).err().contains("MODEL is missing"));
        assertTrue(Program.run("chat", Program.STORIES, "--ids").fails(ExitCode.USAGE).err()
                .contains("--ids needs -p"));
        Program both =
                Program.run("chat", Program.STORIES, "-p", "x", "--regex", "a", "--gbnf", "b").fails(ExitCode.USAGE);
        assertTrue(both.err().contains("--regex") && both.err().contains("--gbnf"), both.err());
        Program loud = Program.run("chat", Program.STORIES, "-p", "x", "--reasoning", "loud").fails(ExitCode.USAGE);
        assertTrue(loud.err().contains("--reasoning") && loud.err().contains("loud"), loud.err());
        for (String tools : List.of(
                "{}", "[1]", "[{}]", "[{\"function\":2}]", "[{\"name\":\"a b\"}]",
                "[{\"name\":\"a\",\"parameters\":3}]", "[", "[{\"type\":\"web\",\"name\":\"a\"}]")) {
            Program program = Program.run("chat", Program.STORIES, "-p", "x", "--tools", file("tools.json", tools));
            assertTrue(program.fails(ExitCode.USAGE).err().contains("tools.json"), program.err());
        }
        Program none = Program.run("chat", Program.STORIES, "-p", "x", "--json-schema", "none.json").fails(ExitCode.IO);
        assertTrue(none.err().contains("none.json"), none.err());
        Program.run("chat", Program.STORIES, "-p", "x").fails(ExitCode.TEMPLATE);
    }

    /** The story model with a template handed in, in front of which constraints are looked at. */
    @Test
    void whatCannotBeEnforcedIsRefusedByName() throws IOException {
        String template = file("t.jinja", "{{ messages[0].content }}");
        Program program = Program.run(
                "chat", Program.STORIES, "--template", template, "-p", "x", "--json-schema",
                file("s.json", "{\"type\":\"object\",\"unevaluatedProperties\":false}"));
        assertTrue(program.fails(ExitCode.UNSUPPORTED).err().contains("unevaluatedProperties"), program.err());
        assertEquals("", program.out());
    }

    @Test
    void aConversationIsSavedForgottenAndLoaded() {
        Path saved = directory.resolve("it.chat");
        String script = String.join("\n", "What is two \\", "plus two?", "/stats", "/save " + saved, "/reset", "/stats",
                "/load " + saved, "/stats", "Thank you.", "/stats", "/quit", "never sent");
        Program program =
                Program.runWithInput(script, "chat", TestData.chatModel(), "--temp", "0", "-n", "16").succeeds();
        List<String> messages = Pattern.compile("(?m)^\\d+ messages").matcher(program.out()).results()
                .map(match -> match.group()).toList();
        assertEquals(List.of("2 messages", "0 messages", "2 messages", "4 messages"), messages);
        List<Integer> evaluated = Pattern.compile("(?m)^prompts: (\\d+)").matcher(program.out()).results()
                .map(match -> Integer.parseInt(match.group(1))).toList();
        assertEquals(0, evaluated.get(2));
        assertTrue(evaluated.get(3) < evaluated.get(0), evaluated.toString());
        assertTrue(program.err().contains("Loaded 2 messages"), program.err());
    }

    @Test
    void theOldestTurnsAreLeftOutWhereThatIsAskedFor() {
        String script = "Say something about the sea.\n".repeat(4) + "/stats\n";
        String[] arguments = {"chat", TestData.chatModel(), "--temp", "0", "-n", "8", "--context", "110"};
        Program overflows = Program.runWithInput(script, arguments).fails(ExitCode.CONTEXT_OVERFLOW);
        assertTrue(overflows.err().contains("110"), overflows.err());
        List<String> more = new ArrayList<>(List.of(arguments));
        more.add("--drop-oldest");
        Program drops = Program.runWithInput(script, more.toArray(String[]::new)).succeeds();
        assertTrue(drops.out().contains("8 messages; "), drops.out());
    }

    /** Were each answer of a turn a call, the turn would never end. The story model never calls by itself. */
    @Test
    void aCallThatIsForcedIsForcedOnceATurn() throws IOException {
        String template = file("t.jinja", "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}"
                + "{{ eos_token }}{% endfor %}assistant: ");
        String tools = file("tools.json", "[{\"name\":\"now\",\"parameters\":{\"type\":\"object\","
                + "\"properties\":{},\"additionalProperties\":false}}]");
        String script = "What time is it?\nnoon\n/stats\n";
        Program program = Program.runWithInput(script, "chat", Program.STORIES, "--template",
                template, "--tools", tools, "--tool-choice", "now", "--temp", "0", "-n", "30").succeeds();
        List<String> lines = program.out().lines().toList();
        assertEquals("now", ((Map<?, ?>) Json.parse(lines.get(0))).get("name"));
        assertTrue(program.out().contains("4 messages; "), program.out());
    }

    @Test
    void commandsThatFailEndAScript() throws IOException {
        for (String[] wrong : new String[][] {
            {"/load " + file("no.chat", "nonsense"), "no saved chat"}, {"/fly", "/fly"}, {"/save", "/save needs"},
            {"/schema " + file("s", "{\"type\":7}") + "\nHello", "type, in #"}
        }) {
            Program program = Program.runWithInput(wrong[0] + "\n", "chat", TestData.chatModel());
            assertTrue(program.exitCode() != ExitCode.OK && program.err().contains(wrong[1]), program.err());
            assertTrue(!program.err().contains("\tat "), program.err());
        }
    }

    @Test
    void theSystemMessageToolsAndSchemaCanBeChanged() throws IOException {
        String script =
                String.join("\n", "/tools", "/tools " + file("tools.json", TOOLS), "/schema " + file("s.json", SCHEMA),
                "/tools " + file("none.json", "[]"), "/system Be terse.", "A colour and a number?", "/schema off",
                        "/tools off", "/system", "/system off", "/help");
        Program program = Program.runWithInput(script, "chat", TestData.chatModel(), "--temp", "0").succeeds();
        List<String> lines = program.out().lines().toList();
        assertEquals(List.of("no tools", "weather: Tells the weather", "now"), lines.subList(0, 3));
        assertEquals(SCHEMA, lines.get(3));
        assertEquals("no tools", lines.get(4));
        assertEquals("Be terse.", lines.get(5));
        assertTrue(Json.parse(lines.get(6)) instanceof Map, lines.get(6));
        assertEquals("no schema", lines.get(7));
        assertEquals(List.of("no tools", "Be terse.", "no system message"), lines.subList(8, 11));
    }
}
