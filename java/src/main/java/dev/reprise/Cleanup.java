package dev.reprise;

import java.lang.ref.Cleaner;

/** Frees what was never closed, once its owner has become unreachable. */
final class Cleanup {
    private static final Cleaner CLEANER = Cleaner.create();

    private Cleanup() {}

    /** Runs {@code action}, which must not refer to {@code owner}, once: by {@code clean()}, or after owner is gone. */
    static Cleaner.Cleanable register(Object owner, Runnable action) {
        return CLEANER.register(owner, action);
    }
}
