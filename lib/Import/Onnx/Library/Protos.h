//===- Protos.h - the names of ONNX's messages ------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Protobuf's headers take two CPU seconds of every file that includes them.
// What looks into a message includes onnx/onnx_pb.h; an operator's importer
// asks its NodeImporter and does without.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_PROTOS_H
#define TENON_IMPORT_ONNX_PROTOS_H

namespace onnx {
class AttributeProto;
class GraphProto;
class ModelProto;
class NodeProto;
class TensorProto;
class TypeProto;
} // namespace onnx

#endif // TENON_IMPORT_ONNX_PROTOS_H
