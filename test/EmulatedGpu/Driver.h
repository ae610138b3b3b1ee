//===- Driver.h - the state behind the driver API ---------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Own declarations of what the CUDA driver exports: no header of CUDA is
// needed to build this.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TEST_EMULATEDGPU_DRIVER_H
#define TENON_TEST_EMULATEDGPU_DRIVER_H

#include "Decoder.h"
#include <functional>
#include <mutex>
#include <set>

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = uint64_t;

/// What an exported function is declared as.
#define EMU_API extern "C" __attribute__((visibility("default"))) CUresult

namespace emu {

enum Result : CUresult {
  Success = 0,
  InvalidValue = 1,
  OutOfMemory = 2,
  NotInitialized = 3,
  NoDevice = 100,
  InvalidDevice = 101,
  InvalidImage = 200,
  InvalidContext = 201,
  NoBinaryForGpu = 209,
  EccUncorrectable = 214,
  InvalidPtx = 218,
  UnsupportedPtxVersion = 222,
  InvalidHandle = 400,
  NotFound = 500,
  NotReady = 600,
  IllegalAddress = 700,
  LaunchOutOfResources = 701,
  MisalignedAddress = 716,
  LaunchFailed = 719,
  NotSupported = 801,
  CaptureUnsupported = 900,
  CaptureInvalidated = 901,
};

using Work = std::function<void()>;

struct Graph {
  std::vector<Work> work;
};

struct Stream {
  bool blocking = true; // waits for the legacy stream, and that for it
  std::deque<Work> queue;
  Graph *capture = nullptr;
  bool invalid = false; // its capture
};

struct Event {
  Stream *stream = nullptr; // where it was recorded last
  uint64_t recorded = 0, reached = 0;
};

struct Function {
  const Module *module;
  const Kernel *kernel;
  uint32_t mostDynamic;
};

struct LoadedModule {
  Module module;
  std::map<std::string, std::unique_ptr<Function>> functions;
};

struct Driver {
  Driver();
  std::recursive_mutex mutex;
  Device device;
  bool initialized = false;
  int version = 13000;
  int multiprocessors = 0; // 0: as many as one of its kind has
  int contexts = 0;        // how often the primary one was retained
  CUresult lost = Success; // what every call returns from now on
  std::set<LoadedModule *> modules;
  std::set<Function *> functions;
  std::set<Stream *> streams;
  std::set<Event *> events;
  std::set<Graph *> graphs, executables;
  std::map<uint64_t, uint64_t> pinned; // host memory
  Stream legacy;
  uint64_t told = 0; // launches that were told of their buffers
  /// What TENON_EMU_FAIL asks for: the n-th call of a function fails.
  struct Failure {
    std::string name;
    int call;
    CUresult result;
  };
  std::vector<Failure> failures;
  std::map<std::string, int> calls;
};

Driver &driver();

/// Guards a call: one at a time, failures that were asked for, a lost device,
/// a missing context.
class Call {
public:
  explicit Call(const char *name, bool needsContext = true);
  CUresult result = Success;

private:
  std::unique_lock<std::recursive_mutex> lock;
};

/// The stream of a handle; null for one that is none.
Stream *streamOf(void *handle);
/// Puts work behind what a stream has, or into the graph that it captures.
void enqueue(Stream &stream, Work work);
/// Does what a stream, or every stream, has to do.
void drain(Stream &stream);
void drainAll();
/// A call that would wait while a stream captures ends the capture.
bool breaksCapture(Stream &stream);

} // namespace emu

#define EMU_CALL(...)                                                          \
  emu::Call call(__func__ __VA_OPT__(, ) __VA_ARGS__);                         \
  if (call.result)                                                             \
  return call.result

#endif // TENON_TEST_EMULATEDGPU_DRIVER_H
