package dev.reprise;

import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalLong;

/**
 * How the next token is drawn from the logits: first biases, penalties and DRY change them, then top-k, top-p, min-p
 * and XTC restrict the choice, then one of what is left is drawn at the temperature. Immutable.
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
    private final float dryMultiplier;
    private final float dryBase;
    private final int dryAllowedLength;
    private final int dryLastN;
    private final List<String> dryBreakers;
    private final float xtcProbability;
    private final float xtcThreshold;
    private final Map<Integer, Float> logitBias;
    private final OptionalLong seed;

    private Sampling(Builder builder) {
        temperature = builder.temperature;
        topK = builder.topK;
        topP = builder.topP;
        minP = builder.minP;
        repeatPenalty = builder.repeatPenalty;
        presencePenalty = builder.presencePenalty;
        frequencyPenalty = builder.frequencyPenalty;
        dryMultiplier = builder.dryMultiplier;
        dryBase = builder.dryBase;
        dryAllowedLength = builder.dryAllowedLength;
        dryLastN = builder.dryLastN;
        dryBreakers = builder.dryBreakers;
        xtcProbability = builder.xtcProbability;
        xtcThreshold = builder.xtcThreshold;
        logitBias = builder.logitBias;
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
        builder.dryMultiplier = dryMultiplier;
        builder.dryBase = dryBase;
        builder.dryAllowedLength = dryAllowedLength;
        builder.dryLastN = dryLastN;
        builder.dryBreakers = dryBreakers;
        builder.xtcProbability = xtcProbability;
        builder.xtcThreshold = xtcThreshold;
        builder.logitBias = logitBias;
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

    public float dryMultiplier() {
        return dryMultiplier;
    }

    public float dryBase() {
        return dryBase;
    }

    public int dryAllowedLength() {
        return dryAllowedLength;
    }

    /** Tokens at the end of the history that DRY looks at; -1: all. */
    public int dryLastN() {
        return dryLastN;
    }

    public List<String> dryBreakers() {
        return dryBreakers;
    }

    public float xtcProbability() {
        return xtcProbability;
    }

    public float xtcThreshold() {
        return xtcThreshold;
    }

    /** By token id. */
    public Map<Integer, Float> logitBias() {
        return logitBias;
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
                && Float.compare(dryMultiplier, that.dryMultiplier) == 0
                && Float.compare(dryBase, that.dryBase) == 0
                && dryAllowedLength == that.dryAllowedLength
                && dryLastN == that.dryLastN
                && dryBreakers.equals(that.dryBreakers)
                && Float.compare(xtcProbability, that.xtcProbability) == 0
                && Float.compare(xtcThreshold, that.xtcThreshold) == 0
                && logitBias.equals(that.logitBias)
                && seed.equals(that.seed);
    }

    @Override
    public int hashCode() {
        return Objects.hash(
                temperature, topK, topP, minP, repeatPenalty, presencePenalty, frequencyPenalty, dryMultiplier, dryBase,
                dryAllowedLength, dryLastN, dryBreakers, xtcProbability, xtcThreshold, logitBias, seed);
    }

    @Override
    public String toString() {
        return "Sampling[temperature=" + temperature + ", topK=" + topK + ", topP=" + topP + ", minP=" + minP
                + ", repeatPenalty=" + repeatPenalty + ", presencePenalty=" + presencePenalty + ", frequencyPenalty="
                + frequencyPenalty + ", dryMultiplier=" + dryMultiplier + ", dryBase=" + dryBase + ", dryAllowedLength="
                + dryAllowedLength + ", dryLastN=" + dryLastN + ", dryBreakers=" + dryBreakers + ", xtcProbability="
                + xtcProbability + ", xtcThreshold=" + xtcThreshold + ", logitBias=" + logitBias
                + ", seed=" + (seed.isPresent() ? seed.getAsLong() : "any") + "]";
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
        private float dryMultiplier;
        private float dryBase = 1.75f;
        private int dryAllowedLength = 2;
        private int dryLastN = -1;
        private List<String> dryBreakers = List.of("\n", ":", "\"", "*");
        private float xtcProbability;
        private float xtcThreshold = 0.1f;
        private Map<Integer, Float> logitBias = Map.of();
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

        /**
         * How hard DRY ("don't repeat yourself") works against repetitions: a token that would continue one of
         * {@code length} tokens loses {@code multiplier * base ^ (length - allowed length)} of its logit. 0: off; 0.8
         * is usual.
         */
        public Builder dryMultiplier(double dryMultiplier) {
            check(dryMultiplier >= 0 && dryMultiplier <= 1000, "dryMultiplier", dryMultiplier, "0 (off) to 1000");
            this.dryMultiplier = (float) dryMultiplier;
            return this;
        }

        /** What DRY's penalty grows by with every further token of a repetition; 1.75 unless told otherwise. */
        public Builder dryBase(double dryBase) {
            check(dryBase >= 1 && dryBase <= 1000, "dryBase", dryBase, "from 1 to 1000");
            this.dryBase = (float) dryBase;
            return this;
        }

        /** The length from which on repetitions cost something; 2 unless told otherwise. */
        public Builder dryAllowedLength(int dryAllowedLength) {
            check(dryAllowedLength >= 1, "dryAllowedLength", dryAllowedLength, "positive");
            this.dryAllowedLength = dryAllowedLength;
            return this;
        }

        /** How many tokens at the end of the session's history DRY looks at; -1: all. */
        public Builder dryLastN(int dryLastN) {
            check(dryLastN >= -1, "dryLastN", dryLastN, "-1 (all), 0 (off) or positive");
            this.dryLastN = dryLastN;
            return this;
        }

        /**
         * Texts that no repetition goes across: a token whose text has one in it ends it. A line end, a colon, a
         * quotation mark and an asterisk unless told otherwise; none where none is given.
         *
         * @throws IllegalArgumentException if one of them is empty
         */
        public Builder dryBreakers(String... dryBreakers) {
            for (String text : dryBreakers) {
                if (text.isEmpty()) {
                    throw new IllegalArgumentException("one of dryBreakers is empty, which every text has in it");
                }
            }
            this.dryBreakers = List.of(dryBreakers);
            return this;
        }

        /**
         * How often XTC ("exclude top choices") takes effect: it then drops all tokens that are at least as probable as
         * {@link #xtcThreshold} but the least likely of them. 0: never; 1: always.
         */
        public Builder xtcProbability(double xtcProbability) {
            check(xtcProbability >= 0 && xtcProbability <= 1, "xtcProbability", xtcProbability, "from 0 (off) to 1");
            this.xtcProbability = (float) xtcProbability;
            return this;
        }

        /** From which probability on XTC counts a token as a top choice; above 0.5 it never finds two. */
        public Builder xtcThreshold(double xtcThreshold) {
            check((float) xtcThreshold > 0 && xtcThreshold <= 1, "xtcThreshold", xtcThreshold, "above 0 and at most 1");
            this.xtcThreshold = (float) xtcThreshold;
            return this;
        }

        /**
         * What is added to the logits of single tokens, by id; {@link Float#NEGATIVE_INFINITY} bans a token.
         *
         * @throws IllegalArgumentException if a value is NaN or positive infinity, or an id negative; whether the
         *     vocabulary has the ids, the generation tells
         */
        public Builder logitBias(Map<Integer, Float> logitBias) {
            logitBias.forEach((id, bias) -> {
                check(id >= 0, "logitBias: an id", id, "0 or positive");
                check(bias < Float.POSITIVE_INFINITY, "logitBias of token " + id, bias,
                        "finite, or negative infinity to ban the token");
            });
            this.logitBias = Map.copyOf(logitBias);
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
