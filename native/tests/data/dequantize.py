"""Writes dequantize.json: what the Python package gguf makes of random blocks of every quantised type.

    python3 -m venv /tmp/gguf && /tmp/gguf/bin/pip install gguf==0.19.0
    /tmp/gguf/bin/python dequantize.py > dequantize.json

Blocks are bytes of SplitMix64 with factors of 1, so many that every entry of the codebooks occurs. Of the weights two
sums are kept: of their squares, and of their products with numbers that differ from place to place.
"""

import json

import gguf
import numpy as np

BLOCKS = 1500
SEED = 20
ONE = [0x00, 0x3C]  # 1 as float16
# Where a block holds its factors, and what they become; IQ1_M has nibbles of one, see below.
FACTORS = {
    "Q4_0": {0: ONE},
    "Q4_1": {0: ONE, 2: ONE},
    "Q5_0": {0: ONE},
    "Q5_1": {0: ONE, 2: ONE},
    "Q8_0": {0: ONE},
    "Q2_K": {80: ONE, 82: ONE},
    "Q3_K": {108: ONE},
    "Q4_K": {0: ONE, 2: ONE},
    "Q5_K": {0: ONE, 2: ONE},
    "Q6_K": {208: ONE},
    "IQ2_XXS": {0: ONE},
    "IQ2_XS": {0: ONE},
    "IQ2_S": {0: ONE},
    "IQ3_XXS": {0: ONE},
    "IQ3_S": {0: ONE},
    "IQ1_S": {0: ONE},
    "IQ1_M": {},
    "IQ4_NL": {0: ONE},
    "IQ4_XS": {0: ONE},
    "TQ1_0": {52: ONE},
    "TQ2_0": {64: ONE},
    "MXFP4": {0: [0x80]},
    "NVFP4": {0: [0x38], 1: [0x3A], 2: [0x41], 3: [0x05]},
}


def split_mix(n):
    state, words = SEED, []
    for _ in range((n + 7) // 8):
        state = state + 0x9E3779B97F4A7C15 & 2**64 - 1
        z = state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & 2**64 - 1
        z = (z ^ z >> 27) * 0x94D049BB133111EB & 2**64 - 1
        words.append(z ^ z >> 31)
    return np.frombuffer(np.array(words, dtype="<u8").tobytes(), dtype=np.uint8)[:n].copy()


def main():
    rows = []
    for name, factors in FACTORS.items():
        kind = gguf.GGMLQuantizationType[name]
        n_bytes = gguf.GGML_QUANT_SIZES[kind][1]
        blocks = split_mix(BLOCKS * n_bytes).reshape(BLOCKS, n_bytes)
        for at, value in factors.items():
            blocks[:, at : at + len(value)] = value
        if name == "IQ1_M":
            scales = blocks[:, 48:].copy().view("<u2") & 0x0FFF
            scales[:, 2] |= 0xC000
            scales[:, 3] |= 0x3000
            blocks[:, 48:] = scales.view(np.uint8)
        weights = gguf.quants.dequantize(blocks, kind).astype(np.float64).reshape(-1)
        places = (np.arange(weights.size) * 7919 % 10007 - 5003) / 5003
        rows.append(
            {
                "type": name,
                "first": [float(w) for w in weights[:8]],
                "squares": float((weights * weights).sum()),
                "by_place": float((weights * places).sum()),
            }
        )
    print(json.dumps({"blocks": BLOCKS, "seed": SEED, "factors": FACTORS, "rows": rows}, indent=1))


main()
