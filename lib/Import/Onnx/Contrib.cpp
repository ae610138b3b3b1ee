//===- Contrib.cpp - com.microsoft operators, but attention ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Attention.h"
#include "MatMul.h"

using namespace mlir;

namespace tenon::onnximport {

//===----------------------------------------------------------------------===//
// Norms
//===----------------------------------------------------------------------===//

/// Mean and inverse deviation, for the optional outputs.
static void normStatistics(NodeImporter &n, Value x, double epsilon, bool rms) {
  if (!n.wants(1) && !n.wants(2))
    return;
  Ints last = {n.rank(x) - 1};
  Value mean = n.reduce(ReduceKind::mean, x, last);
  Value centred = rms ? x : n.sub(x, mean);
  Value variance = n.reduce(ReduceKind::mean, n.mul(centred, centred), last);
  n.out(1, mean);
  n.out(2, n.make<ReciprocalOp>({n.sqrt(n.addScalar(variance, epsilon))}));
}

template <bool rms>
static void skipNorm(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2}))
    return;
  // input, skip, gamma, [beta,] bias
  Value sum = n.add(n.in(0), n.in(1));
  if (Value bias = n.in(rms ? 3 : 4))
    sum = n.add(sum, bias);
  if (n.failed() || n.rank(sum) == 0)
    return;
  double epsilon = n.getFloat("epsilon", 1e-12f);
  n.out(0, rms ? n.rmsNorm(sum, n.in(2), epsilon, 1)
               : n.layerNorm(sum, n.in(2), n.in(3), epsilon, 1));
  normStatistics(n, sum, epsilon, rms);
  n.out(3, sum);
}

static void simplifiedNorm(NodeImporter &n) {
  if (!n.requireInputs({0, 1}))
    return;
  Value x = n.in(0);
  int64_t rank = n.rank(x), axis = n.axis(n.getInt("axis", -1), rank);
  if (n.failed())
    return;
  double epsilon = n.getFloat("epsilon", 1e-5f);
  n.out(0, n.rmsNorm(x, n.in(1), epsilon, rank - axis));
  if (!n.wants(1))
    return;
  Ints over;
  for (int64_t i = axis; i < rank; ++i)
    over.push_back(i);
  Value square = n.reduce(ReduceKind::mean, n.mul(x, x), over);
  n.out(1, n.make<ReciprocalOp>({n.sqrt(n.addScalar(square, epsilon))}));
}

//===----------------------------------------------------------------------===//
// Activations with a bias
//===----------------------------------------------------------------------===//

static Value withBias(NodeImporter &n) {
  return n.has(1) ? n.add(n.in(0), n.in(1)) : n.in(0);
}

static void gelu(NodeImporter &n) {
  if (n.requireInputs({0}))
    n.out(0, n.make<GeluOp>({withBias(n)}));
}

static void fastGelu(NodeImporter &n) {
  if (n.requireInputs({0}))
    n.out(0, n.make<GeluOp>({withBias(n)}, {n.flag("approximate")}));
}

