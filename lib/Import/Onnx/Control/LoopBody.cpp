//===- LoopBody.cpp - the body of a tenon.loop ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Which dims of the handed values change is found by importing the body: first
// as if all of them stayed, then with symbols for those that did not, until
// what the body yields agrees with what it was given. A body that cannot be
// imported for the dims that it begins with (a cache without rows, say) is
// imported as if all of them changed, and then with those kept that come back
// as they were.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "lib/Import/Onnx/Control/Loops.h"
#include "lib/Import/Onnx/Node/InputValues.h"
#include <map>
#include <tuple>

using namespace mlir;

namespace tenon::onnximport {

namespace {

/// The dims of the handed values in the body.
class HandedDims {
public:
  HandedDims(NodeImporter &n, ArrayRef<Value> initial, StringRef name)
      : n(&n), initial(initial), name(name) {
    for (Value v : initial)
      groups.emplace_back(n.rank(v), kStays);
  }

  bool hasAny() const {
    return llvm::any_of(groups, [](auto &dims) { return !dims.empty(); });
  }
  void changeAll() {
    count = 0;
    for (SmallVector<int> &dims : groups)
      for (int &group : dims)
        group = count++;
  }

  Dims inside(size_t i) const { return dimsOf(i, LoopOp::sizeInside); }
  Dims behind(size_t i) const { return dimsOf(i, LoopOp::sizeBehind); }
  /// What symbols of the body are at first.
  std::map<std::string, SymExpr> beginnings() const {
    std::map<std::string, SymExpr> result;
    for (auto [v, dims] : llvm::zip(initial, groups))
      for (auto [dim, group] : llvm::zip(n->dims(v), dims))
        if (group != kStays)
          result[LoopOp::sizeInside(name, group).str()] = dim;
    return result;
  }

  /// Groups the dims by how they begin and change, given what such a body
  /// yields. False where that is how they are grouped already.
  bool regroup(ArrayRef<Value> next) {
    std::map<std::tuple<int, std::string, std::string>, int> known;
    SmallVector<SmallVector<int>> before = groups;
    for (auto [i, v] : llvm::enumerate(next)) {
      Dims first = n->dims(initial[i]), now = inside(i), then = n->dims(v);
      for (auto [d, group] : llvm::enumerate(groups[i]))
        if (group != kStays || now[d] != then[d])
          group = known
                      .try_emplace({group, first[d].str(), then[d].str()},
                                   int(known.size()))
                      .first->second;
    }
    count = int(known.size());
    return groups != before;
  }

  /// Keeps those that come back as they were. False where there are none.
  bool keepUnchanged(ArrayRef<Value> next) {
    std::map<int, int> numbers;
    bool any = false;
    for (auto [i, v] : llvm::enumerate(next)) {
      Dims now = inside(i), then = n->dims(v);
      for (auto [d, group] : llvm::enumerate(groups[i])) {
        bool stays = group == kStays || now[d] == then[d];
        any |= stays && group != kStays;
        group =
            stays
                ? kStays
                : numbers.try_emplace(group, int(numbers.size())).first->second;
      }
    }
    count = int(numbers.size());
    return any;
  }

private:
  static constexpr int kStays = -1;

  Dims dimsOf(size_t i, SymExpr (*size)(StringRef, unsigned)) const {
    Dims dims = n->dims(initial[i]);
    for (auto [dim, group] : llvm::zip(dims, groups[i]))
      if (group != kStays)
        dim = size(name, group);
    return dims;
  }

  NodeImporter *n;
  ArrayRef<Value> initial;
  StringRef name;
  SmallVector<SmallVector<int>> groups; ///< per value and dim
  int count = 0;
};

/// One import of the body.
struct Body {
  Region region;
  SmallVector<Value> results; ///< without a condition that is always true
  bool conditional = false;

  Block &block() { return region.front(); }
  ArrayRef<Value> handed(size_t count) const {
    return ArrayRef(results).slice(conditional, count);
  }
};

class LoopMaker {
public:
  LoopMaker(NodeImporter &n, const Repeated &r)
      : n(n), r(r), name(n.state.known.freshName("#loop")),
        dims(n, r.initial, name) {}
  SmallVector<Value> make();
  /// Handed values that no iteration reads, and the dims that each gives them,
  /// where they begin with others, which is why there is no loop.
  const std::map<size_t, Dims> &getUnread() const { return unread; }

private:
  bool attempt();
  bool agrees(ArrayRef<Value> handed);
  std::optional<Dims> outside(Value v);
  bool settle(bool certain);
  void giveUp();
  bool findBody();
  Value kept(Value v, ArrayRef<SymExpr> wanted);
  Value invariant(Value row);
  void conclude();

