//===- Conv.cpp - convolutions --------------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/IR/TenonView.h"
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

static std::optional<Ints> staticDims(ArrayRef<SymExpr> dims) {
  Ints result;
  for (const SymExpr &dim : dims) {
    if (!dim.isConstant())
      return std::nullopt;
    result.push_back(*dim.constant());
  }
  return result;
}

static Value makeConv(NodeImporter &n, Value x, Value weight, const Window &w,
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

static Value addBias(NodeImporter &n, Value y, Value bias) {
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

//===----------------------------------------------------------------------===//
// ConvTranspose
//===----------------------------------------------------------------------===//

/// Puts stride - 1 zeros after each element of every spatial dim, but the last.
static Value spread(NodeImporter &n, Value x, ArrayRef<int64_t> strides) {
  for (auto [i, stride] : llvm::enumerate(strides)) {
    if (stride == 1 || !x)
      continue;
    Dims dims = n.dims(x), apart = dims, low, joined = dims;
    size_t at = i + 2;
    apart.insert(apart.begin() + at + 1, SymExpr(1));
    low.assign(apart.size() - 2, SymExpr(0));
    Dims high = low;
    high[at - 1] = SymExpr(stride - 1);
    Value v = padSpatial(n, n.reshape(x, apart), n.scalarLike(0, x), low, high);
    joined[at] = dims[at] * SymExpr(stride);
    v = n.reshape(v, joined);
    SymExpr kept = joined[at] - SymExpr(stride - 1);
    if (!kept.isNonNegative())
      kept = SymExpr::apply(SymExpr::Fn::Max, kept, SymExpr(0));
    x = n.slice(v, at, SymExpr(0), kept);
  }
  return x;
}

/// [Cin, Cout/g, k...] as the weight of the convolution that does the same:
/// [Cout, Cin/g, k...] with each kernel reversed.
static Value mirrored(NodeImporter &n, Value weight, ArrayRef<int64_t> dims,
                      int64_t group) {
  Dims grouped = {SymExpr(group), SymExpr(dims[0] / group)};
  Ints perm = {0, 2, 1}, steps(dims.size(), 1);
  Dims starts(dims.size(), SymExpr(0)), result;
  for (size_t i = 1; i < dims.size(); ++i)
    grouped.push_back(SymExpr(dims[i]));
  for (size_t i = 3; i <= dims.size(); ++i)
    perm.push_back(i);
  result = {SymExpr(dims[1] * group), SymExpr(dims[0] / group)};
  for (size_t i = 2; i < dims.size(); ++i) {
    result.push_back(SymExpr(dims[i]));
    starts[i] = SymExpr(dims[i] - 1);
    steps[i] = -1;
  }
  Value v = n.reshape(n.transpose(n.reshape(weight, grouped), perm), result);
  return n.make<SliceOp>(
      {v}, {n.named("starts", n.dimsAttr(starts)),
            n.named("steps", n.builder.getDenseI64ArrayAttr(steps)),
            n.named("dims", n.dimsAttr(result))});
}

/// The pads of a transposed convolution cut its output; auto_pad and
/// output_shape say them through the output's dims.
static void transposedPads(NodeImporter &n, Window &w,
                           ArrayRef<SymExpr> spatial, ArrayRef<int64_t> extra) {
  std::optional<Ints> shape = n.getInts("output_shape");
  std::string mode = n.getString("auto_pad", "NOTSET");
  bool same = mode == "SAME_UPPER" || mode == "SAME_LOWER";
  if (!shape && !same)
    return;
  if (shape && shape->size() > spatial.size())
    shape->erase(shape->begin(), shape->end() - spatial.size());
  if (shape && shape->size() != spatial.size()) {
    n.error("output_shape must have one value per spatial dim");
    return;
  }
  for (size_t i = 0; i < spatial.size(); ++i) {
    SymExpr out =
        shape ? SymExpr((*shape)[i]) : spatial[i] * SymExpr(w.strides[i]);
    SymExpr total = (spatial[i] - SymExpr(1)) * SymExpr(w.strides[i]) +
                    SymExpr(extra[i]) + w.extent(i) - out;
    SymExpr half = SymExpr::apply(SymExpr::Fn::FloorDiv, total, SymExpr(2));
    bool upper = mode == "SAME_UPPER";
    w.low[i] = upper ? half : total - half;
    w.high[i] = upper ? total - half : half;
  }
}

static void convTranspose(NodeImporter &n) {
  Value x = n.in(0), weight = n.in(1);
  Dims dims = n.dims(x), symbolic = n.dims(weight);
  std::optional<Ints> weightDims = staticDims(symbolic);
  int64_t group = n.getInt("group", 1);
  if (dims.size() < 3 || symbolic.size() != dims.size() || group <= 0 ||
      (weightDims && (*weightDims)[0] % group != 0)) {
    n.error("expected an input of rank 3 or more, a weight of its rank and a "
            "group that divides the channels");
    return;
  }
  ArrayRef<SymExpr> spatial = ArrayRef<SymExpr>(dims).drop_front(2);
  std::optional<Window> w =
      readWindow(n, spatial, ArrayRef<SymExpr>(symbolic).drop_front(2));
  if (!w)
    return;
  Ints extra = n.getInts("output_padding").value_or(Ints(spatial.size(), 0));
  if (extra.size() != spatial.size()) {
    n.error("output_padding must have one value per spatial dim");
    return;
  }
  transposedPads(n, *w, spatial, extra);
  if (!weightDims) {
    Dims image;
    for (size_t i = 0; i < spatial.size(); ++i) {
      image.push_back((spatial[i] - SymExpr(1)) * SymExpr(w->strides[i]) +
                      SymExpr(extra[i]) + w->extent(i) - w->low[i] -
                      w->high[i]);
      n.checkNonNegative(image.back());
    }
    Value y = convTransposeByWindows(n, x, weight, *w, image, group);
    n.out(0, addBias(n, y, n.in(2)));
    return;
  }
  Window unit = *w;
  Dims low, high;
  for (size_t i = 0; i < spatial.size(); ++i) {
    unit.strides[i] = 1;
    SymExpr edge = w->extent(i) - SymExpr(1);
    low.push_back(edge - w->low[i]);
    high.push_back(edge - w->high[i] + SymExpr(extra[i]));
  }
  Value padded =
      padSpatial(n, spread(n, x, w->strides), n.scalarLike(0, x), low, high);
  Value y = makeConv(n, padded, mirrored(n, weight, *weightDims, group), unit,
                     Ints(2 * spatial.size(), 0), group);
  n.out(0, addBias(n, y, n.in(2)));
}

void registerConv(Registry &r) {
  r.add("Conv", conv);
  r.add("ConvTranspose", convTranspose);
}

} // namespace tenon::onnximport
