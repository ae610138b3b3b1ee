//===- MergeMatMul.cpp - one matmul for weights with a common operand -----===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/PackWeight.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "lib/Codegen/Form/GatedMatMul.h"
#include "lib/Codegen/Form/JoinColumns.h"
#include "mlir/Pass/Pass.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace tenon {
#define GEN_PASS_DEF_MERGEMATMULPASS
#include "lib/Codegen/Form/MergeMatMul.h.inc"

namespace {

/// In remarks.
constexpr StringLiteral kPass = "tenon-merge-matmul", kMerge = "MergeMatMul",
                        kGated = "MergeGated";

/// Biases of more columns than this are not joined.
constexpr int64_t kMaxColumns = 1 << 16;

/// One matmul of a group.
struct Part {
  PackedMatMulOp matmul;
  int64_t columns;
  AddOp add;         ///< of a constant bias, or null
  ElementsAttr bias; ///< [columns] f32, or null
  unsigned role;     ///< see roleOf
  Value result() { return add ? add.getResult() : matmul.getResult(); }
};

bool readFloats(ElementsAttr attr, SmallVectorImpl<float> &out) {
  if (auto dense = dyn_cast<DenseElementsAttr>(attr)) {
    llvm::append_range(out, dense.getValues<float>());
    return true;
  }
  ArrayRef<char> data = match::bytesOf(attr);
  size_t bytes = attr.getNumElements() * sizeof(float);
  if (data.size() < bytes)
    return false;
  size_t begin = out.size();
  out.resize(begin + attr.getNumElements());
  memcpy(out.data() + begin, data.data(), bytes);
  return true;
}

/// Only ops that move elements, or scale them, read `v`: anything else is a
/// better epilogue of its own matmul.
bool isOnlyMoved(Value v) {
  return llvm::all_of(v.getUsers(), [](Operation *user) {
    if (isReshape(user) || isTranspose(user) || isSlice(user))
      return true;
    auto mul = dyn_cast<MulOp>(user);
    return mul && llvm::any_of(mul->getOperands(), [](Value o) {
             auto c = o.getDefiningOp<ConstantOp>();
             return c && isa<SplatElementsAttr>(c.getValue());
           });
  });
}

/// What attention uses `v` for: 0 its queries, 1 its keys, 2 its values; 3
/// where it is none of them. Parts are joined in this order rather than the
/// graph's, so that layers whose nodes stand in another order have the same
/// kernels.
unsigned roleOf(Value v) {
  constexpr size_t kLimit = 64;
  llvm::SetVector<Value> reached;
  reached.insert(v);
  unsigned role = 3;
  for (size_t i = 0; i < reached.size() && i < kLimit; ++i)
    for (OpOperand &use : reached[i].getUses()) {
      Operation *user = use.getOwner();
      if (auto pack = dyn_cast<PackBOp>(user))
        role = std::min(role, pack.getTransposed() ? 1u : 2u);
      else if (isa<PackedMatMulOp>(user))
        role = std::min(role, 0u);
      else if (user->getNumResults() == 1 &&
               user->getBlock() == v.getParentBlock() && !isa<SoftmaxOp>(user))
        reached.insert(user->getResult(0));
    }
  return role;
}

struct MergeMatMulPass : ::tenon::impl::MergeMatMulPassBase<MergeMatMulPass> {
  void runOnOperation() override {
    mergeGated();
    for (auto &[lhs, parts] :
         group([](PackedMatMulOp op) { return match(op); })) {
      if (parts.size() > 1)
        merge(parts, kMerge);
    }
    mergeIntegers();
    explain();
  }

  using Groups = llvm::MapVector<Value, SmallVector<Part>>;

  /// By left operand; those in one block with as many rows of weights, in one
  /// format.
  Groups group(function_ref<std::optional<Part>(PackedMatMulOp)> match) {
    Groups groups;
    getOperation()->walk([&](PackedMatMulOp op) {
      if (std::optional<Part> part = match(op))
        groups[op.getLhs()].push_back(*part);
    });
    for (auto &[lhs, parts] : groups) {
      PackedMatMulOp first = parts.front().matmul;
      llvm::erase_if(parts, [&](Part &p) {
        return p.matmul->getBlock() != first->getBlock() ||
               p.matmul.getFormatAttr() != first.getFormatAttr() ||
               getDims(p.matmul.getPacked())[1] !=
                   getDims(first.getPacked())[1];
      });
    }
    return groups;
  }

