//===- TenonPacked.td - products of packed operands --------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_PACKED_TD
#define TENON_PACKED_TD

include "dialects/Tenon/IR/TenonBase.td"
include "dialects/Tenon/IR/TenonFormat.td"

def Tenon_Im2ColOp : Tenon_PureOp<"im2col", [Tenon_FusesAs<"Moving", "true", "getChannelsLast()">]> {
  let summary = "Patches of a convolution as rows: [N, out positions, C*kernel]";
  let description = [{
    result[n, o, c*prod(kernel) + k] = input[n, c, position(o)*stride - pad + k*dilation],
    0 outside. With `channels_last` the channels come last, in the input as in
    the patch: result[n, o, k*C + c] = input[n, position(o)*stride - pad + k*dilation, c].
    Made by tenon-lower-conv; fused into the matmul that follows, unless the
    input is computed as well.
  }];
  let arguments = (ins Tenon_NumberTensor:$input, DenseI64ArrayAttr:$kernel,
                       DenseI64ArrayAttr:$strides, DenseI64ArrayAttr:$pads,
                       DenseI64ArrayAttr:$dilations, UnitAttr:$channels_last);
  let results = (outs Tenon_NumberTensor:$result);
  let assemblyFormat = "$input `kernel` $kernel `strides` $strides `pads` $pads "
                       "`dilations` $dilations (`channels_last` $channels_last^)? "
                       "attr-dict `:` type($input)";
}

def Tenon_DepthwiseOp : Tenon_PureOp<"depthwise",
    [AllElementTypesMatch<["input", "weight"]>, Tenon_FusesAs<"Anchor", "", "true">]> {
  let summary = "A convolution of each channel alone, channels last: [N, out positions, C]";
  let description = [{
    result[n, o, c] = sum over k of input[n, position(o)*stride - pad + k*dilation, c] * weight[k, c],
    without the k that lie outside. The input is [N, spatial..., C], the weight
    [prod(kernel), C]. A kernel of its own; made by tenon-lower-conv.

    A weight of so many times more rows, g, is of groups of g channels, each of
    which meets all inputs of its group:
    sum over k and j < g of input[n, position, c - c mod g + j] * weight[k*g + j, c].
  }];
  let arguments = (ins Tenon_FloatTensor:$input, Tenon_FloatTensor:$weight,
                       DenseI64ArrayAttr:$kernel, DenseI64ArrayAttr:$strides,
                       DenseI64ArrayAttr:$pads, DenseI64ArrayAttr:$dilations);
  let results = (outs Tenon_FloatTensor:$result);
  let assemblyFormat = "$input `,` $weight `kernel` $kernel `strides` $strides `pads` $pads "
                       "`dilations` $dilations attr-dict `:` type($input) `,` type($weight)";
  let extraClassDeclaration = [{
    /// Inputs that an output channel meets.
    int64_t getGroupSize();
  }];
}

def Tenon_PackBOp : Tenon_PureOp<"pack_b", [Tenon_FusesAs<"Loop">]> {
  let summary = "A matmul's right operand in panels of 32 columns: [..., ceil(N/32), K, 32]";
  let description = [{
    result[..., p, k, n] = input[..., k, 32 p + n], 0 past the last column; with
    `transposed` the input is [..., N, K]. One layout serves every instruction
    set. Of a constant it costs nothing at run time: the weight is stored so.
  }];
  let arguments = (ins Tenon_FloatTensor:$input, UnitAttr:$transposed);
  let results = (outs Tenon_FloatTensor:$result); // always f32
  let assemblyFormat = "$input (`transposed` $transposed^)? attr-dict `:` type($input)";
}

