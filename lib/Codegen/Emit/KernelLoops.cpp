//===- KernelLoops.cpp - loops and branches of a kernel -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Emit/KernelLoops.h"
#include "dialects/Tenon/IR/TenonKernel.h"

using namespace mlir;

namespace tenon {

/// A nested block: at its end what was known before is known again.
struct KernelLoops::Scope {
  explicit Scope(KernelLoops &e)
      : e(e), saved(e.known), ip(e.b.saveInsertionPoint()) {}
  ~Scope() {
    e.known = std::move(saved);
    e.b.restoreInsertionPoint(ip);
  }
  KernelLoops &e;
  std::map<Key, Value> saved;
  OpBuilder::InsertPoint ip;
};

KernelLoops::KernelLoops(KernelOp kernel, func::FuncOp func,
                         const TargetInfo &target, const Walk &walk,
                         KernelInfo &info)
    : KernelFunction(kernel, func, target, info), current(&walk) {}

Value KernelLoops::lookUp(const Key &key) const {
  auto it = known.find(key);
  return it == known.end() ? Value() : it->second;
}

void KernelLoops::remember(Key key, Value v) { known[std::move(key)] = v; }

void KernelLoops::loop(Value lo, Value hi, int64_t step,
                       function_ref<void(Value)> fn) {
  auto op = scf::ForOp::create(b, L.loc, lo, hi, L.index(step));
  Scope scope(*this);
  b.setInsertionPointToStart(op.getBody());
  fn(op.getInductionVar());
}

SmallVector<Value>
KernelLoops::loop(Value lo, Value hi, int64_t step, ValueRange init,
                  function_ref<SmallVector<Value>(Value, ValueRange)> fn) {
  auto op = scf::ForOp::create(b, L.loc, lo, hi, L.index(step), init);
  {
    Scope scope(*this);
    b.setInsertionPointToStart(op.getBody());
    SmallVector<Value> next = fn(op.getInductionVar(), op.getRegionIterArgs());
    if (!init.empty())
      scf::YieldOp::create(b, L.loc, next);
  }
  return SmallVector<Value>(op.getResults());
}

SmallVector<Value>
KernelLoops::whileLoop(ValueRange init,
                       function_ref<Value(ValueRange)> condition,
                       function_ref<SmallVector<Value>(ValueRange)> next) {
  auto inside = [&](auto fn) {
    return [this, fn](OpBuilder &, Location, ValueRange args) {
      Scope scope(*this);
      b.setInsertionPointToEnd(cast<BlockArgument>(args[0]).getOwner());
      fn(args);
    };
  };
  auto op = scf::WhileOp::create(
      b, L.loc, init.getTypes(), init, inside([&](ValueRange args) {
        scf::ConditionOp::create(b, L.loc, condition(args), args);
      }),
      inside([&](ValueRange args) {
        scf::YieldOp::create(b, L.loc, next(args));
      }));
  return SmallVector<Value>(op.getResults());
}

Value KernelLoops::whileLoop(Value init, function_ref<Value(Value)> condition,
                             function_ref<Value(Value)> next) {
  return whileLoop(
      ValueRange(init), [&](ValueRange v) { return condition(v[0]); },
      [&](ValueRange v) { return SmallVector<Value>{next(v[0])}; })[0];
}

void KernelLoops::lanesLoop(Value n, unsigned lanes,
                            function_ref<void(Idx)> fn) {
  lanesLoop(n, lanes, {}, [&](Idx i, ValueRange) {
    fn(i);
    return SmallVector<Value>{};
  });
}

SmallVector<Value>
KernelLoops::lanesLoop(Value n, unsigned lanes, ValueRange init,
                       function_ref<SmallVector<Value>(Idx, ValueRange)> fn) {
  return current->elements(*this, n, lanes, init, fn);
}

Value KernelLoops::combineLanes(Value v, vector::CombiningKind kind) {
  return current->combine(*this, v, kind);
}

SmallVector<Value>
KernelLoops::ifThen(Value condition, ValueRange otherwise,
                    function_ref<SmallVector<Value>()> then) {
  auto op = scf::IfOp::create(b, L.loc, otherwise.getTypes(), condition,
                              /*withElse=*/!otherwise.empty());
  Scope scope(*this);
  b.setInsertionPointToStart(op.thenBlock());
  SmallVector<Value> next = then();
  if (!otherwise.empty()) {
    scf::YieldOp::create(b, L.loc, next);
    b.setInsertionPointToStart(op.elseBlock());
    scf::YieldOp::create(b, L.loc, otherwise);
  }
  return SmallVector<Value>(op.getResults());
}

Value KernelLoops::ifElse(Value condition, Type type,
                          function_ref<Value()> then,
                          function_ref<Value()> otherwise) {
  auto op = scf::IfOp::create(b, L.loc, TypeRange{type}, condition, true);
  auto branch = [&](Block *block, function_ref<Value()> fn) {
    Scope scope(*this);
    b.setInsertionPointToStart(block);
    Value v = fn();
    if (v && v.getType() != type)
      v = L.widen(v);
    if (!v) {
      setFailed();
      v = L.constant(type, 0);
    }
    scf::YieldOp::create(b, L.loc, v);
  };
  branch(op.thenBlock(), then);
  branch(op.elseBlock(), otherwise);
  return op.getResult(0);
}

Value KernelLoops::bothIn(Value condition, function_ref<Value()> more) {
  Type type = b.getI1Type();
  return ifElse(condition, type, more, [&] { return L.constantInt(type, 0); });
}

Value KernelLoops::extremeOf(Value first, Value end, bool largest,
                             function_ref<Value(Value)> fn) {
  Value init = fn(first);
  return loop(L.add(first, 1), end, 1, init, [&](Value i, ValueRange carried) {
    Value x = fn(i);
    return SmallVector<Value>{largest ? L.max(carried[0], x)
                                      : L.min(carried[0], x)};
  })[0];
}

Value KernelLoops::apart(function_ref<Value()> fn) {
  Scope scope(*this);
  return fn();
}

void KernelLoops::ifThen(Value condition, function_ref<void()> then) {
  auto op = scf::IfOp::create(b, L.loc, condition, false);
  Scope scope(*this);
  b.setInsertionPointToStart(op.thenBlock());
  then();
}

} // namespace tenon
