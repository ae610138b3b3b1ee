//===- DriverStreams.cpp - streams, events, graphs, copies ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Work is done when somebody waits for it, the latest moment that is legal:
// who does not wait finds old values.
//
//===----------------------------------------------------------------------===//
#include "Driver.h"
#include <algorithm>

using namespace emu;

Stream *emu::streamOf(void *handle) {
  // Null, CU_STREAM_LEGACY, CU_STREAM_PER_THREAD.
  if (reinterpret_cast<uintptr_t>(handle) <= 2)
    return &driver().legacy;
  auto *stream = static_cast<Stream *>(handle);
  return driver().streams.count(stream) ? stream : nullptr;
}

void emu::drain(Stream &stream) {
  if (&stream == &driver().legacy) {
    for (Stream *other : driver().streams)
      if (other->blocking && !other->queue.empty())
        drain(*other);
  } else if (stream.blocking && !driver().legacy.queue.empty()) {
    // What waits there came first, or no later than what is asked for.
    drain(driver().legacy);
  }
  while (!stream.queue.empty()) {
    Work work = std::move(stream.queue.front());
    stream.queue.pop_front();
    if (!driver().lost)
      work();
  }
}

void emu::drainAll() {
  for (Stream *stream : driver().streams)
    drain(*stream);
  drain(driver().legacy);
}

void emu::enqueue(Stream &stream, Work work) {
  if (stream.capture)
    stream.capture->work.push_back(std::move(work));
  else
    stream.queue.push_back(std::move(work));
}

bool emu::breaksCapture(Stream &stream) {
  if (!stream.capture)
    return false;
  stream.invalid = true;
  return true;
}

namespace {

/// A range of device memory; null, and a report, where there is none.
Allocation *range(uint64_t at, size_t bytes, const char *what) {
  Device &device = driver().device;
  Allocation *memory = device.memory.find(at, bytes);
  if (!memory) {
    report(device, format("%s: %zu bytes at %#llx are not in one allocation",
                          what, bytes, (unsigned long long)at));
    driver().lost = IllegalAddress;
  }
  return memory;
}

void writeDevice(uint64_t to, const void *from, size_t bytes) {
  if (Allocation *memory = range(to, bytes, "copy to the device")) {
    memcpy(memory->data + (to - memory->base), from, bytes);
    memory->defined.set(to - memory->base, bytes);
  }
}

void readDevice(void *to, uint64_t from, size_t bytes) {
  Allocation *memory = range(from, bytes, "copy from the device");
  if (!memory)
    return;
  uint64_t offset = from - memory->base;
  if (!memory->defined.all(offset, bytes)) {
    report(driver().device,
           format("copy from the device: among the %zu bytes at offset %llu "
                  "are some that were never written",
                  bytes, (unsigned long long)offset));
    driver().lost = LaunchFailed;
  }
  memcpy(to, memory->data + offset, bytes);
}

void copyDevice(uint64_t to, uint64_t from, size_t bytes) {
  Allocation *source = range(from, bytes, "copy on the device");
  Allocation *target = range(to, bytes, "copy on the device");
  if (!source || !target)
    return;
  uint64_t offset = from - source->base;
  bool known = source->defined.all(offset, bytes);
  memmove(target->data + (to - target->base), source->data + offset, bytes);
  if (known)
    target->defined.set(to - target->base, bytes);
  else
    for (size_t byte = 0; byte < bytes; ++byte)
      target->defined.set(to - target->base + byte, 1,
                          source->defined.all(offset + byte, 1));
}

void fillDevice(uint64_t to, uint32_t value, size_t size, size_t count) {
  Allocation *memory = range(to, size * count, "fill");
  if (!memory)
    return;
  uint8_t *data = memory->data + (to - memory->base);
  for (size_t i = 0; i < count; ++i)
    memcpy(data + i * size, &value, size);
  memory->defined.set(to - memory->base, size * count);
}

bool isPinned(const void *memory, size_t bytes) {
  uint64_t at = reinterpret_cast<uint64_t>(memory);
  auto it = driver().pinned.upper_bound(at);
  if (it == driver().pinned.begin())
    return false;
  --it;
  return at + bytes <= it->first + it->second;
}

/// Enqueues `work` for a stream's handle.
CUresult put(void *handle, Work work) {
  Stream *stream = streamOf(handle);
  if (!stream)
    return InvalidHandle;
  enqueue(*stream, std::move(work));
  return Success;
}

/// Work of the legacy stream that is waited for.
CUresult now(Work work) {
  if (breaksCapture(driver().legacy))
    return CaptureUnsupported;
  enqueue(driver().legacy, std::move(work));
  drain(driver().legacy);
  return driver().lost;
}

bool isDevice(uint64_t at) { return at >> 48 == 0x00d0; }

} // namespace

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

