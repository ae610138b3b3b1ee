//===- LinearAttention.cpp - operators of recurrent layers ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// LinearAttention and CausalConvWithState (opset 27): what the layers between
// the attention layers of hybrid models are made of. com.microsoft's operators
// of these names came first and do more: there may be more heads of values than
// of queries and keys; taps of the convolution may lie apart, and its channels
// last. Windows of states, which onnxruntime has on GPUs alone, are refused.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include <cmath>

using namespace mlir;

namespace tenon::onnximport {

static bool isContrib(NodeImporter &n) { return n.domain() == "com.microsoft"; }

/// Is the attribute what onnxruntime's CPU kernels take, too?
static bool takes(NodeImporter &n, StringRef name, int64_t only) {
  int64_t found = n.getInt(name, only);
  if (found == only)
    return true;
  n.error(name + " must be " + Twine(only) + ", found " + Twine(found));
  return false;
}

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

/// How many heads the keys have, where com.microsoft's operator is given fewer
/// of them than of values: their width says it.
static std::optional<int64_t> sharedHeads(NodeImporter &n, Value key,
                                          const SymExpr &depth, int64_t heads) {
  std::optional<int64_t> width = n.dims(key)[2].constant();
  std::optional<int64_t> size = depth.constant();
  if (!isContrib(n) || !width || !size || *size <= 0 || *width <= 0 ||
      *width % *size || *width / *size >= heads || heads % (*width / *size))
    return std::nullopt;
  return *width / *size;
}

/// [B, T, count*depth], whose heads several of `all` share, as [B, T, all,
/// depth]: one for each.
static Value repeatHeads(NodeImporter &n, Value v, int64_t count, int64_t all,
                         const SymExpr &depth) {
  Dims dims = n.dims(v);
  SymExpr own(count), times(all / count);
  v = n.broadcast(n.reshape(v, {dims[0], dims[1], own, SymExpr(1), depth}),
                  {dims[0], dims[1], own, times, depth});
  return n.reshape(v, {dims[0], dims[1], SymExpr(all), depth});
}

/// Can so many heads of queries share, or be shared by, so many of values?
static bool areHeads(NodeImporter &n, int64_t queries, int64_t values) {
  bool positive = queries > 0 && values > 0;
  if (positive &&
      (queries % values == 0 || (isContrib(n) && values % queries == 0)))
    return true;
  n.error("q_num_heads must be a positive multiple of kv_num_heads" +
          Twine(isContrib(n) ? " or a divisor" : "") + ", found " +
          Twine(queries) + " and " + Twine(values));
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
  if (!areHeads(n, queryHeads, heads) || !takes(n, "state_window", 0) ||
      !n.requireInputs({0, 1, 2}))
    return;
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
  SymExpr B = q[0], T = q[1], H(heads);
  SymExpr G(std::max<int64_t>(queryHeads / heads, 1));
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
  std::optional<int64_t> keyHeads = sharedHeads(n, key, dk, heads);
  key = keyHeads ? repeatHeads(n, key, *keyHeads, heads, dk) : split(key);
  if (queryHeads < heads)
    query = repeatHeads(n, query, queryHeads, heads, dk);
  SmallVector<Value> operands = {n.reshape(query, {B, T, H, G, dk}), key,
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
  y = n.reshape(n.transpose(y, {0, 2, 1, 3, 4}), {B, T, H * G * dv});
  n.out(0, n.cast(n.mul(y, scaleOf(n, dk)), NodeImporter::elem(query)));
  Type stateType = NodeImporter::elem(n.has(3) ? n.in(3) : query);
  n.out(1, n.cast(n.slice(all, 2, SymExpr(0), dk), stateType));
}

//===----------------------------------------------------------------------===//
// CausalConvWithState
//===----------------------------------------------------------------------===//

/// Each output is a sum over the K elements of its channel that end with it, a
/// dilation apart.
static void causalConvWithState(NodeImporter &n) {
  std::string activation = n.getString("activation", "none");
  bool silu = activation == "silu" || activation == "swish";
  if (!silu && activation != "none") {
    n.error("activation must be none, silu or swish, found '" + activation +
            "'");
    return;
  }
  if (!n.requireInputs({0, 1}))
    return;
  Value x = n.in(0), weight = n.in(1), past = n.in(3);
  if (n.rank(x) != 3 || n.rank(weight) != 3 || (past && n.rank(past) != 3)) {
    n.error("expected input, weight and past_state of rank 3");
    return;
  }
  const std::pair<const char *, int64_t> fixed[] = {
      {"ndim", 1},
      {"state_window", 0},
      {"state_update_capacity", 0},
      {"state_length", 0},
      {"state_channels_last", -1},
      {"input_channels", 0},
      {"input_channel_offset", 0}};
  for (auto [name, only] : fixed)
    if (!takes(n, name, only))
      return;
  int64_t dilation = n.getInt("dilation", 1);
  if (dilation < 1) {
    n.error("dilation must be at least 1, found " + Twine(dilation));
    return;
  }
  bool last = n.getInt("channels_last", 0) != 0;
  auto turned = [&](Value v) {
    return last && v ? n.transpose(v, {0, 2, 1}) : v;
  };
  x = turned(x);
  past = turned(past);
  Type type = NodeImporter::elem(x), f32 = n.builder.getF32Type();
  Dims dims = n.dims(x), w = n.dims(weight);
  n.checkEqual(w[0], dims[1]);
  n.checkEqual(w[1], SymExpr(1));
  SymExpr size = w[2], step(dilation);
  SymExpr before = (size - SymExpr(1)) * step;
  n.checkNonNegative(before);
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
      Value part = n.cast(n.slice(all, 2, SymExpr(k) * step, length), f32);
      Value term = n.mul(part, n.slice(weight, 1, SymExpr(k), SymExpr(1)));
      y = y ? n.add(y, term) : term;
    }
  } else {
    Type i64 = n.builder.getI64Type();
    Value at = n.add(n.unsqueeze(n.iota(length, i64), {1}),
                     n.unsqueeze(n.iota(SymExpr(0), step, size, i64), {0}));
    Value windows = n.cast(n.gather(all, at, 2), f32); // [B, C, L, K]
    y = n.reduce(ReduceKind::sum, n.mul(windows, n.unsqueeze(weight, {1})), {3},
                 /*keepdims=*/false);
  }
  if (n.has(2))
    y = n.add(y, n.cast(n.unsqueeze(n.in(2), {1}), f32));
  if (silu) // of the rounded sum, as the operators that this stands for
    y = n.make<SiluOp>({n.cast(n.cast(y, type), f32)});
  n.out(0, turned(n.cast(y, type)));
  SymExpr held = n.failed() ? SymExpr(0) : n.dims(all)[2];
  n.out(1,
        turned(none ? n.broadcast(n.scalar(0, type), {dims[0], dims[1], before})
                    : n.slice(all, 2, held - before, before)));
}

void registerLinearAttention(Registry &r) {
  r.add("LinearAttention", 27, linearAttention);
  r.add("CausalConvWithState", 27, causalConvWithState);
  r.add("com.microsoft", "LinearAttention", 1, linearAttention);
  r.add("com.microsoft", "CausalConvWithState", 1, causalConvWithState);
}

} // namespace tenon::onnximport
