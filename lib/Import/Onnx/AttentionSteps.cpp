//===- AttentionSteps.cpp - what all attention operators share ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Attention.h"
#include <limits>

using namespace mlir;

namespace tenon::onnximport {

std::optional<int64_t> staticDim(NodeImporter &n, Value v, int64_t axis,
                                 StringRef what) {
  Dims dims = n.dims(v);
  if (axis >= int64_t(dims.size())) {
    n.error(what + ": expected rank above " + Twine(axis) + ", found " +
            Twine(dims.size()));
    return std::nullopt;
  }
  if (!dims[axis].isConstant()) {
    n.error(what + " must be static, found " + dims[axis].str());
    return std::nullopt;
  }
  return dims[axis].constant();
}

Value splitHeads(NodeImporter &n, Value x, int64_t heads) {
  if (!x)
    return x;
  Dims d = n.dims(x);
  if (d.size() != 3 || heads <= 0)
    return n.error("expected [batch, seq, heads*size] and a number of heads, "
                   "found rank " +
                   Twine(d.size()) + " and " + Twine(heads) + " heads");
  std::optional<SymExpr> size = d[2].divideExactly(SymExpr(heads));
  if (!size)
    return n.error("the number of heads must divide the last dim: found " +
                   Twine(heads) + " and " + d[2].str());
  Value split = n.reshape(x, {d[0], d[1], SymExpr(heads), *size});
  return n.transpose(split, {0, 2, 1, 3});
}

Value mergeHeads(NodeImporter &n, Value x) {
  if (!x)
    return x;
  Dims d = n.dims(x);
  return n.reshape(n.transpose(x, {0, 2, 1, 3}), {d[0], d[2], d[1] * d[3]});
}

/// How many query heads share a key head; 0 after an error.
static int64_t groupSize(NodeImporter &n, Value q, Value k) {
  Dims dq = n.dims(q), dk = n.dims(k);
  if (dq.size() != 4 || dk.size() != 4) {
    n.error("expected operands of rank 4");
    return 0;
  }
  if (dq[1] == dk[1])
    return 1;
  std::optional<SymExpr> group = dq[1].divideExactly(dk[1]);
  if (!group || !group->isConstant() || *group->constant() <= 0) {
    n.error("the number of key heads must divide the number of query heads: "
            "found " +
            dk[1].str() + " and " + dq[1].str());
    return 0;
  }
  return *group->constant();
}

Value groupedScores(NodeImporter &n, Value q, Value k) {
  if (!q || !k)
    return nullptr;
  int64_t group = groupSize(n, q, k);
  if (group <= 1)
    return n.matmul(q, k, false, /*transposeB=*/true);
  Dims d = n.dims(q), dk = n.dims(k);
  Value folded = n.reshape(q, {d[0], dk[1], SymExpr(group) * d[2], d[3]});
  Value scores = n.matmul(folded, k, false, /*transposeB=*/true);
  return n.reshape(scores, {d[0], d[1], d[2], dk[2]});
}

Value groupedOutput(NodeImporter &n, Value p, Value v) {
  if (!p || !v)
    return nullptr;
  int64_t group = groupSize(n, p, v);
  if (group <= 1)
    return n.matmul(p, v);
  Dims d = n.dims(p), dv = n.dims(v);
  Value folded = n.reshape(p, {d[0], dv[1], SymExpr(group) * d[2], d[3]});
  return n.reshape(n.matmul(folded, v), {d[0], d[1], d[2], dv[3]});
}

Value applySoftcap(NodeImporter &n, Value x, double softcap) {
  if (softcap == 0)
    return x;
  Value cap = n.scalarLike(softcap, x);
  return n.mul(n.make<TanhOp>({n.div(x, cap)}), cap);
}

Value biasFromMask(NodeImporter &n, Value allowed, Type elementType,
                   double masked) {
  return n.select(allowed, n.scalar(0, elementType),
                  n.scalar(masked, elementType));
}

Value biasFromMask(NodeImporter &n, Value allowed, Type elementType) {
  return biasFromMask(n, allowed, elementType,
                      -std::numeric_limits<double>::infinity());
}

/// Every second element of the last dim, from `first` on.
static Value everySecond(NodeImporter &n, Value x, int64_t first,
                         const SymExpr &count) {
  if (!x)
    return x;
  Dims to = n.dims(x), starts(to.size(), SymExpr(0));
  Ints steps(to.size(), 1);
  to.back() = count;
  starts.back() = SymExpr(first);
  steps.back() = 2;
  return n.make<SliceOp>(
      {x}, {n.named("starts", n.dimsAttr(starts)),
            n.named("steps", n.builder.getDenseI64ArrayAttr(steps)),
            n.named("dims", n.dimsAttr(to))});
}

Value rotate(NodeImporter &n, Value x, Value cos, Value sin, int64_t rotary,
             bool interleaved) {
  std::optional<int64_t> size = staticDim(n, x, 3, "the head size");
  if (!size || !cos || !sin)
    return nullptr;
  if (rotary == 0)
    rotary = *size;
  if (rotary < 0 || rotary > *size || rotary % 2 != 0)
    return n.error("the rotated part must be even and at most the head size "
                   "of " +
                   Twine(*size) + ", found " + Twine(rotary));
  Value head = n.slice(x, 3, SymExpr(0), SymExpr(rotary));
  SymExpr half(rotary / 2);
  Value x1 = interleaved ? everySecond(n, head, 0, half)
                         : n.slice(head, 3, SymExpr(0), half);
  Value x2 = interleaved ? everySecond(n, head, 1, half)
                         : n.slice(head, 3, half, half);
  Value real = n.sub(n.mul(x1, cos), n.mul(x2, sin));
  Value imaginary = n.add(n.mul(x1, sin), n.mul(x2, cos));
  Value rotated;
  if (interleaved)
    rotated = n.reshape(n.concat({n.unsqueeze(real, {4}),
                                  n.unsqueeze(imaginary, {4})},
                                 4),
                        n.dims(head));
  else
    rotated = n.concat({real, imaginary}, 3);
  if (rotary == *size)
    return rotated;
  Value rest = n.slice(x, 3, SymExpr(rotary), SymExpr(*size - rotary));
  return n.concat({rotated, rest}, 3);
}

} // namespace tenon::onnximport
