#===- contrib_misc.py - cases of com.microsoft's norms and fusions ---------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Norms with a residual, embeddings, products and activations with a bias."""

import math

import numpy as np

from contrib_case import ABSENT, F16, F32, I32, I64, Case, ints, rand, weight


def norm_cases():
    rows = [{"x": rand(2, 3, 24), "s": rand(2, 3, 24, seed=1)}, {"x": rand(1, 1, 24), "s": rand(1, 1, 24, seed=1)}]
    ports = [("x", "b,s,24", None), ("s", "b,s,24", None)]
    gamma, beta, bias = weight("g", rand(24, seed=2)), weight("c", rand(24, seed=3)), weight("d", rand(24, seed=4))
    both = {"y": F32, "": F32, " ": F32, "sum": F32}
    first = {"y": F32}
    last = {"y": F32, "mean": F32, "deviation": F32, "sum": F32}
    yield Case("norm skip", "SkipLayerNormalization", [*ports, gamma, beta, bias], last, rows, {"epsilon": 1e-5}, ignored=("mean", "deviation"))
    yield Case("norm skip plain", "SkipLayerNormalization", [*ports, gamma], first, rows, {"epsilon": 1e-5})
    wide = [ports[0], ("s", "1,s,24", None)]
    sets = [{"x": rand(2, 3, 24), "s": rand(1, 3, 24, seed=1)}]
    yield Case("norm skip broadcast", "SkipLayerNormalization", [*wide, gamma, beta], first, sets)
    yield Case("norm skip simplified", "SkipSimplifiedLayerNormalization", [*ports, gamma, bias], last, rows, {"epsilon": 1e-6}, ignored=("mean", "deviation"))
    half = [{n: v.astype(np.float16) for n, v in s.items()} for s in rows]
    gamma16 = weight("g", rand(24, seed=2).astype(np.float16))
    yield Case("norm skip simplified half", "SkipSimplifiedLayerNormalization", [*ports, gamma16], {"y": F16}, half, atol=4e-3, rtol=4e-3)
    yield Case("norm simplified", "SimplifiedLayerNormalization", [ports[0], gamma], first, [{"x": s["x"]} for s in rows], {"axis": -1, "epsilon": 1e-6}, domain="")
    yield Case("norm layer of opset 14", "LayerNormalization", [ports[0], gamma, beta], first, [{"x": s["x"]} for s in rows], {"axis": -1}, domain="", opset=14)

    def gated(kind):
        def run(x, z):
            groups = x.astype(np.float64).reshape(*x.shape[:2], -1, 8)
            y = groups / np.sqrt((groups**2).mean(-1, keepdims=True) + 1e-6) * rand(8, seed=2)
            return {"y": (y.reshape(x.shape) * (z if kind == "silu" else 1) / (1 + np.exp(-z))).astype(np.float32)}
        return run

    for kind in ("silu", "sigmoid"):
        inputs = [("x", "b,s,24", None), weight("g", rand(8, seed=2)), ("z", "b,s,24", None)]
        sets = [{"x": s["x"], "z": s["s"]} for s in rows]
        yield Case(f"norm gated {kind}", "GatedRMSNorm", inputs, first, sets, {"activation": kind, "epsilon": 1e-6}, reference=gated(kind))

    def grouped(last, activation, skips):
        def run(x, s=None):
            total = x.astype(np.float64)
            total = total if last else total.transpose(0, 2, 3, 1)
            if skips:
                total = total + s[:, None, None] + rand(8, seed=6)
            v = total.reshape(*total.shape[:3], 4, 2)
            centred = v - v.mean((1, 2, 4), keepdims=True)
            v = centred / np.sqrt((centred**2).mean((1, 2, 4), keepdims=True) + 1e-5)
            v = v.reshape(total.shape) * rand(8, seed=2) + rand(8, seed=3)
            v = v / (1 + np.exp(-v)) if activation else v
            shaped = lambda a: (a if last else a.transpose(0, 3, 1, 2)).astype(np.float32)
            return {"y": shaped(v), "sum": shaped(total)} if skips else {"y": shaped(v)}
        return run

    affine = [weight("g", rand(8, seed=2)), weight("c", rand(8, seed=3))]
    for last in (0, 1):
        shape = [(2, 3, 5, 8), (1, 1, 2, 8)] if last else [(2, 8, 3, 5), (1, 8, 1, 2)]
        dims = "b,h,w,8" if last else "b,8,h,w"
        attributes = {"groups": 4, "epsilon": 1e-5, "activation": last, "channels_last": last}
        sets = [{"x": rand(*s)} for s in shape]
        yield Case(f"norm group {last}", "GroupNorm", [("x", dims, None), *affine], first, sets, attributes, reference=grouped(last, last, False))
        sets = [{"x": rand(*s), "s": rand(s[0], 8, seed=5)} for s in shape]
        inputs = [("x", dims, None), *affine, ("s", "b,8", None), weight("d", rand(8, seed=6))]
        yield Case(f"norm skip group {last}", "SkipGroupNorm", inputs, {"y": F32, "sum": F32}, sets, attributes, reference=grouped(last, last, True))


