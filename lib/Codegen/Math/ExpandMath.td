//===- ExpandMath.td - the pass tenon-expand-math ----------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_EXPANDMATH_TD
#define TENON_CODEGEN_EXPANDMATH_TD

include "mlir/Pass/PassBase.td"

def ExpandMathPass : Pass<"tenon-expand-math"> {
  let summary = "Rewrite transcendental math ops as polynomials";
  let description = [{
    Replaces exp, log, erf, tanh, sin and their kin on f16, bf16, f32 and f64
    scalars and vectors by arith, math.fma and other operations that are single
    instructions, so that an artifact calls no libm. The operations do not
    depend on the vector length: a value has the same bits in any lane and in a
    scalar tail. Error bounds: docs/Math.md.
  }];
  let dependentDialects = ["mlir::arith::ArithDialect",
                           "mlir::math::MathDialect",
                           "mlir::vector::VectorDialect"];
}

#endif // TENON_CODEGEN_EXPANDMATH_TD
