package dev.reprise;

/**
 * A generated token.
 *
 * @param id its id in the vocabulary
 * @param text the text that the token completes; empty for one that ends within a character, that may be the beginning
 *     of a stop string, or that is a special token (see
 *     {@link GenerationOptions.Builder#showSpecialTokens}). The texts of a generation's tokens together are its text.
 * @param logProbability the natural logarithm of its probability under the model's unmodified logits; NaN unless
 *     {@link GenerationOptions.Builder#logprobs} asks for it
 */
public record Token(int id, String text, float logProbability) {
    /** The text. */
    @Override
    public String toString() {
        return text;
    }
}
