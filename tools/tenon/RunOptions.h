//===- RunOptions.h - options of what runs artifacts ------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// run, bench, compare and tune take the same options for the same things.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_RUNOPTIONS_H
#define TENON_TOOLS_RUNOPTIONS_H

#include "Artifact.h"
#include "llvm/Support/CommandLine.h"

namespace tenon {

/// Made when first asked for: options of any file name them, in whatever order
/// the files' options are made.
llvm::cl::SubCommand &runCommand();
llvm::cl::SubCommand &benchCommand();
llvm::cl::SubCommand &compareCommand();
llvm::cl::SubCommand &tuneCommand();

extern llvm::cl::list<std::string> inputs;      ///< of all four
extern llvm::cl::list<std::string> dimSettings; ///< of all but run
extern llvm::cl::opt<int> threads;              ///< of all four

/// What --threads, --oversubscribe, --level, --device and --weights say; of all
/// but tune.
SessionOptions sessionOptions();

} // namespace tenon

#endif // TENON_TOOLS_RUNOPTIONS_H
