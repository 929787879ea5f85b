package dev.reprise.tokenizer;

import java.util.Arrays;

/**
 * Finds tokens that are matched as a whole. At every position the longest one counts; those found first stand.
 *
 * <p>An Aho-Corasick automaton of the reversed tokens reads the text from its end: its state at a position knows the
 * longest token that starts there. So the time is linear in the text whatever the tokens are.
 */
public final class SpecialTokens {
    private static final int ROOT = 0;

    /** The tree: nodes by their first child and next sibling, 0 for none. */
    private int[] firstChild;
    private int[] nextSibling;
    private byte[] labels;
    /** The node of the longest proper suffix that is in the tree. */
    private int[] fallback;
    /** The longest token that ends in this node's state, or -1. */
    private int[] tokens;
    private int nodeCount = 1;
    private final int[] rootChildren = new int[256];
    private final TextTable texts;

    /** @param ids the tokens to find; empty ones are passed over, and of equal ones the last counts */
    public SpecialTokens(Vocabulary vocabulary, int[] ids) {
        texts = vocabulary.texts;
        allocate(1024);
        tokens[ROOT] = -1;
        for (int id : ids) {
            if (texts.length(id) > 0) {
                insert(texts.bytes, texts.start(id), texts.end(id), id);
            }
        }
        allocate(nodeCount);
        fallback = new int[nodeCount];
        linkFallbacks();
    }

    private void allocate(int capacity) {
        if (firstChild == null) {
            firstChild = new int[capacity];
            nextSibling = new int[capacity];
            labels = new byte[capacity];
            tokens = new int[capacity];
            return;
        }
        firstChild = Arrays.copyOf(firstChild, capacity);
        nextSibling = Arrays.copyOf(nextSibling, capacity);
        labels = Arrays.copyOf(labels, capacity);
        tokens = Arrays.copyOf(tokens, capacity);
    }

    private void insert(byte[] bytes, int from, int to, int id) {
        int node = ROOT;
        for (int i = to - 1; i >= from; i--) {
            int child = child(node, bytes[i]);
            node = child != 0 ? child : addChild(node, bytes[i]);
        }
        tokens[node] = id;
    }

    private int child(int node, byte label) {
        if (node == ROOT) {
            return rootChildren[label & 0xFF];
        }
        int child = firstChild[node];
        while (child != 0 && labels[child] != label) {
            child = nextSibling[child];
        }
        return child;
    }

    private int addChild(int parent, byte label) {
        if (nodeCount == tokens.length) {
            allocate(nodeCount + (nodeCount >> 1));
        }
        int node = nodeCount++;
        labels[node] = label;
        tokens[node] = -1;
        if (parent == ROOT) {
            rootChildren[label & 0xFF] = node;
        }
        nextSibling[node] = firstChild[parent];
        firstChild[parent] = node;
        return node;
    }

    private void linkFallbacks() {
        int[] queue = new int[nodeCount];
        int queued = 1;
        for (int done = 0; done < queued; done++) {
            int parent = queue[done];
            for (int node = firstChild[parent]; node != 0; node = nextSibling[node]) {
                // A shorter node is linked before a longer one, so its token is known.
                fallback[node] = parent == ROOT ? ROOT : advance(fallback[parent], labels[node]);
                if (tokens[node] < 0) {
                    tokens[node] = tokens[fallback[node]];
                }
                queue[queued++] = node;
            }
        }
    }

    private int advance(int from, byte label) {
        int state = from;
        while (true) {
            int child = child(state, label);
            if (child != 0 || state == ROOT) {
                return child;
            }
            state = fallback[state];
        }
    }

    /** Tokens in a text, first to last; no two overlap. */
    public static final class Matches {
        private final int[] positions;
        private final int[] ids;
        private final TextTable texts;
        private int count;

        private Matches(int capacity, TextTable texts) {
            this.positions = new int[capacity];
            this.ids = new int[capacity];
            this.texts = texts;
        }

        private void add(int position, int id) {
            positions[count] = position;
            ids[count++] = id;
        }

        public int count() {
            return count;
        }

        /** The first byte of match {@code i}. */
        public int position(int i) {
            return positions[i];
        }

        /** The byte behind match {@code i}. */
        public int end(int i) {
            return positions[i] + texts.length(ids[i]);
        }

        public int id(int i) {
            return ids[i];
        }
    }

    /** The tokens in a text. */
    public Matches find(byte[] text) {
        return find(text, new int[0]);
    }

    /**
     * The tokens in a text that touch none of the ranges.
     *
     * @param ranges bytes in which nothing is to be found: from and to of each, in ascending order
     */
    public Matches find(byte[] text, int[] ranges) {
        int[] positions = new int[8];
        int[] ids = new int[8];
        int found = 0;
        int state = ROOT;
        for (int at = text.length - 1; at >= 0; at--) {
            state = state == ROOT ? rootChildren[text[at] & 0xFF] : advance(state, text[at]);
            int token = tokens[state];
            if (token >= 0) {
                if (found == positions.length) {
                    positions = Arrays.copyOf(positions, 2 * found);
                    ids = Arrays.copyOf(ids, 2 * found);
                }
                positions[found] = at;
                ids[found++] = token;
            }
        }
        return select(positions, ids, found, ranges);
    }

    private Matches select(int[] positions, int[] ids, int found, int[] ranges) {
        Matches matches = new Matches(found, texts);
        int free = 0;
        int range = 0;
        for (int i = found - 1; i >= 0; i--) {
            int start = positions[i];
            int end = start + texts.length(ids[i]);
            while (range < ranges.length && ranges[range + 1] <= start) {
                range += 2;
            }
            boolean touches = range < ranges.length && ranges[range] < end;
            if (start >= free && !touches) {
                matches.add(start, ids[i]);
                free = end;
            }
        }
        return matches;
    }
}
