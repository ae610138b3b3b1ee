//===- TenonFormat.td - formats of weights -----------------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_FORMAT_TD
#define TENON_FORMAT_TD

include "dialects/Tenon/IR/TenonDialect.td"

def Tenon_FormatAttr : Tenon_Attr<"Format", "format"> {
  let summary = "What a weight's panels of 32 columns hold, other than f32";
  let description = [{
    `#tenon.format<ui4 block 32 scale f16 zero ui8>`: codes of 2, 4 or
    8 bits, and for each block of so many rows (none: the whole column) a scale
    and a zero point per column. A weight is `(code - zero) * scale`; without a
    zero point that is the middle of the codes. `#tenon.format<f16>` and `<bf16>`:
    the numbers as they are. `#tenon.format<i8>`: integers, of which products are
    sums in i32. `#tenon.format<i8 block 16>`, or 8, of whole blocks: behind the
    panel's groups, filled up to 64 bytes, a byte for each block with a bit for each
    eight columns. It is set where a block's first two rows of all fours times any
    bytes without a sign, or the other two, have sums that i16 does not hold.
    `#tenon.format<i8 block 4>`, of whole groups: there are lists, of each 1,024 rows
    four, one for each eight columns. A list has 8 i32, what the columns' sums begin
    with, 3 bytes and an empty one, and the numbers of its groups, a byte each, in the
    order in which they are multiplied: so many times four, three and two whose sums
    i16 holds, and the others one by one. Levels with dot products read none of it.

    A panel is its blocks one after the other:

    ```text
    block    scales [32] | zero points [32] | groups
    group    i8                [32][4 rows], a dword per column
             ui2, ui4          [32] dwords of 16 or 8 rows, the first lowest
             bf16              [32][2 rows]
             ui8, f16          [32], one row; ui8 by i8: [32][4 rows]
    ```

    The last block has all its groups, the last group all its rows.

    `by` says what the rows of a product's left operand are: of f32 those of
    `tenon.round_to bf16` or f16, but that a kernel of attention rounds its own;
    with i8 the product makes them integers.
  }];
  let parameters = (ins "::mlir::Type":$element, DefaultValuedParameter<"int64_t", "0">:$block,
                        OptionalParameter<"::mlir::Type">:$scale,
                        OptionalParameter<"::mlir::Type">:$zero,
                        OptionalParameter<"::mlir::Type">:$rows);
  let assemblyFormat = "`<` $element (`block` $block^)? (`scale` $scale^)? (`zero` $zero^)? "
                       "(`by` $rows^)? `>`";
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Are products of it exact sums of integers?
    bool isInteger() const { return getElement().isSignlessInteger(); }
    /// Does a product turn the rows of its left operand into integers?
    bool quantizesRows() const { return getRows() && getRows().isInteger(8); }
    unsigned getBits() const { return getElement().getIntOrFloatBitWidth(); }
    int64_t rowsOfGroup() const;
    int64_t bytesOfGroup() const;
    int64_t bytesOfScales() const;
    /// Scales and zero points.
    int64_t bytesOfHeader() const;
    /// Of a matrix of K rows.
    int64_t rowsOfBlock(int64_t K) const;
    int64_t bytesOfBlock(int64_t K) const;
    /// Do lists say how its integers are added?
    bool hasLists() const { return isInteger() && getBlock() == rowsOfGroup(); }
    int64_t bytesOfPanel(int64_t K) const;
  }];
}

def Tenon_MatrixAttr : Tenon_Attr<"Matrix", "matrix"> {
  let summary = "Where a matrix lies in the elements of a constant";
  let description = [{
    `#tenon.matrix<ui4 at 0, 1, 576>`: element (k, n) is number 0 + k + 576 n
    of the constant's elements read as `ui4`; of bytes those of fewer bits lie
    the lowest bits first.
  }];
  let parameters = (ins "::mlir::Type":$element, "int64_t":$offset, "int64_t":$strideK,
                        "int64_t":$strideN);
  let assemblyFormat = "`<` $element `at` $offset `,` $strideK `,` $strideN `>`";
}

#endif // TENON_FORMAT_TD
