//===- SlidingWindows.h - maps whose windows overlap ------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The sum, or the largest element, of a window is that of what its rows come
// to, and the windows below share most of these. A task walks down some rows of
// the result, and each step carries to the next what both have in common: of
// 3x3 elements each row is loaded, and joined, once in place of three times.
//
// Rows and columns of a padded image that lie inside are known before the walk,
// so that its loop tests nothing but whether a row is one of the image's.
//
// Lanes two elements apart stay in the blocks of four that one instruction
// leaves them in, and are put in order once for each result.
//
// A maximum that lets NaN through takes three instructions. The walk takes
// those of one, notes what is no number, and is done again where there was
// something.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_SLIDINGWINDOWS_H
#define TENON_LIB_CODEGEN_EMIT_SLIDINGWINDOWS_H

#include "lib/Codegen/Emit/KernelEmitter.h"
#include "llvm/ADT/SetVector.h"

namespace tenon {

/// Does `matches` take some sum or maximum that `root` is made of element by
/// element?
bool findJoin(mlir::Value root,
              llvm::function_ref<bool(mlir::Operation *)> matches);

class SlidingWindows {
public:
  /// Of a map whose last dim that is walked is `axis`.
  SlidingWindows(KernelEmitter &e, mlir::Value root, size_t axis)
      : e(e), root(root), axis(axis), dims(getDims(root)) {}
  /// Is some part of it a window whose rows are computed alike?
  bool match();
  void emit();

private:
  using Values = llvm::SmallVector<mlir::Value>;

  bool matchJoins(mlir::Operation *last);
  void findSlices(mlir::Value v);
  void findPad(size_t count);
  void findExtremes(mlir::Value v);
  SymExpr firstStart();
  bool isCovered(mlir::Value v);
  void note(mlir::Value x);
  mlir::Value noted(llvm::function_ref<mlir::Value()> fn);
  mlir::Value plain(mlir::Operation *op, llvm::ArrayRef<Idx> idx);
  bool areHalved();
  bool cutsLanes();
  mlir::Value halves(mlir::Operation *slice, llvm::ArrayRef<Idx> idx);
  mlir::Value inOrder(mlir::Value v);
  mlir::Value areColumnsInside();
  mlir::Value rowOutside();
  mlir::Value tapAt(size_t tap, mlir::Value row, mlir::Value outside);
  mlir::Type noteType();
  void forget();
  mlir::Value walk(bool isInside, bool isPlain);
  void strip();

  KernelEmitter &e;
  mlir::Value root;
  size_t axis;
  llvm::SmallVector<SymExpr> dims;
  LaneBuilder &L = e.L;

  size_t dim = 0;           ///< that windows slide along
  int64_t step = 1, by = 1; ///< from window to window, and from tap to tap
  size_t carried = 0;       ///< taps that the step before knows
  Values taps;              ///< what the rows of a window come to
  Values joins;             ///< what joins them
  llvm::SetVector<mlir::Operation *> slices; ///< that the taps are made of
  mlir::Operation *pad = nullptr;            ///< of which all are, if it is one
  llvm::SetVector<mlir::Operation *> extremes; ///< that NaN goes through

  bool isHalved = false; ///< windows lie two elements apart along the lanes

  // Of the strip that is emitted.
  llvm::SmallVector<Idx> at;
  mlir::Value first, behind; ///< its rows
  mlir::Value notes;         ///< lanes that saw NaN
  mlir::Value unnoted;       ///< what was looked at alone so far
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_SLIDINGWINDOWS_H
