#===- contrib_attention.py - cases of com.microsoft's attention ------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""GroupQueryAttention, MultiHeadAttention, Attention and RotaryEmbedding."""

import itertools

import numpy as np

from contrib_case import ABSENT, F16, F32, I32, Case, ints, rand, weight


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
    # What onnxruntime refuses: a past with several rows and several queries, a
    # rotation of less than 16 elements, norms of the heads, no causal mask.
    yield gqa("wide", WIDE, past=True, rotary=SIZE, numpy=True)
    yield gqa("wide buffer", WIDE, share=24, rotary=SIZE, numpy=True)
    yield gqa("wide buffer window", WIDE, share=24, rotary=8, packed=True, local_window_size=3, numpy=True)
    yield gqa("partial rotary", MIXED, past=True, rotary=12, numpy=True)
    yield gqa("norms", MIXED, past=True, rotary=SIZE, norms=True, numpy=True)
    yield gqa("unmasked", MIXED, past=True, causal=0, numpy=True)
    yield gqa("unmasked ragged", RAGGED, share=16, causal=0, numpy=True)


def attention_cases():
    yield from group_query_cases()
