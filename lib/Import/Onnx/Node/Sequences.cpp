//===- Sequences.cpp - values that are no tensors -------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Node/Sequences.h"
#include "mlir/IR/BuiltinOps.h"

using namespace mlir;

namespace tenon::onnximport {

Value makeSequence(NodeImporter &n, ArrayRef<Value> elements) {
  if (n.failed() || llvm::is_contained(elements, nullptr))
    return nullptr;
  Type type =
      TupleType::get(n.builder.getContext(), TypeRange(ValueRange(elements)));
  return UnrealizedConversionCastOp::create(n.builder, n.loc, type, elements)
      .getResult(0);
}

std::optional<SmallVector<Value>> elementsOf(NodeImporter &n, unsigned i) {
  auto cast = n.has(i) ? n.in(i).getDefiningOp<UnrealizedConversionCastOp>()
                       : UnrealizedConversionCastOp();
  if (cast && isa<TupleType>(n.in(i).getType()))
    return SmallVector<Value>(cast.getInputs());
  n.error("input " + Twine(i) + " is no sequence");
  return std::nullopt;
}

Value makeAbsent(NodeImporter &n) {
  return UnrealizedConversionCastOp::create(
             n.builder, n.loc, n.builder.getNoneType(), ValueRange())
      .getResult(0);
}

bool isAbsent(Value v) { return isa<NoneType>(v.getType()); }

} // namespace tenon::onnximport
