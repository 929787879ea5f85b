package dev.reprise;

import java.time.Duration;

/**
 * Counts since a session was opened. Times are measured on the host.
 *
 * @param prefillTokens tokens of prompts that were evaluated
 * @param prefillTime spent on them
 * @param generatedTokens tokens taken from the backend; a few more than delivered where it ran ahead of a stop string
 * @param decodeTime spent on them, waiting included
 * @param tokensFromPrefill sampled from the logits that a prefill left
 * @param eagerSteps decode steps launched kernel by kernel; on the CPU every step
 * @param graphReplays decode steps that were one launch of a graph
 * @param discardedSteps launched ahead and thrown away
 * @param captures graphs captured and instantiated
 * @param reinstantiations graphs instantiated again because something they hold changed: none, since nothing that a
 *     graph holds changes while its session is open
 * @param captureFailures captures that something invalidated
 * @param graphNodes nodes of the graph that was last replayed
 * @param kernelsPerToken kernels of that graph, or of an eager step: five a layer and some; more than twice as many
 *     where no fused kernel takes the types of a model; 0 on the CPU
 * @param submitTime host time spent on launching decode steps
 * @param kvBytes memory of the KV cache
 * @param workspaceBytes memory of activations, logits and the like
 */
public record SessionStatistics(
        long prefillTokens,
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
        long workspaceBytes) {}
