//===- ShareNumbers.cpp - one kernel for several numbers ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/ShareNumbers.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/Max.h"
#include "dialects/Tenon/IR/Ops/Min.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Quotient.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonKernel.h"
#include "dialects/Tenon/IR/TenonLogic.h"
#include "dialects/Tenon/IR/TenonMath.h"
#include "lib/Codegen/Form/AttentionMask.h"
#include "mlir/IR/AsmState.h"
#include "llvm/ADT/StringMap.h"
#include <cmath>
#include <limits>

using namespace mlir;

namespace tenon {

/// Attention looks at the numbers of its masks: at those that mask, at the 1
/// that a mask is subtracted of, and at integers that positions are compared
/// by.
static bool mayMask(ConstantOp constant) {
  auto splat = cast<SplatElementsAttr>(constant.getValue());
  if (isa<FloatType>(splat.getElementType())) {
    double number = splat.getSplatValue<APFloat>().convertToDouble();
    return number <= kMasked || number == 1;
  }
  // Those that make a bound are compared; others are zero points.
  SmallVector<Value> made{constant.getResult()};
  SmallPtrSet<Operation *, 16> seen;
  while (!made.empty())
    for (Operation *user : made.pop_back_val().getUsers()) {
      if (isa<CompareOp>(user))
        return true;
      for (Value result : user->getResults())
        if (isa<IntegerType>(getElementTypeOrSelf(result.getType())) &&
            seen.insert(user).second)
          made.push_back(result);
    }
  return false;
}

/// A number that arithmetic alone reads, a zero point for one: an exponent, the
/// value of a mask or a pad's may decide how something is computed, and so may
/// an index.
static bool isNumber(Operation &op) {
  auto constant = dyn_cast<ConstantOp>(op);
  if (!constant || !isa<SplatElementsAttr>(constant.getValue()))
    return false;
  Type type = constant.getValue().getElementType();
  return constant.getValue().getNumElements() == 1 &&
         (isa<FloatType>(type) || type.isSignlessInteger(32)) &&
         (cast<KernelOp>(op.getParentOp()).getKind() != KernelKind::attention ||
          !mayMask(constant)) &&
         llvm::all_of(op.getUsers(), [](Operation *user) {
           return isa<AddOp, SubOp, MulOp, DivOp, QuotientOp, MaxOp, MinOp>(
               user);
         });
}

/// The text of a kernel without its numbers.
static std::string textOf(KernelOp kernel) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << stringifyKernelKind(kernel.getKind());
  // For all ops: each would number and verify the whole kernel for itself.
  AsmState state(kernel, OpPrintingFlags().useLocalScope().assumeVerified());
  for (Operation &op : kernel.getBody().front()) {
    os << '\n';
    if (isNumber(op))
      os << op.getResult(0).getType();
    else
      op.print(os, state);
  }
  for (Type type : kernel.getBody().getArgumentTypes())
    os << ' ' << type;
  return text;
}

static SmallVector<ConstantOp> numbersOf(KernelOp kernel) {
  SmallVector<ConstantOp> numbers;
  for (Operation &op : kernel.getBody().front())
    if (isNumber(op))
      numbers.push_back(cast<ConstantOp>(op));
  return numbers;
}

/// The integer that is added to rounded numbers, a zero point; memory says by
/// its type that it is one.
static std::optional<int16_t> zeroPointOf(ConstantOp number) {
  auto splat = cast<SplatElementsAttr>(number.getValue());
  if (!splat.getElementType().isF32() ||
      !llvm::all_of(number->getUsers(), [](Operation *user) {
        return isa<AddOp>(user) && user->getOperand(0).getDefiningOp<RoundOp>();
      }))
    return std::nullopt;
  constexpr float most = std::numeric_limits<int16_t>::max();
  float value = splat.getSplatValue<float>();
  if (!(std::abs(value) <= most) || value != std::trunc(value) ||
      (value == 0 && std::signbit(value)))
    return std::nullopt;
  return int16_t(value);
}

/// Reads a number of a kernel from memory, where it is an integer if `zero`.
static void makeInput(KernelOp kernel, ConstantOp number,
                      std::optional<int16_t> zero) {
  OpBuilder b(kernel);
  Location loc = number.getLoc();
  ElementsAttr value = number.getValue();
  if (zero) {
    auto type = cast<RankedTensorType>(value.getType());
    value = DenseElementsAttr::get(
        RankedTensorType::get(type.getShape(), b.getI16Type()), *zero);
  }
  Value outside = ConstantOp::create(b, loc, value);
  kernel.getInputsMutable().append(outside);
  Value inside = kernel.getBody().addArgument(outside.getType(), loc);
  b.setInsertionPoint(number);
  if (zero)
    inside = CastOp::create(b, loc, inside, TypeAttr::get(b.getF32Type()),
                            UnitAttr(), RoundModeAttr());
  number.getResult().replaceAllUsesWith(inside);
  number.erase();
}

void shareNumbers(func::FuncOp func) {
  llvm::StringMap<size_t> known; // text to place in `alike`
  SmallVector<SmallVector<KernelOp>> alike;
  func.walk([&](KernelOp kernel) {
    if (kernel.getKind() == KernelKind::native)
      return;
    auto [place, isNew] = known.try_emplace(textOf(kernel), alike.size());
    if (isNew)
      alike.emplace_back();
    alike[place->second].push_back(kernel);
  });
  for (SmallVector<KernelOp> &kernels : alike) {
    SmallVector<SmallVector<ConstantOp>> numbers;
    for (KernelOp kernel : kernels)
      numbers.push_back(numbersOf(kernel));
    for (size_t i = 0; i < numbers.front().size(); ++i) {
      Attribute first = numbers.front()[i].getValue();
      if (llvm::all_of(numbers, [&](ArrayRef<ConstantOp> own) {
            return ConstantOp(own[i]).getValue() == first;
          }))
        continue;
      bool areZeroPoints = llvm::all_of(numbers, [&](ArrayRef<ConstantOp> own) {
        return zeroPointOf(own[i]).has_value();
      });
      for (auto [kernel, own] : llvm::zip_equal(kernels, numbers))
        makeInput(kernel, own[i],
                  areZeroPoints ? zeroPointOf(own[i]) : std::nullopt);
    }
  }
}

} // namespace tenon
