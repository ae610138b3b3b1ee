//===- Ptxas.cpp - assembling PTX -----------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// NVIDIA's assembler is a program of its own. It saves the driver the work when
// a model is loaded; nothing else depends on it.
//
//===----------------------------------------------------------------------===//
#include "tenon/Target/Gpu.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace tenon {

Expected<std::string> findPtxas(StringRef given) {
  if (given == "none")
    return std::string();
  ErrorOr<std::string> found =
      sys::findProgramByName(given.empty() ? "ptxas" : given);
  if (found && sys::fs::can_execute(*found)) // a path is found in any case
    return *found;
  if (given.empty())
    return std::string();
  return createStringError("--ptxas=" + given + ": cannot be run");
}

static Error writeText(int file, StringRef text) {
  raw_fd_ostream os(file, /*shouldClose=*/true);
  os << text;
  os.close();
  if (!os.has_error())
    return Error::success();
  std::error_code code = os.error();
  os.clear_error();
  return createStringError("the assembler's input: " + code.message());
}

static std::string contentsOf(StringRef path) {
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/true);
  return buffer ? (*buffer)->getBuffer().trim().str() : std::string();
}

Expected<std::string> assemblePtx(StringRef ptxas, StringRef ptx,
                                  const TargetInfo &target) {
  SmallString<128> input, output, messages;
  scope_exit cleanup([&] {
    for (StringRef path :
         {StringRef(input), StringRef(output), StringRef(messages)})
      if (!path.empty())
        sys::fs::remove(path);
  });
  int file;
  if (std::error_code code =
          sys::fs::createTemporaryFile("tenon", "ptx", file, input))
    return createStringError("a temporary file: " + code.message());
  if (Error error = writeText(file, ptx))
    return std::move(error);
  for (auto *path : {&output, &messages})
    if (std::error_code code =
            sys::fs::createTemporaryFile("tenon", "cubin", *path))
      return createStringError("a temporary file: " + code.message());
  std::string arch = "-arch=" + target.cpu;
  StringRef arguments[] = {ptxas, arch, "-O3", input, "-o", output};
  std::optional<StringRef> redirects[] = {StringRef(""), StringRef(messages),
                                          StringRef(messages)};
  std::string problem;
  int code =
      sys::ExecuteAndWait(ptxas, arguments, std::nullopt, redirects,
                          /*SecondsToWait=*/0, /*MemoryLimit=*/0, &problem);
  if (code) {
    std::string text = contentsOf(messages);
    StringRef first = StringRef(text.empty() ? problem : text);
    return createStringError("'" + ptxas + "' for " + target.cpu +
                             " failed: " + first.split('\n').first);
  }
  auto result = MemoryBuffer::getFile(output, /*IsText=*/false,
                                      /*RequiresNullTerminator=*/false);
  if (!result)
    return createStringError("the assembler's output: " +
                             result.getError().message());
  return (*result)->getBuffer().str();
}

} // namespace tenon