def Tenon_StorePagesOp : Tenon_PureOp<"store_pages",
    [Tenon_FusesAs<"Own", "", "operand == 0">]> {
  let summary = "Rows of a cache, [..., T, size], in pages of 32: [..., ceil(T/32), page]";
  let description = [{
    A page holds 32 rows, [32, size], or with `transposed` as a transposed
    tenon.pack_b has them, [size, 32]. Rows of other sizes than multiples of 32
    have numbers behind them up to the next one, which mean nothing. Its numbers
    are of type `element`: floats are rounded to it. Of i8 they are codes, the number nearest to row / scale;
    the 32 scales, each the largest magnitude of its row by 127, stand before
    them in f32.

    Where the dim expression `carried` is 1 the rows are those of `input`, a
    tenon.append. Where it is 0 the memory of that holds pages, and is the
    result's: the rows of `fresh` are put at `rows` as a tenon.append of the last
    dim but one does it, all others stay as they are. tenon-form-kernels makes
    it where attention alone reads a state.

    Where the dim expression `table` is not 0 it is the address of an i32 for each
    sequence of a state and page of it, and the memory a pool, [pages, ..., page]:
    which of its pages that is. Before it, the first one last, stand as many i32
    as the first dim counts: which sequence that is.
  }];
  let arguments = (ins Tenon_FloatTensor:$input, Tenon_FloatTensor:$fresh,
                       Tenon_IndexTensor:$rows, TypeAttr:$element, StrAttr:$carried,
                       StrAttr:$table, UnitAttr:$transposed);
  let results = (outs Tenon_NumberTensor:$result);
  let assemblyFormat = "$input `,` $fresh `at` $rows `as` $element `carried` $carried "
                       "`table` $table (`transposed` $transposed^)? attr-dict "
                       "`:` type($input) `,` type($fresh) `,` type($rows)";
  let hasVerifier = 1; // element types
}

def Tenon_LoadPagesOp : Tenon_PureOp<"load_pages"> {
  let summary = "The rows of tenon.store_pages as the f32 panels that a product reads";
  let description = [{
    Of transposed pages each is a panel of 32 columns, [..., pages, size, 32];
    of others a panel is 32 numbers of all rows, [..., ceil(size/32), length, 32].
    A product opens the numbers in its registers, and reads nothing behind
    `length` rows. `table` is that of tenon.store_pages.

    `ends` says of each sequence (the first dim) how many rows it has, at most
    `length`: an attention reads no others. To what computes the scores its row r
    is column r + length - end: shorter sequences are those that have padding on
    the left, which is not there.
  }];
  let arguments = (ins Tenon_NumberTensor:$pages, Optional<Tenon_IndexTensor>:$ends,
                       I64Attr:$size, StrAttr:$length, StrAttr:$table,
                       UnitAttr:$transposed);
  let results = (outs Tenon_FloatTensor:$result);
  let assemblyFormat = "$pages (`ends` $ends^)? `size` $size `length` $length `table` $table "
                       "(`transposed` $transposed^)? attr-dict `:` type($pages) (`,` type($ends)^)?";
  let hasVerifier = 1; // element type, and the length's text
}

def Tenon_StoredRowsOp : Tenon_PureOp<"stored_rows"> {
  let summary = "How many rows each of `size` sequences has in a state: i64 [size]";
  let description = [{
    Where the dim expression `table` is not 0 it is the address of an i32 for
    each sequence; where it is, all have `rows`, the most of any. What the
    graph counts from the length of a past counts from these, where a run may
    take sequences of unequal lengths (tenon-find-state, tenon-form-kernels).
  }];
  let arguments = (ins StrAttr:$rows, StrAttr:$size, StrAttr:$table);
  let results = (outs Tenon_IndexTensor:$result);
  let assemblyFormat = "$rows `of` $size `table` $table attr-dict";
  let hasVerifier = 1; // the texts
}

def Tenon_CodeTensor : Tenon_TensorOf<[I8, UI8, I<4>, UI<4>, I<2>, UI<2>], "integers of at most 8 bits">;
def Tenon_DequantizeOp : Tenon_PureOp<"dequantize", [Tenon_FusionCost<4>]> {
  let summary = "(codes - zero) * scale, in f32 (ONNX DequantizeLinear, MatMulNBits)";
  let description = [{
    Along dim i an element of `scale`, and of `zero`, serves `blocks[i]`
    neighbouring codes. The result is of type `to`, whose rounding is the last
    step.

    Of constants in front of a matmul it is a weight's format
    (tenon-pack-matmul); anywhere else it is computed where it is used.
  }];
  let arguments = (ins Tenon_CodeTensor:$codes, Tenon_FloatTensor:$scale,
                       Optional<Tenon_Tensor>:$zero, DenseI64ArrayAttr:$blocks, TypeAttr:$to);
  let results = (outs Tenon_FloatTensor:$result);
  let assemblyFormat = "$codes `scale` $scale (`zero` $zero^)? `blocks` $blocks `to` $to attr-dict "
                       "`:` type($codes) `,` type($scale) (`zero` type($zero)^)?";
  let hasVerifier = 1; // element types
}

