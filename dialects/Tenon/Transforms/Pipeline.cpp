//===- Pipeline.cpp - the stage `graph` -----------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

void tenon::populateGraphPipeline(OpPassManager &pm) {
  OpPassManager &func = pm.nest<func::FuncOp>();
  // Shapes first: they turn data-dependent ops into static ones.
  func.addPass(createFoldShapesPass());
  func.addPass(createCanonicalizerPass());
  // What a loop unrolled computes of one constant is one.
  func.addPass(createCSEPass());
  func.addPass(createFoldConstantsPass());
  // The matchers compare values, so equal ones must be one.
  func.addPass(createCSEPass());
  func.addPass(createFoldIndicesPass());
  func.addPass(createFuseCellsPass());
  func.addPass(createHoistReshapesPass());
  func.addPass(createFuseSoftmaxPass());
  func.addPass(createFuseNormsPass());
  func.addPass(createFuseGeluPass());
  func.addPass(createFuseSiluPass());
  func.addPass(createCanonicalizerPass());
  func.addPass(createCSEPass());
  // Types and checks as the final ops imply them.
  func.addPass(createFoldShapesPass());
}
