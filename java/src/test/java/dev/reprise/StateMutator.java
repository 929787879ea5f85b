package dev.reprise;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Random;

/** Damages the files of saved sessions: blindly, or knowing the header and with hashes that are right again. */
final class StateMutator {
    enum Mutation {
        // Blindly.
        FLIP, BYTES, TRUNCATE, EXTEND, SPLICE,
        // With the right hashes, so that what reads the file looks at it.
        SEALED_NUMBERS, SEALED_BYTES, SEALED_LENGTHS;

        boolean isSealed() {
            return compareTo(SEALED_NUMBERS) >= 0;
        }
    }

    /** Offsets of the 32-bit numbers of the header. */
    private static final int[] NUMBERS = {8, 12, 64, 68, 72, 76, 80, 84, 88, 92, 96, 100};
    private static final int FILE_BYTES = 16;
    private static final int CONTEXT_LENGTH = 84;
    private static final int TOKENS = 92;
    private static final int EVALUATED = 96;
    private static final int HEADER_HASH = 120;
    private static final int HEADER_BYTES = 128;
    private static final int[] ODD = {
        0, 1, 2, 7, 8, 16, 31, 32, 33, 64, 255, 256, 257, 4096, 65536, 1 << 20, 1 << 24, Integer.MAX_VALUE,
        Integer.MIN_VALUE, -1, -2,
    };

    private final Random random;

    StateMutator(long seed) {
        random = new Random(seed);
    }

    /** A damaged copy of a sound file. */
    byte[] mutate(byte[] file, Mutation mutation) {
        byte[] changed = file.clone();
        ByteBuffer buffer = ByteBuffer.wrap(changed).order(ByteOrder.LITTLE_ENDIAN);
        switch (mutation) {
            case FLIP -> changed[at(file)] ^= (byte) (1 << random.nextInt(8));
            case BYTES -> scramble(changed, at(file), 1 + random.nextInt(64));
            case TRUNCATE -> changed = Arrays.copyOf(file, random.nextBoolean() ? at(file) : random.nextInt(200));
            case EXTEND -> changed = Arrays.copyOf(file, file.length + 1 + random.nextInt(5000));
            case SPLICE -> {
                int from = at(file);
                int to = at(file);
                System.arraycopy(file, from, changed, to, file.length - Math.max(from, to));
            }
            case SEALED_NUMBERS -> {
                for (int n = 1 + random.nextInt(2); n > 0; n--) {
                    int field = NUMBERS[random.nextInt(NUMBERS.length)];
                    int old = buffer.getInt(field);
                    buffer.putInt(field, switch (random.nextInt(4)) {
                        case 0 -> old + 1 - 2 * random.nextInt(2);
                        case 1 -> old ^ 1 << random.nextInt(32);
                        default -> ODD[random.nextInt(ODD.length)];
                    });
                }
            }
            case SEALED_BYTES -> scramble(changed, HEADER_BYTES + random.nextInt(file.length - HEADER_BYTES), 16);
            // Of a session that is longer than its file, up to far more than there is memory.
            case SEALED_LENGTHS -> {
                int tokens = 1 + random.nextInt(Integer.MAX_VALUE >> random.nextInt(31));
                int held = buffer.getInt(EVALUATED);
                long perToken = held == 0 ? 4 : (buffer.getLong(FILE_BYTES) - HEADER_BYTES - 8) / held;
                buffer.putInt(CONTEXT_LENGTH, tokens);
                buffer.putInt(TOKENS, tokens);
                buffer.putInt(EVALUATED, held == 0 ? 0 : tokens);
                buffer.putLong(FILE_BYTES, HEADER_BYTES + 8 + perToken * tokens);
            }
        }
        if (mutation.isSealed()) {
            buffer.putLong(HEADER_HASH, hash(changed, HEADER_HASH));
            buffer.putLong(changed.length - 8, hash(changed, changed.length - 8));
        }
        return changed;
    }

    /** Half of the time in the header. */
    private int at(byte[] file) {
        return random.nextInt(random.nextBoolean() ? HEADER_BYTES : file.length);
    }

    private void scramble(byte[] bytes, int at, int count) {
        byte[] some = new byte[Math.min(count, bytes.length - at)];
        random.nextBytes(some);
        System.arraycopy(some, 0, bytes, at, some.length);
    }

    // ---- XXH64 of the first bytes, with seed 0 ---------------------------------------------------------------------

    private static final long PRIME_1 = 0x9e3779b185ebca87L;
    private static final long PRIME_2 = 0xc2b2ae3d27d4eb4fL;
    private static final long PRIME_3 = 0x165667b19e3779f9L;
    private static final long PRIME_4 = 0x85ebca77c2b2ae63L;
    private static final long PRIME_5 = 0x27d4eb2f165667c5L;

    static long hash(byte[] bytes, int count) {
        ByteBuffer in = ByteBuffer.wrap(bytes, 0, count).order(ByteOrder.LITTLE_ENDIAN);
        long hash = PRIME_5;
        if (count >= 32) {
            long[] lanes = {PRIME_1 + PRIME_2, PRIME_2, 0, -PRIME_1};
            while (in.remaining() >= 32) {
                for (int i = 0; i < 4; i++) {
                    lanes[i] = round(lanes[i], in.getLong());
                }
            }
            hash = Long.rotateLeft(lanes[0], 1) + Long.rotateLeft(lanes[1], 7) + Long.rotateLeft(lanes[2], 12)
                    + Long.rotateLeft(lanes[3], 18);
            for (long lane : lanes) {
                hash = (hash ^ round(0, lane)) * PRIME_1 + PRIME_4;
            }
        }
        hash += count;
        while (in.remaining() >= 8) {
            hash = Long.rotateLeft(hash ^ round(0, in.getLong()), 27) * PRIME_1 + PRIME_4;
        }
        if (in.remaining() >= 4) {
            hash = Long.rotateLeft(hash ^ (in.getInt() & 0xFFFFFFFFL) * PRIME_1, 23) * PRIME_2 + PRIME_3;
        }
        while (in.hasRemaining()) {
            hash = Long.rotateLeft(hash ^ (in.get() & 0xFF) * PRIME_5, 11) * PRIME_1;
        }
        hash = (hash ^ hash >>> 33) * PRIME_2;
        hash = (hash ^ hash >>> 29) * PRIME_3;
        return hash ^ hash >>> 32;
    }

    private static long round(long lane, long input) {
        return Long.rotateLeft(lane + input * PRIME_2, 31) * PRIME_1;
    }
}
