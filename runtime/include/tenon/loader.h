/*===- tenon/loader.h - opening a compiled model's shared library -----------===
 *
 * Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===------------------------------------------------------------------------===
 * Included by tenon.h; define TENON_NO_LOADER where there is no dlopen.
 *===----------------------------------------------------------------------===*/
#ifndef TENON_LOADER_H
#define TENON_LOADER_H

#include "tenon/checksum.h"
#include "tenon/tenon.h"
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tenon_library {
  const tenon_model *model;
  void *handle; /* dlopen's */
} tenon_library;

enum {
  /* Compares the file with its checksum before anything of it is used: code,
   * tables, embedded weights, headers. Reads it all. (A weights file is the
   * context's: TENON_CONTEXT_VERIFY.) */
  TENON_LIBRARY_VERIFY = 1u << 0
};

typedef struct tenon_library_options {
  size_t size;
  uint32_t flags; /* TENON_LIBRARY_* */
} tenon_library_options;

/* The dynamic loader maps what the program headers promise and a truncated file
 * then kills the process, so the promise is checked first. */
static inline tenon_status tenon_library_probe(const char *full,
                                               const char *path,
                                               tenon_error *error) {
  Elf64_Ehdr header;
  Elf64_Phdr segment;
  long length;
  int i;
  const char *problem = 0;
  FILE *file = fopen(full, "rb");
  if (!file)
    return tenon_fail(error, TENON_IO_ERROR, "cannot open '", path, "': ",
                      strerror(errno));
  if (fread(&header, sizeof header, 1, file) != 1 ||
      memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    problem = "not a shared library";
  else if (header.e_ident[EI_CLASS] != ELFCLASS64 ||
           header.e_machine != EM_X86_64 || header.e_type != ET_DYN ||
           header.e_phentsize != sizeof segment)
    problem = "not a shared library for x86-64";
  else if (fseek(file, 0, SEEK_END) != 0 || (length = ftell(file)) < 0)
    problem = "its length cannot be read";
  else
    for (i = 0; i < header.e_phnum && !problem; ++i) {
      long at = (long)(header.e_phoff + (Elf64_Off)i * sizeof segment);
      if (fseek(file, at, SEEK_SET) != 0 ||
          fread(&segment, sizeof segment, 1, file) != 1 ||
          (segment.p_type == PT_LOAD &&
           (segment.p_offset > (Elf64_Off)length ||
            segment.p_filesz > (Elf64_Off)length - segment.p_offset)))
        problem = "the file is truncated";
    }
  fclose(file);
  return problem ? tenon_fail(error, TENON_IO_ERROR, "cannot load '", path,
                              "': ", problem)
                 : TENON_OK;
}

static inline tenon_status
tenon_library_compare(const char *full, const char *path, tenon_error *error) {
  char buffer[1 << 14];
  tenon_checksum found;
  tenon_blake3 state;
  uint8_t hash[32];
  uint64_t left = 0;
  long length;
  const char *problem = 0;
  FILE *file = fopen(full, "rb");
  if (!file)
    return tenon_fail(error, TENON_IO_ERROR, "cannot open '", path,
                      "': ", strerror(errno));
  if (fseek(file, 0, SEEK_END) != 0 || (length = ftell(file)) < 0)
    problem = "': its length cannot be read";
  else if (length < (long)sizeof found ||
           fseek(file, length - (long)sizeof found, SEEK_SET) != 0 ||
           fread(&found, sizeof found, 1, file) != 1 ||
           memcmp(found.magic, TENON_CHECKSUM_MAGIC, sizeof found.magic) != 0)
    problem =
        "' has no checksum: it is damaged, was stripped, or is older than "
        "checksums";
  else if (found.bytes != (uint64_t)length - sizeof found)
    problem = "' is damaged: its length is not the one that was written";
  else {
    rewind(file);
    tenon_blake3_init(&state);
    for (left = found.bytes; left && !problem;) {
      size_t part = left < sizeof buffer ? (size_t)left : sizeof buffer;
      if (fread(buffer, 1, part, file) != part)
        problem = "': it cannot be read";
      tenon_blake3_update(&state, buffer, part);
      left -= part;
    }
    tenon_blake3_final(&state, hash);
    if (!problem && memcmp(hash, found.hash, sizeof hash) != 0)
      problem = "' is damaged: its checksum is not the one that was written";
  }
  fclose(file);
  return problem ? tenon_fail(error, TENON_IO_ERROR, "'", path, problem, 0)
                 : TENON_OK;
}

/* Opens an artifact; options may be NULL. A path without '/' is a file in the
 * current directory. */
static inline tenon_status
tenon_library_open_with(const char *path, const tenon_library_options *options,
                        tenon_library *library, tenon_error *error) {
  char full[4096];
  tenon_status status;
  size_t length, at = 0;
  if (!path || !library)
    return tenon_fail(error, TENON_INVALID_ARGUMENT,
                      path ? "the library is NULL" : "the path is NULL", 0, 0,
                      0);
  library->model = 0;
  library->handle = 0;
  length = strlen(path);
  if (length + 3 > sizeof full)
    return tenon_fail(error, TENON_IO_ERROR, "the path is too long: '", path,
                      "'", 0);
  if (!strchr(path, '/'))
    full[at++] = '.', full[at++] = '/';
  memcpy(full + at, path, length + 1);
  status = tenon_library_probe(full, path, error);
  if (!status && options && options->flags & TENON_LIBRARY_VERIFY)
    status = tenon_library_compare(full, path, error);
  if (status)
    return status;
  library->handle = dlopen(full, RTLD_NOW | RTLD_LOCAL);
  if (!library->handle)
    return tenon_fail(error, TENON_IO_ERROR, "cannot load '", path, "': ",
                      dlerror());
  library->model = (const tenon_model *)dlsym(library->handle, "tenon_model");
  if (!library->model)
    status = tenon_fail(error, TENON_VERSION_MISMATCH, "'", path,
                        "' is not a model compiled by Tenon: it has no symbol "
                        "tenon_model",
                        0);
  else
    status = tenon_model_check(library->model, error);
  if (status) {
    dlclose(library->handle);
    library->model = 0;
    library->handle = 0;
  }
  return status;
}

static inline tenon_status tenon_library_open(const char *path,
                                              tenon_library *library,
                                              tenon_error *error) {
  return tenon_library_open_with(path, 0, library, error);
}

/* Only after every context of the model is destroyed. */
static inline void tenon_library_close(tenon_library *library) {
  if (library && library->handle)
    dlclose(library->handle);
  if (library) {
    library->model = 0;
    library->handle = 0;
  }
}

#ifdef __cplusplus
}
#endif
#endif /* TENON_LOADER_H */
