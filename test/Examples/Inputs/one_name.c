/*===- one_name.c - a program with a model and others of its name ----------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===*/
#define _GNU_SOURCE
#include <tenon/tenon.h>

#include <stdio.h>

TENON_DECLARE_MODEL(circle);

static int show(const tenon_model *model) {
  tenon_model_info info;
  tenon_error error;
  TENON_INIT(info);
  if (tenon_get_model_info(model, &info, &error)) {
    puts(error.message);
    return 1;
  }
  puts(info.name);
  return 0;
}

/* one_name [FILE...]: opens the files, for everybody and for itself; what was
 * linked is asked last. */
int main(int argc, char **argv) {
  int i, failed = 0;
  for (i = 1; i < argc; ++i) {
    tenon_library library;
    tenon_error error;
    if (!dlopen(argv[i], RTLD_NOW | RTLD_GLOBAL)) {
      puts(dlerror());
      return 1;
    }
    if (dlerror())
      puts("an error is left over");
    if (tenon_library_open(argv[i], &library, &error)) {
      puts(error.message);
      return 1;
    }
    failed |= show(library.model);
  }
  return failed | show(&tenon_model_circle);
}
