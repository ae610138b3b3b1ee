//===- tenon-opt.cpp - run passes on MLIR text ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// mlir-opt with Tenon's dialect and passes: the tool that tests one pass, or a
// few of them, on a file. Upstream's passes are all there, so that a test can
// continue where Tenon's own passes stop.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonDialect.h"
#include "dialects/Tenon/Transforms/Passes.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "tenon/Codegen/Passes.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  registry.insert<tenon::TenonDialect>();

  mlir::registerAllPasses();
  tenon::registerTenonTransformsPasses();
  tenon::registerTenonCodegenPasses();

  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "Tenon's optimiser driver\n", registry));
}
