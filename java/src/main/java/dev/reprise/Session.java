package dev.reprise;

import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.util.Arrays;
import java.util.Objects;
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A history of tokens and the memory to continue it. Prompts and generated tokens stay, so a further prompt continues the
 * text; {@link #rewind} and {@link #reset} forget.
 *
 * <p>A session belongs to one caller at a time: a call while another thread is inside throws
 * {@link IllegalStateException}. Only {@link #cancel} and {@link #close} are legal from any thread at any time. Every call
 * that changes the history ends a generation in progress.
 *
 * <p>Interrupting a thread cancels its call: a prompt in evaluation throws {@link CancelledException} with the history as
 * before, a generation ends with {@link FinishReason#CANCELLED}. The interrupt status stays set.
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

    Session(Model model, SessionOptions options) {
        this.model = model;
        handle = Native.openSession(model.handle(), options);
        resources = new Resources(handle);
        cleanable = Cleanup.register(this, resources);
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

    /** Text or ids; the other one is null. */
    private record Prompt(String text, int[] ids) {
        static Prompt of(String text) {
            return new Prompt(Objects.requireNonNull(text, "prompt"), null);
        }

        static Prompt of(int[] ids) {
            return new Prompt(null, ids.clone());
        }
    }

    // ---- generating ------------------------------------------------------------------------------------------------

    /** Generates with {@link GenerationOptions#defaults}; see {@link #generate(String, GenerationOptions)}. */
    public TokenStream generate(String prompt) {
        return generate(prompt, GenerationOptions.defaults());
    }

    /**
     * Appends a prompt, evaluates it and starts a generation, whose tokens are decoded as they are taken.
     *
     * @param prompt text to continue; may be empty if the history is not. The begin-of-text token is put before it if the
     *     history is empty and the tokenizer adds one; likewise the space that some tokenizers put before a text.
     * @throws ContextOverflowException if the prompt does not fit behind the history
     * @throws CancelledException if it is cancelled or interrupted before the first token; the history is as before
     * @throws IllegalArgumentException if prompt and history are empty
     * @throws IllegalStateException if the session is closed or another thread is inside
     */
    public TokenStream generate(String prompt, GenerationOptions options) {
        TokenStream stream = newStream(options);
        start(stream, Prompt.of(prompt));
        return stream;
    }

    /**
     * As {@link #generate(String, GenerationOptions)}, with a prompt of ids, to which nothing is added.
     *
     * @throws IllegalArgumentException if an id is not in the vocabulary, or prompt and history are empty
     */
    public TokenStream generate(int[] prompt, GenerationOptions options) {
        TokenStream stream = newStream(options);
        start(stream, Prompt.of(prompt));
        return stream;
    }

    /** Generates with {@link GenerationOptions#defaults} and waits for the end. */
    public Generation complete(String prompt) {
        return complete(prompt, GenerationOptions.defaults());
    }

    /**
     * Generates as {@link #generate(String, GenerationOptions)} does and waits for the end. No other thread can get in
     * between.
     */
    public Generation complete(String prompt, GenerationOptions options) {
        return complete(newStream(options), Prompt.of(prompt));
    }

    /** As {@link #complete(String, GenerationOptions)}, with a prompt of ids, to which nothing is added. */
    public Generation complete(int[] prompt, GenerationOptions options) {
        return complete(newStream(options), Prompt.of(prompt));
    }

    /** Generates with {@link GenerationOptions#defaults} in the background. */
    public CompletableFuture<Generation> completeAsync(String prompt) {
        return completeAsync(prompt, GenerationOptions.defaults());
    }

    /**
     * Generates as {@link #complete(String, GenerationOptions)} does, in a daemon thread of its own. Whatever ends the
     * future early cancels the generation: {@code cancel}, {@code orTimeout}, {@code completeExceptionally}.
     */
    public CompletableFuture<Generation> completeAsync(String prompt, GenerationOptions options) {
        return completeAsync(newStream(options), Prompt.of(prompt));
    }

    /** As {@link #completeAsync(String, GenerationOptions)}, with a prompt of ids, to which nothing is added. */
    public CompletableFuture<Generation> completeAsync(int[] prompt, GenerationOptions options) {
        return completeAsync(newStream(options), Prompt.of(prompt));
    }

    private CompletableFuture<Generation> completeAsync(TokenStream stream, Prompt prompt) {
        CompletableFuture<Generation> future = new CompletableFuture<>();
        future.whenComplete((generation, failure) -> {
            if (failure != null) {
                stream.cancel();
            }
        });
        Thread thread = new Thread(
                () -> {
                    try {
                        future.complete(complete(stream, prompt));
                    } catch (RuntimeException | Error e) {
                        future.completeExceptionally(e);
                    }
                },
                "reprise-complete");
        thread.setDaemon(true);
        thread.start();
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
            int[] ids = prompt.ids != null ? prompt.ids : idsOf(prompt.text, stream.options().parseSpecialTokens());
            synchronized (gate) {
                current = stream;
            }
            boolean started = false;
            try {
                long begin = System.nanoTime();
                if (Carrier.isTaken()) {
                    Carrier.leave(() -> generateUnlessCancelled(stream, ids));
                } else {
                    generateUnlessCancelled(stream, ids);
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

    private void generateUnlessCancelled(TokenStream stream, int[] ids) {
        // An interrupt or cancel() that comes behind this and before the native call has begun is noticed by the first
        // token.
        checkInterrupt();
        if (stream.isCancelled()) {
            throw new CancelledException("the generation was cancelled before it began");
        }
        CancelOnInterrupt interruption = new CancelOnInterrupt(this);
        interruption.enter();
        try {
            exchange().generate(handle, ids, stream.options(), stream.seed(), model.endTokens());
        } finally {
            interruption.leave();
        }
    }

    private static void checkInterrupt() {
        if (Thread.currentThread().isInterrupted()) {
            throw new CancelledException("the thread is interrupted");
        }
    }

    /** With the begin-of-text token, and the space that some tokenizers put before a text, where they belong. */
    private int[] idsOf(String prompt, boolean parseSpecial) {
        Tokenizer tokenizer = model.tokenizer();
        if (Native.position(handle) > 0) {
            return tokenizer.encodeContinuation(prompt, parseSpecial);
        }
        int[] ids = tokenizer.encode(prompt, false, parseSpecial);
        OptionalInt bos = tokenizer.bosToken();
        boolean there = ids.length > 0 && bos.isPresent() && ids[0] == bos.getAsInt();
        if (!tokenizer.addsBos() || there) {
            return ids;
        }
        int[] withBos = new int[ids.length + 1];
        withBos[0] = bos.getAsInt();
        System.arraycopy(ids, 0, withBos, 1, ids.length);
        return withBos;
    }

    // ---- history ---------------------------------------------------------------------------------------------------

    /**
     * Appends text to the history and evaluates it, without generating: what follows it can then start at once. What a
     * tokenizer adds before a text is added if the history is empty.
     *
     * @param parseSpecial whether the text of a control token becomes that token
     * @throws ContextOverflowException if it does not fit behind the history
     * @throws CancelledException if it is cancelled or interrupted; the history is as before
     */
    public void evaluate(String text, boolean parseSpecial) {
        Objects.requireNonNull(text, "text");
        enter();
        try {
            endCurrent();
            evaluate(idsOf(text, parseSpecial));
        } finally {
            leave();
        }
    }

    /** As {@link #evaluate(String, boolean)}, with ids, to which nothing is added. */
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

    /** Tokens that the session can hold. */
    public int contextLength() {
        return contextLength;
    }

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

    void enterEvenClosed() {
        if (!resources.lock.tryLock()) {
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
        stream.finished(reason);
        synchronized (gate) {
            current = null;
        }
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
