#!/usr/bin/env python3
# ===- driver.py - the driver API of the emulated GPU ----------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Modules, streams, graphs, copies and errors of the emulated libcuda.so.1."""

import ctypes
import os
import subprocess
import sys

import gpu as emulated
import numpy as np

ADD = emulated.HEADER + emulated.entry("add", """  mad.wide.u32 %d0, %t, 4, %q0;
  ld.global.b32 %r0, [%d0];
  add.u32 %r0, %r0, 1;
  st.global.b32 [%d0], %r0;""", 1)

# In a process of its own, without NumPy: what calls return.
SHORT = """
import ctypes, sys
lib = ctypes.CDLL(sys.argv[1])
value, context, address = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
print(lib.cuInit(0), lib.cuDriverGetVersion(ctypes.byref(value)), value.value, end=" ")
print(lib.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0), lib.cuCtxSetCurrent(context), end=" ")
lib.cuDeviceGetAttribute(ctypes.byref(value), 75, 0)
print(value.value, *[lib.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(1 << 20)) for _ in range(3)], end=" ")
print(lib.cuMemFree_v2(address))
"""

PROBLEMS = []


def expect(name, found, due):
    if found != due:
        PROBLEMS.append(f"{name}: {found!r}, expected {due!r}")


def code_of(action):
    try:
        action()
        return 0
    except emulated.CudaError as error:
        return error.code


def check_modules(gpu):
    def refused(text, header=emulated.HEADER):
        try:
            gpu.load(header + text)
        except emulated.CudaError as error:
            return error.code, error.text
        return 0, ""

    def body(code):
        return emulated.entry("k", "  " + code, 0)

    for code, due in [
        ("wmma.load.a.sync;", "no rule for 'wmma': wmma.load.a.sync"),
        ("add.rz.f32 %f0, %f1, %f2;", "no rule for '.rz' of 'add'"),
        ("add.s32 %r0, %d1, %r2;", "'%d1' has 64 bits where 32 are due"),
        ("add.s32 %r0, %r1, %nothing;", "what is '%nothing'?"),
        ("add.s32 %r0, %r1;", "2 operands"),
        ("bra $NOWHERE;", "no label '$NOWHERE'"),
        ("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%g0,%g1},{%g2},{%g3},{%g4,%g5};", "no rule for"),
        ("cvt.f16.f32 %h0, %f0;", "a conversion without its rounding"),
        ("ld.global.v2.b32 {%r0}, [%d0];", "1 registers"),
    ]:
        error, text = refused(body(code))
        expect(code, (error, due in text), (218, True))
        expect(f"the line of {code}", text.startswith("ptxas emulated; line 1"), True)
    expect("another target", refused("", ".version 8.0\n.target sm_100\n.address_size 64\n")[0], 209)
    expect("a target of one device", refused("", ".version 8.0\n.target sm_80a\n.address_size 64\n")[0], 209)
    expect("no PTX", refused("hello", "")[0], 218)
    expect("a cubin", refused("", "\x7fELF")[0], 209)
    module = gpu.load(ADD)
    expect("an unknown function", code_of(lambda: gpu.function(module, "sub")), 500)
    function = gpu.function(module, "add")
    launch = lambda *shape, **more: code_of(lambda: gpu.launch(function, *shape, [0], **more))
    expect("too many threads", launch(1, 2048), 1)
    expect("no block", launch(0, 32), 1)
    expect("more shared memory than was asked for", launch(1, 32, shared=50000), 1)
    expect("more than a block has", code_of(lambda: gpu.call("cuFuncSetAttribute", function, 8, 300 << 10)), 1)
    limited = gpu.load(ADD.replace("\n{", "\n.maxntid 64\n{", 1))
    expect("more threads than .maxntid", code_of(lambda: gpu.launch(gpu.function(limited, "add"), 1, 96, [0])), 1)
    value = ctypes.c_int()
    gpu.call("cuFuncGetAttribute", ctypes.byref(value), 0, gpu.function(limited, "add"))
    expect("the attribute of it", value.value, 64)
    gpu.call("cuModuleUnload", module)
    expect("a module that is gone", code_of(lambda: gpu.function(module, "add")), 400)
    text = ctypes.c_char_p()
    gpu.call("cuGetErrorString", 700, ctypes.byref(text))
    expect("an error's text", text.value, b"an illegal memory access was encountered")
    gpu.call("cuGetErrorName", 2, ctypes.byref(text))
    expect("an error's name", text.value, b"CUDA_ERROR_OUT_OF_MEMORY")


