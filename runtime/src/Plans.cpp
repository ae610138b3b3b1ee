//===- Plans.cpp - where the buffers of given dims lie --------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A context keeps the plans of its last dims, and those that tenon_reserve
// made: whatever is nowhere larger than a reserved one may lie as it does.
//
//===----------------------------------------------------------------------===//
#include "Context.h"

#include <string.h>

using namespace tenon::rt;

namespace {

/// `dims` are the same, and so are the values that dims depend on.
bool sameDims(const Context &context, const Plan &plan,
              const int64_t *const *inputDims, const int64_t *slots) {
  const int64_t *at = plan.dims;
  for (int32_t i = 0; i < context.program->num_inputs; ++i)
    for (int32_t d = 0; d < context.program->inputs[i].rank; ++d)
      if (*at++ != inputDims[i][d])
        return false;
  for (int32_t i = 0; i < context.numValues; ++i)
    if (*at++ != slots[context.valueSlots[i]])
      return false;
  return true;
}

/// Sizes of buffers and scratch; the fields that a placement starts from.
tenon_status measure(const Context &context, const int64_t *slots, Plan &plan,
                     tenon_error *error) {
  const tenon_program &program = *context.program;
  for (int32_t i = 0; i < context.numArena; ++i) {
    const tenon_buffer &buffer = program.buffers[context.arenaBuffers[i]];
    int64_t bytes = bytesOf(slots[buffer.elements], buffer.dtype);
    if (bytes < 0)
      return fail(error, TENON_INVALID_TENSOR,
                  "the inputs' dims are out of bounds: the result of '",
                  buffer.first >= 0 && buffer.first < program.num_steps
                      ? program.steps[buffer.first].nodes
                      : "",
                  "' would have ", slots[buffer.elements], " elements");
    plan.sizes[i] = alignUp(uint64_t(bytes));
  }
  plan.scratch = 0;
  for (int32_t s = 0; s < context.numSteps; ++s) {
    const tenon_step &step = program.steps[s];
    int64_t bytes = step.scratch < 0 || isLeftOut(step.guard, slots)
                        ? 0
                        : slots[step.scratch];
    if (bytes >= kMaxBytes)
      return fail(error, TENON_INVALID_TENSOR,
                  "the inputs' dims are too large: '", step.nodes, "' needs ",
                  bytes, " bytes of scratch memory");
    if (bytes > 0 && alignUp(uint64_t(bytes)) > plan.scratch)
      plan.scratch = alignUp(uint64_t(bytes));
  }
  return TENON_OK;
}

/// Does the slot wait for what the run reads?
bool isUnknown(const Context &context, int32_t slot) {
  return context.program->num_run_values && context.missing[slot] >= 0;
}

/// Whether everything in `plan` fits where `other` puts it.
bool fitsIn(const Context &context, const Plan &plan, const Plan &other) {
  if (plan.scratch > other.scratch)
    return false;
  for (int32_t i = 0; i < context.numArena; ++i)
    if (plan.sizes[i] > other.sizes[i])
      return false;
  return true;
}

} // namespace

