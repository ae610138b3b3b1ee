//===- Pool.cpp - the context's own threads -------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Waiting and waking. A waiter announces itself in `sleepers` and then looks at
// the value once more before it sleeps; the waker changes the value and then
// looks at `sleepers`. Both sides use sequentially consistent operations, so
// one of them sees the other and no wake is lost.
//
// A region is opened to each worker by a ticket. The worker takes it when it
// wakes; the caller takes back those that are left when its own part is done.
//
//===----------------------------------------------------------------------===//
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "Pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

using namespace tenon::rt;

int64_t tenon::rt::nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t(now.tv_sec) * 1000000000 + now.tv_nsec;
}

namespace {

uint32_t load(const uint32_t &word) {
  return __atomic_load_n(&word, __ATOMIC_ACQUIRE);
}

void wake(WaitWord &word) {
  syscall(SYS_futex, &word.value, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr,
          0);
}

/// Changes a word that others may wait on.
void publish(WaitWord &word, uint32_t value) {
  __atomic_store_n(&word.value, value, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&word.sleepers, __ATOMIC_SEQ_CST))
    wake(word);
}

} // namespace

void Pool::waitWhile(WaitWord &word, uint32_t old) {
  if (spinNanoseconds > 0) {
    int64_t deadline = 0;
    for (;;) {
      for (int i = 0; i < 64; ++i) {
        if (load(word.value) != old)
          return;
        __builtin_ia32_pause();
      }
      int64_t now = nanoseconds();
      if (deadline == 0)
        deadline = now + spinNanoseconds;
      else if (now >= deadline)
        break;
    }
  }
  __atomic_add_fetch(&word.sleepers, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&word.value, __ATOMIC_SEQ_CST) == old)
    syscall(SYS_futex, &word.value, FUTEX_WAIT_PRIVATE, old, nullptr, nullptr,
            0);
  __atomic_sub_fetch(&word.sleepers, 1, __ATOMIC_SEQ_CST);
}

void Pool::count(WaitWord &word, uint32_t target) {
  uint32_t value = __atomic_add_fetch(&word.value, 1, __ATOMIC_SEQ_CST);
  if (value == target && __atomic_load_n(&word.sleepers, __ATOMIC_SEQ_CST))
    wake(word);
}

void Pool::waitFor(WaitWord &word, uint32_t target) {
  for (uint32_t value; (value = load(word.value)) != target;)
    waitWhile(word, value);
}

void Pool::start(Worker *block, int32_t threads, int32_t spinMicroseconds) {
  workers = block;
  function = nullptr;
  argument = nullptr;
  total = 1;
  spinNanoseconds = int64_t(spinMicroseconds) * 1000;
  owner = getpid();
  ending = false;
  running = WaitWord{0, 0};

  // Signals are the application's: its own threads handle them.
  sigset_t all, before;
  memset(&all, 0xff, sizeof all);
  sigprocmask(SIG_SETMASK, &all, &before);
  for (; total < threads; ++total) {
    Worker &worker = workers[total - 1];
    worker.epoch = WaitWord{0, 0};
    worker.ticket = 0;
    worker.pool = this;
    worker.index = total;
    if (pthread_create(&worker.thread, nullptr, workerMain, &worker) != 0)
      break;
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
}

bool Pool::alive() const { return getpid() == owner; }

void Pool::stop() {
  if (total > 1 && alive()) {
    __atomic_store_n(&ending, true, __ATOMIC_RELEASE);
    for (int32_t i = 0; i < total - 1; ++i)
      publish(workers[i].epoch, workers[i].epoch.value + 1);
    for (int32_t i = 0; i < total - 1; ++i)
      pthread_join(workers[i].thread, nullptr);
  }
  total = 1;
}

void *Pool::workerMain(void *argument) {
  auto &worker = *static_cast<Worker *>(argument);
  Pool &pool = *worker.pool;
  for (uint32_t seen = 0;;) {
    pool.waitWhile(worker.epoch, seen);
    seen = load(worker.epoch.value);
    if (__atomic_load_n(&pool.ending, __ATOMIC_ACQUIRE))
      return nullptr;
    if (__atomic_exchange_n(&worker.ticket, 0, __ATOMIC_ACQ_REL) == 0)
      continue; // too late
    pool.function(pool.argument, worker.index);
    pool.leave();
  }
}

void Pool::leave() {
  uint32_t left = __atomic_sub_fetch(&running.value, 1, __ATOMIC_SEQ_CST);
  if (left == 0 && __atomic_load_n(&running.sleepers, __ATOMIC_SEQ_CST))
    wake(running);
}

void Pool::run(int32_t active, Function body, void *data) {
  settle();
  function = body;
  argument = data;
  __atomic_store_n(&running.value, uint32_t(active - 1), __ATOMIC_RELAXED);
  for (int32_t i = 0; i < active - 1; ++i) {
    __atomic_store_n(&workers[i].ticket, 1, __ATOMIC_RELEASE);
    publish(workers[i].epoch, workers[i].epoch.value + 1);
  }
  body(data, 0);
  for (int32_t i = 0; i < active - 1; ++i)
    if (__atomic_exchange_n(&workers[i].ticket, 0, __ATOMIC_ACQ_REL) == 1)
      leave(); // in the worker's stead
}

void Pool::settle() { waitFor(running, 0); }
