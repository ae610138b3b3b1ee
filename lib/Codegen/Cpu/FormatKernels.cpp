//===- FormatKernels.cpp - products by weights in a format ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Numbers of 16 bits are widened as they are read.
//
// Dequantising: a vector of codes serves as many rows of the panel as fit a
// dword. Each is shifted and masked out, converted, less the zero point, times
// the scale: (code - zero) * scale, the numbers that the model states, in f32.
// A scale of f16 times an integer is exact, so that of these one multiply-add,
// code * scale - zero * scale, gives the same number.
// Products are chains in order of k, as those of f32 panels: the same bits.
// Where rows are rounded to bf16 the second of two comes first, as vdpbf16ps
// adds.
//
// With AVX-512 codes of 4 bits less an integer need no shift: masked where they
// lie and below the exponent of a power of two (one operation) they are that
// power plus the code, as floats, and what is subtracted has it too. All codes
// come to two such places, most by loads a byte or two aside. Other codes of at
// most 4 bits choose one of sixteen numbers, loaded aside too.
//
//   one row    of two panels side by side with AVX-512: a chain of additions
//              takes four cycles for each row of B, and four chains hide that
//   few rows   the numbers go from registers into products with all rows; the
//              columns are walked a few vectors at a time, so that each code is
//              opened once, and no sum leaves its register. A tile has up to 8
//              rows, of AVX-512 12 by one vector of columns; of up to 16 rows
//              there are two. With AVX-512 five rows or more let the numbers
//              of a block wait in the first cache, and 16 bits have one tile
//   more       a block of panels is dequantised into the cache, and multiplied
//              as f32 (MatMulKernel.cpp); those of 16 bits by the first tile
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/FormatKernels.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Cpu/Loops.h"
#include "lib/Codegen/Cpu/Product.h"
#include "llvm/ADT/bit.h"

using namespace mlir;

namespace tenon {

namespace {

/// Walks rows of one panel, some vectors of columns at a time.
struct FormatLoops : Loops {
  FormatLoops(func::FuncOp func, const TargetInfo &target, FormatAttr format,
              Value B)
      : Loops(func, target), format(format), B(B) {}
  FormatAttr format;
  Value B;
  int64_t bits = format.getBits();
  float middle = 1 << (bits - 1); ///< of the codes
  int64_t group = format.rowsOfGroup();
  VectorType f32s = vector(b.getF32Type(), lanes),
             i32s = vector(b.getI32Type(), lanes);
  Value first = L.index(0); ///< of the columns
  int64_t vectors = 0;
  /// `zeros` are negative; where both are fused, times the scale.
  SmallVector<Value> scales, zeros;
  bool isFloatZero = format.getZero() && format.getZero().isF32();
  /// Does a permute subtract the middle of the codes?
  bool looksUp = bits < 8 && lanes == 16 && format.getScale();
  bool fused = target.hasFma && format.getScale() &&
               format.getScale().isF16() && !isFloatZero &&
               (format.getZero() || !looksUp);
  /// Rows that are written out have codes that are loaded so many bytes aside;
  /// 0: they are shifted.
  int64_t numAside = 0, firstAside = 0;
  /// Are those masked where they lie? Each comes to nibble 3 or 4 of a dword,
  /// of a float of 2^11 or 2^7: larger powers of two would lose bits of a zero
  /// point times a scale of f16.
  bool masks = false;
  static constexpr int64_t kPlaces[] = {3, 4};
  SmallVector<Value> zerosOfPlace[2]; ///< as `zeros`
  /// Panels side by side, so far apart; their vectors follow one another.
  int64_t panels = 1;
  Value panelsApart = {};
  /// Vector j is columns j, j + 4, ...: a row of bytes, all columns, opens by
  /// shifts and masks, in less time than bytes widen in.
  static constexpr int64_t kDealt = 4;
  bool dealt = false;
  /// Of a pair of rows, as vdpbf16ps adds them.
  bool oddFirst = roundsToBF16(format);
  /// Are the rows of a group written out? With many products for each number a
  /// loop over them costs little, and compiles in a fraction of the time.
  bool unrolled = true;
  /// Else: is their number computed, so that LLVM does not write them out, and
  /// mix their products until sums leave their registers?
  bool counted = false;
  /// Where some rows lie opened, [kOpenedRows][vectors]; null: their numbers go
  /// from registers into products.
  Value opened = {};
  static constexpr int64_t kOpenedRows = 32;
  /// Are rows fetched ahead? Or, where a panel is walked several times, the
  /// next panel: each time as much of it as there are columns.
  bool fetchesRows = false;
  Value panelSize = {}; ///< if so

