//===- Compile.cpp - from a model file to an artifact ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Several levels share the graph stages; each has its own kernels, compiled
// with its target and linked under names with the level's suffix. The
// schedules of all levels are the same (task counts do not depend on a
// level), which is verified before they are joined.
//
//===----------------------------------------------------------------------===//

#include "GpuCompiler.h"
#include "KernelParts.h"
#include "StageText.h"
#include "dialects/Tenon/IR/Ops/Check.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Support/Timing.h"
#include "tenon/Codegen/Backend.h"
#include "tenon/Codegen/Program.h"
#include "tenon/Pipelines/Pipelines.h"
#include "tenon/Support/OutputFile.h"
#include "tenon/Support/StableSort.h"
#include "tenon/Target/Artifact.h"
#include "tenon/Target/EmbeddedFiles.h"
#include "tenon/Target/Emit.h"
#include "tenon/Target/Gpu.h"
#include "tenon/Target/LoadedModel.h"
#include "tenon/abi.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/IR/Module.h"
#include "llvm/Linker/Linker.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Transforms/Utils/Cloning.h"
#include <mutex>

using namespace mlir;

namespace tenon {

std::string symbolName(StringRef modelName) {
  std::string name;
  for (char c : modelName)
    name += llvm::isAlnum(c) ? c : '_';
  return "tenon_model_" + name;
}

namespace {

struct Level {
  TargetInfo target;
  TargetInfo machine; ///< that runs the kernels: the same, or what emulates it
  std::string suffix;
  OwningOpRef<ModuleOp> kernels;
  OwningOpRef<ModuleOp> parts; ///< the same from the buffer stage on
  PartFunctions functions;
};

/// A module that becomes an object: a part of a level's kernels.
struct Unit {
  const Level *level;
  ModuleOp part;
  SmallVector<char> object;
  std::string error;
};

struct Compiler {
  const CompileOptions &options;
  CompileResult result;
  DialectRegistry registry;
  unsigned threads;
  llvm::DefaultThreadPool pool;
  MLIRContext context{MLIRContext::Threading::DISABLED};
  llvm::LLVMContext llvmContext;
  TimingScope timing; ///< of the stage; of nothing where nobody asks
  OwningOpRef<ModuleOp> module;
  std::vector<Level> levels;
  GpuCompiler gpu;
  Schedule schedule;
  WeightsPlan weights;
  std::unique_ptr<llvm::Module> tables;
  std::optional<ArtifactKind> kind;
  ArtifactOptions artifact; // filled by translate()

