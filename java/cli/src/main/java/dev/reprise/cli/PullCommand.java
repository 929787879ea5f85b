package dev.reprise.cli;

import dev.reprise.HuggingFace;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code reprise pull}. */
@Command(
        name = "pull",
        description = {
            "Fetches a model from Hugging Face, as far as it is not there, and prints the path of its file. What is "
                    + "cut off goes on where it was; files get their names once their SHA-256 is right.",
            "It lies in Hugging Face's own cache, which huggingface_hub and llama.cpp use too. HF_HUB_CACHE, HF_HOME, "
                    + "HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are as they know them.",
            ""
        },
        sortOptions = false)
final class PullCommand implements Callable<Integer> {
    private final Terminal terminal;

    @Parameters(
            index = "0",
            paramLabel = "OWNER/REPO[:QUANT]",
            description = "The repository, and which of its quantisations (default: the only one, or Q4_K_M).")
    private String name;

    @Option(
            names = "--file",
            paramLabel = "NAME",
            description = "A file by its path in the repository; of a split model any part stands for all.")
    private String file;

    @Option(
            names = "--revision",
            paramLabel = "NAME",
            description = "A branch, tag or commit (default: main).")
    private String revision;

    @Option(names = "--offline", description = "Ask nobody: take what the cache has.")
    private boolean offline;

    PullCommand(Terminal terminal) {
        this.terminal = terminal;
    }

    @Override
    public Integer call() {
        HuggingFace.Builder builder = HuggingFace.builder(name);
        if (file != null) {
            builder.file(file);
        }
        if (revision != null) {
            builder.revision(revision);
        }
        if (offline) {
            builder.offline(true);
        }
        terminal.print(FetchProgress.fetch(builder.build(), terminal) + "\n");
        return ExitCode.OK;
    }
}
