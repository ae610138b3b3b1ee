//===- ReduceKernel.cpp - reductions --------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Lanes run along the last dim of the input. Where that is reduced, they are
// partial results of one element, combined by a fixed tree; where it is kept,
// they are neighbouring elements, each with one chain of additions. Sums and
// means of f32 are added up in f64, where neither the length nor the order
// shows in the result.
//
// Of short runs of memory (an image of 7x7) the lanes' partial results would
// cost as much to combine as the run: as many runs as there are lanes are
// combined at once, by shuffles that leave each one's result in a lane.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/ColumnTasks.h"
#include "lib/Codegen/Lanes/ElementwiseLanes.h"

using namespace mlir;

namespace tenon {

/// Rows of fewer elements are reduced beside one another, a lane each.
static constexpr int64_t kNarrowRow = 16;

unsigned wideLanes(KernelEmitter &e, const SymExpr &size) {
  unsigned wide = e.walk().reductionLanes(e, size);
  return size.constant().value_or(wide) < wide ? e.vectorLanes() : wide;
}

ColumnTasks::ColumnTasks(const SymExpr &size, int64_t columns)
    : columns(columns),
      count(SymExpr::apply(SymExpr::Fn::CeilDiv, size, columns)), size(size) {}

ColumnTasks::Range ColumnTasks::at(KernelEmitter &e, Value task) const {
  LaneBuilder &L = e.L;
  Value n = e.dim(size);
  if (count.constant().value_or(2) <= 1)
    return {task, L.index(0), n};
  Value chunks = e.dim(count);
  Value first = L.mul(L.rem(task, chunks), columns);
  return {L.div(task, chunks), first, L.min(L.sub(n, first), columns)};
}

/// The last dim that is not always 1; -1 where there is none.
static int64_t lastDim(ArrayRef<SymExpr> dims) {
  int64_t last = int64_t(dims.size()) - 1;
  while (last >= 0 && dims[last].constant() == 1)
    --last;
  return last;
}

/// How the lanes of a reduction come together.
static vector::CombiningKind combiningKind(ReduceKind kind, Type element) {
  bool isFloat = isa<FloatType>(element);
  bool isUnsigned = element.isUnsignedInteger() || element.isInteger(1);
  switch (kind) {
  case ReduceKind::sum:
  case ReduceKind::mean:
    return vector::CombiningKind::ADD;
  case ReduceKind::prod:
    return vector::CombiningKind::MUL;
  case ReduceKind::max:
    return isFloat      ? vector::CombiningKind::MAXIMUMF
           : isUnsigned ? vector::CombiningKind::MAXUI
                        : vector::CombiningKind::MAXSI;
  case ReduceKind::min:
    return isFloat      ? vector::CombiningKind::MINIMUMF
           : isUnsigned ? vector::CombiningKind::MINUI
                        : vector::CombiningKind::MINSI;
  case ReduceKind::all:
    return vector::CombiningKind::AND;
  case ReduceKind::any:
    return vector::CombiningKind::OR;
  }
  llvm_unreachable("a kind of reduction");
}

/// The mean of `count` elements from their sum.
static Value divideByCount(LaneBuilder &L, Value sum, Value count) {
  Type element = getElementTypeOrSelf(sum.getType());
  Value n = L.toI64(count);
  n = isa<FloatType>(element) ? L.toFloat(n, element)
                              : L.truncate(L.max(n, 1), element);
  return L.div(sum, L.isVector(sum) ? L.widen(n) : n);
}

/// Sums of f32 are.
static bool sumsInF64(ReduceOp op) {
  ReduceKind kind = op.getKind();
  return getElementTypeOrSelf(op.getInput().getType()).isF32() &&
         (kind == ReduceKind::sum || kind == ReduceKind::mean);
}

namespace {

/// One element of a reduction, or as many as there are lanes.
struct Reduction {
  KernelEmitter &e;
  ReduceOp op;
  LaneBuilder &L = e.L;
  ReduceKind kind = op.getKind();
  SmallVector<SymExpr> dims = getDims(op.getInput());
  Type element = getElementTypeOrSelf(op.getInput().getType());
  bool wide = sumsInF64(op);
  Type sumType = wide ? Type(e.b.getF64Type()) : computeType(element);
  int64_t last = lastDim(dims);
  bool inner = false;              ///< lanes run along the last dim
  SmallVector<int64_t> outer = {}; ///< axes that loops run along
  SmallVector<Idx> at = {};        ///< of the input
  Value neutral = {};

