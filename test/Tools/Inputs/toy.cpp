//===- toy.cpp - an artifact written by hand ------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The unit tests' toy model as a shared library, so that the tools are tested
// apart from the compiler.
//
//===----------------------------------------------------------------------===//
#include "ToyModel.h"

static const toy::Toy gToy;
extern "C" struct tenon_model exported __asm__("tenon_model");
__attribute__((visibility("default"))) struct tenon_model exported = gToy.model;
