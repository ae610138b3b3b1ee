//===- KernelEmitterData.cpp - pull rules with their own control flow -----===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Depthwise.h"
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/KernelEmitter.h"
#include "lib/Codegen/Lanes/ElementwiseLanes.h"
#include <numeric>

using namespace mlir;

namespace tenon {

namespace {

/// lo <= i < hi, and i moved to stay in [0, size) where it is not: loads of
/// lanes that are thrown away must still be inside.
struct Window {
  Value inside; // i1 or vector of i1
  Idx at;
};

Window clampTo(KernelEmitter &e, const Idx &i, Value size) {
  LaneBuilder &L = e.L;
  Value v = i.isUniform() ? i.base : L.toIndexVector(i);
  Value n = L.isVector(v) ? L.widen(size) : size;
  Value zero = L.constantInt(v.getType(), 0),
        one = L.constantInt(v.getType(), 1);
  Window w;
  w.inside = L.ult(v, n);
  Value c = L.max(L.min(v, L.sub(n, one)), zero);
  (L.isVector(v) ? w.at.vec : w.at.base) = c;
  return w;
}

/// Into [0, n) by adding or removing n once.
Value wrapInto(LaneBuilder &L, Value v, Value n) {
  Value zero = L.constantInt(v.getType(), 0);
  Value below = L.slt(v, zero);
  v = L.select(below, L.add(v, n), v);
  Value above = L.sge(v, n);
  return L.select(above, L.sub(v, n), v);
}

/// |v|, then 2(n-1) - v past the end.
Value reflectInto(LaneBuilder &L, Value v, Value n) {
  Value zero = L.constantInt(v.getType(), 0);
  Value one = L.constantInt(v.getType(), 1);
  v = L.max(v, L.sub(zero, v));
  Value last = L.sub(n, one);
  Value twice = L.add(last, last);
  return L.min(v, L.sub(twice, v));
}

/// Both conditions; `x` may be null.
Value andAlso(LaneBuilder &L, Value x, Value y) {
  if (!x)
    return y;
  L.widenAlike(x, y);
  return L.both(x, y);
}

/// sum + x * y, as wide as the sum.
Value addProduct(LaneBuilder &L, Type element, Value sum, Value x, Value y) {
  if (L.isVector(sum)) {
    x = L.widen(x);
    y = L.widen(y);
  }
  Value product = emitCombine(L, ReduceKind::prod, element, x, y);
  return emitCombine(L, ReduceKind::sum, element, sum, product);
}

} // namespace

/// emit() at an index that was moved into [0, each of `sizes`): where one of
/// them may be 0 nothing is inside, and the element is 0 without a load.
Value KernelEmitter::emitUnlessEmpty(Value v, ArrayRef<Idx> idx,
                                     ArrayRef<SymExpr> sizes) {
  Value some;
  for (const SymExpr &size : sizes) {
    if ((size - SymExpr(1)).isNonNegative())
      continue;
    Value positive = L.sgt(dim(size), 0);
    some = some ? Value(L.both(some, positive)) : positive;
  }
  if (!some)
    return emit(v, idx);
  Type type = laneType(v, idx);
  return ifElse(
      some, type, [&] { return emit(v, idx); },
      [&] { return L.constant(type, 0); });
}

Value KernelEmitter::pull(ConcatOp op, ArrayRef<Idx> idx) {
  int64_t axis = op.getAxis();
  Type type = laneType(op.getResult(), idx);
  // Where each part begins along the axis.
  SmallVector<SymExpr> starts;
  SymExpr at = 0;
  for (Value part : op.getInputs()) {
    starts.push_back(at);
    at = at + getDims(part)[axis];
  }
  const Idx &i = idx[axis];
  // Lanes of one vector lie in one part when parts begin at multiples of it.
  int64_t span = (int64_t)L.lanes;
  bool together = i.isUniform();
  if (i.isContiguous() && i.align % span == 0)
    together = llvm::all_of(starts, [&](const SymExpr &s) {
      return s.constant() && *s.constant() % span == 0;
    });
  auto part = [&](size_t k) {
    SmallVector<Idx> in(idx);
    in[axis].base = L.sub(i.base, dim(starts[k]));
    if (auto c = starts[k].constant())
      in[axis].align = std::gcd(i.align, *c ? *c : i.align);
    else
      in[axis].align = 1;
    return emit(op.getInputs()[k], in);
  };
  if (together) {
    std::function<Value(size_t)> from = [&](size_t k) -> Value {
      if (k + 1 == starts.size())
        return part(k);
      Value before = L.ult(i.base, dim(starts[k + 1]));
      return ifElse(
          before, type, [&] { return part(k); }, [&] { return from(k + 1); });
    };
    return from(0);
  }
  Value v = L.toIndexVector(i);
  Value r;
  for (size_t k = 0; k < starts.size(); ++k) {
    Idx shifted;
    shifted.vec = L.sub(v, L.widen(dim(starts[k])));
    Window w = clampTo(*this, shifted, dim(getDims(op.getInputs()[k])[axis]));
    SmallVector<Idx> in(idx);
    in[axis] = w.at;
    Value part = op.getInputs()[k];
    Value x = L.widen(emitUnlessEmpty(part, in, getDims(part)[axis]));
    r = r ? Value(L.select(w.inside, x, r)) : x;
  }
  return r;
}

void KernelEmitter::setInside(Operation *pad,
                              const llvm::SmallBitVector &dims) {
  if (dims.any())
    insideDims[pad] = dims;
  else
    insideDims.erase(pad);
}

bool KernelEmitter::isPadded(PadOp op, size_t dim) const {
  auto known = insideDims.find(op);
  return (known == insideDims.end() || !known->second.test(dim)) &&
         (op.getLow().getSymExprs()[dim].constant() != 0 ||
          getDims(op.getInput())[dim] != getDims(op.getResult())[dim]);
}

/// Do all lanes that count read elements of the input, which are at `moved`
/// there? Null where the answer is of no use: they do not run along a dim that
/// is padded, or are no neighbours.
static Value isInside(KernelEmitter &e, PadOp op, ArrayRef<Idx> idx,
                      SmallVectorImpl<Idx> &moved) {
  LaneBuilder &L = e.L;
  SmallVector<SymExpr> dims = getDims(op.getInput());
  SmallVector<SymExpr> low = op.getLow().getSymExprs();
  Value inside, lastLane = L.index(int64_t(L.lanes) - 1);
  if (L.mask) {
    auto tail = L.mask.getDefiningOp<vector::CreateMaskOp>();
    if (!tail)
      return nullptr;
    lastLane = L.sub(tail.getOperand(0), 1);
  }
  bool isAlong = false;
  for (auto [k, i] : llvm::enumerate(idx)) {
    Idx at = L.add(i, L.uniform(e.dim(SymExpr(0) - low[k])));
    moved.push_back(at);
    if (!e.isPadded(op, k))
      continue;
    // What has one element is no vector.
    if (at.vec || at.lane < 0 || (!at.isUniform() && dims[k].constant() == 1))
      return nullptr;
    Value n = e.dim(dims[k]);
    inside = andAlso(L, inside, L.ult(at.base, n));
    if (at.isUniform())
      continue;
    isAlong = true;
    Value last = L.add(at.base, L.mul(lastLane, at.lane));
    inside = L.both(inside, L.ult(last, n));
  }
  return isAlong ? inside : nullptr;
}

bool isInPlace(Value v) {
  if (isOneElement(v))
    return true;
  Operation *op = v.getDefiningOp();
  if (op)
    return op->hasTrait<OpTrait::Elementwise>() &&
           llvm::all_of(op->getOperands(), isInPlace);
  return storageType(getElementTypeOrSelf(v.getType()))
             .getIntOrFloatBitWidth() == 32;
}

/// The lanes at `moved` of the input, some of which lie outside: neighbours, or
/// every other element, are loaded under a mask where all else about them is
/// the same. Null for others.
static Value loadPadded(KernelEmitter &e, PadOp op, ArrayRef<Idx> moved) {
  LaneBuilder &L = e.L;
  SmallVector<SymExpr> dims = getDims(op.getInput());
  auto along = llvm::find_if(moved, [](auto &i) { return !i.isUniform(); });
  if (along == moved.end() || along->vec || !e.walk().hasMasks() ||
      op.getMode() != PadMode::constant || !isInPlace(op.getInput()) ||
      along->lane > 2 ||
      llvm::count_if(moved, [](auto &i) { return !i.isUniform(); }) != 1)
    return nullptr;
  size_t axis = along - moved.begin();
  int64_t lanes = L.lanes;
  LaneScope all(L, lanes); // what a mask lets through is there
  Value inRow, n = e.dim(dims[axis]),
               outside = L.widen(e.emit(op.getValue(), {}));
  for (auto [k, i] : llvm::enumerate(moved))
    if (k != axis && e.isPadded(op, k))
      inRow = andAlso(L, inRow, L.ult(i.base, e.dim(dims[k])));
  auto from = [&](Value base) -> Value {
    Value inside = L.both(L.tailMask(L.sub(n, base)),
                          L.no(L.tailMask(L.sub(L.index(0), base))));
    if (inRow)
      inside = L.both(inside, L.widen(inRow));
    SmallVector<Idx> at(moved);
    at[axis] = Idx{base, 1, 1, {}};
    L.mask = inside;
    Value x = L.widen(e.emit(op.getInput(), at)); // one element: no vector
    L.mask = {};
    return L.select(inside, x, outside);
  };
  Value base = along->base;
  if (along->lane == 1)
    return from(base);
  SmallVector<int64_t> order;
  for (int64_t l = 0; l < lanes; ++l)
    order.push_back(l < lanes / 2 ? 2 * l : 2 * l + 1);
  return vector::ShuffleOp::create(e.b, L.loc, from(base),
                                   from(L.add(base, lanes - 1)), order);
}

Value KernelEmitter::pull(PadOp op, ArrayRef<Idx> idx) {
  auto padded = [&]() -> Value {
    SmallVector<SymExpr> dims = getDims(op.getInput());
    SmallVector<SymExpr> low = op.getLow().getSymExprs();
    SmallVector<Idx> in;
    SmallVector<SymExpr> padded;
    Value inside;
    for (auto [k, i] : llvm::enumerate(idx)) {
      Idx at = L.add(i, L.uniform(dim(SymExpr(0) - low[k])));
      if (!isPadded(op, k)) {
        in.push_back(at);
        continue;
      }
      padded.push_back(dims[k]);
      Value n = dim(dims[k]);
      Value v = at.isUniform() ? at.base : L.toIndexVector(at);
      Value nv = L.isVector(v) ? L.widen(n) : n;
      if (op.getMode() == PadMode::reflect)
        v = reflectInto(L, v, nv);
      else if (op.getMode() == PadMode::wrap)
        v = wrapInto(L, v, nv);
      Idx moved;
      (L.isVector(v) ? moved.vec : moved.base) = v;
      Window w = clampTo(*this, moved, n);
      in.push_back(w.at);
      if (op.getMode() != PadMode::constant)
        continue;
      inside = andAlso(L, inside, w.inside);
    }
    Value x = emitUnlessEmpty(op.getInput(), in, padded);
    if (!inside)
      return x;
    Value outside = emit(op.getValue(), {});
    L.widenAlike(inside, x, outside);
    return L.select(inside, x, outside);
  };
  SmallVector<Idx> moved;
  auto border = [&] {
    Value lanes = loadPadded(*this, op, moved);
    return lanes ? lanes : padded();
  };
  // Masks cost more than to look at each vector where the machine has none of
  // its own.
  if (auto known = insideDims.find(op);
      known != insideDims.end() &&
      (known->second.all() ||
       (target.vectorBits == 512 && isInPlace(op.getInput())))) {
    for (auto [i, low] : llvm::zip_equal(idx, op.getLow().getSymExprs()))
      moved.push_back(L.add(i, L.uniform(dim(SymExpr(0) - low))));
    return known->second.all() ? emit(op.getInput(), moved) : border();
  }
  Value inside = isInside(*this, op, idx, moved);
  if (!inside)
    return padded();
  return ifElse(
      inside, laneType(op.getResult(), idx),
      [&] { return emit(op.getInput(), moved); }, border);
}

Value KernelEmitter::pull(ArgReduceOp op, ArrayRef<Idx> idx) {
  Value in = op.getInput();
  SmallVector<SymExpr> dims = getDims(in);
  Type element = getElementTypeOrSelf(in.getType());
  int64_t axis = op.getAxis();
  SmallVector<Idx> at(idx);
  if (op.getKeepdims())
    at[axis] = Idx();
  else
    at.insert(at.begin() + axis, Idx());
  ReduceKind kind = op.getMin() ? ReduceKind::min : ReduceKind::max;
  // Strictly better, or as good with select_last; the first NaN stays.
  bool last = op.getSelectLast();
  CompareKind better = op.getMin() ? (last ? CompareKind::le : CompareKind::lt)
                                   : (last ? CompareKind::ge : CompareKind::gt);
  Type valueType = laneType(op.getResult(), idx);
  bool vector = isa<VectorType>(valueType);
  Type t = vector ? L.vec(computeType(element)) : computeType(element);
  Value best = emitNeutral(L, kind, element, t);
  Value where = L.constantInt(valueType, 0);
  auto r = loop(L.index(0), dim(dims[axis]), 1, {best, where},
                [&](Value i, ValueRange args) {
                  at[axis] = L.uniform(i);
                  Value x = emit(in, at);
                  Value n = L.toI64(i);
                  if (vector) {
                    x = L.widen(x);
                    n = L.widen(n);
                  }
                  Value wins = emitCompare(L, better, element, x, args[0]);
                  return SmallVector<Value>{L.select(wins, x, args[0]),
                                            L.select(wins, n, args[1])};
                });
  return r[1];
}

/// What a window, at position `k` of its kernel, has of the image for output
/// position `o`: 0 outside. `channel` is the last dim; null: the second, which
/// `k` tells too.
template <typename OpTy>
Value KernelEmitter::emitPatch(OpTy op, const Idx &batch, Idx o, Idx k,
                               const Idx *channel) {
  SmallVector<SymExpr> dims = getDims(op.getInput());
  size_t spatial = dims.size() - 2, first = channel ? 1 : 2;
  ArrayRef<int64_t> kernel = op.getKernel();
  SmallVector<SymExpr> out;
  for (size_t d = 0; d < spatial; ++d) {
    SymExpr reach = op.getDilations()[d] * (kernel[d] - 1) + 1;
    SymExpr whole = dims[d + first] + SymExpr(op.getPads()[d]) +
                    SymExpr(op.getPads()[d + spatial]);
    out.push_back(SymExpr::apply(SymExpr::Fn::FloorDiv, whole - reach,
                                 op.getStrides()[d]) +
                  1);
  }
  SmallVector<Idx> at(dims.size());
  at[0] = batch;
  if (channel)
    at.back() = *channel;
  Value inside;
  SmallVector<SymExpr> padded;
  for (size_t d = spatial; d-- > 0;) {
    auto [kq, kr] = L.divRem(k, L.index(kernel[d]));
    auto [oq, orem] =
        d == 0 ? std::pair<Idx, Idx>{Idx(), o} : L.divRem(o, dim(out[d]));
    k = kq;
    o = oq;
    Idx pos = L.add(
        L.add(L.mul(orem, op.getStrides()[d]), L.mul(kr, op.getDilations()[d])),
        L.uniform(-op.getPads()[d]));
    if (op.getPads()[d] == 0 && op.getPads()[d + spatial] == 0) {
      at[d + first] = pos;
      continue;
    }
    padded.push_back(dims[d + first]);
    Window w = clampTo(*this, pos, dim(dims[d + first]));
    at[d + first] = w.at;
    inside = andAlso(L, inside, w.inside);
  }
  if (!channel)
    at[1] = k;
  Value x = emitUnlessEmpty(op.getInput(), at, padded);
  if (!inside)
    return x;
  L.widenAlike(inside, x);
  return L.select(inside, x, L.constLike(x, 0));
}

Value KernelEmitter::pull(Im2ColOp op, ArrayRef<Idx> idx) {
  // idx = (n, o, k): o -> output position, k -> (channel, kernel position), or
  // the other way round.
  if (!op.getChannelsLast())
    return emitPatch(op, idx[0], idx[1], idx[2], nullptr);
  auto [k, channel] = L.divRem(idx[2], dim(getDims(op.getInput()).back()));
  return emitPatch(op, idx[0], idx[1], k, &channel);
}

Value KernelEmitter::pull(DepthwiseOp op, ArrayRef<Idx> idx) {
  Type element = getElementTypeOrSelf(op.getResult().getType());
  Type t = laneType(op.getResult(), idx);
  SymExpr size = getDims(op.getWeight()).front();
  Value group = L.index(op.getGroupSize());
  return loop(L.index(0), dim(size), 1, L.constant(t, 0),
              [&](Value k, ValueRange args) {
                Idx at = L.uniform(k), place = at, channel = idx[2];
                if (op.getGroupSize() != 1) {
                  auto [tap, input] = L.divRem(at, group);
                  place = tap;
                  channel = L.mul(L.divRem(channel, group).first, group);
                  channel = L.add(channel, input);
                }
                Value x = emitPatch(op, idx[0], idx[1], place, &channel);
                Value w = emit(op.getWeight(), {at, idx[2]});
                return SmallVector<Value>{
                    addProduct(L, element, args[0], x, w)};
              })[0];
}

Value KernelEmitter::pull(PackBOp op, ArrayRef<Idx> idx) {
  size_t r = idx.size(); // [..., panel, k, column in panel]
  SmallVector<SymExpr> dims = getDims(op.getInput());
  SymExpr n = dims[dims.size() - (op.getTransposed() ? 2 : 1)];
  Idx column = L.add(L.mul(idx[r - 3], kPanelColumns), idx[r - 1]);
  SmallVector<Idx> at(idx.begin(), idx.end() - 3);
  bool whole = n.constant() && *n.constant() % kPanelColumns == 0;
  Window w;
  if (!whole) {
    w = clampTo(*this, column, dim(n));
    column = w.at;
  }
  if (op.getTransposed())
    at.append({column, idx[r - 2]});
  else
    at.append({idx[r - 2], column});
  Value x = emit(op.getInput(), at);
  if (whole)
    return x;
  L.widenAlike(x, w.inside);
  return L.select(w.inside, x, L.constLike(x, 0));
}

Value KernelEmitter::pull(MatMulOp op, ArrayRef<Idx> idx) {
  // The form for element types without a packed kernel: one dot product an
  // element, lanes along the columns.
  SmallVector<SymExpr> lhs = getDims(op.getLhs()), rhs = getDims(op.getRhs());
  SmallVector<SymExpr> out = getDims(op.getResult());
  size_t r = out.size();
  ArrayRef<SymExpr> batch = ArrayRef(out).drop_back(2);
  auto lead = [&](ArrayRef<SymExpr> dims) {
    return broadcastIndex(idx.drop_back(2), dims.drop_back(2), batch);
  };
  Type element = getElementTypeOrSelf(op.getResult().getType());
  Type t = laneType(op.getResult(), idx);
  SymExpr K = lhs[lhs.size() - (op.getTransposeA() ? 2 : 1)];
  return loop(
      L.index(0), dim(K), 1, L.constant(t, 0), [&](Value k, ValueRange args) {
        SmallVector<Idx> a = lead(lhs), c = lead(rhs);
        Idx kk = L.uniform(k);
        if (op.getTransposeA())
          a.append({kk, idx[r - 2]});
        else
          a.append({idx[r - 2], kk});
        if (op.getTransposeB())
          c.append({idx[r - 1], kk});
        else
          c.append({kk, idx[r - 1]});
        Value x = emit(op.getLhs(), a), y = emit(op.getRhs(), c);
        return SmallVector<Value>{addProduct(L, element, args[0], x, y)};
      })[0];
}

} // namespace tenon
