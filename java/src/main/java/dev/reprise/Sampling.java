package dev.reprise;

import java.util.Objects;
import java.util.OptionalLong;

/**
 * How the next token is drawn from the logits: first the penalties, then top-k, top-p and min-p restrict the choice,
 * then one of what is left is drawn at the temperature. Immutable.
 *
 * <p>The random number is a function of seed and position alone, so the same seed draws the same tokens from the same
 * logits on every device.
 */
public final class Sampling {
    private static final Sampling DEFAULTS = builder().build();
    private static final Sampling GREEDY = builder().temperature(0).topK(0).topP(1).minP(0).build();

    private final float temperature;
    private final int topK;
    private final float topP;
    private final float minP;
    private final float repeatPenalty;
    private final float presencePenalty;
    private final float frequencyPenalty;
    private final OptionalLong seed;

    private Sampling(Builder builder) {
        temperature = builder.temperature;
        topK = builder.topK;
        topP = builder.topP;
        minP = builder.minP;
        repeatPenalty = builder.repeatPenalty;
        presencePenalty = builder.presencePenalty;
        frequencyPenalty = builder.frequencyPenalty;
        seed = builder.seed;
    }

    /** Temperature 0.7, top-k 40, top-p 0.95, min-p 0.05, no penalties, another seed in every generation. */
    public static Sampling defaults() {
        return DEFAULTS;
    }

    /** Always the likeliest token: temperature 0. */
    public static Sampling greedy() {
        return GREEDY;
    }

    /** A builder that starts at {@link #defaults}. */
    public static Builder builder() {
        return new Builder();
    }

    /** A builder that starts at this. */
    public Builder toBuilder() {
        Builder builder = new Builder();
        builder.temperature = temperature;
        builder.topK = topK;
        builder.topP = topP;
        builder.minP = minP;
        builder.repeatPenalty = repeatPenalty;
        builder.presencePenalty = presencePenalty;
        builder.frequencyPenalty = frequencyPenalty;
        builder.seed = seed;
        return builder;
    }

    public float temperature() {
        return temperature;
    }

    public int topK() {
        return topK;
    }

    public float topP() {
        return topP;
    }

    public float minP() {
        return minP;
    }

    public float repeatPenalty() {
        return repeatPenalty;
    }

    public float presencePenalty() {
        return presencePenalty;
    }

    public float frequencyPenalty() {
        return frequencyPenalty;
    }

    /** Empty: another one in every generation, which {@link Generation#seed} tells. */
    public OptionalLong seed() {
        return seed;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Sampling that
                && Float.compare(temperature, that.temperature) == 0
                && topK == that.topK
                && Float.compare(topP, that.topP) == 0
                && Float.compare(minP, that.minP) == 0
                && Float.compare(repeatPenalty, that.repeatPenalty) == 0
                && Float.compare(presencePenalty, that.presencePenalty) == 0
                && Float.compare(frequencyPenalty, that.frequencyPenalty) == 0
                && seed.equals(that.seed);
    }

    @Override
    public int hashCode() {
        return Objects.hash(
                temperature, topK, topP, minP, repeatPenalty, presencePenalty, frequencyPenalty, seed);
    }

    @Override
    public String toString() {
        return "Sampling[temperature=" + temperature + ", topK=" + topK + ", topP=" + topP + ", minP=" + minP
                + ", repeatPenalty=" + repeatPenalty + ", presencePenalty=" + presencePenalty + ", frequencyPenalty="
                + frequencyPenalty + ", seed=" + (seed.isPresent() ? seed.getAsLong() : "any") + "]";
    }

    /** Collects the settings; each setter throws {@link IllegalArgumentException} for a value outside its range. */
    public static final class Builder {
        private float temperature = 0.7f;
        private int topK = 40;
        private float topP = 0.95f;
        private float minP = 0.05f;
        private float repeatPenalty = 1;
        private float presencePenalty;
        private float frequencyPenalty;
        private OptionalLong seed = OptionalLong.empty();

        private Builder() {}

        /** Divides the logits: below 1 likely tokens get likelier, above 1 less so; 0 always takes the likeliest. */
        public Builder temperature(double temperature) {
            check(temperature == 0 || temperature >= 1e-4 && temperature <= 1000, "temperature", temperature,
                    "0 or from 0.0001 to 1000");
            this.temperature = (float) temperature;
            return this;
        }

        /** Only the k likeliest tokens; 0: all. */
        public Builder topK(int topK) {
            check(topK >= 0, "topK", topK, "0 (off) or positive");
            this.topK = topK;
            return this;
        }

        /** Only the likeliest tokens that together have this probability, in (0, 1]; 1: all. */
        public Builder topP(double topP) {
            check((float) topP > 0 && topP <= 1, "topP", topP, "above 0 and at most 1 (off)");
            this.topP = (float) topP;
            return this;
        }

        /** Only tokens at least this probable, relative to the likeliest, in [0, 1); 0: all. */
        public Builder minP(double minP) {
            check(minP >= 0 && (float) minP < 1, "minP", minP, "at least 0 (off) and below 1");
            this.minP = (float) minP;
            return this;
        }

        /** Divides positive and multiplies negative logits of tokens that the session has seen; 1: off. */
        public Builder repeatPenalty(double repeatPenalty) {
            check((float) repeatPenalty > 0 && repeatPenalty <= 1000, "repeatPenalty", repeatPenalty,
                    "above 0 and at most 1000; 1 is off");
            this.repeatPenalty = (float) repeatPenalty;
            return this;
        }

        /** Taken off the logit of every token that the session has seen; 0: off. */
        public Builder presencePenalty(double presencePenalty) {
            check(Math.abs(presencePenalty) <= 1000, "presencePenalty", presencePenalty, "from -1000 to 1000");
            this.presencePenalty = (float) presencePenalty;
            return this;
        }

        /** Taken off a token's logit for every time that the session has seen it; 0: off. */
        public Builder frequencyPenalty(double frequencyPenalty) {
            check(Math.abs(frequencyPenalty) <= 1000, "frequencyPenalty", frequencyPenalty, "from -1000 to 1000");
            this.frequencyPenalty = (float) frequencyPenalty;
            return this;
        }

        /** What the random numbers come from; without it every generation has another one. */
        public Builder seed(long seed) {
            this.seed = OptionalLong.of(seed);
            return this;
        }

        /** The settings so far. */
        public Sampling build() {
            return new Sampling(this);
        }

        private static void check(boolean ok, String name, double value, String range) {
            if (!ok) {
                throw new IllegalArgumentException(name + " is " + value + ", it must be " + range);
            }
        }
    }
}
