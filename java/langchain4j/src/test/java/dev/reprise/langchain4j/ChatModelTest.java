package dev.reprise.langchain4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.langchain4j.agent.tool.ToolExecutionRequest;
import dev.langchain4j.agent.tool.ToolSpecification;
import dev.langchain4j.data.message.AiMessage;
import dev.langchain4j.data.message.ChatMessage;
import dev.langchain4j.data.message.ImageContent;
import dev.langchain4j.data.message.SystemMessage;
import dev.langchain4j.data.message.ToolExecutionResultMessage;
import dev.langchain4j.data.message.UserMessage;
import dev.langchain4j.exception.InvalidRequestException;
import dev.langchain4j.exception.UnsupportedFeatureException;
import dev.langchain4j.model.chat.listener.ChatModelListener;
import dev.langchain4j.model.chat.listener.ChatModelResponseContext;
import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.request.ChatRequestParameters;
import dev.langchain4j.model.chat.request.ResponseFormat;
import dev.langchain4j.model.chat.request.ResponseFormatType;
import dev.langchain4j.model.chat.request.ToolChoice;
import dev.langchain4j.model.chat.request.json.JsonObjectSchema;
import dev.langchain4j.model.chat.request.json.JsonSchema;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.chat.response.CompleteToolCall;
import dev.langchain4j.model.chat.response.PartialResponse;
import dev.langchain4j.model.chat.response.PartialResponseContext;
import dev.langchain4j.model.chat.response.PartialToolCall;
import dev.langchain4j.model.chat.response.StreamingChatResponseHandler;
import dev.langchain4j.model.output.FinishReason;
import dev.reprise.CancelledException;
import dev.reprise.Chat;
import dev.reprise.ChatOptions;
import dev.reprise.ChatTemplate;
import dev.reprise.GenerationOptions;
import dev.reprise.Message;
import dev.reprise.Model;
import dev.reprise.Sampling;
import dev.reprise.SessionOptions;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** With the model that the command line brings along, and a template that writes everything down. */
@Timeout(60)
class ChatModelTest {
    private static final ChatTemplate TEMPLATE = ChatTemplate.of("""
            {%- if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>
            {% endif -%}
            {%- for message in messages %}{{ message.role }}: {{ message.content }}
            {%- for call in message.tool_calls %}<tool_call>
            {"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
            </tool_call>{% endfor %}
            {% endfor -%}
            {%- if add_generation_prompt %}assistant: {% endif %}""");
    private static final ChatOptions OPTIONS = ChatOptions.builder().template(TEMPLATE)
            .session(SessionOptions.builder().contextLength(256).build())
            .generation(GenerationOptions.builder().maxTokens(12).sampling(Sampling.greedy()).build()).build();
    private static final ToolSpecification WEATHER = ToolSpecification.builder().name("weather")
            .description("The weather of a city").parameters(JsonObjectSchema.builder()
                    .addEnumProperty("city", List.of("Rome", "Oslo")).required("city").build()).build();

    private static Model model;
    private static RepriseChatModel chatModel;
    private static RepriseStreamingChatModel streaming;

    @BeforeAll
    static void load() {
        model = Model.load(Path.of(System.getProperty("basedir", "."),
                "../cli/src/main/resources/dev/reprise/cli/reprise-stories-7M-Q4_K_M.gguf"));
        chatModel = RepriseChatModel.builder(model).options(OPTIONS).modelName("stories").build();
        streaming = RepriseStreamingChatModel.builder(model).options(OPTIONS).build();
    }

    @AfterAll
    static void close() {
        model.close();
    }

    /** What a handler hears. */
    private static class Heard implements StreamingChatResponseHandler {
        final StringBuilder text = new StringBuilder();
        final List<PartialToolCall> partialCalls = new ArrayList<>();
        final List<CompleteToolCall> calls = new ArrayList<>();
        final List<Throwable> errors = new ArrayList<>();
        final CompletableFuture<ChatResponse> response = new CompletableFuture<>();

        @Override
        public void onPartialResponse(PartialResponse part, PartialResponseContext context) {
            text.append(part.text());
        }

        @Override
        public void onPartialToolCall(PartialToolCall call) {
            partialCalls.add(call);
        }

        @Override
        public void onCompleteToolCall(CompleteToolCall call) {
            calls.add(call);
        }

