//===- Loops.cpp - what inner kernels are written with --------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/Loops.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Cpu/Product.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "tenon/abi.h"

using namespace mlir;

namespace tenon {

bool hasDotProducts(const TargetInfo &target) {
  return target.vectorBits == 512   ? target.has(TENON_FEATURE_AVX512VNNI)
         : target.vectorBits == 256 ? target.has(TENON_FEATURE_AVXVNNI)
                                    : false;
}

Value bitsOfBF16(LaneBuilder &L, Value x) {
  OpBuilder &b = L.b;
  Type narrow = b.getBF16Type(), bits = b.getI16Type();
  if (!L.isVector(x)) {
    x = arith::TruncFOp::create(b, L.loc, narrow, x);
    return arith::BitcastOp::create(b, L.loc, bits, x);
  }
  x = LLVM::CallIntrinsicOp::create(
          b, L.loc, L.vec(narrow),
          b.getStringAttr("llvm.x86.avx512bf16.cvtneps2bf16.512"),
          ValueRange{x})
          .getResults();
  return arith::BitcastOp::create(b, L.loc, L.vec(bits), x);
}

Value Loops::loadBytes(Value memory, Value at, VectorType type) {
  int64_t bytes = type.getNumElements() * type.getElementTypeBitWidth() / 8;
  Value raw =
      vector::LoadOp::create(b, loc, vector(b.getI8Type(), bytes), memory, at);
  if (raw.getType() == type)
    return raw;
  return vector::BitCastOp::create(b, loc, type, raw);
}

Value Loops::loadFloats(Value memory, Value at, Type type) {
  Value v = loadBytes(memory, at, vector(type, lanes));
  if (type.isF32())
    return v;
  return arith::ExtFOp::create(b, loc, vector(b.getF32Type(), lanes), v);
}

Value Loops::broadcastGroup(Value A, Value at, int64_t count, unsigned whole,
                            VectorType type) {
  Type element = cast<MemRefType>(A.getType()).getElementType();
  Type together = b.getIntegerType(whole);
  int64_t times = type.getNumElements() * type.getElementTypeBitWidth() / whole;
  Value group = vector::LoadOp::create(b, loc, vector(element, count), A, at);
  group = vector::BitCastOp::create(b, loc, vector(together, 1), group);
  Value one = vector::ExtractOp::create(b, loc, group, ArrayRef<int64_t>{0});
  Value all = vector::BroadcastOp::create(b, loc, vector(together, times), one);
  return vector::BitCastOp::create(b, loc, type, all);
}

/// The hint: 3 is the first cache, 2 the second.
static void fetchLines(Loops &loops, Value memory, Value at, int64_t bytes,
                       unsigned hint) {
  constexpr int64_t line = 64;
  for (int64_t i = 0; i < bytes; i += line)
    memref::PrefetchOp::create(loops.b, loops.loc, memory, loops.plus(at, i),
                               /*isWrite=*/false, hint, /*isDataCache=*/true);
}

void Loops::fetchAhead(Value memory, Value at, int64_t bytes) {
  constexpr int64_t ahead = 2560;
  fetchLines(*this, memory, plus(at, ahead), bytes, 3);
}

void Loops::fetchLater(Value memory, Value at, int64_t bytes) {
  fetchLines(*this, memory, at, bytes, 2);
}

Value Loops::intrinsic(StringRef name, Type type, ValueRange operands) {
  return LLVM::CallIntrinsicOp::create(b, loc, type, b.getStringAttr(name),
                                       operands)
      .getResults();
}

Value Loops::fma(Value a, Value w, Value sum) {
  if (target.hasFma)
    return math::FmaOp::create(b, loc, a, w, sum);
  return arith::AddFOp::create(b, loc, sum,
                               arith::MulFOp::create(b, loc, a, w));
}

Value Loops::addPairs(Value a, Value w, Value sum) {
  StringRef name = lanes == 16  ? "llvm.x86.avx512.pmaddw.d.512"
                   : lanes == 8 ? "llvm.x86.avx2.pmadd.wd"
                                : "llvm.x86.sse2.pmadd.wd";
  return arith::AddIOp::create(b, loc, sum,
                               intrinsic(name, sum.getType(), {a, w}));
}

Value Loops::addDots(Value unsignedBytes, Value signedBytes, Value sum) {
  StringRef name = lanes == 16 ? "llvm.x86.avx512.vpdpbusd.512"
                               : "llvm.x86.avx512.vpdpbusd.256";
  return intrinsic(name, sum.getType(), {sum, unsignedBytes, signedBytes});
}

Value Loops::addHalves(Value x, Value y) {
  auto halves = [&](int64_t from) {
    SmallVector<int64_t> order;
    for (int64_t n = 0; n < lanes; ++n)
      order.push_back(2 * n + from);
    return vector::ShuffleOp::create(b, loc, x, y, order).getResult();
  };
  return arith::AddIOp::create(b, loc, halves(0), halves(1));
}

SmallVector<Value>
Loops::forLoop(Value lo, Value hi, int64_t step, ValueRange init,
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

/// Element j of each four in vector i becomes element i of each four in vector
/// j.
static std::array<Value, kQuad> turn(LaneBuilder &L,
                                     const std::array<Value, kQuad> &z) {
  auto both = [&](Value x, Value y, std::array<int64_t, kQuad> of) {
    SmallVector<int64_t> from;
    for (int64_t at = 0; at < L.lanes; at += kQuad)
      for (int64_t i : of)
        from.push_back(i < kQuad ? at + i : L.lanes + at + i - kQuad);
    return vector::ShuffleOp::create(L.b, L.loc, x, y, from).getResult();
  };
  Value a = both(z[0], z[1], {0, 4, 1, 5}), c = both(z[0], z[1], {2, 6, 3, 7}),
        d = both(z[2], z[3], {0, 4, 1, 5}), f = both(z[2], z[3], {2, 6, 3, 7});
  return {both(a, d, {0, 1, 4, 5}), both(a, d, {2, 3, 6, 7}),
          both(c, f, {0, 1, 4, 5}), both(c, f, {2, 3, 6, 7})};
}

std::array<Value, kQuad> loadTurned(LaneBuilder &L, Value memory, Value at,
                                    int64_t apart, int64_t column) {
  Type f32 = L.b.getF32Type();
  auto quad = VectorType::get({kQuad}, f32);
  std::array<Value, kQuad> z;
  for (int64_t i = 0; i < kQuad; ++i) {
    z[i] = L.constant(L.vec(f32), 0);
    for (int64_t row = 0; row < L.lanes; row += kQuad) {
      Value four = vector::LoadOp::create(
          L.b, L.loc, quad, memory, L.add(at, (row + i) * apart + column));
      z[i] = L.lanes == kQuad ? four
                              : Value(vector::InsertStridedSliceOp::create(
                                    L.b, L.loc, four, z[i], {row}, {1}));
    }
  }
  return turn(L, z);
}

std::array<Value, 2 * kQuad> loadTurnedTwice(LaneBuilder &L, Value memory,
                                             Value at, int64_t apart,
                                             int64_t column) {
  constexpr int64_t all = 4 * kQuad, half = 2 * kQuad;
  auto rows = llvm::to_vector(llvm::seq<int64_t>(0, all));
  auto load = [&](int64_t row) -> Value {
    return vector::LoadOp::create(L.b, L.loc,
                                  VectorType::get({half}, L.b.getF32Type()),
                                  memory, L.add(at, row * apart + column));
  };
  // Of four rows and those four behind them the columns, half of them in every
  // other block of four lanes.
  auto eight = [&](int64_t first) {
    std::array<Value, kQuad> z;
    for (int64_t i = 0; i < kQuad; ++i)
      z[i] = vector::ShuffleOp::create(L.b, L.loc, load(first + i),
                                       load(first + kQuad + i), rows);
    return turn(L, z);
  };
  std::array<Value, kQuad> x = eight(0), y = eight(half);
  std::array<Value, half> columns;
  for (int64_t i = 0; i < half; ++i) {
    SmallVector<int64_t> from;
    for (int64_t l = 0; l < all; ++l)
      from.push_back((l / kQuad * 2 + i / kQuad) * kQuad + l % kQuad);
    columns[i] =
        vector::ShuffleOp::create(L.b, L.loc, x[i % kQuad], y[i % kQuad], from);
  }
  return columns;
}

Value hide(LaneBuilder &L, Value x) {
  StringRef place = isa<VectorType>(x.getType()) ? "=x,0" : "=r,0";
  return LLVM::InlineAsmOp::create(
             L.b, L.loc, TypeRange{x.getType()}, x, "", place,
             /*has_side_effects=*/false, /*is_align_stack=*/false,
             LLVM::tailcallkind::TailCallKind::None, LLVM::AsmDialectAttr(),
             ArrayAttr())
      .getResult(0);
}

Value hideIndex(LaneBuilder &L, Value index) {
  OpBuilder &b = L.b;
  Value number = arith::IndexCastOp::create(b, L.loc, b.getI64Type(), index);
  return arith::IndexCastOp::create(b, L.loc, b.getIndexType(),
                                    hide(L, number));
}

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
  if (format.getZero())
    name += "_" + textOf(format.getZero());
  return name + (format.quantizesRows() ? "_by_i8" : "");
}

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

void callForRows(KernelEmitter &e, Value rows, int64_t mostRows,
                 ValueRange operands, function_ref<func::FuncOp(int64_t)> get) {
  forRowCounts(e, rows, mostRows, [&](int64_t r) {
    func::CallOp::create(e.b, e.L.loc, get(r), operands);
  });
}

void callForPanels(KernelEmitter &e, Value rows, int64_t mostRows,
                   const PanelCall &call, ArrayRef<Value> operands,
                   function_ref<func::FuncOp(int64_t, int64_t)> get) {
  LaneBuilder &L = e.L;
  forRowCounts(e, rows, mostRows, [&](int64_t r) {
    // One row waits for memory, which comes sooner in two streams. More rows,
    // or shorter vectors, are chains enough.
    bool joined = r <= call.togetherRows && e.target.vectorBits == 512;
    int64_t together = joined ? call.panels : 1;
    for (int64_t p = 0; p < call.panels; p += together) {
      SmallVector<Value> own(operands);
      own[call.bAt] = L.add(own[call.bAt], L.mul(call.apart, p));
      own[call.cAt] = L.add(own[call.cAt], p * r * kPanelColumns);
      if (together > 1)
        own.push_back(call.apart);
      func::CallOp::create(e.b, L.loc, get(r, together), own);
    }
  });
}

} // namespace tenon
