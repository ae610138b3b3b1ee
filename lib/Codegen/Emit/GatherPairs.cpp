//===- GatherPairs.cpp - two taps of a filter, gathered at once -----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Emit/GatherPairs.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace tenon {

/// The row of indices that all rows of the gather have in common.
static SliceOp indexRow(GatherElementsOp op) {
  auto repeat = op.getIndices().getDefiningOp<BroadcastToOp>();
  Value row = repeat ? repeat.getInput() : op.getIndices();
  return row.getDefiningOp<SliceOp>();
}

/// Is `y` the row behind `x`, which is the first of two?
static bool isNext(SliceOp x, SliceOp y) {
  if (x.getInput() != y.getInput() || x.getSteps() != y.getSteps() ||
      getDims(x.getResult()) != getDims(y.getResult()))
    return false;
  bool found = false;
  for (auto [from, to] : llvm::zip_equal(x.getStarts().getSymExprs(),
                                         y.getStarts().getSymExprs())) {
    if (from == to)
      continue;
    std::optional<int64_t> place = from.constant();
    if (found || !place || *place % 2 || to - from != SymExpr(1))
      return false;
    found = true;
  }
  return found;
}

GatherElementsOp GatherPairs::findSecond() {
  SliceOp row = indexRow(first);
  if (!row || e.target.sm || L.mask || L.lanes == 1 ||
      L.lanes * 32 != e.target.vectorBits ||
      !isa<BlockArgument>(first.getInput()) ||
      !getElementTypeOrSelf(first.getInput().getType()).isF32() ||
      size_t(first.getAxis()) + 1 != getDims(first.getInput()).size())
    return {};
  for (Operation *user : first.getInput().getUsers()) {
    auto second = dyn_cast<GatherElementsOp>(user);
    if (!second || second.getInput() != first.getInput() ||
        second.getAxis() != first.getAxis() ||
        getDims(second.getResult()) != getDims(first.getResult()))
      continue;
    SliceOp next = indexRow(second);
    if (next && isNext(row, next))
      return second;
  }
  return {};
}

LaneGather GatherPairs::gatherOf(GatherElementsOp op) {
  return {e, op.getInput(), at, size_t(op.getAxis()), op.getIndices(), at};
}

/// Are all pairs inside the row, and the second element the first one or the
/// one behind it?
Value GatherPairs::arePairs(Value from, Value to) {
  Type element = getElementTypeOrSelf(from.getType());
  Value size = e.dim(getDims(first.getInput()).back());
  Value last = L.min(L.sub(size, 2), L.index(INT32_MAX));
  Value apart = L.sub(to, from),
        behind = L.sub(L.widen(L.toData(L.uniform(last), element)), from);
  Value signs = L.either(L.either(from, behind),
                         L.either(apart, L.sub(L.like(apart, 1), apart)));
  return L.no(L.anyOf(L.slt(signs, 0)));
}

Value GatherPairs::rowPointer() {
  constexpr int64_t bytes = 4;
  SmallVector<Idx> in(at);
  in.back() = L.uniform(0);
  Value row = e.linearize(in, getDims(first.getInput())).base;
  Value base = memref::ExtractAlignedPointerAsIndexOp::create(
      e.b, L.loc, e.input(cast<BlockArgument>(first.getInput())));
  return LLVM::IntToPtrOp::create(e.b, L.loc,
                                  LLVM::LLVMPointerType::get(e.b.getContext()),
                                  L.toI64(L.add(base, L.mul(row, bytes))));
}

