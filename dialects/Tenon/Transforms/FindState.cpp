//===- FindState.cpp - pasts and presents that may share memory -----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What is proved of a pair: nothing but the op that adds rows reads the past,
// that op writes the new rows alone, and its result is the present as it is. So
// a run that finds the old rows in the present's memory leaves them there, and
// whoever reads the present comes after the op.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Iota.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/OwnPositions.h"
#include "dialects/Tenon/Transforms/Passes.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "dialects/Tenon/Transforms/ReplacedState.h"
#include "llvm/ADT/StringExtras.h"

namespace tenon {
#define GEN_PASS_DEF_FINDSTATEPASS
#include "dialects/Tenon/Transforms/FindState.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;

namespace {

struct Finder {
  explicit Finder(func::FuncOp main) : main(main) {
    for (Type type : main.getArgumentTypes())
      for (const SymExpr &dim : getDims(type))
        dim.collectSymbols(names);
  }

  func::FuncOp main;
  func::ReturnOp ret =
      cast<func::ReturnOp>(main.getBody().front().getTerminator());
  OpBuilder b{main.getContext()};
  std::vector<std::string> names;                // that dims have already
  std::map<std::string, std::string> capacities; // of a length
  std::optional<SymExpr> growth;                 // of all that grow
  std::set<std::pair<SymExpr, SymExpr>> grown;   // their sequences and rows
  std::set<unsigned> presents;                   // results that are some
  struct Other {                                 // no rows stay in it
    BlockArgument past;
    Operation *user;
    std::string why;
  };
  SmallVector<Other> others;
  std::string carried;

