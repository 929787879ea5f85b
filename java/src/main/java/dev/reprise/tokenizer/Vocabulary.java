package dev.reprise.tokenizer;

import dev.reprise.TokenType;
import java.util.Set;

/** The tokens of a model as its file spells them, with their types. */
public final class Vocabulary {
    private static final TokenType[] TYPES = TokenType.values();

    final TextTable texts;
    final TextIndex index;
    private final byte[] types;

    /** @param types ordinals of {@link TokenType}, one per token; kept, not copied */
    public Vocabulary(TextTable texts, byte[] types) {
        this.texts = texts;
        this.types = types;
        this.index = TextIndex.ofLast(texts);
    }

    public int size() {
        return types.length;
    }

    public TokenType type(int id) {
        return TYPES[types[id]];
    }

    /** Changes a type; only while the vocabulary is being set up. */
    public void setType(int id, TokenType type) {
        types[id] = (byte) type.ordinal();
    }

    /** The tokens of some types, in ascending order. */
    public int[] idsOf(Set<TokenType> wanted) {
        int mask = 0;
        for (TokenType type : wanted) {
            mask |= 1 << type.ordinal();
        }
        IntList ids = new IntList(512);
        for (int id = 0; id < types.length; id++) {
            if ((mask >> types[id] & 1) != 0) {
                ids.add(id);
            }
        }
        return ids.toArray();
    }

    /** The bytes of the file, before any decoding. */
    public byte[] text(int id) {
        return texts.get(id);
    }

    /** The token spelled so in the file, or -1; the last one where several are. */
    public int find(byte[] text) {
        return index.find(text);
    }
}
