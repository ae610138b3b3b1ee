//===- Commands.h - the subcommands of tenon --------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each subcommand registers a cl::SubCommand with its options in its own file
// and has a function that runs it once the command line is parsed. It returns
// the exit code: 0, 1 for the user's mistake, 70 for ours.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_COMMANDS_H
#define TENON_TOOLS_COMMANDS_H

#include "tenon/Import/OnnxImporter.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace tenon {

int compileMain();
int runMain();
int benchMain();
int inspectMain();
int compareMain();
int checkMain();
int operatorsMain();
int tuneMain();

/// What to compile for where no --target says it: $TENON_TARGET, a list as
/// --target takes it, or else this machine.
std::vector<std::string> defaultTargets();

/// Takes --dim settings, "NAME=N", "NAME=LO..HI" or "NAME=LO..", and --value
/// settings, "NAME=NUMBER" or "NAME=NUMBER,NUMBER,...", into the options.
llvm::Error parseSettings(llvm::ArrayRef<std::string> dims,
                          llvm::ArrayRef<std::string> values,
                          ImportOptions &options);

void printVersion(llvm::raw_ostream &out);

/// Prints "tenon COMMAND: error: MESSAGE" and returns 1.
int reportError(llvm::StringRef command, const llvm::Twine &message);
int reportError(llvm::StringRef command, llvm::Error error);

} // namespace tenon

#endif // TENON_TOOLS_COMMANDS_H
