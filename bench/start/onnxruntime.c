/*===- onnxruntime.c - a C program that opens a model with onnxruntime ------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * The library of the Python wheel, which has no header: the few functions that
 * are used, by their numbers in OrtApi, which never change.
 *===----------------------------------------------------------------------===*/
#include "sentence.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
  const void *(*get_api)(uint32_t version);
  const char *(*version)(void);
} api_base;

static void *const *api;
static void check(void *status) {
  typedef const char *message_of(const void *);
  if (!status)
    return;
  fprintf(stderr, "%s\n", ((message_of *)api[2])(status));
  exit(1);
}

typedef void *create_env(int level, const char *name, void **env);
typedef void *create_session(void *env, const char *path, void *options,
                             void **session);
typedef void *run_session(void *session, void *options,
                          const char *const *names, void *const *inputs,
                          size_t num_inputs, const char *const *output_names,
                          size_t num_outputs, void **outputs);
typedef void *create_options(void **options);
typedef void *set_threads(void *options, int threads);
typedef void *create_tensor(void *memory, void *data, size_t bytes,
                            const int64_t *dims, size_t rank, int type,
                            void **value);
typedef void *tensor_data(void *value, void **data);
typedef void *cpu_memory(int allocator, int type, void **memory);

/* onnxruntime LIBRARY MODEL */
int main(int argc, char **argv) {
  const char *names[] = {"input_ids", "attention_mask", "token_type_ids"};
  const char *output_names[] = {"last_hidden_state"};
  const int64_t dims[2] = {1, LENGTH};
  int64_t *data[3] = {ids, mask, types};
  void *env, *options, *session, *memory, *inputs[3], *output = NULL, *first;
  const api_base *(*base)(void);
  void *library = argc == 3 ? dlopen(argv[1], RTLD_NOW) : NULL;
  if (!library) {
    fprintf(stderr, "%s\n", argc == 3 ? dlerror() : "LIBRARY MODEL");
    return 1;
  }
  *(void **)&base = dlsym(library, "OrtGetApiBase");
  api = base()->get_api(16);
  check(((create_env *)api[3])(3, "start", &env));
  check(((create_options *)api[10])(&options));
  check(((set_threads *)api[24])(options, 1));
  check(((create_session *)api[7])(env, argv[2], options, &session));
  check(((cpu_memory *)api[69])(0, 0, &memory));
  for (int i = 0; i < 3; ++i)
    check(((create_tensor *)api[49])(memory, data[i], sizeof ids, dims, 2, 7,
                                     &inputs[i]));
  check(((run_session *)api[9])(session, NULL, names, inputs, 3, output_names,
                                1, &output));
  check(((tensor_data *)api[51])(output, &first));
  printf("%.3f\n", *(float *)first);
  fflush(stdout);
  getchar(); /* until it has been measured */
  _Exit(0);
}
