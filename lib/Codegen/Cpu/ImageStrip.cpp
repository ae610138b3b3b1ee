//===- ImageStrip.cpp - the part of an image that a task reads ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block is a piece of some rows of the result, of several images where whole
// ones are small. What it meets of the image is one more box, whose rows lie in
// scratch memory one behind the other with their borders:
//
//   [image][tap of outer dims][row][pixel][channel]
//
// so that each element is copied about once, where patches hold it once for
// each tap; a position lies at an offset of its own, a tap at another, and
// nothing asks whether it is inside. Where no patch meets a border the image
// itself is read through such offsets, and nothing is copied.
//
// A block of many channels that meets neither the first nor the last row's
// border is read there as well, but for the positions at the ends of its rows.
// What those meet is copied, a few pixels of each row:
//
//   [row][pixels of the left end, pixels of the right end][channel]
//
// They are places of their own behind the others, with offsets of their own.
//
// Blocks of a dim differ by one at most: a thread of two has half the rows.
//
// All is written from the front to the back: the last vector of a run may write
// past its end, what follows sets that right.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/ImageStrip.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Cpu/PatchRows.h"
#include "lib/Codegen/Form/ChannelsLast.h"

using namespace mlir;

namespace tenon {

namespace {

/// As many positions hide the fetch of the next panels, and the copy of a
/// block's borders.
constexpr int64_t kLeast = 8 * kTileRows;
/// So many tasks give a few threads the same to do.
constexpr int64_t kTasks = 32;
/// So many channels are a run worth having.
constexpr int64_t kManyChannels = 64;
/// So many are worth being read in place, but for the ends of the rows.
constexpr int64_t kSomeChannels = 8;
/// Channels that are moved to the back on the way.
constexpr int64_t kFewChannels = 4;
/// Elements behind the last one that a copy may write as well.
constexpr int64_t kBehind = 16 * kFewChannels;

using Fn = SymExpr::Fn;
SymExpr atLeast(const SymExpr &x, const SymExpr &least) {
  return SymExpr::apply(Fn::Max, x, least);
}
SymExpr ceilDiv(const SymExpr &x, const SymExpr &y) {
  return SymExpr::apply(Fn::CeilDiv, x, y);
}

} // namespace

std::optional<ImageStrip::Source> ImageStrip::sourceOf(Im2ColOp op) {
  Value image = op.getInput();
  auto transpose = image.getDefiningOp<TransposeOp>();
  if (transpose)
    image = transpose.getInput();
  auto stored = dyn_cast<BlockArgument>(image);
  if (!stored || !computeType(getElementTypeOrSelf(image.getType())).isF32())
    return std::nullopt;
  if (transpose) {
    SmallVector<int64_t> perm(transpose.getPerm());
    std::rotate(perm.begin() + 1, perm.end() - 1, perm.end());
    bool last = llvm::all_of(llvm::enumerate(perm), [](auto p) {
      return p.value() == int64_t(p.index());
    });
    if (!last ||
        getDims(op.getInput()).back().constant().value_or(kFewChannels + 1) >
            kFewChannels)
      return std::nullopt;
  }
  return Source{stored, bool(transpose)};
}

bool ImageStrip::staysInPlace(Im2ColOp op, const Source &source,
                              const SymExpr &columns) {
  // Few columns have a matmul's rows where patches repeat nothing.
  return !source.channelsFirst &&
         getElementTypeOrSelf(source.image.getType()).isF32() &&
         (columns.constant().value_or(kPanelColumns) >= kPanelColumns ||
          patchesOverlap(op.getKernel(), op.getStrides(), op.getDilations())) &&
         llvm::all_of(op.getPads(), [](int64_t pad) { return pad == 0; });
}

ImageStrip::Runs ImageStrip::runsOf(Im2ColOp op, int64_t longest) {
  SymExpr C = getDims(op.getInput()).back();
  int64_t width = op.getKernel().back(), channels = C.constant().value_or(1);
  bool joined = op.getDilations().back() == 1 &&
                (channels < kManyChannels || width * channels <= longest);
  int64_t taps = 1;
  for (int64_t size : op.getKernel())
    taps *= size;
  if (joined)
    return {true, taps / width, C * SymExpr(width)};
  return {false, taps, C};
}

ImageStrip::ImageStrip(KernelEmitter &e, Im2ColOp op, const Source &source,
                       int64_t most, const SymExpr &panels, int64_t longest,
                       bool inPlace, bool apart)
    : e(e), op(op), source(source), inPlace(inPlace), mostly(false),
      hasRows(rank > 1 && (inPlace || dilations[x - 1] == 1)),
      dims(getDims(op.getInput())), out(patchPositions(op)), C(dims.back()) {
  Runs runs = runsOf(op, longest);
  joined = runs.joined, numTaps = runs.taps, run = runs.length;
  SymExpr share = ceilDiv(productOf(out), ceilDiv(SymExpr(kTasks), panels));
  SymExpr size = SymExpr::apply(Fn::Min, SymExpr(most), atLeast(share, kLeast));
  SymExpr pieces = ceilDiv(out[x], size), strips = 1, groups = 1;
  pixels = ceilDiv(out[x], pieces);
  rows = images = 1;
  if (hasRows) {
    strips = ceilDiv(out[x - 1], ceilDiv(size, pixels));
    rows = ceilDiv(out[x - 1], strips);
  }
  if (apart) {
    groups = dims[0];
  } else if (dims[0].constant() != 1) {
    SymExpr together = SymExpr::apply(Fn::FloorDiv, size, pixels * rows);
    groups = ceilDiv(dims[0], atLeast(together, 1));
    images = ceilDiv(dims[0], groups);
  }
  grid.push_back(groups);
  grid.append(out.begin(), out.begin() + outerDims());
  grid.append({strips, pieces});
  blocks = productOf(grid);
  places = images * rows * pixels;
  auto met = [&](const SymExpr &count, size_t d) {
    return atLeast(
        count * SymExpr(strides[d]) + SymExpr(extent(d) - strides[d]), 0);
  };
  widthOfStrip = met(pixels, x);
  rowsOfStrip = hasRows ? met(rows, x - 1) : SymExpr(1);
  mostly = !inPlace && hasInside(strips);
}

/// Positions at an end of a row that meet its border, at most.
int64_t ImageStrip::endPositions(int64_t pad) const {
  return llvm::divideCeil(pad, strides[x]);
}

/// Pixels of a row that those meet.
int64_t ImageStrip::endPixels(int64_t pad) const {
  int64_t count = endPositions(pad);
  return count ? (count - 1) * strides[x] + extent(x) : 0;
}

int64_t ImageStrip::widthOfEnds() const {
  return endPixels(pads[x]) + endPixels(pads[x + rank]);
}

/// Register tiles of a block's positions where the ends of rows are tiles of
/// their own, and as many as are worth it.
std::pair<SymExpr, SymExpr> ImageStrip::tilesApart() const {
  SymExpr ends = endPositions(pads[x]) + endPositions(pads[x + rank]);
  auto tiles = [&](const SymExpr &ofRow) {
    return ceilDiv(rows * ofRow, SymExpr(kTileRows));
  };
  SymExpr whole = tiles(pixels);
  return {tiles(atLeast(pixels - ends, 0)) + tiles(ends),
          whole + SymExpr::apply(Fn::FloorDiv, whole, SymExpr(64))};
}

/// Are there blocks, of so many strips, that are worth being read in place but
/// for the ends of their rows?
bool ImageStrip::hasInside(const SymExpr &strips) const {
  bool above = pads[0] || pads[rank];
  if (rank != 2 || !hasRows || source.channelsFirst ||
      C.constant().value_or(kSomeChannels) < kSomeChannels ||
      !getElementTypeOrSelf(source.image.getType()).isF32() ||
      (above && strips.constant().value_or(3) < 3))
    return false;
  auto [apart, most] = tilesApart();
  return !apart.constant() || !most.constant() ||
         *apart.constant() <= *most.constant();
}

int64_t ImageStrip::outerTaps() const {
  int64_t taps = 1;
  for (size_t d = 0; d < outerDims(); ++d)
    taps *= kernel[d];
  return taps;
}

void ImageStrip::prepare() {
  Type i64 = e.b.getI64Type();
  SymExpr width = widthOfStrip;
  if (mostly)
    width = atLeast(width, SymExpr(widthOfEnds()));
  memory = inPlace ? e.input(source.image)
                   : e.scratchBuffer(images * SymExpr(outerTaps()) *
                                             rowsOfStrip * width * C +
                                         SymExpr(kBehind),
                                     e.b.getF32Type());
  placeTable = e.scratchBuffer(places, i64);
  rowTable = e.scratchBuffer(places, i64);
  tapTable = e.scratchBuffer(SymExpr(mostly ? 3 * numTaps : numTaps), i64);
  noteTaps(inPlace ? Room::image : Room::strip, 0, index(0), index(0));
  if (mostly) { // behind those, where the first position counts taps anew
    noteTaps(Room::image, 0, index(0), index(1));
    noteTaps(Room::ends, 0, index(0), index(2));
  }
}

/// Of the taps along the dims from d on, where those before lie at `at` and
/// `tap` counts them.
void ImageStrip::noteTaps(Room room, size_t d, Value at, Value tap) {
  LaneBuilder &L = e.L;
  if (d == rank) {
    Value offset = arith::IndexCastOp::create(e.b, L.loc, e.b.getI64Type(),
                                              L.mul(at, e.dim(C)));
    memref::StoreOp::create(e.b, L.loc, offset, tapTable, tap);
    return;
  }
  int64_t taps = d == x && joined ? 1 : kernel[d];
  bool outer = d < outerDims(); // of a strip, which has what these meet alone
  SymExpr size = room == Room::image   ? dims[d + 1]
                 : outer               ? SymExpr(kernel[d])
                 : d < x               ? rowsOfStrip
                 : room == Room::strip ? widthOfStrip
                                       : SymExpr(widthOfEnds());
  int64_t apart = outer && room == Room::strip ? 1 : dilations[d];
  e.loop(index(0), index(taps), 1, [&](Value k) {
    noteTaps(room, d + 1, L.add(L.mul(at, e.dim(size)), L.mul(k, index(apart))),
             L.add(L.mul(tap, index(taps)), k));
  });
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

ImageStrip::Block ImageStrip::block(Value number) {
  LaneBuilder &L = e.L;
  SmallVector<Idx> at = e.delinearize(number, grid);
  Block block;
  auto part = [&](size_t d, const SymExpr &all) {
    auto begin = [&](Value i) {
      return L.div(L.mul(i, e.dim(all)), e.dim(grid[d]));
    };
    Value first = begin(at[d].base);
    return std::pair(first, L.sub(begin(L.add(at[d].base, index(1))), first));
  };
  std::tie(block.image, block.images) = part(0, dims[0]);
  for (size_t d = 0; d < outerDims(); ++d)
    block.outer.push_back(at[d + 1].base);
  std::tie(block.strip, block.rows) =
      part(grid.size() - 2, hasRows ? out[x - 1] : SymExpr(1));
  std::tie(block.piece, block.pixels) = part(grid.size() - 1, out[x]);
  if (mostly)
    findInside(block);
  return block;
}

/// Does the block meet the image's own rows alone? Then the positions at the
/// ends of its rows are counted.
void ImageStrip::findInside(Block &block) {
  LaneBuilder &L = e.L;
  size_t y = x - 1;
  Value height = e.dim(dims[rank - 1]), width = e.dim(dims[rank]);
  Value first = L.sub(L.mul(block.strip, strides[y]), pads[y]);
  Value met = L.add(L.mul(block.rows, strides[y]), extent(y) - strides[y]);
  // Of a row above the image `first` is a large number.
  block.inside = L.both(L.ult(first, height), L.uge(L.sub(height, first), met));
  if (images.constant() != 1)
    block.inside = L.both(block.inside, L.eq(block.images, 1));
  auto [apart, most] = tilesApart();
  if (!apart.constant() || !most.constant())
    block.inside = L.both(block.inside, L.ule(e.dim(apart), e.dim(most)));
  auto within = [&](Value count, Value most) {
    return L.min(L.max(count, 0), most);
  };
  int64_t ofLeft = endPositions(pads[x]),
          ofRight = endPositions(pads[x + rank]);
  Value left = within(L.sub(index(ofLeft), block.piece), block.pixels);
  // The first position that meets the right border.
  Value room = L.add(width, pads[x] - extent(x));
  Value behind = L.add(L.div(L.max(room, 0), strides[x]), 1);
  Value right = within(L.sub(L.add(block.piece, block.pixels), behind),
                       L.sub(block.pixels, left));
  block.inside = L.both(block.inside,
                        L.both(L.sge(room, 0), L.sge(index(ofRight), right)));
  block.left = L.select(block.inside, left, index(0));
  block.right = L.select(block.inside, right, index(0));
}

Value ImageStrip::countOf(const Block &block) {
  return e.L.mul(e.L.mul(block.images, block.rows), block.pixels);
}

SmallVector<ImageStrip::Part> ImageStrip::partsOf(const Block &block) {
  LaneBuilder &L = e.L;
  Value count = countOf(block);
  if (!mostly)
    return {{memory, index(0), count}};
  Value ends = L.mul(block.rows, L.add(block.left, block.right));
  Value image = arith::SelectOp::create(e.b, L.loc, block.inside,
                                        e.input(source.image), memory);
  Value taps = L.select(block.inside, index(numTaps), index(0));
  return {{image, taps, L.sub(count, ends)},
          {memory, index(2 * numTaps), ends}};
}

std::optional<ImageStrip::Behind> ImageStrip::behind(Value number) {
  LaneBuilder &L = e.L;
  if (source.channelsFirst ||
      !getElementTypeOrSelf(source.image.getType()).isF32())
    return std::nullopt;
  Value count = e.dim(blocks), next = L.add(number, index(1));
  Value all = e.dim(productOf(dims));
  // Rows that this block meets, too, are in the cache.
  size_t d = hasRows ? x - 1 : x;
  int64_t more = std::max<int64_t>(extent(d) - strides[d] - pads[d], 0);
  Value shared =
      L.mul(index(more), e.dim(productOf(ArrayRef(dims).drop_front(d + 2))));
  Behind b;
  b.image = e.input(source.image);
  b.begin = L.add(L.div(L.mul(all, next), count), shared);
  b.count = L.div(all, count);
  b.is = L.ult(next, count);
  return b;
}

/// The row of the result where the block's piece of one of its rows begins.
Value ImageStrip::rowOf(const Block &block, Value image, Value row) {
  LaneBuilder &L = e.L;
  Value at = L.add(block.image, image);
  for (auto [o, size] : llvm::zip(block.outer, out))
    at = L.add(L.mul(at, e.dim(size)), o);
  if (hasRows)
    at = L.add(L.mul(at, e.dim(out[x - 1])), L.add(block.strip, row));
  return L.add(L.mul(at, e.dim(out[x])), block.piece);
}

void ImageStrip::forRows(const Block &block, Run fn) {
  LaneBuilder &L = e.L;
  e.loop(index(0), block.images, 1, [&](Value i) {
    e.loop(index(0), block.rows, 1, [&](Value y) {
      Value line = L.add(L.mul(i, block.rows), y), row = rowOf(block, i, y);
      if (!mostly)
        return fn(L.mul(line, block.pixels), row, block.pixels);
      Value count = L.sub(block.pixels, L.add(block.left, block.right));
      fn(L.mul(line, count), L.add(row, block.left), count);
    });
  });
}

void ImageStrip::forRuns(const Block &block, Run fn) {
  LaneBuilder &L = e.L;
  forRows(block, fn);
  if (!mostly)
    return;
  // A block that has ends is of one image.
  Value both = L.add(block.left, block.right);
  Value before = L.mul(block.rows, L.sub(block.pixels, both));
  e.loop(index(0), block.rows, 1, [&](Value y) {
    Value row = rowOf(block, index(0), y);
    Value ends = L.add(before, L.mul(y, both));
    e.loop(index(0), index(2), 1, [&](Value end) {
      Value isLeft = L.eq(end, 0);
      fn(L.select(isLeft, ends, L.add(ends, block.left)),
         L.select(isLeft, row, L.add(row, L.sub(block.pixels, block.right))),
         L.select(isLeft, block.left, block.right));
    });
  });
}

Value ImageStrip::rowAt(Value place) {
  Value row = memref::LoadOp::create(e.b, e.L.loc, rowTable, place);
  return arith::IndexCastOp::create(e.b, e.L.loc, e.b.getIndexType(), row);
}

//===----------------------------------------------------------------------===//
// The copy
//===----------------------------------------------------------------------===//

void ImageStrip::copy(const Block &block) {
  LaneBuilder &L = e.L;
  e.loop(index(0), block.images, 1, [&](Value i) {
    auto strip = [&] {
      nest(block, 0, L.add(block.image, i), index(0), i, {});
    };
    if (mostly)
      e.ifThen(L.no(block.inside), strip);
    else if (!inPlace)
      strip();
    noteBlock(block, i);
  });
  if (mostly)
    e.ifThen(block.inside, [&] {
      copyEnds(block);
      noteEnds(block);
    });
}

/// `count` positions from place `first` on: row `row` of the result, whose
/// first tap lies at `pixel`, and those behind it.
void ImageStrip::notePlaces(Value first, Value count, Value row, Value pixel) {
  LaneBuilder &L = e.L;
  e.loop(index(0), count, 1, [&](Value p) {
    auto note = [&](Value v, Value table) {
      v = arith::IndexCastOp::create(e.b, L.loc, e.b.getI64Type(), v);
      memref::StoreOp::create(e.b, L.loc, v, table, L.add(first, p));
    };
    Value met = L.add(pixel, L.mul(p, index(strides[x])));
    note(L.mul(met, e.dim(C)), placeTable);
    note(L.add(row, p), rowTable);
  });
}

/// Of one of the block's images, but for the ends of rows.
void ImageStrip::noteBlock(const Block &block, Value image) {
  LaneBuilder &L = e.L;
  Value count = block.pixels;
  if (mostly)
    count = L.sub(count, L.add(block.left, block.right));
  e.loop(index(0), block.rows, 1, [&](Value y) {
    Value first = L.mul(L.add(L.mul(image, block.rows), y), count);
    Value row = rowOf(block, image, y);
    Value pixel =
        inPlace ? pixelOfImage(block, image, y) : pixelOfStrip(image, y);
    if (mostly) {
      pixel = L.select(block.inside, pixelOfImage(block, image, y), pixel);
      pixel = L.add(pixel, L.mul(block.left, strides[x]));
      row = L.add(row, block.left);
    }
    notePlaces(first, byRows ? L.min(count, 1) : count, row, pixel);
  });
}

/// What the positions at the ends of the rows meet.
void ImageStrip::copyEnds(const Block &block) {
  LaneBuilder &L = e.L;
  size_t y = x - 1;
  int64_t ofLeft = endPixels(pads[x]), all = widthOfEnds();
  Value base = L.sub(L.mul(block.strip, strides[y]), pads[y]);
  Value rowsMet = L.add(L.mul(block.rows, strides[y]), extent(y) - strides[y]);
  e.loop(index(0), rowsMet, 1, [&](Value r) {
    auto end = [&](Value first, Value count, int64_t behind) {
      Block part = block;
      part.piece = first;
      part.pixels = count;
      Value at = L.add(L.mul(r, all), behind);
      Value some = L.sge(count, 1);
      e.ifThen(some, [&] {
        line(part, block.image, L.add(base, r), L.mul(at, e.dim(C)), {});
      });
    };
    end(block.piece, block.left, 0);
    end(L.sub(L.add(block.piece, block.pixels), block.right), block.right,
        ofLeft);
  });
}

void ImageStrip::noteEnds(const Block &block) {
  LaneBuilder &L = e.L;
  int64_t ofLeft = endPixels(pads[x]), all = widthOfEnds();
  Value both = L.add(block.left, block.right);
  Value before = L.mul(block.rows, L.sub(block.pixels, both));
  e.loop(index(0), block.rows, 1, [&](Value y) {
    Value first = L.add(before, L.mul(y, both)),
          row = rowOf(block, index(0), y);
    Value pixel = L.mul(y, strides[x - 1] * all);
    notePlaces(first, block.left, row, pixel);
    notePlaces(L.add(first, block.left), block.right,
               L.add(row, L.sub(block.pixels, block.right)),
               L.add(pixel, ofLeft));
  });
}

/// Where the first tap of the first position in a block's row y lies.
Value ImageStrip::pixelOfStrip(Value image, Value y) {
  LaneBuilder &L = e.L;
  Value line = L.mul(L.mul(image, index(outerTaps())), e.dim(rowsOfStrip));
  if (hasRows)
    line = L.add(line, L.mul(y, index(strides[x - 1])));
  return L.mul(line, e.dim(widthOfStrip));
}

Value ImageStrip::pixelOfImage(const Block &block, Value image, Value y) {
  LaneBuilder &L = e.L;
  Value at = L.add(block.image, image);
  auto go = [&](size_t d, Value position) {
    at = L.add(L.mul(at, e.dim(dims[d + 1])),
               L.sub(L.mul(position, index(strides[d])), index(pads[d])));
  };
  for (auto [d, position] : llvm::enumerate(block.outer))
    go(d, position);
  if (hasRows)
    go(x - 1, L.add(block.strip, y));
  go(x, block.piece);
  return at;
}

/// Row `from` of the image's dims before d to row `to` of the strip's; null
/// `inside`: it certainly is.
void ImageStrip::nest(const Block &block, size_t d, Value image, Value from,
                      Value to, Value inside) {
  LaneBuilder &L = e.L;
  auto step = [&](Value where, Value number, int64_t numbers,
                  function_ref<void(Value, Value, Value)> fn) {
    Value size = e.dim(dims[d + 1]), is = inside;
    if (pads[d] || pads[d + rank]) {
      is = L.ult(where, size);
      is = inside ? L.both(inside, is) : is;
    }
    fn(L.add(L.mul(from, size), where),
       numbers ? L.add(L.mul(to, index(numbers)), number)
               : L.add(L.mul(to, e.dim(rowsOfStrip)), number),
       is);
  };
  if (d < outerDims()) {
    Value base =
        L.sub(L.mul(block.outer[d], index(strides[d])), index(pads[d]));
    return e.loop(index(0), index(kernel[d]), 1, [&](Value k) {
      step(L.add(base, L.mul(k, index(dilations[d]))), k, kernel[d],
           [&](Value from, Value to, Value inside) {
             nest(block, d + 1, image, from, to, inside);
           });
    });
  }
  auto row = [&](Value from, Value to, Value inside) {
    Value at = L.mul(L.mul(to, e.dim(widthOfStrip)), e.dim(C));
    line(block, image, from, at, inside);
  };
  if (d == x)
    return row(from, to, inside);
  Value base = L.sub(L.mul(block.strip, index(strides[d])), index(pads[d]));
  Value count = L.add(L.mul(block.rows, index(strides[d])),
                      index(extent(d) - strides[d]));
  e.loop(index(0), count, 1, [&](Value r) { step(L.add(base, r), r, 0, row); });
}

/// Of row `from` of an image what a piece meets, zeros where that is outside,
/// to `at` in the memory.
void ImageStrip::line(const Block &block, Value image, Value from, Value at,
                      Value inside) {
  LaneBuilder &L = e.L;
  Value zero = index(0);
  Value first = L.sub(L.mul(block.piece, index(strides[x])), index(pads[x]));
  Value count = L.add(L.mul(block.pixels, index(strides[x])),
                      index(extent(x) - strides[x]));
  // Pixels [begin, end) of the line are the image's.
  Value begin = zero, end = count;
  auto larger = [&](Value v, Value w) -> Value { return L.max(v, w); };
  bool padded = pads[x] || pads[x + rank];
  if (padded) {
    begin = L.min(larger(L.sub(zero, first), zero), count);
    end = larger(L.min(L.sub(e.dim(dims[rank]), first), count), begin);
  }
  if (inside) {
    begin = L.select(inside, begin, zero);
    end = L.select(inside, end, zero);
  }
  Value pixel = L.add(first, begin);
  Value where = L.add(at, L.mul(begin, e.dim(C)));
  if (padded)
    zeros(at, begin);
  if (source.channelsFirst) {
    interleave(image, from, pixel, where, L.sub(end, begin));
  } else {
    SymExpr lines = productOf(ArrayRef(dims).slice(1, x));
    Value row = L.add(L.mul(image, e.dim(lines)), from);
    Value element =
        L.mul(L.add(L.mul(row, e.dim(dims[rank])), pixel), e.dim(C));
    copyRun(element, where, L.sub(end, begin));
  }
  if (padded || inside)
    zeros(L.add(at, L.mul(end, e.dim(C))), L.sub(count, end));
}

void ImageStrip::copyRun(Value from, Value to, Value pixels) {
  LaneBuilder &L = e.L;
  Type element = getElementTypeOrSelf(source.image.getType());
  Value X = e.input(source.image);
  e.lanesLoop(L.mul(pixels, e.dim(C)), e.vectorLanes(), [&](Idx i) {
    Value v = L.load(X, L.add(L.uniform(from), i), element);
    LaneScope whole(L, L.lanes);
    L.store(v, memory, L.add(L.uniform(to), i), e.b.getF32Type());
  });
}

void ImageStrip::zeros(Value at, Value pixels) {
  LaneBuilder &L = e.L;
  Type f32 = e.b.getF32Type();
  e.lanesLoop(L.mul(pixels, e.dim(C)), e.vectorLanes(), [&](Idx i) {
    LaneScope whole(L, L.lanes);
    L.store(L.constant(L.vec(f32), 0), memory, L.add(L.uniform(at), i), f32);
  });
}

/// The same of an image with its channels first: a vector of each channel at a
/// time.
void ImageStrip::interleave(Value image, Value row, Value pixel, Value to,
                            Value pixels) {
  LaneBuilder &L = e.L;
  Type element = getElementTypeOrSelf(source.image.getType());
  Value X = e.input(source.image), width = e.dim(dims[rank]);
  int64_t channels = *C.constant();
  SymExpr lines = productOf(ArrayRef(dims).slice(1, x));
  e.lanesLoop(pixels, e.vectorLanes(), [&](Idx i) {
    SmallVector<Value> planes;
    for (int64_t c = 0; c < channels; ++c) {
      Value plane = L.add(L.mul(image, index(channels)), index(c));
      Value line = L.add(L.mul(plane, e.dim(lines)), row);
      Value from = L.add(L.mul(line, width), pixel);
      planes.push_back(L.load(X, L.add(L.uniform(from), i), element));
    }
    LaneScope whole(L, L.lanes);
    int64_t lanes = L.lanes;
    for (int64_t part = 0; part < channels; ++part) {
      // Lane l is element part * lanes + l: of channel c, which the c-th
      // shuffle brings in.
      Value v = planes[0];
      for (int64_t c = 1; c < channels; ++c) {
        SmallVector<int64_t> from;
        for (int64_t l = 0; l < lanes; ++l) {
          int64_t of = (part * lanes + l) % channels,
                  p = (part * lanes + l) / channels;
          from.push_back(of == c ? lanes + p : c == 1 ? p : l);
        }
        v = vector::ShuffleOp::create(e.b, L.loc, v, planes[c], from);
      }
      Value at =
          L.add(L.add(to, L.mul(i.base, index(channels))), index(part * lanes));
      L.store(v, memory, Idx{at, 1, 1, {}}, e.b.getF32Type());
    }
  });
}

} // namespace tenon
