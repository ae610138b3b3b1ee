//===- RecurrentProduct.cpp - the gates of a recurrent layer --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The state by all panels of the weight, by the micro-kernels of matmul: six
// sequences at a time, and of one alone four panels, which come from the cache
// step by step.
//
// Codes by the bytes of a weight, where the level multiplies bytes: of four
// rows of the weight the numbers of a column are interleaved as they are read,
// for up to four sequences,
//
//   for 16 rows of the weight:  for vector of bytes of a row:
//     four times:  four rows, interleaved twice      8 operations
//       sums of columns += codes x columns           4 for each sequence
//
// which leaves the columns of a vector in another order until the end: each
// four of them lie together.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/Loops.h"
#include "lib/Codegen/Cpu/Product.h"
#include "lib/Codegen/Emit/KernelKinds.h"

using namespace mlir;

namespace tenon {

static void multiplyState(KernelEmitter &e, const StateProductOperands &o) {
  LaneBuilder &L = e.L;
  Value zero = L.index(0), size = L.index(o.units * kPanelColumns);
  auto call = [&](Value panel, int64_t count, int64_t mostRows, int64_t lines) {
    MicroKernelOperands m{o.state,  zero,
                          o.weight, L.add(o.weightAt, L.mul(panel, size)),
                          size,     L.index(o.units),
                          o.gates,  L.mul(panel, kPanelColumns)};
    m.ldc = L.index(o.panels * kPanelColumns);
    MicroKernelShape shape{count, lines};
    shape.inRows = true;
    emitMicroKernel(e, o.rows, mostRows, SymExpr(o.units), m, shape);
  };
  int64_t few = narrowRows(e.target);
  Value isFew = L.ule(o.rows, few);
  e.ifThen(isFew, [&] {
    int64_t whole = o.end - (o.end - o.begin) % kNarrowPanels;
    e.loop(L.index(o.begin), L.index(whole), kNarrowPanels,
           [&](Value panel) { call(panel, kNarrowPanels, few, kAhead); });
    e.loop(L.index(whole), L.index(o.end), 1,
           [&](Value panel) { call(panel, 1, few, kAhead); });
  });
  Value isMany = L.ugt(o.rows, few);
  e.ifThen(isMany, [&] {
    forPanelGroups(
        e, L.index(o.begin), L.index(o.end),
        [&](Value panel, int64_t count) { call(panel, count, kTileRows, 0); });
  });
}

namespace {

struct CodeLoops : Loops {
  using Loops::Loops;
  static constexpr int64_t kGroup = 4, kPassRows = 16;
  int64_t rows = 0, units = 0, width = 0;
  bool isUnsigned = false;
  int64_t chunk = lanes * kGroup; ///< bytes of a vector
  int64_t apart = 0;              ///< rows of partial sums
  VectorType byteVector = vector(b.getI8Type(), chunk),
             sumVector = vector(b.getI32Type(), lanes);
  Value codes = argument(0), codesAt = argument(1), weight = argument(2),
        weightAt = argument(3), partial = argument(4), sums = argument(5),
        sumsAt = argument(6);

