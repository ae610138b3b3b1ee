#!/usr/bin/env python3
# ===- levels.py - kernels of levels that the machine lacks ----------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Products and models as AVX-512, VNNI, BF16 and AMX have them, on the emulated CPU.

Integers and weights in codes have exact references (test/Models/formats.py,
precision.py). Products of bf16 have the bits of the instruction's own order of
additions, whatever the rows, and are added to as f32. Models of integers have
the bits of the level without the instructions, since integers have one sum;
those in bf16 are as near to f32 as docs/Precision.md says.

usage: levels.py [--tenon PATH] [--part N/M] [SUBSTRING...]
"""

import json
import os
import re

import ml_dtypes
import numpy as np
from emulated_cpu import MODELS, EmulatedCpu, chain, tiles

import formats
import precision
import shipped
from exact import Graph
from run_models import compare, require_same_bits
from tool import Checks, Failure, load_arrays

F32 = np.float32
VECTORS = "x86-64-v4+avx512bf16"
WIDENED = "x86-64-v4"
AMX = "x86-64-v4+amx-bf16"
DOTS = "x86-64-v3+avxvnni"
INTEGERS = [DOTS, "x86-64-v4+avx512vnni", "x86-64-v4+amx-int8"]
ROWS = (1, 2, 6, 7, 16, 17, 31, 33, 48, 63, 100)
OPTIMISE = "-O0"
# Beside a measured difference: other roundings, other differences.
MARGIN = 2


def bits(tool, levels, product):
    """Products of bf16 have the bits of `product`, at all levels; so has each row alone."""
    g = Graph()
    rng = np.random.default_rng(4)
    numbers = lambda *shape: rng.standard_normal(shape).astype(F32)
    # What a product finds in its scratch memory must not count.
    nothing = np.full((100, 300), np.nan, F32)
    g.expect("nan", g.node("MatMul", g.input(nothing), g.weight(numbers(300, 64))), np.full((100, 64), np.nan, F32))
    for k, n, rows in ((67, 70, ROWS), (96, 64, (1, 13, 40)), (4101, 33, (1, 50)), (1, 5, (3, 20)), (130, 96, (35,))):
        w, bias = numbers(k, n), numbers(n)
        x = numbers(max(rows), k)
        exact = product(x, w)
        for m in rows:
            label = f"{k} {n} {m}"
            given = g.input(x[:m], [label.replace(" ", "_"), k])
            g.expect(f"matmul {label}", g.node("MatMul", given, g.weight(w)), exact[:m])
            y = g.node("Relu", g.node("Gemm", given, g.weight(w.T.copy()), g.weight(bias), transB=1))
            if m > 16:
                g.expect(f"gemm {label}", y, np.maximum(exact[:m] + bias, 0))
    # The largest denormal is next to a number that is none.
    small, tiny, large = (np.full((2, 4), x, F32) for x in (2.0**-126 - 2.0**-149, 1e-40, 2.0**100))
    for name, x, w in (("rows", small, large.T), ("weight", large, tiny.T)):
        g.expect(f"denormals {name}", g.node("MatMul", g.input(x), g.weight(w)), np.zeros((len(x), w.shape[1]), F32))
    g.expect("huge", g.node("MatMul", g.input(np.full((2, 4), 2.0**30, F32)), g.weight(large.T)), np.full((2, 2), np.inf, F32))
    g.check(tool, "--precision=bf16", levels=levels, optimise=0)


def bf16(tool, level):
    precision.rounded(tool, ml_dtypes.bfloat16, 8, "bf16", [level])


def attention(tool, level):
    """Queries, keys, values and exponentials are rounded; a sequence has the same bits beside others."""
    rng = np.random.default_rng(11)
    halves = lambda x: x.astype(ml_dtypes.bfloat16).astype(np.float64)
    heads, s, t, d, n = 4, 61, 75, 17, 40
    q, k, v = (rng.standard_normal(shape).astype(F32) for shape in ((3, heads, s, d), (3, heads, t, d), (3, heads, t, n)))
    mask = np.where(np.arange(t) <= np.arange(s)[:, None] + 2, 0, -np.inf).astype(F32)
    scores = halves(q) @ halves(k).swapaxes(-1, -2) / 4 + mask
    e = np.exp(scores - scores.max(-1, keepdims=True))
    expected = (halves(e) @ halves(v) / e.sum(-1, keepdims=True)).astype(F32)
    g = Graph()
    x, y, z = (g.input(value, ["b", heads, dim, size]) for value, dim, size in ((q, "s", d), (k, "t", d), (v, "t", n)))
    scaled = g.node("Mul", g.node("MatMul", x, g.node("Transpose", y, perm=[0, 1, 3, 2])), g.weight(F32(0.25)))
    weights = g.node("Softmax", g.node("Add", scaled, g.input(mask, ["s", "t"])))
    # An exponential beside a tie may be rounded the other way.
    g.expect("attention", g.node("MatMul", weights, z), expected, rtol=4e-3)
    g.check(tool, "--precision=bf16", levels=[level], optimise=0)
    path = tool.file("exact.onnx")
    artifact, _ = tool.compile(path, OPTIMISE, f"--target={level}", "--precision=bf16")
    whole = tool.run(artifact, g.inputs, level=level)["attention"]
    error = np.abs(whole - expected)
    plain = np.abs(whole - softmax_of(q, k, v, mask))
    if np.sqrt((error**2).mean()) > 0.2 * np.sqrt((plain**2).mean()):
        raise Failure(f"{error.max():.1e} from what is rounded, {plain.max():.1e} from what is not")
    require_same_bits(tool.run(artifact, g.inputs, 2, level=level), {"attention": whole}, "two threads")
    last = {name: value if value.ndim == 2 else value[2:] for name, value in g.inputs.items()}
    require_same_bits(tool.run(artifact, last, level=level), {"attention": whole[2:]}, "a sequence alone")


def softmax_of(q, k, v, mask):
    """The same of what is not rounded."""
    scores = q.astype(np.float64) @ k.swapaxes(-1, -2).astype(np.float64) / 4 + mask
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e @ v.astype(np.float64) / e.sum(-1, keepdims=True)


def codes(tool):
    """Weights of few bits, which AVX-512 looks up in a table: the bits of f32 ones."""
    g = Graph(contrib=True)
    formats.n_bits(g, "four bits", 200, 70, 4, 32, "packed", rows=[1, 7])
    formats.n_bits(g, "two bits", 90, 24, 2, 32, rows=[2])
    formats.n_bits(g, "no zeros", 40, 64, 4, 16, rows=[1, 17])
    formats.n_bits(g, "float zeros", 36, 64, 4, 32, "float", half=False, rows=[1])
    formats.n_bits(g, "zeros beside scales of f32", 40, 64, 4, 32, "packed", half=False, rows=[1, 17])
    formats.linear(g, "columns", 50, 40, np.int8, axis=1, zero=True, rows=[3, 9])
    g.check(tool, levels=["x86-64-v4"], optimise=0)


def samples(tool):
    """Of images of few channels, whose neighbours are gathered as one element."""
    rng = np.random.default_rng(6)
    image, grid = rng.standard_normal((2, 3, 41, 90)).astype(F32), rng.uniform(-1.1, 1.1, (2, 23, 37, 2)).astype(F32)
    x, y = ((grid[..., k].astype(np.float64) + 1) * size / 2 - 0.5 for k, size in ((0, 90), (1, 41)))
    expected = np.zeros((2, 3, 23, 37))
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        i, j = np.floor(y).astype(int) + row, np.floor(x).astype(int) + column
        weight = (1 - abs(y - i)) * (1 - abs(x - j)) * ((i >= 0) & (i < 41) & (j >= 0) & (j < 90))
        for n in range(2):
            expected[n] += weight[n] * image[n][:, i[n].clip(0, 40), j[n].clip(0, 89)]
    g = Graph(opset=20)
    sampled = g.node("GridSample", g.input(image), g.input(grid), mode="linear")
    g.expect("samples", sampled, expected.astype(F32), rtol=1e-4)
    g.check(tool, levels=["x86-64-v4"], optimise=0)


def entry_of(name):
    with open(os.path.join(MODELS, "manifest.json"), encoding="utf-8") as file:
        return next(entry for entry in json.load(file)["models"] if entry["name"] == name)


def sets_of(entry):
    """(inputs, expected) of each set."""
    folder = os.path.dirname(os.path.join(MODELS, entry["file"]))
    for k in range(entry["sets"]):
        yield load_arrays(os.path.join(folder, f"inputs_{k}.npz")), load_arrays(os.path.join(folder, f"expected_{k}.npz"))


def stated(name):
    """The cosine and the difference of bf16 in docs/Precision.md."""
    with open(os.path.join(MODELS, "..", "..", "docs", "Precision.md"), encoding="utf-8") as file:
        row = re.search(rf"^\| {name} \|[^|]*\| ([\d.]+), ([\d.e-]+) \|", file.read(), re.M)
    return float(row[1]), float(row[2])


def model_in_bf16(tool, name, levels):
    """All outputs of all sets together are about as near to f32 as is stated."""
    entry = entry_of(name)
    artifact, _ = tool.compile(os.path.join(MODELS, entry["file"]), OPTIMISE, f"--target={','.join(levels)}", "--precision=bf16")
    for level in levels:
        found, exact = [], []
        for inputs, expected in sets_of(entry):
            results = tool.run(artifact, inputs, level=level)
            for output, value in expected.items():
                found.append(results[output].ravel().astype(np.float64))
                exact.append(value.ravel().astype(np.float64))
        x, y = np.concatenate(found), np.concatenate(exact)
        cosine, worst = x @ y / np.linalg.norm(x) / np.linalg.norm(y), np.abs(x - y).max() / np.abs(y).max()
        print(f"{name} at {level}: {cosine:.7f}, {worst:.1e}")
        low, high = stated(name)
        if 1 - cosine > MARGIN * (1 - low) or worst > MARGIN * high or worst == 0:
            raise Failure(f"{level}: {cosine:.7f}, {worst:.1e}; docs/Precision.md has {low}, {high}")


def model_as_stored(tool, name, levels):
    """Stored outputs within their tolerance; levels of equal lanes have the same bits."""
    entry = entry_of(name)
    artifact, _ = tool.compile(os.path.join(MODELS, entry["file"]), OPTIMISE, f"--target={','.join(levels)}")
    for inputs, expected in list(sets_of(entry))[:2]:
        found = [tool.run(artifact, inputs, level=level) for level in levels]
        compare(found[0], expected, entry, levels[0])
        for level, other in zip(levels[1:], found[1:]):
            require_same_bits(other, found[0], f"{level} beside {levels[0]}")


if __name__ == "__main__":
    checks = Checks(__doc__.splitlines()[0])
    checks.tool()
    tool = EmulatedCpu(checks.options.tenon)
    tool.levels = INTEGERS
    for check in (formats.integers, formats.both, formats.requantised, formats.tables, formats.long_rows):
        checks.attempt(f"products {check.__name__}", check, tool)
    tool.levels = INTEGERS[1:]
    checks.attempt("products of patches", formats.convolutions, tool)
    checks.attempt("products of states by integers", shipped.check_quantized, tool, INTEGERS[:2])
    tool.levels = [DOTS, "x86-64-v4", "x86-64-v4+avx512vnni"]
    checks.attempt("products by integers of activations", precision.int8_act, tool)
    checks.attempt("products by codes", codes, tool)
    checks.attempt("products by vectors", bits, tool, [VECTORS, WIDENED], chain)
    checks.attempt("products by tiles", bits, tool, [AMX], tiles)
    for level in (VECTORS, AMX, WIDENED):
        checks.attempt(f"products rounded {level}", bf16, tool, level)
    checks.attempt("products of attention in bf16", attention, tool, VECTORS)
    for name in ("minilm", "bert", "gpt2", "vit", "llama", "whisper-encoder"):
        checks.attempt(f"model in bf16 {name}", model_in_bf16, tool, name, [VECTORS, AMX])
    checks.attempt("model in bf16, attention too", model_in_bf16, tool, "whisper-encoder", [VECTORS])
    checks.attempt("model in f32", model_as_stored, tool, "minilm", ["x86-64-v4"])
    checks.attempt("model of samples", samples, tool)
    checks.attempt("model of integers, dynamic", model_as_stored, tool, "exports/int8-dynamic-minilm", ["x86-64-v3", DOTS])
    checks.attempt("model of integers, QDQ", model_as_stored, tool, "exports/int8-qdq-vit", ["x86-64-v4", INTEGERS[-1]])
    checks.finish()
