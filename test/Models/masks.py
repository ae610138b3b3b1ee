#!/usr/bin/env python3
# ===- masks.py - attention under the exporters' masks --------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Attention under masks as exporters spell them, against onnxruntime.

usage: masks.py [--tenon TENON] [--part N/M] [--seeds N] [SUBSTRING ...]

Each case is one attention with symbolic batch, query and key lengths; queries
are the last of the keys. Masks that say which keys a query may look at are
followed, so that keys that no query of a block may look at are skipped: the
lengths go around the sizes of blocks (48 queries) and panels (32 keys). Rows
that are masked whole are among them. A second check renames every node and
value of a model and shuffles its nodes: the kernels must stay the same.
"""

import functools
import os
import re

import numpy as np

from batch import Graph, check_graphs
from operators import WEIGHTS, build, compare, session_of
from tool import Checks, Failure
from variants import rename_and_shuffle

HERE = os.path.dirname(os.path.abspath(__file__))

# (batch, queries, keys)
LENGTHS = [(2, 5, 5), (1, 100, 137), (2, 64, 64), (1, 1, 50), (2, 49, 49), (1, 97, 300)]

HEAD = """
    two = Constant <value_int = 2> ()
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    first = Constant <value_ints = [0]> ()
    last = Constant <value_ints = [1]> ()
    middle = Constant <value_ints = [1, 2]> ()
    low = Constant <value_float = -3.4028235e38> ()
    nought = Constant <value_float = 0.0> ()
    none = Constant <value_float = -inf> ()
    qs = Shape (q)
    ks = Shape (k)
    s = Gather (qs, two)
    t = Gather (ks, two)
    past = Sub (t, s)
    positions = Range (past, t, one)
    keys = Range (zero, t, one)
    row = Unsqueeze (positions, last)
    column = Unsqueeze (keys, first)
    kt = Transpose <perm = [0, 1, 3, 2]> (k)
    p = MatMul (q, kt)
"""
TAIL = """
    y = MatMul (w, v)
"""
SOFTMAX = "w = Softmax (x)"
GUARDED = """
    plain = Softmax (x)
    bad = IsNaN (plain)
    w = Where (bad, nought, plain)
"""
SUM = "x = Add (p, mask) " + SOFTMAX
PADDING = """
    seen = Cast <to = 9> (attention_mask)
    padding = Unsqueeze (seen, middle)
    allowed = And (causal, padding)
"""
SQUARE = """
    rows_end = Unsqueeze (t, first)
    rows_begin = Unsqueeze (past, first)
    bottom = Slice (triangle, rows_begin, rows_end, rows_axis)
    keys_begin = Constant <value_ints = [0]> ()
    keys_axis = Constant <value_ints = [1]> ()
    part = Slice (bottom, keys_begin, rows_end, keys_axis)
