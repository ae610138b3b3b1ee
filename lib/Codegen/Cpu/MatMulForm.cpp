//===- MatMulForm.cpp - how a product is cut ------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/MatMulForm.h"

using namespace mlir;

namespace tenon {

bool MatMulForm::waitsForPanels() {
  constexpr int64_t leastBytes = 1 << 20, leastTerms = 256;
  std::optional<int64_t> k = K.constant(), n = N.constant();
  return !format && shared && !thin && e.target.hasFma &&
         e.target.vectorBits == 256 && k && n && *k >= leastTerms &&
         4 * cut * *k * *n >= leastBytes;
}

int64_t MatMulForm::rowsOfChunk() {
  int64_t k = K.constant().value_or(0);
  // As many bytes. Of codes so few that two panels fit.
  int64_t most =
      tiling.getChunk() * (laidOut && !rounded ? format.rowsOfGroup() : 1);
  if (k <= most + most / 2 || quantized || thin)
    return 0;
  int64_t unit = integer && format.hasLists() ? kRowsOfList
                 : laidOut || rounded         ? 64 // whole tiles
                 : coded ? std::max<int64_t>(format.getBlock(), 16)
                         : 4;
  return llvm::alignTo(llvm::divideCeil(k, llvm::divideCeil(k, most)), unit);
}

int64_t MatMulForm::blockRows() {
  if (integer) // those of a task
    return taskRows;
  int64_t k = std::max<int64_t>(K.constant().value_or(512), 1);
  // Where panels are opened a block is that of its bytes: the more rows meet
  // a panel, the better.
  bool opens = quantized && rowsOfBytes->opensSomewhere;
  int64_t rows = tiling.getBlockBytes() / (opens ? k : 4 * k);
  return std::clamp<int64_t>(rows / taskRows * taskRows, 2 * taskRows,
                             16 * taskRows);
}

int64_t MatMulForm::mostRows() {
  if (quantized && !opened && !joinsPanels(format, e.target) &&
      tileRows == kTileRows)
    return mostByteRows(e.target);
  if (format || halves || wholeColumns > int64_t(lanes))
    return tileRows;
  return dots ? 8 : 12;
}

int64_t MatMulForm::sizeOfRow() {
  if (int64_t k = K.constant().value_or(0); k > 0 && coded && format.getScale())
    return llvm::divideCeil(format.bytesOfPanel(k), k); // about so many
  if (!format)
    return kPanelColumns;
  Type stored = getElementTypeOrSelf(operand.getMemory().getType());
  return format.bytesOfGroup() / format.rowsOfGroup() /
         (stored.getIntOrFloatBitWidth() / 8);
}

bool MatMulForm::isInPlace() {
  auto arg = dyn_cast<BlockArgument>(op.getLhs());
  if (!arg || getElementTypeOrSelf(arg.getType()) != rowType || K != rowSize)
    return false;
  return hasOwnRows() && !quantized;
}

} // namespace tenon
