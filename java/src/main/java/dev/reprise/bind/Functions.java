package dev.reprise.bind;

import dev.reprise.Description;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.TreeMap;
import java.util.function.Function;

/** Functions of Java code, and where to find it. */
public final class Functions {
    private Functions() {}

    /** A record of a JSON object's members. */
    public static <T extends Record> T record(Class<T> type, String json) {
        return Values.record(type, Binding.of(type).read(json));
    }

    /** A function of a record. */
    public static <T extends Record> ToolFunction of(Class<T> type, Function<? super T, ?> function) {
        Binding binding = Binding.of(type);
        return json -> Values.write(function.apply(Values.record(type, binding.read(json))));
    }

    /** A method of an object, which is null for a static one. */
    public static ToolFunction of(Object object, Method method, Binding binding) {
        if (!Modifier.isStatic(method.getModifiers()) && !method.getDeclaringClass().isInstance(object)) {
            throw new IllegalArgumentException(method + " is no method of "
                    + (object == null ? "null" : object.getClass().getName()));
        }
        if (!method.trySetAccessible()) {
            throw new IllegalArgumentException(method + " cannot be called: make it and its class public, or open its "
                    + "package to dev.reprise");
        }
        return json -> {
            Object[] arguments = binding.read(json);
            try {
                Object result = method.invoke(object, arguments);
                return method.getReturnType() == void.class ? "done" : Values.write(result);
            } catch (InvocationTargetException e) {
                if (e.getCause() instanceof Exception cause) {
                    throw cause;
                }
                throw (Error) e.getCause();
            }
        };
    }

    /** The methods with a {@link Description}, by name; those of subclasses in place of what they override. */
    public static List<Method> described(Class<?> type) {
        return methods(type).stream().filter(method -> method.isAnnotationPresent(Description.class)).toList();
    }

    /**
     * The only method of a name, or the only one of that name with a {@link Description}.
     *
     * @throws IllegalArgumentException if there is none, or more than one
     */
    public static Method named(Class<?> type, String name) {
        List<Method> named = methods(type).stream().filter(method -> method.getName().equals(name)).toList();
        List<Method> described =
                named.stream().filter(method -> method.isAnnotationPresent(Description.class)).toList();
        List<Method> found = described.isEmpty() ? named : described;
        if (found.size() != 1) {
            throw new IllegalArgumentException(type.getName() + " has "
                    + (found.isEmpty() ? "no method " : "several methods ") + name
                    + (found.isEmpty() ? "" : ": describe the one that is meant, or hand the Method over"));
        }
        return found.get(0);
    }

    /** A method without a description that overrides one with it leaves that one there: proxies override so. */
    private static List<Method> methods(Class<?> type) {
        TreeMap<String, Method> bySignature = new TreeMap<>();
        for (Class<?> at = type; at != null && at != Object.class; at = at.getSuperclass()) {
            for (Method method : at.getDeclaredMethods()) {
                String signature = method.getName() + new ArrayList<>(List.of(method.getParameterTypes()));
                boolean better = !bySignature.containsKey(signature)
                        || !bySignature.get(signature).isAnnotationPresent(Description.class)
                                && method.isAnnotationPresent(Description.class);
                if (!method.isSynthetic() && better) {
                    bySignature.put(signature, method);
                }
            }
        }
        return bySignature.values().stream().sorted(Comparator.comparing(Method::getName)).toList();
    }
}
