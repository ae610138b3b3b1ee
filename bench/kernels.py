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
the table of docs/Kernels.md.
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


def prepare(args):
    """Compiles the models and the program; returns (program, listing)."""
    work = Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    lines = []
    for n, k in SHAPES:
        for epilogue in EPILOGUES:
            source, artifact = work / f"{n}x{k}-{epilogue}.onnx", work / f"{n}x{k}-{epilogue}.so"
            onnx.save(model(n, k, epilogue), source)
            subprocess.run([args.tenon, "compile", source, "-o", artifact, f"--target={args.target}"], check=True)
            rows = ROWS if epilogue == "bias" else [128]
            rows = [m for m in rows if not args.rows or m in args.rows]
            plain = work / f"{n}x{k}-bias.so" if epilogue == "gelu" else "-"
            lines.append(f"{artifact} {plain} {n} {k} {epilogue} {' '.join(map(str, rows))}\n")
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


def table(counters, target):
    """Markdown: shares of the peak, and ratios to the peers."""
    shapes = [f"{n}x{k}" for n, k in SHAPES]

    def place(name):
        shape, epilogue, m = name.split("/")
        return shapes.index(shape), EPILOGUES.index(epilogue), int(m)

    def median(name, counter):
        values = [row[counter] for row in counters[name] if counter in row]
        return statistics.median(values) if values else None

    def text(value, spec):
        return "" if value is None else format(value, spec)

    names = sorted(counters, key=place)  # they ran in a random order
    peaks = [row["peak"] / 1e9 for rows in counters.values() for row in rows]
    left_alone = sum("alone" in row for rows in counters.values() for row in rows)
    lines = [
        f"Level {target}. FMA peak during this run: {min(peaks):.0f} to {max(peaks):.0f} GFLOP/s, median "
        f"{statistics.median(peaks):.0f}. In {left_alone} of {len(peaks)} repetitions the core was left alone for at "
        "least one turn.",
        "",
        "| N×K | epilogue | M | Tenon GFLOP/s | of the peak | left alone | to OpenBLAS | to oneDNN "
        "| of the read bandwidth | cycles added |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        shape, epilogue, m = name.split("/")
        cells = [shape.replace("x", "×"), epilogue, m, f"{median(name, 'flop') / 1e9:.0f}"]
        cells += [text(median(name, counter), ".0%") for counter in ("share", "alone")]
        cells += [text(median(name, counter), ".2f") for counter in ("openblas", "onednn", "read", "added")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenon", required=True)
    parser.add_argument("--work", default=str(HERE.parent / ".deps" / "bench" / "kernels"))
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--filter", default=".", help="a regular expression of benchmark names")
    parser.add_argument("--rows", type=int, nargs="*", help="only these M")
    parser.add_argument("--target", default="native", help="native, x86-64-v3")
    parser.add_argument("--output", help="write the table between the marks of this file")
    args = parser.parse_args()
    text = table(measure(*prepare(args), args), args.target)
    if not args.output:
        print(text)
        return
    path = Path(args.output)
    begin, end = f"<!-- measured: bench/kernels.py --target={args.target} -->", "<!-- measured: to here -->"
    head, rest = path.read_text().split(begin)
    path.write_text(f"{head}{begin}\n\n{text}\n{end}{rest.split(end, 1)[1]}")


if __name__ == "__main__":
    main()
