//===- MatMul.cpp - MatMul and Gemm ---------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Ops/MatMul.h"

using namespace mlir;

namespace tenon::onnximport {

Value numpyMatMul(NodeImporter &n, Value a, Value b) {
  if (!a || !b)
    return nullptr;
  if (n.rank(a) == 0 || n.rank(b) == 0)
    return n.error("expected operands of rank 1 or more, found a scalar");
  bool vectorA = n.rank(a) == 1, vectorB = n.rank(b) == 1;
  if (vectorA)
    a = n.unsqueeze(a, {0});
  if (vectorB)
    b = n.unsqueeze(b, {1});
  Value product = n.matmul(a, b);
  if (!product)
    return nullptr;
  int64_t rank = n.rank(product);
  Ints gone;
  if (vectorA)
    gone.push_back(rank - 2);
  if (vectorB)
    gone.push_back(rank - 1);
  return gone.empty() ? product : n.squeeze(product, gone);
}

static void matMul(NodeImporter &n) {
  n.out(0, numpyMatMul(n, n.in(0), n.in(1)));
}

static void gemm(NodeImporter &n) {
  Value a = n.in(0), b = n.in(1), c = n.in(2);
  if (n.rank(a) != 2 || n.rank(b) != 2) {
    n.error("expected operands of rank 2, found " + Twine(n.rank(a)) + " and " +
            Twine(n.rank(b)));
    return;
  }
  Value y = n.matmul(a, b, n.getInt("transA", 0), n.getInt("transB", 0));
  y = n.mulScalar(y, n.getFloat("alpha", 1));
  double beta = n.getFloat("beta", 1);
  if (c && beta != 0) {
    if (n.rank(c) > 2)
      n.error("expected C of rank 2 or less, found " + Twine(n.rank(c)));
    y = n.add(y, n.mulScalar(c, beta));
  }
  n.out(0, y);
}

void registerMatMul(Registry &r) {
  r.add("MatMul", matMul);
  r.add("Gemm", gemm);
}

} // namespace tenon::onnximport
