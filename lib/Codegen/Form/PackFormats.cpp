//===- PackFormats.cpp - weights in formats of their own ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/PackFormats.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Dequantize.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/PackWeight.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Form/PackedWeight.h"
#include "llvm/ADT/StringSwitch.h"
#include <cmath>

using namespace mlir;

namespace tenon {

bool isLargeSplat(ConstantOp constant) {
  constexpr int64_t kMaxSplat = 1 << 22;
  return isa<SplatElementsAttr>(constant.getValue()) &&
         constant.getValue().getNumElements() > kMaxSplat;
}

ConstantOp packedConstant(PackBOp pack) {
  // What has symbols for dims that a check knows is packed by a run.
  if (!cast<RankedTensorType>(pack.getInput().getType()).hasStaticShape())
    return {};
  auto constant = skipReshapes(pack.getInput()).getDefiningOp<ConstantOp>();
  return constant && !isLargeSplat(constant) ? constant : ConstantOp();
}

bool isPackedWeight(Operation *op) {
  auto isPanels = [](Operation *op) {
    auto pack = dyn_cast_or_null<PackBOp>(op);
    return isa_and_nonnull<PackWeightOp>(op) || (pack && packedConstant(pack));
  };
  if (auto concat = dyn_cast_or_null<ConcatOp>(op))
    return llvm::all_of(concat.getInputs(),
                        [&](Value v) { return isPanels(v.getDefiningOp()); });
  return isPanels(op);
}

std::optional<Parameter> Parameter::of(Value value, int64_t dimK,
                                       int64_t dimN) {
  std::optional<ConstantView> view = ConstantView::of(value);
  if (!view)
    return std::nullopt;
  MatrixAttr at = view->matrix(dimK, dimN);
  auto reader = MatrixReader::open(view->constant.getValue(), at);
  if (!reader) {
    llvm::consumeError(reader.takeError());
    return std::nullopt;
  }
  return Parameter{*view, at, std::move(*reader), view->dims[dimK],
                   view->dims[dimN]};
}

bool Parameter::all(function_ref<bool(float)> holds) const {
  for (int64_t n = 0; n < columns; ++n)
    for (int64_t k = 0; k < blocks; ++k)
      if (!holds(reader->number(k, n)))
        return false;
  return true;
}

namespace {

bool fitsF16(float value) {
  bool loses = false;
  llvm::APFloat half(value);
  half.convert(llvm::APFloat::IEEEhalf(), llvm::APFloat::rmNearestTiesToEven,
               &loses);
  return !loses;
}

/// Has each row as many terms as the constant has rows, whatever the run? Else
/// the product relies on a check, and is one by f32 panels.
bool knowsTerms(MatMulOp op, int64_t K) {
  SmallVector<SymExpr> dims = getDims(op.getLhs());
  return dims[dims.size() - (op.getTransposeA() ? 2 : 1)] == SymExpr(K);
}

/// Are there finite numbers that f16 has no place for?
bool overflowsF16(ConstantView &view, int64_t dimK, int64_t dimN) {
  constexpr float kFirst = 65520; // that is rounded to infinity
  auto reader =
      MatrixReader::open(view.constant.getValue(), view.matrix(dimK, dimN));
  if (!reader) {
    llvm::consumeError(reader.takeError());
    return true;
  }
  for (int64_t k = 0; k < view.dims[dimK]; ++k)
    for (int64_t n = 0; n < view.dims[dimN]; ++n)
      if (float x = std::abs(reader->number(k, n));
          x >= kFirst && !std::isinf(x))
        return true;
  return false;
}

/// What a weight is stored as: halves that the model casts to f32, as tools
/// write them that make a file smaller, are multiplied as they are stored.
Value storedOf(OpBuilder &b, Value weight) {
  auto cast = skipReshapes(weight).getDefiningOp<CastOp>();
  if (!cast || !cast.getTo().isF32())
    return weight;
  Type from = getElementTypeOrSelf(cast.getInput().getType());
  if (!from.isF16() && !from.isBF16())
    return weight;
  return cast.getResult() == weight
             ? cast.getInput()
             : createReshape(b, cast.getLoc(), cast.getInput(),
                             getDims(weight));
}

/// A constant of f16 or bf16 as it is, or one of floats that is rounded.
PackWeightOp packHalves(OpBuilder &b, MatMulOp op, Precision precision) {
  Value stored = storedOf(b, op.getRhs());
  Type element = getElementTypeOrSelf(stored.getType()), rows;
  if (precision == Precision::bf16)
    rows = b.getBF16Type();
  if (precision == Precision::f16)
    rows = b.getF16Type();
  std::optional<ConstantView> view;
  if (rows || element.isF16() || element.isBF16())
    view = ConstantView::of(stored);
  if (!view || view->dims.size() != 2 || isLargeSplat(view->constant) ||
      view->constant.getValue().getNumElements() == 0)
    return nullptr;
  int64_t dimK = op.getTransposeB() ? 1 : 0, dimN = 1 - dimK;
  if (!knowsTerms(op, view->dims[dimK]))
    return nullptr;
  // So few have kernels of their own, by panels of f32, which are small.
  constexpr int64_t fewColumns = 16;
  if (!rows && view->dims[dimN] <= fewColumns)
    return nullptr;
  if (rows && rows.isF16() && !element.isF16() &&
      overflowsF16(*view, dimK, dimN)) {
    op.emitWarning("its weight has numbers beyond f16's: it stays ") << element;
    return element.isF32() ? PackWeightOp() : packHalves(b, op, Precision::f32);
  }
  auto format =
      FormatAttr::get(b.getContext(), rows ? rows : element, 0, {}, {}, rows);
  return PackWeightOp::create(b, op.getLoc(), view->constant,
                              view->matrix(dimK, dimN), Value(), {}, Value(),
                              {}, format, view->dims[dimK], view->dims[dimN]);
}

/// Does the product take the numbers as they are before they are rounded to
/// the dequantised type?
bool isUnrounded(DequantizeOp op) {
  return op.getTo().isF32() ||
         llvm::all_of(op->getUsers(), [&](Operation *user) {
           return user->getLoc() == op->getLoc();
         });
}

} // namespace

std::optional<Precision> parsePrecision(StringRef name) {
  return llvm::StringSwitch<std::optional<Precision>>(name)
      .Case("f32", Precision::f32)
      .Case("bf16", Precision::bf16)
      .Case("f16", Precision::f16)
      .Case("int8-act", Precision::int8Act)
      .Default(std::nullopt);
}

Value panelsOf(OpBuilder &b, Value matrices, bool transposed, int64_t group) {
  Location loc = matrices.getLoc();
  SmallVector<SymExpr> dims = getDims(matrices);
  size_t rank = dims.size(), k = rank - (transposed ? 1 : 2),
         n = rank - (transposed ? 2 : 1);
  SymExpr columns(kPanelColumns), rows(group),
      groups = SymExpr::apply(SymExpr::Fn::CeilDiv, dims[k], rows),
      panels = SymExpr::apply(SymExpr::Fn::CeilDiv, dims[n], columns);
  auto attr = [&](ArrayRef<SymExpr> of) {
    return DimsAttr::get(b.getContext(), of);
  };
  SmallVector<SymExpr> low(rank, 0), high(rank, 0);
  high[k] = groups * rows - dims[k];
  high[n] = panels * columns - dims[n];
  if (high[k] != SymExpr(0) || high[n] != SymExpr(0)) {
    Type element = getElementTypeOrSelf(matrices.getType());
    auto number = RankedTensorType::get({}, b.getI32Type());
    Value zero = ConstantOp::create(
        b, loc, number, DenseElementsAttr::get(number, APInt(32, 0)));
    zero = CastOp::create(b, loc, zero, TypeAttr::get(element), UnitAttr(),
                          RoundModeAttr());
    matrices = PadOp::create(b, loc, PadMode::constant, matrices, zero,
                             attr(low), attr(high));
  }
  SmallVector<SymExpr> split(ArrayRef(dims).drop_back(2)), whole(split);
  SmallVector<int64_t> perm;
  for (size_t i = 0; i < rank - 2; ++i)
    perm.push_back(i);
  if (transposed)
    split.append({panels, columns, groups, rows});
  else
    split.append({groups, rows, panels, columns});
  SmallVector<int64_t> inner{2, 0, 3, 1};
  if (transposed)
    inner = {0, 2, 1, 3};
  for (int64_t from : inner)
    perm.push_back(rank - 2 + from);
  whole.append({panels, groups * rows * columns});
  Value v = createReshape(b, loc, matrices, split);
  v = createTranspose(b, loc, v, perm);
  return createReshape(b, loc, v, whole);
}

PackWeightOp packFormatted(OpBuilder &b, MatMulOp op, Precision precision) {
  auto source = op.getRhs().getDefiningOp<DequantizeOp>();
  if (!source)
    return packHalves(b, op, precision);
  if (!isUnrounded(source))
    return nullptr;
  std::optional<ConstantView> codes = ConstantView::of(source.getCodes());
  if (!codes || codes->dims.size() != 2 || isLargeSplat(codes->constant))
    return nullptr;
  int64_t dimK = op.getTransposeB() ? 1 : 0, dimN = 1 - dimK;
  int64_t K = codes->dims[dimK], N = codes->dims[dimN];
  int64_t rows = source.getBlocks()[dimK], columns = source.getBlocks()[dimN];
  auto scale = Parameter::of(source.getScale(), dimK, dimN);
  if (K < 1 || N < 1 || !scale || !knowsTerms(op, K) ||
      (columns != 1 && columns < N))
    return nullptr;
  if (rows >= K)
    rows = 0;
  else if (rows < 16 || rows > 1 << 16 || (rows & (rows - 1)))
    return nullptr;
  MLIRContext *context = b.getContext();
  Type byte = b.getIntegerType(8, /*isSigned=*/false);
  unsigned bits = storedBits(codes->element);
  float middle = 1 << (bits - 1);
  bool isSigned = !codes->element.isUnsignedInteger();
  // Of f16 the kernels take it that times an integer it is exact.
  bool isHalf =
      scale->all([](float s) { return std::isfinite(s) && fitsF16(s); });
  Type scaleType = isHalf ? b.getF16Type() : Type(b.getF32Type());
  // What is subtracted of codes without a sign.
  std::optional<Parameter> zero;
  Type zeroType;
  Value zeroConstant;
  MatrixAttr zeroAt;
  if (source.getZero()) {
    zero = Parameter::of(source.getZero(), dimK, dimN);
    bool isFloat = zero && isa<FloatType>(zero->view.element);
    if (!zero || (isFloat && isSigned))
      return nullptr;
    float shift = isSigned ? middle : 0;
    if (!zero->all([&](float z) { return z + shift == middle; })) {
      zeroType = isFloat ? Type(b.getF32Type()) : byte;
      zeroConstant = zero->view.constant;
      zeroAt = zero->at;
    }
  } else if (!isSigned) {
    zeroType = byte;
    auto type = RankedTensorType::get({1}, byte);
    zeroConstant = ConstantOp::create(
        b, op.getLoc(), type, DenseElementsAttr::get(type, APInt(8, 0)));
    zeroAt = MatrixAttr::get(context, byte, 0, 0, 0);
  }
  // The sums of a block must stay inside i32.
  constexpr int64_t kMostRows = 1 << 16;
  // Few bits less their zero points fit a byte with a sign, if these are codes.
  bool isCode = bits == 8 || !zeroType || zeroType.isF32() || !zero ||
                zero->all([&](float z) {
                  z += isSigned ? middle : 0;
                  return z >= 0 && z < 2 * middle;
                });
  bool quantizes =
      precision == Precision::int8Act && isCode && (rows || K <= kMostRows);
  auto format =
      FormatAttr::get(context, b.getIntegerType(bits, /*isSigned=*/false), rows,
                      scaleType, zeroType, quantizes ? b.getI8Type() : Type());
  return PackWeightOp::create(b, op.getLoc(), codes->constant,
                              codes->matrix(dimK, dimN), scale->view.constant,
                              scale->at, zeroConstant, zeroAt, format, K, N);
}

} // namespace tenon
