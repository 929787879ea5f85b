package dev.reprise.hub;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.CancelledException;
import dev.reprise.ModelNotFoundException;
import dev.reprise.hub.FakeHub.Reply;
import dev.reprise.hub.FakeHub.Request;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Fetching from a hub that does what it should, and what comes to lie where. */
@Timeout(120)
class FetchTest extends HubFixture {
    @Test
    void theCacheIsLaidOutAsHuggingFacesTools() throws IOException {
        Path file = fetch();

        assertRight(file);
        assertEquals(Path.of("../../blobs/" + FakeHub.sha256(MODEL)), Files.readSymbolicLink(file));
        assertEquals(FakeHub.COMMIT, Files.readString(folder().resolve("refs/main")));
        assertEquals(List.of(FakeHub.COMMIT), names("snapshots"));
    }

    @Test
    void partsComeAtTheSameTimeAndEveryByteOnce() throws IOException {
        hub.fault = (request, right) -> request.store() ? right.slow(5) : right;
        fetch();

        assertEquals(MODEL.length, hub.storeBytes.get());
        assertEquals((MODEL.length + LIMITS.partBytes() - 1) / LIMITS.partBytes(), hub.toStore().size());
        assertTrue(hub.toStore().stream().allMatch(request -> "identity".equals(request.header("Accept-Encoding"))));
    }

    @Test
    void theTokenGoesToTheHubAlone() {
        hub.location = url -> url.replace("localhost", "127.0.0.1");  // the same host, another port
        new Fetch(source(null, null, "hf_secret", false), null, warnings::add, LIMITS).run();

        hub.toHub().forEach(request -> assertEquals("Bearer hf_secret", request.header("Authorization")));
        assertTrue(hub.toStore().size() > 1);
        hub.toStore().forEach(request -> assertNull(request.header("Authorization")));
    }

    @Test
    void theTokenIsNotSentOnByARedirectBehindTheFirst() {
        hub.fault = (request, right) -> request.store() && !request.path().contains("moved")
                ? Reply.of(302).with("Location", request.path() + "&moved=1") : right;
        new Fetch(source(null, null, "hf_secret", false), null, warnings::add, LIMITS).run();

        assertTrue(hub.toStore().stream().anyMatch(request -> request.path().contains("moved")));
        hub.toStore().forEach(request -> assertNull(request.header("Authorization")));
    }

    @Test
    void whatIsThereIsNotFetchedAgain() throws IOException {
        fetch();
        hub.requests.clear();

        assertRight(fetch());
        assertEquals(List.of(), hub.toStore());
        Source pinned = new Source(
                FakeHub.REPOSITORY, FakeHub.COMMIT, null, NAME, hub.endpoint(), null, cache, false);
        hub.requests.clear();
        assertRight(new Fetch(pinned, null, warnings::add, LIMITS).run());
        assertEquals(List.of(), hub.requests, "a commit does not change");
    }

    @Test
    void aBlobOfAnotherSnapshotGetsAnotherName() throws IOException {
        Path blob = Files.createDirectories(folder().resolve("blobs")).resolve(FakeHub.sha256(MODEL));
        Files.write(blob, MODEL);

        assertRight(fetch());
        assertEquals(List.of(), hub.toStore());
    }

    @Test
    void aBlobThatIsTooShortIsFetchedAnew() throws IOException {
        Path blob = Files.createDirectories(folder().resolve("blobs")).resolve(FakeHub.sha256(MODEL));
        Files.write(blob, new byte[1000]);
        Path pointer = Files.createDirectories(folder().resolve("snapshots/" + FakeHub.COMMIT)).resolve(NAME);
        Files.createSymbolicLink(pointer, Path.of("../../blobs/" + FakeHub.sha256(MODEL)));

        assertRight(fetch());
    }

    @Test
    void allPartsOfASplitModelAreFetched() throws IOException {
        byte[] second = random(70_000, 2);
        hub.file("big/m-Q8_0-00001-of-00002.gguf", MODEL).file("big/m-Q8_0-00002-of-00002.gguf", second);
        List<Long> done = new ArrayList<>();
        Path file = new Fetch(source("q8_0", null, null, false), (name, bytes, total, rate) -> {
            assertEquals(MODEL.length + second.length, total);
            done.add(bytes);
        }, warnings::add, LIMITS).run();

        assertTrue(file.endsWith("big/m-Q8_0-00001-of-00002.gguf"), file.toString());
        assertArrayEquals(second, Files.readAllBytes(file.resolveSibling("m-Q8_0-00002-of-00002.gguf")));
        assertEquals(Path.of("../../../blobs/" + FakeHub.sha256(MODEL)), Files.readSymbolicLink(file));
        assertEquals(MODEL.length + second.length, done.get(done.size() - 1));
        assertEquals(done.stream().sorted().toList(), done);
        Source part = source(null, "big/m-Q8_0-00002-of-00002.gguf", null, false);
        assertEquals(file, new Fetch(part, null, warnings::add, LIMITS).run(), "any part stands for all");
    }

