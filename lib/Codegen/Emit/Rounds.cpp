//===- Rounds.cpp - parts of rounds that threads share --------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A team has a counter of parts that are done, and one for each part: the round
// that nobody has claimed it in yet. Round r begins when r * parts are done.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Emit/Rounds.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace tenon {

namespace {

struct Counters {
  KernelEmitter &e;
  const Rounds &rounds;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Type i64 = b.getI64Type();
  static constexpr unsigned kBytes = 8;

  Value pointer(Value element) {
    Value base =
        memref::ExtractAlignedPointerAsIndexOp::create(b, L.loc, rounds.memory);
    Value place = L.toI64(L.add(base, L.mul(L.add(rounds.at, element), 4)));
    return LLVM::IntToPtrOp::create(
        b, L.loc, LLVM::LLVMPointerType::get(b.getContext()), place);
  }
  Value done() { return pointer(L.index(0)); }
  Value claimOf(Value part) {
    return pointer(L.mul(L.add(part, 1), Rounds::kCounterElements));
  }
  /// What other threads wrote before they counted is seen behind it.
  Value load(Value counter) {
    Value v = LLVM::LoadOp::create(
        b, L.loc, i64, counter, kBytes,
        /*isVolatile=*/false, /*isNonTemporal=*/false,
        /*isInvariant=*/false,
        /*isInvariantGroup=*/false, LLVM::AtomicOrdering::acquire);
    return arith::IndexCastOp::create(b, L.loc, b.getIndexType(), v);
  }
  /// Was `round` still to be claimed, and is ours?
  Value claim(Value counter, Value round) {
    auto swap = LLVM::AtomicCmpXchgOp::create(
        b, L.loc, counter, L.toI64(round), L.toI64(L.add(round, 1)),
        LLVM::AtomicOrdering::acq_rel, LLVM::AtomicOrdering::monotonic);
    return LLVM::ExtractValueOp::create(b, L.loc, swap, 1);
  }
  void count() {
    LLVM::AtomicRMWOp::create(b, L.loc, LLVM::AtomicBinOp::add, done(),
                              L.constantInt(i64, 1),
                              LLVM::AtomicOrdering::acq_rel);
  }
  void waitFor(Value parts) {
    e.whileLoop(
        load(done()), [&](Value found) { return L.ult(found, parts); },
        [&](Value) {
          LLVM::CallIntrinsicOp::create(
              b, L.loc, b.getStringAttr("llvm.x86.sse2.pause"), ValueRange());
          return load(done());
        });
  }
};

} // namespace

void clearRounds(KernelEmitter &e, const Rounds &rounds) {
  LaneBuilder &L = e.L;
  Type f32 = e.b.getF32Type();
  e.lanesLoop(L.index(Rounds::elements(rounds.parts)), e.vectorLanes(),
              [&](Idx i) {
                L.store(L.constant(L.vec(f32), 0), rounds.memory,
                        L.add(L.uniform(rounds.at), i), f32);
              });
}

void walkRounds(KernelEmitter &e, const Rounds &rounds, Value count, Value self,
                function_ref<void(Value, Value)> fn) {
  LaneBuilder &L = e.L;
  Counters c{e, rounds};
  Value first = L.div(c.load(c.done()), rounds.parts);
  e.loop(first, count, 1, [&](Value round) {
    c.waitFor(L.mul(round, rounds.parts));
    e.loop(L.index(0), L.index(rounds.parts), 1, [&](Value i) {
      Value part = L.rem(L.add(self, i), rounds.parts);
      Value counter = c.claimOf(part);
      // A look first: most claims of others are seen without a write.
      Value isFree = e.bothIn(L.eq(c.load(counter), round),
                              [&] { return c.claim(counter, round); });
      e.ifThen(isFree, [&] {
        fn(round, part);
        c.count();
      });
    });
  });
}

} // namespace tenon
