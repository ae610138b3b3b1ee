# ===- gpu.py - the emulated GPU from Python ------------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""The driver API of the emulated libcuda.so.1, as far as its tests call it."""

import ctypes
import os
import re

import numpy as np

HEADER = ".version 8.0\n.target sm_80\n.address_size 64\n"
HOPPER = HEADER.replace("sm_80", "sm_90a")


class CudaError(Exception):
    def __init__(self, call, code, text=""):
        super().__init__(f"{call}: {code} {text}".strip())
        self.code, self.text = code, text


def mnemonics(ptx):
    """The first words of a text's statements."""
    statements = re.split(r"[;{}]|:\s", ptx)
    found = (re.match(r"\s*(?:@!?%\w+\s+)?([a-z]\w*)", s) for s in statements)
    return {match[1] for match in found if match}


class Gpu:
    """A device with its context."""

    def __init__(self, library=None):
        folder = os.environ.get("TENON_EMULATED_GPU", ".")
        # So that small models have more tiles than blocks run at a time.
        os.environ.setdefault("TENON_EMU_MULTIPROCESSORS", "1")
        self.lib = ctypes.CDLL(library or os.path.join(folder, "libcuda.so.1"))
        self.lib.tenonEmuReports.restype = ctypes.c_uint64
        self.lib.tenonEmuMnemonics.restype = ctypes.c_char_p
        self.call("cuInit", 0)
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self.call("cuCtxSetCurrent", context)
        self.context = context
        self.seen = set()

    def call(self, name, *args):
        code = getattr(self.lib, name)(*args)
        if code:
            raise CudaError(name, code)

    def reset(self, seed=1, quiet=True):
        """Forgets an error, so that the next fault can be looked at."""
        self.lib.tenonEmuReset(seed, int(quiet))

    def report(self):
        """How many reports there were since the reset, and the first ones as lines."""
        texts = ctypes.c_char_p()
        count = self.lib.tenonEmuReports(ctypes.byref(texts))
        return count, texts.value.decode()

    def load(self, ptx):
        """A module; raises with the text of the log where it is refused."""
        self.seen |= mnemonics(ptx)
        log = ctypes.create_string_buffer(2000)
        options = (ctypes.c_int * 2)(5, 6)
        values = (ctypes.c_void_p * 2)(ctypes.addressof(log), len(log))
        module = ctypes.c_void_p()
        code = self.lib.cuModuleLoadDataEx(ctypes.byref(module), ptx.encode(), 2, options, values)
        if code:
            raise CudaError("cuModuleLoadDataEx", code, log.value.decode())
        return module

    def function(self, module, name, shared=0):
        function = ctypes.c_void_p()
        self.call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        if shared > 48 << 10:
            self.call("cuFuncSetAttribute", function, 8, shared)
        return function

    def alloc(self, count):
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(count))
        return address.value

    def free(self, *addresses):
        for address in addresses:
            self.call("cuMemFree_v2", ctypes.c_uint64(address))

    def put(self, array):
        """A copy of an array on the device."""
        array = np.ascontiguousarray(array)
        address = self.alloc(max(array.nbytes, 1))
        if array.nbytes:
            self.call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), array.ctypes.data_as(ctypes.c_void_p),
                      ctypes.c_size_t(array.nbytes))
        return address

    def get(self, address, shape, dtype):
        array = np.empty(shape, dtype)
        self.call("cuMemcpyDtoH_v2", array.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint64(address),
                  ctypes.c_size_t(array.nbytes))
        return array

    def tensor_map(self, address, kind, dims, box, swizzle=3, strides=None):
        """The 128 bytes that the driver makes of a tensor; the innermost dim is the first. Types are CUDA's numbers."""
        size = {1: 2, 2: 4}[kind]
        room = np.zeros(256, np.uint8)
        begin = -room.ctypes.data % 64
        result = room[begin:begin + 128]
        strides = strides or [size * int(np.prod(dims[:d])) for d in range(1, len(dims))]
        rank = len(dims)
        self.call("cuTensorMapEncodeTiled", ctypes.c_void_p(result.ctypes.data), kind, rank, ctypes.c_void_p(address),
                  (ctypes.c_uint64 * rank)(*dims), (ctypes.c_uint64 * rank)(*strides), (ctypes.c_uint32 * rank)(*box),
                  (ctypes.c_uint32 * rank)(*[1] * rank), 0, swizzle, 3, 0)
        return result

    def launch(self, function, grid, block, args, shared=0, stream=None, owners=()):
        """Arguments: Python integers are pointers, NumPy scalars themselves. Owners: of the first ones, bytes and whether they are fresh."""
        for count, fresh in owners:
            self.call("tenonNextPointer", ctypes.c_uint64(count), int(fresh))
        kept = [ctypes.c_uint64(a) if isinstance(a, int) else np.array(a) for a in args]
        pointers = (ctypes.c_void_p * max(len(kept), 1))(
            *[ctypes.addressof(a) if isinstance(a, ctypes.c_uint64) else a.ctypes.data for a in kept])
        grid = tuple(grid) + (1,) * (3 - len(grid)) if isinstance(grid, tuple) else (grid, 1, 1)
        block = tuple(block) + (1,) * (3 - len(block)) if isinstance(block, tuple) else (block, 1, 1)
        self.call("cuLaunchKernel", function, *grid, *block, shared, stream, pointers, None)

    def synchronize(self):
        self.call("cuCtxSynchronize")


def entry(name, body, params, registers=64, extra="", directives=""):
    """A kernel with pointers p0, p1, ... in %q0, %q1, ... and its thread in %t."""
    loads = "".join(f"  ld.param.b64 %q{i}, [{name}_p{i}];\n" for i in range(params))
    return f"""
.visible .entry {name}({", ".join(f".param .u64 {name}_p{i}" for i in range(params))})
{directives}
{{
  .reg .pred %p<{registers}>;
  .reg .b16 %h<{registers}>;
  .reg .b32 %r<{registers}>, %t;
  .reg .f32 %f<{registers}>;
  .reg .b64 %d<{registers}>, %q<{max(params, 1)}>;
  .reg .f64 %g<{registers}>;
  {extra}
{loads}  mov.u32 %t, %tid.x;
{body}
  ret;
}}
"""


def run(gpu, body, inputs, outputs, threads=32, grid=1, shared=0, seed=1, extra="", header=HEADER, registers=64,
        directives=""):
    """Runs a body on copies of `inputs`; outputs are (shape, dtype). Returns their values, or the report."""
    gpu.reset(seed)
    module = gpu.load(header + entry("k", body, len(inputs) + len(outputs), registers, extra, directives))
    held = [gpu.put(a) for a in inputs]
    results = [gpu.alloc(max(int(np.prod(shape)) * np.dtype(dtype).itemsize, 1)) for shape, dtype in outputs]
    try:
        gpu.launch(gpu.function(module, "k", shared), grid, threads, held + results, shared)
        gpu.synchronize()
        return [gpu.get(a, shape, dtype) for a, (shape, dtype) in zip(results, outputs, strict=True)]
    except CudaError as error:
        count, text = gpu.report()
        if not count:
            raise
        return f"{error.code}: {text.splitlines()[0]}"
    finally:
        gpu.reset()
        gpu.free(*held, *results)
        gpu.call("cuModuleUnload", module)