    @Test
    void smallFilesAreCheckedByTheirGitHash() throws IOException {
        byte[] text = "{}\n".getBytes();
        hub.file("config.json", text);
        Fetch fetch = new Fetch(source(null, "config.json", null, false), null, warnings::add, LIMITS);
        hub.fault = (request, right) -> request.method().equals("GET") ? right.withBody("[]\n".getBytes()) : right;
        assertTrue(assertThrows(UncheckedIOException.class, fetch::run).getMessage().contains("SHA-1"));
        hub.fault = (request, right) -> right;
        assertArrayEquals(text, Files.readAllBytes(fetch.run()));
        assertEquals(List.of(FakeHub.gitHash(text)), names("blobs"));
    }

    @Test
    void aRepositoryThatWasRenamedIsFollowed() throws IOException {
        hub.fault = (request, right) -> request.path().contains("moved=1") || request.store() ? right
                : Reply.of(307).with("Location", request.path() + (request.path().contains("?") ? "&" : "?")
                        + "moved=1");
        assertRight(fetch());
    }

    /** With pages, of which the hub's have 1,000 entries. */
    @Test
    void aMirrorThatKnowsTheTreeAloneWillDo() throws IOException {
        hub.fault = (request, right) -> {
            if (request.path().contains("/revision/")) {
                return Reply.of(404);
            } else if (request.path().contains("/tree/main?recursive=true&page=2")) {
                return Reply.of(200, ("[{\"type\":\"file\",\"path\":\"" + NAME + "\"}]").getBytes());
            } else if (request.path().endsWith("/tree/main?recursive=true")) {
                return Reply.of(200, "[{\"type\":\"directory\",\"path\":\"x.gguf\"}]".getBytes())
                        .with("Link", "<" + request.path() + "&page=2>; rel=\"next\"");
            }
            return right;
        };
        assertRight(fetch());
    }

    @Test
    void aQuantisationThatIsNotThereIsToldWithThoseThatAre() {
        hub.file("tiny-Q8_0.gguf", MODEL).file("mmproj-F16.gguf", MODEL);
        Fetch fetch = new Fetch(source("Q5_K_M", null, null, false), null, warnings::add, LIMITS);
        String message = assertThrows(ModelNotFoundException.class, fetch::run).getMessage();
        assertTrue(message.contains("Q5_K_M") && message.contains(NAME) && message.contains("tiny-Q8_0.gguf")
                && !message.contains("mmproj"), message);
    }

    @Test
    void whatCannotBeAccessedIsToldWithWhatToDo() {
        notFound(Reply.of(401).with("X-Error-Code", "RepoNotFound"), "does not exist", "HF_TOKEN");
        notFound(Reply.of(403).with("X-Error-Code", "GatedRepo"), "accept its terms", "HF_TOKEN");
        notFound(Reply.of(404).with("X-Error-Code", "RevisionNotFound"), "no revision 'main'");
        notFound(Reply.of(404).with("X-Error-Message", "gone for good"), "does not exist", "gone for good");
    }

    private void notFound(Reply reply, String... said) {
        hub.fault = (request, right) -> reply;
        String message = assertThrows(ModelNotFoundException.class, this::fetch).getMessage();
        for (String part : said) {
            assertTrue(message.contains(part), part + " in: " + message);
        }
        assertTrue(hub.requests.size() <= 2, "another attempt would not help");
        hub.requests.clear();
    }

    @Test
    void namesThatLeadOutOfTheCacheAreRefused() throws IOException {
        for (String name : List.of("../../../../evil-Q8_0.gguf", "/etc/evil-Q8_0.gguf", "a\\..\\evil-Q8_0.gguf",
                "nul.Q8_0.gguf", "a:evil-Q8_0.gguf", "evil-Q8_0.gguf/", "x/./evil-Q8_0.gguf", "e\u0000-Q8_0.gguf")) {
            FakeHub bad = new FakeHub().file(name, MODEL);
            Source source = new Source(
                    FakeHub.REPOSITORY, "main", "Q8_0", null, bad.endpoint(), null, cache, false);
            RuntimeException e = assertThrows(
                    RuntimeException.class, () -> new Fetch(source, null, warnings::add, LIMITS).run(), name);
            boolean refused = e instanceof UncheckedIOException && e.getMessage().contains("is refused");
            assertTrue(refused || name.endsWith("/") && e instanceof ModelNotFoundException, e.toString());
            assertEquals(List.of(), bad.toStore());
            bad.close();
        }
        assertEquals(false, Files.exists(folder()));
    }

