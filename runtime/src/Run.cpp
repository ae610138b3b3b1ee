//===- Run.cpp - one run of a model ---------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// 1. Prepare, where dims or bindings changed: evaluate and check the dims,
//    plan, fill the table of buffer pointers and each step's arguments.
// 2. Execute the steps. With own threads, every thread walks the same list and
//    takes its slice of each step (SPMD). Cheap steps belong to thread 0 alone,
//    and a run of them needs no barrier inside.
//
// A kernel that fails does not stop the others at once: they meet at the next
// barrier and stop there. Which step failed is recorded as its number, so a
// thread that is still on its way to a step before the failing one is not
// misled into leaving early, which would leave the rest waiting for ever.
//
//===----------------------------------------------------------------------===//
#include "Context.h"

using namespace tenon::rt;

namespace {

/// A thread pays for the barrier from about this many FMAs on.
constexpr int64_t kCostPerThread = 16 * 1024;
constexpr int32_t kNoStep = INT32_MAX;

//===----------------------------------------------------------------------===//
// Preparing
//===----------------------------------------------------------------------===//

tenon_status checkBound(const Context &context, tenon_error *error) {
  const tenon_program &program = *context.program;
  for (int32_t i = 0; i < program.num_inputs; ++i)
    if (!context.inputs[i].bound)
      return fail(error, TENON_NOT_BOUND, "input '", program.inputs[i].name,
                  "' is not bound");
  for (int32_t i = 0; i < program.num_outputs; ++i)
    if (!context.outputs[i].bound)
      return fail(error, TENON_NOT_BOUND, "output '", program.outputs[i].name,
                  "' is not bound");
  return TENON_OK;
}

/// Bytes of a port's tensor; the dims were checked, so only the product can be
/// out of bounds (-1).
int64_t portBytes(const tenon_port &port, const int64_t *slots) {
  int64_t elements = 1;
  for (int32_t d = 0; d < port.rank; ++d)
    if (slots[port.dims[d]] == 0)
      return 0;
  for (int32_t d = 0; d < port.rank; ++d)
    if (__builtin_mul_overflow(elements, slots[port.dims[d]], &elements))
      return -1;
  return bytesOf(elements, port.dtype);
}

tenon_status checkOutput(const Context &context, int32_t index,
                         tenon_error *error) {
  const tenon_port &port = context.program->outputs[index];
  const Binding &binding = context.outputs[index];
  for (int32_t d = 0; d < port.rank && !binding.anyDims; ++d)
    if (binding.dims[d] != context.slots[port.dims[d]])
      return fail(error, TENON_INVALID_TENSOR, "output '", port.name, "': dim ",
                  d, " (", port.dim_names[d], ") is ", binding.dims[d],
                  ", expected ", context.slots[port.dims[d]]);
  int64_t bytes = portBytes(port, context.slots);
  if (bytes < 0)
    return fail(error, TENON_INVALID_TENSOR, "output '", port.name,
                "': its dims are too large");
  if (binding.bytes < uint64_t(bytes))
    return fail(error, TENON_INVALID_TENSOR, "output '", port.name, "' has ",
                binding.bytes, " bytes, expected ", bytes);
  if (bytes && !binding.data)
    return fail(error, TENON_INVALID_TENSOR, "output '", port.name,
                "': its data is NULL");
  return TENON_OK;
}

bool overlap(const void *a, int64_t aBytes, const void *b, int64_t bBytes) {
  auto first = reinterpret_cast<uintptr_t>(a);
  auto second = reinterpret_cast<uintptr_t>(b);
  return aBytes > 0 && bBytes > 0 && first < second + uint64_t(bBytes) &&
         second < first + uint64_t(aBytes);
}

tenon_status checkOverlaps(const Context &context, tenon_error *error) {
  const tenon_program &program = *context.program;
  for (int32_t o = 0; o < program.num_outputs; ++o) {
    const tenon_port &output = program.outputs[o];
    const void *data = context.outputs[o].data;
    int64_t bytes = portBytes(output, context.slots);
    for (int32_t i = 0; i < program.num_inputs; ++i)
      if (overlap(data, bytes, context.inputs[i].data,
                  portBytes(program.inputs[i], context.slots)))
        return fail(error, TENON_INVALID_TENSOR, "output '", output.name,
                    "' shares memory with input '", program.inputs[i].name,
                    "'");
    for (int32_t i = 0; i < o; ++i)
      if (overlap(data, bytes, context.outputs[i].data,
                  portBytes(program.outputs[i], context.slots)))
        return fail(error, TENON_INVALID_TENSOR, "output '", output.name,
                    "' shares memory with output '", program.outputs[i].name,
                    "'");
  }
  return TENON_OK;
}

void fillPointers(Context &context, const Plan &plan) {
  const tenon_program &program = *context.program;
  for (int32_t i = 0; i < program.num_buffers; ++i) {
    const tenon_buffer &buffer = program.buffers[i];
    void *&pointer = context.pointers[i];
    if (buffer.kind == TENON_BUFFER_INPUT)
      pointer = context.inputs[buffer.index].data;
    else if (buffer.kind == TENON_BUFFER_OUTPUT)
      pointer = context.outputs[buffer.index].data;
    else if (buffer.kind == TENON_BUFFER_WEIGHT)
      pointer = const_cast<uint8_t *>(context.weights.data) + buffer.offset;
  }
  for (int32_t i = 0; i < context.numArena; ++i)
    context.pointers[context.arenaBuffers[i]] =
        context.workspace + plan.offsets[i];
  for (int32_t t = 0; t < context.threads; ++t)
    context.threadStates[t].task.scratch =
        context.workspace + plan.arena + plan.scratch * uint64_t(t);
}

int32_t threadsForStep(const Context &context, const StepState &step) {
  if (step.tasks <= 0)
    return 0;
  int64_t threads = step.cost / kCostPerThread;
  if (threads > context.threads)
    threads = context.threads;
  if (threads > step.tasks)
    threads = step.tasks;
  return threads < 1 ? 1 : int32_t(threads);
}

void fillSteps(Context &context) {
  const tenon_program &program = *context.program;
  context.active = 1;
  context.lastParallel = -1;
  // What ran since the last barrier: a later step must not overtake it.
  bool ranOne = false, ranMany = false;
  for (int32_t s = 0; s < context.numSteps; ++s) {
    const tenon_step &from = program.steps[s];
    StepState &step = context.steps[s];
    for (int32_t i = 0; i < from.num_buffers; ++i)
      step.buffers[i] = context.pointers[from.buffers[i]];
    for (int32_t i = 0; i < from.num_dims; ++i)
      step.dims[i] = context.slots[from.dims[i]];
    step.tasks = context.slots[from.tasks];
    step.cost = context.slots[from.cost];
    step.threads = threadsForStep(context, step);
    step.barrierBefore = false;
    if (step.threads == 0)
      continue;
    bool many = step.threads > 1;
    if (ranMany || (many && ranOne)) {
      step.barrierBefore = true;
      ranOne = ranMany = false;
    }
    (many ? ranMany : ranOne) = true;
    if (many) {
      context.lastParallel = s;
      if (step.threads > context.active)
        context.active = step.threads;
    }
  }
}

tenon_status prepare(Context &context, tenon_error *error) {
  if (tenon_status status = checkBound(context, error))
    return status;
  if (!context.stale && !context.dirty)
    return TENON_OK;
  const tenon_program &program = *context.program;
  for (int32_t i = 0; i < program.num_inputs; ++i)
    context.inputDims[i] = context.inputs[i].dims;
  if (context.stale)
    if (tenon_status status =
            evaluateDims(program, context.inputDims, context.slots, error))
      return status;
  tenon_status status;
  const Plan *plan =
      planFor(context, context.inputDims, context.slots, &status, error);
  if (!plan)
    return status;
  if (plan->total(context.threads) > context.workspaceBytes)
    return fail(error, TENON_WORKSPACE_TOO_SMALL, "the workspace has ",
                context.workspaceBytes, " bytes, these dims need ",
                plan->total(context.threads),
                ": call tenon_reserve or hand in a larger one");
  for (int32_t i = 0; i < program.num_outputs; ++i)
    if ((status = checkOutput(context, i, error)))
      return status;
  if ((status = checkOverlaps(context, error)))
    return status;
  fillPointers(context, *plan);
  fillSteps(context);
  context.stale = context.dirty = false;
  return TENON_OK;
}

//===----------------------------------------------------------------------===//
// Executing
//===----------------------------------------------------------------------===//

/// Results must not depend on which thread computes them, so all use the same
/// floating-point modes: round to nearest, subnormals kept, no traps.
class FloatModes {
public:
  FloatModes() : before(__builtin_ia32_stmxcsr()) {
    if (before != kStandard)
      __builtin_ia32_ldmxcsr(kStandard);
  }
  ~FloatModes() {
    if (before != kStandard)
      __builtin_ia32_ldmxcsr(before);
  }

private:
  static constexpr unsigned kStandard = 0x1f80;
  unsigned before;
};

void noteFailure(Context &context, int32_t step) {
  int32_t seen = __atomic_load_n(&context.failedStep, __ATOMIC_RELAXED);
  while (step < seen &&
         !__atomic_compare_exchange_n(&context.failedStep, &seen, step, false,
                                      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
  }
}

void runSlice(Context &context, int32_t number, int32_t index) {
  const StepState &step = context.steps[number];
  ThreadState &self = context.threadStates[index];
  int64_t share = step.tasks / step.threads, rest = step.tasks % step.threads;
  int64_t begin = share * index + (index < rest ? index : rest);
  int64_t end = begin + share + (index < rest ? 1 : 0);
  tenon_kernel kernel =
      context.level->kernels[context.program->steps[number].kernel];
  int32_t code = kernel(step.buffers, step.dims, begin, end, &self.task);
  if (code != TENON_KERNEL_OK) {
    self.failedStep = number;
    self.code = code;
    noteFailure(context, number);
  }
}

uint64_t sinceStart(const Context &context) {
  return uint64_t(nanoseconds() - context.startNs);
}

/// One thread's walk up to the last step that is shared out.
void walk(void *argument, int32_t index) {
  Context &context = *static_cast<Context *>(argument);
  ThreadState &self = context.threadStates[index];
  bool timed = index == 0 && (context.flags & TENON_CONTEXT_PROFILE);
  FloatModes modes;
  for (int32_t s = 0; s <= context.lastParallel; ++s) {
    StepState &step = context.steps[s];
    if (step.barrierBefore) {
      context.pool.barrier();
      if (__atomic_load_n(&context.failedStep, __ATOMIC_ACQUIRE) < s)
        return;
    }
    if (timed)
      step.startNs = sinceStart(context);
    if (index < step.threads && self.failedStep == kNoStep)
      runSlice(context, s, index);
  }
}

struct StepCall {
  Context *context;
  int32_t step;
};

void sliceOfStep(void *argument, int32_t index) {
  const auto &call = *static_cast<StepCall *>(argument);
  FloatModes modes;
  if (index >= 0 && index < call.context->steps[call.step].threads)
    runSlice(*call.context, call.step, index);
}

/// Steps from `first` on, one after the other: through the caller's executor,
/// or on this thread alone.
void runInOrder(Context &context, int32_t first) {
  bool timed = context.flags & TENON_CONTEXT_PROFILE;
  for (int32_t s = first; s < context.numSteps; ++s) {
    StepState &step = context.steps[s];
    if (timed)
      step.startNs = sinceStart(context);
    StepCall call = {&context, s};
    if (step.threads > 1 && context.executor)
      context.executor(context.executorUser, step.threads, sliceOfStep, &call);
    else
      for (int32_t i = 0; i < step.threads; ++i)
        sliceOfStep(&call, i);
    if (__atomic_load_n(&context.failedStep, __ATOMIC_ACQUIRE) != kNoStep)
      return;
  }
}

tenon_status reportFailure(const Context &context, tenon_error *error) {
  int32_t failed = context.failedStep;
  const tenon_step &step = context.program->steps[failed];
  // The slices are in order, so the first thread has the first bad index.
  const ThreadState *self = context.threadStates;
  while (self->failedStep != failed)
    ++self;
  const char *nodes = step.nodes && *step.nodes ? step.nodes : step.name;
  if (self->code == TENON_KERNEL_INDEX_OUT_OF_RANGE)
    return fail(error, TENON_INDEX_OUT_OF_RANGE, "node '", nodes, "': index ",
                self->task.error_value, " is out of range, expected ",
                -self->task.error_limit, " <= index < ",
                self->task.error_limit);
  return fail(error, TENON_INDEX_OUT_OF_RANGE, "node '", nodes,
              "' failed with code ", self->code);
}

} // namespace

tenon_status tenon::rt::runContext(Context &context, tenon_error *error) {
  if (!context.level)
    return fail(error, TENON_INVALID_ARGUMENT,
                "the context was made with TENON_CONTEXT_QUERY_ONLY");
  context.ran = false;
  if (tenon_status status = prepare(context, error))
    return status;

  for (int32_t t = 0; t < context.threads; ++t) {
    context.threadStates[t].failedStep = kNoStep;
    context.threadStates[t].task.error_value = 0;
    context.threadStates[t].task.error_limit = 0;
  }
  context.failedStep = kNoStep;
  bool timed = context.flags & TENON_CONTEXT_PROFILE;
  if (timed)
    context.startNs = nanoseconds();

  int32_t first = 0;
  // A forked child has no workers: its only thread does every slice.
  if (context.active > 1 && context.poolStarted && context.pool.alive()) {
    context.pool.run(context.active, walk, &context);
    first = context.lastParallel + 1;
  }
  if (context.failedStep == kNoStep)
    runInOrder(context, first);

  if (timed) {
    uint64_t next = sinceStart(context);
    for (int32_t s = context.numSteps - 1; s >= 0; --s) {
      StepState &step = context.steps[s];
      step.timeNs = next > step.startNs ? next - step.startNs : 0;
      next = step.startNs;
    }
  }
  if (context.failedStep != kNoStep)
    return reportFailure(context, error);
  context.ran = true;
  return TENON_OK;
}
