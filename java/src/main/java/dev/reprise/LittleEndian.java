package dev.reprise;

/**
 * Little-endian integers in a byte array. Plain shifts rather than a VarHandle: this runs before the compiler has
 * warmed up, where setting up method handles would cost more than all the reading.
 */
final class LittleEndian {
    private LittleEndian() {}

    static short int16(byte[] bytes, int at) {
        return (short) ((bytes[at] & 0xFF) | bytes[at + 1] << 8);
    }

    static int int32(byte[] bytes, int at) {
        return (bytes[at] & 0xFF) | (bytes[at + 1] & 0xFF) << 8 | (bytes[at + 2] & 0xFF) << 16 | bytes[at + 3] << 24;
    }

    static long int64(byte[] bytes, int at) {
        return (int32(bytes, at) & 0xFFFFFFFFL) | (long) int32(bytes, at + 4) << 32;
    }
}
