#!/usr/bin/env python3
#===- formats.py - models in 8 bits and bf16, beside two peers -------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Measures transformers in the formats that people ship.

usage: formats.py [options] MODELS WORK [NAME...]

MODELS holds the f32 models (`export_models.py`, and MiniLM), WORK takes what is
made of them. Names are of formats (`dynamic`, `qdq`, `bf16`), of models, or of
one case (`bert-base/qdq`). `dynamic` and `qdq` are quantised by onnxruntime with
its own defaults for a server's CPU (per channel for `qdq`, activations u8,
weights s8) and run beside onnxruntime. `bf16` is `tenon compile
--precision=bf16` beside OpenVINO at its own default, which computes in bf16
where the CPU has it, and onnxruntime in f32. The engines take short turns as in
realfiles.py; the least time of each counts, and the quartiles of the turns'
ratios are printed beside it.
"""

import argparse
import math
import os
import subprocess

import numpy as np
import onnx
import onnxruntime
import realfiles

I, F = np.int64, np.float32
TEXT = ["input_ids", "attention_mask", "token_type_ids"]
# Shapes of each model's inputs, as names of rows.
MODELS = {
    "minilm": [(1, 16), (1, 128), (8, 128)],
    "bert-base": [(1, 16), (1, 128), (8, 128)],
    "gpt2": [(1, 64)],
    "vit-base": [(1,), (8,)],
    "whisper-tiny-encoder": [()],
}
FORMATS = {
    "dynamic": ["minilm", "bert-base", "vit-base"],
    "qdq": ["minilm", "bert-base", "vit-base"],
    "bf16": ["minilm", "bert-base", "gpt2", "vit-base", "whisper-tiny-encoder"],
}


def feed_of(model, shape):
    rng = np.random.default_rng(7)
    if model == "vit-base":
        return {"pixel_values": rng.standard_normal((*shape, 3, 224, 224)).astype(F)}
    if model == "whisper-tiny-encoder":
        return {"input_features": rng.standard_normal((1, 80, 3000)).astype(F)}
    feed = {"input_ids": rng.integers(1000, 20000, shape).astype(I)}
    if model != "gpt2":
        feed |= {"attention_mask": np.ones(shape, I), "token_type_ids": np.zeros(shape, I)}
    return feed


def quantise(source, target, model, form):
    """Once, with onnxruntime's own tools."""
    if os.path.exists(target):
        return
    from onnxruntime import quantization as q
    from onnxruntime.quantization import shape_inference

    whole, prepared = target + ".whole.onnx", target + ".prepared.onnx"
    onnx.save(onnx.load(source), whole)  # weights inside
    shape_inference.quant_pre_process(whole, prepared, skip_symbolic_shape=True)
    if form == "dynamic":
        q.quantize_dynamic(prepared, target, weight_type=q.QuantType.QInt8)
    else:

        class Reader(q.CalibrationDataReader):
            feeds = iter([feed_of(model, MODELS[model][0])])

            def get_next(self):
                return next(self.feeds, None)

        q.quantize_static(
            prepared,
            target,
            Reader(),
            quant_format=q.QuantFormat.QDQ,
            per_channel=True,
            activation_type=q.QuantType.QUInt8,
            weight_type=q.QuantType.QInt8,
        )
    os.remove(whole)
    os.remove(prepared)


def measure(options, case, artifact, path, feed, threads):
    """Turns of each engine: lists of least milliseconds."""
    arguments = []
    for number, (key, value) in enumerate(feed.items()):
        file = os.path.join(options.work, f"{case.replace('/', '-')}.{number}.npy")
        np.save(file, value)
        arguments += ["--input", f"{key}={file}"]
    peers = {"onnxruntime": realfiles.onnxruntime_run(path, threads, feed)}
    if case.endswith("bf16"):
        # As its users run it: no precision asked for.
        peers["openvino"] = realfiles.openvino_run(path, threads, feed, own={})
    peers = {peer: run for peer, run in peers.items() if run}
    turns = {engine: [] for engine in ["tenon", *peers]}
    for _ in range(options.rounds):
        mine = realfiles.tenon_least(options.tenon, artifact, threads, arguments, options.seconds)
        turns["tenon"].append(mine)
        for peer, run in peers.items():
            turns[peer].append(realfiles.least_of(run, options.seconds))
    return turns


def row(case, shape, threads, turns):
    least = {engine: min(times) for engine, times in turns.items()}
    peer = min((e for e in least if e != "tenon"), key=least.get)
    ratio = least[peer] / least["tenon"]
    spread = np.quantile(np.array(turns[peer]) / np.array(turns["tenon"]), [0.25, 0.75])
    name = case + (" " + "x".join(map(str, shape)) if shape else "")
    others = " | ".join(f"{least[e]:.3f}" if e in least else "-" for e in ["onnxruntime", "openvino"])
    print(
        f"| {name} | {threads} | {least['tenon']:.3f} | {others} | {ratio:.2f} ({spread[0]:.2f} to {spread[1]:.2f}) |",
        flush=True,
    )
    return ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models")
    parser.add_argument("work")
    parser.add_argument("names", nargs="*")
    realfiles.add_options(parser)
    options = parser.parse_args()
    onnxruntime.set_default_logger_severity(3)
    os.makedirs(options.work, exist_ok=True)
    options.artifacts = options.work
    ratios = []
    print("| case | threads | Tenon | onnxruntime | OpenVINO | ratio to the faster (quartiles of turns) |")
    print("|---|---|---|---|---|---|")
    for form, models in FORMATS.items():
        for model in models:
            case = f"{model}/{form}"
            if options.names and not {form, model, case} & set(options.names):
                continue
            path = os.path.join(options.models, model, "model.onnx")
            artifact = os.path.join(options.work, f"{model}-{form}.so")
            flags = [f"--target={options.target}"] if options.target else []
            flags += ["--precision=bf16"] if form == "bf16" else []
            if form != "bf16":
                source, path = path, os.path.join(options.work, f"{model}-{form}.onnx")
                quantise(source, path, model, form)
            command = [options.tenon, "compile", path, "-o", artifact, *flags]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"| {case} | {done.stderr.strip()[:200]} | | | | |")
                continue
            for shape in MODELS[model]:
                for threads in map(int, options.threads.split(",")):
                    turns = measure(options, case, artifact, path, feed_of(model, shape), threads)
                    ratios.append((form, row(case, shape, threads, turns)))
    for form in FORMATS:
        own = [ratio for kind, ratio in ratios if kind == form]
        if own:
            mean = math.exp(sum(map(math.log, own)) / len(own))
            print(f"\n{form}: geomean {mean:.2f}, below 1.1 in {sum(r < 1.1 for r in own)} of {len(own)}")


if __name__ == "__main__":
    main()
