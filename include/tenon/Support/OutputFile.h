//===- OutputFile.h - files that appear whole or not at all -----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Everything that the tools write goes through here: a failure is one line with
// the operating system's reason, never a signal or a half-written file.
//
//===----------------------------------------------------------------------===//

#ifndef TENON_SUPPORT_OUTPUTFILE_H
#define TENON_SUPPORT_OUTPUTFILE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <functional>
#include <string>

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace tenon {

/// A file without a name in its destination's directory, which commit() gives
/// it: whatever ends the process before, nothing stays. Devices, pipes and "-"
/// (standard output) are written as they are.
class OutputFile {
public:
  OutputFile() = default;
  OutputFile(const OutputFile &) = delete;
  OutputFile &operator=(const OutputFile &) = delete;
  ~OutputFile() { discard(); }

  /// `executable` sets the mode bits of a file.
  llvm::Error create(llvm::StringRef destination, bool executable = false);
  /// What create() does where the file system has no files without a name: the
  /// file is hidden, locked, and removed by the next one if the process dies.
  llvm::Error createNamed(llvm::StringRef destination, bool executable = false);

  llvm::Error append(llvm::ArrayRef<char> data);
  llvm::Error padTo(uint64_t offset);
  /// How much has been appended.
  uint64_t position = 0;
  /// Sees all that is appended, if set.
  std::function<void(llvm::ArrayRef<char>)> observer;
  /// Appends what `write` prints.
  llvm::Error print(llvm::function_ref<llvm::Error(llvm::raw_ostream &)> write);

  /// Puts the file at the destination, over what may be there.
  llvm::Error commit();
  void discard();

private:
  llvm::Error failure(int error) const;
  bool openStream();
  int linkOver(const std::string &source) const;

  std::string destination, directory;
  /// The name of a file from createNamed.
  std::string temporary;
  int fd = -1;
  bool stream = false;
};

/// Is "-" or a device, a pipe or such, which is written as it is?
bool isOutputStream(llvm::StringRef path);

/// Creates a file, prints into it, commits.
llvm::Error
writeOutputFile(llvm::StringRef path,
                llvm::function_ref<llvm::Error(llvm::raw_ostream &)> write);

} // namespace tenon

#endif // TENON_SUPPORT_OUTPUTFILE_H
