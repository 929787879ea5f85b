package dev.reprise;

import java.util.List;

/** What a model has answered. Immutable. */
public final class ChatAnswer {
    private final Message message;
    private final FinishReason finishReason;
    private final List<Token> tokens;
    private final int promptTokens;
    private final int evaluatedTokens;
    private final long seed;
    private final boolean constraintMet;

    ChatAnswer(Message message, FinishReason finishReason, List<Token> tokens, int promptTokens, int evaluatedTokens,
            long seed, boolean constraintMet) {
        this.message = message;
        this.finishReason = finishReason;
        this.tokens = List.copyOf(tokens);
        this.promptTokens = promptTokens;
        this.evaluatedTokens = evaluatedTokens;
        this.seed = seed;
        this.constraintMet = constraintMet;
    }

    /** The answer as the chat's history has it: text, reasoning and tool calls. */
    public Message message() {
        return message;
    }

    /** The answer's text, without reasoning and tool calls. */
    public String text() {
        return message.text();
    }

    /** The tools that the model wants called; answer with {@link Message#tool}. */
    public List<ToolCall> toolCalls() {
        return message.toolCalls();
    }

    /** Why it ended. */
    public FinishReason finishReason() {
        return finishReason;
    }

    /** All tokens that were generated, those of reasoning, markers and the end included. */
    public List<Token> tokens() {
        return tokens;
    }

    /** How many tokens the conversation had in front of the answer. */
    public int promptTokens() {
        return promptTokens;
    }

    /** How many of them had to be evaluated: those that earlier turns had not left. */
    public int evaluatedTokens() {
        return evaluatedTokens;
    }

    /** What the random numbers came from. */
    public long seed() {
        return seed;
    }

    /** Whether a constraint, if there was one, holds for the whole text: false where the answer was cut. */
    public boolean constraintMet() {
        return constraintMet;
    }

    /** The ids of the tokens. */
    public int[] ids() {
        return tokens.stream().mapToInt(Token::id).toArray();
    }

    @Override
    public String toString() {
        return text();
    }
}
