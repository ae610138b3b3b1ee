//===- Emit.h - from an LLVM module to an object ----------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The order of calls that makes an object of a model:
//
//   prepareModule(module)               right after translation from MLIR
//   setTargetAttributes(kernel, level)  for each kernel of each level
//   linkRuntime(module, "tenon_model_m")
//   emitObject(module, options, object)
//
// One module may hold kernels of several levels; functions that carry no
// target attributes are compiled for baseline x86-64.
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

struct EmitOptions {
  int optLevel = 3;
  /// LLVM's loop and SLP vectorizers; kernels are vectorised before.
  bool vectorize = false;
  /// Size of the weights that the artifact will carry; 0: none, and then the
  /// module must not refer to kWeightsSymbol.
  uint64_t weightsBytes = 0;
};

/// Sets the triple and data layout that everything here expects.
llvm::Error prepareModule(llvm::Module &module);

/// Links the runtime's bitcode, makes everything but `exportedSymbol` local
/// and drops what is then unused.
llvm::Error linkRuntime(llvm::Module &module, llvm::StringRef exportedSymbol);

/// As above with a given bitcode (tests bring their own).
llvm::Error linkBitcode(llvm::Module &module, llvm::StringRef bitcode,
                        llvm::StringRef exportedSymbol);

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
/// then report and exit, since the state that `fn` worked on is lost. Off the
/// command line's driver (tests, debuggers) set TENON_NO_GUARD=1 to crash.
bool runGuarded(llvm::StringRef stage, llvm::function_ref<void()> fn,
                std::string &message);

} // namespace tenon

#endif // TENON_TARGET_EMIT_H
