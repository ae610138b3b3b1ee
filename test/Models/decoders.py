#!/usr/bin/env python3
#===- decoders.py - which pasts of exported decoders are states ------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Compares a document's table of decoders with what the compiler finds.

usage: decoders.py DOCUMENT [--write] [FOLDER...]

The models are those of exports/ that have a past; of FOLDERs (a model.onnx in
each) the rows are printed. The graph stage says what is found, so nothing is
compiled to the end.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys

import onnx

HERE = os.path.dirname(os.path.abspath(__file__))
HEADING = "| Export | States | None, and why |"


def has_past(path):
    graph = onnx.load(path, load_external_data=False).graph
    return any("past" in value.name or "cache" in value.name for value in graph.input)


def states(path):
    """How many there are, and {reason: inputs} of those that are none."""
    tenon = os.environ.get("TENON") or shutil.which("tenon")
    text = subprocess.run([tenon, "compile", path, "--emit=graph", "-o", "-"], capture_output=True, text=True, check=True).stdout
    header = next(line for line in text.splitlines() if "func.func @main(" in line)
    found, reasons = 0, {}
    for attributes in re.split(r"%arg\d+: ", header)[1:]:
        found += "tenon.state =" in attributes
        why = re.search(r'tenon\.stateless = "((?:[^"\\]|\\.)*)"', attributes)
        if why:
            name = re.search(r'tenon\.name = "((?:[^"\\]|\\.)*)"', attributes).group(1)
            reasons.setdefault(re.sub(r"node '[^']*'", "a node", why.group(1)), []).append(name)
    return found, reasons


def row(name, path):
    found, reasons = states(path)
    none = "; ".join(f"{len(names)} like `{names[0]}`: {why}" for why, names in reasons.items())
    return f"| {name} | {found} | {none} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("document")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("folders", nargs="*")
    options = parser.parse_args()
    for folder in options.folders:
        print(row(os.path.basename(folder.rstrip("/")), os.path.join(folder, "model.onnx")))
    exports = os.path.join(HERE, "exports")
    paths = {name: os.path.join(exports, name, "model.onnx") for name in sorted(os.listdir(exports))}
    rows = [row(name, path) for name, path in paths.items() if has_past(path)]
    with open(options.document, encoding="utf-8") as file:
        before, _, rest = file.read().partition(HEADING + "\n|---|---|---|\n")
    table = re.match(r"(?:\|.*\n)*", rest).group()
    if options.write:
        with open(options.document, "w", encoding="utf-8") as file:
            file.write(f"{before}{HEADING}\n|---|---|---|\n" + "".join(line + "\n" for line in rows) + rest[len(table) :])
    elif table.splitlines() != rows:
        sys.exit("the table should be\n" + "\n".join(rows))
    print(f"{len(rows)} decoders as the table says")


if __name__ == "__main__":
    main()
