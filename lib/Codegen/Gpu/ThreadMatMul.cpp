//===- ThreadMatMul.cpp - products and attention, a thread a task ---------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The forms that are right for every type, shape and fused expression: an
// element is one chain of multiply-adds in f32, or i32, whose operands are
// pulled.
//
//===----------------------------------------------------------------------===//
#include "dialects/Tenon/IR/Ops/LoadPages.h"
#include "dialects/Tenon/IR/Ops/PackedMatMul.h"
#include "dialects/Tenon/IR/TenonNorm.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Codegen/Emit/FusedProduct.h"
#include "lib/Codegen/Gpu/FormatNumbers.h"
#include "lib/Codegen/Gpu/GpuKernels.h"
#include "lib/Codegen/Gpu/SharedMemory.h"
#include <cmath>

using namespace mlir;

namespace tenon {

namespace {

/// The elements of one product.
class Product {
public:
  Product(KernelEmitter &e, PackedMatMulOp op)
      : e(e), leftOperand(op.getLhs()), rightOperand(op.getPacked()),
        layout(op.getFormatAttr()), lhs(getDims(leftOperand)),
        packed(getDims(rightOperand)), out(getDims(op.getResult())) {
    if (layout.format) // never computed
      if (auto operand = PackedOperand::of(e, op))
        memory = e.input(operand->getMemory());
  }

  /// The sum over k of left(k) * the right operand's element, at `idx` of the
  /// result.
  Value sum(ArrayRef<Idx> idx, function_ref<Value(Idx)> left,
            Value depth = {}) const {
    OpBuilder &b = e.b;
    Location loc = e.L.loc;
    Type type = layout.integer ? Type(b.getI32Type()) : Type(b.getF32Type());
    Value zero = e.L.constant(type, 0);
    return e.loop(e.L.index(0), depth ? depth : e.dim(lhs.back()), 1, zero,
                  [&](Value k, ValueRange args) {
                    Idx at = e.L.uniform(k);
                    Value x = left(at), y = right(idx, at), sum = args[0];
                    if (layout.integer) {
                      x = arith::ExtUIOp::create(b, loc, type, x);
                      x = arith::MulIOp::create(b, loc, x, y);
                      sum = arith::AddIOp::create(b, loc, sum, x);
                    } else {
                      sum = math::FmaOp::create(b, loc, x, y, sum);
                    }
                    return SmallVector<Value>{sum};
                  })[0];
  }
  Value element(ArrayRef<Idx> idx) const {
    return sum(idx, [&](Idx k) {
      SmallVector<Idx> at = e.broadcastIndex(
          idx.drop_back(2), ArrayRef(lhs).drop_back(2), batch());
      at.append({idx[idx.size() - 2], k});
      return e.emit(leftOperand, at);
    });
  }

private:
  ArrayRef<SymExpr> batch() const { return ArrayRef(out).drop_back(2); }
  Value right(ArrayRef<Idx> idx, const Idx &k) const {
    ArrayRef<SymExpr> own = ArrayRef(packed).drop_back(memory ? 2 : 3);
    SmallVector<Idx> at(own.size(), e.L.uniform(0));
    if (!llvm::all_of(own, [](auto &d) { return d.constant() == 1; }))
      at = e.broadcastIndex(idx.drop_back(2), own, batch());
    auto [panel, column] = e.L.divRem(idx.back(), e.L.index(kPanelColumns));
    if (memory) {
      at.push_back(panel);
      Value place = e.linearize(at, ArrayRef(packed).drop_back(1)).base;
      return loadNumber(e, layout, memory, e.dim(packed.back()), place, k.base,
                        column.base);
    }
    at.append({panel, k, column});
    return e.emit(rightOperand, at);
  }

