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
// Products are chains in order of k, as those of f32 panels: the same bits.
//
//   few rows   the numbers go from registers into products with all rows; the
//              columns are walked a few vectors at a time, so that each code is
//              opened once
//   more       a block of panels is dequantised into the cache, and multiplied
//              as f32 (MatMulKernel.cpp)
//
// Integers: B has four rows of a column in a dword. With dot products of bytes
// (VNNI) a vector is as many columns as it has dwords, times four bytes of A
// that are broadcast. Without, A's rows are i16 and vectors of B are widened:
// the multiply-adds of pairs of i16 are exact, where those of pairs of bytes
// saturate. A dword then holds half of a column's sum; the halves meet at the
// end.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/FormatKernels.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "tenon/abi.h"
#include "llvm/ADT/bit.h"

using namespace mlir;

namespace tenon {

namespace {

/// What both kinds are made of.
struct Loops {
  Loops(func::FuncOp func, const TargetInfo &target)
      : b(func.getContext()), target(target), loc(func.getLoc()),
        lanes(target.vectorBits / 32), L(b, loc, lanes),
        entry(func.getBody().front()) {
    b.setInsertionPointToStart(&entry);
  }
  OpBuilder b;
  const TargetInfo &target;
  Location loc;
  int64_t lanes; ///< dwords of a vector
  LaneBuilder L;
  Block &entry;

  Value argument(unsigned i) { return entry.getArgument(i); }
  VectorType vector(Type element, int64_t count) {
    return VectorType::get({count}, element);
  }
  /// A vector that lies in bytes.
  Value loadBytes(Value memory, Value at, VectorType type) {
    int64_t bytes = type.getNumElements() * type.getElementTypeBitWidth() / 8;
    Value raw = vector::LoadOp::create(b, loc, vector(b.getI8Type(), bytes),
                                       memory, at);
    if (raw.getType() == type)
      return raw;
    return vector::BitCastOp::create(b, loc, type, raw);
  }
  Value intrinsic(StringRef name, Type type, ValueRange operands) {
    return LLVM::CallIntrinsicOp::create(b, loc, type, b.getStringAttr(name),
                                         operands)
        .getResults();
  }
  SmallVector<Value>
  forLoop(Value lo, Value hi, int64_t step, ValueRange init,
          function_ref<SmallVector<Value>(Value, ValueRange)> body) {
    auto loop = scf::ForOp::create(b, loc, lo, hi, L.index(step), init);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    SmallVector<Value> next =
        body(loop.getInductionVar(), loop.getRegionIterArgs());
    if (!init.empty())
      scf::YieldOp::create(b, loc, next);
    return SmallVector<Value>(loop.getResults());
  }
};

//===----------------------------------------------------------------------===//
// Dequantising
//===----------------------------------------------------------------------===//

/// Walks rows of one panel, some vectors of columns at a time.
struct FormatLoops : Loops {
  FormatLoops(func::FuncOp func, const TargetInfo &target, FormatAttr format,
              Value B)
      : Loops(func, target), format(format), B(B) {}
  FormatAttr format;
  Value B;
  int64_t bits = format.getBits();
  int64_t group = format.rowsOfGroup();
  VectorType f32s = vector(b.getF32Type(), lanes),
             i32s = vector(b.getI32Type(), lanes);
  int64_t first = 0, vectors = 0; ///< of the columns
  SmallVector<Value> scales, zeros;
  /// Are the rows of a group written out? With many products for each number a
  /// loop over them costs little, and compiles in a fraction of the time.
  bool unrolled = true;

  using Body =
      function_ref<SmallVector<Value>(Value k, ValueRange weights, ValueRange)>;

