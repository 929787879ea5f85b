package dev.reprise.server;

import dev.reprise.ChatOptions;
import dev.reprise.GenerationOptions;
import dev.reprise.Message;
import dev.reprise.SessionOptions;
import java.util.List;

/** {@code POST /v1/chat/completions}: reads the request. */
final class ChatCompletions {
    private static final int MOST_ANSWERS = 32;
    private static final int MOST_TOP_LOGPROBS = 20;

    private ChatCompletions() {}

    static ChatCall read(Fields request, SessionOptions session, int mostTokens) {
        List<Message> messages = OpenAiMessages.read(request);
        GenerationOptions.Builder generation = GenerationOptions.builder();
        ChatOptions.Builder options = ChatOptions.builder().session(session);
        Sampler.readStop(request, "stop", generation);
        readLogprobs(request, generation);
        readLength(request, mostTokens, generation, "max_tokens", "max_completion_tokens");
        Tools.read(request, true, options);
        Tools.readFormat(request, generation);
        Tools.readReasoning(request, request.text("reasoning_effort").orElse(null), options);
        request.list("modalities").ifPresent(kinds -> {
            if (!kinds.equals(List.of("text"))) {
                throw request.bad("modalities", "asks for more than text, which is not supported");
            }
        });
        request.refuse("models answer with text alone", "audio");
        request.refuse("there is no search", "web_search_options");
        return new ChatCall(messages, options.build(), generation.build(), Sampler.read(request).build(),
                request.integer("n", 1, MOST_ANSWERS).orElse(1),
                request.flag("parallel_tool_calls").orElse(true), "response_format");
    }

    private static void readLogprobs(Fields request, GenerationOptions.Builder generation) {
        boolean wanted = request.isTrue("logprobs");
        generation.logprobs(wanted);
        request.integer("top_logprobs", 0, MOST_TOP_LOGPROBS).ifPresent(count -> {
            if (!wanted && count > 0) {
                throw request.bad("top_logprobs", "needs logprobs to be true");
            }
            generation.topLogprobs(count);
        });
    }

    /** The most tokens of an answer, by the last of the keys that is there. */
    static void readLength(Fields request, int mostTokens, GenerationOptions.Builder generation, String... keys) {
        int tokens = mostTokens;
        for (String key : keys) {
            tokens = Math.min(mostTokens, request.integer(key, 1, Integer.MAX_VALUE).orElse(tokens));
        }
        if (tokens < Integer.MAX_VALUE) {
            generation.maxTokens(tokens);
        }
    }

    /** Whether a stream ends with the usage. */
    static boolean wantsUsage(Fields request) {
        return request.object("stream_options").map(options -> options.isTrue("include_usage")).orElse(false);
    }
}
