package dev.reprise.hub;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.reprise.HuggingFace;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** A hub with a model of 24 parts, and an empty cache. */
abstract class HubFixture {
    /** Impatient. */
    static final Limits LIMITS = new Limits(
            4, 1 << 16, Duration.ofSeconds(5), Duration.ofSeconds(5), Duration.ofMillis(700), 4,
            Duration.ofMillis(10), Duration.ofSeconds(2));

    static final byte[] MODEL = random(1_500_000, 1);
    static final String NAME = "tiny-Q4_K_M.gguf";

    FakeHub hub;
    final List<String> warnings = new CopyOnWriteArrayList<>();

    @TempDir
    Path cache;

    static byte[] random(int length, long seed) {
        byte[] bytes = new byte[length];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    @BeforeEach
    void start() throws IOException {
        hub = new FakeHub().file(NAME, MODEL);
    }

    @AfterEach
    void stop() throws IOException {
        hub.close();
    }

    Source source(String quant, String file, String token, boolean offline) {
        return new Source(FakeHub.REPOSITORY, "main", quant, file, hub.endpoint(), token, cache, offline);
    }

    Path fetch() {
        return fetch(null);
    }

    Path fetch(HuggingFace.Progress progress) {
        return new Fetch(source(null, null, null, false), progress, warnings::add, LIMITS).run();
    }

    /** Fails with a message that has all of this, and leaves nothing under the right name. */
    UncheckedIOException fails(String... said) throws IOException {
        UncheckedIOException e = assertThrows(UncheckedIOException.class, this::fetch);
        for (String part : said) {
            assertEquals(true, e.getMessage().contains(part), part + " in: " + e.getMessage());
        }
        assertNothingThere();
        return e;
    }

    void assertNothingThere() throws IOException {
        assertEquals(false, Files.exists(folder().resolve("blobs/" + FakeHub.sha256(MODEL))));
        assertEquals(false, Files.exists(folder().resolve("refs/main")));
        assertEquals(false, Files.exists(folder().resolve("snapshots/" + FakeHub.COMMIT + "/" + NAME)));
    }

    void assertRight(Path file) throws IOException {
        assertEquals(folder().resolve("snapshots/" + FakeHub.COMMIT + "/" + NAME), file);
        assertArrayEquals(MODEL, Files.readAllBytes(file));
        assertEquals(List.of(FakeHub.sha256(MODEL)), names("blobs"));
    }

    Path folder() {
        return cache.resolve("models--owner--tiny-GGUF");
    }

    List<String> names(String child) throws IOException {
        try (Stream<Path> files = Files.list(folder().resolve(child))) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }
}
