package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.chat.AnswerParser;
import dev.reprise.chat.AnswerPart;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Whatever a model would rather say: a call that has to be made is made, in the template's notation, and fits. */
class ToolChoiceTest {
    enum Way {
        RAIL,
        ROAD
    }

    record Stop(String city, int nights) {}

    record Trip(Stop to, List<String> via, Way way, LocalDate day, boolean back, double budget,
            Optional<String> note) {}

    record Nothing() {}

    /** As a record's schema, with texts and lists that a model of stories comes to the end of. */
    private static final String SCHEMA =
            """
            {"type": "object", "properties": {
             "to": {"$ref": "#/$defs/stop"},
             "via": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 5}, "minItems": 1,
              "maxItems": 3},
             "way": {"type": "string", "enum": ["RAIL", "ROAD"]}, "day": {"type": "string", "format": "date"},
             "back": {"type": "boolean"}, "budget": {"type": "number", "minimum": 0, "maximum": 999},
             "note": {"type": "string", "pattern": "^[a-z ]{1,9}$"}},
             "required": ["to", "via", "way", "day", "back", "budget"], "additionalProperties": false,
             "$defs": {"stop": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 9},
              "nights": {"type": "integer", "minimum": 1, "maximum": 30}}, "required": ["city", "nights"],
              "additionalProperties": false}}}""";
    private static final Tool PLAN = Tool.of("plan_trip", "Plans a trip", SCHEMA);
    private static final Tool PING = Tool.of("ping", "Says whether all is well", Nothing.class);
    private static final List<Tool> TOOLS = List.of(PLAN, PING);

    private static Model model;

    @BeforeAll
    static void load() {
        model = StoryModel.load();
    }

    @AfterAll
    static void close() {
        model.close();
    }

    private static Map<String, ChatTemplate> templates() throws IOException {
        Map<String, ChatTemplate> templates = new TreeMap<>();
        templates.put("without tools",
                ChatTemplate.of("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"));
        try (var files = Files.newDirectoryStream(TestData.path("templates"), "*.jinja")) {
            for (Path file : files) {
                templates.put(file.getFileName().toString(), ChatTemplate.of(Files.readString(file)));
            }
        }
        return templates;
    }

    private static GenerationOptions options(Constraint constraint, long seed) {
        return GenerationOptions.builder()
                .maxTokens(400)
                .sampling(Sampling.builder().temperature(1.5).topK(0).topP(1).minP(0).seed(seed).build())
                .constraint(constraint)
                .build();
    }

    /** With the texts of control tokens, but for the end token. */
    private static String textOf(Generation answer) {
        StringBuilder text = new StringBuilder();
        StreamDecoder decoder = model.tokenizer().newStreamDecoder(true);
        for (Token token : answer.tokens()) {
            text.append(model.tokenizer().isEndOfGeneration(token.id()) ? "" : decoder.append(token.id()));
        }
        return text.append(decoder.finish()).toString();
    }

    private static List<AnswerPart> parse(CompiledTemplate template, String text) {
        AnswerParser parser = template.format().parser("", TOOLS, 1);
        List<AnswerPart> parts = new ArrayList<>(parser.append(text));
        parts.addAll(parser.finish());
        return parts;
    }

    @Test
    void aRequiredCallIsMadeInEveryTemplatesNotation() throws IOException {
        int ended = 0;
        int all = 0;
        List<String> failures = new ArrayList<>();
        for (Map.Entry<String, ChatTemplate> entry : templates().entrySet()) {
            try (CompiledTemplate template = new CompiledTemplate(entry.getValue(), model.tokenizer())) {
                for (int seed = 0; seed < 2; seed++) {
                    boolean named = seed % 2 == 0;
                    Constraint limit = template.callConstraint(
                            TOOLS, named ? ToolChoice.named("plan_trip") : ToolChoice.required(), null);
                    Generation answer;
                    try (Session session = model.newSession()) {
                        answer = session.complete(Prompt.text("Once"), options(limit, seed));
                    }
                    all++;
                    if (!answer.complete()) {
                        continue;
                    }
                    ended++;
                    String failure = failure(parse(template, textOf(answer)), named);
                    if (failure != null) {
                        failures.add(entry.getKey() + ": " + failure + " in " + textOf(answer));
                    }
                }
            } catch (RuntimeException e) {
                failures.add(entry.getKey() + ": " + e);
            }
        }
        assertEquals(List.of(), failures);
        assertTrue(ended > all / 2, ended + " of " + all + " ended");
    }

