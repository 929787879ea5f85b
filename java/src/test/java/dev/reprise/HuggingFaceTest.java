package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Models by name, of a cache; what fetches them is tested in {@code dev.reprise.hub}. */
class HuggingFaceTest {
    private static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";

    @TempDir
    Path cache;

    /** The story model in the cache, as Python would have put it there. */
    private Path cached() throws IOException {
        Path folder = cache.resolve("models--owner--stories-GGUF");
        Path blob = Files.createDirectories(folder.resolve("blobs")).resolve("a".repeat(64));
        Files.copy(StoryModel.PATH, blob);
        Path snapshot = Files.createDirectories(folder.resolve("snapshots/" + COMMIT));
        Files.writeString(Files.createDirectories(folder.resolve("refs")).resolve("main"), COMMIT);
        return Files.createSymbolicLink(
                snapshot.resolve("stories-Q4_K_M.gguf"), Path.of("../../blobs/" + blob.getFileName()));
    }

    private HuggingFace.Builder offline(String name) {
        return HuggingFace.builder(name).cache(cache).offline(true);
    }

    @Test
    void aModelIsLoadedByItsName() throws IOException {
        Path file = cached();
        HuggingFace name = offline("owner/stories-GGUF:Q4_K_M").build();

        assertEquals(Optional.of(file), name.cached());
        try (Model model = Model.load(name); Session session = model.newSession()) {
            assertFalse(session.complete("Once", GenerationOptions.builder().maxTokens(3).build()).text().isEmpty());
        }
    }

    @Test
    void whatIsNotThereIsAnExceptionOfItsOwn() {
        HuggingFace name = offline("owner/stories-GGUF").build();
        ModelNotFoundException e = assertThrows(ModelNotFoundException.class, () -> Model.load(name));
        assertEquals(ErrorCode.MODEL_NOT_FOUND, e.code());
        assertEquals(Optional.empty(), name.cached());
    }

    @Test
    void namesThatAreNoneAreRefused() {
        for (String name : List.of("", "repo", "a/b/c", "../b", "a/b:", "a/b:x/y", "https://huggingface.co/a/b")) {
            String message = assertThrows(IllegalArgumentException.class, () -> HuggingFace.of(name)).getMessage();
            assertTrue(message.contains("OWNER/REPO"), message);
        }
        assertThrows(IllegalArgumentException.class, () -> HuggingFace.builder("a/b:Q8_0").file("c.gguf").build());
        assertThrows(IllegalArgumentException.class, () -> HuggingFace.builder("a/b").file("../c.gguf"));
        assertThrows(IllegalArgumentException.class, () -> HuggingFace.builder("a/b").revision(".."));
        assertThrows(IllegalArgumentException.class,
                () -> HuggingFace.builder("a/b").endpoint(URI.create("file:///etc")));
    }

    @Test
    void namesAreValuesThatDoNotShowTheirToken() {
        HuggingFace name = HuggingFace.builder("a/b:Q8_0").token("hf_secret").revision("v1").build();
        assertEquals(HuggingFace.builder("a/b:Q8_0").token("hf_secret").revision("v1").build(), name);
        assertNotEquals(HuggingFace.builder("a/b:Q8_0").revision("v1").build(), name);
        assertEquals("HuggingFace[a/b:Q8_0, revision=v1]", name.toString());
        assertEquals(Optional.of("Q8_0"), name.quant());
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> HuggingFace.builder("a/b").token("hf_secret\n1"));
        assertFalse(e.getMessage().contains("hf_secret"), e.getMessage());
    }
}
