//===- LinearAttention.cpp - operators of recurrent layers ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// LinearAttention and CausalConvWithState (opset 27): what the layers between
// the attention layers of hybrid models are made of.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include <cmath>

using namespace mlir;

namespace tenon::onnximport {

//===----------------------------------------------------------------------===//
// LinearAttention
//===----------------------------------------------------------------------===//

/// dim / by, which must divide it: certainly, or by a check before each run.
static SymExpr exactPart(NodeImporter &n, const SymExpr &dim, int64_t by) {
  if (std::optional<SymExpr> exact = dim.divideExactly(SymExpr(by)))
    return *exact;
  SymExpr part = SymExpr::apply(SymExpr::Fn::FloorDiv, dim, SymExpr(by));
  n.checkEqual(dim, part * SymExpr(by));
  return part;
}

/// Is the operand there exactly where the rule wants it?
static bool fits(NodeImporter &n, unsigned input, StringRef name, bool wanted,
                 StringRef rule) {
  if (n.has(input) == wanted)
    return true;
  n.error("update_rule '" + rule + "' " + (wanted ? "needs" : "has no") +
          " input '" + name + "'");
  return false;
}

/// The factor of the result, in f32: as given, else 1 / sqrt(depth).
static Value scaleOf(NodeImporter &n, const SymExpr &depth) {
  Type f32 = n.builder.getF32Type();
  double given = n.getFloat("scale", 0);
  if (given != 0)
    return n.scalar(given, f32);
  if (std::optional<int64_t> size = depth.constant())
    return n.scalar(1 / std::sqrt(double(*size)), f32);
  Value d = n.cast(n.dimScalar(depth, n.builder.getI64Type()), f32);
  return n.make<ReciprocalOp>({n.sqrt(d)});
}

static void linearAttention(NodeImporter &n) {
  std::string rule = n.getString("update_rule", "gated_delta");
  bool gates = rule == "gated" || rule == "gated_delta";
  bool corrects = rule == "delta" || rule == "gated_delta";
  if (!gates && !corrects && rule != "linear") {
    n.error("update_rule must be linear, gated, delta or gated_delta, found '" +
            rule + "'");
    return;
  }
  int64_t heads = n.getInt("kv_num_heads", 0);
  int64_t queryHeads = n.getInt("q_num_heads", 0);
  if (heads <= 0 || queryHeads <= 0 || queryHeads % heads != 0) {
    n.error("q_num_heads must be a positive multiple of kv_num_heads, found " +
            Twine(queryHeads) + " and " + Twine(heads));
    return;
  }
  Value query = n.in(0), key = n.in(1), value = n.in(2);
  for (unsigned i : {0, 1, 2, 4, 5})
    if (n.has(i) && n.rank(n.in(i)) != 3) {
      n.error("input " + Twine(i) + " must have rank 3, found rank " +
              Twine(n.rank(n.in(i))));
      return;
    }
  if (!fits(n, 4, "decay", gates, rule) || !fits(n, 5, "beta", corrects, rule))
    return;

  Dims q = n.dims(query);
  SymExpr B = q[0], T = q[1], H(heads), G(queryHeads / heads);
  SymExpr dk = exactPart(n, q[2], queryHeads);
  Type f32 = n.builder.getF32Type();
  // The last dim [heads*d] as [heads, d]; of a parameter, d may be 1 where
  // `wide` is not, which only a run may know.
  auto split = [&](Value v) {
    Dims dims = n.dims(v);
    SymExpr part = exactPart(n, dims[2], heads);
    return n.reshape(v, {dims[0], dims[1], H, part});
  };
  auto orOne = [&](Value v, int64_t dim, const SymExpr &wide) {
    Dims dims = n.dims(v);
    if (!v || dims[dim] == wide || dims[dim].isConstant())
      return v;
    dims[dim] = wide;
    return n.broadcast(v, dims);
  };
  SmallVector<Value> operands = {n.reshape(query, {B, T, H, G, dk}), split(key),
                                 split(value)};
  SmallVector<int32_t> segments = {1, 1, 1, 0, 0, 0};
  auto add = [&](unsigned at, Value v) {
    operands.push_back(v);
    segments[at] = 1;
  };
  if (n.has(3))
    add(3, n.in(3));
  if (gates) // one exp an element, where columns would repeat it
    add(4, orOne(n.exp(n.cast(split(n.in(4)), f32)), 3, dk));
  if (corrects)
    add(5, orOne(n.unsqueeze(n.in(5), {3}), 2, H));
  if (n.failed())
    return;
  Value all = n.make<LinearAttentionOp>(
      operands, {n.named("operandSegmentSizes",
                         n.builder.getDenseI32ArrayAttr(segments))});
  if (!all)
    return;

  SymExpr dv = n.dims(all)[3];
  Value y = n.reshape(n.slice(all, 2, dk, T * G), {B, H, T, G, dv});
  y = n.reshape(n.transpose(y, {0, 2, 1, 3, 4}),
                {B, T, SymExpr(queryHeads) * dv});
  n.out(0, n.cast(n.mul(y, scaleOf(n, dk)), NodeImporter::elem(query)));
  Type stateType = NodeImporter::elem(n.has(3) ? n.in(3) : query);
  n.out(1, n.cast(n.slice(all, 2, SymExpr(0), dk), stateType));
}

//===----------------------------------------------------------------------===//
// CausalConvWithState
//===----------------------------------------------------------------------===//

/// Each output is a sum over the K elements of its channel that end with it.
static void causalConvWithState(NodeImporter &n) {
  std::string activation = n.getString("activation", "none");
  bool silu = activation == "silu" || activation == "swish";
  if (!silu && activation != "none") {
    n.error("activation must be none, silu or swish, found '" + activation +
            "'");
    return;
  }
  Value x = n.in(0), weight = n.in(1);
  if (n.rank(x) != 3 || n.rank(weight) != 3 ||
      (n.has(3) && n.rank(n.in(3)) != 3)) {
    n.error("expected input, weight and past_state of rank 3");
    return;
  }
  Type type = NodeImporter::elem(x), f32 = n.builder.getF32Type();
  Dims dims = n.dims(x), w = n.dims(weight);
  n.checkEqual(w[0], dims[1]);
  n.checkEqual(w[1], SymExpr(1));
  SymExpr size = w[2], before = size - SymExpr(1);
  n.checkNonNegative(before);
  Value past = n.in(3);
  if (past)
    n.checkEqual(n.dims(past)[2], before);
  else if (!n.failed())
    past = n.broadcast(n.scalar(0, type), {dims[0], dims[1], before});
  bool none = before == SymExpr(0);
  Value all = none ? x : n.concat({past, x}, 2);
  SymExpr length = dims[2];
  Value y;
  weight = n.cast(n.reshape(weight, {w[0], size}), f32);
  if (std::optional<int64_t> taps = size.constant(); taps && *taps <= 16) {
    for (int64_t k = 0; k < *taps; ++k) {
      Value part = n.cast(n.slice(all, 2, SymExpr(k), length), f32);
      Value term = n.mul(part, n.slice(weight, 1, SymExpr(k), SymExpr(1)));
      y = y ? n.add(y, term) : term;
    }
  } else {
    Type i64 = n.builder.getI64Type();
    Value at = n.add(n.unsqueeze(n.iota(length, i64), {1}),
                     n.unsqueeze(n.iota(size, i64), {0}));
    Value windows = n.cast(n.gather(all, at, 2), f32); // [B, C, L, K]
    y = n.reduce(ReduceKind::sum, n.mul(windows, n.unsqueeze(weight, {1})), {3},
                 /*keepdims=*/false);
  }
  if (n.has(2))
    y = n.add(y, n.cast(n.unsqueeze(n.in(2), {1}), f32));
  if (silu) // of the rounded sum, as the operators that this stands for
    y = n.make<SiluOp>({n.cast(n.cast(y, type), f32)});
  n.out(0, n.cast(y, type));
  SymExpr held = n.failed() ? SymExpr(0) : n.dims(all)[2];
  n.out(1, none ? n.broadcast(n.scalar(0, type), {dims[0], dims[1], before})
                : n.slice(all, 2, held - before, before));
}

void registerLinearAttention(Registry &r) {
  r.add("LinearAttention", 27, linearAttention);
  r.add("CausalConvWithState", 27, causalConvWithState);
}

} // namespace tenon::onnximport
