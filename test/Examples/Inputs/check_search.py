# ===- check_search.py - the search example against onnxruntime -----------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Compares the cosines that semantic-search prints with a reference made from
the packages tokenizers and onnxruntime, for every line and query."""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

QUERIES = ["a cat asleep in the sun", "baking at home", "low-level programming"]
MAX_LENGTH = 256


def reference_embeddings(model_dir, texts):
    tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.no_padding()
    session = onnxruntime.InferenceSession(str(model_dir / "model.onnx"))
    vectors = []
    for encoding in tokenizer.encode_batch(texts):
        ids = np.array([encoding.ids], np.int64)
        (hidden,) = session.run(
            ["last_hidden_state"],
            {
                "input_ids": ids,
                "attention_mask": np.ones_like(ids),
                "token_type_ids": np.zeros_like(ids),
            },
        )
        vector = hidden[0].mean(axis=0)
        vectors.append(vector / np.linalg.norm(vector))
    return np.array(vectors)


def search(args, lines):
    command = [args.program, "--model", str(args.artifact)]
    command += ["--vocab", str(args.model_dir / "vocab.txt")]
    command += ["--file", str(args.file), "--top", str(len(lines))]
    command += ["--batch", str(args.batch), *QUERIES]
    output = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, encoding="utf-8"
    ).stdout.splitlines()
    found = {}
    for i, query in enumerate(QUERIES):
        block = output[i * (len(lines) + 1) : (i + 1) * (len(lines) + 1)]
        assert block[0] == query, f"expected '{query}', found '{block[0]}'"
        scores = [float(line[:7]) for line in block[1:]]
        assert scores == sorted(scores, reverse=True), "not best first"
        for line, score in zip(block[1:], scores):
            found[query, line[9:]] = score
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="semantic-search")
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("file", type=Path)
    args = parser.parse_args()

    lines = args.file.read_text(encoding="utf-8").splitlines()
    vectors = reference_embeddings(args.model_dir, lines + QUERIES)
    cosines = vectors[len(lines) :] @ vectors[: len(lines)].T
    found = search(args, lines)
    worst = max(
        abs(cosines[q, i] - found[query, line])
        for q, query in enumerate(QUERIES)
        for i, line in enumerate(lines)
    )
    print(f"{cosines.size} cosines, max difference {worst:.6f}")
    return 1 if worst > 1e-4 else 0  # four digits are printed


if __name__ == "__main__":
    sys.exit(main())
