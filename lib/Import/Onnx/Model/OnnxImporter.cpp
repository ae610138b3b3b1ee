//===- OnnxImporter.cpp - ONNX models to the tenon dialect ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   1. OnnxLibrary parses, checks, and inlines functions.
//   2. InputDims names the inputs' dims; main's arguments get their types.
//   3. Each node, in order: operands by name, the operator's function from the
//      Registry, results by name. Weights become constants at first use.
//   4. Outputs, and what nothing uses is dropped.
//
// Where dims decide a rank, all of this is one attempt of several (Choices.h).
//
// Asked for all unsupported nodes, the importer goes on after the first
// (UnsupportedNodes.cpp).
//
//===----------------------------------------------------------------------===//
#include "tenon/Import/OnnxImporter.h"
#include "dialects/Tenon/IR/TenonOpBase.h"
#include "dialects/Tenon/IR/TenonSize.h"
#include "lib/Import/Onnx/Model/Defaults.h"
#include "lib/Import/Onnx/Model/Importer.h"
#include "lib/Import/Onnx/Node/InputValues.h"
#include "lib/Import/Onnx/Node/Registry.h"
#include "lib/Import/Onnx/Node/Sequences.h"
#include "lib/Import/Onnx/Node/Steps.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Iterators.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Path.h"

using namespace mlir;

namespace tenon {
using namespace onnximport;

LogicalResult Importer::fail(const Twine &message) {
  if (error.empty())
    error = message.str();
  return failure();
}

int64_t Importer::opsetOf(const onnx::NodeProto &node) const {
  std::string domain = domainOf(node);
  for (const auto &import : model->opset_import())
    if (import.domain() == domain ||
        (import.domain().empty() && domain == "ai.onnx"))
      return import.version();
  return 1;
}

UnsupportedNode Importer::identify(const onnx::NodeProto &node,
                                   const std::string &reason) const {
  UnsupportedNode found;
  found.name = node.name();
  if (found.name.empty())
    for (const std::string &output : node.output())
      found.output = found.output.empty() ? output : found.output;
  found.domain = domainOf(node);
  found.op = node.op_type();
  found.opset = opsetOf(node);
  found.reason = reason;
  return found;
}

std::string describe(const UnsupportedNode &node) {
  if (!node.file.empty())
    return node.reason;
  if (node.op.empty())
    return "input '" + node.name + "': " + node.reason;
  std::string name = node.name.empty() ? "with output '" + node.output + "'"
                                       : "'" + node.name + "'";
  return "node " + name + " (" + node.domain + "::" + node.op + ", opset " +
         std::to_string(node.opset) + "): " + node.reason;
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

void Importer::bind(const std::string &name, Value value) {
  values[name] = value;
  if (!options.keepNodeValues)
    return;
  Operation *op = value.getDefiningOp();
  if (op && !op->hasAttr("tenon.value"))
    op->setAttr("tenon.value", StringAttr::get(&context, name));
}

Value Importer::valueOf(const std::string &name, std::string &message) {
  auto value = values.find(name);
  if (value != values.end())
    return value->second;
  auto initializer = initializers.find(name);
  if (initializer == initializers.end()) {
    message = "value '" + name + "' is not defined";
    return nullptr;
  }
  TensorAttr attr = weights->get(*initializer->second, message);
  if (!attr && options.unsupported)
    if (Value value = standInForWeight(*initializer->second))
      return values[name] = value;
  if (!attr)
    return nullptr;
  Location loc = NameLoc::get(StringAttr::get(&context, name));
  // A loop's body ends before the weight's other uses may come.
  OpBuilder::InsertionGuard guard(state.builder);
  if (Block *block = &main.getBody().front();
      state.builder.getInsertionBlock() != block)
    state.builder.setInsertionPointToStart(block);
  Value constant = createTensor(state.builder, loc, attr);
  if (!constant) {
    message = "weight '" + name + "' cannot be expressed";
    return nullptr;
  }
  bind(name, constant);
  return constant;
}

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

/// "'tenon.exp' op operand #0 must be …" without the dialect's part.
static std::string withoutOpName(std::string text) {
  if (text.rfind("'tenon.", 0) == 0)
    if (size_t at = text.find("' op "); at != std::string::npos)
      text.erase(0, at + 5);
  return text;
}

std::string Importer::tryNode(const onnx::NodeProto &node) {
  int64_t opset = opsetOf(node);
  std::string message = whyUnsupported(node, opset);
  if (!message.empty()) {
    hopeless = true;
    return message;
  }
  SmallVector<Value> inputs;
  for (const std::string &name : node.input()) {
    Value value = name.empty() ? nullptr : valueOf(name, message);
    if (!name.empty() && !value)
      return message;
    if (value && !isTensor(value) &&
        !Registry::get().takesSequences(domainOf(node), node.op_type()))
      return "input " + std::to_string(inputs.size()) + " ('" + name +
             "') is a sequence or an optional, expected a tensor";
    inputs.push_back(value);
  }

  Location loc = NameLoc::get(StringAttr::get(
      &context, node.name().empty() ? node.op_type() : node.name()));
  NodeImporter importer(state, node, opset, loc, inputs);
  std::string diagnosed;
  {
    // What inference or a verifier says becomes part of the one error.
    ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diag) {
      if (diag.getSeverity() == DiagnosticSeverity::Error && diagnosed.empty())
        diagnosed = diag.str();
      return success();
    });
    importOperator(
        Registry::get().lookup(domainOf(node), node.op_type(), opset),
        importer);
  }
  if (importer.failed())
    return diagnosed.empty() ? importer.errorMessage()
                             : withoutOpName(diagnosed);
  for (int i = 0; i < node.output_size(); ++i) {
    if (node.output(i).empty())
      continue;
    if (!importer.result(i))
      return "output " + std::to_string(i) + " ('" + node.output(i) +
             "') is not supported";
    bind(node.output(i), importer.result(i));
  }
  return "";
}

