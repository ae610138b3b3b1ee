//===- ChannelsLast.cpp - convolutions' values as rows of channels --------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/ChannelsLast.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"
#include <algorithm>

using namespace mlir;

namespace tenon {

static Value reshape(OpBuilder &b, Location loc, Value v,
                     ArrayRef<SymExpr> dims) {
  if (getDims(v) == dims)
    return v;
  return ReshapeOp::create(b, loc, v, DimsAttr::get(b.getContext(), dims));
}

/// [N, C, spatial...] as [N, spatial..., C].
template <typename T>
static SmallVector<T> channelsLast(ArrayRef<T> of) {
  SmallVector<T> moved(of);
  std::rotate(moved.begin() + 1, moved.begin() + 2, moved.end());
  return moved;
}

/// Of [N, C, spatial...].
static SmallVector<SymExpr> rowDims(ArrayRef<SymExpr> dims) {
  return {dims[0], productOf(dims.drop_front(2)), dims[1]};
}

/// An operand that is the same at all positions.
static bool isPerChannel(Value v, ArrayRef<SymExpr> dims) {
  SmallVector<SymExpr> everywhere(dims.take_front(2));
  everywhere.resize(dims.size(), SymExpr(1));
  return isBroadcastOf(getDims(v), everywhere);
}

/// What a model repeats to such dims: elementwise ops repeat it themselves.
static Value skipRepeats(Value v, ArrayRef<SymExpr> dims) {
  auto repeat = v.getDefiningOp<BroadcastToOp>();
  return repeat && getDims(repeat.getInput()).size() <= dims.size()
             ? repeat.getInput()
             : v;
}

/// Such an operand for rows: [C] or [N, 1, C], for an image [N, 1..., C]; a
/// number stays one.
static Value perChannel(OpBuilder &b, Location loc, Value v,
                        ArrayRef<SymExpr> dims, bool forImage) {
  SmallVector<SymExpr> own = getDims(v);
  if (own.size() <= 1)
    return v;
  if (own.size() < dims.size() || own[0].constant() == 1)
    return reshape(b, loc, v, {productOf(own)});
  SmallVector<SymExpr> to(forImage ? dims.size() : 3, SymExpr(1));
  to.front() = own[0];
  to.back() = own[1];
  return reshape(b, loc, v, to);
}

/// An operand's dims, with ones in front as many as the result's.
static SmallVector<SymExpr> paddedDims(Value v, size_t rank) {
  SmallVector<SymExpr> own = getDims(v);
  if (own.size() < rank)
    own.insert(own.begin(), rank - own.size(), SymExpr(1));
  return own;
}

/// An operand that is the same in all channels.
static bool isPerPosition(Value v, ArrayRef<SymExpr> dims) {
  SmallVector<SymExpr> own = paddedDims(v, dims.size());
  if (own.size() != dims.size() || own[1].constant() != 1)
    return false;
  return llvm::all_of(llvm::zip_equal(own, dims), [](auto pair) {
    auto &[mine, whole] = pair;
    return mine == whole || mine.constant() == 1;
  });
}

/// Does it vary along all of the spatial dims, as rows need?
static bool hasAllPositions(Value v, ArrayRef<SymExpr> dims) {
  return ArrayRef(paddedDims(v, dims.size())).drop_front(2) ==
         dims.drop_front(2);
}

/// Such an operand for rows, [N, positions, 1], or an image, [N, spatial...,
/// 1].
static Value perPosition(OpBuilder &b, Location loc, Value v,
                         ArrayRef<SymExpr> dims, bool forImage) {
  SmallVector<SymExpr> own = paddedDims(v, dims.size());
  return reshape(b, loc, v,
                 forImage ? channelsLast(ArrayRef(own)) : rowDims(own));
}

/// Where a form of `v` stands, so that all that reads `v` may read it.
static OpBuilder after(Value v) {
  OpBuilder b(v.getContext());
  b.setInsertionPointAfterValue(v);
  return b;
}

static DimsAttr channelsLast(DimsAttr of) {
  return DimsAttr::get(of.getContext(),
                       channelsLast(ArrayRef(of.getSymExprs())));
}
/// The number of a dim of [N, C, spatial...] in an image.
static int64_t inImage(int64_t dim, size_t rank) {
  return dim == 0 ? 0 : dim == 1 ? int64_t(rank) - 1 : dim - 1;
}

/// Fewer channels than this do not fill a vector: what moves elements is left
/// as it is.
static constexpr int64_t kFewChannels = 8;
bool hasChannels(Value v) {
  SmallVector<SymExpr> dims = getDims(v);
  return dims.size() >= 3 &&
         dims[1].constant().value_or(kFewChannels) >= kFewChannels;
}

Value ChannelsLast::viewOf(OpBuilder &b, Location loc, Value rows,
                           ArrayRef<SymExpr> dims) {
  Value v = TransposeOp::create(b, loc, rows, ArrayRef<int64_t>{0, 2, 1});
  v = ReshapeOp::create(b, loc, v, DimsAttr::get(b.getContext(), dims));
  known[v] = {rows, {}};
  return v;
}

Value ChannelsLast::rowsOf(Form &form, ArrayRef<SymExpr> dims) {
  if (!form.rows && form.image) {
    OpBuilder b = after(form.image);
    form.rows = reshape(b, form.image.getLoc(), form.image, rowDims(dims));
  }
  return form.rows;
}

Value ChannelsLast::imageOf(Form &form, ArrayRef<SymExpr> dims) {
  if (!form.image && form.rows) {
    OpBuilder b = after(form.rows);
    form.image =
        ReshapeOp::create(b, form.rows.getLoc(), form.rows,
                          DimsAttr::get(b.getContext(), channelsLast(dims)));
  }
  return form.image;
}

// A value whose form is found may be replaced by that: `v` is gone then.
Value ChannelsLast::rowsOf(Value v) {
  SmallVector<SymExpr> dims = getDims(v);
  Form form = formOf(v);
  return form ? rowsOf(form, dims) : Value();
}

Value ChannelsLast::imageOf(Value v) {
  SmallVector<SymExpr> dims = getDims(v);
  Form form = formOf(v);
  return form ? imageOf(form, dims) : Value();
}

Value ChannelsLast::knownRows(Value v) {
  auto it = known.find(v);
  return it == known.end() ? Value() : rowsOf(it->second, getDims(v));
}

Value ChannelsLast::knownImage(Value v) {
  auto it = known.find(v);
  return it == known.end() ? Value() : imageOf(it->second, getDims(v));
}

/// Replaces `op` by a view of what was computed instead.
ChannelsLast::Form ChannelsLast::finish(Operation *op, Form form) {
  OpBuilder b(op);
  SmallVector<SymExpr> dims = getDims(op->getResult(0));
  Value view;
  if (form.rows) {
    view = viewOf(b, op->getLoc(), form.rows, dims);
  } else {
    SmallVector<int64_t> perm{0, int64_t(dims.size()) - 1};
    for (size_t i = 1; i + 1 < dims.size(); ++i)
      perm.push_back(i);
    view = TransposeOp::create(b, op->getLoc(), form.image, perm);
  }
  known[view] = form;
  replace(op, view);
  return form;
}

ChannelsLast::Form ChannelsLast::move(Operation *op,
                                      function_ref<Form(Value)> formOfOperand) {
  // A value that is asked for by name stays as the model has it.
  if (!op->hasTrait<OpTrait::Elementwise>() || op->hasAttr("tenon.value"))
    return {};
  SmallVector<SymExpr> dims = getDims(op->getResult(0));
  // Something of the result's dims stays.
  bool skips = llvm::any_of(op->getOperands(), [&](Value v) {
    return getDims(v) == dims && !v.getDefiningOp<BroadcastToOp>();
  });
  // Anew each time: asking for a form may put other values in their place.
  auto operandOf = [&](size_t i) {
    Value v = op->getOperand(i);
    return skips ? skipRepeats(v, dims) : v;
  };
  auto numbers = llvm::seq<size_t>(op->getNumOperands());
  auto isWhole = [&](Value v) { return getDims(v) == dims; };
  // Of all channels, and perhaps of one row or column where the result has many
  // (dims known at run time only): images are broadcast as these are.
  auto hasForm = [&](Value v) {
    SmallVector<SymExpr> own = getDims(v);
    return own == dims || (own.size() == dims.size() && own[1] == dims[1] &&
                           !isPerChannel(v, dims) && !isPerPosition(v, dims));
  };
  if (dims.size() < 3 ||
      llvm::none_of(numbers, [&](size_t i) { return hasForm(operandOf(i)); }))
    return {};
  // As rows, unless all come as images or something varies along a part of the
  // spatial dims alone.
  SmallVector<Form> forms;
  bool allImages = true, partly = false;
  for (size_t i : numbers) {
    Value v = operandOf(i);
    if (hasForm(v)) {
      partly |= !isWhole(v);
      forms.push_back(formOfOperand(v)); // v may be gone
      if (!forms.back())
        return {};
      allImages &= !forms.back().rows;
      continue;
    }
    forms.push_back({});
    if (!isPerChannel(v, dims)) {
      if (!isPerPosition(v, dims))
        return {};
      partly |= !hasAllPositions(v, dims);
    }
  }
  bool asImage = allImages || partly;
  OpBuilder b(op);
  SmallVector<Value> operands;
  for (auto [i, form] : llvm::zip_equal(numbers, forms)) {
    Value v = operandOf(i);
    if (hasForm(v))
      operands.push_back(asImage ? imageOf(form, getDims(v))
                                 : rowsOf(form, dims));
    else if (isPerChannel(v, dims))
      operands.push_back(perChannel(b, op->getLoc(), v, dims, asImage));
    else
      operands.push_back(perPosition(b, op->getLoc(), v, dims, asImage));
  }
  Operation *moved = b.clone(*op);
  moved->setOperands(operands);
  Value result = moved->getResult(0);
  result.setType(
      getTensorType(asImage ? channelsLast(ArrayRef(dims)) : rowDims(dims),
                    getElementTypeOrSelf(result)));
  return finish(op, asImage ? Form{{}, result} : Form{result, {}});
}

void ChannelsLast::replace(Operation *op, Value by) {
  op->getResult(0).replaceAllUsesWith(by);
  known.erase(op->getResult(0));
  op->erase();
}

//===----------------------------------------------------------------------===//
// What moves, joins or reduces elements
//===----------------------------------------------------------------------===//

ChannelsLast::Form ChannelsLast::sinkPad(PadOp op) {
  Value image =
      hasChannels(op.getInput()) ? knownImage(op.getInput()) : Value();
  if (!image)
    return {};
  OpBuilder b(op);
  Value padded =
      PadOp::create(b, op.getLoc(), op.getMode(), image, op.getValue(),
                    channelsLast(op.getLow()), channelsLast(op.getHigh()));
  return {{}, padded};
}

ChannelsLast::Form ChannelsLast::sinkSlice(SliceOp op) {
  Value image =
      hasChannels(op.getResult()) ? knownImage(op.getInput()) : Value();
  if (!image)
    return {};
  OpBuilder b(op);
  Value part =
      SliceOp::create(b, op.getLoc(), image, channelsLast(op.getStarts()),
                      b.getDenseI64ArrayAttr(channelsLast(op.getSteps())),
                      channelsLast(op.getDims()));
  return {{}, part};
}

/// Something for each channel that is the same at all positions, as rows.
Value ChannelsLast::repeatedRows(Value v) {
  auto repeat = v.getDefiningOp<BroadcastToOp>();
  SmallVector<SymExpr> dims = getDims(v);
  if (!repeat || dims.size() < 3 || repeat->hasAttr("tenon.value") ||
      getDims(repeat.getInput()).size() != dims.size() ||
      !isPerChannel(repeat.getInput(), dims))
    return {};
  OpBuilder b(repeat);
  Location loc = repeat.getLoc();
  return BroadcastToOp::create(
      b, loc, perChannel(b, loc, repeat.getInput(), dims, /*forImage=*/false),
      DimsAttr::get(b.getContext(), rowDims(dims)));
}

/// The rows of a constant of one value: images get channels of zeros so.
static Value filledRows(Value v) {
  DenseElementsAttr value;
  if (!matchPattern(v, m_Constant(&value)) || !value.isSplat())
    return nullptr;
  OpBuilder b = after(v);
  return ConstantOp::create(b, v.getLoc(),
                            value.resizeSplat(getTensorType(
                                rowDims(getDims(v)), value.getElementType())));
}

ChannelsLast::Form ChannelsLast::sinkConcat(ConcatOp op) {
  OpBuilder b(op);
  bool ofChannels = op.getAxis() == 1;
  auto inputs = op.getInputs();
  auto isKnown = [&](Value v) { return bool(known.lookup(v)); };
  if (llvm::none_of(inputs, isKnown) || getDims(op.getResult()).size() < 3)
    return {};
  SmallVector<Value> parts;
  for (Value v : inputs) {
    Value filled = isKnown(v) ? Value() : filledRows(v);
    if (!filled && !hasChannels(v))
      return {};
    if (filled)
      known[v] = {filled, {}};
    parts.push_back(!ofChannels  ? knownImage(v)
                    : isKnown(v) ? knownRows(v)
                                 : repeatedRows(v));
    if (!parts.back())
      return {};
  }
  size_t rank = getDims(op.getResult()).size();
  Value joined = ConcatOp::create(b, op.getLoc(), parts,
                                  ofChannels ? 2 : inImage(op.getAxis(), rank));
  return ofChannels ? Form{joined, {}} : Form{{}, joined};
}

ChannelsLast::Form ChannelsLast::sinkGather(GatherOp op) {
  size_t rank = getDims(op.getInput()).size();
  if (op.getAxis() < 2 || getDims(op.getIndices()).empty() ||
      !hasChannels(op.getInput()))
    return {};
  Value image = knownImage(op.getInput());
  if (!image)
    return {};
  OpBuilder b(op);
  Value taken = GatherOp::create(b, op.getLoc(), image, op.getIndices(),
                                 inImage(op.getAxis(), rank));
  return {{}, taken};
}

/// Over positions, the dims kept.
ChannelsLast::Form ChannelsLast::sinkReduce(ReduceOp op) {
  size_t rank = getDims(op.getInput()).size();
  if (!op.getKeepdims() || op.getAxes().empty() ||
      !hasChannels(op.getInput()) ||
      llvm::any_of(op.getAxes(), [](int64_t axis) { return axis < 2; }))
    return {};
  bool all =
      op.getAxes() == ArrayRef(llvm::to_vector(llvm::seq<int64_t>(2, rank)));
  Value in = all ? knownRows(op.getInput()) : knownImage(op.getInput());
  if (!in)
    return {};
  OpBuilder b(op);
  SmallVector<int64_t> axes{1};
  if (!all)
    axes = llvm::map_to_vector(
        op.getAxes(), [&](int64_t axis) { return inImage(axis, rank); });
  Value reduced = ReduceOp::create(b, op.getLoc(), op.getKind(), in,
                                   b.getDenseI64ArrayAttr(axes), true);
  return all ? Form{reduced, {}} : Form{{}, reduced};
}

/// Over all positions, of which none is kept, or over all elements of an image:
/// no order of theirs gives another result, but for products.
bool ChannelsLast::sinkWhole(ReduceOp op) {
  int64_t rank = getDims(op.getInput()).size();
  SmallVector<int64_t> axes(op.getAxes());
  llvm::sort(axes);
  bool all =
      ArrayRef(axes) == ArrayRef(llvm::to_vector(llvm::seq<int64_t>(1, rank)));
  if (op.getKind() == ReduceKind::prod || !hasChannels(op.getInput()) ||
      (!all && (op.getKeepdims() ||
                ArrayRef(axes) !=
                    ArrayRef(llvm::to_vector(llvm::seq<int64_t>(2, rank))))))
    return false;
  Value rows = knownRows(op.getInput());
  if (!rows)
    return false;
  OpBuilder b(op);
  Location loc = op.getLoc();
  SmallVector<int64_t> over{1};
  if (all)
    over.push_back(2);
  Value reduced = ReduceOp::create(b, loc, op.getKind(), rows,
                                   b.getDenseI64ArrayAttr(over), false);
  replace(op, reshape(b, loc, reduced, getDims(op.getResult())));
  return true;
}

/// The largest or the smallest of all elements, of each row first, some of them
/// with other signs: no order of theirs gives another one.
bool ChannelsLast::sinkExtremes(ReduceOp op) {
  auto ofRows = op.getInput().getDefiningOp<ReduceOp>();
  int64_t rank = getDims(op.getInput()).size();
  ReduceKind kind = op.getKind();
  if (!ofRows || rank < 3 ||
      (kind != ReduceKind::max && kind != ReduceKind::min) ||
      ofRows.getKind() != kind || op.getKeepdims() || !ofRows.getKeepdims() ||
      op.getAxes() != ArrayRef(llvm::to_vector(llvm::seq<int64_t>(1, rank))) ||
      ofRows.getAxes() != ArrayRef<int64_t>{rank - 1})
    return false;
  auto signs = ofRows.getInput().getDefiningOp<MulOp>();
  auto view = signs ? signs.getLhs().getDefiningOp<ReshapeOp>() : ReshapeOp();
  SmallVector<SymExpr> dims =
      view ? getDims(view.getInput()) : SmallVector<SymExpr>();
  SmallVector<SymExpr> of(rank, SymExpr(1));
  of.front() = getDims(op.getResult()).front();
  if (dims.size() < 3 || getDims(signs.getRhs()) != of ||
      ArrayRef(getDims(view.getResult())).drop_front() != ArrayRef(dims))
    return false;
  Value rows = knownRows(view.getInput());
  if (!rows)
    return false;
  OpBuilder b(op);
  Location loc = op.getLoc();
  SymExpr own = dims[1] * dims.back();
  SymExpr others =
      dims[0] * productOf(ArrayRef(dims).slice(2, dims.size() - 3));
  Value both =
      MulOp::create(b, loc, reshape(b, loc, rows, {SymExpr(1), others, own}),
                    reshape(b, loc, signs.getRhs(), {of[0], 1, 1}));
  both = ReduceOp::create(b, loc, kind, both, ArrayRef<int64_t>{2}, true);
  replace(op,
          ReduceOp::create(b, loc, kind, both, ArrayRef<int64_t>{1, 2}, false));
  return true;
}

/// Other spatial dims for the same positions.
ChannelsLast::Form ChannelsLast::sinkReshape(ReshapeOp op) {
  SmallVector<SymExpr> from = getDims(op.getInput()),
                       to = getDims(op.getResult());
  if (from.size() < 3 || to.size() < 3 || rowDims(from) != rowDims(to))
    return {};
  Value rows = knownRows(op.getInput());
  return {rows, {}};
}

/// Channels that are split, moved among the other dims and joined again:
/// channels become positions (ONNX DepthToSpace) or are shuffled.
ChannelsLast::Form ChannelsLast::sinkShuffle(ReshapeOp op) {
  auto transpose = op.getInput().getDefiningOp<TransposeOp>();
  auto split =
      transpose ? transpose.getInput().getDefiningOp<ReshapeOp>() : nullptr;
  if (!split)
    return {};
  SmallVector<SymExpr> whole = getDims(split.getInput()),
                       parts = getDims(split.getResult()),
                       moved = getDims(transpose.getResult()),
                       joined = getDims(op.getResult());
  size_t spatial = whole.size() - 2;
  if (whole.size() < 3 || joined.size() < 3 || parts.size() <= whole.size() ||
      parts[0] != whole[0] || joined[0] != whole[0] ||
      transpose.getPerm()[0] != 0 ||
      ArrayRef(parts).take_back(spatial) != ArrayRef(whole).take_back(spatial))
    return {};
  // The first dims that make up the channels.
  size_t count = 1;
  SymExpr channels = moved[1];
  while (channels != joined[1] && ++count < moved.size())
    channels = channels * moved[count];
  if (count == moved.size() || !hasChannels(split.getInput()) ||
      (channels.constant() != 1 && !hasChannels(op.getResult())))
    return {};
  Value image = knownImage(split.getInput());
  if (!image)
    return {};
  // Where a dim of `parts` is with the channels, all of them, behind.
  size_t of = parts.size() - 1 - spatial; // channels' parts
  auto place = [&](int64_t d) -> int64_t {
    return d == 0 ? 0 : size_t(d) <= of ? d + spatial : d - of;
  };
  SmallVector<int64_t> perm{0};
  for (size_t d = count + 1; d < moved.size(); ++d)
    perm.push_back(place(transpose.getPerm()[d]));
  for (size_t d = 1; d <= count; ++d)
    perm.push_back(place(transpose.getPerm()[d]));
  SmallVector<SymExpr> last{parts[0]};
  last.append(parts.end() - spatial, parts.end());
  last.append(parts.begin() + 1, parts.begin() + 1 + of);
  OpBuilder b(op);
  Value v = reshape(b, op.getLoc(), image, last);
  v = TransposeOp::create(b, op.getLoc(), v, perm);
  return {{}, reshape(b, op.getLoc(), v, channelsLast(ArrayRef(joined)))};
}

//===----------------------------------------------------------------------===//
// Where the model itself has the channels last
//===----------------------------------------------------------------------===//

/// Of [N, C, spatial...] to [N, spatial..., C], and back.
static SmallVector<int64_t> toLast(size_t rank) {
  return channelsLast(ArrayRef(llvm::to_vector(llvm::seq<int64_t>(rank))));
}
static SmallVector<int64_t> toFirst(size_t rank) {
  SmallVector<int64_t> perm{0, int64_t(rank) - 1};
  llvm::append_range(perm, llvm::seq<int64_t>(1, rank - 1));
  return perm;
}

/// `v` as a value of its own: it may be moved later.
static Value copyOf(Value v, ArrayRef<SymExpr> dims) {
  OpBuilder b = after(v);
  return ReshapeOp::create(b, v.getLoc(), v,
                           DimsAttr::get(b.getContext(), dims));
}

/// A transpose of what is known becomes an image, one back what it is of.
void ChannelsLast::sinkTranspose(TransposeOp op) {
  Value in = op.getInput();
  SmallVector<SymExpr> dims = getDims(in);
  if (dims.size() < 3 || op->hasAttr("tenon.value"))
    return;
  if (Value first = firstOf.lookup(in)) {
    if (op.getPerm() == ArrayRef(toFirst(dims.size())))
      replace(op, first);
  } else if (op.getPerm() == ArrayRef(toLast(dims.size()))) {
    if (Value image = knownImage(in)) {
      Value own = copyOf(image, channelsLast(ArrayRef(dims)));
      firstOf[own] = in;
      replace(op, own);
    }
  } else if (op.getPerm()[0] == 0 && op.getPerm()[1] == 1 && hasChannels(in)) {
    sinkPositions(op);
  }
}

/// An elementwise op of such images, and of numbers for each channel: as one of
/// the values with the channels first.
bool ChannelsLast::sinkLast(Operation *op) {
  SmallVector<SymExpr> dims = getDims(op->getResult(0));
  size_t rank = dims.size();
  auto isImage = [&](Value v) {
    return firstOf.contains(v) && getDims(v) == dims;
  };
  auto isPerChannel = [](Value v) {
    SmallVector<SymExpr> own = getDims(v);
    return own.empty() || llvm::all_of(ArrayRef(own).drop_back(), [](auto &d) {
             return d.constant() == 1;
           });
  };
  if (rank < 3 || llvm::none_of(op->getOperands(), isImage) ||
      !llvm::all_of(
          op->getOperands(),
          [&](Value v) { return isImage(v) || isPerChannel(v); }))
    return false;
  OpBuilder b(op);
  Location loc = op->getLoc();
  SmallVector<Value> operands;
  for (Value v : op->getOperands()) {
    SmallVector<SymExpr> own = getDims(v), to(rank - 1, SymExpr(1));
    if (!own.empty())
      to.front() = own.back();
    operands.push_back(isImage(v)    ? firstOf.lookup(v)
                       : own.empty() ? v
                                     : reshape(b, loc, v, to));
  }
  Operation *moved = b.clone(*op);
  moved->setOperands(operands);
  SmallVector<SymExpr> first;
  for (int64_t d : toFirst(rank))
    first.push_back(dims[d]);
  Value result = moved->getResult(0);
  result.setType(getTensorType(first, getElementTypeOrSelf(result)));
  auto last = TransposeOp::create(b, loc, result, toLast(rank));
  replace(op, last);
  move(moved, [&](Value v) { return known.lookup(v); });
  sinkTranspose(last);
  return true;
}

StringRef ChannelsLast::sink(Operation *op) {
  if (auto transpose = dyn_cast<TransposeOp>(op)) {
    sinkTranspose(transpose);
    return "";
  }
  bool concerned = llvm::any_of(op->getOperands(),
                                [&](Value v) { return bool(known.lookup(v)); });
  if (op->hasAttr("tenon.value"))
    return concerned ? "its result is asked for by name" : "";
  if (op->hasTrait<OpTrait::Elementwise>()) {
    // What else it reads may lie so, too.
    if (sinkLast(op) || sinkSplit(op) || !concerned ||
        move(op, [&](Value v) { return formOf(v); }))
      return ""; // else op is still there
    return "an operand has no rows and varies along the positions";
  }
  if (auto reduce = dyn_cast<ReduceOp>(op);
      reduce && (sinkExtremes(reduce) || sinkWhole(reduce)))
    return "";
  // The windows of an image whose channels the model itself moves to the front,
  // or of what is elementwise of one: squares.
  if (isa<PadOp, SliceOp>(op)) {
    Operation *image = op->getOperand(0).getDefiningOp();
    auto isTranspose = [](Value v) {
      return isa_and_present<TransposeOp>(v.getDefiningOp());
    };
    auto isSlice = [](Operation *user) { return isa<SliceOp>(user); };
    bool areSquares = isa<PadOp>(op) && image &&
                      image->hasTrait<OpTrait::Elementwise>() &&
                      llvm::any_of(image->getOperands(), isTranspose) &&
                      llvm::all_of(op->getUsers(), isSlice);
    if (areSquares || isTranspose(op->getOperand(0)))
      formOf(op->getOperand(0));
  }
  Form form = llvm::TypeSwitch<Operation *, Form>(op)
                  .Case([&](PadOp o) { return sinkPad(o); })
                  .Case([&](SliceOp o) { return sinkSlice(o); })
                  .Case([&](ConcatOp o) { return sinkConcat(o); })
                  .Case([&](GatherOp o) { return sinkGather(o); })
                  .Case([&](ReduceOp o) {
                    Form form = sinkReduce(o);
                    return form ? form : sinkParts(o);
                  })
                  .Case([&](ReshapeOp o) {
                    Form form = sinkReshape(o);
                    if (!form)
                      form = sinkShuffle(o);
                    return form ? form : sinkNorm(o);
                  })
                  .Default([](Operation *) { return Form(); });
  if (form)
    finish(op, form);
  return form || !concerned ? "" : "it has no form with the channels last";
}

/// Of [N, heads, positions, C / heads] with the last dims swapped, as attention
/// leaves them, that are made channels: the rows. Null for any other.
static Value rowsOfHeads(TransposeOp swapped, ArrayRef<SymExpr> dims) {
  SmallVector<SymExpr> rows = rowDims(dims);
  SmallVector<SymExpr> from =
      swapped ? getDims(swapped.getInput()) : SmallVector<SymExpr>();
  if (from.size() != 4 || swapped.getPerm() != ArrayRef<int64_t>{0, 1, 3, 2} ||
      from[0] != rows[0] || from[2] != rows[1] || from[1] * from[3] != rows[2])
    return {};
  OpBuilder b = after(swapped.getInput());
  Location loc = swapped.getLoc();
  Value v = TransposeOp::create(b, loc, swapped.getInput(),
                                ArrayRef<int64_t>{0, 2, 1, 3});
  return ReshapeOp::create(b, loc, v, DimsAttr::get(b.getContext(), rows));
}

ChannelsLast::Form ChannelsLast::formOf(Value v) {
  if (auto it = known.find(v); it != known.end())
    return it->second;
  SmallVector<SymExpr> dims = getDims(v);
  Operation *op = v.getDefiningOp();
  if (!op || dims.size() < 3)
    return {};
  if (isa<ConstantOp>(op) && dims[0].constant() == 1) { // embedded positions
    OpBuilder b = after(v);
    SmallVector<SymExpr> rows = rowDims(dims);
    Value turned = transposeMatrix(
        b, v.getLoc(), reshape(b, v.getLoc(), v, {rows[2], rows[1]}));
    return known[v] = {reshape(b, v.getLoc(), turned, rows), {}};
  }
  if (auto transpose = dyn_cast<TransposeOp>(op)) {
    if (transpose.getPerm() != ArrayRef(toFirst(dims.size())))
      return known[v] = {};
    return known[v] = {copyOf(transpose.getInput(), rowDims(dims)), {}};
  }
  // The same in two steps.
  if (auto view = dyn_cast<ReshapeOp>(op)) {
    auto transpose = view.getInput().getDefiningOp<TransposeOp>();
    if (transpose && transpose.getPerm() == ArrayRef<int64_t>{0, 2, 1} &&
        getDims(transpose.getInput()) == rowDims(dims))
      return known[v] = {copyOf(transpose.getInput(), rowDims(dims)), {}};
    if (Value rows = rowsOfHeads(transpose, dims))
      return known[v] = {rows, {}};
  }
  if (Form form = move(op, [&](Value o) { return formOf(o); }))
    return form; // v is gone
  return known[v] = {};
}

bool patchesOverlap(ArrayRef<int64_t> kernel, ArrayRef<int64_t> strides,
                    ArrayRef<int64_t> dilations) {
  // What a task copies of the image (ImageStrip.h) is no more than the patches,
  // but for its ends: far apart taps along the last dim would make these long.
  constexpr int64_t often = 2, wide = 64;
  int64_t taps = 1, once = 1;
  for (auto [size, stride] : llvm::zip_equal(kernel, strides)) {
    taps *= size;
    once *= std::min(size, stride);
  }
  return taps >= often * once &&
         (dilations.back() == 1 ||
          dilations.back() * (kernel.back() - 1) <= wide);
}

/// Does a gather along a spatial dim make an image larger, and nothing else
/// read it?
static bool growsImage(GatherOp op) {
  return op.getAxis() >= 2 && getDims(op.getIndices()).size() == 1 &&
         op->hasOneUse() && !op->hasAttr("tenon.value") &&
         (getDims(op.getResult())[op.getAxis()] -
          getDims(op.getInput())[op.getAxis()])
             .isNonNegative();
}

Value transposeChannelsLast(OpBuilder &b, Location loc, Value v) {
  size_t rank = getDims(v).size();
  // Moved while it is small.
  if (auto grown = v.getDefiningOp<GatherOp>(); grown && growsImage(grown)) {
    Value image = transposeChannelsLast(b, loc, grown.getInput());
    return GatherOp::create(b, grown.getLoc(), image, grown.getIndices(),
                            inImage(grown.getAxis(), rank));
  }
  return TransposeOp::create(b, loc, v, toLast(rank));
}

} // namespace tenon
