//===- MmaOperands.cpp - a product's operands in shared memory ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/MmaOperands.h"

using namespace mlir;

namespace tenon {

/// Bytes that a thread copies at a time.
static constexpr int64_t kUnit = 16;

MmaOperands::MmaOperands(KernelEmitter &e, PackedMatMulOp op,
                         const PackedOperand &operand,
                         GpuMatMulTilingAttr tiling)
    : e(e), op(op), operand(operand), tiling(tiling) {
  if (isInPlace())
    A = globalPointer(e, e.input(cast<BlockArgument>(op.getLhs())));
  B = globalPointer(e, e.input(operand.getMemory()));
}

bool MmaOperands::liesInRows(Type type, int64_t bytes) {
  auto argument = dyn_cast<BlockArgument>(op.getLhs());
  auto depth = K.constant();
  return argument && getElementTypeOrSelf(argument.getType()) == type &&
         depth && *depth % (kUnit / bytes) == 0 &&
         (shared ? ArrayRef(lhs).drop_back() == ArrayRef(rowDims)
                 : ArrayRef(lhs).drop_back(2) == ArrayRef(batch));
}

bool MmaOperands::isInPlace() {
  Type type = layout.integer ? b.getIntegerType(8, /*isSigned=*/false)
                             : Type(b.getF32Type());
  return liesInRows(type, bytesOfElement);
}

void MmaOperands::pullA(const MmaTile &tile, Value row, Value column,
                        int64_t ofPart,
                        function_ref<void(int64_t, Value)> put) {
  SmallVector<Idx> idx;
  if (shared)
    idx = e.delinearize(row, rowDims);
  else
    idx = e.delinearize(tile.batchIndex, batch);
  if (!shared)
    idx.push_back(L.uniform(row));
  ArrayRef<SymExpr> outer = ArrayRef(out).drop_back();
  idx = e.broadcastIndex(idx, ArrayRef(lhs).drop_back(), outer);
  idx.push_back(Idx());
  bool together = K.constant() && *K.constant() % kQuad == 0;
  int64_t lanes = together ? kQuad : 1;
  bool isWhole = K.constant() && *K.constant() % ofPart == 0;
  LaneScope scope(L, lanes);
  for (int64_t i = 0; i < kQuad; i += lanes) {
    Value at = L.add(column, i);
    Type type = L.vec(elementOfA);
    auto pull = [&]() -> Value {
      idx.back() = together ? Idx{at, 1, kQuad, {}} : L.uniform(at);
      return L.widen(e.emit(op.getLhs(), idx));
    };
    Value x = isWhole ? pull() : e.ifElse(L.ult(at, k), type, pull, [&] {
      return L.constant(type, 0);
    });
    put(i, x);
  }
}

void MmaOperands::fillA(const MmaTeam &team, const MmaTile &tile, Value number,
                        Value stage) {
  int64_t count = A ? kUnit / bytesOfElement : kQuad; // elements at a time
  int64_t ofRow = depth / count;
  Value base = L.add(team.ring, L.mul(stage, team.rows * bytesOfRow));
  e.loop(team.thread, L.index(team.rows * ofRow), team.threads, [&](Value i) {
    Value r = L.div(i, ofRow), c = L.rem(i, ofRow);
    Value to = L.add(
        base, L.add(L.mul(r, bytesOfRow), L.mul(c, count * bytesOfElement)));
    Value row = L.add(tile.row, r);
    Value at = L.add(L.mul(number, ofRow), c); // in a row of A
    Value column = L.mul(at, count);
    if (!A) // rows behind the last one are that one, and not stored
      return pullA(tile, L.min(row, L.sub(m, 1)), column, depth,
                   [&](int64_t i, Value x) {
                     ring->store(x, L.add(to, i * bytesOfElement));
                   });
    Value inside = L.ult(row, m);
    if (!isDivided())
      inside = L.both(inside, L.ult(column, k));
    Value whole = L.mul(row, *K.constant() / count);
    copyAsync(e, *ring, to, A, VectorType::get({4}, b.getF32Type()),
              L.add(tile.aAt, L.add(whole, at)), inside);
  });
}

void MmaOperands::fillB(const MmaTeam &team, const MmaTile &tile, Value number,
                        Value stage, Value exists) {
  int64_t units = bytesOfPanel / kUnit, ofGroup = layout.bytesOfGroup / kUnit,
          header = layout.bytesOfHeader / kUnit;
  Value base = L.add(L.add(team.ring, team.stages * team.rows * bytesOfRow),
                     L.mul(stage, team.panels * bytesOfPanel));
  Value first = L.mul(number, depth); // row of the panel
  Value blockAt = L.index(0), inBlock = first;
  if (layout.block) {
    Value block = L.div(first, layout.block);
    blockAt = L.mul(block, layout.bytesOfBlock / kUnit);
    inBlock = L.rem(first, layout.block);
  }
  Value groups = L.mul(L.div(inBlock, layout.rowsOfGroup), ofGroup);
  int64_t ofHalf = team.panels / cut;
  e.loop(team.thread, L.index(team.panels * units), team.threads, [&](Value i) {
    Value p = L.div(i, units), u = L.rem(i, units);
    Value panel = L.add(tile.panel, halves ? L.rem(p, ofHalf) : p);
    Value inside = L.ult(panel, np);
    if (exists)
      inside = L.both(inside, exists);
    if (halves) // the second half's panels lie behind all of the first's
      panel = L.add(panel, L.mul(L.div(p, ofHalf), np));
    Value v = u, from = L.add(u, groups), place;
    Value row = L.add(first, L.mul(L.div(u, ofGroup), layout.rowsOfGroup));
    if (header) {
      Value isHeader = L.ult(u, header);
      v = L.sub(u, header);
      row = L.add(first, L.mul(L.div(v, ofGroup), layout.rowsOfGroup));
      row = L.select(isHeader, first, row);
      from = L.select(isHeader, u, from);
    }
    if (!isDivided() && !layout.block) // a block has all its rows
      inside = L.both(inside, L.ult(row, k));
    place = v;
    if (layout.bytesOfColumn > 1) {
      Value swap = L.mul(L.rem(L.div(v, 8), 4), layout.bytesOfColumn / 2);
      place = L.bitXor(v, swap);
    }
    if (header)
      place = L.select(L.ult(u, header), u, L.add(place, header));
    Value to = L.add(L.add(base, L.mul(p, bytesOfPanel)), L.mul(place, kUnit));
    Value at =
        L.add(L.add(tile.bAt, L.mul(panel, panelSize)), L.add(blockAt, from));
    copyAsync(e, *ring, to, B, VectorType::get({4}, b.getF32Type()), at,
              inside);
  });
}

Value MmaOperands::Column::header(Type type, int64_t first) const {
  LaneBuilder &L = o.L;
  int64_t bytes = type.getIntOrFloatBitWidth() / 8;
  Value eight = L.add(L.mul(j, 8 * bytes), first);
  return o.ring->load(type, L.add(L.add(panel, eight), L.mul(o.g, bytes)));
}

/// What a line's number exchanges are bits of its address.
Value MmaOperands::Column::entryOfBox(Value group) const {
  constexpr int64_t line = 128, half = kPanelColumns / 2, quad = 4;
  LaneBuilder &L = o.L;
  const PanelLayout &layout = o.layout;
  Value column = L.add(L.mul(j, 8), o.g);
  if (o.areApart())
    column = L.add(L.add(L.mul(L.div(o.g, quad), half), L.mul(j, quad)),
                   L.rem(o.g, quad));
  Value at = L.add(L.mul(group, layout.bytesOfGroup),
                   L.mul(column, layout.bytesOfColumn));
  Value swap = L.mul(L.rem(L.div(at, line), line / kUnit), kUnit);
  return o.ring->load(layout.entryType(o.b.getContext()),
                      L.add(panel, L.bitXor(at, swap)));
}

Value MmaOperands::Column::entry(Value group) const {
  if (o.boxesB)
    return entryOfBox(group);
  LaneBuilder &L = o.L;
  const PanelLayout &layout = o.layout;
  Value block = j;
  if (layout.bytesOfColumn > 1) {
    Value line = L.div(group, 128 / layout.bytesOfGroup);
    block = L.bitXor(L.rem(line, 4), block);
  }
  Value column = L.add(L.mul(block, 8), o.g);
  Value at = L.add(L.mul(group, layout.bytesOfGroup),
                   L.mul(column, layout.bytesOfColumn));
  return o.ring->load(layout.entryType(o.b.getContext()),
                      L.add(L.add(panel, layout.bytesOfHeader), at));
}

MmaOperands::Column MmaOperands::columnOf(const MmaTeam &team, Value stage,
                                          Value panel, int64_t more, Value j) {
  Value base = L.add(L.add(team.ring, team.stages * team.rows * bytesOfRow),
                     L.add(L.mul(stage, team.panels * bytesOfPanel),
                           L.mul(panel, bytesOfPanel)));
  Column column{*this, L.add(base, more * bytesOfPanel), j};
  column.scale = loadScale(e, layout, [&](Type type, int64_t at) {
    return column.header(type, at);
  });
  return column;
}

Mma::Fragment MmaOperands::fragmentOf(ArrayRef<Column> columns, int64_t kk) {
  Type element = layout.format ? layout.format.getElement() : Type();
  // What a group of four bytes, or two of bf16, has is a register as it is.
  if (layout.integer ||
      (element && element.isBF16() && mma.narrowType() == element)) {
    Mma::Fragment words;
    for (int64_t half = 0; half < 2; ++half)
      for (const Column &column : columns)
        words.high.push_back(
            column.entry(L.add(t, kk / layout.rowsOfGroup + half * 4)));
    return words;
  }
  Value first = mma.isNarrow() ? L.mul(t, 2) : t;
  auto load = [&](int64_t outer, int64_t offset) {
    const Column &column = columns[outer / 8];
    Value row = L.add(first, kk + offset);
    Value entry = column.entry(L.div(row, layout.rowsOfGroup));
    if (entry.getType() == mma.narrowType())
      return entry;
    return decodeNumber(e, layout, entry, row, column.scale);
  };
  return columns.size() == 1 ? mma.loadB(load) : mma.loadA(load);
}

SmallVector<Value> MmaOperands::multiplyPart(const MmaTeam &team, Value stage,
                                             ValueRange sums) {
  Value first = layout.integer   ? L.mul(t, 4)
                : mma.isNarrow() ? L.mul(t, 2 * bytesOfElement)
                                 : L.mul(t, bytesOfElement);
  Value aBase = L.add(L.add(team.ring, L.mul(stage, team.rows * bytesOfRow)),
                      L.add(L.mul(L.add(team.warpRow, g), bytesOfRow), first));
  SmallVector<Column> columns;
  for (int64_t c = 0; c < team.warpPanels * 4; ++c)
    columns.push_back(
        columnOf(team, stage, team.warpPanel, c / 4, L.index(c % 4)));
  SmallVector<Value> result(sums);
  for (int64_t kk = 0; kk < depth; kk += mma.depth()) {
    SmallVector<Mma::Fragment> fragments;
    for (const Column &column : columns)
      fragments.push_back(fragmentOf(column, kk));
    for (int64_t i = 0; i < team.warpRows / kMmaRows; ++i) {
      auto load = [&](int64_t row, int64_t offset, Type type) {
        int64_t at =
            (i * kMmaRows + row) * bytesOfRow + (kk + offset) * bytesOfElement;
        return ring->load(type, L.add(aBase, at));
      };
      Mma::Fragment a;
      if (layout.integer) {
        for (int64_t offset : {0, 16})
          for (int64_t row : {0, 8})
            a.high.push_back(load(row, offset, b.getI32Type()));
      } else {
        a = mma.loadA([&](int64_t row, int64_t offset) {
          return load(row, offset, elementOfA);
        });
      }
      for (auto [c, fragment] : llvm::enumerate(fragments)) {
        size_t at = (size_t(i) * fragments.size() + c) * 4;
        SmallVector<Value> sum =
            mma.multiply(a, fragment, ArrayRef(result).slice(at, 4));
        llvm::copy(sum, result.begin() + at);
      }
    }
  }
  return result;
}

SmallVector<Value> MmaOperands::multiply(const MmaTeam &team,
                                         const MmaTile &tile, Value first,
                                         Value last, Value ofRange,
                                         int64_t ranges) {
  int64_t stages = team.stages;
  auto wait = [&](int64_t left) {
    awaitCopies(e, left);
    team.block ? emitBarrier(e) : emitWarpBarrier(e);
  };
  auto fill = [&](Value number) {
    e.ifThen(L.ult(number, last), [&] {
      Value stage = L.rem(number, stages);
      fillA(team, tile, number, stage);
      fillB(team, tile, number, stage);
    });
    closeCopies(e);
  };
  for (int64_t s = 0; s < stages - 1; ++s)
    fill(L.add(first, s));
  SmallVector<Value> zeros(team.numSums(), L.constant(mma.sumType(), 0));
  auto parts = [&](Value begin, Value end) {
    return e.loop(begin, end, 1, zeros, [&](Value i, ValueRange args) {
      wait(stages - 2);
      fill(L.add(i, stages - 1));
      return multiplyPart(team, L.rem(i, stages), args);
    });
  };
  SmallVector<Value> sums;
  if (!ofRange) {
    sums = parts(first, last);
  } else {
    sums = e.loop(L.index(0), L.index(ranges), 1, zeros,
                  [&](Value range, ValueRange totals) {
                    Value begin =
                        L.min(L.add(first, L.mul(range, ofRange)), last);
                    Value end = L.min(L.add(begin, ofRange), last);
                    SmallVector<Value> next = parts(begin, end);
                    for (auto [sum, total] : llvm::zip_equal(next, totals))
                      sum = addSums(e, total, sum);
                    return next;
                  });
  }
  wait(0);
  return sums;
}

Value addSums(KernelEmitter &e, Value x, Value y) {
  if (isa<FloatType>(getElementTypeOrSelf(x.getType())))
    return e.L.add(x, y);
  return e.L.add(x, y);
}

} // namespace tenon
