#!/usr/bin/env python3
#===- states.py - decoding in place, against pasts that are copied ---------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Every form of a past that a tenon_state can hold, token by token.

usage: states.py [--tenon PATH] [--part N/M] [SUBSTRING...]

The same artifact runs with a state and with pasts and presents of its own, and
one that was compiled with --state=off beside it: all bits must be equal.
onnxruntime says what is right.
"""

import ctypes

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from session import HELD, Session
from tool import Checks, Failure

BATCH, HEADS, SIZE, ROOM = 2, 2, 32, 32
STATE_FULL, INVALID_STATE, INVALID_ARGUMENT, INVALID_TENSOR = 15, 16, 1, 2

# Of q over a past and what is fresh.
ATTENTION = """  present_k = Concat <axis = 2> (past_k, k)
  present_v = Concat <axis = 2> (past_v, v)
  kt = Transpose <perm = [0, 1, 3, 2]> (present_k)
  scores = MatMul (q, kt)
  p1 = Softmax <axis = -1> (scores)
  y = MatMul (p1, present_v)
"""
# Numbers of the rows of q, `at`, which follow those of a past, and of all keys.
PLACES = """  zero = Constant <value = int64 {0}> ()
  one = Constant <value = int64 {1}> ()
  old = Shape <start = 2, end = 3> (past_k)
  new = Shape <start = 2, end = 3> (q)
  all = Add (old, new)
  first = Squeeze (old)
  end = Squeeze (all)
  at = Range (first, end, one)
  columns = Range (zero, end, one)
