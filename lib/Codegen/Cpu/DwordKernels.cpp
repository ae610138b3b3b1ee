//===- DwordKernels.cpp - products of integers and of bf16 ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// B has the rows of a group of a column in a dword: four of integers, two of
// bf16. With dot products (VNNI, AVX512-BF16) a vector is as many columns as it
// has dwords, times a group of A that is broadcast.
//
// Without VNNI multiply-adds of pairs of bytes saturate. Where few blocks of a
// weight can lead there (PairSums.h) its products are added in i16, those of a
// block, and then in i32; a block that is marked is multiplied by the lower and
// the upper halves of A's bytes, which never do. The register tile is one
// vector of columns, so that few blocks have a mark, and a block's weights stay
// in registers for all rows. Sums that wrap are less 128 times the weights,
// which are added once for all rows.
//
// Of other weights A's rows are i16 and vectors of B are widened: multiply-adds
// of pairs of i16 are exact. A dword then holds half of a column's sum; the
// halves meet at the end.
//
// A sum of bf16 products is one chain of groups in order of k, whatever the
// tile or chunk; one of integers has one value.
//
// Meanwhile the tile's share of the panels that come next is fetched, a line or
// some at each step of all passes: of a weight that lies in memory few rows
// wait for it otherwise, about half of their time. Dot products of integers
// take two steps at a time, and fetch no line more often than these: what is
// asked for has to come through the same ports and buffers as the panels at
// hand.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Cpu/FormatKernels.h"
#include "lib/Codegen/Cpu/Loops.h"
#include "lib/Codegen/Form/PairSums.h"
#include "llvm/ADT/bit.h"

using namespace mlir;

namespace tenon {

namespace {

struct DotLoops : Loops {
  DotLoops(func::FuncOp func, const TargetInfo &target, FormatAttr format)
      : Loops(func, target), format(format) {}
  FormatAttr format;
  int64_t rows = 0, panels = 0;
  bool fetches = true;
  int64_t size = 1; ///< of an element of B's memory, in bytes
  bool integers = format.isInteger(), exact = hasDotProducts(target);
  bool pairs = integers && !exact && format.getBlock(); ///< sums in i16
  bool widens = integers && !exact && !pairs;
  int64_t group = format.rowsOfGroup();
  int64_t columns = widens ? lanes / 2 : lanes;     ///< of a vector of B
  int64_t unit = pairs ? format.getBlock() : group; ///< rows of B in a step
  /// Steps that are written out, one after the other.
  int64_t unroll = integers && exact ? 2 : 1;
  /// What so many steps fetch; of a panel, what each pass begins with.
  int64_t passes = 1;
  Value stepOfFetch = {};
  VectorType sumType =
      vector(integers ? Type(b.getI32Type()) : b.getF32Type(), lanes);
  VectorType operandType =
      integers ? vector(b.getIntegerType(widens ? 16 : 8), columns * 4)
               : vector(b.getBF16Type(), columns * 2);

