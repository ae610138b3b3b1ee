#===- report.py - statistics, tables and the plot --------------------------===#
#
# Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
#===------------------------------------------------------------------------===#
"""Turns the rounds of run.py into docs/Performance.md, a JSON file and a plot."""

import json
import os
import statistics

import numpy as np

PEERS = ("onnxruntime", "openvino", "iree")
MAX_DIFFERENCE = 1e-4
BEGIN, END = "<!-- measured: bench/run.py writes from here -->", "<!-- measured: to here -->"


def bootstrap(ratios, samples=10000):
    """The geometric mean of per-round ratios and its 95% interval."""
    logs = np.log(ratios)
    rng = np.random.default_rng(0)
    means = rng.choice(logs, (samples, len(logs))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(np.exp(logs.mean())), float(np.exp(low)), float(np.exp(high))


def engine_figures(rounds):
    medians = [statistics.median(r["times_ms"]) for r in rounds]
    figures = {
        "min_ms": min(min(r["times_ms"]) for r in rounds),
        "median_ms": statistics.median(medians),
        "round_medians_ms": medians,
        "rounds": len(rounds),
        "runs_per_round": len(rounds[0]["times_ms"]),
    }
    for key in ("rss_anon_kb", "rss_anon_added_kb", "rss_file_kb", "workspace_bytes", "output_bytes", "weights_bytes", "level"):
        if key in rounds[0]:
            figures[key] = rounds[-1][key]
    for key in ("speed_up", "peak_speed_up"):
        if key in rounds[0]:
            figures[key] = statistics.median(r[key] for r in rounds)
    return figures


def summarise(cases, engines, results, peaks, starts, compiled, difference):
    """The document that is written as JSON."""
    rows = []
    best_peak = {
        threads: max(max(p["avx2_gflops"], p["avx512_gflops"]) for p in samples) for threads, samples in peaks.items()
    }
    for case in cases:
        for threads in peaks:
            by_engine = results.get((case.name, threads))
            if not by_engine:
                continue
            row = {"case": case.name, "threads": threads, "gflop": case.gflop, "engines": {}, "ratios": {}}
            for engine in engines:
                if engine not in by_engine:
                    continue
                figures = engine_figures(by_engine[engine])
                figures["peak_share"] = case.gflop / figures["min_ms"] * 1e3 / best_peak[threads]
                row["engines"][engine] = figures
            tenon = by_engine.get("tenon")
            for peer in PEERS:
                if not tenon or peer not in by_engine:
                    continue
                apart = difference(tenon[-1], by_engine[peer][-1])
                row["engines"][peer]["difference"] = apart
                if not apart <= MAX_DIFFERENCE:
                    continue
                pairs = list(zip(
                    row["engines"][peer]["round_medians_ms"], row["engines"]["tenon"]["round_medians_ms"]
                ))
                mean, low, high = bootstrap([p / t for p, t in pairs])
                row["ratios"][peer] = {
                    "median": mean,
                    "low": low,
                    "high": high,
                    "min": row["engines"][peer]["min_ms"] / row["engines"]["tenon"]["min_ms"],
                }
            rows.append(row)
    return {
        "rows": rows,
        "peaks_gflops": {str(t): s for t, s in peaks.items()},
        "starts_ms": starts,
        "compiled": compiled,
    }


def pair(figures):
    return f"{figures['min_ms']:.2f} / {figures['median_ms']:.2f}" if figures else "-"


def best_ratio(row):
    """The ratio to the fastest of the two peers that the bar names."""
    known = {p: r for p, r in row["ratios"].items() if p in ("onnxruntime", "openvino")}
    if not known:
        return None
    return min(known.items(), key=lambda item: item[1]["median"])


def main_table(document):
    lines = [
        "| case | threads | Tenon | onnxruntime | OpenVINO | IREE | ratio to the faster of the first two [95%] | by min | Tenon's share of the peak | max difference |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    ratios = []
    for row in document["rows"]:
        engines = row["engines"]
        best = best_ratio(row)
        if best:
            peer, ratio = best
            ratios.append(ratio["median"])
            text = f"**{ratio['median']:.2f}** [{ratio['low']:.2f}, {ratio['high']:.2f}] ({peer})"
            minimum = f"{min(r['min'] for p, r in row['ratios'].items() if p != 'iree'):.2f}"
        else:
            text = minimum = "-"
        apart = [e["difference"] for e in engines.values() if "difference" in e]
        share = f"{100 * engines['tenon']['peak_share']:.0f}%" if "tenon" in engines else "-"
        lines.append(
            f"| {row['case']} | {row['threads']} | {pair(engines.get('tenon'))} | {pair(engines.get('onnxruntime'))} | "
            f"{pair(engines.get('openvino'))} | {pair(engines.get('iree'))} | {text} | {minimum} | {share} | "
            f"{max(apart):.1e} |" if apart else
            f"| {row['case']} | {row['threads']} | {pair(engines.get('tenon'))} | {pair(engines.get('onnxruntime'))} | "
            f"{pair(engines.get('openvino'))} | {pair(engines.get('iree'))} | - | - | {share} | - |"
        )
    if ratios:
        mean = float(np.exp(np.mean(np.log(ratios))))
        lines += ["", f"Geometric mean of the ratios: **{mean:.2f}** over {len(ratios)} rows."]
    return lines


def scaling_table(document):
    """Several threads against one, relative to what the peak allows."""
    lines = []
    for row in document["rows"]:
        tenon = row["engines"].get("tenon", {})
        if "speed_up" in tenon:
            speed_up, allowed = tenon["speed_up"], tenon["peak_speed_up"]
            lines.append(
                f"| {row['case']} | {row['threads']} | {speed_up:.2f}× | {allowed:.2f}× | {speed_up / allowed:.0%} |"
            )
    if not lines:
        return []
    return [
        "",
        "Several threads against one: two contexts in one process that run in turns, median over rounds of the median "
        "over turns. The next column is what multiply-adds on registers alone gain, split among the threads, in the same "
        "turns.",
        "",
        "| case | threads | speed-up | the peak's | of it |",
        "|---|---|---|---|---|",
        *lines,
    ]


def start_table(document):
    starts = document["starts_ms"]
    if not starts:
        return []
    lines = [
        "", "## Start", "",
        "MiniLM 1x16, one thread, warm page cache, a fresh process each time. Tenon: a C++ host, from before `dlopen` to "
        "the first output. Peers: in Python, from before session creation to the first output; their import and the "
        "loading of their libraries are not counted. `saved` starts from onnxruntime's own optimised model.", "",
        "| engine | min ms | median ms |", "|---|---|---|",
    ]
    for engine, values in starts.items():
        lines.append(f"| {engine} | {min(values):.2f} | {statistics.median(values):.2f} |")
    return lines


def memory_table(document):
    rows = [r for r in document["rows"] if "tenon" in r["engines"] and r["threads"] == 1]
    if not rows:
        return []
    lines = [
        "", "## Memory", "",
        "Resident MB after the runs, one thread. The peers' processes are Python's; *added* is what their session and "
        "runs added to the anonymous part.", "",
        "| case | Tenon anonymous | of it arena + outputs | Tenon file-backed | weights | onnxruntime added | OpenVINO added |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        tenon = row["engines"]["tenon"]
        cells = [f"{tenon['rss_anon_kb'] / 1024:.1f}", f"{(tenon['workspace_bytes'] + tenon['output_bytes']) / 2**20:.1f}"]
        cells += [f"{tenon['rss_file_kb'] / 1024:.1f}", f"{tenon['weights_bytes'] / 2**20:.1f}"]
        for peer in ("onnxruntime", "openvino"):
            known = row["engines"].get(peer)
            cells.append(f"{known['rss_anon_added_kb'] / 1024:.1f}" if known else "-")
        lines.append(f"| {row['case']} | " + " | ".join(cells) + " |")
    return lines


def compile_table(document):
    if not document["compiled"]:
        return []
    weights = {}
    for row in document["rows"]:
        if "tenon" in row["engines"]:
            weights[row["case"].split()[0]] = row["engines"]["tenon"]["weights_bytes"]
    lines = ["", "## Compilation", "", "| model | seconds (CPU) | peak RSS MB | of it anonymous | artifact MB | without weights KB |", "|---|---|---|---|---|---|"]
    for model, figures in document["compiled"].items():
        bare = figures["artifact_bytes"] - weights.get(model, 0)
        size = f"{bare / 1024:.0f}" if model in weights else "-"
        lines.append(
            f"| {model} | {figures['seconds']:.1f} ({figures['cpu_seconds']:.1f}) | {figures['peak_rss_mb']:.0f} | "
            f"{figures['peak_anonymous_mb']:.0f} | {figures['artifact_bytes'] / 2**20:.1f} | {size} |"
        )
    return lines


def tables(document):
    """The measured part of docs/Performance.md."""
    machine = document["machine"]
    peaks = ", ".join(
        f"{t} thread{'s' if t != '1' else ''}: AVX2 {max(p['avx2_gflops'] for p in s):.0f}, "
        f"AVX-512 {max(p['avx512_gflops'] for p in s):.0f}"
        for t, s in document["peaks_gflops"].items()
    )
    level = next((r["engines"]["tenon"].get("level") for r in document["rows"] if "tenon" in r["engines"]), None)
    versions = ", ".join(f"{k} {v}" for k, v in sorted(document["versions"].items()) if k not in ("matplotlib", "numpy", "onnx"))
    lines = [
        BEGIN, "",
        f"Machine: {machine['cpu']} (family {machine.get('cpu family', '?')}, model {machine.get('model', '?')}), "
        f"{machine['cores']} cores, {', '.join(machine['flags'])}.",
        f"FMA peak in this run, GFLOP/s: {peaks}." + (f" Tenon ran its level {level}." if level else ""),
        f"Peers: {versions}.", "",
        "Milliseconds, min / median over all rounds; ratios above 1 mean that Tenon is faster.", "",
        *main_table(document), *scaling_table(document), *start_table(document), *memory_table(document),
        *compile_table(document),
    ]
    if document["notes"]:
        lines += ["", "Not measured:", "", *(f"- {text}" for text in document["notes"])]
    return "\n".join([*lines, "", END])


def plot(document, path):
    """Median times relative to Tenon's, one group of bars per case."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as pyplot

    rows = [r for r in document["rows"] if r["ratios"]]
    if not rows:
        return False
    colours = {"onnxruntime": "#4878a8", "openvino": "#8c6bb1", "iree": "#a0a0a0"}
    figure, axes = pyplot.subplots(figsize=(9, 0.42 * len(rows) + 1.4))
    height = 0.8 / len(colours)
    for offset, (peer, colour) in enumerate(colours.items()):
        at = [k for k, r in enumerate(rows) if peer in r["ratios"]]
        if not at:
            continue
        means = [rows[k]["ratios"][peer]["median"] for k in at]
        errors = [
            [m - rows[k]["ratios"][peer]["low"] for m, k in zip(means, at)],
            [rows[k]["ratios"][peer]["high"] - m for m, k in zip(means, at)],
        ]
        axes.barh([k + (offset - 1) * height for k in at], means, height, xerr=errors, color=colour, label=peer, capsize=2)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [f"{r['case']}, {r['threads']}T" for r in rows])
    axes.invert_yaxis()
    axes.set_xlabel("peer's time / Tenon's time, with 95% intervals (right of 1: Tenon is faster)")
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    return True


INTRODUCTION = """# Performance

`make bench` takes all figures of this page anew: it sets the peers up in a virtual environment of their own and runs
Tenon and them interleaved, each measurement in a fresh process, on the same inputs. All engines compute in f32 with
equal thread counts. One artifact per model, compiled without `--dim`, serves all its shapes. onnxruntime runs with all
graph optimisations, sequential execution and bound inputs; OpenVINO with the latency hint and `f32` as its precision
hint. Outputs are compared in the same run, and no ratio is given where they differ by more than 1e-4. The share of the
peak counts the multiply-adds of the matrix products alone.

"""


def write(document, folder):
    """Write the JSON file, the plot and the page, keeping the page's own text."""
    with open(os.path.join(folder, "performance.json"), "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    has_plot = plot(document, os.path.join(folder, "performance.png"))
    page = os.path.join(folder, "Performance.md")
    text = INTRODUCTION + BEGIN + "\n" + END + "\n"
    if os.path.exists(page):
        with open(page, encoding="utf-8") as file:
            text = file.read()
    if BEGIN not in text or END not in text:
        text += "\n" + BEGIN + "\n" + END + "\n"
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    measured = tables(document)
    if has_plot:
        measured = measured.replace(BEGIN + "\n", BEGIN + "\n\n![ratios](performance.png)\n", 1)
    with open(page, "w", encoding="utf-8") as file:
        file.write(before + measured + after)
