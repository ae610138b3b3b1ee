//===- tenon-opt.cpp - run passes on MLIR text ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// mlir-opt with Tenon's dialect and passes: the tool that tests one pass, or a
// few of them, on a file. The stages of `tenon compile` are pipelines here,
// such as --tenon-graph. Upstream's passes are all there, so that a test can
// continue where Tenon's own passes stop.
//
//===----------------------------------------------------------------------===//
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "tenon/Pipelines/PassRemarks.h"
#include "tenon/Pipelines/Pipelines.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/ToolOutputFile.h"

/// Was --mlir-pass-statistics given? MLIR keeps it to itself.
static bool wantsStatistics() {
  auto &options = llvm::cl::getRegisteredOptions();
  auto it = options.find("mlir-pass-statistics");
  return it != options.end() && it->second->getNumOccurrences() != 0;
}

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  tenon::registerDialects(registry);

  mlir::registerAllPasses();
  tenon::registerPasses();

  llvm::InitLLVM init(argc, argv);
  auto [input, output] = mlir::registerAndParseCLIOptions(
      argc, argv, "Tenon's optimiser driver\n", registry);
  if (!wantsStatistics())
    return mlir::asMainReturnCode(
        mlir::MlirOptMain(argc, argv, input, output, registry));

  std::string problem;
  auto from = mlir::openInputFile(input, &problem);
  auto to = from ? mlir::openOutputFile(output, &problem) : nullptr;
  if (!to) {
    llvm::errs() << problem << "\n";
    return EXIT_FAILURE;
  }
  tenon::PassStatistics statistics;
  auto given = mlir::MlirOptMainConfig::createFromCLOptions();
  mlir::MlirOptMainConfig config = given;
  config.setPassPipelineSetupFn([&](mlir::PassManager &passes) {
    tenon::collectPassRemarks(
        *passes.getContext(),
        [&](const tenon::PassRemark &remark) { statistics.add(remark); });
    return given.setupPassPipeline(passes);
  });
  llvm::LogicalResult result =
      mlir::MlirOptMain(to->os(), std::move(from), registry, config);
  // Below MLIR's report, which has nothing where LLVM counts nothing.
  statistics.print(llvm::errs());
  if (result.succeeded())
    to->keep();
  return mlir::asMainReturnCode(result);
}
