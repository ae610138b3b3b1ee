# ===- report.py - docs/OnnxSupport.md ------------------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""The report on operators, from a run's results."""

import re
from collections import Counter, defaultdict

import onnx

HEAD = """# ONNX operators

Made by `make conformance`; do not edit. Every node case that onnx {version}
generates ({total}, function expansions included) is compiled ahead of time and
run through the C API; outputs are compared with the case's own, under its own
tolerances. Modes:

- *static*: the case as it is; its inputs are all given at run time.
- *symbolic*: every dim above 1 of a data input is a symbol of its own.
- *constant*: every input is an initialiser.

*refused*: the compiler says in one line what it does not support. *rounding*:
a 16-bit output is off by at most two of its steps, where the case asks for less
than one. *failed*: an error of the C API. Anything else is a bug.
"""


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def first_words(detail):
    """A diagnostic without what is particular to the case."""
    detail = re.sub(r"^node '[^']*': ", "", detail)
    detail = re.sub(r"'[^']*'", "'...'", detail.split("; ")[0])
    return re.sub(r"\b\d+\b", "N", detail).replace("|", "\\|")[:100]


def write(cases, skipped, by_mode):
    text = [HEAD.format(version=onnx.__version__, total=len(cases))]
    kinds = ["pass", "rounding", "refused", "failed", "wrong", "internal", "crash", "hang"]
    rows = []
    for mode, results in by_mode.items():
        counts = Counter(kind for kind, _, _ in results.values())
        rows.append([mode, len(results), *(counts[kind] for kind in kinds)])
    text += ["\n## Counts\n\n", table(["mode", "cases", *kinds], rows)]
    text += ["\n## Out of scope\n\n"]
    text.append(table(["reason", "cases"], Counter(skipped.values()).most_common()))

    per_operator = defaultdict(dict)
    for mode, results in by_mode.items():
        for name, (kind, _, _) in results.items():
            counts = per_operator[cases[name].operator].setdefault(mode, [0, 0])
            counts[0] += kind == "pass"
            counts[1] += 1
    modes = list(by_mode)
    rows = []
    for operator in sorted(per_operator):
        counts = per_operator[operator]
        cells = [f"{counts[m][0]} / {counts[m][1]}" if m in counts else "" for m in modes]
        rows.append([operator, *cells])
    text += ["\n## Cases passed per operator\n\n", table(["operator", *modes], rows)]

    reasons = defaultdict(Counter)
    for mode, results in by_mode.items():
        for kind, _, detail in results.values():
            if kind != "pass":
                reasons[first_words(detail)][mode] += 1
    rows = sorted(reasons.items(), key=lambda row: (-sum(row[1].values()), row[0]))
    text += ["\n## What is refused, and why\n\n"]
    text.append(table(["diagnostic", *modes], [[key, *(c[m] for m in modes)] for key, c in rows]))
    return "".join(text)
