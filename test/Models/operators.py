#!/usr/bin/env python3
#===- operators.py - small graphs against onnxruntime ----------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Compiles small graphs of ONNX's text form and compares them with onnxruntime.

usage: operators.py [--tenon PATH] [--part N/M] [SUBSTRING...]

The whole-model tests run each operator in the one form that exporters write.
Here the forms vary: other axes, broadcasts of dims only known at run time,
negative steps, empty tensors, special values and every edge of a matrix
product's tiles, which is compared with numpy's float64 as well.
"""

import functools

import numpy as np
import onnx
import onnxruntime as ort

from batch import Graph, check_graphs
from tool import Checks, Failure, file_name

INF, NAN = np.inf, np.nan
CASES = []


def case(name, text, *sets, atol=1e-6, rtol=1e-5, opset=20, oracle=None):
    """A graph `(inputs) => (outputs) <weights> { nodes }` and its input sets.

    `oracle` gives the outputs in double precision where onnxruntime's own error
    is larger than what is allowed here."""
    sets = [{key: np.asarray(value) for key, value in inputs.items()} for inputs in sets]
    CASES.append((name, text, sets, atol, rtol, opset, oracle))


def rand(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng([seed, *shape]).standard_normal(shape)).astype(np.float32)


def ints(low, high, *shape, seed=0):
    return np.random.default_rng([seed, *shape]).integers(low, high, shape, dtype=np.int64)


def permuted(size, axis, *shape):
    """Indices below size, none twice along the axis."""
    keys = np.random.default_rng([7, size, *shape]).random([size if i == axis else d for i, d in enumerate(shape)])
    return np.take(np.argsort(keys, axis), range(shape[axis]), axis).astype(np.int64)


# The guard that exporters put around attention: a row whose sum is NaN is 0.
GUARD = "(float[n,m] x) => (float[n,m] y) <float zero = {0}> { s = Softmax <axis = -1> (x)  b = IsNaN (s)  y = Where (b, zero, s) }"
SPECIAL = np.array(
    [
        [-INF, -INF, -INF, -INF, -INF],
        [-INF, 1, 2, -INF, 0],
        [NAN, 1, 2, 3, 4],
        [INF, 1, 2, 3, 4],
        [INF, -INF, 0, INF, 1],
        [1, 2, 3, 4, 5],
        [-1e30, -1e30, -1e30, -1e30, -1e30],
        [88, 89, 90, 1e30, -1e30],
    ],
    np.float32,
)
case("softmax guard", GUARD, {"x": SPECIAL}, {"x": rand(3, 67)}, {"x": rand(1, 1)}, {"x": rand(0, 5)}, {"x": SPECIAL[:, :1]})
case(
    "softmax guard with a mask",
    "(float[b,h,q,k] x, bool[b,one,q,k] m) => (float[b,h,q,k] y) <float zero = {0}, float low = {-inf}>"
    "{ z = Where (m, x, low)  s = Softmax <axis = -1> (z)  b = IsNaN (s)  y = Where (b, zero, s) }",
    {"x": rand(2, 3, 5, 7), "m": ints(0, 2, 2, 1, 5, 7) > 0},
    {"x": rand(1, 2, 3, 33), "m": np.zeros((1, 1, 3, 33), bool)},
)
for axis in (0, 1, -1):
    case(
        f"softmax along {axis}", f"(float[a,b,c] x) => (float[a,b,c] y) {{ y = Softmax <axis = {axis}> (x) }}",
        {"x": rand(3, 5, 17)}, {"x": rand(1, 40, 2)}, {"x": rand(2, 1, 1, seed=1)},
    )
# Masks of the exporters: causal, from CumSum, with GatherND.
case(
    "causal mask",
    "(float[s,t] x) => (float[s,t] y) <int64 zero = {0}, int64 one = {1}, float low = {-inf}, int64[1] i0 = {0}, int64[1] i1 = {1}>"
    "{ sh = Shape (x)  n = Gather <axis = 0> (sh, zero)  m = Gather <axis = 0> (sh, one)"
    "  q = Range (zero, n, one)  k = Range (zero, m, one)  qc = Unsqueeze (q, i1)  kr = Unsqueeze (k, i0)"
    "  c = LessOrEqual (kr, qc)  y = Where (c, x, low) }",
    {"x": rand(5, 5)}, {"x": rand(3, 9)}, {"x": rand(33, 7)}, {"x": rand(1, 1)},
)
case(
    "elementwise chain",
    "(float[a,b] x, float[a,b] y) => (float[a,b] z) <float h = {0.5}>"
    "{ t = Mul (x, y)  u = Add (t, x)  v = Tanh (u)  w = Sigmoid (v)  e = Exp (w)  r = Sqrt (e)  q = Div (r, e)  z = Sub (q, h) }",
    {"x": rand(3, 37), "y": rand(3, 37, seed=1)}, {"x": rand(1, 1), "y": rand(1, 1)}, {"x": rand(0, 4), "y": rand(0, 4)},
)
case(
    "broadcasts known at run time",
    "(float[a,b] x, float[c,d] y) => (float[e,f] z) { z = Add (x, y) }",
    {"x": rand(3, 5), "y": rand(3, 5, seed=1)}, {"x": rand(1, 5), "y": rand(4, 5)}, {"x": rand(3, 1), "y": rand(1, 9)},
    {"x": rand(1, 1), "y": rand(6, 2)}, {"x": rand(6, 2), "y": rand(1, 1)},
)
case(
    "neighbours, none of them in a sequence of one",
    "(int64[a,b] ids) => (float[c,d,e] y) <float[4,3] table = {0,1,2,3,4,5,6,7,8,9,10,11}, int64[1] i0 = {0}, int64[1] i1 = {1},"
    " int64[1] far = {9999}, int64[1] last = {-1}, int64[6] after = {0,0,0,0,1,0}, int64[6] before = {0,1,0,0,0,0}>"
    "{ x = Gather <axis = 0> (table, ids)  n = Slice (x, i1, far, i1)  p = Slice (x, i0, last, i1)"
    "  nn = Pad (n, after)  pp = Pad (p, before)  y = Concat <axis = 2> (nn, x, pp) }",
    {"ids": ints(0, 4, 2, 5)}, {"ids": ints(0, 4, 3, 1)}, {"ids": ints(0, 4, 1, 20)},
)
case(
    "broadcasts of other ranks",
    "(float[a,b,c] x, float[c] y, float s) => (float[a,b,c] z) { t = Mul (x, y)  z = Sub (s, t) }",
    {"x": rand(2, 3, 5), "y": rand(5), "s": np.float32(3)}, {"x": rand(1, 4, 33), "y": rand(33), "s": np.float32(-1)},
)
case(
    "special values",
    "(float[n] x) => (float[n] e, float[n] t, float[n] g, float[n] r, float[n] q, float[n] f, float[n] l)"
    "{ e = Exp (x)  t = Tanh (x)  g = Sigmoid (x)  r = Relu (x)  q = Sqrt (x)  f = Erf (x)  l = Neg (x) }",
    {"x": np.array([0, -0.0, 1, -1, 88, -88, 104, -104, 1e30, -1e30, 1e-30, 1e-42, INF, -INF, NAN], np.float32)},
    {"x": rand(1000, scale=5)}, atol=1e-6, rtol=2e-6,
)
case("gelu", "(float[n] x) => (float[n] y, float[n] z) { y = Gelu (x)  z = Gelu <approximate = \"tanh\"> (x) }",
     {"x": rand(999, scale=4)}, {"x": np.array([0, -0.0, 30, -30, 1e20, -1e20], np.float32)})
case(
    "gelu from its parts",
    "(float[n,m] x) => (float[n,m] y) <float two = {1.4142135381698608}, float one = {1}, float half = {0.5}>"
    "{ a = Div (x, two)  b = Erf (a)  c = Add (b, one)  d = Mul (x, c)  y = Mul (d, half) }",
    {"x": rand(3, 50, scale=3)},
)
case(
    "integers",
    "(int64[n] x, int64[n] y) => (int64[n] a, int64[n] m, bool[n] l, int64[n] c)"
    "{ a = Add (x, y)  m = Mul (x, y)  l = Less (x, y)  t = Cast <to = 1> (x)  u = Floor (t)  c = Cast <to = 7> (u) }",
    {"x": ints(-99, 99, 40), "y": ints(-99, 99, 40, seed=1)}, {"x": ints(0, 9, 1), "y": ints(0, 9, 1)},
)
case(
    "booleans",
    "(bool[n] x, bool[n] y) => (bool[n] a, bool[n] o, bool[n] t, float[n] f)"
    "{ a = And (x, y)  o = Or (x, y)  t = Not (x)  f = Cast <to = 1> (y) }",
    {"x": ints(0, 2, 33) > 0, "y": ints(0, 2, 33, seed=1) > 0},
)
for axis in (-1, 0, 1):
    case(
        f"reductions along {axis}",
        f"(float[a,b,c] x) => (float[u,v,w] m, float[q,r] s) <int64[1] ax = {{{axis}}}>"
        "{ m = ReduceMean <keepdims = 1> (x, ax)  s = ReduceSum <keepdims = 0> (x, ax) }",
        {"x": rand(3, 5, 37)}, {"x": rand(1, 1, 1)}, {"x": rand(2, 70, 4)}, atol=1e-5,
    )
case(
    "norms",
    "(float[a,b,24] x) => (float[a,b,24] y, float[a,b,24] z)"
    "{ y = LayerNormalization <axis = -1, epsilon = 0.00001> (x, w, c)"
    "  p = Pow (x, two)  m = ReduceMean <keepdims = 1> (p, ax)  e = Add (m, eps)  s = Sqrt (e)  i = Reciprocal (s)"
    "  n = Mul (x, i)  z = Mul (w, n) }",
    {"x": rand(2, 3, 24)}, {"x": rand(1, 1, 24, scale=100)}, {"x": np.zeros((1, 2, 24), np.float32)}, atol=1e-5,
)
case("gather rows", "(int64[n,m] i) => (float[n,m,5] y) { y = Gather <axis = 0> (t, i) }",
     {"i": ints(-7, 7, 2, 9)}, {"i": ints(-7, 7, 1, 1)}, {"i": ints(-7, 7, 0, 3)})
case("gather columns", "(float[a,b] x, int64[n] i) => (float[a,n] y) { y = Gather <axis = 1> (x, i) }",
     {"x": rand(3, 6), "i": ints(-6, 6, 9)}, {"x": rand(1, 2), "i": np.array([1, -1, 0, -2])})
case("transpose", "(float[a,b,c,d] x) => (float[a,c,b,d] y, float[d,c,b,a] z, float[a,c,d,b] u, float[a,d,b,c] v)"
     "{ y = Transpose <perm = [0,2,1,3]> (x)  z = Transpose <perm = [3,2,1,0]> (x)  u = Transpose <perm = [0,2,3,1]> (x)  v = Transpose <perm = [0,3,1,2]> (x) }",
     {"x": rand(2, 3, 5, 7)}, {"x": rand(1, 1, 33, 17)}, {"x": rand(2, 9, 1, 4)}, {"x": rand(2, 20, 21, 38)})
# Four of each place in memory: rows of whole vectors and others, of fewer elements, of several pieces.
case("every fourth", "(float[2,3,12,112] x, float[b,5,28,4] p, int32[1,2,1030,4] i, float[b,5,7,4] f)"
     " => (float[2,48,3,28] y, float[b,4,5,28] z, int32[1,4,2,1030] j, float[b,4,5,7] g, float[b,4,5,28] n)"
     "{ y = SpaceToDepth <blocksize = 4> (x)  z = Transpose <perm = [0,3,1,2]> (p)  j = Transpose <perm = [0,3,1,2]> (i)"
     "  g = Transpose <perm = [0,3,1,2]> (f)  m = Neg (p)  n = Transpose <perm = [0,3,1,2]> (m) }",
     *({"x": rand(2, 3, 12, 112), "p": rand(b, 5, 28, 4), "i": ints(-9, 9, 1, 2, 1030, 4).astype(np.int32), "f": rand(b, 5, 7, 4)} for b in (1, 3)))
case(
    "slices",
    "(float[a,b] x) => (float[p,q] y, float[r,s] z, float[t,u] w)"
    "<int64[1] s1 = {1}, int64[1] e9 = {9223372036854775807}, int64[1] a1 = {1}, int64[1] m1 = {-1}, int64[1] lo = {-9223372036854775807},"
    " int64[1] two = {2}, int64[1] m3 = {-3}, int64[1] a0 = {0}>"
    "{ y = Slice (x, s1, e9, a1)  z = Slice (x, m1, lo, a1, m1)  w = Slice (x, m3, e9, a0, two) }",
    {"x": rand(5, 7)}, {"x": rand(2, 3)}, {"x": rand(9, 1)},
)
case("concat", "(float[a,b] x, float[a,c] y) => (float[a,d] z) { z = Concat <axis = 1> (x, y, x) }",
     {"x": rand(3, 2), "y": rand(3, 5)}, {"x": rand(1, 0), "y": rand(1, 4)}, {"x": rand(2, 33), "y": rand(2, 1)})
case("split", "(float[a,12] x) => (float[a,4] p, float[a,4] q, float[a,4] r) { p, q, r = Split <axis = 1, num_outputs = 3> (x) }",
     {"x": rand(3, 12)}, {"x": rand(1, 12)})
case(
    "reshape by computed dims",
    "(float[b,s,24] x) => (float[b,4,s,6] y) <int64[2] tail = {4, 6}, int64[1] z = {0}, int64[1] o = {1}, int64[1] t = {2}>"
    "{ sh = Shape (x)  h = Slice (sh, z, t)  d = Concat <axis = 0> (h, tail)  r = Reshape (x, d)  y = Transpose <perm = [0,2,1,3]> (r) }",
    {"x": rand(2, 5, 24)}, {"x": rand(1, 1, 24)}, {"x": rand(3, 33, 24)},
)
case(
    "expand", "(float[a,one,c] x, float[a,b,c] like) => (float[a,b,c] y) { s = Shape (like)  e = Expand (x, s)  y = Add (e, like) }",
    {"x": rand(2, 1, 5), "like": rand(2, 4, 5)}, {"x": rand(1, 1, 33), "like": rand(1, 3, 33)},
)
case("cumulative sum", "(int64[a,b] x) => (int64[a,b] y) <int64 ax = {1}> { y = CumSum (x, ax) }",
     {"x": ints(0, 5, 3, 9)}, {"x": ints(0, 5, 1, 1)}, {"x": ints(0, 5, 2, 70)})
case(
    "an axis known at run time",
    "(float[a,b,c] x, int64 ax, int32[one] ay) => (float[a,b,c] y, float[a,b,c] z)"
    "{ y = CumSum (x, ax)  z = CumSum <reverse = 1> (x, ay) }",
    *({"x": rand(3, 4, 20), "ax": np.int64(a), "ay": np.array([-1 - a], np.int32)} for a in (-3, -1, 0, 1, 2)), atol=1e-5,
)
for axis in (0, 1, 2):
    case(
        f"cumulative sums along {axis}",
        f"(float[a,b,c] x, int32[a,b,c] i) => (float[a,b,c] y, float[a,b,c] z, int32[a,b,c] w) <int64 ax = {{{axis}}}>"
        "{ y = CumSum (x, ax)  z = CumSum <exclusive = 1, reverse = 1> (x, ax)  w = CumSum <reverse = 1> (i, ax) }",
        {"x": rand(3, 5, 70), "i": ints(-9, 9, 3, 5, 70).astype(np.int32)},
        {"x": rand(2, 40, 300), "i": ints(-9, 9, 2, 40, 300).astype(np.int32)},
        {"x": rand(2, 0, 3), "i": ints(0, 9, 2, 0, 3).astype(np.int32)}, atol=1e-4,
    )
    case(
        f"scattered elements along {axis}",
        "(float[a,b,c] x, int64[p,q,r] i, float[p,q,r] u, int64[p,q,r] j) => (float[a,b,c] y, float[a,b,c] z, float[a,b,c] w)"
        f"{{ y = ScatterElements <axis = {axis}> (x, i, u)  z = ScatterElements <axis = {axis}, reduction = \"add\"> (x, j, u)"
        f"  w = ScatterElements <axis = {axis}, reduction = \"max\"> (x, j, u) }}",
        *(
            {"x": rand(*d), "i": permuted(d[axis], axis, *s), "u": rand(*s, seed=1), "j": ints(-d[axis], d[axis], *s)}
            for d, s in [((3, 5, 70), (3, 5, 33)), ((4, 6, 300), (2, 6, 270)), ((1, 1, 1), (1, 1, 1)), ((3, 4, 5), (0, 4, 5))]
        ),
        atol=1e-5,
    )
    case(
        f"best along {axis}",
        f"(float[a,b,c] x) => (float[p,q,r] v, int64[s,t,u] i, float[d,e,f] w, int64[g,h,l] j) <int64[1] k = {{3}}>"
        f"{{ v, i = TopK <axis = {axis}> (x, k)  w, j = TopK <axis = {axis}, largest = 0> (x, k) }}",
        {"x": rand(3, 5, 70)}, {"x": ints(0, 3, 4, 6, 50).astype(np.float32)}, {"x": rand(3, 3, 3)}, {"x": rand(7, 40, 1000)},
    )
case(
    "all in order",
    "(float[a,n] x) => (float[a,n] v, int64[a,n] i, float[a,n] w, int64[a,n] j) <int64[1] one = {1}, int64[1] two = {2}>"
    "{ s = Shape (x)  k = Slice (s, one, two)  v, i = TopK (x, k)  w, j = TopK <largest = 0> (x, k) }",
    {"x": rand(3, 500)}, {"x": ints(0, 9, 5, 77).astype(np.float32)}, {"x": rand(2, 1)},
    {"x": np.array([[0.0, -0.0, 1, -1, INF, -INF, 1, -1]], np.float32)},
)
for kind, dtype in (("int64", np.int64), ("int32", np.int32)):
    case(
        f"best of {kind}", f"({kind}[a,n] x) => ({kind}[a,4] v, int64[a,4] i) <int64[1] k = {{4}}> {{ v, i = TopK (x, k) }}",
        {"x": ints(-5, 5, 3, 300).astype(dtype)},
    )
case(
    "scattered slices",
    "(float[a,b,c] x, int64[n,2] i, float[n,c] u, int64[m,1] j, float[m,b,c] v) => (float[a,b,c] y, float[a,b,c] z, float[a,b,c] w)"
    "{ y = ScatterND <reduction = \"add\"> (x, i, u)  z = ScatterND <reduction = \"mul\"> (x, j, v)  w = ScatterND (x, j, v) }",
    *(
        {"x": rand(*d), "i": np.stack([ints(-d[0], d[0], n), ints(-d[1], d[1], n, seed=1)], 1), "u": rand(n, d[2]),
         "j": permuted(d[0], 0, m, 1), "v": rand(m, *d[1:])}
        for d, n, m in [((3, 5, 70), 4, 2), ((8, 300, 33), 500, 8), ((1, 1, 1), 1, 1), ((3, 4, 5), 0, 0)]
    ),
    atol=1e-5,
)
case("scattered numbers", "(float[a] x, int64[n,1] i, float[n] u) => (float[a] y) { y = ScatterND <reduction = \"add\"> (x, i, u) }",
     {"x": rand(40000), "i": ints(0, 40000, 300, 1), "u": rand(300)}, {"x": rand(3), "i": ints(0, 3, 1000, 1), "u": rand(1000)}, atol=1e-4)
case(
    "reductions over several axes",
    "(float[a,b,c,d] x) => (float[p,q] y, float[r,s] z, float[t,u] w) <int64[2] o = {0, 1}, int64[2] m = {0, 2}, int64[2] l = {1, 3}>"
    "{ y = ReduceMean <keepdims = 0> (x, o)  z = ReduceMax <keepdims = 0> (x, m)  w = ReduceSum <keepdims = 0> (x, l) }",
    {"x": rand(3, 5, 7, 70)}, {"x": rand(1, 40, 2, 300)}, {"x": rand(2, 1, 1, 1)},
    # A few roundings of partial sums of up to 200; onnxruntime is 3e-4 off.
    oracle=lambda x: {"y": x.mean((0, 1)), "z": x.max((0, 2)), "w": x.sum((1, 3))}, atol=5e-5,
)


def fourier(axis, inverse):
    """numpy's, of real or complex numbers in the last dim."""

    def transform(x):
        numbers = x[..., 0] + (1j * x[..., 1] if x.shape[-1] == 2 else 0)
        result = (np.fft.ifft if inverse else np.fft.fft)(numbers, axis=axis)
        return {"y": np.stack([result.real, result.imag], -1)}

    return transform


