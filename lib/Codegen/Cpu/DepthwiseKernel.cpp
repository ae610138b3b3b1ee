//===- DepthwiseKernel.cpp - convolutions of each channel alone -----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Lanes are channels, which lie last. A task is some pixels of one row of the
// result (the last spatial dim) by some channels:
//
//   for tile of 8 pixels:
//     for vector of channels:    or two, where there are 32 registers
//       for row of the kernel:   weights of 5 taps in registers, each pixel
//         8 sums += ...          that they meet loaded once
//       epilogue                 sums -> result
//
// Channels run inside of pixels: one vector of channels over all pixels would
// meet few sets of the L1 cache and half of each line. A tile that would end
// behind the row begins earlier and meets some pixels again.
//
// Taps outside the image are left out: rows by the bounds of the loop. Columns
// where the row's length is known by tiles of their own at its ends, each pixel
// of which has the taps that are its; else by taking the pixels at the borders
// one by one, four vectors of channels at a time, so that there are chains
// enough. A row that is known is cut evenly: 14 pixels are two tiles of 7.
//
// Of groups of channels the vectors are permuted, for each input of a group
// once, or where a group fills a vector the input is loaded for all lanes.
//
// An image of codes is widened as it comes: a ring in scratch memory has the
// rows that a row of the result meets, each of which is made of codes once
// while tasks follow one another. What it would take in memory is four times as
// much.
//
// Each element is one chain of additions in the order of the rows of taps. A
// row of a group's taps is five of them, or what is left, for one input after
// the other.
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/Depthwise.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Cpu/Product.h"
#include <map>
#include <numeric>

using namespace mlir;

namespace tenon {

namespace {

constexpr int64_t kPixels = 8;  ///< of a tile: as many sums hide the latency
constexpr int64_t kTaps = 5;    ///< whose weights are in registers
constexpr int64_t kVectors = 4; ///< of channels at a border
/// Tiles at both ends of a row, which are code of their own.
constexpr int64_t kMostEnds = 4;

SymExpr ceilDivOf(const SymExpr &x, int64_t by) {
  return SymExpr::apply(SymExpr::Fn::CeilDiv, x, SymExpr(by));
}

struct DepthwiseKernel {
  KernelEmitter &e;
  DepthwiseOp op;
  BlockArgument weight;
  CpuDepthwiseTilingAttr tiling;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  Sink sink{e};
  SmallVector<SymExpr> dims = getDims(op.getInput());
  ArrayRef<int64_t> kernel = op.getKernel(), strides = op.getStrides(),
                    pads = op.getPads(), dilations = op.getDilations();
  size_t rank = kernel.size(), x = rank - 1; ///< x: the last spatial dim
  SmallVector<SymExpr> out = positions();
  SymExpr C = dims.back();
  Type element = getElementTypeOrSelf(op.getInput().getType());
  Type sumType = computeType(element);
  int64_t group = op.getGroupSize();
  unsigned lanes = e.vectorLanes();
  /// Rows that are widened, as many as a row of the result meets; else 0.
  int64_t rowsOfRing = rowsToWiden();
  Value X = imageOrRing(), W = e.input(weight);
  Value width = e.dim(dims[rank]), channels = e.dim(C);
  /// Some number of vectors makes up all channels.
  bool even = C.constant() && *C.constant() % lanes == 0;

  /// How a row of known length is cut: tiles of so many pixels, those that meet
  /// its left and its right end.
  struct Cut {
    int64_t row, pixels, left, right;
  };
  std::optional<Cut> cut = cutRow();

  // Of a task:
  Value image = {}, row = {}; ///< of the result's rows, all images'
  Value rowInImage = {};
  Value firstChannel = {}, numChannels = {};
  SmallVector<Value> base = {}, lo = {}, hi = {}; ///< taps of the outer dims

  using Sums = SmallVector<Value>;
  /// Of a row of the kernel: (where its row of the input begins, the number of
  /// its first tap, the sums so far) -> the sums.
  using RowBody = function_ref<Sums(Value, Value, ValueRange)>;

