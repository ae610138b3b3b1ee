//===- LoopBounds.cpp - how large handed values can become ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Program/LoopBounds.h"
#include "dialects/Tenon/IR/Ops/ReadDims.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include <map>

using namespace mlir;

namespace tenon {

namespace {

using Fn = SymExpr::Fn;

/// More iterations than this say nothing of memory: such a loop ends by its
/// condition, or it is the model's way of having no limit. One that has a
/// condition ends by it sooner.
constexpr int64_t kMaxTrips = int64_t(1) << 24;
constexpr int64_t kMaxConditionalTrips = int64_t(1) << 16;
/// Beyond all memory; the runtime then takes the bound for none.
constexpr int64_t kNoBound = int64_t(1) << 62;

SymExpr larger(const SymExpr &a, const SymExpr &b) {
  return SymExpr::apply(Fn::Max, a, b);
}

/// max(s + add, most), of which one may be missing: what a value of the body is
/// at most. s is the size that the iteration begins with.
struct Limit {
  std::optional<SymExpr> add, most;
};
using OptionalLimit = std::optional<Limit>;

class Bounds {
public:
  Bounds(LoopOp loop)
      : loop(loop), inside(loop.getBody().front(), loop.getName()) {
    for (Operation &op : loop.getBody().front()) {
      if (auto read = dyn_cast<ReadDimsOp>(op)) {
        auto type = cast<RankedTensorType>(read.getInput().getType());
        auto bound = read.getBound() ? SymExpr::parse(read.getBound()->str())
                                     : std::nullopt;
        for (int64_t i = 0;
             bound && type.hasStaticShape() && i < type.getNumElements(); ++i)
          known.push_back({SymExpr::element(read.getName(), i), *bound});
      } else if (auto inner = dyn_cast<LoopOp>(op)) {
        for (auto [i, bound] : llvm::enumerate(boundsOfChangingDims(inner)))
          if (bound)
            known.push_back({LoopOp::sizeBehind(inner.getName(), i), *bound});
      }
    }
  }

  std::optional<SymExpr> of(unsigned number, LoopOp::Place place) {
    size = LoopOp::sizeInside(loop.getName(), number);
    SymExpr first = getDims(loop.initialHanded()[place.value])[place.dim];
    SymExpr next = getDims(loop.yieldedHanded()[place.value])[place.dim];
    OptionalLimit limit = limitOf(next, 0);
    if (!limit)
      return std::nullopt;
    SymExpr most = limit->most ? larger(first, *limit->most) : first;
    if (!limit->add || *limit->add == SymExpr(0))
      return most;
    std::optional<SymExpr> trips = SymExpr::parse(loop.getTrips().str());
    SymExpr many = loop.getConditional() ? kMaxConditionalTrips : kMaxTrips;
    if (!trips || trips->constant().value_or(0) > *many.constant())
      return std::nullopt;
    SymExpr few = SymExpr::apply(Fn::Min, larger(*trips, 0), many);
    return SymExpr::select(SymExpr::apply(Fn::Le, *trips, many),
                           most + few * *limit->add, kNoBound);
  }

private:
  static constexpr unsigned kMaxDepth = 16;

  /// What the expression is at most, whatever the iteration.
  std::optional<SymExpr> invariant(const SymExpr &e, unsigned depth) {
    if (!inside.in(e))
      return e;
    OptionalLimit limit = limitOf(e, depth + 1);
    return limit && !limit->add ? limit->most : std::nullopt;
  }

  static OptionalLimit either(const OptionalLimit &a, const OptionalLimit &b) {
    if (!a || !b)
      return std::nullopt;
    auto join = [](const auto &x, const auto &y) {
      return x && y ? std::optional(larger(*x, *y)) : x ? x : y;
    };
    return Limit{join(a->add, b->add), join(a->most, b->most)};
  }

  /// Of two limits that both hold the one that says more.
  static OptionalLimit lower(const OptionalLimit &a, const OptionalLimit &b) {
    return !a || (b && a->add && !b->add) ? b : a;
  }

  static OptionalLimit plus(OptionalLimit limit, const SymExpr &e) {
    // add is at least 0, so that sizes which shrink stay below the first.
    if (limit && limit->add)
      limit->add = larger(*limit->add + e, 0);
    if (limit && limit->most)
      limit->most = *limit->most + e;
    return limit;
  }

