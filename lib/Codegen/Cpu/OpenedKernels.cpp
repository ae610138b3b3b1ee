//===- OpenedKernels.cpp - many rows of integers by opened panels ---------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Of many rows that become integers (ByteKernels.cpp) a task opens its panels
// once, for all its tiles. What they hold then leaves to a tile what it alone
// knows: for four rows of B a dot product, for a block a conversion, the
// product of two scales and a multiply-add; a float zero point costs one more.
//
//   block   what sums begin with [32] | scales [32] | zeros, negative [32] |
//           bytes [block / 4][32][4 rows]
//
// Dot products multiply bytes without a sign by bytes with one. The rows of A
// have 128 added, and B's bytes are codes less their integer zero points, c, so
// that the sums of a block begin with -128 * sum c, whatever the row:
//
//   sum (q + 128) * c - 128 * sum c  =  sum q * c
//
// Codes of 8 bits less any zero point are no bytes: they have their middle
// taken off, and what their zero points lack to it comes off behind, as float
// ones do. Sums of a block are below 2^24, so that this is exact in f32.
//
// These integers, and the floats made of them, are those of few rows.
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

namespace {

constexpr int64_t kVector = 4 * kPanelColumns; ///< bytes of a panel's dwords

bool hasFloatZero(FormatAttr format) {
  return format.getZero() && format.getZero().isF32();
}
/// Do zero points come off behind the dot products?
bool hasZeroBehind(FormatAttr format) {
  return hasFloatZero(format) || (format.getZero() && format.getBits() == 8);
}
int64_t bytesOfOpenedHeader(FormatAttr format) {
  return kVector * (hasZeroBehind(format) ? 3 : 2);
}
int64_t bytesOfOpenedBlock(FormatAttr format) {
  return bytesOfOpenedHeader(format) + format.getBlock() / 4 * kVector;
}

struct OpenedLoops : Loops {
  OpenedLoops(func::FuncOp func, const TargetInfo &target, FormatAttr format)
      : Loops(func, target), format(format) {}
  FormatAttr format;
  Type i8 = b.getI8Type(), i32 = b.getI32Type(), f32 = b.getF32Type();
  VectorType i32s = vector(i32, lanes), f32s = vector(f32, lanes),
             bytes = vector(i8, lanes * 4);

  Value asBytes(Value v) {
    return v.getType() == bytes ? v
                                : vector::BitCastOp::create(b, loc, bytes, v);
  }
  Value spread(VectorType type, Value x) {
    return vector::BroadcastOp::create(b, loc, type, x);
  }

  /// Opens panels.
  int64_t middle = int64_t(1) << (format.getBits() - 1); ///< of the codes
  Value integerZeros(Value block, int64_t column);
  Value floatZeros(Value block, int64_t column);
  Value zeroBytes(Value block, int64_t column);
  void openColumns(Value block, Value opened, int64_t column);
  void open();

