//===- Cuda.h - the part of CUDA's driver that is used ----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The driver's library is loaded when a context wants a GPU; artifacts neither
// link it nor need its headers. Types and numbers are those of its ABI, which
// has been stable since CUDA 11.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_RUNTIME_CUDA_CUDA_H
#define TENON_RUNTIME_CUDA_CUDA_H

#include "../Text.h"

namespace tenon::rt::cuda {

using Result = int;
using DeviceNumber = int;
using Pointer = unsigned long long; // of device memory
using ContextHandle = struct CUctx_st *;
using ModuleHandle = struct CUmod_st *;
using FunctionHandle = struct CUfunc_st *;
using StreamHandle = struct CUstream_st *;
using GraphHandle = struct CUgraph_st *;
using GraphExecHandle = struct CUgraphExec_st *;

constexpr Result kOutOfMemory = 2;
constexpr int kMultiprocessors = 16; // attributes
constexpr int kCapabilityMajor = 75, kCapabilityMinor = 76;
constexpr int kDynamicShared = 8;                 // of a function
constexpr int kMemoryType = 2, kDeviceMemory = 2; // of a pointer
constexpr int kErrorLog = 5, kErrorLogBytes = 6;  // of a JIT
constexpr unsigned kNonBlocking = 1;              // stream
constexpr uintptr_t kPerThread = 2; // the last of CUDA's own streams' handles
constexpr int kThisThread = 1;      // capture
// Of a tensor map: unsigned integers of 16 and of 32 bits, swizzled by 128
// bytes, read in lines of 256 bytes.
constexpr int kUnsigned16 = 1, kUnsigned32 = 2, kSwizzle128 = 3, kLines256 = 3;
/// What a launch takes of a tensor, for the GPU's copy engine.
struct alignas(64) TensorMap {
  uint64_t words[16];
};
/// CUDA 12.0, whose drivers read PTX 8.0.
constexpr int kOldestDriver = 12000;

/// One pointer for each function, by its name in the library.
#define TENON_CUDA_FUNCTIONS(F)                                                \
  F(cuInit, (unsigned))                                                        \
  F(cuDriverGetVersion, (int *))                                               \
  F(cuGetErrorName, (Result, const char **))                                   \
  F(cuGetErrorString, (Result, const char **))                                 \
  F(cuDeviceGetCount, (int *))                                                 \
  F(cuDeviceGet, (DeviceNumber *, int))                                        \
  F(cuDeviceGetName, (char *, int, DeviceNumber))                              \
  F(cuDeviceGetAttribute, (int *, int, DeviceNumber))                          \
  F(cuDevicePrimaryCtxRetain, (ContextHandle *, DeviceNumber))                 \
  F(cuDevicePrimaryCtxRelease_v2, (DeviceNumber))                              \
  F(cuCtxPushCurrent_v2, (ContextHandle))                                      \
  F(cuCtxPopCurrent_v2, (ContextHandle *))                                     \
  F(cuModuleLoadDataEx,                                                        \
    (ModuleHandle *, const void *, unsigned, int *, void **))                  \
  F(cuModuleUnload, (ModuleHandle))                                            \
  F(cuModuleGetFunction, (FunctionHandle *, ModuleHandle, const char *))       \
  F(cuModuleGetGlobal_v2, (Pointer *, size_t *, ModuleHandle, const char *))   \
  F(cuFuncSetAttribute, (FunctionHandle, int, int))                            \
  F(cuOccupancyMaxActiveBlocksPerMultiprocessor,                               \
    (int *, FunctionHandle, int, size_t))                                      \
  F(cuMemAlloc_v2, (Pointer *, size_t))                                        \
  F(cuMemFree_v2, (Pointer))                                                   \
  F(cuMemcpyHtoD_v2, (Pointer, const void *, size_t))                          \
  F(cuMemcpyHtoDAsync_v2, (Pointer, const void *, size_t, StreamHandle))       \
  F(cuMemcpyDtoHAsync_v2, (void *, Pointer, size_t, StreamHandle))             \
  F(cuMemcpyDtoDAsync_v2, (Pointer, Pointer, size_t, StreamHandle))            \
  F(cuPointerGetAttribute, (void *, int, Pointer))                             \
  F(cuMemsetD8Async, (Pointer, unsigned char, size_t, StreamHandle))           \
  F(cuStreamCreate, (StreamHandle *, unsigned))                                \
  F(cuStreamDestroy_v2, (StreamHandle))                                        \
  F(cuStreamSynchronize, (StreamHandle))                                       \
  F(cuLaunchKernel,                                                            \
    (FunctionHandle, unsigned, unsigned, unsigned, unsigned, unsigned,         \
     unsigned, unsigned, StreamHandle, void **, void **))                      \
  F(cuTensorMapEncodeTiled,                                                    \
    (TensorMap *, int, unsigned, void *, const uint64_t *, const uint64_t *,   \
     const unsigned *, const unsigned *, int, int, int, int))                  \
  F(cuStreamBeginCapture_v2, (StreamHandle, int))                              \
  F(cuStreamEndCapture, (StreamHandle, GraphHandle *))                         \
  F(cuGraphInstantiateWithFlags,                                               \
    (GraphExecHandle *, GraphHandle, unsigned long long))                      \
  F(cuGraphLaunch, (GraphExecHandle, StreamHandle))                            \
  F(cuGraphExecDestroy, (GraphExecHandle))                                     \
  F(cuGraphDestroy, (GraphHandle))

struct Library {
#define TENON_CUDA_FIELD(NAME, PARAMETERS) Result(*NAME) PARAMETERS;
  TENON_CUDA_FUNCTIONS(TENON_CUDA_FIELD)
#undef TENON_CUDA_FIELD
  /// Null, but where a driver checks what kernels touch: how many bytes the
  /// next launch's next pointer has, and whether what lies there is another's.
  Result (*tenonNextPointer)(uint64_t bytes, int fresh);
};

/// The library, initialised; null, with the reason, where there is none.
const Library *loadLibrary(tenon_error *error);

/// TENON_OK, or a failure of `what` with the driver's own words.
tenon_status check(const Library &library, Result result, const char *what,
                   tenon_error *error);

/// Makes a GPU's context the thread's own for a scope.
class Current {
public:
  Current(const Library &library, ContextHandle context) : library(library) {
    library.cuCtxPushCurrent_v2(context);
  }
  ~Current() {
    ContextHandle context;
    library.cuCtxPopCurrent_v2(&context);
  }
  Current(const Current &) = delete;
  Current &operator=(const Current &) = delete;

private:
  const Library &library;
};

} // namespace tenon::rt::cuda

#endif // TENON_RUNTIME_CUDA_CUDA_H
