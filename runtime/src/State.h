//===- State.h - caches that a run reads and writes in place ----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_RUNTIME_STATE_H
#define TENON_RUNTIME_STATE_H

#include "Context.h"

namespace tenon::rt {

/// What the caller's memory begins with; the rows' lengths follow, then a
/// tensor per state, 64-byte aligned. It has no pointers: a caller may move or
/// store it.
struct StateHeader {
  uint64_t magic;
  uint64_t format; // of the model that it is for
  uint64_t bytes;
  int64_t rows, capacity; // sequences; tokens of each, of what grows
  uint32_t busy, reserved;
  uint64_t padding[2];

  int32_t *lengths() { return reinterpret_cast<int32_t *>(this + 1); }
  const int32_t *lengths() const {
    return reinterpret_cast<const int32_t *>(this + 1);
  }
};
static_assert(sizeof(StateHeader) == 64);

/// What a row of one sequence takes in state `index`.
int64_t stateRowBytes(const tenon_program &program, int32_t index);

// What tenon.h says of them.
tenon_status stateSize(const tenon_model *model, int64_t rows, int64_t capacity,
                       size_t *bytes, tenon_error *error);
tenon_status initState(const tenon_model *model, void *memory, size_t bytes,
                       int64_t rows, int64_t capacity, tenon_state **state,
                       tenon_error *error);
tenon_status stateLength(const tenon_model *model, const tenon_state *state,
                         int64_t row, int64_t *length, tenon_error *error);
tenon_status setStateLength(const tenon_model *model, tenon_state *state,
                            int64_t row, int64_t length, tenon_error *error);
tenon_status copyState(const tenon_model *model, tenon_state *to, int64_t toRow,
                       const tenon_state *from, int64_t fromRow, int64_t length,
                       tenon_error *error);
tenon_status stateData(const tenon_model *model, const tenon_state *state,
                       int32_t index, int64_t *dims, const void **data,
                       tenon_error *error);
tenon_status bindState(tenon_context *context, tenon_state *state,
                       tenon_error *error);

/// Hands the bound state's length, as it is now, to its inputs' dims.
void takeLengths(Context &context);
/// Takes the bound state for a run, with its length.
tenon_status beginState(Context &context, tenon_error *error);
/// Has it room for what this run adds? The dims are known.
tenon_status checkState(const Context &context, tenon_error *error);
/// Gives it back; after a run that went well the new rows count.
void endState(Context &context, bool ran);

/// Does memory overlap the bound state?
bool overlapsState(const Context &context, const void *data, int64_t bytes);

} // namespace tenon::rt

#endif // TENON_RUNTIME_STATE_H
