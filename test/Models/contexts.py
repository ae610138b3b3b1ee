#!/usr/bin/env python3
#===- contexts.py - long contexts, shared key heads, windows ---------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Few queries behind many keys: the bits of many queries, and exact numbers, of
query heads that share key heads; and windows, whose pages a pool takes back.

usage: contexts.py [--tenon PATH] [--part N/M] [SUBSTRING...]
"""

import json

import numpy as np
import onnx

from pages import Paged, refused
from session import HELD, Session
from states import INVALID_STATE, PLACES, State, model_of
from tool import Checks, Failure

HEADS, KEYS, SIZE, WINDOW, CAPACITY, BATCH = 6, 2, 64, 70, 512, 2
PASTS = ("past_k", "past_v")
NEAR = f"""  window = Constant <value = int64 {{{WINDOW}}}> ()
  far = Sub (place, window)
  near = Greater (columns, far)
  seen = And (causal, near)
"""
GIVEN = """  inner = Constant <value = int64[2] {1, 2}> ()
  whole = Cast <to = 9> (mask)
  wide = Unsqueeze (whole, inner)
  seen = And (causal, wide)
"""


def text(name, mask, seen):
    share = lambda kind: f"""  {kind}5 = Unsqueeze (present_{kind}, twos)
  {kind}x = Expand ({kind}5, repeats)
  {kind}h = Reshape ({kind}x, heads)
