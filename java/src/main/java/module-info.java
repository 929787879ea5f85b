/** Runs GGUF language models on NVIDIA GPUs and CPUs; {@link dev.reprise.Model} is where to begin. */
@SuppressWarnings("module")  // the server is compiled later
module dev.reprise {
    requires dev.reprise.natives;
    requires java.net.http;

    exports dev.reprise;
    exports dev.reprise.json to dev.reprise.server;
}
