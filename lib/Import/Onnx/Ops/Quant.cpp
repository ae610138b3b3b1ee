//===- Quant.cpp - quantised operators ------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Quantised operators are written out: integers minus their zero point,
// products in int32, scales in float.
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Ops/Quant.h"
#include "dialects/Tenon/IR/Ops/Dequantize.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Import/Onnx/Ops/MatMul.h"
#include "lib/Import/Onnx/Ops/QuantParameters.h"
#include "lib/Import/Onnx/Ops/Window.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace tenon::onnximport {

/// A scale or zero point as it meets x: a scalar, one per index of `axis`, or
/// (block > 0) one per block of elements along it.
static Value spreadParameter(NodeImporter &n, Value v, ArrayRef<SymExpr> x,
                             int64_t axis, int64_t block) {
  if (!v)
    return v;
  Dims dims = n.dims(v);
  if (isOneElement(dims))
    return n.reshape(v, {});
  if (block == 0) {
    if (dims.size() != 1 || x.empty())
      return n.error("expected a scale of rank 0 or 1, and of one element for "
                     "a scalar, found rank " +
                     Twine(dims.size()) + " for rank " + Twine(x.size()));
    Dims to(x.size(), SymExpr(1));
    to[axis] = dims[0];
    return n.reshape(v, to);
  }
  if (dims.size() != x.size())
    return n.error("a blocked scale has the input's rank: expected " +
                   Twine(x.size()) + ", found " + Twine(dims.size()));
  Dims apart = dims, repeated, joined = dims;
  apart.insert(apart.begin() + axis + 1, SymExpr(1));
  repeated = apart;
  repeated[axis + 1] = SymExpr(block);
  joined[axis] = dims[axis] * SymExpr(block);
  Value wide = n.reshape(n.broadcast(n.reshape(v, apart), repeated), joined);
  n.checkNonNegative(joined[axis] - x[axis]);
  return n.slice(wide, axis, SymExpr(0), x[axis]);
}

static int64_t quantAxis(NodeImporter &n, Value x, int64_t otherwise) {
  int64_t rank = n.rank(x);
  // Per-tensor parameters ignore the axis, which may then be outside.
  if (rank == 0)
    return 0;
  int64_t axis = n.getInt("axis", otherwise);
  if (!n.hasAttr("axis") && axis >= rank)
    axis = rank - 1;
  return n.axis(axis, rank);
}

/// Is there a zero point other than a constant 0?
static bool shifts(Value zero) {
  return zero && NodeImporter::constScalar(zero) != 0.0;
}

/// A constant's codes as they are stored.
static bool isWeight(Value x) {
  while (Operation *op = x.getDefiningOp()) {
    if (op->hasTrait<mlir::OpTrait::ConstantLike>())
      return true;
    if (!isReshape(op) && !isTranspose(op) && !isa<UnpackOp>(op))
      return false;
    x = op->getOperand(0);
  }
  return false;
}

/// A matrix of constant codes is dequantised in one op, which a product takes
/// as it is. Null: no such matrix, or parameters that another rule rejects.
static Value dequantizeWeight(NodeImporter &n, Value x, Value scale, Value zero,
                              int64_t axis, int64_t block, Type to) {
  auto code = dyn_cast<IntegerType>(NodeImporter::elem(x));
  auto type = NodeImporter::type(x);
  if (!code || code.getWidth() > 8 || code.isInteger(1) || to.isF64() ||
      NodeImporter::elem(scale).isF64() || n.rank(x) != 2 || !isWeight(x) ||
      !type.hasStaticShape() || type.getNumElements() == 0)
    return nullptr;
  Ints blocks(type.getShape());
  Dims to2(2, SymExpr(1));
  bool ofTensor = isOneElement(n.dims(scale));
  if (!ofTensor) {
    if (n.rank(scale) != (block ? 2 : 1))
      return nullptr;
    blocks[axis] = block ? block : 1;
    if (block)
      blocks[1 - axis] = 1;
    for (int64_t i = 0; i < 2; ++i)
      to2[i] = SymExpr((type.getDimSize(i) + blocks[i] - 1) / blocks[i]);
  }
  if (productOf(n.dims(scale)) != productOf(to2) ||
      (zero && productOf(n.dims(zero)) != productOf(to2)) ||
      (block && !ofTensor && n.dims(scale) != to2))
    return nullptr;
  SmallVector<Value> operands{x, n.reshape(scale, to2)};
  if (shifts(zero))
    operands.push_back(n.reshape(zero, to2));
  return n.make<DequantizeOp>(
      operands, {n.named("blocks", n.builder.getDenseI64ArrayAttr(blocks)),
                 n.named("to", TypeAttr::get(to))});
}

