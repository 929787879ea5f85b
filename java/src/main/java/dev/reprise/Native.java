package dev.reprise;

import static dev.reprise.natives.reprise.*;

import dev.reprise.natives.loader.NativeLibrary;
import dev.reprise.natives.reprise_gguf_info;
import dev.reprise.natives.reprise_log_fn;
import dev.reprise.natives.reprise_logit_bias;
import dev.reprise.natives.reprise_memory;
import dev.reprise.natives.reprise_model_info;
import dev.reprise.natives.reprise_model_options;
import dev.reprise.natives.reprise_progress_fn;
import dev.reprise.natives.reprise_sampling;
import dev.reprise.natives.reprise_session_options;
import dev.reprise.natives.reprise_statistics;
import dev.reprise.natives.reprise_tensor_info;
import dev.reprise.natives.reprise_token;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystems;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.SizeTPointer;

/**
 * The one class that touches the generated glue. Everything that can fail throws the exception of the failure's kind,
 * with the native library's message. Objects are handles; a handle that is null, closed or of another kind is refused
 * by the native library with {@link IllegalStateException}.
 *
 * <p>The native library keeps a failure's message per thread, so {@link #check} runs on the thread of the call. Calls
 * that may wait or compute for long leave the carrier of a virtual thread, but for the two that an interrupt cancels,
 * where the session sees to it; the others are over at once.
 */
final class Native {
    /** The most alternatives that a token can have. */
    static final int MAX_TOP_LOGPROBS = REPRISE_MAX_TOP_LOGPROBS;

    /** Holds most messages; longer ones are asked for again. */
    private static final int MESSAGE_BYTES = 1024;

    private Native() {}

    // ---- library ---------------------------------------------------------------------------------------------------

    /** Loads the library. Whatever creates the first handle calls it. */
    static NativeLibrary library() {
        NativeLibrary library;
        try {
            library = NativeLibrary.load();
        } catch (UnsatisfiedLinkError e) {
            throw new LibraryUnavailableException(e.getMessage(), e);
        }
        LogCallback.install();
        return library;
    }

    /** Hands what the native library logs to the logger {@code dev.reprise}: warnings as such, all else as details. */
    private static final class LogCallback extends reprise_log_fn {
        private static final LogCallback INSTANCE = new LogCallback();  // JavaCPP holds it weakly

        static {
            check(reprise_set_log_callback(INSTANCE, null));
        }

        /** Once: that the class is initialised is all. */
        static void install() {}

        @Override
        public void call(Pointer user, int level, BytePointer message) {
            log(level, text(message));
        }
    }

    /** As the native library does. */
    static void log(int level, String message) {
        Log.log(level >= REPRISE_LOG_WARN ? System.Logger.Level.WARNING : System.Logger.Level.DEBUG, message);
    }

    /** The JSON object of {@code reprise_describe()}. */
    static String describe() {
        if (Carrier.isTaken()) {
            return Carrier.leave(() -> describe());
        }
        library();
        try (NativeMemory memory = new NativeMemory(8)) {
            SizeTPointer length = new SizeTPointer(memory.take(8));
            byte[] buffer = new byte[MESSAGE_BYTES];
            check(reprise_describe(buffer, buffer.length, length));
            if (length.get() >= buffer.length) {
                // Free memory, a number in it, may have more digits the second time.
                buffer = new byte[(int) length.get() + MESSAGE_BYTES];
                check(reprise_describe(buffer, buffer.length, length));
            }
            return new String(buffer, 0, (int) length.get(), StandardCharsets.UTF_8);
        }
    }

    private static void check(int status) {
        if (status != REPRISE_OK) {
            throw failure(status, lastError());
        }
    }

    private static String lastError() {
        byte[] buffer = new byte[MESSAGE_BYTES];
        long length = reprise_last_error(buffer, buffer.length);
        if (length >= buffer.length) {
            buffer = new byte[(int) length + 1];
            reprise_last_error(buffer, buffer.length);
        }
        return new String(buffer, 0, (int) length, StandardCharsets.UTF_8);
    }

