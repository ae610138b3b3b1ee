//===- TenonFormat.cpp - formats of weights -------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// #tenon.format, and the ops that turn codes into numbers or panels.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Dequantize.h"
#include "dialects/Tenon/IR/Ops/PackWeight.h"
#include "dialects/Tenon/IR/TenonInfer.h"
#include "dialects/Tenon/IR/TenonTiling.h"

using namespace mlir;

namespace tenon {

//===----------------------------------------------------------------------===//
// #tenon.format
//===----------------------------------------------------------------------===//

/// Of a block: sums of bytes times bytes stay inside i32.
static constexpr int64_t kMostRows = 1 << 16;

LogicalResult FormatAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 Type element, int64_t block, Type scale,
                                 Type zero, Type rows) {
  if (rows && (scale ? !rows.isSignlessInteger(8)
                     : rows != element || element.isInteger(8)))
    return emitError() << "expected rows of "
                       << (scale ? "i8 beside scales"
                                 : "the format's own f16 or bf16")
                       << ", found " << rows;
  if (!scale) {
    bool integer = element.isSignlessInteger(8);
    if ((!integer && !element.isF16() && !element.isBF16()) ||
        (block && !integer) || zero)
      return emitError() << "expected i8, f16 or bf16 alone for a format "
                            "without scales, found "
                         << element;
    if (block && block != 4 && block != 8 && block != 16)
      return emitError() << "expected a block of 4, 8 or 16 for i8, found "
                         << block;
    return success();
  }
  if (!element.isUnsignedInteger(2) && !element.isUnsignedInteger(4) &&
      !element.isUnsignedInteger(8))
    return emitError() << "expected codes of ui2, ui4 or ui8, found "
                       << element;
  if (block && (block < 16 || block > kMostRows || (block & (block - 1))))
    return emitError() << "expected a block of a power of two in [16, "
                       << kMostRows << "], found " << block;
  if (!scale.isF32() && !scale.isF16())
    return emitError() << "expected a scale of f32 or f16, found " << scale;
  if (zero && !zero.isF32() && !zero.isUnsignedInteger(8))
    return emitError() << "expected a zero point of ui8 or f32, found " << zero;
  return success();
}

int64_t FormatAttr::rowsOfGroup() const {
  if (getElement().isF16() ||
      (getElement().isUnsignedInteger(8) && !quantizesRows()))
    return 1; // each is widened by an instruction
  return 32 / getBits();
}
int64_t FormatAttr::bytesOfGroup() const {
  return rowsOfGroup() * kPanelColumns * getBits() / 8;
}
int64_t FormatAttr::bytesOfScales() const {
  return getScale() ? kPanelColumns * getScale().getIntOrFloatBitWidth() / 8
                    : 0;
}
int64_t FormatAttr::bytesOfHeader() const {
  return bytesOfScales() +
         (getZero() ? kPanelColumns * getZero().getIntOrFloatBitWidth() / 8
                    : 0);
}
int64_t FormatAttr::rowsOfBlock(int64_t K) const {
  return getBlock() ? getBlock()
                    : llvm::alignTo(std::max<int64_t>(K, 1), rowsOfGroup());
}
int64_t FormatAttr::bytesOfBlock(int64_t K) const {
  return bytesOfHeader() + rowsOfBlock(K) / rowsOfGroup() * bytesOfGroup();
}
int64_t bytesOfLists(int64_t K) {
  constexpr int64_t lists = kPanelColumns / kColumnsOfList, group = 4;
  return llvm::divideCeil(K, kRowsOfList) * lists * kListHeader +
         llvm::divideCeil(K, group) * lists;
}
int64_t FormatAttr::bytesOfPanel(int64_t K) const {
  int64_t blocks = llvm::divideCeil(K, rowsOfBlock(K));
  constexpr int64_t line = 64; // of a cache, which panels begin
  int64_t marks = 0;
  if (hasLists())
    marks = bytesOfLists(K);
  else if (isInteger() && getBlock())
    marks = blocks;
  return blocks * bytesOfBlock(K) + llvm::alignTo(marks, line);
}

//===----------------------------------------------------------------------===//
// DequantizeOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(DequantizeOp::Adaptor op,
                                 ShapeJoiner &joiner) {
  FailureOr<Dims> dims = joiner.dimsOf(op.getCodes(), "codes");
  if (failed(dims))
    return failure();
  FailureOr<ArrayRef<int64_t>> blocks =
      joiner.perDim(op.getBlocksAttr(), dims->size(), "blocks");
  if (failed(blocks) || failed(inRange(*blocks, 1, "blocks", joiner)))
    return failure();
  for (Value parameter : {op.getScale(), op.getZero()}) {
    if (!parameter)
      continue;
    FailureOr<Dims> own = joiner.dimsOf(parameter, "a parameter");
    if (failed(own))
      return failure();
    if (own->size() != dims->size())
      return joiner.error("expected parameters of rank ", dims->size(),
                          ", found rank ", own->size());
    for (auto [i, size] : llvm::enumerate(*dims))
      if (failed(joiner.equal(
              (*own)[i],
              SymExpr::apply(SymExpr::Fn::CeilDiv, size, SymExpr((*blocks)[i])),
              "the parameters and blocks of dim " + Twine(i))))
        return failure();
  }
  return dims;
}
TENON_INFER(DequantizeOp, adaptor.getToAttr() ? adaptor.getTo() : Type())

