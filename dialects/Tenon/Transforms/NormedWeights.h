//===- NormedWeights.h - weights that a model normalises --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_NORMEDWEIGHTS_H
#define TENON_TRANSFORMS_NORMEDWEIGHTS_H

#include "mlir/IR/Value.h"
#include <optional>
#include <vector>

namespace tenon {

/// The numbers, in f32, of a value of at most `most` elements that a model
/// makes of constants by sums or means over them (weight standardization,
/// weight norm); none of any other. Sums are in f64, and each operator rounds
/// once, as in a run.
std::optional<std::vector<float>> numbersOfNormed(mlir::Value weight,
                                                  int64_t most);

} // namespace tenon

#endif // TENON_TRANSFORMS_NORMEDWEIGHTS_H
