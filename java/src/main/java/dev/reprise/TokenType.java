package dev.reprise;

/** What a vocabulary entry is for, as a GGUF file gives it in {@code tokenizer.ggml.token_type}. */
public enum TokenType {
    /** Ordinary text. */
    NORMAL,
    /** Stands for text that the vocabulary cannot express. */
    UNKNOWN,
    /** Steers the model, such as begin of text; matched in text only where special tokens are parsed. */
    CONTROL,
    /** Text that is always matched as a whole. */
    USER_DEFINED,
    /** A place left free. */
    UNUSED,
    /** A single byte, for text that no other token covers. */
    BYTE
}
