package dev.reprise.cli;

import dev.reprise.Model;
import dev.reprise.ModelOptions;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** The model in the program's own jar: 7 million parameters that tell short stories for children. */
final class StoryModel {
    static final String NAME = "reprise-stories-7M-Q4_K_M.gguf";
    static final String PROMPT = "Once upon a time";

    private StoryModel() {}

    /** Loads it from a temporary file, which is gone again when this returns. */
    static Model load(ModelOptions options) {
        Path file = unpack();
        try {
            return Model.load(file, options);
        } finally {
            // A loaded model needs the name of its file no more.
            delete(file);
        }
    }

    private static Path unpack() {
        Path directory = Path.of(System.getProperty("java.io.tmpdir"));
        // In memory, where no disk is writable.
        Path inMemory = Path.of("/dev/shm");
        Path chosen = !Files.isWritable(directory) && Files.isWritable(inMemory) ? inMemory : directory;
        try {
            Path file = Files.createTempFile(chosen, "reprise-stories-", ".gguf");
            file.toFile().deleteOnExit();  // where a signal ends the process first
            try (InputStream in = StoryModel.class.getResourceAsStream(NAME)) {
                Files.copy(in, file, StandardCopyOption.REPLACE_EXISTING);
            } catch (IOException e) {
                delete(file);
                throw e;
            }
            return file;
        } catch (IOException e) {
            throw new UncheckedIOException(
                    "cannot unpack the bundled story model to " + chosen + " (" + Terminal.reason(e)
                            + "): free some space, choose another folder with JAVA_TOOL_OPTIONS=-Djava.io.tmpdir=FOLDER"
                            + ", or name a model",
                    e);
        }
    }

    private static void delete(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            // deleteOnExit() tries once more.
        }
    }
}
