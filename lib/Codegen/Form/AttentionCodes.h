//===- AttentionCodes.h - attention's products of codes ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_ATTENTIONCODES_H
#define TENON_LIB_CODEGEN_FORM_ATTENTIONCODES_H

#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonReduce.h"

namespace tenon {

class MatMulOp;

/// Does a softmax read what pointwise ops make of it?
bool isOfScores(MatMulOp op);
/// Do pointwise ops make it of what a softmax gives?
bool isOfProbabilities(mlir::Value v);

/// A product of codes, or of bf16, that the model computes, both of them.
bool isOfCodes(PackedMatMulOp product);

/// Does the product alone read the rows of its left operand? Of codes an
/// epilogue of it (anchorOf says of an op whose it is part of) may read the
/// sums of the rows as well, for a zero point: then the ops that make what it
/// reads; nullopt where something else reads the rows.
std::optional<llvm::SmallVector<mlir::Operation *>> readsRowsAlone(
    PackedMatMulOp product,
    llvm::function_ref<mlir::Operation *(mlir::Operation *)> anchorOf);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_ATTENTIONCODES_H
