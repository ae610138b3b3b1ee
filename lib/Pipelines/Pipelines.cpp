//===- Pipelines.cpp - the stages as pass pipelines -----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tenon/Pipelines/Pipelines.h"
#include "dialects/Tenon/IR/TenonOpBase.h"
#include "dialects/Tenon/Transforms/Passes.h"
#include "mlir/Conversion/NVVMToLLVM/NVVMToLLVM.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Transforms/Passes.h"
#include "tenon/Codegen/Backend.h"
#include "tenon/Codegen/Passes.h"

using namespace mlir;

namespace tenon {

static constexpr StringRef stageNames[] = {"import", "graph",  "fuse",
                                           "tile",   "vector", "buffer",
                                           "llvm",   "object", "ptx"};

std::optional<Stage> parseStage(StringRef name) {
  for (auto [i, s] : llvm::enumerate(stageNames))
    if (s == name)
      return (Stage)i;
  return std::nullopt;
}

StringRef stageName(Stage stage) { return stageNames[(int)stage]; }

void populateGraphStage(OpPassManager &pm, bool debugValues, bool state,
                        OutputRows rows) {
  // With debug values each node keeps its own result: nothing is recovered.
  if (debugValues)
    return;
  populateGraphPipeline(pm);
  if (state)
    pm.nest<func::FuncOp>().addPass(createFindStatePass());
  if (rows == OutputRows::All)
    return;
  SelectRowsPassOptions options;
  options.last = rows == OutputRows::Last;
  pm.nest<func::FuncOp>().addPass(createSelectRowsPass(options));
}

void populateFuseStage(OpPassManager &pm, bool debugValues,
                       const TilingOptions &tiling, const Backend &backend,
                       LayoutOptions layout) {
  pm.addPass(createFlattenNormsPass());
  if (backend.copiesRows() && !debugValues)
    pm.addPass(createWidenConvsPass());
  pm.addPass(createFlushTinyWeightsPass());
  pm.addPass(createLowerConvPass());
  layout.merge &= !debugValues;
  layout.winograd &= !debugValues;
  backend.populateLayout(pm, layout);
  if (!debugValues) {
    pm.addPass(createCanonicalizerPass());
    pm.addPass(createCSEPass());
    pm.addPass(createHoistInvariantsPass());
  }
  FormKernelsPassOptions options;
  options.materializeAll = debugValues;
  options.kv = layout.kv;
  options.ragged = layout.ragged;
  if (!backend.copiesRows()) {
    options.prologueColumns = 0;
    options.gathersRows = false;
    options.widensImages = false;
  }
  options.finishedRows = backend.finishesRows();
  options.turnedTiles = backend.turnsTiles();
  pm.addPass(createFormKernelsPass(options));
  if (layout.winograd)
    pm.addPass(createChooseProductsPass());
  populateTiling(pm, backend, tiling);
}

void populateTiling(OpPassManager &pm, const Backend &backend,
                    const TilingOptions &tiling) {
  TilePassOptions tile;
  tile.family = backend.getFamily().str();
  tile.from = tiling.file;
  tile.candidate = tiling.candidate;
  tile.products = tiling.products;
  tile.warpgroups = tiling.warpgroups;
  pm.addPass(createTilePass(tile));
}

void populateWeightLayout(OpPassManager &pm) {
  pm.addPass(createLayColumnsPass());
}

void populateVectorStage(OpPassManager &pm) {
  OpPassManager &functions = pm.nest<func::FuncOp>();
  functions.addPass(createCanonicalizerPass());
  functions.addPass(createCSEPass());
  functions.addPass(createLoopInvariantCodeMotionPass());
  functions.addPass(createExpandMathPass());
  functions.addPass(createCSEPass());
  // A kernel's row counts may be known by now: not every micro-kernel is
  // called.
  pm.addPass(createSymbolDCEPass());
}

void populateBufferStage(OpPassManager &pm) {
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createConvertIndexToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createUBToLLVMConversionPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  pm.addPass(createCSEPass());
}

void populateGpuBufferStage(OpPassManager &pm) {
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createGpuToLLVMPass());
  pm.addPass(createConvertNVVMToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  pm.addPass(createCSEPass());
}

void registerPasses() {
  registerTenonTransformsPasses();
  registerTenonCodegenPasses();
  PassPipelineRegistration<>(
      "tenon-graph", "The stage import -> graph",
      [](OpPassManager &pm) { populateGraphStage(pm, false); });
  PassPipelineRegistration<>("tenon-fuse", "The stage graph -> fuse",
                             [](OpPassManager &pm) {
                               populateFuseStage(pm, false, {}, cpuBackend());
                             });
  PassPipelineRegistration<>("tenon-vector", "The stage tile -> vector",
                             populateVectorStage);
  PassPipelineRegistration<>("tenon-buffer", "The stage vector -> buffer",
                             populateBufferStage);
  PassPipelineRegistration<>("tenon-gpu-buffer",
                             "The stage vector -> buffer, of a GPU",
                             populateGpuBufferStage);
}

void registerDialects(DialectRegistry &registry) {
  registry.insert<TenonDialect, arith::ArithDialect, cf::ControlFlowDialect,
                  func::FuncDialect, LLVM::LLVMDialect, math::MathDialect,
                  memref::MemRefDialect, NVVM::NVVMDialect, scf::SCFDialect,
                  vector::VectorDialect>();
  registerConvertNVVMToLLVMInterface(registry);
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
}

} // namespace tenon
