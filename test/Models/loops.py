#!/usr/bin/env python3
#===- loops.py - loops whose values change their dims, against onnxruntime -===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Loops that hand values on whose dims are others after each iteration.

usage: loops.py [--tenon PATH] [--part N/M] [SUBSTRING...]

The input sets of a case run in one context, from small to larger and back, so
that memory planned for one run is used by the next.
"""

import functools
import re

import numpy as np
import onnx
from onnx import helper

from batch import Graph, check_graphs
from operators import CASES, case, compare, ints, rand, session_of
from session import Session
from tool import Checks, Failure

CASES.clear()

# Of the main graph; bodies see them too.
WEIGHTS = {
    "stays": rand(3, 8), "embed": rand(11, 8), "wq": rand(8, 8, seed=1), "wk": rand(8, 8, seed=2), "wv": rand(8, 8, seed=3), "wo": rand(8, 11, seed=4),
    "half": np.float32(0.5), "one1": np.ones(1, np.float32), "zero": np.float32(0), "none": np.zeros(0, np.int64),
    "i0": np.array([0]), "i1": np.array([1]), "i2": np.array([2]), "i8": np.array([8]), "m1": np.array([-1]), "far": np.array([2**63 - 1]),
    "heads": np.array([0, -1, 2, 4]), "flat3": np.array([0, 0, 8]),
    "lstm_w": rand(3, 32, seed=5), "lstm_r": rand(8, 32, seed=6), "lstm_b": rand(32), "gru_w": rand(24, 3), "gru_r": rand(24, 8, seed=7),
    "gru_b": rand(24, seed=8), "gru_c": rand(24, seed=9), "peep_f": rand(8, seed=10), "peep_o": rand(8, seed=11), "unit": np.float32(1), "axis1": np.array([1]),
}
# Those whose memory is known before the run.
BOUNDED = ("concatenation of", "shrinking", "positions", "what is left", "stacked", "greedy decoding")

YES = "yes = Constant <value = bool {1}> ()"
STEP = "step (int64 i, bool c"
GOES = "k = Identity (c)"


def trips(*numbers, **values):
    """One input set for each number of iterations."""
    return [{"M": np.int64(number), **values} for number in numbers]


case(
    "values that stay as they are",
    f"(float[n,3] x, float[n,8] h0, int64 M) => (float[n,8] h, float[3,8] same, float[8,8] too, float[m,n,8] all) {{ {YES}"
    f" h, same, too, all = Loop (M, yes, h0, stays, wq) <body = {STEP}, float[n,8] v, float[3,8] w, float[8,8] r)"
    " => (bool k, float[n,8] t, float[3,8] u, float[8,8] r, float[n,8] row)"
    f" {{ {GOES}  p = MatMul (x, w)  q = MatMul (v, r)  s = Add (p, q)  t = Tanh (s)  u = Identity (w)  row = Identity (t) }}> }}",
    *trips(3, 12, 1, x=rand(2, 3), h0=rand(2, 8)), atol=1e-5,
)
for axis, more in ((0, (1, 3)), (1, (2, 1)), (1, (2, 4))):
    empty = rand(*(0 if d == axis else n for d, n in enumerate((2, 3))))
    case(
        f"concatenation of {more} along axis {axis}",
        f"(float[a,b] x, float[c,d] more, int64 M) => (float[e,f] last) {{ {YES}"
        f" last = Loop (M, yes, x) <body = {STEP}, float[p,q] v) => (bool k, float[r,s] w)"
        f" {{ {GOES}  w = Concat <axis = {axis}> (v, more) }}> }}",
        *trips(3, 40, 0, 1, 7, x=rand(2, 3), more=rand(*more)), *trips(5, 0, x=empty, more=rand(*more)),
    )
case(
    "concatenation along both axes",
    f"(float[a,b] x, int64 M) => (float[e,f] last) {{ {YES}"
    f" last = Loop (M, yes, x) <body = {STEP}, float[p,q] v) => (bool k, float[r,s] w)"
    f" {{ {GOES}  t = Tanh (v)  u = Concat <axis = 0> (v, t)  s = Slice (u, i0, i1, i1)  w = Concat <axis = 1> (u, s) }}> }}",
    *trips(2, 5, 0, 1, 3, x=rand(1, 2)), *trips(4, x=rand(3, 1)),
)
case(
    "doubling",
    f"(float[a] x, int64 M) => (float[e] last, float total) {{ {YES}"
    f" last = Loop (M, yes, x) <body = {STEP}, float[p] v) => (bool k, float[r] w)"
    f" {{ {GOES}  h = Mul (v, half)  w = Concat <axis = 0> (h, v) }}>  total = ReduceSum <keepdims = 0> (last) }}",
    *trips(3, 9, 0, 1, 6, x=rand(5)), *trips(12, x=rand(1)), *trips(4, x=rand(0)), atol=1e-3,
)
case(
    "shrinking",
    f"(float[a] x, int64 M) => (float[e] last) {{ {YES}"
    f" last = Loop (M, yes, x) <body = {STEP}, float[p] v) => (bool k, float[r] w)"
    f" {{ {GOES}  t = Slice (v, i1, far)  w = Add (t, t) }}> }}",
    *trips(3, 50, 0, 9, x=rand(9)), *trips(20, x=rand(33)), *trips(2, x=rand(1)),
)
case(
    "positions of what is positive, appended",
    f"(float[a] x, int64 M) => (int64[e] last) {{ {YES}  begin = Constant <value = int64[0] {{}}> ()"
    f" last = Loop (M, yes, begin) <body = {STEP}, int64[p] v) => (bool k, int64[r] w)"
    f" {{ {GOES}  f = Cast <to = 1> (i)  y = Sub (x, f)  g = Greater (y, zero)  n = NonZero (g)"
    f"  flat = Reshape (n, m1)  w = Concat <axis = 0> (v, flat) }}> }}",
    *trips(3, 6, 0, 1, x=rand(9, scale=4)), *trips(4, x=rand(40, scale=2)), *trips(4, x=np.zeros(5, np.float32)),
)
case(
    "what is left after each sieve",
    f"(int64[a] x, int64 M) => (int64[e] last, int64[h] counts) {{ {YES}"
    f" last, rows = Loop (M, yes, x) <body = {STEP}, int64[p] v) => (bool k, int64[r] w, int64[u] n)"
    f" {{ {GOES}  two = Constant <value = int64 {{2}}> ()  d = Add (i, two)  m = Mod (v, d)  z = Constant <value = int64 {{0}}> ()"
    f"  e = Equal (m, z)  keep = Not (e)  w = Compress (v, keep)  n = Shape (w) }}>  counts = Reshape (rows, m1) }}",
    *trips(1, 4, 0, 9, x=np.arange(60)), *trips(3, x=np.arange(300)), *trips(3, x=np.arange(0)),
)
case(
    "growth until a condition",
    "(float[a] x, float limit) => (float[e] last, int64 number) { yes = Constant <value = bool {1}> ()  zero0 = Constant <value = int64 {0}> ()"
    " last, number = Loop (, yes, x, zero0) <body = step (int64 i, bool c, float[p] v, int64 at) => (bool k, float[r] w, int64 next)"
    " { w = Concat <axis = 0> (v, one1)  s = ReduceSum <keepdims = 0> (w)  k = Less (s, limit)  o = Constant <value = int64 {1}> ()"
    "  next = Add (at, o) }> }",
    *({"x": rand(3), "limit": np.float32(v)} for v in (4, 100, 5, 2000, 1, 50)),
)
case(
    "a limit and a condition",
    "(int64[a] x, int64 M, bool go, int64 stop) => (int64[e] last, int64[u,v] seen) {"
    " last, seen = Loop (M, go, x) <body = step (int64 i, bool c, int64[p] v) => (bool k, int64[r] w, int64[s] n)"
    " { w = Concat <axis = 0> (v, v)  n = Shape (w)  k = Less (i, stop) }> }",
    *({"x": ints(0, 9, 3), "M": np.int64(m), "go": np.bool_(g), "stop": np.int64(s)}
      for m, g, s in ((4, 1, 9), (9, 1, 6), (9, 0, 6), (0, 1, 6), (5, 1, 0), (7, 1, 99))),
)
# What tf2onnx makes of a dense layer (tensordot) behind a loop: rows, then the dims of before.
DENSE = "".join(
    f" s{i} = Shape (x{i})  f{i} = Slice (s{i}, i0, i2)  p{i} = ReduceProd (f{i})  a{i} = Concat <axis = 0> (p{i}, i8)"
    f" r{i} = Reshape (x{i}, a{i})  d{i} = MatMul (r{i}, wq)  b{i} = Concat <axis = 0> (f{i}, i8)  x{i + 1} = Reshape (d{i}, b{i})"
    for i in range(4)
)
case(
    "sizes of a loop in Reshape after Reshape",
    f"(float[b,8] x, float limit) => (float[e,f,8] x4, float[g,8] flat) {{ {YES}"
    " last, rows = Loop (, yes, x) <body = step (int64 i, bool c, float[b,8] v) => (bool k, float[b,8] w, float[b,8] row)"
    " { w = Add (v, half)  row = Tanh (w)  s = ReduceMax <keepdims = 0> (w)  k = Less (s, limit) }>"
    f" x0 = Transpose <perm = [1, 0, 2]> (rows) {DENSE} c8 = Concat <axis = 0> (m1, i8)  flat = Reshape (x4, c8) }}",
    *({"x": rand(b, 8), "limit": np.float32(v)} for b, v in ((3, 4), (1, 9), (2, -9), (3, 2))), atol=1e-3, rtol=1e-4,
)
case(
    "the number of what is found in Reshape after Reshape",
    "(float[a,b] x) => (float[c,d] y, float[e] z) { g = Greater (x, zero)  at = NonZero (g)  t = Transpose (at)  v = GatherND (x, t)"
    " s = Shape (v)  d = Concat <axis = 0> (i1, s)  r = Reshape (v, d)  y = Tanh (r)  q = Mul (s, i2)  u = Concat <axis = 0> (v, v)"
    " h = Concat <axis = 0> (s, i2)  w = Reshape (u, h)  z = Reshape (w, q) }",
    *({"x": rand(*dims)} for dims in ((4, 5), (2, 2), (9, 3))),
)
case(
    "two values that are exchanged",
    f"(float[a] x, float[b] y, int64 M) => (float[e] p, float[f] q, float s) {{ {YES}  z = Constant <value = float {{0}}> ()"
    f" p, q, s = Loop (M, yes, x, y, z) <body = {STEP}, float[m] v, float[n] w, float t) => (bool k, float[g] u, float[h] o, float t2)"
    f" {{ {GOES}  u = Identity (w)  o = Concat <axis = 0> (v, w)  r = ReduceSum <keepdims = 0> (o)  t2 = Add (t, r) }}> }}",
    *trips(4, 9, 0, 1, 2, x=rand(3), y=rand(2, seed=1)), *trips(5, x=rand(0), y=rand(1)), atol=1e-3,
)
case(
    "values that are exchanged beside one that keeps its dims",
    f"(float[a,4] x, float[b,4] y, float[4] z, int64 M) => (float[e,4] p, float[f,4] q, float[4] last, float[m,4] all) {{ {YES}"
    f" p, q, last, all = Loop (M, yes, x, y, z) <body = {STEP}, float[m,4] v, float[n,4] w, float[4] t)"
    f" => (bool k, float[g,4] u, float[h,4] o, float[4] t2, float[4] row)"
    f" {{ {GOES}  u = Relu (w)  o = Concat <axis = 0> (v, w)  r = ReduceMean <keepdims = 0, axes = [0]> (o)  t2 = Add (t, r)  row = Exp (r) }}> }}",
    *trips(4, 7, 0, 1, 2, x=rand(3, 4), y=rand(2, 4), z=rand(4)), opset=17, atol=1e-4,
)
case(
    "a loop in a loop, the inner grows",
    f"(float[a] x, int64 M, int64 N) => (float[e] last, float[m] sums) {{ {YES}"
    f" last, sums = Loop (M, yes, x) <body = {STEP}, float[p] v) => (bool k, float[r] w, float sum) {{ {GOES}"
    f"  grown = Loop (N, c, v) <body = inner (int64 j, bool d, float[q] a) => (bool l, float[s] b)"
    f"  {{ l = Identity (d)  b = Concat <axis = 0> (a, one1) }}>"
    f"  sum = ReduceSum <keepdims = 0> (grown)  w = Slice (grown, i1, far) }}> }}",
    *({"x": rand(3), "M": np.int64(m), "N": np.int64(n)} for m, n in ((2, 3), (5, 4), (0, 3), (3, 0), (4, 1), (6, 9))), atol=1e-4,
)
case(
    "a loop in a loop, both grow, as often as the outer says",
    f"(float[a,2] x, int64 M) => (float[e,2] last, int64[f] sizes) {{ {YES}"
    f" last, sizes = Loop (M, yes, x, none) <body = {STEP}, float[p,2] v, int64[t] list) => (bool k, float[r,2] w, int64[u] more) {{ {GOES}"
    f"  grown = Loop (i, c, v) <body = inner (int64 j, bool d, float[q,2] a) => (bool l, float[s,2] b)"
    f"  {{ l = Identity (d)  h = Slice (v, i0, i1)  g = Mul (h, half)  b = Concat <axis = 0> (a, g) }}>"
    f"  w = Concat <axis = 0> (grown, x)  n = Shape <end = 1> (w)  more = Concat <axis = 0> (list, n) }}> }}",
    *trips(2, 5, 0, 1, 4, x=rand(3, 2)), *trips(6, x=rand(1, 2)), atol=1e-4,
)
case(
    "a growing loop in a branch",
    f"(float[a] x, int64 M, bool grow) => (float[e] last) {{"
    f" last = If (grow) <then_branch = taken () => (float[f] y) {{ {YES}"
    f"  y = Loop (M, yes, x) <body = {STEP}, float[p] v) => (bool k, float[r] w) {{ {GOES}  w = Concat <axis = 0> (v, one1) }}> }},"
    f" else_branch = other () => (float[g] z) {{ z = Neg (x) }}> }}",
    *({"x": rand(4), "M": np.int64(m), "grow": np.bool_(g)} for m, g in ((3, 1), (9, 0), (9, 1), (0, 1), (2, 0), (5, 1))),
)
case(
    "a branch in a growing loop",
    f"(float[a] x, int64 M) => (float[e] last) {{ {YES}"
    f" last = Loop (M, yes, x) <body = {STEP}, float[p] v) => (bool k, float[r] w) {{ {GOES}"
    f"  two = Constant <value = int64 {{2}}> ()  z = Constant <value = int64 {{0}}> ()  m = Mod (i, two)  even = Equal (m, z)"
    f"  w = If (even) <then_branch = taken () => (float[f] y) {{ y = Concat <axis = 0> (v, v) }},"
    f"  else_branch = other () => (float[g] s) {{ s = Slice (v, i1, far) }}> }}> }}",
    *trips(2, 7, 0, 1, 5, x=rand(3)), *trips(6, x=rand(1)),
)
case(
    "a sum that broadcasts its operand once",
    f"(float[a] x, float[b] y, int64 M) => (float[e] last) {{ {YES}"
    f" last = Loop (M, yes, x) <body = {STEP}, float[p] v) => (bool k, float[r] w) {{ {GOES}  w = Add (v, y) }}> }}",
    {"x": rand(1), "y": rand(5), "M": np.int64(4)}, {"x": rand(7), "y": rand(1), "M": np.int64(9)},
    {"x": rand(6), "y": rand(6), "M": np.int64(1)}, {"x": rand(1), "y": rand(5), "M": np.int64(0)}, atol=1e-5,
)
case(
    "stacked rows beside a value that grows",
    f"(float[a,3] x, int64 M) => (float[e,3] last, float[m,3] means, int64[m] sizes) {{ {YES}"
    f" last, means, sizes = Loop (M, yes, x) <body = {STEP}, float[p,3] v) => (bool k, float[r,3] w, float[3] mean, int64 size)"
    f" {{ {GOES}  h = ReduceMean <keepdims = 1, axes = [0]> (v)  w = Concat <axis = 0> (v, h)  mean = Squeeze (h, i0)  size = Size (w) }}> }}",
    *trips(3, 30, 0, 1, 8, x=rand(2, 3)), opset=17, atol=1e-5,
)
case(
    "Fibonacci's words, of which the last product is used",
    f"(float[a,b] x, int64 M) => (float[e,f] y) {{ {YES}"
    f" p, q = Loop (M, yes, x, x) <body = {STEP}, float[s,t] v, float[m,n] w) => (bool k, float[m2,n2] u, float[g,h] o)"
    f" {{ {GOES}  u = Identity (w)  o = Concat <axis = 0> (v, w) }}>  r = Transpose (q)  z = MatMul (p, r)  y = Softmax (z) }}",
    *trips(2, 6, 0, 1, 4, x=rand(2, 8)), atol=1e-5,
)
case(
    "the same number read twice, with steps in between",
    f"(float[a] x, int64 M) => (float[e] last, int64[m] sizes) {{ {YES}"
    f" last, sizes = Loop (M, yes, x) <body = {STEP}, float[p] v) => (bool k, float[r] w, int64 size)"
    f" {{ {GOES}  few = Less (v, half)  w = Compress <axis = 0> (v, few)  less = Less (v, half)  t = Compress <axis = 0> (v, less)  size = Size (w) }}> }}",
    *trips(2, 5, 0, 1, 3, x=rand(4)), *trips(2, x=rand(300)),
)
case(
    "a number from before an inner loop, read in each of its iterations",
    f"(float[a] x, int64 M, int64 N) => (float[e] last, float[m,n] all) {{ {YES}"
    f" last, all = Loop (M, yes, x) <body = {STEP}, float[p] v) => (bool k, float[r] w, float[h] sum) {{ {GOES}"
    f"  g = Greater (v, zero)  n = NonZero (g)  f = Reshape (n, m1)  some = Gather <axis = 0> (v, f)  t = ReduceSum (some)  b = Concat <axis = 0> (some, t)"
    f"  w, sum = Loop (N, c, b, t) <body = inner (int64 j, bool d, float[q] y, float[u] z) => (bool l, float[s] yy, float[o] zz)"
    f"  {{ l = Identity (d)  g2 = Greater (v, zero)  n2 = NonZero (g2)  f2 = Reshape (n2, m1)  s2 = Gather <axis = 0> (v, f2)"
    f"  e = Exp (y)  h2 = ReduceSum (s2)  zz = Add (z, h2)  yy = Concat <axis = 0> (y, zz) }}> }}> }}",
    *({"x": rand(5), "M": np.int64(m), "N": np.int64(n)} for m, n in ((1, 3), (4, 2), (3, 0), (3, 5))), atol=1e-3,
)

# Greedy decoding: tokens and the keys and values of one layer grow by one.
DECODE = (
    "  id = Slice (tokens, m1, far, i1)  x = Gather <axis = 0> (embed, id)"
    "  q = MatMul (x, wq)  nk = MatMul (x, wk)  nv = MatMul (x, wv)"
    "  qs = Reshape (q, heads)  ks = Reshape (nk, heads)  vs = Reshape (nv, heads)"
    "  qh = Transpose <perm = [0, 2, 1, 3]> (qs)  kh = Transpose <perm = [0, 2, 1, 3]> (ks)  vh = Transpose <perm = [0, 2, 1, 3]> (vs)"
    "  K = Concat <axis = 2> (pk, kh)  V = Concat <axis = 2> (pv, vh)  T = Transpose <perm = [0, 1, 3, 2]> (K)"
    "  scores = MatMul (qh, T)  scaled = Mul (scores, half)  p = Softmax <axis = -1> (scaled)  mix = MatMul (p, V)"
    "  back = Transpose <perm = [0, 2, 1, 3]> (mix)  h = Reshape (back, flat3)  z = Add (h, x)  logits = MatMul (z, wo)"
    "  next = ArgMax <axis = -1, keepdims = 0> (logits)  grown = Concat <axis = 1> (tokens, next)"
)
for kind, inputs, sizes in (
    ("", "int64[b,n] start, float[b,2,t,4] k0, float[b,2,t,4] v0", ((1, 3, 2), (2, 1, 0), (1, 1, 7))),
    (" of one row, from nothing", "int64[1,1] start, float[1,2,0,4] k0, float[1,2,0,4] v0", ((1, 1, 0),)),
):
    case(
        f"greedy decoding{kind}",
        f"({inputs}, int64 M) => (int64[b,m] all, float[b,2,u,4] k1, float[b,2,u,4] v1) {{ {YES}"
        f" all, k1, v1 = Loop (M, yes, start, k0, v0) <body = {STEP}, int64[b,n2] tokens, float[b,2,t2,4] pk, float[b,2,t3,4] pv)"
        f" => (bool k, int64[b,o] grown, float[b,2,u2,4] K, float[b,2,u3,4] V) {{ {GOES} {DECODE} }}> }}",
        *({"start": ints(0, 11, b, n), "k0": rand(b, 2, t, 4), "v0": rand(b, 2, t, 4, seed=9), "M": np.int64(m)}
          for b, n, t in sizes for m in (5, 40, 0, 1, 12)),
        atol=1e-4, opset=17,
    )
case(
    "greedy decoding until a token comes",
    "(int64[1,n] start, float[1,2,t,4] k0, float[1,2,t,4] v0, int64 end, int64 M) => (int64[b,m] all, float[1,2,u,4] k1, float[1,2,w,4] v1, int64 number) {"
    f" {YES}  zero0 = Constant <value = int64 {{0}}> ()"
    f" all, k1, v1, number = Loop (M, yes, start, k0, v0, zero0) <body = {STEP}, int64[1,n2] tokens, float[1,2,t2,4] pk, float[1,2,t3,4] pv, int64 at)"
    f" => (bool k, int64[1,o] grown, float[1,2,u2,4] K, float[1,2,u3,4] V, int64 count) {{ {DECODE}"
    "  o1 = Constant <value = int64 {1}> ()  count = Add (at, o1)  same = Equal (next, end)  other = Not (same)  axes = Constant <value = int64[2] {0, 1}> ()  k = Squeeze (other, axes) }> }",
    *({"start": ints(0, 11, 1, n), "k0": rand(1, 2, t, 4), "v0": rand(1, 2, t, 4, seed=9), "end": np.int64(e), "M": np.int64(m)}
      for n, t, e, m in ((1, 0, 3, 20), (2, 3, 5, 40), (4, 1, 7, 3), (3, 2, 2, 0), (1, 0, 9, 30))),
    atol=1e-4, opset=17,
)

# Cells that loops spell out are layers (tenon-fuse-cells).
CELL = "float[b,8] h, float[b,3] row) => (float[b,8] next, float[b,8] out"
CELLS = {
    "GRU, from the last step on": (
        "scan_input_directions = [1], scan_output_directions = [1], ",
        "x3 = Gemm <transB = 1> (row, gru_w, gru_b)  h3 = Gemm <transB = 1> (h, gru_r, gru_c)  xr, xz, xn = Split <axis = 1, num_outputs = 3> (x3)"
        "  hr, hz, hn = Split <axis = 1, num_outputs = 3> (h3)  ar = Add (xr, hr)  r = Sigmoid (ar)  az = Add (xz, hz)  z = Sigmoid (az)"
        "  rn = Mul (r, hn)  an = Add (xn, rn)  n = Tanh (an)  d = Sub (h, n)  zd = Mul (z, d)  next = Add (n, zd)",
    ),
    "GRU that resets first": (
        "",
        "x3 = Gemm <transB = 1> (row, gru_w, gru_b)  xz, xr, xn = Split <axis = 1, num_outputs = 3> (x3)  hz = MatMul (h, wq)  hr = MatMul (h, wk)"
        "  az = Add (xz, hz)  z = Sigmoid (az)  ar = Add (hr, xr)  r = Sigmoid (ar)  rh = Mul (r, h)  hn = MatMul (rh, wv)  an = Add (xn, hn)  n = Tanh (an)"
        "  rest = Sub (unit, z)  fresh = Mul (rest, n)  old = Mul (z, h)  next = Add (fresh, old)",
    ),
    # z of the new state, as Cho and others write it; h + z*(n - h) is the same.
    "GRU whose z is of the new state": (
        "",
        "x3 = Gemm <transB = 1> (row, gru_w, gru_b)  h3 = Gemm <transB = 1> (h, gru_r, gru_c)  xr, xz, xn = Split <axis = 1, num_outputs = 3> (x3)"
        "  hr, hz, hn = Split <axis = 1, num_outputs = 3> (h3)  ar = Add (xr, hr)  r = Sigmoid (ar)  az = Add (xz, hz)  z = Sigmoid (az)"
        "  rn = Mul (r, hn)  an = Add (xn, rn)  n = Tanh (an)  rest = Sub (unit, z)  old = Mul (rest, h)  fresh = Mul (z, n)  next = Add (old, fresh)",
    ),
    "GRU of hard gates, from the state to the new one": (
        "",
        "x3 = Gemm <transB = 1> (row, gru_w, gru_b)  xz, xr, xn = Split <axis = 1, num_outputs = 3> (x3)  hz = MatMul (h, wq)  hr = MatMul (h, wk)"
        "  az = Add (xz, hz)  z = HardSigmoid (az)  ar = Add (hr, xr)  r = HardSigmoid (ar)  rh = Mul (r, h)  hn = MatMul (rh, wv)  an = Add (xn, hn)  n = Tanh (an)"
        "  d = Sub (n, h)  zd = Mul (z, d)  next = Add (h, zd)",
    ),
    "RNN": ("", "a = MatMul (h, wq)  q = Slice (row, i0, i1, axis1)  s = Add (a, q)  next = Tanh (s)"),
}
for what, (more, body) in CELLS.items():
    case(
        what,
        f"(float[t,b,3] x, float[b,8] h0) => (float[b,8] last, float[t,b,8] y) {{ last, y = Scan <{more}num_scan_inputs = 1, body = cell ({CELL}) {{ {body}"
        "  out = Identity (next) }> (h0, x) }",
        *({"x": rand(t, b, 3), "h0": rand(b, 8, seed=3)} for t, b in ((5, 2), (1, 1), (12, 7))), opset=18, atol=1e-5,
    )
case(
    "LSTM with peepholes, whose i is 1 - f",
    "(float[t,b,3] x, float[b,8] h0, float[b,8] c0) => (float[b,8] h, float[b,8] c, float[t,b,8] y) {"
    " h, c, y = Scan <num_scan_inputs = 1, body = cell (float[b,8] ph, float[b,8] pc, float[b,3] row) => (float[b,8] nh, float[b,8] nc, float[b,8] out) {"
    "  p = Gemm <transB = 1> (row, gru_w, gru_b)  q = Gemm <transB = 1> (ph, gru_r, gru_c)  s = Add (p, q)  gf, gg, go = Split <axis = 1, num_outputs = 3> (s)"
    "  bf = Mul (peep_f, pc)  sf = Add (gf, bf)  af = Sigmoid (sf)  ag = Tanh (gg)  rest = Sub (unit, af)  kept = Mul (af, pc)  fresh = Mul (rest, ag)"
    "  nc = Add (kept, fresh)  bo = Mul (nc, peep_o)  so = Add (go, bo)  ao = Sigmoid (so)  tc = Tanh (nc)  nh = Mul (ao, tc)  out = Identity (nh) }> (h0, c0, x) }",
    *({"x": rand(t, b, 3), "h0": rand(b, 8, seed=3), "c0": rand(b, 8, seed=4)} for t, b in ((5, 2), (1, 1), (12, 7))), opset=18, atol=1e-5,
)
case(
    "LSTM",
    "(float[b,t,3] x, float[b,8] h0, float[b,8] c0) => (float[b,8] h, float[b,8] c, float[t,b,1,8] y) {"
    f" {YES}  dims = Shape (x)  count = Slice (dims, axis1, i2)  number = Squeeze (count)"
    f" h, c, y = Loop (number, yes, h0, c0) <body = {STEP}, float[b,8] ph, float[b,8] pc) => (bool k, float[b,8] nh, float[b,8] nc, float[b,1,8] out) {{ {GOES}"
    "  row = Gather <axis = 1> (x, i)  p = MatMul (row, lstm_w)  q = MatMul (ph, lstm_r)  s = Add (p, q)  g = Add (s, lstm_b)"
    "  gi, gf, gg, go = Split <axis = 1, num_outputs = 4> (g)  ai = Sigmoid (gi)  af = Sigmoid (gf)  ag = Tanh (gg)  ao = Sigmoid (go)"
    "  kept = Mul (af, pc)  fresh = Mul (ai, ag)  nc = Add (kept, fresh)  tc = Tanh (nc)  nh = Mul (ao, tc)  out = Unsqueeze (nh, axis1) }> }",
    *({"x": rand(b, t, 3), "h0": rand(b, 8, seed=3), "c0": rand(b, 8, seed=4)} for t, b in ((5, 2), (1, 1), (12, 7))), opset=18, atol=1e-5,
)


def build(text, opset):
    """Parse the text; the weights that it mentions become initialisers."""
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}]> main {text}')
    for name in sorted(set(re.findall(r"\w+", text)) & WEIGHTS.keys()):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(WEIGHTS[name]), name))
    return model


def case_graph(name, text, sets, atol, rtol, opset, oracle):
    """A row of CASES for check_graphs."""
    model = build(text, opset)
    expect = functools.cache(lambda: session_of(model))

    def judge(number, inputs, found):
        what = f"set {number}, " + ", ".join(str(list(np.shape(v))) for v in inputs.values())
        compare(found, expect()(inputs), atol, rtol, what)

    return Graph(name, model, sets, judge)


def runs(bounded):
    """All sets in one context, for 1 and for 2 threads."""

    def generate(_, artifact, model, feeds):
        types = {port.name: port.type.tensor_type for port in model.graph.output}
        ports = {name: (len(t.shape.dim), helper.tensor_dtype_to_np_dtype(t.elem_type)) for name, t in types.items()}
        for threads in (1, 2):
            session = Session(artifact, threads)
            for number, inputs in enumerate(feeds):
                try:
                    found = session.run(inputs, ports)
                except Failure as failure:
                    raise Failure(f"run {number}, {threads} threads: {failure}") from failure
                if bounded and session.attempts > 1:
                    raise Failure(f"run {number}, {threads} threads: the memory that was reserved did not suffice")
                yield number, found
            session.close()

    return generate


def main():
    checks = Checks("Loops whose values change their dims, against onnxruntime.")
    tool = checks.tool()
    graphs = [case_graph(*entry) for entry in CASES]
    for bounded in (True, False):
        alike = [graph for graph in graphs if graph.name.startswith(BOUNDED) == bounded]
        check_graphs(checks, tool, alike, "-O1", runs=runs(bounded))
    checks.finish()


if __name__ == "__main__":
    main()