  explicit Compiler(const CompileOptions &options)
      : options(options),
        threads(
            llvm::hardware_concurrency(options.threads).compute_thread_count()),
        pool(llvm::hardware_concurrency(threads)) {
    if (threads > 1)
      context.setThreadPool(pool);
    registerDialects(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    context.getDiagEngine().registerHandler([this](Diagnostic &d) {
      if (d.getSeverity() == DiagnosticSeverity::Warning)
        result.warnings.push_back(d.str());
      if (d.getSeverity() != DiagnosticSeverity::Error)
        return success();
      if (!result.error.empty()) // the first error is the cause
        return success();
      llvm::raw_string_ostream os(result.error);
      if (auto name = dyn_cast<NameLoc>(d.getLocation()))
        os << "node '" << name.getName().getValue() << "': ";
      else if (auto place = dyn_cast<FileLineColLoc>(d.getLocation()))
        os << place.getFilename().getValue() << ":" << place.getLine() << ":"
           << place.getColumn() << ": ";
      os << d.str();
      for (Diagnostic &note : d.getNotes())
        os << "\n  note: " << note.str();
      return success();
    });
    if (options.remark)
      collectPassRemarks(context, options.remark);
  }

  bool fail(const Twine &message) {
    if (result.error.empty())
      result.error = message.str();
    return false;
  }
  bool check(llvm::Error e) { return !e || fail(llvm::toString(std::move(e))); }
  bool check(LogicalResult r) { return succeeded(r) || fail("a pass failed"); }
  /// Runs one stage under the crash guard. False: stop.
  bool stage(Stage s, double fraction, llvm::function_ref<bool()> fn) {
    if (options.progress)
      options.progress(stageName(s), fraction);
    if (options.timing)
      timing = options.timing->nest(stageName(s));
    llvm::scope_exit stop([&] { timing.stop(); });
    bool ok = false;
    std::string message;
    if (!runGuarded(stageName(s), [&] { ok = fn(); }, message)) {
      result.internal = true;
      result.error = message;
      return false;
    }
    return ok;
  }
  WeightsSource weightsSource() {
    return {weights.bytes, [this](ChunkSink sink) {
              return writeWeights(schedule, weights, sink);
            }};
  }
  void debug(PassManager &pm) {
    const PassDebugging &debugging = options.debugging;
    auto among = [](llvm::ArrayRef<std::string> names) {
      return [names](Pass *pass, Operation *) {
        return llvm::is_contained(names, pass->getArgument());
      };
    };
    auto before = among(debugging.printBefore);
    auto after = among(debugging.printAfter);
    bool all = debugging.printAfterAll;
    if (all || !debugging.printBefore.empty() || !debugging.printAfter.empty())
      pm.enableIRPrinting(
          before,
          [=](Pass *pass, Operation *op) { return all || after(pass, op); },
          /*printModuleScope=*/false, /*printAfterOnlyOnChange=*/false,
          /*printAfterOnlyOnFailure=*/false, llvm::errs(),
          OpPrintingFlags()
              .elideLargeElementsAttrs(64)
              .elideLargeResourceString(64));
    if (debugging.reproducer.empty())
      return;
    context.disableMultithreading(); // a reproducer of one pass needs that
    pm.enableCrashReproducerGeneration(debugging.reproducer,
                                       /*genLocalReproducer=*/true);
  }
  bool passes(ModuleOp on, llvm::function_ref<void(OpPassManager &)> fill,
              bool verify) {
    PassManager pm(&context);
    pm.enableVerifier(verify || options.verifyEach);
    pm.enableTiming(timing);
    debug(pm);
    fill(pm);
    return succeeded(pm.run(on)) || fail("a pass failed");
  }
  bool write(StringRef path, llvm::function_ref<void(raw_ostream &)> fn) {
    return check(writeOutputFile(path, [&](raw_ostream &os) {
      fn(os);
      return llvm::Error::success();
    }));
  }
  /// Dumps a stage; true when it was the last that was asked for.
  bool finished(Stage s, llvm::function_ref<void(raw_ostream &, bool)> print) {
    if (!options.dumpDir.empty()) {
      SmallString<128> path(options.dumpDir);
      std::string name = std::to_string((int)s) + "-" + stageName(s).str() +
                         (s == Stage::Llvm     ? ".ll"
                          : s == Stage::Object ? ".s"
                          : s == Stage::Ptx    ? ".ptx"
                                               : ".mlir");
      llvm::sys::path::append(path, name);
      if (!write(path, [&](raw_ostream &os) { print(os, true); }))
        return true;
    }
    if (options.emit != s)
      return false;
    result.ok = write(options.output, [&](raw_ostream &os) {
      print(os, options.elideWeights);
    });
    return true;
  }

  /// What the kernels' stage leaves to be computed an element at a time, as
  /// comments.
  void printStrategies(raw_ostream &os) {
    std::vector<SlowWork> rest = findSlowWork(*module);
    os << "// operations without a strategy: " << rest.size() << "\n";
    for (const SlowWork &work : rest)
      os << "//   " << describe(work) << "\n";
  }

  bool import();
  bool resolveTargets();
  bool emitLevels(KernelDims &dims, bool &complete);
  bool tile();
  void describeStates();
  bool split();
  bool assembleGpus();
  bool translate();
  bool showModel(ProgramOptions program);
  std::vector<Unit> units();
  llvm::Expected<std::unique_ptr<llvm::Module>>
  moduleOf(const Unit &unit, llvm::LLVMContext &context);
  EmitOptions emitOptions();
  std::unique_ptr<llvm::Module> wholeProgram();
  bool link();
  // The stages, in order; false: nothing is left to do, or one failed.
  bool checkOptions();
  bool makeGraph();
  bool makeKernels();
  bool lowerKernels();
  bool printTexts();
  void printKernels(raw_ostream &os, bool elide);
  void printGpuKernels(raw_ostream &os, bool elide);
  void run();
};

bool Compiler::resolveTargets() {
  for (const std::string &name : options.targets) {
    if (isGpuTarget(name)) {
      if (!check(gpu.addLevel(name)))
        return false;
      continue;
    }
    auto target = resolveTarget(name);
    if (!target)
      return check(target.takeError());
    Level level;
    level.target = level.machine = *target;
    if (const std::string &on = options.emulation.on; !on.empty()) {
      auto machine = resolveTarget(on);
      if (!machine)
        return check(machine.takeError());
      level.machine = *machine;
    }
    levels.push_back(std::move(level));
  }
  const std::string &precision = options.layout.precision;
  if (precision != "f32" && !gpu.empty())
    return fail("--precision=" + precision +
                " is for CPUs: a GPU's products are chosen by "
                "--gpu-precision");
  for (const Level &level : levels)
    if (precision == "bf16" && level.target.vectorBits < 512)
      return fail("--precision=bf16: level '" + level.target.name +
                  "' has no AVX-512, which products of bf16 need");
  // Best first: the runtime takes the first level that the CPU supports.
  stableSort(levels, [](const Level &x, const Level &y) {
    return x.target.vectorBits > y.target.vectorBits ||
           (x.target.vectorBits == y.target.vectorBits &&
            llvm::popcount(x.target.featureBits) >
                llvm::popcount(y.target.featureBits));
  });
  for (auto [i, level] : llvm::enumerate(levels))
    level.suffix = levels.size() > 1 ? ".l" + std::to_string(i) : "";
  return true;
}

bool Compiler::import() {
  if (options.from) {
    bool weights = !options.emit || *options.emit > Stage::Fuse;
    module = readStage(options.input, context, weights);
    if (!module)
      return fail("the text could not be read");
    if (!options.modelName.empty())
      (*module)->setAttr("tenon.model_name",
                         StringAttr::get(&context, options.modelName));
    return true;
  }
  ImportOptions import = options.import;
  import.keepNodeValues = options.debugValues;
  auto imported = importOnnxFile(options.input, context, import);
  if (failed(imported))
    return fail("the model could not be imported");
  module = std::move(*imported);
  if (!options.modelName.empty())
    (*module)->setAttr("tenon.model_name",
                       StringAttr::get(&context, options.modelName));
  // What was chosen of a condition on dims.
  module->walk([&](CheckOp check) {
    auto hint = check->getAttrOfType<StringAttr>("tenon.hint");
    auto node = dyn_cast<NameLoc>(check.getLoc());
    if (!hint || !node)
      return;
    std::string note = ("node '" + node.getName().getValue() + "' relies on " +
                        check.getLhs() + " being " + check.getRhs() +
                        ": for another " + hint.getValue())
                           .str();
    if (!llvm::is_contained(result.notes, note))
      result.notes.push_back(note);
  });
  return succeeded(module->verify()) || fail("the imported graph is invalid");
}

/// Of kernels that take `dims` first, to which it adds; is that all they take?
bool Compiler::emitLevels(KernelDims &dims, bool &complete) {
  complete = true;
  for (auto [i, level] : llvm::enumerate(levels)) {
    level.kernels = ModuleOp::create(UnknownLoc::get(&context));
    auto s = buildSchedule(*module, *level.kernels, cpuBackend(), level.target,
                           dims);
    if (failed(s))
      return fail("no kernels could be emitted");
    for (const ScheduleStep &step : s->steps) {
      if (step.kernel.native)
        continue;
      std::vector<SymExpr> &known = dims[step.kernel.symbol];
      complete &= i == 0 || known == step.kernel.dims;
      known = step.kernel.dims;
    }
    if (i == 0) {
      schedule = std::move(*s);
      continue;
    }
    for (auto [a, b] : llvm::zip_equal(schedule.steps, s->steps)) {
      if (a.kernel.tasks != b.kernel.tasks)
        return fail("kernel '" + a.kernel.symbol +
                    "' has other tasks at level " + level.target.name);
      if (a.kernel.scratchBytes != b.kernel.scratchBytes)
        a.kernel.scratchBytes = SymExpr::apply(
            SymExpr::Fn::Max, a.kernel.scratchBytes, b.kernel.scratchBytes);
    }
  }
  return true;
}

bool Compiler::tile() {
  // All levels take the same arguments. One that asks for more dims than those
  // before it has them all, in an order of its own at the end; so the second
  // time all have.
  KernelDims dims;
  for (bool complete = false; !complete;)
    if (!emitLevels(dims, complete))
      return false;
  for (Level &level : levels)
    if (failed(level.kernels->verify()))
      return fail("the emitted kernels are invalid");
  // A kernel's second half is a step of its own.
  for (auto [i, step] : llvm::enumerate(schedule.steps))
    if (StringRef(step.kernel.symbol).ends_with(Backend::secondHalf))
      result.tilings.insert(result.tilings.begin() + i, result.tilings[i - 1]);
  // A GPU's kernels are those of the CPU's steps.
  if (gpu.empty())
    mergeKernels(llvm::map_to_vector(
                     levels, [](Level &level) { return *level.kernels; }),
                 schedule);
  if (!check(gpu.tile()))
    return false;
  if (levels.empty())
    schedule = gpu.schedule;
  else if (!gpu.empty() && !gpu.sharesWeights(schedule))
    return fail("the GPUs' kernels read other weights than the CPUs'");
  weights = planWeights(schedule);
  describeStates();
  return true;
}

void Compiler::describeStates() {
  size_t found = llvm::count_if(
      schedule.states, [](auto &state) { return state.reason.empty(); });
  if (found)
    result.states.push_back("states: " + std::to_string(found));
  if (llvm::any_of(schedule.states,
                   [](auto &state) { return !state.lengths.empty(); }))
    result.states.push_back("a run takes sequences of unequal lengths");
  bool chosen = !options.layout.kv.empty(), any = false;
  for (const ScheduleState &state : schedule.states) {
    any |= bool(state.pages);
    if (chosen && !state.pages && state.reason.empty())
      result.states.push_back("input '" + schedule.inputs[state.input].name +
                              "' is kept as it is: more than the keys or the "
                              "values of an attention of f32, in rows of a "
                              "static size, reads it");
  }
  if (chosen && !any)
    result.warnings.push_back("--kv=" + options.layout.kv +
                              " changes nothing: attention alone reads no "
                              "past of the model");
  for (const ScheduleState &state : schedule.states)
    if (!state.reason.empty())
      result.states.push_back("no state: input '" +
                              schedule.inputs[state.input].name +
                              "': " + state.reason);
}

bool Compiler::split() {
  for (Level &level : levels) {
    level.parts = splitKernels(*level.kernels);
    level.kernels = nullptr;
    if (!passes(
            *level.parts,
            [](OpPassManager &pm) { populateBufferStage(pm.nest<ModuleOp>()); },
            false))
      return false;
    level.functions = functionsOfParts(*level.parts, schedule);
  }
  return true;
}

bool Compiler::assembleGpus() {
  std::string note;
  if (!check(gpu.assemble(options.ptxas, note)))
    return false;
  if (!note.empty())
    result.notes.push_back(note);
  return true;
}

bool Compiler::translate() {
  ProgramOptions p;
  for (const Level &level : levels)
    p.levels.push_back(
        {level.target.name, level.machine.featureBits, level.suffix});
  if (auto ranges = (*module)->getAttrOfType<DictionaryAttr>("tenon.ranges"))
    for (NamedAttribute range : ranges)
      if (auto bounds = dyn_cast<DenseI64ArrayAttr>(range.getValue());
          bounds && bounds.size() == 2)
        p.ranges.push_back({range.getName().str(), bounds[0], bounds[1]});
  if (auto precision = (*module)->getAttrOfType<StringAttr>("tenon.precision"))
    p.precision = precision.str();
  p.window = findWindow(*module);
  if (!gpu.empty())
    p.gpu = gpu.getProgram();
  p.slow = result.slow;
  p.compilerVersion = options.compilerVersion;
  artifact.output = options.output;
  artifact.kind = *kind;
  artifact.exportedSymbol = symbolName(schedule.modelName);
  if (kind == ArtifactKind::SharedLibrary)
    artifact.alias = "tenon_model"; // what who loads it asks for
  artifact.soname = options.soname;
  artifact.weightsInFile = options.weightsInFile && weights.bytes;
  if (weights.bytes) {
    auto hash = hashWeights(weightsSource());
    if (!hash)
      return check(hash.takeError());
    artifact.weightsHash = *hash;
  }
  if (artifact.weightsInFile)
    p.weightsFile =
        llvm::sys::path::filename(weightsPath(options.output)).str();
  p.exportedSymbol = artifact.exportedSymbol;
  p.shared = kind == ArtifactKind::SharedLibrary;
  p.weightsInFile = artifact.weightsInFile;
  p.weightsHash = artifact.weightsHash;
  tables = std::make_unique<llvm::Module>("tenon", llvmContext);
  return check(prepareModule(*tables)) &&
         check(emitProgram(*tables, schedule, weights, p)) &&
         (!options.onModel || options.emit || showModel(p));
}

bool Compiler::showModel(ProgramOptions program) {
  program.weightsInFile = true; // none of their bytes are needed
  program.shared = false;       // nor is it loaded as one
  llvm::Module module("tenon", llvmContext);
  SmallVector<char> object;
  EmitOptions emit;
  emit.optLevel = 0;
  return check(prepareModule(module)) &&
         check(emitProgram(module, schedule, weights, program)) &&
         check(emitObject(module, emit, object)) &&
         check(withLoadedModel({object.data(), object.size()},
                               program.exportedSymbol, options.onModel));
}

std::vector<Unit> Compiler::units() {
  std::vector<Unit> all;
  for (Level &level : levels)
    for (auto part : level.parts->getOps<ModuleOp>())
      all.push_back({&level, part, {}, {}});
  return all;
}

/// LLVM IR of a unit. May run for several at once.
llvm::Expected<std::unique_ptr<llvm::Module>>
Compiler::moduleOf(const Unit &unit, llvm::LLVMContext &context) {
  const Level &level = *unit.level;
  auto module = translatePart(unit.part, level.functions, level.machine,
                              level.suffix, context);
  if (module && options.emulation.rewrite)
    if (llvm::Error error = options.emulation.rewrite(**module))
      return std::move(error);
  return module;
}

EmitOptions Compiler::emitOptions() {
  EmitOptions emit;
  emit.optLevel = options.optLevel;
  emit.weightsBytes = options.weightsInFile ? 0 : weights.bytes;
  return emit;
}

/// All that is compiled in one module, for people to read.
std::unique_ptr<llvm::Module> Compiler::wholeProgram() {
  std::unique_ptr<llvm::Module> whole = llvm::CloneModule(*tables);
  for (const Unit &unit : units()) {
    auto part = moduleOf(unit, llvmContext);
    if (!part) {
      check(part.takeError());
      return nullptr;
    }
    if (llvm::Linker::linkModules(*whole, std::move(*part))) {
      fail("the kernels could not be linked");
      return nullptr;
    }
  }
  return whole;
}

bool Compiler::link() {
  std::vector<Unit> all = units();
  // The largest first, as it may take longest.
  std::vector<std::pair<size_t, Unit *>> order;
  for (Unit &unit : all)
    order.emplace_back(sizeOfPart(unit.part), &unit);
  stableSort(order,
             [](const auto &x, const auto &y) { return x.first > y.first; });
  auto functionsOf = [](ModuleOp part) {
    return llvm::count_if(part.getOps<FunctionOpInterface>(),
                          [](auto f) { return !f.isExternal(); });
  };
  size_t compiled = 0, functions = 0;
  for (const Unit &unit : all)
    functions += functionsOf(unit.part);
  std::mutex telling;
  forEachGuarded(order.size(), threads, [&](size_t index) {
    Unit &unit = *order[index].second;
    llvm::LLVMContext own;
    auto module = moduleOf(unit, own);
    llvm::Error error = module
                            ? emitObject(**module, emitOptions(), unit.object)
                            : module.takeError();
    if (error)
      unit.error = llvm::toString(std::move(error));
    if (!options.compiled)
      return;
    std::lock_guard<std::mutex> lock(telling);
    options.compiled(compiled += functionsOf(unit.part), functions);
  });
  SmallVector<char> table;
  if (!check(emitObject(*tables, emitOptions(), table)))
    return false;
  std::vector<StringRef> objects{{table.data(), table.size()}};
  for (const Unit &unit : all) {
    if (!unit.error.empty())
      return fail(unit.error);
    objects.emplace_back(unit.object.data(), unit.object.size());
  }
  if (!options.emulation.object.empty())
    objects.push_back(options.emulation.object);
  llvm::append_range(objects, getRuntimeObjects());
  return check(writeArtifact(artifact, objects, weightsSource()));
}

bool Compiler::checkOptions() {
  kind = artifactKindFromPath(options.output);
  // A pipe says nothing by its name.
  if (!kind && isOutputStream(options.output))
    kind = ArtifactKind::SharedLibrary;
  if (!options.emit && !options.emitTilings && !options.checkOnly && !kind)
    return fail("cannot tell what to write to '" + options.output +
                "': expected a name that ends in .so, .o or .a");
  if (!kind)
    kind = ArtifactKind::SharedLibrary;
  if (!options.emit && options.weightsInFile && isOutputStream(options.output))
    return fail("'" + options.output +
                "' has no place beside it for the weights: --weights=file "
                "needs a file's name");
  if (!options.dumpDir.empty())
    if (auto ec = llvm::sys::fs::create_directories(options.dumpDir))
      return fail("cannot create '" + options.dumpDir + "': " + ec.message());
  if (!resolveTargets())
    return false;
  if (options.emit == Stage::Ptx && gpu.empty())
    return fail("--emit=ptx: no target is a GPU, as in --target=nvptx:sm_80");
  return true;
}

void Compiler::printGpuKernels(raw_ostream &os, bool elide) {
  for (GpuLevel &level : gpu.levels)
    printStage(*level.kernels, os, {options.locations, elide});
}

void Compiler::printKernels(raw_ostream &os, bool elide) {
  for (Level &level : levels)
    printStage(*level.kernels, os, {options.locations, elide});
  printGpuKernels(os, elide);
}

/// Import, Graph, Fuse, or what of them stands before the text that it begins
/// with; lists the tilings.
bool Compiler::makeGraph() {
  auto print = [&](raw_ostream &os, bool elide) {
    printStage(*module, os, {options.locations, elide});
  };
  // What the text that it begins with has behind it.
  auto done = [&](Stage s) { return options.from && s <= *options.from; };
  Stage first = options.from.value_or(Stage::Import);
  if (!stage(first, 0.0, [&] { return import(); }) || finished(first, print))
    return false;
  auto onGraph = [&](Stage s, double fraction,
                     llvm::function_ref<void(OpPassManager &)> fill) {
    if (done(s))
      return true;
    return stage(s, fraction, [&] { return passes(*module, fill, true); }) &&
           !finished(s, print);
  };
  const Backend &backend = levels.empty() ? gpuBackend() : cpuBackend();
  TilingOptions tiling = gpu.withLevels(options.tiling);
  LayoutOptions layout = options.layout;
  // Attention's products have no tiles, and where there are some the
  // instruction for vectors is slower than f32's.
  layout.attentionInBF16 = llvm::all_of(levels, [](const Level &level) {
    return level.target.multipliesBF16 &&
           !level.target.has(TENON_FEATURE_AMX_BF16);
  });
  // GPUs read the same weights, and multiply patches.
  layout.winograd &= gpu.empty();
  layout.vectorBits = 0;
  for (const Level &level : levels)
    layout.vectorBits =
        std::max<int64_t>(layout.vectorBits, level.target.vectorBits);
  if (!onGraph(Stage::Graph, 0.1,
               [&](OpPassManager &pm) {
                 populateGraphStage(pm, options.debugValues, options.state,
                                    options.outputRows);
               }) ||
      !onGraph(Stage::Fuse, 0.2, [&](OpPassManager &pm) {
        populateFuseStage(pm, options.debugValues, tiling, backend, layout);
      }))
    return false;
  result.tilings = listTilings(*module);
  if (gpu.empty())
    return true;
  if (!stage(Stage::Tile, 0.25,
             [&] { return check(gpu.cut(*module, tiling)); }))
    return false;
  if (!levels.empty())
    llvm::append_range(result.tilings, listTilings(gpu.getGraph()));
  return true;
}

/// Tile.
bool Compiler::makeKernels() {
  if (options.emitTilings) {
    result.ok = write(options.output, [&](raw_ostream &os) {
      printTilings(result.tilings, os);
    });
    return false;
  }
  auto lay = [&] {
    return !gpu.empty() || passes(*module, populateWeightLayout, true);
  };
  if (!stage(Stage::Tile, 0.25, [&] { return lay() && tile(); }) ||
      finished(Stage::Tile, [&](raw_ostream &os, bool elide) {
        printKernels(os, elide);
        printStrategies(os);
      }))
    return false;
  // A GPU's graph is another one.
  if (!levels.empty())
    for (const SlowWork &work : findSlowWork(*module))
      result.slow.push_back(describe(work) + " is slow, about " +
                            std::to_string(work.percent) +
                            "% of what a CPU can do: " + work.reason);
  if (!options.checkOnly)
    return true;
  result.ok = stage(Stage::Llvm, 0.5, [&] {
    // The tables alone: they say whether the inputs give every dim.
    llvm::Module tables("tenon", llvmContext);
    return check(emitProgram(tables, schedule, weights, {}));
  });
  return false;
}

/// Vector, Buffer, and what becomes of GPUs' kernels.
bool Compiler::lowerKernels() {
  auto toVectors = [&] {
    return llvm::all_of(levels,
                        [&](Level &level) {
                          return passes(*level.kernels, populateVectorStage,
                                        false);
                        }) &&
           check(gpu.lowerToVectors());
  };
  if (!stage(Stage::Vector, 0.3, toVectors) ||
      finished(Stage::Vector,
               [&](raw_ostream &os, bool elide) { printKernels(os, elide); }))
    return false;
  if (!stage(Stage::Buffer, 0.4,
             [&] { return split() && check(gpu.lowerToLLVM()); }) ||
      finished(Stage::Buffer, [&](raw_ostream &os, bool elide) {
        for (Level &level : levels)
          printStage(*joinKernels(*level.parts), os,
                     {options.locations, elide});
        printGpuKernels(os, elide);
      }))
    return false;
  if (gpu.empty())
    return true;
  if (!stage(Stage::Ptx, 0.45,
             [&] { return check(gpu.emitPtx(options.optLevel)); }) ||
      finished(Stage::Ptx, [&](raw_ostream &os, bool) {
        for (const GpuLevel &level : gpu.levels)
          os << level.ptx;
      }))
    return false;
  return options.emit ||
         stage(Stage::Ptx, 0.48, [&] { return assembleGpus(); });
}

/// The texts of Llvm and Object, of all levels in one module.
bool Compiler::printTexts() {
  std::unique_ptr<llvm::Module> whole;
  if (!stage(Stage::Llvm, 0.5, [&] { return !!(whole = wholeProgram()); }) ||
      finished(Stage::Llvm, [&](raw_ostream &os, bool) {
        whole->print(os, nullptr);
        for (const GpuLevel &level : gpu.levels)
          os << level.llvm;
      }))
    return false;
  std::string text;
  return stage(Stage::Object, 0.6,
               [&] {
                 llvm::raw_string_ostream os(text);
                 return check(emitAssembly(*whole, emitOptions(), os));
               }) &&
         !finished(Stage::Object, [&](raw_ostream &os, bool) { os << text; });
}

void Compiler::run() {
  if (!checkOptions() || !makeGraph() || !makeKernels() || !lowerKernels() ||
      !stage(Stage::Llvm, 0.5, [&] { return translate(); }))
    return;
  if ((options.emit || !options.dumpDir.empty()) && !printTexts())
    return;
  result.ok = stage(Stage::Object, 0.7, [&] { return link(); });
}

} // namespace

CompileResult compileModel(const CompileOptions &options) {
  Compiler compiler(options);
  compiler.run();
  return compiler.result;
}

} // namespace tenon
