//===- TenonKernelOps.cpp - fused groups and packed operands --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Inference and verifiers of the ops of TenonKernel.td and TenonPacked.td.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Depthwise.h"
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/LoadPages.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/StorePages.h"
#include "dialects/Tenon/IR/Ops/StoredRows.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonInfer.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "llvm/ADT/TypeSwitch.h"
#include <numeric>

using namespace mlir;

namespace tenon {

//===----------------------------------------------------------------------===//
// KernelOp
//===----------------------------------------------------------------------===//

LogicalResult KernelOp::verify() {
  Block &block = getBody().front();
  if (TypeRange(block.getArgumentTypes()) != TypeRange(getInputs().getTypes()))
    return emitOpError() << "expected block arguments of types "
                         << getInputs().getTypes() << ", found "
                         << block.getArgumentTypes();
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  if (!yield)
    return emitOpError() << "expected tenon.yield at the end of the body";
  if (TypeRange(yield.getValues().getTypes()) != TypeRange(getResultTypes()))
    return emitOpError() << "expected yielded values of types "
                         << getResultTypes() << ", found "
                         << yield.getValues().getTypes();
  std::optional<KernelKind> kind = kindOf(block);
  if (!kind)
    return emitOpError() << "holds anchors that make no kernel together: "
                            "expected one product, one depthwise convolution, "
                            "one softmax or norm, or product, softmax, "
                            "product";
  if (*kind != getKind())
    return emitOpError() << "expected kind " << stringifyKernelKind(*kind)
                         << " for what the region holds, found "
                         << stringifyKernelKind(getKind());
  return getTilingAttr() ? getTilingAttr().verifyFor(*this) : success();
}

/// What the region's one result comes from; null: an argument.
static Operation *rootOf(Block &body) {
  Operation *yield = body.getTerminator();
  return yield->getNumOperands() == 1 ? yield->getOperand(0).getDefiningOp()
                                      : nullptr;
}

Operation *KernelOp::getRoot() { return rootOf(getBody().front()); }

using Kind = std::optional<KernelKind>;

/// The kind of kernel that ends with such an op; nullopt: any may hold it.
static Kind ownKind(Operation *root) {
  return llvm::TypeSwitch<Operation *, Kind>(root)
      .Case<CumulateOp>([](auto) { return KernelKind::scan; })
      .Case<ScatterElementsOp, ScatterNDOp, AppendOp, StorePagesOp>(
          [](auto) { return KernelKind::scatter; })
      .Case<TopKOp>([](auto) { return KernelKind::top_k; })
      .Case<LinearAttentionOp, RecurrentOp>(
          [](auto) { return KernelKind::recurrence; })
      .Case<CompactOp, UniqueOp, NonMaxSuppressionOp>(
          [](auto) { return KernelKind::native; })
      .Default([](Operation *) { return std::nullopt; });
}

std::optional<KernelKind> KernelOp::kindOf(Block &body) {
  if (Operation *root = rootOf(body))
    if (Kind own = ownKind(root))
      return own;
  unsigned products = 0, rows = 0, windows = 0;
  for (Operation &op : body) {
    products += isa<PackedMatMulOp>(op);
    rows += isa<SoftmaxOp, LayerNormOp, RmsNormOp>(op);
    windows += isa<DepthwiseOp>(op);
  }
  if (windows)
    return windows == 1 && products + rows == 0 ? Kind(KernelKind::depthwise)
                                                : std::nullopt;
  if (rows == 0 && products <= 1)
    return products ? KernelKind::matmul : KernelKind::map;
  if (rows == 1 && (products == 0 || products == 2))
    return products ? KernelKind::attention : KernelKind::row;
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Im2ColOp, DepthwiseOp
//===----------------------------------------------------------------------===//

/// The sizes of a window over `input`, which has two dims more.
static FailureOr<Dims> kernelSizes(const Dims &input, DenseI64ArrayAttr attr,
                                   ShapeJoiner &joiner) {
  if (input.size() < 3)
    return joiner.error("expected an input of rank >= 3, found rank ",
                        input.size());
  auto sizes = joiner.perDim(attr, input.size() - 2, "kernel sizes");
  if (failed(sizes) || failed(inRange(*sizes, 1, "kernel sizes", joiner)))
    return failure();
  return Dims(sizes->begin(), sizes->end());
}

static FailureOr<Dims> inferDims(Im2ColOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  FailureOr<Dims> kernel = failure();
  if (succeeded(input))
    kernel = kernelSizes(*input, op.getKernelAttr(), joiner);
  if (failed(kernel))
    return failure();
  bool last = op.getChannelsLast();
  ArrayRef<SymExpr> inner = ArrayRef(*input).drop_front();
  FailureOr<Dims> positions = windowPositions(
      last ? inner.drop_back() : inner.drop_front(), *kernel,
      op.getStridesAttr(), op.getPadsAttr(), op.getDilationsAttr(), joiner);
  if (failed(positions))
    return failure();
  return Dims{(*input)[0], productOf(*positions),
              (last ? inner.back() : inner.front()) * productOf(*kernel)};
}
TENON_INFER(Im2ColOp, firstElement(adaptor.getOperands()))

Im2ColOp findPatches(KernelOp kernel) {
  auto products = kernel.getBody().front().getOps<PackedMatMulOp>();
  if (!llvm::hasSingleElement(products))
    return nullptr;
  PackedMatMulOp product = *products.begin();
  Value lhs = product.getLhs();
  auto patches = skipReshapes(lhs).getDefiningOp<Im2ColOp>();
  if (!patches || !patches.getChannelsLast() || product.getFormatAttr())
    return nullptr;
  Dims packed = getDims(product.getPacked()), rows = getDims(lhs);
  bool isOne = packed.size() >= 3 &&
               llvm::all_of(ArrayRef(packed).drop_back(3),
                            [](const SymExpr &d) { return d.constant() == 1; });
  if (isOne)
    return lhs == patches.getResult() ? patches : Im2ColOp();
  // Groups of channels, which are images: [batch, groups, positions, patch].
  bool inTurns =
      packed.size() == 4 && packed[0].constant() && rows.size() == 4 &&
      rows[1] == packed[0] &&
      ArrayRef(rows).drop_front(2) == ArrayRef(getDims(patches)).drop_front();
  return inTurns ? patches : Im2ColOp();
}

PackedMatMulOp findWinograd(KernelOp kernel) {
  auto products = kernel.getBody().front().getOps<PackedMatMulOp>();
  if (!llvm::hasSingleElement(products))
    return nullptr;
  PackedMatMulOp product = *products.begin();
  return product.getWinograd() ? product : PackedMatMulOp();
}

bool areWinogradPatches(Im2ColOp patches) {
  ArrayRef<int64_t> strides = patches.getStrides();
  return patches.getChannelsLast() &&
         patches.getKernel() == ArrayRef<int64_t>{3, 3} &&
         (strides == ArrayRef<int64_t>{1, 1} ||
          (strides == ArrayRef<int64_t>{2, 2} &&
           patches.getDilations() == ArrayRef<int64_t>{1, 1})) &&
         getElementTypeOrSelf(patches.getInput().getType()).isF32();
}

int64_t matricesOf(PackedMatMulOp product) {
  Dims packed = getDims(product.getPacked());
  return packed.size() > 3 ? packed[packed.size() - 4].constant().value_or(1)
                           : 1;
}

/// How many times as many rows as places a depthwise weight has.
static int64_t groupSize(const SymExpr &rows, ArrayRef<int64_t> kernel) {
  int64_t places = std::accumulate(kernel.begin(), kernel.end(), int64_t(1),
                                   std::multiplies<int64_t>()),
          all = rows.constant().value_or(0);
  return all > places && places > 0 && all % places == 0 ? all / places : 1;
}

int64_t DepthwiseOp::getGroupSize() {
  return groupSize(getDims(getWeight())[0], getKernel());
}

static FailureOr<Dims> inferDims(DepthwiseOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  FailureOr<Dims> weight = joiner.dimsOf(op.getWeight(), "weight");
  if (failed(input) || failed(weight))
    return failure();
  FailureOr<Dims> kernel = kernelSizes(*input, op.getKernelAttr(), joiner);
  if (failed(kernel))
    return failure();
  FailureOr<Dims> positions = windowPositions(
      ArrayRef(*input).drop_front().drop_back(), *kernel, op.getStridesAttr(),
      op.getPadsAttr(), op.getDilationsAttr(), joiner);
  if (failed(positions))
    return failure();
  if (weight->size() != 2)
    return joiner.error("expected a weight of rank 2, found rank ",
                        weight->size());
  int64_t group = groupSize((*weight)[0], op.getKernel());
  if (input->back().constant().value_or(1) % group != 0)
    group = 1;
  if (failed(joiner.equal((*weight)[0], productOf(*kernel) * SymExpr(group),
                          "the weight's rows and the kernel's places")) ||
      failed(joiner.equal((*weight)[1], input->back(),
                          "the weight's and the input's channels")))
    return failure();
  return Dims{(*input)[0], productOf(*positions), input->back()};
}
TENON_INFER(DepthwiseOp, firstElement(adaptor.getOperands()))

//===----------------------------------------------------------------------===//
// PackBOp, PackedMatMulOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(PackBOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> dims = joiner.dimsOf(op.getInput(), "input");
  if (failed(dims))
    return failure();
  if (dims->size() < 2)
    return joiner.error("expected an input of rank >= 2, found rank ",
                        dims->size());
  SymExpr n = dims->pop_back_val(), k = dims->pop_back_val();
  if (op.getTransposed())
    std::swap(n, k);
  dims->append({SymExpr::apply(SymExpr::Fn::CeilDiv, n, SymExpr(kPanelColumns)),
                k, SymExpr(kPanelColumns)});
  return dims;
}
TENON_INFER(PackBOp, Float32Type::get(context))

static FailureOr<Dims> inferDims(PackedMatMulOp::Adaptor op,
                                 ShapeJoiner &joiner) {
  FailureOr<Dims> lhs = joiner.dimsOf(op.getLhs(), "lhs");
  FailureOr<Dims> packed = joiner.dimsOf(op.getPacked(), "packed");
  if (failed(lhs) || failed(packed))
    return failure();
  // Panels of a format are bytes.
  FormatAttr format = op.getFormatAttr();
  size_t inner = format ? 2 : 3;
  int64_t columns = kPanelColumns; // of a panel
  if (lhs->size() < 2 || packed->size() < inner)
    return joiner.error(
        "expected lhs of rank >= 2 and packed of rank >= ", inner,
        ", found ranks ", lhs->size(), " and ", packed->size());
  std::optional<SymExpr> n;
  if (op.getNAttr())
    n = SymExpr::parse(op.getN());
  if (!n)
    return joiner.error("expected a dim expression for the columns, found ",
                        op.getNAttr());
  if (format) {
    std::optional<int64_t> k = lhs->back().constant();
    SymExpr bytes(k ? format.bytesOfPanel(*k) : 0);
    if (!k && !format.getScale() && !format.getBlock())
      bytes = SymExpr::apply(SymExpr::Fn::CeilDiv, lhs->back(),
                             SymExpr(format.rowsOfGroup())) *
              format.bytesOfGroup();
    bool halves = getElementTypeOrSelf(op.getPacked().getType()).isBF16();
    if (packed->back() * SymExpr(halves ? 2 : 1) != bytes)
      return joiner.error("expected panels of ", bytes.str(), " bytes for ",
                          lhs->back().str(), " rows, found ",
                          packed->back().str(), halves ? " bf16" : "");
    if (k && format.isInteger() && format.getBlock() && !format.hasLists() &&
        *k % format.getBlock())
      return joiner.error("expected whole blocks of ", format.getBlock(),
                          " rows, found ", *k);
  } else if (packed->back() == SymExpr(1)) {
    columns = 1;
    std::optional<int64_t> k = lhs->back().constant(),
                           length = packed->end()[-2].constant();
    if (!k || !length || *length < *k)
      return joiner.error("expected columns of at least ", lhs->back().str(),
                          " numbers, found ", packed->end()[-2].str());
  } else if (packed->back() != SymExpr(kPanelColumns)) {
    return joiner.error("expected panels of ", kPanelColumns,
                        " columns or of one, found ", packed->back().str());
  }
  SymExpr k = lhs->back();
  if (op.getWinograd()) {
    bool steps = packed->size() == 3;
    if (lhs->size() != 3 || columns == 1 ||
        (!steps &&
         (packed->size() != 4 || (*packed)[0] != SymExpr(kWinogradMatrices))))
      return joiner.error("expected with winograd lhs of rank 3 and ",
                          kWinogradMatrices, " packed matrices, found rank ",
                          lhs->size(), " and packed of rank ", packed->size(),
                          ", first dim ", packed->front().str());
    constexpr int64_t taps = 9;
    k = k.divideExactly(taps).value_or(0);
    if (steps)
      k = k * SymExpr(kWinogradStepsRows);
    else
      packed->erase(packed->begin());
  }
  if (failed(joiner.equal(
          SymExpr::apply(SymExpr::Fn::CeilDiv, *n, SymExpr(columns)),
          packed->end()[-int64_t(inner)],
          "the panels of n columns and packed's")) ||
      (!format && columns > 1 &&
       failed(joiner.equal(k, packed->end()[-2],
                           "the dims that are summed over"))))
    return failure();
  Dims batches[] = {Dims(lhs->begin(), lhs->end() - 2),
                    Dims(packed->begin(), packed->end() - inner)};
  FailureOr<Dims> dims = joiner.broadcast(batches);
  if (failed(dims))
    return failure();
  dims->append({lhs->end()[-2], *n});
  return dims;
}
TENON_INFER(PackedMatMulOp,
            adaptor.getFormatAttr() && adaptor.getFormatAttr().isInteger()
                ? Type(IntegerType::get(context, 32))
                : firstElement(adaptor.getOperands()))

LogicalResult PackedMatMulOp::verify() {
  Type lhs = getElementTypeOrSelf(getLhs().getType()),
       packed = getElementTypeOrSelf(getPacked().getType());
  FormatAttr format = getFormatAttr();
  bool integer = format && format.isInteger();
  if (integer ? !lhs.isUnsignedInteger(8) : !isa<FloatType>(lhs))
    return emitOpError() << "expected lhs of " << (integer ? "ui8" : "floats")
                         << ", found " << lhs;
  bool halves = format && format.getRows() && format.getRows().isBF16() &&
                packed.isBF16();
  if (format ? !packed.isUnsignedInteger(8) && !halves
             : !isa<FloatType>(packed))
    return emitOpError() << "expected panels of "
                         << (format ? "bytes" : "floats") << ", found "
                         << packed;
  if (bool(getDirect()) != bool(getUnless()) || (getDirect() && !getWinograd()))
    return emitOpError() << "expected direct and unless with winograd alone, "
                            "each beside the other";
  if (!getWinograd())
    return success();
  if (format || !lhs.isF32())
    return emitOpError() << "expected f32 without a format for winograd, found "
                         << lhs;
  auto patches = getLhs().getDefiningOp<Im2ColOp>();
  constexpr int64_t matrix = 3; // its dims
  if (!patches || !areWinogradPatches(patches) ||
      (patches.getStrides()[0] == 2) != (getDims(getPacked()).size() == matrix))
    return emitOpError() << "expected for winograd an im2col of f32 with "
                            "channels_last, kernel 3x3, and strides of 1 by 16 "
                            "matrices or, with dilations of 1, of 2 by one";
  if (!getDirect())
    return success();
  SmallVector<SymExpr> direct{getDims(getPacked()).end()[-3],
                              getDims(getLhs()).back(), kPanelColumns};
  if (getDims(getDirect()) != direct ||
      !getElementTypeOrSelf(getDirect().getType()).isF32())
    return emitOpError() << "expected direct to be panels in f32 of "
                         << direct[1].str() << " rows, found "
                         << getDirect().getType();
  return verifyExpr(*this, *getUnless());
}

//===----------------------------------------------------------------------===//
// StorePagesOp, LoadPagesOp, StoredRowsOp
//===----------------------------------------------------------------------===//

int64_t headerOfPage(Type element) {
  return element.isInteger(8) ? kPanelColumns * 4 : 0;
}
int64_t widthInPage(int64_t size, bool transposed) {
  return transposed ? size : int64_t(llvm::alignTo(size, kPanelColumns));
}
int64_t elementsOfPage(Type element, int64_t width) {
  return headerOfPage(element) + kPanelColumns * width;
}

static bool isPageElement(Type type) {
  return type.isF32() || type.isF16() || type.isBF16() ||
         type.isSignlessInteger(8);
}

static FailureOr<Dims> inferDims(StorePagesOp::Adaptor op,
                                 ShapeJoiner &joiner) {
  FailureOr<Dims> input = joiner.dimsOf(op.getInput(), "input");
  FailureOr<Dims> fresh = joiner.dimsOf(op.getFresh(), "fresh");
  FailureOr<Dims> rows = joiner.dimsOf(op.getRows(), "rows");
  if (failed(input) || failed(fresh) || failed(rows))
    return failure();
  if (input->size() < 3 || fresh->size() != input->size() || rows->size() != 2)
    return joiner.error("expected operands of one rank >= 3 and rows of rank "
                        "2, found ranks ",
                        input->size(), ", ", fresh->size(), " and ",
                        rows->size());
  std::optional<int64_t> size = input->back().constant();
  if (!size || !op.getElementAttr())
    return joiner.error("expected rows of a static size and an element type, "
                        "found ",
                        input->back().str());
  size_t axis = input->size() - 2;
  for (size_t i = 0; i < input->size(); ++i)
    if (i != axis &&
        failed(joiner.equal((*input)[i], (*fresh)[i],
                            "dim " + Twine(i) + " of input and fresh")))
      return failure();
  if (((*rows)[0].constant() != 1 &&
       failed(joiner.equal((*rows)[0], (*input)[0], "dim 0 of rows"))) ||
      failed(joiner.equal((*rows)[1], (*fresh)[axis], "dim 1 of rows")))
    return failure();
  (*input)[axis] = SymExpr::apply(SymExpr::Fn::CeilDiv, (*input)[axis],
                                  SymExpr(kPanelColumns));
  int64_t width = widthInPage(*size, op.getTransposed());
  input->back() = SymExpr(elementsOfPage(op.getElement(), width));
  return input;
}
TENON_INFER(StorePagesOp, adaptor.getElement())

LogicalResult StorePagesOp::verify() {
  Type input = getInput().getType().getElementType(),
       fresh = getFresh().getType().getElementType();
  if (!input.isF32() || !fresh.isF32() || !isPageElement(getElement()))
    return emitOpError() << "expected rows of f32 as f32, f16, bf16 or i8, "
                            "found "
                         << input << " and " << fresh << " as " << getElement();
  return failure(failed(verifyExpr(*this, getCarried())) ||
                 failed(verifyExpr(*this, getTable())));
}

static FailureOr<Dims> inferDims(LoadPagesOp::Adaptor op, ShapeJoiner &joiner) {
  FailureOr<Dims> dims = joiner.dimsOf(op.getPages(), "pages");
  if (failed(dims))
    return failure();
  std::optional<SymExpr> length;
  if (op.getLengthAttr())
    length = SymExpr::parse(op.getLength().str());
  int64_t size = op.getSizeAttr() ? op.getSize() : 0;
  if (!length || size < 1 || dims->size() < 3)
    return joiner.error("expected pages of rank >= 3, a length and a size, "
                        "found rank ",
                        dims->size(), ", size ", size);
  if (op.getEnds()) {
    FailureOr<Dims> ends = joiner.dimsOf(op.getEnds(), "ends");
    if (failed(ends))
      return failure();
    if (ends->size() != 1)
      return joiner.error("expected ends of rank 1, found rank ", ends->size());
    if (failed(joiner.equal(ends->front(), dims->front(), "dim 0 of ends")))
      return failure();
  }
  int64_t width = widthInPage(size, op.getTransposed()),
          page = elementsOfPage(firstElement(op.getOperands()), width);
  if (dims->back() != SymExpr(page))
    return joiner.error("expected pages of ", page, " elements for rows of ",
                        size, ", found ", dims->back().str());
  dims->pop_back();
  if (op.getTransposed()) {
    dims->push_back(SymExpr(size));
  } else {
    dims->back() = SymExpr(width / kPanelColumns);
    dims->push_back(*length);
  }
  dims->push_back(SymExpr(kPanelColumns));
  return dims;
}
TENON_INFER(LoadPagesOp, Float32Type::get(context))

LogicalResult LoadPagesOp::verify() {
  if (Type element = getPages().getType().getElementType();
      !isPageElement(element))
    return emitOpError() << "expected pages of f32, f16, bf16 or i8, found "
                         << element;
  return failure(failed(verifyExpr(*this, getLength())) ||
                 failed(verifyExpr(*this, getTable())));
}

static FailureOr<Dims> inferDims(StoredRowsOp::Adaptor op,
                                 ShapeJoiner &joiner) {
  auto size =
      op.getSizeAttr() ? SymExpr::parse(op.getSize().str()) : std::nullopt;
  if (!size)
    return joiner.error("expected a size");
  return Dims{*size};
}
TENON_INFER(StoredRowsOp, IntegerType::get(context, 64))

LogicalResult StoredRowsOp::verify() {
  return failure(failed(verifyExpr(*this, getRows())) ||
                 failed(verifyExpr(*this, getSize())) ||
                 failed(verifyExpr(*this, getTable())));
}

/// [..., a, b, c] from [..., b, a, c]?
static bool swapsPanels(TransposeOp transpose) {
  ArrayRef<int64_t> perm = transpose.getPerm();
  int64_t rank = perm.size();
  if (rank < 3 ||
      getDims(transpose.getResult()).back() != SymExpr(kPanelColumns))
    return false;
  for (int64_t i = 0; i < rank; ++i) {
    int64_t from = i == rank - 3 ? rank - 2 : i == rank - 2 ? rank - 3 : i;
    if (perm[i] != from)
      return false;
  }
  return true;
}

Value rowsOfPanels(Value packed) {
  auto transpose = packed.getDefiningOp<TransposeOp>();
  if (!transpose || !swapsPanels(transpose))
    return nullptr;
  auto split = transpose.getInput().getDefiningOp<ReshapeOp>();
  if (!split)
    return nullptr;
  SmallVector<SymExpr> rows = getDims(split.getInput()),
                       parts = getDims(split.getResult());
  std::optional<int64_t> width = rows.back().constant();
  if (!width || *width % kPanelColumns != 0 ||
      parts.size() != rows.size() + 1 ||
      ArrayRef(parts).drop_back(2) != ArrayRef(rows).drop_back(1) ||
      !getElementTypeOrSelf(split.getInput().getType()).isF32())
    return nullptr;
  return split.getInput();
}

} // namespace tenon
