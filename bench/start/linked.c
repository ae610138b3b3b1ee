/*===- linked.c - a C program with a model linked in ------------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===*/
#define TENON_NO_LOADER
#include "sentence.h"
#include <tenon/tenon.h>

#include <stdio.h>

TENON_DECLARE_MODEL(minilm);

static float result[LENGTH * WIDTH], pooled[WIDTH];

int main(void) {
  const int64_t dims[2] = {1, LENGTH};
  const int64_t *all_dims[3] = {dims, dims, dims};
  tenon_context_options options;
  tenon_context *context = NULL;
  tenon_error error;
  TENON_INIT(options);
  options.threads = 1;
  if (tenon_context_create(&tenon_model_minilm, &options, &context, &error) ||
      tenon_reserve(context, all_dims, &error) ||
      tenon_bind_input_named(context, "input_ids", TENON_I64, 2, dims, ids,
                             sizeof ids, &error) ||
      tenon_bind_input_named(context, "attention_mask", TENON_I64, 2, dims,
                             mask, sizeof mask, &error) ||
      tenon_bind_input_named(context, "token_type_ids", TENON_I64, 2, dims,
                             types, sizeof types, &error) ||
      tenon_bind_output_named(context, "last_hidden_state", TENON_F32, 3, NULL,
                              result, sizeof result, &error) ||
      tenon_bind_output_named(context, "pooler_output", TENON_F32, 2, NULL,
                              pooled, sizeof pooled, &error) ||
      tenon_run(context, &error)) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  printf("%.3f\n", result[0]);
  fflush(stdout);
  getchar(); /* until it has been measured */
  tenon_context_destroy(context);
  return 0;
}
