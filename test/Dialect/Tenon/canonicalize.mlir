// RUN: tenon-opt %s --canonicalize | FileCheck %s

!x = tensor<?x?x8x64xf32, #tenon.dims<"batch", "seq", "8", "64">>

// CHECK-LABEL: @reshapeOfReshape
func.func @reshapeOfReshape(%x: !x) -> tensor<?x?x512xf32, #tenon.dims<"batch", "seq", "512">> {
  // CHECK-NEXT: %[[R:.*]] = tenon.reshape %arg0 to <"batch", "seq", "512">
  // CHECK-NEXT: return %[[R]]
  %0 = tenon.reshape %x to <"512*batch*seq"> : !x
  %1 = tenon.reshape %0 to <"batch", "seq", "512"> : tensor<?xf32, #tenon.dims<"512*batch*seq">>
  return %1 : tensor<?x?x512xf32, #tenon.dims<"batch", "seq", "512">>
}

// CHECK-LABEL: @reshapeThereAndBack
func.func @reshapeThereAndBack(%x: !x) -> !x {
  // CHECK-NEXT: return %arg0
  %0 = tenon.reshape %x to <"512*batch*seq"> : !x
  %1 = tenon.reshape %0 to <"batch", "seq", "8", "64"> : tensor<?xf32, #tenon.dims<"512*batch*seq">>
  return %1 : !x
}

// Other names may be other sizes.
// CHECK-LABEL: @keepsReshapeToOtherNames
func.func @keepsReshapeToOtherNames(%x: tensor<?xf32, #tenon.dims<"a">>) -> tensor<?xf32, #tenon.dims<"b">> {
  // CHECK-NEXT: tenon.reshape
  %0 = tenon.reshape %x to <"b"> : tensor<?xf32, #tenon.dims<"a">>
  return %0 : tensor<?xf32, #tenon.dims<"b">>
}

// CHECK-LABEL: @reshapeOfConstant
func.func @reshapeOfConstant() -> tensor<2x2xi64> {
  // CHECK-NEXT: tenon.constant dense<{{\[}}[1, 2], [3, 4]]>
  %0 = tenon.constant dense<[1, 2, 3, 4]> : tensor<4xi64>
  %1 = tenon.reshape %0 to <"2", "2"> : tensor<4xi64>
  return %1 : tensor<2x2xi64>
}

// CHECK-LABEL: @transposeOfTranspose
func.func @transposeOfTranspose(%x: tensor<2x3x4x5xf32>) -> tensor<4x5x3x2xf32> {
  // CHECK-NEXT: tenon.transpose %arg0 [2, 3, 1, 0]
  // CHECK-NEXT: return
  %0 = tenon.transpose %x [1, 0, 2, 3] : tensor<2x3x4x5xf32>
  %1 = tenon.transpose %0 [2, 3, 0, 1] : tensor<3x2x4x5xf32>
  return %1 : tensor<4x5x3x2xf32>
}

// CHECK-LABEL: @transposeThereAndBack
func.func @transposeThereAndBack(%x: !x) -> !x {
  // CHECK-NEXT: return %arg0
  %0 = tenon.transpose %x [0, 2, 1, 3] : !x
  %1 = tenon.transpose %0 [0, 2, 1, 3] : tensor<?x8x?x64xf32, #tenon.dims<"batch", "8", "seq", "64">>
  return %1 : !x
}

// CHECK-LABEL: @transposeOfUnitDims
func.func @transposeOfUnitDims(%x: tensor<1x4x1x5xf32>) -> tensor<4x1x1x5xf32> {
  // CHECK-NEXT: tenon.reshape %arg0 to <"4", "1", "1", "5">
  %0 = tenon.transpose %x [1, 0, 2, 3] : tensor<1x4x1x5xf32>
  return %0 : tensor<4x1x1x5xf32>
}

// A dim that may be 1 at run time moves elements when it is not.
// CHECK-LABEL: @keepsTransposeOfUnknownDims
func.func @keepsTransposeOfUnknownDims(%x: tensor<?x4xf32, #tenon.dims<"n", "4">>) -> tensor<4x?xf32, #tenon.dims<"4", "n">> {
  // CHECK-NEXT: tenon.transpose
  %0 = tenon.transpose %x [1, 0] : tensor<?x4xf32, #tenon.dims<"n", "4">>
  return %0 : tensor<4x?xf32, #tenon.dims<"4", "n">>
}

// CHECK-LABEL: @identities
func.func @identities(%x: !x) -> (!x, !x, !x, !x, !x) {
  // CHECK-NEXT: return %arg0, %arg0, %arg0, %arg0, %arg0
  %0 = tenon.transpose %x [0, 1, 2, 3] : !x
  %1 = tenon.broadcast_to %x to <"batch", "seq", "8", "64"> : !x
  %2 = tenon.slice %x from <"0", "0", "0", "0"> step [1, 1, 1, 1] to <"batch", "seq", "8", "64"> : !x
  %3 = tenon.concat %x axis 1 : !x
  %4 = tenon.cast %x to f32 : !x
  return %0, %1, %2, %3, %4 : !x, !x, !x, !x, !x
}

