//===- ContribNorm.cpp - com.microsoft's norms and embeddings -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Mod.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Import/Onnx/Node/Steps.h"
#include "lib/Import/Onnx/Ops/Attention.h"
#include "lib/Import/Onnx/Ops/Quant.h"

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
  if (!rms) // see centre() in Norm.cpp
    centred = n.sub(centred, n.reduce(ReduceKind::mean, centred, last));
  Value variance = n.reduce(ReduceKind::mean, n.mul(centred, centred), last);
  n.out(1, mean);
  n.out(2, n.make<ReciprocalOp>({n.sqrt(n.addScalar(variance, epsilon))}));
}

template <bool rms>
static void skipNorm(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2}))
    return;
  // input, skip, gamma, [beta,] bias
  Type type = NodeImporter::elem(n.in(0));
  Value sum = n.add(widen(n, n.in(0)), widen(n, n.in(1)));
  if (Value bias = n.in(rms ? 3 : 4))
    sum = n.add(sum, widen(n, bias));
  if (n.failed() || n.rank(sum) == 0)
    return;
  double epsilon = n.getFloat("epsilon", 1e-12f);
  Value gain = widen(n, n.in(2));
  Value y = rms ? n.rmsNorm(sum, gain, epsilon, 1)
                : n.layerNorm(sum, gain, widen(n, n.in(3)), epsilon, 1);
  n.out(0, n.cast(y, type));
  normStatistics(n, sum, epsilon, rms);
  n.out(3, n.cast(sum, type));
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
  x = widen(n, x);
  Value square = n.reduce(ReduceKind::mean, n.mul(x, x), over);
  n.out(1, n.make<ReciprocalOp>({n.sqrt(n.addScalar(square, epsilon))}));
}

/// rms_norm(x) * scale * activation(gate) over groups of the scale's length.
static void gatedRmsNorm(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2}))
    return;
  Value x = n.in(0);
  Dims dims = n.dims(x);
  SymExpr size = productOf(n.dims(n.in(1)));
  std::optional<SymExpr> groups;
  if (!dims.empty())
    groups = dims.back().divideExactly(size);
  if (!groups) {
    n.error("the scale's length must divide the last dim, found " + size.str());
    return;
  }
  Type type = NodeImporter::elem(x), f32 = n.builder.getF32Type();
  Dims apart = dims;
  apart.back() = *groups;
  apart.push_back(size);
  Value y = n.rmsNorm(n.cast(n.reshape(x, apart), f32), n.cast(n.in(1), f32),
                      n.getFloat("epsilon", 1e-6f), 1);
  Value gate = n.cast(n.in(2), f32);
  std::string kind = n.getString("activation", "silu");
  if (kind == "silu" || kind == "swish")
    gate = n.make<SiluOp>({gate});
  else if (kind == "sigmoid")
    gate = n.make<SigmoidOp>({gate});
  else
    n.error("activation '" + kind + "' is not supported");
  n.out(0, n.cast(n.mul(n.reshape(y, dims), gate), type));
}

/// A norm over groups of channels of x + skip + bias; with SiLU if asked.
template <bool skips>
static void groupNorm(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2}))
    return;
  Value x = n.in(0);
  int64_t rank = n.rank(x), groups = n.getInt("groups", 0);
  bool last = n.getInt("channels_last", 1);
  if (rank < 3) {
    n.error("expected an input of rank 3 or more, found " + Twine(rank));
    return;
  }
  int64_t channel = last ? rank - 1 : 1;
  auto perChannel = [&](Value v) {
    Dims to(rank, SymExpr(1));
    to[channel] = productOf(n.dims(v));
    return n.reshape(v, to);
  };
  if (skips) {
    if (!n.requireInputs({3}))
      return;
    Value skip = n.in(3);
    if (n.rank(skip) == 2) { // one row per image
      Dims to(rank, SymExpr(1));
      to[0] = n.dims(skip)[0];
      to[channel] = n.dims(skip)[1];
      skip = n.reshape(skip, to);
    }
    x = n.add(x, skip);
    if (n.has(4))
      x = n.add(x, perChannel(n.in(4)));
    n.out(1, x);
  }
  Dims dims = n.dims(x);
  std::optional<SymExpr> size;
  if (groups > 0 && !n.failed())
    size = dims[channel].divideExactly(SymExpr(groups));
  if (!size) {
    n.error("groups must divide the channels, found " + Twine(groups));
    return;
  }
  Type type = NodeImporter::elem(x), f32 = n.builder.getF32Type();
  Dims apart = dims;
  apart[channel] = SymExpr(groups);
  apart.insert(apart.begin() + channel + 1, *size);
  Ints over;
  for (int64_t i = 1; i <= rank; ++i)
    if (i != channel)
      over.push_back(i);
  Value v = n.cast(n.reshape(x, apart), f32);
  Value centred = n.sub(v, n.reduce(ReduceKind::mean, v, over));
  centred = n.sub(centred, n.reduce(ReduceKind::mean, centred, over));
  Value variance = n.reduce(ReduceKind::mean, n.mul(centred, centred), over);
  v = n.div(centred,
            n.sqrt(n.addScalar(variance, n.getFloat("epsilon", 1e-5f))));
  v = n.mul(n.reshape(v, dims), n.cast(perChannel(n.in(1)), f32));
  v = n.add(v, n.cast(perChannel(n.in(2)), f32));
  if (n.getInt("activation", 0) == 1)
    v = n.make<SiluOp>({v});
  n.out(0, n.cast(v, type));
}