  Value interleave(Value x, Value y, int64_t size, bool high);
  Value loadRow(Value k, Value column);
  SmallVector<Value> loadGroup(Value k, Value column);
  void forChunks(function_ref<void(Value, Value)> fn);
  void pass(Value k, int64_t count, bool isFirst);
  void order();
  void run();
};

} // namespace

/// Elements of `size` bytes of x and y in turns, those of the low or high half
/// of each 16 bytes.
Value CodeLoops::interleave(Value x, Value y, int64_t size, bool high) {
  constexpr int64_t block = 16, half = block / 2;
  SmallVector<int64_t> from;
  for (int64_t at = high ? half : 0; at < chunk; at += block)
    for (int64_t i = at; i < at + half; i += size)
      for (int64_t source : {int64_t(0), chunk})
        for (int64_t byte = 0; byte < size; ++byte)
          from.push_back(source + i + byte);
  return vector::ShuffleOp::create(b, loc, x, y, from);
}

Value CodeLoops::loadRow(Value k, Value column) {
  Value at = L.add(weightAt, L.add(L.mul(k, width), column));
  Value row = vector::LoadOp::create(b, loc, byteVector, weight, at);
  return isUnsigned ? L.bitXor(row, L.constantInt(byteVector, -128)) : row;
}

/// Rows k to k + 3: of each column its four bytes.
SmallVector<Value> CodeLoops::loadGroup(Value k, Value column) {
  Value row[kGroup];
  for (int64_t i = 0; i < kGroup; ++i)
    row[i] = loadRow(L.add(k, i), column);
  SmallVector<Value> group;
  for (bool high : {false, true}) {
    Value x = interleave(row[0], row[1], 1, high),
          y = interleave(row[2], row[3], 1, high);
    for (bool upper : {false, true})
      group.push_back(interleave(x, y, 2, upper));
  }
  return group;
}

/// Vectors of a row's bytes: fn(first column, where their sums are). The last
/// ones may lie over those before, with sums of their own.
void CodeLoops::forChunks(function_ref<void(Value, Value)> fn) {
  int64_t whole = width / chunk * chunk;
  forLoop(L.index(0), L.index(whole), chunk, {}, [&](Value c, ValueRange) {
    fn(c, c);
    return SmallVector<Value>{};
  });
  if (whole < width)
    fn(L.index(width - chunk), L.index(whole));
}

/// Rows k to k + count of the weight.
void CodeLoops::pass(Value k, int64_t count, bool isFirst) {
  forChunks([&](Value column, Value place) {
    auto partialAt = [&](int64_t r, int64_t j) {
      return L.add(place, r * apart + j * lanes);
    };
    SmallVector<Value> all;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < kGroup; ++j)
        all.push_back(isFirst
                          ? L.constantInt(sumVector, 0)
                          : Value(vector::LoadOp::create(
                                b, loc, sumVector, partial, partialAt(r, j))));
    for (int64_t i = 0; i < count; i += kGroup) {
      SmallVector<Value> group = loadGroup(L.add(k, i), column);
      for (int64_t r = 0; r < rows; ++r) {
        Value at = L.add(L.add(codesAt, r * units), L.add(k, i));
        Value code = broadcastGroup(codes, at, kGroup, 32, byteVector);
        for (int64_t j = 0; j < kGroup; ++j) {
          Value &sum = all[r * kGroup + j];
          sum = addDots(code, group[j], sum);
        }
      }
    }
    // The rows of the next pass.
    for (int64_t i = 0; i < kPassRows; ++i) {
      Value row = L.add(k, count + i);
      memref::PrefetchOp::create(
          b, loc, weight, L.add(weightAt, L.add(L.mul(row, width), column)),
          /*isWrite=*/false, /*localityHint=*/3, /*isDataCache=*/true);
    }
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < kGroup; ++j)
        vector::StoreOp::create(b, loc, all[r * kGroup + j], partial,
                                partialAt(r, j));
  });
}

/// The sums by columns. Four of vector j that lie together are those that
/// follow the first 4 * j of each 16.
void CodeLoops::order() {
  VectorType four = vector(b.getI32Type(), kGroup);
  forChunks([&](Value column, Value place) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t i = 0; i < chunk; i += kGroup) {
        int64_t j = i / kGroup % kGroup, block = i / (kGroup * kGroup);
        Value from = L.add(place, r * apart + j * lanes + block * kGroup);
        Value v = vector::LoadOp::create(b, loc, four, partial, from);
        Value to = L.add(L.add(sumsAt, column), r * width + i);
        vector::StoreOp::create(b, loc, v, sums, to);
      }
  });
}

void CodeLoops::run() {
  apart = CodeProductOperands::partialOf(width);
  int64_t first = std::min(units, kPassRows), rest = units % kPassRows;
  pass(L.index(0), first, /*isFirst=*/true);
  int64_t whole = units - rest;
  forLoop(L.index(first), L.index(std::max(first, whole)), kPassRows, {},
          [&](Value k, ValueRange) {
            pass(k, kPassRows, false);
            return SmallVector<Value>{};
          });
  if (rest && first < units)
    pass(L.index(whole), rest, false);
  order();
  func::ReturnOp::create(b, loc);
}

static func::FuncOp getCodeProduct(KernelEmitter &e, int64_t rows,
                                   const CodeProductOperands &o) {
  OpBuilder &b = e.b;
  std::string name = "codes_" + std::to_string(rows) + "x" +
                     std::to_string(o.units) + "x" + std::to_string(o.width) +
                     (o.isUnsigned ? "_u8" : "_i8");
  Type index = b.getIndexType(), bytes = memoryType(b.getI8Type()),
       integers = memoryType(b.getI32Type());
  auto [func, fresh] =
      getFunction(e.module(), name,
                  {bytes, index, bytes, index, integers, integers, index});
  if (!fresh)
    return func;
  CodeLoops loops(func, e.target);
  loops.rows = rows, loops.units = o.units, loops.width = o.width;
  loops.isUnsigned = o.isUnsigned;
  loops.run();
  return func;
}

static void multiplyCodes(KernelEmitter &e, const CodeProductOperands &o) {
  LaneBuilder &L = e.L;
  constexpr int64_t most = CodeProductOperands::kMostRows;
  forRowTiles(e, o.rows, most, [&](Value, Value r0, Value tile) {
    forRowCounts(e, tile, most, [&](int64_t count) {
      func::CallOp::create(e.b, L.loc, getCodeProduct(e, count, o),
                           ValueRange{o.codes, L.mul(r0, o.units), o.weight,
                                      o.weightAt, o.partial, o.sums,
                                      L.mul(r0, o.width)});
    });
  });
}

void emitCpuRecurrentKernel(KernelEmitter &e) {
  emitRecurrentKernel(e, kTileRows, multiplyState,
                      hasDotProducts(e.target) ? CodeProduct(multiplyCodes)
                                               : CodeProduct());
}

} // namespace tenon
