//===- MathJit.h - expanded math operations as functions --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef TENON_TEST_UNIT_MATH_MATHJIT_H
#define TENON_TEST_UNIT_MATH_MATHJIT_H

#include "lib/Codegen/Math/ExpandMathEmitter.h"
#include "llvm/ADT/StringRef.h"
#include <cstddef>
#include <memory>
#include <string>

namespace llvm::orc {
class LLJIT;
} // namespace llvm::orc

namespace tenon::test {

/// `math.<op>` on vectors of `lanes` (0: scalars), expanded and compiled for a
/// target.
class MathFunction {
public:
  /// `operands` is 1 or 2; `element` "f32" or the like.
  MathFunction(llvm::StringRef op, llvm::StringRef element, unsigned lanes,
               unsigned operands, llvm::StringRef target = "native");
  /// What a function of ExpandMathEmitter.h writes.
  MathFunction(mlir::Value (*emit)(const tenon::MathEmitter &, mlir::Value),
               llvm::StringRef element, unsigned lanes,
               llvm::StringRef target = "native");
  MathFunction(MathFunction &&) = default;
  ~MathFunction();

  /// The lanes (or the scalar) at the pointers.
  void (*call)(const void *x, const void *y, void *out) = nullptr;

private:
  friend MathFunction convert(llvm::StringRef, llvm::StringRef, unsigned,
                              llvm::StringRef);
  MathFunction() = default;
  /// `body` computes %2 of type `to` from %0 and %1 of type `from`; with
  /// `emit`, which takes its first operand, it only holds the place.
  void build(const std::string &body, const std::string &from,
             const std::string &to, llvm::StringRef target,
             mlir::Value (*emit)(const tenon::MathEmitter &,
                                 mlir::Value) = nullptr);

  std::unique_ptr<llvm::orc::LLJIT> jit;
};

/// arith.extf or arith.truncf between two element types.
MathFunction convert(llvm::StringRef from, llvm::StringRef to, unsigned lanes,
                     llvm::StringRef target);

} // namespace tenon::test

#endif // TENON_TEST_UNIT_MATH_MATHJIT_H
