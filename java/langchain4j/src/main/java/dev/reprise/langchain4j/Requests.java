package dev.reprise.langchain4j;

import dev.langchain4j.agent.tool.ToolExecutionRequest;
import dev.langchain4j.agent.tool.ToolSpecification;
import dev.langchain4j.data.message.AiMessage;
import dev.langchain4j.data.message.ChatMessage;
import dev.langchain4j.data.message.Content;
import dev.langchain4j.data.message.SystemMessage;
import dev.langchain4j.data.message.TextContent;
import dev.langchain4j.data.message.ToolExecutionResultMessage;
import dev.langchain4j.data.message.UserMessage;
import dev.langchain4j.exception.UnsupportedFeatureException;
import dev.langchain4j.model.chat.request.ChatRequest;
import dev.langchain4j.model.chat.request.ChatRequestParameters;
import dev.langchain4j.model.chat.request.ResponseFormat;
import dev.langchain4j.model.chat.request.ResponseFormatType;
import dev.langchain4j.model.chat.response.ChatResponse;
import dev.langchain4j.model.output.FinishReason;
import dev.langchain4j.model.output.TokenUsage;
import dev.reprise.Chat;
import dev.reprise.ChatAnswer;
import dev.reprise.ChatOptions;
import dev.reprise.ChatStream;
import dev.reprise.Constraint;
import dev.reprise.GenerationOptions;
import dev.reprise.Message;
import dev.reprise.Model;
import dev.reprise.Role;
import dev.reprise.Sampling;
import dev.reprise.Tool;
import dev.reprise.ToolCall;
import dev.reprise.ToolChoice;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.function.BiFunction;

/** LangChain4j's requests as conversations, and answers as its responses. */
final class Requests {
    private final Model model;
    private final String modelName;
    private final ChatOptions options;
    private final ChatRequestParameters defaults;

    Requests(ModelBuilder<?> builder) {
        model = builder.model();
        modelName = builder.modelName();
        options = builder.options();
        defaults = builder.defaults();
    }

    ChatRequestParameters defaults() {
        return defaults;
    }

    /** A conversation for the request, without a message yet. */
    Chat chat(ChatRequest request) {
        String name = request.modelName();
        if (name != null && !name.equals(modelName)) {
            throw new UnsupportedFeatureException(
                    "the request names the model " + name + ", and this one is " + modelName);
        }
        return model.newChat(options);
    }

    /** Begins the answer. */
    ChatStream send(Chat chat, ChatRequest request) {
        return chat.send(messages(request.messages()), options(request.parameters()));
    }

    // ---- parameters ------------------------------------------------------------------------------------------------

    private ChatOptions options(ChatRequestParameters asked) {
        Sampling.Builder sampling = options.generation().sampling().toBuilder();
        sampling = with(sampling, asked.temperature(), Sampling.Builder::temperature);
        sampling = with(sampling, asked.topP(), Sampling.Builder::topP);
        sampling = with(sampling, asked.topK(), Sampling.Builder::topK);
        sampling = with(sampling, asked.frequencyPenalty(), Sampling.Builder::frequencyPenalty);
        sampling = with(sampling, asked.presencePenalty(), Sampling.Builder::presencePenalty);
        GenerationOptions.Builder generation = options.generation().toBuilder().sampling(sampling.build());
        generation = with(generation, asked.maxOutputTokens(), GenerationOptions.Builder::maxTokens);
        if (asked.stopSequences() != null && !asked.stopSequences().isEmpty()) {
            generation.stop(asked.stopSequences().toArray(String[]::new));
        }
        generation = with(generation, asked.responseFormat(), Requests::obey);
        ChatOptions.Builder builder = options.toBuilder().generation(generation.build());
        if (asked.toolSpecifications() != null && !asked.toolSpecifications().isEmpty()) {
            builder.tools(asked.toolSpecifications().stream().map(Requests::tool).toList());
        }
        return with(builder, asked.toolChoice(), Requests::choose).build();
    }

    private static <B, T> B with(B builder, T value, BiFunction<B, T, B> setter) {
        return value == null ? builder : setter.apply(builder, value);
    }

