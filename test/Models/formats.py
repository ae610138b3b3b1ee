#!/usr/bin/env python3
#===- formats.py - products by weights in a format of their own ------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Weights of 2, 4 and 8 bits that products read in panels.

A dequantised weight gives the bits of the f32 weight that it stands for: both
products stand in one model, and their difference must be 0. Products of
integers are compared with exact integers. Few rows and many take other loops,
as do short blocks, odd columns and long sums.

usage: formats.py [--tenon PATH] [SUBSTRING...]
"""

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper

from exact import Graph
from tool import Checks

MICROSOFT = "com.microsoft"
ROWS = [1, 4, 18]


def pack(codes, bits):
    """Codes along the last dim, the lowest bits first."""
    per = 8 // bits
    codes = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, -codes.shape[-1] % per)])
    codes = (codes.astype(np.uint8) & (2**bits - 1)).reshape(*codes.shape[:-1], -1, per)
    return sum(codes[..., i] << (bits * i) for i in range(per)).astype(np.uint8)


def scales(rng, *shape, half=True):
    """Scales that f16 holds, or some that it does not."""
    return rng.uniform(0.01, 0.1, shape).astype(np.float16 if half else np.float32).astype(np.float32)


def expect_same(g, label, rng, k, product, weight, rows=ROWS):
    """product(x) and x times the f32 weight [k, n] have the same bits."""
    plain = g.weight(weight.astype(np.float32))
    for m in rows:
        x = g.input(rng.standard_normal((m, k)).astype(np.float32), [f"{label.replace(' ', '_')}_{m}", k])
        difference = g.node("Sub", product(x), g.node("MatMul", x, plain))
        g.expect(f"{label} {m}", difference, np.zeros((m, weight.shape[1]), np.float32))


def n_bits(g, label, k, n, bits, block, zeros=None, half=True, rows=ROWS):
    rng = np.random.default_rng([k, n, bits, block])
    blocks = -(-k // block)
    codes = rng.integers(0, 2**bits, (n, blocks, block))
    scale = scales(rng, n, blocks, half=half)
    zero = rng.integers(0, 2**bits, (n, blocks))
    real = {None: np.full((n, blocks), 2 ** (bits - 1)), "packed": zero, "float": zero + 0.3}[zeros].astype(np.float32)
    weight = ((codes.astype(np.float32) - real[..., None]) * scale[..., None]).reshape(n, -1)[:, :k].T
    operands = [g.weight(pack(codes, bits)), g.weight(scale)]
    operands += [g.weight(real if zeros == "float" else pack(zero, bits))] if zeros else []
    # How exact a product may be is not how exact it is: that is asked for (precision.py).
    attributes = {"K": k, "N": n, "bits": bits, "block_size": block, "accuracy_level": 4}
    expect_same(g, label, rng, k, lambda x: g.node("MatMulNBits", x, *operands, domain=MICROSOFT, **attributes), weight, rows)


def linear(g, label, k, n, dtype, *, axis=None, block=0, zero=False, transposed=False, spelled=False, rows=ROWS):
    """DequantizeLinear in front of MatMul or Gemm; `spelled`: Cast and Mul."""
    rng = np.random.default_rng([k, n, block, len(label)])
    low, high = (-8, 8) if dtype == TensorProto.INT4 else (np.iinfo(dtype).min, np.iinfo(dtype).max + 1)
    codes = rng.integers(low, high, (k, n))
    shape = () if axis is None else (-(-k // block), n) if block else (n,)
    scale, zeros = scales(rng, *shape), rng.integers(low, high, shape) * zero
    spread = lambda v: np.repeat(v, block, 0)[:k] if block else v
    weight = (codes - spread(zeros)).astype(np.float32) * spread(scale)
    turned = (lambda v: v.T if np.ndim(v) == 2 else v) if transposed else lambda v: v

    def initializer(value):
        if dtype != TensorProto.INT4:
            return g.weight(value.astype(dtype))
        name = f"w{len(g.weights)}"
        g.weights.append(helper.make_tensor(name, dtype, value.shape, pack(value.reshape(1, -1), 4).tobytes(), raw=True))
        return name

    operands = [initializer(turned(codes)), g.weight(turned(scale))] + ([initializer(turned(zeros))] if zero else [])
    attributes = {} if axis is None else {"axis": 1 - axis if transposed else axis, **({"block_size": block} if block else {})}
    if spelled:
        real = g.node("Mul", operands[1], g.node("Cast", operands[0], to=TensorProto.FLOAT))
    else:
        real = g.node("DequantizeLinear", *operands, **attributes)
    product = lambda x: g.node("Gemm", x, real, transB=1) if transposed else g.node("MatMul", x, real)
    expect_same(g, label, rng, k, product, weight, rows)


def scales_at_the_edge(g):
    """0, NaN, infinity, denormal: as f32 has it, in registers and in the cache."""
    rng = np.random.default_rng(9)
    codes, scale = rng.integers(0, 16, (5, 1, 32)), np.array([0, np.nan, np.inf, 2.0**-130, 1], np.float32)
    operands = [g.weight(pack(codes, 4)), g.weight(scale[:, None])]
    with np.errstate(invalid="ignore"):
        weight = (codes[:, 0] - 8) * scale[:, None].astype(np.float64)
        for m in (2, 17):
            x = rng.integers(-9, 10, (m, 32)).astype(np.float32)
            y = g.node("MatMulNBits", g.input(x), *operands, domain=MICROSOFT, K=32, N=5, bits=4, block_size=32)
            g.expect(f"edges {m}", y, (x[:, None] * weight).sum(-1).astype(np.float32))
    # Zero points that no code is, beside a last block that is not whole.
    codes, zero = rng.integers(0, 16, (7, 3, 32)), np.array([np.nan, np.inf, -np.inf, -5, 2.0**-130, 16, 2.0**12], np.float32)[:, None].repeat(3, 1)
    operands = [g.weight(pack(codes, 4)), g.weight(np.ones((7, 3), np.float32)), g.weight(zero)]
    with np.errstate(invalid="ignore"):
        weight = (codes - zero[..., None]).reshape(7, -1)[:, :72].astype(np.float64)
        for m in (1, 5, 20):
            x = rng.integers(-9, 10, (m, 72)).astype(np.float32)
            y = g.node("MatMulNBits", g.input(x), *operands, domain=MICROSOFT, K=72, N=7, bits=4, block_size=32)
            g.expect(f"zeros {m}", y, (x[:, None] * weight).sum(-1).astype(np.float32))


def spelled_table(g):
    """Rows of a table of bytes with a scale each, by Cast and Mul."""
    rng = np.random.default_rng(23)
    codes, scale = rng.integers(-128, 128, (700, 100)).astype(np.int8), scales(rng, 700, 1, half=False)
    rows = np.array([[699, 0, 33], [64, 512, 31]])
    table = g.node("Mul", g.node("Cast", g.weight(codes), to=TensorProto.FLOAT), g.weight(scale))
    g.expect("spelled table", g.node("Gather", table, g.input(rows)), codes[rows].astype(np.float32) * scale[rows])


def dequantised(tool):
    g = Graph(contrib=True)
    n_bits(g, "four bits", 200, 70, 4, 32, "packed", rows=[1, 2, 3, 5, 6, 8, 12, 15, 60])
    n_bits(g, "scales of f32", 64, 32, 4, 16, half=False)
    n_bits(g, "float zeros", 130, 33, 8, 64, "float", rows=[1, 3, 13])
    n_bits(g, "two bits", 90, 24, 2, 32, "packed")
    n_bits(g, "panels side by side", 70, 96, 4, 32, "float", rows=[1, 2, 9])
    n_bits(g, "zeros beside scales of f32", 72, 64, 4, 32, "packed", half=False, rows=[1, 17])
    n_bits(g, "many rows of weights", 1700, 40, 4, 128, "packed", rows=[2, 20])
    scales_at_the_edge(g)
    linear(g, "columns", 50, 40, np.int8, axis=1, zero=True)
    linear(g, "tensor", 67, 32, np.uint8)
    linear(g, "tensor with zero", 66, 31, np.uint8, zero=True, transposed=True)
    linear(g, "spelled columns", 70, 66, np.int8, axis=1, spelled=True)
    linear(g, "spelled tensor", 70, 66, np.uint8, spelled=True)
    spelled_table(g)
    linear(g, "blocks of i4", 96, 20, TensorProto.INT4, axis=0, block=32, zero=True)
    g.check(tool)


def tied(tool):
    """Tables that are gathered from and multiplied with: rows are read out of the panels."""
    g = Graph(contrib=True)
    rng = np.random.default_rng(21)
    k, n, rows = 64, 1100, np.array([[1099, 0, 33], [64, 512, 31]])
    ids = g.input(rows, ["batch", 3])

    def expect_tied(label, table, weight, product, to=lambda v: v):
        g.expect(f"rows {label}", table, weight[rows])
        plain = to(g.node("MatMul", table, g.weight(weight.T.copy())))
        g.expect(f"product {label}", g.node("Sub", product, plain), np.zeros((*rows.shape, n), np.float32))

    for bits in (8, 4):
        codes, scale = rng.integers(0, 2**bits, (n, k)), scales(rng, n, k // 32)
        weight = (codes - 2.0 ** (bits - 1)).astype(np.float32) * np.repeat(scale, 32, 1)
        # Two names, as exporters have them; the second is in blocks.
        stored = pack(codes, bits)
        table = g.node("GatherBlockQuantized", g.weight(stored), ids, g.weight(scale), domain=MICROSOFT, bits=bits, block_size=32, gather_axis=0, quantize_axis=1)
        expect_tied(f"{bits} bits", table, weight, g.node("MatMulNBits", table, g.weight(stored.reshape(n, k // 32, -1)), g.weight(scale.ravel()),
                                                         domain=MICROSOFT, K=k, N=n, bits=bits, block_size=32))
    # Dequantised in front of the gather: a scale and a zero point for all, and for each row.
    for dtype, shape in ((np.uint8, ()), (np.int8, (n,))):
        low = np.iinfo(dtype).min
        codes, scale, zero = rng.integers(low, low + 256, (n, k)), scales(rng, *shape), rng.integers(low + 100, low + 150, shape)
        real = g.node("DequantizeLinear", g.weight(codes.astype(dtype)), g.weight(scale), g.weight(zero.astype(dtype)), axis=0)
        table = g.node("Gather", real, ids)
        weight = ((codes.T - zero) * scale).astype(np.float32).T.copy()
        expect_tied(f"{np.dtype(dtype)} less a point", table, weight, g.node("MatMul", table, g.node("Transpose", real)))
    for half in (np.float16, ml_dtypes.bfloat16):
        numbers = rng.standard_normal((n, k)).astype(half)
        stored, kind = g.weight(numbers), helper.np_dtype_to_tensor_dtype(np.dtype(half))
        found = g.node("Gather", stored, ids)
        wide = lambda v: g.node("Cast", v, to=TensorProto.FLOAT)
        expect_tied(np.dtype(half).name, wide(found), numbers.astype(np.float32), wide(g.node("MatMul", found, g.node("Transpose", stored))),
                    lambda v: wide(g.node("Cast", v, to=kind)))
    g.check(tool, optimise=0)


def integer(g, label, m, k, n, left, right, left_zero=None, right_zero=None, extreme=False, most=None, large=()):
    """MatMulInteger; zero points: None, "one", or "each" row or column.

    The weight's numbers are at most `most` as ones with a sign, but for those at `large`.
    """
    rng = np.random.default_rng([m, k, n])

    def numbers(dtype, shape):
        bounds = np.iinfo(dtype)
        return (np.full(shape, bounds.max) if extreme else rng.integers(bounds.min, bounds.max + 1, shape)).astype(dtype)

    a, b = numbers(left, (m, k)), numbers(right, (k, n))
    if most:
        b = (rng.integers(-most, most + 1, (k, n)) + (0 if np.iinfo(right).min else 128)).astype(right)
        a[: m // 2] = np.iinfo(left).max
        a[m // 2 : -1][:1] = np.iinfo(left).min
    for place, value in large:
        b[place] = value
    zero = lambda kind, dtype, count: None if kind is None else rng.integers(0, 100, () if kind == "one" else (count,)).astype(dtype)
    za, zb = zero(left_zero, left, m), zero(right_zero, right, n)
    x = g.input(a, [f"{label.replace(' ', '_')}_m", k])
    operands = [x, g.weight(b)]
    if za is not None or zb is not None:
        operands.append("" if za is None else g.input(za))
    if zb is not None:
        operands.append(g.weight(zb))
    wide = lambda v: np.int64(0) if v is None else v.astype(np.int64)
    exact = (a.astype(np.int64) - (wide(za)[:, None] if np.ndim(za) else wide(za))) @ (b.astype(np.int64) - wide(zb))
    g.expect(label, g.node("MatMulInteger", *operands), exact.astype(np.int32))


def activations(g, label, left, right, shapes, left_zero=None, right_zero=None, transposed=False):
    """MatMulInteger of two inputs; the right one may be turned first."""
    rng = np.random.default_rng(len(label))

    def numbers(dtype, shape):
        bounds = np.iinfo(dtype)
        return rng.integers(bounds.min, bounds.max + 1, shape).astype(dtype)

    name = label.replace(" ", "_")
    a, b = (numbers(dtype, shape) for dtype, shape in zip((left, right), shapes))
    turned = np.swapaxes(b, -1, -2) if transposed else b
    x = g.input(a, [f"{name}_{i}" for i in range(a.ndim - 1)] + [a.shape[-1]])
    # The dim that is summed over is known, the columns are not.
    known = b.ndim - (1 if transposed else 2)
    y = g.input(b, [b.shape[i] if i == known or a.ndim > b.ndim else f"{name}_{i}" if i < b.ndim - 2 else f"{name}_n" for i in range(b.ndim)])
    if transposed:
        y = g.node("Transpose", y, perm=[*range(b.ndim - 2), b.ndim - 1, b.ndim - 2])
    zeros = [np.zeros((), dtype) if zero is None else np.array(zero, dtype) for zero, dtype in ((left_zero, left), (right_zero, right))]
    exact = (a.astype(np.int64) - zeros[0].astype(np.int64)) @ (turned.astype(np.int64) - zeros[1].astype(np.int64))
    operands = [g.weight(zeros[0]), g.weight(zeros[1])] if left_zero is not None or right_zero is not None else []
    g.expect(label, g.node("MatMulInteger", x, y, *operands), exact.astype(np.int32))


def rounded(x, scale, zero, dtype, exact=False):
    """What x's codes stand for; None where one is too near a tie for f32 to say."""
    bounds, quotient = np.iinfo(dtype), x / np.float64(scale)
    if not exact and (np.abs(quotient % 1 - 0.5) < 2e-5 * np.maximum(quotient, 1)).any():
        return None
    return (np.clip(np.rint(quotient) + zero, bounds.min, bounds.max) - zero) * np.float64(scale)


