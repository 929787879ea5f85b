package dev.reprise.tokenizer;

/** Turns stretches of text that hold no special token into ids, and ids into bytes. Safe for use by many threads. */
public abstract class TokenModel {
    private final WordCache cache = new WordCache();

    /**
     * Appends the ids of {@code text[from, to)}.
     *
     * @param text UTF-8
     * @param prefix whether what the model puts before a text goes before this
     */
    public abstract void encode(byte[] text, int from, int to, boolean prefix, IntList ids);

    /** The bytes that a token stands for. */
    public abstract byte[] bytes(int id);

    /** Whether encoding puts a space before the text, which decoding then takes away. */
    public boolean addsSpacePrefix() {
        return false;
    }

    /** Appends the ids of one word, from the cache if it was met before. */
    final void encodeCached(byte[] text, int from, int to, PairMerger merger, IntList ids) {
        if (to - from > WordCache.MAX_LENGTH) {
            encodeWord(text, from, to, merger, ids);
            return;
        }
        long hash = TextHash.of(text, from, to);
        int[] known = cache.get(text, from, to, hash);
        if (known != null) {
            ids.addAll(known);
            return;
        }
        int before = ids.size();
        encodeWord(text, from, to, merger, ids);
        cache.put(text, from, to, hash, ids.copyFrom(before));
    }

    /** Appends the ids of one word; merges never cross its ends. */
    abstract void encodeWord(byte[] text, int from, int to, PairMerger merger, IntList ids);
}
