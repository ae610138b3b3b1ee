//===- PackMatMul.cpp - give matmul's right operand the packed layout -----===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/PackWeight.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "lib/Codegen/Form/AttentionCodes.h"
#include "lib/Codegen/Form/ByteTables.h"

#include "lib/Codegen/Form/IntegerBiases.h"
#include "lib/Codegen/Form/PackFormats.h"
#include "lib/Codegen/Form/PackRecurrent.h"
#include "lib/Codegen/Form/Repeats.h"
#include "lib/Codegen/Form/Requantize.h"
#include "lib/Codegen/Form/SpelledWeights.h"
#include "lib/Codegen/Form/Tables.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Pass/Pass.h"
#include "llvm/Support/Regex.h"

using namespace mlir;

namespace tenon {
#define GEN_PASS_DECL_PACKMATMULPASS
#define GEN_PASS_DEF_PACKMATMULPASS
#include "lib/Codegen/Form/PackMatMul.h.inc"

namespace {

/// In remarks.
constexpr StringLiteral kPass = "tenon-pack-matmul", kPack = "PackMatMul",
                        kOnce = "PackOnce";

struct PackMatMulPass : ::tenon::impl::PackMatMulPassBase<PackMatMulPass> {
  using PackMatMulPassBase::PackMatMulPassBase;
  void runOnOperation() override {
    std::optional<Precision> chosen = parsePrecision(precision);
    if (!chosen) {
      getOperation()->emitError("expected a precision of f32, bf16, f16 or "
                                "int8-act, found ")
          << precision;
      return signalPassFailure();
    }
    kept.assign(keepF32.size(), false);
    dropRequantized(getOperation());
    if (tables)
      lookUpCodes(getOperation());
    nameSpelledWeights(getOperation());
    gatherStoredRows(getOperation());
    SmallVector<MatMulOp> ops;
    getOperation()->walk([&](MatMulOp op) { ops.push_back(op); });
    for (MatMulOp op : ops)
      pack(op, isKept(op) ? Precision::f32 : *chosen);
    addIntegerBiases(getOperation());
    if (inverses)
      divideByInverses(getOperation());
    for (auto [pattern, found] : llvm::zip_equal(keepF32, kept))
      if (!found)
        emitWarning(getOperation()->getLoc())
            << "no product is of a node '" << pattern << "' that is to be kept";
    if (chosen != Precision::f32)
      getOperation()->setAttr("tenon.precision",
                              StringAttr::get(&getContext(), precision));
    packRecurrent(getOperation());
    shareTables(getOperation());
  }

  /// Of --keep-f32: which patterns match a node.
  SmallVector<bool> kept;

  /// Is the node of the product one that the user keeps?
  bool isKept(MatMulOp op) {
    bool result = false;
    op->getLoc()->walk([&](Location loc) {
      if (auto name = dyn_cast<NameLoc>(loc))
        for (auto [i, pattern] : llvm::enumerate(keepF32))
          if (pattern == name.getName() ||
              llvm::Regex("^(" + pattern + ")$").match(name.getName())) {
            kept[i] = result = true;
          }
      return WalkResult::advance();
    });
    return result;
  }

  /// What `v` repeats, where it is matrices that views repeat and regroup and
  /// numbers scale (grouped heads): packing comes before `views`, the first of
  /// which is the last. Else `v`.
  Value findRepeated(OpBuilder &b, Value v, SmallVector<Operation *> &views) {
    SmallVector<Operation *> found, scales;
    Value source = v;
    bool repeats = false;
    while (Operation *op = source.getDefiningOp()) {
      if (keepsMatrices(op)) {
        repeats |= isa<BroadcastToOp>(op);
        found.push_back(op);
        source = op->getOperand(0);
        continue;
      }
      Value only = scaled(op);
      if (!only || !source.hasOneUse() || op->hasAttr("tenon.value"))
        break;
      scales.push_back(op);
      source = only;
    }
    if (!repeats)
      return v;
    noteApplied(kPass, found.front(), kOnce);
    views = found;
    for (Operation *op : llvm::reverse(scales)) {
      IRMapping map;
      map.map(scaled(op), source);
      Operation *scale = b.clone(*op, map);
      scale->getResult(0).setType(getTensorType(
          getDims(source), getElementTypeOrSelf(op->getResult(0).getType())));
      source = scale->getResult(0);
    }
    return source;
  }

  /// The one operand of an elementwise op that is not a number; null where
  /// there are several.
  static Value scaled(Operation *op) {
    if (!op->hasTrait<OpTrait::Elementwise>())
      return nullptr;
    Value only;
    for (Value operand : op->getOperands()) {
      SmallVector<SymExpr> dims = getDims(operand);
      if (dims.size() <= 2 && isOneElement(dims))
        continue;
      if (only)
        return nullptr;
      only = operand;
    }
    if (!only || getDims(only) != getDims(op->getResult(0)))
      return nullptr;
    return only;
  }

