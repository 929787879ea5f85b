package dev.reprise;

import dev.reprise.Metadata.Type;
import dev.reprise.json.Json;
import dev.reprise.tokenizer.Vocabulary;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Map;

/**
 * The tokens that end a generation, by the rule that {@link Tokenizer#isEndOfGeneration} states. What cannot be taken
 * for a token is none, with a warning: it must not keep text from being tokenized or a model from being loaded.
 */
final class EndTokens {
    private static final String EOS = "tokenizer.ggml.eos_token_id";

    /** Each an id, or an array of ids. The plural forms are what converters write that know several ends. */
    private static final List<String> KEYS = List.of(
            EOS, "tokenizer.ggml.eos_token_ids", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eot_token_ids",
            "tokenizer.ggml.eom_token_id", "tokenizer.ggml.eom_token_ids", "tokenizer.ggml.eog_token_id",
            "tokenizer.ggml.eog_token_ids");

    /** How the keys end that hold the text of a model's generation_config.json. */
    private static final List<String> CONFIGURATIONS =
            List.of("generation_config", "generation_config_json", "generation_config.json");
    /** How the keys end that hold but the ends of one. */
    private static final List<String> CONFIGURED_IDS =
            List.of("generation_config.eos_token_id", "generation_config.eos_token_ids");

    /** Ends of text, turn or message in published models. Files often name but one of them in their keys. */
    private static final List<String> TEXTS = List.of(
            "</s>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "<end_of_turn>",
            "<|end|>", "<|return|>", "<|call|>", "<EOT>", "_<EOT>", "<|end_of_turn|>", "<|END_OF_TURN_TOKEN|>",
            "<end_of_utterance>", "<turn|>", "<｜end▁of▁sentence｜>");

    private final Metadata metadata;
    private final int vocabularySize;
    private final BitSet ids = new BitSet();
    private final BitSet ordinary = new BitSet();
    private int eos = -1;

    /** Reads what the file names. */
    EndTokens(Metadata metadata, int vocabularySize) {
        this.metadata = metadata;
        this.vocabularySize = vocabularySize;
        for (String key : KEYS) {
            readIds(key);
        }
        for (String key : metadata.keys()) {
            if (key.contains("generation_config")) {
                if (endsWithOneOf(key, CONFIGURATIONS)) {
                    readConfiguration(key);
                } else if (endsWithOneOf(key, CONFIGURED_IDS)) {
                    readIds(key);
                }
            }
        }
    }

    private static boolean endsWithOneOf(String key, List<String> ends) {
        for (String end : ends) {
            if (key.endsWith(end)) {
                return true;
            }
        }
        return false;
    }

    private void readIds(String key) {
        Object value = metadata.value(key).orElse(null);
        if (value != null) {
            add(key, value);
        }
    }

    private void readConfiguration(String key) {
        if (metadata.type(key).get() != Type.STRING) {
            Log.warn("metadata key " + key + " is no string: what ends a generation is not taken from it");
            return;
        }
        try {
            if (Json.parse(metadata.string(key, "")) instanceof Map<?, ?> configuration) {
                Object value = configuration.get("eos_token_id");
                if (value != null) {
                    add(key, value);
                }
                return;
            }
            Log.warn("metadata key " + key + " is no JSON object: what ends a generation is not taken from it");
        } catch (IllegalArgumentException e) {
            Log.warn("metadata key " + key + " is no JSON: what ends a generation is not taken from it; "
                    + e.getMessage());
        }
    }

    private void add(String key, Object value) {
        for (Object one : value instanceof List<?> list ? list : List.of(value)) {
            int id = idOf(key, one, vocabularySize);
            if (id < 0) {
                continue;
            }
            ids.set(id);
            if (eos < 0 && key.equals(EOS)) {
                eos = id;
            }
        }
    }

    /** The id that a value stands for; none (-1), with a warning, if it is none of the vocabulary. */
    static int idOf(String key, Object value, int vocabularySize) {
        double id = value instanceof Number number ? number.doubleValue() : Double.NaN;
        if (id >= 0 && id < vocabularySize && id == Math.rint(id)) {
            return (int) id;
        }
        Log.warn("metadata key " + key + " names "
                + (value instanceof Number ? "token " + value : value instanceof String ? "'" + value + "'" : value)
                + ", which is no id of the vocabulary of " + vocabularySize + " tokens: taken for none");
        return -1;
    }

    /** Sets the end of text where the file does not name one. */
    void setDefaultEos(int id) {
        if (!metadata.contains(EOS) && id < vocabularySize) {
            eos = id;
            ids.set(id);
        }
    }

    /** Adds the tokens that are ends by their text. They become control tokens, which ordinary text never yields. */
    void addKnownTexts(Vocabulary vocabulary) {
        List<Integer> found = new ArrayList<>();
        for (String text : TEXTS) {
            int id = find(vocabulary, text);
            if (id < 0) {
                continue;
            }
            if (ids.get(id) || isSpecial(text, vocabulary.type(id))) {
                found.add(id);
            } else {
                ordinary.set(id);
            }
        }
        // In the harmony format of gpt-oss <|end|> ends a message, and the next one follows.
        int end = find(vocabulary, "<|end|>");
        boolean harmony = find(vocabulary, "<|return|>") >= 0 && find(vocabulary, "<|call|>") >= 0;
        for (int id : found) {
            vocabulary.setType(id, TokenType.CONTROL);
            if (id != end || !harmony) {
                ids.set(id);
            }
        }
    }

    /** Whether this is more than words that people write, as {@code </s>} is in a vocabulary that learnt HTML. */
    private static boolean isSpecial(String text, TokenType type) {
        boolean barred = text.startsWith("<|") && text.endsWith("|>") || text.startsWith("<｜") && text.endsWith("｜>");
        return barred || type == TokenType.CONTROL || type == TokenType.USER_DEFINED;
    }

    private static int find(Vocabulary vocabulary, String text) {
        return vocabulary.find(text.getBytes(StandardCharsets.UTF_8));
    }

    /** The end of text, -1 if there is none. */
    int eos() {
        return eos;
    }

    /**
     * Tokens spelled as ends are that end nothing here. In a text whose special tokens are parsed they are still
     * matched as a whole, as in other implementations.
     */
    BitSet ordinary() {
        return ordinary;
    }

    BitSet ids() {
        return ids;
    }

    static int[] toArray(BitSet ids) {
        int[] result = new int[ids.cardinality()];
        int count = 0;
        for (int id = ids.nextSetBit(0); id >= 0; id = ids.nextSetBit(id + 1)) {
            result[count++] = id;
        }
        return result;
    }
}
