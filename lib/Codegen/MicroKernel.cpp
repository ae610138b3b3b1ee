//===- MicroKernel.cpp - the register tile of f32 matmul, and its callers -===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// C[rows][32] = A[rows][K] * B[K][32], the only loop that matters for speed.
// Two vectors of columns at a time (6x16 with 16 registers of 8 lanes, 12x32
// with 32 registers of 16), all accumulators in registers:
//
//            B[k] | b0 b1
//   A[0][k]  a    | c00 c01      per k: 2 loads, `rows` broadcasts,
//   A[1][k]  a    | c10 c11             2*rows fused multiply-adds
//    ...
//
// One function per row count and K serves every layer of a model, so a model
// costs a dozen of them, however many layers it has. C goes to a scratch tile
// in the L1 cache: the epilogue (bias, activation, residual) is emitted per
// kernel as a loop over that tile, 2% of the time of a K of 384, and the
// register tile need not be compiled again for each epilogue. Each element is
// one chain of additions in order of k, whatever the tile: bits do not depend
// on the row count.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "dialects/Tenon/IR/TenonShape.h"

using namespace mlir;

namespace tenon {

int64_t microKernelRows(const TargetInfo &target) {
  return target.numVectorRegs >= 32 ? 12 : 6;
}

func::FuncOp getMicroKernel(ModuleOp module, const TargetInfo &target,
                            int64_t rows, int64_t K) {
  std::string name = "gemm_f32_" + std::to_string(rows) + "x" +
                     std::to_string(kPanelColumns) +
                     (K ? "_k" + std::to_string(K) : std::string("_k"));
  if (auto f = module.lookupSymbol<func::FuncOp>(name))
    return f;
  OpBuilder b(module.getContext());
  b.setInsertionPointToStart(module.getBody());
  Location loc = module.getLoc();
  Type index = b.getIndexType(), f32 = b.getF32Type();
  Type mem = MemRefType::get({ShapedType::kDynamic}, f32);
  auto func = func::FuncOp::create(
      b, loc, name,
      b.getFunctionType({mem, index, index, mem, index, index, mem}, {}));
  func.setPrivate();
  Block *entry = func.addEntryBlock();
  b.setInsertionPointToStart(entry);
  unsigned lanes = target.vectorBits / 32;
  LaneBuilder L(b, loc, lanes);
  Value A = entry->getArgument(0), a0 = entry->getArgument(1);
  Value B = entry->getArgument(3), b0 = entry->getArgument(4);
  Value k = K ? L.index(K) : entry->getArgument(5);
  Value lda = K ? k : entry->getArgument(2);
  Value C = entry->getArgument(6);

  int64_t columns = 2 * lanes; // at a time
  for (int64_t c = 0; c < kPanelColumns; c += columns) {
    SmallVector<Value> acc(2 * rows, L.constant(L.vec(f32), 0));
    auto op = scf::ForOp::create(b, loc, L.index(0), k, L.index(1), acc);
    b.setInsertionPointToStart(op.getBody());
    Value i = op.getInductionVar();
    Value bAt = L.add(b0, L.mul(i, L.index(kPanelColumns)));
    auto vt = cast<VectorType>(L.vec(f32));
    Value y[2];
    for (int j = 0; j < 2; ++j)
      y[j] = vector::LoadOp::create(b, loc, vt, B,
                                    L.add(bAt, L.index(c + j * lanes)));
    Value aAt = L.add(a0, i);
    SmallVector<Value> next;
    for (int64_t r = 0; r < rows; ++r) {
      Value x = memref::LoadOp::create(b, loc, A,
                                       L.add(aAt, L.mul(L.index(r), lda)));
      x = vector::BroadcastOp::create(b, loc, vt, x);
      for (int j = 0; j < 2; ++j) {
        Value sum = op.getRegionIterArg(2 * r + j);
        if (target.hasFma)
          next.push_back(math::FmaOp::create(b, loc, x, y[j], sum));
        else
          next.push_back(arith::AddFOp::create(
              b, loc, sum, arith::MulFOp::create(b, loc, x, y[j])));
      }
    }
    scf::YieldOp::create(b, loc, next);
    b.setInsertionPointAfter(op);
    for (int64_t r = 0; r < rows; ++r)
      for (int j = 0; j < 2; ++j)
        vector::StoreOp::create(
            b, loc, op.getResult(2 * r + j), C,
            L.index(r * kPanelColumns + c + j * (int64_t)lanes));
  }
  func::ReturnOp::create(b, loc);
  return func;
}

void emitMicroKernel(KernelEmitter &e, Value rows, const SymExpr &K,
                     ValueRange operands) {
  OpBuilder &b = e.b;
  Location loc = e.L.loc;
  auto module = e.func->getParentOfType<ModuleOp>();
  int64_t k = K.constant().value_or(0), MR = microKernelRows(e.target);
  SmallVector<int64_t> cases;
  for (int64_t r = 1; r < MR; ++r)
    cases.push_back(r);
  auto sw = scf::IndexSwitchOp::create(b, loc, TypeRange{}, rows, cases,
                                       cases.size());
  auto fill = [&](Region &region, int64_t r) {
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&region);
    func::CallOp::create(b, loc, getMicroKernel(module, e.target, r, k),
                         operands);
    scf::YieldOp::create(b, loc);
  };
  for (auto [i, r] : llvm::enumerate(cases))
    fill(sw.getCaseRegions()[i], r);
  fill(sw.getDefaultRegion(), MR);
}