  Value loadColumns(Value B, Value at) {
    if (size > 1)
      return vector::LoadOp::create(b, loc, operandType, B, at);
    if (!widens)
      return loadBytes(B, at, operandType);
    Value bytes = loadBytes(B, at, vector(b.getI8Type(), columns * 4));
    return arith::ExtSIOp::create(b, loc, operandType, bytes);
  }
  Value multiplyAdd(Value a, Value w, Value sum) {
    if (!integers)
      return intrinsic("llvm.x86.avx512bf16.dpbf16ps.512", sumType,
                       {sum, a, w});
    return widens ? addPairs(a, w, sum) : addDots(a, w, sum);
  }
  void planFetches(int64_t passesOfPanel);
  void fetch(Value panel, Value pass, Value k);
  void fetchLines(Value at, int64_t p0, int64_t panels);
  void pass(int64_t p0, int64_t panels, int64_t first, int64_t vectors,
            bool accumulate);
  /// How a block's products are added.
  enum Way { kPlain, kCentred, kHalves };
  SmallVector<Value> addBlock(Value bAt, Value aAt, Way way, ValueRange sums);
  /// Columns that are multiplied at a time, by all rows.
  struct Part {
    Value number, panel, bAt, marksAt, bits;
  };
  SmallVector<Value> sumOfPairs(const Part &part, Way way);
  void passOfPairs(bool accumulate);
  void run(bool accumulate);
};

void DotLoops::planFetches(int64_t passesOfPanel) {
  passes = passesOfPanel;
  // Of fewer rows than a step there may be none at all.
  Value steps =
      L.max(L.mul(L.div(argument(6), unit * unroll), passes), L.index(1));
  stepOfFetch = L.div(L.add(argument(11), L.sub(steps, L.index(1))), steps);
}

/// In `unroll` steps, whose share of each panel begins at `at` in the first.
void DotLoops::fetchLines(Value at, int64_t p0, int64_t panels) {
  constexpr int64_t line = 64, few = 3;
  if (!fetches)
    return;
  auto fetchAt = [&](Value from) {
    for (int64_t p = 0; p < panels; ++p)
      memref::PrefetchOp::create(
          b, loc, argument(3), L.add(from, L.mul(argument(5), p0 + p)),
          /*isWrite=*/false, /*localityHint=*/2, /*isDataCache=*/true);
  };
  fetchAt(at);
  // Where all rows are one tile it fetches all; more have no time for it.
  int64_t lines = rows > few ? unroll : 2 * unroll;
  Value isMore = L.ugt(stepOfFetch, line);
  auto more = scf::IfOp::create(b, loc, isMore, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(more.thenBlock());
  for (int64_t i = 1; i < lines; ++i)
    fetchAt(L.add(at, L.mul(L.div(stepOfFetch, lines), i)));
}

/// In the step for row k of a pass over a panel, which begins so far behind the
/// first.
void DotLoops::fetch(Value panel, Value pass, Value k) {
  constexpr int64_t line = 64, few = 3;
  if (!fetches)
    return;
  Value step = L.add(L.mul(pass, L.div(argument(6), unit)), L.div(k, unit));
  Value at = L.add(L.add(argument(10), panel), L.mul(step, stepOfFetch));
  // Where all rows are one tile it fetches all.
  int64_t bytes =
      rows > few ? line : unit / group * format.bytesOfGroup() / passes;
  for (int64_t i = 0; i < std::max(bytes, line); i += line)
    memref::PrefetchOp::create(b, loc, argument(3), plus(at, i / size),
                               /*isWrite=*/false, /*localityHint=*/2,
                               /*isDataCache=*/true);
}

void DotLoops::pass(int64_t p0, int64_t panels, int64_t first, int64_t vectors,
                    bool accumulate) {
  Value A = argument(0), a0 = argument(1), lda = argument(2), B = argument(3),
        b0 = argument(4), panelStride = argument(5), K = argument(6),
        C = argument(7), c0 = argument(8);
  auto place = [&](int64_t i) {
    int64_t r = i / (panels * vectors), p = i / vectors % panels,
            j = i % vectors;
    return plus(c0,
                ((p0 + p) * rows + r) * kPanelColumns + first + j * columns);
  };
  SmallVector<Value> init;
  for (int64_t i = 0; i < rows * panels * vectors; ++i)
    init.push_back(accumulate && !integers ? Value(vector::LoadOp::create(
                                                 b, loc, sumType, C, place(i)))
                                           : L.constant(sumType, 0));
  auto step = [&](Value k, ValueRange sums) {
    Value at = L.add(b0, L.mul(k, format.bytesOfGroup() / group / size));
    SmallVector<Value> weights, next;
    for (int64_t p = 0; p < panels; ++p)
      for (int64_t j = 0; j < vectors; ++j)
        weights.push_back(
            loadColumns(B, plus(L.add(at, L.mul(panelStride, p0 + p)),
                                4 / size * (first + j * columns))));
    for (int64_t r = 0; r < rows; ++r) {
      Value a = broadcastGroup(A, L.add(L.add(a0, k), L.mul(L.index(r), lda)),
                               group, widens ? 64 : 32, operandType);
      for (Value w : weights)
        next.push_back(multiplyAdd(a, w, sums[next.size()]));
    }
    return next;
  };
  int64_t number = first / (vectors * columns), together = group * unroll;
  Value whole = L.mul(L.div(K, together), together);
  if (unroll > 1)
    init.push_back(L.add(
        argument(10), L.mul(L.mul(L.div(K, together), stepOfFetch), number)));
  SmallVector<Value> sums =
      forLoop(L.index(0), unroll > 1 ? whole : K, together, init,
              [&](Value k, ValueRange carried) -> SmallVector<Value> {
                if (unroll == 1) {
                  for (int64_t p = 0; p < panels; ++p)
                    fetch(L.mul(panelStride, p0 + p), L.index(number), k);
                  return step(k, carried);
                }
                Value at = carried.back();
                fetchLines(at, p0, panels);
                SmallVector<Value> next(carried.drop_back());
                for (int64_t u = 0; u < unroll; ++u)
                  next = step(plus(k, u * group), next);
                next.push_back(L.add(at, stepOfFetch));
                return next;
              });
  if (unroll > 1) {
    sums.pop_back();
    sums = forLoop(whole, K, group, sums, step);
  }
  int64_t apart = widens ? 2 : 1; // vectors of sums for one of columns
  for (int64_t i = 0, e = sums.size(); i < e; i += apart) {
    Value sum = sums[i];
    if (widens)
      sum = addHalves(sums[i], sums[i + 1]);
    if (accumulate && integers)
      sum = arith::AddIOp::create(
          b, loc, sum, vector::LoadOp::create(b, loc, sumType, C, place(i)));
    vector::StoreOp::create(b, loc, sum, C, place(i));
  }
}

/// `sums` and what a block adds to them, one for each row by the columns at
/// bAt; of centred ones the last is what comes off all others.
SmallVector<Value> DotLoops::addBlock(Value bAt, Value aAt, Way way,
                                      ValueRange sums) {
  StringRef multiply = lanes == 16  ? "llvm.x86.avx512.pmaddubs.w.512"
                       : lanes == 8 ? "llvm.x86.avx2.pmadd.ub.sw"
                                    : "llvm.x86.ssse3.pmadd.ub.sw.128";
  Value lda = argument(2), A = argument(0), B = argument(3);
  VectorType i16s = vector(b.getI16Type(), lanes * 2);
  SmallVector<Value> weights;
  for (int64_t g = 0; g < format.getBlock() / group; ++g)
    weights.push_back(loadColumns(B, plus(bAt, g * format.bytesOfGroup())));
  auto narrow = [&](function_ref<Value(int64_t)> bytesOf) {
    Value sum;
    for (auto [g, w] : llvm::enumerate(weights)) {
      Value product = intrinsic(multiply, i16s, {bytesOf(g), w});
      sum = sum ? arith::AddIOp::create(b, loc, sum, product) : product;
    }
    return sum;
  };
  Value one = L.constantInt(i16s, 1), centre;
  SmallVector<Value> next(sums);
  if (way == kCentred) {
    Value middle = L.constantInt(operandType, -128); // without a sign
    centre = narrow([&](int64_t) { return middle; });
    next.back() = addPairs(centre, one, next.back());
  }
  for (int64_t r = 0; r < rows; ++r) {
    auto bytesOf = [&](int64_t g) {
      Value from = L.add(plus(aAt, g * group), L.mul(L.index(r), lda));
      return broadcastGroup(A, from, group, 32, operandType);
    };
    if (way == kHalves) {
      Value fifteen = L.constantInt(operandType, 15),
            four = L.constantInt(operandType, 4);
      Value low =
          narrow([&](int64_t g) { return L.both(bytesOf(g), fifteen); });
      Value high = narrow([&](int64_t g) {
        Value upper = arith::ShRUIOp::create(b, loc, bytesOf(g), four);
        return L.both(upper, fifteen);
      });
      next[r] = addPairs(low, one, next[r]);
      next[r] = addPairs(high, L.constantInt(i16s, 16), next[r]);
      continue;
    }
    Value sum = narrow(bytesOf);
    if (centre)
      sum = arith::SubIOp::create(b, loc, sum, centre);
    next[r] = addPairs(sum, one, next[r]);
  }
  return next;
}

/// All rows by a part of a panel.
SmallVector<Value> DotLoops::sumOfPairs(const Part &part, Way way) {
  int64_t block = format.getBlock();
  SmallVector<Value> init(way == kCentred ? rows + 1 : rows,
                          L.constant(sumType, 0));
  SmallVector<Value> sums = forLoop(
      L.index(0), argument(6), block, init,
      [&](Value k, ValueRange sums) -> SmallVector<Value> {
        fetch(part.panel, part.number, k);
        Value mark = memref::LoadOp::create(
            b, loc, argument(3), L.add(part.marksAt, L.div(k, block)));
        Value isMarked = L.ne(L.both(mark, part.bits), 0);
        auto either =
            scf::IfOp::create(b, loc, sums.getTypes(), isMarked,
                              /*addThenBlock=*/true, /*addElseBlock=*/true);
        for (bool marked : {true, false}) {
          OpBuilder::InsertionGuard guard(b);
          b.setInsertionPointToStart(marked ? either.thenBlock()
                                            : either.elseBlock());
          Value at = L.add(part.bAt, L.mul(k, format.bytesOfGroup() / group));
          scf::YieldOp::create(b, loc,
                               addBlock(at, L.add(argument(1), k),
                                        marked ? kHalves : way, sums));
        }
        return SmallVector<Value>(either.getResults());
      });
  if (way == kCentred) {
    Value less = sums.pop_back_val();
    for (Value &sum : sums)
      sum = arith::AddIOp::create(b, loc, sum, less);
  }
  return sums;
}

/// All panels, with sums of pairs.
void DotLoops::passOfPairs(bool accumulate) {
  Value panelStride = argument(5), C = argument(7);
  int64_t parts = kPanelColumns / columns;
  forLoop(
      L.index(0), L.index(panels * parts), 1, {},
      [&](Value number, ValueRange) -> SmallVector<Value> {
        Value p = L.div(number, parts);
        Part part{L.rem(number, parts), L.mul(panelStride, p), {}, {}, {}};
        part.bAt = L.add(L.add(argument(4), part.panel),
                         L.mul(part.number, 4 * columns));
        part.marksAt = L.add(argument(9), part.panel);
        Value first = arith::IndexCastOp::create(
            b, loc, b.getI8Type(),
            L.div(L.mul(part.number, columns), kMarkedColumns));
        part.bits = arith::ShLIOp::create(
            b, loc,
            L.constantInt(b.getI8Type(),
                          (1 << llvm::divideCeil(columns, kMarkedColumns)) - 1),
            first);
        Value cAt = L.add(L.add(argument(8), L.mul(part.number, columns)),
                          L.mul(L.mul(p, rows), kPanelColumns));
        Value mark = memref::LoadOp::create(b, loc, argument(3), part.marksAt);
        Value isCentred =
            L.ne(L.both(mark, L.constantInt(b.getI8Type(), kCentredMark)), 0);
        auto either = scf::IfOp::create(
            b, loc, SmallVector<Type>(rows, sumType), isCentred,
            /*addThenBlock=*/true, /*addElseBlock=*/true);
        for (Way way : {kCentred, kPlain}) {
          OpBuilder::InsertionGuard guard(b);
          b.setInsertionPointToStart(way == kCentred ? either.thenBlock()
                                                     : either.elseBlock());
          scf::YieldOp::create(b, loc, sumOfPairs(part, way));
        }
        for (auto [r, sum] : llvm::enumerate(either.getResults())) {
          Value at = plus(cAt, r * kPanelColumns);
          Value whole = sum;
          if (accumulate)
            whole = arith::AddIOp::create(
                b, loc, sum, vector::LoadOp::create(b, loc, sumType, C, at));
          vector::StoreOp::create(b, loc, whole, C, at);
        }
        return {};
      });
}

void DotLoops::run(bool accumulate) {
  if (pairs) {
    planFetches(kPanelColumns / columns);
    passOfPairs(accumulate);
    func::ReturnOp::create(b, loc);
    return;
  }
  int64_t ofPanel = kPanelColumns / columns, room = target.numVectorRegs - 4;
  int64_t together = panels;
  while (together > 1 && rows * together * ofPanel > room)
    together /= 2;
  int64_t vectors =
      llvm::bit_floor((uint64_t)std::clamp<int64_t>(room / rows, 2, ofPanel));
  planFetches(kPanelColumns / (vectors * columns));
  for (int64_t p = 0; p < panels; p += together)
    for (int64_t c = 0; c < kPanelColumns; c += vectors * columns)
      pass(p, together, c, vectors, accumulate);
  func::ReturnOp::create(b, loc);
}

func::FuncOp getDotKernel(ModuleOp module, const TargetInfo &target,
                          FormatAttr format, MemRefType memory, int64_t rows,
                          int64_t panels, bool accumulate, bool fetches) {
  MLIRContext *context = module.getContext();
  Type index = IndexType::get(context),
       sum = format.isInteger() ? Type(IntegerType::get(context, 32))
                                : Float32Type::get(context);
  std::string name = format.isInteger() ? "gemm_i8_" : "gemm_bf16_";
  if (format.getBlock() && !hasDotProducts(target))
    name += "b" + std::to_string(format.getBlock()) + "_";
  name += std::to_string(rows) + "x" + std::to_string(panels * kPanelColumns);
  int64_t size = memory.getElementTypeBitWidth() / 8;
  if (size > 1)
    name += "_pairs";
  if (!fetches)
    name += "_alone";
  auto [func, fresh] = getFunction(
      module, name + (accumulate ? "_acc" : ""),
      {memoryType(rowTypeOf(format, target)), index, index, memory, index,
       index, index, memoryType(sum), index, index, index, index});
  if (!fresh)
    return func;
  DotLoops loops(func, target, format);
  loops.rows = rows;
  loops.panels = panels;
  loops.size = size;
  loops.fetches = fetches;
  loops.run(accumulate);
  return func;
}

} // namespace

void emitDotKernel(KernelEmitter &e, Value rows, FormatAttr format,
                   int64_t panels, bool accumulate, ArrayRef<Value> operands,
                   int64_t mostRows, bool fetches) {
  auto module = e.module();
  auto memory = cast<MemRefType>(operands[3].getType());
  callForRows(e, rows, mostRows, operands, [&](int64_t r) {
    return getDotKernel(module, e.target, format, memory, r, panels, accumulate,
                        fetches);
  });
}

} // namespace tenon
