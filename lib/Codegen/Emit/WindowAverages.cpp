//===- WindowAverages.cpp - sums of windows by their counts ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "lib/Codegen/Emit/BufferedWindows.h"
#include <cmath>

using namespace mlir;

namespace tenon {

/// Counts beyond it are divided by.
static constexpr double kMostCounted = 65536;

/// The float below the inverse of each count, and what it lacks of it: this is
/// positive, so that an infinity times it is the same one.
std::pair<Value, Value> BufferedWindows::inverseOf(Value counts) {
  Type f32 = e.b.getF32Type(), f64 = e.b.getF64Type(), i32 = e.b.getI32Type();
  Value wide = L.extend(counts, f64);
  Value exact = arith::DivFOp::create(e.b, L.loc, L.constLike(wide, 1), wide);
  Value near = L.truncate(exact, f32);
  Value isBelow = L.ogt(exact, L.extend(near, f64));
  Value bits = arith::BitcastOp::create(e.b, L.loc, L.vec(i32), near);
  Value below =
      arith::BitcastOp::create(e.b, L.loc, L.vec(f32), L.sub(bits, 1));
  Value inverse = L.select(isBelow, near, below);
  Value rest = arith::SubFOp::create(e.b, L.loc, exact, L.extend(inverse, f64));
  return {inverse, L.truncate(rest, f32)};
}

/// The inverses of a row whose windows no border cuts above or below, if what
/// the map divides by is the same in all such rows, and counts.
void BufferedWindows::prepareInverses() {
  Value rhs = average ? cast<DivOp>(average).getRhs() : Value();
  if (!rhs || match::scalarOf(rhs))
    return;
  SmallVector<SymExpr> sizes = getDims(rhs);
  size_t beside = dims.size() - sizes.size();
  for (size_t k = 0; k + beside < dims.size(); ++k)
    if (k + beside + 1 < axis && sizes[k].constant() != 1 &&
        !(k + beside + 2 == axis && planesOf.taps > 1))
      return;
  LaneScope all(L, lanes);
  Value n = e.dim(dims[axis]);
  inverses = e.scratchBuffer(dims[axis], type);
  rests = e.scratchBuffer(dims[axis], type);
  auto [from, to] = insideOf(rowsOf, L.index(0), e.dim(dims[axis - 1]));
  Value plane = L.index(0), behind = L.index(1);
  if (planesOf.taps > 1)
    std::tie(plane, behind) = insideOf(planesOf, plane, e.dim(dims[axis - 2]));
  Value isSome = L.both(L.slt(from, to), L.slt(plane, behind));
  isSome = L.both(isSome, L.sge(n, lanes));
  SmallVector<Idx> place(dims.size(), L.uniform(0));
  auto countsAt = [&](Value i, Value row, Value column) {
    if (planesOf.taps > 1)
      place[axis - 2] = L.uniform(i);
    place[axis - 1] = L.uniform(row);
    place[axis] = Idx{column, 1, 1, {}};
    return L.widen(e.emit(rhs, e.broadcastIndex(place, sizes, dims)));
  };
  Value no = L.constantInt(e.b.getI1Type(), 0);
  Value strips = L.div(L.add(n, lanes - 1), lanes);
  areCounts = e.ifElse(
      isSome, no.getType(),
      [&] {
        Values yes{L.no(no)};
        return e.loop(L.index(0), strips, 1, yes, [&](Value i, ValueRange own) {
          Value column = L.min(L.mul(i, lanes), L.sub(n, lanes));
          Value counts = countsAt(plane, from, column);
          auto [inverse, rest] = inverseOf(counts);
          L.store(inverse, inverses, place[axis], type);
          L.store(rest, rests, place[axis], type);
          Value are = L.both(L.ole(L.constLike(counts, 1), counts),
                             L.ole(counts, L.constLike(counts, kMostCounted)));
          Values same{L.both(own[0], L.allOf(are))};
          return e.loop(plane, behind, 1, same, [&](Value k, ValueRange some) {
            return e.loop(from, to, 1, some, [&](Value row, ValueRange each) {
              Value is = L.allOf(L.oeq(countsAt(k, row, column), counts));
              return Values{L.both(each[0], is)};
            });
          });
        })[0];
      },
      [&] { return no; });
}

/// Does no border cut a window of this row above, below, before or behind it?
Value BufferedWindows::isWholeRow(Value row) {
  auto isWithin = [&](const Along &along, Value i) {
    auto [from, to] = insideOf(along, L.index(0), L.add(i, 1));
    return L.both(L.sle(from, i), L.sgt(to, i));
  };
  Value is = L.both(areCounts, isWithin(rowsOf, row));
  if (planesOf.taps > 1)
    is = L.both(is, isWithin(planesOf, at[axis - 2].base));
  return is;
}

/// The sum divided by what the map divides it by; null: no better way is known
/// than a division.
Value BufferedWindows::averageOf(Value sum) {
  Value rhs = cast<DivOp>(average).getRhs();
  std::optional<double> count = match::scalarOf(rhs);
  if (count ? *count != double(elements) : !areCounts)
    return {};
  auto times = [&](Value inverse, Value rest) {
    return L.multiplyAdd(sum, inverse, L.mul(sum, rest), /*fused=*/true);
  };
  if (!count)
    return e.ifElse(
        isWhole, sum.getType(),
        [&] {
          return times(L.load(inverses, at[axis], type),
                       L.load(rests, at[axis], type));
        },
        [&]() -> Value {
          Value counts =
              L.widen(e.emit(rhs, e.broadcastIndex(at, getDims(rhs), dims)));
          return arith::DivFOp::create(e.b, L.loc, sum, counts);
        });
  double exact = 1.0 / double(elements);
  if (llvm::isPowerOf2_64(elements))
    return L.mul(sum, L.constLike(sum, exact));
  float inverse = float(exact);
  if (inverse > exact)
    inverse = std::nextafter(inverse, 0.0f);
  return times(L.constLike(sum, inverse), L.constLike(sum, exact - inverse));
}

} // namespace tenon
