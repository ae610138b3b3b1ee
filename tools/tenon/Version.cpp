//===- Version.cpp - tenon --version --------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Commands.h"
#include "tenon/Target/TargetInfo.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/TargetParser/Host.h"

using namespace llvm;

void tenon::printVersion(raw_ostream &out) {
  out << "tenon " TENON_VERSION "\n"
      << "LLVM " LLVM_VERSION_STRING "\n"
      << "ONNX " TENON_ONNX_VERSION "\n"
      << "host " << sys::getHostCPUName() << "\n";
  // The features that the CPU has, in lines that fit a terminal.
  SmallVector<StringRef> features;
  std::string text = hostFeaturesText();
  StringRef(text).split(features, ',', -1, false);
  size_t column = 80;
  for (StringRef feature : features) {
    if (!feature.consume_front("+"))
      continue;
    if (column + 1 + feature.size() > 79) {
      out << (column == 80 ? "features" : "\n        ");
      column = 8;
    }
    out << " " << feature;
    column += 1 + feature.size();
  }
  out << "\n";
}