for axis, last in ((1, 1), (2, 2), (1, 2)):
    for inverse in (0, 1):
        case(
            f"Fourier transform along {axis} of {last} parts{' back' * inverse}",
            f"(float[b,{37 if axis == 1 else 'n'},{'c' if axis == 1 else 37},{last}] x) => (float[p,q,r,s] y) <int64 ax = {{{axis}}}>"
            f"{{ y = DFT <inverse = {inverse}> (x, , ax) }}",
            # Sums of 37 terms, up to 23; onnxruntime is 2e-4 off.
            {"x": rand(2, 37, 37, last)}, oracle=fourier(axis, inverse), atol=2e-5,
        )
case(
    "Fourier transform of any length",
    "(float[b,n,1] x, float[l] like) => (float[b,m,2] y, float[b,h,2] z) <int64 ax = {1}>"
    "{ k = Size (like)  y = DFT (x, k, ax)  z = DFT <onesided = 1> (x, k, ax) }",
    {"x": rand(2, 16, 1), "like": rand(16)}, {"x": rand(1, 30, 1), "like": rand(21)}, {"x": rand(3, 10, 1), "like": rand(25)}, atol=1e-4,
)
case(
    "short-time Fourier transform",
    "(float[b,n,1] x) => (float[b,f,u,2] y, float[b,g,v,2] z) <int64 step = {7}, int64 length = {20}>"
    "{ w = HannWindow (length)  y = STFT (x, step, w)  z = STFT <onesided = 0> (x, step, , length) }",
    {"x": rand(2, 100, 1)}, {"x": rand(1, 20, 1)}, {"x": rand(3, 333, 1)}, atol=1e-4,
)
case(
    "windows",
    "(float[n] x) => (float[n] a, float[n] b, float[n] c, float[n] d)"
    "{ k = Size (x)  a = HannWindow (k)  b = HammingWindow <periodic = 0> (k)  c = BlackmanWindow (k)  t = Cast <to = 1> (k)"
    "  r = Range (zero, t, one)  d = Mul (r, x) }",
    {"x": rand(10)}, {"x": rand(300)}, atol=2e-6,
)
case("crop and pad", "(float[a,b] x, float[c,d] like) => (float[c,d] y) { s = Shape (like)  y = CenterCropPad (x, s) }",
     {"x": rand(5, 8), "like": rand(3, 11)}, {"x": rand(5, 8), "like": rand(8, 1)}, {"x": rand(2, 2), "like": rand(2, 2)}, opset=18)
