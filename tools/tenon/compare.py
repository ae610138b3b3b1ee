# ===- compare.py - an artifact's values against onnxruntime's ------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Reads the list that `tenon compare` writes, evaluates the model with
onnxruntime (its optimisations off, so that every node keeps its value), or with
ONNX's reference where onnxruntime has no kernel, and prints where the numbers
part first and which differ most. With expected outputs in files it compares
with those and needs numpy alone. Exit code 1 when an output differs by more
than the tolerance, or when there is no number to compare."""

import json
import os
import sys


def fail(message):
    sys.exit(f"tenon compare: error: {message}")


def read_index():
    with open(sys.argv[1], encoding="utf-8") as text:
        return json.load(text)


INDEX = read_index()
try:
    import numpy as np
    if not INDEX["expect"]:
        import onnx
        import onnxruntime
except ImportError as error:
    fail(f"{error} in {sys.executable}: set TENON_PYTHON to a Python that has "
         "numpy, onnx and onnxruntime")

BFLOAT16 = 16


def load(row):
    array = np.load(row["file"])
    if row["dtype"] == BFLOAT16 and array.dtype.itemsize == 2:
        bits = array.view(np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32)
    if array.dtype.kind == "V":  # codes of a type that numpy lacks
        if INDEX["expect"]:
            return array.view(np.uint8)
        kind = onnx.helper.tensor_dtype_to_np_dtype(row["dtype"])
        return array.view(np.uint8).view(kind)
    return array


def read_model(path):
    """The model without its large weights, which onnxruntime reads itself."""
    if path.endswith((".onnxtxt", ".onnxtext")):
        with open(path, encoding="utf-8") as text:
            return onnx.parser.parse_model(text.read())
    return onnx.load(path, load_external_data=False)


# Products of u8 by s8: onnxruntime's saturate at 16 bits on a CPU without VNNI,
# unless it is asked for exact ones.
BYTES = {"ConvInteger", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul",
         "MatMulInteger", "MatMulIntegerToFloat", "QAttention", "QGemm",
         "QLinearConv", "QLinearMatMul"}


def run_onnxruntime(model, path, feeds):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    options.log_severity_level = 3
    if any(node.op_type in BYTES for node in model.graph.node):
        # As the operators' text has them; a pass of this level sees to it.
        options.add_session_config_entry("session.x64quantprecision", "1")
        options.graph_optimization_level = (
            onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
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


def listed(names):
    return ", ".join(f"'{name}'" for name in names) or "none"


def check_ports(kind, found, values, required, given):
    """The artifact's inputs or outputs against the model's."""
    wrong = "is the artifact made from this model?"
    declared = {value.name: value for value in values}
    for row in found:
        if row["name"] not in declared:
            fail(f"the artifact's {kind} '{row['name']}' is none of the "
                 f"model's ({listed(declared)}): {wrong}")
        kind_of = declared[row["name"]].type
        if kind_of.WhichOneof("value") != "tensor_type":
            continue
        tensor = kind_of.tensor_type
        if tensor.elem_type not in (0, row["dtype"]):
            name = onnx.TensorProto.DataType.Name
            fail(f"{kind} '{row['name']}' is {name(row['dtype'])} in the "
                 f"artifact and {name(tensor.elem_type)} in the model: {wrong}")
        if not tensor.HasField("shape") or not given:
            continue
        expected = [dim.dim_value if dim.dim_value > 0 else None
                    for dim in tensor.shape.dim]
        dims = list(np.load(row["file"], mmap_mode="r").shape)
        if len(dims) != len(expected) or any(
                b not in (None, a) for a, b in zip(dims, expected)):
            shown = ", ".join("?" if d is None else str(d) for d in expected)
            fail(f"{kind} '{row['name']}' has dims {dims} in the artifact and "
                 f"[{shown}] in the model: {wrong}")
    names = {row["name"] for row in found}
    for name in required:
        if name not in names:
            fail(f"the model's {kind} '{name}' is none of the artifact's "
                 f"({listed(sorted(names))}): {wrong}")


def check_pair(graph):
    """Stops where the artifact cannot come from the model."""
    rows = INDEX["values"]
    inits = {tensor.name for tensor in graph.initializer}
    inits |= {tensor.values.name for tensor in graph.sparse_initializer}
    check_ports("input", [r for r in rows if r["kind"] == "input"], graph.input,
                [v.name for v in graph.input if v.name not in inits], True)
    check_ports("output", [r for r in rows if r["kind"] == "output"],
                graph.output, [v.name for v in graph.output], False)


def evaluate(path, feeds, names):
    """Values by name, the nodes that give them in the model's order, and the
    names of the weights, of which the artifact may name one as well."""
    model = read_model(path)
    graph = model.graph
    check_pair(graph)
    order = {}
    for position, node in enumerate(graph.node):
        for name in node.output:
            order[name] = (position, node)
    weights = {tensor.name for tensor in graph.initializer}
    present = {value.name for value in graph.output}
    for name in names:
        if name in order and name not in present:
            graph.output.append(onnx.ValueInfoProto(name=name))
    try:
        return run_onnxruntime(model, path, feeds), order, weights
    except Exception as error:  # onnxruntime's own classes are not exported
        print(f"tenon compare: note: onnxruntime fails ({error}); comparing "
              "with ONNX's reference instead", file=sys.stderr)
    return run_reference(model, path, feeds), order, weights


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


def lacks_numbers(outputs):
    """Is there no finite number in any output of floats?"""
    floats = [a for a in outputs if a.dtype.kind in "fcV" and a.size]
    return bool(floats) and not any(
        np.isfinite(a.astype(np.float64)).any() for a in floats)


def first_difference(table, order):
    """The first value in the model's order above the tolerance, and what is
    known of the values that its node takes."""
    wrong = {r["value"] for r in table
             if not r["relative_difference"] <= INDEX["tolerance"]}
    first = min((r for r in table if r["value"] in wrong),
                key=lambda r: r["position"], default=None)
    if first is None:
        return None, None
    _, node = order.get(first["value"], (-1, None))
    right = {r["value"] for r in table} - wrong
    inputs = {}
    for name in node.input if node is not None else ():
        if name in order:
            inputs[name] = "agrees" if name in right else (
                "differs" if name in wrong else "not compared")
    return first, {"name": first["node"], "operator": first["operator"],
                   "output": first["value"], "inputs": inputs}


def describe(first, node):
    text = "the first that differs: "
    if node["operator"]:
        text += f"node '{node['name']}' ({node['operator']}), "
    text += f"value {first['value']}: {first['relative_difference']:.4g} " \
        f"relative{', ' + first['note'] if first['note'] else ''}"
    for name, state in node["inputs"].items():
        text += f"; its input {name} {state}" if state != "not compared" else \
            f"; its input {name} was not compared"
    return text


def print_text(report, table, order):
    if report["first"]:
        first = next(r for r in table if r["value"] == report["first"])
        print(describe(first, report["first_node"]))
    print(f"{'difference':>12} {'relative':>12}  operator        value")
    for r in report["values"]:
        print(f"{r['max_difference']:12.4g} {r['relative_difference']:12.4g}"
              f"  {r['operator']:<15} {r['value']}"
              + (" (output)" if r["kind"] == "output" else "")
              + (f", {r['note']}" if r["note"] else ""))
    skipped = report["skipped"]
    hint = "" if INDEX["list_unmatched"] else " (--list-unmatched lists them)"
    print(f"{len(table)} values compared"
          + (f", {skipped} without a counterpart{hint}" if skipped else ""))
    for side, names in report.get("unmatched", {}).items():
        for name in names:
            _, node = order.get(name, (-1, None))
            print(f"in the {side} only: {name}"
                  + (f" ({node.op_type})" if node is not None else ""))
    if INDEX["filled"]:
        print(f"inputs {INDEX['filled']}")


def main():
    rows = INDEX["values"]
    ours = [r for r in rows if r["kind"] != "input"]
    order, weights = {}, set()
    if INDEX["expect"]:
        ours = [r for r in ours if r["kind"] == "output"
                and r["name"] in INDEX["expect"]]
        theirs = {}
        for row in ours:
            file = INDEX["expect"][row["name"]]
            try:
                theirs[row["name"]] = load(dict(row, file=file))
            except (OSError, ValueError) as error:
                fail(f"'{file}': {error}")
    else:
        feeds = {r["name"]: load(r) for r in rows if r["kind"] == "input"}
        try:
            theirs, order, weights = evaluate(INDEX["model"], feeds,
                                              [r["name"] for r in ours])
        except Exception as error:
            fail(f"'{INDEX['model']}' cannot be evaluated: {error}")

    table, seen, skipped, outputs = [], set(), [], []
    for row in ours:
        name = row["name"]
        if name in seen:
            continue
        seen.add(name)
        if name not in theirs:
            if name not in weights:
                skipped.append(name)
            continue
        found, expected = load(row), np.asarray(theirs[name])
        if row["kind"] == "value" and expected.dtype.name.startswith("float4"):
            found = found.view(expected.dtype)  # inner values are codes
        if row["kind"] == "output":
            outputs.append(found)
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
    problem = ""
    if any(r["kind"] == "output" and
           not r["relative_difference"] <= INDEX["tolerance"] for r in table):
        problem = "an output differs"
    elif not outputs:
        problem = "no output was compared"
    elif not INDEX["expect"] and lacks_numbers(outputs):
        problem = "no output has a finite number: nothing was compared"
    first, node = first_difference(table, order)
    report = {"ok": not problem, "problem": problem,
              "first": first and first["value"], "first_node": node,
              "values": table[:INDEX["top"]] if INDEX["top"] else table,
              "compared": len(table), "skipped": len(skipped),
              "inputs": INDEX["filled"]}
    if INDEX["list_unmatched"]:
        report["unmatched"] = {
            "artifact": skipped,
            "model": [name for name in order if name and name not in seen]}
    if INDEX["json"]:
        json.dump(report, sys.stdout, indent=2)
        print()
    else:
        print_text(report, table, order)
        if problem and not first:
            print(f"tenon compare: error: {problem}", file=sys.stderr)
    return 1 if problem else 0


try:
    code = main()
    sys.stdout.flush()
except OSError as error:
    if error.filename is not None:  # of another file
        raise
    print(f"tenon compare: error: cannot write standard output: {error.strerror}",
          file=sys.stderr)
    os._exit(1)  # an ordinary end would try again, and say more
sys.exit(code)
