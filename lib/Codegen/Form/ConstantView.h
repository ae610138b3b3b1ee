//===- ConstantView.h - some elements of a constant -------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Weights reach a product through views (unpacked bytes, reshapes, slices of
// padding, transposes), and stay where they are: a view says where an element
// lies in the constant.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_CONSTANTVIEW_H
#define TENON_LIB_CODEGEN_FORM_CONSTANTVIEW_H

#include "dialects/Tenon/IR/Ops/Constant.h"
#include "dialects/Tenon/IR/TenonFormat.h"
#include "llvm/Support/Error.h"

namespace tenon {

/// The elements in memory order, with a stride in bytes, 0 for splats. Small
/// integers and bools that MLIR keeps packed are expanded into `copy`.
llvm::Expected<std::pair<const char *, uint64_t>>
rawData(mlir::ElementsAttr weight, std::vector<char> &copy);

/// Reads the matrix that #tenon.matrix describes.
class MatrixReader {
public:
  static llvm::Expected<MatrixReader> open(mlir::ElementsAttr constant,
                                           MatrixAttr at);
  /// Of codes: with their sign.
  int64_t integer(int64_t k, int64_t n) const {
    int64_t i = offset + k * strideK + n * strideN;
    int64_t code = uint8_t(data[i * width / 8 * stride]) >> (i * width % 8);
    code &= (1 << width) - 1;
    return isSigned && code >> (width - 1) ? code - (1 << width) : code;
  }
  /// Where the bytes of an element lie that is no code.
  const char *at(int64_t k, int64_t n) const {
    return data + (offset + k * strideK + n * strideN) * stride;
  }
  /// The byte where the code begins, if the codes behind it along k are its
  /// neighbours and lie as they do in bytes; else null.
  const uint8_t *bytesAt(int64_t k, int64_t n, unsigned bits) const {
    int64_t i = offset + k * strideK + n * strideN;
    bool together = strideK == 1 && stride == 1 && width == bits;
    return together && i * width % 8 == 0
               ? reinterpret_cast<const uint8_t *>(data) + i * width / 8
               : nullptr;
  }
  /// The same where each code has a byte of its own: there, and how far behind
  /// it the next column's lies. Else null.
  std::pair<const uint8_t *, int64_t> columnsAt(int64_t k, int64_t n) const {
    return {width == 8 ? reinterpret_cast<const uint8_t *>(at(k, n)) : nullptr,
            int64_t(strideN * stride)};
  }
  /// Of floats, or codes.
  float number(int64_t k, int64_t n) const;

private:
  std::vector<char> copy;
  const char *data = nullptr;
  uint64_t stride = 0;
  mlir::Type element;
  unsigned width = 8; ///< bits that a code takes
  bool isSigned = false;
  int64_t offset = 0, strideK = 0, strideN = 0;
};

struct ConstantView {
  ConstantOp constant;
  mlir::Type element; ///< what its elements are read as
  llvm::SmallVector<int64_t> dims, strides;
  int64_t offset = 0;

  /// nullopt where `v` is no view of a constant.
  static std::optional<ConstantView> of(mlir::Value v);
  /// Rows along `dimK`, columns along `dimN`; -1: the one row, or column. Of a
  /// dim of 1 all rows, or columns, are the same.
  MatrixAttr matrix(int64_t dimK, int64_t dimN) const;
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_CONSTANTVIEW_H
