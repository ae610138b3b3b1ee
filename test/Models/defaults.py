#!/usr/bin/env python3
#===- defaults.py - inputs that have a default ------------------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Initialisers that are inputs as well, given and not given, against onnxruntime.

usage: defaults.py [--tenon PATH] [SUBSTRING...]
"""

import json

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from session import Session
from tool import Checks, Failure

X = np.arange(12, dtype=np.float32).reshape(4, 3)
FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL

# The elements of `shape` are dims, `on` chooses a branch, `offset` may get rows.
NODES = """
    m = Mul (x, scale)
    a = Add (m, offset)
    b = Where (on, a, m)
    p = MatMul (b, w)
    y = Reshape (p, shape)
"""
INPUTS = [("x", FLOAT, ["batch", 3]), ("scale", FLOAT, [3]), ("offset", FLOAT, ["batch", 3]), ("w", FLOAT, [3, 2]),
          ("shape", INT, [2]), ("on", BOOL, [])]
DEFAULTS = {"scale": np.float32([1, 2, 4]), "offset": np.float32([[8, 16, 32]]), "w": np.float32([[1, 0], [2, 1], [0, 3]]),
            "shape": np.int64([-1, 2]), "on": np.array(True)}
# What is given, one after the other in one context; what is not has its default.
RUNS = [
    {}, {"scale": np.float32([3, 2, 1])}, {}, {"offset": X / 2}, {"w": np.float32([[0, 1], [1, 0], [1, 1]])},
    {"shape": np.int64([2, -1])}, {"on": np.array(False)},
    {"scale": np.float32([5, 5, 5]), "offset": -X, "shape": np.int64([1, 8]), "on": np.array(True)}, {},
]


def build(path, ir_version=8, more=0):
    parsed = onnx.parser.parse_graph("g (float[1] x) => (float[a, b] y) {" + NODES + "}")
    names = [name for name, _, _ in INPUTS]
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in DEFAULTS.items()]
    inputs = [helper.make_tensor_value_info(*port) for port in INPUTS]
    nodes = list(parsed.node)
    if more:  # as an exporter that lists everything
        nodes[1].input[1] = "offset0"
        names = ["x", "scale", "w", "shape", "on"]
        inputs = [port for port in inputs if port.name in names]
        initializers = [tensor for tensor in initializers if tensor.name in names]
        total = []
        for i in range(more):
            value = np.float32([[i, 1, 2]])
            initializers.append(numpy_helper.from_array(value, f"part{i}"))
            inputs.append(helper.make_tensor_value_info(f"part{i}", FLOAT, [1, 3]))
            total.append(f"part{i}")
        nodes.insert(0, helper.make_node("Sum", total, ["offset0"]))
    graph = helper.make_graph(nodes, "g", inputs, list(parsed.output), initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=ir_version)
    onnx.save(model, path)
    return path


def ports(tool, artifact):
    text = tool.expect_success("inspect", artifact, "--json").stdout
    return {port["name"]: port.get("optional", False) for port in json.loads(text)["inputs"]}


def equal(found, expected, what):
    if found.shape != expected.shape or not (found == expected).all():
        raise Failure(f"{what}: {found.tolist()}, expected {expected.tolist()}")


def check_given(tool):
    path = build(tool.file("given.onnx"))
    reference = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for options in ((), ("--weights=file",)):
        artifact, _ = tool.compile(path, "-O0", *options)
        found = ports(tool, artifact)
        if found != {name: name != "x" for name, _, _ in INPUTS}:
            raise Failure(f"inspect says {found}")
        session = Session(artifact)
        for given in RUNS:
            expected = reference.run(None, {"x": X, **given})[0]
            inputs = {name: {"x": X, **given}.get(name) for name, _, _ in INPUTS}
            out = session.run(inputs, {"y": (2, np.dtype(np.float32))})["y"]
            equal(out, expected, f"given {sorted(given)}")
        session.close()
    # The tools leave them alone or pass them on.
    for given in RUNS[:2]:
        equal(tool.run(artifact, {"x": X, **given})["y"], reference.run(None, {"x": X, **given})[0], "tenon run")
    tool.expect_success("bench", artifact, "--dim", "batch=4", "--runs", "2")
    tool.expect_success("compare", path, artifact, "--dim", "batch=4")


def check_weights(tool):
    """Weights: because that was said, of an old model, of one that lists all."""
    for name, path, options, names in (
        ("--defaults", build(tool.file("said.onnx")), ["--defaults=weights"], {"x"}),
        ("IR version 3", build(tool.file("old.onnx"), ir_version=3), [], {"x"}),
        ("many", build(tool.file("many.onnx"), more=20), [], {"x"}),
    ):
        artifact, _ = tool.compile(path, "-O0", *options)
        if set(ports(tool, artifact)) != names:
            raise Failure(f"{name}: {ports(tool, artifact)}")
        reference = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        equal(tool.run(artifact, {"x": X})["y"], reference.run(None, {"x": X})[0], name)
    # Unless one says otherwise.
    path = build(tool.file("most.onnx"), more=20)
    artifact, _ = tool.compile(path, "-O0", "--defaults=inputs")
    if len(ports(tool, artifact)) != 25:
        raise Failure(f"{ports(tool, artifact)}")


def check_needed(tool):
    """How many axes there are decides a rank, so they are a constant after all."""
    graph = onnx.parser.parse_graph("g (float[2, 3] x) => (float[a] y) { y = ReduceSum <keepdims = 0> (x, axes) }")
    graph.input.append(helper.make_tensor_value_info("axes", INT, ["n"]))
    graph.initializer.append(numpy_helper.from_array(np.int64([1]), "axes"))
    path = tool.file("needed.onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    artifact, _ = tool.compile(path, "-O0")
    if set(ports(tool, artifact)) != {"x"}:
        raise Failure(f"{ports(tool, artifact)}")
    tool.expect_success("check", path)
    refusal = tool.call("compile", path, "--defaults=inputs", "-o", tool.file("none.so"))
    if refusal.returncode != 1 or "'axes' depends on data" not in refusal.stderr:
        raise Failure(refusal.stderr)


def main():
    checks = Checks("Inputs that have a default, against onnxruntime.")
    tool = checks.tool()
    checks.attempt("given or not", check_given, tool)
    checks.attempt("weights", check_weights, tool)
    checks.attempt("needed by an operator", check_needed, tool)
    checks.finish()


if __name__ == "__main__":
    main()
