//===- tenon-opt.cpp - run passes on MLIR text ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// mlir-opt with Tenon's dialect and passes: the tool that tests one pass, or a
// few of them, on a file. The stages of `tenon compile` are pipelines here, such
// as --tenon-graph. Upstream's passes are all there, so that a test can continue
// where Tenon's own passes stop.
//
//===----------------------------------------------------------------------===//
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "tenon/Pipelines/Pipelines.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  tenon::registerDialects(registry);

  mlir::registerAllPasses();
  tenon::registerPasses();

  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "Tenon's optimiser driver\n", registry));
}
