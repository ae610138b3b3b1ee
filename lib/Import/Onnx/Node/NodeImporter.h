//===- NodeImporter.h - what an operator's import function sees -*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One NodeImporter per ONNX node. Helpers that create ops return a null Value
// once something failed and take null Values in their stride, so an import
// function reads as a formula; the driver looks at failed() afterwards.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_NODEIMPORTER_H
#define TENON_IMPORT_ONNX_NODEIMPORTER_H

#include "dialects/Tenon/IR/TenonDialect.h"
#include "dialects/Tenon/IR/TenonShape.h"
#include "lib/Import/Onnx/Library/Protos.h"
#include "lib/Import/Onnx/Node/KnownValues.h"
#include "lib/Import/Onnx/Node/Weights.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/Twine.h"
#include <functional>
#include <optional>
#include <string>
#include <utility>

namespace tenon::onnximport {

using Dims = llvm::SmallVector<SymExpr>;
using Ints = llvm::SmallVector<int64_t>;

/// What all nodes of one import share.
struct ImportState {
  mlir::OpBuilder builder;
  KnownValues known;
  /// Turns a TensorProto into an attribute; null after setting the message.
  std::function<TensorAttr(const onnx::TensorProto &, std::string &)>
      tensorAttr;
  /// Imports a graph in place (a branch that is certainly taken, one iteration
  /// of a body) with these inputs and gives its outputs; false after an error
  /// was stated.
  std::function<bool(const onnx::GraphProto &, llvm::ArrayRef<mlir::Value>,
                     llvm::SmallVectorImpl<mlir::Value> &, std::string &)>
      inlineGraph;
  /// What was refused so far. An attempt that is given up takes back what it
  /// added.
  struct Refusals {
    size_t count; ///< of nodes that were listed and gone on without
    std::function<void()> restore;
  };
  std::function<Refusals()> refusals;
  /// What this attempt at the graph takes a condition for that decides a rank;
  /// nullopt where none did so far.
  std::function<std::optional<bool>(const SymExpr &)> chosen;
  size_t numChosen = 0; ///< how often something was
  /// Asks for one value of the condition, `first` before the other. Where the
  /// values are not equally good, this attempt goes on with the first.
  std::function<void(const onnx::NodeProto &, const SymExpr &, bool first,
                     bool mustBeUnique)>
      choose;
  /// The rank that the model declares a value to have.
  std::function<std::optional<int64_t>(const std::string &)> declaredRank;

  explicit ImportState(mlir::MLIRContext *context) : builder(context) {}
};

/// The elements of bytes as a tensor of a packed type, and the reverse; null
/// after a diagnostic.
mlir::Value unpackTensor(mlir::OpBuilder &builder, mlir::Location loc,
                         mlir::Value bytes, mlir::RankedTensorType type);
mlir::Value packTensor(mlir::OpBuilder &builder, mlir::Location loc,
                       mlir::Value value);
/// How many bytes that takes.
SymExpr packedBytes(mlir::RankedTensorType type);

/// Has the graph that many inputs and outputs?
bool hasArity(const onnx::GraphProto &graph, int inputs, int outputs);

class NodeImporter {
public:
  NodeImporter(ImportState &state, const onnx::NodeProto &proto, int64_t opset,
               mlir::Location loc, llvm::ArrayRef<mlir::Value> inputs);

  ImportState &state;
  mlir::OpBuilder &builder;
  const onnx::NodeProto &proto;
  /// Of the node's domain.
  const int64_t opset;
  const mlir::Location loc;
  const std::string &opType() const;
  /// As the node says it; domainOf() is for messages and the table.
  const std::string &domain() const;

  //===--- Operands and results -------------------------------------------===//
  unsigned numInputs() const { return inputs.size(); }
  bool has(unsigned i) const { return i < inputs.size() && inputs[i]; }
  /// Null where the optional input is absent.
  mlir::Value in(unsigned i) const { return has(i) ? inputs[i] : nullptr; }
  unsigned numOutputs() const { return results.size(); }
  bool wants(unsigned i) const { return !outputName(i).empty(); }
  /// Empty where the output is absent.
  llvm::StringRef outputName(unsigned i) const;
  void out(unsigned i, mlir::Value value);
  /// The checker counts operands of ONNX's own domains only; others ask here.
  bool requireInputs(std::initializer_list<unsigned> at);
  mlir::Value result(unsigned i) const {
    return i < results.size() ? results[i] : nullptr;
  }

