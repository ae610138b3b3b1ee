//===- Activations.cpp - activation functions -----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Ops/Activations.h"
#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/Ops/Neg.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Import/Onnx/Node/Registry.h"

using namespace mlir;

namespace tenon::onnximport {

template <typename OpTy>
static void unary(NodeImporter &n) {
  n.out(0, n.make<OpTy>({n.in(0)}));
}

static Value relu(NodeImporter &n, Value x) {
  return n.max(x, n.scalarLike(0, x));
}

static void reluOp(NodeImporter &n) { n.out(0, relu(n, n.in(0))); }

static Value isNegative(NodeImporter &n, Value x) {
  return n.compareScalar(CompareKind::lt, x, 0);
}

static Value leakyRelu(NodeImporter &n, Value x, double alpha) {
  return n.select(isNegative(n, x), n.mulScalar(x, alpha), x);
}

static void leakyReluOp(NodeImporter &n) {
  n.out(0, leakyRelu(n, n.in(0), n.getFloat("alpha", 0.01f)));
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

static Value elu(NodeImporter &n, Value x, double alpha) {
  Value below = n.mulScalar(n.addScalar(n.exp(x), -1), alpha);
  return n.select(isNegative(n, x), below, x);
}

static void eluOp(NodeImporter &n) {
  n.out(0, elu(n, n.in(0), n.getFloat("alpha", 1)));
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

static Value thresholdedRelu(NodeImporter &n, Value x, double alpha) {
  Value above = n.compareScalar(CompareKind::gt, x, alpha);
  return n.select(above, x, n.scalarLike(0, x));
}

static void thresholdedReluOp(NodeImporter &n) {
  n.out(0, thresholdedRelu(n, n.in(0), n.getFloat("alpha", 1)));
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

static Value softsign(NodeImporter &n, Value x) {
  return n.div(x, n.addScalar(n.make<AbsOp>({x}), 1));
}

static void softsignOp(NodeImporter &n) { n.out(0, softsign(n, n.in(0))); }

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

//===----------------------------------------------------------------------===//
// Activations by name
//===----------------------------------------------------------------------===//

namespace {
struct NamedActivation {
  StringRef name; ///< tenon.recurrent's; ONNX's but for case and underscores
  Activation::Kind kind;
  /// Of the operators of the name; those that ONNX has no longer have none.
  std::optional<double> alpha, beta;
  bool takesAlpha = false, takesBeta = false;
};
} // namespace

using Kind = Activation::Kind;
static const NamedActivation kActivations[] = {
    {"affine", Kind::Affine, {}, {}, true, true},
    {"elu", Kind::Elu, 1.0, {}, true},
    {"hard_sigmoid", Kind::HardSigmoid, 0.2f, 0.5, true, true},
    {"leaky_relu", Kind::LeakyRelu, 0.01f, {}, true},
    {"relu", Kind::Relu, {}, {}},
    {"scaled_tanh", Kind::ScaledTanh, {}, {}, true, true},
    {"sigmoid", Kind::Sigmoid, {}, {}},
    {"softplus", Kind::Softplus, {}, {}},
    {"softsign", Kind::Softsign, {}, {}},
    {"tanh", Kind::Tanh, {}, {}},
    {"thresholded_relu", Kind::ThresholdedRelu, 1.0, {}, true}};

static const NamedActivation *findActivation(StringRef name) {
  const auto *found = llvm::find_if(kActivations, [&](const auto &a) {
    std::string plain = a.name.str();
    llvm::erase(plain, '_');
    return name.equals_insensitive(plain);
  });
  return found == std::end(kActivations) ? nullptr : found;
}

std::optional<Activation> Activation::read(NodeImporter &n, StringRef name,
                                           ArrayRef<float> &alphas,
                                           ArrayRef<float> &betas) {
  const NamedActivation *found = findActivation(name);
  if (!found) {
    n.error("the activation '" + name +
            "' is not supported: expected Affine, Elu, HardSigmoid, LeakyRelu, "
            "Relu, ScaledTanh, Sigmoid, Softplus, Softsign, Tanh or "
            "ThresholdedRelu");
    return std::nullopt;
  }
  Activation result{found->kind};
  auto parameter = [&](bool takes, ArrayRef<float> &given,
                       std::optional<double> otherwise, const char *list) {
    if (!takes)
      return 0.0;
    if (!given.empty()) {
      double value = given.front();
      given = given.drop_front();
      return value;
    }
    if (!otherwise)
      n.error("the activation '" + name + "' needs a number in " + list);
    return otherwise.value_or(0);
  };
  result.alpha =
      parameter(found->takesAlpha, alphas, found->alpha, "activation_alpha");
  result.beta =
      parameter(found->takesBeta, betas, found->beta, "activation_beta");
  return n.failed() ? std::nullopt : std::optional(result);
}

Value Activation::apply(NodeImporter &n, Value x) const {
  switch (kind) {
  case Kind::Affine:
    return n.addScalar(n.mulScalar(x, alpha), beta);
  case Kind::Elu:
    return elu(n, x, alpha);
  case Kind::HardSigmoid:
    return hardSigmoid(n, x, alpha, beta);
  case Kind::LeakyRelu:
    return leakyRelu(n, x, alpha);
  case Kind::Relu:
    return relu(n, x);
  case Kind::ScaledTanh:
    return n.mulScalar(n.make<TanhOp>({n.mulScalar(x, beta)}), alpha);
  case Kind::Sigmoid:
    return n.make<SigmoidOp>({x});
  case Kind::Softplus:
    return softplus(n, x);
  case Kind::Softsign:
    return softsign(n, x);
  case Kind::Tanh:
    return n.make<TanhOp>({x});
  case Kind::ThresholdedRelu:
    return thresholdedRelu(n, x, alpha);
  }
  return nullptr;
}

StringRef Activation::name() const {
  return llvm::find_if(kActivations,
                       [&](const auto &a) { return a.kind == kind; })
      ->name;
}

void registerActivations(Registry &r) {
  r.add("Sigmoid", unary<SigmoidOp>);
  r.add("Tanh", unary<TanhOp>);
  r.add("Relu", reluOp);
  r.add("LeakyRelu", leakyReluOp);
  r.add("PRelu", pRelu);
  r.add("Elu", eluOp);
  r.add("Selu", selu);
  r.add("Celu", celu);
  r.add("ThresholdedRelu", thresholdedReluOp);
  r.add("HardSigmoid", hardSigmoidOp);
  r.add("HardSwish", hardSwish);
  r.add("Softplus", softplusOp);
  r.add("Softsign", softsignOp);
  r.add("Mish", mish);
  r.add("Shrink", shrink);
  r.add("Swish", 24, swish);
  r.add("Gelu", 20, gelu);
}

} // namespace tenon::onnximport