  /// Multiplies them.
  int64_t rows = 0, first = 0, vectors = 0; ///< of A, of the columns
  int64_t column(int64_t j) { return first + j * lanes; }
  SmallVector<Value> dots(Value opened, Value aAt);
  SmallVector<Value> block(Value number, ValueRange carried);
  void multiply();
};

//===----------------------------------------------------------------------===//
// Opening
//===----------------------------------------------------------------------===//

Value OpenedLoops::integerZeros(Value block, int64_t column) {
  Value at = plus(block, format.bytesOfScales() + column);
  Value zero = loadBytes(argument(0), at, vector(i8, lanes));
  return arith::ExtUIOp::create(b, loc, i32s, zero);
}

/// What comes off behind the dot products.
Value OpenedLoops::floatZeros(Value block, int64_t column) {
  if (!hasFloatZero(format))
    return arith::SIToFPOp::create(b, loc, f32s,
                                   L.sub(integerZeros(block, column), middle));
  Value at = plus(block, format.bytesOfScales() + 4 * column);
  return loadFloats(argument(0), at, f32);
}

/// What comes off the codes of a vector of columns, four times each.
Value OpenedLoops::zeroBytes(Value block, int64_t column) {
  constexpr int64_t four = 0x01010101;
  if (!format.getZero() || hasZeroBehind(format))
    return L.constantInt(bytes, middle);
  return asBytes(L.mul(integerZeros(block, column), four));
}

/// A vector of columns of the block of codes at `block`.
void OpenedLoops::openColumns(Value block, Value opened, int64_t column) {
  Value B = argument(0), to = argument(4);
  auto store = [&](Value v, Value at) {
    vector::StoreOp::create(b, loc, asBytes(v), to, plus(at, 4 * column));
  };
  Type type = format.getScale();
  Value scale = loadFloats(
      B, plus(block, column * (type.getIntOrFloatBitWidth() / 8)), type);
  store(scale, plus(opened, kVector));
  if (hasZeroBehind(format))
    store(arith::NegFOp::create(b, loc, floatZeros(block, column)),
          plus(opened, 2 * kVector));
  Value less;
  if (!hasFloatZero(format))
    less = zeroBytes(block, column);
  int64_t bits = format.getBits(), group = format.rowsOfGroup();
  Value ofRow = L.constantInt(bytes, -kUnsigned); // a byte without a sign
  Value sum = forLoop(
      L.index(0), L.index(format.getBlock() / group), 1, L.constantInt(i32s, 0),
      [&](Value number, ValueRange carried) -> SmallVector<Value> {
        Value from = plus(L.add(block, L.mul(number, format.bytesOfGroup())),
                          format.bytesOfHeader() + 4 * column);
        Value at = plus(L.add(opened, L.mul(number, group / 4 * kVector)),
                        bytesOfOpenedHeader(format));
        Value codes = loadBytes(B, from, i32s), sum = carried[0];
        for (int64_t step = 0; step < group / 4; ++step) {
          Value code = codes;
          if (step > 0)
            code = L.shiftRight(code, L.constantInt(i32s, step * bits));
          if (bits < 8)
            code = L.both(code,
                          L.constantInt(i32s, ((1 << bits) - 1) * 0x01010101));
          code = asBytes(code);
          if (less)
            code = L.sub(code, less);
          store(code, plus(at, step * kVector));
          sum = addDots(ofRow, code, sum);
        }
        return {sum};
      })[0];
  store(L.sub(L.constantInt(i32s, 0), sum), opened);
}

void OpenedLoops::open() {
  int64_t size = format.getBlock(), from = format.bytesOfBlock(size);
  forLoop(argument(2), argument(3), size, {},
          [&](Value k, ValueRange) -> SmallVector<Value> {
            Value number = L.div(k, size);
            Value block = L.add(argument(1), L.mul(number, from));
            Value opened =
                L.add(argument(5), L.mul(number, bytesOfOpenedBlock(format)));
            fetchAhead(argument(0), block, from);
            for (int64_t c = 0; c < kPanelColumns; c += lanes)
              openColumns(block, opened, c);
            return {};
          });
  func::ReturnOp::create(b, loc);
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// Sums of a block: [rows][vectors].
SmallVector<Value> OpenedLoops::dots(Value opened, Value aAt) {
  Value A = argument(0), lda = argument(2), B = argument(7);
  SmallVector<Value> starts, init;
  for (int64_t j = 0; j < vectors; ++j)
    starts.push_back(loadBytes(B, plus(opened, 4 * column(j)), i32s));
  for (int64_t r = 0; r < rows; ++r)
    llvm::append_range(init, starts);
  Value groups = plus(opened, bytesOfOpenedHeader(format));
  auto addStep = [&](Value at, Value from, ValueRange sums) {
    SmallVector<Value> weights, next;
    for (int64_t j = 0; j < vectors; ++j)
      weights.push_back(loadBytes(B, plus(at, 4 * column(j)), bytes));
    for (int64_t r = 0; r < rows; ++r) {
      Value a =
          broadcastGroup(A, L.add(from, L.mul(L.index(r), lda)), 4, 32, bytes);
      for (Value w : weights)
        next.push_back(addDots(a, w, sums[next.size()]));
    }
    return next;
  };
  // Short blocks have no loop inside.
  constexpr int64_t written = 8;
  int64_t steps = format.getBlock() / 4, together = std::min(steps, written);
  return forLoop(L.index(0), L.index(steps), together, init,
                 [&](Value step, ValueRange carried) {
                   SmallVector<Value> sums(carried);
                   Value at = L.add(groups, L.mul(step, kVector));
                   Value from = L.add(aAt, L.mul(step, 4));
                   for (int64_t i = 0; i < together; ++i)
                     sums = addStep(plus(at, i * kVector), plus(from, 4 * i),
                                    sums);
                   return sums;
                 });
}

/// What a block adds to `carried`.
SmallVector<Value> OpenedLoops::block(Value number, ValueRange carried) {
  Value B = argument(7), blocks = argument(6);
  int64_t size = format.getBlock();
  Value opened = L.add(argument(8), L.mul(number, bytesOfOpenedBlock(format)));
  if (first == 0)
    fetchLater(argument(12),
               L.add(argument(11), L.mul(number, format.bytesOfBlock(size))),
               bytesFetchedByOpened(format));
  SmallVector<Value> found =
      dots(opened, L.add(argument(1), L.mul(number, size)));
  auto ofRow = [&](unsigned memory, int64_t r) -> Value {
    Value at = L.add(L.add(argument(5), number), L.mul(blocks, r));
    return memref::LoadOp::create(b, loc, argument(memory), at);
  };
  auto ofColumns = [&](int64_t part, int64_t j) {
    return loadFloats(B, plus(opened, part * kVector + 4 * column(j)), f32);
  };
  SmallVector<Value> next;
  for (int64_t r = 0; r < rows; ++r) {
    Value rowScale = spread(f32s, ofRow(3, r)), rowSum;
    if (hasZeroBehind(format))
      rowSum = spread(f32s, arith::BitcastOp::create(b, loc, f32, ofRow(4, r)));
    for (int64_t j = 0; j < vectors; ++j) {
      Value product = arith::SIToFPOp::create(b, loc, f32s, found[next.size()]);
      if (rowSum)
        product = fma(ofColumns(2, j), rowSum, product);
      Value both = L.mul(ofColumns(1, j), rowScale);
      next.push_back(fma(product, both, carried[next.size()]));
    }
  }
  return next;
}

void OpenedLoops::multiply() {
  // A row has sums of integers and of floats.
  int64_t most = kPanelColumns / lanes, room = target.numVectorRegs - 4;
  vectors = llvm::bit_floor(
      (uint64_t)std::clamp<int64_t>(room / (rows * 2), 1, most));
  for (; first < kPanelColumns; first += vectors * lanes) {
    SmallVector<Value> init(rows * vectors, L.constant(f32s, 0));
    SmallVector<Value> sums = forLoop(L.index(0), argument(6), 1, init,
                                      [&](Value number, ValueRange carried) {
                                        return block(number, carried);
                                      });
    for (auto [i, sum] : llvm::enumerate(sums))
      vector::StoreOp::create(b, loc, sum, argument(9),
                              plus(argument(10), i / vectors * kPanelColumns +
                                                     column(i % vectors)));
  }
  func::ReturnOp::create(b, loc);
}

func::FuncOp getOpenedKernel(ModuleOp module, const TargetInfo &target,
                             FormatAttr format, int64_t rows) {
  MLIRContext *context = module.getContext();
  Type index = IndexType::get(context);
  MemRefType f32s = memoryType(Float32Type::get(context)),
             i32s = memoryType(IntegerType::get(context, 32)),
             i8s = memoryType(IntegerType::get(context, 8));
  auto [func, fresh] = getFunction(
      module, "gemm_opened_" + nameOf(format) + "_" + std::to_string(rows),
      {i8s, index, index, f32s, i32s, index, index, i8s, index, f32s, index,
       index, i8s});
  if (!fresh)
    return func;
  OpenedLoops loops(func, target, format);
  loops.rows = rows;
  loops.multiply();
  return func;
}

} // namespace

bool opensBytes(FormatAttr format) {
  // So many terms of 8 bits by 8 are exact in f32.
  constexpr int64_t most = 256;
  if (!format.quantizesRows() || !format.getBlock())
    return false;
  return format.getBits() < 8 || !format.getZero() ||
         (!hasFloatZero(format) && format.getBlock() <= most);
}

int64_t bytesOfOpenedPanel(FormatAttr format, int64_t K) {
  return llvm::divideCeil(K, format.getBlock()) * bytesOfOpenedBlock(format);
}

int64_t bytesFetchedByOpened(FormatAttr format) {
  constexpr int64_t line = 64, tiles = 16;
  return llvm::alignTo(
      llvm::divideCeil(format.bytesOfBlock(format.getBlock()), tiles), line);
}

func::FuncOp getPanelOpener(ModuleOp module, const TargetInfo &target,
                            FormatAttr format) {
  MLIRContext *context = module.getContext();
  Type index = IndexType::get(context);
  MemRefType i8s = memoryType(IntegerType::get(context, 8));
  auto [func, fresh] = getFunction(module, "open_" + nameOf(format),
                                   {i8s, index, index, index, i8s, index});
  if (fresh)
    OpenedLoops(func, target, format).open();
  return func;
}

void emitOpenedKernel(KernelEmitter &e, Value rows, FormatAttr format,
                      ArrayRef<Value> operands) {
  auto module = e.module();
  callForRows(e, rows, kTileRows, operands, [&](int64_t r) {
    return getOpenedKernel(module, e.target, format, r);
  });
}

} // namespace tenon
