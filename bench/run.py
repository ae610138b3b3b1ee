#!/usr/bin/env python3
#===- run.py - Tenon against its peers -------------------------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Measures Tenon, onnxruntime, OpenVINO and IREE interleaved in one run.

usage: run.py [options] [CASE...]

Sets the peers up in a virtual environment of their own, compiles each model
once for any shape, and then takes rounds: in each round every engine runs
every case once, in random order and in a fresh process, after the FMA peak has
been measured and Tenon's artifacts have been copied to other memory. Engines
thus meet the same noise. Outputs are compared in the same run. Writes
docs/performance.json, docs/performance.png and the tables of
docs/Performance.md. CASE selects cases by a part of their name.
"""

import argparse
import glob
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time

from watch import Watch

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PACKAGES = ["numpy", "onnx", "onnxruntime", "openvino", "matplotlib"]
IREE_PACKAGES = ["iree-base-compiler", "iree-base-runtime"]
ENGINES = ["tenon", "onnxruntime", "openvino", "iree"]


class Progress:
    """One line that is rewritten on a terminal; nothing in a pipe."""

    def __init__(self, total):
        self.total, self.done, self.start = total, 0, time.monotonic()
        self.visible = sys.stderr.isatty()

    def step(self, text):
        self.done += 1
        if not self.visible:
            return
        left = (time.monotonic() - self.start) / self.done * (self.total - self.done)
        line = f"[{self.done}/{self.total}] {text}, {left / 60:.0f} min left"
        sys.stderr.write("\r\x1b[K" + line[:110])
        sys.stderr.flush()

    def close(self):
        if self.visible:
            sys.stderr.write("\r\x1b[K")


def note(text):
    print(text, file=sys.stderr, flush=True)


def call(command, **options):
    """Standard output of a command; its last lines of error on failure."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise RuntimeError("\n".join(lines[-6:]))
    return result.stdout


def set_up_peers(folder, with_iree):
    """The peers' Python, installed on first use."""
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        note(f"setting up the peers in {folder}")
        call([sys.executable, "-m", "venv", folder])
    stamp = os.path.join(folder, "installed")
    wanted = PACKAGES + (IREE_PACKAGES if with_iree else [])
    installed = open(stamp, encoding="utf-8").read().split() if os.path.exists(stamp) else []
    missing = [name for name in wanted if name not in installed]
    if missing:
        note(f"installing {', '.join(missing)}")
        call([python, "-m", "pip", "install", "-q", *missing])
        with open(stamp, "w", encoding="utf-8") as file:
            file.write("\n".join(sorted({*installed, *wanted})) + "\n")
    return python


def build_programs(folder):
    """The peak meter and Tenon's host program."""
    compiler = os.environ.get("CXX", "c++")
    peak, host = os.path.join(folder, "peak"), os.path.join(folder, "host")
    call([os.environ.get("CC", "cc"), "-O2", os.path.join(HERE, "peak.c"), "-o", peak, "-lpthread"])
    include = os.path.join(ROOT, "runtime", "include")
    call([compiler, "-std=c++20", "-O2", f"-I{include}", os.path.join(HERE, "host.cpp"), "-o", host, "-ldl", "-lpthread"])
    return peak, host


def compile_tenon(tenon, model, artifact):
    """Compile without --dim; returns figures about the compilation."""
    start, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen([tenon, "compile", model, "-o", artifact], stderr=subprocess.PIPE, text=True)
    watch = Watch(process.pid)
    _, message = process.communicate()
    seconds = time.monotonic() - start
    watch.finish()
    total = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode != 0:
        raise RuntimeError(message.strip() or f"exit code {process.returncode}")
    figures = {
        "seconds": seconds,
        "cpu_seconds": total.ru_utime - used.ru_utime + total.ru_stime - used.ru_stime,
        "peak_rss_mb": watch.resident / 1024,
        "peak_anonymous_mb": watch.anonymous / 1024,
        "artifact_bytes": os.path.getsize(artifact),
    }
    return figures


def compile_iree(python, model, module):
    """Compile with IREE for this CPU; None of its options is per shape."""
    if os.path.exists(module) and os.path.getmtime(module) > os.path.getmtime(model):
        return
    script = os.path.join(HERE, "iree_compile.py")
    call([python, script, model, module], timeout=900)


