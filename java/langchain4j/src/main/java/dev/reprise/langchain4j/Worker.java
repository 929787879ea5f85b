package dev.reprise.langchain4j;

import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;

/**
 * Work on a thread of its own.
 *
 * @param <T> what it comes to
 */
final class Worker<T> {
    /** Cancelling it interrupts the work, which ends within a step. */
    private final class Result extends CompletableFuture<T> {
        @Override
        public boolean cancel(boolean mayInterrupt) {
            boolean cancelled = super.cancel(mayInterrupt);
            if (cancelled) {
                thread.interrupt();
            }
            return cancelled;
        }
    }

    private final CompletableFuture<T> future = new Result();
    private final Thread thread;

    Worker(Supplier<T> work) {
        thread = new Thread(() -> {
            try {
                future.complete(work.get());
            } catch (Throwable e) {
                future.completeExceptionally(e);
            }
        }, "reprise-langchain4j");
        thread.setDaemon(true);
    }

    void start() {
        thread.start();
    }

    CompletableFuture<T> future() {
        return future;
    }
}
