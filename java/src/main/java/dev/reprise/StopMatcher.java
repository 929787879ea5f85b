package dev.reprise;

import java.util.List;

/** Looks for stop strings in text that arrives in pieces, and holds back what may be the beginning of one. */
final class StopMatcher {
    private final List<String> stops;
    private final StringBuilder held = new StringBuilder();
    private boolean stopped;

    StopMatcher(List<String> stops) {
        this.stops = stops;
    }

    /** The text that is now known not to belong to a stop string. After a stop string nothing comes out any more. */
    String append(String text) {
        if (stopped) {
            return "";
        }
        held.append(text);
        int found = firstMatch();
        stopped = found >= 0;
        int end = stopped ? found : held.length() - possibleBeginning();
        String free = held.substring(0, end);
        held.delete(0, stopped ? held.length() : end);
        return free;
    }

    /** The text held back, when no more follows. */
    String finish() {
        String rest = held.toString();
        held.setLength(0);
        return rest;
    }

    boolean stopped() {
        return stopped;
    }

    private int firstMatch() {
        int first = -1;
        for (String stop : stops) {
            int at = held.indexOf(stop);
            if (at >= 0 && (first < 0 || at < first)) {
                first = at;
            }
        }
        return first;
    }

    /** The length of the longest end of the text that a stop string begins with. */
    private int possibleBeginning() {
        int longest = 0;
        for (String stop : stops) {
            for (int n = Math.min(stop.length() - 1, held.length()); n > longest; n--) {
                if (stop.startsWith(held.substring(held.length() - n))) {
                    longest = n;
                    break;
                }
            }
        }
        return longest;
    }
}
