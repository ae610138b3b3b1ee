//===- Replaced.cpp - states that each run makes anew ---------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Replaced.h"

#include <string.h>

using namespace tenon::rt;

namespace {

/// Before the tensors: how many rows they have.
constexpr uint64_t kHead = kAlignment;

/// One tensor with room for all rows; -1: too much.
int64_t tensorBytesOf(const tenon_program &program, int32_t index,
                      int64_t sequences) {
  const tenon_state_pair &pair = program.states[index];
  const tenon_port &port = program.inputs[pair.input];
  int64_t elements = 1;
  for (int32_t d = 0; d < port.rank; ++d)
    if (__builtin_mul_overflow(elements,
                               d == pair.axis        ? pair.most
                               : d == pair.sequences ? sequences
                                                     : port.dim_values[d],
                               &elements))
      return -1;
  int64_t bytes = bytesOf(elements, port.dtype);
  return bytes < 0 ? -1 : int64_t(alignUp(uint64_t(bytes)));
}

} // namespace

Replaced::Replaced(const tenon_program &program, const StateHeader &header,
                   int32_t index)
    : pair(program.states[index]), port(program.inputs[pair.input]),
      header(header) {
  char *begin = tensorOf(program, header, index);
  rows = reinterpret_cast<int64_t *>(begin);
  memory = begin + kHead;
  tensorBytes = uint64_t(tensorBytesOf(program, index, header.rows));
}

int64_t Replaced::bytes(const tenon_program &program, int32_t index,
                        int64_t sequences) {
  int64_t tensor = tensorBytesOf(program, index, sequences);
  return tensor < 0 || tensor >= kMaxBytes / 2 ? -1
                                               : 2 * tensor + int64_t(kHead);
}

int64_t Replaced::bytesOfSequence(const tenon_program &program, int32_t index) {
  return 2 * tensorBytesOf(program, index, 1);
}

void Replaced::dims(int64_t *dims) const {
  for (int32_t d = 0; d < port.rank; ++d)
    dims[d] = d == pair.axis        ? *rows
              : d == pair.sequences ? header.rows
                                    : port.dim_values[d];
}

void Replaced::strides(int64_t &outer, uint64_t &inner) const {
  int64_t all[TENON_MAX_RANK], behind = 1;
  dims(all);
  outer = 1;
  for (int32_t d = 0; d < port.rank; ++d)
    if (d != pair.sequences)
      (d < pair.sequences ? outer : behind) *= all[d];
  inner = uint64_t(bytesOf(behind, port.dtype));
}

void Replaced::clear() {
  *rows = 0;
  memset(memory, 0, 2 * tensorBytes);
}

void Replaced::clear(int64_t sequence) {
  int64_t outer;
  uint64_t inner;
  strides(outer, inner);
  auto *to = static_cast<char *>(current());
  for (int64_t o = 0; o < outer; ++o)
    memset(to + uint64_t(o * header.rows + sequence) * inner, 0, inner);
}

bool Replaced::fits(const Replaced &from) const {
  return !hasAxis() || *rows == from.held() || *rows == 0 || header.rows == 1;
}

void Replaced::copy(int64_t sequence, const Replaced &from, int64_t other) {
  if (hasAxis() && *rows != from.held()) {
    clear(); // the others have as many rows, of zeros
    *rows = from.held();
  }
  int64_t outer;
  uint64_t inner;
  strides(outer, inner);
  auto *to = static_cast<char *>(current());
  const auto *read = static_cast<const char *>(from.current());
  for (int64_t o = 0; o < outer; ++o) {
    char *target = to + uint64_t(o * header.rows + sequence) * inner;
    const char *source = read + uint64_t(o * from.header.rows + other) * inner;
    if (target != source)
      memcpy(target, source, inner);
  }
}

void Replaced::setHeld(int64_t count) {
  if (hasAxis())
    *rows = count;
}

//===----------------------------------------------------------------------===//
// All of them
//===----------------------------------------------------------------------===//

bool tenon::rt::anyGrows(const tenon_program &program) {
  for (int32_t s = 0; s < program.num_states; ++s)
    if (program.states[s].grows)
      return true;
  return false;
}

bool tenon::rt::hasReplaced(const tenon_program &program) {
  for (int32_t s = 0; s < program.num_states; ++s)
    if (program.states[s].replaced)
      return true;
  return false;
}

tenon_status tenon::rt::checkReplaced(const tenon_program &program,
                                      const StateHeader &header, int64_t row,
                                      int64_t length, bool all,
                                      tenon_error *error) {
  int64_t now = header.lengths()[row];
  for (int32_t s = 0; s < program.num_states; ++s) {
    if (!program.states[s].replaced)
      continue;
    Replaced replaced(program, header, s);
    // Where nothing grows the length is what the caller says.
    if (length && (anyGrows(program) ? length != now : length < now))
      return fail(error, TENON_INVALID_STATE, "sequence ", row, ": ", length,
                  " rows, expected ", now, " or 0: '", replaced.name(),
                  "' is made anew by each run, and cannot be rolled back");
    if (!length && !all && replaced.hasAxis() && replaced.held())
      return fail(error, TENON_INVALID_STATE, "sequence ", row,
                  " cannot be emptied alone: '", replaced.name(), "' has ",
                  replaced.held(), " rows for each of the ", header.rows,
                  " sequences");
  }
  return TENON_OK;
}

void tenon::rt::clearReplaced(const tenon_program &program,
                              const StateHeader &header, int64_t row) {
  for (int32_t s = 0; s < program.num_states; ++s) {
    if (!program.states[s].replaced)
      continue;
    Replaced replaced(program, header, s);
    if (row == TENON_ALL_ROWS || header.rows == 1)
      replaced.clear();
    else
      replaced.clear(row);
  }
}

tenon_status tenon::rt::copyReplaced(const tenon_program &program,
                                     const StateHeader &target, int64_t toRow,
                                     const StateHeader &source, int64_t fromRow,
                                     int64_t length, tenon_error *error) {
  for (int32_t s = 0; s < program.num_states; ++s) {
    if (!program.states[s].replaced)
      continue;
    Replaced own(program, target, s), other(program, source, s);
    int64_t held = length ? other.held() : 0;
    if (own.hasAxis() && !(length && own.fits(other)) &&
        (own.held() != held && target.rows > 1))
      return fail(error, TENON_INVALID_STATE, "sequence ", toRow, ": '",
                  own.name(), "' would have ", held, " rows, expected ",
                  own.held(), " as each sequence of the state has");
  }
  if (!length) {
    clearReplaced(program, target, toRow);
    return TENON_OK;
  }
  for (int32_t s = 0; s < program.num_states; ++s)
    if (program.states[s].replaced)
      Replaced(program, target, s)
          .copy(toRow, Replaced(program, source, s), fromRow);
  return TENON_OK;
}
