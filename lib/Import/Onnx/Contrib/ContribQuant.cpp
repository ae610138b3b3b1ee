//===- ContribQuant.cpp - com.microsoft's quantised operators -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Import/Onnx/Ops/MatMul.h"
#include "lib/Import/Onnx/Ops/Quant.h"
#include "lib/Import/Onnx/Ops/QuantParameters.h"

using namespace mlir;

namespace tenon::onnximport {

static Value toFloat(NodeImporter &n, unsigned value, unsigned scale,
                     unsigned zero) {
  if (!checkOne(n, {n.in(scale), n.in(zero)}))
    return nullptr;
  return dequantize(n, n.in(value), n.in(scale), n.in(zero), 0, 0,
                    n.builder.getF32Type());
}

static void fromFloat(NodeImporter &n, Value real, unsigned scale,
                      unsigned zero) {
  Type to = n.has(zero) ? NodeImporter::elem(n.in(zero))
                        : NodeImporter::elem(n.in(0));
  if (checkOne(n, {n.in(scale), n.in(zero)}))
    n.out(0, quantize(n, real, n.in(scale), n.in(zero), 0, 0, to));
}

/// QLinearAdd, QLinearMul: A, its scale and zero point, B, its, C's.
template <typename OpTy>
static void qLinearBinary(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 3, 4, 6}))
    return;
  Value real = n.make<OpTy>({toFloat(n, 0, 1, 2), toFloat(n, 3, 4, 5)});
  fromFloat(n, real, 6, 7);
}

template <typename OpTy>
static void qLinearUnary(NodeImporter &n) {
  if (n.requireInputs({0, 1, 3}))
    fromFloat(n, n.make<OpTy>({toFloat(n, 0, 1, 2)}), 3, 4);
}

static void qLinearLeakyRelu(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 3}))
    return;
  Value x = toFloat(n, 0, 1, 2);
  Value below = n.compareScalar(CompareKind::lt, x, 0);
  Value scaled = n.mulScalar(x, n.getFloat("alpha", 0.01f));
  fromFloat(n, n.select(below, scaled, x), 3, 4);
}

static void qLinearSoftmax(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 3}))
    return;
  Value x = toFloat(n, 0, 1, 2);
  int64_t rank = n.rank(x), axis = n.axis(n.getInt("axis", -1), rank);
  if (n.failed())
    return;
  Dims dims = n.dims(x);
  if (n.getInt("opset", 13) < 13) {
    ArrayRef<SymExpr> all(dims);
    Value flat = n.reshape(
        x, {productOf(all.take_front(axis)), productOf(all.drop_front(axis))});
    fromFloat(n, n.reshape(n.softmaxLast(flat), dims), 3, 4);
    return;
  }
  Ints perm;
  for (int64_t i = 0; i < rank; ++i)
    perm.push_back(i);
  std::swap(perm[axis], perm[rank - 1]);
  Value y = n.transpose(n.softmaxLast(n.transpose(x, perm)), perm);
  fromFloat(n, y, 3, 4);
}

static void qLinearConcat(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2, 3}))
    return;
  SmallVector<Value> parts;
  for (unsigned i = 2; i + 1 < n.numInputs(); i += 3)
    parts.push_back(toFloat(n, i, i + 1, i + 2));
  int64_t axis = n.axis(n.getInt("axis", 0), n.rank(parts.front()));
  Value real = n.concat(parts, axis);
  n.out(0,
        quantize(n, real, n.in(0), n.in(1), 0, 0, NodeImporter::elem(n.in(1))));
}

static void qLinearGlobalAveragePool(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 3}))
    return;
  Value x = toFloat(n, 0, 1, 2);
  int64_t rank = n.rank(x), first = n.getInt("channels_last", 0) ? 1 : 2;
  Ints axes;
  for (int64_t i = first; i < rank - (first == 1); ++i)
    axes.push_back(i);
  fromFloat(n, n.reduce(ReduceKind::mean, x, axes), 3, 4);
}