  using Body =
      function_ref<SmallVector<Value>(Value k, ValueRange weights, ValueRange)>;

  Value column(int64_t j) { return plus(first, j * lanes); }
  Value panelAt(Value at, int64_t p) {
    return p ? L.add(at, L.mul(panelsApart, p)) : at;
  }
  Value columnAt(Value at, int64_t j, int64_t bytes) {
    int64_t ofPanel = vectors / panels;
    return L.add(panelAt(at, j / ofPanel), L.mul(column(j % ofPanel), bytes));
  }
  /// For rows that are written out, where it pays.
  void moveCodes() {
    if (!looksUp)
      return;
    masks = bits == 4 && !isFloatZero;
    numAside = masks ? 5 : 4;
    firstAside = masks ? -2 : 0;
    looksUp = !masks;
    if (masks)
      fused = target.hasFma && format.getScale().isF16();
  }
  /// What brings row `row` of a group to the lowest bits.
  Value shiftTo(Value row) {
    Value shift =
        arith::IndexCastOp::create(b, loc, b.getI32Type(), L.mul(row, bits));
    return vector::BroadcastOp::create(b, loc, i32s, shift);
  }
  void openBlock(Value at);
  SmallVector<Value> deal(ValueRange from);
  SmallVector<Value> collect(ValueRange from);
  SmallVector<Value> codes(Value at);
  SmallVector<Value> aside(Value at, int64_t j);
  Value masked(Value code, int64_t j, int64_t place);
  Value weight(Value code, int64_t j, int64_t row, Value shift = {});
  SmallVector<Value> weights(ValueRange codes, int64_t row, Value shift = {});
  SmallVector<Value> oneByOne(Value k, Value count, ValueRange codes,
                              ValueRange init, Body body);
  SmallVector<Value> rows(Value at, Value base, Value begin, Value end,
                          ValueRange init, Body body);
  SmallVector<Value> openedRows(Value groups, Value base, Value begin,
                                Value end, ValueRange init, Body body);
  SmallVector<Value> walk(Value at, Value begin, Value end, ValueRange init,
                          Body body);
  void pass(Value begin, int64_t rows, Value apart);
};

void FormatLoops::openBlock(Value at) {
  scales.clear();
  zeros.clear();
  for (int64_t j = 0; j < vectors && format.getScale(); ++j) {
    Type type = format.getScale();
    int64_t bytes = type.getIntOrFloatBitWidth() / 8;
    scales.push_back(loadFloats(B, columnAt(at, j, bytes), type));
    Value zero;
    Value zeroAt = plus(at, format.bytesOfScales());
    if (isFloatZero) {
      zero = loadFloats(B, columnAt(zeroAt, j, 4), b.getF32Type());
    } else if (format.getZero()) {
      zero = loadBytes(B, columnAt(zeroAt, j, 1), vector(b.getI8Type(), lanes));
      zero = arith::ExtUIOp::create(b, loc, i32s, zero);
      zero = arith::SIToFPOp::create(b, loc, f32s, zero);
    } else if (!looksUp) {
      zero = L.constant(f32s, middle);
    }
    if (zero)
      zeros.push_back(arith::NegFOp::create(b, loc, zero));
  }
  if (dealt) {
    scales = deal(scales);
    zeros = deal(zeros);
  }
  for (auto [place, ofPlace] : llvm::zip_equal(kPlaces, zerosOfPlace)) {
    ofPlace.clear();
    Value power = L.constant(f32s, -float(1 << (23 - place * bits)));
    for (int64_t j = 0; j < vectors && masks; ++j) {
      Value zero = L.add(zeros[j], power);
      ofPlace.push_back(fused ? L.mul(zero, scales[j]) : zero);
    }
  }
  for (int64_t j = 0; j < vectors && fused; ++j)
    zeros[j] = L.mul(zeros[j], scales[j]);
}

/// Of columns side by side in four vectors, vectors of every fourth one.
SmallVector<Value> FormatLoops::deal(ValueRange from) {
  SmallVector<Value> to;
  SmallVector<int64_t> all = llvm::to_vector(llvm::seq<int64_t>(0, lanes));
  for (int64_t j = 0; j < kDealt; ++j) {
    SmallVector<int64_t> fourth;
    for (int64_t i = 0; i < lanes / 2; ++i)
      fourth.push_back(kDealt * i + j);
    auto two = [&](int64_t i) {
      return vector::ShuffleOp::create(b, loc, from[i], from[i + 1], fourth);
    };
    to.push_back(vector::ShuffleOp::create(b, loc, two(0), two(2), all));
  }
  return to;
}

/// And back.
SmallVector<Value> FormatLoops::collect(ValueRange from) {
  SmallVector<Value> to;
  for (int64_t j = 0; j < kDealt; ++j) {
    auto two = [&](int64_t i) {
      return vector::ShuffleOp::create(b, loc, from[i], from[i + 1],
                                       ArrayRef<int64_t>{2 * j, lanes + 2 * j,
                                                         2 * j + 1,
                                                         lanes + 2 * j + 1});
    };
    to.push_back(vector::ShuffleOp::create(
        b, loc, two(0), two(2), ArrayRef<int64_t>{0, 1, 4, 5, 2, 3, 6, 7}));
  }
  return to;
}

SmallVector<Value> FormatLoops::codes(Value at) {
  SmallVector<Value> all;
  if (dealt) {
    Value row = loadBytes(B, at, i32s);
    for (int64_t j = 0; j < kDealt; ++j) {
      Value code = row;
      if (j > 0)
        code = L.shiftRight(code, L.constantInt(i32s, 8 * j));
      if (j < kDealt - 1)
        code = L.both(code, L.constantInt(i32s, 255));
      all.push_back(code);
    }
    return all;
  }
  for (int64_t j = 0; j < vectors; ++j) {
    if (format.getElement().isF16()) {
      all.push_back(loadFloats(B, columnAt(at, j, 2), format.getElement()));
    } else if (bits == 8) {
      Value bytes =
          loadBytes(B, columnAt(at, j, 1), vector(b.getI8Type(), lanes));
      all.push_back(arith::ExtUIOp::create(b, loc, i32s, bytes));
    } else if (numAside) {
      llvm::append_range(all, aside(at, j));
    } else {
      all.push_back(loadBytes(B, columnAt(at, j, 4), i32s));
    }
  }
  return all;
}

/// A vector of codes moved up or down by some bytes. What lies before a group
/// is there, its block's scales if nothing else; behind a panel's last vector
/// there may be nothing.
SmallVector<Value> FormatLoops::aside(Value at, int64_t j) {
  SmallVector<Value> all;
  Value from = columnAt(at, j, 4), code = loadBytes(B, from, i32s);
  bool isLast = (j + 1) % (vectors / panels) == 0;
  for (int64_t bytes : llvm::seq(firstAside, firstAside + numAside))
    all.push_back(bytes == 0 ? code
                  : bytes > 0 && isLast
                      ? L.shiftRight(code, L.constantInt(i32s, 8 * bytes))
                      : loadBytes(B, plus(from, bytes), i32s));
  return all;
}

/// The number of row `row` of a group, or of the one that `shift` brings to the
/// lowest bits.
Value FormatLoops::weight(Value code, int64_t j, int64_t row, Value shift) {
  if (format.getElement().isF16())
    return code;
  auto constant = [&](int64_t value) { return L.constantInt(i32s, value); };
  if (format.getElement().isBF16()) { // the upper half of a float
    code = row == 0 ? L.shiftLeft(code, constant(16))
                    : L.both(code, constant(0xffff0000));
    return arith::BitcastOp::create(b, loc, f32s, code);
  }
  if (!shift && row > 0)
    shift = constant(row * bits);
  if (shift)
    code = L.shiftRight(code, shift);
  Value number;
  if (looksUp) {
    // The lowest four bits choose one of sixteen numbers.
    SmallVector<float> table;
    for (int64_t i = 0; i < 16; ++i)
      table.push_back(float(i % (1 << bits)) - (zeros.empty() ? middle : 0));
    Value numbers = arith::ConstantOp::create(
        b, loc, DenseElementsAttr::get(f32s, ArrayRef(table)));
    number = intrinsic("llvm.x86.avx512.permvar.sf.512", f32s, {numbers, code});
  } else {
    if (bits < 8)
      code = L.both(code, constant((1 << bits) - 1));
    number = arith::SIToFPOp::create(b, loc, f32s, code);
  }
  if (fused)
    return fma(number, scales[j], zeros[j]);
  if (!zeros.empty())
    number = L.add(number, zeros[j]);
  return L.mul(number, scales[j]);
}

/// The number whose code lies in such a place.
Value FormatLoops::masked(Value code, int64_t j, int64_t place) {
  int64_t shift = kPlaces[place] * bits;
  auto constant = [&](int64_t value) { return L.constantInt(i32s, value); };
  constexpr int64_t exponent = 127 + 23, mantissa = 23;
  code = L.both(code, constant(((1 << bits) - 1) << shift));
  code = arith::OrIOp::create(b, loc, code,
                              constant((exponent - shift) << mantissa));
  Value number = arith::BitcastOp::create(b, loc, f32s, code);
  Value zero = zerosOfPlace[place][j];
  return fused ? fma(number, scales[j], zero)
               : L.mul(L.add(number, zero), scales[j]);
}

SmallVector<Value> FormatLoops::weights(ValueRange codes, int64_t row,
                                        Value shift) {
  SmallVector<Value> all;
  int64_t ofByte = std::max<int64_t>(8 / bits, 1), place = row % 2 == 0;
  int64_t bytes = masks ? (row - kPlaces[place]) / ofByte : row / ofByte;
  for (int64_t j = 0; j < vectors && numAside; ++j) {
    ValueRange moved = codes.slice(j * numAside, numAside);
    if (shift)
      all.push_back(weight(moved[-firstAside], j, row, shift));
    else if (masks)
      all.push_back(masked(moved[bytes - firstAside], j, place));
    else
      all.push_back(weight(moved[bytes], j, row % ofByte));
  }
  if (numAside)
    return all;
  for (auto [j, code] : llvm::enumerate(codes))
    all.push_back(weight(code, j, row, shift));
  return all;
}

/// Rows [k, k + count) of a group, one after the other: the codes go along,
/// those of the next row at the lowest bits.
SmallVector<Value> FormatLoops::oneByOne(Value k, Value count, ValueRange codes,
                                         ValueRange init, Body body) {
  SmallVector<Value> carried(init);
  llvm::append_range(carried, codes);
  carried =
      forLoop(L.index(0), count, 1, carried, [&](Value j, ValueRange carried) {
        ValueRange held = carried.drop_front(init.size());
        SmallVector<Value> after = body(L.add(k, j), weights(held, 0),
                                        carried.take_front(init.size()));
        for (Value code : held)
          after.push_back(L.shiftRight(code, L.constantInt(i32s, bits)));
        return after;
      });
  carried.truncate(init.size());
  return carried;
}

/// Rows [begin, end) of the block at `at`, which are the panel's from `base`
/// on; `begin` begins a group.
SmallVector<Value> FormatLoops::rows(Value at, Value base, Value begin,
                                     Value end, ValueRange init, Body body) {
  openBlock(at);
  Value groups = plus(at, format.bytesOfHeader());
  if (opened)
    return openedRows(groups, base, begin, end, init, body);
  auto groupAt = [&](Value row) {
    return L.add(groups, L.mul(row, format.bytesOfGroup() / group));
  };
  Value whole = end;
  if (!counted)
    whole = L.add(begin, L.mul(L.div(L.sub(end, begin), group), group));
  SmallVector<Value> carried =
      forLoop(begin, whole, group, init, [&](Value row, ValueRange carried) {
        SmallVector<Value> found = codes(groupAt(row)), next(carried);
        for (int64_t p = 0; p < panels && fetchesRows; ++p)
          fetchAhead(B, panelAt(groupAt(row), p), format.bytesOfGroup());
        if (!unrolled && group > 1)
          return oneByOne(L.add(base, row),
                          counted ? L.min(L.sub(end, row), group)
                                  : L.index(group),
                          found, next, body);
        for (int64_t j = 0; j < group; ++j) {
          int64_t of = oddFirst ? group - 1 - j : j;
          next = body(L.add(base, L.add(row, of)), weights(found, of), next);
        }
        return next;
      });
  if (group == 1 || counted)
    return carried;
  return forLoop(whole, end, 1, carried, [&](Value row, ValueRange carried) {
    return body(L.add(base, row),
                weights(codes(groupAt(whole)), 0, shiftTo(L.sub(row, whole))),
                carried);
  });
}

/// The same, some at a time: first they are opened, then multiplied. What opens
/// them waits for codes, products wait for sums, and neither for the other. The
/// products take long enough to fetch in.
SmallVector<Value> FormatLoops::openedRows(Value groups, Value base,
                                           Value begin, Value end,
                                           ValueRange init, Body body) {
  constexpr int64_t steps = 4;
  auto place = [&](Value row, int64_t j) {
    return plus(L.mul(row, vectors * lanes), j * lanes);
  };
  auto some = [&](Value from, ValueRange carried) {
    auto groupAt = [&](Value row) {
      return L.add(groups,
                   L.mul(L.add(from, row), format.bytesOfGroup() / group));
    };
    Value count = L.min(L.sub(end, from), L.index(kOpenedRows));
    forLoop(L.index(0), count, group, {}, [&](Value row, ValueRange) {
      SmallVector<Value> found = codes(groupAt(row));
      for (int64_t of = 0; of < group; ++of)
        for (auto [j, weight] : llvm::enumerate(weights(found, of)))
          vector::StoreOp::create(b, loc, weight, opened,
                                  place(plus(row, of), j));
      return SmallVector<Value>{};
    });
    Value first = L.add(base, from);
    auto step = [&](Value row, ValueRange sums) {
      SmallVector<Value> weights;
      for (int64_t j = 0; j < vectors; ++j)
        weights.push_back(
            vector::LoadOp::create(b, loc, f32s, opened, place(row, j)));
      return body(L.add(first, row), weights, sums);
    };
    Value whole = L.mul(L.div(count, steps), steps);
    SmallVector<Value> sums = forLoop(
        L.index(0), whole, steps, carried, [&](Value row, ValueRange sums) {
          fetchAhead(B, groupAt(row), format.bytesOfGroup() * steps / group);
          SmallVector<Value> next(sums);
          for (int64_t i = 0; i < steps; ++i)
            next = step(plus(row, i), next);
          return next;
        });
    return forLoop(whole, count, 1, sums, step);
  };
  int64_t block = format.getBlock();
  if (block && block <= kOpenedRows)
    return some(begin, init);
  return forLoop(begin, end, kOpenedRows, init, some);
}

/// Rows [begin, end) of the panel at `at`; `begin` begins a block, or a group
/// of the only one.
SmallVector<Value> FormatLoops::walk(Value at, Value begin, Value end,
                                     ValueRange init, Body body) {
  int64_t block = format.getBlock();
  if (!block)
    return rows(at, L.index(0), begin, end, init, body);
  return forLoop(begin, end, block, init, [&](Value k, ValueRange carried) {
    Value blockAt =
        L.add(at, L.mul(L.div(k, block), format.bytesOfBlock(block)));
    if (panelSize) {
      int64_t ofColumn = format.bytesOfBlock(block) / kPanelColumns;
      Value share = L.add(blockAt, L.mul(first, ofColumn));
      fetchLater(B, L.add(share, panelSize), ofColumn * vectors * lanes);
    }
    for (int64_t p = 0; p < panels && fetchesRows; ++p)
      fetchAhead(B, panelAt(blockAt, p), format.bytesOfHeader());
    return rows(blockAt, k, L.index(0), L.min(L.index(block), L.sub(end, k)),
                carried, body);
  });
}

/// The vectors of columns from `begin` on, of all rows, which lie so far apart.
void FormatLoops::pass(Value begin, int64_t rows, Value apart) {
  Value A = argument(0), a0 = argument(1), C = argument(6), c0 = argument(7);
  first = begin;
  SmallVector<Value> init(rows * vectors, L.constant(f32s, 0));
  SmallVector<Value> sums =
      walk(argument(4), L.index(0), argument(5), init,
           [&](Value k, ValueRange weights, ValueRange sums) {
             SmallVector<Value> next;
             for (int64_t r = 0; r < rows; ++r) {
               Value x = memref::LoadOp::create(
                   b, loc, A, L.add(L.add(a0, k), L.mul(L.index(r), apart)));
               x = vector::BroadcastOp::create(b, loc, f32s, x);
               for (Value w : weights)
                 next.push_back(fma(x, w, sums[next.size()]));
             }
             return next;
           });
  for (int64_t r = 0; dealt && r < rows; ++r)
    llvm::copy(collect(ValueRange(sums).slice(r * vectors, vectors)),
               sums.begin() + r * vectors);
  int64_t ofPanel = vectors / panels;
  for (auto [i, sum] : llvm::enumerate(sums)) {
    int64_t r = i / vectors, panel = i % vectors / ofPanel;
    vector::StoreOp::create(b, loc, sum, C,
                            L.add(plus(c0, (panel * rows + r) * kPanelColumns),
                                  column(i % ofPanel)));
  }
}

/// Of one panel, or two that lie so far apart as a last argument says.
func::FuncOp getFormatKernel(ModuleOp module, const TargetInfo &target,
                             FormatAttr format, int64_t rows, int64_t panels,
                             int64_t lda) {
  MLIRContext *context = module.getContext();
  Type index = IndexType::get(context), f32 = Float32Type::get(context),
       i8 = IntegerType::get(context, 8);
  // Of more rows the pointers leave none for the rest: the distance is a
  // constant then, and columns are walked by a loop.
  constexpr int64_t kFewRows = 4;
  bool few = rows <= kFewRows;
  if (few)
    lda = 0;
  std::string name = "gemm_" + nameOf(format) + "_" + std::to_string(rows);
  if (panels > 1)
    name += "x" + std::to_string(panels * kPanelColumns);
  if (lda)
    name += "_lda" + std::to_string(lda);
  SmallVector<Type> types{memoryType(f32), index, index,
                          memoryType(i8),  index, index,
                          memoryType(f32), index};
  if (panels > 1)
    types.push_back(index);
  auto [func, fresh] = getFunction(module, name, types);
  if (!fresh)
    return func;
  FormatLoops p(func, target, format, func.getArgument(3));
  LaneBuilder &L = p.L;
  Value apart = lda ? L.index(lda) : p.argument(2);
  // Half of the registers are for sums, beside scales, zero points and codes; a
  // row alone has few. Eight sums hide the latency of an addition.
  int64_t most = kPanelColumns / p.lanes, room = target.numVectorRegs / 2;
  bool wide = p.lanes == 16 && format.getScale();
  p.unrolled = rows == 1 || format.getElement().isBF16() || (few && wide);
  p.counted = !p.unrolled && !few;
  p.vectors =
      llvm::bit_floor((uint64_t)std::clamp<int64_t>(room / rows, 1, most));
  if (panels > 1) {
    p.panels = panels;
    p.panelsApart = p.argument(8);
    p.vectors = most * panels;
  }
  if (!few && wide)
    p.opened = memref::AllocaOp::create(
        p.b, p.loc, MemRefType::get({p.kOpenedRows * p.vectors * p.lanes}, f32),
        p.b.getI64IntegerAttr(target.vectorBits / 8));
  if (rows == 1 || wide)
    p.moveCodes();
  p.dealt = p.bits == 8 && p.vectors == p.kDealt && p.lanes == 2 * p.kDealt;
  int64_t block = format.getBlock();
  p.fetchesRows = few || !block || p.opened;
  if (!p.fetchesRows)
    p.panelSize = L.mul(L.div(p.plus(p.argument(5), block - 1), block),
                        format.bytesOfBlock(block));
  int64_t step = p.vectors / panels * p.lanes;
  for (int64_t c = 0; few && c < kPanelColumns; c += step) {
    p.pass(L.index(c), rows, apart);
    p.fetchesRows = false; // the first pass did
  }
  if (!few)
    p.forLoop(L.index(0), L.index(kPanelColumns), step, {},
              [&](Value first, ValueRange) {
                p.pass(first, rows, apart);
                return SmallVector<Value>{};
              });
  func::ReturnOp::create(p.b, p.loc);
  return func;
}

} // namespace

func::FuncOp getDequantizer(ModuleOp module, const TargetInfo &target,
                            FormatAttr format) {
  MLIRContext *context = module.getContext();
  Type index = IndexType::get(context), f32 = Float32Type::get(context),
       i8 = IntegerType::get(context, 8);
  auto [func, fresh] = getFunction(
      module, "dequantize_" + nameOf(format),
      {memoryType(i8), index, index, index, memoryType(f32), index});
  if (!fresh)
    return func;
  FormatLoops p(func, target, format, func.getArgument(0));
  p.vectors = kPanelColumns / p.lanes;
  p.moveCodes();
  Value begin = p.argument(2), to = p.argument(4), toAt = p.argument(5);
  p.walk(p.argument(1), begin, p.argument(3), {},
         [&](Value k, ValueRange weights, ValueRange) {
           Value row = p.L.add(toAt, p.L.mul(p.L.sub(k, begin), kPanelColumns));
           for (auto [j, weight] : llvm::enumerate(weights))
             vector::StoreOp::create(p.b, p.loc, weight, to,
                                     p.L.add(row, p.column(j)));
           return SmallVector<Value>{};
         });
  func::ReturnOp::create(p.b, p.loc);
  return func;
}

void emitDequantizedTile(KernelEmitter &e, Value rows, int64_t mostRows,
                         const SymExpr &lda, const MicroKernelOperands &o,
                         MicroKernelShape shape, FormatAttr format, Value opens,
                         Value stored) {
  shape.oddFirst = roundsToBF16(format);
  shape.fetchesBytes = shape.lines > 0;
  auto multiply = [&] { emitMicroKernel(e, rows, mostRows, lda, o, shape); };
  if (!opens)
    return multiply();
  e.ifThen(opens, [&] {
    MicroKernelOperands first = o;
    first.B = o.bytes, first.bAt = stored, first.panelStride = o.bytesApart;
    first.opened = o.B, first.openedAt = o.bAt;
    first.openedApart = o.panelStride;
    MicroKernelShape opening = shape;
    opening.opens = format.getElement();
    emitMicroKernel(e, rows, mostRows, lda, first, opening);
  });
  e.ifThen(e.L.no(opens), multiply);
}

int64_t mostFormatRows(FormatAttr format, const TargetInfo &target) {
  return target.vectorBits == 512 && format.getScale() ? kFormatRows : 8;
}

int64_t mostRowsInRegisters(FormatAttr format, const TargetInfo &target) {
  return target.vectorBits == 512 && !format.getScale() ? 8 : 16;
}

void emitFormatKernel(KernelEmitter &e, Value rows, const SymExpr &lda,
                      FormatAttr format, int64_t panels, Value apart,
                      ArrayRef<Value> operands) {
  auto module = e.module();
  int64_t constant = lda.constant().value_or(0);
  callForPanels(e, rows, mostFormatRows(format, e.target),
                {panels, apart, /*bAt=*/4, /*cAt=*/7}, operands,
                [&](int64_t r, int64_t together) {
                  return getFormatKernel(module, e.target, format, r, together,
                                         constant);
                });
}

} // namespace tenon
