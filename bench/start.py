#!/usr/bin/env python3
# ===- start.py - from nothing to a first result ---------------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Measures how soon small programs have their first result, and what they take.

usage: start.py [options]

The programs of bench/start embed one sentence with MiniLM on one thread: in C
with the model linked in, in C++, Rust and Python with the model opened, and with
onnxruntime in C and Python. They take turns in random order; a time is from the
start of the process to the line with its result, memory what is resident then.
Prints a table: files (all that a machine needs besides its C library, Python and
NumPy), the least and the median of the times, memory, and how much of it is
pages of files, which processes share.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def size_of(*paths):
    """Bytes of files, and of all files in folders."""
    total = 0
    for path in map(Path, paths):
        files = path.rglob("*") if path.is_dir() else [path]
        total += sum(file.stat().st_size for file in files
                     if file.is_file() and "__pycache__" not in file.parts)
    return total


def memory_of(process):
    """Resident kB of a process, and those of them that are pages of files."""
    fields = {}
    text = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key in ("VmRSS", "RssFile"):
            fields[key] = int(value.split()[0])
    return fields["VmRSS"], fields["RssFile"]


def turn(command, env):
    """Seconds to the first line, the line, and the memory."""
    begin = time.perf_counter()
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        seconds = time.perf_counter() - begin
        if not line:
            sys.exit(f"{command[0]} printed nothing")
        memory = memory_of(process)
        process.stdin.close()
    return seconds, line.strip(), memory


def build(args, folder):
    """The programs: name -> command, environment, files."""
    def call(*words, **named):
        subprocess.run([str(word) for word in words], check=True, **named)

    programs = {}
    include = f"-I{ROOT}/runtime/include"
    library, archive = folder / "minilm.so", folder / "minilm.a"
    for output in (archive, library):
        call(args.tenon, "compile", args.model, "--name=minilm", "-o", output)
    linked, opened = folder / "linked", folder / "opened"
    call(args.cc, "-O2", "-s", "-std=c99", include, HERE / "start/linked.c", archive,
         "-lm", "-lpthread", "-o", linked)
    programs["C, model linked in"] = [linked], {}, [linked]
    call(args.cxx, "-O2", "-s", "-std=c++20", include, HERE / "start/opened.cpp",
         "-ldl", "-o", opened)
    programs["C++, model opened"] = [opened, library], {}, [opened, library]
    if args.cargo:
        call(args.cargo, "build", "--quiet", "--offline", "--release",
             "--manifest-path", HERE / "start/rust/Cargo.toml",
             "--target-dir", folder / "rust")
        rust = folder / "rust/release/start"
        programs["Rust, model opened"] = [rust, library], {}, [rust, library]
    script = HERE / "start/sentence.py"
    python = {"PYTHONPATH": str(args.package.parent)}
    programs["Python, `tenon`"] = (
        [sys.executable, script, "tenon", library], python, [args.package, library])
    weights = args.model.with_name("model.safetensors")
    model = [args.model, *([weights] if weights.exists() else [])]
    import onnxruntime

    package = Path(onnxruntime.__file__).parent
    programs[f"Python, `onnxruntime` {onnxruntime.__version__}"] = (
        [sys.executable, script, "onnxruntime", args.model], {}, [package, *model])
    if theirs := next(package.glob("capi/libonnxruntime.so.*"), None):
        program = folder / "onnxruntime"
        call(args.cc, "-O2", "-s", HERE / "start/onnxruntime.c", "-ldl", "-o", program)
        programs["C, `libonnxruntime.so`"] = (
            [program, theirs, args.model], {}, [program, theirs, *model])
    return programs


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenon", type=Path, default=ROOT / "build/bin/tenon")
    parser.add_argument("--package", type=Path, default=ROOT / "build/python/tenon",
                        help="the folder of the Python package")
    parser.add_argument("--model", type=Path,
                        default=ROOT / ".deps/models/minilm/model.onnx")
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--cxx", default="c++")
    parser.add_argument("--cargo", default="cargo", help="empty: no Rust")
    parser.add_argument("--turns", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tenon-start-") as name:
        programs = build(args, Path(name))
        times = {key: [] for key in programs}
        lines, memory = set(), {}
        for at in range(args.turns + 1):  # the first one fills the page cache
            for key in random.sample(list(programs), len(programs)):
                command, env, _ = programs[key]
                words = [str(word) for word in command]
                seconds, line, resident = turn(words, {**os.environ, **env})
                lines.add(line)
                if at:
                    times[key].append(seconds)
                    memory[key] = min(resident, memory.get(key, resident))
        if len(lines) != 1:
            sys.exit(f"the programs disagree: {sorted(lines)}")
        print("| Program | Files | Least | Median | Memory | of it files |")
        print("|---|---:|---:|---:|---:|---:|")
        for key, (_, _, files) in programs.items():
            rss, shared = memory[key]
            print(f"| {key} | {size_of(*files) / 1e6:.1f} MB "
                  f"| {min(times[key]) * 1e3:.1f} ms "
                  f"| {statistics.median(times[key]) * 1e3:.1f} ms "
                  f"| {rss / 1e3:.1f} MB | {shared / 1e3:.1f} MB |")


if __name__ == "__main__":
    main()