def attention(g, label, dtype=np.uint8, d=16, zeros=(120, 131, 128), fixed=False, shared=False, causal=False, guard=False, half=False, keep=None, more=0.0, groups=1, given=False, keys=75, twice=False):
    """Attention of codes, less zero points, whose scores and probabilities are rounded to codes.

    `causal`: query i looks at keys up to i - 3, the first three at none; `keep`: which probabilities are not dropped;
    `fixed`: dims are known, so that no sum of probabilities' codes can leave i32, whatever they are; `groups`: so many
    heads have the same keys and values; `given`: the probabilities are a result as well; `twice`: their codes become
    others, but for NaNs.
    """
    s, t = 30, keys
    fine = np.float32(0.0027)
    zero, scale = (0, np.float32(1 / 255)) if dtype is np.uint8 else (-128, np.float32(2.0**-8))
    seen = np.arange(t) <= np.arange(s)[:, None] - 3 if causal else np.ones((s, t), bool)
    for seed in range(50):
        rng = np.random.default_rng([len(label), seed])
        q, k, v = (rng.integers(0, 256, (1, 2 * groups if n == s else 1 if shared else 2, n, d)).astype(np.uint8) for n in (s, t, t))
        real = [(x.astype(np.float64) - point) / 128 for x, point in zip((q, k, v), zeros)]
        real[1:] = (np.repeat(x, groups, 1) for x in real[1:])
        scores = rounded(real[0] @ real[1].swapaxes(-1, -2), 2.0**-5, 128, np.uint8, exact=True)
        # A row that is masked whole has all keys alike.
        e = np.where(seen | (not guard) & ~seen.any(-1, keepdims=True), np.exp(np.where(seen.any(-1, keepdims=True), scores, 0)), 0)
        with np.errstate(invalid="ignore"):
            weights = np.nan_to_num(e / e.sum(-1, keepdims=True))
        weights = weights.astype(np.float16).astype(np.float64) if half else rounded(weights, scale, zero, dtype)
        if twice and weights is not None:
            weights = rounded(weights, fine, zero, dtype)
        if weights is not None:
            break
    numbers = lambda x, scale, zero: g.node("DequantizeLinear", x, g.weight(np.float32(scale)), g.weight(zero))
    codes = lambda x, scale, zero: numbers(g.node("QuantizeLinear", x, g.weight(np.float32(scale)), g.weight(zero)), scale, zero)
    middle, name = np.uint8(128), label.replace(" ", "_")
    x, y, z = (g.input(c, None if fixed else [1, c.shape[1], f"{name}_{dim}", d]) for c, dim in zip((q, k, v), "stt"))
    if groups > 1:  # of codes
        y = g.heads(y, groups, d)
    x, y, z = (numbers(codes, 2.0**-7, np.uint8(point)) for codes, point in zip((x, y, z), zeros))
    if groups > 1:  # of what they stand for
        z = g.heads(z, groups, d)
    products = codes(g.node("MatMul", x, g.node("Transpose", y, perm=[0, 1, 3, 2])), 2.0**-5, middle)
    if causal:
        number = lambda i: g.weight(np.int64(i))
        length = lambda of: g.node("Gather", g.node("Shape", of), number(2))
        row = g.node("Unsqueeze", g.node("Range", number(-3), g.node("Sub", length(x), number(3)), number(1)), g.weight(np.array([1])))
        within = g.node("LessOrEqual", g.node("Range", number(0), length(y), number(1)), row)
        products = g.node("Add", products, g.node("Where", within, g.weight(np.float32(0)), g.weight(np.float32(-np.inf if guard else -3e38))))
    p = g.node("Softmax", products)
    if guard:
        p = g.node("Where", g.node("IsNaN", p), g.weight(np.float32(0)), p)
    if half:
        p, z = g.node("Cast", p, to=TensorProto.FLOAT16), g.node("Cast", z, to=TensorProto.FLOAT16)
    else:
        p = codes(p, scale, dtype(zero))
    if twice:
        p = codes(g.node("Where", g.node("IsNaN", p), g.weight(np.float32(0)), p), fine, dtype(zero))
    if keep is not None:
        p, weights = g.node("Where", g.input(keep, [1, 1, f"{name}_s", f"{name}_t"]), p, g.weight(np.float32(0))), np.where(keep, weights, 0)
    if more:
        p, weights = g.node("Add", p, g.weight(np.float32(more))), weights + more
    expected = weights @ real[2]
    if given:
        g.expect(f"{label} as well", p, weights.astype(np.float32), rtol=1e-6)
    g.expect(label, g.node("MatMul", p, z), expected.astype(np.float16 if half else np.float32), rtol=2e-3 if half else 1e-5)


