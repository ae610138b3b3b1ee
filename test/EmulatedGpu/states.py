#!/usr/bin/env python3
# ===- states.py - states on the emulated GPU ------------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Pasts that grow, buffers and replaced states, on a GPU and beside a CPU's.

A run with a state gives the bits of one whose tensors are copied; what it brings
down does not depend on how long the past is; rows come back when the state is
unbound, and a context on the CPU goes on with them. Pools of pages, and sequences
of unequal lengths, are the CPU's own tests on a GPU.
"""

import os
import re
import sys

import numpy as np
import onnx

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "Models"))
os.environ["TENON_EMU_SM"] = "90"

import gpu as emulated  # noqa: E402
import lengths  # noqa: E402
import pages  # noqa: E402
from session import HELD, Session  # noqa: E402
from states import ATTENTION, State, equal, model_of  # noqa: E402
from tool import Checks, Failure  # noqa: E402

BUSY = 11
MODEL = """<ir_version: 10, opset_import: ["" : 20, "com.microsoft" : 1]>
decoder (float[b,2,s,32] q, float[b,2,s,32] k, float[b,2,s,32] v, float[b,s,64] hq, float[b,s,32] hk, float[b,s,32] hv,
         int32[b] seqlens, int32[1] total, float[b,6,s] x,
         float[b,2,p,32] past_k, float[b,2,p,32] past_v, float[b,1,c,32] past_gk, float[b,1,c,32] past_gv, float[b,6,3] past_conv)
  => (float[b,2,s,32] y, float[b,s,64] gy, float[b,6] sums,
      float[b,2,n,32] present_k, float[b,2,n,32] present_v, float[b,1,c,32] present_gk, float[b,1,c,32] present_gv, float[b,6,3] present_conv) {
""" + ATTENTION + """  gy, present_gk, present_gv = com.microsoft.GroupQueryAttention <num_heads = 2, kv_num_heads = 1> (hq, hk, hv, past_gk, past_gv, seqlens, total)
  two = Constant <value = int64[1] {2}> ()
  m3 = Constant <value = int64[1] {-3}> ()
  far = Constant <value = int64[1] {9223372036854775807}> ()
  columns = Concat <axis = 2> (past_conv, x)
  sums = ReduceSum <keepdims = 0> (columns, two)
  present_conv = Slice (columns, m3, far, two)
}"""
PAIRS = {"past_k": "present_k", "past_v": "present_v", "past_gk": "present_gk", "past_gv": "present_gv", "past_conv": "present_conv"}
BATCH, ROOM = 2, 64


def tokens(at, new):
    draw = np.random.default_rng(at)
    floats = lambda *dims: draw.standard_normal(dims).astype(np.float32)
    return {"q": floats(BATCH, 2, new, 32), "k": floats(BATCH, 2, new, 32), "v": floats(BATCH, 2, new, 32), "hq": floats(BATCH, new, 64),
            "hk": floats(BATCH, new, 32), "hv": floats(BATCH, new, 32), "seqlens": np.full(BATCH, at + new - 1, np.int32),
            "total": np.array([at + new], np.int32), "x": floats(BATCH, 6, new)}


def decode(tool, device, targets, *options):
    path = tool.file("decoder.onnx")
    onnx.save(model_of(MODEL), path)
    artifact, _ = tool.compile(path, "-O1", "--ptxas=none", f"--target={targets}", *options)
    held, plain = Session(artifact, device="cuda"), Session(artifact, device="cuda")
    ports = {name: port for name, port in plain.outputs().items() if name not in PAIRS.values()}
    state = State(held, ROOM)

    def bind(session, to):
        return session.call("bind_state", session.context, to)

    def step(session, at, new):
        return session.run(tokens(at, new) | dict.fromkeys(PAIRS, HELD), ports)

    held.check(bind(held, state.state))
    pasts = {"past_k": np.zeros((BATCH, 2, 0, 32), np.float32), "past_gk": np.zeros((BATCH, 1, ROOM, 32), np.float32),
             "past_conv": np.zeros((BATCH, 6, 3), np.float32)}
    pasts |= {"past_v": pasts["past_k"], "past_gv": pasts["past_gk"]}
    at, runs = 0, []
    for new in (33, 1, 1, 3):
        expected = plain.run(tokens(at, new) | pasts, plain.outputs())
        equal(step(held, at, new), expected, f"{new} tokens behind {at}")
        runs.append((at, new, expected))
        pasts = {past: expected[present] for past, present in PAIRS.items()}
        at += new
    for call in (lambda: state.try_call("copy_state", state.state, 0, state.state, 1, at), lambda: bind(plain, state.state)):
        if call() != BUSY or b"lies on the GPU of a context" not in held.error.value + plain.error.value:
            raise Failure("a state on a GPU was used elsewhere")
    held.check(bind(held, None))
    for number, past in enumerate(PAIRS):
        if options and number < 4:
            continue
        if state.data(number, pasts[past], 2).tobytes() != pasts[past].tobytes():
            raise Failure(f"of '{past}' other bits came back")

    # Another GPU's context goes on, with a copy.
    copied = State(held, ROOM)
    for row in range(BATCH):
        copied.call("copy_state", copied.state, row, state.state, row, at)
    plain.check(bind(plain, copied.state))
    more = plain.run(tokens(at, 1) | dict.fromkeys(PAIRS, HELD), ports)
    held.check(bind(held, state.state))
    equal(step(held, at, 1), more, "after a copy")
    if "native" in targets:
        host = Session(artifact)
        held.check(bind(held, None))
        plain.check(bind(plain, None))
        host.check(bind(host, copied.state))
        found = step(host, at + 1, 1)
        held.check(bind(held, state.state))
        for name, value in step(held, at + 1, 1).items():
            if not np.allclose(value, found[name], 1e-4, 1e-4):
                raise Failure(f"'{name}' differs on the CPU")
        host.close()
    if device.report()[0]:
        raise Failure(device.report()[1])
    for session in (held, plain):
        session.close()


ORDERS = re.compile(rb"(bar\.sync|bar\.warp\.sync|fence\.acq_rel)[^;]*;")


def faults(tool, device, path):
    """Of an attention whose blocks share out the keys whatever orders threads or blocks is left out, one after the other."""
    artifact, _ = tool.compile(path, "-O1", "--ptxas=none", "--target=nvptx:sm_90a")
    draw = np.random.default_rng(1)
    inputs = {name: draw.standard_normal((BATCH, 2, rows, 32)).astype(np.float32)
              for name, rows in (("q", 9), ("k", 9), ("v", 9), ("past_k", 299), ("past_v", 299))}
    with open(artifact, "rb") as file:
        text = file.read()
    begin = text.index(b".entry attention")
    places = [match.span() for match in ORDERS.finditer(text, begin, text.index(b"\n}", begin))]
    for number, (first, end) in enumerate([(begin, begin)] + places):
        broken = tool.file(f"fault{number}.so")
        with open(broken, "wb") as file:
            file.write(text[:first] + b" " * (end - first) + text[end:])
        session, found = Session(broken, device="cuda"), ""
        device.reset()
        try:
            session.run(inputs, session.outputs())
        except Failure as failure:
            found = str(failure)
        device.reset()
        session.close()
        if bool(found) != bool(number):
            raise Failure(f"'{text[first:end].decode()}', number {number} of {len(places)}, left out: {found or 'nothing is said'}")


def main():
    checks = Checks(__doc__.splitlines()[0])
    tool = checks.tool()
    device = emulated.Gpu()
    for options in (("native,nvptx:sm_80",), ("native,nvptx:sm_90a", "--kv=bf16")):
        checks.attempt(" ".join(options), decode, tool, device, *options)
    target, path = ("--target=nvptx:sm_90a", "--ptxas=none"), tool.file("other.onnx")
    onnx.save(model_of(pages.MODEL), path)
    checks.attempt("pages", lambda: pages.same(tool, path, "f16", 1, *target, device="cuda"))
    checks.attempt("faults", faults, tool, device, path)
    model = lengths.build(lengths.HEADER + lengths.COUNTED + lengths.GIVEN)
    other = tool.file("lengths.onnx")
    onnx.save(model, other)
    checks.attempt("lengths", lambda: lengths.together(tool, other, model, "int8", 1, *target, device="cuda"))
    checks.finish()


if __name__ == "__main__":
    main()
