//===- NormedWeights.cpp - weights that a model normalises ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Tenon/Transforms/NormedWeights.h"
#include "dialects/Tenon/IR/Ops/Add.h"
#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/Ops/Div.h"
#include "dialects/Tenon/IR/Ops/Mul.h"
#include "dialects/Tenon/IR/Ops/Sub.h"
#include "dialects/Tenon/IR/TenonCommonOps.h"
#include "dialects/Tenon/IR/TenonReduce.h"
#include "dialects/Tenon/IR/TenonSmallTensor.h"
#include "dialects/Tenon/Transforms/Match.h"
#include <cstring>

using namespace mlir;

namespace tenon {
namespace {

/// Others than sums, differences, products and quotients are computed element
/// by element: of so few.
constexpr int64_t kFew = 1 << 16;

using Numbers = std::vector<float>;

RankedTensorType typeOf(Value v) { return cast<RankedTensorType>(v.getType()); }

/// How far an operand's elements lie apart along each dim of `shape`; 0 along
/// those that it is broadcast along.
SmallVector<int64_t> distances(ArrayRef<int64_t> own, ArrayRef<int64_t> shape) {
  SmallVector<int64_t> apart(shape.size(), 0);
  int64_t next = 1;
  for (size_t d = own.size(); d-- > 0;) {
    if (own[d] != 1)
      apart[d + shape.size() - own.size()] = next;
    next *= own[d];
  }
  return apart;
}

/// Calls `run` for each row of the last dim with where it begins in both.
void forEachRow(ArrayRef<int64_t> shape, ArrayRef<int64_t> x,
                ArrayRef<int64_t> y, function_ref<void(int64_t, int64_t)> run) {
  if (llvm::product_of(shape) == 0)
    return;
  SmallVector<int64_t> at(shape.size(), 0);
  int64_t i = 0, j = 0;
  for (;;) {
    run(i, j);
    size_t d = shape.size() - 1;
    for (; d-- > 0;) {
      i += x[d];
      j += y[d];
      if (++at[d] < shape[d])
        break;
      i -= x[d] * shape[d];
      j -= y[d] * shape[d];
      at[d] = 0;
    }
    if (d == size_t(-1))
      return;
  }
}

class Evaluator {
public:
  explicit Evaluator(int64_t most) : most(most) {}
  /// Is it computed of constants by what is computed here?
  bool canCompute(Value v);
  bool hasSums() const { return sums; }
  /// Of such a value; null where a small op is left to the run.
  const Numbers *compute(Value v);

private:
  bool constant(Value v, Numbers &to);
  bool small(Operation *op, Numbers &to);
  void reduce(ReduceOp op, Numbers &to);
  template <typename Fn>
  void binary(Operation *op, Numbers &to, Fn fn);

