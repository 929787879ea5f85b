package dev.reprise;

import org.bytedeco.javacpp.Pointer;

/**
 * A zeroed block of native memory, freed by {@link #close}.
 *
 * <p>JavaCPP would allocate structures too, but may refuse to once the process has more resident memory than four times
 * the Java heap, which a model that is read rather than mapped easily has.
 */
final class NativeMemory implements AutoCloseable {
    private final Pointer start;
    private final long bytes;
    private long used;

    /** Room for one structure of {@code bytes} bytes, or for several whose sizes, rounded up to 8, sum to that. */
    NativeMemory(long bytes) {
        this.bytes = bytes + 7 & ~7L;
        start = Pointer.calloc(1, this.bytes);
        if (start == null || start.isNull()) {
            throw new OutOfHostMemoryException("no " + bytes + " bytes of memory left");
        }
    }

    /** A pointer to the next {@code size} bytes, aligned to 8. It must not be used once the block is closed. */
    Pointer take(long size) {
        long at = used;
        used += size + 7 & ~7L;
        if (used > bytes) {
            throw new IllegalStateException(used + " bytes of a block of " + bytes + " are taken");
        }
        return new At(start, at);
    }

    @Override
    public void close() {
        Pointer.free(start);
    }

    private static final class At extends Pointer {
        At(Pointer start, long offset) {
            address = start.address() + offset;
        }
    }
}
