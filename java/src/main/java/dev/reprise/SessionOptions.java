package dev.reprise;

import java.util.Objects;

/** How a session is opened. Immutable. */
public final class SessionOptions {
    private static final SessionOptions DEFAULTS = builder().build();

    private final int contextLength;
    /** Null if none was chosen. */
    private final KvType kvType;
    private final GraphMode graphMode;
    private final boolean prefixSharing;
    private final int priority;

    private SessionOptions(Builder builder) {
        contextLength = builder.contextLength;
        kvType = builder.kvType;
        graphMode = builder.graphMode;
        prefixSharing = builder.prefixSharing;
        priority = builder.priority;
    }

    /**
     * A context of the model's length or sliding window, at most 4096; a KV cache of type F16; {@link GraphMode#AUTO};
     * equal beginnings are shared. A restored session has the context and the type that it was saved with.
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
        builder.prefixSharing = prefixSharing;
        builder.priority = priority;
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

    /** Whether the session shares what its prompts begin with. */
    public boolean prefixSharing() {
        return prefixSharing;
    }

    /** Who goes first where there is no room for all: the higher. */
    public int priority() {
        return priority;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof SessionOptions that
                && contextLength == that.contextLength
                && kvType == that.kvType
                && graphMode == that.graphMode
                && prefixSharing == that.prefixSharing
                && priority == that.priority;
    }

    @Override
    public int hashCode() {
        return Objects.hash(contextLength, kvType, graphMode, prefixSharing, priority);
    }

    @Override
    public String toString() {
        return "SessionOptions[contextLength=" + contextLength + ", kvType=" + kvType() + ", graphMode=" + graphMode
                + ", prefixSharing=" + prefixSharing + ", priority=" + priority + "]";
    }

    /** Collects the settings. */
    public static final class Builder {
        private int contextLength;
        private KvType kvType;
        private GraphMode graphMode = GraphMode.AUTO;
        private boolean prefixSharing = true;
        private int priority;

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

        /**
         * Whether a prompt that begins as one that another session of the model has evaluated, or this one before a
         * reset, takes over its keys and values instead of evaluating and keeping them again, in whole blocks of 128
         * tokens; by default it does. Results are the same, only sooner, so that whoever measures time could tell that
         * somebody asked the same before: without it the session neither finds nor is found. On CUDA nothing is shared.
         */
        public Builder prefixSharing(boolean prefixSharing) {
            this.prefixSharing = prefixSharing;
            return this;
        }

        /**
         * Who goes first where a step that the model's sessions share has no room for what all of them want evaluated:
         * the higher, 0 by default. Nobody waits for ever: who was passed over by four steps counts as one higher. On
         * CUDA it has no effect.
         *
         * @throws IllegalArgumentException unless it is in -10 to 10
         */
        public Builder priority(int priority) {
            if (priority < -10 || priority > 10) {
                throw new IllegalArgumentException("priority is " + priority + ", it must be in -10 to 10");
            }
            this.priority = priority;
            return this;
        }

        /** The settings so far. */
        public SessionOptions build() {
            return new SessionOptions(this);
        }
    }
}