def check_order(gpu):
    """Nothing is done before somebody waits; streams are in order, and events order two of them."""
    module = gpu.load(ADD)
    function = gpu.function(module, "add")
    first, second, event = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    gpu.call("cuStreamCreate", ctypes.byref(first), 1)
    gpu.call("cuStreamCreate", ctypes.byref(second), 1)
    gpu.call("cuEventCreate", ctypes.byref(event), 0)
    buffer = gpu.put(np.zeros(32, np.int32))
    pinned = ctypes.c_void_p()
    gpu.call("cuMemAllocHost_v2", ctypes.byref(pinned), ctypes.c_size_t(128))
    host = np.ctypeslib.as_array(ctypes.cast(pinned, ctypes.POINTER(ctypes.c_int32)), (32,))
    host[:] = -1
    gpu.launch(function, 1, 32, [buffer], stream=first)
    gpu.call("cuMemcpyDtoHAsync_v2", pinned, ctypes.c_uint64(buffer), ctypes.c_size_t(128), first)
    expect("before it is waited for", host[0], -1)
    gpu.call("cuStreamSynchronize", first)
    expect("after it was waited for", host[0], 1)
    gpu.launch(function, 1, 32, [buffer], stream=first)
    gpu.call("cuMemcpyDtoHAsync_v2", pinned, ctypes.c_uint64(buffer), ctypes.c_size_t(128), second)
    gpu.call("cuStreamSynchronize", second)
    expect("another stream, no event", host[0], 1)
    gpu.call("cuEventRecord", event, first)
    gpu.call("cuStreamWaitEvent", second, event, 0)
    gpu.call("cuMemcpyDtoHAsync_v2", pinned, ctypes.c_uint64(buffer), ctypes.c_size_t(128), second)
    gpu.call("cuStreamSynchronize", second)
    expect("another stream that waits for an event", host[0], 2)
    # What is pageable may change when the call has returned, what is pinned may not.
    values = np.full(32, 5, np.int32)
    gpu.call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(buffer), values.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(128), first)
    values[:] = 6
    gpu.call("cuStreamSynchronize", first)
    expect("a copy of pageable memory", gpu.get(buffer, 32, np.int32)[0], 5)
    host[:] = 7
    gpu.call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(buffer), pinned, ctypes.c_size_t(128), first)
    host[:] = 8
    gpu.call("cuStreamSynchronize", first)
    expect("a copy of pinned memory", gpu.get(buffer, 32, np.int32)[0], 8)
    # A graph: two launches, run three times.
    gpu.call("cuStreamBeginCapture_v2", first, 0)
    gpu.launch(function, 1, 32, [buffer], stream=first)
    gpu.launch(function, 1, 32, [buffer], stream=first)
    graph, executable, count = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t()
    gpu.call("cuStreamEndCapture", first, ctypes.byref(graph))
    gpu.call("cuGraphGetNodes", graph, None, ctypes.byref(count))
    expect("nodes of a graph", count.value, 2)
    gpu.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_uint64(0))
    gpu.call("cuGraphDestroy", graph)
    expect("a captured launch is not run", gpu.get(buffer, 32, np.int32)[0], 8)
    for _ in range(3):
        gpu.call("cuGraphLaunch", executable, first)
    gpu.call("cuStreamSynchronize", first)
    expect("three runs of a graph", gpu.get(buffer, 32, np.int32)[0], 14)
    gpu.call("cuGraphExecDestroy", executable)
    gpu.call("cuStreamBeginCapture_v2", first, 0)
    expect("waiting for a stream that captures", code_of(lambda: gpu.call("cuStreamSynchronize", first)), 900)
    expect("the capture after that", code_of(lambda: gpu.call("cuStreamEndCapture", first, ctypes.byref(graph))), 901)
    gpu.call("cuMemFreeHost", pinned)
    gpu.call("cuEventDestroy_v2", event)
    for stream in (first, second):
        gpu.call("cuStreamDestroy_v2", stream)
    expect("a stream that is gone", code_of(lambda: gpu.call("cuStreamSynchronize", first)), 400)