def embedding_cases():
    tables = [weight("word", rand(11, 16)), weight("place", rand(9, 16)), weight("segment", rand(2, 16))]
    affine = [weight("g", rand(16)), weight("c", rand(16, seed=1))]
    outputs = {"y": F32, "count": I32, "sum": F32}
    size = [(2, 5), (1, 1)]
    sets = [{"ids": ints(0, 11, *s, dtype=np.int32), "kinds": ints(0, 2, *s, dtype=np.int32), "mask": ints(0, 2, *s, dtype=np.int32)} for s in size]
    inputs = [("ids", "b,s", None), ("kinds", "b,s", None), *tables, *affine, ("mask", "b,s", None)]
    yield Case("embedding", "EmbedLayerNormalization", inputs, outputs, sets, {"epsilon": 1e-5})
    placed = [{"ids": s["ids"], "at": ints(0, 9, *s["ids"].shape, dtype=np.int32)} for s in sets]
    inputs = [("ids", "b,s", None), ABSENT, *tables[:2], ABSENT, *affine, ABSENT, ("at", "b,s", None)]
    yield Case("embedding positions", "EmbedLayerNormalization", inputs, {"y": F32, "count": I32}, placed, {"epsilon": 1e-5})


def activation_cases():
    one = {"y": F32}
    sets = [{"x": rand(2, 3, 24, scale=3)}, {"x": rand(1, 1, 24, scale=30)}]
    bias = weight("c", rand(24, seed=1))
    for op, inputs, attributes in (
        ("Gelu", [], {}), ("BiasGelu", [bias], {}), ("FastGelu", [bias], {}), ("FastGelu", [], {}), ("QuickGelu", [], {"alpha": 1.3}),
    ):
        yield Case(f"activation {op} {len(inputs)}", op, [("x", "a,b,24", None), *inputs], one, sets, attributes)
    scaled = lambda x: {"y": (x * (1 + np.tanh(x.astype(np.float64)))).astype(np.float32)}
    yield Case("activation scaled", "ScaledSiLU", [("x", "a,b,24", None)], one, sets, {"alpha": 2.0}, reference=scaled)

    def split_gelu(x):
        v = x.astype(np.float64) + rand(24, seed=1)
        right = v[..., 12:]
        return {"y": (v[..., :12] * 0.5 * right * (1 + np.vectorize(math.erf)(right / math.sqrt(2)))).astype(np.float32)}

    yield Case("activation split", "BiasSplitGelu", [("x", "a,b,24", None), bias], one, sets, reference=split_gelu)
    sums = [{**s, "s": rand(*s["x"].shape, seed=3)} for s in sets]
    added = lambda x, s: {"y": x + rand(24, seed=1) + s}
    yield Case("activation bias", "BiasAdd", [("x", "a,b,24", None), bias, ("s", "a,b,24", None)], one, sums, reference=added)
    gates = [{**s, "g": rand(*s["x"].shape[:2], 1, seed=4)} for s in sums]
    yield Case("activation gate", "GatedAdd", [("x", "a,b,24", None), ("s", "a,b,24", None), ("g", "a,b,1", None)], one, gates)

    def biased_softmax(x, m):
        v = x.astype(np.float64) + m
        e = np.exp(v - v.max(-1, keepdims=True))
        return {"y": (e / e.sum(-1, keepdims=True)).astype(np.float32)}

    scores = [{"x": rand(2, 3, 4, 5), "m": rand(2, 1, 1, 5)}, {"x": rand(1, 2, 1, 33), "m": rand(1, 1, 1, 33)}]
    inputs = [("x", "b,h,s,t", None), ("m", "b,1,1,t", None)]
    yield Case("activation softmax", "BiasSoftmax", inputs, one, scores, {"axis": 3, "is_inner_broadcast": 1}, reference=biased_softmax)


