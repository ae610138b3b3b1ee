#!/usr/bin/env python3
#===- decode.py - a decoder's tokens/s beside three peers ------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Measures decoding: Tenon, onnxruntime-genai, OpenVINO-genai and llama.cpp in turns.

usage: decode.py [options] MODELS ARTIFACTS [GROUP...]

MODELS holds folders of one model as GROUPS below names them (for
onnxruntime-genai, with genai_config.json) and `gguf/*.gguf`; ARTIFACTS gets
what Tenon makes of them. Each measurement is a fresh process, which fills the
context with random tokens and decodes behind it; all engines take a turn in each
round. Printed are the median of the rounds and their range, and of Tenon's best
to the best peer's the ratio. Without --llama there is no llama.cpp.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

# Of each: (artifact, folder, options) of Tenon's; (engine, folder or file) of the peers'.
GROUPS = {
    "f32": (
        [("f32", "f32", [])],
        [("genai", "genai-f32"), ("openvino-f32", "F16"), ("llama", "F32")],
    ),
    "exact": (
        [("int4-f16", "int4", ["--kv=f16"])],
        [("genai", "genai-int4-h4")],
    ),
    "int8-act": (
        [("int4-act-f16", "int4", ["--precision=int8-act", "--kv=f16"])],
        [("genai", "genai-int4-a4"), ("openvino", "Q4_1"), ("llama", "Q4_0")],
    ),
}
TOKENS = 32  # behind the context
VOCABULARY = 40000  # tokens of prompts are below
NEVER = 49151  # SmolLM2's last token, taken for the end: no greedy text has it


def prompt(sequences, context):
    import numpy

    return numpy.random.default_rng(1).integers(1000, VOCABULARY, (sequences, context))


def run_genai(path, threads, sequences, context):
    import onnxruntime_genai as genai

    config = genai.Config(path)
    session = {"intra_op_num_threads": threads}
    config.overlay(json.dumps({"model": {"eos_token_id": NEVER, "decoder": {"session_options": session}}}))
    model = genai.Model(config)
    params = genai.GeneratorParams(model)
    params.set_search_options(max_length=context + TOKENS + 2, do_sample=False, batch_size=sequences)
    generator = genai.Generator(model, params)
    generator.append_tokens(prompt(sequences, context).astype("int32"))
    generator.generate_next_token()
    times = []
    for _ in range(TOKENS):
        start = time.perf_counter()
        generator.generate_next_token()
        times.append(time.perf_counter() - start)
    return sequences / statistics.median(times)


def run_openvino(path, threads, sequences, context, f32=False):
    import openvino
    import openvino_genai as genai

    options = {"INFERENCE_NUM_THREADS": threads}
    if f32:
        options |= {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
        options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0
    pipeline = genai.LLMPipeline(path, "CPU", **options)
    config = genai.GenerationConfig()
    config.do_sample = config.apply_chat_template = False
    config.ignore_eos = True
    ids = prompt(sequences, context).astype("int64")
    inputs = genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(ids * 0 + 1))
    config.max_new_tokens = 1
    pipeline.generate(inputs, config)
    # It keeps the prompt, so that a second call decodes alone.
    times = []
    for count in (1, TOKENS + 1):
        config.max_new_tokens = count
        start = time.perf_counter()
        pipeline.generate(inputs, config)
        times.append(time.perf_counter() - start)
    return sequences * TOKENS / (times[1] - times[0])


