//===- Tilings.h - the tilings of a model's kernels as text -----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A line per kernel, as `tenon compile --emit=tilings` writes it and
// `--tilings=FILE` reads it:
//
//   matmul f32 ?x384x1536 = #tenon.cpu_matmul<task = 48 x 2, ...>
//
// Before the sign stand what the kernel does, the type of the elements that it
// reads, and its dims, `?` for those known only at run time: rows, terms and
// columns of a matmul, or of a winograd, which one by transformed filters is;
// queries, depth, keys and columns of an attention; the input's of a reduction;
// the result's of anything else. In a pattern `*` stands for any word, dim, or
// all dims. The first line that matches counts; `//` begins a comment.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_TILINGS_H
#define TENON_CODEGEN_TILINGS_H

#include "dialects/Tenon/IR/TenonTiling.h"
#include "mlir/IR/BuiltinOps.h"

namespace tenon {

class KernelOp;

/// "matmul f32 ?x384x1536".
std::string describeKernel(KernelOp kernel);

/// As text, which outlives the context that the kernel was made in.
struct KernelTiling {
  std::string kernel; ///< what describes it
  std::string tiling; ///< empty: it has none
  bool operator==(const KernelTiling &) const = default;
};
/// Of every kernel, in the order of the program's steps.
std::vector<KernelTiling> listTilings(mlir::ModuleOp graph);
/// The distinct ones, a line each.
void printTilings(llvm::ArrayRef<KernelTiling> tilings, llvm::raw_ostream &os);

/// A file of such lines.
class TilingFile {
public:
  /// Failure after an error that names file and line.
  static mlir::FailureOr<TilingFile> read(mlir::MLIRContext *context,
                                          llvm::StringRef path);
  /// Of the family's first line that matches; null where none does. Failure,
  /// after an error, where the kernel cannot have it.
  mlir::FailureOr<TilingInterface> find(KernelOp kernel,
                                        llvm::StringRef family);
  /// A warning for each line of the family that no kernel matched.
  void warnOfUnused(llvm::StringRef family) const;

private:
  struct Line {
    mlir::Location at;
    std::string pattern;
    TilingInterface tiling;
    bool used = false;
  };
  llvm::SmallVector<Line> lines;
};

} // namespace tenon

#endif // TENON_CODEGEN_TILINGS_H
