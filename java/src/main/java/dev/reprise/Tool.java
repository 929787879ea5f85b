package dev.reprise;

import dev.reprise.json.Json;
import java.util.Map;
import java.util.Objects;

/** A function that a model may ask its caller to run. Immutable. */
public final class Tool {
    private final String name;
    private final String description;
    private final String parameters;

    private Tool(String name, String description, String parameters) {
        this.name = name;
        this.description = description;
        this.parameters = parameters;
    }

    /**
     * A tool.
     *
     * @param name letters, digits, {@code _}, {@code -} and {@code .}
     * @param description what it does, for the model to read
     * @param parameters the JSON schema of its arguments, of type {@code object}
     * @throws IllegalArgumentException if the name is malformed or the schema no JSON object
     */
    public static Tool of(String name, String description, String parameters) {
        if (!name.matches("[A-Za-z0-9_.-]{1,128}")) {
            throw new IllegalArgumentException("'" + name
                    + "' is no name for a tool: letters, digits, _, - and . are allowed");
        }
        if (!(Json.parse(parameters) instanceof Map)) {
            throw new IllegalArgumentException("the parameters of the tool " + name + " are no JSON schema: "
                    + parameters);
        }
        return new Tool(name, Objects.requireNonNull(description, "description"), parameters);
    }

    public String name() {
        return name;
    }

    public String description() {
        return description;
    }

    /** The JSON schema of the arguments. */
    public String parameters() {
        return parameters;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Tool that
                && name.equals(that.name)
                && description.equals(that.description)
                && parameters.equals(that.parameters);
    }

    @Override
    public int hashCode() {
        return Objects.hash(name, description, parameters);
    }

    @Override
    public String toString() {
        return "Tool[" + name + "]";
    }
}
