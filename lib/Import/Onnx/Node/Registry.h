//===- Registry.h - which ONNX operators are imported, and how --*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A row per (domain, operator, first opset that it is right for). One file per
// operator family fills its rows; `tenon operators` prints the table.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_REGISTRY_H
#define TENON_IMPORT_ONNX_REGISTRY_H

#include "lib/Import/Onnx/Node/NodeImporter.h"
#include "tenon/Import/OnnxImporter.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

namespace tenon::onnximport {

using ImportFn = void (*)(NodeImporter &);

class Registry {
public:
  /// The table with every family in it.
  static const Registry &get();

  /// The function for an operator at an opset; null where there is none.
  ImportFn lookup(llvm::StringRef domain, llvm::StringRef op,
                  int64_t opset) const;
  /// Does the operator take values that are no tensors (Sequences.h)?
  bool takesSequences(llvm::StringRef domain, llvm::StringRef op) const {
    return domain == "ai.onnx" && ofSequences.contains(op);
  }
  /// The first opset with a function, if the operator has one at all.
  std::optional<int64_t> firstOpset(llvm::StringRef domain,
                                    llvm::StringRef op) const;

  /// Every operator with the first opset of each of its forms, by name.
  std::vector<OperatorVersions> list() const;

  void add(llvm::StringRef domain, llvm::StringRef op, int64_t since,
           ImportFn fn);
  void add(llvm::StringRef op, int64_t since, ImportFn fn) {
    add("ai.onnx", op, since, fn);
  }
  void add(llvm::StringRef op, ImportFn fn) { add("ai.onnx", op, 1, fn); }
  void addOfSequences(llvm::StringRef op, int64_t since, ImportFn fn) {
    add(op, since, fn);
    ofSequences.insert(op);
  }

private:
  struct Row {
    int64_t since;
    ImportFn fn;
  };
  llvm::StringMap<llvm::SmallVector<Row, 1>> rows; // by "domain::op"
  llvm::StringSet<> ofSequences;
};

/// Imports what an ONNX operator of the newest opset does with these operands
/// and the node's attributes; null after an error. For operators of other
/// domains that do the same and something more.
mlir::Value importAs(NodeImporter &n, llvm::StringRef op,
                     llvm::ArrayRef<mlir::Value> operands);

// One per family, each in the file of that name.
void registerElementwise(Registry &);
void registerActivations(Registry &);
void registerMatMul(Registry &);
void registerMoe(Registry &);
void registerEinsum(Registry &);
void registerNorm(Registry &);
void registerShape(Registry &);
void registerSlice(Registry &);
void registerSequence(Registry &);
void registerGather(Registry &);
void registerReduce(Registry &);
void registerSignal(Registry &);
void registerLinearAttention(Registry &);
void registerConv(Registry &);
void registerConvTranspose(Registry &);
void registerPackedWeights(Registry &);
void registerPool(Registry &);
void registerResize(Registry &);
void registerAttention(Registry &);
void registerQuant(Registry &);
void registerContrib(Registry &);
void registerContribAttention(Registry &);
void registerGroupQuery(Registry &);
void registerContribNorm(Registry &);
void registerContribQuant(Registry &);
void registerControlFlow(Registry &);
void registerDataDims(Registry &);
void registerLoops(Registry &);
void registerGridSample(Registry &);
void registerRecurrent(Registry &);
void registerDropout(Registry &);
void registerDet(Registry &);
void registerRandom(Registry &);
void registerRegions(Registry &);
void registerFeatures(Registry &);
void registerWindows(Registry &);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_REGISTRY_H