  //===--- Errors ---------------------------------------------------------===//
  /// States what is wrong (the first statement counts); returns null.
  mlir::Value error(const llvm::Twine &message);
  bool failed() const { return !message.empty(); }
  const std::string &errorMessage() const { return message; }
  /// Takes the error back, for what can be attempted in another way.
  std::string takeError() { return std::exchange(message, {}); }

  //===--- Attributes -----------------------------------------------------===//
  bool hasAttr(llvm::StringRef name) const { return attr(name); }
  /// Null where the attribute is absent.
  const onnx::GraphProto *getGraph(llvm::StringRef name) const;
  int64_t getInt(llvm::StringRef name, int64_t otherwise) const;
  double getFloat(llvm::StringRef name, double otherwise) const;
  std::string getString(llvm::StringRef name, llvm::StringRef otherwise) const;
  std::optional<Ints> getInts(llvm::StringRef name) const;
  /// Empty where the attribute is absent.
  llvm::SmallVector<float> getFloats(llvm::StringRef name) const;
  llvm::SmallVector<std::string> getStrings(llvm::StringRef name) const;
  /// The ints of an attribute or, from an opset on, of a constant input. An
  /// absent one is nullopt; one that is not constant fails.
  std::optional<Ints> getIntsAttrOrInput(llvm::StringRef name, unsigned input);
  /// The same where the input's integers may be known only at run time.
  std::optional<Dims> getDimsAttrOrInput(llvm::StringRef name, unsigned input);

  //===--- Types ----------------------------------------------------------===//
  static mlir::RankedTensorType type(mlir::Value v);
  static mlir::Type elem(mlir::Value v);
  static bool isFloat(mlir::Value v);
  static bool isBool(mlir::Value v);
  static int64_t rank(mlir::Value v);
  static Dims dims(mlir::Value v);
  /// The builtin type of an ONNX data type; null after an error.
  mlir::Type elementType(int32_t onnxType);
  /// The same by its name, as opsets below 6 give it.
  mlir::Type elementType(llvm::StringRef onnxType);
  /// `axis` made non-negative; fails outside [-rank, rank).
  int64_t axis(int64_t axis, int64_t rank);
  /// Sorted, unique, non-negative.
  Ints axes(llvm::ArrayRef<int64_t> axes, int64_t rank);

  //===--- Known values ---------------------------------------------------===//
  const KnownValue *known(mlir::Value v) { return state.known.lookup(v); }
  /// The elements of a value computed from dims; fails, naming `what`, where
  /// they depend on data.
  std::optional<Dims> knownDims(mlir::Value v, llvm::StringRef what);
  std::optional<Ints> constInts(mlir::Value v, llvm::StringRef what);
  /// All of them as integers; nullopt, without an error, where one is not.
  static std::optional<Ints> constants(llvm::ArrayRef<SymExpr> elements);
  /// A constant float or integer scalar's value; nullopt without an error.
  static std::optional<double> constScalar(mlir::Value v);
  /// The first element of `v`, an integer that the run computes, in [0, bound].
  SymExpr readNumber(mlir::Value v, const SymExpr &bound);
  /// Requires 0 <= e at run time, where that is not certain.
  void checkNonNegative(const SymExpr &e);
  void checkEqual(const SymExpr &a, const SymExpr &b);
  void checkLessEqual(const SymExpr &a, const SymExpr &b);
  /// Requires that a condition, 0 or 1, has the value that was chosen for it; a
  /// run for the other says how to compile for that.
  void checkChoice(const SymExpr &condition, bool value);

  //===--- Creating ops ---------------------------------------------------===//
  mlir::Value make(llvm::StringRef op, mlir::ValueRange operands,
                   llvm::ArrayRef<mlir::NamedAttribute> attrs = {});
  template <typename OpTy>
  mlir::Value make(mlir::ValueRange operands,
                   llvm::ArrayRef<mlir::NamedAttribute> attrs = {}) {
    return make(OpTy::getOperationName(), operands, attrs);
  }
  mlir::NamedAttribute named(llvm::StringRef name, mlir::Attribute a) {
    return builder.getNamedAttr(name, a);
  }
  mlir::NamedAttribute flag(llvm::StringRef name) {
    return named(name, builder.getUnitAttr());
  }
  DimsAttr dimsAttr(llvm::ArrayRef<SymExpr> dims);

