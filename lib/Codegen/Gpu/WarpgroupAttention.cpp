//===- WarpgroupAttention.cpp - attention by products of warpgroups -------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block has 128 query rows (GpuAttention.h) and two warpgroups, with a ring
// of stages between them, a part of keys and one of values each, and four
// mbarriers a stage:
//
//   the second fills   wait until the keys of stage s are empty; load a part of
//                      the panel, convert and store it; arrive at its `full`;
//                      the same of the values
//   the first one      wait until the keys are full; fence; scores by wgmma,
//   multiplies         queries and keys in shared memory; arrive at `empty`;
//                      for either 64 rows: mask and weigh the scores, in
//                      registers; wait for the values; sums by wgmma, the
//                      weights as its left operand in registers; arrive at
//                      `empty`
//
// wgmma wants in shared memory what is multiplied to lie together: numbers of a
// key by depth, of a column of the values by keys. In memory neither does, and
// both are f32. So threads bring them, and round them on the way; of tf32x3
// what that leaves goes to another plane. A line has 128 bytes. Keys of 16 bits
// fill half of one: two stages share the lines of values.
//
// Where the sums leave room for two blocks on a multiprocessor, the second
// warpgroup lends registers to the first one.
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/GpuAttention.h"
#include "lib/Codegen/Gpu/GpuKernels.h"
#include "lib/Codegen/Gpu/Wgmma.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace tenon {

namespace {

/// Rows of a block, by what wgmma multiplies.
constexpr int64_t kRows = 128, kTiles = kRows / kWgmmaRows;
constexpr int64_t kUnit = 16, kUnitsOfLine = kSwizzleBytes / kUnit;
constexpr int64_t kBytesOfSum = 4, kBytesOfBarrier = 8, kBarriersOfStage = 4;
/// Number of the barrier at which the first warpgroup waits for itself.
constexpr int64_t kOwnBarrier = 1;
/// Columns of values up to which two blocks fit a multiprocessor's registers.
constexpr int64_t kWidthOfTwo = 64;

/// How a block uses its shared memory, in bytes: queries, keys, values,
/// mbarriers; in the end the result.
struct Room {
  int64_t bytesOfNumber, planes;
  int64_t units; ///< of 16 bytes, of a row of queries or keys
  int64_t planeOfQ, planeOfK, planeOfV;
  int64_t stagesOfLine; ///< of values
  int64_t stages = 0;   ///< 0: there is no room for any
  int64_t keysAt, valuesAt = 0, barriersAt = 0, bytes = 0;

  Room(int64_t depth, int64_t width, MmaProducts products) {
    bool narrow = products == MmaProducts::f16 || products == MmaProducts::bf16;
    bytesOfNumber = narrow ? 2 : 4;
    planes = products == MmaProducts::tf32x3 ? 2 : 1;
    stagesOfLine = kSwizzleBytes / (kPanelColumns * bytesOfNumber);
    units = llvm::alignTo(depth * bytesOfNumber, 2 * kUnit) / kUnit;
    int64_t lines = llvm::divideCeil(units, kUnitsOfLine);
    planeOfQ = kRows * lines * kSwizzleBytes;
    planeOfK = kPanelColumns * lines * kSwizzleBytes;
    planeOfV = llvm::alignTo(width, kPanelColumns) * kSwizzleBytes;
    keysAt = planes * planeOfQ;
    constexpr int64_t most = 4;
    for (int64_t count = most; count; count -= stagesOfLine)
      if (!stages && fits(width, count))
        stages = count;
  }

private:
  bool fits(int64_t width, int64_t count) {
    int64_t result =
        kRows * (llvm::alignTo(width, kPanelColumns) + 4) * kBytesOfSum;
    valuesAt = keysAt + count * planes * planeOfK;
    barriersAt =
        std::max(valuesAt + count / stagesOfLine * planes * planeOfV, result);
    bytes = barriersAt + count * kBarriersOfStage * kBytesOfBarrier;
    return bytes <= kMostShared;
  }
};

class WarpgroupAttention : public GpuAttention {
public:
  WarpgroupAttention(KernelEmitter &e, GpuAttentionTilingAttr tiling,
                     const AttentionOps &ops, int64_t wordsOfOther)
      : GpuAttention(e, tiling, ops),
        words(std::max(room.bytes / kBytesOfWord, wordsOfOther)) {}
  int64_t sharedWords() const override { return words; }

private:
  static constexpr int64_t kBytesOfWord = 4;
  Room room{depth, width, tiling.getProducts()};
  int64_t words;
  SharedArray memory{e,
                     e.info.symbol + "_tiles",
                     b.getI8Type(),
                     words * kBytesOfWord,
                     kSwizzleAlignment,
                     /*asked=*/true};
  Mbarriers barriers{e, memory};
  Wgmma scoring{e, mma, kKeys}, summing{e, mma, panels * kPanelColumns};
  bool lends = width <= kWidthOfTwo;
  int64_t rowOfO = panels * kPanelColumns + 4;
  int64_t numbersOfUnit = kUnit / room.bytesOfNumber;

