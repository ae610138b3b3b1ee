#===- contrib_case.py - what a test of one com.microsoft node says ---------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""The type of the cases in contrib_*.py, and numbers to feed them with."""

import dataclasses

import numpy as np
from onnx import TensorProto


@dataclasses.dataclass
class Case:
    """One node, its sets of inputs and, where onnxruntime has no such kernel, a reference.

    `inputs` are triples (name, dims, value): dims as "b,s,64" for an input of
    the graph, None for a weight of that value; an absent operand has no name.
    """

    name: str
    op: str
    inputs: list
    outputs: dict
    sets: list
    attributes: dict = dataclasses.field(default_factory=dict)
    domain: str = "com.microsoft"
    opset: int = 20
    atol: float = 1e-5
    rtol: float = 1e-5
    reference: object = None
    ignored: tuple = ()
    clear: object = None  # (outputs, inputs): overwrites what is unspecified


F32, F16, I32, I64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT32, TensorProto.INT64
U8, I8, U16, I16 = TensorProto.UINT8, TensorProto.INT8, TensorProto.UINT16, TensorProto.INT16
ABSENT = ("", None, None)


def rand(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng([seed, *shape]).standard_normal(shape)).astype(np.float32)


def ints(low, high, *shape, seed=0, dtype=np.int64):
    return np.random.default_rng([seed, *shape]).integers(low, high, shape, dtype=dtype)


def weight(name, value):
    return (name, None, value)
