package dev.reprise;

import static dev.reprise.GgufSection.array;
import static dev.reprise.GgufSection.concat;
import static dev.reprise.GgufSection.little;
import static dev.reprise.GgufSection.string;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.Metadata.Type;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;

class MetadataTest {
    private static ModelFormatException rejects(GgufSection section) {
        return assertThrows(ModelFormatException.class, section::read);
    }

    @Test
    void readsEveryScalarType() {
        Metadata metadata = new GgufSection()
                .raw("u8", Type.UINT8, little(0xFE, 1))
                .raw("i8", Type.INT8, little(-2, 1))
                .raw("u16", Type.UINT16, little(0xFFFE, 2))
                .raw("i16", Type.INT16, little(-300, 2))
                .raw("u32", Type.UINT32, little(0xFFFFFFFEL, 4))
                .raw("i32", Type.INT32, little(-70_000, 4))
                .raw("u64", Type.UINT64, little(1L << 62, 8))
                .raw("i64", Type.INT64, little(Long.MIN_VALUE, 8))
                .raw("f32", Type.FLOAT32, little(Float.floatToIntBits(1.5f), 4))
                .raw("f64", Type.FLOAT64, little(Double.doubleToLongBits(-0.1), 8))
                .put("yes", true)
                .put("no", false)
                .put("text", "naïve 中")
                .read();
        assertEquals(0xFE, metadata.integer("u8", 0));
        assertEquals(-2, metadata.integer("i8", 0));
        assertEquals(0xFFFE, metadata.integer("u16", 0));
        assertEquals(-300, metadata.integer("i16", 0));
        assertEquals(0xFFFFFFFEL, metadata.integer("u32", 0));
        assertEquals(-70_000, metadata.integer("i32", 0));
        assertEquals(1L << 62, metadata.integer("u64", 0));
        assertEquals(Long.MIN_VALUE, metadata.integer("i64", 0));
        assertEquals(1.5, metadata.number("f32", 0));
        assertEquals(-0.1, metadata.number("f64", 0));
        assertEquals(254.0, metadata.number("u8", 0));
        assertTrue(metadata.bool("yes", false));
        assertFalse(metadata.bool("no", true));
        assertEquals("naïve 中", metadata.string("text", ""));
        assertEquals(Optional.of(Type.UINT16), metadata.type("u16"));
        assertEquals(List.of("u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "yes", "no", "text"),
                List.copyOf(metadata.keys()));
    }

    @Test
    void givesDefaultsForMissingKeys() {
        Metadata metadata = new GgufSection().read();
        assertEquals(OptionalLong.empty(), metadata.integer("none"));
        assertEquals(7, metadata.integer("none", 7));
        assertEquals(0.5, metadata.number("none", 0.5));
        assertEquals("x", metadata.string("none", "x"));
        assertTrue(metadata.bool("none", true));
        assertTrue(metadata.strings("none").isEmpty());
        assertTrue(metadata.integers("none").isEmpty());
        assertTrue(metadata.numbers("none").isEmpty());
        assertTrue(metadata.value("none").isEmpty());
        assertTrue(metadata.type("none").isEmpty());
        assertFalse(metadata.contains("none"));
    }

    @Test
    void readsArrays() {
        Metadata metadata = new GgufSection()
                .put("words", List.of("one", "", "drei"))
                .put("counts", new int[] {3, -1, 0})
                .put("factors", new float[] {0.5f, -2f})
                .raw("bytes", Type.ARRAY, array(Type.UINT8, 2), little(0x80FF, 2))
                .read();
        assertEquals(List.of("one", "", "drei"), metadata.strings("words").orElseThrow());
        assertArrayEquals(new long[] {3, -1, 0}, metadata.integers("counts").orElseThrow());
        assertArrayEquals(new double[] {0.5, -2}, metadata.numbers("factors").orElseThrow());
        assertArrayEquals(new long[] {0xFF, 0x80}, metadata.integers("bytes").orElseThrow());
        assertArrayEquals(new double[] {0xFF, 0x80}, metadata.numbers("bytes").orElseThrow());
        assertEquals(List.of(3L, -1L, 0L), metadata.value("counts").orElseThrow());
        assertEquals(Optional.of(Type.INT32), metadata.elementType("counts"));
        List<String> words = metadata.strings("words").orElseThrow();
        assertThrows(IndexOutOfBoundsException.class, () -> words.get(3));
        assertThrows(UnsupportedOperationException.class, () -> words.set(0, "x"));
    }

    @Test
    void readsNestedArrays() {
        byte[] strings = concat(array(Type.STRING, 2), string("a"), string("bc"));
        byte[] numbers = concat(array(Type.INT16, 3), little(1, 2), little(-2, 2), little(3, 2));
        byte[] deeper = concat(array(Type.ARRAY, 1), array(Type.BOOL, 1), little(1, 1));
        Metadata metadata = new GgufSection()
                .raw("nested", Type.ARRAY, array(Type.ARRAY, 4), strings, numbers, deeper, array(Type.STRING, 0))
                .put("behind", "here")
                .read();
        assertEquals(
                List.of(List.of("a", "bc"), List.of(1L, -2L, 3L), List.of(List.of(true)), List.of()),
                metadata.value("nested").orElseThrow());
        assertEquals("here", metadata.string("behind", ""));
    }

    @Test
    void keepsUnsignedNumbersAboveLongExact() {
        Metadata metadata = new GgufSection().raw("big", Type.UINT64, little(-1, 8)).read();
        assertEquals(BigInteger.TWO.pow(64).subtract(BigInteger.ONE), metadata.value("big").orElseThrow());
        String message = assertThrows(ModelFormatException.class, () -> metadata.integer("big")).getMessage();
        assertTrue(message.contains("big") && message.contains("18446744073709551615"), message);
    }

    @Test
    void namesKeyAndTypesWhereAnotherTypeIsAskedFor() {
        Metadata metadata = new GgufSection().put("n", 1).put("list", List.of("x")).put("text", "y").read();
        String message = assertThrows(ModelFormatException.class, () -> metadata.string("n")).getMessage();
        assertTrue(message.contains("n is INT32") && message.contains("STRING"), message);
        assertThrows(ModelFormatException.class, () -> metadata.bool("n"));
        assertThrows(ModelFormatException.class, () -> metadata.strings("n"));
        assertThrows(ModelFormatException.class, () -> metadata.integer("text"));
        assertThrows(ModelFormatException.class, () -> metadata.number("list"));
        assertThrows(ModelFormatException.class, () -> metadata.integers("list"));
        assertThrows(ModelFormatException.class, () -> metadata.numbers("list"));
    }

    @Test
    void ignoresWhatFollowsThePairs() {
        byte[] bytes = concat(new GgufSection().put("a", 1).bytes(), new byte[100]);
        assertEquals(1, Metadata.read(ByteBuffer.wrap(bytes), 1).integer("a", 0));
    }

    @Test
    void readsDirectBuffersAndLeavesThemAsTheyAre() {
        byte[] bytes = new GgufSection().put("a", "value").bytes();
        ByteBuffer direct = ByteBuffer.allocateDirect(bytes.length + 3).put(new byte[3]).put(bytes).flip().position(3);
        Metadata metadata = Metadata.read(direct, 1);
        assertEquals(3, direct.position());
        direct.put(new byte[bytes.length]);
        assertEquals("value", metadata.string("a", ""));
    }

    @Test
    void rejectsTruncationAtEveryByte() {
        byte[] bytes = new GgufSection()
                .put("words", List.of("one", "two"))
                .put("counts", new int[] {3, 4})
                .raw("nested", Type.ARRAY, array(Type.ARRAY, 1), array(Type.BOOL, 2), little(0, 2))
                .put("last", "text")
                .bytes();
        assertEquals("text", Metadata.read(ByteBuffer.wrap(bytes), 4).string("last", ""));
        for (int length = 0; length < bytes.length; length++) {
            ByteBuffer cut = ByteBuffer.wrap(Arrays.copyOf(bytes, length));
            assertThrows(ModelFormatException.class, () -> Metadata.read(cut, 4), "length " + length);
        }
    }

    @Test
    void rejectsAbsurdCountsWithoutAllocating() {
        for (long count : new long[] {-1, Long.MIN_VALUE, 1L << 60, 1L << 33, 1000}) {
            rejects(new GgufSection().raw("k", Type.STRING, little(count, 8)));
            for (Type element : Type.values()) {
                String message = rejects(new GgufSection().raw("k", Type.ARRAY, array(element, count))).getMessage();
                assertTrue(message.contains("key k") && message.contains(Long.toUnsignedString(count)), message);
            }
        }
        byte[] one = new GgufSection().put("a", 1).bytes();
        assertThrows(ModelFormatException.class, () -> Metadata.read(ByteBuffer.wrap(one), -1));
        assertThrows(ModelFormatException.class, () -> Metadata.read(ByteBuffer.wrap(one), 1L << 60));
    }

    @Test
    void rejectsUnknownTypesAndRepeatedKeys() {
        assertTrue(rejects(new GgufSection().raw("k", 13, new byte[16])).getMessage().contains("type 13"));
        assertTrue(rejects(new GgufSection().raw("k", -1, new byte[16])).getMessage().contains("4294967295"));
        assertTrue(rejects(new GgufSection().put("same", 1).put("same", 2)).getMessage().contains("same"));
    }

    @Test
    void rejectsBottomlessNesting() {
        byte[] level = array(Type.ARRAY, 1);
        byte[] levels = new byte[level.length * 200_000];
        for (int at = 0; at < levels.length; at += level.length) {
            System.arraycopy(level, 0, levels, at, level.length);
        }
        assertTrue(rejects(new GgufSection().raw("deep", Type.ARRAY, levels)).getMessage().contains("deep"));
    }

    @Test
    void marksErrorsWithTheCodeOfDamagedFiles() {
        assertEquals(ErrorCode.MODEL_FORMAT, rejects(new GgufSection().raw("k", 99)).code());
    }
}
