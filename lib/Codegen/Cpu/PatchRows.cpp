//===- PatchRows.cpp - patches of a stored image as rows ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Runs: with the channels last, a row of the kernel in all channels (one tap in
// all channels where the row is dilated or hangs over the border); with the
// channels first, a row of the kernel in one channel. A run's last vector may
// write past its end: the runs are written in order, so the next one sets that
// right.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Cpu/PatchRows.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonShape.h"

using namespace mlir;

namespace tenon {

SmallVector<SymExpr> patchPositions(Im2ColOp op) {
  ArrayRef<int64_t> kernel = op.getKernel(), pads = op.getPads();
  size_t rank = kernel.size(), first = op.getChannelsLast() ? 1 : 2;
  SmallVector<SymExpr> dims = getDims(op.getInput()), positions;
  for (size_t d = 0; d < rank; ++d) {
    SymExpr room = dims[first + d] + SymExpr(pads[d] + pads[d + rank]) -
                   SymExpr(op.getDilations()[d] * (kernel[d] - 1) + 1);
    positions.push_back(SymExpr::apply(SymExpr::Fn::FloorDiv, room,
                                       SymExpr(op.getStrides()[d])) +
                        1);
  }
  return positions;
}

std::optional<PatchRows> PatchRows::match(Value lhs) {
  SymExpr length = getDims(lhs).back();
  auto op = skipReshapes(lhs).getDefiningOp<Im2ColOp>();
  auto image = op ? dyn_cast<BlockArgument>(op.getInput()) : nullptr;
  if (!image || getDims(lhs).back() != length)
    return std::nullopt;
  Type element = getElementTypeOrSelf(image.getType());
  if (!computeType(element).isF32() && !element.isUnsignedInteger(8))
    return std::nullopt;
  return PatchRows(op, image);
}

namespace {

struct Copy {
  KernelEmitter &e;
  Im2ColOp op;
  Value X, rowSize;
  PatchRows::Put put;
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  bool last = op.getChannelsLast();
  SmallVector<SymExpr> dims = getDims(op.getInput());
  ArrayRef<int64_t> kernel = op.getKernel(), strides = op.getStrides(),
                    pads = op.getPads(), dilations = op.getDilations();
  size_t rank = kernel.size(), first = last ? 1 : 2, x = rank - 1;
  SymExpr C = last ? dims.back() : dims[1];
  Type element = getElementTypeOrSelf(op.getInput().getType());
  SmallVector<Value> base = {}; ///< where the first tap lies, for each dim
  Value image = {}, to = {};    ///< of the row

