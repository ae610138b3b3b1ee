//===- PackedWeights.cpp - com.microsoft operators on packed weights ------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Contrib/PackedWeights.h"
#include "dialects/Tenon/IR/Ops/Dequantize.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "lib/Import/Onnx/Ops/MatMul.h"
#include "lib/Import/Onnx/Ops/QuantParameters.h"

using namespace mlir;

namespace tenon::onnximport {

Value unpackBits(NodeImporter &n, Value x, int64_t bits) {
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

bool supportedBits(NodeImporter &n, int64_t bits) {
  if (bits == 2 || bits == 4 || bits == 8)
    return true;
  n.error("bits must be 2, 4 or 8, found " + Twine(bits));
  return false;
}

static Value addBias(NodeImporter &n, Value y, Value bias) {
  return bias ? n.add(y, bias) : y;
}

/// x [..., k] times the transpose of weight [columns, k].
static Value timesTransposed(NodeImporter &n, Value x, Value weight) {
  return n.rank(x) >= 2 ? n.matmul(x, weight, false, /*transposeB=*/true)
                        : numpyMatMul(n, x, n.transpose(weight, {1, 0}));
}

//===----------------------------------------------------------------------===//
// MatMulNBits
//===----------------------------------------------------------------------===//

/// Bytes as `rows` rows of `size` codes of so many bits, each padded to whole
/// bytes.
static Value unpackRows(NodeImporter &n, Value bytes, const SymExpr &rows,
                        int64_t size, int64_t bits) {
  Type code = n.builder.getIntegerType(bits, /*isSigned=*/false);
  int64_t perByte = 8 / bits, bytesOfRow = (size + perByte - 1) / perByte;
  Value codes = n.reshape(bytes, {rows * SymExpr(bytesOfRow)});
  SymExpr padded(bytesOfRow * perByte);
  if (bits < 8)
    codes = n.make<UnpackOp>(
        {codes},
        {n.named("size", n.builder.getStringAttr((rows * padded).str())),
         n.named("elementType", TypeAttr::get(code))});
  return n.slice(n.reshape(codes, {rows, padded}), 1, SymExpr(0),
                 SymExpr(size));
}

/// Zero points [N, blocks]: packed, or floats, or the middle of the codes.
static Value zeroPoints(NodeImporter &n, const SymExpr &rows, int64_t blocks,
                        int64_t bits) {
  Value zero = n.in(3);
  if (!zero) {
    auto type = RankedTensorType::get(
        {*rows.constant(), blocks},
        n.builder.getIntegerType(bits, /*isSigned=*/false));
    return n.constant(
        DenseElementsAttr::get(type, APInt(bits, uint64_t(1) << (bits - 1))));
  }
  if (NodeImporter::isFloat(zero))
    return n.reshape(zero, {rows, SymExpr(blocks)});
  return unpackRows(n, zero, rows, blocks, bits);
}

static void matMulNBits(NodeImporter &n) {
  // A, B [N, blocks, bytes], scales, zero_points, g_idx, bias
  if (!n.requireInputs({0, 1, 2}))
    return;
  int64_t k = n.getInt("K", 0), columns = n.getInt("N", 0);
  int64_t bits = n.getInt("bits", 4), block = n.getInt("block_size", 0);
  if (!supportedBits(n, bits))
    return;
  if (k <= 0 || columns <= 0 || block < 16 || (block & (block - 1)) ||
      n.getInt("weight_prepacked", 0)) {
    n.error("expected K, N, a block_size that is a power of two of 16 or more, "
            "and weights that are not prepacked");
    return;
  }
  int64_t blocks = (k + block - 1) / block;
  Type real = NodeImporter::elem(n.in(0));
  SymExpr rows(columns), count(blocks);
  SymExpr size = productOf(n.dims(n.in(1)));
  if (size == SymExpr(0)) { // an omitted projection
    Dims dims = n.dims(n.in(0));
    dims.back() = rows;
    n.out(0, addBias(n, n.broadcast(n.scalar(0, real), dims), n.in(5)));
    return;
  }
  Value codes = unpackRows(n, n.in(1), rows, blocks * block, bits);
  codes = n.slice(codes, 1, SymExpr(0), SymExpr(k));
  Value zero = zeroPoints(n, rows, blocks, bits);
  Value scale = n.reshape(n.in(2), {rows, count});
  Value weight;
  if (Value group = n.in(4)) {
    group = n.slice(group, 0, SymExpr(0), SymExpr(k));
    weight = n.mul(
        n.sub(n.cast(codes, real), n.gather(n.cast(zero, real), group, 1)),
        n.gather(n.cast(scale, real), group, 1));
  } else {
    weight = n.make<DequantizeOp>(
        {codes, scale, zero},
        {n.named("blocks", n.builder.getDenseI64ArrayAttr({1, block})),
         n.named("to", TypeAttr::get(real))});
  }
  n.out(0, addBias(n, timesTransposed(n, n.in(0), weight), n.in(5)));
}

//===----------------------------------------------------------------------===//
// MatMulBnb4
//===----------------------------------------------------------------------===//

/// What the sixteen codes of bitsandbytes' 4-bit floats stand for.
static ArrayRef<float> codeBook(bool normalFloat) {
  static const float fp4[16] = {0.0f,         5.208333333e-03f,
                                0.66666667f,  1.0f,
                                0.33333333f,  0.5f,
                                0.16666667f,  0.25f,
                                -0.0f,        -5.208333333e-03f,
                                -0.66666667f, -1.0f,
                                -0.33333333f, -0.5f,
                                -0.16666667f, -0.25f};
  static const float nf4[16] = {-1.0f,
                                -0.6961928009986877f,
                                -0.5250730514526367f,
                                -0.39491748809814453f,
                                -0.28444138169288635f,
                                -0.18477343022823334f,
                                -0.09105003625154495f,
                                0.0f,
                                0.07958029955625534f,
                                0.16093020141124725f,
                                0.24611230194568634f,
                                0.33791524171829224f,
                                0.44070982933044434f,
                                0.5626170039176941f,
                                0.7229568362236023f,
                                1.0f};
  return normalFloat ? nf4 : fp4;
}

/// The flat weights in the high, then the low half of each byte; one scale for
/// each `block_size` of them.
static void matMulBnb4(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2}))
    return;
  int64_t k = n.getInt("K", 0), columns = n.getInt("N", 0);
  int64_t block = n.getInt("block_size", 0), kind = n.getInt("quant_type", 0);
  int64_t count;
  if (k <= 0 || columns <= 0 || block <= 0 || kind < 0 || kind > 1 ||
      __builtin_mul_overflow(k, columns, &count)) {
    n.error("expected K, N and block_size above 0 and quant_type 0 or 1");
    return;
  }
  Type f32 = n.builder.getF32Type(), i32 = n.builder.getI32Type();
  Value bytes = n.reshape(n.in(1), {SymExpr((count + 1) / 2)});
  Type byte = NodeImporter::elem(bytes);
  Value high = n.make<ShrOp>({bytes, n.scalar(4, byte)});
  Value low = n.make<BitAndOp>({bytes, n.scalar(15, byte)});
  Value codes = n.concat({n.unsqueeze(high, {1}), n.unsqueeze(low, {1})}, 1);
  codes = n.reshape(codes, {SymExpr((count + 1) / 2 * 2)});
  codes = n.slice(n.cast(codes, i32), 0, SymExpr(0), SymExpr(count));
  Value book = n.constant(DenseElementsAttr::get(
      RankedTensorType::get({16}, f32), codeBook(kind == 1)));
  int64_t blocks = (count + block - 1) / block;
  Value scale = n.cast(n.reshape(n.in(2), {SymExpr(blocks), SymExpr(1)}), f32);
  scale = n.reshape(n.broadcast(scale, {SymExpr(blocks), SymExpr(block)}),
                    {SymExpr(blocks * block)});
  scale = n.slice(scale, 0, SymExpr(0), SymExpr(count));
  Value weight = n.mul(n.gather(book, codes, 0), scale);
  weight = n.cast(n.reshape(weight, {SymExpr(columns), SymExpr(k)}),
                  NodeImporter::elem(n.in(0)));
  n.out(0, n.getInt("transB", 1) ? timesTransposed(n, n.in(0), weight)
                                 : numpyMatMul(n, n.in(0), weight));
}