    private static String failure(List<AnswerPart> parts, boolean named) {
        int calls = 0;
        for (AnswerPart part : parts) {
            if (part instanceof AnswerPart.Text text && !text.text().isBlank()) {
                return "text " + text.text();
            } else if (part instanceof AnswerPart.CallEnd end) {
                calls++;
                try {
                    if (end.call().name().equals("plan_trip")) {
                        check(end.call().argumentsAs(Trip.class));
                    } else if (named || !end.call().name().equals("ping")) {
                        return "call " + end.call();
                    } else {
                        end.call().argumentsAs(Nothing.class);
                    }
                } catch (IllegalArgumentException e) {
                    return end.call() + ": " + e.getMessage();
                }
            }
        }
        return calls == 0 || named && calls > 1 ? calls + " calls" : null;
    }

    private static void check(Trip trip) {
        boolean fits = trip.to().city().codePointCount(0, trip.to().city().length()) <= 9
                && trip.to().nights() >= 1 && trip.to().nights() <= 30
                && !trip.via().isEmpty() && trip.via().size() <= 3
                && trip.budget() >= 0 && trip.budget() <= 999
                && trip.note().map(note -> note.matches("[a-z ]{1,9}")).orElse(true);
        if (!fits) {
            throw new IllegalArgumentException("it does not obey the schema");
        }
    }

    @Test
    void aChatRunsToolsAndLimitsThem() {
        List<String> asked = new ArrayList<>();
        record Question(Way way) {}
        Tool tool = Tool.of("ask", "Asks", Question.class, question -> {
            asked.add(question.way().name());
            throw new IllegalStateException("closed on Sundays");
        });
        ChatTemplate plain = ChatTemplate.of("{% for m in messages %}{{ m.content }}\n{% endfor %}");
        ChatOptions options = ChatOptions.builder()
                .template(plain)
                .generation(GenerationOptions.builder().maxTokens(60).sampling(Sampling.greedy()).build())
                .tools(tool)
                .toolChoice(ToolChoice.required())
                .maxToolRounds(1)
                .build();
        try (Chat chat = model.newChat(options)) {
            ChatAnswer answer = chat.run("Where?");
            assertTrue(answer.toolCalls().isEmpty(), answer.toString());
            // What the tools are and how they were called is not evaluated again in the last round, which calls none.
            assertTrue(answer.evaluatedTokens() < answer.promptTokens() / 2,
                    answer.evaluatedTokens() + " of " + answer.promptTokens());
            assertFalse(asked.isEmpty());
            List<Message> messages = chat.messages();
            assertEquals(Role.USER, messages.get(0).role());
            assertEquals(asked.size(), messages.get(1).toolCalls().size());
            assertEquals("{\"error\":\"closed on Sundays\"}", messages.get(2).text());
            assertEquals(3 + asked.size(), messages.size());
            // A tool that only the caller can run is left to it.
            ChatOptions callers = options.toBuilder().tools(PING).build();
            assertEquals("ping", chat.run(List.of(Message.user("?")), callers).toolCalls().get(0).name());
        }
        assertThrows(IllegalArgumentException.class, () -> ChatOptions.builder().maxToolRounds(0));
    }

    @Test
    void noneCallsNothingAndAutoMayDoEither() {
        ChatTemplate plain = ChatTemplate.of("{% for m in messages %}{{ m.content }}\n{% endfor %}");
        ChatOptions options = ChatOptions.builder()
                .template(plain)
                .generation(GenerationOptions.builder().maxTokens(30).sampling(Sampling.greedy()).build())
                .tools(PING)
                .build();
        try (Chat chat = model.newChat(options)) {
            ChatOptions none = options.toBuilder().toolChoice(ToolChoice.none()).build();
            ChatAnswer answer = chat.ask(List.of(Message.user("Once upon a time")), none);
            assertEquals(2, chat.messages().size());
            assertTrue(answer.toolCalls().isEmpty());
            chat.reset();
            ChatAnswer strict = chat.ask(
                    List.of(Message.user("Once upon a time")), options.toBuilder().strictTools(true).build());
            strict.toolCalls().forEach(call -> assertTrue(call.name().equals("ping")));
            ChatOptions wrong = options.toBuilder().toolChoice(ToolChoice.named("fly")).build();
            assertTrue(assertThrows(IllegalArgumentException.class, () -> chat.ask(List.of(Message.user("x")), wrong))
                    .getMessage().contains("fly"));
            ChatOptions empty = options.toBuilder().tools().toolChoice(ToolChoice.required()).build();
            assertThrows(IllegalArgumentException.class, () -> chat.ask(List.of(Message.user("x")), empty));
        }
    }
}
