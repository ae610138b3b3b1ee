//===- OwnLengths.h - sequences of unequal lengths in one run ---*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A graph of pasts that grow has one length for all sequences, that of the
// longest. To it a shorter one is padded on the left: row r of its cache is
// column r + padding of the mask. An attention that knows how many rows each
// sequence has (`ends` of tenon.load_pages) reads no others, at the columns
// that are theirs. That is right where
//
//   - attentions alone read what grows, keys in pages, keys and values of each
//     from such states;
//   - a mask made of positions is the same for a query and a key that are both
//     further on: what is compared is their distance;
//   - nothing else is made of the past's length: positions count from the rows
//     of each sequence already (tenon-find-state).
//
// What the model makes of its inputs' columns, such as an attention mask, is
// for sequences that are padded on the left by definition.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_OWNLENGTHS_H
#define TENON_LIB_CODEGEN_FORM_OWNLENGTHS_H

#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace tenon {

/// The two products of an attention, and what stands between.
struct AttentionProducts {
  PackedMatMulOp scores;
  SoftmaxOp softmax;
  PackedMatMulOp output;
  /// The last of the pointwise ops on what the softmax gives, or that itself.
  mlir::Operation *getWeights() { return output.getLhs().getDefiningOp(); }
};

/// Lets sequences have lengths of their own in all attentions of `main`, or in
/// none: then a remark says why, and tenon.stored_rows become the past's
/// length. With `must` it is an error, and so is a state that does not lie in
/// pages.
llvm::LogicalResult takeOwnLengths(mlir::func::FuncOp main,
                                   llvm::ArrayRef<AttentionProducts> attentions,
                                   bool must);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_OWNLENGTHS_H
