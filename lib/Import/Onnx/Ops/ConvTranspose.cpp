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
// (as ONNX DepthToSpace does). Where all phases have as many taps, at the same
// places, they are one convolution, unless pads cut much of a small image. With
// a dilation a phase's taps lie s / gcd(s, dilation) apart, what they meet
// dilation / gcd(s, dilation), and phases between may have none.
//
// What this does not cover (pads known only at run time, many phases) is a
// convolution of the input with zeros put between its elements.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "lib/Import/Onnx/Ops/Window.h"
#include "mlir/IR/BuiltinDialect.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/STLExtras.h"
#include <cstring>
#include <numeric>

using namespace mlir;

namespace tenon::onnximport {

//===----------------------------------------------------------------------===//
// By phases
//===----------------------------------------------------------------------===//

namespace {

/// Phases of more elements of the result than this are too many convolutions.
constexpr int64_t kMaxPhases = 16;
/// One convolution of all phases may compute so many times what is needed.
constexpr double kMostWaste = 1.2;
/// Strides and dilations that are looked at: a dim has a phase for each.
constexpr int64_t kMostSteps = 1 << 12;

/// Some taps of a kernel in one dim: first, first + step, ...
struct Taps {
  int64_t count = 0, first = 0, step = 1;
  int64_t apart = 1;  ///< on the input
  int64_t behind = 0; ///< what the first one meets lies so far before its place
  int64_t reach() const { return behind + (count - 1) * apart; }
};

/// A transposed convolution as convolutions of its phases.
struct Phases {
  NodeImporter &n;
  Value kernel;
  Ints weight;         ///< its dims [Cin, Cout/g, kernel...]
  ArrayRef<char> data; ///< its elements; empty: known only at run time
  Ints strides, dilations;
  int64_t group;
  size_t rank = strides.size();

