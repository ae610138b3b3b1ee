//===- PackFormats.cpp - weights in formats of their own ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// With a = codes of the left operand made unsigned, b = those of the weight
// made signed, and za, zb their zero points, moved as the codes were:
//
//   sum (a - za)(b - zb) = sum a*b - za * sum b - zb * (sum a - K*za)
//
// all modulo 2^32. The sums of b are a constant; zb is mostly 0.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/PackFormats.h"
#include "dialects/Tenon/IR/TenonArith.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonView.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "lib/Codegen/Form/ConstantView.h"
#include "lib/Codegen/Form/PackedWeight.h"

using namespace mlir;

namespace tenon {

namespace {

//===----------------------------------------------------------------------===//
// Dequantised weights
//===----------------------------------------------------------------------===//

/// One number per block of rows and column.
struct Parameter {
  ConstantView view;
  MatrixAttr at;
  std::optional<MatrixReader> reader;
  int64_t blocks, columns;

  /// nullopt where `value` is no view of a constant.
  static std::optional<Parameter> of(Value value, int64_t dimK, int64_t dimN) {
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
  bool all(function_ref<bool(float)> holds) const {
    for (int64_t n = 0; n < columns; ++n)
      for (int64_t k = 0; k < blocks; ++k)
        if (!holds(reader->number(k, n)))
          return false;
    return true;
  }
};

bool fitsF16(float value) {
  bool loses = false;
  llvm::APFloat half(value);
  half.convert(llvm::APFloat::IEEEhalf(), llvm::APFloat::rmNearestTiesToEven,
               &loses);
  return !loses;
}

/// A constant of f16 or bf16 as it is.
PackWeightOp packHalves(OpBuilder &b, MatMulOp op) {
  Type element = getElementTypeOrSelf(op.getRhs().getType());
  std::optional<ConstantView> view;
  if (element.isF16() || element.isBF16())
    view = ConstantView::of(op.getRhs());
  if (!view || view->dims.size() != 2 || isLargeSplat(view->constant) ||
      view->constant.getValue().getNumElements() == 0)
    return nullptr;
  int64_t dimK = op.getTransposeB() ? 1 : 0, dimN = 1 - dimK;
  auto format = FormatAttr::get(b.getContext(), element, 0, {}, {});
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

PackWeightOp packFormatted(OpBuilder &b, MatMulOp op) {
  auto source = op.getRhs().getDefiningOp<DequantizeOp>();
  if (!source)
    return packHalves(b, op);
  if (!isUnrounded(source))
    return nullptr;
  std::optional<ConstantView> codes = ConstantView::of(source.getCodes());
  if (!codes || codes->dims.size() != 2 || isLargeSplat(codes->constant))
    return nullptr;
  int64_t dimK = op.getTransposeB() ? 1 : 0, dimN = 1 - dimK;
  int64_t K = codes->dims[dimK], N = codes->dims[dimN];
  int64_t rows = source.getBlocks()[dimK], columns = source.getBlocks()[dimN];
  auto scale = Parameter::of(source.getScale(), dimK, dimN);
  if (K < 1 || N < 1 || !scale || (columns != 1 && columns < N))
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
  Type scaleType = scale->all(fitsF16) ? b.getF16Type() : Type(b.getF32Type());
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
  auto format =
      FormatAttr::get(context, b.getIntegerType(bits, /*isSigned=*/false), rows,
                      scaleType, zeroType);
  return PackWeightOp::create(b, op.getLoc(), codes->constant,
                              codes->matrix(dimK, dimN), scale->view.constant,
                              scale->at, zeroConstant, zeroAt, format, K, N);
}

//===----------------------------------------------------------------------===//
// Integer products
//===----------------------------------------------------------------------===//

namespace {

/// x - zero in i32, x of 8 bits; `zero` may be null.
struct Centred {
  Value codes, zero;
};

Value codesOf(Value v) {
  auto cast = v.getDefiningOp<CastOp>();
  if (!cast || !cast.getTo().isSignlessInteger(32) ||
      !getElementTypeOrSelf(cast.getInput().getType()).isInteger(8))
    return nullptr;
  return cast.getInput();
}

std::optional<Centred> matchCentred(Value v) {
  if (Value codes = codesOf(v))
    return Centred{codes, {}};
  if (auto sub = v.getDefiningOp<SubOp>())
    if (Value codes = codesOf(sub.getLhs()))
      if (getDims(codes) == getDims(v))
        return Centred{codes, sub.getRhs()};
  return std::nullopt;
}

/// The integers of a constant, or of one that is cast; row-major.
std::optional<SmallVector<int64_t>> integersOf(Value v) {
  if (Value codes = codesOf(v))
    v = codes;
  auto constant = v.getDefiningOp<ConstantOp>();
  auto type = cast<RankedTensorType>(v.getType());
  if (!constant || !isa<IntegerType>(type.getElementType()))
    return std::nullopt;
  SmallVector<int64_t> integers;
  if (auto dense = dyn_cast<DenseElementsAttr>(constant.getValue())) {
    bool isUnsigned = type.getElementType().isUnsignedInteger();
    for (const APInt &value : dense.getValues<APInt>())
      integers.push_back(isUnsigned ? value.getZExtValue()
                                    : value.getSExtValue());
    return integers;
  }
  if (!type.getElementType().isInteger(8))
    return std::nullopt;
  auto reader = MatrixReader::open(
      constant.getValue(),
      MatrixAttr::get(v.getContext(), type.getElementType(), 0, 0, 1));
  if (!reader) {
    llvm::consumeError(reader.takeError());
    return std::nullopt;
  }
  for (int64_t i = 0, e = type.getNumElements(); i < e; ++i)
    integers.push_back(reader->integer(0, i));
  return integers;
}

/// A weight's codes and zero points.
struct IntegerWeight {
  ConstantView codes;
  SmallVector<int64_t> zero; ///< of each column, or of all
};

/// Codes that were folded with their zero points, as codes of 8 bits.
std::optional<ConstantView> narrowConstant(OpBuilder &b, Value v) {
  std::optional<SmallVector<int64_t>> integers = integersOf(v);
  if (!integers || !v.getDefiningOp<ConstantOp>())
    return std::nullopt;
  SmallVector<int8_t> narrow;
  for (int64_t value : *integers) {
    if (value < -128 || value > 127)
      return std::nullopt;
    narrow.push_back(value);
  }
  auto type = RankedTensorType::get(
      cast<RankedTensorType>(v.getType()).getShape(), b.getI8Type());
  return ConstantView::of(ConstantOp::create(
      b, v.getLoc(), type, DenseElementsAttr::get(type, ArrayRef(narrow))));
}

std::optional<IntegerWeight> matchWeight(OpBuilder &b, Value v, int64_t dimN) {
  std::optional<Centred> centred = matchCentred(v);
  std::optional<ConstantView> codes =
      centred ? ConstantView::of(centred->codes) : narrowConstant(b, v);
  if (!codes || codes->dims.size() != 2 || productOf(getDims(v)) == SymExpr(0))
    return std::nullopt;
  IntegerWeight weight{*codes, {0}};
  if (!centred || !centred->zero)
    return weight;
  std::optional<SmallVector<int64_t>> zero = integersOf(centred->zero);
  SmallVector<SymExpr> dims = getDims(centred->zero);
  while (dims.size() < 2)
    dims.insert(dims.begin(), SymExpr(1));
  if (!zero || dims.size() > 2 || dims[1 - dimN] != SymExpr(1))
    return std::nullopt;
  weight.zero = *zero;
  return weight;
}

Value i32Constant(OpBuilder &b, Location loc, ArrayRef<int32_t> values) {
  bool scalar = values.size() == 1;
  auto type = RankedTensorType::get(
      scalar ? ArrayRef<int64_t>{} : ArrayRef<int64_t>{int64_t(values.size())},
      b.getI32Type());
  return ConstantOp::create(b, loc, type, DenseElementsAttr::get(type, values));
}

Value castTo(OpBuilder &b, Location loc, Value v, Type type) {
  return CastOp::create(b, loc, v, TypeAttr::get(type), UnitAttr(),
                        RoundModeAttr());
}

template <typename OpTy>
Value make(OpBuilder &b, Location loc, Value x, Value y) {
  return OpTy::create(b, loc, x, y);
}

} // namespace

Value lowerIntegerMatMul(OpBuilder &b, MatMulOp op) {
  Location loc = op.getLoc();
  int64_t dimK = op.getTransposeB() ? 1 : 0, dimN = 1 - dimK;
  std::optional<Centred> lhs = matchCentred(op.getLhs());
  if (!lhs || op.getTransposeA())
    return nullptr;
  // The left zero point must not differ along a row.
  if (lhs->zero) {
    SmallVector<SymExpr> dims = getDims(lhs->zero);
    if (!dims.empty() && dims.back() != SymExpr(1))
      return nullptr;
  }
  std::optional<IntegerWeight> weight = matchWeight(b, op.getRhs(), dimN);
  if (!weight)
    return nullptr;
  ConstantView &codes = weight->codes;
  MatrixAttr at = codes.matrix(dimK, dimN);
  auto reader = MatrixReader::open(codes.constant.getValue(), at);
  if (!reader) {
    llvm::consumeError(reader.takeError());
    return nullptr;
  }
  int64_t K = codes.dims[dimK], N = codes.dims[dimN];
  int64_t down = codes.element.isUnsignedInteger() ? 128 : 0;
  SmallVector<int32_t> sums(N);
  for (int64_t n = 0; n < N; ++n) {
    int64_t sum = 0;
    for (int64_t k = 0; k < K; ++k)
      sum += reader->integer(k, n) - down;
    sums[n] = int32_t(sum);
  }
  SmallVector<int32_t> zeroB;
  for (int64_t z : weight->zero)
    zeroB.push_back(z - down);

  // Codes of the left operand without a sign.
  Value a = lhs->codes, zeroA = lhs->zero;
  Type i32 = b.getI32Type();
  if (!getElementTypeOrSelf(a.getType()).isUnsignedInteger()) {
    Value up = i32Constant(b, loc, {128});
    a = castTo(b, loc, make<AddOp>(b, loc, castTo(b, loc, a, i32), up),
               b.getIntegerType(8, /*isSigned=*/false));
    zeroA = zeroA ? make<AddOp>(b, loc, zeroA, up) : up;
  }
  auto format = FormatAttr::get(b.getContext(), b.getI8Type(), 0, {}, {});
  Value packed = PackWeightOp::create(b, loc, codes.constant, at, Value(), {},
                                      Value(), {}, format, K, N);
  Value result = PackedMatMulOp::create(
      b, loc, a, packed, b.getStringAttr(SymExpr(N).str()), format);
  if (zeroA) {
    Value ofColumns;
    if (auto known = integersOf(zeroA); known && known->size() == 1) {
      SmallVector<int32_t> shift(sums);
      for (int32_t &sum : shift)
        sum = int32_t(uint32_t(sum) * uint32_t(known->front()));
      ofColumns = i32Constant(b, loc, shift);
    } else {
      // As wide as the result: an epilogue's, not a kernel of its own.
      Value wide =
          BroadcastToOp::create(b, loc, i32Constant(b, loc, sums),
                                DimsAttr::get(b.getContext(), getDims(result)));
      ofColumns = make<MulOp>(b, loc, wide, zeroA);
    }
    result = make<SubOp>(b, loc, result, ofColumns);
  }
  if (llvm::any_of(zeroB, [](int32_t z) { return z != 0; })) {
    int64_t rank = cast<RankedTensorType>(a.getType()).getRank();
    Value ofRow =
        ReduceOp::create(b, loc, ReduceKind::sum, castTo(b, loc, a, i32),
                         ArrayRef<int64_t>{rank - 1},
                         /*keepdims=*/true);
    if (zeroA)
      ofRow = make<SubOp>(
          b, loc, ofRow,
          make<MulOp>(b, loc, zeroA, i32Constant(b, loc, {int32_t(K)})));
    result = make<SubOp>(
        b, loc, result, make<MulOp>(b, loc, ofRow, i32Constant(b, loc, zeroB)));
  }
  return result;
}

/// A cast of integers to f32, times a scale that is one along each row.
static std::optional<std::pair<Value, Value>> matchScaled(Value v) {
  auto mul = v.getDefiningOp<MulOp>();
  if (!mul || !getElementTypeOrSelf(v.getType()).isF32())
    return std::nullopt;
  for (auto [x, scale] : {std::pair{mul.getLhs(), mul.getRhs()},
                          std::pair{mul.getRhs(), mul.getLhs()}}) {
    auto cast = x.getDefiningOp<CastOp>();
    SmallVector<SymExpr> dims = getDims(scale);
    if (cast && matchCentred(cast.getInput()) && getDims(x) == getDims(v) &&
        (dims.empty() || dims.back() == SymExpr(1)))
      return std::pair{cast.getInput(), scale};
  }
  return std::nullopt;
}

Value lowerQuantizedMatMul(OpBuilder &b, MatMulOp op) {
  auto weight = op.getRhs().getDefiningOp<DequantizeOp>();
  auto lhs = matchScaled(op.getLhs());
  if (!weight || !lhs || op.getTransposeA() || !weight.getTo().isF32() ||
      getDims(weight.getResult()).size() != 2)
    return nullptr;
  Location loc = op.getLoc();
  int64_t dimK = op.getTransposeB() ? 1 : 0, dimN = 1 - dimK;
  auto type = cast<RankedTensorType>(weight.getCodes().getType());
  auto scale = Parameter::of(weight.getScale(), dimK, dimN);
  if (!scale || weight.getBlocks()[dimK] < type.getDimSize(dimK) ||
      (scale->columns != 1 && scale->columns != type.getDimSize(dimN)))
    return nullptr;
  Type i32 = b.getI32Type();
  Value numbers = castTo(b, loc, weight.getCodes(), i32);
  if (weight.getZero()) {
    if (isa<FloatType>(getElementTypeOrSelf(weight.getZero().getType())))
      return nullptr;
    numbers =
        make<SubOp>(b, loc, numbers, castTo(b, loc, weight.getZero(), i32));
  }
  auto product = MatMulOp::create(b, loc, lhs->first, numbers,
                                  /*transposeA=*/false, op.getTransposeB());
  Value sums = lowerIntegerMatMul(b, product);
  product.erase();
  if (!sums)
    return nullptr;
  std::optional<double> known = match::scalarOf(lhs->second);
  SmallVector<float> factors;
  for (int64_t n = 0; n < scale->columns; ++n)
    factors.push_back(scale->reader->number(0, n) *
                      (known ? float(*known) : 1.0f));
  bool scalar = factors.size() == 1;
  auto factorType = RankedTensorType::get(
      scalar ? ArrayRef<int64_t>{} : ArrayRef<int64_t>{int64_t(factors.size())},
      b.getF32Type());
  Value factor =
      ConstantOp::create(b, loc, factorType,
                         DenseElementsAttr::get(factorType, ArrayRef(factors)));
  if (!known)
    factor = make<MulOp>(b, loc, factor, lhs->second);
  return make<MulOp>(b, loc, castTo(b, loc, sums, b.getF32Type()), factor);
}

} // namespace tenon
