# ===- symbols.py - what the runtime links to ------------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""symbols.py SOURCE_DIR FILE...: every undefined symbol of the files is one of
cmake/glibc-stubs, and nothing runs before main."""

import pathlib
import re
import subprocess
import sys

source, paths = pathlib.Path(sys.argv[1]), sys.argv[2:]
allowed = set()
for stub in (source / "cmake" / "glibc-stubs").glob("*.map"):
    allowed |= set(re.findall(r"^\s+(\w+);", stub.read_text(), re.MULTILINE))

lines = subprocess.run(["llvm-nm", "--format=posix", *paths], check=True,
                       capture_output=True, text=True).stdout.splitlines()
defined, undefined = set(), set()
for line in lines:
    parts = line.split()
    if len(parts) >= 2:
        (undefined if parts[1] in "Uwv" else defined).add(parts[0])
# Addresses that the linker itself defines.
undefined -= defined | {"_GLOBAL_OFFSET_TABLE_"}
assert "tenon_runtime_api" in defined, "the function table is missing"
unknown = sorted(undefined - allowed)
assert not unknown, f"{paths} need {unknown}"
constructors = [s for s in defined if s.startswith("_GLOBAL__")
                or s == "llvm.global_ctors"]
assert not constructors, f"{paths} have constructors: {constructors}"
print(len(undefined), "symbols of libc")
