//===- OutputFile.h - files that appear whole or not at all -----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef TENON_LIB_TARGET_X86_OUTPUTFILE_H
#define TENON_LIB_TARGET_X86_OUTPUTFILE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include <string>

namespace tenon {

/// A temporary file beside its destination. Unless commit() succeeds it is
/// removed, also when a signal ends the process.
class OutputFile {
public:
  OutputFile() = default;
  OutputFile(const OutputFile &) = delete;
  OutputFile &operator=(const OutputFile &) = delete;
  ~OutputFile() { discard(); }

  /// Creates the temporary file; `executable` sets its mode bits.
  llvm::Error create(llvm::StringRef destination, bool executable);
  /// Opens the file again after another tool has replaced it.
  llvm::Error reopen();

  llvm::StringRef path() const { return temporary; }
  llvm::Expected<uint64_t> size() const;
  llvm::Error readAt(llvm::MutableArrayRef<char> data, uint64_t offset) const;
  llvm::Error writeAt(llvm::ArrayRef<char> data, uint64_t offset);

  /// Appends, from `position` on.
  llvm::Error append(llvm::ArrayRef<char> data);
  llvm::Error padTo(uint64_t offset);
  uint64_t position = 0;

  /// Renames to the destination.
  llvm::Error commit();
  void discard();

private:
  llvm::Error failure(const char *doing, int error) const;

  std::string destination, temporary;
  int fd = -1;
};

} // namespace tenon

#endif // TENON_LIB_TARGET_X86_OUTPUTFILE_H
