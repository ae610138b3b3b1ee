#!/usr/bin/env python3
# ===- padding.py - attention under padding masks and lengths -------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Attention whose keys are bounded by data, against onnxruntime and itself.

usage: padding.py [--tenon TENON] [SUBSTRING ...]

Each case spells a mask whose excluded keys are known at run time only: padding
as exporters write it, lengths, positions, numbers that are added. Its results
must have the bits of an artifact to which the same mask is given whole, with a
value for each query and key, and which skips nothing: the smaller of a masked
score and the largest float is that score, but no mask any more to the compiler.
Each row of a batch
is padded in another way, with lengths around the sizes of blocks (48 queries)
and panels (32 keys).
"""

import re

import numpy as np
import onnx

from masks import HEAD, TAIL, sort_statements
from operators import build, compare, reference
from tool import Checks, Failure

# (queries, keys)
LENGTHS = [(5, 5), (100, 137), (64, 64), (1, 97)]
BATCH = 8

CUT = "x = Add (p, mask) w = Softmax (x)"
CUT_GUARDED = "x = Add (p, mask) plain = Softmax (x) bad = IsNaN (plain) w = Where (bad, nought, plain)"
CUT_SELECT = "x = Where (keep, p, low) w = Softmax (x)"
CUT_SELECT_NONE = "x = Where (keep, p, none) plain = Softmax (x) bad = IsNaN (plain) w = Where (bad, nought, plain)"

COMMON = """
    unit = Constant <value_float = 1.0> ()
    wide = Concat <axis = 0> (b1, u, s1, t1)
    b = Gather (qs, zero)
    b1 = Unsqueeze (b, first) s1 = Unsqueeze (s, first) t1 = Unsqueeze (t, first)
    u = Constant <value_ints = [1]> ()
    behind = Constant <value_ints = [1, 2, 3]> ()
    causal = LessOrEqual (column, row)
