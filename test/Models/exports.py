#!/usr/bin/env python3
#===- exports.py - real exports of many families by many exporters ---------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Exports the families of families.py and compares what Tenon makes of them.

usage: exports.py export FAMILY[,...] EXPORTER[,...] OUT
       exports.py check OUT [--tenon PATH] [--again] [--only SUBSTRING] [--opt=OPTION]
       exports.py table OUT DOCUMENT
       exports.py list

`export` needs torch and transformers and is run by hand. A family exports to
one model or to several (the encoder and the decoder), each in a folder
OUT/EXPORTER/MODEL with model.onnx, three input sets of different dims and
onnxruntime's outputs, its optimisations disabled. An export that the exporter
itself refuses leaves a file `failed` with its message. `check` compiles and
runs what is there and writes the findings to OUT/results.json; `table` puts
them into a document between its two marker lines.
"""

import argparse
import json
import os
import re
import resource
import sys
import time
import traceback
import warnings

import numpy as np
import onnx
import onnxruntime as ort

HEADING = """## Exports

Tiny configurations with random weights of unit gain, written by each exporter (`test/Models/exporters.py` says what the columns mean), compiled
without `--dim` at `-O0` and compared with onnxruntime, its optimisations disabled, at three sets of dims; decoders with a past of length 0 too. Each
cell is the largest difference relative to the largest output (or to 1), or the operator that is not supported; an empty one was not exported.
Of bf16, for which onnxruntime has no kernels, and where a star stands ONNX's reference evaluator is the judge: onnxruntime leaves out roundings to f16
that the graph states."""
# batch, sequence, past, the encoder's sequence
SETS = [(2, 5, 0, 7), (1, 1, 9, 12), (3, 4, 6, 3)]
EXAMPLE = (2, 4, 3, 6)


def feed_for(graph, dims, vocab, shape, head, rng, family):
    """One input set for whatever inputs a model declares.

    The inputs' names say what they are, whoever exported the model; declared
    dims that are numbers are kept.
    """
    batch, seq, past, memory = dims
    types = {value.name: value.type.tensor_type for value in graph.input}
    for initializer in graph.initializer:
        types.pop(initializer.name, None)
    has_past = any("past" in name and "key" in name for name in types)
    total = seq + past if has_past else seq
    mask = np.ones((batch, total), np.int64)
    # GroupQueryAttention counts keys, and onnxruntime's takes one row of many.
    grouped = any(node.op_type == "GroupQueryAttention" for node in graph.node)
    if grouped and past and seq > 1:
        batch, mask = 1, mask[:1]
    for row in range(1, 1 if grouped else batch):
        # Decoders are padded on the left, encoders on the right.
        count = min(row, total - 1)
        if has_past:
            mask[row, :count] = 0
        elif count:
            mask[row, -count:] = 0
    wanted = {}
    for name, kind in types.items():
        declared = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
        declared = [int(d.dim_param) if d.dim_param.isdigit() else known for d, known in zip(kind.shape.dim, declared)]
        rank = len(declared)
        if name.endswith("encoder_attention_mask"):
            value = np.ones((batch, memory), np.int64)
            value[1:, -1] = 0
        elif "attention_mask" in name:
            value = mask
        elif "position_ids" in name:
            value = np.clip(np.cumsum(mask, 1) - 1, 0, None)[:, total - seq :]
        elif "token_type_ids" in name:
            value = rng.integers(0, 2, (batch, seq))
        elif "use_cache_branch" in name:
            value = np.array([past > 0])
        elif "cache_position" in name:
            value = np.arange(past, past + seq)
        elif "num_logits_to_keep" in name:
            value = np.array(1)
        elif "past" in name and rank >= 3:
            length = memory if ("encoder" in name or "cross" in name) else past
            # The second to last dim is the length, but for the oldest layouts.
            fill = [batch, *[length] * (rank - 1)]
            if rank == 4:
                fill[3] = head
            value = rng.standard_normal([fill[i] if d is None else d for i, d in enumerate(declared)])
        elif "input_ids" in name or name.startswith("input.1"):
            value = rng.integers(3, vocab, (batch, seq))
        elif "hidden_states" in name or "encoder_outputs" in name or name == "inputs_embeds":
            value = rng.standard_normal((batch, declared[1] or (memory if "encoder" in name else seq), declared[2]))
        elif "input_values" in name:
            value = rng.standard_normal((batch, 200 + 80 * seq))
        elif "input_features" in name or "pixel_values" in name:
            value = rng.standard_normal((batch, *shape))
        else:
            raise ValueError(f"{family}: what is the input '{name}'?")
        value = np.asarray(value)
        if value.ndim == rank and all(d is not None for d in declared):
            value = np.resize(value, declared)  # an export with fixed dims
        for axis, number in enumerate(declared):
            if number is not None and value.ndim == rank and value.shape[axis] != number:
                raise ValueError(f"{family}: input '{name}' has dim {number} at {axis}, not {value.shape[axis]}")
        wanted[name] = value.astype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    return wanted


def reference(path, feeds):
    """onnxruntime's outputs without its optimisations, or, where it has no
    kernel for a type, ONNX's reference evaluator's."""
    model = onnx.load(path)
    if any(value.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16 for value in model.graph.output):
        return evaluate(model, feeds)
    for node in model.graph.node:
        # 4 lets onnxruntime round what 4-bit weights are multiplied with to 8 bits.
        kept = [a for a in node.attribute if a.name != "accuracy_level"]
        del node.attribute[:]
        node.attribute.extend(kept)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, feed))) for feed in feeds]


def evaluate(model, feeds):
    """The outputs by ONNX's reference evaluator."""
    from onnx.reference import ReferenceEvaluator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = ReferenceEvaluator(model)
        names = [output.name for output in model.graph.output]
        return [dict(zip(names, evaluator.run(None, feed))) for feed in feeds]


