//===- FormKernels.cpp - group the graph's ops into kernels ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Steps:
//   1. epilogues: each anchor claims the pointwise ops after it; matmul,
//      softmax, matmul in a row become one attention
//   2. placement: from the last op to the first, decide what reaches memory
//   3. outlining: one tenon.kernel per op that does, with the closure of the
//      ops that do not
//   4. results: a function result, or a branch's in a merge, that is no
//      kernel's own result is copied
//   5. numbers in which kernels differ are read from memory (ShareNumbers.h)
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/IR/Ops/BroadcastTo.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "dialects/Tenon/IR/Ops/LoadPages.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/Ops/Pad.h"
#include "dialects/Tenon/IR/Ops/Reshape.h"
#include "dialects/Tenon/IR/Ops/StorePages.h"
#include "dialects/Tenon/IR/Ops/Transpose.h"
#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonPanels.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "lib/Codegen/Form/AttentionCodes.h"
#include "lib/Codegen/Form/ChannelsLast.h"
#include "lib/Codegen/Form/CopyResults.h"
#include "lib/Codegen/Form/FewTerms.h"
#include "lib/Codegen/Form/GatedMatMul.h"
#include "lib/Codegen/Form/OwnLengths.h"
#include "lib/Codegen/Form/PackedWeight.h"
#include "lib/Codegen/Form/RowGathers.h"
#include "lib/Codegen/Form/RowPanels.h"
#include "lib/Codegen/Form/ShareNumbers.h"
#include "lib/Codegen/Form/StoredCodes.h"
#include "lib/Codegen/Form/Views.h"
#include "lib/Codegen/Form/Winograd.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Pass/Pass.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;

namespace tenon {
#define GEN_PASS_DECL_FORMKERNELSPASS
#define GEN_PASS_DEF_FORMKERNELSPASS
#include "lib/Codegen/Form/FormKernels.h.inc"

namespace {

/// In remarks.
constexpr StringLiteral kPass = "tenon-form-kernels";

bool hasRole(Operation *op, std::initializer_list<FusionRole> roles) {
  auto fusion = dyn_cast<FusionInterface>(op);
  return fusion && llvm::is_contained(roles, fusion.getFusionRole());
}
bool isAnchor(Operation *op) { return hasRole(op, {FusionRole::Anchor}); }
bool isNative(Operation *op) { return hasRole(op, {FusionRole::Native}); }
/// Worth storing once.
bool isLoop(Operation *op) {
  return hasRole(op, {FusionRole::Loop, FusionRole::Own, FusionRole::Native});
}
bool isElementwise(Operation *op) {
  return hasRole(op, {FusionRole::Elementwise});
}
/// Operations and operands from memory that a kernel may have, more or less:
/// what they cost to compile grows faster than their number, and above this
/// another pass over memory does not show beside them.
constexpr unsigned kMaxKernelSize = 128;

bool isSplat(Value v) {
  auto c = v.getDefiningOp<ConstantOp>();
  return c && isa<SplatElementsAttr>(c.getValue());
}

/// Does the op read the operand from memory alone?
bool readsFromMemory(Operation *op, Value operand) {
  auto fusion = dyn_cast<FusionInterface>(op);
  return llvm::any_of(op->getOpOperands(), [&](OpOperand &use) {
    return use.get() == operand &&
           (!fusion || fusion.readsMemory(use.getOperandNumber()));
  });
}

unsigned costOf(Operation *op) {
  auto fusion = dyn_cast<FusionInterface>(op);
  return fusion ? fusion.getFusionCost() : 0;
}

/// What the pass was asked for.
struct Choices {
  bool materializeAll;
  Type keys, values; // what states that attention reads hold; null: rows
  int64_t prologueColumns;
  bool finishedRows, gathersRows, turnedTiles, widensImages;
};

struct FormKernels : Choices {
  FormKernels(Block &block, const Choices &choices, bool isRagged)
      : Choices(choices), block(block), isRagged(isRagged) {}

