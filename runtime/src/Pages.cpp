//===- Pages.cpp - sequences that share a pool of pages -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A page is 32 rows of all states of the model: number p of each state's
// memory. A sequence has a table of its pages, in the order of its rows. It
// takes what it lacks before a run's steps begin, so that a refusal has changed
// no row. A page that several sequences have is written by none: who is about
// to takes a copy.
//
// Where the model's rows look back at so many others and no further (sliding
// windows) a sequence gives back the pages behind those, `gone` of them, as a
// run begins. Their numbers stay in its table: kernels look them up, and read
// no such page.
//
//===----------------------------------------------------------------------===//
#include "State.h"

#include <string.h>

using namespace tenon::rt;

namespace {

int64_t pagesFor(int64_t rows) {
  return (rows + TENON_PANEL_ROWS - 1) / TENON_PANEL_ROWS;
}

/// The header of a pooled state that no run uses.
StateHeader *poolOf(const tenon_program &program, tenon_state *state,
                    tenon_status *status, tenon_error *error) {
  if ((*status = checkHeader(program, formatOf(program), state, error)))
    return nullptr;
  auto *header = reinterpret_cast<StateHeader *>(state);
  if (!header->pool)
    *status = fail(error, TENON_INVALID_STATE,
                   "the state has no pool of pages: call "
                   "tenon_init_paged_state");
  else
    *status = checkIdle(*header, error);
  return *status ? nullptr : header;
}

/// One that nobody has; there is one.
int32_t takeFree(StateHeader &header) {
  PageTables tables(header);
  uint32_t p = header.next;
  auto after = [&](uint32_t page) {
    return page + 1 < header.pool ? page + 1 : 0;
  };
  while (tables.users[p])
    p = after(p);
  header.next = after(p);
  tables.users[p] = 1;
  return int32_t(p);
}

/// Those from number `first` on.
void releasePages(StateHeader &header, int64_t row, int64_t first) {
  PageTables tables(header);
  int32_t &gone = tables.gone[row];
  for (int64_t p = first > gone ? first : gone; p < tables.counts[row]; ++p)
    --tables.users[tables.of(row)[p]];
  if (first < tables.counts[row])
    tables.counts[row] = int32_t(first);
  if (first < gone)
    gone = int32_t(first);
}

/// How many pages there are before what row `first` looks back at.
int64_t pagesBehind(const tenon_program &program, int64_t first) {
  int64_t window = program.states[0].most;
  return window && first >= window ? (first - window + 1) / TENON_PANEL_ROWS
                                   : 0;
}

/// Calls fn(page) for those that a sequence has no use for when it goes on with
/// row `first`.
template <typename Fn>
void forPagesBehind(const tenon_program &program, const PageTables &tables,
                    int64_t row, int64_t first, Fn fn) {
  int64_t end = pagesBehind(program, first);
  for (int64_t p = tables.gone[row]; p < end && p < tables.counts[row]; ++p)
    fn(tables.of(row)[p]);
}

/// Of a sequence that is to write rows [first, end): what it lacks.
int64_t countMissing(const StateHeader &header, int64_t row, int64_t first,
                     int64_t end) {
  PageTables tables(header);
  int64_t has = tables.counts[row], wants = pagesFor(end);
  int64_t missing = wants > has ? wants - has : 0;
  for (int64_t p = first / TENON_PANEL_ROWS; p < has && p < wants; ++p)
    missing += tables.users[tables.of(row)[p]] > 1;
  return missing;
}

/// Takes it; there are as many free. `device`: where the pages lie on the GPU
/// of a context, that.
tenon_status takeMissing(const tenon_program &program, StateHeader &header,
                         int64_t row, int64_t first, int64_t end,
                         Context *device, tenon_error *error) {
  PageTables tables(header);
  tenon_status status = TENON_OK;
  for (int64_t p = first / TENON_PANEL_ROWS; p < pagesFor(end); ++p) {
    int32_t &page = tables.of(row)[p];
    if (p >= tables.counts[row]) {
      page = takeFree(header);
      tables.counts[row] = int32_t(p + 1);
    } else if (tables.users[page] > 1) {
      int32_t own = takeFree(header);
      for (int32_t s = 0; s < program.num_states; ++s) {
        int64_t bytes = pageBytes(program, s);
        char *memory = tensorOf(program, header, s);
        char *to = memory + own * bytes, *from = memory + page * bytes;
        if (!device)
          memcpy(to, from, size_t(bytes));
        else if (!status)
          status = copyOnDevice(*device, to, from, bytes, error);
      }
      --tables.users[page];
      page = own;
    }
  }
  return status;
}

tenon_status failFull(const StateHeader &header, int64_t row, int64_t rows,
                      int64_t missing, int64_t free, tenon_error *error) {
  return fail(error, TENON_STATE_FULL, "sequence ", row, ": ", rows,
              " rows need ", missing, " more pages, the pool of ", header.pool,
              " has ", free, " free");
}

} // namespace

