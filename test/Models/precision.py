#!/usr/bin/env python3
#===- precision.py - what --precision computes products in -----------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Products by weights with rounded operands, against exact arithmetic on what these round to.

Numbers are chosen so that all sums are exact in f32: a product has one value,
whatever the level and the order of its terms, and any other rounding shows.
bf16 runs where the CPU has AVX-512; elsewhere test/EmulatedCpu runs it.

usage: precision.py [--tenon PATH] [SUBSTRING...]
"""

import json

import ml_dtypes
import numpy as np

from exact import Graph
from formats import MICROSOFT, pack
from tool import Checks, Failure

F32 = np.float32
FLAGS = open("/proc/cpuinfo", encoding="ascii").read()
HAS_AVX512 = all(f" avx512{part}" in FLAGS for part in ("f", "bw", "cd", "dq", "vl"))
# Some CPUs have the instruction, and are faster without (docs/Precision.md).
BF16 = ["native", "x86-64-v4"] + ["x86-64-v4+avx512bf16"] * (" avx512_bf16" in FLAGS)


def integer(values, kind):
    """As integers, once they are rounded to a float type."""
    return values.astype(F32).astype(kind).astype(np.int64)


def patches(x, kernel, stride, pad):
    """Of x [N, C, H, W] as rows."""
    x = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
    return windows.transpose(0, 2, 3, 1, 4, 5)


def rounded(tool, kind, bits, name, levels=None):
    """Both operands are rounded; of large ones the other is small."""
    g = Graph()
    rng = np.random.default_rng(3)
    large, small = 2 ** (bits + 1), 4
    kept = []
    for k, n, rows in ((200, 70, (1, 2, 4, 13, 60)), (67, 64, (3, 50)), (1700, 33, (2, 7))):
        for left, right in ((large, small), (small, large)):
            w = rng.integers(1 - right, right, (k, n))
            for m in rows:
                x = rng.integers(1 - left, left, (m, k))
                label = f"{k} {m} {left}"
                given = g.input(x.astype(F32), [label.replace(" ", "_"), k])
                exact = integer(x, kind) @ integer(w, kind)
                g.expect(label, g.node("MatMul", given, g.weight(w.astype(F32))), exact.astype(F32))
                if not kept:
                    kept = [g.node("MatMul", given, g.weight(w.astype(F32)), name="kept.one"), (x @ w).astype(F32)]
    g.expect("kept", *kept)
    # A weight that stands first, and one of the other type.
    w, x = rng.integers(1 - large, large, (40, 48)), rng.integers(1 - small, small, (48, 9))
    g.expect("no weight on the right", g.node("MatMul", g.weight(w.astype(F32)), g.input(x.astype(F32))), (w @ x).astype(F32))
    other = ml_dtypes.bfloat16 if kind is np.float16 else np.float16
    a, b = rng.integers(-3, 4, (5, 24)), rng.integers(-100, 100, (24, 10))
    product = g.node("MatMul", g.input(a.astype(other)), g.weight(b.astype(other)))
    g.expect("other type", g.node("Cast", product, to=1), (a @ b).astype(other).astype(F32))
    # Gate and up, and a convolution.
    x, w, v = (rng.integers(-3, 4, shape) for shape in ((20, 64), (64, 96), (64, 96)))
    left = g.input((x * large / 4 + 1).astype(F32), ["gated", 64])
    exact = integer(x * large / 4 + 1, kind)
    gate, up = (g.node("MatMul", left, g.weight(of.astype(F32))) for of in (w, v))
    g.expect("gated", g.node("Mul", g.node("Relu", gate), up), (np.maximum(exact @ w, 0) * (exact @ v)).astype(F32), rtol=1e-6)
    image, filters = rng.integers(1 - large, large, (2, 16, 9, 10)), rng.integers(-2, 3, (24, 16, 3, 3))
    y = g.node("Conv", g.input(image.astype(F32), ["images", 16, "h", "w"]), g.weight(filters.astype(F32)), strides=[2, 1], pads=[1, 1, 1, 1])
    rows = patches(integer(image, kind), 3, 1, 1)[:, ::2].reshape(2, 5, 10, -1)
    g.expect("convolution", y, (rows @ filters.reshape(24, -1).T).transpose(0, 3, 1, 2).astype(F32))
    artifact = g.check(tool, f"--precision={name}", "--keep-f32=kept[.]on.|none", levels=levels, optimise=0)
    found = json.loads(tool.call("inspect", artifact, "--json").stdout)
    formats = {weight["format"] for weight in found["weight_formats"]}
    if found["precision"] != name or f"{name} by {name}" not in formats:
        raise Failure(f"inspect: precision {found['precision']}, formats {formats}")


def picked(tool):
    """Of two levels that differ in the instruction alone the faster one, unless another is asked for."""
    g = Graph()
    g.expect("y", g.node("MatMul", g.input(np.ones((3, 16), F32)), g.weight(np.ones((16, 8), F32))), np.full((3, 8), 16, F32))
    artifact = g.check(tool, "--precision=bf16", levels=BF16[1:], optimise=0)
    slow = "GenuineIntel" in FLAGS and " avx512_fp16" in FLAGS and " amx_bf16" not in FLAGS
    for options, level in (([], BF16[1 if slow else 2]), (["--level", BF16[2]], BF16[2])):
        found = json.loads(tool.call("bench", artifact, "--runs", "1", "--json", *options).stdout)["level"]
        if found != level:
            raise Failure(f"{options}: level {found}, expected {level}")


def beyond(tool):
    """A weight that f16 cannot hold stays, with a warning; infinities are numbers like others."""
    g = Graph()
    w = np.ones((16, 8), F32)
    w[3, 5] = 70000
    x = np.zeros((2, 16), F32)
    x[0, 3], x[1, 0] = 1, 2049
    g.expect("stays", g.node("MatMul", g.input(x), g.weight(w), name="huge"), x @ w)
    w = np.ones((16, 8), F32)
    w[2, 2] = np.inf
    exact = np.where(np.arange(8) == 2, np.inf, np.array([[16.0], [32.0]], F32)).astype(F32)
    g.expect("infinity", g.node("MatMul", g.input(np.array([[1] * 16, [2] * 16], F32)), g.weight(w)), exact)
    path = tool.file("beyond.onnx")
    g.save(path)
    g.check(tool, "--precision=f16")
    message = tool.expect_success("compile", path, "--precision=f16", "--keep-f32=hug", "--emit=tilings", "-o", "-").stderr
    for text in ("f16", "'hug'"):
        if text not in message:
            raise Failure(f"no warning with {text}: {message}")


#===------------------------------------------------------------------------===#
# Integers of activations
#===------------------------------------------------------------------------===#

def activations(rng, m, k, block):
    """Numbers, and what they become: (integers [m, k], scales [m, blocks])."""
    blocks = -(-k // block)
    q = rng.integers(-126, 127, (m, blocks, block)) + rng.choice([0, 0.25, 0.5, -0.5], (m, blocks, block))
    q[:, :, 0] = rng.choice([-127, 127], (m, blocks))
    scale = 2.0 ** rng.integers(-1, 2, (m, blocks))
    x = (q * scale[..., None]).reshape(m, -1)[:, :k]
    return x.astype(F32), np.rint(q).astype(np.int64).reshape(m, -1)[:, :k], scale


def exact_product(q, t, codes, zero, s, block):
    """Of integers q [m, k] by codes [n, k] less zero [n, blocks]."""
    total = 0
    for b in range(t.shape[1]):
        part = slice(b * block, (b + 1) * block)
        inner = q[:, part] @ codes[:, part].T - q[:, part].sum(1)[:, None] * zero[:, b]
        total = total + inner * t[:, b, None] * s[:, b]
    return total.astype(F32)


def n_bits(g, k, n, bits, block, zeros, rows, known=True, computed=False):
    """`known` rows are compiled for alone: that takes a fraction of the time. `computed` ones lie in no memory."""
    rng = np.random.default_rng([k, n, bits, block])
    blocks = -(-k // block)
    codes = rng.integers(0, 2**bits, (n, blocks * block))
    s = 2.0 ** -rng.integers(3, 5, (n, blocks))
    zero = rng.integers(0, 2**bits, (n, blocks)) if zeros == "packed" else np.full((n, blocks), 2 ** (bits - 1))
    real = zero + 0.5 if zeros == "float" else zero
    operands = [g.weight(pack(codes.reshape(n, blocks, block), bits)), g.weight(s.astype(F32))]
    if zeros:
        operands.append(g.weight(real.astype(F32) if zeros == "float" else pack(zero, bits)))
    for m in rows:
        x, q, t = activations(rng, m, k, block)
        label = f"{bits} bits {k} {block} {m}"
        a = g.input(-x if computed else x, None if known else [label.replace(" ", "_"), k])
        if computed:
            a = g.node("Neg", a)
        y = g.node("MatMulNBits", a, *operands, domain=MICROSOFT, K=k, N=n, bits=bits, block_size=block, name=f"nbits {bits}")
        g.expect(label, y, exact_product(q, t, codes[:, :k], real, s, block))


def linear(g, k, n, kind, per_column, rows):
    """DequantizeLinear in front: each whole row has one scale."""
    rng = np.random.default_rng([k, n])
    bounds = np.iinfo(kind)
    codes, zero = rng.integers(bounds.min, bounds.max + 1, (k, n)), rng.integers(-5, 6, n if per_column else 1) + (128 if bounds.min == 0 else 0)
    s = 2.0 ** -rng.integers(3, 5, n if per_column else 1)
    shape = (n,) if per_column else ()
    real = g.node("DequantizeLinear", g.weight(codes.astype(kind)), g.weight(s.astype(F32).reshape(shape)), g.weight(zero.astype(kind).reshape(shape)),
                  **({"axis": 1} if per_column else {}))
    for m in rows:
        x, q, t = activations(rng, m, k, k)
        label = f"{np.dtype(kind)} {k} {m}"
        spread = lambda v: np.broadcast_to(v, n)[:, None]
        g.expect(label, g.node("MatMul", g.input(x), real), exact_product(q, t, codes.T, spread(zero), spread(s), k))


def edges(g):
    """Blocks of zeros, below what counts, with NaN and infinities; extremes whose sums fill i32; too many rows for that."""
    x = np.zeros((6, 64), F32)
    x[0, 3] = x[3, 40] = 127
    x[1, 4], x[2, 60], x[3, 0] = np.nan, -np.inf, 1e-40
    x[4, :32], x[4, 32:] = 1e-36, 127
    codes = np.tile(np.arange(64) % 16, (5, 1))
    weights = [g.weight(pack(codes.reshape(5, 2, 32), 4)), g.weight(np.ones((5, 2), F32))]
    q = np.where(np.abs(x) == 127, x, 0)
    exact = np.repeat((q @ (codes[0] - 8.0))[:, None], 5, 1).astype(F32)
    exact[[1, 2]] = np.nan
    g.expect("edges", g.node("MatMulNBits", g.input(x), *weights, domain=MICROSOFT, K=64, N=5, bits=4, block_size=32), exact)
    for scale in (0, np.nan, np.inf, 2.0**-130):
        weights[1] = g.weight(np.full((5, 2), scale, F32))
        # Each row has a block that is zero times the scale.
        spoiled = exact * F32(scale if np.isfinite(scale) else np.nan)
        g.expect(f"scale {scale}", g.node("MatMulNBits", g.input(x), *weights, domain=MICROSOFT, K=64, N=5, bits=4, block_size=32), spoiled)
    for k, one in ((65536, True), (65537, False)):
        codes = np.full((k, 2), 255, np.uint8)
        real = g.node("DequantizeLinear", g.weight(codes), g.weight(F32(1 / 16)), g.weight(np.uint8(0)))
        x = np.where(np.arange(k) < 64, 127 if one else 0.5, 127 if one else 0).astype(F32)[None]
        exact = F32(255 * 127 * k) / 16 if one else F32(255 * 32 / 16)
        g.expect(f"rows {k}", g.node("MatMul", g.input(x), real), np.full((1, 2), exact, F32))


def int8_act(tool):
    g = Graph(contrib=True)
    n_bits(g, 200, 70, 4, 32, "packed", (1, 2, 3, 5, 6, 7, 60), known=False)
    n_bits(g, 96, 64, 4, 16, None, (1, 13))
    n_bits(g, 130, 33, 8, 64, "float", (4, 8))
    n_bits(g, 150, 40, 8, 32, None, (2, 14), computed=True)
    n_bits(g, 140, 36, 8, 64, "packed", (3, 15))
    n_bits(g, 85, 24, 2, 32, "packed", (1, 12, 15))
    n_bits(g, 256, 64, 4, 256, "float", (1, 8, 13))
    n_bits(g, 256, 64, 4, 128, "packed", (1, 9))
    linear(g, 67, 70, np.int8, True, (1, 18))
    linear(g, 66, 31, np.uint8, False, (2,))
    edges(g)
    artifact = g.check(tool, "--precision=int8-act", optimise=0)
    text = tool.call("inspect", artifact).stdout
    for line in ("precision int8-act", "nbits 4: ui4 block 32 scale f16 zero ui8 by i8, 12768 bytes", "ui8 scale f16 zero ui8 by i8"):
        if line not in text:
            raise Failure(f"inspect lacks '{line}':\n{text}")


def kept(tool):
    """--keep-f32 gives the bits of f32; so does a model without weights of few bits."""
    rng = np.random.default_rng(8)
    operands = pack(rng.integers(0, 16, (24, 2, 32)), 4), rng.uniform(0.01, 0.1, (24, 2)).astype(F32)
    x = rng.standard_normal((5, 64)).astype(F32)
    found = []
    for options in ([], ["--precision=int8-act", "--keep-f32=/layer/q_proj"], ["--precision=int8-act"]):
        g = Graph(contrib=True)
        y = g.node("MatMulNBits", g.input(x), *map(g.weight, operands), domain=MICROSOFT, K=64, N=24, bits=4, block_size=32, name="/layer/q_proj")
        y = g.node("MatMul", y, g.weight(np.ones((24, 8), F32)))
        g.expect("y", y, np.zeros((5, 8), F32))
        path = tool.file("kept.onnx")
        g.save(path)
        artifact, _ = tool.compile(path, "-O", 1, "--target", tool.levels[0], *options)
        found.append(tool.run(artifact, g.inputs)["y"])
    if found[0].tobytes() != found[1].tobytes():
        raise Failure("a node that is kept has other bits than in f32")
    worst = np.abs(found[2] - found[0]).max() / np.abs(found[0]).max()
    if not 0 < worst < 0.02:
        raise Failure(f"integers of activations differ by {worst}")


def refused(tool):
    path = tool.file("kept.onnx")
    for options, text in (
        (["--precision=bf16", "--target=x86-64-v3"], "--precision=bf16: level 'x86-64-v3' has no AVX-512, which products of bf16 need"),
        (["--precision=f16", "--target=nvptx:sm_80"], "--precision=f16 is for CPUs"),
        (["--precision=int4"], "--precision=int4: expected f32, bf16, f16 or int8-act"),
        (["--precision=f16", "--keep-f32=a("], "--keep-f32=a(: "),
    ):
        result = tool.call("compile", path, "-o", tool.file("refused.so"), *options)
        if result.returncode != 1 or text not in result.stderr or result.stderr.count("\n") != 1:
            raise Failure(f"{options}: {result.stderr}")


if __name__ == "__main__":
    checks = Checks(__doc__.splitlines()[0])
    tool = checks.tool()
    checks.attempt("f16", rounded, tool, np.float16, 11, "f16")
    if HAS_AVX512:
        checks.attempt("bf16", rounded, tool, ml_dtypes.bfloat16, 8, "bf16", BF16)
    if len(BF16) > 2:
        checks.attempt("picked", picked, tool)
    for check in (beyond, int8_act, kept, refused):
        checks.attempt(check.__name__, check, tool)
    checks.finish()
