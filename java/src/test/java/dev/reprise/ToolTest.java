package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.reprise.json.Json;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.URI;
import java.time.Instant;
import java.time.LocalDate;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.UUID;
import org.junit.jupiter.api.Test;

/** Tools made of records and methods: their schemas, their arguments, what running them answers. */
class ToolTest {
    @Retention(RetentionPolicy.RUNTIME)
    @Target(ElementType.TYPE_USE)
    @interface Nullable {}

    enum Unit {
        CELSIUS,
        FAHRENHEIT
    }

    @Description("A place on Earth")
    record Place(@Description("A city") String city, Optional<String> country, double[] position) {}

    record Query(@Description("Where") Place place, List<Place> more, Unit unit, int days, OptionalInt hours,
            @Nullable String note, Map<String, List<Long>> extra, Set<Unit> units, boolean now, Object any) {}

    record Scalars(long l, Short s, byte b, char c, float f, BigInteger i, BigDecimal d, LocalDate date, Instant at,
            UUID id, URI uri) {}

    record Node(String name, List<Node> children) {}

    record Odd(Thread thread) {}

    record Raw(@SuppressWarnings("rawtypes") List list) {}

    record Positive(int n) {
        Positive {
            if (n <= 0) {
                throw new IllegalArgumentException("n is not positive");
            }
        }
    }

    record Box<T>(T value) {}

    static class Base {
        @Description("Adds two numbers")
        public long add(@Description("the first") int a, int b) {
            return (long) a + b;
        }

        @Description("Fails")
        protected String fail(String how) throws Exception {
            switch (how) {
                case "checked" -> throw new java.io.IOException("the disk is \"full\"");
                case "silent" -> throw new IllegalStateException();
                case "interrupted" -> throw new InterruptedException();
                case "deep" -> {
                    return fail("deep") + fail("deep");
                }
                default -> throw new AssertionError("a bug");
            }
        }
    }

    static class Tools extends Base {
        private String noted;

        @Override
        public long add(int a, int b) {
            return super.add(a, b) * 10;
        }

        @Description("Notes a text")
        void note(String text) {
            noted = text;
        }

        @Description("A forecast")
        Map<String, Object> forecast(Place place, Optional<Unit> unit) {
            return Map.of("place", place.city() + unit.map(one -> "/" + one).orElse(""));
        }

        Place where() {
            return new Place("Zürich \"ZH\"", Optional.empty(), new double[] {47.4, 8.5});
        }

        void over(int a) {}

        void over(String a) {}
    }

    private static ToolCall call(String name, String arguments) {
        return ToolCall.of("c1", name, arguments);
    }

    @Test
    void aRecordsComponentsAreTheSchema() {
        Tool tool = Tool.of("q", "asks", Query.class);
        String place = "{'type':'object','properties':{'city':{'type':'string','description':'A city'},"
                + "'country':{'type':'string'},'position':{'type':'array','items':{'type':'number'}}},"
                + "'required':['city','position'],'additionalProperties':false,'description':'%s'}";
        String unit = "{'type':'string','enum':['CELSIUS','FAHRENHEIT']}";
        String integer = "{'type':'integer','minimum':-2147483648,'maximum':2147483647}";
        String expected = "{'type':'object','properties':{'place':" + place.formatted("Where")
                + ",'more':{'type':'array','items':" + place.formatted("A place on Earth") + "},'unit':" + unit
                + ",'days':" + integer + ",'hours':" + integer + ",'note':{'type':'string'},"
                + "'extra':{'type':'object','additionalProperties':{'type':'array','items':{'type':'integer'}}},"
                + "'units':{'type':'array','items':" + unit + "},'now':{'type':'boolean'},'any':{}},"
                + "'required':['place','more','unit','days','extra','units','now','any'],"
                + "'additionalProperties':false}";
        assertEquals(expected.replace('\'', '"'), tool.parameters());
        assertFalse(tool.runs());
        assertThrows(IllegalStateException.class, () -> tool.run(call("q", "{}")));
    }

    @Test
    void argumentsAreReadBackIntoTheRecord() {
        Query query = call("q", "{\"place\":{\"city\":\"Zürich \\\"😀\\\"\\n\",\"position\":[1,2.5]},\"more\":[],"
                + "\"unit\":\"FAHRENHEIT\",\"days\":3.0,\"extra\":{\"a\":[9223372036854775807]},\"units\":[\"CELSIUS\","
                + "\"CELSIUS\"],\"now\":true,\"any\":{\"x\":[null]}}").argumentsAs(Query.class);
        assertEquals("Zürich \"😀\"\n", query.place().city());
        assertEquals(Optional.empty(), query.place().country());
        assertEquals(2.5, query.place().position()[1]);
        assertEquals(3, query.days());
        assertEquals(OptionalInt.empty(), query.hours());
        assertNull(query.note());
        assertEquals(Map.of("a", List.of(Long.MAX_VALUE)), query.extra());
        assertEquals(Set.of(Unit.CELSIUS), query.units());
        assertTrue(query.now());
        Scalars scalars = call("s", "{\"l\":-5,\"s\":7,\"b\":-128,\"c\":\"x\",\"f\":0.5,"
                + "\"i\":123456789012345678901234567890,\"d\":1e400,\"date\":\"2026-02-28\","
                + "\"at\":\"2026-01-01T00:00:00+01:00\",\"id\":\"00000000-0000-0000-0000-00000000000a\","
                + "\"uri\":\"https://a.b/c\"}").argumentsAs(Scalars.class);
        assertEquals(new Scalars(-5, (short) 7, (byte) -128, 'x', 0.5f,
                new BigInteger("123456789012345678901234567890"), new BigDecimal("1e400"), LocalDate.of(2026, 2, 28),
                Instant.parse("2025-12-31T23:00:00Z"), new UUID(0, 10), URI.create("https://a.b/c")), scalars);
    }

