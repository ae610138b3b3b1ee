#!/usr/bin/env python3
#===- architectures.py - the full-size models, compiled and compared -------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""One table: what compiling each full-size architecture costs and how exact it is.

usage: architectures.py [--tenon PATH] [--models DIR] [--docs DIR] [NAME...]

Compiles MODELS/NAME/model.onnx once without --dim, runs the artifact at several
shapes and compares with onnxruntime. Prints a Markdown table and writes it to
DOCS/Models.md. Needs numpy and onnxruntime; models that are not there are left
out (bench/export_models.py makes them).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime as ort

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, HERE)
from run import compile_tenon  # noqa: E402

TEXT = [(1, 1), (2, 7), (1, 64), (3, 33), (1, 128)]
MODELS = {
    "minilm": (TEXT, 30522),
    "bert-base": (TEXT, 30522),
    "gpt2": (TEXT, 50257),
    "vit-base": ([(1, 3, 224, 224), (2, 3, 224, 224), (3, 3, 224, 224)], 0),
    "llama-135m": (TEXT, 49152),
    "whisper-tiny-encoder": ([(1, 80, 3000)], 0),
}


def make_inputs(session, shape, vocabulary, rng):
    """Random ids, or random values; the last row of a mask ends in padding."""
    inputs = {}
    for port in session.get_inputs():
        if port.name == "attention_mask":
            value = np.ones(shape, np.int64)
            value[-1, shape[1] // 2 + 1 :] = 0
        elif port.name == "token_type_ids":
            value = np.zeros(shape, np.int64)
        elif vocabulary:
            value = rng.integers(0, vocabulary, shape, dtype=np.int64)
        else:
            value = rng.standard_normal(shape).astype(np.float32)
        inputs[port.name] = value
    return inputs


def run_tenon(tenon, artifact, inputs, folder):
    command = [tenon, "run", artifact, "--output-dir", os.path.join(folder, "out"), "--threads", "2"]
    for name, value in inputs.items():
        path = os.path.join(folder, name + ".npy")
        np.save(path, value)
        command += ["--input", f"{name}={path}"]
    subprocess.run(command, check=True)


def check(tenon, name, source, folder):
    """The table's row."""
    shapes, vocabulary = MODELS[name]
    artifact = os.path.join(folder, "model.so")
    figures = compile_tenon(tenon, source, artifact)
    session = ort.InferenceSession(source, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    worst = largest = 0.0
    for shape in shapes:
        inputs = make_inputs(session, shape, vocabulary, rng)
        names = [port.name for port in session.get_outputs()]
        expected = dict(zip(names, session.run(names, inputs)))
        run_tenon(tenon, artifact, inputs, folder)
        for key, value in expected.items():
            found = np.load(os.path.join(folder, "out", re.sub(r"[^A-Za-z0-9_.-]", "_", key) + ".npy"))
            if found.shape != value.shape:
                raise RuntimeError(f"{name}: '{key}' has shape {found.shape}, expected {value.shape}")
            if not np.isfinite(found).all():
                raise RuntimeError(f"{name}: '{key}' at {shape} is not finite")
            worst = max(worst, float(np.abs(found - value).max()))
            largest = max(largest, float(np.abs(value).max()))
        shutil.rmtree(os.path.join(folder, "out"))
    inspected = subprocess.run([tenon, "inspect", artifact, "--json"], capture_output=True, text=True, check=True)
    weights = int(re.search(r'"weights_bytes":\s*(\d+)', inspected.stdout).group(1))
    tried = ", ".join("×".join(map(str, shape)) for shape in shapes)
    return (
        f"| {name} | {tried} | {worst:.1e} | {largest:.1f} | {figures['seconds']:.1f} ({figures['cpu_seconds']:.1f}) | {figures['peak_rss_mb']:.0f} | "
        f"{figures['peak_anonymous_mb']:.0f} | "
        f"{weights / 2**20:.1f} | {(figures['artifact_bytes'] - weights) / 1024:.0f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tenon", default=os.path.join(ROOT, "build", "bin", "tenon"))
    parser.add_argument("--models", default=os.path.join(ROOT, ".deps", "models"))
    parser.add_argument("--docs", default=os.path.join(ROOT, "docs"))
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    lines = [
        "| model | shapes (batch first) | max difference to onnxruntime | largest output | compile s (CPU s) | peak RSS MB | of it anonymous | weights MB | artifact without weights KB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    failed = False
    for name in args.names or MODELS:
        source = os.path.join(args.models, name, "model.onnx")
        if not os.path.exists(source):
            print(f"{name}: no {source}; left out", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory(prefix="tenon-arch-") as folder:
            try:
                lines.append(check(args.tenon, name, source, folder))
            except (RuntimeError, subprocess.CalledProcessError) as error:
                failed = True
                print(f"{name}: {error}", file=sys.stderr)
    text = "\n".join(lines) + "\n"
    print(text)
    if not failed and not args.names:
        path = os.path.join(args.docs, "Models.md")
        with open(path, encoding="utf-8") as file:
            # The table of test/Models/exports.py stays.
            exports = file.read().partition("## Exports")
        with open(path, "w", encoding="utf-8") as file:
            file.write(
                "# Models\n\nFull-size architectures, each compiled once without `--dim` and compared with onnxruntime at the "
                "shapes given (`bench/architectures.py` takes these figures anew). Weights are MiniLM's own and random ones "
                "otherwise; peak RSS counts the mapped pages of the weights.\n\n" + text
                + ("\n" + "".join(exports[1:]) if exports[1] else "")
            )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
