package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.natives.loader.LoaderCleaner;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.util.concurrent.atomic.AtomicInteger;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class LoaderCleanerTest {
    private final AtomicInteger runs = new AtomicInteger();

    @BeforeAll
    static void loadTheLibrary() {
        Backend.describe();
    }

    /** Several times: after one collection the next must find somebody who waits for it. */
    @Test
    void anActionRunsOnceItsOwnerIsGone() throws InterruptedException {
        for (int i = 1; i <= 3; i++) {
            LoaderCleaner.register(new Object(), runs::incrementAndGet);
            LoaderCleaner.register(new Object(), () -> {
                runs.incrementAndGet();
                throw new IllegalStateException("of an action, which is logged");
            });
            while (runs.get() < 2 * i) {
                System.gc();
                Thread.sleep(10);
            }
        }
        assertEquals(6, runs.get());
    }

    @Test
    void anActionThatRanIsDone() throws InterruptedException {
        Object owner = new Object();
        Cleaner.Cleanable cleanable = LoaderCleaner.register(owner, runs::incrementAndGet);
        cleanable.clean();
        cleanable.clean();
        assertEquals(1, runs.get());
        Reference.reachabilityFence(owner);
    }

    /** JavaCPP's thread, which would have, is gone: it holds the class loader. */
    @Test
    void garbagePointersOfOtherUsersOfJavaCppAreFreed() throws InterruptedException {
        long before = Pointer.totalCount();
        for (int i = 0; i < 100; i++) {
            new IntPointer(1000).put(i);
        }
        assertTrue(Pointer.totalCount() > before);
        while (Pointer.totalCount() > before) {
            System.gc();
            Thread.sleep(10);
        }
        assertFalse(Thread.getAllStackTraces().keySet().stream()
                .anyMatch(thread -> thread.getName().contains("JavaCPP")));
    }
}
