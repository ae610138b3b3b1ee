//===- OwnLengths.cpp - sequences of unequal lengths in one run -----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Form/OwnLengths.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/DimsValue.h"
#include "dialects/Tenon/IR/Ops/Iota.h"
#include "dialects/Tenon/IR/Ops/LoadPages.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/StorePages.h"
#include "dialects/Tenon/IR/Ops/StoredRows.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonIndexValue.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/OwnPositions.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "lib/Codegen/Form/RowPanels.h"
#include "llvm/Support/SaveAndRestore.h"

using namespace mlir;

namespace tenon {

namespace {

constexpr StringLiteral kPass = "tenon-form-kernels";

struct OwnLengths {
  OwnLengths(func::FuncOp main, ArrayRef<AttentionProducts> all)
      : main(main), all(all) {}

  func::FuncOp main;
  ArrayRef<AttentionProducts> all;
  Block &block = main.getBody().front();
  SmallVector<AppendOp> appends;  // to what grows
  SmallVector<std::string> pasts; // the dims that are its length
  SymExpr sequences, added;
  std::optional<PastLength> length;
  DenseSet<Operation *> keysOf, valuesOf; // products that read what grows
  DenseMap<Value, Operation *> counting;  // what depends on `past`, by which op
  DenseMap<Value, bool> moving;           // what moves() has said
  unsigned depth = 0;                     // of it
  IndexEvaluator values;
  std::string why;
  Location where = main.getLoc();

