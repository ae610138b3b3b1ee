//===- PackIntegers.cpp - products of codes -------------------------------===//
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
// all modulo 2^32. The sums of b are a constant; zb is mostly 0. Where b are
// codes that the model computes (attention's) their panels and sums are made at
// run time, by views and reductions like any other.
//
// A product of floats that codes stand for, (a - za) * sa by (b - zb) * sb, is
// one of integers times sa * sb, if no sum leaves i32. Views are taken of codes
// instead: a convolution's patches are made of bytes, and of zero points where
// they lie outside the image.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Dequantize.h"
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/PackWeight.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "lib/Codegen/Form/AttentionCodes.h"
#include "lib/Codegen/Form/ChannelsLast.h"
#include "lib/Codegen/Form/PackFormats.h"
#include "lib/Codegen/Form/PackedWeight.h"
#include "lib/Codegen/Form/PairSums.h"
#include "lib/Codegen/Form/PatchSums.h"
#include "lib/Codegen/Form/Repeats.h"
#include "lib/Codegen/Form/Requantize.h"
#include "llvm/ADT/BitVector.h"
#include <cmath>
#include <limits>
#include <numeric>

using namespace mlir;

namespace tenon {

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

/// A number, or a vector of several.
template <typename T>
Value constantOf(OpBuilder &b, Location loc, Type element, ArrayRef<T> values) {
  bool scalar = values.size() == 1;
  auto type = RankedTensorType::get(
      scalar ? ArrayRef<int64_t>{} : ArrayRef<int64_t>{int64_t(values.size())},
      element);
  return ConstantOp::create(b, loc, type, DenseElementsAttr::get(type, values));
}
Value i32Constant(OpBuilder &b, Location loc, ArrayRef<int32_t> values) {
  return constantOf(b, loc, b.getI32Type(), values);
}
Value f32Constant(OpBuilder &b, Location loc, ArrayRef<float> values) {
  return constantOf(b, loc, b.getF32Type(), values);
}

/// Constants of more columns are large: they stay in the model's file.
constexpr int64_t kMostColumns = 1 << 16;

/// A constant of floats all of which are integers in [-128, 127], as these; or
/// null.
Value integralConstant(OpBuilder &b, ConstantOp constant) {
  auto type = cast<RankedTensorType>(constant.getResult().getType());
  bool isF32 = type.getElementType().isF32();
  size_t bytes = isF32 ? 4 : 8;
  ArrayRef<char> data = match::bytesOf(constant.getValue());
  if ((!isF32 && !type.getElementType().isF64()) ||
      data.size() < type.getNumElements() * bytes)
    return nullptr;
  SmallVector<int8_t> integers;
  for (const char *at = data.begin(); at < data.end(); at += bytes) {
    double value;
    float narrow;
    memcpy(isF32 ? (void *)&narrow : (void *)&value, at, bytes);
    if (isF32)
      value = narrow;
    if (!(value >= -128 && value <= 127 && value == std::trunc(value)))
      return nullptr;
    integers.push_back(int8_t(value));
  }
  auto narrow = RankedTensorType::get(type.getShape(), b.getI8Type());
  return ConstantOp::create(b, constant.getLoc(), narrow,
                            DenseElementsAttr::get(narrow, ArrayRef(integers)));
}

Value castTo(OpBuilder &b, Location loc, Value v, Type type) {
  if (getElementTypeOrSelf(v.getType()) == type)
    return v;
  return CastOp::create(b, loc, v, TypeAttr::get(type), UnitAttr(),
                        RoundModeAttr());
}

template <typename OpTy>
Value make(OpBuilder &b, Location loc, Value x, Value y) {
  return OpTy::create(b, loc, x, y);
}

/// Codes with a sign, and what is subtracted of them (null: 0), 128 higher.
void makeUnsigned(OpBuilder &b, Value &codes, Value &zero) {
  if (getElementTypeOrSelf(codes.getType()).isUnsignedInteger())
    return;
  Location loc = codes.getLoc();
  Value up = i32Constant(b, loc, {128});
  codes = castTo(b, loc,
                 make<AddOp>(b, loc, castTo(b, loc, codes, b.getI32Type()), up),
                 b.getIntegerType(8, /*isSigned=*/false));
  zero = zero ? make<AddOp>(b, loc, zero, up) : up;
}

bool isOne(Value v) { return !v || isOneElement(v); }

/// Is it known to be that integer alone? `v` may be null.
bool isNumber(Value v, int64_t number) {
  auto known = v ? integersOf(v) : std::nullopt;
  return known && known->size() == 1 && known->front() == number;
}

Value reshaped(OpBuilder &b, Value v, ArrayRef<SymExpr> dims) {
  if (!v || getDims(v) == SmallVector<SymExpr>(dims))
    return v;
  return createReshape(b, v.getLoc(), v, dims);
}

Value sumAlong(OpBuilder &b, Location loc, Value v, int64_t dim) {
  return ReduceOp::create(b, loc, ReduceKind::sum, v, ArrayRef<int64_t>{dim},
                          /*keepdims=*/true);
}

/// A product of codes neither of which are a constant: sums of both are taken
/// when it runs. Null where the right ones have several zero points.
Value multiplyCodes(OpBuilder &b, MatMulOp op, Centred left) {
  Location loc = op.getLoc();
  SmallVector<Operation *> views;
  Value matrices = skipRepeats(op.getRhs(), views);
  std::optional<Centred> right = matchCentred(matrices);
  if (!right || !isOne(right->zero))
    return nullptr;
  Value codes = right->codes, a = left.codes, zeroA = left.zero;
  SmallVector<SymExpr> dims = getDims(codes), rows = getDims(a);
  bool transposed = op.getTransposeB();
  if (dims.size() < 2 || rows.size() < 2 || getDims(matrices) != dims)
    return nullptr;
  int64_t rank = dims.size(), dimK = rank - (transposed ? 1 : 2);
  SymExpr N = dims[rank - (transposed ? 2 : 1)];
  SymExpr K = rows.back();
  if (K == SymExpr(0) || dims[dimK] != K)
    return nullptr;
  Type i32 = b.getI32Type(), byte = b.getIntegerType(8, /*isSigned=*/false);
  Value numbers = castTo(b, loc, codes, i32), zeroB = right->zero;
  if (getElementTypeOrSelf(codes.getType()).isUnsignedInteger()) {
    Value down = i32Constant(b, loc, {128});
    numbers = make<SubOp>(b, loc, numbers, down);
    zeroB = make<SubOp>(
        b, loc, zeroB ? reshaped(b, zeroB, {}) : i32Constant(b, loc, {0}),
        down);
  }
  // The middle of unsigned codes is the 0 of signed ones.
  if (isNumber(right->zero, 128) &&
      getElementTypeOrSelf(codes.getType()).isUnsignedInteger())
    zeroB = {};
  // The least of signed codes is the 0 of unsigned ones.
  bool isLeast = !getElementTypeOrSelf(a.getType()).isUnsignedInteger() &&
                 zeroA && isNumber(zeroA, -128);
  if (zeroA && !isLeast && zeroB && !K.constant())
    return nullptr;
  makeUnsigned(b, a, zeroA);
  if (isLeast)
    zeroA = {};
  auto format = FormatAttr::get(b.getContext(), b.getI8Type(), 0, {}, {}, {});
  Value packed =
      panelsOf(b, castTo(b, loc, numbers, byte), transposed, /*group=*/4);
  for (Operation *view : llvm::reverse(views))
    packed = repeatAlike(b, view, packed, /*inner=*/2);
  Value result = PackedMatMulOp::create(b, loc, a, packed,
                                        b.getStringAttr(N.str()), format);
  if (zeroA) {
    Value ofColumns = sumAlong(b, loc, numbers, dimK);
    SmallVector<SymExpr> row(dims.begin(), dims.end() - 2);
    row.append({SymExpr(1), N});
    ofColumns = reshaped(b, ofColumns, row);
    for (Operation *view : llvm::reverse(views))
      ofColumns = repeatAlike(b, view, ofColumns, /*inner=*/2);
    result = make<SubOp>(b, loc, result, make<MulOp>(b, loc, ofColumns, zeroA));
  }
  if (zeroB) {
    Value ofRow = sumRows(b, loc, a);
    if (zeroA)
      ofRow = make<SubOp>(
          b, loc, ofRow,
          make<MulOp>(b, loc, zeroA,
                      i32Constant(b, loc, {int32_t(*K.constant())})));
    result = make<SubOp>(b, loc, result,
                         make<MulOp>(b, loc, ofRow, reshaped(b, zeroB, {})));
  }
  return result;
}

/// Counts the blocks of a weight that would be marked (PairSums.h).
class PairMarks {
public:
  PairMarks(int64_t block, int64_t K, int64_t N)
      : block(block), blocks(K % block ? 0 : K / block),
        marks(blocks * llvm::divideCeil(N, kMarkedColumns)) {}
  void add(ArrayRef<int8_t> column, int64_t n) {
    for (int64_t i = 0; i < blocks; ++i)
      if (!fitsPairs(&column[i * block], block / 4, /*apart=*/4))
        marks.set(n / kMarkedColumns * blocks + i);
  }
  double cost() const {
    if (marks.empty())
      return std::numeric_limits<double>::infinity();
    return costOfPairs(block, marks.count() / double(marks.size()));
  }

private:
  int64_t block, blocks;
  llvm::BitVector marks;
};

/// Calls fn for each column in turn, of codes less `down`. Rows mostly lie in
/// lines: many columns are read at a time.
void forColumns(const MatrixReader &reader, int64_t K, int64_t N, int64_t down,
                function_ref<void(ArrayRef<int8_t>)> fn) {
  constexpr int64_t most = 32;
  SmallVector<int8_t> codes(most * K);
  for (int64_t first = 0; first < N; first += most) {
    int64_t count = std::min(most, N - first);
    for (int64_t k = 0; k < K; ++k) {
      auto [from, apart] = reader.columnsAt(k, first);
      for (int64_t n = 0; n < count; ++n)
        codes[n * K + k] =
            (from ? from[n * apart] : reader.integer(k, first + n)) - down;
    }
    for (int64_t n = 0; n < count; ++n)
      fn(ArrayRef(codes).slice(n * K, K));
  }
}

/// Of fewer rows the marks would take more than a byte in twenty, lists more
/// than one in eight; of 320 these do not either.
constexpr int64_t kFewestMarked = 64;

/// Rows with one zero point, maybe seen through a view that splits or joins
/// rows.
std::optional<Centred> matchCentredRows(OpBuilder &b, Value v) {
  if (std::optional<Centred> rows = matchCentred(v))
    return rows;
  auto view = v.getDefiningOp<ReshapeOp>();
  if (!view || getDims(v).empty() || getDims(view.getInput()).empty() ||
      getDims(view.getInput()).back() != getDims(v).back())
    return std::nullopt;
  std::optional<Centred> rows = matchCentred(view.getInput());
  if (!rows || (rows->zero && !isOneElement(rows->zero)))
    return std::nullopt;
  Location loc = view.getLoc();
  rows->codes = createReshape(b, loc, rows->codes, getDims(v));
  if (rows->zero)
    rows->zero = createReshape(b, loc, rows->zero, {});
  return rows;
}

} // namespace

