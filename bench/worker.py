#!/usr/bin/env python3
#===- worker.py - one engine, one case, one fresh process ------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Runs one peer on one case and prints one line of JSON.

Every measurement gets a process of its own, so that no engine inherits
another's threads, heap or page cache state. Tenon's own counterpart is
host.cpp, which prints the same fields.
"""

import argparse
import json
import os
import sys
import time

import numpy as np


def memory():
    """Resident kB of this process, split into anonymous and file-backed."""
    fields = {}
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            key, _, value = line.partition(":")
            if key in ("RssAnon", "RssFile", "VmHWM"):
                fields[key] = int(value.split()[0])
    return fields


def load_onnxruntime(model, threads, optimised):
    """ORT's best settings: all optimisations, N threads, inputs bound once."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    if optimised:
        # A saved optimised model must not be optimised a second time.
        if os.path.exists(optimised):
            model = optimised
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        else:
            options.optimized_model_filepath = optimised
            # Weights that stay external would be looked for beside the copy.
            name = "session.optimized_model_external_initializers_file_name"
            options.add_session_config_entry(name, os.path.basename(optimised) + ".data")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def prepare(inputs):
        binding = session.io_binding()
        keep = {}
        for port in session.get_inputs():
            keep[port.name] = np.ascontiguousarray(inputs[port.name])
            binding.bind_cpu_input(port.name, keep[port.name])
        for port in session.get_outputs():
            binding.bind_output(port.name, "cpu")

        def run():
            session.run_with_iobinding(binding)
            return keep  # keeps the bound arrays alive

        def outputs():
            values = binding.copy_outputs_to_cpu()
            return {p.name: v for p, v in zip(session.get_outputs(), values)}

        return run, outputs

    return prepare


def load_openvino(model, threads, static_inputs):
    """OpenVINO's best settings for latency, in f32 as every engine here."""
    import openvino as ov

    core = ov.Core()
    graph = core.read_model(model)
    if static_inputs is not None:
        graph.reshape({k: list(v.shape) for k, v in static_inputs.items()})
    compiled = core.compile_model(
        graph,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        },
    )
    request = compiled.create_infer_request()

    def prepare(inputs):
        for port in compiled.inputs:
            request.set_tensor(port, ov.Tensor(np.ascontiguousarray(inputs[port.any_name]), shared_memory=False))

        def outputs():
            return {p.any_name: np.array(request.get_tensor(p).data) for p in compiled.outputs}

        return request.infer, outputs

    return prepare


def load_iree(module, threads):
    """IREE: a module compiled beforehand by run.py, on its local-task device."""
    import iree.runtime as rt

    # The flags reach the task topology only before the first driver exists.
    rt.flags.parse_flags(f"--task_topology_max_group_count={threads}")
    if threads == 1:
        config = rt.Config("local-sync")
    else:
        config = rt.Config("local-task")
    with open(module, "rb") as file:
        vm_module = rt.VmModule.copy_buffer(config.vm_instance, file.read())
    loaded = rt.load_vm_module(vm_module, config)
    with open(module + ".json", encoding="utf-8") as file:
        names = json.load(file)
    function = getattr(loaded, names["function"])

    def prepare(inputs):
        arrays = [rt.asdevicearray(config.device, inputs[n]) for n in names["inputs"]]
        last = []

        def run():
            last[:] = [function(*arrays)]

        def outputs():
            values = last[0] if isinstance(last[0], (tuple, list)) else [last[0]]
            return {n: np.asarray(v) for n, v in zip(names["outputs"], values)}

        return run, outputs

    return prepare


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--inputs", required=True, help="an .npz file")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--optimised", help="onnxruntime: saved optimised model, written when missing")
    parser.add_argument("--output", help="write the outputs to this .npz file")
    args = parser.parse_args()
    inputs = dict(np.load(args.inputs))

    if args.engine == "onnxruntime":
        import onnxruntime  # noqa: F401  (its import is not part of the start-up)
    elif args.engine.startswith("openvino"):
        import openvino  # noqa: F401
    else:
        import iree.runtime  # noqa: F401

    before = memory()
    start = time.perf_counter()
    if args.engine == "onnxruntime":
        prepare = load_onnxruntime(args.model, args.threads, args.optimised)
    elif args.engine == "openvino":
        prepare = load_openvino(args.model, args.threads, None)
    elif args.engine == "openvino-static":
        prepare = load_openvino(args.model, args.threads, inputs)
    elif args.engine == "iree":
        prepare = load_iree(args.model, args.threads)
    else:
        sys.exit(f"unknown engine '{args.engine}'")
    created = time.perf_counter()
    run, outputs = prepare(inputs)
    run()
    first = time.perf_counter()
    for _ in range(args.warmup):
        run()
    times = []
    for _ in range(args.runs):
        begin = time.perf_counter()
        run()
        times.append((time.perf_counter() - begin) * 1e3)
    after = memory()
    if args.output:
        np.savez(args.output, **outputs())
    print(
        json.dumps(
            {
                "engine": args.engine,
                "create_ms": (created - start) * 1e3,
                "first_output_ms": (first - start) * 1e3,
                "times_ms": times,
                "rss_anon_kb": after["RssAnon"],
                "rss_anon_added_kb": after["RssAnon"] - before["RssAnon"],
                "rss_file_kb": after["RssFile"],
                "peak_rss_kb": after["VmHWM"],
            }
        )
    )


if __name__ == "__main__":
    main()
