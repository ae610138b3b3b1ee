#!/usr/bin/env python3
#===- rare.py - operators that few models have, against onnxruntime --------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""The graphs of operators.py's kind, for operators outside transformers.

usage: rare.py [--tenon PATH] [--part N/M] [SUBSTRING...]
"""

import math

import numpy as np

from batch import Graph, check_graphs
from operators import CASES, build, case, case_graph, ints, odd, rand, windows
from tool import Checks, Failure

CASES.clear()

for order in (0, 1):
    case(
        f"max pool indices, storage order {order}",
        "(float[n,c,h,w] x) => (float[n,c,p,q] y, int64[n,c,p,q] i)"
        f"{{ y, i = MaxPool <kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 1, 1], storage_order = {order}> (x) }}",
        {"x": rand(2, 3, 7, 9)}, {"x": rand(1, 1, 5, 5)}, {"x": np.zeros((2, 2, 4, 4), np.float32)},
    )
case(
    "large windows",
    "(float[n,c,h,w] x) => (float[n,c,p,q] y, float[n,c,p,q] z, float[n,c,r,s] v)"
    "{ y = MaxPool <kernel_shape = [17, 16], strides = [2, 3], pads = [3, 2, 1, 4]> (x)"
    "  v = MaxPool <kernel_shape = [5, 6], strides = [2, 1], pads = [2, 0, 1, 3], dilations = [1, 2], ceil_mode = 1> (x)"
    "  z = AveragePool <kernel_shape = [17, 16], strides = [2, 3], pads = [3, 2, 1, 4]> (x) }",
    {"x": rand(2, 3, 24, 20)}, {"x": rand(1, 1, 17, 16)},
)
# Columns of windows go through a buffer, planes through another; what an average divides by is all of a window, or not.
def buffered(u, x, i):
    mean = lambda v, *window: windows(v, np.sum, 0, *window) / windows(np.ones_like(v), np.sum, 0, *window)
    return {
        "a": windows(u, np.max, -np.inf, (3, 3, 3), 1, 1, 1), "c": mean(u, (3, 3, 3), 2, 1, 1), "d": mean(x, (3, 3), 1, 1, 1),
        "e": np.maximum(mean(x, (2, 3), 1, 0, 0), 0), "f": windows(x, lambda w, axis: np.sqrt((w * w).sum(axis)), 0, (3, 3), 2, 1, 1),
        "g": windows(i, np.max, 0, (5, 5), 1, 0, 0),
    }


case(
    "windows through a buffer",
    "(float[b,2,5,6,17] u, float[b,3,9,w] x, uint8[2,9,21] i) => (float[b,2,5,6,17] a, float[b,2,3,3,9] c, float[b,3,9,w] d, float[b,3,8,v] e, float[b,3,5,t] f, uint8[2,5,17] g) <int64[1] front = {0}>"
    "{ a = MaxPool <kernel_shape = [3,3,3], pads = [1,1,1,1,1,1]> (u)  c = AveragePool <kernel_shape = [3,3,3], strides = [2,2,2], pads = [1,1,1,1,1,1]> (u)"
    "  d = AveragePool <kernel_shape = [3,3], pads = [1,1,1,1]> (x)  m = AveragePool <kernel_shape = [2,3]> (x)  e = Relu (m)"
    "  f = LpPool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (x)  j = Unsqueeze (i, front)  k = MaxPool <kernel_shape = [5,5]> (j)  g = Squeeze (k, front) }",
    {"u": rand(1, 2, 5, 6, 17), "x": rand(1, 3, 9, 41), "i": ints(0, 256, 2, 9, 21).astype(np.uint8)},
    {"u": odd(rand(2, 2, 5, 6, 17)), "x": rand(2, 3, 9, 6), "i": ints(0, 256, 2, 9, 21).astype(np.uint8)}, oracle=buffered,
)
# As many at once as there are lanes, and those that are left.
case(
    "means and maxima of short runs",
    "(float[b,19,7,7] x, float[b,5,30] r) => (float[b,19,1,1] y, float[b,19,1,1] z, float[b,5] s, float[b,19] p) <int64[1] last = {2}, int64[2] both = {2, 3}>"
    "{ t = Relu (x)  y = GlobalAveragePool (t)  z = GlobalMaxPool (x)  s = ReduceSum <keepdims = 0> (r, last)  p = ReduceMin <keepdims = 0> (x, both) }",
    {"x": rand(2, 19, 7, 7), "r": rand(2, 5, 30)}, {"x": rand(1, 19, 7, 7), "r": rand(1, 5, 30)},
)
# Of one channel, or few: one kernel computes where samples lie, or several do.
case(
    "samples of few channels",
    "(float[2,1,9,11] x, float[2,7,11,2] p, float[1,2,5,6,7] v, float[1,3,5,9,3] q, float[1,130,128,2] r) => (float[1,2,130,128] f, float[2,1,7,11] a, float[2,1,7,11] c, float[2,1,7,11] d, float[1,2,3,5,9] e) <int64[1] last = {4}>"
    "{ a = GridSample <mode = \"linear\"> (x, p)  c = GridSample <mode = \"cubic\", padding_mode = \"reflection\"> (x, p)"
    "  d = GridSample <mode = \"linear\", padding_mode = \"border\", align_corners = 1> (x, p)  e = GridSample <mode = \"linear\"> (v, q)  z = ReduceMax <keepdims = 0> (v, last)  f = GridSample <mode = \"linear\"> (z, r) }",
    {"x": rand(2, 1, 9, 11), "p": rand(2, 7, 11, 2), "r": rand(1, 130, 128, 2, scale=0.6), "v": rand(1, 2, 5, 6, 7), "q": rand(1, 3, 5, 9, 3)},
    {"x": rand(2, 1, 9, 11), "p": rand(2, 7, 11, 2, scale=0.3), "r": rand(1, 130, 128, 2, scale=9.0), "v": rand(1, 2, 5, 6, 7), "q": rand(1, 3, 5, 9, 3, scale=9.0)}, atol=2e-5,
)
for mode in ("avg", "max"):
    for place in ("half_pixel", "output_half_pixel"):
        case(
            f"regions, {mode}, {place}",
            "(float[n,c,h,w] x, float[r,4] rois, int64[r] b) => (float[r,c,3,2] y)"
            f'{{ y = RoiAlign <mode = "{mode}", coordinate_transformation_mode = "{place}", output_height = 3,'
            " output_width = 2, sampling_ratio = 2, spatial_scale = 0.5> (x, rois, b) }",
            {"x": rand(2, 3, 9, 8), "rois": np.array([[0, 0, 7, 9], [-5, 2, 30, 40], [3, 3, 3, 3]], np.float32), "b": np.array([0, 1, 1])},
            {"x": rand(1, 1, 4, 4), "rois": np.zeros((0, 4), np.float32), "b": np.zeros(0, np.int64)},
            atol=1e-5,
        )
case("determinants", "(float[n,5,5] x) => (float[n] y) { y = Det (x) }",
     {"x": rand(4, 5, 5)}, {"x": np.stack([np.eye(5), np.zeros((5, 5)), np.eye(5)[::-1]]).astype(np.float32)}, atol=1e-5)
case("determinants of unknown size", "(float[n,k,m] x) => (float[n] y) { y = Det (x) }",
     {"x": rand(4, 5, 5)}, {"x": rand(2, 1, 1)}, {"x": np.stack([np.zeros((3, 3)), np.eye(3)[[1, 2, 0]], np.eye(3)[::-1]]).astype(np.float32)},
     {"x": rand(1, 9, 9)}, atol=1e-4)
for equation, dims in (("ii->i", "n,n"), ("ii", "n,n"), ("...ii->...i", "b,n,n"), ("iji->j", "n,b,n"), ("iij,jk->ik", None)):
    two = dims is None
    case(
        f"diagonal {equation}",
        f"(float[{dims or 'n,n,b'}] x{', float[b,m] z' if two else ''}) => (float[o{',p' if equation in ('...ii->...i', 'iij,jk->ik') else ''}] y)"
        f'{{ y = Einsum <equation = "{equation}"> (x{", z" if two else ""}) }}'.replace("float[o] y", "float y" if equation == "ii" else "float[o] y"),
        *({"x": rand(*(k if d == "n" else 3 for d in (dims or "n,n,b").split(","))), **({"z": rand(3, 4)} if two else {})} for k in (5, 1, 2)),
    )
GRAMS = "ngram_counts = [0, 4, 10], ngram_indexes = [0, 1, 2, 3, 4, 5, 8, 7, 6], pool_int64s = [2, 3, 5, 4, 5, 6, 7, 8, 6, 7, 9, 9, 5, 7, 7, 7]"
for mode, skips, low, high in (("TF", 0, 1, 2), ("TF", 5, 2, 3), ("IDF", 2, 1, 3), ("TFIDF", 1, 2, 2)):
    case(
        f"n-grams {mode} {skips} {low} {high}",
        f'(int64[n,c] x) => (float[n,m] y) {{ y = TfIdfVectorizer <mode = "{mode}", max_skip_count = {skips}, min_gram_length = {low},'
        f" max_gram_length = {high}, {GRAMS}, weights = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]> (x) }}",
        {"x": ints(2, 10, 3, 12)}, {"x": ints(4, 9, 2, 3)}, {"x": np.array([[5]])}, {"x": np.array([[5, 6, 7, 8, 6, 7, 7, 7]])},
    )
# The head that a sentence encoder gets in few-shot training, of two labels and of
# three; LIBLINEAR's has a norm behind it.
TRANSFORMS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")
case(
    "classifiers of three labels",
    "(float[n,4] x, int64[n,4] i) => (" + ", ".join(f"int64[n] l{k}, float[n,3] s{k}" for k in range(7)) + ") {"
    ' n1 = ai.onnx.ml.Normalizer <norm = "L1"> (x)  n2 = ai.onnx.ml.Normalizer <norm = "L2"> (n1)'
    '  y = ai.onnx.ml.Normalizer <norm = "MAX"> (n2)  d = Cast <to = 11> (x)  '
    + "".join(
        f'l{k}, s{k} = ai.onnx.ml.LinearClassifier <coefficients = [0.5, 0.25, -1.0, 0.125, 0.25, 0.5, 1.0, -0.5, 0.0, 0.0, 0.0, 0.0],'
        f' intercepts = [0.25, 0.5, 0.0], classlabels_ints = [7, -2, 9], post_transform = "{how}"> ({of})  '
        for k, (of, how) in enumerate([*(("y", how) for how in TRANSFORMS), ("i", "NONE"), ("d", "SOFTMAX")])
    )
    + "}",
    {"x": np.array([[1, -2, 0.5, 0.25], [0, 0, 0, 0], [-1, -2, -3, -4]], np.float32), "i": ints(-3, 4, 3, 4)},
    {"x": rand(1, 4), "i": ints(-3, 4, 1, 4)}, {"x": rand(0, 4), "i": ints(-3, 4, 0, 4)}, atol=2e-6,
)
case(
    "classifiers of two labels",
    "(float[n,2] x, float[2] r) => (" + ", ".join(f"int64[n] l{k}, float[n,2] s{k}" for k in range(4))
    + ", " + ", ".join(f"int64[n] m{k}, float[n,1] t{k}" for k in range(5)) + ", int64[1] l, float[1,2] s) {"
    + "".join(
        f'{out} = ai.onnx.ml.LinearClassifier <coefficients = [0.5, -0.25], intercepts = [0.5]{labels}, post_transform = "{how}"> ({of})  '
        for out, labels, how, of in (
            *((f"l{k}, s{k}", ", classlabels_ints = [4, 2]", how, "x") for k, how in enumerate(TRANSFORMS[:4])),
            *((f"m{k}, t{k}", "", how, "x") for k, how in enumerate(TRANSFORMS)),
            ("l, s", ", classlabels_ints = [4, 2]", "LOGISTIC", "r"),
        )
    )
    + "}",
    {"x": np.array([[0.5, 0.25], [-0.5, 0.5], [0, 1]], np.float32), "r": np.array([1, 2], np.float32)}, atol=2e-6,
)
for corners in (0, 1):
    for rank, sizes in ((2, ([2, 3, 4, 5], [1, 1, 7, 2])), (3, ([2, 3, 4, 5, 2], [1, 1, 2, 3, 33]))):
        case(
            f"points of an image of {rank} dims, corners {corners}",
            f"(float[n,{rank},{rank + 1}] theta, int64[{rank + 2}] size) => (float[n,{'d,' * (rank - 2)}h,w,{rank}] y)"
            f"{{ y = AffineGrid <align_corners = {corners}> (theta, size) }}",
            *({"theta": rand(size[0], rank, rank + 1), "size": np.array(size)} for size in sizes),
        )
for direction, count in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
    case(
        f"sequence lengths, {direction}",
        f"(float[5,b,3] x, float[{count},16,3] w, float[{count},16,4] r, float[{count},32] bias, int32[b] s)"
        f" => (float[5,{count},b,4] y, float[{count},b,4] h, float[{count},b,4] c)"
        f'{{ y, h, c = LSTM <hidden_size = 4, direction = "{direction}"> (x, w, r, bias, s) }}',
        {"x": rand(5, 3, 3), "w": rand(count, 16, 3), "r": rand(count, 16, 4), "bias": rand(count, 32), "s": np.array([5, 2, 3], np.int32)},
        {"x": rand(5, 1, 3), "w": rand(count, 16, 3), "r": rand(count, 16, 4), "bias": rand(count, 32), "s": np.array([1], np.int32)},
    )
for op, gates, more in (("LSTM", 4, ""), ("GRU", 3, ", linear_before_reset = 1"), ("GRU", 3, ""), ("RNN", 1, "")):
    last, states = (", float[2,b,4] c", "h, c") if op == "LSTM" else ("", "h")
    case(
        f"sequences of unknown length, {op}{more}",
        f"(float[t,b,3] x, float[2,{4 * gates},3] w, float[2,{4 * gates},4] r, float[2,{8 * gates}] bias, int32[k] s, float[2,i,4] h0)"
        f" => (float[t,2,b,4] y, float[2,b,4] h{last})"
        f'{{ y, {states} = {op} <hidden_size = 4, direction = "bidirectional"{more}> (x, w, r, bias, s, h0) }}',
        *({"x": rand(t, b, 3), "w": rand(2, 4 * gates, 3), "r": rand(2, 4 * gates, 4), "bias": rand(2, 8 * gates),
           "s": np.array(s, np.int32), "h0": rand(2, b, 4)} for t, b, s in ((7, 3, [7, 2, 5]), (1, 1, [1]), (40, 2, [3, 40]))),
    )
case(
    "a long sequence of known length",
    "(float[b,300,3] x, float[1,16,3] w, float[1,16,4] r) => (float[300,1,b,4] y)"
    "{ z = Transpose <perm = [1, 0, 2]> (x)  y = LSTM <hidden_size = 4> (z, w, r) }",
    {"x": rand(2, 300, 3), "w": rand(1, 16, 3), "r": rand(1, 16, 4)},
)
case(
    "windows back to an image",
    "(float[n,k,l] x) => (float[n,c,h,w] y) <int64[2] image = {6, 7}, int64[2] block = {3, 2}>"
    "{ y = Col2Im <strides = [2, 1], pads = [1, 0, 1, 1], dilations = [1, 2]> (x, image, block) }",
    {"x": rand(2, 12, 18)}, {"x": rand(1, 6, 18)}, atol=1e-5,
)
for group in (1, 2):
    case(
        f"convolution by a kernel of unknown size, group {group}",
        "(float[n,c,h,w] x, float[o,i,p,q] k, float[o] b) => (float[n,o,s,t] y)"
        f"{{ y = Conv <group = {group}, strides = [2, 1], pads = [1, 0, 2, 1], dilations = [1, 2]> (x, k, b) }}",
        {"x": rand(2, 4, 9, 8), "k": rand(6, 4 // group, 3, 2), "b": rand(6)}, {"x": rand(1, 2, 7, 7), "k": rand(2, 2 // group, 1, 1), "b": rand(2)},
        atol=1e-4,
    )
    case(
        f"transposed convolution by a kernel of unknown size, group {group}",
        "(float[n,c,h,w] x, float[c,o,p,q] k) => (float[n,m,s,t] y)"
        f"{{ y = ConvTranspose <group = {group}, strides = [2, 1], pads = [1, 0, 0, 1], dilations = [1, 2]> (x, k) }}",
        {"x": rand(2, 4, 5, 4), "k": rand(4, 3, 3, 2)}, {"x": rand(1, 2, 3, 3), "k": rand(2, 1, 2, 2)}, atol=1e-4,
    )
case(
    "taps that meet padding alone",
    "(float[n,1,2,3] x, float[n,1,1,1] o) => (float[n,2,2,3] y, float[n,2,2,2] z) <float[2,1,2,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, float[1,2,2,3] v = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}>"
    "{ y = Conv <pads = [1, 4, 0, 4], dilations = [1, 4]> (x, w)  z = ConvTranspose <strides = [2, 2], pads = [0, 0, 0, 1]> (o, v) }",
    {"x": rand(2, 1, 2, 3), "o": rand(2, 1, 1, 1)},
)
numbers_of = lambda x: "{" + ", ".join(map(str, x.ravel())) + "}"
case(
    "transposed convolutions of small images",
    "(float[n,2,3,2] x, float[4,1,5,4] g) => (float[n,3,6,4] y, float[n,2,6,6] z) <float[2,3,4,3] v = " + numbers_of(rand(2, 3, 4, 3)) + ">"
    "{ y = ConvTranspose <strides = [2, 2], pads = [1, 1, 1, 0]> (x, v)  i = Concat <axis = 1> (x, x)"
    "  z = ConvTranspose <strides = [2, 3], pads = [2, 0, 2, 1], output_padding = [1, 0], group = 2> (i, g) }",
    {"x": rand(2, 2, 3, 2), "g": rand(4, 1, 5, 4)}, atol=1e-5,
)
case(
    "taps that meet the image at few positions",
    "(float[n,20,7,5] x) => (float[n,18,4,5] y) <float[18,20,3,3] w = " + numbers_of(rand(18, 20, 3, 3)) + ">"
    "{ y = Conv <pads = [6, 4, 6, 4], dilations = [6, 4], strides = [2, 1]> (x, w) }",
    {"x": rand(2, 20, 7, 5)}, atol=1e-4,
)
case(
    "a choice between dims",
    "(float[a,b] x, float[c,d] y) => (float[e,b] z) <int64[1] one = {1}, float zero = {0}>"
    "{ p = Shape <end = 1> (x)  q = Shape <end = 1> (y)  s = Shape <start = 1> (x)  m = Greater (p, q)"
    "  n = Where (m, p, q)  t = Concat <axis = 0> (n, s)  z = Expand (zero, t) }",
    {"x": rand(3, 4), "y": rand(5, 2)}, {"x": rand(7, 4), "y": rand(5, 2)}, {"x": rand(2, 1), "y": rand(2, 2)},
)
for mode in ("linear", "cubic"):
    for outside in (0, 1):
        case(
            f"shrinking with a wide filter, {mode}, outside {outside}",
            "(float[n,c,h,w] x, int64[4] sizes) => (float[n,c,p,q] y)"
            f'{{ y = Resize <mode = "{mode}", antialias = 1, exclude_outside = {outside}> (x, , , sizes) }}',
            *({"x": rand(2, 3, h, w), "sizes": np.array([2, 3, p, q])} for h, w, p, q in ((12, 17, 5, 6), (9, 4, 9, 11), (40, 33, 3, 32))),
            atol=1e-5,
        )
# Rows of the result are of rows that are kept where they come in order, and computed anew where they do not.
case(
    "rows of rows that are computed",
    "(float[2,3,9,20] x) => (float[2,3,11,12] y, float[2,3,11,12] z)"
    "<int64[12] along = {0,0,1,3,4,6,7,9,11,15,16,19}, int64[11] first = {0,0,1,2,3,3,4,5,6,7,8}, int64[11] second = {1,1,2,3,4,4,5,6,7,8,8},"
    " int64[11] any = {8,0,-1,4,2,-9,7,1,1,3,6}>"
    "{ c = Gather <axis = 3> (x, along)  s = Sigmoid (c)  a = Gather <axis = 2> (s, first)  b = Gather <axis = 2> (s, second)  y = Sub (a, b)"
    "  t = Tanh (c)  d = Gather <axis = 2> (t, any)  e = Gather <axis = 2> (t, first)  z = Mul (d, e) }",
    {"x": rand(2, 3, 9, 20)}, atol=1e-5,
)
numbers = ", ".join(f"{v:.3f}" for v in rand(2 * 3 * 4 * 4))
case(
    "transposed convolutions of small images",
    "(float[2,2,4,4] x, float[1,2,3,5] z, float[2,2,4] s, float[2,1,4] l) => (float[2,3,8,8] a, float[1,3,5,9] c, float[2,2,8] d)"
    f"<float[2,3,4,4] k = {{{numbers}}}>"
    "{ a = ConvTranspose <strides = [2,2], pads = [1,1,1,1]> (x, k)  c = ConvTranspose <strides = [2,2], pads = [2,1,1,2]> (z, k)"
    "  d = ConvTranspose <group = 2, strides = [2], pads = [1,1]> (s, l) }",
    {"x": rand(2, 2, 4, 4), "z": rand(1, 2, 3, 5), "s": rand(2, 2, 4), "l": rand(2, 1, 4)}, atol=1e-5,
)
case(
    "a scale that is no ratio of small integers",
    "(float[n,c,h,w] x) => (float[n,c,p,q] y) <float[4] s = {1.0, 1.0, 1.3712345, 0.712377}> { y = Resize <mode = \"linear\"> (x, , s) }",
    {"x": rand(2, 3, 5, 17)}, {"x": rand(1, 1, 8, 9)},
)


def spectrum(inverse, half):
    """numpy's transforms of real or complex numbers in the last dim."""

    def transform(x, axis):
        axis = int(axis) % x.ndim
        numbers = x[..., 0] + (1j * x[..., 1] if x.shape[-1] == 2 else 0)
        if inverse and half:
            return {"y": np.fft.irfft(numbers, axis=axis)[..., None]}
        y = (np.fft.ifft if inverse else np.fft.rfft if half else np.fft.fft)(numbers, axis=axis)
        return {"y": np.stack([y.real, y.imag], -1)}

    return transform


