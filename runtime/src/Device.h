//===- Device.h - what runs steps elsewhere than on the CPU -----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A context on a device has the device's program (abi.h: tenon_gpu) and its
// workspace there; dims, checks, plans and controls are the same as a CPU's.
// The driver is an object of its own, which only artifacts with GPU code hold.
//
// The host has none. Of what a driver does it needs three things, and has them
// at hand: the caller's allocator, Steps.cpp, and memory that it can look at.
// Behind the same struct it would be a table of empty functions, and its steps
// would lose sight of the pool.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_RUNTIME_DEVICE_H
#define TENON_RUNTIME_DEVICE_H

#include "Text.h"
#include "tenon/abi.h"

namespace tenon::rt {

struct Context;
struct Device; // the driver's state of one context

struct DeviceInfo {
  const char *name;  // "NVIDIA H200"
  const char *image; // "sm_90a"
};

struct DeviceDriver {
  /// Takes a device for a context: kernels and weights are brought there once
  /// for all of them. `image` may be null: the best that fits; `stream` too: a
  /// queue of its own.
  tenon_status (*open)(const tenon_gpu &gpu, int32_t ordinal, const char *image,
                       void *stream, const uint8_t *weights, Device **device,
                       tenon_error *error);
  void (*close)(Device *device);
  DeviceInfo (*info)(const Device *device);
  /// Memory for the workspace.
  tenon_status (*allocate)(Device *device, uint64_t bytes, void **memory,
                           tenon_error *error);
  void (*release)(Device *device, void *memory);
  /// Waits until memory is zeros.
  tenon_status (*clear)(Device *device, void *memory, uint64_t bytes,
                        tenon_error *error);
  /// Is it this device's memory, or another's that it can reach? `what` and
  /// `name` are the port's.
  tenon_status (*checkMemory)(const Device *device, const char *what,
                              const char *name, const void *data,
                              tenon_error *error);
  /// Dims or bindings are others: gives the table of pointers its ports and
  /// weights.
  tenon_status (*prepare)(Context &context, tenon_error *error);
  /// Brings the inputs there.
  tenon_status (*begin)(Context &context, tenon_error *error);
  /// Queues steps [first, end), which are filled in.
  tenon_status (*runSteps)(Context &context, int32_t first, int32_t end,
                           tenon_error *error);
  /// Waits, and brings the outputs back.
  tenon_status (*end)(Context &context, tenon_error *error);
  /// Waits; the first bytes of a buffer until the next call.
  tenon_status (*view)(Context &context, int32_t buffer, uint64_t bytes,
                       const void **data, tenon_error *error);
  /// Queues writing from the host, whose memory is free at once.
  tenon_status (*write)(Context &context, void *to, const void *from,
                        uint64_t bytes, tenon_error *error);
  /// Waits, and brings bytes to the host.
  tenon_status (*read)(Context &context, void *to, const void *from,
                       uint64_t bytes, tenon_error *error);
  /// Queues copying from the device to itself.
  tenon_status (*copy)(Context &context, void *to, const void *from,
                       uint64_t bytes, tenon_error *error);
  /// A value of the run before, until the next one.
  tenon_status (*value)(Context &context, int32_t buffer, const void **data,
                        tenon_error *error);
};

} // namespace tenon::rt

extern "C" {
/// Of NVIDIA's GPUs.
extern const tenon::rt::DeviceDriver tenon_cuda_driver;
}

#endif // TENON_RUNTIME_DEVICE_H
