package dev.reprise.bind;

import dev.reprise.bind.Binding.Member;
import java.lang.reflect.Type;
import java.net.URI;
import java.time.Instant;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Collection;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** Makes JSON schemas of Java types, of keywords that constraints can enforce. */
final class Schemas {
    private static final Map<Class<?>, String> FORMATS = Map.of(
            LocalDate.class, "date", Instant.class, "date-time", OffsetDateTime.class, "date-time", UUID.class, "uuid",
            URI.class, "uri");

    /** The records that the one in work is in, to find those that hold themselves. */
    private final Deque<Class<?>> open = new ArrayDeque<>();

    private Schemas() {}

    /** @param owner what has the members, for messages */
    static Map<String, Object> object(List<Member> members, String owner) {
        return new Schemas().members(members, owner);
    }

    private Map<String, Object> members(List<Member> members, String where) {
        Map<String, Object> properties = new LinkedHashMap<>();
        for (Member member : members) {
            Map<String, Object> property = of(member.type(), where + "." + member.name());
            if (member.description() != null) {
                property.put("description", member.description());
            }
            properties.put(member.name(), property);
        }
        Map<String, Object> schema = typed("object");
        schema.put("properties", properties);
        schema.put("required", members.stream().filter(member -> !member.optional()).map(Member::name).toList());
        schema.put("additionalProperties", false);
        return schema;
    }

    private static Map<String, Object> typed(String type) {
        Map<String, Object> schema = new LinkedHashMap<>();
        schema.put("type", type);
        return schema;
    }

    private Map<String, Object> of(Type given, String where) {
        Type type = Types.withoutOptional(given);
        Class<?> raw = Types.raw(type, where);
        if (raw == Object.class) {
            return new LinkedHashMap<>();
        } else if (raw.isRecord()) {
            return record(raw, where);
        } else if (raw.isEnum()) {
            Map<String, Object> schema = typed("string");
            schema.put("enum", Arrays.stream(raw.getEnumConstants()).map(one -> ((Enum<?>) one).name()).toList());
            return schema;
        } else if (raw.isArray() || raw == Iterable.class || Collection.class.isAssignableFrom(raw)) {
            Values.checkCollection(raw, type, where);
            Map<String, Object> schema = typed("array");
            schema.put("items", of(Types.element(type, where), where + "[]"));
            return schema;
        } else if (raw == Map.class) {
            if (Types.argument(type, 0, where) != String.class) {
                throw Types.unsupported(type, where);
            }
            Map<String, Object> schema = typed("object");
            schema.put("additionalProperties", of(Types.argument(type, 1, where), where + ".*"));
            return schema;
        }
        return scalar(raw, type, where);
    }

    private Map<String, Object> record(Class<?> raw, String where) {
        if (open.contains(raw)) {
            throw new IllegalArgumentException(where + " is a " + raw.getSimpleName() + " within a "
                    + raw.getSimpleName() + ": arguments that hold themselves are not supported");
        }
        open.push(raw);
        Map<String, Object> schema = members(Binding.members(raw), where);
        open.pop();
        String description = Binding.describe(raw);
        if (description != null) {
            schema.put("description", description);
        }
        return schema;
    }

    private static Map<String, Object> scalar(Class<?> raw, Type type, String where) {
        if (Types.isInteger(raw)) {
            return integer(raw);
        } else if (Types.isFraction(raw)) {
            return typed("number");
        } else if (raw == boolean.class || raw == Boolean.class) {
            return typed("boolean");
        } else if (!Types.isText(raw) && !FORMATS.containsKey(raw)) {
            throw Types.unsupported(type, where);
        }
        Map<String, Object> schema = typed("string");
        if (FORMATS.containsKey(raw)) {
            schema.put("format", FORMATS.get(raw));
        } else if (raw == char.class || raw == Character.class) {
            schema.put("minLength", 1);
            schema.put("maxLength", 1);
        }
        return schema;
    }

    /** The bounds of 32 bits and less are told, since a model may well write more digits. */
    private static Map<String, Object> integer(Class<?> raw) {
        Map<String, Object> schema = typed("integer");
        int bits = raw == int.class || raw == Integer.class ? 32 : raw == short.class || raw == Short.class ? 16
                : raw == byte.class || raw == Byte.class ? 8 : 0;
        if (bits > 0) {
            schema.put("minimum", -1L << (bits - 1));
            schema.put("maximum", (1L << (bits - 1)) - 1);
        }
        return schema;
    }
}
