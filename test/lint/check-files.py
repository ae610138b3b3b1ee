#!/usr/bin/env python3
# ===- check-files.py - size and form of source files ---------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Checks that no source file is too long, and that each names its licence.

A C++ function above 80 lines says why in the comment in front of it: a line that
begins with "Long: ".
"""

import re
import sys
from pathlib import Path

MAX_LINES = 800
MAX_FUNCTION = 80
SUFFIXES = {".cpp", ".h", ".hpp", ".c", ".td", ".py", ".rs"}
FOLDERS = ["bench", "dialects", "examples", "include", "lib", "python", "runtime", "rust",
           "test", "tools"]
LICENCE = "SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception"
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")


SCOPE = re.compile(
    r"(inline )?namespace\b|extern \"C\"|(template <.*> )?(class|struct|union)\b[^()]*\{$"
)


def functions(lines):
    """(first line, last line), from 0, of each function outside of others. The
    sources are formatted: a block ends at the column where its head began."""
    at = 0
    while at < len(lines):
        line = lines[at].rstrip()
        at += 1
        if not line.endswith("{") or line.lstrip().startswith("//"):
            continue
        first = at - 1
        while (
            first > 0
            and lines[first - 1].strip()
            and not lines[first - 1].rstrip().endswith((";", "{", "}", ":"))
            and not lines[first - 1].lstrip().startswith(("//", "#"))
        ):
            first -= 1
        head = " ".join(part.strip() for part in lines[first:at])
        if SCOPE.match(head):
            continue
        end = lines[first][: len(lines[first]) - len(lines[first].lstrip())] + "}"
        last = next((k for k in range(at, len(lines)) if lines[k].startswith(end)), at)
        if "(" in head:
            yield first, last
        at = last + 1


def reason_before(lines, first):
    """Does the comment in front of a function say why it is long?"""
    while first > 0 and lines[first - 1].lstrip().startswith("//"):
        first -= 1
        if re.match(r"\s*///? Long: \w", lines[first]):
            return True
    return False


def check(path, text):
    lines = text.count("\n")
    if lines > MAX_LINES:
        yield f"{path}: {lines} lines, at most {MAX_LINES} are allowed"
    if LICENCE not in text[:1500]:
        yield f"{path}: no line '{LICENCE}' in the banner"
    if path.endswith((".cpp", ".h", ".hpp", ".c")):
        source = text.splitlines()
        for first, last in functions(source):
            size = last - first + 1
            if size > MAX_FUNCTION and not reason_before(source, first):
                yield (
                    f"{path}:{first + 1}: a function of {size} lines, above "
                    f"{MAX_FUNCTION} without a reason"
                )
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