// Reversed is not all of it.
// CHECK-LABEL: @keepsReversal
func.func @keepsReversal(%x: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-NEXT: tenon.slice
  %0 = tenon.slice %x from <"3"> step [-1] to <"4"> : tensor<4xf32>
  return %0 : tensor<4xf32>
}

// CHECK-LABEL: @matmulAbsorbsTransposes
func.func @matmulAbsorbsTransposes(%x: tensor<2x3x4xf32>, %w: tensor<5x3xf32>) -> tensor<2x4x5xf32> {
  // CHECK-NEXT: tenon.matmul %arg0 transposed, %arg1 transposed
  // CHECK-NEXT: return
  %0 = tenon.transpose %x [0, 2, 1] : tensor<2x3x4xf32>
  %1 = tenon.transpose %w [1, 0] : tensor<5x3xf32>
  %2 = tenon.matmul %0, %1 : tensor<2x4x3xf32>, tensor<3x5xf32>
  return %2 : tensor<2x4x5xf32>
}

// CHECK-LABEL: @matmulUndoesTranspose
func.func @matmulUndoesTranspose(%x: tensor<4x3xf32>, %w: tensor<3x5xf32>) -> tensor<4x5xf32> {
  // CHECK-NEXT: tenon.matmul %arg0, %arg1 :
  %0 = tenon.transpose %w [1, 0] : tensor<3x5xf32>
  %1 = tenon.matmul %x, %0 transposed : tensor<4x3xf32>, tensor<5x3xf32>
  return %1 : tensor<4x5xf32>
}

// CHECK-LABEL: @matmulKeepsOtherTransposes
func.func @matmulKeepsOtherTransposes(%x: tensor<3x2x4xf32>, %w: tensor<4x5xf32>) -> tensor<2x3x5xf32> {
  // CHECK-NEXT: tenon.transpose %arg0 [1, 0, 2]
  %0 = tenon.transpose %x [1, 0, 2] : tensor<3x2x4xf32>
  %1 = tenon.matmul %0, %w : tensor<2x3x4xf32>, tensor<4x5xf32>
  return %1 : tensor<2x3x5xf32>
}

// CHECK-LABEL: @notNot
func.func @notNot(%x: tensor<4xi1>) -> tensor<4xi1> {
  // CHECK-NEXT: return %arg0
  %0 = tenon.not %x : tensor<4xi1>
  %1 = tenon.not %0 : tensor<4xi1>
  return %1 : tensor<4xi1>
}

// CHECK-LABEL: @selects
func.func @selects(%c: tensor<4xi1>, %x: tensor<4xf32>, %y: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  // CHECK-NEXT: return %arg1, %arg2, %arg1
  %true = tenon.constant dense<true> : tensor<i1>
  %false = tenon.constant dense<false> : tensor<4xi1>
  %0 = tenon.select %true, %x, %y : tensor<i1>, tensor<4xf32>, tensor<4xf32>
  %1 = tenon.select %false, %x, %y : tensor<4xi1>, tensor<4xf32>, tensor<4xf32>
  %2 = tenon.select %c, %x, %x : tensor<4xi1>, tensor<4xf32>, tensor<4xf32>
  return %0, %1, %2 : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}

// The condition may be what makes the result larger.
// CHECK-LABEL: @keepsBroadcastingSelect
func.func @keepsBroadcastingSelect(%x: tensor<1xf32>, %y: tensor<1xf32>) -> tensor<4xf32> {
  // CHECK: tenon.select
  %true = tenon.constant dense<true> : tensor<4xi1>
  %0 = tenon.select %true, %x, %y : tensor<4xi1>, tensor<1xf32>, tensor<1xf32>
  return %0 : tensor<4xf32>
}

// CHECK-LABEL: @dimsWithoutSymbols
func.func @dimsWithoutSymbols() -> (tensor<2xi64>, tensor<i32>) {
  // CHECK-DAG: tenon.constant dense<[2, -3]> : tensor<2xi64>
  // CHECK-DAG: tenon.constant dense<7> : tensor<i32>
  %0 = tenon.dims_value <"2", "-3"> : i64
  %1 = tenon.dims_value scalar <"7"> : i32
  return %0, %1 : tensor<2xi64>, tensor<i32>
}

