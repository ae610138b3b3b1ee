//===- State.cpp - caches that a run reads and writes in place ------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// To a run a bound state is the input and the output of each pair, at one
// address: the input's dims say what is there, STATE_CAPACITY how far rows lie
// apart. Lengths change when a run has ended well, so that one which failed, or
// was refused, has changed nothing.
//
//===----------------------------------------------------------------------===//
#include "Replaced.h"

#include <string.h>

using namespace tenon::rt;

namespace {

constexpr uint64_t kMagic = 0x3345544154534e54; // "TNSTATE3"
constexpr int64_t kMostRows = int64_t(1) << 24;

/// FNV-1a.
class Hash {
public:
  void add(const void *data, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i)
      value = (value ^ static_cast<const uint8_t *>(data)[i]) * 0x100000001b3;
  }
  void add(int64_t number) { add(&number, sizeof number); }
  uint64_t value = 0xcbf29ce484222325;
};

bool grows(const tenon_program &program) {
  for (int32_t s = 0; s < program.num_states; ++s)
    if (program.states[s].grows)
      return true;
  return false;
}

int64_t wholePages(int64_t rows) {
  return (rows + TENON_PANEL_ROWS - 1) & -int64_t(TENON_PANEL_ROWS);
}

/// What a caller asks for, in whole pages where there are some.
int64_t roomFor(const tenon_program &program, int64_t capacity) {
  for (int32_t s = 0; s < program.num_states; ++s)
    if (program.states[s].pages)
      return wholePages(capacity);
  return capacity;
}

/// The dims of a state's memory, of one that is not replaced.
void dimsOf(const tenon_program &program, int32_t index, int64_t rows,
            int64_t capacity, int64_t *dims) {
  const tenon_state_pair &state = program.states[index];
  const tenon_port &port = program.inputs[state.input];
  for (int32_t d = 0; d < port.rank; ++d)
    dims[d] = port.dim_values[d] >= 0 ? port.dim_values[d]
              : d == state.axis       ? capacity
                                      : rows;
}

/// Bytes of all, and where the first `index` of them end; -1: too many.
int64_t endOf(const tenon_program &program, int32_t index, int64_t rows,
              int64_t capacity, int64_t pool) {
  int64_t numbers = rows, most = capacity / TENON_PANEL_ROWS;
  if (pool && __builtin_mul_overflow(rows, most, &most))
    return -1;
  if (pool)
    numbers += PageTables::numbers(rows, most / rows, pool);
  if (numbers >= kMaxBytes / int64_t(sizeof(int32_t)))
    return -1;
  uint64_t end =
      alignUp(sizeof(StateHeader) + uint64_t(numbers) * sizeof(int32_t));
  for (int32_t s = 0; s < index; ++s) {
    if (program.states[s].replaced) {
      int64_t bytes = Replaced::bytes(program, s, rows);
      if (bytes < 0 || end + uint64_t(bytes) >= uint64_t(kMaxBytes))
        return -1;
      end += uint64_t(bytes);
      continue;
    }
    int64_t dims[TENON_MAX_RANK];
    dimsOf(program, s, pool ? pool : rows, pool ? TENON_PANEL_ROWS : capacity,
           dims);
    int64_t bytes = matrixBytes(program, s, dims[program.states[s].axis]);
    if (bytes < 0 ||
        __builtin_mul_overflow(bytes, dims[0] * matricesOf(program, s),
                               &bytes) ||
        end + uint64_t(bytes) >= uint64_t(kMaxBytes))
      return -1;
    end = alignUp(end + uint64_t(bytes));
  }
  return int64_t(end);
}

/// How many rows of tokens every state has room for.
int64_t roomOf(const tenon_program &program, const StateHeader &header) {
  int64_t room = INT32_MAX;
  for (int32_t s = 0; s < program.num_states; ++s) {
    if (program.states[s].replaced)
      continue;
    int64_t dims[TENON_MAX_RANK];
    dimsOf(program, s, header.rows, header.capacity, dims);
    if (dims[program.states[s].axis] < room)
      room = dims[program.states[s].axis];
  }
  return room;
}

