package dev.reprise.cli;

import dev.reprise.Device;
import dev.reprise.KvType;
import dev.reprise.ModelOptions;
import dev.reprise.SessionOptions;
import picocli.CommandLine.Option;

/** Where and how a model runs. */
final class LoadOptions {
    @Option(
            names = "--device",
            paramLabel = "auto|cpu|cuda",
            description = "Where to run; auto takes CUDA where it can be used (default: auto).")
    private Device device = Device.AUTO;

    @Option(
            names = "--device-index",
            paramLabel = "N",
            description = "Which CUDA device, counted from 0.")
    private int deviceIndex;

    @Option(
            names = "--threads",
            paramLabel = "N",
            description = "CPU threads (default: as many as the process may use).")
    private int threads;

    @Option(
            names = "--no-mmap",
            description = "Read the model file instead of mapping it into memory.")
    private boolean noMmap;

    @Option(
            names = "--context",
            paramLabel = "N",
            description =
                    "Tokens that fit into the context (default: the model's or its sliding window's, at most 4096).")
    private int contextLength;

    @Option(
            names = "--kv-type",
            paramLabel = "f16|f32|q8_0",
            description = "Number format of the KV cache; q8_0 takes 53 %% of f16's memory (default: f16).")
    private KvType kvType;

    ModelOptions.Builder model() {
        return ModelOptions.builder()
                .device(device)
                .deviceIndex(deviceIndex)
                .threads(threads)
                .mmap(!noMmap);
    }

    SessionOptions session() {
        SessionOptions.Builder options = SessionOptions.builder().contextLength(contextLength);
        return (kvType == null ? options : options.kvType(kvType)).build();
    }
}
