//===- Linker.cpp - linking objects in process ----------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// lld runs in this process. Its inputs are files that exist only in memory, so
// that nothing is left behind whatever happens. Their paths are /proc's; where
// it is not mounted, as in a bare chroot, they are temporary files.
//
// An object is merged in two steps, as no linker makes symbols of a relocatable
// object local: lld joins, and objcopy's library does that.
//
//===----------------------------------------------------------------------===//

#include "Linker.h"
#include "ElfImage.h"
#include "lld/Common/Driver.h"
#include "tenon/Target/EmbeddedFiles.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ObjCopy/ConfigManager.h"
#include "llvm/ObjCopy/ObjCopy.h"
#include "llvm/Object/Binary.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBufferRef.h"
#include "llvm/Support/raw_ostream.h"
#include <cerrno>
#include <fcntl.h>
#include <mutex>
#include <sys/mman.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

LLD_HAS_DRIVER(elf)

using namespace llvm;
using namespace tenon;

namespace {

/// Of this process's descriptor, or empty where /proc is not mounted.
std::string pathOf(int fd) {
  std::string path = "/proc/self/fd/" + std::to_string(fd);
  return access(path.c_str(), F_OK) == 0 ? path : "";
}

/// A file in memory, with a path for as long as this lives.
class MemoryFile {
public:
  MemoryFile() = default;
  MemoryFile(MemoryFile &&other)
      : fd(std::exchange(other.fd, -1)), path(std::exchange(other.path, {})),
        temporary(std::exchange(other.temporary, false)) {}
  MemoryFile &operator=(MemoryFile &&other) {
    std::swap(fd, other.fd);
    std::swap(path, other.path);
    std::swap(temporary, other.temporary);
    return *this;
  }
  ~MemoryFile() {
    if (fd >= 0)
      close(fd);
    if (temporary)
      sys::fs::remove(path);
  }

  static Expected<MemoryFile> create(StringRef name, StringRef content) {
    MemoryFile file;
    file.fd = memfd_create(name.str().c_str(), MFD_CLOEXEC);
    if (file.fd < 0)
      return errorCodeToError(errnoAsErrorCode());
    file.path = pathOf(file.fd);
    if (file.path.empty()) {
      close(std::exchange(file.fd, -1));
      SmallString<128> path;
      if (std::error_code problem =
              sys::fs::createTemporaryFile("tenon", "", file.fd, path))
        return errorCodeToError(problem);
      file.path = path.str();
      file.temporary = true;
    }
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

  StringRef getPath() const { return path; }

private:
  int fd = -1;
  std::string path;
  bool temporary = false;
};

/// Takes what lld writes. It would replace a file in memory by another beside
/// it, where none can be, and map a file on a disk, where a full one would be a
/// signal; into a pipe it writes when it is done.
class OutputPipe {
public:
  OutputPipe() {
    if (pipe2(ends, O_CLOEXEC) != 0)
      return;
    path = pathOf(ends[1]);
    if (path.empty())
      makeNamed();
    reader = std::thread([this] {
      char chunk[1 << 16];
      for (ssize_t n; (n = read(ends[0], chunk, sizeof chunk)) != 0;)
        if (n > 0)
          text.append(chunk, n);
        else if (errno != EINTR)
          return;
    });
  }
  ~OutputPipe() { finish(); }

  StringRef getPath() const { return path; }

  std::string finish() {
    if (ends[1] >= 0)
      close(std::exchange(ends[1], -1));
    if (reader.joinable())
      reader.join();
    if (ends[0] >= 0)
      close(std::exchange(ends[0], -1));
    if (!folder.empty()) {
      unlink(path.c_str());
      rmdir(folder.c_str());
    }
    return std::move(text);
  }

private:
  /// A pipe with a name instead. Both ends are open before anybody writes, so
  /// that the reader's end comes with the last writer's.
  void makeNamed() {
    for (int &end : ends)
      close(std::exchange(end, -1));
    SmallString<128> made;
    if (sys::fs::createUniqueDirectory("tenon", made))
      return;
    folder = made.str();
    path = folder + "/output";
    if (mkfifo(path.c_str(), 0600) != 0)
      return;
    ends[0] = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ends[1] = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    fcntl(ends[0], F_SETFL, 0); // reads wait from here on
  }

  int ends[2] = {-1, -1};
  std::string path, folder;
  std::thread reader;
  std::string text;
};

/// One run of lld: its options and the files in memory that they name.
class LinkerRun {
public:
  LinkerRun(std::initializer_list<StringRef> options) {
    args.push_back("ld.lld");
    // Little to share out, and a thread may be refused.
    args.push_back("--threads=1");
    for (StringRef option : options)
      args.push_back(option.str());
  }