"""
INT_MASK = "int64[b,t] attention_mask"
LENGTH = "int64[b] lengths"
LENGTHS_4D = "length = Unsqueeze (lengths, behind)"

# name: (mask input, statements, what is given whole, what bounds the keys)
CASES = {
    "one less the mask, times a low number": (
        INT_MASK,
        """m = Unsqueeze (attention_mask, middle) number = Cast <to = 1> (m)
        other = Sub (unit, number) mask = Mul (other, low)""" + CUT,
        "padding",
    ),
    "numbers as mask": (
        "float[b,t] attention_mask",
        "m = Unsqueeze (attention_mask, middle) other = Sub (unit, m) mask = Mul (other, low)" + CUT,
        "padding",
    ),
    "filled where inverted": (
        INT_MASK,
        """m = Unsqueeze (attention_mask, middle) e = Expand (m, wide) number = Cast <to = 1> (e)
        other = Sub (unit, number) is = Cast <to = 9> (other) mask = Where (is, low, other)""" + CUT,
        "padding",
    ),
    "bools, expanded": (
        "bool[b,t] attention_mask",
        "m = Unsqueeze (attention_mask, middle) e = Expand (m, wide) mask = Where (e, nought, low)" + CUT,
        "padding",
    ),
    "scores selected": (
        INT_MASK,
        "m = Unsqueeze (attention_mask, middle) naught = Equal (m, zero) keep = Not (naught)" + CUT_SELECT,
        "padding",
    ),
    "scores selected, to nothing": (
        INT_MASK,
        "m = Unsqueeze (attention_mask, middle) naught = Equal (m, zero) keep = Not (naught)" + CUT_SELECT_NONE,
        "padding",
    ),
    "padding and causal": (
        INT_MASK,
        """seen = Cast <to = 9> (attention_mask) m = Unsqueeze (seen, middle) allowed = And (causal, m)
        mask = Where (allowed, nought, low)""" + CUT,
        "padding",
    ),
    "padding and causal, to nothing": (
        INT_MASK,
        """seen = Cast <to = 9> (attention_mask) m = Unsqueeze (seen, middle) allowed = And (causal, m)
        mask = Where (allowed, nought, none)""" + CUT_GUARDED,
        "padding",
    ),
    "padding plus causal": (
        INT_MASK,
        """m = Unsqueeze (attention_mask, middle) number = Cast <to = 1> (m) other = Sub (unit, number)
        padding = Mul (other, low) late = Where (causal, nought, low) sum = Add (padding, late)
        mask = Max (sum, low)""" + CUT,
        "padding",
    ),
    "any numbers": ("float[b,1,1,t] bias", "mask = Identity (bias)" + CUT, "padding"),
    "any numbers and causal": (
        "float[b,1,1,t] bias",
        "late = Where (causal, nought, low) mask = Add (late, bias)" + CUT,
        "padding",
    ),
    "any numbers for each head": ("float[b,3,1,t] bias", "mask = Identity (bias)" + CUT, "padding"),
    "lengths": (LENGTH, LENGTHS_4D + " keep = Less (keys, length)" + CUT_SELECT, "padding"),
    "lengths of 32 bits": (
        "int32[b] lengths",
        LENGTHS_4D + " short = Cast <to = 6> (keys) keep = Less (short, length) mask = Where (keep, nought, low)" + CUT,
        "padding",
    ),
    "lengths and causal, from the right": (
        LENGTH,
        LENGTHS_4D + """ shift = Sub (length, t) at = Add (row, shift)
        keep = LessOrEqual (keys, at)""" + CUT_SELECT,
        "terms",
    ),
    "distances": (
        LENGTH,
        LENGTHS_4D + """ shift = Sub (length, t) at = Add (row, shift) d = Sub (at, keys)
        keep = GreaterOrEqual (d, zero) mask = Where (keep, nought, low)""" + CUT,
        "terms",
    ),
    "a window that ends at the lengths": (
        LENGTH,
        LENGTHS_4D + """ shift = Sub (length, t) at = Add (row, shift) near = LessOrEqual (keys, at)
        width = Constant <value_int = 20> () begin = Sub (at, width) late = Greater (keys, begin)
        keep = And (near, late)""" + CUT_SELECT,
        "terms",
    ),
    "positions": (
        "int64[b,1,s,1] places",
        """keep = LessOrEqual (keys, places)""" + CUT_SELECT,
        "terms",
    ),
    "positions of 32 bits, difference": (
        "int32[b,1,s,1] places",
        """short = Cast <to = 6> (keys) d = Sub (short, places) none32 = Constant <value_int = 0> ()
        nil = Cast <to = 6> (none32) late = Greater (d, nil) mask = Where (late, none, nought)""" + CUT_GUARDED,
        "terms",
    ),
    "sequences that share a row": (
        "int64[b,t] places",
        """from = Unsqueeze (places, middle) every = Unsqueeze (places, outer) wanted = Slice (every, s0, t1, u2)
        outer = Constant <value_ints = [1, 3]> () u2 = Constant <value_ints = [2]> () s0 = Unsqueeze (past, first)
        keep = Equal (from, wanted)""" + CUT_SELECT,
        "rows",
    ),
    "a bias of heads with padding": (
        INT_MASK,
        """m = Unsqueeze (attention_mask, middle) naught = Equal (m, zero) d = Sub (row, keys) far = Cast <to = 1> (d)
        steep = Constant <value_floats = [0.5, 0.25, 0.125]> () thin = Unsqueeze (steep, last2) slopes = Mul (thin, far)
        last2 = Constant <value_ints = [1, 2]> () mask = Where (naught, low, slopes)""" + CUT,
        "padding",
    ),
    "numbers for each score": ("float[b,1,s,t] bias", "mask = Identity (bias)" + CUT, "rows"),
    "a choice for each score": ("bool[b,1,s,t] attention_mask", "keep = Identity (attention_mask)" + CUT_SELECT, "rows"),
}
# What is given whole.
WHOLE = {CUT: "mask", CUT_GUARDED: "mask", CUT_SELECT: "keep", CUT_SELECT_NONE: "keep"}

# Where keys are bounded: a block with a row that is masked whole begins again.
BOUNDED = re.compile(r"scf\.while")


def split(body):
    cut = next(c for c in WHOLE if body.endswith(c))
    return body[: -len(cut)], cut


def rename(text, number):
    """The case's own names, with its number."""
    own = [*re.findall(r"(\w+) = [A-Z]", text), "attention_mask", "bias", "lengths", "places", "mask", "keep"]
    return re.sub(rf"\b({'|'.join(own)})\b", rf"\g<0>{number}", text)


