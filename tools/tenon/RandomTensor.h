//===- RandomTensor.h - tensors of random numbers ---------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_RANDOMTENSOR_H
#define TENON_TOOLS_RANDOMTENSOR_H

#include "Artifact.h"
#include "Random.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace tenon {

/// Writes floats or integers, whichever the tensor's type is; codes of small
/// types are random.
void fillTensor(Tensor &tensor, Random &random,
                llvm::function_ref<double()> real,
                llvm::function_ref<int64_t()> integer);

} // namespace tenon

#endif // TENON_TOOLS_RANDOMTENSOR_H
