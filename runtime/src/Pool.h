//===- Pool.h - the context's own threads ------------------------*- C++
//-*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A run is one parallel region: the calling thread is number 0, workers are
// 1..n-1, all execute the same function and meet at barriers. Whoever waits
// spins for a bounded time and then parks on a futex, so an idle application
// burns nothing. All state is in a block that the caller provides.
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
    WaitWord epoch; // its next job, or the order to end
    Pool *pool;
    int32_t index;
    pthread_t thread;
  };

  /// Starts threads - 1 workers in workers[0, threads - 1), zeroed memory.
  /// Fewer start when the system refuses: threads() tells.
  void start(Worker *workers, int32_t threads, int32_t spinMicroseconds);
  /// Ends the workers. After a fork, in the child, there are none to end.
  void stop();

  int32_t threads() const { return count; }
  /// False in a forked child, whose workers do not exist.
  bool alive() const;

  /// Calls function(argument, i) for i in [0, active) at once, 0 on this
  /// thread; returns when all have returned. active <= threads().
  void run(int32_t active, Function function, void *argument);
  /// Inside run: waits until all `active` threads are here.
  void barrier();
  /// Inside run, on thread 0: waits until the other threads have returned.
  void join();

private:
  static void *workerMain(void *worker);
  void waitWhile(WaitWord &word, uint32_t old);

  Worker *workers;
  Function function;
  void *argument;
  int32_t count;
  int32_t active;
  int64_t spinNanoseconds;
  int64_t owner; // process id
  bool ending;

  WaitWord gate; // barriers passed
  alignas(64) uint32_t arrived;
  WaitWord running; // workers still in the region
};

/// Nanoseconds of a monotonic clock.
int64_t nanoseconds();

} // namespace tenon::rt

#endif // TENON_RUNTIME_POOL_H
