//===- Dropout.cpp - dropping elements at random --------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Inference passes the data on. In training mode an element stays where a
// number in [0, 1) is at least the ratio (Random.h).
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonLogic.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include "lib/Import/Onnx/Ops/Random.h"

using namespace mlir;

namespace tenon::onnximport {

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
