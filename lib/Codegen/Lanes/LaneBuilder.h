//===- LaneBuilder.h - indices, loads and lanes of a kernel -----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel computes `lanes` neighbouring elements at a time. An index (`Idx`)
// says where each lane looks:
//
//   uniform      base                 all lanes at one element
//   strided      base + i*lane        stride known when compiling; 1 is a load
//   general      vec[i]               a gather
//
// A value is either a scalar (the same in all lanes) or a vector; scalars are
// widened only where they meet a vector, so that work on uniform data is done
// once. With lanes == 1 everything is scalar.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_LANES_LANEBUILDER_H
#define TENON_LIB_CODEGEN_LANES_LANEBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "tenon/Support/SymExpr.h"
#include <map>

namespace tenon {

struct Idx {
  mlir::Value base;  // index; lane 0's position unless `vec` is set
  int64_t lane = 0;  // distance between lanes
  int64_t align = 1; // base is a multiple of it
  mlir::Value vec;   // vector<lanes x index>: the general form
  bool isUniform() const { return !vec && lane == 0; }
  bool isContiguous() const { return !vec && lane == 1; }
};

/// How elements of a tenon type lie in memory, and what they are computed in.
/// Integers of 4 and 2 bits are i8 in both, extended by their sign or zeros; a
/// float of 8 or 4 bits is its code in i8.
mlir::Type storageType(mlir::Type elementType);
mlir::Type computeType(mlir::Type elementType);
/// A tensor's memory: flat, of any size.
mlir::MemRefType memoryType(mlir::Type elementType);
inline bool isUnsignedType(mlir::Type t) { return t.isUnsignedInteger(); }

/// The function under construction: its arguments appear as they are asked
/// for, and index arithmetic on constants folds while it is written.
class LaneBuilder {
public:
  LaneBuilder(mlir::OpBuilder &b, mlir::Location loc, unsigned lanes)
      : b(b), loc(loc), lanes(lanes) {}

  mlir::OpBuilder &b;
  mlir::Location loc;
  unsigned lanes;
  /// Active lanes of a tail, or null: all.
  mlir::Value mask;
  /// Memory begins at multiples of so many bytes, and vectors say what that
  /// makes of their own alignment. 1: nothing is known, and of no use.
  int64_t memoryAlignment = 1;

  // --- arithmetic ------------------------------------------------------------
  // Of indices, whose constants fold while they are written, and of other
  // integers and floats, which are one operation. A number beside a value is a
  // constant of its type.
  mlir::Value index(int64_t v);
  mlir::Value add(mlir::Value x, mlir::Value y);
  mlir::Value sub(mlir::Value x, mlir::Value y);
  mlir::Value mul(mlir::Value x, mlir::Value y);
  mlir::Value div(mlir::Value x, mlir::Value y); // indices: operands >= 0
  mlir::Value rem(mlir::Value x, mlir::Value y); // of indices
  mlir::Value min(mlir::Value x, mlir::Value y); // of signed integers
  mlir::Value max(mlir::Value x, mlir::Value y);
  mlir::Value add(mlir::Value x, int64_t y) { return add(x, like(x, y)); }
  mlir::Value sub(mlir::Value x, int64_t y) { return sub(x, like(x, y)); }
  mlir::Value mul(mlir::Value x, int64_t y) { return mul(x, like(x, y)); }
  mlir::Value div(mlir::Value x, int64_t y) { return div(x, like(x, y)); }
  mlir::Value rem(mlir::Value x, int64_t y) { return rem(x, like(x, y)); }
  mlir::Value min(mlir::Value x, int64_t y) { return min(x, like(x, y)); }
  mlir::Value max(mlir::Value x, int64_t y) { return max(x, like(x, y)); }
  /// x * y + sum of floats, rounded once if `fused`.
  mlir::Value multiplyAdd(mlir::Value x, mlir::Value y, mlir::Value sum,
                          bool fused);

