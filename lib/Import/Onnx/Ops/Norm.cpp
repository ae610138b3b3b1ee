//===- Norm.cpp - normalisations and softmax ------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Abs.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include "lib/Import/Onnx/Node/Steps.h"
#include "llvm/ADT/STLExtras.h"
#include <numeric>

using namespace mlir;

namespace tenon::onnximport {

static Ints range(int64_t from, int64_t to) {
  Ints axes;
  for (int64_t i = from; i < to; ++i)
    axes.push_back(i);
  return axes;
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

/// softmax or log_softmax over one axis, which becomes the last dim.
static Value softmaxOver(NodeImporter &n, Value x, int64_t axis, bool log) {
  int64_t rank = n.rank(x);
  Ints perm = range(0, rank);
  std::swap(perm[axis], perm[rank - 1]); // its own inverse
  SmallVector<NamedAttribute> attrs;
  if (log)
    attrs.push_back(n.flag("log"));
  return n.transpose(n.make<SoftmaxOp>({n.transpose(x, perm)}, attrs), perm);
}

/// 1 at the first largest element of the axis, 0 elsewhere.
static Value hardmaxOver(NodeImporter &n, Value x, int64_t axis) {
  Type i64 = n.builder.getI64Type();
  Value best = n.make<ArgReduceOp>(
      {x},
      {n.named("axis", n.builder.getI64IntegerAttr(axis)), n.flag("keepdims")});
  Dims dims = n.dims(x);
  Dims along(dims.size(), SymExpr(1));
  along[axis] = dims[axis];
  Value position = n.reshape(n.iota(dims[axis], i64), along);
  return n.cast(n.compare(CompareKind::eq, position, best),
                NodeImporter::elem(x));
}

enum class SoftmaxKind { Softmax, LogSoftmax, Hardmax };

static Value softmaxKind(NodeImporter &n, Value x, int64_t axis,
                         SoftmaxKind kind) {
  return kind == SoftmaxKind::Hardmax
             ? hardmaxOver(n, x, axis)
             : softmaxOver(n, x, axis, kind == SoftmaxKind::LogSoftmax);
}

template <SoftmaxKind kind>
static void softmax(NodeImporter &n) {
  Value x = n.in(0);
  if (n.rank(x) == 0) {
    n.error("expected an input of rank 1 or more, found a scalar");
    return;
  }
  int64_t axis = n.axis(n.getInt("axis", -1), n.rank(x));
  if (!n.failed())
    n.out(0, softmaxKind(n, x, axis, kind));
}

/// Before opset 13 the input is seen as a matrix, split before `axis`.
template <SoftmaxKind kind>
static void softmaxFlat(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  int64_t rank = dims.size(), axis = n.getInt("axis", 1);
  axis = axis < 0 ? axis + rank : axis;
  if (axis < 0 || axis > rank) {
    n.error("axis " + Twine(n.getInt("axis", 1)) + " is outside the rank " +
            Twine(rank));
    return;
  }
  if (rank > 0 && axis == rank - 1) {
    n.out(0, softmaxKind(n, x, axis, kind));
    return;
  }
  ArrayRef<SymExpr> all(dims);
  Value flat = n.reshape(
      x, {productOf(all.take_front(axis)), productOf(all.drop_front(axis))});
  n.out(0, n.reshape(softmaxKind(n, flat, 1, kind), dims));
}

//===----------------------------------------------------------------------===//
// LayerNormalization, RMSNormalization
//===----------------------------------------------------------------------===//

/// A scale or bias as the dialect wants it: exactly the normalised dims.
static Value fit(NodeImporter &n, Value v, ArrayRef<SymExpr> dims) {
  if (!v)
    return v;
  Dims own = n.dims(v);
  while (own.size() > dims.size() && own.front() == SymExpr(1))
    own.erase(own.begin());
  return n.broadcast(n.reshape(v, own), dims);
}

/// v - mean over `axes`. The mean of what is left takes away how far the first
/// one, a float, is off: more than all elements' spread, where they lie far
/// from zero.
static Value centre(NodeImporter &n, Value v, ArrayRef<int64_t> axes) {
  Value near = n.sub(v, n.reduce(ReduceKind::mean, v, axes));
  return n.sub(near, n.reduce(ReduceKind::mean, near, axes));
}

static void layerNorm(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  int64_t rank = dims.size(), axis = n.axis(n.getInt("axis", -1), rank);
  if (n.failed())
    return;
  ArrayRef<SymExpr> normalised = ArrayRef<SymExpr>(dims).drop_front(axis);
  double epsilon = n.getFloat("epsilon", 1e-5f);
  n.out(0, n.layerNorm(x, fit(n, n.in(1), normalised),
                       fit(n, n.in(2), normalised), epsilon, rank - axis));
  if (!n.wants(1) && !n.wants(2))
    return;
  Type stash = n.builder.getF32Type();
  Value wide = n.getInt("stash_type", 1) == 1 ? n.cast(x, stash) : x;
  Value mean = n.reduce(ReduceKind::mean, wide, range(axis, rank));
  Value centred = centre(n, wide, range(axis, rank));
  Value variance =
      n.reduce(ReduceKind::mean, n.mul(centred, centred), range(axis, rank));
  n.out(1, mean);
  n.out(2, n.make<ReciprocalOp>({n.sqrt(n.addScalar(variance, epsilon))}));
}

static void rmsNorm(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  int64_t rank = dims.size(), axis = n.axis(n.getInt("axis", -1), rank);
  if (n.failed())
    return;
  ArrayRef<SymExpr> normalised = ArrayRef<SymExpr>(dims).drop_front(axis);
  n.out(0, n.rmsNorm(x, fit(n, n.in(1), normalised),
                     n.getFloat("epsilon", 1e-5f), rank - axis));
}

//===----------------------------------------------------------------------===//
// Normalisations over channels and space
//===----------------------------------------------------------------------===//

/// [C] as [C, 1, ...] so that it meets dim 1 of an input of `rank`. What has a
/// value per element of a sample (spatial = 0 before opset 9) stays.
static Value perChannel(NodeImporter &n, Value v, int64_t rank) {
  if (!v || n.rank(v) > 1)
    return v;
  Dims dims(rank - 1, SymExpr(1));
  dims[0] = productOf(n.dims(v));
  return n.reshape(v, dims);
}

/// Training mode: the batch's own mean and variance, which go into the running
/// ones. Says what the other outputs are and gives mean and variance.
static std::pair<Value, Value> batchStatistics(NodeImporter &n) {
  Value x = n.in(0);
  Ints axes = range(2, n.rank(x));
  if (n.getInt("spatial", 1) == 0)
    axes.clear();
  axes.insert(axes.begin(), 0);
  Type type = NodeImporter::elem(n.in(3));
  Value wide = n.cast(x, stepType(type));
  Value centred = centre(n, wide, axes);
  Value mean = n.reduce(ReduceKind::mean, wide, axes, /*keepdims=*/false);
  Value variance = n.reduce(ReduceKind::mean, n.mul(centred, centred), axes,
                            /*keepdims=*/false);
  double momentum = n.getFloat("momentum", 0.9f);
  auto running = [&](Value old, Value fresh) {
    Value sum =
        n.add(n.mulScalar(n.cast(old, NodeImporter::elem(fresh)), momentum),
              n.mulScalar(fresh, 1 - momentum));
    return n.cast(sum, type);
  };
  if (n.wants(1))
    n.out(1, running(n.in(3), mean));
  if (n.wants(2))
    n.out(2, running(n.in(4), variance));
  n.out(3, n.cast(mean, type)); // before opset 14
  n.out(4, n.cast(variance, type));
  return {mean, variance};
}

/// Whether the node asks for training mode, which each opset says in its way.
static bool isTraining(NodeImporter &n) {
  if (n.opset >= 14)
    return n.getInt("training_mode", 0);
  return n.opset < 7 ? !n.getInt("is_test", 0) : n.wants(1);
}

static void batchNorm(NodeImporter &n) {
  Value x = n.in(0);
  int64_t rank = n.rank(x);
  if (rank < 2) {
    n.error("expected an input of rank 2 or more, found " + Twine(rank));
    return;
  }
  Value mean = widen(n, n.in(3)), var = widen(n, n.in(4));
  if (isTraining(n))
    std::tie(mean, var) = batchStatistics(n);
  Type type = NodeImporter::elem(mean);
  Value gain = n.cast(n.in(1), type), bias = n.cast(n.in(2), type);
  Value variance = n.addScalar(var, n.getFloat("epsilon", 1e-5f));
  // One multiplication and one addition per element.
  Value scale = n.div(gain, n.sqrt(variance));
  Value shift = n.sub(bias, n.mul(mean, scale));
  auto along = [&](Value v) {
    return n.cast(perChannel(n, v, rank), stepType(x));
  };
  Value y = n.add(n.mul(widen(n, x), along(scale)), along(shift));
  n.out(0, n.cast(y, NodeImporter::elem(x)));
}

static void instanceNorm(NodeImporter &n) {
  Value x = n.in(0);
  int64_t rank = n.rank(x);
  if (rank < 3) {
    n.error("expected an input of rank 3 or more, found " + Twine(rank));
    return;
  }
  Value y = n.layerNorm(x, {}, {}, n.getFloat("epsilon", 1e-5f), rank - 2);
  y = n.mul(y, perChannel(n, n.in(1), rank));
  n.out(0, n.add(y, perChannel(n, n.in(2), rank)));
}

/// Scale and bias are per group before opset 21, per channel from then on.
static void groupNorm(NodeImporter &n) {
  Value x = n.in(0);
  Dims dims = n.dims(x);
  int64_t rank = dims.size(), groups = n.getInt("num_groups", 0);
  std::optional<SymExpr> inGroup;
  if (rank >= 2 && groups > 0) {
    inGroup = dims[1].divideExactly(SymExpr(groups));
    if (!inGroup && !dims[1].isConstant()) {
      inGroup = SymExpr::apply(SymExpr::Fn::FloorDiv, dims[1], groups);
      n.checkEqual(dims[1], *inGroup * SymExpr(groups));
    }
  }
  if (!inGroup) {
    n.error("num_groups must divide the channels, found " + Twine(groups));
    return;
  }
  Type original = NodeImporter::elem(x);
  Dims grouped = {dims[0], SymExpr(groups), *inGroup};
  grouped.append(dims.begin() + 2, dims.end());
  Value v = n.layerNorm(widen(n, n.reshape(x, grouped)), {}, {},
                        n.getFloat("epsilon", 1e-5f), rank - 1);
  Type wide = stepType(original);
  Value scale = n.cast(n.in(1), wide), bias = n.cast(n.in(2), wide);
  if (n.opset < 21) {
    v = n.mul(v, perChannel(n, scale, rank + 1));
    v = n.reshape(n.add(v, perChannel(n, bias, rank + 1)), dims);
  } else {
    v = n.mul(n.reshape(v, dims), perChannel(n, scale, rank));
    v = n.add(v, perChannel(n, bias, rank));
  }
  n.out(0, n.cast(v, original));
}

static void lpNorm(NodeImporter &n) {
  Value x = n.in(0);
  int64_t axis = n.axis(n.getInt("axis", -1), n.rank(x)), p = n.getInt("p", 2);
  if (p != 1 && p != 2) {
    n.error("p must be 1 or 2, found " + Twine(p));
    return;
  }
  Value norm = p == 1 ? n.reduce(ReduceKind::sum, n.make<AbsOp>({x}), {axis})
                      : n.sqrt(n.reduce(ReduceKind::sum, n.mul(x, x), {axis}));
  // ONNX gives 0 where the norm is 0.
  Value zero = n.scalarLike(0, x);
  Value none = n.compare(CompareKind::eq, norm, zero);
  n.out(0, n.select(none, zero, n.div(x, norm)));
}

static void meanVarianceNorm(NodeImporter &n) {
  Value x = n.in(0);
  Ints axes = n.axes(n.getInts("axes").value_or(Ints{0, 2, 3}), n.rank(x));
  Value centred = centre(n, x, axes);
  Value variance = n.reduce(ReduceKind::mean, n.mul(centred, centred), axes);
  n.out(0, n.div(centred, n.addScalar(n.sqrt(variance), 1e-9)));
}

void registerNorm(Registry &r) {
  r.add("Softmax", 1, softmaxFlat<SoftmaxKind::Softmax>);
  r.add("Softmax", 13, softmax<SoftmaxKind::Softmax>);
  r.add("LogSoftmax", 1, softmaxFlat<SoftmaxKind::LogSoftmax>);
  r.add("LogSoftmax", 13, softmax<SoftmaxKind::LogSoftmax>);
  r.add("Hardmax", 1, softmaxFlat<SoftmaxKind::Hardmax>);
  r.add("Hardmax", 13, softmax<SoftmaxKind::Hardmax>);
  r.add("LayerNormalization", 1, layerNorm);
  r.add("RMSNormalization", 23, rmsNorm);
  r.add("BatchNormalization", batchNorm);
  r.add("InstanceNormalization", instanceNorm);
  r.add("GroupNormalization", 18, groupNorm);
  r.add("LpNormalization", lpNorm);
  r.add("MeanVarianceNormalization", meanVarianceNorm);
}

} // namespace tenon::onnximport