for inverse, half, parts in ((0, 1, 1), (1, 1, 2), (1, 0, 2), (0, 0, 1)):
    case(
        f"a transform along an input, inverse {inverse}, half {half}",
        f"(float[a,b,c,p] x, int64 axis) => (float[d,e,f,g] y) {{ y = DFT <inverse = {inverse}, onesided = {half}> (x, , axis) }}",
        *({"x": rand(4, 5, 6, parts), "axis": np.int64(axis)} for axis in (0, 1, 2, -2, -4)),
        atol=1e-5, oracle=spectrum(inverse, half),
    )
case(
    "slices by steps and axes that are inputs",
    "(float[a,b,c] x, int64[3] f, int64[3] t, int64[3] s, int64[3] ax) => (float[d,e,g] y) { y = Slice (x, f, t, ax, s) }",
    *({"x": rand(6, 5, 7), "f": np.array(f), "t": np.array(t), "s": np.array(s), "ax": np.array(ax)}
      for f, t, s, ax in (
          ([0, 1, -3], [6, -1, 99], [2, 1, 1], [0, 1, 2]),
          ([-1, 99, 4], [-99, -7, 0], [-1, -2, -3], [2, 0, 1]),
          ([-(2**63) + 1, 2**63 - 1, 3], [2**63 - 1, -(2**63) + 1, 3], [2, -1, 1], [-1, -2, -3]),
          ([5, 0, 2], [1, 3, 2], [1, -1, -4], [0, 1, 2]),
      )),
)
case(
    "sums that a scan hands on, under other names",
    "(float[n] start, float[k,m] x) => (float[n] last, float[k,n] all) {"
    " last, all = Scan <num_scan_inputs = 1, body = step (float[n] a, float[m] row) => (float[p] b, float[q] r)"
    " { b = Add (a, row)  r = Identity (b) }> (start, x) }",
    {"start": rand(5), "x": rand(3, 5)}, {"start": rand(4), "x": rand(7, 1)}, {"start": rand(1), "x": rand(2, 1)},
)
case(
    "rows of a loop, sliced by its number",
    "(float[k] x, int64 M) => (float[m,two] all) <int64[1] one = {1}, int64[1] two = {2}> {"
    " yes = Constant <value = bool {1}> ()  all = Loop (M, yes) <body = step (int64 i, bool c) => (bool d, float[p] row)"
    " { d = Identity (c)  from = Reshape (i, one)  to = Add (from, two)  row = Slice (x, from, to) }> }",
    {"x": rand(9), "M": np.int64(8)}, {"x": rand(2), "M": np.int64(1)}, {"x": rand(5), "M": np.int64(3)},
)
case(
    "split into pieces of a list",
    "(float[6,c] x, int64 p) => (float[a,c] first, float[b,c] last, int64 n, float[2,d] any, float[k,c] all, float[3,r,2,c] stacked, float[c] row) {"
    " two = Constant <value_int = 2> ()  sizes = Constant <value_ints = [1, 4, 1]> ()  i0 = Constant <value_int = 0> ()"
    " m1 = Constant <value_int = -1> ()  s = SplitToSequence <axis = 0> (x, sizes)  first = SequenceAt (s, i0)"
    " last = SequenceAt (s, m1)  even = SplitToSequence <axis = 0> (x, two)  n = SequenceLength (even)"
    " any = SequenceAt (even, p)  longer = SequenceInsert (s, last, i0)  shorter = SequenceErase (longer, m1)"
    " all = ConcatFromSequence <axis = 0> (shorter)  stacked = ConcatFromSequence <axis = 1, new_axis = 1> (even2)"
    " rows = SplitToSequence <axis = 0, keepdims = 0> (x)  row = SequenceAt (rows, two) }"
    .replace("(even2)", "(even)").replace("float[3,r,2,c]", "float[2,r,c]"),
    *({"x": rand(6, c), "p": np.int64(p)} for c, p in ((4, 0), (1, 2), (9, -1))),
)
case(
    "a list that a loop appends to",
    "(float[n,c] x) => (float[m,c] y, float[four,c] rows) { k = Constant <value_int = 4> ()  yes = Constant <value = bool {1}> ()"
    " none = SequenceEmpty <dtype = 1> ()  last, out = Loop (k, yes, x, none) <body = step (int64 i, bool c0, float[p,c] v, seq(float[p,c]) s)"
    " => (bool c1, float[p,c] w, seq(float[p,c]) r) { c1 = Identity (c0)  w = Tanh (v)  r = SequenceInsert (s, w) }>"
    "  y = ConcatFromSequence <axis = 0> (out)  zero = Constant <value_int = 0> ()  rows = SequenceAt (out, zero) }",
    {"x": rand(3, 5)}, {"x": rand(1, 2)},
)
case(
    "a list mapped, and optionals",
    "(float[n,c] x, float[n,c] z) => (float[m,c] y, bool b, float[n,c] g) { s = SequenceConstruct (x, z)"
    " t = SequenceMap (s, x) <body = each (float[p,c] e, float[q,c] o) => (float[r,c] f) { f = Add (e, o) }>"
    "  y = ConcatFromSequence <axis = 0> (t)  o = Optional (x)  b = OptionalHasElement (o)  g = OptionalGetElement (o) }",
    {"x": rand(3, 5), "z": rand(3, 5)}, {"x": rand(1, 2), "z": rand(1, 2)},
)
case(
    "rows of features, scaled, filled in, normalised",
    "(float[n,3] x, int64[n,2] k, double[n,3] w, float[n,4] z) => (float[n,3] a, float[n,2] b, float[n,3] c, float[n,4] d, float[n,3] e, float[n,4] f,"
    " float[n,3] g, int64[n,2] h, float[n,7] i, float[n,2] r, float[n,2] s, float[n,3] t) {"
    " a = ai.onnx.ml.Scaler <offset = [0.5, -1.0, 2.0], scale = [2.0, 0.25, -3.0]> (x)  b = ai.onnx.ml.Scaler <offset = [3.0], scale = [0.5]> (k)"
    " c = ai.onnx.ml.Scaler <offset = [0.1, 0.2, 0.3], scale = [3.0, 2.0, 1.0]> (w)"
    ' d = ai.onnx.ml.Normalizer <norm = "MAX"> (z)  e = ai.onnx.ml.Normalizer <norm = "L1"> (x)  f = ai.onnx.ml.Normalizer <norm = "L2"> (z)'
    " g = ai.onnx.ml.Imputer <replaced_value_float = 1.5, imputed_value_floats = [9.0, 8.0, 7.0]> (x)"
    " h = ai.onnx.ml.Imputer <replaced_value_int64 = 2, imputed_value_int64s = [-5]> (k)"
    " i = ai.onnx.ml.FeatureVectorizer <inputdimensions = [3, 4]> (x, z)"
    " r = ai.onnx.ml.LinearRegressor <coefficients = [1.0, -2.0, 0.5, 0.25, 3.0, -1.0], intercepts = [0.5, -0.5], targets = 2> (x)"
    ' s = ai.onnx.ml.LinearRegressor <coefficients = [0.5, -0.25, 1.0, 2.0, -1.0, 0.25, 0.5, 1.5], targets = 2, post_transform = "LOGISTIC"> (z)'
    ' t = ai.onnx.ml.LinearRegressor <coefficients = [0.5, -0.25, 1.0, 2.0, 0.0, -1.0, 1.5, 0.75, -2.0], targets = 3, post_transform = "SOFTMAX"> (x) }',
    *({"x": np.where(ints(0, 3, n, 3) == 1, np.float32(1.5), rand(n, 3)), "k": ints(-3, 4, n, 2), "w": rand(n, 3).astype(np.float64),
       "z": rand(n, 4) * (np.arange(n) % 3 > 0)[:, None].astype(np.float32)} for n in (5, 1)),
)


