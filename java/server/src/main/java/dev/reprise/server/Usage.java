package dev.reprise.server;

import java.util.Map;

/** Tokens of a request and its answers. */
final class Usage {
    private int prompt;
    private int cached;
    private int completion;
    private int reasoning;

    /** Of the prompt, and how many of its tokens did not have to be evaluated. */
    void prompt(int tokens, int cachedTokens) {
        prompt += tokens;
        cached += cachedTokens;
    }

    void completion(int tokens, int reasoningTokens) {
        completion += tokens;
        reasoning += reasoningTokens;
    }

    int promptTokens() {
        return prompt;
    }

    int cachedTokens() {
        return cached;
    }

    int completionTokens() {
        return completion;
    }

    int reasoningTokens() {
        return reasoning;
    }

    /** As chat completions and completions show it. */
    Map<String, Object> document() {
        return Doc.of(
                "prompt_tokens", prompt,
                "completion_tokens", completion,
                "total_tokens", prompt + completion,
                "prompt_tokens_details", Doc.of("cached_tokens", cached),
                "completion_tokens_details", Doc.of("reasoning_tokens", reasoning));
    }
}
