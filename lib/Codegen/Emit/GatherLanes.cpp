//===- GatherLanes.cpp - lanes that a gather takes from a row -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Emit/GatherLanes.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/ADT/bit.h"

using namespace mlir;

namespace tenon {

SymExpr LaneGather::size() const { return getDims(input)[axis]; }

Type LaneGather::type() const {
  return computeType(getElementTypeOrSelf(input.getType()));
}

bool LaneGather::isAlongRow() const {
  for (auto [k, i] : llvm::enumerate(at))
    if (k != axis && !i.isUniform())
      return false;
  return e.L.lanes > 1 &&
         isOneElement(ArrayRef(getDims(input)).drop_front(axis + 1)) &&
         llvm::none_of(idx, [](const Idx &i) { return i.vec; }) &&
         llvm::any_of(idx, [](const Idx &i) { return !i.isUniform(); });
}

int64_t LaneGather::windowVectors(const SymExpr &count) const {
  // One instruction permutes two vectors of 512 bits.
  int64_t lanes = e.target.vectorBits / 32, vectors = 2,
          most = lanes == 16 ? 4 : 2;
  if (e.target.sm || !(type().isF32() || type().isInteger(32)))
    return 0;
  std::optional<int64_t> from = size().constant(), to = count.constant();
  if (from && to && *to > 0)
    vectors = *from <= *to ? 1
                           : llvm::bit_ceil(uint64_t(llvm::divideCeil(
                                 (lanes - 1) * *from / *to + 1, lanes)));
  if (isShort())
    return 1;
  if (vectors > most || from.value_or(lanes * vectors) < lanes * vectors)
    return 0;
  return vectors;
}

/// Is the row shorter than a vector, part of which is loaded then?
bool LaneGather::isShort() const {
  int64_t lanes = e.target.vectorBits / 32, n = size().constant().value_or(0);
  return e.target.vectorBits >= 256 && n > 1 && n < lanes;
}

/// Is each of the indices a load of its own?
bool LaneGather::areInMemory() const {
  Value v = indices;
  while (isa_and_nonnull<BroadcastToOp, ReshapeOp, SliceOp>(v.getDefiningOp()))
    v = v.getDefiningOp()->getOperand(0);
  return isa<BlockArgument>(v);
}

/// What permutes lanes to these places: for four lanes where each byte lies.
Value LaneGather::orderOf(Value places) const {
  if (!isNarrow())
    return places;
  return e.L.add(e.L.mul(places, 0x04040404), 0x03020100);
}

/// Of an order of two vectors: where is the first one meant?
Value LaneGather::isInFirst(Value order, int64_t vectors) const {
  int64_t places = vectors * int64_t(e.L.lanes);
  return e.L.slt(order, isNarrow() ? places << 26 : places);
}

/// Lane i of `v` is the one that the low bits of `order` in lane i say.
Value LaneGather::permute(Value v, Value order) const {
  if (isNarrow()) {
    auto bytes = VectorType::get({16}, e.b.getI8Type());
    auto cast = [&](Type to, Value x) -> Value {
      return vector::BitCastOp::create(e.b, e.L.loc, to, x);
    };
    Value moved = LLVM::CallIntrinsicOp::create(
                      e.b, e.L.loc, bytes,
                      e.b.getStringAttr("llvm.x86.ssse3.pshuf.b.128"),
                      ValueRange{cast(bytes, v), cast(bytes, order)})
                      .getResults();
    return cast(v.getType(), moved);
  }
  StringRef name = type().isF32() ? (isWide() ? "llvm.x86.avx512.permvar.sf.512"
                                              : "llvm.x86.avx2.permps")
                                  : (isWide() ? "llvm.x86.avx512.permvar.si.512"
                                              : "llvm.x86.avx2.permd");
  return LLVM::CallIntrinsicOp::create(e.b, e.L.loc, v.getType(),
                                       e.b.getStringAttr(name),
                                       ValueRange{v, order})
      .getResults();
}

/// The same of two vectors, one behind the other.
Value LaneGather::permuteBoth(Value low, Value high, Value order) const {
  StringRef name = type().isF32() ? "llvm.x86.avx512.vpermi2var.ps.512"
                                  : "llvm.x86.avx512.vpermi2var.d.512";
  return LLVM::CallIntrinsicOp::create(e.b, e.L.loc, low.getType(),
                                       e.b.getStringAttr(name),
                                       ValueRange{low, order, high})
      .getResults();
}

std::optional<int64_t> LaneGather::spanOf(const SymExpr &count,
                                          int64_t taps) const {
  int64_t lanes = e.target.vectorBits / 32;
  std::optional<int64_t> from = size().constant(), to = count.constant();
  if (!from || !to || *to == 0)
    return std::nullopt;
  return llvm::divideCeil((lanes - 1) * *from, *to) + taps;
}

LaneGather::Window LaneGather::windowOf(Value data, int64_t vectors,
                                        Value first) const {
  LaneBuilder &L = e.L;
  int64_t span = L.lanes * vectors;
  Value n = e.dim(size());
  if (!first)
    first = vector::ExtractOp::create(e.b, L.loc, data, int64_t(0));
  first = L.fromData(first, false).base;
  Window window;
  window.base = L.max(L.min(first, L.sub(n, span)), L.index(0));
  Value base =
      L.toData(L.uniform(window.base), getElementTypeOrSelf(data.getType()));
  Value place = L.sub(data, L.widen(base));
  window.order = orderOf(L.truncate(place, e.b.getI32Type()));
  Value far = L.both(place, L.like(place, -span));
  if (isShort())
    far = L.select(L.slt(place, *size().constant()), far, L.like(far, -1));
  if (L.mask)
    far = L.select(L.mask, far, L.like(far, 0));
  window.isWhole = L.eq(
      vector::ReductionOp::create(e.b, L.loc, vector::CombiningKind::OR, far),
      0);
  if (!size().constant())
    window.isWhole = L.both(window.isWhole, L.sge(n, span));
  return window;
}

Value LaneGather::fromWindow(const Window &window, int64_t vectors) {
  LaneBuilder &L = e.L;
  // What is loaded is all there, also for the lanes of a tail.
  LaneScope all(L, L.lanes);
  if (isShort())
    L.mask = L.tailMask(e.dim(size()));
  auto part = [&](int64_t k) {
    at[axis] = Idx{L.add(window.base, k * int64_t(L.lanes)), 1, 1, {}};
    return L.widen(e.emit(input, at));
  };
  Value low = part(0);
  if (vectors == 1)
    return permute(low, window.order);
  Value high = part(1);
  if (isWide()) {
    low = permuteBoth(low, high, window.order);
    if (vectors == 2)
      return low;
    return L.select(isInFirst(window.order, 2), low,
                    permuteBoth(part(2), part(3), window.order));
  }
  return L.select(isInFirst(window.order, 1), permute(low, window.order),
                  permute(high, window.order));
}

Value LaneGather::without() {
  LaneBuilder &L = e.L;
  constexpr unsigned most = 8; // of more a machine gathers them itself
  if (L.mask || L.lanes > most || !areInMemory())
    return anyhow();
  Value data = e.emit(indices, idx);
  Type element = getElementTypeOrSelf(data.getType());
  Value last = L.sub(e.dim(size()), 1);
  if (element.getIntOrFloatBitWidth() < 64)
    last = L.min(last, L.index(INT32_MAX));
  Value beyond = L.sub(L.widen(L.toData(L.uniform(last), element)), data);
  Value outside = L.anyOf(L.slt(L.either(data, beyond), 0));
  Type all = L.vec(type());
  return e.ifElse(
      outside, all, [&] { return anyhow(); },
      [&] {
        Value r;
        for (int64_t lane = 0; lane < int64_t(L.lanes); ++lane) {
          SmallVector<Idx> own;
          for (const Idx &i : idx)
            own.push_back(
                i.isUniform() ? i : L.uniform(L.add(i.base, lane * i.lane)));
          at[axis] = L.fromData(e.emit(indices, own), false);
          Value x = e.emit(input, at);
          r = lane ? Value(vector::InsertOp::create(e.b, L.loc, x, r, lane))
                   : vector::BroadcastOp::create(e.b, L.loc, all, x);
        }
        return r;
      });
}

Value LaneGather::anyhow() {
  at[axis] = e.emitGatherIndex(indices, idx, size());
  return e.L.widen(e.emit(input, at));
}

Value LaneGather::emit(const SymExpr &count) {
  LaneBuilder &L = e.L;
  Value data = isAlongRow() ? e.emit(indices, idx) : Value();
  if (!data || !L.isVector(data))
    return {};
  int64_t vectors =
      L.lanes * 32 == e.target.vectorBits ? windowVectors(count) : 0;
  if (!vectors)
    return without();
  Window window = windowOf(data, vectors);
  return e.ifElse(
      window.isWhole, L.vec(type()),
      [&] { return fromWindow(window, vectors); }, [&] { return without(); });
}

LaneGather laneGather(KernelEmitter &e, GatherOp op, ArrayRef<Idx> idx) {
  size_t axis = op.getAxis(), q = getDims(op.getIndices()).size();
  SmallVector<Idx> at(idx.begin(), idx.begin() + axis);
  at.emplace_back();
  at.append(idx.begin() + axis + q, idx.end());
  return {e,    op.getInput(),   at,
          axis, op.getIndices(), SmallVector<Idx>(idx.slice(axis, q))};
}

} // namespace tenon
