//===- TenonControl.td - what the run itself decides -------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CONTROL_TD
#define TENON_CONTROL_TD

include "dialects/Tenon/IR/TenonBase.td"

def Tenon_MergeOp : Tenon_PureOp<"merge", [Tenon_FusesAs<"Moving", "", "true">]> {
  let summary = "One of two values, by a condition known before it is needed (ONNX If)";
  let description = [{
    `condition` is a dim expression that is 0 or 1: the result is `onTrue` where
    it is 1, else `onFalse`. Both branches stand in the same block. What only
    one of them needs is not computed when the other is taken, and takes no
    memory then; which steps these are follows from the uses, so that passes
    may share and move ops as they like. `dims` are the result's.
  }];
  let arguments = (ins StrAttr:$condition, Tenon_Tensor:$onTrue,
                       Tenon_Tensor:$onFalse, Tenon_DimsAttr:$dims);
  let results = (outs Tenon_Tensor:$result);
  let assemblyFormat = "$condition `then` $onTrue `else` $onFalse `to` $dims "
                       "attr-dict `:` type($onTrue) `,` type($onFalse)";
  let hasVerifier = 1; // one element type and rank; the condition parses
  let hasFolder = 1;   // of a constant condition or two equal branches
}

def Tenon_LoopOp : Tenon_Op<"loop", [SingleBlock]> {
  let summary = "Runs its body a number of times that only the run knows (ONNX Loop, Scan)";
  let description = [{
    The inputs are the values that each iteration hands to the next, and before
    them, with `conditional`, a bool without which the next iteration does not
    begin. The body has the iteration's number (i64) and the handed values as
    arguments; it yields the bool, the values for the next iteration, and rows.
    Results are the last handed values and the rows of all iterations, stacked.

    There are at most `trips` iterations. In dim expressions `name[0]` is the
    iteration's number, and `name[1]`, behind the loop, how many there were; a
    name that begins with `#` says that none of its numbers is negative.

    A dim of a handed value either stays as it is, whatever the iterations do,
    or may be another for each. Of the latter the body's argument has `name[2]`
    (then `name[4]`, `name[6]`, ... in the order of their first mention) and the
    result, behind the loop, `name[3]` (`name[5]`, `name[7]`, ...); the input
    says what it is at first, the yielded value what it is for the next
    iteration. Dims that begin and change alike share a name.
  }];
  let arguments = (ins Variadic<Tenon_Tensor>:$inputs, StrAttr:$name, StrAttr:$trips,
                       UnitAttr:$conditional, OptionalAttr<StrAttr>:$when);
  let results = (outs Variadic<Tenon_Tensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$name `(` $inputs `)` `trips` $trips (`conditional` $conditional^)? "
                       "(`when` $when^)? attr-dict `:` functional-type($inputs, $results) $body";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The inputs without the bool.
    unsigned numHanded() { return getInputs().size() - (getConditional() ? 1 : 0); }
    unsigned numRows() { return getNumResults() - numHanded(); }

    /// The size of the i-th dim that iterations change: in the body, and behind
    /// the loop.
    static SymExpr sizeInside(::llvm::StringRef name, unsigned i) {
      return SymExpr::element(name, 2 + 2 * int64_t(i));
    }
    static SymExpr sizeBehind(::llvm::StringRef name, unsigned i) {
      return SymExpr::element(name, 3 + 2 * int64_t(i));
    }
    struct Place {
      unsigned value, dim; ///< of the handed value with that number
    };
    /// Where each of them is first mentioned.
    ::llvm::SmallVector<Place> changingDims();
    /// The yielded values that become the next iteration's handed ones.
    ::mlir::OperandRange yieldedHanded();
    /// The input values, without the bool.
    ::mlir::OperandRange initialHanded();
  }];
}

//===----------------------------------------------------------------------===//
// What sorts or searches
//===----------------------------------------------------------------------===//
// The size of what is found is known only afterwards: each result has room for
// the largest outcome, and its last element is the number that counts, which a
// tenon.read_dims reads. Kernels of the runtime compute these ops.

def Tenon_CompactOp : Tenon_PureOp<"compact", [Tenon_FusesAs<"Native">]> {
  let summary = "Positions of the true elements, then their number (ONNX NonZero, Compress)";
  let description = [{
    Of n flags: n + 1 elements, the positions in order, zeros, the number.
  }];
  let arguments = (ins Tenon_BoolTensor:$flags);
  let results = (outs Tenon_TensorOf<[I64], "i64">:$result);
  let assemblyFormat = "$flags attr-dict `:` type($flags)";
}
def Tenon_UniqueOp : Tenon_PureOp<"unique", [Tenon_FusesAs<"Native">]> {
  let summary = "The distinct rows of a matrix (ONNX Unique)";
  let description = [{
    Of n rows: 3n + 1 elements. The first n: where each distinct row first
    stands; the next n: how many rows are equal to it; the next n: for each row
    the number of its distinct one; then how many distinct rows there are.
    With `sorted` these are in ascending order, else as they first appear. NaNs
    are equal and above all numbers.
  }];
  let arguments = (ins Tenon_Tensor:$input, UnitAttr:$sorted);
  let results = (outs Tenon_TensorOf<[I64], "i64">:$result);
  let assemblyFormat = "$input (`sorted` $sorted^)? attr-dict `:` type($input)";
}
def Tenon_NonMaxSuppressionOp : Tenon_PureOp<"non_max_suppression",
    [Tenon_FusesAs<"Native">]> {
  let summary = "Boxes that overlap no better one (ONNX NonMaxSuppression)";
  let description = [{
    boxes [batches, n, 4], scores [batches, classes, n]; a box counts above
    `scoreThreshold` and is dropped where its overlap with a better one of its
    class is above `overlapThreshold`. At most `most` of each class are kept.
    The result has room for that many triples (batch, class, box) of all classes;
    its last element is their number.
  }];
  let arguments = (ins Tenon_TensorOf<[F32], "f32">:$boxes, Tenon_TensorOf<[F32], "f32">:$scores,
                       Tenon_TensorOf<[F32], "f32">:$overlapThreshold,
                       Tenon_TensorOf<[F32], "f32">:$scoreThreshold,
                       StrAttr:$most, UnitAttr:$centered);
  let results = (outs Tenon_TensorOf<[I64], "i64">:$result);
  let assemblyFormat = "$boxes `,` $scores `overlap` $overlapThreshold `score` $scoreThreshold "
                       "`most` $most (`centered` $centered^)? attr-dict `:` type($boxes) `,` "
                       "type($scores) `,` type($overlapThreshold) `,` type($scoreThreshold)";
  let hasVerifier = 1;
}

#endif // TENON_CONTROL_TD
