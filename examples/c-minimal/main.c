/*===- main.c - a C99 program with a model linked in ------------------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * Says of each point on the command line whether it lies inside the unit
 * circle, in the opinion of a small network. One thread, and the workspace is
 * this program's own memory.
 *===----------------------------------------------------------------------===*/
#define TENON_NO_LOADER /* the model is linked in: no dlopen */
#include <tenon/tenon.h>

#include <stdio.h>
#include <stdlib.h>

TENON_DECLARE_MODEL(circle); /* defined by circle.a */

enum { MAX_POINTS = 16 };
static float points[MAX_POINTS][2], inside[MAX_POINTS][1];
static union {
  unsigned char bytes[64 * 1024];
  long double alignment;
} memory;

static int fail(const char *message) {
  fprintf(stderr, "circle: error: %s\n", message);
  return 1;
}

int main(int argc, char **argv) {
  const int64_t dims[2] = {(argc - 1) / 2, 2}; /* the batch is chosen here */
  const int64_t *input_dims[1];
  tenon_context_options options;
  tenon_context *context;
  tenon_error error;
  tenon_status status;
  size_t needed;
  int i;

  if (argc < 3 || argc % 2 == 0 || dims[0] > MAX_POINTS)
    return fail("give the points as X Y [X Y]..., at most 16 of them");
  for (i = 1; i < argc; ++i) {
    char *end;
    points[(i - 1) / 2][(i - 1) % 2] = strtof(argv[i], &end);
    if (end == argv[i] || *end)
      return fail("a coordinate is not a number");
  }

  TENON_INIT(options);
  options.threads = 1;
  options.workspace = memory.bytes + (64 - (uintptr_t)memory.bytes % 64) % 64;
  options.workspace_bytes = sizeof memory.bytes - 64;
  status =
      tenon_context_create(&tenon_model_circle, &options, &context, &error);
  if (status)
    return fail(error.message);

  input_dims[0] = dims;
  if ((status = tenon_workspace_size(context, input_dims, &needed, &error)) ||
      (status = tenon_bind_input_named(context, "point", TENON_F32, 2, dims,
                                       points, sizeof points, &error)) ||
      (status = tenon_bind_output_named(context, "inside", TENON_F32, 2, NULL,
                                        inside, sizeof inside, &error)) ||
      (status = tenon_run(context, &error))) {
    fail(error.message);
  } else {
    for (i = 0; i < dims[0]; ++i)
      printf("(%g, %g) is %s (%.1f %%)\n", points[i][0], points[i][1],
             inside[i][0] > 0.5f ? "inside" : "outside", 100 * inside[i][0]);
    printf("workspace: %lu bytes\n", (unsigned long)needed);
  }
  tenon_context_destroy(context);
  return status != TENON_OK;
}
