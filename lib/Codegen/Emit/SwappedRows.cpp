//===- SwappedRows.cpp - maps that turn rows into columns -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Emit/SwappedRows.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonShape.h"

using namespace mlir;

namespace tenon {

/// Fewer elements are gathered sooner than turned.
static constexpr int64_t kFewest = 4;

/// Do elements along the last dim of `v` lie next to each other in what it is
/// computed of?
static bool isLastInMemory(Value v) {
  while (Operation *op = v.getDefiningOp()) {
    if (isTranspose(op) && permOf(op).back() + 1 != int64_t(permOf(op).size()))
      return false;
    if (!isTranspose(op) && !isa<ReshapeOp>(op) &&
        !op->hasTrait<OpTrait::Elementwise>())
      break;
    v = op->getOperand(0);
  }
  return true;
}

/// Which dim of a map that ends with dim `axis` is the last one, of more than
/// one element, of what `v` transposes; none where that is `axis`.
static std::optional<size_t> swapped(Value v, size_t axis) {
  Operation *op = v.getDefiningOp();
  if (!isTranspose(op) || !isLastInMemory(op->getOperand(0)))
    return std::nullopt;
  SmallVector<SymExpr> from = getDims(op->getOperand(0));
  size_t last = axis;
  while (last > 0 && from[last].constant() == 1)
    --last;
  size_t row = llvm::find(permOf(op), int64_t(last)) - permOf(op).begin();
  // Few channels at the end are read as rows that are whole images.
  bool isFew = from[permOf(op)[axis]].constant().value_or(kFewest) < kFewest &&
               permOf(op)[axis] + 1 != int64_t(axis);
  return row == axis || isFew ? std::nullopt : std::optional(row);
}

/// What an elementwise tree of these dims is computed of.
static SmallVector<Value> leavesOf(Value v) {
  SmallVector<SymExpr> dims = getDims(v);
  SmallVector<Value> values{v}, leaves;
  while (!values.empty()) {
    Value x = values.pop_back_val();
    Operation *op = x.getDefiningOp();
    if (!op || !op->hasTrait<OpTrait::Elementwise>()) {
      leaves.push_back(x);
      continue;
    }
    for (Value operand : op->getOperands())
      if (getDims(operand) == dims)
        values.push_back(operand);
  }
  return leaves;
}

std::optional<size_t> swappedRows(Value v, size_t axis) {
  for (Value leaf : leavesOf(v))
    if (std::optional<size_t> rows = swapped(leaf, axis))
      return rows;
  return std::nullopt;
}

static Value shuffled(LaneBuilder &L, Value x, Value y,
                      ArrayRef<int64_t> order) {
  return vector::ShuffleOp::create(L.b, L.loc, x, y, order);
}

/// Of four vectors, in each block of four lanes: lane j of vector i becomes
/// lane i of vector j.
static void turnBlocks(LaneBuilder &L, MutableArrayRef<Value> v) {
  int64_t n = cast<VectorType>(v[0].getType()).getDimSize(0);
  auto inBlocks = [&](Value x, Value y, std::array<int64_t, 4> lanes) {
    SmallVector<int64_t> order;
    for (int64_t block = 0; block < n; block += 4)
      for (int64_t lane : lanes)
        order.push_back(block + (lane < 4 ? lane : n + lane - 4));
    return shuffled(L, x, y, order);
  };
  Value a = inBlocks(v[0], v[1], {0, 4, 1, 5}),
        b = inBlocks(v[0], v[1], {2, 6, 3, 7}),
        c = inBlocks(v[2], v[3], {0, 4, 1, 5}),
        d = inBlocks(v[2], v[3], {2, 6, 3, 7});
  v[0] = inBlocks(a, c, {0, 1, 4, 5});
  v[1] = inBlocks(a, c, {2, 3, 6, 7});
  v[2] = inBlocks(b, d, {0, 1, 4, 5});
  v[3] = inBlocks(b, d, {2, 3, 6, 7});
}

SmallVector<Value> turnSquare(LaneBuilder &L, ArrayRef<Value> vectors) {
  SmallVector<Value> v(vectors);
  int64_t n = v.size();
  for (int64_t i = 0; i < n; i += 4)
    turnBlocks(L, MutableArrayRef(v).slice(i, 4));
  // Lane 4 b + j of the result's vectors is in block b of every fourth vector.
  SmallVector<Value> turned;
  for (int64_t lane = 0; lane < n; ++lane) {
    int64_t block = lane / 4 * 4, j = lane % 4;
    SmallVector<Value> parts;
    for (int64_t i = j; i < n; i += 8) {
      if (n == 4) {
        parts.push_back(v[i]);
        break;
      }
      SmallVector<int64_t> order;
      for (int64_t from : {block, n + block})
        for (int64_t l = 0; l < 4; ++l)
          order.push_back(from + l);
      parts.push_back(shuffled(L, v[i], v[i + 4], order));
    }
    if (parts.size() == 1)
      turned.push_back(parts[0]);
    else
      turned.push_back(shuffled(L, parts[0], parts[1],
                                llvm::to_vector(llvm::seq<int64_t>(0, n))));
  }
  return turned;
}

/// Four rows that nothing but a transposition takes out of columns of four
/// elements, one behind the other: whole vectors hold several columns. Those of
/// the end are narrower ones, the last of which ends where the row does.
static bool emitFourRows(KernelEmitter &e, Value root, size_t rowDim,
                         size_t axis, int64_t chunk) {
  constexpr int64_t count = 4, least = 8; // columns: squares do for fewer
  LaneBuilder &L = e.L;
  Operation *op = root.getDefiningOp();
  Type element = getElementTypeOrSelf(root.getType());
  int64_t lanes = e.vectorLanes();
  SmallVector<SymExpr> dims = getDims(root), grid;
  std::optional<int64_t> n = dims[axis].constant();
  if (!isTranspose(op) || !isa<BlockArgument>(op->getOperand(0)) ||
      lanes < count || chunk < least || dims[rowDim].constant() != count ||
      computeType(element).getIntOrFloatBitWidth() != 32 || !n ||
      (*n % chunk && *n % chunk < least))
    return false;
  SmallVector<int64_t> perm(permOf(op));
  int64_t rank = perm.size();
  if (perm[rowDim] + 1 != rank || perm[axis] + 2 != rank)
    return false;
  for (size_t k = 0; k < axis; ++k)
    if (k != rowDim)
      grid.push_back(dims[k]);
  grid.push_back(SymExpr(llvm::divideCeil(*n, chunk)));
  e.info.tasks = productOf(grid);
  Value out = e.result(0);
  e.loop(e.begin, e.end, 1, [&](Value task) {
    SmallVector<Idx> idx = e.delinearize(task, grid);
    Value from = L.mul(idx.pop_back_val().base, chunk),
          to = L.min(L.add(from, chunk), L.index(*n));
    idx.insert(idx.begin() + rowDim, L.uniform(0));
    idx.resize(dims.size(), L.uniform(0));
    auto block = [&](Value column, int64_t width) {
      LaneScope scope(L, width);
      int64_t columns = width / count; // of a vector
      SmallVector<Idx> at(idx);
      SmallVector<Value> vectors;
      at[rowDim] = Idx{L.index(0), 1, width, {}};
      for (int64_t i = 0; i < count; ++i) {
        at[axis] = L.uniform(L.add(column, i * columns));
        vectors.push_back(L.widen(e.emit(root, at)));
      }
      turnBlocks(L, vectors);
      SmallVector<int64_t> order;
      for (int64_t i = 0; i < width; ++i)
        order.push_back(i % columns * count + i / columns);
      at[axis] = L.uniform(column);
      for (auto [row, v] : llvm::enumerate(vectors)) {
        at[rowDim] = L.uniform(int64_t(row));
        L.store(shuffled(L, v, v, order), out,
                Idx{e.linearize(at, dims).base, 1, 1, {}}, element);
      }
    };
    Value rest = L.add(from, L.mul(L.div(L.sub(to, from), lanes), lanes));
    e.loop(from, rest, lanes, [&](Value column) { block(column, lanes); });
    for (int64_t width = lanes / 2; width >= count; width /= 2) {
      Value behind = L.add(rest, width), fits = L.no(L.slt(to, behind));
      e.ifThen(fits, [&] { block(rest, width); });
      rest = L.select(fits, behind, rest);
    }
    e.ifThen(L.slt(rest, to), [&] { block(L.sub(to, count), count); });
  });
  return true;
}

// Long: the loops, from tasks to the two ways to compute a block, read each
// other's values.
void emitSwappedRows(KernelEmitter &e, Value root, size_t rowDim, size_t axis,
                     int64_t chunk) {
  if (emitFourRows(e, root, rowDim, axis, chunk))
    return;
  constexpr int64_t side = 16; // elements of a line
  LaneBuilder &L = e.L;
  Type element = getElementTypeOrSelf(root.getType());
  SmallVector<SymExpr> dims = getDims(root), grid;
  auto ceilDiv = [](const SymExpr &x, int64_t by) {
    return SymExpr::apply(SymExpr::Fn::CeilDiv, x, SymExpr(by));
  };
  for (size_t k = 0; k < axis; ++k)
    if (k != rowDim)
      grid.push_back(dims[k]);
  grid.push_back(ceilDiv(dims[rowDim], side));
  grid.push_back(ceilDiv(dims[axis], chunk));
  e.info.tasks = productOf(grid);
  Value rows = e.dim(dims[rowDim]), n = e.dim(dims[axis]), out = e.result(0);
  int64_t lanes = e.vectorLanes();
  bool turns = lanes > 1 && side % lanes == 0 &&
               computeType(element).getIntOrFloatBitWidth() == 32 &&
               llvm::all_of(leavesOf(root), [&](Value v) {
                 return swapped(v, axis) == rowDim;
               });
  e.loop(e.begin, e.end, 1, [&](Value task) {
    SmallVector<Idx> idx = e.delinearize(task, grid);
    Value from = L.mul(idx.pop_back_val().base, chunk),
          first = L.mul(idx.pop_back_val().base, side);
    Value behind = L.min(L.add(first, side), rows),
          to = L.min(L.add(from, chunk), n);
    idx.insert(idx.begin() + rowDim, L.uniform(0));
    idx.resize(axis + 1);
    auto at = [&](Value row, Value column) { // where the element lies
      SmallVector<Idx> place(idx);
      place[rowDim] = L.uniform(row), place[axis] = L.uniform(column);
      return e.linearize(place, dims).base;
    };
    // Of a square at the end of rows or columns the part that is there.
    auto square = [&](Value row, Value column, bool isWhole) {
      LaneScope scope(L, lanes);
      if (!isWhole)
        L.mask = L.tailMask(L.sub(behind, row));
      SmallVector<Value> vectors;
      for (int64_t i = 0; i < lanes; ++i) {
        Value own = L.add(column, i);
        idx[rowDim] = Idx{row, 1, lanes, {}};
        idx[axis] = L.uniform(isWhole ? own : L.min(own, L.sub(to, 1)));
        vectors.push_back(L.widen(e.emit(root, idx)));
      }
      if (!isWhole)
        L.mask = L.tailMask(L.sub(to, column));
      for (auto [i, v] : llvm::enumerate(turnSquare(L, vectors))) {
        Value own = L.add(row, int64_t(i));
        auto store = [&, v = v] {
          L.store(v, out, Idx{at(own, column), 1, 1, {}}, element);
        };
        isWhole ? store() : e.ifThen(L.slt(own, behind), store);
      }
    };
    auto squares = [&](Value start, Value end, bool isWhole) {
      e.loop(first, behind, lanes, [&](Value row) {
        e.loop(start, end, lanes,
               [&](Value column) { square(row, column, isWhole); });
      });
    };
    auto piece = [&](Value start, Value count) {
      e.loop(first, behind, 1, [&](Value row) {
        Idx base = L.uniform(at(row, start));
        e.lanesLoop(count, lanes, [&](Idx i) {
          idx[rowDim] = L.uniform(row);
          idx[axis] = L.add(L.uniform(start), i);
          Idx flat = L.add(base, i);
          e.setDomain(dims, idx, flat);
          L.store(e.emit(root, idx), out, flat, element);
        });
      });
    };
    e.loop(from, to, side, [&](Value start) {
      Value end = L.min(L.add(start, side), to), count = L.sub(end, start),
            beside = L.sub(behind, first);
      if (!turns)
        return piece(start, count);
      Value whole = L.both(L.eq(count, side), L.eq(beside, side));
      e.ifThen(whole, [&] { squares(start, end, true); });
      e.ifThen(L.no(whole), [&] {
        if (e.target.vectorBits < 256) // which have no masks
          return piece(start, count);
        Value most = L.both(L.sge(count, kFewest), L.sge(beside, kFewest));
        e.ifThen(most, [&] { squares(start, end, false); });
        e.ifThen(L.no(most), [&] { piece(start, count); });
      });
    });
  });
}

} // namespace tenon
