package dev.reprise.chat;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.reprise.ChatTemplate;
import dev.reprise.Message;
import dev.reprise.Role;
import dev.reprise.TemplateException;
import dev.reprise.Tool;
import dev.reprise.ToolCall;
import dev.reprise.json.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** What a template writes of reasoning, text and calls reads back as it was, whole and in pieces cut anywhere. */
class AnswerFormatTest {
    private static final String SCHEMA =
            """
            {"type": "object", "properties": {"city": {"type": "string", "description": "c"},
             "n": {"type": "integer"}, "deep": {"type": "object", "description": "o",
             "properties": {"q": {"type": "array"}, "s": {"type": "string"}}},
             "list": {"type": "array", "description": "l", "items": {"type": "integer"}}, "b": {"type": "boolean"}},
             "required": ["city"]}""";
    private static final List<Tool> TOOLS =
            List.of(Tool.of("get_weather", "Gets it", SCHEMA), Tool.of("other-tool", "d", SCHEMA));
    private static final List<String> ARGUMENTS = List.of(
            "{\"city\": \"Paris\"}",
            "{}",
            "{\"city\": \"Zür\\\"ich's <b>\\n{x}\\\\ end\", \"n\": -3, \"deep\": {\"q\": [1, 2.5, \"a'b\\\"c\", true], "
                    + "\"s\": \"é😀\"}, \"list\": [1, 2, 3], \"b\": false}");
    private static final Map<String, String> CONSTANTS = Map.of("bos_token", "<s>", "eos_token", "</s>");

    /** Templates by name: the published ones of the test data. */
    private static Map<String, String> published() throws IOException {
        String root = System.getenv("REPRISE_TESTDATA");
        assumeTrue(root != null, "skipped: REPRISE_TESTDATA is not set, published templates are not tested");
        Map<String, String> templates = new LinkedHashMap<>();
        try (var files = Files.newDirectoryStream(Path.of(root, "templates"), "*.jinja")) {
            for (Path file : files) {
                templates.put(file.getFileName().toString(), Files.readString(file));
            }
        }
        return templates;
    }

    /** The kinds of notation that templates have, in small. */
    private static Map<String, String> small() {
        String head = "{%- if tools %}{{ tools | tojson }}{% endif %}{%- for m in messages %}<|{{ m.role }}|>"
                + "{%- if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content "
                + "or '' }}"
                + "{%- if m.tool_calls %}";
        String tail = "{% endif %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";
        Map<String, String> templates = new LinkedHashMap<>();
        templates.put("json in tags", head
                + "{% for c in m.tool_calls %}\n<tool_call>\n{\"name\": \"{{ c.function.name }}\", "
                + "\"arguments\": {{ c.function.arguments | tojson }}}\n</tool_call>{% endfor %}" + tail);
        templates.put("json list", head
                + "[TOOL_CALLS][{% for c in m.tool_calls %}{\"name\": \"{{ c.function.name }}\", "
                + "\"arguments\": {{ c.function.arguments | tojson }}, \"id\": \"{{ c.id }}\"}"
                + "{% if not loop.last %}, {% endif %}{% endfor %}]" + tail);
        templates.put("name, then json", head + "{% for c in m.tool_calls %}<f={{ c.function.name }}>"
                + "{{ c.function.arguments | tojson }}</f>{% endfor %}" + tail);
        templates.put("tags", head + "{% for c in m.tool_calls %}\n<call name=\"{{ c.function.name }}\">\n"
                + "{% for k, v in c.function.arguments.items() %}<p name=\"{{ k }}\">{{ v if v is string else v "
                + "| tojson }}</p>\n"
                + "{% endfor %}</call>{% endfor %}" + tail);
        templates.put("key and value", head + "{% for c in m.tool_calls %}<tc>{{ c.function.name }}\n"
                + "{% for k, v in c.function.arguments.items() %}<k>{{ k }}</k>\n<v>{{ v if v is string else v | "
                + "tojson }}</v>\n"
                + "{% endfor %}</tc>{% endfor %}" + tail);
        return templates;
    }

