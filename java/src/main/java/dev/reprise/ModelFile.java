package dev.reprise;

import java.lang.ref.Cleaner;
import java.nio.file.FileSystems;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A GGUF file that is open for inspection: metadata and tensors, without loading weights. Any architecture will do, and
 * {@link Tokenizer#of} gives the tokenizer. Safe for use by many threads.
 *
 * <p>The first part of a split model stands for all of it.
 */
public final class ModelFile implements AutoCloseable {
    private final Path path;
    private final Native.FileInfo info;
    private final long handle;
    private final Cleaner.Cleanable cleanable;
    /** Held by whoever uses the handle. No monitor, in which a virtual thread could not leave its carrier. */
    private final ReentrantLock lock = new ReentrantLock();
    private Metadata metadata;
    private List<TensorInfo> tensors;

    private ModelFile(Path path, boolean mmap) {
        if (path.getFileSystem() != FileSystems.getDefault()) {
            throw new IllegalArgumentException(path + " is not a file of the operating system: copy it out first");
        }
        this.path = path;
        handle = Native.openFile(path, mmap);
        cleanable = Cleanup.register(this, new Closer(handle));
        info = Native.fileInfo(handle);
    }

    private record Closer(long handle) implements Runnable {
        @Override
        public void run() {
            Native.closeFile(handle);
        }
    }

    /**
     * Opens a file, memory-mapped: whoever truncates it meanwhile kills this process.
     *
     * @throws java.io.UncheckedIOException if it cannot be read
     * @throws ModelFormatException if it is no GGUF file of version 2 or 3, little-endian, or is damaged
     */
    public static ModelFile open(Path path) {
        return open(path, true);
    }

    static ModelFile open(Path path, boolean mmap) {
        return new ModelFile(Objects.requireNonNull(path, "path"), mmap);
    }

    long handle() {
        return handle;
    }

    public Path path() {
        return path;
    }

    /** The key-value pairs; of a split model those of its first file. */
    public Metadata metadata() {
        lock.lock();
        try {
            if (metadata == null) {
                metadata = Native.metadata(handle, info.metadata());
            }
            return metadata;
        } finally {
            lock.unlock();
        }
    }

    /** All tensors, in the order of the file. */
    public List<TensorInfo> tensors() {
        lock.lock();
        try {
            if (tensors == null) {
                tensors = List.copyOf(Native.tensors(handle, info.tensors()));
            }
            return tensors;
        } finally {
            lock.unlock();
        }
    }

    /** The version of the GGUF format. */
    public int version() {
        return info.version();
    }

    /** How many files a split model has; 1 if it is not split. */
    public int fileCount() {
        return info.files();
    }

    /** Elements of all tensors. */
    public long parameterCount() {
        return info.parameters();
    }

    /** Bytes of all tensors. */
    public long tensorBytes() {
        return info.tensorBytes();
    }

    /** Bytes of all files. */
    public long fileBytes() {
        return info.fileBytes();
    }

    /**
     * The memory that running this model takes.
     *
     * @throws IllegalArgumentException if {@link Model#newSession(SessionOptions)} would refuse the options
     * @throws UnsupportedModelException if the model cannot be run
     */
    public MemoryNeeds memoryNeeds(ModelOptions modelOptions, SessionOptions sessionOptions) {
        Objects.requireNonNull(modelOptions, "modelOptions");
        Objects.requireNonNull(sessionOptions, "sessionOptions");
        lock.lock();
        try {
            return Native.memoryNeeds(handle, modelOptions, sessionOptions);
        } finally {
            lock.unlock();
        }
    }

    /** Closes the file; models loaded from it are not affected. Waits for a call in another thread. */
    @Override
    public void close() {
        lock.lock();
        try {
            cleanable.clean();
        } finally {
            lock.unlock();
        }
    }
}
