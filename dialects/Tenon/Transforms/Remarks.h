//===- Remarks.h - what passes say of themselves ----------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Passes tell MLIR's remark engine, where the context has one, what they did
// and what they did not do and why. `tenon compile --explain` shows that, and
// --mlir-pass-statistics counts it: Pass::Statistic counts nothing in an LLVM
// that is built without assertions.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_REMARKS_H
#define TENON_TRANSFORMS_REMARKS_H

#include "mlir/Pass/Pass.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace tenon {

/// applyPatternsGreedily, with a remark for each pattern that was applied. Of
/// a pattern that was not, the reason of its last attempt counts (the text of
/// notifyMatchFailure), for ops that are still there at the end.
llvm::LogicalResult applyPatterns(mlir::Pass &pass, mlir::Operation *op,
                                  mlir::RewritePatternSet &&patterns,
                                  mlir::GreedyRewriteConfig config = {});

/// Remarks for what a pass without patterns did to an op, and did not and why.
void noteApplied(llvm::StringRef pass, mlir::Operation *op,
                 llvm::StringRef what);
void noteMissed(llvm::StringRef pass, mlir::Operation *op, llvm::StringRef what,
                llvm::StringRef reason);

/// "node 'x' (tenon.add)": the ONNX node that the op is of, or the first one.
std::string nodeOf(mlir::Operation *op);

} // namespace tenon

#endif // TENON_TRANSFORMS_REMARKS_H
