package dev.reprise;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * A llama model of one layer with random weights, about 50 KB, written as a GGUF file. With such weights all tokens are
 * about equally likely, so that it generates bytes at random.
 */
final class TinyModel {
    static final int EMBEDDING = 64;
    private static final int FEED_FORWARD = 64;
    private static final int ALIGNMENT = 32;
    private static final int F32 = 0;
    private static final int Q8_0 = 8;
    private static final int Q8_0_BLOCK = 32;

    /** Where a tensor is described in the file, and where its data lies. */
    private record Tensor(String name, int type, int[] shape, byte[] data) {}

    private final List<Tensor> tensors = new ArrayList<>();
    private final GgufSection section;
    private final Random random;
    private final int type;

    private TinyModel(TestVocabulary vocabulary, int type, int contextLength, int heads) {
        this.type = type;
        random = new Random(42);
        section = vocabulary.setFull("general.architecture", "llama")
                .setFull("llama.context_length", (long) contextLength)
                .setFull("llama.embedding_length", (long) EMBEDDING)
                .setFull("llama.block_count", 1L)
                .setFull("llama.feed_forward_length", (long) FEED_FORWARD)
                .setFull("llama.attention.head_count", (long) heads)
                .setFull("llama.attention.head_count_kv", (long) heads)
                .setFull("llama.attention.layer_norm_rms_epsilon", 1e-5f)
                .setFull("llama.rope.dimension_count", (long) EMBEDDING / heads)
                .section();
        matrix("token_embd.weight", EMBEDDING, vocabulary.tokens.size());
        norm("blk.0.attn_norm.weight");
        for (String name : List.of("attn_q", "attn_k", "attn_v", "attn_output")) {
            matrix("blk.0." + name + ".weight", EMBEDDING, EMBEDDING);
        }
        norm("blk.0.ffn_norm.weight");
        matrix("blk.0.ffn_gate.weight", EMBEDDING, FEED_FORWARD);
        matrix("blk.0.ffn_up.weight", EMBEDDING, FEED_FORWARD);
        matrix("blk.0.ffn_down.weight", FEED_FORWARD, EMBEDDING);
        norm("output_norm.weight");
    }

    /** With weights in Q8_0. */
    static byte[] bytes(TestVocabulary vocabulary) {
        return new TinyModel(vocabulary, Q8_0, 128, 1).toBytes();
    }

    /** With weights in F32 and a long context. */
    static byte[] bytesOfF32(TestVocabulary vocabulary) {
        return new TinyModel(vocabulary, F32, 1 << 16, 1).toBytes();
    }

    /** With weights in Q8_0 and heads of 16 values. */
    static byte[] bytesOfNarrowHeads(TestVocabulary vocabulary) {
        return new TinyModel(vocabulary, Q8_0, 128, EMBEDDING / 16).toBytes();
    }

    static Path write(Path directory, byte[] bytes) {
        try {
            return Files.write(directory.resolve("tiny.gguf"), bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Every byte a token, and an end token. */
    static TestVocabulary byteVocabulary() {
        TestVocabulary vocabulary = TestVocabulary.byteLevel("gpt-2", "t h", "th e");
        vocabulary.token("<|endoftext|>", TokenType.CONTROL);
        return vocabulary.set("eos_token_id", (long) vocabulary.id("<|endoftext|>"));
    }

    private void norm(String name) {
        ByteBuffer data = ByteBuffer.allocate(4 * EMBEDDING).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < EMBEDDING; i++) {
            data.putFloat(1);
        }
        tensors.add(new Tensor(name, F32, new int[] {EMBEDDING}, data.array()));
    }

    private void matrix(String name, int columns, int rows) {
        byte[] data = type == F32 ? floats(columns * rows) : blocks(columns * rows / Q8_0_BLOCK);
        tensors.add(new Tensor(name, type, new int[] {columns, rows}, data));
    }

    private byte[] floats(int count) {
        ByteBuffer data = ByteBuffer.allocate(4 * count).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < count; i++) {
            data.putFloat((float) (0.1 * random.nextGaussian()));
        }
        return data.array();
    }

    /** A scale in half precision and 32 signed bytes each. */
    private byte[] blocks(int count) {
        ByteBuffer data = ByteBuffer.allocate(count * (2 + Q8_0_BLOCK)).order(ByteOrder.LITTLE_ENDIAN);
        byte[] values = new byte[Q8_0_BLOCK];
        for (int i = 0; i < count; i++) {
            random.nextBytes(values);
            short twoToTheMinus9 = 0x1800;
            data.putShort(twoToTheMinus9).put(values);
        }
        return data.array();
    }

    private byte[] toBytes() {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.writeBytes(new byte[] {'G', 'G', 'U', 'F'});
        out.writeBytes(GgufSection.little(3, 4));
        out.writeBytes(GgufSection.little(tensors.size(), 8));
        out.writeBytes(GgufSection.little(section.count(), 8));
        out.writeBytes(section.bytes());
        long offset = 0;
        for (Tensor tensor : tensors) {
            out.writeBytes(GgufSection.string(tensor.name));
            out.writeBytes(GgufSection.little(tensor.shape.length, 4));
            for (int n : tensor.shape) {
                out.writeBytes(GgufSection.little(n, 8));
            }
            out.writeBytes(GgufSection.little(tensor.type, 4));
            out.writeBytes(GgufSection.little(offset, 8));
            offset += padded(tensor.data.length);
        }
        pad(out);
        for (Tensor tensor : tensors) {
            out.writeBytes(tensor.data);
            pad(out);
        }
        return out.toByteArray();
    }

    private static int padded(int size) {
        return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }

    private static void pad(ByteArrayOutputStream out) {
        out.writeBytes(new byte[padded(out.size()) - out.size()]);
    }
}
