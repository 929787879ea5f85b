package dev.reprise.server;

/**
 * Work that can be cancelled from any thread, before it runs and while it does: its thread is interrupted then, which
 * ends what a session is at within a step.
 */
final class Job implements Runnable {
    private final Runnable work;
    private final Runnable withdrawn;
    private Thread thread;
    private boolean cancelled;
    private boolean ended;

    /**
     * Work.
     *
     * @param withdrawn what is done instead where it is cancelled before it runs
     */
    Job(Runnable work, Runnable withdrawn) {
        this.work = work;
        this.withdrawn = withdrawn;
    }

    @Override
    public void run() {
        synchronized (this) {
            if (cancelled) {
                return;
            }
            thread = Thread.currentThread();
        }
        try {
            work.run();
        } finally {
            synchronized (this) {
                thread = null;
                ended = true;
            }
            Thread.interrupted();  // the next job of the thread begins anew
        }
    }

    /** Without effect once it has ended. */
    void cancel() {
        synchronized (this) {
            if (cancelled || ended) {
                return;
            }
            cancelled = true;
            if (thread != null) {
                thread.interrupt();
                return;
            }
        }
        withdrawn.run();
    }
}
