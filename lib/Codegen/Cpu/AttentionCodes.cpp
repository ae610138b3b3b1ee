//===- AttentionCodes.cpp - attention's products of codes -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Codes that tenon-pack-matmul lets meet, of queries and keys or of weights and
// values, have exact sums of integers for products. Those of scores lie where
// scores do, as they are: what makes scores of them is pulled like a mask.
// Weights that are codes are finished into memory of their own, in whole groups
// of the format, and their sums, which the values' zero point is multiplied by,
// with them.
//
// Of bf16 (--precision) the rows of queries and weights are rounded as they are
// laid out; sums are f32, and so is the one that weights are divided by.
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Cpu/AttentionKernel.h"
#include "lib/Codegen/Cpu/FormatKernels.h"
#include "lib/Codegen/Cpu/Loops.h"

using namespace mlir;

namespace tenon {

static SymExpr wholeGroups(FormatAttr format, const SymExpr &size) {
  SymExpr group = format.rowsOfGroup();
  return SymExpr::apply(SymExpr::Fn::CeilDiv, size, group) * group;
}

SymExpr AttentionKernel::sizeOfRow() {
  return format ? wholeGroups(format, depth) : depth;
}

SymExpr AttentionKernel::panelsOfValues() {
  return v[v.size() - (valueFormat ? 2 : 3)];
}

/// The one reduction of the kernel (AttentionOps.h).
ReduceOp AttentionKernel::findRowSum() {
  auto reductions = e.body().getOps<ReduceOp>();
  return reductions.empty() ? ReduceOp() : *reductions.begin();
}

/// A level has bytes of codes or pairs of bytes; all take the same memory.
Value AttentionKernel::memoryOfCodes(FormatAttr of, const SymExpr &elements) {
  Type type = rowTypeOf(of, e.target);
  Value memory = e.scratchBuffer(elements * 2, b.getI8Type());
  if (type.isInteger(8))
    return memory;
  return memref::ViewOp::create(b, L.loc, memoryType(type), memory, L.index(0),
                                ValueRange{L.index(0)});
}

void AttentionKernel::storeCode(FormatAttr of, Value x, Value memory,
                                const Idx &at) {
  Type type = rowTypeOf(of, e.target);
  if (!of.isInteger())
    x = bitsOfBF16(L, L.widen(x));
  else if (type.isInteger(16))
    x = L.extend(L.widen(x), type, /*isUnsigned=*/true);
  L.store(x, memory, at, type);
}

/// `rows` rows of A from aAt on, lda apart, times panels [begin, end) of B, of
/// which K rows from `first` on count, whole groups.
struct AttentionKernel::CodesProduct {
  FormatAttr format;
  Value rows, A, aAt, lda;
  const PackedOperand &B;
  Value begin, end, first, K;
};

/// To `sums` or `tile`, a tile at a time: then(row of the tile where a panel
/// begins, panel, first row, rows).
void AttentionKernel::multiply(
    const CodesProduct &x,
    function_ref<void(Value, Value, Value, Value)> then) {
  Value B = e.input(x.B.getMemory()), apart = e.dim(x.B.panelsApart()),
        zero = L.index(0);
  // In elements of B's memory.
  Type stored = getElementTypeOrSelf(x.B.getMemory().getType());
  int64_t ofRow = x.format.bytesOfGroup() / x.format.rowsOfGroup() /
                  (stored.getIntOrFloatBitWidth() / 8);
  Value to = x.format.isInteger() ? sums : tile;
  auto multiplyGroup = [&](Value panel, int64_t count) {
    Value at =
        L.add(x.B.at(e, batchIndex, batch, panel), L.mul(x.first, ofRow));
    forRowTiles(e, x.rows, kTileRows, [&](Value, Value r0, Value mr) {
      emitDotKernel(e, mr, x.format, count, /*accumulate=*/false,
                    {x.A, L.add(x.aAt, L.mul(r0, x.lda)), x.lda, B, at, apart,
                     x.K, to, zero, zero, at, zero});
      for (int64_t p = 0; p < count; ++p)
        then(L.mul(mr, p), L.add(panel, p), r0, mr);
    });
  };
  forPanelGroups(e, x.begin, x.end, multiplyGroup);
}

/// What scores are made of; integers as bits of f32.
void AttentionKernel::computeByFormat(Value rows, Value begin, Value end) {
  Value lda = e.dim(rowSize), zero = L.index(0);
  multiply({format, rows, queries, zero, lda, K, begin, end, zero, lda},
           [&](Value tileRow, Value panel, Value r0, Value mr) {
             e.loop(zero, mr, 1, [&](Value r) {
               LaneScope whole(L, lanes);
               Value from = L.mul(L.add(tileRow, r), kPanelColumns);
               Value to = L.mul(L.add(r0, r), e.dim(ld));
               to = L.add(L.add(scoresAt, to), L.mul(panel, kPanelColumns));
               auto line = [&](Value at, int64_t column) {
                 return Idx{L.add(at, column), 1, (int64_t)lanes, {}};
               };
               for (int64_t c = 0; c < kPanelColumns; c += lanes) {
                 Value x;
                 if (format.isInteger()) {
                   x = L.load(sums, line(from, c), b.getI32Type());
                   x = arith::BitcastOp::create(b, L.loc, L.vec(f32), x);
                 } else {
                   x = L.load(tile, line(from, c), f32);
                 }
                 L.store(x, scores, line(to, c), f32);
               }
             });
           });
}

/// Elements behind the n of a row at `at`, up to a whole group, meet values
/// that are not the range's, or the zeros behind keys, where bf16 must be no
/// NaN.
void AttentionKernel::clearBehind(FormatAttr of, Value memory, Value at,
                                  Value n) {
  int64_t group = of.rowsOfGroup();
  Value behind = L.mul(L.div(L.add(n, group - 1), group), group);
  e.loop(n, behind, 1, [&](Value i) {
    memref::StoreOp::create(b, L.loc, L.constantInt(rowTypeOf(of, e.target), 0),
                            memory, L.add(at, i));
  });
}

/// The weights times panels [begin, end) of the values.
void AttentionKernel::multiplyWeights(Value rows, const KeyRange &range,
                                      Value begin, Value end) {
  int64_t group = valueFormat.rowsOfGroup();
  Value n = L.sub(range.end, range.begin);
  n = L.mul(L.div(L.add(n, group - 1), group), group);
  multiply({valueFormat, rows, codes, range.begin, e.dim(ld), V, begin, end,
            range.begin, n},
           [&](Value tileRow, Value panel, Value r0, Value mr) {
             outputPanel(tileRow, panel, r0, mr);
           });
}

} // namespace tenon