  Value plus(Value at, int64_t bytes) { return L.add(at, bytes); }
  int64_t column(int64_t j) { return first + j * lanes; }
  /// What brings row `row` of a group to the lowest bits.
  Value shiftTo(Value row) {
    Value shift =
        arith::IndexCastOp::create(b, loc, b.getI32Type(), L.mul(row, bits));
    return vector::BroadcastOp::create(b, loc, i32s, shift);
  }
  void openBlock(Value at);
  SmallVector<Value> codes(Value at);
  Value weight(Value code, int64_t j, int64_t row, Value shift = {});
  SmallVector<Value> weights(ValueRange codes, int64_t row, Value shift = {});
  SmallVector<Value> rows(Value at, Value base, Value begin, Value end,
                          ValueRange init, Body body);
  SmallVector<Value> walk(Value at, Value begin, Value end, ValueRange init,
                          Body body);
};

void FormatLoops::openBlock(Value at) {
  scales.clear();
  zeros.clear();
  for (int64_t j = 0; j < vectors && format.getScale(); ++j) {
    Type type = format.getScale();
    int64_t bytes = type.getIntOrFloatBitWidth() / 8;
    Value scale =
        loadBytes(B, plus(at, column(j) * bytes), vector(type, lanes));
    if (!type.isF32())
      scale = arith::ExtFOp::create(b, loc, f32s, scale);
    scales.push_back(scale);
    if (!format.getZero())
      continue;
    Value zeroAt = plus(at, format.bytesOfScales());
    if (format.getZero().isF32()) {
      zeros.push_back(loadBytes(B, plus(zeroAt, column(j) * 4), f32s));
      continue;
    }
    Value zero =
        loadBytes(B, plus(zeroAt, column(j)), vector(b.getI8Type(), lanes));
    zero = arith::ExtUIOp::create(b, loc, i32s, zero);
    zeros.push_back(arith::SIToFPOp::create(b, loc, f32s, zero));
  }
}

SmallVector<Value> FormatLoops::codes(Value at) {
  SmallVector<Value> all;
  for (int64_t j = 0; j < vectors; ++j) {
    if (format.getElement().isF16()) {
      Value halves = loadBytes(B, plus(at, column(j) * 2),
                               vector(format.getElement(), lanes));
      all.push_back(arith::ExtFOp::create(b, loc, f32s, halves));
    } else if (bits == 8) {
      Value bytes =
          loadBytes(B, plus(at, column(j)), vector(b.getI8Type(), lanes));
      all.push_back(arith::ExtUIOp::create(b, loc, i32s, bytes));
    } else {
      all.push_back(loadBytes(B, plus(at, column(j) * 4), i32s));
    }
  }
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
  Value number;
  float middle = 1 << (bits - 1);
  if (!shift && row > 0)
    shift = constant(row * bits);
  if (shift)
    code = L.shiftRight(code, shift);
  if (bits < 8 && lanes == 16) {
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
    if (zeros.empty())
      number = L.sub(number, L.constant(f32s, middle));
  }
  if (!zeros.empty())
    number = L.sub(number, zeros[j]);
  return L.mul(number, scales[j]);
}

SmallVector<Value> FormatLoops::weights(ValueRange codes, int64_t row,
                                        Value shift) {
  SmallVector<Value> all;
  for (auto [j, code] : llvm::enumerate(codes))
    all.push_back(weight(code, j, row, shift));
  return all;
}

/// Rows [begin, end) of the block at `at`, which are the panel's from `base`
/// on; `begin` begins a group.
SmallVector<Value> FormatLoops::rows(Value at, Value base, Value begin,
                                     Value end, ValueRange init, Body body) {
  openBlock(at);
  Value groups = plus(at, format.bytesOfHeader());
  auto groupAt = [&](Value row) {
    return L.add(groups, L.mul(row, format.bytesOfGroup() / group));
  };
  Value whole = L.add(begin, L.mul(L.div(L.sub(end, begin), group), group));
  SmallVector<Value> carried =
      forLoop(begin, whole, group, init, [&](Value row, ValueRange carried) {
        SmallVector<Value> found = codes(groupAt(row)), next(carried);
        if (!unrolled && group > 1)
          return forLoop(L.index(0), L.index(group), 1, next,
                         [&](Value j, ValueRange carried) {
                           return body(L.add(base, L.add(row, j)),
                                       weights(found, 0, shiftTo(j)), carried);
                         });
        for (int64_t j = 0; j < group; ++j)
          next = body(L.add(base, L.add(row, j)), weights(found, j), next);
        return next;
      });
  if (group == 1)
    return carried;
  return forLoop(whole, end, 1, carried, [&](Value row, ValueRange carried) {
    return body(L.add(base, row),
                weights(codes(groupAt(whole)), 0, shiftTo(L.sub(row, whole))),
                carried);
  });
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
    return rows(blockAt, k, L.index(0), L.min(L.index(block), L.sub(end, k)),
                carried, body);
  });
}

