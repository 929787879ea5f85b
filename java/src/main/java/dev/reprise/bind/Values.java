package dev.reprise.bind;

import dev.reprise.bind.Binding.Member;
import dev.reprise.json.Json;
import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Type;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.URI;
import java.time.DateTimeException;
import java.time.Instant;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.UUID;

/** Makes Java values of parsed JSON. Messages name the place as {@code a.b[2]}. */
final class Values {
    private Values() {}

    static IllegalArgumentException malformed(String where, String wanted, Object found) {
        String told = found == null || found instanceof Number || found instanceof Boolean ? String.valueOf(found)
                : found instanceof String ? "a text" : found instanceof Map ? "an object" : "a list";
        return new IllegalArgumentException((where.isEmpty() ? "the arguments" : "the argument " + where) + " must be "
                + wanted + " and is " + told);
    }

    static Object[] members(Map<?, ?> object, List<Member> members, String where) {
        for (Object key : object.keySet()) {
            if (members.stream().noneMatch(member -> member.name().equals(key))) {
                throw new IllegalArgumentException("there is no argument " + inside(where, (String) key)
                        + ": known are " + members.stream().map(Member::name).toList());
            }
        }
        Object[] values = new Object[members.size()];
        for (int i = 0; i < values.length; i++) {
            Member member = members.get(i);
            String place = inside(where, member.name());
            Object value = object.get(member.name());
            if (value == null && member.optional()) {
                values[i] = Types.isOptional(member.type()) ? optional(null, member.type(), place) : null;
            } else if (value == null && !object.containsKey(member.name())) {
                throw new IllegalArgumentException("the argument " + place + " is missing");
            } else {
                values[i] = read(value, member.type(), place);
            }
        }
        return values;
    }

    private static String inside(String where, String name) {
        return where.isEmpty() ? name : where + "." + name;
    }

    private static Object read(Object value, Type type, String where) {
        if (Types.isOptional(type)) {
            return optional(value, type, where);
        }
        Class<?> raw = Types.raw(type, where);
        if (raw == Object.class) {
            return value;
        } else if (raw.isRecord()) {
            if (!(value instanceof Map<?, ?> object)) {
                throw malformed(where, "an object", value);
            }
            return record(raw, members(object, Binding.members(raw), where));
        } else if (raw.isEnum()) {
            return constant(value, raw, where);
        } else if (raw.isArray() || Iterable.class.isAssignableFrom(raw)) {
            return list(value, raw, Types.element(type, where), where);
        } else if (raw == Map.class) {
            return map(value, Types.argument(type, 1, where), where);
        } else if (Types.isInteger(raw) || Types.isFraction(raw)) {
            return number(value, raw, where);
        } else if (raw == boolean.class || raw == Boolean.class) {
            if (!(value instanceof Boolean)) {
                throw malformed(where, "true or false", value);
            }
            return value;
        }
        return text(value, raw, where);
    }

    private static Object optional(Object value, Type type, String where) {
        Object held = value == null ? null : read(value, Types.withoutOptional(type), where);
        if (type == OptionalInt.class) {
            return held == null ? OptionalInt.empty() : OptionalInt.of((Integer) held);
        } else if (type == OptionalLong.class) {
            return held == null ? OptionalLong.empty() : OptionalLong.of((Long) held);
        } else if (type == OptionalDouble.class) {
            return held == null ? OptionalDouble.empty() : OptionalDouble.of((Double) held);
        }
        return Optional.ofNullable(held);
    }

    /** What a record's constructor says of its values is the caller's to hear. */
    static <T> T record(Class<T> type, Object[] values) {
        Class<?>[] types = Arrays.stream(type.getRecordComponents()).map(one -> one.getType()).toArray(Class<?>[]::new);
        try {
            Constructor<T> constructor = type.getDeclaredConstructor(types);
            if (!constructor.trySetAccessible()) {
                throw new IllegalArgumentException("the constructor of " + type.getName()
                        + " cannot be called: make it public, or open its package to dev.reprise");
            }
            return constructor.newInstance(values);
        } catch (InvocationTargetException e) {
            throw new IllegalArgumentException(e.getCause().getMessage(), e.getCause());
        } catch (ReflectiveOperationException e) {
            throw new IllegalArgumentException("no " + type.getName() + " can be made: " + e.getMessage(), e);
        }
    }

    private static Object constant(Object value, Class<?> type, String where) {
        for (Object constant : type.getEnumConstants()) {
            if (((Enum<?>) constant).name().equals(value)) {
                return constant;
            }
        }
        String wanted = "one of " + Arrays.stream(type.getEnumConstants()).map(one -> ((Enum<?>) one).name()).toList();
        throw value instanceof String text
                ? new IllegalArgumentException(
                        "the argument " + where + " must be " + wanted + " and is '" + text + "'")
                : malformed(where, wanted, value);
    }

    // ---- lists and maps --------------------------------------------------------------------------------------------

    /** @throws IllegalArgumentException if no list can be made of the type */
    static void checkCollection(Class<?> raw, Type type, String where) {
        boolean known = raw.isArray() || raw == Iterable.class || raw == Collection.class || raw == List.class
                || raw == Set.class;
        if (!known) {
            throw Types.unsupported(type, where);
        }
    }

    private static Object list(Object value, Class<?> raw, Type element, String where) {
        if (!(value instanceof List<?> elements)) {
            throw malformed(where, "a list", value);
        }
        List<Object> values = new ArrayList<>();
        for (int i = 0; i < elements.size(); i++) {
            values.add(read(elements.get(i), element, where + "[" + i + "]"));
        }
        if (!raw.isArray()) {
            return raw == Set.class ? Collections.unmodifiableSet(new LinkedHashSet<>(values))
                    : Collections.unmodifiableList(values);
        }
        Object array = Array.newInstance(raw.getComponentType(), values.size());
        for (int i = 0; i < values.size(); i++) {
            Array.set(array, i, values.get(i));
        }
        return array;
    }

