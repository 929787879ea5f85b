package dev.reprise.cli;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import org.jline.reader.EOFError;
import org.jline.reader.EndOfFileException;
import org.jline.reader.LineReader;
import org.jline.reader.LineReaderBuilder;
import org.jline.reader.ParsedLine;
import org.jline.reader.UserInterruptException;
import org.jline.reader.impl.DefaultParser;
import org.jline.terminal.Terminal.Signal;
import org.jline.terminal.TerminalBuilder;

/**
 * Lines that somebody edits at a terminal. What was typed before comes back by the arrow keys, as long as the program
 * runs.
 */
final class TerminalLines implements LineSource {
    private final org.jline.terminal.Terminal terminal;
    private final LineReader reader;

    TerminalLines() {
        try {
            terminal = TerminalBuilder.builder()
                    .system(true)
                    // By stty: the others load native code of their own.
                    .provider("exec")
                    .dumb(true)
                    .encoding(StandardCharsets.UTF_8)
                    .nativeSignals(true)
                    .build();
        } catch (IOException e) {
            throw new UncheckedIOException("the terminal cannot be used: " + e.getMessage(), e);
        }
        reader = LineReaderBuilder.builder()
                .terminal(terminal)
                .parser(new MessageParser())
                .option(LineReader.Option.DISABLE_EVENT_EXPANSION, true)  // ! is an exclamation mark
                .option(LineReader.Option.INSERT_TAB, true)
                .variable(LineReader.SECONDARY_PROMPT_PATTERN, "  ")
                .build();
    }

    /**
     * A message is text: nothing in it is quoted or escaped, but for a backslash at its end, which means more is to
     * come.
     */
    private static final class MessageParser extends DefaultParser {
        MessageParser() {
            setEscapeChars(new char[0]);
            setQuoteChars(new char[0]);
        }

        @Override
        public ParsedLine parse(String line, int cursor, ParseContext context) {
            if (context == ParseContext.ACCEPT_LINE && line.endsWith("\\")) {
                throw new EOFError(-1, -1, "the message goes on");
            }
            return super.parse(line, cursor, context);
        }
    }

    @Override
    public String read(String prompt) {
        while (true) {
            try {
                return reader.readLine(prompt).replace("\\\n", "\n");
            } catch (UserInterruptException e) {
                if (e.getPartialLine() == null || e.getPartialLine().isEmpty()) {
                    terminal.writer().println("To leave: Ctrl-D or /quit");
                    terminal.flush();
                }
            } catch (EndOfFileException e) {
                return null;
            }
        }
    }

    @Override
    public void onInterrupt(Runnable action) {
        terminal.handle(Signal.INT, signal -> action.run());
    }

    @Override
    public boolean interactive() {
        return true;
    }

    @Override
    public void close() {
        try {
            terminal.close();
        } catch (IOException e) {
            throw new UncheckedIOException("the terminal cannot be put back: " + e.getMessage(), e);
        }
    }
}
