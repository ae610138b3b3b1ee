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
Value Wgmma::describe(const SharedArray &memory, Value at) const {
  OpBuilder &b = e.b;
  LaneBuilder &L = e.L;
  constexpr uint64_t swizzle128 = 1ull << 62, leading = 1ull << 16,
                     stride = uint64_t(kSwizzleAlignment >> 4) << 32;
  Type i32 = b.getI32Type(), i64 = b.getI64Type();
  Value address = LLVM::PtrToIntOp::create(b, L.loc, i32, memory.at(at));
  Value units = L.shiftRight(address, L.constantInt(i32, 4));
  Value fields = arith::ExtUIOp::create(
      b, L.loc, i64, L.both(units, L.constantInt(i32, 0x3fff)));
  return arith::OrIOp::create(
      b, L.loc, fields,
      L.constantInt(i64, int64_t(swizzle128 | stride | leading)));
}

Value Wgmma::describeAfter(Value descriptor, int64_t bytes) const {
  return bytes ? e.L.add(descriptor, bytes >> 4) : descriptor;
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
  std::string registers, results, tied, more;
  for (size_t i = 0; i < sums.size(); ++i) {
    registers += (i ? ", $" : "$") + std::to_string(i);
    results += "=f,";
    tied += std::to_string(i) + ",";
  }
  std::string text = "wgmma.fence.sync.aligned;\n";
  SmallVector<Value> operands(sums);
  for (const WgmmaStep &step : steps) {
    text += name + " {" + registers + "}, {";
    for (auto [i, v] : llvm::enumerate(step.left)) {
      text += (i ? ", $" : "$") + std::to_string(sums.size() + operands.size());
      operands.push_back(
          v.getType().isInteger(32)
              ? v
              : LLVM::BitcastOp::create(b, loc, b.getI32Type(), v));
      more += "r,";
    }
    text += "}, $" + std::to_string(sums.size() + operands.size());
    text += mma.isNarrow() ? ", 1, 1, 1, 0;\n" : ", 1, 1, 1;\n";
    operands.push_back(step.right);
    more += "l,";
  }
  text += "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;";
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
