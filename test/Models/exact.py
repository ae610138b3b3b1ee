#!/usr/bin/env python3
#===- exact.py - where a step's own type would spoil the result ------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Integers that wrap, norms of rows far from zero, 16-bit floats whose steps leave them.

Many nodes make one model; expected values come from exact integers or from
numpy in double.

usage: exact.py [--tenon PATH] [SUBSTRING...]
"""

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tool import Checks, Failure, file_name

TYPES = {np.dtype(t): k for t, k in (
    (np.float32, TensorProto.FLOAT), (np.float64, TensorProto.DOUBLE), (np.float16, TensorProto.FLOAT16),
    (ml_dtypes.bfloat16, TensorProto.BFLOAT16), (np.int64, TensorProto.INT64), (np.int32, TensorProto.INT32),
    (np.uint8, TensorProto.UINT8), (np.int8, TensorProto.INT8), (np.bool_, TensorProto.BOOL))}


class Graph:
    """A model in the making: nodes, weights, inputs, and what its outputs are to be."""

    def __init__(self, opset=21, contrib=False):
        self.nodes, self.weights, self.inputs, self.expected = [], [], {}, {}
        self.dims, self.opset, self.contrib = {}, opset, contrib

    def weight(self, value):
        name = f"w{len(self.weights)}"
        value = np.asarray(value)
        self.weights.append(helper.make_tensor(name, TYPES[value.dtype], value.shape, value.tobytes(), raw=True))
        return name

    def input(self, value, dims=None):
        """An input of that value; of unknown dims where `dims` names them."""
        name = f"x{len(self.inputs)}"
        self.inputs[name] = np.asarray(value)
        self.dims[name] = dims or self.inputs[name].shape
        return name

    def node(self, op, *operands, domain="", **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, operands, [name], domain=domain, **attributes))
        return name

    def heads(self, value, groups, d):
        """[1, 2, n, d], each head so many times."""
        wide = self.node("Unsqueeze", value, self.weight(np.array([2])))
        wide = self.node("Expand", wide, self.weight(np.array([1, 1, groups, 1, 1])))
        return self.node("Reshape", wide, self.weight(np.array([1, 2 * groups, -1, d])))

    def expect(self, label, value, expected, **bounds):
        name = f"{label.replace(' ', '_')}"
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.expected[name] = (np.asarray(expected), bounds)

    def save(self, path):
        ports = [helper.make_tensor_value_info(n, TYPES[v.dtype], self.dims[n]) for n, v in self.inputs.items()]
        results = [helper.make_tensor_value_info(n, TYPES[e.dtype], [f"{n}_{i}" for i in range(e.ndim)])
                   for n, (e, _) in self.expected.items()]
        graph = helper.make_graph(self.nodes, "exact", ports, results, self.weights)
        opsets = [helper.make_opsetid("", self.opset)] + ([helper.make_opsetid("com.microsoft", 1)] if self.contrib else [])
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)

    def check(self, tool, *options, levels=None, optimise=1):
        """Compiles once; every level's results are in their bounds, and the integers equal."""
        path = tool.file("exact.onnx")
        self.save(path)
        levels = levels or tool.levels
        artifact, _ = tool.compile(path, "-O", optimise, "--target", ",".join(levels), *options)
        wrong = []
        for level in levels:
            found = tool.run(artifact, self.inputs, level=level)
            for name, (expected, bounds) in self.expected.items():
                got = found[file_name(name)]
                if got.shape != expected.shape or got.dtype != expected.dtype:
                    wrong.append(f"{level} {name}: {got.dtype}{list(got.shape)}, expected {expected.dtype}{list(expected.shape)}")
                elif why := difference(got, expected, **bounds):
                    wrong.append(f"{level} {name}: {why}")
        if wrong:
            raise Failure("\n  ".join(wrong))
        return artifact


def difference(got, expected, exact=None, ulps=None, rtol=0.0):
    """What is wrong, if anything. `ulps` are f32's, of `exact` (double) or of 1 where that is less."""
    if exact is not None:
        error = np.abs(got.astype(np.float64) - exact) / (np.maximum(np.abs(exact), 1) * 2.0**-23)
        return "" if (error <= ulps).all() else f"{error.max():.3g} ulps"
    if expected.dtype.kind in "iub":
        return "" if (got == expected).all() else f"{got.ravel()[:4]}, expected {expected.ravel()[:4]}"
    a, b = got.astype(np.float64), expected.astype(np.float64)
    return "" if np.allclose(a, b, rtol=rtol, atol=rtol, equal_nan=True) else f"{a.ravel()[:4]}, expected {b.ravel()[:4]}"


