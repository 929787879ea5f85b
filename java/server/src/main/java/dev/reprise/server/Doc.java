package dev.reprise.server;

import java.util.LinkedHashMap;
import java.util.Map;

/** Makes the maps that are written as JSON objects. */
final class Doc {
    private Doc() {}

    /** Of keys and values in turns, in their order. */
    static Map<String, Object> of(Object... keysAndValues) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < keysAndValues.length; i += 2) {
            map.put((String) keysAndValues[i], keysAndValues[i + 1]);
        }
        return map;
    }
}
