//===- TenonDialect.h - the tenon dialect and its attributes ----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONDIALECT_H
#define TENON_IR_TENONDIALECT_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/TensorEncoding.h"
#include "tenon/Support/SymExpr.h"

#include "dialects/Tenon/IR/TenonDialect.h.inc"
#include "dialects/Tenon/IR/TenonEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/Tenon/IR/TenonAttrs.h.inc"

#endif // TENON_IR_TENONDIALECT_H
