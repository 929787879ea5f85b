package dev.reprise.tokenizer;

/**
 * BPE by merges over characters, not bytes, the {@code gemma4} tokenizer of GGUF: spaces become U+2581, a line or a run
 * of line feeds is a word, and a symbol that is no token becomes its bytes ({@code <0xNN>}).
 */
public final class MarkedBpeModel extends CharacterBpeModel {
    private final TextIndex merges;

    /**
     * @param merges pairs of symbols with a space between, best first
     * @param spacePrefix whether a space goes before the text and behind every special token
     */
    public MarkedBpeModel(Vocabulary vocabulary, TextTable merges, boolean spacePrefix) {
        super(vocabulary, spacePrefix);
        this.merges = TextIndex.ofFirst(merges);
        for (int b = 0; b < byteTokens.length; b++) {
            byteTokens[b] = vocabulary.find(spell(b));
        }
        checkByteTokens();
    }

    @Override
    public void encode(byte[] text, int from, int to, boolean prefix, IntList ids) {
        byte[] escaped = escape(text, from, to, prefix && spacePrefix);
        PairMerger merger = new PairMerger();
        int at = 0;
        while (at < escaped.length) {
            boolean isBreak = escaped[at] == '\n';
            int end = at + 1;
            while (end < escaped.length && (escaped[end] == '\n') == isBreak) {
                end++;
            }
            encodeCached(escaped, at, end, merger, ids);
            at = end;
        }
    }

    @Override
    void encodeWord(byte[] text, int from, int to, PairMerger merger, IntList ids) {
        if (text[from] == '\n') {
            int id = vocabulary.index.find(text, from, to, TextHash.of(text, from, to));
            if (id != TextIndex.NONE) {
                ids.add(id);
                return;
            }
        }
        super.encodeWord(text, from, to, merger, ids);
    }

    @Override
    public int rank(byte[] text, int from, int middle, int to, long leftHash, long rightHash) {
        long left = TextHash.extend(leftHash, (byte) ' ');
        int rank = merges.findPair(text, from, middle, to, TextHash.join(left, rightHash, to - middle));
        return rank == TextIndex.NONE ? PairMerger.NEVER : rank;
    }
}
