package dev.reprise;

import dev.reprise.tokenizer.ByteLevelModel;
import dev.reprise.tokenizer.CharacterMap;
import dev.reprise.tokenizer.MarkedBpeModel;
import dev.reprise.tokenizer.SentencePieceModel;
import dev.reprise.tokenizer.TextTable;
import dev.reprise.tokenizer.TokenModel;
import dev.reprise.tokenizer.UnigramModel;
import dev.reprise.tokenizer.Vocabulary;
import dev.reprise.tokenizer.WordPieceModel;
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
    private static final String CLS = "tokenizer.ggml.cls_token_id";
    private static final String SEPARATOR = "tokenizer.ggml.seperator_token_id";  // spelled so in the format
    private static final String LOWERCASE = "tokenizer.ggml.normalizer.lowercase";
    private static final String STRIP_ACCENTS = "tokenizer.ggml.normalizer.strip_accents";
    private static final String CHARACTER_MAP = "tokenizer.ggml.precompiled_charsmap";
    private static final String MERGE_SPACES = "tokenizer.ggml.remove_extra_whitespaces";

    /** A value of {@link #MODEL}, and what holds where a file with it names no ids and does not say what is added. */
    private enum Kind {
        LLAMA(0, 1, 2, true, false),
        GPT2(-1, -1, -1, false, false),
        GEMMA4(-1, -1, -1, true, false),
        BERT(100, 101, 102, true, true),
        T5(2, -1, 1, false, true);

        final int unknown;
        final int bos;
        final int eos;
        final boolean addsBos;
        final boolean addsEos;

        Kind(int unknown, int bos, int eos, boolean addsBos, boolean addsEos) {
            this.unknown = unknown;
            this.bos = bos;
            this.eos = eos;
            this.addsBos = addsBos;
            this.addsEos = addsEos;
        }

        static Kind named(String name) {
            StringBuilder names = new StringBuilder();
            for (Kind kind : values()) {
                String known = kind.name().toLowerCase(Locale.ROOT);
                if (known.equals(name)) {
                    return kind;
                }
                names.append(names.length() == 0 ? "" : ", ").append(known);
            }
            throw new UnsupportedModelException(
                    "tokenizer '" + name + "' (" + MODEL + ") is not supported; supported are " + names);
        }
    }

    private final Metadata metadata;
    private final Kind kind;
    private final Vocabulary vocabulary;
    private final TokenModel model;
    private final EndTokens endTokens;
    private final FimTokens fimTokens;
    private final int bos;
    private final boolean addsBos;
    private final boolean addsEos;

    TokenizerReader(Metadata metadata) {
        this.metadata = metadata;
        need(MODEL);
        kind = Kind.named(metadata.string(MODEL, ""));
        TextTable tokens = readTexts(TOKENS);
        if (tokens.size() == 0) {
            throw new ModelFormatException(TOKENS + " is empty");
        }
        vocabulary = new Vocabulary(tokens, readTypes(tokens.size()));
        // Byte-level vocabularies have no rule for special ids that a file does not name; the others do.
        int unknown = readId(UNKNOWN, kind.unknown);
        boolean isBert = kind == Kind.BERT;
        bos = readId(BOS, isBert ? readId(CLS, kind.bos) : kind.bos);
        endTokens = new EndTokens(metadata, vocabulary.size());
        int defaultEos = isBert ? readId(SEPARATOR, kind.eos) : kind.eos;
        if (defaultEos >= 0) {
            endTokens.setDefaultEos(defaultEos);
        }
        if (metadata.numbers(TOKEN_TYPES).map(types -> types.length).orElse(0) == 0) {
            setType(bos, TokenType.CONTROL);
            setType(endTokens.eos(), TokenType.CONTROL);
            setType(unknown, TokenType.UNKNOWN);
        }
        String preTokenizer = kind == Kind.GPT2 ? readPreTokenizer() : "";
        model = switch (kind) {
            case LLAMA -> new SentencePieceModel(vocabulary, readScores(), readTruth(SPACE_PREFIX, true), unknown);
            case GPT2 -> new ByteLevelModel(vocabulary, readTexts(MERGES), preTokenizer);
            case GEMMA4 -> new MarkedBpeModel(vocabulary, readTexts(MERGES), readTruth(SPACE_PREFIX, false));
            case BERT -> readWordPiece(unknown);
            case T5 -> new UnigramModel(vocabulary, readScores(), readNormalisation(), unknown);
        };
        endTokens.addKnownTexts(vocabulary);
        fimTokens = new FimTokens(metadata, vocabulary);
        boolean addsBosUnlessTold =
                kind == Kind.GPT2 ? ByteLevelModel.addsBos(preTokenizer) : kind.addsBos;
        addsBos = readAdds(ADD_BOS, namesCls(isBert) ? CLS : BOS, bos, addsBosUnlessTold);
        addsEos = readAdds(ADD_EOS, EOS, endTokens.eos(), kind.addsEos);
    }

    private boolean namesCls(boolean isBert) {
        return isBert && !metadata.contains(BOS);
    }

    /** Files of uncased models may lack the key: most models are. */
    private WordPieceModel readWordPiece(int unknown) {
        boolean lowercase = readTruth(LOWERCASE, true);
        return new WordPieceModel(vocabulary, unknown, lowercase, readTruth(STRIP_ACCENTS, lowercase));
    }

    private UnigramModel.Normalisation readNormalisation() {
        double[] numbers = metadata.numbers(CHARACTER_MAP).orElse(new double[0]);
        byte[] bytes = new byte[numbers.length];
        for (int i = 0; i < bytes.length; i++) {
            if (numbers[i] != Math.rint(numbers[i]) || numbers[i] < -128 || numbers[i] > 255) {
                throw new ModelFormatException(CHARACTER_MAP + " holds " + numbers[i] + ", which is no byte");
            }
            bytes[i] = (byte) (int) numbers[i];
        }
        return new UnigramModel.Normalisation(
                CharacterMap.of(bytes, CHARACTER_MAP), readTruth(SPACE_PREFIX, true), readTruth(MERGE_SPACES, false));
    }

    private void setType(int id, TokenType type) {
        if (id >= 0) {
            vocabulary.setType(id, type);
        }
    }

    /** Empty is how some converters write that there is none. */
    private String readPreTokenizer() {
        String name = metadata.string(PRE, "");
        return name.isEmpty() ? "default" : name;
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
        Optional<double[]> codes = metadata.numbers(TOKEN_TYPES);
        if (codes.isEmpty() || codes.get().length == 0) {
            return types;
        }
        checkSize(TOKEN_TYPES, codes.get().length, size);
        int kinds = TokenType.values().length;
        for (int id = 0; id < size; id++) {
            double code = codes.get()[id];
            if (!(code >= 0 && code <= kinds && code == Math.rint(code))) {
                String told = code == Math.rint(code) ? String.valueOf((long) code) : String.valueOf(code);
                throw new ModelFormatException(
                        "token " + id + " has the unknown type " + told + " (" + TOKEN_TYPES + ")");
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
            if (Double.isNaN(numbers[id])) {
                throw new ModelFormatException(
                        "token " + id + " has the score NaN (" + SCORES + "): what merges first is not known");
            }
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
        Object value = metadata.value(key).get();
        if (!(value instanceof Number)) {
            metadata.integer(key);  // throws
        }
        return EndTokens.idOf(key, value, vocabulary.size());
    }

    /** Some converters write truth values as the integers 0 and 1. */
    private boolean readTruth(String key, boolean otherwise) {
        Optional<Metadata.Type> type = metadata.type(key);
        if (type.isPresent() && type.get().isInteger()) {
            Object number = metadata.value(key).get();
            if (number.equals(0L) || number.equals(1L)) {
                return number.equals(1L);
            }
        }
        return metadata.bool(key, otherwise);
    }

    private boolean readAdds(String key, String idKey, int id, boolean otherwise) {
        boolean adds = readTruth(key, otherwise && id >= 0);
        if (!adds || id >= 0) {
            return adds;
        }
        if (!metadata.contains(idKey)) {
            throw new ModelFormatException(key + " is true, but the file names no such token");
        }
        Log.warn("metadata key " + key + " is true, but " + idKey + " names no token: none is added");
        return false;
    }

    private int find(String text) {
        return vocabulary.find(text.getBytes(StandardCharsets.UTF_8));
    }

    /** The tokens that are matched as a whole, in ascending order: in any text, or where special tokens are parsed. */
    int[] specialIds(boolean inAnyText) {
        if (inAnyText) {
            return vocabulary.idsOf(EnumSet.of(TokenType.USER_DEFINED));
        }
        // Gemma's vocabulary has learnt HTML: </s> is text there, whatever is parsed.
        BitSet ids = kind == Kind.GEMMA4 ? new BitSet() : (BitSet) endTokens.ordinary().clone();
        for (int id : vocabulary.idsOf(EnumSet.of(TokenType.USER_DEFINED, TokenType.CONTROL, TokenType.UNKNOWN))) {
            ids.set(id);
        }
        return EndTokens.toArray(ids);
    }

    /**
     * Special tokens that swallow the white space behind them. GGUF has no key for this; the Phi-3 models were trained
     * so, with these exceptions.
     */
    BitSet eatsSpaceBehind() {
        BitSet result = new BitSet();
        // A name of another type is no name, and no reason to refuse the tokenizer.
        boolean named = metadata.type("general.name").orElse(null) == Metadata.Type.STRING;
        String name = named ? metadata.string("general.name", "").toLowerCase(Locale.ROOT) : "";
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

    FimTokens fimTokens() {
        return fimTokens;
    }

    BitSet endTokens() {
        return endTokens.ids();
    }

    int bos() {
        return bos;
    }

    int eos() {
        return endTokens.eos();
    }

    boolean addsBos() {
        return addsBos;
    }

    boolean addsEos() {
        return addsEos;
    }
}
