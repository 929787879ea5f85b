package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.json.Json;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Conversations with a real model: what is evaluated, what the history holds, what cancelling and copying leave. */
class ChatTest {
    private static final ChatOptions GREEDY = ChatOptions.builder()
            .generation(GenerationOptions.builder().maxTokens(12).sampling(Sampling.greedy()).build())
            .build();
    private static final ChatOptions DRAWN = ChatOptions.builder()
            .generation(GenerationOptions.builder()
                    .maxTokens(16)
                    .sampling(Sampling.builder().temperature(1.2).seed(7).build())
                    .build())
            .build();

    private static Model model;

    @BeforeAll
    static void load() {
        model = Model.load(TestData.path("models/SmolLM2-135M-Instruct-Q4_1.gguf"));
    }

    @AfterAll
    static void close() {
        if (model != null) {
            model.close();
        }
    }

    @Test
    void anAnswerIsWhatItsTemplatePrescribes() {
        List<Message> messages = List.of(Message.user("What is the capital of France?"));
        int[] prompt = model.compiledTemplate(GREEDY).prompt(messages, GREEDY).ids();
        try (Chat chat = model.newChat(GREEDY); Session session = model.newSession()) {
            ChatAnswer answer = chat.ask("What is the capital of France?");
            Generation expected = session.complete(Prompt.ids(prompt), GREEDY.generation());
            assertArrayEquals(expected.ids(), answer.ids());
            assertEquals(expected.text(), answer.text());
            assertEquals(prompt.length, answer.promptTokens());
            assertEquals(List.of(Message.user("What is the capital of France?"), Message.assistant(answer.text())),
                    chat.messages());
        }
    }

    @Test
    void tenTurnsEvaluateEachTokenOnce() {
        try (Chat chat = model.newChat(DRAWN)) {
            for (int turn = 0; turn < 10; turn++) {
                int before = chat.position();
                ChatAnswer answer = chat.ask("Tell me number " + turn + " and say why.");
                assertTrue(answer.promptTokens() > before, "turn " + turn);
                assertEquals(answer.promptTokens() - before, answer.evaluatedTokens(), "turn " + turn);
            }
            SessionStatistics counts = chat.statistics();
            // The last token of each answer is not evaluated when it is drawn, and is with the next prompt.
            assertTrue(counts.prefillTokens() + counts.generatedTokens() <= chat.position() + 20,
                    counts + " for " + chat.position());
        }
    }

    @Test
    void forksAndRestoredChatsGoOnWithoutEvaluatingAgain(@TempDir Path folder) {
        try (Chat chat = model.newChat(DRAWN)) {
            chat.ask("My name is Ada.");
            chat.ask("What is a prime number?");
            int position = chat.position();
            try (Chat fork = chat.fork()) {
                assertEquals(chat.messages(), fork.messages());
                ChatAnswer one = fork.ask("What is my name?");
                ChatAnswer two = chat.ask("What is my name?");
                assertArrayEquals(one.ids(), two.ids());
                assertEquals(one.promptTokens() - position, one.evaluatedTokens());
            }
            int before = chat.position();
            Path file = folder.resolve("chat");
            chat.save(file);
            try (Chat restored = model.restoreChat(file, DRAWN)) {
                assertEquals(chat.messages(), restored.messages());
                ChatAnswer one = restored.ask("And twice that?");
                ChatAnswer two = chat.ask("And twice that?");
                assertArrayEquals(two.ids(), one.ids());
                assertEquals(one.promptTokens() - before, one.evaluatedTokens());
            }
        }
    }

    @Test
    void aCancelledAnswerStaysAsFarAsItWasTaken() {
        try (Chat chat = model.newChat(DRAWN)) {
            ChatStream stream = chat.send("Tell me a story.");
            Iterator<ChatPart> parts = stream.iterator();
            StringBuilder taken = new StringBuilder();
            for (int i = 0; i < 4 && parts.hasNext(); i++) {
                taken.append(parts.next());
            }
            stream.close();
            assertEquals(FinishReason.CANCELLED, stream.answer().finishReason());
            assertTrue(stream.answer().text().startsWith(taken.toString()));
            int position = chat.position();
            ChatAnswer next = chat.ask("Go on.");
            assertEquals(next.promptTokens() - position, next.evaluatedTokens());
            assertEquals(4, chat.messages().size());
        }
    }

    @Test
    void anAbandonedAnswerIsEndedByTheNextTurn() {
        try (Chat chat = model.newChat(DRAWN)) {
            ChatStream stream = chat.send("Tell me a story.");
            stream.iterator().next();
            chat.ask("Stop.");
            assertEquals(4, chat.messages().size());
            assertThrows(IllegalStateException.class, stream::take);
        }
    }

    @Test
    void whatDoesNotFitIsAnErrorWithBothNumbersAndLeavesTheChatAsItWas() {
        ChatOptions small = DRAWN.toBuilder().session(SessionOptions.builder().contextLength(100).build()).build();
        try (Chat chat = model.newChat(small)) {
            chat.ask("Hello");
            List<Message> before = chat.messages();
            ContextOverflowException e =
                    assertThrows(ContextOverflowException.class, () -> chat.send("word ".repeat(200)));
            assertTrue(e.getMessage().matches("(?s).*\\b\\d{3,}\\b.*\\b100\\b.*"), e.getMessage());
            assertEquals(before, chat.messages());
            assertFalse(chat.ask("Hi").tokens().isEmpty());
        }
    }

