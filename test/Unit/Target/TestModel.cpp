//===- TestModel.cpp - a small model to make artifacts of -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestModel.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"
#include <algorithm>
#include <unistd.h>

using namespace llvm;
using namespace tenon;
using namespace tenon::test;

namespace {

/// Stands for the runtime: calls into libc, and an object that is not used.
const char runtimeText[] = R"(
declare ptr @malloc(i64)
declare void @NEEDS(ptr)
declare i32 @pthread_mutex_lock(ptr)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
@mutex = internal global [40 x i8] c"\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00", section ".data"
define hidden i32 @runtime_self_test(i32 %n) noinline {
  %size = sext i32 %n to i64
  %p = call ptr @malloc(i64 %size)
  call void @llvm.memcpy.p0.p0.i64(ptr %p, ptr @mutex, i64 %size, i1 false)
  %v = load volatile i8, ptr %p
  call void @NEEDS(ptr %p)
  %r = call i32 @pthread_mutex_lock(ptr @mutex)
  %w = sext i8 %v to i32
  %s = add i32 %w, %r
  %t = add i32 %s, %n
  ret i32 %t
}
)";

const char unusedText[] = R"(
define hidden void @runtime_unused() {
  %p = call ptr @this_is_nowhere()
  ret void
}
declare ptr @this_is_nowhere()
)";

const char modelText[] = R"(
@tenon_weights_blob = external hidden constant i8
declare hidden i32 @runtime_self_test(i32)
@table = internal constant { ptr, i64, ptr }
    { ptr @tenon_weights_blob, i64 BYTES, ptr @runtime_self_test }
@SYMBOL_helper = constant i32 7
define ptr @SYMBOL() {
  ret ptr @table
}
)";

std::unique_ptr<Module> parse(StringRef text, LLVMContext &context) {
  SMDiagnostic diagnostic;
  std::unique_ptr<Module> module =
      parseAssemblyString(text, diagnostic, context);
  if (!module)
    diagnostic.print("TestModel", errs());
  return module;
}

void check(Error error) {
  if (error)
    ADD_FAILURE() << toString(std::move(error));
}

} // namespace

TemporaryDirectory::TemporaryDirectory() {
  std::string text =
      (std::filesystem::temp_directory_path() / "tenon-test-XXXXXX").string();
  root = mkdtemp(text.data());
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(root, ignored);
}

std::string TemporaryDirectory::path(StringRef name) const {
  return (root / name.str()).string();
}

std::vector<std::string> TemporaryDirectory::entries() const {
  std::vector<std::string> names;
  for (const auto &entry : std::filesystem::directory_iterator(root))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

Objects tenon::test::makeObjects(StringRef symbol, uint64_t bytes,
                                 StringRef needs) {
  auto compile = [&](std::string text, uint64_t weights) {
    auto replace = [&](StringRef from, std::string to) {
      for (size_t at; (at = text.find(from.str())) != std::string::npos;)
        text.replace(at, from.size(), to);
    };
    replace("NEEDS", needs.str());
    replace("SYMBOL", symbol.str());
    replace("BYTES", std::to_string(bytes));
    if (bytes == 0) {
      replace("ptr @tenon_weights_blob, ", "ptr null, ");
      replace("@tenon_weights_blob = external hidden constant i8\n", "");
    }
    LLVMContext context;
    std::unique_ptr<Module> module = parse(text, context);
    check(prepareModule(*module));
    EmitOptions options;
    options.weightsBytes = weights;
    SmallString<0> object;
    check(emitObject(*module, options, object));
    return object;
  };
  return {compile(modelText, bytes), compile(runtimeText, 0),
          compile(unusedText, 0)};
}

unsigned char tenon::test::weightAt(uint64_t index) {
  return (index * 2654435761u) >> 13;
}

WeightsSource tenon::test::makeWeights(uint64_t bytes) {
  return {bytes, [bytes](ChunkSink sink) -> Error {
            std::vector<char> chunk;
            for (uint64_t begin = 0; begin < bytes; begin += chunk.size()) {
              chunk.resize(std::min<uint64_t>(bytes - begin, 10007));
              for (size_t i = 0; i < chunk.size(); ++i)
                chunk[i] = weightAt(begin + i);
              if (Error error = sink(chunk))
                return error;
            }
            return Error::success();
          }};
}

bool tenon::test::hasWeights(const Table *table, uint64_t bytes) {
  if (table->bytes != bytes ||
      reinterpret_cast<uintptr_t>(table->weights) % 4096 != 0)
    return false;
  for (uint64_t i = 0; i < bytes; ++i)
    if (table->weights[i] != weightAt(i))
      return false;
  return true;
}

bool tenon::test::runCommand(const std::string &command) {
  return std::system(command.c_str()) == 0;
}
