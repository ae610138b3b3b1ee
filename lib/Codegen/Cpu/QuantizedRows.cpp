//===- QuantizedRows.cpp - rows that become integers ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A function makes one row integers: of each block the largest magnitude, m, a
// scale m/127, and x * (127/m) to the nearest integer. Where blocks are short
// four of them are met at once, so that what combines the lanes of a maximum,
// or of a sum, and divisions, are one for all four. Bytes are narrowed four
// vectors at a time, by instructions that saturate, which no integer here
// needs.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/QuantizedRows.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Cpu/FormatKernels.h"
#include "lib/Codegen/Cpu/Loops.h"
#include "lib/Codegen/Cpu/Product.h"
#include "llvm/ADT/bit.h"
#include <limits>

using namespace mlir;

namespace tenon {

SumKind kindOfSums(FormatAttr format, const TargetInfo &target, bool opened) {
  if (format.getZero() &&
      (format.getZero().isF32() || (opened && format.getBits() == 8)))
    return SumKind::number;
  // Two vectors of sums for one of columns: the block ends with its zero
  // points.
  if (format.getBits() == 8 && !hasDotProducts(target))
    return SumKind::plain;
  if (!format.getZero())
    return SumKind::start;
  constexpr int64_t most = 256; // times 127 are inside i16
  bool fits = format.getBlock() && format.getBlock() <= most;
  // With 16 registers they are as many operations at the end of a block.
  return fits && hasDotProducts(target) ? SumKind::pair : SumKind::plain;
}

namespace {

//===----------------------------------------------------------------------===//
// One row
//===----------------------------------------------------------------------===//

struct RowQuantizer : Loops {
  RowQuantizer(func::FuncOp func, const TargetInfo &target, FormatAttr format,
               bool opened)
      : Loops(func, target), format(format), opened(opened) {}
  FormatAttr format;
  bool opened; ///< are the panels that the row meets?
  SumKind kind = kindOfSums(format, target, opened);
  bool needsSums = !opened || kind == SumKind::number;
  Type i32 = b.getI32Type(), f32 = b.getF32Type();
  VectorType i32s = vector(i32, lanes), f32s = vector(f32, lanes);
  Value X = argument(0), x0 = argument(1), K = argument(2), A = argument(3),
        a0 = argument(4), scales = argument(5), sums = argument(6),
        at = argument(7);
  Type element = cast<MemRefType>(A.getType()).getElementType();

  /// Vectors that are narrowed at once, where the level has instructions for
  /// it, and blocks that are met at once, if they have no more than `most`
  /// vectors each.
  static constexpr int64_t kTogether = 4, most = 8;
  bool narrows = lanes >= 8;
  int64_t size = format.getBlock(), vectors = size / lanes; ///< of a block
  bool together = size && vectors <= most;

