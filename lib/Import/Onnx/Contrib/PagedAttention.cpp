//===- PagedAttention.cpp - com.microsoft's PagedAttention ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Sequence b has the tokens first(b) <= t < first(b+1) of the packed queries,
// behind past(b) others, and its rows lie in the pages that its row of the
// block table names. Each token is written to its page; then the rows of a
// sequence are gathered in order, and its queries from the packed ones: as many
// as there are in all, since how many are its own is data. Further ones read
// what is there and are not looked at.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonGather.h"
#include "lib/Import/Onnx/Node/Steps.h"
#include "lib/Import/Onnx/Ops/Attention.h"

using namespace mlir;

namespace tenon::onnximport {

namespace {
struct Paged {
  int64_t heads, keyHeads;
  SymExpr tokens, sequences, pages; // pages of a sequence
  SymExpr blocks, rows, size;       // of the cache [blocks, rows, heads, size]
  Value q, k, v;                    // [tokens, heads, size]
  Value table;                      // [sequences, pages]
  Value first, past;                // [sequences]
  Value row, position;              // of each token: its sequence, its place
};
} // namespace

/// [tokens, heads*size] apart.
static Value apart(NodeImporter &n, Value x, int64_t heads,
                   const SymExpr &size) {
  n.checkEqual(n.dims(x)[1], SymExpr(heads) * size);
  return n.reshape(x, {n.dims(x)[0], SymExpr(heads), size});
}

static std::optional<Paged> readPaged(NodeImporter &n) {
  // query, key, value, key_cache, value_cache, cumulative_sequence_length,
  // past_seqlens, block_table, cos_cache, sin_cache
  if (!n.requireInputs({0, 3, 4, 5, 6, 7}))
    return std::nullopt;
  Paged p;
  p.heads = n.getInt("num_heads", 0);
  p.keyHeads = n.getInt("kv_num_heads", 0);
  if (p.heads <= 0 || p.keyHeads <= 0 || p.heads % p.keyHeads != 0)
    n.error("kv_num_heads must divide num_heads: found " + Twine(p.keyHeads) +
            " and " + Twine(p.heads));
  else if (n.has(1) != n.has(2))
    n.error("key and value must be given together");
  else if (n.rank(n.in(0)) != 2 || (n.has(1) && n.rank(n.in(1)) != 2) ||
           (n.has(2) && n.rank(n.in(2)) != 2) || n.rank(n.in(7)) != 2)
    n.error("expected query, key, value and block_table of rank 2");
  else if (n.rank(n.in(3)) != 4 || n.rank(n.in(4)) != 4)
    n.error("expected caches of rank 4");
  else if (n.rank(n.in(5)) != 1 || n.rank(n.in(6)) != 1)
    n.error("expected lengths of rank 1");
  if (n.failed())
    return std::nullopt;
  Dims cache = n.dims(n.in(3)), table = n.dims(n.in(7));
  p.blocks = cache[0];
  p.rows = cache[1];
  p.size = cache[3];
  p.sequences = table[0];
  p.pages = table[1];
  p.tokens = n.dims(n.in(0))[0];
  n.checkEqual(cache[2], SymExpr(p.keyHeads));
  for (int d = 0; d < 4; ++d)
    n.checkEqual(n.dims(n.in(4))[d], cache[d]);
  n.checkEqual(n.dims(n.in(5))[0], p.sequences + SymExpr(1));
  n.checkEqual(n.dims(n.in(6))[0], p.sequences);
  Value q = n.in(0), k = n.in(1), v = n.in(2);
  if (!k) {
    SymExpr wide = SymExpr(p.heads) * p.size,
            narrow = SymExpr(p.keyHeads) * p.size;
    n.checkEqual(n.dims(q)[1], wide + narrow + narrow);
    k = n.slice(q, 1, wide, narrow);
    v = n.slice(q, 1, wide + narrow, narrow);
    q = n.slice(q, 1, SymExpr(0), wide);
  } else {
    n.checkEqual(n.dims(k)[0], p.tokens);
    n.checkEqual(n.dims(v)[0], p.tokens);
  }
  p.q = apart(n, q, p.heads, p.size);
  p.k = apart(n, k, p.keyHeads, p.size);
  p.v = apart(n, v, p.keyHeads, p.size);
  return p;
}

/// Where each token belongs.
static void placeTokens(NodeImporter &n, Paged &p) {
  Type i64 = n.builder.getI64Type();
  Value sums = n.cast(n.in(5), i64);
  p.table = n.cast(n.in(7), i64);
  p.past = n.cast(n.in(6), i64);
  p.first = n.slice(sums, 0, SymExpr(0), p.sequences);
  Value end = n.slice(sums, 0, SymExpr(1), p.sequences);
  Value token = n.iota(p.tokens, i64);
  // As many sequences end at it or before.
  Value before = n.compare(CompareKind::le, n.unsqueeze(end, {0}),
                           n.unsqueeze(token, {1}));
  p.row = n.reduce(ReduceKind::sum, n.cast(before, i64), {1},
                   /*keepdims=*/false);
  p.position = n.add(n.sub(token, n.gather(p.first, p.row, 0)),
                     n.gather(p.past, p.row, 0));
}

/// Block and row in it of each token [tokens, 2]; a page that is not mapped is
/// an index out of range.
static Value tuplesOf(NodeImporter &n, const Paged &p) {
  Value rows = n.dimScalar(p.rows, n.builder.getI64Type());
  Value page = n.div(p.position, rows);
  Value mine = n.gather(p.table, p.row, 0); // [tokens, pages]
  if (n.failed())
    return nullptr;
  Value block = n.make<GatherElementsOp>(
      {mine, n.unsqueeze(page, {1})},
      {n.named("axis", n.builder.getI64IntegerAttr(1))});
  block = n.select(n.compareScalar(CompareKind::lt, block, 0),
                   n.dimScalar(p.blocks, n.builder.getI64Type()), block);
  Value row = n.unsqueeze(n.sub(p.position, n.mul(page, rows)), {1});
  return n.concat({block, row}, 1);
}

/// The rows of all sequences in their order [sequences, heads, T, size].
static Value rowsOf(NodeImporter &n, const Paged &p, Value cache) {
  Value mapped = n.max(p.table, n.scalarLike(0, p.table));
  Value rows =
      n.reshape(n.gather(cache, mapped, 0),
                {p.sequences, p.pages * p.rows, SymExpr(p.keyHeads), p.size});
  return widen(n, n.transpose(rows, {0, 2, 1, 3}));
}

static void pagedAttention(NodeImporter &n) {
  std::optional<Paged> p = readPaged(n);
  if (!p || n.failed())
    return;
  placeTokens(n, *p);
  Type i64 = n.builder.getI64Type(), original = NodeImporter::elem(p->q);
  if (n.getInt("do_rotary", 0)) {
    std::optional<int64_t> half =
        n.requireInputs({8, 9}) ? staticDim(n, n.in(8), 1, "the cos cache")
                                : std::nullopt;
    if (!half || n.failed())
      return;
    Value cos = n.unsqueeze(n.gather(n.in(8), p->position, 0), {0, 1});
    Value sin = n.unsqueeze(n.gather(n.in(9), p->position, 0), {0, 1});
    bool interleaved = n.getInt("rotary_interleaved", 0);
    for (Value *x : {&p->q, &p->k}) { // heads before tokens, and back
      Value heads = n.unsqueeze(n.transpose(*x, {1, 0, 2}), {0});
      heads = rotate(n, heads, cos, sin, 2 * *half, interleaved);
      *x = n.transpose(n.squeeze(heads, {0}), {1, 0, 2});
    }
  }
  Value tuples = tuplesOf(n, *p);
  if (n.failed())
    return;
  auto write = [&](Value cache, Value fresh) {
    return n.make<ScatterNDOp>(
        {cache, tuples, fresh},
        {n.named("kind", ScatterKindAttr::get(n.builder.getContext(),
                                              ScatterKind::none))});
  };
  Value keyCache = write(n.in(3), p->k), valueCache = write(n.in(4), p->v);
  // Each sequence's queries from its first token on.
  Value offset = n.iota(p->tokens, i64);
  Value from = n.add(n.unsqueeze(p->first, {1}), offset);
  Value last = n.dimScalar(p->tokens - SymExpr(1), i64);
  Value q =
      n.gather(p->q, n.min(from, last), 0); // [sequences, tokens, heads, ]
  q = widen(n, n.transpose(q, {0, 2, 1, 3}));
  Value keys = rowsOf(n, *p, keyCache), values = rowsOf(n, *p, valueCache);
  if (n.failed())
    return;
  Value key = n.iota(p->pages * p->rows, i64);
  Value query = n.add(n.unsqueeze(p->past, {1}), offset);
  Value at = n.unsqueeze(query, {1, 3}); // [sequences, 1, tokens, 1]
  Value visible = n.compare(CompareKind::le, key, at);
  if (int64_t window = n.getInt("local_window_size", -1); window > 0)
    visible = n.andOp(visible, n.compare(CompareKind::gt,
                                         n.addScalar(key, double(window)), at));
  Value scores =
      groupedScores(n, scaleQueries(n, q, n.getFloat("scale", 0)), keys);
  scores = applySoftcap(n, scores, n.getFloat("softcap", 0));
  Type type = NodeImporter::elem(q);
  scores = n.select(visible, scores, n.scalar(lowestFinite(type), type));
  // What lies behind a sequence's end is anything, 0 * NaN is NaN.
  Value count = n.sub(
      n.slice(n.cast(n.in(5), i64), 0, SymExpr(1), p->sequences), p->first);
  Value length = n.unsqueeze(n.add(p->past, count), {1, 2, 3});
  Value isThere =
      n.compare(CompareKind::lt, n.unsqueeze(key, {0, 1, 3}), length);
  values = n.select(isThere, values, n.scalarLike(0, values));
  if (n.failed())
    return;
  Value all = mergeHeads(n, groupedOutput(n, n.softmaxLast(scores), values));
  if (!all)
    return;
  SymExpr width = n.dims(all)[2];
  all = n.reshape(all, {p->sequences * p->tokens, width});
  Value place = n.add(n.mul(p->row, n.dimScalar(p->tokens, i64)),
                      n.sub(offset, n.gather(p->first, p->row, 0)));
  n.out(0, n.cast(n.gather(all, place, 0), original));
  n.out(1, keyCache);
  n.out(2, valueCache);
}

void registerPagedAttention(Registry &r) {
  r.add("com.microsoft", "PagedAttention", 1, pagedAttention);
}

} // namespace tenon::onnximport