  Taps taps(size_t d, int64_t phase) const;
  SmallVector<Taps> taps(const Ints &phase) const;
  Value stored(ArrayRef<Ints> phases);
  Value convolution(Value x, ArrayRef<Ints> phases, ArrayRef<int64_t> first,
                    ArrayRef<int64_t> behind);
  Value apart(Value x, ArrayRef<int64_t> low, ArrayRef<int64_t> size);
};

} // namespace

Taps Phases::taps(size_t d, int64_t phase) const {
  int64_t common = std::gcd(strides[d], dilations[d]);
  Taps taps;
  taps.step = strides[d] / common, taps.apart = dilations[d] / common;
  for (int64_t k = 0; k < std::min(taps.step, weight[d + 2]); ++k) {
    if (k * dilations[d] % strides[d] != phase)
      continue;
    taps.first = k, taps.behind = k * dilations[d] / strides[d];
    taps.count = llvm::divideCeil(weight[d + 2] - k, taps.step);
  }
  return taps;
}

SmallVector<Taps> Phases::taps(const Ints &phase) const {
  SmallVector<Taps> all;
  for (size_t d = 0; d < rank; ++d)
    all.push_back(taps(d, phase[d]));
  return all;
}

/// These taps of a weight [Cin, Cout/g, kernel...], backwards, for a
/// convolution that does the same: [g, Cout/g, Cin/g, taps...].
static Value backwards(NodeImporter &n, Value weight, ArrayRef<int64_t> dims,
                       ArrayRef<Taps> taps, int64_t group) {
  Ints perm{0, 2, 1}, steps{1, 1};
  Dims starts{SymExpr(0), SymExpr(0)}, kept{SymExpr(dims[0]), SymExpr(dims[1])},
      grouped{SymExpr(group), SymExpr(dims[0] / group), SymExpr(dims[1])};
  for (const Taps &own : taps) {
    starts.push_back(SymExpr(own.first + (own.count - 1) * own.step));
    steps.push_back(-own.step);
    kept.push_back(SymExpr(own.count));
    grouped.push_back(SymExpr(own.count));
    perm.push_back(perm.size());
  }
  Value part = n.make<SliceOp>(
      {weight}, {n.named("starts", n.dimsAttr(starts)),
                 n.named("steps", n.builder.getDenseI64ArrayAttr(steps)),
                 n.named("dims", n.dimsAttr(kept))});
  return part ? n.transpose(n.reshape(part, grouped), perm) : nullptr;
}

/// [g, channels, Cin/g, taps...] as [g * channels, Cin/g, taps...].
static Value ungrouped(NodeImporter &n, Value weight) {
  if (!weight)
    return nullptr;
  Dims dims = n.dims(weight);
  dims[1] = dims[0] * dims[1];
  dims.erase(dims.begin());
  return n.reshape(weight, dims);
}

/// The weights of phases with as many taps each, from group to group, from
/// phase to phase: [g * phases * Cout/g, Cin/g, taps...].
Value Phases::stored(ArrayRef<Ints> phases) {
  int64_t cin = weight[0] / group, cout = weight[1];
  Ints dims{group * int64_t(phases.size()) * cout, cin};
  for (const Taps &own : taps(phases[0]))
    dims.push_back(own.count);
  Type element = n.elem(kernel);
  auto type = RankedTensorType::get(dims, element);
  size_t bytes = element.getIntOrFloatBitWidth() / 8;
  AsmResourceBlob blob = HeapAsmResourceBlob::allocate(
      type.getNumElements() * bytes, alignof(uint64_t));
  char *to = blob.getMutableData().data();
  for (int64_t g = 0; g < group; ++g)
    for (const Ints &phase : phases) {
      SmallVector<Taps> own = taps(phase);
      for (int64_t o = 0; o < cout; ++o)
        for (int64_t i = 0; i < cin; ++i) {
          Ints at(rank, 0);
          size_t d;
          do { // the taps, the last dim first; they meet the input backwards
            int64_t from = (g * cin + i) * cout + o;
            for (size_t k = 0; k < rank; ++k)
              from = from * weight[k + 2] + own[k].first +
                     own[k].step * (dims[k + 2] - 1 - at[k]);
            memcpy(to, &data[from * bytes], bytes);
            to += bytes;
            for (d = rank; d-- > 0 && ++at[d] == dims[d + 2];)
              at[d] = 0;
          } while (d != size_t(-1));
        }
    }
  auto &manager =
      DenseResourceElementsHandle::getManagerInterface(n.builder.getContext());
  return n.constant(DenseResourceElementsAttr::get(
      type, manager.insert("phases", std::move(blob))));
}

/// Of phases with as many taps each, at the same places; `first`: of each
/// spatial dim the first place that is computed, `behind`: places behind the
/// last element of the input.
Value Phases::convolution(Value x, ArrayRef<Ints> phases,
                          ArrayRef<int64_t> first, ArrayRef<int64_t> behind) {
  Window unit;
  Ints pads(2 * rank);
  bool isEmpty = false;
  for (auto [d, own] : llvm::enumerate(taps(phases[0]))) {
    isEmpty |= own.count == 0;
    unit.kernel.push_back(SymExpr(own.count));
    unit.strides.push_back(1);
    unit.dilations.push_back(own.apart);
    pads[d] = own.reach() - first[d];
    pads[d + rank] = behind[d] - own.behind;
  }
  if (isEmpty) {
    Dims dims = n.dims(x);
    dims[1] = SymExpr(weight[1] * group);
    for (size_t d = 0; d < rank; ++d)
      dims[d + 2] = dims[d + 2] + SymExpr(behind[d] - first[d]);
    return n.broadcast(n.scalarLike(0, x), dims);
  }
  Value weights;
  if (data.empty()) {
    SmallVector<Value> parts;
    for (const Ints &phase : phases)
      parts.push_back(backwards(n, kernel, weight, taps(phase), group));
    weights = ungrouped(n, parts.size() == 1 ? parts[0] : n.concat(parts, 1));
  } else {
    weights = stored(phases);
  }
  return makeConv(n, x, weights, unit, pads, group);
}

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

/// How much all phases compute at all places of any, of what they need.
static double wasteOf(ArrayRef<int64_t> size, ArrayRef<int64_t> strides,
                      ArrayRef<int64_t> places) {
  double waste = 1;
  for (auto [n, stride, all] : llvm::zip_equal(size, strides, places))
    waste *= double(all) / double(llvm::divideCeil(n, stride));
  return waste;
}

/// Each phase of the result, whose sizes are known, at its own places: those of
/// small images are fewer than what all phases have to be computed at. `low`:
/// what is cut off in front. Null where a place would begin inside the image.
Value Phases::apart(Value x, ArrayRef<int64_t> low, ArrayRef<int64_t> size) {
  Dims dims = n.dims(x);
  SmallVector<Value> parts;
  for (Ints phase : allPhases(strides)) {
    Ints first, behind;
    for (size_t d = 0; d < rank; ++d) {
      int64_t at = phase[d] + low[d];
      first.push_back(at / strides[d]);
      behind.push_back(int64_t(llvm::divideCeil(size[d], strides[d])) +
                       first[d] - *dims[d + 2].constant());
      phase[d] = at % strides[d];
      Taps own = taps(d, phase[d]);
      if (own.reach() < first[d] || behind[d] < own.behind)
        return nullptr;
    }
    parts.push_back(convolution(x, phase, first, behind));
    if (!parts.back())
      return nullptr;
  }
  Value y =
      interleave(n, n.concat(parts, 1), strides, 1, SymExpr(weight[1] * group));
  for (size_t d = 0; d < rank; ++d)
    if (n.dims(y)[d + 2] != SymExpr(size[d]))
      y = n.slice(y, d + 2, SymExpr(0), SymExpr(size[d]));
  return y;
}

/// Null, without an error, where pads are not known or phases are too many.
static Value byPhases(NodeImporter &n, Value x, Value weight, const Window &w,
                      ArrayRef<int64_t> extra, int64_t group) {
  std::optional<Ints> pads = w.constantPads(),
                      dims = staticDims(n.dims(weight));
  size_t rank = w.rank();
  if (!pads || !dims)
    return nullptr;
  ArrayRef<char> data = bytesOf(weight);
  if (n.elem(weight).getIntOrFloatBitWidth() < 8)
    data = {};
  Phases p{n, weight, *dims, data, w.strides, w.dilations, group};
  // Places behind the last element of the input: what is kept of them.
  Ints first, behind;
  bool even = true; // all phases have as many taps, at the same places
  int64_t count = 1;
  for (size_t d = 0; d < rank; ++d) {
    Taps whole = p.taps(d, 0);
    if (whole.count == 0 || std::max(w.strides[d], w.dilations[d]) > kMostSteps)
      return nullptr;
    int64_t kept = ((*dims)[d + 2] - 1) * w.dilations[d] + 1 -
                   (*pads)[d + rank] + extra[d];
    if (kept < 1 || __builtin_mul_overflow(count, w.strides[d], &count))
      return nullptr;
    int64_t start = (*pads)[d] / w.strides[d],
            end = llvm::divideCeil(kept, w.strides[d]) - 1;
    for (int64_t phase = 0; phase < w.strides[d]; ++phase) {
      Taps own = p.taps(d, phase);
      even &= own.count == whole.count && own.behind == whole.behind;
      if (own.count)
        start = std::min(start, own.reach()), end = std::max(end, own.behind);
    }
    first.push_back(start);
    behind.push_back(end);
  }
  if (!even && count > kMaxPhases)
    return nullptr;
  Dims spatial = n.dims(x);
  Ints size, places;
  for (size_t d = 0; d < rank; ++d)
    if (std::optional<int64_t> in = spatial[d + 2].constant()) {
      places.push_back(*in + behind[d] - first[d]);
      size.push_back((*in - 1) * w.strides[d] +
                     ((*dims)[d + 2] - 1) * w.dilations[d] + 1 - (*pads)[d] -
                     (*pads)[d + rank] + extra[d]);
    }
  if (even && size.size() == rank && count <= kMaxPhases &&
      llvm::all_of(size, [](int64_t n) { return n > 0; }) &&
      wasteOf(size, w.strides, places) > kMostWaste)
    if (Value y = p.apart(x, *pads, size))
      return y;
  SmallVector<Ints> phases = allPhases(w.strides);
  Value y;
  if (even) {
    y = p.convolution(x, phases, first, behind);
  } else {
    SmallVector<Value> parts;
    for (const Ints &phase : phases)
      parts.push_back(p.convolution(x, phase, first, behind));
    y = n.concat(parts, 1);
  }
  if (!y)
    return nullptr;
  y = interleave(n, y, w.strides, even ? group : 1,
                 SymExpr((*dims)[1] * group));
  for (size_t d = 0; d < rank; ++d) {
    SymExpr size = (spatial[d + 2] - SymExpr(1)) * SymExpr(w.strides[d]) +
                   w.extent(d) - w.low[d] - w.high[d] + SymExpr(extra[d]);
    int64_t start = (*pads)[d] - first[d] * w.strides[d];
    if (start != 0 || n.dims(y)[d + 2] != size)
      y = n.slice(y, d + 2, SymExpr(start), size);
  }
  return y;
}

//===----------------------------------------------------------------------===//
// Of one place
//===----------------------------------------------------------------------===//

/// An image of one place (a generator's first layer) is a row, and what it
/// gives a product by the weight as it lies. Null for any other.
static Value ofOnePlace(NodeImporter &n, Value x, Value weight, const Window &w,
                        ArrayRef<int64_t> extra, int64_t group) {
  std::optional<Ints> pads = w.constantPads();
  Dims dims = n.dims(x), whole = n.dims(weight);
  auto isOne = [](const SymExpr &d) { return d.constant() == 1; };
  auto isNone = [](int64_t i) { return i == 0; };
  if (group != 1 || !pads ||
      !llvm::all_of(ArrayRef(dims).drop_front(2), isOne) ||
      !llvm::all_of(extra, isNone) ||
      llvm::any_of(*pads, [](int64_t i) { return i < 0; }) ||
      llvm::any_of(w.dilations, [](int64_t d) { return d != 1; }))
    return nullptr;
  SymExpr behind(1);
  for (const SymExpr &d : ArrayRef(whole).drop_front())
    behind = behind * d;
  Value y = n.matmul(n.reshape(x, {dims[0], dims[1]}),
                     n.reshape(weight, {whole[0], behind}));
  whole[0] = dims[0];
  y = n.reshape(y, whole);
  for (size_t d = 0; d < w.rank(); ++d)
    if ((*pads)[d] || (*pads)[d + w.rank()])
      y = n.slice(y, d + 2, SymExpr((*pads)[d]),
                  whole[d + 2] - SymExpr((*pads)[d] + (*pads)[d + w.rank()]));
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
  if (Value y = ofOnePlace(n, x, weight, *w, extra, group))
    return n.out(0, addBias(n, y, n.in(2)));
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
  SmallVector<Taps> whole;
  for (int64_t size : ArrayRef(*weightDims).drop_front(2))
    whole.push_back({size});
  weight = ungrouped(n, backwards(n, weight, *weightDims, whole, group));
  Value y =
      makeConv(n, padded, weight, unit, Ints(2 * spatial.size(), 0), group);
  n.out(0, addBias(n, y, n.in(2)));
}

void registerConvTranspose(Registry &r) {
  r.add("ConvTranspose", convTranspose);
}

} // namespace tenon::onnximport
