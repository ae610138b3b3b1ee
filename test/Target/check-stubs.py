#!/usr/bin/env python3
# ===- check-stubs.py - the glibc stubs tell the truth --------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Checks that this machine's glibc has each symbol of a stub, at its version.

usage: check-stubs.py STUB_DIR FLOOR

Also checks that no stub asks for a version above FLOOR (such as 2.31).
"""

import subprocess
import sys
from pathlib import Path


def symbols(path):
    """The defined dynamic symbols of a library, as {(name, version)}."""
    text = subprocess.run(
        ["llvm-readelf", "--dyn-symbols", "--wide", str(path)],
        check=True, capture_output=True, text=True,
    ).stdout
    result = set()
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[6] != "UND" and "@" in fields[7]:
            name, version = fields[7].replace("@@", "@").split("@")
            result.add((name, version))
    return result


def real_library(name):
    for folder in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
                   "/lib64", "/usr/lib64"):
        path = Path(folder) / name
        if path.exists():
            return path
    raise SystemExit(f"no {name} on this machine")


def main():
    folder, floor = Path(sys.argv[1]), tuple(map(int, sys.argv[2].split(".")))
    # Symbols moved from libpthread to libc in glibc 2.34: look in all of them.
    names = ["libc.so.6", "libpthread.so.0", "libm.so.6", "ld-linux-x86-64.so.2"]
    real = set().union(*(symbols(real_library(name)) for name in names))
    wrong = 0
    for name in names:
        stub = {s for s in symbols(folder / name) if not s[0].startswith("GLIBC")}
        if not stub:
            print(f"error: the stub of {name} is empty")
            wrong += 1
        for symbol, version in sorted(stub):
            if (symbol, version) not in real:
                print(f"error: {name}: glibc has no {symbol}@{version}")
                wrong += 1
            number = tuple(map(int, version.removeprefix("GLIBC_").split(".")))
            if number > floor:
                print(f"error: {name}: {symbol}@{version} is above the floor")
                wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