void forRowTiles(KernelEmitter &e, Value rows,
                 function_ref<void(Value, Value)> fn) {
  LaneBuilder &L = e.L;
  Value MR = L.index(microKernelRows(e.target));
  Value tiles = L.div(L.sub(L.add(rows, MR), L.index(1)), MR);
  Value even = L.div(rows, tiles), extra = L.sub(rows, L.mul(even, tiles));
  e.loop(L.index(0), tiles, 1, [&](Value i) {
    Value more = arith::CmpIOp::create(e.b, L.loc, arith::CmpIPredicate::ult, i,
                                       extra);
    Value mr = L.add(even, arith::IndexCastUIOp::create(
                               e.b, L.loc, e.b.getIndexType(), more));
    fn(L.add(L.mul(i, even), L.min(i, extra)), mr);
  });
}

void forPanelColumns(KernelEmitter &e, Value panel, const SymExpr &N,
                     function_ref<void(Value, Value)> fn) {
  LaneBuilder &L = e.L;
  unsigned saved = L.lanes;
  L.lanes = e.vectorLanes();
  Value n = e.dim(N), first = L.mul(panel, L.index(kPanelColumns));
  bool whole = N.constant() && *N.constant() % kPanelColumns == 0;
  e.loop(L.index(0), L.index(kPanelColumns), L.lanes, [&](Value c) {
    Value column = L.add(first, c);
    if (whole)
      return fn(c, column);
    Value left = L.sub(n, column);
    Value any = arith::CmpIOp::create(e.b, L.loc, arith::CmpIPredicate::sgt,
                                      left, L.index(0));
    e.ifThen(any, [&] {
      L.mask = L.tailMask(L.min(left, L.index(L.lanes)));
      fn(c, column);
      L.mask = {};
    });
  });
  L.lanes = saved;
}

Sink::Sink(KernelEmitter &e)
    : value(e.body().getTerminator()->getOperand(0)),
      dims(getDims(value)),
      element(getElementTypeOrSelf(value.getType())) {
  if (auto t = value.getDefiningOp<TransposeOp>()) {
    value = t.getInput();
    perm.assign(t.getPerm().begin(), t.getPerm().end());
  }
}

void Sink::store(KernelEmitter &e, ArrayRef<Idx> idx, const Idx &flat) {
  e.setDomain(getDims(value), idx, flat);
  Value v = e.emit(value, idx);
  Idx at = flat;
  if (!perm.empty()) {
    SmallVector<Idx> moved;
    for (int64_t p : perm)
      moved.push_back(idx[p]);
    at = e.linearize(moved, dims);
  }
  e.L.store(v, e.result(0), at, element);
}

} // namespace tenon
