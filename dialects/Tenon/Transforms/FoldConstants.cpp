//===- FoldConstants.cpp - compute ops on small constants -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Not folders of the ops: folders would also compute with what a person wants
// to see in the IR, and cannot look into resource blobs.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Concat.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonSmallTensor.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/NormedWeights.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "dialects/Tenon/Transforms/WidenHalves.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "tenon/Support/Half.h"
#include <cmath>

namespace tenon {
#define GEN_PASS_DEF_FOLDCONSTANTSPASS
#include "dialects/Tenon/Transforms/FoldConstants.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;

namespace {

/// Of a model's constants, and of what is computed of them in f32: a filter or
/// a table that the model spells out.
constexpr int64_t maxElements = 4096, maxComputed = 1 << 17;

/// Of what is held in memory beside the file.
constexpr size_t maxBytes = size_t(1) << 26;

/// Large constants that were computed here.
using Computed = DenseSet<Value>;

/// Is it of f32, or a condition computed of such? Masks and positions are no
/// large constants: passes that follow know them by how they are made.
bool isOfFloats(Operation *op, const Computed &computed) {
  Type result = getElementTypeOrSelf(op->getResult(0).getType());
  return (result.isF32() || result.isInteger(1)) &&
         llvm::all_of(op->getOperands(), [&](Value v) {
           Type type = getElementTypeOrSelf(v.getType());
           return type.isF32() || (type.isInteger(1) && computed.contains(v));
         });
}

/// The constant that the op computes, or null.
DenseElementsAttr compute(Operation *op, const Computed &computed) {
  if (op->getNumResults() != 1 || op->getNumOperands() == 0)
    return {};
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (!type || !type.hasStaticShape())
    return {};
  if (type.getNumElements() > maxElements &&
      (type.getNumElements() > maxComputed || !isOfFloats(op, computed)))
    return {};
  SmallVector<SmallTensor> operands;
  for (Value operand : op->getOperands()) {
    DenseElementsAttr constant = match::smallConstant(
        operand, computed.contains(operand) ? maxComputed : maxElements);
    std::optional<SmallTensor> tensor =
        constant ? SmallTensor::unpack(constant) : std::nullopt;
    if (!tensor)
      return {};
    operands.push_back(std::move(*tensor));
  }
  std::optional<SmallTensor> result = evaluateOp(op, operands);
  return result ? result->pack() : DenseElementsAttr();
}

/// Where the elements that a slice takes begin in its input, if they lie
/// together there.
std::optional<int64_t> contiguousStart(SliceOp op) {
  auto from = cast<RankedTensorType>(op.getInput().getType());
  auto to = cast<RankedTensorType>(op.getResult().getType());
  if (!from.hasStaticShape() || !to.hasStaticShape())
    return std::nullopt;
  int64_t start = 0;
  bool whole = false; // dims behind one of several elements are taken whole
  for (auto [first, step, size, all] :
       llvm::zip_equal(op.getStarts().getSymExprs(), op.getSteps(),
                       to.getShape(), from.getShape())) {
    if (!first.constant() || (step != 1 && size > 1) || (whole && size != all))
      return std::nullopt;
    whole |= size > 1;
    start = start * all + *first.constant();
  }
  return start;
}

/// A constant of the bytes that `blob` holds or shows.
DenseResourceElementsAttr storedAs(RankedTensorType type, StringRef name,
                                   AsmResourceBlob blob) {
  auto &manager =
      DenseResourceElementsHandle::getManagerInterface(type.getContext());
  return DenseResourceElementsAttr::get(type,
                                        manager.insert(name, std::move(blob)));
}

/// The bytes of a large constant that a slice takes (a direction's weights), as
/// a constant: they are not copied. Null where they do not lie together.
DenseResourceElementsAttr viewOfSlice(SliceOp op) {
  Value source = skipReshapes(op.getInput());
  auto constant = source.getDefiningOp<ConstantOp>();
  std::optional<int64_t> start = contiguousStart(op);
  if (!constant || !start)
    return {};
  auto type = cast<RankedTensorType>(op.getResult().getType());
  size_t bytes = type.getElementTypeBitWidth() / 8; // 0: packed
  size_t size = type.getNumElements() * bytes;
  ArrayRef<char> data = match::bytesOf(constant.getValue());
  if (size == 0 || *start < 0 || *start * bytes + size > data.size())
    return {};
  // The model's file, or the attribute, lives as long as the context.
  AsmResourceBlob blob = UnmanagedAsmResourceBlob::allocateWithAlign(
      data.slice(*start * bytes, size), 1);
  return storedAs(type, "part", std::move(blob));
}

/// Is it, or what views show of it, what products, convolutions and recurrent
/// layers multiply by?
bool isWeight(Value v) {
  return llvm::all_of(v.getUses(), [](OpOperand &use) {
    Operation *user = use.getOwner();
    if (isReshape(user) || isTranspose(user))
      return isWeight(user->getResult(0));
    return isa<MatMulOp, ConvOp, RecurrentOp>(user) &&
           use.getOperandNumber() == 1;
  });
}

/// The bytes of constants that are joined to a weight (the gates of a cell in
/// another order), as one constant. Null for any others, and for what is too
/// large to be held in memory beside the file.
DenseResourceElementsAttr joined(ConcatOp op) {
  auto type = cast<RankedTensorType>(op.getResult().getType());
  size_t width = type.getElementTypeBitWidth() / 8; // 0: packed
  if (width == 0 || !type.hasStaticShape() ||
      type.getNumElements() * width > maxBytes || !isWeight(op))
    return {};
  size_t outer = 1, total = 0;
  for (int64_t size : type.getShape().take_front(op.getAxis()))
    outer *= size;
  SmallVector<ArrayRef<char>> parts;
  for (Value input : op.getInputs()) {
    auto constant = input.getDefiningOp<ConstantOp>();
    auto own = cast<RankedTensorType>(input.getType());
    ArrayRef<char> data =
        constant ? match::bytesOf(constant.getValue()) : ArrayRef<char>();
    if (data.empty() || data.size() != own.getNumElements() * width)
      return {};
    parts.push_back(data);
    total += data.size();
  }
  AsmResourceBlob blob =
      HeapAsmResourceBlob::allocate(total, alignof(uint64_t));
  char *to = blob.getMutableData().data();
  for (size_t i = 0; i < outer; ++i)
    for (ArrayRef<char> part : parts) {
      size_t size = part.size() / outer;
      memcpy(to, part.data() + i * size, size);
      to += size;
    }
  return storedAs(type, "joined", std::move(blob));
}

/// A constant of f32 that a model casts to halves (f16, bf16), as such. Null
/// for any other cast, and for what is too large to be held in memory.
ElementsAttr narrowed(CastOp op) {
  auto constant = op.getInput().getDefiningOp<ConstantOp>();
  auto type = cast<RankedTensorType>(op.getResult().getType());
  auto half = dyn_cast<FloatType>(type.getElementType());
  if (!constant || !half || !isHalf(half) ||
      !getElementTypeOrSelf(op.getInput()).isF32() || !type.hasStaticShape())
    return {};
  if (auto splat = dyn_cast<SplatElementsAttr>(constant.getValue()))
    return roundSplat(splat, type);
  size_t count = type.getNumElements();
  ArrayRef<char> data = match::bytesOf(constant.getValue());
  if (count == 0 || 2 * count > maxBytes || data.size() != 4 * count)
    return {};
  AsmResourceBlob blob =
      HeapAsmResourceBlob::allocate(2 * count, alignof(uint64_t));
  char *to = blob.getMutableData().data();
  for (size_t i = 0; i < count; ++i) {
    float value;
    memcpy(&value, &data[4 * i], 4);
    uint16_t bits = roundToHalf(value, half.isF16());
    memcpy(to + 2 * i, &bits, 2);
  }
  if (count <= size_t(maxElements))
    return DenseElementsAttr::getFromRawBuffer(type, blob.getData());
  return storedAs(type, "narrowed", std::move(blob));
}

/// Halves (f16, bf16) that a model stores and casts to f32, as f32. Null where
/// the cast is none of such, or is not to be computed here: a product reads its
/// matrix from memory, and takes halves as they are. Not so a filter, which
/// every position of an image meets, and small constants.
ElementsAttr widenedHere(CastOp op) {
  auto constant = op.getInput().getDefiningOp<ConstantOp>();
  auto type = cast<RankedTensorType>(op.getResult().getType());
  if (!constant || !type.getElementType().isF32() || !type.hasStaticShape())
    return {};
  if (type.getNumElements() > maxElements &&
      !llvm::all_of(op->getUses(), [](OpOperand &use) {
        return isa<ConvOp>(use.getOwner()) && use.getOperandNumber() == 1;
      }))
    return {};
  return widenHalves(constant.getValue());
}

/// Are they integers of 8 bits with a sign?
bool areCodes(Value v) {
  DenseElementsAttr constant = match::smallConstant(v, maxElements);
  return constant && constant.getElementType().isF32() &&
         llvm::all_of(constant.getValues<float>(), [](float x) {
           return x >= -128 && x <= 127 && x == std::trunc(x);
         });
}

/// Of so few terms that f32 holds the sums of integers of 8 bits exactly.
bool isOfChannelsAlone(ConvOp op) {
  constexpr int64_t most = (1 << 24) / (255 * 255);
  auto weight = cast<RankedTensorType>(op.getWeight().getType());
  return op.getGroup() != 1 && weight.hasStaticShape() &&
         weight.getDimSize(1) == 1 && weight.getDimSize(0) > 0 &&
         weight.getNumElements() / weight.getDimSize(0) <= most;
}

/// Are these a weight's codes on their way to a product, which multiplies them
/// by those of its rows?
bool isOfCodes(Operation *op) {
  bool begins = isa<CastOp>(op)
                    ? getElementTypeOrSelf(op->getOperand(0)).isInteger(8)
                    : isa<MulOp>(op) &&
                          getElementTypeOrSelf(op->getResult(0)).isF32() &&
                          areCodes(op->getOperand(0));
  if (!begins)
    return false;
  Value v = op->getResult(0);
  while (v.hasOneUse()) {
    OpOperand &use = *v.getUses().begin();
    Operation *user = use.getOwner();
    if (auto conv = dyn_cast<ConvOp>(user))
      return use.getOperandNumber() == 1 &&
             (conv.getGroup() == 1 || isOfChannelsAlone(conv));
    if (isa<MatMulOp>(user))
      return use.getOperandNumber() == 1;
    if (use.getOperandNumber() != 0 || !(isa<CastOp, SubOp, MulOp>(user) ||
                                         isReshape(user) || isTranspose(user)))
      return false;
    v = user->getResult(0);
  }
  return false;
}

/// Filters that a model computes of codes and scales (DequantizeLinear, or
/// what spells it out), in a model whose images stay floats, or of channels
/// alone: else its codes are multiplied as they are.
class Filters {
public:
  static bool makesCodes(func::FuncOp func) {
    return func
        .walk([](CastOp op) {
          Type from = getElementTypeOrSelf(op.getInput());
          return isa<FloatType>(from) && op.getTo().isInteger(8)
                     ? WalkResult::interrupt()
                     : WalkResult::advance();
        })
        .wasInterrupted();
  }
  /// The numbers of the convolution's filter; null where it is none of such.
  static ElementsAttr compute(ConvOp op);

private:
  static constexpr int64_t kMost = 1 << 22;
  static bool isOfConstants(Value v, bool &isScaled);
  static std::optional<SmallTensor> evaluate(Value v);
};

bool Filters::isOfConstants(Value v, bool &isScaled) {
  auto type = cast<RankedTensorType>(v.getType());
  if (!type.hasStaticShape() || type.getNumElements() > kMost ||
      !isComputable(type.getElementType()))
    return false;
  Operation *op = v.getDefiningOp();
  if (isa_and_nonnull<ConstantOp>(op))
    return true;
  if (!op || op->getNumResults() != 1 || op->getNumOperands() == 0 ||
      !(op->hasTrait<tenon::OpTrait::Elementwise>() || isReshape(op) ||
        isTranspose(op)))
    return false;
  isScaled |= isa<MulOp, DivOp>(op);
  return llvm::all_of(op->getOperands(),
                      [&](Value o) { return isOfConstants(o, isScaled); });
}

std::optional<SmallTensor> Filters::evaluate(Value v) {
  if (DenseElementsAttr constant = match::smallConstant(v, kMost))
    return SmallTensor::unpack(constant);
  SmallVector<SmallTensor> operands;
  for (Value operand : v.getDefiningOp()->getOperands()) {
    std::optional<SmallTensor> tensor = evaluate(operand);
    if (!tensor)
      return std::nullopt;
    operands.push_back(std::move(*tensor));
  }
  return evaluateOp(v.getDefiningOp(), operands);
}

ElementsAttr Filters::compute(ConvOp op) {
  Value v = op.getWeight();
  bool isScaled = op.getGroup() != 1;
  auto type = cast<RankedTensorType>(v.getType());
  if (!type.getElementType().isF32() || v.getDefiningOp<ConstantOp>() ||
      !isOfConstants(v, isScaled) || !isScaled)
    return {};
  std::optional<SmallTensor> result = evaluate(v);
  if (!result)
    return {};
  AsmResourceBlob blob = HeapAsmResourceBlob::allocate(
      4 * result->elements.size(), alignof(uint64_t));
  char *to = blob.getMutableData().data();
  for (const Scalar &x : result->elements) {
    float value = x.f;
    memcpy(to, &value, 4);
    to += 4;
  }
  return storedAs(type, "filter", std::move(blob));
}

/// Integers of 8 bits as f32, maybe less a zero point.
bool isOfBytes(Value v) {
  auto number = v.getDefiningOp<CastOp>();
  if (!number || !number.getTo().isF32())
    return areCodes(v);
  Value wide = number.getInput();
  if (auto less = wide.getDefiningOp<SubOp>())
    wide = less.getLhs();
  if (auto cast = wide.getDefiningOp<CastOp>();
      cast && cast.getTo().isSignlessInteger(32))
    wide = cast.getInput();
  return getDims(wide) == getDims(v) && getElementTypeOrSelf(wide).isInteger(8);
}

/// Scales between which f32 has room; none where there are others.
std::optional<SmallVector<float>> scalesOf(Value v) {
  constexpr float least = 0x1p-50f, most = 0x1p50f;
  constexpr int64_t mostChannels = 1 << 16;
  DenseElementsAttr constant = match::smallConstant(v, mostChannels);
  if (!constant || !constant.getElementType().isF32())
    return std::nullopt;
  SmallVector<float> scales(constant.getValues<float>());
  if (llvm::any_of(scales, [](float s) { return !(s >= least && s <= most); }))
    return std::nullopt;
  return scales;
}

/// A convolution of channels alone of numbers that codes stand for becomes one
/// of the codes, whose sums f32 holds exactly, times both scales.
void takeScalesOut(OpBuilder &b, ConvOp op) {
  auto image = op.getInput().getDefiningOp<MulOp>(),
       weight = op.getWeight().getDefiningOp<MulOp>();
  if (!isOfChannelsAlone(op) || !image || !weight ||
      op->hasAttr("tenon.value") || !isOfBytes(image.getLhs()) ||
      !isOfBytes(weight.getLhs()))
    return;
  auto scaleX = scalesOf(image.getRhs()), scaleW = scalesOf(weight.getRhs());
  SmallVector<SymExpr> dims = getDims(weight.getRhs());
  int64_t channels = *getDims(weight.getResult())[0].constant();
  bool each = dims.size() == getDims(weight.getResult()).size() &&
              dims[0] == SymExpr(channels) && productOf(dims) == dims[0];
  if (!scaleX || !scaleW || scaleX->size() != 1 ||
      !(scaleW->size() == 1 || each))
    return;
  for (float &scale : *scaleW)
    scale *= scaleX->front();
  SmallVector<int64_t> shape;
  if (scaleW->size() > 1) {
    shape.assign(dims.size() - 1, 1);
    shape[0] = channels;
  }
  auto type = RankedTensorType::get(shape, b.getF32Type());
  op.getInputMutable().assign(image.getLhs());
  op.getWeightMutable().assign(weight.getLhs());
  b.setInsertionPointAfter(op);
  Value scale = ConstantOp::create(
      b, op.getLoc(), type, DenseElementsAttr::get(type, ArrayRef(*scaleW)));
  auto scaled = MulOp::create(b, op.getLoc(), op.getResult(), scale);
  op.getResult().replaceAllUsesExcept(scaled, scaled);
}

struct FoldConstantsPass
    : tenon::impl::FoldConstantsPassBase<FoldConstantsPass> {
  void runOnOperation() override {
    OpBuilder builder(&getContext());
    Computed computed;
    bool makesCodes = Filters::makesCodes(getOperation());
    // In order: an op that folds makes its users' operands constant.
    getOperation().walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (!isa<TenonDialect>(op->getDialect()))
        return;
      if (makesCodes && isOfCodes(op))
        return;
      ElementsAttr value = compute(op, computed);
      bool isComputed = value && value.getNumElements() > maxElements;
      if (auto slice = value ? SliceOp() : dyn_cast<SliceOp>(op))
        value = viewOfSlice(slice);
      if (auto cast = value ? CastOp() : dyn_cast<CastOp>(op))
        value = narrowed(cast);
      if (auto cast = value ? CastOp() : dyn_cast<CastOp>(op))
        value = widenedHere(cast);
      if (auto concat = value ? ConcatOp() : dyn_cast<ConcatOp>(op))
        value = joined(concat);
      if (!value)
        return;
      noteApplied(getArgument(), op, "folded");
      builder.setInsertionPoint(op);
      Value constant = ConstantOp::create(builder, op->getLoc(), value);
      if (isComputed)
        computed.insert(constant);
      op->getResult(0).replaceAllUsesWith(constant);
      op->erase();
    });
    getOperation().walk([&](Operation *op) {
      if (isa<ConvOp, MatMulOp>(op))
        foldNormed(builder, op->getOperand(1));
    });
    getOperation().walk([&](ConvOp op) {
      if (makesCodes)
        takeScalesOut(builder, op);
      if (!makesCodes || op.getGroup() != 1)
        foldFilter(builder, op);
    });
  }

