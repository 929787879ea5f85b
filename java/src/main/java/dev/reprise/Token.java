package dev.reprise;

import java.util.List;
import java.util.Objects;

/** A generated token. Immutable. */
public final class Token {
    private final int id;
    private final String text;
    private final float logProbability;
    private final List<Alternative> alternatives;

    Token(int id, String text, float logProbability, List<Alternative> alternatives) {
        this.id = id;
        this.text = text;
        this.logProbability = logProbability;
        this.alternatives = alternatives;
    }

    /** Its id in the vocabulary. */
    public int id() {
        return id;
    }

    /**
     * The text that the token completes; empty for one that ends within a character, that may be the beginning of a
     * stop string, or that is a control token. The texts of a generation's tokens together are its text.
     */
    public String text() {
        return text;
    }

    /**
     * The natural logarithm of its probability under the model's unmodified logits; NaN unless
     * {@link GenerationOptions.Builder#logprobs} asks for it.
     */
    public float logProbability() {
        return logProbability;
    }

    /**
     * The likeliest tokens at this place under the model's unmodified logits, the likeliest first, this token among
     * them or not; as many as {@link GenerationOptions.Builder#topLogprobs} asks for, fewer where fewer have a
     * probability above 0.
     */
    public List<Alternative> alternatives() {
        return alternatives;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Token that
                && id == that.id
                && text.equals(that.text)
                && Float.compare(logProbability, that.logProbability) == 0
                && alternatives.equals(that.alternatives);
    }

    @Override
    public int hashCode() {
        return Objects.hash(id, text, logProbability, alternatives);
    }

    /** The text. */
    @Override
    public String toString() {
        return text;
    }

    /** A token that could stand where another was generated. Immutable. */
    public static final class Alternative {
        private final int id;
        private final String text;
        private final float logProbability;

        Alternative(int id, String text, float logProbability) {
            this.id = id;
            this.text = text;
            this.logProbability = logProbability;
        }

        /** Its id in the vocabulary. */
        public int id() {
            return id;
        }

        /** The text of the token alone: U+FFFD where it is a part of a character, its name if it is a control token. */
        public String text() {
            return text;
        }

        /** The natural logarithm of its probability under the model's unmodified logits. */
        public float logProbability() {
            return logProbability;
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Alternative that
                    && id == that.id
                    && text.equals(that.text)
                    && Float.compare(logProbability, that.logProbability) == 0;
        }

        @Override
        public int hashCode() {
            return Objects.hash(id, text, logProbability);
        }

        @Override
        public String toString() {
            return "Alternative[id=" + id + ", text=" + text + ", logProbability=" + logProbability + "]";
        }
    }
}
