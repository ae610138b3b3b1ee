//===- Inspect.cpp - tenon inspect ----------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Artifact.h"
#include "Commands.h"
#include "GpuImage.h"
#include "Predict.h"
#include "Report.h"
#include "States.h"
#include "tenon/Support/OutputFile.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace tenon {

static cl::SubCommand command("inspect",
                              "Print what an artifact takes and gives");

static cl::opt<std::string> path(cl::Positional, cl::Required,
                                 cl::desc("ARTIFACT.so"), cl::sub(command));
static cl::opt<bool> json("json", cl::desc("Print JSON"), cl::sub(command));
static cl::opt<bool>
    verify("verify",
           cl::desc("Compare code, tables and weights with their checksums; "
                    "an error where they differ"),
           cl::sub(command));
static cl::opt<std::string>
    weights("weights", cl::value_desc("file"),
            cl::desc("The weights' file to verify, where it is not beside the "
                     "artifact"),
            cl::sub(command));
static cl::list<std::string>
    dimSettings("dim", cl::value_desc("name=N"),
                cl::desc("A dim for which to say the workspace; sequences are "
                         "128 long and the rest 1 where not given"),
                cl::sub(command));
static cl::opt<std::string>
    html("html", cl::value_desc("report.html"),
         cl::desc("Run once, for the dims given, and write a page that shows "
                  "the kernels, the workspace and the weights"),
         cl::sub(command));
static cl::opt<std::string>
    profile("profile", cl::value_desc("run.json"),
            cl::desc("With --html: the times that 'tenon bench --profile "
                     "--json' measured"),
            cl::sub(command));
static cl::opt<std::string>
    memory("memory", cl::value_desc("bytes"),
           cl::desc("Say for how many tokens of a decoder's context so much "
                    "memory has room; K, M and G are 2^10, 2^20 and 2^30"),
           cl::sub(command));
static cl::opt<std::string>
    predicted("predict", cl::value_desc("a100|l4|h100|h200"),
              cl::desc("Say what each kernel needs of that GPU, too, and its "
                       "least time by the data sheet"),
              cl::sub(command));
static cl::opt<int64_t>
    sequences("sequences", cl::value_desc("n"), cl::init(1),
              cl::desc("With --memory: sequences that share it (default 1)"),
              cl::sub(command));
static cl::opt<int> threads("threads", cl::value_desc("n"), cl::init(1),
                            cl::desc("Threads for which to say the workspace "
                                     "(default 1)"),
                            cl::sub(command));

