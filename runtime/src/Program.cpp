//===- Program.cpp - dims and entry checks of a program -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Symbolic dims are never trusted: whatever the compiler assumed of them is
// checked here before the first kernel runs. Arithmetic saturates, so that a
// check can still name the dim that made it overflow. The same holds of values
// that dims depend on.
//
//===----------------------------------------------------------------------===//
#include "Program.h"

#include <string.h>

using namespace tenon::rt;

static_assert(TENON_ABI_F32 == int(TENON_F32) &&
                  TENON_ABI_BOOL == int(TENON_BOOL) &&
                  TENON_ABI_BF16 == int(TENON_BF16),
              "the two headers number the element types alike");
static_assert(sizeof(tenon_model) == 40, "abi.h documents this layout");

const tenon_program *tenon::rt::programOf(const tenon_model *model,
                                          tenon_error *error,
                                          tenon_status *status) {
  const auto *program =
      model ? static_cast<const tenon_program *>(model->program) : nullptr;
  if (!program) {
    *status = fail(error, TENON_INVALID_ARGUMENT,
                   model ? "the model has no program" : "the model is NULL");
    return nullptr;
  }
  const auto *twin = static_cast<const tenon_twin *>(model->twin);
  if (twin && twin->other) {
    *status = fail(error, TENON_INVALID_ARGUMENT,
                   "two libraries of this program have a model named '",
                   program->model_name,
                   "', and the first would be used for both: compile one with "
                   "another --name. They are '",
                   twin->file, "' and '", twin->other, "'");
    return nullptr;
  }
  if (program->magic != TENON_ABI_MAGIC ||
      program->abi_version != TENON_ABI_VERSION) {
    *status =
        fail(error, TENON_VERSION_MISMATCH,
             "the artifact's program has ABI version ",
             program->magic == TENON_ABI_MAGIC ? program->abi_version : 0u,
             ", its runtime expects ", TENON_ABI_VERSION,
             ": compile the model again");
    return nullptr;
  }
  return program;
}

