package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.natives.loader.LoaderCleaner;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class LoaderCleanerTest {
    private final AtomicInteger runs = new AtomicInteger();

    @BeforeAll
    static void loadTheLibrary() {
        Backend.describe();
    }

    private final Logger logger = Logger.getLogger("dev.reprise");
    private final List<LogRecord> records = Collections.synchronizedList(new ArrayList<>());
    private final Handler handler = new Handler() {
        @Override
        public void publish(LogRecord record) {
            records.add(record);
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    };

    @BeforeEach
    void listen() {
        logger.setUseParentHandlers(false);  // not to the console, where a warning means something
        logger.addHandler(handler);
    }

    @AfterEach
    void leave() {
        logger.removeHandler(handler);
        logger.setUseParentHandlers(true);
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
            while (runs.get() < 2 * i || records.size() < i) {
                System.gc();
                Thread.sleep(10);
            }
        }
        assertEquals(6, runs.get());
        assertEquals(3, records.size());
        assertEquals(Level.WARNING, records.get(0).getLevel());
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
        for (Thread thread : Thread.getAllStackTraces().keySet()) {
            assertFalse(thread.getName().contains("JavaCPP"), thread.getName());
        }
    }
}
