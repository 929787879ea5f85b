package dev.reprise;

/** The number format of a session's KV cache. */
public enum KvType {
    /** Half precision: 2 bytes a value. The default. */
    F16,
    /** Single precision: 4 bytes a value. */
    F32,
    /**
     * 8-bit integers in blocks of 32 with one half-precision factor each, like tensors of that type: 34 bytes for 32
     * values, 53 % of {@link #F16}'s memory, each value in steps of 1/127 of its block's largest. For models whose
     * {@linkplain ModelInfo#headDim() heads} have a multiple of 32 values; others refuse it.
     */
    Q8_0
}