Value dequantize(NodeImporter &n, Value x, Value scale, Value zero,
                 int64_t axis, int64_t block, Type to) {
  if (!x || !scale || !checkScaleType(n, scale) || !checkZeroType(n, x, zero))
    return nullptr;
  if (Value weight = dequantizeWeight(n, x, scale, zero, axis, block, to))
    return weight;
  Dims dims = n.dims(x);
  Type f32 = n.builder.getF32Type();
  // Integers are subtracted exactly.
  Type wide = NodeImporter::isFloat(x) ? f32 : Type(n.builder.getI32Type());
  scale = n.cast(spreadParameter(n, scale, dims, axis, block), f32);
  zero = spreadParameter(n, zero, dims, axis, block);
  Value numbers = n.cast(x, wide);
  if (shifts(zero))
    numbers = n.sub(numbers, n.cast(zero, wide));
  return n.cast(n.mul(n.cast(numbers, f32), scale), to);
}

/// What quotients become: rounded, shifted, and kept between the ends of `to`.
static Value codesOf(NodeImporter &n, Value v, Value zero, int64_t axis,
                     int64_t block, Type to, bool saturate) {
  Type f32 = n.builder.getF32Type();
  auto integer = dyn_cast<IntegerType>(to);
  if (integer)
    v = n.make<RoundOp>({v});
  if (shifts(zero))
    v = n.add(v, n.cast(spreadParameter(n, zero, n.dims(v), axis, block), f32));
  if (!integer)
    return n.cast(v, to, saturate, RoundMode::up);
  unsigned width = integer.getWidth();
  double low = integer.isUnsigned() ? 0 : -double(1ll << (width - 1));
  double high = double(1ll << (integer.isUnsigned() ? width : width - 1)) - 1;
  v = n.min(n.max(v, n.scalarLike(low, v)), n.scalarLike(high, v));
  return n.cast(v, to);
}

Value quantize(NodeImporter &n, Value x, Value scale, Value zero, int64_t axis,
               int64_t block, Type to, Type precision, bool saturate) {
  constexpr unsigned mostBits = 16;
  auto integer = dyn_cast_or_null<IntegerType>(to);
  if (!x || !scale || !to || (!integer && !smallFloatFormat(to)) ||
      (integer && (integer.getWidth() > mostBits || integer.getWidth() == 1)))
    return n.error("cannot quantise to this type");
  if (!checkScaleType(n, scale))
    return nullptr;
  // The division is in the scale's type, where that is a float to compute in.
  if (!precision) {
    Type own = NodeImporter::elem(scale), f32 = n.builder.getF32Type();
    precision = own.isF16() || own.isBF16() ? own : f32;
  }
  scale = spreadParameter(n, scale, n.dims(x), axis, block);
  Value v = n.div(n.cast(x, precision), n.cast(scale, precision));
  return codesOf(n, n.cast(v, n.builder.getF32Type()), zero, axis, block, to,
                 saturate);
}

Value requantize(NodeImporter &n, Value sum, Value scale, Value to, Value zero,
                 Type code) {
  auto integer = dyn_cast_or_null<IntegerType>(code);
  if (n.failed() || !sum || !scale || !to)
    return nullptr;
  Value number = n.cast(sum, n.builder.getF32Type());
  if (!NodeImporter::elem(to).isF32() || !integer || integer.getWidth() != 8 ||
      !isOneElement(n.dims(to)))
    return quantize(n, n.mul(number, scale), to, zero, 0, 0, code);
  scale = n.div(scale, n.reshape(to, {}));
  return codesOf(n, n.mul(number, scale), zero, 0, 0, code, /*saturate=*/true);
}