LogicalResult Importer::importNode(const onnx::NodeProto &node) {
  bool keepGoing = options.unsupported != nullptr;
  auto isIn = [&](const llvm::StringSet<> &names) {
    return llvm::any_of(node.input(), [&](const std::string &name) {
      return names.contains(name);
    });
  };
  if (keepGoing && isIn(missing)) {
    goOnWithout(node, whyUnsupported(node, opsetOf(node)));
    return success();
  }
  size_t before = numRefused;
  std::string reason = tryNode(node);
  if (keepGoing && isIn(unread)) {
    for (const std::string &name : node.output())
      unread.insert(name);
    // For lack of a weight's values: the file has been listed.
    if (!reason.empty() && whyUnsupported(node, opsetOf(node)).empty()) {
      goOnWithout(node, "");
      return success();
    }
  }
  if (reason.empty()) {
    if (keepGoing && isIn(uncertain))
      for (const std::string &name : node.output())
        uncertain.insert(name);
    return success();
  }
  if (!keepGoing) // inside a branch, its node has been named
    return fail(tenon::describe(identify(node, reason)));
  // A branch that gives no value has a node inside that says why.
  goOnWithout(node, numRefused > before ? "" : reason);
  return success();
}

LogicalResult Importer::importNodes(const onnx::GraphProto &graph) {
  for (const auto &node : graph.node())
    if (mlir::failed(importNode(node)))
      return failure();
  return success();
}

//===----------------------------------------------------------------------===//
// The graph
//===----------------------------------------------------------------------===//

void Importer::collectGraph(const onnx::GraphProto &graph) {
  for (const auto &tensor : graph.initializer())
    initializers[tensor.name()] = &tensor;
}

/// Why an input cannot be a port of an artifact, or an empty string and its
/// element type.
static std::string whyInputUnsupported(MLIRContext *context,
                                       const onnx::ValueInfoProto &input,
                                       Type &type) {
  if (!input.type().has_tensor_type())
    return "expected a tensor, found another type";
  const auto &tensor = input.type().tensor_type();
  type = builtinType(context, tensor.elem_type());
  if (!type)
    return "data type " + dataTypeName(tensor.elem_type()) +
           " is not supported";
  if (!tensor.has_shape())
    return "the model does not say its rank";
  if (tensor.shape().dim_size() > 8)
    return "rank " + std::to_string(tensor.shape().dim_size()) +
           " is not supported: expected at most 8";
  return "";
}

Importer::Scope::Scope(Importer &importer, const onnx::GraphProto &graph)
    : importer(importer) {
  auto hide = [&](const std::string &name) {
    outer.push_back({name, importer.values.lookup(name),
                     importer.initializers.lookup(name)});
    importer.values.erase(name);
    importer.initializers.erase(name);
  };
  for (const auto &input : graph.input())
    hide(input.name());
  for (const auto &tensor : graph.initializer())
    hide(tensor.name());
  for (const auto &node : graph.node())
    for (const std::string &name : node.output())
      hide(name);
}

