//===- Defaults.cpp - inputs that have a default --------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Model/Defaults.h"
#include "llvm/ADT/StringSet.h"

namespace tenon::onnximport {

/// A graph that lists more initialisers than this, and all that it has, lists
/// them out of habit.
static constexpr int kMostDefaults = 16;

/// Packed types are bytes to the program: such an initialiser stays a weight.
static bool isPacked(int32_t type) {
  return type == onnx::TensorProto::INT4 || type == onnx::TensorProto::UINT4 ||
         type == onnx::TensorProto::FLOAT4E2M1 ||
         type == onnx::TensorProto::INT2 || type == onnx::TensorProto::UINT2;
}

/// Makes what is declared fit the initialiser; false where it cannot.
static bool declare(onnx::ValueInfoProto &input,
                    const onnx::TensorProto &initializer) {
  auto &type = *input.mutable_type()->mutable_tensor_type();
  if (type.elem_type() != initializer.data_type() ||
      isPacked(initializer.data_type()))
    return false;
  if (!type.has_shape())
    for (int64_t dim : initializer.dims())
      type.mutable_shape()->add_dim()->set_dim_value(dim);
  auto &shape = *type.mutable_shape();
  if (shape.dim_size() != initializer.dims_size())
    return false;
  for (int i = 0; i < shape.dim_size(); ++i) {
    auto &dim = *shape.mutable_dim(i);
    if (!dim.has_dim_value())
      dim.clear_dim_param();
    else if (dim.dim_value() != initializer.dims(i))
      return false;
  }
  return true;
}

llvm::StringMap<onnx::ValueInfoProto>
optionalInputs(const onnx::ModelProto &model, DefaultInputs mode) {
  llvm::StringMap<onnx::ValueInfoProto> result;
  const onnx::GraphProto &graph = model.graph();
  if (model.ir_version() < 4 || mode == DefaultInputs::Weights)
    return result;
  llvm::StringMap<const onnx::TensorProto *> initializers;
  for (const auto &tensor : graph.initializer())
    initializers[tensor.name()] = &tensor;
  int listed = 0;
  for (const auto &input : graph.input()) {
    auto found = initializers.find(input.name());
    if (found == initializers.end() || !input.type().has_tensor_type())
      continue;
    ++listed;
    onnx::ValueInfoProto declared = input;
    if (declare(declared, *found->second))
      result[input.name()] = declared;
  }
  if (mode == DefaultInputs::Auto && listed > kMostDefaults &&
      listed == graph.initializer_size())
    result.clear();
  return result;
}

} // namespace tenon::onnximport
