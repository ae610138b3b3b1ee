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
// in registers for all rows. Weights that have lists instead are multiplied in
// their order, a loop for each count of groups that are added in i16.
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

/// Groups of a list that are added together, and the fewest that are not so as
/// magnitudes.
constexpr int64_t kMostListed = 4, kFewestWhole = 3;

/// Of a list, that is all columns. Vectors of 512 bits would need lists of
/// more, in which more groups saturate.
int64_t lanesOf(FormatAttr format, const TargetInfo &target) {
  int64_t lanes = target.vectorBits / 32;
  return format.hasLists() && !hasDotProducts(target)
             ? std::min(lanes, kColumnsOfList)
             : lanes;
}

struct DotLoops : Loops {
  DotLoops(func::FuncOp func, const TargetInfo &target, FormatAttr format)
      : Loops(func, target, lanesOf(format, target)), format(format) {}
  FormatAttr format;
  int64_t rows = 0, panels = 0;
  bool fetches = true;
  int64_t size = 1; ///< of an element of B's memory, in bytes
  bool integers = format.isInteger(), exact = hasDotProducts(target);
  bool pairs = integers && !exact && format.getBlock(); ///< sums in i16
  bool lists = pairs && format.hasLists();
  bool widens = integers && !exact && !pairs;
  int64_t group = format.rowsOfGroup();
  int64_t columns = widens ? lanes / 2 : lanes; ///< of a vector of B
  /// Rows of B in a step; of lists the most.
  int64_t unit = lists   ? kMostListed * group
                 : pairs ? format.getBlock()
                         : group;
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
  Value firstFetch(Value panel, Value pass);
  void fetch(Value panel, Value pass, Value k);
  void fetch(Value at);
  void fetchLines(Value at, int64_t p0, int64_t panels);
  void pass(int64_t p0, int64_t panels, int64_t first, int64_t vectors,
            bool accumulate);
  /// Sums of i16 of the products of several bytes with and without a sign.
  Value narrow(ArrayRef<Value> unsignedBytes, ArrayRef<Value> signedBytes);
  SmallVector<Value> addBlock(Value bAt, Value aAt, bool marked,
                              ValueRange sums);
  /// Columns that are multiplied at a time, by all rows.
  struct Part {
    Value number, panel, bAt, marksAt, bits;
  };
  SmallVector<Value> sumOfPairs(const Part &part);
  void addListed(const Part &part, int64_t count, Value aAt, Value list,
                 MutableArrayRef<Value> sums);
  SmallVector<Value> sumOfLists(const Part &part);
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

/// What the first step of a pass over a panel fetches, which begins so far
/// behind the first.
Value DotLoops::firstFetch(Value panel, Value pass) {
  return L.add(L.add(argument(10), panel),
               L.mul(L.mul(pass, L.div(argument(6), unit)), stepOfFetch));
}

/// In the step for row k.
void DotLoops::fetch(Value panel, Value pass, Value k) {
  if (fetches)
    fetch(L.add(firstFetch(panel, pass), L.mul(L.div(k, unit), stepOfFetch)));
}

void DotLoops::fetch(Value at) {
  constexpr int64_t line = 64, few = 3;
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

Value DotLoops::narrow(ArrayRef<Value> unsignedBytes,
                       ArrayRef<Value> signedBytes) {
  StringRef multiply = lanes == 16  ? "llvm.x86.avx512.pmaddubs.w.512"
                       : lanes == 8 ? "llvm.x86.avx2.pmadd.ub.sw"
                                    : "llvm.x86.ssse3.pmadd.ub.sw.128";
  VectorType i16s = vector(b.getI16Type(), lanes * 2);
  Value sum;
  for (auto [x, y] : llvm::zip_equal(unsignedBytes, signedBytes)) {
    Value product = intrinsic(multiply, i16s, {x, y});
    sum = sum ? arith::AddIOp::create(b, loc, sum, product) : product;
  }
  return sum;
}

/// `sums` and what a block adds to them, one for each row by the columns at
/// bAt.
SmallVector<Value> DotLoops::addBlock(Value bAt, Value aAt, bool marked,
                                      ValueRange sums) {
  Value lda = argument(2), A = argument(0), B = argument(3);
  VectorType i16s = vector(b.getI16Type(), lanes * 2);
  int64_t groups = format.getBlock() / group;
  SmallVector<Value> weights;
  for (int64_t g = 0; g < groups; ++g)
    weights.push_back(loadColumns(B, plus(bAt, g * format.bytesOfGroup())));
  Value one = L.constantInt(i16s, 1);
  SmallVector<Value> next(sums);
  for (int64_t r = 0; r < rows; ++r) {
    SmallVector<Value> bytes;
    for (int64_t g = 0; g < groups; ++g) {
      Value from = L.add(plus(aAt, g * group), L.mul(L.index(r), lda));
      bytes.push_back(broadcastGroup(A, from, group, 32, operandType));
    }
    if (!marked) {
      next[r] = addPairs(narrow(bytes, weights), one, next[r]);
      continue;
    }
    Value fifteen = L.constantInt(operandType, 15),
          four = L.constantInt(operandType, 4);
    SmallVector<Value> low, high;
    for (Value x : bytes) {
      low.push_back(L.both(x, fifteen));
      Value upper = arith::ShRUIOp::create(b, loc, x, four);
      high.push_back(L.both(upper, fifteen));
    }
    next[r] = addPairs(narrow(low, weights), one, next[r]);
    next[r] = addPairs(narrow(high, weights), L.constantInt(i16s, 16), next[r]);
  }
  return next;
}

/// All rows by a part of a panel.
SmallVector<Value> DotLoops::sumOfPairs(const Part &part) {
  int64_t block = format.getBlock();
  SmallVector<Value> init(rows, L.constant(sumType, 0));
  return forLoop(
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
          scf::YieldOp::create(
              b, loc, addBlock(at, L.add(argument(1), k), marked, sums));
        }
        return SmallVector<Value>(either.getResults());
      });
}

