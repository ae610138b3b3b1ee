/*===- tenon/pages.h - sequences that share a pool of pages -----------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * A paged state is a tenon_state whose sequences take their memory from a pool,
 * 32 rows (tenon_state_info.page_rows) at a time: a sequence has the pages that
 * its rows need, whatever its capacity. It gives back those that it is rolled
 * back from, and those that no row looks back at any more (tenon_state_info.most).
 * Sequences that begin alike share pages. A run works on some of the sequences:
 *
 *   tenon_paged_state_size(model, 64, 2048, 512, &bytes, &error);
 *   tenon_init_paged_state(model, memory, bytes, 64, 2048, 512, &state, &error);
 *   tenon_bind_sequences(context, state, sequences, 2, &error);
 *   // then as with any state: row 0 of the run is sequence sequences[0]
 *
 * All of a model's pasts must grow and lie in pages, as `tenon compile --kv`
 * keeps them. Runs have the bits that they have with sequences of their own.
 *===----------------------------------------------------------------------===*/
#ifndef TENON_PAGES_H
#define TENON_PAGES_H

#include "tenon/tenon.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tenon_pool_info { /* of a paged state; zeros of any other */
  size_t size;
  int64_t sequences, capacity; /* and the most rows of one */
  int64_t pages, free_pages;
  int64_t page_rows, page_bytes; /* of all pasts together */
};

static inline tenon_status tenon_pages_check(const tenon_model *model,
                                             tenon_error *error) {
  tenon_status status = tenon_model_check(model, error);
  if (!status && model->api->size <= offsetof(tenon_api, bind_sequences))
    return tenon_older("tenon_init_paged_state", error);
  return status;
}
/* Bytes for `sequences` of up to `capacity` rows, which share `pages` pages. */
static inline tenon_status
tenon_paged_state_size(const tenon_model *model, int64_t sequences,
                       int64_t capacity, int64_t pages, size_t *bytes,
                       tenon_error *error) {
  tenon_status status = tenon_pages_check(model, error);
  return status ? status
                : model->api->paged_state_size(model, sequences, capacity,
                                               pages, bytes, error);
}
/* Makes a paged state of 64-byte aligned memory; its sequences are empty. The
 * functions of state.h work on it; tenon_state_data shows the pool, its pages in
 * place of sequences. */
static inline tenon_status
tenon_init_paged_state(const tenon_model *model, void *memory, size_t bytes,
                       int64_t sequences, int64_t capacity, int64_t pages,
                       tenon_state **state, tenon_error *error) {
  tenon_status status = tenon_pages_check(model, error);
  return status ? status
                : model->api->init_paged_state(model, memory, bytes, sequences,
                                               capacity, pages, state, error);
}
static inline tenon_status tenon_get_pool_info(const tenon_model *model,
                                               const tenon_state *state,
                                               tenon_pool_info *info,
                                               tenon_error *error) {
  tenon_status status = tenon_pages_check(model, error);
  return status ? status : model->api->pool_info(model, state, info, error);
}
/* Binds `count` sequences of a paged state until the next call. `sequences` stays
 * as it is until then; NULL: the first `count`. Each is given once or, where the
 * model takes sequences of unequal lengths (`tenon compile --ragged`), as often as
 * a run adds tokens to it, one behind the other: each is then a row of one token,
 * behind those before it. What a run needs of pages it takes from the pool, or is
 * TENON_STATE_FULL; pages that it took stay with their sequences if it fails. */
static inline tenon_status
tenon_bind_sequences(tenon_context *context, tenon_state *state,
                     const int64_t *sequences, int64_t count,
                     tenon_error *error) {
  TENON_CALL_SINCE(bind_sequences, "tenon_bind_sequences", state, sequences,
                   count, error);
}
/* Makes a sequence the first `length` rows of another of the same paged state:
 * they share the pages. Whoever is to write one first takes a copy of it. */
static inline tenon_status tenon_share_state(const tenon_model *model,
                                             tenon_state *state, int64_t to,
                                             int64_t from, int64_t length,
                                             tenon_error *error) {
  tenon_status status = tenon_pages_check(model, error);
  return status ? status
                : model->api->share_state(model, state, to, from, length, error);
}
/* The pages that a sequence has, in the order of its rows: at least those that
 * its rows lie in. A caller that places pages itself gives them before a run; the
 * run takes others only where they do not suffice. Pages of the pool, each once,
 * and none that another sequence has. */
static inline tenon_status
tenon_set_state_pages(const tenon_model *model, tenon_state *state,
                      int64_t sequence, const int32_t *pages, int64_t count,
                      tenon_error *error) {
  tenon_status status = tenon_pages_check(model, error);
  return status ? status
                : model->api->set_state_pages(model, state, sequence, pages,
                                              count, error);
}
/* Which they are (-1: given back), up to `room` of them, and how many. */
static inline tenon_status
tenon_state_pages(const tenon_model *model, const tenon_state *state,
                  int64_t sequence, int32_t *pages, int64_t room,
                  int64_t *count, tenon_error *error) {
  tenon_status status = tenon_pages_check(model, error);
  return status ? status
                : model->api->state_pages(model, state, sequence, pages, room,
                                          count, error);
}

#ifdef __cplusplus
}
#endif

#endif /* TENON_PAGES_H */
