//===- Random.cpp - random numbers ----------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// ONNX leaves the generator open. Here a number is a hash of where it stands,
// so that a run has no state, and its results are the same bits every time.
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Ops/Random.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include <cmath>

using namespace mlir;

namespace tenon::onnximport {

/// What tells this node's numbers from another's.
static uint32_t seedOf(NodeImporter &n, unsigned stream) {
  uint32_t seed = 2166136261u; // FNV-1a
  auto mix = [&](StringRef bytes) {
    for (char c : bytes)
      seed = (seed ^ uint8_t(c)) * 16777619u;
  };
  mix(n.outputName(0));
  double given = n.getFloat("seed", NAN); // an int or a float
  mix(std::isnan(given) ? std::to_string(n.getInt("seed", 0))
                        : std::to_string(given));
  if (stream)
    mix(std::to_string(stream));
  return seed;
}

Value uniform(NodeImporter &n, ArrayRef<SymExpr> dims, unsigned stream) {
  // A body's copies would all draw the same.
  if (isa<LoopOp>(n.builder.getInsertionBlock()->getParentOp()))
    return n.error("random numbers inside a loop need a number of iterations "
                   "that is known when compiling, and small");
  Type u32 = n.builder.getIntegerType(32, /*isSigned=*/false);
  Value h = n.cast(n.iota(productOf(dims), n.builder.getI64Type()), u32);
  auto shifted = [&](Value v, int bits) {
    return n.make<ShrOp>({v, n.scalar(bits, u32)});
  };
  auto scrambled = [&](Value v, int bits, uint32_t factor) {
    return n.mulScalar(n.make<BitXorOp>({v, shifted(v, bits)}), factor);
  };
  // Multiplications and shifts that change half of the bits per input bit.
  h = n.addScalar(n.mulScalar(h, 0x9e3779b9u), seedOf(n, stream));
  h = scrambled(h, 16, 0x7feb352du);
  h = scrambled(h, 15, 0x846ca68bu);
  h = n.make<BitXorOp>({h, shifted(h, 16)});
  Value fraction = n.cast(shifted(h, 8), n.builder.getF32Type());
  return n.reshape(n.mulScalar(fraction, 0x1p-24), dims);
}

namespace {

constexpr double kTwoPi = 6.283185307179586;

/// -log(u) of a number in (0, 1].
Value negLog(NodeImporter &n, Value u) {
  return n.mulScalar(n.log(n.sub(n.scalarLike(1, u), u)), -1);
}

/// Mean 0, deviation 1 (Box and Muller 1958).
Value normal(NodeImporter &n, ArrayRef<SymExpr> dims) {
  Value r = n.sqrt(n.mulScalar(negLog(n, uniform(n, dims, 1)), 2));
  Value angle = n.mulScalar(uniform(n, dims, 2), kTwoPi);
  return n.mul(r, n.make<CosOp>({angle}));
}

/// The element type that `dtype` names; `otherwise` where it is absent.
Type drawnType(NodeImporter &n, Type otherwise) {
  return n.hasAttr("dtype") ? n.elementType(n.getInt("dtype", 1)) : otherwise;
}

Value scaled(NodeImporter &n, bool isNormal, ArrayRef<SymExpr> dims) {
  if (isNormal)
    return n.addScalar(n.mulScalar(normal(n, dims), n.getFloat("scale", 1)),
                       n.getFloat("mean", 0));
  double low = n.getFloat("low", 0), high = n.getFloat("high", 1);
  return n.addScalar(n.mulScalar(uniform(n, dims), high - low), low);
}

template <bool isNormal>
void random(NodeImporter &n) {
  Ints shape = n.getInts("shape").value_or(Ints());
  for (int64_t dim : shape)
    if (dim < 0)
      n.error("shape has a dim of " + Twine(dim));
  Type type = drawnType(n, n.builder.getF32Type());
  if (!n.failed())
    n.out(0,
          n.cast(scaled(n, isNormal, Dims(shape.begin(), shape.end())), type));
}

template <bool isNormal>
void randomLike(NodeImporter &n) {
  Type type = drawnType(n, NodeImporter::elem(n.in(0)));
  if (!n.failed())
    n.out(0, n.cast(scaled(n, isNormal, n.dims(n.in(0))), type));
}

void bernoulli(NodeImporter &n) {
  Value p = n.in(0);
  Type type = drawnType(n, NodeImporter::elem(p));
  if (n.failed())
    return;
  // 1 with the probability p: of p = 1 always.
  Value draw = uniform(n, n.dims(p));
  p = n.cast(p, n.builder.getF32Type());
  n.out(0, n.cast(n.compare(CompareKind::lt, draw, p), type));
}

/// The largest of log-probabilities to which Gumbel's noise is added is a draw
/// from them.
void multinomial(NodeImporter &n) {
  Value logits = n.in(0);
  int64_t samples = n.getInt("sample_size", 1);
  Type type = drawnType(n, n.builder.getI32Type());
  if (n.rank(logits) != 2)
    n.error("expected [batch, classes], found rank " + Twine(n.rank(logits)));
  if (samples < 0)
    n.error("sample_size is " + Twine(samples));
  if (n.failed())
    return;
  Dims from = n.dims(logits), dims = {from[0], SymExpr(samples), from[1]};
  // Never 0, whose logarithm has none.
  Value u = n.addScalar(n.mulScalar(uniform(n, dims), 1 - 0x1p-23), 0x1p-25);
  Value noise = n.mulScalar(n.log(n.mulScalar(n.log(u), -1)), -1);
  Value noisy =
      n.add(n.cast(n.unsqueeze(logits, {1}), n.builder.getF32Type()), noise);
  Value best = n.make<ArgReduceOp>(
      {noisy}, {n.named("axis", n.builder.getI64IntegerAttr(2))});
  n.out(0, n.cast(n.failed() ? nullptr : n.reshape(best, {dims[0], dims[1]}),
                  type));
}

} // namespace

void registerRandom(Registry &r) {
  r.add("RandomNormal", random<true>);
  r.add("RandomNormalLike", randomLike<true>);
  r.add("RandomUniform", random<false>);
  r.add("RandomUniformLike", randomLike<false>);
  r.add("Bernoulli", 15, bernoulli);
  r.add("Multinomial", 7, multinomial);
}

} // namespace tenon::onnximport
