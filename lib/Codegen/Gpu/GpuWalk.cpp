//===- GpuWalk.cpp - how a GPU's kernel goes over elements ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/GpuWalk.h"
#include "lib/Codegen/Emit/KernelLoops.h"
#include "lib/Codegen/Gpu/SharedMemory.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace tenon {

//===----------------------------------------------------------------------===//
// A thread
//===----------------------------------------------------------------------===//

SmallVector<Value> ThreadWalk::elements(KernelLoops &e, Value n, unsigned lanes,
                                        ValueRange init, Body body) const {
  assert(lanes == 1 && "a thread's elements are its own");
  LaneScope saved(e.L, 1);
  return e.loop(e.L.index(0), n, 1, init, [&](Value i, ValueRange args) {
    return body(Idx{i, 0, 1, {}}, args);
  });
}

Value ThreadWalk::combine(KernelLoops &e, Value lanes,
                          vector::CombiningKind kind) const {
  return e.L.reduceLanes(lanes, kind);
}

void ThreadWalk::noteIndexError(KernelLoops &e, Value shown,
                                Value bound) const {
  OpBuilder &b = e.b;
  Location loc = e.L.loc;
  Value zero = e.L.constantInt(b.getI64Type(), 0);
  Value one = e.L.constantInt(b.getI64Type(), 1);
  auto claim = memref::GenericAtomicRMWOp::create(b, loc, e.errorRecord(),
                                                  ValueRange{e.L.index(2)});
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(claim.getBody());
    Value old = claim.getCurrentValue();
    memref::AtomicYieldOp::create(b, loc,
                                  e.L.select(e.L.eq(old, zero), one, old));
  }
  e.ifThen(e.L.eq(claim.getResult(), zero), [&] {
    memref::StoreOp::create(b, loc, shown, e.errorRecord(), e.L.index(0));
    memref::StoreOp::create(b, loc, bound, e.errorRecord(), e.L.index(1));
  });
}

Value ThreadWalk::status(KernelLoops &e) const {
  return e.L.constantInt(e.b.getI32Type(), 0);
}

//===----------------------------------------------------------------------===//
// A block
//===----------------------------------------------------------------------===//

unsigned BlockWalk::reductionLanes(const KernelLoops &e,
                                   const SymExpr &size) const {
  auto n = size.constant();
  return n && *n % tiling.getElements() == 0 ? tiling.getElements() : 1;
}

SmallVector<Value> BlockWalk::elements(KernelLoops &e, Value n, unsigned lanes,
                                       ValueRange init, Body body) const {
  LaneBuilder &L = e.L;
  LaneScope saved(L, lanes);
  Value first = L.mul(threadIndex(e), lanes);
  WalkScope own(e, inThread);
  return e.loop(first, n, int64_t(lanes) * tiling.getThreads(), init,
                [&](Value i, ValueRange args) {
                  return body(lanes == 1 ? Idx{i, 0, 1, {}}
                                         : Idx{i, 1, int64_t(lanes), {}},
                              args);
                });
}

/// A value of any width as 32-bit pieces through fn.
static Value inPieces(OpBuilder &b, Location loc, Value v,
                      function_ref<Value(Value)> fn) {
  Type type = v.getType(), i32 = b.getI32Type();
  unsigned bits = type.getIntOrFloatBitWidth();
  Type whole = b.getIntegerType(bits);
  if (type != whole)
    v = arith::BitcastOp::create(b, loc, whole, v);
  if (bits <= 32) {
    if (bits < 32)
      v = arith::ExtUIOp::create(b, loc, i32, v);
    v = fn(v);
    if (bits < 32)
      v = arith::TruncIOp::create(b, loc, whole, v);
  } else {
    Value half = arith::ConstantIntOp::create(b, loc, whole, 32);
    Value high = arith::ShRUIOp::create(b, loc, v, half);
    auto move = [&](Value piece) -> Value {
      piece = fn(arith::TruncIOp::create(b, loc, i32, piece));
      return arith::ExtUIOp::create(b, loc, whole, piece);
    };
    Value low = move(v);
    v = arith::OrIOp::create(b, loc, low,
                             arith::ShLIOp::create(b, loc, move(high), half));
  }
  return type == whole ? v : Value(arith::BitcastOp::create(b, loc, type, v));
}

Value valueOfLane(KernelLoops &e, Value v, unsigned distance) {
  OpBuilder &b = e.b;
  Type i32 = b.getI32Type();
  auto number = [&](int64_t n) { return e.L.constantInt(i32, n); };
  return inPieces(b, e.L.loc, v, [&](Value piece) -> Value {
    return NVVM::ShflOp::create(b, e.L.loc, i32, number(-1), piece,
                                number(distance), number(kWarp - 1),
                                NVVM::ShflKind::bfly, UnitAttr());
  });
}

Value BlockWalk::combine(KernelLoops &e, Value lanes,
                         vector::CombiningKind kind) const {
  OpBuilder &b = e.b;
  LaneBuilder &L = e.L;
  Value v = L.reduceLanes(lanes, kind);
  for (unsigned distance = kWarp / 2; distance > 0; distance /= 2)
    v = vector::makeArithReduction(b, L.loc, kind, v,
                                   valueOfLane(e, v, distance));
  unsigned warps = tiling.getThreads() / kWarp;
  if (warps == 1)
    return v;
  // The warps' values lie close: LLVM loads several at once.
  unsigned bits = std::max(8u, v.getType().getIntOrFloatBitWidth());
  SharedArray partials(e, "tenon_partials_" + std::to_string(bits),
                       b.getIntegerType(bits), kWarp);
  Value thread = threadIndex(e), warp = L.div(thread, kWarp);
  // They may still be read from the reduction before.
  emitBarrier(e);
  e.ifThen(L.eq(L.rem(thread, kWarp), 0), [&] { partials.store(v, warp); });
  emitBarrier(e);
  Value all;
  for (unsigned w = 0; w < warps; ++w) {
    Value x = partials.load(v.getType(), L.index(w));
    all = all ? vector::makeArithReduction(b, L.loc, kind, all, x) : x;
  }
  return all;
}

} // namespace tenon
