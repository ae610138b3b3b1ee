#!/usr/bin/env python3
# ===- masks.py - attention under masks on the emulated GPU ----------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Cases of test/Models/masks.py on the emulated GPU, against onnxruntime.

Keys that no query of a block may look at are left out; lengths go around the
sizes of blocks (64 queries) and parts (32 keys). Wide heads take more shared
memory than a kernel has without asking.

usage: masks.py [--tenon PATH] [SUBSTRING...]
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "Models"))

import gpu as emulated  # noqa: E402
import numpy as np  # noqa: E402
import masks  # noqa: E402
from batch import Graph, check_graphs  # noqa: E402
from operators import build, compare, session_of  # noqa: E402
from session import Session  # noqa: E402
from tool import Checks, Failure  # noqa: E402

NAMES = ("select of two numbers", "window", "window of scores", "padding", "padding to no key", "whole rows masked",
         "stored numbers", "gathered")
masks.LENGTHS[:] = [(1, 100, 137), (2, 5, 5), (2, 1, 50)]


WIDE = """(float[b,1,s,128] q, float[b,1,t,128] k, float[b,1,t,96] v) => (float[b,1,s,96] y) {
    kt = Transpose <perm = [0, 1, 3, 2]> (k)
    scale = Constant <value_float = 0.1> ()
    p = MatMul (q, kt)
    x = Mul (p, scale)
    w = Softmax (x)
    y = MatMul (w, v)
}"""


def wide_heads():
    model = build(WIDE, 20)
    rng = np.random.default_rng(4)
    inputs = {name: rng.standard_normal((1, 1, *shape)).astype(np.float32)
              for name, shape in (("q", (70, 128)), ("k", (40, 128)), ("v", (40, 96)))}

    def judge(_, given, found):
        compare(found, session_of(model)(given), 1e-5, 1e-5, "wide heads")

    return Graph("wide heads", model, [inputs], judge)


def main():
    checks = Checks(__doc__.splitlines()[0])
    tool = checks.tool()
    device = emulated.Gpu()

    def runs(_, artifact, __, feeds):
        session = Session(artifact, device="cuda")
        for number, inputs in enumerate(feeds):
            yield number, session.run_named(inputs)
        session.close()
        if device.report()[0]:
            raise Failure(device.report()[1])

    graphs = [masks.case_graph(name, masks.CASES[name]) for name in NAMES]
    graphs.append(wide_heads())
    check_graphs(checks, tool, graphs, "-O1", "--target=nvptx:sm_80", "--ptxas=none", runs=runs)
    checks.finish()


if __name__ == "__main__":
    main()