  bool fail(Operation *op, const Twine &what) {
    where = op->getLoc();
    if (isa<func::FuncOp>(op)) {
      why = ("the model " + what).str();
      return false;
    }
    why = (nodeOf(op) + " " + what).str();
    return false;
  }
  bool findStates();
  bool readsAlone(AppendOp append);
  LoadPagesOp pagesOf(PackedMatMulOp scores);
  bool isSource(Operation &op);
  void findCounting();
  bool moves(Value v);
  bool movesAnew(Value v);
  bool isSteady(const IndexValue &value, ArrayRef<SymExpr> dims);
  bool keepsColumns(ReshapeOp op);
  bool isOutcomeOfMask(Operation &op);
  bool isElementOfColumn(GatherOp gather);
  bool holds();
  bool liesInPages();
  void take();
};

/// Do all that grow have the same sequences and length?
bool OwnLengths::findStates() {
  for (BlockArgument arg : main.getArguments()) {
    auto state = main.getArgAttrOfType<DictionaryAttr>(arg.getArgNumber(),
                                                       "tenon.state");
    if (!state)
      continue;
    if (state.get("replaced") && state.get("axis"))
      return fail(main, "has a window that fills, with one number of rows for "
                        "all sequences");
    auto append =
        arg.hasOneUse() ? dyn_cast<AppendOp>(*arg.user_begin()) : AppendOp();
    if (!append || !state.get("capacity"))
      continue;
    SmallVector<SymExpr> dims = getDims(arg);
    auto rows = dims[append.getAxis()].asSymbol();
    SymExpr fresh = getDims(append.getFresh())[append.getAxis()];
    if (!rows || (!appends.empty() && (dims[0] != sequences || fresh != added)))
      return fail(append, "has other sequences, or new rows, than others");
    if (!llvm::is_contained(pasts, *rows))
      pasts.push_back(*rows);
    sequences = dims[0];
    added = fresh;
    appends.push_back(append);
  }
  return true;
}

/// Is what grows read by attentions alone, as keys or as values?
bool OwnLengths::readsAlone(AppendOp append) {
  SmallVector<Value> views{append.getResult()};
  while (!views.empty()) {
    Value view = views.pop_back_val();
    for (OpOperand &use : view.getUses()) {
      Operation *user = use.getOwner();
      auto slice = dyn_cast<SliceOp>(user);
      bool isView = isTranspose(user) ||
                    isa<LoadPagesOp, ReshapeOp, BroadcastToOp, PackBOp>(user) ||
                    (isa<StorePagesOp>(user) && use.getOperandNumber() == 0) ||
                    (slice && takesFirstRows(slice));
      if (isView) {
        views.push_back(user->getResult(0));
        continue;
      }
      if (isa<func::ReturnOp>(user))
        continue;
      bool isKey = false, isValue = false;
      for (AttentionProducts attention : all) {
        isKey |= attention.scores.getOperation() == user;
        isValue |= attention.output.getOperation() == user;
      }
      if (use.getOperandNumber() != 1 || (!isKey && !isValue))
        return fail(user, "reads rows of all sequences");
      (isKey ? keysOf : valuesOf).insert(user);
    }
  }
  return true;
}

LoadPagesOp OwnLengths::pagesOf(PackedMatMulOp scores) {
  Value packed = scores.getPacked();
  while (isa_and_nonnull<BroadcastToOp, ReshapeOp>(packed.getDefiningOp()))
    packed = packed.getDefiningOp()->getOperand(0);
  return packed.getDefiningOp<LoadPagesOp>();
}

/// Are its numbers made of the past's length, or of the places of columns?
bool OwnLengths::isSource(Operation &op) {
  if (isa<ReshapeOp, BroadcastToOp, PackedMatMulOp, LoadPagesOp, StorePagesOp,
          AppendOp, StoredRowsOp>(op))
    return false; // of dims alone
  if (auto slice = dyn_cast<SliceOp>(op)) {
    if (takesFirstRows(slice) && slice.getInput().getDefiningOp<AppendOp>())
      return false; // of a cache
    SmallVector<SymExpr> from = getDims(slice.getInput()),
                         to = getDims(slice.getResult()),
                         starts = slice.getStarts().getSymExprs();
    for (size_t i = 0; i < from.size(); ++i)
      if (!length->isIn(from[i]) &&
          (length->isIn(starts[i]) || length->isIn(to[i])))
        return true;
    return false;
  }
  for (NamedAttribute attr : op.getAttrs()) {
    if (auto dims = dyn_cast<DimsAttr>(attr.getValue());
        dims && length->isIn(dims.getSymExprs()))
      return true;
    auto text = dyn_cast<StringAttr>(attr.getValue());
    if (auto expr = text && attr.getName() != "tenon.value"
                        ? SymExpr::parse(text.str())
                        : std::nullopt;
        expr && length->isIn(*expr))
      return true;
  }
  return false;
}

/// Does it say of a query whether it looks at any key?
bool OwnLengths::isOutcomeOfMask(Operation &op) {
  auto reduce = dyn_cast<ReduceOp>(op);
  if (!reduce || reduce.getKind() != ReduceKind::any ||
      !moves(reduce.getInput())) {
    why.clear();
    return false;
  }
  return true;
}

void OwnLengths::findCounting() {
  for (Operation &op : block) {
    if (op.getNumResults() == 0)
      continue;
    Operation *source = nullptr;
    op.walk([&](Operation *inner) {
      if (isSource(*inner))
        source = inner;
      for (OpOperand &operand : inner->getOpOperands()) {
        // Each sequence's rows will take the place of these.
        bool isPlace = isa<AppendOp, StorePagesOp>(inner) &&
                       operand.getOperandNumber() == 2;
        if (Operation *before = counting.lookup(operand.get());
            before && !isPlace)
          source = before;
      }
    });
    // Of masks moves() asks.
    bool isMasked = llvm::any_of(all, [&](AttentionProducts x) {
      return keysOf.contains(x.scores) &&
             (x.softmax.getOperation() == &op || x.getWeights() == &op);
    });
    if (source && !isMasked && !isOutcomeOfMask(op))
      for (Value result : op.getResults())
        counting[result] = source;
  }
}

/// Is it the same when the past and all columns are one further?
bool OwnLengths::isSteady(const IndexValue &value, ArrayRef<SymExpr> dims) {
  std::map<std::string, SymExpr> further{
      {length->past, SymExpr::symbol(length->past) + SymExpr(1)}};
  SymExpr before = length->resolve(value.offset),
          offset = before.substitute(further);
  for (auto [dim, coefficient] : llvm::zip_equal(dims, value.coefficients)) {
    if (length->isIn(coefficient))
      return false;
    if (!length->isIn(dim))
      continue;
    SymExpr size = length->resolve(dim);
    if (size.substitute(further) != size + SymExpr(1))
      return false;
    offset = offset + coefficient;
  }
  return offset == before;
}

/// Does each dim that depends on the past stay one, and where it is?
bool OwnLengths::keepsColumns(ReshapeOp op) {
  auto columns = [&](ArrayRef<SymExpr> dims) {
    SmallVector<std::pair<SymExpr, SymExpr>> found; // with what lies behind
    for (size_t i = 0; i < dims.size(); ++i)
      if (length->isIn(dims[i]))
        found.push_back({dims[i], productOf(dims.drop_front(i + 1))});
    return found;
  };
  return columns(getDims(op.getInput())) == columns(getDims(op.getResult()));
}

/// Element (sequence, column) of a mask that lies in one row: exporters count
/// sequence * columns + column.
bool OwnLengths::isElementOfColumn(GatherOp gather) {
  std::optional<IndexValue> at = values.lookup(gather.getIndices());
  if (!at || at->predicate || at->offset != SymExpr(0))
    return false;
  SmallVector<SymExpr> dims = getDims(gather.getIndices());
  SymExpr column = dims.back(), row = 0;
  if (!length->isIn(column) || at->coefficients.back() != SymExpr(1))
    return false;
  for (size_t i = 0; i + 1 < dims.size(); ++i) {
    if (dims[i] == sequences && row == SymExpr(0))
      row = at->coefficients[i];
    else if (at->coefficients[i] != SymExpr(0))
      return false;
  }
  return row == column && getDims(gather.getInput())[0] == sequences * column;
}

/// Of what scores are made: is the element of a key and a query that are both
/// further on, as those of a longer sequence are, the same?
bool OwnLengths::moves(Value v) {
  constexpr unsigned kMostDepth = 256;
  if (!counting.lookup(v))
    return true;
  auto [known, fresh] = moving.try_emplace(v, false);
  if (!fresh)
    return known->second ||
           fail(v.getDefiningOp(), "makes a mask of counted columns");
  llvm::SaveAndRestore deeper(depth, depth + 1);
  if (depth > kMostDepth)
    return fail(v.getDefiningOp(), "ends too long a chain of a mask's nodes");
  bool result = movesAnew(v);
  return moving[v] = result;
}

bool OwnLengths::movesAnew(Value v) {
  Operation *source = counting.lookup(v), *op = v.getDefiningOp();
  if (std::optional<IndexValue> value = values.lookup(v))
    return isSteady(*value, getDims(v)) ||
           fail(source, "counts columns of all sequences alike");
  auto gather = dyn_cast<GatherOp>(op);
  auto slice = dyn_cast<SliceOp>(op);
  auto reshape = dyn_cast<ReshapeOp>(op);
  if (op->hasTrait<OpTrait::Elementwise>() || isTranspose(op) ||
      isa<BroadcastToOp>(op) || (reshape && keepsColumns(reshape)))
    return llvm::all_of(op->getOperands(), [&](Value o) { return moves(o); });
  if (gather && !counting.lookup(gather.getInput())) {
    if (isElementOfColumn(gather))
      return true;
    if (!length->isIn(getDims(gather.getInput())))
      return moves(gather.getIndices());
  }
  if (slice && !length->isIn(slice.getStarts().getSymExprs())) {
    bool whole = !isSource(*op);
    for (auto [from, to, start] :
         llvm::zip_equal(getDims(slice.getInput()), getDims(slice.getResult()),
                         slice.getStarts().getSymExprs()))
      if (length->isIn(from))
        whole &= from == to && start == SymExpr(0);
    if (whole)
      return moves(slice.getInput());
  }
  return fail(op, "makes a mask of positions that are not compared alone");
}

bool OwnLengths::holds() {
  if (!llvm::all_of(appends,
                    [&](AppendOp append) { return readsAlone(append); }))
    return false;
  length.emplace(main, pasts);
  findCounting();
  for (AttentionProducts attention : all) {
    bool hasKeys = keysOf.contains(attention.scores);
    if (hasKeys != valuesOf.contains(attention.output))
      return fail(attention.output, "has keys or values of another length");
    if (!hasKeys)
      continue;
    if (!pagesOf(attention.scores))
      return fail(attention.scores, "reads keys that do not lie in pages");
    if (Operation *source = counting.lookup(attention.scores.getLhs()))
      return fail(source, "counts the rows of all sequences alike");
    if (!moves(attention.softmax.getInput()) ||
        !llvm::all_of(attention.getWeights()->getOperands(),
                      [&](Value v) { return moves(v); }))
      return false;
  }
  for (Value result : block.getTerminator()->getOperands())
    if (Operation *source = counting.lookup(result))
      return fail(source, "counts the rows of all sequences alike");
  return true;
}

/// Does all of the model's memory, so that sequences can share it?
bool OwnLengths::liesInPages() {
  for (BlockArgument arg : main.getArguments()) {
    auto state = main.getArgAttrOfType<DictionaryAttr>(arg.getArgNumber(),
                                                       "tenon.state");
    if (state && !state.get("pages"))
      return fail(arg.use_empty() ? main.getOperation() : *arg.user_begin(),
                  "adds to a past that lies in no pages");
  }
  return true;
}

/// Rows go behind those of each sequence, and attentions end there.
void OwnLengths::take() {
  std::string table;
  for (auto stored : block.getOps<StoredRowsOp>())
    table = stored.getTable().str();
  if (table.empty())
    table = unusedSymbol(main, "state.lengths");
  OpBuilder b = OpBuilder::atBlockBegin(&block);
  Location loc = main.getLoc();
  auto attr = [&](ArrayRef<SymExpr> dims) {
    return DimsAttr::get(b.getContext(), dims);
  };
  Type i64 = b.getI64Type();
  Value stored =
      StoredRowsOp::create(b, loc, pasts.front(), sequences.str(), table);
  Value fresh = IotaOp::create(b, loc, "0", "1", added.str(), i64);
  fresh = ReshapeOp::create(b, loc, fresh, attr({SymExpr(1), added}));
  Value rows = ReshapeOp::create(b, loc, stored, attr({sequences, SymExpr(1)}));
  rows = AddOp::create(b, loc, rows, fresh);
  Value count = DimsValueOp::create(b, loc, attr({added}), TypeAttr::get(i64),
                                    b.getUnitAttr());
  Value ends = AddOp::create(b, loc, stored, count);
  for (AppendOp append : appends) {
    append.getRowsMutable().assign(rows);
    for (Operation *user : append.getResult().getUsers())
      if (auto store = dyn_cast<StorePagesOp>(user))
        store.getRowsMutable().assign(rows);
    unsigned number = cast<BlockArgument>(append.getInput()).getArgNumber();
    NamedAttrList state(
        main.getArgAttrOfType<DictionaryAttr>(number, "tenon.state"));
    state.set("lengths", b.getStringAttr(table));
    main.setArgAttr(number, "tenon.state", state.getDictionary(b.getContext()));
  }
  for (AttentionProducts attention : all)
    if (keysOf.contains(attention.scores))
      pagesOf(attention.scores).getEndsMutable().assign(ends);
}

} // namespace

LogicalResult takeOwnLengths(func::FuncOp main,
                             ArrayRef<AttentionProducts> attentions,
                             bool must) {
  OwnLengths lengths(main, attentions);
  bool grow = lengths.findStates() && !lengths.appends.empty() &&
              !lengths.sequences.isConstant();
  if (grow && lengths.holds() && (!must || lengths.liesInPages())) {
    noteApplied(kPass, main, "Lengths of each sequence");
    lengths.take();
    return success();
  }
  if (must && lengths.why.empty())
    lengths.fail(main, lengths.appends.empty()
                           ? "has no past that grows"
                           : "has a fixed number of sequences");
  if (must)
    return emitError(lengths.where, "a ragged run takes sequences of any "
                                    "lengths, ")
           << lengths.why;
  if (!lengths.why.empty())
    noteMissed(kPass, main, "Lengths of each sequence", lengths.why);
  for (auto stored : llvm::make_early_inc_range(
           main.getBody().front().getOps<StoredRowsOp>())) {
    OpBuilder b(stored);
    Value same = IotaOp::create(b, stored.getLoc(), stored.getRows(), "0",
                                stored.getSize(), b.getI64Type());
    stored.replaceAllUsesWith(same);
    stored.erase();
  }
  return success();
}

} // namespace tenon
