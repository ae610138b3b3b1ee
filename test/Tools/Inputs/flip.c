/*===- flip.c - every flipped bit of an artifact is noticed -----------------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * flip ARTIFACT.so COPY.so               bits all over a .so
 * flip ARTIFACT.so WEIGHTS COPY.weights  bits of a weights file
 *
 * The copy is changed in one bit, verified, and changed back.
 *===----------------------------------------------------------------------===*/
#include <tenon/tenon.h>

#include <stdlib.h>

static long length;

static FILE *copy_file(const char *from, const char *to) {
  FILE *in = fopen(from, "rb"), *out = fopen(to, "wb+");
  int c;
  if (!in || !out)
    exit(2);
  while ((c = getc(in)) != EOF)
    putc(c, out);
  fclose(in);
  length = ftell(out);
  return out;
}

static void flip(FILE *file, long at, int bit) {
  int c;
  fseek(file, at, SEEK_SET);
  c = getc(file);
  fseek(file, at, SEEK_SET);
  putc(c ^ (1 << bit), file);
  fflush(file);
}

/* An error is what is expected; anything else is counted. */
static int library_accepts(const char *path) {
  tenon_library library;
  tenon_library_options options;
  tenon_error error;
  tenon_status status;
  TENON_INIT(options);
  options.flags = TENON_LIBRARY_VERIFY;
  status = tenon_library_open_with(path, &options, &library, &error);
  tenon_library_close(&library);
  return status != TENON_IO_ERROR;
}

static int context_accepts(const tenon_model *model, const char *weights) {
  tenon_context_options options;
  tenon_context *context = NULL;
  tenon_error error;
  tenon_status status;
  TENON_INIT(options);
  options.threads = 1;
  options.flags = TENON_CONTEXT_VERIFY;
  options.weights_path = weights;
  status = tenon_context_create(model, &options, &context, &error);
  tenon_context_destroy(context);
  return status == TENON_OK;
}

int main(int argc, char **argv) {
  long at, tried = 0, accepted = 0;
  if (argc == 3) {
    FILE *file = copy_file(argv[1], argv[2]);
    /* Headers and checksum whole, between them a prime step. */
    for (at = 0; at < length; at += at < 64 || length - at <= 48 ? 1 : 997) {
      int bit = (int)(at % 8);
      if (length - at > 48 && length - at < 997 + 48)
        at = length - 48;
      flip(file, at, bit);
      accepted += library_accepts(argv[2]);
      flip(file, at, bit);
      ++tried;
    }
    printf("%ld bits of a .so, %ld accepted\n", tried, accepted);
    return !library_accepts(argv[2]); /* as it was */
  }
  {
    tenon_library library;
    tenon_error error;
    FILE *file = copy_file(argv[2], argv[3]);
    long outside = 0;
    if (tenon_library_open(argv[1], &library, &error))
      return 2;
    for (at = 0; at < length; ++at) {
      int accepts;
      flip(file, at, (int)(at % 8));
      accepts = context_accepts(library.model, argv[3]);
      flip(file, at, (int)(at % 8));
      /* The reserved word and the zeros before the weights mean nothing. */
      if ((at >= 12 && at < 16) || (at >= 56 && at < 4096))
        outside += accepts;
      else
        ++tried, accepted += accepts;
    }
    printf("%ld bits of a weights file, %ld accepted, %ld without meaning\n",
           tried, accepted, outside);
    return !context_accepts(library.model, argv[3]);
  }
}
