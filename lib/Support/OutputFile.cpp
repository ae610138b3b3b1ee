//===- OutputFile.cpp - files that appear whole or not at all -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tenon/Support/OutputFile.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/Errno.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llvm;
using namespace tenon;

/// Hidden, and short: the destination's own name may be as long as names get.
static constexpr StringLiteral kPrefix = ".tenon-", kSuffix = ".tmp";

/// The descriptor that a path stands for: opened by its name, a file behind it
/// would be replaced or written from its start.
static int descriptorOf(StringRef path) {
  if (path == "-" || path == "/dev/stdout")
    return STDOUT_FILENO;
  if (path == "/dev/stderr")
    return STDERR_FILENO;
  int number;
  for (StringRef folder : {"/dev/fd/", "/proc/self/fd/"})
    if (path.consume_front(folder) && !path.getAsInteger(10, number))
      return number;
  return -1;
}

bool tenon::isOutputStream(StringRef path) {
  if (descriptorOf(path) >= 0)
    return true;
  struct stat info;
  return stat(path.str().c_str(), &info) == 0 && !S_ISREG(info.st_mode) &&
         !S_ISDIR(info.st_mode);
}

/// Removes what processes that have died left in a directory: their locks are
/// gone.
static void removeStale(StringRef directory) {
  std::error_code problem;
  for (sys::fs::directory_iterator it(directory, problem), end;
       !problem && it != end; it.increment(problem)) {
    StringRef name = sys::path::filename(it->path());
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix))
      continue;
    int fd = open(it->path().c_str(),
                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
      continue;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
      unlink(it->path().c_str());
    close(fd);
  }
}

/// A name that nothing has in the directory, most likely.
static std::string temporaryPath(StringRef directory) {
  SmallString<128> model(directory), result;
  sys::path::append(model, kPrefix + Twine("%%%%%%%%") + kSuffix);
  sys::fs::createUniquePath(model, result, /*MakeAbsolute=*/false);
  return std::string(result);
}

Error OutputFile::failure(int error) const {
  std::string name = destination == "-" ? std::string("standard output")
                                        : "'" + destination + "'";
  return createStringError("cannot write " + name + ": " +
                           sys::StrError(error));
}

bool OutputFile::openStream() {
  if (!isOutputStream(destination))
    return false;
  stream = true;
  outs().flush();
  int given = descriptorOf(destination);
  fd = given >= 0 ? fcntl(given, F_DUPFD_CLOEXEC, 0)
                  : open(destination.c_str(), O_WRONLY | O_CLOEXEC);
  return true;
}

Error OutputFile::create(StringRef dest, bool executable) {
  destination = dest.str();
  if (openStream())
    return fd < 0 ? failure(errno) : Error::success();
  if (sys::fs::is_directory(destination))
    return failure(EISDIR);
  directory = sys::path::parent_path(destination).str();
  if (directory.empty())
    directory = ".";
  // Its way to a name leads through /proc.
  if (access("/proc/self/fd", X_OK) != 0)
    return createNamed(dest, executable);
  fd = open(directory.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC,
            executable ? 0777 : 0666);
  if (fd >= 0)
    return Error::success();
  // Not every file system has them; an old kernel says "a directory".
  if (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)
    return createNamed(dest, executable);
  return failure(errno);
}

Error OutputFile::createNamed(StringRef dest, bool executable) {
  destination = dest.str();
  directory = sys::path::parent_path(destination).str();
  if (directory.empty())
    directory = ".";
  removeStale(directory);
  for (int tries = 0; tries < 100; ++tries) {
    std::string path = temporaryPath(directory);
    fd = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC,
              executable ? 0777 : 0666);
    if (fd < 0 && errno == EEXIST)
      continue;
    if (fd < 0)
      return failure(errno);
    // Another process may have taken it for a stale one before the lock.
    struct stat info;
    if (flock(fd, LOCK_EX) == 0 && fstat(fd, &info) == 0 && !info.st_nlink) {
      close(fd);
      continue;
    }
    temporary = path;
    sys::RemoveFileOnSignal(temporary);
    return Error::success();
  }
  return failure(EEXIST);
}

Error OutputFile::append(ArrayRef<char> data) {
  if (observer)
    observer(data);
  while (!data.empty()) {
    ssize_t n = write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return failure(errno);
    data = data.drop_front(n);
    position += n;
  }
  return Error::success();
}

Error OutputFile::padTo(uint64_t offset) {
  static const char zeros[4096] = {};
  while (position < offset) {
    uint64_t n = std::min<uint64_t>(offset - position, sizeof zeros);
    if (Error error = append({zeros, size_t(n)}))
      return error;
  }
  return Error::success();
}

Error OutputFile::print(function_ref<Error(raw_ostream &)> write) {
  raw_fd_ostream out(fd, /*shouldClose=*/false);
  Error error = write(out);
  out.flush();
  std::error_code problem = out.error();
  out.clear_error(); // its destructor would end the process
  if (error)
    return error;
  return problem ? failure(problem.value()) : Error::success();
}

/// Gives the file its name where one stands already: under another first, as
/// only rename() replaces. Returns 0 or the error.
int OutputFile::linkOver(const std::string &source) const {
  removeStale(directory);
  (void)flock(fd, LOCK_EX); // or it would be stale to others
  for (int tries = 0; tries < 100; ++tries) {
    std::string path = temporaryPath(directory);
    if (linkat(AT_FDCWD, source.c_str(), AT_FDCWD, path.c_str(),
               AT_SYMLINK_FOLLOW) != 0) {
      if (errno == EEXIST)
        continue;
      return errno;
    }
    if (rename(path.c_str(), destination.c_str()) == 0)
      return 0;
    int error = errno;
    unlink(path.c_str());
    return error;
  }
  return EEXIST;
}

Error OutputFile::commit() {
  // A full disk may show only when a descriptor closes; another one keeps the
  // file.
  int last = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  int error = last < 0 ? errno : 0;
  if (close(fd) != 0 && !error)
    error = errno;
  fd = last;
  if (error)
    return failure(error);
  if (stream) {
    discard();
    return Error::success();
  }
  if (!temporary.empty()) {
    if (rename(temporary.c_str(), destination.c_str()) != 0)
      return failure(errno);
    sys::DontRemoveFileOnSignal(temporary);
    temporary.clear();
    discard();
    return Error::success();
  }
  std::string source = "/proc/self/fd/" + std::to_string(fd);
  if (linkat(AT_FDCWD, source.c_str(), AT_FDCWD, destination.c_str(),
             AT_SYMLINK_FOLLOW) != 0)
    error = errno == EEXIST ? linkOver(source) : errno;
  discard();
  return error ? failure(error) : Error::success();
}

void OutputFile::discard() {
  if (fd >= 0)
    close(fd);
  fd = -1;
  if (temporary.empty())
    return;
  unlink(temporary.c_str());
  sys::DontRemoveFileOnSignal(temporary);
  temporary.clear();
}

Error tenon::writeOutputFile(StringRef path,
                             function_ref<Error(raw_ostream &)> write) {
  OutputFile file;
  if (Error error = file.create(path))
    return error;
  if (Error error = file.print(write))
    return error;
  return file.commit();
}
