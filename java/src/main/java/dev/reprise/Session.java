package dev.reprise;

import dev.reprise.natives.loader.LoaderCleaner;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Objects;
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A history of tokens and the memory to continue it. Prompts and generated tokens stay, so a further prompt continues
 * the text; {@link #rewind} and {@link #reset} forget.
 *
 * <p>A session belongs to one caller at a time: a call while another thread is inside throws
 * {@link IllegalStateException}. Only {@link #cancel} and {@link #close} are legal from any thread at any time. Every
 * call that changes the history ends a generation in progress.
 *
 * <p>Interrupting a thread cancels its call: a prompt in evaluation throws {@link CancelledException} with the history
 * as before, a generation ends with {@link FinishReason#CANCELLED}. The interrupt status stays set.
 *
 * <p>Virtual threads are welcome: what takes long runs on a platform thread, and the virtual one waits for it without
 * its carrier. There are as many such threads as calls in progress; each ends after a second without work. Handing over
 * costs some ten microseconds per fetch of tokens, which a platform thread does not pay.
 */
public final class Session implements AutoCloseable {
    private final Model model;
    private final long handle;
    private final int contextLength;
    private final Resources resources;
    private final Cleaner.Cleanable cleanable;

    /** Guards {@link #current} and {@link #closed} against {@link #cancel}, which does not take the lock. */
    private final Object gate = new Object();
    private TokenStream current;
    private volatile boolean closed;

    /** Closes {@code handle} in the end. */
    Session(Model model, long handle) {
        this.model = model;
        this.handle = handle;
        resources = new Resources(handle);
        cleanable = LoaderCleaner.register(this, resources);
        contextLength = Native.contextLength(handle);
    }

    /** What is freed at the end. Must not refer to the session. */
    private static final class Resources implements Runnable {
        final long handle;
        /** Held by whoever is inside the session. */
        final ReentrantLock lock = new ReentrantLock();
        /** Made for the first generation. */
        Native.Exchange exchange;

        Resources(long handle) {
            this.handle = handle;
        }

        @Override
        public void run() {
            try {
                Native.closeSession(handle);
            } finally {
                // Closing has made the thread inside, if any, leave the native library; it leaves the session next.
                lock.lock();
                if (exchange != null) {
                    exchange.close();
                }
                lock.unlock();
            }
        }
    }

    // ---- generating ------------------------------------------------------------------------------------------------

    /** Continues text with {@link GenerationOptions#defaults}; see {@link #generate(Prompt, GenerationOptions)}. */
    public TokenStream generate(String prompt) {
        return generate(Prompt.text(prompt));
    }

    /** Continues text; see {@link #generate(Prompt, GenerationOptions)}. */
    public TokenStream generate(String prompt, GenerationOptions options) {
        return generate(textOf(prompt, options), options);
    }

    /** Continues with ids; see {@link #generate(Prompt, GenerationOptions)}. */
    public TokenStream generate(int[] prompt, GenerationOptions options) {
        return generate(Prompt.ids(prompt), options);
    }

    /** Generates with {@link GenerationOptions#defaults}; see {@link #generate(Prompt, GenerationOptions)}. */
    public TokenStream generate(Prompt prompt) {
        return generate(prompt, GenerationOptions.defaults());
    }

    /**
     * Evaluates a prompt and starts a generation, whose tokens are decoded as they are taken. Text and ids are appended
     * to the history; text may be empty if the history is not.
     *
     * @throws ContextOverflowException if the prompt does not fit behind the history
     * @throws CancelledException if it is cancelled or interrupted before the first token; the history is as before
     * @throws TemplateException if the prompt is a conversation and the model has no template, or the template fails
     * @throws IllegalArgumentException if prompt and history are empty, or an id is not in the vocabulary
     * @throws IllegalStateException if the session is closed or another thread is inside
     */
    public TokenStream generate(Prompt prompt, GenerationOptions options) {
        TokenStream stream = newStream(options);
        start(stream, Objects.requireNonNull(prompt, "prompt"));
        return stream;
    }

    /** Continues text with {@link GenerationOptions#defaults} and waits for the end. */
    public Generation complete(String prompt) {
        return complete(Prompt.text(prompt), GenerationOptions.defaults());
    }

    /** Continues text and waits for the end; see {@link #complete(Prompt, GenerationOptions)}. */
    public Generation complete(String prompt, GenerationOptions options) {
        return complete(textOf(prompt, options), options);
    }

    /** Continues with ids and waits for the end; see {@link #complete(Prompt, GenerationOptions)}. */
    public Generation complete(int[] prompt, GenerationOptions options) {
        return complete(Prompt.ids(prompt), options);
    }

    /**
     * Generates as {@link #generate(Prompt, GenerationOptions)} does and waits for the end. No other thread can get in
     * between.
     */
    public Generation complete(Prompt prompt, GenerationOptions options) {
        return complete(newStream(options), Objects.requireNonNull(prompt, "prompt"));
    }

    /** Continues text in the background with {@link GenerationOptions#defaults}. */
    public CompletableFuture<Generation> completeAsync(String prompt) {
        return completeAsync(Prompt.text(prompt), GenerationOptions.defaults());
    }

    /** Continues with ids in the background; see {@link #completeAsync(Prompt, GenerationOptions)}. */
    public CompletableFuture<Generation> completeAsync(int[] prompt, GenerationOptions options) {
        return completeAsync(Prompt.ids(prompt), options);
    }

    /** Continues text in the background; see {@link #completeAsync(Prompt, GenerationOptions)}. */
    public CompletableFuture<Generation> completeAsync(String prompt, GenerationOptions options) {
        return completeAsync(textOf(prompt, options), options);
    }

    /**
     * Generates as {@link #complete(Prompt, GenerationOptions)} does, in a daemon thread of its own. Whatever ends the
     * future early cancels the generation: {@code cancel}, {@code orTimeout}, {@code completeExceptionally}.
     */
    public CompletableFuture<Generation> completeAsync(Prompt prompt, GenerationOptions options) {
        return completeAsync(prompt, options, task -> {
            Thread thread = new Thread(task, "reprise-complete");
            thread.setDaemon(true);
            thread.start();
        });
    }

    /** As {@link #completeAsync(Prompt, GenerationOptions)}, where an executor runs it. */
    public CompletableFuture<Generation> completeAsync(Prompt prompt, GenerationOptions options, Executor executor) {
        return completeAsync(newStream(options), Objects.requireNonNull(prompt, "prompt"), executor);
    }

    private static Prompt textOf(String prompt, GenerationOptions options) {
        Prompt text = Prompt.text(prompt);
        return options.parseSpecialTokens() ? text.parseSpecialTokens() : text;
    }

    private CompletableFuture<Generation> completeAsync(TokenStream stream, Prompt prompt, Executor executor) {
        CompletableFuture<Generation> future = new CompletableFuture<>();
        future.whenComplete((generation, failure) -> {
            if (failure != null) {
                stream.cancel();
            }
        });
        executor.execute(() -> {
            try {
                future.complete(complete(stream, prompt));
            } catch (RuntimeException | Error e) {
                future.completeExceptionally(e);
            }
        });
        return future;
    }

    private Generation complete(TokenStream stream, Prompt prompt) {
        enter();
        try {
            start(stream, prompt);
            while (stream.take() != null) {
                // The stream keeps the tokens.
            }
            return stream.result();
        } finally {
            leave();
        }
    }

    private TokenStream newStream(GenerationOptions options) {
        long seed = options.sampling().seed().isPresent()
                ? options.sampling().seed().getAsLong()
                : ThreadLocalRandom.current().nextLong();
        return new TokenStream(this, options, seed);
    }

    private void start(TokenStream stream, Prompt prompt) {
        enter();
        try {
            endCurrent();
            // Before the history changes: what is wrong with it shows here.
            ConstraintCache.Compiled constraint = stream.options().constraint().map(model::compile).orElse(null);
            int[] ids = idsOf(prompt);
            int[] ends = endsBehind(prompt);
            synchronized (gate) {
                current = stream;
            }
            boolean started = false;
            try {
                long begin = System.nanoTime();
                if (Carrier.isTaken()) {
                    Carrier.leave(() -> generateUnlessCancelled(stream, ids, ends, constraint));
                } else {
                    generateUnlessCancelled(stream, ids, ends, constraint);
                }
                stream.promptEvaluated(ids.length, System.nanoTime() - begin);
                started = true;
            } finally {
                if (!started) {
                    detach(stream, FinishReason.CANCELLED);
                }
            }
        } finally {
            leave();
        }
    }

    private void generateUnlessCancelled(
            TokenStream stream, int[] ids, int[] ends, ConstraintCache.Compiled constraint) {
        // An interrupt or cancel() that comes behind this and before the native call has begun is noticed by the first
        // token.
        checkInterrupt();
        if (stream.isCancelled()) {
            throw new CancelledException("the generation was cancelled before it began");
        }
        CancelOnInterrupt interruption = new CancelOnInterrupt(this);
        interruption.enter();
        try {
            exchange().generate(handle, ids, stream.options(), stream.seed(), ends,
                    model.dryBreakers(stream.options().sampling()), constraint == null ? 0 : constraint.handle());
        } finally {
            interruption.leave();
            Reference.reachabilityFence(constraint);
        }
    }

    private static void checkInterrupt() {
        if (Thread.currentThread().isInterrupted()) {
            throw new CancelledException("the thread is interrupted");
        }
    }

    /** What is to be appended to the history. A conversation leaves of it what it begins with. */
    private int[] idsOf(Prompt prompt) {
        if (prompt.ids() != null) {
            return prompt.ids();
        } else if (prompt.suffix() != null) {
            return withBos(model.tokenizer().encodeFillInTheMiddle(prompt.text(), prompt.suffix()));
        } else if (prompt.text() != null) {
            return idsOf(prompt.text(), prompt.parsesSpecialTokens());
        }
        return continuation(model.compiledTemplate(prompt.options()).prompt(prompt.messages(), prompt.options()));
    }

    /** Rewinds to what the history has in common with a conversation, and returns the rest of that. */
    int[] continuation(PromptTokens conversation) {
        PromptTokens.Continuation continuation = conversation.behind(history());
        int tokens = continuation.kept() + continuation.newIds().length;
        if (tokens > contextLength) {
            throw new ContextOverflowException("the conversation has " + tokens + " tokens and the context "
                    + contextLength + ": leave messages out, or open the session with a longer context");
        }
        rewind(continuation.kept());
        return continuation.newIds();
    }

    /** With the begin-of-text token, and the space that some tokenizers put before a text, where they belong. */
    private int[] idsOf(String prompt, boolean parseSpecial) {
        Tokenizer tokenizer = model.tokenizer();
        if (Native.position(handle) > 0) {
            return tokenizer.encodeContinuation(prompt, parseSpecial);
        }
        return withBos(tokenizer.encode(prompt, false, parseSpecial));
    }

    /** With the begin-of-text token if the history is empty, the tokenizer adds one, and it is not there. */
    private int[] withBos(int[] ids) {
        OptionalInt bos = model.tokenizer().bosToken();
        boolean there = ids.length > 0 && bos.isPresent() && ids[0] == bos.getAsInt();
        if (!model.tokenizer().addsBos() || there || Native.position(handle) > 0) {
            return ids;
        }
        int[] withBos = new int[ids.length + 1];
        withBos[0] = bos.getAsInt();
        System.arraycopy(ids, 0, withBos, 1, ids.length);
        return withBos;
    }

    /** What ends a generation behind a prompt. */
    private int[] endsBehind(Prompt prompt) {
        if (prompt.suffix() == null) {
            return model.endTokens();
        }
        BitSet ends = (BitSet) model.tokenizer().endTokens().clone();
        ends.or(model.tokenizer().fillInTheMiddleEnds());
        return EndTokens.toArray(ends);
    }

    // ---- history ---------------------------------------------------------------------------------------------------

    /**
     * Evaluates a prompt without generating: what follows it can then start at once.
     *
     * @throws ContextOverflowException if it does not fit behind the history
     * @throws CancelledException if it is cancelled or interrupted; the history is as before
     */
    public void evaluate(Prompt prompt) {
        Objects.requireNonNull(prompt, "prompt");
        enter();
        try {
            endCurrent();
            evaluate(idsOf(prompt));
        } finally {
            leave();
        }
    }

    /** Evaluates text; see {@link #evaluate(Prompt)}. */
    public void evaluate(String text, boolean parseSpecial) {
        Prompt prompt = Prompt.text(text);
        evaluate(parseSpecial ? prompt.parseSpecialTokens() : prompt);
    }

    /** Evaluates ids; see {@link #evaluate(Prompt)}. */
    public void evaluate(int[] ids) {
        Objects.requireNonNull(ids, "ids");
        enter();
        try {
            endCurrent();
            if (Carrier.isTaken()) {
                Carrier.leave(() -> evaluateUnlessCancelled(ids));
            } else {
                evaluateUnlessCancelled(ids);
            }
        } finally {
            leave();
        }
    }

    private void evaluateUnlessCancelled(int[] ids) {
        checkInterrupt();
        CancelOnInterrupt interruption = new CancelOnInterrupt(this);
        interruption.enter();
        try {
            Native.evaluate(handle, ids);
        } finally {
            interruption.leave();
        }
    }

    /** How many tokens the history has: prompts and those taken from generations. */
    public int position() {
        enter();
        try {
            return Native.position(handle) - (current == null ? 0 : current.untaken());
        } finally {
            leave();
        }
    }

    /** The ids of the history. */
    public int[] history() {
        enter();
        try {
            return Arrays.copyOf(Native.history(handle), position());
        } finally {
            leave();
        }
    }

    /**
     * Forgets every token from {@code position} on.
     *
     * @throws IllegalArgumentException if it is negative or behind the current position
     */
    public void rewind(int position) {
        enter();
        try {
            endCurrent();
            Native.rewind(handle, position);
        } finally {
            leave();
        }
    }

    /** Forgets everything. */
    public void reset() {
        rewind(0);
    }

    /**
     * The logits after the last token of the history, one per token of the vocabulary.
     *
     * @throws IllegalArgumentException if the history is empty
     */
    public float[] logits() {
        enter();
        try {
            endCurrent();
            float[] logits = new float[model.info().vocabularySize()];
            Native.logits(handle, logits);
            return logits;
        } finally {
            leave();
        }
    }

    // ---- copies ----------------------------------------------------------------------------------------------------

    /**
     * Opens a session with the same history and options, without evaluating anything: both continue what they share in
     * their own way, and neither is changed by what happens to the other. With the same calls they give the same
     * tokens. Closing one leaves the other open.
     *
     * <p>A generation in progress goes on here; the fork has the tokens that were taken from it.
     *
     * @throws OutOfDeviceMemoryException if its KV cache and workspace do not fit on the device
     * @throws OutOfHostMemoryException if they do not fit in memory
     * @throws IllegalStateException if the session is closed or another thread is inside
     */
    public Session fork() {
        enter();
        try {
            return new Session(model, Native.forkSession(handle, position()));
        } finally {
            leave();
        }
    }

    /**
     * Writes the session to a file, from which {@link Model#restore(Path)} opens it again, in this process or another,
     * without evaluating anything. It has the ids of the history and their keys and values: as many bytes as
     * {@link SessionStatistics#kvBytes} for a full context. Only the owner of the file can read it.
     *
     * <p>The file takes the place of what is at {@code path}, or of what a symbolic link there leads to, once it is
     * complete and on the disk; until then, and if anything goes wrong, that stays as it is. A generation in progress
     * goes on; the file has the tokens that were taken from it. Interrupting the thread does not stop the writing;
     * closing the session from another one does.
     *
     * @throws java.io.UncheckedIOException if the file cannot be written, with the system's reason
     * @throws CancelledException if the session is closed meanwhile
     * @throws IllegalStateException if the session is closed or another thread is inside
     */
    public void save(Path path) {
        save(path, new byte[0]);
    }

    /** With bytes in front of it. */
    void save(Path path, byte[] preface) {
        Objects.requireNonNull(path, "path");
        enter();
        try {
            Native.saveSession(handle, position(), path, preface);
        } finally {
            leave();
        }
    }

    /** Tokens that the session can hold. */
    public int contextLength() {
        return contextLength;
    }

    /** Tokens, times and memory since the session was opened. */
    public SessionStatistics statistics() {
        enter();
        try {
            return Native.statistics(handle);
        } finally {
            leave();
        }
    }

    public Model model() {
        return model;
    }

    // ---- one caller at a time --------------------------------------------------------------------------------------

    /** Takes the session for this thread, which may have it already. Followed by {@link #leave}. */
    void enter() {
        enterEvenClosed();
        if (closed) {
            leave();
            checkOpen();
        }
    }

    void checkOpen() {
        if (closed) {
            throw new IllegalStateException("the session is closed");
        }
    }

    boolean tryEnter() {
        return resources.lock.tryLock();
    }

    void enterEvenClosed() {
        if (!tryEnter()) {
            throw new IllegalStateException(
                    "the session is in use by another thread: it serves one caller at a time, open one per thread");
        }
    }

    void leave() {
        resources.lock.unlock();
        Reference.reachabilityFence(this);
    }

    long handle() {
        return handle;
    }

    Native.Exchange exchange() {
        if (resources.exchange == null) {
            resources.exchange = new Native.Exchange();
        }
        return resources.exchange;
    }

    Tokenizer tokenizerOrNull() {
        return model.tokenizerOrNull();
    }

    /** Of one token alone; empty for a model without a tokenizer. */
    String textOf(int id) {
        Tokenizer tokenizer = model.tokenizerOrNull();
        return tokenizer == null || id >= tokenizer.vocabularySize()
                ? "" : new String(tokenizer.tokenBytes(id), StandardCharsets.UTF_8);
    }

    private void endCurrent() {
        if (current != null) {
            current.abandoned();
            finish(current, FinishReason.CANCELLED);
        }
    }

    /** Ends the current stream; leaves the history with the tokens that were taken and no others. */
    void finish(TokenStream stream, FinishReason reason) {
        int untaken = stream.untaken();
        boolean goesOn = !stream.endedBehindFetched();
        detach(stream, reason);
        if (closed) {
            return;
        }
        if (untaken > 0) {
            Native.rewind(handle, Native.position(handle) - untaken);
        } else if (goesOn) {
            Native.end(handle);
        }
    }

    /** Forgets a stream that has ended in the native library. */
    void detach(TokenStream stream, FinishReason reason) {
        boolean complete = false;
        try {
            complete = isComplete(stream);
        } finally {  // a session that another thread closes meanwhile cannot say it
            stream.finished(reason, complete);
            synchronized (gate) {
                current = null;
            }
        }
    }

    /** Whether the text of a stream, the one that was started last, is all that its constraint demands. */
    private boolean isComplete(TokenStream stream) {
        return stream.options().constraint().isEmpty() || !closed && Native.complete(handle);
    }

    // ---- cancelling and closing ------------------------------------------------------------------------------------

    /**
     * Stops what another thread does in this session: the evaluation of a prompt throws {@link CancelledException}, a
     * generation ends with {@link FinishReason#CANCELLED}. Without effect if nothing is in progress.
     */
    public void cancel() {
        synchronized (gate) {
            if (current != null) {
                current.markCancelled();
            }
            cancelNativeCall();
        }
    }

    void cancelNativeCall() {
        synchronized (gate) {
            if (!closed) {
                Native.cancel(handle);
            }
        }
    }

    void cancel(TokenStream stream) {
        synchronized (gate) {
            stream.markCancelled();
            if (current == stream) {
                cancelNativeCall();
            }
        }
    }

    void close(TokenStream stream) {
        if (!resources.lock.tryLock()) {
            cancel(stream);
            return;
        }
        try {
            if (current == stream) {
                finish(stream, FinishReason.CANCELLED);
            }
        } finally {
            leave();
        }
    }

    /**
     * Ends what runs in the session and frees it. A call that is inside throws {@link CancelledException} or
     * {@link IllegalStateException}, as do later calls. Closing twice has no effect.
     */
    @Override
    public void close() {
        synchronized (gate) {
            closed = true;
        }
        cleanable.clean();
    }
}