Importer::Scope::~Scope() {
  for (const Outer &o : llvm::reverse(outer)) {
    importer.values.erase(o.name);
    importer.initializers.erase(o.name);
    if (o.value)
      importer.values[o.name] = o.value;
    if (o.initializer)
      importer.initializers[o.name] = o.initializer;
  }
}

LogicalResult Importer::createMain(const onnx::GraphProto &graph) {
  optional = optionalInputs(*model, options.defaults);
  SmallVector<const onnx::ValueInfoProto *> inputs;
  for (const auto &input : graph.input())
    if (auto found = optional.find(input.name()); found != optional.end())
      inputs.push_back(&found->second);
    else if (!initializers.count(input.name()))
      inputs.push_back(&input);

  SmallVector<Type> elementTypes;
  SmallVector<const onnx::ValueInfoProto *> accepted;
  for (const auto *input : inputs) {
    Type type;
    std::string reason = whyInputUnsupported(&context, *input, type);
    if (reason.empty()) {
      elementTypes.push_back(type);
      accepted.push_back(input);
      continue;
    }
    UnsupportedNode found;
    found.name = input->name();
    found.reason = reason;
    (void)fail(tenon::describe(found));
    if (!options.unsupported)
      return failure();
    options.unsupported->push_back(found);
    missing.insert(input->name());
  }
  inputs = std::move(accepted);
  std::string problem = inputDims.build(inputs, options.dims, zeroIsUnknown);
  if (!problem.empty())
    return fail(problem);

  SmallVector<Type> types;
  SmallVector<RankedTensorType> packed; // as the model has them
  SmallVector<Location> locs;
  for (auto [i, elementType] : llvm::enumerate(elementTypes)) {
    packed.push_back(getTensorType(inputDims.dims(i), elementType));
    std::string tooLarge = whyTooLarge(packed.back());
    if (!tooLarge.empty())
      return fail("input '" + inputs[i]->name() + "': " + tooLarge);
    types.push_back(packed.back());
    if (isPackedType(elementType))
      types.back() = getTensorType({packedBytes(packed.back())},
                                   state.builder.getIntegerType(8, false));
    locs.push_back(NameLoc::get(StringAttr::get(&context, inputs[i]->name())));
  }
  OpBuilder &builder = state.builder;
  main = func::FuncOp::create(builder, UnknownLoc::get(&context), "main",
                              builder.getFunctionType(types, {}));
  Block *block = builder.createBlock(&main.getBody(), {}, types, locs);
  for (auto [i, input] : llvm::enumerate(inputs)) {
    main.setArgAttr(i, "tenon.name", builder.getStringAttr(input->name()));
    values[input->name()] = block->getArgument(i);
    if (!optional.contains(input->name()))
      continue;
    std::string message;
    TensorAttr value = weights->get(*initializers[input->name()], message);
    if (!value)
      return fail("input '" + input->name() + "': " + message);
    main.setArgAttr(i, "tenon.default", value.value);
  }
  builder.setInsertionPointToEnd(block);
  for (auto [i, type] : llvm::enumerate(packed)) {
    if (types[i] == type)
      continue;
    main.setArgAttr(i, "tenon.packed", TypeAttr::get(type));
    Value &value = values[inputs[i]->name()];
    value = unpackTensor(builder, locs[i], value, type);
    if (!value)
      return fail("input '" + inputs[i]->name() + "' cannot be unpacked");
  }
  return fixInputs();
}

/// What --value says of inputs.
LogicalResult Importer::fixInputs() {
  for (const auto &[name, numbers] : options.values) {
    auto value = values.find(name);
    if (value == values.end()) {
      SmallVector<std::string> known;
      for (const auto &input : values)
        known.push_back(input.first().str());
      llvm::sort(known);
      return fail("--value: unknown input '" + name + "': expected one of " +
                  (known.empty() ? "none" : llvm::join(known, ", ")));
    }
    std::string problem;
    Value fixed = fixInput(state, value->second, name, numbers, problem);
    if (!fixed)
      return fail(problem);
    value->second = fixed;
  }
  return success();
}

