//===- Tune.cpp - tenon tune ----------------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Steps:
//   1. compile the model once for each number of a candidate, until no kernel
//      has another one
//   2. run all of them on the same inputs; their outputs must have equal bits
//   3. measure in turns, so that what slows the machine slows all of them
//   4. of each distinct kernel take the candidate with the least time, if that
//      is clearly less than the default's, and write it down
//
//===----------------------------------------------------------------------===//
#include "Artifact.h"
#include "Commands.h"
#include "TemporaryFolder.h"
#include "tenon/Pipelines/Pipelines.h"
#include "tenon/Support/OutputFile.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <cstring>

using namespace llvm;

namespace tenon {

static cl::SubCommand command("tune",
                              "Measure how a model's kernels are best cut");

static cl::opt<std::string> model(cl::Positional, cl::Required,
                                  cl::desc("MODEL.onnx"), cl::sub(command));
static cl::opt<std::string>
    output("o", cl::Required, cl::value_desc("file"),
           cl::desc("The tilings, for 'tenon compile --tilings', or -"),
           cl::sub(command));
static cl::list<std::string>
    dimSettings("dim", cl::value_desc("name=N"),
                cl::desc("A dim of the random inputs; sequences are 128 long "
                         "and the rest 1 where not given"),
                cl::sub(command));
static cl::list<std::string>
    inputs("input", cl::value_desc("NAME=FILE.npy"),
           cl::desc("An input's values instead of random ones"),
           cl::sub(command));
static cl::opt<std::string>
    target("target", cl::init("native"), cl::value_desc("level"),
           cl::desc("The level to measure (default native)"), cl::sub(command));
static cl::opt<int> threads("threads", cl::value_desc("n"),
                            cl::desc("Threads; as many as the process may use "
                                     "where not given"),
                            cl::sub(command));
static cl::opt<double> seconds("seconds", cl::value_desc("s"), cl::init(10),
                               cl::desc("Measure for this long (default 10)"),
                               cl::sub(command));
static cl::opt<double>
    least("least", cl::value_desc("percent"), cl::init(2),
          cl::desc("What a kernel must gain to leave its default (default 2)"),
          cl::sub(command));

namespace {

/// The model compiled with one candidate of every kernel.
struct Variant {
  std::vector<KernelTiling> tilings; ///< of each step
  std::unique_ptr<OpenArtifact> artifact;
  std::vector<Tensor> inputs;
  std::unique_ptr<Session> session;
  std::vector<std::vector<double>> ms; ///< of each step, in each run
};

struct Tuner {
  /// The command line: linking an artifact makes lld forget all options.
  const std::string model = tenon::model, target = tenon::target,
                    output = tenon::output;
  const std::vector<std::string> dimSettings = tenon::dimSettings,
                                 inputs = tenon::inputs;
  const int threads = tenon::threads;
  const double seconds = tenon::seconds, least = tenon::least;

  std::unique_ptr<TemporaryFolder> folder;
  std::vector<Variant> variants;