def both(tool):
    """Products of integers that the model computes, as attention's."""
    g = Graph(contrib=True)
    u8, i8 = np.uint8, np.int8
    activations(g, "matrices", u8, i8, ((19, 70), (70, 40)))
    activations(g, "heads", u8, u8, ((2, 3, 17, 32), (2, 3, 17, 32)), 120, 7, transposed=True)
    activations(g, "signed heads", i8, i8, ((2, 3, 5, 33), (2, 3, 33, 66)), -3, 5)
    activations(g, "one right matrix", u8, u8, ((4, 35, 64), (64, 31)), 9)
    activations(g, "no left zero", u8, u8, ((1, 6), (6, 5)), None, 200)
    # QLinearMatMul, whose scales are powers of two.
    rng = np.random.default_rng(7)
    q, k = rng.integers(0, 256, (2, 9, 64)).astype(u8), rng.integers(0, 256, (2, 64, 11)).astype(u8)
    sums = (q.astype(np.int64) - 128) @ (k.astype(np.int64) - 125)
    expected = np.clip(np.rint(sums / 2.0**10) + 100, 0, 255).astype(u8)
    numbers = [g.weight(np.float32(v)) for v in (0.25, 0.125, 32)]
    points = [g.weight(u8(v)) for v in (128, 125, 100)]
    y = g.node("QLinearMatMul", g.input(q, ["b", "m", 64]), numbers[0], points[0], g.input(k, ["b", 64, "n"]), numbers[1], points[1], numbers[2], points[2])
    g.expect("requantised", y, expected)
    # Scores that go through a softmax.
    scores = g.node("MatMulInteger", g.input(q, ["c", "l", 64]), g.input(k, ["c", 64, "o"]), points[0], points[1])
    weights = g.node("Softmax", g.node("Mul", g.node("Cast", scores, to=1), g.weight(np.float32(2.0**-12))))
    values = rng.standard_normal((2, 11, 16)).astype(np.float32)
    e = np.exp(sums * 2.0**-12 - (sums * 2.0**-12).max(-1, keepdims=True))
    exact = (e / e.sum(-1, keepdims=True)) @ values
    g.expect("attention", g.node("MatMul", weights, g.input(values, ["c", "o", 16])), exact.astype(np.float32), rtol=1e-5)
    attention(g, "rounded", shared=True)
    attention(g, "rounded causal", np.int8, zeros=(0, 128, 128), causal=True)
    attention(g, "rounded in fixed dims", d=40, zeros=(120, 131, 117), fixed=True)
    attention(g, "rounded causal in fixed dims", np.int8, d=18, zeros=(5, 131, 117), fixed=True, causal=True)
    attention(g, "rounded in fixed dims and guarded", fixed=True, causal=True, guard=True)
    attention(g, "rounded and dropped", d=18, keep=rng.random((1, 1, 30, 75)) < 0.8)
    attention(g, "rounded and more", causal=True, more=0.25)
    attention(g, "rounded and guarded", causal=True, guard=True)
    for keys in (75, 2, 0):
        attention(g, f"rounded and given {keys}", zeros=(120, 131, 117), given=True, keys=keys)
        attention(g, f"rounded {keys}", zeros=(120, 131, 117), keys=keys)
    attention(g, "rounded twice", zeros=(120, 131, 117), twice=True)
    attention(g, "rounded in groups", zeros=(120, 131, 117), groups=3)
    attention(g, "rounded causal in groups", np.int8, d=40, zeros=(5, 128, 117), causal=True, groups=2)
    attention(g, "rounded in fixed groups", fixed=True, groups=2)
    attention(g, "halves", causal=True, half=True)
    g.check(tool, optimise=0)