def power_graphs():
    """Integers wrap, however large the exponent; numpy's oracle squares."""
    for kind, name in ((np.int32, "int32"), (np.int64, "int64")):
        bases = np.array([2, 3, -3, 6, 1, -1, 0, 7, 2, 10, 5, -2, 3, 4, 12345, 9, 3], kind)
        exponents = np.array([64, 64, 65, 70, 1000, 1001, 99, 2**30 + 5, 63, 3, 0, 31, -1, 32, 77, 2**31 - 1, 127], kind)
        bits = 8 * np.dtype(kind).itemsize
        exact = [pow(int(b), int(e), 2**bits) if e >= 0 else {1: 1, -1: -1 if e % 2 else 1}.get(int(b), 0)
                 for b, e in zip(bases, exponents)]
        exact = np.array([v - 2**bits if v >= 2 ** (bits - 1) else v for v in exact], kind)

        def judge(_, inputs, found, exact=exact):
            wrong = found["y"] != exact
            if wrong.any():
                raise Failure(f"{inputs['x'][wrong]} to {inputs['e'][wrong]} gives {found['y'][wrong]}")

        model = build(f"({name}[n] x, {name}[n] e) => ({name}[n] y) {{ y = Pow (x, e) }}", 20)
        yield Graph(f"powers of {name}", model, [{"x": bases, "e": exponents}], judge)


