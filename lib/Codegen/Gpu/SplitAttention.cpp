//===- SplitAttention.cpp - attention of few queries ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Decoding has a query or a few of each head, and many keys: a block a head
// would leave most of a GPU idle. Here a block has 16 rows of queries, of all
// heads that share a head of keys, and one part of these, kKeysOfPart long:
//
//   each warp has some panels of 32 keys of the part:
//     scores = queries x keys, in registers, then in the warp's shared memory
//     each of them is pulled through what stands before the softmax
//     the rows' largest and sum follow; sums += weights x values, in registers
//   the block joins what its warps have found, in their order
//   it leaves that in scratch memory and counts up; the block that comes last
//   joins the parts, in their order, and computes the epilogue
//
// Where to cut the keys depends on nothing but their numbers, so bits do not
// depend on what else is in the run. Where there are more tiles than a GPU
// runs at once, or so many parts that leaving them would take too much memory,
// a block has all parts of its tile, one after the other, and joins them as it
// goes: the bits are the same.
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/SplitAttention.h"
#include "lib/Codegen/Gpu/GpuKernels.h"
#include "lib/Codegen/Gpu/SplitTile.h"

using namespace mlir;

namespace tenon {

/// Each row's sums, four at a time, which are one thread's in all loops.
void SplitTile::forItems(Body body) {
  e.loop(thread, L.mul(count, plan.quads), threads,
         [&](Value i) { body(L.div(i, plan.quads), L.rem(i, plan.quads)); });
}

/// What the block's warps have found, joined in their order.
SplitTile::Item SplitTile::ofWarps(Value r, Value quad) {
  auto at = [&](int64_t w, Value place) {
    return L.add(place, plan.warpsAt + w * plan.ofWarp());
  };
  Value rowsAt = L.add(r, kMmaRows * plan.rowOfO);
  Value sumsAt = L.add(L.mul(r, plan.rowOfO), L.mul(quad, kQuad));
  SmallVector<Value> largest;
  Item item{low, zero, L.constant(four, 0)};
  for (int64_t w = 0; w < warps; ++w) {
    largest.push_back(memory.load(f32, at(w, rowsAt)));
    item.largest = L.largerOf(item.largest, largest.back());
  }
  for (int64_t w = 0; w < warps; ++w) {
    Value scale = weightOf(e, largest[size_t(w)], item.largest);
    Value total = memory.load(f32, L.add(at(w, rowsAt), kMmaRows));
    item.total = L.add(item.total, L.mul(total, scale));
    item.sums =
        L.add(item.sums, scaled(memory.load(four, at(w, sumsAt)), scale));
  }
  return item;
}

SplitTile::Item SplitTile::joinItems(const Item &x, const Item &y) {
  Value largest = L.largerOf(x.largest, y.largest);
  Value ofX = weightOf(e, x.largest, largest),
        ofY = weightOf(e, y.largest, largest);
  return {largest, L.add(L.mul(x.total, ofX), L.mul(y.total, ofY)),
          L.add(scaled(x.sums, ofX), scaled(y.sums, ofY))};
}

SplitTile::Item SplitTile::loadJoined(Value r, Value quad) {
  Value at = L.add(L.mul(r, plan.rowOfO), L.mul(quad, kQuad));
  Value of = L.add(L.add(L.mul(r, plan.quads), quad),
                   plan.joinedAt + kMmaRows * plan.rowOfO);
  return {memory.load(f32, of),
          memory.load(f32, L.add(of, kMmaRows * plan.quads)),
          memory.load(four, L.add(at, plan.joinedAt))};
}

void SplitTile::storeJoined(const Item &item, Value r, Value quad) {
  Value at = L.add(L.mul(r, plan.rowOfO), L.mul(quad, kQuad));
  Value of = L.add(L.add(L.mul(r, plan.quads), quad),
                   plan.joinedAt + kMmaRows * plan.rowOfO);
  memory.store(item.largest, of);
  memory.store(item.total, L.add(of, kMmaRows * plan.quads));
  memory.store(item.sums, L.add(at, plan.joinedAt));
}

/// A row of a part in scratch memory: the sums, the largest score, the total.
void SplitTile::storePart(const Item &item, Value part, Value r, Value quad) {
  Value at = placeOfPart(part, r);
  LaneScope scope(L, kQuad);
  L.store(item.sums, left, Idx{L.add(at, L.mul(quad, kQuad)), 1, kQuad, {}},
          f32);
  e.ifThen(L.eq(quad, 0), [&] {
    LaneScope scalar(L, 1);
    Value of = L.add(at, plan.panels * kPanel);
    L.store(item.largest, left, L.uniform(of), f32);
    L.store(item.total, left, L.uniform(L.add(of, 1)), f32);
  });
}

SplitTile::Item SplitTile::loadPart(Value part, Value r, Value quad) {
  Value at = placeOfPart(part, r), of = L.add(at, plan.panels * kPanel);
  Item item;
  LaneScope scope(L, kQuad);
  item.sums =
      L.load(left, Idx{L.add(at, L.mul(quad, kQuad)), 1, kQuad, {}}, f32);
  LaneScope scalar(L, 1);
  item.largest = L.load(left, L.uniform(of), f32);
  item.total = L.load(left, L.uniform(L.add(of, 1)), f32);
  return item;
}

/// Counts the tile's blocks that have left their part; the same for all
/// threads.
Value SplitTile::isLast(Value blocks) {
  Value flag = L.index(plan.warpsAt), last = L.sub(blocks, 1);
  e.ifThen(L.eq(thread, 0), [&] {
    fenceDevice(e);
    Value before = countAround(e, counters, number, last);
    fenceDevice(e);
    memory.store(before, flag);
  });
  emitBarrier(e);
  Value before = memory.load(i32, flag);
  return L.eq(before, arith::IndexCastOp::create(b, L.loc, i32, last));
}

AttentionKeys::Parts SplitTile::allPanels() {
  return {L.index(0), L.div(L.add(nk, kPanel - 1), kPanel)};
}

/// The panels that some row of the tile may look at.
AttentionKeys::Parts SplitTile::panelsSeen() {
  if (seen.empty())
    return allPanels();
  Value end = L.add(first, count);
  auto ofHead = [&](Value batchIndex, Value begin, Value end) {
    return seen.of(e.delinearize(batchIndex, batch), begin, end);
  };
  AttentionKeys::Parts found;
  if (group == 1) {
    found = ofHead(matrix, first, end);
  } else {
    AttentionKeys::Parts all = seen.all();
    SmallVector<Value> widest =
        e.loop(L.div(first, m), L.div(L.add(end, L.sub(m, 1)), m), 1,
               {all.end, all.begin}, [&](Value head, ValueRange args) {
                 Value own = L.mul(head, m);
                 AttentionKeys::Parts of = ofHead(
                     L.add(L.mul(matrix, group), head),
                     L.max(L.sub(first, own), 0), L.min(L.sub(end, own), m));
                 return SmallVector<Value>{L.min(args[0], of.begin),
                                           L.max(args[1], of.end)};
               });
    found = {widest[0], widest[1]};
  }
  if (!shorter)
    return found;
  // Those are columns of the longest sequence's.
  auto own = [&](Value panel, int64_t up) {
    Value key = L.sub(L.mul(panel, kPanel), shorter);
    return L.div(L.add(L.max(key, 0), up), kPanel);
  };
  Value last = allPanels().end;
  return {own(found.begin, 0), L.min(own(found.end, kPanel - 1), last)};
}

void SplitTile::epilogue() {
  int64_t lanes = width % kQuad == 0 ? kQuad : 1, ofRow = width / lanes;
  e.loop(thread, L.mul(count, ofRow), threads, [&](Value i) {
    LaneScope scope(L, lanes);
    Value r = L.div(i, ofRow), c = L.mul(L.rem(i, ofRow), lanes);
    Value of = L.add(L.add(L.mul(r, plan.quads), L.div(c, kQuad)),
                     plan.joinedAt + kMmaRows * (plan.rowOfO + plan.quads));
    Value total = memory.load(f32, of);
    Value inverse = L.div(L.constant(f32, 1), total);
    Value x = memory.load(
        L.vec(f32), L.add(L.add(L.mul(r, plan.rowOfO), c), plan.joinedAt));
    x = L.mul(x, L.widen(inverse));
    // A row without a key: NaN, unless the model asks for 0.
    if (softmax.getGuard())
      x = L.select(L.ogt(total, zero), x, L.constLike(x, 0));
    e.bind(pv.getResult(), [x](ArrayRef<Idx>) { return x; });
    Row row = rowAt(r);
    SmallVector<Idx> idx(row.lead);
    Idx column = lanes == 1 ? L.uniform(c) : Idx{c, 1, lanes, {}};
    idx.append({L.uniform(row.row), column});
    Value all = L.add(L.mul(row.batchIndex, m), row.row);
    sink.store(e, idx, L.add(L.uniform(L.mul(all, width), lanes), column));
  });
}

/// Is any row of the tile masked whole, of what this thread has joined?
Value SplitTile::isAnyMasked() {
  Value none = L.constantInt(b.getI1Type(), 0);
  return e.loop(thread, L.mul(count, plan.quads), threads, none,
                [&](Value i, ValueRange args) {
                  Item item =
                      loadJoined(L.div(i, plan.quads), L.rem(i, plan.quads));
                  return SmallVector<Value>{
                      L.either(args[0], seen.isMasked(item.largest))};
                })[0];
}

/// Parts [begin, end) of what lies in `panels`: joined here, or left to others.
void SplitTile::passOverParts(Value begin, Value end,
                              const AttentionKeys::Parts &panels, Value alone) {
  Item nothing{low, zero, L.constant(four, 0)};
  int64_t share = kPanelsOfPart / warps;
  forItems([&](Value r, Value quad) { storeJoined(nothing, r, quad); });
  e.loop(begin, end, 1, [&](Value part) {
    Value from = L.add(L.mul(part, kPanelsOfPart), L.mul(warp, share));
    passOver(L.max(panels.begin, from), L.min(panels.end, L.add(from, share)));
    emitBarrier(e);
    forItems([&](Value r, Value quad) {
      Item item = ofWarps(r, quad);
      e.ifThen(alone, [&] {
        storeJoined(joinItems(loadJoined(r, quad), item), r, quad);
      });
      e.ifThen(L.no(alone), [&] { storePart(item, part, r, quad); });
    });
    emitBarrier(e); // what warps have found is read, and left
  });
}

/// What all blocks of the tile have left.
void SplitTile::joinParts() {
  forItems([&](Value r, Value quad) {
    SmallVector<Value> found =
        e.loop(L.index(0), e.dim(numParts), 1, {low, zero, L.constant(four, 0)},
               [&](Value part, ValueRange args) {
                 Item item = joinItems({args[0], args[1], args[2]},
                                       loadPart(part, r, quad));
                 return SmallVector<Value>{item.largest, item.total, item.sums};
               });
    storeJoined({found[0], found[1], found[2]}, r, quad);
  });
}

void SplitTile::run() {
  Type i1 = b.getI1Type();
  counters = e.scratchBuffer(TENON_GPU_COUNTER_BYTES / 4, i32);
  left =
      e.scratchBuffer(SymExpr::select(split, tiles * numParts * rowsKept, 0) *
                          (plan.panels * kPanel + kQuad),
                      f32);
  Value isSplit = L.ne(e.dim(split), 0), down = e.dim(this->down);
  Value blocks = e.dim(SymExpr::select(split, numParts, 1));
  number = L.div(e.begin, blocks);
  matrix = L.div(number, down);
  first = L.mul(L.rem(number, down), kMmaRows);
  count = L.min(L.sub(e.dim(rowsOfGroup), first), kMmaRows);
  findKeys();
  fillQueries();
  emitBarrier(e);
  AttentionKeys::Parts panels = panelsSeen(), all = allPanels();
  Value part = L.rem(e.begin, blocks), yes = L.constantInt(i1, 1);
  SmallVector<Value> state{
      part,          L.select(isSplit, L.add(part, 1), e.dim(numParts)),
      panels.begin,  panels.end,
      L.no(isSplit),
      /*again=*/yes,
      /*done=*/yes};
  // All keys, too, where some of them are left out and a row has no other.
  state = e.whileLoop(
      state, [](ValueRange args) { return args[5]; },
      [&](ValueRange args) {
        Value alone = args[4];
        passOverParts(args[0], args[1], {args[2], args[3]}, alone);
        Value done = e.ifElse(
            alone, i1, [&] { return yes; }, [&] { return isLast(blocks); });
        e.ifThen(L.both(done, L.no(alone)), [&] { joinParts(); });
        Value again = L.constantInt(i1, 0);
        if (!seen.empty()) {
          Value masked = emitBarrierAny(e, L.both(done, isAnyMasked()));
          Value fewer = L.ult(L.sub(args[3], args[2]), all.end);
          again = L.both(masked, fewer);
        }
        return SmallVector<Value>{
            L.index(0), e.dim(numParts), all.begin, all.end, yes, again, done};
      });
  if (width % kPanel != 0) // else each thread has the same elements there
    emitBarrier(e);
  e.ifThen(state[6], [&] { epilogue(); });
}

SplitAttention::SplitAttention(AttentionOps given) : ops(std::move(given)) {
  SmallVector<SymExpr> out = getDims(ops.pv.getResult());
  group = ops.countSharers();
  if (group < 1 ||
      !productOf(ArrayRef(out).drop_back(2)).divideExactly(SymExpr(group)))
    group = 1;
}

std::optional<SymExpr> SplitAttention::isFew() {
  SymExpr rows = getDims(ops.pv.getResult()).end()[-2],
          keys = getDims(ops.qk.getResult()).back();
  SymExpr few = SymExpr::apply(SymExpr::Fn::Le, rows * group, kFewRows);
  if (ops.K.getPages() || ops.V.getPages())
    return SymExpr(1);
  if (keys.constant().value_or(INT64_MAX) <= kKeysOfPart || keys == rows ||
      few.constant() == 0)
    return std::nullopt;
  return few;
}

int64_t SplitAttention::sharedElements(GpuAttentionTilingAttr tiling) {
  int64_t ofStep = tiling.getProducts() == MmaProducts::bf16 ||
                           tiling.getProducts() == MmaProducts::f16
                       ? 16
                       : 8;
  return SplitPlan(*getDims(ops.qk.getLhs()).back().constant(),
                   *getDims(ops.pv.getResult()).back().constant(), ofStep,
                   tiling.getThreads() / 32)
      .elements;
}

SymExpr SplitAttention::emit(KernelEmitter &e, GpuAttentionTilingAttr tiling,
                             int64_t elements) {
  SplitTile tile{e, ops, tiling, group, elements};
  tile.run();
  e.info.cost = productOf(tile.batch) * tile.M * tile.keys *
                (tile.depth + tile.width + 16);
  return SymExpr::select(tile.split, tile.tiles * tile.numParts, tile.tiles);
}

bool fitsFewQueries(KernelOp kernel, GpuAttentionTilingAttr tiling) {
  auto ops = AttentionOps::find(kernel);
  if (!ops)
    return true;
  SplitAttention split(*ops);
  std::optional<SymExpr> isFew = split.isFew();
  return !isFew || (!isFew->constant() &&
                    4 * split.sharedElements(tiling) <= kMostShared);
}

} // namespace tenon