    private static RuntimeException failure(int status, String message) {
        return switch (status) {
            case REPRISE_INVALID_ARGUMENT -> new IllegalArgumentException(message);
            case REPRISE_INVALID_HANDLE, REPRISE_BUSY -> new IllegalStateException(message);
            case REPRISE_CANCELLED -> new CancelledException(message);
            case REPRISE_IO -> new UncheckedIOException(message, new IOException(message));
            case REPRISE_MODEL_FORMAT -> new ModelFormatException(message);
            case REPRISE_UNSUPPORTED_MODEL -> new UnsupportedModelException(message);
            case REPRISE_OUT_OF_MEMORY -> new OutOfHostMemoryException(message);
            case REPRISE_DEVICE_UNAVAILABLE -> {
                NativeLibrary library = library();
                yield new DeviceUnavailableException(
                        message + " (library: " + library.classifier()
                                + (library.skipped() == null ? "" : "; " + library.skipped()) + ")");
            }
            case REPRISE_OUT_OF_DEVICE_MEMORY -> new OutOfDeviceMemoryException(message);
            case REPRISE_CONTEXT_OVERFLOW -> new ContextOverflowException(message);
            case REPRISE_ENGINE_FAILED -> new EngineFailedException(message);
            case REPRISE_TEMPLATE -> new TemplateException(message, reprise_last_error_line());
            case REPRISE_UNSUPPORTED -> new UnsupportedOperationException(message);
            case REPRISE_NAN_LOGITS -> new NanLogitsException(message);
            case REPRISE_SESSION_FORMAT -> new SessionFormatException(message);
            case REPRISE_SESSION_MISMATCH -> new SessionMismatchException(message);
            default -> new InternalErrorException("status " + status + ": " + message);
        };
    }

    // ---- files -----------------------------------------------------------------------------------------------------

    static long openFile(Path file, boolean mmap) {
        if (Carrier.isTaken()) {
            return Carrier.leave(() -> openFile(file, mmap));
        }
        library();
        long[] handle = new long[1];
        check(reprise_gguf_open(nameOf(file), mmap ? 1 : 0, handle));
        return handle[0];
    }

    /**
     * The name as the file system has it. A path as text has lost what the locale cannot express, but its URI still has
     * the bytes.
     */
    private static byte[] nameOf(Path file) {
        String text = file.toString();
        boolean localeIsUtf8 = System.getProperty("sun.jnu.encoding", "UTF-8").equalsIgnoreCase("UTF-8");
        boolean isWhole = localeIsUtf8 ? text.indexOf('\uFFFD') < 0 : text.chars().allMatch(c -> c < 0x80 && c != '?');
        if (isWhole || file.getFileSystem() != FileSystems.getDefault()) {
            return utf8(text);
        }
        String path = file.toUri().getRawPath();
        ByteArrayOutputStream name = new ByteArrayOutputStream();
        for (int i = 0; i < path.length(); i++) {
            boolean escaped = path.charAt(i) == '%';
            name.write(escaped ? Integer.parseInt(path, i + 1, i + 3, 16) : path.charAt(i));
            i += escaped ? 2 : 0;
        }
        name.write(0);
        return name.toByteArray();
    }

    static void closeFile(long file) {
        if (Carrier.isTaken()) {
            Carrier.leave(() -> closeFile(file));
            return;
        }
        check(reprise_gguf_close(file));
    }

    /** Everything but the tensors, which {@link #tensors} adds. */
    record FileInfo(int version, int files, long metadata, long tensors, long alignment, long parameters,
            long tensorBytes, long fileBytes) {}

    static FileInfo fileInfo(long file) {
        long size = Loader.sizeof(reprise_gguf_info.class);
        try (NativeMemory memory = new NativeMemory(size)) {
            reprise_gguf_info info = new reprise_gguf_info(memory.take(size));
            check(reprise_gguf_get_info(file, info));
            return new FileInfo(info.version(), info.n_files(), info.n_metadata(), info.n_tensors(), info.alignment(),
                    info.n_parameters(), info.tensor_bytes(), info.file_bytes());
        }
    }

    static Metadata metadata(long file, long pairs) {
        if (Carrier.isTaken()) {
            return Carrier.leave(() -> metadata(file, pairs));
        }
        try (NativeMemory memory = new NativeMemory(8)) {
            BytePointer data = new BytePointer((Pointer) null);
            LongPointer size = new LongPointer(memory.take(8));
            check(reprise_gguf_metadata(file, data, size));
            if (size.get() > Integer.MAX_VALUE - 8) {
                throw new UnsupportedModelException(
                        "the metadata has " + size.get() + " bytes, more than the 2 GB that are supported");
            }
            ByteBuffer section = size.get() == 0 ? ByteBuffer.allocate(0) : data.capacity(size.get()).asByteBuffer();
            return Metadata.read(section, pairs);
        }
    }