  void add(std::string option) { args.push_back(std::move(option)); }
  /// Adds a file behind `option`.
  Error add(StringRef name, StringRef content, StringRef option = "") {
    Expected<MemoryFile> file = MemoryFile::create(name, content);
    if (!file)
      return createStringError("cannot hand '" + name + "' to the linker: " +
                               toString(file.takeError()));
    files.push_back(std::move(*file));
    args.push_back((option + files.back().getPath()).str());
    return Error::success();
  }

  Error run() {
    // lld's state is the process's.
    static std::mutex mutex;
    std::lock_guard<std::mutex> lock(mutex);
    static bool usable = true;
    if (!usable)
      return createStringError("the linker failed before and cannot run again");
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

private:
  SmallVector<std::string> args;
  SmallVector<MemoryFile> files;
};

/// Makes every defined symbol but one local.
Expected<SmallString<0>> localizeSymbols(MemoryBufferRef object,
                                         StringRef exportedSymbol) {
  Expected<std::unique_ptr<object::Binary>> binary =
      object::createBinary(object);
  if (!binary)
    return binary.takeError();
  objcopy::ConfigManager config;
  if (Error error = config.Common.SymbolsToKeepGlobal.addMatcher(
          objcopy::NameOrPattern::create(exportedSymbol,
                                         objcopy::MatchStyle::Literal,
                                         [](Error error) { return error; })))
    return std::move(error);
  SmallString<0> result;
  raw_svector_ostream os(result);
  if (Error error = objcopy::executeObjcopyOnBinary(config, **binary, os))
    return std::move(error);
  return result;
}

} // namespace

Expected<SmallString<0>> tenon::mergeObjects(ArrayRef<StringRef> objects,
                                             StringRef exportedSymbol) {
  OutputPipe output;
  std::string root = ("--undefined=" + exportedSymbol).str();
  // The linker takes what is in a library where it is needed. Sections that
  // nothing needs stay: -r would drop the unwind tables with them.
  LinkerRun linker(
      {"-r", "-o", output.getPath(), "--no-warnings", root, "--start-lib"});
  for (StringRef object : objects)
    if (Error error = linker.add("part.o", object))
      return std::move(error);
  Error error = linker.run();
  std::string merged = output.finish();
  if (error)
    return std::move(error);
  return localizeSymbols({merged, "the model"}, exportedSymbol);
}

Expected<std::string> tenon::linkSharedLibrary(StringRef object,
                                               const ArtifactOptions &options) {
  OutputPipe output;
  LinkerRun linker({"-shared", "-o", output.getPath(),
                    // Immediate binding, everything that is relocated
                    // read-only afterwards.
                    "-z", "now", "-z", "relro", "-z", "noexecstack", "-z",
                    "defs", "-z", "separate-code", "--hash-style=gnu",
                    "--build-id=none", "--as-needed", "--gc-sections",
                    "--eh-frame-hdr", "--no-warnings"});
  std::string versions = "{ global: \"" + options.exportedSymbol + "\";";
  if (!options.alias.empty()) {
    versions += " \"" + options.alias + "\";";
    linker.add("--defsym=" + options.alias + "=" + options.exportedSymbol);
  }
  versions += " local: *; };\n";
  if (!options.soname.empty())
    linker.add("--soname=" + options.soname);
  if (Error error = linker.add("versions", versions, "--version-script="))
    return std::move(error);
  // The weights come last, behind .bss: a segment of their own that can grow
  // without moving anything. INSERT leaves the rest as lld does it by default.
  Expected<uint64_t> weights = weightsSectionSize(object);
  if (!weights)
    return weights.takeError();
  // Huge pages want that place in the file too: the room is for what a file
  // has beside what is mapped, its headers and names.
  std::string place = "ALIGN(4096)";
  if (alignmentOfWeights(*weights) > kPage)
    place += " + 0x20000";
  std::string script = "SECTIONS { " + kWeightsSection.str() + " (" + place +
                       ") : { *(" + kWeightsSection.str() +
                       ") } } INSERT AFTER .bss;\n";
  if (*weights)
    if (Error error = linker.add("layout", script, "--script="))
      return std::move(error);
  if (Error error = linker.add("model.o", object))
    return std::move(error);
  for (const EmbeddedFile &stub : getGlibcStubs())
    if (Error error = linker.add(stub.name, stub.contents))
      return std::move(error);
  if (Error error = linker.run())
    return std::move(error);
  return output.finish();
}
