//===- LowerConv.cpp - turn convolutions into matmuls of patches ----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonPacked.h"
#include "dialects/Tenon/IR/TenonView.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "lib/Codegen/Form/ChannelsLast.h"
#include "mlir/Pass/Pass.h"

using namespace mlir;

namespace tenon {
#define GEN_PASS_DEF_LOWERCONVPASS
#include "lib/Codegen/Form/LowerConv.h.inc"

namespace {

/// In remarks.
constexpr StringLiteral kPass = "tenon-lower-conv", kLast = "ChannelsLast",
                        kSink = "SinkIntoRows";

/// Lanes of the widest vectors.
constexpr int64_t kLanes = 16;

struct LowerConvPass : ::tenon::impl::LowerConvPassBase<LowerConvPass> {
  void runOnOperation() override {
    // An op is moved only after what it reads has been.
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (isa<ConvOp>(op) || op->hasTrait<OpTrait::Elementwise>())
        ops.push_back(op);
    });
    ChannelsLast rows;
    for (Operation *op : ops) {
      if (auto conv = dyn_cast<ConvOp>(op))
        lower(conv, rows);
      else if (StringRef why = rows.sink(op); !why.empty())
        noteMissed(kPass, op, kSink, why);
    }
  }

  static SmallVector<int64_t> kernelOf(ConvOp op) {
    return llvm::map_to_vector(ArrayRef(getDims(op.getWeight())).drop_front(2),
                               [](const SymExpr &d) { return *d.constant(); });
  }
  static Value patchesOf(ConvOp op) {
    OpBuilder b(op);
    return Im2ColOp::create(b, op.getLoc(), op.getInput(), kernelOf(op),
                            op.getStrides(), op.getPads(), op.getDilations());
  }

  /// Patches with their channels last, if that makes them copies of rows; else
  /// null.
  Value patchesOfRows(ConvOp op, ChannelsLast &rows) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    SmallVector<SymExpr> in = getDims(op.getInput());
    SmallVector<int64_t> kernel = kernelOf(op);
    auto isOne = [](int64_t i) { return i == 1; };
    bool isPointwise = // a patch is a row
        llvm::all_of(kernel, isOne) && llvm::all_of(op.getStrides(), isOne) &&
        llvm::all_of(op.getPads(), [](int64_t i) { return i == 0; });
    Value input = rows.rowsOf(op.getInput());
    if (isPointwise)
      return input;
    if (input) {
      SmallVector<SymExpr> last(in);
      std::rotate(last.begin() + 1, last.begin() + 2, last.end());
      input =
          ReshapeOp::create(b, loc, input, DimsAttr::get(b.getContext(), last));
    } else if (in[1].constant().value_or(1) % kLanes == 0) {
      input = transposeChannelsLast(b, loc, op.getInput());
    } else {
      return nullptr;
    }
    return Im2ColOp::create(b, loc, input, kernel, op.getStrides(),
                            op.getPads(), op.getDilations(), true);
  }

  void lower(ConvOp op, ChannelsLast &rows) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    SmallVector<SymExpr> w = getDims(op.getWeight());
    SmallVector<SymExpr> out = getDims(op.getResult());
    for (const SymExpr &d : ArrayRef(w).drop_front(2)) {
      if (!d.constant()) {
        op.emitError("the kernel's dims must be known when compiling, found ")
            << d.str();
        return signalPassFailure();
      }
    }
    int64_t groups = op.getGroup();
    if (groups != 1 && !w[0].constant()) {
      op.emitError("a convolution in groups must have a number of output "
                   "channels known when compiling, found ")
          << w[0].str();
      return signalPassFailure();
    }
    auto reshape = [&](Value v, ArrayRef<SymExpr> dims) -> Value {
      return ReshapeOp::create(b, loc, v, DimsAttr::get(b.getContext(), dims));
    };
    SymExpr cout = w[0];
    SymExpr k = productOf(ArrayRef(w).drop_front(1)); // of one group
    SymExpr positions = productOf(ArrayRef(out).drop_front(2));
    Value result;
    if (groups == 1) {
      Value last = patchesOfRows(op, rows);
      if (last)
        noteApplied(kPass, op, kLast);
      else
        noteMissed(kPass, op, kLast,
                   "the channels of its input stand first and fill no vectors");
      Value patches = last ? last : patchesOf(op);
      Value flat = last ? flattenChannelsLast(b, loc, op.getWeight())
                        : reshape(op.getWeight(), {cout, k});
      Value y = MatMulOp::create(b, loc, patches, flat, false, true);
      result = rows.viewOf(b, loc, y, out);
    } else {
      noteMissed(kPass, op, kLast, "it is in groups");
      SymExpr perGroup = *cout.constant() / groups;
      Value split = reshape(patchesOf(op), {out[0], positions, groups, k});
      Value a =
          TransposeOp::create(b, loc, split, ArrayRef<int64_t>{0, 2, 1, 3});
      Value flat = reshape(op.getWeight(), {groups, perGroup, k});
      Value y = MatMulOp::create(b, loc, a, flat, false, true);
      Value t = TransposeOp::create(b, loc, y, ArrayRef<int64_t>{0, 1, 3, 2});
      result = reshape(t, out);
    }
    if (Attribute name = op->getAttr("tenon.value"))
      result.getDefiningOp()->setAttr("tenon.value", name);
    rows.replace(op, result);
  }
};

} // namespace
} // namespace tenon
