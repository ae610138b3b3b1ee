//===- Compare.cpp - tenon compare ----------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Runs the artifact, writes its inputs, outputs and inner values to a temporary
// folder, and hands them to compare.py (carried inside this program), which
// evaluates the model with onnxruntime and prints where the numbers part. With
// --expect files say what is right, and neither is needed.
//
//===----------------------------------------------------------------------===//
#include "Artifact.h"
#include "Commands.h"
#include "RunOptions.h"
#include "TemporaryFolder.h"
#include "tenon/Support/OutputFile.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace tenon {

static const char kScript[] =
#include "CompareScript.inc"
    ;

static cl::list<std::string> paths(cl::Positional, cl::OneOrMore,
                                   cl::desc("MODEL.onnx ARTIFACT.so"),
                                   cl::sub(compareCommand()));
static cl::opt<int> top("top", cl::value_desc("n"), cl::init(20),
                        cl::desc("Values to print, worst first (default 20; 0: "
                                 "all)"),
                        cl::sub(compareCommand()));
static cl::opt<double>
    tolerance("tolerance", cl::value_desc("x"), cl::init(1e-4),
              cl::desc("Largest difference of an output, relative to its "
                       "largest magnitude where that is above 1 (default "
                       "1e-4)"),
              cl::sub(compareCommand()));
static cl::list<std::string>
    expects("expect", cl::value_desc("OUTPUT=FILE.npy"),
            cl::desc("What an output should be: only such outputs are judged, "
                     "without onnxruntime and without MODEL.onnx"),
            cl::sub(compareCommand()));
static cl::opt<bool>
    listUnmatched("list-unmatched",
                  cl::desc("Also list the values of the artifact or the model "
                           "that the other one does not have"),
                  cl::sub(compareCommand()));
static cl::opt<bool> json("json", cl::desc("Print JSON"),
                          cl::sub(compareCommand()));

namespace {

/// Writes tensors and the list of them that compare.py reads.
class Writer {
public:
  Writer(const TemporaryFolder &folder) : folder(folder) {}

