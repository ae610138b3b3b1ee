# ===- growth.py - graphs that are large, or claim to be ------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""growth.py DIR: writes the models there."""

import os
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

FLOAT = onnx.TensorProto.FLOAT
N = helper.make_node


def value(name, dims):
    return helper.make_tensor_value_info(name, FLOAT, dims)


def model(nodes, inputs, outputs, constants={}, functions=()):
    initializers = [numpy_helper.from_array(a, k) for k, a in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", 22), helper.make_opsetid("f", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10,
                             functions=functions)


def chain(count):
    nodes = [N(("Neg", "Tanh")[i % 2], [f"v{i}"], [f"v{i + 1}"])
             for i in range(count)]
    return model(nodes, [value("v0", ["n"])], [value(f"v{count}", ["n"])])


def sum_of(count):
    names = [f"x{i}" for i in range(count)]
    return model([N("Sum", names, ["y"])], [value(x, ["n"]) for x in names],
                 [value("y", ["n"])])


def functions(depth):
    """Each calls the one before twice."""
    opsets = [helper.make_opsetid("", 22), helper.make_opsetid("f", 1)]
    made = []
    for i in range(depth):
        body = [N("Neg", ["a"], ["b"])]
        if i:
            body = [N(f"F{i - 1}", ["a"], ["t"], domain="f"),
                    N(f"F{i - 1}", ["t"], ["b"], domain="f")]
        made.append(helper.make_function("f", f"F{i}", ["a"], ["b"], body,
                                         opsets))
    return model([N(f"F{depth - 1}", ["x"], ["y"], domain="f")],
                 [value("x", [2])], [value("y", [2])], functions=made)


def depths(count):
    """Products of as many depths."""
    nodes = [N("MatMul", [f"v{i}", f"w{i}"], [f"v{i + 1}"])
             for i in range(count)]
    weights = {f"w{i}": np.ones((64 + i, 65 + i), np.float32)
               for i in range(count)}
    return model(nodes, [value("v0", ["n", 64])],
                 [value(f"v{count}", ["n", 64 + count])], weights)


def filled(nodes, outputs, inputs=()):
    """With c, a constant of 2^31 elements."""
    return model([N("ConstantOfShape", ["s"], ["c"]), *nodes], inputs, outputs,
                 {"s": np.array([2**31]), "k": np.array([2, -1])})


def deform_conv():
    """Groups that the weight's dims cannot have."""
    return model([N("DeformConv", ["x", "w", "o"], ["y"], group=63,
                    offset_group=2, kernel_shape=[2, 2], pads=[0, 0, 0, 0])],
                 [value("x", [1, 2, 3, 3])], [value("y", [1, 1, 2, 2])],
                 {"w": np.ones((1, 2, 2, 2), np.float32),
                  "o": np.zeros((1, 16, 2, 2), np.float32)})


def pipe(folder):
    """A weight whose file is a pipe that nobody writes to."""
    os.mkfifo(f"{folder}/weights.bin")
    made = model([N("Add", ["x", "w"], ["y"])], [value("x", [4])],
                 [value("y", [4])], {"w": np.ones(4, np.float32)})
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    return made


def main():
    folder = sys.argv[1]
    os.makedirs(folder)
    models = {
        "chain": chain(3000),
        "sum": sum_of(500),
        "depths": depths(3),
        "functions": functions(30),
        "input": model([N("Flatten", ["x"], ["y"])],
                       [value("x", [2**31, 2**31])], [value("y", None)]),
        "tiled": filled([N("Expand", ["x", "t"], ["y"])], [value("y", None)],
                        [value("x", [2**20, 1])]),
        "filled": filled([], [value("c", [2**31])]),
        "product": filled([N("Reshape", ["c", "k"], ["r"]),
                           N("MatMul", ["x", "r"], ["m"]),
                           N("ReduceMax", ["m"], ["y"])],
                          [value("y", [1, 1])], [value("x", [1, 2])]),
        "deform": deform_conv(),
        "pipe": pipe(folder),
    }
    models["tiled"].graph.initializer.append(
        numpy_helper.from_array(np.array([2**20, 2**40]), "t"))
    for name, made in models.items():
        with open(f"{folder}/{name}.onnx", "wb") as out:
            out.write(made.SerializeToString())


if __name__ == "__main__":
    main()
