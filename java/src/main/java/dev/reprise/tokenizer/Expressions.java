package dev.reprise.tokenizer;

import static dev.reprise.tokenizer.ExpressionCutter.matches;

/**
 * The expressions of published pre-tokenizers, from the models' {@code tokenizer.json} or tokenizer code. Contractions
 * are spelled out where those ask for any case, which is meant in ASCII alone.
 */
final class Expressions {
    private static final String CONTRACTION = "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])";
    private static final String GPT2 =
            "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    /** The ends of most: what is left of white space. */
    private static final String SPACES = "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    private static final String QWEN2 = CONTRACTION
            + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" + SPACES;
    private static final String UPPER = "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}";
    private static final String LOWER = "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}";
    /** Punctuation before ASCII letters, words with their marks, punctuation and symbols, white space. */
    private static final String DEEPSEEK_V3 = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
            + "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" + SPACES;
    private static final String HAN_AND_KANA = "[\\u4E00-\\u9FA5\\u3040-\\u309F\\u30A0-\\u30FF]+";
    private static final String HAN_AND_HANGUL = "[\\u4E00-\\u9FA5\\u0800-\\u4E00\\uAC00-\\uD7FF]+";
    private static final String BLOOM =
            " ?[^(\\s|.,!?\\u2026\\u3002\\uFF0C\\u3001\\u0964\\u06D4\\u060C)]+";
    /** The letters that have case, as of the Unicode version that DeepSeek's list was made of. */
    private static final String CASED_LETTERS =
            "A-Za-z\\u00B5\\u00C0-\\u00D6\\u00D8-\\u00F6\\u00F8-\\u01BA\\u01BC-\\u01BF\\u01C4-\\u0293"
            + "\\u0295-\\u02AF\\u0370-\\u0373\\u0376\\u0377\\u037B-\\u037D\\u037F\\u0386\\u0388-\\u038A\\u038C"
            + "\\u038E-\\u03A1\\u03A3-\\u03F5\\u03F7-\\u0481\\u048A-\\u052F\\u0531-\\u0556\\u10A0-\\u10C5"
            + "\\u13A0-\\u13F5\\u13F8-\\u13FD\\u1C90-\\u1CBA\\u1CBD-\\u1CBF\\u1D00-\\u1D2B\\u1D6B-\\u1D77"
            + "\\u1D79-\\u1D9A\\u1E00-\\u1F15\\u1F18-\\u1F1D\\u1F20-\\u1F45\\u1F48-\\u1F4D\\u1F50-\\u1F57"
            + "\\u1F59\\u1F5B\\u1F5D\\u1F5F-\\u1F7D\\u1F80-\\u1FB4\\u1FB6-\\u1FBC\\u1FBE\\u1FC2-\\u1FC4"
            + "\\u1FC6-\\u1FCC\\u1FD0-\\u1FD3\\u1FD6-\\u1FDB\\u1FE0-\\u1FEC\\u1FF2-\\u1FF4\\u1FF6-\\u1FFC"
            + "\\u2102\\u2107\\u210A-\\u2113\\u2115\\u2119-\\u211D\\u2124\\u2126\\u2128\\u212A-\\u212D"
            + "\\u212F-\\u2134\\u2139\\u213C-\\u213F\\u2145-\\u2149\\u214E\\u2183\\u2184\\u2C00-\\u2C7B"
            + "\\u2C7E-\\u2CE4\\u2CEB-\\u2CEE\\u2CF2\\u2CF3\\uA640-\\uA66D\\uA680-\\uA69B\\uA722-\\uA76F"
            + "\\uA771-\\uA787\\uA78B-\\uA78E\\uAB70-\\uABBF\\uFB00-\\uFB06\\uFB13-\\uFB17\\uFF21-\\uFF3A"
            + "\\uFF41-\\uFF5A\\x{10400}-\\x{1044F}\\x{104B0}-\\x{104D3}\\x{104D8}-\\x{104FB}"
            + "\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}";

    private Expressions() {}

    static PreTokenizer falcon() {
        return new ExpressionCutter(matches("[\\p{P}$+<=>^~|`]+"), matches(GPT2), matches("[0-9][0-9][0-9]"));
    }

    static PreTokenizer deepseekLlm() {
        return new ExpressionCutter(matches("[\\r\\n]"), matches("\\s?[" + CASED_LETTERS + "]+"),
                matches("\\s?[!-/:-~\\uFF01-\\uFF0F\\uFF1A-\\uFF5E\\u2018-\\u201F\\u3000-\\u3002]+"),
                matches("\\s+\\z"), matches(HAN_AND_HANGUL), matches("\\p{N}"));
    }

    static PreTokenizer deepseekCoder() {
        return new ExpressionCutter(matches("[\\r\\n]"), matches("\\s?\\p{L}+"), matches("\\s?\\p{P}+"),
                matches(HAN_AND_HANGUL), matches("\\p{N}"));
    }