    static List<TensorInfo> tensors(long file, long count) {
        if (Carrier.isTaken()) {
            return Carrier.leave(() -> tensors(file, count));
        }
        long size = Loader.sizeof(reprise_tensor_info.class);
        try (NativeMemory memory = new NativeMemory(size)) {
            reprise_tensor_info info = new reprise_tensor_info(memory.take(size));
            List<TensorInfo> tensors = new ArrayList<>();
            for (long i = 0; i < count; i++) {
                check(reprise_gguf_tensor(file, i, info));
                List<Long> shape = new ArrayList<>();
                for (int d = 0; d < info.n_dims(); d++) {
                    shape.add(info.dims(d));
                }
                String type = text(reprise_tensor_type_name(info.type()));
                tensors.add(new TensorInfo(text(info.name()), type, shape, info.n_bytes()));
            }
            return tensors;
        }
    }

    static MemoryNeeds memoryNeeds(long file, ModelOptions modelOptions, SessionOptions sessionOptions) {
        if (Carrier.isTaken()) {
            return Carrier.leave(() -> memoryNeeds(file, modelOptions, sessionOptions));
        }
        long size = Loader.sizeof(reprise_memory.class);
        long modelSize = Loader.sizeof(reprise_model_options.class);
        long sessionSize = Loader.sizeof(reprise_session_options.class);
        try (NativeMemory memory = new NativeMemory(size + modelSize + sessionSize + 16)) {
            reprise_memory needs = new reprise_memory(memory.take(size));
            check(reprise_gguf_memory(
                    file, fill(new reprise_model_options(memory.take(modelSize)), modelOptions),
                    fill(new reprise_session_options(memory.take(sessionSize)), sessionOptions), needs));
            return new MemoryNeeds(needs.weights(), needs.kv_cache(), needs.workspace());
        }
    }

    // ---- models ----------------------------------------------------------------------------------------------------

    static long loadModel(long file, ModelOptions options) {
        if (Carrier.isTaken()) {
            return Carrier.leave(() -> loadModel(file, options));
        }
        long size = Loader.sizeof(reprise_model_options.class);
        try (NativeMemory memory = new NativeMemory(size)) {
            reprise_model_options given = fill(new reprise_model_options(memory.take(size)), options);
            long[] handle = new long[1];
            if (options.progress() == null) {
                check(reprise_model_load(file, given, handle));
                return handle[0];
            }
            Loading outer = Loading.CURRENT.get();
            Loading loading = new Loading(options.progress());
            Loading.CURRENT.set(loading);
            int status;
            try {
                status = reprise_model_load(file, given.progress(LoadingCallback.INSTANCE), handle);
            } finally {
                if (outer == null) {
                    Loading.CURRENT.remove();
                } else {
                    Loading.CURRENT.set(outer);
                }
            }
            loading.rethrow();
            check(status);
            return handle[0];
        }
    }

    /** A load in progress on this thread, and what its listener threw. */
    private static final class Loading {
        static final ThreadLocal<Loading> CURRENT = new ThreadLocal<>();

        final ModelOptions.Progress progress;
        Throwable thrown;

        Loading(ModelOptions.Progress progress) {
            this.progress = progress;
        }

        void rethrow() {
            if (thrown != null) {
                throw Loading.<RuntimeException>unchecked(thrown);
            }
        }

        /** Listeners in other languages throw checked exceptions too. */
        @SuppressWarnings("unchecked")
        private static <T extends Throwable> T unchecked(Throwable thrown) throws T {
            throw (T) thrown;
        }
    }

    /** One for all loads, since JavaCPP has room for ten callbacks of a type. Runs on the thread that loads. */
    private static final class LoadingCallback extends reprise_progress_fn {
        static final LoadingCallback INSTANCE = new LoadingCallback();

        @Override
        public int call(Pointer user, long doneBytes, long totalBytes) {
            Loading loading = Loading.CURRENT.get();
            try {
                if (Thread.currentThread().isInterrupted()) {
                    throw new CancelledException("the thread was interrupted while it loaded the model");
                }
                loading.progress.update(doneBytes, totalBytes);
                return 0;
            } catch (Throwable e) {
                loading.thrown = e;
                return 1;
            }
        }
    }