# Of opsets 18 to 20, which ONNX took back.
case("group norm, a scale per group", "(float[n,6,w] x) => (float[n,6,w] y) <float[2] s = {1.5, -2}, float[2] b = {0.5, 1}>"
     "{ y = GroupNormalization <num_groups = 2> (x, s, b) }", {"x": rand(2, 6, 5)}, {"x": rand(1, 6, 3)}, opset=18)
case("gemm", "(float[m,24] x) => (float[m,10] y) { y = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (x, gw, gb) }",
     {"x": rand(1, 24)}, {"x": rand(7, 24)}, {"x": rand(33, 24)}, {"x": rand(0, 24)}, atol=1e-5)
case(
    "products of activations",
    "(float[b,h,m,k] x, float[b,h,k,n] y) => (float[b,h,m,n] z) { z = MatMul (x, y) }",
    {"x": rand(2, 3, 5, 7), "y": rand(2, 3, 7, 9)}, {"x": rand(1, 1, 1, 1), "y": rand(1, 1, 1, 1)},
    {"x": rand(1, 2, 33, 12), "y": rand(1, 2, 12, 47)}, {"x": rand(2, 1, 3, 0), "y": rand(2, 1, 0, 4)}, atol=1e-5,
)
case(
    "products with one matrix",
    "(float[b,h,m,k] x, float[1,1,k,n] y) => (float[b,h,m,n] z) { z = MatMul (x, y) }",
    {"x": rand(2, 3, 5, 7), "y": rand(1, 1, 7, 9)}, {"x": rand(1, 1, 1, 1), "y": rand(1, 1, 1, 1)},
    {"x": rand(1, 2, 33, 12), "y": rand(1, 1, 12, 47)}, atol=1e-5,
)
case(
    "products with repeated matrices",
    "(float[b,6,m,k] x, float[b,2,k,n] y) => (float[b,6,m,n] z)"
    "{ a = Constant <value_ints = [2]> ()  e = Constant <value_ints = [1, 1, 3, 1, 1]> ()"
    "  ys = Shape (y)  last = Constant <value_int = 3> ()  i = Constant <value_int = 2> ()"
    "  u = Unsqueeze (y, a)  r = Expand (u, e)  ks = Gather (ys, i)  ns = Gather (ys, last)  front = Constant <value_ints = [0, 6]> ()"
    "  zero = Constant <value_ints = [0]> ()  k1 = Unsqueeze (ks, zero)  n1 = Unsqueeze (ns, zero)  to = Concat <axis = 0> (front, k1, n1)"
    "  w = Reshape (r, to)  h = Constant <value_float = 0.5> ()  v = Mul (w, h)  z = MatMul (x, v) }",
    {"x": rand(2, 6, 5, 7), "y": rand(2, 2, 7, 9)}, {"x": rand(1, 6, 1, 1), "y": rand(1, 2, 1, 1)},
    {"x": rand(1, 6, 33, 12), "y": rand(1, 2, 12, 47)}, atol=1e-5,
)
case(
    "1-d convolution", "(float[b,4,t] x) => (float[b,6,u] y) { y = Conv <pads = [1,1], strides = [2], kernel_shape = [3]> (x, cw, cb) }",
    {"x": rand(2, 4, 10)}, {"x": rand(1, 4, 33)}, {"x": rand(3, 4, 2)}, atol=1e-5,
)
case(
    "2-d convolution", "(float[b,4,h,w] x) => (float[b,6,u,v] y) { y = Conv <strides = [2,2], kernel_shape = [2,2]> (x, pw, cb) }",
    {"x": rand(2, 4, 8, 6)}, {"x": rand(1, 4, 2, 2)}, atol=1e-5,
)
case(
    "convolutions behind one another",
    "(float[b,4,t] x) => (float[b,5,u] y) { p = Conv <pads = [1,1]> (x, cw, cb)  q = Relu (p)"
    "  y = Conv <pads = [2,1], strides = [2], dilations = [2]> (q, c2, d2) }",
    {"x": rand(2, 4, 10)}, {"x": rand(1, 4, 33)}, {"x": rand(3, 4, 2)}, atol=1e-5,
)
case(
    "gated convolution of channels that fill vectors",
    "(float[b,16,h,w] x, float[b,20,1,1] g) => (float[b,5,h,w] y, float[b,20,h,w] z) { p = Conv <pads = [1,1,1,1]> (x, c3, d3)"
    "  s = Sigmoid (g)  z = Mul (p, s)  r = Relu (z)  y = Conv (r, c1) }",
    {"x": rand(2, 16, 8, 6), "g": rand(2, 20, 1, 1)}, {"x": rand(1, 16, 2, 2), "g": rand(1, 20, 1, 1)},
    {"x": rand(1, 16, 5, 9), "g": rand(1, 20, 1, 1)}, atol=2e-5,
)
case(
    "convolution of rows",
    "(float[b,h,w,16] x) => (float[b,u,v,20] y) { t = Transpose <perm = [0,3,1,2]> (x)  a = Abs (t)"
    "  p = Conv <pads = [1,0,2,1], strides = [2,1]> (a, c3, d3)  y = Transpose <perm = [0,2,3,1]> (p) }",
    {"x": rand(2, 8, 6, 16)}, {"x": rand(1, 2, 3, 16)}, {"x": rand(1, 5, 9, 16)}, atol=2e-5,
)
# Rows of a known length: one tile, two of equal length, some between those at the ends.
case(
    "channels alone in rows of a known length",
    "(float[b,40,h,14] x, float[b,40,h,7] y, float[b,40,h,31] z) => (float[b,40,h,14] c, float[b,40,u,7] d, float[b,40,h,7] e, float[b,40,h,7] f, float[b,40,h,31] g, float[b,40,v,16] k)"
    "{ p = Conv <group = 40, pads = [1,1,1,1]> (x, e3)  q = Relu (p)  c = Add (q, x)  r = Conv <group = 40, pads = [2,2,2,2], strides = [2,2]> (x, e5, be)"
    "  s = Sigmoid (r)  d = Mul (r, s)  e = Conv <group = 40, pads = [2,1,2,3]> (y, e5, be)  f = Conv <group = 40, pads = [3,3,3,3]> (y, e7)"
    "  g = Conv <group = 40, pads = [2,7,2,1], dilations = [1,2]> (z, e5)  k = Conv <group = 40, pads = [0,1,0,1], strides = [1,2]> (z, e3, be) }",
    *({"x": rand(b, 40, h, 14), "y": rand(b, 40, h, 7), "z": rand(b, 40, h, 31)} for b, h in ((2, 6), (1, 3))), atol=2e-5,
)
case(
    "flattened channels and pixels",
    "(float[b,16,3,4] x, float[b,16,h,4] y) => (float[b,24] c, float[b,h,24] d) <int64[3] rows = {0,0,-1}>"
    "{ p = Conv <pads = [1,1,1,1]> (x, c3, d3)  f = Flatten (p)  c = Gemm <transB = 1> (f, fl)"
    "  q = Conv <pads = [1,1,1,1]> (y, c3, d3)  r = Relu (q)  t = Transpose <perm = [0,2,1,3]> (r)  u = Reshape (t, rows)  d = MatMul (u, fr) }",
    {"x": rand(2, 16, 3, 4), "y": rand(2, 16, 5, 4)}, {"x": rand(1, 16, 3, 4), "y": rand(1, 16, 1, 4)}, atol=5e-5,
)
# What stands between convolutions keeps the channels last.
case(
    "pools, joins and sizes between convolutions",
    "(float[b,16,h,w] x) => (float[b,5,k,l] y, float[b,20,m,n] z, float[b,5,h,w] q) <float[4] twice = {1,1,2,2}, int64[1] c = {1}, int64[1] from = {12}, int64[1] to = {32},"
    " int64[8] ring = {0,0,1,0,0,0,0,2}>"
    "{ f = Conv <pads = [1,1,1,1]> (x, c3, d3)  r = Relu (f)  m = MaxPool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (r)"
    "  a = AveragePool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (r)  j = Concat <axis = 1> (m, a)"
    "  g = GlobalAveragePool (j)  s = Sigmoid (g)  e = Mul (j, s)  p = Slice (e, from, to, c)  u = Resize <mode = \"nearest\"> (p, , twice)"
    "  v = Pad (u, ring)  z = Tanh (v)  y = Conv (z, c1)  gr = GlobalAveragePool (r)  sr = Sigmoid (gr)  er = Mul (r, sr)  q = Conv (er, c1) }",
    {"x": rand(2, 16, 9, 6)}, {"x": rand(1, 16, 2, 2)}, {"x": rand(1, 16, 5, 21)}, atol=2e-5,
)


