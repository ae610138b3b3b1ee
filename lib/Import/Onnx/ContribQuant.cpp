//===- ContribQuant.cpp - com.microsoft's quantised operators -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "MatMul.h"
#include "Quant.h"

using namespace mlir;

namespace tenon::onnximport {

static Value toFloat(NodeImporter &n, unsigned value, unsigned scale,
                     unsigned zero) {
  return dequantize(n, n.in(value), n.in(scale), n.in(zero), 0, 0,
                    n.builder.getF32Type());
}

static void fromFloat(NodeImporter &n, Value real, unsigned scale,
                      unsigned zero) {
  Type to = n.has(zero) ? NodeImporter::elem(n.in(zero))
                        : NodeImporter::elem(n.in(0));
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

//===----------------------------------------------------------------------===//
// Products with a float result
//===----------------------------------------------------------------------===//

static Value addBias(NodeImporter &n, Value y, Value bias) {
  return bias ? n.add(y, bias) : y;
}

/// A scale of one element is a scalar; others are one per column.
static Value columnScale(NodeImporter &n, Value scale) {
  return scale && productOf(n.dims(scale)) == SymExpr(1) ? n.reshape(scale, {})
                                                         : scale;
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

//===----------------------------------------------------------------------===//
// Packed weights
//===----------------------------------------------------------------------===//

/// The `bits`-wide numbers of bytes x [..., k], lowest bits first:
/// [..., k * 8/bits].
static Value unpackBits(NodeImporter &n, Value x, int64_t bits) {
  if (!x || bits == 8)
    return x;
  Type type = NodeImporter::elem(x);
  Value mask = n.scalar(double((1 << bits) - 1), type);
  SmallVector<Value> parts;
  int64_t rank = n.rank(x), perByte = 8 / bits;
  for (int64_t i = 0; i < perByte; ++i) {
    Value part = i ? n.make<ShrOp>({x, n.scalar(double(i * bits), type)}) : x;
    parts.push_back(n.unsqueeze(n.make<BitAndOp>({part, mask}), {rank}));
  }
  Dims dims = n.dims(x);
  dims.back() = dims.back() * SymExpr(perByte);
  return n.reshape(n.concat(parts, rank), dims);
}

static bool supportedBits(NodeImporter &n, int64_t bits) {
  if (bits == 2 || bits == 4 || bits == 8)
    return true;
  n.error("bits must be 2, 4 or 8, found " + Twine(bits));
  return false;
}

static void matMulNBits(NodeImporter &n) {
  // A, B [N, blocks, bytes], scales, zero_points, g_idx, bias
  if (!n.requireInputs({0, 1, 2}))
    return;
  int64_t k = n.getInt("K", 0), columns = n.getInt("N", 0);
  int64_t bits = n.getInt("bits", 4), block = n.getInt("block_size", 0);
  if (!supportedBits(n, bits))
    return;
  if (k <= 0 || columns <= 0 || block < 16 || n.has(4) ||
      n.getInt("weight_prepacked", 0)) {
    n.error("expected K, N and block_size, no g_idx and weights that are not "
            "prepacked");
    return;
  }
  int64_t blocks = (k + block - 1) / block;
  Type real = NodeImporter::elem(n.in(0));
  SymExpr rows(columns), count(blocks);
  Value weight = n.reshape(n.in(1), {rows, count, SymExpr(block * bits / 8)});
  weight = n.cast(unpackBits(n, weight, bits), real);
  Value zero = n.in(3);
  if (zero && NodeImporter::isFloat(zero)) {
    zero = n.cast(n.reshape(zero, {rows, count, SymExpr(1)}), real);
  } else if (zero) {
    int64_t bytes = (blocks * bits + 7) / 8;
    zero = unpackBits(n, n.reshape(zero, {rows, SymExpr(bytes)}), bits);
    zero = n.unsqueeze(n.cast(n.slice(zero, 1, SymExpr(0), count), real), {2});
  } else {
    zero = n.scalar(double(1 << (bits - 1)), real);
  }
  Value scale = n.cast(n.reshape(n.in(2), {rows, count, SymExpr(1)}), real);
  weight = n.mul(n.sub(weight, zero), scale);
  weight = n.reshape(weight, {rows, SymExpr(blocks * block)});
  weight = n.slice(weight, 1, SymExpr(0), SymExpr(k));
  Value a = n.in(0);
  Value y = n.rank(a) >= 2 ? n.matmul(a, weight, false, /*transposeB=*/true)
                           : numpyMatMul(n, a, n.transpose(weight, {1, 0}));
  n.out(0, addBias(n, y, n.in(5)));
}

/// Rows are gathered as they are stored, then unpacked and scaled.
static void gatherBlockQuantized(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2}))
    return;
  int64_t rank = n.rank(n.in(0)), bits = n.getInt("bits", 4);
  int64_t axis = n.axis(n.getInt("gather_axis", 0), rank);
  int64_t quantAxis = n.axis(n.getInt("quantize_axis", 1), rank);
  int64_t block = n.getInt("block_size", 128);
  if (n.failed() || !supportedBits(n, bits))
    return;
  if (quantAxis != rank - 1 || axis == quantAxis || block <= 0) {
    n.error("expected quantize_axis to be the last and gather_axis another");
    return;
  }
  Value rows = unpackBits(n, n.gather(n.in(0), n.in(1), axis), bits);
  Value scale = n.gather(n.in(2), n.in(1), axis);
  Value zero;
  if (n.has(3)) {
    zero = unpackBits(n, n.gather(n.in(3), n.in(1), axis), bits);
    if (zero && scale)
      zero = n.slice(zero, n.rank(zero) - 1, SymExpr(0), n.dims(scale).back());
  }
  if (n.failed())
    return;
  Type real = NodeImporter::elem(scale);
  int64_t last = n.rank(rows) - 1;
  if (!zero)
    zero = n.scalar(double(1 << (bits - 1)), n.builder.getI32Type());
  n.out(0, dequantize(n, rows, scale, zero, last, block, real));
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
  r.add(ms, "MatMulIntegerToFloat", 1, matMulIntegerToFloat);
  r.add(ms, "DynamicQuantizeMatMul", 1, dynamicQuantizeMatMul);
  r.add(ms, "MatMulNBits", 1, matMulNBits);
  r.add(ms, "GatherBlockQuantized", 1, gatherBlockQuantized);
}

} // namespace tenon::onnximport
