//===- DeviceState.cpp - a state while a GPU uses it ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A state that is bound to a context on a GPU lies there, in memory of the
// context with the same offsets: what counts is brought down once, runs append
// where they read, and rows come back when the state is unbound. The header,
// the lengths and the tables of pages stay on the host; what kernels read of
// them is written there for each run.
//
//===----------------------------------------------------------------------===//
#include "Device.h"
#include "State.h"

using namespace tenon::rt;

namespace {

/// Calls fn(offset, bytes) for all that counts, as far as it lies together.
template <typename Fn>
tenon_status eachPart(const tenon_program &program, const StateHeader &header,
                      Fn fn) {
  const auto *first = reinterpret_cast<const char *>(&header);
  PageTables tables(header);
  for (int32_t s = 0; header.pool && s < program.num_states; ++s) {
    auto begin = uint64_t(tensorOf(program, header, s) - first);
    auto bytes = uint64_t(pageBytes(program, s));
    for (int64_t p = 0, end; p < header.pool; p = end + 1) {
      for (end = p; end < header.pool && tables.users[end];)
        ++end;
      if (tenon_status status = end > p ? fn(begin + uint64_t(p) * bytes,
                                             uint64_t(end - p) * bytes)
                                        : TENON_OK)
        return status;
    }
  }
  if (header.pool)
    return TENON_OK;
  for (int32_t s = 0; s < program.num_states; ++s) {
    const tenon_state_pair &pair = program.states[s];
    auto begin = uint64_t(tensorOf(program, header, s) - first);
    auto end = uint64_t(tensorOf(program, header, s + 1) - first);
    if (!pair.grows) {
      if (tenon_status status = fn(begin, end - begin))
        return status;
      continue;
    }
    int64_t dims[TENON_MAX_RANK], matrices = matricesOf(program, s);
    stateDims(program, header, s, dims);
    auto step = uint64_t(matrixBytes(program, s, dims[pair.axis]));
    for (int64_t m = 0; m < header.rows * matrices; ++m) {
      int64_t length = header.lengths()[m / matrices];
      auto bytes = uint64_t(matrixBytes(program, s, length));
      if (tenon_status status =
              bytes ? fn(begin + uint64_t(m) * step, bytes) : TENON_OK)
        return status;
    }
  }
  return TENON_OK;
}

StateHeader &stateOf(const Context &context) {
  return *reinterpret_cast<StateHeader *>(context.state);
}

} // namespace

tenon_status tenon::rt::moveStateToDevice(Context &context,
                                          tenon_error *error) {
  StateHeader &header = stateOf(context);
  tenon_status status;
  if (header.bytes > context.deviceStateBytes) {
    releaseDeviceState(context);
    void *memory = nullptr;
    if ((status = context.driver->allocate(context.device, header.bytes,
                                           &memory, error)))
      return status;
    context.deviceState = static_cast<uint8_t *>(memory);
    context.deviceStateBytes = header.bytes;
    // Of the last panel kernels load what is no row yet.
    if ((status = context.driver->clear(context.device, memory, header.bytes,
                                        error)))
      return status;
  }
  status = eachPart(*context.program, header, [&](uint64_t at, uint64_t bytes) {
    return context.driver->write(context, context.deviceState + at,
                                 context.state + at, bytes, error);
  });
  if (!status)
    header.onDevice = 1;
  return status;
}

tenon_status tenon::rt::moveStateBack(Context &context, tenon_error *error) {
  StateHeader &header = stateOf(context);
  tenon_status status =
      eachPart(*context.program, header, [&](uint64_t at, uint64_t bytes) {
        return context.driver->read(context, context.state + at,
                                    context.deviceState + at, bytes, error);
      });
  if (!status)
    header.onDevice = 0;
  return status;
}

tenon_status tenon::rt::writeTables(Context &context, tenon_error *error) {
  if (!context.state || !context.driver)
    return TENON_OK;
  StateHeader &header = stateOf(context);
  auto write = [&](const int32_t *from, int64_t numbers) {
    auto at = uint64_t(reinterpret_cast<const uint8_t *>(from) - context.state);
    return context.driver->write(context, context.deviceState + at, from,
                                 uint64_t(numbers) * sizeof *from, error);
  };
  if (!header.pool)
    return takesLengths(context) ? write(header.lengths(), header.rows)
                                 : TENON_OK;
  PageTables tables(header);
  int64_t rows = context.numSequences;
  tenon_status status = write(tables.lengths, rows);
  return status ? status
                : write(tables.pages - rows, rows + header.rows * tables.most);
}

tenon_status tenon::rt::copyOnDevice(Context &context, const char *to,
                                     const char *from, int64_t bytes,
                                     tenon_error *error) {
  auto there = [&](const char *here) {
    return context.deviceState +
           (reinterpret_cast<const uint8_t *>(here) - context.state);
  };
  return context.driver->copy(context, there(to), there(from), uint64_t(bytes),
                              error);
}

void tenon::rt::releaseDeviceState(Context &context) {
  if (context.deviceState)
    context.driver->release(context.device, context.deviceState);
  context.deviceState = nullptr;
  context.deviceStateBytes = 0;
}
