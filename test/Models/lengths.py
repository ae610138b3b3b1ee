#!/usr/bin/env python3
#===- lengths.py - sequences of unequal lengths in one run -----------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Sequences of unequal lengths whose pasts grow: each has the bits that it has
alone, and onnxruntime's numbers.

usage: lengths.py [--tenon PATH] [--part N/M] [SUBSTRING...]

One attention has a causal mask, a window and positions that the model counts
from the past's length; another gets mask and positions as inputs. Where sequences
share pages a run also takes any number of tokens of each, as rows.
"""

import os

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from pages import Paged, refused, unbind
from session import HELD, Session
from states import INVALID_ARGUMENT, INVALID_STATE, PLACES, STATE_FULL, State, model_of
from tool import Checks, Failure

HEADS, SIZE, TABLE, CAPACITY = 2, 24, 96, 96  # values whose rows are no multiple of 32
PASTS = {"past_k": "present_k", "past_v": "present_v", "past_gk": "present_gk", "past_gv": "present_gv"}
HEADER = f"""<ir_version: 10, opset_import: ["" : 20]>
lengths (float[b,{HEADS},s,{SIZE}] q, float[b,{HEADS},s,{SIZE}] k, float[b,{HEADS},s,{SIZE}] v, int64[b,n] mask, int64[b,s] positions,
         float[b,{HEADS},p,{SIZE}] past_k, float[b,{HEADS},p,{SIZE}] past_v, float[b,{HEADS},p,{SIZE}] past_gk, float[b,{HEADS},p,{SIZE}] past_gv)
  => (float[b,{HEADS},s,{SIZE}] y, float[b,{HEADS},s,{SIZE}] gy, float[b,{HEADS},m,{SIZE}] present_k, float[b,{HEADS},m,{SIZE}] present_v,
      float[b,{HEADS},m,{SIZE}] present_gk, float[b,{HEADS},m,{SIZE}] present_gv) {{
"""
# What is counted: rows `at` of the whole.
COUNTED = """  ones = Constant <value = int64[1] {1}> ()
  window = Constant <value = int64 {20}> ()
  low = Constant <value = float {-3e38}> ()
""" + PLACES + """  rows = Gather (table, at)
  sequences = Shape <start = 0, end = 1> (q)
  dims = Concat <axis = 0> (sequences, new)
  outer = Constant <value = int64[1] {0}> ()
  line = Unsqueeze (at, outer)
  each = Expand (line, dims)
  number = Cast <to = 1> (line)
  numbers = Unsqueeze (number, ones)
  angles = MatMul (frequencies, numbers)
  halves = Transpose <perm = [0, 2, 1]> (angles)
  whole_angles = Concat <axis = 2> (halves, halves)
  cosines = Cos (whole_angles)
  rotation = Unsqueeze (cosines, ones)
  rotated = Mul (q, rotation)
  turned = Add (rotated, rows)
  own = Gather (table, each)
  heads = Unsqueeze (own, ones)
  kept = Add (k, heads)
  present_k = Concat <axis = 2> (past_k, kept)
  present_v = Concat <axis = 2> (past_v, v)
  place = Unsqueeze (at, ones)
  causal = LessOrEqual (columns, place)
  far = Sub (place, window)
  near = Greater (columns, far)
  seen = And (causal, near)
  kt = Transpose <perm = [0, 1, 3, 2]> (present_k)
  scores = MatMul (turned, kt)
  masked = Where (seen, scores, low)
  weights = Softmax <axis = -1> (masked)
  y = MatMul (weights, present_v)
"""
GIVEN = """  grows = Gather (table, positions)
  gheads = Unsqueeze (grows, ones)
  gturned = Add (q, gheads)
  gkept = Add (k, gheads)
  present_gk = Concat <axis = 2> (past_gk, gkept)
  present_gv = Concat <axis = 2> (past_gv, v)
  inner = Constant <value = int64[2] {1, 2}> ()
  whole = Cast <to = 9> (mask)
  wide = Unsqueeze (whole, inner)
  gseen = And (causal, wide)
  gkt = Transpose <perm = [0, 1, 3, 2]> (present_gk)
  gscores = MatMul (gturned, gkt)
  gmasked = Where (gseen, gscores, low)
  gweights = Softmax <axis = -1> (gmasked)
  gy = MatMul (gweights, present_gv)
}"""


def build(text):
    model = model_of(text)
    mask = next(value for value in model.graph.input if value.name == "mask")
    mask.type.tensor_type.shape.dim[1].dim_param = "p + s"  # as exporters write it
    draw = np.random.default_rng(7)
    for name, dims in (("table", (TABLE, SIZE)), ("frequencies", (1, SIZE // 2, 1))):
        model.graph.initializer.append(numpy_helper.from_array(draw.standard_normal(dims).astype(np.float32), name))
    return model


def tokens(sequence, at, new):
    """Of one sequence, behind `at` others: the same whenever they are asked for."""
    rows = [np.random.default_rng(1000 * sequence + row).standard_normal((3, HEADS, SIZE)).astype(np.float32) for row in range(at, at + new)]
    return np.stack(rows, axis=2)  # of q, k, v: [3, heads, new, size]


def given(sequences, lengths, new, ones=False):
    """Shorter sequences stand on the right of the mask."""
    total = max(lengths) + new
    three = np.stack([tokens(sequence, at, new) for sequence, at in zip(sequences, lengths)], axis=1)
    mask = np.stack([np.arange(total) >= (0 if ones else total - new - at) for at in lengths])
    positions = np.stack([at + np.arange(new) for at in lengths])
    return {"q": three[0], "k": three[1], "v": three[2], "mask": mask.astype(np.int64), "positions": positions}


def run(session, inputs, rows=None):
    if session.selects:  # the outputs of some rows alone
        inputs["output_rows"] = np.arange(len(inputs["q"])) if rows is None else np.array(rows)
    return session.run(inputs | dict.fromkeys(PASTS, HELD), {name: port for name, port in session.outputs().items() if name in ("y", "gy")})


def equal(found, row, alone, what):
    for name, value in alone.items():
        if found[name][row].tobytes() != value[0].tobytes():
            raise Failure(f"{what}: '{name}' has other bits alone, the largest difference is {np.abs(found[name][row] - value[0]).max()}")


def ragged(many, one, state, alone, lengths):
    """Prompts and single tokens in one run, one row each."""
    chunks = {1: 6, 3: 1, 2: 33, 0: 2}
    places = [(sequence, lengths[sequence] + token) for sequence, new in chunks.items() for token in range(new)]
    state.bind(*(sequence for sequence, _ in places))
    last = np.cumsum(list(chunks.values())) - 1
    found = run(many, given(*zip(*places), 1), last)
    row = 0
    for number, (sequence, new) in enumerate(chunks.items()):
        alone[sequence].bind()
        expected = run(one, given([sequence], [lengths[sequence]], new))
        for token in range(new):
            if not many.selects or token == new - 1:
                at = number if many.selects else row + token
                equal(found, at, {name: value[:, :, token : token + 1] for name, value in expected.items()}, f"token {token} of sequence {sequence}")
        row += new
        lengths[sequence] += new
        if state.length(sequence) != lengths[sequence]:
            raise Failure(f"sequence {sequence} has {state.length(sequence)} rows, expected {lengths[sequence]}")
    refused(many, state.try_bind(1, 3, 1), INVALID_ARGUMENT, "sequence 1 is given twice")
    state.bind(1, 1, 3)
    try:
        run(many, given([1, 1, 3], [lengths[1], lengths[1] + 1, lengths[3]], 2))
        raise Failure("several new tokens in each of a sequence's rows")
    except Failure as failure:
        if f"status {INVALID_STATE}: sequence 1 has 2 rows in a run that adds 2 to each, expected 1" not in str(failure):
            raise


def together(tool, path, model, kv, threads, *targets, device=None):
    options = {"": [], "f32": ["--ragged=all"], "int8": ["--ragged", "--kv=int8"]}[kv]
    artifact, _ = tool.compile(path, "-O0", *options, *targets)
    many, one = Session(artifact, threads, device), Session(artifact, 1, device)
    many.selects = one.selects = kv == "int8"
    lengths = {3: 5, 0: 0, 1: 40, 2: 33}  # of each sequence; one is empty
    order = list(lengths)
    alone = {}
    right = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for sequence, length in lengths.items():
        alone[sequence] = State(one, CAPACITY, sequences=1)
        if not length:
            continue
        alone[sequence].bind()
        found = run(one, given([sequence], [0], length))
        if kv not in ("bf16", "int8"):
            empty = {name: np.zeros((1, HEADS, 0, SIZE), np.float32) for name in PASTS}
            for name, value in zip(("y", "gy"), right.run(["y", "gy"], given([sequence], [0], length) | empty)):
                if not np.allclose(found[name], value, 1e-4, 1e-5):
                    raise Failure(f"'{name}' differs from onnxruntime's")
    unbind(one)
    state = Paged(many, len(order), CAPACITY, 9) if kv else State(many, CAPACITY, sequences=len(order))
    for row, sequence in enumerate(order):
        place = sequence if kv else row
        state.call("copy_state", state.state, place, alone[sequence].state, 0, lengths[sequence])
    state.bind(*order) if kv else state.bind()
    places = order if kv else range(len(order))
    for new in (1, 2, 1, 9):
        at = [lengths[sequence] for sequence in order]
        found = run(many, given(order, at, new))
        for row, sequence in enumerate(order):
            alone[sequence].bind()
            equal(found, row, run(one, given([sequence], [lengths[sequence]], new)), f"{kv}: {new} tokens of sequence {sequence} behind {at[row]}")
            lengths[sequence] += new
            if state.length(places[row]) != lengths[sequence]:
                raise Failure(f"sequence {sequence} has {state.length(places[row])} rows, expected {lengths[sequence]}")
    # Back, each by as much as it likes; a mask of ones excludes nothing that is there.
    for row, sequence in enumerate(order):
        lengths[sequence] -= 2 + sequence
        for held, place in ((state, places[row]), (alone[sequence], 0)):
            held.session.check(held.set_length(lengths[sequence], place))
    found = run(many, given(order, [lengths[sequence] for sequence in order], 1, ones=True))
    for row, sequence in enumerate(order):
        alone[sequence].bind()
        equal(found, row, run(one, given([sequence], [lengths[sequence]], 1)), f"{kv}: after a roll back")
    for sequence in order:
        lengths[sequence] += 1
    if kv:
        ragged(many, one, state, alone, lengths)
        state.bind(*order)
    # The longest is what there must be room for; a refusal changes nothing.
    before = [state.length(place) for place in places]
    try:
        run(many, given(order, before, CAPACITY - max(before) + 1))
        raise Failure("more rows than there is room for")
    except Failure as failure:
        if f"status {STATE_FULL}:" not in str(failure):
            raise
    if [state.length(place) for place in places] != before:
        raise Failure("a refused run has changed a length")
    for session in (many, one):
        session.close()


def refusal(tool):
    """A bias that says where a key is, not how far away, is another one alone."""
    text = HEADER + COUNTED.replace("masked = Where (seen, scores, low)", """slope = Cast <to = 1> (columns)
  biased = Add (scores, slope)
  masked = Where (seen, biased, low)""") + GIVEN
    path = tool.file("biased.onnx")
    onnx.save(build(text), path)
    artifact = tool.file("biased.so")
    if "unequal lengths" in tool.expect_success("compile", "-v", path, "-O0", "-o", artifact).stderr:
        raise Failure("a model that cannot take unequal lengths says that it does")
    session = Session(artifact)
    session.selects = False
    state = State(session, CAPACITY)
    state.bind()
    run(session, given([0, 1], [0, 0], 4))
    session.check(state.set_length(2, 1))
    try:
        run(session, given([0, 1], [4, 2], 1))
        raise Failure("sequences of unequal lengths in a model that cannot take them")
    except Failure as failure:
        if f"status {INVALID_STATE}: sequence 1 has 2 rows, expected 4 as sequence 0 has: the model has one length for all" not in str(failure):
            raise
    session.close()
    said = tool.call("compile", "--ragged", path, "-o", tool.file("ragged.so"))
    if said.returncode != 1 or "node 'Range_11': a ragged run takes sequences of any lengths, node 'Range_11'" not in said.stderr or os.path.exists(tool.file("ragged.so")):
        raise Failure(f"--ragged of a model that cannot take it: {said.stderr}")


def main():
    checks = Checks(__doc__.splitlines()[0])
    tool = checks.tool()
    model = build(HEADER + COUNTED + GIVEN)
    path = tool.file("lengths.onnx")
    onnx.save(model, path)
    for kv, threads in (("", 1), ("f32", 2), ("int8", 1)):
        checks.attempt(f"kv '{kv}'", together, tool, path, model, kv, threads)
    checks.attempt("refusal", refusal, tool)
    checks.finish()


if __name__ == "__main__":
    main()