def windows(x, join, fill, kernel, stride, low, high):
    """What the windows over the last dims come to."""
    around = [(0, 0)] * (x.ndim - len(kernel)) + [(low, high)] * len(kernel)
    last = tuple(range(-len(kernel), 0))
    found = np.lib.stride_tricks.sliding_window_view(np.pad(x, around, constant_values=fill), kernel, last)
    return join(found[(..., *(slice(None, None, stride),) * len(kernel), *(slice(None),) * len(kernel))], axis=last)


def slid(x, l, v, s):
    norm = lambda w, axis: np.sqrt((w * w).sum(axis))
    last = windows(np.moveaxis(l, -1, 1), np.max, -np.inf, (3, 3), 2, 1, 1)
    five, nine = (windows(x, np.max, -np.inf, (k, k), 1, k // 2, k // 2) for k in (5, 9))
    seven, counts = (windows(v, np.sum, 0, (7, 7), 1, 3, 3) for v in (x, np.ones_like(x)))
    return {
        "e": np.concatenate([five, nine, nine], 1), "o": seven / counts,
        "a": windows(x, np.max, -np.inf, (3, 3), 1, 1, 1), "c": windows(x, np.max, -np.inf, (3, 3), 2, 1, 1),
        "d": windows(x, np.max, -np.inf, (2, 2), 2, 0, 0), "f": windows(v, np.mean, 0, (3, 3, 3), 1, 0, 1), "g": windows(v, norm, 0, (2, 2, 2), 2, 0, 0),
        "h": windows(s, np.max, -np.inf, (3,), 2, 1, 1), "i": np.moveaxis(last, 1, -1),
        "q": np.moveaxis(windows(np.moveaxis(l, -1, 1), norm, 0, (3, 3), 1, 1, 1), 1, -1), "j": windows(s, np.mean, 0, (4,), 3, 2, 0),
    }


def odd(x):
    """Numbers, and now and then what is none."""
    x[np.random.default_rng(3).random(x.shape) < 0.01] = NAN
    x[..., 1, -1] = -INF
    return x


# Neighbours share their rows; a maximum is one instruction where all are numbers.
case(
    "windows that slide",
    "(float[2,3,37,35] x, float[b,h,w,16] l, float[b,2,k,m,n] v, float[b,5,t] s) => (float[2,3,37,35] a, float[2,3,19,18] c, float[2,3,18,17] d, float[2,9,37,35] e, float[2,3,37,35] o,"
    " float[b,2,k1,m1,n1] f, float[b,2,k2,m2,n2] g, float[b,5,t1] h, float[b,h1,w1,16] i, float[b,5,t2] j, float[b,h,w,16] q)"
    "{ a = MaxPool <kernel_shape = [3,3], pads = [1,1,1,1]> (x)  c = MaxPool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (x)"
    "  d = MaxPool <kernel_shape = [2,2], strides = [2,2]> (x)  e5 = MaxPool <kernel_shape = [5,5], pads = [2,2,2,2]> (x)  e9 = MaxPool <kernel_shape = [9,9], pads = [4,4,4,4]> (x)"
    "  e55 = MaxPool <kernel_shape = [5,5], pads = [2,2,2,2]> (e5)  e = Concat <axis = 1> (e5, e9, e55)  o = AveragePool <kernel_shape = [7,7], pads = [3,3,3,3]> (x)"
    "  f = AveragePool <kernel_shape = [3,3,3], pads = [0,0,0,1,1,1], count_include_pad = 1> (v)  g = LpPool <kernel_shape = [2,2,2], strides = [2,2,2]> (v)"
    "  h = MaxPool <kernel_shape = [3], strides = [2], pads = [1,1]> (s)  tl = Transpose <perm = [0,3,1,2]> (l)"
    "  ml = MaxPool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (tl)  i = Transpose <perm = [0,2,3,1]> (ml)"
    "  nl = LpPool <kernel_shape = [3,3], pads = [1,1,1,1]> (tl)  q = Transpose <perm = [0,2,3,1]> (nl)  j = AveragePool <kernel_shape = [4], strides = [3], pads = [2,0], count_include_pad = 1> (s) }",
    {"x": rand(2, 3, 37, 35), "l": odd(rand(2, 9, 20, 16)), "v": rand(2, 2, 5, 4, 19), "s": rand(2, 5, 40)},
    {"x": odd(rand(2, 3, 37, 35)), "l": rand(1, 2, 3, 16), "v": rand(1, 2, 3, 3, 3), "s": odd(rand(1, 5, 7))}, oracle=slid,
)
# Of the last dim neighbours are interleaved; two elements of each place, too.
case(
    "images that grow by 2 and 4",
    "(float[2,3,5,19] x, float[2,33] p, float[1,16,8,8] s, float[2,18,4,21] r) => (float[2,2,12,63] k, float[2,5,19,3] m, float[1,16,16,16] h, float[2,3,10,38] a, float[2,3,10,38] b, float[2,3,5,76] c, float[2,3,5,76] d, float[2,3,5,38] e, float[33,2] f)"
    "<float[4] twice = {1,1,2,2}, float[4] four = {1,1,1,4}, float[4] wide = {1,1,1,2}>"
    "{ a = Resize <mode = \"nearest\", coordinate_transformation_mode = \"asymmetric\", nearest_mode = \"floor\"> (x, , twice)"
    "  b = Resize <mode = \"linear\"> (x, , twice)  c = Resize <mode = \"cubic\"> (x, , four)  d = Resize <mode = \"nearest\", nearest_mode = \"ceil\"> (x, , four)"
    "  l = Resize <mode = \"linear\", coordinate_transformation_mode = \"asymmetric\"> (x, , wide)  e = Sigmoid (l)  f = Transpose (p)"
    "  n = Resize <mode = \"nearest\"> (s, , twice)  h = Transpose <perm = [0,2,3,1]> (n)"
    "  k = DepthToSpace <blocksize = 3, mode = \"CRD\"> (r)  m = Transpose <perm = [0,2,3,1]> (x) }", # dims are equal, places are not
    {"x": rand(2, 3, 5, 19), "p": rand(2, 33), "s": rand(1, 16, 8, 8), "r": rand(2, 18, 4, 21)}, atol=1e-5,
)
case(
    "images of other sizes",
    "(float[2,3,9,27] x, float[b,3,h,w] v) => (float[2,3,13,40] a, float[2,3,27,81] c, float[2,3,13,40] d, float[2,3,7,11] e, float[b,3,k,l] f, float[b,3,k,l] g, float[b,3,m,o] q)"
    "<float[4] more = {1,1,1.5,1.5}, float[4] three = {1,1,3,3}, float[4] less = {1,1,0.8,0.41}>"
    "{ a = Resize <mode = \"linear\"> (x, , more)  c = Resize <mode = \"nearest\"> (x, , three)"
    "  r = Resize <mode = \"cubic\"> (x, , more)  d = Sigmoid (r)"
    "  e = Resize <mode = \"linear\", antialias = 1> (x, , less)  f = Resize <mode = \"linear\"> (v, , more)"
    "  g = Resize <mode = \"cubic\", coordinate_transformation_mode = \"asymmetric\"> (v, , more)  q = Resize <mode = \"nearest\"> (v, , less) }",
    *({"x": rand(2, 3, 9, 27), "v": rand(*v)} for v in ((1, 3, 4, 5), (2, 3, 7, 33), (1, 3, 20, 8))), atol=1e-5,
)
# As onnxruntime's f32 has it: 3 grows to 5 by the f32 below 5/3, and place 5 comes from 3.
case(
    "sizes and places by rounded scales",
    "(float[1,2,3,6] x, float[b,2,h,w] v, float[b,2,n] t) => (float[1,2,5,10] a, float[b,2,k,l] c, float[b,2,m] d)"
    "{ a = Resize <mode = \"nearest\", coordinate_transformation_mode = \"asymmetric\", nearest_mode = \"floor\"> (x, , thirds)"
    "  c = Resize <mode = \"nearest\", coordinate_transformation_mode = \"asymmetric\", nearest_mode = \"floor\"> (v, , thirds)"
    "  d = Resize <mode = \"nearest\"> (t, , part) }",
    *({"x": rand(1, 2, 3, 6), "v": rand(*v), "t": rand(v[0], 2, t)} for v, t in (((1, 2, 3, 9), 600), ((2, 2, 6, 4), 1499))),
)
# A row of 9 pixels is two tiles of 5, which overlap; the last taps of the second are outside.
case(
    "rows of known length, padded behind",
    "(float[b,16,h,9] x, float[b,64,h,8] z) => (float[b,16,h,9] a, float[b,16,h,9] c, float[b,16,h,11] d, float[b,64,k,16] e, float[b,16,h,9] f, float[b,64,h,8] g)"
    "{ a = Conv <group = 16, pads = [0,0,0,1]> (x, row2)  c = Conv <group = 16, pads = [0,0,0,2]> (x, row3)"
    "  d = Conv <group = 16, pads = [0,0,0,4], dilations = [1,2]> (x, row2)"
    "  e = ConvTranspose <group = 64, strides = [1,2], pads = [0,1,0,1], output_padding = [0,1]> (z, rowt)"
    "  f = Conv <group = 4, pads = [1,1,1,1]> (x, fours)  g = Conv <group = 8, pads = [0,0,0,2]> (z, eights) }",
    {"x": rand(2, 16, 3, 9), "z": rand(2, 64, 3, 8)}, {"x": rand(1, 16, 1, 9), "z": rand(1, 64, 1, 8)},
)
case(
    "rows of one element, padded and gathered",
    "(float[b,33,1] x, float[b,4,w] r, float[2,3,14,4,1] v) => (float[b,33,20] a, float[b,66,1] c, float[b,33,2] d, float[b,4,1] e, float[2,3,13,2,3] f)"
    "<int64[6] nine = {0, 0, 9, 0, 0, 10}, int64[1] second = {2}>"
    "{ a = Pad (x, nine)  t = Softsign (x)  z = MaxPool <kernel_shape = [3], pads = [1,1]> (t)  c = Concat <axis = 1> (t, z)"
    "  d = AveragePool <kernel_shape = [3], pads = [2,2], strides = [2]> (x)  e = Gather <axis = 2> (r, second)"
    "  f = AveragePool <kernel_shape = [3,2,3], pads = [1,0,2,0,1,2], strides = [1,2,1]> (v) }",
    {"x": rand(2, 33, 1), "r": rand(2, 4, 40), "v": rand(2, 3, 14, 4, 1)}, {"x": rand(1, 33, 1), "r": rand(1, 4, 3), "v": rand(2, 3, 14, 4, 1)},
)
# The maxima and the sums are of the same slices; what the columns of the wide window come to is another kernel's.
case(
    "maps of several windows that overlap",
    "(float[b,3,h,w] x) => (float[b,3,p,q] a, float[b,3,h,w] c)"
    "{ m = MaxPool <kernel_shape = [3,3], strides = [2,2]> (x)  v = AveragePool <kernel_shape = [3,3], strides = [2,2]> (x)  a = Add (m, v)"
    "  c = AveragePool <kernel_shape = [7,7], pads = [3,3,3,3]> (x) }",
    {"x": rand(2, 3, 9, 67)}, {"x": rand(1, 3, 8, 40)},
)
case(
    "numbers of the largest codes",
    "(uint8[b,3,h,w] x) => (float[b,3,p,q] y) <float scale = {0.25}, uint8 zero = {97}>"
    "{ m = MaxPool <kernel_shape = [2,2], pads = [1,1,1,1]> (x)  y = DequantizeLinear (m, scale, zero) }",
    {"x": np.random.default_rng(0).integers(0, 256, (2, 3, 5, 37)).astype(np.uint8)},
)
# The model has the width in its weights, the input names it.
case(
    "weights of a width that is a symbol",
    "(float[t,2,i] x, float[m,k] z) => (float[t,1,2,5] y, float[m,5] p) <int64[1] one = {1}, int64[1] five = {5}>"
    "{ y = GRU <hidden_size = 5> (x, gx, gr)  s = Shape (z)  d = Gather (s, one)  c = Concat <axis = 0> (d, five)  w = Reshape (t, c)  p = MatMul (z, w) }",
    {"x": rand(4, 2, 7), "z": rand(3, 7)}, {"x": rand(1, 2, 7), "z": rand(1, 7)},
)
case(
    "samples of an image",
    "(float[2,9,4,7] x, float[2,5,19,2] p, float[b,3,h,w] v, float[b,m,n,2] q) => (float[2,9,5,19] a, float[2,9,5,19] c, float[2,9,5,19] d, float[b,3,m,n] e)"
    "{ a = GridSample <mode = \"linear\"> (x, p)  c = GridSample <mode = \"cubic\", padding_mode = \"border\"> (x, p)"
    "  d = GridSample <mode = \"nearest\", padding_mode = \"reflection\"> (x, p)  e = GridSample <mode = \"linear\", align_corners = 1> (v, q) }",
    {"x": rand(2, 9, 4, 7), "p": rand(2, 5, 19, 2), "v": rand(2, 3, 4, 30), "q": np.stack(np.broadcast_arrays(np.linspace(-1, 1, 33), np.zeros((2, 2, 1))), -1).astype(np.float32)},
    {"x": rand(2, 9, 4, 7), "p": rand(2, 5, 19, 2, seed=1), "v": rand(1, 3, 5, 1), "q": rand(1, 3, 7, 2)}, atol=2e-5,
)
# Lanes near each other, far apart, counted from the end.
case(
    "gathers along rows",
    "(float[3,c] x, int64[n] i, int32[n] j, float[4,40] f, int64[4,m] k) => (float[3,n] a, float[3,n] b, float[3,n] d, float[4,m] e)"
    "{ a = Gather <axis = 1> (x, i)  b = Gather <axis = 1> (x, j)  s = Exp (x)  t = Gather <axis = 1> (s, i)  d = Neg (t)  e = GatherElements <axis = 1> (f, k) }",
    *(
        {"x": rand(3, c), "i": i, "j": i.astype(np.int32)[::-1], "f": rand(4, 40), "k": k}
        for c, i, k in (
            (5, np.arange(5), ints(-40, 40, 4, 21)), (16, np.arange(24) * 2 // 3, np.arange(36).reshape(4, 9)), (40, ints(0, 40, 35), ints(0, 40, 4, 16)),
            (70, np.arange(33) * 2, np.arange(128).reshape(4, 32) % 40), (19, ints(-19, 19, 41), ints(39, 40, 4, 8)),
        )
    ),
)
case(
    "powers that are products, roots and quotients",
    "(float[n] x) => (float[n] a, float[n] b, float[n] c, float[n] d, float[n] e, float[n] f)"
    "<float one = {1}, float minus = {-1}, float half = {0.5}, float three = {3}, float[1] square = {2}, double wide = {2}>"
    "{ a = Pow (x, one)  b = Pow (x, minus)  c = Pow (x, half)  d = Pow (x, three)  e = Pow (x, square)"
    "  w = Cast <to = 11> (x)  p = Pow (w, wide)  f = Cast <to = 1> (p) }",
    {"x": np.array([0, -0.0, 1, -1, 3, -2.5, 1e-30, -1e30, 1e20, np.inf, -np.inf, np.nan, 0.3, 7, 2e-45], np.float32)}, {"x": rand(33)}, rtol=3e-7,
)
case(
    "rotary embedding",
    "(float[b,h,s,8] x, float[s,8] c, float[s,8] d) => (float[b,h,s,8] y)"
    "<int64[1] z = {0}, int64[1] f = {4}, int64[1] e = {9223372036854775807}, int64[1] ax = {3}>"
    "{ l = Slice (x, z, f, ax)  r = Slice (x, f, e, ax)  n = Neg (r)  t = Concat <axis = -1> (n, l)"
    "  p = Mul (x, c)  q = Mul (t, d)  y = Add (p, q) }",
    {"x": rand(2, 3, 5, 8), "c": rand(5, 8), "d": rand(5, 8, seed=1)}, {"x": rand(1, 1, 1, 8), "c": rand(1, 8), "d": rand(1, 8, seed=1)},
)
case(
    "weights that are stored as halves",
    "(float[n,24,h,w] x) => (float[n,120] y)"
    "{ f = Cast <to = 1> (hf)  d = Cast <to = 1> (hd)  b = Cast <to = 1> (hb)  m = Cast <to = 1> (hm)"
    "  c = Conv <pads = [1, 1, 1, 1]> (x, f, b)  e = Conv <group = 40, pads = [2, 2, 2, 2]> (c, d)"
    "  g = GlobalAveragePool (e)  r = Flatten (g)  y = Gemm <transB = 1> (r, m) }",
    {"x": rand(1, 24, 5, 7)}, {"x": rand(2, 24, 9, 4)}, {"x": rand(31, 24, 3, 3)}, atol=2e-5,
)
case(
    "filters that are stored as bytes",
    "(float[n,24,h,w] x) => (float[n,40,h,w] y)"
    "{ f = DequantizeLinear <axis = 0> (qf, qs)  d = DequantizeLinear <axis = 0> (qd, qs, qz)"
    "  c = Conv <pads = [1, 1, 1, 1]> (x, f)  y = Conv <group = 40, pads = [2, 2, 2, 2]> (c, d) }",
    {"x": rand(1, 24, 5, 7)}, {"x": rand(2, 24, 9, 4)}, atol=2e-5,
)
case(
    "weights that are stored as parts, or without their zeros",
    "(float[n,70] x) => (float[n,70] y, float[n,120] z, float[n,100] t)"
    "{ r = ScatterElements (bz, bi, bx)  b = Reshape (r, bs)  y = MatMul (x, b)"
    "  j = Concat <axis = 1> (ja, jb)  z = MatMul (x, j)  k = Concat <axis = 0> (jc, jd)  t = Gemm <transB = 1> (x, k) }",
    {"x": rand(3, 70)}, {"x": rand(40, 70)}, atol=2e-5,
)
for channels in (3, 4):
    case(
        f"pixels of {channels} bytes or floats",
        f"(uint8[n,h,w,{channels}] x, float[n,h,w,{channels}] z) => (float[n,{channels},h,w] y, float[n,{channels},h,w] t)"
        "{ c = Cast <to = 1> (x)  d = Mul (c, two)  y = Transpose <perm = [0, 3, 1, 2]> (d)  t = Transpose <perm = [0, 3, 1, 2]> (z) }",
        *({"x": ints(0, 256, n, h, w, channels).astype(np.uint8), "z": rand(n, h, w, channels)} for n, h, w in ((1, 1, 1), (2, 5, 9), (1, 8, 16), (1, 7, 31))),
    )

# Weights that the graphs above name.
WEIGHTS = {
    "w": rand(24, seed=1), "c": rand(24, seed=2), "two": np.float32(2), "ax": np.array([-1]), "eps": np.float32(1e-6),
    "zero": np.float32(0), "one": np.float32(1), "t": rand(7, 5), "gw": rand(10, 24), "gb": rand(10), "cw": rand(6, 4, 3), "cb": rand(6), "pw": rand(6, 4, 2, 2),
    "c2": rand(5, 6, 3), "d2": rand(5), "c3": rand(20, 16, 3, 3), "d3": rand(20), "c1": rand(5, 20, 1, 1),
    "e3": rand(40, 1, 3, 3), "e5": rand(40, 1, 5, 5), "e7": rand(40, 1, 7, 7), "be": rand(40), "fl": rand(24, 240), "fr": rand(80, 24),
    "thirds": np.array([1, 1, 5 / 3, 5 / 3], np.float32), "part": np.array([1, 1, 1 / 300], np.float32), "row2": rand(16, 1, 1, 2), "row3": rand(16, 1, 1, 3), "rowt": rand(64, 1, 1, 3), "fours": rand(16, 4, 3, 3), "eights": rand(64, 8, 1, 3),
    "gx": rand(1, 15, 7), "gr": rand(1, 15, 5),
    "bz": np.zeros(4900, np.float32), "bi": np.append(np.random.default_rng(7).permutation(4900)[:300] - 9, [4899]), "bx": rand(301), "bs": np.array([70, 70]),
    "ja": rand(70, 80), "jb": rand(70, 40), "jc": rand(64, 70), "jd": rand(36, 70),
    "qf": ints(-128, 128, 40, 24, 3, 3).astype(np.int8), "qd": ints(-128, 128, 40, 1, 5, 5).astype(np.int8), "qs": np.abs(rand(40, scale=1e-3)), "qz": ints(-9, 9, 40).astype(np.int8),
    "hf": rand(40, 24, 3, 3, scale=0.1).astype(np.float16), "hd": rand(40, 1, 5, 5, scale=0.1).astype(np.float16), "hb": rand(40).astype(np.float16), "hm": rand(120, 40, scale=0.1).astype(np.float16),
}


def build(text, opset, weights=WEIGHTS):
    """Parse the text; values that no one defines become `weights`."""
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}, "ai.onnx.ml" : 3]> main {text}')
    graph = model.graph
    defined = {v.name for v in (*graph.input, *graph.initializer)} | {o for n in graph.node for o in n.output}
    for name in sorted({i for n in graph.node for i in n.input if i} - defined):
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(weights[name]), name))
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type.lower()}_{number}"
    return model


