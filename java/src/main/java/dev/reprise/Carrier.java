package dev.reprise;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.Arrays;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;

/**
 * Runs calls that take long on a platform thread, if a virtual one makes them: within native code a virtual thread
 * cannot leave its carrier, so that a few long calls would keep every other virtual thread from running.
 *
 * <p>There are as many platform threads as calls in progress, so at most one per session and per model that is being
 * loaded. They are daemons and end after a second without work, which lets go of their class loader.
 */
final class Carrier {
    private static final long IDLE_SECONDS = 1;

    private Carrier() {}

    /** Whether the caller is a virtual thread. Costs a comparison where it is a plain {@link Thread}. */
    static boolean isTaken() {
        Thread thread = Thread.currentThread();
        return thread.getClass() != Thread.class && Virtual.is(thread);
    }

    /** Initialised for threads of other classes alone: a starting program has no use for method handles. */
    private static final class Virtual {
        /** {@code Thread.isVirtual()}, which came with Java 21; null before. */
        private static final MethodHandle IS_VIRTUAL = find();

        private static MethodHandle find() {
            try {
                return MethodHandles.publicLookup()
                        .findVirtual(Thread.class, "isVirtual", MethodType.methodType(boolean.class));
            } catch (NoSuchMethodException e) {
                return null;
            } catch (IllegalAccessException e) {
                throw new IllegalStateException(e);
            }
        }

        static boolean is(Thread thread) {
            try {
                return IS_VIRTUAL != null && (boolean) IS_VIRTUAL.invokeExact(thread);
            } catch (Throwable e) {
                throw new IllegalStateException(e);
            }
        }
    }

    private static final class Pool {
        static final ExecutorService THREADS = new ThreadPoolExecutor(
                0, Integer.MAX_VALUE, IDLE_SECONDS, TimeUnit.SECONDS, new SynchronousQueue<>(), Pool::newThread);

        private static Thread newThread(Runnable work) {
            Thread thread = new Thread(null, work, "reprise-call", 0, false);
            thread.setDaemon(true);
            thread.setContextClassLoader(null);
            return thread;
        }
    }

    static void leave(Runnable call) {
        leave(() -> {
            call.run();
            return null;
        });
    }

    /**
     * Runs {@code call} on a platform thread and waits for it without the carrier. The thread is interrupted if the
     * caller is, whose interrupt status stays set; what it throws is thrown here.
     */
    static <T> T leave(Supplier<T> call) {
        Call<T> running = new Call<>(call);
        Pool.THREADS.execute(running);
        return running.await();
    }

    private static final class Call<T> implements Runnable {
        private final Supplier<T> call;
        private final Thread caller = Thread.currentThread();
        private final ClassLoader loader = caller.getContextClassLoader();
        /** Whoever runs the call; null before and afterwards. Guarded by this. */
        private Thread runner;
        private boolean interrupted = caller.isInterrupted();
        private T result;
        private Throwable thrown;
        /** Written last: whoever sees it sees the outcome. */
        private volatile boolean done;

        Call(Supplier<T> call) {
            this.call = call;
        }

        @Override
        public void run() {
            begin();
            try {
                result = call.get();
            } catch (Throwable e) {
                thrown = e;
            } finally {
                end();
                done = true;
                LockSupport.unpark(caller);
            }
        }

        private synchronized void begin() {
            runner = Thread.currentThread();
            runner.setContextClassLoader(loader);
            if (interrupted) {
                runner.interrupt();
            }
        }

        private synchronized void end() {
            runner.setContextClassLoader(null);
            runner = null;
            Thread.interrupted();
        }

        private synchronized void interrupt() {
            interrupted = true;
            if (runner != null) {
                runner.interrupt();
            }
        }

        T await() {
            boolean wasInterrupted = false;
            while (!done) {
                LockSupport.park(this);
                // A thread with the status set would not wait.
                if (Thread.interrupted()) {
                    wasInterrupted = true;
                    interrupt();
                }
            }
            if (wasInterrupted) {
                caller.interrupt();
            }
            if (thrown != null) {
                throw Call.<RuntimeException>unchecked(withCallersFrames(thrown));
            }
            return result;
        }

        /** Else nothing would tell which call of the application has failed. */
        private Throwable withCallersFrames(Throwable thrown) {
            StackTraceElement[] inner = thrown.getStackTrace();
            StackTraceElement[] outer = new Throwable().getStackTrace();
            StackTraceElement[] both = Arrays.copyOf(inner, inner.length + outer.length);
            System.arraycopy(outer, 0, both, inner.length, outer.length);
            thrown.setStackTrace(both);
            return thrown;
        }

        /** Progress listeners in other languages throw checked exceptions too. */
        @SuppressWarnings("unchecked")
        private static <T extends Throwable> T unchecked(Throwable thrown) throws T {
            throw (T) thrown;
        }
    }
}