def quotients(tool):
    """Quantised numbers near ties and at the ends of f32 have the codes that a division gives; NaN is cast to 0."""
    g = Graph()
    shared = np.array([-3.4e38, -401, -2.51, -2.5, -0.5, 0.49, 0.5, 1.5, 77.2, 1e9, np.nan], np.float32).repeat(3)
    for i, scale in enumerate(np.array([1 / 255, 2.0**-7, 0.0137, 1.1e-5, 7.3, 1.66050375, 3e-17, 2e18, 1e-19, 1e20], np.float32)):
        rng = np.random.default_rng(i)
        ties = (rng.integers(-400, 400, 2000) + 0.5).astype(np.float32) * scale
        near = (ties.view(np.int32) + rng.integers(-3, 4, ties.size, dtype=np.int32)).view(np.float32)
        ends = np.array([0, -0.0, 1e-45, -1e-38, 3.4e38, -3.4e38, np.inf, -np.inf], np.float32)
        x = np.concatenate([near, scale * np.float32(7), ends], axis=None, dtype=np.float32)
        with np.errstate(over="ignore"):
            quotient = np.rint(x / scale)
        for zero in (np.uint8(0), np.uint8(131), np.int8(-5)):
            bounds = np.iinfo(zero.dtype)
            codes = np.clip(quotient.astype(np.float64) + int(zero), bounds.min, bounds.max).astype(zero.dtype)
            for label, of in (("known", g.weight(scale)), ("given", g.input(scale)))[:2 if zero == 131 else 1]:
                y = g.node("QuantizeLinear", g.input(x, [f"n{i}_{len(g.inputs)}"]), of, g.weight(zero))
                g.expect(f"{label} codes by {scale} {zero.dtype} {zero}", y, codes)
    # What no number is divided by.
    x = np.array([-3, -1e-40, -0.0, 0, 1e-41, 0.5, 7, 3e38, np.inf, np.nan], np.float32)
    for scale in np.array([0, np.inf, np.nan, 1e-40, -0.25], np.float32):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            quotient = np.rint(x / scale)
        for zero in (np.uint8(100), np.int8(-7)):
            bounds = np.iinfo(zero.dtype)
            codes = np.clip(np.nan_to_num(quotient.astype(np.float64), nan=1e9, posinf=1e9, neginf=-1e9) + int(zero), bounds.min, bounds.max)
            codes = np.where(np.isnan(quotient), 0, codes).astype(zero.dtype)
            for label, of in (("known", g.weight(scale)), ("given", g.input(scale))):
                y = g.node("QuantizeLinear", g.input(x, [f"odd{len(g.inputs)}"]), of, g.weight(zero))
                g.expect(f"{label} codes by {scale} {zero.dtype}".replace("-", "minus "), y, codes)
    # One kernel for several zero points; what makes numbers of codes again takes them as they are.
    for zero in (np.uint8(0), np.uint8(7), np.uint8(255), np.int8(0), np.int8(-128), np.int8(127)):
        bounds = np.iinfo(zero.dtype)
        codes = np.clip(np.rint(np.nan_to_num(shared)).astype(np.float64) + int(zero), bounds.min, bounds.max)
        codes = np.where(np.isnan(shared), 0, codes).astype(zero.dtype)
        x, one, point = g.input(shared, ["shared"]), g.weight(np.float32(1)), g.weight(zero)
        g.expect(f"shared {zero.dtype} {zero}", g.node("QuantizeLinear", x, one, point), codes)
        numbers = g.node("DequantizeLinear", g.node("QuantizeLinear", x, one, point), one, point)
        g.expect(f"numbers {zero.dtype} {zero}", g.node("Neg", numbers), int(zero) - codes.astype(np.float32))
    g.check(tool)


