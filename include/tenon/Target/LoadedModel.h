//===- LoadedModel.h - asking a model before it is written ------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TARGET_LOADEDMODEL_H
#define TENON_TARGET_LOADEDMODEL_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

namespace tenon {

/// Loads a program's tables, an object of emitObject, and the runtime into this
/// process, and hands the model that they define to `fn`: an artifact as any,
/// which answers all questions, but has neither kernels nor weights to run with.
/// The runtime's answer is the one that the program will get; no second
/// computation of a workspace can differ from it.
llvm::Error withLoadedModel(llvm::StringRef tables, llvm::StringRef symbol,
                            llvm::function_ref<llvm::Error(const void *)> fn);

} // namespace tenon

#endif // TENON_TARGET_LOADEDMODEL_H