  Value load(Value k) {
    return vector::LoadOp::create(b, loc, f32s, X, L.add(x0, k));
  }
  Type alike(Type element, Value v) {
    auto type = dyn_cast<VectorType>(v.getType());
    return type ? Type(type.clone(element)) : element;
  }
  Value largerMagnitude(Value most, Value x);
  Value nearest(Value x, Value inverses) {
    return intrinsic("llvm.lrint", i32s, L.mul(x, inverses));
  }
  using Body = function_ref<Value(Value k, ArrayRef<Value> numbers, Value mask,
                                  Value carried)>;
  Value walk(Value begin, Value end, Body body);
  void narrow(ArrayRef<Value> q, Value k);
  void put(ArrayRef<Value> q, Value k, Value mask);
  std::pair<Value, Value> scaleOf(Value largest);
  Value combine(ArrayRef<Value> vectors,
                function_ref<Value(Value, Value)> both);
  Value kept(Value sum);
  void four(Value begin);
  void one(Value begin, Value end, Value number);
  void order(Value begin, Value end);
  void fill();
  void run();
};

/// Of numbers without their sign the bits are in the same order; a NaN's are
/// above infinity's.
Value RowQuantizer::largerMagnitude(Value most, Value x) {
  Value magnitude =
      L.both(arith::BitcastOp::create(b, loc, i32s, x),
             L.constantInt(i32s, std::numeric_limits<int32_t>::max()));
  return arith::MaxSIOp::create(b, loc, most, magnitude);
}

/// Four vectors of [begin, end) at a time, one, and the last with zeros behind
/// the end.
Value RowQuantizer::walk(Value begin, Value end, Body body) {
  Value carried = L.constantInt(i32s, 0);
  auto whole = [&](Value from, int64_t count) {
    int64_t step = count * lanes;
    Value to = L.add(from, L.mul(L.div(L.sub(end, from), step), step));
    carried = forLoop(from, to, step, carried,
                      [&](Value k, ValueRange carried) -> SmallVector<Value> {
                        SmallVector<Value> numbers;
                        for (int64_t i = 0; i < count; ++i)
                          numbers.push_back(load(plus(k, i * lanes)));
                        return {body(k, numbers, {}, carried[0])};
                      })[0];
    return to;
  };
  Value rest = whole(whole(begin, kTogether), 1);
  return forLoop(
      rest, end, lanes, carried,
      [&](Value k, ValueRange carried) -> SmallVector<Value> {
        auto bits = vector(b.getI1Type(), lanes);
        Value mask = vector::CreateMaskOp::create(b, loc, bits, L.sub(end, k));
        Value x = vector::MaskedLoadOp::create(b, loc, f32s, X, L.add(x0, k),
                                               mask, L.constant(f32s, 0));
        return {body(k, x, mask, carried[0])};
      })[0];
}

/// Four vectors in 16 bits, or as bytes in the order in which codes are opened.
void RowQuantizer::narrow(ArrayRef<Value> q, Value k) {
  bool wide = lanes == 16;
  VectorType bytes = vector(b.getI8Type(), 4 * lanes),
             halves = vector(b.getI16Type(), 2 * lanes);
  StringRef toHalves =
      wide ? "llvm.x86.avx512.packssdw.512" : "llvm.x86.avx2.packssdw";
  StringRef toBytes =
      wide ? "llvm.x86.avx512.packsswb.512" : "llvm.x86.avx2.packsswb";
  Value low = intrinsic(toHalves, halves, {q[0], q[1]});
  Value high = intrinsic(toHalves, halves, {q[2], q[3]});
  // Each 128 bits have four numbers of each of so many vectors.
  auto inOrder = [&](Value packed, int64_t count) -> Value {
    VectorType type = cast<VectorType>(packed.getType());
    VectorType fours = vector(b.getIntegerType(128 / count), lanes * count / 4);
    SmallVector<int64_t> from;
    for (int64_t i = 0; i < count; ++i)
      for (int64_t part = 0; part < lanes / 4; ++part)
        from.push_back(part * count + i);
    packed = vector::BitCastOp::create(b, loc, fours, packed);
    packed = vector::ShuffleOp::create(b, loc, packed, packed, from);
    return vector::BitCastOp::create(b, loc, type, packed);
  };
  Value to = L.add(a0, k);
  if (element.isInteger(16)) {
    vector::StoreOp::create(b, loc, inOrder(low, 2), A, to);
    vector::StoreOp::create(b, loc, inOrder(high, 2), A, plus(to, 2 * lanes));
    return;
  }
  Value all = inOrder(intrinsic(toBytes, bytes, {low, high}), kTogether);
  SmallVector<int64_t> places;
  int64_t group = format.rowsOfGroup(), apart = group / 4;
  for (int64_t i = 0; i < 4 * lanes; ++i)
    places.push_back(i / group * group + i % 4 * apart + i % group / 4);
  if (format.getBits() < 8)
    all = vector::ShuffleOp::create(b, loc, all, all, places);
  if (opened)
    all = L.add(all, L.constantInt(bytes, -kUnsigned));
  vector::StoreOp::create(b, loc, all, A, to);
}

/// Integers from element k on; those of single vectors wait for their order.
void RowQuantizer::put(ArrayRef<Value> q, Value k, Value mask) {
  if (narrows && q.size() == kTogether)
    return narrow(q, k);
  for (auto [i, integers] : llvm::enumerate(q)) {
    Value x = opened ? L.add(integers, kUnsigned) : integers;
    Value stored = arith::TruncIOp::create(b, loc, vector(element, lanes), x);
    Value to = L.add(a0, plus(k, i * lanes));
    // A row without blocks ends with a group, behind which the next begins.
    if (mask && !size)
      vector::MaskedStoreOp::create(b, loc, A, to, mask, stored);
    else
      vector::StoreOp::create(b, loc, stored, A, to);
  }
}

/// Of a largest magnitude as its bits, or several.
std::pair<Value, Value> RowQuantizer::scaleOf(Value largest) {
  Type floats = alike(f32, largest);
  auto constant = [&](float value) { return L.constant(floats, value); };
  auto bits = [&](float value) {
    return L.constantInt(largest.getType(), llvm::bit_cast<int32_t>(value));
  };
  Value finite = L.slt(largest, bits(std::numeric_limits<float>::infinity()));
  Value counts = L.both(finite, L.sge(largest, bits(0x1p-100f)));
  Value m = arith::BitcastOp::create(b, loc, floats, largest);
  auto ratio = [&](Value x, Value y, Value otherwise) {
    return L.select(counts, arith::DivFOp::create(b, loc, x, y), otherwise);
  };
  Value inverse = ratio(constant(127), m, constant(0));
  Value none = L.select(finite, constant(0),
                        constant(std::numeric_limits<float>::quiet_NaN()));
  return {ratio(m, constant(127), none), inverse};
}

/// Of each of four vectors what its lanes combine to.
Value RowQuantizer::combine(ArrayRef<Value> vectors,
                            function_ref<Value(Value, Value)> both) {
  // Of each four lanes of x, and of y.
  auto pick = [&](Value x, Value y, std::array<int64_t, 4> of) {
    SmallVector<int64_t> from;
    for (int64_t quad = 0; quad < lanes; quad += 4)
      for (int64_t i : of)
        from.push_back(i < 4 ? quad + i : lanes + quad + i - 4);
    return vector::ShuffleOp::create(b, loc, x, y, from).getResult();
  };
  auto pair = [&](Value x, Value y, std::array<int64_t, 4> low,
                  std::array<int64_t, 4> high) {
    return both(pick(x, y, low), pick(x, y, high));
  };
  Value x = pair(vectors[0], vectors[1], {0, 4, 1, 5}, {2, 6, 3, 7});
  Value y = pair(vectors[2], vectors[3], {0, 4, 1, 5}, {2, 6, 3, 7});
  Value all = pair(x, y, {0, 1, 4, 5}, {2, 3, 6, 7});
  for (int64_t width = lanes / 2; width >= kTogether; width /= 2) {
    auto half = [&](int64_t from) {
      return vector::ExtractStridedSliceOp::create(b, loc, all, {from}, {width},
                                                   {1})
          .getResult();
    };
    all = both(half(0), half(width));
  }
  return all;
}

Value RowQuantizer::kept(Value sum) {
  switch (kind) {
  case SumKind::plain:
    return sum;
  case SumKind::start:
    return L.mul(sum, -(1 << (format.getBits() - 1)));
  case SumKind::pair:
    return L.both(L.mul(sum, -1), L.like(sum, 0xffff));
  case SumKind::number: {
    Value number = arith::SIToFPOp::create(b, loc, alike(f32, sum), sum);
    return arith::BitcastOp::create(b, loc, sum.getType(), number);
  }
  }
  llvm_unreachable("a kind");
}

/// Four whole blocks.
void RowQuantizer::four(Value begin) {
  auto each = [&](function_ref<void(int64_t, Value)> fn) {
    for (int64_t i = 0; i < kTogether * vectors; ++i)
      fn(i / vectors, load(plus(begin, i * lanes)));
  };
  SmallVector<Value> largest(kTogether, L.constantInt(i32s, 0)),
      found = largest, inverses;
  each([&](int64_t block, Value x) {
    largest[block] = largerMagnitude(largest[block], x);
  });
  auto [scale, inverse] = scaleOf(combine(largest, [&](Value x, Value y) {
    return arith::MaxSIOp::create(b, loc, x, y).getResult();
  }));
  Value place = L.add(at, L.div(begin, size));
  vector::StoreOp::create(b, loc, scale, scales, place);
  for (int64_t i = 0; i < kTogether; ++i) {
    Value own =
        vector::ExtractOp::create(b, loc, inverse, ArrayRef<int64_t>{i});
    inverses.push_back(vector::BroadcastOp::create(b, loc, f32s, own));
  }
  SmallVector<Value> integers;
  each([&](int64_t block, Value x) {
    Value q = nearest(x, inverses[block]);
    found[block] = L.add(found[block], q);
    integers.push_back(q);
  });
  for (int64_t i = 0; i < kTogether * vectors; i += kTogether)
    put(ArrayRef(integers).slice(i, kTogether), plus(begin, i * lanes), {});
  if (!narrows && format.getBits() < 8)
    order(begin, plus(begin, kTogether * size));
  if (!needsSums)
    return;
  Value sum = combine(found, [&](Value x, Value y) { return L.add(x, y); });
  vector::StoreOp::create(b, loc, kept(sum), sums, place);
}

/// The block [begin, end), or the row.
void RowQuantizer::one(Value begin, Value end, Value number) {
  Value largest =
      walk(begin, end, [&](Value, ArrayRef<Value> numbers, Value, Value most) {
        for (Value x : numbers)
          most = largerMagnitude(most, x);
        return most;
      });
  auto [scale, inverse] = scaleOf(vector::ReductionOp::create(
      b, loc, vector::CombiningKind::MAXSI, largest));
  Value place = L.add(at, number);
  memref::StoreOp::create(b, loc, scale, scales, place);
  Value inverses = vector::BroadcastOp::create(b, loc, f32s, inverse);
  Value sum = walk(
      begin, end, [&](Value k, ArrayRef<Value> numbers, Value mask, Value sum) {
        SmallVector<Value> integers;
        for (Value x : numbers) {
          integers.push_back(nearest(x, inverses));
          sum = L.add(sum, integers.back());
        }
        put(integers, k, mask);
        return sum;
      });
  int64_t step = kTogether * lanes;
  Value narrowed = begin;
  if (narrows)
    narrowed = L.add(begin, L.mul(L.div(L.sub(end, begin), step), step));
  if (format.getBits() < 8)
    order(narrowed, end);
  if (!needsSums)
    return;
  sum = vector::ReductionOp::create(b, loc, vector::CombiningKind::ADD, sum);
  memref::StoreOp::create(b, loc, kept(sum), sums, place);
}

/// Puts the bytes of each group in the order in which codes are opened.
void RowQuantizer::order(Value begin, Value end) {
  int64_t group = format.rowsOfGroup(), apart = group / 4;
  SmallVector<int64_t> from;
  for (int64_t i = 0; i < group; ++i)
    from.push_back(i % 4 * apart + i / 4);
  VectorType bytes = vector(b.getI8Type(), group);
  forLoop(begin, end, group, {}, [&](Value k, ValueRange) {
    Value at = L.add(a0, k);
    Value x = vector::LoadOp::create(b, loc, bytes, A, at);
    vector::StoreOp::create(
        b, loc, vector::ShuffleOp::create(b, loc, x, x, from), A, at);
    return SmallVector<Value>{};
  });
}

/// Opened panels have numbers behind the last row: these meet zeros.
void RowQuantizer::fill() {
  auto alignTo = [&](int64_t n) { return L.mul(L.div(plus(K, n - 1), n), n); };
  Value zero = L.constantInt(vector(b.getI8Type(), lanes), -kUnsigned);
  forLoop(alignTo(lanes), alignTo(size), lanes, {}, [&](Value k, ValueRange) {
    vector::StoreOp::create(b, loc, zero, A, L.add(a0, k));
    return SmallVector<Value>{};
  });
}

void RowQuantizer::run() {
  // Before the groups that it ends are put in order.
  if (opened)
    fill();
  if (!size) {
    one(L.index(0), K, L.index(0));
    func::ReturnOp::create(b, loc);
    return;
  }
  Value begin = L.index(0);
  auto blocks = [&](int64_t count, function_ref<void(Value)> fn) {
    int64_t step = count * size;
    Value end = L.mul(L.div(K, step), step);
    forLoop(begin, end, step, {}, [&](Value k, ValueRange) {
      fn(k);
      return SmallVector<Value>{};
    });
    begin = end;
  };
  if (together)
    blocks(kTogether, [&](Value k) { four(k); });
  // Whole blocks have no loops inside.
  blocks(1, [&](Value k) { one(k, plus(k, size), L.div(k, size)); });
  forLoop(begin, K, size, {}, [&](Value k, ValueRange) {
    one(k, K, L.div(k, size));
    return SmallVector<Value>{};
  });
  func::ReturnOp::create(b, loc);
}

/// func(X, xAt, K, A, aAt, scales, sums, at): the row at X as integers at aAt,
/// with the scale and the sum of each block from `at` on. Beside `opened`
/// panels as bytes without a sign, kUnsigned more than they are, and with sums
/// where these are needed.
func::FuncOp getRowQuantizer(ModuleOp module, const TargetInfo &target,
                             FormatAttr format, bool opened) {
  MLIRContext *context = module.getContext();
  Type index = IndexType::get(context), f32 = Float32Type::get(context),
       i32 = IntegerType::get(context, 32);
  // Nothing of the codes but how many a byte holds, and what their zero points
  // are multiplied by.
  static constexpr StringRef ofKind[] = {"", "_start", "_pair", "_number"};
  auto [func, fresh] = getFunction(
      module,
      "quantize_u" + std::to_string(format.getBits()) + "_b" +
          std::to_string(format.getBlock()) + (opened ? "_opened" : "") +
          ofKind[int(kindOfSums(format, target, opened))].str(),
      {memoryType(f32), index, index, memoryType(rowTypeOf(format, target)),
       index, memoryType(f32), memoryType(i32), index});
  if (fresh)
    RowQuantizer(func, target, format, opened).run();
  return func;
}

SymExpr ceilDiv(const SymExpr &x, const SymExpr &y) {
  return SymExpr::apply(SymExpr::Fn::CeilDiv, x, y);
}

/// As many bytes, of which the next part begins a line.
SymExpr wholeLines(const SymExpr &bytes) { return ceilDiv(bytes, 64) * 64; }

} // namespace

//===----------------------------------------------------------------------===//
// The rows of a kernel
//===----------------------------------------------------------------------===//

QuantizedRows::QuantizedRows(KernelEmitter &e, PackedMatMulOp op)
    : e(e), lhs(op.getLhs()), format(op.getFormatAttr()), dims(getDims(lhs)),
      K(dims.back()), M(productOf(ArrayRef(dims).drop_back())) {
  int64_t block = format.getBlock();
  SymExpr unit(block ? block : format.rowsOfGroup());
  rowSize = ceilDiv(K, unit) * unit;
  blocks = block ? ceilDiv(K, block) : SymExpr(1);
  opensSomewhere = opensBytes(format) && K.constant();
  opened = opensSomewhere && hasDotProducts(e.target);
  SymExpr many = SymExpr::apply(SymExpr::Fn::Lt, kFewQuantizedRows, M);
  bytes = many * (wholeLines(ofRows(M)) + wholeLines(blocks * M * 4) * 2);
}

/// Some level may have integers of 16 bits: all have the same memory.
SymExpr QuantizedRows::ofRows(const SymExpr &rows) const {
  return rowSize * rows * (format.getBits() == 8 ? 2 : 1);
}

/// Is the left operand floats in memory, which are read where they lie?
bool QuantizedRows::isStored() const {
  auto arg = dyn_cast<BlockArgument>(lhs);
  return arg && getElementTypeOrSelf(arg.getType()).isF32();
}

void QuantizedRows::takeScratch() {
  OpBuilder &b = e.b;
  Value memory = e.scratchBuffer(ofRows(kFewQuantizedRows), b.getI8Type());
  A = memref::ViewOp::create(b, e.L.loc,
                             memoryType(rowTypeOf(format, e.target)), memory,
                             e.L.index(0), ValueRange{e.L.index(0)});
  scales = e.scratchBuffer(blocks * kFewQuantizedRows, b.getF32Type());
  sums = e.scratchBuffer(blocks * kFewQuantizedRows, b.getI32Type());
  takeRow();
}

void QuantizedRows::takeRow() {
  row = isStored() ? e.input(cast<BlockArgument>(lhs))
                   : e.scratchBuffer(K, e.b.getF32Type());
}

void QuantizedRows::takeMemory(Value memory) {
  auto view = [&](Type type, const SymExpr &at) {
    return memref::ViewOp::create(e.b, e.L.loc, memoryType(type), memory,
                                  e.dim(at), ValueRange{e.L.index(0)});
  };
  SymExpr ofScales = wholeLines(blocks * M * 4), first = wholeLines(ofRows(M));
  A = view(rowTypeOf(format, e.target), 0);
  scales = view(e.b.getF32Type(), first);
  sums = view(e.b.getI32Type(), first + ofScales);
}

void QuantizedRows::write(Value begin, Value end, bool forOpened) {
  LaneBuilder &L = e.L;
  auto quantize = getRowQuantizer(e.module(), e.target, format, forOpened);
  Value k = e.dim(K);
  unsigned lanes = e.vectorLanes();
  e.loop(begin, end, 1, [&](Value r) {
    Value from = L.mul(r, k);
    if (!isStored()) {
      from = L.index(0);
      SmallVector<Idx> idx = e.delinearize(r, ArrayRef(dims).drop_back());
      idx.push_back(Idx());
      e.lanesLoop(k, lanes, [&](Idx i) {
        idx.back() = i;
        L.store(e.emit(lhs, idx), row, i, e.b.getF32Type());
      });
    }
    func::CallOp::create(e.b, L.loc, quantize,
                         ValueRange{row, from, k, A, L.mul(r, e.dim(rowSize)),
                                    scales, sums, L.mul(r, e.dim(blocks))});
  });
}

bool quantizesRowsFirst(KernelOp kernel) {
  if (!isa_and_nonnull<CpuMatMulTilingAttr>(kernel.getTilingAttr()))
    return false;
  auto products = kernel.getBody().front().getOps<PackedMatMulOp>();
  if (products.empty())
    return false;
  PackedMatMulOp op = *products.begin();
  FormatAttr format = op.getFormatAttr();
  SymExpr rows = productOf(ArrayRef(getDims(op.getLhs())).drop_back());
  return format && format.quantizesRows() &&
         rows.constant().value_or(INT64_MAX) > kFewQuantizedRows;
}

void emitQuantizedRows(KernelEmitter &e) {
  // A row costs about as much as so many products for each of its numbers.
  constexpr int64_t rowsOfTask = 8, products = 4;
  LaneBuilder &L = e.L;
  QuantizedRows rows(e, findProduct(e));
  SymExpr many = SymExpr::apply(SymExpr::Fn::Lt, kFewQuantizedRows, rows.M);
  e.info.tasks = many * ceilDiv(rows.M, rowsOfTask);
  e.info.cost = many * rows.M * rows.K * products;
  rows.takeRow();
  rows.takeMemory(e.result(1));
  rows.write(L.mul(e.begin, rowsOfTask),
             L.min(L.mul(e.end, rowsOfTask), e.dim(rows.M)), rows.opened);
}

} // namespace tenon
