//===- Tables.cpp - tables that rows are gathered from --------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/Tables.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Dequantize.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/PackB.h"
#include "dialects/Tenon/IR/Ops/PackWeight.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonGather.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/IR/TenonTiling.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "lib/Codegen/Form/ConstantView.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace tenon {

namespace {

/// In remarks.
constexpr StringLiteral kPass = "tenon-pack-matmul", kShare = "ShareTable";

/// Views, and what few elements become.
struct Maker {
  OpBuilder &b;
  Location loc;

  Value shape(Value v, ArrayRef<SymExpr> dims) {
    return createReshape(b, loc, v, dims);
  }
  /// [from, from + size) of a dim.
  Value cut(Value v, int64_t dim, int64_t from, int64_t size) {
    SmallVector<SymExpr> dims = getDims(v);
    if (from == 0 && dims[dim] == SymExpr(size))
      return v;
    SmallVector<SymExpr> starts(dims.size(), SymExpr(0));
    starts[dim] = SymExpr(from);
    dims[dim] = SymExpr(size);
    SmallVector<int64_t> steps(dims.size(), 1);
    return createSlice(b, loc, v, starts, steps, dims);
  }
  Value cast(Value v, Type type) {
    if (getElementTypeOrSelf(v.getType()) == type)
      return v;
    return CastOp::create(b, loc, v, TypeAttr::get(type), UnitAttr(),
                          RoundModeAttr());
  }
  Value bits(Value v, Type type) {
    if (getElementTypeOrSelf(v.getType()) == type)
      return v;
    return BitCastOp::create(b, loc, v, TypeAttr::get(type));
  }
  Value scalar(uint64_t value, Type type) {
    auto tensor = RankedTensorType::get({}, type);
    APInt number(type.getIntOrFloatBitWidth(), value);
    return ConstantOp::create(b, loc, tensor,
                              DenseElementsAttr::get(tensor, number));
  }
};

void replace(GatherOp gather, Value result) {
  if (Attribute name = gather->getAttr("tenon.value"))
    result.getDefiningOp()->setAttr("tenon.value", name);
  gather.getResult().replaceAllUsesWith(result);
  gather.erase();
}

//===----------------------------------------------------------------------===//
// Rows as they are stored
//===----------------------------------------------------------------------===//

/// The rows of a dequantised table, null where its blocks lie along what is
/// gathered.
Value dequantizeRows(OpBuilder &b, GatherOp gather, DequantizeOp table) {
  Maker make{b, table.getLoc()};
  int64_t axis = gather.getAxis();
  SmallVector<SymExpr> dims = getDims(table.getCodes()),
                       own = getDims(table.getScale());
  int64_t rank = getDims(gather.getIndices()).size();
  auto rows = [&](Value v) {
    return GatherOp::create(b, gather.getLoc(), v, gather.getIndices(),
                            gather.getAxis());
  };
  // One for each row that is gathered.
  if (table.getBlocks()[axis] == 1) {
    SmallVector<int64_t> blocks(table.getBlocks());
    blocks.erase(blocks.begin() + axis);
    blocks.insert(blocks.begin() + axis, rank, 1);
    return DequantizeOp::create(
        b, table.getLoc(), rows(table.getCodes()), rows(table.getScale()),
        table.getZero() ? Value(rows(table.getZero())) : Value(),
        b.getDenseI64ArrayAttr(blocks), table.getToAttr());
  }
  // One for all, or for each of what is not gathered.
  for (int64_t i = 0, e = dims.size(); i < e; ++i)
    if (own[i] != SymExpr(1) && (i == axis || own[i] != dims[i]))
      return nullptr;
  own.erase(own.begin() + axis);
  own.insert(own.begin() + axis, rank, SymExpr(1));
  Type f32 = b.getF32Type();
  auto parameter = [&](Value v) { return make.cast(make.shape(v, own), f32); };
  Value x = make.cast(rows(table.getCodes()), f32);
  if (Value zero = table.getZero())
    x = SubOp::create(b, table.getLoc(), x, parameter(zero));
  x = MulOp::create(b, table.getLoc(), x, parameter(table.getScale()));
  return make.cast(x, table.getTo());
}

//===----------------------------------------------------------------------===//
// Rows of panels
//===----------------------------------------------------------------------===//

/// [panels, K, 32] of f32 with the panels' columns next to each other again.
Value tableOf(OpBuilder &b, PackBOp pack) {
  Maker make{b, pack.getLoc()};
  SmallVector<SymExpr> dims = getDims(pack.getInput());
  bool transposed = pack.getTransposed();
  SymExpr columns = dims[transposed ? 0 : 1], rows = dims[transposed ? 1 : 0];
  SymExpr padded =
      SymExpr::apply(SymExpr::Fn::CeilDiv, columns, kPanelColumns) *
      kPanelColumns;
  Value v = createTranspose(b, make.loc, pack.getResult(),
                            transposed ? ArrayRef<int64_t>{0, 2, 1}
                                       : ArrayRef<int64_t>{1, 0, 2});
  v = make.shape(v, transposed ? ArrayRef<SymExpr>{padded, rows}
                               : ArrayRef<SymExpr>{rows, padded});
  int64_t dim = transposed ? 0 : 1;
  return padded == columns ? v : make.cut(v, dim, 0, *columns.constant());
}

/// The columns of panels in a format as rows of so many bytes: [N, bytes].
Value bytesOf(OpBuilder &b, PackWeightOp pack, int64_t bytes) {
  Maker make{b, pack.getLoc()};
  FormatAttr format = pack.getFormat();
  int64_t K = pack.getK(), N = pack.getN(), ofBlock = format.bytesOfBlock(K);
  int64_t panels = llvm::divideCeil(N, kPanelColumns);
  int64_t blocks = llvm::divideCeil(K, format.rowsOfBlock(K));
  int64_t groups = format.rowsOfBlock(K) / format.rowsOfGroup();
  int64_t ofColumn = format.bytesOfGroup() / kPanelColumns;
  Value v = make.cut(pack.getResult(), 1, 0, blocks * ofBlock);
  v = make.shape(v, {panels, blocks, ofBlock});
  v = make.cut(v, 2, format.bytesOfHeader(), groups * format.bytesOfGroup());
  v = make.shape(v, {panels, blocks, groups, kPanelColumns, ofColumn});
  v = createTranspose(b, make.loc, v, ArrayRef<int64_t>{0, 3, 1, 2, 4});
  v = make.shape(v, {panels * kPanelColumns, blocks * groups * ofColumn});
  return make.cut(make.cut(v, 0, 0, N), 1, 0, bytes);
}

/// Bytes [..., n] of a panel as the elements that the table has.
Value elementsOf(OpBuilder &b, Location loc, Value bytes, FormatAttr format,
                 Type type) {
  Maker make{b, loc};
  Type u8 = b.getIntegerType(8, false), u16 = b.getIntegerType(16, false);
  if (!isa<FloatType>(type)) {
    // Codes without a sign lie 128 lower in the format i8, those with one
    // higher in others.
    if (format.isInteger() == type.isUnsignedInteger())
      bytes = AddOp::create(b, loc, bytes, make.scalar(128, u8));
    return make.bits(bytes, type);
  }
  SmallVector<SymExpr> dims = getDims(bytes), pairs(dims);
  dims.back() = pairs.back() = SymExpr(*dims.back().constant() / 2);
  pairs.push_back(SymExpr(2));
  bytes = make.shape(bytes, pairs);
  auto half = [&](int64_t i) {
    Value v = make.cut(bytes, dims.size(), i, 1);
    return make.cast(make.shape(v, dims), u16);
  };
  Value high = MulOp::create(b, loc, half(1), make.scalar(256, u16));
  return make.bits(AddOp::create(b, loc, half(0), high), type);
}

/// Products that were packed leave what they read behind.
bool isDead(Operation *op) {
  return isPure(op) && !op->hasTrait<mlir::OpTrait::IsTerminator>() &&
         llvm::all_of(op->getUsers(), isDead);
}

/// Adds the gathers that read `v` or a view of it; false: others than they and
/// products do too.
bool findGathers(Value v, SmallVectorImpl<GatherOp> &gathers) {
  for (OpOperand &use : v.getUses()) {
    Operation *user = use.getOwner();
    auto gather = dyn_cast<GatherOp>(user);
    if (gather && use.getOperandNumber() == 0)
      gathers.push_back(gather);
    else if (isa<PackBOp, PackWeightOp>(user) || isDead(user))
      continue;
    else if (gather || !isReshape(user) ||
             !findGathers(user->getResult(0), gathers))
      return false;
  }
  return true;
}

struct Sharing {
  /// What is gathered from.
  SmallVector<ConstantOp> tables;

