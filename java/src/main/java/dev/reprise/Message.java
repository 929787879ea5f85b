package dev.reprise;

import java.util.List;
import java.util.Objects;
import java.util.Optional;

/**
 * A part of a conversation. Immutable.
 *
 * <p>Its text is never taken for anything but text: what looks like a control token of a model in it stays text.
 */
public final class Message {
    private final Role role;
    private final List<String> parts;
    private final String reasoning;
    private final List<ToolCall> toolCalls;
    private final String toolCallId;
    private final String name;

    private Message(Builder builder) {
        role = builder.role;
        parts = builder.parts;
        reasoning = builder.reasoning;
        toolCalls = builder.toolCalls;
        toolCallId = builder.toolCallId;
        name = builder.name;
    }

    /** Instructions that hold for the whole conversation. */
    public static Message system(String text) {
        return builder(Role.SYSTEM).text(text).build();
    }

    /** What a user says. */
    public static Message user(String text) {
        return builder(Role.USER).text(text).build();
    }

    /** What the model has said; for more than text, {@link #builder}. */
    public static Message assistant(String text) {
        return builder(Role.ASSISTANT).text(text).build();
    }

    /** The answer of a tool to a call: text, most often JSON. */
    public static Message tool(ToolCall call, String result) {
        return builder(Role.TOOL).text(result).toolCallId(call.id()).name(call.name()).build();
    }

    /** A builder of a message without text. */
    public static Builder builder(Role role) {
        return new Builder(role);
    }

    public Role role() {
        return role;
    }

    /** The text: all {@link #parts} in a row. Empty if there is none. */
    public String text() {
        return String.join("", parts);
    }

    /** The parts of the text, as they were given. */
    public List<String> parts() {
        return parts;
    }

    /** What the model thought before its answer. */
    public Optional<String> reasoning() {
        return Optional.ofNullable(reasoning);
    }

    /** The calls that the model asks for. */
    public List<ToolCall> toolCalls() {
        return toolCalls;
    }

    /** Of a tool's answer: the call that it belongs to. */
    public Optional<String> toolCallId() {
        return Optional.ofNullable(toolCallId);
    }

    /** Of a tool's answer: the tool's name. Of others: who speaks, for templates that show it. */
    public Optional<String> name() {
        return Optional.ofNullable(name);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Message that
                && role == that.role
                && parts.equals(that.parts)
                && Objects.equals(reasoning, that.reasoning)
                && toolCalls.equals(that.toolCalls)
                && Objects.equals(toolCallId, that.toolCallId)
                && Objects.equals(name, that.name);
    }

    @Override
    public int hashCode() {
        return Objects.hash(role, parts, reasoning, toolCalls, toolCallId, name);
    }

    @Override
    public String toString() {
        return role.text() + ": " + text() + (toolCalls.isEmpty() ? "" : " " + toolCalls);
    }

    /** Collects a message's parts. */
    public static final class Builder {
        private final Role role;
        private List<String> parts = List.of();
        private String reasoning;
        private List<ToolCall> toolCalls = List.of();
        private String toolCallId;
        private String name;

        private Builder(Role role) {
            this.role = Objects.requireNonNull(role, "role");
        }

        /** The text, in one part or several. */
        public Builder text(String... parts) {
            this.parts = List.of(parts);
            return this;
        }

        /** What the model thought before this answer. */
        public Builder reasoning(String reasoning) {
            this.reasoning = reasoning;
            return this;
        }

        /** Calls that the model asks for. */
        public Builder toolCalls(List<ToolCall> toolCalls) {
            this.toolCalls = List.copyOf(toolCalls);
            return this;
        }

        /** The call that a tool's answer belongs to. */
        public Builder toolCallId(String toolCallId) {
            this.toolCallId = toolCallId;
            return this;
        }

        /** The tool's name, or who speaks. */
        public Builder name(String name) {
            this.name = name;
            return this;
        }

        /**
         * The message.
         *
         * @throws IllegalArgumentException if it has what its role does not: only an assistant reasons and calls tools,
         *     only a tool answers a call
         */
        public Message build() {
            if (role != Role.ASSISTANT && (reasoning != null || !toolCalls.isEmpty())) {
                throw new IllegalArgumentException("a message of the role " + role.text()
                        + " has reasoning or tool calls: only those of the assistant do");
            }
            if (role != Role.TOOL && toolCallId != null) {
                throw new IllegalArgumentException(
                        "a message of the role " + role.text() + " answers a call: only those of a tool do");
            }
            return new Message(this);
        }
    }
}
