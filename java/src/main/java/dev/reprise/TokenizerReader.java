package dev.reprise;

import dev.reprise.tokenizer.ByteLevelModel;
import dev.reprise.tokenizer.SentencePieceModel;
import dev.reprise.tokenizer.TextTable;
import dev.reprise.tokenizer.TokenModel;
import dev.reprise.tokenizer.Vocabulary;
import java.nio.charset.StandardCharsets;
import java.util.BitSet;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** Reads and checks the {@code tokenizer.ggml} keys; what a {@link Tokenizer} is made of. */
final class TokenizerReader {
    private static final String MODEL = "tokenizer.ggml.model";
    private static final String PRE = "tokenizer.ggml.pre";
    private static final String TOKENS = "tokenizer.ggml.tokens";
    private static final String TOKEN_TYPES = "tokenizer.ggml.token_type";
    private static final String SCORES = "tokenizer.ggml.scores";
    private static final String MERGES = "tokenizer.ggml.merges";
    private static final String SPACE_PREFIX = "tokenizer.ggml.add_space_prefix";
    private static final String ADD_BOS = "tokenizer.ggml.add_bos_token";
    private static final String ADD_EOS = "tokenizer.ggml.add_eos_token";
    private static final String UNKNOWN = "tokenizer.ggml.unknown_token_id";
    private static final String BOS = "tokenizer.ggml.bos_token_id";
    private static final String EOS = "tokenizer.ggml.eos_token_id";
    private static final String EOT = "tokenizer.ggml.eot_token_id";
    private static final String EOM = "tokenizer.ggml.eom_token_id";

    /**
     * Ends of text, turn or message in published models. Files often give them as ordinary text, or name but one of
     * them in their keys.
     */
    private static final List<String> END_TOKENS = List.of(
            "</s>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "<end_of_turn>",
            "<|end|>", "<|return|>", "<|call|>", "<EOT>", "_<EOT>", "<|end_of_turn|>", "<|END_OF_TURN_TOKEN|>",
            "<end_of_utterance>", "<｜end▁of▁sentence｜>");

    private final Metadata metadata;
    private final Vocabulary vocabulary;
    private final TokenModel model;
    private final BitSet endTokens = new BitSet();
    private final int bos;
    private final int eos;
    private final boolean addsBos;
    private final boolean addsEos;

    TokenizerReader(Metadata metadata) {
        this.metadata = metadata;
        need(MODEL);
        String kind = metadata.string(MODEL, "");
        boolean sentencePiece = kind.equals("llama");
        if (!sentencePiece && !kind.equals("gpt2")) {
            throw new UnsupportedModelException(
                    "tokenizer '" + kind + "' (" + MODEL + ") is not supported; supported are llama, gpt2");
        }
        TextTable tokens = readTexts(TOKENS);
        if (tokens.size() == 0) {
            throw new ModelFormatException(TOKENS + " is empty");
        }
        vocabulary = new Vocabulary(tokens, readTypes(tokens.size()));
        // SentencePiece fixes its special ids where a file does not name them; byte-level vocabularies have no such
        // rule.
        int unknown = readId(UNKNOWN, sentencePiece ? 0 : -1);
        bos = readId(BOS, sentencePiece ? 1 : -1);
        eos = readId(EOS, sentencePiece ? 2 : -1);
        String preTokenizer = metadata.string(PRE, "default");
        model = sentencePiece
                ? new SentencePieceModel(vocabulary, readScores(), metadata.bool(SPACE_PREFIX, true), unknown)
                : new ByteLevelModel(vocabulary, readTexts(MERGES), preTokenizer);
        readEndTokens();
        addsBos = readAdds(ADD_BOS, bos, sentencePiece || ByteLevelModel.isLlama3(preTokenizer));
        addsEos = readAdds(ADD_EOS, eos, false);
    }

    private void need(String key) {
        if (!metadata.contains(key)) {
            throw new ModelFormatException("metadata key " + key + " is missing, which a tokenizer needs");
        }
    }

    private TextTable readTexts(String key) {
        need(key);
        return metadata.textTable(key);
    }

