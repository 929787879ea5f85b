package dev.reprise.bind;

import dev.reprise.Description;
import dev.reprise.json.Json;
import java.lang.reflect.AnnotatedElement;
import java.lang.reflect.AnnotatedType;
import java.lang.reflect.Method;
import java.lang.reflect.Parameter;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** The arguments of a tool as Java has them: components of a record, or parameters of a method. Immutable. */
public final class Binding {
    /**
     * An argument.
     *
     * @param optional whether it may be missing, and null
     */
    record Member(String name, Type type, String description, boolean optional) {
        static Member of(String name, Type type, AnnotatedElement element, AnnotatedType annotated) {
            boolean optional = Types.isOptional(type) || isNullable(element) || isNullable(annotated);
            return new Member(name, type, describe(element), optional && !Types.isPrimitive(type));
        }

        /** Whichever library's annotation it is. */
        private static boolean isNullable(AnnotatedElement element) {
            return Arrays.stream(element.getAnnotations())
                    .anyMatch(annotation -> annotation.annotationType().getSimpleName().equals("Nullable"));
        }
    }

    private final List<Member> members;
    private final String schema;

    private Binding(List<Member> members, String owner) {
        this.members = members;
        schema = Json.write(Schemas.object(members, owner));
    }

    /**
     * The components of a record.
     *
     * @throws IllegalArgumentException if one has a type that no JSON stands for
     */
    public static Binding of(Class<? extends Record> type) {
        return new Binding(members(type), type.getSimpleName());
    }

    /**
     * The parameters of a method.
     *
     * @throws IllegalArgumentException if their names are not in the class file, or one has a type that no JSON stands
     *     for
     */
    public static Binding of(Method method) {
        String owner = method.getDeclaringClass().getSimpleName() + "." + method.getName();
        List<Member> members = new ArrayList<>();
        for (Parameter parameter : method.getParameters()) {
            if (!parameter.isNamePresent()) {
                throw new IllegalArgumentException("the class file does not name the parameters of " + owner
                        + ": compile it with -parameters, or take a record");
            }
            members.add(Member.of(parameter.getName(), parameter.getParameterizedType(), parameter,
                    parameter.getAnnotatedType()));
        }
        return new Binding(members, owner);
    }

    static List<Member> members(Class<?> record) {
        List<Member> members = new ArrayList<>();
        for (RecordComponent component : record.getRecordComponents()) {
            members.add(Member.of(component.getName(), component.getGenericType(), component,
                    component.getAnnotatedType()));
        }
        return members;
    }

    static String describe(AnnotatedElement element) {
        Description description = element.getAnnotation(Description.class);
        return description == null ? null : description.value();
    }

    /** The JSON schema of the arguments: an object of exactly these members. */
    public String schema() {
        return schema;
    }

    /**
     * The arguments, one for each member.
     *
     * @param json the text of a JSON object
     * @throws IllegalArgumentException if it does not obey the schema; the message says where
     */
    public Object[] read(String json) {
        Object value = Json.parse(json);
        if (!(value instanceof Map<?, ?> object)) {
            throw new IllegalArgumentException("the arguments are no JSON object: " + json);
        }
        return Values.members(object, members, "");
    }
}
