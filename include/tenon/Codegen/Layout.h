//===- Layout.h - how operands are laid out ---------------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_LAYOUT_H
#define TENON_CODEGEN_LAYOUT_H

#include <string>
#include <vector>

namespace tenon {

struct LayoutOptions {
  /// Join products of the same rows, which values that are asked for by name
  /// forbid.
  bool merge = true;
  /// What products by weights are computed in: f32, bf16, f16 or int8-act
  /// (docs/Precision.md).
  std::string precision = "f32";
  /// With bf16 attention's products are in bf16, too: every level multiplies
  /// it faster than f32.
  bool attentionInBF16 = false;
  /// Nodes, or regular expressions that match whole names of nodes, whose
  /// products stay as they are.
  std::vector<std::string> keepF32;
  /// Convolutions of 3x3 are computed by Winograd's F(2x2, 3x3) where that is
  /// faster.
  bool winograd = true;
  /// The widest vectors of the levels that share the weights.
  int64_t vectorBits = 512;
  /// What is computed of codes of 8 bits alone is looked up, by vectors of bytes.
  bool tables = true;
  /// What states that attention alone reads hold, in pages: f32, bf16, f16 or
  /// int8; empty: f32, values in rows.
  std::string kv;
  /// The runs take rows of many sequences (docs/Decoding.md), or the model is
  /// refused.
  bool ragged = false;
};

} // namespace tenon

#endif // TENON_CODEGEN_LAYOUT_H
