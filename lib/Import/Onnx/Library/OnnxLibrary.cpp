//===- OnnxLibrary.cpp - every call that may throw ------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// ONNX's code and protobuf throw; the rest of Tenon is built without
// exceptions. So this is the one file of the importer that is compiled with
// them, and each function here catches everything.
//
//===----------------------------------------------------------------------===//
#include "lib/Import/Onnx/Library/OnnxLibrary.h"
#include "lib/Import/Onnx/Library/Repair.h"
#include "onnx/checker.h"
#include "onnx/defs/parser.h"
#include "onnx/defs/schema.h"
#include "onnx/inliner/inliner.h"
#include "onnx/onnx_pb.h"
#include "onnx/shape_inference/implementation.h"
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <set>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace tenon::onnximport {

/// ONNX's messages run over several lines; ours are one.
static std::string oneLine(const std::string &text) {
  std::string out;
  for (char c : text) {
    bool space = c == '\n' || c == '\r' || c == '\t' || c == ' ';
    if (!space)
      out += c;
    else if (!out.empty() && out.back() != ' ')
      out += ' ';
  }
  while (!out.empty() && out.back() == ' ')
    out.pop_back();
  return out;
}

/// Runs `body`; what it throws becomes the message.
template <typename Body>
static std::string guarded(Body body) {
  try {
    return body();
  } catch (const std::bad_alloc &) {
    return "out of memory";
  } catch (const std::exception &e) {
    return oneLine(e.what());
  } catch (...) {
    return "unknown error in ONNX's library";
  }
}

std::string dataTypeName(int32_t type) {
  std::string name;
  std::string error = guarded([&] {
    name = onnx::PrimitiveTypeNameMap::ToString(type);
    return std::string();
  });
  if (!error.empty() || name == "undefined")
    return "data type " + std::to_string(type);
  return name;
}

/// Where nodes go whose operator ONNX lacks: this and their own domain.
static const std::string unknownDomain = "tenon.unknown/";

std::string domainOf(const onnx::NodeProto &node) {
  std::string domain = node.domain();
  if (domain.rfind(unknownDomain, 0) == 0)
    domain.erase(0, unknownDomain.size());
  return domain.empty() ? "ai.onnx" : domain;
}

//===----------------------------------------------------------------------===//
// Parsing
//===----------------------------------------------------------------------===//

/// Protobuf counts bytes in 31 bits.
static constexpr size_t maxModelBytes = INT32_MAX;

static std::string
parseBinary(google::protobuf::io::ZeroCopyInputStream &stream, size_t size,
            onnx::ModelProto &model) {
  bool parsed;
  {
    google::protobuf::io::CodedInputStream coded(&stream);
    coded.SetTotalBytesLimit(maxModelBytes);
    parsed =
        model.ParseFromCodedStream(&coded) && coded.ConsumedEntireMessage();
  }
  if (!parsed)
    return size >= maxModelBytes
               ? "not an ONNX model: a protobuf file is at most 2 GiB (weights "
                 "beyond that are external data)"
               : "not an ONNX model, or a truncated one (" +
                     std::to_string(size) + " bytes do not parse)";
  if (!model.has_graph() || !model.has_ir_version())
    return "not an ONNX model: it has no graph or no ir_version";
  return "";
}

static std::string parseText(const std::string &text, onnx::ModelProto &model) {
  onnx::OnnxParser parser(text.c_str());
  onnx::Common::Status status = parser.Parse(model);
  if (!status.IsOK())
    return "not ONNX's text form: " + oneLine(status.ErrorMessage());
  if (!parser.EndOfInput())
    return "not ONNX's text form: text after the model";
  return "";
}

LoadedModel parseModelText(const std::string &text) {
  LoadedModel loaded{std::make_shared<onnx::ModelProto>(), ""};
  loaded.error = guarded([&] { return parseText(text, *loaded.proto); });
  return loaded;
}

/// All that comes until the end, or what is too much; what is wrong.
static std::string readAll(int fd, std::string &content) {
  std::vector<char> buffer(1 << 20);
  while (content.size() <= maxModelBytes) {
    ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return std::string("cannot read it: ") + strerror(errno);
    if (n == 0)
      break;
    content.append(buffer.data(), n);
  }
  return "";
}

/// Does this begin as ONNX's text form does? A binary model's first byte, the
/// number of a field and its kind, is neither.
static bool looksLikeText(const std::string &content) {
  size_t first = content.find_first_not_of(" \t\r\n");
  return first != std::string::npos &&
         (content[first] == '<' || content[first] == '#');
}

static std::string parseOpen(int fd, bool text, LoadedModel &loaded) {
  struct stat info;
  if (::fstat(fd, &info) != 0)
    return std::string("cannot read it: ") + strerror(errno);
  loaded.stream |= !S_ISREG(info.st_mode);
  if (S_ISDIR(info.st_mode) || S_ISBLK(info.st_mode))
    return "not a regular file";
  if (!loaded.stream && !text) {
    google::protobuf::io::FileInputStream stream(fd);
    return parseBinary(stream, info.st_size, *loaded.proto);
  }
  std::string content, problem = readAll(fd, content);
  if (!problem.empty())
    return problem;
  if (text || looksLikeText(content))
    return parseText(content, *loaded.proto);
  google::protobuf::io::ArrayInputStream stream(
      content.data(), int(std::min(content.size(), maxModelBytes)));
  return parseBinary(stream, content.size(), *loaded.proto);
}

LoadedModel parseModelFile(const std::string &path, bool text) {
  LoadedModel loaded{std::make_shared<onnx::ModelProto>(), ""};
  loaded.stream = path == "-";
  int fd =
      loaded.stream ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    loaded.error = std::string("cannot open the file: ") + strerror(errno);
    return loaded;
  }
  loaded.error = guarded([&] { return parseOpen(fd, text, loaded); });
  if (path != "-")
    ::close(fd);
  return loaded;
}

