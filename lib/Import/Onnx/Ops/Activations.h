//===- Activations.h - activation functions by name -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_ACTIVATIONS_H
#define TENON_IMPORT_ONNX_ACTIVATIONS_H

#include "lib/Import/Onnx/Node/NodeImporter.h"

namespace tenon::onnximport {

/// A function that the recurrent operators list, with its parameters.
struct Activation {
  enum class Kind {
    Affine,
    Elu,
    HardSigmoid,
    LeakyRelu,
    Relu,
    ScaledTanh,
    Sigmoid,
    Softplus,
    Softsign,
    Tanh,
    ThresholdedRelu
  };
  Kind kind;
  double alpha = 0, beta = 0;

  /// The function of this name, in any case; its parameters are the next of the
  /// lists, or what the operator of that name has by default. Where there is
  /// none, an error is stated.
  static std::optional<Activation> read(NodeImporter &n, llvm::StringRef name,
                                        llvm::ArrayRef<float> &alphas,
                                        llvm::ArrayRef<float> &betas);
  mlir::Value apply(NodeImporter &n, mlir::Value x) const;
  /// As tenon.recurrent names it.
  llvm::StringRef name() const;
  bool operator==(const Activation &other) const = default;
};

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_ACTIVATIONS_H
