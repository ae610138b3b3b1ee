#!/usr/bin/env python3
# ===- run.py - ONNX's operator suite through the C API -------------------=== #
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Runs ONNX's own cases and holds them against two lists.

skip.txt names the cases that are out, each with a reason from a closed set;
xfail.txt those that fail, per mode, with the first line of the diagnostic. A
case in xfail.txt that passes fails the run, and so does any failure that is
not in it: the list only shrinks.
"""

import argparse
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import cases as suite
import report

HERE = Path(__file__).resolve().parent
# Outcomes that may stand in xfail.txt: what was refused in words, and what is
# off by less than two steps of a 16-bit type.
CLEAN = {"refused", "rounding"}


def read_list(path, fields):
    """Lines of tab-separated fields; '#' begins a comment line."""
    rows = []
    if path.exists():
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                rows.append((line.split("\t") + [""] * fields)[:fields])
    return rows


def read_passed(path):
    """Target and mode to name to result of what passed in a run with --results."""
    passed = {}
    for target, mode, name, _, kind, ms, detail in read_list(Path(path), 7):
        if kind == "pass":
            passed.setdefault((target, mode), {})[name] = (kind, int(ms), detail)
    return passed


def run_host(host, scratch, names, options, target, see_folded):
    """Outcomes of the cases written to `scratch`: name to (kind, ms, detail)."""
    listing = scratch / "list"
    listing.write_text("".join(f"{scratch / name}\n" for name in names))
    command = [host, "-j", str(options.jobs), "-O", str(options.opt), "-t", str(options.timeout)]
    command += ["-c", str(int(see_folded)), target]
    outcomes = {}
    with subprocess.Popen(
        [*command, str(listing)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stdout:
            directory, kind, ms, detail = (line.rstrip("\n").split("\t") + [""] * 4)[:4]
            # A diagnostic's first line, without the scratch folder.
            detail = detail.split("   note: ")[0].replace(f"{directory}/model.onnx: ", "")
            outcomes[Path(directory).name] = (kind, int(ms), detail)
    for name in names:
        outcomes.setdefault(name, ("crash", 0, "the host stopped"))
    return outcomes


def run_mode(target, mode, cases, everything, options):
    """Results of the cases in a mode for a target: name to (outcome, ms, detail)."""
    results = {}
    names = list(cases)
    for at in range(0, len(names), 100):
        chunk = names[at : at + 100]
        with tempfile.TemporaryDirectory(prefix="tenon-conformance-") as folder:
            scratch = Path(folder)
            for name in chunk:
                if mode == "symbolic" and not cases[name].reruns:
                    suite.add_reruns(cases[name], everything)
                suite.write(cases[name], mode, everything, scratch / name)
            for name, (kind, ms, detail) in run_host(
                options.host, scratch, chunk, options, target, mode == "constant"
            ).items():
                if kind == "ok":
                    detail, *notes = detail.split(" ")
                    kind, detail = suite.judge_runs(cases[name], scratch / name, detail)
                    # What a case that passes has to say beside that.
                    detail = detail or " ".join(notes)
                results[name] = (kind, ms, detail)
            if options.keep:
                for name in chunk:
                    kept = Path(options.keep) / target / mode / name
                    shutil.rmtree(kept, ignore_errors=True)
                    shutil.copytree(scratch / name, kept)
    return results


def judge(mode, by_target, expected):
    """Lines about what differs from xfail.txt.

    What a target rounds, another may not: such a line counts as too much only
    where several targets have run and all pass.
    """
    problems, passed = [], Counter()
    for target, results in by_target.items():
        for name, (kind, _, detail) in results.items():
            line = expected.get((mode, name))
            passed[name] += kind == "pass"
            if kind != "pass" and kind not in CLEAN:
                problems.append(f"{target} {mode} {name}: {kind}: {detail}")
            elif kind != "pass" and line is None:
                problems.append(f"{target} {mode} {name}: unexpected: {detail}")
    for name, count in passed.items():
        line = expected.get((mode, name))
        rounds = line is not None and re.match(r"output \S+: within", line)
        if line is not None and count == len(by_target) > (1 if rounds else 0):
            problems.append(f"{mode} {name}: passes; take it off xfail.txt")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True, help="the program made from host.cpp")
    parser.add_argument("--mode", action="append", choices=suite.MODES)
    parser.add_argument(
        "--target", action="append", help="what to compile for, once or more (default: $TENON_TARGET, else native)"
    )
    parser.add_argument("--fifth", action="store_true", help="every fifth case by name hash")
    parser.add_argument("--jobs", "-j", type=int, default=os.cpu_count())
    parser.add_argument("--opt", type=int, default=1, help="-O of the compiler")
    parser.add_argument("--timeout", type=int, default=60, help="CPU seconds per case")
    parser.add_argument("--keep", help="copy the cases' folders here")
    parser.add_argument("--results", help="write one line per case here")
    parser.add_argument(
        "--rerun", help="run only what did not pass in these results, and take the rest from there"
    )
    parser.add_argument("--report", help="write OnnxSupport.md here")
    parser.add_argument("--tenon", help="the compiler, whose list of operators the report takes")
    parser.add_argument("--xfail", type=Path, default=HERE / "xfail.txt")
    parser.add_argument("--write-xfail", action="store_true", help="renew the list")
    parser.add_argument("pattern", nargs="*", help="only cases that match")
    options = parser.parse_args()

    start = time.monotonic()
    everything = suite.collect()
    skipped = dict(read_list(HERE / "skip.txt", 2))
    problems = []
    for name, reason in skipped.items():
        if name not in everything:
            problems.append(f"skip.txt: {name}: there is no such case")
        elif reason != suite.unjudged_reason(everything[name]):
            problems.append(f"skip.txt: {name}: the model does not show '{reason}'")
    chosen = {
        name: case
        for name, case in everything.items()
        if name not in skipped
        and (not options.fifth or case.bucket == 0)
        and (not options.pattern or any(fnmatch.fnmatch(name, p) for p in options.pattern))
    }
    expected = {(m, name): text for m, name, text in read_list(options.xfail, 3)}
    before = read_passed(options.rerun) if options.rerun else {}
    by_mode = {}
    for mode in options.mode or suite.MODES:
        by_mode[mode] = {}
        for target in options.target or [os.environ.get("TENON_TARGET") or "native"]:
            known = before.get((target, mode), {})
            known = {name: result for name, result in known.items() if name in chosen}
            missing = {name: case for name, case in chosen.items() if name not in known}
            results = known | run_mode(target, mode, missing, everything, options)
            results = by_mode[mode][target] = dict(sorted(results.items()))
            counts = Counter(kind for kind, _, _ in results.values())
            text = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
            print(f"{target}, {mode}: {len(results)} cases: {text} ({time.monotonic() - start:.0f} s)", flush=True)
        problems += judge(mode, by_mode[mode], expected)
    if options.results:
        with open(options.results, "w", encoding="utf-8") as out:
            for mode, by_target in by_mode.items():
                for target, results in by_target.items():
                    for name, (kind, ms, detail) in results.items():
                        row = [target, mode, name, everything[name].operator, kind, str(ms), detail]
                        out.write("\t".join(row) + "\n")
    if options.report:
        Path(options.report).write_text(report.write(everything, skipped, by_mode, options.tenon))
    if options.write_xfail:
        for mode, by_target in by_mode.items():
            for name in next(iter(by_target.values())):
                expected.pop((mode, name), None)
            for results in by_target.values():
                for name, (kind, _, detail) in results.items():
                    if kind in CLEAN:
                        expected[mode, name] = detail
        with open(options.xfail, "w", encoding="utf-8") as out:
            out.write("# mode, case, first line of the diagnostic; made by --write-xfail.\n")
            for (mode, name), detail in sorted(expected.items()):
                out.write(f"{mode}\t{name}\t{detail}\n")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
