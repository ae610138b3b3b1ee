//===- Artifact.cpp - artifacts and their tensors, for the tools ----------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Artifact.h"
#include "States.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include <cstring>

using namespace llvm;

namespace tenon {

Error apiError(const tenon_error &error) {
  return createStringError(Twine(error.message));
}

template <typename Info, typename Getter>
static Error readInfos(const tenon_model *model, int32_t count, Getter get,
                       std::vector<Info> &infos) {
  tenon_error error;
  for (int32_t i = 0; i < count; ++i) {
    Info &info = infos.emplace_back();
    TENON_INIT(info);
    if (get(model, i, &info, &error))
      return apiError(error);
  }
  return Error::success();
}

Expected<std::unique_ptr<OpenArtifact>> OpenArtifact::open(StringRef path,
                                                           uint32_t flags) {
  tenon_library library;
  tenon_library_options options;
  TENON_INIT(options);
  options.flags = flags;
  tenon_error error;
  if (tenon_library_open_with(path.str().c_str(), &options, &library, &error))
    return apiError(error);
  auto artifact = of(library.model);
  if (artifact)
    (*artifact)->library.handle = library.handle;
  else
    tenon_library_close(&library);
  return artifact;
}

Expected<std::unique_ptr<OpenArtifact>>
OpenArtifact::of(const tenon_model *model) {
  std::unique_ptr<OpenArtifact> artifact(new OpenArtifact);
  artifact->library.model = model;
  tenon_error error;
  tenon_model_info &info = artifact->info;
  TENON_INIT(info);
  if (tenon_get_model_info(model, &info, &error))
    return apiError(error);
  if (Error problem = readInfos(model, info.num_inputs, tenon_get_input_info,
                                artifact->inputs))
    return std::move(problem);
  if (Error problem = readInfos(model, info.num_outputs, tenon_get_output_info,
                                artifact->outputs))
    return std::move(problem);
  if (Error problem = readInfos(model, info.num_ranges, tenon_get_range_info,
                                artifact->ranges))
    return std::move(problem);
  if (Error problem = readInfos(model, info.num_checks, tenon_get_check_info,
                                artifact->checks))
    return std::move(problem);
  if (Error problem = readInfos(model, info.num_gpu_images,
                                tenon_get_gpu_image_info, artifact->gpuImages))
    return std::move(problem);
  if (Error problem = readInfos(model, info.num_levels, tenon_get_level_info,
                                artifact->levels))
    return std::move(problem);
  if (Error problem = readInfos(model, info.num_states + info.num_stateless,
                                tenon_get_state_info, artifact->states))
    return std::move(problem);
  return artifact;
}

std::string describePort(const tenon_port_info &port) {
  std::string text = std::string(tenon_dtype_name(port.dtype)) + " [";
  for (int32_t d = 0; d < port.rank; ++d)
    text += std::string(d ? ", " : "") + port.dim_names[d];
  return text + "]";
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

Expected<Tensor> makeTensor(tenon_dtype dtype, ArrayRef<int64_t> dims) {
  Tensor tensor;
  tensor.dtype = dtype;
  tensor.dims = dims.vec();
  size_t elements = 1, most;
  bool empty = is_contained(dims, 0);
  for (int64_t dim : dims)
    if (dim < 0 ||
        (!empty && __builtin_mul_overflow(elements, size_t(dim), &elements)))
      return createStringError("a tensor's dims are too large");
  if (__builtin_mul_overflow(elements, tenon_dtype_bytes(dtype), &most))
    return createStringError("a tensor's dims are too large");
  tensor.bytes = empty ? 0 : tenon_tensor_bytes(dtype, elements);
  auto memory = WritableMemoryBuffer::getNewUninitMemBuffer(
      std::max<size_t>(tensor.bytes, 1), "tensor", Align(64));
  if (!memory)
    return createStringError("out of memory for a tensor of " +
                             Twine(tensor.bytes) + " bytes");
  tensor.data = memory->getBufferStart();
  tensor.storage = std::move(memory);
  return tensor;
}

Expected<DimValues> parseDims(ArrayRef<std::string> settings) {
  DimValues dims;
  for (StringRef setting : settings) {
    auto [name, value] = setting.rsplit('=');
    int64_t number;
    if (name.empty() || value.getAsInteger(10, number) || number < 0)
      return createStringError("--dim " + setting +
                               ": expected name=N with N >= 0");
    if (!dims.try_emplace(name.str(), number).second)
      return createStringError("--dim " + setting + ": '" + name +
                               "' is given twice");
  }
  return dims;
}

static Error checkInput(const tenon_port_info &port, StringRef path,
                        const NpyArray &array) {
  // A file of codes does not say of which type; bytes will do as well.
  bool codes = npyHoldsCodes(NpyType(port.dtype)) &&
               (npyHoldsCodes(array.type) || array.type == NpyType::U8);
  if (!codes && tenon_dtype(array.type) != port.dtype)
    return createStringError("input '" + Twine(port.name) + "': '" + path +
                             "' has dtype " + npyTypeName(array.type) +
                             ", expected " + npyTypeName(NpyType(port.dtype)));
  if (array.dims.size() != size_t(port.rank))
    return createStringError("input '" + Twine(port.name) + "': '" + path +
                             "' has rank " + Twine(array.dims.size()) +
                             ", expected " + Twine(port.rank) + ": " +
                             describePort(port));
  return Error::success();
}

std::vector<StringRef> slowWork(const tenon_model_info &info) {
  std::vector<StringRef> all;
  for (const char *const *work = info.slow; work && *work; ++work)
    all.emplace_back(*work);
  return all;
}

/// One code a byte to a packed tensor's bytes, and back.
static void packCodes(unsigned bits, ArrayRef<char> codes, char *bytes) {
  size_t perByte = 8 / bits;
  unsigned mask = (1u << bits) - 1;
  for (size_t i = 0; i < codes.size(); ++i) {
    unsigned shift = i % perByte * bits;
    char &byte = bytes[i / perByte];
    byte = char((shift ? uint8_t(byte) : 0) | (codes[i] & mask) << shift);
  }
}

static std::vector<char> unpackCodes(unsigned bits, const void *data,
                                     size_t count) {
  std::vector<char> codes(count);
  size_t perByte = 8 / bits;
  for (size_t i = 0; i < count; ++i)
    codes[i] = char(static_cast<const uint8_t *>(data)[i / perByte] >>
                        i % perByte * bits &
                    ((1u << bits) - 1));
  return codes;
}

Expected<NamedFile> splitSetting(StringRef option, StringRef setting,
                                 ArrayRef<tenon_port_info> ports) {
  // A name may contain '=', and so may a path: the longest name that is a
  // port's, but rather one whose file is there.
  std::optional<NamedFile> best;
  for (size_t at = setting.find('='); at != StringRef::npos;
       at = setting.find('=', at + 1)) {
    StringRef name = setting.take_front(at), path = setting.substr(at + 1);
    for (auto [i, port] : enumerate(ports))
      if (name == port.name && !path.empty() &&
          (!best || sys::fs::exists(path) || !sys::fs::exists(best->path)))
        best = NamedFile{int32_t(i), path.str()};
  }
  if (best)
    return *best;
  auto [name, path] = setting.split('=');
  if (name.empty() || path.empty())
    return createStringError(option + " " + setting +
                             ": expected NAME=FILE.npy");
  return NamedFile{-1, path.str()};
}

Error missingInput(const tenon_port_info &port) {
  return createStringError("input '" + Twine(port.name) +
                           "' is not given: --input " + port.name +
                           "=FILE.npy, " + describePort(port));
}

Expected<std::vector<Tensor>> readInputs(const OpenArtifact &artifact,
                                         ArrayRef<std::string> settings) {
  std::vector<Tensor> inputs(artifact.inputs.size());
  for (StringRef setting : settings) {
    auto file = splitSetting("--input", setting, artifact.inputs);
    if (!file)
      return file.takeError();
    auto [index, path] = *file;
    tenon_error error;
    if (index < 0 && tenon_find_input(artifact.model(),
                                      setting.split('=').first.str().c_str(),
                                      &index, &error))
      return apiError(error);
    if (inputs[index].given)
      return createStringError("input '" + Twine(artifact.inputs[index].name) +
                               "' is given twice");
    Expected<NpyArray> array = readNpy(path);
    if (!array)
      return array.takeError();
    if (Error problem = checkInput(artifact.inputs[index], path, *array))
      return std::move(problem);
    Tensor &tensor = inputs[index];
    tensor.dtype = artifact.inputs[index].dtype;
    if (unsigned bits = tenon_dtype_bits(tensor.dtype); bits < 8) {
      Expected<Tensor> packed = makeTensor(tensor.dtype, array->dims);
      if (!packed)
        return packed.takeError();
      packCodes(bits, {array->data, array->bytes},
                static_cast<char *>(packed->data));
      tensor = std::move(*packed);
      tensor.given = true;
      continue;
    }
    tensor.dims = std::move(array->dims);
    tensor.data = const_cast<char *>(array->data); // only read
    tensor.bytes = array->bytes;
    tensor.storage = std::move(array->storage);
    tensor.given = true;
  }
  return inputs;
}

std::string FileNames::path(StringRef directory, StringRef name) {
  auto [at, isNew] = files.try_emplace(name.str());
  if (isNew) {
    std::string base = name.take_front(kLongest).str();
    for (char &c : base)
      if (!isAlnum(c) && c != '_' && c != '.' && c != '-')
        c = '_';
    std::string file = base;
    for (int i = 2; !taken.insert(file).second; ++i)
      file = base + "." + std::to_string(i);
    at->second = file + ".npy";
  }
  SmallString<128> result(directory);
  sys::path::append(result, at->second);
  return result.str().str();
}

Error writeTensor(StringRef path, tenon_dtype dtype, ArrayRef<int64_t> dims,
                  const void *data) {
  unsigned bits = tenon_dtype_bits(dtype);
  if (bits >= 8)
    return writeNpy(path, NpyType(dtype), dims, data);
  size_t count = 1;
  for (int64_t dim : dims)
    count *= size_t(dim);
  return writeNpy(path, NpyType(dtype), dims,
                  unpackCodes(bits, data, count).data());
}

//===----------------------------------------------------------------------===//
// Sessions
//===----------------------------------------------------------------------===//

Expected<tenon_context *> Session::createContext(const OpenArtifact &artifact,
                                                 const SessionOptions &given) {
  tenon_context_options options;
  TENON_INIT(options);
  options.threads = given.threads;
  options.level = given.level.empty() ? nullptr : given.level.c_str();
  options.weights_path =
      given.weights.empty() ? nullptr : given.weights.c_str();
  options.device = given.device.empty() ? nullptr : given.device.c_str();
  if (given.oversubscribe)
    options.flags |= TENON_CONTEXT_OVERSUBSCRIBE;
  if (given.profile)
    options.flags |= TENON_CONTEXT_PROFILE;
  tenon_context *context = nullptr;
  tenon_error error;
  tenon_status status =
      tenon_context_create(artifact.model(), &options, &context, &error);
  if (status == TENON_IO_ERROR && artifact.info.weights_file)
    return createStringError(Twine(error.message) + " (--weights FILE)");
  if (status)
    return apiError(error);
  return context;
}

Expected<std::unique_ptr<Session>>
Session::create(const OpenArtifact &artifact, const SessionOptions &given,
                MutableArrayRef<Tensor> inputs) {
  Expected<std::unique_ptr<Session>> session = open(artifact, given);
  if (session)
    if (Error problem = (*session)->bind(inputs))
      return std::move(problem);
  return session;
}

Expected<std::unique_ptr<Session>> Session::open(const OpenArtifact &artifact,
                                                 const SessionOptions &given) {
  std::unique_ptr<Session> session(new Session(artifact));
  Expected<tenon_context *> context = createContext(artifact, given);
  if (!context)
    return context.takeError();
  session->context = *context;
  session->hasState = given.state != nullptr;
  tenon_error error;
  if (given.state && tenon_bind_state(*context, given.state, &error))
    return apiError(error);
  return session;
}

Error Session::bind(MutableArrayRef<Tensor> inputs) {
  tenon_error error;
  // An optional input that is not given keeps its default, and the state has
  // its own.
  for (const Tensor &input : inputs)
    inputDims.push_back(input.data ? input.dims.data() : nullptr);
  // Before what depends on the inputs' values.
  for (auto [i, input] : enumerate(inputs))
    if (input.data &&
        tenon_bind_input(context, int32_t(i), input.dtype,
                         int32_t(input.dims.size()), input.dims.data(),
                         input.data, input.bytes, &error))
      return apiError(error);
  if (Error problem = makeRoom())
    return problem;
  TENON_INIT(info);
  if (tenon_get_context_info(context, &info, &error))
    return apiError(error);
  if (info.device_note)
    errs() << "tenon: note: no GPU is used: " << info.device_note << "\n";
  return Error::success();
}

Error Session::makeRoom() {
  tenon_error error;
  if (tenon_reserve(context, inputDims.data(), &error))
    return apiError(error);
  outputs.clear();
  for (auto [i, port] : enumerate(artifact.outputs)) {
    if (hasState && holdsOutput(artifact, i)) {
      outputs.emplace_back();
      continue;
    }
    std::vector<int64_t> dims(port.rank);
    if (tenon_output_dims(context, inputDims.data(), int32_t(i), dims.data(),
                          &error))
      return apiError(error);
    Expected<Tensor> output = makeTensor(port.dtype, dims);
    if (!output)
      return output.takeError();
    std::memset(output->data, 0, output->bytes);
    outputs.push_back(std::move(*output));
    Tensor &tensor = outputs.back();
    bool fromData = port.dims_kind == TENON_DIMS_FROM_DATA;
    if (tenon_bind_output(context, int32_t(i), port.dtype, port.rank,
                          fromData ? nullptr : tensor.dims.data(), tensor.data,
                          tensor.bytes, &error))
      return apiError(error);
  }
  return Error::success();
}

Error Session::run() {
  tenon_error error;
  tenon_status status = tenon_run(context, &error);
  // Numbers that nothing bounds before the run: each try meets more of them.
  for (int tries = 0; tries < 64 && (status == TENON_WORKSPACE_TOO_SMALL ||
                                     status == TENON_OUTPUT_TOO_SMALL);
       ++tries) {
    if (Error problem = makeRoom())
      return problem;
    status = tenon_run(context, &error);
  }
  if (status)
    return apiError(error);
  for (auto [i, port] : enumerate(artifact.outputs))
    if (port.dims_kind == TENON_DIMS_FROM_DATA && outputs[i].data &&
        tenon_last_output_dims(context, int32_t(i), outputs[i].dims.data(),
                               &error))
      return apiError(error);
  return Error::success();
}

} // namespace tenon
