//===- Moe.cpp - com.microsoft's mixtures of experts ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A token's router logits choose k of the experts; the result is the sum of
// their feed-forward networks' results, each times its share:
//
//   y = sum over e of share[e] * (W2[e] act(W1[e] x + b1[e]) + b2[e])
//
// Written out with the experts as the batch of two products. Shares are 0 for
// the experts that a token does not choose.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "lib/Import/Onnx/Contrib/PackedWeights.h"
#include "lib/Import/Onnx/Ops/QuantParameters.h"
#include <cmath>
#include <limits>

using namespace mlir;

namespace tenon::onnximport {

namespace {
/// [E, rows, columns] of one of the experts' products, and its bias [E, rows].
struct Expert {
  Value weight, bias;
};
} // namespace

/// Beyond this, choosing one expert after the other is too slow.
constexpr int64_t kMaxChosen = 64;

/// Which experts each token chooses, from logits [T, E]: bool [T, E]. Of equal
/// logits the first wins.
static Value chooseExperts(NodeImporter &n, Value logits, int64_t k) {
  Type i64 = n.builder.getI64Type();
  Value lowest = n.scalarLike(-std::numeric_limits<double>::infinity(), logits);
  Value position = n.iota(n.dims(logits)[1], i64), chosen;
  for (int64_t i = 0; i < k; ++i) {
    Value best = n.make<ArgReduceOp>(
        {logits},
        {n.named("axis", n.builder.getI64IntegerAttr(1)), n.flag("keepdims")});
    Value here = n.compare(CompareKind::eq, position, best);
    chosen = chosen ? n.make<OrOp>({chosen, here}) : here;
    if (i + 1 < k)
      logits = n.select(here, lowest, logits);
  }
  return chosen;
}

/// Each token's shares [T, E]; `mix`, where given, has their raw values.
static Value routing(NodeImporter &n, Value logits, Value mix) {
  int64_t k = n.getInt("k", 1);
  std::optional<int64_t> experts;
  if (n.rank(logits) == 2)
    experts = n.dims(logits)[1].constant();
  if (!experts || k < 1 || k > *experts || k > kMaxChosen)
    return n.error("expected router_probs [tokens, experts] of a static number "
                   "of experts, and k from 1 to that number and at most " +
                   Twine(kMaxChosen) + ", found k " + Twine(k));
  logits = n.cast(logits, n.builder.getF32Type());
  Value chosen = chooseExperts(n, logits, k);
  Value none = n.scalarLike(0, logits);
  bool normalize = n.getInt("normalize_routing_weights", 0);
  if (mix) {
    Value share = n.select(chosen, n.cast(mix, n.builder.getF32Type()), none);
    return normalize ? n.div(share, n.reduce(ReduceKind::sum, share, {1}))
                     : share;
  }
  if (normalize)
    return n.softmaxLast(n.select(
        chosen, logits,
        n.scalarLike(-std::numeric_limits<double>::infinity(), logits)));
  return n.select(chosen, n.softmaxLast(logits), none);
}

/// Half of the last dim: every second element, or a contiguous part.
static Value halfOf(NodeImporter &n, Value x, bool second, bool interleaved) {
  if (!x)
    return x;
  Dims dims = n.dims(x), starts(dims.size(), SymExpr(0));
  std::optional<SymExpr> half = dims.back().divideExactly(SymExpr(2));
  if (!half)
    return n.error("a fused product must have an even number of columns");
  Ints steps(dims.size(), 1);
  starts.back() = !second ? SymExpr(0) : interleaved ? SymExpr(1) : *half;
  steps.back() = interleaved ? 2 : 1;
  dims.back() = *half;
  return n.make<SliceOp>(
      {x}, {n.named("starts", n.dimsAttr(starts)),
            n.named("steps", n.builder.getDenseI64ArrayAttr(steps)),
            n.named("dims", n.dimsAttr(dims))});
}

/// gate * sigmoid(alpha * gate) * (linear + beta), with both clipped.
static Value swiglu(NodeImporter &n, Value gate, Value linear) {
  double alpha = n.getFloat("activation_alpha", 1);
  double beta = n.getFloat("activation_beta", 0);
  bool limited =
      n.hasAttr("swiglu_limit") && std::isfinite(n.getFloat("swiglu_limit", 0));
  bool after = n.getInt("swiglu_limit_after_activation", 0);
  double limit = n.getFloat("swiglu_limit", 0);
  if (limited && !after)
    gate = n.min(gate, n.scalarLike(limit, gate));
  if (limited)
    linear = n.max(n.min(linear, n.scalarLike(limit, linear)),
                   n.scalarLike(-limit, linear));
  gate = n.mul(gate, n.make<SigmoidOp>({n.mulScalar(gate, alpha)}));
  if (limited && after)
    gate = n.min(gate, n.scalarLike(limit, gate));
  return n.mul(gate, beta == 0 ? linear : n.addScalar(linear, beta));
}

/// What stands between an expert's products: of `first`, and of `third` where
/// the linear part is a product of its own.
static Value activate(NodeImporter &n, Value first, Value third) {
  std::string kind = n.getString("activation_type", "relu");
  int64_t fusion = n.getInt("swiglu_fusion", 0);
  bool gated = kind == "swiglu" || kind == "geglu";
  if (fusion < 0 || fusion > 2 || (gated && (fusion == 0) != bool(third)) ||
      (third && fusion != 0))
    return n.error("swiglu_fusion " + Twine(fusion) + " of activation '" +
                   kind + "' does not fit " +
                   (third ? "an fc3" : "the absent fc3"));
  if (gated) {
    Value gate = third ? first : halfOf(n, first, false, fusion == 1);
    Value linear = third ? third : halfOf(n, first, true, fusion == 1);
    if (kind == "swiglu")
      return swiglu(n, gate, linear);
    return n.mul(n.make<GeluOp>({gate}, {n.flag("approximate")}), linear);
  }
  Value y = first;
  if (kind == "relu" || kind == "relu2")
    y = n.max(y, n.scalarLike(0, y));
  else if (kind == "gelu") // onnxruntime's form of it here
    y = n.make<GeluOp>({y}, {n.flag("approximate")});
  else if (kind == "silu")
    y = n.make<SiluOp>({y});
  else if (kind != "identity")
    return n.error("activation '" + kind + "' is not supported");
  if (kind == "relu2")
    y = n.mul(y, y);
  return third ? n.mul(y, third) : y;
}

/// x [T or E, ..., columns] times the experts' weights, plus their biases.
static Value product(NodeImporter &n, Value x, const Expert &expert) {
  if (!expert.weight)
    return nullptr;
  Value y = n.matmul(x, expert.weight, false, /*transposeB=*/true);
  return expert.bias ? n.add(y, n.unsqueeze(expert.bias, {1})) : y;
}

static void mixture(NodeImporter &n, Value shares, const Expert &fc1,
                    const Expert &fc2, const Expert &fc3) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  if (n.failed())
    return;
  if (dims.size() != 2 && dims.size() != 3) {
    n.error("expected an input of rank 2 or 3, found " + Twine(dims.size()));
    return;
  }
  if (n.getInt("use_sparse_mixer", 0)) {
    n.error("use_sparse_mixer is not supported");
    return;
  }
  SymExpr tokens = productOf(ArrayRef<SymExpr>(dims).drop_back());
  Value rows = n.reshape(x, {SymExpr(1), tokens, dims.back()});
  Value hidden = activate(n, product(n, rows, fc1), product(n, rows, fc3));
  Value each = product(n, hidden, fc2); // [E, T, H]
  Value share = n.unsqueeze(n.transpose(shares, {1, 0}), {2});
  if (n.failed())
    return;
  each = n.mul(n.cast(each, NodeImporter::elem(share)), share);
  Value sum = n.reduce(ReduceKind::sum, each, {0}, false);
  n.out(0, n.reshape(n.cast(sum, NodeImporter::elem(x)), dims));
}

