/*===- two_models.c - two models linked into one program --------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===*/
#define TENON_NO_LOADER
#include <tenon/tenon.h>

#include <stdio.h>

TENON_DECLARE_MODEL(circle);
TENON_DECLARE_MODEL(second);

int main(void) {
  const tenon_model *models[] = {&tenon_model_circle, &tenon_model_second};
  int i;
  for (i = 0; i < 2; ++i) {
    tenon_model_info info;
    tenon_error error;
    TENON_INIT(info);
    if (tenon_get_model_info(models[i], &info, &error)) {
      fprintf(stderr, "%s\n", error.message);
      return 1;
    }
    puts(info.name);
  }
  return 0;
}