/// LayerNormalization as onnxruntime's tools write it into older opsets.
static void layerNormalization(NodeImporter &n) {
  if (n.requireInputs({0, 1}))
    n.out(0, importAs(n, "LayerNormalization", {n.in(0), n.in(1), n.in(2)}));
  if (n.wants(1) || n.wants(2))
    normStatistics(n, widen(n, n.in(0)), n.getFloat("epsilon", 1e-5f), false);
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
  Type type = NodeImporter::elem(n.in(2));
  Value sum = widen(n, n.gather(n.in(2), ids, 0));
  Value position = n.has(8) ? n.in(8) : n.iota(dims[1], n.builder.getI64Type());
  Value positions = widen(n, n.gather(n.in(3), position, 0));
  if (n.rank(position) == 1)
    positions = n.unsqueeze(positions, {0});
  sum = n.add(sum, positions);
  if (n.has(4) && n.has(1))
    sum = n.add(sum, widen(n, n.gather(n.in(4), n.in(1), 0)));
  n.out(0, n.cast(n.layerNorm(sum, widen(n, n.in(5)), widen(n, n.in(6)),
                              n.getFloat("epsilon", 1e-12f), 1),
                  type));
  Type i32 = n.builder.getI32Type();
  if (n.has(7)) // how many ones
    n.out(1, n.reduce(ReduceKind::sum,
                      n.cast(n.compareScalar(CompareKind::eq, n.in(7), 1), i32),
                      {1}, false));
  else if (n.wants(1))
    n.out(1, n.broadcast(n.scalar(0, i32), {dims[0]}));
  n.out(2, n.cast(sum, type));
}

namespace {
/// A rotary embedding's input as heads [B, H, S, D].
struct RotaryInput {
  Value heads;
  bool merged; // it was [B, S, H*D]
  int64_t rotated;
};
} // namespace

static std::optional<RotaryInput> readRotary(NodeImporter &n) {
  Value x = n.in(0);
  std::optional<int64_t> half = staticDim(n, n.in(2), 1, "the cos cache");
  if (!half)
    return std::nullopt;
  bool merged = n.rank(x) == 3;
  if (merged) {
    int64_t heads = n.getInt("num_heads", 0);
    std::optional<int64_t> hidden = staticDim(n, x, 2, "the hidden size");
    if (!hidden)
      return std::nullopt;
    if (heads == 0)
      heads = *hidden / std::max<int64_t>(2 * *half, 1);
    x = splitHeads(n, x, heads);
  }
  if (n.rank(x) != 4) {
    n.error("expected an input of rank 3 or 4");
    return std::nullopt;
  }
  int64_t rotary = n.getInt("rotary_embedding_dim", 0);
  return RotaryInput{x, merged, rotary ? rotary : 2 * *half};
}

static void finishRotary(NodeImporter &n, const RotaryInput &input, Value cos,
                         Value sin) {
  Value y = rotate(n, input.heads, cos, sin, input.rotated,
                   n.getInt("interleaved", 0));
  n.out(0, input.merged ? mergeHeads(n, y) : y);
}

/// position_ids [1] is the position of the first token; [B, S] says each.
static void rotaryEmbedding(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2, 3}))
    return;
  std::optional<RotaryInput> input = readRotary(n);
  if (!input || n.failed())
    return;
  Value ids = n.in(1);
  if (n.rank(ids) == 1) {
    Value offset = n.iota(n.dims(input->heads)[2], NodeImporter::elem(ids));
    ids = n.unsqueeze(n.add(offset, n.reshape(ids, {})), {0});
  }
  finishRotary(n, *input, n.unsqueeze(n.gather(n.in(2), ids, 0), {1}),
               n.unsqueeze(n.gather(n.in(3), ids, 0), {1}));
}

