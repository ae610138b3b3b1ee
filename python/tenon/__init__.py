# ===- __init__.py - compiled models in Python ----------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Compiles ONNX models ahead of time and runs what comes out.

    import numpy, tenon
    tenon.compile("model.onnx", "model.so", target="x86-64-v3")
    model = tenon.Model("model.so", threads=2)
    outputs = model.run({"x": numpy.ones((4, 128), "float32")})

Whatever has the buffer protocol or `__dlpack__` is taken without a copy, and
results are NumPy arrays over the memory that the model wrote. While a model
runs, other Python threads do.
"""

from ._compiler import CompileError, compile, compare, compiler_path
from ._model import Model, Port
from ._tenon import Error, Tensor
from ._version import __version__

__all__ = [
    "CompileError",
    "Error",
    "Model",
    "Port",
    "Tensor",
    "__version__",
    "compare",
    "compile",
    "compiler_path",
]
