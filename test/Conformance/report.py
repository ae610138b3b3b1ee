# ===- report.py - docs/OnnxSupport.md ------------------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""The report on operators, from a run's results."""

import json
import re
import subprocess
from collections import Counter, defaultdict

import onnx
from onnx import TensorProto

HEAD = """# ONNX operators

Made by `make conformance`; do not edit. Every node case that onnx {version}
generates ({nodes}, function expansions included) and the models that it ships
(simple, pytorch-operator, pytorch-converted: {models}) are compiled ahead of time
and run through the C API; outputs are compared with the case's own, under its
own tolerances. Modes:

- *static*: the case as it is; its inputs are all given at run time.
- *symbolic*: every dim above 1 of a data input is a symbol of its own. Where
  operands broadcast, further runs of the same artifact ({reruns} runs of
  {rerun} cases) set the dims of one of them to 1, with ONNX's reference
  evaluator as the judge.
- *constant*: every input is an initialiser.

Compiled for {targets}. The tables by operator are of {first};
*Counts* has every target.

*refused*: the compiler says in one line what it does not support. *rounding*:
a 16-bit output is off by at most two of its steps, or one of f32 by at most four
of its largest value's, where the case asks for less. *failed*: an error of the
C API. Anything else is a bug.
"""


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def first_words(detail):
    """A diagnostic without what is particular to the case."""
    detail = re.sub(r"^node '[^']*': ", "", detail)
    detail = re.sub(r"'[^']*'", "'...'", detail.split("; ")[0])
    return re.sub(r"\b\d+\b", "N", detail).replace("|", "\\|")[:100]


def registry(tenon):
    """Operator to its opsets, from the importer's table: the first opset of each
    form, the newest one last."""
    if not tenon:
        return {}
    found = json.loads(subprocess.check_output([tenon, "operators", "--json"], text=True))
    opsets = {}
    for row in found["operators"]:
        standard = row["domain"] == "ai.onnx"
        name = row["operator"] if standard else f"{row['domain']}.{row['operator']}"
        since = row["since"]
        if standard:
            # What ONNX had before an operator's first opset is nothing.
            known = [s.since_version for s in schemas(row["operator"])]
            first = min(known, default=1)
            since = sorted({max(s, first) for s in since})
            newest = found["newest_opset"]
            opsets[name] = f"{since[0]} to {newest}"
        else:
            opsets[name] = f"from {since[0]}"
    return opsets


def target_name(target):
    """What `native` was when the report was made."""
    if target != "native":
        return target
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "")
    except OSError:
        model = ""
    return f"native ({model})" if model else "native"


def schemas(operator):
    return [s for s in onnx.defs.get_all_schemas_with_history() if s.name == operator and not s.domain]


def types_of(case):
    values = [*case.model.graph.input, *case.model.graph.output]
    kinds = {value.type.tensor_type.elem_type for value in values}
    return {TensorProto.DataType.Name(kind).lower() for kind in kinds if kind}


def operator_table(cases, by_mode, opsets):
    """Opsets, types seen to pass, cases passed, and what is refused."""
    counts, types, limits = defaultdict(dict), defaultdict(set), defaultdict(set)
    for mode, results in by_mode.items():
        for name, (kind, _, detail) in results.items():
            operator = cases[name].operator
            passed = counts[operator].setdefault(mode, [0, 0])
            passed[0] += kind == "pass"
            passed[1] += 1
            if kind == "pass":
                types[operator] |= types_of(cases[name])
            elif kind == "refused":
                limits[operator].add(first_words(detail))
    rows = []
    for operator in sorted(counts.keys() | opsets.keys()):
        passed = counts[operator]
        cells = [f"{passed[m][0]} / {passed[m][1]}" if m in passed else "" for m in by_mode]
        some = any(p for p, _ in passed.values())
        accepted = opsets.get(operator, "by its function" if some else "none")
        refused = "; ".join(sorted(limits[operator])[:3])
        rows.append([operator, accepted, *cells, " ".join(sorted(types[operator])), refused])
    return table(["operator", "opsets", *by_mode, "types", "refused"], rows)


def write(cases, skipped, every, tenon=None):
    """`every`: mode to target to case to result."""
    targets = list(next(iter(every.values())))
    by_mode = {mode: by_target[targets[0]] for mode, by_target in every.items()}
    symbolic = by_mode.get("symbolic", {})
    reruns = [len(cases[name].reruns) for name in symbolic if cases[name].reruns]
    models = sum("." in name for name in cases)
    text = [
        HEAD.format(
            version=onnx.__version__,
            nodes=len(cases) - models,
            models=models,
            reruns=sum(reruns),
            rerun=len(reruns),
            targets=", ".join(map(target_name, targets)),
            first=target_name(targets[0]),
        )
    ]
    kinds = ["pass", "rounding", "refused", "failed", "wrong", "internal", "crash", "hang"]
    rows = []
    for mode, by_target in every.items():
        for target, results in by_target.items():
            counts = Counter(kind for kind, _, _ in results.values())
            rows.append([mode, target, len(results), *(counts[kind] for kind in kinds)])
    text += ["\n## Counts\n\n", table(["mode", "target", "cases", *kinds], rows)]
    if "constant" in by_mode:
        passed = [d for kind, _, d in by_mode["constant"].values() if kind == "pass"]
        folded = sum(detail == "folded" for detail in passed)
        text.append(
            f"\nOf the {len(passed)} cases that pass with constant inputs {folded} fold wholly: "
            "nothing but\nconstants is left of them.\n"
        )
    text += ["\n## Out of scope\n\n"]
    text.append(table(["reason", "cases"], Counter(skipped.values()).most_common()))

    modes = list(by_mode)
    text += [
        "\n## Operators\n\nOpsets: those whose form the importer takes; *by its function*: through"
        " the body\nthat ONNX defines. Types: of inputs and outputs in cases that pass.\n\n",
        operator_table(cases, by_mode, registry(tenon)),
    ]

    reasons = defaultdict(Counter)
    for mode, results in by_mode.items():
        for kind, _, detail in results.values():
            if kind != "pass":
                reasons[first_words(detail)][mode] += 1
    rows = sorted(reasons.items(), key=lambda row: (-sum(row[1].values()), row[0]))
    text += ["\n## What is refused, and why\n\n"]
    text.append(table(["diagnostic", *modes], [[key, *(c[m] for m in modes)] for key, c in rows]))
    return "".join(text)