  /// Pairs whose results come together pointwise: a gate and what it lets
  /// through.
  void mergeGated() {
    Groups groups = group([&](PackedMatMulOp op) -> std::optional<Part> {
      if (std::optional<int64_t> n = columnsOf(op))
        return Part{op, *n, {}, {}, roleOf(op.getResult())};
      return std::nullopt;
    });
    for (auto &[lhs, parts] : groups)
      while (parts.size() > 1) {
        Part gate = parts.front();
        parts.erase(parts.begin());
        auto other = llvm::find_if(parts, [&](Part &p) {
          SmallVector<Operation *> between;
          return p.columns == gate.columns &&
                 findJoin({gate.result(), p.result()}, between);
        });
        if (other == parts.end())
          continue;
        Part up = *other;
        parts.erase(other);
        SmallVector<Part> pair{gate, up};
        merge(pair, kGated);
      }
  }

  /// Products of integers, whose zero points and scales end the one product.
  void mergeIntegers() {
    Groups groups = group([&](PackedMatMulOp op) -> std::optional<Part> {
      FormatAttr format = op.getFormatAttr();
      if (!format || !format.isInteger() || !obstacle(op).empty())
        return std::nullopt;
      return Part{op,
                  *getDims(op.getResult()).back().constant(),
                  {},
                  {},
                  roleOf(op.getResult())};
    });
    for (auto &[lhs, parts] : groups) {
      if (parts.size() < 2)
        continue;
      sortParts(parts);
      SmallVector<PackedMatMulOp> products;
      for (Part &part : parts)
        products.push_back(part.matmul);
      ColumnJoiner joiner(products);
      if (llvm::all_of(joiner.results(), isOnlyMoved))
        mergeIntegers(parts, joiner);
    }
  }

  void mergeIntegers(ArrayRef<Part> parts, ColumnJoiner &joiner) {
    // Behind the first of them everything that all meet is known, and nothing
    // reads another's result yet.
    size_t first = 0;
    SmallVector<Location> locs;
    int64_t columns = 0;
    for (auto [i, value] : llvm::enumerate(joiner.results())) {
      locs.push_back(parts[i].matmul->getLoc());
      columns += parts[i].columns;
      if (value.getDefiningOp()->isBeforeInBlock(
              joiner.results()[first].getDefiningOp()))
        first = i;
    }
    Operation *end = joiner.results()[first].getDefiningOp();
    PackedMatMulOp product = parts[first].matmul;
    SmallVector<Value> packs = movePacks(parts, product);
    OpBuilder b(end->getContext());
    b.setInsertionPointAfter(end);
    Location loc = FusedLoc::get(b.getContext(), locs);
    Value panels = ConcatOp::create(b, loc, packs, /*axis=*/0);
    Value merged = PackedMatMulOp::create(
        b, loc, product.getLhs(), panels,
        b.getStringAttr(SymExpr(columns).str()), product.getFormatAttr());
    noteApplied(kPass, merged.getDefiningOp(), kMerge);
    merged = joiner.apply(b, merged, first);
    cutColumns(b, merged, parts, joiner.results());
    joiner.erase();
  }

  /// Why a matmul is by no weight that can be merged with others; empty where
  /// it is.
  static StringRef obstacle(PackedMatMulOp op) {
    Operation *pack = op.getPacked().getDefiningOp();
    auto ofFloats = dyn_cast_or_null<PackBOp>(pack);
    bool isWeight =
        isa_and_nonnull<PackWeightOp>(pack) ||
        (ofFloats && ofFloats.getInput().getDefiningOp<ConstantOp>());
    auto n = getDims(op.getResult()).back().constant();
    Type element = getElementTypeOrSelf(op.getType());
    return !isWeight            ? "it multiplies by no constant weight"
           : !pack->hasOneUse() ? "its weight has several users"
           : ofFloats && getDims(ofFloats.getResult()).size() != 3
               ? "its weight has a batch"
           : !n               ? "its columns are not known when compiling"
           : *n % 32          ? "its columns are no multiple of 32"
           : *n > kMaxColumns ? "it has too many columns"
           : !element.isF32() && !element.isSignlessInteger(32)
               ? "it is not of f32"
           : op->hasAttr("tenon.value") ? "its result is asked for by name"
                                        : "";
  }

  static std::optional<int64_t> columnsOf(PackedMatMulOp op) {
    if (!obstacle(op).empty() || !getElementTypeOrSelf(op.getType()).isF32())
      return std::nullopt;
    return getDims(op.getResult()).back().constant();
  }

  /// With the bias that is added to it.
  static std::optional<Part> partOf(PackedMatMulOp op) {
    std::optional<int64_t> n = columnsOf(op);
    if (!n)
      return std::nullopt;
    Part part{op, *n, {}, {}, 0};
    if (op->hasOneUse()) {
      auto add = dyn_cast<AddOp>(*op->getUsers().begin());
      Value other = !add                             ? Value()
                    : add.getLhs() == op.getResult() ? add.getRhs()
                                                     : add.getLhs();
      auto constant = other ? other.getDefiningOp<ConstantOp>() : nullptr;
      if (constant && getDims(other).size() == 1 &&
          getDims(other)[0].constant() == *n) {
        part.add = add;
        part.bias = constant.getValue();
      }
    }
    return part;
  }

