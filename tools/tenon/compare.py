# ===- compare.py - an artifact's values against onnxruntime's ------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Reads the list that `tenon compare` writes, evaluates the model with
onnxruntime (its optimisations off, so that every node keeps its value), or with
ONNX's reference where onnxruntime has no kernel, and prints the values whose numbers differ most. Exit code 1 when an output differs
by more than the tolerance."""

import json
import os
import sys


def fail(message):
    sys.exit(f"tenon compare: error: {message}")


try:
    import numpy as np
    import onnx
    import onnxruntime
except ImportError as error:
    fail(f"{error} in {sys.executable}: set TENON_PYTHON to a Python that has "
         "numpy, onnx and onnxruntime")

BFLOAT16 = 16


def load(row):
    array = np.load(row["file"])
    if row["dtype"] == BFLOAT16:
        bits = array.view(np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32)
    if array.dtype.kind == "V":  # codes of a type that numpy lacks
        kind = onnx.helper.tensor_dtype_to_np_dtype(row["dtype"])
        return array.view(np.uint8).view(kind)
    return array


def read_model(path):
    """The model without its large weights, which onnxruntime reads itself."""
    if path.endswith((".onnxtxt", ".onnxtext")):
        with open(path, encoding="utf-8") as text:
            return onnx.parser.parse_model(text.read())
    return onnx.load(path, load_external_data=False)


def run_onnxruntime(model, path, feeds):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    options.log_severity_level = 3
    # Beside the model, so that relative paths of external data hold.
    beside = os.path.join(os.path.dirname(os.path.abspath(path)),
                          f".tenon-compare-{os.getpid()}.onnx")
    providers = ["CPUExecutionProvider"]
    try:
        onnx.save(model, beside)
        session = onnxruntime.InferenceSession(beside, options,
                                               providers=providers)
    except OSError:
        # A folder that cannot be written to: weights inside the file only.
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=providers)
    finally:
        if os.path.exists(beside):
            os.remove(beside)
    wanted = [value.name for value in session.get_outputs()]
    known = {value.name for value in session.get_inputs()}
    results = session.run(wanted, {k: v for k, v in feeds.items() if k in known})
    return dict(zip(wanted, results))


def run_reference(model, path, feeds):
    from onnx.external_data_helper import load_external_data_for_model
    from onnx.reference import ReferenceEvaluator

    load_external_data_for_model(model, os.path.dirname(os.path.abspath(path)))
    evaluator = ReferenceEvaluator(model)
    return dict(zip(evaluator.output_names, evaluator.run(None, feeds)))


def evaluate(path, feeds, names):
    """Values by name, and the nodes that give them in the model's order."""
    model = read_model(path)
    graph = model.graph
    order = {}
    for position, node in enumerate(graph.node):
        for name in node.output:
            order[name] = (position, node)
    present = {value.name for value in graph.output}
    for name in names:
        if name in order and name not in present:
            graph.output.append(onnx.ValueInfoProto(name=name))
    try:
        return run_onnxruntime(model, path, feeds), order
    except Exception as error:  # onnxruntime's own classes are not exported
        print(f"tenon compare: note: onnxruntime fails ({error}); comparing "
              "with ONNX's reference instead", file=sys.stderr)
    return run_reference(model, path, feeds), order


def difference(ours, theirs):
    """The largest difference, and that difference relative to the largest
    magnitude where it is above 1. NaN meets NaN and infinity its equal."""
    if ours.shape != theirs.shape:
        return float("inf"), float("inf"), f"shape {list(ours.shape)}, " \
            f"expected {list(theirs.shape)}"
    if ours.size == 0:
        return 0.0, 0.0, ""
    if ours.dtype == bool or theirs.dtype == bool:
        wrong = int(np.count_nonzero(ours.astype(bool) != theirs.astype(bool)))
        return float(wrong > 0), float(wrong > 0), f"{wrong} differ" * (wrong > 0)
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(all="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        delta = np.where(same, 0.0, np.abs(a - b))
    delta = np.where(np.isnan(delta), np.inf, delta)
    finite = np.abs(b[np.isfinite(b)])
    magnitude = max(1.0, float(finite.max()) if finite.size else 1.0)
    worst = np.unravel_index(int(np.argmax(delta)), delta.shape)
    largest = float(delta[worst])
    note = ""
    if largest > 0:
        note = f"at {[int(i) for i in worst]}: {ours[worst]}, " \
            f"expected {theirs[worst]}"
    return largest, largest / magnitude, note


def main():
    with open(sys.argv[1], encoding="utf-8") as text:
        index = json.load(text)
    rows = index["values"]
    feeds = {r["name"]: load(r) for r in rows if r["kind"] == "input"}
    ours = [r for r in rows if r["kind"] != "input"]
    try:
        theirs, order = evaluate(index["model"], feeds,
                                 [r["name"] for r in ours])
    except Exception as error:
        fail(f"'{index['model']}' cannot be evaluated: {error}")

    table, seen, skipped = [], set(), 0
    for row in ours:
        name = row["name"]
        if name in seen:
            continue
        seen.add(name)
        if name not in theirs:
            skipped += 1
            continue
        found, expected = load(row), np.asarray(theirs[name])
        if row["kind"] == "value" and expected.dtype.name.startswith("float4"):
            found = found.view(expected.dtype)  # inner values are codes
        absolute, relative, note = difference(found, expected)
        position, node = order.get(name, (-1, None))
        table.append({
            "value": name,
            "kind": row["kind"],
            "node": node.name if node is not None else "",
            "operator": node.op_type if node is not None else "",
            "position": position,
            "max_difference": absolute,
            "relative_difference": relative,
            "note": note,
        })
    table.sort(key=lambda r: (-r["relative_difference"], r["position"]))
    bad = [r for r in table if r["kind"] == "output"
           and not r["relative_difference"] <= index["tolerance"]]
    first = min((r for r in table
                 if not r["relative_difference"] <= index["tolerance"]),
                key=lambda r: r["position"], default=None)
    shown = table[:index["top"]] if index["top"] else table
    if index["json"]:
        json.dump({"values": shown, "compared": len(table),
                   "skipped": skipped, "ok": not bad,
                   "first": first and first["value"]}, sys.stdout, indent=2)
        print()
    else:
        print(f"{'difference':>12} {'relative':>12}  operator        value")
        for r in shown:
            print(f"{r['max_difference']:12.4g} {r['relative_difference']:12.4g}"
                  f"  {r['operator']:<15} {r['value']}"
                  + (" (output)" if r["kind"] == "output" else "")
                  + (f", {r['note']}" if r["note"] else ""))
        print(f"{len(table)} values compared"
              + (f", {skipped} without a counterpart" if skipped else ""))
        if first is not None:
            print(f"the first above {index['tolerance']:g} in the model's order:"
                  f" {first['value']} ({first['operator']})")
    return 1 if bad else 0


sys.exit(main())
