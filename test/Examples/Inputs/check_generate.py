# ===- check_generate.py - the example's ids and onnxruntime's ------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""check_generate.py FOLDER MODEL...: FOLDER/MODEL/model.onnx is compiled, and
`generate` continues random ids as onnxruntime does, whose past is copied."""

import os
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime

TOKENS = 30
LENGTHS = (1, 7, 33)


def continued(session, ids):
    """The likeliest tokens behind `ids`."""
    inputs = {value.name: value for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    pasts = {
        name: np.zeros([dim if isinstance(dim, int) else (1, 0)[axis > 0] for axis, dim in enumerate(value.shape)], np.float32)
        for name, value in inputs.items()
        if name.startswith("past_key_values")
    }
    result, new, at = [], ids, 0
    while len(result) < TOKENS:
        feed = {"input_ids": np.array([new]), "attention_mask": np.ones((1, at + len(new)), np.int64)} | pasts
        if "position_ids" in inputs:
            feed["position_ids"] = np.arange(at, at + len(new))[None]
        found = dict(zip(names, session.run(None, feed)))
        at += len(new)
        pasts = {name: found[name.replace("past_key_values", "present")] for name in pasts}
        new = [int(found["logits"][0, -1].argmax())]
        result += new
    return result


def check(folder, name):
    path = os.path.join(folder, name, "model.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    draw = np.random.default_rng(1)
    texts = [draw.integers(0, 100, length).tolist() for length in LENGTHS]
    expected = [continued(session, ids) for ids in texts]
    with tempfile.TemporaryDirectory() as scratch:
        artifact, last = (os.path.join(scratch, name) for name in ("model.so", "last.so"))
        subprocess.run(["tenon", "compile", path, "-O1", "-o", artifact], check=True)
        subprocess.run(["tenon", "compile", path, "-O1", "--outputs=last", "-o", last], check=True)
        for artifact, *options in ((artifact,), (last,), (artifact, "--chunk", "4"), (last, "--threads", "1", "--capacity", "62")):
            lines = subprocess.run(
                ["generate", artifact, "--tokens", str(TOKENS), *options],
                input="".join(" ".join(map(str, ids)) + "\n" for ids in texts),
                capture_output=True, text=True, check=True,
            ).stdout.splitlines()
            found = [[int(word) for word in line.split()] for line in lines]
            if found != expected:
                sys.exit(f"{name} {' '.join(options)}: found {found}, expected {expected}")
    print(f"{name}: {len(texts)} texts of {TOKENS} tokens agree")


def main():
    for name in sys.argv[2:]:
        check(sys.argv[1], name)


if __name__ == "__main__":
    main()