/// Can sequences share pages?
tenon_status checkPaged(const tenon_program &program, int64_t pages,
                        tenon_error *error) {
  if (pages < 1 || pages > INT32_MAX)
    return fail(error, TENON_INVALID_ARGUMENT, "a pool of ", pages,
                " pages, expected 1..", INT32_MAX);
  for (int32_t s = 0; s < program.num_states; ++s) {
    const char *name = program.inputs[program.states[s].input].name;
    if (program.states[s].replaced)
      return fail(error, TENON_INVALID_ARGUMENT, "input '", name,
                  "' is made anew by each run: its sequences share no pages");
    if (!program.states[s].grows)
      return fail(error, TENON_INVALID_ARGUMENT, "input '", name,
                  "' is a buffer, other inputs say what of it is in use: its "
                  "sequences share no pages");
    if (!program.states[s].pages)
      return fail(error, TENON_INVALID_ARGUMENT, "input '", name,
                  "' lies in rows, not in pages: compile with --kv");
  }
  return TENON_OK;
}

/// `pool`: 0 where each sequence has its own memory.
tenon_status checkSize(const tenon_program &program, int64_t rows,
                       int64_t capacity, int64_t pool, int64_t *bytes,
                       tenon_error *error) {
  if (!program.num_states)
    return fail(error, TENON_INVALID_ARGUMENT,
                "the model has no state: 'tenon inspect' says why");
  if (rows < 1 || rows > kMostRows)
    return fail(error, TENON_INVALID_ARGUMENT, "a state of ", rows,
                " sequences, expected 1..", kMostRows);
  if (capacity < 1 || capacity > INT32_MAX)
    return fail(error, TENON_INVALID_ARGUMENT, "a state of ", capacity,
                " rows for each sequence, expected 1..", INT32_MAX);
  for (int32_t s = 0; s < program.num_states; ++s) {
    const tenon_port &port = program.inputs[program.states[s].input];
    int64_t own = port.dim_values[program.states[s].sequences];
    if (!pool && own >= 0 && own != rows)
      return fail(error, TENON_INVALID_ARGUMENT, "a state of ", rows,
                  " sequences, expected ", own, " as input '", port.name,
                  "' has");
  }
  *bytes = endOf(program, program.num_states, rows, roomFor(program, capacity),
                 pool);
  if (*bytes < 0)
    return fail(error, TENON_INVALID_ARGUMENT, "a state of ", rows,
                " sequences of ", capacity, " rows is too large");
  return TENON_OK;
}

} // namespace

