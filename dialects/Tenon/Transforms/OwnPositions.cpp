//===- OwnPositions.cpp - positions of each sequence ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/Transforms/OwnPositions.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Check.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/DimsValue.h"
#include "dialects/Tenon/IR/Ops/Iota.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/StoredRows.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace tenon {

bool PastLength::isIn(const SymExpr &expr) const {
  std::vector<std::string> names;
  expr.collectSymbols(names);
  return llvm::any_of(names, [&](const std::string &name) {
    return name == past || related.count(name);
  });
}

PastLength::PastLength(func::FuncOp main, ArrayRef<std::string> pasts)
    : past(pasts.front()) {
  for (const std::string &other : pasts.drop_front()) {
    equal.try_emplace(other, SymExpr::symbol(past));
    related.insert(other);
  }
  for (auto check : main.getBody().front().getOps<CheckOp>()) {
    auto lhs = SymExpr::parse(check.getLhs().str()),
         rhs = SymExpr::parse(check.getRhs().str());
    if (check.getKind() == CheckKind::le || !lhs || !rhs ||
        isIn(*lhs) == isIn(*rhs))
      continue;
    if (isIn(*lhs))
      std::swap(lhs, rhs);
    if (auto whole = lhs->asSymbol();
        whole && check.getKind() == CheckKind::eq && !check.getWhen())
      equal.try_emplace(*whole, resolve(*rhs));
    std::vector<std::string> names, known;
    lhs->collectSymbols(names);
    rhs->collectSymbols(known);
    for (const std::string &name : names)
      if (!llvm::is_contained(known, name))
        related.insert(name);
  }
}

namespace {

struct PerSequence {
  func::FuncOp main;
  const PastLength length;
  const std::string &past = length.past;
  const SymExpr &sequences;
  StringRef table;
  OpBuilder b{main.getContext()};
  Value stored;                       ///< rows of each sequence, [sequences]
  DenseMap<Value, unsigned> counting; ///< how many ops after another; 0: none
  DenseMap<Value, Value> made;        ///< with a dim of sequences in front

