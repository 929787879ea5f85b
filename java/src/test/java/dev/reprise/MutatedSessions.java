package dev.reprise;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A program that damages the files of saved sessions and restores them. Prints what came of them; ends with an
 * exception where a file was neither restored nor refused, took long or took much memory, or where damage went
 * unnoticed.
 */
final class MutatedSessions {
    private static final int CONTEXT_LENGTH = 64;
    /** Of a session with a context of CONTEXT_LENGTH tokens and the JVM's own needs meanwhile. */
    private static final long MEMORY_BYTES = 2 << 20;

    private final Path directory;
    private final FileJudge judge = new FileJudge();

    private MutatedSessions(Path directory) {
        this.directory = directory;
    }

    public static void main(String[] arguments) throws IOException {
        new MutatedSessions(Path.of(arguments[0])).run(Integer.parseInt(arguments[1]));
    }

    private void run(int count) throws IOException {
        Path path = TinyModel.write(directory, TinyModel.bytes(TinyModel.byteVocabulary()));
        ModelOptions options = ModelOptions.builder().device(Device.CPU).threads(1).build();
        try (Model model = Model.load(path, options)) {
            List<byte[]> sound = sessions(model);
            StateMutator mutator = new StateMutator(20260202);
            StateMutator.Mutation[] mutations = StateMutator.Mutation.values();
            Path file = directory.resolve("session");
            for (int i = 0; i < count; i++) {
                byte[] original = sound.get(i % sound.size());
                StateMutator.Mutation mutation = mutations[i / sound.size() % mutations.length];
                byte[] damaged = mutator.mutate(original, mutation);
                Files.write(file, damaged);
                boolean mayPass = mutation.isSealed() || Arrays.equals(original, damaged);
                long allowed = MEMORY_BYTES + 8L * damaged.length;
                judge.judge(mutation + " " + i, allowed, () -> restore(model, file, mayPass));
            }
        }
        System.out.print(count + " files; ");
        judge.report();
        FileJudge.check(judge.count("restored") > count / 100, "some damage is within what a session may have");
        FileJudge.check(judge.count("SESSION_FORMAT") > count / 2, "most damage is noticed");
    }

    /** Of every KV type, empty, with logits and behind a generation. */
    private List<byte[]> sessions(Model model) throws IOException {
        List<byte[]> files = new ArrayList<>();
        Path file = directory.resolve("session");
        for (KvType kvType : KvType.values()) {
            SessionOptions options = SessionOptions.builder().contextLength(CONTEXT_LENGTH).kvType(kvType).build();
            try (Session session = model.newSession(options)) {
                session.save(file);
                files.add(Files.readAllBytes(file));
                session.evaluate(new int[] {1, 2, 3});
                session.save(file);
                files.add(Files.readAllBytes(file));
                session.complete("the h", GenerationOptions.builder().maxTokens(5).build());
                session.save(file);
                files.add(Files.readAllBytes(file));
            }
        }
        return files;
    }

    /** What came of a file. What is no documented exception comes out. */
    private String restore(Model model, Path file, boolean mayPass) {
        try (Session session = model.restore(file)) {
            FileJudge.check(mayPass, "damage went unnoticed");
            session.complete(new int[] {4}, GenerationOptions.builder().maxTokens(1).build());
            return "restored";
        } catch (SessionFormatException | SessionMismatchException e) {
            return judge.outcome(e);
        } catch (NanLogitsException e) {
            return "restored";  // with keys and values that are no numbers, and so no logits
        } catch (ContextOverflowException e) {
            return "restored";  // into a context that is full
        }
    }
}
