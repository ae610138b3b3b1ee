//===- AttentionOps.h - what an attention kernel is made of -----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_ATTENTIONOPS_H
#define TENON_LIB_CODEGEN_EMIT_ATTENTIONOPS_H

#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "lib/Codegen/Emit/FusedProduct.h"

namespace tenon {

/// The ops of a kernel's region, and the keys and values in memory.
struct AttentionOps {
  PackedMatMulOp qk;
  SoftmaxOp softmax;
  PackedMatMulOp pv;
  PackedOperand K, V;

  /// nullopt where the kernel is not matmul, softmax, matmul of stored
  /// operands, or one of finished rows that the caller does not know.
  static std::optional<AttentionOps> find(KernelOp kernel,
                                          bool knowsFinished = false);
  /// Do pointwise ops stand between the softmax and the second product?
  bool finishesRows() { return pv.getLhs() != softmax.getResult(); }
  /// So many neighbouring matrices of the products, row-major, read the same
  /// keys and the same values (heads of one key head); 0 without any matrix.
  int64_t countSharers();
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_ATTENTIONOPS_H
