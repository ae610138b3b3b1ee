//===- StepValues.h - a loop's values in all of its steps -------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_STEPVALUES_H
#define TENON_TRANSFORMS_STEPVALUES_H

#include "dialects/Tenon/IR/TenonControl.h"
#include "dialects/Tenon/IR/TenonShape.h"

namespace tenon {

/// What values of a loop's body are that depend on what the loop scans, but on
/// nothing that iterations hand to each other: computed for all of them, before
/// the loop.
class StepValues {
public:
  /// Of a loop that ends for no other reason than its number of iterations.
  explicit StepValues(LoopOp loop);

  struct All {
    mlir::Value value;
    /// [iterations, ...], in the order of what is scanned; else what it is in
    /// each of them.
    bool perStep;
  };
  /// nullopt: it depends on more.
  std::optional<All> lift(mlir::Value v);
  /// Do iterations go from the last row of what they scan to the first?
  bool isBackward() const { return backward.value_or(false); }
  const SymExpr &getTrips() const { return trips; }
  /// The row of a step: a start for a slice, inside the loop.
  SymExpr getRow() const;
  /// Takes back what was made and serves nothing.
  void erase();

private:
  bool isInside(mlir::Value v);
  bool isRow(mlir::Value index);
  bool isRow(const SymExpr &start);
  bool goes(bool backwards);
  mlir::Value scanned(mlir::Operation *op);
  mlir::Value inFront(mlir::Value v, int64_t axis);
  mlir::Value reshape(mlir::Value v, llvm::ArrayRef<SymExpr> dims);
  std::optional<All> compute(mlir::Operation *op);
  llvm::SmallVector<SymExpr> ofSteps(llvm::ArrayRef<SymExpr> dims) const;
  mlir::Value made(mlir::Value v);

  LoopOp loop;
  BodySymbols symbols{loop.getBody().front(), loop.getName()};
  SymExpr trips = SymExpr(0);
  std::optional<bool> backward;
  llvm::DenseMap<mlir::Value, All> known;
  llvm::SmallVector<mlir::Operation *> ops;
};

} // namespace tenon

#endif // TENON_TRANSFORMS_STEPVALUES_H