  /// The rows as a product in the format reads them: rounded once for all its
  /// columns, where they come from, behind what computes them if that is no
  /// more than moved on the way.
  Value roundRows(Value rows, FormatAttr format) {
    if (!isa_and_nonnull<FloatType>(format.getRows()) ||
        !getElementTypeOrSelf(rows.getType()).isF32())
      return rows;
    OpOperand *moved = nullptr;
    Value source = rows;
    while (Operation *op = source.getDefiningOp()) {
      if (!(isReshape(op) || isTranspose(op) || isa<Im2ColOp>(op)) ||
          !source.hasOneUse() || op->hasAttr("tenon.value"))
        break;
      moved = &op->getOpOperand(0);
      source = moved->get();
    }
    Value known;
    for (Operation *user : source.getUsers())
      if (auto round = dyn_cast<RoundToOp>(user);
          round && round.getTo() == format.getRows())
        known = round;
    if (!known) {
      OpBuilder b(&getContext());
      b.setInsertionPointAfterValue(source);
      known = RoundToOp::create(b, source.getLoc(), source,
                                TypeAttr::get(format.getRows()));
    }
    if (!moved)
      return known;
    moved->set(known);
    return rows;
  }

  /// Rows of a past that grows, maybe scaled: what they are kept as is chosen
  /// by --kv.
  static bool isOfState(Value v) {
    while (Operation *op = v.getDefiningOp()) {
      Value only = isSlice(op) ? op->getOperand(0) : scaled(op);
      if (!only)
        return isa<AppendOp>(op);
      v = only;
    }
    return false;
  }

  void replace(MatMulOp op, Value result) {
    noteApplied(kPass, op, kPack);
    if (Attribute name = op->getAttr("tenon.value"))
      result.getDefiningOp()->setAttr("tenon.value", name);
    op.getResult().replaceAllUsesWith(result);
    op.erase();
  }

  void pack(MatMulOp op, Precision precision) {
    Type element = getElementTypeOrSelf(op.getResult().getType());
    OpBuilder b(op);
    if (element.isSignlessInteger(32))
      if (Value result = lowerIntegerMatMul(b, op))
        return replace(op, result);
    bool packs = element.isF32() || element.isF16() || element.isBF16();
    SmallVector<Operation *> views;
    Value matrices = op.getRhs();
    if (packs)
      matrices = findRepeated(b, matrices, views);
    if (Value result =
            lowerQuantizedMatMul(b, op, matrices, views, attentionOfCodes))
      return replace(op, result);
    if (!packs)
      return noteMissed(kPass, op, kPack, "it is not of f32, f16 or bf16");
    Location loc = op.getLoc();
    Value lhs = op.getLhs();
    if (op.getTransposeA()) {
      int64_t rank = cast<RankedTensorType>(lhs.getType()).getRank();
      SmallVector<int64_t> perm;
      for (int64_t i = 0; i < rank; ++i)
        perm.push_back(i);
      std::swap(perm[rank - 1], perm[rank - 2]);
      lhs = createTranspose(b, loc, lhs, perm);
    }
    auto columns = b.getStringAttr(getDims(op.getResult()).back().str());
    if (PackWeightOp weight = packFormatted(b, op, precision))
      return replace(
          op, PackedMatMulOp::create(b, loc, roundRows(lhs, weight.getFormat()),
                                     weight, columns, weight.getFormatAttr()));
    if (precision == Precision::bf16 && attentionInBF16 && element.isF32() &&
        (isOfScores(op) || isOfProbabilities(lhs)) && !isOfState(matrices) &&
        getDims(matrices).end()[op.getTransposeB() ? -1 : -2] ==
            getDims(lhs).back()) {
      auto format = FormatAttr::get(b.getContext(), b.getBF16Type(), 0, {}, {},
                                    b.getBF16Type());
      Value halves =
          CastOp::create(b, loc, matrices, TypeAttr::get(b.getBF16Type()),
                         UnitAttr(), RoundModeAttr());
      Value packed = panelsOf(b, halves, op.getTransposeB(), /*group=*/2);
      for (Operation *view : llvm::reverse(views))
        packed = repeatAlike(b, view, packed, /*inner=*/2);
      return replace(
          op, PackedMatMulOp::create(b, loc, lhs, packed, columns, format));
    }
    Value packed = PackBOp::create(b, loc, matrices, op.getTransposeB());
    for (Operation *view : llvm::reverse(views))
      packed = repeatAlike(b, view, packed, /*inner=*/3);
    replace(op, PackedMatMulOp::create(b, loc, lhs, packed, columns));
  }
};

} // namespace
} // namespace tenon
