//===- OutputFile.cpp - files that appear whole or not at all -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "OutputFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Signals.h"
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llvm;
using namespace tenon;

Error OutputFile::failure(const char *doing, int error) const {
  return createStringError("cannot " + Twine(doing) + " '" + destination +
                           "': " + strerror(error));
}

Error OutputFile::create(StringRef dest, bool executable) {
  destination = dest.str();
  if (sys::fs::is_directory(destination))
    return failure("write", EISDIR);
  unsigned mode = sys::fs::all_read | sys::fs::all_write;
  if (executable)
    mode |= sys::fs::all_exe;
  SmallString<128> result;
  std::error_code code = sys::fs::createUniqueFile(
      destination + ".tmp-%%%%%%%%", fd, result, sys::fs::OF_None, mode);
  if (code) {
    fd = -1;
    return failure("write", code.value());
  }
  temporary = std::string(result);
  sys::RemoveFileOnSignal(temporary);
  return Error::success();
}

Error OutputFile::reopen() {
  if (fd >= 0)
    close(fd);
  fd = open(temporary.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0)
    return failure("write", errno);
  return Error::success();
}

Expected<uint64_t> OutputFile::size() const {
  struct stat info;
  if (fstat(fd, &info) != 0)
    return failure("read", errno);
  return uint64_t(info.st_size);
}

Error OutputFile::readAt(MutableArrayRef<char> data, uint64_t offset) const {
  while (!data.empty()) {
    ssize_t n = pread(fd, data.data(), data.size(), offset);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return failure("read", n < 0 ? errno : EIO);
    data = data.drop_front(n);
    offset += n;
  }
  return Error::success();
}

Error OutputFile::writeAt(ArrayRef<char> data, uint64_t offset) {
  while (!data.empty()) {
    ssize_t n = pwrite(fd, data.data(), data.size(), offset);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return failure("write", errno);
    data = data.drop_front(n);
    offset += n;
  }
  return Error::success();
}

Error OutputFile::append(ArrayRef<char> data) {
  if (Error error = writeAt(data, position))
    return error;
  position += data.size();
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

Error OutputFile::commit() {
  // A full disk may show only now.
  int status = close(fd);
  fd = -1;
  if (status != 0)
    return failure("write", errno);
  if (::rename(temporary.c_str(), destination.c_str()) != 0)
    return failure("write", errno);
  sys::DontRemoveFileOnSignal(temporary);
  temporary.clear();
  return Error::success();
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