//===----------------------------------------------------------------------===//
// Preparing
//===----------------------------------------------------------------------===//

static int64_t opsetOf(const onnx::ModelProto &model,
                       const std::string &domain) {
  auto canonical = [](const std::string &d) {
    return d == "ai.onnx" ? std::string() : d;
  };
  for (const auto &import : model.opset_import())
    if (canonical(import.domain()) == canonical(domain))
      return import.version();
  return -1;
}

/// onnxruntime's transformer tools write these into the default domain, where
/// ONNX has no such operators.
static void moveMisplacedOperators(onnx::ModelProto &model) {
  static const std::set<std::string> misplaced = {
      "SimplifiedLayerNormalization",
      "SkipLayerNormalization",
      "SkipSimplifiedLayerNormalization",
      "FastGelu",
      "BiasGelu",
      "QuickGelu",
      "FusedMatMul",
      "MultiHeadAttention",
      "GroupQueryAttention",
      "EmbedLayerNormalization",
      "MatMulNBits"};
  bool moved = false;
  int64_t opset = opsetOf(model, "");
  auto move = [&](onnx::NodeProto &node) {
    bool standard = node.domain().empty() || node.domain() == "ai.onnx";
    // ONNX has this one from opset 17 on.
    bool early = node.op_type() == "LayerNormalization" && opset < 17;
    if (standard && (early || misplaced.count(node.op_type()))) {
      node.set_domain("com.microsoft");
      moved = true;
    }
  };
  forEachNode(*model.mutable_graph(), move);
  for (auto &function : *model.mutable_functions()) {
    bool before = moved;
    moved = false;
    forEachNode(function, move);
    bool imports = false;
    for (const auto &import : function.opset_import())
      imports |= import.domain() == "com.microsoft";
    if (moved && !imports) {
      auto *import = function.add_opset_import();
      import->set_domain("com.microsoft");
      import->set_version(1);
    }
    moved |= before;
  }
  if (moved && opsetOf(model, "com.microsoft") < 0) {
    auto *import = model.add_opset_import();
    import->set_domain("com.microsoft");
    import->set_version(1);
  }
}

/// The checker, without its look at external files: those are ours to map, and
/// a message of ours names them. A graph may lack its name.
static void check(onnx::ModelProto &model) {
  std::string name = model.graph().name();
  if (name.empty())
    model.mutable_graph()->set_name("graph");
  auto &initializers = *model.mutable_graph()->mutable_initializer();
  std::vector<std::pair<int, onnx::TensorProto>> hidden;
  for (int i = 0; i < initializers.size(); ++i) {
    onnx::TensorProto &tensor = *initializers.Mutable(i);
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL)
      continue;
    onnx::TensorProto stand;
    stand.set_name(tensor.name());
    stand.set_data_type(onnx::TensorProto::FLOAT);
    stand.add_float_data(0);
    tensor.Swap(&stand);
    hidden.emplace_back(i, std::move(stand));
  }
  auto restore = [&] {
    model.mutable_graph()->set_name(name);
    for (auto &[i, tensor] : hidden)
      initializers.Mutable(i)->Swap(&tensor);
  };
  try {
    onnx::checker::check_model(model);
  } catch (...) {
    restore();
    throw;
  }
  restore();
}

