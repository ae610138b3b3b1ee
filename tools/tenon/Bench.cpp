//===- Bench.cpp - tenon bench --------------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Artifact.h"
#include "Commands.h"
#include "DecodeBench.h"
#include "Predict.h"
#include "Profile.h"
#include "RunOptions.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <unistd.h>

using namespace llvm;

namespace tenon {

static cl::opt<std::string> path(cl::Positional, cl::Required,
                                 cl::desc("ARTIFACT.so"),
                                 cl::sub(benchCommand()));
static cl::opt<int> runs("runs", cl::value_desc("n"), cl::init(0),
                         cl::desc("Measure exactly this many runs"),
                         cl::sub(benchCommand()));
static cl::opt<double> seconds("seconds", cl::value_desc("s"), cl::init(2),
                               cl::desc("Measure for this long (default 2)"),
                               cl::sub(benchCommand()));
static cl::opt<bool>
    decode("decode",
           cl::desc("Measure the tokens of a decoder whose pasts a state "
                    "holds, one in each run"),
           cl::sub(benchCommand()));
static cl::opt<int64_t>
    context("context", cl::value_desc("n"), cl::init(512),
            cl::desc("With --decode: tokens before those that are measured "
                     "(default 512)"),
            cl::sub(benchCommand()));
static cl::opt<int64_t>
    sequences("sequences", cl::value_desc("n"), cl::init(1),
              cl::desc("With --decode: sequences in a run (default 1)"),
              cl::sub(benchCommand()));
static cl::opt<bool> json("json", cl::desc("Print JSON"),
                          cl::sub(benchCommand()));
static cl::opt<bool> profile("profile",
                             cl::desc("Print the time of each kernel, too"),
                             cl::sub(benchCommand()));
static cl::opt<std::string>
    predicted("predict", cl::value_desc("a100|l4|h100|h200"),
              cl::desc("Instead of running: what each kernel needs of that "
                       "GPU, and its least time by the data sheet"),
              cl::sub(benchCommand()));
static cl::opt<std::string>
    trace("trace", cl::value_desc("file.json"),
          cl::desc("Write the last run as a trace for Perfetto or Chrome"),
          cl::sub(benchCommand()));

namespace {

struct Measurement {
  std::vector<double> ms; // sorted
  double min() const { return ms.front(); }
  double median() const {
    size_t n = ms.size();
    return n % 2 ? ms[n / 2] : (ms[n / 2 - 1] + ms[n / 2]) / 2;
  }
  double at(double share) const {
    return ms[std::min(ms.size() - 1, size_t(share * double(ms.size())))];
  }
  double mean() const {
    double sum = 0;
    for (double value : ms)
      sum += value;
    return sum / double(ms.size());
  }
};

double now() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Two more runs to warm up, then the measured ones.
Expected<Measurement> measure(Session &session, Profile *collected) {
  for (int i = 0; i < 2; ++i)
    if (Error problem = session.run())
      return std::move(problem);
  bool terminal = isatty(STDERR_FILENO);
  Measurement result;
  double start = now(), shown = start;
  while (runs > 0 ? result.ms.size() < size_t(runs)
                  : result.ms.size() < 5 || now() - start < seconds * 1000) {
    double before = now();
    if (Error problem = session.run())
      return std::move(problem);
    double after = now();
    result.ms.push_back(after - before);
    if (collected)
      collected->add(session.context);
    if (terminal && after - shown > 250) {
      errs() << "\r\033[K" << result.ms.size() << " runs";
      shown = after;
    }
  }
  if (terminal)
    errs() << "\r\033[K";
  llvm::sort(result.ms);
  return result;
}

bool runsOnCpu(const Session &session) {
  return !session.info.device || StringRef(session.info.device) == "cpu";
}

void printText(const Measurement &m, const Session &session,
               const DimValues &dims, const Filled &filled) {
  for (const auto &[name, value] : dims)
    outs() << name << "=" << value << " ";
  outs() << "threads=" << session.info.threads
         << " level=" << session.info.level;
  if (!runsOnCpu(session))
    outs() << " device='" << session.info.device << "'";
  outs() << "\n";
  if (!filled.empty())
    outs() << "inputs " << describeFilled(filled) << "\n";
  outs() << format("min %.3f ms, median %.3f ms, mean %.3f ms, p90 %.3f ms, "
                   "%zu runs\n",
                   m.min(), m.median(), m.mean(), m.at(0.9), m.ms.size());
}

void printJson(const Measurement &m, const Session &session,
               const DimValues &dims, const Filled &filled,
               const Profile *collected) {
  json::OStream out(outs(), 2);
  out.object([&] {
    out.attribute("min_ms", m.min());
    out.attribute("median_ms", m.median());
    out.attribute("mean_ms", m.mean());
    out.attribute("p90_ms", m.at(0.9));
    out.attribute("runs", int64_t(m.ms.size()));
    out.attribute("threads", session.info.threads);
    out.attribute("level", session.info.level);
    if (session.info.device) // an older artifact does not say
      out.attribute("device", session.info.device);
    out.attribute("workspace_bytes", int64_t(session.info.workspace_bytes));
    out.attributeObject("dims", [&] {
      for (const auto &[name, value] : dims)
        out.attribute(name, value);
    });
    out.attributeObject("inputs", [&] {
      for (const auto &[name, how] : filled)
        out.attribute(json::fixUTF8(name), json::fixUTF8(how));
    });
    if (collected) {
      out.attributeObject("profile", [&] { collected->writeTotals(out); });
      out.attributeArray("kernels", [&] { collected->writeJson(out); });
    }
  });
  outs() << "\n";
}

Error printPrediction(const OpenArtifact &artifact, const DimValues &dims) {
  auto prediction = predict(artifact, predicted, dims);
  if (!prediction)
    return prediction.takeError();
  if (json) {
    json::OStream out(outs(), 2);
    out.object([&] { writePrediction(*prediction, out); });
    outs() << "\n";
  } else {
    tenon::printPrediction(*prediction, outs());
  }
  return Error::success();
}

Error run() {
  auto artifact = OpenArtifact::open(path);
  if (!artifact)
    return artifact.takeError();
  auto dims = parseDims(dimSettings);
  if (!dims)
    return dims.takeError();
  auto tensors = readInputs(**artifact, inputs);
  if (!tensors)
    return tensors.takeError();
  if (!predicted.empty()) {
    if (Error problem = chooseDims(**artifact, *tensors, *dims))
      return problem;
    return printPrediction(**artifact, *dims);
  }
  SessionOptions options = sessionOptions();
  options.profile = profile || !trace.empty();
  Profile collected((*artifact)->info.num_steps,
                    profile ? measureRoofline() : Roofline());
  if (decode) {
    DecodeBench bench{options, context, sequences, *dims, runs, seconds, json};
    bench.profile = profile ? &collected : nullptr;
    return benchDecode(**artifact, bench, std::move(*tensors));
  }
  if (Error problem = chooseDims(**artifact, *tensors, *dims))
    return problem;
  Filled filled;
  auto session = runFilled(**artifact, options, *dims, *tensors, filled);
  if (!session)
    return session.takeError();

  auto measured = measure(**session, options.profile ? &collected : nullptr);
  if (!measured)
    return measured.takeError();
  if (!trace.empty())
    if (Error problem = collected.writeTrace(trace, (*session)->context))
      return problem;
  if (json) {
    printJson(*measured, **session, *dims, filled,
              profile ? &collected : nullptr);
    return Error::success();
  }
  printText(*measured, **session, *dims, filled);
  if (profile)
    collected.print(outs());
  return Error::success();
}

} // namespace

int benchMain() {
  if (runs < 0 || seconds < 0)
    return reportError("bench", "--runs and --seconds are 0 or more");
  if (context < 1 || sequences < 1)
    return reportError("bench", "--context and --sequences are 1 or more");
  if (decode && !trace.empty())
    return reportError("bench", "--trace is not for --decode");
  if (Error problem = run())
    return reportError("bench", std::move(problem));
  return 0;
}

} // namespace tenon
