//===- QuantParameters.cpp - what scales and zero points may be -----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Ops/QuantParameters.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/Support/DebugStringHelper.h"

using namespace mlir;

namespace tenon::onnximport {

bool checkBytes(NodeImporter &n, Value codes) {
  auto type =
      codes ? dyn_cast<IntegerType>(NodeImporter::elem(codes)) : IntegerType();
  if (codes && (!type || type.getWidth() != 8))
    n.error("expected integers of 8 bits, found " +
            debugString(NodeImporter::elem(codes)));
  return !n.failed();
}

bool checkScaleType(NodeImporter &n, Value scale) {
  Type type = scale ? NodeImporter::elem(scale) : Type();
  if (scale && !isa<FloatType>(type) && !type.isSignlessInteger(32))
    n.error("expected a scale of floats, found " + debugString(type));
  return !n.failed();
}

bool checkZeroType(NodeImporter &n, Value codes, Value zero) {
  if (codes && zero && NodeImporter::elem(codes) != NodeImporter::elem(zero))
    n.error("expected a zero point of " +
            debugString(NodeImporter::elem(codes)) +
            ", as the integers are, found " +
            debugString(NodeImporter::elem(zero)));
  return !n.failed();
}

bool checkOne(NodeImporter &n, std::initializer_list<Value> parameters) {
  for (Value v : parameters)
    if (v && !isOneElement(n.dims(v)))
      n.error("expected a scale or zero point of one element, found dims " +
              textOf(n.dims(v)));
  return !n.failed();
}

bool checkOneOrEach(NodeImporter &n, Value v, const SymExpr &count) {
  if (!v || isOneElement(n.dims(v)))
    return !n.failed();
  Dims dims = n.dims(v);
  if (dims.size() == 1)
    n.checkEqual(dims[0], count);
  else
    n.error("expected a scale or zero point of rank 0 or 1, found dims " +
            textOf(dims));
  return !n.failed();
}

bool checkOfMatrix(NodeImporter &n, Value v, Value matrix, bool isLeft) {
  if (!v || !matrix || isOneElement(n.dims(v)))
    return !n.failed();
  Dims dims = n.dims(v), of = n.dims(matrix);
  size_t rank = of.size();
  if (rank < 2 || (dims.size() != 1 && dims.size() != rank)) {
    n.error(Twine("expected a scale or zero point of one element, or one for "
                  "each ") +
            (isLeft ? "row" : "column") + ", found dims " + textOf(dims));
    return false;
  }
  if (dims.size() == 1) {
    n.checkEqual(dims[0], of[rank - (isLeft ? 2 : 1)]);
    return !n.failed();
  }
  of[rank - (isLeft ? 1 : 2)] = SymExpr(1);
  for (auto [own, expected] : llvm::zip_equal(dims, of))
    n.checkEqual(own, expected);
  return !n.failed();
}

bool checkOfAxis(NodeImporter &n, Value x, Value scale, Value zero,
                 int64_t axis, int64_t block) {
  if (block < 0)
    n.error("expected a block_size of 0 or more, found " + Twine(block));
  if (n.failed() || !x || !scale)
    return false;
  Dims of = n.dims(x), dims = n.dims(scale);
  if (zero && !(isOneElement(n.dims(zero)) && isOneElement(n.dims(scale)))) {
    Dims own = n.dims(zero);
    bool alike = own.size() == dims.size();
    for (size_t i = 0; alike && i < own.size(); ++i)
      n.checkEqual(own[i], dims[i]);
    if (!alike)
      n.error("expected a zero point of the scale's dims " + textOf(dims) +
              ", found " + textOf(own));
  }
  if (n.failed() || isOneElement(n.dims(scale)))
    return !n.failed();
  if (block == 0 && dims.size() == 1 && !of.empty())
    n.checkEqual(dims[0], of[axis]);
  // Others are what spreads them rejects.
  if (block > 0 && dims.size() == of.size())
    for (auto [i, dim] : llvm::enumerate(of)) {
      SymExpr count = dim;
      if (int64_t(i) == axis)
        count = SymExpr::apply(SymExpr::Fn::CeilDiv, dim, SymExpr(block));
      n.checkEqual(dims[i], count);
    }
  return !n.failed();
}

} // namespace tenon::onnximport
