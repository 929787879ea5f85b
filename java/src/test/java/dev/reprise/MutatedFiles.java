package dev.reprise;

import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * A program that damages sound files and uses them: opens each, builds the tokenizer, decodes one token. Prints what
 * came of them; ends with an exception where a file was neither loaded nor refused, took long or took much memory. Its
 * Java heap should be in memory from the start.
 */
final class MutatedFiles {
    private static final long HANG_NANOS = 1_000_000_000L;
    /** Memory that a file may cost besides its weights and 8 times its metadata. */
    private static final long MEMORY_BYTES = 1 << 20;
    /** How often a limit must be broken by the same file: the machine may be busy, or the JVM compile meanwhile. */
    private static final int TRIES = 3;
    private static final int CONTEXT_LENGTH = 16;

    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    private final Path directory;
    private final Map<String, Integer> outcomes = new TreeMap<>();
    private final Map<String, String> examples = new TreeMap<>();
    private long slowestNanos;
    private long mostMemory;

    private MutatedFiles(Path directory) {
        this.directory = directory;
    }

    /** What using a file came to. */
    private record Use(String outcome, long nanos, long memoryBytes) {}

    public static void main(String[] arguments) throws IOException {
        new MutatedFiles(Path.of(arguments[0])).run(Integer.parseInt(arguments[1]));
    }

    private void run(int count) throws IOException {
        List<byte[]> sound = List.of(
                TinyModel.bytes(TinyModel.byteVocabulary()),
                TinyModel.bytes(TestVocabulary.sentencePiece(" t", " the", "he", "t", "h", "e")),
                TinyModel.bytes(TestVocabulary.byteLevel("llama-bpe", "t h", "th e").set("eos_token_id", 2L)));
        for (byte[] file : sound) {
            check(open(TinyModel.write(directory, file), true).equals("loaded"), "a sound file is refused");
        }
        GgufMutator mutator = new GgufMutator(20260101);
        List<GgufMutator.Mutation> mutations = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            byte[] file = mutator.mutate(sound.get(i % sound.size()), mutations);
            judge(i, TinyModel.write(directory, file), file.length);
        }
        long structured = mutations.stream().filter(GgufMutator.Mutation::isStructured).count();
        System.out.printf(
                "%d files, %.1f %% of the mutations structured; slowest %.1f ms, most memory %d KB%n",
                count, 100.0 * structured / mutations.size(), slowestNanos / 1e6, mostMemory >> 10);
        outcomes.forEach((outcome, number) ->
                System.out.printf("  %-22s %6d  %s%n", outcome, number, examples.getOrDefault(outcome, "")));
        check(structured >= 0.8 * mutations.size(), "too few mutations are structured");
        check(outcomes.getOrDefault("loaded", 0) > count / 100, "some damage does no harm");
        check(outcomes.getOrDefault("MODEL_FORMAT", 0) > count / 10, "most damage is noticed");
    }

    private void judge(int number, Path path, int fileBytes) throws IOException {
        boolean mmap = number % 2 == 0;
        long allowed = MEMORY_BYTES + 8L * fileBytes;
        Use use = use(path, mmap);
        for (int i = 1; i < TRIES && (use.nanos > HANG_NANOS || use.memoryBytes > allowed); i++) {
            use = use(path, mmap);
        }
        slowestNanos = Math.max(slowestNanos, use.nanos);
        mostMemory = Math.max(mostMemory, use.memoryBytes);
        outcomes.merge(use.outcome, 1, Integer::sum);
        check(use.nanos <= HANG_NANOS, "file " + number + ": " + use);
        check(use.memoryBytes <= allowed, "file " + number + " of " + fileBytes + " bytes: " + use);
    }

    private Use use(Path path, boolean mmap) throws IOException {
        // Makes the resident memory's high-water mark what it is now.
        Files.writeString(Path.of("/proc/self/clear_refs"), "5");
        long residentBefore = statusKb("VmRSS:");
        long allocated = THREADS.getCurrentThreadAllocatedBytes();
        long start = System.nanoTime();
        String outcome = open(path, mmap);
        long nanos = System.nanoTime() - start;
        allocated = THREADS.getCurrentThreadAllocatedBytes() - allocated;
        long resident = Math.max(0, statusKb("VmHWM:") - residentBefore) << 10;
        return new Use(outcome, nanos, allocated + resident);
    }

    /** What came of a file. What is no documented exception comes out. */
    private String open(Path path, boolean mmap) {
        ModelOptions options = ModelOptions.builder().device(Device.CPU).threads(1).mmap(mmap).build();
        try (Model model = Model.load(path, options);
                Session session = model.newSession(contextOf(model))) {
            int[] prompt = promptOf(model);
            session.complete(prompt, GenerationOptions.builder().maxTokens(1).build());
            return "loaded";
        } catch (RepriseException e) {
            examples.putIfAbsent(e.code().name(), e.getMessage());
            if (e.code() == ErrorCode.INTERNAL || e.code() == ErrorCode.OUT_OF_HOST_MEMORY) {
                throw e;
            }
            return e.code().name();
        } catch (UncheckedIOException e) {
            examples.putIfAbsent("IO", e.getMessage());
            return "IO";
        }
    }

    private static SessionOptions contextOf(Model model) {
        int length = Math.min(CONTEXT_LENGTH, model.info().contextLength());
        return SessionOptions.builder().contextLength(length).build();
    }

    private static int[] promptOf(Model model) {
        if (!model.metadata().contains("tokenizer.ggml.model")) {
            return new int[] {0};
        }
        int[] ids = model.tokenizer().encode("the h");
        return ids.length == 0 ? new int[] {0} : ids;
    }

    private static void check(boolean ok, String what) {
        if (!ok) {
            throw new AssertionError(what);
        }
    }

    private static long statusKb(String name) throws IOException {
        String status = new String(Files.readAllBytes(Path.of("/proc/self/status")), StandardCharsets.US_ASCII);
        int at = status.indexOf(name) + name.length();
        return Long.parseLong(status.substring(at, status.indexOf("kB", at)).strip());
    }
}