def prepare(args, cases, python, work):
    """Inputs and compiled models; returns ({model: {engine: path}}, figures, notes)."""
    import numpy as np

    models, figures, notes = {}, {}, []
    for case in cases:
        folder = os.path.join(work, "inputs", case.name.replace(" ", "-"))
        os.makedirs(folder, exist_ok=True)
        values = case.inputs()
        np.savez(os.path.join(folder, "inputs.npz"), **values)
        for name, value in values.items():
            np.save(os.path.join(folder, name + ".npy"), value)
        if case.model in models:
            continue
        source = os.path.join(args.models, case.model, "model.onnx")
        paths = models[case.model] = {}
        if not os.path.exists(source):
            notes.append(f"{case.model}: no {source}; bench/export_models.py makes it")
            continue
        for engine in args.engines:
            try:
                if engine == "tenon":
                    note(f"compiling {case.model}")
                    paths[engine] = os.path.join(work, case.model + ".so")
                    figures[case.model] = compile_tenon(args.tenon, source, paths[engine])
                elif engine == "iree":
                    note(f"compiling {case.model} with IREE")
                    paths[engine] = os.path.join(work, case.model + ".vmfb")
                    compile_iree(python, source, paths[engine])
                else:
                    paths[engine] = source
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                del paths[engine]
                notes.append(f"{case.model}: {engine} does not compile it: {str(error).splitlines()[-1][:200]}")
    return models, figures, notes


def measure(engine, path, case, threads, runs, context):
    """One process; returns its JSON with the outputs' place added."""
    folder = os.path.join(context["work"], "inputs", case.name.replace(" ", "-"))
    output = os.path.join(folder, f"{engine}-{threads}")
    if engine == "tenon":
        os.makedirs(output, exist_ok=True)
        inputs = [f"{os.path.basename(p)[:-4]}={p}" for p in glob.glob(os.path.join(folder, "*.npy"))]
        command = [context["host"], path, "--output-dir", output, *inputs]
    else:
        command = [context["python"], os.path.join(HERE, "worker.py"), "--engine", engine, "--model", path]
        command += ["--inputs", os.path.join(folder, "inputs.npz"), "--output", output + ".npz"]
        if engine == "onnxruntime-saved":
            command[command.index(engine)] = "onnxruntime"
            command += ["--optimised", os.path.join(context["work"], case.model + ".optimised.onnx")]
    if engine == "tenon" and threads > 1:
        command += ["--against", "1"]
    result = json.loads(call([*command, "--threads", str(threads), "--runs", str(runs)]))
    result["output"] = output
    return result


def load_outputs(result):
    """{name: array} of a measurement."""
    import numpy as np

    if result["engine"] == "tenon":
        names = result["outputs"]
        return {n: np.load(os.path.join(result["output"], f"{i}.npy")) for i, n in enumerate(names)}
    with np.load(result["output"] + ".npz") as file:
        return {name: file[name] for name in file}


def difference(left, right):
    """The largest difference between two engines' outputs."""
    import numpy as np

    left, right = load_outputs(left), load_outputs(right)
    worst = 0.0
    for name, value in right.items():
        if name not in left or left[name].shape != value.shape:
            return float("inf")
        delta = np.abs(left[name].astype(np.float64) - value.astype(np.float64))
        worst = max(worst, float(np.where(np.isnan(delta), np.inf, delta).max(initial=0.0)))
    return worst


# It is not among those that ratios are to, and some of its runs take seconds: a
# few runs in the first round.
IREE_RUNS = 3


def renew(path):
    """Put a copy in a file's place: other pages, and none left to be written.

    How fast memory is depends on where it lies, by a third on some virtual
    machines, and a file keeps its pages. The peers' weights get new memory in
    each process.
    """
    with open(path, "rb") as source, open(path + ".copy", "wb") as target:
        shutil.copyfileobj(source, target, 1 << 22)
        target.flush()
        os.fsync(target.fileno())
    shutil.copymode(path, path + ".copy")
    os.replace(path + ".copy", path)


def take_rounds(args, cases, models, context):
    """All measurements: {(case, threads): {engine: [result per round]}}, and peaks."""
    jobs = [
        (case, threads, engine)
        for case in cases
        for threads in args.threads
        for engine in args.engines
        if engine in models[case.model]
    ]
    results, peaks, failures = {}, {t: [] for t in args.threads}, {}
    progress = Progress(args.rounds * len(jobs))
    started = time.monotonic()
    for number in range(args.rounds):
        for path in {models[case.model]["tenon"] for case in cases if "tenon" in models[case.model]}:
            renew(path)
        for threads in args.threads:
            peaks[threads].append(json.loads(call([context["peak"], str(threads)])))
        # Cases stay together so that engines are compared within seconds.
        order = sorted(jobs, key=lambda job: (hash((number, job[0].name, job[1])), random.random()))
        for case, threads, engine in order:
            if (case.name, threads, engine) in failures or (engine == "iree" and number):
                continue
            progress.step(f"round {number + 1}: {engine}, {case.name}, {threads} thread{'s' * (threads > 1)}")
            try:
                runs = min(case.runs, IREE_RUNS) if engine == "iree" else case.runs
                result = measure(engine, models[case.model][engine], case, threads, runs, context)
                results.setdefault((case.name, threads), {}).setdefault(engine, []).append(result)
            except RuntimeError as error:
                failures[case.name, threads, engine] = str(error)
        if args.minutes and time.monotonic() - started > 60 * args.minutes:
            note(f"stopped after {number + 1} rounds: {args.minutes} minutes are over")
            break
    progress.close()
    return results, peaks, failures