  std::string unused(StringRef wanted) {
    std::string name = wanted.str();
    for (unsigned i = 2; llvm::is_contained(names, name); ++i)
      name = (wanted + Twine(i)).str();
    names.push_back(name);
    return name;
  }
  std::string whyNot(BlockArgument past, Operation *&user, int64_t &axis);
  std::string whyNotGrowing(ConcatOp concat, BlockArgument past,
                            const SymExpr &length, const SymExpr &added);
  std::string whyNotBuffer(Operation *op, BlockArgument past, int64_t &axis);
  NamedAttribute named(StringRef name, Attribute value) {
    return b.getNamedAttr(name, value);
  }
  void grow(ConcatOp concat, SmallVectorImpl<NamedAttribute> &state);
  void unwrapScatter(BlockArgument past);
  void unwrapCasts(BlockArgument past);
  void replace(const Other &other);
  void run();
};

/// Past and fresh rows joined.
std::string Finder::whyNotGrowing(ConcatOp concat, BlockArgument past,
                                  const SymExpr &length, const SymExpr &added) {
  if (concat.getInputs().size() != 2)
    return nodeOf(concat) + " joins " +
           std::to_string(concat.getInputs().size()) + " tensors, not two";
  if (concat.getInputs()[0] != past)
    return nodeOf(concat) + " puts new rows before it";
  if (!length.asSymbol())
    return "its length is always " + length.str();
  if (growth && *growth != added)
    return nodeOf(concat) + " adds " + added.str() + " rows, others " +
           growth->str();
  return "";
}

/// Rows written into a buffer.
std::string Finder::whyNotBuffer(Operation *op, BlockArgument past,
                                 int64_t &axis) {
  if (op->getOperand(0) != past)
    return nodeOf(op) + " reads it";
  if (auto scatter = dyn_cast<ScatterElementsOp>(op)) {
    axis = scatter.getAxis();
    return scatter.getKind() == ScatterKind::none
               ? ""
               : nodeOf(op) + " adds to what lies there";
  }
  if (auto scatter = dyn_cast<ScatterNDOp>(op)) {
    axis = *getDims(scatter.getIndices()).back().constant() - 1;
    return scatter.getKind() == ScatterKind::none
               ? ""
               : nodeOf(op) + " adds to what lies there";
  }
  auto append = cast<AppendOp>(op);
  axis = append.getAxis();
  SymExpr room = getDims(past)[axis],
          length = getDims(append.getResult())[axis];
  if (length == room || room.isConstant())
    return "";
  // As long as the buffer, or as data says if that is more, which a run
  // refuses.
  std::vector<std::string> symbols;
  (length - room).collectSymbols(symbols);
  auto own = room.asSymbol();
  return own && llvm::is_contained(symbols, *own)
             ? ""
             : nodeOf(op) + " makes it longer: how long in all is not known "
                            "from the inputs";
}

/// Why `past` is no state; empty where it is, with the op that adds rows.
std::string Finder::whyNot(BlockArgument past, Operation *&user,
                           int64_t &axis) {
  unsigned number = past.getArgNumber();
  if (main.getArgAttr(number, "tenon.default") ||
      main.getArgAttr(number, "tenon.packed"))
    return "it has a default, or packed elements";
  if (past.use_empty())
    return "nothing reads it";
  user = *past.getUsers().begin();
  bool adds = isa<ConcatOp, AppendOp, ScatterElementsOp, ScatterNDOp>(user);
  if (!adds)
    return nodeOf(user) + " reads it, and adds no rows";
  if (!past.hasOneUse())
    return "several nodes read it, as " + nodeOf(user);
  if (user->getBlock() != ret->getBlock())
    return nodeOf(user) + " stands in a loop's body";
  unsigned outputs = 0;
  for (Value v : ret.getOperands())
    outputs += v == user->getResult(0);
  if (outputs != 1)
    return outputs ? "several outputs are its present"
                   : "what " + nodeOf(user) + " makes of it is no output";
  SmallVector<SymExpr> from = getDims(past), to = getDims(user->getResult(0));
  auto concat = dyn_cast<ConcatOp>(user);
  if (concat) {
    axis = concat.getAxis();
    std::string why =
        whyNotGrowing(concat, past, from[axis], to[axis] - from[axis]);
    if (!why.empty())
      return why;
  } else if (std::string why = whyNotBuffer(user, past, axis); !why.empty()) {
    return why;
  }
  if (axis == 0)
    return nodeOf(user) + " adds rows along the first dim";
  for (size_t i = 0; i < from.size(); ++i)
    if (int64_t(i) != axis &&
        (from[i] != to[i] || (i && !from[i].isConstant())))
      return "its dim " + std::to_string(i) + " is " + from[i].str() + ", in " +
             nodeOf(user) + " " + to[i].str() + ", expected a static one";
  return "";
}

/// The present in memory with room for more, and its first rows for all who
/// read it.
void Finder::grow(ConcatOp concat, SmallVectorImpl<NamedAttribute> &state) {
  int64_t axis = concat.getAxis();
  Value past = concat.getInputs()[0], fresh = concat.getInputs()[1];
  SmallVector<SymExpr> dims = getDims(concat.getResult());
  SymExpr old = getDims(past)[axis], added = getDims(fresh)[axis];
  growth = added;
  grown.insert({getDims(past)[0], old});
  std::string &capacity = capacities[dims[axis].str()];
  if (capacity.empty())
    capacity = unused("state.capacity");
  state.push_back(named("capacity", b.getStringAttr(capacity)));
  state.push_back(named("length", b.getStringAttr(dims[axis].str())));
  b.setInsertionPoint(concat);
  Location loc = concat.getLoc();
  Value rows =
      IotaOp::create(b, loc, old.str(), "1", added.str(), b.getI64Type());
  SmallVector<SymExpr> row{SymExpr(1), added};
  rows = createReshape(b, loc, rows, row);
  auto append = AppendOp::create(b, loc, past, fresh, rows, uint64_t(axis),
                                 capacity, b.getStringAttr(carried));
  SmallVector<SymExpr> starts(dims.size(), SymExpr(0));
  Value present = createSlice(b, loc, append.getResult(), starts,
                              SmallVector<int64_t>(dims.size(), 1), dims);
  concat.getResult().replaceUsesWithIf(append.getResult(), [&](OpOperand &use) {
    return use.getOwner() == ret;
  });
  concat.getResult().replaceAllUsesWith(present);
  concat.erase();
  if (present.use_empty())
    present.getDefiningOp()->erase();
}

/// Rows that an exporter brings to the front, scatters and brings back, as
/// torch writes cache[:, :, positions] = fresh: an append. Indices are checked,
/// and negative ones counted from the end, by the gather.
void Finder::unwrapScatter(BlockArgument past) {
  auto front = past.hasOneUse()
                   ? dyn_cast<TransposeOp>(*past.getUsers().begin())
                   : nullptr;
  auto scatter = front && front.getResult().hasOneUse()
                     ? dyn_cast<ScatterNDOp>(*front.getResult().user_begin())
                     : nullptr;
  if (!scatter || scatter.getInput() != front.getResult() ||
      scatter.getKind() != ScatterKind::none)
    return;
  ArrayRef<int64_t> perm = front.getPerm();
  int64_t axis = perm.front(), rank = perm.size();
  SmallVector<int64_t> wanted{axis}, back(rank);
  for (int64_t i = 0; i < rank; ++i)
    if (i != axis)
      wanted.push_back(i);
  for (int64_t i = 0; i < rank; ++i)
    back[perm[i]] = i;
  SmallVector<SymExpr> indices = getDims(scatter.getIndices());
  auto isBack = [&](Operation *user) {
    auto transpose = dyn_cast<TransposeOp>(user);
    return transpose && transpose.getPerm() == ArrayRef(back);
  };
  if (axis == 0 || perm != ArrayRef(wanted) || indices.size() != 2 ||
      indices[1].constant() != 1 ||
      !llvm::all_of(scatter.getResult().getUsers(), isBack))
    return;
  b.setInsertionPoint(scatter);
  Location loc = scatter.getLoc();
  SymExpr length = getDims(past)[axis];
  Value places = IotaOp::create(b, loc, "0", "1", length.str(), b.getI64Type());
  SmallVector<SymExpr> row{SymExpr(1), indices[0]};
  Value rows = createReshape(b, loc, scatter.getIndices(), row);
  rows = GatherOp::create(b, loc, places, rows, uint64_t(0));
  Value fresh = TransposeOp::create(b, loc, scatter.getUpdates(), back);
  Value appended = AppendOp::create(b, loc, past, fresh, rows, uint64_t(axis),
                                    length.str(), StringAttr());
  for (Operation *user :
       llvm::make_early_inc_range(scatter.getResult().getUsers())) {
    user->getResult(0).replaceAllUsesWith(appended);
    user->erase();
  }
  scatter.erase();
  front.erase();
}

/// Converters to f16 leave pasts and presents f32: a past is cast, joined, and
/// all rows are cast back. The fresh ones are, and the past's stay as they
/// came, which are numbers of f16 where they were a present's.
void Finder::unwrapCasts(BlockArgument past) {
  auto narrow =
      past.hasOneUse() ? dyn_cast<CastOp>(*past.getUsers().begin()) : nullptr;
  auto concat = narrow && narrow.getResult().hasOneUse()
                    ? dyn_cast<ConcatOp>(*narrow.getResult().user_begin())
                    : nullptr;
  if (!concat || concat.getInputs().size() != 2 ||
      concat.getInputs()[0] != narrow.getResult())
    return;
  Type outside = getElementTypeOrSelf(past), inside = narrow.getTo();
  if (!outside.isF32() || (!inside.isF16() && !inside.isBF16()))
    return;
  SmallVector<CastOp> backs;
  for (Operation *user : concat.getResult().getUsers())
    if (auto back = dyn_cast<CastOp>(user); back && back.getTo() == outside)
      backs.push_back(back);
  if (llvm::none_of(backs, [&](CastOp back) {
        return llvm::is_contained(ret.getOperands(), back.getResult());
      }))
    return;
  b.setInsertionPoint(concat);
  Location loc = concat.getLoc();
  auto cast = [&](Value v, Type to) -> Value {
    return CastOp::create(b, loc, v, TypeAttr::get(to), UnitAttr(),
                          RoundModeAttr());
  };
  Value fresh = cast(concat.getInputs()[1], outside);
  Value all =
      ConcatOp::create(b, loc, ValueRange{past, fresh}, concat.getAxis());
  for (CastOp back : backs) {
    back.getResult().replaceAllUsesWith(all);
    back.erase();
  }
  if (!concat.getResult().use_empty())
    concat.getResult().replaceAllUsesWith(cast(all, inside));
  concat.erase();
  narrow.erase();
}

/// One that each run makes anew, or none.
void Finder::replace(const Other &other) {
  unsigned number = other.past.getArgNumber();
  auto name = main.getArgAttrOfType<StringAttr>(number, "tenon.name");
  Type element = getElementTypeOrSelf(other.past);
  std::string why = other.why;
  std::optional<ReplacedState> found;
  // Integers are lengths, masks and positions, whatever they are called.
  bool counts = element.isInteger(64) || element.isInteger(1);
  if (!counts && !main.getArgAttr(number, "tenon.default") &&
      !main.getArgAttr(number, "tenon.packed"))
    found = findReplaced(main, other.past, presents, why);
  if (!found) {
    if (!name || !looksLikePast(name.getValue()) || counts)
      return;
    main.setArgAttr(number, "tenon.stateless", b.getStringAttr(why));
    noteMissed("tenon-find-state",
               other.user ? other.user : main.getOperation(),
               ("State of '" + name.getValue() + "'").str(), why);
    return;
  }
  presents.insert(found->output);
  SmallVector<NamedAttribute> state{
      named("output", b.getI64IntegerAttr(found->output)),
      named("replaced", b.getUnitAttr())};
  if (found->axis >= 0) {
    state.push_back(named("axis", b.getI64IntegerAttr(found->axis)));
    state.push_back(named("most", b.getI64IntegerAttr(found->most)));
  }
  noteApplied("tenon-find-state", other.user ? other.user : main.getOperation(),
              "State");
  main.setArgAttr(number, "tenon.state", b.getDictionaryAttr(state));
}

void Finder::run() {
  for (BlockArgument past : main.getArguments()) {
    unsigned number = past.getArgNumber();
    auto type = dyn_cast<RankedTensorType>(past.getType());
    if (!type || type.getRank() < 2)
      continue;
    unwrapScatter(past);
    unwrapCasts(past);
    Operation *user = nullptr;
    int64_t axis = 0;
    std::string why = whyNot(past, user, axis);
    if (!why.empty()) {
      others.push_back({past, user, why});
      continue;
    }
    if (carried.empty())
      carried = unused("state.carried");
    unsigned output = 0;
    while (ret.getOperand(output) != user->getResult(0))
      ++output;
    SmallVector<NamedAttribute> state{
        named("axis", b.getI64IntegerAttr(axis)),
        named("output", b.getI64IntegerAttr(output)),
        named("carried", b.getStringAttr(carried))};
    presents.insert(output);
    noteApplied("tenon-find-state", user, "State");
    if (auto concat = dyn_cast<ConcatOp>(user)) {
      // What a run without a state gives.
      main.setResultAttr(
          output, "tenon.dims",
          DimsAttr::get(b.getContext(), getDims(concat.getResult())));
      grow(concat, state);
    } else {
      user->setAttr("carried", b.getStringAttr(carried));
    }
    main.setArgAttr(number, "tenon.state", b.getDictionaryAttr(state));
  }
  for (const Other &other : others)
    replace(other);
  SmallVector<std::string> pasts;
  bool same = true;
  for (auto &[sequences, rows] : grown) {
    same &= sequences == grown.begin()->first && !sequences.isConstant();
    pasts.push_back(*rows.asSymbol());
  }
  if (same && !pasts.empty())
    countPerSequence(main, pasts, grown.begin()->first,
                     unused("state.lengths"));
  main.setFunctionType(
      b.getFunctionType(main.getArgumentTypes(), ret.getOperandTypes()));
}

struct FindStatePass : tenon::impl::FindStatePassBase<FindStatePass> {
  void runOnOperation() override {
    func::FuncOp main = getOperation();
    if (main.getName() == "main" && !main.isExternal())
      Finder(main).run();
  }
};

} // namespace
