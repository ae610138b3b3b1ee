#===- contrib_quant.py - cases of com.microsoft's quantised operators ------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""MatMulNBits and other packed weights, MoE and QMoE, the QLinear operators.

What onnxruntime makes of a product of integers depends on the CPU: without VNNI
its u8 by s8 saturates at 16 bits, and packed weights may go through it. So such
operators have a reference here, exact integers as the operator's text says.
"""

import numpy as np

from contrib_attention import multi_head
from contrib_case import ABSENT, F16, F32, I8, I32, U8, Case, ints, rand, weight


#===------------------------------------------------------------------------===#
# Packed weights
#===------------------------------------------------------------------------===#


def packed(values, bits):
    """Numbers along the last dim, lowest bits first."""
    per = 8 // bits
    short = -values.shape[-1] % per
    values = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, short)]).astype(np.uint8)
    values = values.reshape(*values.shape[:-1], -1, per)
    return sum(values[..., i] << (bits * i) for i in range(per)).astype(np.uint8)


def n_bits(name, k, n, *, bits=4, block=32, zeros=None, group=False, bias=False, dtype=np.float32, rank=3):
    """One MatMulNBits of weights [n, k]."""
    blocks = -(-k // block)
    codes = ints(0, 2**bits, n, blocks, block, seed=bits)
    scale = (0.1 + np.abs(rand(n, blocks, seed=1, scale=0.1))).astype(dtype)
    zero = ints(0, 2**bits, n, blocks, seed=2)
    real = {None: np.full((n, blocks), 2 ** (bits - 1)), "packed": zero, "float": zero + 0.25}[zeros].astype(dtype)
    order = np.random.default_rng(3).permutation(k) // block if group else np.arange(k) // block
    dense = (codes.reshape(n, -1)[:, :k] - real[:, order].astype(np.float64)) * scale[:, order]
    inputs = [("x", {1: f"{k}", 2: f"m,{k}", 3: f"b,m,{k}"}[rank], None), weight("w", packed(codes, bits)), weight("s", scale)]
    inputs += [weight("z", real if zeros == "float" else packed(zero, bits)) if zeros else ABSENT]
    inputs += [weight("g", order.astype(np.int32)) if group else ABSENT]
    inputs += [weight("c", rand(n, seed=5).astype(dtype)) if bias else ABSENT]
    while inputs[-1] is ABSENT:
        inputs.pop()
    shapes = {1: [(k,)], 2: [(1, k), (7, k)], 3: [(1, 1, k), (2, 5, k), (1, 33, k)]}[rank]
    sets = [{"x": rand(*shape, seed=i).astype(dtype)} for i, shape in enumerate(shapes)]
    offset = rand(n, seed=5).astype(dtype) if bias else 0
    run = lambda x: {"y": (x.astype(np.float64) @ dense.T + offset).astype(dtype)}
    attributes = {"K": k, "N": n, "bits": bits, "block_size": block, "accuracy_level": 1}
    tolerance = dict(atol=5e-2, rtol=5e-3) if dtype == np.float16 else dict(atol=1e-4, rtol=1e-4)
    kind = F16 if dtype == np.float16 else F32
    return Case(f"nbits {name}", "MatMulNBits", inputs, {"y": kind}, sets, attributes, reference=run, **tolerance)


def bnb4(name, k, n, block, kind, **attributes):
    count = k * n
    inputs = [("x", f"m,{k if attributes.get('transB', 1) else n}", None), weight("w", ints(0, 256, (count + 1) // 2, dtype=np.uint8))]
    inputs += [weight("s", np.abs(rand(-(-count // block), seed=1)))]
    sets = [{"x": rand(m, k if attributes.get("transB", 1) else n, seed=m)} for m in (1, 5)]
    attributes = {"K": k, "N": n, "block_size": block, "quant_type": kind, **attributes}
    return Case(f"bnb4 {name}", "MatMulBnb4", inputs, {"y": F32}, sets, attributes, atol=1e-4, rtol=1e-4)


def gather_quantized(name, rows, columns, *, bits=4, block=16, zeros=False):
    codes, zero = ints(0, 2**bits, rows, columns), ints(0, 2**bits, rows, columns // block, seed=1)
    inputs = [weight("w", packed(codes, bits)), ("i", "n,m", None), weight("s", rand(rows, columns // block, seed=2))]
    inputs += [weight("z", packed(zero, bits))] if zeros else []
    sets = [{"i": ints(-rows, rows, 2, 5)}, {"i": np.array([[0, rows - 1, -1]])}]
    attributes = {"bits": bits, "block_size": block, "gather_axis": 0, "quantize_axis": 1}
    return Case(f"gather {name}", "GatherBlockQuantized", inputs, {"y": F32}, sets, attributes)


def packed_cases():
    yield n_bits("4", 64, 24, zeros="packed")
    yield n_bits("4 of odd blocks", 80, 7, zeros="packed", bias=True)
    yield n_bits("4 float zeros", 64, 24, block=16, zeros="float")
    yield n_bits("4 vector", 64, 24, rank=1)
    yield n_bits("2", 64, 24, bits=2, block=64, zeros="packed", rank=2)
    yield n_bits("8", 128, 24, bits=8, block=128, rank=2)
    yield n_bits("8 zeros", 64, 9, bits=8, zeros="packed", rank=2)
    yield n_bits("8 float zeros", 64, 9, bits=8, zeros="float", rank=2)
    yield n_bits("4 block 256", 300, 9, block=256, zeros="packed", rank=2)
    yield n_bits("4 groups", 64, 24, zeros="packed", group=True, rank=2)
    yield n_bits("4 half", 64, 24, zeros="packed", bias=True, dtype=np.float16)
    yield bnb4("fp4", 32, 9, 16, 0)
    yield bnb4("nf4", 48, 7, 64, 1)
    yield gather_quantized("4", 9, 32, zeros=True)
    yield gather_quantized("4 no zeros", 9, 32)
    yield gather_quantized("8", 9, 32, bits=8, zeros=True)
    yield gather_quantized("2", 9, 64, bits=2, block=32, zeros=True)


#===------------------------------------------------------------------------===#
# Experts
#===------------------------------------------------------------------------===#

HIDDEN, INNER, EXPERTS = 16, 32, 5


def activation(name, first, third, attributes):
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    if name == "swiglu":
        fusion = attributes.get("swiglu_fusion", 0)
        half = first.shape[-1] // 2
        gate, linear = {0: (first, third), 1: (first[..., ::2], first[..., 1::2]), 2: (first[..., :half], first[..., half:])}[fusion]
        limit = attributes.get("swiglu_limit", np.inf)
        gate, linear = np.minimum(gate, limit), np.clip(linear, -limit, limit)
        return gate * sigmoid(attributes.get("activation_alpha", 1.0) * gate) * (linear + attributes.get("activation_beta", 0.0))
    y = {"relu": lambda x: np.maximum(x, 0), "silu": lambda x: x * sigmoid(x), "identity": lambda x: x}[name](first)
    return y if third is None else y * third


def experts(attributes, layers):
    """The layers' weights and biases are [E, rows, columns] and [E, rows] or None."""

    def run(x, router, mix=None):
        tokens = x.reshape(-1, HIDDEN).astype(np.float64)
        first, second, third = layers
        share = np.exp(router - router.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        y = np.zeros_like(tokens)
        for t, token in enumerate(tokens):
            best = np.argsort(-router[t])[: attributes["k"]]
            weights = (share if mix is None else mix)[t, best]
            if attributes.get("normalize_routing_weights"):
                weights = weights / weights.sum()
            for e, part in zip(best, weights):
                apply = lambda layer, v: layer[0][e] @ v + (0 if layer[1] is None else layer[1][e])
                hidden = activation(attributes["activation_type"], apply(first, token), apply(third, token) if third else None, attributes)
                y[t] += part * apply(second, hidden)
        return {"y": y.reshape(x.shape).astype(np.float32)}

    return run


def router_sets(mix=False):
    sets = []
    for number, shape in enumerate([(2, 3), (1, 1), (1, 17)]):
        values = {"x": rand(*shape, HIDDEN, seed=number), "router": rand(shape[0] * shape[1], EXPERTS, seed=number)}
        if mix:
            values["mix"] = np.abs(rand(shape[0] * shape[1], EXPERTS, seed=number + 9))
        sets.append(values)
    return sets


def moe(name, *, third=False, bias=True, reference=False, **attributes):
    wide = INNER * (2 if attributes.get("swiglu_fusion") else 1)
    shapes = [(wide, HIDDEN), (HIDDEN, INNER), (INNER, HIDDEN) if third else None]
    layers, inputs = [], [("x", f"b,s,{HIDDEN}", None), ("router", f"t,{EXPERTS}", None)]
    for i, shape in enumerate(shapes):
        if not shape:
            layers.append(None)
            continue
        layers.append((rand(EXPERTS, *shape, seed=i, scale=0.3), rand(EXPERTS, shape[0], seed=i + 4) if bias else None))
        inputs += [weight(f"w{i}", layers[-1][0]), weight(f"b{i}", layers[-1][1]) if bias else ABSENT]
    run = experts(attributes, layers) if reference else None
    return Case(f"moe {name}", "MoE", inputs, {"y": F32}, router_sets(), attributes, reference=run)


def q_moe(name, *, bits=4, block=0, zeros=False, third=False, mix=False, **attributes):
    wide = INNER * (2 if attributes.get("swiglu_fusion") else 1)
    shapes = [(wide, HIDDEN), (HIDDEN, INNER), (INNER, HIDDEN) if third else None]
    layers, inputs, points = [], [("x", f"b,s,{HIDDEN}", None), ("router", f"t,{EXPERTS}", None)], []
    for i, shape in enumerate(shapes):
        if not shape:
            layers.append(None)
            inputs += [ABSENT, ABSENT, ABSENT]
            points.append(ABSENT)
            continue
        blocks = shape[1] // block if block else 1
        codes = ints(0, 2**bits, EXPERTS, *shape, seed=i)
        scale = 0.02 + np.abs(rand(EXPERTS, shape[0], blocks, seed=i, scale=0.3 / 2**bits))
        zero = ints(0, 2**bits, EXPERTS, shape[0], blocks, seed=i + 7) if zeros else np.full((EXPERTS, shape[0], blocks), 2 ** (bits - 1))
        spread = lambda v: np.repeat(v, shape[1] // blocks, axis=2)
        layers.append(((codes - spread(zero)) * spread(scale), rand(EXPERTS, shape[0], seed=i + 4)))
        inputs += [weight(f"w{i}", packed(codes, bits)), weight(f"s{i}", scale if block else scale[..., 0]), weight(f"b{i}", layers[-1][1])]
        points.append(weight(f"z{i}", packed(zero if block else zero[..., 0], bits)) if zeros else ABSENT)
    inputs += points + [("mix", f"t,{EXPERTS}", None) if mix else ABSENT]
    while inputs[-1] is ABSENT:
        inputs.pop()
    if block:
        attributes["block_size"] = block
    attributes["expert_weight_bits"] = bits
    run = experts(attributes, layers)
    return Case(f"qmoe {name}", "QMoE", inputs, {"y": F32}, router_sets(mix), attributes, reference=run, atol=1e-4, rtol=1e-4)


def expert_cases():
    for kind in ("relu", "gelu", "silu", "identity"):
        yield moe(kind, k=2, activation_type=kind)
    yield moe("normalized", k=3, activation_type="silu", normalize_routing_weights=1, bias=False)
    limits = dict(activation_alpha=1.702, activation_beta=1.0, swiglu_limit=1.5)
    yield moe("swiglu interleaved", k=2, activation_type="swiglu", swiglu_fusion=1, normalize_routing_weights=1, **limits)
    yield moe("swiglu concatenated", k=2, activation_type="swiglu", swiglu_fusion=2, reference=True, **limits)
    yield moe("gated", k=2, activation_type="silu", third=True, normalize_routing_weights=1, reference=True)
    yield q_moe("4", k=2, activation_type="silu", normalize_routing_weights=1)
    yield q_moe("8", k=1, bits=8, activation_type="relu")
    yield q_moe("8 normalized", k=2, bits=8, activation_type="relu", normalize_routing_weights=1)
    yield q_moe("4 blocks", k=2, block=16, activation_type="swiglu", swiglu_fusion=1, normalize_routing_weights=1, **limits)
    yield q_moe("8 blocks zeros", k=2, bits=8, block=16, zeros=True, activation_type="silu")
    yield q_moe("4 zeros mix", k=2, zeros=True, mix=True, activation_type="relu")
    yield q_moe("4 blocks zeros gated", k=2, block=16, zeros=True, third=True, activation_type="silu")


#===------------------------------------------------------------------------===#
# Bytes
#===------------------------------------------------------------------------===#


def scalar(name, value, dtype=np.float32):
    return weight(name, np.array(value, dtype))


def port(name, dims, scale, zero, dtype=np.uint8):
    return [(name, dims, None), scalar(f"{name}_scale", scale), scalar(f"{name}_zero", zero, dtype)]


def result(scale=0.05, zero=120, dtype=np.uint8):
    return [scalar("y_scale", scale), scalar("y_zero", zero, dtype)]


def data(*shape, seed=0, dtype=np.uint8):
    info = np.iinfo(dtype)
    return ints(info.min, info.max + 1, *shape, seed=seed, dtype=dtype)


def byte_case(name, op, inputs, sets, attributes=None, kind=U8, **more):
    # A result halfway between two bytes may round to either.
    return Case(f"q {name}", op, inputs, {"y": kind}, sets, attributes or {}, atol=1, rtol=0, **more)


def exact(x, zero, w):
    """A product of integers, the weights' zero point being 0."""
    return (x.astype(np.int64) - zero) @ w.astype(np.int64)


def rounded(value, zero):
    return np.clip(np.rint(value) + zero, 0, 255).astype(np.uint8)


def exact_conv(last, kernel, bias):
    """A convolution with steps of 1 and 2, of bytes whose zero point is 100."""

    def run(x):
        x = x.astype(np.int64) - 100
        x = x if last else x.transpose(0, 2, 3, 1)
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], (1, 2))[:, :, ::2]
        sums = np.einsum("nhwcij,ocij->nhwo", windows, kernel.astype(np.int64)) + bias
        y = rounded(sums * (0.03 * 0.01 / 0.05), 90)
        return {"y": y if last else y.transpose(0, 3, 1, 2)}

    return run


