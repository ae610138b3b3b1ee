//===- TypedHeader.cpp - a C and C++ header of one model ------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Both languages get the same arguments: the dims that the inputs name, then
// each input, then each output. What follows from dims by integer arithmetic is
// written out; anything else asks the runtime.
//
//===----------------------------------------------------------------------===//
#include "TypedHeader.h"
#include "Artifact.h"
#include "Identifiers.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace tenon {

namespace {

/// An input or output and how it is written.
struct TypedPort {
  const tenon_port_info *info;
  std::string id;
  std::string dtype;             // "TENON_F32"
  std::string cType, cppType;    // of an element
  std::vector<std::string> dims; // an input's, in C
  /// An output's, in C; nothing where the runtime must say.
  std::optional<std::string> elements;
};

struct Workspace {
  uint64_t arena, perThread;
};

class HeaderWriter {
public:
  HeaderWriter(const OpenArtifact &artifact, StringRef symbol, raw_ostream &out)
      : artifact(artifact), symbol(symbol), out(out) {}
  void write();

private:
  void nameArguments();
  std::optional<Workspace> staticWorkspace() const;
  void writeDims(bool run) const;
  void writeC() const;
  void writeRun() const;
  void writeClass() const;
  void writeClassPorts() const;
  void writeClassSizes() const;
  void writeClassRun() const;
  /// "int64_t batch, int64_t seq, " and "batch, seq, ".
  std::string dimParameters() const;
  std::string dimArguments(StringRef from = "") const;

