//===- Attention.cpp - ONNX Attention, FlexAttention, RotaryEmbedding -----===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Ops/Attention.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "lib/Import/Onnx/Node/Sequences.h"
#include <limits>

using namespace mlir;

namespace tenon::onnximport {

//===----------------------------------------------------------------------===//
// Attention (opset 23 on)
//===----------------------------------------------------------------------===//

namespace {
/// The mask as an additive bias, and what is known of rows without any key.
struct Bias {
  Value value;     // null: nothing is masked
  Value emptyRows; // bool [..., S, 1]; null: no row can be empty
};
} // namespace

/// Where the mask is shorter than the keys, the rest is masked (opset 24 on);
/// one of length 1 is broadcast.
static Value padMask(NodeImporter &n, Value mask, const SymExpr &keys) {
  Dims dims = n.dims(mask);
  if (n.opset < 24 || dims.empty() || dims.back() == keys ||
      dims.back() == SymExpr(1))
    return mask;
  if (!dims.back().isConstant()) {
    SymExpr isUnit = SymExpr::apply(SymExpr::Fn::Eq, dims.back(), SymExpr(1));
    dims.back() = SymExpr::select(isUnit, keys, dims.back());
    mask = n.broadcast(mask, dims);
  }
  SymExpr missing = keys - dims.back();
  n.checkLessEqual(dims.back(), keys);
  Dims low(dims.size(), SymExpr(0)), high = low;
  high.back() = missing;
  double outside =
      n.isBool(mask) ? 0 : -std::numeric_limits<double>::infinity();
  return n.make<PadOp>(
      {mask, n.scalarLike(outside, mask)},
      {n.named("mode",
               PadModeAttr::get(n.builder.getContext(), PadMode::constant)),
       n.named("low", n.dimsAttr(low)), n.named("high", n.dimsAttr(high))});
}

/// The positions of queries [S, 1] (or [B, 1, S, 1] with ragged caches) and of
/// keys [T].
struct Positions {
  Value query, key;
};

static Positions positions(NodeImporter &n, Value q, Value pastKey,
                           Value lengths, const SymExpr &keys) {
  Type i64 = n.builder.getI64Type();
  SymExpr queries = n.dims(q)[2];
  Positions p;
  p.key = n.iota(keys, i64);
  p.query = n.unsqueeze(n.iota(queries, i64), {1});
  if (pastKey) {
    p.query = n.add(p.query, n.dimScalar(n.dims(pastKey)[2], i64));
  } else if (lengths) {
    Value offset = n.sub(n.cast(lengths, i64), n.dimScalar(queries, i64));
    p.query = n.add(p.query, n.unsqueeze(offset, {1, 2, 3}));
  }
  return p;
}

static Bias attentionBias(NodeImporter &n, Value q, Value mask, Value pastKey,
                          Value lengths, const SymExpr &keys) {
  Type type = NodeImporter::elem(q);
  bool causal = n.getInt("is_causal", 0);
  int64_t left = n.getInt("left_window_size", -1);
  int64_t right = n.getInt("right_window_size", -1);
  Positions at = positions(n, q, pastKey, lengths, keys);
  Value allowed;
  auto require = [&](Value condition) {
    allowed = allowed ? n.andOp(allowed, condition) : condition;
  };
  if (causal)
    require(n.compare(CompareKind::le, at.key, at.query));
  if (left >= 0)
    require(n.compare(CompareKind::ge, n.addScalar(at.key, double(left)),
                      at.query));
  if (right >= 0)
    require(n.compare(CompareKind::le, at.key,
                      n.addScalar(at.query, double(right))));
  if (lengths)
    require(n.compare(
        CompareKind::lt, at.key,
        n.unsqueeze(n.cast(lengths, n.builder.getI64Type()), {1, 2, 3})));
  // A causal row always has its own key, unless the cache is ragged.
  bool canBeEmpty = mask || lengths || left >= 0 || right >= 0;
  Bias bias;
  if (mask)
    mask = padMask(n, mask, keys);
  if (mask && n.isBool(mask)) {
    require(mask);
    mask = nullptr;
  }
  if (allowed)
    bias.value = biasFromMask(n, allowed, type);
  if (mask)
    bias.value =
        bias.value ? n.add(n.cast(mask, type), bias.value) : n.cast(mask, type);
  if (!bias.value || !canBeEmpty)
    return bias;
  int64_t last = n.rank(bias.value) - 1;
  if (!mask) {
    bias.emptyRows = n.notOp(n.reduce(ReduceKind::any, allowed, {last}));
  } else {
    Value best = n.reduce(ReduceKind::max, bias.value, {last});
    bias.emptyRows = n.compareScalar(CompareKind::eq, best,
                                     -std::numeric_limits<double>::infinity());
  }
  return bias;
}

static void attention(NodeImporter &n) {
  Value q = n.in(0), k = n.in(1), v = n.in(2);
  bool merged = n.rank(q) == 3;
  if (merged) {
    int64_t heads = n.getInt("q_num_heads", 0);
    int64_t keyHeads = n.getInt("kv_num_heads", heads);
    q = splitHeads(n, q, heads);
    k = splitHeads(n, k, keyHeads);
    v = splitHeads(n, v, keyHeads);
  }
  if (n.failed())
    return;
  if (n.rank(q) != 4 || n.rank(k) != 4 || n.rank(v) != 4) {
    n.error("expected operands of rank 3 or 4, all alike");
    return;
  }
  if (n.has(4) != n.has(5)) {
    n.error("past_key and past_value must be given together");
    return;
  }
  if (n.has(4)) {
    k = n.concat({n.in(4), k}, 2);
    v = n.concat({n.in(5), v}, 2);
  }
  if (n.failed())
    return;
  Type type = NodeImporter::elem(q);
  n.out(1, k);
  n.out(2, v);
  // Between the inputs and the result nothing is rounded to 16 bits.
  if (type.isF16() || type.isBF16()) {
    Type f32 = n.builder.getF32Type();
    q = n.cast(q, f32);
    k = n.cast(k, f32);
    v = n.cast(v, f32);
  }
  Bias bias = attentionBias(n, q, n.in(3), n.in(4), n.in(6), n.dims(k)[2]);
  Value scores =
      groupedScores(n, scaleQueries(n, q, n.getFloat("scale", 0)), k);
  Value capped = applySoftcap(n, scores, n.getFloat("softcap", 0));
  Value biased = bias.value ? n.add(capped, bias.value) : capped;
  Value wide = biased;
  if (n.hasAttr("softmax_precision"))
    wide = n.cast(biased, n.elementType(n.getInt("softmax_precision", 1)));
  Value p = n.softmaxLast(wide);
  if (bias.emptyRows)
    p = n.select(bias.emptyRows, n.scalarLike(0, p), p);
  p = n.cast(p, NodeImporter::elem(v));
  Value y = n.cast(groupedOutput(n, p, v), type);
  n.out(0, merged ? mergeHeads(n, y) : y);
  Value stages[] = {scores, capped, biased};
  int64_t stage = n.getInt("qk_matmul_output_mode", 0);
  n.out(3, n.cast(stage >= 0 && stage < 3 ? stages[stage] : p, type));
}

//===----------------------------------------------------------------------===//
// FlexAttention (ai.onnx.preview)
//===----------------------------------------------------------------------===//

/// What a modifier graph makes of `x`; `x` itself where there is none.
static Value modified(NodeImporter &n, StringRef name, Value x) {
  const auto *graph = n.getGraph(name);
  if (!graph || !x)
    return x;
  SmallVector<Value> results;
  std::string message;
  if (!hasArity(*graph, 1, 1))
    return n.error(name + " must have one input and one output");
  if (!n.state.inlineGraph(*graph, {x}, results, message))
    return n.error(message.empty() ? name + " cannot be imported"
                                   : Twine(message));
  Value y = results.front();
  if (!isTensor(y))
    return n.error(name + " must give a tensor");
  if (NodeImporter::elem(y) != NodeImporter::elem(x) || n.rank(y) != n.rank(x))
    return n.error(name + " must keep its input's element type and rank");
  for (auto [before, after] : llvm::zip(n.dims(x), n.dims(y)))
    n.checkEqual(before, after);
  return n.reshape(y, n.dims(x));
}

static void flexAttention(NodeImporter &n) {
  Value q = n.in(0), k = n.in(1), v = n.in(2);
  if (n.rank(q) != 4 || n.rank(k) != 4 || n.rank(v) != 4) {
    n.error("expected operands of rank 4, found ranks " + Twine(n.rank(q)) +
            ", " + Twine(n.rank(k)) + " and " + Twine(n.rank(v)));
    return;
  }
  Type type = NodeImporter::elem(q);
  Type wide = type.isF64() ? type : Type(n.builder.getF32Type());
  if (n.hasAttr("softmax_precision"))
    wide = n.elementType(n.getInt("softmax_precision", 1));
  Value scores = n.cast(
      groupedScores(n, scaleQueries(n, q, n.getFloat("scale", 0)), k), wide);
  Value p = n.softmaxLast(modified(n, "score_mod", scores));
  p = modified(n, "prob_mod", p);
  n.out(0, n.cast(groupedOutput(n, p, n.cast(v, wide)), type));
}

//===----------------------------------------------------------------------===//
// RotaryEmbedding (opset 23 on)
//===----------------------------------------------------------------------===//

static void rotaryEmbedding(NodeImporter &n) {
  Value x = n.in(0), cos = n.in(1), sin = n.in(2);
  bool merged = n.rank(x) == 3;
  if (merged)
    x = splitHeads(n, x, n.getInt("num_heads", 0));
  if (n.rank(x) != 4) {
    n.error("expected an input of rank 3 or 4, found " + Twine(n.rank(x)));
    return;
  }
  if (n.has(3)) {
    cos = n.gather(cos, n.in(3), 0);
    sin = n.gather(sin, n.in(3), 0);
  }
  if (n.rank(cos) != 3 || n.rank(sin) != 3) {
    n.error("expected cos and sin of rank 3, found " + Twine(n.rank(cos)) +
            " and " + Twine(n.rank(sin)));
    return;
  }
  Value y =
      rotate(n, x, n.unsqueeze(cos, {1}), n.unsqueeze(sin, {1}),
             n.getInt("rotary_embedding_dim", 0), n.getInt("interleaved", 0));
  n.out(0, merged ? mergeHeads(n, y) : y);
}

void registerAttention(Registry &r) {
  r.add("Attention", 23, attention);
  r.add("RotaryEmbedding", 23, rotaryEmbedding);
  r.add("ai.onnx.preview", "FlexAttention", 1, flexAttention);
}

} // namespace tenon::onnximport
