//===- SlidingWindows.cpp - maps whose windows overlap --------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Emit/SlidingWindows.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/BufferedWindows.h"

using namespace mlir;

namespace tenon {

/// Rows of a task. Fewer where other dims lie between these and the lanes: then
/// their lines are far from each other, and may be in each other's way.
static constexpr int64_t kRows = 32, kRowsApart = 8;

namespace {
/// How far apart two values are along one dim of what they are sliced of.
struct Shift {
  size_t dim;
  int64_t by, step;
  bool operator==(const Shift &o) const {
    return dim == o.dim && by == o.by && step == o.step;
  }
};
} // namespace

static std::optional<Shift> shiftOf(SliceOp x, SliceOp y) {
  if (x.getInput() != y.getInput() || x.getSteps() != y.getSteps())
    return std::nullopt;
  std::optional<Shift> shift;
  for (auto [k, from, to, step] :
       llvm::enumerate(x.getStarts().getSymExprs(), y.getStarts().getSymExprs(),
                       x.getSteps())) {
    std::optional<int64_t> by = (to - from).constant();
    if (by == 0)
      continue;
    if (!by || *by < 0 || shift || step <= 0)
      return std::nullopt;
    shift = Shift{k, *by, step};
  }
  return shift;
}

/// Is `y` computed as `x`, of slices that begin further along one dim? All by
/// the same, which `shift` is or becomes.
static bool isShifted(Value x, Value y, std::optional<Shift> &shift,
                      ArrayRef<SymExpr> dims) {
  if (x == y && isOneElement(x))
    return true;
  Operation *a = x.getDefiningOp(), *b = y.getDefiningOp();
  if (!a || !b || a->getName() != b->getName() || getDims(x) != dims ||
      getDims(y) != dims)
    return false;
  if (auto slice = dyn_cast<SliceOp>(a)) {
    std::optional<Shift> own = shiftOf(slice, cast<SliceOp>(b));
    if (!own || (shift && !(*shift == *own)))
      return false;
    shift = own;
    return true;
  }
  return a->hasTrait<OpTrait::Elementwise>() &&
         a->getAttrDictionary() == b->getAttrDictionary() &&
         llvm::all_of(llvm::zip_equal(a->getOperands(), b->getOperands()),
                      [&](auto pair) {
                        auto [v, w] = pair;
                        return isShifted(v, w, shift, dims);
                      });
}

bool findJoin(Value root, function_ref<bool(Operation *)> matches) {
  SmallVector<SymExpr> dims = getDims(root);
  llvm::SetVector<Value> tree;
  tree.insert(root);
  for (size_t i = 0; i < tree.size(); ++i) {
    Operation *op = tree[i].getDefiningOp();
    if (!op || !op->hasTrait<OpTrait::Elementwise>() ||
        getDims(tree[i]) != dims)
      continue;
    if (isa<AddOp, MaxOp, MinOp>(op) && matches(op))
      return true;
    tree.insert(op->operand_begin(), op->operand_end());
  }
  return false;
}

bool SlidingWindows::match() {
  if (e.vectorLanes() == 1)
    return false;
  return findJoin(root, [&](Operation *last) { return matchJoins(last); });
}

/// From the last row of a window to the first.
bool SlidingWindows::matchJoins(Operation *last) {
  taps.assign({last->getOperand(1)});
  joins.assign({last->getResult(0)});
  std::optional<Shift> shift;
  for (Value left = last->getOperand(0);;) {
    std::optional<Shift> own = shift;
    bool isFirst = isShifted(left, taps.back(), own, dims);
    Operation *op = isFirst ? nullptr : left.getDefiningOp();
    if (!isFirst) {
      own = shift;
      if (!op || op->getName() != last->getName() || !left.hasOneUse() ||
          !isShifted(op->getOperand(1), taps.back(), own, dims))
        return false;
      joins.push_back(left);
      left = op->getOperand(0);
    }
    shift = own;
    taps.push_back(isFirst ? left : op->getOperand(1));
    if (isFirst)
      break;
  }
  if (!shift || shift->dim > axis || axis == 0)
    return false;
  if (shift->dim == axis) { // one row, of which lanes share nothing
    taps.assign({last->getResult(0)});
    joins = taps;
    shift->dim = axis - 1;
  }
  if (!llvm::all_of(taps, [](Value v) { return v.hasOneUse(); }))
    return false;
  std::reverse(taps.begin(), taps.end());
  dim = shift->dim, by = shift->by;
  size_t ofFirst = 0;
  for (auto [k, tap] : llvm::enumerate(taps)) {
    findSlices(tap);
    ofFirst = k ? ofFirst : slices.size();
  }
  step = cast<SliceOp>(slices.front()).getSteps()[dim];
  // A step further a row is that of so many taps before, if of any.
  int64_t further = step % by == 0 ? step / by : taps.size();
  carried = taps.size() - std::min<int64_t>(further, taps.size());
  findPad(ofFirst);
  isHalved = areHalved();
  // What follows them may be of another type.
  Type joined = getElementTypeOrSelf(joins.front().getType());
  if (isa<FloatType>(computeType(joined)))
    findExtremes(joins.front());
  return true;
}

void SlidingWindows::findSlices(Value v) {
  Operation *op = v.getDefiningOp();
  if (isa_and_nonnull<SliceOp>(op))
    slices.insert(op);
  else if (op && getDims(v) == dims)
    for (Value operand : op->getOperands())
      findSlices(operand);
}

/// Where the windows' first row begins.
SymExpr SlidingWindows::firstStart() {
  return cast<SliceOp>(slices.front()).getStarts().getSymExprs()[dim];
}

/// `count` of the slices are those of the first tap.
void SlidingWindows::findPad(size_t count) {
  auto padOf = [](Operation *slice) {
    return cast<SliceOp>(slice).getInput().getDefiningOp<PadOp>();
  };
  PadOp first = padOf(slices.front());
  if (first && first.getMode() == PadMode::constant &&
      llvm::all_of(slices, [&](Operation *s) { return padOf(s) == first; }) &&
      llvm::all_of(slices.getArrayRef().take_front(count), [&](Operation *s) {
        return cast<SliceOp>(s).getStarts().getSymExprs()[dim] == firstStart();
      }))
    pad = first;
}

/// The maxima and minima, of the result's dims, that make `v`.
void SlidingWindows::findExtremes(Value v) {
  Operation *op = v.getDefiningOp();
  if (!isa_and_nonnull<MaxOp, MinOp>(op) ||
      !llvm::all_of(op->getOperands(),
                    [&](Value o) { return getDims(o) == dims; }))
    return;
  extremes.insert(op);
  for (Value operand : op->getOperands())
    findExtremes(operand);
}

/// Is each element that the slice has at lanes also at some of two others,
/// before and behind it?
bool SlidingWindows::isCovered(Value v) {
  auto slice = v.getDefiningOp<SliceOp>();
  if (!slice || L.mask || slice.getSteps()[axis] != 1)
    return false;
  int64_t before = 0, behind = 0; // how far from it the farthest are
  for (Operation *other : slices) {
    std::optional<Shift> to = shiftOf(slice, cast<SliceOp>(other)),
                         from = shiftOf(cast<SliceOp>(other), slice);
    if (to && to->dim == axis)
      behind = std::max(behind, to->by);
    if (from && from->dim == axis)
      before = std::max(before, from->by);
  }
  return before && behind && before + behind <= int64_t(L.lanes);
}

/// Lanes that are no numbers, of two values at a time.
void SlidingWindows::note(Value x) {
  if (!unnoted) {
    unnoted = x;
    return;
  }
  Value none = L.eitherNan(unnoted, x);
  if (!getElementTypeOrSelf(notes).isInteger(1))
    none = arith::ExtSIOp::create(e.b, L.loc, notes.getType(), none);
  notes = L.either(notes, none);
  unnoted = {};
}

/// One of two numbers.
Value SlidingWindows::plain(Operation *op, ArrayRef<Idx> idx) {
  auto number = [&](Value v) {
    Value x = L.widen(e.emit(v, idx));
    if (!extremes.contains(v.getDefiningOp()) && !isCovered(v))
      note(x);
    return x;
  };
  Value x = number(op->getOperand(0)), y = number(op->getOperand(1));
  return L.select(isa<MaxOp>(op) ? L.ogt(y, x) : L.ogt(x, y), y, x);
}

/// `fn` with notes of all that it meets.
Value SlidingWindows::noted(function_ref<Value()> fn) {
  Value v = fn();
  if (unnoted)
    note(unnoted);
  return v;
}

/// Do windows lie two elements apart along the lanes, and has a vector several
/// blocks of four? What lies behind the last lanes must be left out by masks.
bool SlidingWindows::areHalved() {
  auto padded = cast_if_present<PadOp>(pad);
  return e.vectorLanes() > 4 && (!padded || isInPlace(padded.getInput())) &&
         llvm::all_of(slices, [&](Operation *slice) {
           return cast<SliceOp>(slice).getSteps()[axis] == 2;
         });
}

/// Is what lies behind the last lanes left out as a border is?
bool SlidingWindows::cutsLanes() {
  return pad && e.isPadded(cast<PadOp>(pad), axis);
}

/// Every other element of two vectors, block by block: a block's first two
/// lanes are of the first half, the others of the second.
Value SlidingWindows::halves(Operation *op, ArrayRef<Idx> idx) {
  auto slice = cast<SliceOp>(op);
  int64_t lanes = L.lanes;
  SmallVector<Idx> in;
  for (auto [i, start, step] :
       llvm::zip_equal(idx, slice.getStarts().getSymExprs(), slice.getSteps()))
    in.push_back(L.add(L.uniform(e.dim(start)), L.mul(i, step)));
  auto isSlice = [&](int64_t further) {
    return llvm::any_of(slices, [&](Operation *other) {
      std::optional<Shift> shift = further > 0
                                       ? shiftOf(slice, cast<SliceOp>(other))
                                       : shiftOf(cast<SliceOp>(other), slice);
      return shift && shift->dim == axis && shift->by == std::abs(further);
    });
  };
  // Those between are another slice's: the same two vectors have both.
  int64_t before = 0;
  while (isSlice(-before - 1))
    ++before;
  int64_t odd = before % 2;
  bool isPair = odd || isSlice(1);
  Value base = L.sub(in[axis].base, odd);
  auto from = [&](Value first) {
    LaneScope all(L, lanes);
    in[axis] = Idx{first, 1, 1, {}};
    return L.widen(e.emit(slice.getInput(), in));
  };
  Value low = from(base), high = from(L.add(base, isPair ? lanes : lanes - 1));
  int64_t inHigh = lanes + (isPair ? odd : 1);
  SmallVector<int64_t> order;
  for (int64_t block = 0; block < lanes; block += 4)
    order.append(
        {block + odd, block + 2 + odd, block + inHigh, block + 2 + inHigh});
  return vector::ShuffleOp::create(e.b, L.loc, low, high, order);
}

/// The lanes of halves where they belong.
Value SlidingWindows::inOrder(Value v) {
  int64_t half = L.lanes / 2;
  SmallVector<int64_t> order;
  for (int64_t lane = 0; lane < 2 * half; ++lane)
    order.push_back(lane % half / 2 * 4 + lane / half * 2 + lane % 2);
  return vector::ShuffleOp::create(e.b, L.loc, v, v, order);
}

/// Of the lanes that count, in all that the windows meet but their rows.
Value SlidingWindows::areColumnsInside() {
  auto padded = cast<PadOp>(pad);
  SmallVector<SymExpr> image = getDims(padded.getInput()),
                       low = padded.getLow().getSymExprs();
  Value inside, last = L.index(int64_t(L.lanes) - 1);
  if (L.mask)
    last = L.sub(L.mask.getDefiningOp<vector::CreateMaskOp>().getOperand(0), 1);
  SmallVector<std::pair<size_t, SymExpr>> seen;
  for (Operation *slice : slices)
    for (auto [k, start, step] :
         llvm::enumerate(cast<SliceOp>(slice).getStarts().getSymExprs(),
                         cast<SliceOp>(slice).getSteps())) {
      if (k == dim || !e.isPadded(padded, k) ||
          llvm::is_contained(seen, std::pair(k, start)))
        continue;
      seen.emplace_back(k, start);
      Idx i = L.add(L.mul(at[k], step), L.uniform(e.dim(start - low[k])));
      Value n = e.dim(image[k]), is = L.ult(i.base, n);
      if (!i.isUniform())
        is = L.both(is, L.ult(L.add(i.base, L.mul(last, i.lane)), n));
      inside = inside ? L.both(inside, is) : is;
    }
  return inside;
}

/// What a row outside of the image comes to; null where there is none.
Value SlidingWindows::rowOutside() {
  auto padded = cast_if_present<PadOp>(pad);
  if (!padded || !e.isPadded(padded, dim))
    return {};
  e.bind(padded.getResult(),
         [&](ArrayRef<Idx>) { return L.widen(e.emit(padded.getValue(), {})); });
  Value row = e.apart([&] { return L.widen(e.emit(taps.front(), at)); });
  e.unbind(padded.getResult());
  return row;
}

/// What the tap's row of the window at `row` comes to.
Value SlidingWindows::tapAt(size_t tap, Value row, Value outside) {
  at[dim] = L.uniform(row);
  if (!outside) // what is bound to the tap later is another value
    return e.apart(
        [&] { return noted([&] { return L.widen(e.emit(taps[tap], at)); }); });
  auto padded = cast<PadOp>(pad);
  SymExpr start = firstStart() + SymExpr(by * int64_t(tap)) -
                  padded.getLow().getSymExprs()[dim];
  Value place = L.add(L.mul(row, step), e.dim(start)),
        inside = L.ult(place, e.dim(getDims(padded.getInput())[dim]));
  Values otherwise{outside};
  if (notes)
    otherwise.push_back(notes);
  Values both = e.ifThen(inside, otherwise, [&] {
    Values own{noted([&] { return L.widen(e.emit(taps[tap], at)); })};
    if (notes)
      own.push_back(notes);
    return own;
  });
  if (notes)
    notes = both[1];
  return both[0];
}

/// Takes back what is bound, and known, while windows are computed.
void SlidingWindows::forget() {
  for (Operation *op : extremes)
    e.unbind(op->getResult(0));
  for (Operation *slice : slices)
    e.unbind(slice->getResult(0));
  for (Value tap : taps)
    e.unbind(tap);
  if (pad)
    e.setInside(pad, {});
}

/// Down the rows of the strip; gives the notes, if some are taken.
Value SlidingWindows::walk(bool isInside, bool isPlain) {
  notes = isPlain && !extremes.empty() ? L.constantInt(noteType(), 0) : Value();
  if (notes)
    for (Operation *op : extremes)
      e.bind(op->getResult(0),
             [this, op](ArrayRef<Idx> idx) { return plain(op, idx); });
  bool inHalves = isHalved && (!L.mask || (cutsLanes() && !isInside));
  if (inHalves)
    for (Operation *slice : slices)
      e.bind(slice->getResult(0),
             [this, slice](ArrayRef<Idx> idx) { return halves(slice, idx); });
  Value outside = rowOutside();
  if (pad) {
    llvm::SmallBitVector known(dims.size(), isInside);
    known.set(dim);
    e.setInside(pad, known);
  }
  Values init;
  for (size_t tap = 0; tap < carried; ++tap)
    init.push_back(tapAt(tap, first, outside));
  if (notes)
    init.push_back(notes);
  Type element = getElementTypeOrSelf(root.getType());
  Values end = e.loop(first, behind, 1, init, [&](Value row, ValueRange args) {
    if (notes)
      notes = args.back();
    Values now(args.take_front(carried));
    for (size_t tap = carried; tap < taps.size(); ++tap)
      now.push_back(tapAt(tap, row, outside));
    for (auto [tap, value] : llvm::zip_equal(taps, now))
      e.bind(tap, [value](ArrayRef<Idx>) { return value; });
    at[dim] = L.uniform(row);
    Value joined = e.apart([&] {
      return noted([&] { return L.widen(e.emit(joins.front(), at)); });
    });
    if (inHalves)
      joined = inOrder(joined);
    // What else the map reads of the slices, or of the pad, is no window's.
    forget();
    e.bind(joins.front(), [joined](ArrayRef<Idx>) { return joined; });
    Idx flat = e.linearize(at, dims);
    e.setDomain(dims, at, flat);
    L.store(e.emit(root, at), e.result(0), flat, element);
    Values next(ArrayRef(now).take_back(carried));
    if (notes)
      next.push_back(notes);
    return next;
  });
  e.unbind(joins.front());
  return notes ? end.back() : Value();
}

/// Of lanes: bits where the machine has masks of its own, as wide as elements
/// where it does not.
Type SlidingWindows::noteType() {
  return L.vec(e.b.getIntegerType(e.target.vectorBits == 512 ? 1 : 32));
}

/// The task's rows at some lanes.
void SlidingWindows::strip() {
  Value inside = pad ? areColumnsInside() : Value(), seen;
  if (isHalved && L.mask && cutsLanes()) {
    seen = walk(false, true);
  } else if (!inside) {
    seen = walk(true, true);
  } else if (extremes.empty()) {
    e.ifThen(inside, [&] { walk(true, true); });
    e.ifThen(L.no(inside), [&] { walk(false, true); });
  } else {
    seen = e.ifElse(
        inside, noteType(), [&] { return walk(true, true); },
        [&] { return walk(false, true); });
  }
  if (!seen)
    return;
  if (!getElementTypeOrSelf(seen).isInteger(1))
    seen = L.slt(seen, 0);
  e.ifThen(L.anyOf(seen), [&] { walk(false, false); });
}

void SlidingWindows::emit() {
  int64_t rows = dim + 1 == axis ? kRows : kRowsApart;
  SmallVector<SymExpr> grid(dims.begin(), dims.begin() + axis);
  grid[dim] = SymExpr::apply(SymExpr::Fn::CeilDiv, grid[dim], rows);
  e.info.tasks = productOf(grid);
  BufferedWindows buffered(e, root, axis);
  bool isBuffered = dim + 1 == axis && buffered.match();
  if (isBuffered)
    buffered.prepare();
  Value fits = isBuffered ? buffered.fits() : Value();
  e.loop(e.begin, e.end, 1, [&](Value task) {
    at = e.delinearize(task, grid);
    first = L.mul(at[dim].base, rows);
    behind = L.min(L.add(first, rows), e.dim(dims[dim]));
    at.append(dims.size() - axis, L.uniform(0));
    auto inBuffer = [&] { buffered.emit(at, first, behind); };
    auto strips = [&] {
      e.lanesLoop(e.dim(dims[axis]), e.vectorLanes(), [&](Idx i) {
        at[axis] = i;
        strip();
      });
    };
    if (fits) {
      e.ifThen(fits, inBuffer);
      e.ifThen(L.no(fits), strips);
    } else if (isBuffered) {
      inBuffer();
    } else {
      strips();
    }
  });
}

} // namespace tenon
