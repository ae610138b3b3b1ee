//===- DriverModules.cpp - modules, functions, launches -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Driver.h"
#include <algorithm>
#include <cstdio>
#include <utility>

using namespace emu;

namespace {

/// The buffers that a caller of cuModuleLoadDataEx has for messages.
struct JitLog {
  char *text = nullptr;
  size_t bytes = 0;
  void **filled = nullptr;

  void write(const std::string &message) {
    size_t count = text && bytes ? std::min(message.size(), bytes - 1) : 0;
    if (text && bytes) {
      memcpy(text, message.data(), count);
      text[count] = 0;
    }
    if (filled) // the value of the option becomes what was used
      *filled = reinterpret_cast<void *>(count);
  }
};

/// What a thread has told of the pointers of its next launch.
thread_local std::vector<Owner> nextPointers;

uint32_t smOf(const Module &module) {
  size_t at = module.text.find(".target sm_");
  return at == std::string::npos ? 0 : atoi(module.text.c_str() + at + 11);
}

} // namespace

EMU_API cuModuleLoadDataEx(void **handle, const void *image, unsigned count,
                           const int *options, void **values) {
  EMU_CALL();
  JitLog errors;
  for (unsigned i = 0; i < count; ++i) {
    if (options[i] == 5)
      errors.text = static_cast<char *>(values[i]);
    if (options[i] == 6) {
      errors.bytes = reinterpret_cast<size_t>(values[i]);
      errors.filled = &values[i];
    }
  }
  // A cubin is another device's.
  if (!memcmp(image, "\177ELF", 4) || !memcmp(image, "\x50\xed\x55\xba", 4))
    return NoBinaryForGpu;
  auto loaded = std::make_unique<LoadedModule>();
  loaded->module.text = static_cast<const char *>(image);
  std::string error;
  Driver &state = driver();
  if (!parseModule(loaded->module, state.device, error)) {
    for (uint64_t base : loaded->module.allocations)
      state.device.memory.release(base);
    errors.write("ptxas emulated; " + error);
    if (!state.device.quiet)
      fprintf(stderr, "emulated GPU: %s\n", error.c_str());
    bool wrongTarget = error.find("on a device of sm_") != error.npos;
    return wrongTarget ? NoBinaryForGpu : InvalidPtx;
  }
  errors.write("");
  for (const Kernel &kernel : loaded->module.kernels) {
    auto function = std::make_unique<Function>();
    *function = {&loaded->module, &kernel, kDefaultShared};
    state.functions.insert(function.get());
    loaded->functions[kernel.name] = std::move(function);
  }
  state.modules.insert(loaded.get());
  *handle = loaded.release();
  return Success;
}

EMU_API cuModuleLoadData(void **handle, const void *image) {
  return cuModuleLoadDataEx(handle, image, 0, nullptr, nullptr);
}

EMU_API cuModuleUnload(void *handle) {
  EMU_CALL();
  auto *loaded = static_cast<LoadedModule *>(handle);
  Driver &state = driver();
  if (!state.modules.count(loaded))
    return InvalidHandle;
  drainAll();
  state.modules.erase(loaded);
  for (auto &[name, function] : loaded->functions)
    state.functions.erase(function.get());
  for (uint64_t base : loaded->module.allocations)
    state.device.memory.release(base);
  delete loaded;
  return Success;
}

EMU_API cuModuleGetFunction(void **function, void *handle, const char *name) {
  EMU_CALL();
  auto *loaded = static_cast<LoadedModule *>(handle);
  if (!driver().modules.count(loaded))
    return InvalidHandle;
  auto it = loaded->functions.find(name);
  if (it == loaded->functions.end())
    return NotFound;
  *function = it->second.get();
  return Success;
}

EMU_API cuModuleGetGlobal_v2(CUdeviceptr *address, size_t *bytes, void *handle,
                             const char *name) {
  EMU_CALL();
  auto *loaded = static_cast<LoadedModule *>(handle);
  if (!driver().modules.count(loaded))
    return InvalidHandle;
  auto it = loaded->module.globals.find(name);
  if (it == loaded->module.globals.end())
    return NotFound;
  if (address)
    *address = it->second;
  if (bytes)
    *bytes = driver().device.memory.find(it->second)->bytes;
  return Success;
}

EMU_API cuFuncGetAttribute(int *value, int attribute, void *handle) {
  EMU_CALL();
  auto *function = static_cast<Function *>(handle);
  if (!driver().functions.count(function))
    return InvalidHandle;
  const Kernel &kernel = *function->kernel;
  switch (attribute) {
  case 0:
    *value = kernel.maxThreads        ? kernel.maxThreads
             : kernel.requiredThreads ? kernel.requiredThreads
                                      : 1024;
    return Success;
  case 1:
    *value = kernel.staticShared;
    return Success;
  case 3:
    *value = kernel.localBytes;
    return Success;
  case 4: // virtual ones: nothing allocates them here
    *value = std::min(kernel.registers, 255u);
    return Success;
  case 5:
  case 6:
    *value = smOf(*function->module);
    return Success;
  case 8:
    *value = function->mostDynamic;
    return Success;
  }
  *value = 0;
  return Success;
}

EMU_API cuFuncSetAttribute(void *handle, int attribute, int value) {
  EMU_CALL();
  auto *function = static_cast<Function *>(handle);
  if (!driver().functions.count(function))
    return InvalidHandle;
  if (attribute == 8) {
    if (value < 0 || value + function->kernel->staticShared > kMaxShared)
      return InvalidValue;
    function->mostDynamic = value;
  }
  return Success;
}