/// The pairs of half of the lanes, from `lane` on.
Value GatherPairs::pairsOf(Value from, int64_t lane) {
  OpBuilder &b = e.b;
  int64_t count = L.lanes / 2;
  Type f64 = b.getF64Type(), i32 = b.getI32Type();
  auto pairs = VectorType::get({count}, f64);
  auto floats = VectorType::get({2 * count}, b.getF32Type());
  Value row = rowPointer(), all = L.constant(pairs, 0);
  if (e.target.vectorBits == 512) {
    Value own = vector::ExtractStridedSliceOp::create(
        b, L.loc, L.truncate(from, i32), {lane}, {count}, {1});
    Value yes = L.constantInt(VectorType::get({count}, b.getI1Type()), 1);
    all = LLVM::CallIntrinsicOp::create(
              b, L.loc, pairs,
              b.getStringAttr("llvm.x86.avx512.mask.gather.dpd.512"),
              ValueRange{all, row, own, yes, L.constantInt(i32, 4)})
              .getResults();
  } else {
    auto pointer = LLVM::LLVMPointerType::get(b.getContext());
    bool areInMemory = gatherOf(first).areInMemory();
    auto indexOf = [&](int64_t k) -> Value {
      if (!areInMemory) // computing each again would take as long as all
        return vector::ExtractOp::create(b, L.loc, from, k);
      SmallVector<Idx> own(at);
      own.back() = L.uniform(L.add(at.back().base, k));
      return e.emit(first.getIndices(), own);
    };
    for (int64_t k = 0; k < count; ++k) {
      Value index = L.toI64(L.fromData(indexOf(lane + k), false).base);
      Value place = LLVM::GEPOp::create(b, L.loc, pointer, b.getF32Type(), row,
                                        ArrayRef<LLVM::GEPArg>{index});
      Value pair = LLVM::LoadOp::create(b, L.loc, f64, place, /*alignment=*/4);
      all = vector::InsertOp::create(b, L.loc, pair, all, k);
    }
  }
  return vector::BitCastOp::create(b, L.loc, floats, all);
}

/// Two vectors as one.
Value GatherPairs::both(Value x, Value y) {
  SmallVector<int64_t> order(
      llvm::to_vector(llvm::seq<int64_t>(0, 2 * int64_t(L.lanes))));
  return vector::ShuffleOp::create(e.b, L.loc, L.widen(x), L.widen(y), order);
}

Value GatherPairs::loaded(Value from, Value to) {
  Value low = pairsOf(from, 0), high = pairsOf(from, L.lanes / 2);
  auto every = [&](int64_t odd) -> Value {
    SmallVector<int64_t> order;
    for (int64_t lane = 0; lane < int64_t(L.lanes); ++lane)
      order.push_back(2 * lane + odd);
    return vector::ShuffleOp::create(e.b, L.loc, low, high, order);
  };
  Value x = every(0);
  return both(x, L.select(L.eq(from, to), x, every(1)));
}

std::optional<std::pair<Value, Value>>
GatherPairs::emit(GatherElementsOp second, ArrayRef<Idx> idx) {
  at.assign(idx.begin(), idx.end());
  for (const Idx &i : ArrayRef(at).drop_back())
    if (!i.isUniform())
      return std::nullopt;
  if (!at.back().isContiguous())
    return std::nullopt;
  Value from = e.emit(first.getIndices(), idx),
        to = e.emit(second.getIndices(), idx);
  LaneGather x = gatherOf(first), y = gatherOf(second);
  int64_t vectors = x.windowVectors(getDims(first.getIndices()).back());
  Type type = VectorType::get({2 * int64_t(L.lanes)}, e.b.getF32Type());
  auto apart = [&] {
    return e.ifElse(
        arePairs(from, to), type, [&] { return loaded(from, to); },
        [&] { return both(x.without(), y.without()); });
  };
  Value all;
  if (vectors) {
    LaneGather::Window own = x.windowOf(from, vectors),
                       next = y.windowOf(to, vectors);
    all = e.ifElse(
        L.both(own.isWhole, next.isWhole), type,
        [&] {
          return both(x.fromWindow(own, vectors), y.fromWindow(next, vectors));
        },
        apart);
  } else {
    all = apart();
  }
  auto half = [&](int64_t lane) -> Value {
    return vector::ExtractStridedSliceOp::create(e.b, L.loc, all, {lane},
                                                 {int64_t(L.lanes)}, {1});
  };
  return std::pair(half(0), half(L.lanes));
}

} // namespace tenon
