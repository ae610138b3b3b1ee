//===- PackRecurrent.cpp - weights of recurrent layers --------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/PackRecurrent.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Dequantize.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/PackWeight.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Form/PackFormats.h"

using namespace mlir;

namespace tenon {

/// Reads a constant's matrix; nullopt where that fails.
static std::optional<MatrixReader> open(ConstantView &view, MatrixAttr at) {
  auto reader = MatrixReader::open(view.constant.getValue(), at);
  if (reader)
    return std::move(*reader);
  llvm::consumeError(reader.takeError());
  return std::nullopt;
}

/// A constant's matrix [.., k, n] of direction d.
static MatrixAttr matrixOf(ConstantView &view, int64_t d) {
  MatrixAttr first = view.matrix(1, 2);
  return MatrixAttr::get(first.getContext(), first.getElement(),
                         first.getOffset() + d * view.strides[0],
                         first.getStrideK(), first.getStrideN());
}

/// The floats that constant codes [D, k, n] stand for, or null. They are large,
/// but would be computed in every run.
static Value dequantized(OpBuilder &b, DequantizeOp op) {
  auto codes = ConstantView::of(op.getCodes()),
       scale = ConstantView::of(op.getScale());
  std::optional<ConstantView> zero;
  if (op.getZero())
    zero = ConstantView::of(op.getZero());
  if (!codes || !scale || (op.getZero() && !zero) || codes->dims.size() != 3 ||
      !op.getTo().isF32())
    return nullptr;
  ArrayRef<int64_t> blocks = op.getBlocks();
  SmallVector<float> numbers;
  for (int64_t d = 0; d < codes->dims[0]; ++d) {
    auto code = open(*codes, matrixOf(*codes, d)),
         factor = open(*scale, matrixOf(*scale, d / blocks[0]));
    std::optional<MatrixReader> less;
    if (zero)
      less = open(*zero, matrixOf(*zero, d / blocks[0]));
    if (!code || !factor || (zero && !less))
      return nullptr;
    for (int64_t k = 0; k < codes->dims[1]; ++k)
      for (int64_t n = 0; n < codes->dims[2]; ++n) {
        float x = code->number(k, n);
        if (less)
          x -= less->number(k / blocks[1], n / blocks[2]);
        numbers.push_back(x * factor->number(k / blocks[1], n / blocks[2]));
      }
  }
  auto type = RankedTensorType::get(codes->dims, b.getF32Type());
  return ConstantOp::create(b, op.getLoc(), type,
                            DenseElementsAttr::get(type, ArrayRef(numbers)));
}

static void packFloats(RecurrentOp op) {
  Value weight = op.getWeight();
  if (getDims(weight).size() != 3)
    return;
  // A matrix that stands the other way round is packed as it is.
  Operation *made = weight.getDefiningOp();
  bool turned = isTranspose(made) && permOf(made) == ArrayRef<int64_t>{0, 2, 1};
  if (turned)
    weight = made->getOperand(0);
  OpBuilder b(op);
  if (auto coded = weight.getDefiningOp<DequantizeOp>())
    if (Value known = dequantized(b, coded))
      weight = known;
  op.getWeightMutable().assign(
      PackBOp::create(b, op.getLoc(), weight, /*transposed=*/!turned));
}

/// A constant [D, n], row by row.
template <typename T>
static Value rowsOf(OpBuilder &b, Location loc, int64_t rows,
                    ArrayRef<T> numbers, unsigned bits) {
  auto type = RankedTensorType::get({rows, int64_t(numbers.size()) / rows},
                                    b.getIntegerType(bits));
  return ConstantOp::create(b, loc, type,
                            DenseElementsAttr::get(type, numbers));
}

/// Panels of i8 of both directions, codes without a sign 128 lower, and the
/// zero points likewise.
static void packIntegers(RecurrentOp op) {
  auto codes = ConstantView::of(op.getWeight());
  if (op.getFormatAttr() || !codes || codes->dims.size() != 3 ||
      !codes->element.isInteger(8))
    return;
  int64_t ways = codes->dims[0], K = codes->dims[1], N = codes->dims[2];
  int64_t down = codes->element.isUnsignedInteger() ? 128 : 0;
  SmallVector<int8_t> zero(ways, int8_t(-down));
  if (op.getZero()) {
    auto view = ConstantView::of(op.getZero());
    if (!view || view->dims.size() != 2 || !view->element.isInteger(8))
      return;
    auto reader = open(*view, view->matrix(0, 1));
    if (!reader)
      return;
    zero.clear();
    for (int64_t d = 0; d < ways; ++d)
      for (int64_t n = 0; n < view->dims[1]; ++n)
        zero.push_back(int8_t(reader->integer(d, n) - down));
  }
  // Where each direction's matrix lies.
  SmallVector<MatrixAttr> at;
  SmallVector<MatrixReader> readers;
  for (int64_t d = 0; d < ways; ++d) {
    at.push_back(matrixOf(*codes, d));
    auto reader = open(*codes, at.back());
    if (!reader)
      return;
    readers.push_back(std::move(*reader));
  }
  SmallVector<int32_t> sums;
  FormatAttr format =
      chooseIntegerFormat(op.getContext(), readers, K, N, down, sums);
  OpBuilder b(op);
  Location loc = op.getLoc();
  SmallVector<Value> packs;
  for (MatrixAttr matrix : at)
    packs.push_back(PackWeightOp::create(b, loc, codes->constant, matrix,
                                         Value(), {}, Value(), {}, format, K,
                                         N));
  Value packed =
      ways == 1 ? packs[0] : ConcatOp::create(b, loc, packs, /*axis=*/0);
  op.getWeightMutable().assign(packed);
  op.getZeroMutable().clear();
  if (llvm::any_of(zero, [](int8_t z) { return z != 0; }))
    op.getZeroMutable().assign(rowsOf<int8_t>(b, loc, ways, zero, /*bits=*/8));
  op.getSumsMutable().assign(rowsOf<int32_t>(b, loc, ways, sums, /*bits=*/32));
  op.setFormatAttr(format);
}

void packRecurrent(Operation *root) {
  root->walk([&](RecurrentOp op) {
    if (op.getScale())
      packIntegers(op);
    else
      packFloats(op);
  });
}

} // namespace tenon
