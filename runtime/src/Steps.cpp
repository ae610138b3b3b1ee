//===- Steps.cpp - steps on the host's threads ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// With own threads, every thread walks the same list. A step is cut into
// slices, several per thread; a thread takes its own ones first and then those
// that nobody has begun, so that a thread which the system holds up delays
// nobody. Of its own it takes half of what is left at a time, in one call:
// what a kernel makes anew in each call (the rows that a product packs, rounds
// or makes integers) it makes seldom, and the last pieces are small. Cheap
// steps belong to thread 0 alone, and a row of them needs no barrier inside.
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
#include "Run.h"

#include <string.h>

using namespace tenon::rt;

namespace {

/// A thread pays for the barrier from about this many FMAs on.
constexpr int64_t kCostPerThread = 16 * 1024;
/// Finer slices even out the threads' speeds where each is worth its call.
constexpr int64_t kCostPerSlice = 64 * 1024;

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

/// No kernel's result.
constexpr int32_t kCancelled = -1;

void noteFailure(Context &context, int32_t step) {
  int32_t seen = __atomic_load_n(&context.failedStep, __ATOMIC_RELAXED);
  while (step < seen &&
         !__atomic_compare_exchange_n(&context.failedStep, &seen, step, false,
                                      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
  }
}

/// Where a slice's tasks begin. Slices with a task more lie between the others:
/// each thread has some.
int64_t firstTask(const StepState &step, int32_t slice) {
  int64_t share = step.tasks / step.slices, rest = step.tasks % step.slices;
  return share * slice + rest * slice / step.slices;
}

/// Computes slices [slice, endSlice) of a step on thread `index`.
void runSlices(Context &context, int32_t number, int32_t slice,
               int32_t endSlice, int32_t index) {
  const StepState &step = context.steps[number];
  ThreadState &self = context.threadStates[index];
  int64_t begin = firstTask(step, slice), end = firstTask(step, endSlice);
  tenon_kernel kernel =
      context.level->kernels[context.program->steps[number].kernel];
  int32_t code = __atomic_load_n(&context.cancelled, __ATOMIC_RELAXED)
                     ? kCancelled
                     : kernel(step.buffers, step.dims, begin, end, &self.task);
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
  auto claim = [&](int32_t slice) {
    return __atomic_load_n(&claims[slice], __ATOMIC_RELAXED) != context.claim &&
           __atomic_exchange_n(&claims[slice], context.claim,
                               __ATOMIC_ACQ_REL) != context.claim;
  };
  auto attempt = [&](int32_t slice, int32_t most) {
    int32_t end = slice;
    while (end < slice + most && claim(end))
      ++end;
    if (end > slice) {
      runSlices(context, number, slice, end, index);
      Pool::count(done, uint32_t(end - slice), uint32_t(step.slices));
    }
    return end > slice ? end : slice + 1;
  };
  Share own = shareOf(step, index);
  for (int32_t slice = own.begin; slice < own.end;)
    slice = attempt(slice, (own.end - slice + 1) / 2);
  for (int32_t i = 1; i < step.threads; ++i) {
    Share other = shareOf(step, (index + i) % step.threads);
    for (int32_t slice = other.end - 1; slice >= other.begin; --slice)
      attempt(slice, 1);
  }
}

/// Waits on thread `index` until a segment's steps have been computed.
void passBarrier(Context &context, int32_t segment, int32_t index) {
  if (!(context.flags & TENON_CONTEXT_PROFILE))
    return context.pool.waitFor(context.done[segment],
                                context.targets[segment]);
  uint64_t before = sinceStart(context);
  context.pool.waitFor(context.done[segment], context.targets[segment]);
  context.threadStates[index].waitNs += sinceStart(context) - before;
  if (index == 0)
    ++context.barriers;
}

/// One thread's walk from the first step to the last that is shared out.
void walk(void *argument, int32_t index) {
  Context &context = *static_cast<Context *>(argument);
  ThreadState &self = context.threadStates[index];
  bool profiled = context.flags & TENON_CONTEXT_PROFILE;
  bool timed = index == 0 && profiled;
  bool alone = false; // thread 0 has run steps of its own since the barrier
  FloatModes modes;
  for (int32_t s = context.firstStep; s <= context.lastParallel; ++s) {
    StepState &step = context.steps[s];
    if (step.barrierBefore) {
      int32_t before = step.segment - 1;
      if (alone)
        Pool::count(context.done[before], 1, 1);
      alone = false;
      passBarrier(context, before, index);
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
        runSlices(context, s, 0, 1, 0);
    }
  }
  // A worker may leave; a profile tells what it would have waited.
  if (index == 0 || profiled)
    passBarrier(context, context.steps[context.lastParallel].segment, index);
}

struct StepCall {
  Context *context;
  int32_t step;
};

void runShare(Context &context, int32_t number, int32_t index) {
  const StepState &step = context.steps[number];
  if (index < 0 || index >= step.threads)
    return;
  Share own = shareOf(step, index);
  runSlices(context, number, own.begin, own.end, index);
}

void runShareOfCall(void *argument, int32_t index) {
  const auto &call = *static_cast<StepCall *>(argument);
  FloatModes modes;
  runShare(*call.context, call.step, index);
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
      context.executor(context.executorUser, step.threads, runShareOfCall,
                       &call);
    else if (context.executor) // whose modes are the caller's
      runShareOfCall(&call, 0);
    else
      for (int32_t i = 0; i < step.threads; ++i)
        runShare(context, s, i);
    if (__atomic_load_n(&context.failedStep, __ATOMIC_ACQUIRE) != kNoStep)
      return;
  }
}

/// Makes all claims those of an earlier parallel region.
void newClaim(Context &context) {
  if (++context.claim)
    return;
  memset(context.claims, 0,
         size_t(context.numSteps) * size_t(context.threads) * kSlicesPerThread);
  context.claim = 1;
}

} // namespace

void tenon::rt::fillSteps(Context &context, int32_t first, int32_t end) {
  const tenon_program &program = *context.program;
  if (context.filledFrom == first && context.filledTo == end && end)
    return;
  context.filledFrom = first;
  context.filledTo = end;
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

void tenon::rt::runSteps(Context &context, int32_t first, int32_t end,
                         bool pooled) {
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

tenon_status tenon::rt::reportFailure(const Context &context,
                                      tenon_error *error) {
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
  if (self->code == kCancelled) {
    const char *nodes = step.nodes && *step.nodes ? step.nodes : step.name;
    return fail(error, TENON_CANCELLED, "the run was cancelled at node '",
                nodes, "'");
  }
  return failStep(step, self->code, self->errorValue, self->errorLimit, error);
}