namespace {

int64_t bitsOf(double value) {
  int64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
double doubleOf(int64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
double floatOf(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
double halfOf(uint16_t bits) {
  uint32_t sign = uint32_t(bits >> 15) << 31, rest = bits & 0x7fffu;
  if (rest >= 0x7c00) // infinity, NaN
    return floatOf(sign | 0x7f800000 | (rest & 0x3ff) << 13);
  // As a float of 2^112 times less.
  return floatOf(sign | rest << 13) * 0x1p112;
}

/// Rounds down (-1), up (1) or towards zero (0), without libm.
int64_t toInteger(double value, int direction) {
  if (!(value > -0x1p63)) // NaN too
    return INT64_MIN;
  if (value >= 0x1p63)
    return INT64_MAX;
  auto whole = int64_t(value);
  if (direction < 0 && double(whole) > value)
    return whole - 1;
  return direction > 0 && double(whole) < value ? whole + 1 : whole;
}

} // namespace

int64_t tenon::rt::elementOf(const void *data, int32_t dtype, int64_t index) {
  auto read = [&](auto zero) {
    memcpy(&zero,
           static_cast<const char *>(data) + index * int64_t(sizeof zero),
           sizeof zero);
    return zero;
  };
  switch (dtype) {
  case TENON_ABI_BOOL:
    return read(uint8_t(0)) != 0;
  case TENON_ABI_U8:
    return read(uint8_t(0));
  case TENON_ABI_I8:
    return read(int8_t(0));
  case TENON_ABI_U16:
    return read(uint16_t(0));
  case TENON_ABI_I16:
    return read(int16_t(0));
  case TENON_ABI_U32:
    return read(uint32_t(0));
  case TENON_ABI_I32:
    return read(int32_t(0));
  case TENON_ABI_U64: {
    uint64_t value = read(uint64_t(0));
    return value > uint64_t(INT64_MAX) ? INT64_MAX : int64_t(value);
  }
  case TENON_ABI_I64:
  case TENON_ABI_F64:
    return read(int64_t(0));
  case TENON_ABI_F32:
    return bitsOf(floatOf(read(uint32_t(0))));
  case TENON_ABI_F16:
    return bitsOf(halfOf(read(uint16_t(0))));
  case TENON_ABI_BF16:
    return bitsOf(floatOf(uint32_t(read(uint16_t(0))) << 16));
  default:
    return 0;
  }
}

namespace {

int64_t saturated(bool negative, bool &overflow) {
  overflow = true;
  return negative ? INT64_MIN : INT64_MAX;
}

int64_t floorDiv(int64_t a, int64_t b, bool &overflow) {
  if (b == 0)
    return 0;
  if (b == -1)
    return a == INT64_MIN ? saturated(false, overflow) : -a;
  int64_t q = a / b;
  return (a % b != 0 && ((a < 0) != (b < 0))) ? q - 1 : q;
}

int64_t ceilDiv(int64_t a, int64_t b, bool &overflow) {
  if (b == 0)
    return 0;
  if (b == -1)
    return a == INT64_MIN ? saturated(false, overflow) : -a;
  int64_t q = a / b;
  return (a % b != 0 && ((a < 0) == (b < 0))) ? q + 1 : q;
}

int64_t quotient(int64_t a, int64_t b, bool &overflow) {
  if (b == 0)
    return 0;
  if (b == -1)
    return a == INT64_MIN ? saturated(false, overflow) : -a;
  return a / b;
}

int64_t modulo(int64_t a, int64_t b) {
  if (b == 0 || b == -1)
    return 0;
  int64_t r = a % b;
  return (r != 0 && ((r < 0) != (b < 0))) ? r + b : r;
}

int64_t apply(const tenon_expr &expr, int64_t a, int64_t b, bool &overflow) {
  int64_t result = 0;
  switch (expr.op) {
  case TENON_EXPR_ADD:
    return __builtin_add_overflow(a, b, &result) ? saturated(a < 0, overflow)
                                                 : result;
  case TENON_EXPR_SUB:
    return __builtin_sub_overflow(a, b, &result) ? saturated(a < 0, overflow)
                                                 : result;
  case TENON_EXPR_MUL:
    return __builtin_mul_overflow(a, b, &result)
               ? saturated((a < 0) != (b < 0), overflow)
               : result;
  case TENON_EXPR_FLOORDIV:
    return floorDiv(a, b, overflow);
  case TENON_EXPR_CEILDIV:
    return ceilDiv(a, b, overflow);
  case TENON_EXPR_QUOT:
    return quotient(a, b, overflow);
  case TENON_EXPR_MOD:
    return modulo(a, b);
  case TENON_EXPR_MIN:
    return a < b ? a : b;
  case TENON_EXPR_MAX:
    return a > b ? a : b;
  case TENON_EXPR_BCAST:
    return a == 1 ? b : a;
  case TENON_EXPR_EQ:
    return a == b;
  case TENON_EXPR_NE:
    return a != b;
  case TENON_EXPR_LT:
    return a < b;
  case TENON_EXPR_LE:
    return a <= b;
  case TENON_EXPR_FADD:
    return bitsOf(doubleOf(a) + doubleOf(b));
  case TENON_EXPR_FSUB:
    return bitsOf(doubleOf(a) - doubleOf(b));
  case TENON_EXPR_FMUL:
    return bitsOf(doubleOf(a) * doubleOf(b));
  case TENON_EXPR_FDIV:
    return bitsOf(doubleOf(a) / doubleOf(b));
  case TENON_EXPR_F32:
    return bitsOf(double(float(doubleOf(a))));
  case TENON_EXPR_FLOAT:
    return bitsOf(double(a));
  case TENON_EXPR_FLOOR:
    return toInteger(doubleOf(a), -1);
  case TENON_EXPR_CEIL:
    return toInteger(doubleOf(a), 1);
  case TENON_EXPR_TRUNC:
    return toInteger(doubleOf(a), 0);
  default:
    return 0;
  }
}

/// Is the slot the bits of a double?
bool isFloat(const tenon_program &program, int32_t slot) {
  const tenon_expr &expr = program.exprs[slot];
  if (expr.op != TENON_EXPR_INPUT_VALUE)
    return expr.op >= TENON_EXPR_FADD && expr.op <= TENON_EXPR_FLOAT;
  switch (program.inputs[expr.a].dtype) {
  case TENON_ABI_F32:
  case TENON_ABI_F64:
  case TENON_ABI_F16:
  case TENON_ABI_BF16:
    return true;
  default:
    return false;
  }
}

/// "input 'input_ids': dim 1 (seq) is 600" for a slot that is an input's dim,
/// "input 'axes': element 0 (axes[0]) is 7" for an element of one, and "past +
/// seq is 600" for any other.
class Subject {
public:
  Subject(const tenon_program &program, int32_t slot, const char *text)
      : text(text) {
    for (int32_t i = 0; i < program.num_inputs && !port; ++i)
      for (int32_t d = 0; d < program.inputs[i].rank; ++d)
        if (program.exprs[slot].op == TENON_EXPR_INPUT_DIM &&
            program.exprs[slot].a == i && program.exprs[slot].b == d) {
          port = &program.inputs[i];
          index = d;
          break;
        }
    const tenon_expr &expr = program.exprs[slot];
    if (expr.op == TENON_EXPR_INPUT_VALUE) {
      port = &program.inputs[expr.a];
      index = expr.imm;
      part = "element ";
    }
  }
  void addTo(Text &out) const {
    if (port)
      out.add("input '").add(port->name).add("': ").add(part).add(index);
    if (port && text)
      out.add(" (").add(text).add(")");
    else if (!port)
      out.add(text);
    out.add(" is ");
  }

private:
  const char *text;
  const tenon_port *port = nullptr;
  const char *part = "dim ";
  int64_t index = 0;
};

tenon_status failCheck(const tenon_program &program, const tenon_check &check,
                       const int64_t *slots, tenon_error *error) {
  if (!error)
    return TENON_CHECK_FAILED;
  Text text(error->message, sizeof error->message);
  // A constant on the left says nothing: name the other side then.
  bool swap = program.exprs[check.lhs].op == TENON_EXPR_CONST;
  int32_t about = swap ? check.rhs : check.lhs;
  int32_t other = swap ? check.lhs : check.rhs;
  const char *otherText = swap ? check.lhs_text : check.rhs_text;
  bool floats = isFloat(program, about) || isFloat(program, other);
  auto addValue = [&](int32_t slot) {
    if (floats)
      text.add(doubleOf(slots[slot]));
    else
      text.add(slots[slot]);
  };
  Subject(program, about, swap ? check.rhs_text : check.lhs_text).addTo(text);
  addValue(about);
  text.add(", expected ");
  if (check.kind == TENON_CHECK_LE)
    text.add(swap ? ">= " : "<= ");
  addValue(other);
  if (program.exprs[other].op != TENON_EXPR_CONST)
    text.add(" (").add(otherText).add(")");
  if (check.kind == TENON_CHECK_BCAST)
    text.add(", or 1 on either side");
  if (check.reason && *check.reason)
    text.add(", because of ").add(check.reason);
  return TENON_CHECK_FAILED;
}

tenon_status checkInputs(const tenon_program &program,
                         const int64_t *const *inputDims, tenon_error *error) {
  if (program.num_inputs && !inputDims)
    return fail(error, TENON_INVALID_ARGUMENT, "the inputs' dims are NULL");
  for (int32_t i = 0; i < program.num_inputs; ++i) {
    const tenon_port &port = program.inputs[i];
    if (port.rank && !inputDims[i])
      return fail(error, TENON_INVALID_ARGUMENT, "input '", port.name,
                  "': its dims are NULL");
    for (int32_t d = 0; d < port.rank; ++d) {
      int64_t expected = port.dim_values[d], found = inputDims[i][d];
      if (expected >= 0 && found != expected)
        return fail(error, TENON_INVALID_TENSOR, "input '", port.name,
                    "': dim ", d, " is ", found, ", expected ", expected);
      if (found < 0)
        return fail(error, TENON_INVALID_TENSOR, "input '", port.name,
                    "': dim ", d, " (", port.dim_names[d], ") is ", found,
                    ", expected 0 or more");
    }
  }
  return TENON_OK;
}

/// Two inputs that name the same symbol must agree on it.
tenon_status checkSymbols(const tenon_program &program,
                          const int64_t *const *inputDims, const int64_t *slots,
                          tenon_error *error) {
  for (int32_t i = 0; i < program.num_inputs; ++i) {
    const tenon_port &port = program.inputs[i];
    for (int32_t d = 0; d < port.rank; ++d) {
      int32_t slot = port.dims[d];
      if (inputDims[i][d] == slots[slot])
        continue;
      const tenon_expr &expr = program.exprs[slot];
      if (expr.op == TENON_EXPR_INPUT_DIM)
        return fail(error, TENON_CHECK_FAILED, "input '", port.name, "': dim ",
                    d, " (", port.dim_names[d], ") is ", inputDims[i][d],
                    ", expected ", slots[slot], ", as in dim ", expr.b,
                    " of input '", program.inputs[expr.a].name,
                    "' (if they may differ: tenon compile --dim='", port.name,
                    ".d", d, "=", inputDims[i][d], "')");
      return fail(error, TENON_CHECK_FAILED, "input '", port.name, "': dim ", d,
                  " (", port.dim_names[d], ") is ", inputDims[i][d],
                  ", expected ", slots[slot]);
    }
  }
  return TENON_OK;
}

tenon_status checkRanges(const tenon_program &program, const int64_t *slots,
                         tenon_error *error) {
  for (int32_t i = 0; i < program.num_ranges; ++i) {
    const tenon_dim_range &range = program.ranges[i];
    int64_t value = slots[range.slot];
    if (value >= range.lo && value <= range.hi)
      continue;
    if (error) {
      Text text(error->message, sizeof error->message);
      Subject(program, range.slot, range.name).addTo(text);
      text.add(value);
      text.add(", expected ").add(range.lo);
      if (range.hi == INT64_MAX)
        text.add(" or more");
      else if (range.hi != range.lo)
        text.add("..").add(range.hi);
      text.add(" (declared when the model was compiled)");
    }
    return TENON_CHECK_FAILED;
  }
  return TENON_OK;
}

bool holds(const tenon_check &check, int64_t lhs, int64_t rhs) {
  switch (check.kind) {
  case TENON_CHECK_EQ:
    return lhs == rhs;
  case TENON_CHECK_LE:
    return lhs <= rhs;
  case TENON_CHECK_BCAST:
    return lhs == rhs || lhs == 1 || rhs == 1;
  default:
    return false;
  }
}

/// What an operand and another lack together: an input before what is read.
int32_t lackOf(int32_t a, int32_t b) {
  return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

int32_t missingOf(const tenon_expr &expr, const int64_t *slots,
                  const int32_t *missing) {
  if (expr.op != TENON_EXPR_SELECT)
    return lackOf(missing[expr.a], missing[expr.b]);
  if (missing[expr.a] < 0)
    return missing[slots[expr.a] ? expr.b : int32_t(expr.imm)];
  return lackOf(missing[expr.a], lackOf(missing[expr.b], missing[expr.imm]));
}

//===----------------------------------------------------------------------===//
// Ranges of what is not known yet
//===----------------------------------------------------------------------===//

struct Range {
  int64_t least, most;
};

int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t magnitude(const Range &r) {
  int64_t low = r.least == INT64_MIN ? INT64_MAX : -r.least;
  return larger(low, r.most);
}

/// What the function gives at the ends of both ranges; enough for one that is
/// monotone in each operand.
Range corners(const tenon_expr &expr, const Range &a, const Range &b) {
  bool overflow;
  Range r = {INT64_MAX, INT64_MIN};
  for (int corner = 0; corner < 4; ++corner) {
    int64_t value = apply(expr, corner & 1 ? a.most : a.least,
                          corner & 2 ? b.most : b.least, overflow);
    r = {smaller(r.least, value), larger(r.most, value)};
  }
  return r;
}

/// The same of numbers that are the bits of doubles.
Range floatCorners(const tenon_expr &expr, const Range &a, const Range &b) {
  bool overflow;
  Range r = {0, 0};
  double least = 0, most = 0;
  for (int corner = 0; corner < 4; ++corner) {
    int64_t bits = apply(expr, corner & 1 ? a.most : a.least,
                         corner & 2 ? b.most : b.least, overflow);
    double value;
    memcpy(&value, &bits, sizeof value);
    if (corner == 0 || value < least) {
      least = value;
      r.least = bits;
    }
    if (corner == 0 || value > most) {
      most = value;
      r.most = bits;
    }
  }
  return r;
}

/// Every value that the expression can have, and maybe more.
Range rangeOf(const tenon_expr &expr, const RunValues &run) {
  auto at = [&](int64_t slot) {
    return Range{run.least[slot], run.most[slot]};
  };
  Range a = at(expr.a), b = at(expr.b);
  bool overflow;
  switch (expr.op) {
  case TENON_EXPR_SUB:
    return {apply(expr, a.least, b.most, overflow),
            apply(expr, a.most, b.least, overflow)};
  case TENON_EXPR_FLOORDIV:
  case TENON_EXPR_CEILDIV:
  case TENON_EXPR_QUOT:
    if (b.least > 0)
      return corners(expr, a, b);
    return {-magnitude(a), magnitude(a)};
  case TENON_EXPR_MOD:
    if (b.least > 0)
      return {0, b.most - 1};
    return {-magnitude(b), magnitude(b)};
  case TENON_EXPR_BCAST:
    return {smaller(a.least, b.least), larger(a.most, b.most)};
  case TENON_EXPR_EQ:
  case TENON_EXPR_NE:
    return {0, 1};
  case TENON_EXPR_LT:
  case TENON_EXPR_LE:
    return {apply(expr, a.most, b.least, overflow),
            apply(expr, a.least, b.most, overflow)};
  case TENON_EXPR_SELECT: {
    Range c = at(expr.imm);
    if (a.least > 0 || a.most < 0)
      return b;
    return {smaller(b.least, c.least), larger(b.most, c.most)};
  }
  case TENON_EXPR_F32:
  case TENON_EXPR_FLOAT:
  case TENON_EXPR_FLOOR:
  case TENON_EXPR_CEIL:
  case TENON_EXPR_TRUNC:
    return {apply(expr, a.least, 0, overflow),
            apply(expr, a.most, 0, overflow)};
  case TENON_EXPR_FADD:
  case TENON_EXPR_FSUB:
  case TENON_EXPR_FMUL:
  case TENON_EXPR_FDIV:
    return floatCorners(expr, a, b);
  default:
    return corners(expr, a, b);
  }
}

/// What must hold of the slots, as far as they are known.
tenon_status checkSlots(const tenon_program &program,
                        const int64_t *const *inputDims, const int64_t *slots,
                        const int32_t *missing, bool overflow,
                        tenon_error *error) {
  auto known = [&](int32_t slot) { return !missing || missing[slot] < 0; };
  if (tenon_status status = checkSymbols(program, inputDims, slots, error))
    return status;
  if (tenon_status status = checkRanges(program, slots, error))
    return status;
  for (int32_t i = 0; i < program.num_checks; ++i) {
    const tenon_check &check = program.checks[i];
    if (!isLeftOut(check.guard, slots) && known(check.lhs) &&
        known(check.rhs) && (check.guard == 0 || known(check.guard - 1)) &&
        !holds(check, slots[check.lhs], slots[check.rhs]))
      return failCheck(program, check, slots, error);
  }
  if (overflow)
    return fail(error, TENON_INVALID_TENSOR,
                "the inputs' dims are too large: a size overflows 64 bits");
  for (int32_t o = 0; o < program.num_outputs; ++o)
    for (int32_t d = 0; d < program.outputs[o].rank; ++d)
      if (int64_t dim = slots[program.outputs[o].dims[d]];
          dim < 0 && known(program.outputs[o].dims[d]))
        return fail(error, TENON_CHECK_FAILED, "output '",
                    program.outputs[o].name, "': dim ", d, " (",
                    program.outputs[o].dim_names[d], ") would be ", dim);
  return TENON_OK;
}

/// The table of the bound state that the expression is the address of.
const int32_t *const *tableOf(const tenon_expr &expr, const StateView &state) {
  return expr.op == TENON_EXPR_STATE_PAGES     ? &state.pages
         : expr.op == TENON_EXPR_STATE_LENGTHS ? &state.lengths
                                               : nullptr;
}

} // namespace

tenon_status tenon::rt::evaluateDims(const tenon_program &program,
                                     const int64_t *const *inputDims,
                                     int64_t *slots, tenon_error *error,
                                     const void *const *inputData,
                                     int32_t *missing, const RunValues *run,
                                     StateView state) {
  if (tenon_status status = checkInputs(program, inputDims, error))
    return status;

  bool overflow = false;
  auto isZero = [&](int32_t slot) { return missing[slot] < 0 && !slots[slot]; };
  for (int32_t i = 0; i < program.num_exprs; ++i) {
    const tenon_expr &expr = program.exprs[i];
    int32_t lacks = -1;
    Range range = {0, 0};
    if (expr.op == TENON_EXPR_CONST) {
      slots[i] = expr.imm;
    } else if (expr.op == TENON_EXPR_INPUT_DIM) {
      slots[i] = inputDims[expr.a][expr.b];
    } else if (expr.op == TENON_EXPR_INPUT_VALUE) {
      const tenon_port &port = program.inputs[expr.a];
      const void *data = inputData ? inputData[expr.a] : nullptr;
      if (!data && !missing)
        return fail(error, TENON_NOT_BOUND,
                    "dims depend on the values of "
                    "input '",
                    port.name, "': bind it first");
      slots[i] = data ? elementOf(data, port.dtype, expr.imm) : 0;
      lacks = data ? -1 : expr.a;
    } else if (expr.op == TENON_EXPR_STATE_CARRIED) {
      slots[i] = !state.bound;
    } else if (const int32_t *const *table = tableOf(expr, state)) {
      slots[i] = int64_t(reinterpret_cast<intptr_t>(*table));
    } else if (expr.op == TENON_EXPR_STATE_CAPACITY && state.bound) {
      slots[i] = state.capacity;
    } else if (expr.op == TENON_EXPR_STATE_CAPACITY) {
      lacks = missing ? missing[expr.a] : -1;
      slots[i] = slots[expr.a];
      if (lacks == kRunValues)
        range = {run->least[expr.a], run->most[expr.a]};
    } else if (expr.op == TENON_EXPR_RUN_VALUE) {
      slots[i] = run->known[expr.imm] ? run->values[expr.imm] : 0;
      lacks = run->known[expr.imm] ? -1 : kRunValues;
      // A bound beyond all memory is none.
      bool bounded = expr.a && run->most[expr.a - 1] < kMaxBytes;
      range = bounded ? Range{0, run->most[expr.a - 1]}
                      : Range{run->lowest[expr.imm], run->highest[expr.imm]};
      if (expr.b && !bounded)
        range = {smaller(range.least, run->least[expr.b - 1]),
                 larger(range.most, run->most[expr.b - 1])};
    } else {
      lacks = missing ? missingOf(expr, slots, missing) : -1;
      bool overflows = false;
      slots[i] = expr.op == TENON_EXPR_SELECT
                     ? slots[slots[expr.a] ? expr.b : expr.imm]
                     : apply(expr, slots[expr.a], slots[expr.b], overflows);
      overflow |= overflows && lacks < 0;
      if (lacks == kRunValues)
        range = rangeOf(expr, *run);
    }
    if (run && lacks == kRunValues) {
      if (expr.op == TENON_EXPR_MUL && (isZero(expr.a) || isZero(expr.b))) {
        slots[i] = 0; // whatever is read
        lacks = -1;
        range = {0, 0};
      } else {
        slots[i] = range.most < 0 ? 0 : range.most;
      }
    } else {
      range = {slots[i], slots[i]};
    }
    if (run) {
      run->least[i] = range.least;
      run->most[i] = range.most;
    }
    if (missing)
      missing[i] = lacks;
  }
  return checkSlots(program, inputDims, slots, missing, overflow, error);
}
