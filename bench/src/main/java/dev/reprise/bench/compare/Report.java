package dev.reprise.bench.compare;

import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;

/** Writes what a comparison measured: JSON, tables and plots. */
final class Report {
    static final String JSON = "results.json";
    static final String MARKDOWN = "results.md";

    private Report() {}

    /** Draws tables and plots again from the results in a folder, the only argument. */
    public static void main(String[] args) throws IOException {
        if (args.length != 1) {
            throw new IllegalArgumentException("the argument is a folder with " + JSON);
        }
        Path folder = Path.of(args[0]);
        write(folder, Http.JSON.readValue(folder.resolve(JSON).toFile(), Results.Run.class), System.err);
    }

    static void write(Path folder, Results.Run run, PrintStream log) throws IOException {
        Files.writeString(folder.resolve(JSON),
                Http.JSON.writer(SerializationFeature.INDENT_OUTPUT).writeValueAsString(run) + "\n");
        Files.writeString(folder.resolve(MARKDOWN), Tables.of(run));
        try {
            Plots.write(folder, run);
        } catch (LinkageError | IllegalStateException | InternalError e) {
            // A Java without java.desktop, or a machine without any font.
            log.println("NO PLOTS: " + e + "; draw them on another machine, see bench/README.md");
        }
        log.println("Results are in " + folder);
    }
}
