//===- Model.h - a model's kernels and weights on a GPU ---------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_RUNTIME_CUDA_MODEL_H
#define TENON_RUNTIME_CUDA_MODEL_H

#include "Cuda.h"
#include "tenon/abi.h"

namespace tenon::rt::cuda {

/// What the contexts of a model share on one GPU.
struct Model {
  const Library *library;
  const tenon_gpu *gpu;
  const tenon_image *image;
  int32_t ordinal;
  DeviceNumber device;
  ContextHandle context; // the GPU's primary one, as other libraries use it
  char name[128];
  ModuleHandle module;
  FunctionHandle *functions; // per kernel; null where the host computes it
  int64_t *most; // blocks of each that are launched; 0: a block a task
  Pointer weights;
  int32_t shares;
  Model *next;
};

/// Takes a share; the first one loads and uploads. Null after an error.
Model *openModel(const tenon_gpu &gpu, int32_t ordinal, const char *image,
                 const uint8_t *weights, tenon_status *status,
                 tenon_error *error);
void closeModel(Model *model);

} // namespace tenon::rt::cuda

#endif // TENON_RUNTIME_CUDA_MODEL_H
