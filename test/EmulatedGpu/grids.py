#!/usr/bin/env python3
# ===- grids.py - blocks that go from tile to tile -------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Products of a grid (#tenon.gpu_grid) on an emulated GPU that runs two blocks at a time.

The bits are those of blocks that have a tile each, in whatever order warps run: of
many rows and of few, whose K is split, of several matrices, of weights in formats
and of gated ones. In a kernel that ships whatever orders its warps is left out, one
after the other; each is reported.

usage: grids.py [--tenon PATH] [SUBSTRING...]
"""

import os
import re
import sys

import ml_dtypes
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "Models"))

import gpu as emulated  # noqa: E402
from exact import Graph, difference  # noqa: E402
from formats import n_bits  # noqa: E402
from session import Session  # noqa: E402
from tool import Checks, Failure  # noqa: E402

ROWS, FEW = 300, 40
TARGET = ("--target=nvptx:sm_90a", "--ptxas=none")


def floats(*shape):
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


def product(g, label, k, n, after=lambda g, y: y):
    x, w = floats(ROWS, k), floats(k, n)
    y = g.node("MatMul", g.input(x, [f"{label}_m", k]), g.weight(w))
    g.expect(label, after(g, y), after(None, x.astype(np.float64) @ w), rtol=1e-3)


def residual(g, y):
    """An epilogue that reads a row and a tensor."""
    bias, other = floats(130), floats(ROWS, 130)
    if g is None:
        return np.maximum(y + bias, 0) + other
    return g.node("Add", g.node("Relu", g.node("Add", y, g.weight(bias))), g.input(other, ["residual_m", 130]))


def build():
    g = Graph(contrib=True)
    product(g, "plain", 96, 130)
    product(g, "residual", 70, 130, residual)
    product(g, "split", 288, 66)
    n_bits(g, "four bits", 96, 70, 4, 32, "packed", rows=[ROWS])
    rng = np.random.default_rng(5)
    x, w = rng.integers(-1, 2, (ROWS, 192)), rng.integers(-1, 2, (192, 64))
    for dtype in (np.float16, ml_dtypes.bfloat16):
        label = np.dtype(dtype).name
        y = g.node("MatMul", g.input(x.astype(dtype), [f"{label}_m", 192]), g.weight(w.astype(dtype)))
        g.expect(label, y, (x @ w).astype(dtype))
    x = floats(ROWS, 64)
    left = g.input(x, ["gated_m", 64])
    gate, up = (g.node("MatMul", left, g.weight(floats(64, 96) * scale)) for scale in (1, 2))
    y = x.astype(np.float64) @ floats(64, 96)
    g.expect("gated", g.node("Mul", g.node("Mul", gate, g.node("Sigmoid", gate)), up), y / (1 + np.exp(-y)) * 2 * y, rtol=1e-3)
    a, b = floats(2, 3, 140, 40), floats(2, 3, 40, 70)
    y = g.node("MatMul", g.input(a, ["matrices_b", 3, "matrices_m", 40]), g.input(b, ["matrices_b", 3, 40, 70]))
    g.expect("matrices", y, a.astype(np.float64) @ b, rtol=1e-3)
    return g


def run(device, artifact, inputs, seed):
    device.reset(seed)
    session = Session(artifact, device="cuda")
    try:
        found = session.run_named(inputs)
    except Failure as failure:
        raise Failure(f"{failure}\n{device.report()[1]}") from None
    session.close()
    if device.report()[0]:
        raise Failure(device.report()[1])
    return found


def same(tool, device):
    g = build()
    path = tool.file("grids.onnx")
    g.save(path)
    tilings = tool.file("tilings.txt")
    text = tool.expect_success("compile", path, *TARGET, "--emit=tilings", "-o", "-").stdout
    text, count = re.subn(r"#tenon\.gpu_grid<(#tenon\.gpu_matmul<[^>]*>)>", r"\1", text)
    if count < len(g.expected):
        raise Failure(f"{count} kernels have grids:\n{text}")
    with open(tilings, "w", encoding="utf-8") as file:
        file.write(text)
    grid, tiles = (tool.compile(path, "-O1", *TARGET, *more)[0] for more in ([], [f"--tilings={tilings}"]))
    few = {name: value[:FEW] if value.ndim == 2 else value[:, :, :FEW] if value.shape[2] == 140 else value
           for name, value in g.inputs.items()}
    for inputs in (g.inputs, few):
        expected = run(device, tiles, inputs, 1)
        for seed in (1, 2):
            for name, value in run(device, grid, inputs, seed).items():
                if value.tobytes() != expected[name].tobytes():
                    raise Failure(f"'{name}' of {FEW if inputs is few else ROWS} rows has other bits, order {seed}")
    found = run(device, grid, g.inputs, 3)
    wrong = [f"{name}: {why}" for name, (value, bounds) in g.expected.items() if (why := difference(found[name], value, **bounds))]
    if wrong:
        raise Failure("\n  ".join(wrong))


# What orders warps, and what takes its place.
ORDERS = {
    "a barrier": (rb"bar(?:rier)?\.sync[^;]*;", b""),
    "an arrival": (rb"mbarrier\.arrive[^;]*;", b""),
    "a wait": (rb"mbarrier\.try_wait\S*\s+(%p\d+), [^;]*;", rb"setp.eq.s32 \1, 0, 0;"),
    "a fence of the mbarriers": (rb"fence\.mbarrier_init[^;]*;", b""),
    "a fence between the proxies": (rb"fence\.proxy\.async[^;]*;", b""),
}


def faults(tool, device):
    g = Graph()
    product(g, "plain", 96, 130)
    path = tool.file("plain.onnx")
    g.save(path)
    artifact, _ = tool.compile(path, "-O1", *TARGET)
    expected = run(device, artifact, g.inputs, 1)["plain"]
    with open(artifact, "rb") as file:
        text = file.read()
    begin = text.index(b".entry matmul")
    end = text.index(b"\n}", begin)
    places = [(what, match, match.expand(instead)) for what, (pattern, instead) in ORDERS.items()
              for match in re.compile(pattern).finditer(text, begin, end)]
    if {what for what, _, _ in places} != set(ORDERS):
        raise Failure(f"only {len(places)} places were found")
    for number, (what, match, instead) in enumerate(places):
        broken = tool.file(f"fault{number}.so")
        with open(broken, "wb") as file:
            file.write(text[:match.start()] + instead.ljust(match.end() - match.start()) + text[match.end():])
        device.reset(1)
        session = Session(broken, device="cuda")
        try:
            right = session.run_named(g.inputs)["plain"].tobytes() == expected.tobytes()
        except Failure:
            right = False
        device.reset()
        session.close()
        if right:
            raise Failure(f"{what} left out, number {number} of {len(places)}, '{match[0].decode()}': nothing is said")


def main():
    checks = Checks(__doc__.splitlines()[0])
    tool = checks.tool()
    device = emulated.Gpu()
    checks.attempt("bits", same, tool, device)
    checks.attempt("faults", faults, tool, device)
    checks.finish()


if __name__ == "__main__":
    main()
