#!/usr/bin/env python3
# ===- check-files.py - size and form of source files ---------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Checks that no source file is too long, and that each names its licence."""

import re
import sys
from pathlib import Path

MAX_LINES = 800
SUFFIXES = {".cpp", ".h", ".hpp", ".c", ".td", ".py", ".rs"}
FOLDERS = ["bench", "dialects", "examples", "include", "lib", "python", "runtime", "rust",
           "test", "tools"]
LICENCE = "SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception"
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")


def check(path, text):
    lines = text.count("\n")
    if lines > MAX_LINES:
        yield f"{path}: {lines} lines, at most {MAX_LINES} are allowed"
    if LICENCE not in text[:1500]:
        yield f"{path}: no line '{LICENCE}' in the banner"
    for number, line in enumerate(text.splitlines(), 1):
        if match := UNFINISHED.search(line):
            yield f"{path}:{number}: {match.group()}"
        if line != line.rstrip():
            yield f"{path}:{number}: space at the end of the line"


def main():
    root = Path(sys.argv[1]).resolve()
    errors = []
    for folder in FOLDERS:
        for source in sorted((root / folder).rglob("*")):
            if source.suffix in SUFFIXES and source.is_file():
                path = source.relative_to(root).as_posix()
                errors += check(path, source.read_text(encoding="utf-8"))
    for error in errors:
        print("error:", error)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
