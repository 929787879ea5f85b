package dev.reprise;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * A program that damages sound files and uses them: opens each, builds the tokenizer, decodes one token. Prints what
 * came of them; ends with an exception where a file was neither loaded nor refused, took long or took much memory.
 */
final class MutatedFiles {
    /** Memory that a file may cost besides its weights and 8 times its metadata. */
    private static final long MEMORY_BYTES = 1 << 20;
    private static final int CONTEXT_LENGTH = 16;

    /** Says nothing: damaged files give a warning each. Held, since loggers are else forgotten with their level. */
    private static final Logger LOGGER = Logger.getLogger("dev.reprise");

    private final Path directory;
    private final FileJudge judge = new FileJudge();

    private MutatedFiles(Path directory) {
        this.directory = directory;
    }

    public static void main(String[] arguments) throws IOException {
        LOGGER.setLevel(Level.OFF);
        new MutatedFiles(Path.of(arguments[0])).run(Integer.parseInt(arguments[1]));
    }

    private void run(int count) throws IOException {
        List<byte[]> sound = List.of(
                TinyModel.bytes(TinyModel.byteVocabulary()),
                TinyModel.bytes(TestVocabulary.sentencePiece(" t", " the", "he", "t", "h", "e")),
                TinyModel.bytes(TestVocabulary.byteLevel("llama-bpe", "t h", "th e").set("eos_token_id", 2L)));
        for (byte[] file : sound) {
            String outcome = open(TinyModel.write(directory, file), true);
            FileJudge.check(outcome.equals("loaded"), "a sound file is refused");
        }
        GgufMutator mutator = new GgufMutator(20260101);
        List<GgufMutator.Mutation> mutations = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            byte[] file = mutator.mutate(sound.get(i % sound.size()), mutations);
            Path path = TinyModel.write(directory, file);
            boolean mmap = i % 2 == 0;
            judge.judge("file " + i, MEMORY_BYTES + 8L * file.length, () -> open(path, mmap));
        }
        long structured = mutations.stream().filter(GgufMutator.Mutation::isStructured).count();
        double percent = 100.0 * structured / mutations.size();
        System.out.printf("%d files, %.1f %% of the mutations structured; ", count, percent);
        judge.report();
        FileJudge.check(structured >= 0.8 * mutations.size(), "too few mutations are structured");
        FileJudge.check(judge.count("loaded") > count / 100, "some damage does no harm");
        FileJudge.check(judge.count("MODEL_FORMAT") > count / 10, "most damage is noticed");
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
            if (e.code() == ErrorCode.INTERNAL || e.code() == ErrorCode.OUT_OF_HOST_MEMORY) {
                throw e;
            }
            return judge.outcome(e);
        } catch (UncheckedIOException e) {
            return judge.outcome(e);
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
}
