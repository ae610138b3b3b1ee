//===- CpuWalk.cpp - elements by vectors, in one thread -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Emit/KernelLoops.h"

using namespace mlir;

namespace tenon {

namespace {

/// Vectors of a reduction.
constexpr unsigned kWide = 4;

class CpuWalk : public Walk {
public:
  unsigned lanes(const KernelLoops &e) const override {
    return e.target.vectorBits / 32;
  }
  /// One count whatever the size: it decides the order of additions.
  unsigned reductionLanes(const KernelLoops &e,
                          const SymExpr &) const override {
    return kWide * lanes(e);
  }
  int64_t rowAlignment(const KernelLoops &) const override { return 1; }
  SmallVector<Value> elements(KernelLoops &e, Value n, unsigned lanes,
                              ValueRange init, Body body) const override;
  Value combine(KernelLoops &e, Value lanes,
                vector::CombiningKind kind) const override {
    return e.L.reduceLanes(lanes, kind);
  }
  bool hasMasks() const override { return true; }
  void noteIndexError(KernelLoops &e, Value shown, Value bound) const override;
  Value status(KernelLoops &e) const override {
    Type i64 = e.b.getI64Type();
    Value code = e.L.load(e.errorRecord(), e.L.uniform(2), i64);
    return e.L.truncate(code, e.b.getI32Type());
  }
};

/// Full vectors, then one that is masked (left out where lanes divide n).
SmallVector<Value> CpuWalk::elements(KernelLoops &e, Value n, unsigned lanes,
                                     ValueRange init, Body body) const {
  LaneBuilder &L = e.L;
  LaneScope saved(L, lanes);
  auto c = constantIndex(n);
  auto lane = [&](Value i) {
    return lanes == 1 ? Idx{i, 0, 1, {}} : Idx{i, 1, (int64_t)lanes, {}};
  };
  // Full vectors: [0, n - n % lanes).
  Value full = lanes == 1 ? n : L.sub(n, L.rem(n, lanes));
  SmallVector<Value> r(init);
  if (!c || *c >= lanes)
    r = e.loop(L.index(0), full, lanes, init,
               [&](Value i, ValueRange args) { return body(lane(i), args); });
  if (lanes == 1 || (c && *c % lanes == 0))
    return r;
  Value rest = L.sub(n, full);
  auto tail = [&] {
    L.mask = L.tailMask(rest);
    SmallVector<Value> out = body(lane(full), r);
    L.mask = {};
    return out;
  };
  if (c)
    return tail(); // certain to exist: no test
  Value any = L.ne(rest, 0);
  return e.ifThen(any, r, tail);
}

void CpuWalk::noteIndexError(KernelLoops &e, Value shown, Value bound) const {
  Type i64 = e.b.getI64Type();
  auto store = [&](Value v, int64_t at) {
    e.L.store(v, e.errorRecord(), e.L.uniform(at), i64);
  };
  store(shown, 0);
  store(bound, 1);
  store(e.L.constantInt(i64, 1), 2);
}

} // namespace

const Walk &cpuWalk() {
  static const CpuWalk walk;
  return walk;
}

} // namespace tenon
