//===- ByteKernels.cpp - products by rows that become integers ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// With codes c of B, less a zero point z and times a scale s for each block and
// column, and integers q of A with a scale t for each block and row:
//
//   C = sum over blocks of s*t * (sum c*q - z * sum q)
//
// The inner sums are exact in i32, with what an integer z takes off, so that a
// conversion and a multiply-add is what is left. With 32 registers up
// to twelve rows are multiplied at once, by one vector of columns, and one row
// by two panels side by side. A dword of B holds the codes of a group of rows
// of one column; a shift and a mask give four bytes of them, every second or
// fourth row, and A's bytes lie in that order.
//
// What multiplies four bytes by four: a dot product (VNNI); of codes of at most
// four bits multiply-adds of pairs of bytes, whose sums have room in i16 for
// eight steps; of codes of eight bits, where these saturate, multiply-adds of
// pairs of i16.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Cpu/FormatKernels.h"
#include "lib/Codegen/Cpu/Loops.h"
#include "lib/Codegen/Cpu/Product.h"
#include "lib/Codegen/Cpu/QuantizedRows.h"
#include "llvm/ADT/bit.h"

using namespace mlir;

namespace tenon {

Type rowTypeOf(FormatAttr format, const TargetInfo &target) {
  MLIRContext *context = format.getContext();
  bool dots = hasDotProducts(target);
  if (format.isInteger())
    return dots || format.getBlock()
               ? IntegerType::get(context, 8, IntegerType::Unsigned)
               : IntegerType::get(context, 16);
  if (format.quantizesRows())
    return IntegerType::get(context, format.getBits() == 8 && !dots ? 16 : 8);
  return roundsToBF16(format) && target.multipliesBF16
             ? Type(IntegerType::get(context, 16))
             : Float32Type::get(context);
}

namespace {

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// Multiply-adds of bytes in i16 that have room: 8 * 2 * 15 * 127 < 2^15.
constexpr int64_t kSteps = 8;

struct ByteLoops : Loops {
  ByteLoops(func::FuncOp func, const TargetInfo &target, FormatAttr format,
            int64_t rows)
      : Loops(func, target), format(format), rows(rows) {}
  FormatAttr format;
  int64_t rows;
  int64_t bits = format.getBits(), group = format.rowsOfGroup();
  int64_t opened = group / 4; ///< fours of rows in a group
  bool dots = hasDotProducts(target), widens = !dots && bits == 8,
       pairs = !dots && bits < 8;
  int64_t parts = widens ? 2 : 1; ///< vectors of sums for one of columns
  int64_t first = 0, vectors = 0; ///< of the columns
  int64_t panels = 1; ///< side by side, their vectors one behind the other
  /// Are the columns of a block met in turn, where registers hold the sums of
  /// all of them? A panel that is walked once comes from memory evenly; the
  /// first of two walks would wait for all of it.
  bool inTurn = format.getBlock() && rows > kTileRows &&
                rows * (kPanelColumns / lanes + 1) <= target.numVectorRegs - 8;
  Type i8 = b.getI8Type(), i16 = b.getI16Type(), i32 = b.getI32Type();
  VectorType i32s = vector(i32, lanes), f32s = vector(b.getF32Type(), lanes),
             i16s = vector(i16, lanes * 2);
  VectorType operandType =
      vector(widens ? i16 : i8, widens ? lanes * 2 : lanes * 4);
  Value A = argument(0), a0 = argument(1), lda = argument(2),
        blocks = argument(6), B = argument(7);

