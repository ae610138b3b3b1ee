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
  uint32_t busy;
  uint32_t next;     // page at which to look for a free one
  int64_t pool;      // pages that sequences share; 0: each has its own memory
  uint16_t onDevice; // does a context have the tensors on its GPU?
  uint16_t turn;     // 0 or 1: which tensor of what is replaced counts
  uint32_t padding;

  int32_t *lengths() { return reinterpret_cast<int32_t *>(this + 1); }
  const int32_t *lengths() const {
    return reinterpret_cast<const int32_t *>(this + 1);
  }
};
static_assert(sizeof(StateHeader) == 64);

/// What follows the lengths where sequences share a pool. Pages.cpp.
struct PageTables {
  explicit PageTables(const StateHeader &header);
  int32_t *of(int64_t row) const { return pages + row * most; }
  static int64_t numbers(int64_t rows, int64_t most, int64_t pool) {
    return 3 * rows + 2 * runRows(rows, pool) + rows * most + pool;
  }
  /// The most rows of a run: each sequence once, or as many as fit.
  static int64_t runRows(int64_t rows, int64_t pool) {
    return rows > pool * TENON_PANEL_ROWS ? rows : pool * TENON_PANEL_ROWS;
  }

  int64_t most;     // pages of a sequence
  int32_t *counts;  // of each sequence: its pages
  int32_t *marks;   // of each sequence: by who looks for one given twice
  int32_t *gone;    // of each sequence: its first pages that it gave back, as
                    // no row looks back at them
  int32_t *lengths; // of each row of a run: those before it
  int32_t *pages;   // of each sequence, `most`: which pages; a run's rows say
                    // before it, backwards, which sequence they are of
  int32_t *users;   // of each page: sequences that have it
};

// What State.cpp and Pages.cpp share.
uint64_t formatOf(const tenon_program &program);
tenon_status checkHeader(const tenon_program &program, uint64_t format,
                         const void *memory, tenon_error *error);
/// The model's, if the state is one of it; null: `status` says why not.
const tenon_program *programOf(const tenon_model *model, const void *state,
                               tenon_error *error, tenon_status *status);
tenon_status checkRow(const StateHeader &header, int64_t row,
                      tenon_error *error);
/// What a run works on nobody else changes or copies.
tenon_status checkIdle(const StateHeader &header, tenon_error *error);
/// A length that a caller gives for a sequence.
tenon_status checkLength(const tenon_program &program,
                         const StateHeader &header, int64_t row, int64_t length,
                         tenon_error *error);
/// Are `count` of the state's sequences what a run can take?
tenon_status checkSequences(const Context &context, const StateHeader &header,
                            const int64_t *sequences, int64_t count,
                            tenon_error *error);
/// Are the tensors here, and not on the GPU of a context?
tenon_status checkHere(const StateHeader &header, tenon_error *error);
/// The dims of the memory of a state that is not replaced.
void stateDims(const tenon_program &program, const StateHeader &header,
               int32_t index, int64_t *dims);
/// The memory of a state; behind the last it ends.
char *tensorOf(const tenon_program &program, const StateHeader &header,
               int32_t index);
/// Of a sequence: how many matrices of rows, one behind the other.
int64_t matricesOf(const tenon_program &program, int32_t index);
/// Bytes of so many rows of one of them; -1: too many.
int64_t matrixBytes(const tenon_program &program, int32_t index, int64_t rows);
/// Of all its matrices of one sequence.
int64_t pageBytes(const tenon_program &program, int32_t index);
const StateHeader &headerOf(const Context &context);
/// Of row `i` of a run.
int64_t sequenceAt(const Context &context, int64_t i);
/// May the sequences of a run have unequal lengths, of what grows?
bool takesLengths(const Context &context);
/// Rows of one sequence in a run, which follow each other: calls fn(sequence,
/// the first of them, how many) for each.
template <typename Fn>
void forSequences(const Context &context, Fn fn) {
  for (int64_t i = 0, n; i < context.numSequences; i += n) {
    int64_t sequence = sequenceAt(context, i);
    for (n = 1; i + n < context.numSequences; ++n)
      if (sequenceAt(context, i + n) != sequence)
        break;
    fn(sequence, i, n);
  }
}
/// What any row of a run has before it, at most, and the rows that it adds.
int64_t longestOf(const Context &context);
int64_t addedRows(const Context &context, const tenon_state_pair &pair);

// Pages.cpp.
void clearPages(StateHeader &header);
int64_t freePages(const StateHeader &header);
/// Gives back what a sequence does not need for its length.
void trimPages(StateHeader &header, int64_t row);
/// Gives a sequence pages of its own for so many rows, but the first `gone`.
tenon_status replacePages(const tenon_program &program, StateHeader &header,
                          int64_t row, int64_t length, int64_t gone,
                          tenon_error *error);
/// The fewest rows, beside none, to which a sequence can be rolled back: what
/// the next row looks back at is there.
int64_t leastLength(const tenon_program &program, const StateHeader &header,
                    int64_t row);
/// What this run's sequences lack, and the table that its steps read.
tenon_status takePages(Context &context, tenon_error *error);

/// What a row of one sequence takes in state `index`, or the sequence where
/// each run makes it anew.
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

// What pages.h says of them.
tenon_status pagedStateSize(const tenon_model *model, int64_t rows,
                            int64_t capacity, int64_t pages, size_t *bytes,
                            tenon_error *error);
tenon_status initPagedState(const tenon_model *model, void *memory,
                            size_t bytes, int64_t rows, int64_t capacity,
                            int64_t pages, tenon_state **state,
                            tenon_error *error);
tenon_status bindSequences(tenon_context *context, tenon_state *state,
                           const int64_t *sequences, int64_t count,
                           tenon_error *error);
tenon_status shareState(const tenon_model *model, tenon_state *state,
                        int64_t to, int64_t from, int64_t length,
                        tenon_error *error);
tenon_status setStatePages(const tenon_model *model, tenon_state *state,
                           int64_t row, const int32_t *pages, int64_t count,
                           tenon_error *error);
tenon_status statePages(const tenon_model *model, const tenon_state *state,
                        int64_t row, int32_t *pages, int64_t room,
                        int64_t *count, tenon_error *error);

// DeviceState.cpp: of a context on a GPU.

/// Brings the bound state there, and back.
tenon_status moveStateToDevice(Context &context, tenon_error *error);
tenon_status moveStateBack(Context &context, tenon_error *error);
/// What this run's steps read of the lengths and the tables of pages.
tenon_status writeTables(Context &context, tenon_error *error);
/// Queues copying what the state has at these places, there.
tenon_status copyOnDevice(Context &context, const char *to, const char *from,
                          int64_t bytes, tenon_error *error);
/// What was not brought back is lost.
void releaseDeviceState(Context &context);

// RunningStates.cpp.

/// Refuses memory that overlaps a state which a run uses; otherwise `context`,
/// where there is one, counts as running.
tenon_status checkRunning(const void *memory, uint64_t bytes, Context *context,
                          tenon_error *error);
void removeRunning(Context &context);

// StateRun.cpp.

/// Tells the bindings where the state's tensors are, and dims its tables.
void placeTensors(Context &context);
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