/// What the groups whose numbers lie at `list` add to `sums`: `count` of them
/// in i16, of magnitudes if they are few (PairSums.h).
void DotLoops::addListed(const Part &part, int64_t count, Value aAt, Value list,
                         MutableArrayRef<Value> sums) {
  bool magnitudes = count < kFewestWhole;
  Value middle = L.constantInt(operandType, -128); // or that without a sign
  SmallVector<Value> weights, turned, from;
  for (int64_t g = 0; g < count; ++g) {
    Value byte = memref::LoadOp::create(b, loc, argument(3), plus(list, g));
    Value number = arith::IndexCastUIOp::create(b, loc, b.getIndexType(), byte);
    from.push_back(L.add(aAt, L.mul(number, group)));
    Value w = loadColumns(
        argument(3), L.add(part.bAt, L.mul(number, format.bytesOfGroup())));
    if (magnitudes) {
      Value sign =
          arith::ShRSIOp::create(b, loc, w, L.constantInt(operandType, 7));
      turned.push_back(arith::XOrIOp::create(b, loc, sign, middle));
      Value mayOverflow = L.constantInt(b.getI1Type(), 0);
      w = intrinsic("llvm.abs", operandType, {w, mayOverflow});
    }
    weights.push_back(w);
  }
  Value one = L.constantInt(vector(b.getI16Type(), lanes * 2), 1), centre;
  if (!magnitudes)
    centre = narrow(SmallVector<Value>(count, middle), weights);
  for (int64_t r = 0; r < rows; ++r) {
    SmallVector<Value> bytes;
    for (int64_t g = 0; g < count; ++g) {
      Value at = L.add(from[g], L.mul(L.index(r), argument(2)));
      Value x = broadcastGroup(argument(0), at, group, 32, operandType);
      bytes.push_back(magnitudes ? arith::XOrIOp::create(b, loc, x, turned[g])
                                 : x);
    }
    Value sum = magnitudes ? narrow(weights, bytes) : narrow(bytes, weights);
    if (centre)
      sum = arith::SubIOp::create(b, loc, sum, centre);
    sums[r] = addPairs(sum, one, sums[r]);
  }
}

/// All rows by the columns of one list, or half of them, of each kRowsOfList
/// rows.
SmallVector<Value> DotLoops::sumOfLists(const Part &part) {
  Value B = argument(3), K = argument(6);
  SmallVector<Value> init(rows, L.constant(sumType, 0));
  init.push_back(fetches ? firstFetch(part.panel, part.number) : L.index(0));
  SmallVector<Value> sums = forLoop(
      L.index(0), K, kRowsOfList, init,
      [&](Value k, ValueRange carried) -> SmallVector<Value> {
        Value listed = L.min(L.sub(K, k), L.index(kRowsOfList));
        Value groups = L.div(plus(listed, group - 1), group);
        Value column = L.mul(part.number, columns);
        Value list = L.add(
            L.add(part.marksAt,
                  L.mul(L.div(k, kRowsOfList), bytesOfLists(kRowsOfList))),
            L.mul(L.div(column, kColumnsOfList), L.add(groups, kListHeader)));
        Part own = part;
        own.bAt = L.add(part.bAt, L.mul(k, format.bytesOfGroup() / group));
        Value first = L.mul(L.rem(column, kColumnsOfList), 4);
        Value start = loadBytes(B, L.add(list, first), sumType);
        SmallVector<Value> next(carried);
        for (Value &sum : MutableArrayRef(next).drop_back())
          sum = arith::AddIOp::create(b, loc, sum, start);
        Value at = plus(list, kListHeader);
        Value end = L.add(at, groups);
        for (int64_t count = kMostListed; count > 0; --count) {
          Value behind = end;
          if (count > 1) {
            Value byte = memref::LoadOp::create(
                b, loc, B, plus(list, kListHeader - count));
            Value times =
                arith::IndexCastUIOp::create(b, loc, b.getIndexType(), byte);
            behind = L.add(at, L.mul(times, count));
          }
          next =
              forLoop(at, behind, count, next,
                      [&](Value at, ValueRange carried) -> SmallVector<Value> {
                        SmallVector<Value> sums(carried);
                        if (fetches)
                          fetch(sums.back());
                        addListed(own, count, L.add(argument(1), k), at,
                                  MutableArrayRef(sums).drop_back());
                        sums.back() = L.add(sums.back(), stepOfFetch);
                        return sums;
                      });
          at = behind;
        }
        return next;
      });
  sums.pop_back();
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
        SmallVector<Value> sums = lists ? sumOfLists(part) : sumOfPairs(part);
        for (auto [r, sum] : llvm::enumerate(sums)) {
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

Value marksOf(LaneBuilder &L, FormatAttr format, Value panel, int64_t K,
              Value k0) {
  Value marks = L.add(panel, format.bytesOfBlock(K) *
                                 llvm::divideCeil(K, format.getBlock()));
  return L.add(marks, format.hasLists() ? L.mul(L.div(k0, kRowsOfList),
                                                bytesOfLists(kRowsOfList))
                                        : L.div(k0, format.getBlock()));
}

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