"""
    return f"""<ir_version: 10, opset_import: ["" : 20]>
{name} (float[b,{HEADS},s,{SIZE}] q, float[b,{KEYS},s,{SIZE}] k, float[b,{KEYS},s,{SIZE}] v{mask},
        float[b,{KEYS},p,{SIZE}] past_k, float[b,{KEYS},p,{SIZE}] past_v)
  => (float[b,{HEADS},s,{SIZE}] y, float[b,{KEYS},m,{SIZE}] present_k, float[b,{KEYS},m,{SIZE}] present_v) {{
{PLACES}  ones = Constant <value = int64[1] {{1}}> ()
  twos = Constant <value = int64[1] {{2}}> ()
  low = Constant <value = float {{-3e38}}> ()
  repeats = Constant <value = int64[5] {{1, 1, {HEADS // KEYS}, 1, 1}}> ()
  heads = Constant <value = int64[4] {{0, {HEADS}, -1, {SIZE}}}> ()
  place = Unsqueeze (at, ones)
  causal = LessOrEqual (columns, place)
{seen}  present_k = Concat <axis = 2> (past_k, k)
  present_v = Concat <axis = 2> (past_v, v)
{share("k")}{share("v")}  kt = Transpose <perm = [0, 1, 3, 2]> (kh)
  scores = MatMul (q, kt)
  masked = Where (seen, scores, low)
  weights = Softmax <axis = -1> (masked)
  y = MatMul (weights, vh)
}}"""


def tokens(at, new):
    """The same whenever they are asked for."""
    rows = [np.random.default_rng(row).standard_normal((BATCH, HEADS + 2 * KEYS, SIZE)).astype(np.float32) for row in range(at, at + new)]
    heads = np.stack(rows, axis=2)
    return {"q": heads[:, :HEADS], "k": heads[:, HEADS : HEADS + KEYS], "v": heads[:, HEADS + KEYS :]}


def run(session, at, new, mask=None):
    inputs = tokens(at, new) | dict.fromkeys(PASTS, HELD)
    if mask is not None:
        inputs["mask"] = mask[:, : at + new].astype(np.int64)
    return session.run(inputs, {name: port for name, port in session.outputs().items() if name == "y"})["y"]


def exact(at, new, seen):
    """In f64; `seen`: which keys rows [at, at + new) of each sequence look at."""
    every = {name: value.astype(np.float64) for name, value in tokens(0, at + new).items()}
    q, k, v = every["q"][:, :, at:], *(np.repeat(every[name], HEADS // KEYS, axis=1) for name in "kv")
    scores = np.where(seen[:, None], q @ k.transpose(0, 1, 3, 2), -3e38)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v


def same(found, expected, what):
    if found.tobytes() != np.ascontiguousarray(expected).tobytes():
        raise Failure(f"{what}: other bits, the largest difference is {np.abs(found - expected).max()}")


def near(found, expected, what):
    if not np.allclose(found, expected, 1e-5, 1e-5):
        raise Failure(f"{what}: the largest difference is {np.abs(found - expected).max()}")


def long(tool):
    path, total = tool.file("long.onnx"), 300
    model = model_of(text("long", ", int64[b,n] mask", GIVEN))
    next(value for value in model.graph.input if value.name == "mask").type.tensor_type.shape.dim[1].dim_param = "p + s"
    onnx.save(model, path)
    # Values in pages, and in rows.
    paged, _ = tool.compile(path, "-O1", "--kv=f32")
    rows, _ = tool.compile(path, "-O1")
    sessions = [Session(paged, 1), Session(paged, 3), Session(rows, 2)]
    states = [State(session, CAPACITY, sequences=BATCH) for session in sessions]
    causal = np.arange(total + 1) <= np.arange(total + 1)[:, None]
    # The first 270 keys of one sequence are padding: a part of the keys that has none for it.
    ones, padded = np.ones((BATCH, total + 1), bool), np.ones((BATCH, total + 1), bool)
    padded[1, :270] = False
    for name, mask in (("all keys", ones), ("padding", padded)):
        for session, state in zip(sessions, states):
            state.bind()
            session.check(state.set_length(0))
            whole = run(session, 0, total, mask)
            near(whole[:, :, 296:], exact(296, 4, (causal & mask[:, None])[:, 296:total, :total]), name)
            for parts in ((1, 1, 1, 1), (3, 1), (4,)):
                session.check(state.set_length(296))
                at = 296
                for new in parts:
                    same(run(session, at, new, mask), whole[:, :, at : at + new], f"{name}: {new} tokens behind {at}")
                    at += new
    nothing = ones.copy()
    nothing[0] = False  # a row that looks at nothing has all keys alike
    seen = (causal & nothing[:, None])[:, total:]
    near(run(sessions[0], total, 1, nothing), exact(total, 1, seen), "a row that is masked whole")
    for session in sessions:
        session.close()


def window(tool):
    path, pages = tool.file("window.onnx"), 12
    onnx.save(model_of(text("window", "", NEAR)), path)
    artifact, _ = tool.compile(path, "-O1", "--kv=int8")
    states = json.loads(tool.expect_success("inspect", "--json", artifact).stdout)["states"]
    if [state.get("window") for state in states] != [WINDOW] * 2:
        raise Failure(f"inspect does not tell the window: {states}")
    alone, session = Session(artifact), Session(artifact, 2)
    state, pool = State(alone, CAPACITY, sequences=BATCH), Paged(session, BATCH, CAPACITY, pages)
    state.bind()
    pool.bind(1, 0)
    whole, at = run(alone, 0, 400), 0
    for new in (60, 1, 60, 60, 90, 40, 1, 1, 17, 1, 60, 1, 1, 1):  # 13 pages each, were none given back
        same(run(session, at, new), whole[:, :, at : at + new], f"{new} tokens behind {at}")
        at += new
    if pool.free() != pages - 2 * 3:
        raise Failure(f"{pool.free()} of {pages} pages are free behind {at} tokens")
    refused(session, pool.set_length(300, 1), INVALID_STATE, "sequence 1: 300 rows, expected 0 or at least 389: ")
    for back in (392, 390):
        session.check(pool.set_length(back))
        same(run(session, back, 2), whole[:, :, back : back + 2], "after a roll back")
    for each in (alone, session):
        each.close()


def main():
    checks = Checks(__doc__.splitlines()[0])
    tool = checks.tool()
    checks.attempt("long", long, tool)
    checks.attempt("window", window, tool)
    checks.finish()


if __name__ == "__main__":
    main()
