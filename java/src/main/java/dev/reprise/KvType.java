package dev.reprise;

/** The number format of a session's KV cache. */
public enum KvType {
    /** Half precision: 2 bytes a value. */
    F16,
    /** Single precision: 4 bytes a value. */
    F32
}
