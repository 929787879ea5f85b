package dev.reprise;

import dev.reprise.bind.Functions;
import dev.reprise.json.Json;
import java.util.Collections;
import java.util.Map;
import java.util.Objects;

/** A call of a tool that a model asks for. Immutable. */
public final class ToolCall {
    private final String id;
    private final String name;
    private final String arguments;

    private ToolCall(String id, String name, String arguments) {
        this.id = Objects.requireNonNull(id, "id");
        this.name = Objects.requireNonNull(name, "name");
        this.arguments = Objects.requireNonNull(arguments, "arguments");
    }

    /**
     * A call.
     *
     * @param id what the tool's answer refers to, unique within a conversation
     * @param name of the tool
     * @param arguments a JSON object
     * @throws IllegalArgumentException if the arguments are no JSON object
     */
    public static ToolCall of(String id, String name, String arguments) {
        if (!(Json.parse(arguments) instanceof Map)) {
            throw new IllegalArgumentException("the arguments of a tool call are no JSON object: " + arguments);
        }
        return new ToolCall(id, name, arguments);
    }

    /** What the tool's answer refers to: {@link Message#tool}. */
    public String id() {
        return id;
    }

    /** The tool's name. */
    public String name() {
        return name;
    }

    /** The arguments as the text of a JSON object. */
    public String arguments() {
        return arguments;
    }

    /** The arguments as maps, lists, strings, numbers, {@link Boolean} and null: {@link Long}, or {@link
     * java.math.BigInteger} where that is too small, and {@link Double}, or {@link java.math.BigDecimal}. */
    @SuppressWarnings("unchecked")
    public Map<String, Object> argumentMap() {
        return Collections.unmodifiableMap((Map<String, Object>) Json.parse(arguments));
    }

    /**
     * The arguments as a record's components: {@link Tool#of(String, String, Class)}.
     *
     * @throws IllegalArgumentException if they do not fit; the message says where
     */
    public <T extends Record> T argumentsAs(Class<T> type) {
        return Functions.record(type, arguments);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ToolCall that
                && id.equals(that.id)
                && name.equals(that.name)
                && arguments.equals(that.arguments);
    }

    @Override
    public int hashCode() {
        return Objects.hash(id, name, arguments);
    }

    @Override
    public String toString() {
        return name + arguments;
    }
}