    static void closeModel(long model) {
        if (Carrier.isTaken()) {
            Carrier.leave(() -> closeModel(model));
            return;
        }
        check(reprise_model_close(model));
    }

    static ModelInfo modelInfo(long model, String architecture) {
        long size = Loader.sizeof(reprise_model_info.class);
        try (NativeMemory memory = new NativeMemory(size)) {
            reprise_model_info info = new reprise_model_info(memory.take(size));
            check(reprise_model_get_info(model, info));
            Device device = info.device() == REPRISE_DEVICE_CUDA ? Device.CUDA : Device.CPU;
            return new ModelInfo(new ModelInfo.Values(
                    architecture, device, info.device_index(), info.threads(), info.n_vocab(),
                    info.n_embd(), info.n_layers(), info.n_heads(), info.n_kv_heads(), info.head_dim(),
                    info.context_length(), info.n_parameters(), info.weight_bytes(), info.bytes_per_token(),
                    info.memory_bytes()));
        }
    }

    // ---- sessions --------------------------------------------------------------------------------------------------

    static long openSession(long model, SessionOptions options) {
        if (Carrier.isTaken()) {
            return Carrier.leave(() -> openSession(model, options));
        }
        long size = Loader.sizeof(reprise_session_options.class);
        try (NativeMemory memory = new NativeMemory(size)) {
            long[] handle = new long[1];
            check(reprise_session_open(
                    model, fill(new reprise_session_options(memory.take(size)), options), handle));
            return handle[0];
        }
    }

    /** offset: bytes of the file in front of the session. */
    static long restoreSession(long model, Path file, long offset, SessionOptions options) {
        if (Carrier.isTaken()) {
            return Carrier.leave(() -> restoreSession(model, file, offset, options));
        }
        long size = Loader.sizeof(reprise_session_options.class);
        try (NativeMemory memory = new NativeMemory(size)) {
            long[] handle = new long[1];
            check(reprise_session_restore(
                    model, nameOf(file), offset,
                    fill(new reprise_session_options(memory.take(size)), options), handle));
            return handle[0];
        }
    }

    static long forkSession(long session, int position) {
        if (Carrier.isTaken()) {
            return Carrier.leave(() -> forkSession(session, position));
        }
        long[] handle = new long[1];
        check(reprise_session_fork(session, position, handle));
        return handle[0];
    }

    /** preface: bytes that the file begins with. */
    static void saveSession(long session, int position, Path file, byte[] preface) {
        if (Carrier.isTaken()) {
            Carrier.leave(() -> saveSession(session, position, file, preface));
            return;
        }
        check(reprise_session_save(session, position, nameOf(file), preface, preface.length));
    }

    static void closeSession(long session) {
        if (Carrier.isTaken()) {
            Carrier.leave(() -> closeSession(session));
            return;
        }
        check(reprise_session_close(session));
    }

    static void cancel(long session) {
        check(reprise_session_cancel(session));
    }

    static int position(long session) {
        int[] position = new int[1];
        check(reprise_session_position(session, position));
        return position[0];
    }

    static int contextLength(long session) {
        int[] length = new int[1];
        check(reprise_session_context_length(session, length));
        return length[0];
    }

    static int[] history(long session) {
        int[] ids = new int[position(session)];
        try (NativeMemory memory = new NativeMemory(8)) {
            check(reprise_session_history(session, ids, ids.length, new SizeTPointer(memory.take(8))));
        }
        return ids;
    }

    static void rewind(long session, int position) {
        if (Carrier.isTaken()) {
            Carrier.leave(() -> rewind(session, position));
            return;
        }
        check(reprise_session_rewind(session, position));
    }

    static void evaluate(long session, int[] ids) {
        check(reprise_session_evaluate(session, ids, ids.length));
    }

    static void logits(long session, float[] logits) {
        if (Carrier.isTaken()) {
            Carrier.leave(() -> logits(session, logits));
            return;
        }
        check(reprise_session_logits(session, logits, logits.length));
    }

    /** Whether the text of the generation started last is all that its constraint demands. */
    static boolean complete(long session) {
        int[] complete = new int[1];
        check(reprise_session_complete(session, complete));
        return complete[0] != 0;
    }

    static void end(long session) {
        if (Carrier.isTaken()) {
            Carrier.leave(() -> end(session));
            return;
        }
        check(reprise_session_end(session));
    }