"""
# Rows joined along each axis, some by numbers of f16, attention over them, latents (MLA) that are keys and
# values of all heads, and what exporters' operators do; buffers (c) that operators
# write into.
FORMS = f"""<ir_version: 10, opset_import: ["" : 20, "com.microsoft" : 1]>
forms (float[b,{HEADS},s,{SIZE}] q, float[b,{HEADS},s,{SIZE}] k, float[b,{HEADS},s,{SIZE}] v, float[b,s,16] r, float16[b,{HEADS},{SIZE},s] t,
       float[b,s,64] hq, float[b,s,{SIZE}] hk, float[b,s,{SIZE}] hv, int32[b] seqlens, int32[1] total,
       int64[b,{HEADS},s,3] tuples, int64[b,{HEADS},s,{SIZE}] index,
       float[b,{HEADS},p,{SIZE}] past_k, float[b,{HEADS},p,{SIZE}] past_v, float[b,p,16] past_r, float16[b,{HEADS},{SIZE},p] past_t,
       float[b,{HEADS},p,{SIZE}] past_h, float[b,1,p,16] past_l, float[b,2,p,{SIZE}] past_mk, float[b,2,p,{SIZE}] past_mv,
       float[b,1,c,{SIZE}] past_gk, float[b,1,c,{SIZE}] past_gv, float[b,{HEADS},c,{SIZE}] cache_n, float[b,{HEADS},c,{SIZE}] cache_e,
       float[b,{HEADS},c,{SIZE}] cache_t, int64[s,1] rows)
   => (float[b,{HEADS},s,{SIZE}] y, float[b,16] sums, float16[b,{HEADS},s,n] w, float16[b,{HEADS},s,n] wh, float[b,s,64] my, float[b,s,64] gy, float[b,{HEADS},{SIZE}] seen,
       float[b,{HEADS},n,{SIZE}] present_k, float[b,{HEADS},n,{SIZE}] present_v, float[b,n,16] present_r, float16[b,{HEADS},{SIZE},n] present_t,
       float[b,{HEADS},n,{SIZE}] present_h,
       float[b,1,n,16] present_l, float[b,4,s,16] ly, float[b,2,n,{SIZE}] present_mk, float[b,2,n,{SIZE}] present_mv,
       float[b,1,c,{SIZE}] present_gk, float[b,1,c,{SIZE}] present_gv, float[b,{HEADS},c,{SIZE}] next_n, float[b,{HEADS},c,{SIZE}] next_e,
       float[b,{HEADS},c,{SIZE}] next_t) {{
{ATTENTION}  present_r = Concat <axis = 1> (past_r, r)
  one = Constant <value = int64[1] {{1}}> ()
  two = Constant <value = int64[1] {{2}}> ()
  sums = ReduceSum <keepdims = 0> (present_r, one)
  present_t = Concat <axis = -1> (past_t, t)
  q16 = Cast <to = 10> (q)
  w = MatMul (q16, present_t)
  h16 = Cast <to = 10> (past_h)
  k16 = Cast <to = 10> (k)
  all16 = Concat <axis = 2> (h16, k16)
  present_h = Cast <to = 1> (all16)
  ht = Transpose <perm = [0, 1, 3, 2]> (all16)
  wh = MatMul (q16, ht)
  latents = Unsqueeze (r, one)
  present_l = Concat <axis = 2> (past_l, latents)
  split = Constant <value = int64[4] {{0, 0, 4, 16}}> ()
  rows4 = Reshape (hq, split)
  lq = Transpose <perm = [0, 2, 1, 3]> (rows4)
  lt = Transpose <perm = [0, 1, 3, 2]> (present_l)
  ls = MatMul (lq, lt)
  lp = Softmax <axis = -1> (ls)
  ly = MatMul (lp, present_l)
  my, present_mk, present_mv = com.microsoft.MultiHeadAttention <num_heads = 2, unidirectional = 1> (hq, hq, hq, , , , past_mk, past_mv)
  gy, present_gk, present_gv = com.microsoft.GroupQueryAttention <num_heads = 2, kv_num_heads = 1> (hq, hk, hv, past_gk, past_gv, seqlens, total)
  next_n = ScatterND (cache_n, tuples, k)
  next_e = ScatterElements <axis = 2> (cache_e, index, v)
  front = Transpose <perm = [2, 0, 1, 3]> (cache_t)
  new = Transpose <perm = [2, 0, 1, 3]> (v)
  written = ScatterND (front, rows, new)
  next_t = Transpose <perm = [1, 2, 0, 3]> (written)
  two_of_them = Mul (next_n, next_e)
  both = Add (two_of_them, next_t)
  seen = ReduceSum <keepdims = 0> (both, two)
}}"""
PAIRS = {"past_k": "present_k", "past_v": "present_v", "past_r": "present_r", "past_t": "present_t", "past_h": "present_h", "past_l": "present_l", "past_mk": "present_mk",
         "past_mv": "present_mv", "past_gk": "present_gk", "past_gv": "present_gv", "cache_n": "next_n", "cache_e": "next_e", "cache_t": "next_t"}
# Rows, then what onnxruntime has no kernel for.
NEWER = f"""<ir_version: 11, opset_import: ["" : 24]>
newer (float[b,{HEADS},s,{SIZE}] q, float[b,{HEADS},s,{SIZE}] k, float[b,{HEADS},s,{SIZE}] v, int64[b] at,
       float[b,{HEADS},p,{SIZE}] past_k, float[b,{HEADS},p,{SIZE}] past_v, float[b,{HEADS},c,{SIZE}] cache)
   => (float[b,{HEADS},s,{SIZE}] y, float[b,{HEADS},{SIZE}] seen, float[b,{HEADS},n,{SIZE}] present_k, float[b,{HEADS},n,{SIZE}] present_v,
       float[b,{HEADS},c,{SIZE}] next) {{
  y, present_k, present_v = Attention <is_causal = 1> (q, k, v, , past_k, past_v)
  next = TensorScatter <axis = -2> (cache, k, at)
  two = Constant <value = int64[1] {{2}}> ()
  seen = ReduceSum <keepdims = 0> (next, two)
}}"""
NEWER_PAIRS = {"past_k": "present_k", "past_v": "present_v", "cache": "next"}
# What is no state, and why.
NONE = """<ir_version: 10, opset_import: ["" : 20]>
none (float[b,2,s,8] k, float[b,2,p,8] past_read, float[b,2,p,8] past_last, float[b,2,31,8] past_fixed, float[b,h,p,8] past_heads,
      float[b,2,p,8] past_twice, float[b,2,p,8] past, float[b,h,s,8] kh)
  => (float[b,2,n,8] a, float[b,2,m,8] d, float[b,h,n,8] e, float[b,2,n,8] f, float[b,2,p,8] g, float[b,2,n,8] i) {
  a = Concat <axis = 2> (k, past_last)
  read = Exp (past_read)
  g = Add (read, past_twice)
  d = Concat <axis = 2> (past_fixed, k)
  e = Concat <axis = 2> (past_heads, kh)
  f = Concat <axis = 2> (past_twice, k)
  i = Concat <axis = 2> (past, k)
}"""


def model_of(text):
    model = onnx.parser.parse_model(text)
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    return model


def empty(model, pairs):
    """The pasts before the first token, as arrays."""
    sizes = {"b": BATCH, "p": 0, "c": ROOM}
    arrays = {}
    for value in model.graph.input:
        if value.name in pairs:
            dims = [dim.dim_value or sizes[dim.dim_param] for dim in value.type.tensor_type.shape.dim]
            arrays[value.name] = np.zeros(dims, helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    return arrays


def tokens(past, new):
    """Inputs of `new` tokens behind `past` ones, the same whenever they are asked for."""
    draw = np.random.default_rng(past)
    floats = lambda *dims: draw.standard_normal(dims).astype(np.float32)
    rows = past + np.arange(new)
    tuples = np.stack(np.meshgrid(np.arange(BATCH), np.arange(HEADS), rows, indexing="ij"), axis=-1)
    heads = lambda: floats(BATCH, new, HEADS, SIZE).transpose(0, 2, 1, 3)
    return {
        "q": heads(), "k": heads(), "v": heads(), "r": floats(BATCH, new, 16), "t": heads().transpose(0, 1, 3, 2).astype(np.float16),
        "hq": floats(BATCH, new, 64), "hk": floats(BATCH, new, SIZE), "hv": floats(BATCH, new, SIZE),
        "seqlens": np.full(BATCH, past + new - 1, np.int32), "total": np.array([past + new], np.int32),
        "tuples": tuples, "index": np.broadcast_to(rows[:, None], (BATCH, HEADS, new, SIZE)).copy(), "at": np.full(BATCH, past),
        "rows": rows[:, None],
    }


class State:
    """Memory that a session's model can use as its state."""

    def __init__(self, session, capacity, sequences=BATCH):
        size, self.session, self.state = ctypes.c_size_t(), session, ctypes.c_void_p()
        self.call("state_size", sequences, capacity, ctypes.byref(size))
        self.memory = np.full(size.value + 64, 0xFF, np.uint8)  # NaN, should anybody read what is not there yet
        place = -self.memory.ctypes.data % 64
        self.call("init_state", ctypes.c_void_p(self.memory.ctypes.data + place), size, sequences, capacity, ctypes.byref(self.state))

    def try_call(self, name, *arguments):
        wide = [ctypes.c_int64(value) if isinstance(value, int) else value for value in arguments]
        return self.session.call(name, self.session.model, *wide)

    def call(self, name, *arguments):
        self.session.check(self.try_call(name, *arguments))

    def bind(self):
        self.session.check(self.session.call("bind_state", self.session.context, self.state))

    def length(self, row=0):
        length = ctypes.c_int64()
        self.call("state_length", self.state, row, ctypes.byref(length))
        return length.value

    def set_length(self, length, row=-1):
        return self.try_call("set_state_length", self.state, row, length)

    def panels(self, index):
        info = StateInfo(size=ctypes.sizeof(StateInfo))
        self.session.check(self.session.call("state_info", self.session.model, index, ctypes.byref(info)))
        return info.panel_rows

    def data(self, index, like, axis):
        """What lies in the rows that `like`, a present, has."""
        dims, data = (ctypes.c_int64 * 8)(), ctypes.c_void_p()
        self.session.check(self.session.call("state_data", self.session.model, self.state, index, dims, ctypes.byref(data)))
        shape = dims[: like.ndim]
        bytes_ = np.ctypeslib.as_array(ctypes.cast(data, ctypes.POINTER(ctypes.c_uint8)), (int(np.prod(shape)) * like.itemsize,))
        rows = bytes_.view(like.dtype)
        if self.panels(index):
            *outer, capacity, size = shape
            rows = rows.reshape(*outer, capacity // 32, size, 32).swapaxes(-1, -2)
        return rows.reshape(shape).take(range(like.shape[axis]), axis)


class StateInfo(ctypes.Structure):
    """tenon_state_info."""

    _fields_ = [("size", ctypes.c_size_t), ("numbers", ctypes.c_int32 * 4), ("panel_rows", ctypes.c_int32), ("reason", ctypes.c_char_p),
                ("format", ctypes.c_int32), ("page_rows", ctypes.c_int32), ("row_bytes", ctypes.c_int64)]


def equal(found, expected, what):
    for name, value in found.items():
        if value.tobytes() != expected[name].tobytes():
            raise Failure(f"{what}: '{name}' has other bits, the largest difference is {np.abs(value - expected[name]).max()}")


def with_state(session, state, pairs, past, new):
    names = {name for name in tokens(0, 1)} & session.input_names
    inputs = {name: value for name, value in tokens(past, new).items() if name in names} | dict.fromkeys(pairs, HELD)
    outputs = {name: port for name, port in session.outputs().items() if name not in pairs.values()}
    return session.run(inputs, outputs)


def decode(tool, text, pairs, axes, oracle, threads):
    model = model_of(text)
    path = tool.file(f"{model.graph.name}.onnx")
    onnx.save(model, path)
    inputs = {value.name for value in model.graph.input}
    sessions = []
    for options in ((), ("--state=off",)):
        artifact, _ = tool.compile(path, "-O1", *options)
        sessions += [Session(artifact, threads) for _ in range(1 if options else 2)]
        for session in sessions:
            session.input_names = inputs
    held, plain, off = sessions
    right = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]) if oracle else None
    state, pasts = State(held, ROOM), empty(model, pairs)
    state.bind()
    at, runs = 0, []
    for new in (3, 1, 1, 2, 1, 1, 5, 1):
        given = {name: value for name, value in tokens(at, new).items() if name in inputs} | pasts
        expected = plain.run(given, plain.outputs())
        equal(off.run(given, off.outputs()), expected, "without states")
        found = with_state(held, state, pairs, at, new)
        equal(found, expected, f"{new} tokens behind {at}")
        # onnxruntime's GroupQueryAttention takes one token behind a past.
        known = right if at == 0 or new == 1 else None
        for name, value in zip((o.name for o in right.get_outputs()), known.run(None, given)) if known else ():
            if not np.allclose(value, expected[name], 1e-3 if value.dtype == np.float16 else 1e-5, 1e-2 if value.dtype == np.float16 else 1e-5):
                raise Failure(f"'{name}' differs from onnxruntime's")
        runs.append((at, new, found))
        at += new
        pasts = {past: expected[present] for past, present in pairs.items()}
        if state.length() != at or state.length(1) != at:
            raise Failure(f"the state has {state.length()} rows, expected {at}")
    for index, (past, axis) in enumerate(axes.items()):
        if state.data(index, pasts[past], axis).tobytes() != pasts[past].tobytes():
            raise Failure(f"the state of '{past}' holds other bits than the present")

    # Back, and on in another state that took over the first rows.
    at, new, expected = runs[-2]
    held.check(state.set_length(at))
    found = with_state(held, state, pairs, at, new)
    del found["seen"]  # all of a buffer, what was rolled back too
    equal(found, expected, "after a roll back")
    held.check(state.set_length(at))
    other = State(held, ROOM)
    for row in range(BATCH):
        other.call("copy_state", other.state, row, state.state, row, at)
    other.bind()
    for at, new, expected in runs[-2:]:
        equal(with_state(held, other, pairs, at, new), expected, "after a copy")

    # What is refused changes nothing.
    def refused(status, wanted, text):
        message = held.error.value.decode()
        if status != wanted or text not in message:
            raise Failure(f"expected status {wanted} with '{text}', found {status}: {message}")

    length = other.length()
    try:
        with_state(held, other, pairs, length, ROOM - 4)
        raise Failure("more rows than there is room for")
    except Failure as failure:
        if f"status {STATE_FULL}:" not in str(failure) or f"has room for {ROOM}" not in str(failure):
            raise
    if other.length() != length:
        raise Failure("a refused run has changed the length")
    refused(other.set_length(length + 1), INVALID_STATE, f"{length + 1} rows, expected at most the {length}")
    refused(other.set_length(0, 2), INVALID_ARGUMENT, "sequence 2 does not exist")
    held.check(other.set_length(length - 1, 1))
    try:
        if "sums" in held.outputs():  # of rows of all sequences: no attention
            with_state(held, other, pairs, length, 1)
            raise Failure("rows of two lengths")
    except Failure as failure:
        if f"status {INVALID_STATE}: sequence 1 has {length - 1} rows" not in str(failure):
            raise
    name = next(iter(pairs))
    refused(held.call("bind_input", held.context, held.index("find_input", name), 1, 4, (ctypes.c_int64 * 4)(), None, ctypes.c_size_t(0)),
            INVALID_ARGUMENT, "is held by the bound state")
    other.memory[:] = 0
    try:
        with_state(held, other, pairs, length, 1)
        raise Failure("memory that is no state")
    except Failure as failure:
        if f"status {INVALID_STATE}: this memory holds no state" not in str(failure):
            raise
    held.check(held.call("bind_state", held.context, None))
    for session in sessions:
        session.close()