def dynamic(x):
    """DynamicQuantizeLinear's bytes, scale and zero point."""
    low, high = min(x.min(), np.float32(0)), max(x.max(), np.float32(0))
    scale = (high - low) / np.float32(255)
    zero = int(np.clip(np.rint(-low / scale), 0, 255))
    return rounded(x / scale, zero), scale, zero


def q_attention(w, bias):
    """QAttention of two heads of 16 with scales of 0.01, zero points 130 and 0."""

    def run(x, mask=None, past=None):
        batch, queries = x.shape[:2]
        qkv = exact(x, 130, w) * 1e-4 + bias
        q, k, v = (part.reshape(batch, queries, 2, 16).transpose(0, 2, 1, 3) for part in np.split(qkv, 3, axis=2))
        if past is None:
            seen = np.arange(queries) < mask[:, None, None, None]
            return {"y": multi_head(q, k, v, mask=seen)}
        k, v = np.concatenate([past[0], k], axis=2), np.concatenate([past[1], v], axis=2)
        return {"y": multi_head(q, k, v, unidirectional=True), "present": np.stack([k, v]).astype(np.float32)}

    return run


def byte_cases():
    image = [{"x": data(2, 3, 6, 5)}, {"x": data(1, 3, 4, 4, seed=1)}]
    last = [{"x": data(2, 6, 5, 3)}, {"x": data(1, 4, 4, 3, seed=1)}]
    rows = [{"x": data(3, 17)}, {"x": data(1, 40, seed=1)}]
    pair = [{"x": data(3, 17), "w": data(3, 17, seed=1)}, {"x": data(3, 17), "w": data(1, 17, seed=2)}]
    for op in ("QLinearAdd", "QLinearMul"):
        inputs = port("x", "a,b", 0.03, 100) + port("w", "c,b", 0.05, 140) + result()
        yield byte_case(op, op, inputs, pair)
        signed = [{n: data(*v.shape, seed=3, dtype=np.int8) for n, v in s.items()} for s in pair]
        inputs = port("x", "a,b", 0.03, -3, np.int8) + port("w", "c,b", 0.05, 14, np.int8) + result(0.04, -9, np.int8)
        yield byte_case(f"{op} signed", op, inputs, signed, kind=I8)
    for op, more in (("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.2}), ("QLinearSoftmax", {"axis": -1, "opset": 13})):
        scale = 1 / 256 if op == "QLinearSoftmax" else 0.02
        yield byte_case(op, op, port("x", "a,b", 0.03, 100) + result(scale, 0 if "Soft" in op else 40), rows, more)
    pool = {"kernel_shape": [2, 2], "strides": [2, 1], "pads": [1, 0, 0, 1]}
    yield byte_case("average pool", "QLinearAveragePool", port("x", "n,3,h,w", 0.03, 100) + result(0.03, 90), image, pool)
    yield byte_case("average pool last", "QLinearAveragePool", port("x", "n,h,w,3", 0.03, 100) + result(0.03, 90), last, {**pool, "channels_last": 1, "count_include_pad": 1})
    for channels, sets, dims in ((0, image, "n,3,h,w"), (1, last, "n,h,w,3")):
        yield byte_case(f"global pool {channels}", "QLinearGlobalAveragePool", port("x", dims, 0.03, 100) + result(0.02, 90), sets, {"channels_last": channels})
    yield byte_case("max pool last", "NhwcMaxPool", [("x", "n,h,w,3", None)], last, pool)
    inputs = [scalar("y_scale", 0.05), scalar("y_zero", 120, np.uint8)] + port("x", "a,b", 0.03, 100) + port("w", "c,b", 0.05, 140)
    yield byte_case("concat", "QLinearConcat", inputs, pair, {"axis": 0})
    inputs = [("c", "a,b", None)] + port("x", "a,b", 0.03, 100) + port("w", "c,b", 0.05, 140) + result()
    yield byte_case("where", "QLinearWhere", inputs, [{"c": ints(0, 2, 3, 17) > 0, **s} for s in pair])
    mean = lambda x: {"y": rounded((x.astype(np.float64) - 100).mean(1, keepdims=True) * 0.03 / 0.02, 90)}
    yield byte_case("mean", "QLinearReduceMean", port("x", "a,b", 0.03, 100) + result(0.02, 90), rows, {"axes": [1]}, reference=mean)
    numbers, offset = data(4, 3, 2, 2, seed=5, dtype=np.int8), ints(-500, 500, 4, dtype=np.int32)
    kernel = [weight("k", numbers), scalar("k_scale", 0.01), scalar("k_zero", 0, np.int8)]
    for channels, sets, dims in ((0, image, "n,3,h,w"), (1, last, "n,h,w,3")):
        inputs = port("x", dims, 0.03, 100) + kernel + result(0.05, 90) + [weight("c", offset)]
        attributes = {"channels_last": channels, "strides": [1, 2]}
        yield byte_case(f"conv {channels}", "QLinearConv", inputs, sets, attributes, reference=exact_conv(channels, numbers, offset))

    w, w_scale, c, offset = data(17, 9, dtype=np.int8), np.abs(rand(9, scale=0.01)), rand(9), ints(-500, 500, 9, dtype=np.int32)
    matrix = [weight("w", w), weight("w_scale", w_scale), weight("w_zero", np.zeros(9, np.int8))]
    floats = dict(atol=1e-4, rtol=1e-4)
    sets = [{"x": data(3, 17)}, {"x": data(1, 17, seed=1)}]
    inputs = port("x", "m,17", 0.03, 100) + matrix + [weight("c", offset)]
    scaled = lambda x: (exact(x, 100, w) + offset) * (0.03 * w_scale.astype(np.float64))
    run = lambda x: {"y": rounded(0.7 * scaled(x) / 0.1, 90)}
    yield byte_case("gemm", "QGemm", inputs + result(0.1, 90), sets, {"alpha": 0.7}, reference=run)
    run = lambda x: {"y": scaled(x).astype(np.float32)}
    yield Case("q gemm float", "QGemm", inputs, {"y": F32}, sets, {}, reference=run, **floats)
    inputs = [("x", "b,m,17", None), matrix[0], scalar("x_scale", 0.03), matrix[1], scalar("x_zero", 100, np.uint8), matrix[2], weight("c", c)]
    run = lambda x: {"y": (exact(x, 100, w) * (0.03 * w_scale.astype(np.float64)) + c).astype(np.float32)}
    sets = [{"x": data(2, 3, 17)}, {"x": data(1, 1, 17)}]
    yield Case("q integer to float", "MatMulIntegerToFloat", inputs, {"y": F32}, sets, {}, reference=run, **floats)
    inputs = [("x", "b,m,17", None), *matrix, weight("c", c)]

    def product(x):
        codes, scale, zero = dynamic(x)
        return {"y": (exact(codes, zero, w) * (scale * w_scale.astype(np.float64)) + c).astype(np.float32)}

    sets = [{"x": rand(2, 3, 17)}, {"x": rand(1, 1, 17)}]
    yield Case("q dynamic", "DynamicQuantizeMatMul", inputs, {"y": F32}, sets, {}, reference=product, atol=2e-3, rtol=1e-3)

    heads = {"num_heads": 2}
    joint, bias = data(24, 96, dtype=np.int8), rand(96)
    qkv = [weight("w", joint), weight("c", bias), scalar("x_scale", 0.01), scalar("w_scale", 0.01)]
    more = [("mask", "b", None), scalar("x_zero", 130, np.uint8), scalar("w_zero", 0, np.int8)]
    sets = [{"x": data(2, 5, 24), "mask": np.array([5, 3], np.int32)}, {"x": data(1, 1, 24), "mask": np.array([1], np.int32)}]
    inputs = [("x", "b,s,24", None), *qkv, *more]
    yield Case("q attention", "QAttention", inputs, {"y": F32}, sets, heads, reference=q_attention(joint, bias), **floats)
    past = [{**s, "past": rand(2, len(s["x"]), 2, 4, 16)} for s in sets]
    past = [{k: v for k, v in s.items() if k != "mask"} for s in past]
    inputs = [("x", "b,s,24", None), *qkv, ABSENT, *more[1:], ("past", "2,b,2,p,16", None)]
    attributes = {**heads, "unidirectional": 1}
    yield Case("q attention past", "QAttention", inputs, {"y": F32, "present": F32}, past, attributes, reference=q_attention(joint, bias), **floats)

    tables = [weight("word", data(11, 16)), weight("place", data(9, 16)), weight("segment", data(2, 16)), weight("gamma", data(16)), weight("beta", data(16))]
    scales = [scalar(f"{n}_scale", 0.01 + 0.003 * i) for i, n in enumerate(("word", "place", "segment", "gamma", "beta"))]
    points = [scalar(f"{n}_zero", 110 + 5 * i, np.uint8) for i, n in enumerate(("word", "place", "segment", "gamma", "beta"))]
    inputs = [("ids", "b,s", None), ("kinds", "b,s", None), *tables, ("mask", "b,s", None), *scales, *points]
    size = [(2, 5), (1, 1)]
    sets = [{"ids": ints(0, 11, *s, dtype=np.int32), "kinds": ints(0, 2, *s, dtype=np.int32), "mask": ints(0, 2, *s, dtype=np.int32)} for s in size]
    yield Case("q embedding", "QEmbedLayerNormalization", inputs, {"y": F32, "count": I32}, sets, {"epsilon": 1e-5}, **floats)


def quant_cases():
    yield from packed_cases()
    yield from expert_cases()
    yield from byte_cases()
