//===- TileKernels.cpp - products by tiles of 16 rows (AMX) ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A tile is up to 16 rows of 64 bytes. Of A these are rows; of B groups of 16
// columns as its panels have them, four rows of integers or two of bf16 in a
// dword; of C sums. A panel takes two tiles, so that up to 32 rows by a panel
// are four tiles of C, the register block that needs the fewest loads:
//
//   tiles 0 to 3   C: rows by columns
//   tiles 4, 5     A
//   tiles 6, 7     B
//
// Where K is no multiple of 64 bytes the last step has tiles of other shapes:
// then A has tiles 4 and 6, the latter for that step, and B 5 and 7. Shapes
// depend on K alone, so that a kernel sets them once: fewer than 16 rows are
// for others (DwordKernels.cpp), or are filled up with rows that nobody looks
// at.
//
// A sum of bf16 products adds the even and the odd terms of 32 in order of k,
// then both to what it was: other bits than AVX512-BF16's, but the same ones
// for any rows, as all rows of such a level go this way.
//
// The tiles are named, not left to LLVM to choose: it would set shapes anew for
// each function.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Cpu/FormatKernels.h"
#include "lib/Codegen/Cpu/Loops.h"
#include "lib/Codegen/Cpu/Product.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "tenon/abi.h"

using namespace mlir;

namespace tenon {

namespace {

constexpr int64_t kBytesOfRow = 64, kColumnsOfTile = 16;
/// From group to group of a panel, and from row to row of C.
constexpr int64_t kBytesOfPanelRow = 4 * kPanelColumns;

int64_t bytesOfNumber(FormatAttr format) { return format.isInteger() ? 1 : 2; }

/// Groups in the last step of a product by K rows; 0: it is one like all.
int64_t groupsOfTail(FormatAttr format, int64_t K) {
  int64_t bytes = K * bytesOfNumber(format) % kBytesOfRow;
  return llvm::divideCeil(bytes, 4);
}

void call(OpBuilder &b, Location loc, StringRef name, ValueRange operands) {
  LLVM::CallIntrinsicOp::create(b, loc, b.getStringAttr("llvm.x86." + name),
                                operands);
}

Value pointerTo(LaneBuilder &L, Value memory, Value byte) {
  OpBuilder &b = L.b;
  Value at = memref::ExtractAlignedPointerAsIndexOp::create(b, L.loc, memory);
  at = arith::IndexCastOp::create(b, L.loc, b.getI64Type(), L.add(at, byte));
  auto pointer = LLVM::LLVMPointerType::get(b.getContext());
  return LLVM::IntToPtrOp::create(b, L.loc, pointer, at);
}

struct TileLoops : Loops {
  TileLoops(func::FuncOp func, const TargetInfo &target, FormatAttr format)
      : Loops(func, target), format(format) {}
  FormatAttr format;
  int64_t tiles = 0; ///< of rows: 1 or 2
  int64_t tail = 0;  ///< groups
  int64_t bytes = bytesOfNumber(format);
  Value A = argument(0), a0 = argument(1), lda = argument(2), B = argument(3),
        b0 = argument(4), K = argument(6), C = argument(7), c0 = argument(8);

