package dev.reprise.bench.compare;

import com.fasterxml.jackson.databind.SerializationFeature;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Writes what a comparison measured: JSON, tables and plots. */
final class Report {
    static final String JSON = "results.json";
    static final String MARKDOWN = "results.md";

    private Report() {}

    /**
     * Writes tables and plots again. The first argument is the folder they go to, the others are folders with the
     * results of comparisons on one machine, whose models come together in one report; without them it is the first
     * folder.
     */
    public static void main(String[] args) throws IOException {
        if (args.length == 0) {
            throw new IllegalArgumentException("the arguments are a folder to write to and folders with " + JSON);
        }
        List<String> sources = List.of(args).subList(args.length == 1 ? 0 : 1, args.length);
        List<Results.Run> runs = new ArrayList<>();
        for (String source : sources) {
            runs.add(Http.JSON.readValue(Path.of(source, JSON).toFile(), Results.Run.class));
        }
        Path folder = Files.createDirectories(Path.of(args[0]));
        write(folder, merged(runs), System.err);
    }

    /** All models in one run, which has everything else from the first. */
    private static Results.Run merged(List<Results.Run> runs) {
        Results.Run first = runs.get(0);
        String commands = String.join("; ", runs.stream().map(Results.Run::command).toList());
        return new Results.Run(first.date(), first.commit(), commands, first.machine(), first.rounds(),
                first.maxTokens(), first.peers(), runs.stream().flatMap(run -> run.models().stream()).toList());
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
