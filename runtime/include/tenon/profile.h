/*===- tenon/profile.h - what a run did, step by step -----------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * Steps with their times, where tensors lay, and inner values, which are there
 * with --debug-values only. Included by tenon.h.
 *===----------------------------------------------------------------------===*/
#ifndef TENON_PROFILE_H
#define TENON_PROFILE_H

#include "tenon/tenon.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tenon_value_info { /* an inner value, with --debug-values */
  size_t size;
  const char *name;
  tenon_dtype dtype;
  int32_t rank;
};

static inline tenon_status tenon_get_step_info(tenon_context *context,
                                               int32_t index,
                                               tenon_step_info *info,
                                               tenon_error *error) {
  return context ? tenon_context_api(context)->step_info(context, index, info,
                                                         error)
                 : tenon_fail(error, TENON_INVALID_ARGUMENT,
                              "the context is NULL", 0, 0, 0);
}
/* A tensor of the last run, in no particular order: where it was, how large,
 * and for how long. */
static inline tenon_status tenon_get_buffer_info(tenon_context *context,
                                                 int32_t index,
                                                 tenon_buffer_info *info,
                                                 tenon_error *error) {
  TENON_CALL_SINCE(buffer_info, "tenon_get_buffer_info", index, info, error);
}
/* An inner value after a run: its dims (room for its rank) and its data, valid
 * until the next run. One of a packed type has a byte an element, as i8 or u8.
 */
static inline tenon_status tenon_value_data(tenon_context *context,
                                            int32_t index, int64_t *dims,
                                            const void **data,
                                            tenon_error *error) {
  return context ? tenon_context_api(context)->value_data(context, index, dims,
                                                          data, error)
                 : tenon_fail(error, TENON_INVALID_ARGUMENT,
                              "the context is NULL", 0, 0, 0);
}
static inline tenon_status tenon_get_value_info(const tenon_model *model,
                                                int32_t index,
                                                tenon_value_info *info,
                                                tenon_error *error) {
  tenon_status status = tenon_model_check(model, error);
  return status ? status : model->api->value_info(model, index, info, error);
}
/* The number of the inner value called `name`. */
static inline tenon_status tenon_find_value(const tenon_model *model,
                                            const char *name, int32_t *index,
                                            tenon_error *error) {
  tenon_status status = tenon_model_check(model, error);
  return status ? status : model->api->find_value(model, name, index, error);
}

#ifdef __cplusplus
}
#endif

#endif /* TENON_PROFILE_H */