def graph(cases, whole=False, show=False):
    """A model of several cases, whose masks are computed or inputs; it may
    give the masks as well."""
    inputs, outputs, statements = ["float[b,3,s,16] q", "float[b,3,t,16] k", "float[b,3,t,24] v"], [], ""
    for number, (kind, body, _) in cases.items():
        masking, cut = split(body)
        if whole:
            masking, kind = "", {"mask": "float[b,m,s,t] mask", "keep": "bool[b,m,s,t] keep"}[WHOLE[cut]]
            kind = kind.replace(",m,", f",m{number},")
        inputs.append(rename(kind, number))
        outputs.append(f"float[b,3,s,24] y{number}")
        if show:
            outputs.append(f"{'float' if WHOLE[cut] == 'mask' else 'bool'}[] {WHOLE[cut]}{number}")
            cut = cut.replace("Softmax (x)", "Softmax (score)") + " score = Min (x, high) high = Neg (low)"
        statements += rename(masking + cut + TAIL, number)
    if not whole:
        statements += COMMON
    statements = sort_statements(HEAD + statements, [i.split()[-1] for i in inputs])
    model = build(f"({', '.join(inputs)}) => ({', '.join(outputs)}) {{ {statements} }}", 20)
    for port in model.graph.output:
        if not port.name.startswith("y"):
            port.type.tensor_type.ClearField("shape")
    return model


