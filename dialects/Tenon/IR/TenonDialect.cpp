//===- TenonDialect.cpp - registration and attributes ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonDialect.h"
#include "dialects/Tenon/IR/TenonFormat.h"
#include "dialects/Tenon/IR/TenonGrid.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace tenon;

#include "dialects/Tenon/IR/TenonDialect.cpp.inc"
#include "dialects/Tenon/IR/TenonEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/Tenon/IR/TenonAttrs.cpp.inc"

#include "dialects/Tenon/IR/TenonInterfaces.cpp.inc"

void TenonDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Tenon/IR/TenonAttrs.cpp.inc"
      >();
  addArithOps();
  addMathOps();
  addLogicOps();
  addCastOps();
  addValueOps();
  addViewOps();
  addGatherOps();
  addReduceOps();
  addNormOps();
  addContractOps();
  addControlOps();
  addKernelOps();
  addPackedOps();
}

//===----------------------------------------------------------------------===//
// #tenon.dims
//===----------------------------------------------------------------------===//

DimsAttr DimsAttr::get(MLIRContext *context, ArrayRef<SymExpr> exprs) {
  SmallVector<StringAttr> texts;
  for (const SymExpr &expr : exprs)
    texts.push_back(StringAttr::get(context, expr.str()));
  return get(context, ArrayRef<StringAttr>(texts));
}

SmallVector<SymExpr> DimsAttr::getSymExprs() const {
  SmallVector<SymExpr> exprs;
  for (StringAttr text : getExprs()) {
    std::optional<SymExpr> expr = SymExpr::parse(text.getValue());
    // Unreachable for a verified attribute.
    exprs.push_back(expr ? *expr : SymExpr::symbol("_invalid"));
  }
  return exprs;
}

Attribute DimsAttr::parse(AsmParser &parser, Type) {
  SmallVector<StringAttr> exprs;
  SMLoc loc = parser.getCurrentLocation();
  auto parseExpr = [&] { return parser.parseAttribute(exprs.emplace_back()); };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::LessGreater,
                                     parseExpr, " in #tenon.dims"))
    return {};
  return parser.getChecked<DimsAttr>(loc, parser.getContext(), exprs);
}

void DimsAttr::print(AsmPrinter &printer) const {
  printer << '<';
  llvm::interleaveComma(getExprs(), printer,
                        [&](StringAttr text) { printer << text; });
  printer << '>';
}

LogicalResult DimsAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               ArrayRef<StringAttr> exprs) {
  for (StringAttr text : exprs) {
    std::optional<SymExpr> expr =
        text ? SymExpr::parse(text.getValue()) : std::nullopt;
    if (!expr)
      return emitError() << "expected a dim expression, found "
                         << (text ? text : StringAttr());
    std::string canonical = expr->str();
    if (text.getValue() != canonical)
      return emitError() << "expected the canonical dim expression \""
                         << canonical << "\", found " << text;
  }
  return success();
}

LogicalResult
DimsAttr::verifyEncoding(ArrayRef<int64_t> shape, Type,
                         function_ref<InFlightDiagnostic()> emitError) const {
  if (shape.size() != getExprs().size())
    return emitError() << "expected " << shape.size() << " dims in " << *this
                       << ", found " << getExprs().size();
  bool dynamic = false;
  for (auto [i, size, expr] : llvm::enumerate(shape, getSymExprs())) {
    std::optional<int64_t> constant = expr.constant();
    dynamic |= ShapedType::isDynamic(size);
    if (ShapedType::isDynamic(size) ? constant.has_value() : constant != size) {
      InFlightDiagnostic diag = emitError();
      diag << "expected dim " << i << " of " << *this << " to be ";
      if (ShapedType::isDynamic(size))
        return diag << "symbolic, found a constant for a dynamic dim";
      return diag << size << ", found " << getExprs()[i];
    }
  }
  if (!dynamic)
    return emitError() << "expected a dynamic dim beside " << *this
                       << ", found a static shape";
  return success();
}