/// Moves dim 1 to the end, or (back) the last dim to place 1.
static Value moveChannels(NodeImporter &n, Value x, bool back) {
  int64_t rank = n.rank(x);
  if (rank < 3)
    return n.error("expected an input of rank 3 or more, found " + Twine(rank));
  Ints perm = {0};
  for (int64_t i = 2; i < rank; ++i)
    perm.push_back(back ? i - 1 : i);
  perm.insert(back ? perm.begin() + 1 : perm.end(), back ? rank - 1 : 1);
  return n.transpose(x, perm);
}

/// A standard operator on images whose channels may come last; `operands[0]` is
/// the image.
static Value onImages(NodeImporter &n, StringRef op,
                      SmallVector<Value> operands, bool channelsLast) {
  if (channelsLast)
    operands[0] = moveChannels(n, operands[0], /*back=*/true);
  if (n.failed())
    return nullptr;
  Value y = importAs(n, op, operands);
  return channelsLast && y ? moveChannels(n, y, /*back=*/false) : y;
}

static void qLinearAveragePool(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 3}))
    return;
  Value real = onImages(n, "AveragePool", {toFloat(n, 0, 1, 2)},
                        n.getInt("channels_last", 0));
  fromFloat(n, real, 3, 4);
}

static void nhwcMaxPool(NodeImporter &n) {
  if (n.requireInputs({0}))
    n.out(0, onImages(n, "MaxPool", {n.in(0)}, true));
}

static void qLinearConv(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2, 3, 4, 5, 6, 7}))
    return;
  SmallVector<Value> operands;
  for (unsigned i = 0; i < 9; ++i)
    operands.push_back(n.in(i));
  n.out(0, onImages(n, "QLinearConv", operands, n.getInt("channels_last", 0)));
}

static void qLinearReduceMean(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 3}))
    return;
  Value x = toFloat(n, 0, 1, 2);
  Ints axes = n.axes(n.getInts("axes").value_or(Ints()), n.rank(x));
  if (axes.empty())
    for (int64_t i = 0; i < n.rank(x); ++i)
      axes.push_back(i);
  if (!n.failed())
    fromFloat(n, n.reduce(ReduceKind::mean, x, axes, n.getInt("keepdims", 1)),
              3, 4);
}

static void qLinearWhere(NodeImporter &n) {
  // condition, X, its scale and zero point, Y, its, Z's
  if (!n.requireInputs({0, 1, 2, 4, 5, 7}))
    return;
  Value real = n.select(n.in(0), toFloat(n, 1, 2, 3), toFloat(n, 4, 5, 6));
  Type to = NodeImporter::elem(n.in(1));
  n.out(0, quantize(n, real, n.in(7), n.in(8), 0, 0, to));
}

static void mulInteger(NodeImporter &n) {
  // A, its zero point, B, its
  if (!n.requireInputs({0, 2}))
    return;
  Type i32 = n.builder.getI32Type();
  auto centred = [&](unsigned i) -> Value {
    if (!checkBytes(n, n.in(i)) || !checkZeroType(n, n.in(i), n.in(i + 1)) ||
        !checkOne(n, {n.in(i + 1)}))
      return nullptr;
    Value wide = n.cast(n.in(i), i32);
    return n.has(i + 1) ? n.sub(wide, n.cast(n.in(i + 1), i32)) : wide;
  };
  n.out(0, n.mul(centred(0), centred(2)));
}

//===----------------------------------------------------------------------===//
// Products with a float result
//===----------------------------------------------------------------------===//

static Value addBias(NodeImporter &n, Value y, Value bias) {
  return bias ? n.add(y, bias) : y;
}

/// A scale of one element is a scalar; others are one per column.
static Value columnScale(NodeImporter &n, Value scale) {
  return scale && isOneElement(n.dims(scale)) ? n.reshape(scale, {}) : scale;
}

