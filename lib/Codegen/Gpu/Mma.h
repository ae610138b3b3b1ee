//===- Mma.h - products of tensor cores -------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// mma.sync multiplies 16 rows by 8 columns, with 32 threads that hold a few
// elements of each operand. With g = lane / 4 and t = lane % 4 a thread has
//
//   C: rows g and g + 8, columns 2t and 2t + 1
//   A, 8 of K (tf32):      rows g and g + 8, k = t and t + 4
//   B, 8 of K:             k = t and t + 4, column g
//   A, 16 of K (16 bits):  rows g and g + 8, k = 2t, 2t + 1, and these + 8
//   B, 16 of K:            k = 2t, 2t + 1, and these + 8, column g
//   A, 32 of K (8 bits):   rows g and g + 8, k = 4t to 4t + 3, and these + 16
//   B, 32 of K:            k = 4t to 4t + 3, and these + 16, column g
//
// What operands are multiplied as is the tiling's `products`: tf32 and the
// 16-bit types round f32; tf32x3 takes each operand as the sum of two tf32, and
// three products of these, which is as exact as f32. i8 are integers, A's
// without a sign and B's with one, whose sums are i32 and wrap.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_GPU_MMA_H
#define TENON_LIB_CODEGEN_GPU_MMA_H

#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

inline constexpr int64_t kMmaRows = 16, kMmaColumns = 8;

/// The multiplications of one thread, `products` of a kind.
class Mma {
public:
  Mma(KernelEmitter &e, MmaProducts products) : e(e), products(products) {}

  bool isNarrow() const {
    return products == MmaProducts::bf16 || products == MmaProducts::f16;
  }
  bool isInteger() const { return products == MmaProducts::i8; }
  /// Of K at a time.
  int64_t depth() const { return isInteger() ? 32 : isNarrow() ? 16 : 8; }
  /// What sums are.
  mlir::Type sumType() const {
    return isInteger() ? mlir::Type(e.b.getI32Type())
                       : mlir::Type(e.b.getF32Type());
  }
  /// The 16-bit type that is multiplied; null where there is none.
  mlir::Type narrowType() const {
    return products == MmaProducts::f16    ? mlir::Type(e.b.getF16Type())
           : products == MmaProducts::bf16 ? mlir::Type(e.b.getBF16Type())
                                           : mlir::Type();
  }

  /// An operand's registers: as they are rounded, and of tf32x3 what that left.
  struct Fragment {
    llvm::SmallVector<mlir::Value> high, low;
  };
  /// Element number i of a thread's registers is `element(outer, k)`: row of A
  /// (0 or 8, from g on) or column of B (0, of g), and which of its ks: the k
  /// itself less t (tf32) or 2t (16 bits). It is f32, or of the type that is
  /// multiplied; integers are loaded a register at a time (`high`).
  using Element = llvm::function_ref<mlir::Value(int64_t outer, int64_t k)>;
  Fragment loadA(Element element) const;
  Fragment loadB(Element element) const;
  /// c + A * B; c is four sums.
  llvm::SmallVector<mlir::Value> multiply(const Fragment &a, const Fragment &b,
                                          mlir::ValueRange c) const;

  /// To the nearest tf32, an i32 whose 13 lowest bits are not looked at.
  mlir::Value roundTF32(mlir::Value x) const;
  MmaProducts getProducts() const { return products; }

private:
  Fragment load(llvm::ArrayRef<int64_t> outer, Element element) const;
  mlir::Value multiplyOnce(mlir::ValueRange a, mlir::ValueRange b,
                           mlir::ValueRange c) const;
  llvm::SmallVector<mlir::Value> unpack(mlir::Value fields) const;

  KernelEmitter &e;
  MmaProducts products;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_GPU_MMA_H