using FunctionName = std::pair<std::string, std::string>; // domain, name

/// The operators that the importer lacks and that ONNX defines by a function.
static onnx::inliner::FunctionIdVector
functionOperators(onnx::ModelProto &model, const IsSupportedFn &isSupported) {
  std::set<FunctionName> found;
  forEachNode(*model.mutable_graph(), [&](const onnx::NodeProto &node) {
    int64_t opset = opsetOf(model, node.domain());
    if (isSupported(domainOf(node), node.op_type(), opset))
      return;
    const auto *schema = onnx::OpSchemaRegistry::Schema(
        node.op_type(), static_cast<int>(opset), node.domain());
    if (schema &&
        (schema->HasFunction() || schema->HasContextDependentFunction()))
      found.emplace(node.domain(), node.op_type());
  });
  return {found.begin(), found.end()};
}

/// Bodies that depend on their context ask for the operands' types, where
/// ONNX's inliner does not look at initializers and takes the empty name of an
/// absent operand for a value.
static void addOperandTypes(onnx::GraphProto &graph) {
  graph.add_value_info(); // of no name and no type
  for (const auto &tensor : graph.initializer())
    describe(tensor, *graph.add_value_info());
}

/// Computes the nodes of those operators in f32 where their operands are floats
/// of 16 bits: the steps of a body would round to those. See docs/Math.md.
class FunctionWidener {
public:
  FunctionWidener(onnx::ModelProto &model,
                  const onnx::inliner::FunctionIdVector &ids)
      : operators(ids.begin(), ids.end()), types(inferTypes(model)) {
    for (const auto &input : model.graph().input())
      types[input.name()] = input.type();
    for (const auto &tensor : model.graph().initializer())
      types[tensor.name()].mutable_tensor_type()->set_elem_type(
          tensor.data_type());
    run(*model.mutable_graph());
  }

private:
  std::set<FunctionName> operators;
  std::map<std::string, onnx::TypeProto> types;
  int count = 0;

  bool isNarrow(const std::string &name) {
    auto it = types.find(name);
    int type = it == types.end() ? 0 : it->second.tensor_type().elem_type();
    return type == onnx::TensorProto::FLOAT16 ||
           type == onnx::TensorProto::BFLOAT16;
  }
  std::string wideName(onnx::GraphProto &graph, const std::string &name) {
    auto &info = *graph.add_value_info();
    info.set_name("tenon.wide/" + std::to_string(count++));
    *info.mutable_type() = types[name];
    info.mutable_type()->mutable_tensor_type()->set_elem_type(
        onnx::TensorProto::FLOAT);
    return info.name();
  }
  static void addCast(onnx::GraphProto &graph, const onnx::NodeProto &of,
                      const std::string &from, const std::string &to,
                      int32_t type) {
    auto &cast = *graph.add_node();
    cast.set_op_type("Cast");
    cast.set_name(of.name());
    cast.add_input(from);
    cast.add_output(to);
    auto &attribute = *cast.add_attribute();
    attribute.set_name("to");
    attribute.set_type(onnx::AttributeProto::INT);
    attribute.set_i(type);
  }
  void run(onnx::GraphProto &graph) {
    google::protobuf::RepeatedPtrField<onnx::NodeProto> nodes;
    nodes.Swap(graph.mutable_node());
    for (onnx::NodeProto &node : nodes) {
      for (auto &attribute : *node.mutable_attribute())
        if (attribute.has_g())
          run(*attribute.mutable_g());
      bool narrow = false;
      if (operators.count({node.domain(), node.op_type()}))
        for (std::string &input : *node.mutable_input())
          if (isNarrow(input)) {
            std::string wide = wideName(graph, input);
            addCast(graph, node, input, wide, onnx::TensorProto::FLOAT);
            input = wide;
            narrow = true;
          }
      onnx::NodeProto &added = *graph.add_node();
      added.Swap(&node);
      for (std::string &output : *added.mutable_output())
        if (narrow && isNarrow(output)) {
          std::string wide = wideName(graph, output);
          int32_t type = types[output].tensor_type().elem_type();
          addCast(graph, added, wide, output, type);
          output = wide;
        }
    }
  }
};

