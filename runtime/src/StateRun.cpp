//===- StateRun.cpp - a state in a run ------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Replaced.h"

using namespace tenon::rt;

namespace {

/// Where a context has what lies here in its state.
void *placeOf(const Context &context, const void *here) {
  uint8_t *begin = context.driver ? context.deviceState : context.state;
  return begin + (static_cast<const uint8_t *>(here) - context.state);
}

/// What a run reads of those that are replaced, and what it writes: other runs
/// may have been with another context.
void takeTurns(Context &context) {
  const tenon_program &program = *context.program;
  uint32_t turn = headerOf(context).turn;
  for (int32_t s = 0; s < program.num_states; ++s) {
    if (!program.states[s].replaced)
      continue;
    Binding &input = context.inputs[program.states[s].input];
    Binding &output = context.outputs[program.states[s].output];
    auto *first = static_cast<uint8_t *>(
        input.data < output.data ? input.data : output.data);
    input.data = first + input.bytes * turn;
    output.data = first + input.bytes * (1 - turn);
    context.dirty = true;
  }
}

/// Lengths that a run can take.
tenon_status checkLengths(const Context &context, tenon_error *error) {
  const int32_t *lengths = headerOf(context).lengths();
  int64_t first = sequenceAt(context, 0);
  bool same = true;
  for (int64_t i = 0; i < context.numSequences; ++i) {
    int64_t row = sequenceAt(context, i);
    if (lengths[row] < 0 || lengths[row] > headerOf(context).capacity)
      return fail(error, TENON_INVALID_STATE, "sequence ", row, " has ",
                  lengths[row], " rows, expected 0..",
                  headerOf(context).capacity);
    if (same && lengths[row] != lengths[first]) {
      same = false;
      if (!takesLengths(context))
        return fail(error, TENON_INVALID_STATE, "sequence ", row, " has ",
                    lengths[row], " rows, expected ", lengths[first],
                    " as sequence ", first,
                    " has: the model has one length for all; roll longer ones "
                    "back, or pad their prompts on the left and mask that");
    }
  }
  return TENON_OK;
}

/// Tells the kernels which sequence each row of the run is of, and where in it.
void placeRows(const Context &context) {
  const StateHeader &header = headerOf(context);
  PageTables tables(header);
  forSequences(context, [&](int64_t row, int64_t first, int64_t times) {
    for (int64_t t = 0; t < times; ++t) {
      tables.lengths[first + t] = int32_t(header.lengths()[row] + t);
      tables.pages[-1 - (first + t)] = int32_t(row);
    }
  });
}

} // namespace

void tenon::rt::placeTensors(Context &context) {
  const tenon_program &program = *context.program;
  const StateHeader &header = headerOf(context);
  PageTables tables(header);
  auto tableOf = [&](const int32_t *here) {
    return static_cast<const int32_t *>(placeOf(context, here));
  };
  context.stateView.pages = header.pool ? tableOf(tables.pages) : nullptr;
  context.stateView.lengths =
      tableOf(header.pool ? tables.lengths : header.lengths());
  for (int32_t s = 0; s < program.num_states; ++s) {
    Binding &input = context.inputs[program.states[s].input];
    Binding &output = context.outputs[program.states[s].output];
    if (program.states[s].replaced) {
      Replaced replaced(program, header, s);
      input.data = placeOf(context, replaced.current());
      output.data = placeOf(context, replaced.next());
      input.bytes = output.bytes = replaced.size();
      continue;
    }
    char *begin = tensorOf(program, header, s);
    input.data = output.data = placeOf(context, begin);
    input.bytes = output.bytes =
        uint64_t(tensorOf(program, header, s + 1) - begin);
  }
  context.dirty = true;
}

