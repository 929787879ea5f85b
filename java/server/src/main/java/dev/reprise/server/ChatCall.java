package dev.reprise.server;

import dev.reprise.ChatOptions;
import dev.reprise.GenerationOptions;
import dev.reprise.Message;
import dev.reprise.Sampling;
import java.util.List;

/**
 * A conversation to answer.
 *
 * @param sampling of the first answer; the others count its seed on
 * @param answers how many are wanted
 * @param severalCalls whether an answer may call more than one tool
 * @param formatParam the parameter that says which form the answer has
 */
record ChatCall(
        List<Message> messages,
        ChatOptions options,
        GenerationOptions generation,
        Sampling sampling,
        int answers,
        boolean severalCalls,
        String formatParam) {
    /** The options of an answer. */
    ChatOptions optionsOf(int answer) {
        Sampling.Builder drawn = sampling.toBuilder();
        if (answer > 0) {
            sampling.seed().ifPresent(seed -> drawn.seed(seed + answer));
        }
        return options.toBuilder().generation(generation.toBuilder().sampling(drawn.build()).build()).build();
    }
}
