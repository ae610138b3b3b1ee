//===- Run.h - the parts of one run -----------------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_RUNTIME_RUN_H
#define TENON_RUNTIME_RUN_H

#include "Context.h"

namespace tenon::rt {

constexpr int32_t kNoStep = INT32_MAX;

// Bindings.cpp: what the caller bound.

/// Has every port its memory?
tenon_status checkBound(const Context &context, tenon_error *error);
/// Have the outputs whose dims are known those dims and room for them, and do
/// they share no memory? Sets `tooSmall` for TENON_OUTPUT_TOO_SMALL.
tenon_status checkOutputs(Context &context, tenon_error *error);

/// Has the caller bound every buffer as the input and the output of its pair?
/// Then a run without a state writes the new rows alone, too.
bool sharesBuffers(const Context &context);
/// Does a state of the program keep pages where its tensors have rows? Runs then
/// copy what they carry on, be it to where it lies.
bool hasPages(const tenon_program &program);

// Run.cpp.

/// Evaluates the program's dims into `slots`, as far as they are known.
tenon_status evaluate(Context &context, tenon_error *error);

// Control.cpp: what is decided between steps.

/// Does what control number `at` says, and sets `at` to the next one's number.
/// `surprised` where the run must begin again with another plan.
tenon_status act(Context &context, int32_t &at, tenon_error *error);

// Steps.cpp: what the host executes.

/// Results must not depend on which thread computes them, so all use the same
/// floating-point modes: round to nearest, subnormals kept, no traps. To ask for
/// them waits for all floating-point instructions before, so a run does once.
class FloatModes {
public:
  explicit FloatModes(bool change = true)
      : before(change ? __builtin_ia32_stmxcsr() : kStandard) {
    if (differs())
      __builtin_ia32_ldmxcsr(kStandard);
  }
  ~FloatModes() {
    if (differs())
      __builtin_ia32_ldmxcsr(before);
  }

private:
  /// What has happened is no mode.
  static constexpr unsigned kStandard = 0x1f80, kFlags = 0x3f;
  bool differs() const { return (before & ~kFlags) != kStandard; }
  unsigned before;
};

/// The arguments of steps [first, end), and how threads share them, unless they
/// are filled in with the dims as they are.
void fillSteps(Context &context, int32_t first, int32_t end);
/// Runs steps [first, end), which are filled in.
void runSteps(Context &context, int32_t first, int32_t end, bool pooled);
/// What `failedStep` died of.
tenon_status reportFailure(const Context &context, tenon_error *error);

/// Nanoseconds since the run began.
inline uint64_t sinceStart(const Context &context) {
  return uint64_t(nanoseconds() - context.startNs);
}

/// Adds the time of its scope to `sum`, where a profile is wanted.
class Timed {
public:
  Timed(const Context &context, uint64_t &sum)
      : context(context), sum(sum), before(read()) {}
  ~Timed() { sum += read() - before; }
  Timed(const Timed &) = delete;

private:
  uint64_t read() const {
    return context.flags & TENON_CONTEXT_PROFILE ? sinceStart(context) : 0;
  }
  const Context &context;
  uint64_t &sum;
  uint64_t before;
};

} // namespace tenon::rt

#endif // TENON_RUNTIME_RUN_H