  static std::optional<Part> match(PackedMatMulOp op) {
    std::optional<Part> part = partOf(op);
    if (!part || !isOnlyMoved(part->result()))
      return std::nullopt;
    part->role = roleOf(part->result());
    return part;
  }

  /// Of matmuls that still have a common operand.
  void explain() {
    if (!getContext().getRemarkEngine())
      return;
    llvm::MapVector<Value, SmallVector<PackedMatMulOp>> byOperand;
    getOperation()->walk(
        [&](PackedMatMulOp op) { byOperand[op.getLhs()].push_back(op); });
    for (auto &[lhs, ops] : byOperand)
      for (PackedMatMulOp op : ops) {
        if (ops.size() == 1 || op.getPacked().getDefiningOp<ConcatOp>())
          continue;
        std::optional<Part> part = partOf(op);
        StringRef why = !obstacle(op).empty() ? obstacle(op)
                        : part && !isOnlyMoved(part->result())
                            ? "what reads its result ends its own kernel"
                            : "the others can not be merged with it";
        noteMissed(kPass, op, kMerge, why);
      }
  }

  static void sortParts(SmallVectorImpl<Part> &parts) {
    llvm::sort(parts, [](const Part &x, const Part &y) {
      if (x.role != y.role || x.columns != y.columns)
        return std::pair(x.role, -x.columns) < std::pair(y.role, -y.columns);
      return x.matmul != y.matmul && x.matmul->isBeforeInBlock(y.matmul);
    });
  }

  /// The panels, which stand before `first` now.
  static SmallVector<Value> movePacks(ArrayRef<Part> parts,
                                      PackedMatMulOp first) {
    SmallVector<Value> packs;
    for (Part p : parts) {
      Operation *pack = p.matmul.getPacked().getDefiningOp();
      SmallVector<Operation *> ops;
      for (Value operand : pack->getOperands())
        ops.push_back(operand.getDefiningOp());
      ops.push_back(pack);
      for (Operation *op : ops)
        if (first->isBeforeInBlock(op))
          op->moveBefore(first);
      packs.push_back(pack->getResult(0));
    }
    return packs;
  }

  /// Puts each part's columns of `merged` in the place of its result.
  static void cutColumns(OpBuilder &b, Value merged, ArrayRef<Part> parts,
                         ValueRange results) {
    SmallVector<SymExpr> dims = getDims(merged), starts(dims.size(), 0);
    SmallVector<int64_t> steps(dims.size(), 1);
    for (auto [part, result] : llvm::zip_equal(parts, results)) {
      dims.back() = part.columns;
      Value slice =
          createSlice(b, part.matmul->getLoc(), merged, starts, steps, dims);
      starts.back() = starts.back() + part.columns;
      result.replaceAllUsesWith(slice);
    }
  }

  void merge(SmallVectorImpl<Part> &parts, StringRef what) {
    // The first of them stands behind the common operand.
    PackedMatMulOp first = parts.front().matmul;
    sortParts(parts);
    int64_t columns = 0;
    SmallVector<float> bias;
    bool anyBias = false;
    SmallVector<Location> locs;
    for (Part p : parts) {
      columns += p.columns;
      locs.push_back(p.matmul.getLoc());
      if (p.add)
        locs.push_back(p.add.getLoc());
      anyBias |= p.bias != nullptr;
      if (!p.bias)
        bias.append(p.columns, 0.0f);
      else if (!readFloats(p.bias, bias))
        return;
    }
    OpBuilder b(first);
    Location loc = FusedLoc::get(b.getContext(), locs);
    SmallVector<Value> packs = movePacks(parts, first);
    Value panels = ConcatOp::create(b, loc, packs, /*axis=*/0);
    Value merged = PackedMatMulOp::create(
        b, loc, first.getLhs(), panels, b.getStringAttr(SymExpr(columns).str()),
        first.getFormatAttr());
    noteApplied(kPass, merged.getDefiningOp(), what);
    if (anyBias) {
      auto type = RankedTensorType::get({columns}, b.getF32Type());
      auto value = DenseElementsAttr::get(type, ArrayRef(bias));
      merged = AddOp::create(b, loc, merged,
                             ConstantOp::create(b, loc, type, value));
    }
    SmallVector<Value> results;
    for (Part p : parts)
      results.push_back(p.result());
    cutColumns(b, merged, parts, results);
    for (Part p : parts) {
      if (p.add)
        p.add.erase();
      p.matmul.erase();
    }
  }
};

} // namespace
} // namespace tenon
