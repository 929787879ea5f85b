package dev.reprise.chat;

import static org.junit.jupiter.api.Assertions.assertEquals;
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
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** Calls with arguments of every kind, as published templates write them, read back exactly, whole and in pieces. */
class PublishedCallsTest {
    private static final String SCHEMA =
            """
            {"type": "object", "properties": {"s": {"type": "string", "description": "a"},
             "t": {"type": "string", "description": "b"}, "i": {"type": "integer", "description": "c"},
             "x": {"type": "number", "description": "d"}, "b": {"type": "boolean", "description": "e"},
             "l": {"type": "array", "description": "g", "items": {"type": "array", "items": {"type": "integer"}}},
             "w": {"type": "array", "description": "h", "items": {"type": "string"}},
             "o": {"type": "object", "description": "i", "properties": {"p": {"type": "string"},
             "q": {"type": "object", "properties": {"r": {"type": "boolean"}, "u": {"type": "string"}}}}}},
             "required": ["s"]}""";
    private static final List<Tool> TOOLS =
            List.of(Tool.of("get_weather", "Gets it", SCHEMA), Tool.of("other-tool.v2", "d", SCHEMA));
    private static final Map<String, String> CONSTANTS = Map.of("bos_token", "<s>", "eos_token", "</s>");

    /** Texts that formats could stumble over. */
    private static final Map<String, List<String>> TEXTS = new TreeMap<>(Map.of(
            "quotes", List.of("She said \"hi\" and 'bye'", "\"", "'", "it's", "\"\"\"", "a\\b", "\\", "C:\\new\\tab",
                    "\\\"", "\\u0041", "`x`", "“q” «z»"),
            "unicode", List.of("Zürich", "😀 𝔘nicode 👩‍👩‍👧", "e\u0301 cafe\u0301", "שלום עולם مرحبا", "\u202eabc\u202c",
                    "\u200b\u2028\u2029\ufeff", "日本語、한국어", "\ud83c\uddf3\ud83c\uddf4"),
            "control", List.of("a\u0001b\u001f", "tab\there", "\u007f\u0085", "bell\u0007\u001b[0m",
                    "form\ffeed\u000b"),
            "lines", List.of("one\ntwo", "\nfirst", "last\n", "\n\n", "a\r\nb", "  lead", "trail  ", " ", "a\n\n  b\n"),
            "brackets", List.of("}", "{", "}}", "]",
                    "{\"a\": 1}", "\"}", "\"}}", "a, b: c = d", "f(x)", "(", ")", "[x]",
                    "{{ x }}", "{% if %}", "a=\"b\"", "<b>bold</b>", "1 < 2 > 0 && x"),
            "look", List.of("123", "-0", "1e5", "true", "None", "null", "[1, 2]", "{}", "\"quoted\"", "3.", "", "NaN"),
            "tags", List.of("</tool_call>", "<tool_call>", "<|im_end|>", "</think>", "<think>", "<|eot_id|>",
                    "[/TOOL_CALLS]", "[TOOL_CALLS]", "</parameter>", "</function>", "<|tool_call_end|>", "</s>",
                    "{\"name\": \"get_weather\", \"arguments\": {}}", "<arg_value>", "</arg_value>", "</invoke>",
                    "<|python_tag|>", "<|call|>", "<|message|>", "<tool_call>\n{\"name\": \"x\"}\n</tool_call>")));

    private record Case(String kind, String arguments) {}

