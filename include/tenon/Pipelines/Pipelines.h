//===- Pipelines.h - the stages from a model to an artifact -----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_PIPELINES_PIPELINES_H
#define TENON_PIPELINES_PIPELINES_H

#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"
#include "tenon/Codegen/Layout.h"
#include "tenon/Codegen/Tilings.h"
#include "tenon/Import/OnnxImporter.h"
#include "tenon/Pipelines/PassRemarks.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include <optional>

namespace llvm {
class Module;
} // namespace llvm

namespace tenon {

class Backend;

/// Each stage is a function that fills a pass pipeline, shared by tenon-opt and
/// `tenon compile`; `--emit=<stage>` prints what it leaves.
enum class Stage {
  Import, ///< tenon ops, one per meaning of an ONNX node
  Graph,  ///< folded, norms and activations recovered
  Fuse,   ///< tenon.kernel ops
  Tile,   ///< one func.func per kernel: scf loops, vectors, memrefs
  Vector, ///< math as polynomials, loops cleaned
  Buffer, ///< memory as raw pointers, control flow as blocks: LLVM dialect
  Llvm,   ///< LLVM IR with the program's tables
  Object, ///< assembly of the same
  Ptx     ///< of GPU levels, from `buffer` on
};
std::optional<Stage> parseStage(llvm::StringRef name);
llvm::StringRef stageName(Stage stage);

/// Of which rows a decoder's outputs are: all, those that an input names (of a
/// ragged run), or the last new token's of each sequence.
enum class OutputRows { All, Named, Last };

/// Import -> Graph, on the graph module.
/// With `state` pasts and presents may share memory at its end.
void populateGraphStage(mlir::OpPassManager &pm, bool debugValues,
                        bool state = false, OutputRows rows = OutputRows::All);
/// What else than the target family's choice decides how kernels are cut.
struct TilingOptions {
  std::string file;       ///< of lines as Tilings.h describes them; empty: none
  unsigned candidate = 0; ///< number of the tiling that kernels take
  /// What a GPU multiplies f32 operands as: tf32x3, tf32, bf16 or f16.
  std::string products = "tf32x3";
  bool warpgroups = false; ///< one of the GPUs multiplies by them
};
/// Graph -> Fuse, on the graph module.
void populateFuseStage(mlir::OpPassManager &pm, bool debugValues,
                       const TilingOptions &tiling, const Backend &backend,
                       LayoutOptions layout = {});
/// The end of it: how a family of targets cuts the kernels. Instead of what
/// another family wrote.
void populateTiling(mlir::OpPassManager &pm, const Backend &backend,
                    const TilingOptions &tiling);
/// Behind that, where CPUs alone run the artifact: weights as they read them.
void populateWeightLayout(mlir::OpPassManager &pm);
/// Tile -> Vector, on a kernels module (Fuse -> Tile is buildSchedule).
void populateVectorStage(mlir::OpPassManager &pm);
/// Vector -> Buffer, on a kernels module.
void populateBufferStage(mlir::OpPassManager &pm);
/// The same for a GPU's kernels.
void populateGpuBufferStage(mlir::OpPassManager &pm);
/// Registers every stage as a pipeline `tenon-<stage>` and every pass.
void registerPasses();
void registerDialects(mlir::DialectRegistry &registry);

/// To see what a pass does, as mlir-opt's options of the same names do.
struct PassDebugging {
  /// Arguments of passes ("tenon-form-kernels") around which the IR is printed
  /// to standard error, without the bytes of large weights.
  std::vector<std::string> printBefore, printAfter;
  bool printAfterAll = false;
  /// Where a pass fails or crashes: the IR before it and its pipeline, for
  /// `tenon-opt --run-reproducer`, go to this file. Empty: none.
  std::string reproducer;
};

/// Kernels of a level that run on a CPU without it, for tests: they are emitted
/// as ever, and compiled for a lesser one.
struct Emulation {
  std::string on; ///< that level; empty: nothing is emulated
  /// Puts calls in the place of what it lacks, in a module of kernels.
  std::function<llvm::Error(llvm::Module &kernels)> rewrite;
  llvm::StringRef object; ///< defines what they call
};

struct CompileOptions {
  std::string input, output;
  std::vector<std::string> targets = {"native"}; ///< best first once resolved
  ImportOptions import;
  /// The model's name, and its symbol's; empty: as the graph says (PyTorch
  /// calls every graph main_graph).
  std::string modelName;
  std::string soname; ///< of a shared library; empty: none
  bool weightsInFile = false;
  TilingOptions tiling;
  LayoutOptions layout;
  bool debugValues = false;
  bool state = true; ///< find pasts that a tenon_state can hold
  OutputRows outputRows = OutputRows::All;
  bool verifyEach = false;
  PassDebugging debugging;
  int optLevel = 3;
  Emulation emulation;
  std::string ptxas; ///< that assembles GPU levels; empty: on the PATH; or none
  /// Threads that compile kernels; 0: one per core. No byte depends on it.
  unsigned threads = 0;
  std::string compilerVersion;
  /// Print this stage to `output` ("-": standard output) instead.
  std::optional<Stage> emit;
  /// In its text, say beside each op which ONNX node it comes from.
  bool locations = false;
  /// And leave out the bytes of large weights, for a person who reads it.
  bool elideWeights = false;
  /// `input` is the text of this stage (import, graph or fuse), to go on from.
  std::optional<Stage> from;
  /// Print the kernels' tilings to `output` instead.
  bool emitTilings = false;
  /// Stop before kernels are translated, and write nothing: every refusal of
  /// a model comes before that.
  bool checkOnly = false;
  /// Write every stage to a file of this directory.
  std::string dumpDir;
  /// Shown the model, a `const tenon_model *` that answers questions but does
  /// not run, before the artifact is written; not of a stage's text.
  std::function<llvm::Error(const void *model)> onModel;
  /// Called as each stage begins; fraction of the whole in [0, 1].
  std::function<void(llvm::StringRef stage, double fraction)> progress;
  /// Called as functions of all become machine code, one call at a time.
  std::function<void(size_t done, size_t all)> compiled;
  /// Takes the times of stages and of their passes.
  mlir::TimingScope *timing = nullptr;
  /// Told what the passes do, and what they do not and why.
  PassRemarkFn remark;
};

/// Compiles a model. Errors have gone to `error` (one message) or, for errors
/// in the model, to the same through the context's diagnostics. `internal`
/// says that a crash inside the compiler was caught. `notes` say for which dims
/// and values alone the model was compiled, and how to compile it for others.
struct CompileResult {
  bool ok = false;
  bool internal = false;
  std::string error;
  std::vector<std::string> notes;
  std::vector<std::string> warnings;
  /// How many pasts a tenon_state can hold, and why not others.
  std::vector<std::string> states;
  /// What is predicted to be slow on a CPU, and why.
  std::vector<std::string> slow;
  /// Of each step's kernel.
  std::vector<KernelTiling> tilings;
};
CompileResult compileModel(const CompileOptions &options);

/// The artifact's exported symbol for a model: letters, digits and '_'.
std::string symbolName(llvm::StringRef modelName);

} // namespace tenon

#endif // TENON_PIPELINES_PIPELINES_H
