package dev.reprise;

import java.lang.ref.Cleaner;
import java.nio.file.Path;
import java.util.Objects;

/**
 * A language model with its weights. Immutable and safe for use by many threads; any number of sessions share it.
 * Virtual threads give their carrier back while they load, open or close; see {@link Session}.
 *
 * <pre>{@code
 * try (Model model = Model.load(Path.of("model.gguf"));
 *      Session session = model.newSession()) {
 *     session.generate("Once upon a time").forEach(System.out::print);
 * }
 * }</pre>
 */
public final class Model implements AutoCloseable {
    private final Metadata metadata;
    /** Null if the file describes none that can be used. */
    private final Tokenizer tokenizer;
    /** Why not, where it describes one. */
    private final ModelFormatException brokenTokenizer;
    private final long handle;
    private final Cleaner.Cleanable cleanable;
    private final ModelInfo info;
    private final int[] endTokens;

    private Model(ModelFile file, ModelOptions options) {
        metadata = file.metadata();
        Tokenizer described = null;
        ModelFormatException broken = null;
        try {
            described = metadata.contains("tokenizer.ggml.model") ? Tokenizer.of(metadata) : null;
        } catch (ModelFormatException e) {
            broken = e;
            Log.warn("the model takes token ids alone, since its tokenizer is damaged: " + e.getMessage());
        }
        tokenizer = described;
        brokenTokenizer = broken;
        handle = Native.loadModel(file.handle(), options);
        cleanable = Cleanup.register(this, new Closer(handle));
        info = Native.modelInfo(handle, metadata.string("general.architecture", ""));
        endTokens = EndTokens.toArray(
                tokenizer == null ? new EndTokens(metadata, info.vocabularySize()).ids() : tokenizer.endTokens());
    }

    private record Closer(long handle) implements Runnable {
        @Override
        public void run() {
            Native.closeModel(handle);
        }
    }

    /** Loads a GGUF file with {@link ModelOptions#defaults}; see {@link #load(Path, ModelOptions)}. */
    public static Model load(Path path) {
        return load(path, ModelOptions.defaults());
    }

    /**
     * Loads a GGUF file, version 2 or 3, little-endian; the first part of a split model loads all parts.
     *
     * <p>On a virtual thread the work, and the calls of a progress listener, happen on a platform thread.
     *
     * @throws java.io.UncheckedIOException if the file cannot be read
     * @throws ModelFormatException if it is no GGUF file or is damaged; a tokenizer that is damaged is reported where
     *     it is needed, by {@link #tokenizer} and by calls that take text
     * @throws UnsupportedModelException if its architecture, tokenizer or a tensor type is not supported; the message
     *     names it and says what is
     * @throws DeviceUnavailableException if the chosen device cannot be used
     * @throws OutOfDeviceMemoryException if the weights do not fit on the device
     * @throws OutOfHostMemoryException if they do not fit in memory
     * @throws CancelledException if the thread is interrupted while a progress listener is told
     * @throws UnsatisfiedLinkError if there is no native library for this platform, which the message names
     */
    public static Model load(Path path, ModelOptions options) {
        Objects.requireNonNull(options, "options");
        if (Carrier.isTaken()) {
            // All of it, since reading a large vocabulary takes its time too.
            return Carrier.leave(() -> load(path, options));
        }
        try (ModelFile file = ModelFile.open(path, options.mmap())) {
            return new Model(file, options);
        }
    }

    /** Opens a session with {@link SessionOptions#defaults}. */
    public Session newSession() {
        return newSession(SessionOptions.defaults());
    }

    /**
     * Opens a session: a history of tokens and the memory to continue it.
     *
     * @throws IllegalArgumentException if the context length exceeds the model's, or its heads do not fit {@link
     *     KvType#Q8_0}
     * @throws OutOfDeviceMemoryException if the KV cache and workspace do not fit on the device
     * @throws OutOfHostMemoryException if they do not fit in memory
     * @throws IllegalStateException if the model is closed
     */
    public Session newSession(SessionOptions options) {
        return new Session(this, Objects.requireNonNull(options, "options"));
    }

    /**
     * What turns text into the ids that this model takes.
     *
     * @throws UnsupportedModelException if the file describes no tokenizer
     * @throws ModelFormatException if it describes one with keys that are missing or contradict each other; token ids
     *     can still be used
     */
    public Tokenizer tokenizer() {
        if (brokenTokenizer != null) {
            throw new ModelFormatException(brokenTokenizer.getMessage(), brokenTokenizer);
        }
        if (tokenizer == null) {
            throw new UnsupportedModelException(
                    "the model file describes no tokenizer (tokenizer.ggml.model is missing): use token ids");
        }
        return tokenizer;
    }

    /** Null if the file describes none that can be used. */
    Tokenizer tokenizerOrNull() {
        return tokenizer;
    }

    /** The key-value pairs of the model file; of a split model those of its first file. */
    public Metadata metadata() {
        return metadata;
    }

    public ModelInfo info() {
        return info;
    }

    long handle() {
        return handle;
    }

    /** The ids that end a generation. */
    int[] endTokens() {
        return endTokens;
    }

    /**
     * Ends what runs in the model's sessions, closes them and frees the weights. A call that is in one of them throws
     * {@link CancelledException} or {@link IllegalStateException}, as do later calls. Closing twice has no effect.
     */
    @Override
    public void close() {
        cleanable.clean();
    }
}
