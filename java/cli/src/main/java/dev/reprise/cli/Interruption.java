package dev.reprise.cli;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Lets Ctrl-C end a generation rather than tear it off: text and statistics so far still come out. */
final class Interruption extends Thread {
    /** Longer than one step of the slowest model that is any use. */
    private static final long PATIENCE_SECONDS = 5;

    private static final CountDownLatch ENDED = new CountDownLatch(1);

    private final Runnable cancel;

    private Interruption(Runnable cancel) {
        super("reprise-interruption");
        this.cancel = cancel;
    }

    /** Cancels what is in progress when the process is asked to end, and gives the command time to finish. */
    static Interruption cancels(Runnable cancel) {
        Interruption hook = new Interruption(cancel);
        Runtime.getRuntime().addShutdownHook(hook);
        return hook;
    }

    /** The command has nothing more to say; a process that is ending need not wait for it. */
    static void commandEnded() {
        ENDED.countDown();
    }

    @Override
    public void run() {
        cancel.run();
        try {
            ENDED.await(PATIENCE_SECONDS, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Once there is nothing left to cancel. */
    void forget() {
        try {
            Runtime.getRuntime().removeShutdownHook(this);
        } catch (IllegalStateException e) {
            // The process is ending, and this hook runs or has run.
        }
    }
}
