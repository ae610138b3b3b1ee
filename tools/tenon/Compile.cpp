//===- Compile.cpp - tenon compile ----------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Artifact.h"
#include "Commands.h"
#include "Progress.h"
#include "TypedHeader.h"
#include "mlir/Support/Timing.h"
#include "tenon/Pipelines/Pipelines.h"
#include "tenon/Support/OutputFile.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Regex.h"
#include "llvm/Support/raw_ostream.h"
#include <cstdlib>
#include <unistd.h>

using namespace llvm;

namespace tenon {

static cl::SubCommand compile("compile",
                              "Compile an ONNX model to native code");

static cl::opt<std::string> input(cl::Positional, cl::Required,
                                  cl::desc("MODEL.onnx|-"), cl::sub(compile));
static cl::opt<std::string>
    output("o", cl::value_desc("file"),
           cl::desc("The artifact: OUT.so, OUT.o or OUT.a, or - (a pipe) for a "
                    ".so; with --emit a text file or -"),
           cl::sub(compile));
static cl::list<std::string>
    targets("target", cl::CommaSeparated, cl::value_desc("level,..."),
            cl::desc("x86-64-v2, x86-64-v3, x86-64-v4, native or an LLVM CPU "
                     "name; nvptx:sm_80 or another GPU; several make one "
                     "artifact that picks at load "
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
    state("state", cl::init("auto"), cl::value_desc("auto|off"),
          cl::desc("Let a decoder's pasts and presents share memory (a "
                   "tenon_state) where that is proved, or nowhere"),
          cl::sub(compile));
static cl::opt<std::string>
    kv("kv", cl::value_desc("f32|bf16|f16|int8"),
       cl::desc("What the memory of pasts that attention alone reads holds, in "
                "pages (default: f32, values in rows; docs/Decoding.md)"),
       cl::sub(compile));
static cl::opt<std::string> ragged(
    "ragged", cl::ValueOptional, cl::value_desc("last|all"),
    cl::desc("A run takes tokens of many sequences, some of each, or the model "
             "is refused; outputs are of the rows that the input output_rows "
             "names (last, default), or of all"),
    cl::sub(compile));
static cl::opt<std::string> outputRows(
    "outputs", cl::value_desc("all|last"), cl::init("all"),
    cl::desc("Of which of a decoder's new tokens outputs are: all, or the last "
             "of each sequence, so that its head is computed for one row"),
    cl::sub(compile));
static cl::list<std::string>
    values("value", cl::value_desc("input=number,..."),
           cl::desc("Fix an input's value, one number for all elements or one "
                    "for each: a run with another is refused"),
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
    header("header", cl::value_desc("file"),
           cl::desc("Also write a header whose functions (C99) and class "
                    "(C++20) take the model's dims, inputs and outputs by name "
                    "and type"),
           cl::sub(compile));
static cl::opt<std::string>
    emit("emit", cl::value_desc("stage"),
         cl::desc("Stop after a stage and print it: import, graph, fuse, tile, "
                  "vector, buffer, llvm, object (assembly), ptx (of GPUs); "
                  "tilings: how each kernel is cut"),
         cl::sub(compile));
static cl::opt<bool>
    locations("locations",
              cl::desc("With --emit and --dump-dir: say beside each op which "
                       "ONNX node it comes from"),
              cl::sub(compile));
static cl::opt<std::string>
    from("from", cl::value_desc("stage"),
         cl::desc("The input is what --emit=stage printed (import, graph or "
                  "fuse), perhaps changed: go on from there"),
         cl::sub(compile));
static cl::opt<std::string>
    tilings("tilings", cl::value_desc("file"),
            cl::desc("Cut kernels as the lines of a file say, in the form that "
                     "--emit=tilings writes"),
            cl::sub(compile));
static cl::opt<std::string>
    dumpDir("dump-dir", cl::value_desc("dir"),
            cl::desc("Write every stage to a file there, without the bytes of "
                     "large weights"),
            cl::sub(compile));
static cl::opt<std::string>
    explain("explain", cl::ValueOptional, cl::value_desc("pattern"),
            cl::desc("Say which fusions did not happen, and why; of the "
                     "patterns and passes with this in their name"),
            cl::sub(compile));
static cl::opt<bool> statistics("mlir-pass-statistics",
                                cl::desc("Count what each pass did"),
                                cl::sub(compile));
static cl::opt<bool> verifyEach("verify-each",
                                cl::desc("Verify the IR after every pass"),
                                cl::sub(compile));
static cl::list<std::string>
    printBefore("mlir-print-ir-before", cl::value_desc("pass"),
                cl::desc("Print the IR before a pass, as tenon-form-kernels"),
                cl::CommaSeparated, cl::sub(compile));
static cl::list<std::string> printAfter("mlir-print-ir-after",
                                        cl::value_desc("pass"),
                                        cl::desc("Print the IR after a pass"),
                                        cl::CommaSeparated, cl::sub(compile));
static cl::opt<bool> printAfterAll("mlir-print-ir-after-all",
                                   cl::desc("Print the IR after every pass"),
                                   cl::sub(compile));
static cl::opt<std::string> reproducer(
    "mlir-pass-pipeline-crash-reproducer", cl::value_desc("file"),
    cl::desc("Where a pass fails: write the IR before it there, for tenon-opt "
             "--run-reproducer"),
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
static cl::opt<std::string> precision(
    "precision", cl::init("f32"), cl::value_desc("f32|bf16|f16|int8-act"),
    cl::desc("What products by weights are computed in: operands rounded to "
             "bf16 or f16, or rows that multiply weights of few bits to "
             "integers; sums and all else are f32 (docs/Precision.md)"),
    cl::sub(compile));
static cl::list<std::string>
    keepF32("keep-f32", cl::value_desc("node|regex"),
            cl::desc("With --precision: products of this node, or of those "
                     "whose whole name the expression matches, stay as they "
                     "are"),
            cl::sub(compile));
static cl::opt<std::string> winograd(
    "winograd", cl::init("auto"), cl::value_desc("auto|off"),
    cl::desc("Compute convolutions of 3x3 by Winograd's F(2x2, 3x3) where that "
             "is faster on a CPU: other roundings, no larger errors "
             "(docs/Math.md)"),
    cl::sub(compile));
static cl::opt<std::string> gpuPrecision(
    "gpu-precision", cl::init("f32"), cl::value_desc("f32|tf32|bf16|f16"),
    cl::desc("What a GPU's tensor cores multiply operands of f32 as: f32 is "
             "exact, by three products of tf32; sums are f32 (default: f32)"),
    cl::sub(compile));
static cl::opt<std::string> ptxas(
    "ptxas", cl::value_desc("file|none"),
    cl::desc("NVIDIA's assembler, for GPUs (default: the one on the PATH; "
             "without it the artifact holds PTX)"),
    cl::sub(compile));
static cl::opt<unsigned>
    threads("threads", cl::init(0), cl::value_desc("n"),
            cl::desc("Threads that compile kernels (default: one per core); "
                     "the artifact is the same"),
            cl::sub(compile));
static cl::opt<bool> verbose("v",
                             cl::desc("Print each stage as it begins, and how "
                                      "long each pass took"),
                             cl::sub(compile));

std::vector<std::string> defaultTargets() {
  StringRef set(getenv("TENON_TARGET"));
  SmallVector<StringRef> names;
  set.split(names, ',', -1, /*KeepEmpty=*/false);
  if (names.empty())
    return {"native"};
  return {names.begin(), names.end()};
}

static Error parseDim(StringRef text, ImportOptions &options) {
  auto [name, value] = text.rsplit('=');
  DimSetting setting;
  auto [lo, hi] = value.split("..");
  bool fine =
      !name.empty() && !lo.getAsInteger(10, setting.lo) && setting.lo >= 0;
  setting.hi = value.contains("..") ? INT64_MAX : setting.lo;
  if (fine && !hi.empty())
    fine = !hi.getAsInteger(10, setting.hi) && setting.hi >= setting.lo;
  if (!fine)
    return createStringError(
        "--dim=" + text +
        ": expected name=N or name=lo..hi with 0 <= lo <= hi");
  if (!options.dims.try_emplace(name.str(), setting).second)
    return createStringError("--dim=" + text + ": '" + name +
                             "' is given twice");
  return Error::success();
}

static Error parseValue(StringRef text, ImportOptions &options) {
  auto [name, list] = text.rsplit('=');
  SmallVector<StringRef> numbers;
  list.split(numbers, ',');
  for (StringRef &number : numbers) {
    number = number.trim();
    double value;
    if (number != "true" && number != "false" && number.getAsDouble(value))
      numbers.clear();
    if (numbers.empty())
      break;
  }
  if (name.empty() || numbers.empty())
    return createStringError("--value=" + text +
                             ": expected input=number or "
                             "input=number,number,...");
  bool isNew =
      options.values.try_emplace(name.str(), numbers.begin(), numbers.end())
          .second;
  if (!isNew)
    return createStringError("--value=" + text + ": '" + name +
                             "' is given twice");
  return Error::success();
}

Error parseSettings(ArrayRef<std::string> dims, ArrayRef<std::string> values,
                    ImportOptions &options) {
  for (const std::string &text : dims)
    if (Error problem = parseDim(text, options))
      return problem;
  for (const std::string &text : values)
    if (Error problem = parseValue(text, options))
      return problem;
  return Error::success();
}

/// --emit and --from.
static Error parseStages(CompileOptions &options) {
  options.emitTilings = emit == "tilings";
  if (!emit.empty() && !options.emitTilings) {
    options.emit = parseStage(emit);
    if (!options.emit)
      return createStringError("--emit=" + emit +
                               ": expected import, graph, fuse, tile, vector, "
                               "buffer, llvm, object, ptx or tilings");
  }
  if (from.empty() && StringRef(input).ends_with(".mlir"))
    return createStringError("'" + input +
                             "' is the text of a stage: say of which, as in "
                             "--from=graph");
  if (from.empty())
    return Error::success();
  options.from = parseStage(from);
  // The text of a later stage is one of kernels alone: the program that calls
  // them, and its weights, are not in it.
  if (!options.from || *options.from > Stage::Fuse)
    return createStringError("--from=" + from +
                             ": expected import, graph or fuse");
  if (!dims.empty() || !values.empty())
    return createStringError("--from=" + from +
                             ": the text has its dims and "
                             "values already; give --dim and --value to the "
                             "command that emits it");
  if (options.emit && *options.emit < *options.from)
    return createStringError("--emit=" + emit + " comes before --from=" + from);
  return Error::success();
}

/// One line for what a pattern did not do.
static void printMissed(const PassRemark &remark) {
  if (remark.applied || (remark.pattern.find(explain) == std::string::npos &&
                         remark.pass.find(explain) == std::string::npos))
    return;
  errs() << "tenon: " << remark.pattern << " (" << remark.pass
         << "): " << remark.op;
  if (!remark.nodes.empty())
    errs() << " of '" << remark.nodes << "'";
  errs() << ": " << remark.reason << "\n";
}

static int usageError(const Twine &message) {
  errs() << "tenon compile: error: " << message << "\n";
  return 1;
}

/// Writes the header's text, which gets its name once the artifact has it.
static Error writeHeader(const void *model, OutputFile &file) {
  auto artifact = OpenArtifact::of(static_cast<const tenon_model *>(model));
  if (!artifact)
    return artifact.takeError();
  if (Error problem = file.create(header))
    return problem;
  return file.print([&](raw_ostream &out) {
    writeTypedHeader(**artifact, symbolName((*artifact)->info.name), out);
    return Error::success();
  });
}

/// Which rows outputs have; behind --kv.
static Error readRows(CompileOptions &options) {
  if (outputRows != "all" && outputRows != "last")
    return createStringError("--outputs=" + outputRows +
                             ": expected all or last");
  bool hasPasts = state != "off" && !debugValues;
  if (outputRows == "last") {
    if (ragged.getNumOccurrences())
      return createStringError("--outputs=last: --ragged says of which rows "
                               "outputs are");
    if (!hasPasts)
      return createStringError("--outputs=last: with --state=off or "
                               "--debug-values it is not known what tokens "
                               "are added to");
    options.outputRows = OutputRows::Last;
  }
  if (!ragged.getNumOccurrences())
    return Error::success();
  if (!is_contained({"", "last", "all"}, StringRef(ragged)))
    return createStringError("--ragged=" + ragged + ": expected last or all");
  if (!hasPasts)
    return createStringError("--ragged: with --state=off or --debug-values "
                             "there is no memory of pasts");
  options.layout.ragged = true;
  if (ragged != "all")
    options.outputRows = OutputRows::Named;
  if (kv.empty()) // sequences share pages of keys and values
    options.layout.kv = "f32";
  return Error::success();
}

/// What products are computed in.
static Error readArithmetic(CompileOptions &options) {
  if (!is_contained({"f32", "bf16", "f16", "int8-act"}, StringRef(precision)))
    return createStringError("--precision=" + precision +
                             ": expected f32, bf16, f16 or int8-act");
  options.layout.precision = precision;
  for (const std::string &pattern : keepF32) {
    std::string problem;
    if (!Regex(pattern).isValid(problem))
      return createStringError("--keep-f32=" + pattern + ": " + problem);
  }
  options.layout.keepF32 = keepF32;
  if (winograd != "auto" && winograd != "off")
    return createStringError("--winograd=" + winograd +
                             ": expected auto or off");
  options.layout.winograd = winograd == "auto";
  if (!is_contained({"f32", "tf32", "bf16", "f16"}, StringRef(gpuPrecision)))
    return createStringError("--gpu-precision=" + gpuPrecision +
                             ": expected f32, tf32, bf16 or f16");
  options.tiling.products =
      gpuPrecision == "f32" ? "tf32x3" : std::string(gpuPrecision);
  return Error::success();
}

/// The compilation that the command line asks for.
static Error readOptions(CompileOptions &options) {
  options.input = input;
  options.output = output;
  if (output.empty())
    return createStringError(
        "-o is missing: say what to write, as in -o model.so (or "
        ".o, .a; with --emit a text file, or - for standard "
        "output)");
  options.targets =
      targets.empty() ? defaultTargets() : std::vector<std::string>(targets);
  if (Error problem = parseSettings(dims, values, options.import))
    return problem;
  if (weights != "embed" && weights != "file")
    return createStringError("--weights=" + weights +
                             ": expected embed or file");
  if (state != "auto" && state != "off")
    return createStringError("--state=" + state + ": expected auto or off");
  if (!is_contained({"", "f32", "bf16", "f16", "int8"}, StringRef(kv)))
    return createStringError("--kv=" + kv +
                             ": expected f32, bf16, f16 or int8");
  if (!kv.empty() && state == "off")
    return createStringError("--kv=" + kv +
                             ": with --state=off there is no "
                             "memory of pasts");
  options.layout.kv = kv;
  if (Error problem = readRows(options))
    return problem;
  if (!soname.empty() && !StringRef(output).ends_with(".so"))
    return createStringError("--soname=" + soname + ": only a .so has one");
  options.soname = soname;
  options.import.defaults = defaults;
  options.modelName = name;
  options.weightsInFile = weights == "file";
  options.tiling.file = tilings;
  if (Error problem = readArithmetic(options))
    return problem;
  if (Error problem = parseStages(options))
    return problem;
  if (emit.empty() && output == "-" && isatty(STDOUT_FILENO))
    return createStringError(
        "-o -: standard output is a terminal, which an artifact "
        "would confuse");
  if (optLevel < 0 || optLevel > 3)
    return createStringError("-O: expected 0 to 3");
  options.locations = locations;
  options.elideWeights = output == "-" && isatty(STDOUT_FILENO);
  options.dumpDir = dumpDir;
  options.verifyEach = verifyEach;
  options.debugging.printBefore = printBefore;
  options.debugging.printAfter = printAfter;
  options.debugging.printAfterAll = printAfterAll;
  options.debugging.reproducer = reproducer;
  options.debugValues = debugValues;
  options.state = state == "auto";
  options.optLevel = optLevel;
  options.ptxas = ptxas;
  options.threads = threads;
  options.compilerVersion = "tenon " TENON_VERSION;
  if (!header.empty() && !emit.empty())
    return createStringError("--header=" + header +
                             ": a stage has none; leave --emit out");
  if (header == "-" && output == "-")
    return createStringError("--header=-: standard output takes the artifact");
  return Error::success();
}

/// Says how it ended; the exit status.
static int report(const CompileResult &result) {
  for (const std::string &warning : result.warnings)
    errs() << "tenon compile: warning: " << warning << "\n";
  if (result.ok) {
    for (const std::string &note : result.notes)
      errs() << "tenon compile: note: " << note << "\n";
    return 0;
  }
  errs() << "tenon compile: "
         << (result.internal ? "internal error: " : "error: ") << result.error
         << "\n";
  return result.internal ? 70 : 1;
}

int compileMain() {
  CompileOptions options;
  if (Error problem = readOptions(options))
    return usageError(toString(std::move(problem)));
  OutputFile headerFile;
  if (!header.empty())
    options.onModel = [&](const void *model) {
      return writeHeader(model, headerFile);
    };
  Progress progress(verbose);
  if (progress.isShown()) {
    options.progress = [&](StringRef stage, double fraction) {
      progress.stage(stage, fraction);
    };
    options.compiled = [&](size_t done, size_t all) {
      progress.functions(done, all);
    };
  }
  mlir::DefaultTimingManager timing;
  timing.setEnabled(verbose);
  timing.setDisplayMode(mlir::DefaultTimingManager::DisplayMode::Tree);
  mlir::TimingScope whole = timing.getRootScope();
  if (verbose)
    options.timing = &whole;
  PassStatistics counts;
  // lld, which links in this process, forgets what was given.
  bool explains = explain.getNumOccurrences() != 0, counted = statistics,
       told = verbose;
  if (explains || counted)
    options.remark = [&](const PassRemark &remark) {
      counts.add(remark);
      if (explains)
        printMissed(remark);
    };
  CompileResult result = compileModel(options);
  if (result.ok && options.onModel)
    if (Error problem = headerFile.commit()) {
      result.ok = false;
      result.error = toString(std::move(problem));
    }
  progress.clear();
  whole.stop();
  if (counted)
    counts.print(errs());
  if (told)
    for (const std::string &line : result.states)
      errs() << "tenon: " << line << "\n";
  return report(result);
}

} // namespace tenon