    private static List<Case> cases() {
        List<Case> cases = new ArrayList<>();
        for (Map.Entry<String, List<String>> kind : TEXTS.entrySet()) {
            for (String text : kind.getValue()) {
                Map<String, Object> arguments = new LinkedHashMap<>();
                arguments.put("s", text);
                if (cases.size() % 2 == 0) {
                    arguments.put("w", List.of("", text, "z"));
                    arguments.put("o", Map.of("p", text, "q", Map.of("u", text)));
                    arguments.put("t", text + "x" + text);
                    arguments.put("i", 1);
                }
                cases.add(new Case(kind.getKey(), Json.write(arguments)));
            }
        }
        for (String numbers : List.of(
                "{}", "{\"i\": 0}", "{\"i\": -9007199254740993}", "{\"i\": 9223372036854775807}", "{\"x\": -0.5}",
                "{\"x\": 1e30}", "{\"x\": 1.5E-7}", "{\"x\": 123456.789, \"i\": 12}", "{\"b\": true}",
                "{\"b\": false, \"n\": null}", "{\"n\": null}", "{\"l\": []}", "{\"w\": []}",
                "{\"l\": [[1, 2], [], [3, -4]]}", "{\"o\": {}}", "{\"o\": {\"q\": {\"r\": true, \"u\": \"\"}}}",
                "{\"w\": [\"a\", \"b, c\", \"d]\"], \"s\": \"e\"}")) {
            cases.add(new Case("values", numbers));
        }
        return cases;
    }

    private static Map<String, String> published() throws IOException {
        String root = System.getenv("REPRISE_TESTDATA");
        assumeTrue(root != null, "skipped: REPRISE_TESTDATA is not set, published templates are not tested");
        Map<String, String> templates = new TreeMap<>();
        try (var files = Files.newDirectoryStream(Path.of(root, "templates"), "*.jinja")) {
            for (Path file : files) {
                templates.put(file.getFileName().toString(), Files.readString(file));
            }
        }
        return templates;
    }

    private record Answer(String prompt, String text, List<ToolCall> calls, String content, String reasoning) {}

    @Test
    void callsOfEveryKindReadBackExactly() throws IOException {
        List<String> failures = new ArrayList<>();
        int read = 0;
        int templates = 0;
        for (Map.Entry<String, String> entry : published().entrySet()) {
            ChatTemplate template = ChatTemplate.of(entry.getValue());
            AnswerFormat format = AnswerFormat.derive(template::render, entry.getValue(), CONSTANTS);
            if (!format.supportsTools() || refuses(template, format)) {
                continue;
            }
            templates++;
            Random random = new Random(entry.getKey().hashCode());
            int number = 0;
            for (Case one : cases()) {
                int shape = random.nextInt(6);
                number++;
                String content = shape % 2 == 0 ? "" : "Let me look.";
                String reasoning = shape >= 2 && shape < 5 ? "First this.\nThen that." : null;
                Answer answer = write(template, format, one.arguments(), shape >= 3 ? 2 : 1, content, reasoning);
                if (answer == null) {
                    answer = write(template, format, one.arguments(), 1, "", null);
                }
                if (answer == null) {
                    if (!one.arguments().contains("null")) {  // which some templates leave out
                        failures.add(entry.getKey() + " " + one + ": not written");
                    }
                    continue;
                }
                for (int cut = 0; cut < 2; cut++) {
                    read++;
                    String failure = failure(format, answer, cut == 0 ? null : random, number % 3 == 0 ? 1 : 12);
                    if (failure != null) {
                        failures.add(entry.getKey() + " " + one.kind() + ", cut " + cut + ": " + failure + "\n   of "
                                + answer.text());
                        break;
                    }
                }
            }
        }
        assertTrue(read > 7000, read + " answers");
        assertTrue(templates >= 40, templates + " templates");
        assertEquals(List.of(), failures);
    }

    /** Whether a template raises an error for tools like these, whose schemas are too rich for it. */
    private static boolean refuses(ChatTemplate template, AnswerFormat format) {
        try {
            render(template, format, null, true);
            return false;
        } catch (TemplateException e) {
            return true;
        }
    }