def random_graphs():
    """Draws have the distribution that the operator states (Kolmogorov's and Smirnov's distance at 0.1%), other nodes
    draw other numbers, and a second run the same."""
    size = 20000

    def judge(_, inputs, found, before={}):
        def require(fine, what):
            if not fine:
                raise Failure(f"random: {what}")

        def follows(name, distribution):
            ordered = np.sort(np.float64(found[name]).ravel())
            steps = np.arange(ordered.size + 1) / ordered.size
            expected = distribution(ordered)
            distance = max(np.abs(steps[1:] - expected).max(), np.abs(steps[:-1] - expected).max())
            require(distance < 1.95 / ordered.size**0.5, f"{name} is {distance} away from its distribution")

        follows("a", lambda x: np.clip((x + 1) / 3, 0, 1))
        gauss = np.vectorize(math.erf)
        follows("b", lambda x: (1 + gauss((x - 2) / 0.5 / 2**0.5)) / 2)
        follows("c", lambda x: (1 + gauss(x / 2**0.5)) / 2)
        for x, y in (("b", "c"), ("c", "d")):
            pair = np.corrcoef(np.float64(found[x]).ravel(), np.float64(found[y]).ravel())
            require(abs(pair[0, 1]) < 4 / size**0.5, f"{x} and {y} correlate")
        share = np.float64(found["e"]).mean(axis=1)
        require(np.abs(share - [0, 0.25, 0.9, 1]).max() < 4 * 0.5 / 5000**0.5, f"Bernoulli draws {share}")
        counts = np.stack([(found["m"] == k).mean(axis=1) for k in range(3)], axis=1)
        expected = np.exp(inputs["logits"]) / np.exp(inputs["logits"]).sum(axis=1, keepdims=True)
        require(np.abs(counts - expected).max() < 4 * 0.5 / 5000**0.5, f"Multinomial draws {counts}")
        for name, value in found.items():
            require(np.array_equal(before.setdefault(name, value), value), f"{name} differs in a second run")

    model = build(
        "(float[n] x, float16[n] h, float[4,k] p, float[2,3] logits) => (float[n] a, float[n] b, float16[n] c, float[s] d, int32[4,k] e, int32[2,t] m) {"
        " a = RandomUniformLike <low = -1.0, high = 2.0, seed = 3.0> (x)  b = RandomNormalLike <mean = 2.0, scale = 0.5> (x)"
        f" c = RandomNormalLike (h)  d = RandomNormal <shape = [{size}]> ()  e = Bernoulli <dtype = 6> (p)"
        "  m = Multinomial <sample_size = 5000> (logits) }", 17)
    inputs = {"x": np.zeros(size, np.float32), "h": np.zeros(size, np.float16),
              "p": np.repeat(np.float32([[0], [0.25], [0.9], [1]]), 5000, axis=1),
              "logits": np.log(np.float32([[0.2, 0.3, 0.5], [3, 6, 1]]))}
    yield Graph("random numbers", model, [inputs, inputs], judge)


def main():
    checks = Checks("Rare operators against onnxruntime.")
    tool = checks.tool()
    check_graphs(checks, tool, [*(case_graph(*entry) for entry in CASES), *power_graphs(), *random_graphs()], "-O1")
    checks.finish()


if __name__ == "__main__":
    main()