    static PreTokenizer deepseekV3() {
        return new ExpressionCutter(matches("\\p{N}{1,3}"), matches(HAN_AND_KANA), matches(DEEPSEEK_V3));
    }

    static PreTokenizer qwen35() {
        return new ExpressionCutter(matches(CONTRACTION + "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"
                + "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" + SPACES));
    }

    /** Words whose case changes at most once, from upper to lower, with what may go before and behind. */
    private static String cased(String upper, String lower, String behind, String rest) {
        String before = "[^\\r\\n\\p{L}\\p{N}]?";
        return before + "[" + upper + "]*[" + lower + "]+" + behind + "|" + before + "[" + upper + "]+[" + lower + "]*"
                + behind + "|" + rest + SPACES;
    }

    private static final String OTHERS = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*";

    static PreTokenizer gpt4o() {
        return new ExpressionCutter(
                matches(cased(UPPER, LOWER, "(?:" + CONTRACTION + ")?", "\\p{N}{1,3}|" + OTHERS)));
    }

    static PreTokenizer tekken() {
        return new ExpressionCutter(matches(cased(UPPER, LOWER, "", "\\p{N}|" + OTHERS)));
    }

    static PreTokenizer kimiK2() {
        String notHan = "&&[^\\p{IsHan}]";
        return new ExpressionCutter(matches("\\p{IsHan}+|" + cased(UPPER + notHan, LOWER + notHan,
                "(?:" + CONTRACTION + ")?", "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*")));
    }

    static PreTokenizer tinyAya() {
        return new ExpressionCutter(DigitGroups::beforeWordEnds,
                matches(cased(UPPER, LOWER, "(?:" + CONTRACTION + ")?", "\\p{N}{1,3}|" + OTHERS)));
    }

    static PreTokenizer youtu() {
        return new ExpressionCutter(
                matches("[\\uAC00-\\uD7A3\\u3131-\\u318E]+"
                        + "|[\\uFF01\\u2026\\u201C\\u201D\\u2018\\u2019\\u2014\\uFF1A\\uFF1B\\uFF0C"
                        + "\\u3001-\\u303F\\uFE30-\\uFE4F]+|[\\u3105-\\u312F]+|" + HAN_AND_KANA),
                matches(cased(UPPER, LOWER, "(?:" + CONTRACTION + ")?", "\\p{N}|" + OTHERS)));
    }

    static PreTokenizer bloom() {
        return new ExpressionCutter(matches(BLOOM));
    }

    static PreTokenizer viking() {
        return new ExpressionCutter(matches(BLOOM), matches("\\p{N}"));
    }

    static PreTokenizer superBpe() {
        return new ExpressionCutter(matches("\\p{N}+"), DigitGroups::starts);
    }

    static PreTokenizer afMoe() {
        return new ExpressionCutter(DigitGroups::ofNumbers,
                matches("[\\u4E00-\\u9FFF\\u3400-\\u4DBF\\uF900-\\uFAFF\\u3040-\\u309F\\u30A0-\\u30FF"
                        + "\\uFF65-\\uFF9F\\u2F00-\\u2FDF\\u0E40-\\u0E7F\\u0E80-\\u0EFF\\u1780-\\u17FF"
                        + "\\u1000-\\u109F\\uAA60-\\uAA7F\\uA9E0-\\uA9FF\\uAC00-\\uD7AF\\u1100-\\u11FF]+"),
                matches(DEEPSEEK_V3));
    }

    static PreTokenizer bailingMoe() {
        return new ExpressionCutter(matches(CONTRACTION + "|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}"
                + "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"));
    }

    static PreTokenizer seedCoder() {
        return new ExpressionCutter(matches(CONTRACTION
                + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" + SPACES));
    }

    /** Words go on across single spaces between words of one letter. */
    static PreTokenizer exaoneMoe() {
        return new ExpressionCutter(matches(CONTRACTION
                + "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*+(?: \\p{L}\\p{M}*+)*+)++"
                + "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"));
    }

    static PreTokenizer jais2() {
        return new ExpressionCutter(matches(CONTRACTION + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
                + "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)"
                + "|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)"
                + "|\\s{1,2}(?!\\S)|\\s"));
    }

    static PreTokenizer laguna() {
        return new ExpressionCutter(matches("[^\\n]+|\\n+"), matches(QWEN2));
    }

    static PreTokenizer miniCpm5() {
        return new ExpressionCutter(matches("\\p{N}{1,3}"), matches(CONTRACTION
                + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" + SPACES));
    }

    static PreTokenizer chameleon() {
        return new ExpressionCutter(matches("<sentinel:[0-9]+>"), matches("IMGIMG[A-I]{1,4}Z"),
                matches("[\\t\\n]|    |  "), matches("\\p{N}"), matches("[\\p{P}!-/:-@\\[-`{-~]"), matches(GPT2));
    }
}
