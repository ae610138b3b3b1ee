//===- Pool.h - the context's own threads -----------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A run is one parallel region: the calling thread is number 0, workers are
// 1..n-1, and all execute the same function. A worker takes part only if it
// wakes in time: the caller never waits for a thread that has nothing to hand
// over, so a worker that the system has not scheduled costs nothing. Whoever
// waits spins for a bounded time and then parks on a futex, so an idle
// application burns nothing. All state is in a block that the caller provides.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_RUNTIME_POOL_H
#define TENON_RUNTIME_POOL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

namespace tenon::rt {

/// A word that threads wait on, alone in its cache line.
struct alignas(64) WaitWord {
  uint32_t value;
  uint32_t sleepers;
};

class Pool {
public:
  using Function = void (*)(void *argument, int32_t index);

  struct alignas(64) Worker {
    WaitWord epoch;  // counts what it is called for
    uint32_t ticket; // 1: a region is open to it; whoever takes it decides
    Pool *pool;
    int32_t index;
    pthread_t thread;
  };

  /// Starts threads - 1 workers in workers[0, threads - 1), zeroed memory.
  /// Fewer start when the system refuses: threads() tells.
  void start(Worker *workers, int32_t threads, int32_t spinMicroseconds);
  /// Ends the workers. After a fork, in the child, there are none to end.
  void stop();

  int32_t threads() const { return total; }
  /// False in a forked child, whose workers do not exist.
  bool alive() const;

  /// Calls function(argument, 0) on this thread and function(argument, i) on
  /// those of the workers i < active that come before it returns. The others
  /// stay away; some may still be on their way out: see settle().
  void run(int32_t active, Function function, void *argument);
  /// Waits until no worker is in a region: what the function reads may change.
  void settle();

  /// Counts `done` more towards `target`; the last one wakes who waits.
  static void count(WaitWord &word, uint32_t done, uint32_t target);
  /// Waits until `word` has been counted up to `target`.
  void waitFor(WaitWord &word, uint32_t target);

private:
  static void *workerMain(void *worker);
  static int64_t waitWhile(WaitWord &word, uint32_t old, int64_t spin);
  void learn(int64_t waited);
  int64_t shortSpin() const;
  int64_t idleSpin() const;
  void leave();

  Worker *workers;
  Function function;
  void *argument;
  int32_t total;
  int64_t spinNanoseconds;    // for the next region
  int64_t barrierNanoseconds; // inside one; by what waits took of late
  uint32_t slept;             // waits inside one that were slept through
  int64_t owner;              // process id
  bool ending;
  WaitWord running; // workers that may be in the region
};

/// Nanoseconds of a monotonic clock.
int64_t nanoseconds();

} // namespace tenon::rt

#endif // TENON_RUNTIME_POOL_H