static void matMulIntegerToFloat(NodeImporter &n) {
  // A, B, a_scale, b_scale, a_zero, b_zero, bias
  if (!n.requireInputs({0, 1, 2, 3}))
    return;
  Value sum = integerMatMul(n, n.in(0), n.in(4), n.in(1), n.in(5));
  Value scale = n.mul(columnScale(n, n.in(2)), columnScale(n, n.in(3)));
  Value real = n.mul(n.cast(sum, NodeImporter::elem(scale)), scale);
  n.out(0, addBias(n, real, n.in(6)));
}

static void dynamicQuantizeMatMul(NodeImporter &n) {
  // A, B, b_scale, b_zero, bias
  if (!n.requireInputs({0, 1, 2}))
    return;
  Quantized a = dynamicallyQuantize(n, n.in(0));
  Value sum = integerMatMul(n, a.value, a.zero, n.in(1), n.in(3));
  Value scale = n.mul(a.scale, columnScale(n, n.in(2)));
  Value real = n.mul(n.cast(sum, n.builder.getF32Type()), scale);
  n.out(0, addBias(n, real, n.in(4)));
}

/// alpha * (A - a_zero)(B - b_zero) * scales + C, as floats or requantised.
static void qGemm(NodeImporter &n) {
  // A, a_scale, a_zero, B, b_scale, b_zero, C, y_scale, y_zero
  if (!n.requireInputs({0, 1, 2, 3, 4, 5}))
    return;
  if (!checkOne(n, {n.in(1), n.in(2), n.in(7), n.in(8)}))
    return;
  auto turned = [&](Value v, StringRef flag) -> Value {
    if (!n.getInt(flag, 0))
      return v;
    return n.rank(v) == 2 ? n.transpose(v, {1, 0})
                          : n.error("expected matrices");
  };
  Value sum = integerMatMul(n, turned(n.in(0), "transA"), n.in(2),
                            turned(n.in(3), "transB"), n.in(5));
  if (n.has(6))
    sum = n.add(sum, n.in(6));
  Value scale = n.mul(columnScale(n, n.in(1)), columnScale(n, n.in(4)));
  scale = n.mulScalar(scale, n.getFloat("alpha", 1));
  if (!n.has(7)) {
    n.out(0, n.mul(n.cast(sum, n.builder.getF32Type()), scale));
    return;
  }
  Type to = NodeImporter::elem(n.has(8) ? n.in(8) : n.in(0));
  n.out(0, requantize(n, sum, scale, n.in(7), n.in(8), to));
}

void registerContribQuant(Registry &r) {
  const char *ms = "com.microsoft";
  r.add(ms, "QLinearAdd", 1, qLinearBinary<AddOp>);
  r.add(ms, "QLinearMul", 1, qLinearBinary<MulOp>);
  r.add(ms, "QLinearSigmoid", 1, qLinearUnary<SigmoidOp>);
  r.add(ms, "QLinearLeakyRelu", 1, qLinearLeakyRelu);
  r.add(ms, "QLinearSoftmax", 1, qLinearSoftmax);
  r.add(ms, "QLinearConcat", 1, qLinearConcat);
  r.add(ms, "QLinearGlobalAveragePool", 1, qLinearGlobalAveragePool);
  r.add(ms, "QLinearAveragePool", 1, qLinearAveragePool);
  r.add(ms, "QLinearConv", 1, qLinearConv);
  r.add(ms, "QLinearReduceMean", 1, qLinearReduceMean);
  r.add(ms, "QLinearWhere", 1, qLinearWhere);
  r.add(ms, "QGemm", 1, qGemm);
  r.add(ms, "MulInteger", 1, mulInteger);
  r.add(ms, "NhwcMaxPool", 1, nhwcMaxPool);
  r.add(ms, "MatMulIntegerToFloat", 1, matMulIntegerToFloat);
  r.add(ms, "DynamicQuantizeMatMul", 1, dynamicQuantizeMatMul);
}

} // namespace tenon::onnximport