def integers(tool):
    g = Graph(contrib=True)
    u8, i8 = np.uint8, np.int8
    for m in (1, 7, 60):
        integer(g, f"u8 by i8 {m}", m, 70, 40, u8, i8, "one")
    integer(g, "saturating pairs", 6, 64, 64, u8, i8, extreme=True)
    integer(g, "i8 by u8", 5, 33, 64, i8, u8, "one", "one")
    integer(g, "u8 by u8", 13, 72, 33, u8, u8, "each", "each")
    integer(g, "i8 by i8", 50, 61, 31, i8, i8)
    integer(g, "no left zero", 3, 96, 20, u8, u8, None, "one")
    integer(g, "sums that wrap", 2, 33100, 33, u8, u8, extreme=True)
    for left, right, ends in ((u8, i8, (255, -128)), (i8, i8, (-128, -128)), (i8, u8, (-128, 255))):
        a, b = np.full((2, 34000), ends[0], left), np.full((34000, 5), ends[1], right)
        zeros = [kind(np.iinfo(kind).max + np.iinfo(kind).min - end) for kind, end in zip((left, right), ends)]
        exact = (a.astype(np.int64) - int(zeros[0])) @ (b.astype(np.int64) - int(zeros[1]))
        product = g.node("MatMulInteger", g.input(a), g.weight(b), *map(g.weight, zeros))
        g.expect(f"sums of {ends[0]} by {ends[1]} that wrap {np.dtype(right)}".replace("-", "minus "), product, exact.astype(np.int32))
    # Blocks of 16 rows and of 8 whose sums i16 holds, and some whose sums it does not.
    large = [(np.s_[3:5, 7], -128), (np.s_[64:96, 8:20], 127), (np.s_[79, 39], -127), (np.s_[-2:, 0], 127)]
    for m in (1, 2, 5, 9, 64):
        integer(g, f"sixteen rows {m}", m, 192, 40, u8, i8, "one", most=16, large=large)
    integer(g, "eight rows", 11, 136, 70, i8, i8, "each", most=30, large=large)
    integer(g, "on the edge", 6, 64, 32, u8, i8, large=[(np.s_[:], 16), (np.s_[:16, 5], -16), (np.s_[16:, 9], -17), (np.s_[60, 31], 17)])
    integer(g, "small and long", 8, 7168, 40, u8, i8, most=9, large=large)
    # Lists of groups: of four, three, two and one, in one window, in two, and in chunks; any weights.
    integer(g, "groups of four", 9, 192, 40, u8, i8, "one", most=30, large=large)
    for m in (1, 14):
        integer(g, f"groups of three {m}", m, 192, 70, u8, i8, "each", most=60, large=large)
    large += [(np.s_[:, 2], 127), (np.s_[:, 20], -128), (np.s_[:64, 21], 127), (np.s_[:64, 22], -128)]
    for m in (2, 9):
        integer(g, f"groups of two windows {m}", m, 1300, 40, u8, i8, "one", most=127, large=large)
    integer(g, "groups in chunks", 8, 2700, 33, i8, u8, "one", "one")
    # The last group has fewer rows; so has a list of one group.
    for m, k in ((9, 549), (14, 1098), (8, 2051)):
        integer(g, f"a part of a group {k}", m, k, 61, u8, i8, "one", most=60, large=large)
    edge = [(np.s_[:], 32), (np.s_[:, 5], -32), (np.s_[::16], 31), (np.s_[::16, 5], -31), (np.s_[2::16], 31), (np.s_[2::16, 5], -31)]
    edge += [(np.s_[16:32, 3], 32), (np.s_[32:48, 20:23], 0), (np.s_[32:34, 20], (127, 1)), (np.s_[33, 21], -128), (np.s_[32:34, 22], (127, 2))]
    integer(g, "on the edge that wraps", 7, 128, 32, u8, i8, most=1, large=edge)
    g.check(tool)


