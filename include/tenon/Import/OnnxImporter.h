//===- OnnxImporter.h - ONNX models to the tenon dialect --------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNXIMPORTER_H
#define TENON_IMPORT_ONNXIMPORTER_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/Support/LLVM.h"
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tenon {

/// What the user says about one named dim: a constant (lo == hi) or a range.
struct DimSetting {
  int64_t lo, hi;
};

/// A node, or an input (`op` is empty), that keeps a model from compiling; or
/// a file of weights that cannot be read.
struct UnsupportedNode {
  /// A node without a name has that of its first output in `output`.
  std::string name, output, domain, op, file;
  int64_t opset = 0;
  std::string reason;
  /// False where an operand comes from another such node: the reason may be
  /// only its consequence.
  bool certain = true;
};

/// What becomes of initialisers that are inputs as well (IR version 4 and
/// later): inputs that need not be given, or weights like the others. Auto:
/// inputs, unless the graph lists all of many, or an operator needs to know one
/// that its other inputs do not tell.
enum class DefaultInputs { Auto, Inputs, Weights };

struct ImportOptions {
  DefaultInputs defaults = DefaultInputs::Auto;
  /// By the dim's name as the model or `tenon inspect` spells it, or by
  /// INPUT.dN for dim N of an input alone, which may then differ from others of
  /// its name.
  std::map<std::string, DimSetting> dims;
  /// What certain inputs are, in numbers: one, or one for each element. The
  /// graph has them as constants, and checks at entry that they are these.
  std::map<std::string, std::vector<std::string>> values;
  /// Attach `tenon.value = "V"` to the op that yields the ONNX value V.
  bool keepNodeValues = false;
  /// Where set, the import does not stop at the first unsupported node: it
  /// lists them all here, then fails with the first one's message.
  std::vector<UnsupportedNode> *unsupported = nullptr;
};

/// "node 'conv_1' (ai.onnx::Conv, opset 17): the reason".
std::string describe(const UnsupportedNode &node);

/// Reads a model (`.onnx`, or ONNX's text form in `.onnxtxt`, `.onnxtext`; from
/// "-", standard input, or a pipe either) into a module of tenon ops. Weights
/// stay where they are: the module's resources point into the mapped files and
/// keep them mapped. A failure emits exactly one error on the context's
/// diagnostic engine.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>>
importOnnxFile(llvm::StringRef path, mlir::MLIRContext &context,
               const ImportOptions &options = {});

/// The same for a model in ONNX's text form; `name` stands for the file in
/// messages, and external data is looked for in the current directory.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>>
importOnnxText(llvm::StringRef text, llvm::StringRef name,
               mlir::MLIRContext &context, const ImportOptions &options = {});

/// An operator that is imported as it stands, not through its function body:
/// the first opset of each form that it had, the newest of which reaches up to
/// newestOpset().
struct OperatorVersions {
  std::string domain, op;
  std::vector<int64_t> since;
};
/// Sorted by domain and name.
std::vector<OperatorVersions> listOperators();
/// The newest opset of ai.onnx that is accepted.
int64_t newestOpset();

} // namespace tenon

#endif // TENON_IMPORT_ONNXIMPORTER_H
