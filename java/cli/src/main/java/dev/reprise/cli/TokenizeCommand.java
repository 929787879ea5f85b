package dev.reprise.cli;

import dev.reprise.ModelFile;
import dev.reprise.Tokenizer;
import dev.reprise.json.Json;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code reprise tokenize}. */
@Command(
        name = "tokenize",
        description = {
            "Turns text into token ids. Needs the tokenizer of the model file alone, so any architecture will do.",
            "Without an output option every line has an id and the token as the file spells it, in quotes.",
            ""
        },
        sortOptions = false)
final class TokenizeCommand implements Callable<Integer> {
    /** The forms of output, of which one can be chosen. */
    private static final class Form {
        @Option(names = "--ids", description = "Print the ids alone, one per line.")
        private boolean ids;

        @Option(
                names = "--json",
                description = "Read a JSON array of strings and print a JSON array of id arrays; with -p, for that one "
                        + "text.")
        private boolean json;

        @Option(names = "--i32", paramLabel = "FILE", description = "Write the ids to a file, as little-endian int32.")
        private Path i32;
    }

    private final Terminal terminal;

    @Parameters(index = "0", paramLabel = "MODEL", description = ModelArgument.DESCRIPTION)
    private ModelArgument model;

    @Option(
            names = {"-p", "--prompt"},
            paramLabel = "TEXT",
            description = "The text (default: standard input, all of it).")
    private String text;

    @Option(
            names = "--special",
            description = "Parse special tokens, and add those of begin and end of text as the file says.")
    private boolean special;

    @ArgGroup(exclusive = true)
    private Form form = new Form();

    TokenizeCommand(Terminal terminal) {
        this.terminal = terminal;
    }

    @Override
    public Integer call() {
        Tokenizer tokenizer = tokenizer(model.file(terminal));
        if (form.json) {
            terminal.print(json(tokenizer));
            return ExitCode.OK;
        }
        int[] ids = tokenizer.encode(text != null ? text : terminal.readAll(), special, special);
        if (form.i32 != null) {
            write(ids);
        } else {
            terminal.print(lines(tokenizer, ids));
        }
        return ExitCode.OK;
    }

    static Tokenizer tokenizer(Path file) {
        try (ModelFile model = ModelFile.open(file)) {
            return Tokenizer.of(model.metadata());
        }
    }

    private String json(Tokenizer tokenizer) {
        StringBuilder out = new StringBuilder("[");
        for (String one : text != null ? List.of(text) : texts(terminal.readAll())) {
            out.append(out.length() == 1 ? "[" : ",\n[");
            String separator = "";
            for (int id : tokenizer.encode(one, special, special)) {
                out.append(separator).append(id);
                separator = ",";
            }
            out.append(']');
        }
        return out.append("]\n").toString();
    }

    private static List<String> texts(String json) {
        List<String> texts = new ArrayList<>();
        if (!(Json.parse(json) instanceof List<?> values)) {
            throw new IllegalArgumentException("JSON: standard input holds no array of strings");
        }
        for (Object value : values) {
            if (!(value instanceof String one)) {
                throw new IllegalArgumentException("JSON: element " + texts.size() + " is no string");
            }
            texts.add(one);
        }
        return texts;
    }

    private void write(int[] ids) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * ids.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asIntBuffer().put(ids);
        if (form.i32.toString().startsWith("-")) {
            throw new IllegalArgumentException(
                    "--i32 " + form.i32 + ": a file whose name begins with - is written as ./" + form.i32);
        }
        try {
            Files.write(form.i32, bytes.array());
        } catch (IOException e) {
            throw new UncheckedIOException("cannot write " + form.i32 + ": " + Terminal.reason(e), e);
        }
    }

    private String lines(Tokenizer tokenizer, int[] ids) {
        StringBuilder out = new StringBuilder();
        for (int id : ids) {
            out.append(id);
            if (!form.ids) {
                out.append('\t');
                Json.quote(tokenizer.tokenText(id), out);
            }
            out.append('\n');
        }
        return out.toString();
    }
}
