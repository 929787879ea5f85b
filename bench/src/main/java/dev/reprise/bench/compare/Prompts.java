package dev.reprise.bench.compare;

import dev.reprise.Tokenizer;
import dev.reprise.bench.compare.ApplicationComparison.Prompt;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The prompts of a comparison. */
final class Prompts {
    /** For the number that makes a prompt unique, and begin of text. */
    private static final int EXTRA_TOKENS = 12;
    /** Fewer generated tokens say nothing about speed. */
    private static final int FEWEST_TOKENS = 16;

    private Prompts() {}

    /**
     * Reads prompts, one a line, from a file or, if that is null, those that come along; tells which do not fit into
     * the context, and generates fewer tokens where that makes one fit.
     */
    static List<Prompt> read(Path file, Tokenizer tokenizer, int context, int maxTokens, PrintStream log)
            throws IOException {
        List<Prompt> prompts = new ArrayList<>();
        for (String line : (file == null ? own() : Files.readString(file)).lines().toList()) {
            if (line.isBlank()) {
                continue;
            }
            int tokens = tokenizer.encode(line).length + EXTRA_TOKENS;
            int room = Math.min(maxTokens, context - tokens);
            if (room < Math.min(FEWEST_TOKENS, maxTokens)) {
                log.println("Prompt left out: its " + tokens + " tokens leave no room in a context of " + context);
            } else {
                prompts.add(new Prompt(line, room));
            }
        }
        return prompts;
    }

    private static String own() throws IOException {
        try (InputStream in = Prompts.class.getResourceAsStream("prompts.txt")) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }
}