LogicalResult DequantizeOp::verify() {
  if (!isa<FloatType>(getTo()) || isStorageType(getTo()) || getTo().isF64())
    return emitOpError() << "expected a result of f32, f16 or bf16, found "
                         << getTo();
  if (getElementTypeOrSelf(getScale().getType()).isF64())
    return emitOpError() << "expected a scale of f32, f16 or bf16, found f64";
  if (!getZero())
    return success();
  Type zero = getElementTypeOrSelf(getZero().getType());
  if (zero.isF64() || smallFloatFormat(zero) ||
      (!isa<FloatType>(zero) && storedBits(zero) > 8))
    return emitOpError() << "expected a zero point of floats or at most 8 "
                            "bits, found "
                         << zero;
  return success();
}

//===----------------------------------------------------------------------===//
// PackWeightOp
//===----------------------------------------------------------------------===//

static FailureOr<Dims> inferDims(PackWeightOp::Adaptor op,
                                 ShapeJoiner &joiner) {
  constexpr int64_t kMost = int64_t(1) << 31;
  if (!op.getFormatAttr() || !op.getKAttr() || !op.getNAttr())
    return joiner.error("expected a format, rows and columns");
  int64_t k = op.getK(), n = op.getN();
  if (k < 1 || n < 1 || k > kMost || n > kMost)
    return joiner.error("expected rows and columns in [1, ", kMost, "], found ",
                        k, " and ", n);
  return Dims{SymExpr(llvm::divideCeil(n, kPanelColumns)),
              SymExpr(op.getFormat().bytesOfPanel(k))};
}
TENON_INFER(PackWeightOp, IntegerType::get(context, 8, IntegerType::Unsigned))

/// Does `at`, with so many rows and columns, stay inside the constant?
static LogicalResult verifyElements(PackWeightOp op, StringRef what,
                                    Value value, MatrixAttr at, int64_t k,
                                    int64_t n) {
  Type stored = getElementTypeOrSelf(value.getType()), type = at.getElement();
  unsigned bits = storedBits(type);
  bool packed = stored.isUnsignedInteger(8) && bits < 8;
  if (stored != type && !packed)
    return op.emitOpError() << "expected elements of " << stored << " for the "
                            << what << ", found " << type;
  auto shape = cast<RankedTensorType>(value.getType());
  int64_t count = (shape.hasStaticShape() ? shape.getNumElements() : 0) *
                  (packed ? 8 / bits : 1);
  int64_t last, ofN;
  if (at.getOffset() < 0 || at.getStrideK() < 0 || at.getStrideN() < 0 ||
      llvm::MulOverflow(at.getStrideK(), k - 1, last) ||
      llvm::MulOverflow(at.getStrideN(), n - 1, ofN) ||
      llvm::AddOverflow(last, ofN, last) ||
      llvm::AddOverflow(last, at.getOffset(), last) || last >= count)
    return op.emitOpError()
           << "expected the " << what << " to lie in the constant's " << count
           << " elements, found " << at;
  return success();
}

LogicalResult PackWeightOp::verify() {
  FormatAttr format = getFormat();
  Type codes = getCodesAt().getElement();
  bool isFloat = isa<FloatType>(format.getElement());
  // Floats are rounded to the format's.
  if (isFloat ? !codes.isF32() && !codes.isF16() && !codes.isBF16()
              : !isa<IntegerType>(codes) ||
                    codes.getIntOrFloatBitWidth() != format.getBits())
    return emitOpError() << "expected codes of " << format.getBits()
                         << " bits, found " << codes;
  if (bool(getScale()) != bool(format.getScale()) ||
      bool(getScale()) != bool(getScaleAtAttr()) ||
      bool(getZero()) != bool(format.getZero()) ||
      bool(getZero()) != bool(getZeroAtAttr()))
    return emitOpError() << "expected a scale and a zero point as in "
                         << format;
  if (format.isInteger() && format.getBlock() && !format.hasLists() &&
      getK() % format.getBlock())
    return emitOpError() << "expected whole blocks of " << format.getBlock()
                         << " rows, found " << getK();
  if (format.quantizesRows() && format.rowsOfBlock(getK()) > kMostRows)
    return emitOpError() << "expected at most " << kMostRows
                         << " rows of integers, found " << getK();
  int64_t blocks =
      llvm::divideCeil(int64_t(getK()), format.rowsOfBlock(getK()));
  if (failed(verifyElements(*this, "codes", getCodes(), getCodesAt(), getK(),
                            getN())))
    return failure();
  if (getScale() && failed(verifyElements(*this, "scales", getScale(),
                                          *getScaleAt(), blocks, getN())))
    return failure();
  if (getZero() && failed(verifyElements(*this, "zero points", getZero(),
                                         *getZeroAt(), blocks, getN())))
    return failure();
  return success();
}

} // namespace tenon
