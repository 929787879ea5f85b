package dev.reprise;

import java.util.Objects;

/** How a session is opened. Immutable. */
public final class SessionOptions {
    private static final SessionOptions DEFAULTS = builder().build();

    private final int contextLength;
    private final KvType kvType;
    private final GraphMode graphMode;

    private SessionOptions(Builder builder) {
        contextLength = builder.contextLength;
        kvType = builder.kvType;
        graphMode = builder.graphMode;
    }

    /** A context of the model's length, at most 4096; a KV cache of type F16; {@link GraphMode#AUTO}. */
    public static SessionOptions defaults() {
        return DEFAULTS;
    }

    /** A builder that starts at {@link #defaults}. */
    public static Builder builder() {
        return new Builder();
    }

    /** Tokens that the session can hold; 0: the model's context length, at most 4096. */
    public int contextLength() {
        return contextLength;
    }

    public KvType kvType() {
        return kvType;
    }

    public GraphMode graphMode() {
        return graphMode;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof SessionOptions that
                && contextLength == that.contextLength
                && kvType == that.kvType
                && graphMode == that.graphMode;
    }

    @Override
    public int hashCode() {
        return Objects.hash(contextLength, kvType, graphMode);
    }

    @Override
    public String toString() {
        return "SessionOptions[contextLength=" + contextLength + ", kvType=" + kvType
                + ", graphMode=" + graphMode + "]";
    }

    /** Collects the settings. */
    public static final class Builder {
        private int contextLength;
        private KvType kvType = KvType.F16;
        private GraphMode graphMode = GraphMode.AUTO;

        private Builder() {}

        /**
         * Tokens that the session can hold, prompts and generated ones together; at most what the model was trained
         * for. 0: the model's context length, at most 4096.
         *
         * @throws IllegalArgumentException if it is negative
         */
        public Builder contextLength(int contextLength) {
            if (contextLength < 0) {
                throw new IllegalArgumentException(
                        "contextLength is " + contextLength + ", it must be positive, or 0 for the default");
            }
            this.contextLength = contextLength;
            return this;
        }

        /**
         * The number format of the KV cache, {@link KvType#F16} by default. A model with exact arithmetic keeps F32
         * whatever is asked for.
         */
        public Builder kvType(KvType kvType) {
            this.kvType = Objects.requireNonNull(kvType, "kvType");
            return this;
        }

        /** How decode steps run on a CUDA device. */
        public Builder graphMode(GraphMode graphMode) {
            this.graphMode = Objects.requireNonNull(graphMode, "graphMode");
            return this;
        }

        /** The settings so far. */
        public SessionOptions build() {
            return new SessionOptions(this);
        }
    }
}
