#!/usr/bin/env python3
#===- big_weights.py - compile more weights than memory should hold --------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Compiles a synthetic model of 5 GB and watches the compiler's memory.

usage: big_weights.py [--tenon PATH] [--gb N] [--limit-mb N] [--work DIR] [--run]

The model is a chain of matrix products whose weights are external data in a
sparse file, with a few nonzero values so that a run says something. Weights
have to stream from file to file: the peak of the compiler's anonymous memory
must stay below the limit (600 MB by default), whatever is mapped. With --run
the artifact also runs once and its output is checked. Exits 1 on failure.
Needs disk space for one more copy of the weights.
"""

import argparse
import math
import os
import subprocess
import sys
import time

import numpy as np
import onnx
from onnx import TensorProto, helper

from watch import Watch

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WIDTH, INNER = 4096, 16384  # 256 MB a matrix


def make_model(folder, gigabytes):
    """Pairs of WIDTH x INNER and INNER x WIDTH products; returns the path."""
    size = 4 * WIDTH * INNER
    count = max(2, 2 * math.ceil(gigabytes * 1e9 / size / 2))
    nodes, tensors, value = [], [], "x"
    with open(os.path.join(folder, "weights.bin"), "wb") as file:
        for index in range(count):
            dims = [WIDTH, INNER] if index % 2 == 0 else [INNER, WIDTH]
            tensor = TensorProto(name=f"w{index}", data_type=TensorProto.FLOAT, dims=dims)
            tensor.data_location = TensorProto.EXTERNAL
            entries = {"location": "weights.bin", "offset": str(index * size), "length": str(size)}
            for key, text in entries.items():
                tensor.external_data.add(key=key, value=text)
            tensors.append(tensor)
            # An identity's corner: row and column k hold one 1 at k.
            for k in range(4):
                file.seek(index * size + 4 * (k * dims[1] + k))
                file.write(np.float32(1).tobytes())
            out = "y" if index == count - 1 else f"v{index}"
            nodes.append(helper.make_node("MatMul", [value, f"w{index}"], [out], f"product{index}"))
            value = out
        file.truncate(count * size)
    shape = ["rows", WIDTH]
    graph = helper.make_graph(
        nodes, "big", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)], tensors,
    )
    path = os.path.join(folder, "big.onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=8), path)
    return path, count * size


def check_run(tenon, artifact, folder):
    """The first four columns pass through, the others become 0."""
    x = np.arange(3 * WIDTH, dtype=np.float32).reshape(3, WIDTH)
    np.save(os.path.join(folder, "x.npy"), x)
    command = [tenon, "run", artifact, "--input", f"x={folder}/x.npy", "--output-dir", folder]
    subprocess.run(command, check=True)
    y = np.load(os.path.join(folder, "y.npy"))
    expected = np.zeros_like(x)
    expected[:, :4] = x[:, :4]
    return np.array_equal(y, expected)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tenon", default=os.path.join(ROOT, "build", "bin", "tenon"))
    parser.add_argument("--gb", type=float, default=5.0)
    parser.add_argument("--limit-mb", type=float, default=600.0)
    parser.add_argument("--work", default=os.path.join(ROOT, ".deps", "bench", "big"))
    parser.add_argument("--weights", choices=["embed", "file"], default="embed")
    parser.add_argument("--run", action="store_true", help="run the artifact, too")
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    space = os.statvfs(args.work)
    if space.f_bavail * space.f_frsize < 1.3e9 * args.gb:
        sys.exit(f"{args.work} has too little space for an artifact of {args.gb} GB")
    model, size = make_model(args.work, args.gb)
    artifact = os.path.join(args.work, "big.so")
    start = time.monotonic()
    process = subprocess.Popen([args.tenon, "compile", model, "-o", artifact, f"--weights={args.weights}"])
    watch = Watch(process.pid)
    code = process.wait()
    seconds = time.monotonic() - start
    watch.finish()
    print(
        f"{size / 1e9:.2f} GB of weights: exit code {code}, {seconds:.1f} s, "
        f"peak anonymous {watch.anonymous / 1024:.0f} MB, peak resident {watch.resident / 1024:.0f} MB"
    )
    good = code == 0 and 0 < watch.anonymous / 1024 <= args.limit_mb
    if good and args.run:
        good = check_run(args.tenon, artifact, args.work)
        print("the output is right" if good else "the output is wrong")
    for name in os.listdir(args.work):
        if name.startswith("big.") or name == "weights.bin":
            os.remove(os.path.join(args.work, name))
    print("PASS" if good else f"FAIL (limit {args.limit_mb:.0f} MB)")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