def session_of(model):
    """onnxruntime for a model or its file, its optimisations off; inputs to outputs."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1  # a small graph's threads wait more than they work
    source = model if isinstance(model, str) else model.SerializeToString()
    session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, inputs)))


def reference(model, inputs):
    return session_of(model)(inputs)


def compare(found, expected, atol, rtol, what):
    for name, value in expected.items():
        other = found[file_name(name)]
        if other.shape != value.shape or other.dtype != value.dtype:
            raise Failure(f"{what}: '{name}' is {other.dtype}{other.shape}, expected {value.dtype}{value.shape}")
        if not np.allclose(other, value, rtol=rtol, atol=atol, equal_nan=value.dtype.kind == "f"):
            wrong = ~np.isclose(other, value, rtol=rtol, atol=atol, equal_nan=value.dtype.kind == "f")
            at = tuple(int(i[0]) for i in np.nonzero(wrong))
            raise Failure(f"{what}: '{name}'{list(at)} is {other[at]!r}, expected {value[at]!r}; {wrong.sum()} of {wrong.size} wrong")


def case_graph(name, text, sets, atol, rtol, opset, oracle):
    """A row of CASES for check_graphs."""
    model = build(text, opset)
    expect = functools.cache(lambda: session_of(model))

    def judge(_, inputs, found):
        expected = expect()(inputs)
        if oracle:
            wide = oracle(**{key: value.astype(np.float64) for key, value in inputs.items()})
            expected = {key: wide[key].astype(value.dtype) for key, value in expected.items()}
        compare(found, expected, atol, rtol, ", ".join(str(list(np.shape(v))) for v in inputs.values()))

    return Graph(name, model, sets, judge)


def product_graphs():
    """x @ w with constant and unknown w at the edges of every tile size."""
    edges = [1, 2, 3, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 24, 31, 32, 33, 47, 48, 49, 63, 64, 65, 67]
    rng = np.random.default_rng(5)
    unknown = []

    def judge(_, inputs, found, weights=None):
        x, w = inputs["x"], inputs.get("y", weights)
        wide = x.astype(np.float64) @ w.astype(np.float64)
        # k roundings of partial sums whose size is that of the absolute product.
        bound = 1.2e-7 * (x.shape[1] + 1) * (np.abs(x).astype(np.float64) @ np.abs(w).astype(np.float64)) + 1e-30
        if found["z"].shape != wide.shape or not (np.abs(found["z"] - wide) <= bound).all():
            raise Failure(f"{x.shape} by {w.shape} is beyond the error of f32")

    for k, n in [(1, 1), (3, 33), (67, 31), (64, 64), (17, 65), (48, 16), (5, 67)]:
        weights = rng.standard_normal((k, n)).astype(np.float32)
        model = build(f"(float[m,{k}] x) => (float[m,{n}] z) {{ z = MatMul (x, t) }}", 20, {"t": weights})
        sets = [{"x": rng.standard_normal((m, k)).astype(np.float32)} for m in rng.permutation(edges)[:8]]
        unknown += [{**inputs, "y": weights} for inputs in sets]
        yield Graph(f"product with constant weights of {k}x{n}", model, sets, functools.partial(judge, weights=weights))
    model = build("(float[m,k] x, float[k,n] y) => (float[m,n] z) { z = MatMul (x, y) }", 20)
    for part in range(7):
        yield Graph(f"product with unknown weights {part}", model, unknown[part::7], judge)


def conv_graphs():
    """Convolutions of all forms: groups, strides, dilations, pads on either side
    alone, rows shorter than any tile, channels that fill vectors or do not."""
    forms = [  # input and output channels, groups, kernel, strides, dilations, pads
        (16, 16, 16, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)), (24, 24, 24, (5, 5), (2, 2), (1, 1), (2, 2, 2, 2)),
        (67, 67, 67, (3, 3), (2, 1), (1, 2), (0, 2, 1, 1)), (80, 80, 80, (7, 7), (1, 1), (1, 1), (3, 3, 3, 3)),
        (8, 8, 8, (1, 11), (1, 3), (1, 1), (0, 5, 0, 4)), (3, 3, 3, (3, 2), (1, 1), (2, 1), (2, 0, 2, 1)),
        (32, 32, 32, (31,), (1,), (1,), (15, 15)), (40, 40, 40, (4,), (2,), (3,), (9, 0)), (17, 17, 17, (3,), (1,), (1,), (0, 0)),
        (16, 16, 16, (2, 3, 3), (1, 2, 1), (1, 1, 1), (1, 0, 1, 0, 1, 1)),
        (12, 24, 12, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)), (16, 16, 4, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        (12, 6, 3, (3,), (2,), (1,), (1, 1)), (32, 48, 2, (3, 3), (2, 2), (1, 1), (1, 1, 1, 1)), (48, 32, 4, (5,), (1,), (1,), (2, 2)),
        (1, 24, 1, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)), (3, 16, 1, (7, 7), (2, 2), (1, 1), (3, 3, 3, 3)),
        (2, 5, 1, (1, 9), (1, 2), (1, 1), (0, 4, 0, 4)), (4, 8, 1, (3, 3), (1, 1), (2, 3), (2, 3, 2, 3)),
        (8, 1, 1, (5, 5), (1, 1), (1, 1), (2, 2, 2, 2)), (20, 40, 1, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        (16, 33, 1, (3, 3), (2, 2), (1, 1), (0, 1, 1, 0)), (32, 96, 1, (3,), (1,), (2,), (2, 2)), (1, 2, 1, (64,), (16,), (1,), (0, 0)),
        (32, 32, 4, (3, 3), (1, 2), (2, 1), (2, 1, 1, 1)), (48, 48, 24, (5,), (2,), (1,), (3, 2)), (24, 24, 3, (3,), (1,), (2,), (2, 2)),
        (48, 48, 3, (3, 3), (1, 1), (1, 1), (1, 0, 1, 2)), # groups that are permuted
        (64, 10, 2, (5, 1), (1, 1), (1, 1), (2, 0, 2, 0)), (96, 9, 3, (3,), (2,), (1,), (1, 1)), # deep groups of few outputs
        (6, 70, 1, (2, 2, 2), (1, 1, 1), (1, 1, 1), (0, 0, 1, 1, 1, 0)), (64, 3, 1, (1, 1), (2, 2), (1, 1), (0, 0, 0, 0)),
        # few columns, which lie along lanes; K in chunks of taps; columns of several panels
        (3, 2, 1, (3, 9), (1, 1), (1, 1), (1, 4, 1, 4)), (12, 4, 1, (5, 5), (2, 1), (1, 1), (2, 2, 1, 2)), (1, 1, 1, (96,), (2,), (1,), (40, 3)),
        (200, 70, 1, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)), (16, 17, 1, (3, 3), (1, 1), (1, 1), (2, 0, 1, 2)), (400, 33, 1, (2, 3), (1, 1), (1, 1), (0, 1, 1, 1)), (1, 8, 1, (1200,), (100,), (1,), (3, 0)),
        (48, 17, 1, (4, 3), (1, 2), (3, 1), (4, 1, 5, 1)), (16, 8, 1, (2, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1, 0, 1, 1)),
        # no borders: read where the image lies
        (70, 40, 1, (1, 1), (2, 3), (1, 1), (0, 0, 0, 0)), (5, 33, 1, (2, 1, 3), (1, 2, 2), (3, 1, 2), (0, 0, 0, 0, 0, 0)),
        (32, 33, 1, (3, 3), (2, 2), (1, 1), (2, 0, 1, 2)),  # by fewer multiplications
        (16, 33, 1, (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1, 1, 1, 1)), (32, 20, 1, (2, 3, 3), (2, 2, 2), (2, 1, 1), (1, 1, 0, 2, 0, 1)),  # the channels of all depths beside one another
    ]
    rng = np.random.default_rng(11)
    for number, (cin, cout, group, kernel, strides, dilations, pads) in enumerate(forms):
        rank, behind = len(kernel), number % 2  # a convolution behind another reads what that one leaves
        values = {"w": rng.standard_normal((cout, cin // group, *kernel)) / np.sqrt(cin // group * np.prod(kernel)), "b": rng.standard_normal(cout)}
        values |= {"one": rng.standard_normal((cin, 5, *[1] * rank)) / 2, "three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)}
        values = {key: np.asarray(value, np.float32) for key, value in values.items()}
        names, ints_of = [f"s{i}" for i in range(rank)], lambda v: "[" + ",".join(map(str, v)) + "]"
        # a hard swish as exporters spell it: its input has two users
        text = (
            f"(float[n,{5 if behind else cin},{','.join(names)}] x) => (float[n,{cout},{','.join('t' + i for i in names)}] y) {{"
            f"  {'o = Conv (x, one)  i = Relu (o)' if behind else 'i = Identity (x)'}"
            f"  c = Conv <group = {group}, strides = {ints_of(strides)}, dilations = {ints_of(dilations)}, pads = {ints_of(pads)}> (i, w, b)"
            "  p = Add (c, three)  q = Max (p, zero)  r = Min (q, six)  t = Mul (c, r)  y = Div (t, six) }"
        )
        model = build(text, 20, values)
        least = [max(1, (k - 1) * d + 1 - pads[i] - pads[i + rank]) for i, (k, d) in enumerate(zip(kernel, dilations))]
        sizes = [least, [s + 2 for s in least], [s + 5 + 7 * (i == rank - 1) for i, s in enumerate(least)]]
        sizes.append([*[s + 1 for s in least[:-1]], least[-1] + 27])
        sets = [{"x": rand(1 + (i == 2), 5 if behind else cin, *size, seed=number)} for i, size in enumerate(sizes)]

        def judge(_, inputs, found, expect=functools.cache(functools.partial(session_of, model))):
            compare(found, expect()(inputs), 2e-5, 1e-5, str(inputs["x"].shape))

        yield Graph(f"convolution {number}: {cin}>{cout} in {group}, {kernel}", model, sets, judge)


def transposed_graphs():
    """Transposed convolutions: as many taps to each phase or not, cut at either
    side, more of the result than the kernel reaches, groups, dilations."""
    forms = [  # input and output channels, groups, kernel, strides, pads, output_padding, dilations
        (16, 8, 1, (2, 2), (2, 2), (0, 0, 0, 0), (0, 0), (1, 1)), (8, 12, 1, (4, 4), (2, 2), (1, 1, 1, 1), (0, 0), (1, 1)),
        (6, 10, 1, (3, 3), (2, 2), (1, 1, 1, 1), (1, 1), (1, 1)), (4, 5, 1, (16,), (8,), (4, 4), (0,), (1,)),
        (8, 16, 4, (4, 2), (2, 1), (0, 1, 2, 0), (1, 0), (1, 1)), (6, 6, 2, (5, 3), (2, 3), (4, 0, 1, 2), (0, 2), (1, 1)),
        (3, 1, 1, (2, 2), (2, 2), (0, 0, 0, 0), (0, 0), (1, 1)), (4, 4, 4, (7,), (3,), (2, 5), (2,), (1,)),
        (4, 3, 1, (1, 2), (2, 2), (0, 0, 0, 0), (1, 0), (1, 1)), (4, 6, 2, (3, 3), (2, 1), (1, 1, 1, 0), (1, 0), (2, 2)),
        (4, 6, 2, (3, 4), (2, 3), (1, 2, 0, 1), (1, 0), (3, 2)), (4, 4, 1, (4, 3), (2, 2), (1, 0, 2, 1), (0, 1), (1, 3)),
        (3, 2, 1, (2,), (4,), (0, 0), (0,), (6,)), (5, 6, 1, (4, 3), (1, 1), (0, 1, 1, 0), (0, 0), (1, 2)),  # one phase
    ]
    given = (1, 4, 8, 10)  # whose weights are known only at run time
    rng = np.random.default_rng(12)
    for number, (cin, cout, group, kernel, strides, pads, extra, dilations) in enumerate(forms):
        rank = len(kernel)
        values = {"w": rng.standard_normal((cin, cout // group, *kernel)).astype(np.float32), "b": rng.standard_normal(cout).astype(np.float32)}
        more = {"w": values.pop("w")} if number in given else {}
        weight = "".join(f", float[{','.join(map(str, w.shape))}] w" for w in more.values())
        ints_of = lambda v: "[" + ",".join(map(str, v)) + "]"
        text = (
            f"(float[n,{cin},{','.join(f's{i}' for i in range(rank))}] x{weight}) => (float[n,{cout},{','.join(f't{i}' for i in range(rank))}] y) {{"
            f"  c = ConvTranspose <group = {group}, strides = {ints_of(strides)}, pads = {ints_of(pads)}, output_padding = {ints_of(extra)},"
            f" dilations = {ints_of(dilations)}> (x, w, b)  y = Relu (c) }}"
        )
        model = build(text, 20, values)
        sets = [more | {"x": rand(1 + size % 2, cin, *[size + i for i in range(rank)], seed=number)} for size in (4, 7)]

        def judge(_, inputs, found, expect=functools.cache(functools.partial(session_of, model))):
            compare(found, expect()(inputs), 2e-5, 1e-5, str(inputs["x"].shape))

        yield Graph(f"transposed convolution {number}: {cin}>{cout} in {group}, {kernel}", model, sets, judge)


def gated_model(k, n, joined, bias):
    """silu(x @ g) * (x @ u), spelt with two weights or with one and a Split."""
    two = "g = MatMul (x, wg)  u = MatMul (x, wu)"
    one = "p = MatMul (x, w)  g, u = Split <axis = -1, num_outputs = 2> (p)"
    text = (
        f"(float[b,m,{k}] x) => (float[b,m,{n}] z) {{ {one if joined else two}"
        f"  {'h = Add (g, bg)  v = Add (u, bu)' if bias else 'h = Identity (g)  v = Identity (u)'}"
        "  s = Sigmoid (h)  t = Mul (h, s)  z = Mul (v, t) }"
    )
    rng = np.random.default_rng([k, n])
    values = {name: (rng.standard_normal((k, n)) / np.sqrt(k)).astype(np.float32) for name in ("wg", "wu")}
    values |= {name: rng.standard_normal(n).astype(np.float32) for name in ("bg", "bu")}
    values["w"] = np.concatenate([values["wg"], values["wu"]], axis=1)
    return build(text, 20, values), values


def gated_graphs():
    """A gate and what it lets through: whole panels, none, K in chunks, few rows."""
    rows = [(1, 1), (3, 1), (2, 2), (1, 6), (1, 13), (7, 7), (1, 97)]
    for k, n, joined, bias in [
        (5, 32, False, False), (64, 64, True, True), (33, 96, False, True), (67, 160, True, False),
        (1700, 64, False, True), (1700, 32, True, False), (64, 40, False, True), (24, 48, True, True),
    ]:
        model, w = gated_model(k, n, joined, bias)

        def judge(_, inputs, found, w=w, bias=bias, expect=session_of(model)):
            x, wide = inputs["x"], {name: value.astype(np.float64) for name, value in w.items()}
            gate, up = x.astype(np.float64) @ wide["wg"], x.astype(np.float64) @ wide["wu"]
            if bias:
                gate, up = gate + wide["bg"], up + wide["bu"]
            expected = {"z": (up * gate / (1 + np.exp(-gate))).astype(np.float32)}
            compare(found, expected, 1e-5, 1e-5, str(x.shape))
            compare(expect(inputs), expected, 1e-5, 1e-5, f"onnxruntime {x.shape}")

        sets = [{"x": rand(b, m, k, seed=number)} for number, (b, m) in enumerate(rows)]
        yield Graph(f"gated product {k}x{n}{' joined' * joined}{' bias' * bias}", model, sets, judge)


def main():
    checks = Checks("Small graphs against onnxruntime.")
    tool = checks.tool()
    check_graphs(checks, tool, [case_graph(*entry) for entry in CASES], "-O1")
    check_graphs(checks, tool, [*conv_graphs(), *transposed_graphs()], "-O1")
    check_graphs(checks, tool, [*product_graphs(), *gated_graphs()])
    checks.finish()


if __name__ == "__main__":
    main()
