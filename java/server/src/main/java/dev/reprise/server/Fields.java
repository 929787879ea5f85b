package dev.reprise.server;

import dev.reprise.json.Json;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * The members of a JSON object in a request. A member that is null counts as absent; one of the wrong type is a bad
 * request that names it, with the path that leads to it.
 */
final class Fields {
    private final Map<?, ?> map;
    private final String path;

    private Fields(Map<?, ?> map, String path) {
        this.map = map;
        this.path = path;
    }

    /** Of a request's body. */
    static Fields parse(String text) {
        Object value;
        try {
            value = Json.parse(text);
        } catch (IllegalArgumentException e) {
            throw ApiException.badRequest("invalid_json", null, "the body is no JSON text: " + e.getMessage(), e);
        }
        if (!(value instanceof Map<?, ?> map)) {
            throw ApiException.badRequest(null, "the body has to be a JSON object");
        }
        return new Fields(map, "");
    }

    /** Of an element of a list. */
    static Fields of(Object value, String path) {
        if (!(value instanceof Map<?, ?> map)) {
            throw ApiException.badRequest(path, path + " has to be an object");
        }
        return new Fields(map, path + ".");
    }

    /** The path of a member. */
    String path(String key) {
        return path + key;
    }

    ApiException bad(String key, String what) {
        return ApiException.badRequest(path(key), path(key) + " " + what);
    }

    Object value(String key) {
        return map.get(key);
    }

    boolean has(String key) {
        return map.get(key) != null;
    }

    Map<?, ?> map() {
        return map;
    }

    Optional<String> text(String key) {
        Object value = map.get(key);
        if (value != null && !(value instanceof String)) {
            throw bad(key, "has to be a string");
        }
        return Optional.ofNullable((String) value);
    }

    String requiredText(String key) {
        return text(key).orElseThrow(() -> bad(key, "is missing: it has to be a string"));
    }

    Optional<Boolean> flag(String key) {
        Object value = map.get(key);
        if (value != null && !(value instanceof Boolean)) {
            throw bad(key, "has to be true or false");
        }
        return Optional.ofNullable((Boolean) value);
    }

    boolean isTrue(String key) {
        return flag(key).orElse(false);
    }

    Optional<Double> number(String key) {
        Object value = map.get(key);
        if (value == null) {
            return Optional.empty();
        } else if (!(value instanceof Number number)) {
            throw bad(key, "has to be a number");
        } else {
            return Optional.of(number.doubleValue());
        }
    }

    /** An integer; 3.0 counts as one. */
    OptionalLong wholeNumber(String key) {
        Object value = map.get(key);
        if (value == null) {
            return OptionalLong.empty();
        } else if (value instanceof Long whole) {
            return OptionalLong.of(whole);
        } else if (value instanceof Double real && real == Math.rint(real) && Math.abs(real) < 1L << 53) {
            return OptionalLong.of(real.longValue());
        }
        throw bad(key, "has to be an integer");
    }

    /** An integer within bounds, which are part of what is allowed. */
    OptionalInt integer(String key, int least, int most) {
        OptionalLong value = wholeNumber(key);
        if (value.isEmpty()) {
            return OptionalInt.empty();
        } else if (value.getAsLong() < least || value.getAsLong() > most) {
            throw bad(key, "is " + value.getAsLong() + ", it has to be "
                    + (most == Integer.MAX_VALUE ? "at least " + least : "from " + least + " to " + most));
        }
        return OptionalInt.of((int) value.getAsLong());
    }

    Optional<List<?>> list(String key) {
        Object value = map.get(key);
        if (value != null && !(value instanceof List)) {
            throw bad(key, "has to be an array");
        }
        return Optional.ofNullable((List<?>) value);
    }

    /** The elements of an array of objects; none if it is absent. */
    List<Fields> objects(String key) {
        List<Fields> result = new ArrayList<>();
        for (Object element : list(key).orElse(List.of())) {
            result.add(of(element, path(key) + "[" + result.size() + "]"));
        }
        return result;
    }

    /** A string, or an array of them; none if it is absent. */
    List<String> texts(String key) {
        Object value = map.get(key);
        if (value == null) {
            return List.of();
        } else if (value instanceof String text) {
            return List.of(text);
        }
        List<String> result = new ArrayList<>();
        if (!(value instanceof List<?> list)) {
            throw bad(key, "has to be a string or an array of strings");
        }
        for (Object element : list) {
            if (!(element instanceof String text)) {
                throw bad(key, "has to be a string or an array of strings");
            }
            result.add(text);
        }
        return result;
    }

    Optional<Fields> object(String key) {
        Object value = map.get(key);
        if (value == null) {
            return Optional.empty();
        } else if (!(value instanceof Map<?, ?> object)) {
            throw bad(key, "has to be an object");
        } else {
            return Optional.of(new Fields(object, path(key) + "."));
        }
    }

    /** Refuses members that would change the answer and that are not supported. */
    void refuse(String what, String... keys) {
        for (String key : keys) {
            if (has(key)) {
                throw bad(key, "is not supported: " + what);
            }
        }
    }
}
