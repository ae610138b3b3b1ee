#!/usr/bin/env python3
#===- replaced.py - states that each run makes anew -------------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""States of convolutions, recurrences and windows, and buffers without a state.

usage: replaced.py [--tenon PATH] [--part N/M] [SUBSTRING...]

The same artifact runs with a state and with tensors of its own that the caller
hands from run to run: all bits must be equal. onnxruntime says what is right.
"""

import ctypes

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from session import HELD, Session
from states import INVALID_STATE, State, StateInfo, equal, model_of
from tool import Checks, Failure

BATCH = 2
# A convolution's last columns, as exporters and as torch.roll leave them; a
# selective scan's state; windows that fill, and that are always full; an LSTM's.
LAYERS = """<ir_version: 10, opset_import: ["" : 20]>
layers (float[b,6,s] x, float[b,2,s,4] k, float[b,6] dt, float[s,b,5] z, int64[1] pick,
        float[b,6,3] past_conv, float[b,6,8] past_ssm, float[b,2,p,4] past_window, float[b,2,5,4] cache_fixed, float[1,b,3] c0, float[1,b,3] h0,
        float[b,6,4] roll_state)
  => (float[b,6,s] y, float[b,6,8] sy, float[b,2,4] w, float[b,2,4] f, float[s,1,b,3] r, float[1] picked,
      float[b,6,3] present_conv, float[b,6,8] present_ssm, float[b,2,m,4] present_window, float[b,2,5,4] cache_fixed_out, float[1,b,3] hn,
      float[1,b,3] cn, float[b,6,4] roll_state_out) {
  far = Constant <value = int64[1] {9223372036854775807}> ()
  one = Constant <value = int64[1] {1}> ()
  two = Constant <value = int64[1] {2}> ()
  m3 = Constant <value = int64[1] {-3}> ()
  m4 = Constant <value = int64[1] {-4}> ()
  m5 = Constant <value = int64[1] {-5}> ()
  table = Constant <value = float[3] {1, 2, 3}> ()
  picked = Gather (table, pick)
  columns = Concat <axis = 2> (past_conv, x)
  y = Conv <group = 6> (columns, taps)
  present_conv = Slice (columns, m3, far, two)
  decay = Exp (dt)
  slow = Unsqueeze (decay, two)
  last = ReduceSum (x, two)
  given = Mul (last, rates)
  kept = Mul (past_ssm, slow)
  present_ssm = Add (kept, given)
  sy = Mul (present_ssm, present_ssm)
  rows = Concat <axis = 2> (past_window, k)
  w = ReduceSum <keepdims = 0> (rows, two)
  present_window = Slice (rows, m4, far, two)
  more = Concat <axis = 2> (cache_fixed, k)
  f = ReduceSum <keepdims = 0> (more, two)
  cache_fixed_out = Slice (more, m5, far, two)
  r, hn, cn = LSTM <hidden_size = 3> (z, ww, wr, , , h0, c0)
  rest = Slice (roll_state, one, far, two)
  roll_state_out = Concat <axis = 2> (rest, last)
}"""
WEIGHTS = {"taps": (6, 1, 4), "rates": (8,), "ww": (1, 12, 5), "wr": (1, 12, 3)}
PAIRS = {"past_conv": "present_conv", "past_ssm": "present_ssm", "past_window": "present_window", "cache_fixed": "cache_fixed_out", "c0": "cn",
         "h0": "hn", "roll_state": "roll_state_out"}
# The dims of what each run adds; of b the first that is -1.
ADDED = {"x": (-1, 6, 0), "k": (-1, 2, 0, 4), "dt": (-1, 6), "z": (0, -1, 5)}
# The same as operators of their own, which onnxruntime has not, beside keys that
# grow.
HYBRID = """<ir_version: 12, opset_import: ["" : 27]>
hybrid (float[b,s,16] q, float[b,s,8] k, float[b,s,8] v, float[b,s,2] g, float[b,s,2] beta, float[b,6,s] x,
        float[b,2,4,4] past_0, float[b,6,3] past_1, float[b,s,8] r, float[b,p,8] past_2)
  => (float[b,s,16] o, float[b,6,s] y, float[b,8] sums, float[b,2,4,4] present_0, float[b,6,3] present_1, float[b,n,8] present_2)
