package dev.reprise;

import dev.reprise.tokenizer.IntList;
import dev.reprise.tokenizer.SpecialTokens;
import dev.reprise.tokenizer.TokenModel;
import dev.reprise.tokenizer.Utf8;
import dev.reprise.tokenizer.Vocabulary;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.BitSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.OptionalInt;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * Turns text into token ids and back, as the model's file describes it. Immutable and safe for use by many threads.
 *
 * <p>Text is taken as it is, without Unicode normalisation, but for the models that were trained with one: BERT's
 * WordPiece, which drops what the model does not tell apart, and SentencePiece's unigram models, whose file has the map
 * of characters. An unpaired surrogate counts as U+FFFD. Tokens of type
 * {@link TokenType#USER_DEFINED} are matched in any text, {@link TokenType#CONTROL} and {@link TokenType#UNKNOWN} ones
 * only where special tokens are parsed; where several could match, the one that starts first does, and of those the
 * longest.
 *
 * <p>Letters, numbers and spaces are told apart by the Unicode tables of the running JDK, so text in characters newer
 * than those may be cut differently by an older JDK.
 */
public final class Tokenizer {
    /** Characters whose encoding takes milliseconds: a virtual thread leaves its carrier for it. */
    private static final int LONG_TEXT = 1 << 16;

    private final Vocabulary vocabulary;
    private final TokenModel model;
    private final SpecialTokens alwaysMatched;
    private final SpecialTokens allSpecial;
    private final BitSet endTokens;
    private final FimTokens fimTokens;
    private final BitSet eatsSpaceBehind;
    private final int bos;
    private final int eos;
    private final boolean addsBos;
    private final boolean addsEos;
    /** See {@link #knownText}. Threads may race to fill it in: strings are immutable, and all fill in the same. */
    private final String[] texts;
    /** What {@link #tokensWith} found last. Threads may race: what it holds does not change. */
    private volatile TokensWith tokensWith;

    private record TokensWith(List<String> parts, int[] ids) {}

    Tokenizer(TokenizerReader reader) {
        vocabulary = reader.vocabulary();
        model = reader.model();
        alwaysMatched = new SpecialTokens(vocabulary, reader.specialIds(true));
        allSpecial = new SpecialTokens(vocabulary, reader.specialIds(false));
        endTokens = reader.endTokens();
        fimTokens = reader.fimTokens();
        eatsSpaceBehind = reader.eatsSpaceBehind();
        bos = reader.bos();
        eos = reader.eos();
        addsBos = reader.addsBos();
        addsEos = reader.addsEos();
        texts = new String[vocabulary.size()];
    }

    /**
     * The tokenizer that the {@code tokenizer.ggml} keys describe. Works for a model of any architecture.
     *
     * @throws UnsupportedModelException if the tokenizer or its pre-tokenizer is not supported; the message names it
     * @throws ModelFormatException if keys are missing or contradict each other
     */
    public static Tokenizer of(Metadata metadata) {
        return new Tokenizer(new TokenizerReader(metadata));
    }

    /** The ids of plain text: no special token is parsed, none is added. */
    public int[] encode(CharSequence text) {
        return encode(text, false, false);
    }

    /**
     * The ids of a text. A byte that the vocabulary has no token for is left out by byte-level tokenizers and becomes
     * the unknown token, if there is one, in others. A tokenizer that puts a space before a text puts one behind every
     * special token too.
     *
     * @param text taken as it is
     * @param addSpecial whether begin and end of text are added, as far as {@link #addsBos} and {@link #addsEos} say
     * @param parseSpecial whether the text of a control token, such as {@code <|im_start|>}, becomes that token; leave
     *     it off for text that users write
     */
    public int[] encode(CharSequence text, boolean addSpecial, boolean parseSpecial) {
        return encode(text, addSpecial, parseSpecial, true);
    }

    /**
     * The ids of text that continues other text. Nothing is added: neither begin and end of text nor the space that
     * some tokenizers put before a text.
     *
     * @param parseSpecial as for {@link #encode(CharSequence, boolean, boolean)}
     */
    public int[] encodeContinuation(CharSequence text, boolean parseSpecial) {
        return encode(text, false, parseSpecial, false);
    }

    /** Whether the vocabulary has the tokens that {@link #encodeFillInTheMiddle} needs. */
    public boolean supportsFillInTheMiddle() {
        return fimTokens.areThere();
    }

    /**
     * The ids after which a model writes what stands between two texts: its token for a prefix, the prefix, its token
     * for a suffix, the suffix, and its token for the middle. No special token is parsed in the texts, and none is
     * added in front. A tokenizer that puts a space before a text puts it before the prefix alone.
     *
     * @throws UnsupportedOperationException if the file names no such tokens and the vocabulary has none that is known
     */
    public int[] encodeFillInTheMiddle(CharSequence prefix, CharSequence suffix) {
        fimTokens.require();
        IntList ids = new IntList((prefix.length() + suffix.length()) / 3 + 3);
        ids.add(fimTokens.prefix());
        for (int id : encode(prefix)) {
            ids.add(id);
        }
        ids.add(fimTokens.suffix());
        for (int id : encodeContinuation(suffix, false)) {
            ids.add(id);
        }
        ids.add(fimTokens.middle());
        return ids.toArray();
    }

    /** What ends a middle besides {@link #endTokens}. */
    BitSet fillInTheMiddleEnds() {
        return fimTokens.ends();
    }

    private int[] encode(CharSequence text, boolean addSpecial, boolean parseSpecial, boolean isBeginning) {
        if (text.length() >= LONG_TEXT && Carrier.isTaken()) {
            return Carrier.leave(() -> encode(text, addSpecial, parseSpecial, isBeginning));
        }
        byte[] bytes = Utf8.encode(text);
        IntList ids = new IntList(bytes.length / 3);
        if (addSpecial && addsBos) {
            ids.add(bos);
        }
        SpecialTokens.Matches matches = (parseSpecial ? allSpecial : alwaysMatched).find(bytes);
        int at = 0;
        for (int i = 0; i < matches.count(); i++) {
            int start = matches.position(i);
            int id = matches.id(i);
            encodePlain(bytes, at, start, isBeginning || i > 0, ids);
            ids.add(id);
            at = matches.end(i);
            if (eatsSpaceBehind.get(id)) {
                int limit = i + 1 < matches.count() ? matches.position(i + 1) : bytes.length;
                while (at < limit && isAsciiSpace(bytes[at])) {
                    at++;
                }
            }
        }
        encodePlain(bytes, at, bytes.length, isBeginning || matches.count() > 0, ids);
        if (addSpecial && addsEos) {
            ids.add(eos);
        }
        return ids.toArray();
    }

    /**
     * The tokens of a rendered conversation: what the template wrote with special tokens, what messages hold without.
     *
     * @param bytes UTF-8
     * @param literal bytes of it that belong to no special token: from and to of each range, ascending
     */
    void encodePrompt(byte[] bytes, int[] literal, PromptTokens prompt) {
        SpecialTokens.Matches matches = allSpecial.find(bytes, literal);
        boolean startsWithBos = matches.count() > 0 && matches.position(0) == 0 && matches.id(0) == bos;
        if (addsBos && !startsWithBos) {
            prompt.addSpecial(bos);
        }
        int at = 0;
        for (int i = 0; i < matches.count(); i++) {
            addPiece(bytes, at, matches.position(i), prompt);
            int id = matches.id(i);
            at = matches.end(i);
            if (isControl(id)) {
                prompt.addSpecial(id);
            } else {
                prompt.addText(bytes, matches.position(i), at, new int[] {id});
            }
            if (eatsSpaceBehind.get(id)) {
                int limit = i + 1 < matches.count() ? matches.position(i + 1) : bytes.length;
                while (at < limit && isAsciiSpace(bytes[at])) {
                    at++;
                }
            }
        }
        addPiece(bytes, at, bytes.length, prompt);
    }

    /** Whether a token stands for no text that anybody could write. */
    boolean isControl(int id) {
        TokenType type = vocabulary.type(id);
        return type == TokenType.CONTROL || type == TokenType.UNKNOWN;
    }

    /**
     * The texts that only a template may turn into tokens: of control tokens, and of those user-defined ones that the
     * template itself writes.
     */
    String[] specialTexts(String template) {
        Set<String> texts = new LinkedHashSet<>();
        for (int id = 0; id < vocabulary.size(); id++) {
            if (isControl(id) || vocabulary.type(id) == TokenType.USER_DEFINED) {
                String text = tokenText(id);
                if (!text.isBlank() && (isControl(id) || template.contains(text))) {
                    texts.add(text);
                }
            }
        }
        return texts.toArray(String[]::new);
    }

    private void addPiece(byte[] text, int from, int to, PromptTokens prompt) {
        if (from < to) {
            IntList ids = new IntList((to - from) / 3);
            encodePlain(text, from, to, true, ids);
            prompt.addText(text, from, to, ids.toArray());
        }
    }

    private void encodePlain(byte[] text, int from, int to, boolean prefix, IntList ids) {
        if (from < to) {
            model.encode(text, from, to, prefix, ids);
        }
    }

    private static boolean isAsciiSpace(byte b) {
        return b == ' ' || b >= '\t' && b <= '\r';
    }

    /**
     * The text of ids, with the text of control tokens in it; invalid UTF-8 becomes U+FFFD. The space that some
     * tokenizers put before a text is taken away again, so the ids should be those of a whole text; for the ids of a
     * continuation use {@link #newStreamDecoder}.
     *
     * @throws IllegalArgumentException if an id is not in the vocabulary
     */
    public String decode(int... ids) {
        return new String(decodeBytes(ids), StandardCharsets.UTF_8);
    }

    /** The bytes of the text that {@link #decode} gives, which need not be valid UTF-8. */
    public byte[] decodeBytes(int... ids) {
        ByteArrayOutputStream out = new ByteArrayOutputStream(4 * ids.length);
        boolean dropSpace = model.addsSpacePrefix();
        for (int id : ids) {
            byte[] bytes = tokenBytes(id);
            int from = 0;
            if (dropSpace && vocabulary.type(id) != TokenType.CONTROL) {
                from = bytes.length > 0 && bytes[0] == ' ' ? 1 : 0;
                dropSpace = false;
            }
            out.write(bytes, from, bytes.length - from);
        }
        return out.toByteArray();
    }

    /** The bytes of ids within a text: nothing is taken away. */
    byte[] textOf(int[] ids) {
        ByteArrayOutputStream out = new ByteArrayOutputStream(4 * ids.length);
        for (int id : ids) {
            out.writeBytes(tokenBytes(id));
        }
        return out.toByteArray();
    }

    /** A decoder for ids that arrive one at a time, which leaves special tokens out. */
    public StreamDecoder newStreamDecoder() {
        return newStreamDecoder(false);
    }

    /**
     * A decoder for ids that arrive one at a time.
     *
     * @param showSpecial whether the text of {@link TokenType#CONTROL} and {@link TokenType#UNKNOWN} tokens, and of
     *     those that end a generation, is part of the text
     */
    public StreamDecoder newStreamDecoder(boolean showSpecial) {
        return new StreamDecoder(this, showSpecial);
    }

    /**
     * The bytes that a token stands for; part of a character, perhaps. A control token stands for its own text.
     *
     * @throws IllegalArgumentException if the id is not in the vocabulary
     */
    public byte[] tokenBytes(int id) {
        checkId(id);
        return model.bytes(id);
    }

    /** A token as the file spells it, for example {@code Ġthe}, {@code ▁the} or {@code <0x0A>}. */
    public String tokenText(int id) {
        checkId(id);
        return new String(vocabulary.text(id), StandardCharsets.UTF_8);
    }

    /** What a token is for. */
    public TokenType tokenType(int id) {
        checkId(id);
        return vocabulary.type(id);
    }

    /** The token that the file spells so, for example {@code <|im_start|>}. */
    public OptionalInt token(String text) {
        return optional(vocabulary.find(Objects.requireNonNull(text, "text").getBytes(StandardCharsets.UTF_8)));
    }

    /** The number of tokens; ids go from 0 to one less. */
    public int vocabularySize() {
        return vocabulary.size();
    }

    /** The token of begin of text. */
    public OptionalInt bosToken() {
        return optional(bos);
    }

    /** The token of end of text; {@link #isEndOfGeneration} knows of further ones. */
    public OptionalInt eosToken() {
        return optional(eos);
    }

    /** Whether text encoded with special tokens starts with {@link #bosToken}. */
    public boolean addsBos() {
        return addsBos;
    }

    /** Whether text encoded with special tokens ends with {@link #eosToken}. */
    public boolean addsEos() {
        return addsEos;
    }

    /**
     * Whether a model that generates this token has finished: end of text, of turn or of message. That is
     *
     * <ul>
     *   <li>what the file names, whatever its type: in {@code tokenizer.ggml.eos_token_id}, {@code eot_token_id},
     *       {@code eom_token_id}, {@code eog_token_id}, their plural forms such as {@code eos_token_ids}, or as
     *       {@code eos_token_id} of a generation configuration that the file carries as JSON, under a key that ends
     *       with {@code generation_config} or {@code generation_config_json};
     *   <li>the end tokens of published models, such as {@code </s>} or {@code <end_of_turn>}, where they are of type
     *       {@link TokenType#CONTROL} or {@link TokenType#USER_DEFINED}; those of the form {@code <|...|>}, such as
     *       {@code <|im_end|>}, of any type.
     * </ul>
     *
     * <p>Other text ends nothing: {@code </s>} of type {@link TokenType#NORMAL} is a tag of HTML.
     */
    public boolean isEndOfGeneration(int id) {
        checkId(id);
        return endTokens.get(id);
    }

    /** All ids that {@link #isEndOfGeneration} holds for. Not to be changed. */
    BitSet endTokens() {
        return endTokens;
    }

    /** Whether a token is no part of the text that a model writes: control tokens, unknown ones and ends. */
    boolean isSpecial(int id) {
        TokenType type = vocabulary.type(id);
        return type == TokenType.CONTROL || type == TokenType.UNKNOWN || endTokens.get(id);
    }

    /** All ids whose bytes have one of the texts in them, in ascending order. The last answer is kept. */
    int[] tokensWith(List<String> parts) {
        TokensWith known = tokensWith;
        if (known == null || !known.parts.equals(parts)) {
            byte[][] wanted = parts.stream().map(part -> part.getBytes(StandardCharsets.UTF_8)).toArray(byte[][]::new);
            int[] ids = IntStream.range(0, vocabularySize())
                    .filter(id -> Arrays.stream(wanted).anyMatch(part -> contains(model.bytes(id), part)))
                    .toArray();
            tokensWith = known = new TokensWith(parts, ids);
        }
        return known.ids;
    }

    private static boolean contains(byte[] bytes, byte[] part) {
        for (int at = 0; at + part.length <= bytes.length; at++) {
            if (Arrays.equals(bytes, at, at + part.length, part, 0, part.length)) {
                return true;
            }
        }
        return false;
    }

    private static OptionalInt optional(int id) {
        return id < 0 ? OptionalInt.empty() : OptionalInt.of(id);
    }

    /**
     * What a token gives behind whole characters, if it leaves none incomplete and {@link #keepText} was told; else
     * null. One load instead of decoding, which matters behind a decode step that has emptied the caches.
     */
    String knownText(int id) {
        checkId(id);
        return texts[id];
    }

    void keepText(int id, String text) {
        texts[id] = text;
    }

    private void checkId(int id) {
        if (id < 0 || id >= texts.length) {
            throw new IllegalArgumentException(
                    "token id " + id + " is outside the vocabulary of " + texts.length + " tokens");
        }
    }
}
