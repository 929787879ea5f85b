package dev.reprise.server;

import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Threads that work on at most so many jobs at once, while at most so many wait. */
final class Pool {
    private static final long KEEP_ALIVE_SECONDS = 30;

    private final ThreadPoolExecutor executor;

    Pool(String name, int threads, int queue) {
        AtomicInteger count = new AtomicInteger();
        executor = new ThreadPoolExecutor(threads, threads, KEEP_ALIVE_SECONDS, TimeUnit.SECONDS,
                new BoundedQueue(queue), task -> {
                    Thread thread = new Thread(task, name + "-" + count.incrementAndGet());
                    thread.setDaemon(true);
                    return thread;
                });
        executor.allowCoreThreadTimeOut(true);
    }

    /** As many places as asked for, none included. */
    private static final class BoundedQueue extends LinkedBlockingQueue<Runnable> {
        private static final long serialVersionUID = 1L;

        private final int places;

        BoundedQueue(int places) {
            super(Math.max(1, places));
            this.places = places;
        }

        @Override
        public boolean offer(Runnable task) {
            return places > 0 && super.offer(task);
        }
    }

    /** False if all places are taken. */
    boolean submit(Runnable job) {
        try {
            executor.execute(job);
            return true;
        } catch (RejectedExecutionException e) {
            return false;
        }
    }

    /** Gives the place of a job that waits to another. */
    void withdraw(Runnable job) {
        executor.remove(job);
    }

    int running() {
        return executor.getActiveCount();
    }

    int waiting() {
        return executor.getQueue().size();
    }

    void stop() {
        executor.shutdown();
    }

    /** Whether all jobs have ended in time. */
    boolean awaitEnd(long nanos) throws InterruptedException {
        return executor.awaitTermination(nanos, TimeUnit.NANOSECONDS);
    }
}