  SmallVector<SymExpr> positions();
  int64_t rowsToWiden();
  Value imageOrRing();
  Value positive(Value v) { return L.max(v, 0); }
  Value ceilDiv(Value v, int64_t by) { return L.div(L.add(v, by - 1), by); }
  std::pair<Value, Value> tapsInside(size_t d, Value first);
  /// Channel c of the task, in a pixel or a tap at that number.
  Idx at(Value number, const Idx &c) {
    return L.add(L.uniform(L.add(L.mul(number, channels), firstChannel)), c);
  }
  Value load(Value memory, Value number, const Idx &c) {
    return L.widen(L.load(memory, at(number, c), element));
  }
  Value met(Value number, const Idx &c, int64_t j);
  /// The weight's row of a tap and an input.
  Value weightRow(Value tap, int64_t input) {
    return group == 1 ? tap : L.add(L.mul(tap, group), input);
  }
  Idx inRing(Value pixel, const Idx &c) {
    return L.add(L.uniform(L.mul(pixel, tiling.getChannels())), c);
  }
  Value loadPixel(Value pixel, const Idx &c);
  /// Where a row of the image begins in the ring.
  Value rowOfRing(Value y) { return L.mul(L.rem(y, rowsOfRing), width); }
  void fillRing(Value fresh, Value first, Value end);
  Value fma(Value v, Value w, Value sum) {
    return L.multiplyAdd(v, w, sum, e.target.hasFma);
  }
  bool isInside(int64_t pixel, int64_t tap);
  bool isWhole(int64_t first, int64_t pixels);
  std::optional<Cut> cutRow();
  /// Where the i-th tile from the right begins: the row is no multiple of them.
  static int64_t fromRight(int64_t row, int64_t pixels, int64_t i) {
    return std::max<int64_t>(row - (i + 1) * pixels, 0);
  }
  void overChannels(Value from, function_ref<void(Idx)> fn);
  void overVectors(int64_t count, function_ref<void(int64_t, Idx)> fn);
  Sums overRows(int64_t count, RowBody body);
  Sums taps(Value pixel, Value tap, int64_t count, int64_t pixels, const Idx &c,
            ValueRange before, std::optional<int64_t> known, int64_t number);
  void put(Value first, ValueRange sums, const Idx &c);
  void tile(Value pixel, int64_t pixels, std::optional<int64_t> known = {});
  void tiles(Value first, Value end, int64_t pixels);
  void pixelAlone(Value pixel);
  void wholeRow();
  void partOfRow(Value first, Value end);
  void task(Value number);
  void run();
};

SmallVector<SymExpr> DepthwiseKernel::positions() {
  SmallVector<SymExpr> result;
  for (size_t d = 0; d < rank; ++d) {
    SymExpr room = dims[d + 1] + SymExpr(pads[d] + pads[d + rank]) -
                   SymExpr(dilations[d] * (kernel[d] - 1) + 1);
    result.push_back(
        SymExpr::apply(SymExpr::Fn::FloorDiv, room, SymExpr(strides[d])) + 1);
  }
  return result;
}

/// Of a pixel what the lanes of the vector from channel c on meet: themselves,
/// or the j-th input of their groups.
Value DepthwiseKernel::met(Value number, const Idx &c, int64_t j) {
  if (group == 1)
    return loadPixel(number, c);
  if (int64_t(lanes) <= group) {
    Value first = L.mul(L.div(c.base, group), group);
    return loadPixel(number, L.uniform(L.add(first, j)));
  }
  Value all = loadPixel(number, c);
  SmallVector<int64_t> from;
  for (int64_t l = 0; l < lanes; ++l)
    from.push_back(l - l % group + j);
  return vector::ShuffleOp::create(b, L.loc, all, all, from);
}

/// What the image is, or the codes that it is widened from.
BlockArgument storedImage(DepthwiseOp op) {
  Value v = op.getInput();
  while (Operation *def = v.getDefiningOp()) {
    if (!def->hasTrait<OpTrait::Elementwise>())
      break;
    v = def->getOperand(0);
  }
  return dyn_cast<BlockArgument>(v);
}

int64_t DepthwiseKernel::rowsToWiden() {
  constexpr int64_t most = 32 << 10; // bytes
  int64_t rows = dilations[0] * (kernel[0] - 1) + 1;
  std::optional<int64_t> width = dims[rank].constant();
  bool fits = width && *width * rows * tiling.getChannels() * 4 <= most;
  return !isa<BlockArgument>(op.getInput()) && rank == 2 && fits ? rows : 0;
}

Value DepthwiseKernel::imageOrRing() {
  if (!rowsOfRing)
    return e.input(storedImage(op));
  return e.scratchBuffer(dims[rank] * (rowsOfRing * tiling.getChannels()),
                         element);
}

Value DepthwiseKernel::loadPixel(Value pixel, const Idx &c) {
  if (rowsOfRing)
    return L.widen(L.load(X, inRing(pixel, c), element));
  if (isa<BlockArgument>(op.getInput()))
    return load(X, pixel, c);
  // All that is computed lies where the codes do: the last index says where.
  BlockArgument codes = storedImage(op);
  e.bind(codes, [this, codes](ArrayRef<Idx> idx) {
    return L.load(X, idx.back(), getElementTypeOrSelf(codes.getType()));
  });
  SmallVector<Idx> idx(dims.size(), L.uniform(0));
  idx.back() = at(pixel, c);
  Value v = L.widen(e.emit(op.getInput(), idx));
  e.unbind(codes);
  return v;
}

/// Widens what pixels [first, end) of a row of the result meet, but for what
/// the row before has met, where that is not `fresh`.
void DepthwiseKernel::fillRing(Value fresh, Value first, Value end) {
  Value height = e.dim(dims[1]);
  auto inside = [&](Value y) { return L.min(positive(y), height); };
  Value top = base[0], bottom = inside(L.add(top, rowsOfRing));
  Value before = inside(L.add(L.sub(top, strides[0]), rowsOfRing));
  Value from = L.max(inside(top), L.select(fresh, L.index(0), before));
  Value left = positive(L.sub(L.mul(first, strides[x]), pads[x]));
  Value reach = L.add(L.mul(L.sub(end, 1), strides[x]),
                      dilations[x] * (kernel[x] - 1) + 1 - pads[x]);
  Value right = L.min(positive(reach), width);
  e.loop(from, bottom, 1, [&](Value y) {
    Value line = rowOfRing(y);
    overChannels(L.index(0), [&](Idx c) {
      Idx channel = L.add(L.uniform(firstChannel, lanes), c);
      e.loop(left, right, 1, [&](Value pixel) {
        SmallVector<Idx> idx{L.uniform(image), L.uniform(y), L.uniform(pixel),
                             channel};
        L.store(e.emit(op.getInput(), idx), X, inRing(L.add(line, pixel), c),
                element);
      });
    });
  });
}

/// The taps along `d` that are inside, where the first one lies at `first`.
std::pair<Value, Value> DepthwiseKernel::tapsInside(size_t d, Value first) {
  if (pads[d] == 0 && pads[d + rank] == 0)
    return {L.index(0), L.index(kernel[d])};
  Value before = positive(L.sub(L.index(0), first));
  Value room = positive(L.sub(e.dim(dims[d + 1]), first));
  return {ceilDiv(before, dilations[d]),
          L.min(ceilDiv(room, dilations[d]), kernel[d])};
}

/// Has the pixel of the result that tap along x? Of an image whose width is
/// known.
bool DepthwiseKernel::isInside(int64_t pixel, int64_t tap) {
  int64_t at = pixel * strides[x] - pads[x] + tap * dilations[x];
  return at >= 0 && at < *dims[rank].constant();
}

bool DepthwiseKernel::isWhole(int64_t first, int64_t pixels) {
  return isInside(first, 0) && isInside(first + pixels - 1, kernel[x] - 1);
}

std::optional<DepthwiseKernel::Cut> DepthwiseKernel::cutRow() {
  std::optional<int64_t> row = out[x].constant();
  // Taps in a loop are not known.
  if (!row || *row < 1 || *row > tiling.getPixels() || !dims[rank].constant() ||
      kernel[x] >= 2 * kTaps)
    return std::nullopt;
  int64_t count = llvm::divideCeil(*row, kPixels);
  Cut cut{*row, int64_t(llvm::divideCeil(*row, count)), 0, 0};
  while (cut.left < count && !isWhole(cut.left * cut.pixels, cut.pixels))
    ++cut.left;
  while (cut.left + cut.right < count &&
         !isWhole(fromRight(*row, cut.pixels, cut.right), cut.pixels))
    ++cut.right;
  if (cut.left + cut.right > kMostEnds)
    return std::nullopt;
  return cut;
}

/// Calls fn with each vector of the task's channels from `from` on.
void DepthwiseKernel::overChannels(Value from, function_ref<void(Idx)> fn) {
  if (even) {
    LaneScope saved(L, lanes);
    e.loop(from, numChannels, lanes,
           [&](Value c) { fn(Idx{c, 1, (int64_t)lanes, {}}); });
    return;
  }
  e.lanesLoop(L.sub(numChannels, from), lanes,
              [&](Idx c) { fn(L.add(L.uniform(from, lanes), c)); });
}

/// Calls fn(count, first channel) for so many vectors at a time, and for one at
/// a time of those that are left.
void DepthwiseKernel::overVectors(int64_t count,
                                  function_ref<void(int64_t, Idx)> fn) {
  Value whole = L.index(0);
  if (count > 1) {
    int64_t step = count * lanes;
    whole = L.mul(L.div(numChannels, step), step);
    LaneScope saved(L, lanes);
    e.loop(L.index(0), whole, step,
           [&](Value c) { fn(count, Idx{c, 1, step, {}}); });
  }
  overChannels(whole, [&](Idx c) { fn(1, c); });
}

DepthwiseKernel::Sums DepthwiseKernel::overRows(int64_t count, RowBody body) {
  std::function<Sums(size_t, Value, Value, ValueRange)> nest =
      [&](size_t d, Value place, Value tap, ValueRange sums) -> Sums {
    if (d == x)
      return body(L.mul(place, width), L.mul(tap, kernel[x]), sums);
    return e.loop(lo[d], hi[d], 1, sums, [&](Value i, ValueRange inner) {
      Value where = L.add(base[d], L.mul(i, dilations[d]));
      if (rowsOfRing)
        return body(rowOfRing(where), L.mul(i, kernel[x]), inner);
      return nest(d + 1, L.add(L.mul(place, e.dim(dims[d + 1])), where),
                  L.add(L.mul(tap, kernel[d]), i), inner);
    });
  };
  return nest(0, image, L.index(0), Sums(count, L.constant(L.vec(sumType), 0)));
}

/// `count` taps from `tap` on for neighbouring pixels; the first of them meets
/// the first tap at `pixel`. In the order in which they lie in memory, so that
/// each pixel is loaded once. `known`: where the tile begins in its row, and
/// the taps from `number` on that lie outside are left out.
DepthwiseKernel::Sums DepthwiseKernel::taps(Value pixel, Value tap,
                                            int64_t count, int64_t pixels,
                                            const Idx &c, ValueRange before,
                                            std::optional<int64_t> known,
                                            int64_t number) {
  Sums sums(before);
  std::map<int64_t, SmallVector<std::pair<int64_t, int64_t>>> readers;
  for (int64_t u = 0; u < count; ++u)
    for (int64_t t = 0; t < pixels; ++t)
      if (!known || isInside(*known + t, number + u))
        readers[t * strides[x] + u * dilations[x]].push_back({t, u});
  for (int64_t j = 0; j < group; ++j) {
    SmallVector<Value> weights;
    for (int64_t u = 0; u < count; ++u)
      weights.push_back(load(W, weightRow(L.add(tap, u), j), c));
    for (auto &[distance, all] : readers) {
      Value v = met(L.add(pixel, distance), c, j);
      for (auto [t, u] : all)
        sums[t] = fma(v, weights[u], sums[t]);
    }
  }
  return sums;
}

/// The finished sums of the pixels from `first` on, and what follows them.
void DepthwiseKernel::put(Value first, ValueRange sums, const Idx &c) {
  Idx channel = L.add(L.uniform(firstChannel, lanes), c);
  Value line = L.mul(rowInImage, e.dim(out[x]));
  for (auto [t, sum] : llvm::enumerate(sums)) {
    Value pixel = L.add(first, int64_t(t));
    SmallVector<Idx> idx{L.uniform(image), L.uniform(L.add(line, pixel)),
                         channel};
    e.bind(op.getResult(), [sum = sum](ArrayRef<Idx>) { return sum; });
    sink.store(e, idx, at(L.add(L.mul(row, e.dim(out[x])), pixel), c));
  }
}

/// So many pixels, no tap of which lies outside but those that are `known` to.
void DepthwiseKernel::tile(Value pixel, int64_t pixels,
                           std::optional<int64_t> known) {
  Value from = L.sub(L.mul(pixel, strides[x]), pads[x]);
  // As many sums as there are registers for, beside the taps' weights.
  int64_t most = e.target.numVectorRegs >= 32 && group == 1 ? 16 : 8;
  int64_t vectors = std::clamp<int64_t>(
      llvm::bit_floor(uint64_t(most / pixels)), 1, kVectors);
  int64_t whole =
      kernel[x] < 2 * kTaps ? 0 : kernel[x] / kTaps * kTaps; // in a loop
  overVectors(vectors, [&](int64_t count, const Idx &first) {
    auto channel = [&](int64_t v) {
      return L.add(first, L.uniform(int64_t(v * lanes)));
    };
    Sums sums = overRows(count * pixels, [&](Value line, Value tap,
                                             ValueRange before) {
      Value at = L.add(line, from);
      auto part = [&](Value j, int64_t taken, ValueRange s, int64_t number) {
        Sums next;
        for (int64_t v = 0; v < count; ++v)
          next.append(taps(L.add(at, L.mul(j, dilations[x])), L.add(tap, j),
                           taken, pixels, channel(v),
                           s.slice(v * pixels, pixels), known, number));
        return next;
      };
      Sums s(before);
      if (whole)
        s = e.loop(L.index(0), L.index(whole), kTaps, s,
                   [&](Value j, ValueRange s) { return part(j, kTaps, s, 0); });
      for (int64_t j = whole; j < kernel[x]; j += kTaps)
        s = part(L.index(j), std::min(kTaps, kernel[x] - j), s, j);
      return s;
    });
    for (int64_t v = 0; v < count; ++v)
      put(pixel, ArrayRef(sums).slice(v * pixels, pixels), channel(v));
  });
}

/// All of [first, end), none of which has a tap outside, by tiles of so many
/// pixels; there are at least as many.
void DepthwiseKernel::tiles(Value first, Value end, int64_t pixels) {
  Value last = L.sub(end, pixels);
  e.loop(first, end, pixels,
         [&](Value begin) { tile(L.min(begin, last), pixels); });
}

/// A pixel some of whose taps may lie outside.
void DepthwiseKernel::pixelAlone(Value pixel) {
  Value from = L.sub(L.mul(pixel, strides[x]), pads[x]);
  auto [begin, end] = tapsInside(x, from);
  overVectors(kVectors, [&, begin = begin, end = end](int64_t count,
                                                      const Idx &c) {
    auto next = [&](int64_t v) {
      return L.add(c, L.uniform(int64_t(v * lanes)));
    };
    // In the order of a tile, whose taps are few at a time.
    int64_t size = group == 1 ? kernel[x] : kTaps;
    Sums sums = overRows(count, [&](Value line, Value tap, ValueRange before) {
      Sums s(before);
      for (int64_t k = 0; k < kernel[x]; k += size) {
        Value low = group == 1 ? begin : L.max(begin, k);
        Value high = group == 1 ? end : L.min(end, k + size);
        for (int64_t i = 0; i < group; ++i)
          s = e.loop(low, high, 1, s, [&](Value j, ValueRange s) {
            Value at = L.add(L.add(line, from), L.mul(j, dilations[x]));
            Sums sums;
            for (int64_t v = 0; v < count; ++v)
              sums.push_back(fma(met(at, next(v), i),
                                 load(W, weightRow(L.add(tap, j), i), next(v)),
                                 s[v]));
            return sums;
          });
      }
      return s;
    });
    for (int64_t v = 0; v < count; ++v)
      put(pixel, sums[v], next(v));
  });
}

/// A row that is cut as it is known.
void DepthwiseKernel::wholeRow() {
  auto [row, pixels, left, right] = *cut;
  int64_t begin = left * pixels, end = row - right * pixels;
  for (int64_t i = 0; i < left; ++i) {
    int64_t first = std::min(i * pixels, row - pixels);
    tile(L.index(first), pixels, first);
  }
  // Of those between them the first one is whole, however few are left.
  if (end > begin)
    tiles(L.index(begin), L.index(std::max(end, begin + pixels)), pixels);
  for (int64_t i = right; i-- > 0;) {
    int64_t first = fromRight(row, pixels, i);
    tile(L.index(first), pixels, first);
  }
}

void DepthwiseKernel::task(Value number) {
  // Rows run fastest: those below each other share most of the input.
  SmallVector<SymExpr> order{dims[0], ceilDivOf(C, tiling.getChannels()),
                             ceilDivOf(out[x], tiling.getPixels())};
  order.append(out.begin(), out.begin() + x);
  SmallVector<Idx> place = e.delinearize(number, order);
  image = place[0].base;
  firstChannel = L.mul(place[1].base, tiling.getChannels());
  numChannels = L.min(L.sub(channels, firstChannel), tiling.getChannels());
  Value first = L.mul(place[2].base, tiling.getPixels());
  Value end = L.min(L.add(first, tiling.getPixels()), e.dim(out[x]));
  rowInImage = L.index(0);
  base.clear(), lo.clear(), hi.clear();
  for (size_t d = 0; d < x; ++d) {
    Value o = place[d + 3].base;
    rowInImage = L.add(L.mul(rowInImage, e.dim(out[d])), o);
    base.push_back(L.sub(L.mul(o, strides[d]), pads[d]));
    auto [l, h] = tapsInside(d, base.back());
    lo.push_back(l);
    hi.push_back(h);
  }
  row = L.add(L.mul(image, e.dim(productOf(ArrayRef(out).take_front(x)))),
              rowInImage);
  if (rowsOfRing) {
    Value top = place[3].base;
    fillRing(L.either(L.eq(number, e.begin), L.eq(top, 0)), first, end);
  }
  cut ? wholeRow() : partOfRow(first, end);
}

/// Pixels [first, end) of a row.
void DepthwiseKernel::partOfRow(Value first, Value end) {
  // Pixels [inside, behind) have all their taps inside.
  Value inside = first, behind = end;
  if (pads[x] || pads[x + rank]) {
    Value least = L.index(llvm::divideCeil(pads[x], strides[x]));
    Value room = L.add(width, pads[x] - dilations[x] * (kernel[x] - 1));
    inside = L.min(L.max(first, least), end);
    behind = L.max(L.min(end, ceilDiv(positive(room), strides[x])), inside);
  }
  Value count = L.sub(behind, inside);
  Value many = L.sge(count, kPixels);
  Value some = L.sge(count, kPixels / 2);
  e.ifThen(many, [&] { tiles(inside, behind, kPixels); });
  Value half = L.both(some, L.slt(count, kPixels));
  e.ifThen(half, [&] { tiles(inside, behind, kPixels / 2); });
  // Too few for a tile: one by one as well.
  inside = L.select(some, inside, end);
  behind = L.select(some, behind, end);
  Value left = L.sub(inside, first);
  e.loop(L.index(0), L.add(left, L.sub(end, behind)), 1, [&](Value i) {
    Value isLeft = L.slt(i, left);
    pixelAlone(
        L.select(isLeft, L.add(first, i), L.add(behind, L.sub(i, left))));
  });
}

void DepthwiseKernel::run() {
  e.info.tasks = dims[0] * ceilDivOf(C, tiling.getChannels()) *
                 ceilDivOf(out[x], tiling.getPixels()) *
                 productOf(ArrayRef(out).take_front(x));
  e.info.cost = productOf(getDims(op.getResult())) *
                std::accumulate(kernel.begin(), kernel.end(), group,
                                std::multiplies<int64_t>());
  e.loop(e.begin, e.end, 1, [&](Value number) { task(number); });
}

} // namespace

void emitDepthwiseKernel(KernelEmitter &e) {
  DepthwiseOp op;
  for (Operation &inside : e.body())
    if (auto found = dyn_cast<DepthwiseOp>(inside))
      op = found;
  BlockArgument stored = op ? storedImage(op) : BlockArgument();
  bool isRead = stored && getDims(stored) == getDims(op.getInput()) &&
                (stored == op.getInput() ||
                 getElementTypeOrSelf(op.getInput().getType()).isF32());
  auto weight = op ? dyn_cast<BlockArgument>(op.getWeight()) : nullptr;
  if (!isRead || !weight) {
    e.fail("a 'depthwise' kernel holds no depthwise "
           "convolution of stored operands");
    return;
  }
  int64_t group = op.getGroupSize(), lanes = e.vectorLanes();
  if (lanes % group && group % lanes) {
    e.fail("groups of " + std::to_string(group) +
           " channels do not fit into vectors of " + std::to_string(lanes));
    return;
  }
  if (auto tiling = e.tiling<CpuDepthwiseTilingAttr>())
    DepthwiseKernel{e, op, weight, tiling}.run();
}

} // namespace tenon
