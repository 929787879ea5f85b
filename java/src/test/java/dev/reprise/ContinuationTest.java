package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.StoryModel.Continuation;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Real models say what exact arithmetic says, as far as quantised activations allow. */
class ContinuationTest {
    /** Rounded activations may flip a choice closer than this. */
    private static final double SURE = 0.6;

    @Test
    void storyModelContinuesGreedilyAsExpected() {
        try (Model model = StoryModel.load()) {
            checkFreeRunning(model, StoryModel.continuations());
        }
    }

    @Test
    void storyModelAgreesAlongTheExpectedTokens() {
        try (Model model = StoryModel.load()) {
            checkAlong(model, StoryModel.continuations(), 0.96);
        }
    }

    @Test
    void smolLmContinuesGreedilyAsExpected() throws IOException {
        List<Continuation> expected = smolLmContinuations();
        try (Model model = loadSmolLm()) {
            checkFreeRunning(model, expected);
        }
    }

    @Test
    void smolLmAgreesAlongTheExpectedTokens() throws IOException {
        List<Continuation> expected = smolLmContinuations();
        try (Model model = loadSmolLm()) {
            checkAlong(model, expected, 0.97);
        }
    }

    private static List<Continuation> smolLmContinuations() throws IOException {
        return Continuation.parse(Files.readString(TestData.path("models/expected.json")));
    }

    private static Model loadSmolLm() {
        return Model.load(TestData.path("models/SmolLM2-135M-Instruct-Q4_1.gguf"));
    }

    private static void checkFreeRunning(Model model, List<Continuation> expected) {
        try (Session session = model.newSession()) {
            for (Continuation continuation : expected) {
                if (continuation.stable() == 0) {
                    continue;
                }
                session.reset();
                GenerationOptions options = GenerationOptions.builder()
                        .maxTokens(continuation.stable())
                        .sampling(Sampling.greedy())
                        .parseSpecialTokens(true)
                        .build();
                Generation result = session.complete(continuation.prompt(), options);
                int[] prompt = Arrays.copyOf(session.history(), result.promptTokens());
                assertArrayEquals(continuation.promptIds(), prompt, "prompt: " + continuation);
                int[] stable = Arrays.copyOf(continuation.ids(), continuation.stable());
                assertArrayEquals(stable, result.ids(), "after: " + continuation);
            }
        }
    }

    private static void checkAlong(Model model, List<Continuation> expected, double share) {
        int positions = 0;
        int agreeing = 0;
        try (Session session = model.newSession()) {
            for (Continuation continuation : expected) {
                session.reset();
                session.evaluate(continuation.promptIds());
                for (int i = 0; i < continuation.ids().length; i++) {
                    int best = largest(session.logits());
                    boolean agrees = best == continuation.ids()[i];
                    int at = i;
                    assertTrue(
                            agrees || continuation.margins()[i] <= SURE,
                            () -> "token " + at + " after: " + continuation + " is " + best);
                    positions++;
                    agreeing += agrees ? 1 : 0;
                    session.evaluate(new int[] {continuation.ids()[i]});
                }
            }
        }
        System.out.printf("%d of %d positions agree%n", agreeing, positions);
        assertTrue(agreeing >= share * positions, agreeing + " of " + positions + " positions agree");
    }

    private static int largest(float[] logits) {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            if (logits[i] > logits[best]) {
                best = i;
            }
        }
        return best;
    }
}
