package dev.reprise;

import dev.reprise.natives.loader.LoaderCleaner;
import java.io.ByteArrayOutputStream;
import java.lang.ref.Cleaner;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;

/** The constraints that a model's generations use, compiled once, and the model's vocabulary as they need it. */
final class ConstraintCache implements AutoCloseable {
    /** A server whose requests bring schemas along keeps the last ones. */
    private static final int MOST = 64;

    private final Map<Constraint, Compiled> compiled = new LinkedHashMap<>(MOST, 0.75f, true);
    /** No monitor, in which a virtual thread could not leave its carrier. */
    private final ReentrantLock lock = new ReentrantLock();
    private long vocabulary;
    private boolean closed;

    /** A compiled constraint, closed when it is in no cache and nobody uses it any more. */
    static final class Compiled {
        private final long handle;
        private final Cleaner.Cleanable cleanable;

        Compiled(long handle) {
            this.handle = handle;
            cleanable = LoaderCleaner.register(this, new Closer(handle));
        }

        long handle() {
            return handle;
        }
    }

    private record Closer(long handle) implements Runnable {
        @Override
        public void run() {
            Native.closeConstraint(handle);
        }
    }

    /**
     * A constraint for a model's tokens.
     *
     * @throws IllegalArgumentException if it is malformed or too large
     * @throws UnsupportedOperationException if it needs what cannot be enforced, which the message names
     */
    Compiled get(Constraint constraint, Tokenizer tokenizer, int vocabularySize) {
        lock.lock();
        try {
            if (closed) {
                throw new IllegalStateException("the model is closed");
            }
            Compiled known = compiled.get(constraint);
            if (known != null) {
                return known;
            }
            Compiled made = compile(constraint, tokenizer, vocabularySize);
            compiled.put(constraint, made);
            if (compiled.size() > MOST) {
                compiled.remove(compiled.keySet().iterator().next());
            }
            return made;
        } finally {
            lock.unlock();
        }
    }

    private Compiled compile(Constraint constraint, Tokenizer tokenizer, int vocabularySize) {
        if (Carrier.isTaken()) {
            return Carrier.leave(() -> compile(constraint, tokenizer, vocabularySize));
        }
        if (vocabulary == 0) {
            vocabulary = open(tokenizer, vocabularySize);
        }
        return new Compiled(Native.openConstraint(vocabulary, constraint));
    }

    /** Rows of the model's output beyond the tokenizer's tokens stand for nothing. */
    private static long open(Tokenizer tokenizer, int vocabularySize) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        long[] offsets = new long[vocabularySize + 1];
        byte[] special = new byte[vocabularySize];
        for (int id = 0; id < vocabularySize; id++) {
            if (id < tokenizer.vocabularySize()) {
                bytes.writeBytes(tokenizer.tokenBytes(id));
                special[id] = (byte) (tokenizer.isSpecial(id) ? 1 : 0);
            }
            offsets[id + 1] = bytes.size();
        }
        return Native.openVocabulary(bytes.toByteArray(), offsets, special, EndTokens.toArray(tokenizer.endTokens()));
    }

    @Override
    public void close() {
        lock.lock();
        try {
            closed = true;
            compiled.values().forEach(constraint -> constraint.cleanable.clean());
            compiled.clear();
            if (vocabulary != 0) {
                Native.closeVocabulary(vocabulary);
                vocabulary = 0;
            }
        } finally {
            lock.unlock();
        }
    }
}
