package dev.reprise;

import dev.reprise.bind.Binding;
import dev.reprise.bind.Functions;
import dev.reprise.bind.ToolFunction;
import dev.reprise.json.Json;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;

/**
 * A function that a model may ask its caller to run. Immutable.
 *
 * <pre>{@code
 * class Weather {
 *     @Description("The weather of a day")
 *     Forecast forecast(@Description("A city") String city, Optional<LocalDate> day) { ... }
 * }
 * ChatOptions options = ChatOptions.builder().tools(Tool.allOf(new Weather())).build();
 * model.newChat(options).run("Do I need an umbrella in Oslo?");
 * }</pre>
 *
 * <p>Arguments are records, enums, lists, sets, arrays, maps with texts as keys, texts, numbers, truth values, {@link
 * java.time.LocalDate}, {@link java.time.Instant}, {@link java.time.OffsetDateTime}, {@link java.util.UUID}, {@link
 * java.net.URI}, and {@link Object} for any JSON. What is an {@link java.util.Optional} or has an annotation of the
 * name {@code Nullable} may be left out.
 */
public final class Tool {
    private final String name;
    private final String description;
    private final String parameters;
    /** Null if only the caller knows how to run it. */
    private final ToolFunction function;

    private Tool(String name, String description, String parameters, ToolFunction function) {
        this.name = name;
        this.description = description;
        this.parameters = parameters;
        this.function = function;
    }

    /**
     * A tool that the caller runs.
     *
     * @param name letters, digits, {@code _}, {@code -} and {@code .}
     * @param description what it does, for the model to read
     * @param parameters the JSON schema of its arguments, of type {@code object}
     * @throws IllegalArgumentException if the name is malformed or the schema no JSON object
     */
    public static Tool of(String name, String description, String parameters) {
        if (!(Json.parse(parameters) instanceof Map)) {
            throw new IllegalArgumentException("the parameters of the tool " + name + " are no JSON schema: "
                    + parameters);
        }
        return checked(name, description, parameters, null);
    }

    private static Tool checked(
            String name, String description, String parameters, ToolFunction function) {
        if (!name.matches("[A-Za-z0-9_.-]{1,128}")) {
            throw new IllegalArgumentException("'" + name
                    + "' is no name for a tool: letters, digits, _, - and . are allowed");
        }
        return new Tool(name, Objects.requireNonNull(description, "description"), parameters, function);
    }

    /**
     * A tool that the caller runs, whose arguments are the components of a record: {@link ToolCall#argumentsAs}.
     *
     * @throws IllegalArgumentException if the name is malformed, or a component has a type that no JSON stands for
     */
    public static Tool of(String name, String description, Class<? extends Record> arguments) {
        return checked(name, description, Binding.of(arguments).schema(), null);
    }

    /**
     * A tool that {@link #run} runs: a function of a record, whose components are the arguments.
     *
     * @throws IllegalArgumentException if the name is malformed, or a component has a type that no JSON stands for
     */
    public static <T extends Record> Tool of(
            String name, String description, Class<T> arguments, Function<? super T, ?> function) {
        return checked(name, description, Binding.of(arguments).schema(), Functions.of(arguments, function));
    }

    /**
     * A tool that {@link #run} runs: a method of an object. Its name is the tool's, its {@link Description} is the
     * description, and its parameters are the arguments, so that the class has to be compiled with {@code -parameters}.
     *
     * @throws IllegalArgumentException if there is no such method or more than one, it cannot be called, or a parameter
     *     has a type that no JSON stands for
     */
    public static Tool of(Object object, String method) {
        return of(object, Functions.named(object.getClass(), method));
    }

    /** As {@link #of(Object, String)}; the object of a static method is null. */
    public static Tool of(Object object, Method method) {
        Binding binding = Binding.of(method);
        Description description = method.getAnnotation(Description.class);
        return checked(method.getName(), description == null ? "" : description.value(), binding.schema(),
                Functions.of(object, method, binding));
    }

    /**
     * As {@link #of(Object, String)}, of every method of an object that has a {@link Description}, by name.
     *
     * @throws IllegalArgumentException if there is none, two have the same name, or one cannot be a tool
     */
    public static List<Tool> allOf(Object object) {
        List<Tool> tools = new ArrayList<>();
        Set<String> names = new HashSet<>();
        for (Method method : Functions.described(object.getClass())) {
            if (!names.add(method.getName())) {
                throw new IllegalArgumentException(object.getClass().getName() + " has several tools of the name "
                        + method.getName() + ": a model tells them apart by their names");
            }
            tools.add(of(object, method));
        }
        if (tools.isEmpty()) {
            throw new IllegalArgumentException(
                    object.getClass().getName() + " has no method with a Description, which makes it a tool");
        }
        return tools;
    }

    // ---- running ---------------------------------------------------------------------------------------------------

    /** Whether {@link #run} runs it. */
    public boolean runs() {
        return function != null;
    }

    /**
     * Runs it with a call's arguments. Its result is the answer: a text as it is, anything else as JSON, {@code done}
     * of a void method. Arguments that do not fit and exceptions are answers too, {@code {"error": "..."}}, so that the
     * model can do better. An interrupt stays set.
     *
     * @throws IllegalStateException if only the caller knows how to run it: {@link #runs}
     * @throws IllegalArgumentException if the call is of another tool
     */
    public Message run(ToolCall call) {
        if (function == null) {
            throw new IllegalStateException("the tool " + name + " has no function: run it yourself, and answer with "
                    + "Message.tool");
        }
        if (!call.name().equals(name)) {
            throw new IllegalArgumentException("the call is of the tool " + call.name() + ", this is " + name);
        }
        try {
            return Message.tool(call, function.call(call.arguments()));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return error(call, "interrupted");
        } catch (Exception | StackOverflowError e) {
            return error(call, e.getMessage() != null ? e.getMessage() : e.getClass().getSimpleName());
        }
    }

    static Message error(ToolCall call, String message) {
        return Message.tool(call, Json.write(Map.of("error", message)));
    }

    // ---- what it is ------------------------------------------------------------------------------------------------

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
                && parameters.equals(that.parameters)
                && Objects.equals(function, that.function);
    }

    @Override
    public int hashCode() {
        return Objects.hash(name, description, parameters, function);
    }

    @Override
    public String toString() {
        return "Tool[" + name + "]";
    }
}
