//===- SwappedRows.cpp - maps that turn rows into columns -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Emit/SwappedRows.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonShape.h"

using namespace mlir;

namespace tenon {

static bool isSwap(Value v, size_t axis) {
  Operation *op = v.getDefiningOp();
  return isTranspose(op) && permOf(op)[axis - 1] == int64_t(axis) &&
         permOf(op)[axis] == int64_t(axis) - 1;
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

bool swapsRows(Value v, size_t axis) {
  return llvm::any_of(leavesOf(v),
                      [&](Value leaf) { return isSwap(leaf, axis); });
}

/// Lane j of vector i becomes lane i of vector j; there are as many vectors as
/// lanes, 4, 8 or 16.
static SmallVector<Value> turn(LaneBuilder &L, SmallVector<Value> v) {
  int64_t n = v.size();
  auto shuffle = [&](Value x, Value y, ArrayRef<int64_t> order) -> Value {
    return vector::ShuffleOp::create(L.b, L.loc, x, y, order);
  };
  // Of two vectors, in each block of four lanes.
  auto inBlocks = [&](Value x, Value y, std::array<int64_t, 4> lanes) {
    SmallVector<int64_t> order;
    for (int64_t block = 0; block < n; block += 4)
      for (int64_t lane : lanes)
        order.push_back(block + (lane < 4 ? lane : n + lane - 4));
    return shuffle(x, y, order);
  };
  for (int64_t i = 0; i < n; i += 4) {
    Value a = inBlocks(v[i], v[i + 1], {0, 4, 1, 5}),
          b = inBlocks(v[i], v[i + 1], {2, 6, 3, 7}),
          c = inBlocks(v[i + 2], v[i + 3], {0, 4, 1, 5}),
          d = inBlocks(v[i + 2], v[i + 3], {2, 6, 3, 7});
    v[i] = inBlocks(a, c, {0, 1, 4, 5});
    v[i + 1] = inBlocks(a, c, {2, 3, 6, 7});
    v[i + 2] = inBlocks(b, d, {0, 1, 4, 5});
    v[i + 3] = inBlocks(b, d, {2, 3, 6, 7});
  }
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
      parts.push_back(shuffle(v[i], v[i + 4], order));
    }
    if (parts.size() == 1)
      turned.push_back(parts[0]);
    else
      turned.push_back(shuffle(parts[0], parts[1],
                               llvm::to_vector(llvm::seq<int64_t>(0, n))));
  }
  return turned;
}

void emitSwappedRows(KernelEmitter &e, Value root, size_t axis, int64_t chunk) {
  constexpr int64_t side = 16; // elements of a line
  LaneBuilder &L = e.L;
  Type element = getElementTypeOrSelf(root.getType());
  SmallVector<SymExpr> dims = getDims(root),
                       outer(dims.begin(), dims.begin() + axis - 1);
  auto ceilDiv = [](const SymExpr &x, int64_t by) {
    return SymExpr::apply(SymExpr::Fn::CeilDiv, x, SymExpr(by));
  };
  SmallVector<SymExpr> grid(outer);
  grid.push_back(ceilDiv(dims[axis - 1], side));
  grid.push_back(ceilDiv(dims[axis], chunk));
  e.info.tasks = productOf(grid);
  Value rows = e.dim(dims[axis - 1]), n = e.dim(dims[axis]), out = e.result(0);
  int64_t lanes = e.vectorLanes();
  bool turns =
      lanes > 1 && side % lanes == 0 &&
      computeType(element).getIntOrFloatBitWidth() == 32 &&
      llvm::all_of(leavesOf(root), [&](Value v) { return isSwap(v, axis); });
  e.loop(e.begin, e.end, 1, [&](Value task) {
    SmallVector<Idx> idx = e.delinearize(task, grid);
    Value first = L.mul(idx[axis - 1].base, side),
          from = L.mul(idx[axis].base, chunk);
    Value behind = L.min(L.add(first, side), rows),
          to = L.min(L.add(from, chunk), n);
    Value before = // rows of the dims before
        L.mul(e.linearize(ArrayRef(idx).take_front(axis - 1), outer).base,
              rows);
    auto square = [&](Value row, Value column) {
      LaneScope scope(L, lanes);
      SmallVector<Value> vectors;
      for (int64_t i = 0; i < lanes; ++i) {
        idx[axis - 1] = Idx{row, 1, lanes, {}};
        idx[axis] = L.uniform(L.add(column, i));
        vectors.push_back(L.widen(e.emit(root, idx)));
      }
      for (auto [i, v] : llvm::enumerate(turn(L, vectors))) {
        Value place = L.add(before, L.add(row, int64_t(i)));
        L.store(v, out, Idx{L.add(L.mul(place, n), column), 1, 1, {}}, element);
      }
    };
    auto piece = [&](Value start, Value count) {
      e.loop(first, behind, 1, [&](Value row) {
        Idx base = L.uniform(L.add(L.mul(L.add(before, row), n), start));
        e.lanesLoop(count, lanes, [&](Idx i) {
          idx[axis - 1] = L.uniform(row);
          idx[axis] = L.add(L.uniform(start), i);
          Idx flat = L.add(base, i);
          e.setDomain(dims, idx, flat);
          L.store(e.emit(root, idx), out, flat, element);
        });
      });
    };
    e.loop(from, to, side, [&](Value start) {
      Value count = L.min(L.sub(to, start), side);
      if (!turns)
        return piece(start, count);
      Value whole = L.both(L.eq(count, side), L.eq(L.sub(behind, first), side));
      e.ifThen(whole, [&] {
        e.loop(first, behind, lanes, [&](Value row) {
          e.loop(start, L.add(start, side), lanes,
                 [&](Value column) { square(row, column); });
        });
      });
      e.ifThen(L.no(whole), [&] { piece(start, count); });
    });
  });
}

} // namespace tenon