/// Three positions per token [3, B, S] (time, height, width), each for its
/// section of the rotated pairs: contiguous, or taking turns.
static void multimodalRotary(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2, 3}))
    return;
  std::optional<RotaryInput> input = readRotary(n);
  Ints sections = n.getInts("mrope_section").value_or(Ints());
  Value ids = n.in(1);
  if (!input || n.failed())
    return;
  if (sections.size() != 3 || n.rank(ids) != 3) {
    n.error("expected three mrope_sections and position_ids [3, batch, seq]");
    return;
  }
  Type i64 = n.builder.getI64Type();
  Value pair = n.iota(n.dims(n.in(2))[1], i64);
  Value isHeight, isWidth;
  if (n.getInt("mrope_layout", 0) == 0) {
    Value start = n.compareScalar(CompareKind::ge, pair, sections[0]);
    isWidth = n.compareScalar(CompareKind::ge, pair, sections[0] + sections[1]);
    isHeight = n.andOp(start, n.notOp(isWidth));
  } else {
    Value turn = n.make<ModOp>({pair, n.scalar(3, i64)});
    auto takes = [&](int64_t which) {
      return n.andOp(
          n.compareScalar(CompareKind::eq, turn, which),
          n.compareScalar(CompareKind::lt, pair, 3 * sections[which]));
    };
    isHeight = takes(1);
    isWidth = takes(2);
  }
  auto table = [&](Value cache) {
    auto at = [&](int64_t which) {
      Value own = n.squeeze(n.slice(ids, 0, SymExpr(which), SymExpr(1)), {0});
      return n.gather(cache, own, 0);
    };
    return n.unsqueeze(
        n.select(isWidth, at(2), n.select(isHeight, at(1), at(0))), {1});
  };
  finishRotary(n, *input, table(n.in(2)), table(n.in(3)));
}

/// emb [B,S,D]: q and k, and both with their halves turned, as
/// x * cos + turned * sin.
static void gemmaRotary(NodeImporter &n) {
  if (!n.requireInputs({0, 1, 2, 3, 4}))
    return;
  Type type = NodeImporter::elem(n.in(1));
  Value emb = widen(n, n.unsqueeze(n.in(0), {1}));
  Value cos = n.cast(n.make<CosOp>({emb}), stepType(type));
  Value sin = n.cast(n.make<SinOp>({emb}), stepType(type));
  for (unsigned i = 0; i < 2; ++i)
    n.out(i, n.cast(n.add(n.mul(widen(n, n.in(1 + 2 * i)), cos),
                          n.mul(widen(n, n.in(2 + 2 * i)), sin)),
                    type));
}

//===----------------------------------------------------------------------===//
// QEmbedLayerNormalization
//===----------------------------------------------------------------------===//

/// Tables of bytes; rows are gathered, then scaled.
static void qEmbedLayerNorm(NodeImporter &n) {
  // input_ids, segment_ids, word, position and segment tables, gamma, beta,
  // mask, their five scales, their five zero points
  if (!n.requireInputs({0, 2, 3, 5, 6, 8, 9, 11, 12}))
    return;
  Type f32 = n.builder.getF32Type();
  auto real = [&](Value v, unsigned which) {
    return dequantize(n, v, n.in(8 + which), n.in(13 + which), 0, 0, f32);
  };
  Value ids = n.in(0);
  Dims dims = n.dims(ids);
  if (dims.size() != 2 || n.rank(n.in(3)) != 2) {
    n.error("expected input_ids and a position table of rank 2");
    return;
  }
  Value sum = real(n.gather(n.in(2), ids, 0), 0);
  sum = n.add(sum, real(n.slice(n.in(3), 0, SymExpr(0), dims[1]), 1));
  if (n.has(1) && n.has(4) && n.has(10))
    sum = n.add(sum, real(n.gather(n.in(4), n.in(1), 0), 2));
  n.out(0, n.layerNorm(sum, real(n.in(5), 3), real(n.in(6), 4),
                       n.getFloat("epsilon", 1e-12f), 1));
  Type i32 = n.builder.getI32Type();
  if (n.has(7))
    n.out(1, n.reduce(ReduceKind::sum,
                      n.cast(n.compareScalar(CompareKind::eq, n.in(7), 1), i32),
                      {1}, false));
  else if (n.wants(1))
    n.out(1, n.broadcast(n.scalar(0, i32), {dims[0]}));
}

void registerContribNorm(Registry &r) {
  const char *ms = "com.microsoft";
  r.add(ms, "SkipLayerNormalization", 1, skipNorm<false>);
  r.add(ms, "SkipSimplifiedLayerNormalization", 1, skipNorm<true>);
  r.add(ms, "SimplifiedLayerNormalization", 1, simplifiedNorm);
  r.add(ms, "LayerNormalization", 1, layerNormalization);
  r.add(ms, "GatedRMSNorm", 1, gatedRmsNorm);
  r.add(ms, "GroupNorm", 1, groupNorm<false>);
  r.add(ms, "SkipGroupNorm", 1, groupNorm<true>);
  r.add(ms, "EmbedLayerNormalization", 1, embedLayerNorm);
  r.add(ms, "QEmbedLayerNormalization", 1, qEmbedLayerNorm);
  r.add(ms, "RotaryEmbedding", 1, rotaryEmbedding);
  r.add(ms, "MRotaryEmbedding", 1, multimodalRotary);
  r.add(ms, "GemmaRotaryEmbedding", 1, gemmaRotary);
}

} // namespace tenon::onnximport