    private static GenerationOptions.Builder obey(GenerationOptions.Builder builder, ResponseFormat format) {
        if (format.type() != ResponseFormatType.JSON) {
            return builder;
        }
        String schema = format.jsonSchema() == null
                ? "{\"type\":\"object\"}"
                : Schemas.json(format.jsonSchema().rootElement());
        return builder.constraint(Constraint.jsonSchema(schema));
    }

    private static ChatOptions.Builder choose(
            ChatOptions.Builder builder, dev.langchain4j.model.chat.request.ToolChoice choice) {
        return builder.toolChoice(switch (choice) {
            case AUTO -> ToolChoice.auto();
            case REQUIRED -> ToolChoice.required();
            case NONE -> ToolChoice.none();
        });
    }

    private static Tool tool(ToolSpecification specification) {
        String description = specification.description() == null ? "" : specification.description();
        String parameters = specification.parameters() == null
                ? "{\"type\":\"object\",\"properties\":{}}"
                : Schemas.json(specification.parameters());
        return Tool.of(specification.name(), description, parameters);
    }

    // ---- messages --------------------------------------------------------------------------------------------------

    static List<Message> messages(Iterable<ChatMessage> messages) {
        List<Message> result = new ArrayList<>();
        for (ChatMessage message : messages) {
            result.add(message(message));
        }
        return result;
    }

    private static Message message(ChatMessage message) {
        if (message instanceof SystemMessage system) {
            return Message.system(system.text());
        } else if (message instanceof UserMessage user) {
            Message.Builder builder = Message.builder(Role.USER).text(texts(user.contents()));
            return (user.name() == null ? builder : builder.name(user.name())).build();
        } else if (message instanceof AiMessage answer) {
            Message.Builder builder = Message.builder(Role.ASSISTANT);
            builder = with(builder, answer.text(), Message.Builder::text);
            builder = with(builder, answer.thinking(), Message.Builder::reasoning);
            return builder.toolCalls(answer.toolExecutionRequests().stream().map(Requests::call).toList()).build();
        } else if (message instanceof ToolExecutionResultMessage result) {
            Message.Builder builder = Message.builder(Role.TOOL).text(texts(result.contents())).name(result.toolName());
            return with(builder, result.id(), Message.Builder::toolCallId).build();
        }
        throw new UnsupportedFeatureException("messages of the type " + message.type() + " are not supported");
    }

    private static String[] texts(List<Content> contents) {
        String[] texts = new String[contents.size()];
        for (int i = 0; i < texts.length; i++) {
            if (!(contents.get(i) instanceof TextContent text)) {
                throw new UnsupportedFeatureException(
                        "content of the type " + contents.get(i).type() + " is not supported, text is");
            }
            texts[i] = text.text();
        }
        return texts;
    }

    private static ToolCall call(ToolExecutionRequest request) {
        String id = request.id() == null ? "" : request.id();
        String arguments = request.arguments() == null || request.arguments().isBlank() ? "{}" : request.arguments();
        return ToolCall.of(id, request.name(), arguments);
    }

    static ToolExecutionRequest call(ToolCall call) {
        return ToolExecutionRequest.builder().id(call.id()).name(call.name()).arguments(call.arguments()).build();
    }

    // ---- the answer ------------------------------------------------------------------------------------------------

    ChatResponse response(Chat chat, ChatAnswer answer) {
        AiMessage.Builder message = AiMessage.builder()
                .toolExecutionRequests(answer.toolCalls().stream().map(Requests::call).toList());
        if (!answer.text().isEmpty() || answer.toolCalls().isEmpty()) {
            message.text(answer.text());
        }
        answer.message().reasoning().ifPresent(message::thinking);
        return ChatResponse.builder()
                .id(UUID.randomUUID().toString())
                .modelName(modelName)
                .aiMessage(message.build())
                .tokenUsage(new TokenUsage(answer.promptTokens(), answer.tokens().size()))
                .finishReason(reason(answer))
                .build();
    }

    private static FinishReason reason(ChatAnswer answer) {
        if (!answer.toolCalls().isEmpty()) {
            return FinishReason.TOOL_EXECUTION;
        }
        return switch (answer.finishReason()) {
            case END, STOP -> FinishReason.STOP;
            case MAX_TOKENS, CONTEXT_FULL -> FinishReason.LENGTH;
            case CANCELLED -> FinishReason.OTHER;
        };
    }
}
