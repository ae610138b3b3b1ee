#!/usr/bin/env python3
# ===- thin.py - products of few terms against what binds them ------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Measures products of few terms and columns on one thread, and names those below half of what binds them.

Compiles a model for each K and N with a dynamic M, by one compiler or several
(the first one's shares are printed), and runs thin.cpp: the products, a loop
that makes the same moves alone, and a copy of as many bytes, in turns. What
binds is the FMA peak or the moves, whichever takes longer; a call's 30 ns are
not counted. Artifacts stay in --work: after a change of the compiler give
another name for it.
"""

import argparse
import os
import statistics
import subprocess
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
CALL = 30  # ns


def model(k, n):
    """x[M,K] W[K,N]"""
    weight = np.random.default_rng(k * 100 + n).standard_normal((k, n), np.float32)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["m", d]) for name, d in (("x", k), ("y", n)))
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "product", [x], [y], [numpy_helper.from_array(weight, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def span(text):
    """`3`, `1-15`, or several of these joined by commas."""
    numbers = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def prepare(args):
    """The program, and a line of the listing for each shape."""
    work = Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    lines = []
    for k in args.k:
        for n in args.n:
            paths = []
            for compiler in args.tenon:
                path = work / f"{k}x{n}.{Path(compiler).name}.so"
                paths.append(str(path))
                if path.exists():
                    continue
                source = work / "product.onnx"
                onnx.save(model(k, n), source)
                subprocess.run(
                    [compiler, "compile", source, "-o", path, "--target=x86-64-v3,native", "--threads=1"],
                    check=True, stdout=subprocess.DEVNULL,
                )
            lines.append(f"{k} {n} {' '.join(paths)}")
    wide = args.target != "x86-64-v3" and "avx512f" in Path("/proc/cpuinfo").read_text()
    program = work / f"thin.{args.target}"
    subprocess.run(
        [os.environ.get("CXX", "c++"), "-std=c++20", "-O2", f"-march=x86-64-v{4 if wide else 3}",
         f"-I{HERE.parent}/runtime/include", HERE / "thin.cpp", "-o", program, "-ldl", "-lpthread"],
        check=True,
    )
    return program, lines


def report(peak, rows, args):
    """Counts and shapes below half of what binds, then what other compilers take by the first one's time."""
    m = rows[0][2]
    share, of_copy = {}, {}
    for k, n, _, moves, copy, time, *_ in rows:
        flops = 2 * m * k * n / peak
        share[k, n] = max(flops, moves) / (time - CALL)
        of_copy[k, n] = max(flops, copy) / (time - CALL)
    print(f"Level {args.target}, {m:.0f} rows, peak {peak:.0f} GFLOP/s, {len(rows)} products:")
    for name, shares in (("the loop of moves", share), ("a copy", of_copy)):
        low = sorted((n, k) for (k, n), s in shares.items() if s < 0.5)
        print(f"  below half of the peak and of {name}: {len(low)}, median {statistics.median(shares.values()):.2f}")
        for n in dict.fromkeys(n for n, _ in low):
            print(f"    N {n:.0f}:", " ".join(f"{k:.0f} ({shares[k, n]:.0%})" for j, k in low if j == n))
    for i, compiler in enumerate(args.tenon[1:]):
        ratios = {(row[0], row[1]): row[6 + i] / row[5] for row in rows}
        print(f"  {compiler}'s time by this: geometric mean {statistics.geometric_mean(ratios.values()):.3f}")
        for (k, n), ratio in sorted(ratios.items(), key=lambda item: item[1]):
            if not 0.95 <= ratio <= 1.05:
                print(f"    {k:.0f}x{n:.0f} {ratio:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenon", required=True, nargs="+", help="compilers")
    parser.add_argument("--work", default=str(HERE.parent / ".deps" / "bench" / "thin"))
    parser.add_argument("--target", default="native", help="native, x86-64-v3")
    parser.add_argument("--k", type=span, default=span("1-15"), help="terms: 3, 1-15, 2,4-6")
    parser.add_argument("--n", type=span, default=span("1-31"), help="columns")
    parser.add_argument("--rows", type=int, nargs="+", default=[4096])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--table", action="store_true", help="print every product, in ns")
    args = parser.parse_args()
    program, lines = prepare(args)
    listing = Path(args.work) / "listing"
    listing.write_text("\n".join(lines))
    for rows in args.rows:
        command = [program, args.target, str(args.rounds), str(rows), listing]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peak, *table = out.splitlines()
        if args.table:
            print("K N M moves copy Tenon...", *table, sep="\n")
        report(float(peak), [list(map(float, line.split())) for line in table], args)


if __name__ == "__main__":
    main()
