//===- TenonInfer.h - joining shapes during inference -----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One overload of `inferDims` per op says what its result's dims are; while it
// joins dims it records the relations that it relies on. inferReturnTypes
// wants the dims, recordChecks the relations: TENON_INFER, behind the overload,
// defines both.
//
// Operands and attributes are not verified yet when inference runs (a parser
// or builder calls it first), so nothing here trusts them.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IR_TENONINFER_H
#define TENON_IR_TENONINFER_H

#include "dialects/Tenon/IR/TenonOpBase.h"

namespace tenon {

using Dims = llvm::SmallVector<SymExpr>;

class ShapeJoiner {
public:
  ShapeJoiner(llvm::StringRef opName, std::optional<mlir::Location> location)
      : opName(opName), location(location) {}

  /// Emits "'tenon.x' op <message>"; returns failure.
  template <typename... Args>
  mlir::LogicalResult error(Args &&...args) const {
    if (location) {
      mlir::InFlightDiagnostic diag = mlir::emitError(*location);
      diag << "'" << opName << "' op ";
      (diag << ... << std::forward<Args>(args));
    }
    return mlir::failure();
  }

  /// The operand's dims; an error where it is no ranked tensor.
  mlir::FailureOr<Dims> dimsOf(mlir::Value operand, llvm::StringRef what) const;
  /// Every operand's dims, broadcast together.
  mlir::FailureOr<Dims> broadcast(llvm::ArrayRef<Dims> shapes);
  /// Two dims that must be equal; `what` names them in the error.
  mlir::FailureOr<SymExpr> equal(const SymExpr &a, const SymExpr &b,
                                 const llvm::Twine &what);
  void require(CheckKind kind, const SymExpr &lhs, const SymExpr &rhs);
  void require(const std::optional<JoinedDim::Check> &check);
  /// An axis in [0, rank).
  mlir::FailureOr<int64_t> axis(mlir::IntegerAttr attr, size_t rank) const;
  /// An array attribute with one value per dim of the operand.
  mlir::FailureOr<llvm::ArrayRef<int64_t>>
  perDim(mlir::DenseI64ArrayAttr attr, size_t rank, llvm::StringRef what) const;
  mlir::FailureOr<Dims> perDim(DimsAttr attr, size_t rank,
                               llvm::StringRef what) const;

  /// The result type, after a last look at dims and element type.
  mlir::LogicalResult finish(mlir::FailureOr<Dims> dims, mlir::Type elementType,
                             llvm::SmallVectorImpl<mlir::Type> &inferred) const;

  llvm::ArrayRef<JoinedDim::Check> getChecks() const { return checks; }

private:
  llvm::StringRef opName;
  std::optional<mlir::Location> location;
  llvm::SmallVector<JoinedDim::Check> checks;
};

/// Every value is in [least, 2^31]: products stay far from overflow.
mlir::LogicalResult inRange(llvm::ArrayRef<int64_t> values, int64_t least,
                            llvm::StringRef what, ShapeJoiner &joiner);
/// The positions of a sliding window (conv, im2col) in each spatial dim, after
/// verifying its attributes.
mlir::FailureOr<Dims>
windowPositions(llvm::ArrayRef<SymExpr> spatial, llvm::ArrayRef<SymExpr> kernel,
                mlir::DenseI64ArrayAttr strides, mlir::DenseI64ArrayAttr pads,
                mlir::DenseI64ArrayAttr dilations, ShapeJoiner &joiner);

/// Is the text a dim expression in canonical form? An error of `op` if not.
mlir::LogicalResult verifyExpr(mlir::Operation *op, llvm::StringRef text);

/// The first operand's element type; null where there is none.
inline mlir::Type firstElement(mlir::ValueRange operands) {
  return operands.empty() ? mlir::Type()
                          : mlir::getElementTypeOrSelf(operands.front());
}

/// Defines OpTy's methods by the overload of inferDims that stands before it;
/// `element` may use `adaptor` and `context`.
#define TENON_INFER(OpTy, element)                                             \
  ::mlir::LogicalResult OpTy::inferReturnTypes(                                \
      ::mlir::MLIRContext *context, std::optional<::mlir::Location> location,  \
      Adaptor adaptor, ::llvm::SmallVectorImpl<::mlir::Type> &inferred) {      \
    (void)context;                                                             \
    ShapeJoiner joiner(getOperationName(), location);                          \
    return joiner.finish(inferDims(adaptor, joiner), element, inferred);       \
  }                                                                            \
  void OpTy::recordChecks(ShapeJoiner &joiner) {                               \
    (void)inferDims(Adaptor(*this), joiner);                                   \
  }

} // namespace tenon

#endif // TENON_IR_TENONINFER_H