/// "u4_b32_f16_u8".
std::string nameOf(FormatAttr format) {
  auto textOf = [](Type type) {
    return (type.isBF16()          ? "bf"
            : isa<FloatType>(type) ? "f"
                                   : "u") +
           std::to_string(type.getIntOrFloatBitWidth());
  };
  std::string name = textOf(format.getElement());
  if (!format.getScale())
    return name;
  if (format.getBlock())
    name += "_b" + std::to_string(format.getBlock());
  name += "_" + textOf(format.getScale());
  return format.getZero() ? name + "_" + textOf(format.getZero()) : name;
}

/// A private function of that name, and whether it is new.
std::pair<func::FuncOp, bool>
getFunction(ModuleOp module, const std::string &name, ArrayRef<Type> types) {
  if (auto func = module.lookupSymbol<func::FuncOp>(name))
    return {func, false};
  OpBuilder b(module.getContext());
  b.setInsertionPointToStart(module.getBody());
  auto func = func::FuncOp::create(b, module.getLoc(), name,
                                   b.getFunctionType(types, {}));
  func.setPrivate();
  func.addEntryBlock();
  return {func, true};
}

MemRefType memoryOf(Type element) {
  return MemRefType::get({ShapedType::kDynamic}, element);
}

func::FuncOp getFormatKernel(ModuleOp module, const TargetInfo &target,
                             FormatAttr format, int64_t rows) {
  MLIRContext *context = module.getContext();
  Type index = IndexType::get(context), f32 = Float32Type::get(context),
       i8 = IntegerType::get(context, 8);
  auto [func, fresh] =
      getFunction(module, "gemm_" + nameOf(format) + "_" + std::to_string(rows),
                  {memoryOf(f32), index, index, memoryOf(i8), index, index,
                   memoryOf(f32), index});
  if (!fresh)
    return func;
  FormatLoops p(func, target, format, func.getArgument(3));
  OpBuilder &b = p.b;
  LaneBuilder &L = p.L;
  Value A = p.argument(0), a0 = p.argument(1), lda = p.argument(2),
        C = p.argument(6), c0 = p.argument(7);
  int64_t most = kPanelColumns / p.lanes, room = target.numVectorRegs - 4;
  p.unrolled = rows == 1 || format.getElement().isBF16();
  p.vectors =
      llvm::bit_floor((uint64_t)std::clamp<int64_t>(room / rows, 1, most));
  for (; p.first < kPanelColumns; p.first += p.vectors * p.lanes) {
    SmallVector<Value> init(rows * p.vectors, L.constant(p.f32s, 0));
    SmallVector<Value> sums = p.walk(
        p.argument(4), L.index(0), p.argument(5), init,
        [&](Value k, ValueRange weights, ValueRange sums) {
          SmallVector<Value> next;
          for (int64_t r = 0; r < rows; ++r) {
            Value x = memref::LoadOp::create(
                b, p.loc, A, L.add(L.add(a0, k), L.mul(L.index(r), lda)));
            x = vector::BroadcastOp::create(b, p.loc, p.f32s, x);
            for (Value w : weights) {
              Value sum = sums[next.size()];
              next.push_back(p.L.multiplyAdd(x, w, sum, target.hasFma));
            }
          }
          return next;
        });
    for (auto [i, sum] : llvm::enumerate(sums))
      vector::StoreOp::create(
          b, p.loc, sum, C,
          L.add(c0, i / p.vectors * kPanelColumns + p.column(i % p.vectors)));
  }
  func::ReturnOp::create(b, p.loc);
  return func;
}

//===----------------------------------------------------------------------===//
// Integers
//===----------------------------------------------------------------------===//

/// Does the level multiply bytes without saturating?
bool hasDotProducts(const TargetInfo &target) {
  return target.vectorBits == 512 && target.has(TENON_FEATURE_AVX512VNNI);
}

