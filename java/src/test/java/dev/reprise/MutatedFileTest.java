package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Damaged files are loaded or refused, never more: opened, the tokenizer built, one token decoded. */
class MutatedFileTest {
    private static final int FILES = 20_000;
    private static final long HANG_NANOS = 1_000_000_000L;
    /** Memory that a file may cost besides 8 times its metadata and its weights. */
    private static final long MEMORY_BYTES = 1 << 20;
    /** Memory of the process, which others than the file at hand use too, may grow by this over all files. */
    private static final long RESIDENT_GROWTH_KB = 128 << 10;

    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    @TempDir
    Path directory;

    private final Map<String, Integer> outcomes = new TreeMap<>();
    private final Map<String, String> examples = new TreeMap<>();
    private long slowestNanos;
    private long mostAllocated;

    @Test
    @Timeout(600)
    void twentyThousandDamagedFilesAreLoadedOrRefused() throws IOException {
        List<byte[]> sound = List.of(
                TinyModel.bytes(TinyModel.byteVocabulary()),
                TinyModel.bytes(TestVocabulary.sentencePiece(" t", " the", "he", "t", "h", "e")),
                TinyModel.bytes(TestVocabulary.byteLevel("llama-bpe", "t h", "th e").set("eos_token_id", 2L)));
        GgufMutator mutator = new GgufMutator(20260101);
        List<GgufMutator.Mutation> mutations = new ArrayList<>();
        for (byte[] file : sound) {
            assertEquals("loaded", open(TinyModel.write(directory, file), true));
        }
        outcomes.clear();
        long residentBefore = 0;
        for (int i = 0; i < FILES; i++) {
            if (i == FILES / 10) {
                residentBefore = statusKb("VmRSS");
            }
            byte[] file = mutator.mutate(sound.get(i % sound.size()), mutations);
            run(i, TinyModel.write(directory, file), file.length);
        }
        long grown = statusKb("VmHWM") - residentBefore;
        long structured = mutations.stream().filter(GgufMutator.Mutation::isStructured).count();
        System.out.printf(
                "%d files, %.1f %% of the mutations structured; slowest %.1f ms, most memory on the heap %d KB, resident "
                        + "memory grew by %d KB%n",
                FILES, 100.0 * structured / mutations.size(), slowestNanos / 1e6, mostAllocated >> 10, grown);
        outcomes.forEach((outcome, count) ->
                System.out.printf("  %-22s %6d  %s%n", outcome, count, examples.getOrDefault(outcome, "")));

        assertTrue(structured >= 0.8 * mutations.size(), structured + " of " + mutations.size());
        assertTrue(grown < RESIDENT_GROWTH_KB, "resident memory grew by " + grown + " KB");
        assertTrue(outcomes.get("loaded") > FILES / 100, "some damage does no harm");
        assertTrue(outcomes.get("MODEL_FORMAT") > FILES / 10, "most damage is noticed");
    }

    private void run(int number, Path path, int fileBytes) {
        boolean mmap = number % 2 == 0;
        long allocated = THREADS.getCurrentThreadAllocatedBytes();
        long start = System.nanoTime();
        String outcome = open(path, mmap);
        long nanos = System.nanoTime() - start;
        allocated = THREADS.getCurrentThreadAllocatedBytes() - allocated;
        if (nanos > HANG_NANOS) {
            // The machine may have been busy; a file that hangs does it again.
            start = System.nanoTime();
            open(path, mmap);
            nanos = System.nanoTime() - start;
        }
        slowestNanos = Math.max(slowestNanos, nanos);
        mostAllocated = Math.max(mostAllocated, allocated);
        outcomes.merge(outcome, 1, Integer::sum);
        assertTrue(nanos < HANG_NANOS, "file " + number + " took " + nanos / 1_000_000 + " ms: " + outcome);
        assertTrue(
                allocated < MEMORY_BYTES + 8L * fileBytes,
                "file " + number + " of " + fileBytes + " bytes took " + allocated + " bytes: " + outcome);
    }

    /** What came of a file; whatever is no documented exception fails the test. */
    private String open(Path path, boolean mmap) {
        ModelOptions options = ModelOptions.builder().device(Device.CPU).threads(1).mmap(mmap).build();
        try (Model model = Model.load(path, options);
                Session session = model.newSession()) {
            int[] prompt = {0};
            try {
                prompt = model.tokenizer().encode("the h");
            } catch (UnsupportedModelException e) {
                // No tokenizer: ids alone.
            }
            session.complete(
                    prompt.length == 0 ? new int[] {0} : prompt, GenerationOptions.builder().maxTokens(1).build());
            return "loaded";
        } catch (RepriseException e) {
            examples.putIfAbsent(e.code().name(), e.getMessage());
            if (e.code() == ErrorCode.INTERNAL || e.code() == ErrorCode.OUT_OF_HOST_MEMORY) {
                fail("a damaged file led to " + e.code(), e);
            }
            return e.code().name();
        } catch (UncheckedIOException e) {
            examples.putIfAbsent("IO", e.getMessage());
            return "IO";
        } catch (IllegalArgumentException e) {
            // A vocabulary that text encodes to ids of which the model has no embedding, for example.
            examples.putIfAbsent("INVALID_ARGUMENT", e.getMessage());
            return "INVALID_ARGUMENT";
        }
    }

    private static long statusKb(String name) throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith(name + ":")) {
                return Long.parseLong(line.replaceAll("[^0-9]", ""));
            }
        }
        throw new IllegalStateException("no " + name + " in /proc/self/status");
    }
}
