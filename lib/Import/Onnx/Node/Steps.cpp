//===- Steps.cpp - what the steps of an operator compute in ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Node/Steps.h"
#include "lib/Import/Onnx/Library/OnnxLibrary.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;

namespace tenon::onnximport {

Type stepType(Type type) {
  if (type && (type.isF16() || type.isBF16()))
    return Float32Type::get(type.getContext());
  return type;
}

Value widen(NodeImporter &n, Value v) { return v ? n.cast(v, stepType(v)) : v; }

/// Has the operator several steps, all of which are computed in f32? Those that
/// gather from tables or multiply weights widen what follows those steps
/// themselves.
static bool takesSteps(StringRef domain, StringRef op) {
  static const llvm::StringSet<> standard = {"AffineGrid",
                                             "AveragePool",
                                             "Celu",
                                             "Elu",
                                             "GlobalLpPool",
                                             "GridSample",
                                             "GRU",
                                             "HardSigmoid",
                                             "HardSwish",
                                             "InstanceNormalization",
                                             "LpNormalization",
                                             "LpPool",
                                             "LRN",
                                             "LSTM",
                                             "Mean",
                                             "MeanVarianceNormalization",
                                             "Mish",
                                             "ReduceL2",
                                             "ReduceLogSum",
                                             "ReduceLogSumExp",
                                             "ReduceSumSquare",
                                             "RNN",
                                             "RoiAlign",
                                             "Selu",
                                             "Shrink",
                                             "Softplus",
                                             "Softsign",
                                             "Sum",
                                             "Swish"};
  static const llvm::StringSet<> contrib = {
      "BiasAdd",  "BiasGelu",  "BiasSoftmax", "BiasSplitGelu", "FastGelu",
      "GatedAdd", "GroupNorm", "QuickGelu",   "ScaledSiLU",    "SkipGroupNorm"};
  return domain == "ai.onnx"         ? standard.contains(op)
         : domain == "com.microsoft" ? contrib.contains(op)
                                     : false;
}

void importOperator(ImportFn fn, NodeImporter &n) {
  // Before looking at types: those may be no tensors.
  if (!takesSteps(domainOf(n.proto), n.opType()))
    return fn(n);
  // The results have the first float's type.
  Type type;
  for (unsigned i = 0; i < n.numInputs() && !type; ++i)
    if (NodeImporter::isFloat(n.in(i)))
      type = NodeImporter::elem(n.in(i));
  if (stepType(type) == type)
    return fn(n);
  SmallVector<Value> inputs;
  for (unsigned i = 0; i < n.numInputs(); ++i)
    inputs.push_back(NodeImporter::isFloat(n.in(i)) ? widen(n, n.in(i))
                                                    : n.in(i));
  NodeImporter inner(n.state, n.proto, n.opset, n.loc, inputs);
  fn(inner);
  if (inner.failed()) {
    n.error(inner.errorMessage());
    return;
  }
  for (unsigned i = 0; i < n.numOutputs(); ++i)
    if (Value v = inner.result(i))
      n.out(i, NodeImporter::isFloat(v) ? n.cast(v, type) : v);
}

} // namespace tenon::onnximport