/// The type that an attribute names; null where it is left out.
static Type typeAttr(NodeImporter &n, StringRef name) {
  int64_t number = n.getInt(name, 0);
  return number ? n.elementType(number) : Type();
}

static void quantizeLinear(NodeImporter &n) {
  Value x = n.in(0), zero = n.in(2);
  Type to = typeAttr(n, "output_dtype");
  Type precision = typeAttr(n, "precision");
  if (zero && to && to != NodeImporter::elem(zero))
    n.error("output_dtype must be the zero point's type");
  if (zero)
    to = NodeImporter::elem(zero);
  else if (!to)
    to = n.builder.getIntegerType(8, false);
  if (precision && (!isa<FloatType>(precision) || smallFloatFormat(precision)))
    n.error("precision must be a float type of 16 bits or more");
  int64_t axis = quantAxis(n, x, 1), block = n.getInt("block_size", 0);
  if (!n.failed() && checkOfAxis(n, x, n.in(1), zero, axis, block))
    n.out(0, quantize(n, x, n.in(1), zero, axis, block, to, precision,
                      n.getInt("saturate", 1) != 0));
}

static void dequantizeLinear(NodeImporter &n) {
  Value x = n.in(0);
  Type to = typeAttr(n, "output_dtype");
  if (!to)
    to = NodeImporter::elem(n.in(1));
  if (to && (!isa<FloatType>(to) || smallFloatFormat(to)))
    n.error("output_dtype must be a float type of 16 bits or more");
  int64_t axis = quantAxis(n, x, 1), block = n.getInt("block_size", 0);
  if (!n.failed() && checkOfAxis(n, x, n.in(1), n.in(2), axis, block))
    n.out(0, dequantize(n, x, n.in(1), n.in(2), axis, block, to));
}

/// The largest element of x and of -x, or 0 where they have no positive one: a
/// tensor of two, so that one pass over x gives both.
static Value extremesOf(NodeImporter &n, Value x) {
  Dims dims = n.dims(x);
  if (dims.empty())
    dims.push_back(SymExpr(1));
  dims.insert(dims.begin(), SymExpr(1));
  int64_t rank = dims.size();
  SmallVector<int64_t> shape(rank, 1);
  shape[0] = 2;
  auto number = [&](double v) {
    return n.builder.getFloatAttr(NodeImporter::elem(x), v).getValue();
  };
  Value signs = n.constant(DenseElementsAttr::get(
      RankedTensorType::get(shape, NodeImporter::elem(x)),
      {number(1), number(-1)}));
  Value both = n.mul(n.reshape(x, dims), signs);
  // Of each row first, which are many tasks.
  Ints rest;
  for (int64_t i = 1; i < rank; ++i)
    rest.push_back(i);
  if (rank > 2)
    both = n.reduce(ReduceKind::max, both, {rank - 1});
  return n.max(n.reduce(ReduceKind::max, both, rest, false),
               n.scalarLike(0, x));
}

Quantized dynamicallyQuantize(NodeImporter &n, Value x) {
  if (!x)
    return {};
  Value extremes = extremesOf(n, x);
  auto element = [&](Value of, int64_t i) {
    return n.reshape(n.slice(of, 0, SymExpr(i), SymExpr(1)), {});
  };
  Value high = element(extremes, 0), below = element(extremes, 1);
  Value scale = n.div(n.add(high, below), n.scalarLike(255, x));
  // All zeros: any scale does, and 1 keeps the division defined.
  scale = n.select(n.compareScalar(CompareKind::eq, scale, 0),
                   n.scalarLike(1, x), scale);
  Value point = n.make<RoundOp>({n.div(below, scale)});
  point = n.min(n.max(point, n.scalarLike(0, x)), n.scalarLike(255, x));
  // Both are computed, and stored, in one place.
  Value both = n.concat(
      {n.reshape(scale, {SymExpr(1)}), n.reshape(point, {SymExpr(1)})}, 0);
  scale = element(both, 0);
  Type u8 = n.builder.getIntegerType(8, false);
  point = n.cast(element(both, 1), u8);
  return {quantize(n, x, scale, point, 0, 0, u8), scale, point};
}

