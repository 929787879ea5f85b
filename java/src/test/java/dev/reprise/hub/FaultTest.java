package dev.reprise.hub;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.hub.FakeHub.Reply;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Fetching from a hub that fails, stalls and lies: never a wrong file under the right name. */
@Timeout(120)
class FaultTest extends HubFixture {
    @Test
    void connectionsThatBreakAreMadeAnewWhereTheyWere() throws IOException {
        AtomicInteger count = new AtomicInteger();
        hub.fault = (request, right) ->
                request.store() && count.incrementAndGet() % 2 == 0 ? right.cutAfter(30_000) : right;
        assertRight(fetch());
        assertTrue(hub.storeBytes.get() < MODEL.length * 1.1, hub.storeBytes + " bytes");
    }

    @Test
    void aServerThatAlwaysBreaksIsGivenUp() throws IOException {
        hub.fault = (request, right) -> request.store() ? right.cutAfter(100) : right;
        fails("localhost");
        assertTrue(hub.toStore().size() <= LIMITS.attempts() * LIMITS.connections(), hub.toStore().size() + "");
    }

    @Test
    void whatArrivedBeforeAFailureIsNotFetchedAgain() throws IOException {
        AtomicInteger count = new AtomicInteger();
        hub.fault = (request, right) -> request.store() && count.incrementAndGet() > 10 ? Reply.of(500) : right;
        fails("500");
        assertTrue(names("blobs").stream().anyMatch(name -> name.endsWith(".incomplete")), names("blobs").toString());
        long arrived = hub.storeBytes.get();

        hub.fault = (request, right) -> right;
        assertRight(fetch());
        assertEquals(MODEL.length, hub.storeBytes.get());
        assertTrue(arrived > 300_000, arrived + " bytes");
    }

    @Test
    void linksThatExpireAreAskedForAnew() throws IOException {
        ConcurrentHashMap<String, AtomicInteger> uses = new ConcurrentHashMap<>();
        hub.fault = (request, right) -> request.store()
                && uses.computeIfAbsent(request.path(), path -> new AtomicInteger()).incrementAndGet() > 7
                ? Reply.of(403) : right;
        assertRight(fetch());
        assertTrue(uses.size() >= 4, uses.size() + " links");
    }

    @Test
    void linksThatNeverWorkAreGivenUp() throws IOException {
        hub.fault = (request, right) -> request.store() ? Reply.of(403) : right;
        fails("expired (403)");
    }

    @Test
    void aServerThatAsksToWaitIsWaitedFor() throws IOException {
        AtomicInteger count = new AtomicInteger();
        hub.fault = (request, right) ->
                count.incrementAndGet() == 1 ? Reply.of(429).with("Retry-After", "1") : right;
        long start = System.nanoTime();
        assertRight(fetch());
        assertTrue(System.nanoTime() - start >= 1_000_000_000L);
    }

    @Test
    void aServerThatAsksToWaitForLongIsNotWaitedFor() throws IOException {
        hub.fault = (request, right) -> Reply.of(429).with("Retry-After", "3600");
        fails("429", "too many requests", "3600 s");
        assertEquals(1, hub.requests.size());
        hub.fault = (request, right) -> request.store() ? Reply.of(503).with("Retry-After", "7200") : right;
        fails("503", "7200 s");
    }

    @Test
    void passingErrorsAreRetriedSoOftenAndNoMore() throws IOException {
        hub.fault = (request, right) -> Reply.of(502);
        fails("502");
        assertEquals(LIMITS.attempts(), hub.requests.size());
    }

    @Test
    void connectionsThatStallAreMadeAnew() throws IOException {
        AtomicInteger count = new AtomicInteger();
        hub.fault = (request, right) ->
                request.store() && count.incrementAndGet() <= 3 ? right.slow(30_000) : right;
        long start = System.nanoTime();
        assertRight(fetch());
        assertTrue(System.nanoTime() - start < 20_000_000_000L);
    }

    @Test
    void aServerThatSendsWholeFilesOnlyWillDo() throws IOException {
        hub.fault = (request, right) -> request.store() ? Reply.of(200, MODEL) : right;
        assertRight(fetch());
    }