    static SessionStatistics statistics(long session) {
        long size = Loader.sizeof(reprise_statistics.class);
        try (NativeMemory memory = new NativeMemory(size)) {
            reprise_statistics s = new reprise_statistics(memory.take(size));
            check(reprise_session_statistics(session, s));
            return new SessionStatistics(new SessionStatistics.Values(
                    s.prefill_tokens(), s.prefix_tokens(), Duration.ofNanos(s.prefill_ns()), s.generated_tokens(),
                    Duration.ofNanos(s.decode_ns()), s.tokens_from_prefill(), s.eager_steps(), s.graph_replays(),
                    s.discarded_steps(), s.captures(), s.reinstantiations(), s.capture_failures(), s.graph_nodes(),
                    s.kernels_per_token(), Duration.ofNanos(s.submit_ns()), s.memory_kv(), s.memory_workspace(),
                    s.model_steps(), s.model_rows(), s.model_kv(), s.model_kv_kept(), s.fallback_launches()));
        }
    }

    /**
     * What goes to and comes from the two calls of a generation: native memory that a session keeps, so that a token
     * costs no allocation, and that Java reads without a call. Not safe for use by several threads.
     */
    static final class Exchange implements AutoCloseable {
        /** How many tokens one call fetches at most. A backend runs only a few tokens ahead. */
        static final int CAPACITY = 32;

        // Bytes; a reprise_token is its id and its log-probability.
        private static final int TOKEN_BYTES = 8;
        private static final int COUNT_AT = CAPACITY * TOKEN_BYTES;
        private static final int FINISH_AT = COUNT_AT + 8;
        private static final int RESULTS_BYTES = FINISH_AT + 8;

        private static final int ALTERNATIVES = CAPACITY * MAX_TOP_LOGPROBS;

        private final NativeMemory memory;
        private final reprise_sampling sampling;
        private final reprise_token tokens;
        private final SizeTPointer count;
        private final IntPointer finish;
        /** Of {@link #tokens}, {@link #count} and {@link #finish}, one behind the other. */
        private final ByteBuffer results;
        /** Allocated where a generation asks for them; else null. */
        private NativeMemory alternatives;
        private reprise_token alternativeTokens;
        private ByteBuffer alternativeBytes;

        Exchange() {
            long samplingSize = Loader.sizeof(reprise_sampling.class);
            memory = new NativeMemory(samplingSize + RESULTS_BYTES);
            Pointer start = memory.take(RESULTS_BYTES);
            results = new BytePointer(start).capacity(RESULTS_BYTES).asByteBuffer().order(ByteOrder.nativeOrder());
            tokens = new reprise_token(start);
            count = new SizeTPointer(start.getPointer(BytePointer.class, COUNT_AT));
            finish = new IntPointer(start.getPointer(BytePointer.class, FINISH_AT));
            sampling = new reprise_sampling(memory.take(samplingSize));
        }

        /** @param constraint the handle of what limits the text; 0: nothing does */
        void generate(long session, int[] ids, GenerationOptions options, long seed, int[] endIds, int[] dryBreakers,
                long constraint) {
            fill(sampling, options, seed);
            Map<Integer, Float> logitBias = options.sampling().logitBias();
            long biasBytes = logitBias.size() * Loader.sizeof(reprise_logit_bias.class);
            // What the sampling points to is read before the call returns.
            try (NativeMemory arrays = new NativeMemory(biasBytes + 4L * dryBreakers.length + 16)) {
                Pointer biases = arrays.take(biasBytes);
                int index = 0;
                for (Map.Entry<Integer, Float> bias : logitBias.entrySet()) {
                    new reprise_logit_bias(biases).getPointer(index++).id(bias.getKey()).bias(bias.getValue());
                }
                IntPointer breakers = new IntPointer(arrays.take(4L * dryBreakers.length));
                breakers.put(dryBreakers, 0, dryBreakers.length);
                sampling.constraint(constraint).logit_bias(new reprise_logit_bias(biases))
                        .n_logit_bias(logitBias.size())
                        .dry_breakers(breakers).n_dry_breakers(dryBreakers.length);
                int maxTokens = options.maxTokens().orElse(0);  // what the context holds
                check(reprise_session_generate(session, ids, ids.length, sampling, maxTokens, endIds, endIds.length));
            }
        }