  const OpenArtifact &artifact;
  StringRef symbol;
  raw_ostream &out;
  std::string prefix;
  std::vector<std::pair<std::string, std::string>> dims; // identifier, text
  std::vector<TypedPort> inputs, outputs;
  std::optional<Workspace> space;
};

StringRef cTypeOf(tenon_dtype dtype) {
  switch (dtype) {
  case TENON_F32:
    return "float";
  case TENON_F64:
    return "double";
  case TENON_I8:
    return "int8_t";
  case TENON_I16:
    return "int16_t";
  case TENON_I32:
    return "int32_t";
  case TENON_I64:
    return "int64_t";
  case TENON_U16:
  case TENON_F16:
  case TENON_BF16:
    return "uint16_t";
  case TENON_U32:
    return "uint32_t";
  case TENON_U64:
    return "uint64_t";
  default: // a byte, a code, or several codes
    return "uint8_t";
  }
}

std::string cppTypeOf(tenon_dtype dtype) {
  switch (dtype) {
  case TENON_BOOL:
    return "bool";
  case TENON_F16:
    return "tenon::Float16";
  case TENON_BF16:
    return "tenon::BFloat16";
  case TENON_F8E4M3FN:
  case TENON_F8E4M3FNUZ:
  case TENON_F8E5M2:
  case TENON_F8E5M2FNUZ:
  case TENON_F8E8M0:
  case TENON_U4:
  case TENON_I4:
  case TENON_F4E2M1:
  case TENON_U2:
  case TENON_I2:
    return "tenon::Code<TENON_" + StringRef(tenon_dtype_name(dtype)).upper() +
           ">";
  default:
    return cTypeOf(dtype).str();
  }
}

void HeaderWriter::nameArguments() {
  StringRef name = symbol;
  name.consume_front("tenon_model_");
  prefix = Identifiers().add(name);
  Identifiers names;
  for (StringRef own :
       {"context", "error", "status", "elements", "model", "options", "bytes",
        "dims", "in", "out", "code", "held", prefix.c_str()})
    names.add(own);
  for (size_t i = 0; i < artifact.inputs.size(); ++i)
    names.add("dims" + std::to_string(i));
  std::map<std::string, std::string> symbols;
  // The dims first: they are the shortest names, and keep them.
  for (const tenon_port_info &port : artifact.inputs)
    for (int32_t d = 0; d < port.rank; ++d)
      if (auto expr = SymExpr::parse(port.dim_names[d])) {
        std::vector<std::string> found;
        expr->collectSymbols(found);
        for (const std::string &symbol : found)
          if (!SymExpr::isElement(symbol) && !symbols.count(symbol)) {
            symbols[symbol] = names.add(symbol);
            dims.emplace_back(symbols[symbol], symbol);
          }
      }
  auto make = [&](const tenon_port_info &port) {
    TypedPort typed;
    typed.info = &port;
    typed.id = names.add(port.name);
    typed.dtype = "TENON_" + StringRef(tenon_dtype_name(port.dtype)).upper();
    typed.cType = cTypeOf(port.dtype);
    typed.cppType = cppTypeOf(port.dtype);
    return typed;
  };
  for (const tenon_port_info &port : artifact.inputs) {
    TypedPort typed = make(port);
    for (int32_t d = 0; d < port.rank; ++d) {
      auto expr = SymExpr::parse(port.dim_names[d]);
      auto text = expr ? expressionInC(*expr, symbols) : std::nullopt;
      if (!text) { // a dim that nothing else gives
        text = names.add((Twine(port.name) + "_dim" + Twine(d)).str());
        dims.emplace_back(*text, port.dim_names[d]);
      }
      typed.dims.push_back(*text);
    }
    inputs.push_back(std::move(typed));
  }
  for (const tenon_port_info &port : artifact.outputs) {
    TypedPort typed = make(port);
    SymExpr product = 1;
    bool known = true;
    for (int32_t d = 0; d < port.rank; ++d) {
      auto expr = SymExpr::parse(port.dim_names[d]);
      known &= expr.has_value();
      if (expr)
        product = product * *expr;
    }
    if (known)
      typed.elements = expressionInC(product, symbols);
    outputs.push_back(std::move(typed));
  }
}

/// What the runtime says of a model all of whose dims are known.
std::optional<Workspace> HeaderWriter::staticWorkspace() const {
  if (!dims.empty() || any_of(artifact.outputs, [](const tenon_port_info &p) {
        return p.dims_kind == TENON_DIMS_FROM_DATA;
      }))
    return std::nullopt;
  std::vector<const int64_t *> pointers;
  for (const tenon_port_info &port : artifact.inputs)
    pointers.push_back(port.is_optional ? nullptr : port.dim_values);
  uint64_t bytes[2] = {};
  for (int threads : {1, 2}) {
    tenon_context_options options;
    TENON_INIT(options);
    options.flags = TENON_CONTEXT_QUERY_ONLY | TENON_CONTEXT_OVERSUBSCRIBE;
    options.threads = threads;
    tenon_context *context = nullptr;
    size_t size = 0;
    bool failed =
        tenon_context_create(artifact.model(), &options, &context, nullptr) ||
        tenon_workspace_size(context, pointers.data(), &size, nullptr);
    tenon_context_destroy(context);
    if (failed) // it depends on what an input is
      return std::nullopt;
    bytes[threads - 1] = size;
  }
  uint64_t perThread = bytes[1] - bytes[0];
  return Workspace{bytes[0] - perThread, perThread};
}

std::string HeaderWriter::dimParameters() const {
  std::string text;
  for (const auto &[id, expr] : dims)
    text += "int64_t " + id + ", ";
  return text;
}

std::string HeaderWriter::dimArguments(StringRef from) const {
  std::string text;
  for (const auto &[id, expr] : dims)
    text += from.str() + id + ", ";
  return text;
}

/// The inputs' dims as arrays, and pointers to them.
void HeaderWriter::writeDims(bool run) const {
  for (const auto &[i, port] : enumerate(inputs))
    if (run || !port.info->is_optional)
      out << "  const int64_t dims" << i << "[] = {"
          << (port.dims.empty() ? "0" : join(port.dims, ", ")) << "};\n";
  bool asks = !run || any_of(outputs, [](const TypedPort &port) {
    return !port.elements;
  });
  if (!asks)
    return;
  // A last one that is none: arrays of C have an element.
  out << "  const int64_t *const dims[] = {";
  for (const auto &[i, port] : enumerate(inputs))
    if (port.info->is_optional && run)
      out << port.id << " ? dims" << i << " : 0, ";
    else
      out << (port.info->is_optional ? "0" : "dims" + std::to_string(i))
          << ", ";
  out << "0};\n";
}

void HeaderWriter::writeC() const {
  auto table = [&](StringRef name, ArrayRef<TypedPort> ports) {
    for (const auto &[i, port] : enumerate(ports)) {
      out << "  static const int64_t " << name << i << "[] = {";
      for (int32_t d = 0; d < port.info->rank; ++d)
        out << (d ? ", " : "") << port.info->dim_values[d];
      out << (port.info->rank ? "};\n" : "0};\n");
    }
    out << "  static const tenon_typed_port " << name << "s[] = {\n";
    for (const auto &[i, port] : enumerate(ports))
      out << "      {" << quoted(port.info->name) << ", " << port.dtype << ", "
          << port.info->rank << ", " << name << i << "},\n";
    out << "      {0, TENON_F32, 0, 0}};\n";
  };
  out << "/* Is `model` the one that this header was made of? */\n"
         "static inline tenon_status "
      << prefix
      << "_check(const tenon_model *model,\n    tenon_error *error) {\n";
  table("input", inputs);
  table("output", outputs);
  out << "  return tenon_typed_check(model, " << inputs.size() << ", inputs, "
      << outputs.size() << ", outputs, error);\n}\n\n"
      << "/* A context of &" << symbol
      << ", linked in, or of a library's model. */\n"
         "static inline tenon_status "
      << prefix
      << "_create(const tenon_model *model,\n"
         "    const tenon_context_options *options, tenon_context **context,\n"
         "    tenon_error *error) {\n  tenon_status status = "
      << prefix
      << "_check(model, error);\n"
         "  return status ? status\n"
         "                : tenon_context_create(model, options, context, "
         "error);\n}\n\n";
  if (space)
    out << "/* Bytes of workspace that a run with so many threads needs. */\n"
           "#define "
        << StringRef(prefix).upper()
        << "_WORKSPACE_BYTES(THREADS) \\\n  ((size_t)" << space->arena
        << "u + (size_t)" << space->perThread << "u * (size_t)(THREADS))\n\n";
  out << "/* See tenon_workspace_size and tenon_reserve. */\n"
         "static inline tenon_status "
      << prefix << "_workspace_size(tenon_context *context,\n    "
      << dimParameters() << "size_t *bytes, tenon_error *error) {\n";
  writeDims(false);
  out << "  return tenon_workspace_size(context, dims, bytes, error);\n}\n"
         "static inline tenon_status "
      << prefix << "_reserve(tenon_context *context,\n    " << dimParameters()
      << "tenon_error *error) {\n";
  writeDims(false);
  out << "  return tenon_reserve(context, dims, error);\n}\n\n";

  for (const auto &[i, port] : enumerate(outputs)) {
    out << "/* Elements of " << inComment(port.info->name) << ": "
        << inComment(describePort(*port.info)) << ". */\n";
    std::string own = dimParameters();
    if (!port.elements) {
      out << "static inline tenon_status " << prefix << "_" << port.id
          << "_elements(tenon_context *context,\n    " << own
          << "int64_t *elements, tenon_error *error) {\n";
      writeDims(false);
      out << "  return tenon_typed_elements(context, dims, " << i
          << ", elements, error);\n}\n";
      continue;
    }
    out << "TENON_CONSTEXPR int64_t " << prefix << "_" << port.id
        << "_elements(" << (dims.empty() ? "void" : StringRef(own).drop_back(2))
        << ") {\n";
    for (const auto &[id, expr] : dims)
      out << "  (void)" << id << ";\n";
    out << "  return " << *port.elements << ";\n}\n";
  }
}

void HeaderWriter::writeRun() const {
  out << "\n/* Binds all of them and runs. Memory is as large as the dims say; "
         "NULL for an\n * optional input is its default. */\n"
         "static inline tenon_status "
      << prefix << "_run(tenon_context *context,\n    " << dimParameters()
      << "\n";
  for (const TypedPort &port : inputs)
    out << "    const " << port.cType << " *" << port.id << ",\n";
  for (const TypedPort &port : outputs)
    out << "    " << port.cType << " *" << port.id << ",\n";
  out << "    tenon_error *error) {\n";
  writeDims(true);
  out << "  tenon_status status = TENON_OK;\n  int64_t elements = 0;\n"
         "  (void)elements;\n";
  for (const auto &[i, port] : enumerate(inputs)) {
    std::string elements;
    for (int32_t d = 0; d < port.info->rank; ++d)
      elements += (d ? " * dims" : "dims") + std::to_string(i) + "[" +
                  std::to_string(d) + "]";
    std::string dims = "dims" + std::to_string(i);
    if (port.info->is_optional)
      dims = port.id + " ? " + dims + " : 0";
    out << "  if (!status)\n    status = tenon_bind_input(context, " << i
        << ", " << port.dtype << ", " << port.info->rank << ", " << dims
        << ",\n        " << port.id << ", tenon_tensor_bytes(" << port.dtype
        << ", (size_t)(" << (elements.empty() ? "1" : elements)
        << ")), error);\n";
  }
  for (const auto &[i, port] : enumerate(outputs)) {
    if (port.elements)
      out << "  elements = " << *port.elements << ";\n";
    else
      out << "  if (!status)\n    status = tenon_typed_elements(context, dims, "
          << i << ", &elements, error);\n";
    out << "  if (!status)\n    status = tenon_bind_output(context, " << i
        << ", " << port.dtype << ", " << port.info->rank << ", 0, " << port.id
        << ",\n        tenon_tensor_bytes(" << port.dtype
        << ", (size_t)elements), error);\n";
  }
  out << "  return status ? status : tenon_run(context, error);\n}\n";
}

/// What a run takes.
void HeaderWriter::writeClassPorts() const {
  if (!dims.empty()) {
    out << "/// Chosen for each run.\nstruct Dims {\n";
    for (const auto &[id, expr] : dims)
      out << "  tenon::Dim " << id << ";"
          << (id == expr ? "" : " ///< " + inComment(expr)) << "\n";
    out << "};\n\n";
  }
  out << "/// What a run reads.\nstruct Inputs {\n";
  for (const TypedPort &port : inputs) {
    out << "  tenon::" << (port.info->is_optional ? "OptionalIn<" : "In<")
        << port.cppType << "> " << port.id
        << (port.info->is_optional ? " = {}" : "") << "; ///< "
        << inComment(port.info->name) << ": "
        << inComment(describePort(*port.info));
    if (port.info->id_bound > 0)
      out << ", ids in [-" << port.info->id_bound << ", " << port.info->id_bound
          << ")";
    out << (port.info->is_mask ? ", a mask\n" : "\n");
  }
  out << "};\n\n/// Where it writes.\nstruct Outputs {\n";
  for (const TypedPort &port : outputs)
    out << "  tenon::Out<" << port.cppType << "> " << port.id << "; ///< "
        << inComment(port.info->name) << ": "
        << inComment(describePort(*port.info)) << "\n";
  out << "};\n\n";
}

void HeaderWriter::writeClass() const {
  out << "namespace " << prefix << " {\n\n";
  writeClassPorts();
  out << "/// A context of the model, for one call at a time.\n"
         "class Model {\npublic:\n"
         "  /// Of the model that the program is linked with.\n"
         "  static tenon::Result<Model>\n"
         "  create(const tenon::ContextOptions &options = {}) {\n"
         "    return create("
      << symbol
      << ", options);\n  }\n"
         "  /// Of a library's model, which must be the one of this header.\n"
         "  static tenon::Result<Model>\n"
         "  create(tenon::Model model, const tenon::ContextOptions &options = "
         "{}) {\n"
         "    tenon_error error;\n    if (auto code = "
      << prefix
      << "_check(model.get(), &error))\n"
         "      return tenon::Status(code, error);\n"
         "    auto context = tenon::Context::create(model, options);\n"
         "    if (!context)\n      return context.status();\n"
         "    return Model(context.take());\n  }\n\n";
  writeClassSizes();
  writeClassRun();
  out << "\n  tenon::Context &context() { return held; }\n\nprivate:\n"
         "  explicit Model(tenon::Context context) : held(std::move(context)) "
         "{}\n  tenon::Context held;\n};\n\n} // namespace "
      << prefix << "\n";
}

/// The workspace's bytes, and the outputs' elements.
void HeaderWriter::writeClassSizes() const {
  std::string taken = dims.empty() ? "" : "const Dims &dims";
  if (space)
    out << "  /// Bytes of workspace that a run needs.\n"
           "  static constexpr size_t workspaceSize(int threads = 1) {\n"
           "    return "
        << StringRef(prefix).upper() << "_WORKSPACE_BYTES(threads);\n  }\n";
  else
    out << "  /// Bytes of workspace that a run needs.\n"
           "  tenon::Result<size_t> workspaceSize("
        << taken
        << ") const {\n    tenon_error error;\n    size_t bytes = 0;\n"
           "    if (auto code = "
        << prefix << "_workspace_size(held.get(), " << dimArguments("dims.")
        << "&bytes, &error))\n      return tenon::Status(code, error);\n"
           "    return bytes;\n  }\n";
  out << "  /// Allocates it: runs then allocate nothing.\n"
         "  tenon::Status reserve("
      << taken
      << ") {\n    tenon_error error;\n    tenon_status code = " << prefix
      << "_reserve(held.get(), " << dimArguments("dims.")
      << "&error);\n    return {code, error};\n  }\n";
  for (const TypedPort &port : outputs) {
    out << "  /// Elements of " << inComment(port.info->name) << ".\n";
    std::string call = prefix + "_" + port.id + "_elements(";
    if (port.elements)
      out << "  static constexpr int64_t " << port.id << "_elements(" << taken
          << ") {\n    return " << call
          << StringRef(dimArguments("dims.")).drop_back(dims.empty() ? 0 : 2)
          << ");\n  }\n";
    else
      out << "  tenon::Result<int64_t> " << port.id << "_elements(" << taken
          << ") const {\n    tenon_error error;\n    int64_t elements = 0;\n"
             "    if (auto code = "
          << call << "held.get(), " << dimArguments("dims.")
          << "&elements, &error))\n      return tenon::Status(code, error);\n"
             "    return elements;\n  }\n";
  }
}

void HeaderWriter::writeClassRun() const {
  out << "  tenon::Status run(" << (dims.empty() ? "" : "const Dims &dims, ")
      << "const Inputs &in, const Outputs &out) {\n"
         "    tenon_error error;\n    tenon_status code = TENON_OK;\n"
         "    tenon_context *context = held.get();\n    (void)in, (void)out;\n";
  for (const auto &[id, expr] : dims)
    out << "    const int64_t " << id << " = dims." << id << ";\n    (void)"
        << id << ";\n";
  for (const auto &[i, port] : enumerate(inputs)) {
    std::string dims = "dims" + std::to_string(i);
    out << "    const int64_t " << dims << "[] = {"
        << (port.dims.empty() ? "0" : join(port.dims, ", ")) << "};\n";
    if (port.info->is_optional)
      dims = "in." + port.id + " ? " + dims + " : nullptr";
    out << "    if (!code)\n      code = tenon_bind_input(context, " << i
        << ", " << port.dtype << ", " << port.info->rank << ",\n          "
        << dims << ", in." << port.id << ".data(), in." << port.id
        << ".bytes(), &error);\n";
  }
  for (const auto &[i, port] : enumerate(outputs))
    out << "    if (!code)\n      code = tenon_bind_output(context, " << i
        << ", " << port.dtype << ", " << port.info->rank
        << ", nullptr,\n          out." << port.id << ".data(), out." << port.id
        << ".bytes(), &error);\n";
  out << "    if (!code)\n      code = tenon_run(context, &error);\n"
         "    return {code, error};\n  }\n";
}

void HeaderWriter::write() {
  nameArguments();
  space = staticWorkspace();
  std::string guard = "TENON_MODEL_" + StringRef(prefix).upper() + "_H";
  std::string declared = symbol.str();
  declared.erase(0, StringRef("tenon_model_").size());
  out << "/* The compiled model " << inComment(artifact.info.name)
      << ", for C99 and C++20: made by `tenon compile --header`. A\n"
         " * wrong type, or an argument that is missing, does not compile.\n "
         "*\n";
  for (const TypedPort &port : inputs)
    out << " *   " << inComment(port.info->name) << ": "
        << inComment(describePort(*port.info))
        << (port.info->is_optional ? ", optional\n" : "\n");
  for (const TypedPort &port : outputs)
    out << " *   -> " << inComment(port.info->name) << ": "
        << inComment(describePort(*port.info)) << "\n";
  if (StringRef(artifact.info.precision) != "f32")
    out << " *   products by weights: " << artifact.info.precision << "\n";
  out << " */\n#ifndef " << guard << "\n#define " << guard
      << "\n\n#include <tenon/typed.h>\n\nTENON_DECLARE_MODEL(" << declared
      << ");\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
  writeC();
  writeRun();
  out << "\n#ifdef __cplusplus\n}\n#endif\n\n#if __cplusplus > 201703L\n"
         "#include <tenon/typed.hpp>\n\n";
  writeClass();
  out << "\n#endif /* C++20 */\n#endif /* " << guard << " */\n";
}

} // namespace

void writeTypedHeader(const OpenArtifact &artifact, StringRef symbol,
                      raw_ostream &out) {
  HeaderWriter(artifact, symbol, out).write();
}

} // namespace tenon