def finish(folder, family, shape, head, vocab):
    """Write the input sets and the expected outputs of OUT/.../model.onnx."""
    path = os.path.join(folder, "model.onnx")
    graph = onnx.load(path, load_external_data=False).graph
    rng = np.random.default_rng(7)
    feeds = [feed_for(graph, dims, vocab, shape, head, rng, family) for dims in SETS]
    outputs = reference(path, feeds)
    for k, (feed, expected) in enumerate(zip(feeds, outputs)):
        np.savez_compressed(os.path.join(folder, f"inputs_{k}.npz"), **feed)
        np.savez_compressed(os.path.join(folder, f"expected_{k}.npz"), **expected)


def do_export(families, exporters, out):
    warnings.filterwarnings("ignore")
    import exporters as room
    import families as zoo

    for exporter in exporters:
        for family in families if families != ["all"] else list(zoo.FAMILIES):
            base = os.path.join(out, exporter)
            done = os.path.join(base, f".{family}.done")
            if os.path.exists(done):
                continue
            start = time.monotonic()
            note = "ok"
            try:
                models = room.export(family, exporter, base, out)
                for name in models:
                    finish(os.path.join(base, name), family, zoo.FAMILIES[family].shape, zoo.head_size(family), zoo.VOCAB)
            except Exception as error:  # whatever an exporter throws
                note = f"FAILED {type(error).__name__}: {str(error)[:300]}"
                os.makedirs(os.path.join(base, family), exist_ok=True)
                with open(os.path.join(base, family, "failed"), "w", encoding="utf-8") as file:
                    file.write(traceback.format_exc())
            with open(done, "w", encoding="utf-8") as file:
                file.write(note + "\n")
            print(f"{exporter}/{family}: {note} ({time.monotonic() - start:.0f} s)", flush=True)


def compare(found, expected):
    """The largest difference relative to the largest output (or to 1), and that."""
    from tool import Failure, file_name

    worst = largest = 0.0
    for k, (results, wanted) in enumerate(zip(found, expected)):
        for name, want in wanted.items():
            got = results.get(file_name(name))
            if got is None or got.shape != want.shape or got.dtype != want.dtype:
                raise Failure(f"set {k}: '{name}' is {got if got is None else (got.dtype, got.shape)}, "
                              f"expected {want.dtype} {want.shape}")
            got, want = got.astype(np.float64), want.astype(np.float64)
            if not np.array_equal(np.isfinite(got), np.isfinite(want)):
                raise Failure(f"set {k}: '{name}' is not finite elsewhere")
            if want.size:
                scale = max(1.0, float(np.abs(np.where(np.isfinite(want), want, 0)).max()))
                gap = np.where(np.isfinite(want), got - want, 0)
                worst = max(worst, float(np.abs(gap).max()) / scale)
                largest = max(largest, scale)
    return {"worst": worst, "scale": largest}


