//===- TenonPanels.h - how packed operands lie in memory --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONPANELS_H
#define TENON_IR_TENONPANELS_H

#include "mlir/IR/Value.h"
#include <cstdint>

namespace tenon {

class Im2ColOp;
class KernelOp;
class PackedMatMulOp;

/// The rows [..., T, D], in memory or the beginning of what lies there, that
/// `packed` shows as panels [..., D/32, T, 32] by a reshape and a transpose, as
/// lib/Codegen/Form/RowPanels.h makes them; null where it shows none.
mlir::Value rowsOfPanels(mlir::Value packed);

/// What a page of 32 rows (tenon.store_pages) has in front of its numbers, and
/// in all, counted in elements.
int64_t headerOfPage(mlir::Type element);
int64_t elementsOfPage(mlir::Type element, int64_t width);
/// The numbers of a row of `size` in a page, with those that mean nothing.
int64_t widthInPage(int64_t size, bool transposed);

/// The patches, with their channels last, that a kernel's one product in f32
/// multiplies with one matrix, or those of an image with its own one of some,
/// in turns; null where it has none.
Im2ColOp findPatches(KernelOp kernel);
/// The one product of a kernel, if that is by Winograd's transformed filters;
/// else null.
PackedMatMulOp findWinograd(KernelOp kernel);
/// Its pixels, four of which a row and a column of a tile have.
inline constexpr int64_t kWinogradTile = 4, kWinogradOutputs = 2,
                         kWinogradMatrices = kWinogradTile * kWinogradTile;
/// And five where windows lie in steps of 2: one matrix has 25 times as many
/// rows as there are channels.
inline constexpr int64_t kWinogradStepsTile = 5,
                         kWinogradStepsRows =
                             kWinogradStepsTile * kWinogradStepsTile;
/// Along each dim a square's products have parts of its numbers then, so many
/// from `first` on: two of the first position alone, one that both share, two
/// of the second.
struct WinogradPart {
  int64_t first, count;
};
inline constexpr WinogradPart kWinogradParts[] = {{0, 2}, {2, 1}, {3, 2}};
/// Do windows of 3x3 lie one beside the other, their taps any distance apart, or
/// in steps of 2, so that it may multiply them?
bool areWinogradPatches(Im2ColOp patches);
/// As many matrices are those of the product of such patches.
int64_t matricesOf(PackedMatMulOp product);

} // namespace tenon

#endif // TENON_IR_TENONPANELS_H