  int64_t column(int64_t j) { return first + j * lanes; }
  int64_t ofPanel() { return vectors / panels; }
  bool isWhole() { return ofPanel() * lanes == kPanelColumns; }
  /// Of many rows: where later panels lie of which bytes are fetched, so many.
  bool many = false;
  Value panelAt(Value at, int64_t p) {
    return p ? L.add(at, L.mul(argument(many ? 13 : 11), p)) : at;
  }
  Value columnAt(Value at, int64_t j, int64_t bytes) {
    return plus(panelAt(at, j / ofPanel()), column(j % ofPanel()) * bytes);
  }
  Value spread(Type type, Value x) {
    return vector::BroadcastOp::create(b, loc, type, x);
  }
  SmallVector<Value> codes(Value at);
  Value open(Value codes, int64_t step);
  SumKind kind = kindOfSums(format, target, /*opened=*/false);
  /// Do sums begin with what comes off? Many rows have no registers for it.
  bool begins =
      kind == SumKind::start || (kind == SumKind::pair && rows <= kTileRows);
  Value addZeros(Value zeros, Value rowSum, Value sum);
  Value loadZeros(Value bAt, int64_t j);
  SmallVector<Value> starts(ValueRange rowSums, ValueRange zeros);
  void addGroup(Value bAt, Value aAt, Value number,
                SmallVectorImpl<Value> &sums, SmallVectorImpl<Value> &inPairs);
  SmallVector<Value> sums(Value bAt, Value aAt, ValueRange starts);
  SmallVector<Value> sumsOfMany(Value bAt, Value aAt, ValueRange starts);
  SmallVector<Value> block(Value number, Value bAt, ValueRange carried);
  void run();
};

/// Of all columns; widened, two vectors for each of columns.
SmallVector<Value> ByteLoops::codes(Value at) {
  SmallVector<Value> all;
  for (int64_t j = 0; j < vectors; ++j)
    for (int64_t part = 0; part < parts; ++part) {
      Value place = plus(columnAt(at, j, 4), part * lanes * 2);
      if (widens) {
        Value bytes = loadBytes(B, place, vector(i8, lanes * 2));
        all.push_back(arith::ExtUIOp::create(b, loc, operandType, bytes));
      } else {
        all.push_back(loadBytes(B, place, bits == 8 ? operandType : i32s));
      }
    }
  return all;
}

/// The step's four rows of codes.
Value ByteLoops::open(Value codes, int64_t step) {
  if (bits == 8)
    return codes;
  if (step > 0)
    codes =
        arith::ShRUIOp::create(b, loc, codes, L.constantInt(i32s, step * bits));
  codes = L.both(codes, L.constantInt(i32s, ((1 << bits) - 1) * 0x01010101));
  return vector::BitCastOp::create(b, loc, operandType, codes);
}

/// The zero points of a vector of columns, integers or f32.
Value ByteLoops::loadZeros(Value bAt, int64_t j) {
  Value at = plus(bAt, format.bytesOfScales());
  if (kind == SumKind::number)
    return loadFloats(B, columnAt(at, j, 4), b.getF32Type());
  Value bytes = loadBytes(B, columnAt(at, j, 1), vector(i8, lanes));
  return arith::ExtUIOp::create(b, loc, i32s, bytes);
}

/// `sum` and zero points times the sum of a row that is less than zero.
Value ByteLoops::addZeros(Value zeros, Value rowSum, Value sum) {
  auto inPairs = [&](Value v) {
    return vector::BitCastOp::create(b, loc, i16s, v);
  };
  return addPairs(inPairs(zeros), inPairs(rowSum), sum);
}

/// What the sums of a block begin with: [rows][vectors][parts].
SmallVector<Value> ByteLoops::starts(ValueRange rowSums, ValueRange zeros) {
  SmallVector<Value> all;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < vectors * parts; ++j) {
      Value start = L.constantInt(i32s, 0);
      if (kind == SumKind::start)
        start = rowSums[r];
      else if (begins)
        start = addZeros(zeros[j], rowSums[r], start);
      all.push_back(start);
    }
  return all;
}

/// To sums, or where these are pairs to those in i16, the products of a group.
void ByteLoops::addGroup(Value bAt, Value aAt, Value number,
                         SmallVectorImpl<Value> &sums,
                         SmallVectorImpl<Value> &inPairs) {
  StringRef multiply = lanes == 16  ? "llvm.x86.avx512.pmaddubs.w.512"
                       : lanes == 8 ? "llvm.x86.avx2.pmadd.ub.sw"
                                    : "llvm.x86.ssse3.pmadd.ub.sw.128";
  SmallVector<Value> found =
      codes(L.add(bAt, L.mul(number, format.bytesOfGroup())));
  for (int64_t step = 0; step < opened; ++step) {
    SmallVector<Value> weights;
    for (Value code : found)
      weights.push_back(open(code, step));
    Value from = plus(L.add(aAt, L.mul(number, group)), 4 * step);
    for (int64_t r = 0; r < rows; ++r) {
      Value a = broadcastGroup(A, L.add(from, L.mul(L.index(r), lda)), 4,
                               widens ? 64 : 32, operandType);
      for (auto [j, w] : llvm::enumerate(weights)) {
        size_t i = r * weights.size() + j;
        if (!pairs) {
          sums[i] = widens ? addPairs(a, w, sums[i]) : addDots(w, a, sums[i]);
          continue;
        }
        Value sum = intrinsic(multiply, i16s, {w, a});
        inPairs[i] = inPairs[i] ? L.add(inPairs[i], sum) : sum;
      }
    }
  }
}

/// Whole columns times many rows. Their panels come from the second cache; a
/// line of what comes next is fetched for each two groups.
SmallVector<Value> ByteLoops::sumsOfMany(Value bAt, Value aAt,
                                         ValueRange starts) {
  constexpr int64_t together = 2;
  Value groups = L.div(lda, group), times = L.div(groups, together);
  Value share = L.div(argument(12), L.max(times, 1));
  SmallVector<Value> init(starts), none;
  init.push_back(argument(11));
  auto add = [&](Value number, ValueRange carried) {
    SmallVector<Value> next(carried);
    addGroup(bAt, aAt, number, next, none);
    return next;
  };
  Value whole = L.mul(times, together);
  SmallVector<Value> found = forLoop(
      L.index(0), whole, together, init, [&](Value number, ValueRange carried) {
        Value at = carried.back();
        for (int64_t p = 0; p < panels; ++p)
          fetchLater(B, panelAt(at, p), 1);
        SmallVector<Value> next = add(number, carried.drop_back());
        next = add(plus(number, 1), next);
        next.push_back(L.add(at, share));
        return next;
      });
  found.pop_back();
  return forLoop(whole, groups, 1, found, add);
}

/// Of codes times integers of one block: [rows][vectors].
SmallVector<Value> ByteLoops::sums(Value bAt, Value aAt, ValueRange starts) {
  int64_t size = format.getBlock();
  // Groups whose sums meet in i16.
  int64_t together =
      pairs && size ? std::min(kSteps / opened, size / group) : 1;
  Value end = size ? L.index(size / group) : L.div(lda, group);
  bool fetches = first == 0 && (!size || isWhole());
  SmallVector<Value> found = forLoop(
      L.index(0), end, together, starts, [&](Value number, ValueRange carried) {
        SmallVector<Value> next(carried), inPairs(next.size());
        Value groupAt = L.add(bAt, L.mul(number, format.bytesOfGroup()));
        for (int64_t p = 0; p < panels && fetches; ++p)
          fetchAhead(B, panelAt(groupAt, p), together * format.bytesOfGroup());
        if (inTurn)
          fetchAhead(B, columnAt(groupAt, 0, 4), 4 * lanes);
        for (int64_t g = 0; g < together; ++g)
          addGroup(bAt, aAt, plus(number, g), next, inPairs);
        for (size_t i = 0; pairs && i < next.size(); ++i)
          next[i] = addPairs(inPairs[i], L.constantInt(i16s, 1), next[i]);
        return next;
      });
  if (!widens)
    return found;
  SmallVector<Value> whole;
  for (size_t i = 0; i < found.size(); i += 2)
    whole.push_back(addHalves(found[i], found[i + 1]));
  return whole;
}

/// What a block adds to `carried`.
SmallVector<Value> ByteLoops::block(Value number, Value bAt,
                                    ValueRange carried) {
  int64_t size = format.getBlock();
  Value aAt = L.add(a0, L.mul(number, size));
  // Where a panel is walked several times, each fetches as much of the next one
  // as it has columns.
  if (inTurn) {
    int64_t bytes = format.bytesOfHeader() / 2;
    fetchAhead(B, plus(bAt, first ? bytes : 0), bytes);
  } else if (size && !isWhole()) {
    int64_t bytes = format.bytesOfBlock(size), ofColumn = bytes / kPanelColumns;
    Value next = L.add(bAt, L.mul(blocks, bytes));
    fetchLater(B, plus(next, first * ofColumn), ofColumn * vectors * lanes);
  }
  for (int64_t p = 0; p < panels && size && isWhole(); ++p)
    fetchAhead(B, panelAt(bAt, p), format.bytesOfHeader());
  // What the sums do not begin with is loaded behind them: registers are few.
  SmallVector<Value> zeros, rowSums, next;
  Value rowAt = L.add(argument(5), number);
  auto ofRow = [&](unsigned memory, int64_t r) -> Value {
    return memref::LoadOp::create(b, loc, argument(memory),
                                  L.add(rowAt, L.mul(blocks, r)));
  };
  auto loadSums = [&] {
    for (int64_t j = 0; j < vectors && format.getZero(); ++j)
      zeros.push_back(loadZeros(bAt, j));
    for (int64_t r = 0; r < rows; ++r) {
      Value sum = ofRow(4, r);
      if (kind == SumKind::number)
        sum = arith::BitcastOp::create(b, loc, b.getF32Type(), sum);
      else if (kind == SumKind::plain && zeros.empty())
        sum = arith::MulIOp::create(b, loc, sum,
                                    L.constantInt(i32, 1 << (bits - 1)));
      rowSums.push_back(spread(sum.getType().isF32() ? f32s : i32s, sum));
    }
  };
  if (begins)
    loadSums();
  Value groupsAt = plus(bAt, format.bytesOfHeader());
  SmallVector<Value> init = starts(rowSums, zeros);
  SmallVector<Value> found =
      many ? sumsOfMany(groupsAt, aAt, init) : sums(groupsAt, aAt, init);
  if (!begins)
    loadSums();
  SmallVector<Value> scales;
  for (int64_t j = 0; j < vectors; ++j) {
    Type type = format.getScale();
    scales.push_back(loadFloats(
        B, columnAt(bAt, j, type.getIntOrFloatBitWidth() / 8), type));
  }
  for (int64_t r = 0; r < rows; ++r) {
    Value rowScale = spread(f32s, ofRow(3, r));
    for (int64_t j = 0; j < vectors; ++j) {
      Value product = found[next.size()];
      if (kind == SumKind::plain) {
        Value less = rowSums[r];
        if (!zeros.empty())
          less = arith::MulIOp::create(b, loc, zeros[j], less);
        product = arith::SubIOp::create(b, loc, product, less);
      }
      if (kind == SumKind::pair && !begins)
        product = addZeros(zeros[j], rowSums[r], product);
      product = arith::SIToFPOp::create(b, loc, f32s, product);
      if (kind == SumKind::number)
        product =
            fma(arith::NegFOp::create(b, loc, zeros[j]), rowSums[r], product);
      Value both = arith::MulFOp::create(b, loc, scales[j], rowScale);
      next.push_back(fma(product, both, carried[next.size()]));
    }
  }
  return next;
}

void ByteLoops::run() {
  Value bAt = argument(8), C = argument(9), c0 = argument(10);
  int64_t most = kPanelColumns / lanes, room = target.numVectorRegs - 4;
  vectors = llvm::bit_floor(
      (uint64_t)std::clamp<int64_t>(room / (rows * (widens ? 3 : 2)), 1, most));
  if (rows > kTileRows)
    vectors = 1;
  if (panels > 1)
    vectors = most * panels;
  int64_t step = ofPanel() * lanes;
  auto walk = [&](ArrayRef<int64_t> columns) {
    size_t some = rows * vectors;
    SmallVector<Value> sums(some * columns.size(), L.constant(f32s, 0));
    auto each = [&](Value number, Value at, ValueRange carried) {
      SmallVector<Value> next;
      for (auto [i, column] : llvm::enumerate(columns)) {
        first = column;
        llvm::append_range(next,
                           block(number, at, carried.slice(i * some, some)));
      }
      return next;
    };
    if (int64_t size = format.getBlock())
      sums = forLoop(L.index(0), blocks, 1, sums,
                     [&](Value number, ValueRange carried) {
                       Value at = L.mul(number, format.bytesOfBlock(size));
                       return each(number, L.add(bAt, at), carried);
                     });
    else
      sums = each(L.index(0), bAt, sums);
    for (auto [i, sum] : llvm::enumerate(sums)) {
      first = columns[i / some];
      int64_t r = i % some / vectors, panel = i % vectors / ofPanel();
      vector::StoreOp::create(
          b, loc, sum, C,
          plus(c0, (panel * rows + r) * kPanelColumns + column(i % ofPanel())));
    }
  };
  SmallVector<int64_t> all;
  for (int64_t column = 0; column < kPanelColumns; column += step)
    all.push_back(column);
  if (inTurn)
    walk(all);
  else
    llvm::for_each(all, [&](int64_t column) { walk(column); });
  func::ReturnOp::create(b, loc);
}

/// Of one panel, or two that lie so far apart as a last argument says; of many
/// rows with what is fetched before that.
func::FuncOp getByteKernel(ModuleOp module, const TargetInfo &target,
                           FormatAttr format, int64_t rows, int64_t panels,
                           bool many) {
  MLIRContext *context = module.getContext();
  Type index = IndexType::get(context), f32 = Float32Type::get(context),
       i8 = IntegerType::get(context, 8), i32 = IntegerType::get(context, 32);
  std::string name = "gemm_" + nameOf(format) + "_" + std::to_string(rows);
  SmallVector<Type> types{memoryType(rowTypeOf(format, target)),
                          index,
                          index,
                          memoryType(f32),
                          memoryType(i32),
                          index,
                          index,
                          memoryType(i8),
                          index,
                          memoryType(f32),
                          index};
  if (many)
    types.append({index, index});
  if (panels > 1) {
    name += "x" + std::to_string(panels * kPanelColumns);
    types.push_back(index);
  }
  auto [func, fresh] =
      getFunction(module, name + (many ? "_of_many" : ""), types);
  if (!fresh)
    return func;
  ByteLoops loops(func, target, format, rows);
  loops.panels = panels;
  loops.many = many;
  loops.run();
  return func;
}

} // namespace

int64_t mostByteRows(const TargetInfo &target) {
  // Integers and floats of twelve rows by one vector leave registers for it.
  return target.numVectorRegs == 32 && hasDotProducts(target) ? 2 * kTileRows
                                                              : kTileRows;
}

bool joinsPanels(FormatAttr format, const TargetInfo &target) {
  return !format.getBlock() && target.vectorBits == 512 &&
         hasDotProducts(target);
}

void emitByteKernel(KernelEmitter &e, Value rows, FormatAttr format,
                    int64_t panels, Value apart, ArrayRef<Value> operands,
                    Value next, Value bytes) {
  auto module = e.module();
  bool joins = joinsPanels(format, e.target), many = joins && next;
  SmallVector<Value> all(operands);
  if (many)
    all.append({next, bytes});
  callForPanels(e, rows, many ? kTileRows : mostByteRows(e.target),
                {panels, apart, /*bAt=*/8, /*cAt=*/10, joins ? kTileRows : 1},
                all, [&](int64_t r, int64_t together) {
                  return getByteKernel(module, e.target, format, r, together,
                                       many);
                });
}

} // namespace tenon