#===------------------------------------------------------------------------===#
# Integers
#===------------------------------------------------------------------------===#

P, Q, K = np.int64(6364136223846793005), np.int64(1442695040888963407), np.int64(1009)
LOW, HIGH = np.int64(-(2**63)), np.int64(2**63 - 1)


def hashed(ids):
    with np.errstate(over="ignore"):
        return (ids * P + Q) % K


def integers(tool, symbolic):
    """Hashes and edges of constants, of dims and of inputs: all wrap alike."""
    g = Graph()

    def hash_of(value, shape=None):
        y = g.node("Mod", g.node("Add", g.node("Mul", value, g.weight(P)), g.weight(Q)), g.weight(K))
        return g.node("Reshape", y, g.weight(np.array(shape))) if shape else y

    ids = np.array([3, 77, 1234567], np.int64)
    g.expect("hash of constants", hash_of(g.weight(ids)), hashed(ids))
    g.expect("hash of an input", hash_of(g.input(ids)), hashed(ids))
    x = g.input(np.zeros((5, 3000), np.float32), ("n", "m") if symbolic else None)
    dims = np.array([5, 3000], np.int64)
    shape = g.node("Shape", x)
    g.expect("hash of dims", hash_of(shape), hashed(dims))
    scalar = g.node("Squeeze", g.node("Slice", shape, g.weight(np.array([0])), g.weight(np.array([1]))))
    positions = g.node("Range", g.weight(np.int64(0)), scalar, g.weight(np.int64(1)))
    g.expect("hash of positions", hash_of(positions), hashed(np.arange(5)))
    many = np.arange(5000, dtype=np.int64)
    g.expect("hash of many", hash_of(g.weight(many)), hashed(many))
    # Other ops that look at a number that has wrapped, and ops that do not.
    big = g.node("Mul", shape, g.weight(np.int64(2**62 + 1)))
    wrapped = np.array([int(d) * (2**62 + 1) for d in dims])
    wrapped = ((wrapped + 2**63) % 2**64 - 2**63).astype(np.int64)
    g.expect("product", big, wrapped)
    g.expect("quotient", g.node("Div", big, g.weight(np.int64(4))), np.sign(wrapped) * (np.abs(wrapped) // 4))
    g.expect("largest", g.node("Max", big, g.weight(np.int64(0))), np.maximum(wrapped, 0))
    g.expect("less", g.node("Less", big, g.weight(np.int64(7))), wrapped < 7)
    g.expect("absolute", g.node("Abs", big), np.abs(wrapped))
    g.expect("sum", g.node("ReduceSum", big, g.weight(np.array([0]))), np.array([(int(wrapped.sum()) + 2**63) % 2**64 - 2**63], np.int64))
    with np.errstate(over="ignore"):
        g.expect("prod", g.node("ReduceProd", big, g.weight(np.array([0]))), np.prod(wrapped, keepdims=True))
    narrow = g.node("Cast", shape, to=TensorProto.INT32)
    with np.errstate(over="ignore"):
        short = dims.astype(np.int32) * np.int32(1000003) * np.int32(17)
    short = g.node("Mul", g.node("Mul", narrow, g.weight(np.int32(1000003))), g.weight(np.int32(17))), short
    g.expect("short hash", g.node("Mod", short[0], g.weight(np.int32(1009))), short[1] % np.int32(1009))
    # Constants at the ends of their type.
    edge = lambda *values: g.weight(np.array(values, np.int64))
    for label, op, operands, expected in (
        ("highest + 1", "Add", (HIGH, 1), LOW), ("lowest - 1", "Sub", (LOW, 1), HIGH), ("lowest / 2", "Div", (LOW, 2), LOW // 2),
        ("lowest / -1", "Div", (LOW, -1), LOW), ("highest squared", "Mul", (HIGH, HIGH), 1), ("lowest mod -1", "Mod", (LOW, -1), 0),
        ("minus lowest", "Neg", (LOW,), LOW), ("lowest made positive", "Abs", (LOW,), LOW),
    ):
        g.expect(label, g.node(op, *(edge(v) for v in operands)), np.array([expected], np.int64))
    g.expect("fmod of lowest", g.node("Mod", edge(LOW), edge(7), fmod=1), np.array([-(2**63 % 7)], np.int64))
    g.expect("power", g.node("Pow", edge(3), edge(50)), np.array([(3**50 + 2**63) % 2**64 - 2**63], np.int64))
    g.expect("cumulated", g.node("CumSum", edge(HIGH, 1, 1), g.weight(np.int64(0))), np.array([HIGH, LOW, LOW + 1]))
    g.expect("clipped", g.node("Clip", g.node("Add", edge(HIGH), edge(1)), g.weight(np.int64(-5)), g.weight(np.int64(5))), np.array([-5]))
    g.expect("range", g.node("Range", g.weight(LOW + 1), g.weight(HIGH), g.weight(np.int64(2**62))), np.array([LOW + 1, -(2**62) + 1, 1, 2**62 + 1]))
    tiny = g.node("Sub", g.weight(np.array([5], np.uint8)), g.weight(np.array([7], np.uint8)))
    g.expect("bytes below zero", g.node("Less", tiny, g.weight(np.array([3], np.uint8))), np.array([False]))
    g.expect("rounded once", g.node("Cast", edge(2**60 + 2**36 + 1), to=TensorProto.FLOAT), np.array([2.0**60 + 2.0**37], np.float32), rtol=0)
    g.check(tool)


#===------------------------------------------------------------------------===#
# Norms
#===------------------------------------------------------------------------===#

def rows(size):
    noise = np.random.default_rng(size).standard_normal(size)
    first = np.where(np.arange(size) == 0, 1e4, noise)  # the first element far from all others
    numbers = [np.full(size, v) for v in (1234.0, 50000.3, 123456.78, 1e15)]
    numbers += [100 + 1e-3 * noise, *(v + noise for v in (1e3, 1e4, 1e5, 1e6)), 1e15 + 3e8 * noise, 1e17 * noise, noise, first]
    return np.stack(numbers).astype(np.float32)


def norms(tool, size):
    """Within 4 ulps of the result in double, spelled out or not."""
    g = Graph(opset=23, contrib=True)
    x32 = rows(size)
    x = g.input(x32, ("n", size))
    exact = x32.astype(np.float64)
    centred = exact - exact.mean(-1, keepdims=True)
    variance = (centred * centred).mean(-1, keepdims=True)
    bias = np.linspace(-1, 1, size).astype(np.float32)
    gain = np.linspace(.5, 1, size).astype(np.float32)
    shape = lambda *dims: g.weight(np.array(dims, np.int64))

    def expect(label, value, result, ulps=4):
        g.expect(label, value, result.astype(np.float32), exact=result, ulps=ulps)

    normal = centred / np.sqrt(variance + np.float32(1e-5))
    scaled = normal * gain.astype(np.float64) + bias.astype(np.float64)
    expect("layer norm", g.node("LayerNormalization", x, g.weight(gain), g.weight(bias)), scaled)
    skip = g.node("SkipLayerNormalization", g.node("Unsqueeze", x, g.weight(np.array([0]))), g.node("Expand", g.weight(np.float32(0)), shape(1, len(x32), size)),
                  g.weight(gain), g.weight(bias), domain="com.microsoft", epsilon=1e-5)
    expect("skip layer norm", skip, scaled[None])
    ones = g.weight(np.ones(1, np.float32))
    none = g.weight(np.zeros(1, np.float32))
    image = g.node("Reshape", x, shape(len(x32), 1, size))
    expect("instance norm", g.node("InstanceNormalization", image, ones, none), normal[:, None])
    expect("group norm", g.node("GroupNormalization", g.node("Reshape", x, shape(len(x32), 2, size // 2)), g.weight(np.ones(2, np.float32)), g.weight(np.zeros(2, np.float32)), num_groups=1),
           normal.reshape(len(x32), 2, -1))
    plain = centred / (np.sqrt(variance) + 1e-9)
    expect("mvn", g.node("MeanVarianceNormalization", image, axes=[2]), plain[:, None])
    expect("mvn over rows", g.node("MeanVarianceNormalization", g.node("Transpose", image, perm=[2, 1, 0]), axes=[0]), plain.T[:, None])
    root = np.sqrt((exact * exact).mean(-1, keepdims=True) + np.float32(1e-5))
    expect("rms norm", g.node("RMSNormalization", x, g.weight(np.ones(size, np.float32))), exact / root)
    # Cubes are rounded once; -0, infinities and NaN keep their sign or kind.
    edges = np.concatenate([x32.ravel()[:size], [0.0, -0.0, -1e-12, 3e12, 1e-20, np.inf, -np.inf, np.nan]]).astype(np.float32)
    wide = edges.astype(np.float64)
    with np.errstate(over="ignore"):
        cubes = (wide * wide * wide).astype(np.float32)
    cubed = g.node("Pow", g.input(edges), g.weight(np.float32(3)))
    g.expect("cubes", cubed, cubes, rtol=0)
    g.expect("signs of cubes", g.node("Less", g.node("Reciprocal", cubed), g.weight(np.float32(0))), 1 / cubes < 0)
    # As exporters spell it, and with the variance of torch.std.
    last = g.weight(np.array([-1]))
    d = g.node("Sub", x, g.node("ReduceMean", x, last))
    square = g.node("Pow", d, g.weight(np.float32(2)))
    mean = g.node("ReduceMean", square, last)
    small = g.weight(np.float32(1e-5))
    expect("spelled out", g.node("Div", d, g.node("Sqrt", g.node("Add", mean, small))), normal)
    d = g.node("Sub", image, g.node("ReduceMean", image, last))
    total = g.node("ReduceSum", g.node("Mul", d, d), last)
    var = g.node("Div", total, g.weight(np.float32(size - 1)))
    unbiased = variance * (size / (size - 1))
    g.expect("variance", var, unbiased[:, None].astype(np.float32), rtol=4 * 2.0**-23)
    expect("by deviation", g.node("Div", d, g.node("Add", g.node("Sqrt", var), small)), (centred / (np.sqrt(unbiased) + np.float32(1e-5)))[:, None])
    g.check(tool)


#===------------------------------------------------------------------------===#
# Floats of 16 bits
#===------------------------------------------------------------------------===#

def narrow(tool, kind):
    """The result fits, a step does not; one rounding is 2^-11 or 2^-8 at most."""
    g = Graph(opset=22, contrib=True)
    bound = 2.0**-10 if kind is np.float16 else 2.0**-7
    n = 512
    last = g.weight(np.array([-1]))
    # What leaves bf16 leaves f32 as well: there it is digits that a step loses.
    put = lambda v: g.input(np.asarray(v).astype(kind))
    values = lambda v: np.asarray(v).astype(kind).astype(np.float64)

    def expect(label, value, result):
        g.expect(label, value, np.asarray(result).astype(kind), rtol=bound)

    rows_ = np.stack([np.full(n, 100.), np.full(n, 20.), np.linspace(-12, 12, n)])
    x, r = put(rows_), values(rows_)
    norm = np.sqrt((r * r).sum(-1, keepdims=True))
    expect("l2", g.node("ReduceL2", x, last), norm)
    expect("lp norm", g.node("LpNormalization", x, axis=-1, p=2), r / norm)
    expect("lp norm 1", g.node("LpNormalization", x, axis=-1, p=1), r / np.abs(r).sum(-1, keepdims=True))
    expect("mean", g.node("ReduceMean", x, last), r.mean(-1, keepdims=True))
    big = put(np.full((2, n), 200.))
    expect("log sum", g.node("ReduceLogSum", big, last), np.full((2, 1), np.log(values(200.) * n)))
    small = put(np.full((1, n), 11.))
    expect("sum of squares", g.node("ReduceSumSquare", small, last), np.full((1, 1), 121. * n))
    steep = np.linspace(-20, 12, n)[None]
    expect("log sum exp", g.node("ReduceLogSumExp", put(steep), last), np.log(np.exp(values(steep)).sum(-1, keepdims=True)))
    waves = np.where(np.arange(n) % 2, 700., -700.)[None, None, None]
    w = values(waves)
    expect("mvn", g.node("MeanVarianceNormalization", put(waves), axes=[3]), w / np.abs(w))
    image = put(np.full((1, 2, 16, 16), 400.))
    v = values(400.)
    expect("average pool", g.node("AveragePool", image, kernel_shape=[16, 16]), np.full((1, 2, 1, 1), v))
    expect("average pool, large", g.node("AveragePool", image, kernel_shape=[4, 4], strides=[4, 4]), np.full((1, 2, 4, 4), v))
    expect("global average pool", g.node("GlobalAveragePool", image), np.full((1, 2, 1, 1), v))
    expect("lp pool", g.node("LpPool", image, kernel_shape=[4, 4], p=2, strides=[4, 4]), np.full((1, 2, 4, 4), v * 4))
    expect("lp pool 3", g.node("LpPool", image, kernel_shape=[2, 2], p=3, strides=[8, 8]), np.full((1, 2, 2, 2), v * 4 ** (1 / 3)))
    expect("global lp pool", g.node("GlobalLpPool", image, p=2), np.full((1, 2, 1, 1), v * 16))
    expect("lrn", g.node("LRN", image, size=3, alpha=1e-3, beta=.5, bias=1.), np.full((1, 2, 16, 16), v / np.sqrt(1 + 1e-3 / 3 * 2 * v * v)))
    per = g.weight(np.ones(2).astype(kind)), g.weight(np.zeros(2).astype(kind))
    ramp = np.linspace(-60000, 60000, n).reshape(1, 2, 16, 16)
    t = values(ramp)
    d = t - t.mean((2, 3), keepdims=True)
    spread = np.sqrt((d * d).mean((2, 3), keepdims=True) + 1e-5)
    expect("instance norm", g.node("InstanceNormalization", put(ramp), *per), d / spread)
    d = t - t.mean()
    expect("group norm", g.node("GroupNormalization", put(ramp), *per, num_groups=1), d / np.sqrt((d * d).mean()))
    many = g.weight(np.full(2, 300.).astype(kind))
    expect("batch norm", g.node("BatchNormalization", image, g.weight(np.full(2, 2.).astype(kind)), g.weight(np.full(2, -700.).astype(kind)), many, g.weight(np.full(2, 4e-4).astype(kind))),
           np.full((1, 2, 16, 16), (v - values(300.)) * 2 / np.sqrt(values(4e-4) + np.float32(1e-5)) - values(700.)))
    sizes = g.weight(np.array([1, 2, 31, 31]))
    expect("resize", g.node("Resize", image, "", "", sizes, mode="cubic"), np.full((1, 2, 31, 31), v))
    s = values([[40000., 30000]])
    expect("sum of three", g.node("Sum", put(s), put(s), put(-s)), s)
    expect("mean of two", g.node("Mean", put(s), put(s)), s)
    v = np.array([[12., 50, 300, -12, -50, -300, 0, 30000, -30000]])
    e = values(v)
    sigmoid = 1 / (1 + np.exp(-np.clip(e, -700, 700)))
    soft = np.log1p(np.exp(-np.abs(e))) + np.maximum(e, 0)
    y = put(v)
    expect("softplus", g.node("Softplus", y), soft)
    expect("mish", g.node("Mish", y), e * np.tanh(soft))
    expect("softsign", g.node("Softsign", y), e / (1 + np.abs(e)))
    expect("hard swish", g.node("HardSwish", y), e * np.clip(e / 6 + .5, 0, 1))
    expect("selu", g.node("Selu", y), 1.05070102214813232421875 * np.where(e > 0, e, 1.67326319217681884765625 * np.expm1(np.minimum(e, 0))))
    expect("gelu", g.node("Gelu", y), np.where(e > 0, e, 0))
    ms = {"domain": "com.microsoft"}
    expect("quick gelu", g.node("QuickGelu", y, **ms), e / (1 + np.exp(-np.clip(1.702 * e, -700, 700))))
    expect("bias gelu", g.node("BiasGelu", put(s - 65000), g.weight(np.full(2, 40000.).astype(kind)), **ms), np.maximum(values(s - 65000) + values(40000.), 0))
    token = put(np.stack([np.full((1, 8), 40000.), np.full((1, 8), -40000.)], 1))
    expect("skip layer norm", g.node("SkipSimplifiedLayerNormalization", token, token, g.weight(np.ones(8).astype(kind)), **ms),
           np.stack([np.full((1, 8), 1.), np.full((1, 8), -1.)], 1))
    # A state that many steps add a little to.
    little = put(np.full((n, 1, 1), .01))
    x1, sigmoid_of = values(.01), lambda v: 1 / (1 + np.exp(-v))

    def recurrent(op, gates, bias, **more):
        w, r = np.array(gates).reshape(1, -1, 1), np.full((1, len(gates), 1), op == "RNN")
        b = np.array([bias + [0] * len(gates)])
        return g.node(op, little, *(g.weight(v.astype(kind)) for v in (w, r, b)), hidden_size=1, **more)

    count = np.arange(1, n + 1).reshape(-1, 1, 1, 1)
    expect("rnn", recurrent("RNN", [1], [0], activations=["Relu"]), count * x1)
    open_, keep = sigmoid_of(20.), sigmoid_of(4.)
    cell = open_ * np.tanh(x1) * (1 - open_**count) / (1 - open_)
    expect("lstm", recurrent("LSTM", [0, 0, 0, 1], [20, 20, 20, 0]), open_ * np.tanh(cell))
    expect("gru", recurrent("GRU", [0, 0, 300], [4, 0, 0], activations=["Sigmoid", "Relu"]), 300 * x1 * (1 - keep**count))
    # Beyond where e^x is infinite.
    expect("gru of softplus", recurrent("GRU", [0, 0, 16384], [4, 0, 0], activations=["Sigmoid", "Softplus"]), 16384 * x1 * (1 - keep**count))
    # Scores beyond 65504 before the scale.
    q = np.full((1, 3, 64), 100.)
    q[0, 1] = -100
    k = np.arange(192).reshape(1, 3, 64) / 8
    keys, vals = put(q), put(k)
    a, b = values(q[0]), values(k[0])
    scores = a @ a.T / 8
    p = np.exp(scores - scores.max(-1, keepdims=True))
    attended = (p / p.sum(-1, keepdims=True) @ b)[None]
    expect("multi-head attention", g.node("MultiHeadAttention", keys, keys, vals, num_heads=1, **ms), attended)
    three = g.weight(np.array([2], np.int32)), g.weight(np.array(3, np.int32))
    causal = np.where(np.tril(np.ones((3, 3))) > 0, scores, -np.inf)
    p = np.exp(causal - causal.max(-1, keepdims=True))
    expect("grouped attention", g.node("GroupQueryAttention", keys, keys, vals, "", "", *three, num_heads=1, kv_num_heads=1, **ms), (p / p.sum(-1, keepdims=True) @ b)[None])
    packed = g.weight(np.concatenate([np.eye(64)] * 3, 1).astype(kind))
    zero = g.weight(np.zeros(192).astype(kind))
    p = np.exp(scores - scores.max(-1, keepdims=True))
    expect("projected attention", g.node("Attention", keys, packed, zero, num_heads=1, **ms), (p / p.sum(-1, keepdims=True) @ a)[None])
    # Losses are functions of ONNX.
    logits = put(np.stack([np.full(n, 100.), np.linspace(-12, 12, n)]))
    l = values(np.stack([np.full(n, 100.), np.linspace(-12, 12, n)]))
    labels = g.weight(np.array([3, 500]))
    logp = l - l.max(-1, keepdims=True)
    logp = logp - np.log(np.exp(logp).sum(-1, keepdims=True))
    loss = -logp[[0, 1], [3, 500]]
    expect("cross entropy", g.node("SoftmaxCrossEntropyLoss", logits, labels, reduction="mean"), loss.mean())
    lots = put(np.full((4096, 2), -30.))
    expect("likelihood", g.node("NegativeLogLikelihoodLoss", lots, g.weight(np.zeros(4096, np.int64)), reduction="mean"), 30.)
    g.check(tool)


def beyond_the_cache(tool):
    """A token beyond the end of a linear cache is an error, not lost."""
    path = tool.file("cache.onnx")
    text = ('<ir_version: 10, opset_import: ["" : 24]> scatter (float[b,t,2] past, float[b,s,2] new, int64[b] at) => (float[b,t,2] y)'
            "{ y = TensorScatter (past, new, at) }")
    onnx.save(onnx.parser.parse_model(text), path)
    artifact, _ = tool.compile(path, "-O", 0)
    past, new = np.zeros((1, 4, 2), np.float32), np.ones((1, 2, 2), np.float32)
    for start in (0, 2):
        found = tool.run(artifact, {"past": past, "new": new, "at": np.array([start])})["y"]
        if found[0, start : start + 2].sum() != 4 or found.sum() != 4:
            raise Failure(f"a start of {start} gives {found}")
    for start in (3, 4, 2**40, -1):
        try:
            tool.run(artifact, {"past": past, "new": new, "at": np.array([start])})
        except Failure as failure:
            if "index" not in str(failure):
                raise
            continue
        raise Failure(f"a start of {start} is accepted")


def main():
    checks = Checks("Results whose steps need more than their own type.")
    tool = checks.tool()
    for symbolic in (False, True):
        checks.attempt(f"integers, {'dims open' if symbolic else 'static'}", integers, tool, symbolic)
    for size in (64, 100, 768):
        checks.attempt(f"norms of {size}", norms, tool, size)
    for kind in (np.float16, ml_dtypes.bfloat16):
        checks.attempt(f"narrow {np.dtype(kind)}", narrow, tool, kind)
    checks.attempt("beyond the cache", beyond_the_cache, tool)
    checks.finish()


if __name__ == "__main__":
    main()
