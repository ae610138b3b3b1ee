#!/usr/bin/env python3
# ===- run.py - run the test suites and count -----------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Runs lit and closes with one line: N passed, N failed, N skipped."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

PASSED = {"PASS", "FLAKYPASS", "XFAIL"}
SKIPPED = {"UNSUPPORTED", "SKIPPED", "EXCLUDED"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lit", required=True)
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--filter", help="only tests that match this regex")
    parser.add_argument("suite", type=Path, help="the build's test folder")
    args = parser.parse_args()

    results = args.suite / "results.json"
    results.unlink(missing_ok=True)
    command = [args.lit, "-s", "-v", "-j", args.jobs, "--time-tests"]
    command += ["-o", str(results)]
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
