//===- FewTerms.cpp - convolutions whose sums are short -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Form/FewTerms.h"
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Form/ChannelsLast.h"

using namespace mlir;

namespace tenon {

bool hasFewTerms(int64_t terms, int64_t run, int64_t apart) {
  constexpr int64_t most = 64, mostOfRun = 32, mostMeeting = 8;
  int64_t meeting = llvm::divideCeil(run, apart); // an element, neighbours
  return terms <= most && run <= mostOfRun && meeting <= mostMeeting;
}

bool turnsTiles(PackedMatMulOp product, TransposeOp transpose) {
  // Of more channels an image is read in place in parts; of a larger weight a
  // task has some columns alone; and fewer columns have their lanes elsewhere.
  constexpr int64_t channels = 4, weight = 16384, fewest = 16, lanes = 8;
  auto patches = product.getLhs().getDefiningOp<Im2ColOp>();
  if (!patches || !product.getLhs().hasOneUse() || !patches.getChannelsLast() ||
      product.getFormatAttr() || matricesOf(product) > 1 ||
      !patchesOverlap(patches.getKernel(), patches.getStrides(),
                      patches.getDilations()) ||
      transpose.getPerm() != ArrayRef<int64_t>{0, 2, 1} ||
      !getElementTypeOrSelf(patches.getResult().getType()).isF32() ||
      !getElementTypeOrSelf(transpose.getResult().getType()).isF32())
    return false;
  int64_t terms = getDims(product.getLhs()).back().constant().value_or(0),
          columns = getDims(product.getResult()).back().constant().value_or(0),
          ofPixel = getDims(patches.getInput()).back().constant().value_or(0);
  if (ofPixel == 0 || ofPixel > channels)
    return false;
  bool joined = patches.getDilations().back() == 1;
  int64_t run = joined ? ofPixel * patches.getKernel().back() : ofPixel;
  return terms > 0 &&
         hasFewTerms(terms, run, ofPixel * patches.getStrides().back()) &&
         terms * columns <= weight && columns >= fewest &&
         (columns >= kPanelColumns || columns % lanes == 0);
}

} // namespace tenon
