//===- KernelFunction.cpp - the function that a kernel becomes ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Emit/KernelFunction.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace tenon {

/// The arguments in front of the inputs.
enum Argument : unsigned { kBegin, kEnd, kScratch, kError, kFirstInput };

func::FuncOp createKernelFunction(KernelOp kernel, ModuleOp kernels,
                                  StringRef symbol) {
  OpBuilder b = OpBuilder::atBlockEnd(kernels.getBody());
  Type index = b.getIndexType();
  SmallVector<Type> types{index, index, memoryType(b.getI8Type()),
                          memoryType(b.getI64Type())};
  for (Value v : kernel.getInputs())
    types.push_back(memoryType(getElementTypeOrSelf(v.getType())));
  for (Value v : kernel.getResults())
    types.push_back(memoryType(getElementTypeOrSelf(v.getType())));
  auto func = func::FuncOp::create(b, kernel.getLoc(), symbol,
                                   b.getFunctionType(types, b.getI32Type()));
  func.addEntryBlock();
  return func;
}

KernelFunction::KernelFunction(KernelOp kernel, func::FuncOp func,
                               const TargetInfo &target, KernelInfo &info)
    : target(target), info(info), b(func.getContext()), L(b, func.getLoc(), 1),
      begin(func.getArgument(kBegin)), end(func.getArgument(kEnd)), op(kernel),
      func(func) {
  b.setInsertionPointToStart(&func.getBody().front());
  for (size_t i = 0; i < info.dims.size(); ++i)
    func.getBody().front().addArgument(b.getIndexType(), func.getLoc());
}

KernelOp KernelFunction::kernel() const { return cast<KernelOp>(op); }

TilingInterface KernelFunction::anyTiling() const {
  return kernel().getTilingAttr();
}

InFlightDiagnostic KernelFunction::fail(const Twine &message) {
  failed = true;
  return emitError(op->getLoc(), message);
}

InFlightDiagnostic KernelFunction::failOf(StringRef what) {
  return fail("a '" + stringifyKernelKind(kernel().getKind()) + "' kernel " +
              what);
}

//===----------------------------------------------------------------------===//
// Arguments and scratch
//===----------------------------------------------------------------------===//

Value KernelFunction::input(BlockArgument arg) const {
  return func->getRegion(0).getArgument(kFirstInput + arg.getArgNumber());
}

Value KernelFunction::result(unsigned i) const {
  return func->getRegion(0).getArgument(kFirstInput + op->getNumOperands() + i);
}

Value KernelFunction::errorRecord() const {
  return func->getRegion(0).getArgument(kError);
}

Value KernelFunction::dim(const SymExpr &e) {
  if (auto c = e.constant())
    return L.index(*c);
  unsigned first = firstDim();
  for (auto [i, d] : llvm::enumerate(info.dims))
    if (d == e)
      return func.getArgument(first + i);
  info.dims.push_back(e);
  return func.getBody().front().addArgument(b.getIndexType(), func.getLoc());
}

/// Behind all memory, and maps.
unsigned KernelFunction::firstDim() const {
  Block &entry = func->getRegion(0).front();
  unsigned first = kScratch;
  while (first < entry.getNumArguments() &&
         !entry.getArgument(first).getType().isIndex())
    ++first;
  return first;
}

Value KernelFunction::tensorMap(const TensorMap &map) {
  for (const SymExpr &d : map.dims)
    dim(d); // the runtime finds it among the dims
  Block &entry = func.getBody().front();
  Value added = entry.insertArgument(
      firstDim(), LLVM::LLVMPointerType::get(b.getContext()), func.getLoc());
  info.gpu->maps.push_back(map);
  return added;
}

Value KernelFunction::scratchBuffer(const SymExpr &elements, Type type) {
  int64_t bytes = std::max(1u, storageType(type).getIntOrFloatBitWidth() / 8);
  SymExpr size =
      SymExpr::apply(SymExpr::Fn::CeilDiv, elements * bytes, 64) * 64;
  Value offset = dim(info.scratchBytes);
  info.scratchBytes = info.scratchBytes + size;
  return memref::ViewOp::create(b, L.loc, memoryType(type),
                                func.getArgument(kScratch), offset,
                                ValueRange{dim(elements)});
}

void KernelFunction::finish(Value status) {
  func::ReturnOp::create(b, L.loc, status);
  SmallVector<Type> types(func.getBody().front().getArgumentTypes());
  func.setFunctionType(b.getFunctionType(types, {b.getI32Type()}));
}

//===----------------------------------------------------------------------===//
// Positions
//===----------------------------------------------------------------------===//

SmallVector<Idx> KernelFunction::delinearize(Value i, ArrayRef<SymExpr> dims) {
  SmallVector<Idx> idx(dims.size());
  for (size_t k = dims.size(); k-- > 0;) {
    if (dims[k].constant() == 1) {
      idx[k] = L.uniform(0);
      continue;
    }
    // The outermost dim that is not 1 takes what is left.
    bool last = llvm::all_of(dims.take_front(k),
                             [](auto &d) { return d.constant() == 1; });
    Value d = dim(dims[k]);
    idx[k] = L.uniform(last ? i : L.rem(i, d));
    if (!last)
      i = L.div(i, d);
  }
  return idx;
}

Idx KernelFunction::linearize(ArrayRef<Idx> idx, ArrayRef<SymExpr> dims) {
  Idx off = L.uniform(0);
  for (auto [i, d] : llvm::zip_equal(idx, dims)) {
    if (d.constant() == 1)
      continue;
    off = L.add(L.mul(off, dim(d)), i);
  }
  return off;
}

SmallVector<Idx> KernelFunction::broadcastIndex(ArrayRef<Idx> idx,
                                                ArrayRef<SymExpr> from,
                                                ArrayRef<SymExpr> to) {
  SmallVector<Idx> r;
  size_t skip = to.size() - from.size();
  for (size_t j = 0; j < from.size(); ++j) {
    const Idx &i = idx[j + skip];
    if (from[j] == to[j + skip])
      r.push_back(i);
    else if (from[j].constant() == 1)
      r.push_back(L.uniform(0));
    else if (auto c = from[j].constant(); c && *c > 1)
      r.push_back(i); // the check made the other side equal to it
    else {
      // Equal or 1, known only at run time.
      Value one = L.eq(dim(from[j]), 1);
      Value factor = L.select(one, L.index(0), L.index(1));
      r.push_back(L.mul(i, factor));
    }
  }
  return r;
}

} // namespace tenon
