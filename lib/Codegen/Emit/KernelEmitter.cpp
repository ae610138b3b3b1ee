//===- KernelEmitter.cpp - computing any element of a fused group ---------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Emit/KernelEmitter.h"
#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Depthwise.h"
#include "dialects/Tenon/IR/Ops/Dequantize.h"
#include "dialects/Tenon/IR/Ops/DimsValue.h"
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/Iota.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Neg.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Sign.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/StoredRows.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/FusedProduct.h"
#include "lib/Codegen/Emit/GatherPairs.h"
#include "lib/Codegen/Lanes/ElementwiseLanes.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace tenon {

void KernelEmitter::setDomain(ArrayRef<SymExpr> dims, ArrayRef<Idx> idx,
                              const Idx &flat) {
  domainDims.assign(dims.begin(), dims.end());
  domainIdx.assign(idx.begin(), idx.end());
  domainFlat = flat;
}

bool KernelEmitter::isDomain(ArrayRef<Idx> idx, ArrayRef<SymExpr> dims) const {
  return !domainIdx.empty() && dims == ArrayRef(domainDims) &&
         llvm::all_of(llvm::zip_equal(idx, domainIdx), [](auto pair) {
           auto &[x, y] = pair;
           return x.base == y.base && x.lane == y.lane && x.vec == y.vec;
         });
}

void KernelEmitter::bind(Value v, std::function<Value(ArrayRef<Idx>)> fn) {
  bound[v] = std::move(fn);
}

Type KernelEmitter::laneType(Value v, ArrayRef<Idx> idx) {
  Type t = computeType(getElementTypeOrSelf(v.getType()));
  if (L.lanes > 1 &&
      llvm::any_of(idx, [](const Idx &i) { return !i.isUniform(); }))
    return L.vec(t);
  return t;
}

/// Does computing `v` in f32 give more bits than its elements have, and is it
/// more than a step inside one of the model's nodes? Then they are rounded away
/// as where the value is stored: results do not depend on which nodes share a
/// kernel. What a mask of -65504 leaves of a score is f16's rounding as well: a
/// row without any key weighs all keys alike.
static bool isTooPrecise(Value v) {
  Type element = getElementTypeOrSelf(v.getType());
  Operation *op = v.getDefiningOp();
  if (!op || (!element.isF16() && !element.isBF16()))
    return false;
  if (op->hasTrait<OpTrait::Elementwise>()) {
    if (isa<AbsOp, BitCastOp, CastOp, CeilOp, FloorOp, MaxOp, MinOp, NegOp,
            RoundOp, SelectOp, SignOp>(op))
      return false;
  } else if (isa<BroadcastToOp, ConcatOp, ConstantOp, GatherElementsOp,
                 GatherNDOp, GatherOp, Im2ColOp, PadOp, ReshapeOp, SliceOp,
                 TransposeOp>(op)) {
    return false;
  }
  if (element.isF16() && isa<AddOp, SubOp>(op))
    return true;
  return llvm::any_of(op->getUsers(), [&](Operation *user) {
    return user->getLoc() != op->getLoc();
  });
}

/// What emit() knows an element by.
static std::vector<const void *> keyOf(const LaneBuilder &L, Value v,
                                       ArrayRef<Idx> idx) {
  std::vector<const void *> key = {v.getAsOpaquePointer(),
                                   L.mask.getAsOpaquePointer(),
                                   (const void *)(uintptr_t)L.lanes};
  for (const Idx &i : idx) {
    key.push_back(i.base.getAsOpaquePointer());
    key.push_back((const void *)(intptr_t)i.lane);
    key.push_back(i.vec.getAsOpaquePointer());
  }
  return key;
}

Value KernelEmitter::emit(Value v, ArrayRef<Idx> idx) {
  Key key = keyOf(L, v, idx);
  if (Value known = lookUp(key))
    return known;
  Value r = compute(v, idx);
  if (!r) {
    if (!hasFailed())
      emitError(v.getLoc(), "no code can be generated for '")
          << (v.getDefiningOp() ? v.getDefiningOp()->getName().getStringRef()
                                : StringRef("an argument"))
          << "' inside a kernel";
    setFailed();
    r = L.constant(laneType(v, idx), 0);
  }
  if (isTooPrecise(v))
    r = L.roundTo(r, getElementTypeOrSelf(v.getType()));
  remember(std::move(key), r);
  return r;
}

