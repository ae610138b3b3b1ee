#!/usr/bin/env python3
# ===- gpu.py - Tenon beside PyTorch on one GPU ----------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""What gpu.sh runs: packs cases into a folder, and measures them on a GPU.

A case is one operation, applied `repeats` times so that what a run costs beside
it does not matter, or a model. Tenon's run has its tensors on the GPU; its time
is the caller's, from one tenon_run to the next. PyTorch's is the median of as
many rounds, taken in turns with Tenon's. A case whose results are off is not
timed.
"""

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np

DTYPES = {"float32": 1, "uint8": 2, "int32": 6, "int64": 7, "float16": 10, "bfloat16": 16}
HOST, DEVICE = 0, 1
# As tenon_api in tenon.h has them.
FUNCTIONS = {"output_info": 2, "find_input": 7, "find_output": 8, "context_create": 10, "output_dims": 14, "reserve": 15,
             "run": 19, "bind_input_at": 26, "bind_output_at": 27}


# ===----------------------------------------------------------------------=== #
# Packing
# ===----------------------------------------------------------------------=== #


def models(tiny):
    """(name, ONNX model, inputs, how PyTorch does it) of each operation."""
    import ml_dtypes
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    types = {"f32": (np.float32, TensorProto.FLOAT), "f16": (np.float16, TensorProto.FLOAT16),
             "bf16": (ml_dtypes.bfloat16, TensorProto.BFLOAT16)}
    rng = np.random.default_rng(0)

    def random(shape, dtype, scale=1.0):
        return (rng.standard_normal(shape, np.float32) * scale).astype(dtype)

    def model(name, nodes, inputs, output, weights=(), kind="bf16"):
        ports = [helper.make_tensor_value_info(n, types[kind][1], v.shape) for n, v in inputs.items()]
        result = helper.make_tensor_value_info(output, types[kind][1], None)
        graph = helper.make_graph(nodes, name, ports, [result], [numpy_helper.from_array(v, n) for n, v in weights])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11)

    def matmul(kind, m, n, k, repeats):
        """A chain of products by one weight, or by two in turn."""
        dtype = types[kind][0]
        weights = [("w0", random((k, n), dtype, k**-0.5)), ("w1", random((n, k), dtype, n**-0.5))]
        nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i % 2}"], [f"x{i + 1}"]) for i in range(repeats)]
        name = f"matmul_{kind}_{m}x{n}x{k}"
        inputs = {"x0": random((m, k), dtype)}
        work = {"flops": 2 * m * n * k * repeats, "torch": "matmul", "repeats": repeats}
        return name, model(name, nodes, inputs, f"x{repeats}", weights, kind), inputs, work

    def attention(kind, batch, heads, length, size, causal):
        dtype = types[kind][0]
        inputs = {n: random((batch, heads, length, size), dtype) for n in "qkv"}
        node = helper.make_node("Attention", ["q", "k", "v"], ["y"], is_causal=int(causal))
        name = f"attention_{kind}_{batch}x{heads}x{length}x{size}{'_causal' if causal else ''}"
        flops = 4 * batch * heads * length * length * size / (2 if causal else 1)
        return name, model(name, [node], inputs, "y", kind=kind), inputs, {"flops": flops, "torch": "attention", "causal": causal}

    def rows(op, count, size):
        inputs = {"x": random((count, size), np.float32)}
        weights = [("w", random((size,), np.float32))] if op != "Softmax" else []
        node = helper.make_node(op, ["x", *(n for n, _ in weights)], ["y"], axis=-1)
        name = f"{op.lower()}_{count}x{size}"
        return name, model(name, [node], inputs, "y", weights, "f32"), inputs, {"bytes": 8 * count * size, "torch": op}

    if tiny:
        yield matmul("bf16", 40, 64, 64, 2)
        yield matmul("f32", 7, 64, 256, 2)
        yield attention("f16", 1, 2, 40, 32, True)
        yield rows("Softmax", 5, 96)
        yield rows("RMSNormalization", 5, 96)
        return
    for size in (4096, 8192):
        yield matmul("bf16", size, size, size, 8)
    for n, k in ((3072, 768), (4096, 4096), (14336, 4096)):
        yield matmul("bf16", 512, n, k, 16)
    for m in (1, 16, 64):
        yield matmul("bf16", m, 4096, 4096, 32)
    yield matmul("f32", 512, 3072, 768, 16)
    for causal in (False, True):
        yield attention("bf16", 4, 32, 2048, 128, causal)
        yield attention("f16", 32, 12, 512, 64, causal)
    for op in ("Softmax", "LayerNormalization", "RMSNormalization"):
        yield rows(op, 65536, 4096)


def pack(options):
    import onnx

    os.makedirs(options.folder, exist_ok=True)
    tenon, cases = os.environ.get("TENON", "tenon"), []

    def compile_case(name, path, work, inputs):
        artifact = os.path.join(options.folder, f"{name}.so")
        command = [tenon, "compile", path, "-o", artifact, f"--target=nvptx:{options.arch}"]
        subprocess.run(command + ([f"--ptxas={options.ptxas}"] if options.ptxas else []), check=True)
        # Halves of bf16 have no name that NumPy alone knows.
        np.savez(os.path.join(options.folder, f"{name}.npz"),
                 **{n: v.view(np.uint16) if v.dtype.name == "bfloat16" else v for n, v in inputs.items()})
        cases.append({"name": name, "dtypes": {n: v.dtype.name for n, v in inputs.items()}, **work})

    for name, model, inputs, work in models(options.tiny):
        path = os.path.join(options.folder, f"{name}.onnx")
        onnx.save(model, path)
        for weight in model.graph.initializer:
            inputs[weight.name] = onnx.numpy_helper.to_array(weight)
        work["weights"] = [w.name for w in model.graph.initializer]
        compile_case(name, path, work, inputs)
        os.remove(path)
    for setting in options.model:
        name, path = setting.split("=", 1)
        inputs = dict(np.load(os.path.join(os.path.dirname(path), "inputs_0.npz")))
        expected = dict(np.load(os.path.join(os.path.dirname(path), "expected_0.npz")))
        shutil.copy(path, os.path.join(options.folder, f"{name}.onnx"))
        compile_case(name, path, {"torch": "model", "weights": []}, inputs)
        np.savez(os.path.join(options.folder, f"{name}.expected.npz"), **expected)
    with open(os.path.join(options.folder, "cases.json"), "w", encoding="utf-8") as file:
        json.dump(cases, file, indent=1)
    for script in ("gpu.sh", "gpu.py"):
        shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), script), options.folder)
    print(f"{len(cases)} cases in {options.folder}")


# ===----------------------------------------------------------------------=== #
# Tenon through its C API
# ===----------------------------------------------------------------------=== #


class PortInfo(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("name", ctypes.c_char_p), ("dtype", ctypes.c_int32), ("rank", ctypes.c_int32),
                ("rest", ctypes.c_void_p * 5)]


class Options(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("flags", ctypes.c_uint32), ("threads", ctypes.c_int32), ("spin_us", ctypes.c_int32),
                ("rest", ctypes.c_void_p * 9), ("device", ctypes.c_char_p)]


class Cuda:
    """Memory of the GPU by the driver that Tenon uses, too."""

    def __init__(self, library):
        self.lib = ctypes.CDLL(library)
        for call in (("cuInit", 0),):
            self.call(*call)
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self.call("cuCtxSetCurrent", context)

    def call(self, name, *args):
        if code := getattr(self.lib, name)(*args):
            raise RuntimeError(f"{name}: {code}")

    def put(self, array):
        address = self.room(array.nbytes)
        self.call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes))
        return address

    def room(self, count):
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(count, 16)))
        return address.value

    def get(self, address, count):
        raw = np.empty(count, np.uint8)
        self.call("cuMemcpyDtoH_v2", ctypes.c_void_p(raw.ctypes.data), ctypes.c_uint64(address), ctypes.c_size_t(count))
        return raw


class Artifact:
    """One context, with everything on the GPU."""

    def __init__(self, cuda, path, inputs, dtypes):
        self.cuda = cuda
        library = ctypes.CDLL(path)
        self.model = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(library, "tenon_model")))
        self.table = ctypes.cast(self.model.value + 8, ctypes.POINTER(ctypes.c_void_p))[0]
        self.error, self.context = ctypes.create_string_buffer(4096), ctypes.c_void_p()
        options = Options(size=ctypes.sizeof(Options), threads=1, device=b"cuda")
        self.call("context_create", self.model, ctypes.byref(options), ctypes.byref(self.context))
        self.memory, dims, kept = [], {}, []
        for name, value in inputs.items():
            index = self.index("find_input", name)
            shape = (ctypes.c_int64 * max(value.ndim, 1))(*value.shape)
            dims[index] = ctypes.cast(shape, ctypes.c_void_p).value
            kept.append(shape)
            address = cuda.put(np.ascontiguousarray(value))
            self.memory.append(address)
            self.call("bind_input_at", self.context, index, DEVICE, DTYPES[dtypes[name]], value.ndim, shape,
                      ctypes.c_void_p(address), ctypes.c_size_t(value.nbytes))
        table = (ctypes.c_void_p * max(len(dims), 1))(*(dims[i] for i in range(len(dims))))
        self.call("reserve", self.context, table)
        port = PortInfo(size=ctypes.sizeof(PortInfo))
        self.call("output_info", self.model, 0, ctypes.byref(port))
        shape = (ctypes.c_int64 * max(port.rank, 1))()
        self.call("output_dims", self.context, table, 0, shape)
        self.shape, self.dtype = tuple(shape[: port.rank]), port.dtype
        self.bytes = int(np.prod(self.shape)) * {1: 4, 10: 2, 16: 2}[port.dtype]
        self.output = cuda.room(self.bytes)
        self.call("bind_output_at", self.context, 0, DEVICE, port.dtype, port.rank, None, ctypes.c_void_p(self.output),
                  ctypes.c_size_t(self.bytes))

    def call(self, name, *args):
        address = ctypes.cast(self.table + 8, ctypes.POINTER(ctypes.c_void_p))[FUNCTIONS[name]]
        if ctypes.CFUNCTYPE(ctypes.c_int)(address)(*args, self.error):
            raise RuntimeError(self.error.value.decode())

    def index(self, function, name):
        found = ctypes.c_int32()
        self.call(function, self.model, name.encode(), ctypes.byref(found))
        return found.value

    def run(self):
        self.call("run", self.context)

    def result(self):
        raw = self.cuda.get(self.output, self.bytes)
        if self.dtype == 16:
            return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(self.shape)
        return raw.view({1: np.float32, 10: np.float16}[self.dtype]).astype(np.float32).reshape(self.shape)


# ===----------------------------------------------------------------------=== #
# The others
# ===----------------------------------------------------------------------=== #


def widened(arrays, dtypes):
    return {n: (v.astype(np.uint32) << 16).view(np.float32) if dtypes[n] == "bfloat16" else v.astype(np.float32)
            for n, v in arrays.items() if v.dtype.kind == "f" or dtypes[n] == "bfloat16"}


def in_numpy(case, arrays):
    """The result in f32, of a small case."""
    x = widened(arrays, case["dtypes"])
    if case["torch"] == "matmul":
        y = x["x0"]
        for i in range(case["repeats"]):
            y = y @ x[f"w{i % 2}"]
        return y
    if case["torch"] == "attention":
        scores = x["q"] @ np.swapaxes(x["k"], -1, -2) * x["q"].shape[-1] ** -0.5
        if case["causal"]:
            scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        return scores / scores.sum(-1, keepdims=True) @ x["v"]
    if case["torch"] == "Softmax":
        y = np.exp(x["x"] - x["x"].max(-1, keepdims=True))
        return y / y.sum(-1, keepdims=True)
    mean = x["x"].mean(-1, keepdims=True) if case["torch"] == "LayerNormalization" else 0
    y = x["x"] - mean
    return y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-5) * x["w"]


def in_torch(case, arrays, folder):
    """A function that starts the work, and one that gives its result in f32."""
    import torch
    import torch.nn.functional as F

    to = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
    if case["torch"] == "model":
        # ONNX's own graph as a module, if the converter is there.
        import onnx2torch

        module = torch.compile(onnx2torch.convert(os.path.join(folder, f"{case['name']}.onnx")).cuda().eval())
        inputs = [torch.from_numpy(v).cuda() for v in arrays.values()]
        work = lambda: module(*inputs)
    else:
        x = {n: torch.from_numpy(v).to(to[case["dtypes"][n]]).cuda() for n, v in widened(arrays, case["dtypes"]).items()}
        if case["torch"] == "matmul":
            def work():
                y = x["x0"]
                for i in range(case["repeats"]):
                    y = y @ x[f"w{i % 2}"]
                return y
        elif case["torch"] == "attention":
            work = lambda: F.scaled_dot_product_attention(x["q"], x["k"], x["v"], is_causal=case["causal"])
        else:
            names = {"Softmax": lambda: F.softmax(x["x"], -1), "LayerNormalization": lambda: F.layer_norm(x["x"], x["w"].shape, x["w"]),
                     "RMSNormalization": lambda: F.rms_norm(x["x"], x["w"].shape, x["w"], 1e-5)}
            work = torch.compile(names[case["torch"]])
    torch.backends.cuda.matmul.allow_tf32 = False

    def timed():
        with torch.no_grad():
            y = work()
        torch.cuda.synchronize()
        return y

    return timed


def rounds(functions, seconds=4.0, most=30):
    """The median of each in ms, taken in turns."""
    times = [[] for _ in functions]
    for function in functions:
        for _ in range(3):
            function()
    end = time.monotonic() + seconds
    while len(times[0]) < most and (time.monotonic() < end or len(times[0]) < 3):
        for function, own in zip(functions, times):
            start = time.perf_counter()
            function()
            own.append((time.perf_counter() - start) * 1e3)
    return [float(np.median(own)) for own in times]


def copy_bandwidth(torch):
    """GB/s of a copy of a GB, read and written."""
    source = torch.empty(1 << 28, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)

    def copy():
        target.copy_(source)
        torch.cuda.synchronize()

    return 2 * source.numel() * 4 / rounds([copy], 2.0)[0] / 1e6


def check(name, found, expected):
    """The largest difference, relative to the largest value."""
    error = float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))
    if not error < (3e-2 if "bf16" in name else 4e-3 if "f16" in name else 1e-4):
        raise RuntimeError(f"results are off by {error:.2e} of the largest")
    return error


def run(options):
    folder, begin, failed = options.folder, time.monotonic(), 0
    with open(os.path.join(folder, "cases.json"), encoding="utf-8") as file:
        cases = json.load(file)
    torch = None
    if not options.emulated:
        import torch
    cuda = Cuda(os.path.join(options.emulated, "libcuda.so.1") if options.emulated else "libcuda.so.1")
    if torch:
        print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, copy {copy_bandwidth(torch):.0f} GB/s")
    print("| case | error | Tenon ms | PyTorch ms | PyTorch / Tenon | |\n|---|---|---|---|---|---|")
    for case in cases:
        if time.monotonic() - begin > options.seconds:
            print(f"| {case['name']} | no time left | | | | |")
            continue
        try:
            arrays = dict(np.load(os.path.join(folder, f"{case['name']}.npz")))
            inputs = {n: v for n, v in arrays.items() if n not in case["weights"]}
            artifact = Artifact(cuda, os.path.join(os.path.abspath(folder), f"{case['name']}.so"), inputs, case["dtypes"])
            artifact.run()
            expected = os.path.join(folder, f"{case['name']}.expected.npz")
            other = None if options.emulated else in_torch(case, arrays, folder)
            if os.path.exists(expected):
                target = next(iter(np.load(expected).values())).astype(np.float32)
            else:
                target = other().float().cpu().numpy() if other else in_numpy(case, arrays)
            error = check(case["name"], artifact.result(), target)
            if options.emulated:
                print(f"| {case['name']} | {error:.1e} | | | | |", flush=True)
                continue
            own, its = rounds([artifact.run, other])
            rate = f"{case['flops'] / own / 1e9:.1f} TFLOP/s" if "flops" in case else f"{case['bytes'] / own / 1e6:.0f} GB/s" if "bytes" in case else ""
            print(f"| {case['name']} | {error:.1e} | {own:.3f} | {its:.3f} | {its / own:.2f} | {rate} |", flush=True)
        except Exception as problem:  # the others are still worth the GPU's time
            failed += 1
            print(f"| {case['name']} | {problem} | | | | |", flush=True)
    print(f"{len(cases) - failed} of {len(cases)} cases in {time.monotonic() - begin:.0f} s")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("folder")
    packing.add_argument("--tiny", action="store_true", help="sizes for the emulated device")
    packing.add_argument("--arch", default="sm_90a")
    packing.add_argument("--ptxas")
    packing.add_argument("--model", action="append", default=[], metavar="NAME=FILE.onnx")
    running = commands.add_parser("run")
    running.add_argument("folder")
    running.add_argument("--seconds", type=float, default=420)
    running.add_argument("--emulated", metavar="FOLDER")
    options = parser.parse_args()
    sys.exit(pack(options) if options.command == "pack" else run(options))


if __name__ == "__main__":
    main()
