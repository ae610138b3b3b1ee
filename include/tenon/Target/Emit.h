//===- Emit.h - from an LLVM module to an object ----------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A model is several modules: parts of the kernels, each in a context of its
// own so that they are compiled at the same time, and the tables. The order of
// calls that makes an object of one:
//
//   prepareModule(module)               right after translation from MLIR
//   setTargetAttributes(kernel, level)  for each kernel
//   emitObject(module, options, object)
//
// Modules refer to each other and to the runtime by hidden symbols, which
// writeArtifact makes local. One module may hold kernels of several levels;
// functions that carry no target attributes are compiled for baseline x86-64.
//
//===----------------------------------------------------------------------===//

#ifndef TENON_TARGET_EMIT_H
#define TENON_TARGET_EMIT_H

#include "tenon/Target/TargetInfo.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"

namespace llvm {
class Module;
class raw_ostream;
} // namespace llvm

namespace tenon {

/// The weights' symbol. A module refers to it as an external global of any
/// type; emitObject defines it, as a local symbol of a section without bytes.
inline constexpr llvm::StringLiteral kWeightsSymbol = "tenon_weights_blob";

/// An attribute of functions whose loops are unrolled where that is worth it.
inline constexpr llvm::StringLiteral kKeepsLoops = "tenon-keeps-loops";

struct EmitOptions {
  int optLevel = 3;
  /// LLVM's loop and SLP vectorizers; kernels are vectorised before.
  bool vectorize = false;
  /// Size of the weights that the artifact will carry, for the module that
  /// refers to kWeightsSymbol; 0: none does.
  uint64_t weightsBytes = 0;
};

/// Sets the triple and data layout that everything here expects.
llvm::Error prepareModule(llvm::Module &module);

/// Optimises the module in place.
llvm::Error optimizeModule(llvm::Module &module, const EmitOptions &options);

/// Optimises, then generates a position-independent ELF object.
llvm::Error emitObject(llvm::Module &module, const EmitOptions &options,
                       llvm::SmallVectorImpl<char> &object);

/// The same as assembly text.
llvm::Error emitAssembly(llvm::Module &module, const EmitOptions &options,
                         llvm::raw_ostream &os);

/// Runs `fn` so that a crash inside LLVM (a signal, an abort, a fatal error) is
/// caught. Returns false with `message` naming the stage; the process should
/// then report and exit, since the state that `fn` worked on is lost. Where
/// memory runs out it says so and exits with 1 itself. Off the command line's
/// driver (tests, debuggers) set TENON_NO_GUARD=1 to crash.
bool runGuarded(llvm::StringRef stage, llvm::function_ref<void()> fn,
                std::string &message);

/// Calls fn(0) to fn(count - 1), on so many threads, in any order. Within
/// runGuarded, which then catches crashes on these threads too.
void forEachGuarded(size_t count, unsigned threads,
                    llvm::function_ref<void(size_t)> fn);

} // namespace tenon

#endif // TENON_TARGET_EMIT_H
