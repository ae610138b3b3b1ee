//===- ReportPage.cpp - a page about an artifact --------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Plain HTML and SVG without a script: it opens anywhere, and says the same
// when it is printed or read aloud. What is long is folded.
//
//===----------------------------------------------------------------------===//
#include "Report.h"
#include "tenon/Support/StableSort.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <climits>
#include <cmath>

using namespace llvm;

namespace tenon {

static const char kStyle[] = R"(
:root { color-scheme: light dark; --ink: #1c2430; --dim: #667085; --line: #e3e7ee;
  --back: #fff; --soft: #f5f7fa; --accent: #2f6fde; --second: #c9741a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --dim: #98a2b3;
  --line: #2c3442; --back: #12161d; --soft: #1a2029; --accent: #6ea0ff;
  --second: #f0a35a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--back); margin: 2rem auto; max-width: 76rem; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p, .dim { color: var(--dim); } p { margin: .3rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th, td { text-align: left; padding: .28rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--dim); font-weight: 500; } .n { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
code { font: .85em ui-monospace, monospace; overflow-wrap: anywhere; }
.tiles { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1.2rem 0; }
.tile { background: var(--soft); border-radius: .5rem; padding: .6rem .9rem; }
.tile b { display: block; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; }
summary { cursor: pointer; padding: .5rem .8rem; background: var(--soft);
  border-radius: .5rem; } details > table { margin: 0; }
.bar { display: inline-block; height: .55rem; border-radius: .2rem; background: var(--accent);
  vertical-align: middle; } .bar.m { background: var(--second); }
svg { width: 100%; height: auto; background: var(--soft); border-radius: .5rem; }
.key { display: inline-block; width: .8rem; height: .55rem; border-radius: .2rem; }
)";

namespace {

std::string escaped(StringRef text) {
  std::string result;
  for (char c : text)
    switch (c) {
    case '&':
      result += "&amp;";
      break;
    case '<':
      result += "&lt;";
      break;
    case '>':
      result += "&gt;";
      break;
    case '"':
      result += "&quot;";
      break;
    default:
      result += c >= 0 && c < ' ' ? ' ' : c;
    }
  return result;
}

std::string scaled(double value, ArrayRef<const char *> units, double step) {
  size_t unit = 0;
  while (value >= step && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  std::string text;
  raw_string_ostream out(text);
  out << format(value < 10 && unit    ? "%.2f"
                : value < 100 && unit ? "%.1f"
                                      : "%.0f",
                value)
      << " " << units[unit];
  return text;
}

std::string bytesText(double bytes) {
  return scaled(bytes, {"B", "KiB", "MiB", "GiB", "TiB"}, 1024);
}
std::string opsText(double flops) {
  return flops > 0 ? scaled(flops, {"", "K", "M", "G", "T"}, 1000) : "–";
}
std::string timeText(double ms) {
  return ms <= 0 ? "–" : scaled(ms * 1e6, {"ns", "µs", "ms", "s"}, 1000);
}

class Page {
public:
  Page(const Report &report, raw_ostream &out) : report(report), out(out) {}
  void write();

private:
  void header();
  void ports();
  void checks();
  void kernels();
  void layers();
  void stretch(const Stretch &part);
  void timeline();
  void slow();
  void weights();
  void tile(StringRef value, StringRef label) {
    out << "<div class=tile><b>" << escaped(value) << "</b>" << escaped(label)
        << "</div>\n";
  }
  double measuredOf(const ReportStep &step) const {
    auto at = report.measured.find(step.kernel);
    return at == report.measured.end() ? 0 : at->second * double(step.calls);
  }
  /// Of the longest of these times, in pixels.
  void bar(double ms, double longest, StringRef kind = "") {
    if (ms > 0 && longest > 0)
      out << format("<span class=\"bar %s\" style=\"width:%.0fpx\"></span> ",
                    kind.str().c_str(), std::max(1.0, 90 * ms / longest));
  }

  const Report &report;
  raw_ostream &out;
};

void Page::header() {
  const tenon_model_info &info = report.artifact->info;
  double flops = 0, least = 0, measured = 0;
  for (const ReportStep &step : report.steps) {
    flops += step.flops * double(step.calls);
    least += step.runMs();
    measured += measuredOf(step);
  }
  out << "<h1>" << escaped(info.name) << "</h1>\n<p>"
      << escaped(info.compiler_version) << " · "
      << (report.context.level ? escaped(report.context.level) : "") << " · "
      << report.context.threads
      << (report.context.threads == 1 ? " thread" : " threads");
  for (const auto &[name, value] : report.dims)
    out << " · " << escaped(name) << " = " << value;
  out << "</p>\n<div class=tiles>\n";
  tile(std::to_string(report.steps.size()), "kernel calls");
  tile(opsText(flops), "operations in products");
  tile(bytesText(double(info.weights_bytes)),
       info.weights_file ? "of weights, in a file" : "of weights");
  tile(bytesText(double(report.context.workspace_bytes)), "of workspace");
  tile(timeText(least), "predicted at least");
  if (!report.measured.empty())
    tile(timeText(measured), "measured");
  out << "</div>\n<p>Predicted is the least time at "
      << format("%.0f", report.roofline.gflops)
      << " GFLOP/s a thread and, for bytes, at "
      << format("%.1f", report.roofline.gbytes) << " GB/s ("
      << format("%.1f", report.roofline.cachedGbytes)
      << " in the cache), as measured here: the roofline.</p>\n";
}

void Page::ports() {
  out << "<h2>Inputs and outputs</h2>\n<table><tr><th></th><th>name</th>"
         "<th>type</th><th>dims</th><th></th></tr>\n";
  auto row = [&](StringRef kind, const tenon_port_info &port) {
    SmallVector<std::string> notes;
    if (port.id_bound > 0)
      notes.push_back("ids from -" + std::to_string(port.id_bound) + " to " +
                      std::to_string(port.id_bound - 1));
    if (port.is_mask)
      notes.push_back("a mask");
    if (port.is_optional)
      notes.push_back("optional");
    if (port.dims_kind == TENON_DIMS_FROM_DATA)
      notes.push_back("as large as the data has results");
    out << "<tr><td class=dim>" << kind << "</td><td><code>"
        << escaped(port.name) << "</code></td><td>"
        << tenon_dtype_name(port.dtype) << "</td><td>";
    for (int32_t d = 0; d < port.rank; ++d)
      out << (d ? " × " : "") << escaped(port.dim_names[d]);
    out << (port.rank ? "" : "scalar") << "</td><td class=dim>"
        << join(notes, ", ") << "</td></tr>\n";
  };
  for (const tenon_port_info &port : report.artifact->inputs)
    row("input", port);
  for (const tenon_port_info &port : report.artifact->outputs)
    row("output", port);
  out << "</table>\n";
}

void Page::checks() {
  out << "<h2>Checked before each run</h2>\n";
  if (report.artifact->checks.empty() && report.artifact->ranges.empty()) {
    out << "<p>Nothing but types and ranks.</p>\n";
    return;
  }
  out << "<ul>\n";
  for (const tenon_range_info &range : report.artifact->ranges) {
    out << "<li><code>" << escaped(range.name) << "</code> is ";
    if (range.hi == range.lo)
      out << range.lo;
    else if (range.hi == INT64_MAX)
      out << "at least " << range.lo;
    else
      out << "from " << range.lo << " to " << range.hi;
    out << " <span class=dim>as it was compiled</span></li>\n";
  }
  for (const tenon_check_info &check : report.artifact->checks) {
    out << "<li>" << escaped(checkInWords(check));
    if (check.reason && *check.reason)
      out << " <span class=dim>for " << escaped(check.reason) << "</span>";
    out << "</li>\n";
  }
  out << "</ul>\n";
}

void Page::kernels() {
  struct Kernel {
    StringRef name;
    double calls = 0, flops = 0, bytes = 0, least = 0, measured = 0;
  };
  std::vector<Kernel> all;
  StringMap<size_t> numbers;
  for (const ReportStep &step : report.steps) {
    auto [at, isNew] = numbers.try_emplace(step.kernel, all.size());
    if (isNew) {
      all.emplace_back();
      all.back().name = step.kernel;
    }
    Kernel &kernel = all[at->second];
    double calls = double(step.calls);
    kernel.calls += calls;
    kernel.flops += calls * step.flops;
    kernel.bytes += calls * step.bytes;
    kernel.least += calls * step.leastMs;
    kernel.measured += measuredOf(step);
  }
  bool measured = !report.measured.empty();
  auto weight = [&](const Kernel &kernel) {
    return measured ? kernel.measured : kernel.least;
  };
  stableSort(all, [&](const Kernel &a, const Kernel &b) {
    return weight(a) > weight(b);
  });
  double longest = all.empty() ? 0 : std::max(all[0].least, all[0].measured);
  auto rows = [&](ArrayRef<Kernel> part) {
    out << "<table><tr><th>kernel</th><th>strategy</th><th class=n>calls</th>"
           "<th class=n>operations</th><th class=n>bytes</th><th>predicted</th>"
        << (measured ? "<th>measured</th><th class=n>of the roofline</th>" : "")
        << "</tr>\n";
    for (const Kernel &kernel : part) {
      out << "<tr><td><code>" << escaped(kernel.name)
          << "</code></td><td class=dim>" << strategyOf(kernel.name)
          << "</td><td class=n>" << format("%.0f", kernel.calls)
          << "</td><td class=n>" << opsText(kernel.flops) << "</td><td class=n>"
          << bytesText(kernel.bytes) << "</td><td>";
      bar(kernel.least, longest);
      out << timeText(kernel.least) << "</td>";
      if (measured) {
        out << "<td>";
        bar(kernel.measured, longest, "m");
        out << timeText(kernel.measured) << "</td><td class=n>";
        if (kernel.measured > 0)
          out << format("%.0f %%", 100 * kernel.least / kernel.measured);
        out << "</td>";
      }
      out << "</tr>\n";
    }
    out << "</table>";
  };
  constexpr size_t shown = 30;
  out << "<h2>Kernels</h2>\n";
  rows(ArrayRef(all).take_front(shown));
  if (all.size() > shown) {
    out << "\n<details><summary>" << all.size() - shown
        << " more kernels</summary>\n";
    rows(ArrayRef(all).drop_front(shown));
    out << "</details>";
  }
  out << "\n";
}

void Page::stretch(const Stretch &part) {
  double least = 0, measured = 0, longest = 0;
  for (size_t i = 0; i < part.period * part.count; ++i) {
    const ReportStep &step = report.steps[part.first + i];
    least += step.runMs();
    measured += measuredOf(step);
    longest = std::max({longest, step.runMs(), measuredOf(step)});
  }
  bool open = part.count == 1 && part.period <= 12;
  out << "<details" << (open ? " open" : "") << "><summary>";
  if (part.count > 1)
    out << "<b>" << part.count << " equal layers</b> of " << part.period
        << (part.period == 1 ? " kernel" : " kernels");
  else
    out << part.period << (part.period == 1 ? " kernel" : " kernels");
  out << " <span class=dim>" << timeText(least) << " predicted";
  if (measured > 0)
    out << ", " << timeText(measured) << " measured";
  out << "</span></summary>\n<table><tr><th>ONNX nodes</th><th>kernel</th>"
         "<th class=n>tasks</th><th class=n>operations</th><th "
         "class=n>bytes</th>"
         "<th>predicted</th>"
      << (report.measured.empty() ? "" : "<th>measured</th>") << "</tr>\n";
  for (size_t i = 0; i < part.period; ++i) {
    const ReportStep &step = report.steps[part.first + i];
    // The other layers' nodes stand where a pointer rests.
    std::string others;
    for (size_t layer = 1; layer < std::min<size_t>(part.count, 48); ++layer)
      others += (layer > 1 ? "\n" : "") +
                report.steps[part.first + layer * part.period + i].nodes.str();
    out << "<tr><td";
    if (!others.empty())
      out << " title=\"" << escaped(others) << "\"";
    StringRef nodes = step.nodes;
    out << "><code>" << escaped(nodes.take_front(240))
        << (nodes.size() > 240 ? "…" : "") << "</code></td><td><code>"
        << escaped(step.kernel) << "</code></td><td class=n>" << step.tasks;
    if (step.calls != 1)
      out << " <span class=dim>× " << step.calls << "</span>";
    out << "</td><td class=n>" << opsText(step.flops * double(step.calls))
        << "</td><td class=n>" << bytesText(step.bytes * double(step.calls))
        << "</td><td>";
    bar(step.runMs(), longest);
    out << timeText(step.runMs()) << "</td>";
    if (!report.measured.empty()) {
      out << "<td>";
      bar(measuredOf(step), longest, "m");
      out << timeText(measuredOf(step)) << "</td>";
    }
    out << "</tr>\n";
  }
  out << "</table></details>\n";
}

void Page::layers() {
  SmallVector<StringRef> names;
  for (const ReportStep &step : report.steps)
    names.push_back(step.kernel);
  out << "<h2>From the first node to the last</h2>\n";
  for (const Stretch &part : findLayers(names))
    stretch(part);
}

void Page::timeline() {
  uint64_t top = 1;
  for (const tenon_buffer_info &buffer : report.buffers)
    if (buffer.memory == TENON_MEMORY_WORKSPACE)
      top = std::max(top, buffer.offset + buffer.bytes);
  constexpr double width = 1200, height = 320;
  double step = width / double(std::max<size_t>(report.steps.size(), 1));
  out << "<h2>The workspace, step by step</h2>\n<p>Each block is a tensor: "
         "from "
         "left to right the kernels during which it is kept, from bottom to "
         "top "
         "the bytes that it has of "
      << bytesText(double(top))
      << ". What is above each other lives at the same time.</p>\n"
      << format("<svg viewBox=\"0 0 %.0f %.0f\" role=img "
                "aria-label=\"the workspace's tensors\">\n",
                width, height);
  for (const tenon_buffer_info &buffer : report.buffers) {
    if (buffer.memory != TENON_MEMORY_WORKSPACE || buffer.bytes == 0 ||
        buffer.first_step < 0)
      continue;
    double share = double(buffer.bytes) / double(top) * height;
    double y = height - double(buffer.offset) / double(top) * height - share;
    size_t first = size_t(buffer.first_step);
    out << format("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" ",
                  step * double(first), y,
                  std::max(0.6, step * double(buffer.last_step -
                                              buffer.first_step + 1) -
                                    0.4),
                  std::max(0.6, share - 0.4))
        << format("fill=\"hsl(%d 55%% 58%%)\"><title>", int(first * 47 % 360))
        << bytesText(double(buffer.bytes)) << " of "
        << tenon_dtype_name(buffer.dtype) << ", steps " << buffer.first_step
        << " to " << buffer.last_step;
    if (first < report.steps.size())
      out << ", from " << escaped(report.steps[first].kernel) << " ("
          << escaped(report.steps[first].nodes.take_front(120)) << ")";
    out << "</title></rect>\n";
  }
  out << "</svg>\n";
}

void Page::slow() {
  std::vector<StringRef> all = slowWork(report.artifact->info);
  if (all.empty())
    return;
  out << "<h2>Without a fast kernel</h2>\n<ul>\n";
  for (StringRef work : all)
    out << "<li>" << escaped(work) << "</li>\n";
  out << "</ul>\n";
}

void Page::weights() {
  SmallVector<const tenon_buffer_info *> all;
  for (const tenon_buffer_info &buffer : report.buffers)
    if (buffer.memory == TENON_MEMORY_WEIGHTS && buffer.bytes > 0)
      all.push_back(&buffer);
  if (all.empty())
    return;
  stableSort(all, [](auto *a, auto *b) { return a->bytes > b->bytes; });
  out << "<h2>Largest weights</h2>\n<table><tr><th class=n>bytes</th>"
         "<th>format</th><th>used by</th><th>kernel</th></tr>\n";
  for (const tenon_buffer_info *weight : ArrayRef(all).take_front(20)) {
    size_t user = weight->first_step < 0 ? report.steps.size()
                                         : size_t(weight->first_step);
    bool known = user < report.steps.size();
    StringRef kernel = known ? report.steps[user].kernel : "";
    out << "<tr><td class=n>" << bytesText(double(weight->bytes)) << "</td><td>"
        << (weight->format ? weight->format : tenon_dtype_name(weight->dtype))
        << "</td><td><code>"
        << (known ? escaped(report.steps[user].nodes.take_front(160)) : "")
        << "</code></td><td><code>" << escaped(kernel) << "</code></td></tr>\n";
  }
  out << "</table>\n";
  if (all.size() > 20)
    out << "<p>and " << all.size() - 20 << " more</p>\n";
}

void Page::write() {
  out << "<!doctype html>\n<html lang=en><head><meta charset=utf-8>\n"
         "<meta name=viewport content=\"width=device-width\">\n<title>"
      << escaped(report.artifact->info.name) << " – Tenon</title>\n<style>"
      << kStyle << "</style></head>\n<body>\n";
  header();
  ports();
  checks();
  kernels();
  slow();
  layers();
  timeline();
  weights();
  out << "</body></html>\n";
}

} // namespace

void writeReport(const Report &report, raw_ostream &out) {
  Page(report, out).write();
}

} // namespace tenon