def json_of(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    if done.stdout.startswith("{\n"):
        return json.loads(done.stdout)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def run_llama(options, path, threads, sequences, context):
    if sequences == 1:
        command = [f"{options.llama}/llama-bench", "-r", "1", "-o", "jsonl", "-p", "0"]
        command += ["-n", str(TOKENS), "-d", str(context), "-m", path, "-t", str(threads)]
        return json_of(command)[0]["avg_ts"]
    command = [f"{options.llama}/llama-batched-bench", "--output-format", "jsonl", "-m", path]
    command += ["-npp", str(context), "-ntg", str(TOKENS), "-npl", str(sequences)]
    command += ["-c", str((context + TOKENS) * sequences), "-t", str(threads), "-tb", str(threads)]
    return json_of(command)[0]["speed_tg"]


def run_tenon(options, artifact, threads, sequences, context):
    command = [options.tenon, "bench", "--decode", artifact, "--json", f"--context={context}"]
    command += [f"--sequences={sequences}", f"--threads={threads}", f"--seconds={options.seconds}"]
    return json_of(command)["tokens_per_second"]


def measure(options, engine, name, threads, sequences, context):
    if engine == "tenon":
        return run_tenon(options, f"{options.artifacts}/{name}.so", threads, sequences, context)
    if engine == "llama":
        return run_llama(options, f"{options.models}/gguf/{name}.gguf", threads, sequences, context)
    path = f"{options.models}/{name}" if engine == "genai" else f"{options.models}/gguf/{name}.gguf"
    numbers = [str(threads), str(sequences), str(context)]
    return json_of([sys.executable, __file__, "--worker", engine, path, *numbers])[0]["rate"]


def worker(engine, path, threads, sequences, context):
    numbers = int(threads), int(sequences), int(context)
    if engine == "genai":
        rate = run_genai(path, *numbers)
    else:
        rate = run_openvino(path, *numbers, f32=engine.endswith("f32"))
    print(json.dumps({"rate": rate}))


def measure_case(options, group, threads, sequences, context):
    mine, peers = GROUPS[group]
    entries = [("tenon", name) for name, _, _ in mine]
    entries += [entry for entry in peers if options.llama or entry[0] != "llama"]
    rates = {}
    for _ in range(options.rounds):
        for entry in entries:
            try:
                rate = measure(options, *entry, threads, sequences, context)
                rates.setdefault(entry, []).append(rate)
            except Exception as problem:  # a peer that cannot is none
                print(f"{entry}: {str(problem)[-200:]}", file=sys.stderr)
    best = {True: 0.0, False: 0.0}
    case = f"| {group} | {threads} | {sequences} | {context}"
    for entry, values in rates.items():
        median = statistics.median(values)
        best[entry[0] == "tenon"] = max(best[entry[0] == "tenon"], median)
        spread = f"{min(values):.1f} to {max(values):.1f}"
        print(f"{case} | {' '.join(entry)} | {median:.1f} | {spread} |", flush=True)
    if best[False]:
        print(f"{case} | **ratio** | **{best[True] / best[False]:.2f}** | |", flush=True)


def main():
    if sys.argv[1:2] == ["--worker"]:
        return worker(*sys.argv[2:])
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("models")
    parser.add_argument("artifacts")
    parser.add_argument("groups", nargs="*", default=list(GROUPS))
    parser.add_argument("--tenon", default="build/bin/tenon")
    parser.add_argument("--llama", help="the folder of llama-bench and llama-batched-bench")
    parser.add_argument("--contexts", default="32,512,2048")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--sequences", default="1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1)
    options = parser.parse_args()
    lists = {
        name: [int(x) for x in getattr(options, name).split(",")]
        for name in ("contexts", "threads", "sequences")
    }
    for group in options.groups:
        for name, folder, flags in GROUPS[group][0]:
            if not os.path.exists(f"{options.artifacts}/{name}.so"):
                command = [options.tenon, "compile", f"{options.models}/{folder}/model.onnx", *flags]
                subprocess.run([*command, "-o", f"{options.artifacts}/{name}.so"], check=True)
    print("| weights | threads | sequences | context | engine | tokens/s | range |")
    print("|---|---|---|---|---|---|---|")
    for threads in lists["threads"]:
        for sequences in lists["sequences"]:
            for context in lists["contexts"]:
                for group in options.groups:
                    measure_case(options, group, threads, sequences, context)


if __name__ == "__main__":
    main()
