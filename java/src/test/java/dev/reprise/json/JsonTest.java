package dev.reprise.json;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class JsonTest {
    @Test
    void readsEveryKindOfValue() {
        Object value = Json.parse(" {\"a\": [1, -2.5e3, true, false, null, \"x\"], \"b\": {}, \"c\":[]} ");
        Map<?, ?> object = (Map<?, ?>) value;
        List<?> a = (List<?>) object.get("a");
        assertEquals(List.of(1L, -2500.0, true, false), a.subList(0, 4));
        assertNull(a.get(4));
        assertEquals("x", a.get(5));
        assertEquals(Map.of(), object.get("b"));
        assertEquals(List.of(), object.get("c"));
        assertEquals(Long.MAX_VALUE, Json.parse("9223372036854775807"));
        assertEquals(Long.MIN_VALUE, Json.parse("-9223372036854775808"));
        assertEquals(new BigInteger("9223372036854775808"), Json.parse("9223372036854775808"));
        assertEquals(new BigDecimal("-1e999"), Json.parse("-1e999"));
        assertEquals("[-1E+999,9223372036854775808]", Json.write(Json.parse("[-1e999,9223372036854775808]")));
        assertThrows(IllegalArgumentException.class, () -> Json.parse("1e9999999999"));
        assertThrows(IllegalArgumentException.class, () -> Json.parse("1".repeat(1001)));
    }

    @Test
    void readsAndWritesEveryCharacter() {
        assertEquals("\"\\/\b\f\n\r\té\uD83D\uDE42", Json.parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\uDE42\""));
        StringBuilder text = new StringBuilder();
        for (int c = 0; c < 0x10000; c++) {
            text.append((char) c);
        }
        StringBuilder quoted = new StringBuilder();
        Json.quote(text.toString(), quoted);
        assertEquals(text.toString(), Json.parse(quoted.toString()));
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "", " ", "{", "[", "[1", "[1,", "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "'a'", "\"a", "\"\\x\"",
        "\"\\u12\"", "\"\\u12g4\"", "\"\n\"", "tru", "nul", "01", "1.", ".5", "-", "+1", "1e", "[1] 2", "NaN", "--1"
    })
    void malformedTextIsRefusedWithThePlace(String text) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> Json.parse(text));
        assertTrue(e.getMessage().startsWith("JSON: expected "), e.getMessage());
    }

    @Test
    void deepNestingIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> Json.parse("[".repeat(100_000)));
    }
}