  bool isAxis(int64_t d) { return llvm::is_contained(op.getAxes(), d); }
  Value combine(Value sum);
  Value overAxes(size_t k, Value sum);
  Value run(ArrayRef<Idx> idx);
};

/// `sum` and the input's elements at `at`.
Value Reduction::combine(Value sum) {
  Value x = L.widen(e.emit(op.getInput(), at));
  if (wide)
    x = L.extend(x, sumType);
  if (inner && L.mask)
    x = L.select(L.mask, x, neutral);
  return emitCombine(L, kind, element, sum, x);
}

/// `sum` and the elements along the axes from the k-th on.
Value Reduction::overAxes(size_t k, Value sum) {
  if (k < outer.size())
    return e.loop(L.index(0), e.dim(dims[outer[k]]), 1, sum,
                  [&](Value i, ValueRange args) {
                    at[outer[k]] = L.uniform(i);
                    return SmallVector<Value>{overAxes(k + 1, args[0])};
                  })[0];
  if (!inner)
    return combine(sum);
  return e.lanesLoop(e.dim(dims[last]), L.lanes, sum,
                     [&](Idx i, ValueRange args) {
                       at[last] = i;
                       return SmallVector<Value>{combine(args[0])};
                     })[0];
}

Value Reduction::run(ArrayRef<Idx> idx) {
  at.resize(dims.size());
  for (size_t k = 0, o = 0; k < dims.size(); ++k) {
    if (isAxis(k))
      o += op.getKeepdims();
    else
      at[k] = idx[o++];
  }
  bool uniform = llvm::all_of(idx, [](const Idx &i) { return i.isUniform(); });
  inner = isAxis(last) && uniform;
  LaneScope saved(L);
  if (inner)
    L.lanes = e.walk().reductionLanes(e, dims[last]);
  else if (uniform)
    L.lanes = 1;
  SymExpr count = 1;
  for (int64_t a : op.getAxes()) {
    count = count * dims[a];
    if (!(inner && a == last))
      outer.push_back(a);
  }
  neutral = emitNeutral(L, kind, element, L.vec(sumType));
  Value r = overAxes(0, neutral);
  if (inner)
    r = e.combineLanes(r, combiningKind(kind, element));
  // Integer means are computed as the sum, divided at the end.
  if (kind == ReduceKind::mean)
    r = divideByCount(L, r, e.dim(count));
  return wide ? L.truncate(r, element) : r;
}

} // namespace

Value KernelEmitter::pull(ReduceOp op, ArrayRef<Idx> idx) {
  return Reduction{*this, op}.run(idx);
}

namespace {

/// Runs of elements that lie behind each other in memory, an element of the
/// result each.
struct ShortRuns {
  KernelEmitter &e;
  ReduceOp op;
  LaneBuilder &L = e.L;
  ReduceKind kind = op.getKind();
  SmallVector<SymExpr> dims = getDims(op.getInput());
  Type element = getElementTypeOrSelf(op.getInput().getType());
  bool wide = sumsInF64(op);
  Type type = wide ? Type(e.b.getF64Type()) : computeType(element);
  /// Eight floats become doubles by two operations.
  static constexpr unsigned kWideLanes = 4;
  unsigned lanes =
      wide ? std::min(kWideLanes, e.vectorLanes() / 2) : e.vectorLanes();
  int64_t count = 1; ///< elements of a run
  /// Runs of a task are a multiple, for lanes of all levels.
  static constexpr int64_t kTogether = 16;

