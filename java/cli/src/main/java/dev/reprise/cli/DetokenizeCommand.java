package dev.reprise.cli;

import dev.reprise.Tokenizer;
import java.util.concurrent.Callable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code reprise detokenize}. */
@Command(
        name = "detokenize",
        description = {
            "Turns token ids on standard input, separated by white space or commas, into text. Nothing is added to it, "
                    + "not even a line end.",
            ""
        })
final class DetokenizeCommand implements Callable<Integer> {
    private static final Pattern WORD = Pattern.compile("[^\\s,]+");

    private final Terminal terminal;

    @Parameters(index = "0", paramLabel = "MODEL", description = ModelArgument.DESCRIPTION)
    private ModelArgument model;

    DetokenizeCommand(Terminal terminal) {
        this.terminal = terminal;
    }

    @Override
    public Integer call() {
        Tokenizer tokenizer = TokenizeCommand.tokenizer(model.file(terminal));
        Matcher words = WORD.matcher(terminal.readAll());
        int[] ids = words.results().mapToInt(word -> id(word.group())).toArray();
        terminal.print(tokenizer.decodeBytes(ids));
        return ExitCode.OK;
    }

    private static int id(String word) {
        try {
            return Integer.parseInt(word);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("'" + word + "' on standard input is no token id");
        }
    }
}
