//===- AttentionKeys.cpp - the keys that a block looks at -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every thread computes the bounds of its block's rows, and every warp looks at
// the padding, a key a lane: what they find is the same, so no thread has to
// wait for another.
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/AttentionKeys.h"
#include "lib/Codegen/Gpu/SharedMemory.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace tenon {

AttentionKeys::Parts AttentionKeys::all() const {
  LaneBuilder &L = e.L;
  Value keys = e.dim(scoreDims.back());
  return {L.index(0), L.div(L.add(keys, kPanelColumns - 1), kPanelColumns)};
}

/// In [-1, keys]: an index has 32 bits here, and data may be anything.
Value AttentionKeys::boundAt(const KeyBound &bound, const Rows &rows,
                             Value row) const {
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Type i64 = b.getI64Type();
  auto wide = [&](Value x) -> Value {
    return arith::IndexCastOp::create(b, L.loc, i64, x);
  };
  auto clamp = [&](Value x, Value least, Value most) -> Value {
    x = L.max(x, least);
    return L.min(x, most);
  };
  Value key = L.add(wide(e.dim(bound.offset)),
                    arith::MulIOp::create(b, L.loc, wide(row),
                                          L.constantInt(i64, bound.slope)));
  SmallVector<Idx> at(rows.batch);
  at.append({L.uniform(row), L.uniform(0)});
  constexpr int64_t kLargest = int64_t(1) << 40;
  for (const KeyBound::Term &term : bound.terms) {
    Value data = e.emit(term.value,
                        e.broadcastIndex(at, getDims(term.value), scoreDims));
    if (data.getType() != i64)
      data = arith::ExtSIOp::create(b, L.loc, i64, data);
    data = clamp(data, L.constantInt(i64, -kLargest),
                 L.constantInt(i64, kLargest));
    key = term.negative ? Value(L.sub(key, data)) : Value(L.add(key, data));
  }
  key = clamp(key, L.constantInt(i64, -1), wide(e.dim(scoreDims.back())));
  return arith::IndexCastOp::create(b, L.loc, b.getIndexType(), key);
}

/// The widest bound of the rows.
Value AttentionKeys::boundOf(const KeyBound &bound, const Rows &rows) const {
  LaneBuilder &L = e.L;
  if (!bound.termsVary)
    return boundAt(bound, rows,
                   bound.upper == (bound.slope >= 0) ? L.sub(rows.end, 1)
                                                     : rows.first);
  return e.extremeOf(rows.first, rows.end, bound.upper,
                     [&](Value row) { return boundAt(bound, rows, row); });
}

/// Are all keys of the part padding? Those behind the last are.
Value AttentionKeys::isPaddingAt(const Rows &rows, Value row,
                                 Value part) const {
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Type i1 = b.getI1Type();
  Value lane = L.rem(threadIndex(e), kPanelColumns);
  Value key = L.add(L.mul(part, kPanelColumns), lane);
  Value own = e.ifElse(
      L.ult(key, e.dim(scoreDims.back())), i1,
      [&] {
        SmallVector<Idx> at(rows.batch);
        at.append({L.uniform(row), L.uniform(key)});
        Value any;
        for (const KeyPadding &padding : mask.padding) {
          Value x =
              e.emit(padding.value,
                     e.broadcastIndex(at, getDims(padding.value), scoreDims));
          if (padding.when == KeyPadding::isLow)
            x = L.ole(x, L.constLike(x, kMasked));
          else if (padding.when == KeyPadding::isFalse)
            x = L.bitXor(x, L.constantInt(i1, 1));
          any = any ? Value(L.either(any, x)) : x;
        }
        return any;
      },
      [&] { return L.constantInt(i1, 1); });
  return NVVM::VoteSyncOp::create(b, L.loc, i1,
                                  L.constantInt(b.getI32Type(), -1), own,
                                  NVVM::VoteSyncKind::all);
}

/// For all rows? Looks at the last one first, or the first.
Value AttentionKeys::isPadding(const Rows &rows, Value part,
                               bool backwards) const {
  LaneBuilder &L = e.L;
  if (!mask.paddingVaries)
    return isPaddingAt(rows, rows.first, part);
  Value count = L.sub(rows.end, rows.first), one = L.index(1);
  Value seen = e.whileLoop(
      L.index(0),
      [&](ValueRange seen) {
        return e.bothIn(L.slt(seen[0], count), [&] {
          Value row = backwards ? L.sub(L.sub(rows.end, one), seen[0])
                                : L.add(rows.first, seen[0]);
          return isPaddingAt(rows, row, part);
        });
      },
      [&](ValueRange seen) {
        return SmallVector<Value>{L.add(seen[0], one)};
      })[0];
  return L.eq(seen, count);
}

AttentionKeys::Parts AttentionKeys::trimPadding(const Rows &rows,
                                                Parts parts) const {
  LaneBuilder &L = e.L;
  Value one = L.index(1);
  auto isPaddingIn = [&](Value begin, Value end, Value part, bool backwards) {
    return e.bothIn(L.slt(begin, end),
                    [&] { return isPadding(rows, part, backwards); });
  };
  parts.end = e.whileLoop(
      parts.end,
      [&](ValueRange end) {
        return isPaddingIn(parts.begin, end[0], L.sub(end[0], one), true);
      },
      [&](ValueRange end) {
        return SmallVector<Value>{L.sub(end[0], one)};
      })[0];
  parts.begin = e.whileLoop(
      parts.begin,
      [&](ValueRange begin) {
        return isPaddingIn(begin[0], parts.end, begin[0], false);
      },
      [&](ValueRange begin) {
        return SmallVector<Value>{L.add(begin[0], one)};
      })[0];
  return parts;
}

AttentionKeys::Parts AttentionKeys::of(ArrayRef<Idx> batch, Value first,
                                       Value end) const {
  LaneBuilder &L = e.L;
  Rows rows{batch, first, end};
  Value begin = L.index(0), behind = e.dim(scoreDims.back());
  for (const KeyBound &bound : mask.bounds) {
    Value key = boundOf(bound, rows);
    if (bound.upper)
      behind = L.min(behind, L.add(key, 1));
    else
      begin = L.max(begin, key);
  }
  Value columns = L.index(kPanelColumns);
  Parts parts{L.div(begin, columns),
              L.div(L.add(behind, kPanelColumns - 1), columns)};
  if (!mask.padding.empty())
    parts = trimPadding(rows, parts);
  Parts whole = all();
  Value some = L.slt(parts.begin, parts.end);
  return {L.select(some, parts.begin, whole.begin),
          L.select(some, parts.end, whole.end)};
}

/// Half of kMasked: what scores add to it does not matter.
Value AttentionKeys::isMasked(Value largest) const {
  return e.L.leOrNan(largest, e.L.constant(largest.getType(), kMasked / 2));
}

} // namespace tenon
