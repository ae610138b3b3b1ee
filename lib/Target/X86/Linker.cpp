//===- Linker.cpp - linking shared libraries in process -------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// lld runs in this process. Its inputs are files that exist only in memory, so
// that nothing is left behind whatever happens.
//
//===----------------------------------------------------------------------===//

#include "Linker.h"
#include "ElfImage.h"
#include "UndefinedSymbols.h"
#include "lld/Common/Driver.h"
#include "tenon/Target/EmbeddedFiles.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/raw_ostream.h"
#include <cerrno>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

LLD_HAS_DRIVER(elf)

using namespace llvm;
using namespace tenon;

namespace {

/// A file in memory, with a path for as long as this lives.
class MemoryFile {
public:
  MemoryFile() = default;
  MemoryFile(MemoryFile &&other) : fd(std::exchange(other.fd, -1)) {}
  MemoryFile &operator=(MemoryFile &&other) {
    std::swap(fd, other.fd);
    return *this;
  }
  ~MemoryFile() {
    if (fd >= 0)
      close(fd);
  }

  static Expected<MemoryFile> create(StringRef name, StringRef content) {
    MemoryFile file;
    file.fd = memfd_create(name.str().c_str(), MFD_CLOEXEC);
    if (file.fd < 0)
      return errorCodeToError(errnoAsErrorCode());
    while (!content.empty()) {
      ssize_t n = ::write(file.fd, content.data(), content.size());
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return errorCodeToError(errnoAsErrorCode());
      content = content.drop_front(n);
    }
    return file;
  }

  std::string path() const { return "/proc/self/fd/" + std::to_string(fd); }

private:
  int fd = -1;
};

} // namespace

Error tenon::linkSharedLibrary(StringRef object, StringRef path,
                               StringRef exportedSymbol) {
  if (Error error = checkUndefinedSymbols(object))
    return error;
  // lld's state is the process's.
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  static bool usable = true;
  if (!usable)
    return createStringError("the linker failed before and cannot run again");

  SmallVector<MemoryFile> files;
  SmallVector<std::string> args = {
      "ld.lld", "-shared", "-o", path.str(),
      // Immediate binding, everything that is relocated read-only afterwards.
      "-z", "now", "-z", "relro", "-z", "noexecstack", "-z", "defs", "-z",
      "separate-code", "--hash-style=gnu", "--build-id=none", "--as-needed",
      "--gc-sections", "--eh-frame-hdr", "--no-warnings"};
  auto add = [&](StringRef name, StringRef content, StringRef option) -> Error {
    Expected<MemoryFile> file = MemoryFile::create(name, content);
    if (!file)
      return file.takeError();
    files.push_back(std::move(*file));
    args.push_back((option + files.back().path()).str());
    return Error::success();
  };

  std::string versions =
      "{ global: \"" + exportedSymbol.str() + "\"; local: *; };\n";
  if (Error error = add("versions", versions, "--version-script="))
    return error;
  // The weights come last, behind .bss: a segment of their own that can grow
  // without moving anything. INSERT leaves the rest as lld does it by default.
  std::string script = "SECTIONS { " + kWeightsSection.str() +
                       " : ALIGN(4096) { *(" + kWeightsSection.str() +
                       ") } } INSERT AFTER .bss;\n";
  Expected<uint64_t> weights = weightsSectionSize(object);
  if (!weights)
    return weights.takeError();
  if (*weights)
    if (Error error = add("layout", script, "--script="))
      return error;
  if (Error error = add("model.o", object, ""))
    return error;
  for (const EmbeddedFile &stub : getGlibcStubs())
    if (Error error = add(stub.name, stub.contents, ""))
      return error;

  SmallVector<const char *> argv;
  for (const std::string &arg : args)
    argv.push_back(arg.c_str());
  std::string out, err;
  raw_string_ostream outStream(out), errStream(err);
  lld::Result result =
      lld::lldMain(argv, outStream, errStream, {{lld::Gnu, &lld::elf::link}});
  usable = result.canRunAgain;
  if (result.retCode != 0)
    return createStringError("linking failed: " + StringRef(err).trim());
  return Error::success();
}