  // --- comparisons, choices --------------------------------------------------
  // Of integers and indices.
  mlir::Value eq(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpIPredicate::eq, x, y);
  }
  mlir::Value ne(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpIPredicate::ne, x, y);
  }
  mlir::Value slt(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpIPredicate::slt, x, y);
  }
  mlir::Value sle(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpIPredicate::sle, x, y);
  }
  mlir::Value sgt(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpIPredicate::sgt, x, y);
  }
  mlir::Value sge(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpIPredicate::sge, x, y);
  }
  mlir::Value ult(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpIPredicate::ult, x, y);
  }
  mlir::Value ule(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpIPredicate::ule, x, y);
  }
  mlir::Value ugt(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpIPredicate::ugt, x, y);
  }
  mlir::Value uge(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpIPredicate::uge, x, y);
  }
  mlir::Value eq(mlir::Value x, int64_t y) { return eq(x, like(x, y)); }
  mlir::Value ne(mlir::Value x, int64_t y) { return ne(x, like(x, y)); }
  mlir::Value slt(mlir::Value x, int64_t y) { return slt(x, like(x, y)); }
  mlir::Value sle(mlir::Value x, int64_t y) { return sle(x, like(x, y)); }
  mlir::Value sgt(mlir::Value x, int64_t y) { return sgt(x, like(x, y)); }
  mlir::Value sge(mlir::Value x, int64_t y) { return sge(x, like(x, y)); }
  mlir::Value ult(mlir::Value x, int64_t y) { return ult(x, like(x, y)); }
  mlir::Value ule(mlir::Value x, int64_t y) { return ule(x, like(x, y)); }
  mlir::Value ugt(mlir::Value x, int64_t y) { return ugt(x, like(x, y)); }
  mlir::Value uge(mlir::Value x, int64_t y) { return uge(x, like(x, y)); }
  // Of floats: ordered ones are false where an operand is NaN.
  mlir::Value oeq(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpFPredicate::OEQ, x, y);
  }
  mlir::Value ole(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpFPredicate::OLE, x, y);
  }
  mlir::Value ogt(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpFPredicate::OGT, x, y);
  }
  mlir::Value leOrNan(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpFPredicate::ULE, x, y);
  }
  mlir::Value isNan(mlir::Value x) { return eitherNan(x, x); }
  mlir::Value eitherNan(mlir::Value x, mlir::Value y) {
    return compare(mlir::arith::CmpFPredicate::UNO, x, y);
  }
  /// Of bools, or of the bits of integers.
  mlir::Value both(mlir::Value x, mlir::Value y) {
    return mlir::arith::AndIOp::create(b, loc, x, y);
  }
  mlir::Value either(mlir::Value x, mlir::Value y) {
    return mlir::arith::OrIOp::create(b, loc, x, y);
  }
  mlir::Value bitXor(mlir::Value x, mlir::Value y) {
    return mlir::arith::XOrIOp::create(b, loc, x, y);
  }
  mlir::Value shiftLeft(mlir::Value x, mlir::Value by) {
    return mlir::arith::ShLIOp::create(b, loc, x, by);
  }
  /// Zeros come in.
  mlir::Value shiftRight(mlir::Value x, mlir::Value by) {
    return mlir::arith::ShRUIOp::create(b, loc, x, by);
  }
  /// Of a bool.
  mlir::Value no(mlir::Value x) { return bitXor(x, like(x, 1)); }
  mlir::Value select(mlir::Value condition, mlir::Value x, mlir::Value y) {
    return mlir::arith::SelectOp::create(b, loc, condition, x, y);
  }
  /// Is it true in some lane, in each?
  mlir::Value anyOf(mlir::Value x);
  mlir::Value allOf(mlir::Value x);

  // --- other types: as many lanes of `element`, the value where it has it
  // -----
  mlir::Value extend(mlir::Value x, mlir::Type element,
                     bool isUnsigned = false);
  mlir::Value truncate(mlir::Value x, mlir::Type element);
  mlir::Value toFloat(mlir::Value integers, mlir::Type element,
                      bool isUnsigned = false);
  /// An index as i64.
  mlir::Value toI64(mlir::Value i) {
    return toData(uniform(i), b.getI64Type());
  }

  // --- lane indices --------------------------------------------------------
  Idx uniform(mlir::Value v, int64_t align = 1) { return {v, 0, align, {}}; }
  Idx uniform(int64_t v) { return {index(v), 0, v ? v : (1 << 30), {}}; }
  Idx add(const Idx &x, const Idx &y);
  Idx mul(const Idx &x, mlir::Value factor); // uniform factor
  Idx mul(const Idx &x, int64_t factor) { return mul(x, index(factor)); }
  /// x / d and x % d for constant or uniform d; stays strided where no lane
  /// can cross a multiple of d.
  std::pair<Idx, Idx> divRem(const Idx &x, mlir::Value d);
  mlir::Value toIndexVector(const Idx &x);
  /// Lane indices made from integer data (scalar or vector).
  Idx fromData(mlir::Value data, bool isUnsigned);
  /// As integer data of `type`, scalar where uniform.
  mlir::Value toData(const Idx &x, mlir::Type intType);

  // --- lanes ---------------------------------------------------------------
  bool isVector(mlir::Value v) const {
    return mlir::isa<mlir::VectorType>(v.getType());
  }
  mlir::Type vec(mlir::Type element) const { return vec(element, lanes); }
  static mlir::Type vec(mlir::Type element, unsigned lanes) {
    return lanes == 1
               ? element
               : mlir::Type(mlir::VectorType::get({(int64_t)lanes}, element));
  }
  mlir::Value widen(mlir::Value v);
  /// Widens all where one is a vector. Null ones stay.
  template <typename... Values>
  void widenAlike(Values &...values) {
    if (((values && isVector(values)) || ...))
      ((values = values ? widen(values) : values), ...);
  }
  /// A constant of v's shape (scalar or vector) and element type.
  mlir::Value constLike(mlir::Value v, double value);
  mlir::Value constant(mlir::Type type, double value);
  mlir::Value constantInt(mlir::Type type, int64_t value);
  mlir::Value like(mlir::Value v, int64_t value);

  /// Loads from a flat memref; elements of `type` are widened to computeType.
  mlir::Value load(mlir::Value memref, const Idx &at, mlir::Type type);
  /// Stores to a flat memref: one element to a uniform position, else all.
  void store(mlir::Value value, mlir::Value memref, const Idx &at,
             mlir::Type type);
  /// A value of computeType rounded to what an element of `type` can hold.
  mlir::Value roundTo(mlir::Value v, mlir::Type type) {
    return fromStorage(toStorage(v, type), type);
  }
  /// exp(x) for the x <= 0 of a softmax; results near the denormals are 0.
  mlir::Value softmaxExp(mlir::Value x) {
    return mlir::math::ExpOp::create(b, loc, x,
                                     mlir::arith::FastMathFlags::afn);
  }
  /// The larger of `max` and, in active lanes, x. A NaN in x loses: a softmax
  /// gets it back through its sum.
  mlir::Value largerOf(mlir::Value max, mlir::Value x);
  /// Combines the lanes of a vector to one scalar.
  mlir::Value reduceLanes(mlir::Value v, mlir::vector::CombiningKind kind);

  /// Lanes [0, n) active.
  mlir::Value tailMask(mlir::Value n);

