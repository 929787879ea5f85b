package dev.reprise.natives.loader;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandleProxies;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.ref.Cleaner;
import java.lang.ref.PhantomReference;
import java.lang.ref.Reference;
import java.lang.ref.ReferenceQueue;
import java.lang.ref.WeakReference;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.javacpp.Pointer;

/**
 * Frees what was never closed, once its owner has become unreachable; and goes away with its class loader.
 *
 * <p>A thread keeps the class loaders of all that it runs or waits to run. So neither JavaCPP's thread, which waits for
 * garbage pointers, nor a {@link Cleaner} with actions of this class loader may go on: an application that is
 * undeployed would stay in memory with the library and the thread. Here a {@code Cleaner} has an object to watch that
 * is garbage from the start, and an action made of classes of the JDK alone, which reaches {@link #clean} by a weak
 * reference. So {@code clean} runs after every garbage collection for as long as anything else holds the class loader.
 *
 * <p>It does what JavaCPP's thread did, too, for every pointer of this class loader, whoever made it. The alternative,
 * {@code org.bytedeco.javacpp.noPointerGC}, would take the collection of pointers from other users of JavaCPP.
 */
public final class LoaderCleaner {
    /** Longer than the JVM takes to hand over what one collection found. */
    private static final int STRAGGLERS_MILLIS = 20;

    private static final ReferenceQueue<Object> GARBAGE = new ReferenceQueue<>();
    private static final Set<Registration> PENDING = ConcurrentHashMap.newKeySet();

    private static final Cleaner CLEANER = Cleaner.create();
    private static final Runnable CLEAN = LoaderCleaner::clean;
    private static final Runnable CLEAN_UNLESS_UNLOADED = weakly(CLEAN);

    static {
        cleanAfterTheNextCollection();
    }

    private LoaderCleaner() {}

    /**
     * Takes over from JavaCPP's thread. To be called by a thread without a context class loader, which would be held
     * otherwise, once the library is loaded, since that starts JavaCPP's thread.
     */
    static void start() {
        Pointer.interruptDeallocatorThread();
    }

    /** Runs {@code action}, which must not refer to {@code owner}, once: by {@code clean()}, or after owner is gone. */
    public static Cleaner.Cleanable register(Object owner, Runnable action) {
        Registration registration = new Registration(owner, action);
        PENDING.add(registration);
        return registration;
    }

    private static final class Registration extends PhantomReference<Object> implements Cleaner.Cleanable {
        private final Runnable action;

        Registration(Object owner, Runnable action) {
            super(owner, GARBAGE);
            this.action = Objects.requireNonNull(action, "action");
        }

        @Override
        public void clean() {
            if (PENDING.remove(this)) {
                clear();
                action.run();
            }
        }
    }

    private static void cleanAfterTheNextCollection() {
        CLEANER.register(new Object(), CLEAN_UNLESS_UNLOADED);
    }

    private static void clean() {
        try {
            Registration found = (Registration) GARBAGE.remove(STRAGGLERS_MILLIS);
            while (found != null) {
                try {
                    found.clean();
                } catch (RuntimeException e) {
                    System.getLogger("dev.reprise").log(
                            System.Logger.Level.WARNING, "What was never closed could not be freed", e);
                }
                found = (Registration) GARBAGE.remove(STRAGGLERS_MILLIS);
            }
            Pointer.deallocateReferences();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();  // nobody does; the next collection brings us back
        } finally {
            cleanAfterTheNextCollection();
        }
    }

    /** Runs {@code action} for as long as something else holds it; of classes of the JDK and a weak reference to it. */
    private static Runnable weakly(Runnable action) {
        try {
            MethodHandles.Lookup lookup = MethodHandles.publicLookup();
            MethodHandle get = lookup.findVirtual(Reference.class, "get", MethodType.methodType(Object.class))
                    .bindTo(new WeakReference<>(action))
                    .asType(MethodType.methodType(Runnable.class));
            MethodHandle run = lookup.findVirtual(Runnable.class, "run", MethodType.methodType(void.class));
            MethodHandle isThere = lookup
                    .findStatic(Objects.class, "nonNull", MethodType.methodType(boolean.class, Object.class))
                    .asType(MethodType.methodType(boolean.class, Runnable.class));
            MethodHandle runIfThere = MethodHandles.guardWithTest(isThere, run, MethodHandles.empty(run.type()));
            return MethodHandleProxies.asInterfaceInstance(
                    Runnable.class, MethodHandles.filterReturnValue(get, runIfThere));
        } catch (ReflectiveOperationException e) {
            throw new AssertionError("public methods of java.base", e);
        }
    }
}
