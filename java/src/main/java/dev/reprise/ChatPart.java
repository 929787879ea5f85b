package dev.reprise;

import java.util.Objects;
import java.util.Optional;

/**
 * A piece of an answer, as it streams. {@link #toString} is what a person reads: the text of a piece of kind {@link
 * Kind#TEXT}, nothing of others.
 */
public final class ChatPart {
    /** What a piece is of. */
    public enum Kind {
        /** The answer. */
        TEXT,
        /** What the model thinks before it answers. */
        REASONING,
        /** A tool call begins: its name is known. */
        TOOL_CALL_START,
        /** A piece of the JSON text of a call's arguments. */
        TOOL_CALL_ARGUMENTS,
        /** A tool call is complete. */
        TOOL_CALL
    }

    private final Kind kind;
    private final String text;
    private final int index;
    private final ToolCall call;

    private ChatPart(Kind kind, String text, int index, ToolCall call) {
        this.kind = kind;
        this.text = text;
        this.index = index;
        this.call = call;
    }

    static ChatPart text(String text) {
        return new ChatPart(Kind.TEXT, text, -1, null);
    }

    static ChatPart reasoning(String text) {
        return new ChatPart(Kind.REASONING, text, -1, null);
    }

    static ChatPart callStart(int index, String name) {
        return new ChatPart(Kind.TOOL_CALL_START, name, index, null);
    }

    static ChatPart callArguments(int index, String fragment) {
        return new ChatPart(Kind.TOOL_CALL_ARGUMENTS, fragment, index, null);
    }

    static ChatPart call(int index, ToolCall call) {
        return new ChatPart(Kind.TOOL_CALL, "", index, Objects.requireNonNull(call));
    }

    public Kind kind() {
        return kind;
    }

    /** Text or reasoning; the tool's name where a call starts; a piece of the arguments' JSON text. */
    public String text() {
        return text;
    }

    /** Of a call: which of the answer's calls it is, counted from 0; else -1. */
    public int index() {
        return index;
    }

    /** The complete call. */
    public Optional<ToolCall> toolCall() {
        return Optional.ofNullable(call);
    }

    @Override
    public String toString() {
        return kind == Kind.TEXT ? text : "";
    }
}
