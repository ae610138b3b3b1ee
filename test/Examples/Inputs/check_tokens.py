# ===- check_tokens.py - the example's tokenizer against its model --------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Compares `semantic-search --tokenize` with the PyPI package tokenizers.

The texts are the lines of FILE and --random strings of Unicode's every corner.
"""

import argparse
import random
import subprocess
import sys
from pathlib import Path

from tokenizers import Tokenizer

BLOCKS = [
    (0, 0x80), (0x80, 0x250), (0x250, 0x370), (0x300, 0x370), (0x370, 0x530),
    (0x590, 0x750), (0x900, 0xE00), (0xE00, 0x1000), (0x1100, 0x1200),
    (0x1AB0, 0x1B00), (0x1E00, 0x2000), (0x2000, 0x2C00), (0x302A, 0x3030),
    (0x3000, 0x3400), (0x4E00, 0x5000), (0xAC00, 0xD7B0), (0xF900, 0x10000),
    (0x10000, 0x12000), (0x16000, 0x17000), (0x1D000, 0x1D200),
    (0x1E000, 0x1F000), (0x1F300, 0x1FB00), (0x20000, 0x20100),
    (0x2A6D0, 0x2CEB0), (0x2F800, 0x2FA20), (0xE0000, 0xE0200), (0, 0xD800),
    (0xE000, 0x110000),
]  # fmt: skip
SPECIAL = [
    "[SEP]", "[CLS]", "[MASK]", "[PAD]", "[UNK]", "[sep]", "[ SEP ]", "[[SEP]]",
    "##ing", " ", "  ", "\t", "\r", "\u200b", "\u200d", "\u00a0", "\u0085",
    "\u2028", "\u0130", "\u00df", "\ufb01", "\u212b", "\u2460",
]  # fmt: skip


def random_piece(rng, vocabulary):
    kind = rng.random()
    if kind < 0.25:
        return rng.choice(vocabulary).removeprefix("##")
    if kind < 0.35:
        return rng.choice(SPECIAL)
    if kind < 0.5:
        return " "
    block = rng.choice(BLOCKS)
    count = rng.choice([1, 1, 2, 5])
    return "".join(chr(rng.randrange(*block)) for _ in range(count))


def random_text(rng, vocabulary):
    text = "".join(
        random_piece(rng, vocabulary) for _ in range(rng.randrange(1, 30))
    )
    if rng.random() < 0.03:  # around the longest word that is looked up
        text += rng.choice("aé字") * rng.choice([99, 100, 101, 102])
    return text.replace("\n", " ")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="semantic-search")
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("file", type=Path)
    args = parser.parse_args()

    vocabulary = args.model_dir / "vocab.txt"
    words = vocabulary.read_text(encoding="utf-8").split("\n")[:-1]
    texts = args.file.read_bytes().decode().split("\n")[:-1]
    rng = random.Random(args.seed)
    texts += [random_text(rng, words) for _ in range(args.random)]

    reference = Tokenizer.from_file(str(args.model_dir / "tokenizer.json"))
    reference.no_truncation()
    reference.no_padding()
    expected = [encoding.ids for encoding in reference.encode_batch(texts)]

    result = subprocess.run(
        [args.program, "--vocab", str(vocabulary), "--tokenize"],
        input="".join(text + "\n" for text in texts).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    found = [
        [int(word) for word in line.split()]
        for line in result.stdout.decode().split("\n")[:-1]
    ]
    if len(found) != len(expected):
        print(f"{len(expected)} texts, but {len(found)} lines of ids")
        return 1
    wrong = [i for i, ids in enumerate(expected) if found[i] != ids]
    for i in wrong[:5]:
        print(f"{texts[i]!a}\n  expected {expected[i]}\n  found    {found[i]}")
    print(f"{len(texts) - len(wrong)} of {len(texts)} texts agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
