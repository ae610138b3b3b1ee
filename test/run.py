#!/usr/bin/env python3
# ===- run.py - run the test suites and count -----------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Runs lit and closes with one line: N passed, N failed, N skipped.

With --level every artifact is compiled for that level unless its test says
another one; on a CPU that lacks the level nothing is run.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

PASSED = {"PASS", "FLAKYPASS", "XFAIL"}
SKIPPED = {"UNSUPPORTED", "SKIPPED", "EXCLUDED"}

# What each level adds, in the words of /proc/cpuinfo.
LEVELS = {
    "x86-64-v2": "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3",
    "x86-64-v3": "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave",
    "x86-64-v4": "avx512f avx512bw avx512cd avx512dq avx512vl",
}


def lacking(level):
    """The level's features that this CPU has not."""
    with open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        has = set(next(x for x in cpuinfo if x.startswith("flags")).split())
    names = list(LEVELS)
    return [x for name in names[: names.index(level) + 1] for x in LEVELS[name].split() if x not in has]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lit", required=True)
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--filter", help="only tests that match this regex")
    parser.add_argument("--level", choices=LEVELS, help="the default target of tenon compile")
    parser.add_argument("--long", action="store_true", help="long campaigns too")
    parser.add_argument("suite", type=Path, help="the build's test folder")
    args = parser.parse_args()

    if args.level:
        lacks = lacking(args.level)
        if lacks:
            print(f"skipped: all tests - LEVEL={args.level}: this CPU lacks {', '.join(lacks)}")
            print("0 passed, 0 failed, 1 skipped")
            return 0
        os.environ["TENON_TARGET"] = args.level

    results = args.suite / "results.json"
    results.unlink(missing_ok=True)
    command = [args.lit, "-s", "-v", "-j", args.jobs, "--time-tests"]
    command += ["-o", str(results)]
    command += ["--param", "long=1"] if args.long else []
    command += [str(args.suite), str(args.suite / "Unit")]
    if args.filter:
        command += ["--filter", args.filter]
    code = subprocess.run(command, check=False).returncode
    if not results.exists():
        print("0 passed, 1 failed, 0 skipped")
        return code or 1

    tests = json.loads(results.read_text())["tests"]
    codes = [test["code"] for test in tests]
    passed = sum(code in PASSED for code in codes)
    skipped = sum(code in SKIPPED for code in codes)
    failed = len(codes) - passed - skipped
    for test in tests:
        if test["code"] in SKIPPED:
            # Lit's reason, where it has one: what the test requires.
            reason = " ".join(test.get("output", "").split())
            print("skipped:", test["name"], *(["-", reason] if reason else []))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or code or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
