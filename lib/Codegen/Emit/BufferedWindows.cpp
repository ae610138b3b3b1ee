//===- BufferedWindows.cpp - windows joined by a buffer -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Emit/BufferedWindows.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "lib/Codegen/Emit/SlidingWindows.h"
#include "lib/Codegen/Lanes/ElementwiseLanes.h"
#include "llvm/ADT/DenseSet.h"

using namespace mlir;

namespace tenon {

/// Elements of the buffer: with the rows that are read and written it leaves
/// room in the first cache.
static constexpr int64_t kElements = 3072;
/// Rows at a time.
static constexpr int64_t kLeastRows = 4, kMostRows = 32;
/// Vectors of fewer elements gain nothing.
static constexpr unsigned kLeastLanes = 4;
/// Neighbouring windows of up to so many elements gain nothing, of a few more
/// nothing where rows are short.
static constexpr int64_t kLeastElements = 6, kFewElements = 9;
static constexpr int64_t kShortRow = 12, kShortRowOfFew = 24,
                         kShortRowOfSums = 32;
/// Bytes of an element that lanes are counted by.
static constexpr unsigned kBytes = 4;

//===----------------------------------------------------------------------===//
// What is a window
//===----------------------------------------------------------------------===//

bool BufferedWindows::match() {
  if (e.vectorLanes() < kLeastLanes || axis == 0)
    return false;
  return findJoin(root, [&](Operation *last) { return matchJoins(last); });
}

/// The slices that ops as `joined` join to `root`, of whose dims they are.
bool BufferedWindows::findLeaves(Value root, Value v, Values &leaves) {
  Operation *op = v.getDefiningOp();
  if (!op || getDims(v) != getDims(root))
    return false;
  if (isa<SliceOp>(op)) {
    leaves.push_back(v);
    return true;
  }
  return op->getName() == joined->getName() && (v == root || v.hasOneUse()) &&
         findLeaves(root, op->getOperand(0), leaves) &&
         findLeaves(root, op->getOperand(1), leaves);
}

bool BufferedWindows::matchJoins(Operation *last) {
  joined = last;
  planesOf = rowsOf = columnsOf = Along();
  Type element = getElementTypeOrSelf(last->getResult(0).getType());
  type = computeType(element);
  isExtreme = !isa<AddOp>(last);
  isFloat = isa<FloatType>(type);
  // Sums of narrower floats are rounded one by one.
  if (!isExtreme && type != element && isFloat)
    return false;
  Values leaves;
  Value window = last->getResult(0);
  if (!findLeaves(window, window, leaves) ||
      !(matchColumns(leaves) || matchGrid(leaves)) || !isBufferable())
    return false;
  elements = planesOf.taps * rowsOf.taps * columnsOf.taps;
  auto division =
      last->hasOneUse() ? dyn_cast<DivOp>(*last->getUsers().begin()) : DivOp();
  if (division && division.getLhs() == last->getResult(0) && type.isF32() &&
      getDims(division.getResult()) == dims && e.target.hasFma)
    average = division;
  return true;
}

/// How the leaves lie along `dim`, and each one's tap there.
BufferedWindows::Along BufferedWindows::alongOf(size_t dim,
                                                ArrayRef<Value> leaves,
                                                SmallVector<int64_t> &order) {
  auto first = leaves.front().getDefiningOp<SliceOp>();
  SymExpr start = first.getStarts().getSymExprs()[dim];
  Along along;
  along.step = first.getSteps()[dim];
  along.taps = 0; // until it is known to be one
  SmallVector<int64_t> offsets;
  for (Value leaf : leaves) {
    auto slice = leaf.getDefiningOp<SliceOp>();
    std::optional<int64_t> offset =
        (slice.getStarts().getSymExprs()[dim] - start).constant();
    if (!offset)
      return along;
    offsets.push_back(*offset);
  }
  SmallVector<int64_t> sorted(offsets);
  llvm::sort(sorted);
  sorted.erase(llvm::unique(sorted), sorted.end());
  along.by = sorted.size() > 1 ? sorted[1] - sorted[0] : 1;
  for (int64_t offset : offsets) {
    int64_t from = offset - sorted[0];
    order.push_back(from / along.by);
    if (from % along.by || from / along.by >= int64_t(sorted.size()))
      return along;
  }
  along.taps = sorted.size();
  along.place = start + SymExpr(sorted[0]);
  along.size = getDims(first.getInput())[dim];
  return along;
}

/// Do the leaves lie in one dim alone, and are all of what they are cut from
/// along the others? Sets how.
bool BufferedWindows::matchAlong(ArrayRef<Value> leaves, size_t dim,
                                 Along &along) {
  auto first = leaves.front().getDefiningOp<SliceOp>();
  SmallVector<SymExpr> in = getDims(first.getInput()),
                       out = getDims(first.getResult());
  for (Value leaf : leaves) {
    auto slice = leaf.getDefiningOp<SliceOp>();
    if (slice.getInput() != first.getInput() ||
        slice.getSteps() != first.getSteps())
      return false;
    for (auto [k, start] : llvm::enumerate(slice.getStarts().getSymExprs()))
      if (k != dim &&
          (start != SymExpr(0) || slice.getSteps()[k] != 1 || in[k] != out[k]))
        return false;
  }
  SmallVector<int64_t> order;
  along = alongOf(dim, leaves, order);
  llvm::sort(order);
  return along.step > 0 && along.taps == int64_t(leaves.size()) &&
         llvm::unique(order) == order.end();
}

/// Are the leaves cut from what the windows' columns come to?
bool BufferedWindows::matchColumns(ArrayRef<Value> leaves) {
  Value columns = leaves.front().getDefiningOp<SliceOp>().getInput();
  Operation *op = columns.getDefiningOp();
  Values rows;
  if (!op || op->getName() != joined->getName() ||
      !findLeaves(columns, columns, rows) ||
      !matchAlong(leaves, axis, columnsOf) ||
      !matchAlong(rows, axis - 1, rowsOf))
    return false;
  image = rows.front().getDefiningOp<SliceOp>().getInput();
  return true;
}

/// Do the leaves make windows of rows and columns, and perhaps planes?
bool BufferedWindows::matchGrid(ArrayRef<Value> leaves) {
  auto first = leaves.front().getDefiningOp<SliceOp>();
  image = first.getInput();
  SmallVector<int64_t> code(leaves.size(), 0);
  int64_t count = 1;
  for (Value leaf : leaves) {
    auto slice = leaf.getDefiningOp<SliceOp>();
    if (slice.getInput() != image || slice.getSteps() != first.getSteps())
      return false;
  }
  for (size_t k = 0; k < dims.size(); ++k) {
    SmallVector<int64_t> order;
    Along along = alongOf(k, leaves, order);
    bool isWindow = k <= axis && k + 2 >= axis;
    if (along.taps == 0 || along.step <= 0 || (along.taps > 1 && !isWindow) ||
        (!isWindow && (along.step != 1 || along.place != SymExpr(0))))
      return false;
    for (auto [c, tap] : llvm::zip_equal(code, order))
      c = c * along.taps + tap;
    count *= along.taps;
    if (isWindow)
      (k == axis ? columnsOf : k + 1 == axis ? rowsOf : planesOf) = along;
  }
  // Each place once: as many as there are, all different.
  llvm::DenseSet<int64_t> codes(code.begin(), code.end());
  return count == int64_t(leaves.size()) && codes.size() == leaves.size();
}

bool BufferedWindows::isBufferable() {
  return rowsOf.size.constant() != 0 && rowsOf.taps > 1 && columnsOf.taps > 1 &&
         columnsOf.step <= 2 && columnsOf.place == SymExpr(0) && matchPad();
}

/// What the slices are of, and whether rows fill a vector.
bool BufferedWindows::matchPad() {
  low = 0;
  padding = {};
  if (auto pad = image.getDefiningOp<PadOp>()) {
    SmallVector<SymExpr> before = pad.getLow().getSymExprs();
    std::optional<int64_t> beside = before[axis].constant();
    padding = pad.getValue();
    if (pad.getMode() != PadMode::constant || !beside || *beside < 0 ||
        (!isExtreme && match::scalarOf(padding) != 0))
      return false;
    image = pad.getInput();
    SmallVector<SymExpr> sizes = getDims(image);
    for (size_t k = 0; k < dims.size(); ++k) {
      bool isPadded = e.isPadded(pad, k);
      if (isPadded && (k > axis || k + 2 < axis))
        return false;
      if (k > axis || k + 2 < axis)
        continue;
      Along &along = k == axis ? columnsOf : k + 1 == axis ? rowsOf : planesOf;
      along.isPadded = isPadded;
      along.place = along.place - before[k];
      along.size = sizes[k];
    }
    low = *beside;
  }
  return isWorthwhile();
}

/// Do the windows share enough, and do rows fill a vector? Sets the lanes.
bool BufferedWindows::isWorthwhile() {
  bool hasPlanes = planesOf.taps > 1 || planesOf.isPadded;
  bool isShared = rowsOf.taps * rowsOf.by > rowsOf.step ||
                  columnsOf.taps * columnsOf.by > columnsOf.step;
  if (!hasPlanes && !isShared)
    return false;
  int64_t ofPlane = rowsOf.taps * columnsOf.taps;
  int64_t least = ofPlane > kFewElements ? kShortRow
                  : isExtreme            ? kShortRowOfFew
                                         : kShortRowOfSums;
  if (!hasPlanes && columnsOf.step == 1 &&
      (ofPlane <= kLeastElements ||
       columnsOf.size.constant().value_or(least) < least))
    return false;
  lanes = e.vectorLanes();
  if (type.isInteger(8) && root == joined->getResult(0))
    lanes *= kBytes; // nothing else is computed of them
  auto fit = [&](const SymExpr &n, int64_t step) {
    if (std::optional<int64_t> size = n.constant())
      while (lanes >= kLeastLanes && int64_t(lanes) * step > *size)
        lanes /= 2;
  };
  fit(dims[axis], 1);
  fit(columnsOf.size, columnsOf.step);
  return lanes >= kLeastLanes;
}

Value BufferedWindows::fits() {
  if (dims[axis].constant() && columnsOf.size.constant() &&
      rowsOf.size.constant())
    return {};
  Value wide =
      L.both(L.sge(e.dim(dims[axis]), int64_t(lanes)),
             L.sge(e.dim(columnsOf.size), int64_t(lanes) * columnsOf.step));
  return L.both(wide, L.sgt(e.dim(rowsOf.size), 0));
}

//===----------------------------------------------------------------------===//
// Joins
//===----------------------------------------------------------------------===//

Value BufferedWindows::join(Value x, Value y) {
  if (!isPlain || !takesNotes())
    return emitElementwise(L, joined, {x, y}, /*corrects=*/false);
  return L.select(isa<MaxOp>(joined) ? L.ogt(y, x) : L.ogt(x, y), y, x);
}

/// Of lanes: where the machine has masks of its own whether all were numbers,
/// else as wide as elements whether some were not.
Type BufferedWindows::noteType() const {
  return L.vec(e.b.getIntegerType(e.target.vectorBits == 512 ? 1 : 32));
}

/// Lanes that are no numbers, of two vectors at a time.
void BufferedWindows::note(Value x) {
  if (!notes)
    return;
  if (!unnoted) {
    unnoted = x;
    return;
  }
  if (e.target.vectorBits == 512)
    notes =
        L.both(notes, arith::CmpFOp::create(
                          e.b, L.loc, arith::CmpFPredicate::ORD, unnoted, x));
  else
    notes = L.either(notes, arith::ExtSIOp::create(e.b, L.loc, noteType(),
                                                   L.eitherNan(unnoted, x)));
  unnoted = {};
}

void BufferedWindows::noteRest() {
  if (unnoted)
    note(unnoted);
}

BufferedWindows::Values BufferedWindows::withNotes(Values values) const {
  if (notes)
    values.push_back(notes);
  return values;
}

BufferedWindows::Values BufferedWindows::takeNotes(Values values) {
  if (notes)
    notes = values.pop_back_val();
  return values;
}

/// Was there something that is no number?
Value BufferedWindows::seen() {
  if (e.target.vectorBits == 512)
    return L.no(L.allOf(notes));
  return L.anyOf(L.slt(notes, 0));
}

//===----------------------------------------------------------------------===//
// Rows of the image
//===----------------------------------------------------------------------===//

Value BufferedWindows::placeOf(const Along &along, Value i, int64_t tap) {
  return L.add(L.mul(i, along.step),
               e.dim(along.place + SymExpr(tap * along.by)));
}

/// A loop that takes notes.
void BufferedWindows::loop(Value lo, Value hi, int64_t step,
                           function_ref<void(Value)> fn) {
  takeNotes(
      e.loop(lo, hi, step, withNotes({}), [&](Value i, ValueRange carried) {
        takeNotes(Values(carried));
        fn(i);
        noteRest();
        return withNotes({});
      }));
}

/// fn at every `width` of n elements; the last that many may begin before the
/// others end.
void BufferedWindows::strips(Value n, int64_t width,
                             function_ref<void(Value)> fn) {
  Value last = L.sub(n, width);
  loop(L.index(0), L.div(L.add(n, width - 1), width), 1,
       [&](Value i) { fn(L.min(L.mul(i, width), last)); });
}

/// The vectors of a row from `column` on: one, or two of windows that lie two
/// elements apart.
BufferedWindows::Values BufferedWindows::imageAt(Value row, Value column) {
  Values vectors;
  SmallVector<Idx> in(at);
  in[axis - 1] = L.uniform(row);
  if (axis > 1)
    in[axis - 2] = L.uniform(placeOf(planesOf, at[axis - 2].base, 0));
  for (int64_t k = 0; k < columnsOf.step; ++k) {
    Value place = L.add(column, k * int64_t(lanes));
    if (planes) {
      Value from = L.mul(L.sub(row, firstOfPlane), e.dim(columnsOf.size));
      vectors.push_back(
          L.load(planes, Idx{L.add(from, place), 1, 1, {}}, type));
      continue;
    }
    in[axis] = Idx{place, 1, 1, {}};
    vectors.push_back(L.widen(e.emit(image, in)));
    note(vectors.back());
  }
  return vectors;
}

/// `fn` where the place lies inside, else what lies outside.
BufferedWindows::Values BufferedWindows::inside(const Along &along, Value place,
                                                int64_t count,
                                                function_ref<Values()> fn) {
  if (!along.isPadded)
    return fn();
  noteRest(); // what is noted inside is of what is computed there
  Values otherwise(count, L.widen(e.emit(padding, {})));
  return takeNotes(
      e.ifThen(L.ult(place, e.dim(along.size)), withNotes(otherwise), [&] {
        Values own = fn();
        noteRest();
        return withNotes(own);
      }));
}

/// What the planes of the windows come to, of all rows that some of the result
/// read.
void BufferedWindows::joinPlanes(Value first, Value behind) {
  Value size = e.dim(rowsOf.size), width = e.dim(columnsOf.size);
  firstOfPlane = L.max(placeOf(rowsOf, first, 0), L.index(0));
  Value last = placeOf(rowsOf, L.sub(behind, 1), rowsOf.taps - 1);
  Value count = L.sub(L.min(L.add(last, 1), size), firstOfPlane);
  // Rows in memory are one.
  bool areOne = isa<BlockArgument>(image);
  auto planeAt = [&](Value row, Value column, Value to) {
    Value sum;
    for (int64_t tap = 0; tap < planesOf.taps; ++tap) {
      Value place = placeOf(planesOf, at[axis - 2].base, tap);
      Value x = inside(planesOf, place, 1, [&] {
        SmallVector<Idx> in(at);
        in[axis - 2] = L.uniform(place);
        in[axis - 1] = L.uniform(row);
        in[axis] = Idx{column, 1, 1, {}};
        Value own = L.widen(e.emit(image, in));
        note(own);
        return Values{own};
      })[0];
      sum = sum ? join(sum, x) : x;
    }
    L.store(sum, planes, Idx{to, 1, 1, {}}, type);
  };
  Value some = L.sgt(count, 0);
  takeNotes(e.ifThen(some, withNotes({}), [&] {
    if (areOne)
      strips(L.mul(count, width), lanes,
             [&](Value i) { planeAt(firstOfPlane, i, i); });
    else
      loop(L.index(0), count, 1, [&](Value i) {
        Value row = L.add(firstOfPlane, i), from = L.mul(i, width);
        strips(width, lanes, [&](Value j) { planeAt(row, j, L.add(from, j)); });
      });
    return withNotes({});
  }));
}

//===----------------------------------------------------------------------===//
// Down the columns
//===----------------------------------------------------------------------===//

/// Vectors of one column of taps that become one.
Value BufferedWindows::joinAll(ArrayRef<Values> taps, int64_t k) {
  Value all;
  for (const Values &tap : taps)
    all = all ? join(all, tap[k]) : tap[k];
  return all;
}

/// To the row of the buffer that is the result's `row`.
void BufferedWindows::storeColumns(ArrayRef<Value> values, Value row,
                                   Value column) {
  Value to = L.mul(L.sub(row, begin), e.dim(this->row));
  Value place = L.add(column, low);
  if (columnsOf.step == 1) {
    L.store(values[0], buffer, Idx{L.add(to, L.add(place, lead)), 1, 1, {}},
            type);
    return;
  }
  for (int64_t odd = 0; odd < 2; ++odd) {
    SmallVector<int64_t> order;
    for (unsigned lane = 0; lane < lanes; ++lane)
      order.push_back(2 * lane + odd);
    Value half =
        vector::ShuffleOp::create(e.b, L.loc, values[0], values[1], order);
    Value own = L.add(place, odd);
    Value from = L.add(L.mul(L.rem(own, 2), e.dim(this->half)), L.div(own, 2));
    L.store(half, buffer, Idx{L.add(to, from), 1, 1, {}}, type);
  }
}

/// A row of the image, or what lies outside: without branches, which windows
/// beside borders of small images would mistake.
BufferedWindows::Values BufferedWindows::rowOrPadding(Value row, Value column) {
  Value size = e.dim(rowsOf.size), least = planes ? firstOfPlane : L.index(0);
  Values vectors = imageAt(L.max(L.min(row, L.sub(size, 1)), least), column);
  if (!rowsOf.isPadded)
    return vectors;
  Value isInside = L.widen(L.ult(row, size));
  for (Value &v : vectors)
    v = L.select(isInside, v, L.widen(e.emit(padding, {})));
  return vectors;
}

/// Rows [first, behind) whose taps all lie inside; of none: first twice.
std::pair<Value, Value> BufferedWindows::insideOf(const Along &along,
                                                  Value first, Value behind) {
  if (!along.isPadded)
    return {first, behind};
  using Fn = SymExpr::Fn;
  SymExpr step = along.step, last = along.place + (along.taps - 1) * along.by;
  auto clamp = [&](const SymExpr &row, Value least) {
    return L.max(L.min(e.dim(row), behind), least);
  };
  Value from =
      clamp(SymExpr::apply(Fn::CeilDiv, SymExpr(0) - along.place, step), first);
  return {from,
          clamp(SymExpr::apply(Fn::CeilDiv, along.size - last, step), from)};
}

/// Two rows at a time, with the vectors that the next ones share with these.
BufferedWindows::Values BufferedWindows::downRows(Value first, Value behind,
                                                  Value column, bool isInside,
                                                  ArrayRef<Value> init) {
  int64_t taps = rowsOf.taps, width = columnsOf.step;
  int64_t carried = init.size() / width, further = taps - carried;
  auto load = [&](Value row, int64_t tap) {
    Value place = placeOf(rowsOf, row, tap);
    return isInside ? imageAt(place, column) : rowOrPadding(place, column);
  };
  return takeNotes(e.loop(
      first, behind, 2, withNotes(Values(init)),
      [&](Value row, ValueRange args) {
        Values own = takeNotes(Values(args));
        SmallVector<Values> all;
        for (int64_t tap = 0; tap < carried; ++tap)
          all.push_back(Values(ArrayRef(own).slice(tap * width, width)));
        Value next = L.add(row, 1);
        for (int64_t tap = carried; tap < taps; ++tap)
          all.push_back(load(row, tap));
        for (int64_t tap = carried; tap < taps; ++tap)
          all.push_back(load(next, tap));
        Values one, two;
        for (int64_t k = 0; k < width; ++k) {
          ArrayRef<Values> taken(all);
          if (isExtreme && carried) { // in any order: what they share is first
            Value both = joinAll(taken.slice(further, carried), k);
            one.push_back(join(joinAll(taken.take_front(further), k), both));
            two.push_back(join(both, joinAll(taken.take_back(further), k)));
          } else {
            one.push_back(joinAll(taken.take_front(taps), k));
            two.push_back(joinAll(taken.take_back(taps), k));
          }
        }
        noteRest();
        storeColumns(one, row, column);
        storeColumns(two, next, column);
        Values carry;
        for (const Values &tap : ArrayRef(all).take_back(carried))
          llvm::append_range(carry, tap);
        return withNotes(carry);
      }));
}

/// All rows of a strip: those whose taps lie inside between the others. An odd
/// one at the end is computed with the next, for which the buffer has room.
void BufferedWindows::downStrip(Value first, Value behind, Value column) {
  int64_t taps = rowsOf.taps;
  // Taps from the first row to the second.
  bool shares = rowsOf.step % rowsOf.by == 0 && rowsOf.step / rowsOf.by < taps;
  int64_t carried = shares ? taps - rowsOf.step / rowsOf.by : 0;
  auto even = [&](Value n) { return L.mul(L.div(n, 2), 2); };
  auto [from, to] = insideOf(rowsOf, first, behind);
  Values own;
  for (int64_t tap = 0; tap < carried; ++tap)
    llvm::append_range(own, rowOrPadding(placeOf(rowsOf, first, tap), column));
  noteRest();
  if (rowsOf.isPadded) {
    from = L.add(first, even(L.add(L.sub(from, first), 1)));
    own = downRows(first, from, column, false, own);
    to = L.max(to, from);
  }
  to = L.add(from, even(L.sub(to, from)));
  own = downRows(from, to, column, true, own);
  downRows(to, behind, column, false, own);
}

//===----------------------------------------------------------------------===//
// Across the buffer
//===----------------------------------------------------------------------===//

/// The windows of a row of the result from `column` on.
void BufferedWindows::windowsAt(Value row, Value column) {
  Value from = L.add(L.mul(L.sub(row, begin), e.dim(this->row)), column);
  Value window;
  for (int64_t tap = 0; tap < columnsOf.taps; ++tap) {
    int64_t place = tap * columnsOf.by, step = columnsOf.step;
    Value to = L.add(from, lead + place / step);
    if (place % step)
      to = L.add(to, e.dim(half));
    Value x = L.load(buffer, Idx{to, 1, 1, {}}, type);
    window = window ? join(window, x) : x;
  }
  at[axis - 1] = L.uniform(row);
  at[axis] = Idx{column, 1, 1, {}};
  e.bind(joined->getResult(0), [window](ArrayRef<Idx>) { return window; });
  if (average)
    e.bind(average->getResult(0),
           [this, window](ArrayRef<Idx>) { return averageOf(window); });
  Idx flat = e.linearize(at, dims);
  e.setDomain(dims, at, flat);
  L.store(e.emit(root, at), e.result(0), flat,
          getElementTypeOrSelf(root.getType()));
  e.unbind(joined->getResult(0));
  if (average)
    e.unbind(average->getResult(0));
}

//===----------------------------------------------------------------------===//
// Tasks
//===----------------------------------------------------------------------===//

void BufferedWindows::prepare() {
  using Fn = SymExpr::Fn;
  int64_t step = columnsOf.step;
  auto rounded = [&](const SymExpr &n) {
    return SymExpr::apply(Fn::CeilDiv, n, int64_t(lanes)) * int64_t(lanes);
  };
  // The image begins at a vector.
  lead = step == 1 ? llvm::alignTo(low, lanes) - low : 0;
  SymExpr reach = (dims[axis] - 1) * step +
                  SymExpr((columnsOf.taps - 1) * columnsOf.by + 1);
  SymExpr places =
      SymExpr::apply(Fn::Max, columnsOf.size + SymExpr(low + step - 1), reach);
  half = rounded(SymExpr::apply(Fn::CeilDiv, places, step) + SymExpr(lead));
  row = half * step;
  // A task's rows in equal parts.
  SymExpr most = SymExpr::apply(
      Fn::Max, kLeastRows,
      SymExpr::apply(Fn::Min, kMostRows,
                     SymExpr::apply(Fn::FloorDiv, kElements, row)));
  block = SymExpr::apply(Fn::CeilDiv, kMostRows,
                         SymExpr::apply(Fn::CeilDiv, kMostRows, most));
  // An odd row's next one has its place.
  buffer = e.scratchBuffer(row * (block + SymExpr(1)), type);
  if (planesOf.taps > 1 || planesOf.isPadded) {
    SymExpr rows =
        block * rowsOf.step + SymExpr((rowsOf.taps - 1) * rowsOf.by + 1);
    planes = e.scratchBuffer(rows * columnsOf.size, type);
  }
  prepareInverses();
  if (!padding)
    return;
  LaneScope all(L, lanes);
  e.loop(L.index(0), e.dim(row * block), lanes, [&](Value i) {
    L.store(L.widen(e.emit(padding, {})), buffer, Idx{i, 1, 1, {}}, type);
  });
}

/// Some rows, by maxima of numbers or by those that NaN goes through.
void BufferedWindows::someRows(Value first, Value behind, bool plain) {
  isPlain = plain;
  notes = unnoted = {};
  if (plain && takesNotes())
    notes = L.constantInt(noteType(), e.target.vectorBits == 512 ? 1 : 0);
  begin = first;
  if (planes)
    joinPlanes(first, behind);
  strips(e.dim(columnsOf.size), lanes * columnsOf.step,
         [&](Value column) { downStrip(first, behind, column); });
  Value n = e.dim(dims[axis]), last = L.sub(n, lanes);
  e.loop(first, behind, 1, [&](Value row) {
    isWhole = areCounts ? isWholeRow(row) : Value();
    e.loop(L.index(0), last, lanes,
           [&](Value column) { windowsAt(row, column); });
    windowsAt(row, last);
  });
}

void BufferedWindows::emit(ArrayRef<Idx> place, Value first, Value behind) {
  LaneScope all(L, lanes);
  at.assign(place.begin(), place.end());
  Value size = e.dim(block);
  Value count = L.div(L.add(L.sub(behind, first), L.sub(size, 1)), size);
  e.loop(L.index(0), count, 1, [&](Value i) {
    Value from = L.add(first, L.mul(i, size));
    Value to = L.min(L.add(from, size), behind);
    someRows(from, to, true);
    if (notes)
      e.ifThen(seen(), [&] { someRows(from, to, false); });
  });
}

} // namespace tenon
