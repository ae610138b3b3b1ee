#!/usr/bin/env python3
# ===- failures.py - what a run says when the GPU fails ---------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Runs an artifact on an emulated GPU that fails on demand: each failure has to
be one message with the driver's words, and exit code 1.

usage: failures.py [--tenon PATH]
"""

import argparse
import os
import re
import subprocess
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "Models"))

from tool import Tool  # noqa: E402

MODEL = """<ir_version: 8, opset_import: ["" : 20]>
g (float[n] x, int64[k] i) => (float[n] y, float[k] w)
{
  y = Relu (x)
  [pick] w = Gather (y, i)
}
"""

# Settings of the device, further options, what is said, whether it fails.
FAILURES = [
    ("", ["--device=cuda"], None, False),
    ("STATS=1", ["--device=cuda"],
     r"emulated GPU: 2 launches, 2 told of their buffers, \d+ instructions of warps, \d+ accesses, 0 reports, 0 allocations left", False),
    ("FAIL=cuInit:1:100", ["--device=cuda"],
     r"error: CUDA's driver: no CUDA-capable device is detected \(CUDA_ERROR_NO_DEVICE, 100\)", True),
    ("FAIL=cuInit:1:100", [],
     r"note: no GPU is used: CUDA's driver: no CUDA-capable device is detected \(CUDA_ERROR_NO_DEVICE, 100\)", False),
    ("DRIVER=11020", ["--device=cuda"], r"error: CUDA's driver is for CUDA 11\.2, which is too old: expected 12\.0 or later", True),
    ("SM=70", ["--device=cuda"], r"error: the artifact has no code for .*, which is of sm_70; it holds sm_80", True),
    ("SM=70", [], r"note: no GPU is used: the artifact has no code for .*, which is of sm_70; it holds sm_80", False),
    ("MEMORY=600", ["--device=cuda"], r"error: memory .*: out of memory \(CUDA_ERROR_OUT_OF_MEMORY, 2\)", True),
    ("FAIL=cuMemAlloc:1:2", ["--device=cuda"], r"error: memory .*: out of memory \(CUDA_ERROR_OUT_OF_MEMORY, 2\)", True),
    ("FAIL=cuStreamCreate:1:2", ["--device=cuda"], r"error: .*: out of memory \(CUDA_ERROR_OUT_OF_MEMORY, 2\)", True),
    ("FAIL=cuModuleLoadDataEx:1:218", ["--device=cuda"],
     r"error: loading the kernels: a PTX JIT compilation failed \(CUDA_ERROR_INVALID_PTX, 218\)", True),
    ("FAIL=cuMemcpyHtoDAsync:1:214", ["--device=cuda"],
     r"error: copying .*: uncorrectable ECC error encountered \(CUDA_ERROR_ECC_UNCORRECTABLE, 214\)", True),
    ("FAIL=cuLaunchKernel:2:719", ["--device=cuda"], r"error: .*: unspecified launch failure \(CUDA_ERROR_LAUNCH_FAILED, 719\)", True),
    ("FAIL=cuStreamSynchronize:1:700", ["--device=cuda"],
     r"error: .*: an illegal memory access was encountered \(CUDA_ERROR_ILLEGAL_ADDRESS, 700\)", True),
    ("", ["--device=cuda:1"], r"error: there is no GPU number 1: CUDA's driver finds 1", True),
    ("", ["--device=cuda", "--input", "i=bad.npy"], r"error: node 'pick': index 9 is out of range, expected -4 <= index < 4", True),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenon")
    tool = Tool(parser.parse_args().tenon)
    with open(tool.file("relu.onnxtxt"), "w", encoding="utf-8") as file:
        file.write(MODEL)
    artifact, _ = tool.compile(tool.file("relu.onnxtxt"), "-O1", "--target=x86-64-v2,nvptx:sm_80", "--ptxas=none")
    np.save(tool.file("x.npy"), np.float32([1, -2, 3, 4]))
    np.save(tool.file("i.npy"), np.int64([3, 0]))
    np.save(tool.file("bad.npy"), np.int64([3, 9]))
    wrong = 0
    for setting, options, due, fails in FAILURES:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TENON_EMU_")}
        environment["LD_LIBRARY_PATH"] = os.environ.get("TENON_EMULATED_GPU", ".")
        if setting:
            name, value = setting.split("=", 1)
            environment["TENON_EMU_" + name] = value
        inputs = ["--input", "x=x.npy"] + ([] if "i=bad.npy" in options else ["--input", "i=i.npy"])
        found = subprocess.run([os.path.abspath(tool.path), "run", artifact, *inputs, "--output-dir", "out", *options],
                               env=environment, cwd=tool.scratch.name, capture_output=True, text=True)
        lines = found.stderr.splitlines()
        said = len(lines) == 1 and re.fullmatch(r"(tenon( run)?: )?" + due, lines[0]) if due else not lines
        if not said or found.returncode != int(fails):
            wrong += 1
            print(f"FAIL {setting} {options}: exit code {found.returncode}, {found.stderr}")
    values = np.load(os.path.join(tool.scratch.name, "out", "w.npy"))
    if values.tolist() != [4.0, 1.0]:
        wrong += 1
        print(f"FAIL values: {values}")
    print(f"{len(FAILURES)} runs, {wrong} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