        /** Fetches tokens, waiting for the first of them, and returns how many. */
        int next(long session) {
            if (Carrier.isTaken()) {
                return Carrier.leave(() -> next(session));
            }
            check(reprise_session_next(session, tokens, CAPACITY, count, finish));
            return (int) results.getLong(COUNT_AT);
        }

        /** Of a token fetched last, as {@link #logProbability}. */
        int id(int index) {
            return results.getInt(index * TOKEN_BYTES);
        }

        float logProbability(int index) {
            return results.getFloat(index * TOKEN_BYTES + 4);
        }

        /** Fetches the alternatives of the tokens fetched last. */
        void fetchAlternatives(long session) {
            if (alternatives == null) {
                alternatives = new NativeMemory(ALTERNATIVES * TOKEN_BYTES);
                Pointer start = alternatives.take(ALTERNATIVES * TOKEN_BYTES);
                alternativeTokens = new reprise_token(start);
                alternativeBytes = new BytePointer(start).capacity(ALTERNATIVES * TOKEN_BYTES).asByteBuffer()
                        .order(ByteOrder.nativeOrder());
            }
            try (NativeMemory memory = new NativeMemory(8)) {
                SizeTPointer found = new SizeTPointer(memory.take(8));
                check(reprise_session_top(session, alternativeTokens, ALTERNATIVES, found));
            }
        }

        /** Of an alternative fetched last: those of the first token, then those of the next; negative for none. */
        int alternativeId(int index) {
            return alternativeBytes.getInt(index * TOKEN_BYTES);
        }

        float alternativeLogProbability(int index) {
            return alternativeBytes.getFloat(index * TOKEN_BYTES + 4);
        }

        /** Why no token follows those fetched; null if some do. */
        FinishReason finishReason() {
            int reason = results.getInt(FINISH_AT);
            return switch (reason) {
                case REPRISE_FINISH_NONE -> null;
                case REPRISE_FINISH_END -> FinishReason.END;
                case REPRISE_FINISH_MAX_TOKENS -> FinishReason.MAX_TOKENS;
                case REPRISE_FINISH_CONTEXT_FULL -> FinishReason.CONTEXT_FULL;
                case REPRISE_FINISH_CANCELLED -> FinishReason.CANCELLED;
                default -> throw new InternalErrorException("the generation ended for the reason " + reason);
            };
        }

        @Override
        public void close() {
            memory.close();
            if (alternatives != null) {
                alternatives.close();
            }
        }
    }

    // ---- chat templates --------------------------------------------------------------------------------------------

    /**
     * A rendered template.
     *
     * @param text UTF-8
     * @param literal bytes of it that belong to no special token: from and to of each range, ascending
     */
    record Rendered(byte[] text, int[] literal) {
        @Override
        public String toString() {
            return new String(text, StandardCharsets.UTF_8);
        }
    }

    /** @param special texts that only the template may turn into tokens */
    static long openTemplate(String source, String[] special) {
        library();
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        long[] offsets = new long[special.length + 1];
        for (int i = 0; i < special.length; i++) {
            bytes.writeBytes(special[i].getBytes(StandardCharsets.UTF_8));
            offsets[i + 1] = bytes.size();
        }
        byte[] text = source.getBytes(StandardCharsets.UTF_8);
        long[] handle = new long[1];
        check(reprise_template_open(text, text.length, bytes.toByteArray(), offsets, special.length, handle));
        return handle[0];
    }

    static void closeTemplate(long template) {
        check(reprise_template_close(template));
    }

    /** @param now seconds of local time since 1970 that the template takes for now; null: the machine's */
    static Rendered renderTemplate(long template, String variables, Long now) {
        byte[] json = variables.getBytes(StandardCharsets.UTF_8);
        long[] rendering = new long[1];
        check(reprise_template_render(template, json, json.length, now == null ? null : new long[] {now}, rendering));
        try (NativeMemory memory = new NativeMemory(8)) {
            LongPointer size = new LongPointer(memory.take(8));
            BytePointer text = new BytePointer((Pointer) null);
            check(reprise_rendering_text(rendering[0], text, size));
            byte[] bytes = new byte[Math.toIntExact(size.get())];
            if (bytes.length > 0) {
                text.capacity(bytes.length).get(bytes);
            }
            LongPointer ranges = new LongPointer((Pointer) null);
            check(reprise_rendering_origins(rendering[0], ranges, size));
            int[] literal = new int[2 * Math.toIntExact(size.get())];
            for (int i = 0; i < literal.length; i++) {
                literal[i] = Math.toIntExact(ranges.capacity(literal.length).get(i));
            }
            return new Rendered(bytes, literal);
        } finally {
            check(reprise_rendering_close(rendering[0]));
        }
    }

