//===- LowerConv.cpp - turn convolutions into matmuls of patches ----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Depthwise.h"
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "lib/Codegen/Form/ChannelsLast.h"
#include "lib/Codegen/Form/StackDepth.h"
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

/// Groups of so many channels, of as many inputs, are permuted vectors, or an
/// input for all lanes of one.
constexpr int64_t kPermuted[] = {2, 4, 8, 16};

/// Groups of fewer output channels are computed lane by lane. Not those of so
/// many inputs, each of which would be copied for each output, where all
/// outputs fill no vector.
constexpr int64_t kSmallGroup = 8, kDeepGroup = 16;

struct LowerConvPass : ::tenon::impl::LowerConvPassBase<LowerConvPass> {
  void runOnOperation() override {
    // An op is moved only after what it reads has been.
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) {
      if (isReshape(op) || isSlice(op) || isTranspose(op) ||
          op->hasTrait<OpTrait::Elementwise>() ||
          isa<ConvOp, MatMulOp, PadOp, ConcatOp, GatherOp, ReduceOp>(op))
        ops.push_back(op);
    });
    ChannelsLast rows;
    for (Operation *op : ops) {
      if (auto conv = dyn_cast<ConvOp>(op))
        lower(conv, rows);
      else if (auto product = dyn_cast<MatMulOp>(op))
        flatten(product, rows);
      else if (StringRef why = rows.sink(op); !why.empty())
        noteMissed(kPass, op, kSink, why);
    }
    removeUnusedViews();
  }

  /// Those that were replaced by what they are views of.
  void removeUnusedViews() {
    SmallVector<Operation *> views;
    getOperation()->walk([&](Operation *op) {
      if ((isReshape(op) || isTranspose(op)) && !op->hasAttr("tenon.value"))
        views.push_back(op);
    });
    for (Operation *view : llvm::reverse(views))
      if (view->use_empty())
        view->erase();
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

  /// The input with its channels last; where it has to be moved for that and
  /// they do not fill vectors, null unless it is needed. One channel is both.
  Value imageOf(ConvOp op, ChannelsLast &rows, bool always) {
    if (Value image = rows.imageOf(op.getInput()))
      return image;
    OpBuilder b(op);
    SmallVector<SymExpr> dims = getDims(op.getInput());
    SymExpr channels = dims[1];
    if (always && channels.constant() == 1) {
      std::rotate(dims.begin() + 1, dims.begin() + 2, dims.end());
      return createReshape(b, op.getLoc(), op.getInput(), dims);
    }
    if (always || channels.constant().value_or(1) % kLanes == 0)
      return transposeChannelsLast(b, op.getLoc(), op.getInput());
    return nullptr;
  }

  /// Patches with their channels last, if that makes them copies of rows; else
  /// null.
  Value patchesOfRows(ConvOp op, ChannelsLast &rows) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    SmallVector<int64_t> kernel = kernelOf(op);
    auto isOne = [](int64_t i) { return i == 1; };
    bool isPointwise = // a patch is a row
        llvm::all_of(kernel, isOne) && llvm::all_of(op.getStrides(), isOne) &&
        llvm::all_of(op.getPads(), [](int64_t i) { return i == 0; });
    Value input = rows.rowsOf(op.getInput());
    if (isPointwise)
      return input;
    bool always = patchesOverlap(kernel, op.getStrides(), op.getDilations());
    if (!(input = imageOf(op, rows, always)))
      return nullptr;
    return Im2ColOp::create(b, loc, input, kernel, op.getStrides(),
                            op.getPads(), op.getDilations(), true);
  }

  /// An image's dims with these in the place of its channels.
  static SmallVector<SymExpr> withChannels(ArrayRef<SymExpr> image,
                                           ArrayRef<SymExpr> last) {
    SmallVector<SymExpr> dims(image.drop_back());
    dims.append(last.begin(), last.end());
    return dims;
  }

  /// Does no vector of any level hold parts of groups? Larger groups of what is
  /// dequantised are products of integers.
  static bool isPermuted(ConvOp op) {
    SmallVector<SymExpr> w = getDims(op.getWeight());
    int64_t perGroup = w[0].constant().value_or(0) / int64_t(op.getGroup());
    return w[1].constant() == perGroup &&
           llvm::is_contained(kPermuted, perGroup) &&
           (perGroup < kSmallGroup ||
            op.getWeight().getDefiningOp<ConstantOp>());
  }

  /// Small groups, channel by channel: each output channel meets the inputs of
  /// its group one after the other, as one more dim of the kernel. Where there
  /// is one input and one output to a group, nothing has to be repeated.
  Value apart(ConvOp op, ChannelsLast &rows) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    SmallVector<SymExpr> w = getDims(op.getWeight());
    int64_t groups = op.getGroup(), perGroup = *w[0].constant() / groups;
    SmallVector<int64_t> kernel = kernelOf(op), strides(op.getStrides()),
                         pads(op.getPads()), dilations(op.getDilations());
    SymExpr taps = productOf(ArrayRef(w).drop_front(1));
    bool permuted = isPermuted(op);
    Value weight = transposeMatrix(
        b, loc,
        permuted ? flattenChannelsLast(b, loc, op.getWeight())
                 : createReshape(b, loc, op.getWeight(), {w[0], taps}));
    Value image = imageOf(op, rows, /*always=*/true);
    if (permuted)
      return DepthwiseOp::create(b, loc, image, weight, kernel, strides, pads,
                                 dilations);
    SmallVector<SymExpr> dims = getDims(image);
    size_t rank = kernel.size();
    if (w[1].constant() != 1) { // [N, spatial..., C] to [N, Cin, spatial..., G]
      image = createReshape(b, loc, image, withChannels(dims, {groups, w[1]}));
      SmallVector<int64_t> perm{0, int64_t(rank) + 2};
      for (size_t i = 1; i < rank + 2; ++i)
        perm.push_back(i);
      image = createTranspose(b, loc, image, perm);
      kernel.insert(kernel.begin(), *w[1].constant());
      strides.insert(strides.begin(), 1);
      dilations.insert(dilations.begin(), 1);
      pads.insert(pads.begin() + rank, 0);
      pads.insert(pads.begin(), 0);
    }
    if (perGroup != 1) {
      dims = getDims(image);
      image = createReshape(b, loc, image, withChannels(dims, {groups, 1}));
      image = BroadcastToOp::create(
          b, loc, image,
          DimsAttr::get(b.getContext(),
                        withChannels(dims, {groups, perGroup})));
    }
    dims = getDims(image);
    dims.truncate(kernel.size() + 1);
    dims.push_back(w[0]);
    if (getDims(image) != dims)
      image = createReshape(b, loc, image, dims);
    return DepthwiseOp::create(b, loc, image, weight, kernel, strides, pads,
                               dilations);
  }

  /// Large groups: matrix products with the groups as a batch dim. The channels
  /// of a group are brought together, so that its patches are copies of rows.
  Value grouped(ConvOp op, ChannelsLast &rows) {
    OpBuilder b(op);
    Location loc = op.getLoc();
    SmallVector<SymExpr> w = getDims(op.getWeight());
    SymExpr groups = op.getGroup(), perGroup = *w[0].constant() / op.getGroup();
    SymExpr k = productOf(ArrayRef(w).drop_front(1));
    Value image = imageOf(op, rows, /*always=*/true);
    SmallVector<SymExpr> dims = getDims(image);
    SymExpr batch = dims[0];
    image = createReshape(b, loc, image, withChannels(dims, {groups, w[1]}));
    SmallVector<int64_t> perm{0, int64_t(dims.size()) - 1};
    for (size_t i = 1; i + 1 < dims.size(); ++i)
      perm.push_back(i);
    perm.push_back(dims.size());
    image = createTranspose(b, loc, image, perm);
    dims[0] = batch * groups;
    dims.back() = w[1];
    image = createReshape(b, loc, image, dims);
    Value patches =
        Im2ColOp::create(b, loc, image, kernelOf(op), op.getStrides(),
                         op.getPads(), op.getDilations(), true);
    SymExpr positions = getDims(patches)[1];
    patches = createReshape(b, loc, patches, {batch, groups, positions, k});
    Value weight = flattenChannelsLast(b, loc, op.getWeight());
    weight = createReshape(b, loc, weight, {groups, perGroup, k});
    Value y = MatMulOp::create(b, loc, patches, weight, false, true);
    y = createTranspose(b, loc, y, ArrayRef<int64_t>{0, 2, 1, 3});
    return createReshape(b, loc, y, {batch, positions, w[0]});
  }

  /// A product by a constant of rows that hold channels and what is left of an
  /// image behind them: the rows lie in memory with the channels last, and so
  /// does the constant from now on.
  void flatten(MatMulOp op, ChannelsLast &rows) {
    Operation *flat = op.getLhs().getDefiningOp();
    auto constant = op.getRhs().getDefiningOp<ConstantOp>();
    if (!isReshape(flat) || op.getTransposeA() || !constant ||
        isa<SplatElementsAttr>(constant.getValue()))
      return;
    Value image = flat->getOperand(0);
    SmallVector<SymExpr> dims = getDims(image), lhs = getDims(op.getLhs()),
                         weight = getDims(op.getRhs());
    if (weight.size() != 2 || dims.size() < 3)
      return;
    // Dims of the image that stand before the channels in rows' order.
    size_t before = 1;
    if (Operation *moved = image.getDefiningOp(); isTranspose(moved)) {
      ArrayRef<int64_t> perm = permOf(moved);
      before = std::distance(perm.begin(), llvm::find(perm, 1));
      if (before < 1)
        return;
      SmallVector<int64_t> expected =
          llvm::to_vector(llvm::seq<int64_t>(perm.size()));
      std::rotate(expected.begin() + 1, expected.begin() + 2,
                  expected.begin() + before + 1);
      if (perm != ArrayRef(expected))
        return;
      image = moved->getOperand(0);
    }
    SymExpr channels = dims[before],
            behind = productOf(ArrayRef(dims).drop_front(before + 1));
    if (!channels.constant() || !behind.constant() || behind == SymExpr(1) ||
        lhs.back() != channels * behind)
      return;
    Value last = rows.imageOf(image);
    if (!last)
      return;
    noteApplied(kPass, op, kLast);
    OpBuilder b(op);
    Location loc = op.getLoc();
    Value columns =
        op.getTransposeB() ? op.getRhs() : transposeMatrix(b, loc, op.getRhs());
    SymExpr n = getDims(columns)[0];
    columns = flattenChannelsLast(
        b, loc, createReshape(b, loc, columns, {n, channels, behind}));
    Value result =
        MatMulOp::create(b, loc, createReshape(b, loc, last, lhs), columns,
                         /*transposeA=*/false, /*transposeB=*/true);
    if (Attribute name = op->getAttr("tenon.value"))
      result.getDefiningOp()->setAttr("tenon.value", name);
    rows.replace(op, result);
  }

  /// Over three dims, as a product of patches of two.
  Value stacked(ConvOp op, ChannelsLast &rows) {
    noteApplied(kPass, op, kLast);
    Value image = imageOf(op, rows, /*always=*/true);
    OpBuilder b(op);
    Location loc = op.getLoc();
    image = stackDepth(b, op, image);
    SmallVector<int64_t> kernel = kernelOf(op);
    ArrayRef<int64_t> pads = op.getPads();
    Value patches =
        Im2ColOp::create(b, loc, image, ArrayRef(kernel).drop_front(),
                         op.getStrides().drop_front(),
                         ArrayRef<int64_t>{pads[1], pads[2], pads[4], pads[5]},
                         op.getDilations().drop_front(), true);
    Value y =
        MatMulOp::create(b, loc, patches, stackedWeight(b, op), false, true);
    SmallVector<SymExpr> out = getDims(op.getResult());
    return createReshape(
        b, loc, y, {out[0], productOf(ArrayRef(out).drop_front(2)), out[1]});
  }

  void lower(ConvOp op, ChannelsLast &rows) {
    op = cropTaps(op);
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
    if (llvm::is_contained(out, SymExpr(0))) {
      auto element =
          RankedTensorType::get({}, getElementTypeOrSelf(op.getType()));
      Value none =
          createConstant(b, loc, cast<ElementsAttr>(b.getZeroAttr(element)));
      return rows.replace(
          op, BroadcastToOp::create(b, loc, none,
                                    DimsAttr::get(b.getContext(), out)));
    }
    int64_t groups = op.getGroup();
    if (groups != 1 && !w[0].constant()) {
      op.emitError("a convolution in groups must have a number of output "
                   "channels known when compiling, found ")
          << w[0].str();
      return signalPassFailure();
    }
    SymExpr cout = w[0];
    SymExpr k = productOf(ArrayRef(w).drop_front(1)); // of one group
    Value result;
    if (meetsPadding(op)) {
      noteApplied(kPass, op, kLast);
      Value image = imageOf(op, rows, /*always=*/true);
      result = rows.viewOf(b, loc, tapByTap(b, op, image), out);
    } else if (canStackDepth(op)) {
      result = rows.viewOf(b, loc, stacked(op, rows), out);
    } else if (groups == 1) {
      Value last = patchesOfRows(op, rows);
      if (last)
        noteApplied(kPass, op, kLast);
      else
        noteMissed(kPass, op, kLast,
                   "the channels of its input stand first and fill no vectors");
      Value patches = last ? last : patchesOf(op);
      Value flat = last ? flattenChannelsLast(b, loc, op.getWeight())
                        : createReshape(b, loc, op.getWeight(), {cout, k});
      Value y = MatMulOp::create(b, loc, patches, flat, false, true);
      result = rows.viewOf(b, loc, y, out);
    } else {
      int64_t outputs = *cout.constant(), perGroup = outputs / groups;
      std::optional<int64_t> depth = w[1].constant();
      bool isDeep = perGroup > 1 && outputs < kLanes && depth >= kDeepGroup;
      bool small =
          isPermuted(op) || (perGroup < kSmallGroup && depth && !isDeep);
      Value y = small ? apart(op, rows) : grouped(op, rows);
      result = rows.viewOf(b, loc, y, out);
    }
    if (Attribute name = op->getAttr("tenon.value"))
      result.getDefiningOp()->setAttr("tenon.value", name);
    rows.replace(op, result);
  }
};

} // namespace
} // namespace tenon
