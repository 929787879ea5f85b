package dev.reprise.hub;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.ModelNotFoundException;
import dev.reprise.hub.Coverage.Range;
import java.io.IOException;
import java.net.URI;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Caches as huggingface_hub and llama.cpp leave them, and file systems without links. */
class HubCacheTest {
    private static final String COMMIT = FakeHub.COMMIT;

    @TempDir
    Path root;

    private Path folder;

    /** {@code models--owner--tiny-GGUF} with a file, as huggingface_hub writes it. */
    private void cached(String name, byte[] content) throws IOException {
        folder = root.resolve("models--owner--tiny-GGUF");
        Path blob = Files.createDirectories(folder.resolve("blobs")).resolve(FakeHub.sha256(content));
        Files.write(blob, content);
        Path pointer = folder.resolve("snapshots/" + COMMIT).resolve(name);
        Files.createDirectories(pointer.getParent());
        Files.createSymbolicLink(pointer, pointer.getParent().relativize(blob));
        Files.writeString(Files.createDirectories(folder.resolve("refs")).resolve("main"), COMMIT);
    }

    private Fetch offline(String revision, String quant) {
        Source source = new Source("owner/tiny-GGUF", revision, quant, null, URI.create("http://127.0.0.1:1"), null,
                root, true);
        return new Fetch(source, null, warning -> {}, HubFixture.LIMITS);
    }

    @Test
    void whatOthersHaveFetchedIsFound() throws IOException {
        cached("tiny-Q4_K_M.gguf", new byte[10]);
        cached("Q8_0/tiny-Q8_0-00001-of-00002.gguf", new byte[11]);
        Files.createDirectories(folder.resolve(".no_exist/" + COMMIT));
        Files.createDirectories(folder.resolve("trees"));
        Files.writeString(root.resolve("CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55");

        Path snapshot = folder.resolve("snapshots/" + COMMIT);
        assertEquals(snapshot.resolve("tiny-Q4_K_M.gguf"), offline("main", null).run());
        assertEquals(snapshot.resolve("tiny-Q4_K_M.gguf"), offline(COMMIT, "Q4_K_M").run());
        String message = assertThrows(ModelNotFoundException.class, offline("main", "Q8_0")::run).getMessage();
        assertTrue(message.contains("tiny-Q8_0-00002-of-00002.gguf"), message);
        cached("Q8_0/tiny-Q8_0-00002-of-00002.gguf", new byte[12]);
        assertEquals(snapshot.resolve("Q8_0/tiny-Q8_0-00001-of-00002.gguf"), offline("main", "Q8_0").run());
        assertThrows(ModelNotFoundException.class, offline("other", null)::run);
    }

    @Test
    void aPointerToABlobThatIsGoneIsNothing() throws IOException {
        cached("tiny-Q4_K_M.gguf", new byte[10]);
        Files.delete(folder.resolve("blobs/" + FakeHub.sha256(new byte[10])));
        assertThrows(ModelNotFoundException.class, offline("main", null)::run);
    }

    @Test
    void aRefThatIsNoCommitLeadsNowhere() throws IOException {
        cached("tiny-Q4_K_M.gguf", new byte[10]);
        Files.writeString(folder.resolve("refs/main"), "../../../..");
        assertThrows(ModelNotFoundException.class, offline("main", null)::run);
    }

    @Test
    void aBlobMayBeALinkToAStoreOfBlobs() throws IOException {
        byte[] content = new byte[10];
        cached("tiny-Q4_K_M.gguf", content);
        Path store = Files.write(root.resolve("stored"), content);
        Path blob = folder.resolve("blobs/" + FakeHub.sha256(content));
        Files.delete(blob);
        Files.createSymbolicLink(blob, store);
        HubCache cache = new HubCache(root, "owner/tiny-GGUF");
        RemoteFile file = new RemoteFile("tiny-Q4_K_M.gguf", COMMIT, FakeHub.sha256(content), 10);
        assertTrue(cache.holds(file) && cache.holdsBlob(file));
        assertFalse(cache.holds(new RemoteFile("tiny-Q4_K_M.gguf", COMMIT, "0".repeat(64), 10)));
        assertFalse(cache.holds(new RemoteFile("tiny-Q4_K_M.gguf", COMMIT, FakeHub.sha256(content), 11)));
    }

    /** A zip file has neither symbolic nor hard links. */
    @Test
    void withoutLinksAFileIsCopied() throws IOException {
        byte[] content = {1, 2, 3};
        try (FileSystem zip = FileSystems.newFileSystem(root.resolve("z.zip"), Map.of("create", "true"))) {
            HubCache cache = new HubCache(zip.getPath("/cache"), "owner/tiny-GGUF");
            RemoteFile file = new RemoteFile("a/tiny.gguf", COMMIT, FakeHub.sha256(content), 3);
            Files.createDirectories(cache.blobs());
            Files.write(cache.blob(file.etag()), content);

            cache.link(file);
            cache.setRef("refs/pr/1", COMMIT);
            assertArrayEquals(content, Files.readAllBytes(cache.pointer(COMMIT, "a/tiny.gguf")));
            assertTrue(cache.holds(file));
            assertEquals(COMMIT, cache.commitOf("refs/pr/1"));
            assertEquals(List.of("a/tiny.gguf"), cache.files(COMMIT));
        }
    }

    @Test
    void aNameThatLedToAnotherBlobIsReplaced() throws IOException {
        cached("tiny-Q4_K_M.gguf", new byte[10]);
        byte[] other = {7};
        Files.write(folder.resolve("blobs/" + FakeHub.sha256(other)), other);
        HubCache cache = new HubCache(root, "owner/tiny-GGUF");
        cache.link(new RemoteFile("tiny-Q4_K_M.gguf", COMMIT, FakeHub.sha256(other), 1));
        assertArrayEquals(other, Files.readAllBytes(folder.resolve("snapshots/" + COMMIT + "/tiny-Q4_K_M.gguf")));
        assertEquals(List.of("tiny-Q4_K_M.gguf"), cache.files(COMMIT));
    }

    @Test
    void whatIsThereOfAFileIsKeptTrackOf() {
        Random random = new Random(3);
        for (int round = 0; round < 200; round++) {
            Coverage coverage = new Coverage();
            boolean[] there = new boolean[100];
            for (int i = 0; i < 15; i++) {
                int start = random.nextInt(100);
                int end = start + random.nextInt(101 - start);
                coverage.add(start, end);
                Arrays.fill(there, start, end, true);
            }
            boolean[] missing = new boolean[100];
            for (Range range : coverage.missing(100, 7)) {
                assertTrue(range.end() - range.start() <= 7);
                Arrays.fill(missing, (int) range.start(), (int) range.end(), true);
            }
            int count = 0;
            for (int i = 0; i < 100; i++) {
                assertEquals(there[i], !missing[i]);
                count += there[i] ? 1 : 0;
            }
            assertEquals(count, coverage.bytes());
        }
    }
}
