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
    private final Tokenizer tokenizer;
    private final int[] endTokens;
    private final long handle;
    private final Cleaner.Cleanable cleanable;
    private final ModelInfo info;

    private Model(ModelFile file, ModelOptions options) {
        metadata = file.metadata();
        tokenizer = metadata.contains("tokenizer.ggml.model") ? Tokenizer.of(metadata) : null;
        endTokens = tokenizer == null ? new int[0] : tokenizer.endTokens();
        handle = Native.loadModel(file.handle(), options);
        cleanable = Cleanup.register(this, new Closer(handle));
        info = Native.modelInfo(handle, metadata.string("general.architecture", ""));
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
     * @throws java.io.UncheckedIOException if the file cannot be read
     * @throws ModelFormatException if it is no GGUF file or is damaged
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
        try (ModelFile file = ModelFile.open(path, options.mmap())) {
     * <p>On a virtual thread the work, and the calls of a progress listener, happen on a platform thread.
     *
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
        if (Carrier.isTaken()) {
            // All of it, since reading a large vocabulary takes its time too.
            return Carrier.leave(() -> load(path, options));
        }
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
     */
    public Tokenizer tokenizer() {
        if (tokenizer == null) {
            throw new UnsupportedModelException(
                    "the model file describes no tokenizer (tokenizer.ggml.model is missing): use token ids");
        }
        return tokenizer;
    }

    /** Null if the file describes none. */
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
