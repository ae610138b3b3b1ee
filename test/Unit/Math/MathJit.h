//===- MathJit.h - expanded math operations as functions --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef TENON_TEST_UNIT_MATH_MATHJIT_H
#define TENON_TEST_UNIT_MATH_MATHJIT_H

#include "llvm/ADT/StringRef.h"
#include <cstddef>
#include <functional>
#include <memory>

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
  ~MathFunction();

  /// The lanes (or the scalar) at the pointers.
  void (*call)(const void *x, const void *y, void *out) = nullptr;

private:
  void build(llvm::StringRef op, llvm::StringRef element, unsigned lanes,
             unsigned operands, llvm::StringRef target);

  std::unique_ptr<llvm::orc::LLJIT> jit;
};

} // namespace tenon::test

#endif // TENON_TEST_UNIT_MATH_MATHJIT_H
