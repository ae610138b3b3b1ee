//===- GroupQuery.cpp - com.microsoft's GroupQueryAttention ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Row b of the batch has past(b) = seqlens_k(b) + 1 - new(b) tokens in its
// cache, where new(b) is query_seqlens(b), or S. Queries, keys and values from
// new(b) on are padding, which enters no cache. The pasts are either as long as
// that (they grow from step to step) or buffers of the greatest length, most of
// it unused. The presents are
//
//   present[t] = fresh[t - past(b)] past(b) <= t < past(b) + new(b)
//                past[t]            elsewhere
//
// and as long as the buffer, or as total_sequence_length. Scores reach over
// total_sequence_length keys, not over the buffer.
//
// With sliding_window_cache the pasts hold C rows, and a row of the batch with
// x tokens behind it the newest resident(x) of them, from row 0 on. Scores
// reach over those and the new keys.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonGather.h"
#include "lib/Import/Onnx/Contrib/CacheCodes.h"
#include "lib/Import/Onnx/Node/Steps.h"
#include "lib/Import/Onnx/Ops/Attention.h"

using namespace mlir;

namespace tenon::onnximport {

namespace {
struct Heads {
  Value q, k, v;
};

/// Where each row of the batch stands: the new tokens follow `past` [B] old
/// ones (int64), which differ between rows of unequal lengths.
struct Cache {
  Value past;
  Value positions; // [B, S]
  Value lengths;   // [B], old and new tokens
};
} // namespace

static Cache cacheOf(NodeImporter &n, const SymExpr &queries) {
  Type i64 = n.builder.getI64Type();
  Value last = n.cast(n.reshape(n.in(5), {productOf(n.dims(n.in(5)))}), i64);
  Value lengths = n.addScalar(last, 1), past;
  if (n.has(16)) {
    Value added =
        n.cast(n.reshape(n.in(16), {productOf(n.dims(n.in(16)))}), i64);
    added = n.min(added, n.min(n.dimScalar(queries, i64), lengths));
    past = n.sub(lengths, n.max(added, n.scalarLike(0, added)));
  } else {
    // A first prompt shorter than the padded batch starts at 0.
    past = n.sub(last, n.dimScalar(queries - SymExpr(1), i64));
    past = n.max(past, n.scalarLike(0, past));
  }
  return {past, n.add(n.unsqueeze(past, {1}), n.iota(queries, i64)), lengths};
}

/// Which queries are no padding [B, S].
static Value isGiven(NodeImporter &n, const Cache &cache) {
  return n.compare(CompareKind::lt, cache.positions,
                   n.unsqueeze(cache.lengths, {1}));
}

//===----------------------------------------------------------------------===//
// Caches of the window's size
//===----------------------------------------------------------------------===//

namespace {
/// Old rows, then new ones [B, H, C+S, D], and the position of each [B, C+S].
struct Staged {
  Value keys, values, positions, isFilled;
  Value presentRows; // [B, 1, C, 1]: which of them stay
  Value isPresent;   // [B, 1, C, 1]
};
} // namespace

/// How many of `count` tokens stay: all that fit, else the rest after dropping
/// `step` (capacity - window + 1) at a time.
static Value resident(NodeImporter &n, Value count, Value capacity,
                      Value step) {
  Value over = n.sub(count, capacity);
  Value drops = n.div(n.add(over, n.addScalar(step, -1)), step);
  return n.select(n.compareScalar(CompareKind::le, over, 0), count,
                  n.sub(count, n.mul(drops, step)));
}

static std::optional<Staged> stage(NodeImporter &n, const Heads &h,
                                   const Cache &cache) {
  int64_t window = n.getInt("local_window_size", -1);
  if (window <= 0 || !n.has(3) || n.rank(n.in(3)) != 4 ||
      n.rank(n.in(4)) != 4 || n.has(10) || n.getInt("qk_output", 0)) {
    n.error("sliding_window_cache needs a local_window_size and pasts of rank "
            "4, and neither attention_bias nor qk_output");
    return std::nullopt;
  }
  Type i64 = n.builder.getI64Type();
  SymExpr rows = n.dims(n.in(3))[2], queries = n.dims(h.q)[2];
  n.checkNonNegative(rows - SymExpr(window));
  Value capacity = n.dimScalar(rows, i64);
  Value step = n.dimScalar(rows - SymExpr(window - 1), i64);
  Value oldRows = resident(n, cache.past, capacity, step);
  Value newRows = resident(n, cache.lengths, capacity, step);
  Value first = n.unsqueeze(n.sub(cache.past, oldRows), {1});
  Value row = n.iota(rows, i64);
  Value past = n.unsqueeze(cache.past, {1});
  Staged s;
  s.keys = n.concat({n.in(3), h.k}, 2);
  s.values = n.concat({n.in(4), h.v}, 2);
  Value old = n.compare(CompareKind::lt, row, n.unsqueeze(oldRows, {1}));
  Value fresh = n.has(16)
                    ? isGiven(n, cache)
                    : n.compareScalar(CompareKind::ge, cache.positions, 0);
  s.positions = n.concat({n.add(first, row), cache.positions}, 1);
  s.isFilled = n.concat({old, fresh}, 1);
  // Row i of the present has position length - newRows + i.
  Value position = n.add(n.unsqueeze(n.sub(cache.lengths, newRows), {1}), row);
  Value isOld = n.compare(CompareKind::lt, position, past);
  Value from = n.select(isOld, n.sub(position, first),
                        n.add(n.sub(position, past), capacity));
  Value last = n.dimScalar(rows + queries - SymExpr(1), i64);
  from = n.max(n.min(from, last), n.scalarLike(0, from));
  s.presentRows = n.unsqueeze(from, {1, 3});
  s.isPresent = n.unsqueeze(
      n.compare(CompareKind::lt, row, n.unsqueeze(newRows, {1})), {1, 3});
  return s;
}

/// The present of one side's staged rows.
static Value keep(NodeImporter &n, const Staged &s, Value staged) {
  Dims dims = n.dims(staged), rows = n.dims(s.presentRows);
  if (n.failed())
    return nullptr;
  Value kept = n.make<GatherElementsOp>(
      {staged,
       n.broadcast(s.presentRows, {dims[0], dims[1], rows[2], dims[3]})},
      {n.named("axis", n.builder.getI64IntegerAttr(2))});
  return n.select(s.isPresent, kept, n.scalarLike(0, kept));
}

static Value slidingMask(NodeImporter &n, const Staged &s, const Cache &cache) {
  Value key = n.unsqueeze(s.positions, {1, 2});
  Value query = n.unsqueeze(cache.positions, {1, 3});
  Value window = n.addScalar(key, double(n.getInt("local_window_size", 1)));
  Value allowed = n.andOp(n.compare(CompareKind::le, key, query),
                          n.compare(CompareKind::gt, window, query));
  return n.andOp(allowed, n.unsqueeze(s.isFilled, {1, 2}));
}

//===----------------------------------------------------------------------===//
// The operator
//===----------------------------------------------------------------------===//

/// Keys that a query may see: none that are not there yet, no later ones, none
/// outside the window.
static Value groupQueryMask(NodeImporter &n, const Cache &cache,
                            const SymExpr &total) {
  Value key = n.iota(total, n.builder.getI64Type());
  if (!n.getInt("causal", 1))
    return n.compare(CompareKind::lt, key,
                     n.unsqueeze(cache.lengths, {1, 2, 3}));
  Value query = n.unsqueeze(cache.positions, {1, 3}); // [B,1,S,1]
  Value allowed = n.compare(CompareKind::le, key, query);
  int64_t window = n.getInt("local_window_size", -1);
  if (window > 0)
    allowed =
        n.andOp(allowed, n.compare(CompareKind::gt,
                                   n.addScalar(key, double(window)), query));
  return allowed;
}

/// Softmax with a further key of score `sink` (0 for smooth_softmax) that has
/// no value: the probabilities need not add up to 1.
static Value softmaxWithSink(NodeImporter &n, Value scores, Value sink) {
  Dims dims = n.dims(scores);
  Dims column = dims;
  column.back() = SymExpr(1);
  Value all = n.concat({scores, n.broadcast(sink, column)}, 3);
  return n.slice(n.softmaxLast(all), 3, SymExpr(0), dims.back());
}

static Value probabilities(NodeImporter &n, Value scores) {
  Type type = NodeImporter::elem(scores);
  if (n.has(11))
    return softmaxWithSink(
        n, scores,
        n.cast(n.reshape(n.in(11), {SymExpr(1), n.dims(scores)[1], SymExpr(1),
                                    SymExpr(1)}),
               type));
  if (n.getInt("smooth_softmax", 0) == 1)
    return softmaxWithSink(n, scores, n.scalar(0, type));
  return n.softmaxLast(scores);
}

static std::optional<Heads> readHeads(NodeImporter &n) {
  int64_t heads = n.getInt("num_heads", 0);
  int64_t keyHeads = n.getInt("kv_num_heads", 0);
  if (heads <= 0 || keyHeads <= 0 || heads % keyHeads != 0) {
    n.error("kv_num_heads must divide num_heads: found " + Twine(keyHeads) +
            " and " + Twine(heads));
    return std::nullopt;
  }
  Value q = n.in(0), k = n.in(1), v = n.in(2);
  if (!k != !v) {
    n.error("key and value must be given together");
    return std::nullopt;
  }
  if (!k) {
    std::optional<SymExpr> size =
        n.rank(q) == 3
            ? n.dims(q)[2].divideExactly(SymExpr(heads + 2 * keyHeads))
            : std::nullopt;
    if (!size) {
      n.error("a packed query must have heads of one size");
      return std::nullopt;
    }
    Value packed = q;
    SymExpr wide = *size * SymExpr(heads), narrow = *size * SymExpr(keyHeads);
    q = n.slice(packed, 2, SymExpr(0), wide);
    k = n.slice(packed, 2, wide, narrow);
    v = n.slice(packed, 2, wide + narrow, narrow);
  }
  return Heads{splitHeads(n, q, heads), splitHeads(n, k, keyHeads),
               splitHeads(n, v, keyHeads)};
}

static void rotateHeads(NodeImporter &n, Heads &h, const Cache &cache) {
  if (!n.requireInputs({7, 8}))
    return;
  std::optional<int64_t> half = staticDim(n, n.in(7), 1, "the cos cache");
  if (!half)
    return;
  Value at = n.has(9) ? n.in(9) : cache.positions;
  if (n.has(16)) // of padding there may be no cosine
    at = n.select(isGiven(n, cache), at, n.scalarLike(0, at));
  Value cos = n.unsqueeze(n.gather(n.in(7), at, 0), {1});
  Value sin = n.unsqueeze(n.gather(n.in(8), at, 0), {1});
  bool interleaved = n.getInt("rotary_interleaved", 0);
  h.q = rotate(n, h.q, cos, sin, 2 * *half, interleaved);
  h.k = rotate(n, h.k, cos, sin, 2 * *half, interleaved);
}

/// What no step below looks at.
static bool isRefused(NodeImporter &n) {
  if (n.has(3) != n.has(4))
    n.error("past_key and past_value must be given together");
  else if (n.has(16) && (!n.has(3) || !n.getInt("causal", 1)))
    n.error("query_seqlens needs pasts and a causal mask");
  return n.failed();
}

/// Puts this step's keys and values behind the pasts of a cache that does not
/// slide, which stay in `h`; gives those that are read. Null after an error.
static std::pair<Value, Value> appendToPasts(NodeImporter &n, Heads &h,
                                             const Cache &cache,
                                             const SymExpr &queries) {
  if (n.rank(n.in(3)) != 4 || n.rank(n.in(4)) != 4) {
    n.error("expected pasts of rank 4");
    return {};
  }
  SymExpr room = n.dims(n.in(3))[2];
  // Where the total is not known before a run, a past of static length is taken
  // for a buffer.
  SymExpr total = knownScalar(n, n.in(6))
                      .value_or(room.isConstant() ? room : room + queries);
  SymExpr length = SymExpr::apply(SymExpr::Fn::Max, room, total);
  Value until = n.has(16) ? cache.lengths : Value();
  h.k = appendKeys(n, n.in(3), h.k, cache.past, length, until);
  h.v = appendKeys(n, n.in(4), h.v, cache.past, length, until);
  Value keys = n.slice(h.k, 2, SymExpr(0), total);
  return {keys, n.slice(h.v, 2, SymExpr(0), total)};
}

static void groupQueryAttention(NodeImporter &n) {
  // query, key, value, past_key, past_value, seqlens_k,
  // total_sequence_length, cos, sin, position_ids, attention_bias, head_sink,
  // k_scale, v_scale, q_norm_weight, k_norm_weight, query_seqlens
  if (!n.requireInputs({0, 5, 6}) || isRefused(n))
    return;
  std::optional<Heads> h = readHeads(n);
  if (!h || n.failed())
    return;
  double epsilon = n.getFloat("qk_norm_epsilon", 1e-6f);
  if (n.has(14))
    h->q = n.rmsNorm(h->q, n.in(14), n.getFloat("q_norm_epsilon", epsilon), 1);
  if (n.has(15))
    h->k = n.rmsNorm(h->k, n.in(15), n.getFloat("k_norm_epsilon", epsilon), 1);
  if (n.failed())
    return;
  SymExpr queries = n.dims(h->q)[2];
  Cache cache = cacheOf(n, queries);
  if (n.getInt("do_rotary", 0))
    rotateHeads(n, *h, cache);
  if (n.failed())
    return;
  std::optional<CacheCodes> keyCodes =
      CacheCodes::of(n, "k_quant_type", 3, 12, h->k);
  std::optional<CacheCodes> valueCodes =
      CacheCodes::of(n, "v_quant_type", 4, 13, h->v);
  if (!keyCodes || !valueCodes)
    return;
  // What this step adds is read as later steps will.
  h->k = keyCodes->encode(n, h->k);
  h->v = valueCodes->encode(n, h->v);
  if (n.failed())
    return;
  Value keys = h->k, values = h->v, visible;
  if (n.getInt("sliding_window_cache", 0)) {
    std::optional<Staged> staged = stage(n, *h, cache);
    if (!staged)
      return;
    keys = staged->keys;
    values = staged->values;
    h->k = keep(n, *staged, keys);
    h->v = keep(n, *staged, values);
    visible = slidingMask(n, *staged, cache);
  } else if (n.has(3)) {
    std::tie(keys, values) = appendToPasts(n, *h, cache, queries);
  }
  if (n.failed())
    return;
  SymExpr total = n.dims(keys)[2];
  // From here to the result nothing is rounded to 16 bits.
  Type original = NodeImporter::elem(h->q);
  Value q = widen(n, h->q);
  keys = widen(n, keyCodes->decode(n, keys));
  values = widen(n, valueCodes->decode(n, values));
  Value scores =
      groupedScores(n, scaleQueries(n, q, n.getFloat("scale", 0)), keys);
  scores = applySoftcap(n, scores, n.getFloat("softcap", 0));
  if (n.has(10))
    scores = n.add(scores, widen(n, n.in(10)));
  Type type = NodeImporter::elem(q);
  if (!visible)
    visible = groupQueryMask(n, cache, total);
  scores = n.select(visible, scores, n.scalar(lowestFinite(type), type));
  if (n.failed())
    return;
  Value p = probabilities(n, scores);
  n.out(0, n.cast(mergeHeads(n, groupedOutput(n, p, values)), original));
  n.out(1, h->k);
  n.out(2, h->v);
  if (int64_t mode = n.getInt("qk_output", 0))
    n.out(3, n.cast(mode == 1 ? scores : p, original));
}

void registerGroupQuery(Registry &r) {
  r.add("com.microsoft", "GroupQueryAttention", 1, groupQueryAttention);
  registerPagedAttention(r);
}

} // namespace tenon::onnximport
