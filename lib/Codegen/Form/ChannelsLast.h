//===- ChannelsLast.h - values as rows of channels --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_LIB_CODEGEN_FORM_CHANNELSLAST_H
#define TENON_LIB_CODEGEN_FORM_CHANNELSLAST_H

#include "dialects/Tenon/IR/TenonShape.h"

namespace tenon {

class ConcatOp;
class GatherOp;
class PadOp;
class ReduceOp;
class ReshapeOp;
class SliceOp;
class TransposeOp;

/// Knows of values [N, C, spatial...] the same elements with the channels last:
/// as *rows*, [N, positions, C], as a matmul computes them, or as an *image*,
/// [N, spatial..., C]. Elementwise ops, and those that move, join or reduce
/// elements, are moved from the values to these: so they end the matmul's
/// kernel, and whatever they read of channels lies together.
class ChannelsLast {
public:
  /// `dims` [N, C, spatial...] as a view of `rows`, which it knows from now on.
  mlir::Value viewOf(mlir::OpBuilder &b, mlir::Location loc, mlir::Value rows,
                     llvm::ArrayRef<SymExpr> dims);
  /// If `op` can be computed with the channels last, and its operands of many
  /// channels are so: does that and replaces it by a view. Returns why not,
  /// where an operand has rows and `op` stays.
  llvm::StringRef sink(mlir::Operation *op);
  /// The rows of `v`, if it has some without moving memory: it is a view of
  /// them, a transpose that brought channels to the front, or elementwise of
  /// such values. Else null.
  mlir::Value rowsOf(mlir::Value v);
  /// The same as an image.
  mlir::Value imageOf(mlir::Value v);
  /// Puts a value in the place of `op`'s, and removes `op`.
  void replace(mlir::Operation *op, mlir::Value by);

private:
  struct Form {
    mlir::Value rows, image; ///< one of them, or both
    explicit operator bool() const { return rows || image; }
  };
  Form formOf(mlir::Value v);
  mlir::Value rowsOf(Form &form, llvm::ArrayRef<SymExpr> dims);
  mlir::Value imageOf(Form &form, llvm::ArrayRef<SymExpr> dims);
  /// The rows of a value that is known already, or null.
  mlir::Value knownRows(mlir::Value v);
  mlir::Value knownImage(mlir::Value v);
  Form move(mlir::Operation *op,
            llvm::function_ref<Form(mlir::Value)> formOfOperand);
  Form finish(mlir::Operation *op, Form form);
  Form sinkPad(PadOp op);
  Form sinkSlice(SliceOp op);
  Form sinkConcat(ConcatOp op);
  Form sinkGather(GatherOp op);
  Form sinkReduce(ReduceOp op);
  Form sinkParts(ReduceOp op);
  bool sinkSplit(mlir::Operation *op);
  void sinkPositions(TransposeOp op);
  Form sinkNorm(ReshapeOp op);
  bool sinkExtremes(ReduceOp op);
  bool sinkWhole(ReduceOp op);
  mlir::Value repeatedRows(mlir::Value v);
  Form sinkReshape(ReshapeOp op);
  Form sinkShuffle(ReshapeOp op);
  void sinkTranspose(TransposeOp op);
  bool sinkLast(mlir::Operation *op);

  llvm::DenseMap<mlir::Value, Form> known; ///< empty: it has none
  /// Of images that the model itself has: the same with the channels first,
  /// which is known.
  llvm::DenseMap<mlir::Value, mlir::Value> firstOf;
};

/// Does an image's dim of channels fill a vector, or may it?
bool hasChannels(mlir::Value v);

/// Do patches hold each element of the image so often that a product had better
/// read the image itself, with its channels last?
bool patchesOverlap(llvm::ArrayRef<int64_t> kernel,
                    llvm::ArrayRef<int64_t> strides,
                    llvm::ArrayRef<int64_t> dilations);

/// [N, C, spatial...] as [N, spatial..., C]. Of an image that a gather makes
/// larger the one before is transposed.
mlir::Value transposeChannelsLast(mlir::OpBuilder &b, mlir::Location loc,
                                  mlir::Value v);

/// A convolution's weight [C out, C, kernel...] as [C out, kernel... * C]. Of a
/// constant this is another constant.
mlir::Value flattenChannelsLast(mlir::OpBuilder &b, mlir::Location loc,
                                mlir::Value weight);

/// A matrix with its dims swapped. Of a constant this is another constant.
mlir::Value transposeMatrix(mlir::OpBuilder &b, mlir::Location loc,
                            mlir::Value matrix);

} // namespace tenon

#endif // TENON_LIB_CODEGEN_FORM_CHANNELSLAST_H
