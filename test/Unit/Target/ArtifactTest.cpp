//===- ArtifactTest.cpp - artifacts that load and survive -----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestModel.h"
#include "tenon/abi.h"
#include "llvm/BinaryFormat/ELF.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/BLAKE3.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include "gtest/gtest.h"
#include <dlfcn.h>
#include <fstream>

using namespace llvm;
using namespace tenon;
using namespace tenon::test;

namespace {

constexpr uint64_t kBytes = (1 << 20) + 123;

Error write(StringRef path, ArtifactKind kind, StringRef symbol, uint64_t bytes,
            bool inFile = false) {
  ArtifactOptions options;
  options.output = path.str();
  options.kind = kind;
  options.exportedSymbol = symbol.str();
  options.weightsInFile = inFile;
  WeightsSource weights = makeWeights(bytes);
  if (inFile)
    options.weightsHash = cantFail(hashWeights(weights));
  return writeArtifact(options, makeObjects(symbol, inFile ? 0 : bytes).list(),
                       weights);
}

/// Loads a shared library and looks at its weights.
void expectLoads(const std::string &path, uint64_t bytes) {
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_TRUE(library) << dlerror();
  auto *model = reinterpret_cast<const Table *(*)()>(dlsym(library, "model"));
  ASSERT_TRUE(model);
  EXPECT_TRUE(hasWeights(model(), bytes));
  EXPECT_EQ(model()->selfTest(5), 5);
  EXPECT_FALSE(dlsym(library, "model_helper"));
  EXPECT_FALSE(dlsym(library, "runtime_self_test"));
  dlclose(library);
}

std::string contents(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Artifact, SharedLibraryLoads) {
  TemporaryDirectory dir;
  ASSERT_FALSE(errorToBool(
      write(dir.path("m.so"), ArtifactKind::SharedLibrary, "model", kBytes)));
  expectLoads(dir.path("m.so"), kBytes);
  EXPECT_EQ(dir.entries(), std::vector<std::string>{"m.so"});
}

/// So that a process maps what the page cache holds in huge pages by these.
TEST(Artifact, LargeWeightsLieAlikeInFileAndMemory) {
  constexpr uint64_t large = (9 << 20) + 123, hugePage = 2 << 20;
  TemporaryDirectory dir;
  for (uint64_t bytes : {kBytes, large}) {
    std::string path = dir.path("m.so");
    ASSERT_FALSE(
        errorToBool(write(path, ArtifactKind::SharedLibrary, "model", bytes)));
    expectLoads(path, bytes);
    auto buffer = MemoryBuffer::getFile(path);
    ASSERT_TRUE(bool(buffer));
    auto file = cantFail(
        object::ELF64LEObjectFile::create((*buffer)->getMemBufferRef()));
    auto segments = cantFail(file.getELFFile().program_headers());
    int found = 0;
    for (const auto &segment : segments) {
      if (segment.p_type != ELF::PT_LOAD || segment.p_filesz < bytes)
        continue;
      ++found;
      EXPECT_EQ(segment.p_align, bytes == large ? hugePage : 4096);
      EXPECT_EQ(segment.p_offset % segment.p_align,
                segment.p_vaddr % segment.p_align);
    }
    EXPECT_EQ(found, 1);
    // The file has little beside.
    EXPECT_LT((*buffer)->getBufferSize(), bytes + (300 << 10));
  }
}

TEST(Artifact, SharedLibraryWithoutWeightsLoads) {
  TemporaryDirectory dir;
  ASSERT_FALSE(errorToBool(
      write(dir.path("m.so"), ArtifactKind::SharedLibrary, "model", 0)));
  void *library = dlopen(dir.path("m.so").c_str(), RTLD_NOW);
  ASSERT_TRUE(library) << dlerror();
  dlclose(library);
}

TEST(Artifact, SurvivesStrip) {
  TemporaryDirectory dir;
  ASSERT_FALSE(errorToBool(
      write(dir.path("m.so"), ArtifactKind::SharedLibrary, "model", kBytes)));
  int tried = 0;
  for (const char *tool :
       {"strip", "/usr/lib/llvm-22/bin/llvm-strip", "llvm-strip"}) {
    ErrorOr<std::string> strip = sys::findProgramByName(tool);
    if (!strip)
      continue;
    std::string copy = dir.path("stripped" + std::to_string(tried++) + ".so");
    ASSERT_TRUE(runCommand(*strip + " -o " + copy + " " + dir.path("m.so")));
    expectLoads(copy, kBytes);
    // Once more, over what the first pass made of it.
    ASSERT_TRUE(runCommand(*strip + " --strip-unneeded " + copy));
    expectLoads(copy, kBytes);
  }
  if (tried == 0)
    GTEST_SKIP() << "no strip on this machine";
}

TEST(Artifact, SameInputGivesTheSameBytes) {
  TemporaryDirectory dir, other;
  for (const char *name : {"m.so", "m.o", "m.a"}) {
    ArtifactKind kind = *artifactKindFromPath(name);
    ASSERT_FALSE(errorToBool(write(dir.path(name), kind, "model", kBytes)));
    ASSERT_FALSE(errorToBool(write(other.path(name), kind, "model", kBytes)));
    std::string bytes = contents(dir.path(name));
    EXPECT_EQ(bytes, contents(other.path(name))) << name;
    EXPECT_EQ(bytes.find("/proc/"), std::string::npos) << name;
    EXPECT_EQ(bytes.find("tenon-test-"), std::string::npos) << name;
  }
}

/// The dynamic side of a shared library: who may see and need what.
TEST(Artifact, SharedLibraryIsTidy) {
  TemporaryDirectory dir;
  ASSERT_FALSE(errorToBool(
      write(dir.path("m.so"), ArtifactKind::SharedLibrary, "model", kBytes)));
  auto buffer = MemoryBuffer::getFile(dir.path("m.so"));
  ASSERT_TRUE(bool(buffer));
  auto file =
      cantFail(object::ELF64LEObjectFile::create((*buffer)->getMemBufferRef()));
  std::vector<std::string> defined, undefined;
  for (const object::ELFSymbolRef &symbol : file.getDynamicSymbolIterators()) {
    std::string name = cantFail(symbol.getName()).str();
    if (cantFail(symbol.getFlags()) & object::SymbolRef::SF_Undefined)
      undefined.push_back(name);
    else
      defined.push_back(name);
  }
  EXPECT_EQ(defined, std::vector<std::string>{"model"});
  llvm::sort(undefined);
  for (const std::string &name : undefined)
    EXPECT_TRUE(
        is_contained({"free", "malloc", "memcpy", "pthread_mutex_lock"}, name))
        << name;

  bool relro = false, weights = false;
  for (const auto &segment : cantFail(file.getELFFile().program_headers())) {
    bool writable = segment.p_flags & ELF::PF_W;
    EXPECT_FALSE(writable && segment.p_flags & ELF::PF_X);
    relro |= segment.p_type == ELF::PT_GNU_RELRO;
    if (segment.p_type == ELF::PT_LOAD && segment.p_filesz >= kBytes) {
      weights = true;
      EXPECT_EQ(segment.p_flags, unsigned(ELF::PF_R));
      EXPECT_EQ(segment.p_offset % 4096, 0u);
    }
  }
  EXPECT_TRUE(relro);
  EXPECT_TRUE(weights);
  for (const auto &entry : cantFail(file.getELFFile().dynamicEntries())) {
    EXPECT_NE(entry.getTag(), ELF::DT_RUNPATH);
    EXPECT_NE(entry.getTag(), ELF::DT_RPATH);
    EXPECT_NE(entry.getTag(), ELF::DT_TEXTREL);
    EXPECT_NE(entry.getTag(), ELF::DT_SONAME);
  }
  // The stubs know no later versions, so neither does the artifact.
  StringRef text = (*buffer)->getBuffer();
  for (unsigned minor = 32; minor < 60; ++minor)
    EXPECT_FALSE(text.contains("GLIBC_2." + std::to_string(minor)));
  EXPECT_TRUE(text.contains("GLIBC_2."));
}

/// Two models in one program, as objects and as archives.
TEST(Artifact, ObjectsAndArchivesLink) {
  TemporaryDirectory dir;
  ErrorOr<std::string> cc = sys::findProgramByName("cc");
  if (!cc)
    GTEST_SKIP() << "no C compiler on this machine";
  std::ofstream(dir.path("main.c")) << R"(
#include <stdint.h>
#include <stdio.h>
struct table { const unsigned char *weights; uint64_t bytes; int (*test)(int); };
extern const struct table *one(void), *two(void);
static int good(const struct table *t, uint64_t bytes) {
  if (t->bytes != bytes || (uintptr_t)t->weights % 4096 || t->test(5) != 5)
    return 0;
  for (uint64_t i = 0; i < bytes; ++i)
    if (t->weights[i] != (unsigned char)((i * 2654435761u) >> 13))
      return 0;
  return 1;
}
int main(void) { return good(one(), 100000) && good(two(), 54321) ? 0 : 1; }
)";
  for (const char *extension : {".o", ".a"}) {
    std::string one = dir.path(std::string("one") + extension),
                two = dir.path(std::string("two") + extension);
    ArtifactKind kind = *artifactKindFromPath(one);
    ASSERT_FALSE(errorToBool(write(one, kind, "one", 100000)));
    ASSERT_FALSE(errorToBool(write(two, kind, "two", 54321)));
    for (const char *flags : {"", " -no-pie", " -static", " -fuse-ld=lld"}) {
      if (StringRef(flags).contains("lld") && !sys::findProgramByName("ld.lld"))
        continue;
      std::string program = dir.path("program");
      ASSERT_TRUE(runCommand(*cc + flags + " -o " + program + " " +
                             dir.path("main.c") + " " + one + " " + two +
                             " -lpthread"))
          << extension << flags;
      EXPECT_TRUE(runCommand(program)) << extension << flags;
    }
  }
}

