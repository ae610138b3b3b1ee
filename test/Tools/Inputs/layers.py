# ===- layers.py - a graph of equal layers, and its report -----------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""layers.py make N [mixed]: prints a model of N equal layers between two other
kernels; mixed: of three kinds in no order.
layers.py check PAGE...: every element of the pages is closed, nothing is
fetched, and no picture has a rectangle outside."""

import random
import sys
from html.parser import HTMLParser

VOID = {"meta", "br"}
OPTIONAL = {"html", "body", "head"}


def make(layers, kinds):
    choice = random.Random(1)
    weights = [f"float[8, 8] w{i} = {{{', '.join(str(j % 7) for j in range(64))}}}" for i in range(layers)]
    print('<ir_version: 8, opset_import: ["" : 17]>')
    print(f"stack (int64[n] ids) => (float[n, 8] y) <float[5, 8] table = {{{', '.join('1' for _ in range(40))}}},")
    print(",\n".join(weights) + "> {")
    print("x0 = Gather (table, ids)")
    for i in range(layers):
        print(f'["layer{i}/mul & <add>"] m{i} = MatMul (x{i}, w{i})')
        print(f"[layer{i}_soft] x{i + 1} = {choice.choice(kinds)} (m{i})")
    print(f"y = LogSoftmax (x{layers})\n}}")


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.view = [], None

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        for value in named.values():
            assert not (value or "").startswith(("http:", "https:", "//")), value
        assert tag not in ("script", "link", "img", "iframe"), tag
        if tag == "svg":
            self.view = list(map(float, named["viewbox"].split()))
        if tag == "rect":
            x, y, w, h = (float(named[key]) for key in ("x", "y", "width", "height"))
            assert min(x, y) >= -0.7 and x + w <= self.view[2] + 0.7, named
            assert y + h <= self.view[3] + 0.7, named
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open[-4:], self.getpos())
        self.open.pop()


def check(paths):
    for path in paths:
        reader = Reader()
        with open(path, encoding="utf-8") as page:
            reader.feed(page.read())
        assert not reader.open, reader.open
        assert reader.view, f"{path}: no picture"
    print(f"{len(paths)} pages are whole")


if sys.argv[1] == "make":
    mixed = sys.argv[3:] == ["mixed"]
    make(int(sys.argv[2]), ["Softmax", "LogSoftmax", "Hardmax"] if mixed else ["Softmax"])
else:
    check(sys.argv[2:])
