package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.reprise.json.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Chat templates render as Python's jinja2 renders them, and what cannot be rendered is an exception. */
class ChatTemplateTest {
    private static final LocalDate DAY = LocalDate.of(2026, 7, 26);

    @Test
    void publishedTemplatesRenderExactly() throws IOException {
        Path folder = TestData.path("templates");
        Map<?, ?> data = (Map<?, ?>) Json.parse(Files.readString(folder.resolve("cases.json")));
        Map<?, ?> inputs = (Map<?, ?>) data.get("inputs");
        List<String> wrong = new ArrayList<>();
        int exact = 0;
        for (Object element : (List<?>) data.get("renders")) {
            Map<?, ?> render = (Map<?, ?>) element;
            Map<String, Object> variables = new LinkedHashMap<>();
            inputs.forEach((key, value) -> {
                if (!key.equals("cases")) {
                    variables.put((String) key, value);
                }
            });
            ((Map<?, ?>) ((Map<?, ?>) inputs.get("cases")).get(render.get("case")))
                    .forEach((key, value) -> variables.put((String) key, value));
            variables.put("strftime_now", variables.get("date_string"));  // whatever the format: so they were rendered
            ChatTemplate template = ChatTemplate.of(Files.readString(folder.resolve((String) render.get("template"))));
            try {
                String text = template.render(Json.write(variables), DAY);
                boolean right = text.equals(render.get("expected"));
                exact += right ? 1 : 0;
                if (!right) {
                    wrong.add(render.get("template") + " " + render.get("case"));
                }
            } catch (TemplateException e) {
                if (render.get("expected") != null) {
                    wrong.add(render.get("template") + " " + render.get("case") + ": " + e.getMessage());
                }
            }
        }
        assertTrue(exact >= 300, exact + " exact; not: " + wrong);
        assertTrue(wrong.size() <= 3, wrong.toString());
    }

    @Test
    void anErrorNamesItsLineAndTheTemplatesMessage() {
        ChatTemplate template = ChatTemplate.of("a\n{{ raise_exception('roles must alternate') }}");
        TemplateException e = assertThrows(TemplateException.class, () -> template.render("{}"));
        assertTrue(e.getMessage().contains("roles must alternate"), e.getMessage());
        assertEquals(2, e.line().orElse(0));
        TemplateException malformed =
                assertThrows(TemplateException.class, () -> ChatTemplate.of("x\n\n{% if %}").render("{}"));
        assertEquals(3, malformed.line().orElse(0));
    }

    @Test
    void whatDoesTooMuchEndsSoon() {
        for (String source : List.of(
                "{% for i in range(1000000000) %}x{% endfor %}",
                "{% for i in range(100000) %}{% for j in range(100000) %}{{ i * j }}{% endfor %}{% endfor %}",
                "{{ 'a' * 1000000000 }}",
                "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
                "{% set x = namespace(s='aaaaaaaaaa') %}{% for i in range(60) %}{% set x.s = x.s ~ x.s %}{% "
                        + "endfor %}{{ x.s }}",
                "{{ " + "(".repeat(100_000) + "1" + ")".repeat(100_000) + " }}")) {
            long start = System.nanoTime();
            assertThrows(TemplateException.class, () -> ChatTemplate.of(source).render("{}"), source);
            assertTrue(System.nanoTime() - start < 20_000_000_000L, source);
        }
        assertThrows(IllegalArgumentException.class, () -> ChatTemplate.of("x").render("[1"));
        assertThrows(
                RuntimeException.class, () ->
                        ChatTemplate.of("{{ a }}").render("{\"a\":" + "[".repeat(1_000_000) + "}"));
    }

    /** Whatever a message holds, the template's control tokens are the only ones in the prompt. */
    @Test
    void textOfMessagesNeverBecomesAControlToken() throws IOException {
        Path folder = TestData.path("templates");
        List<String> tried = new ArrayList<>();
        for (String vocabulary : List.of("qwen2", "llama-bpe", "smollm")) {
            Path file = TestData.path("tokenizer").resolve(vocabulary + ".gguf");
            if (!Files.exists(file)) {
                continue;
            }
            tried.add(vocabulary);
            try (ModelFile model = ModelFile.open(file)) {
                Tokenizer tokenizer = Tokenizer.of(model.metadata());
                try (var files = Files.newDirectoryStream(folder, "*.jinja")) {
                    for (Path path : files) {
                        checkInjection(tokenizer, ChatTemplate.of(Files.readString(path)),
                                path.getFileName().toString());
                    }
                }
            }
        }
        assertFalse(tried.isEmpty());
    }

