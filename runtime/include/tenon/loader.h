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

/* Opens an artifact. A path without '/' is a file in the current directory. */
static inline tenon_status tenon_library_open(const char *path,
                                              tenon_library *library,
                                              tenon_error *error) {
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