"""

CASES = {
    "select of two numbers": "c = LessOrEqual (column, row) mask = Where (c, nought, low)" + SUM,
    "select of scores": "c = LessOrEqual (column, row) x = Where (c, p, low)" + SOFTMAX,
    "select of scores, the other way": "c = Greater (column, row) x = Where (c, none, p)" + SOFTMAX,
    "difference against 0": "d = Sub (row, column) c = Less (d, zero) mask = Where (c, none, nought)" + SUM,
    "Trilu": """
        size = Concat <axis = 0> (s1, t1) s1 = Unsqueeze (s, first) t1 = Unsqueeze (t, first)
        full = Expand (low, size) k1 = Add (past, one) mask = Trilu <upper = 1> (full, k1)
    """ + SUM,
    "bool times a low number": """
        c = Greater (column, row) number = Cast <to = 1> (c) mask = Mul (number, low)
    """ + SUM,
    "one less a bool": """
        c = LessOrEqual (column, row) number = Cast <to = 1> (c) unit = Constant <value_float = 1.0> ()
        other = Sub (unit, number) mask = Mul (other, low)
    """ + SUM,
    "window": """
        c = LessOrEqual (column, row) width = Constant <value_int = 40> ()
        begin = Sub (row, width) near = Greater (column, begin) both = And (c, near)
        mask = Where (both, nought, low)
    """ + SUM,
    "window of scores": """
        c = LessOrEqual (column, row) width = Constant <value_int = 7> ()
        d = Sub (row, column) near = Less (d, width) both = And (c, near) x = Where (both, p, none)
    """ + GUARDED,
    "padding": "causal = LessOrEqual (column, row)" + PADDING + "mask = Where (allowed, nought, low)" + SUM,
    "padding to no key": "causal = LessOrEqual (column, row)" + PADDING + "mask = Where (allowed, nought, none) x = Add (p, mask)" + GUARDED,
    "no row looks back": "c = GreaterOrEqual (column, row) mask = Where (c, nought, low)" + SUM,
    "whole rows masked": """
        shift = Constant <value_int = 20> () ahead = Sub (row, shift) c = LessOrEqual (column, ahead)
        mask = Where (c, nought, low)
    """ + SUM,
    "stored bools": SQUARE + "x = Where (part, p, low)" + SOFTMAX,
    "stored numbers": SQUARE.replace("triangle", "numbers") + "x = Add (p, part)" + SOFTMAX,
    "gathered": """
        b = Gather (qs, zero) batches = Range (zero, b, one) shape = Concat <axis = 0> (b1, u, s1, u)
        b1 = Unsqueeze (b, first) s1 = Unsqueeze (s, first) t1 = Unsqueeze (t, first)
        u = Constant <value_ints = [1]> () wide = Concat <axis = 0> (b1, t1)
        ids = Expand (keys, wide) all = Concat <axis = 0> (b1, u, u, t1)
        to_batch = Constant <value_ints = [-1, 1, 1, 1]> () to_key = Constant <value_ints = [1, 1, 1, -1]> ()
        at_batch = Reshape (batches, to_batch) at_key = Reshape (keys, to_key)
        eb = Expand (at_batch, all) ek = Expand (at_key, all)
        axis4 = Constant <value_ints = [4]> () ub = Unsqueeze (eb, axis4) uk = Unsqueeze (ek, axis4)
        tuples = Concat <axis = 4> (ub, uk) key_ids = GatherND (ids, tuples)
        c = LessOrEqual (key_ids, row) mask = Where (c, nought, low)
    """ + SUM,
}
TRIANGLE = np.tri(320, dtype=bool)
WEIGHTS |= {
    "triangle": TRIANGLE,
    "numbers": np.where(TRIANGLE, 0, -np.inf).astype(np.float32),
    "rows_axis": np.array([0]),
}


def sort_statements(text, inputs=()):
    """The statements in topological order, as the parser wants them."""
    statements = re.findall(r"\w+ = \w+ (?:<[^>]*> )?\([^)]*\)", text)
    known, result = {"q", "k", "v", "attention_mask", "triangle", "numbers", "rows_axis", *inputs}, []
    while statements:
        for statement in statements:
            name, operands = re.match(r"(\w+) = .*\(([^)]*)\)$", statement, re.S).groups()
            if all(o in known for o in re.findall(r"\w+", operands)):
                break
        known.add(name)
        statements.remove(statement)
        result.append(statement)
    return "\n".join(result)


def graph(body):
    inputs = "float[b,3,s,16] q, float[b,3,t,16] k, float[b,3,t,24] v"
    if "attention_mask" in body:
        inputs += ", int64[b,t] attention_mask"
    return build(f"({inputs}) => (float[b,3,s,24] y) {{ {sort_statements(HEAD + body + TAIL)} }}", 20)


def case_graph(name, body):
    """A case for check_graphs."""
    model = graph(body)
    expect = functools.cache(lambda: session_of(model))
    sets = []
    for number, (b, s, t) in enumerate(LENGTHS):
        rng = np.random.default_rng(number)
        inputs = {
            "q": rng.standard_normal((b, 3, s, 16)).astype(np.float32),
            "k": rng.standard_normal((b, 3, t, 16)).astype(np.float32),
            "v": rng.standard_normal((b, 3, t, 24)).astype(np.float32),
        }
        if "attention_mask" in body:
            # Padded on the left, as generation pads: rows without any key.
            pad = np.minimum(np.arange(b) * 3 + 2 * number, t - 1)
            inputs["attention_mask"] = (np.arange(t)[None] >= pad[:, None]).astype(np.int64)
        sets.append(inputs)

    def judge(number, inputs, found):
        # Sums of up to 300 products of numbers near 1 in another order.
        compare(found, expect()(inputs), 1e-5, 1e-5, str(LENGTHS[number]))

    return Graph(name, model, sets, judge)


def attention_kernels(tool, path):
    """The text of the attention kernels, without what numbers them."""
    output = tool.file("kernels.mlir")
    tool.expect_success("compile", path, "--emit=tile", "-o", output)
    with open(output, encoding="utf-8") as file:
        functions = re.split(r"(?=func\.func )", file.read())
    found = [re.sub(r"@(\w+?)_\d+\(", r"@\1(", f) for f in functions if f.startswith("func.func @attention")]
    if not found:
        raise Failure("no attention kernel")
    return sorted(found)


def check_names(tool, name, seeds):
    source, variant = os.path.join(HERE, name, "model.onnx"), tool.file("variant.onnx")
    expected = attention_kernels(tool, source)
    for seed in range(seeds):
        rename_and_shuffle(source, variant, seed)
        if attention_kernels(tool, variant) != expected:
            raise Failure(f"other kernels with other names and order, seed {seed}")


def main():
    checks = Checks("Attention under the exporters' masks.")
    checks.parser.add_argument("--seeds", type=int, default=2, help="how often names and order are drawn")
    tool = checks.tool()
    check_graphs(checks, tool, [case_graph(*entry) for entry in CASES.items()])
    for name in ("minilm", "gpt2", "llama-mask", "exports/llama-with-past", "exports/qwen3-with-past"):
        checks.attempt(f"names of {name}", check_names, tool, name, checks.options.seeds)
    checks.finish()


if __name__ == "__main__":
    main()
