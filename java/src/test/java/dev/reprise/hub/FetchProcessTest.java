package dev.reprise.hub;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Processes that fetch the same model, that are killed, and that have no room. */
@Timeout(180)
class FetchProcessTest extends HubFixture {
    private ProcessBuilder pull() {
        return new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-XX:TieredStopAtLevel=1",
                "-cp", System.getProperty("java.class.path"), Pull.class.getName(), hub.endpoint().toString(),
                cache.toString()).redirectError(Redirect.INHERIT);
    }

    private static String output(Process process) throws IOException {
        return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
    }

    private void await(long storeBytes, Process process) throws InterruptedException {
        while (hub.storeBytes.get() < storeBytes) {
            assertTrue(process.isAlive(), "ended before it had " + storeBytes + " bytes");
            Thread.sleep(5);
        }
    }

    @Test
    void aProcessThatIsKilledLeavesNoNameAndTheNextOneGoesOn() throws Exception {
        hub.fault = (request, right) -> request.store() ? right.slow(150) : right;
        long before = 0;
        for (int i = 0; i < 2; i++) {
            Process process = pull().start();
            // The record of what is there is written every second.
            await(before + 400_000, process);
            process.destroyForcibly().waitFor();
            assertNothingThere();
            before = hub.storeBytes.get();
        }
        hub.fault = (request, right) -> right;
        hub.storeBytes.set(0);
        assertRight(fetch());
        assertTrue(hub.storeBytes.get() < MODEL.length - 100_000, hub.storeBytes + " bytes were fetched again");
    }

    @Test
    void twoProcessesAtOnceFetchOnce() throws Exception {
        hub.fault = (request, right) -> request.store() ? right.slow(100) : right;
        List<Process> both = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            both.add(pull().start());
        }
        for (Process process : both) {
            assertEquals(folder().resolve("snapshots/" + FakeHub.COMMIT + "/" + NAME).toString(), output(process));
            assertEquals(0, process.waitFor());
        }
        assertRight(fetch());
        assertEquals(MODEL.length, hub.storeBytes.get());
    }

    @Test
    void aProcessGoesOnWhereTheOneItWaitedForWasKilled() throws Exception {
        hub.fault = (request, right) -> request.store() ? right.slow(150) : right;
        Process process = pull().start();
        await(300_000, process);
        CompletableFuture<Path> waiting = CompletableFuture.supplyAsync(this::fetch);
        await(600_000, process);
        assertEquals(false, waiting.isDone());
        hub.fault = (request, right) -> right;
        process.destroyForcibly().waitFor();

        assertRight(waiting.get());
        assertTrue(hub.storeBytes.get() < MODEL.length + 600_000, hub.storeBytes + " bytes");
    }

    /** As where the file system has no locks that work: the lock of the blob does not hold the second one back. */
    @Test
    void processesThatDoNotSeeEachOthersLockDoNotWriteToTheSameFile() throws Exception {
        hub.fault = (request, right) -> request.store() ? right.slow(150) : right;
        Process process = pull().start();
        await(300_000, process);
        Path lock = cache.resolve(".locks/models--owner--tiny-GGUF/" + FakeHub.sha256(MODEL) + ".lock");
        Files.delete(lock);
        CompletableFuture<Path> second = CompletableFuture.supplyAsync(this::fetch);
        long partials = 0;
        while (partials < 2 && process.isAlive()) {
            partials = names("blobs").stream().filter(name -> name.endsWith(".incomplete")).count();
        }
        assertEquals(2, partials);
        hub.fault = (request, right) -> right;

        Path first = Path.of(output(process));
        assertRight(second.get());
        assertRight(first);
    }

    /** A limit on the length of files is what a process can be given without rights; EFBIG stands for ENOSPC here. */
    @Test
    void aFullDiskIsToldAndWhatIsThereIsKept() throws Exception {
        List<String> command = new ArrayList<>(List.of("sh", "-c", "ulimit -f 1000 && exec \"$@\"", "sh"));
        command.addAll(pull().command());
        Process process = new ProcessBuilder(command).redirectError(Redirect.INHERIT).start();

        String message = output(process);
        assertEquals(3, process.waitFor());
        assertTrue(message.contains("cannot write") && message.contains("is kept"), message);
        assertNothingThere();
        long before = hub.storeBytes.get();
        assertRight(fetch());
        assertTrue(before > 300_000, before + " bytes");
        assertTrue(hub.storeBytes.get() < MODEL.length + before - 200_000, hub.storeBytes + " bytes");
    }
}
