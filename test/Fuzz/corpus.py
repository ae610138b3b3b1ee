#!/usr/bin/env python3
# ===- corpus.py - the models that the fuzzer begins with -----------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Writes the models of ONNX's operator suite to a folder, each operator's form
once: cases that differ in numbers alone teach nothing."""

import sys
import warnings
from pathlib import Path


def form(model):
    """What tells two models apart: operators, attributes, types and ranks."""
    graph = model.graph
    nodes = [(n.domain, n.op_type, len(n.input), len(n.output),
              tuple(sorted((a.name, a.type, a.s) for a in n.attribute)))
             for n in graph.node]
    ports = [(v.type.tensor_type.elem_type, len(v.type.tensor_type.shape.dim))
             for v in [*graph.input, *graph.output]]
    return str((nodes, ports, [(o.domain, o.version) for o in model.opset_import]))


def main():
    folder = Path(sys.argv[1])
    done = folder / "complete"
    if done.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    seen = set()
    for case in cases:
        what = form(case.model)
        if what not in seen and case.model.ByteSize() < 1 << 16:
            seen.add(what)
            (folder / f"{case.name}.onnx").write_bytes(case.model.SerializeToString())
    done.touch()
    print(len(seen), "models")


if __name__ == "__main__":
    main()
