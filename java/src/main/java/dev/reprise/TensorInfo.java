package dev.reprise;

import java.util.List;

/**
 * A tensor of a model file.
 *
 * @param name for example {@code blk.0.attn_q.weight}
 * @param type for example {@code Q4_K}
 * @param shape elements per dimension, the contiguous one first
 * @param bytes the size of its data
 */
public record TensorInfo(String name, String type, List<Long> shape, long bytes) {
    /** Keeps a copy of {@code shape}. */
    public TensorInfo {
        shape = List.copyOf(shape);
    }

    /** How many elements it has. */
    public long elements() {
        long product = 1;
        for (long n : shape) {
            product *= n;
        }
        return product;
    }
}
