package dev.reprise;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * The tokens of a generation, decoded as they are asked for. To be used once, by one of {@link #forEach},
 * {@link #iterator} and {@link #stream}, in one thread at a time.
 *
 * <p>Leaving it early is fine: the session's next call ends the generation, and the session's history then has the
 * tokens that were taken from here and no others. {@link #close} ends it at once.
 *
 * <p>Interrupting the thread that takes tokens cancels the generation, between two tokens; the interrupt status stays
 * set.
 */
public final class TokenStream implements Iterable<Token>, AutoCloseable {
    private final OnePass<Token> pass =
            new OnePass<>(this::take, "the tokens of a generation can be gone through once; result() keeps them",
                    "the generation has ended");
    private final Session session;
    private final GenerationOptions options;
    private final long seed;
    private final StreamDecoder decoder;
    /** Null if there are no stop strings. */
    private final StopMatcher stopMatcher;
    private final List<Token> tokens = new ArrayList<>();

    // Of the tokens that the last fetch left in the session's exchange.
    private int fetchedCount;
    private int takenCount;
    private FinishReason reasonBehindFetched;

    private int promptTokens;
    private long promptNanos;
    private long decodeNanos;
    /** Of a generation that ended between two tokens: what had been held back. */
    private String rest = "";
    private boolean complete;
    /** Written last: whoever sees it sees all else. */
    private volatile FinishReason finishReason;
    private volatile boolean abandoned;
    private volatile boolean cancelled;

    TokenStream(Session session, GenerationOptions options, long seed) {
        this.session = session;
        this.options = options;
        this.seed = seed;
        Tokenizer tokenizer = session.tokenizerOrNull();
        decoder = tokenizer == null ? null : tokenizer.newStreamDecoder(options.showSpecialTokens());
        stopMatcher = options.stop().isEmpty() ? null : new StopMatcher(options.stop());
    }

    GenerationOptions options() {
        return options;
    }

    long seed() {
        return seed;
    }

    void promptEvaluated(int tokens, long nanos) {
        promptTokens = tokens;
        promptNanos = nanos;
    }

    // ---- taking tokens ---------------------------------------------------------------------------------------------

    /**
     * The tokens that are left, each decoded by {@code hasNext} or {@code next}.
     *
     * @throws IllegalStateException if there was an iteration before
     */
    @Override
    public Iterator<Token> iterator() {
        return pass.iterator();
    }

    /**
     * Decodes to the end and passes on every token as soon as it is there.
     *
     * @throws IllegalStateException if there was an iteration before
     */
    @Override
    public void forEach(Consumer<? super Token> action) {
        pass.forEach(action);
    }

    /**
     * The tokens as a sequential stream; closing it closes this.
     *
     * @throws IllegalStateException if there was an iteration before
     */
    public Stream<Token> stream() {
        return pass.stream().onClose(this::close);
    }

    /** The next token, null at the end. */
    Token take() {
        if (finishReason != null && !abandoned) {
            return null;
        }
        session.enterEvenClosed();
        try {
            if (abandoned) {
                throw new IllegalStateException("a later call of the session has ended this generation");
            }
            if (finishReason != null) {
                return null;
            }
            session.checkOpen();
            if (cancelled || Thread.currentThread().isInterrupted()) {
                session.finish(this, FinishReason.CANCELLED);
                return null;
            }
            if (takenCount == fetchedCount && !fetch()) {
                return null;
            }
            return takeFetched();
        } finally {
            session.leave();
        }
    }

    /** Whether a token came. */
    private boolean fetch() {
        Native.Exchange exchange = session.exchange();
        long start = System.nanoTime();
        try {
            fetchedCount = exchange.next(session.handle());
        } catch (RuntimeException e) {
            session.detach(this, FinishReason.CANCELLED);
            throw e;
        }
        if (!tokens.isEmpty()) {
            decodeNanos += System.nanoTime() - start;
        }
        takenCount = 0;
        reasonBehindFetched = exchange.finishReason();
        if (options.topLogprobs() > 0) {
            exchange.fetchAlternatives(session.handle());
        }
        if (fetchedCount > 0) {
            return true;
        }
        session.finish(this, reasonBehindFetched);
        if (reasonBehindFetched == FinishReason.CANCELLED && !cancelled) {
            throw new CancelledException("the session was closed while it generated");
        }
        return false;
    }

    private Token takeFetched() {
        Native.Exchange exchange = session.exchange();
        int id = exchange.id(takenCount);
        float logProbability = exchange.logProbability(takenCount);
        List<Token.Alternative> alternatives = alternatives(exchange, takenCount);
        takenCount++;
        boolean last = takenCount == fetchedCount && reasonBehindFetched != null;
        Token token = new Token(id, textOf(id, last), logProbability, alternatives);
        tokens.add(token);
        if (stopMatcher != null && stopMatcher.stopped()) {
            session.finish(this, FinishReason.STOP);
        } else if (last) {
            session.finish(this, reasonBehindFetched);
        }
        return token;
    }

    private List<Token.Alternative> alternatives(Native.Exchange exchange, int index) {
        if (options.topLogprobs() == 0) {
            return List.of();
        }
        List<Token.Alternative> alternatives = new ArrayList<>();
        for (int rank = index * options.topLogprobs(); rank < (index + 1) * options.topLogprobs(); rank++) {
            int id = exchange.alternativeId(rank);
            if (id >= 0) {
                alternatives.add(
                        new Token.Alternative(id, session.textOf(id), exchange.alternativeLogProbability(rank)));
            }
        }
        return List.copyOf(alternatives);
    }

    private String textOf(int id, boolean last) {
        if (decoder == null) {
            return "";
        }
        String piece = decoder.append(id);
        String free = stopMatcher == null ? piece : stopMatcher.append(piece);
        return last ? free.concat(heldBack()) : free;
    }

    // ---- ending ----------------------------------------------------------------------------------------------------

    /**
     * Called by the session, which has seen to its own part of ending.
     *
     * @param complete whether the text is all that the constraint demands
     */
    void finished(FinishReason reason, boolean complete) {
        this.complete = complete;
        takenCount = fetchedCount = 0;
        // Nothing, where the last token brought it.
        rest = reason == FinishReason.STOP ? "" : heldBack();
        finishReason = reason;
    }

    private String heldBack() {
        if (decoder == null) {
            return "";
        }
        String piece = decoder.finish();
        return stopMatcher == null ? piece : stopMatcher.append(piece).concat(stopMatcher.finish());
    }

    /** Called where a further call of the session ends this: whoever goes on taking tokens should know. */
    void abandoned() {
        abandoned = true;
    }

    /** Tokens that the native session has delivered and nobody has taken. */
    int untaken() {
        return fetchedCount - takenCount;
    }

    /** Whether the native library has ended the generation behind what was fetched. */
    boolean endedBehindFetched() {
        return reasonBehindFetched != null;
    }

    boolean isCancelled() {
        return cancelled;
    }

    void markCancelled() {
        cancelled = true;
    }

    /**
     * Ends the generation from any thread: the thread that takes tokens sees their end, and the result's reason is
     * {@link FinishReason#CANCELLED}. Without effect once it has ended.
     */
    public void cancel() {
        session.cancel(this);
    }

    /** Ends the generation if it is in progress, as if it had been cancelled. Legal from any thread. */
    @Override
    public void close() {
        session.close(this);
    }

    /**
     * What the generation came to. Its text ends with what the tokens' texts lack of it if the generation was cancelled
     * while the end of its text could have become a stop string, or a character was incomplete.
     *
     * @throws IllegalStateException if it has not ended: take all tokens or {@link #close} first
     */
    public Generation result() {
        FinishReason reason = finishReason;
        if (reason == null) {
            throw new IllegalStateException("the generation has not ended: take all tokens or close it first");
        }
        StringBuilder text = new StringBuilder();
        for (Token token : tokens) {
            text.append(token.text());
        }
        int decoded = tokens.size() - 1;
        return new Generation(new Generation.Values(text.append(rest).toString(), tokens, reason, promptTokens,
                perSecond(promptTokens, promptNanos), perSecond(decoded, decodeNanos), seed, complete));
    }

    private static double perSecond(int count, long nanos) {
        return count > 0 && nanos > 0 ? count * 1e9 / nanos : 0;
    }
}
