//===- RunOptions.cpp - options of what runs artifacts --------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "RunOptions.h"

using namespace llvm;

namespace tenon {

cl::SubCommand &runCommand() {
  static cl::SubCommand command("run", "Run an artifact on .npy files");
  return command;
}

cl::SubCommand &benchCommand() {
  static cl::SubCommand command("bench", "Measure how fast an artifact runs");
  return command;
}

cl::SubCommand &compareCommand() {
  static cl::SubCommand command(
      "compare", "Compare an artifact's values with onnxruntime's");
  return command;
}

cl::SubCommand &tuneCommand() {
  static cl::SubCommand command("tune",
                                "Measure how a model's kernels are best cut");
  return command;
}

cl::list<std::string>
    inputs("input", cl::value_desc("NAME=FILE.npy"),
           cl::desc("An input's values; run needs every input that inspect "
                    "does not call optional, others fill them at random"),
           cl::sub(runCommand()), cl::sub(benchCommand()),
           cl::sub(compareCommand()), cl::sub(tuneCommand()));
cl::list<std::string>
    dimSettings("dim", cl::value_desc("name=N"),
                cl::desc("A dim of the random inputs; sequences are 128 long "
                         "and the rest 1 where not given"),
                cl::sub(benchCommand()), cl::sub(compareCommand()),
                cl::sub(tuneCommand()));
cl::opt<int> threads("threads", cl::value_desc("n"),
                     cl::desc("Threads; as many as the process may use where "
                              "not given"),
                     cl::sub(runCommand()), cl::sub(benchCommand()),
                     cl::sub(compareCommand()), cl::sub(tuneCommand()));
static cl::opt<bool> oversubscribe("oversubscribe",
                                   cl::desc("Allow more threads than that"),
                                   cl::sub(runCommand()),
                                   cl::sub(benchCommand()),
                                   cl::sub(compareCommand()));
static cl::opt<std::string>
    level("level", cl::value_desc("name"),
          cl::desc("Instruction set level; the best that the CPU has where not "
                   "given"),
          cl::sub(runCommand()), cl::sub(benchCommand()),
          cl::sub(compareCommand()));
static cl::opt<std::string>
    device("device", cl::value_desc("auto|cpu|cuda[:N]"),
           cl::desc("Where it runs: auto, a GPU where that is possible, where "
                    "not given"),
           cl::sub(runCommand()), cl::sub(benchCommand()),
           cl::sub(compareCommand()));
static cl::opt<std::string>
    weights("weights", cl::value_desc("file"),
            cl::desc("The weights' file, where it is not beside the artifact"),
            cl::sub(runCommand()), cl::sub(benchCommand()),
            cl::sub(compareCommand()));

SessionOptions sessionOptions() {
  SessionOptions options;
  options.threads = threads;
  options.level = level;
  options.device = device;
  options.weights = weights;
  options.oversubscribe = oversubscribe;
  return options;
}

} // namespace tenon
