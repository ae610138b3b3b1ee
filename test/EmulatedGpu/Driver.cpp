//===- Driver.cpp - devices, contexts, memory, errors ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Driver.h"
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>

using namespace emu;

namespace {

thread_local int current = 0; // contexts of this thread, a stack of one kind

const char *setting(const char *name) { return getenv(name); }

const std::pair<CUresult, std::pair<const char *, const char *>> kErrors[] = {
    {0, {"CUDA_SUCCESS", "no error"}},
    {1, {"CUDA_ERROR_INVALID_VALUE", "invalid argument"}},
    {2, {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}},
    {3, {"CUDA_ERROR_NOT_INITIALIZED", "initialization error"}},
    {100, {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"}},
    {101, {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}},
    {200, {"CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"}},
    {201, {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"}},
    {209,
     {"CUDA_ERROR_NO_BINARY_FOR_GPU",
      "no kernel image is available for execution on the device"}},
    {214,
     {"CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"}},
    {218, {"CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"}},
    {222,
     {"CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
      "the provided PTX was compiled with an unsupported toolchain."}},
    {400, {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"}},
    {500, {"CUDA_ERROR_NOT_FOUND", "named symbol not found"}},
    {600, {"CUDA_ERROR_NOT_READY", "device not ready"}},
    {700,
     {"CUDA_ERROR_ILLEGAL_ADDRESS",
      "an illegal memory access was encountered"}},
    {701,
     {"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES",
      "too many resources requested for launch"}},
    {716, {"CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"}},
    {719, {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"}},
    {801, {"CUDA_ERROR_NOT_SUPPORTED", "operation not supported"}},
    {900,
     {"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
      "operation not permitted when stream is capturing"}},
    {901,
     {"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
      "operation failed due to a previous error during capture"}},
};

/// Errors after which a device answers nothing else.
bool isSticky(CUresult result) {
  return result == EccUncorrectable || (result >= 700 && result < 800) ||
         result == 999;
}

} // namespace

emu::Driver &emu::driver() {
  // Never destroyed: artifacts let go of it at exit, in any order.
  static auto *state = new Driver;
  return *state;
}

emu::Driver::Driver() {
  if (const char *sm = setting("TENON_EMU_SM"))
    device.sm = atoi(sm);
  if (const char *bytes = setting("TENON_EMU_MEMORY"))
    device.memory.limit = strtoull(bytes, nullptr, 0);
  if (const char *count = setting("TENON_EMU_MULTIPROCESSORS"))
    multiprocessors = atoi(count);
  if (const char *number = setting("TENON_EMU_DRIVER"))
    version = atoi(number);
  const char *seed = setting("TENON_EMU_SEED");
  device.rng.seed(seed ? atoi(seed) : 1);
  // cuMemAlloc:2:2,cuLaunchKernel:1:719
  std::string list = setting("TENON_EMU_FAIL") ? setting("TENON_EMU_FAIL") : "";
  for (size_t at = 0; at < list.size();) {
    size_t end = std::min(list.find(',', at), list.size());
    std::string item = list.substr(at, end - at);
    size_t first = item.find(':'), second = item.rfind(':');
    if (first != item.npos && first < second)
      failures.push_back({item.substr(0, first), atoi(item.c_str() + first + 1),
                          atoi(item.c_str() + second + 1)});
    at = end + 1;
  }
}

emu::Call::Call(const char *function, bool needsContext)
    : lock(driver().mutex) {
  Driver &state = driver();
  std::string name = function;
  if (name.ends_with("_v2"))
    name.resize(name.size() - 3);
  int count = ++state.calls[name];
  for (const Driver::Failure &failure : state.failures)
    if (failure.name == name && failure.call == count) {
      result = failure.result;
      if (isSticky(result))
        state.lost = result;
      return;
    }
  if (state.lost)
    result = state.lost;
  else if (!state.initialized && name != "cuInit" &&
           name != "cuDriverGetVersion")
    result = NotInitialized;
  else if (needsContext && (!current || !state.contexts))
    result = InvalidContext;
}

//===----------------------------------------------------------------------===//
// Devices and contexts
//===----------------------------------------------------------------------===//

EMU_API cuInit(unsigned flags) {
  EMU_CALL(false);
  if (flags)
    return InvalidValue;
  driver().initialized = true;
  return Success;
}

EMU_API cuDriverGetVersion(int *version) {
  EMU_CALL(false);
  *version = driver().version;
  return Success;
}

EMU_API cuDeviceGetCount(int *count) {
  EMU_CALL(false);
  *count = 1;
  return Success;
}

EMU_API cuDeviceGet(CUdevice *device, int ordinal) {
  EMU_CALL(false);
  if (ordinal != 0)
    return InvalidDevice;
  *device = 0;
  return Success;
}

EMU_API cuDeviceGetName(char *name, int length, CUdevice device) {
  EMU_CALL(false);
  if (device)
    return InvalidDevice;
  snprintf(name, length, "Tenon emulated GPU");
  return Success;
}

EMU_API cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  EMU_CALL(false);
  if (device)
    return InvalidDevice;
  *bytes = driver().device.memory.limit;
  return Success;
}

EMU_API cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
  EMU_CALL(false);
  if (device)
    return InvalidDevice;
  int sm = driver().device.sm;
  switch (attribute) {
  case 1: // threads of a block
  case 2:
  case 3:
    *value = 1024;
    break;
  case 4:
    *value = 64;
    break;
  case 5: // blocks
    *value = INT32_MAX;
    break;
  case 6:
  case 7:
    *value = 65535;
    break;
  case 8:
    *value = kDefaultShared;
    break;
  case 10:
    *value = kLanes;
    break;
  case 12: // registers of a block, of a multiprocessor
  case 82:
    *value = 65536;
    break;
  case 13:
    *value = 1980000;
    break;
  case 16:
    *value = driver().multiprocessors ? driver().multiprocessors
             : sm >= 90               ? 132
                                      : 108;
    break;
  case 38:
    *value = 50 << 20;
    break;
  case 39:
    *value = 2048;
    break;
  case 41:  // unified addresses
  case 115: // memory pools
    *value = 1;
    break;
  case 75:
    *value = sm / 10;
    break;
  case 76:
    *value = sm % 10;
    break;
  case 81:
    *value = kMaxShared + 1024;
    break;
  case 97:
    *value = kMaxShared;
    break;
  case 111:
    *value = 1024;
    break;
  default:
    *value = 0;
  }
  return Success;
}

EMU_API cuDevicePrimaryCtxRetain(void **context, CUdevice device) {
  EMU_CALL(false);
  if (device)
    return InvalidDevice;
  ++driver().contexts;
  *context = &driver();
  return Success;
}

EMU_API cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  EMU_CALL(false);
  if (device || !driver().contexts)
    return InvalidDevice;
  if (!--driver().contexts)
    drainAll();
  return Success;
}

EMU_API cuCtxSetCurrent(void *context) {
  EMU_CALL(false);
  if (context && context != &driver())
    return InvalidContext;
  current = context ? 1 : 0;
  return Success;
}

EMU_API cuCtxGetCurrent(void **context) {
  EMU_CALL(false);
  *context = current ? &driver() : nullptr;
  return Success;
}

EMU_API cuCtxPushCurrent_v2(void *context) {
  EMU_CALL(false);
  if (context != &driver())
    return InvalidContext;
  ++current;
  return Success;
}

EMU_API cuCtxPopCurrent_v2(void **context) {
  EMU_CALL(false);
  if (!current)
    return InvalidContext;
  --current;
  if (context)
    *context = &driver();
  return Success;
}

EMU_API cuCtxGetDevice(CUdevice *device) {
  EMU_CALL();
  *device = 0;
  return Success;
}

EMU_API cuCtxSynchronize() {
  EMU_CALL();
  drainAll();
  return driver().lost;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

EMU_API cuMemGetInfo_v2(size_t *available, size_t *total) {
  EMU_CALL();
  DeviceMemory &memory = driver().device.memory;
  *available = memory.limit - memory.used();
  *total = memory.limit;
  return Success;
}

EMU_API cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
  EMU_CALL();
  if (!bytes)
    return InvalidValue;
  *address = driver().device.memory.allocate(bytes);
  return *address ? Success : OutOfMemory;
}

EMU_API cuMemFree_v2(CUdeviceptr address) {
  EMU_CALL();
  drainAll(); // as the driver does
  if (!address || driver().device.memory.release(address))
    return driver().lost;
  return InvalidValue;
}

EMU_API cuMemAllocHost_v2(void **memory, size_t bytes) {
  EMU_CALL();
  *memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (!*memory)
    return OutOfMemory;
  driver().pinned[reinterpret_cast<uint64_t>(*memory)] = bytes;
  return Success;
}

EMU_API cuMemHostAlloc(void **memory, size_t bytes, unsigned) {
  return cuMemAllocHost_v2(memory, bytes);
}

EMU_API cuMemFreeHost(void *memory) {
  EMU_CALL();
  drainAll();
  if (!driver().pinned.erase(reinterpret_cast<uint64_t>(memory)))
    return InvalidValue;
  free(memory);
  return Success;
}

/// What kind of memory an address is: 2 is the device's.
EMU_API cuPointerGetAttribute(void *data, int attribute, CUdeviceptr address) {
  EMU_CALL();
  Allocation *memory = driver().device.memory.find(address);
  if (!memory)
    return InvalidValue;
  switch (attribute) {
  case 2: // memory type
    *static_cast<unsigned *>(data) = 2;
    return Success;
  case 3: // device pointer
    *static_cast<CUdeviceptr *>(data) = address;
    return Success;
  case 9: // device ordinal
    *static_cast<int *>(data) = 0;
    return Success;
  }
  return InvalidValue;
}

//===----------------------------------------------------------------------===//
// Errors and symbols
//===----------------------------------------------------------------------===//

EMU_API cuGetErrorString(CUresult error, const char **text) {
  for (auto &[code, texts] : kErrors)
    if (code == error) {
      *text = texts.second;
      return Success;
    }
  *text = nullptr;
  return InvalidValue;
}

EMU_API cuGetErrorName(CUresult error, const char **text) {
  for (auto &[code, texts] : kErrors)
    if (code == error) {
      *text = texts.first;
      return Success;
    }
  *text = nullptr;
  return InvalidValue;
}

EMU_API cuGetProcAddress_v2(const char *symbol, void **function, int, uint64_t,
                            int *status) {
  Dl_info info;
  dladdr(reinterpret_cast<void *>(&cuInit), &info);
  void *self = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  for (const char *suffix : {"_v2", ""})
    if ((*function = dlsym(self, (std::string(symbol) + suffix).c_str()))) {
      if (status)
        *status = 0;
      return Success;
    }
  if (status)
    *status = 1;
  return NotFound;
}

//===----------------------------------------------------------------------===//
// For tests
//===----------------------------------------------------------------------===//

/// How many reports there were, and the first ones.
extern "C" __attribute__((visibility("default"))) uint64_t
tenonEmuReports(const char **texts) {
  std::unique_lock lock(driver().mutex);
  if (texts)
    *texts = driver().device.reportTexts.c_str();
  return driver().device.reports;
}

/// The mnemonics that have a rule, apart by spaces.
extern "C" __attribute__((visibility("default"))) const char *
tenonEmuMnemonics() {
  static const auto *all = new std::string([] {
    std::string names;
    for (auto rules : allRules())
      for (const Mnemonic &rule : rules)
        names += std::string(rule.name) + ' ';
    return names;
  }());
  return all->c_str();
}

/// Forgets what went wrong, so that one process can look at many faults; says
/// nothing of faults to come where `quiet`.
extern "C" __attribute__((visibility("default"))) void
tenonEmuReset(unsigned seed, int quiet) {
  std::unique_lock lock(driver().mutex);
  Driver &state = driver();
  state.lost = Success;
  state.device.reports = 0;
  state.device.lastReport.clear();
  state.device.reportTexts.clear();
  state.device.rng.seed(seed);
  state.device.quiet = quiet;
}

/// What a process did, where TENON_EMU_STATS is set.
__attribute__((destructor)) static void sayStatistics() {
  if (!setting("TENON_EMU_STATS"))
    return;
  Device &device = driver().device;
  fprintf(
      stderr,
      "emulated GPU: %llu launches, %llu told of their buffers, %llu "
      "instructions of warps, %llu accesses, %llu reports, %llu allocations "
      "left\n",
      (unsigned long long)device.launches, (unsigned long long)driver().told,
      (unsigned long long)device.instructions,
      (unsigned long long)device.accesses, (unsigned long long)device.reports,
      (unsigned long long)device.memory.allocations());
}