  /// A weight, or what it is a view of, that is a constant once normalised.
  void foldNormed(OpBuilder &builder, Value weight) {
    Operation *op = weight.getDefiningOp();
    while (isReshape(op) || isTranspose(op)) {
      weight = op->getOperand(0);
      op = weight.getDefiningOp();
    }
    std::optional<std::vector<float>> numbers =
        numbersOfNormed(weight, maxBytes / sizeof(float));
    if (!numbers)
      return;
    noteApplied(getArgument(), op, "its weight folded");
    size_t bytes = numbers->size() * sizeof(float);
    AsmResourceBlob blob =
        HeapAsmResourceBlob::allocate(bytes, alignof(uint64_t));
    memcpy(blob.getMutableData().data(), numbers->data(), bytes);
    builder.setInsertionPoint(op);
    weight.replaceAllUsesWith(
        ConstantOp::create(builder, weight.getLoc(),
                           storedAs(cast<RankedTensorType>(weight.getType()),
                                    "normed", std::move(blob))));
  }

  void foldFilter(OpBuilder &builder, ConvOp op) {
    ElementsAttr value = Filters::compute(op);
    if (!value)
      return;
    noteApplied(getArgument(), op, "its filter folded");
    builder.setInsertionPoint(op);
    op.getWeightMutable().assign(
        ConstantOp::create(builder, op.getWeight().getLoc(), value));
  }
};

} // namespace
