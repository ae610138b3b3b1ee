//===- LoadedModel.cpp - asking a model before it is written --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tenon/Target/LoadedModel.h"
#include "tenon/Target/EmbeddedFiles.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ExecutionEngine/Orc/AbsoluteSymbols.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace llvm;
using namespace llvm::object;
using namespace tenon;

/// Adds the names of an object's symbols, those that it defines or the others.
static Error collect(StringRef contents, bool defined, StringSet<> &names) {
  auto file = ELF64LEObjectFile::create(MemoryBufferRef(contents, "object"));
  if (!file)
    return file.takeError();
  for (ELFSymbolRef symbol : file->symbols()) {
    Expected<uint32_t> flags = symbol.getFlags();
    if (!flags)
      return flags.takeError();
    Expected<StringRef> name = symbol.getName();
    if (!name)
      return name.takeError();
    if (!name->empty() && defined == !(*flags & SymbolRef::SF_Undefined))
      names.insert(*name);
  }
  return Error::success();
}

Error tenon::withLoadedModel(StringRef tables, StringRef symbol,
                             function_ref<Error(const void *)> fn) {
  auto jit = orc::LLJITBuilder().create();
  if (!jit)
    return jit.takeError();
  StringSet<> wanted, runtime;
  if (Error problem = collect(tables, false, wanted))
    return problem;
  if (Error problem = (*jit)->addObjectFile(
          MemoryBuffer::getMemBufferCopy(tables, "tables")))
    return problem;
  for (StringRef object : getRuntimeObjects()) {
    if (Error problem = collect(object, true, runtime))
      return problem;
    if (Error problem = (*jit)->addObjectFile(
            MemoryBuffer::getMemBufferCopy(object, "runtime")))
      return problem;
  }
  // Kernels: the tables point to them, and nobody calls them.
  static const char nothing[64] = {};
  orc::SymbolMap kernels;
  for (const auto &entry : wanted)
    if (!runtime.contains(entry.getKey()))
      kernels[(*jit)->mangleAndIntern(entry.getKey())] = {
          orc::ExecutorAddr::fromPtr(&nothing), JITSymbolFlags::Exported};
  if (!kernels.empty())
    if (Error problem = (*jit)->getMainJITDylib().define(
            orc::absoluteSymbols(std::move(kernels))))
      return problem;
  auto model = (*jit)->lookup(symbol);
  if (!model)
    return model.takeError();
  return fn(model->toPtr<const void *>());
}
