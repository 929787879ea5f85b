package dev.reprise.server;

import dev.reprise.GenerationOptions;
import dev.reprise.Sampling;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.DoubleConsumer;
import java.util.function.IntConsumer;

/** Reads from a request how tokens are drawn and where a text ends. What it does not say is Reprise's default. */
final class Sampler {
    private static final int MOST_STOPS = 64;
    /** A probability that only the likeliest token reaches: what 0 asks for. */
    private static final double TINY_TOP_P = 1e-6;

    private final Fields fields;
    private final Sampling.Builder sampling = Sampling.builder();

    private Sampler(Fields fields) {
        this.fields = fields;
    }

    /** All that the protocols know, and what llama.cpp and others add to them. */
    static Sampling.Builder read(Fields fields) {
        Sampler sampler = new Sampler(fields);
        sampler.read();
        return sampler.sampling;
    }

    private void read() {
        number("temperature", "temperature", sampling::temperature);
        number("top_p", "topP", value -> sampling.topP(value == 0 ? TINY_TOP_P : value));
        integer("top_k", "topK", value -> sampling.topK(Math.max(0, value)), -1);
        number("min_p", "minP", sampling::minP);
        number("repeat_penalty", "repeatPenalty", sampling::repeatPenalty);
        number("repetition_penalty", "repeatPenalty", sampling::repeatPenalty);
        number("presence_penalty", "presencePenalty", sampling::presencePenalty);
        number("frequency_penalty", "frequencyPenalty", sampling::frequencyPenalty);
        number("dry_multiplier", "dryMultiplier", sampling::dryMultiplier);
        number("dry_base", "dryBase", sampling::dryBase);
        integer("dry_allowed_length", "dryAllowedLength", sampling::dryAllowedLength, 0);
        integer("dry_penalty_last_n", "dryLastN", sampling::dryLastN, -1);
        number("xtc_probability", "xtcProbability", sampling::xtcProbability);
        number("xtc_threshold", "xtcThreshold", sampling::xtcThreshold);
        if (fields.has("dry_sequence_breakers")) {
            checked("dry_sequence_breakers", "dryBreakers",
                    () -> sampling.dryBreakers(fields.texts("dry_sequence_breakers").toArray(new String[0])));
        }
        fields.object("logit_bias").ifPresent(this::readBias);
        fields.wholeNumber("seed").ifPresent(sampling::seed);
    }

    private void readBias(Fields bias) {
        Map<Integer, Float> byId = new LinkedHashMap<>();
        for (Object key : bias.map().keySet()) {
            String id = (String) key;
            try {
                bias.number(id).ifPresent(value -> byId.put(Integer.valueOf(id), value.floatValue()));
            } catch (NumberFormatException e) {
                throw fields.bad("logit_bias", "has the key " + id + ", which is no token id");
            }
        }
        checked("logit_bias", "logitBias", () -> sampling.logitBias(byId));
    }

    private void number(String key, String name, DoubleConsumer setter) {
        fields.number(key).ifPresent(value -> checked(key, name, () -> setter.accept(value)));
    }

    private void integer(String key, String name, IntConsumer setter, int least) {
        fields.integer(key, least, Integer.MAX_VALUE)
                .ifPresent(value -> checked(key, name, () -> setter.accept(value)));
    }

    /** What a builder complains of is the request's parameter. */
    private void checked(String key, String name, Runnable setter) {
        try {
            setter.run();
        } catch (IllegalArgumentException e) {
            String path = fields.path(key);
            throw ApiException.badRequest(null, path, e.getMessage().replace(name, path), e);
        }
    }

    /** Where a text ends. */
    static void readStop(Fields fields, String key, GenerationOptions.Builder generation) {
        List<String> stop = fields.texts(key);
        if (stop.size() > MOST_STOPS) {
            throw fields.bad(key, "has " + stop.size() + " texts, at most " + MOST_STOPS + " are allowed");
        }
        if (stop.contains("")) {
            throw fields.bad(key, "has an empty text, which would end every answer at once");
        }
        generation.stop(stop.toArray(new String[0]));
    }
}
