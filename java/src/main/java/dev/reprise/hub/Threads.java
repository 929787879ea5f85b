package dev.reprise.hub;

import java.util.concurrent.ExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/** Threads that keep neither the process nor a class loader for longer than they work. */
final class Threads {
    private static final long IDLE_SECONDS = 1;

    private Threads() {}

    static Thread newThread(Runnable work) {
        Thread thread = new Thread(null, work, "reprise-download", 0, false);
        thread.setDaemon(true);
        thread.setContextClassLoader(null);
        return thread;
    }

    static ExecutorService newPool() {
        return new ThreadPoolExecutor(
                0, Integer.MAX_VALUE, IDLE_SECONDS, TimeUnit.SECONDS, new SynchronousQueue<>(), Threads::newThread);
    }
}
