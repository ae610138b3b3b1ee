//===- contracts.cpp - what a run promises to its program -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// usage: contracts ARTIFACT dim=N[,dim=N]...
//
// With one thread tenon_run makes no system call: the kernel kills the process
// at the first one. Meanwhile inputs are read-only, and the workspace, exactly
// as large as was said, touches a forbidden page, with its end and then with
// its beginning. Then the library is opened and closed many times, with threads,
// and leaves nothing behind. (That nothing is allocated: noalloc.)
//===----------------------------------------------------------------------===//

#include "artifact.h"
#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <dirent.h>
#include <fstream>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <map>
#include <memory>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace tenon::test;

namespace {

constexpr size_t kPage = 4096;

/// Memory between two pages that must not be touched, and touching one.
class Guarded {
public:
  explicit Guarded(size_t bytes)
      : bytes(bytes), whole((bytes + kPage - 1) / kPage * kPage + kPage) {
    map = static_cast<char *>(mmap(nullptr, whole + 2 * kPage, PROT_NONE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (map == MAP_FAILED)
      fail("no memory");
    protect(PROT_READ | PROT_WRITE);
  }
  ~Guarded() { munmap(map, whole + 2 * kPage); }
  Guarded(const Guarded &) = delete;
  void protect(int protection) {
    if (mprotect(map + kPage, whole, protection) != 0)
      fail("mprotect failed");
  }
  char *first() const { return map + kPage; }
  /// So that the last byte is in front of the forbidden page.
  char *last() const { return map + kPage + whole - bytes; }

  size_t bytes;

private:
  size_t whole;
  char *map;
};

/// From here on every system call but exit kills.
void forbidSystemCalls() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
  sock_fprog program = {sizeof filter / sizeof filter[0], filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    syscall(SYS_exit, 77); // a sandbox that has none
}

std::map<std::string, int64_t> parse(const std::string &text) {
  std::map<std::string, int64_t> values;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find(',', at), text.size());
    size_t equal = text.find('=', at);
    values[text.substr(at, equal - at)] = std::atoll(text.c_str() + equal + 1);
    at = end + 1;
  }
  return values;
}

size_t bytesOf(tenon_dtype dtype, const int64_t *dims, int32_t rank) {
  size_t elements = 1;
  for (int32_t d = 0; d < rank; ++d)
    elements *= size_t(dims[d]);
  return tenon_tensor_bytes(dtype, elements);
}

/// Everything of one run, bound, with memory that is guarded.
struct Bound {
  Bound(const Artifact &artifact, tenon_context *context, const Dims &dims)
      : context(context) {
    tenon_error error;
    std::vector<const int64_t *> pointers = pointersTo(dims);
    for (size_t i = 0; i < dims.size(); ++i) {
      const tenon_port_info &port = artifact.inputs[i];
      inputs.emplace_back(
          new Guarded(bytesOf(port.dtype, dims[i].data(), port.rank)));
      Guarded &input = *inputs.back();
      char *data = input.last();
      size_t item = tenon_dtype_bytes(port.dtype);
      for (size_t at = 0; at + item <= input.bytes; at += item)
        if (port.dtype == TENON_F32) {
          float value = 0.5f;
          std::memcpy(data + at, &value, sizeof value);
        } else {
          data[at] = 1; // an id, or a mask's one
        }
      input.protect(PROT_READ);
      if (tenon_bind_input(context, int32_t(i), port.dtype, port.rank,
                           dims[i].data(), data, input.bytes, &error))
        fail(error.message);
    }
    for (int32_t i = 0; i < artifact.info.num_outputs; ++i) {
      tenon_port_info port;
      TENON_INIT(port);
      std::vector<int64_t> own(16);
      if (tenon_get_output_info(artifact.library.model, i, &port, &error) ||
          tenon_output_dims(context, pointers.data(), i, own.data(), &error))
        fail(error.message);
      outputs.emplace_back(
          new Guarded(bytesOf(port.dtype, own.data(), port.rank)));
      if (tenon_bind_output(context, i, port.dtype, port.rank, nullptr,
                            outputs.back()->last(), outputs.back()->bytes,
                            &error))
        fail(error.message);
    }
  }
  tenon_context *context;
  std::vector<std::unique_ptr<Guarded>> inputs, outputs;
};

void runWithoutSystemCalls(Artifact &artifact, const Dims &dims,
                           bool atEnd) {
  tenon_context_options options;
  TENON_INIT(options);
  options.threads = 1;
  tenon_context *context = artifact.createContext(&options);
  tenon_error error;
  size_t bytes = 0;
  if (tenon_workspace_size(context, pointersTo(dims).data(), &bytes, &error))
    fail(error.message);
  Guarded workspace(bytes);
  if (tenon_set_workspace(context,
                          atEnd ? workspace.last() : workspace.first(), bytes,
                          &error))
    fail(error.message);
  Bound bound(artifact, context, dims);
  pid_t child = fork();
  if (child == 0) {
    forbidSystemCalls();
    tenon_status status = tenon_run(context, &error);
    if (!status)
      status = tenon_run(context, &error);
    syscall(SYS_exit, status);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    std::puts("seccomp is not to be had");
    std::exit(0);
  }
  if (WIFSIGNALED(status))
    fail(WTERMSIG(status) == SIGSYS ? "the run made a system call"
                                    : "the run touched memory that it may not");
  if (WEXITSTATUS(status) != 0)
    fail("the run failed");
  tenon_context_destroy(context);
}

int numThreads() {
  int count = 0;
  DIR *folder = opendir("/proc/self/task");
  while (dirent *entry = readdir(folder))
    count += entry->d_name[0] != '.';
  closedir(folder);
  return count;
}

bool isMapped(const std::string &name) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find(name) != std::string::npos)
      return true;
  return false;
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 3)
    fail("usage: contracts ARTIFACT dim=N[,dim=N]...");
  auto values = parse(argv[2]);
  auto valueOf = [&](const char *name) {
    if (!values.count(name))
      fail(std::string("no value for dim '") + name + "'");
    return values[name];
  };
  std::string name = argv[1];
  name.erase(0, name.rfind('/') + 1);
  {
    Artifact artifact(argv[1]);
    Dims dims = artifact.inputDims(valueOf);
    runWithoutSystemCalls(artifact, dims, true);
    runWithoutSystemCalls(artifact, dims, false);
    if (!isMapped(name))
      fail("the library is not seen where it is");
  }
  for (int turn = 0; turn < 20; ++turn) {
    Artifact artifact(argv[1]);
    Dims dims = artifact.inputDims(valueOf);
    tenon_context_options options;
    TENON_INIT(options);
    options.threads = 3;
    options.flags = TENON_CONTEXT_OVERSUBSCRIBE;
    tenon_context *context = artifact.createContext(&options);
    tenon_error error;
    Bound bound(artifact, context, dims);
    if (tenon_reserve(context, pointersTo(dims).data(), &error) ||
        tenon_run(context, &error))
      fail(error.message);
    tenon_context_destroy(context);
  }
  if (numThreads() != 1)
    fail("threads are left behind");
  if (isMapped(name))
    fail("the library is still mapped");
  std::puts("no system call, no other memory, nothing left behind");
  return 0;
}
