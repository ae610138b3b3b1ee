#!/usr/bin/env python3
# ===- masks.py - attention under masks on the emulated GPU ----------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Cases of test/Models/masks.py on the emulated GPU, against onnxruntime.

Keys that no query of a block may look at are left out; lengths go around the
sizes of blocks (64 and 128 queries) and parts (32 keys). Heads of other sizes come
in every precision, by products of warpgroups and others. Few queries of many keys
are blocks' that share out the keys, in the same kernels, and have the same bits alone
and in a batch.

usage: masks.py [--tenon PATH] [SUBSTRING...]
"""

import functools
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
masks.LENGTHS[:] = [(1, 100, 137), (2, 5, 5), (2, 1, 300)]


# At the other level of an artifact, too, where other products multiply the same rows.
OLDER = ("window", "whole rows masked", "padding to no key")

# Depth of the keys, width of the values, precision, what may differ. Up to two blocks of queries, and parts of keys, the last of either
# has two rows.
SHAPES = [(20, 40, "f32", 1e-5), (64, 64, "f32", 1e-5), (128, 96, "f32", 1e-5), (40, 96, "tf32", 2e-3), (64, 33, "f16", 2e-3),
          (72, 128, "bf16", 2e-2)]
PLAIN = """(float[b,2,s,{0}] q, float[b,2,s,{0}] k, float[b,2,s,{1}] v) => (float[b,2,s,{1}] y) {{
    kt = Transpose <perm = [0, 1, 3, 2]> (k)
    scale = Constant <value_float = 0.1> ()
    p = MatMul (q, kt)
    x = Mul (p, scale)
    w = Softmax (x)
    y = MatMul (w, v)
}}"""


def plain(depth, width, precision, bound):
    """Heads of a size: rows of a batch have the bits that they have alone."""
    model = build(PLAIN.format(depth, width), 20)
    rng = np.random.default_rng(4)
    inputs = {name: rng.standard_normal((2, 2, *shape)).astype(np.float32)
              for name, shape in (("q", (130, depth)), ("k", (130, depth)), ("v", (130, width)))}
    sets = [inputs, {name: value[1:] for name, value in inputs.items()}]
    kept = []

    def judge(_, given, found):
        name = f"heads of {depth} by {width}, {precision}"
        compare(found, session_of(model)(given), bound, bound, name)
        kept.append(found["y"])
        if len(kept) == 2 and (kept[0][1:] != kept[1]).any():
            raise Failure(f"{name}: other bits in a batch")

    return Graph(f"heads of {depth} by {width}", model, sets, judge)


def main():
    checks = Checks(__doc__.splitlines()[0])
    tool = checks.tool()
    device = emulated.Gpu()

    def runs(_, artifact, __, feeds, level=None, together=False):
        session = Session(artifact, device="cuda", level=level)
        for number, inputs in enumerate(feeds):
            found = session.run_named(inputs)
            for row in range(2 if together and number == 2 else 0):
                alone = session.run_named({name: value[row:row + 1] if len(value) == 2 else value for name, value in inputs.items()})
                for name, value in found.items():
                    if len(value) == 2 and value[row].tobytes() != alone[name][0].tobytes():
                        raise Failure(f"'{name}' has other bits alone, row {row}")
            yield number, found
        session.close()
        if device.report()[0]:
            raise Failure(device.report()[1])

    for names, targets, level in ((NAMES, "nvptx:sm_90a", None), (OLDER, "nvptx:sm_80,nvptx:sm_90a", "sm_80")):
        graphs = [masks.case_graph(name, masks.CASES[name]) for name in names]
        check_graphs(checks, tool, graphs, "-O1", f"--target={targets}", "--ptxas=none",
                     runs=functools.partial(runs, level=level, together=True))
    for shape in SHAPES:
        check_graphs(checks, tool, [plain(*shape)], "-O1", "--target=nvptx:sm_90a", f"--gpu-precision={shape[2]}", "--ptxas=none", runs=runs)
    checks.finish()


if __name__ == "__main__":
    main()