    private static Object map(Object value, Type type, String where) {
        if (!(value instanceof Map<?, ?> object)) {
            throw malformed(where, "an object", value);
        }
        Map<String, Object> values = new LinkedHashMap<>();
        object.forEach((key, one) -> values.put((String) key, read(one, type, inside(where, (String) key))));
        return Collections.unmodifiableMap(values);
    }

    // ---- scalars ---------------------------------------------------------------------------------------------------

    private static Object number(Object value, Class<?> raw, String where) {
        if (!(value instanceof Number)) {
            throw malformed(where, Types.isInteger(raw) ? "an integer" : "a number", value);
        }
        BigDecimal number = new BigDecimal(value.toString());
        if (raw == BigDecimal.class) {
            return number;
        } else if (raw == Number.class) {
            return value;
        } else if (raw == double.class || raw == Double.class) {
            return number.doubleValue();
        } else if (raw == float.class || raw == Float.class) {
            return number.floatValue();
        }
        // A number of a billion digits is written in ten characters.
        boolean whole = number.scale() <= 0 || number.stripTrailingZeros().scale() <= 0;
        if (!whole || number.precision() - number.scale() > 1000) {
            throw malformed(where, "an integer", value);
        }
        return integer(number.toBigInteger(), raw, where);
    }

    private static Object integer(BigInteger integer, Class<?> raw, String where) {
        try {
            if (raw == BigInteger.class) {
                return integer;
            } else if (raw == long.class || raw == Long.class) {
                return integer.longValueExact();
            } else if (raw == int.class || raw == Integer.class) {
                return integer.intValueExact();
            }
            return raw == short.class || raw == Short.class ? (Object) integer.shortValueExact()
                    : (Object) integer.byteValueExact();
        } catch (ArithmeticException e) {
            throw malformed(where, "an integer within the range of " + raw.getSimpleName(), integer);
        }
    }

    private static Object text(Object value, Class<?> raw, String where) {
        if (!(value instanceof String text)) {
            throw malformed(where, "a text", value);
        }
        try {
            if (raw == LocalDate.class) {
                return LocalDate.parse(text);
            } else if (raw == Instant.class) {
                return OffsetDateTime.parse(text).toInstant();
            } else if (raw == OffsetDateTime.class) {
                return OffsetDateTime.parse(text);
            } else if (raw == UUID.class) {
                return UUID.fromString(text);
            } else if (raw == URI.class) {
                return URI.create(text);
            }
        } catch (DateTimeException | IllegalArgumentException e) {
            throw new IllegalArgumentException("the argument " + where + " is no " + raw.getSimpleName() + ": "
                    + e.getMessage(), e);
        }
        if (raw != char.class && raw != Character.class) {
            return text;
        } else if (text.length() != 1) {
            throw malformed(where, "a single character", value);
        }
        return text.charAt(0);
    }

    // ---- results ---------------------------------------------------------------------------------------------------

    /** What a tool returned as a model reads it: a text as it is, anything else as JSON. */
    static String write(Object result) {
        return result instanceof CharSequence text ? text.toString() : Json.write(plain(result));
    }

    private static Object plain(Object value) {
        if (value instanceof Optional<?> optional) {
            return plain(optional.orElse(null));
        } else if (value instanceof OptionalInt optional) {
            return optional.isPresent() ? optional.getAsInt() : null;
        } else if (value instanceof OptionalLong optional) {
            return optional.isPresent() ? optional.getAsLong() : null;
        } else if (value instanceof OptionalDouble optional) {
            return optional.isPresent() ? plain(optional.getAsDouble()) : null;
        } else if (value instanceof Map<?, ?> map) {
            Map<String, Object> plain = new LinkedHashMap<>();
            map.forEach((key, one) -> plain.put(String.valueOf(key), plain(one)));
            return plain;
        } else if (value instanceof Collection<?> elements) {
            List<Object> plain = new ArrayList<>();
            elements.forEach(one -> plain.add(plain(one)));
            return plain;
        } else if (value != null && value.getClass().isArray()) {
            List<Object> plain = new ArrayList<>();
            for (int i = 0; i < Array.getLength(value); i++) {
                plain.add(plain(Array.get(value, i)));
            }
            return plain;
        } else if (value instanceof Record record) {
            return Records.plain(record);
        }
        boolean finite = !(value instanceof Number number) || Double.isFinite(number.doubleValue())
                || value instanceof BigInteger || value instanceof BigDecimal;
        boolean hasForm = value == null || value instanceof Boolean || value instanceof Number && finite;
        return hasForm ? value : value instanceof Enum<?> constant ? constant.name() : value.toString();
    }

    /** Records as objects. */
    private static final class Records {
        static Map<String, Object> plain(Record record) {
            Map<String, Object> plain = new LinkedHashMap<>();
            for (var component : record.getClass().getRecordComponents()) {
                var accessor = component.getAccessor();
                if (!accessor.trySetAccessible()) {
                    throw new IllegalArgumentException("the record " + record.getClass().getName()
                            + " cannot be read: make it public, or open its package to dev.reprise");
                }
                try {
                    plain.put(component.getName(), Values.plain(accessor.invoke(record)));
                } catch (ReflectiveOperationException e) {
                    throw new IllegalArgumentException(component + " cannot be read: " + e.getMessage(), e);
                }
            }
            return plain;
        }
    }
}
