//===- Wgmma.cpp - products of warpgroups ---------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Codegen/Gpu/Wgmma.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace tenon {

void giveRegisters(KernelEmitter &e, int64_t left) {
  NVVM::SetMaxRegisterOp::create(e.b, e.L.loc, uint32_t(left),
                                 NVVM::SetMaxRegisterAction::decrease);
}

void takeRegisters(KernelEmitter &e, int64_t wanted) {
  NVVM::SetMaxRegisterOp::create(e.b, e.L.loc, uint32_t(wanted),
                                 NVVM::SetMaxRegisterAction::increase);
}

/// PTX ISA, "Matrix descriptor": the address, the distance of the next 8
/// columns, and the swizzle of 128 bytes, the latter two in all of them.
WgmmaMatrix Wgmma::describe(const SharedArray &memory, Value at) const {
  OpBuilder &b = e.b;
  LaneBuilder &L = e.L;
  constexpr uint64_t swizzle128 = 1ull << 62, leading = 1ull << 16,
                     stride = uint64_t(kSwizzleAlignment >> 4) << 32;
  Type i32 = b.getI32Type(), i64 = b.getI64Type();
  Value address = LLVM::PtrToIntOp::create(b, L.loc, i32, memory.at(at));
  Value units = L.shiftRight(address, L.constantInt(i32, 4));
  Value fields = arith::ExtUIOp::create(
      b, L.loc, i64, L.both(units, L.constantInt(i32, 0x3fff)));
  return {arith::OrIOp::create(
      b, L.loc, fields,
      L.constantInt(i64, int64_t(swizzle128 | stride | leading)))};
}

void Wgmma::store(const SharedArray &memory, Value x, Value to,
                  int64_t plane) const {
  OpBuilder &b = e.b;
  LaneBuilder &L = e.L;
  auto shape = dyn_cast<VectorType>(x.getType());
  if (mma.isNarrow()) {
    Type type = mma.narrowType();
    if (shape)
      type = VectorType::get(shape.getShape(), type);
    return memory.store(arith::TruncFOp::create(b, L.loc, type, x), to);
  }
  auto rounded = [&](Value x) -> Value {
    if (!shape)
      return mma.roundTF32(x);
    SmallVector<Value> all;
    for (int64_t i = 0; i < shape.getNumElements(); ++i)
      all.push_back(mma.roundTF32(vector::ExtractOp::create(b, L.loc, x, i)));
    return vector::FromElementsOp::create(
        b, L.loc, VectorType::get(shape.getShape(), b.getI32Type()), all);
  };
  Value high = rounded(x);
  memory.store(high, to);
  if (mma.getProducts() != MmaProducts::tf32x3)
    return;
  Value back = arith::BitcastOp::create(b, L.loc, x.getType(), high);
  memory.store(rounded(L.sub(x, back)), L.add(to, plane));
}

SmallVector<Value> Wgmma::multiply(ValueRange sums,
                                   ArrayRef<WgmmaStep> steps) const {
  OpBuilder &b = e.b;
  Location loc = e.L.loc;
  StringRef type = mma.getProducts() == MmaProducts::f16    ? "f16"
                   : mma.getProducts() == MmaProducts::bf16 ? "bf16"
                                                            : "tf32";
  std::string name = ("wgmma.mma_async.sync.aligned.m64n" + Twine(columns) +
                      "k" + Twine(mma.depth()) + ".f32." + type + "." + type)
                         .str();
  std::string results, tied, more;
  for (size_t i = 0; i < sums.size(); ++i) {
    results += "=f,";
    tied += std::to_string(i) + ",";
  }
  std::string text = "{\n.reg .b64 left, right;\nwgmma.fence.sync.aligned;\n";
  SmallVector<Value> operands(sums);
  llvm::DenseMap<Value, std::string> descriptors;
  auto operand = [&](Value v, StringRef constraint) {
    operands.push_back(v);
    more += constraint;
    return "$" + std::to_string(sums.size() + operands.size() - 1);
  };
  auto compute = [&](StringRef into, const WgmmaMatrix &matrix) {
    std::string &base = descriptors[matrix.descriptor];
    if (base.empty())
      base = operand(matrix.descriptor, "l,");
    text += ("add.s64 " + into + ", " + base + ", " + Twine(matrix.bytes >> 4) +
             ";\n")
                .str();
  };
  for (const WgmmaStep &step : steps) {
    auto *described = std::get_if<WgmmaMatrix>(&step.left);
    std::string left;
    if (described)
      compute(left = "left", *described);
    else
      for (Value v : std::get<0>(step.left))
        left +=
            (left.empty() ? "{" : ", ") +
            operand(v.getType().isInteger(32)
                        ? v
                        : LLVM::BitcastOp::create(b, loc, b.getI32Type(), v),
                    "r,");
    compute("right", step.right);
    text += name + " {";
    for (int64_t i = 0; i < numSums(); ++i)
      text += (i ? ", $" : "$") + std::to_string(int64_t(step.sums) + i);
    text += "}, " + left + (described ? "" : "}") + ", right, 1, 1, 1";
    // K lies together in what is described.
    if (mma.isNarrow())
      text += described ? ", 0, 0" : ", 0";
    text += ";\n";
  }
  text +=
      "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n}";
  auto fields = LLVM::LLVMStructType::getLiteral(
      b.getContext(), SmallVector<Type>(sums.size(), b.getF32Type()));
  Value all = LLVM::InlineAsmOp::create(b, loc, fields, operands, text,
                                        results + tied + more + "~{memory}",
                                        /*has_side_effects=*/true,
                                        /*is_align_stack=*/false,
                                        LLVM::tailcallkind::TailCallKind::None,
                                        LLVM::AsmDialectAttr(), ArrayAttr())
                  ->getResult(0);
  SmallVector<Value> next;
  for (int64_t i = 0; i < int64_t(sums.size()); ++i)
    next.push_back(
        LLVM::ExtractValueOp::create(b, loc, all, ArrayRef<int64_t>{i}));
  return next;
}

} // namespace tenon
