//===- Twins.cpp - two shared models of one name --------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Of two shared libraries that define a name linkers take the first and say
// nothing. So the first looks behind itself when it is loaded, in the order of
// the link line. What a program opens by itself has an order of its own, in
// which there is nothing else: a new file of a model that is in use may come.
//
// Part of shared libraries alone; where a program has no dynamic linker, or one
// whose libdl it is not linked with, there is nothing to ask.
//
//===----------------------------------------------------------------------===//
#include "tenon/abi.h"

#include <dlfcn.h>

#pragma weak dladdr
#pragma weak dlerror
#pragma weak dlsym

/// Called once, from the library's .init_array, before anybody has the model.
extern "C" void tenon_find_twin(const char *symbol, tenon_twin *twin) {
  if (!dladdr || !dlerror || !dlsym)
    return;
  const void *other = dlsym(RTLD_NEXT, symbol);
  dlerror(); // that there is none is no error that a caller of dlopen may see
  Dl_info own, next;
  if (!other || !dladdr(twin, &own) || !dladdr(other, &next))
    return;
  twin->file = own.dli_fname;
  twin->other = next.dli_fname;
}
