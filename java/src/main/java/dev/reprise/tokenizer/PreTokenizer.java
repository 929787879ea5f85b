package dev.reprise.tokenizer;

import dev.reprise.UnsupportedModelException;

/**
 * Cuts text into the words within which byte-level BPE merges. Each is defined by a regular expression of the model's
 * authors; these are scanners written by hand, which take a tenth of the time.
 */
abstract class PreTokenizer {
    private static final String SUPPORTED =
            "llama-bpe, llama3, llama-v3, qwen2, deepseek-r1-qwen, gpt-2, smollm, default";

    /** @throws UnsupportedModelException if {@code name} is none that is known */
    static PreTokenizer named(String name) {
        return switch (name) {
            case "llama-bpe", "llama3", "llama-v3" -> new TiktokenScanner(3);
            case "qwen2", "deepseek-r1-qwen" -> new TiktokenScanner(1);
            case "gpt-2" -> new Gpt2Scanner(false);
            case "smollm" -> new Gpt2Scanner(true);
            case "default" -> new DefaultScanner();
            default -> throw new UnsupportedModelException(
                    "pre-tokenizer '" + name + "' (tokenizer.ggml.pre) is not supported; supported are " + SUPPORTED);
        };
    }

    /**
     * The end of the word that starts at {@code from}.
     *
     * @param text UTF-8
     * @param from less than {@code end}
     */
    abstract int next(byte[] text, int from, int end);

    /** The end of the run of characters of one class. */
    static int run(int charClass, byte[] text, int from, int end) {
        int at = from;
        while (at < end) {
            int c = CodePoints.at(text, at, end);
            if (CodePoints.classOf(c) != charClass) {
                break;
            }
            at += CodePoints.lengthOf(c);
        }
        return at;
    }

    /** The end of the run of characters that are no letter, number or space. */
    static int othersRun(byte[] text, int from, int end) {
        int at = from;
        while (at < end) {
            int c = CodePoints.at(text, at, end);
            if (CodePoints.classOf(c) < CodePoints.OTHER) {
                break;
            }
            at += CodePoints.lengthOf(c);
        }
        return at;
    }

    /** The start of the last character in a run of white space. */
    static int lastSpace(byte[] text, int from, int end) {
        int last = end - 1;
        while (last > from && (text[last] & 0xC0) == 0x80) {
            last--;
        }
        return last;
    }

    /** The length of {@code 's 't 'm 'd 're 've 'll} at {@code from}, where an apostrophe is, or 0. */
    static int contraction(byte[] text, int from, int end, boolean ignoreCase) {
        if (end - from < 2) {
            return 0;
        }
        int fold = ignoreCase ? 0x20 : 0;
        int first = text[from + 1] | fold;
        if (first == 's' || first == 't' || first == 'm' || first == 'd') {
            return 2;
        }
        if (end - from < 3) {
            return 0;
        }
        int second = text[from + 2] | fold;
        boolean pair = first == 'r' && second == 'e' || first == 'v' && second == 'e' || first == 'l' && second == 'l';
        return pair ? 3 : 0;
    }
}