/// The allocations that the launch is given, by a pointer or as an address in
/// two numbers of at most 31 bits, the upper one first.
static void findArguments(Launch &launch, DeviceMemory &memory) {
  launch.arguments = launch.module->allocations;
  for (size_t at = 0; at + 8 <= launch.parameters.size(); at += 4) {
    uint64_t value;
    memcpy(&value, &launch.parameters[at], 8);
    if (Allocation *allocation = memory.find(value))
      launch.arguments.push_back(allocation->base);
    if (Allocation *allocation = memory.find((value << 30) + (value >> 32))) {
      launch.arguments.push_back(allocation->base);
      launch.inNumbers.push_back(allocation->base);
    }
  }
}

EMU_API cuLaunchKernel(void *handle, unsigned gridX, unsigned gridY,
                       unsigned gridZ, unsigned blockX, unsigned blockY,
                       unsigned blockZ, unsigned shared, void *streamHandle,
                       void **parameters, void **extra) {
  std::vector<Owner> owners = std::exchange(nextPointers, {});
  EMU_CALL();
  auto *function = static_cast<Function *>(handle);
  Stream *stream = streamOf(streamHandle);
  if (!driver().functions.count(function) || !stream)
    return InvalidHandle;
  const Kernel &kernel = *function->kernel;
  uint64_t threads = uint64_t(blockX) * blockY * blockZ;
  if (!gridX || !gridY || !gridZ || !threads || threads > 1024 ||
      gridX > INT32_MAX || gridY > 65535 || gridZ > 65535 || blockZ > 64)
    return InvalidValue;
  if ((kernel.maxThreads && threads > kernel.maxThreads) ||
      (kernel.requiredThreads && threads != kernel.requiredThreads))
    return InvalidValue;
  if (shared > function->mostDynamic ||
      (kernel.staticShared > kDefaultShared) ||
      kernel.staticShared + shared > kMaxShared)
    return InvalidValue;
  Launch launch;
  launch.device = &driver().device;
  launch.module = function->module;
  launch.kernel = &kernel;
  uint32_t grid[] = {gridX, gridY, gridZ}, block[] = {blockX, blockY, blockZ};
  std::copy(grid, grid + 3, launch.grid);
  std::copy(block, block + 3, launch.block);
  launch.dynamicShared = shared;
  launch.parameters.resize(kernel.parameterBytes);
  if (parameters) {
    for (size_t i = 0; i < kernel.parameters.size(); ++i)
      memcpy(&launch.parameters[kernel.parameters[i].offset], parameters[i],
             kernel.parameters[i].bytes);
  } else if (kernel.parameterBytes) {
    // CU_LAUNCH_PARAM_BUFFER_POINTER 1, ..._SIZE 2, END 0
    const void *buffer = nullptr;
    size_t bytes = 0;
    for (; extra && *extra; extra += 2) {
      if (reinterpret_cast<uintptr_t>(extra[0]) == 1)
        buffer = extra[1];
      else
        bytes = *static_cast<size_t *>(extra[1]);
    }
    if (!buffer || bytes < kernel.parameterBytes)
      return InvalidValue;
    memcpy(launch.parameters.data(), buffer, kernel.parameterBytes);
  }
  if (owners.size() > kernel.parameters.size())
    return InvalidValue;
  for (size_t i = 0; i < owners.size(); ++i)
    memcpy(&owners[i].base, &launch.parameters[kernel.parameters[i].offset],
           sizeof(uint64_t));
  driver().told += !owners.empty();
  launch.owners = std::move(owners);
  enqueue(*stream, [launch]() mutable {
    Driver &state = driver();
    DeviceMemory &memory = state.device.memory;
    findArguments(launch, memory);
    uint64_t before = state.device.reports;
    beginOwners(launch);
    if (!launch.aborted)
      emu::run(launch);
    if (state.device.reports == before)
      return;
    const std::string &what = state.device.lastReport;
    state.lost = what.find("misaligned") != what.npos ? MisalignedAddress
                 : what.find("outside") != what.npos  ? IllegalAddress
                                                      : LaunchFailed;
  });
  return Success;
}

/// NVIDIA's driver has no such function. Tells of the next launch of this
/// thread, a call for each of its pointers, how many bytes that has, and
/// whether it is `fresh`: what was written there before is another's.
EMU_API tenonNextPointer(uint64_t bytes, int fresh) {
  nextPointers.push_back({0, bytes, fresh != 0});
  return Success;
}

EMU_API cuLaunchKernelEx(const void *config, void *function, void **parameters,
                         void **extra) {
  struct Config {
    unsigned grid[3], block[3], shared;
    void *stream;
    void *attributes;
    unsigned count;
  };
  auto *c = static_cast<const Config *>(config);
  return cuLaunchKernel(function, c->grid[0], c->grid[1], c->grid[2],
                        c->block[0], c->block[1], c->block[2], c->shared,
                        c->stream, parameters, extra);
}

EMU_API cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *handle,
                                                    int threads,
                                                    size_t shared) {
  EMU_CALL();
  auto *function = static_cast<Function *>(handle);
  if (!driver().functions.count(function) || threads < 1)
    return InvalidHandle;
  uint64_t used = function->kernel->staticShared + shared + 1024;
  *blocks = std::min<uint64_t>(2048 / threads, (kMaxShared + 1024) / used);
  return Success;
}