  KernelEmitter &e;
  Value leftOperand, rightOperand;
  PanelLayout layout;
  Value memory; ///< of a right operand in a format
  SmallVector<SymExpr> lhs, packed, out;
};

} // namespace

void emitThreadMatMulKernel(KernelEmitter &e) {
  LaneBuilder &L = e.L;
  PackedMatMulOp op = findProduct(e);
  Sink sink(e);
  SmallVector<SymExpr> dims = getDims(sink.value);
  e.info.tasks = productOf(dims);
  e.info.cost =
      productOf(getDims(op.getResult())) * getDims(op.getLhs()).back();
  Product product(e, op);
  e.bind(op.getResult(),
         [product](ArrayRef<Idx> idx) { return product.element(idx); });
  e.loop(e.begin, e.end, 1, [&](Value task) {
    sink.store(e, e.delinearize(task, dims), L.uniform(task));
  });
}

/// An element of what a cache's pages hold is loaded, and opened.
static void bindPages(KernelEmitter &e, LoadPagesOp load) {
  auto pages = PackedOperand::trace(load.getResult(), /*knowsPages=*/true);
  if (!pages || !pages->getPages())
    return;
  e.bind(load.getResult(),
         [&e, load, pages = *pages](ArrayRef<Idx> idx) mutable -> Value {
           LaneBuilder &L = e.L;
           OpBuilder &b = e.b;
           SmallVector<SymExpr> dims = getDims(load.getResult());
           Value matrix =
               e.linearize(idx.drop_back(3), ArrayRef(dims).drop_back(3)).base;
           Value panel = idx.end()[-3].base, k = idx.end()[-2].base,
                 column = idx.end()[-1].base;
           bool inRows = pages.hasRowsInPages();
           Value row = inRows ? L.rem(k, kPanelColumns) : column;
           Value page = placeOfPage(e, *pages.getPages(), matrix,
                                    inRows ? L.div(k, kPanelColumns) : panel);
           Value begin = L.mul(page, pages.pageElements());
           Value at =
               L.add(begin, pages.inPage(L, inRows ? panel : L.index(0)));
           at = L.add(
               at, L.add(L.mul(inRows ? row : k, pages.rowsApart()), column));
           Type f32 = b.getF32Type();
           Value memory = e.input(pages.getMemory());
           Value x = L.load(memory, L.uniform(at),
                            pages.getElement() ? pages.getElement() : f32);
           if (!pages.hasScales())
             return x;
           Value scale = loadGlobal(e, globalPointer(e, memory), f32,
                                    L.add(begin, L.mul(row, 4)));
           return L.mul(L.toFloat(L.extend(x, b.getI32Type()), f32), scale);
         });
}

void emitThreadAttentionKernel(KernelEmitter &e) {
  LaneBuilder &L = e.L;
  OpBuilder &b = e.b;
  SmallVector<PackedMatMulOp> products(e.body().getOps<PackedMatMulOp>());
  SoftmaxOp softmax = *e.body().getOps<SoftmaxOp>().begin();
  PackedMatMulOp qk = products[0], pv = products[1];
  if (pv.getLhs() != softmax.getResult()) {
    e.fail("an attention on a GPU multiplies what its softmax gives; expected "
           "nothing between them");
    return;
  }
  Sink sink(e);
  SmallVector<SymExpr> out = getDims(pv.getResult());
  ArrayRef<SymExpr> rows = ArrayRef(out).drop_back();
  SymExpr keys = getDims(qk.getResult()).back(), columns = out.back();
  Type f32 = b.getF32Type();
  e.info.tasks = productOf(rows);
  e.info.cost =
      productOf(rows) * keys * (getDims(qk.getLhs()).back() + columns + 16);
  Value scores = e.scratchBuffer(keys, f32), nk = e.dim(keys),
        n = e.dim(columns), zero = L.index(0);
  for (auto load : e.body().getOps<LoadPagesOp>())
    bindPages(e, load);
  Product qkProduct(e, qk), pvProduct(e, pv);
  auto pages = PackedOperand::trace(qk.getPacked(), /*knowsPages=*/true);
  Value ends = pages ? pages->getEnds() : Value();
  e.loop(e.begin, e.end, 1, [&](Value task) {
    SmallVector<Idx> lead = e.delinearize(task, rows); // batch..., row
    auto with = [&](Value i) {
      SmallVector<Idx> idx(lead);
      idx.push_back(L.uniform(i));
      return idx;
    };
    // Of its sequence; what is pulled is of columns of the longest one's.
    Value own = nk, shorter = zero;
    if (ends) {
      Value matrix =
          pages->matrixAt(e, L.div(task, e.dim(rows.back())), rows.drop_back());
      Value sequence = L.div(matrix, e.dim(pages->getPages()->matrices));
      own = e.emit(ends, {L.uniform(sequence)});
      own = L.fromData(own, /*isUnsigned=*/false).base;
      shorter = L.sub(nk, own);
    }
    e.bind(qk.getResult(), [&](ArrayRef<Idx> idx) {
      SmallVector<Idx> at(idx);
      at.back() = L.uniform(L.sub(at.back().base, shorter));
      return qkProduct.element(at);
    });
    Value max =
        e.loop(zero, own, 1, L.constant(f32, -HUGE_VAL),
               [&](Value j, ValueRange args) {
                 Value x = e.emit(softmax.getInput(), with(L.add(j, shorter)));
                 L.store(x, scores, L.uniform(j), f32);
                 return SmallVector<Value>{L.largerOf(args[0], x)};
               })[0];
    Value sum =
        e.loop(zero, own, 1, L.constant(f32, 0), [&](Value j, ValueRange args) {
          Value x = L.load(scores, L.uniform(j), f32);
          x = L.sub(x, max);
          x = L.softmaxExp(x);
          L.store(x, scores, L.uniform(j), f32);
          return SmallVector<Value>{L.add(args[0], x)};
        })[0];
    Value one = L.constant(f32, 1);
    Value inverse = L.div(one, sum);
    e.bind(pv.getResult(), [&](ArrayRef<Idx> idx) -> Value {
      Value x = pvProduct.sum(
          idx, [&](Idx k) { return L.load(scores, k, f32); }, own);
      x = L.mul(x, inverse);
      if (!softmax.getGuard())
        return x;
      Value nan = L.isNan(inverse);
      return L.select(nan, L.constLike(x, 0), x);
    });
    e.loop(zero, n, 1, [&](Value column) {
      sink.store(e, with(column), L.uniform(L.add(L.mul(task, n), column)));
    });
  });
}

} // namespace tenon
