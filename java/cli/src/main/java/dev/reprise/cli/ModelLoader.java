package dev.reprise.cli;

import dev.reprise.Model;
import dev.reprise.ModelOptions;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Loads models, and shows on a terminal how far it is. */
final class ModelLoader {
    /** Loading less than this takes no time that a progress bar could show. */
    private static final long LARGE_FILE_BYTES = 500_000_000;

    private ModelLoader() {}

    static Model load(Path file, ModelOptions.Builder options, Terminal terminal) {
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
}