def check_errors(gpu):
    """What goes wrong on the device stays wrong, and is said."""
    module = gpu.load(ADD)
    function = gpu.function(module, "add")

    def fault(action, due, code):
        gpu.reset()
        found = code_of(action)
        expect(due, (found, due in gpu.report()[1]), (code, True))
        expect(f"{due}: the next call", code_of(gpu.synchronize), code)
        gpu.reset()

    def launch(argument, threads=32):
        gpu.launch(function, 1, threads, [argument])
        gpu.synchronize()

    buffer = gpu.put(np.zeros(16, np.int32))
    fault(lambda: launch(buffer), "outside every allocation", 700)
    fault(lambda: launch(buffer + 2, 8), "misaligned", 716)
    host = np.zeros(64, np.int32)
    fault(lambda: launch(host.ctypes.data), "outside every allocation", 700)
    fresh = gpu.alloc(128)
    fault(lambda: launch(fresh), "never written", 719)
    gpu.free(fresh)
    fault(lambda: launch(fresh), "outside every allocation", 700)
    fault(lambda: gpu.get(buffer + 60, 2, np.int32), "not in one allocation", 700)
    fresh = gpu.alloc(128)
    fault(lambda: gpu.get(fresh, 32, np.int32), "never written", 719)
    expect("memory that is none", code_of(lambda: gpu.free(12345)), 1)
    # Another thread has no context before it asks for one.
    code = []
    import threading

    worker = threading.Thread(target=lambda: code.append(code_of(gpu.synchronize)))
    worker.start()
    worker.join()
    expect("a thread without a context", code, [201])


def check_maps(gpu):
    """What the driver makes no tensor map of."""
    address = gpu.alloc(4096)

    def code(dims=(64, 8), box=(64, 8), at=address, **more):
        return code_of(lambda: gpu.tensor_map(at, 1, dims, box, **more))

    expect("a map", code(), 0)
    expect("rows that are no multiple of 16 bytes", code(strides=[136]), 1)
    expect("a tensor at 8 bytes", code(at=address + 8), 1)
    expect("a tensor of no rows", code(dims=(64, 0)), 1)
    expect("a box of 257 rows", code(box=(64, 257)), 1)
    expect("a box wider than its swizzle", code(box=(72, 8)), 1)
    expect("a swizzle that is none", code(swizzle=4), 1)
    gpu.free(address)


def check_failures():
    """What the environment asks for."""
    library = os.path.join(os.environ.get("TENON_EMULATED_GPU", "."), "libcuda.so.1")

    def run(**settings):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TENON_EMU_")} | settings
        result = subprocess.run([sys.executable, "-S", "-c", SHORT, library], env=environment, capture_output=True, text=True)
        return result.stdout.strip() or result.stderr

    expect("nothing", run(), "0 0 13000 0 0 9 0 0 0 0")
    expect("no device", run(TENON_EMU_FAIL="cuInit:1:100").split()[0], "100")
    expect("an old driver", run(TENON_EMU_DRIVER="11020"), "0 0 11020 0 0 9 0 0 0 0")
    expect("another device", run(TENON_EMU_SM="80"), "0 0 13000 0 0 8 0 0 0 0")
    expect("little memory", run(TENON_EMU_MEMORY=str(2 << 20)), "0 0 13000 0 0 9 0 0 2 0")
    expect("one failure", run(TENON_EMU_FAIL="cuMemAlloc:2:2"), "0 0 13000 0 0 9 0 2 0 0")
    expect("a device that is lost", run(TENON_EMU_FAIL="cuMemAlloc:2:719"), "0 0 13000 0 0 9 0 719 719 719")
    expect("two failures", run(TENON_EMU_FAIL="cuMemAlloc:1:2,cuMemFree:1:1"), "0 0 13000 0 0 9 2 0 0 1")


def main():
    gpu = emulated.Gpu()
    gpu.reset()
    check_modules(gpu)
    check_order(gpu)
    check_errors(gpu)
    check_maps(gpu)
    check_failures()
    for problem in PROBLEMS:
        print("FAIL", problem)
    print("driver:", f"{len(PROBLEMS)} wrong")
    sys.exit(1 if PROBLEMS else 0)


if __name__ == "__main__":
    main()
