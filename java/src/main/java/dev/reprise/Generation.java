package dev.reprise;

import java.util.List;

/**
 * What a generation came to.
 *
 * @param text the generated text, without the stop string that ended it and, unless asked for, without special tokens
 * @param tokens the generated tokens, the end token included
 * @param finishReason why it ended
 * @param promptTokens how many tokens the prompt had; those of earlier calls do not count
 * @param promptTokensPerSecond the speed at which the prompt was evaluated; 0 if there was none
 * @param decodeTokensPerSecond the speed at which the tokens behind the first one were decoded, time spent outside of
 *     Reprise not counted; 0 if there are none
 * @param seed the seed that the tokens were drawn with
 */
public record Generation(
        String text,
        List<Token> tokens,
        FinishReason finishReason,
        int promptTokens,
        double promptTokensPerSecond,
        double decodeTokensPerSecond,
        long seed) {
    /** Keeps a copy of {@code tokens}. */
    public Generation {
        tokens = List.copyOf(tokens);
    }

    /** The ids of the tokens. */
    public int[] ids() {
        int[] ids = new int[tokens.size()];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = tokens.get(i).id();
        }
        return ids;
    }
}