  Error compile();
  Error load(Variant &variant, StringRef path);
  Error compareBits();
  Error measure();
  Error choose();
};

Error Tuner::load(Variant &variant, StringRef path) {
  auto artifact = OpenArtifact::open(path);
  if (!artifact)
    return artifact.takeError();
  variant.artifact = std::move(*artifact);
  auto dims = parseDims(dimSettings);
  if (!dims)
    return dims.takeError();
  auto tensors = readInputs(*variant.artifact, inputs);
  if (!tensors)
    return tensors.takeError();
  variant.inputs = std::move(*tensors);
  if (Error problem = chooseDims(*variant.artifact, variant.inputs, *dims))
    return problem;
  SessionOptions options;
  options.device = "cpu";
  options.threads = threads;
  options.profile = true;
  Filled filled;
  auto session =
      runFilled(*variant.artifact, options, *dims, variant.inputs, filled);
  if (!session)
    return session.takeError();
  variant.session = std::move(*session);
  size_t steps = size_t(variant.artifact->info.num_steps);
  if (steps != variant.tilings.size())
    return createStringError("the artifact has " + Twine(steps) +
                             " steps, its model " +
                             Twine(variant.tilings.size()) + " kernels");
  variant.ms.resize(steps);
  return Error::success();
}

Error Tuner::compile() {
  auto made = TemporaryFolder::make("tenon-tune");
  if (!made)
    return made.takeError();
  folder = std::move(*made);
  for (unsigned candidate = 0;; ++candidate) {
    std::string path = folder->file(Twine(candidate) + ".so");
    CompileOptions options;
    options.input = model;
    options.output = path;
    options.targets = {target};
    options.tiling.candidate = candidate;
    options.compilerVersion = "tenon " TENON_VERSION;
    // The kernels' list ends the loop before anything is compiled in vain.
    options.checkOnly = true;
    CompileResult result = compileModel(options);
    if (!result.ok)
      return createStringError(result.error);
    if (candidate > 0 && result.tilings == variants.back().tilings)
      return Error::success();
    options.checkOnly = false;
    result = compileModel(options);
    if (!result.ok)
      return createStringError(result.error);
    errs() << "tenon tune: compiled candidate " << candidate << "\n";
    Variant &variant = variants.emplace_back();
    variant.tilings = std::move(result.tilings);
    if (Error problem = load(variant, path))
      return problem;
  }
}

Error Tuner::compareBits() {
  for (auto [number, variant] : enumerate(variants)) {
    if (Error problem = variant.session->run())
      return problem;
    for (auto [i, tensor] : enumerate(variant.session->outputs)) {
      const Tensor &first = variants.front().session->outputs[i];
      if (tensor.dims != first.dims ||
          std::memcmp(tensor.data, first.data, first.bytes))
        return createStringError("candidate " + Twine(number) +
                                 " gives other bits than the default "
                                 "in output '" +
                                 variant.artifact->outputs[i].name + "'");
    }
  }
  return Error::success();
}

Error Tuner::measure() {
  using Clock = std::chrono::steady_clock;
  auto end = Clock::now() + std::chrono::duration<double>(seconds);
  for (int round = 0; round < 8 || Clock::now() < end; ++round)
    for (Variant &variant : variants) {
      // What the variants before have left in the caches counts for none.
      for (int warm = 0; warm < 2; ++warm)
        if (Error problem = variant.session->run())
          return problem;
      for (auto [i, ms] : enumerate(variant.ms)) {
        tenon_step_info info;
        TENON_INIT(info);
        if (!tenon_get_step_info(variant.session->context, int32_t(i), &info,
                                 nullptr))
          ms.push_back(double(info.time_ns) / 1e6);
      }
    }
  return Error::success();
}

double median(std::vector<double> values) {
  if (values.empty())
    return 0;
  llvm::sort(values);
  return values[values.size() / 2];
}

Error Tuner::choose() {
  // Each distinct kernel -> the time of all its steps, by variant.
  MapVector<StringRef, std::vector<double>> kernels;
  for (auto [v, variant] : enumerate(variants))
    for (auto [tiling, ms] : zip_equal(variant.tilings, variant.ms))
      if (!tiling.tiling.empty()) {
        std::vector<double> &sums = kernels[tiling.kernel];
        sums.resize(variants.size());
        sums[v] += median(ms);
      }
  auto tilingOf = [](const Variant &variant, StringRef kernel) {
    return find_if(variant.tilings,
                   [&](const KernelTiling &t) { return t.kernel == kernel; })
        ->tiling;
  };
  std::vector<KernelTiling> chosen;
  double before = 0, after = 0;
  for (auto &[kernel, sums] : kernels) {
    size_t best = 0;
    for (size_t v = 1; v < sums.size(); ++v)
      if (sums[v] < sums[best] && sums[v] < sums.front() * (1 - least / 100))
        best = v;
    chosen.push_back({kernel.str(), tilingOf(variants[best], kernel)});
    before += sums.front();
    after += sums[best];
    errs() << format("%8.4f ms  ", sums.front());
    if (best)
      errs() << format("-> %8.4f ms (%4.1f%%)  ", sums[best],
                       100 * (1 - sums[best] / sums.front()));
    else
      errs() << "stays                  ";
    errs() << kernel << "\n";
  }
  errs() << format("%8.4f ms -> %8.4f ms in all (%.1f%%)\n", before, after,
                   before > 0 ? 100 * (1 - after / before) : 0.0);
  return writeOutputFile(output, [&](raw_ostream &os) {
    printTilings(chosen, os);
    return Error::success();
  });
}

Error run() {
  Tuner tuner;
  if (Error problem = tuner.compile())
    return problem;
  if (Error problem = tuner.compareBits())
    return problem;
  if (Error problem = tuner.measure())
    return problem;
  return tuner.choose();
}

} // namespace

int tuneMain() {
  if (seconds < 0 || least < 0)
    return reportError("tune", "--seconds and --least are 0 or more");
  if (Error problem = run())
    return reportError("tune", std::move(problem));
  return 0;
}

} // namespace tenon
