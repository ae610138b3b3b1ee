/*===- tenon/state.h - a decoder's pasts in the caller's memory -------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * A state holds the pasts of a number of sequences in one block of the caller's
 * memory, with room for `capacity` rows of each. While it is bound a run reads
 * the pasts there and writes the new rows behind them: nothing is copied, the
 * inputs and outputs of these pairs need no memory of their own, and a run that
 * went well makes the sequences longer by the rows that it added. Of buffers
 * (tenon_state_info.grows is 0) the model's own inputs say what is in use. What
 * each run makes anew (replaced) has no length.
 *
 *   tenon_state_size(model, 1, 2048, &bytes, &error);
 *   tenon_init_state(model, memory, bytes, 1, 2048, &state, &error);
 *   tenon_bind_state(context, state, &error);
 *   // then, for each token: tenon_bind_input(...) of the others, tenon_run
 *
 * The memory holds no pointers: it may be moved while no context has it bound,
 * or stored and read by another process that has the same model.
 *===----------------------------------------------------------------------===*/
#ifndef TENON_STATE_H
#define TENON_STATE_H

#include "tenon/tenon.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tenon_port_kind { /* tenon_port_info.kind */
  TENON_PORT_INPUT = 0,
  TENON_PORT_OUTPUT = 1,
  TENON_PORT_STATE = 2 /* a past or a present, which a state holds while one is
                          bound; else an input or output as any other */
} tenon_port_kind;

struct tenon_state_info { /* a past and its present */
  size_t size;
  int32_t input, output;
  int32_t axis;  /* along which its rows lie */
  int32_t grows; /* nonzero: the input is as long as what it holds; 0: it is a
                    buffer, of which other inputs say what is in use */
  int32_t panel_rows; /* 0; or n: the memory is [..., rows/n, size, n], not
                         [..., rows, size] */
  const char *reason; /* not NULL: no state (output is -1), because ... */
  tenon_dtype format; /* what the memory holds (--kv). I8: codes, and in front of
                         page_rows rows of them a scale for each, f32 */
  int32_t page_rows;  /* 0; or how many rows lie together: memory has whole pages */
  int64_t row_bytes;  /* that a row of one sequence takes; of one that is
                         replaced, a sequence */
  int32_t replaced;   /* nonzero: each run makes it anew (grows is 0). axis is
                         then -1, or has `most` rows or fewer, the same number
                         for all sequences */
  int32_t sequences;  /* the dim that counts them */
  int64_t most; /* of one that grows: rows that a new one looks back at; 0: all */
};

static inline tenon_status tenon_state_check(const tenon_model *model,
                                             tenon_error *error) {
  tenon_status status = tenon_model_check(model, error);
  if (!status && model->api->size <= offsetof(tenon_api, bind_state))
    return tenon_older("tenon_state", error);
  return status;
}
/* The first num_states are states; then come num_stateless inputs that look like
 * pasts but are none, with the reason. */
static inline tenon_status tenon_get_state_info(const tenon_model *model,
                                                int32_t index,
                                                tenon_state_info *info,
                                                tenon_error *error) {
  tenon_status status = tenon_state_check(model, error);
  return status ? status : model->api->state_info(model, index, info, error);
}
/* Bytes for `sequences` (the inputs' first dim) of `capacity` rows, which are
 * rounded up to whole pages where there are some (tenon_state_info). */
static inline tenon_status tenon_state_size(const tenon_model *model,
                                            int64_t sequences, int64_t capacity,
                                            size_t *bytes, tenon_error *error) {
  tenon_status status = tenon_state_check(model, error);
  return status ? status
                : model->api->state_size(model, sequences, capacity, bytes,
                                         error);
}
/* Makes a state of 64-byte aligned memory; its sequences are empty. */
static inline tenon_status
tenon_init_state(const tenon_model *model, void *memory, size_t bytes,
                 int64_t sequences, int64_t capacity, tenon_state **state,
                 tenon_error *error) {
  tenon_status status = tenon_state_check(model, error);
  return status ? status
                : model->api->init_state(model, memory, bytes, sequences,
                                         capacity, state, error);
}
#define TENON_ALL_ROWS (-1)
/* How many rows a sequence has. Less than it has rolls it back, but not where
 * something is replaced; 0 empties it; more is refused, and so is a state that a run uses (TENON_BUSY). TENON_ALL_ROWS
 * sets all sequences. */
static inline tenon_status
tenon_state_length(const tenon_model *model, const tenon_state *state,
                   int64_t sequence, int64_t *length, tenon_error *error) {
  tenon_status status = tenon_state_check(model, error);
  return status
             ? status
             : model->api->state_length(model, state, sequence, length, error);
}
static inline tenon_status
tenon_set_state_length(const tenon_model *model, tenon_state *state,
                       int64_t sequence, int64_t length, tenon_error *error) {
  tenon_status status = tenon_state_check(model, error);
  return status ? status
                : model->api->set_state_length(model, state, sequence, length,
                                               error);
}
/* Makes a sequence the first `length` rows of another, of this or another state
 * of the model, whatever its capacity; what is replaced becomes what it is now. */
static inline tenon_status
tenon_copy_state(const tenon_model *model, tenon_state *to, int64_t to_sequence,
                 const tenon_state *from, int64_t from_sequence, int64_t length,
                 tenon_error *error) {
  tenon_status status = tenon_state_check(model, error);
  return status ? status
                : model->api->copy_state(model, to, to_sequence, from,
                                         from_sequence, length, error);
}
/* The memory of state `index`; dims (room for its rank) are those of its input
 * with the capacity along the axis. tenon_state_info says what lies there. */
static inline tenon_status
tenon_state_data(const tenon_model *model, const tenon_state *state,
                 int32_t index, int64_t *dims, const void **data,
                 tenon_error *error) {
  tenon_status status = tenon_state_check(model, error);
  return status
             ? status
             : model->api->state_data(model, state, index, dims, data, error);
}
/* Binds a state until the next call, which NULL ends. A context on a GPU has the
 * rows there until then. One run at a time uses it
 * (another gets TENON_BUSY). In tenon_reserve and its like NULL stands for the
 * dims of its inputs as they are now; the dims of the longest pasts reserve, once
 * and for all, what shorter ones need. */
static inline tenon_status tenon_bind_state(tenon_context *context,
                                            tenon_state *state,
                                            tenon_error *error) {
  TENON_CALL_SINCE(bind_state, "tenon_state", state, error);
}

#ifdef __cplusplus
}
#endif

#endif /* TENON_STATE_H */