    @Test
    void everyNotationReadsBackExactly() {
        int checked = 0;
        for (Map.Entry<String, String> template : small().entrySet()) {
            int answers = check(template.getKey(), template.getValue());
            assertTrue(answers > 0, template.getKey());
            checked += answers;
        }
        assertTrue(checked >= 400, checked + " answers");
    }

    @Test
    void callsOfPublishedTemplatesReadBackExactly() throws IOException {
        int checked = 0;
        int templates = 0;
        for (Map.Entry<String, String> template : published().entrySet()) {
            int answers = check(template.getKey(), template.getValue());
            checked += answers;
            templates += answers > 0 ? 1 : 0;
        }
        assertTrue(templates >= 38, templates + " templates");
        assertTrue(checked >= 3000, checked + " answers");
    }

    private static AnswerFormat derive(String source) {
        ChatTemplate template = ChatTemplate.of(source);
        return AnswerFormat.derive(template::render, source, CONSTANTS);
    }

    /** How many answers were read. */
    private static int check(String name, String source) {
        AnswerFormat format = derive(source);
        if (!format.supportsTools()) {
            return 0;
        }
        Random random = new Random(1);
        int checked = 0;
        for (int calls = 1; calls <= 2; calls++) {
            for (String text : List.of("", "Let me see.")) {
                for (boolean thinks : new boolean[] {false, true}) {
                    for (String arguments : ARGUMENTS) {
                        Written written = write(source, format, calls, text, thinks, arguments);
                        for (int cut = 0; written != null && cut < 4; cut++) {
                            String label = name + ", " + calls + " calls, cut " + cut + ": " + written.answer();
                            checkOne(label, format, written, cut == 0 ? null : random, cut == 1 ? 1 : 9);
                            checked++;
                        }
                    }
                }
            }
        }
        return checked;
    }

    private record Written(String prompt, String answer, List<ToolCall> calls) {}

    /** Null if the template refuses it. */
    private static Written write(
            String source, AnswerFormat format, int calls, String text, boolean thinks, String arguments) {
        List<ToolCall> asked = new ArrayList<>();
        asked.add(ToolCall.of("call00001", "get_weather", arguments));
        if (calls == 2) {
            asked.add(ToolCall.of("call00002", "other-tool", ARGUMENTS.get(0)));
        }
        Message message = Message.builder(Role.ASSISTANT)
                .text(text)
                .toolCalls(asked)
                .reasoning(thinks ? "I think so" : null)
                .build();
        String user = "hi zzz";
        Map<String, Object> variables = new LinkedHashMap<>(CONSTANTS);
        variables.put("tools", TOOLS.stream().map(format::variables).toList());
        variables.put("messages", List.of(format.variables(Message.user(user))));
        variables.put("add_generation_prompt", true);
        try {
            ChatTemplate template = ChatTemplate.of(source);
            String prompt = template.render(Json.write(variables));
            prompt = prompt.substring(prompt.lastIndexOf(user) + user.length());
            variables.put("messages", List.of(format.variables(Message.user(user)), format.variables(message)));
            variables.put("add_generation_prompt", false);
            String whole = template.render(Json.write(variables));
            whole = whole.substring(whole.lastIndexOf(user) + user.length());
            if (!whole.contains(asked.get(calls - 1).name())) {
                return null;
            }
            // In the history a template may begin an answer in another way than it prompts for one.
            int common = whole.startsWith(prompt) ? prompt.length() : Literals.commonStart(prompt, whole).length();
            return new Written(prompt.substring(0, common), whole.substring(common), asked);
        } catch (TemplateException e) {
            return null;
        }
    }

