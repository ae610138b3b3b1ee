//===- Session.cpp - a context's runs on a GPU ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A run is one queue: inputs down, a launch per step, outputs up. It waits at
// the end, where a number must be read, and before and after a step that the
// host computes, on copies of its tensors.
//
// Each step has an error record of its own, so that the first step that failed
// is known, whatever ran after it: an index out of range is taken for 0 there.
//
//===----------------------------------------------------------------------===//
#include "../Context.h"
#include "../Device.h"
#include "Model.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

using namespace tenon::rt;
using namespace tenon::rt::cuda;

namespace {

/// What the driver promises of its own memory, and vectors need.
constexpr uint64_t kPortAlignment = 256;
/// What kernels load and store at once.
constexpr uint64_t kVector = 16;

uint64_t alignPort(uint64_t bytes) {
  return (bytes + kPortAlignment - 1) & ~(kPortAlignment - 1);
}

/// Memory that grows.
struct HostMemory {
  uint8_t *data;
  uint64_t bytes;
};

Pointer addressOf(const void *pointer) {
  return reinterpret_cast<uintptr_t>(pointer);
}
uint8_t *pointerTo(Pointer address) {
  return reinterpret_cast<uint8_t *>(uintptr_t(address));
}

} // namespace

struct tenon::rt::Device {
  Model *model;
  StreamHandle stream;
  bool ownsStream; // else the caller's
  // The scratch memory that was cleared: of a vector that is loaded at once a
  // part may never be written, and who checks memory need not know better.
  Pointer cleared;
  uint64_t clearedBytes;
  Pointer ports; // the inputs' and outputs' memory
  uint64_t portBytes;
  Pointer records;         // an error record per step
  tenon_gpu_error *failed; // the same on the host
  // Arguments of the largest launch: their addresses, then their values.
  void **arguments;
  uint64_t *values;
  TensorMap *maps;    // of the launch that has most
  HostMemory staging; // of a step on the host, and of numbers that are read
  HostMemory mirror;  // of the workspace, for values
  // The launches of a run as they were at the second one with the same plan and
  // bindings: one launch from then on.
  GraphExecHandle graph;
  int32_t runs;  // since that
  bool launches; // a run is launches alone, on one queue
};

