package dev.reprise;

import java.util.Objects;

/** How a model is loaded. Immutable. */
public final class ModelOptions {
    /** Told how far loading is, on the thread that loads. */
    @FunctionalInterface
    public interface Progress {
        /**
         * Called at least once while weights load. What it throws cancels the loading and comes out of
         * {@link Model#load(java.nio.file.Path, ModelOptions) Model.load}.
         *
         * @param doneBytes bytes of weights that are loaded
         * @param totalBytes bytes of all weights
         */
        void update(long doneBytes, long totalBytes);
    }

    private static final ModelOptions DEFAULTS = builder().build();

    private final Device device;
    private final int deviceIndex;
    private final long deviceMemoryLimit;
    private final long kvMemory;
    private final int threads;
    private final boolean mmap;
    private final boolean exact;
    private final Progress progress;

    private ModelOptions(Builder builder) {
        device = builder.device;
        deviceIndex = builder.deviceIndex;
        deviceMemoryLimit = builder.deviceMemoryLimit;
        kvMemory = builder.kvMemory;
        threads = builder.threads;
        mmap = builder.mmap;
        exact = builder.exact;
        progress = builder.progress;
    }

    /** {@link Device#AUTO}, all threads, a memory-mapped file. */
    public static ModelOptions defaults() {
        return DEFAULTS;
    }

    /** A builder that starts at {@link #defaults}. */
    public static Builder builder() {
        return new Builder();
    }

    /** A builder that starts at this. */
    public Builder toBuilder() {
        Builder builder = new Builder();
        builder.device = device;
        builder.deviceIndex = deviceIndex;
        builder.deviceMemoryLimit = deviceMemoryLimit;
        builder.kvMemory = kvMemory;
        builder.threads = threads;
        builder.mmap = mmap;
        builder.exact = exact;
        builder.progress = progress;
        return builder;
    }

    public Device device() {
        return device;
    }

    public int deviceIndex() {
        return deviceIndex;
    }

    /** Bytes of device memory; 0: what is free. */
    public long deviceMemoryLimit() {
        return deviceMemoryLimit;
    }

    /** Bytes for the keys and values of all sessions on the CPU; 0: three quarters of what is available. */
    public long kvMemory() {
        return kvMemory;
    }

    /** CPU threads; 0: as many as the process may use. */
    public int threads() {
        return threads;
    }

    public boolean mmap() {
        return mmap;
    }

    public boolean exact() {
        return exact;
    }

    /** Null if there is none. */
    Progress progress() {
        return progress;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ModelOptions that
                && device == that.device
                && deviceIndex == that.deviceIndex
                && deviceMemoryLimit == that.deviceMemoryLimit
                && kvMemory == that.kvMemory
                && threads == that.threads
                && mmap == that.mmap
                && exact == that.exact
                && Objects.equals(progress, that.progress);
    }

    @Override
    public int hashCode() {
        return Objects.hash(device, deviceIndex, deviceMemoryLimit, kvMemory, threads, mmap, exact, progress);
    }

    @Override
    public String toString() {
        return "ModelOptions[device=" + device + ", deviceIndex=" + deviceIndex + ", deviceMemoryLimit="
                + deviceMemoryLimit + ", kvMemory=" + kvMemory + ", threads=" + threads + ", mmap=" + mmap + ", exact="
                + exact + "]";
    }

    /** Collects the settings. */
    public static final class Builder {
        private Device device = Device.AUTO;
        private int deviceIndex;
        private long deviceMemoryLimit;
        private long kvMemory;
        private int threads;
        private boolean mmap = true;
        private boolean exact;
        private Progress progress;

        private Builder() {}

        /** Where the model runs. */
        public Builder device(Device device) {
            this.device = Objects.requireNonNull(device, "device");
            return this;
        }

        /** Which CUDA device, counted from 0. */
        public Builder deviceIndex(int deviceIndex) {
            this.deviceIndex = notNegative(deviceIndex, "deviceIndex");
            return this;
        }

        /** The most device memory to use, in bytes; 0: what is free. */
        public Builder deviceMemoryLimit(long bytes) {
            this.deviceMemoryLimit = notNegative(bytes, "deviceMemoryLimit");
            return this;
        }

        /**
         * Memory on the CPU for the keys and values of all sessions of the model together, in bytes, which they take
         * as they grow; 0: three quarters of what is available when the model is loaded. Where it is used up, the
         * newest of the sessions at work gets an {@link OutOfHostMemoryException} when it wants more, with its history
         * as before; older ones wait for it, as long as it works.
         */
        public Builder kvMemory(long bytes) {
            this.kvMemory = notNegative(bytes, "kvMemory");
            return this;
        }

        /** CPU threads; 0: as many as the process may use, which cgroup limits restrict too. */
        public Builder threads(int threads) {
            this.threads = notNegative(threads, "threads");
            return this;
        }

        /**
         * Whether the file is memory-mapped, so that processes share its memory and loading takes no time, or read.
         *
         * <p>Whoever truncates a mapped file kills every process that uses it: the operating system ends them with
         * SIGBUS. Where other programs may rewrite a model file in place, turn this off.
         */
        public Builder mmap(boolean mmap) {
            this.mmap = mmap;
            return this;
        }

        /**
         * Whether to compute with the reference arithmetic: weights, activations and KV cache in single precision.
         * Slow; for checking a model or a device.
         */
        public Builder exact(boolean exact) {
            this.exact = exact;
            return this;
        }

        /** Who is told how far loading is; null: nobody. A mapped file is then read ahead. */
        public Builder progress(Progress progress) {
            this.progress = progress;
            return this;
        }

        /** The settings so far. */
        public ModelOptions build() {
            return new ModelOptions(this);
        }

        private static int notNegative(int value, String name) {
            return (int) notNegative((long) value, name);
        }

        private static long notNegative(long value, String name) {
            if (value < 0) {
                throw new IllegalArgumentException(name + " is " + value + ", it must not be negative");
            }
            return value;
        }
    }
}
