package dev.reprise.cli;

import dev.reprise.Sampling;
import java.util.LinkedHashMap;
import java.util.Map;
import picocli.CommandLine.Option;

/** How tokens are drawn. */
final class SamplingOptions {
    @Option(
            names = "--temp",
            paramLabel = "T",
            description = "Temperature; 0 always takes the likeliest token (default: 0.7).")
    private Double temperature;

    @Option(names = "--top-k", paramLabel = "K", description = "Only the K likeliest tokens; 0: all (default: 40).")
    private Integer topK;

    @Option(
            names = "--top-p",
            paramLabel = "P",
            description = "Only the likeliest tokens of together this probability; 1: all (default: 0.95).")
    private Double topP;

    @Option(
            names = "--min-p",
            paramLabel = "P",
            description =
                    "Only tokens this probable relative to the likeliest; 0: all, 1: that one alone (default: 0.05).")
    private Double minP;

    @Option(names = "--repeat-penalty", paramLabel = "X",
            description = "Makes tokens seen less likely; 1: off (default).")
    private Double repeatPenalty;

    @Option(names = "--presence-penalty", paramLabel = "X",
            description = "Taken off the logits of tokens seen; 0: off.")
    private Double presencePenalty;

    @Option(names = "--frequency-penalty", paramLabel = "X", description = "The same for every time seen; 0: off.")
    private Double frequencyPenalty;

    @Option(
            names = "--dry-multiplier",
            paramLabel = "X",
            description = "How hard DRY works against repeated sequences; 0: off (default), 0.8 is usual.")
    private Double dryMultiplier;

    @Option(
            names = "--xtc-probability",
            paramLabel = "P",
            description = "How often XTC leaves out the top choices but the least likely of them; 0: never (default).")
    private Double xtcProbability;

    @Option(
            names = "--xtc-threshold",
            paramLabel = "P",
            description = "How probable a token is that XTC takes for a top choice (default: 0.1).")
    private Double xtcThreshold;

    @Option(
            names = "--logit-bias",
            paramLabel = "ID=BIAS",
            description = "Added to the logit of one token; -Infinity bans it; may be given several times.")
    private Map<Integer, Float> logitBias = new LinkedHashMap<>();

    @Option(
            names = "--seed",
            paramLabel = "N",
            description = "What the random numbers come from (default: another one each time).")
    private Long seed;

    Sampling sampling() {
        Sampling.Builder builder = Sampling.builder();
        if (temperature != null) {
            builder.temperature(temperature);
        }
        if (topK != null) {
            builder.topK(topK);
        }
        if (topP != null) {
            builder.topP(topP);
        }
        if (minP != null) {
            builder.minP(minP);
        }
        if (repeatPenalty != null) {
            builder.repeatPenalty(repeatPenalty);
        }
        if (presencePenalty != null) {
            builder.presencePenalty(presencePenalty);
        }
        if (frequencyPenalty != null) {
            builder.frequencyPenalty(frequencyPenalty);
        }
        if (dryMultiplier != null) {
            builder.dryMultiplier(dryMultiplier);
        }
        if (xtcProbability != null) {
            builder.xtcProbability(xtcProbability);
        }
        if (xtcThreshold != null) {
            builder.xtcThreshold(xtcThreshold);
        }
        if (seed != null) {
            builder.seed(seed);
        }
        return builder.logitBias(logitBias).build();
    }
}
