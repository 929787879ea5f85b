package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GenerationTest {
    private static final String PROMPT = "Once upon a time";
    private static final GenerationOptions GREEDY =
            GenerationOptions.builder().maxTokens(40).sampling(Sampling.greedy()).build();

    private static Model model;
    private Session session;

    @BeforeAll
    static void load() {
        model = StoryModel.load();
    }

    @AfterAll
    static void close() {
        model.close();
    }

    @BeforeEach
    void open() {
        session = model.newSession();
    }

    @AfterEach
    void closeSession() {
        session.close();
    }

    @Test
    void streamBlockingAndFutureFormsGiveTheSameText() throws Exception {
        StringBuilder streamed = new StringBuilder();
        session.generate(PROMPT, GREEDY).forEach(streamed::append);
        session.reset();
        Generation blocking = session.complete(PROMPT, GREEDY);
        session.reset();
        Generation future = session.completeAsync(PROMPT, GREEDY).get();
        session.reset();
        String collected = session.generate(PROMPT, GREEDY).stream().map(Token::text).collect(Collectors.joining());

        assertTrue(streamed.toString().startsWith(", there was a little girl named"), streamed.toString());
        assertEquals(streamed.toString(), blocking.text());
        assertEquals(blocking.text(), future.text());
        assertEquals(blocking.text(), collected);
        assertEquals(blocking.tokens().stream().map(Token::toString).collect(Collectors.joining()), blocking.text());
    }

    @Test
    void resultTellsReasonCountsAndSpeed() {
        Generation result = session.complete(PROMPT, GREEDY);

        assertEquals(FinishReason.MAX_TOKENS, result.finishReason());
        assertEquals(40, result.tokens().size());
        assertEquals(5, result.promptTokens());
        assertTrue(result.promptTokensPerSecond() > 0);
        assertTrue(result.decodeTokensPerSecond() > 0);
        assertEquals(45, session.position());
    }

    @Test
    void oneTokenHasNoDecodeSpeed() {
        Generation result = session.complete(PROMPT, GREEDY.toBuilder().maxTokens(1).build());

        assertEquals(1, result.tokens().size());
        assertEquals(0, result.decodeTokensPerSecond());
    }

    @Test
    void resultIsRefusedBeforeTheEnd() {
        TokenStream stream = session.generate(PROMPT, GREEDY);
        stream.iterator().next();

        assertThrows(IllegalStateException.class, stream::result);
        stream.close();
        assertEquals(FinishReason.CANCELLED, stream.result().finishReason());
        assertEquals(1, stream.result().tokens().size());
    }

    @Test
    void streamIsUsedOnce() {
        TokenStream stream = session.generate(PROMPT, GREEDY);
        Iterator<Token> tokens = stream.iterator();
        while (tokens.hasNext()) {
            tokens.next();
        }

        assertThrows(NoSuchElementException.class, tokens::next);
        assertThrows(IllegalStateException.class, stream::iterator);
        assertThrows(IllegalStateException.class, () -> stream.forEach(token -> {}));
    }

    @Test
    void decodesOnlyWhatIsTaken() {
        TokenStream stream = session.generate(PROMPT, GREEDY);
        assertEquals(0, session.statistics().generatedTokens());

        Iterator<Token> tokens = stream.iterator();
        tokens.next();
        tokens.next();
        assertEquals(2, session.statistics().generatedTokens());
        assertEquals(7, session.position());
    }

    @Test
    void leavingEarlyLeavesTheSessionUsable() {
        int[] whole = session.complete(PROMPT, GREEDY).ids();
        session.reset();

        TokenStream left = session.generate(PROMPT, GREEDY);
        List<Integer> taken = new ArrayList<>();
        for (Token token : left) {
            taken.add(token.id());
            if (taken.size() == 7) {
                break;
            }
        }
        int[] rest = session.complete(new int[0], GREEDY.toBuilder().maxTokens(33).build()).ids();

        assertArrayEquals(Arrays.copyOf(whole, 7), taken.stream().mapToInt(Integer::intValue).toArray());
        assertArrayEquals(Arrays.copyOfRange(whole, 7, 40), rest);
        assertEquals(FinishReason.CANCELLED, left.result().finishReason());
    }

    @Test
    void streamEndedByALaterCallSaysSo() {
        Iterator<Token> tokens = session.generate(PROMPT, GREEDY).iterator();
        tokens.next();
        session.generate(" and", GREEDY);

        assertThrows(IllegalStateException.class, tokens::hasNext);
    }

    @Test
    void exceptionOfTheConsumerPassesThroughAndLeavesTheSessionUsable() {
        TokenStream stream = session.generate(PROMPT, GREEDY);
        assertThrows(ArithmeticException.class, () -> stream.forEach(token -> {
            throw new ArithmeticException();
        }));

        assertEquals(6, session.position());
        assertEquals(3, session.complete(" there", GREEDY.toBuilder().maxTokens(3).build()).tokens().size());
    }

    @Test
    void beginOfTextComesFirstAndOnlyThere() {
        session.complete(PROMPT, GREEDY.toBuilder().maxTokens(2).build());
        session.complete(" and", GREEDY.toBuilder().maxTokens(2).build());

        int bos = model.tokenizer().bosToken().getAsInt();
        int[] history = session.history();
        assertEquals(bos, history[0]);
        assertEquals(1, Arrays.stream(history).filter(id -> id == bos).count());
    }

    @Test
    void beginOfTextWrittenInAParsedPromptIsNotDoubled() {
        String bos = model.tokenizer().tokenText(model.tokenizer().bosToken().getAsInt());
        session.evaluate(bos + PROMPT, true);
        int[] parsed = session.history();
        session.reset();
        session.evaluate(PROMPT, false);

        assertArrayEquals(session.history(), parsed);
    }

    @Test
    void specialTokensInPromptsAreTextUnlessParsed() {
        String bos = model.tokenizer().tokenText(model.tokenizer().bosToken().getAsInt());
        session.evaluate(PROMPT + bos, false);
        int plain = session.position();
        session.reset();
        session.evaluate(PROMPT + bos, true);

        assertEquals(6, session.position());
        assertTrue(plain > 6, "the text of " + bos + " was taken as a token");
    }

    @Test
    void endTokenEndsAndIsTheLastToken() {
        Generation result = session.complete(
                "The end of the story. They lived happily ever after. The end.",
                GenerationOptions.builder().sampling(Sampling.greedy()).build());

        assertEquals(FinishReason.END, result.finishReason());
        int[] ids = result.ids();
        assertTrue(model.tokenizer().isEndOfGeneration(ids[ids.length - 1]));
        assertEquals("", result.tokens().get(ids.length - 1).text());
        assertEquals(result.promptTokens() + ids.length, session.position());
    }

    @Test
    void contextIsFilledToItsLastSlotAndNoFurther() {
        try (Session small = model.newSession(SessionOptions.builder().contextLength(16).build())) {
            Generation result = small.complete(PROMPT, GenerationOptions.builder().sampling(Sampling.greedy()).build());
            assertEquals(FinishReason.CONTEXT_FULL, result.finishReason());
            assertEquals(16, small.position());
            assertEquals(11, result.tokens().size());

            assertThrows(ContextOverflowException.class, () -> small.complete(" more"));
            assertEquals(16, small.position());
            Generation none = small.complete("", GREEDY);
            assertEquals(FinishReason.CONTEXT_FULL, none.finishReason());
            assertTrue(none.tokens().isEmpty());

            small.rewind(5);
            assertArrayEquals(
                    Arrays.copyOf(result.ids(), 4), small.complete("", GREEDY.toBuilder().maxTokens(4).build()).ids());
        }
    }

    @Test
    void maxTokensBeyondTheContextEndsForTheContext() {
        try (Session small = model.newSession(SessionOptions.builder().contextLength(8).build())) {
            assertEquals(FinishReason.CONTEXT_FULL, small.complete(PROMPT, GREEDY).finishReason());
            small.reset();
            Generation exact = small.complete(PROMPT, GREEDY.toBuilder().maxTokens(3).build());
            assertEquals(FinishReason.MAX_TOKENS, exact.finishReason());
        }
    }

    @Test
    void sameSeedDrawsTheSameTokensAndResultTellsTheSeed() {
        GenerationOptions free = GenerationOptions.builder().maxTokens(30).build();
        Generation first = session.complete(PROMPT, free);
        session.reset();
        Generation other = session.complete(PROMPT, free);
        session.reset();
        Sampling seeded = Sampling.builder().seed(first.seed()).build();
        Generation again = session.complete(PROMPT, free.toBuilder().sampling(seeded).build());

        assertNotEquals(first.seed(), other.seed());
        assertNotEquals(first.text(), other.text());
        assertEquals(first.text(), again.text());
        assertEquals(first.seed(), again.seed());
    }

    @Test
    void logProbabilitiesComeWhereAskedFor() {
        Generation without = session.complete(PROMPT, GREEDY);
        session.reset();
        session.evaluate(PROMPT, false);
        float[] logits = session.logits();
        Generation with = session.complete("", GREEDY.toBuilder().logprobs(true).build());

        assertTrue(without.tokens().stream().allMatch(token -> Float.isNaN(token.logProbability())));
        assertTrue(with.tokens().stream().allMatch(token -> token.logProbability() <= 0));
        double sum = 0;
        for (float logit : logits) {
            sum += Math.exp(logit);
        }
        Token first = with.tokens().get(0);
        assertEquals(logits[first.id()] - Math.log(sum), first.logProbability(), 1e-4);
    }

    @Test
    void tokensComeWithTheLikeliestAlternatives() {
        Generation plain = session.complete(PROMPT, GREEDY);
        session.reset();
        session.evaluate(PROMPT, false);
        float[] logits = session.logits();
        Generation generation = session.complete("", GREEDY.toBuilder().topLogprobs(5).build());

        assertArrayEquals(plain.ids(), generation.ids());
        assertTrue(plain.tokens().stream().allMatch(token -> token.alternatives().isEmpty()));
        for (Token token : generation.tokens()) {
            List<Token.Alternative> alternatives = token.alternatives();
            assertEquals(5, alternatives.size());
            // Greedy: the token is the likeliest.
            assertEquals(token.id(), alternatives.get(0).id());
            assertEquals(token.logProbability(), alternatives.get(0).logProbability());
            for (int i = 1; i < 5; i++) {
                assertTrue(alternatives.get(i).logProbability() <= alternatives.get(i - 1).logProbability());
            }
        }
        int[] order = IntStream.range(0, logits.length).boxed()
                .sorted(Comparator.comparing((Integer id) -> -logits[id])).mapToInt(id -> id).toArray();
        Token.Alternative third = generation.tokens().get(0).alternatives().get(2);
        assertEquals(order[2], third.id());
        assertEquals(new String(model.tokenizer().tokenBytes(order[2]), StandardCharsets.UTF_8), third.text());
    }

    @Test
    void bannedTokensDoNotComeAndFavouredOnesDo() {
        int[] free = session.complete(PROMPT, GREEDY).ids();
        session.reset();
        Sampling ban = Sampling.greedy().toBuilder().logitBias(Map.of(free[0], Float.NEGATIVE_INFINITY)).build();
        int[] without = session.complete(PROMPT, GREEDY.toBuilder().sampling(ban).build()).ids();
        session.reset();
        Sampling favour = Sampling.greedy().toBuilder().logitBias(Map.of(77, 1000f)).build();
        int[] only = session.complete(PROMPT, GREEDY.toBuilder().sampling(favour).maxTokens(5).build()).ids();

        assertTrue(IntStream.of(without).noneMatch(id -> id == free[0]));
        assertArrayEquals(new int[] {77, 77, 77, 77, 77}, only);
        Sampling unknown = Sampling.greedy().toBuilder().logitBias(Map.of(1_000_000, 1f)).build();
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> session.complete(PROMPT, GREEDY.toBuilder().sampling(unknown).build()));
        assertTrue(e.getMessage().contains("1000000"), e.getMessage());
    }

    @Test
    void dryKeepsFromRepeating() {
        int id = 577;
        String text = model.tokenizer().decode(id);
        Sampling monotonous = Sampling.greedy().toBuilder().logitBias(Map.of(id, 500f)).build();
        Sampling dry = monotonous.toBuilder().dryMultiplier(1000).build();
        Sampling broken = dry.toBuilder().dryBreakers(text).build();
        GenerationOptions options = GREEDY.toBuilder().maxTokens(10).build();
        int[] always = new int[10];
        Arrays.fill(always, id);

        assertArrayEquals(always, session.complete(PROMPT, options.toBuilder().sampling(monotonous).build()).ids());
        session.reset();
        int[] ids = session.complete(PROMPT, options.toBuilder().sampling(dry).build()).ids();
        session.reset();
        int[] again = session.complete(PROMPT, options.toBuilder().sampling(broken).build()).ids();
        // Three in a row: the two in front repeat nothing, and the one behind them would repeat two.
        assertArrayEquals(new int[] {id, id, id}, Arrays.copyOf(ids, 3));
        assertNotEquals(id, ids[3]);
        assertArrayEquals(always, again, "the token ends every repetition");
    }

    @Test
    void xtcNeverTakesTheLikeliestOfSeveralTopChoices() {
        session.evaluate(PROMPT, false);
        int position = session.position();
        Sampling hot = Sampling.builder().temperature(1).topK(0).topP(1).minP(0).xtcProbability(1).xtcThreshold(0.001)
                .build();
        GenerationOptions one = GenerationOptions.builder().sampling(hot).maxTokens(1).topLogprobs(1).build();
        for (int i = 0; i < 20; i++) {
            Token token = session.complete("", one).tokens().get(0);
            assertNotEquals(token.alternatives().get(0).id(), token.id());
            session.rewind(position);
        }
    }

    @Test
    void aConstraintThatIsNoneIsRefused() {
        GenerationOptions options = GREEDY.toBuilder().constraint(Constraint.jsonSchema("{\"type\": 3}")).build();
        assertThrows(IllegalArgumentException.class, () -> session.complete(PROMPT, options));
        assertEquals(0, session.position());
        assertTrue(session.complete(PROMPT, GREEDY).complete());
    }

    @Test
    void stopStringEndsWhereverTokensBegin() {
        String whole = session.complete(PROMPT, GREEDY).text();
        for (int start = 1; start < 60; start += 7) {
            String stop = whole.substring(start, start + 9);
            session.reset();
            Generation result = session.complete(PROMPT, GREEDY.toBuilder().stop("not there", stop).build());

            assertEquals(FinishReason.STOP, result.finishReason(), stop);
            assertEquals(whole.substring(0, whole.indexOf(stop)), result.text());
            String history = model.tokenizer().decode(
                    Arrays.copyOfRange(session.history(), result.promptTokens(), session.position()));
            assertTrue(history.contains(stop), history);
        }
    }

    @Test
    void beginningOfAStopStringIsHeldBackAndDeliveredInTheEnd() {
        String whole = session.complete(PROMPT, GREEDY).text();
        String never = whole.substring(whole.length() - 5) + "#";
        session.reset();
        TokenStream stream = session.generate(PROMPT, GREEDY.toBuilder().stop(never).build());
        StringBuilder text = new StringBuilder();
        stream.forEach(text::append);

        assertEquals(whole, text.toString());
        assertEquals(whole, stream.result().text());
        assertEquals(FinishReason.MAX_TOKENS, stream.result().finishReason());
    }

    @Test
    void generationContinuesBehindAStopString() {
        Generation stopped = session.complete(PROMPT, GREEDY.toBuilder().stop(" girl").build());
        int position = session.position();
        Generation on = session.complete("", GREEDY.toBuilder().maxTokens(5).build());

        assertEquals(", there was a little", stopped.text());
        assertEquals(position + 5, session.position());
        assertTrue(on.text().startsWith(" named"), on.text());
    }

    @Test
    void nothingToContinueIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> session.complete(new int[0], GREEDY));
    }

    @Test
    void idsOutsideTheVocabularyAreRefused() {
        for (int id : new int[] {-1, 4096, Integer.MIN_VALUE}) {
            assertThrows(IllegalArgumentException.class, () -> session.generate(new int[] {5, id}, GREEDY));
        }
        assertEquals(0, session.position());
    }

    @Test
    void aMinPOfOneTakesTheLikeliestTokenAtAnyTemperature() {
        Sampling likeliest = Sampling.builder().temperature(100).topK(0).topP(1).minP(1).build();
        GenerationOptions options = GREEDY.toBuilder().sampling(likeliest).build();
        Generation expected = session.complete("Once upon a time", GREEDY);
        session.reset();

        assertEquals(expected.text(), session.complete("Once upon a time", options).text());
    }

    @Test
    void logitsThatAreNoNumbersEndAGeneration(@TempDir Path directory) {
        byte[] bytes = TinyModel.bytes(TinyModel.byteVocabulary());
        // output_norm.weight: NaN
        Arrays.fill(bytes, bytes.length - 4 * TinyModel.EMBEDDING, bytes.length, (byte) 0xff);
        try (Model damaged = Model.load(TinyModel.write(directory, bytes));
                Session ofDamaged = damaged.newSession()) {
            for (int round = 1; round <= 2; round++) {
                NanLogitsException e = assertThrows(NanLogitsException.class, () -> ofDamaged.complete("abc", GREEDY));
                assertEquals(ErrorCode.NAN_LOGITS, e.code());
                assertTrue(e.getMessage().contains("after " + 3 * round + " tokens"), e.getMessage());
                assertEquals(3 * round, ofDamaged.position());
            }
        }
    }
}