    @Test
    void theOldestTurnsGoFirstAndTheSystemMessageStays() {
        ChatOptions small = DRAWN.toBuilder()
                .system("Answer in one word.")
                .session(SessionOptions.builder().contextLength(160).build())
                .contextPolicy(ContextPolicy.DROP_OLDEST)
                .build();
        try (Chat chat = model.newChat(small)) {
            for (int turn = 0; turn < 8; turn++) {
                chat.ask("Question " + turn + ": what comes after " + turn + " in a row of numbers?");
            }
            assertTrue(chat.droppedMessages() > 0);
            assertEquals(17, chat.messages().size());
            String held = model.tokenizer().decode(chat.history());
            assertTrue(held.contains("Answer in one word."), held);
            assertFalse(held.contains("Question 0:"), held);
        }
    }

    @Test
    void aStopStringEndsAnAnswer() {
        ChatOptions stop = GREEDY.toBuilder()
                .generation(GREEDY.generation().toBuilder().maxTokens(60).stop("e").build())
                .build();
        try (Chat chat = model.newChat(stop)) {
            ChatAnswer answer = chat.ask("What is the capital of France?");
            assertEquals(FinishReason.STOP, answer.finishReason());
            assertFalse(answer.text().contains("e"), answer.text());
        }
    }

    @Test
    void aParallelStreamTakesNoMoreThanItIsAskedFor() {
        try (Chat chat = model.newChat(GREEDY)) {
            ChatStream stream = chat.send("Tell me a story.");
            assertEquals(2, stream.stream().parallel().limit(2).toList().size());
            stream.close();
            assertEquals(2, stream.answer().ids().length);
            assertEquals(
                    "the pieces of an answer can be gone through once; answer() keeps them",
                    assertThrows(IllegalStateException.class, stream::iterator).getMessage());
        }
    }

    @Test
    void anAnswerObeysASchema() throws IOException {
        Constraint person = Constraint.jsonSchema("""
                {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12},
                 "age": {"type": "integer", "minimum": 0, "maximum": 150}}, "required": ["name", "age"],
                 "additionalProperties": false}""");
        for (int seed = 0; seed < 5; seed++) {
            ChatOptions options = ChatOptions.builder()
                    .generation(GenerationOptions.builder()
                            .maxTokens(80)
                            .constraint(person)
                            .sampling(Sampling.builder().temperature(1.5).topK(0).topP(1).minP(0).seed(seed).build())
                            .build())
                    .build();
            try (Chat chat = model.newChat(options)) {
                ChatAnswer answer = chat.ask("Describe a person.");
                if (answer.finishReason() == FinishReason.END) {
                    assertTrue(answer.constraintMet());
                    Map<?, ?> found = (Map<?, ?>) Json.parse(answer.text());
                    assertEquals(List.of("name", "age"), new ArrayList<>(found.keySet()));
                    assertTrue(found.get("age") instanceof Long);
                } else {
                    assertFalse(answer.constraintMet());
                }
            }
        }
    }

    @Test
    void aToolCanBeForced() {
        Tool weather = Tool.of("get_weather", "The weather of a city", """
                {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20},
                 "days": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["city", "days"],
                 "additionalProperties": false}""");
        ChatOptions options = ChatOptions.builder()
                .tools(weather)
                .toolChoice(ToolChoice.named("get_weather"))
                .generation(GenerationOptions.builder().maxTokens(120).sampling(Sampling.greedy()).build())
                .build();
        try (Chat chat = model.newChat(options)) {
            List<ChatPart.Kind> kinds = new ArrayList<>();
            StringBuilder fragments = new StringBuilder();
            ChatStream stream = chat.send("How is the weather in Oslo?");
            stream.forEach(part -> {
                kinds.add(part.kind());
                fragments.append(part.kind() == ChatPart.Kind.TOOL_CALL_ARGUMENTS ? part.text() : "");
            });
            ChatAnswer answer = stream.answer();
            assertEquals(1, answer.toolCalls().size(), answer.text() + kinds);
            ToolCall call = answer.toolCalls().get(0);
            assertEquals("get_weather", call.name());
            assertEquals(call.arguments(), fragments.toString());
            assertTrue(call.argumentMap().get("days") instanceof Long, call.arguments());
            ChatAnswer reply = chat.ask(List.of(Message.tool(call, "{\"celsius\": 21}")), DRAWN);
            assertFalse(reply.tokens().isEmpty());
            assertThrows(IllegalArgumentException.class, () -> chat.send(List.of(Message.user("x")),
                    options.toBuilder().toolChoice(ToolChoice.named("other")).build()));
        }
    }

    @Test
    void aPromptOfMessagesIsContinuedInAnySession() {
        List<Message> first = List.of(Message.user("Hello"));
        try (Session session = model.newSession()) {
            GenerationOptions options = GREEDY.generation();
            Generation answer = session.complete(Prompt.messages(first), options);
            int position = session.position();
            List<Message> second = new ArrayList<>(first);
            second.add(Message.assistant(answer.text()));
            second.add(Message.user("And now?"));
            Generation next = session.complete(Prompt.messages(second), options);
            assertTrue(next.promptTokens() < position, next.promptTokens() + " new tokens behind " + position);
        }
    }
}
