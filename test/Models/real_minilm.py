#!/usr/bin/env python3
#===- real_minilm.py - MiniLM's real weights against onnxruntime -----------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Embeds texts with the compiled model and with onnxruntime and compares.

usage: real_minilm.py --model FOLDER [--tenon PATH]

FOLDER holds model.onnx, model.safetensors and tokenizer.json. Asserts a cosine
of at least 0.99999 for every embedding and at most 1e-4 between any two
elements of the embeddings, of pooler_output and of last_hidden_state at tokens
whose mask is 1, over batches of real texts with padding and over random ids,
and equal bits for a text alone. The rows of padding tokens only have to agree
within 1e-3: nothing reads them, and they are so badly conditioned that
onnxruntime itself differs by 9e-5 there with and without its optimisations.
"""

import argparse
import os
import sys

import numpy as np
import onnxruntime as ort
import tokenizers

from tool import Failure, Tool

TEXTS = [
    "How do I keep my bread from going stale?",
    "A fast way to multiply matrices.",
    "Übermut tut selten gut; naïve façade, coöperate.",
    "東京は日本の首都です。",
    "",
    "The quick brown fox jumps over the lazy dog. " * 8,
    "42",
    "Compilers translate a program from one language into another.",
]
SHAPES = [(1, 1), (1, 16), (1, 128), (3, 37), (8, 16), (2, 300), (1, 512)]


def encode(folder, texts):
    """The three inputs for a batch of texts, padded on the right."""
    tokenizer = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    ids = [tokenizer.encode(text).ids for text in texts]
    width = max(map(len, ids))
    values = np.zeros((len(ids), width), np.int64)
    mask = np.zeros_like(values)
    for row, sequence in enumerate(ids):
        values[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return {"input_ids": values, "attention_mask": mask, "token_type_ids": np.zeros_like(values)}


def embed(hidden, mask):
    """Mean over the tokens whose mask is 1, scaled to unit length."""
    weights = mask[:, :, None].astype(np.float64)
    mean = (hidden * weights).sum(1) / weights.sum(1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def check(tool, artifact, session, inputs, what):
    names = [port.name for port in session.get_outputs()]
    expected = dict(zip(names, session.run(names, inputs)))
    found = tool.run(artifact, inputs, threads=2)
    for name, value in expected.items():
        if found[name].shape != value.shape:
            raise Failure(f"{what}: {name} has shape {found[name].shape}, expected {value.shape}")
    mask = inputs["attention_mask"]
    left = embed(found["last_hidden_state"], mask)
    right = embed(expected["last_hidden_state"], mask)
    hidden = np.abs(found["last_hidden_state"] - expected["last_hidden_state"])
    pooled = np.abs(found["pooler_output"] - expected["pooler_output"])
    difference = max(float(hidden[mask == 1].max()), float(pooled.max()), float(np.abs(left - right).max()))
    cosine = float((left * right).sum(1).min())
    print(f"{what}: max difference {difference:.2e} (padding {hidden.max():.2e}), cosine {cosine:.9f}")
    if not difference <= 1e-4:
        raise Failure(f"{what}: the outputs differ by {difference:.3g}")
    if not hidden.max() <= 1e-3:
        raise Failure(f"{what}: padding rows differ by {hidden.max():.3g}")
    if not cosine >= 0.99999:
        raise Failure(f"{what}: an embedding has cosine {cosine:.7f}")
    return found


def main():
    parser = argparse.ArgumentParser(description="MiniLM against onnxruntime.")
    parser.add_argument("--model", required=True, help="folder of model.onnx and its weights")
    parser.add_argument("--tenon", help="the tool under test (default: $TENON, then the PATH)")
    args = parser.parse_args()
    try:
        tool = Tool(args.tenon)
        model = os.path.join(args.model, "model.onnx")
        artifact, seconds = tool.compile(model)
        print(f"compiled in {seconds:.1f} s, {os.path.getsize(artifact)} bytes")
        session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        inputs = encode(args.model, TEXTS)
        batch = check(tool, artifact, session, inputs, f"{len(TEXTS)} texts")
        for row in (0, 4, 5):
            alone = tool.run(artifact, {k: v[row : row + 1] for k, v in inputs.items()})
            for name, value in alone.items():
                if value.tobytes() != batch[name][row : row + 1].tobytes():
                    raise Failure(f"text {row} alone has other bits in {name} than in the batch")
        rng = np.random.default_rng(3)
        for shape in SHAPES:
            mask = np.ones(shape, np.int64)
            mask[-1, shape[1] // 2 + 1 :] = 0
            inputs = {
                "input_ids": rng.integers(0, 30522, shape),
                "attention_mask": mask,
                "token_type_ids": np.zeros(shape, np.int64),
            }
            check(tool, artifact, session, inputs, f"random {shape[0]}x{shape[1]}")
    except Failure as failure:
        sys.exit(f"FAIL {failure}")
    print("PASS")


if __name__ == "__main__":
    main()