namespace tenon::rt {

int64_t matricesOf(const tenon_program &program, int32_t index) {
  const tenon_state_pair &state = program.states[index];
  const tenon_port &port = program.inputs[state.input];
  int64_t count = 1;
  for (int32_t d = 1; d < state.axis; ++d)
    count *= port.dim_values[d];
  return count;
}

int64_t matrixBytes(const tenon_program &program, int32_t index, int64_t rows) {
  const tenon_state_pair &state = program.states[index];
  const tenon_port &port = program.inputs[state.input];
  int64_t elements = 1;
  for (int32_t d = state.axis + 1; d < port.rank; ++d)
    elements *= port.dim_values[d];
  if (state.pages) // rows in them begin at whole panels
    rows = wholePages(rows);
  if (state.pages && !state.panels)
    elements = wholePages(elements);
  int32_t dtype = state.pages ? state.pages : port.dtype;
  // A scale for each row.
  if (state.pages == TENON_ABI_I8)
    elements += int64_t(sizeof(float));
  if (__builtin_mul_overflow(elements, rows, &elements))
    return -1;
  return bytesOf(elements, dtype);
}

/// Of the model and of what its states look like.
uint64_t formatOf(const tenon_program &program) {
  Hash hash;
  hash.add(program.model_name, strlen(program.model_name));
  hash.add(program.weights_hash, sizeof program.weights_hash);
  for (int32_t s = 0; s < program.num_states; ++s) {
    const tenon_state_pair &state = program.states[s];
    const tenon_port &port = program.inputs[state.input];
    hash.add(port.name, strlen(port.name) + 1);
    hash.add(port.dtype);
    hash.add(state.axis);
    hash.add(state.panels);
    hash.add(state.pages);
    hash.add(state.replaced);
    for (int32_t d = 0; d < port.rank; ++d)
      hash.add(port.dim_values[d]);
  }
  return hash.value;
}

tenon_status checkHeader(const tenon_program &program, uint64_t format,
                         const void *memory, tenon_error *error) {
  if (!memory)
    return fail(error, TENON_INVALID_ARGUMENT, "the state is NULL");
  if (reinterpret_cast<uintptr_t>(memory) % kAlignment)
    return fail(error, TENON_INVALID_ARGUMENT,
                "the state is not 64-byte aligned");
  const auto &header = *static_cast<const StateHeader *>(memory);
  if (header.magic != kMagic)
    return fail(error, TENON_INVALID_STATE,
                "this memory holds no state: call tenon_init_state");
  if (header.format != format)
    return fail(error, TENON_INVALID_STATE,
                "the state is one of another model than '", program.model_name,
                "', or of other states, or formats, of it");
  return TENON_OK;
}

tenon_status checkRow(const StateHeader &header, int64_t row,
                      tenon_error *error) {
  if (row >= 0 && row < header.rows)
    return TENON_OK;
  return fail(error, TENON_INVALID_ARGUMENT, "sequence ", row,
              " does not exist: the state has ", header.rows);
}

tenon_status checkIdle(const StateHeader &header, tenon_error *error) {
  if (!__atomic_load_n(&header.busy, __ATOMIC_ACQUIRE))
    return TENON_OK;
  return fail(error, TENON_BUSY, "the state is in use by a run");
}

char *tensorOf(const tenon_program &program, const StateHeader &header,
               int32_t index) {
  auto *memory = const_cast<StateHeader *>(&header);
  return reinterpret_cast<char *>(memory) +
         endOf(program, index, header.rows, header.capacity, header.pool);
}

void stateDims(const tenon_program &program, const StateHeader &header,
               int32_t index, int64_t *dims) {
  dimsOf(program, index, header.rows, header.capacity, dims);
}

tenon_status checkHere(const StateHeader &header, tenon_error *error) {
  if (!header.onDevice)
    return TENON_OK;
  return fail(error, TENON_BUSY,
              "the state lies on the GPU of a context: unbind it there first");
}

int64_t pageBytes(const tenon_program &program, int32_t index) {
  return matrixBytes(program, index, TENON_PANEL_ROWS) *
         matricesOf(program, index);
}

const StateHeader &headerOf(const Context &context) {
  return *reinterpret_cast<const StateHeader *>(context.state);
}

bool takesLengths(const Context &context) {
  const tenon_program &program = *context.program;
  for (int32_t i = 0; i < program.num_exprs; ++i)
    if (program.exprs[i].op == TENON_EXPR_STATE_LENGTHS)
      return true;
  return false;
}

int64_t longestOf(const Context &context) {
  const int32_t *lengths = headerOf(context).lengths();
  int64_t longest = 0;
  forSequences(context, [&](int64_t row, int64_t, int64_t times) {
    if (int64_t length = lengths[row] + times - 1; length > longest)
      longest = length;
  });
  return longest;
}

int64_t addedRows(const Context &context, const tenon_state_pair &pair) {
  return context.slots[context.program->outputs[pair.output].dims[pair.axis]] -
         context.inputs[pair.input].dims[pair.axis];
}

int64_t sequenceAt(const Context &context, int64_t i) {
  int64_t row = context.sequences ? context.sequences[i] : i;
  return row >= 0 && row < headerOf(context).rows ? row : 0;
}

tenon_status checkLength(const tenon_program &program,
                         const StateHeader &header, int64_t row, int64_t length,
                         tenon_error *error) {
  int64_t room = roomOf(program, header);
  if (length < 0 || length > room)
    return fail(error, TENON_INVALID_STATE, "sequence ", row, ": ", length,
                " rows, expected 0..", room, ", for which the state has room");
  if (grows(program) && length > header.lengths()[row])
    return fail(error, TENON_INVALID_STATE, "sequence ", row, ": ", length,
                " rows, expected at most the ", header.lengths()[row],
                " that it holds");
  if (int64_t least = leastLength(program, header, row);
      length && length < least)
    return fail(error, TENON_INVALID_STATE, "sequence ", row, ": ", length,
                " rows, expected 0 or at least ", least,
                ": pages of those before that no row looks back at are given "
                "back");
  return TENON_OK;
}

//===----------------------------------------------------------------------===//
// The API: see tenon.h
//===----------------------------------------------------------------------===//

int64_t stateRowBytes(const tenon_program &program, int32_t index) {
  if (program.states[index].replaced)
    return Replaced::bytesOfSequence(program, index);
  return pageBytes(program, index) / TENON_PANEL_ROWS;
}

tenon_status stateSize(const tenon_model *model, int64_t rows, int64_t capacity,
                       size_t *bytes, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  if (!program)
    return status;
  if (!bytes)
    return fail(error, TENON_INVALID_ARGUMENT, "the result pointer is NULL");
  int64_t needed = 0;
  if ((status =
           checkSize(*program, rows, capacity, /*pool=*/0, &needed, error)))
    return status;
  *bytes = size_t(needed);
  return TENON_OK;
}

tenon_status pagedStateSize(const tenon_model *model, int64_t rows,
                            int64_t capacity, int64_t pages, size_t *bytes,
                            tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  if (!program)
    return status;
  if (!bytes)
    return fail(error, TENON_INVALID_ARGUMENT, "the result pointer is NULL");
  int64_t needed = 0;
  if ((status = checkPaged(*program, pages, error)) ||
      (status = checkSize(*program, rows, capacity, pages, &needed, error)))
    return status;
  *bytes = size_t(needed);
  return TENON_OK;
}

/// `pool`: 0 where each sequence has its own memory.
static tenon_status makeState(const tenon_program *program, void *memory,
                              size_t bytes, int64_t rows, int64_t capacity,
                              int64_t pool, tenon_state **state,
                              tenon_error *error) {
  tenon_status status;
  int64_t needed = 0;
  if ((status = checkSize(*program, rows, capacity, pool, &needed, error)))
    return status;
  if (!memory || !state)
    return fail(error, TENON_INVALID_ARGUMENT,
                memory ? "the result pointer is NULL" : "the memory is NULL");
  if (reinterpret_cast<uintptr_t>(memory) % kAlignment)
    return fail(error, TENON_INVALID_ARGUMENT,
                "the state's memory is not 64-byte aligned");
  if (bytes < uint64_t(needed))
    return fail(error, TENON_INVALID_ARGUMENT, "the state's memory has ",
                uint64_t(bytes), " bytes, expected ", needed);
  if ((status = checkRunning(memory, uint64_t(needed), nullptr, error)))
    return status;
  capacity = roomFor(*program, capacity);
  auto &header = *static_cast<StateHeader *>(memory);
  memset(&header, 0, sizeof header);
  memset(header.lengths(), 0, size_t(rows) * sizeof(int32_t));
  header.format = formatOf(*program);
  header.bytes = uint64_t(needed);
  header.rows = rows;
  header.capacity = capacity;
  header.pool = pool;
  if (pool)
    clearPages(header);
  // Of a buffer the model reads what is not in use yet, and masks it; of what
  // grows nobody does, and its pages stay untouched.
  for (int32_t s = 0; s < program->num_states; ++s)
    if (!program->states[s].grows) {
      int64_t begin = endOf(*program, s, rows, capacity, pool);
      memset(static_cast<char *>(memory) + begin, 0,
             size_t(endOf(*program, s + 1, rows, capacity, pool) - begin));
    }
  header.magic = kMagic;
  *state = static_cast<tenon_state *>(memory);
  return TENON_OK;
}

tenon_status initState(const tenon_model *model, void *memory, size_t bytes,
                       int64_t rows, int64_t capacity, tenon_state **state,
                       tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  return program ? makeState(program, memory, bytes, rows, capacity, /*pool=*/0,
                             state, error)
                 : status;
}

tenon_status initPagedState(const tenon_model *model, void *memory,
                            size_t bytes, int64_t rows, int64_t capacity,
                            int64_t pages, tenon_state **state,
                            tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  if (!program || (status = checkPaged(*program, pages, error)))
    return status;
  return makeState(program, memory, bytes, rows, capacity, pages, state, error);
}

const tenon_program *programOf(const tenon_model *model, const void *state,
                               tenon_error *error, tenon_status *status) {
  const tenon_program *program = programOf(model, error, status);
  if (program &&
      (*status = checkHeader(*program, formatOf(*program), state, error)))
    return nullptr;
  return program;
}

tenon_status stateLength(const tenon_model *model, const tenon_state *state,
                         int64_t row, int64_t *length, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, state, error, &status);
  if (!program)
    return status;
  const auto &header = *reinterpret_cast<const StateHeader *>(state);
  if (!length)
    return fail(error, TENON_INVALID_ARGUMENT, "the result pointer is NULL");
  if ((status = checkRow(header, row, error)))
    return status;
  *length = header.lengths()[row];
  return TENON_OK;
}

