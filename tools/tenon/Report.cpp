//===- Report.cpp - what a page about an artifact tells -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Report.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace llvm;

namespace tenon {

/// Of all stretches of equal layers the one that leaves least to be shown, if it
/// saves more than so many rows.
static Stretch largestStretch(ArrayRef<StringRef> kernels, size_t saved) {
  Stretch best = {0, kernels.size(), 1};
  size_t size = kernels.size();
  for (size_t period = 1; period * 2 <= size; ++period)
    for (size_t at = 0, equal = 0; at + period <= size; ++at) {
      // How many kernels up to here are those a period later.
      bool same = at + period < size && kernels[at] == kernels[at + period];
      if (same) {
        ++equal;
        continue;
      }
      size_t count = equal / period + 1;
      if ((count - 1) * period > saved) {
        saved = (count - 1) * period;
        best = {at - equal, period, count};
      }
      equal = 0;
    }
  return best;
}

static void cut(ArrayRef<StringRef> kernels, size_t first, size_t least,
                std::vector<Stretch> &result) {
  if (kernels.empty())
    return;
  Stretch best = largestStretch(kernels, least);
  size_t end = best.first + best.period * best.count;
  cut(kernels.take_front(best.first), first, least, result);
  result.push_back({first + best.first, best.period, best.count});
  cut(kernels.drop_front(end), first + end, least, result);
}

std::vector<Stretch> findLayers(ArrayRef<StringRef> kernels) {
  std::vector<Stretch> result;
  // What happens to be equal in a long list is no layer.
  cut(kernels, 0, kernels.size() / 32, result);
  return result;
}

Error fillReport(const Session &session, Report &report) {
  const tenon_model_info &info = report.artifact->info;
  tenon_error error;
  report.context = session.info;
  for (int32_t i = 0; i < info.num_steps; ++i) {
    tenon_step_info step;
    TENON_INIT(step);
    if (tenon_get_step_info(session.context, i, &step, &error))
      return apiError(error);
    ReportStep own;
    own.kernel = step.kernel;
    own.nodes = step.nodes ? step.nodes : "";
    own.tasks = step.tasks;
    own.calls = step.calls;
    own.threads = step.threads;
    own.weightBytes = double(step.weight_bytes);
    // As a profile has it: a product's cost is its multiply-adds, and of a
    // large table others look some rows up, not all.
    bool product =
        own.kernel.starts_with("matmul") || own.kernel.starts_with("attention");
    double tensors = double(step.bytes) - own.weightBytes;
    own.bytes = tensors + (product ? own.weightBytes
                                   : std::min(own.weightBytes, tensors));
    own.flops = product ? 2 * double(step.cost) : 0;
    own.leastMs =
        report.roofline.leastMs(2 * double(step.cost), own.bytes, step.threads);
    report.steps.push_back(own);
  }
  // An artifact of an older Tenon does not count them.
  if (llvm::all_of(report.steps, [](const ReportStep &s) { return !s.calls; }))
    for (ReportStep &step : report.steps)
      step.calls = 1;
  for (int32_t i = 0; i < info.num_buffers; ++i) {
    tenon_buffer_info buffer;
    TENON_INIT(buffer);
    if (tenon_get_buffer_info(session.context, i, &buffer, &error))
      return apiError(error);
    report.buffers.push_back(buffer);
  }
  return Error::success();
}

Error readMeasured(StringRef path, Report &report) {
  auto file = MemoryBuffer::getFile(path, /*IsText=*/true);
  if (!file)
    return createStringError("cannot open '" + path +
                             "': " + file.getError().message());
  Expected<json::Value> value = json::parse((*file)->getBuffer());
  if (!value)
    return createStringError("'" + path +
                             "' is no JSON: " + toString(value.takeError()));
  const json::Object *whole = value->getAsObject();
  const json::Array *kernels = whole ? whole->getArray("kernels") : nullptr;
  if (!kernels)
    return createStringError("'" + path +
                             "' has no kernels: write it with 'tenon bench "
                             "--profile --json'");
  for (const json::Value &entry : *kernels) {
    const json::Object *kernel = entry.getAsObject();
    if (!kernel)
      continue;
    auto name = kernel->getString("kernel");
    auto ms = kernel->getNumber("ms"), calls = kernel->getNumber("calls");
    if (name && ms && calls && *calls > 0)
      report.measured[*name] = *ms / *calls;
  }
  return Error::success();
}

std::string checkInWords(const tenon_check_info &check) {
  std::string lhs = check.lhs ? check.lhs : "?";
  std::string rhs = check.rhs ? check.rhs : "?";
  switch (check.relation) {
  case TENON_RELATION_EQUAL:
    return lhs + " is " + rhs;
  case TENON_RELATION_LESS_EQUAL:
    return lhs + " is at most " + rhs;
  case TENON_RELATION_BROADCAST:
    return lhs + " is " + rhs + ", or one of the two is 1";
  }
  return lhs + " and " + rhs;
}

StringRef strategyOf(StringRef kernel) {
  static constexpr struct {
    StringLiteral kind, words;
  } all[] = {
      {"matmul",
       "register tiles over packed panels; the epilogue in the cache"},
      {"attention", "blocks of queries; scores stay in the cache"},
      {"row", "a row at a time, in the cache"},
      {"scan", "running, along one dim"},
      {"scatter", "updates by the task that owns the place"},
      {"top_k", "the best of a row"},
      {"recurrence", "a step at a time, state in registers"},
      {"map", "elements in the result's order"},
  };
  for (const auto &[kind, words] : all)
    if (kernel.starts_with(kind))
      return words;
  return "a function of the runtime";
}

} // namespace tenon
