//===- PackMatMul.td - the pass tenon-pack-matmul ----------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_PACKMATMUL_TD
#define TENON_CODEGEN_PACKMATMUL_TD

include "mlir/Pass/PassBase.td"

def PackMatMulPass : Pass<"tenon-pack-matmul"> {
  let summary = "Give matmul's right operand the packed layout";
  let description = [{
    matmul(a, b) ==> packed_matmul(a, pack_b(b)) for float element types but
    f64. pack_b of a constant is a layout of the weights' file; of anything
    else it is a kernel of its own.

    A bias whose numbers are integers times the scale of a product of integers is
    added to these.

    With `precision` bf16 or f16 a constant of floats is rounded to that, and so
    are the rows that it multiplies, by a tenon.round_to behind what computes them,
    one for all products; with int8-act rows that codes multiply
    become integers (#tenon.format, `by`). With `attention-in-bf16` a precision of
    bf16 is that of attention's products as well, but for keys and values of a
    past. Products of the nodes in `keep-f32` stay as they are.

    A constant of 16 bits keeps them, one that is dequantised its codes: its panels have the format
    that the dequantisation states, where there is one; a cast of bytes times a scale
    for each column says as much. A product of integers of
    8 bits by a constant becomes one in the format i8, and what the zero points
    take off its sums. With `attention-of-codes` so do products of queries by keys
    and of probabilities by values that are both dequantised.

    The weight of a tenon.recurrent has panels, too: of constant codes of 8 bits
    those of the format i8, with the sums of its columns. A layer of floats whose weight
    is dequantised has a constant of what that gives.

    A table that is gathered from and multiplied with (a tied embedding) is stored
    once: the gathers read its panels, as f32 or in their format, of which the
    scales alone lie beside them; two constants of equal bytes count as one. Of a
    large constant table that is cast or dequantised the rows that are gathered
    are, not all.

    Codes of 8 bits that are dequantised, moved, and quantised by the same scale
    and zero point are moved as they are. With `inverses` a quantisation's other
    quotients by a number are multiplications (tenon.quotient). With `tables` codes
    that are computed of other codes of 8 bits and of numbers alone, by more than a
    look-up costs, are looked up in a table of all 256 (tenon.look_up).

    ```mlir
    %w = tenon.dequantize %codes scale %s blocks [1, 32] to f32 : ...
    %0 = tenon.matmul %x, %w transposed : ...
    // becomes
    %p = tenon.pack_weight %codes <ui4 at 0, 1, 576> scale %s <f32 at 0, 1, 18>
           as <ui4 block 32 scale f16> rows 576 columns 960 : ...
    %0 = tenon.packed_matmul %x, %p columns "960" as <ui4 block 32 scale f16> : ...
    ```
  }];
  let options = [
    Option<"precision", "precision", "std::string", [{"f32"}],
           "What products by constants are computed in: f32, bf16, f16 or int8-act">,
    Option<"attentionOfCodes", "attention-of-codes", "bool", "false",
           "Products of what an attention dequantises are of its codes">,
    Option<"attentionInBF16", "attention-in-bf16", "bool", "false",
           "With a precision of bf16 attention's products are in bf16, too">,
    Option<"inverses", "inverses", "bool", "false",
           "Quantisations multiply by the inverse of a scale that is known">,
    Option<"tables", "tables", "bool", "false",
           "Functions of one code of 8 bits are looked up">,
    ListOption<"keepF32", "keep-f32", "std::string",
               "Nodes, or regular expressions that match whole names, whose products stay as they are">
  ];
  let dependentDialects = ["::tenon::TenonDialect"];
}

#endif // TENON_CODEGEN_PACKMATMUL_TD