  OptionalLimit limitOf(const SymExpr &e, unsigned depth) {
    if (depth > kMaxDepth)
      return std::nullopt;
    if (!inside.in(e))
      return Limit{std::nullopt, e};
    if (e == size)
      return Limit{SymExpr(0), std::nullopt};
    if (isNonNegative(SymExpr(0) - e))
      return Limit{std::nullopt, SymExpr(0)};
    for (const auto &[symbol, bound] : known)
      if (e == symbol)
        return limitOf(bound, depth + 1);
    if (std::optional<SymExpr::Call> call = e.asCall())
      return ofCall(*call, depth);
    return e.summands().size() == 1 ? ofProduct(e, depth) : ofSum(e, depth);
  }

  OptionalLimit ofCall(const SymExpr::Call &call, unsigned depth) {
    auto limit = [&](const SymExpr &e) { return limitOf(e, depth + 1); };
    switch (call.fn) {
    case Fn::Min:
      return lower(limit(call.a), limit(call.b));
    case Fn::Max:
    case Fn::Bcast:
      return either(limit(call.a), limit(call.b));
    case Fn::Select:
      return either(limit(call.b), limit(call.c));
    case Fn::Mod: // below a positive divisor; of one that is not, below 1
      return either(limit(call.b), Limit{std::nullopt, SymExpr(0)});
    case Fn::FloorDiv:
    case Fn::CeilDiv:
    case Fn::Quot: // of what is not negative, by 1 or more
      if (call.b.constant().value_or(0) < 1)
        return std::nullopt;
      return either(limit(call.a), Limit{std::nullopt, SymExpr(0)});
    case Fn::Eq:
    case Fn::Ne:
    case Fn::Lt:
    case Fn::Le:
      return Limit{std::nullopt, SymExpr(1)};
    default:
      return std::nullopt;
    }
  }

  /// A positive multiple of something that is bounded.
  OptionalLimit ofProduct(const SymExpr &e, unsigned depth) {
    for (const auto &[symbol, bound] : known) {
      std::optional<SymExpr> factor = e.divideExactly(symbol);
      if (factor && isNonNegative(*factor))
        return limitOf(*factor * bound, depth + 1);
    }
    return std::nullopt;
  }

  /// Of what comes from data, sizes and numbers with a bound are not negative.
  bool isNonNegative(const SymExpr &e) {
    std::map<std::string, SymExpr> dims = {
        {size.str(), SymExpr::symbol("size")}};
    for (const auto &[symbol, bound] : known)
      dims[symbol.str()] = SymExpr::symbol("size");
    return e.substitute(dims).isNonNegative();
  }

  /// One summand may grow from iteration to iteration, the others not.
  OptionalLimit ofSum(const SymExpr &e, unsigned depth) {
    const std::vector<SymExpr> parts = e.summands();
    for (const SymExpr &part : parts)
      if (OptionalLimit limit = ofDifference(e, part, depth))
        return limit;
    OptionalLimit growing;
    SymExpr others(0);
    for (const SymExpr &part : parts) {
      if (std::optional<SymExpr> most = invariant(part, depth)) {
        others = others + *most;
        continue;
      }
      if (growing)
        return std::nullopt;
      growing = limitOf(part, depth + 1);
      if (!growing)
        return std::nullopt;
    }
    if (!growing)
      return Limit{std::nullopt, others};
    return plus(growing, others);
  }

  /// a - max(b, c) is at most a - b, and at most a - c.
  OptionalLimit ofDifference(const SymExpr &e, const SymExpr &part,
                             unsigned depth) {
    std::optional<SymExpr::Call> call = (SymExpr(0) - part).asCall();
    if (!call || call->fn != Fn::Max)
      return std::nullopt;
    SymExpr rest = e - part;
    return lower(limitOf(rest - call->a, depth + 1),
                 limitOf(rest - call->b, depth + 1));
  }

  LoopOp loop;
  BodySymbols inside;
  SymExpr size;
  /// Bounds of what the body reads and of what inner loops make.
  SmallVector<std::pair<SymExpr, SymExpr>> known;
};

} // namespace

SmallVector<std::optional<SymExpr>> boundsOfChangingDims(LoopOp loop) {
  SmallVector<std::optional<SymExpr>> result;
  SmallVector<LoopOp::Place> places = loop.changingDims();
  if (places.empty())
    return result;
  Bounds bounds(loop);
  for (auto [i, place] : llvm::enumerate(places))
    result.push_back(bounds.of(i, place));
  return result;
}

} // namespace tenon
