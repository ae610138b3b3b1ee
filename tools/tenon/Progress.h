//===- Progress.h - how far a compilation is --------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_TOOLS_PROGRESS_H
#define TENON_TOOLS_PROGRESS_H

#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <string>
#include <unistd.h>

namespace tenon {

/// On a terminal one line that is written over: the stage, how much of it is
/// done, and the seconds since the beginning. With -v a line per stage,
/// wherever that goes; else nothing.
class Progress {
public:
  explicit Progress(bool verbose)
      : verbose(verbose), shows(verbose || isatty(STDERR_FILENO)) {}
  ~Progress() { clear(); }
  Progress(const Progress &) = delete;

  bool isShown() const { return shows; }
  void stage(llvm::StringRef stage, double fraction) {
    name = stage.str();
    share = fraction;
    if (verbose)
      llvm::errs() << "tenon: " << llvm::format("%6.2f", seconds()) << " s  "
                   << name << "\n";
    else
      draw("");
  }
  /// Functions of `all` that have become machine code.
  void functions(size_t done, size_t all) {
    if (verbose && done == all)
      llvm::errs() << "tenon: " << llvm::format("%6.2f", seconds()) << " s  "
                   << all << " functions compiled\n";
    if (verbose)
      return;
    share = 0.7 + 0.3 * double(done) / double(all);
    draw(" " + std::to_string(done) + " of " + std::to_string(all) +
         " functions");
  }
  /// Takes the line away: what is printed now stands alone.
  void clear() {
    if (drawn)
      llvm::errs() << "\r\033[K";
    drawn = false;
  }

private:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                         begin)
        .count();
  }
  void draw(const std::string &done) {
    drawn = true;
    llvm::errs() << "\r\033[K" << int(share * 100) << "% " << name << done
                 << llvm::format(", %.1f s", seconds());
  }

  const bool verbose, shows;
  const std::chrono::steady_clock::time_point begin =
      std::chrono::steady_clock::now();
  std::string name;
  double share = 0;
  bool drawn = false;
};

} // namespace tenon

#endif // TENON_TOOLS_PROGRESS_H
