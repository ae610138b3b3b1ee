//===- Patterns.h - the patterns of graph passes ----------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_PATTERNS_H
#define TENON_TRANSFORMS_PATTERNS_H

#include "mlir/IR/PatternMatch.h"

namespace tenon {

/// The patterns of the passes of the same name, for others to compose.
void populateFuseGeluPatterns(mlir::RewritePatternSet &patterns);
void populateFuseNormsPatterns(mlir::RewritePatternSet &patterns);
void populateFuseSiluPatterns(mlir::RewritePatternSet &patterns);
void populateFuseSoftmaxPatterns(mlir::RewritePatternSet &patterns);

} // namespace tenon

#endif // TENON_TRANSFORMS_PATTERNS_H