  int64_t most;
  bool sums = false;
  DenseMap<Value, bool> known;
  DenseMap<Value, std::unique_ptr<Numbers>> results;
};

bool Evaluator::canCompute(Value v) {
  if (auto it = known.find(v); it != known.end())
    return it->second;
  known[v] = false;
  auto type = dyn_cast<RankedTensorType>(v.getType());
  Operation *op = v.getDefiningOp();
  if (!type || !type.hasStaticShape() || !type.getElementType().isF32() ||
      type.getNumElements() > most || !op || op->getNumResults() != 1 ||
      op->hasAttr("tenon.value"))
    return false;
  if (isa<ConstantOp>(op))
    return known[v] = true;
  auto sum = dyn_cast<ReduceOp>(op);
  if (sum &&
      (sum.getKind() == ReduceKind::sum || sum.getKind() == ReduceKind::mean))
    sums = true;
  else if (sum || op->getNumOperands() == 0 ||
           !(isReshape(op) || isa<AddOp, SubOp, MulOp, DivOp>(op) ||
             (op->hasTrait<tenon::OpTrait::Elementwise>() &&
              type.getNumElements() <= kFew)))
    return false;
  bool all =
      llvm::all_of(op->getOperands(), [&](Value o) { return canCompute(o); });
  return known[v] = all;
}

bool Evaluator::constant(Value v, Numbers &to) {
  auto value = v.getDefiningOp<ConstantOp>().getValue();
  size_t count = typeOf(v).getNumElements();
  ArrayRef<char> bytes = match::bytesOf(value);
  if (bytes.size() == count * sizeof(float)) {
    to.resize(count);
    memcpy(to.data(), bytes.data(), bytes.size());
    return true;
  }
  DenseElementsAttr dense = match::smallConstant(v, kFew);
  if (!dense)
    return false;
  llvm::append_range(to, dense.getValues<float>());
  return true;
}

/// Any other elementwise op.
bool Evaluator::small(Operation *op, Numbers &to) {
  SmallVector<SmallTensor> operands;
  for (Value v : op->getOperands()) {
    SmallTensor tensor{typeOf(v), {}};
    for (float x : *results.at(v))
      tensor.elements.push_back({x, 0});
    operands.push_back(std::move(tensor));
  }
  std::optional<SmallTensor> result = evaluateOp(op, operands);
  if (!result)
    return false;
  for (const Scalar &x : result->elements)
    to.push_back(x.f);
  return true;
}

void Evaluator::reduce(ReduceOp op, Numbers &to) {
  const Numbers &from = *results.at(op.getInput());
  ArrayRef<int64_t> shape = typeOf(op.getInput()).getShape();
  SmallVector<int64_t> kept(shape);
  int64_t count = 1;
  for (int64_t a : op.getAxes()) {
    kept[a] = 1;
    count *= shape[a];
  }
  std::vector<double> all(llvm::product_of(kept), 0);
  SmallVector<int64_t> own = distances(shape, shape),
                       result = distances(kept, shape);
  forEachRow(shape, own, result, [&](int64_t i, int64_t j) {
    for (int64_t k = 0; k < shape.back(); ++k)
      all[j + k * result.back()] += from[i + k * own.back()];
  });
  bool isMean = op.getKind() == ReduceKind::mean;
  for (double x : all)
    to.push_back(isMean ? x / double(count) : x);
}

template <typename Fn>
void Evaluator::binary(Operation *op, Numbers &to, Fn fn) {
  ArrayRef<int64_t> shape = typeOf(op->getResult(0)).getShape();
  const Numbers &x = *results.at(op->getOperand(0)),
                &y = *results.at(op->getOperand(1));
  SmallVector<int64_t> ofX = distances(typeOf(op->getOperand(0)).getShape(),
                                       shape),
                       ofY = distances(typeOf(op->getOperand(1)).getShape(),
                                       shape);
  to.reserve(llvm::product_of(shape));
  forEachRow(shape, ofX, ofY, [&](int64_t i, int64_t j) {
    for (int64_t k = 0; k < shape.back(); ++k)
      to.push_back(fn(x[i + k * ofX.back()], y[j + k * ofY.back()]));
  });
}

const Numbers *Evaluator::compute(Value v) {
  if (auto it = results.find(v); it != results.end())
    return it->second.get();
  Operation *op = v.getDefiningOp();
  for (Value o : op->getOperands())
    if (!compute(o))
      return nullptr;
  auto numbers = std::make_unique<Numbers>();
  bool isDone = true, hasDims = typeOf(v).getRank() > 0;
  if (isa<ConstantOp>(op))
    isDone = constant(v, *numbers);
  else if (isReshape(op))
    *numbers = *results.at(op->getOperand(0));
  else if (auto sum = dyn_cast<ReduceOp>(op))
    reduce(sum, *numbers);
  else if (isa<AddOp>(op) && hasDims)
    binary(op, *numbers, [](float x, float y) { return x + y; });
  else if (isa<SubOp>(op) && hasDims)
    binary(op, *numbers, [](float x, float y) { return x - y; });
  else if (isa<MulOp>(op) && hasDims)
    binary(op, *numbers, [](float x, float y) { return x * y; });
  else if (isa<DivOp>(op) && hasDims)
    binary(op, *numbers, [](float x, float y) { return x / y; });
  else
    isDone = small(op, *numbers);
  if (!isDone)
    return nullptr;
  return (results[v] = std::move(numbers)).get();
}

} // namespace

std::optional<std::vector<float>> numbersOfNormed(Value weight, int64_t most) {
  Evaluator evaluator(most);
  if (weight.getDefiningOp<ConstantOp>() || !evaluator.canCompute(weight) ||
      !evaluator.hasSums())
    return std::nullopt;
  const Numbers *numbers = evaluator.compute(weight);
  return numbers ? std::optional(*numbers) : std::nullopt;
}

} // namespace tenon