def take_starts(args, cases, models, context, failures):
    """Start-up of the smallest case: {engine: [first_output_ms]}."""
    case = next((c for c in cases if c.name == "minilm 1x16"), None)
    if case is None or not models[case.model]:
        return {}
    starts = {}
    engines = [e for e in args.engines if e in models[case.model]]
    if "onnxruntime" in engines:
        engines.append("onnxruntime-saved")
    for number in range(args.rounds + 1):
        for engine in random.sample(engines, len(engines)):
            path = models[case.model].get(engine) or models[case.model]["onnxruntime"]
            try:
                result = measure(engine, path, case, 1, 1, context)
            except RuntimeError as error:
                failures["start", 1, engine] = str(error)
                continue
            if number:  # the first round warms the page cache
                starts.setdefault(engine, []).append(result["first_output_ms"])
    return starts


def machine():
    """What the figures were taken on."""
    info = {"cpu": "unknown", "cores": os.cpu_count(), "flags": []}
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            key, _, value = (part.strip() for part in line.partition(":"))
            if key == "model name":
                info["cpu"] = value
            elif key in ("model", "cpu family"):
                info[key] = value
            elif key == "flags":
                info["flags"] = sorted(f for f in value.split() if f in ("avx2", "fma", "amx_tile") or f.startswith("avx512"))
    return info


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tenon", default=os.path.join(ROOT, "build", "bin", "tenon"))
    parser.add_argument("--models", default=os.path.join(ROOT, ".deps", "models"), help="folder of MODEL/model.onnx")
    parser.add_argument("--work", default=os.path.join(ROOT, ".deps", "bench"), help="scratch folder")
    parser.add_argument("--peers", default=os.path.join(ROOT, ".deps", "peers"), help="the peers' virtual environment")
    parser.add_argument("--docs", default=os.path.join(ROOT, "docs"))
    parser.add_argument("--engines", default=",".join(ENGINES), help="default: %(default)s")
    parser.add_argument("--threads", default="1,2", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--minutes", type=float, help="stop after the round in which these are over")
    parser.add_argument("--in-peers", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("cases", nargs="*", metavar="CASE")
    args = parser.parse_args()
    args.engines = args.engines.split(",")
    args.threads = [int(t) for t in args.threads.split(",")]
    python = set_up_peers(args.peers, "iree" in args.engines)
    if not args.in_peers:
        # From here on in the peers' Python: it has numpy and matplotlib.
        os.execv(python, [python, os.path.abspath(__file__), *sys.argv[1:], "--in-peers"])

    sys.path.insert(0, HERE)
    import cases as table
    import report

    cases = table.select(args.cases)
    if not cases:
        sys.exit(f"no case matches {args.cases}")
    os.makedirs(args.work, exist_ok=True)
    peak, host = build_programs(args.work)
    context = {"work": args.work, "python": python, "peak": peak, "host": host}
    models, compiled, notes = prepare(args, cases, python, args.work)
    results, peaks, failures = take_rounds(args, cases, models, context)
    starts = take_starts(args, cases, models, context, failures)
    for (name, threads, engine), error in failures.items():
        notes.append(f"{name}, {threads} threads: {engine} failed: {error.splitlines()[-1][:200]}")
    versions = json.loads(call([python, "-c", (
        "import json, importlib.metadata as m\n"
        "print(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions()}))"
    )]))
    document = report.summarise(cases, args.engines, results, peaks, starts, compiled, difference)
    document["machine"] = machine()
    document["versions"] = {k: v for k, v in versions.items() if k in PACKAGES + IREE_PACKAGES}
    document["notes"] = notes
    os.makedirs(args.docs, exist_ok=True)
    report.write(document, args.docs)
    print(report.tables(document))


if __name__ == "__main__":
    main()
