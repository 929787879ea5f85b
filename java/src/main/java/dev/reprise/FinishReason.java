package dev.reprise;

/** Why a generation ended. */
public enum FinishReason {
    /** The model generated an end token, which is the last token. */
    END,
    /** A stop string appeared in the text. */
    STOP,
    /** As many tokens as asked for were generated. */
    MAX_TOKENS,
    /** The session's context holds no further token. */
    CONTEXT_FULL,
    /** It was cancelled, its thread was interrupted, or its stream was left early. */
    CANCELLED
}
