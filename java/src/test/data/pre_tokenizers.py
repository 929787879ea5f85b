r"""Writes pre_tokenizers.json: how Python's regex cuts texts by the expressions of published pre-tokenizers.

    python3 -m venv /tmp/regex && /tmp/regex/bin/pip install regex
    /tmp/regex/bin/python pre_tokenizers.py > ../resources/dev/reprise/pre_tokenizers.json

The expressions are those of the models' tokenizer.json or tokenizer code, in their own words but for contractions of
any case, which mean ASCII alone. Each cuts the pieces of the one before; what lies between two matches is a piece.
"""

import json

import regex

CL100K = (
    r"(?:'[sStTmMdD]|'[rR][eE]|'[vV][eE]|'[lL][lL])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,%d}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
ANY = r"(?:'[sStTmMdD]|'[rR][eE]|'[vV][eE]|'[lL][lL])"
U, L = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"


def o200k(behind, rest, upper=f"[{U}]", lower=f"[{L}]"):
    word = r"[^\r\n\p{L}\p{N}]?"
    return f"{word}{upper}*{lower}+{behind}|{word}{upper}+{lower}*{behind}|{rest}" r"|\s*[\r\n]+|\s+(?!\S)|\s+"


SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
# DeepSeek lists the letters with case; this is the same for the letters of the texts below.
CASED = r"[\p{Lu}\p{Ll}\p{Lt}]"

KINDS = {
    "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano dbrx smaug-bpe chatglm-bpe glm4": [
        CL100K % 3
    ],
    "qwen2 deepseek-r1-qwen stablelm2 hunyuan solar-open megrez grok-2 kormo f2llmv2": [CL100K % 1],
    "gpt-2 phi-2 mpt olmo dolma gpt-neox jais trillion granite-docling exaone4 gigachat a.x-4.0 mellum modern-bert "
    "roberta-bpe jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code": [GPT2],
    "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2": [r"\p{N}", GPT2],
    "default": [r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
    "falcon": [r"[\p{P}$+<=>^~|`]+", GPT2, r"[0-9][0-9][0-9]"],
    "deepseek-llm": [
        r"[\r\n]",
        rf"\s?{CASED}+",
        r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
        r"\s+$",
        r"[一-龥ࠀ-一가-퟿]+",
        r"\p{N}",
    ],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}"],
    "deepseek-v3 hunyuan-dense joyai-llm hy_v4": [r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK],
    "qwen35": [(CL100K % 1).replace(r"\p{L}+", r"[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")],
    "gpt-4o llama4 minimax-m2 kanana2 talkie granite-embed-multi-97m": [o200k(f"{ANY}?", r"\p{N}{1,3}|" + SLASH)],
    "tekken": [o200k("", r"\p{N}|" + SLASH)],
    "bloom poro-chat gpt3-finnish": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
    "kimi-k2": [
        r"\p{Han}+|"
        + o200k(
            f"{ANY}?", r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*", rf"(?:(?!\p{{Han}})[{U}])", rf"(?:(?!\p{{Han}})[{L}])"
        )
    ],
    "superbpe": [r"\p{N}+", r"(?=(?:\d{3})+(?!\d))"],
    "bailingmoe bailingmoe2 llada-moe": [
        r"'(?:[sdmtSDMT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
    ],
    "seed-coder": [ANY + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "afmoe": [
        r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))",
        r"[一-鿿㐀-䶿\uF900-\uFAFF぀-ゟ゠-ヿ･-ﾟ⼀-⿟\u0E40-\u0E7F\u0E80-\u0EFF\u1780-\u17FF\u1000-\u109F"
        r"\uAA60-\uAA7F\uA9E0-\uA9FF\uAC00-\uD7AF\u1100-\u11FF]+",
        DEEPSEEK,
    ],
    "exaone-moe": [
        ANY + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?"
        r"|\s*[\r\n]|\s+(?!\S)|\s+"
    ],
    "jais-2": [
        (CL100K % 3).replace(r"|\s+(?!\S)|\s+", "")
        + "".join(rf"|\s{{{n}}}(?!\S)" for n in ("512", "256", "128", "64", "32", "16", "8", "4", "1,2"))
        + r"|\s{1}"
    ],
    "tiny_aya cohere2moe": [r"\d{1,3}(?=(?:\d{3})*\b)", o200k(f"{ANY}?", r"\p{N}{1,3}|" + SLASH)],
    "youtu": [
        r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+",
        o200k(f"{ANY}?", r"\p{N}|" + SLASH),
    ],
    "laguna": [r"[^\n]+|[\n]+", CL100K % 1],
    "minicpm5": [r"\p{N}{1,3}", (CL100K % 1).replace(r"|\p{N}{1,1}", r"|\p{N}+")],
    "chameleon": [
        r"<sentinel:[0-9]+>",
        r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
        r"([\t\n]|    |  )",
        r"\p{N}",
        r"[\p{P}!-/:-@\[-`{-~]",
        GPT2,
    ],
}

TEXTS = [
    "Hello, world!",
    "I'm you're HE'LL we'Ve 'd'S",
    "  two  spaces\tand tab \n\n new\r\n lines  \n",
    "1234567 12 3,456.78",
    "abc1234567def 1234567",
    "x = foo_bar(1) + $baz; // path/to\\file",
    "naïve façade Ωμέγα Привет МИР",
    "中文字符和English混合，标点。",
    "日本語のカタカナとひらがな",
    "한국어 문장입니다 ㅋㅋ",
    "हिन्दी में पाठ १२३४",
    "ประเทศไทย ภาษาไทย",
    "e\u0301t\u0301e cafe\u0301s",
    "CamelCaseWords HTTPServer iPhone McDONALD's",
    "!important #include <x> .method @user",
    "    indented\n\t\tcode()\n    return 0;\n",
    "a b c d ef g",
    "(see: x|y, z!?) … 、",
    "😀😃 👩‍👩‍👧 ok",
    "½ ² Ⅷ ٣٤٥ １２３４",
    "trailing   ",
    "   ",
    "\n",
    "a/b//c\n/d",
    "''''' \"quoted\"",
    "１０００円",
    "don’t “smart” —dash—",
    "1234²567 12²345 1²",
    "<sentinel:12> IMGIMGABCZ x",
    "ㄅㄆㄇ注音",
    "ǅ ʰ ª test",
    "word\u00a0nbsp\u3000wide",
    "a" * 9 + " " * 13 + "b",
    "1,000,000.5%",
    "Ünïcödé ÀÉÎ",
    "\u0000\u0001 ctrl",
    "x\u200by",
    "v1.2.3-rc4",
    "ａｂｃ ＡＢＣ",
    "don'T 'RE 'tis",
]


def pieces_of(expressions, text):
    pieces = [text]
    for expression in expressions:
        pattern = regex.compile(expression)
        finer = []
        for piece in pieces:
            cuts = {0, len(piece)}
            for match in pattern.finditer(piece):
                cuts.update(match.span())
            places = sorted(cuts)
            finer += [piece[a:b] for a, b in zip(places, places[1:])]
        pieces = finer
    return pieces


def main():
    print("{")
    rows = []
    for names, expressions in KINDS.items():
        cases = [json.dumps(pieces_of(expressions, text)) for text in TEXTS]
        rows.append(json.dumps(names) + ": [\n" + ",\n".join(cases) + "\n]")
    print(",\n".join(rows))
    print("}")


main()