tenon_status setStateLength(const tenon_model *model, tenon_state *state,
                            int64_t row, int64_t length, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, state, error, &status);
  if (!program)
    return status;
  auto &header = *reinterpret_cast<StateHeader *>(state);
  if ((status = checkIdle(header, error)))
    return status;
  int64_t first = row, end = row + 1;
  if (row == TENON_ALL_ROWS) {
    first = 0;
    end = header.rows;
  } else if ((status = checkRow(header, row, error))) {
    return status;
  }
  bool all = end - first == header.rows;
  for (int64_t r = first; r < end; ++r)
    if ((status = checkLength(*program, header, r, length, error)) ||
        (status = checkReplaced(*program, header, r, length, all, error)))
      return status;
  if (length == 0 && hasReplaced(*program) &&
      (status = checkHere(header, error)))
    return status;
  if (length == 0)
    clearReplaced(*program, header, all ? TENON_ALL_ROWS : row);
  for (int64_t r = first; r < end; ++r) {
    header.lengths()[r] = int32_t(length);
    if (header.pool)
      trimPages(header, r);
  }
  return TENON_OK;
}

/// Each with its own memory.
static void copyRows(const tenon_program &program, const StateHeader &target,
                     int64_t toRow, const StateHeader &source, int64_t fromRow,
                     int64_t length) {
  for (int32_t s = 0; s < program.num_states; ++s) {
    const tenon_state_pair &state = program.states[s];
    if (state.replaced)
      continue;
    int64_t fromDims[TENON_MAX_RANK], toDims[TENON_MAX_RANK];
    dimsOf(program, s, source.rows, source.capacity, fromDims);
    dimsOf(program, s, target.rows, target.capacity, toDims);
    int64_t outer = matricesOf(program, s);
    auto bytes = [&](int64_t rows) {
      return size_t(matrixBytes(program, s, rows));
    };
    size_t fromStep = bytes(fromDims[state.axis]);
    size_t toStep = bytes(toDims[state.axis]);
    const char *read = tensorOf(program, source, s) +
                       size_t(fromRow) * size_t(outer) * fromStep;
    char *write =
        tensorOf(program, target, s) + size_t(toRow) * size_t(outer) * toStep;
    // Whole pages: what else is in the last means nothing.
    size_t copied = bytes(length);
    for (int64_t o = 0; o < outer && read != write; ++o)
      memcpy(write + size_t(o) * toStep, read + size_t(o) * fromStep, copied);
  }
}