def reasons(tool):
    path = tool.file("none.onnx")
    onnx.save(model_of(NONE), path)
    said = tool.expect_success("compile", "-v", path, "-o", tool.file("none.so"), "-O1").stderr
    shown = tool.expect_success("inspect", tool.file("none.so")).stdout
    for name, why in (
        ("past_last", "node 'Concat_0' (tenon.concat) puts new rows before it"),
        ("past_read", "node 'Exp_1' (tenon.exp) reads it, and adds no rows"),
        ("past_fixed", "its length is always 31"),
        ("past_heads", "its dim 1 is h, in node 'Concat_4' (tenon.concat) h, expected a static one"),
        ("past_twice", "several nodes read it"),
    ):
        if f"no state: input '{name}': {why}" not in said:
            raise Failure(f"compile -v does not say of '{name}': {why}\n{said}")
        if f"  {name}: none, {why}" not in shown:
            raise Failure(f"inspect does not say of '{name}': {why}\n{shown}")
    if "states: 1\n" not in said or "  past -> i: grows along dim 2, f32, 64 bytes a row" not in shown:
        raise Failure(f"the state that there is is not told\n{said}\n{shown}")


def main():
    checks = Checks(__doc__.splitlines()[0])
    tool = checks.tool()
    axes = {name: 2 for name in PAIRS} | {"past_r": 1, "past_t": 3}
    for threads in (1, 2):
        checks.attempt(f"forms, {threads} threads", decode, tool, FORMS, PAIRS, axes, True, threads)
    checks.attempt("newer operators", decode, tool, NEWER, NEWER_PAIRS, {name: 2 for name in NEWER_PAIRS}, False, 1)
    checks.attempt("reasons", reasons, tool)
    checks.finish()


if __name__ == "__main__":
    main()
