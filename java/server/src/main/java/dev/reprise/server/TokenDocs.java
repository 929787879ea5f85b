package dev.reprise.server;

import dev.reprise.Token;
import dev.reprise.Tokenizer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Tokens with their log-probabilities, as chat completions show them. */
final class TokenDocs {
    /** What OpenAI shows where a probability is 0. */
    private static final double LEAST = -9999;

    private final Tokenizer tokenizer;

    TokenDocs(Tokenizer tokenizer) {
        this.tokenizer = tokenizer;
    }

    /** The elements of {@code logprobs.content}, without end tokens. */
    List<Object> content(List<Token> tokens) {
        List<Object> content = new ArrayList<>();
        for (Token token : tokens) {
            if (tokenizer.isEndOfGeneration(token.id())) {
                continue;
            }
            Map<String, Object> document = one(token.id(), token.logProbability());
            document.put("top_logprobs", token.alternatives().stream()
                    .map(other -> one(other.id(), other.logProbability())).toList());
            content.add(document);
        }
        return content;
    }

    /** The {@code logprobs} of a completion's text, which begins at an offset. */
    Map<String, Object> completion(List<Token> tokens, int offset) {
        List<Object> texts = new ArrayList<>();
        List<Object> probabilities = new ArrayList<>();
        List<Object> likeliest = new ArrayList<>();
        List<Object> offsets = new ArrayList<>();
        int at = offset;
        for (Token token : tokens) {
            if (tokenizer.isEndOfGeneration(token.id())) {
                continue;
            }
            texts.add(text(token.id()));
            probabilities.add(finite(token.logProbability()));
            Map<String, Object> others = Doc.of();
            token.alternatives().forEach(other -> others.put(text(other.id()), finite(other.logProbability())));
            likeliest.add(others);
            offsets.add(at);
            at += token.text().length();
        }
        return Doc.of("tokens", texts, "token_logprobs", probabilities, "top_logprobs", likeliest,
                "text_offset", offsets);
    }

    private String text(int id) {
        return new String(tokenizer.tokenBytes(id), StandardCharsets.UTF_8);
    }

    private Map<String, Object> one(int id, float logProbability) {
        byte[] bytes = tokenizer.tokenBytes(id);
        List<Object> numbers = new ArrayList<>();
        for (byte b : bytes) {
            numbers.add(Byte.toUnsignedInt(b));
        }
        return Doc.of("token", new String(bytes, StandardCharsets.UTF_8), "logprob", finite(logProbability),
                "bytes", numbers);
    }

    /** As JSON can hold it. */
    static double finite(float logProbability) {
        return Float.isFinite(logProbability) ? Math.max(logProbability, LEAST) : LEAST;
    }
}
