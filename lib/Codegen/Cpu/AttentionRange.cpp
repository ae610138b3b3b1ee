//===- AttentionRange.cpp - which keys a block of queries looks at --------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Where the mask bounds the keys of a row (AttentionMask.h) only the panels of
// K, and only the rows of V, that some row of the block may look at are
// multiplied: the exponentials of the others are 0. The bounds are compared
// with where the block lies; those that are data (lengths) are read first, and
// keys that are padding for all rows are taken off both ends. All that holds if
// each row looks at something. A row that is masked whole has all its keys
// alike in ONNX, so a block with such a row is computed again without bounds.
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Cpu/AttentionKernel.h"

using namespace mlir;

namespace tenon {

/// What varies from head to head does from row to row of several heads.
KeyMask AttentionKernel::findMask() {
  if (!keepsZero(softmax.getResult(), pv.getLhs()))
    return {};
  KeyMask found = findKeyMask(softmax.getInput(), qk.getResult());
  auto varies = [&](Value v) {
    SmallVector<SymExpr> dims = getDims(v);
    return heads > 1 && dims.size() >= 3 && dims.end()[-3].constant() != 1;
  };
  for (KeyBound &bound : found.bounds)
    for (const KeyBound::Term &term : bound.terms)
      bound.termsVary |= varies(term.value);
  for (const KeyPadding &padding : found.padding)
    found.paddingVaries |= varies(padding.value);
  return found;
}

/// Where the bound of `row` lies; outside all keys where data is too large for
/// the sums of indices.
Value AttentionKernel::boundAt(const KeyBound &bound, Value row) {
  constexpr int64_t kLargest = 1 << 29;
  Value key = L.add(e.dim(bound.offset), L.mul(queryOf(row), bound.slope));
  LaneScope scalar(L, 1);
  SmallVector<Idx> at = rowIndex(row);
  at.push_back(L.uniform(0));
  for (const KeyBound::Term &term : bound.terms) {
    Value data = e.emit(term.value,
                        e.broadcastIndex(at, getDims(term.value), scoreDims));
    Value number = L.fromData(data, /*isUnsigned=*/false).base;
    Value sum = term.negative ? L.sub(key, number) : L.add(key, number);
    Value small = L.ule(L.add(number, kLargest), 2 * kLargest);
    key = L.select(small, sum,
                   L.index(bound.upper ? 8 * kLargest : -8 * kLargest));
  }
  return key;
}

/// The widest bound of the block's rows.
Value AttentionKernel::boundOf(const KeyBound &bound, Value rows) {
  Value end = L.add(m0, rows), last = L.sub(end, 1);
  if (!bound.termsVary)
    return boundAt(bound, bound.upper == (bound.slope >= 0) ? last : m0);
  return e.extremeOf(m0, end, bound.upper,
                     [&](Value row) { return boundAt(bound, row); });
}

/// Are `lanes` keys from `key` on, which is a multiple of it, all padding?
Value AttentionKernel::isPadding(Value row, Value key) {
  LaneScope saved(L, lanes);
  auto count = keys.constant();
  if (shorter || !count || *count % lanes != 0)
    L.mask = L.tailMask(L.sub(ownKeys, key));
  SmallVector<Idx> at = rowIndex(row);
  at.push_back(columnsAt(key));
  Value all;
  for (const KeyPadding &padding : mask.padding) {
    Value x = e.emit(padding.value,
                     e.broadcastIndex(at, getDims(padding.value), scoreDims));
    if (padding.when == KeyPadding::isLow)
      x = L.ole(x, L.constLike(x, kMasked));
    else if (padding.when == KeyPadding::isFalse)
      x = L.no(x);
    x = L.widen(x);
    all = all ? Value(L.either(all, x)) : x;
  }
  if (L.mask)
    all = L.select(L.mask, all, L.constantInt(all.getType(), 1));
  return L.allOf(all);
}

/// For all of the block's rows? Looks at the last one first, or the first.
Value AttentionKernel::isPaddingOfRows(Value rows, Value key, bool backwards) {
  if (!mask.paddingVaries)
    return isPadding(m0, key);
  Value one = L.index(1), last = L.sub(L.add(m0, rows), one);
  auto isPaddingOf = [&](Value number) {
    return isPadding(backwards ? L.sub(last, number) : L.add(m0, number), key);
  };
  Value seen = e.whileLoop(
      L.index(0),
      [&](Value seen) {
        return e.bothIn(L.slt(seen, rows), [&] { return isPaddingOf(seen); });
      },
      [&](Value seen) { return L.add(seen, one); });
  return L.eq(seen, rows);
}

/// Without the padding at both ends, looked at a vector at a time.
KeyRange AttentionKernel::trimPadding(Value rows, KeyRange range) {
  Value step = L.index(lanes);
  auto lastVector = [&](Value end) {
    return L.mul(L.div(L.sub(end, 1), step), step);
  };
  range.end = e.whileLoop(
      range.end,
      [&](Value end) {
        Value key = lastVector(end);
        return e.bothIn(L.slt(range.begin, end), [&] {
          return isPaddingOfRows(rows, key, /*backwards=*/true);
        });
      },
      lastVector);
  range.begin = e.whileLoop(
      range.begin,
      [&](Value begin) {
        return e.bothIn(L.slt(begin, range.end), [&] {
          return isPaddingOfRows(rows, begin, /*backwards=*/false);
        });
      },
      [&](Value begin) { return L.add(begin, step); });
  return range;
}

KeyRange AttentionKernel::boundKeys(Value rows) {
  KeyRange all = allKeys(), range = all;
  for (const KeyBound &bound : mask.bounds) {
    Value key = boundOf(bound, rows);
    if (shorter)
      key = L.sub(key, shorter);
    if (bound.upper)
      range.end = L.min(range.end, L.add(key, 1));
    else
      range.begin = L.max(range.begin, key);
  }
  Value columns = L.index(kPanelColumns);
  auto startPanel = [&] {
    range.begin = L.mul(L.div(range.begin, columns), columns);
  };
  startPanel();
  if (!mask.padding.empty()) {
    range = trimPadding(rows, range);
    startPanel();
  }
  Value some = L.slt(range.begin, range.end);
  return {L.select(some, range.begin, all.begin),
          L.select(some, range.end, all.end)};
}

Value AttentionKernel::needsAll(Value lowest, const KeyRange &range) {
  // Half of kMasked: what scores add to it does not matter.
  Value none = L.leOrNan(lowest, L.constant(f32, kMasked / 2));
  Value some = L.slt(L.sub(range.end, range.begin), allKeys().end);
  return L.both(none, some);
}

} // namespace tenon