LogicalResult Importer::finishMain(const onnx::GraphProto &graph) {
  OpBuilder &builder = state.builder;
  SmallVector<Value> results;
  SmallVector<Type> types;
  SmallVector<TypeAttr> packed;
  for (const auto &output : graph.output()) {
    std::string message;
    Value value = valueOf(output.name(), message);
    if (!value)
      return fail("output '" + output.name() + "': " + message);
    if (!isTensor(value))
      return fail("output '" + output.name() +
                  "': expected a tensor, found another type");
    auto type = cast<RankedTensorType>(value.getType());
    packed.push_back(isPackedType(type.getElementType()) ? TypeAttr::get(type)
                                                         : TypeAttr());
    if (packed.back())
      value = packTensor(builder, value.getLoc(), value);
    if (!value)
      return fail("output '" + output.name() + "' cannot be packed");
    results.push_back(value);
    types.push_back(value.getType());
  }
  func::ReturnOp::create(builder, UnknownLoc::get(&context), results);
  main.setType(builder.getFunctionType(main.getArgumentTypes(), types));
  for (auto [i, output] : llvm::enumerate(graph.output())) {
    main.setResultAttr(i, "tenon.name", builder.getStringAttr(output.name()));
    if (packed[i])
      main.setResultAttr(i, "tenon.packed", packed[i]);
  }
  return success();
}

void Importer::eraseUnused() {
  main->walk<WalkOrder::PostOrder, ReverseIterator>([&](Operation *op) {
    if (isOpTriviallyDead(op))
      op->erase();
  });
}

Attempt Importer::attempt() {
  Attempt result;
  FailureOr<OwningOpRef<ModuleOp>> module = run();
  if (!unreadFiles.empty()) {
    // First, as it may be all that is wrong.
    error = tenon::describe(unreadFiles.front());
    if (options.unsupported)
      options.unsupported->insert(options.unsupported->begin(),
                                  unreadFiles.begin(), unreadFiles.end());
  }
  result.error = error;
  result.lacksChoice = lacksChoice;
  result.isHopeless = hopeless || !unreadFiles.empty();
  if (succeeded(module) && !lacksChoice) {
    result.agrees = agreesWithOutputs();
    result.module = std::move(*module);
  }
  return result;
}

bool Importer::agreesWithOutputs() {
  for (auto [output, type] : llvm::zip(model->graph().output(),
                                       main.getFunctionType().getResults())) {
    const auto &tensor = output.type().tensor_type();
    Dims dims = getDims(cast<RankedTensorType>(type));
    if (!tensor.has_shape())
      continue;
    if (tensor.shape().dim_size() != int(dims.size()))
      return false;
    for (auto [declared, dim] : llvm::zip(tensor.shape().dim(), dims))
      if (declared.dim_value() > 0 &&
          dim.constant().value_or(declared.dim_value()) != declared.dim_value())
        return false;
  }
  return true;
}

void Importer::setUpState() {
  weights = std::make_unique<Weights>(&context, model, folder);
  state.tensorAttr = [this](const onnx::TensorProto &tensor,
                            std::string &message) {
    return weights->get(tensor, message);
  };
  state.inlineGraph =
      [this](const onnx::GraphProto &graph, ArrayRef<Value> inputs,
             SmallVectorImpl<Value> &results, std::string &message) {
        Scope scope(*this, graph);
        collectGraph(graph);
        for (auto [input, value] : llvm::zip(graph.input(), inputs))
          values[input.name()] = value;
        if (mlir::failed(importNodes(graph)))
          return false;
        for (const auto &output : graph.output()) {
          results.push_back(valueOf(output.name(), message));
          if (!results.back())
            return false;
        }
        return true;
      };

  state.refusals = [this] {
    std::vector<UnsupportedNode> listed;
    if (options.unsupported)
      listed = *options.unsupported;
    return ImportState::Refusals{
        numRefused, [this, listed, before = error, count = numRefused,
                     unsure = uncertain, lost = missing] {
          error = before;
          numRefused = count;
          uncertain = unsure;
          missing = lost;
          if (options.unsupported)
            *options.unsupported = listed;
        }};
  };

  state.chosen = [this](const SymExpr &condition) {
    std::optional<bool> choice = choices.of(condition);
    state.numChosen += choice.has_value();
    return choice;
  };
  state.choose = [this](const onnx::NodeProto &node, const SymExpr &condition,
                        bool first, bool mustBeUnique) {
    if (lacksChoice)
      return;
    lacksChoice = mustBeUnique;
    choices.add({condition, first, mustBeUnique, identify(node, "")});
  };
  state.declaredRank = [this](const std::string &name) {
    std::optional<int64_t> rank;
    auto look = [&](const auto &values) {
      for (const onnx::ValueInfoProto &value : values)
        if (value.name() == name && value.type().tensor_type().has_shape())
          rank = value.type().tensor_type().shape().dim_size();
    };
    look(model->graph().value_info());
    look(model->graph().output());
    return rank;
  };
}