def product_cases():
    one = {"y": F32}
    sets = [{"x": rand(2, 3, 5, 7), "w": rand(2, 3, 7, 4)}, {"x": rand(1, 1, 1, 9), "w": rand(1, 1, 9, 2)}]
    for a in (0, 1):
        for b in (0, 1):
            turn = lambda v, yes: v.swapaxes(2, 3) if yes else v
            own = [{"x": turn(s["x"], a), "w": turn(s["w"], b)} for s in sets]
            inputs = [("x", "b,h,k,m" if a else "b,h,m,k", None), ("w", "b,h,n,k" if b else "b,h,k,n", None)]
            yield Case(f"product {a}{b}", "FusedMatMul", inputs, one, own, {"transA": a, "transB": b, "alpha": 0.3})
    # The first dim of the operand is a row index, and the batch comes after it.
    own = [{"x": s["x"].transpose(2, 0, 1, 3), "w": s["w"].transpose(2, 0, 1, 3)} for s in sets]
    inputs = [("x", "m,b,h,k", None), ("w", "k,b,h,n", None)]
    yield Case("product of batches", "FusedMatMul", inputs, one, own, {"transBatchA": 1, "transBatchB": 1})
    own = [{"x": s["x"].transpose(3, 0, 1, 2), "w": s["w"]} for s in sets]
    inputs = [("x", "k,b,h,m", None), ("w", "b,h,k,n", None)]
    yield Case("product of turned batches", "FusedMatMul", inputs, one, own, {"transBatchA": 1, "transA": 1})
    rows = [{"x": rand(3, 24)}, {"x": rand(1, 24)}]
    gemm = [("x", "m,24", None), weight("w", rand(9, 24)), weight("c", rand(9))]
    for kind, more in (("Relu", {}), ("Tanh", {}), ("LeakyRelu", {"activation_alpha": 0.2}), ("HardSigmoid", {"activation_alpha": 0.3, "activation_beta": 0.4})):
        yield Case(f"product gemm {kind}", "FusedGemm", gemm, one, rows, {"transB": 1, "alpha": 0.5, "beta": 2.0, "activation": kind, **more}, atol=2e-5)

    images = [{"x": rand(2, 3, 6, 5)}, {"x": rand(1, 3, 4, 4)}]
    conv = [("x", "n,3,h,w", None), weight("k", rand(4, 3, 3, 3)), weight("c", rand(4))]
    for kind, parameters in (("Relu", []), ("Clip", [-0.5, 1.0]), ("LeakyRelu", [0.3]), ("HardSigmoid", [0.2, 0.4])):
        attributes = {"activation": kind, "pads": [1, 1, 1, 1], **({"activation_params": parameters} if parameters else {})}
        yield Case(f"product conv {kind}", "FusedConv", conv, one, images, attributes, atol=2e-5)
    sums = [{**s, "z": rand(len(s["x"]), 4, *s["x"].shape[2:], seed=3)} for s in images]
    yield Case("product conv sum", "FusedConv", [*conv, ("z", "n,4,h,w", None)], one, sums, {"activation": "Relu", "pads": [1, 1, 1, 1]}, atol=2e-5)