    @Test
    void hashesThatAreNoneAreRefused() throws IOException {
        for (String etag : List.of("../../evil", "abc", "", "W/\"" + "g".repeat(64) + "\"")) {
            hub.fault = (request, right) ->
                    request.method().equals("HEAD") ? right.with("X-Linked-ETag", etag) : right;
            fails("SHA-256");
        }
        hub.fault = (request, right) ->
                request.method().equals("HEAD") ? right.with("X-Repo-Commit", "../../..") : right;
        fails("X-Repo-Commit");
    }

    @Test
    void offlineNothingIsAsked() throws IOException {
        Fetch offline = new Fetch(source(null, null, null, true), null, warnings::add, LIMITS);
        String message = assertThrows(ModelNotFoundException.class, offline::run).getMessage();
        assertTrue(message.contains("offline") && message.contains(cache.toString()), message);
        fetch();
        hub.requests.clear();

        assertRight(offline.run());
        assertEquals(List.of(), hub.requests);
        assertThrows(ModelNotFoundException.class,
                () -> new Fetch(source("Q8_0", null, null, true), null, warnings::add, LIMITS).run());
    }

    @Test
    void aHubThatDoesNotAnswerLeavesWhatTheCacheHas() throws IOException {
        fetch();
        hub.fault = (request, right) -> Reply.of(503);
        hub.requests.clear();
        assertRight(fetch());
        assertEquals(1, hub.requests.size(), "nobody waits for what is there");
        hub.close();
        assertRight(fetch());
        assertEquals(2, warnings.size());
        assertTrue(warnings.get(0).contains("answers 503"), warnings.get(0));
    }

    @Test
    void aHubThatIsNotThereIsNamed() {
        Source nowhere = new Source(FakeHub.REPOSITORY, "main", null, null, URI.create("http://127.0.0.1:1"), null,
                cache, false);
        String message = assertThrows(UncheckedIOException.class,
                () -> new Fetch(nowhere, null, warnings::add, LIMITS).run()).getMessage();
        assertTrue(message.contains(FakeHub.REPOSITORY) && message.contains("Connect"), message);
    }

    @Test
    void anInterruptCancelsAndTheNextAttemptGoesOn() throws Exception {
        hub.fault = (request, right) -> request.store() ? right.slow(50) : right;
        Thread caller = Thread.currentThread();
        // It keeps a thread of the common pool, of which there may be one: fetching needs none.
        CompletableFuture<Void> interrupter = CompletableFuture.runAsync(() -> {
            while (hub.storeBytes.get() < 300_000) {
                sleep();
            }
            caller.interrupt();
        });
        assertThrows(CancelledException.class, this::fetch);
        assertTrue(Thread.interrupted(), "the status stays set");
        interrupter.get();
        assertNothingThere();

        hub.fault = (request, right) -> right;
        hub.storeBytes.set(0);
        assertRight(fetch());
        assertTrue(hub.storeBytes.get() <= MODEL.length - 200_000, hub.storeBytes + " bytes");
    }

    private static void sleep() {
        try {
            Thread.sleep(5);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void whatTheListenerThrowsCancels() throws IOException {
        IllegalStateException mine = new IllegalStateException("enough");
        assertEquals(mine, assertThrows(IllegalStateException.class, () -> fetch((file, done, total, rate) -> {
            throw mine;
        })));
        assertNothingThere();
        assertRight(fetch());
    }

    @Test
    void threadsOfAProcessDoNotFetchTwice() throws Exception {
        hub.fault = (request, right) -> request.store() ? right.slow(10) : right;
        List<CompletableFuture<Path>> all = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            all.add(CompletableFuture.supplyAsync(this::fetch, task -> new Thread(task).start()));
        }
        for (CompletableFuture<Path> one : all) {
            assertRight(one.get());
        }
        assertEquals(MODEL.length, hub.storeBytes.get());
    }

    @Test
    void nothingButTheModelIsAskedFor() {
        fetch();
        for (Request request : hub.requests) {
            assertTrue(request.path().contains(NAME) || request.path().startsWith("/api/models/"), request.path());
        }
    }
}