// K's transpose between two reshapes that join batch and heads, then scaled.
// CHECK-LABEL: @matmulOfJoinedHeads
func.func @matmulOfJoinedHeads(%q: tensor<?x4x?x16xf32, #tenon.dims<"b", "4", "s", "16">>,
                               %k: tensor<?x4x?x16xf32, #tenon.dims<"b", "4", "s", "16">>)
    -> tensor<?x4x?x?xf32, #tenon.dims<"b", "4", "s", "s">> {
  // CHECK: %[[K:.*]] = tenon.mul %arg1, %{{.*}} : tensor<?x4x?x16xf32, #tenon.dims<"b", "4", "s", "16">>, tensor<f32>
  // CHECK-NEXT: tenon.matmul %arg0, %[[K]] transposed
  // CHECK-NEXT: return
  %scale = tenon.constant dense<0.3> : tensor<f32>
  %0 = tenon.reshape %k to <"4*b", "s", "16"> : tensor<?x4x?x16xf32, #tenon.dims<"b", "4", "s", "16">>
  %1 = tenon.transpose %0 [0, 2, 1] : tensor<?x?x16xf32, #tenon.dims<"4*b", "s", "16">>
  %2 = tenon.reshape %1 to <"b", "4", "16", "s"> : tensor<?x16x?xf32, #tenon.dims<"4*b", "16", "s">>
  %3 = tenon.mul %2, %scale : tensor<?x4x16x?xf32, #tenon.dims<"b", "4", "16", "s">>, tensor<f32>
  %4 = tenon.matmul %q, %3 : tensor<?x4x?x16xf32, #tenon.dims<"b", "4", "s", "16">>, tensor<?x4x16x?xf32, #tenon.dims<"b", "4", "16", "s">>
  return %4 : tensor<?x4x?x?xf32, #tenon.dims<"b", "4", "s", "s">>
}

// Other operands than scalars would have to be transposed as well.
// CHECK-LABEL: @matmulKeepsTransposedSum
func.func @matmulKeepsTransposedSum(%x: tensor<2x3xf32>, %k: tensor<4x3xf32>, %b: tensor<4xf32>) -> tensor<2x4xf32> {
  // CHECK: tenon.transpose
  %0 = tenon.transpose %k [1, 0] : tensor<4x3xf32>
  %1 = tenon.add %0, %b : tensor<3x4xf32>, tensor<4xf32>
  %2 = tenon.matmul %x, %1 : tensor<2x3xf32>, tensor<3x4xf32>
  return %2 : tensor<2x4xf32>
}

// CHECK-LABEL: @keepsReshapeOfSwappedDims
func.func @keepsReshapeOfSwappedDims(%x: tensor<2x3x4xf32>) -> tensor<2x12xf32> {
  // CHECK-NEXT: tenon.transpose
  // CHECK-NEXT: tenon.reshape
  %0 = tenon.transpose %x [0, 2, 1] : tensor<2x3x4xf32>
  %1 = tenon.reshape %0 to <"2", "12"> : tensor<2x4x3xf32>
  return %1 : tensor<2x12xf32>
}

// CHECK-LABEL: @logicWithConstants
func.func @logicWithConstants(%x: tensor<4xi1>) -> (tensor<4xi1>, tensor<4xi1>, tensor<4xi1>, tensor<4xi1>) {
  // CHECK-DAG: %[[F:.*]] = tenon.constant dense<false> : tensor<4xi1>
  // CHECK-DAG: %[[T:.*]] = tenon.constant dense<true> : tensor<4xi1>
  // CHECK: return %arg0, %[[F]], %arg0, %[[T]]
  %true = tenon.constant dense<true> : tensor<4xi1>
  %false = tenon.constant dense<false> : tensor<4xi1>
  %0 = tenon.and %true, %x : tensor<4xi1>, tensor<4xi1>
  %1 = tenon.and %x, %false : tensor<4xi1>, tensor<4xi1>
  %2 = tenon.or %x, %false : tensor<4xi1>, tensor<4xi1>
  %3 = tenon.or %true, %x : tensor<4xi1>, tensor<4xi1>
  return %0, %1, %2, %3 : tensor<4xi1>, tensor<4xi1>, tensor<4xi1>, tensor<4xi1>
}

// CHECK-LABEL: @keepsBroadcastingAnd
func.func @keepsBroadcastingAnd(%x: tensor<1xi1>) -> tensor<4xi1> {
  // CHECK: tenon.and
  %true = tenon.constant dense<true> : tensor<4xi1>
  %0 = tenon.and %true, %x : tensor<4xi1>, tensor<1xi1>
  return %0 : tensor<4xi1>
}

// CHECK-LABEL: @packOfUnpack
func.func @packOfUnpack(%x: tensor<4xui8>) -> tensor<4xui8> {
  // CHECK-NEXT: return %arg0
  %0 = tenon.unpack %x size "8" to i4 : tensor<4xui8>
  %1 = tenon.pack %0 : tensor<8xi4>
  return %1 : tensor<4xui8>
}

// What fills up the last byte need not be zeros.
// CHECK-LABEL: @keepsPackOfOddUnpack
func.func @keepsPackOfOddUnpack(%x: tensor<4xui8>) -> tensor<4xui8> {
  // CHECK: tenon.pack
  %0 = tenon.unpack %x size "7" to i4 : tensor<4xui8>
  %1 = tenon.pack %0 : tensor<7xi4>
  return %1 : tensor<4xui8>
}

// CHECK-LABEL: @bitcastToItself
func.func @bitcastToItself(%x: tensor<4xi4>) -> tensor<4xi4> {
  // CHECK-NEXT: return %arg0
  %0 = tenon.bitcast %x to i4 : tensor<4xi4>
  return %0 : tensor<4xi4>
}
