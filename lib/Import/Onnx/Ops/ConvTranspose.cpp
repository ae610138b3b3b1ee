//===- ConvTranspose.cpp - transposed convolutions ------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// With a stride s, every s-th element of the result meets the same taps of the
// kernel, every s-th one as well: its phase. Each phase is a convolution of the
// input without holes, and the phases' channels are moved to their places
// (as ONNX DepthToSpace does). Where all phases have as many taps they are one
// convolution.
//
// What this does not cover (dilations, weights and pads known only at run time)
// is a convolution of the input with zeros put between its elements.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "lib/Import/Onnx/Ops/Window.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/STLExtras.h"
#include <cstring>

using namespace mlir;

namespace tenon::onnximport {

//===----------------------------------------------------------------------===//
// By phases
//===----------------------------------------------------------------------===//

namespace {

/// Phases of more elements of the result than this are too many convolutions.
constexpr int64_t kMaxPhases = 16;

/// A transposed convolution as convolutions of its phases.
struct Phases {
  NodeImporter &n;
  Ints weight; ///< dims [Cin, Cout/g, kernel...]
  ArrayRef<char> data;
  Type element;
  Ints strides, low; ///< of each spatial dim; what is cut off the low end
  int64_t group;
  size_t rank = strides.size();

  int64_t taps(size_t d, int64_t phase) const {
    return llvm::divideCeil(weight[d + 2] - phase, strides[d]);
  }
  /// Pads of the input in front, for kernels of so many taps: the first place
  /// whose phases are computed is not before what is cut off.
  int64_t before(size_t d) const { return taps(d, 0) - 1 - first(d); }
  int64_t first(size_t d) const {
    return std::min(low[d] / strides[d], taps(d, 0) - 1);
  }
  Value weights(ArrayRef<Ints> phases);
  Value convolution(Value x, ArrayRef<Ints> phases, ArrayRef<int64_t> behind);
};

/// The weights of phases with as many taps each, from group to group, from
/// phase to phase: [g * phases * Cout/g, Cin/g, taps...].
Value Phases::weights(ArrayRef<Ints> phases) {
  int64_t cin = weight[0] / group, cout = weight[1];
  Ints dims{group * int64_t(phases.size()) * cout, cin};
  for (size_t d = 0; d < rank; ++d)
    dims.push_back(taps(d, phases[0][d]));
  auto type = RankedTensorType::get(dims, element);
  size_t bytes = element.getIntOrFloatBitWidth() / 8;
  AsmResourceBlob blob = HeapAsmResourceBlob::allocate(
      type.getNumElements() * bytes, alignof(uint64_t));
  char *to = blob.getMutableData().data();
  for (int64_t g = 0; g < group; ++g)
    for (const Ints &phase : phases)
      for (int64_t o = 0; o < cout; ++o)
        for (int64_t i = 0; i < cin; ++i) {
          Ints at(rank, 0);
          size_t d;
          do { // the taps, the last dim first; they meet the input backwards
            int64_t from = (g * cin + i) * cout + o;
            for (size_t k = 0; k < rank; ++k)
              from = from * weight[k + 2] + phase[k] +
                     strides[k] * (dims[k + 2] - 1 - at[k]);
            memcpy(to, &data[from * bytes], bytes);
            to += bytes;
            for (d = rank; d-- > 0 && ++at[d] == dims[d + 2];)
              at[d] = 0;
          } while (d != size_t(-1));
        }
  auto &manager =
      DenseResourceElementsHandle::getManagerInterface(n.builder.getContext());
  return n.constant(DenseResourceElementsAttr::get(
      type, manager.insert("phases", std::move(blob))));
}

Value Phases::convolution(Value x, ArrayRef<Ints> phases,
                          ArrayRef<int64_t> behind) {
  Window unit;
  Ints pads(2 * rank);
  for (size_t d = 0; d < rank; ++d) {
    int64_t own = taps(d, phases[0][d]);
    unit.kernel.push_back(SymExpr(own));
    // A phase of fewer taps begins further behind.
    pads[d] = before(d) - (taps(d, 0) - own);
    pads[d + rank] = behind[d];
  }
  unit.strides = unit.dilations = Ints(rank, 1);
  return makeConv(n, x, weights(phases), unit, pads, group);
}

} // namespace

/// The bytes of a constant's elements, where they are at hand.
static ArrayRef<char> bytesOf(Value weight) {
  auto constant = weight ? weight.getDefiningOp<ConstantOp>() : nullptr;
  if (!constant)
    return {};
  if (auto stored = dyn_cast<DenseResourceElementsAttr>(constant.getValue()))
    if (AsmResourceBlob *blob = stored.getRawHandle().getBlob())
      return blob->getData();
  auto dense = dyn_cast<DenseElementsAttr>(constant.getValue());
  return dense && !dense.isSplat() ? dense.getRawData() : ArrayRef<char>();
}

/// Every choice of a phase below its dim's stride.
static SmallVector<Ints> allPhases(ArrayRef<int64_t> strides) {
  SmallVector<Ints> phases(1);
  for (int64_t stride : strides) {
    SmallVector<Ints> next;
    for (const Ints &phase : phases)
      for (int64_t r = 0; r < stride; ++r) {
        next.push_back(phase);
        next.back().push_back(r);
      }
    phases = std::move(next);
  }
  return phases;
}

/// [N, (g,) phases..., Cout (/g), places...] as [N, Cout, size...], where a
/// size is its places times its phases.
static Value interleave(NodeImporter &n, Value y, ArrayRef<int64_t> strides,
                        int64_t group, const SymExpr &channels) {
  size_t rank = strides.size(), ahead = group > 1; // dims before the phases
  Dims places = n.dims(y), parts{places[0]}, whole{places[0], channels};
  Ints perm{0};
  if (ahead)
    parts.push_back(SymExpr(group));
  for (int64_t stride : strides)
    parts.push_back(SymExpr(stride));
  parts.push_back(channels.constant() ? SymExpr(*channels.constant() / group)
                                      : channels);
  if (ahead)
    perm.push_back(1);
  perm.push_back(1 + ahead + rank);
  for (size_t d = 0; d < rank; ++d) {
    parts.push_back(places[d + 2]);
    whole.push_back(places[d + 2] * SymExpr(strides[d]));
    perm.push_back(2 + ahead + rank + d);
    perm.push_back(1 + ahead + d);
  }
  return n.reshape(n.transpose(n.reshape(y, parts), perm), whole);
}

/// Null, without an error, where the phases are not all known or have no taps.
static Value byPhases(NodeImporter &n, Value x, Value weight, const Window &w,
                      ArrayRef<int64_t> extra, int64_t group) {
  std::optional<Ints> pads = w.constantPads(),
                      dims = staticDims(n.dims(weight));
  ArrayRef<char> data = bytesOf(weight);
  size_t rank = w.rank();
  auto isOne = [](int64_t v) { return v == 1; };
  Type element = n.elem(weight);
  if (!pads || !dims || data.empty() || element.getIntOrFloatBitWidth() < 8 ||
      llvm::all_of(w.strides, isOne) || !llvm::all_of(w.dilations, isOne))
    return nullptr;
  Phases p{n,       *dims,     data,
           element, w.strides, Ints(pads->begin(), pads->begin() + rank),
           group};
  // Places behind the last element of the input: what is kept of them.
  Ints behind;
  bool even = true; // all phases have as many taps
  int64_t count = 1;
  for (size_t d = 0; d < rank; ++d) {
    int64_t kept = (*dims)[d + 2] - (*pads)[d + rank] + extra[d];
    if ((*dims)[d + 2] < w.strides[d] || kept < 1 ||
        __builtin_mul_overflow(count, w.strides[d], &count))
      return nullptr;
    behind.push_back(llvm::divideCeil(kept, w.strides[d]) - 1);
    even &= (*dims)[d + 2] % w.strides[d] == 0;
  }
  if (!even && count > kMaxPhases)
    return nullptr;
  SmallVector<Ints> phases = allPhases(w.strides);
  for (size_t d = 0; d < rank; ++d)
    for (const Ints &phase : phases)
      if (p.before(d) < p.taps(d, 0) - p.taps(d, phase[d]))
        return nullptr; // a phase would begin behind the first element
  Value y;
  if (even) {
    y = p.convolution(x, phases, behind);
  } else {
    SmallVector<Value> parts;
    for (const Ints &phase : phases)
      parts.push_back(p.convolution(x, phase, behind));
    y = n.concat(parts, 1);
  }
  if (!y)
    return nullptr;
  y = interleave(n, y, w.strides, even ? group : 1,
                 SymExpr((*dims)[1] * group));
  Dims spatial = n.dims(x);
  for (size_t d = 0; d < rank; ++d) {
    SymExpr size = (spatial[d + 2] - SymExpr(1)) * SymExpr(w.strides[d]) +
                   w.extent(d) - w.low[d] - w.high[d] + SymExpr(extra[d]);
    int64_t start = p.low[d] - p.first(d) * w.strides[d];
    if (start != 0 || n.dims(y)[d + 2] != size)
      y = n.slice(y, d + 2, SymExpr(start), size);
  }
  return y;
}

//===----------------------------------------------------------------------===//
// With zeros in between
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
  if (Value y = byPhases(n, x, weight, *w, extra, group))
    return n.out(0, addBias(n, y, n.in(2)));
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

void registerConvTranspose(Registry &r) {
  r.add("ConvTranspose", convTranspose);
}

} // namespace tenon::onnximport