struct IntegerLoops : Loops {
  using Loops::Loops;
  int64_t rows = 0, panels = 0;
  bool dots = hasDotProducts(target);
  int64_t columns = dots ? lanes : lanes / 2; ///< of a vector of B
  Type i8 = b.getI8Type(), i16 = b.getI16Type(), i32 = b.getI32Type();
  VectorType sumType = vector(i32, lanes);

  /// Four numbers of a row of A, again and again.
  Value broadcastRow(Value A, Value at) {
    Type element = dots ? i8 : i16;
    Type whole = b.getIntegerType(dots ? 32 : 64);
    Value four = vector::LoadOp::create(b, loc, vector(element, 4), A, at);
    four = vector::BitCastOp::create(b, loc, vector(whole, 1), four);
    Value one = vector::ExtractOp::create(b, loc, four, ArrayRef<int64_t>{0});
    Value all =
        vector::BroadcastOp::create(b, loc, vector(whole, columns), one);
    return vector::BitCastOp::create(b, loc, vector(element, columns * 4), all);
  }
  Value loadColumns(Value B, Value at) {
    Value bytes = loadBytes(B, at, vector(i8, columns * 4));
    if (dots)
      return bytes;
    return arith::ExtSIOp::create(b, loc, vector(i16, columns * 4), bytes);
  }
  Value multiplyAdd(Value a, Value w, Value sum) {
    if (dots)
      return intrinsic("llvm.x86.avx512.vpdpbusd.512", sumType, {sum, a, w});
    StringRef name = lanes == 16  ? "llvm.x86.avx512.pmaddw.d.512"
                     : lanes == 8 ? "llvm.x86.avx2.pmadd.wd"
                                  : "llvm.x86.sse2.pmadd.wd";
    return L.add(sum, intrinsic(name, sumType, {a, w}));
  }
  void pass(int64_t p0, int64_t panels, int64_t first, int64_t vectors,
            bool accumulate);
  void run(bool accumulate);
};

void IntegerLoops::pass(int64_t p0, int64_t panels, int64_t first,
                        int64_t vectors, bool accumulate) {
  Value A = argument(0), a0 = argument(1), lda = argument(2), B = argument(3),
        b0 = argument(4), panelStride = argument(5), K = argument(6),
        C = argument(7), c0 = argument(8);
  SmallVector<Value> init(rows * panels * vectors, L.constantInt(sumType, 0));
  SmallVector<Value> sums =
      forLoop(L.index(0), K, 4, init, [&](Value k, ValueRange sums) {
        // A group of four rows is 128 bytes.
        Value at = L.add(b0, L.mul(k, kPanelColumns));
        SmallVector<Value> weights, next;
        for (int64_t p = 0; p < panels; ++p)
          for (int64_t j = 0; j < vectors; ++j)
            weights.push_back(
                loadColumns(B, L.add(L.add(at, L.mul(panelStride, p0 + p)),
                                     4 * (first + j * columns))));
        for (int64_t r = 0; r < rows; ++r) {
          Value a =
              broadcastRow(A, L.add(L.add(a0, k), L.mul(L.index(r), lda)));
          for (Value w : weights)
            next.push_back(multiplyAdd(a, w, sums[next.size()]));
        }
        return next;
      });
  int64_t apart = dots ? 1 : 2; // vectors of sums for one of columns
  for (int64_t i = 0, e = sums.size(); i < e; i += apart) {
    int64_t r = i / (panels * vectors), p = i / vectors % panels,
            j = i % vectors;
    Value sum = sums[i];
    if (!dots) {
      auto halves = [&](int64_t from) {
        SmallVector<int64_t> order;
        for (int64_t n = 0; n < lanes; ++n)
          order.push_back(2 * n + from);
        return vector::ShuffleOp::create(b, loc, sums[i], sums[i + 1], order)
            .getResult();
      };
      sum = L.add(halves(0), halves(1));
    }
    Value at =
        L.add(c0, ((p0 + p) * rows + r) * kPanelColumns + first + j * columns);
    if (accumulate)
      sum = L.add(sum, vector::LoadOp::create(b, loc, sumType, C, at));
    vector::StoreOp::create(b, loc, sum, C, at);
  }
}