const Plan *tenon::rt::planFor(Context &context,
                               const int64_t *const *inputDims,
                               const int64_t *slots, tenon_status *status,
                               tenon_error *error) {
  *status = TENON_OK;
  Plan *plan = &context.plans[0];
  for (int32_t i = 0; i < kRecentPlans; ++i) {
    Plan &recent = context.plans[i];
    if (recent.stamp && sameDims(context, recent, inputDims, slots)) {
      recent.stamp = ++context.clock;
      return &recent;
    }
    if (recent.stamp < plan->stamp)
      plan = &recent;
  }
  plan->stamp = 0;
  if ((*status = measure(context, slots, *plan, error)))
    return nullptr;
  plan->arena = placeBuffers(context.numArena, plan->sizes, context.lives,
                             context.numSteps, context.tables, plan->offsets);
  // Best fit is not monotone: smaller dims can give a larger arena. A reserved
  // placement holds whatever is nowhere larger, so it bounds the need.
  for (int32_t i = 0; i < kReservedPlans; ++i) {
    const Plan &reserved = context.plans[kRecentPlans + i];
    if (reserved.stamp == 0 ||
        reserved.total(context.threads) >= plan->total(context.threads) ||
        !fitsIn(context, *plan, reserved))
      continue;
    memcpy(plan->offsets, reserved.offsets,
           size_t(context.numArena) * sizeof *plan->offsets);
    plan->arena = reserved.arena;
    plan->scratch = reserved.scratch;
  }
  int64_t *at = plan->dims;
  for (int32_t i = 0; i < context.program->num_inputs; ++i)
    for (int32_t d = 0; d < context.program->inputs[i].rank; ++d)
      *at++ = inputDims[i][d];
  for (int32_t i = 0; i < context.numValues; ++i)
    *at++ = slots[context.valueSlots[i]];
  plan->stamp = ++context.clock;
  return plan;
}

const Plan *tenon::rt::planForRun(Context &context, tenon_status *status,
                                  tenon_error *error) {
  *status = TENON_OK;
  // What the run has yet to read may need more.
  bool known = context.program->num_run_values == 0;
  for (int32_t i = 0; i < kReservedPlans && known; ++i) {
    Plan &reserved = context.plans[kRecentPlans + i];
    if (!reserved.stamp ||
        reserved.total(context.threads) > context.workspaceBytes)
      continue;
    if (isRoomFor(context, reserved)) {
      reserved.stamp = ++context.clock;
      return &reserved;
    }
  }
  return planFor(context, context.inputDims, context.slots, status, error);
}

void tenon::rt::rememberReserved(Context &context, const Plan &plan) {
  Plan *target = nullptr, *oldest = nullptr;
  for (int32_t i = 0; i < kReservedPlans; ++i) {
    Plan &reserved = context.plans[kRecentPlans + i];
    if (reserved.stamp &&
        reserved.total(context.threads) <= plan.total(context.threads) &&
        fitsIn(context, plan, reserved))
      return; // adds nothing
    if (!oldest || reserved.stamp < oldest->stamp)
      oldest = &reserved;
    if (!target && reserved.stamp && fitsIn(context, reserved, plan))
      target = &reserved;
  }
  if (!target)
    target = oldest;
  memcpy(target->dims, plan.dims,
         size_t(context.totalRank + context.numValues) * sizeof *plan.dims);
  size_t bytes = size_t(context.numArena) * sizeof *plan.offsets;
  memcpy(target->offsets, plan.offsets, bytes);
  memcpy(target->sizes, plan.sizes, bytes);
  target->arena = plan.arena;
  target->scratch = plan.scratch;
  target->stamp = ++context.clock;
  // Plans made before may now have a better place to be.
  forgetPlans(context);
  context.dirty = true;
}

void tenon::rt::forgetPlans(Context &context) {
  for (int32_t i = 0; i < kRecentPlans; ++i)
    context.plans[i].stamp = 0;
}

bool tenon::rt::isRoomFor(const Context &context, const Plan &plan) {
  const tenon_program &program = *context.program;
  for (int32_t i = 0; i < context.numArena; ++i) {
    const tenon_buffer &buffer = program.buffers[context.arenaBuffers[i]];
    if (isUnknown(context, buffer.elements))
      continue;
    int64_t bytes = bytesOf(context.slots[buffer.elements], buffer.dtype);
    if (bytes < 0 || uint64_t(bytes) > plan.sizes[i])
      return false;
  }
  for (int32_t s = 0; s < context.numSteps; ++s) {
    const tenon_step &step = program.steps[s];
    if (step.scratch >= 0 && !isUnknown(context, step.scratch) &&
        !isLeftOut(step.guard, context.slots) &&
        context.slots[step.scratch] > int64_t(plan.scratch))
      return false;
  }
  return true;
}