/// Where one of them is of a pool.
static void copyPages(const tenon_program &program, const StateHeader &target,
                      int64_t toRow, const StateHeader &source, int64_t fromRow,
                      int64_t length) {
  int64_t count = wholePages(length) / TENON_PANEL_ROWS;
  for (int32_t s = 0; s < program.num_states; ++s) {
    int64_t matrices = matricesOf(program, s),
            bytes = matrixBytes(program, s, TENON_PANEL_ROWS);
    auto at = [&](const StateHeader &header, int64_t row, int64_t matrix,
                  int64_t page) {
      PageTables tables(header);
      int64_t place = header.pool
                          ? tables.of(row)[page] * matrices + matrix
                          : (row * matrices + matrix) * tables.most + page;
      return tensorOf(program, header, s) + place * bytes;
    };
    int64_t first = source.pool ? PageTables(source).gone[fromRow] : 0;
    for (int64_t m = 0; m < matrices; ++m)
      for (int64_t p = first; p < count; ++p)
        memcpy(at(target, toRow, m, p), at(source, fromRow, m, p),
               size_t(bytes));
  }
}

tenon_status copyState(const tenon_model *model, tenon_state *to, int64_t toRow,
                       const tenon_state *from, int64_t fromRow, int64_t length,
                       tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  if (!program ||
      (status = checkHeader(*program, formatOf(*program), to, error)) ||
      (status = checkHeader(*program, formatOf(*program), from, error)))
    return status;
  auto &target = *reinterpret_cast<StateHeader *>(to);
  const auto &source = *reinterpret_cast<const StateHeader *>(from);
  if ((status = checkIdle(target, error)) ||
      (status = checkIdle(source, error)) ||
      (status = checkHere(target, error)) ||
      (status = checkHere(source, error)) ||
      (status = checkRow(target, toRow, error)) ||
      (status = checkRow(source, fromRow, error)) ||
      (status = checkLength(*program, source, fromRow, length, error)))
    return status;
  if (int64_t room = roomOf(*program, target); length > room)
    return fail(error, TENON_STATE_FULL, "sequence ", toRow, ": ", length,
                " rows, the state has room for ", room);
  if ((status =
           checkReplaced(*program, source, fromRow, length, true, error)) ||
      (status = copyReplaced(*program, target, toRow, source, fromRow, length,
                             error)))
    return status;
  if (&target == &source && toRow == fromRow) {
    // As it is.
  } else if (target.pool || source.pool) {
    int64_t gone = source.pool && length ? PageTables(source).gone[fromRow] : 0;
    if (gone && !target.pool)
      return fail(error, TENON_INVALID_STATE, "sequence ", fromRow,
                  " has given back its first ", gone,
                  " pages: it is copied to a state with a pool");
    if (target.pool &&
        (status = replacePages(*program, target, toRow, length, gone, error)))
      return status;
    copyPages(*program, target, toRow, source, fromRow, length);
  } else {
    copyRows(*program, target, toRow, source, fromRow, length);
  }
  target.lengths()[toRow] = int32_t(length);
  return TENON_OK;
}