        @Override
        public void onCompleteResponse(ChatResponse complete) {
            response.complete(complete);
        }

        @Override
        public void onError(Throwable error) {
            errors.add(error);
        }

        ChatResponse await() throws Exception {
            return response.get(30, TimeUnit.SECONDS);
        }
    }

    private static ChatRequest request(ChatMessage... messages) {
        return ChatRequest.builder().messages(messages).build();
    }

    @Test
    void theWholeHistoryIsTold() throws Exception {
        List<Message> history = List.of(Message.system("You tell stories."), Message.user("Who is Tom?"),
                Message.assistant("Tom is a cat."), Message.user("Once upon a time"));
        String expected;
        int promptTokens;
        try (Chat chat = model.newChat(OPTIONS)) {
            var answer = chat.ask(history, OPTIONS);
            expected = answer.text();
            promptTokens = answer.promptTokens();
        }
        ChatRequest request = request(SystemMessage.from("You tell stories."), UserMessage.from("Who is Tom?"),
                AiMessage.from("Tom is a cat."), UserMessage.from("Once upon a time"));

        ChatResponse response = chatModel.chat(request);
        Heard heard = new Heard();
        streaming.chat(request, heard);

        assertFalse(expected.isEmpty());
        assertEquals(expected, response.aiMessage().text());
        assertEquals(expected, heard.await().aiMessage().text());
        assertEquals(expected, heard.text.toString());
        assertEquals(promptTokens, response.tokenUsage().inputTokenCount());
        assertEquals(12, response.tokenUsage().outputTokenCount());
        assertEquals(FinishReason.LENGTH, response.finishReason());
        assertEquals("stories", response.modelName());
    }

