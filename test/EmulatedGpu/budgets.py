#!/usr/bin/env python3
# ===- budgets.py - registers and memory of the test models' kernels -------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Assembles the PTX of test models with NVIDIA's ptxas.

Every kernel has to assemble for every architecture, none may spill a register
in matmul, attention, row or map kernels or need more of them than is given
here, and ptxas may not say that it serialised wgmma. An architecture that ptxas
does not know is left out. --table prints registers and memory by kind.

usage: budgets.py --ptxas FILE [--arch NAME,...] [--precision NAME] [--attention N] [--table] [--tenon PATH] [--all | MODEL|FILE.onnxtxt...]
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections import defaultdict

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(os.path.dirname(HERE), "Models")
sys.path.insert(0, MODELS)

from tool import Failure, Tool  # noqa: E402

# Kinds that may not spill, and the most registers that they may have.
STRICT = {"matmul": 136, "attention": 136, "row": 48, "map": 96}
MOST_SHARED = 48 << 10
INFO = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.S,
)


def assemble(tool, options, model, arch):
    """(kernel, registers, shared bytes, spilled bytes, stack bytes) of each kernel."""
    ptx = tool.file("kernels.ptx")
    path = model if os.path.isfile(model) else os.path.join(MODELS, model, "model.onnx")
    tool.expect_success("compile", path, f"--target=nvptx:{arch}", f"--gpu-precision={options.precision}", "--emit=ptx", "-o", ptx)
    with open(ptx, encoding="utf-8") as file:
        entries = re.findall(r"\.entry\s+(\w+)", file.read())
    result = subprocess.run([options.ptxas, "-v", f"-arch={arch}", ptx, "-o", os.devnull], capture_output=True, text=True)
    if "is not defined for option 'gpu-name'" in result.stderr:
        print(f"{arch}: ptxas does not know it")
        return []
    if result.returncode:
        raise Failure(f"{model}, {arch}: {result.stderr[:500]}")
    if note := re.search(r"\(C75\d\d\)[^\n]*", result.stderr):
        raise Failure(f"{model}, {arch}: {note[0]}")
    kernels = []
    for match in INFO.finditer(result.stderr):
        shared = re.search(r"(\d+) bytes smem", match["rest"])
        kernels.append((match["name"], int(match["registers"]), int(shared[1]) if shared else 0,
                        int(match["stores"]) + int(match["loads"]), int(match["stack"])))
    if sorted(k[0] for k in kernels) != sorted(entries) or not entries:
        raise Failure(f"{model}, {arch}: {len(kernels)} kernels were assembled of {len(entries)}")
    return kernels


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ptxas", required=True)
    parser.add_argument("--arch", default="sm_80,sm_90a")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--attention", type=int, metavar="N", help="the most registers of an attention")
    parser.add_argument("--tenon")
    parser.add_argument("--all", action="store_true", help="every model of test/Models")
    parser.add_argument("models", nargs="*", default=["minilm"])
    options = parser.parse_args()
    tool = Tool(options.tenon)
    if options.all:
        with open(os.path.join(MODELS, "manifest.json"), encoding="utf-8") as file:
            options.models = [os.path.join(MODELS, entry["file"]) for entry in json.load(file)["models"] if entry["expect"] == "pass"]
    rows, failed = defaultdict(list), 0
    STRICT["attention"] = options.attention or STRICT["attention"]
    for arch in options.arch.split(","):
        for model in options.models:
            try:
                kernels = assemble(tool, options, model, arch)
            except Failure as failure:
                failed += 1
                print("FAIL", failure)
                continue
            for name, registers, shared, spilled, stack in kernels:
                kind = name.rsplit("_", 1)[0]
                rows[arch, kind].append((registers, shared, spilled, stack))
                most = STRICT.get(kind)
                if most and (spilled or stack or registers > most) or shared > MOST_SHARED:
                    failed += 1
                    print(f"FAIL {model}, {arch}, {name}: {registers} registers, {shared} bytes shared, "
                          f"{spilled} spilled, {stack} of stack")
    if options.table:
        print("| architecture | kind | kernels | registers | shared bytes | spilled bytes |\n| --- | --- | ---: | ---: | ---: | ---: |")
        for (arch, kind), kernels in sorted(rows.items()):
            registers, shared, spilled, _ = zip(*kernels, strict=True)
            print(f"| {arch} | {kind} | {len(kernels)} | {min(registers)} to {max(registers)} | {max(shared)} | {sum(spilled)} |")
    print(f"{sum(map(len, rows.values()))} kernels, {failed} failures")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
