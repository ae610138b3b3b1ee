// RUN: tenon-opt %s --tenon-pack-matmul=precision=bf16 | FileCheck %s --check-prefixes=CHECK,BF16
// RUN: tenon-opt %s --tenon-pack-matmul="precision=f16 keep-f32=a.+,plain" 2>&1 | FileCheck %s --check-prefixes=CHECK,KEPT
// RUN: tenon-opt %s --tenon-pack-matmul=precision=int8-act | FileCheck %s --check-prefixes=CHECK,ACT
// RUN: not tenon-opt %s --tenon-pack-matmul=precision=i4 2>&1 | FileCheck %s --check-prefix=WRONG
// WRONG: expected a precision of f32, bf16, f16 or int8-act, found i4

// KEPT: warning: no product is of a node 'plain' that is to be kept
// BF16: module attributes {tenon.precision = "bf16"}
// ACT: module attributes {tenon.precision = "int8-act"}

// A constant of floats is rounded; where it is no constant both operands stay.
// CHECK-LABEL: @floats
// BF16: %[[R:.+]] = tenon.round_to %arg0 to bf16
// BF16: %[[P:.+]] = tenon.pack_weight %{{.+}} <f32 at 0, 3, 1> as <bf16 by bf16> rows 4 columns 3
// BF16: tenon.packed_matmul %[[R]], %[[P]] columns "3" as <bf16 by bf16>
// KEPT: tenon.pack_weight %{{.+}} <f32 at 0, 3, 1> as <f16 by f16> rows 4 columns 3
// ACT: tenon.pack_b
// CHECK: tenon.pack_b %arg1
func.func @floats(%x: tensor<2x4xf32>, %y: tensor<4x3xf32>) -> (tensor<2x3xf32>, tensor<2x3xf32>) {
  %w = tenon.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [10.0, 11.0, 12.0]]> : tensor<4x3xf32>
  %0 = tenon.matmul %x, %w : tensor<2x4xf32>, tensor<4x3xf32>
  %1 = tenon.matmul %x, %y : tensor<2x4xf32>, tensor<4x3xf32>
  return %0, %1 : tensor<2x3xf32>, tensor<2x3xf32>
}

// CHECK-LABEL: @named
// BF16: as <bf16 by bf16>
// KEPT: tenon.pack_b
// ACT: tenon.pack_b
func.func @named(%x: tensor<2x4xf32>) -> tensor<2x3xf32> {
  %w = tenon.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [10.0, 11.0, 12.0]]> : tensor<4x3xf32>
  %0 = tenon.matmul %x, %w : tensor<2x4xf32>, tensor<4x3xf32> loc("attn")
  return %0 : tensor<2x3xf32>
}

// Rows are rounded where they are computed, once for all products.
// CHECK-LABEL: @moved
// BF16: %[[X:.+]] = tenon.exp
// BF16: %[[R:.+]] = tenon.round_to %[[X]] to bf16
// BF16-NOT: round_to
// BF16: %[[T:.+]] = tenon.transpose %[[R]]
// BF16: tenon.packed_matmul %[[T]]
// BF16: tenon.packed_matmul %[[R]]
// KEPT: tenon.round_to %{{.+}} to f16
// ACT-NOT: round_to
func.func @moved(%x: tensor<4x4xf32>) -> (tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x4xf32>) {
  %w = tenon.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [10.0, 11.0, 12.0]]> : tensor<4x3xf32>
  %0 = tenon.exp %x : tensor<4x4xf32>
  %1 = tenon.transpose %0 [1, 0] : tensor<4x4xf32>
  %2 = tenon.matmul %1, %w : tensor<4x4xf32>, tensor<4x3xf32>
  %3 = tenon.matmul %0, %w : tensor<4x4xf32>, tensor<4x3xf32>
  return %2, %3, %0 : tensor<4x3xf32>, tensor<4x3xf32>, tensor<4x4xf32>
}

// Codes keep their format, and rows that they multiply become integers where
// their sums fit i32.
// CHECK-LABEL: @codes
// BF16: as <ui8 scale f16> rows 64
// ACT: %[[P:.+]] = tenon.pack_weight {{.+}} as <ui8 scale f16 by i8> rows 64 columns 3
// ACT: tenon.packed_matmul %arg0, %[[P]] columns "3" as <ui8 scale f16 by i8>
// CHECK: as <ui8 scale f16> rows 65537
func.func @codes(%x: tensor<2x64xf32>, %y: tensor<2x65537xf32>) -> (tensor<2x3xf32>, tensor<2x3xf32>) {
  %p = tenon.constant dense_resource<p> : tensor<64x3xi8>
  %q = tenon.constant dense_resource<q> : tensor<65537x3xi8>
  %s = tenon.constant dense<0.5> : tensor<1x1xf32>
  %v = tenon.dequantize %p scale %s blocks [64, 3] to f32 : tensor<64x3xi8>, tensor<1x1xf32>
  %w = tenon.dequantize %q scale %s blocks [65537, 3] to f32 : tensor<65537x3xi8>, tensor<1x1xf32>
  %0 = tenon.matmul %x, %v : tensor<2x64xf32>, tensor<64x3xf32>
  %1 = tenon.matmul %y, %w : tensor<2x65537xf32>, tensor<65537x3xf32>
  return %0, %1 : tensor<2x3xf32>, tensor<2x3xf32>
}

// A length that a run alone knows is checked, and no format's.
// CHECK-LABEL: @terms
// CHECK: tenon.pack_b
func.func @terms(%x: tensor<2x?xf32, #tenon.dims<"2", "k">>) -> tensor<2x3xf32> {
  %w = tenon.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]> : tensor<2x3xf32>
  %0 = tenon.matmul %x, %w : tensor<2x?xf32, #tenon.dims<"2", "k">>, tensor<2x3xf32>
  return %0 : tensor<2x3xf32>
}

// Codes of few bits less their zero points have to fit a byte with a sign.
// CHECK-LABEL: @zeros
// ACT: as <ui4 block 16 scale f16 zero ui8 by i8> rows 32
// CHECK: as <ui4 block 16 scale f16 zero ui8> rows 32
func.func @zeros(%x: tensor<2x32xf32>) -> (tensor<2x2xf32>, tensor<2x2xf32>) {
  %bytes = tenon.constant dense<7> : tensor<32xui8>
  %codes = tenon.unpack %bytes size "64" to ui4 : tensor<32xui8>
  %w = tenon.reshape %codes to <"2", "32"> : tensor<64xui4>
  %s = tenon.constant dense<0.5> : tensor<2x2xf32>
  %inside = tenon.constant dense<15> : tensor<2x2xui8>
  %outside = tenon.constant dense<200> : tensor<2x2xui8>
  %v0 = tenon.dequantize %w scale %s zero %inside blocks [1, 16] to f32 : tensor<2x32xui4>, tensor<2x2xf32> zero tensor<2x2xui8>
  %v1 = tenon.dequantize %w scale %s zero %outside blocks [1, 16] to f32 : tensor<2x32xui4>, tensor<2x2xf32> zero tensor<2x2xui8>
  %0 = tenon.matmul %x, %v0 transposed : tensor<2x32xf32>, tensor<2x32xf32>
  %1 = tenon.matmul %x, %v1 transposed : tensor<2x32xf32>, tensor<2x32xf32>
  return %0, %1 : tensor<2x2xf32>, tensor<2x2xf32>
}
