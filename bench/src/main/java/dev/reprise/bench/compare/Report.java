package dev.reprise.bench.compare;

import com.fasterxml.jackson.databind.SerializationFeature;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

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

    /** Why this JVM cannot draw: it has no java.desktop, or the machine has no font. Empty if it can. */
    static Optional<String> obstacleToDrawing() {
        try {
            new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB).createGraphics().drawString("a", 0, 0);
            return Optional.empty();
        } catch (RuntimeException | LinkageError | InternalError e) {
            return Optional.of(e.toString());
        }
    }

    static void write(Path folder, Results.Run run, PrintStream log) throws IOException {
        Files.writeString(folder.resolve(JSON),
                Http.JSON.writer(SerializationFeature.INDENT_OUTPUT).writeValueAsString(run) + "\n");
        Files.writeString(folder.resolve(MARKDOWN), Tables.of(run));
        Optional<String> obstacle = obstacleToDrawing();
        if (obstacle.isPresent()) {
            log.println("NO PLOTS: " + obstacle.get() + "; draw them on another machine, see bench/README.md");
        } else {
            Plots.write(folder, run);
        }
        log.println("Results are in " + folder);
    }
}
