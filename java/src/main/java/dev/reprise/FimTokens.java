package dev.reprise;

import dev.reprise.tokenizer.Vocabulary;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/**
 * The tokens by which a model fills in the middle between a prefix and a suffix (Bavarian et al. 2022, "Efficient
 * training of language models to fill in the middle"): those that the file names, or that published models have.
 */
final class FimTokens {
    private static final String KEY = "tokenizer.ggml.";

    /** A token's part, the keys that name it, and its texts in published vocabularies. */
    private enum Part {
        PREFIX(List.of("fim_pre_token_id", "prefix_token_id"), List.of(
                "<|fim_prefix|>", "<fim_prefix>", "<fim-prefix>", "<｜fim▁begin｜>", "\u2581<PRE>", "<PRE>",
                "<|code_prefix|>", "<|prefix|>")),
        SUFFIX(List.of("fim_suf_token_id", "suffix_token_id"), List.of(
                "<|fim_suffix|>", "<fim_suffix>", "<fim-suffix>", "<｜fim▁hole｜>", "\u2581<SUF>", "<SUF>",
                "<|code_suffix|>", "<|suffix|>")),
        MIDDLE(List.of("fim_mid_token_id", "middle_token_id"), List.of(
                "<|fim_middle|>", "<fim_middle>", "<fim-middle>", "<｜fim▁end｜>", "\u2581<MID>", "<MID>",
                "<|code_middle|>", "<|middle|>")),
        PAD(List.of("fim_pad_token_id"), List.of("<|fim_pad|>", "<fim_pad>", "<fim-pad>", "<PAD>")),
        REPOSITORY(List.of("fim_rep_token_id"), List.of(
                "<|fim_repo|>", "<|repo_name|>", "<repo_name>", "<fim-repo>", "<reponame>", "<REPO>")),
        SEPARATOR(List.of("fim_sep_token_id"), List.of(
                "<|file_sep|>", "<file_sep>", "<|file_separator|>", "<fim-sep>")),
        END(List.of("eot_token_id"), List.of("\u2581<EOT>", "<EOT>"));

        private final List<String> keys;
        private final List<String> texts;

        Part(List<String> keys, List<String> texts) {
            this.keys = keys;
            this.texts = texts;
        }

        /** The id, or -1. */
        int find(Metadata metadata, Vocabulary vocabulary) {
            for (String key : keys) {
                Object value = metadata.value(KEY + key).orElse(null);
                int id = value == null ? -1 : EndTokens.idOf(KEY + key, value, vocabulary.size());
                if (id >= 0) {
                    return id;
                }
            }
            for (String text : texts) {
                int id = vocabulary.find(text.getBytes(StandardCharsets.UTF_8));
                if (id >= 0) {
                    return id;
                }
            }
            return -1;
        }
    }

    private final int prefix;
    private final int suffix;
    private final int middle;
    private final BitSet ends = new BitSet();

    /** Tokens that are found become control tokens, which ordinary text never yields, if a middle can be filled in. */
    FimTokens(Metadata metadata, Vocabulary vocabulary) {
        prefix = Part.PREFIX.find(metadata, vocabulary);
        suffix = Part.SUFFIX.find(metadata, vocabulary);
        middle = Part.MIDDLE.find(metadata, vocabulary);
        if (!areThere()) {
            return;
        }
        for (Part end : List.of(Part.PAD, Part.REPOSITORY, Part.SEPARATOR, Part.END)) {
            int id = end.find(metadata, vocabulary);
            if (id >= 0) {
                ends.set(id);
                vocabulary.setType(id, TokenType.CONTROL);
            }
        }
        for (int id : new int[] {prefix, suffix, middle}) {
            vocabulary.setType(id, TokenType.CONTROL);
        }
    }

    boolean areThere() {
        return prefix >= 0 && suffix >= 0 && middle >= 0;
    }

    /** @throws UnsupportedOperationException if one is missing */
    void require() {
        List<String> missing = new ArrayList<>();
        if (prefix < 0) {
            missing.add("prefix (" + KEY + "fim_pre_token_id)");
        }
        if (suffix < 0) {
            missing.add("suffix (" + KEY + "fim_suf_token_id)");
        }
        if (middle < 0) {
            missing.add("middle (" + KEY + "fim_mid_token_id)");
        }
        if (!missing.isEmpty()) {
            throw new UnsupportedOperationException("the model cannot fill in a middle: its file names no token for "
                    + String.join(", ", missing) + ", and its vocabulary has none that is known; take a model that was "
                    + "trained for it, most often one for code");
        }
    }

    int prefix() {
        return prefix;
    }

    int suffix() {
        return suffix;
    }

    int middle() {
        return middle;
    }

    /** What ends a middle besides what ends any generation: padding, and what begins another file. */
    BitSet ends() {
        return ends;
    }
}
