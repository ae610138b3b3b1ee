//===- ExpandMathEmitter.h - writing polynomials as MLIR --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A MathEmitter writes arithmetic on one float type, scalar or vector. No
// operation carries a fast-math flag. Two habits keep NaN, infinities and
// denormals right without branches:
//
//  * min and max with a constant are a compare and a select that let NaN pass
//    (one instruction, and exact);
//  * floats become integers only by adding a constant whose last bit is worth 1
//    and reading the mantissa, since fptosi is undefined for NaN. Whatever bits
//    a NaN gives there only scale another NaN.
//
//===----------------------------------------------------------------------===//

#ifndef TENON_LIB_CODEGEN_MATH_EXPANDMATHEMITTER_H
#define TENON_LIB_CODEGEN_MATH_EXPANDMATHEMITTER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/TypeUtilities.h"

namespace tenon {

class MathEmitter {
public:
  using Value = mlir::Value;
  using Pred = mlir::arith::CmpFPredicate;

  MathEmitter(mlir::OpBuilder &b, mlir::Location loc, mlir::Type type)
      : b(b), loc(loc), type(type) {}

  /// The same shape with another element type.
  MathEmitter as(mlir::Type element) const { return {b, loc, like(element)}; }
  MathEmitter asF32() const { return as(b.getF32Type()); }
  MathEmitter asF64() const { return as(b.getF64Type()); }
  bool isF64() const { return mlir::getElementTypeOrSelf(type).isF64(); }

  // --- floats ---------------------------------------------------------------
  Value f(double value) const {
    mlir::FloatType ft =
        mlir::cast<mlir::FloatType>(mlir::getElementTypeOrSelf(type));
    llvm::APFloat v(value);
    bool exact;
    v.convert(ft.getFloatSemantics(), llvm::APFloat::rmNearestTiesToEven,
              &exact);
    return constant(type, mlir::FloatAttr::get(ft, v));
  }
  Value add(Value x, Value y) const { return make<mlir::arith::AddFOp>(x, y); }
  Value sub(Value x, Value y) const { return make<mlir::arith::SubFOp>(x, y); }
  Value mul(Value x, Value y) const { return make<mlir::arith::MulFOp>(x, y); }
  Value div(Value x, Value y) const { return make<mlir::arith::DivFOp>(x, y); }
  Value fma(Value x, Value y, Value z) const {
    return make<mlir::math::FmaOp>(x, y, z);
  }
  Value neg(Value x) const { return make<mlir::arith::NegFOp>(x); }
  Value abs(Value x) const { return make<mlir::math::AbsFOp>(x); }
  Value sqrt(Value x) const { return make<mlir::math::SqrtOp>(x); }
  Value round(Value x) const { return make<mlir::math::RoundEvenOp>(x); }
  Value copysign(Value x, Value y) const {
    return make<mlir::math::CopySignOp>(x, y);
  }
  Value add(Value x, double y) const { return add(x, f(y)); }
  Value sub(Value x, double y) const { return sub(x, f(y)); }
  Value mul(Value x, double y) const { return mul(x, f(y)); }
  Value fma(Value x, double y, Value z) const { return fma(x, f(y), z); }
  Value fma(Value x, Value y, double z) const { return fma(x, y, f(z)); }
  Value fma(Value x, double y, double z) const { return fma(x, f(y), f(z)); }

  Value cmp(Pred p, Value x, Value y) const {
    return make<mlir::arith::CmpFOp>(p, x, y);
  }
  Value cmp(Pred p, Value x, double y) const { return cmp(p, x, f(y)); }
  Value select(Value c, Value x, Value y) const {
    return make<mlir::arith::SelectOp>(c, x, y);
  }
  Value select(Value c, double x, Value y) const { return select(c, f(x), y); }
  Value select(Value c, double x, double y) const {
    return select(c, f(x), f(y));
  }
  /// min and max with a constant; NaN stays.
  Value min(Value x, double c) const {
    return select(cmp(Pred::OGT, x, c), c, x);
  }
  Value max(Value x, double c) const {
    return select(cmp(Pred::OLT, x, c), c, x);
  }
  /// coefficients[0] + x*(coefficients[1] + x*(...)).
  Value horner(Value x, llvm::ArrayRef<double> coefficients) const {
    Value p = f(coefficients.back());
    for (double c : llvm::reverse(coefficients.drop_back()))
      p = fma(p, x, c);
    return p;
  }

  // --- conditions -----------------------------------------------------------
  Value both(Value x, Value y) const { return make<mlir::arith::AndIOp>(x, y); }

  // --- bits -----------------------------------------------------------------
  mlir::Type intType() const {
    return like(b.getIntegerType(isF64() ? 64 : 32));
  }
  Value i(uint64_t value) const {
    mlir::Type it = intType();
    unsigned width = isF64() ? 64 : 32;
    return constant(
        it, mlir::IntegerAttr::get(mlir::getElementTypeOrSelf(it),
                                   llvm::APInt(64, value).trunc(width)));
  }
  Value bits(Value x) const {
    return make<mlir::arith::BitcastOp>(intType(), x);
  }
  Value fromBits(Value x) const {
    return make<mlir::arith::BitcastOp>(type, x);
  }
  Value shl(Value x, unsigned n) const {
    return make<mlir::arith::ShLIOp>(x, i(n));
  }
  Value lshr(Value x, unsigned n) const {
    return make<mlir::arith::ShRUIOp>(x, i(n));
  }
  Value addI(Value x, Value y) const { return make<mlir::arith::AddIOp>(x, y); }
  Value subI(Value x, Value y) const { return make<mlir::arith::SubIOp>(x, y); }
  Value andI(Value x, Value y) const { return make<mlir::arith::AndIOp>(x, y); }
  Value orI(Value x, Value y) const { return make<mlir::arith::OrIOp>(x, y); }
  Value xorI(Value x, Value y) const { return make<mlir::arith::XOrIOp>(x, y); }
  /// Whether the last bit of an integer is set.
  Value isOdd(Value x) const {
    return make<mlir::arith::CmpIOp>(mlir::arith::CmpIPredicate::ne,
                                     andI(x, i(1)), i(0));
  }