static void moe(NodeImporter &n) {
  // input, router_probs, fc1, its bias, fc2, its bias, fc3, its bias
  if (!n.requireInputs({0, 1, 2, 4}))
    return;
  Value shares = routing(n, n.in(1), nullptr);
  mixture(n, shares, {n.in(2), n.in(3)}, {n.in(4), n.in(5)},
          {n.in(6), n.in(7)});
}

/// Weights [E, rows, columns/pack] as floats; scales are one per row, or one
/// per block of a row.
static Expert dequantizeExperts(NodeImporter &n, unsigned weight,
                                unsigned zeros, StringRef which) {
  if (!n.has(weight))
    return {};
  int64_t bits = n.getInt("expert_weight_bits", 4);
  bits = n.getInt((which + "_expert_weight_bits").str(), bits);
  int64_t block = n.getInt("block_size", 0);
  Value scale = n.in(weight + 1);
  if (!supportedBits(n, bits) || !scale || n.rank(n.in(weight)) != 3) {
    n.error(which + ": expected packed weights of rank 3 and their scales");
    return {};
  }
  Dims dims = n.dims(n.in(weight));
  SymExpr columns = dims[2] * SymExpr(8 / bits);
  std::optional<SymExpr> blocks = SymExpr(1);
  if (block > 0)
    blocks = columns.divideExactly(SymExpr(block));
  if (!blocks) {
    n.error(which + ": block_size must divide the columns, found " +
            Twine(block) + " and " + columns.str());
    return {};
  }
  Type real = NodeImporter::elem(n.in(0));
  SymExpr inBlock = block > 0 ? SymExpr(block) : columns;
  Dims apart = {dims[0], dims[1], *blocks, inBlock};
  Dims perBlock = {dims[0], dims[1], *blocks, SymExpr(1)};
  Value w = n.cast(n.reshape(unpackBits(n, n.in(weight), bits), apart), real);
  Value zero = n.scalar(double(1 << (bits - 1)), real);
  if (n.has(zeros)) {
    // Packed along the last dim: blocks of a row, or the rows.
    if (!checkZeroType(n, n.in(weight), n.in(zeros)))
      return {};
    Value z = unpackBits(n, n.in(zeros), bits);
    int64_t last = n.rank(z) - 1;
    z = n.slice(z, last, SymExpr(0), block > 0 ? *blocks : dims[1]);
    zero = n.cast(n.reshape(z, perBlock), real);
  }
  w = n.mul(n.sub(w, zero), n.cast(n.reshape(scale, perBlock), real));
  return {n.reshape(w, {dims[0], dims[1], columns}), n.in(weight + 2)};
}

static void qMoe(NodeImporter &n) {
  // input, router_probs, then weights, scales and bias of fc1, fc2 and fc3,
  // their zero points, router_weights, scales of other kinds
  if (!n.requireInputs({0, 1, 2, 3, 5, 6}))
    return;
  if (n.getString("quant_type", "int") != "int" ||
      n.getInt("weights_prepacked", 0) > 0) {
    n.error("expected quant_type 'int' and weights that are not prepacked");
    return;
  }
  for (unsigned i = 15; i < n.numInputs(); ++i)
    if (n.has(i)) {
      n.error("input " + Twine(i) + " is not supported");
      return;
    }
  Value shares = routing(n, n.in(1), n.in(14));
  Expert fc1 = dequantizeExperts(n, 2, 11, "fc1");
  Expert fc2 = dequantizeExperts(n, 5, 12, "fc2");
  Expert fc3 = dequantizeExperts(n, 8, 13, "fc3");
  mixture(n, shares, fc1, fc2, fc3);
}

void registerMoe(Registry &r) {
  r.add("com.microsoft", "MoE", 1, moe);
  r.add("com.microsoft", "QMoE", 1, qMoe);
}

} // namespace tenon::onnximport
