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
// Without VNNI A's rows are i16 and vectors of B are widened: the multiply-adds
// of pairs of i16 are exact, where those of pairs of bytes saturate. A dword
// then holds half of a column's sum; the halves meet at the end.
//
// A sum of bf16 products is one chain of groups in order of k, whatever the
// tile or chunk; one of integers has one value.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonTiling.h"
#include "lib/Codegen/Cpu/FormatKernels.h"
#include "lib/Codegen/Cpu/Loops.h"
#include "llvm/ADT/bit.h"

using namespace mlir;

namespace tenon {

namespace {

struct DotLoops : Loops {
  DotLoops(func::FuncOp func, const TargetInfo &target, FormatAttr format)
      : Loops(func, target), format(format) {}
  FormatAttr format;
  int64_t rows = 0, panels = 0;
  bool integers = format.isInteger();
  bool widens = integers && !hasDotProducts(target);
  int64_t group = format.rowsOfGroup();
  int64_t columns = widens ? lanes / 2 : lanes; ///< of a vector of B
  VectorType sumType =
      vector(integers ? Type(b.getI32Type()) : b.getF32Type(), lanes);
  VectorType operandType =
      integers ? vector(b.getIntegerType(widens ? 16 : 8), columns * 4)
               : vector(b.getBF16Type(), columns * 2);

  Value loadColumns(Value B, Value at) {
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
  void pass(int64_t p0, int64_t panels, int64_t first, int64_t vectors,
            bool accumulate);
  void run(bool accumulate);
};

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
  SmallVector<Value> sums =
      forLoop(L.index(0), K, group, init, [&](Value k, ValueRange sums) {
        Value at = L.add(b0, L.mul(k, format.bytesOfGroup() / group));
        SmallVector<Value> weights, next;
        for (int64_t p = 0; p < panels; ++p)
          for (int64_t j = 0; j < vectors; ++j)
            weights.push_back(
                loadColumns(B, plus(L.add(at, L.mul(panelStride, p0 + p)),
                                    4 * (first + j * columns))));
        for (int64_t r = 0; r < rows; ++r) {
          Value a =
              broadcastGroup(A, L.add(L.add(a0, k), L.mul(L.index(r), lda)),
                             group, widens ? 64 : 32, operandType);
          for (Value w : weights)
            next.push_back(multiplyAdd(a, w, sums[next.size()]));
        }
        return next;
      });
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

void DotLoops::run(bool accumulate) {
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

func::FuncOp getDotKernel(ModuleOp module, const TargetInfo &target,
                          FormatAttr format, int64_t rows, int64_t panels,
                          bool accumulate) {
  MLIRContext *context = module.getContext();
  Type index = IndexType::get(context), i8 = IntegerType::get(context, 8),
       sum = format.isInteger() ? Type(IntegerType::get(context, 32))
                                : Float32Type::get(context);
  auto [func, fresh] = getFunction(
      module,
      (format.isInteger() ? "gemm_i8_" : "gemm_bf16_") + std::to_string(rows) +
          "x" + std::to_string(panels * kPanelColumns) +
          (accumulate ? "_acc" : ""),
      {memoryType(rowTypeOf(format, target)), index, index, memoryType(i8),
       index, index, index, memoryType(sum), index});
  if (!fresh)
    return func;
  DotLoops loops(func, target, format);
  loops.rows = rows;
  loops.panels = panels;
  loops.run(accumulate);
  return func;
}

} // namespace

void emitDotKernel(KernelEmitter &e, Value rows, FormatAttr format,
                   int64_t panels, bool accumulate, ArrayRef<Value> operands) {
  auto module = e.module();
  callForRows(e, rows, operands, [&](int64_t r) {
    return getDotKernel(module, e.target, format, r, panels, accumulate);
  });
}

} // namespace tenon