Value KernelEmitter::loadInput(BlockArgument arg, ArrayRef<Idx> idx) {
  Type element = getElementTypeOrSelf(arg.getType());
  SmallVector<SymExpr> dims = getDims(arg);
  if (isDomain(idx, dims))
    return L.load(input(arg), domainFlat, element);
  return L.load(input(arg), linearize(idx, dims), element);
}

/// A dim that an op's attribute spells.
static Value dimOf(KernelEmitter &e, StringRef text) {
  return e.dim(SymExpr::parse(text).value_or(0));
}

/// What the table says of a sequence; without one all have as many rows.
static Value emitStoredRows(KernelEmitter &e, StoredRowsOp op, const Idx &idx) {
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Type i64 = b.getI64Type();
  TableOfRun table(e, SymExpr::parse(op.getTable().str()).value_or(0));
  auto rowsOf = [&](Value sequence) -> Value {
    Value at = arith::IndexCastOp::create(b, L.loc, b.getIndexType(), sequence);
    return arith::ExtSIOp::create(b, L.loc, i64, table.load(at));
  };
  Value sequence = L.toData(idx, i64);
  return e.ifElse(
      L.no(table.exists()), sequence.getType(),
      [&] {
        Value rows = L.toI64(dimOf(e, op.getRows()));
        return L.isVector(sequence) ? L.widen(rows) : rows;
      },
      [&]() -> Value {
        auto type = dyn_cast<VectorType>(sequence.getType());
        if (!type)
          return rowsOf(sequence);
        // Lanes of a tail count no sequences.
        if (L.mask)
          sequence = L.select(L.mask, sequence, L.constantInt(type, 0));
        Value all = L.constantInt(type, 0);
        for (int64_t lane = 0; lane < type.getDimSize(0); ++lane) {
          Value one = vector::ExtractOp::create(b, L.loc, sequence, lane);
          all = vector::InsertOp::create(b, L.loc, rowsOf(one), all, lane);
        }
        return all;
      });
}

Value KernelEmitter::compute(Value v, ArrayRef<Idx> idx) {
  if (auto it = bound.find(v); it != bound.end())
    if (Value known = it->second(idx))
      return known;
  if (auto arg = dyn_cast<BlockArgument>(v))
    return loadInput(arg, idx);
  Operation *op = v.getDefiningOp();
  SmallVector<SymExpr> dims = getDims(v);

  if (auto cast = dyn_cast<CastOp>(op))
    if (Value codes = emitQuantized(cast, idx))
      return codes;
  if (auto table = dyn_cast<LookUpOp>(op))
    return pull(table, idx);
  if (op->hasTrait<OpTrait::Elementwise>()) {
    SmallVector<Value> operands;
    for (Value o : op->getOperands())
      operands.push_back(emit(o, broadcastIndex(idx, getDims(o), dims)));
    if (llvm::any_of(operands, [&](Value x) { return L.isVector(x); }))
      for (Value &x : operands)
        x = L.widen(x);
    return emitElementwise(L, op, operands, correctsQuotients());
  }
  return llvm::TypeSwitch<Operation *, Value>(op)
      .Case<ConstantOp, BroadcastToOp, TransposeOp, SliceOp, GatherOp,
            GatherElementsOp, GatherNDOp, ReshapeOp, ConcatOp, PadOp, UnpackOp,
            PackOp, ReduceOp, ArgReduceOp, Im2ColOp, DepthwiseOp, PackBOp,
            MatMulOp, DequantizeOp, DimsValueOp, IotaOp>(
          [&](auto o) { return pull(o, idx); })
      .Case([&](StoredRowsOp o) { return emitStoredRows(*this, o, idx[0]); })
      .Default([](Operation *) { return Value(); });
}

Value KernelEmitter::pull(ConstantOp op, ArrayRef<Idx>) {
  auto splat = dyn_cast<SplatElementsAttr>(op.getValue());
  if (!splat)
    return {};
  Type element = splat.getElementType(), t = computeType(element);
  if (isa<FloatType>(t))
    return L.constant(t, splat.getSplatValue<APFloat>().convertToDouble());
  APInt value = isa<FloatType>(element)
                    ? splat.getSplatValue<APFloat>().bitcastToAPInt()
                    : splat.getSplatValue<APInt>();
  unsigned width = t.getIntOrFloatBitWidth();
  value = element.isSignlessInteger() ? value.sextOrTrunc(width)
                                      : value.zextOrTrunc(width);
  return arith::ConstantOp::create(b, L.loc, b.getIntegerAttr(t, value));
}

Value KernelEmitter::pull(BroadcastToOp op, ArrayRef<Idx> idx) {
  Value in = op.getInput();
  return emit(in, broadcastIndex(idx, getDims(in), getDims(op.getResult())));
}

