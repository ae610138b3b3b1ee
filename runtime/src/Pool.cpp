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
// The barrier counts arrivals; the last one resets the count and moves `gate`
// on (the sense of this barrier is the number of barriers passed).
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

/// Changes a word that others may wait on.
void publish(WaitWord &word, uint32_t value) {
  __atomic_store_n(&word.value, value, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&word.sleepers, __ATOMIC_SEQ_CST))
    syscall(SYS_futex, &word.value, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr,
            nullptr, 0);
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

void Pool::start(Worker *block, int32_t threads, int32_t spinMicroseconds) {
  workers = block;
  function = nullptr;
  argument = nullptr;
  count = 1;
  active = 0;
  spinNanoseconds = int64_t(spinMicroseconds) * 1000;
  owner = getpid();
  ending = false;
  gate = running = WaitWord{0, 0};
  arrived = 0;

  // Signals are the application's: its own threads handle them.
  sigset_t all, before;
  memset(&all, 0xff, sizeof all);
  sigprocmask(SIG_SETMASK, &all, &before);
  for (; count < threads; ++count) {
    Worker &worker = workers[count - 1];
    worker.epoch = WaitWord{0, 0};
    worker.pool = this;
    worker.index = count;
    if (pthread_create(&worker.thread, nullptr, workerMain, &worker) != 0)
      break;
  }
  sigprocmask(SIG_SETMASK, &before, nullptr);
}

bool Pool::alive() const { return getpid() == owner; }

void Pool::stop() {
  if (count > 1 && alive()) {
    ending = true;
    for (int32_t i = 0; i < count - 1; ++i)
      publish(workers[i].epoch, workers[i].epoch.value + 1);
    for (int32_t i = 0; i < count - 1; ++i)
      pthread_join(workers[i].thread, nullptr);
  }
  count = 1;
}

void *Pool::workerMain(void *argument) {
  auto &worker = *static_cast<Worker *>(argument);
  Pool &pool = *worker.pool;
  for (uint32_t seen = 0;; ++seen) {
    pool.waitWhile(worker.epoch, seen);
    if (pool.ending)
      return nullptr;
    pool.function(pool.argument, worker.index);
    // The last touch of shared state in this region: once the count is 0 the
    // calling thread goes on and may change everything.
    uint32_t left =
        __atomic_sub_fetch(&pool.running.value, 1, __ATOMIC_SEQ_CST);
    if (left == 0 && __atomic_load_n(&pool.running.sleepers, __ATOMIC_SEQ_CST))
      syscall(SYS_futex, &pool.running.value, FUTEX_WAKE_PRIVATE, INT_MAX,
              nullptr, nullptr, 0);
  }
}

void Pool::run(int32_t threads, Function body, void *data) {
  function = body;
  argument = data;
  active = threads;
  arrived = 0;
  __atomic_store_n(&running.value, uint32_t(threads - 1), __ATOMIC_RELAXED);
  for (int32_t i = 0; i < threads - 1; ++i)
    publish(workers[i].epoch, workers[i].epoch.value + 1);
  body(data, 0);
  join();
}

void Pool::join() {
  for (uint32_t left; (left = load(running.value)) != 0;)
    waitWhile(running, left);
}

void Pool::barrier() {
  if (active <= 1)
    return;
  uint32_t sense = load(gate.value);
  if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == uint32_t(active)) {
    __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
    publish(gate, sense + 1);
  } else {
    waitWhile(gate, sense);
  }
}
