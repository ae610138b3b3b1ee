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
// One function per row count and distance of A's rows serves every layer of a
// model, so a model costs a dozen of them, however many layers it has. C goes
// to scratch memory in the cache: the epilogue (bias, activation, residual) is
// emitted per kernel as a loop over it, 2% of the time of a K of 384, and the
// register tile need not be compiled again for each epilogue.
//
// Each element is one chain of additions in order of k, whatever the tile: bits
// do not depend on the row count. Cutting K into chunks for the L1 cache was
// measured and gave nothing: B's panel comes from the L2 cache fast enough.
//
// With very few rows there are too few accumulators to hide the latency of an
// addition: the narrow kernels take several neighbouring panels at once.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"
#include "dialects/Tenon/IR/TenonShape.h"

using namespace mlir;

namespace tenon {

int64_t microKernelRows(const TargetInfo &target) {
  return target.numVectorRegs >= 32 ? 12 : 6;
}

int64_t narrowRows(const TargetInfo &target) {
  return target.numVectorRegs >= 32 ? 3 : 1;
}

func::FuncOp getMicroKernel(ModuleOp module, const TargetInfo &target,
                            const MicroKernelShape &shape) {
  auto [rows, panels, lda] = shape;
  std::string name = "gemm_f32_" + std::to_string(rows) + "x" +
                     std::to_string(panels * kPanelColumns) + "_lda" +
                     (lda ? std::to_string(lda) : std::string());
  if (auto f = module.lookupSymbol<func::FuncOp>(name))
    return f;
  OpBuilder b(module.getContext());
  b.setInsertionPointToStart(module.getBody());
  Location loc = module.getLoc();
  Type index = b.getIndexType(), f32 = b.getF32Type();
  Type mem = MemRefType::get({ShapedType::kDynamic}, f32);
  auto func = func::FuncOp::create(
      b, loc, name,
      b.getFunctionType(
          {mem, index, index, mem, index, index, index, mem, index}, {}));
  func.setPrivate();
  Block *entry = func.addEntryBlock();
  b.setInsertionPointToStart(entry);
  unsigned lanes = target.vectorBits / 32;
  LaneBuilder L(b, loc, lanes);
  Value A = entry->getArgument(0), a0 = entry->getArgument(1);
  Value stride = lda ? L.index(lda) : entry->getArgument(2);
  Value B = entry->getArgument(3), b0 = entry->getArgument(4);
  Value panelStride = entry->getArgument(5), n = entry->getArgument(6);
  Value C = entry->getArgument(7), c0 = entry->getArgument(8);
  auto vt = cast<VectorType>(L.vec(f32));

  int64_t columns = 2 * lanes; // of a panel at a time
  for (int64_t c = 0; c < kPanelColumns; c += columns) {
    // Accumulator (r, p, j): row r, vector j of panel p's columns.
    auto place = [&](int64_t r, int64_t p, int j) {
      return L.add(
          c0, L.index((p * rows + r) * kPanelColumns + c + j * (int64_t)lanes));
    };
    auto forEach = [&](auto fn) {
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t p = 0; p < panels; ++p)
          for (int j = 0; j < 2; ++j)
            fn(r, p, j);
    };
    SmallVector<Value> zeros(2 * rows * panels, L.constant(vt, 0));
    auto op = scf::ForOp::create(b, loc, L.index(0), n, L.index(1), zeros);
    b.setInsertionPointToStart(op.getBody());
    Value i = op.getInductionVar();
    Value bAt = L.add(L.add(b0, L.mul(i, L.index(kPanelColumns))), L.index(c));
    SmallVector<Value> y;
    for (int64_t p = 0; p < panels; ++p)
      for (int j = 0; j < 2; ++j)
        y.push_back(vector::LoadOp::create(
            b, loc, vt, B,
            L.add(L.add(bAt, L.mul(panelStride, L.index(p))),
                  L.index(j * lanes))));
    // The next panels begin where these end: their lines are fetched into the
    // L2 cache while these are multiplied. With few rows the weights' way from
    // memory is most of the time there is.
    for (int64_t p = 0; p < panels; ++p)
      for (int j = 0; j < 2; ++j)
        memref::PrefetchOp::create(
            b, loc, B,
            L.add(L.add(bAt, L.mul(panelStride, L.index(panels + p))),
                  L.index(j * lanes)),
            /*isWrite=*/false, /*localityHint=*/2, /*isDataCache=*/true);
    Value aAt = L.add(a0, i);
    SmallVector<Value> next;
    Value x;
    forEach([&](int64_t r, int64_t p, int j) {
      if (p == 0 && j == 0)
        x = vector::BroadcastOp::create(
            b, loc, vt,
            memref::LoadOp::create(b, loc, A,
                                   L.add(aAt, L.mul(L.index(r), stride)))
                .getResult());
      Value sum = op.getRegionIterArg(next.size());
      Value z = y[2 * p + j];
      next.push_back(
          target.hasFma
              ? Value(math::FmaOp::create(b, loc, x, z, sum))
              : Value(arith::AddFOp::create(
                    b, loc, sum, arith::MulFOp::create(b, loc, x, z))));
    });
    scf::YieldOp::create(b, loc, next);
    b.setInsertionPointAfter(op);
    unsigned k = 0;
    forEach([&](int64_t r, int64_t p, int j) {
      vector::StoreOp::create(b, loc, op.getResult(k++), C, place(r, p, j));
    });
  }
  func::ReturnOp::create(b, loc);
  return func;
}

void emitMicroKernel(KernelEmitter &e, Value rows, const SymExpr &lda,
                     const MicroKernelOperands &o, int64_t panels) {
  OpBuilder &b = e.b;
  Location loc = e.L.loc;
  auto module = e.func->getParentOfType<ModuleOp>();
  int64_t most = panels > 1 ? narrowRows(e.target) : microKernelRows(e.target);
  SmallVector<int64_t> cases;
  for (int64_t r = 1; r < most; ++r)
    cases.push_back(r);
  SmallVector<Value> operands{o.A,           o.aAt, e.dim(lda), o.B,  o.bAt,
                              o.panelStride, o.K,   o.C,        o.cAt};
  auto sw = scf::IndexSwitchOp::create(b, loc, TypeRange{}, rows, cases,
                                       cases.size());
  auto fill = [&](Region &region, int64_t r) {
    OpBuilder::InsertionGuard guard(b);
    b.createBlock(&region);
    func::CallOp::create(
        b, loc,
        getMicroKernel(module, e.target,
                       {r, panels, lda.constant().value_or(0)}),
        operands);
    scf::YieldOp::create(b, loc);
  };
  for (auto [i, r] : llvm::enumerate(cases))
    fill(sw.getCaseRegions()[i], r);
  fill(sw.getDefaultRegion(), most);
}

void forRowTiles(KernelEmitter &e, Value rows,
                 function_ref<void(Value, Value)> fn) {
  LaneBuilder &L = e.L;
  Value MR = L.index(microKernelRows(e.target));
  Value tiles = L.div(L.sub(L.add(rows, MR), L.index(1)), MR);
  Value even = L.div(rows, tiles), extra = L.sub(rows, L.mul(even, tiles));
  e.loop(L.index(0), tiles, 1, [&](Value i) {
    Value more =
        arith::CmpIOp::create(e.b, L.loc, arith::CmpIPredicate::ult, i, extra);
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
    : value(e.body().getTerminator()->getOperand(0)), dims(getDims(value)),
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