  explicit Sharing(Operation *root) {
    root->walk([&](GatherOp gather) {
      Value v = skipReshapes(gather.getInput());
      if (auto table = v.getDefiningOp<ConstantOp>())
        if (!llvm::is_contained(tables, table))
          tables.push_back(table);
    });
  }
  void share(PackBOp pack);
  void share(PackWeightOp pack);
  void share(PackWeightOp pack, ConstantOp table);
  static bool areEqual(ConstantOp x, ConstantOp y);
};

/// Have the two, of one type of elements, the same bytes? Exporters give a tied
/// embedding two names.
bool Sharing::areEqual(ConstantOp x, ConstantOp y) {
  if (x == y)
    return true;
  ElementsAttr a = x.getValue(), b = y.getValue();
  if (a.getElementType() != b.getElementType() ||
      a.getNumElements() != b.getNumElements() || isa<SplatElementsAttr>(a) ||
      isa<SplatElementsAttr>(b))
    return false;
  std::vector<char> copyA, copyB;
  auto dataA = rawData(a, copyA), dataB = rawData(b, copyB);
  bool known = bool(dataA) && bool(dataB);
  if (!dataA)
    llvm::consumeError(dataA.takeError());
  if (!dataB)
    llvm::consumeError(dataB.takeError());
  return known && memcmp(dataA->first, dataB->first,
                         a.getNumElements() * dataA->second) == 0;
}

void Sharing::share(PackBOp pack) {
  auto table = pack.getInput().getDefiningOp<ConstantOp>();
  SmallVector<GatherOp> gathers;
  if (!table || !llvm::is_contained(tables, table))
    return;
  bool alone = findGathers(table.getResult(), gathers);
  if (alone && gathers.empty())
    return;
  bool direct = llvm::all_of(gathers, [&](GatherOp gather) {
    return gather.getInput() == table.getResult();
  });
  StringRef why =
      !getElementTypeOrSelf(table.getType()).isF32() ? "the table is not of f32"
      : getDims(table.getResult()).size() != 2       ? "the table is no matrix"
      : !alone || !direct ? "more than gathers and one matmul reads the table"
                          : "";
  if (!why.empty())
    return noteMissed(kPass, pack, kShare, why);
  noteApplied(kPass, pack, kShare);
  pack->moveAfter(table);
  OpBuilder b(pack->getContext());
  b.setInsertionPointAfter(pack);
  Value rows = tableOf(b, pack);
  for (GatherOp gather : gathers)
    gather.getInputMutable().assign(rows);
}

void Sharing::share(PackWeightOp pack) {
  auto codes = pack.getCodes().getDefiningOp<ConstantOp>();
  for (ConstantOp table : tables)
    if (codes && areEqual(codes, table))
      return share(pack, table);
}

void Sharing::share(PackWeightOp pack, ConstantOp table) {
  MatrixAttr at = pack.getCodesAt();
  Type type = at.getElement(), stored = getElementTypeOrSelf(table.getType());
  FormatAttr format = pack.getFormat();
  int64_t K = pack.getK(), N = pack.getN();
  SmallVector<SymExpr> dims = getDims(table.getResult());
  int64_t bits = type.getIntOrFloatBitWidth() * K;
  // What the bytes of panels are without ado.
  bool isBytes = stored.isUnsignedInteger(8) && type.isUnsignedInteger() &&
                 !format.isInteger();
  SmallVector<GatherOp> gathers;
  bool alone = findGathers(table.getResult(), gathers);
  if (alone && gathers.empty())
    return;
  bool direct = llvm::all_of(gathers, [&](GatherOp gather) {
    return gather.getInput() == table.getResult() && gather.getAxis() == 0;
  });
  StringRef why =
      !alone ? "more than gathers and products read the table"
      : at.getOffset() != 0 || at.getStrideK() != 1 || at.getStrideN() != K ||
              productOf(dims) * SymExpr(stored.getIntOrFloatBitWidth()) !=
                  SymExpr(N * bits) ||
              bits % 8
          ? "its rows are no columns of the matrix"
      : isa<FloatType>(type) && type != format.getElement()
          ? "the product rounds the table's numbers"
      : isa<IntegerType>(type) && !isBytes &&
              (stored != type || type.getIntOrFloatBitWidth() != 8)
          ? "its codes of fewer than 8 bits have a sign, or a byte each"
          : "";
  if (why.empty() && !isBytes && (!direct || dims.size() != 2))
    why = "the table is no matrix whose rows are gathered";
  // Gathers come after the panels.
  SmallVector<Operation *> moved;
  for (Value operand : pack->getOperands())
    moved.push_back(operand.getDefiningOp());
  moved.push_back(pack);
  Block *block = table->getBlock();
  Operation *first = nullptr;
  for (Operation *user : table->getUsers())
    if (!isa<PackBOp, PackWeightOp>(user) &&
        (!first || (user->getBlock() == block && first->getBlock() == block &&
                    user->isBeforeInBlock(first))))
      first = user;
  if (why.empty() && (llvm::any_of(moved,
                                   [&](Operation *op) {
                                     return !op || op->getBlock() != block;
                                   }) ||
                      first->getBlock() != block))
    why = "the table is read in a branch or a loop";
  if (!why.empty())
    return noteMissed(kPass, pack, kShare, why);
  noteApplied(kPass, pack, kShare);
  for (Operation *op : moved)
    if (first->isBeforeInBlock(op))
      op->moveBefore(first);
  OpBuilder b(first);
  Value rows = bytesOf(b, pack, bits / 8);
  if (isBytes) {
    Value whole = Maker{b, pack.getLoc()}.shape(rows, dims);
    table.getResult().replaceUsesWithIf(whole, [](OpOperand &use) {
      return !isa<PackBOp, PackWeightOp>(use.getOwner());
    });
    return;
  }
  for (GatherOp gather : gathers) {
    b.setInsertionPoint(gather);
    Value bytes = GatherOp::create(b, gather.getLoc(), rows,
                                   gather.getIndices(), uint64_t(0));
    replace(gather, elementsOf(b, gather.getLoc(), bytes, format, stored));
  }
}

} // namespace

