//===- Replaced.h - states that each run makes anew -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The state of a convolution, of a recurrence, or a window that drops its
// oldest rows: a run reads one tensor and writes another of the same size. Both
// lie in the state, and change places when a run has ended well: nothing is
// copied, and a run that failed has changed nothing.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_RUNTIME_REPLACED_H
#define TENON_RUNTIME_REPLACED_H

#include "State.h"

namespace tenon::rt {

/// One of them in a state's memory: how many rows it has along its axis, then,
/// 64-byte aligned, the two tensors.
class Replaced {
public:
  Replaced(const tenon_program &program, const StateHeader &header,
           int32_t index);

  /// What it takes for so many sequences; -1: too much.
  static int64_t bytes(const tenon_program &program, int32_t index,
                       int64_t sequences);

  /// Of it, what a sequence's two tensors take alone.
  static int64_t bytesOfSequence(const tenon_program &program, int32_t index);

  /// The dims of what it holds now.
  void dims(int64_t *dims) const;
  /// Has it more rows from run to run, up to some number?
  bool hasAxis() const { return pair.axis >= 0; }
  int64_t held() const { return *rows; }
  void *current() const { return memory + tensorBytes * header.turn; }
  void *next() const { return memory + tensorBytes * (1 - header.turn); }
  uint64_t size() const { return tensorBytes; }
  const char *name() const { return port.name; }

  /// Makes it what it is before the first run: zeros, without rows.
  void clear();
  /// Zeros for one sequence.
  void clear(int64_t sequence);
  /// Takes over another state's sequence, whose rows are as many as fit().
  void copy(int64_t sequence, const Replaced &from, int64_t other);
  /// Can a sequence of `from` be one of these? Rows are counted for all.
  bool fits(const Replaced &from) const;
  /// A run has written so many rows.
  void setHeld(int64_t count);

private:
  /// Elements before the dim that counts sequences, and bytes behind it.
  void strides(int64_t &outer, uint64_t &inner) const;

  const tenon_state_pair &pair;
  const tenon_port &port;
  const StateHeader &header;
  int64_t *rows;
  char *memory;
  uint64_t tensorBytes;
};

// Of all of them in a state.

bool hasReplaced(const tenon_program &program);
bool anyGrows(const tenon_program &program);
/// They are as they are, or empty: none can be made shorter. `all`: a
/// sequence's length becomes that of all.
tenon_status checkReplaced(const tenon_program &program,
                           const StateHeader &header, int64_t row,
                           int64_t length, bool all, tenon_error *error);
/// Empties a sequence's, or all.
void clearReplaced(const tenon_program &program, const StateHeader &header,
                   int64_t row);
/// Copies a sequence's, or empties it where the length is 0.
tenon_status copyReplaced(const tenon_program &program,
                          const StateHeader &target, int64_t toRow,
                          const StateHeader &source, int64_t fromRow,
                          int64_t length, tenon_error *error);

} // namespace tenon::rt

#endif // TENON_RUNTIME_REPLACED_H
