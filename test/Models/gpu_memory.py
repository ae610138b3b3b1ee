#!/usr/bin/env python3
# ===- gpu_memory.py - tensors that the caller has on a GPU ---------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Binds memory of the emulated GPU, hands an output on as the next run's input
without a copy, and is refused what is no such memory.

usage: gpu_memory.py FOLDER_OF_THE_EMULATED_GPU SCRATCH_FOLDER
"""

import ctypes
import os
import subprocess
import sys

import numpy as np

import session as api
from session import Session
from tool import Failure

F32 = 1
HOST, DEVICE = 0, 1
MODEL = """<ir_version: 8, opset_import: ["" : 20]>
doubled (float[n, 8] x, int64[2] shape) => (float[n, 8] y, float[a, b] z)
{
  y = Add (x, x)
  rows = Constant <value_ints = [0]> ()
  most = ReduceMax (x, rows)
  zero = Sub (most, most)
  same = Add (x, zero)
  z = Reshape (same, shape)
}
"""
api.FUNCTIONS.update({"workspace_size": 13, "set_workspace": 16, "bind_input_at": 26, "bind_output_at": 27})


def main():
    library, folder = sys.argv[1:]
    source, artifact = os.path.join(folder, "doubled.onnxtxt"), os.path.join(folder, "doubled.so")
    with open(source, "w", encoding="utf-8") as file:
        file.write(MODEL)
    subprocess.run(["tenon", "compile", source, "-o", artifact, "-O1", "--target=x86-64-v2,nvptx:sm_80", "--ptxas=none"],
                   check=True)
    cuda = ctypes.CDLL(os.path.join(library, "libcuda.so.1"))
    session = Session(artifact, device="cuda")
    dims, two = (ctypes.c_int64 * 2)(3, 8), (ctypes.c_int64 * 1)(2)
    shape = np.array([8, 3], np.int64)

    def bind(session, port, place, address, rank=2):
        function = "bind_input_at" if port in ("x", "shape") else "bind_output_at"
        index = session.index("find_" + function.split("_")[1], port)
        return session.call(function, session.context, index, place, F32 if port != "shape" else 7, rank,
                            dims if rank == 2 else two, ctypes.c_void_p(address),
                            ctypes.c_size_t(96 if rank == 2 else 16))

    def expect(text, status):
        message = session.error.value.decode()
        if not status or text not in message:
            raise Failure(f"expected an error with '{text}', found {status}: {message}")

    # The context comes first: it makes the GPU's context, which memory belongs to.
    context, memory = ctypes.c_void_p(), []
    cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
    cuda.cuCtxSetCurrent(context)
    for _ in range(2):
        address = ctypes.c_uint64()
        if cuda.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(96)):
            raise Failure("no memory on the GPU")
        memory.append(address.value)
    x = np.arange(24, dtype=np.float32).reshape(3, 8)
    z = np.zeros((8, 3), np.float32)
    cuda.cuMemcpyHtoD_v2(ctypes.c_uint64(memory[0]), ctypes.c_void_p(x.ctypes.data), ctypes.c_size_t(96))

    session.check(bind(session, "shape", HOST, shape.ctypes.data, rank=1))
    session.check(bind(session, "x", DEVICE, memory[0]))
    session.check(session.call("reserve", session.context,
                               (ctypes.c_void_p * 2)(ctypes.addressof(dims), ctypes.addressof(two))))
    # Six runs of two bindings in turn, the output of one being the input of the next.
    index = session.index("find_output", "z")
    for run in range(6):
        session.check(bind(session, "x", DEVICE, memory[run % 2]))
        session.check(bind(session, "y", DEVICE, memory[1 - run % 2]))
        session.check(session.call("bind_output", session.context, index, F32, 2, None, ctypes.c_void_p(z.ctypes.data),
                                   ctypes.c_size_t(96)))
        session.check(session.call("run", session.context))
        np.testing.assert_array_equal(z, (x * 2**run).reshape(8, 3))
    # The same bindings again: from the second run on one launch of a graph.
    for _ in range(3):
        session.check(session.call("run", session.context))
    y = np.empty_like(x)
    cuda.cuMemcpyDtoH_v2(ctypes.c_void_p(y.ctypes.data), ctypes.c_uint64(memory[0]), ctypes.c_size_t(96))
    np.testing.assert_array_equal(y, x * 2**6)

    # Memory of the GPU that the caller hands in is the workspace; too little of it is refused.
    room, size = ctypes.c_uint64(), ctypes.c_size_t()
    tables = (ctypes.c_void_p * 2)(ctypes.addressof(dims), ctypes.addressof(two))
    session.check(session.call("workspace_size", session.context, tables, ctypes.byref(size)))
    if not size.value or cuda.cuMemAlloc_v2(ctypes.byref(room), size):
        raise Failure(f"no workspace of {size.value} bytes")
    session.check(session.call("set_workspace", session.context, ctypes.c_void_p(room.value), ctypes.c_size_t(64)))
    expect("workspace", session.call("run", session.context))
    session.check(session.call("set_workspace", session.context, ctypes.c_void_p(room.value), size))
    for _ in range(3):
        z[:] = 0
        session.check(session.call("run", session.context))
        np.testing.assert_array_equal(z, (x * 2**5).reshape(8, 3))
    session.check(session.call("set_workspace", session.context, None, ctypes.c_size_t(0)))
    cuda.cuMemFree_v2(room)

    expect("its memory is not a GPU's", bind(session, "x", DEVICE, z.ctypes.data & ~15))
    expect("is not aligned to 16 bytes", bind(session, "x", DEVICE, memory[0] + 4))
    expect("dims depend on its values", bind(session, "shape", DEVICE, memory[0], rank=1))
    expect("its place is 7", bind(session, "x", 7, memory[0]))
    session.close()
    # In the caller's queue a run is behind what writes its input, which nobody waits for.
    stream = ctypes.c_void_p()
    cuda.cuStreamCreate(ctypes.byref(stream), 1)
    session = Session(artifact, device="cuda", stream=stream)
    session.check(session.call("reserve", session.context, tables))
    session.check(bind(session, "shape", HOST, shape.ctypes.data, rank=1))
    session.check(bind(session, "x", DEVICE, memory[0]))
    session.check(bind(session, "y", DEVICE, memory[1]))
    session.check(session.call("bind_output", session.context, index, F32, 2, None, ctypes.c_void_p(z.ctypes.data),
                               ctypes.c_size_t(96)))
    for run in range(3):
        written = x + run
        cuda.cuMemcpyHtoDAsync_v2(ctypes.c_uint64(memory[0]), ctypes.c_void_p(written.ctypes.data), ctypes.c_size_t(96), stream)
        session.check(session.call("run", session.context))
        np.testing.assert_array_equal(z, written.reshape(8, 3))
    session.close()
    if cuda.cuStreamDestroy_v2(stream):
        raise Failure("the caller's queue is gone")
    session = Session(artifact, device="cpu")
    expect("the context runs on the CPU", bind(session, "x", DEVICE, memory[0]))
    session.close()
    for address in memory:
        cuda.cuMemFree_v2(ctypes.c_uint64(address))
    print("PASS")


if __name__ == "__main__":
    main()
