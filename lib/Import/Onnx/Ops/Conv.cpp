//===- Conv.cpp - convolutions --------------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/TenonContract.h"
#include "lib/Import/Onnx/Ops/Window.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;

namespace tenon::onnximport {

std::optional<Ints> Window::constantPads() const {
  Ints pads;
  for (const Dims *side : {&low, &high})
    for (const SymExpr &pad : *side) {
      std::optional<int64_t> value = pad.constant();
      if (!value || *value < 0)
        return std::nullopt;
      pads.push_back(*value);
    }
  return pads;
}

/// SAME: the output has ceil(dim / stride) elements; the odd pad goes to the
/// high end (UPPER) or the low one.
static void padSame(Window &w, size_t i, const SymExpr &dim, bool upper) {
  using Fn = SymExpr::Fn;
  SymExpr out = SymExpr::apply(Fn::CeilDiv, dim, SymExpr(w.strides[i]));
  SymExpr total =
      (out - SymExpr(1)) * SymExpr(w.strides[i]) + w.extent(i) - dim;
  if (!total.isNonNegative())
    total = SymExpr::apply(Fn::Max, total, SymExpr(0));
  SymExpr half = SymExpr::apply(Fn::FloorDiv, total, SymExpr(2));
  w.low.push_back(upper ? half : total - half);
  w.high.push_back(upper ? total - half : half);
}

std::optional<Window> readWindow(NodeImporter &n, ArrayRef<SymExpr> spatial,
                                 ArrayRef<SymExpr> kernel) {
  size_t rank = spatial.size();
  Window w;
  w.kernel.assign(kernel.begin(), kernel.end());
  w.strides = n.getInts("strides").value_or(Ints(rank, 1));
  w.dilations = n.getInts("dilations").value_or(Ints(rank, 1));
  auto positive = [](int64_t v) { return v > 0 && v < INT32_MAX; };
  auto isKernel = [&](const SymExpr &e) {
    return positive(e.constant().value_or(1));
  };
  if (kernel.size() != rank || w.strides.size() != rank ||
      w.dilations.size() != rank || !llvm::all_of(w.kernel, isKernel) ||
      !llvm::all_of(w.strides, positive) ||
      !llvm::all_of(w.dilations, positive)) {
    n.error("kernel_shape, strides and dilations must have one value above 0 "
            "for each of the " +
            Twine(rank) + " spatial dims");
    return std::nullopt;
  }
  std::string mode = n.getString("auto_pad", "NOTSET");
  if (mode == "SAME_UPPER" || mode == "SAME_LOWER") {
    for (size_t i = 0; i < rank; ++i)
      padSame(w, i, spatial[i], mode == "SAME_UPPER");
    return w;
  }
  Ints pads(2 * rank, 0);
  if (mode == "NOTSET" || mode.empty())
    pads = n.getInts("pads").value_or(pads);
  else if (mode != "VALID")
    n.error("auto_pad '" + mode + "' is unknown");
  if (pads.size() != 2 * rank)
    n.error("pads must have two values for each of the " + Twine(rank) +
            " spatial dims");
  if (n.failed())
    return std::nullopt;
  w.low.assign(pads.begin(), pads.begin() + rank);
  w.high.assign(pads.begin() + rank, pads.end());
  return w;
}

Value padSpatial(NodeImporter &n, Value x, Value value, ArrayRef<SymExpr> low,
                 ArrayRef<SymExpr> high) {
  auto isZero = [](const SymExpr &e) { return e == SymExpr(0); };
  if (!x || (llvm::all_of(low, isZero) && llvm::all_of(high, isZero)))
    return x;
  Dims allLow(n.rank(x) - low.size(), SymExpr(0)), allHigh(allLow);
  allLow.append(low.begin(), low.end());
  allHigh.append(high.begin(), high.end());
  return n.make<PadOp>({x, value},
                       {n.named("mode", PadModeAttr::get(n.builder.getContext(),
                                                         PadMode::constant)),
                        n.named("low", n.dimsAttr(allLow)),
                        n.named("high", n.dimsAttr(allHigh))});
}

std::optional<Ints> staticDims(ArrayRef<SymExpr> dims) {
  Ints result;
  for (const SymExpr &dim : dims) {
    if (!dim.isConstant())
      return std::nullopt;
    result.push_back(*dim.constant());
  }
  return result;
}

Value makeConv(NodeImporter &n, Value x, Value weight, const Window &w,
               ArrayRef<int64_t> pads, int64_t group) {
  auto ints = [&](ArrayRef<int64_t> v) {
    return n.builder.getDenseI64ArrayAttr(v);
  };
  return n.make<ConvOp>({x, weight},
                        {n.named("strides", ints(w.strides)),
                         n.named("pads", ints(pads)),
                         n.named("dilations", ints(w.dilations)),
                         n.named("group", n.builder.getI64IntegerAttr(group))});
}

Value addBias(NodeImporter &n, Value y, Value bias) {
  if (!y || !bias)
    return y;
  Dims dims(n.rank(y) - 1, SymExpr(1));
  dims[0] = productOf(n.dims(bias));
  return n.add(y, n.reshape(bias, dims));
}

static void conv(NodeImporter &n) {
  Value x = n.in(0), weight = n.in(1);
  Dims dims = n.dims(x), weightDims = n.dims(weight);
  if (dims.size() < 3 || weightDims.size() != dims.size()) {
    n.error("expected an input of rank 3 or more and a weight of its rank, "
            "found " +
            Twine(dims.size()) + " and " + Twine(weightDims.size()));
    return;
  }
  ArrayRef<SymExpr> spatial = ArrayRef<SymExpr>(dims).drop_front(2);
  ArrayRef<SymExpr> kernel = ArrayRef<SymExpr>(weightDims).drop_front(2);
  std::optional<Window> w = readWindow(n, spatial, kernel);
  if (!w)
    return;
  int64_t group = n.getInt("group", 1);
  if (!staticDims(kernel) || (group != 1 && !weightDims[0].isConstant())) {
    n.out(0, addBias(n, convByWindows(n, x, weight, *w, group), n.in(2)));
    return;
  }
  std::optional<Ints> pads = w->constantPads();
  if (!pads) {
    x = padSpatial(n, x, n.scalarLike(0, x), w->low, w->high);
    pads = Ints(2 * spatial.size(), 0);
  }
  Value y = makeConv(n, x, weight, *w, *pads, group);
  n.out(0, addBias(n, y, n.in(2)));
}

void registerConv(Registry &r) { r.add("Conv", conv); }

} // namespace tenon::onnximport