static void quickGelu(NodeImporter &n) {
  if (!n.requireInputs({0}))
    return;
  Value x = n.in(0);
  double alpha = n.getFloat("alpha", 1.702f);
  n.out(0, n.mul(x, n.make<SigmoidOp>({n.mulScalar(x, alpha)})));
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// Swaps the last two dims.
static Value transposed(NodeImporter &n, Value x) {
  Ints perm;
  for (int64_t i = 0, e = n.rank(x); i < e; ++i)
    perm.push_back(i);
  if (perm.size() < 2)
    return x;
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return n.transpose(x, perm);
}

static void fusedMatMul(NodeImporter &n) {
  if (!n.requireInputs({0, 1}))
    return;
  if (n.getInt("transBatchA", 0) || n.getInt("transBatchB", 0)) {
    n.error("transBatchA and transBatchB are not supported");
    return;
  }
  Value a = n.in(0), b = n.in(1);
  bool ta = n.getInt("transA", 0), tb = n.getInt("transB", 0);
  Value y;
  if (n.rank(a) >= 2 && n.rank(b) >= 2)
    y = n.matmul(a, b, ta, tb);
  else
    y = numpyMatMul(n, ta ? transposed(n, a) : a, tb ? transposed(n, b) : b);
  n.out(0, n.mulScalar(y, n.getFloat("alpha", 1)));
}

/// Gemm and an activation, as the transformer optimizer writes it.
static void fusedGemm(NodeImporter &n) {
  if (!n.requireInputs({0, 1}))
    return;
  Value y =
      n.matmul(n.in(0), n.in(1), n.getInt("transA", 0), n.getInt("transB", 0));
  y = n.mulScalar(y, n.getFloat("alpha", 1));
  if (n.has(2))
    y = n.add(y, n.mulScalar(n.in(2), n.getFloat("beta", 1)));
  std::string activation = n.getString("activation", "");
  if (activation == "Relu")
    y = n.max(y, n.scalarLike(0, y));
  else if (activation == "Tanh")
    y = n.make<TanhOp>({y});
  else if (activation == "Sigmoid")
    y = n.make<SigmoidOp>({y});
  else if (!activation.empty())
    n.error("activation '" + activation + "' is not supported");
  n.out(0, y);
}

//===----------------------------------------------------------------------===//
// Embeddings
//===----------------------------------------------------------------------===//

/// Sum of word, position and segment embeddings, normalised; also the mask
/// summed per row, and the sum itself.
static void embedLayerNorm(NodeImporter &n) {
  if (!n.requireInputs({0, 2, 3, 5}))
    return;
  Value ids = n.in(0);
  Dims dims = n.dims(ids);
  if (dims.size() != 2) {
    n.error("expected input_ids of rank 2, found " + Twine(dims.size()));
    return;
  }
  Value sum = n.gather(n.in(2), ids, 0);
  Value position = n.has(8) ? n.in(8) : n.iota(dims[1], n.builder.getI64Type());
  Value positions = n.gather(n.in(3), position, 0);
  if (n.rank(position) == 1)
    positions = n.unsqueeze(positions, {0});
  sum = n.add(sum, positions);
  if (n.has(4) && n.has(1))
    sum = n.add(sum, n.gather(n.in(4), n.in(1), 0));
  n.out(0,
        n.layerNorm(sum, n.in(5), n.in(6), n.getFloat("epsilon", 1e-12f), 1));
  Type i32 = n.builder.getI32Type();
  if (n.has(7))
    n.out(1, n.reduce(ReduceKind::sum, n.cast(n.in(7), i32), {1}, false));
  else if (n.wants(1))
    n.out(1, n.broadcast(n.scalar(0, i32), {dims[0]}));
  n.out(2, sum);
}

/// position_ids [1] is the position of the first token; [B, S] says each.
static void rotaryEmbedding(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2, 3}))
    return;
  Value x = n.in(0), ids = n.in(1);
  std::optional<int64_t> half = staticDim(n, n.in(2), 1, "the cos cache");
  if (!half)
    return;
  int64_t rotary = n.getInt("rotary_embedding_dim", 0);
  bool merged = n.rank(x) == 3;
  if (merged) {
    int64_t heads = n.getInt("num_heads", 0);
    std::optional<int64_t> hidden = staticDim(n, x, 2, "the hidden size");
    if (!hidden)
      return;
    if (heads == 0)
      heads = *hidden / std::max<int64_t>(2 * *half, 1);
    x = splitHeads(n, x, heads);
  }
  if (n.rank(x) != 4) {
    n.error("expected an input of rank 3 or 4");
    return;
  }
  if (n.rank(ids) == 1) {
    Type type = NodeImporter::elem(ids);
    Value offset = n.iota(n.dims(x)[2], type);
    ids = n.unsqueeze(n.add(offset, n.reshape(ids, {})), {0});
  }
  Value cos = n.unsqueeze(n.gather(n.in(2), ids, 0), {1});
  Value sin = n.unsqueeze(n.gather(n.in(3), ids, 0), {1});
  Value y = n.mulScalar(rotate(n, x, cos, sin, rotary ? rotary : 2 * *half,
                               n.getInt("interleaved", 0)),
                        n.getFloat("scale", 1));
  n.out(0, merged ? mergeHeads(n, y) : y);
}

void registerContrib(Registry &r) {
  const char *ms = "com.microsoft";
  r.add(ms, "SkipLayerNormalization", 1, skipNorm<false>);
  r.add(ms, "SkipSimplifiedLayerNormalization", 1, skipNorm<true>);
  r.add(ms, "SimplifiedLayerNormalization", 1, simplifiedNorm);
  r.add(ms, "Gelu", 1, gelu);
  r.add(ms, "BiasGelu", 1, gelu);
  r.add(ms, "FastGelu", 1, fastGelu);
  r.add(ms, "QuickGelu", 1, quickGelu);
  r.add(ms, "FusedMatMul", 1, fusedMatMul);
  r.add(ms, "FusedGemm", 1, fusedGemm);
  r.add(ms, "EmbedLayerNormalization", 1, embedLayerNorm);
  r.add(ms, "RotaryEmbedding", 1, rotaryEmbedding);
}

} // namespace tenon::onnximport
