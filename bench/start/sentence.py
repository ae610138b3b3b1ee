# ===- sentence.py - a Python program, of Tenon or onnxruntime -------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""sentence.py tenon|onnxruntime MODEL: prints the first number of a result."""

import sys

import numpy

engine, model = sys.argv[1:]
feeds = {
    "input_ids": [[101, 1996, 4937, 25126, 2006, 1996, 10682, 102]],
    "attention_mask": [[1] * 8],
    "token_type_ids": [[0] * 8],
}
feeds = {name: numpy.array(values, numpy.int64) for name, values in feeds.items()}
if engine == "tenon":
    import tenon

    session = tenon.Model(model, threads=1)
else:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"]
    )
result = session.run(["last_hidden_state"], feeds)[0]
print(f"{result[0, 0, 0]:.3f}", flush=True)
sys.stdin.read()  # until it has been measured
