//===- Activations.cpp - activation functions -----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Registry.h"
#include "dialects/Tenon/IR/TenonArith.h"
#include "dialects/Tenon/IR/TenonMath.h"

using namespace mlir;

namespace tenon::onnximport {

template <typename OpTy>
static void unary(NodeImporter &n) {
  n.out(0, n.make<OpTy>({n.in(0)}));
}

static void relu(NodeImporter &n) {
  n.out(0, n.max(n.in(0), n.scalarLike(0, n.in(0))));
}

static Value isNegative(NodeImporter &n, Value x) {
  return n.compareScalar(CompareKind::lt, x, 0);
}

static void leakyRelu(NodeImporter &n) {
  Value x = n.in(0);
  Value scaled = n.mulScalar(x, n.getFloat("alpha", 0.01f));
  n.out(0, n.select(isNegative(n, x), scaled, x));
}

static void pRelu(NodeImporter &n) {
  Value x = n.in(0), slope = n.in(1);
  // Before opset 7 a vector has one slope per channel.
  if (n.opset < 7 && n.rank(slope) == 1 && n.rank(x) > 1 &&
      n.dims(slope).front() != SymExpr(1)) {
    Dims channels(n.rank(x) - 1, SymExpr(1));
    channels[0] = n.dims(slope).front();
    slope = n.reshape(slope, channels);
  }
  n.out(0, n.select(isNegative(n, x), n.mul(x, slope), x));
}

static void elu(NodeImporter &n) {
  Value x = n.in(0);
  Value below = n.mulScalar(n.addScalar(n.exp(x), -1), n.getFloat("alpha", 1));
  n.out(0, n.select(isNegative(n, x), below, x));
}

static void selu(NodeImporter &n) {
  bool first = n.opset < 6; // whose defaults have fewer digits
  double alpha =
      n.getFloat("alpha", first ? 1.6732f : 1.67326319217681884765625);
  double gamma =
      n.getFloat("gamma", first ? 1.0507f : 1.05070102214813232421875);
  Value x = n.in(0);
  Value below = n.addScalar(n.mulScalar(n.exp(x), alpha), -alpha);
  Value above = n.compareScalar(CompareKind::gt, x, 0);
  n.out(0, n.mulScalar(n.select(above, x, below), gamma));
}

static void celu(NodeImporter &n) {
  double alpha = n.getFloat("alpha", 1);
  Value x = n.in(0), zero = n.scalarLike(0, x);
  Value grown = n.addScalar(n.exp(n.mulScalar(x, 1 / alpha)), -1);
  n.out(0, n.add(n.max(x, zero), n.min(n.mulScalar(grown, alpha), zero)));
}

static void thresholdedRelu(NodeImporter &n) {
  Value x = n.in(0);
  Value above = n.compareScalar(CompareKind::gt, x, n.getFloat("alpha", 1));
  n.out(0, n.select(above, x, n.scalarLike(0, x)));
}

static Value hardSigmoid(NodeImporter &n, Value x, double alpha, double beta) {
  Value line = n.addScalar(n.mulScalar(x, alpha), beta);
  return n.max(n.min(line, n.scalarLike(1, x)), n.scalarLike(0, x));
}

static void hardSigmoidOp(NodeImporter &n) {
  n.out(0, hardSigmoid(n, n.in(0), n.getFloat("alpha", 0.2f),
                       n.getFloat("beta", 0.5f)));
}

static void hardSwish(NodeImporter &n) {
  n.out(0, n.mul(n.in(0), hardSigmoid(n, n.in(0), 1.0 / 6, 0.5)));
}

/// log(1 + e^x), without e^x overflowing.
static Value softplus(NodeImporter &n, Value x) {
  Value small = n.exp(n.make<NegOp>({n.make<AbsOp>({x})}));
  return n.add(n.max(x, n.scalarLike(0, x)), n.log(n.addScalar(small, 1)));
}

static void softplusOp(NodeImporter &n) { n.out(0, softplus(n, n.in(0))); }

static void softsign(NodeImporter &n) {
  Value x = n.in(0);
  n.out(0, n.div(x, n.addScalar(n.make<AbsOp>({x}), 1)));
}

static void mish(NodeImporter &n) {
  Value x = n.in(0);
  n.out(0, n.mul(x, n.make<TanhOp>({softplus(n, x)})));
}

static void shrink(NodeImporter &n) {
  double lambda = n.getFloat("lambd", 0.5), bias = n.getFloat("bias", 0);
  Value x = n.in(0);
  Value low = n.compareScalar(CompareKind::lt, x, -lambda);
  Value high = n.compareScalar(CompareKind::gt, x, lambda);
  Value inner = n.select(high, n.addScalar(x, -bias), n.scalarLike(0, x));
  n.out(0, n.select(low, n.addScalar(x, bias), inner));
}

static void swish(NodeImporter &n) {
  Value x = n.in(0);
  double alpha = n.getFloat("alpha", 1);
  if (alpha == 1) {
    n.out(0, n.make<SiluOp>({x}));
    return;
  }
  n.out(0, n.mul(x, n.make<SigmoidOp>({n.mulScalar(x, alpha)})));
}

static void gelu(NodeImporter &n) {
  std::string approximate = n.getString("approximate", "none");
  if (approximate == "tanh")
    n.out(0, n.make<GeluOp>({n.in(0)}, {n.flag("approximate")}));
  else if (approximate == "none")
    n.out(0, n.make<GeluOp>({n.in(0)}));
  else
    n.error("approximate must be none or tanh, found '" + approximate + "'");
}

void registerActivations(Registry &r) {
  r.add("Sigmoid", unary<SigmoidOp>);
  r.add("Tanh", unary<TanhOp>);
  r.add("Relu", relu);
  r.add("LeakyRelu", leakyRelu);
  r.add("PRelu", pRelu);
  r.add("Elu", elu);
  r.add("Selu", selu);
  r.add("Celu", celu);
  r.add("ThresholdedRelu", thresholdedRelu);
  r.add("HardSigmoid", hardSigmoidOp);
  r.add("HardSwish", hardSwish);
  r.add("Softplus", softplusOp);
  r.add("Softsign", softsign);
  r.add("Mish", mish);
  r.add("Shrink", shrink);
  r.add("Swish", 24, swish);
  r.add("Gelu", 20, gelu);
}

} // namespace tenon::onnximport