  /// The part of `e` without the past, if it is that and a multiple of it.
  std::optional<std::pair<SymExpr, int64_t>> split(const SymExpr &given) {
    SymExpr e = length.resolve(given);
    SymExpr rest = e.substitute({{past, SymExpr(0)}});
    auto times = (e.substitute({{past, SymExpr(1)}}) - rest).constant();
    if (times.value_or(0) == 0 ||
        e != rest + SymExpr(*times) * SymExpr::symbol(past))
      return std::nullopt;
    return std::pair{rest, *times};
  }
  PerSequence(func::FuncOp main, ArrayRef<std::string> pasts,
              const SymExpr &sequences, StringRef table)
      : main(main), length(main, pasts), sequences(sequences), table(table) {}
  bool isSource(Operation *op);
  bool counts(Value v);
  SmallVector<SymExpr> inFront(ArrayRef<SymExpr> dims) {
    SmallVector<SymExpr> all{sequences};
    all.append(dims.begin(), dims.end());
    return all;
  }
  Value reshape(Location loc, Value v, ArrayRef<SymExpr> dims) {
    return ReshapeOp::create(b, loc, v, DimsAttr::get(b.getContext(), dims));
  }
  Value alignTo(Location loc, Value own, Value old, size_t rank);
  Value numbers(Location loc, Value first, int64_t times, Type element);
  Value make(Value v);
  Value makeOf(Operation *op);
  Value withOperands(Operation *op);
  void run();
};

/// Does it make numbers of the past's length, for all sequences alike?
bool PerSequence::isSource(Operation *op) {
  if (auto iota = dyn_cast<IotaOp>(op))
    return length.isIn(SymExpr::parse(iota.getStart()).value_or(0));
  if (auto value = dyn_cast<DimsValueOp>(op))
    return length.isIn(value.getExprs().getSymExprs());
  return false;
}

/// Is it made of such numbers, and has no dim of sequences or of all rows? A
/// mask, which compares them with the places of columns, is not.
bool PerSequence::counts(Value v) {
  Operation *op = v.getDefiningOp();
  if (!op || op->getNumResults() != 1 || op->getNumRegions() ||
      op->getBlock() != &main.getBody().front())
    return false;
  SmallVector<SymExpr> dims = getDims(v);
  if (getElementTypeOrSelf(v.getType()).isInteger(1) || length.isIn(dims) ||
      (!dims.empty() && dims.front() == sequences))
    return false;
  auto [known, fresh] = counting.try_emplace(v, 0);
  if (!fresh)
    return known->second;
  constexpr unsigned kMostDepth = 256;
  unsigned number = isSource(op);
  for (Value o : op->getOperands())
    if (counts(o))
      number = std::max(number, counting.lookup(o) + 1);
  if (number > kMostDepth)
    number = 0;
  counting[v] = number;
  return number;
}

/// A value with sequences in front, of one with fewer dims than `rank`, so that
/// it is broadcast to that many behind the first.
Value PerSequence::alignTo(Location loc, Value own, Value old, size_t rank) {
  SmallVector<SymExpr> dims = getDims(old);
  if (dims.size() == rank)
    return own;
  dims.insert(dims.begin(), rank - dims.size(), SymExpr(1));
  return reshape(loc, own, inFront(dims));
}

/// `first`, i64, and the rows of each sequence so many times.
Value PerSequence::numbers(Location loc, Value first, int64_t times,
                           Type element) {
  size_t rank = getDims(first).size();
  SmallVector<SymExpr> column(rank, SymExpr(1));
  Value rows = stored;
  if (rank)
    rows = reshape(loc, rows, inFront(column));
  if (times != 1) {
    auto type = RankedTensorType::get({}, b.getI64Type());
    Value factor = createConstant(
        b, loc, DenseElementsAttr::get(type, b.getI64IntegerAttr(times)));
    rows = MulOp::create(b, loc, rows, factor);
  }
  Value all = AddOp::create(b, loc, rows, first);
  if (element.isInteger(64))
    return all;
  return CastOp::create(b, loc, all, TypeAttr::get(element), UnitAttr(),
                        RoundModeAttr());
}

Value PerSequence::make(Value v) {
  if (auto known = made.find(v); known != made.end())
    return known->second;
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointAfter(v.getDefiningOp());
  Value own = makeOf(v.getDefiningOp());
  return made[v] = own;
}

/// The same op of operands with sequences in front, which its dims follow.
Value PerSequence::withOperands(Operation *op) {
  size_t rank = getDims(op->getResult(0)).size();
  SmallVector<Value> operands;
  for (Value o : op->getOperands()) {
    Value own = counts(o) ? make(o) : o;
    if (!own)
      return nullptr;
    operands.push_back(own == o ? o : alignTo(op->getLoc(), own, o, rank));
  }
  Operation *clone = b.clone(*op);
  clone->setOperands(operands);
  clone->getResult(0).setType(
      getTensorType(inFront(getDims(op->getResult(0))),
                    getElementTypeOrSelf(op->getResult(0).getType())));
  return clone->getResult(0);
}

Value PerSequence::makeOf(Operation *op) {
  Location loc = op->getLoc();
  SmallVector<SymExpr> to = inFront(getDims(op->getResult(0)));
  auto dims = DimsAttr::get(b.getContext(), to);
  if (isa<MatMulOp>(op) || op->hasTrait<OpTrait::Elementwise>())
    return withOperands(op);
  if (auto gather = dyn_cast<GatherOp>(op)) {
    bool simple = gather.getAxis() == 0 && !counts(gather.getInput());
    Value rows = simple ? make(gather.getIndices()) : Value();
    return rows ? GatherOp::create(b, loc, gather.getInput(), rows, uint64_t(0))
                : Value();
  }
  if (auto iota = dyn_cast<IotaOp>(op)) {
    auto first = split(SymExpr::parse(iota.getStart().str()).value_or(0));
    if (!first)
      return nullptr;
    Value all = IotaOp::create(b, loc, first->first.str(), iota.getStep(),
                               iota.getSize(), b.getI64Type());
    return numbers(loc, all, first->second, iota.getElementType());
  }
  if (auto value = dyn_cast<DimsValueOp>(op)) {
    SmallVector<SymExpr> exprs = value.getExprs().getSymExprs();
    auto first = exprs.size() == 1 ? split(exprs[0]) : std::nullopt;
    if (!first)
      return nullptr;
    SmallVector<SymExpr> rest{first->first};
    Value one =
        DimsValueOp::create(b, loc, DimsAttr::get(b.getContext(), rest),
                            TypeAttr::get(b.getI64Type()),
                            value.getScalar() ? b.getUnitAttr() : UnitAttr());
    return numbers(loc, one, first->second, value.getElementType());
  }
  if (auto concat = dyn_cast<ConcatOp>(op)) {
    SmallVector<Value> inputs;
    for (Value o : concat.getInputs()) {
      Value own = counts(o) ? make(o) : Value();
      if (!counts(o)) {
        SmallVector<SymExpr> all = inFront(getDims(o));
        own = BroadcastToOp::create(b, loc, o,
                                    DimsAttr::get(b.getContext(), all));
      }
      if (!own)
        return nullptr;
      inputs.push_back(own);
    }
    return ConcatOp::create(b, loc, inputs, concat.getAxis() + 1);
  }
  Value own = op->getNumOperands() == 1 ? make(op->getOperand(0)) : Value();
  if (!own)
    return nullptr;
  return llvm::TypeSwitch<Operation *, Value>(op)
      .Case([&](ReshapeOp) -> Value {
        return ReshapeOp::create(b, loc, own, dims);
      })
      .Case([&](BroadcastToOp view) -> Value {
        own = alignTo(loc, own, view.getInput(), to.size() - 1);
        return BroadcastToOp::create(b, loc, own, dims);
      })
      .Case([&](TransposeOp view) -> Value {
        SmallVector<int64_t> perm{0};
        for (int64_t p : view.getPerm())
          perm.push_back(p + 1);
        return TransposeOp::create(b, loc, own, perm);
      })
      .Case([&](SliceOp view) -> Value {
        SmallVector<SymExpr> starts{SymExpr(0)};
        llvm::append_range(starts, view.getStarts().getSymExprs());
        SmallVector<int64_t> steps{1};
        llvm::append_range(steps, view.getSteps());
        if (length.isIn(starts))
          return nullptr;
        return SliceOp::create(b, loc, own,
                               DimsAttr::get(b.getContext(), starts),
                               b.getDenseI64ArrayAttr(steps), dims);
      })
      .Default([](Operation *) { return Value(); });
}

void PerSequence::run() {
  Block &block = main.getBody().front();
  // Where what counts meets what has sequences in front.
  SmallVector<OpOperand *> meetings;
  for (Operation &op : block) {
    for (Value result : op.getResults()) // in order: no deep recursion
      counts(result);
    bool joins = op.hasTrait<OpTrait::Elementwise>() || isa<BroadcastToOp>(op);
    if (!joins || op.getNumResults() != 1)
      continue;
    SmallVector<SymExpr> dims = getDims(op.getResult(0));
    if (dims.empty() || dims.front() != sequences || length.isIn(dims))
      continue;
    for (OpOperand &operand : op.getOpOperands()) {
      SmallVector<SymExpr> own = getDims(operand.get());
      if (counts(operand.get()) &&
          (own.size() < dims.size() || own.front() == SymExpr(1)))
        meetings.push_back(&operand);
    }
  }
  if (meetings.empty())
    return;
  b.setInsertionPointToStart(&block);
  stored = StoredRowsOp::create(b, main.getLoc(), past, sequences.str(), table);
  for (OpOperand *operand : meetings) {
    Value old = operand->get(), own = make(old);
    if (!own)
      continue;
    Operation *op = operand->getOwner();
    b.setInsertionPoint(op);
    size_t rank = getDims(op->getResult(0)).size();
    SmallVector<SymExpr> dims = getDims(old);
    if (dims.size() == rank)
      dims.erase(dims.begin());
    if (dims.size() + 1 < rank)
      dims.insert(dims.begin(), rank - 1 - dims.size(), SymExpr(1));
    if (getDims(own) != inFront(dims))
      own = reshape(op->getLoc(), own, inFront(dims));
    operand->set(own);
  }
  // What led to nothing, and what nothing reads any more.
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (isOpTriviallyDead(&op))
      op.erase();
}

} // namespace

void countPerSequence(func::FuncOp main, ArrayRef<std::string> pasts,
                      const SymExpr &sequences, StringRef table) {
  PerSequence(main, pasts, sequences, table).run();
}

} // namespace tenon
