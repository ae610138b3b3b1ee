//===- Context.h - the state of running a model -----------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_RUNTIME_CONTEXT_H
#define TENON_RUNTIME_CONTEXT_H

#include "Planner.h"
#include "Pool.h"
#include "Program.h"
#include "Weights.h"

namespace tenon::rt {

/// Where every arena buffer lies for some input dims.
struct Plan {
  int64_t *dims;     // all inputs' dims, then the values that dims depend on
  uint64_t *offsets; // per arena buffer
  uint64_t *sizes;   // per arena buffer, multiples of kAlignment
  uint64_t arena;    // bytes of all buffers
  uint64_t scratch;  // bytes of one thread's scratch
  uint64_t stamp;    // of its last use; 0: empty

  uint64_t total(int32_t threads) const {
    return arena + scratch * uint64_t(threads);
  }
};

/// A caller's tensor.
struct Binding {
  void *data;
  uint64_t bytes;
  int64_t dims[TENON_MAX_RANK];
  bool bound;
  bool anyDims; // an output that takes what comes
  bool onDevice;
};

/// A step with its dims known.
struct StepState {
  void **buffers;
  int64_t *dims;
  int64_t tasks, cost;
  int32_t threads; // 0: no tasks
  int32_t slices;  // parts that threads claim, at least one per thread
  int32_t segment; // of steps without a barrier in between
  bool barrierBefore;
  // With TENON_CONTEXT_PROFILE: of the last call, and of all in one run.
  uint64_t startNs, lastNs, timeNs;
  int64_t calls;
};

/// One thread's part in a run.
struct alignas(64) ThreadState {
  tenon_task task;
  // The first failure in the order of tasks, among those of this thread.
  int32_t failedStep; // or INT32_MAX
  int32_t failedSlice;
  int32_t code; // the kernel's result
  int64_t errorValue, errorLimit;
  uint64_t waitNs; // at barriers, in one run, with TENON_CONTEXT_PROFILE
};

constexpr int32_t kRecentPlans = 4, kReservedPlans = 8;
constexpr int32_t kSlicesPerThread = 16;

struct DeviceDriver;
struct Device;

// A context in parts. Each says which file writes it; the others read.

struct Context;

/// What tenon.h's inline functions read lies first.
struct ContextHead {
  tenon_context_head head;
};

/// Context.cpp: what creation settles for good.
struct Settings {
  const tenon_program *program;
  const tenon_level *level;   // null on a device
  const DeviceDriver *driver; // null on the CPU
  Device *device;
  char deviceNote[256]; // why a GPU that would do is not used
  Weights weights;
  uint32_t flags;
  tenon_parallel_for executor;
  void *executorUser;
  tenon_allocate allocate;
  tenon_release release;
  void *allocatorUser;
  uint64_t blockBytes; // the context and its tables
};

/// Context.cpp: memory for arena and scratch.
struct Workspace {
  uint8_t *workspace;
  uint64_t workspaceBytes;
  bool ownsWorkspace;
};

/// Api.cpp, State.cpp and DeviceState.cpp: what the caller bound. Bindings.cpp
/// checks it.
struct Bound {
  Binding *inputs, *outputs;
  uint8_t *state;           // bound memory; null: none
  uint64_t stateFormat;     // what it must be of
  StateView stateView;      // of it
  const int64_t *sequences; // of it, that a run takes; null: the first
  int64_t numSequences;
  Context *nextRunning; // of those that run with a state; RunningStates.cpp's
  uint8_t *deviceState; // memory of the GPU; DeviceState.cpp's
  uint64_t deviceStateBytes;
  // Of each input and output: 1 + the state that it is of, or 0.
  int32_t *stateOfInput, *stateOfOutput;
  // Has each buffer one memory for its input and its output? Run.cpp asks.
  bool buffersInPlace;
  // Since the last run: dims (evaluate them again), or pointers alone.
  bool stale, dirty;
};

/// Run.cpp: what the bindings' dims give, and what a run reads besides.
struct Dims {
  int64_t *slots;
  const int64_t **inputDims; // scratch: what tenon_run hands to evaluateDims
  const void **inputData;    // likewise
  int32_t totalRank, numValues;
  int32_t *valueSlots; // the slots that are elements of inputs
  // For questions that must not disturb `slots`, with what is bound so far.
  int64_t *querySlots;
  int32_t *queryMissing; // as evaluateDims says
  // Of a program that reads numbers while it runs: what of `slots` is missing,
  // and the numbers, which Control.cpp reads.
  int32_t *missing;
  RunValues run;
};

/// Plans.cpp: where arena buffers lie.
struct Plans {
  int32_t numArena;
  int32_t *arenaBuffers; // buffer numbers
  Lifetime *lives;
  PlannerTables tables;
  Plan *plans;      // kRecentPlans, then kReservedPlans
  const Plan *plan; // the current one
  uint64_t clock;
};

/// Control.cpp: what a run decides. Did it see a number beyond all before, and
/// does memory not suffice for it? Did an output's memory not (Bindings.cpp)?
struct Decisions {
  bool grown, surprised, tooSmall;
  // Of each control: the end of a loop's body after which nothing is evaluated
  // anew, because no dim depends on the iteration.
  uint8_t *steady;
};

/// Steps.cpp: steps with their dims known, and how threads share them.
struct Execution {
  int32_t numSteps;
  void **pointers; // per buffer
  StepState *steps;
  // Of the steps that are filled in: the first, most threads of one, the last
  // with more than one; which they are, as long as no dim is evaluated anew.
  int32_t firstStep, active, lastParallel;
  int32_t filledFrom, filledTo;
  // A segment is one shared step, or steps of thread 0 in a row. `done` counts
  // its finished slices (thread 0's steps count as one) up to `target`.
  WaitWord *done;
  uint32_t *targets;
  // A byte per slice of each step: `claim` once a thread has it.
  uint8_t *claims;
  uint8_t claim; // another one in each parallel region
  ThreadState *threadStates;
  int32_t failedStep;
};

/// Run.cpp: with TENON_CONTEXT_PROFILE the times of the last run, of its
/// preparation, and of what it decided between steps; how often threads waited
/// for each other, and for how long all of them together.
struct Times {
  int64_t startNs;
  uint64_t runNs, prepareNs, controlNs, waitNs;
  int64_t barriers;
};

/// Context.cpp: the context's own threads.
struct Threads {
  int32_t threads;
  bool poolStarted;
  Pool pool;
  Pool::Worker *workers;
};

/// Of the calls: one at a time (Hold), and tenon_cancel's from any thread.
struct Calls {
  uint32_t busy;
  uint32_t cancelled; // cleared as a run begins
  bool ran;
};

struct Context : ContextHead,
                 Settings,
                 Workspace,
                 Bound,
                 Dims,
                 Plans,
                 Decisions,
                 Execution,
                 Times,
                 Threads,
                 Calls {};

tenon_status createContext(const tenon_model *model,
                           const tenon_context_options *options,
                           tenon_context **result, tenon_error *error);
void destroyContext(tenon_context *context);

/// A plan for slots that evaluateDims filled; null with a message when a size
/// is negative or too large.
const Plan *planFor(Context &context, const int64_t *const *inputDims,
                    const int64_t *slots, tenon_status *status,
                    tenon_error *error);
/// Remembers `plan` as one that later dims may fall back to.
void rememberReserved(Context &context, const Plan &plan);

/// Has the buffer, of known size, the memory that it needs?
bool isRoomFor(const Context &context, const Plan &plan);
/// Makes no use of plans made before.
void forgetPlans(Context &context);

/// The same for a run: a reserved plan that holds everything will do, as long
/// as the workspace has room for it.
const Plan *planForRun(Context &context, tenon_status *status,
                       tenon_error *error);

/// Binds the default of an input that has one.
void bindDefault(Context &context, int32_t input);

tenon_status setWorkspace(Context &context, void *memory, uint64_t bytes,
                          tenon_error *error);
tenon_status reserveWorkspace(Context &context, uint64_t bytes,
                              tenon_error *error);
tenon_status runContext(Context &context, tenon_error *error);

/// Holds a context for one call; status() is TENON_BUSY when another has it.
class Hold {
public:
  Hold(tenon_context *handle, tenon_error *error)
      : held(reinterpret_cast<Context *>(handle)) {
    if (!held)
      result = fail(error, TENON_INVALID_ARGUMENT, "the context is NULL");
    else if (__atomic_exchange_n(&held->busy, 1, __ATOMIC_ACQUIRE)) {
      held = nullptr;
      result = fail(error, TENON_BUSY,
                    "the context is in use by another call: make one context "
                    "per thread");
    }
  }
  ~Hold() {
    if (held)
      __atomic_store_n(&held->busy, 0, __ATOMIC_RELEASE);
  }
  Hold(const Hold &) = delete;
  Hold &operator=(const Hold &) = delete;

  tenon_status status() const { return result; }
  Context &operator*() const { return *held; }
  Context *operator->() const { return held; }

private:
  Context *held;
  tenon_status result = TENON_OK;
};

} // namespace tenon::rt

#endif // TENON_RUNTIME_CONTEXT_H