tenon_status stateData(const tenon_model *model, const tenon_state *state,
                       int32_t index, int64_t *dims, const void **data,
                       tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, state, error, &status);
  if (!program)
    return status;
  if (index < 0 || index >= program->num_states)
    return fail(error, TENON_INVALID_ARGUMENT, "state ", index,
                " does not exist: the model has ", program->num_states);
  if (!dims || !data)
    return fail(error, TENON_INVALID_ARGUMENT, "a result pointer is NULL");
  const auto &header = *reinterpret_cast<const StateHeader *>(state);
  if ((status = checkHere(header, error)))
    return status;
  if (program->states[index].replaced) {
    Replaced replaced(*program, header, index);
    replaced.dims(dims);
    *data = replaced.current();
    return TENON_OK;
  }
  dimsOf(*program, index, header.pool ? header.pool : header.rows,
         header.pool ? TENON_PANEL_ROWS : header.capacity, dims);
  *data = tensorOf(*program, header, index);
  return TENON_OK;
}

tenon_status checkSequences(const Context &context, const StateHeader &header,
                            const int64_t *sequences, int64_t count,
                            tenon_error *error) {
  const tenon_program &program = *context.program;
  bool ragged = takesLengths(context) && sequences;
  int64_t most =
      ragged ? PageTables::runRows(header.rows, header.pool) : header.rows;
  if (count < 1 || count > most)
    return fail(error, TENON_INVALID_ARGUMENT, count,
                " sequences, expected 1..", most, ", as the state has them");
  for (int64_t i = 0; sequences && i < count; ++i)
    if (tenon_status status = checkRow(header, sequences[i], error))
      return status;
  PageTables tables(header);
  for (int64_t i = 0; sequences && i < count; ++i)
    tables.marks[sequences[i]] = 0;
  for (int64_t i = 0; sequences && i < count; ++i)
    if (tables.marks[sequences[i]]++ &&
        !(ragged && sequences[i] == sequences[i - 1]))
      return fail(error, TENON_INVALID_ARGUMENT, "sequence ", sequences[i],
                  " is given twice");
  for (int32_t s = 0; s < program.num_states; ++s) {
    const tenon_port &port = program.inputs[program.states[s].input];
    if (port.dim_values[0] >= 0 && port.dim_values[0] != count)
      return fail(error, TENON_INVALID_ARGUMENT, count, " sequences, expected ",
                  port.dim_values[0], " as input '", port.name, "' has");
  }
  return TENON_OK;
}