    @Test
    void aServerThatSendsWholeFilesOnlyAndBreaksIsGivenUp() throws IOException {
        hub.fault = (request, right) -> request.store() ? Reply.of(200, MODEL).cutAfter(1_400_000) : right;
        fails("localhost");
        long whole = hub.toStore().stream().filter(request -> request.header("Range") == null).count();
        assertEquals(LIMITS.attempts(), whole);
    }

    @Test
    void otherContentIsNeverKept() throws IOException {
        byte[] other = random(MODEL.length, 9);
        hub.fault = (request, right) -> request.store() ? right.withBody(part(other, request.range())) : right;
        fails("SHA-256", FakeHub.sha256(MODEL), FakeHub.sha256(other));
        assertEquals(List.of(), names("blobs"));
    }

    private static byte[] part(byte[] content, long[] range) {
        return Arrays.copyOfRange(content, (int) range[0], (int) range[1] + 1);
    }

    @Test
    void oneWrongByteIsEnough() throws IOException {
        hub.fault = (request, right) -> {
            if (request.store()) {
                right.body()[7] ^= 1;
            }
            return right;
        };
        fails("SHA-256");
    }

    @Test
    void aLeftoverWhoseBytesWereLostIsFetchedAnew() throws IOException {
        AtomicInteger count = new AtomicInteger();
        hub.fault = (request, right) -> request.store() && count.incrementAndGet() > 10 ? Reply.of(500) : right;
        fails("500");
        try (var files = Files.newDirectoryStream(folder().resolve("blobs"), "*.incomplete")) {
            for (var file : files) {
                // As a power failure leaves it: the length, and zeros.
                Files.write(file, new byte[(int) Files.size(file)]);
            }
        }
        hub.fault = (request, right) -> right;
        assertRight(fetch());
    }

    @Test
    void lengthsThatContradictAreRefused() throws IOException {
        hub.fault = (request, right) -> request.store()
                ? right.with("Content-Range", right.headers().get("Content-Range").replaceFirst("/.*", "/1500001"))
                : right;
        fails("1500001", "1500000");
        hub.fault = (request, right) ->
                request.method().equals("HEAD") ? right.with("X-Linked-Size", "1499999") : right;
        fails("1500000", "1499999");
        hub.fault = (request, right) -> request.method().equals("HEAD") ? right.with("X-Linked-Size", "-5") : right;
        fails("X-Linked-Size");
        hub.fault = (request, right) -> request.store() ? right.with("Content-Range", "bytes 5-9/1500000") : right;
        fails("bytes 5 to 9");
        hub.fault = (request, right) -> request.store() ? right.with("Content-Range", null) : right;
        fails("without saying which");
    }

    @Test
    void aBodyThatIsLongerThanItsHeaderSaysIsCut() throws IOException {
        hub.fault = (request, right) -> request.store() && request.range() != null
                ? right.withBody(Arrays.copyOf(right.body(), right.body().length + 1000)).with("Content-Length", null)
                : right;
        fails("more than the");
    }

    @Test
    void aBodyThatEndsEarlyIsAskedForAgain() throws IOException {
        AtomicInteger count = new AtomicInteger();
        hub.fault = (request, right) -> request.store() && count.incrementAndGet() < 5
                ? right.cutAfter(right.body().length - 1).with("Content-Length", null) : right;
        assertRight(fetch());
    }

    @Test
    void anEncodedBodyIsRefused() throws IOException {
        hub.fault = (request, right) -> request.store() ? right.with("Content-Encoding", "gzip") : right;
        fails("gzip");
    }

    @Test
    void redirectsWithoutAnEndAreRefused() throws IOException {
        hub.fault = (request, right) -> Reply.of(302).with("Location", request.path());
        fails("redirects more than");
        hub.fault = (request, right) -> request.store() ? Reply.of(302).with("Location", request.path()) : right;
        fails("redirects more than");
        hub.fault = (request, right) -> Reply.of(302).with("Location", "file:///etc/passwd");
        fails("file:///etc/passwd");
    }

    @Test
    void aListingThatIsNoneIsRefused() throws IOException {
        for (String text : List.of("<html>", "[]", "{\"sha\":\"../x\",\"siblings\":[]}", "{\"sha\":\"abc\"}")) {
            hub.fault = (request, right) -> Reply.of(200, text.getBytes());
            fails("no description of a repository");
        }
    }
}