<float[6,1,4] taps = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3}> {
  o, present_0 = LinearAttention <q_num_heads = 4, kv_num_heads = 2> (q, k, v, past_0, g, beta)
  y, present_1 = CausalConvWithState <activation = "silu"> (x, taps, , past_1)
  present_2 = Concat <axis = 1> (past_2, r)
  one = Constant <value = int64[1] {1}> ()
  sums = ReduceSum <keepdims = 0> (present_2, one)
}"""
HYBRID_PAIRS = {"past_0": "present_0", "past_1": "present_1", "past_2": "present_2"}
HYBRID_ADDED = {"q": (-1, 0, 16), "k": (-1, 0, 8), "v": (-1, 0, 8), "g": (-1, 0, 2), "beta": (-1, 0, 2), "x": (-1, 6, 0), "r": (-1, 0, 8)}
# Buffers of GroupQueryAttention and of TensorScatter.
BUFFERS = """<ir_version: 11, opset_import: ["" : 24, "com.microsoft" : 1]>
buffers (float[b,s,64] q, float[b,s,32] k, float[b,s,32] v, int32[b] seqlens, int32[1] total, int64[b] at,
         float[b,1,c,32] past_k, float[b,1,c,32] past_v, float[b,c,32] cache)
  => (float[b,s,64] y, float[b,32] seen, float[b,1,n,32] present_k, float[b,1,n,32] present_v, float[b,c,32] next) {
  y, present_k, present_v = com.microsoft.GroupQueryAttention <num_heads = 2, kv_num_heads = 1> (q, k, v, past_k, past_v, seqlens, total)
  next = TensorScatter <axis = 1> (cache, k, at)
  one = Constant <value = int64[1] {1}> ()
  seen = ReduceSum <keepdims = 0> (next, one)
}"""
BUFFER_PAIRS = {"past_k": "present_k", "past_v": "present_v", "cache": "next"}


def build(text, weights):
    model, draw = model_of(text), np.random.default_rng(7)
    for name, dims in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(draw.standard_normal(dims).astype(np.float32), name))
    return model


def fresh(added, step, new, rows=slice(None)):
    """Inputs of a run; of the sequences `rows` alone."""
    draw, inputs = np.random.default_rng(step), {}
    for name, dims in added.items():
        value = 0.5 * draw.standard_normal([BATCH if dim < 0 else dim or new for dim in dims]).astype(np.float32)
        inputs[name] = np.take(value, range(BATCH)[rows], dims.index(-1))
    return inputs


def first(model, pairs):
    """Zeros, and no rows of what grows."""
    sizes = {"b": BATCH, "p": 0}
    dims = {value.name: [dim.dim_value or sizes[dim.dim_param] for dim in value.type.tensor_type.shape.dim]
            for value in model.graph.input if value.name in pairs}
    return {name: np.zeros(shape, np.float32) for name, shape in dims.items()}


def refused(action, *texts):
    try:
        action()
    except Failure as failure:
        if all(text in str(failure) for text in texts):
            return
        raise
    raise Failure(f"not refused: {texts}")


def layers(tool, text, pairs, added, more, weights, oracle, threads):
    model = build(text, weights)
    path = tool.file(f"{model.graph.name}.onnx")
    onnx.save(model, path)
    artifact, _ = tool.compile(path, "-O1")
    held, plain = Session(artifact, threads), Session(artifact, threads)
    right = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]) if oracle else None
    ports = {name: port for name, port in plain.outputs().items() if name not in pairs.values()}

    def step(session, number, new, rows=slice(None), **other):
        return session.run(fresh(added, number, new, rows) | more | dict.fromkeys(pairs, HELD) | other, ports)

    state, pasts = State(held, 16), first(model, pairs)
    state.bind()
    runs, grows = [], "past_2" in pairs
    for number, new in enumerate((3, 1, 2, 1, 5, 1)):
        inputs = fresh(added, number, new) | more | pasts
        expected = plain.run(inputs, plain.outputs())
        equal(step(held, number, new), expected, f"run {number}")
        for name, value in zip((o.name for o in right.get_outputs()), right.run(None, inputs)) if right else ():
            if not np.allclose(value, expected[name], 1e-5, 1e-5):
                raise Failure(f"'{name}' differs from onnxruntime's by {np.abs(value - expected[name]).max()}")
        if "pick" in more:  # a run that ends in its midst has changed nothing
            refused(lambda: step(held, number + 1, 2, pick=np.array([3])), "index 3 is out of range")
        pasts = {past: expected[present] for past, present in pairs.items()}
        runs.append((number, new, expected, pasts))
    index = {held.index("find_input", name): name for name in pairs}
    info = StateInfo(size=ctypes.sizeof(StateInfo))
    for number in range(len(pairs)):
        held.check(held.call("state_info", held.model, number, ctypes.byref(info)))
        past = pasts[index[info.numbers[0]]]
        axis = info.numbers[2] if info.numbers[3] else 0
        if state.data(number, past, axis).tobytes() != past.tobytes():
            raise Failure(f"the state of '{index[info.numbers[0]]}' holds other bits")

    # Another state takes over a sequence, and one of a single sequence too.
    number, new, expected, _ = runs[-1]
    length = state.length()
    held.check(held.call("bind_state", held.context, None))
    again = State(held, 16)
    again.bind()
    for earlier, count, _, _ in runs[:-1]:
        step(held, earlier, count)
    behind = max(again.length(), 1)  # where nothing grows any length but 0 stands for what there is
    other, alone = State(held, 24), State(held, 32, sequences=1)
    for row in range(BATCH):
        other.call("copy_state", other.state, row, again.state, row, behind)
    alone.call("copy_state", alone.state, 0, again.state, 1, behind)
    other.bind()
    equal(step(held, number, new), expected, "after a copy")
    alone.bind()
    single = step(held, number, new, slice(1, 2))
    for name, dim in {"x": 0, "sums": 0, "sy": 0, "w": 0, "f": 0, "y": 0, "o": 0, "r": 2}.items():
        if name in single and single[name].tobytes() != expected[name].take([1], dim).tobytes():
            raise Failure(f"'{name}' has other bits in a state of one sequence")

    # There is no way back but to the beginning.
    if grows:
        refused(lambda: held.check(other.set_length(length - 1)), f"status {INVALID_STATE}: sequence 0: {length - 1} rows, expected {length} or 0",
                "is made anew by each run")
        refused(lambda: other.call("copy_state", alone.state, 0, other.state, 0, 2), "2 rows, expected", "or 0")
    else:
        refused(lambda: held.check(other.set_length(0, 1)), f"status {INVALID_STATE}: sequence 1 cannot be emptied alone: 'past_window' has 4 rows")
    if grows and other.length() != length:
        raise Failure("a refusal has changed the length")
    held.check(other.set_length(0))
    other.bind()
    equal(step(held, *runs[0][:2]), runs[0][2], "from the beginning")
    for session in (held, plain):
        session.close()


def aliased(tool):
    """Presents in the memory of their pasts, without a state."""
    model = build(BUFFERS, {})
    path = tool.file("buffers.onnx")
    onnx.save(model, path)
    artifact, _ = tool.compile(path, "-O1")
    session, plain = Session(artifact), Session(artifact)
    shapes = {"past_k": (BATCH, 1, 8, 32), "past_v": (BATCH, 1, 8, 32), "cache": (BATCH, 8, 32)}
    caches = {name: np.full(dims, 1e4, np.float32) for name, dims in shapes.items()}
    copies, lengths = {name: value.copy() for name, value in caches.items()}, np.array([0, 2])

    def inputs(new):
        draw = np.random.default_rng(int(lengths[0]))
        floats = lambda size: draw.standard_normal((BATCH, new, size)).astype(np.float32)
        return {"q": floats(64), "k": floats(32), "v": floats(32), "seqlens": (lengths + new - 1).astype(np.int32),
                "total": np.array([lengths.max() + new], np.int32), "at": lengths}

    def run(new, shared):
        given, kept, outputs = inputs(new), [], plain.outputs()
        names = [value.name for value in model.graph.input]
        table = (ctypes.c_void_p * len(names))()
        for name in names:
            value = caches[name] if name in caches else np.ascontiguousarray(given[name])
            dims = (ctypes.c_int64 * value.ndim)(*value.shape)
            kept += [value, dims]
            table[session.index("find_input", name)] = ctypes.cast(dims, ctypes.c_void_p).value
            session.check(session.call("bind_input", session.context, session.index("find_input", name), int(onnx.helper.np_dtype_to_tensor_dtype(value.dtype)),
                                       value.ndim, dims, ctypes.c_void_p(value.ctypes.data), ctypes.c_size_t(value.nbytes)))
        session.check(session.call("reserve", session.context, table))
        memory = {name: np.zeros((BATCH, new, 64) if name == "y" else (BATCH, 32), np.float32) for name in outputs if name not in BUFFER_PAIRS.values()}
        memory |= {present: caches[past] if present in shared else np.zeros_like(caches[past]) for past, present in BUFFER_PAIRS.items()}
        for name, value in memory.items():
            session.check(session.call("bind_output", session.context, session.index("find_output", name), 1, value.ndim, None,
                                       ctypes.c_void_p(value.ctypes.data), ctypes.c_size_t(value.nbytes)))
        session.check(session.call("run", session.context))
        return memory

    for new in (3, 1, 1):
        expected = plain.run(inputs(new) | copies, plain.outputs())
        equal(run(new, BUFFER_PAIRS.values()), expected, f"{new} tokens in place")
        copies = {past: expected[present] for past, present in BUFFER_PAIRS.items()}
        lengths = lengths + new
    refused(lambda: run(1, ["present_k"]), "'present_k' shares memory with input 'past_k'")
    # Row 1 has 7 of 8 rows: two more are too many, and nothing has changed.
    refused(lambda: run(2, BUFFER_PAIRS.values()), "status 15", "would have 9 rows", "has room for 8")
    for past, value in copies.items():
        if value.tobytes() != caches[past].tobytes():
            raise Failure(f"a refused run has changed '{past}'")
    # Nor is what comes back to memory of its own another number.
    expected = plain.run(inputs(1) | copies, plain.outputs())
    equal(run(1, []), expected, "not in place any more")
    for one in (session, plain):
        one.close()


def main():
    checks = Checks(__doc__.splitlines()[0])
    tool = checks.tool()
    more = {"pick": np.array([1])}
    for threads in (1, 2):
        checks.attempt(f"layers, {threads} threads", layers, tool, LAYERS, PAIRS, ADDED, more, WEIGHTS, True, threads)
    checks.attempt("newer operators", layers, tool, HYBRID, HYBRID_PAIRS, HYBRID_ADDED, {}, {}, False, 1)
    checks.attempt("buffers in place", aliased, tool)
    checks.finish()


if __name__ == "__main__":
    main()