    /** Null if the template refuses it. */
    private static Answer write(ChatTemplate template, AnswerFormat format, String arguments, int calls,
            String content, String reasoning) {
        List<ToolCall> asked = new ArrayList<>(List.of(ToolCall.of("call00001", "get_weather", arguments)));
        if (calls == 2) {
            asked.add(0, ToolCall.of("call00002", "other-tool.v2", "{\"s\": \"first\"}"));
        }
        Message message = Message.builder(Role.ASSISTANT).text(content).toolCalls(asked).reasoning(reasoning).build();
        try {
            String without = render(template, format, null, false);
            String prompt = render(template, format, null, true);
            String whole = render(template, format, message, false);
            String shown = whole.substring(Literals.commonPrefix(without, whole));
            if (calls == 2 && !(shown.contains("get_weather") && shown.contains("other-tool.v2"))
                    || arguments.contains("null") && !shown.contains("null") && !shown.contains("None")) {
                return null;  // it leaves calls or values out
            }
            // In the history a template may begin an answer in another way than it prompts for one.
            int common = whole.startsWith(prompt) ? prompt.length() : Literals.commonStart(prompt, whole).length();
            int begin = Math.min(Literals.commonPrefix(without, prompt), common);
            return new Answer(prompt.substring(begin, common), whole.substring(common), asked,
                    shown.contains("Let me look.") ? content : "", shown.contains("First this.") ? reasoning : null);
        } catch (TemplateException e) {
            return null;
        }
    }

    private static String render(ChatTemplate template, AnswerFormat format, Message answer, boolean prompts) {
        Map<String, Object> variables = new LinkedHashMap<>(CONSTANTS);
        variables.put("tools", TOOLS.stream().map(format::variables).toList());
        List<Object> messages = new ArrayList<>(List.of(format.variables(Message.user("hi zzz"))));
        if (answer != null) {
            messages.add(format.variables(answer));
        }
        variables.put("messages", messages);
        variables.put("add_generation_prompt", prompts);
        return template.render(Json.write(variables));
    }

    private static String failure(AnswerFormat format, Answer answer, Random random, int longest) {
        AnswerParser parser = format.parser(answer.prompt(), TOOLS, 1);
        List<AnswerPart> parts = new ArrayList<>();
        for (int at = 0; at < answer.text().length(); ) {
            int end = random == null ? answer.text().length() : at + 1 + random.nextInt(longest);
            end = Math.min(end, answer.text().length());
            parts.addAll(parser.append(answer.text().substring(at, end)));
            at = end;
        }
        parts.addAll(parser.finish());
        List<ToolCall> calls = new ArrayList<>();
        StringBuilder fragments = new StringBuilder();
        StringBuilder text = new StringBuilder();
        StringBuilder reasoning = new StringBuilder();
        for (AnswerPart part : parts) {
            if (part instanceof AnswerPart.CallEnd end) {
                calls.add(end.call());
            } else if (part instanceof AnswerPart.CallArguments piece) {
                fragments.append(piece.fragment());
            } else if (part instanceof AnswerPart.Text piece) {
                text.append(piece.text());
            } else if (part instanceof AnswerPart.Reasoning piece) {
                reasoning.append(piece.text());
            }
        }
        if (calls.size() != answer.calls().size()) {
            return calls.size() + " calls " + calls;
        }
        StringBuilder together = new StringBuilder();
        for (int i = 0; i < calls.size(); i++) {
            together.append(calls.get(i).arguments());
            Object expected = Json.parse(answer.calls().get(i).arguments());
            Object read = Json.parse(calls.get(i).arguments());
            if (!expected.equals(read) || !calls.get(i).name().equals(answer.calls().get(i).name())) {
                return "wanted " + answer.calls().get(i) + " read " + calls.get(i);
            }
        }
        if (!together.toString().equals(fragments.toString())) {
            return "fragments " + fragments;
        } else if (!(reasoning.toString() + text.toString().strip()).contains(answer.content())
                || text.indexOf(">>>") >= 0
                || text.indexOf("get_weather") >= 0) {
            return "text " + text + " reasoning " + reasoning + " " + format.reasoning();
        } else if (answer.reasoning() != null && !reasoning.toString().equals(answer.reasoning())) {
            return "reasoning " + reasoning + " " + format.reasoning() + " prompt " + answer.prompt();
        }
        return null;
    }
}