    // ---- constraints -----------------------------------------------------------------------------------------------

    /**
     * Sets up a model's tokens for constraints.
     *
     * @param offsets where each token's bytes begin in {@code bytes}, and the last one's end
     * @param special 1 for a token that stands for no text
     */
    static long openVocabulary(byte[] bytes, long[] offsets, byte[] special, int[] endIds) {
        long[] handle = new long[1];
        check(reprise_vocabulary_open(bytes, offsets, special, special.length, endIds, endIds.length, handle));
        return handle[0];
    }

    static void closeVocabulary(long vocabulary) {
        check(reprise_vocabulary_close(vocabulary));
    }

    static long openConstraint(long vocabulary, Constraint constraint) {
        byte[] source = constraint.source().getBytes(StandardCharsets.UTF_8);
        int kind = switch (constraint.kind()) {
            case JSON_SCHEMA -> REPRISE_CONSTRAINT_JSON_SCHEMA;
            case REGEX -> REPRISE_CONSTRAINT_REGEX;
            case LARK -> REPRISE_CONSTRAINT_LARK;
            case GBNF -> REPRISE_CONSTRAINT_GBNF;
        };
        long[] handle = new long[1];
        check(reprise_constraint_open(vocabulary, kind, source, source.length, null, handle));
        return handle[0];
    }

    static void closeConstraint(long constraint) {
        check(reprise_constraint_close(constraint));
    }

    // ---- options and text ------------------------------------------------------------------------------------------

    private static reprise_model_options fill(reprise_model_options target, ModelOptions options) {
        reprise_model_options_default(target);
        target.device(switch (options.device()) {
            case AUTO -> REPRISE_DEVICE_AUTO;
            case CPU -> REPRISE_DEVICE_CPU;
            case CUDA -> REPRISE_DEVICE_CUDA;
        });
        return target.device_index(options.deviceIndex())
                .threads(options.threads())
                .exact(options.exact() ? 1 : 0)
                .device_memory_limit(options.deviceMemoryLimit())
                .kv_memory(options.kvMemory());
    }

    private static reprise_session_options fill(reprise_session_options target, SessionOptions options) {
        reprise_session_options_default(target);
        target.graph_mode(switch (options.graphMode()) {
            case AUTO -> REPRISE_GRAPH_AUTO;
            case EAGER -> REPRISE_GRAPH_EAGER;
            case GRAPH -> REPRISE_GRAPH_ALWAYS;
        });
        if (options.choosesKvType()) {
            target.kv_type(switch (options.kvType()) {
                case F16 -> REPRISE_KV_F16;
                case F32 -> REPRISE_KV_F32;
                case Q8_0 -> REPRISE_KV_Q8_0;
            });
        }
        return target.context_length(options.contextLength())
                .prefix_sharing(options.prefixSharing() ? 1 : 0)
                .priority(options.priority());
    }

    private static void fill(reprise_sampling target, GenerationOptions options, long seed) {
        Sampling sampling = options.sampling();
        reprise_sampling_default(target);
        target.temperature(sampling.temperature())
                .top_k(sampling.topK())
                .top_p(sampling.topP())
                .min_p(sampling.minP())
                .repeat_penalty(sampling.repeatPenalty())
                .presence_penalty(sampling.presencePenalty())
                .frequency_penalty(sampling.frequencyPenalty())
                .dry_multiplier(sampling.dryMultiplier())
                .dry_base(sampling.dryBase())
                .dry_allowed_length(sampling.dryAllowedLength())
                .dry_last_n(sampling.dryLastN())
                .xtc_probability(sampling.xtcProbability())
                .xtc_threshold(sampling.xtcThreshold())
                .logprobs(options.logprobs() ? 1 : 0)
                .n_top_logprobs(options.topLogprobs())
                .seed(seed);
    }

    private static byte[] utf8(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        return Arrays.copyOf(bytes, bytes.length + 1);
    }

    private static String text(BytePointer text) {
        return text.getString(StandardCharsets.UTF_8);
    }
}
