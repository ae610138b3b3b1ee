/*===- typed_use.c - a model by its own header, in C -------------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * Without MISTAKE it runs; each MISTAKE is one that must not compile.
 *===----------------------------------------------------------------------===*/
#define TENON_NO_LOADER
#include "typed.h"
#include <stdio.h>

int main(void) {
  const int64_t ids[3] = {1, 0, 3};
  const uint16_t half[3] = {0x3800, 0x3c00, 0x4000};
  float batch = 10, y[6];
  uint8_t mask[3];
  int64_t places[6];
  tenon_context *context = NULL;
  tenon_error error;
  if (typed_2_create(&tenon_model_typed_2, NULL, &context, &error) ||
      typed_2_reserve(context, 1, 3, &error) ||
#if MISTAKE == 1 /* the element type */
      typed_2_run(context, 1, 3, half, half, &batch, NULL, y, mask, places,
                  &error)
#elif MISTAKE == 2 /* an input is missing */
      typed_2_run(context, 1, 3, ids, half, NULL, y, mask, places, &error)
#else
      typed_2_run(context, 1, 3, ids, half, &batch, NULL, y, mask, places,
                  &error)
#endif
  ) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  printf("%g %g %g of %d, %d %d %d\n", y[0], y[1], y[2],
         (int)typed_2_y_elements(1, 3), mask[0], mask[1], mask[2]);
  tenon_context_destroy(context);
  return 0;
}
