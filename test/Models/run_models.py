#!/usr/bin/env python3
#===- run_models.py - compile a model and compare its outputs --------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""The end-to-end test of one or more entries of manifest.json.

usage: run_models.py [--tenon PATH] [NAME...]

For each model: compile; run every input set on 1, 2, 3 and 8 threads in one
context each, whose bits must be equal; compare with onnxruntime's stored outputs; run the first
and the last row of each batch alone, whose bits must equal the batch's; run a
batch of none. The model's renamed and shuffled variant must give the same bits
and, of some, a second compilation the same file.

Prints one PASS or FAIL line per model; exits 1 when one fails. An entry marked
"unsupported" passes when the compiler says so in one message, and has to pass
everything above as soon as it compiles.
"""

import argparse
import filecmp
import json
import os
import sys

import numpy as np
import onnx

from session import Session
from tool import Failure, Tool, file_name, load_arrays
from variants import rename_and_shuffle

HERE = os.path.dirname(os.path.abspath(__file__))
THREADS = (1, 2, 3, 8)
BATCH_NAMES = ("batch", "batch_size")


def same_bits(left, right):
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def require_same_bits(found, expected, what):
    for name, value in expected.items():
        if name not in found:
            raise Failure(f"{what}: no output '{name}'")
        if not same_bits(found[name], value):
            detail = f"shape {found[name].shape} for {value.shape}"
            if found[name].shape == value.shape and value.size:
                delta = np.abs(found[name].astype(np.float64) - value.astype(np.float64))
                detail = f"{np.count_nonzero(delta)} of {value.size} elements differ, by {np.nanmax(delta):.3g} at most"
            raise Failure(f"{what}: output '{name}' has other bits: {detail}")


def compare(found, expected, entry, what):
    """The largest absolute difference and the largest in tolerances."""
    worst, share = 0.0, 0.0
    for name, value in expected.items():
        other = found.get(file_name(name))
        if other is None:
            raise Failure(f"{what}: no output '{name}', only {sorted(found)}")
        if other.dtype != value.dtype or other.shape != value.shape:
            raise Failure(
                f"{what}: output '{name}' is {other.dtype}{list(other.shape)}, "
                f"expected {value.dtype}{list(value.shape)}"
            )
        if not value.size:
            continue
        wide, reference = other.astype(np.float64), value.astype(np.float64)
        if not np.array_equal(np.isnan(wide), np.isnan(reference)):
            raise Failure(f"{what}: output '{name}' has NaN in other places")
        delta = np.nan_to_num(np.abs(wide - reference))
        ratio = delta / (entry["atol"] + entry["rtol"] * np.abs(np.nan_to_num(reference)))
        at = np.unravel_index(np.argmax(ratio), ratio.shape)
        if ratio[at] > 1:
            raise Failure(
                f"{what}: output '{name}' at {[int(i) for i in at]}: {wide[at]:.9g}, expected {reference[at]:.9g}; "
                f"{np.count_nonzero(ratio > 1)} of {ratio.size} beyond the tolerance"
            )
        worst, share = max(worst, float(delta.max())), max(share, float(ratio[at]))
    return worst, share


def batched_ports(path, names):
    """Inputs and outputs whose first dim is the batch, which goes by `names`."""
    graph = onnx.load(path, load_external_data=False).graph

    def leading(value):
        dims = value.type.tensor_type.shape.dim
        return bool(dims) and dims[0].dim_param

    inputs = {value.name for value in graph.input if leading(value) in names}
    # An exporter may have lost the outputs' symbol; every one is batched here.
    outputs = {value.name for value in graph.output if leading(value)}
    return inputs, outputs


def rows(values, names, part):
    return {k: np.ascontiguousarray(v[part]) if k in names else v for k, v in values.items()}


def check_rows(sessions, path, entry, inputs, found, what):
    """A row alone has the bits that it has in its batch."""
    # An exporter may have numbered its dims: then the entry names the batch.
    names = BATCH_NAMES if entry["batch"] is True else entry["batch"]
    batched, outputs = batched_ports(path, names)
    if not batched:
        raise Failure("no input has a batch dim")
    count = next(inputs[name].shape[0] for name in batched)
    names = {file_name(name) for name in outputs}
    for row in sorted({0, count - 1}) if count > 1 else []:
        part = slice(row, row + 1)
        alone = sessions[1].run_named(rows(inputs, batched, part))
        require_same_bits(alone, rows(found, names, part), f"{what}, row {row} alone")
    part = slice(0, 0)
    none = sessions[2].run_named(rows(inputs, batched, part))
    require_same_bits(none, rows(found, names, part), f"{what}, a batch of none")


def check_model(tool, entry):
    """Everything; returns the summary for the PASS line."""
    path = os.path.join(HERE, entry["file"])
    folder = os.path.dirname(path)
    # What speed there is to lose, the smaller models show.
    export = entry["name"].startswith("exports/")
    options = ["-O1"] if export else []
    artifact, seconds = tool.compile(path, *options)
    sessions = {threads: Session(artifact, threads) for threads in THREADS}
    worst, share, reference = 0.0, 0.0, []
    for k in range(entry["sets"]):
        what = f"set {k}"
        inputs = load_arrays(os.path.join(folder, f"inputs_{k}.npz"))
        expected = load_arrays(os.path.join(folder, f"expected_{k}.npz"))
        first = None
        for threads in THREADS:
            found = sessions[threads].run_named(inputs)
            if first is None:
                first = found
                absolute, relative = compare(found, expected, entry, what)
                worst, share = max(worst, absolute), max(share, relative)
            require_same_bits(found, first, f"{what}, {threads} threads")
        if entry["batch"]:
            check_rows(sessions, path, entry, inputs, first, what)
        reference.append((inputs, first))
    for session in sessions.values():
        session.close()
    require_same_bits(tool.run(artifact, reference[0][0], 2), reference[0][1], "tenon run")

    if entry["name"] in ("minilm", "llama", "vit"):  # some suffice
        again, _ = tool.compile(path)
        if not filecmp.cmp(artifact, again, shallow=False):
            raise Failure("compiling twice gives different files")
    shuffled = tool.file("shuffled.onnx")
    rename_and_shuffle(path, shuffled)
    other, _ = tool.compile(shuffled, *options)
    session = Session(other, 2)
    for k, (inputs, first) in enumerate(reference):
        require_same_bits(session.run_named(inputs), first, f"renamed and shuffled, set {k}")
    session.close()
    return (
        f"{entry['sets']} sets, max difference {worst:.2e} ({100 * share:.0f}% of the tolerance), "
        f"compiled in {seconds:.1f} s"
    )


def check_refusal(tool, entry):
    """Whether the compiler still refuses the model, and does so properly."""
    path = os.path.join(HERE, entry["file"])
    artifact = tool.file("refused.so")
    result = tool.call("compile", path, "-o", artifact)
    if result.returncode == 0:
        return None
    if result.returncode != 1:
        raise Failure(f"exit code {result.returncode}\n{result.stderr}")
    if result.stderr.count("error:") != 1:
        raise Failure(f"expected one error, found:\n{result.stderr}")
    if os.path.exists(artifact):
        raise Failure("a refused model left an artifact behind")
    return result.stderr.strip().splitlines()[0]


def main():
    parser = argparse.ArgumentParser(description="End-to-end tests of the models in manifest.json.")
    parser.add_argument("--tenon", help="the tool under test (default: $TENON, then the PATH)")
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    with open(os.path.join(HERE, "manifest.json"), encoding="utf-8") as file:
        entries = {entry["name"]: entry for entry in json.load(file)["models"]}
    unknown = [name for name in args.names if name not in entries]
    if unknown:
        sys.exit(f"no model '{unknown[0]}' in manifest.json; there are: {', '.join(entries)}")
    failed = 0
    for name in args.names or entries:
        entry = entries[name]
        try:
            tool = Tool(args.tenon)
            refusal = check_refusal(tool, entry) if entry["expect"] == "unsupported" else None
            if refusal:
                print(f"PASS {name}: refused ({entry['reason']}): {refusal}", flush=True)
                continue
            summary = check_model(tool, entry)
            if entry["expect"] == "unsupported":
                summary += "; it compiles now: mark it as \"pass\" in manifest.json"
            print(f"PASS {name}: {summary}", flush=True)
        except Failure as failure:
            failed += 1
            print(f"FAIL {name}: {failure}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