  /// Of a stage: what threads wait for.
  enum Barrier { fullKeys, emptyKeys, fullValues, emptyValues };
  Value barrierAt(Value stage, Barrier which) {
    return add(mul(stage, kBarriersOfStage * kBytesOfBarrier),
               room.barriersAt + which * kBytesOfBarrier);
  }
  Value keysOf(Value stage) {
    return add(mul(stage, room.planes * room.planeOfK), room.keysAt);
  }
  /// Where the values of a stage begin, and in which unit of their lines.
  Value valuesOf(Value stage) {
    return add(
        mul(L.div(stage, room.stagesOfLine), room.planes * room.planeOfV),
        room.valuesAt);
  }
  Value firstUnitOf(Value stage) {
    return mul(L.rem(stage, room.stagesOfLine),
               kUnitsOfLine / room.stagesOfLine);
  }
  /// Of a unit of a line, whose units are exchanged by the row's number.
  Value inLine(Value row, Value unit) {
    return L.add(mul(row, kSwizzleBytes),
                 mul(L.bitXor(unit, L.rem(row, kUnitsOfLine)), kUnit));
  }
  void createBarriers();
  void fillQueries(const Task &task);
  void storeUnit(Value from, function_ref<Value(int64_t)> position,
                 function_ref<Value(int64_t)> inside, Value to, int64_t plane);
  void fillKeys(const Task &task, Value part, Value stage, Value ofGroup);
  void fillValues(const Task &task, Value part, Value stage, Value ofGroup);
  void fillParts(const Task &task, Value begin, Value end, Value done);
  SmallVector<Value> multiplyKeys(Value stage);
  SmallVector<Value> multiplyValues(Value stage, ArrayRef<Value> weights,
                                    ValueRange sums);
  SmallVector<Value> multiplyParts(const Task &task, Value begin, Value end,
                                   Value done);
  void multiply(const Task &task, AttentionKeys::Parts parts);
  void runTask(const Task &task) override;
};

void WarpgroupAttention::createBarriers() {
  e.ifThen(L.eq(thread, 0), [&] {
    for (int64_t stage = 0; stage < room.stages; ++stage)
      for (Barrier which : {fullKeys, emptyKeys, fullValues, emptyValues})
        barriers.create(barrierAt(L.index(stage), which), kWarpgroup);
  });
}

/// Line l of all rows lies behind line l - 1 of all.
void WarpgroupAttention::fillQueries(const Task &task) {
  int64_t bytes = kQuad * room.bytesOfNumber;
  int64_t quads = room.units * kUnit / bytes;
  e.loop(thread, L.index(rows * quads), threads, [&](Value i) {
    Value r = L.div(i, quads);
    pullQueries(task, r, mul(L.rem(i, quads), kQuad), [&](Value x, Value c) {
      Value unit = L.div(c, numbersOfUnit);
      Value line = mul(L.div(unit, kUnitsOfLine), rows * kSwizzleBytes);
      Value inUnit = mul(L.rem(c, numbersOfUnit), room.bytesOfNumber);
      Value to =
          L.add(L.add(line, inLine(r, L.rem(unit, kUnitsOfLine))), inUnit);
      scoring.store(memory, x, to, room.planeOfQ);
    });
  });
}

//===----------------------------------------------------------------------===//
// The warpgroup that fills
//===----------------------------------------------------------------------===//

/// Numbers that lie apart in memory come together.
void WarpgroupAttention::storeUnit(Value from,
                                   function_ref<Value(int64_t)> position,
                                   function_ref<Value(int64_t)> inside,
                                   Value to, int64_t plane) {
  SmallVector<Value> numbers;
  for (int64_t i = 0; i < numbersOfUnit; ++i)
    numbers.push_back(loadNumber(e, from, f32, position(i), inside(i)));
  Value unit = vector::FromElementsOp::create(
      b, L.loc, VectorType::get({numbersOfUnit}, f32), numbers);
  scoring.store(memory, unit, to, plane);
}

/// A warp takes a unit of 32 keys.
void WarpgroupAttention::fillKeys(const Task &task, Value part, Value stage,
                                  Value ofGroup) {
  Value panel = L.add(task.keysAt, mul(L.mul(part, depth), kKeys));
  Value base = keysOf(stage);
  bool isWhole = room.units * numbersOfUnit == depth;
  e.loop(ofGroup, L.index(room.units * kKeys), kWarpgroup, [&](Value i) {
    Value key = L.rem(i, kKeys), unit = L.div(i, kKeys);
    Value first = mul(unit, numbersOfUnit);
    Value line = mul(L.div(unit, kUnitsOfLine), kKeys * kSwizzleBytes);
    Value to = L.add(L.add(base, line), inLine(key, L.rem(unit, kUnitsOfLine)));
    storeUnit(
        K,
        [&](int64_t n) {
          return L.add(panel, L.add(mul(add(first, n), kKeys), key));
        },
        [&](int64_t n) -> Value {
          return isWhole ? Value() : L.ult(add(first, n), depth);
        },
        to, room.planeOfK);
  });
}

/// A warp takes a unit of keys of 32 columns; of 8 keys as keyOf() has them.
void WarpgroupAttention::fillValues(const Task &task, Value part, Value stage,
                                    Value ofGroup) {
  int64_t units = kUnitsOfLine / room.stagesOfLine;
  Value base = valuesOf(stage), firstUnit = firstUnitOf(stage);
  Value firstKey = mul(part, kKeys);
  int64_t count = panels * units * kPanelColumns;
  e.loop(ofGroup, L.index(count), kWarpgroup, [&](Value i) {
    Value column = L.rem(i, kPanelColumns), rest = L.div(i, kPanelColumns);
    Value unit = L.rem(rest, units), panel = L.div(rest, units);
    Value first = narrow ? mul(unit, numbersOfUnit)
                         : L.add(mul(L.div(unit, 2), 8), L.rem(unit, 2));
    first = L.add(firstKey, first);
    Value row = L.add(mul(panel, kPanelColumns), column);
    Value from = L.add(task.valuesAt, L.add(L.mul(panel, apart), column));
    auto keyAt = [&](int64_t n) { return add(first, narrow ? n : 2 * n); };
    storeUnit(
        V,
        [&](int64_t n) {
          return L.add(from, mul(keyAt(n), ops.V.rowsApart()));
        },
        [&](int64_t n) -> Value { return L.ult(keyAt(n), nk); },
        L.add(base, inLine(row, L.add(unit, firstUnit))), room.planeOfV);
  });
}

/// `done` parts were brought before.
void WarpgroupAttention::fillParts(const Task &task, Value begin, Value end,
                                   Value done) {
  Value ofGroup = L.sub(thread, kWarpgroup);
  e.loop(begin, end, 1, [&](Value part) {
    Value number = L.add(done, L.sub(part, begin));
    Value stage = L.rem(number, room.stages);
    Value parity = L.rem(add(L.div(number, room.stages), 1), 2);
    barriers.await(barrierAt(stage, emptyKeys), parity);
    fillKeys(task, part, stage, ofGroup);
    barriers.arrive(barrierAt(stage, fullKeys));
    barriers.await(barrierAt(stage, emptyValues), parity);
    fillValues(task, part, stage, ofGroup);
    barriers.arrive(barrierAt(stage, fullValues));
  });
}

//===----------------------------------------------------------------------===//
// The warpgroup that multiplies
//===----------------------------------------------------------------------===//

/// The scores of all tiles, one after the other.
SmallVector<Value> WarpgroupAttention::multiplyKeys(Value stage) {
  WgmmaMatrix left = scoring.describe(memory, L.index(0)),
              right = scoring.describe(memory, keysOf(stage));
  int64_t bytesOfStep = mma.depth() * room.bytesOfNumber;
  SmallVector<WgmmaStep> multiplications;
  for (int64_t step = 0; step < steps; ++step) {
    int64_t line = step * bytesOfStep / kSwizzleBytes,
            inLine = step * bytesOfStep % kSwizzleBytes;
    for (int64_t tile = 0; tile < kTiles; ++tile) {
      auto queries = [&](int64_t plane) {
        return left.after(plane * room.planeOfQ +
                          (line * kRows + tile * kWgmmaRows) * kSwizzleBytes +
                          inLine);
      };
      auto keys = [&](int64_t plane) {
        return right.after(plane * room.planeOfK +
                           line * kKeys * kSwizzleBytes + inLine);
      };
      size_t at = size_t(tile) * kScores;
      if (room.planes > 1) { // the small products first
        multiplications.push_back({queries(0), keys(1), at});
        multiplications.push_back({queries(1), keys(0), at});
      }
      multiplications.push_back({queries(0), keys(0), at});
    }
  }
  SmallVector<Value> zeros(kTiles * kScores, L.constant(f32, 0));
  return scoring.multiply(zeros, multiplications);
}

SmallVector<Value> WarpgroupAttention::multiplyValues(Value stage,
                                                      ArrayRef<Value> weights,
                                                      ValueRange sums) {
  Value begin = L.add(valuesOf(stage), mul(firstUnitOf(stage), kUnit));
  WgmmaMatrix right = summing.describe(memory, begin);
  SmallVector<WgmmaStep> multiplications;
  for (int64_t kk = 0; kk < kKeys; kk += mma.depth()) {
    Mma::Fragment left = weightsOf(weights, kk);
    WgmmaMatrix high = right.after(kk * room.bytesOfNumber);
    if (!left.low.empty()) {
      multiplications.push_back({left.high, high.after(room.planeOfV)});
      multiplications.push_back({left.low, high});
    }
    multiplications.push_back({left.high, high});
  }
  return summing.multiply(sums, multiplications);
}

/// What is carried over parts [begin, end), of each tile.
SmallVector<Value> WarpgroupAttention::multiplyParts(const Task &task,
                                                     Value begin, Value end,
                                                     Value done) {
  SmallVector<Value> before;
  for (int64_t tile = 0; tile < kTiles; ++tile)
    before.append(nothing());
  size_t ofTile = before.size() / kTiles;
  return e.loop(begin, end, 1, before, [&](Value part, ValueRange args) {
    Value number = L.add(done, L.sub(part, begin));
    Value stage = L.rem(number, room.stages);
    Value parity = L.rem(L.div(number, room.stages), 2);
    barriers.await(barrierAt(stage, fullKeys), parity);
    fenceAsyncProxy(e);
    SmallVector<Value> scores = multiplyKeys(stage);
    barriers.arrive(barrierAt(stage, emptyKeys));
    SmallVector<Value> next;
    for (int64_t tile = 0; tile < kTiles; ++tile) {
      ValueRange carried = args.slice(size_t(tile) * ofTile, ofTile);
      SmallVector<Value> sums(carried.take_front(numSums())), weights;
      Rows rowsOf = rowsIn(carried);
      for (size_t i = 0; i < kScores; ++i) {
        Value row = add(L.add(mul(warp, kMmaRows), g),
                        tile * kWgmmaRows + int64_t(i) / 2 % 2 * 8);
        Value key = L.add(mul(part, kKeys),
                          add(mul(t, 2), int64_t(i) / 4 * 8 + int64_t(i) % 2));
        weights.push_back(
            maskedScore(task, row, key, scores[size_t(tile) * kScores + i]));
      }
      weigh(rowsOf, weights, sums);
      if (tile == 0) {
        barriers.await(barrierAt(stage, fullValues), parity);
        fenceAsyncProxy(e);
      }
      next.append(multiplyValues(stage, weights, sums));
      next.append(rowsOf.largest);
      next.append(rowsOf.total);
    }
    barriers.arrive(barrierAt(stage, emptyValues));
    return next;
  });
}

void WarpgroupAttention::multiply(const Task &task,
                                  AttentionKeys::Parts parts) {
  SmallVector<Value> before;
  for (int64_t tile = 0; tile < kTiles; ++tile)
    before.append(nothing());
  size_t ofTile = before.size() / kTiles;
  SmallVector<Value> carried = passOver(
      parts, before, [&](Value begin, Value end, Value done, Value &masked) {
        SmallVector<Value> found = multiplyParts(task, begin, end, done);
        for (int64_t tile = 0; !seen.empty() && tile < kTiles; ++tile) {
          Value own = isMasked(
              rowsIn(ValueRange(found).slice(size_t(tile) * ofTile, ofTile)));
          masked = masked ? Value(L.either(masked, own)) : own;
        }
        return found;
      });
  // The result takes the place of what the other warps may still multiply.
  emitBarrier(e, kOwnBarrier, kWarpgroup);
  for (int64_t tile = 0; tile < kTiles; ++tile) {
    ValueRange own = ValueRange(carried).slice(size_t(tile) * ofTile, ofTile);
    Value first = add(L.add(mul(warp, kMmaRows), g), tile * kWgmmaRows);
    Value base = L.add(mul(first, rowOfO), mul(t, 2));
    SmallVector<Value> sums(own.take_front(numSums()));
    storeSums(rowsIn(own), sums, [&](Value pair, int64_t row, int64_t column) {
      memory.store(pair, mul(add(base, row * rowOfO + column), kBytesOfSum));
    });
  }
}

//===----------------------------------------------------------------------===//
// Both
//===----------------------------------------------------------------------===//

void WarpgroupAttention::runTask(const Task &task) {
  createBarriers();
  fillQueries(task);
  AttentionKeys::Parts parts = partsOf(task);
  emitBarrier(e);
  e.ifThen(L.uge(thread, kWarpgroup), [&] {
    if (lends)
      giveRegisters(e, kRegistersToFill);
    passOver(parts, {}, [&](Value begin, Value end, Value done, Value &masked) {
      fillParts(task, begin, end, done);
      masked = L.constantInt(b.getI1Type(), 0);
      return SmallVector<Value>();
    });
  });
  e.ifThen(L.ult(thread, kWarpgroup), [&] {
    if (lends)
      takeRegisters(e, kRegistersToMultiply);
    multiply(task, parts);
    if (!lends)
      return;
    // Warps have to meet between taking and giving.
    emitBarrier(e, kOwnBarrier, kWarpgroup);
    giveRegisters(e, kRegisters);
  });
  emitBarrier(e);
  // No sooner, or a warp that is late to multiply would find none.
  if (lends)
    e.ifThen(L.uge(thread, kWarpgroup), [&] { takeRegisters(e, kRegisters); });
  epilogue(task, [&](Type type, Value r, Value c) {
    return memory.load(type, mul(L.add(mul(r, rowOfO), c), kBytesOfSum));
  });
}

} // namespace

bool fitsWarpgroups(int64_t depth, int64_t width, MmaProducts products) {
  return products != MmaProducts::i8 && Room(depth, width, products).stages;
}

std::unique_ptr<GpuAttention>
createWarpgroupAttention(KernelEmitter &e, GpuAttentionTilingAttr tiling,
                         const AttentionOps &ops, int64_t wordsOfOther) {
  return std::make_unique<WarpgroupAttention>(e, tiling, ops, wordsOfOther);
}

} // namespace tenon