EMU_API cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) {
  EMU_CALL();
  return now([=] { writeDevice(to, from, bytes); });
}

EMU_API cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) {
  EMU_CALL();
  return now([=] { readDevice(to, from, bytes); });
}

EMU_API cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  EMU_CALL();
  return now([=] { copyDevice(to, from, bytes); });
}

EMU_API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes,
                             void *handle) {
  EMU_CALL();
  Stream *stream = streamOf(handle);
  if (!stream)
    return InvalidHandle;
  if (stream->capture || isPinned(from, bytes)) {
    enqueue(*stream, [=] { writeDevice(to, from, bytes); });
    return Success;
  }
  // Pageable memory is free again when the call returns.
  auto *begin = static_cast<const uint8_t *>(from);
  std::vector<uint8_t> copy(begin, begin + bytes);
  enqueue(*stream, [to, copy = std::move(copy)] {
    writeDevice(to, copy.data(), copy.size());
  });
  return Success;
}

EMU_API cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes,
                             void *handle) {
  EMU_CALL();
  return put(handle, [=] { readDevice(to, from, bytes); });
}

EMU_API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes,
                             void *handle) {
  EMU_CALL();
  return put(handle, [=] { copyDevice(to, from, bytes); });
}

EMU_API cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes,
                      void *handle) {
  if (isDevice(to) && isDevice(from))
    return cuMemcpyDtoDAsync_v2(to, from, bytes, handle);
  if (isDevice(to))
    return cuMemcpyHtoDAsync_v2(to, reinterpret_cast<void *>(from), bytes,
                                handle);
  return cuMemcpyDtoHAsync_v2(reinterpret_cast<void *>(to), from, bytes,
                              handle);
}

EMU_API cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t count) {
  EMU_CALL();
  return now([=] { fillDevice(to, value, 1, count); });
}

EMU_API cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t count) {
  EMU_CALL();
  return now([=] { fillDevice(to, value, 4, count); });
}

EMU_API cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count,
                        void *stream) {
  EMU_CALL();
  return put(stream, [=] { fillDevice(to, value, 1, count); });
}

EMU_API cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t count,
                         void *stream) {
  EMU_CALL();
  return put(stream, [=] { fillDevice(to, value, 4, count); });
}

//===----------------------------------------------------------------------===//
// Streams and events
//===----------------------------------------------------------------------===//

EMU_API cuStreamCreate(void **handle, unsigned flags) {
  EMU_CALL();
  if (flags > 1)
    return InvalidValue;
  auto *stream = new Stream;
  stream->blocking = !flags;
  driver().streams.insert(stream);
  *handle = stream;
  return Success;
}

EMU_API cuStreamCreateWithPriority(void **handle, unsigned flags, int) {
  return cuStreamCreate(handle, flags);
}

EMU_API cuStreamDestroy_v2(void *handle) {
  EMU_CALL();
  Stream *stream = streamOf(handle);
  if (!stream || stream == &driver().legacy)
    return InvalidHandle;
  drain(*stream); // the driver lets it finish
  for (Event *event : driver().events)
    if (event->stream == stream)
      event->stream = nullptr;
  driver().streams.erase(stream);
  delete stream;
  return driver().lost;
}

EMU_API cuStreamSynchronize(void *handle) {
  EMU_CALL();
  Stream *stream = streamOf(handle);
  if (!stream)
    return InvalidHandle;
  if (breaksCapture(*stream))
    return CaptureUnsupported;
  drain(*stream);
  return driver().lost;
}

/// Does one piece of work a call: who polls gets there.
EMU_API cuStreamQuery(void *handle) {
  EMU_CALL();
  Stream *stream = streamOf(handle);
  if (!stream)
    return InvalidHandle;
  if (breaksCapture(*stream))
    return CaptureUnsupported;
  if (stream->queue.empty())
    return Success;
  Work work = std::move(stream->queue.front());
  stream->queue.pop_front();
  work();
  return driver().lost ? driver().lost : CUresult(NotReady);
}

EMU_API cuEventCreate(void **handle, unsigned) {
  EMU_CALL();
  auto *event = new Event;
  driver().events.insert(event);
  *handle = event;
  return Success;
}

EMU_API cuEventDestroy_v2(void *handle) {
  EMU_CALL();
  auto *event = static_cast<Event *>(handle);
  if (!driver().events.erase(event))
    return InvalidHandle;
  if (event->stream)
    drain(*event->stream);
  delete event;
  return Success;
}

