#!/usr/bin/env python3
# ===- masks.py - attention under masks on the emulated GPU ----------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Cases of test/Models/masks.py on the emulated GPU, against onnxruntime.

Keys that no query of a block may look at are left out; lengths go around the
sizes of blocks (64 queries) and parts (32 keys).

usage: masks.py [--tenon PATH] [SUBSTRING...]
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "Models"))

import gpu as emulated  # noqa: E402
import masks  # noqa: E402
from batch import check_graphs  # noqa: E402
from session import Session  # noqa: E402
from tool import Checks, Failure  # noqa: E402

NAMES = ("select of two numbers", "window", "window of scores", "padding", "padding to no key", "whole rows masked",
         "stored numbers", "gathered")
masks.LENGTHS[:] = [(1, 100, 137), (2, 5, 5), (2, 1, 50)]


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
    check_graphs(checks, tool, graphs, "-O1", "--target=nvptx:sm_80", "--ptxas=none", runs=runs)
    checks.finish()


if __name__ == "__main__":
    main()
