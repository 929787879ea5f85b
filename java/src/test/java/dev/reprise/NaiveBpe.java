package dev.reprise;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Byte pair encoding word by word of its definition: the oracle for the fast one. */
final class NaiveBpe {
    interface Rank {
        /** The place of the pair in the order of merging, or null if it does not merge. */
        Float of(String left, String right);
    }

    private NaiveBpe() {}

    /** What is left of {@code symbols} when nothing merges any more; the leftmost of the best pairs merges first. */
    static List<String> merge(List<String> symbols, Rank rank) {
        List<String> result = new ArrayList<>(symbols);
        while (true) {
            int best = -1;
            Float bestRank = null;
            for (int i = 0; i + 1 < result.size(); i++) {
                Float candidate = rank.of(result.get(i), result.get(i + 1));
                if (candidate != null && (bestRank == null || candidate < bestRank)) {
                    best = i;
                    bestRank = candidate;
                }
            }
            if (best < 0) {
                return result;
            }
            result.set(best, result.get(best) + result.remove(best + 1));
        }
    }

    static List<String> characters(String text) {
        return text.codePoints().mapToObj(Character::toString).toList();
    }

    /** Ranks pairs by their place in a list of merges, the first of equal ones. */
    static Rank byMerges(List<String> merges) {
        Map<String, Float> ranks = new java.util.HashMap<>();
        for (int i = 0; i < merges.size(); i++) {
            ranks.putIfAbsent(merges.get(i), (float) i);
        }
        return (left, right) -> ranks.get(left + " " + right);
    }
}
