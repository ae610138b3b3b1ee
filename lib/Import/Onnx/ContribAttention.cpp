//===- ContribAttention.cpp - com.microsoft's attention operators ---------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Attention.h"

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
// Masks of MultiHeadAttention and Attention
//===----------------------------------------------------------------------===//

/// The additive form of a padding mask: [B] lengths, or 0 and 1 in [B, T],
/// [B, S, T] or [B, 1, S, T].
static Value paddingBias(NodeImporter &n, Value mask, const SymExpr &batch,
                         const SymExpr &keys, Type type) {
  if (!mask)
    return nullptr;
  double masked = n.getFloat("mask_filter_value", -10000.0f);
  Type i64 = n.builder.getI64Type();
  Dims dims = n.dims(mask);
  Value allowed;
  switch (dims.size()) {
  case 1:
    if (dims[0] != batch)
      return n.error(
          "a mask of one dim must hold each row's length: expected " +
          batch.str() + " elements, found " + dims[0].str());
    allowed = n.compare(CompareKind::lt, n.iota(keys, i64),
                        n.unsqueeze(n.cast(mask, i64), {1, 2, 3}));
    break;
  case 2:
    allowed = n.compareScalar(CompareKind::gt, n.unsqueeze(mask, {1, 2}), 0);
    break;
  case 3:
    allowed = n.compareScalar(CompareKind::gt, n.unsqueeze(mask, {1}), 0);
    break;
  case 4:
    allowed = n.compareScalar(CompareKind::gt, mask, 0);
    break;
  default:
    return n.error("a mask of rank " + Twine(dims.size()) +
                   " is not supported");
  }
  return biasFromMask(n, allowed, type, masked);
}

/// softmax(q k^T * scale + bias) v as [B, S, H*D]; scores go to output 3.
static Value dotProduct(NodeImporter &n, Value q, Value k, Value v,
                        Value bias) {
  if (n.failed())
    return nullptr;
  if (n.rank(q) != 4 || n.rank(k) != 4 || n.rank(v) != 4)
    return n.error("expected heads of rank 4");
  if (n.getInt("unidirectional", 0)) {
    Type type = NodeImporter::elem(q);
    Value allowed = causalMask(n, n.dims(q)[2], n.dims(k)[2]);
    bias = addTo(n, bias, biasFromMask(n, allowed, type, lowestFinite(type)));
  }
  Value scores =
      groupedScores(n, scaleQueries(n, q, n.getFloat("scale", 0)), k);
  if (bias)
    scores = n.add(scores, bias);
  n.out(3, scores);
  return mergeHeads(n, groupedOutput(n, n.softmaxLast(scores), v));
}

//===----------------------------------------------------------------------===//
// MultiHeadAttention
//===----------------------------------------------------------------------===//

namespace {
struct Heads {
  Value q, k, v;
};
} // namespace

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

static std::optional<Heads> readHeads(NodeImporter &n, int64_t heads) {
  Value q = n.in(0), k = n.in(1), v = n.in(2), bias = n.in(3);
  if (n.rank(q) == 5) {
    if (bias) {
      n.error("a bias with packed operands is not supported");
      return std::nullopt;
    }
    return Heads{unpackHeads(n, q, 0), unpackHeads(n, q, 1),
                 unpackHeads(n, q, 2)};
  }
  SymExpr at(0);
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

static void multiHeadAttention(NodeImporter &n) {
  // query, key, value, bias, key_padding_mask, attention_bias, past_key,
  // past_value, past_sequence_length, cache_indirection
  if (!n.requireInputs({0}))
    return;
  if (n.has(8) || n.has(9)) {
    n.error("a past in a shared buffer is not supported");
    return;
  }
  std::optional<Heads> h = readHeads(n, n.getInt("num_heads", 0));
  if (!h || n.failed())
    return;
  if (n.has(6) && n.has(7)) {
    h->k = n.concat({n.in(6), h->k}, 2);
    h->v = n.concat({n.in(7), h->v}, 2);
  }
  if (n.failed())
    return;
  Type type = NodeImporter::elem(h->q);
  Value bias = paddingBias(n, n.in(4), n.dims(h->q)[0], n.dims(h->k)[2], type);
  bias = addTo(n, bias, n.in(5));
  n.out(0, dotProduct(n, h->q, h->k, h->v, bias));
  n.out(1, h->k);
  n.out(2, h->v);
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

static void attention(NodeImporter &n) {
  // input, weights [in, q+k+v], bias, mask_index, past [2,B,H,P,D],
  // attention_bias, past_sequence_length
  if (!n.requireInputs({0, 1}))
    return;
  if (n.has(6) || n.getInt("do_rotary", 0)) {
    n.error("do_rotary and a past in a shared buffer are not supported");
    return;
  }
  int64_t heads = n.getInt("num_heads", 0);
  Value projected = n.matmul(n.in(0), n.in(1));
  if (n.has(2))
    projected = n.add(projected, n.in(2));
  std::optional<int64_t> hidden =
      staticDim(n, projected, 2, "the projected size");
  if (!hidden)
    return;
  Ints sizes = n.getInts("qkv_hidden_sizes").value_or(Ints(3, *hidden / 3));
  if (sizes.size() != 3 || sizes[0] + sizes[1] + sizes[2] != *hidden) {
    n.error("qkv_hidden_sizes must add up to " + Twine(*hidden));
    return;
  }
  auto part = [&](int64_t at, int64_t size) {
    return splitHeads(n, n.slice(projected, 2, SymExpr(at), SymExpr(size)),
                      heads);
  };
  Value q = part(0, sizes[0]), k = part(sizes[0], sizes[1]),
        v = part(sizes[0] + sizes[1], sizes[2]);
  if (n.has(4)) {
    auto past = [&](int64_t at) {
      return n.squeeze(n.slice(n.in(4), 0, SymExpr(at), SymExpr(1)), {0});
    };
    k = n.concat({past(0), k}, 2);
    v = n.concat({past(1), v}, 2);
  }
  if (n.failed())
    return;
  Type type = NodeImporter::elem(q);
  Value bias = paddingBias(n, n.in(3), n.dims(q)[0], n.dims(k)[2], type);
  bias = addTo(n, bias, n.in(5));
  n.out(0, dotProduct(n, q, k, v, bias));
  if (n.wants(1))
    n.out(1, n.concat({n.unsqueeze(k, {0}), n.unsqueeze(v, {0})}, 0));
}

void registerContribAttention(Registry &r) {
  const char *ms = "com.microsoft";
  r.add(ms, "MultiHeadAttention", 1, multiHeadAttention);
  r.add(ms, "Attention", 1, attention);
}

} // namespace tenon::onnximport
