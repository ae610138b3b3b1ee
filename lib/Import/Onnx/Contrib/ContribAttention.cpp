//===- ContribAttention.cpp - com.microsoft's attention operators ---------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Node/Steps.h"
#include "lib/Import/Onnx/Ops/Attention.h"
#include "lib/Import/Onnx/Ops/Quant.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace tenon::onnximport {

/// Keys j <= i + past, as a bool [S, T].
static Value causalMask(NodeImporter &n, const SymExpr &queries,
                        const SymExpr &keys) {
  Type i64 = n.builder.getI64Type();
  Value query = n.add(n.iota(queries, i64), n.dimScalar(keys - queries, i64));
  return n.compare(CompareKind::le, n.iota(keys, i64), n.unsqueeze(query, {1}));
}

static Value addTo(NodeImporter &n, Value sum, Value v) {
  return sum && v ? n.add(sum, v) : (sum ? sum : v);
}

//===----------------------------------------------------------------------===//
// Masks
//===----------------------------------------------------------------------===//

namespace {
struct Heads {
  Value q, k, v; // [B, H, S, D]
};

/// The cache in front of the new keys: concatenated, or a buffer whose first
/// `used` rows are filled.
struct Past {
  Value key, value; // [B, H, P, D]; null without a cache
  Value used;       // [1], int64; null: all of it
  SymExpr length;   // as an expression; of a buffer where it is known
  bool lengthIsKnown = true;
};
} // namespace

/// Keys before `ends` and, where the 1-d mask has them, from `starts` on.
static Value lengthMask(NodeImporter &n, Value mask, const SymExpr &batch,
                        const SymExpr &keys) {
  Type i64 = n.builder.getI64Type();
  SymExpr size = n.dims(mask)[0], two(2), three(3);
  auto part = [&](const SymExpr &start) {
    return n.unsqueeze(n.cast(n.slice(mask, 0, start, batch), i64), {1, 2, 3});
  };
  Value key = n.iota(keys, i64);
  Value allowed = n.compare(CompareKind::lt, key, part(SymExpr(0)));
  if (size == two * batch)
    return n.andOp(allowed, n.compare(CompareKind::ge, key, part(batch)));
  // [3B+2] has offsets after the lengths. A dim of another name can only be
  // checked before a run.
  if (size != three * batch + two)
    n.checkEqual(size, batch);
  return n.failed() ? nullptr : allowed;
}

/// A mask [B, 1, M, M] over a longest sequence: its part for these queries and
/// keys.
static Value partOfSquareMask(NodeImporter &n, Value mask,
                              const SymExpr &queries, const SymExpr &keys) {
  Dims dims = n.dims(mask);
  if (dims[2] == queries && dims[3] == keys)
    return mask;
  mask = n.slice(mask, 2, keys - queries, queries);
  return n.slice(mask, 3, SymExpr(0), keys);
}

