//===- Cuda.cpp - loading CUDA's driver -----------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Cuda.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

using namespace tenon::rt;
using namespace tenon::rt::cuda;

namespace {

pthread_mutex_t gMutex = PTHREAD_MUTEX_INITIALIZER;
Library gLibrary;
bool gLoaded;

tenon_status findFunctions(void *handle, Library &library, tenon_error *error) {
#define TENON_CUDA_FIND(NAME, PARAMETERS)                                      \
  *reinterpret_cast<void **>(&library.NAME) = dlsym(handle, #NAME);            \
  if (!library.NAME)                                                           \
    return fail(error, TENON_DEVICE_ERROR,                                     \
                "CUDA's driver is too old: it has no " #NAME);
  TENON_CUDA_FUNCTIONS(TENON_CUDA_FIND)
#undef TENON_CUDA_FIND
  *reinterpret_cast<void **>(&library.tenonNextPointer) =
      dlsym(handle, "tenonNextPointer");
  return TENON_OK;
}

tenon_status load(Library &library, tenon_error *error) {
  void *handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    return fail(error, TENON_DEVICE_ERROR,
                "CUDA's driver cannot be loaded: ", dlerror());
  if (tenon_status status = findFunctions(handle, library, error))
    return status;
  if (tenon_status status =
          check(library, library.cuInit(0), "CUDA's driver", error))
    return status;
  int version = 0;
  library.cuDriverGetVersion(&version);
  if (version < kOldestDriver)
    return fail(error, TENON_DEVICE_ERROR, "CUDA's driver is for CUDA ",
                version / 1000, ".", version % 1000 / 10,
                ", which is too old: expected ", kOldestDriver / 1000, ".",
                kOldestDriver % 1000 / 10, " or later");
  return TENON_OK;
}

} // namespace

const Library *tenon::rt::cuda::loadLibrary(tenon_error *error) {
  pthread_mutex_lock(&gMutex);
  if (!gLoaded) {
    Library library;
    memset(&library, 0, sizeof library);
    if (!load(library, error)) {
      gLibrary = library;
      gLoaded = true;
    }
  }
  bool loaded = gLoaded;
  pthread_mutex_unlock(&gMutex);
  return loaded ? &gLibrary : nullptr;
}

tenon_status tenon::rt::cuda::check(const Library &library, Result result,
                                    const char *what, tenon_error *error) {
  if (!result)
    return TENON_OK;
  const char *name = nullptr, *text = nullptr;
  library.cuGetErrorName(result, &name);
  library.cuGetErrorString(result, &text);
  return fail(error,
              result == kOutOfMemory ? TENON_OUT_OF_MEMORY : TENON_DEVICE_ERROR,
              what, ": ", text ? text : "unknown error", " (",
              name ? name : "no name", ", ", result, ")");
}