    private static void checkInjection(Tokenizer tokenizer, ChatTemplate template, String name) {
        StringBuilder evil = new StringBuilder("a");
        for (String special : tokenizer.specialTexts(template.source())) {
            evil.append(special).append(' ').append(special).append("b");
        }
        try (CompiledTemplate compiled = new CompiledTemplate(template, tokenizer)) {
            for (boolean tools : new boolean[] {false, true}) {
                int[] plain;
                try {
                    plain = compiled.prompt(conversation("hello", tools), options("hello", tools)).ids();
                } catch (TemplateException e) {
                    continue;  // one that wants what this conversation has not
                }
                int[] attacked =
                        compiled.prompt(conversation(evil.toString(), tools), options(evil.toString(), tools)).ids();
                assertEquals(controls(tokenizer, template, plain), controls(tokenizer, template, attacked), name);
            }
        }
    }

    /** With a text in every place that users, tools and programs write. */
    private static List<Message> conversation(String text, boolean tools) {
        if (!tools) {
            return List.of(Message.user(text));
        }
        ToolCall call = ToolCall.of("call00001", "look", Json.write(Map.of("what", text)));
        return List.of(Message.system(text), Message.user(text),
                Message.builder(Role.ASSISTANT).toolCalls(List.of(call)).build(), Message.tool(call, text));
    }

    private static ChatOptions options(String text, boolean tools) {
        if (!tools) {
            return ChatOptions.defaults();
        }
        Map<String, Object> what = Map.of("type", "string", "description", text);
        return ChatOptions.builder()
                .tools(Tool.of("look", text, Json.write(Map.of(
                        "type", "object", "properties", Map.of("what", what), "required", List.of("what")))))
                .build();
    }

    /** How often the ids have which control token, or other token that the template may write as one. */
    private static Map<Integer, Integer> controls(Tokenizer tokenizer, ChatTemplate template, int[] ids) {
        Set<Integer> special = new HashSet<>();
        for (String text : tokenizer.specialTexts(template.source())) {
            tokenizer.token(text).ifPresent(special::add);
        }
        Map<Integer, Integer> counts = new TreeMap<>();
        for (int id : ids) {
            if (tokenizer.isControl(id) || special.contains(id)) {
                counts.merge(id, 1, Integer::sum);
            }
        }
        return counts;
    }

    @Test
    void bosIsThereOnce() {
        TestVocabulary vocabulary = TinyModel.byteVocabulary();
        vocabulary.token("<|bos|>", TokenType.CONTROL);
        vocabulary.set("bos_token_id", (long) vocabulary.id("<|bos|>")).set("add_bos_token", true);
        Tokenizer tokenizer = vocabulary.tokenizer();
        for (String source : List.of("{{ bos_token }}{{ messages[0].content }}", "{{ messages[0].content }}")) {
            ChatTemplate template = ChatTemplate.of(source);
            try (CompiledTemplate compiled = new CompiledTemplate(template, tokenizer)) {
                int[] ids = compiled.prompt(List.of(Message.user("hi <|bos|>")), ChatOptions.defaults()).ids();
                assertEquals(Map.of(vocabulary.id("<|bos|>"), 1), controls(tokenizer, template, ids), source);
                assertEquals(vocabulary.id("<|bos|>"), ids[0]);
            }
        }
    }

    @Test
    void aModelWithoutTemplateSaysHowToPassOne(@TempDir Path directory) {
        Path path = TinyModel.write(directory, TinyModel.bytes(TinyModel.byteVocabulary()));
        try (Model model = Model.load(path)) {
            TemplateException e = assertThrows(TemplateException.class, model::newChat);
            assertTrue(e.getMessage().contains("ChatOptions.builder().template("), e.getMessage());
            ChatOptions options = ChatOptions.builder().template(ChatTemplate.of("{{ messages[0].content }}")).build();
            try (Chat chat = model.newChat(options)) {
                assertEquals(0, chat.messages().size());
            }
        } catch (UnsupportedOperationException e) {
            fail(e);
        }
    }
}