//===----------------------------------------------------------------------===//
// GatherBlockQuantized
//===----------------------------------------------------------------------===//

/// Indices from -size to size-1 made positive, and which of them are that.
static Value insideIndex(NodeImporter &n, Value index, const SymExpr &size,
                         Value &inside) {
  index = n.cast(index, n.builder.getI64Type());
  Value bound = n.dimScalar(size, n.builder.getI64Type());
  Value zero = n.scalarLike(0, index);
  index = n.select(n.compare(CompareKind::lt, index, zero), n.add(index, bound),
                   index);
  inside = n.andOp(n.compare(CompareKind::ge, index, zero),
                   n.compare(CompareKind::lt, index, bound));
  return n.select(inside, index, zero);
}

/// Numbers per block along `axis` of a tensor, as one per element.
static Value alongBlocks(NodeImporter &n, Value v, int64_t axis, int64_t block,
                         ArrayRef<SymExpr> to) {
  if (!v)
    return v;
  Dims apart = n.dims(v), wide, joined = apart;
  apart.insert(apart.begin() + axis + 1, SymExpr(1));
  wide = apart;
  wide[axis + 1] = SymExpr(block);
  joined[axis] = joined[axis] * SymExpr(block);
  v = n.reshape(n.broadcast(n.reshape(v, apart), wide), joined);
  n.checkNonNegative(joined[axis] - to[axis]);
  return n.slice(v, axis, SymExpr(0), to[axis]);
}