    private byte[] readTypes(int size) {
        byte[] types = new byte[size];
        Optional<long[]> codes = metadata.integers(TOKEN_TYPES);
        if (codes.isEmpty()) {
            return types;
        }
        checkSize(TOKEN_TYPES, codes.get().length, size);
        int kinds = TokenType.values().length;
        for (int id = 0; id < size; id++) {
            long code = codes.get()[id];
            if (code < 0 || code > kinds) {
                throw new ModelFormatException(
                        "token " + id + " has the unknown type " + code + " (" + TOKEN_TYPES + ")");
            }
            // Type 0 is "undefined", which files use for ordinary text; the others start at 1.
            types[id] = (byte) Math.max(0, code - 1);
        }
        return types;
    }

    private float[] readScores() {
        need(SCORES);
        double[] numbers = metadata.numbers(SCORES).get();
        checkSize(SCORES, numbers.length, vocabulary.size());
        float[] scores = new float[numbers.length];
        for (int id = 0; id < scores.length; id++) {
            scores[id] = (float) numbers[id];
        }
        return scores;
    }

    private static void checkSize(String key, int found, int tokens) {
        if (found != tokens) {
            throw new ModelFormatException(key + " has " + found + " elements, but " + TOKENS + " has " + tokens);
        }
    }

    private int readId(String key, int otherwise) {
        if (!metadata.contains(key)) {
            return otherwise < vocabulary.size() ? otherwise : -1;
        }
        long id = metadata.integer(key, -1);
        if (id < 0 || id >= vocabulary.size()) {
            throw new ModelFormatException(
                    key + " is " + id + ", outside the vocabulary of " + vocabulary.size() + " tokens");
        }
        return (int) id;
    }

    private boolean readAdds(String key, int id, boolean otherwise) {
        boolean adds = metadata.bool(key, otherwise && id >= 0);
        if (adds && id < 0) {
            throw new ModelFormatException(key + " is true, but the file names no such token");
        }
        return adds;
    }

    private void readEndTokens() {
        if (eos >= 0) {
            endTokens.set(eos);
        }
        for (String key : List.of(EOT, EOM)) {
            int id = readId(key, -1);
            if (id >= 0) {
                endTokens.set(id);
            }
        }
        for (String text : END_TOKENS) {
            int id = find(text);
            if (id >= 0) {
                vocabulary.setType(id, TokenType.CONTROL);
                endTokens.set(id);
            }
        }
        // In the harmony format of gpt-oss <|end|> ends a message, and the next one follows.
        int end = find("<|end|>");
        if (end >= 0 && end != eos && find("<|return|>") >= 0 && find("<|call|>") >= 0) {
            endTokens.clear(end);
        }
    }

    private int find(String text) {
        return vocabulary.find(text.getBytes(StandardCharsets.UTF_8));
    }

    /** The tokens that are matched as a whole, in ascending order: in any text, or where special tokens are parsed. */
    int[] specialIds(boolean inAnyText) {
        return vocabulary.idsOf(inAnyText
                ? EnumSet.of(TokenType.USER_DEFINED)
                : EnumSet.of(TokenType.USER_DEFINED, TokenType.CONTROL, TokenType.UNKNOWN));
    }

    /**
     * Special tokens that swallow the white space behind them. GGUF has no key for this; the Phi-3 models were trained
     * so, with these exceptions.
     */
    BitSet eatsSpaceBehind() {
        BitSet result = new BitSet();
        String name = metadata.string("general.name", "").toLowerCase(Locale.ROOT);
        if (name.contains("phi-3") || name.contains("phi3")) {
            for (int id : specialIds(false)) {
                result.set(id);
            }
            for (String exception : List.of("<unk>", "<s>", "<|endoftext|>")) {
                int id = find(exception);
                if (id >= 0) {
                    result.clear(id);
                }
            }
        }
        return result;
    }

    Vocabulary vocabulary() {
        return vocabulary;
    }

    TokenModel model() {
        return model;
    }

    BitSet endTokens() {
        return endTokens;
    }

    int bos() {
        return bos;
    }

    int eos() {
        return eos;
    }

    boolean addsBos() {
        return addsBos;
    }

    boolean addsEos() {
        return addsEos;
    }
}
