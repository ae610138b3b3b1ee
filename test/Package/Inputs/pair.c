/*===- pair.c - two shared models in one program ----------------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===*/
#define TENON_NO_LOADER
#include <tenon/tenon.h>

#include <stdio.h>

TENON_DECLARE_MODEL(circle_shared);
TENON_DECLARE_MODEL(circle_apart);

int main(void) {
  const tenon_model *models[] = {&tenon_model_circle_shared,
                                 &tenon_model_circle_apart};
  int i;
  for (i = 0; i < 2; ++i) {
    tenon_model_info model;
    tenon_context_info info;
    tenon_context *context = NULL;
    tenon_error error;
    TENON_INIT(model);
    TENON_INIT(info);
    if (tenon_get_model_info(models[i], &model, &error) ||
        tenon_context_create(models[i], NULL, &context, &error) ||
        tenon_get_context_info(context, &info, &error)) {
      fprintf(stderr, "%s\n", error.message);
      return 1;
    }
    printf("%s, weights %s\n", model.name,
           info.weights_path ? info.weights_path : "inside");
    tenon_context_destroy(context);
  }
  return 0;
}
