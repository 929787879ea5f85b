package dev.reprise;

/** Whether a model that can should think before it answers. */
public enum ReasoningMode {
    /** As its template does by itself. */
    DEFAULT,
    /** It thinks. */
    ON,
    /** It answers at once. */
    OFF
}
