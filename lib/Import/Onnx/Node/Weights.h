//===- Weights.h - tensors of the model as attributes -----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// External data is mapped read-only once per file and never copied; raw data
// inside the model file is pointed at in the parsed proto. Each attribute's
// blob keeps what it points into alive.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_WEIGHTS_H
#define TENON_IMPORT_ONNX_WEIGHTS_H

#include "lib/Import/Onnx/Library/Protos.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/StringMap.h"
#include <memory>
#include <string>

namespace tenon::onnximport {

/// A file mapped read-only.
class MappedFile;

/// A tensor of the model. The value of a large one of a packed type is its
/// bytes, which are unpacked where they are used.
struct TensorAttr {
  mlir::ElementsAttr value;
  mlir::RankedTensorType type;
  explicit operator bool() const { return bool(value); }
};

/// The tensor as an op; null after a diagnostic.
mlir::Value createTensor(mlir::OpBuilder &builder, mlir::Location loc,
                         const TensorAttr &tensor);

class Weights {
public:
  /// `directory` is the model's; external data must lie inside it.
  Weights(mlir::MLIRContext *context, std::shared_ptr<onnx::ModelProto> model,
          std::string directory)
      : context(context), model(std::move(model)),
        directory(std::move(directory)) {}

  /// The tensor as an attribute; null after setting `message`. `tensor` is
  /// part of the model.
  TensorAttr get(const onnx::TensorProto &tensor, std::string &message);

  /// Why the file that holds a tensor cannot be read, if get() has found so.
  std::string whyUnreadable(const onnx::TensorProto &tensor) const;

private:
  struct Bytes {
    const char *data = nullptr;
    size_t size = 0;
    std::shared_ptr<const void> keepAlive;
  };
  bool external(const onnx::TensorProto &tensor, size_t size, Bytes &bytes,
                std::string &message);
  bool inlined(const onnx::TensorProto &tensor, size_t size, size_t elementSize,
               Bytes &bytes, std::string &message);

  mlir::MLIRContext *context;
  std::shared_ptr<onnx::ModelProto> model;
  std::string directory;
  llvm::StringMap<std::shared_ptr<MappedFile>> files;
  llvm::StringMap<std::string> unreadable;
};

/// The file of a tensor's external data as the model names it, or "".
std::string externalLocation(const onnx::TensorProto &tensor);

/// The builtin type of an ONNX data type that Tenon computes with, or null.
mlir::Type builtinType(mlir::MLIRContext *context, int32_t onnxType);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_WEIGHTS_H
