"""Writes unigram.json: a small unigram model of SentencePiece, texts and their ids.

    python3 -m venv /tmp/sp && /tmp/sp/bin/pip install sentencepiece protobuf
    /tmp/sp/bin/python unigram.py > ../resources/dev/reprise/unigram.json

The normalisation has rules of one and several characters to one, several and none, so that the map of characters in the
model is walked in every way and stays small.
"""

import base64
import io
import json
import tempfile

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb

RULES = {
    "ﬁ": "fi",
    "Ａ": "A",
    "…": "...",
    "\u200b": "",
    "e\u0301": "é",
    "ab\u0301c": "X",
    "\t": " ",
    "\u3000": " ",
    "½": "1/2",
    "㎞": "km",
    "中\u0301": "Y Z",
}
CORPUS = """the quick brown fox jumps over the lazy dog and the cat sat on the mat while it rained all day long
a model of language learns which words follow which and how often they do so in the text that it was given
der schnelle braune fuchs springt über den faulen hund le renard brun rapide saute par dessus le chien
one two three four five six seven eight nine ten 1 2 3 4 5 6 7 8 9 10 100 1000 fi km
tokens are pieces of words pieces of tokens are characters and characters are bytes in the end""".split("\n")
TEXTS = [
    "the quick brown fox",
    " the  quick   brown ",
    "",
    " ",
    "a",
    "unknown: ЖЖЖ here",
    "中文 the 中文中文",
    "ﬁve Ａ… ㎞",
    "e\u0301te é té",
    "ab\u0301c ab\u0301 abc",
    "zero\u200bwidth",
    "tab\tand\u3000wide",
    "½ half",
    "中\u0301x",
    "thethethe",
    "characters",
    "😀 tokens 😀😀",
    "ten\nnine",
    "▁the ▁",
    "the.the,the",
    "quick " * 30,
]


def trained(**options):
    rules = "".join(
        " ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) + "\n" for a, b in RULES.items()
    )
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.write(rules)
        file.flush()
        out = io.BytesIO()
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS * 20),
            model_writer=out,
            vocab_size=120,
            model_type="unigram",
            normalization_rule_tsv=file.name,
            minloglevel=2,
            hard_vocab_limit=False,
            **options,
        )
    return out.getvalue()


def main():
    models = []
    for merges, prefix in ((True, True), (False, True), (False, False)):
        data = trained(remove_extra_whitespaces=merges, add_dummy_prefix=prefix)
        proto = pb.ModelProto.FromString(data)
        processor = spm.SentencePieceProcessor(model_proto=data)
        models.append(
            {
                "merge_spaces": merges,
                "space_prefix": prefix,
                "tokens": [p.piece for p in proto.pieces],
                "types": [p.type for p in proto.pieces],
                "scores": [p.score for p in proto.pieces],
                "characters": base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode(),
                "texts": [{"text": text, "ids": processor.encode(text)} for text in TEXTS],
            }
        )
    print(json.dumps(models, indent=0))


main()
