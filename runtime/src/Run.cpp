//===- Run.cpp - one run of a model ---------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// 1. Prepare, where dims or bindings changed: evaluate and check the dims,
//    plan, fill the table of buffer pointers and each step's arguments.
// 2. Execute the steps. With own threads, every thread walks the same list. A
//    step is cut into slices, several per thread; a thread takes its own ones
//    first and then those that nobody has begun, so that a thread which the
//    system holds up delays nobody. Cheap steps belong to thread 0 alone, and a
//    row of them needs no barrier inside.
//
// A barrier waits for slices, not for threads: it is passed when everything
// before it has been computed, whoever did it.
//
// A kernel that fails does not stop the others at once: all slices of its step
// are computed, and the threads stop at the next barrier. Which step failed is
// recorded as its number, so a thread that is still on its way to a step before
// the failing one is not misled into leaving early.
//
//===----------------------------------------------------------------------===//
#include "Context.h"

#include <string.h>

using namespace tenon::rt;

namespace {

/// A thread pays for the barrier from about this many FMAs on.
constexpr int64_t kCostPerThread = 16 * 1024;
/// Finer slices even out the threads' speeds where each is worth its call.
constexpr int64_t kCostPerSlice = 64 * 1024;
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

/// Have all dims of the port their values?
bool isKnown(const Context &context, const tenon_port &port) {
  for (int32_t d = 0; d < port.rank && context.program->num_run_values; ++d)
    if (context.missing[port.dims[d]] >= 0)
      return false;
  return true;
}

tenon_status checkOutput(const Context &context, int32_t index,
                         tenon_error *error) {
  const tenon_port &port = context.program->outputs[index];
  const Binding &binding = context.outputs[index];
  if (!isKnown(context, port))
    return TENON_OK; // checked once they are
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
    return fail(
        error, port.from_values ? TENON_OUTPUT_TOO_SMALL : TENON_INVALID_TENSOR,
        "output '", port.name, "' has ", binding.bytes, " bytes, expected ",
        bytes);
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

/// Bytes that a run may write: all that there are while dims are not known.
int64_t outputBytes(const Context &context, int32_t index) {
  const tenon_port &port = context.program->outputs[index];
  return isKnown(context, port) ? portBytes(port, context.slots)
                                : int64_t(context.outputs[index].bytes);
}

tenon_status checkOverlaps(const Context &context, tenon_error *error) {
  const tenon_program &program = *context.program;
  for (int32_t o = 0; o < program.num_outputs; ++o) {
    const tenon_port &output = program.outputs[o];
    const void *data = context.outputs[o].data;
    int64_t bytes = outputBytes(context, o);
    for (int32_t i = 0; i < program.num_inputs; ++i)
      if (overlap(data, bytes, context.inputs[i].data,
                  portBytes(program.inputs[i], context.slots)))
        return fail(error, TENON_INVALID_TENSOR, "output '", output.name,
                    "' shares memory with input '", program.inputs[i].name,
                    "'");
    for (int32_t i = 0; i < o; ++i)
      if (overlap(data, bytes, context.outputs[i].data,
                  outputBytes(context, i)))
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

int32_t slicesForStep(const StepState &step) {
  int64_t slices = step.cost / kCostPerSlice / step.threads * step.threads;
  int64_t most = int64_t(step.threads) * kSlicesPerThread;
  if (slices > most)
    slices = most;
  if (slices > step.tasks)
    slices = step.tasks;
  return slices < step.threads ? step.threads : int32_t(slices);
}

/// The arguments of steps [first, end), and how threads share them.
void fillSteps(Context &context, int32_t first, int32_t end) {
  const tenon_program &program = *context.program;
  context.active = 1;
  context.lastParallel = first - 1;
  // What ran since the last barrier: a later step must not overtake it.
  bool ranOne = false, ranMany = false;
  int32_t segment = 0;
  for (int32_t s = first; s < end; ++s) {
    const tenon_step &from = program.steps[s];
    StepState &step = context.steps[s];
    for (int32_t i = 0; i < from.num_buffers; ++i)
      step.buffers[i] = context.pointers[from.buffers[i]];
    for (int32_t i = 0; i < from.num_dims; ++i)
      step.dims[i] = context.slots[from.dims[i]];
    step.tasks =
        isLeftOut(from.guard, context.slots) ? 0 : context.slots[from.tasks];
    step.cost = context.slots[from.cost];
    step.threads = threadsForStep(context, step);
    step.slices = step.threads;
    step.barrierBefore = false;
    step.segment = segment;
    if (step.threads == 0)
      continue;
    bool many = step.threads > 1;
    if (ranMany || (many && ranOne)) {
      step.barrierBefore = true;
      step.segment = ++segment;
      ranOne = ranMany = false;
    }
    (many ? ranMany : ranOne) = true;
    context.targets[segment] = 1;
    if (many) {
      step.slices = slicesForStep(step);
      context.targets[segment] = uint32_t(step.slices);
      context.lastParallel = s;
      if (step.threads > context.active)
        context.active = step.threads;
    }
  }
}

/// Do the inputs hold other values than the slots that were read from them?
bool valuesChanged(const Context &context) {
  const tenon_program &program = *context.program;
  for (int32_t i = 0; i < context.numValues; ++i) {
    int32_t slot = context.valueSlots[i];
    const tenon_expr &expr = program.exprs[slot];
    if (context.slots[slot] != elementOf(context.inputs[expr.a].data,
                                         program.inputs[expr.a].dtype,
                                         expr.imm))
      return true;
  }
  return false;
}

tenon_status evaluate(Context &context, tenon_error *error) {
  bool reads = context.program->num_run_values > 0;
  return evaluateDims(*context.program, context.inputDims, context.slots, error,
                      context.inputData, reads ? context.missing : nullptr,
                      reads ? &context.run : nullptr);
}

tenon_status checkOutputs(Context &context, tenon_error *error) {
  for (int32_t i = 0; i < context.program->num_outputs; ++i)
    if (tenon_status status = checkOutput(context, i, error)) {
      context.tooSmall = status == TENON_OUTPUT_TOO_SMALL;
      return status;
    }
  return checkOverlaps(context, error);
}

tenon_status prepare(Context &context, tenon_error *error) {
  if (tenon_status status = checkBound(context, error))
    return status;
  const tenon_program &program = *context.program;
  context.stale |= context.numValues && valuesChanged(context);
  // What the last run read says nothing of this one.
  context.stale |= program.num_run_values > 0;
  if (!context.stale && !context.dirty)
    return TENON_OK;
  for (int32_t i = 0; i < program.num_inputs; ++i)
    context.inputDims[i] = context.inputs[i].dims,
    context.inputData[i] = context.inputs[i].data;
  if (program.num_run_values)
    memset(context.run.known, 0, size_t(program.num_run_values));
  tenon_status status;
  // A refusal leaves the slots half filled: the next run starts over.
  if (context.stale && (status = evaluate(context, error)))
    return status;
  const Plan *plan =
      planFor(context, context.inputDims, context.slots, &status, error);
  if (!plan)
    return status;
  if (plan->total(context.threads) > context.workspaceBytes)
    return fail(error, TENON_WORKSPACE_TOO_SMALL, "the workspace has ",
                context.workspaceBytes, " bytes, these dims need ",
                plan->total(context.threads),
                ": call tenon_reserve or hand in a larger one");
  if ((status = checkOutputs(context, error)))
    return status;
  context.plan = plan;
  fillPointers(context, *plan);
  if (!program.num_controls)
    fillSteps(context, 0, context.numSteps);
  context.stale = context.dirty = false;
  return TENON_OK;
}

//===----------------------------------------------------------------------===//
// Deciding
//===----------------------------------------------------------------------===//

/// A number that the run has read; `grown` where it is beyond all before.
void setValue(Context &context, int32_t value, int64_t number) {
  RunValues &run = context.run;
  run.values[value] = number;
  run.known[value] = 1;
  if (number < run.lowest[value]) {
    run.lowest[value] = number;
    context.grown = true;
  }
  if (number > run.highest[value]) {
    run.highest[value] = number;
    context.grown = true;
  }
}

/// Computes what depends on the numbers that are known now. Where memory does
/// not suffice for them, because they are outside what was planned for,
/// `surprised` is set: the run must begin again with another plan.
tenon_status takeValues(Context &context, const tenon_control &control,
                        tenon_error *error) {
  if (tenon_status status = evaluate(context, error))
    return status;
  if (!isRoomFor(context, *context.plan)) {
    // Only a larger range makes another plan.
    if (!context.grown)
      return fail(error, TENON_WORKSPACE_TOO_SMALL, "a number that step ",
                  control.step - 1, " computed is outside its bound");
    context.surprised = true;
  }
  return checkOutputs(context, error);
}

void readValues(Context &context, const tenon_control &control) {
  int32_t dtype = context.program->buffers[control.buffer].dtype;
  bool leftOut = isLeftOut(control.guard, context.slots);
  for (int32_t i = 0; i < control.count; ++i)
    setValue(context, control.value + i,
             leftOut ? 0
                     : elementOf(context.pointers[control.buffer], dtype, i));
}

/// The bytes that the plan has for a buffer of the arena.
uint64_t plannedBytes(const Context &context, int32_t buffer) {
  for (int32_t i = 0; i < context.numArena; ++i)
    if (context.arenaBuffers[i] == buffer)
      return context.plan->sizes[i];
  return 0;
}

/// Bytes that a copy takes in its target; -1 where they are too many.
int64_t endOfCopy(const Context &context, const tenon_copy &copy,
                  int64_t iteration) {
  int64_t end;
  int64_t bytes = bytesOf(context.slots[copy.elements],
                          context.program->buffers[copy.from].dtype);
  if (bytes < 0 ||
      (copy.row && __builtin_mul_overflow(bytes, iteration + 1, &end)))
    return -1;
  return copy.row ? end : bytes;
}

/// Have the copies to rows, or those to handed values, no room?
bool lackRoom(const Context &context, const tenon_control &control,
              int64_t iteration, bool rows) {
  for (int32_t i = 0; i < control.num_copies; ++i) {
    const tenon_copy &copy = control.copies[i];
    if ((copy.row != 0) != rows)
      continue;
    int64_t end = endOfCopy(context, copy, iteration);
    if (end < 0 || uint64_t(end) > plannedBytes(context, copy.to))
      return true;
  }
  return false;
}

/// Hands values to the next iteration and stacks rows.
void copyValues(Context &context, const tenon_control &control,
                int64_t iteration) {
  for (int32_t i = 0; i < control.num_copies; ++i) {
    const tenon_copy &copy = control.copies[i];
    int64_t end = endOfCopy(context, copy, iteration);
    if (end <= 0)
      continue;
    int64_t bytes = copy.row ? end / (iteration + 1) : end;
    memcpy(static_cast<uint8_t *>(context.pointers[copy.to]) + end - bytes,
           context.pointers[copy.from], size_t(bytes));
  }
}

/// Notes the sizes that handed values have now. Of those beyond all before
/// twice as much is planned for, so that a value which grows makes few runs
/// begin again. `loop` is the control's, or itself.
void noteSizes(Context &context, const tenon_control &control,
               const tenon_control &loop) {
  for (int32_t i = 0; i < control.num_sizes; ++i) {
    int32_t value = loop.value + 1 + i;
    int64_t size = context.slots[control.sizes[i]];
    if (size > context.run.highest[value])
      setValue(context, value, size < kMaxBytes ? 2 * size : size);
  }
}

/// Copies what the next iteration needs. Where there is no place for it,
/// `surprised` is set or, if planning again is of no use, it is an error.
tenon_status handOn(Context &context, const tenon_control &control,
                    const tenon_control &loop, int64_t iteration,
                    tenon_error *error) {
  noteSizes(context, control, loop);
  bool rows = lackRoom(context, control, iteration, true);
  if (rows) // Twice as many the next time, so that few runs are in vain.
    setValue(context, loop.value - 1, 2 * (iteration + 1));
  if (!rows &&
      (!control.num_sizes || !lackRoom(context, control, iteration, false))) {
    copyValues(context, control, iteration);
    return TENON_OK;
  }
  context.surprised = context.grown;
  return context.grown
             ? TENON_OK
             : fail(error, TENON_WORKSPACE_TOO_SMALL, "what iteration ",
                    iteration, " of a loop hands on is outside its bound");
}

/// Begins iteration `number` of a loop, or ends the loop after so many.
/// Whether there is another one. `control` says how large handed values are.
bool iterate(Context &context, const tenon_control &control,
             const tenon_control &loop, int64_t number) {
  bool goesOn = number < context.slots[loop.trips] &&
                (loop.condition < 0 || *static_cast<const uint8_t *>(
                                           context.pointers[loop.condition]));
  memset(context.run.known + loop.value, 0, size_t(loop.count));
  int32_t inside = loop.value + 1, behind = loop.value - 1 - control.num_sizes;
  for (int32_t i = 0; i < control.num_sizes; ++i)
    setValue(context, (goesOn ? inside : behind) + i,
             context.slots[control.sizes[i]]);
  setValue(context, goesOn ? loop.value : loop.value - 1, number);
  if (goesOn)
    memcpy(context.pointers[loop.buffer], &number, sizeof number);
  return goesOn;
}

/// A loop in a branch that is not taken: no iterations, and nothing behind it.
void leaveOut(Context &context, const tenon_control &loop) {
  for (int32_t i = 0; i <= loop.num_sizes; ++i)
    setValue(context, loop.value - 1 - i, 0);
}

/// Does what control number `at` says; gives the number of the next one.
tenon_status act(Context &context, int32_t &at, tenon_error *error) {
  const tenon_control *controls = context.program->controls;
  const tenon_control &control = controls[at++];
  if (control.kind == TENON_CONTROL_READ) {
    readValues(context, control);
  } else if (control.kind == TENON_CONTROL_LOOP &&
             isLeftOut(control.guard, context.slots)) {
    leaveOut(context, control);
    at = control.partner + 1;
  } else {
    bool first = control.kind == TENON_CONTROL_LOOP;
    const tenon_control &loop = first ? control : controls[control.partner];
    int64_t number = first ? 0 : context.run.values[loop.value];
    if (tenon_status status = handOn(context, control, loop, number, error);
        status || context.surprised)
      return status;
    bool goesOn = iterate(context, control, loop, first ? 0 : number + 1);
    if (goesOn != first) // back to the body, or past it
      at = control.partner + 1;
  }
  return takeValues(context, control, error);
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

/// Computes one slice of a step on thread `index`.
void runSlice(Context &context, int32_t number, int32_t slice, int32_t index) {
  const StepState &step = context.steps[number];
  ThreadState &self = context.threadStates[index];
  int64_t share = step.tasks / step.slices, rest = step.tasks % step.slices;
  int64_t begin = share * slice + (slice < rest ? slice : rest);
  int64_t end = begin + share + (slice < rest ? 1 : 0);
  tenon_kernel kernel =
      context.level->kernels[context.program->steps[number].kernel];
  int32_t code = kernel(step.buffers, step.dims, begin, end, &self.task);
  if (code == TENON_KERNEL_OK ||
      (self.failedStep == number && self.failedSlice < slice))
    return;
  self.failedStep = number;
  self.failedSlice = slice;
  self.code = code;
  self.errorValue = self.task.error_value;
  self.errorLimit = self.task.error_limit;
  noteFailure(context, number);
}

/// The slices that belong to one thread of a step.
struct Share {
  int32_t begin, end;
};
Share shareOf(const StepState &step, int32_t index) {
  int64_t slices = step.slices;
  return {int32_t(slices * index / step.threads),
          int32_t(slices * (index + 1) / step.threads)};
}

/// Claims and computes slices of a shared step until none is left.
void runShared(Context &context, int32_t number, int32_t index) {
  const StepState &step = context.steps[number];
  uint8_t *claims = context.claims +
                    size_t(number) * size_t(context.threads) * kSlicesPerThread;
  WaitWord &done = context.done[step.segment];
  auto attempt = [&](int32_t slice) {
    if (__atomic_load_n(&claims[slice], __ATOMIC_RELAXED) == context.claim ||
        __atomic_exchange_n(&claims[slice], context.claim, __ATOMIC_ACQ_REL) ==
            context.claim)
      return;
    runSlice(context, number, slice, index);
    Pool::count(done, uint32_t(step.slices));
  };
  Share own = shareOf(step, index);
  for (int32_t slice = own.begin; slice < own.end; ++slice)
    attempt(slice);
  for (int32_t i = 1; i < step.threads; ++i) {
    Share other = shareOf(step, (index + i) % step.threads);
    for (int32_t slice = other.end - 1; slice >= other.begin; --slice)
      attempt(slice);
  }
}

uint64_t sinceStart(const Context &context) {
  return uint64_t(nanoseconds() - context.startNs);
}

/// Adds the time of its scope to `sum`, where a profile is wanted.
class Timed {
public:
  Timed(const Context &context, uint64_t &sum)
      : context(context), sum(sum), before(read()) {}
  ~Timed() { sum += read() - before; }
  Timed(const Timed &) = delete;

private:
  uint64_t read() const {
    return context.flags & TENON_CONTEXT_PROFILE ? sinceStart(context) : 0;
  }
  const Context &context;
  uint64_t &sum;
  uint64_t before;
};

/// One thread's walk from the first step to the last that is shared out.
void walk(void *argument, int32_t index) {
  Context &context = *static_cast<Context *>(argument);
  ThreadState &self = context.threadStates[index];
  bool timed = index == 0 && (context.flags & TENON_CONTEXT_PROFILE);
  bool alone = false; // thread 0 has run steps of its own since the barrier
  FloatModes modes;
  for (int32_t s = context.firstStep; s <= context.lastParallel; ++s) {
    StepState &step = context.steps[s];
    if (step.barrierBefore) {
      int32_t before = step.segment - 1;
      if (alone)
        Pool::count(context.done[before], 1);
      alone = false;
      context.pool.waitFor(context.done[before], context.targets[before]);
      if (__atomic_load_n(&context.failedStep, __ATOMIC_ACQUIRE) < s)
        return;
    }
    if (timed)
      step.startNs = sinceStart(context);
    if (step.threads > 1) {
      if (index < step.threads)
        runShared(context, s, index);
    } else if (step.threads == 1 && index == 0) {
      alone = true;
      if (self.failedStep == kNoStep)
        runSlice(context, s, 0, 0);
    }
  }
  int32_t last = context.steps[context.lastParallel].segment;
  if (index == 0)
    context.pool.waitFor(context.done[last], context.targets[last]);
}

struct StepCall {
  Context *context;
  int32_t step;
};

void sliceOfStep(void *argument, int32_t index) {
  const auto &call = *static_cast<StepCall *>(argument);
  FloatModes modes;
  const StepState &step = call.context->steps[call.step];
  if (index < 0 || index >= step.threads)
    return;
  Share own = shareOf(step, index);
  for (int32_t slice = own.begin; slice < own.end; ++slice)
    runSlice(*call.context, call.step, slice, index);
}

/// Steps [first, end), one after the other: through the caller's executor, or
/// on this thread alone.
void runInOrder(Context &context, int32_t first, int32_t end) {
  bool timed = context.flags & TENON_CONTEXT_PROFILE;
  for (int32_t s = first; s < end; ++s) {
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
  // Every slice of the step was computed: the first failure in the order of
  // tasks is known, whoever met it.
  const ThreadState *self = nullptr;
  for (int32_t t = 0; t < context.threads; ++t) {
    const ThreadState &other = context.threadStates[t];
    if (other.failedStep == failed &&
        (!self || other.failedSlice < self->failedSlice))
      self = &other;
  }
  const char *nodes = step.nodes && *step.nodes ? step.nodes : step.name;
  if (self->code == TENON_KERNEL_INDEX_OUT_OF_RANGE)
    return fail(error, TENON_INDEX_OUT_OF_RANGE, "node '", nodes, "': index ",
                self->errorValue, " is out of range, expected ",
                -self->errorLimit, " <= index < ", self->errorLimit);
  return fail(error, TENON_INDEX_OUT_OF_RANGE, "node '", nodes,
              "' failed with code ", self->code);
}

/// Makes all claims those of an earlier parallel region.
void newClaim(Context &context) {
  if (++context.claim)
    return;
  memset(context.claims, 0,
         size_t(context.numSteps) * size_t(context.threads) * kSlicesPerThread);
  context.claim = 1;
}

/// Runs steps [first, end), which are filled in.
void runSteps(Context &context, int32_t first, int32_t end, bool pooled) {
  int32_t begin = first;
  // A forked child has no workers: its only thread does every slice.
  if (context.active > 1 && pooled) {
    auto steps = size_t(context.lastParallel + 1 - first);
    memset(static_cast<void *>(context.done), 0, steps * sizeof *context.done);
    newClaim(context);
    context.firstStep = first;
    context.pool.run(context.active, walk, &context);
    begin = context.lastParallel + 1;
  }
  if (context.failedStep == kNoStep)
    runInOrder(context, begin, end);
  if (!(context.flags & TENON_CONTEXT_PROFILE))
    return;
  uint64_t next = sinceStart(context);
  for (int32_t s = end - 1; s >= first; --s) {
    StepState &step = context.steps[s];
    step.lastNs = next > step.startNs ? next - step.startNs : 0;
    step.timeNs += step.lastNs;
    step.calls += step.threads > 0;
    next = step.startNs;
  }
}

/// Runs all steps, from one control to the next.
tenon_status runAll(Context &context, bool pooled, tenon_error *error) {
  const tenon_program &program = *context.program;
  context.grown = context.surprised = false;
  for (int32_t control = 0, at = 0;;) {
    bool last = control == program.num_controls;
    int32_t end = last ? context.numSteps : program.controls[control].step;
    if (program.num_controls) {
      Timed filling(context, context.controlNs);
      if (pooled) // workers on their way out still look at the tables
        context.pool.settle();
      fillSteps(context, at, end);
    }
    runSteps(context, at, end, pooled);
    if (context.failedStep != kNoStep)
      return reportFailure(context, error);
    if (last)
      return TENON_OK;
    int32_t before = control;
    Timed deciding(context, context.controlNs);
    if (tenon_status status = act(context, control, error))
      return status;
    if (context.surprised)
      return TENON_OK;
    // To the next control or, in a loop, to another place.
    at = program.controls[control == before + 1 ? before : control - 1].step;
  }
}

/// Forgets the times of the run before.
void beginProfile(Context &context) {
  context.startNs = nanoseconds();
  context.runNs = context.prepareNs = context.controlNs = 0;
  for (int32_t s = 0; s < context.numSteps; ++s) {
    StepState &step = context.steps[s];
    step.startNs = step.lastNs = step.timeNs = 0;
    step.calls = 0;
  }
}

tenon_status prepareTimed(Context &context, tenon_error *error) {
  Timed preparing(context, context.prepareNs);
  return prepare(context, error);
}

} // namespace

tenon_status tenon::rt::runContext(Context &context, tenon_error *error) {
  if (!context.level)
    return fail(error, TENON_INVALID_ARGUMENT,
                "the context was made with TENON_CONTEXT_QUERY_ONLY");
  context.ran = context.tooSmall = false;
  // Workers that came late to the run before may still look at its tables.
  bool pooled = context.poolStarted && context.pool.alive();
  if (context.flags & TENON_CONTEXT_PROFILE)
    beginProfile(context);
  do {
    if (pooled)
      context.pool.settle();
    if (tenon_status status = prepareTimed(context, error))
      return status;
    for (int32_t t = 0; t < context.threads; ++t) {
      context.threadStates[t].failedStep = kNoStep;
      context.threadStates[t].task.error_value = 0;
      context.threadStates[t].task.error_limit = 0;
    }
    context.failedStep = kNoStep;
    tenon_status status = runAll(context, pooled, error);
    if (context.grown) // plans for smaller ranges are of no use any more
      forgetPlans(context);
    if (status)
      return status;
  } while (context.surprised);
  if (context.flags & TENON_CONTEXT_PROFILE)
    context.runNs = sinceStart(context);
  context.ran = true;
  return TENON_OK;
}
