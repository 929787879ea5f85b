package dev.reprise;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class StopMatcherTest {
    @Test
    void textWithoutStopStringsPassesAtOnce() {
        StopMatcher matcher = new StopMatcher(List.of("\n\n", "User:"));
        assertEquals("Hello", matcher.append("Hello"));
        assertEquals(" world", matcher.append(" world"));
        assertFalse(matcher.stopped());
    }

    @Test
    void aPossibleBeginningIsHeldUntilDecided() {
        StopMatcher matcher = new StopMatcher(List.of("END"));
        assertEquals("a", matcher.append("aE"));
        assertEquals("", matcher.append("N"));
        assertEquals("ENx", matcher.append("x"));
        assertEquals("", matcher.append("E"));
        assertEquals("E", matcher.append("EN"));
        assertEquals("", matcher.append("D"));
        assertTrue(matcher.stopped());
    }

    @Test
    void theFirstStopStringInTheTextCounts() {
        StopMatcher matcher = new StopMatcher(List.of("late", "early"));
        assertEquals("as ", matcher.append("as early as late"));
        assertTrue(matcher.stopped());
        assertEquals("", matcher.append("more"));
        assertEquals("", matcher.finish());
    }

    @Test
    void whatIsHeldComesOutAtTheEnd() {
        StopMatcher matcher = new StopMatcher(List.of("stop"));
        assertEquals("non", matcher.append("nonst"));
        assertEquals("st", matcher.finish());
    }

    @Test
    void anyPiecesGiveWhatTheWholeTextGives() {
        Random random = new Random(5);
        for (int round = 0; round < 5000; round++) {
            String text = letters(random, 30);
            List<String> stops = List.of(
                    letters(random, 1 + random.nextInt(4)), letters(random, 1 + random.nextInt(6)));
            StopMatcher matcher = new StopMatcher(stops);
            StringBuilder out = new StringBuilder();
            for (int at = 0; at < text.length() && !matcher.stopped(); ) {
                int end = Math.min(text.length(), at + 1 + random.nextInt(5));
                out.append(matcher.append(text.substring(at, end)));
                at = end;
            }
            out.append(matcher.finish());

            boolean found = stops.stream().anyMatch(text::contains);
            assertEquals(found, matcher.stopped(), text + stops);
            assertTrue(text.startsWith(out.toString()), text + stops + out);
            assertTrue(stops.stream().noneMatch(out.toString()::contains), text + stops + out);
            if (!found) {
                assertEquals(text, out.toString());
            }
        }
    }

    private static String letters(Random random, int count) {
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < count; i++) {
            out.append((char) ('a' + random.nextInt(3)));
        }
        return out.toString();
    }
}
