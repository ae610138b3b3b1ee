# ===- __main__.py - python -m tenon is the command line ------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Becomes the compiler: `python -m tenon compile model.onnx -o model.so`."""

import os
import sys

from ._compiler import CompileError, compiler_path

try:
    program = compiler_path()
except CompileError as error:
    sys.exit(f"tenon: error: {error}")
# `tenon compare` needs a Python with onnxruntime: this one, if any.
os.environ.setdefault("TENON_PYTHON", sys.executable)
os.execv(program, [program, *sys.argv[1:]])