FailureOr<OwningOpRef<ModuleOp>> Importer::run() {
  setUpState();
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
  StringRef stem = llvm::sys::path::stem(file);
  StringRef name = model->graph().name();
  (*module)->setAttr("tenon.model_name",
                     state.builder.getStringAttr(name.empty() ? stem : name));
  state.builder.setInsertionPointToStart(module->getBody());
  collectGraph(model->graph());
  if (mlir::failed(createMain(model->graph())) ||
      mlir::failed(importNodes(model->graph())) || !error.empty() ||
      !unreadFiles.empty() || mlir::failed(finishMain(model->graph())))
    return failure();
  eraseUnused();
  if (!inputDims.ranges().empty()) {
    SmallVector<NamedAttribute> ranges;
    for (const auto &[symbol, range] : inputDims.ranges())
      ranges.push_back(state.builder.getNamedAttr(
          symbol, state.builder.getDenseI64ArrayAttr({range.lo, range.hi})));
    (*module)->setAttr("tenon.ranges", state.builder.getDictionaryAttr(ranges));
  }

  std::string invalid;
  {
    ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diag) {
      if (diag.getSeverity() == DiagnosticSeverity::Error && invalid.empty())
        invalid = diag.str();
      return success();
    });
    if (succeeded(verify(*module)))
      return module;
  }
  return fail("the imported module is invalid: " + invalid);
}

//===----------------------------------------------------------------------===//
// Entry points
//===----------------------------------------------------------------------===//

static bool declaresZero(const onnx::ModelProto &model) {
  for (const auto &input : model.graph().input())
    for (const auto &dim : input.type().tensor_type().shape().dim())
      if (dim.has_dim_value() && dim.dim_value() == 0)
        return true;
  return false;
}

static FailureOr<OwningOpRef<ModuleOp>>
importLoaded(LoadedModel loaded, StringRef file, MLIRContext &context,
             const ImportOptions &options) {
  context.loadDialect<TenonDialect, func::FuncDialect>();
  std::string error = loaded.error;
  if (error.empty())
    error =
        prepareModel(*loaded.proto, [](const std::string &domain,
                                       const std::string &op, int64_t opset) {
          return Registry::get().lookup(domain, op, opset) != nullptr;
        });
  OwningOpRef<ModuleOp> module;
  // What comes through a pipe has its external data in the current directory.
  std::string folder =
      loaded.stream ? "" : llvm::sys::path::parent_path(file).str();
  auto import = [&](const ImportOptions &options, bool zeroIsUnknown,
                    std::string &error) {
    return importByChoices(
        options,
        [&](const ImportOptions &options, Choices &choices) {
          return Importer(context, file, options, folder, loaded.proto,
                          zeroIsUnknown, choices)
              .attempt();
        },
        error);
  };
  if (error.empty()) {
    module = import(options, /*zeroIsUnknown=*/false, error);
    if (!module && options.defaults == DefaultInputs::Auto &&
        !optionalInputs(*loaded.proto, options.defaults).empty()) {
      // What could be given is not known: perhaps an operator has to know it.
      ImportOptions quiet = options;
      quiet.defaults = DefaultInputs::Weights;
      quiet.unsupported = nullptr;
      std::string other;
      module = import(quiet, /*zeroIsUnknown=*/false, other);
      if (module && options.unsupported)
        options.unsupported->clear();
    }
    if (!module && declaresZero(*loaded.proto)) {
      // Some exporters write 0 for what they do not know.
      ImportOptions quiet = options;
      quiet.unsupported = nullptr;
      std::string other;
      module = import(quiet, /*zeroIsUnknown=*/true, other);
      if (module && options.unsupported)
        options.unsupported->clear();
    }
  }
  if (!module)
    return emitError(UnknownLoc::get(&context)) << file << ": " << error;
  return module;
}

FailureOr<OwningOpRef<ModuleOp>> importOnnxFile(StringRef path,
                                                MLIRContext &context,
                                                const ImportOptions &options) {
  bool text = path.ends_with(".onnxtxt") || path.ends_with(".onnxtext");
  return importLoaded(parseModelFile(path.str(), text), path, context, options);
}

FailureOr<OwningOpRef<ModuleOp>> importOnnxText(StringRef text, StringRef name,
                                                MLIRContext &context,
                                                const ImportOptions &options) {
  return importLoaded(parseModelText(text.str()), name, context, options);
}

} // namespace tenon
