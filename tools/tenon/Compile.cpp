//===- Compile.cpp - tenon compile ----------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Commands.h"
#include "tenon/Pipelines/Pipelines.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"
#include <cstdlib>
#include <unistd.h>

using namespace llvm;

namespace tenon {

static cl::SubCommand compile("compile",
                              "Compile an ONNX model to native code");

static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("MODEL.onnx"), cl::sub(compile));
static cl::opt<std::string>
    output("o", cl::Required, cl::value_desc("file"),
           cl::desc("The artifact: OUT.so, OUT.o or "
                    "OUT.a; with --emit a text file or -"),
           cl::sub(compile));
static cl::list<std::string>
    targets("target", cl::CommaSeparated, cl::value_desc("level,..."),
            cl::desc("x86-64-v2, x86-64-v3, x86-64-v4, native or an LLVM CPU "
                     "name; several make one artifact that picks at load "
                     "(default: $TENON_TARGET, else native)"),
            cl::sub(compile));
static cl::list<std::string>
    dims("dim", cl::value_desc("name=N|lo..hi"),
         cl::desc("Fix a named dim or declare its range"), cl::sub(compile));
static cl::opt<DefaultInputs> defaults(
    "defaults", cl::init(DefaultInputs::Auto), cl::value_desc("kind"),
    cl::desc("What initialisers are that the model lists as inputs too"),
    cl::values(clEnumValN(DefaultInputs::Inputs, "inputs",
                          "inputs that need not be given"),
               clEnumValN(DefaultInputs::Weights, "weights",
                          "weights like the others"),
               clEnumValN(DefaultInputs::Auto, "auto",
                          "inputs, but where the model lists all of many, or "
                          "must know their values (default)")),
    cl::sub(compile));
static cl::opt<std::string>
    name("name", cl::value_desc("name"),
         cl::desc("The model's name: the artifact defines tenon_model_NAME "
                  "(default: the graph's name)"),
         cl::sub(compile));
static cl::opt<std::string>
    soname("soname", cl::value_desc("name"),
           cl::desc("The name by which programs that link the .so find it "
                    "(default: none, which linkers then ask for as -l:FILE)"),
           cl::sub(compile));
static cl::opt<std::string> weights(
    "weights", cl::init("embed"), cl::value_desc("embed|file"),
    cl::desc("Weights inside the artifact, or in OUT.weights beside it"),
    cl::sub(compile));
static cl::opt<std::string>
    emit("emit", cl::value_desc("stage"),
         cl::desc("Stop after a stage and print it: import, graph, fuse, tile, "
                  "vector, buffer, llvm, object (assembly)"),
         cl::sub(compile));
static cl::opt<std::string>
    dumpDir("dump-dir", cl::value_desc("dir"),
            cl::desc("Write every stage to a file there"), cl::sub(compile));
static cl::opt<bool> verifyEach("verify-each",
                                cl::desc("Verify the IR after every pass"),
                                cl::sub(compile));
static cl::opt<bool>
    debugValues("debug-values",
                cl::desc("Keep every node's value for 'tenon run --dump' and "
                         "'tenon compare' (slow)"),
                cl::sub(compile));
static cl::opt<int> optLevel("O", cl::Prefix, cl::init(3),
                             cl::value_desc("0-3"),
                             cl::desc("How hard LLVM optimises (default 3)"),
                             cl::sub(compile));
static cl::opt<unsigned>
    threads("threads", cl::init(0), cl::value_desc("n"),
            cl::desc("Threads that compile kernels (default: one per core); "
                     "the artifact is the same"),
            cl::sub(compile));
static cl::opt<bool> verbose("v", cl::desc("Print each stage"),
                             cl::sub(compile));

std::vector<std::string> defaultTargets() {
  StringRef set(getenv("TENON_TARGET"));
  SmallVector<StringRef> names;
  set.split(names, ',', -1, /*KeepEmpty=*/false);
  if (names.empty())
    return {"native"};
  return {names.begin(), names.end()};
}

bool parseDim(StringRef text, ImportOptions &options) {
  auto [name, value] = text.rsplit('=');
  DimSetting setting;
  auto [lo, hi] = value.split("..");
  if (name.empty() || lo.getAsInteger(10, setting.lo) || setting.lo < 0)
    return false;
  if (!value.contains(".."))
    setting.hi = setting.lo;
  else if (hi.empty())
    setting.hi = INT64_MAX;
  else if (hi.getAsInteger(10, setting.hi) || setting.hi < setting.lo)
    return false;
  options.dims[name.str()] = setting;
  return true;
}

static int usageError(const Twine &message) {
  errs() << "tenon compile: error: " << message << "\n";
  return 1;
}

int compileMain() {
  CompileOptions options;
  options.input = input;
  options.output = output;
  options.targets = targets.empty()
                        ? defaultTargets()
                        : std::vector<std::string>(targets);
  for (const std::string &d : dims)
    if (!parseDim(d, options.import))
      return usageError("--dim=" + d +
                        ": expected name=N or name=lo..hi with 0 <= lo <= hi");
  if (weights != "embed" && weights != "file")
    return usageError("--weights=" + weights + ": expected embed or file");
  if (!soname.empty() && !StringRef(output).ends_with(".so"))
    return usageError("--soname=" + soname + ": only a .so has one");
  options.soname = soname;
  options.import.defaults = defaults;
  options.modelName = name;
  options.weightsInFile = weights == "file";
  if (!emit.empty()) {
    options.emit = parseStage(emit);
    if (!options.emit)
      return usageError("--emit=" + emit +
                        ": expected import, graph, fuse, tile, vector, "
                        "buffer, llvm or object");
  }
  if (optLevel < 0 || optLevel > 3)
    return usageError("-O: expected 0 to 3");
  options.dumpDir = dumpDir;
  options.verifyEach = verifyEach;
  options.debugValues = debugValues;
  options.optLevel = optLevel;
  options.threads = threads;
  options.compilerVersion = "tenon " TENON_VERSION;
  bool terminal = isatty(STDERR_FILENO);
  if (verbose || terminal)
    options.progress = [&](StringRef stage, double fraction) {
      if (verbose)
        errs() << "tenon: " << stage << "\n";
      else
        errs() << "\r\033[K" << int(fraction * 100) << "% " << stage;
    };
  CompileResult result = compileModel(options);
  if (terminal && !verbose)
    errs() << "\r\033[K";
  if (result.ok)
    return 0;
  errs() << "tenon compile: "
         << (result.internal ? "internal error: " : "error: ") << result.error
         << "\n";
  return result.internal ? 70 : 1;
}

} // namespace tenon
