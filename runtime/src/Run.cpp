//===- Run.cpp - one run of a model ---------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// 1. Prepare, where dims or bindings changed: evaluate and check the dims,
//    plan, fill the table of buffer pointers and each step's arguments.
// 2. Execute the steps (Steps.cpp), from one control to the next (Control.cpp).
//
//===----------------------------------------------------------------------===//
#include "Run.h"
#include "Device.h"
#include "State.h"

#include <string.h>

using namespace tenon::rt;

tenon_status tenon::rt::evaluate(Context &context, tenon_error *error) {
  bool reads = context.program->num_run_values > 0;
  context.filledTo = 0;
  return evaluateDims(*context.program, context.inputDims, context.slots, error,
                      context.inputData, reads ? context.missing : nullptr,
                      reads ? &context.run : nullptr, context.stateView);
}

namespace {

void fillPointers(Context &context, const Plan &plan) {
  const tenon_program &program = *context.program;
  context.filledTo = 0;
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
  for (int32_t i = 0; context.state && i < context.numArena; ++i)
    if (int32_t other = program.buffers[context.arenaBuffers[i]].index)
      context.pointers[context.arenaBuffers[i]] = context.pointers[other - 1];
  for (int32_t t = 0; t < context.threads; ++t)
    context.threadStates[t].task.scratch =
        context.workspace + plan.arena + plan.scratch * uint64_t(t);
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

tenon_status prepare(Context &context, tenon_error *error) {
  if (tenon_status status = checkBound(context, error))
    return status;
  const tenon_program &program = *context.program;
  context.stale |= context.numValues && valuesChanged(context);
  if ((context.stale || context.dirty) && !context.state &&
      sharesBuffers(context) != context.buffersInPlace) {
    bool shares = context.buffersInPlace = !context.buffersInPlace;
    context.stateView = {shares && !hasPages(program), 0, nullptr, nullptr};
    context.stale = true;
  }
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
  if ((status = checkState(context, error)))
    return status;
  const Plan *plan = planForRun(context, &status, error);
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
  if (context.driver && (status = context.driver->prepare(context, error)))
    return status;
  if (!program.num_controls)
    fillSteps(context, 0, context.numSteps);
  context.stale = context.dirty = false;
  return TENON_OK;
}

/// Runs steps [first, end), which are filled in, wherever that is.
tenon_status runFilled(Context &context, int32_t first, int32_t end,
                       bool pooled, tenon_error *error) {
  if (context.driver)
    return context.driver->runSteps(context, first, end, error);
  runSteps(context, first, end, pooled);
  return context.failedStep == kNoStep ? TENON_OK
                                       : reportFailure(context, error);
}

/// Runs all steps, from one control to the next.
tenon_status runAll(Context &context, bool pooled, tenon_error *error) {
  const tenon_program &program = *context.program;
  context.grown = context.surprised = false;
  FloatModes modes(!context.executor && !context.driver);
  if (context.driver)
    if (tenon_status status = context.driver->begin(context, error))
      return status;
  for (int32_t control = 0, at = 0;;) {
    bool last = control == program.num_controls;
    int32_t end = last ? context.numSteps : program.controls[control].step;
    if (program.num_controls) {
      Timed filling(context, context.controlNs);
      if (pooled) // workers on their way out still look at the tables
        context.pool.settle();
      fillSteps(context, at, end);
    }
    if (tenon_status status = runFilled(context, at, end, pooled, error))
      return status;
    if (last)
      return context.driver ? context.driver->end(context, error) : TENON_OK;
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
void beginProfile(Context &context, bool pooled) {
  if (pooled) // a worker of a run that failed may still note its last wait
    context.pool.settle();
  context.startNs = nanoseconds();
  context.runNs = context.prepareNs = context.controlNs = context.waitNs = 0;
  context.barriers = 0;
  for (int32_t t = 0; t < context.threads; ++t)
    context.threadStates[t].waitNs = 0;
  for (int32_t s = 0; s < context.numSteps; ++s) {
    StepState &step = context.steps[s];
    step.startNs = step.lastNs = step.timeNs = 0;
    step.calls = 0;
  }
}

void endProfile(Context &context, bool pooled) {
  context.runNs = sinceStart(context);
  if (pooled)
    context.pool.settle();
  // One that was held up on its way out waited no longer than the run.
  for (int32_t t = 0; t < context.threads; ++t) {
    uint64_t waited = context.threadStates[t].waitNs;
    context.waitNs += waited < context.runNs ? waited : context.runNs;
  }
}

tenon_status prepareTimed(Context &context, tenon_error *error) {
  Timed preparing(context, context.prepareNs);
  tenon_status status = prepare(context, error);
  if (!status)
    status = takePages(context, error);
  return status ? status : writeTables(context, error);
}

tenon_status runPrepared(Context &context, tenon_error *error) {
  // Workers that came late to the run before may still look at its tables.
  bool pooled = context.poolStarted && context.pool.alive();
  if (context.flags & TENON_CONTEXT_PROFILE)
    beginProfile(context, pooled);
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
    endProfile(context, pooled);
  context.ran = true;
  return TENON_OK;
}

} // namespace

tenon_status tenon::rt::runContext(Context &context, tenon_error *error) {
  if (!context.level && !context.driver)
    return fail(error, TENON_INVALID_ARGUMENT,
                "the context was made with TENON_CONTEXT_QUERY_ONLY");
  context.ran = context.tooSmall = false;
  __atomic_store_n(&context.cancelled, 0, __ATOMIC_RELAXED);
  tenon_status status = beginState(context, error);
  if (status)
    return status;
  status = runPrepared(context, error);
  endState(context, status == TENON_OK);
  return status;
}
