package dev.reprise.bench;

import dev.reprise.Device;
import dev.reprise.ModelOptions;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Locale;

/**
 * What the benchmarks run: the file of the system property {@code reprise.model}, else the story model of the command
 * line, on the device of {@code reprise.device} (auto, cpu or cuda; the CPU without it).
 */
public final class BenchModel {
    private static final String STORY = "/dev/reprise/cli/reprise-stories-7M-Q4_K_M.gguf";

    private BenchModel() {}

    /** The model file; the bundled one is unpacked to a temporary file, which goes when the JVM ends. */
    public static Path file() {
        String named = System.getProperty("reprise.model");
        return named == null ? unpackStory() : Path.of(named);
    }

    /** Unpacks the bundled story model to a temporary file, which goes when the JVM ends. */
    public static Path unpackStory() {
        try (InputStream in = BenchModel.class.getResourceAsStream(STORY)) {
            Path file = Files.createTempFile("reprise-bench-", ".gguf");
            file.toFile().deleteOnExit();
            Files.copy(in, file, StandardCopyOption.REPLACE_EXISTING);
            return file;
        } catch (IOException e) {
            throw new UncheckedIOException("cannot unpack the bundled story model: " + e.getMessage(), e);
        }
    }

    /** On the device of the system property {@code reprise.device}. */
    public static ModelOptions options() {
        String device = System.getProperty("reprise.device", "cpu").toUpperCase(Locale.ROOT);
        return ModelOptions.builder().device(Device.valueOf(device)).build();
    }
}