    private static void checkOne(String label, AnswerFormat format, Written written, Random random, int longest) {
        List<AnswerPart> parts = parse(format.parser(written.prompt(), TOOLS, 1), written.answer(), random, longest);
        List<ToolCall> read = new ArrayList<>();
        Map<Integer, StringBuilder> fragments = new LinkedHashMap<>();
        for (AnswerPart part : parts) {
            if (part instanceof AnswerPart.CallEnd end) {
                read.add(end.call());
            } else if (part instanceof AnswerPart.CallArguments arguments) {
                fragments.computeIfAbsent(arguments.index(), i -> new StringBuilder()).append(arguments.fragment());
            }
        }
        assertEquals(written.calls().size(), read.size(), label + parts);
        for (int i = 0; i < read.size(); i++) {
            assertEquals(written.calls().get(i).name(), read.get(i).name(), label);
            assertEquals(
                    Json.parse(written.calls().get(i).arguments()), Json.parse(read.get(i).arguments()), label + parts);
            assertEquals(read.get(i).arguments(), fragments.get(i).toString(), label);
        }
    }

    private static List<AnswerPart> parse(AnswerParser parser, String answer, Random random, int longest) {
        List<AnswerPart> parts = new ArrayList<>();
        for (int at = 0; at < answer.length(); ) {
            int end = random == null ? answer.length() : Math.min(answer.length(), at + 1 + random.nextInt(longest));
            parts.addAll(parser.append(answer.substring(at, end)));
            at = end;
        }
        parts.addAll(parser.finish());
        return parts;
    }

    @Test
    void reasoningIsAPartOfItsOwn() {
        AnswerFormat format = derive(small().get("json in tags"));
        assertTrue(format.supportsReasoning());
        List<AnswerPart> parts = parse(format.parser("<|assistant|>", TOOLS, 1),
                "<think>first\nthis</think>\n\nThen that.", new Random(3), 3);
        StringBuilder thought = new StringBuilder();
        StringBuilder text = new StringBuilder();
        for (AnswerPart part : parts) {
            if (part instanceof AnswerPart.Reasoning piece) {
                thought.append(piece.text());
            } else {
                text.append(((AnswerPart.Text) part).text());
            }
        }
        assertEquals("first\nthis", thought.toString());
        assertEquals("Then that.", text.toString());
    }

    @Test
    void whatIsMalformedComesBackAsText() {
        for (Map.Entry<String, String> template : small().entrySet()) {
            AnswerFormat format = derive(template.getValue());
            Written good = write(template.getValue(), format, 1, "Well, ", false, ARGUMENTS.get(2));
            Random random = new Random(5);
            for (int i = 0; i < 200; i++) {
                StringBuilder damaged = new StringBuilder(good.answer());
                for (int n = 1 + random.nextInt(3); n > 0 && damaged.length() > 1; n--) {
                    int at = random.nextInt(damaged.length());
                    switch (random.nextInt(3)) {
                        case 0 -> damaged.deleteCharAt(at);
                        case 1 -> damaged.insert(at, "{\"<>]".charAt(random.nextInt(5)));
                        default -> damaged.setLength(at);
                    }
                }
                List<AnswerPart> parts = parse(format.parser("", TOOLS, 1), damaged.toString(), random, 7);
                boolean called = parts.stream().anyMatch(AnswerPart.CallEnd.class::isInstance);
                StringBuilder text = new StringBuilder();
                parts.forEach(part -> text.append(part instanceof AnswerPart.Text piece ? piece.text() : ""));
                if (!called) {
                    assertEquals(damaged.toString().strip(), text.toString().strip(), template.getKey());
                }
            }
        }
    }

    @Test
    void aTemplateWithoutToolsTellsOfThemInWords() {
        AnswerFormat format = derive("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:");
        assertFalse(format.supportsTools());
        assertTrue(format.systemText(TOOLS).contains("get_weather"));
        List<AnswerPart> parts = parse(format.parser("", TOOLS, 1),
                " {\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\"}}", new Random(1), 4);
        assertTrue(parts.stream().anyMatch(
                part -> part instanceof AnswerPart.CallEnd end && end.call().arguments().contains("Oslo")), parts + "");
        List<AnswerPart> unknown =
                parse(format.parser("", TOOLS, 1), "{\"name\": \"rm\", \"arguments\": {}}", new Random(1), 4);
        assertTrue(unknown.stream().allMatch(AnswerPart.Text.class::isInstance), unknown + "");
    }
}