namespace {

struct Workspace {
  DimValues dims;
  size_t bytes = 0;
};

/// The workspace for the dims of the command line.
Expected<Workspace> measureWorkspace(const OpenArtifact &artifact) {
  Workspace result;
  auto dims = parseDims(dimSettings);
  if (!dims)
    return dims.takeError();
  result.dims = std::move(*dims);
  if (Error problem = chooseDims(artifact, {}, result.dims))
    return std::move(problem);
  std::vector<std::vector<int64_t>> shapes;
  std::vector<const int64_t *> pointers;
  for (const tenon_port_info &port : artifact.inputs) {
    if (port.is_optional) {
      pointers.push_back(nullptr);
      continue;
    }
    auto shape = portDims(port, result.dims);
    if (!shape)
      return shape.takeError();
    shapes.push_back(std::move(*shape));
    pointers.push_back(shapes.back().data());
  }
  tenon_context_options options;
  TENON_INIT(options);
  options.flags = TENON_CONTEXT_QUERY_ONLY | TENON_CONTEXT_OVERSUBSCRIBE;
  options.threads = threads;
  tenon_context *context = nullptr;
  tenon_error error;
  bool failed =
      tenon_context_create(artifact.model(), &options, &context, &error) ||
      tenon_workspace_size(context, pointers.data(), &result.bytes, &error);
  tenon_context_destroy(context);
  if (failed)
    return apiError(error);
  return result;
}

Expected<Prediction> predictFor(const OpenArtifact &artifact) {
  auto dims = parseDims(dimSettings);
  if (!dims)
    return dims.takeError();
  if (Error problem = chooseDims(artifact, {}, *dims))
    return std::move(problem);
  return predict(artifact, predicted, std::move(*dims));
}

/// The file was compared when it was opened; here the weights are, wherever
/// they lie.
Error verifyWeights(const OpenArtifact &artifact) {
  tenon_context_options options;
  TENON_INIT(options);
  options.flags = TENON_CONTEXT_QUERY_ONLY | TENON_CONTEXT_VERIFY;
  options.weights_path = weights.empty() ? nullptr : weights.c_str();
  tenon_context *context = nullptr;
  tenon_error error;
  bool failed =
      tenon_context_create(artifact.model(), &options, &context, &error);
  tenon_context_destroy(context);
  if (!failed)
    return Error::success();
  if (artifact.info.weights_file)
    return createStringError(Twine(error.message) + " (--weights FILE)");
  return apiError(error);
}

/// What f32 operands are multiplied as on a GPU, and others; none where the
/// tables are another version's.
std::vector<StringRef> gpuProducts(const OpenArtifact &artifact) {
  const auto *program =
      static_cast<const tenon_program *>(artifact.model()->program);
  if (program->abi_version != TENON_ABI_VERSION || !program->num_gpus)
    return {};
  return findProducts(*program->gpu);
}

/// A weight that products read in a format of its own.
struct FormattedWeight {
  std::string format, nodes; ///< nodes of the first step that reads it
  uint64_t bytes;
};

Expected<std::vector<FormattedWeight>>
formattedWeights(const OpenArtifact &artifact) {
  tenon_context_options options;
  TENON_INIT(options);
  options.flags = TENON_CONTEXT_QUERY_ONLY | TENON_CONTEXT_OVERSUBSCRIBE;
  tenon_context *context = nullptr;
  tenon_error error;
  bool failed =
      tenon_context_create(artifact.model(), &options, &context, &error);
  std::vector<FormattedWeight> weights;
  for (int32_t i = 0; !failed && i < artifact.info.num_buffers; ++i) {
    tenon_buffer_info buffer;
    TENON_INIT(buffer);
    failed = tenon_get_buffer_info(context, i, &buffer, &error);
    if (failed || !buffer.format)
      continue;
    tenon_step_info step;
    TENON_INIT(step);
    if (buffer.first_step >= 0)
      failed = tenon_get_step_info(context, buffer.first_step, &step, &error);
    if (!failed)
      weights.push_back({buffer.format,
                         buffer.first_step >= 0 ? step.nodes : "",
                         buffer.bytes});
  }
  tenon_context_destroy(context);
  if (failed)
    return apiError(error);
  return weights;
}

StringRef kindName(tenon_dims_kind kind) {
  switch (kind) {
  case TENON_DIMS_STATIC:
    return "static";
  case TENON_DIMS_FROM_INPUTS:
    return "from inputs";
  case TENON_DIMS_FROM_DATA:
    return "from data";
  }
  return "unknown";
}

std::string checkText(const tenon_check_info &check) {
  std::string lhs = check.lhs ? check.lhs : "?";
  std::string rhs = check.rhs ? check.rhs : "?";
  switch (check.relation) {
  case TENON_RELATION_EQUAL:
    return lhs + " == " + rhs;
  case TENON_RELATION_LESS_EQUAL:
    return lhs + " <= " + rhs;
  case TENON_RELATION_BROADCAST:
    return lhs + " == " + rhs + ", or one of them is 1";
  }
  return lhs + " ? " + rhs;
}

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

void printPort(StringRef label, const tenon_port_info &port) {
  outs() << "  " << label << port.name << ": " << describePort(port);
  if (port.id_bound > 0)
    outs() << ", index in [-" << port.id_bound << ", " << port.id_bound << ")";
  if (port.is_mask)
    outs() << ", mask";
  if (port.is_optional)
    outs() << ", optional";
  if (port.kind == TENON_PORT_STATE)
    outs() << ", state " << port.state;
}

/// Long: a table, a line after the other.
void printText(const OpenArtifact &artifact, const Workspace *space,
               const MemoryQuestion &memory, const Prediction *prediction,
               ArrayRef<FormattedWeight> formatted) {
  const tenon_model_info &info = artifact.info;
  outs() << "model " << info.name << "\n";
  outs() << "compiled by " << info.compiler_version << ", ABI "
         << info.abi_version << ", glibc >= " << info.glibc_floor << "\n";
  outs() << "\ninputs\n";
  for (const tenon_port_info &port : artifact.inputs) {
    printPort("", port);
    outs() << "\n";
  }
  outs() << "\noutputs\n";
  for (const tenon_port_info &port : artifact.outputs) {
    printPort("", port);
    outs() << " (dims " << kindName(port.dims_kind) << ")\n";
  }
  printStates(artifact, memory, outs());
  if (!artifact.ranges.empty())
    outs() << "\ndeclared dims\n";
  for (const tenon_range_info &range : artifact.ranges) {
    outs() << "  " << range.name << " = " << range.lo;
    if (range.hi == INT64_MAX)
      outs() << " or more";
    else if (range.hi != range.lo)
      outs() << ".." << range.hi;
    outs() << "\n";
  }
  if (!artifact.checks.empty())
    outs() << "\nchecked at entry\n";
  for (const tenon_check_info &check : artifact.checks) {
    outs() << "  " << checkText(check);
    if (check.reason && *check.reason)
      outs() << " (" << check.reason << ")";
    outs() << "\n";
  }
  if (!artifact.levels.empty())
    outs() << "\nlevels\n";
  for (const tenon_level_info &level : artifact.levels) {
    outs() << "  " << level.name;
    if (!level.supported)
      outs() << " (this CPU lacks " << level.missing << ")";
    else if (*level.features)
      outs() << " (" << level.features << ")";
    outs() << "\n";
  }
  if (!artifact.gpuImages.empty())
    outs() << "\nGPUs\n";
  for (const tenon_gpu_image_info &image : artifact.gpuImages)
    outs() << "  " << image.name << " ("
           << (image.assembled ? "assembled" : "PTX") << ", " << image.bytes
           << " bytes)\n";
  if (info.gpu_host_nodes && *info.gpu_host_nodes)
    outs() << "  on the host, between copies: " << info.gpu_host_nodes << "\n";
  if (std::vector<StringRef> products = gpuProducts(artifact);
      !products.empty())
    outs() << "  products of tensor cores: " << join(products, ", ") << "\n";
  outs() << "\nprecision " << info.precision << "\n";
  outs() << "weights " << info.weights_bytes << " bytes";
  if (info.weights_file)
    outs() << " in " << info.weights_file;
  for (const FormattedWeight &weight : formatted)
    outs() << "\n  " << weight.nodes << ": " << weight.format << ", "
           << weight.bytes << " bytes";
  outs() << "\nkernel calls " << info.num_steps;
  for (StringRef work : slowWork(info))
    outs() << "\n  " << work;
  if (info.num_values)
    outs() << "\ninner values " << info.num_values;
  if (space) {
    outs() << "\nworkspace " << space->bytes << " bytes";
    const char *separator = " for ";
    for (const auto &[name, value] : space->dims) {
      outs() << separator << name << "=" << value;
      separator = ", ";
    }
    outs() << ", threads=" << threads;
  }
  if (verify)
    outs() << "\nchecksums match";
  outs() << "\n";
  if (prediction) {
    outs() << "\n";
    printPrediction(*prediction, outs());
  }
}

//===----------------------------------------------------------------------===//
// JSON
//===----------------------------------------------------------------------===//

void writePort(json::OStream &out, const tenon_port_info &port, bool output) {
  out.object([&] {
    out.attribute("name", json::fixUTF8(port.name));
    out.attribute("dtype", tenon_dtype_name(port.dtype));
    out.attributeArray("dims", [&] {
      for (int32_t d = 0; d < port.rank; ++d)
        if (port.dim_values[d] >= 0)
          out.value(port.dim_values[d]);
        else
          out.value(json::fixUTF8(port.dim_names[d]));
    });
    if (output)
      out.attribute("kind", kindName(port.dims_kind));
    if (port.id_bound > 0)
      out.attribute("id_bound", port.id_bound);
    if (port.is_mask)
      out.attribute("mask", true);
    if (port.is_optional)
      out.attribute("optional", true);
    if (port.kind == TENON_PORT_STATE)
      out.attribute("state", port.state);
  });
}

/// Long: a table, a field after the other.
void printJson(const OpenArtifact &artifact, const Workspace *space,
               const MemoryQuestion &memory, const Prediction *prediction,
               ArrayRef<FormattedWeight> formatted) {
  const tenon_model_info &info = artifact.info;
  json::OStream out(outs(), 2);
  out.object([&] {
    out.attribute("model", json::fixUTF8(info.name));
    out.attribute("compiler_version", info.compiler_version);
    out.attribute("abi_version", int64_t(info.abi_version));
    out.attribute("api_version", int64_t(info.api_version));
    out.attribute("glibc_floor", info.glibc_floor);
    out.attributeArray("inputs", [&] {
      for (const tenon_port_info &port : artifact.inputs)
        writePort(out, port, false);
    });
    out.attributeArray("outputs", [&] {
      for (const tenon_port_info &port : artifact.outputs)
        writePort(out, port, true);
    });
    writeStates(artifact, memory, out);
    out.attributeArray("ranges", [&] {
      for (const tenon_range_info &range : artifact.ranges)
        out.object([&] {
          out.attribute("name", json::fixUTF8(range.name));
          out.attribute("lo", range.lo);
          if (range.hi != INT64_MAX)
            out.attribute("hi", range.hi);
        });
    });
    out.attributeArray("checks", [&] {
      for (const tenon_check_info &check : artifact.checks)
        out.object([&] {
          out.attribute("check", json::fixUTF8(checkText(check)));
          if (check.reason && *check.reason)
            out.attribute("reason", json::fixUTF8(check.reason));
        });
    });
    out.attributeArray("levels", [&] {
      for (const tenon_level_info &level : artifact.levels)
        out.object([&] {
          out.attribute("name", level.name);
          out.attribute("features", level.features);
          out.attribute("supported", level.supported != 0);
          if (!level.supported)
            out.attribute("missing", level.missing);
        });
    });
    if (!artifact.gpuImages.empty()) {
      out.attributeArray("gpu_images", [&] {
        for (const tenon_gpu_image_info &image : artifact.gpuImages)
          out.object([&] {
            out.attribute("name", image.name);
            out.attribute("assembled", image.assembled != 0);
            out.attribute("bytes", int64_t(image.bytes));
          });
      });
      out.attribute("gpu_host_nodes", json::fixUTF8(info.gpu_host_nodes));
      out.attributeArray("gpu_products", [&] {
        for (StringRef products : gpuProducts(artifact))
          out.value(products);
      });
    }
    out.attribute("precision", info.precision);
    out.attribute("weights_bytes", int64_t(info.weights_bytes));
    out.attributeArray("weight_formats", [&] {
      for (const FormattedWeight &weight : formatted)
        out.object([&] {
          out.attribute("nodes", json::fixUTF8(weight.nodes));
          out.attribute("format", weight.format);
          out.attribute("bytes", int64_t(weight.bytes));
        });
    });
    if (info.weights_file)
      out.attribute("weights_file", json::fixUTF8(info.weights_file));
    if (verify)
      out.attribute("verified", true);
    out.attribute("kernel_calls", info.num_steps);
    out.attributeArray("slow", [&] {
      for (StringRef work : slowWork(info))
        out.value(json::fixUTF8(work));
    });
    out.attribute("inner_values", info.num_values);
    if (space)
      out.attributeObject("workspace", [&] {
        out.attribute("bytes", int64_t(space->bytes));
        out.attribute("threads", int64_t(threads));
        out.attributeObject("dims", [&] {
          for (const auto &[name, value] : space->dims)
            out.attribute(name, value);
        });
      });
    if (prediction)
      out.attributeObject("prediction",
                          [&] { writePrediction(*prediction, out); });
  });
  outs() << "\n";
}

} // namespace

