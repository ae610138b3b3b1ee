//===- RowPanels.cpp - caches that attention reads as they lie ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Form/RowPanels.h"
#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/LoadPages.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/Ops/Slice.h"
#include "dialects/Tenon/IR/Ops/StorePages.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace tenon {

bool takesFirstRows(SliceOp slice) {
  SmallVector<SymExpr> from = getDims(slice.getInput()),
                       to = getDims(slice.getResult()),
                       starts = slice.getStarts().getSymExprs();
  for (size_t i = 0; i < from.size(); ++i)
    if (starts[i] != SymExpr(0) || slice.getSteps()[i] != 1 ||
        (i + 2 != from.size() && from[i] != to[i]))
      return false;
  return true;
}

/// The one pack_b that a matmul's operand is, and the views of it, the last one
/// first.
static PackBOp packOf(PackedMatMulOp matmul,
                      SmallVectorImpl<Operation *> &views) {
  Value packed = matmul.getPacked();
  for (Operation *view = packed.getDefiningOp();
       packed.hasOneUse() &&
       (isReshape(view) || isa_and_nonnull<BroadcastToOp>(view));
       view = packed.getDefiningOp()) {
    views.push_back(view);
    packed = view->getOperand(0);
  }
  auto pack = packed.getDefiningOp<PackBOp>();
  return pack && packed.hasOneUse() ? pack : nullptr;
}

/// What tenon-find-state says of the past that is appended to; null: nothing.
static DictionaryAttr stateOf(AppendOp append) {
  auto past = dyn_cast<BlockArgument>(append.getInput());
  auto main = past ? dyn_cast<func::FuncOp>(past.getOwner()->getParentOp())
                   : func::FuncOp();
  return main ? main.getArgAttrOfType<DictionaryAttr>(past.getArgNumber(),
                                                      "tenon.state")
              : DictionaryAttr();
}

namespace {
/// The rows of a cache as a pack reads them.
struct PackedRows {
  AppendOp append;
  Value scale;                   ///< a number that they are multiplied by
  SmallVector<Operation *> dead; ///< what only the pack needs, the last first
};
} // namespace

/// The rows, all or the first, of an append that a pack alone reads; no append
/// where it does not. Scaled ones only if `scaled`.
static PackedRows onlyReads(PackBOp pack, bool scaled) {
  PackedRows found;
  found.dead = {pack};
  Value rows = pack.getInput();
  auto mul = rows.getDefiningOp<MulOp>();
  for (unsigned i : {0, 1}) {
    if (!mul || !scaled || !rows.hasOneUse())
      break;
    Value number = mul->getOperand(i), other = mul->getOperand(1 - i);
    if (!matchPattern(number, m_Constant()) || !getDims(number).empty() ||
        getDims(other) != getDims(rows))
      continue;
    found.scale = number;
    found.dead.push_back(mul);
    rows = other;
    break;
  }
  if (auto slice = rows.getDefiningOp<SliceOp>()) {
    if (!rows.hasOneUse() || !takesFirstRows(slice))
      return {};
    found.dead.push_back(slice);
    rows = slice.getInput();
  }
  bool alone = llvm::all_of(rows.getUsers(), [&](Operation *user) {
    return user == found.dead.back() || isa<func::ReturnOp>(user);
  });
  if (alone)
    found.append = rows.getDefiningOp<AppendOp>();
  return found;
}

std::string unusedSymbol(func::FuncOp main, StringRef wanted) {
  std::vector<std::string> names;
  for (Type type : main.getArgumentTypes())
    for (const SymExpr &dim : getDims(type))
      dim.collectSymbols(names);
  std::string name = wanted.str();
  while (llvm::is_contained(names, name))
    name += "_";
  return name;
}

bool keepPages(PackedMatMulOp matmul, Type element, bool movesScale) {
  SmallVector<Operation *> views;
  PackBOp pack = packOf(matmul, views);
  PackedRows found = pack ? onlyReads(pack, movesScale) : PackedRows();
  AppendOp append = found.append;
  NamedAttrList state(append ? stateOf(append) : DictionaryAttr());
  if (state.empty() || !append.getCarried())
    return false;
  SmallVector<SymExpr> dims = getDims(append.getResult());
  std::optional<int64_t> size = dims.back().constant();
  bool transposed = pack.getTransposed();
  if (int64_t(append.getAxis()) + 2 != int64_t(dims.size()) || !size ||
      !getElementTypeOrSelf(append.getType()).isF32())
    return false;
  auto past = cast<BlockArgument>(append.getInput());
  auto main = cast<func::FuncOp>(past.getOwner()->getParentOp());
  OpBuilder b(pack);
  std::string table = unusedSymbol(main, "state.pages");
  state.set("pages", TypeAttr::get(element));
  state.set("table", b.getStringAttr(table));
  if (transposed)
    state.set("panels", b.getUnitAttr());
  main.setArgAttr(past.getArgNumber(), "tenon.state",
                  state.getDictionary(b.getContext()));
  // As many pages as there is room for.
  Location loc = pack.getLoc();
  Value rows = pack.getInput();
  auto pages = StorePagesOp::create(
      b, loc, append.getResult(), append.getFresh(), append.getRows(), element,
      *append.getCarried(), table, transposed);
  Value packed =
      LoadPagesOp::create(b, loc, pages, /*ends=*/Value(), uint64_t(*size),
                          getDims(rows).end()[-2].str(), table, transposed);
  SymExpr panels = getDims(packed).end()[-3];
  for (Operation *view : llvm::reverse(views)) {
    SmallVector<SymExpr> to = getDims(view->getResult(0));
    to.end()[-3] = panels;
    b.setInsertionPoint(view);
    packed =
        isReshape(view)
            ? createReshape(b, view->getLoc(), packed, to)
            : Value(BroadcastToOp::create(b, view->getLoc(), packed,
                                          DimsAttr::get(b.getContext(), to)));
  }
  matmul.getPackedMutable().assign(packed);
  if (found.scale) {
    b.setInsertionPoint(matmul);
    matmul.getLhsMutable().assign(
        MulOp::create(b, matmul.getLoc(), matmul.getLhs(), found.scale));
  }
  for (Operation *view : views)
    view->erase();
  for (Operation *op : found.dead)
    op->erase();
  return true;
}

bool readRowsAsPanels(PackedMatMulOp matmul) {
  SmallVector<Operation *> views;
  PackBOp pack = packOf(matmul, views);
  if (!pack || pack.getTransposed())
    return false;
  Value rows = pack.getInput(), memory = rows;
  if (auto slice = rows.getDefiningOp<SliceOp>())
    memory = takesFirstRows(slice) ? slice.getInput() : Value();
  SmallVector<SymExpr> dims = getDims(rows);
  std::optional<int64_t> width = dims.back().constant();
  // What an append makes lies in memory.
  if (!memory || !memory.getDefiningOp<AppendOp>() || !width ||
      *width % kPanelColumns != 0 ||
      !getElementTypeOrSelf(rows.getType()).isF32())
    return false;
  OpBuilder b(pack);
  dims.back() = SymExpr(*width / kPanelColumns);
  dims.push_back(SymExpr(kPanelColumns));
  Value split = createReshape(b, pack.getLoc(), rows, dims);
  SmallVector<int64_t> perm;
  for (size_t i = 0; i < dims.size(); ++i)
    perm.push_back(i);
  std::swap(perm[dims.size() - 3], perm[dims.size() - 2]);
  Value panels = createTranspose(b, pack.getLoc(), split, perm);
  pack.getResult().replaceAllUsesWith(panels);
  pack.erase();
  return true;
}

} // namespace tenon