/// Can these sequences of the state run in this context? A `count` of 0 becomes
/// that of all.
static tenon_status checkBinding(const Context &context,
                                 const StateHeader &header,
                                 const int64_t *sequences, int64_t &count,
                                 tenon_error *error) {
  if (count && !header.pool)
    return fail(error, TENON_INVALID_STATE,
                "the state has no pool of pages: all its sequences run "
                "together");
  if (!count)
    count = header.rows;
  if (!header.pool)
    return TENON_OK;
  // Not while a run marks them.
  if (tenon_status status = checkIdle(header, error))
    return status;
  return checkSequences(context, header, sequences, count, error);
}

/// `sequences`: null for the first `count`, of which 0 stands for all.
static tenon_status bind(tenon_context *handle, tenon_state *state,
                         const int64_t *sequences, int64_t count,
                         tenon_error *error) {
  Hold context(handle, error);
  if (context.status())
    return context.status();
  const tenon_program &program = *context->program;
  if (!state && !context->state)
    return TENON_OK;
  uint64_t format = formatOf(program);
  if (state)
    if (tenon_status status = checkHeader(program, format, state, error))
      return status;
  if (const auto *header = reinterpret_cast<const StateHeader *>(state))
    if (tenon_status status =
            checkBinding(*context, *header, sequences, count, error))
      return status;
  auto *memory = reinterpret_cast<uint8_t *>(state);
  tenon_status status;
  bool mine = context->driver && context->state && headerOf(*context).onDevice;
  bool stays = mine && memory == context->state; // it lies there already
  if (stays && !headerOf(*context).pool)
    return TENON_OK;
  if (state && !stays &&
      (status = checkHere(*reinterpret_cast<StateHeader *>(state), error)))
    return status;
  if (mine && !stays && (status = moveStateBack(*context, error)))
    return status;
  uint8_t *old = context->state;
  context->state = memory;
  if (state && context->driver && !stays &&
      (status = moveStateToDevice(*context, error))) {
    context->state = old;
    return status;
  }
  for (int32_t s = 0; s < program.num_states; ++s) {
    const tenon_state_pair &pair = program.states[s];
    Binding &input = context->inputs[pair.input];
    Binding &output = context->outputs[pair.output];
    input.bound = output.bound = state != nullptr;
    input.data = output.data = nullptr;
    input.bytes = output.bytes = 0;
    input.onDevice = output.onDevice = state && context->driver;
    if (!state)
      continue;
    const auto &header = *reinterpret_cast<const StateHeader *>(state);
    if (pair.replaced)
      Replaced(program, header, s).dims(input.dims);
    else
      dimsOf(program, s, count, header.capacity, input.dims);
    output.anyDims = true;
  }
  context->stateFormat = format;
  StateView before = context->stateView;
  context->stateView = {};
  context->buffersInPlace = false; // the next run finds out
  context->sequences = sequences;
  context->numSequences = count;
  if (state) {
    const StateHeader &header = headerOf(*context);
    context->stateView = {true, header.capacity, nullptr, nullptr};
    takeLengths(*context);
    placeTensors(*context);
  }
  // What runs need depends on it, which no plan says.
  if (before.bound != context->stateView.bound ||
      before.capacity != context->stateView.capacity)
    forgetPlans(*context);
  context->stale = context->dirty = true;
  context->ran = false;
  return TENON_OK;
}

tenon_status bindState(tenon_context *context, tenon_state *state,
                       tenon_error *error) {
  return bind(context, state, nullptr, 0, error);
}

tenon_status bindSequences(tenon_context *context, tenon_state *state,
                           const int64_t *sequences, int64_t count,
                           tenon_error *error) {
  if (state && count < 1)
    return fail(error, TENON_INVALID_ARGUMENT, count,
                " sequences, expected 1 or more");
  return bind(context, state, state ? sequences : nullptr, state ? count : 0,
              error);
}

} // namespace tenon::rt