void gatherStoredRows(Operation *root) {
  // Of a small one all rows are made ready sooner than looked up.
  constexpr int64_t kSmall = 1 << 16;
  SmallVector<GatherOp> gathers;
  root->walk([&](GatherOp gather) { gathers.push_back(gather); });
  for (GatherOp gather : gathers) {
    Operation *source = gather.getInput().getDefiningOp();
    if (!isa_and_nonnull<CastOp, DequantizeOp>(source))
      continue;
    auto view = ConstantView::of(source->getOperand(0));
    if (!view || view->constant.getValue().getNumElements() <= kSmall)
      continue;
    OpBuilder b(gather);
    Value rows;
    if (auto table = dyn_cast<DequantizeOp>(source))
      rows = dequantizeRows(b, gather, table);
    else if (auto cast = dyn_cast<CastOp>(source))
      rows = CastOp::create(
          b, cast.getLoc(),
          GatherOp::create(b, gather.getLoc(), cast.getInput(),
                           gather.getIndices(), gather.getAxis()),
          cast.getToAttr(), cast.getUnsaturatedAttr(), cast.getRoundAttr());
    if (rows)
      replace(gather, rows);
  }
}

void shareTables(Operation *root) {
  Sharing sharing(root);
  if (sharing.tables.empty())
    return;
  SmallVector<PackBOp> packs;
  root->walk([&](PackBOp op) { packs.push_back(op); });
  for (PackBOp op : packs)
    sharing.share(op);
  SmallVector<PackWeightOp> formatted;
  root->walk([&](PackWeightOp op) { formatted.push_back(op); });
  for (PackWeightOp op : formatted)
    sharing.share(op);
}

} // namespace tenon
