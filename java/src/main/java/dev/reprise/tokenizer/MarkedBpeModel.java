package dev.reprise.tokenizer;

import dev.reprise.TokenType;

/**
 * BPE by merges over characters, not bytes, the {@code gemma4} tokenizer of GGUF: spaces become U+2581, a line or a run
 * of line feeds is a word, and a symbol that is no token becomes its bytes ({@code <0xNN>}).
 */
public final class MarkedBpeModel extends TokenModel implements PairMerger.Ranks {
    private final Vocabulary vocabulary;
    private final TextIndex merges;
    private final boolean spacePrefix;
    private final int[] byteTokens = new int[256];

    /**
     * @param merges pairs of symbols with a space between, best first
     * @param spacePrefix whether a space goes before the text and behind every special token
     */
    public MarkedBpeModel(Vocabulary vocabulary, TextTable merges, boolean spacePrefix) {
        this.vocabulary = vocabulary;
        this.spacePrefix = spacePrefix;
        this.merges = TextIndex.ofFirst(merges);
        for (int b = 0; b < byteTokens.length; b++) {
            byteTokens[b] = vocabulary.find(SentencePieceModel.spell(b));
        }
        for (int id = 0; id < vocabulary.size(); id++) {
            if (vocabulary.type(id) == TokenType.BYTE) {
                SentencePieceModel.byteValue(id, vocabulary.text(id));
            }
        }
    }

    @Override
    public boolean addsSpacePrefix() {
        return spacePrefix;
    }

    @Override
    public void encode(byte[] text, int from, int to, boolean prefix, IntList ids) {
        byte[] escaped = SentencePieceModel.escape(text, from, to, prefix && spacePrefix);
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
        merger.clear();
        for (int at = from; at < to; ) {
            int end = at + Utf8.length(text, at, to);
            merger.add(at, TextHash.of(text, at, end));
            at = end;
        }
        merger.merge(text, to, this);
        for (int symbol = merger.first(); symbol != merger.end(); symbol = merger.next(symbol)) {
            int start = merger.start(symbol);
            int end = merger.start(merger.next(symbol));
            int id = vocabulary.index.find(text, start, end, merger.hash(symbol));
            if (id != TextIndex.NONE) {
                ids.add(id);
                continue;
            }
            for (int i = start; i < end; i++) {
                int token = byteTokens[text[i] & 0xFF];
                if (token >= 0) {
                    ids.add(token);
                }
            }
        }
    }

    @Override
    public int rank(byte[] text, int from, int middle, int to, long leftHash, long rightHash) {
        long left = TextHash.extend(leftHash, (byte) ' ');
        int rank = merges.findPair(text, from, middle, to, TextHash.join(left, rightHash, to - middle));
        return rank == TextIndex.NONE ? PairMerger.NEVER : rank;
    }

    @Override
    public byte[] bytes(int id) {
        byte[] text = vocabulary.text(id);
        return switch (vocabulary.type(id)) {
            case NORMAL, UNUSED -> SentencePieceModel.unescape(text);
            case BYTE -> new byte[] {SentencePieceModel.byteValue(id, text)};
            default -> text;
        };
    }
}