TEST(Artifact, WeightsInAFileBeside) {
  TemporaryDirectory dir;
  ASSERT_FALSE(errorToBool(write(dir.path("m.so"), ArtifactKind::SharedLibrary,
                                 "model", kBytes, /*inFile=*/true)));
  EXPECT_EQ(dir.entries(), (std::vector<std::string>{"m.so", "m.so.weights"}));
  std::string bytes = contents(dir.path("m.so.weights"));
  ASSERT_EQ(bytes.size(), TENON_WEIGHTS_BLOB_OFFSET + kBytes);
  tenon_weights_header header;
  memcpy(&header, bytes.data(), sizeof header);
  EXPECT_EQ(memcmp(header.magic, TENON_WEIGHTS_MAGIC, 8), 0);
  EXPECT_EQ(header.version, TENON_WEIGHTS_VERSION);
  EXPECT_EQ(header.bytes, kBytes);
  StringRef blob = StringRef(bytes).drop_front(TENON_WEIGHTS_BLOB_OFFSET);
  EXPECT_EQ(static_cast<unsigned char>(blob[kBytes - 1]), weightAt(kBytes - 1));
  auto hash = BLAKE3::hash<32>(arrayRefFromStringRef(blob));
  EXPECT_EQ(memcmp(header.hash, hash.data(), 32), 0);
}

