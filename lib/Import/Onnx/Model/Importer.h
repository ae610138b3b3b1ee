//===- Importer.h - one attempt to import a model ---------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_IMPORTER_H
#define TENON_IMPORT_ONNX_IMPORTER_H

#include "lib/Import/Onnx/Library/OnnxLibrary.h"
#include "lib/Import/Onnx/Model/InputDims.h"
#include "lib/Import/Onnx/Node/Choices.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include "lib/Import/Onnx/Node/Weights.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "onnx/onnx_pb.h"
#include "llvm/ADT/StringSet.h"

namespace tenon::onnximport {

/// OnnxImporter.cpp says in which order it works.
class Importer {
public:
  Importer(mlir::MLIRContext &context, llvm::StringRef file,
           const ImportOptions &options, llvm::StringRef folder,
           std::shared_ptr<onnx::ModelProto> model, bool zeroIsUnknown,
           Choices &choices)
      : context(context), options(options), file(file), folder(folder),
        zeroIsUnknown(zeroIsUnknown), choices(choices), state(&context),
        model(std::move(model)) {}

  Attempt attempt();

private:
  /// Notes the one error of this attempt. It is not emitted: the handler of a
  /// node that holds a branch may be listening.
  llvm::LogicalResult fail(const llvm::Twine &message);
  void setUpState();
  mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> run();
  /// Do the results have the ranks and static dims that the model declares?
  bool agreesWithOutputs();

  /// Names of a subgraph are its own: two branches may use the same ones.
  struct Scope {
    Scope(Importer &importer, const onnx::GraphProto &graph);
    ~Scope();
    Importer &importer;
    struct Outer {
      std::string name;
      mlir::Value value;
      const onnx::TensorProto *initializer;
    };
    std::vector<Outer> outer;
  };

  void collectGraph(const onnx::GraphProto &graph);
  llvm::LogicalResult createMain(const onnx::GraphProto &graph);
  llvm::LogicalResult fixInputs();
  llvm::LogicalResult importNodes(const onnx::GraphProto &graph);
  llvm::LogicalResult importNode(const onnx::NodeProto &node);
  /// Why the node cannot be imported, or an empty string.
  std::string tryNode(const onnx::NodeProto &node);
  llvm::LogicalResult finishMain(const onnx::GraphProto &graph);
  /// The op for a name: a node's result, an input, or a weight at first use.
  mlir::Value valueOf(const std::string &name, std::string &message);
  void bind(const std::string &name, mlir::Value value);
  void eraseUnused();

  /// Lists a node and lets values stand for its outputs.
  void goOnWithout(const onnx::NodeProto &node, const std::string &reason);
  void listUnsupportedInside(const onnx::NodeProto &node);
  void list(const onnx::NodeProto &node, const std::string &reason,
            bool certain);
  mlir::Value standIn(const std::string &name);
  /// Lists the file of a weight that cannot be read, once, and lets a value
  /// stand for the weight; null where the file is not to blame.
  mlir::Value standInForWeight(const onnx::TensorProto &tensor);

  int64_t opsetOf(const onnx::NodeProto &node) const;
  UnsupportedNode identify(const onnx::NodeProto &node,
                           const std::string &reason) const;

  mlir::MLIRContext &context;
  const ImportOptions &options;
  std::string file, folder; // the model, and what external data lies in
  const bool zeroIsUnknown;
  Choices &choices;
  ImportState state;
  std::shared_ptr<onnx::ModelProto> model;
  std::unique_ptr<Weights> weights;
  llvm::StringMap<mlir::Value> values;
  llvm::StringMap<const onnx::TensorProto *> initializers;
  llvm::StringMap<onnx::ValueInfoProto> optional; // inputs with a default
  InputDims inputDims;
  mlir::func::FuncOp main;
  std::string error;

  /// Names whose value is, or depends on, a stand-in; and those without even
  /// that.
  llvm::StringSet<> uncertain, missing;
  /// Names that depend on a file of weights that cannot be read; those files.
  llvm::StringSet<> unread;
  std::vector<UnsupportedNode> unreadFiles;
  size_t numRefused = 0;
  bool lacksChoice = false, hopeless = false;
  std::optional<std::map<std::string, onnx::TypeProto>> inferred;
};

/// Why no import function is there for the node's operator, or an empty string.
std::string whyUnsupported(const onnx::NodeProto &node, int64_t opset);

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_IMPORTER_H