def masks_of(kind, s, t, rng):
    """A mask for each row of the batch."""
    end = [t, t - 1, max(t - 40, 1), min(33, t), min(32, t), 1, t, 0]
    begin = [0, 0, min(35, t // 2), 0, min(3, t - 1), 0, t - 1, 0]
    key = np.arange(t)
    inside = (key >= np.array(begin)[:, None]) & (key < np.array(end)[:, None])
    if "s,t" in kind:
        # For each row another part, of which a block needs all.
        mask = inside[:, None] & (key <= np.arange(s)[:, None] + (t - s))
        mask[2:4] &= key >= np.arange(s)[:, None]
        mask[1, s // 2 :] = False
        bias = np.where(mask, rng.standard_normal((BATCH, s, t)), -3.4028235e38).astype(np.float32)
        return (mask if "bool" in kind else bias)[:, None]
    if "attention_mask" in kind:
        mask = inside.astype(np.int64)
        mask[1, t // 3 : t // 2] = 0
        if "float" in kind:
            # Neither 0 nor 1: still the same bits.
            mask = mask.astype(np.float32)
            mask[2] *= 0.5
            mask[3, -1:] = 1 + 1e-9
            return mask
        return mask.astype(bool) if "bool" in kind else mask
    if "bias" in kind:
        heads = 3 if "b,3" in kind else 1
        bias = rng.standard_normal((BATCH, heads, 1, t)).astype(np.float32)
        low = [-np.inf, -3.4028235e38, -1e9, -10000, -1.5, -np.inf, -2e9, -1e30]
        bias = np.where(inside[:, None, None], bias, np.array(low, np.float32)[:, None, None, None])
        bias[1, 0] = 0
        return bias
    if "lengths" in kind:
        big = np.iinfo(np.int32 if "int32" in kind else np.int64)
        return np.array([t, t + 5, min(33, t), 1, 0, -3, big.max, big.min], big.dtype)
    if "b,t" in kind:
        return np.sort(rng.integers(0, 1 + np.arange(BATCH)[:, None] * 2, (BATCH, t)))
    kind_of = np.int32 if "int32" in kind else np.int64
    places = np.arange(s)[None] + (np.array(end) - s)[:, None]
    places[1] = rng.permutation(places[1])
    places[6] = np.iinfo(kind_of).max - 1 if "int32" in kind else 2**40
    return places.astype(kind_of)[:, None, :, None]


class Runs:
    """All cases in one model, run for all lengths."""

    def __init__(self, tool, cases):
        path, same, opaque = (tool.file(f"{name}.onnx") for name in ("padding", "same", "opaque"))
        onnx.save(graph(cases), path)
        onnx.save(graph(cases, show=True), same)
        onnx.save(graph(cases, whole=True), opaque)
        bounded, _ = tool.compile(path)
        plain, _ = tool.compile(opaque)
        if BOUNDED.search(attention_of(tool, opaque)):
            raise Failure("the artifact to compare with bounds keys as well")
        self.found = []
        for index, (s, t) in enumerate(LENGTHS):
            rng = np.random.default_rng(index)
            inputs = {
                "q": rng.standard_normal((BATCH, 3, s, 16)).astype(np.float32),
                "k": rng.standard_normal((BATCH, 3, t, 16)).astype(np.float32),
                "v": rng.standard_normal((BATCH, 3, t, 24)).astype(np.float32),
            }
            own, whole = dict(inputs), dict(inputs)
            for number, (kind, _, _) in cases.items():
                own[rename(kind.split()[-1], number)] = masks_of(kind, s, t, rng)
            expected = reference(same, own)
            for number, (_, body, _) in cases.items():
                name = f"{WHOLE[split(body)[1]]}{number}"
                mask = expected[name]
                mask = np.broadcast_to(mask, (BATCH, mask.shape[1] if mask.ndim == 4 else 1, s, t))
                whole[name] = np.ascontiguousarray(mask)
            found = tool.run(bounded, own, threads=1 + index % 3)
            alone = tool.run(bounded, {name: value[2:3] for name, value in own.items()})
            self.found.append((f"{s}, {t}", found, expected, tool.run(plain, whole), alone))

    def check(self, number):
        y = f"y{number}"
        for where, found, expected, plain, alone in self.found:
            # Sums of up to 137 products of numbers near 1 in another order.
            compare(found, {y: expected[y]}, 1e-5, 1e-5, where)
            if found[y].tobytes() != plain[y].tobytes():
                rows = np.unique(np.nonzero(found[y].view(np.int32) != plain[y].view(np.int32))[0])
                raise Failure(f"{where}: other bits than with a mask that bounds nothing, in rows {rows} of the batch")
            if found[y][2:3].tobytes() != alone[y].tobytes():
                raise Failure(f"{where}: a row of the batch has other bits alone")


def attention_of(tool, path):
    """From the first attention kernel on, what the stage `tile` leaves; empty
    where none is formed."""
    code = tool.file("tile.mlir")
    tool.expect_success("compile", path, "--emit=tile", "-o", code)
    with open(code, encoding="utf-8") as file:
        text = file.read()
    _, name, rest = text.partition("func.func @attention")
    return name + rest


def check_bounds(tool, number, case):
    path = tool.file("one.onnx")
    onnx.save(graph({number: case}), path)
    text = attention_of(tool, path)
    if not BOUNDED.search(text):
        raise Failure("keys are not bounded")
    signs = {
        "padding": r"vector\.reduction <and>",
        "terms": r"cmpi ule, .* %c1073741824",
        "rows": r"(?s)vector\.reduction <and>.* eq, .*vector\.reduction <and>.* eq, .*gemm",
    }
    if not re.search(signs[case[2]], text):
        raise Failure(f"keys are not bounded by {case[2]}")


def main():
    checks = Checks("Attention under padding masks and lengths.")
    tool = checks.tool()
    cases = dict(enumerate(CASES.values()))
    runs = Runs(tool, cases)
    for number, name in enumerate(CASES):
        checks.attempt(name, runs.check, number)
        checks.attempt(f"bounds of {name}", check_bounds, tool, number, cases[number])
    checks.finish()


if __name__ == "__main__":
    main()