/// Rows are gathered as they are stored, then unpacked and scaled.
static void gatherBlockQuantized(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2}))
    return;
  Value data = n.in(0);
  int64_t rank = n.rank(data), bits = n.getInt("bits", 4);
  int64_t axis = n.axis(n.getInt("gather_axis", 0), rank);
  int64_t quantAxis = n.axis(n.getInt("quantize_axis", 1), rank);
  int64_t block = n.getInt("block_size", 128);
  auto integer = dyn_cast<IntegerType>(NodeImporter::elem(data));
  bool packed = integer && integer.getWidth() == 8;
  if (!integer)
    n.error("data of this type is not supported");
  if (n.failed() || (packed && !supportedBits(n, bits)))
    return;
  if (block <= 0 || axis == quantAxis ||
      (packed && bits < 8 && quantAxis != rank - 1)) {
    n.error("expected a block_size above 0 and a quantize_axis that is not "
            "gathered (for packed bytes the last)");
    return;
  }
  if (!checkScaleType(n, n.in(2)) || !checkZeroType(n, data, n.in(3)))
    return;
  // Blocks of each of the rows, and their zero points in as many bits as codes.
  Dims blocks = n.dims(data), scaled = n.dims(n.in(2)), points;
  if (n.has(3))
    points = n.dims(n.in(3));
  SymExpr perByte(packed ? 8 / bits : 1);
  if (int64_t(scaled.size()) != rank ||
      (n.has(3) && int64_t(points.size()) != rank)) {
    n.error("expected scales and zero points of the data's rank " +
            Twine(rank));
    return;
  }
  blocks.back() = blocks.back() * perByte;
  blocks[quantAxis] =
      SymExpr::apply(SymExpr::Fn::CeilDiv, blocks[quantAxis], SymExpr(block));
  for (auto [own, expected] : llvm::zip_equal(scaled, blocks))
    n.checkEqual(own, expected);
  blocks.back() = SymExpr::apply(SymExpr::Fn::CeilDiv, blocks.back(), perByte);
  for (auto [own, expected] : llvm::zip(points, blocks))
    n.checkEqual(own, expected);
  Value inside;
  Value index = insideIndex(n, n.in(1), n.dims(data)[axis], inside);
  if (n.failed())
    return;
  auto rows = [&](Value v) {
    Value gathered = n.gather(v, index, axis);
    return packed ? unpackBits(n, gathered, bits) : gathered;
  };
  Value x = rows(data), scale = n.gather(n.in(2), index, axis);
  int64_t at = quantAxis + (quantAxis > axis ? n.rank(index) - 1 : 0);
  if (n.failed())
    return;
  Dims dims = n.dims(x);
  Type f32 = n.builder.getF32Type();
  Value zero;
  if (n.has(3)) {
    zero = rows(n.in(3));
    if (zero && scale)
      zero = n.slice(zero, at, SymExpr(0), n.dims(scale)[at]);
    zero = alongBlocks(n, n.cast(zero, f32), at, block, dims);
  } else {
    zero = n.scalar(packed ? double(1 << (bits - 1)) : 0.0, f32);
  }
  Type real = NodeImporter::elem(scale);
  Value y = n.mul(n.sub(n.cast(x, f32), zero),
                  alongBlocks(n, n.cast(scale, f32), at, block, dims));
  // An index outside gives zeros.
  Dims around = n.dims(inside);
  while (int64_t(around.size()) < rank - 1 + n.rank(index) - axis)
    around.push_back(SymExpr(1));
  y = n.select(n.reshape(inside, around), y, n.scalarLike(0, y));
  n.out(0, n.cast(y, real));
}

void registerPackedWeights(Registry &r) {
  const char *ms = "com.microsoft";
  r.add(ms, "MatMulNBits", 1, matMulNBits);
  r.add(ms, "MatMulBnb4", 1, matMulBnb4);
  r.add(ms, "GatherBlockQuantized", 1, gatherBlockQuantized);
}

} // namespace tenon::onnximport