static void dynamicQuantizeLinear(NodeImporter &n) {
  Quantized q = dynamicallyQuantize(n, n.in(0));
  n.out(0, q.value);
  n.out(1, q.scale);
  n.out(2, q.zero);
}

//===----------------------------------------------------------------------===//
// Integer products
//===----------------------------------------------------------------------===//

/// x - zero in int32. The zero point is a scalar, or one per row (on the left)
/// or per column (on the right) of the matrices.
static Value centred(NodeImporter &n, Value x, Value zero, bool isLeft) {
  Type i32 = n.builder.getI32Type();
  if (!checkBytes(n, x) || !checkZeroType(n, x, zero) ||
      !checkOfMatrix(n, zero, x, isLeft))
    return nullptr;
  Value wide = n.cast(x, i32);
  if (!wide || !zero || NodeImporter::constScalar(zero) == 0.0)
    return wide;
  if (isOneElement(n.dims(zero)))
    zero = n.reshape(zero, {});
  else if (n.rank(zero) == 1 && isLeft && n.rank(x) >= 2)
    zero = n.unsqueeze(zero, {1});
  return n.sub(wide, n.cast(zero, i32));
}

Value integerMatMul(NodeImporter &n, Value a, Value aZero, Value b,
                    Value bZero) {
  return numpyMatMul(n, centred(n, a, aZero, true),
                     centred(n, b, bZero, false));
}

static void matMulInteger(NodeImporter &n) {
  n.out(0, integerMatMul(n, n.in(0), n.in(2), n.in(1), n.in(3)));
}

/// One scale per row needs a column's shape.
static Value rowScale(NodeImporter &n, Value scale, Value matrix) {
  if (!scale)
    return scale;
  if (isOneElement(n.dims(scale)))
    return n.reshape(scale, {});
  return n.rank(scale) == 1 && n.rank(matrix) >= 2 ? n.unsqueeze(scale, {1})
                                                   : scale;
}

static Value columnScale(NodeImporter &n, Value scale) {
  if (scale && isOneElement(n.dims(scale)))
    return n.reshape(scale, {});
  return scale;
}

static void qLinearMatMul(NodeImporter &n) {
  Type f32 = n.builder.getF32Type();
  if (!checkScaleType(n, n.in(1)) || !checkScaleType(n, n.in(4)) ||
      !checkOfMatrix(n, n.in(1), n.in(0), /*isLeft=*/true) ||
      !checkOfMatrix(n, n.in(4), n.in(3), /*isLeft=*/false))
    return;
  Value product = integerMatMul(n, n.in(0), n.in(2), n.in(3), n.in(5));
  Value scale = n.mul(n.cast(rowScale(n, n.in(1), n.in(0)), f32),
                      n.cast(columnScale(n, n.in(4)), f32));
  if (n.failed())
    return;
  n.out(0, requantize(n, product, scale, n.in(6), n.in(7),
                      NodeImporter::elem(n.in(7))));
}

//===----------------------------------------------------------------------===//
// Integer convolutions
//===----------------------------------------------------------------------===//

