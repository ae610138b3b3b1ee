//===- ReplacedState.h - states that each run makes anew --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The states of convolutions and recurrences, and windows that drop their
// oldest rows, keep no row where it is. What can be said of them is which
// result is the input's next value, and that it has room where the input has: a
// run reads one tensor and writes another of the same size.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_REPLACEDSTATE_H
#define TENON_TRANSFORMS_REPLACEDSTATE_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <set>
#include <string>

namespace tenon {

struct ReplacedState {
  unsigned output = 0;
  int64_t axis = -1; ///< along which the number of rows changes
  int64_t most = 0;  ///< rows along it
};

/// Do people call such inputs so?
bool looksLikePast(llvm::StringRef name);

/// The result of @main that is the next value of `past`: it is made of it by
/// moving elements or as the last state of a recurrent layer, or has its name.
/// Otherwise says why there is none; empty where nothing is like it. Results in
/// `taken` are other inputs'.
std::optional<ReplacedState> findReplaced(mlir::func::FuncOp main,
                                          mlir::BlockArgument past,
                                          const std::set<unsigned> &taken,
                                          std::string &why);

} // namespace tenon

#endif // TENON_TRANSFORMS_REPLACEDSTATE_H
