/** Runs GGUF language models on NVIDIA GPUs and CPUs; {@link dev.reprise.Model} is where to begin. */
module dev.reprise {
    requires dev.reprise.natives;
    requires java.net.http;

    exports dev.reprise;
}
