package dev.reprise;

/** What kind of failure a {@link RepriseException} reports. The names are stable across releases. */
public enum ErrorCode {
    /** The model file is damaged, truncated, inconsistent or not a GGUF file. */
    MODEL_FORMAT,
    /** The model file is sound but needs something this version does not have. */
    UNSUPPORTED_MODEL,
    /** There is no model of this name, or no access to it. */
    MODEL_NOT_FOUND,
    /** The native library cannot be loaded. */
    LIBRARY_UNAVAILABLE,
    /** The requested device cannot be used. */
    DEVICE_UNAVAILABLE,
    /** The device has too little free memory for the model or session. */
    OUT_OF_DEVICE_MEMORY,
    /** The tokens do not fit into the session's context. */
    CONTEXT_OVERFLOW,
    /** The file of a saved session is none, truncated, damaged, or of a newer version. */
    SESSION_FORMAT,
    /** The saved session is of another model, or of the other arithmetic. */
    SESSION_MISMATCH,
    /** A chat template is malformed, or raised an error of its own. */
    TEMPLATE,
    /** The operation was cancelled. */
    CANCELLED,
    /** The engine met an error it cannot recover from; the model must be loaded anew. */
    ENGINE_FAILED,
    /** The machine has too little memory for the model or session. */
    OUT_OF_HOST_MEMORY,
    /** A defect in Reprise. */
    INTERNAL,
    /** The model's logits are no numbers, so that no token can be drawn. */
    NAN_LOGITS
}
