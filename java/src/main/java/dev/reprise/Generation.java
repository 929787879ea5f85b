package dev.reprise;

import java.util.List;

/** What a generation came to. Immutable. */
public final class Generation {
    private final Values values;

    Generation(Values values) {
        this.values = values;
    }

    /** What it holds: a record, which would show how many these are if it were public. */
    record Values(
            String text,
            List<Token> tokens,
            FinishReason finishReason,
            int promptTokens,
            double promptTokensPerSecond,
            double decodeTokensPerSecond,
            long seed,
            boolean complete) {
        Values {
            tokens = List.copyOf(tokens);
        }
    }

    /** The generated text, without the stop string that ended it and, unless asked for, without special tokens. */
    public String text() {
        return values.text();
    }

    /** The generated tokens, the end token included. */
    public List<Token> tokens() {
        return values.tokens();
    }

    /** Why it ended. */
    public FinishReason finishReason() {
        return values.finishReason();
    }

    /** How many tokens the prompt had; those of earlier calls do not count. */
    public int promptTokens() {
        return values.promptTokens();
    }

    /** The speed at which the prompt was evaluated; 0 if there was none. */
    public double promptTokensPerSecond() {
        return values.promptTokensPerSecond();
    }

    /**
     * The speed at which the tokens behind the first one were decoded, time spent outside of Reprise not counted; 0
     * if there are none.
     */
    public double decodeTokensPerSecond() {
        return values.decodeTokensPerSecond();
    }

    /** The seed that the tokens were drawn with. */
    public long seed() {
        return values.seed();
    }

    /**
     * Whether the text is all that the generation's constraint demands: false where it was cut before that, true
     * without a constraint.
     */
    public boolean complete() {
        return values.complete();
    }

    /** The ids of the tokens. */
    public int[] ids() {
        return tokens().stream().mapToInt(Token::id).toArray();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Generation that && values.equals(that.values);
    }

    @Override
    public int hashCode() {
        return values.hashCode();
    }

    @Override
    public String toString() {
        return "Generation" + values.toString().substring("Values".length());
    }
}