  Value number(int64_t tile) { return L.constantInt(b.getI8Type(), tile); }
  Value stride(Value bytes) {
    return arith::IndexCastOp::create(b, loc, b.getI64Type(), bytes);
  }
  void load(int64_t tile, Value memory, Value byte, Value apart) {
    call(b, loc, "tileloadd64",
         {number(tile), pointerTo(L, memory, byte), stride(apart)});
  }
  Value placeOfC(Value panelAt, int64_t tile) {
    int64_t row = tile / 2 * kRowsOfTile, column = tile % 2 * kColumnsOfTile;
    return L.mul(plus(panelAt, row * kPanelColumns + column), 4);
  }
  void step(Value panelAt, Value k, bool last);
  void panel(Value panelAt, Value sumsAt, bool accumulate);
};

/// All tiles of C for one step of K. A tile is loaded anew only where two of
/// the same kind have to share one.
void TileLoops::step(Value panelAt, Value k, bool last) {
  bool share = tail != 0;
  int64_t a0Tile = share && last ? 6 : 4, a1Tile = share ? a0Tile : 5;
  int64_t b0Tile = share ? a0Tile + 1 : 6, b1Tile = share ? b0Tile : 7;
  Value apart = L.mul(lda, bytes);
  Value bAt = L.add(panelAt, L.mul(k, kBytesOfPanelRow * bytes / 4));
  auto loadA = [&](int64_t i) {
    Value row = L.add(a0, L.mul(lda, i * kRowsOfTile));
    load(i ? a1Tile : a0Tile, A, L.mul(L.add(row, k), bytes), apart);
  };
  auto loadB = [&](int64_t j) {
    load(j ? b1Tile : b0Tile, B, plus(bAt, j * kBytesOfRow),
         L.index(kBytesOfPanelRow));
  };
  auto multiply = [&](int64_t i, int64_t j) {
    call(b, loc, format.isInteger() ? "tdpbusd" : "tdpbf16ps",
         {number(2 * i + j), number(i ? a1Tile : a0Tile),
          number(j ? b1Tile : b0Tile)});
  };
  loadA(0);
  loadB(0);
  multiply(0, 0);
  loadB(1);
  multiply(0, 1);
  if (tiles == 1)
    return;
  loadA(1);
  multiply(1, 1);
  if (share)
    loadB(0);
  multiply(1, 0);
}

void TileLoops::panel(Value panelAt, Value sumsAt, bool accumulate) {
  Value apart = L.index(kBytesOfPanelRow);
  for (int64_t tile = 0; tile < 2 * tiles; ++tile)
    if (accumulate)
      load(tile, C, placeOfC(sumsAt, tile), apart);
    else
      call(b, loc, "tilezero", number(tile));
  int64_t each = kBytesOfRow / bytes;
  Value whole = L.mul(L.div(K, each), each);
  auto steps = [&](Value from, Value to, bool last) {
    forLoop(from, to, each, {}, [&](Value k, ValueRange) {
      step(panelAt, k, last);
      return SmallVector<Value>{};
    });
  };
  steps(L.index(0), whole, false);
  if (tail)
    steps(whole, K, true);
  for (int64_t tile = 0; tile < 2 * tiles; ++tile)
    call(
        b, loc, "tilestored64",
        {number(tile), pointerTo(L, C, placeOfC(sumsAt, tile)), stride(apart)});
}

} // namespace

bool multipliesTiles(FormatAttr format, const TargetInfo &target) {
  if (target.vectorBits != 512)
    return false;
  return format.isInteger()
             ? hasDotProducts(target) && target.has(TENON_FEATURE_AMX_INT8)
             : roundsToBF16(format) && target.has(TENON_FEATURE_AMX_BF16);
}

void emitTileShapes(KernelEmitter &e, FormatAttr format, int64_t K) {
  // Palette 1; from byte 16 on the bytes of a row, from 48 on the rows.
  SmallVector<int8_t> config(64, 0);
  config[0] = 1;
  int64_t tail = groupsOfTail(format, K);
  for (int64_t tile = 0; tile < 8; ++tile) {
    bool ofTail = tail && tile >= 6;
    config[16 + 2 * tile] = ofTail && tile == 6 ? 4 * tail : kBytesOfRow;
    config[48 + tile] = ofTail && tile == 7 ? tail : kRowsOfTile;
  }
  OpBuilder &b = e.b;
  LaneBuilder &L = e.L;
  auto type = VectorType::get({64}, b.getI8Type());
  Value numbers = arith::ConstantOp::create(
      b, L.loc, DenseElementsAttr::get(type, ArrayRef(config)));
  Value memory =
      memref::AllocaOp::create(b, L.loc, MemRefType::get({64}, b.getI8Type()));
  vector::StoreOp::create(b, L.loc, numbers, memory, L.index(0));
  call(b, L.loc, "ldtilecfg", pointerTo(L, memory, L.index(0)));
}

void emitTileRelease(KernelEmitter &e) {
  call(e.b, e.L.loc, "tilerelease", {});
}

void emitTileKernel(KernelEmitter &e, FormatAttr format, int64_t K,
                    int64_t tiles, int64_t panels, bool accumulate,
                    ArrayRef<Value> operands) {
  MLIRContext *context = e.b.getContext();
  Type index = IndexType::get(context), i8 = IntegerType::get(context, 8);
  SmallVector<Type> types{memoryType(rowTypeOf(format, e.target)),
                          index,
                          index,
                          memoryType(i8),
                          index,
                          index,
                          index,
                          operands[7].getType(),
                          index,
                          index};
  int64_t tail = groupsOfTail(format, K);
  std::string name = format.isInteger() ? "tiles_i8_" : "tiles_bf16_";
  name += std::to_string(tiles * kRowsOfTile) + "x" +
          std::to_string(panels * kPanelColumns);
  if (tail)
    name += "_tail";
  if (accumulate)
    name += "_acc";
  auto [func, fresh] = getFunction(e.module(), name, types);
  if (fresh) {
    TileLoops loops(func, e.target, format);
    loops.tiles = tiles;
    loops.tail = tail;
    Value panelStride = loops.argument(5), apart = loops.argument(9);
    LaneBuilder &L = loops.L;
    for (int64_t p = 0; p < panels; ++p)
      loops.panel(L.add(loops.b0, L.mul(panelStride, p)),
                  L.add(loops.c0, L.mul(apart, p)), accumulate);
    func::ReturnOp::create(loops.b, loops.loc);
  }
  func::CallOp::create(e.b, e.L.loc, func, operands);
}

void emitTileProduct(KernelEmitter &e, RowsOfTiles rows, FormatAttr format,
                     int64_t K, int64_t panels, bool accumulate,
                     const MicroKernelOperands &o, Value lda, Value marks) {
  LaneBuilder &L = e.L;
  Value apart = L.mul(rows.held, kPanelColumns);
  Value whole = L.div(rows.held, kRowsOfTile);
  for (int64_t tiles : {1, 2}) {
    Value these = L.eq(whole, tiles);
    e.ifThen(these, [&] {
      emitTileKernel(
          e, format, K, tiles, panels, accumulate,
          {o.A, o.aAt, lda, o.B, o.bAt, o.panelStride, o.K, o.C, o.cAt, apart});
    });
  }
  if (!format.isInteger())
    return;
  Value done = L.mul(whole, kRowsOfTile);
  for (int64_t p = 0; p < panels; ++p)
    forRowTiles(
        e, L.sub(rows.rows, done), kTileRows, [&](Value, Value r, Value few) {
          Value row = L.add(done, r);
          emitDotKernel(
              e, few, format, 1, accumulate,
              {o.A, L.add(o.aAt, L.mul(row, lda)), lda, o.B,
               L.add(o.bAt, L.mul(o.panelStride, p)), o.panelStride, o.K, o.C,
               L.add(L.add(o.cAt, L.mul(apart, p)), L.mul(row, kPanelColumns)),
               marks, o.bAt, L.index(0)});
        });
}

} // namespace tenon
