package dev.reprise.bench.compare;

import com.fasterxml.jackson.annotation.JsonIgnore;
import java.util.List;

/** What a comparison measured, as it stands in {@code results.json}. Times are in seconds unless named otherwise. */
final class Results {
    private Results() {}

    /** One run of {@code compare.sh}. */
    record Run(String date, String commit, String command, Machine machine, int rounds, int maxTokens, List<Peer> peers,
            List<ModelRun> models) {}

    /** {@code gpu} is null where there is none. */
    record Machine(String cpu, int threads, long memoryBytes, String system, String java, String gpu) {}

    /** A program of the comparison. {@code note} says what was not found, or what failed. */
    record Peer(String name, boolean found, String version, String note) {}

    /**
     * One model. {@code bytesPerToken} are the weights that one decoded token reads, {@code readBandwidth} is what the
     * device's memory delivers, in bytes per second; 0 where not known.
     */
    record ModelRun(String file, long fileBytes, String architecture, long parameters, int context, String device,
            long bytesPerToken, double readBandwidth, List<EngineTest> engine, List<SequencesTest> sequences,
            List<Agreement> agreement, List<ApplicationRun> applications, List<TogetherRun> together) {
        /** Files of before there were {@code sequences} and {@code together} have none. */
        ModelRun {
            sequences = sequences == null ? List.of() : sequences;
            together = together == null ? List.of() : together;
        }

        /** Tokens per second that reading the weights alone would allow; 0 where not known. */
        @JsonIgnore
        double floor() {
            return bytesPerToken == 0 ? 0 : readBandwidth / bytesPerToken;
        }
    }

    /** Tokens per second of prefilling or decoding {@code tokens} behind {@code depth} others, one sample a round. */
    record EngineTest(String engine, boolean decode, int tokens, int depth, List<Double> samples) {
        @JsonIgnore
        String label() {
            return (decode ? "tg" : "pp") + tokens + (depth > 0 ? " @ d" + depth : "");
        }
    }

    /**
     * Tokens per second of so many sequences together, each of which decodes {@code tokens} behind {@code prompt}
     * others; one sample a round.
     */
    record SequencesTest(String engine, int sequences, int prompt, int tokens, List<Double> samples) {}

    /**
     * So many requests to an application at the same time: tokens per second of all of them from the first request to
     * the last token, one sample a round, and quantiles of the time between one piece of text and the next.
     */
    record TogetherRun(String name, String transport, int requests, List<Double> samples, double gapP50Millis,
            double gapP99Millis) {}

    /**
     * Whether an application's text is Reprise's. {@code firstDifference} is the index of Reprise's token that the
     * other text does not have, -1 if there is none; {@code margin} is how far Reprise's best logit is ahead of its
     * second there, null if there is no difference.
     */
    record Agreement(String application, int prompt, int tokens, int firstDifference, Double margin, String repriseText,
            String otherText) {
        @JsonIgnore
        boolean agrees() {
            return firstDifference < 0;
        }
    }

    /** {@code transport} is "in-process" or "HTTP". Bytes are 0 where not known. */
    record ApplicationRun(String name, String transport, double loadSeconds, long hostBytes, long deviceBytes,
            List<Request> requests) {}

    /** One prompt in one round. */
    record Request(int prompt, int round, Reply reply) {}

    /**
     * What came back.
     *
     * @param promptTokens as the application counts them
     * @param tokens generated
     * @param pieces the text, in the pieces that arrived
     * @param firstToken from the request to the first piece
     * @param total from the request to the end
     * @param gapMicros between one piece and the next
     * @param prefillPerSecond by the application's own timing
     * @param decodePerSecond by the application's own timing
     * @param outsideNativeMicros per token, what Java spends outside of the native calls; null for others
     */
    record Reply(int promptTokens, int tokens, List<String> pieces, double firstToken, double total,
            List<Integer> gapMicros, double prefillPerSecond, double decodePerSecond, Double outsideNativeMicros) {
        @JsonIgnore
        String text() {
            return String.join("", pieces);
        }

        /** As the caller sees it: pieces behind the first one by the time that they took. */
        @JsonIgnore
        double seenDecodePerSecond() {
            return tokens < 2 ? 0 : (tokens - 1) / (total - firstToken);
        }

        /** Without the text, which only the agreement needs. */
        Reply withoutText() {
            return new Reply(promptTokens, tokens, List.of(), firstToken, total, gapMicros, prefillPerSecond,
                    decodePerSecond, outsideNativeMicros);
        }
    }
}