  Block &block;  // main's, or a loop's body
  bool isRagged; // sequences must have lengths of their own
  /// Op -> the anchor whose epilogue it is part of (anchors: themselves).
  DenseMap<Operation *, Operation *> anchorOf;
  /// Anchor -> the op that ends its epilogue.
  DenseMap<Operation *, Operation *> rootOf;
  DenseSet<Value> stored; // reach memory
  DenseMap<Value, unsigned> treeCost;
  DenseSet<Value> large;           // would make a kernel too large: stored
  DenseSet<Operation *> attention; // the second matmul of each
  DenseSet<Operation *> scoresOf;  // the first
  DenseSet<Operation *> masks;     // computed inside attention
  SmallVector<AttentionProducts> products; // of each attention
  DenseSet<Operation *> rowSums;           // of codes, in an attention's rows
  DenseSet<Operation *> gated;             // matmuls whose halves come together

  void findEpilogues();
  Operation *joinHalves(Operation *anchor);
  Operation *endAtCodes(Operation *root);
  Operation *joinUsers(Value v, Operation &anchor);
  void joinAttention();
  void findLarge();
  void place();
  bool mustStore(Value v);
  bool isReadAsPanels(Value v);
  bool isViewOfPanels(Value v);
  bool isForOtherRuns(Value v, Operation *user);
  bool isMaskOfAttention(Value v);
  bool isMask(Value v, unsigned depth);
  bool isMovedByPatches(Value v, Operation *user);
  bool isMovedForRows(Value v);
  bool liesInRows(Value v);
  bool isPrologue(Value v, Operation *user);
  bool storeCodes(Value v);
  bool isLeftToMap(Value v);
  unsigned costOfNumber(Value v, unsigned most);
  bool isCheapNumber(Value v);
  void store(Value v);
  KernelOp outline(Operation *root);
  LogicalResult run();
};

/// The op at which the halves of a gated matmul have come together, claimed for
/// its epilogue with all before it; else the matmul itself.
Operation *FormKernels::joinHalves(Operation *anchor) {
  auto matmul = dyn_cast<PackedMatMulOp>(anchor);
  auto halves =
      matmul && !matmul.getWinograd() ? matchHalves(matmul) : std::nullopt;
  SmallVector<Operation *> inside;
  Operation *join =
      halves ? findJoin({halves->first, halves->second}, inside) : nullptr;
  if (!join || llvm::any_of(inside, [&](Operation *op) {
        return anchorOf.count(op) != 0;
      }))
    return anchor;
  gated.insert(anchor);
  inside.push_back(halves->first.getDefiningOp());
  inside.push_back(halves->second.getDefiningOp());
  for (Operation *op : inside)
    anchorOf[op] = anchor;
  return join;
}

/// The op at which all that is computed of `v` has come together (x times what
/// is computed of x), claimed for the epilogue with what stands between; null
/// where it reaches something else.
Operation *FormKernels::joinUsers(Value v, Operation &anchor) {
  SmallVector<Operation *> inside;
  Operation *join = findJoin({v}, inside);
  if (!join || llvm::any_of(inside, [&](Operation *op) {
        return anchorOf.count(op) != 0;
      }))
    return nullptr;
  for (Operation *op : inside)
    anchorOf[op] = &anchor;
  return join;
}

/// Of an epilogue that ends by widening codes these are what reaches memory,
/// where all that reads it can do so.
Operation *FormKernels::endAtCodes(Operation *root) {
  Value v = root->getResult(0), codes = codesBehind(v);
  Operation *end = codes ? codes.getDefiningOp() : nullptr;
  if (materializeAll || !end || anchorOf.lookup(end) != anchorOf.lookup(root) ||
      !widensInPlace(v, widensImages))
    return root;
  for (; root != end; root = root->getOperand(0).getDefiningOp())
    anchorOf.erase(root);
  return end;
}

void FormKernels::findEpilogues() {
  for (Operation &op : block) {
    if (!isAnchor(&op))
      continue;
    anchorOf[&op] = &op;
    Operation *root = materializeAll ? &op : joinHalves(&op);
    SmallVector<SymExpr> dims = getDims(root->getResult(0));
    for (unsigned size = 0; !materializeAll && size < kMaxKernelSize; ++size) {
      Value v = root->getResult(0);
      Operation *user = nullptr;
      bool single = true;
      for (Operation *u : v.getUsers()) {
        single &= !user || user == u;
        user = u;
      }
      if (Operation *join = single ? nullptr : joinUsers(v, op)) {
        noteApplied(kPass, join, "Epilogue");
        root = join;
        continue;
      }
      StringRef why = !user                        ? "nothing uses it"
                      : !single                    ? "it has several users"
                      : user->getBlock() != &block ? "its user is elsewhere"
                      : !isElementwise(user) ? "its user is not elementwise"
                      : anchorOf.count(user) ? "its user is another's epilogue"
                      : getDims(user->getResult(0)) != dims
                          ? "its user has other dims"
                          : "";
      if (!why.empty()) {
        noteMissed(kPass, root, "Epilogue", why);
        break;
      }
      noteApplied(kPass, user, "Epilogue");
      anchorOf[user] = &op;
      root = user;
    }
    root = endAtCodes(root);
    // A transpose that keeps columns contiguous, or turns a tile, is where the
    // result is stored.
    auto product = dyn_cast<PackedMatMulOp>(op);
    if (!materializeAll && product && root->getResult(0).hasOneUse()) {
      auto t = dyn_cast<TransposeOp>(*root->getResult(0).getUsers().begin());
      if (t && t->getBlock() == &block &&
          (t.getPerm().back() == (int64_t)t.getPerm().size() - 1 ||
           (turnedTiles && turnsTiles(product, t)))) {
        anchorOf[t] = &op;
        root = t;
      }
    }
    rootOf[&op] = root;
  }
}

void FormKernels::joinAttention() {
  for (auto pv : block.getOps<PackedMatMulOp>()) {
    // What a quantised model does to probabilities is the softmax's epilogue.
    Operation *weights = pv.getLhs().getDefiningOp();
    auto softmax = dyn_cast_or_null<SoftmaxOp>(
        weights ? anchorOf.lookup(weights) : nullptr);
    if (!softmax)
      continue;
    Value scores = softmax.getInput();
    Operation *end = scores.getDefiningOp();
    auto qk =
        dyn_cast_or_null<PackedMatMulOp>(end ? anchorOf.lookup(end) : nullptr);
    auto rows =
        readsRowsAlone(pv, [&](Operation *op) { return anchorOf.lookup(op); });
    SmallVector<SymExpr> s = getDims(scores), o = getDims(pv.getResult());
    SmallVector<SymExpr> v = getDims(pv.getPacked());
    StringRef why =
        !rows              ? "the softmax has several users"
        : softmax.getLog() ? "it is a log softmax"
        : rootOf.lookup(softmax) != weights ||
                (!finishedRows && weights != softmax.getOperation())
            ? "something stands between the softmax and the matmul"
        : !qk || rootOf.lookup(qk) != end || isa<TransposeOp>(end)
            ? "the scores are no matmul with its epilogue"
        : !scores.hasOneUse() ? "the scores have several users"
        : qk.getFormatAttr() && !(finishedRows && isOfCodes(qk))
            ? "the scores are a product in a format"
        : pv.getFormatAttr() && !(finishedRows && isOfCodes(pv))
            ? "the values are in a format"
        : attention.count(qk) || gated.count(qk) || gated.count(pv)
            ? "a matmul of it is part of another kernel"
        : !getElementTypeOrSelf(scores.getType()).isF32()
            ? "the scores are not f32"
        : s.size() < 3 ||
                ArrayRef(s).drop_back(2) != ArrayRef(o).drop_back(2) ||
                v.size() != o.size() + (pv.getFormatAttr() ? 0 : 1)
            ? "the scores' leading dims are not the values'"
            : "";
    if (!why.empty()) {
      noteMissed(kPass, pv, "Attention", why);
      continue;
    }
    noteApplied(kPass, pv, "Attention");
    rootOf.erase(qk);
    rootOf.erase(softmax);
    attention.insert(pv);
    scoresOf.insert(qk);
    rowSums.insert(rows->begin(), rows->end());
    if (values && keepPages(pv, values, /*movesScale=*/false))
      noteApplied(kPass, pv, "Values kept in pages");
    else if (readRowsAsPanels(pv))
      noteApplied(kPass, pv, "Values as they lie");
    if (keys && keepPages(qk, keys, /*movesScale=*/bool(values)))
      noteApplied(kPass, qk, "Keys kept in pages");
    products.push_back({qk, softmax, pv});
  }
}

/// Has each of the last two dims several elements, or may have?
bool isMatrix(Value v) {
  SmallVector<SymExpr> dims = getDims(v);
  return dims.size() >= 2 && dims.back().constant() != 1 &&
         dims[dims.size() - 2].constant() != 1;
}

/// Made from ranges, and from what varies along one of the last two dims only.
bool FormKernels::isMask(Value v, unsigned depth) {
  if (!isMatrix(v))
    return true;
  Operation *op = v.getDefiningOp();
  if (!op || op->getBlock() != &block || depth == 0)
    return false;
  if (isSplat(v))
    return true;
  if (!isa<BroadcastToOp, ReshapeOp>(op) &&
      !(isElementwise(op) && costOf(op) <= 1))
    return false;
  return llvm::all_of(op->getOperands(),
                      [&](Value o) { return isMask(o, depth - 1); });
}

/// Computing such a mask anew costs less than reading it, and what it masks
/// can be left out.
bool FormKernels::isMaskOfAttention(Value v) {
  constexpr unsigned kDepth = 12, kCost = 16;
  return isMatrix(v) && treeCost.lookup(v) <= kCost &&
         llvm::all_of(v.getUsers(),
                      [&](Operation *user) {
                        return masks.contains(user) || isa<ReduceOp>(user) ||
                               (isElementwise(user) &&
                                scoresOf.contains(anchorOf.lookup(user)));
                      }) &&
         isMask(v, kDepth);
}

/// Do products alone read it, through views or not, as their panels?
bool FormKernels::isReadAsPanels(Value v) {
  return llvm::all_of(v.getUses(), [&](OpOperand &use) {
    Operation *user = use.getOwner();
    return user->getBlock() == &block &&
           (isa<PackedMatMulOp>(user) ? use.getOperandNumber() == 1
                                      : isa<BroadcastToOp, ReshapeOp>(user) &&
                                            isReadAsPanels(user->getResult(0)));
  });
}

/// A view of panels that matmuls follow themselves; of codes one that repeats
/// them.
bool FormKernels::isViewOfPanels(Value v) {
  Value source = v;
  bool repeats = false;
  while (Operation *view = source.getDefiningOp()) {
    if (!isa<BroadcastToOp, ReshapeOp>(view))
      break;
    repeats |= isa<BroadcastToOp>(view);
    source = view->getOperand(0);
  }
  return (repeats ||
          isa_and_nonnull<PackBOp, LoadPagesOp>(source.getDefiningOp()) ||
          rowsOfPanels(source)) &&
         isReadAsPanels(v);
}

/// Does the user run where another takes `v` to its pages, or that where it
/// does not? An append and its tenon.store_pages have the same new rows.
bool FormKernels::isForOtherRuns(Value v, Operation *user) {
  return isa<AppendOp>(user) && llvm::any_of(v.getUsers(), [&](Operation *o) {
           auto store = dyn_cast<StorePagesOp>(o);
           return store && store.getInput() == user->getResult(0);
         });
}

/// Is one of the products by these rows in a format?
bool areMultipliedInFormat(Value rows) {
  return llvm::any_of(rows.getUsers(), [](Operation *user) {
    auto product = dyn_cast<PackedMatMulOp>(user);
    return isa<ReshapeOp>(user) ? areMultipliedInFormat(user->getResult(0))
                                : product && product.getFormatAttr();
  });
}

/// Few channels of an image in memory that a product of its patches moves to
/// the back itself. One in a format copies runs of what lies in memory: other
/// patches it would compute, element by element.
bool FormKernels::isMovedByPatches(Value v, Operation *user) {
  constexpr int64_t few = 4;
  auto transpose = v.getDefiningOp<TransposeOp>();
  auto patches = dyn_cast<Im2ColOp>(user);
  if (!transpose || !patches || user->getBlock() != &block ||
      !patches.getChannelsLast() ||
      areMultipliedInFormat(patches.getResult()) ||
      getDims(v).back().constant().value_or(few + 1) > few ||
      !patchesOverlap(patches.getKernel(), patches.getStrides(),
                      patches.getDilations()))
    return false;
  Value image = transpose.getInput();
  if (image.getDefiningOp() && !image.getDefiningOp<ConstantOp>())
    store(image);
  return true;
}

/// A transpose by which the elements of long rows come together. A norm, or a
/// gather of rows, that read them where they are would fetch a line for each,
/// and again for the rows beside. Codes are turned by squares before a pad.
bool FormKernels::isMovedForRows(Value v) {
  constexpr int64_t kLong = 64, kMany = 16;
  if (!v.getDefiningOp<TransposeOp>())
    return false;
  bool areCodes = getElementTypeOrSelf(v.getType()).isInteger(8) &&
                  getDims(v).back().constant().value_or(1) >= kMany;
  SmallVector<Value> views{v};
  while (!views.empty()) {
    Value view = views.pop_back_val();
    bool isLong = getDims(view).back().constant().value_or(kLong) >= kLong;
    for (Operation *user : view.getUsers())
      if (isa<ReshapeOp>(user))
        views.push_back(user->getResult(0));
      else if (((isLong && isa<SoftmaxOp, LayerNormOp, RmsNormOp>(user)) ||
                (areCodes && isa<PadOp>(user)) ||
                (gathersRows && isGatherOfRows(user))) &&
               user->getOperand(0) == view && isStrided(view))
        return true;
  }
  return false;
}

/// Computed of what lies in memory as it does itself: nothing moves elements.
bool FormKernels::liesInRows(Value v) {
  Operation *op = v.getDefiningOp();
  if (!op || op->getBlock() != &block || isa<ConstantOp>(op) ||
      anchorOf.count(op) || isLoop(op))
    return true;
  return (isElementwise(op) || isa<ReshapeOp>(op)) &&
         llvm::all_of(op->getOperands(),
                      [&](Value o) { return liesInRows(o); });
}

/// An operation or two on the rows of an f32 product of few columns, whose
/// tasks pack each row once: another pass over memory costs more. So the scale
/// of squeezed channels is taken by the convolution behind it.
bool FormKernels::isPrologue(Value v, Operation *user) {
  constexpr unsigned kCost = 2;
  auto product = dyn_cast<PackedMatMulOp>(user);
  return product && !product.getFormatAttr() && v.hasOneUse() &&
         isElementwise(v.getDefiningOp()) && treeCost.lookup(v) <= kCost &&
         liesInRows(v) &&
         getDims(product.getResult()).back().constant().value_or(INT64_MAX) <=
             prologueColumns;
}

/// Gathered from along its rows alone: the map computes each row once. Or all
/// that reads it is one map, where the values behind it are then as well.
bool FormKernels::isLeftToMap(Value v) {
  auto mayFuse = [&](Operation *op) {
    return op->getBlock() == &block && !anchorOf.count(op) && !isLoop(op);
  };
  return gathersRows &&
         (findMapOfRows(v, stored, mayFuse) || isOfOneMap(v, stored, mayFuse));
}

/// Of one number, from what is stored on; more than `most` is not told apart.
/// Larger tensors that several ops read are stored if they cost something.
unsigned FormKernels::costOfNumber(Value v, unsigned most) {
  Operation *op = v.getDefiningOp();
  if (!op || op->getBlock() != &block || isa<ConstantOp>(op) ||
      anchorOf.count(op) || isLoop(op))
    return 0;
  unsigned cost = costOf(op);
  for (Value o : op->getOperands()) {
    if (cost > most)
      break;
    if (isOneElement(o))
      cost += costOfNumber(o, most - cost);
    else if (o.hasOneUse())
      cost += treeCost.lookup(o);
  }
  return cost;
}

/// One number that is computed where it is used: a kernel, and a step of each
/// run, costs more. What takes more than an operation or two is computed by
/// other numbers alone, not in the loops of tensors.
bool FormKernels::isCheapNumber(Value v) {
  constexpr unsigned kCost = 2;
  constexpr int64_t kFew = 2;
  if (!isOneElement(v))
    return false;
  bool ofNumbers = true;
  for (OpOperand &use : v.getUses()) {
    Operation *user = use.getOwner();
    auto fusion = dyn_cast<FusionInterface>(user);
    if (!fusion || user->getBlock() != &block ||
        fusion.readsMemory(use.getOperandNumber()) || isa<PackedMatMulOp>(user))
      return false;
    Value result = user->getResult(0);
    if (isa<ReshapeOp>(user) && stored.contains(result))
      return false;
    ofNumbers &=
        productOf(getDims(result)).constant().value_or(kFew + 1) <= kFew;
  }
  return ofNumbers || costOfNumber(v, kCost) <= kCost;
}

/// Lets the codes that `v` widens reach memory, not `v`; false where it widens
/// none, or they are part of an epilogue or turned. A weight's numbers are made
/// once.
bool FormKernels::storeCodes(Value v) {
  Value codes = codesBehind(v);
  Operation *def = codes ? codes.getDefiningOp() : nullptr;
  Operation *anchor = anchorOf.lookup(def);
  if (!def || def->getBlock() != &block || isa<ConstantOp>(def) ||
      areTurned(codes) || (anchor && rootOf.lookup(anchor) != def))
    return false;
  store(codes);
  return true;
}

bool FormKernels::mustStore(Value v) {
  Operation *op = v.getDefiningOp();
  if (rowSums.contains(op) || isForWinograd(op))
    return false;
  if (materializeAll || anchorOf.count(op) || isLoop(op) || large.contains(v) ||
      isMovedForRows(v) || (gathersRows && isMadeOfRows(v)))
    return true;
  if (isViewOfPanels(v) || isCheapNumber(v) || isLeftToMap(v) ||
      isReadByWindows(v, treeCost.lookup(v)) ||
      (gathersRows && areColumnsOfWindows(v, stored)))
    return false;
  if (isMaskOfAttention(v)) {
    masks.insert(op);
    return false;
  }
  unsigned cost = treeCost.lookup(v);
  unsigned uses = 0;
  for (OpOperand &use : v.getUses()) {
    Operation *user = use.getOwner();
    if (isForOtherRuns(v, user))
      continue;
    ++uses;
    auto fusion = dyn_cast<FusionInterface>(user);
    if (isMovedByPatches(v, user) ||
        (widensImages && isWidenedImage(use) && storeCodes(v)))
      continue;
    if ((isa<BroadcastToOp>(user) && isViewOfPanels(user->getResult(0))) ||
        areWindowsToStore(v, user))
      return true;
    if (!fusion || user->getBlock() != &block ||
        fusion.readsMemory(use.getOperandNumber()))
      return true;
    // A matmul of many columns packs rows that do not lie in place once per
    // panel range and thread; attention packs each row of Q once.
    if (isa<PackedMatMulOp>(user) &&
        (use.getOperandNumber() == 1 ||
         (cost > 0 && !scoresOf.contains(user) && !isPrologue(v, user))))
      return true;
    if (auto reshape = dyn_cast<ReshapeOp>(user)) {
      if (stored.count(reshape.getResult()) || !isSimpleReshape(reshape))
        return true;
    }
    if (cost > 0 && fusion.rereads(use.getOperandNumber())) {
      Value source = findSource(v, user, treeCost);
      if (!source)
        return true;
      store(source);
    }
  }
  return uses > 1 && cost > 2 && !storeCodes(v);
}

void FormKernels::store(Value v) {
  stored.insert(v);
  // A stored reshape is an alias: what it reads must be in memory.
  if (auto reshape = v.getDefiningOp<ReshapeOp>())
    if (reshape.getInput().getDefiningOp())
      store(reshape.getInput());
}

/// From the front: each op that is computed where its users are counts there.
void FormKernels::findLarge() {
  DenseMap<Value, unsigned> sizes;
  for (Operation &op : block) {
    if (op.getNumResults() != 1 ||
        isa<ConstantOp, KernelOp, MergeOp, LoopOp>(op))
      continue;
    Value v = op.getResult(0);
    unsigned size = 1;
    for (Value o : op.getOperands())
      if (!isSplat(o))
        size += std::max(sizes.lookup(o), 1u);
    if (isAnchor(&op) || isLoop(&op) || anchorOf.count(&op) ||
        (!v.hasOneUse() && treeCost.lookup(v) > 2))
      continue; // stored anyway
    if (size > kMaxKernelSize)
      large.insert(v);
    else
      sizes[v] = size;
  }
}

void FormKernels::place() {
  for (auto loop : block.getOps<LoopOp>())
    stored.insert(loop.getResults().begin(), loop.getResults().end());
  // Costs first, from the front, as if everything were inlined.
  for (Operation &op : block) {
    if (op.getNumResults() != 1 ||
        isa<ConstantOp, KernelOp, MergeOp, LoopOp>(op))
      continue;
    if (isAnchor(&op) || isLoop(&op) || anchorOf.count(&op))
      continue; // stored: costs nothing to read
    unsigned cost = costOf(&op);
    if (!isa<Im2ColOp>(op)) // whose input is stored if it costs anything
      for (Value o : op.getOperands())
        cost += treeCost.lookup(o);
    treeCost[op.getResult(0)] = std::min(cost, 1000u);
  }
  findLarge();
  for (Operation &op : llvm::reverse(block)) {
    if (op.getNumResults() != 1 || isa<ConstantOp, LoopOp>(op))
      continue;
    Value v = op.getResult(0);
    if (isa<MergeOp>(op)) {
      stored.insert(v);
      continue;
    }
    if (auto anchor = anchorOf.lookup(&op)) {
      if (rootOf.lookup(anchor) == &op)
        stored.insert(v);
      continue;
    }
    if (isPackedWeight(&op)) {
      auto pack = dyn_cast<PackBOp>(op);
      if (pack && pack.getInput().getDefiningOp<ReshapeOp>())
        store(pack.getInput());
      continue;
    }
    if (!stored.count(v) && mustStore(v))
      store(v);
  }
  // A reshape of something in memory is an alias rather than arithmetic.
  for (auto reshape : block.getOps<ReshapeOp>()) {
    Value in = reshape.getInput();
    if (!in.getDefiningOp() || stored.count(in) ||
        in.getDefiningOp<ConstantOp>())
      stored.insert(reshape.getResult());
  }
}

KernelOp FormKernels::outline(Operation *root) {
  // The closure: ops that are not stored, back from the root. Operands first,
  // in their order: the text of a kernel, by which equal ones are found, does
  // not depend on where the graph computes them.
  auto isInside = [&](Operation *op, Value o) {
    Operation *def = o.getDefiningOp();
    if (!def || def->getBlock() != &block || isNative(op))
      return false;
    if (isa<ConstantOp>(def))
      return isSplat(o) && !readsFromMemory(op, o);
    return !stored.count(o) && !isPackedWeight(def);
  };
  llvm::SetVector<Operation *> order;
  SmallVector<std::pair<Operation *, unsigned>> path{{root, 0}};
  while (!path.empty()) {
    auto &[op, next] = path.back();
    if (next == op->getNumOperands()) {
      order.insert(op);
      path.pop_back();
      continue;
    }
    Value o = op->getOperand(next++);
    if (isInside(op, o) && !order.contains(o.getDefiningOp()))
      path.push_back({o.getDefiningOp(), 0});
  }
  llvm::SetVector<Value> inputs;
  for (Operation *op : order)
    for (Value o : op->getOperands())
      if (!isInside(op, o))
        inputs.insert(o);
  OpBuilder b(root);
  SmallVector<Location> locs;
  for (Operation *op : order)
    if (!isa<ConstantOp>(op))
      locs.push_back(op->getLoc());
  auto kernel = KernelOp::create(b, FusedLoc::get(b.getContext(), locs),
                                 root->getResultTypes(), inputs.getArrayRef(),
                                 KernelKind::map);
  Block *body = b.createBlock(&kernel.getBody());
  IRMapping map;
  for (Value v : inputs)
    map.map(v, body->addArgument(v.getType(), v.getLoc()));
  b.setInsertionPointToStart(body);
  for (Operation *op : order) {
    Operation *clone = b.clone(*op, map);
    clone->removeAttr("tenon.value");
  }
  YieldOp::create(b, root->getLoc(), map.lookup(root->getResult(0)));
  kernel.setKind(KernelOp::kindOf(*body).value_or(KernelKind::map));
  noteApplied(kPass, kernel,
              (stringifyKernelKind(kernel.getKind()) + " kernel").str());
  if (Attribute name = root->getAttr("tenon.value"))
    kernel->setAttr("tenon.value", name);
  return kernel;
}

LogicalResult FormKernels::run() {
  separatePatches(block);
  findEpilogues();
  if (!materializeAll)
    joinAttention();
  auto main = dyn_cast<func::FuncOp>(block.getParentOp());
  if (main && failed(takeOwnLengths(main, products, isRagged)))
    return failure();
  place();
  SmallVector<Operation *> roots;
  for (Operation &op : block)
    if (op.getNumResults() == 1 &&
        !isa<ConstantOp, ReshapeOp, MergeOp, LoopOp>(op) &&
        stored.count(op.getResult(0)))
      roots.push_back(&op);
  for (Operation *root : roots) {
    KernelOp kernel = outline(root);
    root->getResult(0).replaceAllUsesWith(kernel.getResult(0));
    stored.insert(kernel.getResult(0));
  }
  copyResults(block);
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (isOpTriviallyDead(&op))
      op.erase();
  for (auto loop : block.getOps<LoopOp>())
    if (failed(FormKernels(loop.getBody().front(), *this, /*isRagged=*/false)
                   .run()))
      return failure();
  return success();
}

/// What --kv=`name` keeps; null for a name that is none.
Type keptType(StringRef name, MLIRContext *context) {
  return llvm::StringSwitch<Type>(name)
      .Case("f32", Float32Type::get(context))
      .Case("bf16", BFloat16Type::get(context))
      .Case("f16", Float16Type::get(context))
      .Case("int8", IntegerType::get(context, 8))
      .Default(nullptr);
}

struct FormKernelsPass : ::tenon::impl::FormKernelsPassBase<FormKernelsPass> {
  using FormKernelsPassBase::FormKernelsPassBase;
  void runOnOperation() override {
    auto module = dyn_cast<ModuleOp>(getOperation());
    if (!module)
      return;
    Type values = kv.empty() ? Type() : keptType(kv, &getContext());
    Type keys = kv.empty() ? Type(Float32Type::get(&getContext())) : values;
    if (!keys) {
      module.emitError("expected a kv of f32, bf16, f16 or int8, found ") << kv;
      return signalPassFailure();
    }
    Choices choices{materializeAll, keys,        values,      prologueColumns,
                    finishedRows,   gathersRows, turnedTiles, widensImages};
    for (auto func : module.getOps<func::FuncOp>())
      if (!func.isExternal()) {
        FormKernels kernels(func.getBody().front(), choices,
                            ragged && func.getName() == "main");
        if (failed(kernels.run()))
          return signalPassFailure();
        shareNumbers(func);
      }
  }
};

} // namespace
} // namespace tenon