  bool isInRuns(Value v);
  bool match();
  SmallVector<Value> partials(Value run, unsigned runs);
  Value pairs(Value x, Value y, int64_t apart);
  void store(Value results, Value run);
  void emit(Value first, Value behind);
};

/// Does each element of it lie where it does in memory?
bool ShortRuns::isInRuns(Value v) {
  if (isOneElement(v))
    return true;
  Operation *v0 = v.getDefiningOp();
  return getDims(v) == dims &&
         (!v0 || (v0->hasTrait<OpTrait::Elementwise>() &&
                  llvm::all_of(v0->getOperands(),
                               [&](Value o) { return isInRuns(o); })));
}

/// The last dims, and no others, of 16 elements to a thousand. Tasks follow
/// from it, so it is the same at every level.
bool ShortRuns::match() {
  constexpr int64_t most = 1024, ofOneDim = 64;
  SmallVector<int64_t> axes(op.getAxes());
  llvm::sort(axes);
  if (axes.empty() || e.vectorLanes() < 4 || e.target.sm ||
      !isa<FloatType>(type) || !isInRuns(op.getInput()))
    return false;
  for (auto [k, axis] : llvm::enumerate(axes)) {
    std::optional<int64_t> size = dims[axis].constant();
    if (axis != int64_t(dims.size() - axes.size() + k) || !size || *size <= 0 ||
        *size > most)
      return false;
    count *= *size;
    if (count > most)
      return false;
  }
  // Long rows fill the lanes of the usual loop.
  return count >= kNarrowRow && (axes.size() > 1 || count < ofOneDim);
}

/// What each lane has of so many runs.
SmallVector<Value> ShortRuns::partials(Value run, unsigned runs) {
  Value neutral = emitNeutral(L, kind, element, L.vec(type));
  SmallVector<Value> init(runs, neutral);
  return e.lanesLoop(
      L.index(count), lanes, init, [&](Idx i, ValueRange carried) {
        SmallVector<Value> next;
        for (auto [k, sum] : llvm::enumerate(carried)) {
          Idx flat = L.add(L.uniform(L.mul(L.add(run, k), count)), i);
          SmallVector<Idx> at(dims.size(), flat);
          e.setDomain(dims, at, flat);
          Value x = L.widen(e.emit(op.getInput(), at));
          if (wide)
            x = L.extend(x, type);
          if (L.mask)
            x = L.select(L.mask, x, neutral);
          next.push_back(emitCombine(L, kind, element, sum, x));
        }
        return next;
      });
}

/// Lanes of x that are `apart` from each other where that bit of a lane is 0,
/// of y where it is 1.
Value ShortRuns::pairs(Value x, Value y, int64_t apart) {
  SmallVector<int64_t> low, high;
  for (int64_t lane = 0; lane < int64_t(lanes); ++lane) {
    int64_t own = lane & apart ? lanes : 0;
    low.push_back(own + (lane & ~apart));
    high.push_back(own + (lane | apart));
  }
  Value a = vector::ShuffleOp::create(e.b, L.loc, x, y, low),
        b = vector::ShuffleOp::create(e.b, L.loc, x, y, high);
  return emitCombine(L, kind, element, a, b);
}

void ShortRuns::store(Value results, Value run) {
  if (kind == ReduceKind::mean)
    results = divideByCount(L, results, L.index(count));
  if (wide)
    results = L.truncate(results, element);
  L.store(results, e.result(0), Idx{run, L.isVector(results) ? 1 : 0, 1, {}},
          element);
}

/// As many runs as there are lanes, then those that are left one by one, by the
/// same sums.
void ShortRuns::emit(Value first, Value behind) {
  LaneScope all(L, lanes);
  Value whole = L.add(first, L.mul(L.div(L.sub(behind, first), lanes), lanes));
  e.loop(first, whole, lanes, [&](Value run) {
    SmallVector<Value> sums = partials(run, lanes);
    for (int64_t apart = 1; apart < int64_t(lanes); apart *= 2) {
      for (size_t k = 0; k < sums.size() / 2; ++k)
        sums[k] = pairs(sums[2 * k], sums[2 * k + 1], apart);
      sums.resize(sums.size() / 2);
    }
    store(sums[0], run);
  });
  e.loop(whole, behind, 1, [&](Value run) {
    Value sums = partials(run, 1)[0];
    for (int64_t apart = 1; apart < int64_t(lanes); apart *= 2)
      sums = pairs(sums, sums, apart);
    LaneScope one(L, 1);
    store(vector::ExtractOp::create(e.b, L.loc, sums, int64_t(0)), run);
  });
}

} // namespace

void emitReduceKernel(KernelEmitter &e, ReduceOp op) {
  auto tiling = e.tiling<CpuReduceTilingAttr>();
  if (!tiling)
    return;
  LaneBuilder &L = e.L;
  Value root = op.getResult(), out = e.result(0);
  Type element = getElementTypeOrSelf(root.getType());
  SmallVector<SymExpr> in = getDims(op.getInput()), dims = getDims(root);
  e.info.cost = productOf(in) * 2;
  int64_t last = lastDim(in);
  bool inner = llvm::is_contained(op.getAxes(), last);
  // Few elements in a row leave most lanes idle: rows are the lanes then. Tasks
  // follow from it, so it is the same at every level.
  bool narrow =
      last >= 0 && in[last].constant().value_or(INT64_MAX) < kNarrowRow;
  int64_t axis = lastDim(dims);
  ShortRuns runs{e, op};
  bool inRuns = runs.match();

  if (axis < 0 || (inner && !narrow) || inRuns) {
    SymExpr total = productOf(dims), count = 1;
    for (int64_t a : op.getAxes())
      count = count * in[a];
    SymExpr part = SymExpr::apply(
        SymExpr::Fn::Max, 1,
        SymExpr::apply(SymExpr::Fn::FloorDiv, tiling.getElements(),
                       SymExpr::apply(SymExpr::Fn::Max, count, 1)));
    if (inRuns)
      part = ShortRuns::kTogether *
             std::max<int64_t>(
                 tiling.getElements() / (ShortRuns::kTogether * runs.count), 1);
    e.info.tasks = SymExpr::apply(SymExpr::Fn::CeilDiv, total, part);
    Value n = e.dim(total), size = e.dim(part);
    e.loop(e.begin, e.end, 1, [&](Value task) {
      Value first = L.mul(task, size), behind = L.min(n, L.add(first, size));
      if (inRuns)
        return runs.emit(first, behind);
      e.loop(first, behind, 1, [&](Value i) {
        L.store(e.emit(root, e.delinearize(i, dims)), out, L.uniform(i),
                element);
      });
    });
    return;
  }
  ColumnTasks columns(dims[axis], tiling.getColumns());
  SmallVector<SymExpr> outer(dims.begin(), dims.begin() + axis);
  e.info.tasks = productOf(outer) * columns.count;
  unsigned lanes = inner ? e.vectorLanes() : wideLanes(e, dims[axis]);
  Value n = e.dim(dims[axis]);
  e.loop(e.begin, e.end, 1, [&](Value task) {
    ColumnTasks::Range range = columns.at(e, task);
    SmallVector<Idx> idx = e.delinearize(range.outer, outer);
    idx.append(dims.size() - axis, L.uniform(0));
    Idx base = L.uniform(L.mul(range.outer, n));
    e.lanesLoop(range.size, lanes, [&](Idx i) {
      idx[axis] = L.add(L.uniform(range.first, columns.columns), i);
      L.store(e.emit(root, idx), out, L.add(base, idx[axis]), element);
    });
  });
}

} // namespace tenon
