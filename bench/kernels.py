#!/usr/bin/env python3
# ===- kernels.py - matrix products against OpenBLAS and oneDNN -----------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Measures matrix products as Tenon emits them for a model, on one thread.

Makes a model per weight shape and epilogue with a dynamic M, compiles it, and
runs kernels.cpp (Google Benchmark, random interleaving, repetitions), which
measures OpenBLAS, oneDNN, the FMA peak and the read bandwidth in turns with it.
Needs libbenchmark-dev, libopenblas-dev and libdnnl-dev. Writes kernels.json and
the table of docs/Kernels.md. With --formats products by weights in formats take
their place, beside the peak of the instruction that multiplies them.
"""

import argparse
import json
import os
import statistics
import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
SHAPES = [(384, 384), (1536, 384), (384, 1536), (768, 768), (3072, 768), (768, 3072)]
ROWS = [1, 6, 7, 11, 13, 16, 31, 64, 95, 96, 128, 197, 512]
EPILOGUES = ["bias", "gelu", "residual"]
FORMAT_SHAPES = [(1536, 384), (768, 768), (3072, 768), (768, 3072)]
FORMAT_ROWS = [6, 16, 64, 96, 128, 512, 1024]
# The limit of each where the CPU has the instruction, and how it is compiled.
FORMATS = {
    "integers": ("vpdpbusd", []),
    "dynamic": ("vpdpbusd", []),
    "qdq": ("vpdpbusd", []),
    "int8-act": ("vpdpbusd", ["--precision=int8-act"]),
    "bf16": ("vdpbf16ps", ["--precision=bf16"]),
    "f16": ("fma", ["--precision=f16"]),
    "4-bits": ("fma", []),
}


def model(n, k, epilogue):
    """x[M,K] W[K,N] + b, then what `epilogue` says."""
    rng = np.random.default_rng(7)
    weights = [
        numpy_helper.from_array(rng.standard_normal((k, n), np.float32), "w"),
        numpy_helper.from_array(rng.standard_normal(n, np.float32), "b"),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["m", k])]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"])]
    last = {"bias": "y"}.get(epilogue, "q")
    nodes.append(helper.make_node("Add", ["p", "b"], [last]))
    if epilogue == "gelu":
        nodes.append(helper.make_node("Gelu", ["q"], ["y"]))
    elif epilogue == "residual":
        inputs.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, ["m", n]))
        nodes.append(helper.make_node("Add", ["q", "r"], ["y"]))
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["m", n])
    graph = helper.make_graph(nodes, "product", inputs, [output], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


def format_model(form, n, k):
    """x[M,K] W[K,N] + b, with W in a format; of `integers` u8 by s8 alone, of `qdq` quantised again."""
    rng = np.random.default_rng(7)
    codes = rng.integers(-127, 128, (k, n)).astype(np.int8)
    weights, nodes, domains = [], [], [helper.make_opsetid("", 20)]

    def constant(name, value, kind=np.float32):
        weights.append(numpy_helper.from_array(np.array(value, kind), name))

    def node(kind, inputs, outputs, **attributes):
        nodes.append(helper.make_node(kind, inputs.split(), outputs.split(), **attributes))

    float_kind = TensorProto.FLOAT
    x_kind, y_kind = {"integers": (TensorProto.UINT8, TensorProto.INT32), "qdq": (float_kind, TensorProto.UINT8)}.get(form, (float_kind,) * 2)
    if form in ("bf16", "f16"):
        constant("w", codes / 100)
        node("MatMul", "x w", "p")
    elif form == "4-bits":
        domains.append(helper.make_opsetid("com.microsoft", 1))
        constant("w", rng.integers(0, 256, (n, k // 32, 16)), np.uint8)
        constant("scales", rng.uniform(0.005, 0.01, n * k // 32))
        node("MatMulNBits", "x w scales", "p", domain="com.microsoft", K=k, N=n, bits=4, block_size=32)
    else:
        constant("w", codes, np.int8)
        constant("scales", rng.uniform(0.005, 0.01, n))
        constant("zeros", np.zeros(n), np.int8)
        if form in ("integers", "qdq"):
            constant("x_scale", 0.02)
            constant("x_zero", 120, np.uint8)
        if form == "integers":
            node("MatMulInteger", "x w x_zero", "y")
        elif form == "dynamic":
            constant("scale", 0.01)
            node("DynamicQuantizeLinear", "x", "q x_scale x_zero")
            node("MatMulInteger", "q w x_zero", "sums")
            node("Cast", "sums", "floats", to=TensorProto.FLOAT)
            node("Mul", "x_scale scale", "both")
            node("Mul", "floats both", "p")
        else:
            rows = "x"
            if form == "qdq":
                rows = "rows"
                node("QuantizeLinear", "x x_scale x_zero", "q")
                node("DequantizeLinear", "q x_scale x_zero", rows)
            node("DequantizeLinear", "w scales zeros", "numbers", axis=1)
            node("MatMul", f"{rows} numbers", "p")
    if form != "integers":
        constant("b", rng.standard_normal(n))
        node("Add", "p b", "sum" if form == "qdq" else "y")
    if form == "qdq":
        constant("y_scale", 0.3)
        constant("y_zero", 128, np.uint8)
        node("QuantizeLinear", "sum y_scale y_zero", "y")
    x = helper.make_tensor_value_info("x", x_kind, ["m", k])
    y = helper.make_tensor_value_info("y", y_kind, ["m", n])
    graph = helper.make_graph(nodes, "product", [x], [y], weights)
    return helper.make_model(graph, opset_imports=domains, ir_version=10)


def has(flag):
    return flag in Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split()


def prepare_formats(args, work):
    """Lines of the listing."""
    flags = {"vpdpbusd": "avx512_vnni", "vdpbf16ps": "avx512_bf16", "fma": "fma"}
    if args.target == "x86-64-v3":
        flags |= {"vpdpbusd": "avx_vnni", "vdpbf16ps": ""}
    for n, k in FORMAT_SHAPES:
        for form in args.formats or FORMATS:
            limit, options = FORMATS[form]
            if not has(flags[limit]):
                continue
            source, artifact = work / f"{n}x{k}-{form}.onnx", work / f"{n}x{k}-{form}.so"
            onnx.save(format_model(form, n, k), source)
            target = f"{args.target}+avxvnni" if args.target == "x86-64-v3" and limit == "vpdpbusd" else args.target
            subprocess.run([args.tenon, "compile", source, "-o", artifact, f"--target={target}", *options], check=True)
            rows = [m for m in FORMAT_ROWS if not args.rows or m in args.rows]
            yield f"{artifact} - {n} {k} {form} {limit} {' '.join(map(str, rows))}\n"


def prepare_f32(args, work):
    """Lines of the listing."""
    for n, k in SHAPES:
        for epilogue in EPILOGUES:
            source, artifact = work / f"{n}x{k}-{epilogue}.onnx", work / f"{n}x{k}-{epilogue}.so"
            onnx.save(model(n, k, epilogue), source)
            subprocess.run([args.tenon, "compile", source, "-o", artifact, f"--target={args.target}"], check=True)
            rows = ROWS if epilogue == "bias" else [128]
            rows = [m for m in rows if not args.rows or m in args.rows]
            plain = work / f"{n}x{k}-bias.so" if epilogue == "gelu" else "-"
            yield f"{artifact} {plain} {n} {k} {epilogue} fma {' '.join(map(str, rows))}\n"


def prepare(args):
    """Compiles the models and the program; returns (program, listing)."""
    work = Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    lines = (prepare_f32 if args.formats is None else prepare_formats)(args, work)
    listing = work / "listing"
    listing.write_text("".join(lines))
    program = work / "kernels"
    subprocess.run(
        [os.environ.get("CXX", "c++"), "-std=c++20", "-O2", f"-I{HERE.parent}/runtime/include",
         HERE / "kernels.cpp", "-o", program, "-lbenchmark", "-lopenblas", "-ldnnl", "-ldl", "-lpthread"],
        check=True,
    )
    return program, listing


def measure(program, listing, args):
    """Name to the counters of each repetition."""
    out = listing.parent / "kernels.json"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    narrow = args.target == "x86-64-v3" or "avx512f" not in Path("/proc/cpuinfo").read_text()
    if narrow:
        environment |= {"NARROW": "1", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    # It takes the oldest kernels where it does not know the CPU's model.
    environment.setdefault("OPENBLAS_CORETYPE", "Haswell" if narrow else "SkylakeX")
    subprocess.run(
        [program, listing, f"--benchmark_repetitions={args.repetitions}",
         "--benchmark_enable_random_interleaving=true", f"--benchmark_out={out}",
         "--benchmark_out_format=json", f"--benchmark_filter={args.filter}"],
        check=True, stdout=subprocess.DEVNULL, env=environment,
    )
    counters = defaultdict(list)
    for row in json.loads(out.read_text())["benchmarks"]:
        if row["run_type"] == "iteration":
            counters[row["run_name"].split("/iterations:")[0]].append(row)
    return counters


def table(counters, args):
    """Markdown: shares of the peak, and ratios to the peers."""
    formats = args.formats is not None
    shapes = [f"{n}x{k}" for n, k in (FORMAT_SHAPES if formats else SHAPES)]
    epilogues = list(FORMATS if formats else EPILOGUES)

    def place(name):
        shape, epilogue, m = name.split("/")
        return shapes.index(shape), epilogues.index(epilogue), int(m)

    def median(name, counter):
        values = [row[counter] for row in counters[name] if counter in row]
        return statistics.median(values) if values else None

    def text(value, spec):
        return "" if value is None else format(value, spec)

    names = sorted(counters, key=place)  # they ran in a random order
    peaks = defaultdict(list)
    for name, rows in counters.items():
        peaks[FORMATS[name.split("/")[1]][0] if formats else "FMA"] += [row["peak"] / 1e9 for row in rows]
    left_alone = sum("alone" in row for rows in counters.values() for row in rows)
    ranges = "; ".join(
        f"{what} peak during this run: {min(of):.0f} to {max(of):.0f} {'Gop' if formats else 'GFLOP'}/s, median "
        f"{statistics.median(of):.0f}"
        for what, of in peaks.items()
    )
    columns = ["N×K", "format" if formats else "epilogue", "M", "Gop/s" if formats else "Tenon GFLOP/s"]
    columns += ["of the peak", "left alone"]
    columns += ["the product's step"] if formats else [
        "to OpenBLAS", "to oneDNN", "of the read bandwidth", "cycles added"
    ]
    lines = [
        f"Level {args.target}. {ranges}. In {left_alone} of {sum(map(len, peaks.values()))} repetitions the core was "
        "left alone for at least one turn.",
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    for name in names:
        shape, epilogue, m = name.split("/")
        cells = [shape.replace("x", "×"), epilogue, m, f"{median(name, 'flop') / 1e9:.0f}"]
        shares = ["share", "alone"] + ["product"] * formats
        cells += [text(median(name, counter), ".0%") for counter in shares]
        ratios = [] if formats else ["openblas", "onednn", "read", "added"]
        cells += [text(median(name, counter), ".2f") for counter in ratios]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenon", required=True)
    parser.add_argument("--work", default=str(HERE.parent / ".deps" / "bench" / "kernels"))
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--filter", default=".", help="a regular expression of benchmark names")
    parser.add_argument("--formats", nargs="*", choices=FORMATS, metavar="FORMAT", help="of weights: these, or all")
    parser.add_argument("--rows", type=int, nargs="*", help="only these M")
    parser.add_argument("--target", default="native", help="native, x86-64-v3")
    parser.add_argument("--output", help="write the table between the marks of this file")
    args = parser.parse_args()
    text = table(measure(*prepare(args), args), args)
    if not args.output:
        print(text)
        return
    path = Path(args.output)
    formats = "" if args.formats is None else " --formats"
    begin, end = f"<!-- measured: bench/kernels.py --target={args.target}{formats} -->", "<!-- measured: to here -->"
    head, rest = path.read_text().split(begin)
    path.write_text(f"{head}{begin}\n\n{text}\n{end}{rest.split(end, 1)[1]}")


if __name__ == "__main__":
    main()
