//===- Guard.cpp - internal failures become messages ----------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tenon/Target/Emit.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/CrashRecoveryContext.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/thread.h"
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <exception>
#include <initializer_list>
#include <mutex>
#include <new>
#include <typeinfo>
#include <unistd.h>
#include <vector>

using namespace llvm;
using namespace tenon;

namespace {

constexpr int kExitInternal = 70, kExitNoMemory = 1;

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

/// What the process is doing, for a handler that may not allocate.
char currentStage[128];

/// Says the parts as one line, removes temporary files and stops; the first
/// thread that gets here does. Allocates nothing.
[[noreturn]] void stop(std::initializer_list<const char *> parts, int code) {
  static std::atomic_flag stopping;
  while (stopping.test_and_set())
    pause();
  for (const char *text : parts) {
    [[maybe_unused]] ssize_t n = write(STDERR_FILENO, text, strlen(text));
  }
  sys::RunInterruptHandlers();
  _exit(code);
}

/// A signal on a thread that no CrashRecoveryContext watches (a pass manager's
/// worker): say what is known.
void stopAtSignal(int) {
  stop({"tenon: error: internal failure in stage '", currentStage,
        "'; please report it\n"},
       kExitInternal);
}

/// The machine has no more to give, which is no fault of the compiler. Nothing
/// can be unwound from here: an allocation may be at any depth.
[[noreturn]] void stopForMemory(const char *reason) {
  stop({"tenon: error: not enough memory in stage '", currentStage,
        "': ", reason, "\n"},
       kExitNoMemory);
}

void onFailedNew() { stopForMemory(strerror(ENOMEM)); }

/// The standard library throws where nobody catches: std::thread among others.
[[noreturn]] void onTerminate() {
  const std::type_info *type = abi::__cxa_current_exception_type();
  StringRef name = type ? type->name() : "";
  if (name == "St12system_error")
    stopForMemory(strerror(EAGAIN));
  if (name == "St9bad_alloc")
    stopForMemory(strerror(ENOMEM));
  std::abort();
}

void onFailedMalloc(void *, const char *, bool) { onFailedNew(); }

struct FatalError {
  std::string reason;
};

void recordFatalError(void *data, const char *reason, bool) {
  // As LLVM words it that a thread could not be started.
  for (int error : {EAGAIN, ENOMEM})
    if (StringRef(reason).ends_with(strerror(error)))
      stopForMemory(strerror(error));
  static std::mutex mutex; // threads may fail together: the last one counts
  {
    std::lock_guard<std::mutex> lock(mutex);
    static_cast<FatalError *>(data)->reason = reason;
  }
  if (CrashRecoveryContext *context = CrashRecoveryContext::GetCurrent())
    context->HandleExit(kExitInternal);
  stopAtSignal(0);
}

/// Stack of a thread that compiles: a deep recursion should have room.
constexpr unsigned kStackBytes = 64u << 20;

/// Runs `fn` with a stack for the handler of a signal that says that the
/// thread's own is exhausted.
void withHandlerStack(function_ref<void()> fn) {
  std::vector<char> memory(64 << 10);
  stack_t stack = {};
  stack.ss_sp = memory.data();
  stack.ss_size = memory.size();
  sigaltstack(&stack, nullptr);
  fn();
  stack.ss_flags = SS_DISABLE;
  sigaltstack(&stack, nullptr);
}

} // namespace

bool tenon::runGuarded(StringRef stage, function_ref<void()> fn,
                       std::string &message) {
  if (std::getenv("TENON_NO_GUARD")) {
    fn();
    return true;
  }
  static std::once_flag once;
  std::call_once(once, [] {
    // Before Enable(), which puts its own handlers in front of these.
    for (int number : kSignals)
      std::signal(number, stopAtSignal);
    CrashRecoveryContext::Enable();
    // Where the stack is exhausted the handler needs another one.
    for (int number : kSignals) {
      struct sigaction action;
      sigaction(number, nullptr, &action);
      action.sa_flags |= SA_ONSTACK;
      sigaction(number, &action, nullptr);
    }
  });
  std::string outer(currentStage);
  auto setStage = [](StringRef name) {
    size_t size = std::min(name.size(), sizeof currentStage - 1);
    memcpy(currentStage, name.data(), size);
    currentStage[size] = 0;
  };
  setStage(stage);
  scope_exit restore([&] { setStage(outer); });

  // Guards nest (the linker brings its own); the handler is one for all.
  FatalError fatal;
  bool nested = CrashRecoveryContext::GetCurrent() != nullptr;
  std::new_handler outerHandler = nullptr;
  std::terminate_handler outerTerminate = nullptr;
  if (!nested) {
    install_fatal_error_handler(recordFatalError, &fatal);
    install_bad_alloc_error_handler(onFailedMalloc);
    outerHandler = std::set_new_handler(onFailedNew);
    outerTerminate = std::set_terminate(onTerminate);
  }
  CrashRecoveryContext context;
  bool ok =
      context.RunSafelyOnThread([&] { withHandlerStack(fn); }, kStackBytes);
  if (!nested) {
    remove_fatal_error_handler();
    remove_bad_alloc_error_handler();
    std::set_new_handler(outerHandler);
    std::set_terminate(outerTerminate);
  }
  if (ok)
    return true;
  message = ("internal failure in stage '" + stage + "'").str();
  if (!fatal.reason.empty())
    message += ": " + fatal.reason;
  else if (context.RetCode > 128)
    message += std::string(": ") + strsignal(context.RetCode - 128);
  return false;
}

void tenon::forEachGuarded(size_t count, unsigned threads,
                           function_ref<void(size_t)> fn) {
  std::atomic<size_t> next = 0;
  std::atomic<int> failure = 0;
  auto work = [&] {
    for (size_t i; !failure && (i = next++) < count;)
      fn(i);
  };
  threads = std::min<size_t>(threads, count);
  if (threads <= 1)
    return work();
  CrashRecoveryContext *outer = CrashRecoveryContext::GetCurrent();
  std::vector<llvm::thread> workers;
  for (unsigned i = 0; i < threads; ++i)
    workers.emplace_back(std::optional<unsigned>(kStackBytes), [&] {
      if (!outer)
        return work();
      CrashRecoveryContext context;
      if (!context.RunSafely([&] { withHandlerStack(work); }))
        failure = context.RetCode;
    });
  for (llvm::thread &worker : workers)
    worker.join();
  if (failure)
    outer->HandleExit(failure);
}
