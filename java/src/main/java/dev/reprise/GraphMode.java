package dev.reprise;

/** How a decode step runs on a CUDA device. The CPU has no graphs and takes any mode. */
public enum GraphMode {
    /** One launch of a captured graph; where a capture fails, kernel by kernel for that step. */
    AUTO,
    /** Kernel by kernel, the same kernels as in the graph. */
    EAGER,
    /** One launch of a captured graph; where a capture fails, {@link EngineFailedException}. */
    GRAPH
}
