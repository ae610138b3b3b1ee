//===- AttentionSteps.cpp - what all attention operators share ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Import/Onnx/Node/Steps.h"
#include "lib/Import/Onnx/Ops/Attention.h"
#include <cmath>
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

/// a / b, which a check before each run finds exact where that is not certain.
static std::optional<SymExpr> exactQuotient(NodeImporter &n, const SymExpr &a,
                                            const SymExpr &b) {
  if (std::optional<SymExpr> exact = a.divideExactly(b))
    return exact;
  if (a.isConstant() && b.isConstant())
    return std::nullopt;
  SymExpr quotient = SymExpr::apply(SymExpr::Fn::FloorDiv, a, b);
  n.checkEqual(a, quotient * b);
  return quotient;
}

Value scaleQueries(NodeImporter &n, Value q, double scale) {
  if (!q || scale != 0)
    return n.mulScalar(q, scale);
  SymExpr size = n.dims(q).back();
  if (std::optional<int64_t> constant = size.constant())
    return n.mulScalar(q,
                       1 / std::sqrt(double(std::max<int64_t>(*constant, 1))));
  Value root = n.sqrt(
      n.cast(n.dimScalar(size, n.builder.getI64Type()), NodeImporter::elem(q)));
  return n.div(q, root);
}

Value splitHeads(NodeImporter &n, Value x, int64_t heads) {
  if (!x)
    return x;
  Dims d = n.dims(x);
  if (d.size() != 3 || heads <= 0)
    return n.error("expected [batch, seq, heads*size] and a number of heads, "
                   "found rank " +
                   Twine(d.size()) + " and " + Twine(heads) + " heads");
  std::optional<SymExpr> size = exactQuotient(n, d[2], SymExpr(heads));
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

/// How many query heads share a key head; nullopt after an error.
static std::optional<SymExpr> groupSize(NodeImporter &n, Value q, Value k) {
  Dims dq = n.dims(q), dk = n.dims(k);
  if (dq.size() != 4 || dk.size() != 4) {
    n.error("expected operands of rank 4");
    return std::nullopt;
  }
  if (dq[1] == dk[1])
    return SymExpr(1);
  std::optional<SymExpr> group = exactQuotient(n, dq[1], dk[1]);
  if (!group)
    n.error("the number of key heads must divide the number of query heads: "
            "found " +
            dk[1].str() + " and " + dq[1].str());
  return group;
}

/// Key or value heads, each as often as query heads share it; null after an
/// error. The compiler follows the repetition by addressing.
static Value repeatHeads(NodeImporter &n, Value q, Value k) {
  std::optional<SymExpr> group = groupSize(n, q, k);
  if (!group || *group == SymExpr(1))
    return group ? k : nullptr;
  Dims d = n.dims(k);
  Value apart = n.reshape(k, {d[0], d[1], SymExpr(1), d[2], d[3]});
  Value repeated = n.broadcast(apart, {d[0], d[1], *group, d[2], d[3]});
  return n.reshape(repeated, {d[0], d[1] * *group, d[2], d[3]});
}

Value groupedScores(NodeImporter &n, Value q, Value k) {
  if (!q || !k)
    return nullptr;
  Value heads = repeatHeads(n, q, k);
  return heads ? n.matmul(q, heads, false, /*transposeB=*/true) : nullptr;
}

Value groupedOutput(NodeImporter &n, Value p, Value v) {
  if (!p || !v)
    return nullptr;
  Value heads = repeatHeads(n, p, v);
  return heads ? n.matmul(p, heads) : nullptr;
}

std::optional<SymExpr> knownScalar(NodeImporter &n, Value v) {
  const KnownValue *known = v ? n.state.known.demand(v) : nullptr;
  if (known && known->elements.size() == 1)
    return known->elements[0];
  return std::nullopt;
}

Value appendRows(NodeImporter &n, Value old, Value fresh, Value rows,
                 int64_t axis, const SymExpr &length) {
  if (!old || !fresh || !rows)
    return nullptr;
  return n.make<AppendOp>(
      {old, fresh, rows},
      {n.named("axis", n.builder.getI64IntegerAttr(axis)),
       n.named("length", n.builder.getStringAttr(length.str()))});
}

Value appendKeys(NodeImporter &n, Value old, Value fresh, Value past,
                 const SymExpr &length, Value until) {
  if (!old || !fresh || !past)
    return nullptr;
  Type i64 = n.builder.getI64Type();
  Dims oldDims = n.dims(old), d = n.dims(fresh);
  if (oldDims.size() != 4 || d.size() != 4)
    return n.error("expected a past of rank 4, found rank " +
                   Twine(oldDims.size()));
  Value rows = n.add(n.unsqueeze(past, {1}), n.iota(d[2], i64));
  if (until) // rows outside are left alone
    rows = n.select(n.compare(CompareKind::lt, rows, n.unsqueeze(until, {1})),
                    rows, n.scalarLike(-1, rows));
  return appendRows(n, old, fresh, rows, 2, length);
}

double lowestFinite(Type type) {
  return APFloat::getLargest(mlir::cast<FloatType>(type).getFloatSemantics(),
                             /*Negative=*/true)
      .convertToDouble();
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
  if (!x || !cos || !sin)
    return nullptr;
  if (n.rank(x) != 4)
    return n.error("expected heads of rank 4");
  SymExpr size = n.dims(x)[3], part = rotary ? SymExpr(rotary) : size;
  std::optional<SymExpr> half = exactQuotient(n, part, SymExpr(2));
  if (!half || rotary < 0 || (size.isConstant() && rotary > *size.constant()))
    return n.error("the rotated part must be even and at most the head size "
                   "of " +
                   size.str() + ", found " + part.str());
  n.checkNonNegative(size - part);
  Value head = n.slice(x, 3, SymExpr(0), part);
  Value x1 = interleaved ? everySecond(n, head, 0, *half)
                         : n.slice(head, 3, SymExpr(0), *half);
  Value x2 = interleaved ? everySecond(n, head, 1, *half)
                         : n.slice(head, 3, *half, *half);
  // Rounded once, after both products.
  Type type = NodeImporter::elem(x);
  x1 = widen(n, x1);
  x2 = widen(n, x2);
  cos = n.cast(cos, stepType(type));
  sin = n.cast(sin, stepType(type));
  Value real = n.cast(n.sub(n.mul(x1, cos), n.mul(x2, sin)), type);
  Value imaginary = n.cast(n.add(n.mul(x1, sin), n.mul(x2, cos)), type);
  Value rotated;
  if (interleaved)
    rotated = n.reshape(
        n.concat({n.unsqueeze(real, {4}), n.unsqueeze(imaginary, {4})}, 4),
        n.dims(head));
  else
    rotated = n.reshape(n.concat({real, imaginary}, 3), n.dims(head));
  if (part == size)
    return rotated;
  Value rest = n.slice(x, 3, part, size - part);
  return n.concat({rotated, rest}, 3);
}

} // namespace tenon::onnximport
