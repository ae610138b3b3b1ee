#===- cases.py - the models and shapes that the benchmark measures ---------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""What is measured: one dynamic artifact per model serves all its shapes."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """One model at one shape."""

    model: str
    shape: tuple
    label: str
    runs: int  # how many runs a process takes, beside the warm-up

    @property
    def name(self):
        return f"{self.model} {self.label}"

    @property
    def gflop(self):
        """Work of one run, 2 per multiply-add, matrix products only.

        Attention counts the full square of scores, which is what the exported
        graph computes; an engine that skips the masked half does less.
        """

        def layers(tokens, seq, width, inner, count, kv=None, gated=False):
            projections = 2 * width + 2 * (kv or width)
            mlp = (3 if gated else 2) * inner
            return count * tokens * width * (projections + mlp + 2 * seq)

        tokens = self.shape[0] * self.shape[1]
        if self.model == "minilm":
            macs = layers(tokens, self.shape[1], 384, 1536, 6) + self.shape[0] * 384**2
        elif self.model == "bert-base":
            macs = layers(tokens, self.shape[1], 768, 3072, 12) + self.shape[0] * 768**2
        elif self.model == "gpt2":
            macs = layers(tokens, self.shape[1], 768, 3072, 12) + tokens * 768 * 50257
        elif self.model == "llama-135m":
            macs = layers(tokens, self.shape[1], 576, 1536, 30, 192, True) + tokens * 576 * 49152
        elif self.model == "vit-base":
            macs = self.shape[0] * (layers(197, 197, 768, 3072, 12) + 196 * 768 * 768 + 768**2)
        else:
            macs = self.shape[0] * (layers(1500, 1500, 384, 1536, 4) + 384 * 3 * (80 * 3000 + 384 * 1500))
        return 2e-9 * macs

    def inputs(self):
        """The same random inputs for every engine; masks are ones."""
        rng = np.random.default_rng(7)
        if self.model in ("minilm", "bert-base"):
            ids = rng.integers(1000, 20000, self.shape, dtype=np.int64)
            return {
                "input_ids": ids,
                "attention_mask": np.ones(self.shape, np.int64),
                "token_type_ids": np.zeros(self.shape, np.int64),
            }
        if self.model in ("gpt2", "llama-135m"):
            return {"input_ids": rng.integers(0, 20000, self.shape, dtype=np.int64)}
        if self.model == "vit-base":
            return {"pixel_values": rng.standard_normal(self.shape, np.float32)}
        if self.model == "whisper-tiny-encoder":
            return {"input_features": rng.standard_normal(self.shape, np.float32)}
        raise ValueError(f"unknown model '{self.model}'")


CASES = [
    Case("minilm", (1, 16), "1x16", 300),
    Case("minilm", (1, 128), "1x128", 60),
    Case("minilm", (8, 128), "8x128", 10),
    Case("minilm", (32, 32), "32x32", 10),
    Case("bert-base", (1, 128), "1x128", 12),
    Case("bert-base", (8, 128), "8x128", 4),
    Case("gpt2", (1, 64), "1x64", 12),
    Case("vit-base", (1, 3, 224, 224), "batch 1", 8),
    Case("whisper-tiny-encoder", (1, 80, 3000), "1x80x3000", 6),
    Case("llama-135m", (1, 128), "1x128", 8),
]


def select(patterns):
    """The cases whose name contains one of `patterns` (all without any)."""
    if not patterns:
        return CASES
    return [c for c in CASES if any(p in c.name for p in patterns)]
