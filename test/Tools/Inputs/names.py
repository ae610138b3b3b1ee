# ===- names.py - a model with names out of the ordinary ------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
import sys

import onnx
from onnx import TensorProto, helper

LONG = "A" * 3000


def port(name):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])


graph = helper.make_graph(
    [
        helper.make_node("Neg", ["a"], ["y/1"]),
        helper.make_node("Neg", ["a=b"], ["y:1"]),
        helper.make_node("Abs", ["a"], [LONG]),
    ],
    "names",
    [port("a"), port("a=b")],
    [port("y/1"), port("y:1"), port(LONG)],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.save(model, sys.argv[1])