/// conv(x - xZero, w - wZero) in a float type that holds every sum exactly.
static Value integerConv(NodeImporter &n, Value x, Value xZero, Value w,
                         Value wZero) {
  Dims dims = n.dims(x), weightDims = n.dims(w);
  if (dims.size() < 3 || weightDims.size() != dims.size())
    return n.error("expected operands of one rank of 3 or more");
  if (!checkBytes(n, x) || !checkBytes(n, w) || !checkZeroType(n, x, xZero) ||
      !checkZeroType(n, w, wZero) || !checkOne(n, {xZero}) ||
      !checkOneOrEach(n, wZero, weightDims[0]))
    return nullptr;
  ArrayRef<SymExpr> kernel = ArrayRef<SymExpr>(weightDims).drop_front(2);
  int64_t group = n.getInt("group", 1);
  bool isStatic = group == 1 || weightDims[0].isConstant();
  for (const SymExpr &dim : kernel)
    isStatic &= dim.isConstant();
  std::optional<int64_t> terms =
      productOf(ArrayRef<SymExpr>(weightDims).drop_front(1)).constant();
  std::optional<Window> window =
      readWindow(n, ArrayRef<SymExpr>(dims).drop_front(2), kernel);
  if (!window)
    return nullptr;
  Type real = terms && *terms <= 256 ? Type(n.builder.getF32Type())
                                     : Type(n.builder.getF64Type());
  auto difference = [&](Value v, Value zero) {
    Value wide = n.cast(v, n.builder.getI32Type());
    if (zero && NodeImporter::constScalar(zero) != 0.0) {
      Value z = n.cast(zero, n.builder.getI32Type());
      if (isOneElement(n.dims(z))) {
        z = n.reshape(z, {});
      } else { // one per output channel
        Dims to(weightDims.size(), SymExpr(1));
        to[0] = productOf(n.dims(z));
        z = n.reshape(z, to);
      }
      wide = n.sub(wide, z);
    }
    return n.cast(wide, real);
  };
  Value input = difference(x, xZero);
  if (!isStatic)
    return convByWindows(n, input, difference(w, wZero), *window, group);
  std::optional<Ints> pads = window->constantPads();
  if (!pads) {
    input =
        padSpatial(n, input, n.scalarLike(0, input), window->low, window->high);
    pads = Ints(2 * kernel.size(), 0);
  }
  auto attr = [&](ArrayRef<int64_t> v) {
    return n.builder.getDenseI64ArrayAttr(v);
  };
  return n.make<ConvOp>({input, difference(w, wZero)},
                        {n.named("strides", attr(window->strides)),
                         n.named("pads", attr(*pads)),
                         n.named("dilations", attr(window->dilations)),
                         n.named("group", n.builder.getI64IntegerAttr(group))});
}

static void convInteger(NodeImporter &n) {
  n.out(0, n.cast(integerConv(n, n.in(0), n.in(2), n.in(1), n.in(3)),
                  n.builder.getI32Type()));
}

static void qLinearConv(NodeImporter &n) {
  // x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias
  Value sum = integerConv(n, n.in(0), n.in(2), n.in(3), n.in(5));
  if (!sum || !checkScaleType(n, n.in(1)) || !checkScaleType(n, n.in(4)) ||
      !checkOne(n, {n.in(1), n.in(6), n.in(7)}) ||
      !checkOneOrEach(n, n.in(4), n.dims(n.in(3))[0]))
    return;
  if (Value bias = n.in(8);
      bias && (n.rank(bias) != 1 || n.dims(bias) != Dims{n.dims(n.in(3))[0]} ||
               !NodeImporter::elem(bias).isSignlessInteger(32))) {
    n.error("expected a bias of i32, one for each of the filters");
    return;
  }
  auto perChannel = [&](Value v) {
    if (!v || isOneElement(n.dims(v)))
      return v ? n.reshape(v, {}) : v;
    Dims to(n.rank(sum) - 1, SymExpr(1));
    to[0] = productOf(n.dims(v));
    return n.reshape(v, to);
  };
  if (Value bias = perChannel(n.in(8)))
    sum = n.add(sum, n.cast(bias, NodeImporter::elem(sum)));
  Value scale = n.mul(n.reshape(n.in(1), {}), perChannel(n.in(4)));
  n.out(0, requantize(n, sum, scale, n.in(6), n.in(7),
                      NodeImporter::elem(n.in(7))));
}

void registerQuant(Registry &r) {
  r.add("QuantizeLinear", 10, quantizeLinear);
  r.add("DequantizeLinear", 10, dequantizeLinear);
  r.add("DynamicQuantizeLinear", 11, dynamicQuantizeLinear);
  r.add("MatMulInteger", 10, matMulInteger);
  r.add("QLinearMatMul", 10, qLinearMatMul);
  r.add("ConvInteger", 10, convInteger);
  r.add("QLinearConv", 10, qLinearConv);
  r.add("com.microsoft", "QuantizeLinear", 1, quantizeLinear);
  r.add("com.microsoft", "DequantizeLinear", 1, dequantizeLinear);
}

} // namespace tenon::onnximport
