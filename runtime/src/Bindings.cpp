//===- Bindings.cpp - is all memory there that a run needs? ---------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Run.h"
#include "State.h"

using namespace tenon::rt;

namespace {

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

/// Is it a buffer that the caller has bound as the input and the output of its
/// pair, in a run that knows of it?
bool sharesBuffer(const Context &context, int32_t input, int32_t output) {
  return !context.state && context.buffersInPlace &&
         context.stateOfInput[input] &&
         context.stateOfInput[input] == context.stateOfOutput[output];
}

/// Has a shared buffer room for what the output would have?
tenon_status checkShared(const Context &context, tenon_error *error) {
  const tenon_program &program = *context.program;
  for (int32_t s = 0; s < program.num_states; ++s) {
    const tenon_state_pair &pair = program.states[s];
    if (!sharesBuffer(context, pair.input, pair.output) || pair.replaced)
      continue;
    const tenon_port &input = program.inputs[pair.input];
    const tenon_port &output = program.outputs[pair.output];
    int64_t room = context.slots[input.dims[pair.axis]];
    if (int64_t rows = context.slots[output.dims[pair.axis]]; rows > room)
      return fail(error, TENON_STATE_FULL, "output '", output.name,
                  "' would have ", rows,
                  " rows for each sequence, the memory that it shares with "
                  "input '",
                  input.name, "' has room for ", room);
  }
  return TENON_OK;
}

tenon_status checkOverlaps(const Context &context, tenon_error *error) {
  const tenon_program &program = *context.program;
  for (int32_t i = 0; context.state && i < program.num_inputs; ++i)
    if (!context.stateOfInput[i] &&
        overlapsState(context, context.inputs[i].data,
                      portBytes(program.inputs[i], context.slots)))
      return fail(error, TENON_INVALID_TENSOR, "input '",
                  program.inputs[i].name,
                  "' shares memory with the bound state");
  for (int32_t o = 0; o < program.num_outputs; ++o) {
    const tenon_port &output = program.outputs[o];
    const void *data = context.outputs[o].data;
    int64_t bytes = outputBytes(context, o);
    // What a state holds has the bytes of its format, in the state's memory.
    if (context.state && context.stateOfOutput[o])
      continue;
    if (overlapsState(context, data, bytes))
      return fail(error, TENON_INVALID_TENSOR, "output '", output.name,
                  "' shares memory with the bound state");
    for (int32_t i = 0; i < program.num_inputs; ++i)
      if (!(context.state && context.stateOfInput[i]) &&
          !(data == context.inputs[i].data && sharesBuffer(context, i, o)) &&
          overlap(data, bytes, context.inputs[i].data,
                  portBytes(program.inputs[i], context.slots)))
        return fail(error, TENON_INVALID_TENSOR, "output '", output.name,
                    "' shares memory with input '", program.inputs[i].name,
                    "'");
    for (int32_t i = 0; i < o; ++i)
      if (!(context.state && context.stateOfOutput[i]) &&
          overlap(data, bytes, context.outputs[i].data,
                  outputBytes(context, i)))
        return fail(error, TENON_INVALID_TENSOR, "output '", output.name,
                    "' shares memory with output '", program.outputs[i].name,
                    "'");
  }
  return TENON_OK;
}

} // namespace

tenon_status tenon::rt::checkBound(const Context &context, tenon_error *error) {
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

tenon_status tenon::rt::checkOutputs(Context &context, tenon_error *error) {
  if (tenon_status status = checkShared(context, error))
    return status;
  for (int32_t i = 0; i < context.program->num_outputs; ++i) {
    if (context.state && context.stateOfOutput[i])
      continue; // checkState has looked
    if (tenon_status status = checkOutput(context, i, error)) {
      context.tooSmall = status == TENON_OUTPUT_TOO_SMALL;
      return status;
    }
  }
  return checkOverlaps(context, error);
}

bool tenon::rt::hasPages(const tenon_program &program) {
  bool any = false;
  for (int32_t s = 0; s < program.num_states; ++s)
    any |= program.states[s].pages != 0;
  return any;
}

bool tenon::rt::sharesBuffers(const Context &context) {
  const tenon_program &program = *context.program;
  bool any = false;
  for (int32_t s = 0; s < program.num_states; ++s) {
    const tenon_state_pair &pair = program.states[s];
    if (pair.grows)
      return false; // the output is longer
    if (pair.replaced)
      continue;
    any = true;
    if (!context.inputs[pair.input].data ||
        context.inputs[pair.input].data != context.outputs[pair.output].data)
      return false;
  }
  return any && !context.driver;
}
