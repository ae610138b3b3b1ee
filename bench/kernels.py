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
measures OpenBLAS, oneDNN, the FMA peak and the read bandwidth in the same run.
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
            subprocess.run([args.tenon, "compile", source, "-o", artifact], check=True)
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
    """Name to the FLOP/s of each repetition; of "added" the cycles per element."""
    out = listing.parent / "kernels.json"
    subprocess.run(
        [program, listing, f"--benchmark_repetitions={args.repetitions}", "--benchmark_min_time=0.02",
         "--benchmark_enable_random_interleaving=true", f"--benchmark_out={out}",
         "--benchmark_out_format=json", f"--benchmark_filter={args.filter}"],
        check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    rates = defaultdict(list)
    for row in json.loads(out.read_text())["benchmarks"]:
        if row["run_type"] == "iteration":
            name = row["run_name"].removesuffix("/iterations:101")
            rates[name].append(row["flop"] if "flop" in row else row["cycles"])
    return rates


def table(rates):
    """Markdown: shares of the peak, and ratios to the peers."""
    shapes = [f"{n}x{k}" for n, k in SHAPES]

    def place(name):
        _, *rest = name.split("/")
        return (shapes.index(rest[0]), EPILOGUES.index(rest[1]), int(rest[2])) if rest else (-1,)

    rates = dict(sorted(rates.items(), key=lambda item: place(item[0])))  # they ran in a random order
    best = {name: max(values) for name, values in rates.items()}
    median = {name: statistics.median(values) for name, values in rates.items()}
    lines = [
        f"FMA peak in this run: {best['peak'] / 1e9:.0f} GFLOP/s (median {median['peak'] / 1e9:.0f}).",
        "",
        "| N×K | epilogue | M | Tenon GFLOP/s | of the peak (best / median) | to OpenBLAS | to oneDNN | of the read bandwidth |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in rates:
        engine, *rest = name.split("/")
        if engine != "tenon":
            continue
        shape, epilogue, m = rest

        def ratio(other, of=median):
            key = "/".join([other, *rest])
            return f"{of[name] / of[key]:.2f}" if key in of else ""

        share = f"{100 * best[name] / best['peak']:.0f}% / {100 * median[name] / median['peak']:.0f}%"
        lines.append(
            f"| {shape.replace('x', '×')} | {epilogue} | {m} | {median[name] / 1e9:.0f} | {share} | "
            f"{ratio('openblas')} | {ratio('onednn')} | {ratio('read')} |"
        )
    lines += ["", "What GELU adds to the product with a bias, in cycles of the peak's clock for each element:", ""]
    lines += ["| N×K | M | cycles (least / median) |", "|---|---|---|"]
    for name, cycles in rates.items():
        engine, *rest = name.split("/")
        if engine == "added":
            lines.append(f"| {rest[0].replace('x', '×')} | {rest[2]} | {min(cycles):.2f} / {median[name]:.2f} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenon", required=True)
    parser.add_argument("--work", default=str(HERE.parent / ".deps" / "bench" / "kernels"))
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--filter", default=".", help="a regular expression of benchmark names")
    parser.add_argument("--rows", type=int, nargs="*", help="only these M")
    parser.add_argument("--output", help="write the table between the marks of this file")
    args = parser.parse_args()
    text = table(measure(*prepare(args), args))
    if not args.output:
        print(text)
        return
    path = Path(args.output)
    begin, end = "<!-- measured: bench/kernels.py writes from here -->", "<!-- measured: to here -->"
    head, rest = path.read_text().split(begin)
    path.write_text(f"{head}{begin}\n\n{text}\n{end}{rest.split(end)[1]}")


if __name__ == "__main__":
    main()
