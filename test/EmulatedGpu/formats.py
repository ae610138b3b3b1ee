#!/usr/bin/env python3
# ===- formats.py - weights in formats of their own on the emulated GPU ----=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Products by weights of 2, 4, 8 and 16 bits on tensor cores, as on the CPU.

A dequantised weight gives the bits of the f32 weight that it stands for: both
products stand in one model, and their difference must be 0. Products of
integers and of halves are chosen to be exact. A row has the same bits however
many rows are beside it, and with a K that is split. The same holds of products
that a thread computes alone.

usage: formats.py [--tenon PATH] [SUBSTRING...]
"""

import os
import re
import sys

import ml_dtypes
import numpy as np
from onnx import TensorProto

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "Models"))

import gpu as emulated  # noqa: E402
from exact import Graph, difference  # noqa: E402
from formats import MICROSOFT, activations, integer, linear, n_bits, pack, scales  # noqa: E402
from session import Session  # noqa: E402
from tool import Checks, Failure  # noqa: E402

MOST = 70  # rows: more than are few
ROWS = (1, 7, 40)


def halves(g, label, k, n, dtype):
    """Small integers, whose sums a half holds."""
    rng = np.random.default_rng([k, n])
    x, w = rng.integers(-1, 2, (MOST, k)), rng.integers(-1, 2, (k, n))
    product = g.node("MatMul", g.input(x.astype(dtype), [f"{label}_m", k]), g.weight(w.astype(dtype)))
    g.expect(label, product, (x @ w).astype(dtype))


def gated(g, label, k, n):
    """silu(x G) * (x U), whose halves come of one product."""
    rng = np.random.default_rng([k, n])
    x = g.input(rng.standard_normal((MOST, k)).astype(np.float32), [f"{label}_m", k])
    coded, plain = [], []
    for _ in range(2):
        codes, scale = rng.integers(0, 16, (n, k // 32, 32)), scales(rng, n, k // 32)
        weight = ((codes - 8).astype(np.float32) * scale[..., None]).reshape(n, k).T
        coded.append(g.node("MatMulNBits", x, g.weight(pack(codes, 4)), g.weight(scale), domain=MICROSOFT, K=k, N=n, bits=4, block_size=32))
        plain.append(g.node("MatMul", x, g.weight(np.ascontiguousarray(weight))))

    def join(gate, up):
        return g.node("Mul", g.node("Mul", gate, g.node("Sigmoid", gate)), up)

    g.expect(label, g.node("Sub", join(*coded), join(*plain)), np.zeros((MOST, n), np.float32))


def build():
    g = Graph(contrib=True)
    rows = [MOST]
    n_bits(g, "four bits", 200, 70, 4, 32, "packed", rows=rows)
    n_bits(g, "four bits split", 288, 40, 4, 32, rows=rows)
    n_bits(g, "scales of f32", 64, 32, 4, 16, half=False, rows=rows)
    n_bits(g, "float zeros", 130, 33, 8, 64, "float", rows=rows)
    n_bits(g, "two bits", 90, 24, 2, 32, "packed", rows=rows)
    linear(g, "columns", 50, 40, np.int8, axis=1, zero=True, rows=rows)
    linear(g, "tensor", 259, 32, np.uint8, rows=rows)
    linear(g, "blocks of i4", 96, 20, TensorProto.INT4, axis=0, block=32, zero=True, rows=rows)
    integer(g, "u8 by i8", MOST, 70, 40, np.uint8, np.int8, "one")
    integer(g, "i8 by u8 split", MOST, 544, 33, np.int8, np.uint8, "one", "one", most=16)
    integer(g, "sums of extremes", MOST, 64, 32, np.uint8, np.uint8, extreme=True)
    halves(g, "f16", 96, 40, np.float16)
    halves(g, "bf16", 72, 33, ml_dtypes.bfloat16)
    halves(g, "f16 split", 264, 70, np.float16)
    halves(g, "bf16 split", 288, 33, ml_dtypes.bfloat16)
    gated(g, "gated", 64, 64)
    gated(g, "gated split", 288, 64)
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((MOST, 288)).astype(np.float32), rng.standard_normal((288, 40)).astype(np.float32)
    product = g.node("MatMul", g.input(x, ["rows_m", 288]), g.weight(w))
    g.expect("rows", product, (x @ w), exact=x.astype(np.float64) @ w, ulps=200)
    return g


def run(device, g, artifact, rows):
    """What is wrong, and the outputs."""
    session = Session(artifact, device="cuda")
    inputs = {name: value[:rows] if value.ndim == 2 else value for name, value in g.inputs.items()}
    found = session.run_named(inputs)
    session.close()
    wrong = [f"{rows} rows: {line}" for line in device.report()[1].splitlines()]
    for name, (expected, bounds) in g.expected.items():
        bounds = {**bounds, **({"exact": bounds["exact"][:rows]} if "exact" in bounds else {})}
        if why := difference(found[name], expected[:rows], **bounds):
            wrong.append(f"{rows} rows, {name}: {why}")
    return wrong, found


def on_tensor_cores(tool, device, arch):
    g = build()
    path = tool.file("formats.onnx")
    g.save(path)
    artifact, _ = tool.compile(path, "-O1", f"--target=nvptx:{arch}", "--ptxas=none")
    wrong, whole = run(device, g, artifact, MOST)
    for rows in ROWS:
        more, found = run(device, g, artifact, rows)
        wrong += more
        if (found["rows"] != whole["rows"][:rows]).any():
            wrong.append(f"{rows} rows have other bits than beside {MOST - rows} more")
    if wrong:
        raise Failure("\n  ".join(wrong))


def threads_for(tool, path):
    """The option for the tilings that a person may ask for instead."""
    tilings = tool.file("tilings.txt")
    tool.expect_success("compile", path, "--target=nvptx:sm_80", "--emit=tilings", "-o", tilings)
    with open(tilings, encoding="utf-8") as file:
        text = re.sub(r"#tenon\.gpu_matmul<[^>]*>", "#tenon.gpu_threads<threads = 256, elements = 1>", file.read())
    with open(tilings, "w", encoding="utf-8") as file:
        file.write(text)
    return f"--tilings={tilings}"


def of_activations(tool, device):
    """A right operand that is no constant, with matrices of its own."""
    g = Graph()
    activations(g, "heads", np.uint8, np.uint8, ((2, 3, 17, 32), (2, 3, 17, 32)), 120, 7, transposed=True)
    activations(g, "signed", np.int8, np.int8, ((2, 40, 66), (2, 66, 70)), -3, 5)
    path = tool.file("activations.onnx")
    g.save(path)
    for options in ([], [threads_for(tool, path)]):
        artifact, _ = tool.compile(path, "-O1", "--target=nvptx:sm_80", "--ptxas=none", *options)
        if wrong := run(device, g, artifact, MOST)[0]:
            raise Failure("\n  ".join(options + wrong))


def on_threads(tool, device):
    g = build()
    path = tool.file("formats.onnx")
    g.save(path)
    artifact, _ = tool.compile(path, "-O1", "--target=nvptx:sm_80", "--ptxas=none", threads_for(tool, path))
    if wrong := run(device, g, artifact, ROWS[1])[0]:
        raise Failure("\n  ".join(wrong))


def main():
    checks = Checks(__doc__.splitlines()[0])
    tool = checks.tool()
    device = emulated.Gpu()
    for arch in ("sm_80", "sm_90a"):
        checks.attempt(f"tensor cores of {arch}", on_tensor_cores, tool, device, arch)
    checks.attempt("threads", on_threads, tool, device)
    checks.attempt("activations", of_activations, tool, device)
    checks.finish()


if __name__ == "__main__":
    main()