Value KernelEmitter::pull(TransposeOp op, ArrayRef<Idx> idx) {
  SmallVector<Idx> in(idx.size());
  for (auto [i, p] : llvm::enumerate(op.getPerm()))
    in[p] = idx[i];
  return emit(op.getInput(), in);
}

Value KernelEmitter::pull(SliceOp op, ArrayRef<Idx> idx) {
  SmallVector<Idx> in;
  for (auto [i, start, step] :
       llvm::zip_equal(idx, op.getStarts().getSymExprs(), op.getSteps()))
    in.push_back(L.add(L.uniform(dim(start)), L.mul(i, step)));
  return emit(op.getInput(), in);
}

Value KernelEmitter::pull(GatherOp op, ArrayRef<Idx> idx) {
  LaneGather gather = laneGather(*this, op, idx);
  SmallVector<SymExpr> count = getDims(op.getIndices());
  if (Value lanes = gather.emit(count.empty() ? SymExpr(1) : count.back()))
    return lanes;
  gather.at[gather.axis] = emitGatherIndex(op.getIndices(), gather.idx,
                                           getDims(op.getInput())[gather.axis]);
  return emit(op.getInput(), gather.at);
}

Value KernelEmitter::pull(GatherElementsOp op, ArrayRef<Idx> idx) {
  SmallVector<Idx> in(idx);
  size_t axis = op.getAxis();
  GatherPairs pairs(*this, op);
  GatherElementsOp second =
      bound.count(op.getInput()) ? GatherElementsOp() : pairs.findSecond();
  if (auto both = second ? pairs.emit(second, idx) : std::nullopt) {
    remember(keyOf(L, second.getResult(), idx), both->second);
    return both->first;
  }
  LaneGather gather{*this, op.getInput(), in, axis, op.getIndices(), in};
  if (Value lanes = gather.emit(getDims(op.getIndices())[axis]))
    return lanes;
  in[axis] =
      emitGatherIndex(op.getIndices(), idx, getDims(op.getInput())[axis]);
  return emit(op.getInput(), in);
}

Value KernelEmitter::pull(GatherNDOp op, ArrayRef<Idx> idx) {
  auto t = cast<RankedTensorType>(op.getIndices().getType());
  int64_t q = t.getRank(), batch = op.getBatchDims();
  int64_t tuple = t.getDimSize(q - 1);
  SmallVector<SymExpr> inDims = getDims(op.getInput());
  SmallVector<Idx> in(idx.begin(), idx.begin() + batch);
  SmallVector<Idx> at(idx.begin(), idx.begin() + q - 1);
  for (int64_t k = 0; k < tuple; ++k) {
    SmallVector<Idx> full(at);
    full.push_back(L.uniform(k));
    in.push_back(emitGatherIndex(op.getIndices(), full, inDims[batch + k]));
  }
  in.append(idx.begin() + q - 1, idx.end());
  return emit(op.getInput(), in);
}

Value KernelEmitter::pull(ReshapeOp op, ArrayRef<Idx> idx) {
  Value in = op.getInput();
  SmallVector<SymExpr> from = getDims(in), to = getDims(op.getResult());
  // Memory is read at the row-major position, whatever its dims.
  auto arg = dyn_cast<BlockArgument>(in);
  if (arg && !bound.count(in)) {
    if (isDomain(idx, to))
      return L.load(input(arg), domainFlat, getElementTypeOrSelf(in.getType()));
    return L.load(input(arg), linearize(idx, to),
                  getElementTypeOrSelf(in.getType()));
  }
  // Otherwise split both sides into groups of equal size, from the right, and
  // move the position over group by group.
  SmallVector<Idx> out(from.size());
  int64_t i = from.size() - 1, o = to.size() - 1;
  while (i >= 0 || o >= 0) {
    if (i >= 0 && from[i].constant() == 1) {
      out[i--] = L.uniform(0);
      continue;
    }
    if (o >= 0 && to[o].constant() == 1) {
      --o;
      continue;
    }
    if (i < 0 || o < 0) // only unprovable unit dims are left
      break;
    int64_t i0 = i, o0 = o;
    SymExpr pi = from[i], po = to[o];
    while (pi != po && (i > 0 || o > 0)) {
      // Extend the side that is certainly not the longer one.
      bool extendIn;
      if (po.divideExactly(pi) && i > 0)
        extendIn = true;
      else if (pi.divideExactly(po) && o > 0)
        extendIn = false;
      else
        extendIn = i > 0 && (o == 0 || i >= o);
      if (extendIn)
        pi = from[--i] * pi;
      else
        po = to[--o] * po;
    }
    // to[o..o0] and from[i..i0] have one size.
    Idx flat = idx[o];
    for (int64_t k = o + 1; k <= o0; ++k)
      flat = L.add(L.mul(flat, dim(to[k])), idx[k]);
    for (int64_t k = i0; k > i; --k) {
      auto [q, r] = L.divRem(flat, dim(from[k]));
      out[k] = r;
      flat = q;
    }
    out[i] = flat;
    --i, --o;
  }
  for (Idx &x : out)
    if (!x.base && !x.vec)
      x = L.uniform(0);
  return emit(in, out);
}