namespace {

const Library &libraryOf(const Device &device) {
  return *device.model->library;
}

tenon_status grow(HostMemory &memory, uint64_t bytes, tenon_error *error) {
  if (bytes <= memory.bytes)
    return TENON_OK;
  free(memory.data);
  memory = {static_cast<uint8_t *>(malloc(bytes)), bytes};
  if (memory.data)
    return TENON_OK;
  memory.bytes = 0;
  return fail(error, TENON_OUT_OF_MEMORY, "out of memory: ", bytes,
              " bytes for copies of a GPU's tensors");
}

/// Bytes of a port's tensor, at most what the caller has for it.
uint64_t portBytes(const Context &context, const tenon_port &port,
                   const Binding &binding) {
  int64_t elements = 1;
  for (int32_t d = 0; d < port.rank; ++d)
    elements *= context.slots[port.dims[d]]; // checked before
  int64_t bytes = bytesOf(elements, port.dtype);
  return bytes < 0 || uint64_t(bytes) > binding.bytes ? binding.bytes
                                                      : uint64_t(bytes);
}

uint64_t bytesOfBuffer(const Context &context, int32_t number) {
  const tenon_buffer &buffer = context.program->buffers[number];
  int64_t bytes = bytesOf(context.slots[buffer.elements], buffer.dtype);
  return bytes > 0 ? uint64_t(bytes) : 0;
}

//===----------------------------------------------------------------------===//
// The queue
//===----------------------------------------------------------------------===//

tenon_status wait(const Device &device, const char *what, tenon_error *error) {
  const Library &cuda = libraryOf(device);
  return check(cuda, cuda.cuStreamSynchronize(device.stream), what, error);
}

tenon_status put(const Device &device, Pointer to, const void *from,
                 uint64_t bytes, tenon_error *error) {
  const Library &cuda = libraryOf(device);
  if (!bytes)
    return TENON_OK;
  return check(cuda, cuda.cuMemcpyHtoDAsync_v2(to, from, bytes, device.stream),
               "copying to the GPU", error);
}

tenon_status get(const Device &device, void *to, Pointer from, uint64_t bytes,
                 tenon_error *error) {
  const Library &cuda = libraryOf(device);
  if (!bytes)
    return TENON_OK;
  return check(cuda, cuda.cuMemcpyDtoHAsync_v2(to, from, bytes, device.stream),
               "copying from the GPU", error);
}

/// Waits, and reports the first step that met a wrong index.
tenon_status finish(Context &context, tenon_error *error) {
  const tenon_program &program = *context.program;
  Device &device = *context.device;
  if (tenon_status status =
          get(device, device.failed, device.records,
              uint64_t(program.num_steps) * sizeof *device.failed, error))
    return status;
  if (tenon_status status = wait(device, "running on the GPU", error))
    return status;
  for (int32_t s = 0; s < program.num_steps; ++s) {
    const tenon_gpu_error &record = device.failed[s];
    if (record.code)
      return failStep(program.steps[s], int32_t(record.code), record.value,
                      record.limit, error);
  }
  return TENON_OK;
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

/// A kernel's numbers have 32 bits.
tenon_status checkNumbers(const Context &context, int32_t number,
                          tenon_error *error) {
  const tenon_step &step = context.program->steps[number];
  const StepState &state = context.steps[number];
  int64_t largest = state.tasks;
  for (int32_t i = 0; i < step.num_dims; ++i) {
    int64_t value = state.dims[i];
    int64_t magnitude = value < 0 ? -(value + 1) : value;
    largest = magnitude > largest ? magnitude : largest;
  }
  for (int32_t i = 0; i < step.num_buffers; ++i) {
    int32_t slot = context.program->buffers[step.buffers[i]].elements;
    if (slot >= 0 && context.slots[slot] > largest)
      largest = context.slots[slot];
  }
  if (largest <= INT32_MAX)
    return TENON_OK;
  return fail(error, TENON_INVALID_TENSOR, "the inputs' dims are too large: '",
              step.nodes, "' counts up to ", largest,
              ", a GPU's kernels to 2147483647");
}

/// The maps that the image takes of a step; there are none for older GPUs.
tenon_gpu_maps mapsOf(const Device &device, const tenon_step &step) {
  const tenon_gpu &gpu = *device.model->gpu;
  return device.model->image->capability < TENON_GPU_MAPS
             ? tenon_gpu_maps{nullptr, 0}
             : gpu.maps[step.kernel];
}

/// Where a tensor lies in this run is in its map.
tenon_status encode(const Device &device, const tenon_step &step,
                    const StepState &state, const tenon_gpu_map &map,
                    TensorMap &result, tenon_error *error) {
  constexpr unsigned rank = 3;
  const Library &cuda = libraryOf(device);
  uint64_t dims[rank], strides[rank];
  unsigned box[rank], each[rank] = {1, 1, 1};
  uint64_t stride = uint64_t(map.bytes);
  for (unsigned d = 0; d < rank; ++d) {
    int64_t dim = map.dims[d] < 0 ? state.dims[-1 - map.dims[d]] : map.dims[d];
    dims[d] = uint64_t(dim);
    box[d] = unsigned(map.box[d]);
    strides[d] = stride *= dims[d]; // from one of the next dim to another
  }
  return check(cuda,
               cuda.cuTensorMapEncodeTiled(
                   &result, map.bytes == 2 ? kUnsigned16 : kUnsigned32, rank,
                   state.buffers[map.buffer], dims, strides, box, each,
                   /*interleave=*/0, kSwizzle128, kLines256, /*fill=*/0),
               step.name, error);
}

/// From `at` to the end of the state that lies there, of which a run's dims do
/// not say how large it is; 0: none does.
uint64_t bytesOfState(const Context &context, const void *at) {
  auto offset =
      uint64_t(static_cast<const uint8_t *>(at) - context.deviceState);
  return context.deviceState && offset < context.deviceStateBytes
             ? context.deviceStateBytes - offset
             : 0;
}

/// Is it the result of the step, in memory that was another buffer's before? A
/// state's outlive a run.
bool isFirstUse(const Context &context, const tenon_step &step, int32_t number,
                int32_t argument) {
  const tenon_buffer &buffer = context.program->buffers[step.buffers[argument]];
  return argument + 1 == step.num_buffers && buffer.first == number &&
         buffer.kind == TENON_BUFFER_ARENA && !context.state;
}

tenon_status launch(Context &context, int32_t number, tenon_error *error) {
  Device &device = *context.device;
  const Library &cuda = libraryOf(device);
  const tenon_step &step = context.program->steps[number];
  const StepState &state = context.steps[number];
  const tenon_gpu_kernel &kernel = device.model->gpu->kernels[step.kernel];
  int32_t count = 0;
  auto add = [&](uint64_t value) {
    device.values[count] = value; // little-endian: 32 bits lie first
    device.arguments[count] = &device.values[count];
    ++count;
  };
  auto addPointer = [&](Pointer pointer, uint64_t bytes, bool fresh = false) {
    add(pointer);
    if (cuda.tenonNextPointer)
      cuda.tenonNextPointer(bytes, fresh);
  };
  for (int32_t i = 0; i < step.num_buffers; ++i) {
    uint64_t cache = bytesOfState(context, state.buffers[i]);
    addPointer(addressOf(state.buffers[i]),
               cache ? cache : bytesOfBuffer(context, step.buffers[i]),
               isFirstUse(context, step, number, i));
  }
  addPointer(device.records + uint64_t(number) * sizeof(tenon_gpu_error),
             sizeof(tenon_gpu_error));
  int64_t scratch = step.scratch < 0 ? 0 : context.slots[step.scratch];
  addPointer(addressOf(context.threadStates[0].task.scratch),
             uint64_t(scratch > 0 ? scratch : 0));
  for (int32_t i = 0; i < step.num_dims; ++i)
    add(uint64_t(state.dims[i]));
  add(uint64_t(state.tasks));
  tenon_gpu_maps maps = mapsOf(device, step);
  for (int64_t i = 0; i < maps.count; ++i) {
    if (tenon_status status =
            encode(device, step, state, maps.maps[i], device.maps[i], error))
      return status;
    device.arguments[count++] = &device.maps[i];
  }
  int64_t blocks = kernel.block
                       ? state.tasks
                       : (state.tasks + kernel.threads - 1) / kernel.threads;
  if (int64_t most = device.model->most[step.kernel]; most && blocks > most)
    blocks = most;
  return check(cuda,
               cuda.cuLaunchKernel(
                   device.model->functions[step.kernel], unsigned(blocks), 1, 1,
                   unsigned(kernel.threads), 1, 1, unsigned(kernel.shared),
                   device.stream, device.arguments, nullptr),
               step.name, error);
}

/// Runs a step of the runtime's kernels on copies of its tensors. It has one
/// result, the last.
tenon_status runOnHost(Context &context, int32_t number, tenon_error *error) {
  Device &device = *context.device;
  const tenon_step &step = context.program->steps[number];
  const StepState &state = context.steps[number];
  int64_t scratch = context.slots[step.scratch];
  uint64_t bytes = alignUp(uint64_t(scratch > 0 ? scratch : 0));
  for (int32_t i = 0; i < step.num_buffers; ++i)
    bytes += alignUp(bytesOfBuffer(context, step.buffers[i]));
  tenon_status status =
      grow(device.staging, bytes + uint64_t(step.num_buffers) * sizeof(void *),
           error);
  if (status)
    return status;
  auto **copies = reinterpret_cast<void **>(device.staging.data + bytes);
  uint8_t *at = device.staging.data;
  for (int32_t i = 0; i < step.num_buffers; ++i) {
    copies[i] = at;
    uint64_t size = bytesOfBuffer(context, step.buffers[i]);
    if (i + 1 < step.num_buffers)
      if ((status = get(device, at, addressOf(state.buffers[i]), size, error)))
        return status;
    at += alignUp(size);
  }
  if ((status = wait(device, "running on the GPU", error)))
    return status;
  tenon_task task = {at, 0, 0};
  const tenon_gpu_kernel &kernel = device.model->gpu->kernels[step.kernel];
  int32_t code = kernel.host(copies, state.dims, 0, state.tasks, &task);
  if (code)
    return failStep(step, code, task.error_value, task.error_limit, error);
  int32_t last = step.num_buffers - 1;
  if ((status = put(device, addressOf(state.buffers[last]), copies[last],
                    bytesOfBuffer(context, step.buffers[last]), error)))
    return status;
  return wait(device, "copying to the GPU", error); // the copies are in use
}

uint64_t clockNs() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return uint64_t(time.tv_sec) * 1000000000u + uint64_t(time.tv_nsec);
}

/// With its time, for which the queue is emptied before and after.
tenon_status runTimed(Context &context, int32_t number, bool onHost,
                      tenon_error *error) {
  StepState &state = context.steps[number];
  tenon_status status = wait(*context.device, "running on the GPU", error);
  if (status)
    return status;
  uint64_t before = clockNs();
  state.startNs = before - uint64_t(context.startNs);
  status = onHost ? runOnHost(context, number, error)
                  : launch(context, number, error);
  if (!status)
    status = wait(*context.device, "running on the GPU", error);
  state.lastNs = clockNs() - before;
  state.timeNs += state.lastNs;
  ++state.calls;
  return status;
}

//===----------------------------------------------------------------------===//
// The driver's table
//===----------------------------------------------------------------------===//

void dropGraph(Device &device) {
  if (device.graph)
    libraryOf(device).cuGraphExecDestroy(device.graph);
  device.graph = nullptr;
  device.runs = 0;
}

void closeSession(Device *device) {
  const Library &cuda = libraryOf(*device);
  {
    Current current(cuda, device->model->context);
    dropGraph(*device);
    if (device->ports)
      cuda.cuMemFree_v2(device->ports);
    if (device->records)
      cuda.cuMemFree_v2(device->records);
    if (device->stream && device->ownsStream)
      cuda.cuStreamDestroy_v2(device->stream);
  }
  closeModel(device->model);
  free(device->failed);
  free(device->arguments);
  free(device->values);
  free(device->maps);
  free(device->staging.data);
  free(device->mirror.data);
  free(device);
}

tenon_status fillSession(Device &device, const tenon_program &program,
                         tenon_error *error) {
  const Library &cuda = libraryOf(device);
  Current current(cuda, device.model->context);
  if (device.ownsStream)
    if (tenon_status status =
            check(cuda, cuda.cuStreamCreate(&device.stream, kNonBlocking),
                  "the GPU's queue", error))
      return status;
  size_t most = 0, mostMaps = 0;
  // What is put in CUDA's own queues cannot be recorded.
  device.launches = program.num_controls == 0 &&
                    reinterpret_cast<uintptr_t>(device.stream) > kPerThread;
  for (int32_t s = 0; s < program.num_steps; ++s) {
    const tenon_step &step = program.steps[s];
    device.launches &= !device.model->gpu->kernels[step.kernel].host;
    auto maps = size_t(mapsOf(device, step).count);
    size_t count = size_t(step.num_buffers) + size_t(step.num_dims) + 3 + maps;
    most = count > most ? count : most;
    mostMaps = maps > mostMaps ? maps : mostMaps;
  }
  size_t steps = size_t(program.num_steps) + 1;
  device.failed =
      static_cast<tenon_gpu_error *>(calloc(steps, sizeof *device.failed));
  device.arguments = static_cast<void **>(calloc(most + 1, sizeof(void *)));
  device.values = static_cast<uint64_t *>(calloc(most + 1, sizeof(uint64_t)));
  device.maps = static_cast<TensorMap *>(
      aligned_alloc(alignof(TensorMap), (mostMaps + 1) * sizeof(TensorMap)));
  if (!device.failed || !device.arguments || !device.values || !device.maps)
    return fail(error, TENON_OUT_OF_MEMORY, "out of memory");
  return check(
      cuda, cuda.cuMemAlloc_v2(&device.records, steps * sizeof *device.failed),
      "memory on the GPU", error);
}

tenon_status openSession(const tenon_gpu &gpu, int32_t ordinal,
                         const char *image, void *stream,
                         const uint8_t *weights, Device **result,
                         tenon_error *error) {
  auto *device = static_cast<Device *>(calloc(1, sizeof(Device)));
  if (!device)
    return fail(error, TENON_OUT_OF_MEMORY, "out of memory");
  tenon_status status;
  device->model = openModel(gpu, ordinal, image, weights, &status, error);
  if (!device->model) {
    free(device);
    return status;
  }
  device->stream = static_cast<StreamHandle>(stream);
  device->ownsStream = !stream;
  if ((status = fillSession(*device, *gpu.program, error))) {
    closeSession(device);
    return status;
  }
  *result = device;
  return TENON_OK;
}

DeviceInfo sessionInfo(const Device *device) {
  return {device->model->name, device->model->image->name};
}

tenon_status allocate(Device *device, uint64_t bytes, void **memory,
                      tenon_error *error) {
  const Library &cuda = libraryOf(*device);
  Current current(cuda, device->model->context);
  Pointer address = 0;
  if (tenon_status status =
          check(cuda, cuda.cuMemAlloc_v2(&address, bytes ? bytes : 1),
                "memory for the workspace", error))
    return status;
  *memory = pointerTo(address);
  return TENON_OK;
}

void release(Device *device, void *memory) {
  const Library &cuda = libraryOf(*device);
  Current current(cuda, device->model->context);
  cuda.cuMemFree_v2(addressOf(memory));
}

tenon_status clear(Device *device, void *memory, uint64_t bytes,
                   tenon_error *error) {
  const Library &cuda = libraryOf(*device);
  Current current(cuda, device->model->context);
  if (tenon_status status = check(
          cuda,
          cuda.cuMemsetD8Async(addressOf(memory), 0, bytes, device->stream),
          "clearing memory of the GPU", error))
    return status;
  return wait(*device, "clearing memory of the GPU", error);
}

tenon_status checkMemory(const Device *device, const char *what,
                         const char *name, const void *data,
                         tenon_error *error) {
  if (addressOf(data) % kVector)
    return fail(error, TENON_INVALID_TENSOR, what, " '", name,
                "': its memory on the GPU is not aligned to ", kVector,
                " bytes");
  const Library &cuda = libraryOf(*device);
  Current current(cuda, device->model->context);
  unsigned type = 0;
  Result result =
      data ? cuda.cuPointerGetAttribute(&type, kMemoryType, addressOf(data))
           : 0;
  if (data && (result || type != kDeviceMemory))
    return fail(error, TENON_INVALID_TENSOR, what, " '", name,
                "': its memory is not a GPU's");
  return TENON_OK;
}

tenon_status prepareSession(Context &context, tenon_error *error) {
  const tenon_program &program = *context.program;
  Device &device = *context.device;
  const Library &cuda = libraryOf(device);
  Current current(cuda, device.model->context);
  dropGraph(device);
  // Those of the caller's that lie on the GPU are used where they are.
  auto forPorts = [&](auto fn) {
    for (int32_t i = 0; i < program.num_inputs; ++i)
      if (const Binding &input = context.inputs[i]; !input.onDevice)
        fn(TENON_BUFFER_INPUT, i,
           alignPort(portBytes(context, program.inputs[i], input)));
    // Those whose dims the run computes may use all that they have.
    for (int32_t i = 0; i < program.num_outputs; ++i)
      if (const Binding &output = context.outputs[i]; !output.onDevice)
        fn(TENON_BUFFER_OUTPUT, i, alignPort(output.bytes));
  };
  uint64_t bytes = 0;
  forPorts([&](int32_t, int32_t, uint64_t size) { bytes += size; });
  if (bytes > device.portBytes) {
    if (device.ports)
      cuda.cuMemFree_v2(device.ports);
    device.ports = device.portBytes = 0;
    if (tenon_status status =
            check(cuda, cuda.cuMemAlloc_v2(&device.ports, bytes),
                  "memory for inputs and outputs", error))
      return status;
    device.portBytes = bytes;
  }
  Pointer at = device.ports;
  forPorts([&](int32_t kind, int32_t index, uint64_t size) {
    for (int32_t b = 0; b < program.num_buffers; ++b)
      if (program.buffers[b].kind == kind && program.buffers[b].index == index)
        context.pointers[b] = pointerTo(at);
    at += size;
  });
  for (int32_t b = 0; b < program.num_buffers; ++b)
    if (program.buffers[b].kind == TENON_BUFFER_WEIGHT)
      context.pointers[b] = pointerTo(device.model->weights +
                                      uint64_t(program.buffers[b].offset));
  return TENON_OK;
}

tenon_status clearScratch(Context &context, tenon_error *error) {
  Device &device = *context.device;
  const Library &cuda = libraryOf(device);
  Pointer begin = addressOf(context.workspace) + context.plan->arena;
  uint64_t bytes = context.plan->scratch;
  if (!bytes)
    return TENON_OK;
  // A caller may have had the workspace for something else meanwhile.
  if (begin == device.cleared && bytes <= device.clearedBytes)
    return check(cuda,
                 cuda.cuMemsetD8Async(begin, 0,
                                      bytes < TENON_GPU_COUNTER_BYTES
                                          ? bytes
                                          : TENON_GPU_COUNTER_BYTES,
                                      device.stream),
                 "clearing counters", error);
  device.cleared = begin;
  device.clearedBytes = bytes;
  return check(cuda, cuda.cuMemsetD8Async(begin, 0, bytes, device.stream),
               "clearing scratch memory", error);
}

tenon_status beginSession(Context &context, tenon_error *error) {
  const tenon_program &program = *context.program;
  Device &device = *context.device;
  const Library &cuda = libraryOf(device);
  Current current(cuda, device.model->context);
  for (int32_t b = 0; b < program.num_buffers; ++b) {
    const tenon_buffer &buffer = program.buffers[b];
    if (buffer.kind != TENON_BUFFER_INPUT)
      continue;
    const Binding &binding = context.inputs[buffer.index];
    if (binding.onDevice)
      continue;
    if (tenon_status status = put(
            device, addressOf(context.pointers[b]), binding.data,
            portBytes(context, program.inputs[buffer.index], binding), error))
      return status;
  }
  if (tenon_status status = clearScratch(context, error))
    return status;
  if (!program.num_steps)
    return TENON_OK;
  return check(
      cuda,
      cuda.cuMemsetD8Async(device.records, 0,
                           uint64_t(program.num_steps) * sizeof *device.failed,
                           device.stream),
      "the error records", error);
}

tenon_status queueSteps(Context &context, int32_t first, int32_t end,
                        tenon_error *error) {
  Device &device = *context.device;
  bool timed = context.flags & TENON_CONTEXT_PROFILE;
  for (int32_t s = first; s < end; ++s) {
    if (context.steps[s].tasks <= 0)
      continue;
    const tenon_step &step = context.program->steps[s];
    if (__atomic_load_n(&context.cancelled, __ATOMIC_RELAXED))
      return fail(error, TENON_CANCELLED, "the run was cancelled at node '",
                  step.nodes && *step.nodes ? step.nodes : step.name, "'");
    bool onHost = device.model->gpu->kernels[step.kernel].host;
    tenon_status status = checkNumbers(context, s, error);
    if (!status)
      status = timed    ? runTimed(context, s, onHost, error)
               : onHost ? runOnHost(context, s, error)
                        : launch(context, s, error);
    if (status)
      return status;
  }
  return TENON_OK;
}

/// Records all steps instead of running them.
tenon_status capture(Context &context, tenon_error *error) {
  Device &device = *context.device;
  const Library &cuda = libraryOf(device);
  tenon_status status =
      check(cuda, cuda.cuStreamBeginCapture_v2(device.stream, kThisThread),
            "recording a run", error);
  if (status)
    return status;
  status = queueSteps(context, 0, context.numSteps, error);
  GraphHandle graph = nullptr;
  Result ended = cuda.cuStreamEndCapture(device.stream, &graph);
  if (!status)
    status = check(cuda, ended, "recording a run", error);
  if (!status)
    status =
        check(cuda, cuda.cuGraphInstantiateWithFlags(&device.graph, graph, 0),
              "a recorded run", error);
  if (graph)
    cuda.cuGraphDestroy(graph);
  return status;
}

tenon_status runSteps(Context &context, int32_t first, int32_t end,
                      tenon_error *error) {
  Device &device = *context.device;
  const Library &cuda = libraryOf(device);
  Current current(cuda, device.model->context);
  bool timed = context.flags & TENON_CONTEXT_PROFILE;
  if (!device.launches || timed || !device.runs++)
    return queueSteps(context, first, end, error);
  if (!device.graph)
    if (tenon_status status = capture(context, error))
      return status;
  return check(cuda, cuda.cuGraphLaunch(device.graph, device.stream),
               "launching a run", error);
}

tenon_status endSession(Context &context, tenon_error *error) {
  const tenon_program &program = *context.program;
  Device &device = *context.device;
  Current current(libraryOf(device), device.model->context);
  for (int32_t b = 0; b < program.num_buffers; ++b) {
    const tenon_buffer &buffer = program.buffers[b];
    if (buffer.kind != TENON_BUFFER_OUTPUT)
      continue;
    const Binding &binding = context.outputs[buffer.index];
    if (binding.onDevice)
      continue;
    if (tenon_status status = get(
            device, binding.data, addressOf(context.pointers[b]),
            portBytes(context, program.outputs[buffer.index], binding), error))
      return status;
  }
  return finish(context, error);
}

tenon_status view(Context &context, int32_t buffer, uint64_t bytes,
                  const void **data, tenon_error *error) {
  Device &device = *context.device;
  Current current(libraryOf(device), device.model->context);
  if (tenon_status status = grow(device.staging, bytes, error))
    return status;
  if (tenon_status status =
          get(device, device.staging.data, addressOf(context.pointers[buffer]),
              bytes, error))
    return status;
  *data = device.staging.data;
  return finish(context, error);
}

tenon_status write(Context &context, void *to, const void *from, uint64_t bytes,
                   tenon_error *error) {
  Device &device = *context.device;
  Current current(libraryOf(device), device.model->context);
  if (tenon_status status = put(device, addressOf(to), from, bytes, error))
    return status;
  return wait(device, "copying to the GPU", error);
}

tenon_status read(Context &context, void *to, const void *from, uint64_t bytes,
                  tenon_error *error) {
  Device &device = *context.device;
  Current current(libraryOf(device), device.model->context);
  if (tenon_status status = get(device, to, addressOf(from), bytes, error))
    return status;
  return wait(device, "copying from the GPU", error);
}

tenon_status copy(Context &context, void *to, const void *from, uint64_t bytes,
                  tenon_error *error) {
  Device &device = *context.device;
  const Library &cuda = libraryOf(device);
  Current current(cuda, device.model->context);
  return check(cuda,
               cuda.cuMemcpyDtoDAsync_v2(addressOf(to), addressOf(from), bytes,
                                         device.stream),
               "copying on the GPU", error);
}

tenon_status value(Context &context, int32_t number, const void **data,
                   tenon_error *error) {
  const tenon_buffer &buffer = context.program->buffers[number];
  Device &device = *context.device;
  switch (buffer.kind) {
  case TENON_BUFFER_INPUT:
  case TENON_BUFFER_OUTPUT: {
    const Binding &binding = buffer.kind == TENON_BUFFER_INPUT
                                 ? context.inputs[buffer.index]
                                 : context.outputs[buffer.index];
    *data = binding.data;
    return binding.onDevice
               ? fail(error, TENON_INVALID_ARGUMENT,
                      "the value is an input or output that the caller has on "
                      "the GPU")
               : TENON_OK;
  }
  case TENON_BUFFER_WEIGHT:
    *data = context.weights.data + buffer.offset;
    return TENON_OK;
  default:
    break;
  }
  // Values lie in the copy as they do in the workspace.
  auto at = uint64_t(static_cast<uint8_t *>(context.pointers[number]) -
                     context.workspace);
  Current current(libraryOf(device), device.model->context);
  tenon_status status = grow(device.mirror, context.plan->arena, error);
  if (!status)
    status = get(device, device.mirror.data + at,
                 addressOf(context.pointers[number]),
                 bytesOfBuffer(context, number), error);
  if (!status)
    status = wait(device, "copying from the GPU", error);
  *data = device.mirror.data + at;
  return status;
}

} // namespace

const DeviceDriver tenon_cuda_driver = {
    openSession, closeSession,   sessionInfo,  allocate, release,    clear,
    checkMemory, prepareSession, beginSession, runSteps, endSession, view,
    write,       read,           copy,         value,
};
