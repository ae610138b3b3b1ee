//===- DecodeBench.cpp - tenon bench --decode -----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "DecodeBench.h"
#include "Profile.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>
#include <chrono>

using namespace llvm;

namespace tenon {

namespace {

constexpr int64_t kTokens = 32;   // behind the context before it goes back
constexpr int64_t kPrefill = 256; // sequences in one run

double now() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Figures {
  std::vector<double> ms; // of a run, sorted
  double prefillMs = 0;
  double weightBytes = 0, stateBytes = 0; // that a run reads
  double lengths = 0;                     // of all runs
  double gbytes = 0; // GB/s that this machine reads with so many threads
  double median() const { return ms[ms.size() / 2]; }
  double at(double share) const {
    return ms[std::min(ms.size() - 1, size_t(share * double(ms.size())))];
  }
  /// Of all sequences together.
  double tokens(int64_t sequences) const {
    return double(sequences) / median() * 1e3;
  }
  double rate() const { return (weightBytes + stateBytes) / median() / 1e6; }
};

double weightsRead(const OpenArtifact &artifact, tenon_context *context) {
  double bytes = 0;
  for (int32_t i = 0; i < artifact.info.num_steps; ++i) {
    tenon_step_info step;
    TENON_INIT(step);
    if (!tenon_get_step_info(context, i, &step, nullptr))
      bytes += bytesOfWeights(step);
  }
  return bytes;
}

Error prefill(Decoder &decoder, int64_t context) {
  while (decoder.length < context) {
    int64_t rows = decoder.fixedRows
                       ? decoder.fixedRows
                       : std::min(kPrefill, context - decoder.length);
    if (Error problem = decoder.prepare(rows))
      return problem;
    if (Error problem = decoder.run())
      return problem;
  }
  return Error::success();
}

Error measure(Decoder &decoder, const DecodeBench &bench, Figures &figures) {
  int64_t context = decoder.length;
  double start = now();
  auto enough = [&] {
    return bench.runs > 0 ? figures.ms.size() >= size_t(bench.runs)
                          : figures.ms.size() >= 5 &&
                                now() - start >= bench.seconds * 1000;
  };
  while (!enough()) {
    if (decoder.length >= context + kTokens)
      if (Error problem = decoder.rollBack(context))
        return problem;
    if (Error problem = decoder.prepare(1))
      return problem;
    double before = now();
    if (Error problem = decoder.run())
      return problem;
    figures.ms.push_back(now() - before);
    figures.lengths += double(decoder.length);
    if (bench.profile)
      bench.profile->add(decoder.context);
  }
  llvm::sort(figures.ms);
  return Error::success();
}

void printText(const OpenArtifact &artifact, const DecodeBench &bench,
               const Decoder &decoder, const Figures &figures) {
  double sequences = double(bench.sequences);
  outs() << "context=" << bench.context << " sequences=" << bench.sequences
         << " threads=" << decoder.info.threads
         << " level=" << decoder.info.level << "\n"
         << format("%.2f tokens/s, %.3f ms per token; a run %.3f ms (min %.3f, "
                   "p90 %.3f, %zu runs)\n",
                   figures.tokens(bench.sequences),
                   figures.median() / sequences, figures.median(),
                   figures.ms.front(), figures.at(0.9), figures.ms.size())
         << format("%.0f bytes per token (%.0f of weights, %.0f of the state), "
                   "%.2f GB/s, %.0f%% of the %.2f that this machine reads\n",
                   (figures.weightBytes + figures.stateBytes) / sequences,
                   figures.weightBytes / sequences,
                   figures.stateBytes / sequences, figures.rate(),
                   figures.rate() / figures.gbytes * 100, figures.gbytes)
         << format("prefill %.1f ms, %.1f tokens/s\n", figures.prefillMs,
                   double(bench.context * bench.sequences) /
                       std::max(figures.prefillMs, 1e-6) * 1e3)
         << "state " << decoder.state().bytes << " bytes, "
         << bytesPerToken(artifact) << " a token of each sequence\n";
}

void printJson(const OpenArtifact &artifact, const DecodeBench &bench,
               const Decoder &decoder, const Figures &figures) {
  double sequences = double(bench.sequences);
  json::OStream out(outs(), 2);
  out.object([&] {
    out.attribute("context", bench.context);
    out.attribute("sequences", bench.sequences);
    out.attribute("threads", decoder.info.threads);
    out.attribute("level", decoder.info.level);
    out.attribute("tokens_per_second", figures.tokens(bench.sequences));
    out.attribute("ms_per_token", figures.median() / sequences);
    out.attribute("min_ms", figures.ms.front());
    out.attribute("median_ms", figures.median());
    out.attribute("p90_ms", figures.at(0.9));
    out.attribute("runs", int64_t(figures.ms.size()));
    out.attribute("bytes_per_token",
                  (figures.weightBytes + figures.stateBytes) / sequences);
    out.attribute("weight_bytes_per_token", figures.weightBytes / sequences);
    out.attribute("state_bytes_per_token", figures.stateBytes / sequences);
    out.attribute("gbytes_per_second", figures.rate());
    out.attribute("machine_gbytes_per_second", figures.gbytes);
    out.attribute("prefill_ms", figures.prefillMs);
    out.attribute("state_bytes", int64_t(decoder.state().bytes));
    out.attribute("context_bytes_per_token", bytesPerToken(artifact));
    if (bench.profile) {
      out.attributeObject("profile", [&] { bench.profile->writeTotals(out); });
      out.attributeArray("kernels", [&] { bench.profile->writeJson(out); });
    }
  });
  outs() << "\n";
}

} // namespace

Error benchDecode(const OpenArtifact &artifact, const DecodeBench &bench,
                  std::vector<Tensor> given) {
  if (!hasStates(artifact))
    return createStringError("--decode: the artifact has no state: 'tenon "
                             "inspect' says why");
  DecoderOptions options;
  options.session = bench.session;
  options.sequences = bench.sequences;
  options.dims = bench.dims;
  options.capacity = bench.context + kTokens;
  auto decoder = Decoder::create(artifact, options, std::move(given));
  if (!decoder)
    return decoder.takeError();
  Figures figures;
  if ((*decoder)->fixedRows > 1)
    return createStringError("--decode: the graph takes " +
                             Twine((*decoder)->fixedRows) +
                             " tokens in each run, expected one or any number");
  if (!(*decoder)->fixedRows)
    if (Error problem = (*decoder)->reserve(
            std::min(std::max<int64_t>(bench.context, 1), kPrefill)))
      return problem;
  if (Error problem = (*decoder)->reserve(1))
    return problem;
  double start = now();
  if (Error problem = prefill(**decoder, bench.context))
    return problem;
  figures.prefillMs = now() - start;
  if (Error problem = (*decoder)->keep())
    return problem;
  // Two more to warm up.
  for (int i = 0; i < 2; ++i) {
    if (Error problem = (*decoder)->prepare(1))
      return problem;
    if (Error problem = (*decoder)->run())
      return problem;
  }
  if (Error problem = (*decoder)->rollBack(bench.context))
    return problem;
  if (Error problem = measure(**decoder, bench, figures))
    return problem;
  figures.weightBytes = weightsRead(artifact, (*decoder)->context);
  figures.stateBytes = (double(bytesPerToken(artifact)) * figures.lengths /
                            double(figures.ms.size()) +
                        double(bytesPerSequence(artifact))) *
                       double(bench.sequences);
  figures.gbytes = measureReading((*decoder)->info.threads);
  if (bench.json)
    printJson(artifact, bench, **decoder, figures);
  else
    printText(artifact, bench, **decoder, figures);
  if (bench.profile && !bench.json)
    bench.profile->print(outs());
  return Error::success();
}

} // namespace tenon
