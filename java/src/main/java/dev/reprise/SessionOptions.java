package dev.reprise;

import java.util.Objects;

/** How a session is opened. Immutable. */
public final class SessionOptions {
    private static final SessionOptions DEFAULTS = builder().build();

    private final int contextLength;
    /** Null if none was chosen. */
    private final KvType kvType;
    private final GraphMode graphMode;

    private SessionOptions(Builder builder) {
        contextLength = builder.contextLength;
        kvType = builder.kvType;
        graphMode = builder.graphMode;
    }

    /**
     * A context of the model's length or sliding window, at most 4096; a KV cache of type F16; {@link GraphMode#AUTO}.
     * A restored session has the context and the type that it was saved with.
     */
    public static SessionOptions defaults() {
        return DEFAULTS;
    }

    /** A builder that starts at {@link #defaults}. */
    public static Builder builder() {
        return new Builder();
    }

    /** A builder that starts at this. */
    public Builder toBuilder() {
        Builder builder = new Builder();
        builder.contextLength = contextLength;
        builder.kvType = kvType;
        builder.graphMode = graphMode;
        return builder;
    }

    /** Tokens that the session can hold; 0: the model's context length or sliding window, at most 4096. */
    public int contextLength() {
        return contextLength;
    }

    /** The number format of the KV cache: {@link KvType#F16} if none was chosen. */
    public KvType kvType() {
        return kvType == null ? KvType.F16 : kvType;
    }

    /** Whether a restored session must have been saved with {@link #kvType}. */
    boolean choosesKvType() {
        return kvType != null;
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
        return "SessionOptions[contextLength=" + contextLength + ", kvType=" + kvType() + ", graphMode=" + graphMode
                + "]";
    }

    /** Collects the settings. */
    public static final class Builder {
        private int contextLength;
        private KvType kvType;
        private GraphMode graphMode = GraphMode.AUTO;

        private Builder() {}

        /**
         * Tokens that the session can hold, prompts and generated ones together; at most what the model was trained for
         * and, if its attention has a sliding window, what that holds. 0: as many, up to 4096, or for a restored
         * session what it was saved with.
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
         * The number format of the KV cache, by default {@link KvType#F16}, or for a restored session what it was saved
         * with, which cannot be changed. A model with exact arithmetic keeps F32 whatever is asked for.
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
