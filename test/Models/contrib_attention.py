#===- contrib_attention.py - cases of com.microsoft's attention ------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""GroupQueryAttention, MultiHeadAttention, Attention and RotaryEmbedding."""

import itertools

import numpy as np

from contrib_case import ABSENT, F16, F32, I8, I32, U8, Case, ints, rand, weight


#===------------------------------------------------------------------------===#
# GroupQueryAttention
#===------------------------------------------------------------------------===#

HEADS, KV, SIZE = 4, 2, 16


def rotated(x, cos, sin, positions, interleaved):
    """x [B,H,S,D], caches [M,R/2], positions [B,S]."""
    half = cos.shape[1]
    c, s = cos[positions][:, None], sin[positions][:, None]
    out = x.copy()
    a, b = (slice(0, 2 * half, 2), slice(1, 2 * half, 2)) if interleaved else (slice(0, half), slice(half, 2 * half))
    out[..., a] = x[..., a] * c - x[..., b] * s
    out[..., b] = x[..., a] * s + x[..., b] * c
    return out


def group_query(attributes, caches=None, sink=None, norms=None):
    """GroupQueryAttention in float64: any past, batch and sequence length."""

    def run(q, seqlens, total, k=None, v=None, past_k=None, past_v=None, positions=None, bias=None):
        heads, kv = attributes["num_heads"], attributes["kv_num_heads"]
        batch, queries = q.shape[:2]
        if k is None:
            size = q.shape[2] // (heads + 2 * kv)
            q, k, v = np.split(q, [heads * size, (heads + kv) * size], axis=2)
        split = lambda x, n: x.astype(np.float64).reshape(batch, queries, n, -1).transpose(0, 2, 1, 3)
        dtype = q.dtype
        q, k, v = split(q, heads), split(k, kv), split(v, kv)
        if norms:
            normed = lambda x, w: x / np.sqrt((x * x).mean(-1, keepdims=True) + attributes.get("qk_norm_epsilon", 1e-6)) * w
            q, k = normed(q, norms[0]), normed(k, norms[1])
        past = np.maximum(seqlens + 1 - queries, 0).astype(np.int64)
        at = past[:, None] + np.arange(queries)
        if attributes.get("do_rotary"):
            where = at if positions is None else positions
            q, k = (rotated(x, *caches, where, attributes.get("rotary_interleaved", 0)) for x in (q, k))
        old = past_k.shape[2] if past_k is not None else 0
        length = max(int(total), old) if past_k is not None else queries
        keys = np.zeros((batch, kv, max(length, int((past + queries).max())), q.shape[3]))
        values = keys.copy()
        for b in range(batch):
            for cache, before, new in ((keys, past_k, k), (values, past_v, v)):
                if before is not None:
                    cache[b, :, :old] = before[b]
                cache[b, :, past[b]:past[b] + queries] = new[b]
        keys, values = keys[:, :, :length], values[:, :, :length]
        wide = lambda x: np.repeat(x, heads // kv, axis=1)
        scale = attributes.get("scale", 0) or 1 / np.sqrt(q.shape[3])
        scores = scale * q @ wide(keys).swapaxes(2, 3)
        cap = attributes.get("softcap", 0)
        if cap:
            scores = cap * np.tanh(scores / cap)
        if bias is not None:
            scores[..., :bias.shape[3]] += bias
        j, i = np.arange(length), at[:, None, :, None]
        window = attributes.get("local_window_size", -1)
        if attributes.get("causal", 1):
            allowed = (j <= i) & ((window <= 0) | (j > i - window))
        else:
            allowed = j < (seqlens + 1)[:, None, None, None]
        scores = np.where(allowed, scores, -np.inf)
        highest = scores.max(-1, keepdims=True)
        if sink is not None:
            extra = sink.astype(np.float64)[None, :, None, None]
        elif attributes.get("smooth_softmax", 0) == 1:
            extra = np.zeros((1, 1, 1, 1))
        else:
            extra = None
        if extra is not None:
            highest = np.maximum(highest, extra)
        e = np.exp(scores - highest)
        total_weight = e.sum(-1, keepdims=True) + (0 if extra is None else np.exp(extra - highest))
        y = (e / total_weight) @ wide(values)
        y = y.transpose(0, 2, 1, 3).reshape(batch, queries, -1)
        return {"y": y.astype(dtype), "pk": keys.astype(dtype), "pv": values.astype(dtype)}

    return run


def gqa(name, batch_lengths, *, packed=False, past=None, share=0, rotary=None, dtype=np.float32, sink=False, norms=False,
        bias=None, positions=False, numpy=False, extra=None, **attributes):
    """One GroupQueryAttention; batch_lengths lists (batch, queries, past per row) of each input set."""
    attributes = {"num_heads": HEADS, "kv_num_heads": KV, **attributes}
    inputs = [("q", f"b,s,{(HEADS + 2 * KV) * SIZE if packed else HEADS * SIZE}", None)]
    inputs += [ABSENT, ABSENT] if packed else [("k", f"b,s,{KV * SIZE}", None), ("v", f"b,s,{KV * SIZE}", None)]
    with_past = past or share
    dims = f"b,{KV},{share or 'p'},{SIZE}" if not isinstance(past, str) else f"b,{KV},{past},{SIZE}"
    inputs += [("past_k", dims, None), ("past_v", dims, None)] if with_past else [ABSENT, ABSENT]
    inputs += [("seqlens", "b", None), ("total", "", None)]
    caches = None
    if rotary is not None:
        attributes["do_rotary"] = 1
        angle = np.arange(64)[:, None] / 10.0 ** np.arange(rotary // 2)
        caches = np.cos(angle).astype(dtype), np.sin(angle).astype(dtype)
        inputs += [weight("cos", caches[0]), weight("sin", caches[1])]
    else:
        inputs += [ABSENT, ABSENT]
    inputs += [("positions", "b,s", None) if positions else ABSENT]
    inputs += [("bias", bias, None) if bias else ABSENT]
    sinks = rand(HEADS, seed=9).astype(dtype) if sink else None
    inputs += [weight("sink", sinks) if sink else ABSENT]
    weights = (rand(SIZE, seed=3), rand(SIZE, seed=4)) if norms else None
    if norms:
        inputs += [ABSENT, ABSENT, weight("qn", weights[0]), weight("kn", weights[1])]
    while inputs[-1] is ABSENT:
        inputs.pop()
    sets = []
    for number, (batch, queries, pasts) in enumerate(batch_lengths):
        pasts = np.broadcast_to(np.asarray(pasts), batch)
        totals = pasts + queries
        length = share or int(pasts.max())
        wide = (HEADS + 2 * KV) * SIZE if packed else HEADS * SIZE
        values = {"q": rand(batch, queries, wide, seed=number).astype(dtype)}
        if not packed:
            values["k"] = rand(batch, queries, KV * SIZE, seed=number + 10).astype(dtype)
            values["v"] = rand(batch, queries, KV * SIZE, seed=number + 20).astype(dtype)
        if with_past:
            old = rand(2, batch, KV, length, SIZE, seed=number + 30).astype(dtype)
            for b in range(batch):
                old[:, b, :, pasts[b]:] = 0
            values["past_k"], values["past_v"] = old
        values["seqlens"] = (totals - 1).astype(np.int32)
        values["total"] = np.int32(totals.max())
        if positions:
            values["positions"] = pasts[:, None] + np.arange(queries) + number
        if bias:
            shape = [{"b": batch, "s": queries, "t": int(totals.max())}.get(d) or int(d) for d in bias.split(",")]
            values["bias"] = rand(*shape, seed=number + 40).astype(dtype)
        sets.append(values)
    kind = F16 if dtype == np.float16 else F32
    outputs = {"y": kind, "pk": kind, "pv": kind}
    run = group_query(attributes, caches, sinks, weights) if numpy else None
    tolerance = dict(atol=3e-3, rtol=3e-3) if dtype == np.float16 else {}
    return Case(f"gqa {name}", "GroupQueryAttention", inputs, outputs, sets, attributes, reference=run, **(extra or {}), **tolerance)


def resident(count, capacity, window):
    """How many of a row's tokens a cache of the window's size holds."""
    step = capacity - window + 1
    return count if count <= capacity else count - step * -(-(count - capacity) // step)


def sliding(name, batch_lengths, capacity, window):
    """GroupQueryAttention on caches of `capacity` rows, with the oldest dropped."""
    case = gqa(f"sliding {name}", batch_lengths, past=True, rotary=SIZE, local_window_size=window, sliding_window_cache=1)
    for values, (_, _, pasts) in zip(case.sets, batch_lengths):
        for key in ("past_k", "past_v"):
            old = values[key]
            values[key] = np.zeros((*old.shape[:2], capacity, old.shape[3]), np.float32)
            for b, past in enumerate(np.broadcast_to(pasts, len(old))):
                held = resident(int(past), capacity, window)
                values[key][b, :, :held] = old[b, :, past - held : past]

    def specified(outputs, inputs):
        for b, last in enumerate(inputs["seqlens"]):
            for key in ("pk", "pv"):
                outputs[key][b, :, resident(int(last) + 1, capacity, window) :] = 0

    case.clear = specified
    return case


def coded(name, batch_lengths, bits, kind, **more):
    """GroupQueryAttention on a cache of codes, which are compared as they are."""
    case = gqa(f"coded {name}", batch_lengths, k_quant_type=kind, v_quant_type=kind, kv_cache_bit_width=bits, **more)
    shape = (1, KV, 1, SIZE) if kind == "PER_CHANNEL" else (1,)
    low = 2 if bits == 8 else 5
    scales = [(2.0 ** ints(low - 8, low - 5, *shape, seed=seed)).astype(np.float32) for seed in (5, 6)]
    case.inputs += [ABSENT] * (12 - len(case.inputs)) + [weight("ks", scales[0]), weight("vs", scales[1])]
    case.inputs = [(i[0], i[1].replace(f",{SIZE}", f",{SIZE * bits // 8}"), None) if i[0].startswith("past") else i for i in case.inputs]
    for number, values in enumerate(case.sets):
        for seed, key in ((1, "past_k"), (2, "past_v")):
            dims = (*values[key].shape[:3], SIZE * bits // 8)
            values[key] = ints(0, 256, *dims, seed=10 * number + seed, dtype=np.uint8).view(np.int8 if bits == 8 else np.uint8)
    case.outputs["pk"] = case.outputs["pv"] = I8 if bits == 8 else U8

    def unspecified(outputs, inputs):
        for b, last in enumerate(inputs["seqlens"]):
            for key in ("pk", "pv"):
                outputs[key][b, :, last + 1 :] = 0

    case.clear = unspecified
    return case


def padded(name, chunks, case):
    """The case with chunks that are padded on the right; chunks lists how many tokens each row of each set has."""
    case.name += f" {name}"
    case.inputs += [ABSENT] * (16 - len(case.inputs)) + [("added", "b", None)]
    for values, added in zip(case.sets, chunks):
        before = values["seqlens"] + 1 - values["q"].shape[1]
        values["seqlens"] = (before + added - 1).astype(np.int32)
        values["added"] = np.asarray(added, np.int32)
    clear = case.clear

    def unspecified(outputs, inputs):
        if clear:
            clear(outputs, inputs)
        for b, (last, added) in enumerate(zip(inputs["seqlens"], inputs["added"])):
            outputs["y"][b, added:] = 0
            if not clear:
                for key in ("pk", "pv"):
                    outputs[key][b, :, last + 1 :] = 0

    case.clear = unspecified
    return case


PROMPT = [(1, 5, 0), (2, 3, 0), (1, 1, 0), (1, 33, 0)]
DECODE = [(1, 1, 4), (1, 1, 0), (2, 1, 9), (1, 1, 40)]
CHUNK = [(1, 5, 3), (1, 7, 0), (1, 2, 33)]
MIXED = [(1, 5, 0), (1, 1, 6), (2, 1, 3), (1, 3, 7), (2, 4, 0)]
RAGGED = [(3, 1, [2, 7, 0]), (2, 1, [5, 5])]
WIDE = [(3, 4, [2, 7, 0]), (2, 3, [5, 1]), (2, 2, [6, 6])]


def group_query_cases():
    yield gqa("prompt", PROMPT)
    yield gqa("prompt packed", PROMPT, packed=True)
    yield gqa("past", MIXED, past=True)
    yield gqa("past packed rotary", MIXED, past=True, packed=True, rotary=SIZE)
    yield gqa("decode rotary", DECODE, past=True, rotary=SIZE)
    yield gqa("chunk rotary interleaved", CHUNK, past=True, rotary=SIZE, rotary_interleaved=1)
    yield gqa("window", [(1, 9, 0), (1, 1, 12), (1, 4, 5), (2, 1, 2)], past=True, local_window_size=4)
    yield gqa("window packed rotary", [(1, 9, 0), (1, 1, 12), (1, 4, 5)], past=True, packed=True, rotary=SIZE, local_window_size=3)
    yield gqa("softcap scale", MIXED, past=True, softcap=5.0, scale=0.7)
    yield gqa("smooth softmax", MIXED, past=True, smooth_softmax=1)
    yield gqa("head sink", MIXED, past=True, sink=True)
    yield gqa("head sink window", [(1, 9, 0), (1, 1, 12)], past=True, sink=True, local_window_size=4, rotary=SIZE)
    yield gqa("bias", MIXED, past=True, bias="b,4,s,t", softcap=3.0)
    yield gqa("bias broadcast", MIXED, past=True, bias="1,1,s,t")
    yield gqa("positions", CHUNK + DECODE[:2], past=True, rotary=SIZE, positions=True)
    yield gqa("ragged", RAGGED, past=True, rotary=SIZE)
    yield gqa("ragged buffer", RAGGED, share=24, rotary=SIZE)
    yield gqa("buffer", MIXED, share=24, rotary=SIZE, packed=True)
    yield gqa("half", MIXED, past=True, rotary=SIZE, dtype=np.float16)
    yield gqa("half buffer", MIXED, share=16, rotary=SIZE, packed=True, dtype=np.float16)
    steps = [(1, 9, 0), (1, 1, 4), (1, 1, 12), (1, 4, 7), (1, 30, 11), (2, 1, [9, 3]), (2, 5, 0)]
    yield sliding("tight", steps, 6, 6)
    yield sliding("with slack", steps, 9, 4)
    steps = [(1, 4, 3), (1, 1, 9), (3, 1, [2, 7, 1])]
    yield coded("bytes", steps, 8, "PER_TENSOR", share=12)
    yield coded("bytes per channel", steps, 8, "PER_CHANNEL", share=12, rotary=SIZE)
    yield coded("halves", steps, 4, "PER_TENSOR", share=12)
    yield coded("halves per channel", steps, 4, "PER_CHANNEL", share=12, rotary=SIZE)
    chunks, pasts = [[3, 1, 0], [2, 3, 1], [1]], [(3, 3, [0, 4, 7]), (3, 3, [3, 0, 2]), (1, 1, 5)]
    yield padded("padded", chunks, gqa("buffer", pasts, share=12, rotary=SIZE))
    yield padded("padded", chunks, coded("window", pasts, 8, "PER_TENSOR", share=12, local_window_size=3))
    yield padded("padded", chunks, sliding("window", pasts, 9, 4))
    # What onnxruntime refuses: a past with several rows and several queries, a
    # rotation of less than 16 elements, norms of the heads, no causal mask.
    yield gqa("wide", WIDE, past=True, rotary=SIZE, numpy=True)
    yield gqa("wide buffer", WIDE, share=24, rotary=SIZE, numpy=True)
    yield gqa("wide buffer window", WIDE, share=24, rotary=8, packed=True, local_window_size=3, numpy=True)
    yield gqa("partial rotary", MIXED, past=True, rotary=12, numpy=True)
    yield gqa("norms", MIXED, past=True, rotary=SIZE, norms=True, numpy=True)
    yield gqa("unmasked", MIXED, past=True, causal=0, numpy=True)
    yield gqa("unmasked ragged", RAGGED, share=16, causal=0, numpy=True)


#===------------------------------------------------------------------------===#
# MultiHeadAttention
#===------------------------------------------------------------------------===#


def multi_head(q, k, v, mask=None, bias=None, unidirectional=False, scale=0, filtered=-10000.0):
    """Attention over heads [B,H,S,D] in float64; the mask is bool, or added."""
    scores = (scale or 1 / np.sqrt(q.shape[3])) * q.astype(np.float64) @ k.swapaxes(2, 3)
    if mask is not None:
        scores = scores + np.where(mask, 0, filtered)
    if bias is not None:
        scores = scores + bias
    if unidirectional:
        i, j = np.arange(q.shape[2])[:, None], np.arange(k.shape[2])
        scores = np.where(j <= i + k.shape[2] - q.shape[2], scores, -np.inf)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    y = (e / e.sum(-1, keepdims=True)) @ v
    return y.transpose(0, 2, 1, 3).reshape(q.shape[0], q.shape[2], -1).astype(np.float32)


def mha(name, sets, *, kind="three", past=False, bias=False, mask=None, attention_bias=None, outputs=("y",), reference=None,
        sizes=(HEADS * SIZE, HEADS * SIZE), **attributes):
    """One MultiHeadAttention; sets lists (batch, queries, keys, past)."""
    attributes = {"num_heads": HEADS, **attributes}
    wide, value = sizes
    dims = {
        "three": [("q", f"b,s,{wide}"), ("k", f"b,t,{wide}"), ("v", f"b,t,{value}")],
        "packed": [("q", f"b,s,{HEADS},3,{SIZE}"), None, None],
        "keys": [("q", f"b,s,{wide}"), ("k", f"b,t,{HEADS},2,{SIZE}"), None],
        "cross": [("q", f"b,s,{wide}"), ("k", f"b,{HEADS},t,{SIZE}"), ("v", f"b,{HEADS},t,{SIZE}")],
    }[kind]
    inputs = [(*d, None) if d else ABSENT for d in dims]
    inputs += [weight("w", rand(2 * wide + value, seed=7)) if bias else ABSENT]
    inputs += [("mask", mask, None) if mask else ABSENT]
    inputs += [("bias", attention_bias, None) if attention_bias else ABSENT]
    inputs += [("past_k", f"b,{HEADS},p,{SIZE}", None), ("past_v", f"b,{HEADS},p,{SIZE}", None)] if past else []
    while inputs[-1] is ABSENT:
        inputs.pop()
    made = []
    for number, (batch, queries, keys, old) in enumerate(sets):
        total = keys + old
        size = {"b": batch, "s": queries, "t": keys, "T": total, "p": old}
        shape = lambda text: [size.get(d) or int(d) if d not in size else size[d] for d in text.split(",")]
        values = {n: rand(*shape(d), seed=number + 50 + i) for i, (n, d, _) in enumerate(inputs) if n and d and n not in ("mask", "w")}
        if mask == "n":
            values["mask"] = (1 + np.arange(batch) % total).astype(np.int32)
        elif mask == "3*b+2":
            ends = (1 + np.arange(batch) % total).astype(np.int32)
            values["mask"] = np.concatenate([ends, np.arange(2 * batch + 2)]).astype(np.int32)
        elif mask:
            values["mask"] = ints(0, 2, *shape(mask), seed=number, dtype=np.int32)
            values["mask"][..., 0] = 1
        made.append(values)
    return Case(f"mha {name}", "MultiHeadAttention", inputs, {o: F32 for o in outputs}, made, attributes, reference=reference)


PLAIN = [(2, 5, 5, 0), (1, 1, 1, 0), (3, 17, 17, 0)]
CROSS = [(2, 3, 7, 0), (1, 1, 20, 0), (2, 5, 1, 0)]
STEPS = [(2, 1, 1, 6), (1, 1, 1, 0), (1, 4, 4, 3), (2, 5, 5, 0)]


def of_lengths(q, k, v, mask):
    """Three separate operands and a mask whose first elements are lengths."""
    split = lambda x: x.reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)
    ends = mask[: len(q)]
    return {"y": multi_head(split(q), split(k), split(v), np.arange(k.shape[1]) < ends[:, None, None, None])}


def of_packed(q):
    wide = HEADS * SIZE
    heads = (q + rand(3 * wide, seed=7).reshape(3, HEADS, SIZE).transpose(1, 0, 2)).transpose(3, 0, 2, 1, 4)
    return {"y": multi_head(*heads)}


def of_packed_keys(q, k):
    k, v = k.transpose(3, 0, 2, 1, 4)
    return {"y": multi_head(q.reshape(*q.shape[:2], HEADS, -1).transpose(0, 2, 1, 3), k, v)}


def multi_head_cases():
    yield mha("plain", PLAIN, bias=True)
    yield mha("cross", CROSS, bias=True, sizes=(HEADS * SIZE, HEADS * 8), scale=0.4)
    yield mha("packed", PLAIN, kind="packed", bias=True, reference=of_packed)
    yield mha("keys", CROSS, kind="keys", reference=of_packed_keys)
    yield mha("encoder", CROSS, kind="cross")
    yield mha("past", STEPS, past=True, bias=True, outputs=("y", "pk", "pv"))
    yield mha("unidirectional", STEPS, past=True, unidirectional=1, outputs=("y", "pk", "pv"))
    yield mha("mask of lengths", CROSS, mask="n")
    yield mha("mask of lengths and offsets", CROSS, mask="3*b+2", reference=of_lengths)
    yield mha("mask of keys", STEPS, past=True, mask="b,T", outputs=("y", "pk", "pv"))
    yield mha("mask of scores", CROSS, mask="b,s,T", mask_filter_value=-50.0)
    yield mha("bias", CROSS, attention_bias="b,4,s,T", mask="b,T")
    yield mha("bias broadcast", STEPS, past=True, attention_bias="1,1,s,T", unidirectional=1, outputs=("y", "pk", "pv", "qk"))


#===------------------------------------------------------------------------===#
# Attention
#===------------------------------------------------------------------------===#


def attention(name, sets, *, hidden=24, past=False, mask=None, bias=None, reference=None, buffer=0, **attributes):
    """One Attention with its projection; sets lists (batch, queries, past)."""
    wide = HEADS * SIZE
    sizes = attributes.get("qkv_hidden_sizes", [wide] * 3)
    attributes = {"num_heads": HEADS, **attributes}
    inputs = [("x", f"b,s,{hidden}", None), weight("w", rand(hidden, sum(sizes), seed=3, scale=0.3)), weight("c", rand(sum(sizes), seed=4))]
    inputs += [("mask", mask, None) if mask else ABSENT]
    inputs += [("past", f"2,b,{HEADS},{buffer or 'p'},{SIZE}", None) if past else ABSENT]
    inputs += [("bias", bias, None) if bias else ABSENT]
    inputs += [("length", "1", None)] if buffer else []
    while inputs[-1] is ABSENT:
        inputs.pop()
    made = []
    for number, (batch, queries, old) in enumerate(sets):
        total = queries + old
        values = {"x": rand(batch, queries, hidden, seed=number)}
        if mask == "n" or mask == "2*b":
            ends = np.maximum(total - np.arange(batch) % 3, 1)
            starts = np.minimum(np.arange(batch) % 2, ends - 1)
            values["mask"] = np.concatenate([ends, starts] if mask == "2*b" else [ends]).astype(np.int32)
        elif mask:
            shape = [{"b": batch, "s": queries, "T": total}.get(d) or int(d) for d in mask.split(",")]
            values["mask"] = ints(0, 2, *shape, seed=number, dtype=np.int32)
            values["mask"][..., 0] = 1
        if past:
            values["past"] = rand(2, batch, HEADS, buffer or old, SIZE, seed=number + 5)
        if bias:
            shape = [{"b": batch, "s": queries, "T": total}.get(d) or int(d) for d in bias.split(",")]
            values["bias"] = rand(*shape, seed=number + 6)
        if buffer:
            values["length"] = np.array([old], np.int32)
        made.append(values)
    outputs = {"y": F32, "present": F32} if past else {"y": F32}
    return Case(f"attention {name}", "Attention", inputs, outputs, made, attributes, reference=reference)


def over_square_mask(x, mask, past):
    """The projection of `attention`, its past, and a mask over a longest sequence."""
    wide = HEADS * SIZE
    projected = x @ rand(24, 3 * wide, seed=3, scale=0.3) + rand(3 * wide, seed=4)
    q, k, v = (p.reshape(*x.shape[:2], HEADS, SIZE).transpose(0, 2, 1, 3) for p in np.split(projected, 3, axis=2))
    k, v = np.concatenate([past[0], k], axis=2), np.concatenate([past[1], v], axis=2)
    part = mask[:, :, k.shape[2] - q.shape[2] : k.shape[2], : k.shape[2]] > 0
    return {"y": multi_head(q, k, v, part), "present": np.stack([k, v])}


def in_buffer(x, past, length):
    """Attention on a past buffer of which `length` rows are filled."""
    wide, used = HEADS * SIZE, int(length[0])
    projected = x @ rand(24, 3 * wide, seed=3, scale=0.3) + rand(3 * wide, seed=4)
    q, k, v = (p.reshape(*x.shape[:2], HEADS, SIZE).transpose(0, 2, 1, 3) for p in np.split(projected, 3, axis=2))
    present = past.copy()
    present[0, :, :, used : used + k.shape[2]], present[1, :, :, used : used + k.shape[2]] = k, v
    end = used + k.shape[2]
    return {"y": multi_head(q, present[0][:, :, :end], present[1][:, :, :end], unidirectional=True), "present": present}


def projected_cases():
    sets = [(2, 5, 0), (1, 1, 0), (3, 9, 0)]
    steps = [(2, 1, 6), (1, 3, 4), (2, 5, 0)]
    yield attention("plain", sets)
    yield attention("sizes", sets, qkv_hidden_sizes=[64, 64, 32], scale=0.3)
    yield attention("lengths", sets, mask="n")
    yield attention("ends and starts", sets, mask="2*b")
    yield attention("mask of keys", sets, mask="b,T", mask_filter_value=-100.0)
    yield attention("mask of scores", sets, mask="b,s,T")
    yield attention("past", steps, past=True, unidirectional=1)
    yield attention("past mask", steps, past=True, unidirectional=1, mask="b,T")
    yield attention("square mask", steps, past=True, mask="b,1,12,12", reference=over_square_mask)
    yield attention("buffer", steps, past=True, unidirectional=1, buffer=16, past_present_share_buffer=1, reference=in_buffer)


#===------------------------------------------------------------------------===#
# PagedAttention
#===------------------------------------------------------------------------===#


def paged(name, runs, *, packed=False, rotary=False, **attributes):
    """`runs` lists, per set of inputs, the new tokens and the past of each sequence."""
    attributes = {"num_heads": HEADS, "kv_num_heads": KV, **attributes}
    angle = np.arange(32)[:, None] / 10.0 ** np.arange(SIZE // 2)
    caches = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    wide = (HEADS + 2 * KV) * SIZE if packed else HEADS * SIZE
    inputs = [("q", f"n,{wide}", None)] + ([ABSENT, ABSENT] if packed else [("k", f"n,{KV * SIZE}", None), ("v", f"n,{KV * SIZE}", None)])
    inputs += [("kc", f"c,4,{KV},{SIZE}", None), ("vc", f"c,4,{KV},{SIZE}", None), ("sums", "b1", None), ("past", "b", None), ("table", "b,m", None)]
    if rotary:
        attributes["do_rotary"] = 1
        inputs += [weight("cos", caches[0]), weight("sin", caches[1])]

    def reference(q, kc, vc, sums, past, table, k=None, v=None):
        if k is None:
            q, k, v = np.split(q, [HEADS * SIZE, (HEADS + KV) * SIZE], axis=1)
        kc, vc, y = kc.astype(np.float64), vc.astype(np.float64), np.zeros(q.shape)
        for b, before in enumerate(past):
            mine, at = slice(sums[b], sums[b + 1]), before + np.arange(sums[b + 1] - sums[b])
            if not len(at):
                continue
            heads = lambda x, h: x[mine].astype(np.float64).reshape(-1, h, SIZE).transpose(1, 0, 2)[None]
            new_q, new_k, new_v = heads(q, HEADS), heads(k, KV), heads(v, KV)
            if rotary:
                new_q, new_k = (rotated(x, *caches, at[None], attributes.get("rotary_interleaved", 0)) for x in (new_q, new_k))
            for cache, new in ((kc, new_k), (vc, new_v)):
                cache[table[b][at // 4], at % 4] = new[0].transpose(1, 0, 2)
            rows = np.arange(at[-1] + 1)
            keys, values = (np.repeat(cache[table[b][rows // 4], rows % 4].transpose(1, 0, 2), HEADS // KV, axis=0) for cache in (kc, vc))
            scores = new_q[0] @ keys.swapaxes(1, 2) * (attributes.get("scale", 0) or SIZE ** -0.5)
            if cap := attributes.get("softcap", 0):
                scores = cap * np.tanh(scores / cap)
            window = attributes.get("local_window_size", -1)
            scores = np.where((rows <= at[:, None]) & ((window <= 0) | (rows > at[:, None] - window)), scores, -np.inf)
            e = np.exp(scores - scores.max(-1, keepdims=True))
            y[mine] = (e / e.sum(-1, keepdims=True) @ values).transpose(1, 0, 2).reshape(len(at), -1)
        return {"y": y.astype(np.float32), "ko": kc.astype(np.float32), "vo": vc.astype(np.float32)}

    sets = []
    for number, (added, past) in enumerate(runs):
        tokens, pages = sum(added), max(-(-(a + p) // 4) for a, p in zip(added, past))
        order = np.random.default_rng(number).permutation(3 * pages)
        table = order[: len(past) * pages].reshape(len(past), pages).astype(np.int32)
        values = {"q": rand(tokens, wide, seed=number)}
        if not packed:
            values |= {"k": rand(tokens, KV * SIZE, seed=number + 10), "v": rand(tokens, KV * SIZE, seed=number + 20)}
        values["kc"], values["vc"] = rand(2, 3 * pages, 4, KV, SIZE, seed=number + 30)
        for b, (a, p) in enumerate(zip(added, past)):
            used = -(-(a + p) // 4)
            values["vc"][table[b, used - 1], (a + p - 1) % 4 + 1:] = np.nan  # behind the end
            table[b, used:] = -1
        values["sums"] = np.cumsum([0, *added]).astype(np.int32)
        values["past"], values["table"] = np.array(past, np.int32), table
        sets.append(values)
    return Case(f"paged {name}", "PagedAttention", inputs, {"y": F32, "ko": F32, "vo": F32}, sets, attributes, reference=reference)


def paged_cases():
    yield paged("chunks and tokens", [((5, 1, 3), (0, 9, 4)), ((1, 1), (3, 4)), ((7,), (0,)), ((1, 0, 2), (2, 3, 0))], rotary=True)
    yield paged("packed window", [((2, 6), (5, 0))], packed=True, local_window_size=3, softcap=20.0, scale=0.3)


#===------------------------------------------------------------------------===#
# RotaryEmbedding
#===------------------------------------------------------------------------===#


def rotary(name, dims, sets, *, offset=False, half=SIZE // 2, **attributes):
    angle = np.arange(32)[:, None] / 10.0 ** np.arange(half)
    inputs = [("x", dims, None), ("at", "1" if offset else "b,s", None)]
    inputs += [weight("cos", np.cos(angle).astype(np.float32)), weight("sin", np.sin(angle).astype(np.float32))]
    made = []
    for number, shape in enumerate(sets):
        length = shape[-2]
        at = np.array([number + 2]) if offset else ints(0, 32, shape[0], length, seed=number)
        made.append({"x": rand(*shape, seed=number), "at": at})
    return Case(f"rotary {name}", "RotaryEmbedding", inputs, {"y": F32}, made, attributes)


def multimodal(positions, layout, section):
    angle = np.arange(32)[:, None] / 10.0 ** np.arange(SIZE // 2)
    pair = np.arange(SIZE // 2)
    if layout:
        which = np.where((pair % 3 == 1) & (pair < 3 * section[1]), 1, np.where((pair % 3 == 2) & (pair < 3 * section[2]), 2, 0))
    else:
        which = np.repeat([0, 1, 2], section)
    table = angle[positions]  # [3, B, S, half]
    return np.take_along_axis(table, which[None, None, None], axis=0)[0]


def multimodal_case(layout):
    section = [3, 3, 2]
    angle = np.arange(32)[:, None] / 10.0 ** np.arange(SIZE // 2)
    inputs = [("x", f"b,s,{2 * SIZE}", None), ("at", "3,b,s", None)]
    inputs += [weight("cos", np.cos(angle).astype(np.float32)), weight("sin", np.sin(angle).astype(np.float32))]
    sets = [{"x": rand(2, 5, 2 * SIZE), "at": ints(0, 32, 3, 2, 5)}, {"x": rand(1, 1, 2 * SIZE), "at": ints(0, 32, 3, 1, 1)}]
    attributes = {"mrope_section": section, "mrope_layout": layout, "num_heads": 2, "rotary_embedding_dim": SIZE}
    return Case(f"rotary multimodal {layout}", "MRotaryEmbedding", inputs, {"y": F32}, sets, attributes)


def rotary_cases():
    merged = [(2, 5, 2 * SIZE), (1, 1, 2 * SIZE)]
    yield rotary("merged", f"b,s,{2 * SIZE}", merged)
    yield rotary("merged offset", f"b,s,{2 * SIZE}", merged, offset=True, interleaved=1)
    yield rotary("heads", f"b,2,s,{SIZE}", [(2, 2, 5, SIZE), (1, 2, 1, SIZE)])
    yield rotary("partial", f"b,s,{2 * SIZE}", merged, half=4, num_heads=2, rotary_embedding_dim=8)
    yield rotary("scaled", f"b,s,{2 * SIZE}", merged, scale=2.0)
    yield multimodal_case(0)
    yield multimodal_case(1)


def attention_cases():
    yield from group_query_cases()
    yield from multi_head_cases()
    yield from projected_cases()
    yield from paged_cases()
    yield from rotary_cases()
