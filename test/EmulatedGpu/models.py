#!/usr/bin/env python3
# ===- models.py - the test models on the emulated GPU ---------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Runs entries of test/Models/manifest.json on the emulated GPU.

Each is compiled for a GPU alone and compared with onnxruntime's stored outputs
within the tolerances of the CPU's test. A second run with the same dims, other
orders of blocks and warps, and the first and last row of a batch alone have to
give the same bits; nothing may be reported, and no device memory be left.

--errors prints the table of docs/Gpu.md instead: of six architectures the largest
difference, by the largest value, and 1 - cosine, in each precision of products.

usage: models.py [--arch sm_90a] [--sets N] [--errors] [--tenon PATH] [NAME...]
"""

import argparse
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(os.path.dirname(HERE), "Models")
sys.path.insert(0, MODELS)

import gpu as emulated  # noqa: E402
import numpy as np  # noqa: E402
from run_models import check_rows, compare, require_same_bits  # noqa: E402
from session import Session  # noqa: E402
from tool import Failure, Tool, load_arrays  # noqa: E402

SEEDS = (1, 2)
PRECISIONS = ("f32", "tf32", "f16", "bf16")
ARCHITECTURES = ("minilm", "bert", "gpt2", "llama", "vit", "whisper-encoder")


def check_model(device, tool, entry, options):
    """What the PASS line says; raises where something is wrong."""
    path = os.path.join(MODELS, entry["file"])
    artifact, _ = tool.compile(path, "-O1", f"--target=nvptx:{options.arch}", "--ptxas=none")
    session = Session(artifact, device="cuda")
    worst = share = 0.0
    for number in range(min(entry["sets"], options.sets)):
        inputs = load_arrays(os.path.join(os.path.dirname(path), f"inputs_{number}.npz"))
        expected = load_arrays(os.path.join(os.path.dirname(path), f"expected_{number}.npz"))
        first = None
        for seed in SEEDS:
            device.lib.tenonEmuReset(seed, 0)
            found = session.run_named(inputs)
            if first is None:
                first = found
                absolute, relative = compare(found, expected, entry, f"set {number}")
                worst, share = max(worst, absolute), max(share, relative)
            require_same_bits(found, first, f"set {number}, order {seed}")
        if entry["batch"] and not number:
            check_rows({1: session, 2: session}, path, entry, inputs, first, f"set {number}")
        if device.report()[0]:
            raise Failure(device.report()[1])
    session.close()
    return f"max difference {worst:.2e} ({100 * share:.0f}% of the tolerance)"


def errors_of(tool, path, arch, precision):
    artifact, _ = tool.compile(path, "-O1", f"--target=nvptx:{arch}", f"--gpu-precision={precision}", "--ptxas=none")
    session = Session(artifact, device="cuda")
    folder = os.path.dirname(path)
    found = session.run_named(load_arrays(os.path.join(folder, "inputs_0.npz")))
    session.close()
    largest = angle = 0.0
    for name, expected in load_arrays(os.path.join(folder, "expected_0.npz")).items():
        x, y = (value.astype(np.float64).ravel() for value in (found[name], expected))
        largest = max(largest, np.abs(x - y).max() / np.abs(y).max())
        angle = max(angle, 1 - x @ y / np.sqrt((x @ x) * (y @ y)))
    return f"{largest:.1e}, {angle:.0e}"


def print_errors(tool, entries, options):
    print(f"| model | {' | '.join(PRECISIONS)} |\n|---{'|---' * len(PRECISIONS)}|")
    for name in options.names or ARCHITECTURES:
        path = os.path.join(MODELS, entries[name]["file"])
        print(f"| {name} | {' | '.join(errors_of(tool, path, options.arch, precision) for precision in PRECISIONS)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="sm_90a")
    parser.add_argument("--sets", type=int, default=2, help="of inputs, at most")
    parser.add_argument("--errors", action="store_true", help="print a table of differences")
    parser.add_argument("--tenon")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    os.environ["TENON_EMU_SM"] = options.arch.removeprefix("sm_").rstrip("af")
    with open(os.path.join(MODELS, "manifest.json"), encoding="utf-8") as file:
        entries = {entry["name"]: entry for entry in json.load(file)["models"] if entry["expect"] == "pass"}
    device = emulated.Gpu()
    if options.errors:
        return print_errors(Tool(options.tenon), entries, options)
    failed = 0
    for name in options.names or entries:
        try:
            print(f"PASS {name}: {check_model(device, Tool(options.tenon), entries[name], options)}", flush=True)
        except Failure as failure:
            failed += 1
            print(f"FAIL {name}: {failure}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