Idx KernelEmitter::emitGatherIndex(Value indices, ArrayRef<Idx> idx,
                                   const SymExpr &bound) {
  Type element = getElementTypeOrSelf(indices.getType()), i64 = b.getI64Type();
  // One that all lanes share is checked once.
  static const char tag = 0;
  Key key = {&tag, indices.getAsOpaquePointer(),
             StringAttr::get(b.getContext(), bound.str()).getAsOpaquePointer()};
  for (const Idx &i : idx)
    key.push_back(i.base.getAsOpaquePointer());
  bool isUniform =
      llvm::all_of(idx, [](const Idx &i) { return i.isUniform(); });
  if (Value known = isUniform ? lookUp(key) : Value())
    return L.uniform(known);
  Value data = emit(indices, idx);
  // Lanes of 32 bits stay what they are where the bound has no more.
  if (!L.isVector(data) || bound.constant().value_or(INT64_MAX) > INT32_MAX)
    data = L.extend(data, i64, element.isUnsignedInteger());
  Value n = L.toData(L.uniform(dim(bound)), getElementTypeOrSelf(data));
  Value nv = L.isVector(data) ? L.widen(n) : n;
  Value zero = L.constLike(data, 0);
  Value negative = L.slt(data, zero);
  Value wrapped = L.select(negative, L.add(data, nv), data);
  Value bad = L.uge(wrapped, nv);
  Value any = bad;
  Value shown = data;
  if (L.isVector(bad)) {
    if (L.mask)
      bad = L.both(bad, L.mask);
    // The largest offending value stands for all of them.
    Value magnitudes = L.select(bad, data, zero);
    any = L.anyOf(bad);
    Value hi = vector::ReductionOp::create(
        b, L.loc, vector::CombiningKind::MAXSI, magnitudes);
    Value lo = vector::ReductionOp::create(
        b, L.loc, vector::CombiningKind::MINSI, magnitudes);
    Value neg = L.slt(lo, 0);
    shown = L.select(neg, lo, hi);
  }
  ifThen(any, [&] {
    walk().noteIndexError(*this, L.extend(shown, i64), L.extend(n, i64));
  });
  Idx safe = L.fromData(L.select(bad, zero, wrapped), false);
  if (isUniform && safe.base)
    remember(std::move(key), safe.base);
  return safe;
}

Value KernelEmitter::pull(DimsValueOp op, ArrayRef<Idx> idx) {
  SmallVector<SymExpr> exprs = op.getExprs().getSymExprs();
  Type t = computeType(getElementTypeOrSelf(op.getResult().getType()));
  auto data = [&](const SymExpr &e) -> Value {
    Value v = L.toI64(dim(e));
    return isa<FloatType>(t) ? L.toFloat(v, t) : L.truncate(v, t);
  };
  if (idx.empty())
    return data(exprs[0]);
  if (exprs.empty())
    return L.constant(t, 0);
  if (auto c = idx[0].isUniform() ? constantIndex(idx[0].base) : std::nullopt)
    return data(exprs[std::min<size_t>(*c, exprs.size() - 1)]);
  Value at = L.toData(idx[0], b.getI64Type());
  Value r = data(exprs[0]);
  if (L.isVector(at))
    r = L.widen(r);
  for (size_t k = 1; k < exprs.size(); ++k) {
    Value is = L.eq(at, k);
    Value v = data(exprs[k]);
    r = L.select(is, L.isVector(at) ? L.widen(v) : v, r);
  }
  return r;
}

Value KernelEmitter::pull(IotaOp op, ArrayRef<Idx> idx) {
  Type t = computeType(op.getElementType());
  Idx at = L.add(L.uniform(dimOf(*this, op.getStart())),
                 L.mul(idx[0], dimOf(*this, op.getStep())));
  Value v = L.toData(at, b.getI64Type());
  return isa<FloatType>(t) ? L.toFloat(v, t) : L.truncate(v, t);
}

} // namespace tenon
