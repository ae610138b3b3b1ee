#!/usr/bin/env python3
#===- iree_compile.py - compile an ONNX model with IREE --------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""usage: iree_compile.py MODEL.onnx MODULE.vmfb

Imports the model and compiles it for the host's CPU with data tiling and the
highest optimisation level. Writes MODULE.vmfb.json with the function's name
and the names of its inputs and outputs.
"""

import json
import os
import subprocess
import sys

import onnx


def main():
    model, module = sys.argv[1:3]
    tools = os.path.dirname(sys.executable)
    mlir = module + ".mlir"
    # One self-contained file: IREE's importer then needs no search for weights.
    subprocess.run(
        [os.path.join(tools, "iree-import-onnx"), model, "-o", mlir, "--opset-version", "20"],
        check=True, stdout=subprocess.DEVNULL,
    )
    subprocess.run(
        [
            os.path.join(tools, "iree-compile"), mlir, "-o", module,
            "--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu",
            "--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3", "--iree-opt-data-tiling",
            # Its layer norm over dynamic dims needs more stack than it allows itself.
            "--iree-llvmcpu-fail-on-out-of-bounds-stack-allocation=false",
        ],
        check=True,
    )
    graph = onnx.load(model, load_external_data=False).graph
    with open(module + ".json", "w", encoding="utf-8") as file:
        json.dump(
            {
                "function": graph.name,
                "inputs": [value.name for value in graph.input],
                "outputs": [value.name for value in graph.output],
            },
            file,
        )
    os.remove(mlir)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{os.path.basename(error.cmd[0])} failed with exit code {error.returncode}")
