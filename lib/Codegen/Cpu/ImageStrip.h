//===- ImageStrip.h - the part of an image that a task reads ----*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_CPU_IMAGESTRIP_H
#define TENON_LIB_CODEGEN_CPU_IMAGESTRIP_H

#include "dialects/Tenon/IR/Ops/Im2Col.h"
#include "lib/Codegen/Emit/KernelEmitter.h"

namespace tenon {

/// The positions of a convolution in blocks, and what a block meets of the
/// image in scratch memory. Patches are read there through two tables of
/// offsets, the positions' and the taps'.
class ImageStrip {
public:
  /// Where the patches' image lies; nullopt where it is computed. Few channels
  /// may be moved to the back on the way.
  struct Source {
    mlir::BlockArgument image;
    bool channelsFirst;
  };
  static std::optional<Source> sourceOf(Im2ColOp op);
  /// Can patches that are multiplied by so many columns be read where the image
  /// lies? They meet no border then.
  static bool staysInPlace(Im2ColOp op, const Source &source,
                           const SymExpr &columns);

  /// How patches are walked: are a kernel's rows one run each, of so many runs
  /// of so many elements? Of more than `longest` they are not, unless they
  /// would be very short otherwise.
  struct Runs {
    bool joined;
    int64_t taps;
    SymExpr length;
  };
  static Runs runsOf(Im2ColOp op, int64_t longest);

  /// Blocks of at most about `most` positions, fewer where that gives each of
  /// few threads as much to do in `panels` tasks a block; runs as runsOf() has
  /// them.
  /// `inPlace`: the image lies where it is read. `apart`: no block has two
  /// images.
  ImageStrip(KernelEmitter &e, Im2ColOp op, const Source &source, int64_t most,
             const SymExpr &panels, int64_t longest, bool inPlace, bool apart);

  SymExpr blocks, places; ///< places: of a block, at most
  int64_t numTaps = 1;
  SymExpr run; ///< elements of a tap

  /// Reserves the memory and writes the taps' offsets.
  void prepare();
  mlir::Value memory = {}, placeTable = {}, tapTable = {};

  /// What block number `block` has of each dim, and where that begins.
  struct Block {
    mlir::Value image, images, strip, rows, piece, pixels;
    llvm::SmallVector<mlir::Value> outer; ///< one position each
    /// Of a strip that may be read in place mostly: is it, and which positions
    /// of a row lie at its ends then?
    mlir::Value inside = {}, left = {}, right = {};
  };
  Block block(mlir::Value number);
  /// Copies what the block meets, unless that is read in place, and writes its
  /// positions' offsets.
  void copy(const Block &block);
  mlir::Value countOf(const Block &block);
  /// Positions that are read together: from which memory, and the first of the
  /// taps' offsets there.
  struct Part {
    mlir::Value memory, taps, count;
  };
  /// Of the block's positions: one part, or what lies in the image and the ends
  /// of its rows.
  llvm::SmallVector<Part> partsOf(const Block &block);
  /// About what the block behind block number `number` meets of the image and
  /// that one does not, as elements of its memory; none of an image that is
  /// moved or widened on the way.
  struct Behind {
    mlir::Value image, begin, count;
    mlir::Value is; ///< is there a block?
  };
  std::optional<Behind> behind(mlir::Value number);
  /// Are there blocks whose positions are two parts?
  bool hasParts() const { return mostly; }
  /// Elements of the memory from a position of a row to the next one, where
  /// that is known.
  std::optional<int64_t> apart() const {
    std::optional<int64_t> channels = C.constant();
    return channels ? std::optional(strides[x] * *channels) : std::nullopt;
  }
  /// Of those that are the first part the first of each row alone has an offset
  /// then: the others lie behind it.
  void readByRows() { byRows = true; }
  /// Positions of a block's row, at most, or else of the result's.
  const SymExpr &positionsOfRow() const {
    return pixels.constant() ? pixels : out[x];
  }
  /// Row (image, position) of the result, at place `place` of the block.
  mlir::Value rowAt(mlir::Value place);
  /// Calls fn(first place, its row of the result, how many follow one another)
  /// for each run of neighbouring positions.
  using Run = llvm::function_ref<void(mlir::Value, mlir::Value, mlir::Value)>;
  void forRuns(const Block &block, Run fn);
  /// The same of those that are the first part.
  void forRows(const Block &block, Run fn);

private:
  size_t outerDims() const { return rank - 1 - hasRows; }
  int64_t outerTaps() const;
  int64_t extent(size_t d) const { return dilations[d] * (kernel[d] - 1) + 1; }
  mlir::Value index(int64_t i) { return e.L.index(i); }
  mlir::Value rowOf(const Block &block, mlir::Value image, mlir::Value row);
  /// Where patches are read.
  enum class Room { strip, image, ends };
  std::pair<SymExpr, SymExpr> tilesApart() const;
  bool hasInside(const SymExpr &strips) const;
  void findInside(Block &block);
  int64_t endPositions(int64_t pad) const;
  int64_t endPixels(int64_t pad) const;
  int64_t widthOfEnds() const; ///< in pixels, of both
  mlir::Value pixelOfStrip(mlir::Value image, mlir::Value y);
  mlir::Value pixelOfImage(const Block &block, mlir::Value image,
                           mlir::Value y);
  void noteTaps(Room room, size_t d, mlir::Value at, mlir::Value tap);
  void notePlaces(mlir::Value first, mlir::Value count, mlir::Value row,
                  mlir::Value pixel);
  void noteBlock(const Block &block, mlir::Value image);
  void copyEnds(const Block &block);
  void noteEnds(const Block &block);
  void nest(const Block &block, size_t d, mlir::Value image, mlir::Value from,
            mlir::Value to, mlir::Value inside);
  void line(const Block &block, mlir::Value image, mlir::Value from,
            mlir::Value at, mlir::Value inside);
  void copyRun(mlir::Value from, mlir::Value to, mlir::Value pixels);
  void interleave(mlir::Value image, mlir::Value row, mlir::Value pixel,
                  mlir::Value to, mlir::Value pixels);
  void zeros(mlir::Value from, mlir::Value pixels);

  KernelEmitter &e;
  Im2ColOp op;
  Source source;
  llvm::ArrayRef<int64_t> kernel = op.getKernel(), strides = op.getStrides(),
                          pads = op.getPads(), dilations = op.getDilations();
  size_t rank = kernel.size(), x = rank - 1;
  bool inPlace;
  bool mostly; ///< in blocks of its middle, but for the ends of its rows
  /// Is the dim before the last walked by strips? Else each of its positions
  /// has blocks of its own, and a copy of the rows of each tap.
  bool hasRows;
  bool joined; ///< is a row of the kernel one run?
  bool byRows = false;
  llvm::SmallVector<SymExpr> dims, out;
  SymExpr C, images, rows, pixels;   ///< of a block, at most
  SymExpr rowsOfStrip, widthOfStrip; ///< of the image
  llvm::SmallVector<SymExpr> grid;   ///< blocks
  mlir::Value rowTable = {};
};

} // namespace tenon

#endif // TENON_LIB_CODEGEN_CPU_IMAGESTRIP_H
