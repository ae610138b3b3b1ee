//===- Control.cpp - what a run decides between steps ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Numbers that steps computed become dims, loops begin and end, and values are
// handed from one iteration to the next. Where memory was not planned for what
// comes out, the run begins again with another plan.
//
//===----------------------------------------------------------------------===//
#include "Device.h"
#include "Run.h"

#include <string.h>

using namespace tenon::rt;

namespace {

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

/// The first elements of a buffer, wherever it lies; until the next call.
tenon_status look(Context &context, int32_t buffer, int64_t elements,
                  const void **data, tenon_error *error) {
  *data = context.pointers[buffer];
  if (!context.driver)
    return TENON_OK;
  int64_t bytes = bytesOf(elements, context.program->buffers[buffer].dtype);
  return context.driver->view(context, buffer, uint64_t(bytes), data, error);
}

tenon_status readValues(Context &context, const tenon_control &control,
                        tenon_error *error) {
  int32_t dtype = context.program->buffers[control.buffer].dtype;
  bool leftOut = isLeftOut(control.guard, context.slots);
  const void *data = nullptr;
  if (!leftOut)
    if (tenon_status status =
            look(context, control.buffer, control.count, &data, error))
      return status;
  for (int32_t i = 0; i < control.count; ++i)
    setValue(context, control.value + i,
             leftOut ? 0 : elementOf(data, dtype, i));
  return TENON_OK;
}

/// The bytes that the plan has for a buffer of the arena.
uint64_t plannedBytes(const Context &context, int32_t buffer) {
  int32_t low = 0, high = context.numArena; // they are in order
  while (low < high) {
    int32_t middle = (low + high) / 2;
    if (context.arenaBuffers[middle] < buffer)
      low = middle + 1;
    else
      high = middle;
  }
  bool found = low < context.numArena && context.arenaBuffers[low] == buffer;
  return found ? context.plan->sizes[low] : 0;
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
tenon_status copyValues(Context &context, const tenon_control &control,
                        int64_t iteration, tenon_error *error) {
  for (int32_t i = 0; i < control.num_copies; ++i) {
    const tenon_copy &copy = control.copies[i];
    int64_t end = endOfCopy(context, copy, iteration);
    if (end <= 0)
      continue;
    int64_t bytes = copy.row ? end / (iteration + 1) : end;
    uint8_t *to =
        static_cast<uint8_t *>(context.pointers[copy.to]) + end - bytes;
    const void *from = context.pointers[copy.from];
    if (!context.driver)
      memcpy(to, from, size_t(bytes));
    else if (tenon_status status = context.driver->copy(context, to, from,
                                                        uint64_t(bytes), error))
      return status;
  }
  return TENON_OK;
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
    return copyValues(context, control, iteration, error);
  }
  context.surprised = context.grown;
  return context.grown
             ? TENON_OK
             : fail(error, TENON_WORKSPACE_TOO_SMALL, "what iteration ",
                    iteration, " of a loop hands on is outside its bound");
}

/// Begins iteration `number` of a loop, or ends the loop after so many.
/// `goesOn`: whether there is another one. `control` says how large handed
/// values are.
tenon_status iterate(Context &context, const tenon_control &control,
                     const tenon_control &loop, int64_t number, bool &goesOn,
                     tenon_error *error) {
  goesOn = number < context.slots[loop.trips];
  if (goesOn && loop.condition >= 0) {
    const void *condition;
    if (tenon_status status =
            look(context, loop.condition, 1, &condition, error))
      return status;
    goesOn = *static_cast<const uint8_t *>(condition);
  }
  memset(context.run.known + loop.value, 0, size_t(loop.count));
  int32_t inside = loop.value + 1, behind = loop.value - 1 - control.num_sizes;
  for (int32_t i = 0; i < control.num_sizes; ++i)
    setValue(context, (goesOn ? inside : behind) + i,
             context.slots[control.sizes[i]]);
  setValue(context, goesOn ? loop.value : loop.value - 1, number);
  if (!goesOn)
    return TENON_OK;
  void *place = context.pointers[loop.buffer];
  if (context.driver)
    return context.driver->write(context, place, &number, sizeof number, error);
  memcpy(place, &number, sizeof number);
  return TENON_OK;
}

/// A loop in a branch that is not taken: no iterations, and nothing behind it.
void leaveOut(Context &context, const tenon_control &loop) {
  for (int32_t i = 0; i <= loop.num_sizes; ++i)
    setValue(context, loop.value - 1 - i, 0);
}

} // namespace

tenon_status tenon::rt::act(Context &context, int32_t &at, tenon_error *error) {
  const tenon_control *controls = context.program->controls;
  const tenon_control &control = controls[at++];
  if (control.kind == TENON_CONTROL_READ) {
    if (tenon_status status = readValues(context, control, error))
      return status;
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
    bool goesOn;
    if (tenon_status status = iterate(context, control, loop,
                                      first ? 0 : number + 1, goesOn, error))
      return status;
    bool steady = goesOn && context.steady[at - 1];
    if (goesOn != first) // back to the body, or past it
      at = control.partner + 1;
    if (steady)
      return TENON_OK;
  }
  return takeValues(context, control, error);
}
