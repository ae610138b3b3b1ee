//===- ExpandMath.cpp - math operations without libm ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// `tenon-expand-math`: each operation is replaced by the polynomial for its
// element type. f16 and bf16 are computed in f32; of f32, what models spend
// time in has its own code, the rest is computed in f64 and rounded once.
//
//===----------------------------------------------------------------------===//

#include "tenon/Codegen/ExpandMath.h"
#include "lib/Codegen/Math/ExpandMathEmitter.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"

namespace tenon {
#define GEN_PASS_DEF_EXPANDMATHPASS
#include "lib/Codegen/Math/ExpandMath.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;

namespace {

using Expansion = Value (*)(const MathEmitter &, ArrayRef<Value>);

template <Value (*function)(const MathEmitter &, Value)>
Value unary(const MathEmitter &e, ArrayRef<Value> args) {
  return function(e, args[0]);
}

template <Value (*function)(const MathEmitter &, Value, Value)>
Value binary(const MathEmitter &e, ArrayRef<Value> args) {
  return function(e, args[0], args[1]);
}

/// f32 by way of f64.
template <Value (*function)(const MathEmitter &, Value)>
Value throughF64(const MathEmitter &e, ArrayRef<Value> args) {
  MathEmitter d = e.asF64();
  return e.truncate(function(d, d.extend(args[0])));
}

template <typename OpTy>
struct ExpandOp : OpRewritePattern<OpTy> {
  ExpandOp(MLIRContext *context, Expansion f32, Expansion f64)
      : OpRewritePattern<OpTy>(context), f32(f32), f64(f64) {}

  LogicalResult matchAndRewrite(OpTy op,
                                PatternRewriter &rewriter) const override {
    Type type = op.getType();
    Type element = getElementTypeOrSelf(type);
    if (type != element && !isa<VectorType>(type))
      return rewriter.notifyMatchFailure(op, "neither scalar nor vector");
    SmallVector<Value> args(op->getOperands());
    MathEmitter e(rewriter, op.getLoc(), type);
    if (element.isF64()) {
      rewriter.replaceOp(op, f64(e, args));
      return success();
    }
    if (element.isF32()) {
      rewriter.replaceOp(op, f32(e, args));
      return success();
    }
    if (!element.isF16() && !element.isBF16())
      return rewriter.notifyMatchFailure(op, "no such float type");
    MathEmitter wide = e.asF32();
    for (Value &arg : args)
      arg = wide.extend(arg);
    rewriter.replaceOp(op, e.truncate(f32(wide, args)));
    return success();
  }

  Expansion f32, f64;
};

/// The exponential that a softmax asks for with `afn` (LaneBuilder.h).
struct ExpandSoftmaxExp : OpRewritePattern<math::ExpOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(math::ExpOp op,
                                PatternRewriter &rewriter) const override {
    if (!getElementTypeOrSelf(op.getType()).isF32() ||
        !arith::bitEnumContainsAll(op.getFastmath(), arith::FastMathFlags::afn))
      return rewriter.notifyMatchFailure(op, "not an approximate f32 exp");
    MathEmitter e(rewriter, op.getLoc(), op.getType());
    rewriter.replaceOp(op, expNonPositiveF32(e, op.getOperand()));
    return success();
  }
};

struct ExpandMath : ::tenon::impl::ExpandMathPassBase<ExpandMath> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    populateExpandMathPatterns(patterns);
    walkAndApplyPatterns(getOperation(), std::move(patterns));
  }
};

} // namespace

void tenon::populateExpandMathPatterns(RewritePatternSet &p) {
  MLIRContext *c = p.getContext();
  p.add<ExpandSoftmaxExp>(c, /*benefit=*/2);
  p.add<ExpandOp<math::ExpOp>>(c, unary<expF32>, unary<expF64>);
  p.add<ExpandOp<math::Exp2Op>>(c, unary<exp2F32>, unary<exp2F64>);
  p.add<ExpandOp<math::ExpM1Op>>(c, unary<expm1F32>, unary<expm1F64>);
  p.add<ExpandOp<math::LogOp>>(c, unary<logF32>, unary<logF64>);
  p.add<ExpandOp<math::Log2Op>>(c, unary<log2F32>, unary<log2F64>);
  p.add<ExpandOp<math::Log1pOp>>(c, throughF64<log1pF64>, unary<log1pF64>);
  p.add<ExpandOp<math::ErfOp>>(c, unary<erfF32>, unary<erfF64>);
  p.add<ExpandOp<math::TanhOp>>(c, unary<tanhF32>, unary<tanhF64>);
  p.add<ExpandOp<math::SinOp>>(c, unary<sinF32>, unary<sinF64>);
  p.add<ExpandOp<math::CosOp>>(c, unary<cosF32>, unary<cosF64>);
  p.add<ExpandOp<math::TanOp>>(c, unary<tanF32>, unary<tanF64>);
  p.add<ExpandOp<math::AsinOp>>(c, throughF64<asinF64>, unary<asinF64>);
  p.add<ExpandOp<math::AcosOp>>(c, throughF64<acosF64>, unary<acosF64>);
  p.add<ExpandOp<math::AtanOp>>(c, throughF64<atanF64>, unary<atanF64>);
  p.add<ExpandOp<math::SinhOp>>(c, throughF64<sinhF64>, unary<sinhF64>);
  p.add<ExpandOp<math::CoshOp>>(c, throughF64<coshF64>, unary<coshF64>);
  p.add<ExpandOp<math::AsinhOp>>(c, throughF64<asinhF64>, unary<asinhF64>);
  p.add<ExpandOp<math::AcoshOp>>(c, throughF64<acoshF64>, unary<acoshF64>);
  p.add<ExpandOp<math::AtanhOp>>(c, throughF64<atanhF64>, unary<atanhF64>);
  p.add<ExpandOp<math::PowFOp>>(c, binary<powF32>, binary<powF64>);
}