    @Test
    void argumentsThatDoNotFitAreErrorsThatNameThePlace() {
        Map<String, String> wrong = Map.of(
                "{\"city\":1,\"position\":[]}", "the argument city must be a text and is 1",
                "{\"city\":\"a\",\"position\":[1,\"2\"]}", "the argument position[1] must be a number and is a text",
                "{\"city\":\"a\"}", "the argument position is missing",
                "{\"city\":null,\"position\":[]}", "the argument city must be a text and is null",
                "{\"city\":\"a\",\"position\":[],\"zip\":1}",
                "there is no argument zip: known are [city, country, position]");
        wrong.forEach((arguments, message) -> assertEquals(message, assertThrows(IllegalArgumentException.class,
                () -> call("p", arguments).argumentsAs(Place.class), arguments).getMessage()));
        assertTrue(error("{\"n\":2147483648}").contains("n must be an integer within the range of int and is 2147"));
        assertTrue(error("{\"n\":1.5}").contains("n must be an integer and is 1.5"));
        assertTrue(error("{\"n\":1e999999999}").contains("n must be an integer"));
        assertEquals("n is not positive", error("{\"n\":0}"));
    }

    private static String error(String arguments) {
        return assertThrows(IllegalArgumentException.class,
                () -> call("p", arguments).argumentsAs(Positive.class)).getMessage();
    }

    @Test
    void typesThatNoJsonStandsForAreRefusedByName() {
        Map<Class<? extends Record>, String> refused = Map.of(
                Odd.class, "Odd.thread is of the type java.lang.Thread",
                Node.class, "Node.children[].children[] is a Node within a Node",
                Raw.class, "Raw.list is of the raw type java.util.List",
                Box.class, "Box.value is of the type T");
        refused.forEach((type, message) -> {
            String told = assertThrows(IllegalArgumentException.class, () -> Tool.of("t", "", type)).getMessage();
            assertTrue(told.startsWith(message), told);
        });
    }

    @Test
    void methodsAreToolsAndRun() {
        Tools tools = new Tools();
        List<Tool> all = Tool.allOf(tools);
        assertEquals(List.of("add", "fail", "forecast", "note"), all.stream().map(Tool::name).toList());
        Tool add = all.get(0);
        assertEquals("Adds two numbers", add.description());
        assertTrue(add.parameters().contains("\"description\":\"the first\""), add.parameters());
        assertTrue(add.parameters().contains("\"required\":[\"a\",\"b\"]"), add.parameters());
        Message sum = add.run(call("add", "{\"b\":2147483647,\"a\":1}"));
        assertEquals("21474836480", sum.text());
        assertEquals(Optional.of("c1"), sum.toolCallId());
        assertEquals("done", all.get(3).run(call("note", "{\"text\":\"\"}")).text());
        assertEquals("", tools.noted);
        assertEquals("{\"place\":\"Oslo/CELSIUS\"}", all.get(2)
                .run(call("forecast", "{\"place\":{\"city\":\"Oslo\",\"position\":[]},\"unit\":\"CELSIUS\"}")).text());
        assertEquals("{\"city\":\"Zürich \\\"ZH\\\"\",\"country\":null,\"position\":[47.4,8.5]}",
                Tool.of(tools, "where").run(call("where", "{}")).text());
        Tool function = Tool.of("half", "halves", Positive.class, positive -> positive.n() / 2.0);
        assertEquals("1.5", function.run(call("half", "{\"n\":3}")).text());
        assertEquals(Map.of("error", "n is not positive"), Json.parse(function.run(call("half", "{\"n\":0}")).text()));
    }

    @Test
    void whatGoesWrongIsTheAnswer() {
        Tool fail = Tool.of(new Tools(), "fail");
        assertEquals(Map.of("error", "the disk is \"full\""), run(fail, "checked"));
        assertEquals(Map.of("error", "IllegalStateException"), run(fail, "silent"));
        assertEquals(Map.of("error", "StackOverflowError"), run(fail, "deep"));
        assertEquals(Map.of("error", "interrupted"), run(fail, "interrupted"));
        assertTrue(Thread.interrupted());
        assertThrows(AssertionError.class, () -> run(fail, "bug"));
        assertEquals(Map.of("error", "the argument how is missing"), Json.parse(fail.run(call("fail", "{}")).text()));
        assertThrows(IllegalArgumentException.class, () -> fail.run(call("other", "{}")));
    }

    private static Object run(Tool tool, String how) {
        return Json.parse(tool.run(call(tool.name(), "{\"how\":\"" + how + "\"}")).text());
    }

    @Test
    void methodsThatAreNoToolsAreRefused() {
        Tools tools = new Tools();
        assertTrue(assertThrows(IllegalArgumentException.class, () -> Tool.of(tools, "none")).getMessage()
                .contains("has no method none"));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> Tool.of(tools, "over")).getMessage()
                .contains("several methods over"));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> Tool.allOf("text")).getMessage()
                .contains("java.lang.String has no method with a Description"));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> Tool.of(new Thread(), "exit")).getMessage()
                .contains("cannot be called"));
    }
}
