//===- Defaults.h - inputs that have a default ------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// From IR version 4 on an initialiser that is listed among the graph's inputs
// is their default: who runs the model may give another value. Before, every
// initialiser had to be listed, and some exporters still do.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_DEFAULTS_H
#define TENON_IMPORT_ONNX_DEFAULTS_H

#include "onnx/onnx_pb.h"
#include "tenon/Import/OnnxImporter.h"
#include "llvm/ADT/StringMap.h"

namespace tenon::onnximport {

/// The graph's inputs that stay inputs though they have an initialiser, as they
/// are declared, with the initialiser's dims where nothing is. A dim that is
/// not a number may be another one than the default's, and than any dim that is
/// declared with the same name.
llvm::StringMap<onnx::ValueInfoProto>
optionalInputs(const onnx::ModelProto &model, DefaultInputs mode);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_DEFAULTS_H
