package dev.reprise.server;

import dev.reprise.ChatAnswer;
import dev.reprise.ChatPart;
import dev.reprise.Token;
import java.util.List;

/** Tells a client of the answers to a chat in the words of its protocol: each in turn, from beginning to end. */
interface AnswerWriter {
    /** The prompt of an answer is evaluated. */
    void begin(int choice, Usage usage) throws InterruptedException;

    /** A piece of it, and the tokens that were generated since the last one. */
    void part(int choice, ChatPart part, List<Token> tokens) throws InterruptedException;

    /** The end of it. */
    void end(int choice, ChatAnswer answer) throws InterruptedException;

    /** There is no further answer. */
    void finish(Usage usage) throws InterruptedException;
}
