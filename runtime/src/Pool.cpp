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
// Inside a region a thread waits for others that compute: not for long, as a
// rule. Where it takes long the other does not run, and spinning keeps a core
// from it; so threads spin for a moment only while that lasts.
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

/// Waits up to this are worth spinning for: a sleeper needs some of it to wake.
constexpr int64_t kShortWait = 200 * 1000;
/// What barriers spin for after a longer one.
constexpr int64_t kLeastSpin = 5 * 1000;

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

/// Returns the nanoseconds that it took; 0: hardly any, or nobody looked.
int64_t Pool::waitWhile(WaitWord &word, uint32_t old, int64_t spin) {
  int64_t start = 0;
  while (spin > 0) {
    for (int i = 0; i < 64; ++i) {
      if (load(word.value) != old)
        return start ? nanoseconds() - start : 0;
      __builtin_ia32_pause();
    }
    int64_t now = nanoseconds();
    if (start == 0)
      start = now;
    else if (now - start >= spin)
      break;
  }
  __atomic_add_fetch(&word.sleepers, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&word.value, __ATOMIC_SEQ_CST) == old)
    syscall(SYS_futex, &word.value, FUTEX_WAIT_PRIVATE, old, nullptr, nullptr,
            0);
  __atomic_sub_fetch(&word.sleepers, 1, __ATOMIC_SEQ_CST);
  return start ? nanoseconds() - start : 0;
}

/// A wait that spinning saw the end of says that the others run. A long one
/// says that they do not, and a shorter one that was slept through may: where
/// they would have this core, they come as soon as it is left. Then they may
/// share it though another is idle, until the system sees both wanting it: now
/// and then a thread spins as before. Threads may overwrite each other's
/// numbers: it is a guess.
void Pool::learn(int64_t waited) {
  constexpr uint32_t kSometimes = 64;
  if (waited == 0)
    return;
  int64_t spin = __atomic_load_n(&barrierNanoseconds, __ATOMIC_RELAXED);
  int64_t next = waited > kShortWait ? kLeastSpin : spin / 2;
  if (next < kLeastSpin)
    next = kLeastSpin;
  if (waited <= spin || next > shortSpin() ||
      __atomic_add_fetch(&slept, 1, __ATOMIC_RELAXED) % kSometimes == 0)
    next = shortSpin();
  if (next != spin)
    __atomic_store_n(&barrierNanoseconds, next, __ATOMIC_RELAXED);
}

int64_t Pool::shortSpin() const {
  return spinNanoseconds < kShortWait ? spinNanoseconds : kShortWait;
}

/// What an idle worker spins for.
int64_t Pool::idleSpin() const {
  int64_t spin = __atomic_load_n(&barrierNanoseconds, __ATOMIC_RELAXED);
  return spin < shortSpin() ? spin : spinNanoseconds;
}

void Pool::count(WaitWord &word, uint32_t done, uint32_t target) {
  uint32_t value = __atomic_add_fetch(&word.value, done, __ATOMIC_SEQ_CST);
  if (value == target && __atomic_load_n(&word.sleepers, __ATOMIC_SEQ_CST))
    wake(word);
}

void Pool::waitFor(WaitWord &word, uint32_t target) {
  for (uint32_t value; (value = load(word.value)) != target;)
    learn(waitWhile(word, value,
                    __atomic_load_n(&barrierNanoseconds, __ATOMIC_RELAXED)));
}

void Pool::start(Worker *block, int32_t threads, int32_t spinMicroseconds) {
  workers = block;
  function = nullptr;
  argument = nullptr;
  total = 1;
  spinNanoseconds = int64_t(spinMicroseconds) * 1000;
  barrierNanoseconds = shortSpin();
  slept = 0;
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
    waitWhile(worker.epoch, seen, pool.idleSpin());
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