FormatAttr chooseIntegerFormat(MLIRContext *context,
                               ArrayRef<MatrixReader> matrices, int64_t K,
                               int64_t N, int64_t down,
                               SmallVectorImpl<int32_t> &sums) {
  int64_t columns = matrices.size() * N;
  PairMarks sixteen(16, K, columns), eight(8, K, columns);
  for (const MatrixReader &matrix : matrices)
    forColumns(matrix, K, N, down, [&](ArrayRef<int8_t> column) {
      sixteen.add(column, sums.size());
      eight.add(column, sums.size());
      sums.push_back(
          int32_t(std::accumulate(column.begin(), column.end(), int64_t())));
    });
  int64_t block = 0;
  double least = kCostOfWidened;
  auto consider = [&](int64_t way, double cost) {
    if (cost < least)
      block = way, least = cost;
  };
  if (K >= kFewestMarked) {
    consider(16, sixteen.cost());
    consider(8, eight.cost());
  }
  if (K >= kFewestMarked)
    consider(4, kCostOfLists);
  return FormatAttr::get(context, IntegerType::get(context, 8), block, {}, {},
                         {});
}

Value lowerIntegerMatMul(OpBuilder &b, MatMulOp op) {
  Location loc = op.getLoc();
  int64_t dimK = op.getTransposeB() ? 1 : 0, dimN = 1 - dimK;
  std::optional<Centred> lhs = matchCentredRows(b, op.getLhs());
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
    return multiplyCodes(b, op, *lhs);
  ConstantView &codes = weight->codes;
  MatrixAttr at = codes.matrix(dimK, dimN);
  auto reader = MatrixReader::open(codes.constant.getValue(), at);
  if (!reader) {
    llvm::consumeError(reader.takeError());
    return nullptr;
  }
  int64_t K = codes.dims[dimK], N = codes.dims[dimN];
  int64_t down = codes.element.isUnsignedInteger() ? 128 : 0;
  SmallVector<int32_t> sums;
  FormatAttr format =
      chooseIntegerFormat(b.getContext(), *reader, K, N, down, sums);
  SmallVector<int32_t> zeroB;
  for (int64_t z : weight->zero)
    zeroB.push_back(z - down);

  Value a = lhs->codes, zeroA = lhs->zero;
  makeUnsigned(b, a, zeroA);
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
    Value ofRow = sumRows(b, loc, a);
    if (zeroA)
      ofRow = make<SubOp>(
          b, loc, ofRow,
          make<MulOp>(b, loc, zeroA, i32Constant(b, loc, {int32_t(K)})));
    result = make<SubOp>(
        b, loc, result, make<MulOp>(b, loc, ofRow, i32Constant(b, loc, zeroB)));
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Floats that codes stand for
//===----------------------------------------------------------------------===//

namespace {

/// (codes - zero) * scale; the latter two may be null.
struct Coded {
  Value codes, zero, scale;
};

/// Integers as floats, maybe times a scale that is one along each row.
std::optional<Coded> matchCoded(Value v) {
  auto number = [](Value v) -> std::optional<Coded> {
    auto cast = v.getDefiningOp<CastOp>();
    Type type = getElementTypeOrSelf(v.getType());
    if (!cast || (!type.isF32() && !type.isF64()))
      return std::nullopt;
    if (auto centred = matchCentred(cast.getInput()))
      return Coded{centred->codes, centred->zero, {}};
    if (getElementTypeOrSelf(cast.getInput().getType()).isInteger(8))
      return Coded{cast.getInput(), {}, {}};
    return std::nullopt;
  };
  auto mul = v.getDefiningOp<MulOp>();
  if (!mul || !getElementTypeOrSelf(v.getType()).isF32())
    return number(v);
  for (auto [x, scale] : {std::pair{mul.getLhs(), mul.getRhs()},
                          std::pair{mul.getRhs(), mul.getLhs()}}) {
    std::optional<Coded> coded = number(x);
    if (!coded || getDims(x) != getDims(v))
      continue;
    coded->scale = scale;
    return coded;
  }
  return std::nullopt;
}

/// The view of codes, with `zero` (null: 0) where it lies outside an image.
Value viewOfCodes(OpBuilder &b, Operation *view, Value codes, Value zero) {
  Location loc = view->getLoc();
  if (isReshape(view))
    return reshaped(b, codes, getDims(view->getResult(0)));
  if (isTranspose(view))
    return createTranspose(b, loc, codes, permOf(view));
  auto patches = cast<Im2ColOp>(view);
  ArrayRef<int64_t> pads = patches.getPads();
  if (llvm::any_of(pads, [](int64_t pad) { return pad != 0; })) {
    size_t rank = pads.size() / 2, first = patches.getChannelsLast() ? 1 : 2;
    SmallVector<SymExpr> low(rank + 2, 0), high(rank + 2, 0);
    for (size_t d = 0; d < rank; ++d) {
      low[first + d] = pads[d];
      high[first + d] = pads[d + rank];
    }
    Value outside = castTo(b, loc, zero ? zero : i32Constant(b, loc, {0}),
                           getElementTypeOrSelf(codes.getType()));
    codes = PadOp::create(b, loc, PadMode::constant, codes, outside,
                          DimsAttr::get(b.getContext(), low),
                          DimsAttr::get(b.getContext(), high));
  }
  return Im2ColOp::create(b, loc, codes, patches.getKernel(),
                          patches.getStrides(),
                          SmallVector<int64_t>(pads.size(), 0),
                          patches.getDilations(), patches.getChannelsLast());
}

/// A constant's codes as `views` has them, the last of which is the first. A
/// filter with its channels last is another constant.
Value viewsOfWeight(OpBuilder &b, ArrayRef<Operation *> views, Value codes) {
  if (views.size() == 2 && isTranspose(views[1]) && isReshape(views[0]) &&
      getDims(codes).size() > 2 && permOf(views[1]).front() == 0 &&
      permOf(views[1]).back() == 1)
    return flattenChannelsLast(b, codes.getLoc(), codes);
  for (Operation *view : llvm::reverse(views))
    codes = viewOfCodes(b, view, codes, {});
  return codes;
}

/// What views `v` is of, the last first.
Value sourceOf(Value v, SmallVectorImpl<Operation *> &views) {
  for (Operation *view = v.getDefiningOp();
       isReshape(view) || isTranspose(view) || isa_and_nonnull<Im2ColOp>(view);
       view = v.getDefiningOp()) {
    views.push_back(view);
    v = view->getOperand(0);
  }
  return v;
}

/// The rows of a product as codes: views of floats become views of bytes.
std::optional<Coded> matchRows(OpBuilder &b, Value v) {
  SmallVector<Operation *> views;
  std::optional<Coded> coded = matchCoded(sourceOf(v, views));
  if (!coded)
    return std::nullopt;
  if (coded->scale) {
    SmallVector<SymExpr> dims = getDims(coded->scale);
    if (!dims.empty() && dims.back() != SymExpr(1))
      return std::nullopt;
  }
  if (views.empty())
    return coded;
  if (!isOne(coded->zero) || !isOne(coded->scale))
    return std::nullopt;
  coded->zero = reshaped(b, coded->zero, {});
  coded->scale = reshaped(b, coded->scale, {});
  makeUnsigned(b, coded->codes, coded->zero);
  for (Operation *view : llvm::reverse(views))
    coded->codes = viewOfCodes(b, view, coded->codes, coded->zero);
  return coded;
}

/// A constant of integers times a scale: few codes are such floats already.
std::optional<Coded> matchScaledConstant(OpBuilder &b, Value v) {
  auto product = v.getDefiningOp<MulOp>();
  auto constant =
      product ? product.getLhs().getDefiningOp<ConstantOp>() : ConstantOp();
  if (!constant || getDims(product.getLhs()) != getDims(v))
    return std::nullopt;
  Value codes = integralConstant(b, constant);
  return codes ? std::optional(Coded{codes, {}, product.getRhs()})
               : std::nullopt;
}

/// A weight [n, k] (`transposed`) or [k, n]: integers, and a scale that is one
/// number or [n].
std::optional<std::pair<Value, Value>> matchScaledWeight(OpBuilder &b, Value v,
                                                         bool transposed) {
  Location loc = v.getLoc();
  Type i32 = b.getI32Type();
  if (getDims(v).size() != 2)
    return std::nullopt;
  auto centre = [&](Value codes, Value zero) {
    Value numbers = castTo(b, loc, codes, i32);
    return zero ? make<SubOp>(b, loc, numbers, castTo(b, loc, zero, i32))
                : numbers;
  };
  if (auto weight = v.getDefiningOp<DequantizeOp>()) {
    int64_t dimK = transposed ? 1 : 0, dimN = 1 - dimK;
    auto type = cast<RankedTensorType>(weight.getCodes().getType());
    Value zero = weight.getZero();
    auto scale = Parameter::of(weight.getScale(), dimK, dimN);
    if (!weight.getTo().isF32() || !scale ||
        weight.getBlocks()[dimK] < type.getDimSize(dimK) ||
        (scale->columns != 1 && scale->columns != type.getDimSize(dimN)) ||
        (zero && isa<FloatType>(getElementTypeOrSelf(zero.getType()))))
      return std::nullopt;
    SmallVector<float> factors;
    for (int64_t n = 0; n < scale->columns; ++n)
      factors.push_back(scale->reader->number(0, n));
    return std::pair{centre(weight.getCodes(), zero),
                     f32Constant(b, loc, factors)};
  }
  SmallVector<Operation *> views;
  Value source = sourceOf(v, views);
  if (auto constant = source.getDefiningOp<ConstantOp>()) {
    Value codes = integralConstant(b, constant);
    if (!codes)
      return std::nullopt;
    return std::pair{centre(viewsOfWeight(b, views, codes), {}), Value()};
  }
  std::optional<Coded> coded = matchCoded(source);
  if (!coded)
    coded = matchScaledConstant(b, source);
  if (!coded)
    return std::nullopt;
  // Whatever there is one of for each column belongs to dim 0, which views
  // leave where it is.
  SymExpr columns = getDims(source)[0];
  auto isOfColumns = [&](Value of) {
    if (isOne(of))
      return true;
    SmallVector<SymExpr> dims = getDims(of);
    return transposed && dims.size() == getDims(source).size() &&
           dims[0] == columns && productOf(dims) == columns &&
           llvm::all_of(views, [&](Operation *view) {
             return isTranspose(view)
                        ? permOf(view)[0] == 0
                        : isReshape(view) &&
                              getDims(view->getResult(0))[0] == columns;
           });
  };
  if (!isOfColumns(coded->zero) || !isOfColumns(coded->scale))
    return std::nullopt;
  Value zero, scale;
  if (coded->zero) {
    std::optional<SmallVector<int64_t>> integers = integersOf(coded->zero);
    if (!integers)
      return std::nullopt;
    SmallVector<int32_t> values(integers->begin(), integers->end());
    auto type = RankedTensorType::get({int64_t(values.size()), 1}, i32);
    zero =
        values.size() == 1
            ? i32Constant(b, loc, values)
            : ConstantOp::create(
                  b, loc, type, DenseElementsAttr::get(type, ArrayRef(values)));
  }
  if (coded->scale)
    scale = isOne(coded->scale) ? reshaped(b, coded->scale, {})
                                : reshaped(b, coded->scale, {columns});
  return std::pair{centre(viewsOfWeight(b, views, coded->codes), zero), scale};
}

/// The same of codes that the model computes and moves, with one scale.
std::optional<std::pair<Value, Value>> matchScaledCodes(OpBuilder &b, Value v) {
  SmallVector<Operation *> views;
  std::optional<Coded> coded = matchCoded(sourceOf(v, views));
  if (!coded || !isOne(coded->zero) || !isOne(coded->scale) ||
      llvm::any_of(views, [](Operation *view) { return isa<Im2ColOp>(view); }))
    return std::nullopt;
  Value codes = coded->codes;
  for (Operation *view : llvm::reverse(views))
    codes = viewOfCodes(b, view, codes, {});
  Value numbers = castTo(b, v.getLoc(), codes, b.getI32Type());
  if (coded->zero)
    numbers = make<SubOp>(b, v.getLoc(), numbers, reshaped(b, coded->zero, {}));
  return std::pair{numbers, reshaped(b, coded->scale, {})};
}

/// Do scales that are known leave f32 room for products of two and a sum? With
/// others, and with infinities and NaNs, each term has its own value.
bool isModerate(Value scale) {
  constexpr float least = 0x1p-50f, most = 0x1p50f;
  DenseElementsAttr numbers =
      scale ? match::smallConstant(scale, kMostColumns) : DenseElementsAttr();
  return !numbers || llvm::all_of(numbers.getValues<float>(), [](float s) {
    return s == 0 || (std::abs(s) >= least && std::abs(s) <= most);
  });
}

/// The two scales as one number, or one for each column.
Value multiplyScales(OpBuilder &b, Location loc, Value x, Value y) {
  if (!x || !y)
    return x ? x : y;
  std::optional<double> known = match::scalarOf(x);
  DenseElementsAttr numbers = match::smallConstant(y, kMostColumns);
  if (!known || !numbers)
    return make<MulOp>(b, loc, y, x);
  SmallVector<float> factors;
  for (float number : numbers.getValues<float>())
    factors.push_back(number * float(*known));
  return f32Constant(b, loc, factors);
}

/// Integers in patches of an image by fewer columns than fill a vector: sums of
/// f32, which hold so few terms exactly, are faster, their lanes lie along a
/// patch.
bool isNarrowConvolution(MatMulOp op, int64_t terms) {
  constexpr int64_t few = 8, exact = (1 << 24) / (255 * 255);
  SmallVector<Operation *> views;
  Value source = sourceOf(op.getLhs(), views);
  return source.getDefiningOp<CastOp>() &&
         llvm::any_of(views,
                      [](Operation *view) { return isa<Im2ColOp>(view); }) &&
         getElementTypeOrSelf(source.getType()).isF32() && terms <= exact &&
         getDims(op.getResult()).back().constant().value_or(few) < few;
}

} // namespace

Value lowerQuantizedMatMul(OpBuilder &b, MatMulOp op, Value matrices,
                           ArrayRef<Operation *> views, bool attentionOfCodes) {
  // So much may a row's differences from its zero point add up to: times those
  // of bytes they stay inside i32.
  constexpr int64_t kMostOfRow = std::numeric_limits<int32_t>::max() / 255,
                    kMostTerms = kMostOfRow / 255;
  Location loc = op.getLoc();
  Type element = getElementTypeOrSelf(op.getResult().getType());
  std::optional<int64_t> terms =
      getDims(op.getRhs()).end()[op.getTransposeB() ? -1 : -2].constant();
  if ((!element.isF32() && !element.isF64()) || op.getTransposeA() ||
      isNarrowConvolution(op, terms.value_or(kMostTerms)))
    return nullptr;
  std::optional<Coded> rows = matchRows(b, op.getLhs());
  if (!rows || (terms.value_or(kMostTerms + 1) > kMostTerms &&
                boundRow(rows->codes, rows->zero) > kMostOfRow))
    return nullptr;
  auto weight = matchScaledWeight(b, op.getRhs(), op.getTransposeB());
  bool isOfWeight = weight.has_value();
  if (!weight && attentionOfCodes &&
      (isOfScores(op) || isOfProbabilities(rows->codes)))
    weight = matchScaledCodes(b, matrices);
  if (!weight || !isModerate(rows->scale) || !isModerate(weight->second))
    return nullptr;
  Value numbers = castTo(b, loc, rows->codes, b.getI32Type());
  if (rows->zero)
    numbers = make<SubOp>(b, loc, numbers, rows->zero);
  Value right = weight->first;
  for (Operation *view :
       llvm::reverse(isOfWeight ? ArrayRef<Operation *>() : views))
    right = repeatAlike(b, view, right, /*inner=*/2);
  auto product = MatMulOp::create(b, loc, numbers, right,
                                  /*transposeA=*/false, op.getTransposeB());
  Value sums = lowerIntegerMatMul(b, product);
  product.erase();
  if (!sums)
    return nullptr;
  Value result = castTo(b, loc, sums, element);
  if (Value scale = multiplyScales(b, loc, rows->scale, weight->second))
    result = make<MulOp>(b, loc, result, scale);
  return result;
}

} // namespace tenon
