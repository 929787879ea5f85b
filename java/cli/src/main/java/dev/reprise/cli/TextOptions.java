package dev.reprise.cli;

import dev.reprise.GenerationOptions;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** What is generated, and how it is shown: of commands that generate text. */
final class TextOptions {
    @Option(
            names = {"-n", "--max-tokens"},
            paramLabel = "N",
            description = "The most tokens to generate (default: what the context holds).")
    private Integer maxTokens;

    @Option(
            names = "--stop",
            paramLabel = "TEXT",
            description = "End where this text appears; may be given several times.")
    private String[] stop = {};

    @Option(
            names = "--ids",
            description = "Print the generated token ids, one per line, the end token included, instead of text.")
    private boolean ids;

    @ArgGroup(exclusive = true)
    private ConstraintOptions constraint = new ConstraintOptions();

    @Mixin
    private SamplingOptions sampling;

    boolean ids() {
        return ids;
    }

    GenerationOptions.Builder generation(Terminal terminal) {
        GenerationOptions.Builder builder = GenerationOptions.builder();
        if (maxTokens != null) {
            builder.maxTokens(maxTokens);
        }
        return builder.stop(stop).sampling(sampling.sampling()).constraint(constraint.constraint(terminal));
    }
}