def requantised(tool):
    """QLinearMatMul and QGemm, whose scales are powers of two: exact up to the rounding."""
    g = Graph(contrib=True)
    rng = np.random.default_rng(5)
    f32 = np.float32
    a, b = rng.integers(0, 256, (9, 40)).astype(np.uint8), rng.integers(-128, 128, (40, 35)).astype(np.int8)
    za, zb, zy = np.uint8(120), np.int8(3), np.uint8(100)
    sums = (a.astype(np.int64) - 120) @ (b.astype(np.int64) - 3)
    expected = np.clip(np.rint(sums / 2.0**11) + 100, 0, 255).astype(np.uint8)
    x = g.input(a, ["m", 40])
    tail = [g.weight(f32(2.0**6)), g.weight(zy)]
    g.expect("matmul", g.node("QLinearMatMul", x, g.weight(f32(0.25)), g.weight(za), g.weight(b), g.weight(f32(0.125)), g.weight(zb), *tail), expected)
    bias = rng.integers(-1000, 1000, 35).astype(np.int32)
    expected = np.clip(np.rint((sums + bias) / 2.0**11) + 100, 0, 255).astype(np.uint8)
    operands = [x, g.weight(f32(0.25)), g.weight(za), g.weight(b.T.copy()), g.weight(f32(0.125)), g.weight(zb), g.weight(bias)]
    g.expect("gemm", g.node("QGemm", *operands, *tail, domain=MICROSOFT, transB=1), expected)
    # Panels that are whole, whose bytes are stored together, with sums far outside of the codes.
    b = rng.integers(-128, 128, (40, 64)).astype(np.int8)
    sums = (a.astype(np.int64) - 120) @ b
    for shift, point in ((11, 100), (11, 0), (2, 255)):
        expected = np.clip(np.rint(sums / 2.0**shift) + point, 0, 255).astype(np.uint8)
        tail = [g.weight(f32(2.0 ** (shift - 5))), g.weight(np.uint8(point))]
        operands = [x, g.weight(f32(0.25)), g.weight(za), g.weight(b), g.weight(f32(0.125)), g.weight(np.int8(0))]
        g.expect(f"panels {shift} {point}", g.node("QLinearMatMul", *operands, *tail), expected)
    # Queries, keys and values: one product, whose columns have scales and biases of their own.
    of_rows = g.input(f32(0.25))
    for n, factor, biased in ((64, 0.5, True), (32, 2.0, True), (32, 1.0, False)):
        b, bias = rng.integers(-128, 128, (40, n)).astype(np.int8), rng.integers(-99, 99, n) * biased
        y = g.node("Cast", g.node("MatMulInteger", x, g.weight(b), g.weight(za)), to=1)
        y = g.node("Mul", y, g.node("Mul", of_rows, g.weight(f32(factor))))
        y = g.node("Add", y, g.weight(bias.astype(f32))) if biased else y
        exact = (a.astype(np.int64) - 120) @ b * (0.25 * factor) + bias
        g.expect(f"heads of {factor}", g.node("Reshape", y, g.weight(np.array([0, 2, n // 2]))), exact.reshape(9, 2, -1).astype(f32))
    g.check(tool)


def tables(tool):
    """What an activation between QDQ becomes: a table, whatever the vectors that it is read by."""
    g = Graph()
    f32, u8, i8 = np.float32, np.uint8, np.int8

    def rounded(x, scale, zero):
        return np.clip(np.rint((x.astype(f32) / f32(scale)).astype(f32)) + int(zero), np.iinfo(zero.dtype).min, np.iinfo(zero.dtype).max)

    for number, (columns, zero) in enumerate(((64, u8(100)), (35, i8(-20)), (7, u8(0)), (1, i8(3)))):
        scale, small = f32(0.05), f32(1 / 250)
        pair = lambda v, s, z: g.node("DequantizeLinear", g.node("QuantizeLinear", v, g.weight(s), g.weight(z)), g.weight(s), g.weight(z))
        bounds = np.iinfo(zero.dtype)
        rows = -(-256 // columns) + 2
        codes = np.resize(np.arange(bounds.min, bounds.max + 1), (rows, columns)).astype(zero.dtype)
        x = g.node("DequantizeLinear", g.input(codes, [f"a{number}", columns]), g.weight(scale), g.weight(zero))
        real = ((codes.astype(np.int64) - int(zero)).astype(f32) * scale).astype(np.float64)
        of_sigmoid = rounded(1 / (1 + np.exp(-real)), small, u8(0)) * small
        y = g.node("Mul", x, pair(g.node("Sigmoid", x), small, u8(0)))
        exact = rounded((real.astype(f32) * of_sigmoid.astype(f32)).astype(f32), 0.04, zero).astype(zero.dtype)
        g.expect(f"silu {columns}", g.node("QuantizeLinear", y, g.weight(f32(0.04)), g.weight(zero)), exact)
        # Behind a product, whose sums are so far from each other that each code is met.
        eye = np.zeros((columns, 64), i8)
        eye[np.arange(64) % columns, np.arange(64)] = 64
        filters = g.node("DequantizeLinear", g.weight(eye), g.weight(f32(1 / 64)), g.weight(i8(0)))
        y = pair(g.node("MatMul", x, filters), scale, zero)
        exact = rounded(np.tanh(real[:, np.arange(64) % columns]), 0.01, zero).astype(zero.dtype)
        g.expect(f"tanh {columns}", g.node("QuantizeLinear", g.node("Tanh", y), g.weight(f32(0.01)), g.weight(zero)), exact)
    g.check(tool, optimise=0)


def convolutions(tool):
    """QLinearConv, ConvInteger and QDQ around Conv: sums of integers, zero points outside the image too."""
    g = Graph(contrib=True)
    rng = np.random.default_rng(6)
    f32, u8, i8 = np.float32, np.uint8, np.int8

    def patches(x, kernel, stride, pad, outside):
        x = np.pad(x.astype(np.int64), [(0, 0), (0, 0), (pad, pad), (pad, pad)], constant_values=outside)
        windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
        return windows.transpose(0, 2, 3, 1, 4, 5)

    # (channels in, out, kernel, stride, pad); channels last, first, a row, weights that are folded, sums of floats
    for c, o, kernel, stride, pad in ((32, 48, 3, 1, 1), (3, 40, 7, 2, 3), (64, 72, 1, 1, 0), (16, 10, 3, 2, 0), (8, 2, 5, 1, 2)):
        for kind, sums_of in ((u8, "all"), (i8, "channels")):
            label = f"{c} to {o} {np.dtype(kind)}"
            bounds = np.iinfo(kind)
            x = rng.integers(bounds.min, bounds.max + 1, (2, c, 9, 8)).astype(kind)
            w = rng.integers(-127, 128, (o, c, kernel, kernel)).astype(i8)
            zx = kind(rng.integers(-20, 20) + (128 if kind is u8 else 0))
            rows = patches(x, kernel, stride, pad, zx).reshape(2, -1, c * kernel * kernel) - int(zx)
            height, width = ((size + 2 * pad - kernel) // stride + 1 for size in (9, 8))
            exact = (rows @ w.reshape(o, -1).T.astype(np.int64)).transpose(0, 2, 1).reshape(2, o, height, width)
            given = g.input(x, [f"{label.replace(' ', '_')}_n", c, "h", "w"])
            window = {"strides": [stride] * 2, "pads": [pad] * 4}
            point = g.weight(zx)
            g.expect(f"integer {label}", g.node("ConvInteger", given, g.weight(w), point, **window), exact.astype(np.int32))
            if kind is u8 and kernel == 3:  # sums of patches
                g.expect(f"unsigned {label}", g.node("ConvInteger", given, g.weight((w.astype(int) + 128).astype(u8)), point, g.weight(u8(131)), **window), (exact - 3 * rows.sum(-1).reshape(2, 1, height, width)).astype(np.int32))
            s = 2.0 ** -rng.integers(9, 11, o if sums_of == "channels" else 1)
            spread = np.broadcast_to(s, o)[:, None, None]
            ofw = [g.weight(s.astype(f32).reshape(() if s.size == 1 else -1)), g.weight(np.zeros(s.shape, i8).reshape(() if s.size == 1 else -1))]
            tail = [g.weight(f32(0.25)), g.weight(kind(100 if kind is u8 else -3))]
            bias = rng.integers(-1000, 1000, o).astype(np.int32)
            real = (exact + bias[:, None, None]) * 0.5 * spread
            codes = np.clip(np.rint(real * 4) + (100 if kind is u8 else -3), bounds.min, bounds.max).astype(kind)
            half = g.weight(f32(0.5))
            g.expect(f"linear {label}", g.node("QLinearConv", given, half, point, g.weight(w), *ofw, *tail, g.weight(bias), **window), codes)
            number = g.node("DequantizeLinear", given, half, point)
            filters = g.node("DequantizeLinear", g.weight(w), *ofw, **({"axis": 0} if s.size > 1 else {}))
            y = g.node("Conv", number, filters, **window)
            g.expect(f"between {label}", y, (exact * 0.5 * spread).astype(f32))
    # One channel behind those that fill vectors: its byte is stored alone.
    x, w = rng.integers(-128, 128, (2, 17, 7, 6)).astype(i8), rng.integers(-127, 128, (17, 1, 3, 3)).astype(i8)
    sums = (patches(x, 3, 1, 0, 0).reshape(2, 5, 4, 17, 9).astype(np.int64) * w.reshape(17, 9)).sum(-1).transpose(0, 3, 1, 2)
    operands = [g.input(x, ["n17", 17, "h17", 6]), g.weight(f32(0.5)), g.weight(i8(0)), g.weight(w), g.weight(f32(2**-9)), g.weight(i8(0)), g.weight(f32(0.25)), g.weight(i8(3))]
    g.expect("depthwise", g.node("QLinearConv", *operands, group=17), np.clip(np.rint(sums * 2**-8) + 3, -128, 127).astype(i8))
    # QDQ of channels alone: of rows that are kept widened, of rows too long for that and of dims that only the run
    # knows, in one and three dims; of groups that fill vectors; codes that a residual sum reads as well.
    def quantised(x, zero):
        return np.clip(np.rint(x * 4) + zero, np.iinfo(zero.dtype).min, np.iinfo(zero.dtype).max) - int(zero)

    for number, (c, per, kernel, stride, size, zero) in enumerate((
        (24, 1, (3, 3), 1, (7, 9), u8(120)), (17, 1, (3, 3), 2, (8, 150), i8(-128)), (33, 1, (5, 5), 1, ("h", "w"), i8(5)),
        (40, 1, (3,), 2, (31,), u8(0)), (16, 1, (2, 3, 3), 1, (4, 5, 6), i8(-3)), (32, 16, (3, 3), 1, (7, 9), u8(3)),
    )):  # fmt: skip
        rank, sizes = len(kernel), [11 if isinstance(n, str) else n for n in size]
        x = (rng.integers(-140, 140, (2, c, *sizes)) / f32(4)).astype(f32)
        w, of = rng.integers(-127, 128, (c, per, *kernel)).astype(i8), (2.0 ** -rng.integers(8, 10, c)).astype(f32)
        pad, axes = [k // 2 for k in kernel], tuple(range(2, rank + 2))
        codes = quantised(x, zero).astype(np.int64)
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(codes, [(0, 0)] * 2 + [(n, n) for n in pad]), kernel, axis=axes)
        windows = windows[(slice(None),) * 2 + (slice(None, None, stride),) * rank]
        windows = windows.reshape(2, c // per, 1, per, *windows.shape[2:])
        taps = w.reshape(1, c // per, per, per, *[1] * rank, *kernel)
        sums = (windows * taps).sum((3, *range(4 + rank, 4 + 2 * rank)))
        sums = sums.reshape(2, c, *sums.shape[3:])
        real = quantised(sums * of.reshape(c, *[1] * rank) / 4, zero) / 4
        scale, point = g.weight(f32(0.25)), g.weight(zero)
        pair = lambda v: g.node("DequantizeLinear", g.node("QuantizeLinear", v, scale, point), scale, point)
        given = pair(g.input(x, ["n", c, *(f"{n}{number}" if isinstance(n, str) else n for n in size)]))
        filters = g.node("DequantizeLinear", g.weight(w), g.weight(of), g.weight(np.zeros(c, i8)), axis=0)
        y = pair(g.node("Conv", given, filters, group=c // per, kernel_shape=kernel, strides=[stride] * rank, pads=pad * 2))
        g.expect(f"channels alone {number}", y, real.astype(f32))
        if stride == 1 and real.shape == x.shape:
            g.expect(f"with a residual {number}", pair(g.node("Add", y, given)), (quantised(real + codes / 4, zero) / 4).astype(f32))
    # A pool of codes, and few codes of a weight.
    x, zero = (rng.integers(-130, 130, (2, 20, 9, 8)) / f32(4)).astype(f32), i8(-7)
    scale, point = g.weight(f32(0.25)), g.weight(zero)
    codes = quantised(x, zero)
    y = g.node("MaxPool", pair(g.input(x, ["n", 20, 9, 8])), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    largest = patches(codes, 3, 2, 1, -1000).max((-1, -2)).transpose(0, 3, 1, 2)
    g.expect("largest codes", pair(y), (largest / 4).astype(f32))
    w = rng.integers(-127, 128, (4, 20, 1, 1)).astype(i8)
    filters = g.node("DequantizeLinear", g.weight(w), g.weight(f32(2**-8)), g.weight(i8(0)))
    sums = np.einsum("oc,nchw->nohw", w[:, :, 0, 0].astype(np.int64), largest.astype(np.int64)) * 2.0**-10
    g.expect("few weights", pair(g.node("Conv", pair(y), filters)), (quantised(sums, zero) / 4).astype(f32))
    # One factor of a sum, the scales' quotient: nothing else has the codes of sums that end between two.
    x = np.arange(256, dtype=u8).reshape(1, 1, 16, 16)
    scales = f32(0.06), f32(0.3), f32(0.012)
    codes = np.clip(np.rint(x.astype(f32) * (scales[0] * scales[1] / scales[2])), 0, 255).astype(u8)
    ins, ofw, out = map(g.weight, scales)
    zero, one = g.weight(u8(0)), g.weight(np.ones((1, 1, 1, 1), u8))
    g.expect("between codes", g.node("QLinearConv", g.input(x), ins, zero, one, ofw, zero, out, zero), codes)
    g.expect("between codes of a matrix", g.node("QLinearMatMul", g.input(x.reshape(256, 1)), ins, zero, g.weight(np.ones((1, 1), u8)), ofw, zero, out, zero), codes.reshape(256, 1))
    g.check(tool, optimise=0)


def long_rows(tool):
    """Sums that leave i32 are not those of floats that codes stand for."""
    g = Graph()
    k = 40000
    x, w = np.full((2, k), 255, np.uint8), np.full((k, 3), 255, np.uint8)
    ofx, ofw = (g.weight(np.float32(v)) for v in (0.5, 0.25))
    zero = g.weight(np.uint8(0))
    product = g.node("MatMul", g.node("DequantizeLinear", g.input(x), ofx, zero), g.node("DequantizeLinear", g.weight(w), ofw, zero))
    g.expect("long", product, np.full((2, 3), 255 * 255 * 40000 / 8, np.float32), rtol=1e-4)
    nothing = g.node("MatMulInteger", g.input(np.zeros((2, 0), np.uint8)), g.weight(np.zeros((0, 3), np.uint8)))
    g.expect("no terms", nothing, np.zeros((2, 3), np.int32))
    g.check(tool, optimise=0)


def scales_of_integers(tool):
    """0, NaN, infinity, denormal, and such whose product f32 does not hold: as the graph's floats have it."""
    g = Graph(contrib=True)
    rng = np.random.default_rng(12)
    f32, u8, i8 = np.float32, np.uint8, np.int8
    a, b = rng.integers(0, 256, (3, 64)).astype(u8), rng.integers(-20, 21, (64, 6)).astype(i8)
    b[0] = 0
    of_columns = np.array([0, np.nan, np.inf, 2.0**-130, 2.0**-70, 1], f32)
    weight = g.node("DequantizeLinear", g.weight(b), g.weight(of_columns), g.weight(np.zeros(6, i8)), axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        real = (b * of_columns).astype(np.float64)
        for of_rows in (0.5, 2.0**-78, 0, np.inf, np.nan):
            x = g.node("DequantizeLinear", g.input(a), g.weight(f32(of_rows)), g.weight(u8(120)))
            rows = ((a.astype(np.int64) - 120) * np.float64(of_rows))[:, None]
            y = g.node("Mul", g.node("MatMul", x, weight), g.weight(f32(2.0**100)))
            g.expect(f"floats {of_rows}", y, ((rows * real.T).sum(-1) * 2.0**100).astype(f32), rtol=1e-6)
        # What a result is divided by before it becomes a byte again.
        sums = (a.astype(np.int64) - 120) @ b.astype(np.int64)
        for first, last in ((1, np.inf), (0, 1), (1, 2.0**-130), (np.inf, 1)):
            codes = np.clip(np.rint(sums.astype(f32) * (f32(first) * f32(0.25) / f32(last))) + 100, 0, 255)
            operands = [g.input(a), g.weight(f32(first)), g.weight(u8(120)), g.weight(b), g.weight(f32(0.25)), g.weight(i8(0)), g.weight(f32(last)), g.weight(u8(100))]
            g.expect(f"bytes {first} {last}", g.node("QLinearMatMul", *operands), codes.astype(u8))
    g.check(tool, optimise=0)


if __name__ == "__main__":
    checks = Checks(__doc__.splitlines()[0])
    tool = checks.tool()
    for check in (dequantised, tied, integers, both, quotients, requantised, tables, convolutions, long_rows, scales_of_integers):
        checks.attempt(check.__name__, check, tool)
    checks.finish()