def other_cases():
    sets = [{"x": rand(2, 5, 7)}, {"x": rand(1, 1, 3)}]
    yield Case("other trilu", "Trilu", [("x", "a,b,c", None), weight("k", np.array(1))], {"y": F32}, sets, {"upper": 0})
    inputs = [("x", "a,b,c", None), weight("p", np.array([0, 1, 2, 0, 0, 1])), weight("v", np.array([0.5], np.float32))]
    yield Case("other pad", "Pad", inputs, {"y": F32}, sets, {"mode": "constant"})
    yield Case("other expand", "ExpandDims", [("x", "a,b,c", None), weight("k", np.array(1, np.int32))], {"y": F32}, sets)
    image, points = rand(2, 3, 5, 7), rand(2, 4, 6, 2, seed=1)
    yield Case("other samples", "GridSample", [("x", "b,3,h,w", None), ("g", "b,p,q,2", None)], {"y": F32}, [{"x": image, "g": points}], {"mode": "bilinear", "align_corners": 1})
    yield Case("other gather", "GatherND", [("x", "a,b,c", None), ("i", "n,2", None)], {"y": F32}, [{"x": rand(2, 5, 7), "i": np.array([[0, 1], [1, 4]])}])


def recurrent_cases():
    """What hybrid models have between their layers of attention."""

    def states(queries, keys, heads, rule, *sizes):
        sets = []
        for b, s in sizes:
            given = {"q": rand(b, s, queries * 4), "k": rand(b, s, keys * 4, seed=1), "v": rand(b, s, heads * 6, seed=2), "p": rand(b, heads, 4, 6, seed=3)}
            if "gated" in rule:
                given["g"] = -np.abs(rand(b, s, heads, seed=4))
            if "delta" in rule:
                given["w"] = 1 / (1 + np.exp(-rand(b, s, heads, seed=5)))
            sets.append(given)
        dims = {"q": f"b,s,{queries * 4}", "k": f"b,s,{keys * 4}", "v": f"b,s,{heads * 6}", "p": f"b,{heads},4,6", "g": f"b,s,{heads}", "w": f"b,s,{heads}"}
        ports = [(name, dims[name], None) if name in sets[0] else ABSENT for name in "qkvpgw"]
        return Case(f"recurrent {queries} {keys} {heads} {rule}", "LinearAttention", ports, {"y": F32, "present": F32}, sets, {"q_num_heads": queries, "kv_num_heads": heads, "update_rule": rule}, atol=2e-5)

    # Heads of queries, keys and values: the same, shared by queries, shared by values.
    yield states(2, 2, 2, "gated_delta", (2, 3), (1, 1))
    yield states(4, 2, 2, "delta", (2, 3), (1, 1))
    yield states(2, 2, 4, "gated_delta", (2, 3), (1, 1))
    yield states(2, 4, 4, "gated", (2, 3), (1, 1))

    weights = [weight("k", rand(3, 1, 4, seed=1)), weight("c", rand(3, seed=2))]
    for dilation in (1, 2):
        for last in (0, 1):
            size = (lambda b, n: (b, n, 3)) if last else (lambda b, n: (b, 3, n))
            held = 3 * dilation
            sets = [{"x": rand(*size(b, n)), "p": rand(*size(b, held), seed=3)} for b, n in ((2, 5), (1, 1))]
            ports = [("x", "b,s,3" if last else "b,3,s", None), *weights, ("p", f"b,{held},3" if last else f"b,3,{held}", None)]
            attributes = {"activation": "silu", "dilation": dilation, "channels_last": last}
            yield Case(f"recurrent convolution {dilation}{last}", "CausalConvWithState", ports, {"y": F32, "present": F32}, sets, attributes)


def misc_cases():
    yield from norm_cases()
    yield from embedding_cases()
    yield from activation_cases()
    yield from product_cases()
    yield from recurrent_cases()
    yield from other_cases()
