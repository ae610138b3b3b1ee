//===- LaneBuilder.cpp - indices, loads and lanes of a kernel -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Lanes/LaneBuilder.h"
#include "dialects/Tenon/IR/TenonOpBase.h"
#include "mlir/IR/Matchers.h"
#include <cmath>
#include <numeric>

using namespace mlir;

namespace tenon {

Type storageType(Type t) {
  if (auto i = dyn_cast<IntegerType>(t))
    return IntegerType::get(t.getContext(), std::max(8u, i.getWidth()));
  return smallFloatFormat(t) ? IntegerType::get(t.getContext(), 8) : t;
}

Type computeType(Type t) {
  if (t.isF16() || t.isBF16())
    return Float32Type::get(t.getContext());
  if (t.isInteger(1))
    return t;
  return storageType(t);
}

MemRefType memoryType(Type t) {
  return MemRefType::get({ShapedType::kDynamic}, storageType(t));
}

std::optional<int64_t> constantIndex(Value v) {
  APInt value;
  if (matchPattern(v, m_ConstantInt(&value)))
    return value.getSExtValue();
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

static bool isFloat(Value v) {
  return isa<FloatType>(getElementTypeOrSelf(v.getType()));
}

template <typename IntOp, typename FloatOp>
static Value createFor(LaneBuilder &L, Value x, Value y) {
  if (isFloat(x))
    return FloatOp::create(L.b, L.loc, x, y);
  return IntOp::create(L.b, L.loc, x, y);
}

Value LaneBuilder::index(int64_t v) {
  return arith::ConstantIndexOp::create(b, loc, v);
}

Value LaneBuilder::add(Value x, Value y) {
  if (!x.getType().isIndex())
    return createFor<arith::AddIOp, arith::AddFOp>(*this, x, y);
  auto cx = constantIndex(x), cy = constantIndex(y);
  if (cx && cy)
    return index(*cx + *cy);
  if (cx && *cx == 0)
    return y;
  if (cy && *cy == 0)
    return x;
  return arith::AddIOp::create(b, loc, x, y);
}

Value LaneBuilder::sub(Value x, Value y) {
  if (!x.getType().isIndex())
    return createFor<arith::SubIOp, arith::SubFOp>(*this, x, y);
  auto cx = constantIndex(x), cy = constantIndex(y);
  if (cx && cy)
    return index(*cx - *cy);
  if (cy && *cy == 0)
    return x;
  return arith::SubIOp::create(b, loc, x, y);
}

Value LaneBuilder::mul(Value x, Value y) {
  if (!x.getType().isIndex())
    return createFor<arith::MulIOp, arith::MulFOp>(*this, x, y);
  auto cx = constantIndex(x), cy = constantIndex(y);
  if (cx && cy)
    return index(*cx * *cy);
  if ((cx && *cx == 0) || (cy && *cy == 1))
    return x;
  if ((cy && *cy == 0) || (cx && *cx == 1))
    return y;
  return arith::MulIOp::create(b, loc, x, y);
}

Value LaneBuilder::div(Value x, Value y) {
  if (!x.getType().isIndex())
    return createFor<arith::DivSIOp, arith::DivFOp>(*this, x, y);
  auto cx = constantIndex(x), cy = constantIndex(y);
  if (cx && cy && *cy > 0)
    return index(*cx / *cy);
  if (cy && *cy == 1)
    return x;
  // A zero dim has no elements to index, but its divisions may be hoisted.
  Value d = cy ? y : Value(arith::MaxUIOp::create(b, loc, y, index(1)));
  return arith::DivUIOp::create(b, loc, x, d);
}

Value LaneBuilder::rem(Value x, Value y) {
  auto cx = constantIndex(x), cy = constantIndex(y);
  if (cx && cy && *cy > 0)
    return index(*cx % *cy);
  if (cy && *cy == 1)
    return index(0);
  Value d = cy ? y : Value(arith::MaxUIOp::create(b, loc, y, index(1)));
  return arith::RemUIOp::create(b, loc, x, d);
}

Value LaneBuilder::min(Value x, Value y) {
  auto cx = constantIndex(x), cy = constantIndex(y);
  if (cx && cy && x.getType().isIndex())
    return index(std::min(*cx, *cy));
  return arith::MinSIOp::create(b, loc, x, y);
}

Value LaneBuilder::max(Value x, Value y) {
  return arith::MaxSIOp::create(b, loc, x, y);
}

Value LaneBuilder::multiplyAdd(Value x, Value y, Value sum, bool fused) {
  if (fused)
    return math::FmaOp::create(b, loc, x, y, sum);
  return arith::AddFOp::create(b, loc, sum,
                               arith::MulFOp::create(b, loc, x, y));
}

Value LaneBuilder::anyOf(Value x) {
  if (!isVector(x))
    return x;
  return vector::ReductionOp::create(b, loc, vector::CombiningKind::OR, x);
}

Value LaneBuilder::allOf(Value x) {
  if (!isVector(x))
    return x;
  return vector::ReductionOp::create(b, loc, vector::CombiningKind::AND, x);
}

//===----------------------------------------------------------------------===//
// Other types
//===----------------------------------------------------------------------===//

static Type likeShape(Value v, Type element) {
  if (auto t = dyn_cast<VectorType>(v.getType()))
    return VectorType::get(t.getShape(), element);
  return element;
}

Value LaneBuilder::extend(Value x, Type element, bool isUnsigned) {
  Type to = likeShape(x, element);
  if (x.getType() == to)
    return x;
  if (isFloat(x))
    return arith::ExtFOp::create(b, loc, to, x);
  if (isUnsigned)
    return arith::ExtUIOp::create(b, loc, to, x);
  return arith::ExtSIOp::create(b, loc, to, x);
}

Value LaneBuilder::truncate(Value x, Type element) {
  Type to = likeShape(x, element);
  if (x.getType() == to)
    return x;
  if (isFloat(x))
    return arith::TruncFOp::create(b, loc, to, x);
  return arith::TruncIOp::create(b, loc, to, x);
}

Value LaneBuilder::toFloat(Value integers, Type element, bool isUnsigned) {
  Type to = likeShape(integers, element);
  if (isUnsigned)
    return arith::UIToFPOp::create(b, loc, to, integers);
  return arith::SIToFPOp::create(b, loc, to, integers);
}

//===----------------------------------------------------------------------===//
// Lane indices
//===----------------------------------------------------------------------===//

Value LaneBuilder::toIndexVector(const Idx &x) {
  if (x.vec)
    return x.vec;
  Type type = VectorType::get({(int64_t)lanes}, b.getIndexType());
  Value base = vector::BroadcastOp::create(b, loc, type, x.base);
  if (x.lane == 0)
    return base;
  SmallVector<int64_t> steps(lanes);
  for (unsigned i = 0; i < lanes; ++i)
    steps[i] = i * x.lane;
  Value step = arith::ConstantOp::create(
      b, loc, DenseElementsAttr::get(cast<ShapedType>(type), [&] {
        SmallVector<Attribute> attrs;
        for (int64_t s : steps)
          attrs.push_back(b.getIndexAttr(s));
        return attrs;
      }()));
  return arith::AddIOp::create(b, loc, base, step);
}

Idx LaneBuilder::add(const Idx &x, const Idx &y) {
  auto isZero = [](const Idx &i) {
    return i.isUniform() && constantIndex(i.base) == 0;
  };
  if (isZero(x))
    return y;
  if (isZero(y))
    return x;
  if (!x.vec && !y.vec)
    return {
        add(x.base, y.base), x.lane + y.lane, std::gcd(x.align, y.align), {}};
  Idx r;
  r.vec = arith::AddIOp::create(b, loc, toIndexVector(x), toIndexVector(y));
  return r;
}

Idx LaneBuilder::mul(const Idx &x, Value factor) {
  auto c = constantIndex(factor);
  if (c && *c == 0)
    return uniform(0);
  if (c && *c == 1)
    return x;
  if (!x.vec && (x.lane == 0 || c))
    return {mul(x.base, factor),
            c ? x.lane * *c : 0,
            c ? x.align * std::abs(*c) : x.align,
            {}};
  Idx r;
  Type type = VectorType::get({(int64_t)lanes}, b.getIndexType());
  r.vec =
      arith::MulIOp::create(b, loc, toIndexVector(x),
                            vector::BroadcastOp::create(b, loc, type, factor));
  return r;
}

std::pair<Idx, Idx> LaneBuilder::divRem(const Idx &x, Value d) {
  auto c = constantIndex(d);
  if (c && *c == 1)
    return {x, uniform(0)};
  if (x.isUniform())
    return {uniform(div(x.base, d)), uniform(rem(x.base, d))};
  // base is a multiple of `align` and lanes run over [0, lanes): when both
  // align and d are multiples of the span, no lane crosses a multiple of d.
  int64_t span = (int64_t)lanes * std::abs(x.lane);
  if (!x.vec && x.lane > 0 && c && *c % span == 0 && x.align % span == 0) {
    int64_t align = std::gcd(x.align, *c);
    return {uniform(div(x.base, d)), Idx{rem(x.base, d), x.lane, align, {}}};
  }
  Value v = toIndexVector(x);
  Value dv = vector::BroadcastOp::create(
      b, loc, v.getType(),
      c ? d : Value(arith::MaxUIOp::create(b, loc, d, index(1))));
  Idx q, r;
  q.vec = arith::DivUIOp::create(b, loc, v, dv);
  r.vec = arith::SubIOp::create(b, loc, v,
                                arith::MulIOp::create(b, loc, q.vec, dv));
  return {q, r};
}

Idx LaneBuilder::fromData(Value data, bool isUnsigned) {
  Idx r;
  bool vector = isVector(data);
  Type to = vector ? Type(VectorType::get({(int64_t)lanes}, b.getIndexType()))
                   : Type(b.getIndexType());
  Value v = isUnsigned ? Value(arith::IndexCastUIOp::create(b, loc, to, data))
                       : Value(arith::IndexCastOp::create(b, loc, to, data));
  (vector ? r.vec : r.base) = v;
  return r;
}

Value LaneBuilder::toData(const Idx &x, Type intType) {
  if (x.isUniform())
    return arith::IndexCastOp::create(b, loc, intType, x.base);
  return arith::IndexCastOp::create(
      b, loc, VectorType::get({(int64_t)lanes}, intType), toIndexVector(x));
}

//===----------------------------------------------------------------------===//
// Lanes
//===----------------------------------------------------------------------===//

Value LaneBuilder::widen(Value v) {
  if (lanes == 1 || isVector(v))
    return v;
  return vector::BroadcastOp::create(
      b, loc, VectorType::get({(int64_t)lanes}, v.getType()), v);
}

Value LaneBuilder::constant(Type type, double value) {
  Type element = getElementTypeOrSelf(type);
  TypedAttr attr;
  if (isa<FloatType>(element))
    attr = b.getFloatAttr(element, value);
  else
    attr = b.getIntegerAttr(element, (int64_t)value);
  if (auto v = dyn_cast<VectorType>(type))
    attr = DenseElementsAttr::get(v, Attribute(attr));
  return arith::ConstantOp::create(b, loc, attr);
}

Value LaneBuilder::constantInt(Type type, int64_t value) {
  TypedAttr attr = b.getIntegerAttr(getElementTypeOrSelf(type), value);
  if (auto v = dyn_cast<VectorType>(type))
    attr = DenseElementsAttr::get(v, Attribute(attr));
  return arith::ConstantOp::create(b, loc, attr);
}

Value LaneBuilder::like(Value v, int64_t value) {
  return isFloat(v) ? constant(v.getType(), double(value))
                    : constantInt(v.getType(), value);
}

Value LaneBuilder::constLike(Value v, double value) {
  return constant(v.getType(), value);
}

Value LaneBuilder::fromStorage(Value v, Type type) {
  if (type.isInteger(1))
    return ne(v, 0);
  if (computeType(type) != storageType(type))
    return arith::ExtFOp::create(b, loc, likeShape(v, computeType(type)), v);
  return v;
}

Value LaneBuilder::toStorage(Value v, Type type) {
  Type s = likeShape(v, storageType(type));
  if (type.isInteger(1))
    return arith::ExtUIOp::create(b, loc, s, v);
  if (computeType(type) != storageType(type))
    return arith::TruncFOp::create(b, loc, s, v);
  return v;
}

Value LaneBuilder::allOnes() {
  return constantInt(VectorType::get({(int64_t)lanes}, b.getI1Type()), 1);
}

llvm::MaybeAlign LaneBuilder::alignmentOf(const Idx &at, Type storage) const {
  int64_t bytes = storage.getIntOrFloatBitWidth() / 8;
  int64_t known = std::gcd(memoryAlignment, at.align * bytes);
  return known > bytes ? llvm::MaybeAlign(known) : llvm::MaybeAlign();
}

/// What all lanes of a general index have in common, and what each adds to it
/// in 32 bits, where it is made so: a gather by these needs half the registers.
static std::pair<Value, Value> splitLanes(LaneBuilder &L, Value v) {
  Value base = L.index(0);
  while (auto sum = v.getDefiningOp<arith::AddIOp>()) {
    Value other = sum.getRhs();
    auto same = sum.getLhs().getDefiningOp<vector::BroadcastOp>();
    if (!same) {
      other = sum.getLhs();
      same = sum.getRhs().getDefiningOp<vector::BroadcastOp>();
    }
    if (!same)
      return {};
    base = L.add(base, same.getSource());
    v = other;
  }
  auto cast = v.getDefiningOp<arith::IndexCastOp>();
  if (!cast || !getElementTypeOrSelf(cast.getIn().getType()).isInteger(32))
    return {};
  return {base, cast.getIn()};
}

/// Elements at known places, which a vector holds, are read as one and put into
/// their lanes: a gather takes a load for each, and waits for them.
static Value loadNear(LaneBuilder &L, Value memref, Value places, Type type) {
  DenseIntElementsAttr known;
  if (!matchPattern(places, m_Constant(&known)))
    return {};
  SmallVector<int64_t> from;
  for (const APInt &place : known)
    from.push_back(place.getSExtValue());
  auto [first, last] = std::minmax_element(from.begin(), from.end());
  int64_t low = *first, count = *last - low + 1;
  if (count > int64_t(L.lanes))
    return {};
  for (int64_t &place : from)
    place -= low;
  Value found = vector::LoadOp::create(
      L.b, L.loc, VectorType::get({count}, type), memref, L.index(low));
  return vector::ShuffleOp::create(L.b, L.loc, found, found, from);
}

Value LaneBuilder::load(Value memref, const Idx &at, Type type) {
  Type s = storageType(type);
  if (at.isUniform() || lanes == 1)
    return fromStorage(memref::LoadOp::create(b, loc, memref, at.base), type);
  auto vt = VectorType::get({(int64_t)lanes}, s);
  if (at.isContiguous()) {
    if (!mask)
      return fromStorage(vector::LoadOp::create(b, loc, vt, memref, at.base,
                                                /*nontemporal=*/false,
                                                alignmentOf(at, s)),
                         type);
    Value zero = constant(vt, 0);
    return fromStorage(
        vector::MaskedLoadOp::create(b, loc, vt, memref, at.base, mask, zero),
        type);
  }
  auto tail = mask ? mask.getDefiningOp<vector::CreateMaskOp>() : nullptr;
  constexpr int64_t widest = 4; // pixels of so many channels
  if (at.lane >= 2 && at.lane <= widest && !at.vec && (!mask || tail)) {
    // Every so many elements of as many vectors, the last of which ends with
    // the last one that is asked for.
    int64_t n = lanes, stride = at.lane, last = (stride - 1) * (n - 1);
    auto part = [&](int64_t from) -> Value {
      Value begin = add(at.base, from);
      if (!mask)
        return vector::LoadOp::create(b, loc, vt, memref, begin);
      Value some =
          tailMask(sub(mul(tail.getOperand(0), stride), from + stride - 1));
      return vector::MaskedLoadOp::create(b, loc, vt, memref, begin, some,
                                          constant(vt, 0));
    };
    Value found = part(0);
    for (int64_t k = 1; k < stride; ++k) {
      int64_t first = k + 1 < stride ? k * n : last;
      SmallVector<int64_t> from;
      for (int64_t l = 0; l < n; ++l)
        from.push_back(stride * l < k * n
                           ? (k == 1 ? stride * l : l)
                           : n + std::min(stride * l - first, n - 1));
      found = vector::ShuffleOp::create(b, loc, found, part(first), from);
    }
    return fromStorage(found, type);
  }
  Value zero = constant(vt, 0), vec = toIndexVector(at), base = index(0);
  if (!mask)
    if (Value found = loadNear(*this, memref, vec, s))
      return fromStorage(found, type);
  if (auto [common, narrow] = splitLanes(*this, vec); narrow) {
    base = common;
    vec = narrow;
  }
  return fromStorage(vector::GatherOp::create(b, loc, vt, memref,
                                              ValueRange{base}, vec,
                                              mask ? mask : allOnes(), zero),
                     type);
}

/// How many lanes a tail has, where that is known and the machine may take long
/// for a store under a mask: 12 cycles more on a Zen 3.
static std::optional<int64_t> knownTail(const LaneBuilder &L) {
  constexpr unsigned most = 8; // what has more has masks of its own
  auto tail = L.mask ? L.mask.getDefiningOp<vector::CreateMaskOp>() : nullptr;
  auto some = tail && L.lanes <= most ? constantIndex(tail.getOperand(0))
                                      : std::nullopt;
  return some && *some > 0 && *some < int64_t(L.lanes) ? some : std::nullopt;
}

/// The first `some` lanes, by halves, quarters and so on.
static void storeFirst(LaneBuilder &L, Value v, Value memref, Value at,
                       int64_t some) {
  int64_t from = 0;
  for (int64_t size = L.lanes / 2; size > 0; size /= 2) {
    if (!(some & size))
      continue;
    Value place = L.add(at, from);
    if (size == 1)
      memref::StoreOp::create(L.b, L.loc,
                              vector::ExtractOp::create(L.b, L.loc, v, from),
                              memref, place);
    else
      vector::StoreOp::create(L.b, L.loc,
                              vector::ExtractStridedSliceOp::create(
                                  L.b, L.loc, v, {from}, {size}, {1}),
                              memref, place);
    from += size;
  }
}

void LaneBuilder::store(Value value, Value memref, const Idx &at, Type type) {
  if (at.isUniform() || lanes == 1) {
    memref::StoreOp::create(b, loc, toStorage(value, type), memref, at.base);
    return;
  }
  Value v = toStorage(widen(value), type);
  if (!at.isContiguous()) {
    vector::ScatterOp::create(b, loc, /*resultType=*/Type(), memref,
                              ValueRange{index(0)}, toIndexVector(at),
                              mask ? mask : allOnes(), v);
    return;
  }
  if (std::optional<int64_t> some = knownTail(*this))
    storeFirst(*this, v, memref, at.base, *some);
  else if (mask)
    vector::MaskedStoreOp::create(b, loc, memref, at.base, mask, v);
  else
    vector::StoreOp::create(b, loc, v, memref, at.base, /*nontemporal=*/false,
                            alignmentOf(at, storageType(type)));
}

Value LaneBuilder::largerOf(Value max, Value x) {
  if (mask)
    x = select(mask, x, constLike(x, -HUGE_VAL));
  return select(ogt(x, max), x, max);
}

Value LaneBuilder::reduceLanes(Value v, vector::CombiningKind kind) {
  if (!isVector(v))
    return v;
  // A fixed tree: halves are combined until one lane is left, so that the
  // order of additions depends on the lane count alone.
  int64_t n = cast<VectorType>(v.getType()).getDimSize(0);
  while (n > 1) {
    n /= 2;
    Value lo = vector::ExtractStridedSliceOp::create(b, loc, v, {0}, {n}, {1});
    Value hi = vector::ExtractStridedSliceOp::create(b, loc, v, {n}, {n}, {1});
    v = vector::makeArithReduction(b, loc, kind, lo, hi);
  }
  return vector::ExtractOp::create(b, loc, v, ArrayRef<int64_t>{0});
}

Value LaneBuilder::tailMask(Value n) {
  return vector::CreateMaskOp::create(
      b, loc, VectorType::get({(int64_t)lanes}, b.getI1Type()), n);
}

} // namespace tenon
