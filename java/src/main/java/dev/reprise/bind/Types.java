package dev.reprise.bind;

import java.lang.reflect.GenericArrayType;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.WildcardType;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;

/** What of generic types matters here. */
final class Types {
    private Types() {}

    /**
     * The class of a type.
     *
     * @throws IllegalArgumentException if it is a type variable; {@code where} says of what
     */
    static Class<?> raw(Type type, String where) {
        if (type instanceof Class<?> plain) {
            return plain;
        } else if (type instanceof ParameterizedType parameterized) {
            return (Class<?>) parameterized.getRawType();
        } else if (type instanceof WildcardType wildcard && wildcard.getLowerBounds().length == 0) {
            return raw(wildcard.getUpperBounds()[0], where);
        } else if (type instanceof GenericArrayType array) {
            return raw(array.getGenericComponentType(), where).arrayType();
        }
        throw unsupported(type, where);
    }

    static IllegalArgumentException unsupported(Type type, String where) {
        return new IllegalArgumentException(where + " is of the type " + type.getTypeName()
                + ", which no JSON value stands for: take a record, an enum, a list, a map with texts as keys, a text, "
                + "a number, a truth value, a LocalDate, an Instant, an OffsetDateTime, a UUID or a URI");
    }

    /** The argument of a generic type by its place. */
    static Type argument(Type type, int index, String where) {
        if (type instanceof WildcardType wildcard) {
            return argument(wildcard.getUpperBounds()[0], index, where);
        } else if (type instanceof ParameterizedType parameterized) {
            return parameterized.getActualTypeArguments()[index];
        }
        throw new IllegalArgumentException(where + " is of the raw type " + type.getTypeName()
                + ": say what is in it, as in List<String>");
    }

    /** The type of the elements of a list or an array. */
    static Type element(Type type, String where) {
        if (type instanceof GenericArrayType array) {
            return array.getGenericComponentType();
        } else if (type instanceof Class<?> plain && plain.isArray()) {
            return plain.getComponentType();
        }
        return argument(type, 0, where);
    }

    static boolean isOptional(Type type) {
        return type == OptionalInt.class
                || type == OptionalLong.class
                || type == OptionalDouble.class
                || type instanceof ParameterizedType parameterized && parameterized.getRawType() == Optional.class;
    }

    /** What an optional holds; other types as they are. */
    static Type withoutOptional(Type type) {
        if (type == OptionalInt.class) {
            return int.class;
        } else if (type == OptionalLong.class) {
            return long.class;
        } else if (type == OptionalDouble.class) {
            return double.class;
        }
        return isOptional(type) ? ((ParameterizedType) type).getActualTypeArguments()[0] : type;
    }

    static boolean isPrimitive(Type type) {
        return type instanceof Class<?> plain && plain.isPrimitive();
    }

    static boolean isInteger(Class<?> type) {
        return type == int.class || type == Integer.class || type == long.class || type == Long.class
                || type == short.class || type == Short.class || type == byte.class || type == Byte.class
                || type == BigInteger.class;
    }

    static boolean isFraction(Class<?> type) {
        return type == double.class || type == Double.class || type == float.class || type == Float.class
                || type == BigDecimal.class || type == Number.class;
    }

    static boolean isText(Class<?> type) {
        return type == String.class || type == CharSequence.class || type == char.class || type == Character.class;
    }
}
