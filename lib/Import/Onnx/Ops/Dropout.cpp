//===- Dropout.cpp - dropping elements at random --------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Inference passes the data on. In training mode an element stays where a
// number in [0, 1) is at least the ratio; the numbers are a hash of the
// element's position, the seed and the node, the same in each run.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonLogic.h"
#include "lib/Import/Onnx/Node/Registry.h"

using namespace mlir;

namespace tenon::onnximport {

/// What tells this node's numbers from another's.
static uint32_t seedOf(NodeImporter &n) {
  uint32_t seed = 2166136261u; // FNV-1a
  auto mix = [&](StringRef bytes) {
    for (char c : bytes)
      seed = (seed ^ uint8_t(c)) * 16777619u;
  };
  mix(n.numOutputs() ? n.proto.output(0) : "");
  mix(std::to_string(n.getInt("seed", 0)));
  return seed;
}

/// An f32 in [0, 1) for each element of `dims`.
static Value uniform(NodeImporter &n, ArrayRef<SymExpr> dims) {
  Type u32 = n.builder.getIntegerType(32, /*isSigned=*/false);
  Value h = n.cast(n.iota(productOf(dims), n.builder.getI64Type()), u32);
  auto shifted = [&](Value v, int bits) {
    return n.make<ShrOp>({v, n.scalar(bits, u32)});
  };
  auto scrambled = [&](Value v, int bits, uint32_t factor) {
    return n.mulScalar(n.make<BitXorOp>({v, shifted(v, bits)}), factor);
  };
  // Multiplications and shifts that change half of the bits per input bit.
  h = n.addScalar(n.mulScalar(h, 0x9e3779b9u), seedOf(n));
  h = scrambled(h, 16, 0x7feb352du);
  h = scrambled(h, 15, 0x846ca68bu);
  h = n.make<BitXorOp>({h, shifted(h, 16)});
  Value fraction = n.cast(shifted(h, 8), n.builder.getF32Type());
  return n.reshape(n.mulScalar(fraction, 0x1p-24), dims);
}

static void dropout(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  Type f32 = n.builder.getF32Type();
  bool training = n.opset < 7 && !n.getInt("is_test", 0);
  Value switched; // decides at run time
  if (n.has(2)) {
    std::optional<double> constant = NodeImporter::constScalar(n.in(2));
    training = !constant || *constant != 0;
    switched = constant ? Value() : n.reshape(n.in(2), {});
  }
  Value ratio = n.has(1) ? n.reshape(n.cast(n.in(1), f32), {})
                         : n.scalar(n.getFloat("ratio", 0.5), f32);
  if (NodeImporter::constScalar(ratio) == 0)
    training = false;
  Value keep, y = x;
  if (training) {
    keep = n.compare(CompareKind::ge, uniform(n, dims), ratio);
    if (switched)
      keep = n.make<OrOp>({keep, n.notOp(switched)});
    Value scale = n.div(n.scalar(1, f32), n.sub(n.scalar(1, f32), ratio));
    if (switched)
      scale = n.select(switched, scale, n.scalar(1, f32));
    y = n.select(keep, n.mul(x, n.cast(scale, NodeImporter::elem(x))),
                 n.scalarLike(0, x));
  } else if (n.wants(1)) {
    keep = n.broadcast(n.scalar(1, n.builder.getI1Type()), dims);
  }
  n.out(0, y);
  if (n.wants(1)) // of the data's type before opset 10
    n.out(1, n.opset < 10 ? n.cast(keep, NodeImporter::elem(x)) : keep);
}

void registerDropout(Registry &r) { r.add("Dropout", dropout); }

} // namespace tenon::onnximport
