//===- Demand.h - in which branches a value is needed -----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A tenon.merge needs one of its operands, the one that its condition names.
// An op is needed where one of its users is: followed backwards from the
// results, this gives each op a condition under which it must be computed.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_DEMAND_H
#define TENON_LIB_CODEGEN_FORM_DEMAND_H

#include "mlir/IR/Block.h"
#include "mlir/IR/Operation.h"
#include "tenon/Support/SymExpr.h"
#include "llvm/ADT/DenseMap.h"
#include <set>
#include <string>

namespace tenon {

/// A disjunction of conjunctions of conditions, each the text of a dim
/// expression that is 0 or 1.
class Guard {
public:
  static Guard never() { return Guard(); }
  static Guard always();
  static Guard of(const SymExpr &condition);

  bool isAlways() const;
  /// Does it hold only where `condition` does?
  bool implies(const SymExpr &condition) const;
  Guard operator|(const Guard &o) const;
  /// Both this and `condition`.
  Guard operator&(const SymExpr &condition) const;
  /// 1 where it holds, else 0.
  SymExpr expr() const;

private:
  using Term = std::set<std::string>;
  bool simplifyOnce();
  void simplify();
  std::set<Term> terms;
};

/// The guards of a block's ops. Valid until the block changes.
class Demand {
public:
  explicit Demand(mlir::Block &block);
  /// Where the op's results are needed.
  Guard of(mlir::Operation *op) const;
  /// Where this use of a value needs it.
  Guard of(mlir::OpOperand &use) const;

private:
  mlir::Block &block;
  llvm::DenseMap<mlir::Operation *, Guard> guards;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_DEMAND_H
