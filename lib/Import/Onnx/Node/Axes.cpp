//===- Axes.cpp - axes known only at run time -----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Node/Axes.h"

using namespace mlir;

namespace tenon::onnximport {

using Fn = SymExpr::Fn;

RuntimeAxes::RuntimeAxes(NodeImporter &n, ArrayRef<SymExpr> given,
                         int64_t rank) {
  for (const SymExpr &axis : given) {
    if (std::optional<int64_t> constant = axis.constant()) {
      axes.push_back(SymExpr(n.axis(*constant, rank)));
      continue;
    }
    n.checkLessEqual(SymExpr(-rank), axis);
    n.checkLessEqual(axis, SymExpr(rank - 1));
    axes.push_back(SymExpr::apply(Fn::Mod, axis, SymExpr(rank)));
  }
  for (size_t i = 0; i < axes.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      SymExpr same = SymExpr::apply(Fn::Eq, axes[j], axes[i]);
      if (same == SymExpr(1))
        n.error("an axis is given twice");
      else
        n.checkEqual(same, SymExpr(0));
    }
}

SymExpr RuntimeAxes::has(int64_t dim) const {
  SymExpr count(0);
  for (const SymExpr &axis : axes)
    count = count + SymExpr::apply(Fn::Eq, axis, SymExpr(dim));
  return count;
}

SymExpr RuntimeAxes::countBelow(int64_t dim) const {
  SymExpr count(0);
  for (const SymExpr &axis : axes)
    count = count + SymExpr::apply(Fn::Lt, axis, SymExpr(dim));
  return count;
}

SymExpr RuntimeAxes::valueOf(int64_t dim, ArrayRef<SymExpr> values,
                             const SymExpr &otherwise) const {
  SymExpr result = otherwise;
  for (auto [axis, value] : llvm::zip(axes, values))
    result = SymExpr::select(SymExpr::apply(Fn::Eq, axis, SymExpr(dim)), value,
                             result);
  return result;
}

SymExpr RuntimeAxes::dimOf(size_t k, ArrayRef<SymExpr> dims) const {
  if (dims.empty())
    return SymExpr(1);
  SymExpr result = dims.back();
  for (size_t i = dims.size() - 1; i-- > 0;)
    result = SymExpr::select(
        SymExpr::apply(Fn::Eq, axes[k], SymExpr(int64_t(i))), dims[i], result);
  return result;
}

Dims RuntimeAxes::without(ArrayRef<SymExpr> dims) const {
  Dims result;
  for (size_t to = 0; to + axes.size() < dims.size(); ++to) {
    // The first dim with as many axes up to it as places were skipped.
    SymExpr dim = dims[to + axes.size()];
    for (size_t skipped = axes.size(); skipped-- > 0;)
      dim = SymExpr::select(SymExpr::apply(Fn::Eq, countBelow(to + skipped + 1),
                                           SymExpr(int64_t(skipped))),
                            dims[to + skipped], dim);
    result.push_back(dim);
  }
  return result;
}

Dims RuntimeAxes::with(ArrayRef<SymExpr> dims) const {
  Dims result;
  for (size_t to = 0; to < dims.size() + axes.size(); ++to) {
    // Dim `to - inserted`, by how many axes lie before.
    std::optional<SymExpr> dim;
    for (size_t inserted = 0; inserted <= std::min(to, axes.size());
         ++inserted) {
      if (to - inserted >= dims.size())
        continue;
      const SymExpr &own = dims[to - inserted];
      dim = dim ? SymExpr::select(SymExpr::apply(Fn::Eq, countBelow(to),
                                                 SymExpr(int64_t(inserted))),
                                  own, *dim)
                : own;
    }
    result.push_back(
        SymExpr::select(has(to), SymExpr(1), dim.value_or(SymExpr(1))));
  }
  return result;
}

Dims RuntimeAxes::around(ArrayRef<SymExpr> dims) const {
  SymExpr before(1), behind(1);
  for (auto [i, dim] : llvm::enumerate(dims)) {
    SymExpr at(static_cast<int64_t>(i));
    before = before * SymExpr::select(SymExpr::apply(Fn::Lt, at, axes.front()),
                                      dim, SymExpr(1));
    behind = behind * SymExpr::select(SymExpr::apply(Fn::Lt, axes.front(), at),
                                      dim, SymExpr(1));
  }
  return {before, dimOf(0, dims), behind};
}

} // namespace tenon::onnximport
