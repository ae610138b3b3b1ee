#!/usr/bin/env python3
#===- emulated.py - instruction set levels under an emulator ---------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Runs artifacts of several levels under qemu-x86_64, on other CPUs than this.

usage: emulated.py [--tenon PATH] [SUBSTRING...]

Each level that the emulated CPU has is forced and its outputs are compared with
onnxruntime's stored ones; where this machine has the level too, with the bits
that it computes. Unforced, the artifact must take the best level; forced to one
that the CPU lacks, it must name the missing features. QEMU 7.2 knows AVX2 but
not AVX-512, so x86-64-v4 is only refused here.
"""

import json
import os

from run_models import HERE, compare, require_same_bits
from tool import Checks, Failure, Tool, load_arrays

LEVELS = ["x86-64-v2", "x86-64-v3", "x86-64-v4"]
# An emulated CPU, the levels that it has, and a feature that it lacks.
CPUS = [("max", 2, "avx512f"), ("Nehalem", 1, "avx2")]
MODELS = ["minilm", "llama", "vit"]


def check_model(tool, entry):
    path = os.path.join(HERE, entry["file"])
    artifact, _ = tool.compile(path, "--target", ",".join(LEVELS))
    inputs = load_arrays(os.path.join(os.path.dirname(path), "inputs_1.npz"))
    expected = load_arrays(os.path.join(os.path.dirname(path), "expected_1.npz"))
    for cpu, count, lacks in CPUS:
        emulated = Tool(tool.path, ["qemu-x86_64", "-cpu", cpu])
        for level in LEVELS[:count]:
            what = f"{level} on an emulated {cpu}"
            found = emulated.run(artifact, inputs, level=level)
            compare(found, expected, entry, what)
            try:
                native = tool.run(artifact, inputs, level=level)
            except Failure as failure:
                if "this CPU lacks" not in str(failure):
                    raise
                continue
            require_same_bits(found, native, f"{what} and natively")
        require_same_bits(emulated.run(artifact, inputs), found, f"the best level on an emulated {cpu}")
        for level in LEVELS[count:]:
            try:
                emulated.run(artifact, inputs, level=level)
            except Failure as failure:
                if "this CPU lacks" not in str(failure) or lacks not in str(failure) or level not in str(failure):
                    raise
            else:
                raise Failure(f"{level} ran on an emulated {cpu}")


def main():
    checks = Checks("Instruction set levels under an emulator.")
    tool = checks.tool()
    with open(os.path.join(HERE, "manifest.json"), encoding="utf-8") as file:
        entries = {entry["name"]: entry for entry in json.load(file)["models"]}
    for name in MODELS:
        checks.attempt(name, check_model, tool, entries[name])
    checks.finish()


if __name__ == "__main__":
    main()
