//===- main.cpp - the tenon command ---------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Commands.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <csignal>
#include <cstdlib>
#include <unistd.h>

using namespace llvm;

namespace {

struct Command {
  StringLiteral name;
  int (*run)();
  StringLiteral help;
};

const Command kCommands[] = {
    {"compile", tenon::compileMain, "compile an ONNX model to native code"},
    {"check", tenon::checkMain, "say whether a model will compile"},
    {"operators", tenon::operatorsMain, "list the operators that compile"},
    {"run", tenon::runMain, "run an artifact on .npy files"},
    {"bench", tenon::benchMain, "measure how fast an artifact runs"},
    {"inspect", tenon::inspectMain, "print what an artifact takes and gives"},
    {"tune", tenon::tuneMain, "measure how a model's kernels are best cut"},
    {"compare", tenon::compareMain,
     "compare an artifact's values with onnxruntime's"},
};

void printHelp(raw_ostream &out) {
  out << "Tenon compiles ONNX models ahead of time to native code.\n\n"
         "usage: tenon COMMAND [options]\n"
         "       tenon COMMAND --help\n"
         "       tenon --version\n\ncommands:\n";
  for (const Command &command : kCommands)
    out << "  " << left_justify(command.name, 10) << command.help << "\n";
  out << "\nA first session:\n"
         "  tenon compile model.onnx -o model.so\n"
         "  tenon inspect model.so\n"
         "  tenon bench model.so --dim batch=1 --dim seq=128\n";
}

/// Runs at every exit, and before LLVM's streams end, which would abort where a
/// write had failed.
void checkStandardOutput() {
  outs().flush();
  errs().clear_error();
  std::error_code problem = outs().error();
  if (!problem)
    return;
  outs().clear_error();
  errs() << "tenon: error: cannot write standard output: " << problem.message()
         << "\n";
  errs().clear_error();
  _exit(1);
}

} // namespace

int tenon::reportError(StringRef command, const Twine &message) {
  errs() << "tenon " << command << ": error: " << message << "\n";
  return 1;
}

int tenon::reportError(StringRef command, Error error) {
  return reportError(command, Twine(toString(std::move(error))));
}

int main(int argc, char **argv) {
  InitLLVM init(argc, argv);
  // A file that has reached its limit is an error of the write.
  std::signal(SIGXFSZ, SIG_IGN);
  // In this order: what is registered last runs first.
  (void)outs();
  (void)errs();
  std::atexit(checkStandardOutput);
  StringRef word = argc > 1 ? argv[1] : "--help";
  if (word == "--help" || word == "-h" || word == "help") {
    // "tenon help run" is "tenon run --help".
    if (word == "help" && argc > 2) {
      static char option[] = "--help";
      argv[1] = argv[2];
      argv[2] = option;
      argc = 3;
      word = argv[1];
    } else {
      printHelp(outs());
      return argc > 1 ? 0 : 1;
    }
  }
  if (word == "--version" || word == "-version" || word == "version") {
    tenon::printVersion(outs());
    return 0;
  }
  const Command *command = find_if(
      kCommands, [&](const Command &command) { return command.name == word; });
  if (command == std::end(kCommands)) {
    const Command *nearest = nullptr;
    for (const Command &candidate : kCommands)
      if (word.edit_distance(candidate.name, true, 3) < 3)
        nearest = &candidate;
    errs() << "tenon: error: there is no command '" << word << "'";
    if (nearest)
      errs() << ", did you mean '" << nearest->name << "'?";
    errs() << "\nRun 'tenon --help' for the list.\n";
    return 1;
  }
  cl::SetVersionPrinter(tenon::printVersion);
  // With a stream for errors the parser returns instead of exiting. Its texts
  // point to the general help; the command's own is the useful one.
  std::string problems;
  raw_string_ostream stream(problems);
  if (!cl::ParseCommandLineOptions(argc, argv, "", &stream)) {
    SmallVector<StringRef> lines;
    StringRef(problems).split(lines, '\n', -1, /*KeepEmpty=*/false);
    for (StringRef line : lines) {
      line.consume_front(sys::path::filename(argv[0]));
      line.consume_front(": ");
      line = line.split("  Try:").first;
      line = line.split(" See:").first;
      errs() << "tenon " << word << ": error: " << line << "\n";
    }
    errs() << "Run 'tenon " << word << " --help' for the options.\n";
    return 1;
  }
  return command->run();
}
