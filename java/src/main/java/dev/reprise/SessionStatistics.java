package dev.reprise;

import java.time.Duration;

/** Counts since a session was opened. Times are measured on the host. Immutable. */
public final class SessionStatistics {
    private final Values values;

    SessionStatistics(Values values) {
        this.values = values;
    }

    /** What it holds: a record, which would show how many these are if it were public. */
    record Values(
            long prefillTokens,
            long prefixTokens,
            Duration prefillTime,
            long generatedTokens,
            Duration decodeTime,
            long tokensFromPrefill,
            long eagerSteps,
            long graphReplays,
            long discardedSteps,
            long captures,
            long reinstantiations,
            long captureFailures,
            long graphNodes,
            long kernelsPerToken,
            Duration submitTime,
            long kvBytes,
            long workspaceBytes,
            long modelSteps,
            long modelRows,
            long modelKvBytes,
            long modelKvKeptBytes,
            long fallbackLaunches) {}

    /** Tokens of prompts that were evaluated. */
    public long prefillTokens() {
        return values.prefillTokens();
    }

    /**
     * Tokens of prompts that were not, since another session of the model had evaluated the same beginning, or this one
     * before a reset: see {@link SessionOptions.Builder#prefixSharing}.
     */
    public long prefixTokens() {
        return values.prefixTokens();
    }

    /** Spent on prompts, waiting for another session that evaluates the same beginning included. */
    public Duration prefillTime() {
        return values.prefillTime();
    }

    /** Tokens taken from the backend; a few more than delivered where it ran ahead of a stop string. */
    public long generatedTokens() {
        return values.generatedTokens();
    }

    /** Spent on them, waiting included. */
    public Duration decodeTime() {
        return values.decodeTime();
    }

    /** Sampled from the logits that a prefill left. */
    public long tokensFromPrefill() {
        return values.tokensFromPrefill();
    }

    /** Decode steps launched kernel by kernel; on the CPU every step. */
    public long eagerSteps() {
        return values.eagerSteps();
    }

    /** Decode steps that were one launch of a graph. */
    public long graphReplays() {
        return values.graphReplays();
    }

    /** Launched ahead and thrown away. */
    public long discardedSteps() {
        return values.discardedSteps();
    }

    /** Graphs captured and instantiated. */
    public long captures() {
        return values.captures();
    }

    /**
     * Graphs instantiated again because something they hold changed: none, since nothing that a graph holds changes
     * while its session is open.
     */
    public long reinstantiations() {
        return values.reinstantiations();
    }

    /** Captures that something invalidated. */
    public long captureFailures() {
        return values.captureFailures();
    }

    /** Nodes of the graph that was last replayed. */
    public long graphNodes() {
        return values.graphNodes();
    }

    /**
     * Kernels of that graph, or of an eager step: five a layer and some, and one to three more for each launch that
     * falls back; 0 on the CPU.
     */
    public long kernelsPerToken() {
        return values.kernelsPerToken();
    }

    /**
     * Of a decode step: those that a slower kernel than usual computes, for want of one that takes their weights; the
     * log names them. 0 on the CPU.
     */
    public long fallbackLaunches() {
        return values.fallbackLaunches();
    }

    /** Host time spent on launching decode steps. */
    public Duration submitTime() {
        return values.submitTime();
    }

    /** Memory of the KV cache. */
    public long kvBytes() {
        return values.kvBytes();
    }

    /** Memory of activations, logits and the like. */
    public long workspaceBytes() {
        return values.workspaceBytes();
    }

    /** Steps computed for all sessions of the model together; 0 on CUDA, where every step is of one session. */
    public long modelSteps() {
        return values.modelSteps();
    }

    /** Tokens evaluated by those steps. */
    public long modelRows() {
        return values.modelRows();
    }

    /** Memory of keys and values that the model's sessions hold now, what several of them share counted once. */
    public long modelKvBytes() {
        return values.modelKvBytes();
    }

    /** Memory of keys and values that no session holds, kept for prompts that begin alike while there is room. */
    public long modelKvKeptBytes() {
        return values.modelKvKeptBytes();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof SessionStatistics that && values.equals(that.values);
    }

    @Override
    public int hashCode() {
        return values.hashCode();
    }

    @Override
    public String toString() {
        return "SessionStatistics" + values.toString().substring("Values".length());
    }
}