def Tenon_PackWeightOp : Tenon_PureOp<"pack_weight", [AttrSizedOperandSegments]> {
  let summary = "A constant matrix of `k` rows and `n` columns in panels of a format: bytes [ceil(n/32), panel]";
  let description = [{
    A layout of the weights' file, not work: `codes`, `scale` and `zero` are
    constants. Codes with a sign are stored without it, but for the format i8,
    where those without a sign are stored 128 lower. Floats are rounded to the
    format's.
  }];
  let arguments = (ins Tenon_Tensor:$codes, Tenon_MatrixAttr:$codesAt,
                       Optional<Tenon_Tensor>:$scale, OptionalAttr<Tenon_MatrixAttr>:$scaleAt,
                       Optional<Tenon_Tensor>:$zero, OptionalAttr<Tenon_MatrixAttr>:$zeroAt,
                       Tenon_FormatAttr:$format, I64Attr:$k, I64Attr:$n);
  let results = (outs Tenon_ByteTensor:$result);
  let assemblyFormat = "$codes $codesAt (`scale` $scale^ $scaleAt)? (`zero` $zero^ $zeroAt)? "
                       "`as` $format `rows` $k `columns` $n attr-dict "
                       "`:` type($codes) (`scale` type($scale)^)? (`zero` type($zero)^)?";
  let hasVerifier = 1; // constants of the format's types, large enough
}

def Tenon_PackedMatMulOp : Tenon_PureOp<"packed_matmul", [Tenon_FusesAs<"Anchor">]> {
  let summary = "lhs [..., M, K] times a right operand of `n` columns in panels";
  let description = [{
    The panels are tenon.pack_b's, or single columns, [..., N, L, 1], of L numbers,
    K or more (tenon-lay-columns), or tenon.pack_weight's in a `format`; of the
    formats i8 and `bf16 by bf16` also what the model computes, of the latter as bf16. The
    result is [..., M, n]; the dims before M and before the panels broadcast.
    With the format i8, lhs is ui8 and the result the sums in i32, which wrap.

    With `winograd` lhs is f32 patches of 3x3 pixels, [batch, positions, 9 C], with their
    channels last. Where these lie one beside the other `packed` is 16 matrices of C rows: the filters
    g as G g G^T of Winograd's F(2x2, 3x3). The result is that of the filters
    themselves but for its rounding. Two by two positions, counted from each
    image's first row and column, share what is computed of the 4x4 pixels d that
    they meet: A^T [(G g G^T) . (B^T d B)] A, with

    ```text
          1  0  0            1  0 -1  0           1  1  1  0
    G  =  ½  ½  ½     B^T =  0  1  1  0    A^T =  0  1 -1 -1
          ½ -½  ½            0 -1  1  0
          0  0  1            0  1  0 -1
    ```

    The pixels that a dilation of d leaves between two taps belong to other squares:
    positions lie d apart in a square, and squares are counted in blocks of 2d rows,
    or columns.

    In steps of 2 `packed` is one matrix of 25 C rows, and two by two positions share
    what is computed of the 5x5 pixels that they meet. Along one dim the two are
    (x0 - x2) w0 + x1 w1 + x2 (w0 + w2) and x2 (w0 + w2) + x3 w1 + (x4 - x2) w2, five
    products in place of six, of which each has two alone; so nine sums of 4 C, 2 C or
    C terms are added up to four positions. Their rows lie one behind the other, sum
    by sum: along each dim the first position's own two, the shared one, the second's
    two.

    Where `unless`, a dim expression that is 0 or 1, is 1, the filters themselves are
    faster: `direct` is their panels. tenon-choose-products makes two kernels of such
    a product's.

    Made by tenon-winograd.
  }];
  let arguments = (ins Tenon_NumberTensor:$lhs, Tenon_NumberTensor:$packed, StrAttr:$n,
                       OptionalAttr<Tenon_FormatAttr>:$format, UnitAttr:$winograd,
                       Optional<Tenon_NumberTensor>:$direct, OptionalAttr<StrAttr>:$unless);
  let results = (outs Tenon_NumberTensor:$result); // lhs' element type, or i32
  let builders = [OpBuilder<(ins "::mlir::Value":$lhs, "::mlir::Value":$packed,
                                 "::mlir::StringAttr":$n,
                                 CArg<"::tenon::FormatAttr", "{}">:$format),
                  [{ build($_builder, $_state, lhs, packed, n, format, /*winograd=*/false,
                           /*direct=*/::mlir::Value(), /*unless=*/::mlir::StringAttr()); }]>];
  let assemblyFormat = "$lhs `,` $packed `columns` $n (`as` $format^)? (`winograd` $winograd^)? "
                       "(`unless` $unless^ `direct` $direct)? "
                       "attr-dict `:` type($lhs) `,` type($packed) (`,` type($direct)^)?";
  let hasVerifier = 1; // element types, and what winograd's patches are
}

#endif // TENON_PACKED_TD