/// Inlines them one operator at a time: where ONNX's inliner gives up, it
/// leaves the graph half done, so the nodes are put back and the importer says
/// that the operator is not supported.
static void inlineFunctionOperators(onnx::ModelProto &model,
                                    const IsSupportedFn &isSupported) {
  std::set<FunctionName> failed;
  if (auto ids = functionOperators(model, isSupported); !ids.empty())
    FunctionWidener(model, ids);
  // A body may hold further operators of the kind; bodies nest a few deep.
  for (int round = 0; round < 64; ++round) {
    onnx::inliner::FunctionIdVector next;
    for (auto &id : functionOperators(model, isSupported))
      if (next.empty() && !failed.count(id))
        next.push_back(id);
    if (next.empty())
      return;
    auto id = next.front();
    auto nodes = model.graph().node();
    auto infos = model.graph().value_info();
    addOperandTypes(*model.mutable_graph());
    std::string error = guarded([&] {
      auto set = onnx::inliner::FunctionIdSet::Create(std::move(next));
      onnx::inliner::InlineSelectedFunctions(model, *set, nullptr);
      return std::string();
    });
    if (!error.empty()) {
      failed.insert(id);
      model.mutable_graph()->mutable_node()->Swap(&nodes);
      model.mutable_graph()->mutable_value_info()->Swap(&infos);
    }
  }
}

static const onnx::OpSchema *schemaOf(const std::string &op, int64_t opset,
                                      const std::string &domain) {
  const auto *schema =
      onnx::OpSchemaRegistry::Schema(op, static_cast<int>(opset), domain);
  return schema && !schema->deprecated() ? schema : nullptr;
}

/// Moves the nodes whose operator ONNX lacks (at all, or at this opset) to a
/// domain that the checker knows nothing of.
static void setUnknownApart(onnx::ModelProto &model) {
  std::set<FunctionName> local;
  for (const auto &function : model.functions())
    local.emplace(function.domain(), function.name());
  const auto &known =
      onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map();
  std::set<std::string> used;
  auto setApart = [&](auto &graph, auto &imports) {
    std::map<std::string, int64_t> opsets;
    for (const auto &import : imports)
      opsets[import.domain() == "ai.onnx" ? "" : import.domain()] =
          import.version();
    forEachNode(graph, [&](onnx::NodeProto &node) {
      std::string domain = node.domain() == "ai.onnx" ? "" : node.domain();
      if (!known.count(domain) || !opsets.count(domain) ||
          local.count({node.domain(), node.op_type()}) ||
          schemaOf(node.op_type(), opsets[domain], domain))
        return;
      node.set_domain(unknownDomain + domain);
      used.insert(node.domain());
    });
  };
  setApart(*model.mutable_graph(), *model.mutable_opset_import());
  for (auto &function : *model.mutable_functions())
    setApart(function, *function.mutable_opset_import());
  auto import = [&](auto &imports) {
    for (const std::string &domain : used) {
      auto *added = imports.Add();
      added->set_domain(domain);
      added->set_version(1);
    }
  };
  import(*model.mutable_opset_import());
  for (auto &function : *model.mutable_functions())
    import(*function.mutable_opset_import());
}

namespace {
/// How many nodes a graph has when the model's functions are inlined.
class ExpandedSize {
public:
  /// A function that calls another twice, which calls another twice, and so on
  /// would fill the memory.
  static constexpr int64_t limit = 200000;

  explicit ExpandedSize(const onnx::ModelProto &model) {
    for (const auto &function : model.functions())
      functions[{function.domain(), function.name()}] = &function;
  }
  /// Up to limit + 1. The largest call becomes `culprit`.
  template <typename Graph>
  int64_t of(const Graph &graph) {
    int64_t total = 0;
    forEachNode(graph, [&](const onnx::NodeProto &node) {
      if (total > limit)
        return;
      FunctionName name{node.domain(), node.op_type()};
      auto function = functions.find(name);
      int64_t size = 1;
      if (function != functions.end()) {
        if (sizes.try_emplace(name, 1).second) // not again where it recurs
          sizes[name] = of(*function->second);
        size = sizes[name];
      }
      total = std::min(total + size, limit + 1);
      if (total > limit && culprit.empty())
        culprit = node.op_type();
    });
    return total;
  }
  std::string culprit;

private:
  std::map<FunctionName, const onnx::FunctionProto *> functions;
  std::map<FunctionName, int64_t> sizes;
};
} // namespace

