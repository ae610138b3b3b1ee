//===- OnnxLibrary.h - what ONNX's own library does -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_ONNXLIBRARY_H
#define TENON_IMPORT_ONNX_ONNXLIBRARY_H

#include "lib/Import/Onnx/Library/Protos.h"
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace tenon::onnximport {

/// The opsets of the default domain that the importer knows.
inline constexpr int64_t minOpset = 1, maxOpset = 28;

struct LoadedModel {
  std::shared_ptr<onnx::ModelProto> proto;
  /// Empty when loading went well.
  std::string error;
  /// It came from standard input or a pipe, and lies in no directory.
  bool stream = false;
};

/// Says whether the importer has a function for an operator at an opset.
using IsSupportedFn = std::function<bool(const std::string &domain,
                                         const std::string &op, int64_t opset)>;

/// Parses a binary model, or ONNX's text form. What comes from "-" (standard
/// input) or a pipe is looked at to tell.
LoadedModel parseModelFile(const std::string &path, bool text);
LoadedModel parseModelText(const std::string &text);

/// Makes the model ready for import, in place: operators that exporters put in
/// the wrong domain move, the checker passes, model-local functions and
/// operators that only have a function body are inlined. Returns what is wrong
/// with the model, or an empty string.
std::string prepareModel(onnx::ModelProto &model, const IsSupportedFn &);

/// ONNX's checker refuses a model for an operator that ONNX lacks, without
/// saying which node has it; prepareModel moves those nodes to a domain of
/// their own, and the importer says for each what this says: why the operator
/// is unknown at the model's opset. Empty for other nodes.
std::string whyUnknown(const onnx::NodeProto &node, int64_t opset);

/// The types of a prepared model's values, by name, as far as the model says
/// them or ONNX's shape inference finds them.
std::map<std::string, onnx::TypeProto> inferTypes(onnx::ModelProto &model);

/// The name of a TensorProto data type ("float16"), for messages.
std::string dataTypeName(int32_t type);
/// A node's domain for messages and the table: "" is "ai.onnx".
std::string domainOf(const onnx::NodeProto &node);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_ONNXLIBRARY_H