namespace tenon::rt {

tenon_status beginState(Context &context, tenon_error *error) {
  if (!context.state)
    return TENON_OK;
  const tenon_program &program = *context.program;
  if (tenon_status status =
          checkHeader(program, context.stateFormat, context.state, error))
    return status;
  auto &header = *reinterpret_cast<StateHeader *>(context.state);
  if (__atomic_exchange_n(&header.busy, 1, __ATOMIC_ACQUIRE))
    return fail(error, TENON_BUSY, "the state is in use by another run");
  tenon_status status =
      checkRunning(context.state, header.bytes, &context, error);
  if (status) {
    __atomic_store_n(&header.busy, 0, __ATOMIC_RELEASE);
    return status;
  }
  if (!context.driver) {
    status = checkHere(header, error);
  } else if (!header.onDevice) { // it was made anew
    status = moveStateToDevice(context, error);
    placeTensors(context);
  }
  if (!status && header.pool) // the caller's array may have changed
    status = checkSequences(context, header, context.sequences,
                            context.numSequences, error);
  if (!status && anyGrows(program))
    status = checkLengths(context, error);
  if (status) {
    endState(context, false);
    return status;
  }
  if (header.pool)
    placeRows(context);
  takeLengths(context);
  takeTurns(context);
  return TENON_OK;
}

void takeLengths(Context &context) {
  const tenon_program &program = *context.program;
  int64_t longest = context.state ? longestOf(context) : 0;
  for (int32_t s = 0; context.state && s < program.num_states; ++s) {
    const tenon_state_pair &pair = program.states[s];
    if (!pair.grows && !(pair.replaced && pair.axis >= 0))
      continue;
    int64_t &dim = context.inputs[pair.input].dims[pair.axis];
    int64_t length =
        pair.grows ? longest : Replaced(program, headerOf(context), s).held();
    context.stale |= dim != length;
    dim = length;
  }
}

tenon_status checkState(const Context &context, tenon_error *error) {
  if (!context.state)
    return TENON_OK;
  const tenon_program &program = *context.program;
  const StateHeader &header = headerOf(context);
  for (int32_t s = 0; s < program.num_states; ++s) {
    const tenon_state_pair &pair = program.states[s];
    const tenon_port &output = program.outputs[pair.output];
    if (pair.replaced) {
      int64_t rows = pair.axis < 0 ? 0 : context.slots[output.dims[pair.axis]];
      if (pair.axis >= 0 && rows > pair.most)
        return fail(error, TENON_STATE_FULL, "output '", output.name,
                    "' would have ", rows,
                    " rows for each sequence, the state has room for ",
                    pair.most);
      continue;
    }
    int64_t dims[TENON_MAX_RANK];
    stateDims(program, header, s, dims);
    int64_t needed = context.slots[output.dims[pair.axis]];
    if (needed > dims[pair.axis])
      return fail(error, TENON_STATE_FULL, "output '", output.name,
                  "' would have ", needed,
                  " rows for each sequence, the state has room for ",
                  dims[pair.axis]);
    if (pair.grows && addedRows(context, pair) < 1)
      return fail(error, TENON_INVALID_STATE, "output '", output.name,
                  "' would have no new rows for each sequence, expected 1 or "
                  "more");
  }
  return TENON_OK;
}

void endState(Context &context, bool ran) {
  if (!context.state)
    return;
  const tenon_program &program = *context.program;
  auto &header = *reinterpret_cast<StateHeader *>(context.state);
  removeRunning(context);
  int64_t added = 0; // by all that grow
  if (ran && hasReplaced(program))
    header.turn = uint16_t(1 - header.turn);
  for (int32_t s = 0; ran && s < program.num_states; ++s) {
    const tenon_state_pair &pair = program.states[s];
    if (pair.replaced && pair.axis >= 0)
      Replaced(program, header, s)
          .setHeld(context.slots[program.outputs[pair.output].dims[pair.axis]]);
    if (pair.grows)
      added = addedRows(context, pair);
  }
  for (int64_t i = 0; added && i < context.numSequences; ++i)
    header.lengths()[sequenceAt(context, i)] += int32_t(added);
  __atomic_store_n(&header.busy, 0, __ATOMIC_RELEASE);
}

bool overlapsState(const Context &context, const void *data, int64_t bytes) {
  if (!context.state || bytes <= 0)
    return false;
  auto begin = reinterpret_cast<uintptr_t>(context.state);
  auto first = reinterpret_cast<uintptr_t>(data);
  return first < begin + headerOf(context).bytes &&
         begin < first + uint64_t(bytes);
}

} // namespace tenon::rt
