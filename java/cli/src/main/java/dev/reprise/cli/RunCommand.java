package dev.reprise.cli;

import dev.reprise.FinishReason;
import dev.reprise.Generation;
import dev.reprise.GenerationOptions;
import dev.reprise.Model;
import dev.reprise.ModelInfo;
import dev.reprise.ModelOptions;
import dev.reprise.Sampling;
import dev.reprise.Session;
import dev.reprise.Token;
import dev.reprise.TokenStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code reprise run}. */
@Command(
        name = "run",
        description = {
            "Continues a text: the model's text goes to standard output as it is generated, statistics follow on standard "
                    + "error.",
            ""
        },
        sortOptions = false)
final class RunCommand implements Callable<Integer> {
    /** Loading less than this takes no time that a progress bar could show. */
    private static final long LARGE_FILE_BYTES = 500_000_000;

    private final Terminal terminal;

    @Parameters(
            index = "0",
            arity = "0..1",
            paramLabel = "MODEL",
            description = "A GGUF file, the first one of a split model; without it, the bundled model tells a story.")
    private Path file;

    @Option(
            names = {"-p", "--prompt"},
            paramLabel = "TEXT",
            description = "The text to continue (default: standard input; for the bundled model \"" + StoryModel.PROMPT + "\").")
    private String prompt;

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
            names = "--special",
            description = "Parse special tokens such as <|im_start|> in the prompt.")
    private boolean special;

    @Option(
            names = "--show-special",
            description = "Print special tokens that the model generates, the end token included, as the file spells "
                    + "them.")
    private boolean showSpecial;

    @Option(
            names = "--ids",
            description = "Print the generated token ids, one per line, the end token included, instead of text.")
    private boolean ids;

    @Option(
            names = "--temp",
            paramLabel = "T",
            description = "Temperature; 0 always takes the likeliest token (default: 0.7).")
    private Double temperature;

    @Option(names = "--top-k", paramLabel = "K", description = "Only the K likeliest tokens; 0: all (default: 40).")
    private Integer topK;

    @Option(
            names = "--top-p",
            paramLabel = "P",
            description = "Only the likeliest tokens of together this probability; 1: all (default: 0.95).")
    private Double topP;

    @Option(
            names = "--min-p",
            paramLabel = "P",
            description = "Only tokens this probable relative to the likeliest; 0: all (default: 0.05).")
    private Double minP;

    @Option(names = "--repeat-penalty", paramLabel = "X", description = "Makes tokens seen less likely; 1: off (default).")
    private Double repeatPenalty;

    @Option(names = "--presence-penalty", paramLabel = "X", description = "Taken off the logits of tokens seen; 0: off.")
    private Double presencePenalty;

    @Option(names = "--frequency-penalty", paramLabel = "X", description = "The same for every time seen; 0: off.")
    private Double frequencyPenalty;

    @Option(
            names = "--seed",
            paramLabel = "N",
            description = "What the random numbers come from (default: another one each time).")
    private Long seed;

    @Mixin
    private LoadOptions loadOptions;

    RunCommand(Terminal terminal) {
        this.terminal = terminal;
    }

    @Override
    public Integer call() {
        GenerationOptions options = options();
        String text = prompt();
        boolean wholeStory = file == null && prompt == null && !ids;
        try (Model model = load();
                Session session = model.newSession(loadOptions.session())) {
            Interruption interruption = Interruption.cancels(session);
            try (TokenStream stream = session.generate(text, options)) {
                if (wholeStory) {
                    terminal.print(text);
                }
                return print(stream, model.info());
            } finally {
                interruption.forget();
            }
        }
    }

    private GenerationOptions options() {
        GenerationOptions.Builder builder = GenerationOptions.builder();
        if (maxTokens != null) {
            builder.maxTokens(maxTokens);
        }
        return builder.stop(stop)
                .sampling(sampling())
                .parseSpecialTokens(special)
                .showSpecialTokens(showSpecial)
                .build();
    }

    private String prompt() {
        if (prompt != null) {
            return prompt;
        }
        return file == null ? StoryModel.PROMPT : terminal.readAll();
    }

    private Sampling sampling() {
        Sampling.Builder builder = Sampling.builder();
        if (temperature != null) {
            builder.temperature(temperature);
        }
        if (topK != null) {
            builder.topK(topK);
        }
        if (topP != null) {
            builder.topP(topP);
        }
        if (minP != null) {
            builder.minP(minP);
        }
        if (repeatPenalty != null) {
            builder.repeatPenalty(repeatPenalty);
        }
        if (presencePenalty != null) {
            builder.presencePenalty(presencePenalty);
        }
        if (frequencyPenalty != null) {
            builder.frequencyPenalty(frequencyPenalty);
        }
        if (seed != null) {
            builder.seed(seed);
        }
        return builder.build();
    }

    private Model load() {
        ModelOptions.Builder options = loadOptions.model();
        if (file == null) {
            terminal.err().println("No model given: this is the bundled story model, " + StoryModel.NAME + ".");
            return StoryModel.load(options.build());
        }
        if (!terminal.errIsTerminal() || size(file) < LARGE_FILE_BYTES) {
            return Model.load(file, options.build());
        }
        ProgressBar bar = new ProgressBar(terminal.err());
        try {
            return Model.load(file, options.progress(bar).build());
        } finally {
            bar.clear();
        }
    }

    private static long size(Path file) {
        try {
            return Files.size(file);
        } catch (IOException e) {
            throw new UncheckedIOException("cannot open " + file + ": " + Terminal.reason(e), e);
        }
    }

    private int print(TokenStream stream, ModelInfo info) {
        int printed = 0;
        for (Token token : stream) {
            String text = ids ? token.id() + "\n" : token.text();
            if (!text.isEmpty()) {
                terminal.print(text);
                printed += text.length();
            }
        }
        Generation result = stream.result();
        if (!ids) {
            // What was held back when it was interrupted.
            terminal.print(result.text().substring(printed));
            if (!result.text().isEmpty() && !result.text().endsWith("\n")) {
                terminal.print("\n");
            }
        }
        terminal.err().println(statistics(result, info));
        return result.finishReason() == FinishReason.CANCELLED ? ExitCode.INTERRUPTED : ExitCode.OK;
    }

    private static String statistics(Generation result, ModelInfo info) {
        return String.format(
                Locale.ROOT,
                "%d prompt tokens at %.0f/s, %d generated at %.1f/s on %s; ended: %s; seed %d",
                result.promptTokens(), result.promptTokensPerSecond(), result.tokens().size(),
                result.decodeTokensPerSecond(), info.device(), result.finishReason(), result.seed());
    }
}
