package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a conversation evaluates, token by token: each once, and of what a template rewrites the rewritten part. */
class ChatEvaluationTest {
    private static final String TURNS = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}"
            + "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
    /** Shows what the model thought in the turns since the user's last message only, as Qwen3's does. */
    private static final String FORGETS_REASONING = """
            {{ bos_token }}{% for m in messages -%}
            {{ m.role }}: {% if m.reasoning_content and loop.last -%}
            <think>{{ m.reasoning_content }}</think>
            {%- endif %}{{ m.content }}{{ eos_token }}
            {%- endfor %}{% if add_generation_prompt %}assistant: <think>{% endif %}""";
    private static final Constraint WORDS = Constraint.regex("[a-z ]{5,20}");
    private static final Tool WEATHER = Tool.of("weather", "Of a city", """
            {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}}, "required": ["city"],
             "additionalProperties": false}""");

    /** A model, and the template that it talks by. */
    enum Talker {
        STORIES {
            @Override
            Model load() {
                return StoryModel.load();
            }

            @Override
            ChatTemplate template() {
                return ChatTemplate.of(TURNS);
            }

            @Override
            List<Integer> otherEndTokens() {
                return List.of();
            }
        },
        SMOL {
            @Override
            Model load() {
                return Model.load(TestData.path("models/SmolLM2-135M-Instruct-Q4_1.gguf"));
            }

            @Override
            ChatTemplate template() {
                return null;
            }

            @Override
            List<Integer> otherEndTokens() {
                return List.of(0);  // <|endoftext|>
            }
        };

        abstract Model load();

        abstract ChatTemplate template();

        /** End tokens in whose place the template puts another one behind a turn, which is then evaluated. */
        abstract List<Integer> otherEndTokens();

        ChatOptions options(int maxTokens) {
            return ChatOptions.builder()
                    .template(template())
                    .generation(GenerationOptions.builder()
                            .maxTokens(maxTokens)
                            .sampling(drawn(otherEndTokens()))
                            .build())
                    .build();
        }
    }

    private static Sampling drawn(List<Integer> banned) {
        Map<Integer, Float> bias = new HashMap<>();
        banned.forEach(id -> bias.put(id, Float.NEGATIVE_INFINITY));
        return Sampling.builder().temperature(1.2).seed(7).logitBias(bias).build();
    }

    private static ChatOptions constrained(ChatOptions options, Constraint constraint) {
        return options.toBuilder()
                .generation(options.generation().toBuilder().constraint(constraint).build())
                .build();
    }

    /**
     * Asks, and holds that nothing is evaluated but what is new: behind the history, whose last token was drawn and not
     * yet evaluated.
     */
    private static ChatAnswer ask(Chat chat, ChatOptions options, Message... messages) {
        int held = chat.position();
        long evaluated = chat.statistics().prefillTokens();
        ChatAnswer answer = chat.ask(List.of(messages), options);
        assertEquals(answer.promptTokens() - held, answer.evaluatedTokens());
        assertEquals(answer.evaluatedTokens() + (held > 0 ? 1 : 0), chat.statistics().prefillTokens() - evaluated);
        assertEquals(answer.promptTokens() + answer.tokens().size(), chat.position());
        return answer;
    }

    private static void assertTenTurns(Talker talker, IntFunction<ChatOptions> optionsOfTurn) {
        try (Model model = talker.load(); Chat chat = model.newChat(optionsOfTurn.apply(0))) {
            int newTokens = 0;
            for (int turn = 0; turn < 10; turn++) {
                newTokens += ask(chat, optionsOfTurn.apply(turn), Message.user("Say " + turn + "."))
                        .evaluatedTokens();
            }
            SessionStatistics counts = chat.statistics();
            assertEquals(newTokens + 9, counts.prefillTokens());
            assertEquals(chat.position() + 9, counts.prefillTokens() + counts.generatedTokens());
            System.out.println(talker + ": ten turns, " + chat.position() + " tokens, of which "
                    + counts.prefillTokens() + " were evaluated as prompts and " + counts.generatedTokens()
                    + " generated");
        }
    }

    @ParameterizedTest
    @EnumSource
    void tenTurnsEvaluateEachTokenOnce(Talker talker) {
        ChatOptions options = talker.options(12);
        assertTenTurns(talker, turn -> options);
    }

    @ParameterizedTest
    @EnumSource
    void tenTurnsOfConstrainedAnswersDoToo(Talker talker) {
        ChatOptions free = talker.options(12);
        ChatOptions words = constrained(free, WORDS);
        assertTenTurns(talker, turn -> turn % 3 == 1 ? free : words);
    }

    @ParameterizedTest
    @EnumSource
    void copiesAndCancelledAnswersAreNotEvaluatedAgain(Talker talker, @TempDir Path folder) {
        ChatOptions options = talker.options(6);
        try (Model model = talker.load()) {
            Chat chat = model.newChat(options);
            for (int turn = 0; turn < 10; turn++) {
                ask(chat, options, Message.user("Say " + turn + "."));
                ChatStream stream = chat.send("And?");
                int held = chat.position();
                Iterator<ChatPart> parts = stream.iterator();
                for (int i = 0; i < 1 + turn % 3 && parts.hasNext(); i++) {
                    parts.next();
                }
                if (turn % 2 == 0) {
                    stream.close();
                    assertTrue(chat.position() >= held);
                }
                Chat copy;
                if (turn % 3 == 0) {
                    copy = chat.fork();
                } else if (turn % 3 == 1) {
                    chat.save(folder.resolve("chat"));
                    copy = model.restoreChat(folder.resolve("chat"), options);
                } else {
                    chat.cancel();
                    continue;
                }
                assertEquals(chat.messages(), copy.messages());
                assertArrayEquals(chat.history(), copy.history());
                assertEquals(0, copy.statistics().prefillTokens());
                chat.close();
                chat = copy;
            }
            assertEquals(40, chat.messages().size());
            chat.close();
        }
    }

    @ParameterizedTest
    @EnumSource
    void callsAndResultsOfToolsAreEvaluatedOnce(Talker talker) {
        ChatOptions calls = talker.options(60).toBuilder()
                .tools(WEATHER)
                .toolChoice(ToolChoice.named("weather"))
                .build();
        ChatOptions talks = calls.toBuilder()
                .toolChoice(ToolChoice.auto())
                .generation(talker.options(8).generation())
                .build();
        try (Model model = talker.load(); Chat chat = model.newChat(calls)) {
            ChatAnswer call = ask(chat, calls, Message.user("How is the weather?"));
            assertEquals(1, call.toolCalls().size(), call.text());
            ask(chat, talks, Message.tool(call.toolCalls().get(0), "{\"celsius\": 21}"));
            ask(chat, talks, Message.user("Is that warm?"));
        }
    }

    @ParameterizedTest
    @EnumSource
    void anErrorInTheMiddleCostsNothing(Talker talker) {
        ChatOptions options = talker.options(12).toBuilder()
                .session(SessionOptions.builder().contextLength(300).build())
                .build();
        try (Model model = talker.load(); Chat chat = model.newChat(options)) {
            for (int turn = 0; turn < 3; turn++) {
                ask(chat, options, Message.user("Say " + turn + "."));
                List<Message> messages = chat.messages();
                int[] history = chat.history();
                assertThrows(ContextOverflowException.class, () -> chat.send("word ".repeat(400)));
                ChatOptions malformed = constrained(options, Constraint.regex("("));
                assertThrows(IllegalArgumentException.class, () -> chat.send(List.of(Message.user("x")), malformed));
                Thread.currentThread().interrupt();
                assertThrows(CancelledException.class, () -> chat.send("And?"));
                assertTrue(Thread.interrupted());
                assertEquals(messages, chat.messages());
                assertArrayEquals(history, chat.history());
            }
        }
    }

    /** An answer, and how much of the history was kept for it. */
    private record Anew(int kept, ChatAnswer answer) {}

    /** Asks where a template rewrites what was before: all that the new prompt begins with is kept. */
    private static Anew askAnew(Chat chat, ChatOptions options, String text) {
        int[] history = chat.history();
        List<Message> messages = new ArrayList<>(chat.messages());
        messages.add(Message.user(text));
        int[] prompt = chat.model().compiledTemplate(options).prompt(messages, options).ids();
        int common = Arrays.mismatch(history, prompt);
        assertTrue(common >= 0 && common < history.length, "the template rewrites nothing");
        ChatAnswer answer = chat.ask(text);
        assertEquals(prompt.length, answer.promptTokens());
        assertEquals(prompt.length - common, answer.evaluatedTokens());
        return new Anew(common, answer);
    }

    @ParameterizedTest
    @EnumSource
    void whereATemplateForgetsReasoningWhatFollowsIsEvaluatedAnew(Talker talker) {
        Model model = talker.load();
        ChatOptions options = talker.options(16).toBuilder()
                .template(ChatTemplate.of(FORGETS_REASONING))
                .reasoningBudget(5)
                // So that it thinks up to its budget.
                .generation(GenerationOptions.builder()
                        .maxTokens(16)
                        .sampling(drawn(model.tokenizer().endTokens().stream().boxed().toList()))
                        .build())
                .build();
        try (model; Chat chat = model.newChat(options)) {
            int thought = model.tokenizer().encode(" <think>", false, false).length;
            ChatAnswer answer = chat.ask("Say 0.");
            for (int turn = 1; turn < 10; turn++) {
                assertFalse(answer.message().reasoning().orElseThrow().isEmpty());
                Anew anew = askAnew(chat, options, "Say " + turn + ".");
                assertTrue(anew.kept() >= answer.promptTokens() - thought, anew.kept() + " tokens kept");
                answer = anew.answer();
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void ofAnotherSystemMessageAllBehindItIsEvaluatedAnew(Talker talker) {
        ChatOptions options = talker.options(8).toBuilder().system("Be brief.").build();
        try (Model model = talker.load(); Chat chat = model.newChat(options)) {
            ask(chat, options, Message.user("Say 0."));
            ask(chat, options, Message.user("Say 1."));
            chat.system("Be friendly.");
            Anew anew = askAnew(chat, options, "Say 2.");
            assertTrue(anew.kept() < 10, anew.kept() + " tokens in front of the system message's");
            ask(chat, options, Message.user("Say 3."));
            chat.system(null);
            askAnew(chat, options, "Say 4.");
            ask(chat, options, Message.user("Say 5."));
        }
    }
}
