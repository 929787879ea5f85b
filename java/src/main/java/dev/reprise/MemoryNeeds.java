package dev.reprise;

/**
 * Bytes of memory needed to run a model, on the device that it would run on.
 *
 * @param weights once per model
 * @param kvCache once per session
 * @param workspace once per session
 */
public record MemoryNeeds(long weights, long kvCache, long workspace) {
    /** Bytes for the model and one session. */
    public long total() {
        return weights + kvCache + workspace;
    }
}
