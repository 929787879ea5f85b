package dev.reprise;

import java.util.Objects;
import java.util.Optional;

/** Whether a model may or must call tools in its answer. Immutable. */
public final class ToolChoice {
    private static final ToolChoice AUTO = new ToolChoice("auto", null);
    private static final ToolChoice NONE = new ToolChoice("none", null);
    private static final ToolChoice REQUIRED = new ToolChoice("required", null);

    private final String kind;
    private final String name;

    private ToolChoice(String kind, String name) {
        this.kind = kind;
        this.name = name;
    }

    /** The model decides. */
    public static ToolChoice auto() {
        return AUTO;
    }

    /**
     * It answers with text and calls none. It reads of the tools all the same, so that a conversation in which the
     * choice changes is not evaluated anew.
     */
    public static ToolChoice none() {
        return NONE;
    }

    /** It calls at least one. */
    public static ToolChoice required() {
        return REQUIRED;
    }

    /** It calls the tool of this name. */
    public static ToolChoice named(String name) {
        return new ToolChoice("named", Objects.requireNonNull(name, "name"));
    }

    /** Whether the answer has to be a call. */
    public boolean forcesCall() {
        return this == REQUIRED || name != null;
    }

    /** The tool that has to be called, if one is named. */
    public Optional<String> name() {
        return Optional.ofNullable(name);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ToolChoice that && kind.equals(that.kind) && Objects.equals(name, that.name);
    }

    @Override
    public int hashCode() {
        return Objects.hash(kind, name);
    }

    @Override
    public String toString() {
        return name == null ? kind : kind + " " + name;
    }
}