  Error add(StringRef kind, StringRef name, tenon_dtype dtype,
            ArrayRef<int64_t> dims, const void *data) {
    std::string file = folder.file(Twine(rows.size()) + ".npy");
    rows.push_back(json::Object{{"kind", kind},
                                {"name", json::fixUTF8(name)},
                                {"dtype", int(dtype)},
                                {"file", file}});
    return writeTensor(file, dtype, dims, data);
  }
  /// An output's values from a file.
  void expect(StringRef name, StringRef file) {
    expected[json::fixUTF8(name)] = file.str();
  }
  Error finish(StringRef model, StringRef artifact, const Filled &filled) {
    json::Object index{{"model", json::fixUTF8(model)},
                       {"artifact", json::fixUTF8(artifact)},
                       {"filled", json::fixUTF8(describeFilled(filled))},
                       {"top", int64_t(top)},
                       {"tolerance", double(tolerance)},
                       {"json", bool(json)},
                       {"list_unmatched", bool(listUnmatched)},
                       {"expect", std::move(expected)},
                       {"values", std::move(rows)}};
    return writeOutputFile(folder.file("index.json"), [&](raw_ostream &out) {
      out << json::Value(std::move(index));
      return Error::success();
    });
  }

private:
  const TemporaryFolder &folder;
  json::Array rows;
  json::Object expected;
};

Error writeAll(const OpenArtifact &artifact, ArrayRef<Tensor> tensors,
               Session &session, Writer &writer) {
  for (auto [port, tensor] : zip(artifact.inputs, tensors)) {
    if (!tensor.data) // an optional one, which keeps its default in both
      continue;
    if (Error problem = writer.add("input", port.name, port.dtype, tensor.dims,
                                   tensor.data))
      return problem;
  }
  for (auto [port, tensor] : zip(artifact.outputs, session.outputs))
    if (Error problem = writer.add("output", port.name, port.dtype, tensor.dims,
                                   tensor.data))
      return problem;
  for (int32_t i = 0; i < artifact.info.num_values; ++i) {
    tenon_value_info info;
    tenon_error error;
    TENON_INIT(info);
    if (tenon_get_value_info(artifact.model(), i, &info, &error))
      return apiError(error);
    std::vector<int64_t> dims(info.rank);
    const void *data = nullptr;
    if (tenon_value_data(session.context, i, dims.data(), &data, &error))
      return apiError(error);
    if (Error problem = writer.add("value", info.name, info.dtype, dims, data))
      return problem;
  }
  return Error::success();
}

/// Reads --expect.
Error addExpected(const OpenArtifact &artifact, Writer &writer) {
  std::set<int32_t> seen;
  for (const std::string &setting : expects) {
    auto file = splitSetting("--expect", setting, artifact.outputs);
    if (!file)
      return file.takeError();
    auto [index, path] = *file;
    tenon_error error;
    if (index < 0 &&
        tenon_find_output(artifact.model(),
                          StringRef(setting).split('=').first.str().c_str(),
                          &index, &error))
      return apiError(error);
    const char *name = artifact.outputs[index].name;
    if (!seen.insert(index).second)
      return createStringError("output '" + Twine(name) + "' is given twice");
    if (!sys::fs::exists(path))
      return createStringError("'" + path + "': no such file");
    writer.expect(name, path);
  }
  return Error::success();
}

Expected<int> runScript(const TemporaryFolder &folder) {
  std::string script = folder.file("compare.py");
  if (Error problem = writeOutputFile(script, [](raw_ostream &out) {
        out << kScript;
        return Error::success();
      }))
    return std::move(problem);
  std::string wanted = sys::Process::GetEnv("TENON_PYTHON").value_or("python3");
  ErrorOr<std::string> python = sys::findProgramByName(wanted);
  if (!python)
    return createStringError("there is no '" + wanted +
                             "': set TENON_PYTHON to a Python that has numpy, "
                             "onnx and onnxruntime");
  std::string index = folder.file("index.json"), message;
  outs().flush();
  int code = sys::ExecuteAndWait(*python, {*python, script, index},
                                 std::nullopt, {}, 0, 0, &message);
  if (code < 0)
    return createStringError("cannot run '" + *python + "': " + message);
  return code;
}

Expected<int> run() {
  bool judged = !expects.empty(); // by files, not by the model
  if (paths.size() > 2 || (paths.size() < 2 && !judged))
    return createStringError("expected MODEL.onnx ARTIFACT.so");
  std::string modelPath = judged ? "" : paths.front(),
              path = paths[paths.size() - 1];
  if (!judged && !sys::fs::exists(modelPath))
    return createStringError("'" + modelPath + "': no such file");
  auto artifact = OpenArtifact::open(path);
  if (!artifact)
    return artifact.takeError();
  auto dims = parseDims(dimSettings);
  if (!dims)
    return dims.takeError();
  auto tensors = readInputs(**artifact, inputs);
  if (!tensors)
    return tensors.takeError();
  if (Error problem = chooseDims(**artifact, *tensors, *dims))
    return std::move(problem);
  // Nobody knows what to expect of random inputs.
  for (auto [port, tensor] : zip((*artifact)->inputs, *tensors))
    if (judged && !tensor.given)
      return missingInput(port);
  SessionOptions options = sessionOptions();
  Filled filled;
  auto session = runFilled(**artifact, options, *dims, *tensors, filled);
  if (!session)
    return session.takeError();

  auto folder = TemporaryFolder::make("tenon-compare");
  if (!folder)
    return folder.takeError();
  Writer writer(**folder);
  if (Error problem = writeAll(**artifact, *tensors, **session, writer))
    return std::move(problem);
  if (Error problem = addExpected(**artifact, writer))
    return std::move(problem);
  if (Error problem = writer.finish(modelPath, path, filled))
    return std::move(problem);
  if ((*artifact)->info.num_values == 0 && !json && !judged)
    errs() << "tenon compare: note: only outputs are compared; compile with "
              "--debug-values to see inner values\n";
  return runScript(**folder);
}

} // namespace

int compareMain() {
  Expected<int> code = run();
  if (!code)
    return reportError("compare", code.takeError());
  return *code;
}

} // namespace tenon