EMU_API cuEventRecord(void *handle, void *onto) {
  EMU_CALL();
  auto *event = static_cast<Event *>(handle);
  Stream *stream = streamOf(onto);
  if (!stream || !driver().events.count(event))
    return InvalidHandle;
  if (stream->capture) // inside a graph order is all there is
    return Success;
  event->stream = stream;
  uint64_t number = ++event->recorded;
  enqueue(*stream, [=] { event->reached = std::max(event->reached, number); });
  return Success;
}

static void drainUntil(Event &event, uint64_t number) {
  while (event.stream && event.reached < number &&
         !event.stream->queue.empty() && !driver().lost) {
    Work work = std::move(event.stream->queue.front());
    event.stream->queue.pop_front();
    work();
  }
}

EMU_API cuStreamWaitEvent(void *handle, void *on, unsigned) {
  EMU_CALL();
  auto *event = static_cast<Event *>(on);
  Stream *stream = streamOf(handle);
  if (!stream || !driver().events.count(event))
    return InvalidHandle;
  uint64_t number = event->recorded;
  if (!stream->capture)
    enqueue(*stream, [=] {
      if (driver().events.count(event)) // one that is destroyed is reached
        drainUntil(*event, number);
    });
  return Success;
}

EMU_API cuEventSynchronize(void *handle) {
  EMU_CALL();
  auto *event = static_cast<Event *>(handle);
  if (!driver().events.count(event))
    return InvalidHandle;
  drainUntil(*event, event->recorded);
  return driver().lost;
}

EMU_API cuEventQuery(void *handle) {
  EMU_CALL();
  auto *event = static_cast<Event *>(handle);
  if (!driver().events.count(event))
    return InvalidHandle;
  if (event->reached == event->recorded)
    return Success;
  drainUntil(*event, event->recorded);
  return driver().lost ? driver().lost : CUresult(NotReady);
}

/// Times say nothing here.
EMU_API cuEventElapsedTime(float *milliseconds, void *, void *) {
  EMU_CALL();
  *milliseconds = 0;
  return Success;
}

//===----------------------------------------------------------------------===//
// Graphs
//===----------------------------------------------------------------------===//

EMU_API cuStreamBeginCapture_v2(void *handle, int) {
  EMU_CALL();
  Stream *stream = streamOf(handle);
  if (!stream || stream == &driver().legacy || stream->capture)
    return stream ? InvalidValue : InvalidHandle;
  stream->capture = new Graph;
  stream->invalid = false;
  return Success;
}

EMU_API cuStreamEndCapture(void *handle, void **result) {
  EMU_CALL();
  Stream *stream = streamOf(handle);
  *result = nullptr;
  if (!stream || !stream->capture)
    return stream ? InvalidValue : InvalidHandle;
  Graph *graph = stream->capture;
  stream->capture = nullptr;
  if (stream->invalid) {
    delete graph;
    return CaptureInvalidated;
  }
  driver().graphs.insert(graph);
  *result = graph;
  return Success;
}

EMU_API cuStreamIsCapturing(void *handle, int *status) {
  EMU_CALL();
  Stream *stream = streamOf(handle);
  if (!stream)
    return InvalidHandle;
  *status = !stream->capture ? 0 : stream->invalid ? 2 : 1;
  return Success;
}

EMU_API cuGraphGetNodes(void *handle, void **nodes, size_t *count) {
  EMU_CALL();
  auto *graph = static_cast<Graph *>(handle);
  if (!driver().graphs.count(graph) || nodes)
    return nodes ? InvalidValue : InvalidHandle;
  *count = graph->work.size();
  return Success;
}

EMU_API cuGraphInstantiateWithFlags(void **executable, void *handle,
                                    unsigned long long) {
  EMU_CALL();
  auto *graph = static_cast<Graph *>(handle);
  if (!driver().graphs.count(graph))
    return InvalidHandle;
  auto *copy = new Graph(*graph);
  driver().executables.insert(copy);
  *executable = copy;
  return Success;
}

EMU_API cuGraphLaunch(void *handle, void *stream) {
  EMU_CALL();
  auto *graph = static_cast<Graph *>(handle);
  if (!driver().executables.count(graph))
    return InvalidHandle;
  return put(stream, [work = graph->work] {
    for (const Work &item : work)
      if (!driver().lost)
        item();
  });
}

EMU_API cuGraphDestroy(void *handle) {
  EMU_CALL();
  auto *graph = static_cast<Graph *>(handle);
  if (!driver().graphs.erase(graph))
    return InvalidHandle;
  delete graph;
  return Success;
}

EMU_API cuGraphExecDestroy(void *handle) {
  EMU_CALL();
  auto *graph = static_cast<Graph *>(handle);
  if (!driver().executables.erase(graph))
    return InvalidHandle;
  delete graph;
  return Success;
}
