//===- Choices.h - ranks that a condition on dims decides -------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A rank is one number for all runs, but an If between two ranks, or a Squeeze
// without axes, lets a run's dims decide it. The graph is then imported for
// one value of the condition, which becomes an entry check. Which value that
// is shows only later: the rest of the graph must accept the rank, and so must
// the outputs' declarations. Hence attempts at the whole graph, depth first,
// each with other values for the conditions that it comes across.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_CHOICES_H
#define TENON_IMPORT_ONNX_CHOICES_H

#include "tenon/Import/OnnxImporter.h"
#include "tenon/Support/SymExpr.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include <optional>
#include <string>
#include <vector>

namespace tenon::onnximport {

/// What one attempt takes a condition for.
struct Choice {
  SymExpr condition;
  bool value;
  /// Where both values fit, the user must say which is meant. Else the first
  /// that fits is taken.
  bool mustBeUnique;
  UnsupportedNode node; ///< the first that needs it, its reason empty
  bool isSecond = false;
};

class Choices {
public:
  /// What was chosen for the condition in this attempt.
  std::optional<bool> of(const SymExpr &condition) const;
  /// A condition that comes up for the first time.
  void add(Choice choice) { all.push_back(std::move(choice)); }

  /// Goes to the next attempt: the last choice that has a second value takes
  /// it, and those behind it are forgotten. False where all were made.
  bool next(bool onlyUnique);

  const std::vector<Choice> &list() const { return all; }

private:
  std::vector<Choice> all;
};

/// One import of the graph.
struct Attempt {
  mlir::OwningOpRef<mlir::ModuleOp> module; ///< null where it failed
  std::string error;
  bool lacksChoice = false; ///< it asked for a choice that was not made yet
  bool isHopeless = false;  ///< it met an operator that no choice helps
  bool agrees = false;      ///< with the declarations of the model's outputs
};

/// Attempts the import, again and again where choices are asked for; null after
/// an error. Most models ask for none.
mlir::OwningOpRef<mlir::ModuleOp> importByChoices(
    const ImportOptions &options,
    llvm::function_ref<Attempt(const ImportOptions &, Choices &)> attempt,
    std::string &error);

/// "--dim batch=1", or what else fixes that the condition holds, or does not.
std::string optionsThatSettle(const SymExpr &condition, bool holds);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_CHOICES_H
