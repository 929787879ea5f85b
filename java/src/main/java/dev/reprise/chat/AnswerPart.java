package dev.reprise.chat;

import dev.reprise.ToolCall;

/** A piece of an answer that {@link AnswerParser} is certain about. */
public sealed interface AnswerPart {
    /** What a person reads. */
    record Text(String text) implements AnswerPart {}

    /** What the model thinks before it answers. */
    record Reasoning(String text) implements AnswerPart {}

    /** A call of a tool begins. Void if no {@link CallEnd} of the index follows: what was malformed comes as text. */
    record CallStart(int index, String name) implements AnswerPart {}

    /** A piece of the JSON text of the arguments; all pieces of a call together are its {@link ToolCall#arguments}. */
    record CallArguments(int index, String fragment) implements AnswerPart {}

    /** A call is complete. */
    record CallEnd(int index, ToolCall call) implements AnswerPart {}
}