void IntegerLoops::run(bool accumulate) {
  int64_t ofPanel = kPanelColumns / columns, room = target.numVectorRegs - 4;
  int64_t together = panels;
  while (together > 1 && rows * together * ofPanel > room)
    together /= 2;
  int64_t vectors =
      llvm::bit_floor((uint64_t)std::clamp<int64_t>(room / rows, 2, ofPanel));
  for (int64_t p = 0; p < panels; p += together)
    for (int64_t c = 0; c < kPanelColumns; c += vectors * columns)
      pass(p, together, c, vectors, accumulate);
  func::ReturnOp::create(b, loc);
}

func::FuncOp getIntegerKernel(ModuleOp module, const TargetInfo &target,
                              int64_t rows, int64_t panels, bool accumulate) {
  MLIRContext *context = module.getContext();
  Type index = IndexType::get(context), i8 = IntegerType::get(context, 8),
       i32 = IntegerType::get(context, 32);
  auto [func, fresh] = getFunction(
      module,
      "gemm_i8_" + std::to_string(rows) + "x" +
          std::to_string(panels * kPanelColumns) + (accumulate ? "_acc" : ""),
      {memoryOf(storageType(integerRowType(context, target))), index, index,
       memoryOf(i8), index, index, index, memoryOf(i32), index});
  if (!fresh)
    return func;
  IntegerLoops loops(func, target);
  loops.rows = rows;
  loops.panels = panels;
  loops.run(accumulate);
  return func;
}

/// A call of get(rows) for the row count that is known at run time.
void callForRows(KernelEmitter &e, Value rows, ValueRange operands,
                 function_ref<func::FuncOp(int64_t)> get) {
  OpBuilder &b = e.b;
  SmallVector<int64_t> cases;
  for (int64_t r = 1; r < kTileRows; ++r)
    cases.push_back(r);
  auto choice = scf::IndexSwitchOp::create(b, e.L.loc, TypeRange{}, rows, cases,
                                           cases.size());
  auto fill = [&](Region &region, int64_t r) {
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&region);
    func::CallOp::create(b, e.L.loc, get(r), operands);
    scf::YieldOp::create(b, e.L.loc);
  };
  for (auto [i, r] : llvm::enumerate(cases))
    fill(choice.getCaseRegions()[i], r);
  fill(choice.getDefaultRegion(), kTileRows);
}

} // namespace

func::FuncOp getDequantizer(ModuleOp module, const TargetInfo &target,
                            FormatAttr format) {
  MLIRContext *context = module.getContext();
  Type index = IndexType::get(context), f32 = Float32Type::get(context),
       i8 = IntegerType::get(context, 8);
  auto [func, fresh] =
      getFunction(module, "dequantize_" + nameOf(format),
                  {memoryOf(i8), index, index, index, memoryOf(f32), index});
  if (!fresh)
    return func;
  FormatLoops p(func, target, format, func.getArgument(0));
  p.vectors = kPanelColumns / p.lanes;
  Value begin = p.argument(2), to = p.argument(4), toAt = p.argument(5);
  p.walk(p.argument(1), begin, p.argument(3), {},
         [&](Value k, ValueRange weights, ValueRange) {
           Value row = p.L.add(toAt, p.L.mul(p.L.sub(k, begin), kPanelColumns));
           for (auto [j, weight] : llvm::enumerate(weights))
             vector::StoreOp::create(p.b, p.loc, weight, to,
                                     p.plus(row, p.column(j)));
           return SmallVector<Value>{};
         });
  func::ReturnOp::create(p.b, p.loc);
  return func;
}

void emitFormatKernel(KernelEmitter &e, Value rows, FormatAttr format,
                      ArrayRef<Value> operands) {
  auto module = e.module();
  callForRows(e, rows, operands, [&](int64_t r) {
    return getFormatKernel(module, e.target, format, r);
  });
}

Type integerRowType(MLIRContext *context, const TargetInfo &target) {
  return hasDotProducts(target)
             ? IntegerType::get(context, 8, IntegerType::Unsigned)
             : IntegerType::get(context, 16);
}

void emitIntegerKernel(KernelEmitter &e, Value rows, int64_t panels,
                       bool accumulate, ArrayRef<Value> operands) {
  auto module = e.module();
  callForRows(e, rows, operands, [&](int64_t r) {
    return getIntegerKernel(module, e.target, r, panels, accumulate);
  });
}

} // namespace tenon
