//===- OutputFileTest.cpp - files that appear whole or not at all ---------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "tenon/Support/OutputFile.h"
#include "llvm/Support/raw_ostream.h"
#include <csignal>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace llvm;
using namespace tenon;

namespace {

class OutputFileTest : public testing::Test {
protected:
  OutputFileTest() {
    std::string name =
        (std::filesystem::temp_directory_path() / "tenon-test-output-XXXXXX")
            .string();
    root = mkdtemp(name.data());
  }
  ~OutputFileTest() override { std::filesystem::remove_all(root); }

  std::string path(const std::string &name) const { return root / name; }
  size_t entries() const {
    return size_t(std::distance(std::filesystem::directory_iterator(root),
                                std::filesystem::directory_iterator()));
  }
  static std::string contents(const std::string &path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static Error write(OutputFile &file, StringRef text) {
    return file.append(ArrayRef<char>(text.data(), text.size()));
  }
  /// Starts a file in another process, which is killed.
  template <typename Create>
  void startAndDie(Create create) const {
    pid_t child = fork();
    if (child == 0) {
      OutputFile file;
      if (create(file) || write(file, "half"))
        _exit(1);
      raise(SIGKILL);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
  }

  std::filesystem::path root;
};

TEST_F(OutputFileTest, AppearsAtCommit) {
  for (bool named : {false, true}) {
    std::string name = path(named ? "named" : "unnamed");
    for (const char *text : {"first", "and again"}) {
      OutputFile file;
      ASSERT_FALSE(errorToBool(named ? file.createNamed(name, true)
                                     : file.create(name, true)));
      ASSERT_FALSE(errorToBool(write(file, text)));
      ASSERT_FALSE(errorToBool(file.commit()));
      EXPECT_EQ(contents(name), text);
    }
    EXPECT_EQ(access(name.c_str(), X_OK), 0);
    OutputFile given;
    ASSERT_FALSE(
        errorToBool(named ? given.createNamed(name) : given.create(name)));
    ASSERT_FALSE(errorToBool(write(given, "lost")));
    given.discard();
    EXPECT_EQ(contents(name), "and again");
  }
  EXPECT_EQ(entries(), 2u);
}

TEST_F(OutputFileTest, NothingStaysOfAProcessThatIsKilled) {
  std::string name = path("out");
  startAndDie([&](OutputFile &file) { return errorToBool(file.create(name)); });
  size_t left = entries(); // where the file system knows no other way
  startAndDie(
      [&](OutputFile &file) { return errorToBool(file.createNamed(name)); });
  EXPECT_EQ(entries(), 1u) << left;
  // The next one of either kind clears it away, and not what is being written.
  OutputFile other;
  ASSERT_FALSE(errorToBool(other.createNamed(path("other"))));
  EXPECT_EQ(entries(), 1u);
  for (int i = 0; i < 2; ++i) {
    OutputFile file;
    ASSERT_FALSE(errorToBool(file.create(name)));
    ASSERT_FALSE(errorToBool(file.commit()));
  }
  EXPECT_EQ(entries(), 2u);
  ASSERT_FALSE(errorToBool(other.commit()));
  EXPECT_EQ(entries(), 2u);
}

TEST_F(OutputFileTest, NamesMayBeAsLongAsNamesGet) {
  std::string name = path(std::string(255, 'n'));
  for (int i = 0; i < 2; ++i)
    ASSERT_FALSE(errorToBool(writeOutputFile(name, [](raw_ostream &out) {
      out << "text";
      return Error::success();
    })));
  EXPECT_EQ(contents(name), "text");
  OutputFile file;
  ASSERT_FALSE(errorToBool(file.create(path(std::string(256, 'n')))));
  std::string message = toString(file.commit());
  EXPECT_NE(message.find("File name too long"), std::string::npos) << message;
  EXPECT_EQ(entries(), 1u);
}

TEST_F(OutputFileTest, FailuresSayWhy) {
  auto fill = [](raw_ostream &out) {
    for (int i = 0; i < 10000; ++i)
      out << "many bytes ";
    return Error::success();
  };
  EXPECT_EQ(toString(writeOutputFile("/dev/full", fill)),
            "cannot write '/dev/full': No space left on device");
  EXPECT_EQ(toString(writeOutputFile(root.string(), fill)),
            "cannot write '" + root.string() + "': Is a directory");
  EXPECT_EQ(toString(writeOutputFile(path("no/file"), fill)),
            "cannot write '" + path("no/file") +
                "': No such file or directory");
  EXPECT_EQ(
      toString(writeOutputFile(
          path("out"),
          [](raw_ostream &) { return createStringError("no more to say"); })),
      "no more to say");
  EXPECT_EQ(entries(), 0u);
}

TEST_F(OutputFileTest, StreamsAreWrittenAsTheyAre) {
  std::string name = path("pipe");
  ASSERT_EQ(mkfifo(name.c_str(), 0666), 0);
  EXPECT_TRUE(isOutputStream(name));
  EXPECT_TRUE(isOutputStream("-"));
  EXPECT_TRUE(isOutputStream("/dev/null"));
  EXPECT_FALSE(isOutputStream(path("none")));
  pid_t child = fork();
  if (child == 0)
    _exit(errorToBool(writeOutputFile(name, [](raw_ostream &out) {
      out << "through";
      return Error::success();
    })));
  EXPECT_EQ(contents(name), "through");
  int status = 1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(entries(), 1u);
}

} // namespace
