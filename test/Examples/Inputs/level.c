/*===- level.c - which code a linked model runs ------------------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===*/
#define TENON_NO_LOADER
#include <tenon/tenon.h>

#include <stdio.h>

TENON_DECLARE_MODEL(circle);

int main(void) {
  const int64_t dims[2] = {1, 2};
  const int64_t *input_dims[1] = {dims};
  float point[2] = {0, 0}, inside = 0;
  tenon_context *context = NULL;
  tenon_context_info info;
  tenon_error error;
  TENON_INIT(info);
  if (tenon_context_create(&tenon_model_circle, NULL, &context, &error) ||
      tenon_reserve(context, input_dims, &error) ||
      tenon_bind_input(context, 0, TENON_F32, 2, dims, point, sizeof point,
                       &error) ||
      tenon_bind_output(context, 0, TENON_F32, 2, NULL, &inside, sizeof inside,
                        &error) ||
      tenon_run(context, &error) ||
      tenon_get_context_info(context, &info, &error)) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  printf("%s: %s\n", info.level, inside > 0.5f ? "inside" : "outside");
  tenon_context_destroy(context);
  return 0;
}