  NodeImporter &n;
  const Repeated &r;
  std::string name;
  HandedDims dims;
  std::unique_ptr<Body> body;
  std::map<size_t, Dims> unread;
};

/// The body for these dims; false after an error.
bool LoopMaker::attempt() {
  giveUp();
  body = std::make_unique<Body>();
  OpBuilder::InsertionGuard guard(n.builder);
  SmallVector<Type> types = {getTensorType({}, n.builder.getI64Type())};
  for (auto [i, v] : llvm::enumerate(r.initial))
    types.push_back(getTensorType(dims.inside(i), n.elem(v)));
  Block *block = n.builder.createBlock(
      &body->region, {}, types, SmallVector<Location>(types.size(), n.loc));
  n.state.known.define(block->getArgument(0), name);
  SmallVector<Value> handed(block->getArguments().drop_front());
  SmallVector<Value> &results = body->results;
  if (!r.body(block->getArgument(0), handed, results))
    return false;
  body->conditional = r.gives && certainBool(n, results.front()) != 1;
  if (body->conditional)
    results.front() = n.reshape(results.front(), {});
  else
    results.erase(results.begin(), results.begin() + r.gives);
  if (n.failed())
    return false;
  // One number keeps the dims that it began with.
  for (auto [i, first] : llvm::enumerate(handed)) {
    Value &v = results[body->conditional + i];
    if (n.rank(v) != n.rank(first) && isOneElement(v) && isOneElement(first))
      v = n.reshape(v, n.dims(first));
  }
  return agrees(handed);
}

/// Do the values keep their types? Else says which one does not.
bool LoopMaker::agrees(ArrayRef<Value> handed) {
  std::map<size_t, Dims> others;
  size_t count = 0;
  for (auto [i, v] : llvm::enumerate(body->handed(handed.size()))) {
    if (n.elem(v) == n.elem(handed[i]) && n.rank(v) == n.rank(handed[i]))
      continue;
    ++count;
    if (n.elem(v) == n.elem(handed[i]) && handed[i].use_empty() &&
        !llvm::is_contained(body->results, handed[i]))
      if (std::optional<Dims> wanted = outside(v))
        others[i] = *wanted;
    std::string from, to;
    llvm::raw_string_ostream(from) << r.initial[i].getType();
    llvm::raw_string_ostream(to) << v.getType();
    n.error("a value that an iteration hands to the next must keep its "
            "element type and rank where the number of iterations is only "
            "known at run time; value " +
            Twine(i) + " is " + from + ", then " + to +
            whatSettles(n.state, r.trips));
  }
  if (count == others.size() && unread.empty())
    unread = others;
  return count == 0;
}

/// Nothing refers to the body's ops any more.
void LoopMaker::giveUp() {
  if (!body)
    return;
  n.state.known.forget(body->region);
  body->region.dropAllReferences();
  body.reset();
}

/// Attempts the body until it yields dims like those that it was given. False
/// after an error or, where the dims are to be `certain`, when a node in the
/// body was refused.
bool LoopMaker::settle(bool certain) {
  size_t before = n.state.refusals().count;
  do {
    if (!attempt() || (certain && n.state.refusals().count > before))
      return false;
  } while (r.mayChange && dims.regroup(body->handed(r.initial.size())));
  return true;
}

bool LoopMaker::findBody() {
  bool other = r.mayChange && dims.hasAny();
  ImportState::Refusals before = n.state.refusals();
  if (settle(other))
    return true;
  if (!other)
    return false;
  ImportState::Refusals first = n.state.refusals();
  auto startOver = [&] {
    before.restore();
    return n.takeError();
  };
  std::string problem = startOver();
  dims.changeAll();
  if (!settle(false)) { // what is wrong with the dims as they are says more
    if (!problem.empty()) {
      first.restore();
      (void)n.takeError();
      n.error(problem);
    }
    return false;
  }
  HandedDims all = dims;
  if (n.state.refusals().count > before.count ||
      !dims.keepUnchanged(body->handed(r.initial.size())) || settle(true))
    return true;
  (void)startOver();
  dims = all;
  return settle(false);
}

/// `v` with these dims. Where its own only may be the same (a sum of two
/// operands whose dims have different names) a check says so; null, without an
/// error, where they certainly differ or grow.
Value LoopMaker::kept(Value v, ArrayRef<SymExpr> wanted) {
  Dims own = n.dims(v);
  if (own == Dims(wanted))
    return v;
  if (own.size() != wanted.size())
    return nullptr;
  for (auto [is, should] : llvm::zip(own, wanted))
    if (is != should &&
        ((is - should).isNonNegative() || (should - is).isNonNegative()))
      return nullptr;
  for (auto [is, should] : llvm::zip(own, wanted))
    n.checkEqual(is, should);
  return n.reshape(v, wanted);
}

/// The dims of the first iteration; nullopt where only the body knows them.
std::optional<Dims> LoopMaker::outside(Value v) {
  std::map<std::string, SymExpr> first = dims.beginnings();
  first[SymExpr::element(name, 0).str()] = SymExpr(0);
  const BodySymbols inside(body->block(), name);
  Dims wanted = n.dims(v);
  for (SymExpr &dim : wanted) {
    dim = dim.substitute(first);
    if (inside.in(dim))
      return std::nullopt;
  }
  return wanted;
}

/// A row with dims that hold in each iteration: those of the first.
Value LoopMaker::invariant(Value row) {
  std::optional<Dims> wanted = outside(row);
  return wanted ? kept(row, *wanted) : nullptr;
}

/// Ends the body with what it yields.
void LoopMaker::conclude() {
  OpBuilder::InsertionGuard guard(n.builder);
  n.builder.setInsertionPointToEnd(&body->block());
  for (size_t i = body->conditional; i < body->results.size(); ++i) {
    Value &v = body->results[i];
    size_t at = i - body->conditional;
    bool isRow = at >= r.initial.size();
    if (!isRow && r.mayChange)
      continue; // settled
    Value same = isRow ? invariant(v) : kept(v, dims.inside(at));
    if (n.failed())
      return;
    if (!same) {
      std::string from, to;
      if (!isRow)
        llvm::raw_string_ostream(from) << r.initial[at].getType() << ", then ";
      llvm::raw_string_ostream(to) << v.getType();
      n.error((isRow ? "a row that is stacked must have the same dims in every "
                       "iteration"
                     : "a value that an iteration hands to the next must keep "
                       "its dims") +
              Twine(" where the number of iterations is only known at run "
                    "time; value ") +
              Twine(at) + " is " + from + to);
      return;
    }
    v = same;
  }
  YieldOp::create(n.builder, n.loc, body->results);
}

SmallVector<Value> LoopMaker::make() {
  if (findBody())
    conclude();
  if (n.failed() || !body) {
    giveUp();
    return {};
  }
  SymExpr count = body->conditional
                      ? SymExpr::element(name, 1)
                      : SymExpr::apply(SymExpr::Fn::Max, r.trips, SymExpr(0));
  OperationState state(n.loc, LoopOp::getOperationName());
  if (body->conditional)
    state.addOperands(n.scalar(1, n.builder.getI1Type()));
  state.addOperands(r.initial);
  for (auto [i, v] : llvm::enumerate(r.initial))
    state.addTypes(getTensorType(dims.behind(i), n.elem(v)));
  for (Value v : ArrayRef(body->results)
                     .drop_front(body->conditional + r.initial.size())) {
    Dims stacked = n.dims(v);
    stacked.insert(stacked.begin(), count);
    state.addTypes(getTensorType(stacked, n.elem(v)));
  }
  state.addAttribute("name", n.builder.getStringAttr(name));
  state.addAttribute("trips", n.builder.getStringAttr(r.trips.str()));
  if (body->conditional)
    state.addAttribute("conditional", n.builder.getUnitAttr());
  state.addRegion()->takeBody(body->region);
  return SmallVector<Value>(n.builder.create(state)->getResults());
}

} // namespace

std::optional<int64_t> certainBool(NodeImporter &n, Value v) {
  const KnownValue *known = n.known(v);
  return known && known->elements.size() == 1 ? known->elements[0].constant()
                                              : std::nullopt;
}

SmallVector<Value> makeLoop(NodeImporter &n, const Repeated &r) {
  ImportState::Refusals before = n.state.refusals();
  LoopMaker maker(n, r);
  SmallVector<Value> results = maker.make();
  if (!n.failed() || maker.getUnread().empty())
    return results;
  // What nobody reads may begin as zeros of the dims that it has behind the
  // first iteration, which there has to be.
  before.restore();
  (void)n.takeError();
  n.checkLessEqual(SymExpr(1), r.trips);
  Repeated other = r;
  for (const auto &[i, dims] : maker.getUnread())
    other.initial[i] = n.broadcast(n.scalarLike(0, r.initial[i]), dims);
  return LoopMaker(n, other).make();
}

} // namespace tenon::onnximport
