// RUN: tenon-opt %s --tenon-fuse-silu --canonicalize | FileCheck %s

!x = tensor<?x8xf32, #tenon.dims<"n", "8">>

// CHECK-LABEL: @eitherOrder
func.func @eitherOrder(%x: !x) -> (!x, !x) {
  // CHECK-NEXT: tenon.silu %arg0
  // CHECK-NEXT: tenon.silu %arg0
  // CHECK-NEXT: return
  %0 = tenon.sigmoid %x : !x
  %1 = tenon.mul %x, %0 : !x, !x
  %2 = tenon.mul %0, %x : !x, !x
  return %1, %2 : !x, !x
}

// CHECK-LABEL: @spelledOut
func.func @spelledOut(%x: !x) -> !x {
  // CHECK-NEXT: tenon.silu %arg0
  // CHECK-NEXT: return
  %one = tenon.constant dense<1.0> : tensor<f32>
  %0 = tenon.neg %x : !x
  %1 = tenon.exp %0 : !x
  %2 = tenon.add %one, %1 : tensor<f32>, !x
  %3 = tenon.div %x, %2 : !x, !x
  return %3 : !x
}

// Sigmoid of another value (a gate, or x scaled as in quick GELU) is no SiLU.
// CHECK-LABEL: @keepsGate
func.func @keepsGate(%x: !x, %y: !x) -> !x {
  // CHECK-NOT: tenon.silu
  %0 = tenon.sigmoid %y : !x
  %1 = tenon.mul %x, %0 : !x, !x
  return %1 : !x
}

// CHECK-LABEL: @keepsBroadcast
func.func @keepsBroadcast(%x: tensor<1xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-NOT: tenon.silu
  %0 = tenon.sigmoid %x : tensor<1xf32>
  %1 = tenon.mul %y, %0 : tensor<4xf32>, tensor<1xf32>
  return %1 : tensor<4xf32>
}