  void run(Value from, Value where, const SymExpr &length);
  void zeros(Value where, const SymExpr &length);
  bool padded(size_t d) const { return pads[d] || pads[d + rank]; }
  Value size(size_t d) { return e.dim(dims[first + d]); }
  Value both(Value v, Value w) { return v ? L.both(v, w) : w; }
  Value isInside(Value at, size_t d) { return L.ult(at, size(d)); }
  void line(Value at, Value tap, Value inside);
  void nest(size_t d, Value at, Value tap, Value inside);
  void row(Value number, Value r);
};

/// Copies a run of the image to `where` in the row.
void Copy::run(Value from, Value where, const SymExpr &length) {
  Value at = L.add(to, where);
  int64_t lanes = e.vectorLanes(), done = 0;
  auto piece = [&](Value count, int64_t lanes) {
    e.lanesLoop(count, lanes, [&](Idx i) {
      Idx own = L.add(i, L.uniform(done));
      Value v = L.load(X, L.add(L.uniform(from), own), element);
      LaneScope whole(L, L.lanes);
      put(v, L.add(L.uniform(at), own));
    });
  };
  // Bytes fill vectors that have several for each lane.
  std::optional<int64_t> known = length.constant();
  int64_t most = element.isInteger(8) && known ? 4 * lanes : lanes;
  for (int64_t wide = most; wide > lanes; wide /= 2)
    if (int64_t count = (*known - done) / wide * wide) {
      piece(L.index(count), wide);
      done += count;
    }
  if (!known || done < *known)
    piece(e.dim(length - SymExpr(done)), lanes);
}

void Copy::zeros(Value where, const SymExpr &length) {
  Value at = L.add(to, where);
  e.lanesLoop(e.dim(length), e.vectorLanes(), [&](Idx i) {
    LaneScope whole(L, L.lanes);
    Type type = L.vec(computeType(element));
    put(isa<FloatType>(element) ? L.constant(type, 0) : L.constantInt(type, 0),
        L.add(L.uniform(at), i));
  });
}

/// A row of the kernel. `at` counts rows of the image, `tap` the kernel's rows
/// of this patch; null `inside`: it certainly is.
void Copy::line(Value at, Value tap, Value inside) {
  int64_t width = kernel[x];
  SymExpr each = last ? C : SymExpr(1); // elements of a tap
  Value pixels = L.mul(at, size(x));
  Value taps = L.mul(tap, width);
  auto elements = [&](Value n) { return last ? L.mul(n, e.dim(C)) : n; };
  bool together = dilations[x] == 1;
  if (padded(x)) {
    Value end = L.add(base[x], (width - 1) * dilations[x]);
    Value whole = L.both(L.sge(base[x], 0), L.slt(end, size(x)));
    whole = both(inside, whole);
    auto tapByTap = [&] {
      e.loop(L.index(0), L.index(width), 1, [&](Value j) {
        Value pixel = L.add(base[x], L.mul(j, dilations[x]));
        Value is = both(inside, isInside(pixel, x));
        Value where = elements(L.add(taps, j));
        e.ifThen(is, [&] { run(elements(L.add(pixels, pixel)), where, each); });
        e.ifThen(L.no(is), [&] { zeros(where, each); });
      });
    };
    if (!together)
      return tapByTap();
    e.ifThen(whole, [&] {
      run(elements(L.add(pixels, base[x])), elements(taps), each * width);
    });
    return e.ifThen(L.no(whole), tapByTap);
  }
  auto copy = [&] {
    if (together)
      return run(elements(L.add(pixels, base[x])), elements(taps),
                 each * width);
    e.loop(L.index(0), L.index(width), 1, [&](Value j) {
      Value pixel = L.add(base[x], L.mul(j, dilations[x]));
      run(elements(L.add(pixels, pixel)), elements(L.add(taps, j)), each);
    });
  };
  if (!inside)
    return copy();
  e.ifThen(inside, copy);
  e.ifThen(L.no(inside), [&] { zeros(elements(taps), each * width); });
}

void Copy::nest(size_t d, Value at, Value tap, Value inside) {
  if (d == x)
    return line(at, tap, inside);
  e.loop(L.index(0), L.index(kernel[d]), 1, [&](Value i) {
    Value where = L.add(base[d], L.mul(i, dilations[d]));
    Value is = padded(d) ? both(inside, isInside(where, d)) : inside;
    nest(d + 1, L.add(L.mul(at, size(d)), where),
         L.add(L.mul(tap, kernel[d]), i), is);
  });
}

/// Patch `number` of all images' as row r.
void Copy::row(Value number, Value r) {
  SmallVector<SymExpr> order{dims[0]};
  order.append(patchPositions(op));
  SmallVector<Idx> place = e.delinearize(number, order);
  base.clear();
  for (size_t d = 0; d < rank; ++d)
    base.push_back(L.sub(L.mul(place[d + 1].base, strides[d]), pads[d]));
  image = place[0].base;
  to = L.mul(r, rowSize);
  if (last)
    return nest(0, image, L.index(0), {});
  e.loop(L.index(0), e.dim(C), 1,
         [&](Value c) { nest(0, L.add(L.mul(image, e.dim(C)), c), c, {}); });
}

} // namespace

void PatchRows::copy(KernelEmitter &e, Value rowSize, Put put, Value first,
                     Value begin, Value end) const {
  Copy rows{e, op, e.input(image), rowSize, put};
  e.loop(begin, end, 1, [&](Value r) { rows.row(e.L.add(first, r), r); });
}

} // namespace tenon
