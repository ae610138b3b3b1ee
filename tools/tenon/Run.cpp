//===- Run.cpp - tenon run ------------------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Artifact.h"
#include "Commands.h"
#include "RunOptions.h"
#include "States.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FileSystem.h"

using namespace llvm;

namespace tenon {

static cl::opt<std::string> path(cl::Positional, cl::Required,
                                 cl::desc("ARTIFACT.so"),
                                 cl::sub(runCommand()));
static cl::opt<std::string>
    outputDir("output-dir", cl::value_desc("dir"),
              cl::desc("Where OUTPUT.npy goes for each output; characters of "
                       "the name outside [A-Za-z0-9_.-] become '_'; of two "
                       "that become one the later is OUTPUT.2.npy"),
              cl::sub(runCommand()));
static cl::list<std::string>
    dumps("dump", cl::value_desc("value"),
          cl::desc("Also write this inner value (the artifact was compiled "
                   "with --debug-values)"),
          cl::sub(runCommand()));

static cl::opt<std::string>
    stateFile("state", cl::value_desc("file"),
              cl::desc("Keep the pasts in this file from call to call; it is "
                       "made where it is not there, and its inputs and outputs "
                       "are neither given nor written"),
              cl::sub(runCommand()));
static cl::opt<int64_t>
    capacity("capacity", cl::value_desc("n"), cl::init(2048),
             cl::desc("Rows of each sequence for which a new --state has room "
                      "(default 2048)"),
             cl::sub(runCommand()));

/// The file's state, or an empty one for the sequences that the inputs have.
static Expected<StateMemory> openState(const OpenArtifact &artifact,
                                       ArrayRef<Tensor> tensors) {
  if (!hasStates(artifact))
    return createStringError("--state: the artifact has no state: 'tenon "
                             "inspect' says why");
  if (sys::fs::exists(stateFile))
    return StateMemory::read(artifact, stateFile);
  DimValues dims;
  if (Error problem = chooseDims(artifact, tensors, dims))
    return std::move(problem);
  auto shape = portDims(artifact.inputs[artifact.states[0].input], dims);
  if (!shape)
    return shape.takeError();
  return StateMemory::create(artifact, (*shape)[artifact.states[0].sequences],
                             capacity);
}

static Error writeValues(const OpenArtifact &artifact, Session &session) {
  if (std::error_code problem = sys::fs::create_directories(outputDir))
    return createStringError("cannot make the folder '" + outputDir +
                             "': " + problem.message());
  FileNames names;
  for (auto [port, tensor] : zip(artifact.outputs, session.outputs))
    if (!tensor.data)
      continue;
    else if (Error problem = writeTensor(names.path(outputDir, port.name),
                                         port.dtype, tensor.dims, tensor.data))
      return problem;
  tenon_error error;
  for (const std::string &name : dumps) {
    int32_t index = -1;
    tenon_value_info info;
    TENON_INIT(info);
    if (tenon_find_value(artifact.model(), name.c_str(), &index, &error) ||
        tenon_get_value_info(artifact.model(), index, &info, &error))
      return apiError(error);
    std::vector<int64_t> dims(info.rank);
    const void *data = nullptr;
    if (tenon_value_data(session.context, index, dims.data(), &data, &error))
      return apiError(error);
    if (Error problem =
            writeTensor(names.path(outputDir, name), info.dtype, dims, data))
      return problem;
  }
  return Error::success();
}

static Error run() {
  auto artifact = OpenArtifact::open(path);
  if (!artifact)
    return artifact.takeError();
  // What can be wrong is found before anything runs.
  for (const std::string &name : dumps) {
    int32_t index;
    tenon_error error;
    if (tenon_find_value((*artifact)->model(), name.c_str(), &index, &error))
      return apiError(error);
  }
  auto tensors = readInputs(**artifact, inputs);
  if (!tensors)
    return tensors.takeError();
  for (auto [i, port] : enumerate((*artifact)->inputs)) {
    const Tensor &tensor = (*tensors)[i];
    bool held = !stateFile.empty() && holdsInput(**artifact, i);
    if (held && tensor.given)
      return createStringError("input '" + Twine(port.name) +
                               "' is held by --state");
    if (!tensor.given && !port.is_optional && !held)
      return missingInput(port);
  }

  SessionOptions options = sessionOptions();
  std::optional<StateMemory> state;
  if (!stateFile.empty()) {
    auto opened = openState(**artifact, *tensors);
    if (!opened)
      return opened.takeError();
    state = std::move(*opened);
    options.state = state->state;
  }
  auto session = Session::create(**artifact, options, *tensors);
  if (!session)
    return session.takeError();
  if (Error problem = (*session)->run())
    return problem;
  if (Error problem = writeValues(**artifact, **session))
    return problem;
  if (!state)
    return Error::success();
  // What a GPU has comes back.
  tenon_error error;
  if (tenon_bind_state((*session)->context, nullptr, &error))
    return apiError(error);
  return state->write(stateFile);
}

int runMain() {
  if (outputDir.empty())
    return reportError("run", "--output-dir is not given");
  if (Error problem = run())
    return reportError("run", std::move(problem));
  return 0;
}

} // namespace tenon
