# ===- arrays.py - writes and prints .npy files ---------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""arrays.py write FILE DTYPE LITERAL | arrays.py print FILE"""

import ast
import sys

import numpy as np

if sys.argv[1] == "write":
    np.save(sys.argv[2], np.array(ast.literal_eval(sys.argv[4]), sys.argv[3]))
else:
    array = np.load(sys.argv[2])
    print(array.dtype, list(array.shape), np.round(array.astype(np.float64), 4).tolist())
