//===- ByteTables.cpp - functions of a byte as tables ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A sigmoid between DequantizeLinear and QuantizeLinear has 256 results, and so
// has all that is computed of it and of the same codes: x times its sigmoid.
// The table is computed as constants are, an operation rounded after the other.
//
//===----------------------------------------------------------------------===//

#include "lib/Codegen/Form/ByteTables.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/TenonCast.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "dialects/Tenon/IR/TenonSmallTensor.h"
#include "dialects/Tenon/Transforms/Match.h"
#include "dialects/Tenon/Transforms/Remarks.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace tenon {

namespace {

/// In remarks.
constexpr StringLiteral kPass = "tenon-pack-matmul", kLookUp = "LookUp";

constexpr int64_t kCodes = 256;

bool isCode(Value v) {
  auto integer = dyn_cast<IntegerType>(getElementTypeOrSelf(v.getType()));
  return integer && integer.getWidth() == 8;
}

/// What codes are of others.
struct Function {
  Value of;
  SmallTensor results; ///< of the codes in the order of their bits
  unsigned cost = 0;
};

class Functions {
public:
  explicit Functions(MLIRContext *context) : b(context) {}
  void visit(CastOp op);
  /// Erases what has become of no use.
  void clean();

private:
  bool collect(Value v, llvm::SetVector<Operation *> &steps, Function &found);
  std::optional<SmallTensor> evaluate(Operation *op,
                                      DenseMap<Value, SmallTensor> &known);
  SmallTensor identity(Type type);
  static unsigned costOf(Operation *op);

  OpBuilder b;
  DenseMap<Value, Function> functions;
  llvm::SetVector<Operation *> replaced;
};

/// In operations on lanes, more or less.
unsigned Functions::costOf(Operation *op) {
  constexpr unsigned most = 8, series = 24;
  auto fusion = dyn_cast<FusionInterface>(op);
  unsigned cost = fusion ? fusion.getFusionCost() : 0;
  return cost < most || isa<DivOp>(op) ? cost : series;
}

/// The operations that make `v` of codes, operands first; false where they are
/// not those of one tensor, or of other things as well.
bool Functions::collect(Value v, llvm::SetVector<Operation *> &steps,
                        Function &found) {
  constexpr unsigned kMost = 64;
  Operation *op = v.getDefiningOp();
  if (!op || steps.contains(op))
    return op != nullptr;
  if (isa<ConstantOp>(op))
    return isOneElement(v) && match::smallConstant(v);
  if (!op->hasTrait<OpTrait::Elementwise>() || op->hasAttr("tenon.value") ||
      op->getNumResults() != 1 || steps.size() >= kMost)
    return false;
  for (Value operand : op->getOperands()) {
    if (!isCode(operand) ||
        isa_and_nonnull<ConstantOp>(operand.getDefiningOp())) {
      if (!collect(operand, steps, found))
        return false;
      continue;
    }
    auto known = functions.find(operand);
    Value of = known == functions.end() ? operand : known->second.of;
    if ((found.of && found.of != of) || getDims(of) != getDims(operand))
      return false;
    found.of = of;
    found.cost += known == functions.end() ? 0 : known->second.cost;
  }
  steps.insert(op);
  found.cost += costOf(op);
  return true;
}

/// Codes of their bits.
SmallTensor Functions::identity(Type type) {
  SmallTensor tensor{RankedTensorType::get(kCodes, type), {}};
  for (int64_t i = 0; i < kCodes; ++i)
    tensor.elements.push_back(
        {0, type.isUnsignedInteger() ? i : int64_t(int8_t(i))});
  return tensor;
}

std::optional<SmallTensor>
Functions::evaluate(Operation *op, DenseMap<Value, SmallTensor> &known) {
  SmallVector<SmallTensor> operands;
  for (Value operand : op->getOperands()) {
    auto it = known.find(operand);
    if (it != known.end()) {
      operands.push_back(it->second);
      continue;
    }
    std::optional<SmallTensor> tensor;
    if (operand.getDefiningOp<ConstantOp>()) {
      tensor = SmallTensor::unpack(match::smallConstant(operand));
      if (tensor)
        tensor->type = RankedTensorType::get({}, tensor->type.getElementType());
    } else if (auto function = functions.find(operand);
               function != functions.end()) {
      tensor = function->second.results;
    } else {
      tensor = identity(getElementTypeOrSelf(operand.getType()));
    }
    if (!tensor)
      return std::nullopt;
    known[operand] = *tensor;
    operands.push_back(std::move(*tensor));
  }
  Operation *one = op->clone();
  bool ofCodes = llvm::any_of(
      operands, [](const SmallTensor &x) { return x.type.getRank() == 1; });
  one->getResult(0).setType(
      RankedTensorType::get(ofCodes ? ArrayRef(kCodes) : ArrayRef<int64_t>(),
                            getElementTypeOrSelf(op->getResult(0).getType())));
  std::optional<SmallTensor> result = evaluateOp(one, operands);
  one->destroy();
  return result;
}

void Functions::visit(CastOp op) {
  // Of vectors of floats, so many operations are more than those of a table.
  constexpr unsigned kLeast = 36;
  Value codes = op.getResult();
  Function found;
  llvm::SetVector<Operation *> steps;
  if (!collect(codes, steps, found) || !found.of ||
      getDims(found.of) != getDims(codes))
    return;
  DenseMap<Value, SmallTensor> known;
  for (Operation *step : steps) {
    std::optional<SmallTensor> result = evaluate(step, known);
    if (!result)
      return;
    known[step->getResult(0)] = std::move(*result);
  }
  found.results = known[codes];
  if (found.results.type.getRank() != 1)
    return;
  // What others need as well is computed in any case.
  bool isShared = llvm::any_of(steps, [&](Operation *step) {
    constexpr unsigned few = 8;
    return step != op && costOf(step) > few &&
           llvm::any_of(step->getUsers(),
                        [&](Operation *user) { return !steps.contains(user); });
  });
  if (found.cost >= kLeast && !isShared) {
    noteApplied(kPass, op, kLookUp);
    SmallVector<int8_t> table;
    for (const Scalar &code : found.results.elements)
      table.push_back(int8_t(code.i));
    b.setInsertionPoint(op);
    Value result =
        LookUpOp::create(b, op.getLoc(), found.of, b.getDenseI8ArrayAttr(table),
                         TypeAttr::get(op.getTo()));
    codes.replaceAllUsesWith(result);
    replaced.insert(op);
    replaced.insert(result.getDefiningOp());
    codes = result;
  }
  functions[codes] = std::move(found);
}

void Functions::clean() {
  SmallVector<Operation *> dead(replaced.begin(), replaced.end());
  llvm::SmallPtrSet<Operation *, 16> erased;
  while (!dead.empty()) {
    Operation *op = dead.pop_back_val();
    if (erased.contains(op) || !op->use_empty())
      continue;
    for (Value operand : op->getOperands())
      if (Operation *made = operand.getDefiningOp())
        dead.push_back(made);
    erased.insert(op);
    op->erase();
  }
}

} // namespace

void lookUpCodes(Operation *root) {
  Functions functions(root->getContext());
  root->walk([&](CastOp op) {
    if (isCode(op.getResult()) &&
        isa<FloatType>(getElementTypeOrSelf(op.getInput().getType())))
      functions.visit(op);
  });
  functions.clean();
}

} // namespace tenon