  mlir::Value constant(mlir::ElementsAttr value);
  /// The tensor that an attribute holds.
  mlir::Value tensor(llvm::StringRef attribute);
  /// A scalar; booleans take 0 or 1.
  mlir::Value scalar(double value, mlir::Type elementType);
  mlir::Value scalarLike(double value, mlir::Value like) {
    return like ? scalar(value, elem(like)) : nullptr;
  }
  mlir::Value ints(llvm::ArrayRef<int64_t> values);
  /// An integer scalar computed from dims.
  mlir::Value dimScalar(const SymExpr &e, mlir::Type elementType);
  mlir::Value iota(const SymExpr &size, mlir::Type elementType);
  /// start, start + step, ...
  mlir::Value iota(const SymExpr &start, const SymExpr &step,
                   const SymExpr &size, mlir::Type elementType);

  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  mlir::Value div(mlir::Value a, mlir::Value b);
  mlir::Value max(mlir::Value a, mlir::Value b);
  mlir::Value min(mlir::Value a, mlir::Value b);
  mlir::Value andOp(mlir::Value a, mlir::Value b);
  mlir::Value notOp(mlir::Value a);
  mlir::Value exp(mlir::Value a);
  mlir::Value log(mlir::Value a);
  mlir::Value sqrt(mlir::Value a);
  mlir::Value addScalar(mlir::Value a, double s) {
    return add(a, scalarLike(s, a));
  }
  mlir::Value mulScalar(mlir::Value a, double s) {
    return s == 1.0 ? a : mul(a, scalarLike(s, a));
  }
  mlir::Value compare(CompareKind kind, mlir::Value a, mlir::Value b);
  mlir::Value compareScalar(CompareKind kind, mlir::Value a, double s) {
    return compare(kind, a, scalarLike(s, a));
  }
  mlir::Value select(mlir::Value c, mlir::Value a, mlir::Value b);
  mlir::Value cast(mlir::Value v, mlir::Type elementType);
  /// With what narrows to small floats: ONNX's saturate and round_mode.
  mlir::Value cast(mlir::Value v, mlir::Type elementType, bool saturate,
                   RoundMode round);
  /// Element counts must agree: provably, or by a check before each run.
  mlir::Value reshape(mlir::Value v, llvm::ArrayRef<SymExpr> dims);
  /// Inserts dims of 1 at these positions of the result.
  mlir::Value unsqueeze(mlir::Value v, llvm::ArrayRef<int64_t> axes);
  mlir::Value squeeze(mlir::Value v, llvm::ArrayRef<int64_t> axes);
  mlir::Value broadcast(mlir::Value v, llvm::ArrayRef<SymExpr> dims);
  mlir::Value transpose(mlir::Value v, llvm::ArrayRef<int64_t> perm);
  /// Elements [start, start + size) of one dim.
  mlir::Value slice(mlir::Value v, int64_t axis, const SymExpr &start,
                    const SymExpr &size);
  mlir::Value concat(mlir::ValueRange values, int64_t axis);
  mlir::Value gather(mlir::Value v, mlir::Value indices, int64_t axis);
  mlir::Value reduce(ReduceKind kind, mlir::Value v,
                     llvm::ArrayRef<int64_t> axes, bool keepdims = true);
  mlir::Value matmul(mlir::Value a, mlir::Value b, bool transposeA = false,
                     bool transposeB = false);
  mlir::Value softmaxLast(mlir::Value v);
  mlir::Value layerNorm(mlir::Value x, mlir::Value scale, mlir::Value bias,
                        double epsilon, int64_t dims);
  mlir::Value rmsNorm(mlir::Value x, mlir::Value scale, double epsilon,
                      int64_t dims);

private:
  const onnx::AttributeProto *attr(llvm::StringRef name) const;

  llvm::SmallVector<mlir::Value> inputs, results;
  std::string message;
};

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_NODEIMPORTER_H
