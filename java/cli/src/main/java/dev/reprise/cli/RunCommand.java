package dev.reprise.cli;

import dev.reprise.Generation;
import dev.reprise.GenerationOptions;
import dev.reprise.Model;
import dev.reprise.ModelInfo;
import dev.reprise.Prompt;
import dev.reprise.Session;
import dev.reprise.Token;
import dev.reprise.TokenStream;
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
            "Continues a text: the model's text goes to standard output as it is generated, statistics follow on "
                    + "standard error.",
            ""
        },
        sortOptions = false)
final class RunCommand implements Callable<Integer> {
    private final Terminal terminal;

    @Parameters(
            index = "0",
            arity = "0..1",
            paramLabel = "MODEL",
            description = ModelArgument.DESCRIPTION + " Without it, the bundled model tells a story.")
    private ModelArgument argument;

    @Option(
            names = {"-p", "--prompt"},
            paramLabel = "TEXT",
            description = "The text to continue (default: standard input; for the bundled model \"" + StoryModel.PROMPT
                    + "\").")
    private String prompt;

    @Option(
            names = "--suffix",
            paramLabel = "TEXT",
            description = "Fill in what stands between the prompt and this text, by a model that has tokens for it.")
    private String suffix;

    @Option(
            names = "--special",
            description = "Parse special tokens such as <|im_start|> in the prompt.")
    private boolean special;

    @Option(
            names = "--show-special",
            description =
                    "Print special tokens that the model generates, the end token included, as the file spells them.")
    private boolean showSpecial;

    @Mixin
    private TextOptions textOptions;

    @Mixin
    private LoadOptions loadOptions;

    RunCommand(Terminal terminal) {
        this.terminal = terminal;
    }

    @Override
    public Integer call() {
        GenerationOptions options = options();
        String text = prompt();
        boolean wholeStory = argument == null && prompt == null && suffix == null && !textOptions.ids();
        try (Model model = load();
                Session session = model.newSession(loadOptions.session())) {
            Interruption interruption = Interruption.cancels(session::cancel);
            try (TokenStream stream = start(session, text, options)) {
                if (wholeStory) {
                    terminal.print(text);
                }
                return print(stream, model.info());
            } finally {
                interruption.forget();
            }
        }
    }

    private TokenStream start(Session session, String text, GenerationOptions options) {
        if (suffix == null) {
            return session.generate(text, options);
        } else if (special) {
            throw new IllegalArgumentException("--special does not go with --suffix: both texts are plain");
        }
        return session.generate(Prompt.fillInTheMiddle(text, suffix), options);
    }

    private GenerationOptions options() {
        return textOptions.generation(terminal)
                .parseSpecialTokens(special)
                .showSpecialTokens(showSpecial)
                .build();
    }

    private String prompt() {
        if (prompt != null) {
            return prompt;
        }
        return argument == null ? StoryModel.PROMPT : terminal.readAll();
    }

    private Model load() {
        if (argument != null) {
            return ModelLoader.load(argument.file(terminal), loadOptions.model(), terminal);
        }
        terminal.err().println("No model given: this is the bundled story model, " + StoryModel.NAME + ".");
        return StoryModel.load(loadOptions.model().build());
    }

    private int print(TokenStream stream, ModelInfo info) {
        boolean ids = textOptions.ids();
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
        return ExitCode.of(result.finishReason(), result.complete());
    }

    private static String statistics(Generation result, ModelInfo info) {
        return String.format(
                Locale.ROOT,
                "%d prompt tokens at %.0f/s, %d generated at %.1f/s on %s; ended: %s; seed %d",
                result.promptTokens(), result.promptTokensPerSecond(), result.tokens().size(),
                result.decodeTokensPerSecond(), info.device(), result.finishReason(), result.seed());
    }
}
