//===- Model.cpp - a model's kernels and weights on a GPU -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Model.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

using namespace tenon::rt;
using namespace tenon::rt::cuda;

namespace {

pthread_mutex_t gMutex = PTHREAD_MUTEX_INITIALIZER;
Model *gModels = nullptr;

/// Can a GPU of this capability run the image?
bool runs(const tenon_image &image, int32_t capability) {
  const char *last = image.name;
  while (last[0] && last[1])
    ++last;
  if (*last < '0' || *last > '9')
    return image.capability == capability;
  return image.capability <= capability &&
         (image.kind == TENON_IMAGE_PTX ||
          image.capability / 10 == capability / 10);
}

tenon_status refuse(const Model &model, const char *wanted, int32_t capability,
                    tenon_error *error) {
  if (!error)
    return TENON_DEVICE_ERROR;
  Text text(error->message, sizeof error->message);
  text.add("the artifact has no code for ").add(model.name);
  text.add(", which is of sm_").add(capability).add("; it holds ");
  for (int32_t i = 0; i < model.gpu->num_images; ++i)
    text.add(i ? ", " : "").add(model.gpu->images[i].name);
  if (wanted)
    text.add(", of which ").add(wanted).add(" was asked for");
  return TENON_DEVICE_ERROR;
}

/// Loads the first image that the GPU runs. An assembled one may be newer than
/// the driver: the next one, and PTX in the end, serves as well.
tenon_status loadImage(Model &model, const char *wanted, tenon_error *error) {
  const Library &cuda = *model.library;
  int major = 0, minor = 0;
  cuda.cuDeviceGetAttribute(&major, kCapabilityMajor, model.device);
  cuda.cuDeviceGetAttribute(&minor, kCapabilityMinor, model.device);
  int32_t capability = major * 10 + minor;
  tenon_status status = refuse(model, wanted, capability, error);
  for (int32_t i = 0; i < model.gpu->num_images; ++i) {
    const tenon_image &image = model.gpu->images[i];
    if (!runs(image, capability) || (wanted && !sameText(wanted, image.name)))
      continue;
    char log[256] = "";
    int options[] = {kErrorLog, kErrorLogBytes};
    void *values[] = {log, reinterpret_cast<void *>(sizeof log)};
    Result result =
        cuda.cuModuleLoadDataEx(&model.module, image.data, 2, options, values);
    if (!result) {
      model.image = &image;
      return TENON_OK;
    }
    status = check(cuda, result, "loading the kernels", error);
    log[sizeof log - 1] = 0;
    if (error && *log) {
      size_t used = strlen(error->message);
      Text(error->message + used, sizeof error->message - used)
          .add(": ")
          .add(log);
    }
  }
  return status;
}

/// How many blocks the GPU runs at a time, of a kernel whose blocks go from
/// task to task; 0 of any other.
tenon_status findMost(const Model &model, int32_t number, int64_t &most,
                      tenon_error *error) {
  const Library &cuda = *model.library;
  const tenon_gpu_kernel &kernel = model.gpu->kernels[number];
  char name[256];
  Text(name, sizeof name).add(kernel.name).add(TENON_GPU_GRID);
  Pointer mark = 0;
  size_t bytes = 0;
  if (cuda.cuModuleGetGlobal_v2(&mark, &bytes, model.module, name))
    return TENON_OK;
  int multiprocessors = 0, blocks = 0;
  tenon_status status =
      check(cuda,
            cuda.cuDeviceGetAttribute(&multiprocessors, kMultiprocessors,
                                      model.device),
            "the GPU's multiprocessors", error);
  if (!status)
    status = check(cuda,
                   cuda.cuOccupancyMaxActiveBlocksPerMultiprocessor(
                       &blocks, model.functions[number], kernel.threads,
                       size_t(kernel.shared)),
                   kernel.name, error);
  most = int64_t(multiprocessors) * blocks;
  return status;
}

tenon_status findFunctions(Model &model, tenon_error *error) {
  const Library &cuda = *model.library;
  for (int32_t i = 0; i < model.gpu->num_kernels; ++i) {
    const tenon_gpu_kernel &kernel = model.gpu->kernels[i];
    if (kernel.host)
      continue;
    FunctionHandle &function = model.functions[i];
    if (tenon_status status = check(
            cuda,
            cuda.cuModuleGetFunction(&function, model.module, kernel.name),
            kernel.name, error))
      return status;
    if (kernel.shared)
      if (tenon_status status = check(
              cuda,
              cuda.cuFuncSetAttribute(function, kDynamicShared, kernel.shared),
              kernel.name, error))
        return status;
    if (tenon_status status = findMost(model, i, model.most[i], error))
      return status;
  }
  return TENON_OK;
}

tenon_status uploadWeights(Model &model, const uint8_t *weights,
                           tenon_error *error) {
  const Library &cuda = *model.library;
  uint64_t bytes = model.gpu->program->weights_bytes;
  if (!bytes)
    return TENON_OK;
  if (tenon_status status =
          check(cuda, cuda.cuMemAlloc_v2(&model.weights, bytes),
                "memory for the weights", error))
    return status;
  return check(cuda, cuda.cuMemcpyHtoD_v2(model.weights, weights, bytes),
               "copying the weights", error);
}

tenon_status openDevice(Model &model, tenon_error *error) {
  const Library &cuda = *model.library;
  int count = 0;
  if (tenon_status status = check(cuda, cuda.cuDeviceGetCount(&count),
                                  "counting the GPUs", error))
    return status;
  if (model.ordinal >= count)
    return fail(error, TENON_DEVICE_ERROR, "there is no GPU number ",
                model.ordinal, ": CUDA's driver finds ", count);
  if (tenon_status status =
          check(cuda, cuda.cuDeviceGet(&model.device, model.ordinal), "the GPU",
                error))
    return status;
  cuda.cuDeviceGetName(model.name, sizeof model.name - 1, model.device);
  return check(cuda,
               cuda.cuDevicePrimaryCtxRetain(&model.context, model.device),
               "the GPU's context", error);
}

tenon_status fill(Model &model, const char *image, const uint8_t *weights,
                  tenon_error *error) {
  tenon_status status = openDevice(model, error);
  if (status)
    return status;
  Current current(*model.library, model.context);
  if ((status = loadImage(model, image, error)) ||
      (status = findFunctions(model, error)))
    return status;
  return uploadWeights(model, weights, error);
}

void destroy(Model *model) {
  const Library &cuda = *model->library;
  if (model->context) {
    {
      Current current(cuda, model->context);
      if (model->weights)
        cuda.cuMemFree_v2(model->weights);
      if (model->module)
        cuda.cuModuleUnload(model->module);
    }
    cuda.cuDevicePrimaryCtxRelease_v2(model->device);
  }
  free(model->functions);
  free(model->most);
  free(model);
}

Model *create(const tenon_gpu &gpu, int32_t ordinal, const char *image,
              const uint8_t *weights, tenon_status *status,
              tenon_error *error) {
  *status = TENON_DEVICE_ERROR;
  const Library *library = loadLibrary(error);
  if (!library)
    return nullptr;
  auto *model = static_cast<Model *>(calloc(1, sizeof(Model)));
  auto *functions = static_cast<FunctionHandle *>(
      calloc(size_t(gpu.num_kernels) + 1, sizeof(FunctionHandle)));
  auto *most = static_cast<int64_t *>(
      calloc(size_t(gpu.num_kernels) + 1, sizeof(int64_t)));
  if (!model || !functions || !most) {
    free(model);
    free(functions);
    free(most);
    *status = fail(error, TENON_OUT_OF_MEMORY, "out of memory");
    return nullptr;
  }
  model->library = library;
  model->gpu = &gpu;
  model->ordinal = ordinal;
  model->functions = functions;
  model->most = most;
  if ((*status = fill(*model, image, weights, error))) {
    destroy(model);
    return nullptr;
  }
  return model;
}

} // namespace

Model *tenon::rt::cuda::openModel(const tenon_gpu &gpu, int32_t ordinal,
                                  const char *image, const uint8_t *weights,
                                  tenon_status *status, tenon_error *error) {
  pthread_mutex_lock(&gMutex);
  Model *found = gModels;
  while (found && (found->gpu != &gpu || found->ordinal != ordinal ||
                   (image && !sameText(image, found->image->name))))
    found = found->next;
  *status = TENON_OK;
  if (!found && (found = create(gpu, ordinal, image, weights, status, error))) {
    found->next = gModels;
    gModels = found;
  }
  if (found)
    ++found->shares;
  pthread_mutex_unlock(&gMutex);
  return found;
}

void tenon::rt::cuda::closeModel(Model *model) {
  pthread_mutex_lock(&gMutex);
  if (--model->shares == 0) {
    Model **link = &gModels;
    while (*link != model)
      link = &(*link)->next;
    *link = model->next;
    destroy(model);
  }
  pthread_mutex_unlock(&gMutex);
}
