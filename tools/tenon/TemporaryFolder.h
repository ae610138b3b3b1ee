//===- TemporaryFolder.h - a folder for one command -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_TEMPORARYFOLDER_H
#define TENON_TOOLS_TEMPORARYFOLDER_H

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include <memory>

namespace tenon {

/// A folder that goes away with what is in it.
class TemporaryFolder {
public:
  static llvm::Expected<std::unique_ptr<TemporaryFolder>>
  make(llvm::StringRef prefix) {
    std::unique_ptr<TemporaryFolder> folder(new TemporaryFolder);
    if (std::error_code problem =
            llvm::sys::fs::createUniqueDirectory(prefix, folder->path))
      return llvm::createStringError("cannot make a temporary folder: " +
                                     problem.message());
    return folder;
  }
  ~TemporaryFolder() {
    if (!path.empty())
      llvm::sys::fs::remove_directories(path);
  }
  std::string file(const llvm::Twine &name) const {
    llvm::SmallString<128> result(path);
    llvm::sys::path::append(result, name);
    return result.str().str();
  }

private:
  llvm::SmallString<128> path;
};

} // namespace tenon

#endif // TENON_TOOLS_TEMPORARYFOLDER_H
