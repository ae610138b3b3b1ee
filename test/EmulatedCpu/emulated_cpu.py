# ===- emulated_cpu.py - compiling for an emulated CPU ---------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""A tool whose artifacts run the kernels of any level on AVX2, and what some
instructions of such levels compute."""

import os
import subprocess
import sys

import ml_dtypes
import numpy as np

MODELS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Models")
sys.path.insert(0, MODELS)

from tool import Failure, Tool  # noqa: E402


class EmulatedCpu(Tool):
    """Compiles by $TENON_EMULATED_CPU, which compile.cpp makes; runs as any."""

    def compile(self, model, *options):
        self.count += 1
        artifact = self.file(f"model{self.count}.so")
        command = [os.environ["TENON_EMULATED_CPU"], model, "-o", artifact, *map(str, options)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if result.returncode != 0:
            raise Failure(f"{' '.join(command)}\nexit code {result.returncode}\n{result.stderr}")
        return artifact, 0.0


def fused(a, b, total):
    """Of f32 whose product is exact in double: a * b + total, rounded once."""
    product, total = a.astype(np.float64) * b, total.astype(np.float64)
    s = product + total
    rest = s - product
    error = (product - (s - rest)) + (total - rest)
    # Rounded to odd in double, the second rounding is the only one that counts.
    bits = s.view(np.int64)
    even = (bits & 1 == 0) & (error != 0)
    return np.where(even, bits + np.where((error > 0) == (s > 0), 1, -1), bits).view(np.float64).astype(np.float32)


def operands(x, w, unit):
    """Rounded to bf16, and K filled up to whole units."""
    wide = lambda v: v.astype(ml_dtypes.bfloat16).astype(np.float32)
    more = -x.shape[1] % unit
    return wide(np.pad(x, [(0, 0), (0, more)])), wide(np.pad(w, [(0, more), (0, 0)]))


def chain(x, w):
    """x times w by VDPBF16PS: a chain of pairs, of each the odd one first."""
    x, w = operands(x, w, 2)
    total = np.zeros((len(x), w.shape[1]), np.float32)
    for k in range(0, len(w), 2):
        for j in (k + 1, k):
            total = fused(x[:, j, None], w[j], total)
    return total


def tiles(x, w):
    """x times w by TDPBF16PS: even and odd elements of 32 are summed apart."""
    x, w = operands(x, w, 2)
    total = np.zeros((len(x), w.shape[1]), np.float32)
    for first in range(0, len(w), 32):
        halves = [np.zeros_like(total), np.zeros_like(total)]
        for k in range(first, min(first + 32, len(w))):
            halves[k % 2] = fused(x[:, k, None], w[k], halves[k % 2])
        total = total + (halves[0] + halves[1])
    return total
