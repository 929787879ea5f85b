package dev.reprise;

import dev.reprise.natives.loader.LoaderCleaner;
import java.io.ByteArrayOutputStream;
import java.lang.ref.Cleaner;
import java.util.LinkedHashMap;
import java.util.Map;

/** The constraints that a model's generations use, compiled once, and the model's vocabulary as they need it. */
final class ConstraintCache implements AutoCloseable {
    /** A server whose requests bring schemas along keeps the last ones. */
    private static final int MOST = 64;

    private final Map<Constraint, Compiled> compiled = new LinkedHashMap<>(MOST, 0.75f, true);
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
    synchronized Compiled get(Constraint constraint, Tokenizer tokenizer, int vocabularySize) {
        if (closed) {
            throw new IllegalStateException("the model is closed");
        }
        Compiled known = compiled.get(constraint);
        if (known != null) {
            return known;
        }
        if (vocabulary == 0) {
            vocabulary = open(tokenizer, vocabularySize);
        }
        Compiled made = new Compiled(Native.openConstraint(vocabulary, constraint));
        compiled.put(constraint, made);
        if (compiled.size() > MOST) {
            compiled.remove(compiled.keySet().iterator().next());
        }
        return made;
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
    public synchronized void close() {
        closed = true;
        compiled.values().forEach(constraint -> constraint.cleanable.clean());
        compiled.clear();
        if (vocabulary != 0) {
            Native.closeVocabulary(vocabulary);
            vocabulary = 0;
        }
    }
}
