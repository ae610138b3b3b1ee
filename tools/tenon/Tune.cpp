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
//   3. measure in turns, so that what slows the machine slows all of them; in
//      each round with fresh memory, and all with the same weights' pages, so
//      that where memory happens to lie is no candidate's luck
//   4. of each distinct kernel take the candidate that is clearly faster than
//      the default
//   5. compile the model with what was taken and measure it beside the default
//      anew: the best of many candidates is partly the luckiest. What is not
//      faster again keeps its default
//
//===----------------------------------------------------------------------===//
#include "Artifact.h"
#include "Commands.h"
#include "RunOptions.h"
#include "TemporaryFolder.h"
#include "tenon/Pipelines/Pipelines.h"
#include "tenon/Support/OutputFile.h"
#include "tenon/Target/Artifact.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Sequence.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <cstring>

using namespace llvm;

namespace tenon {

static cl::opt<std::string> model(cl::Positional, cl::Required,
                                  cl::desc("MODEL.onnx"),
                                  cl::sub(tuneCommand()));
static cl::opt<std::string>
    output("o", cl::Required, cl::value_desc("file"),
           cl::desc("The tilings, for 'tenon compile --tilings', or -"),
           cl::sub(tuneCommand()));
static cl::opt<std::string>
    target("target", cl::init("native"), cl::value_desc("level"),
           cl::desc("The level to measure (default native)"),
           cl::sub(tuneCommand()));
static cl::opt<double> seconds("seconds", cl::value_desc("s"), cl::init(10),
                               cl::desc("Measure for this long (default 10)"),
                               cl::sub(tuneCommand()));
static cl::opt<double>
    least("least", cl::value_desc("percent"), cl::init(2),
          cl::desc("What a kernel must gain to leave its default (default 2)"),
          cl::sub(tuneCommand()));

namespace {

/// A program for the model: one candidate of every kernel, or what was chosen.
struct Variant {
  std::vector<KernelTiling> tilings; ///< of each step
  std::unique_ptr<OpenArtifact> artifact;
  std::vector<Tensor> inputs;
  std::string weights; ///< their file, or empty
  /// Of each distinct kernel's steps together, in each round.
  MapVector<StringRef, std::vector<double>> ms;

  StringRef tilingOf(StringRef kernel) const {
    return find_if(tilings,
                   [&](const KernelTiling &t) { return t.kernel == kernel; })
        ->tiling;
  }
};

/// How a kernel's time compares with the default's, over all rounds.
struct Comparison {
  double ms = 0;       ///< the median
  double ratio = 1;    ///< by the default's in the same round, the median
  bool mostly = false; ///< faster in three rounds of four
};

double quantile(std::vector<double> values, double part) {
  if (values.empty())
    return 0;
  llvm::sort(values);
  return values[size_t(double(values.size() - 1) * part)];
}

class Tuner {
public:
  Error run();

private:
  /// The command line: linking an artifact makes lld forget all options.
  const std::string model = tenon::model, target = tenon::target,
                    output = tenon::output;
  const std::vector<std::string> dimSettings = tenon::dimSettings,
                                 inputs = tenon::inputs;
  const int threads = tenon::threads;
  const double seconds = tenon::seconds, least = tenon::least;

  std::unique_ptr<TemporaryFolder> folder;
  std::vector<Variant> variants; ///< the first one is the default
  std::vector<KernelTiling> chosen;

