//===- IntegerBiases.cpp - biases added to sums of integers ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   f32(product - less) * scale + bias
//
// where bias is integers times scale. Of real numbers it is
//
//   f32(product - (less - integers)) * scale
//
// which rounds once less, and takes an operation less for each element.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/IntegerBiases.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include <cmath>
#include <limits>

using namespace mlir;

namespace tenon {

namespace {

/// In remarks.
constexpr StringLiteral kPass = "tenon-pack-matmul", kBias = "IntegerBias";

/// One number, or one for each of so many columns: those of a constant.
template <typename T>
SmallVector<T> ofColumns(Value v, int64_t columns) {
  SmallVector<SymExpr> dims = getDims(v);
  DenseElementsAttr numbers = match::smallConstant(skipReshapes(v), 1 << 16);
  if (!numbers ||
      (!isOneElement(dims) && (dims.back() != SymExpr(columns) ||
                               productOf(dims) != SymExpr(columns))))
    return {};
  SmallVector<T> values(numbers.getValues<T>());
  values.resize(columns, values.front());
  return values;
}

/// The operation that makes `v`, for its one user.
template <typename OpTy>
OpTy madeFor(Value v) {
  auto op = v.getDefiningOp<OpTy>();
  return op && v.hasOneUse() && !op->hasAttr("tenon.value") ? op : OpTy();
}

/// The integers that `bias` is times the scales, less what is subtracted of the
/// sums; none where it is others, or where sums may leave i32.
SmallVector<int32_t> lessIntegers(ArrayRef<int32_t> less,
                                  ArrayRef<float> scales, ArrayRef<float> bias,
                                  int64_t terms) {
  constexpr double most = std::numeric_limits<int32_t>::max();
  double room = most - double(terms) * 255 * 128;
  SmallVector<int32_t> result;
  for (auto [sum, scale, number] : llvm::zip_equal(less, scales, bias)) {
    double integer = std::rint(double(number) / scale);
    double left = double(sum) - integer;
    if (!(std::abs(integer) <= 1 << 24) || float(integer) * scale != number ||
        !(std::abs(left) <= room))
      return {};
    result.push_back(int32_t(left));
  }
  return result;
}

void addBias(AddOp add) {
  auto product = madeFor<MulOp>(add.getLhs());
  auto number = product ? madeFor<CastOp>(product.getLhs()) : CastOp();
  auto less = number ? madeFor<SubOp>(number.getInput()) : SubOp();
  auto sums =
      less ? less.getLhs().getDefiningOp<PackedMatMulOp>() : PackedMatMulOp();
  if (!sums || !number.getTo().isF32() || add->hasAttr("tenon.value") ||
      !getElementTypeOrSelf(less.getType()).isSignlessInteger(32))
    return;
  std::optional<int64_t> columns = getDims(sums.getResult()).back().constant(),
                         terms = getDims(sums.getLhs()).back().constant();
  if (!columns || !terms ||
      getDims(add.getResult()) != getDims(sums.getResult()))
    return;
  auto zeros = ofColumns<int32_t>(less.getRhs(), *columns);
  auto scales = ofColumns<float>(product.getRhs(), *columns),
       bias = ofColumns<float>(add.getRhs(), *columns);
  if (zeros.empty() || scales.empty() || bias.empty())
    return;
  SmallVector<int32_t> numbers = lessIntegers(zeros, scales, bias, *terms);
  if (numbers.empty())
    return;
  noteApplied(kPass, add, kBias);
  OpBuilder b(less);
  auto type = RankedTensorType::get({*columns}, b.getI32Type());
  less.getRhsMutable().assign(ConstantOp::create(
      b, add.getLoc(), type, DenseElementsAttr::get(type, ArrayRef(numbers))));
  add.getResult().replaceAllUsesWith(product.getResult());
  add.erase();
}

} // namespace

void addIntegerBiases(Operation *root) {
  SmallVector<AddOp> adds;
  root->walk([&](AddOp op) { adds.push_back(op); });
  for (AddOp op : adds)
    addBias(op);
}

} // namespace tenon