static Error writePage(const OpenArtifact &artifact) {
  Report report;
  report.artifact = &artifact;
  if (!profile.empty())
    if (Error problem = readMeasured(profile, report))
      return problem;
  auto dims = parseDims(dimSettings);
  if (!dims)
    return dims.takeError();
  report.dims = std::move(*dims);
  if (Error problem = chooseDims(artifact, {}, report.dims))
    return problem;
  SessionOptions options;
  options.threads = threads;
  options.oversubscribe = true;
  options.weights = weights;
  options.profile = true;
  std::vector<Tensor> inputs(artifact.inputs.size());
  Filled filled;
  auto session = runFilled(artifact, options, report.dims, inputs, filled);
  if (!session)
    return session.takeError();
  report.roofline = measureRoofline();
  if (Error problem = fillReport(**session, report))
    return problem;
  return writeOutputFile(html, [&](raw_ostream &out) {
    writeReport(report, out);
    return Error::success();
  });
}

int inspectMain() {
  auto artifact = OpenArtifact::open(path, verify ? TENON_LIBRARY_VERIFY : 0);
  if (!artifact)
    return reportError("inspect", artifact.takeError());
  if (verify)
    if (Error problem = verifyWeights(**artifact))
      return reportError("inspect", std::move(problem));
  if (!profile.empty() && html.empty())
    return reportError("inspect", "--profile is for --html");
  if (!html.empty()) {
    if (Error problem = writePage(**artifact))
      return reportError("inspect", std::move(problem));
    return 0;
  }
  MemoryQuestion question;
  question.sequences = sequences;
  if (sequences < 1)
    return reportError("inspect", "--sequences is 1 or more");
  if (!memory.empty()) {
    auto bytes = parseBytes("--memory", memory);
    if (!bytes)
      return reportError("inspect", bytes.takeError());
    question.bytes = *bytes;
  }
  auto space = measureWorkspace(**artifact);
  // Default dims may break a check; only what was asked for must work.
  if (!space && !dimSettings.empty())
    return reportError("inspect", space.takeError());
  const Workspace *known = space ? &*space : nullptr;
  std::optional<Prediction> prediction;
  if (!predicted.empty()) {
    auto found = predictFor(**artifact);
    if (!found)
      return reportError("inspect", found.takeError());
    prediction = std::move(*found);
  }
  auto formatted = formattedWeights(**artifact);
  if (!formatted)
    return reportError("inspect", formatted.takeError());
  const Prediction *fastest = prediction ? &*prediction : nullptr;
  if (json)
    printJson(**artifact, known, question, fastest, *formatted);
  else
    printText(**artifact, known, question, fastest, *formatted);
  if (!space)
    consumeError(space.takeError());
  return 0;
}

} // namespace tenon