  CompileOptions compileOptions(StringRef path) const;
  SessionOptions sessionOptions(const Variant &variant) const;
  Error add(CompileOptions &options);
  Error load(Variant &variant, StringRef path);
  Error compileCandidates();
  Error compareBits(size_t from);
  Error measure(ArrayRef<size_t> which);
  Comparison compare(const Variant &variant, StringRef kernel) const;
  bool isGain(const Comparison &comparison, StringRef kernel) const;
  Error choose();
  Error confirm();
};

CompileOptions Tuner::compileOptions(StringRef path) const {
  CompileOptions options;
  options.input = model;
  options.output = path.str();
  options.targets = {target};
  options.weightsInFile = true;
  options.compilerVersion = "tenon " TENON_VERSION;
  return options;
}

SessionOptions Tuner::sessionOptions(const Variant &variant) const {
  SessionOptions options;
  options.device = "cpu";
  options.threads = threads;
  options.profile = true;
  options.weights = variant.weights;
  return options;
}

Error Tuner::load(Variant &variant, StringRef path) {
  // One file of weights for all, so that all read the same pages.
  std::string weights = weightsPath(path);
  if (sys::fs::exists(weights)) {
    variant.weights = weights;
    if (!variants.front().weights.empty() && &variant != &variants.front()) {
      auto own = MemoryBuffer::getFile(weights, false, false);
      auto first =
          MemoryBuffer::getFile(variants.front().weights, false, false);
      if (own && first && (*own)->getBuffer() == (*first)->getBuffer()) {
        variant.weights = variants.front().weights;
        sys::fs::remove(weights);
      }
    }
  }
  auto artifact = OpenArtifact::open(path);
  if (!artifact)
    return artifact.takeError();
  variant.artifact = std::move(*artifact);
  size_t steps = size_t(variant.artifact->info.num_steps);
  if (steps != variant.tilings.size())
    return createStringError("the artifact has " + Twine(steps) +
                             " steps, its model " +
                             Twine(variant.tilings.size()) + " kernels");
  auto dims = parseDims(dimSettings);
  if (!dims)
    return dims.takeError();
  auto tensors = readInputs(*variant.artifact, inputs);
  if (!tensors)
    return tensors.takeError();
  variant.inputs = std::move(*tensors);
  if (Error problem = chooseDims(*variant.artifact, variant.inputs, *dims))
    return problem;
  Filled filled;
  return runFilled(*variant.artifact, sessionOptions(variant), *dims,
                   variant.inputs, filled)
      .takeError();
}

/// Compiles one more variant, unless it would be the one before.
Error Tuner::add(CompileOptions &options) {
  // The kernels' list tells before anything is compiled in vain.
  options.checkOnly = true;
  CompileResult result = compileModel(options);
  if (!result.ok)
    return createStringError(result.error);
  if (!variants.empty() && result.tilings == variants.back().tilings)
    return Error::success();
  options.checkOnly = false;
  result = compileModel(options);
  if (!result.ok)
    return createStringError(result.error);
  Variant &variant = variants.emplace_back();
  variant.tilings = std::move(result.tilings);
  return load(variant, options.output);
}

Error Tuner::compileCandidates() {
  auto made = TemporaryFolder::make("tenon-tune");
  if (!made)
    return made.takeError();
  folder = std::move(*made);
  for (unsigned candidate = 0;; ++candidate) {
    CompileOptions options =
        compileOptions(folder->file(Twine(candidate) + ".so"));
    options.tiling.candidate = candidate;
    if (Error problem = add(options))
      return problem;
    if (variants.size() == candidate)
      return Error::success();
    errs() << "tenon tune: compiled candidate " << candidate << "\n";
  }
}

/// The variants from this one on give the default's bits.
Error Tuner::compareBits(size_t from) {
  auto outputs = [&](Variant &variant) -> Expected<std::vector<Tensor>> {
    auto session = Session::create(*variant.artifact, sessionOptions(variant),
                                   variant.inputs);
    if (!session)
      return session.takeError();
    if (Error problem = (*session)->run())
      return std::move(problem);
    return std::move((*session)->outputs);
  };
  auto expected = outputs(variants.front());
  if (!expected)
    return expected.takeError();
  for (Variant &variant : MutableArrayRef(variants).drop_front(from)) {
    auto found = outputs(variant);
    if (!found)
      return found.takeError();
    for (auto [i, tensor] : enumerate(*found)) {
      const Tensor &first = (*expected)[i];
      if (tensor.dims != first.dims ||
          std::memcmp(tensor.data, first.data, first.bytes))
        return createStringError("candidate " + Twine(&variant - &variants[0]) +
                                 " gives other bits than the default "
                                 "in output '" +
                                 variant.artifact->outputs[i].name + "'");
    }
  }
  return Error::success();
}

Error Tuner::measure(ArrayRef<size_t> which) {
  for (size_t number : which)
    variants[number].ms.clear();
  using Clock = std::chrono::steady_clock;
  auto end = Clock::now() + std::chrono::duration<double>(seconds);
  for (size_t round = 0; round < 8 || Clock::now() < end; ++round)
    for (size_t turn = 0; turn < which.size(); ++turn) {
      // Nobody comes always after the same one.
      Variant &variant = variants[which[(turn + round) % which.size()]];
      auto session = Session::create(*variant.artifact, sessionOptions(variant),
                                     variant.inputs);
      if (!session)
        return session.takeError();
      size_t steps = variant.tilings.size();
      std::vector<double> ms(steps);
      // The first two runs meet fresh memory and what others left in caches.
      for (int run = 0; run < 5; ++run) {
        if (Error problem = (*session)->run())
          return problem;
        for (size_t i = 0; i < steps && run >= 2; ++i) {
          tenon_step_info info;
          TENON_INIT(info);
          if (tenon_get_step_info((*session)->context, int32_t(i), &info,
                                  nullptr))
            continue;
          double found = double(info.time_ns) / 1e6;
          ms[i] = run == 2 ? found : std::min(ms[i], found);
        }
      }
      MapVector<StringRef, double> sums;
      for (auto [tiling, found] : zip_equal(variant.tilings, ms))
        if (!tiling.tiling.empty())
          sums[tiling.kernel] += found;
      for (auto [kernel, sum] : sums)
        variant.ms[kernel].push_back(sum);
    }
  return Error::success();
}

Comparison Tuner::compare(const Variant &variant, StringRef kernel) const {
  const std::vector<double> &own = variant.ms.find(kernel)->second,
                            &base = variants.front().ms.find(kernel)->second;
  std::vector<double> ratios;
  for (auto [ms, before] : zip_equal(own, base))
    ratios.push_back(before > 0 ? ms / before : 1);
  return {quantile(own, .5), quantile(ratios, .5), quantile(ratios, .75) < 1};
}

bool Tuner::isGain(const Comparison &comparison, StringRef kernel) const {
  // What a clock of tens of nanoseconds tells apart is more than this of a
  // kernel's steps.
  const double step = 1e-4;
  double steps = double(count_if(variants.front().tilings, [&](auto &tiling) {
    return tiling.kernel == kernel;
  }));
  double base = quantile(variants.front().ms.find(kernel)->second, .5);
  return comparison.mostly && comparison.ratio < 1 - least / 100 &&
         base - comparison.ms > step * steps;
}

Error Tuner::choose() {
  for (auto &[kernel, times] : variants.front().ms) {
    const Variant *best = &variants.front();
    Comparison fastest;
    for (const Variant &variant : drop_begin(variants)) {
      Comparison found = compare(variant, kernel);
      if (variant.tilingOf(kernel) != variants.front().tilingOf(kernel) &&
          isGain(found, kernel) && found.ratio < fastest.ratio) {
        best = &variant;
        fastest = found;
      }
    }
    chosen.push_back({kernel.str(), best->tilingOf(kernel).str()});
  }
  return writeOutputFile(folder->file("tilings"), [&](raw_ostream &os) {
    printTilings(chosen, os);
    return Error::success();
  });
}

/// Measures what was chosen beside the default, and takes back what does not
/// gain again.
Error Tuner::confirm() {
  CompileOptions options = compileOptions(folder->file("chosen.so"));
  options.tiling.file = folder->file("tilings");
  variants.erase(variants.begin() + 1, variants.end());
  if (Error problem = add(options))
    return problem;
  bool another = variants.size() > 1;
  if (another) {
    if (Error problem = compareBits(1))
      return problem;
    if (Error problem = measure({0, 1}))
      return problem;
  }
  double before = 0, after = 0;
  for (KernelTiling &tiling : chosen) {
    StringRef kernel = tiling.kernel;
    double base = quantile(variants.front().ms.find(kernel)->second, .5);
    before += base;
    errs() << format("%8.4f ms  ", base);
    StringRef standing = variants.front().tilingOf(kernel);
    if (tiling.tiling == standing) {
      errs() << "stays                  ";
      after += base;
    } else if (Comparison found = compare(variants.back(), kernel);
               isGain(found, kernel)) {
      errs() << format("-> %8.4f ms (%4.1f%%)  ", found.ms,
                       100 * (1 - found.ratio));
      after += base * found.ratio;
    } else {
      errs() << "stays, gained but once ";
      tiling.tiling = standing.str();
      after += base;
    }
    errs() << kernel << "\n";
  }
  errs() << format("%8.4f ms -> %8.4f ms in all (%.1f%%)\n", before, after,
                   before > 0 ? 100 * (1 - after / before) : 0.0);
  return Error::success();
}

Error Tuner::run() {
  if (Error problem = compileCandidates())
    return problem;
  if (Error problem = compareBits(1))
    return problem;
  if (Error problem = measure(to_vector(llvm::seq<size_t>(0, variants.size()))))
    return problem;
  if (Error problem = choose())
    return problem;
  if (Error problem = confirm())
    return problem;
  return writeOutputFile(output, [&](raw_ostream &os) {
    printTilings(chosen, os);
    return Error::success();
  });
}

} // namespace

int tuneMain() {
  if (seconds < 0 || least < 0)
    return reportError("tune", "--seconds and --least are 0 or more");
  if (Error problem = Tuner().run())
    return reportError("tune", std::move(problem));
  return 0;
}

} // namespace tenon
