# ===- profile_sum.py - does a profile add up? ----------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
import json
import sys

with open(sys.argv[1], encoding="utf-8") as text:
    found = json.load(text)
profile = found["profile"]
calls = sorted({kernel["calls"] for kernel in found["kernels"]})
print(f"calls of the body {calls[-1]}, before it {calls[0]}")
kernels = sum(kernel["ms"] for kernel in found["kernels"])
parts = kernels + profile["prepare_ms"] + profile["control_ms"] + profile["between_ms"]
print(f"parts {100 * parts / profile['run_ms']:.0f}% of the run")
# A loaded machine may stop the process between the two clocks of some runs.
near = 0.9 * found["min_ms"] < profile["run_ms"] <= 1.001 * found["mean_ms"]
print("the run is the measured one" if near else (profile, found["mean_ms"]))
