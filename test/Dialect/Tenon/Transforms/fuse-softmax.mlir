// RUN: tenon-opt %s --tenon-fuse-softmax --canonicalize | FileCheck %s

!x = tensor<?x8xf32, #tenon.dims<"n", "8">>
!m = tensor<?x8xi1, #tenon.dims<"n", "8">>
!s = tensor<?x1xf32, #tenon.dims<"n", "1">>

// CHECK-LABEL: @guard
func.func @guard(%x: !x) -> !x {
  // CHECK-NEXT: tenon.softmax %arg0 guard
  // CHECK-NEXT: return
  %zero = tenon.constant dense<0.0> : tensor<f32>
  %0 = tenon.softmax %x : !x
  %1 = tenon.is_nan %0 : !x
  %2 = tenon.select %1, %zero, %0 : !m, tensor<f32>, !x
  return %2 : !x
}

// CHECK-LABEL: @guardInverted
func.func @guardInverted(%x: !x) -> !x {
  // CHECK-NEXT: tenon.softmax %arg0 guard
  // CHECK-NEXT: return
  %zero = tenon.constant dense<0.0> : tensor<f32>
  %0 = tenon.softmax %x : !x
  %1 = tenon.is_nan %0 : !x
  %2 = tenon.not %1 : !m
  %3 = tenon.select %2, %0, %zero : !m, !x, tensor<f32>
  return %3 : !x
}

// CHECK-LABEL: @keepsOtherGuards
func.func @keepsOtherGuards(%x: !x, %y: !x) -> (!x, !x, !x) {
  // CHECK-NOT: guard
  %zero = tenon.constant dense<0.0> : tensor<f32>
  %one = tenon.constant dense<1.0> : tensor<f32>
  %0 = tenon.softmax %x : !x
  %1 = tenon.is_nan %0 : !x
  // Another value for NaN.
  %2 = tenon.select %1, %one, %0 : !m, tensor<f32>, !x
  // The logits' NaNs instead of the result's.
  %3 = tenon.is_nan %x : !x
  %4 = tenon.select %3, %zero, %0 : !m, tensor<f32>, !x
  // Another value kept.
  %5 = tenon.select %1, %zero, %y : !m, tensor<f32>, !x
  return %2, %4, %5 : !x, !x, !x
}

// CHECK-LABEL: @spelledOut
func.func @spelledOut(%x: !x) -> (!x, !x) {
  // CHECK-NEXT: tenon.softmax %arg0 :
  // CHECK-NEXT: tenon.softmax %arg0 :
  // CHECK-NEXT: return
  %0 = tenon.reduce max %x over [1] keepdims : !x
  %1 = tenon.sub %x, %0 : !x, !s
  %2 = tenon.exp %1 : !x
  %3 = tenon.reduce sum %2 over [1] keepdims : !x
  %4 = tenon.div %2, %3 : !x, !s
  %5 = tenon.reciprocal %3 : !s
  %6 = tenon.mul %5, %2 : !s, !x
  return %4, %6 : !x, !x
}

// Without the maximum it overflows, over another axis it is another function.
// CHECK-LABEL: @keepsOtherSpellings
func.func @keepsOtherSpellings(%x: !x, %y: tensor<4x8xf32>) -> (!x, tensor<4x8xf32>) {
  // CHECK-NOT: tenon.softmax
  %0 = tenon.exp %x : !x
  %1 = tenon.reduce sum %0 over [1] keepdims : !x
  %2 = tenon.div %0, %1 : !x, !s
  %3 = tenon.reduce max %y over [0] keepdims : tensor<4x8xf32>
  %4 = tenon.sub %y, %3 : tensor<4x8xf32>, tensor<1x8xf32>
  %5 = tenon.exp %4 : tensor<4x8xf32>
  %6 = tenon.reduce sum %5 over [0] keepdims : tensor<4x8xf32>
  %7 = tenon.div %5, %6 : tensor<4x8xf32>, tensor<1x8xf32>
  return %2, %7 : !x, tensor<4x8xf32>
}

// Rows that no key is left for (Attention, opset 24) become 0 after the
// product, so that softmax and product stay together.
// CHECK-LABEL: @rowsOfZeros
// CHECK: %[[W:.+]] = tenon.softmax %arg1
// CHECK: %[[P:.+]] = tenon.matmul %[[W]], %arg2
// CHECK: tenon.select %arg0, %{{.+}}, %[[P]]
func.func @rowsOfZeros(%none: tensor<4x1xi1>, %x: tensor<2x4x8xf32>, %v: tensor<2x8x16xf32>) -> tensor<2x4x16xf32> {
  %zero = tenon.constant dense<0.0> : tensor<f32>
  %0 = tenon.softmax %x : tensor<2x4x8xf32>
  %1 = tenon.select %none, %zero, %0 : tensor<4x1xi1>, tensor<f32>, tensor<2x4x8xf32>
  %2 = tenon.matmul %1, %v : tensor<2x4x8xf32>, tensor<2x8x16xf32>
  return %2 : tensor<2x4x16xf32>
}

// CHECK-LABEL: @someKeysOfZeros
// CHECK: %[[M:.+]] = tenon.select
// CHECK: tenon.matmul %[[M]]
func.func @someKeysOfZeros(%none: tensor<4x8xi1>, %x: tensor<2x4x8xf32>, %v: tensor<2x8x16xf32>) -> tensor<2x4x16xf32> {
  %zero = tenon.constant dense<0.0> : tensor<f32>
  %0 = tenon.softmax %x : tensor<2x4x8xf32>
  %1 = tenon.select %none, %zero, %0 : tensor<4x8xi1>, tensor<f32>, tensor<2x4x8xf32>
  %2 = tenon.matmul %1, %v : tensor<2x4x8xf32>, tensor<2x8x16xf32>
  return %2 : tensor<2x4x16xf32>
}
