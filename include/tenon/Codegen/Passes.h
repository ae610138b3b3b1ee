//===- Passes.h - code generation passes ------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef TENON_CODEGEN_PASSES_H
#define TENON_CODEGEN_PASSES_H

#include "mlir/Pass/Pass.h"
#include <memory>

namespace tenon {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "tenon/Codegen/Passes.h.inc"

} // namespace tenon

#endif // TENON_CODEGEN_PASSES_H
