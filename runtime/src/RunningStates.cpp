//===- RunningStates.cpp - states that runs use ---------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A state's own flag keeps two runs from one state. Two states may still
// overlap, by a mistake of the caller's: all that run are in a list.
//
//===----------------------------------------------------------------------===//
#include "State.h"

#include <pthread.h>

using namespace tenon::rt;

namespace {

pthread_mutex_t gMutex = PTHREAD_MUTEX_INITIALIZER;
Context *gRunning = nullptr;

} // namespace

tenon_status tenon::rt::checkRunning(const void *memory, uint64_t bytes,
                                     Context *context, tenon_error *error) {
  pthread_mutex_lock(&gMutex);
  const Context *other = gRunning;
  while (other && !overlapsState(*other, memory, int64_t(bytes)))
    other = other->nextRunning;
  int64_t distance =
      other ? static_cast<const uint8_t *>(memory) - other->state : 0;
  if (!other && context) {
    context->nextRunning = gRunning;
    gRunning = context;
  }
  pthread_mutex_unlock(&gMutex);
  if (!other)
    return TENON_OK;
  return fail(error, TENON_BUSY, "the state's ", bytes,
              " bytes overlap a state that a run uses, which begins ",
              distance < 0 ? -distance : distance,
              distance < 0 ? " bytes behind" : " bytes before");
}

void tenon::rt::removeRunning(Context &context) {
  pthread_mutex_lock(&gMutex);
  Context **link = &gRunning;
  while (*link && *link != &context)
    link = &(*link)->nextRunning;
  if (*link)
    *link = context.nextRunning;
  pthread_mutex_unlock(&gMutex);
}