def examine(tool, folder, options, allowed):
    """{'worst', 'scale', 'seconds'} or {'error'} for one exported model."""
    from tool import Failure, load_arrays

    path = os.path.join(folder, "model.onnx")
    try:
        start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        artifact, _ = tool.compile(path, *options)
        seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - start
        inputs = [load_arrays(os.path.join(folder, f"inputs_{k}.npz")) for k in range(len(SETS))]
        found = [tool.run(artifact, feed, 2) for feed in inputs]
        os.remove(artifact)
        expected = [load_arrays(os.path.join(folder, f"expected_{k}.npz")) for k in range(len(SETS))]
        result = compare(found, expected)
        if result["worst"] >= allowed and "-f16" in folder:
            # onnxruntime leaves out roundings between two ops of f16. They
            # decide what becomes of a row whose keys are all masked by -65504.
            result = compare(found, evaluate(onnx.load(path), inputs)) | {"judge": "ONNX"}
        return result | {"seconds": round(seconds, 1)}
    except Failure as failure:
        return {"error": str(failure)[-600:]}


def do_check(out, tenon, options, again, only):
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from tool import Tool

    tool = Tool(tenon)
    results_path = os.path.join(out, "results.json")
    results = {}
    if os.path.exists(results_path):
        with open(results_path, encoding="utf-8") as file:
            results = json.load(file)
    count = bad = 0
    for folder, _, files in sorted(os.walk(out)):
        key = os.path.relpath(folder, out)
        if "expected_2.npz" not in files or (only and not any(text in key for text in only)):
            continue
        old = results.get(key)
        if old and not again and "error" not in old and old["worst"] < tolerance(key):
            continue
        found = results[key] = examine(tool, folder, options, tolerance(key))
        count += 1
        wrong = "error" in found or found["worst"] >= tolerance(key)
        bad += wrong
        if wrong:
            print(f"FAIL {key}: {found.get('error') or found}", flush=True)
        else:
            slow = " SLOW" if found["seconds"] > 20 else ""
            print(f"PASS {key}: {found['worst']:.1e} of {found['scale']:.1f}, {found['seconds']} s{slow}", flush=True)
        with open(results_path, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    print(f"{count - bad} passed, {bad} failed")


def do_table(out, document):
    """Families by exporters: the largest difference over three input sets, or what is wrong."""
    with open(os.path.join(out, "results.json"), encoding="utf-8") as file:
        results = json.load(file)
    exporters = sorted({key.split("/")[0] for key in results})
    models = sorted({key.split("/")[1] for key in results})

    def cell(exporter, model):
        found = results.get(f"{exporter}/{model}")
        if found is None:
            return ""
        if "error" in found:
            what = re.search(r"\(([\w.]+::\w+), opset", found["error"])
            return f"no: {what[1].split('::')[1]}" if what else "no"
        mark = "" if found["worst"] < tolerance(f"{exporter}/{model}") else " (!)"
        return f"{found['worst']:.0e}{mark}{' *' if 'judge' in found else ''}"

    lines = [HEADING, "", "| model | " + " | ".join(exporters) + " |", "|---" * (len(exporters) + 1) + "|"]
    lines += ["| " + " | ".join([model, *(cell(e, model) for e in exporters)]) + " |" for model in models]
    passed = sum("error" not in r and r["worst"] < tolerance(k) for k, r in results.items())
    lines += ["", f"{passed} of {len(results)} compile and agree."]
    with open(document, encoding="utf-8") as file:
        text = file.read().partition("## Exports")[0]
    with open(document, "w", encoding="utf-8") as file:
        file.write(text.rstrip() + "\n\n" + "\n".join(lines) + "\n")


def tolerance(key):
    """Of the output's scale. f32 sums in another order; f16 rounds to 1/2048."""
    if "bf16" in key:
        return 4e-2
    if "f16" in key:
        return 5e-3
    if "int8" in key:
        return 2e-2
    if "nbits" in key or "genai" in key:
        return 2e-3
    return 1e-5 * 3


def main():
    parser = argparse.ArgumentParser(description="Exports of transformer families.")
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export")
    export.add_argument("families", type=lambda text: text.split(","))
    export.add_argument("exporters", type=lambda text: text.split(","))
    export.add_argument("out")
    check = commands.add_parser("check")
    check.add_argument("out")
    check.add_argument("--tenon")
    check.add_argument("--again", action="store_true", help="also what passed before")
    check.add_argument("--opt", action="append", default=[], metavar="OPTION", help="an option for the compiler")
    check.add_argument("--only", action="append", default=[], metavar="SUBSTRING")
    table = commands.add_parser("table")
    table.add_argument("out")
    table.add_argument("document")
    commands.add_parser("list")
    args = parser.parse_args()
    if args.command == "export":
        do_export(args.families, args.exporters, args.out)
    elif args.command == "check":
        do_check(args.out, args.tenon, args.opt, args.again, args.only)
    elif args.command == "table":
        do_table(args.out, args.document)
    else:
        import families as zoo

        print("\n".join(zoo.FAMILIES))


if __name__ == "__main__":
    main()
