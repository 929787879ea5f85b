package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

class OptionsTest {
    @Test
    void valuesOutsideTheirRangeAreRefusedByName() {
        refused("temperature", b -> b.temperature(-1));
        refused("temperature", b -> b.temperature(Double.NaN));
        refused("temperature", b -> b.temperature(1e-6));
        refused("topK", b -> b.topK(-1));
        refused("topP", b -> b.topP(0));
        refused("topP", b -> b.topP(1.01));
        refused("minP", b -> b.minP(1.01));
        refused("minP", b -> b.minP(-0.1));
        refused("repeatPenalty", b -> b.repeatPenalty(0));
        refused("presencePenalty", b -> b.presencePenalty(Double.POSITIVE_INFINITY));
        refused("frequencyPenalty", b -> b.frequencyPenalty(-2000));
        refused("dryMultiplier", b -> b.dryMultiplier(-0.1));
        refused("dryMultiplier", b -> b.dryMultiplier(Double.NaN));
        refused("dryBase", b -> b.dryBase(0.9));
        refused("dryAllowedLength", b -> b.dryAllowedLength(0));
        refused("dryLastN", b -> b.dryLastN(-2));
        refused("one of dryBreakers", b -> b.dryBreakers("\n", ""));
        refused("xtcProbability", b -> b.xtcProbability(1.1));
        refused("xtcThreshold", b -> b.xtcThreshold(0));
        refused("xtcThreshold", b -> b.xtcThreshold(1e-60));
        refused("logitBias of token 7", b -> b.logitBias(Map.of(7, Float.NaN)));
        refused("logitBias of token 7", b -> b.logitBias(Map.of(7, Float.POSITIVE_INFINITY)));
        refused("logitBias", b -> b.logitBias(Map.of(-1, 1f)));
        assertThrows(IllegalArgumentException.class, () -> GenerationOptions.builder().maxTokens(0));
        for (int n : new int[] {-1, 21}) {
            assertThrows(IllegalArgumentException.class, () -> GenerationOptions.builder().topLogprobs(n));
        }
        assertThrows(IllegalArgumentException.class, () -> GenerationOptions.builder().stop("a", ""));
        assertThrows(IllegalArgumentException.class, () -> SessionOptions.builder().contextLength(-1));
        for (int n : new int[] {-11, 11}) {
            assertThrows(IllegalArgumentException.class, () -> SessionOptions.builder().priority(n));
        }
        assertThrows(IllegalArgumentException.class, () -> ModelOptions.builder().threads(-1));
        assertThrows(IllegalArgumentException.class, () -> ModelOptions.builder().deviceMemoryLimit(-1));
        assertThrows(IllegalArgumentException.class, () -> ModelOptions.builder().kvMemory(-1));
    }

    private static void refused(String name, Consumer<Sampling.Builder> setter) {
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> setter.accept(Sampling.builder()));
        assertTrue(e.getMessage().startsWith(name), e.getMessage());
    }

    @Test
    void everySamplingOptionReachesTheNativeLibrary() {
        try (Model model = StoryModel.load();
                Session session = model.newSession()) {
            // Values that it takes; that they do what they say is tested natively.
            Sampling sampling = Sampling.builder()
                    .temperature(1.3).topK(7).topP(0.5).minP(0.2).repeatPenalty(1.3).presencePenalty(-0.5)
                    .frequencyPenalty(0.7).seed(-1).build();
            GenerationOptions options = GenerationOptions.builder().maxTokens(20).sampling(sampling).build();
            Generation first = session.complete("Once upon a time", options);
            session.reset();
            assertEquals(first.text(), session.complete("Once upon a time", options).text());
            assertEquals(-1, first.seed());

            session.reset();
            Sampling repeating = Sampling.greedy().toBuilder().repeatPenalty(0.001).build();
            int[] ids = session.complete(
                    "Once upon a time", options.toBuilder().sampling(repeating).build()).ids();
            assertTrue(List.of(842, 929, 259, 564, ids[0]).contains(ids[19]), "a token of the history comes again");
        }
    }

    @Test
    void aBuilderStartsAtWhatItComesFrom() {
        Sampling sampling = Sampling.builder().temperature(0.3).topK(5).topP(0.6).minP(0.1).repeatPenalty(1.1)
                .presencePenalty(0.2).frequencyPenalty(0.4).dryMultiplier(0.8).dryBase(2).dryAllowedLength(3)
                .dryLastN(99).dryBreakers("x").xtcProbability(0.5).xtcThreshold(0.2).logitBias(Map.of(3, -1f)).seed(9)
                .build();
        GenerationOptions options = GenerationOptions.builder().maxTokens(3).stop("x", "y").sampling(sampling)
                .parseSpecialTokens(true).logprobs(true).topLogprobs(4).constraint(Constraint.regex("a+")).build();

        assertEquals(sampling, sampling.toBuilder().build());
        assertEquals(options, options.toBuilder().build());
        assertEquals(options.hashCode(), options.toBuilder().build().hashCode());
        assertNotEquals(sampling, Sampling.defaults());
        assertNotEquals(options, options.toBuilder().maxTokens(4).build());
        assertNotEquals(options, options.toBuilder().topLogprobs(5).build());
        assertNotEquals(options, options.toBuilder().constraint(null).build());
        List<Consumer<Sampling.Builder>> changes = List.of(
                b -> b.dryMultiplier(1), b -> b.dryBase(3), b -> b.dryAllowedLength(4), b -> b.dryLastN(-1),
                b -> b.dryBreakers(), b -> b.xtcProbability(0.4), b -> b.xtcThreshold(0.3), b -> b.logitBias(Map.of()));
        for (Consumer<Sampling.Builder> change : changes) {
            Sampling.Builder builder = sampling.toBuilder();
            change.accept(builder);
            assertNotEquals(sampling, builder.build());
            assertNotEquals(sampling.toString(), builder.build().toString());
        }
    }

    @Test
    void laterChangesToABuilderDoNotReachWhatWasBuilt() {
        GenerationOptions.Builder builder = GenerationOptions.builder().maxTokens(3);
        GenerationOptions built = builder.build();
        builder.maxTokens(4).stop("z");
        assertEquals(3, built.maxTokens().getAsInt());
        assertEquals(List.of(), built.stop());
    }

    @Test
    void aBuilderThatStartsAtOptionsMakesTheirEquals() {
        ModelOptions model = ModelOptions.builder()
                .device(Device.CPU)
                .deviceIndex(1)
                .deviceMemoryLimit(1000)
                .kvMemory(2000)
                .threads(3)
                .mmap(false)
                .exact(true)
                .progress((done, total) -> {})
                .build();
        assertEquals(model, model.toBuilder().build());
        assertEquals(model.hashCode(), model.toBuilder().build().hashCode());
        assertNotEquals(model, model.toBuilder().threads(2).build());
        assertNotEquals(model, model.toBuilder().kvMemory(2001).build());
        assertNotEquals(model, ModelOptions.defaults());
        assertEquals(ModelOptions.defaults(), ModelOptions.builder().build());
        SessionOptions session = SessionOptions.builder()
                .contextLength(99)
                .kvType(KvType.F16)
                .graphMode(GraphMode.EAGER)
                .prefixSharing(false)
                .priority(3)
                .build();
        assertEquals(session, session.toBuilder().build());
        assertNotEquals(session, session.toBuilder().contextLength(98).build());
        assertNotEquals(session, session.toBuilder().prefixSharing(true).build());
        assertNotEquals(session, session.toBuilder().priority(-3).build());
        assertEquals(SessionOptions.defaults(), SessionOptions.defaults().toBuilder().build());
    }
}
