package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What is opened is given back, and nothing keeps the process alive. */
@Timeout(120)
class ResourceTest {
    private static final long ALLOWED_GROWTH_KB = 4096;
    /** The JVM compiles more of its code while conversations go on, by its quicker compiler alone. */
    private static final long ALLOWED_CONVERSATIONS_KB = 8192;
    private static final long ALLOWED_HEAP_GROWTH_KB = 1024;

    @Test
    void openingAndClosingTwoHundredTimesKeepsResidentMemoryFlat() throws IOException, InterruptedException {
        ChildJvm.Result result = ChildJvm.run(
                List.of("-Xms64m", "-Xmx64m", "-XX:+AlwaysPreTouch", "-XX:+UseSerialGC"),
                RepeatedUse.class, StoryModel.PATH.toString());

        assertEquals(0, result.exitCode());
        long grown = Long.parseLong(result.out().strip());
        System.out.println("resident memory grew by " + grown + " KB");
        assertTrue(grown <= ALLOWED_GROWTH_KB, grown + " KB");
    }

    /** As many as {@code -Dreprise.conversations=N} says. */
    @Test
    @Timeout(600)
    void conversationsKeepMemoryFlat(@TempDir Path folder) throws IOException, InterruptedException {
        ChildJvm.Result result = ChildJvm.run(
                List.of("-Xms64m", "-Xmx64m", "-XX:+AlwaysPreTouch", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                RepeatedConversations.class, StoryModel.PATH.toString(), folder.toString(),
                System.getProperty("reprise.conversations", "100"));

        assertEquals(0, result.exitCode());
        String[] grown = result.out().strip().split(" ");
        System.out.println("resident memory grew by " + grown[0] + " KB, the Java heap by " + grown[1] + " KB");
        assertTrue(Long.parseLong(grown[0]) <= ALLOWED_CONVERSATIONS_KB, grown[0] + " KB resident");
        assertTrue(Long.parseLong(grown[1]) <= ALLOWED_HEAP_GROWTH_KB, grown[1] + " KB of heap");
    }

    /** JavaCPP's own allocations fail once the process is four times as large as the heap. */
    @Test
    void aHeapMuchSmallerThanTheProcessIsEnough() throws IOException, InterruptedException {
        ChildJvm.Result result =
                ChildJvm.run(List.of("-Xmx12m", "-XX:+UseSerialGC"), RepeatedUse.class, StoryModel.PATH.toString());
        assertEquals(0, result.exitCode());
    }

    @Test
    void aGenerationInTheBackgroundDoesNotKeepTheProcessAlive() throws IOException, InterruptedException {
        ChildJvm.Result result = ChildJvm.run(List.of(), LeftRunning.class, StoryModel.PATH.toString());
        assertEquals("left", result.out().strip());
        assertEquals(0, result.exitCode());
    }

    @Test
    void whatIsForgottenIsClosed() throws InterruptedException {
        long[] handles = forgetSessionAndModel();
        awaitClosed(() -> Native.position(handles[0]));
        awaitClosed(() -> Native.modelInfo(handles[1], ""));
    }

    private static long[] forgetSessionAndModel() {
        Model model = StoryModel.load();
        Session session = model.newSession();
        session.generate("Once upon a time").iterator().next();
        return new long[] {session.handle(), model.handle()};
    }

    private static void awaitClosed(Runnable call) throws InterruptedException {
        while (true) {
            System.gc();
            try {
                call.run();
            } catch (IllegalStateException e) {
                assertTrue(e.getMessage().contains("closed"), e.getMessage());
                return;
            }
            Thread.sleep(10);
        }
    }

    @Test
    void aSessionKeepsItsModelOpen() throws InterruptedException {
        try (Session session = StoryModel.load().newSession()) {
            for (int i = 0; i < 5; i++) {
                System.gc();
                Thread.sleep(10);
            }
            assertEquals(3, session.complete("Once", GenerationOptions.builder().maxTokens(3).build()).ids().length);
        }
    }

    /** Outside of the native call. The least of many measurements, since the machine may be busy. */
    @Test
    void aTokenCostsLessThanThreeMicrosecondsInJava(@TempDir Path directory) {
        int count = 120;
        GenerationOptions options = GenerationOptions.builder().maxTokens(count).sampling(Sampling.greedy()).build();
        Path file = TinyModel.write(directory, TinyModel.bytes(TestVocabulary.byteLevel("gpt-2")));
        long least = Long.MAX_VALUE;
        try (Model model = Model.load(file, ModelOptions.builder().threads(1).build());
                Session session = model.newSession()) {
            for (int round = 0; round < 200; round++) {
                session.reset();
                TokenStream stream = session.generate(new int[] {65}, options);
                long nativeBefore = session.statistics().decodeTime().toNanos();
                long start = System.nanoTime();
                stream.forEach(token -> {});
                long all = System.nanoTime() - start;
                long inNative = session.statistics().decodeTime().toNanos() - nativeBefore;
                least = Math.min(least, (all - inNative) / count);
            }
        }
        System.out.println("a token costs " + least + " ns in Java");
        assertTrue(least < 3000, least + " ns");
    }
}
