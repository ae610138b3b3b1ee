//===- BufferedWindows.h - windows joined by a buffer -----------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The sum, or the largest element, of a window whose last dim lies along the
// lanes is that of its columns. Some rows of a task are computed at a time:
//
//   planes   of windows of three dims, what the planes have at each element
//   down     what the columns come to, whole vectors of the image, into a
//            buffer of the first cache, whose ends hold what lies outside
//   across   the windows, of vectors of the buffer
//
// So an element is loaded from the image once, nothing is left out by masks,
// and the result is written row by row. The last vector of a row ends where the
// row does, and computes some elements again. Of windows two elements apart the
// buffer holds even places before odd ones, so that all vectors are neighbours.
//
// A maximum that lets NaN through takes three instructions. Those of one are
// taken, and what is no number is noted: then the rows are computed again.
//
// An average divides by how many elements a window has. Two multiplications do:
// by the float below the inverse, and by what it lacks of it. Where borders cut
// windows at the sides the inverses of a row are computed once; where they cut
// them above or below, rows are divided.
//
// Windows may also be spelled as their columns first, and then what is across
// these, which are not computed for each window then.
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_EMIT_BUFFEREDWINDOWS_H
#define TENON_LIB_CODEGEN_EMIT_BUFFEREDWINDOWS_H

#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

class BufferedWindows {
public:
  /// Of a map whose lanes lie along `axis`.
  BufferedWindows(KernelEmitter &e, mlir::Value root, size_t axis)
      : e(e), root(root), axis(axis), dims(getDims(root)) {}
  /// Is some part of it a window of rows and columns?
  bool match();
  /// Has each row a vector, and the image a row? Null where that is certain.
  mlir::Value fits();
  /// Before the tasks.
  void prepare();
  /// Rows [first, behind) of the result, at `at` along other dims.
  void emit(llvm::ArrayRef<Idx> at, mlir::Value first, mlir::Value behind);

private:
  using Values = llvm::SmallVector<mlir::Value>;

  /// The windows along one dim.
  struct Along {
    int64_t taps = 1, by = 1, step = 1;
    SymExpr place;            ///< of the first tap of the first in the image
    bool isPadded = false;    ///< may some lie outside?
    SymExpr size = SymExpr(); ///< of the image
  };
  bool matchJoins(mlir::Operation *last);
  bool findLeaves(mlir::Value root, mlir::Value v, Values &leaves);
  bool matchAlong(llvm::ArrayRef<mlir::Value> leaves, size_t dim, Along &along);
  bool matchColumns(llvm::ArrayRef<mlir::Value> leaves);
  bool matchGrid(llvm::ArrayRef<mlir::Value> leaves);
  bool isBufferable();
  bool matchPad();
  bool isWorthwhile();
  Along alongOf(size_t dim, llvm::ArrayRef<mlir::Value> leaves,
                llvm::SmallVector<int64_t> &order);

  mlir::Value join(mlir::Value x, mlir::Value y);
  void note(mlir::Value x);
  void noteRest();
  bool takesNotes() const { return isExtreme && isFloat; }
  mlir::Type noteType() const;
  Values withNotes(Values values) const;
  Values takeNotes(Values values);
  mlir::Value seen();
  mlir::Value placeOf(const Along &along, mlir::Value i, int64_t tap);
  void loop(mlir::Value lo, mlir::Value hi, int64_t step,
            llvm::function_ref<void(mlir::Value)> fn);
  void strips(mlir::Value n, int64_t width,
              llvm::function_ref<void(mlir::Value)> fn);
  Values inside(const Along &along, mlir::Value place, int64_t count,
                llvm::function_ref<Values()> fn);
  Values imageAt(mlir::Value row, mlir::Value column);
  void joinPlanes(mlir::Value first, mlir::Value behind);
  mlir::Value joinAll(llvm::ArrayRef<Values> taps, int64_t k);
  void storeColumns(llvm::ArrayRef<mlir::Value> values, mlir::Value row,
                    mlir::Value column);
  Values rowOrPadding(mlir::Value row, mlir::Value column);
  std::pair<mlir::Value, mlir::Value>
  insideOf(const Along &along, mlir::Value first, mlir::Value behind);
  Values downRows(mlir::Value first, mlir::Value behind, mlir::Value column,
                  bool isInside, llvm::ArrayRef<mlir::Value> init);
  void downStrip(mlir::Value first, mlir::Value behind, mlir::Value column);
  std::pair<mlir::Value, mlir::Value> inverseOf(mlir::Value counts);
  void prepareInverses();
  mlir::Value isWholeRow(mlir::Value row);
  mlir::Value averageOf(mlir::Value sum);
  void windowsAt(mlir::Value row, mlir::Value column);
  void someRows(mlir::Value first, mlir::Value behind, bool plain);

  KernelEmitter &e;
  mlir::Value root;
  size_t axis;
  llvm::SmallVector<SymExpr> dims;
  LaneBuilder &L = e.L;

  mlir::Operation *joined = nullptr;  ///< what gives the windows
  mlir::Value image, padding;         ///< padding: null without any
  mlir::Operation *average = nullptr; ///< what divides them by a count
  int64_t elements = 0;               ///< of a window
  bool isExtreme = false, isFloat = false;
  Along planesOf, rowsOf, columnsOf;
  unsigned lanes = 0;

  // The buffer: rows of `row` elements, or of two halves for even and odd
  // places, that begin `lead` elements before the first place.
  int64_t lead = 0, low = 0; ///< low: places before the image
  SymExpr half, row, block;  ///< block: rows
  mlir::Type type;
  mlir::Value buffer, planes;
  /// Of the counts of rows that no border cuts above or below, if they are so.
  mlir::Value inverses, rests, areCounts;

  // Of what is emitted.
  bool isPlain = false;
  llvm::SmallVector<Idx> at;
  mlir::Value begin;        ///< the first row in the buffer
  mlir::Value firstOfPlane; ///< and in that of planes, of the image
  mlir::Value notes, unnoted;
  mlir::Value isWhole; ///< are the row's windows whole above and below?
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_EMIT_BUFFEREDWINDOWS_H
