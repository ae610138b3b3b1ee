//===- Program.h - dims and entry checks of a program -----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_RUNTIME_PROGRAM_H
#define TENON_RUNTIME_PROGRAM_H

#include "Text.h"
#include "tenon/abi.h"

namespace tenon::rt {

/// Sizes at or above this are refused, so that sums of sizes never overflow.
constexpr int64_t kMaxBytes = int64_t(1) << 46;

/// The program behind `model`, or null with a message when its ABI is not ours.
const tenon_program *programOf(const tenon_model *model, tenon_error *error,
                               tenon_status *status);

/// Element `index` of an input's data; above the largest int64, that. Of floats
/// the bits of the double.
int64_t elementOf(const void *data, int32_t dtype, int64_t index);

/// What a slot lacks that depends on numbers which the run has yet to read.
constexpr int32_t kRunValues = INT32_MAX;

/// The numbers that a run reads, of which none, some or all are known.
struct RunValues {
  int64_t *values;
  uint8_t *known;
  int64_t *lowest, *highest; // of those without a bound, in the runs so far
  int64_t *least, *most;     // per slot: what it can be
};

/// The state that is bound to a context.
struct StateView {
  bool bound;
  int64_t capacity;       // rows, of what grows
  const int32_t *pages;   // of each sequence, those for so many; null: its own
  const int32_t *lengths; // of each sequence; null: as the inputs' dims say
};

/// Fills slots[0, num_exprs) from the inputs' dims, and values where dims
/// depend on them, and makes every entry check: static dims, equal symbols,
/// declared ranges, the program's own checks. inputDims[i] has inputs[i].rank
/// entries; inputData[i] is null where the input's values are not known yet.
/// Then missing[s] becomes the number of such an input that slot s depends on
/// (-1: none), and what it takes part in is not checked; without `missing` it
/// is an error.
///
/// A program that reads numbers while it runs also needs `run`. Where they are
/// not known missing[s] is kRunValues and the slot is the most that it can be,
/// but at least 0.
tenon_status evaluateDims(const tenon_program &program,
                          const int64_t *const *inputDims, int64_t *slots,
                          tenon_error *error,
                          const void *const *inputData = nullptr,
                          int32_t *missing = nullptr,
                          const RunValues *run = nullptr, StateView state = {});

/// Is what has this guard (abi.h) left out?
inline bool isLeftOut(int32_t guard, const int64_t *slots) {
  return guard && slots[guard - 1] == 0;
}

/// elements * bytes per element; -1 where that is negative or too large.
inline int64_t bytesOf(int64_t elements, int32_t dtype) {
  // Of packed types this is an upper bound: no overflow there, none at all.
  int64_t bytes;
  if (elements < 0 ||
      __builtin_mul_overflow(
          elements, int64_t(tenon_dtype_bytes(tenon_dtype(dtype))), &bytes) ||
      bytes >= kMaxBytes)
    return -1;
  return int64_t(tenon_tensor_bytes(tenon_dtype(dtype), size_t(elements)));
}

/// The error of a step's kernel that returned `code`.
inline tenon_status failStep(const tenon_step &step, int32_t code,
                             int64_t value, int64_t limit, tenon_error *error) {
  const char *nodes = step.nodes && *step.nodes ? step.nodes : step.name;
  if (code == TENON_KERNEL_INDEX_OUT_OF_RANGE)
    return fail(error, TENON_INDEX_OUT_OF_RANGE, "node '", nodes, "': index ",
                value, " is out of range, expected ", -limit, " <= index < ",
                limit);
  return fail(error, TENON_INDEX_OUT_OF_RANGE, "node '", nodes,
              "' failed with code ", code);
}

inline const char *dtypeName(int32_t dtype) {
  return tenon_dtype_name(tenon_dtype(dtype));
}

} // namespace tenon::rt

#endif // TENON_RUNTIME_PROGRAM_H
