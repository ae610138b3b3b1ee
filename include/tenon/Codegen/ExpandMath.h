//===- ExpandMath.h - math operations as polynomials ------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef TENON_CODEGEN_EXPANDMATH_H
#define TENON_CODEGEN_EXPANDMATH_H

namespace mlir {
class RewritePatternSet;
} // namespace mlir

namespace tenon {

/// Adds the patterns of `tenon-expand-math`.
void populateExpandMathPatterns(mlir::RewritePatternSet &patterns);

} // namespace tenon

#endif // TENON_CODEGEN_EXPANDMATH_H
