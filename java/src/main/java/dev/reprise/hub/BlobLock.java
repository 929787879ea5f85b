package dev.reprise.hub;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Keeps a blob from being fetched twice at the same time, by the file that huggingface_hub locks too. Only that:
 * nothing depends on it for being right, since it is advisory, since file systems have it or not, and since on Linux
 * Java and Python lock in two ways (fcntl, flock) that do not see each other.
 */
final class BlobLock {
    private static final long POLL_MILLIS = 100;
    /** A process has a file lock or has it not, whichever thread asks; so threads wait for each other here. */
    private static final ConcurrentHashMap<Path, ReentrantLock> THREADS = new ConcurrentHashMap<>();

    private final ReentrantLock thread;
    /** Null where the file system has no locks. */
    private FileChannel file;

    private BlobLock(ReentrantLock thread) {
        this.thread = thread;
    }

    /**
     * Waits until nobody else fetches the blob.
     *
     * @param waiting told every now and then while that takes time
     */
    static BlobLock acquire(Path path, Runnable waiting) throws InterruptedException {
        ReentrantLock thread = THREADS.computeIfAbsent(path, key -> new ReentrantLock());
        while (!thread.tryLock(POLL_MILLIS, TimeUnit.MILLISECONDS)) {
            waiting.run();
        }
        BlobLock lock = new BlobLock(thread);
        try {
            lock.lockFile(path, waiting);
            return lock;
        } catch (RuntimeException | Error | InterruptedException e) {
            lock.close();
            throw e;
        }
    }

    private void lockFile(Path path, Runnable waiting) throws InterruptedException {
        try {
            Files.createDirectories(path.getParent());
            file = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            while (!isFree()) {
                waiting.run();
                Thread.sleep(POLL_MILLIS);
            }
        } catch (IOException e) {
            closeFile();
        }
    }

    private boolean isFree() throws IOException {
        try {
            FileLock lock = file.tryLock();
            return lock != null;
        } catch (OverlappingFileLockException e) {
            // A second copy of these classes in the same process has it.
            return false;
        }
    }

    private void closeFile() {
        try {
            if (file != null) {
                file.close();
            }
        } catch (IOException e) {
            // It was not written to; the lock ends with the process at the latest.
        }
        file = null;
    }

    void close() {
        closeFile();
        thread.unlock();
    }
}
