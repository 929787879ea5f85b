package dev.reprise;

import dev.reprise.natives.loader.LoaderCleaner;
import java.lang.ref.Cleaner;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
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
    private final TemplateCache templates;
    private final ConstraintCache constraints;
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
        templates = new TemplateCache();
        constraints = new ConstraintCache();
        cleanable = LoaderCleaner.register(this, new Closer(handle, templates, constraints));
        info = Native.modelInfo(handle, metadata.string("general.architecture", ""));
        endTokens = EndTokens.toArray(
                tokenizer == null ? new EndTokens(metadata, info.vocabularySize()).ids() : tokenizer.endTokens());
    }

    private record Closer(long handle, TemplateCache templates, ConstraintCache constraints) implements Runnable {
        @Override
        public void run() {
            templates.close();
            constraints.close();
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
     * @throws LibraryUnavailableException if there is no native library for this platform, or it cannot be unpacked or
     *     loaded
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

    /** Fetches a model as far as the cache has not got it, and loads it with {@link ModelOptions#defaults}. */
    public static Model load(HuggingFace name) {
        return load(name, ModelOptions.defaults());
    }

    /**
     * Fetches a model as far as the cache has not got it, and loads it. To see how far fetching is, load the path that
     * {@link HuggingFace#fetch(HuggingFace.Progress)} returns.
     *
     * @throws ModelNotFoundException if there is none of that name; see {@link HuggingFace#fetch()} for this and what
     *     else may go wrong, and {@link #load(Path, ModelOptions)} for the file
     */
    public static Model load(HuggingFace name, ModelOptions options) {
        Objects.requireNonNull(options, "options");
        return load(name.fetch(), options);
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
        return new Session(this, Native.openSession(handle, Objects.requireNonNull(options, "options")));
    }

    /**
     * Opens a session with what {@link Session#save} wrote, as it was opened; see {@link #restore(Path,
     * SessionOptions)}.
     */
    public Session restore(Path path) {
        return restore(path, SessionOptions.defaults());
    }

    /**
     * Opens a session with what {@link Session#save} wrote: its history, and the memory to continue it, so that nothing
     * is evaluated again. It goes on as the saved one would have, to the last bit if it runs on the same kind of device
     * with the same options; on another device (a file saved with CUDA can be restored on a CPU, and the other way
     * round) by that one's arithmetic.
     *
     * <p>The file is checked to its last byte. The model is told by a hash of its file's metadata, tensor names, types
     * and shapes and of samples of every tensor's data.
     *
     * @param options the context length may be another one that holds the history; a KV type must be the saved one.
     *     What they do not choose is as it was saved.
     * @throws java.io.UncheckedIOException if the file cannot be read
     * @throws SessionFormatException if it is no saved session, truncated, damaged, or saved by a newer version
     * @throws SessionMismatchException if it was saved with another model, or with the other {@linkplain
     *     ModelOptions#exact() arithmetic}
     * @throws IllegalArgumentException if the context length does not hold the history or exceeds the model's, or the
     *     KV type is another one
     * @throws OutOfDeviceMemoryException if the KV cache and workspace do not fit on the device
     * @throws OutOfHostMemoryException if they do not fit in memory
     * @throws IllegalStateException if the model is closed
     */
    public Session restore(Path path, SessionOptions options) {
        return restore(path, 0, options);
    }

    /** From behind the first bytes of a file. */
    Session restore(Path path, long offset, SessionOptions options) {
        Objects.requireNonNull(path, "path");
        Objects.requireNonNull(options, "options");
        return new Session(this, Native.restoreSession(handle, path, offset, options));
    }

    /** Opens a chat with {@link ChatOptions#defaults}. */
    public Chat newChat() {
        return newChat(ChatOptions.defaults());
    }

    /**
     * Opens a conversation, with a session of its own.
     *
     * @throws TemplateException if the options name a template that the model has not, or hand in a malformed one;
     *     without one, if the model has none
     * @throws UnsupportedModelException if the file describes no tokenizer
     */
    public Chat newChat(ChatOptions options) {
        compiledTemplate(options);
        return new Chat(this, options);
    }

    /**
     * Opens a chat as {@link Chat#save} wrote it. Nothing is evaluated for it.
     *
     * @param options those of the chat; the system message is the saved one
     * @throws SessionFormatException if the file is no saved chat, or damaged
     * @throws SessionMismatchException if it was saved with another model
     * @throws java.io.UncheckedIOException if it cannot be read
     */
    public Chat restoreChat(Path path, ChatOptions options) {
        compiledTemplate(options);
        return Chat.restore(this, path, options);
    }

    /**
     * The chat template of the model's file.
     *
     * @throws TemplateException if it has none; the message says how to hand one in
     */
    public ChatTemplate chatTemplate() {
        return ModelTemplates.of(metadata, null);
    }

    /**
     * The chat template of this name, of a file that has several.
     *
     * @throws TemplateException if there is none; the message names those that there are
     */
    public ChatTemplate chatTemplate(String name) {
        return ModelTemplates.of(metadata, Objects.requireNonNull(name, "name"));
    }

    /**
     * The ids that a new chat with these options evaluates for a conversation, up to where the model's answer begins.
     *
     * @throws TemplateException if the model has no template, or the template fails
     * @throws UnsupportedModelException if the file describes no tokenizer
     */
    public int[] promptIds(List<Message> messages, ChatOptions options) {
        return compiledTemplate(options).prompt(List.copyOf(messages), options).ids();
    }

    /** The template that the options ask for, ready for use. Kept as long as the model is open. */
    CompiledTemplate compiledTemplate(ChatOptions options) {
        ChatTemplate template = options.template()
                .orElseGet(() -> ModelTemplates
                        .choose(metadata, options.templateName().orElse(null), !options.tools().isEmpty()));
        return templates.get(template, tokenizer());
    }

    /** A constraint, ready for use with this model's tokens. */
    ConstraintCache.Compiled compile(Constraint constraint) {
        return constraints.get(constraint, tokenizer(), info.vocabularySize());
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

    /** The tokens that no repetition goes across; none where DRY is off, or without a tokenizer. */
    int[] dryBreakers(Sampling sampling) {
        if (sampling.dryMultiplier() == 0 || tokenizer == null) {
            return new int[0];
        }
        int[] ids = tokenizer.tokensWith(sampling.dryBreakers());
        return Arrays.stream(ids).filter(id -> id < info.vocabularySize()).toArray();
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