TEST(Artifact, AnErrorLeavesNothing) {
  TemporaryDirectory dir;
  Objects made = makeObjects("model", kBytes);
  std::vector<StringRef> objects = made.list();
  for (const char *name : {"m.so", "m.o", "m.a"}) {
    ArtifactOptions options;
    options.output = dir.path(name);
    options.kind = *artifactKindFromPath(name);
    options.exportedSymbol = "model";
    int calls = 0;
    WeightsSource broken = {kBytes, [&](ChunkSink sink) -> Error {
                              ++calls;
                              std::vector<char> some(1000);
                              if (Error error = sink(some))
                                return error;
                              return createStringError("cannot read");
                            }};
    EXPECT_EQ(toString(writeArtifact(options, objects, broken)), "cannot read");
    EXPECT_EQ(calls, 1);
    EXPECT_TRUE(dir.entries().empty());
  }
  // An existing file is kept.
  std::ofstream(dir.path("m.so")) << "old";
  ArtifactOptions options;
  options.output = dir.path("m.so");
  options.exportedSymbol = "model";
  EXPECT_TRUE(errorToBool(writeArtifact(options, objects, makeWeights(1))));
  WeightsSource broken = {
      kBytes, [](ChunkSink) { return createStringError("cannot read"); }};
  EXPECT_TRUE(errorToBool(writeArtifact(options, objects, broken)));
  EXPECT_EQ(contents(dir.path("m.so")), "old");
  EXPECT_EQ(dir.entries(), std::vector<std::string>{"m.so"});
}

TEST(Artifact, UnwritablePlacesAreNamed) {
  std::string message = toString(
      write("/nonexistent/m.so", ArtifactKind::SharedLibrary, "model", 10));
  EXPECT_EQ(message,
            "cannot write '/nonexistent/m.so': No such file or directory");
  TemporaryDirectory dir;
  std::filesystem::create_directory(dir.path("d.so"));
  message = toString(
      write(dir.path("d.so"), ArtifactKind::SharedLibrary, "model", 10));
  EXPECT_NE(message.find("Is a directory"), std::string::npos) << message;
}

TEST(Artifact, NothingIsNeededBeyondTheCLibrary) {
  TemporaryDirectory dir;
  Objects made = makeObjects("model", 0, "lgammaf_r");
  std::vector<StringRef> objects = made.list();
  for (const char *name : {"m.so", "m.o", "m.a"}) {
    ArtifactOptions options;
    options.output = dir.path(name);
    options.kind = *artifactKindFromPath(name);
    options.exportedSymbol = "model";
    std::string message =
        toString(writeArtifact(options, objects, makeWeights(0)));
    EXPECT_NE(message.find("the code needs 'lgammaf_r' (used by "
                           "'runtime_self_test')"),
              std::string::npos)
        << message;
    EXPECT_TRUE(dir.entries().empty());
  }
}

TEST(Artifact, TheLinkerRunsAgainAfterAnError) {
  TemporaryDirectory dir;
  ArtifactOptions options;
  options.output = dir.path("m.so");
  options.exportedSymbol = "model";
  // An object is not one: the linker says so and can run again.
  EXPECT_TRUE(errorToBool(writeArtifact(options, {"junk"}, makeWeights(0))));
  EXPECT_TRUE(dir.entries().empty());
  ASSERT_FALSE(errorToBool(
      write(dir.path("m.so"), ArtifactKind::SharedLibrary, "model", kBytes)));
  expectLoads(dir.path("m.so"), kBytes);
}

} // namespace