static std::string prepare(onnx::ModelProto &model,
                           const IsSupportedFn &isSupported) {
  model.clear_metadata_props(); // nobody reads them; a key may be there twice
  moveMisplacedOperators(model);
  repair(model);

  int64_t opset = opsetOf(model, "");
  if (opset >= 0 && (opset < minOpset || opset > maxOpset))
    return "opset " + std::to_string(opset) +
           " of ai.onnx is not supported: expected " +
           std::to_string(minOpset) + " to " + std::to_string(maxOpset);
  if (model.opset_import_size() == 0)
    return "invalid model: it imports no opset";

  for (const auto &input : model.graph().input())
    if (input.type().has_tensor_type() &&
        !input.type().tensor_type().has_shape())
      return "input '" + input.name() +
             "' has no shape: how many dims it has must be known when "
             "compiling";

  setUnknownApart(model);
  std::string invalid = guarded([&] {
    check(model);
    return std::string();
  });
  if (!invalid.empty())
    return "invalid model: " + invalid;

  if (model.functions_size() != 0) {
    ExpandedSize size(model);
    if (size.of(model.graph()) > ExpandedSize::limit)
      return "the model's functions expand to more than " +
             std::to_string(ExpandedSize::limit) +
             " nodes, which is the limit, at a node with operator '" +
             size.culprit + "'";
  }
  std::string notInlined = guarded([&] {
    if (model.functions_size() != 0)
      onnx::inliner::InlineLocalFunctions(model, /*convert_version=*/true);
    return std::string();
  });
  if (!notInlined.empty())
    return "cannot inline a function of the model: " + notInlined;
  inlineFunctionOperators(model, isSupported);
  return "";
}

std::string prepareModel(onnx::ModelProto &model, const IsSupportedFn &fn) {
  return guarded([&] { return prepare(model, fn); });
}

std::string whyUnknown(const onnx::NodeProto &node, int64_t opset) {
  if (node.domain().rfind(unknownDomain, 0) != 0)
    return "";
  std::string why = "ONNX has no such operator";
  guarded([&] {
    std::string domain = node.domain().substr(unknownDomain.size());
    int64_t before = 0, after = 0;
    for (int64_t i = maxOpset; i >= 1; --i) {
      if (!schemaOf(node.op_type(), i, domain))
        continue;
      before = before == 0 && i < opset ? i : before;
      after = i > opset ? i : after;
    }
    // A form of an operator that ONNX took back for another one, which files
    // have nevertheless, as GroupNormalization's of opset 18.
    bool replaced =
        after && onnx::OpSchemaRegistry::Schema(
                     node.op_type(), static_cast<int>(opset), domain);
    if (replaced)
      why = "";
    else if (after)
      why = "ONNX has the operator from opset " + std::to_string(after) + " on";
    else if (before)
      why = "ONNX has the operator up to opset " + std::to_string(before);
    return std::string();
  });
  return why;
}

/// Has the graph a vector of so many elements? ONNX's propagation of values
/// makes room for as many.
static bool hasLongVector(const onnx::GraphProto &graph) {
  constexpr int64_t kLong = 1 << 20;
  auto isLong = [&](const onnx::ValueInfoProto &info) {
    const auto &shape = info.type().tensor_type().shape();
    return shape.dim_size() == 1 && shape.dim(0).dim_value() > kLong;
  };
  return std::any_of(graph.input().begin(), graph.input().end(), isLong) ||
         std::any_of(graph.value_info().begin(), graph.value_info().end(),
                     isLong);
}

/// Is there a Split into so many parts? ONNX's inference makes room for them;
/// the importer refuses them.
static bool hasManyParts(const onnx::GraphProto &graph) {
  constexpr int64_t kMany = 1 << 16;
  bool found = false;
  forEachNode(graph, [&](const onnx::NodeProto &node) {
    for (const auto &attribute : node.attribute())
      found |= node.op_type() == "Split" && attribute.name() == "num_outputs" &&
               attribute.i() > kMany;
  });
  return found;
}

std::map<std::string, onnx::TypeProto> inferTypes(onnx::ModelProto &model) {
  std::map<std::string, onnx::TypeProto> types;
  if (hasManyParts(model.graph()))
    return types;
  // What inference cannot do, or gives up at, is only missing then.
  for (bool values : {false, true})
    guarded([&] {
      onnx::ShapeInferenceOptions options(/*check_type_val=*/false,
                                          /*strict_mode_val=*/0,
                                          /*data_prop_val=*/values);
      if (!values || !hasLongVector(model.graph()))
        onnx::shape_inference::InferShapes(
            model, onnx::OpSchemaRegistry::Instance(), options);
      return std::string();
    });
  auto collect = [&](const onnx::GraphProto &graph) {
    for (const auto &info : graph.value_info())
      types[info.name()] = info.type();
    for (const auto &info : graph.output())
      types[info.name()] = info.type();
  };
  collect(model.graph());
  forEachNode(*model.mutable_graph(), [&](const onnx::NodeProto &node) {
    for (const auto &attribute : node.attribute())
      if (attribute.has_g())
        collect(attribute.g());
  });
  return types;
}

} // namespace tenon::onnximport