/// The additive form of a padding mask: lengths, or 0 and 1 in [B, T],
/// [B, S, T] or [B, 1, M, M].
static Value paddingBias(NodeImporter &n, Value mask, const SymExpr &batch,
                         const SymExpr &queries, const SymExpr &keys,
                         Type type) {
  if (!mask)
    return nullptr;
  double masked = n.getFloat("mask_filter_value", -10000.0f);
  Value allowed;
  switch (n.rank(mask)) {
  case 1:
    allowed = lengthMask(n, mask, batch, keys);
    break;
  case 2:
    allowed = n.compareScalar(CompareKind::gt, n.unsqueeze(mask, {1, 2}), 0);
    break;
  case 3:
    allowed = n.compareScalar(CompareKind::gt, n.unsqueeze(mask, {1}), 0);
    break;
  case 4:
    allowed = n.compareScalar(CompareKind::gt,
                              partOfSquareMask(n, mask, queries, keys), 0);
    break;
  default:
    return n.error("a mask of rank " + Twine(n.rank(mask)) +
                   " is not supported");
  }
  return biasFromMask(n, allowed, type, masked);
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

/// The past of inputs `key` and `value`; with a scalar `used` they are buffers.
static Past readPast(NodeImporter &n, Value key, Value value, Value used) {
  Past past{key, value, nullptr, SymExpr(0)};
  if (!key != !value) {
    n.error("past_key and past_value must be given together");
    return past;
  }
  if (!key)
    return past;
  if (n.rank(key) != 4 || n.rank(value) != 4) {
    n.error("expected pasts of rank 4");
    return past;
  }
  past.length = n.dims(key)[2];
  bool shared =
      n.getInt("past_present_share_buffer", n.opType() == "MultiHeadAttention");
  if (used && shared) {
    past.used = n.cast(n.reshape(used, {SymExpr(1)}), n.builder.getI64Type());
    std::optional<SymExpr> known = knownScalar(n, used);
    past.lengthIsKnown = known.has_value();
    past.length = known.value_or(past.length);
  }
  return past;
}

/// The presents, of which h keeps the part that scores reach over.
static void appendTo(NodeImporter &n, const Past &past, Heads &h, Heads &all) {
  all = h;
  if (!past.key || n.failed())
    return;
  if (!past.used) {
    h.k = all.k = n.concat({past.key, h.k}, 2);
    h.v = all.v = n.concat({past.value, h.v}, 2);
    return;
  }
  SymExpr room = n.dims(past.key)[2], fresh = n.dims(h.k)[2];
  h.k = all.k = appendKeys(n, past.key, h.k, past.used, room);
  h.v = all.v = appendKeys(n, past.value, h.v, past.used, room);
  if (past.lengthIsKnown) {
    h.k = n.slice(h.k, 2, SymExpr(0), past.length + fresh);
    h.v = n.slice(h.v, 2, SymExpr(0), past.length + fresh);
  }
}

/// Keys that each query may see: no later ones if it is `causal`, and none of
/// a buffer's rows that are not filled. Null: all.
static Value visibleKeys(NodeImporter &n, const Past &past, const Heads &h,
                         const SymExpr &fresh, bool causal) {
  SymExpr queries = n.dims(h.q)[2], keys = n.dims(h.k)[2];
  if (past.lengthIsKnown || !past.used)
    return causal ? causalMask(n, queries, keys) : nullptr;
  Type i64 = n.builder.getI64Type();
  Value key = n.iota(keys, i64);
  if (!causal)
    return n.compare(CompareKind::lt, key,
                     n.add(past.used, n.dimScalar(fresh, i64)));
  Value query = n.unsqueeze(n.iota(queries, i64), {1});
  return n.compare(CompareKind::le, key, n.add(query, past.used));
}

/// softmax(q k^T * scale + bias) v as [B, S, H*D]; the scores come back too.
/// Between the heads and the result nothing is rounded to 16 bits.
static Value dotProduct(NodeImporter &n, const Heads &h, Value visible,
                        Value bias, Value &scores) {
  if (n.failed())
    return nullptr;
  if (n.rank(h.q) != 4 || n.rank(h.k) != 4 || n.rank(h.v) != 4)
    return n.error("expected heads of rank 4");
  Type type = NodeImporter::elem(h.q);
  Value q = widen(n, h.q), k = widen(n, h.k), v = widen(n, h.v);
  Type wide = NodeImporter::elem(q);
  bias = widen(n, bias);
  if (visible)
    bias = addTo(n, bias, biasFromMask(n, visible, wide, lowestFinite(wide)));
  Value x = groupedScores(n, scaleQueries(n, q, n.getFloat("scale", 0)), k);
  if (bias)
    x = n.add(x, bias);
  scores = n.cast(x, type);
  return n.cast(mergeHeads(n, groupedOutput(n, n.softmaxLast(x), v)), type);
}

//===----------------------------------------------------------------------===//
// MultiHeadAttention, DecoderMaskedMultiHeadAttention
//===----------------------------------------------------------------------===//

/// One of the `count` parts packed in dim 3 of [B, S, H, count, D]: [B,H,S,D].
static Value unpackHeads(NodeImporter &n, Value packed, int64_t at) {
  if (!packed)
    return packed;
  Value part = n.squeeze(n.slice(packed, 3, SymExpr(at), SymExpr(1)), {3});
  return n.transpose(part, {0, 2, 1, 3});
}

/// Bias is [3 * hidden] for q, k and v, which may differ in size.
static Value addProjectionBias(NodeImporter &n, Value x, Value bias,
                               SymExpr &at) {
  if (!bias || !x)
    return x;
  SymExpr size = n.dims(x).back();
  Value part = n.slice(bias, 0, at, size);
  at = at + size;
  return n.add(x, part);
}

/// q, k and v of packed [B, S, H, 3, D], with a bias [3 * H * D].
static Heads packedHeads(NodeImporter &n, Value packed, Value bias) {
  Heads h;
  Dims d = n.dims(packed);
  Value *parts[] = {&h.q, &h.k, &h.v};
  for (auto [i, part] : llvm::enumerate(parts)) {
    *part = unpackHeads(n, packed, i);
    if (!bias)
      continue;
    SymExpr size = d[2] * d[4];
    Value own = n.slice(bias, 0, SymExpr(i) * size, size);
    *part = n.add(*part, n.reshape(own, {d[2], SymExpr(1), d[4]}));
  }
  return h;
}

static std::optional<Heads> readHeads(NodeImporter &n, int64_t heads,
                                      Value bias) {
  Value q = n.in(0), k = n.in(1), v = n.in(2);
  if (n.rank(q) == 5)
    return packedHeads(n, q, bias);
  SymExpr at(0);
  if (!k && n.rank(q) == 3) { // q, k and v side by side
    std::optional<SymExpr> size = n.dims(q)[2].divideExactly(SymExpr(3));
    if (!size) {
      n.error("a packed query must have three parts of one size");
      return std::nullopt;
    }
    Value packed = addProjectionBias(n, q, bias, at);
    auto part = [&](int64_t i) {
      return splitHeads(n, n.slice(packed, 2, SymExpr(i) * *size, *size),
                        heads);
    };
    return Heads{part(0), part(1), part(2)};
  }
  q = splitHeads(n, addProjectionBias(n, q, bias, at), heads);
  if (n.rank(k) == 5)
    return Heads{q, unpackHeads(n, k, 0), unpackHeads(n, k, 1)};
  if (!k || !v) {
    n.error("key and value are missing");
    return std::nullopt;
  }
  if (n.rank(k) == 4) // [B, H, T, D] of another layer's encoder
    return Heads{q, k, v};
  k = splitHeads(n, addProjectionBias(n, k, bias, at), heads);
  v = splitHeads(n, addProjectionBias(n, v, bias, at), heads);
  return Heads{q, k, v};
}

namespace {
/// Where the two operators have their operands.
struct Operands {
  unsigned mask, bias, attentionBias, past, pastLength, indirection;
};
} // namespace

static void multiHead(NodeImporter &n, const Operands &at) {
  if (!n.requireInputs({0}))
    return;
  if (n.has(at.indirection)) {
    n.error("cache_indirection (beam search inside the operator) is not "
            "supported");
    return;
  }
  std::optional<Heads> h =
      readHeads(n, n.getInt("num_heads", 0), n.in(at.bias));
  Past past =
      readPast(n, n.in(at.past), n.in(at.past + 1), n.in(at.pastLength));
  if (!h || n.failed())
    return;
  SymExpr fresh = n.dims(h->k)[2];
  Heads all;
  appendTo(n, past, *h, all);
  if (n.failed())
    return;
  Value bias = paddingBias(n, n.in(at.mask), n.dims(h->q)[0], n.dims(h->q)[2],
                           n.dims(h->k)[2], NodeImporter::elem(h->q));
  bias = addTo(n, bias, n.in(at.attentionBias));
  Value visible =
      visibleKeys(n, past, *h, fresh, n.getInt("unidirectional", 0));
  Value scores;
  n.out(0, dotProduct(n, *h, visible, bias, scores));
  n.out(1, all.k);
  n.out(2, all.v);
  n.out(3, scores);
}

static void multiHeadAttention(NodeImporter &n) {
  // query, key, value, bias, key_padding_mask, attention_bias, past_key,
  // past_value, past_sequence_length, cache_indirection
  multiHead(n, {4, 3, 5, 6, 8, 9});
}

static void decoderMaskedAttention(NodeImporter &n) {
  // query, key, value, mask_index, attention_bias, past_key, past_value,
  // past_sequence_length, beam_width, cache_indirection, bias
  multiHead(n, {3, 10, 4, 5, 7, 9});
}

//===----------------------------------------------------------------------===//
// Attention, QAttention
//===----------------------------------------------------------------------===//

/// What follows the projection [B, S, q+k+v]. `past` is [2,B,H,P,D].
static void attendProjected(NodeImporter &n, Value projected, Value mask,
                            Value pasts, Value attentionBias,
                            Value pastLength) {
  int64_t heads = n.getInt("num_heads", 0);
  std::optional<int64_t> hidden =
      staticDim(n, projected, 2, "the projected size");
  if (!hidden)
    return;
  Ints sizes = n.getInts("qkv_hidden_sizes").value_or(Ints(3, *hidden / 3));
  if (sizes.size() != 3 || sizes[0] + sizes[1] + sizes[2] != *hidden ||
      llvm::any_of(sizes, [](int64_t size) { return size < 0; })) {
    n.error("qkv_hidden_sizes must add up to " + Twine(*hidden));
    return;
  }
  auto part = [&](int64_t at, int64_t size) {
    return splitHeads(n, n.slice(projected, 2, SymExpr(at), SymExpr(size)),
                      heads);
  };
  Heads h = {part(0, sizes[0]), part(sizes[0], sizes[1]),
             part(sizes[0] + sizes[1], sizes[2])};
  auto pastPart = [&](int64_t at) -> Value {
    return pasts ? n.squeeze(n.slice(pasts, 0, SymExpr(at), SymExpr(1)), {0})
                 : nullptr;
  };
  Past past = readPast(n, pastPart(0), pastPart(1), pastLength);
  if (n.failed())
    return;
  SymExpr fresh = n.dims(h.k)[2];
  Heads all;
  appendTo(n, past, h, all);
  if (n.failed())
    return;
  Value bias = paddingBias(n, mask, n.dims(h.q)[0], n.dims(h.q)[2],
                           n.dims(h.k)[2], NodeImporter::elem(h.q));
  bias = addTo(n, bias, attentionBias);
  Value visible = visibleKeys(n, past, h, fresh, n.getInt("unidirectional", 0));
  Value scores;
  n.out(0, dotProduct(n, h, visible, bias, scores));
  if (n.wants(1))
    n.out(1, n.concat({n.unsqueeze(all.k, {0}), n.unsqueeze(all.v, {0})}, 0));
}

static void attention(NodeImporter &n) {
  // input, weights [in, q+k+v], bias, mask_index, past, attention_bias,
  // past_sequence_length
  if (!n.requireInputs({0, 1}))
    return;
  if (n.getInt("do_rotary", 0)) {
    n.error("do_rotary is not supported");
    return;
  }
  Value projected = n.matmul(n.in(0), n.in(1));
  if (n.has(2))
    projected = n.add(projected, n.in(2));
  attendProjected(n, projected, n.in(3), n.in(4), n.in(5), n.in(6));
}

static void qAttention(NodeImporter &n) {
  // input, weight, bias, input_scale, weight_scale, mask_index,
  // input_zero_point, weight_zero_point, past
  if (!n.requireInputs({0, 1, 2, 3, 4}))
    return;
  if (n.getInt("do_rotary", 0)) {
    n.error("do_rotary is not supported");
    return;
  }
  Value sum = integerMatMul(n, n.in(0), n.in(6), n.in(1), n.in(7));
  auto flat = [&](Value scale) {
    bool one = isOneElement(n.dims(scale));
    return one ? n.reshape(scale, {}) : scale;
  };
  Value scale = n.mul(widen(n, flat(n.in(3))), widen(n, flat(n.in(4))));
  if (n.failed())
    return;
  Value projected = n.mul(n.cast(sum, NodeImporter::elem(scale)), scale);
  projected = n.add(projected, widen(n, n.in(2)));
  attendProjected(n, n.cast(projected, NodeImporter::elem(n.in(2))), n.in(5),
                  n.in(8), nullptr, nullptr);
}

void registerContribAttention(Registry &r) {
  const char *ms = "com.microsoft";
  r.add(ms, "MultiHeadAttention", 1, multiHeadAttention);
  r.add(ms, "DecoderMaskedMultiHeadAttention", 1, decoderMaskedAttention);
  r.add(ms, "Attention", 1, attention);
  r.add(ms, "QAttention", 1, qAttention);
}

} // namespace tenon::onnximport