  // --- conversions into this type -------------------------------------------
  Value extend(Value x) const { return make<mlir::arith::ExtFOp>(type, x); }
  Value truncate(Value x) const { return make<mlir::arith::TruncFOp>(type, x); }

private:
  template <typename OpTy, typename... Args>
  Value make(Args &&...args) const {
    return OpTy::create(b, loc, std::forward<Args>(args)...);
  }
  Value constant(mlir::Type t, mlir::TypedAttr element) const {
    mlir::TypedAttr attr = element;
    if (auto shaped = mlir::dyn_cast<mlir::ShapedType>(t))
      attr = mlir::DenseElementsAttr::get(shaped, mlir::Attribute(element));
    return mlir::arith::ConstantOp::create(b, loc, t, attr);
  }
  mlir::Type like(mlir::Type element) const {
    if (auto vector = mlir::dyn_cast<mlir::VectorType>(type))
      return vector.clone(element);
    return element;
  }

  mlir::OpBuilder &b;
  mlir::Location loc;
  mlir::Type type;
};

// --- f32 (ExpandMathF32.cpp): the functions that models spend time in --------
mlir::Value expF32(const MathEmitter &e, mlir::Value x);
/// For x <= 0 only; 0 below -87.
mlir::Value expNonPositiveF32(const MathEmitter &e, mlir::Value x);
mlir::Value exp2F32(const MathEmitter &e, mlir::Value x);
mlir::Value expm1F32(const MathEmitter &e, mlir::Value x);
mlir::Value logF32(const MathEmitter &e, mlir::Value x);
mlir::Value log2F32(const MathEmitter &e, mlir::Value x);
mlir::Value erfF32(const MathEmitter &e, mlir::Value x);
mlir::Value tanhF32(const MathEmitter &e, mlir::Value x);
mlir::Value sinF32(const MathEmitter &e, mlir::Value x);
mlir::Value cosF32(const MathEmitter &e, mlir::Value x);
mlir::Value tanF32(const MathEmitter &e, mlir::Value x);
mlir::Value powF32(const MathEmitter &e, mlir::Value x, mlir::Value y);

/// Activations, which are emitted as such: GELU, GELU by tanh, SiLU.
mlir::Value geluF32(const MathEmitter &e, mlir::Value x);
mlir::Value geluTanhF32(const MathEmitter &e, mlir::Value x);
mlir::Value siluF32(const MathEmitter &e, mlir::Value x);

// --- f64 (ExpandMathF64*.cpp); the rest of f32 goes through these ------------
mlir::Value expF64(const MathEmitter &e, mlir::Value x);
mlir::Value exp2F64(const MathEmitter &e, mlir::Value x);
mlir::Value expm1F64(const MathEmitter &e, mlir::Value x);
mlir::Value logF64(const MathEmitter &e, mlir::Value x);
mlir::Value log2F64(const MathEmitter &e, mlir::Value x);
mlir::Value log1pF64(const MathEmitter &e, mlir::Value x);
mlir::Value erfF64(const MathEmitter &e, mlir::Value x);
mlir::Value tanhF64(const MathEmitter &e, mlir::Value x);
mlir::Value sinF64(const MathEmitter &e, mlir::Value x);
mlir::Value cosF64(const MathEmitter &e, mlir::Value x);
mlir::Value tanF64(const MathEmitter &e, mlir::Value x);
mlir::Value asinF64(const MathEmitter &e, mlir::Value x);
mlir::Value acosF64(const MathEmitter &e, mlir::Value x);
mlir::Value atanF64(const MathEmitter &e, mlir::Value x);
mlir::Value sinhF64(const MathEmitter &e, mlir::Value x);
mlir::Value coshF64(const MathEmitter &e, mlir::Value x);
mlir::Value asinhF64(const MathEmitter &e, mlir::Value x);
mlir::Value acoshF64(const MathEmitter &e, mlir::Value x);
mlir::Value atanhF64(const MathEmitter &e, mlir::Value x);
mlir::Value powF64(const MathEmitter &e, mlir::Value x, mlir::Value y);

/// sin(r)/cos(r) for |r| <= pi/4, in double.
mlir::Value tanReducedF64(const MathEmitter &e, mlir::Value r,
                          mlir::Value oddQuadrant);

/// What pow does with signs, zeros, infinities and NaN (C99 F.9.4.4), given
/// the power of the magnitudes.
mlir::Value powSpecialCases(const MathEmitter &e, mlir::Value x, mlir::Value y,
                            mlir::Value magnitude);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_MATH_EXPANDMATHEMITTER_H
