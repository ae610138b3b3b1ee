//===- Profile.cpp - where the time of a run goes -------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Profile.h"
#include "tenon/Support/OutputFile.h"
#include "tenon/Support/StableSort.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace llvm;

namespace tenon {

static bool isProduct(StringRef kernel) {
  return kernel.starts_with("matmul") || kernel.starts_with("attention");
}

double bytesOfWeights(const tenon_step_info &step) {
  double weights = double(step.weight_bytes);
  double tensors = double(step.bytes) - weights;
  return isProduct(step.kernel ? step.kernel : "") ? weights
                                                   : std::min(weights, tensors);
}

void Profile::add(tenon_context *context) {
  ++runs;
  tenon_context_info whole;
  TENON_INIT(whole);
  whole.barriers = -1; // what an artifact of an older Tenon leaves
  if (!tenon_get_context_info(context, &whole, nullptr)) {
    runNs += double(whole.run_ns);
    prepareNs += double(whole.prepare_ns);
    controlNs += double(whole.control_ns);
    threadsNs += double(whole.run_ns) * whole.threads;
    waitNs += double(whole.wait_ns);
    barriers += double(whole.barriers);
  }
  for (auto [i, step] : enumerate(steps)) {
    tenon_step_info info;
    TENON_INIT(info);
    if (tenon_get_step_info(context, int32_t(i), &info, nullptr))
      continue;
    step.kernel = info.kernel ? info.kernel : "";
    step.nodes = info.nodes ? info.nodes : "";
    step.ns += double(info.time_ns);
    // An artifact of an older Tenon says nothing of calls and runs.
    step.calls += whole.run_ns ? double(info.calls) : 1;
    step.cost = double(info.cost);
    step.bytes = double(info.bytes);
    step.weights = double(info.weight_bytes);
    step.threads = info.threads;
  }
}

std::vector<Profile::Kernel> Profile::kernels() const {
  MapVector<StringRef, Kernel> byName;
  for (const Step &step : steps) {
    Kernel &kernel = byName[step.kernel];
    kernel.name = step.kernel;
    double calls = step.calls / std::max(runs, 1);
    kernel.calls += calls;
    kernel.ms += perRun(step.ns);
    kernel.cost += calls * step.cost;
    kernel.threads = std::max(kernel.threads, step.threads);
    // The cost is multiply-adds, or operations that take about as long. Of a
    // large table kernels other than products look some rows up, not all.
    bool product = isProduct(step.kernel);
    double flops = product ? 2 * step.cost : 0;
    double tensors = step.bytes - step.weights;
    double bytes =
        tensors + (product ? step.weights : std::min(step.weights, tensors));
    kernel.flops += calls * flops;
    kernel.bytes += calls * bytes;
    kernel.leastMs +=
        calls * roofline.leastMs(2 * step.cost, bytes, step.threads);
    if (kernel.nodes.empty())
      kernel.nodes = step.nodes;
  }
  std::vector<Kernel> result;
  for (auto &[name, kernel] : byName)
    result.push_back(std::move(kernel));
  stableSort(result,
             [](const Kernel &a, const Kernel &b) { return a.ms > b.ms; });
  return result;
}

void Profile::print(raw_ostream &out) const {
  std::vector<Kernel> table = kernels();
  double inKernels = 0, calls = 0;
  size_t width = StringRef("loops and branches").size();
  for (const Kernel &kernel : table) {
    inKernels += kernel.ms;
    calls += kernel.calls;
    width = std::max(width, std::min<size_t>(kernel.name.size(), 40));
  }
  double whole = std::max(perRun(runNs), inKernels);
  out << "\n"
      << left_justify("kernel", width)
      << "    calls        ms   share  thr  GFLOP/s    GB/s  roofline  nodes "
         "of "
         "the first call\n";
  for (const Kernel &kernel : table) {
    std::string nodes = kernel.nodes;
    if (nodes.size() > 60)
      nodes = nodes.substr(0, 57) + "...";
    auto rate = [&](double amount) {
      return kernel.ms > 0 ? amount / kernel.ms : 0.0;
    };
    out << left_justify(kernel.name.take_front(width), width)
        << format("  %7.0f  %8.4f  %5.1f%%  %3d  %7.1f  %6.1f    %5.1f%%  ",
                  kernel.calls, kernel.ms,
                  whole > 0 ? kernel.ms / whole * 100 : 0.0, kernel.threads,
                  rate(kernel.flops) / 1e6, rate(kernel.bytes) / 1e6,
                  rate(kernel.leastMs) * 100)
        << nodes << "\n";
  }
  auto line = [&](StringRef name, double ms) {
    out << left_justify(name, width)
        << format("           %8.4f  %5.1f%%\n", ms,
                  whole > 0 ? ms / whole * 100 : 0.0);
  };
  out << left_justify("all", width)
      << format("  %7.0f  %8.4f  %5.1f%%\n", calls, inKernels,
                whole > 0 ? inKernels / whole * 100 : 0.0);
  // The rest of the run, so that the table adds up to it.
  double prepare = perRun(prepareNs), control = perRun(controlNs);
  line("dims and memory", prepare);
  line("loops and branches", control);
  line("between kernels", std::max(0.0, whole - inKernels - prepare - control));
  line("run", whole);
  if (barriers >= 0)
    out << format("barriers: %.0f in a run, where threads wait for %.1f%% of "
                  "their time, which is in the kernels' times\n",
                  barriers / std::max(runs, 1), waitShare() * 100);
  out << format(
      "roofline: the least time for the operations at %.0f GFLOP/s a "
      "thread, and for the bytes at %.1f GB/s (%.1f in the cache), as a "
      "share\n",
      roofline.gflops, roofline.gbytes, roofline.cachedGbytes);
}

void Profile::writeJson(json::OStream &out) const {
  for (const Kernel &kernel : kernels())
    out.object([&] {
      out.attribute("kernel", kernel.name);
      out.attribute("calls", int64_t(std::llround(kernel.calls)));
      out.attribute("ms", kernel.ms);
      out.attribute("cost", kernel.cost);
      out.attribute("flops", kernel.flops);
      out.attribute("bytes", kernel.bytes);
      out.attribute("roofline_ms", kernel.leastMs);
      out.attribute("threads", kernel.threads);
      out.attribute("nodes", json::fixUTF8(kernel.nodes));
    });
}

void Profile::writeTotals(json::OStream &out) const {
  double inKernels = 0;
  for (const Step &step : steps)
    inKernels += step.ns;
  out.attribute("run_ms", perRun(runNs));
  out.attribute("kernels_ms", perRun(inKernels));
  out.attribute("prepare_ms", perRun(prepareNs));
  out.attribute("control_ms", perRun(controlNs));
  out.attribute("between_ms", perRun(std::max(0.0, runNs - inKernels -
                                                       prepareNs - controlNs)));
  if (barriers < 0)
    return;
  out.attribute("barriers",
                int64_t(std::llround(barriers / std::max(runs, 1))));
  out.attribute("wait_share", waitShare());
}

Error Profile::writeTrace(StringRef path, tenon_context *context) const {
  return writeOutputFile(path, [&](raw_ostream &stream) {
    json::OStream out(stream);
    out.object([&] {
      out.attribute("displayTimeUnit", "ms");
      out.attributeArray("traceEvents", [&] {
        for (size_t i = 0; i < steps.size(); ++i) {
          tenon_step_info info;
          TENON_INIT(info);
          if (tenon_get_step_info(context, int32_t(i), &info, nullptr) ||
              info.calls == 0)
            continue;
          out.object([&] {
            out.attribute("name", json::fixUTF8(info.kernel));
            out.attribute("ph", "X");
            out.attribute("pid", 1);
            out.attribute("tid", 1);
            out.attribute("ts", double(info.start_ns) / 1e3);
            out.attribute("dur", double(info.last_ns) / 1e3);
            out.attributeObject("args", [&] {
              out.attribute("nodes", json::fixUTF8(info.nodes));
              out.attribute("calls", info.calls);
              out.attribute("tasks", info.tasks);
              out.attribute("cost", info.cost);
              out.attribute("threads", info.threads);
            });
          });
        }
      });
    });
    return Error::success();
  });
}

} // namespace tenon