private:
  mlir::Value compare(mlir::arith::CmpIPredicate how, mlir::Value x,
                      mlir::Value y) {
    return mlir::arith::CmpIOp::create(b, loc, how, x, y);
  }
  mlir::Value compare(mlir::arith::CmpFPredicate how, mlir::Value x,
                      mlir::Value y) {
    return mlir::arith::CmpFOp::create(b, loc, how, x, y);
  }
  mlir::Value fromStorage(mlir::Value v, mlir::Type type);
  mlir::Value toStorage(mlir::Value v, mlir::Type type);
  mlir::Value allOnes();
  /// Of a contiguous vector of `storage` at `at`; none where nothing is known.
  llvm::MaybeAlign alignmentOf(const Idx &at, mlir::Type storage) const;
};

/// Restores lanes and mask at the end of a scope.
class LaneScope {
public:
  explicit LaneScope(LaneBuilder &L) : L(L), lanes(L.lanes), mask(L.mask) {}
  /// With so many lanes, all active.
  LaneScope(LaneBuilder &L, unsigned lanes) : LaneScope(L) {
    L.lanes = lanes;
    L.mask = {};
  }
  ~LaneScope() {
    L.lanes = lanes;
    L.mask = mask;
  }
  LaneScope(const LaneScope &) = delete;
  LaneScope &operator=(const LaneScope &) = delete;

private:
  LaneBuilder &L;
  unsigned lanes;
  mlir::Value mask;
};

std::optional<int64_t> constantIndex(mlir::Value v);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_LANES_LANEBUILDER_H
