//===- InputValues.h - inputs whose value is fixed --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_INPUTVALUES_H
#define TENON_IMPORT_ONNX_INPUTVALUES_H

#include "lib/Import/Onnx/Node/NodeImporter.h"

namespace tenon::onnximport {

/// The constant that stands for an input of which --value says these numbers,
/// one for all of its elements or one for each; what the caller gives is
/// compared at entry. Null after setting `problem`.
mlir::Value fixInput(ImportState &state, mlir::Value input,
                     llvm::StringRef name, llvm::ArrayRef<std::string> numbers,
                     std::string &problem);

/// Which settings would make an expression a constant, for the end of a
/// message: " (--dim seq=N would settle it)". Empty where none would: it
/// depends on what the run computes.
std::string whatSettles(ImportState &state, const SymExpr &e);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_INPUTVALUES_H
