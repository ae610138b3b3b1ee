//===- CellFormulas.h - a loop's body as a recurrent cell -------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a state becomes is expanded to a sum of products of gates and states, so
// that (1 - z)*n + z*h, n + z*(h - n) and h - (1 - z)*(h - n) are one formula:
//
//   lstm  c' = f*c + i*g,  h' = o*act(c')
//   gru   h' = n - z*n + z*h
//   rnn   h' = n
//
// 1 - f may stand for i or f for 1 - i, and 1 - z for z: such a gate is the
// activation of what the other one takes, negated. A gate is an activation of a
// sum, or some columns of either: of one product of the state by a matrix, of
// what does not depend on the state (StepValues.h) and, of an lstm, of numbers
// times the cell's state (peepholes). A gru's n has r times the product, with
// what is added to it, or the product of r*h.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TRANSFORMS_CELLFORMULAS_H
#define TENON_TRANSFORMS_CELLFORMULAS_H

#include "dialects/Tenon/IR/TenonContract.h"
#include "dialects/Tenon/Transforms/StepValues.h"

namespace tenon {

/// Columns of a value from `offset` on; of one column, that.
struct CellTerm {
  mlir::Value value;
  int64_t offset;
  bool operator==(const CellTerm &o) const = default;
};

/// hard_sigmoid is min(max(a*x + b, 0), 1).
struct CellActivation {
  llvm::StringRef name;
  double a = 0, b = 0;
  bool operator==(const CellActivation &o) const = default;
};

struct CellGate {
  CellActivation activation;
  bool negated = false; ///< 1 minus the activation, which is that of -x
  llvm::SmallVector<CellTerm> inputs; ///< which do not depend on the state
  llvm::SmallVector<CellTerm> inner;  ///< those that `reset` multiplies
  mlir::Value peephole, peepsAt;      ///< which numbers times which cell state
  mlir::Value reset;                  ///< the activated gate r of a gru
  bool resetsFirst = false;
  MatMulOp product;
  int64_t offset = 0; ///< of its columns
};

struct CellFormulas {
  explicit CellFormulas(LoopOp loop)
      : loop(loop), block(&loop.getBody().front()), steps(loop) {}

  bool match();

  LoopOp loop;
  mlir::Block *block;
  StepValues steps;
  CellKind kind = CellKind::rnn;
  unsigned h = 0, c = 0;                     ///< among the handed values
  mlir::Value state, cell;                   ///< before a step
  mlir::Value next, nextCell;                ///< behind it
  llvm::SmallVector<CellGate, 4> gates = {}; ///< i, o, f, g; z, r, n; n
  CellActivation cellActivation = {};
  SymExpr batch = SymExpr(1);
  int64_t units = 0;

private:
  bool matchLstm(unsigned hidden, unsigned other);
  bool matchLstmGates(mlir::Value i, mlir::Value o, mlir::Value f,
                      mlir::Value g);
  bool matchGru();
  bool matchRnn();
  bool matchGate(mlir::Value v, CellGate &gate);
  bool addTerms(mlir::Value v, int64_t offset, CellGate &gate, bool inner);
  bool addReset(mlir::Value v, int64_t offset, CellGate &gate);
  bool addPeephole(mlir::Value v, int64_t offset, CellGate &gate);
  bool haveRows();
};

} // namespace tenon

#endif // TENON_TRANSFORMS_CELLFORMULAS_H