namespace tenon::rt {

PageTables::PageTables(const StateHeader &header)
    : most(header.capacity / TENON_PANEL_ROWS),
      counts(const_cast<int32_t *>(header.lengths()) + header.rows),
      marks(counts + header.rows), gone(marks + header.rows),
      lengths(gone + header.rows),
      pages(lengths + 2 * runRows(header.rows, header.pool)),
      users(pages + header.rows * most) {}

int64_t freePages(const StateHeader &header) {
  PageTables tables(header);
  int64_t count = 0;
  for (int64_t p = 0; p < header.pool; ++p)
    count += !tables.users[p];
  return count;
}

void clearPages(StateHeader &header) {
  PageTables tables(header);
  int64_t numbers = tables.users + header.pool - tables.counts;
  memset(tables.counts, 0, size_t(numbers) * sizeof(int32_t));
}

void trimPages(StateHeader &header, int64_t row) {
  releasePages(header, row, pagesFor(header.lengths()[row]));
}

tenon_status replacePages(const tenon_program &program, StateHeader &header,
                          int64_t row, int64_t length, int64_t gone,
                          tenon_error *error) {
  PageTables tables(header);
  int64_t free = freePages(header), own = 0, wants = pagesFor(length) - gone;
  for (int64_t p = tables.gone[row]; p < tables.counts[row]; ++p)
    own += tables.users[tables.of(row)[p]] == 1;
  if (wants > free + own)
    return failFull(header, row, length, wants - own, free, error);
  releasePages(header, row, 0);
  memset(tables.of(row), 0, size_t(gone) * sizeof(int32_t));
  tables.gone[row] = tables.counts[row] = int32_t(gone);
  return takeMissing(program, header, row, gone * TENON_PANEL_ROWS, length,
                     nullptr, error);
}

int64_t leastLength(const tenon_program &program, const StateHeader &header,
                    int64_t row) {
  int64_t gone = header.pool ? PageTables(header).gone[row] : 0;
  return gone ? gone * TENON_PANEL_ROWS + program.states[0].most - 1 : 0;
}

tenon_status takePages(Context &context, tenon_error *error) {
  if (!context.state || !headerOf(context).pool)
    return TENON_OK;
  const tenon_program &program = *context.program;
  auto &header = *reinterpret_cast<StateHeader *>(context.state);
  int64_t added = addedRows(context, program.states[0]);
  int64_t free = freePages(header), left = free;
  PageTables tables(header);
  tenon_status status = TENON_OK;
  forSequences(context, [&](int64_t row, int64_t, int64_t times) {
    int64_t first = header.lengths()[row], end = first + times * added;
    int64_t missing = countMissing(header, row, first, end);
    forPagesBehind(program, tables, row, first,
                   [&](int32_t page) { left += tables.users[page] == 1; });
    if (!status && times > 1 && added != 1)
      status =
          fail(error, TENON_INVALID_STATE, "sequence ", row, " has ", times,
               " rows in a run that adds ", added, " to each, expected 1");
    else if (!status && missing > left)
      status = failFull(header, row, end, missing, left, error);
    left -= missing;
  });
  if (status)
    return status;
  forSequences(context, [&](int64_t row, int64_t, int64_t) {
    forPagesBehind(program, tables, row, header.lengths()[row],
                   [&](int32_t page) {
                     --tables.users[page];
                     ++tables.gone[row];
                   });
  });
  Context *device = context.driver ? &context : nullptr;
  forSequences(context, [&](int64_t row, int64_t, int64_t times) {
    int64_t first = header.lengths()[row];
    if (!status)
      status = takeMissing(program, header, row, first, first + times * added,
                           device, error);
  });
  return status;
}

//===----------------------------------------------------------------------===//
// The API: see pages.h
//===----------------------------------------------------------------------===//

tenon_status shareState(const tenon_model *model, tenon_state *state,
                        int64_t to, int64_t from, int64_t length,
                        tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  StateHeader *header =
      program ? poolOf(*program, state, &status, error) : nullptr;
  if (!header || (status = checkRow(*header, to, error)) ||
      (status = checkRow(*header, from, error)) ||
      (status = checkLength(*program, *header, from, length, error)))
    return status;
  PageTables tables(*header);
  if (to != from) {
    // First: it may have the same pages.
    int32_t gone = length ? tables.gone[from] : 0;
    for (int64_t p = gone; p < pagesFor(length); ++p)
      ++tables.users[tables.of(from)[p]];
    releasePages(*header, to, 0);
    memcpy(tables.of(to), tables.of(from),
           size_t(pagesFor(length)) * sizeof(int32_t));
    tables.counts[to] = int32_t(pagesFor(length));
    tables.gone[to] = gone;
  }
  header->lengths()[to] = int32_t(length);
  trimPages(*header, to);
  return TENON_OK;
}

tenon_status setStatePages(const tenon_model *model, tenon_state *state,
                           int64_t row, const int32_t *pages, int64_t count,
                           tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  StateHeader *header =
      program ? poolOf(*program, state, &status, error) : nullptr;
  if (!header || (status = checkRow(*header, row, error)))
    return status;
  PageTables tables(*header);
  if (count < pagesFor(header->lengths()[row]) || count > tables.most ||
      (count && !pages))
    return fail(error, TENON_INVALID_STATE, "sequence ", row, ": ", count,
                " pages, expected ", pagesFor(header->lengths()[row]), "..",
                tables.most, " for its rows and its capacity");
  int32_t *own = tables.of(row);
  auto has = [&](int32_t page) {
    for (int64_t p = tables.gone[row]; p < tables.counts[row]; ++p)
      if (own[p] == page)
        return 1;
    return 0;
  };
  // A caller names no page for what is gone.
  int64_t gone = tables.gone[row];
  for (int64_t i = gone; i < count; ++i) {
    if (pages[i] < 0 || pages[i] >= header->pool)
      return fail(error, TENON_INVALID_STATE, "sequence ", row, ": page ",
                  pages[i], " at ", i, ", the pool has pages 0..",
                  header->pool - 1);
    for (int64_t j = gone; j < i; ++j)
      if (pages[j] == pages[i])
        return fail(error, TENON_INVALID_STATE, "sequence ", row, ": page ",
                    pages[i], " is used twice, at ", j, " and ", i);
    if (tables.users[pages[i]] > has(pages[i]))
      return fail(error, TENON_INVALID_STATE, "sequence ", row, ": page ",
                  pages[i], " at ", i,
                  " is another sequence's: tenon_share_state shares them");
  }
  releasePages(*header, row, gone);
  for (int64_t i = gone; i < count; ++i) {
    own[i] = pages[i];
    tables.users[pages[i]] = 1;
  }
  tables.counts[row] = int32_t(count);
  return TENON_OK;
}

tenon_status statePages(const tenon_model *model, const tenon_state *state,
                        int64_t row, int32_t *pages, int64_t room,
                        int64_t *count, tenon_error *error) {
  tenon_status status;
  const tenon_program *program = programOf(model, error, &status);
  StateHeader *header =
      program
          ? poolOf(*program, const_cast<tenon_state *>(state), &status, error)
          : nullptr;
  if (!header || (status = checkRow(*header, row, error)))
    return status;
  PageTables tables(*header);
  if (!count || (room > 0 && !pages))
    return fail(error, TENON_INVALID_ARGUMENT, "a result pointer is NULL");
  *count = tables.counts[row];
  for (int64_t p = 0; p < *count && p < room; ++p)
    pages[p] = p < tables.gone[row] ? -1 : tables.of(row)[p];
  return TENON_OK;
}

} // namespace tenon::rt
