package dev.reprise;

import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;

/** What to generate and when to stop. Immutable. */
public final class GenerationOptions {
    private static final GenerationOptions DEFAULTS = builder().build();

    private final OptionalInt maxTokens;
    private final List<String> stop;
    private final Sampling sampling;
    private final boolean parseSpecialTokens;
    private final boolean showSpecialTokens;
    private final boolean logprobs;
    private final int topLogprobs;
    private final Constraint constraint;

    private GenerationOptions(Builder builder) {
        maxTokens = builder.maxTokens;
        stop = builder.stop;
        sampling = builder.sampling;
        parseSpecialTokens = builder.parseSpecialTokens;
        showSpecialTokens = builder.showSpecialTokens;
        logprobs = builder.logprobs;
        topLogprobs = builder.topLogprobs;
        constraint = builder.constraint;
    }

    /**
     * As many tokens as the context holds, no stop strings, {@link Sampling#defaults}, prompts taken as plain text,
     * special tokens left out of texts.
     */
    public static GenerationOptions defaults() {
        return DEFAULTS;
    }

    /** A builder that starts at {@link #defaults}. */
    public static Builder builder() {
        return new Builder();
    }

    /** A builder that starts at this. */
    public Builder toBuilder() {
        Builder builder = new Builder();
        builder.maxTokens = maxTokens;
        builder.stop = stop;
        builder.sampling = sampling;
        builder.parseSpecialTokens = parseSpecialTokens;
        builder.showSpecialTokens = showSpecialTokens;
        builder.logprobs = logprobs;
        builder.topLogprobs = topLogprobs;
        builder.constraint = constraint;
        return builder;
    }

    /** The most tokens to generate; empty: what the context holds. */
    public OptionalInt maxTokens() {
        return maxTokens;
    }

    public List<String> stop() {
        return stop;
    }

    public Sampling sampling() {
        return sampling;
    }

    public boolean parseSpecialTokens() {
        return parseSpecialTokens;
    }

    public boolean showSpecialTokens() {
        return showSpecialTokens;
    }

    public boolean logprobs() {
        return logprobs;
    }

    public int topLogprobs() {
        return topLogprobs;
    }

    public Optional<Constraint> constraint() {
        return Optional.ofNullable(constraint);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof GenerationOptions that
                && maxTokens.equals(that.maxTokens)
                && stop.equals(that.stop)
                && sampling.equals(that.sampling)
                && parseSpecialTokens == that.parseSpecialTokens
                && showSpecialTokens == that.showSpecialTokens
                && logprobs == that.logprobs
                && topLogprobs == that.topLogprobs
                && Objects.equals(constraint, that.constraint);
    }

    @Override
    public int hashCode() {
        return Objects.hash(
                maxTokens, stop, sampling, parseSpecialTokens, showSpecialTokens, logprobs, topLogprobs, constraint);
    }

    @Override
    public String toString() {
        return "GenerationOptions[maxTokens="
                + (maxTokens.isPresent() ? maxTokens.getAsInt() : "any") + ", stop=" + stop + ", sampling=" + sampling
                + ", parseSpecialTokens=" + parseSpecialTokens + ", showSpecialTokens=" + showSpecialTokens
                + ", logprobs=" + logprobs + ", topLogprobs=" + topLogprobs
                + (constraint == null ? "" : ", constraint=" + constraint) + "]";
    }

    /** Collects the settings. */
    public static final class Builder {
        private OptionalInt maxTokens = OptionalInt.empty();
        private List<String> stop = List.of();
        private Sampling sampling = Sampling.defaults();
        private boolean parseSpecialTokens;
        private boolean showSpecialTokens;
        private boolean logprobs;
        private int topLogprobs;
        private Constraint constraint;

        private Builder() {}

        /**
         * The most tokens to generate; without it as many as the context holds.
         *
         * @throws IllegalArgumentException if it is not positive
         */
        public Builder maxTokens(int maxTokens) {
            if (maxTokens <= 0) {
                throw new IllegalArgumentException("maxTokens is " + maxTokens + ", it must be positive");
            }
            this.maxTokens = OptionalInt.of(maxTokens);
            return this;
        }

        /**
         * Texts at which the generation ends, wherever tokens begin and end. The stop string itself is not delivered,
         * and text that may be its beginning is held back until that is decided.
         *
         * @throws IllegalArgumentException if one of them is empty
         */
        public Builder stop(String... stop) {
            for (String text : stop) {
                if (text.isEmpty()) {
                    throw new IllegalArgumentException(
                            "a stop string is empty, which would end every generation at once");
                }
            }
            this.stop = List.of(stop);
            return this;
        }

        public Builder sampling(Sampling sampling) {
            this.sampling = Objects.requireNonNull(sampling, "sampling");
            return this;
        }

        /**
         * Whether the text of a control token in a prompt, such as {@code <|im_start|>}, becomes that token. Leave it
         * off for prompts that hold text of users.
         */
        public Builder parseSpecialTokens(boolean parseSpecialTokens) {
            this.parseSpecialTokens = parseSpecialTokens;
            return this;
        }

        /**
         * Whether the text of special tokens that the model generates is part of its text: of those of type
         * {@link TokenType#CONTROL} and {@link TokenType#UNKNOWN} and of the one that ends the generation. Their ids
         * come in any case.
         */
        public Builder showSpecialTokens(boolean showSpecialTokens) {
            this.showSpecialTokens = showSpecialTokens;
            return this;
        }

        /**
         * How many {@link Token#alternatives} tokens carry; more than 0 brings their {@link Token#logProbability} too.
         *
         * @throws IllegalArgumentException if it is not from 0 to 20
         */
        public Builder topLogprobs(int topLogprobs) {
            if (topLogprobs < 0 || topLogprobs > Native.MAX_TOP_LOGPROBS) {
                throw new IllegalArgumentException(
                        "topLogprobs is " + topLogprobs + ", it must be from 0 to " + Native.MAX_TOP_LOGPROBS);
            }
            this.topLogprobs = topLogprobs;
            return this;
        }

        /** What limits the text; null: nothing does. */
        public Builder constraint(Constraint constraint) {
            this.constraint = constraint;
            return this;
        }

        /** Whether tokens carry their {@link Token#logProbability}. */
        public Builder logprobs(boolean logprobs) {
            this.logprobs = logprobs;
            return this;
        }

        /** The settings so far. */
        public GenerationOptions build() {
            return new GenerationOptions(this);
        }
    }
}