    @Test
    void requestsAtOnceAreConversationsApart() {
        List<CompletableFuture<ChatResponse>> answers = new ArrayList<>();
        List<String> alone = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            alone.add(chatModel.chat(request(UserMessage.from("Story number " + i))).aiMessage().text());
        }
        for (int i = 0; i < 4; i++) {
            answers.add(chatModel.chatAsync(request(UserMessage.from("Story number " + i))));
        }
        assertEquals(alone, answers.stream().map(answer -> answer.join().aiMessage().text()).toList());
    }

    @Test
    void parametersOfARequestGoBeforeThoseOfTheModel() {
        RepriseChatModel hot = RepriseChatModel.builder(model).options(OPTIONS)
                .defaultRequestParameters(ChatRequestParameters.builder().maxOutputTokens(3).build()).build();
        assertEquals(3, hot.chat(request(UserMessage.from("Once"))).tokenUsage().outputTokenCount());
        ChatRequest five = request(UserMessage.from("Once")).toBuilder()
                .parameters(ChatRequestParameters.builder().maxOutputTokens(5).build()).build();
        assertEquals(5, hot.chat(five).tokenUsage().outputTokenCount());
    }

    @Test
    void aSchemaIsObeyed() {
        JsonSchema schema = JsonSchema.builder().name("answer").rootElement(JsonObjectSchema.builder()
                .addEnumProperty("colour", List.of("red", "blue")).required("colour").build()).build();
        ChatResponse response = chatModel.chat(request(UserMessage.from("Which colour?")).toBuilder()
                .responseFormat(ResponseFormat.builder().type(ResponseFormatType.JSON).jsonSchema(schema).build())
                .maxOutputTokens(40).build());
        assertTrue(response.aiMessage().text().matches("\\{\\s*\"colour\"\\s*:\\s*\"(red|blue)\"\\s*}"),
                response.aiMessage().text());
        assertEquals(FinishReason.STOP, response.finishReason());
    }

    @Test
    void toolsAreCalledAndTheirResultsRead() throws Exception {
        ChatRequest request = request(UserMessage.from("The weather in Rome?")).toBuilder()
                .toolSpecifications(WEATHER).toolChoice(ToolChoice.REQUIRED).maxOutputTokens(120).build();
        Heard heard = new Heard();
        streaming.chat(request, heard);
        ChatResponse response = heard.await();

        assertEquals(FinishReason.TOOL_EXECUTION, response.finishReason());
        assertEquals(1, heard.calls.size());
        ToolExecutionRequest call = heard.calls.get(0).toolExecutionRequest();
        assertEquals(List.of(call), response.aiMessage().toolExecutionRequests());
        assertEquals("weather", call.name());
        assertTrue(call.arguments().matches("\\{\\s*\"city\"\\s*:\\s*\"(Rome|Oslo)\"\\s*}"), call.arguments());
        StringBuilder arguments = new StringBuilder();
        heard.partialCalls.forEach(part -> arguments.append(part.partialArguments()));
        assertEquals(call.arguments(), arguments.toString());

        ChatResponse next = chatModel.chat(request(UserMessage.from("The weather in Rome?"), response.aiMessage(),
                ToolExecutionResultMessage.from(call, "sunny")));
        assertFalse(next.aiMessage().text().isEmpty());
    }

    @Test
    void cancellingEndsTheAnswerAndTheHandlerHearsNothingMore() throws Exception {
        CompletableFuture<Boolean> cancelled = new CompletableFuture<>();
        Heard heard = new Heard() {
            @Override
            public void onPartialResponse(PartialResponse part, PartialResponseContext context) {
                super.onPartialResponse(part, context);
                context.streamingHandle().cancel();
                cancelled.complete(context.streamingHandle().isCancelled());
            }
        };
        streaming.chat(request(UserMessage.from("Once upon a time")), heard);
        assertTrue(cancelled.get(30, TimeUnit.SECONDS));
        String soFar = heard.text.toString();
        // One that begins afterwards has ended: the cancelled one had the time to say more.
        chatModel.chat("Once upon a time");
        assertEquals(soFar, heard.text.toString());
        assertFalse(heard.response.isDone());
        assertEquals(List.of(), heard.errors);
    }

    @Test
    void aHandlersFailureIsToldToItAndTheAnswerGoesOn() throws Exception {
        IllegalStateException failure = new IllegalStateException("of the handler");
        Heard heard = new Heard() {
            @Override
            public void onPartialResponse(PartialResponse part, PartialResponseContext context) {
                throw failure;
            }
        };
        streaming.chat(request(UserMessage.from("Once upon a time")), heard);
        assertEquals(12, heard.await().tokenUsage().outputTokenCount());
        assertEquals(failure, heard.errors.get(0));
    }

    @Test
    void whatIsWrongIsNamed() {
        ChatRequest image = request(UserMessage.from(ImageContent.from("aGVsbG8=", "image/png")));
        assertTrue(assertThrows(UnsupportedFeatureException.class, () -> chatModel.chat(image))
                .getMessage().contains("IMAGE"));
        InvalidRequestException tooLong = assertThrows(InvalidRequestException.class,
                () -> chatModel.chat("far too long ".repeat(200)));
        assertTrue(tooLong.getMessage().contains("256"), tooLong.getMessage());
        ChatRequest other = request(UserMessage.from("Hello")).toBuilder()
                .parameters(ChatRequestParameters.builder().modelName("another").build()).build();
        assertTrue(assertThrows(UnsupportedFeatureException.class, () -> chatModel.chat(other))
                .getMessage().contains("another"));
        assertThrows(InvalidRequestException.class, () -> chatModel.chat(request(UserMessage.from("Hello")).toBuilder()
                .temperature(-1.0).build()));
    }

    @Test
    void anInterruptEndsARequest() {
        Thread.currentThread().interrupt();
        try {
            assertThrows(CancelledException.class, () -> chatModel.chat("Once upon a time"));
            assertTrue(Thread.currentThread().isInterrupted());
        } finally {
            Thread.interrupted();
        }
    }

    @Test
    void listenersAreTold() {
        List<String> texts = new ArrayList<>();
        RepriseChatModel heard = RepriseChatModel.builder(model).options(OPTIONS)
                .listeners(List.of(new ChatModelListener() {
                    @Override
                    public void onResponse(ChatModelResponseContext context) {
                        texts.add(context.chatResponse().aiMessage().text());
                    }
                })).build();
        assertEquals(List.of(heard.chat("Once")), texts);
    }

    @Test
    void tokensAreCounted() {
        RepriseTokenCountEstimator estimator = new RepriseTokenCountEstimator(model);
        assertEquals(0, estimator.estimateTokenCountInText(""));
        int one = estimator.estimateTokenCountInText("Once upon a time");
        assertEquals(model.tokenizer().encodeContinuation("Once upon a time", false).length, one);
        assertTrue(estimator.estimateTokenCountInMessage(UserMessage.from("Once upon a time")) > one);
    }
}
