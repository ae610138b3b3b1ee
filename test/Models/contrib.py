#!/usr/bin/env python3
#===- contrib.py - com.microsoft operators against onnxruntime -------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Compiles graphs of one node of com.microsoft and compares them with onnxruntime.

usage: contrib.py [--tenon PATH] [--part N/M] [--family attention|quant|misc] [SUBSTRING...]

Each operator runs in the forms that onnxruntime's optimizer, its quantiser and
the onnxruntime-genai model builder write, with symbolic dims and several sets
of inputs. Forms that onnxruntime itself refuses have a reference in numpy.
"""

import functools

import numpy as np
import onnx
from onnx import helper

from batch import Graph, check_graphs
from contrib_attention import attention_cases
from contrib_quant import quant_cases
from contrib_misc import misc_cases
from operators import compare, session_of
from tool import Checks

FAMILIES = {"attention": attention_cases, "quant": quant_cases, "misc": misc_cases}


def build(case):
    """The graph of one node; inputs that the case has no dims for are weights."""
    graph_inputs, weights, names = [], [], []
    for name, dims, value in case.inputs:
        names.append(name)
        if not name:
            continue
        if dims is None:
            tensor = onnx.numpy_helper.from_array(value, name) if isinstance(value, np.ndarray) else value
            tensor.name = name
            weights.append(tensor)
            continue
        shape = [int(d) if d.isdigit() else d for d in dims.split(",")] if dims else []
        kind = helper.np_dtype_to_tensor_dtype(np.asarray(case.sets[0][name]).dtype)
        graph_inputs.append(helper.make_tensor_value_info(name, kind, shape))
    node = helper.make_node(case.op, names, list(case.outputs), name="node", domain=case.domain, **case.attributes)
    outputs = [helper.make_tensor_value_info(o, case.outputs[o], None) for o in case.outputs if o]
    graph = helper.make_graph([node], "contrib", graph_inputs, outputs, weights)
    opsets = [helper.make_opsetid("", case.opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def case_graph(case):
    """A case for check_graphs."""
    model = build(case)
    expect = functools.cache(lambda: session_of(model))

    def judge(number, inputs, found):
        expected = case.reference(**inputs) if case.reference else expect()(inputs)
        if case.clear:
            case.clear(found, inputs)
            case.clear(expected, inputs)
        for name in case.ignored:
            expected.pop(name, None)
        compare(found, expected, case.atol, case.rtol, f"set {number}")

    sets = [{name: np.array(value, order="C") for name, value in inputs.items()} for inputs in case.sets]
    return Graph(case.name, model, sets, judge)


def main():
    checks = Checks("com.microsoft operators against onnxruntime.")
    checks.parser.add_argument("--family", choices=FAMILIES, help="only these (default: all)")
    tool = checks.tool()
    family = checks.options.family
    for cases in [FAMILIES[family]] if family else FAMILIES.values():
        check_graphs(checks, tool, [case_graph(case) for case in cases()], "-O0")
    checks.finish()


if __name__ == "__main__":
    main()
