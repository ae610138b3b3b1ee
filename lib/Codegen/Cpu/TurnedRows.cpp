//===- TurnedRows.cpp - rows of few numbers, on a vector's lanes ----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/TurnedRows.h"
#include "lib/Codegen/Cpu/Loops.h"

using namespace mlir;

namespace tenon {

static Value shuffle(LaneBuilder &L, Value x, Value y, ArrayRef<int64_t> from) {
  return vector::ShuffleOp::create(L.b, L.loc, x, y, from);
}

/// Lane l is element element(l) of the vectors, two or more, one after the
/// other.
Value TurnedRows::pick(ArrayRef<Value> from,
                       function_ref<int64_t(int64_t)> element) const {
  Value result = from[0];
  for (int64_t v = 1; v < int64_t(from.size()); ++v) {
    SmallVector<int64_t> at;
    for (int64_t l = 0; l < lanes; ++l) {
      int64_t i = element(l);
      if (i >= (v + 1) * lanes)
        at.push_back(vector::ShuffleOp::kPoisonIndex);
      else if (i >= v * lanes)
        at.push_back(i - (v - 1) * lanes);
      else // picked before
        at.push_back(v == 1 ? i : l);
    }
    result = shuffle(L, result, from[v], at);
  }
  return result;
}

/// Lane l is that of vector number numberOf(l), in its place.
Value TurnedRows::blend(ArrayRef<Value> from,
                        function_ref<int64_t(int64_t)> numberOf) const {
  Value result = from[0];
  for (int64_t v = 1; v < int64_t(from.size()); ++v) {
    SmallVector<int64_t> at;
    for (int64_t l = 0; l < lanes; ++l)
      at.push_back(numberOf(l) == v ? lanes + l : l);
    result = shuffle(L, result, from[v], at);
  }
  return result;
}

/// All terms of rows of twice an odd number of them, which lie one behind the
/// other: of half of the rows a pair of each is another lane of some vector.
void TurnedRows::loadPairs(ArrayRef<Value> memory,
                           SmallVector<Value> &terms) const {
  int64_t pairs = K / 2, half = lanes / 2;
  for (int64_t p = 0; p < pairs; ++p) {
    auto place = [&](int64_t row) { return row % half * pairs + p; };
    Value rows[2];
    for (int64_t s = 0; s < 2; ++s)
      rows[s] = blend(memory.slice(s * pairs, pairs), [&](int64_t l) {
        // Which row of them has its pair there?
        for (int64_t row = 0; row < half; ++row)
          if (place(row) % half == l / 2)
            return place(row) / half;
        return int64_t(0);
      });
    for (int64_t i = 0; i < 2; ++i) {
      SmallVector<int64_t> from;
      for (int64_t row = 0; row < lanes; ++row)
        from.push_back(place(row) % half * 2 + i + row / half * lanes);
      terms[2 * p + i] = shuffle(L, rows[0], rows[1], from);
    }
  }
}

void TurnedRows::load(Value A, Value first, int64_t from,
                      SmallVector<Value> &terms) const {
  bool wide = lanes == 4 * kQuad;
  constexpr int64_t oct = 2 * kQuad;
  // An odd number of terms, neighbours of lanes in all rows, is one of each
  // lane: blends, which more ports do than permutations.
  bool blends = lanes >= oct && (K == 3 || K == 5), pairs = wide && K == 6;
  if (wide && N == 2 && K >= oct && K - from > kQuad) {
    from = std::min(from, K - oct);
    llvm::copy(loadTurnedTwice(L, A, first, K, from), terms.begin() + from);
    return;
  }
  if (K >= kQuad && !blends && !pairs) {
    from = std::min(from, K - kQuad); // the last four meet those before
    llvm::copy(loadTurned(L, A, first, K, from), terms.begin() + from);
    return;
  }
  auto vt = VectorType::get({lanes}, L.b.getF32Type());
  SmallVector<Value> memory;
  for (int64_t v = 0; v < K; ++v)
    memory.push_back(
        vector::LoadOp::create(L.b, L.loc, vt, A, L.add(first, v * lanes)));
  if (pairs)
    return loadPairs(memory, terms);
  for (int64_t k = 0; k < K; ++k) {
    auto element = [&](int64_t row) { return row * K + k; };
    if (!blends) {
      terms[k] = K == 1 ? memory[0] : pick(memory, element);
      continue;
    }
    SmallVector<int64_t> vectors(lanes), from;
    for (int64_t row = 0; row < lanes; ++row) {
      from.push_back(element(row) % lanes);
      vectors[from.back()] = element(row) / lanes;
    }
    Value all = blend(memory, [&](int64_t l) { return vectors[l]; });
    terms[k] = shuffle(L, all, all, from);
  }
}

void TurnedRows::store(ArrayRef<Value> columns, Value result,
                       Value first) const {
  // Of an odd number of columns those of a vector have other lanes each.
  bool blends = lanes == 2 * kQuad && N == 3;
  SmallVector<Value> moved;
  for (int64_t n = 0; n < N && blends; ++n) {
    SmallVector<int64_t> from(lanes);
    for (int64_t r = 0; r < lanes; ++r)
      from[(r * N + n) % lanes] = r;
    moved.push_back(shuffle(L, columns[n], columns[n], from));
  }
  for (int64_t v = 0; v < N; ++v) {
    // Element i of the block is row i / N of column i % N.
    auto element = [&](int64_t l) {
      int64_t i = v * lanes + l;
      return i % N * lanes + i / N;
    };
    Value part =
        N == 1   ? columns[0]
        : blends ? blend(moved, [&](int64_t l) { return (v * lanes + l) % N; })
                 : pick(columns, element);
    vector::StoreOp::create(L.b, L.loc, part, result, L.add(first, v * lanes));
  }
}

} // namespace tenon
