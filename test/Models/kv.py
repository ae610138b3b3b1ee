#!/usr/bin/env python3
#===- kv.py - pasts that a state keeps in fewer bits -----------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""tenon compile --kv: what attention reads is the rounded rows, and its bits are
the same with a state and without, in any chunks, after a roll-back.

usage: kv.py [--tenon PATH] [--part N/M] [SUBSTRING...]
"""

import ctypes

import numpy as np
import onnx

from session import HELD, Session
from states import BATCH, HEADS, INVALID_STATE, SIZE, State, StateInfo, equal, model_of, tokens, with_state
from tool import Checks, Failure

ROOM = 96  # whole pages
# One that grows, whose keys are scaled as torch's exports do it, and a buffer.
MODEL = f"""<ir_version: 10, opset_import: ["" : 20, "com.microsoft" : 1]>
kept (float[b,{HEADS},s,{SIZE}] q, float[b,{HEADS},s,{SIZE}] k, float[b,{HEADS},s,{SIZE}] v,
      float[b,s,64] hq, float[b,s,{SIZE}] hk, float[b,s,{SIZE}] hv, int32[b] seqlens, int32[1] total,
      float[b,{HEADS},p,{SIZE}] past_k, float[b,{HEADS},p,{SIZE}] past_v, float[b,1,c,{SIZE}] past_gk, float[b,1,c,{SIZE}] past_gv)
  => (float[b,{HEADS},s,{SIZE}] y, float[b,s,64] gy, float[b,{HEADS},n,{SIZE}] present_k, float[b,{HEADS},n,{SIZE}] present_v,
      float[b,1,c,{SIZE}] present_gk, float[b,1,c,{SIZE}] present_gv) {{
  present_k = Concat <axis = 2> (past_k, k)
  present_v = Concat <axis = 2> (past_v, v)
  kt = Transpose <perm = [0, 1, 3, 2]> (present_k)
  scale = Constant <value = float {{0.35}}> ()
  keys = Mul (kt, scale)
  scores = MatMul (q, keys)
  p1 = Softmax <axis = -1> (scores)
  y = MatMul (p1, present_v)
  gy, present_gk, present_gv = com.microsoft.GroupQueryAttention <num_heads = 2, kv_num_heads = 1> (hq, hk, hv, past_gk, past_gv, seqlens, total)
}}"""
PAIRS = {"past_k": "present_k", "past_v": "present_v", "past_gk": "present_gk", "past_gv": "present_gv"}
# Past a page's end, and several at once.
CHUNKS = (3, 1, 40, 1, 2, 18, 1)
AXES = {"q": 2, "k": 2, "v": 2, "hq": 1, "hk": 1, "hv": 1}
BYTES = {"f32": 4, "bf16": 2, "f16": 2, "int8": 1}
DTYPES = {"f32": 1, "bf16": 16, "f16": 10, "int8": 3}


def rounded(rows, kv):
    """What is kept of rows of f32."""
    if kv == "f16":
        return rows.astype(np.float16).astype(np.float32)
    if kv == "bf16":  # to nearest, ties to even
        bits = rows.view(np.uint32).astype(np.uint64)
        return ((bits + 0x7FFF + (bits >> 16 & 1)).astype(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    if kv == "int8":
        largest = np.abs(rows).max(-1, keepdims=True)
        return np.rint(rows * (np.float32(127) / largest)) * (largest / np.float32(127))
    return rows


def attention(q, k, v):
    scores = 0.35 * (q.astype(np.float64) @ k.swapaxes(-1, -2).astype(np.float64))
    p = np.exp(scores - scores.max(-1, keepdims=True))
    return (p / p.sum(-1, keepdims=True)) @ v


def joined(chunks):
    """The inputs of several runs as those of one."""
    return {name: np.concatenate([chunk[name] for chunk in chunks], AXES[name]) if name in AXES else chunks[-1][name]
            for name in chunks[0]}


def info_of(session, index):
    info = StateInfo(size=ctypes.sizeof(StateInfo))
    session.check(session.call("state_info", session.model, index, ctypes.byref(info)))
    return info


def keep(tool, path, kv, options, others):
    artifact, _ = tool.compile(path, "-O1", f"--kv={kv}", *options)
    held, plain = Session(artifact, 2), Session(artifact, 1)
    names = {value.name for value in onnx.load(path).graph.input}
    held.input_names = plain.input_names = names - set(PAIRS)
    for index, heads in enumerate((HEADS, HEADS, 1, 1)):
        info = info_of(held, index)
        wanted = heads * (SIZE * BYTES[kv] + (4 if kv == "int8" else 0))
        if (info.format, info.row_bytes, info.page_rows, info.panel_rows) != (DTYPES[kv], wanted, 32, 0 if index % 2 else 32):
            raise Failure(f"state {index}: format {info.format}, {info.row_bytes} bytes a row, pages of {info.page_rows}, "
                          f"panels of {info.panel_rows} rows")
    state, again = State(held, ROOM - 5), State(held, ROOM)
    state.bind()
    pasts = {name: np.zeros((BATCH, 1 if "g" in name else HEADS, ROOM if "g" in name else 0, SIZE), np.float32) for name in PAIRS}
    at, runs, given = 0, [], []
    for new in CHUNKS:
        inputs = {name: value for name, value in tokens(at, new).items() if name in held.input_names}
        expected = plain.run(inputs | pasts, plain.outputs())
        found = with_state(held, state, PAIRS, at, new)
        equal(found, expected, f"{new} tokens behind {at}")
        pasts = {past: expected[present] for past, present in PAIRS.items()}
        right = attention(inputs["q"], rounded(pasts["past_k"], kv), rounded(pasts["past_v"], kv))
        if not np.allclose(found["y"], right, 1e-4, 1e-4):
            raise Failure(f"{new} tokens behind {at}: 'y' differs by {np.abs(found['y'] - right).max()} from that of the rounded rows")
        runs.append((at, new, found))
        given.append(inputs)
        at += new

    # The same rows in one run, as another chunk, and after a roll-back.
    last = CHUNKS[-1]
    outputs = {name: port for name, port in held.outputs().items() if name not in PAIRS.values()}
    for first in (0, 2, 5):
        again.bind()
        if first:
            for row in range(BATCH):
                again.call("copy_state", again.state, row, state.state, row, runs[first][0])
        held.check(again.set_length(runs[first][0]))
        all_at_once = joined(given[first:]) | dict.fromkeys(PAIRS, HELD)
        found = held.run(all_at_once, outputs)
        behind = {"y": found["y"][:, :, -last:], "gy": found["gy"][:, -last:]}
        equal(behind, runs[-1][2], f"in one run from {runs[first][0]} on")
    for status, wanted in [(held.call("bind_state", held.context, other.state), INVALID_STATE) for other in others]:
        if status != wanted or "or formats, of it" not in held.error.value.decode():
            raise Failure(f"a state of another format: status {status}, {held.error.value.decode()}")
    others.append(again)
    plain.close()


def says(tool, path):
    """What the tools tell, and refuse."""
    said = tool.expect_success("compile", "-v", path, "-o", tool.file("told.so"), "-O0", "--kv=int8").stderr
    shown = tool.expect_success("inspect", tool.file("told.so")).stdout
    if "is kept as it is" in said or "past_v -> present_v: grows along dim 2, int8, 72 bytes a row" not in shown:
        raise Failure(f"{said}\n{shown}")
    as_json = tool.expect_success("inspect", "--json", tool.file("told.so")).stdout
    if '"format": "int8"' not in as_json or '"bytes_per_token": 216' not in as_json:
        raise Failure(as_json)
    # Rows that something else reads stay as they are.
    other = model_of("""<ir_version: 10, opset_import: ["" : 20]>
      read (float[b,2,p,8] past, float[b,2,s,8] k) => (float[b,2,8] sum, float[b,2,n,8] present) {
        present = Concat <axis = 2> (past, k)
        axis = Constant <value = int64[1] {2}> ()
        sum = ReduceSum <keepdims = 0> (present, axis)
      }""")
    onnx.save(other, tool.file("read.onnx"))
    said = tool.expect_success("compile", "-v", tool.file("read.onnx"), "-o", tool.file("read.so"), "-O0", "--kv=f16").stderr
    for text in ("input 'past' is kept as it is", "warning: --kv=f16 changes nothing"):
        if text not in said:
            raise Failure(f"compile -v does not say '{text}'\n{said}")
    for options, text in ((("--kv=f64",), "--kv=f64: expected f32, bf16, f16 or int8"),
                          (("--kv=f16", "--state=off"), "--kv=f16: with --state=off there is no memory of pasts")):
        result = tool.call("compile", path, "-o", tool.file("none.so"), *options)
        if result.returncode == 0 or text not in result.stderr:
            raise Failure(f"{options}: {result.stderr}")


def main():
    checks = Checks(__doc__.splitlines()[0])
    tool = checks.tool()
    path, others = tool.file("kept.onnx"), []
    onnx.save(model_of(MODEL), path)
    for kv in BYTES:
        checks.attempt(kv, keep, tool, path, kv, (), others)
    checks.attempt("f16, without instructions for it", keep, tool, path, "f16", ("--target=x86-64-v2",), [])
    checks.attempt("what is told", says, tool, path)
    checks.finish()


if __name__ == "__main__":
    main()
