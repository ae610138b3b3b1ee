// RUN: tenon-opt %s --tenon-hoist-reshapes --cse | FileCheck %s

!x = tensor<?x?x8xf32, #tenon.dims<"b", "s", "8">>
!y = tensor<?x?x16xf32, #tenon.dims<"b", "s", "16">>
!rows = tensor<?x8xf32, #tenon.dims<"b*s", "8">>
!out = tensor<?x16xf32, #tenon.dims<"b*s", "16">>

// CHECK-LABEL: @gemm
func.func @gemm(%x: !x, %w: tensor<8x16xf32>, %b: tensor<16xf32>, %r: !y) -> !y {
  // CHECK-NEXT: %[[P:.*]] = tenon.matmul %arg0, %arg1
  // CHECK-NEXT: %[[B:.*]] = tenon.add %[[P]], %arg2
  // CHECK-NEXT: %[[G:.*]] = tenon.gelu %[[B]]
  // CHECK-NEXT: %[[R:.*]] = tenon.add %[[G]], %arg3
  // CHECK-NEXT: return %[[R]]
  %0 = tenon.reshape %x to <"b*s", "8"> : !x
  %1 = tenon.matmul %0, %w : !rows, tensor<8x16xf32>
  %2 = tenon.add %1, %b : !out, tensor<16xf32>
  %3 = tenon.gelu %2 : !out
  %4 = tenon.reshape %3 to <"b", "s", "16"> : !out
  %5 = tenon.add %4, %r : !y, !y
  return %5 : !y
}

// A value that something else needs too is not computed twice.
// CHECK-LABEL: @twoUses
func.func @twoUses(%x: !out) -> (!out, !y) {
  // CHECK-NEXT: tenon.gelu
  // CHECK-NEXT: tenon.reshape
  %0 = tenon.gelu %x : !out
  %1 = tenon.reshape %0 to <"b", "s", "16"> : !out
  return %0, %1 : !out, !y
}

// An operand per row would need a reshape of its own kind.
// CHECK-LABEL: @rowOperand
func.func @rowOperand(%x: !out, %m: tensor<?x1xf32, #tenon.dims<"b*s", "1">>) -> !y {
  // CHECK-NEXT: tenon.mul
  // CHECK-NEXT: tenon.reshape
  %0 = tenon.mul %x, %m : !out, tensor<?x1xf32, #tenon.dims<"b*s", "1">>
  %1 = tenon.reshape %0 to <"b", "s", "16"> : !out
  return %1 : !y
}

// Heads are another last dim.
// CHECK-LABEL: @heads
func.func @heads(%x: !y) -> tensor<?x?x4x4xf32, #tenon.dims<"b", "s", "4", "4">> {
  // CHECK-NEXT: tenon.gelu
  // CHECK-NEXT: tenon.reshape
  %0 = tenon.gelu %x : !y
  %1 = tenon.reshape %0 to <"b", "s", "4", "4"> : !y
  return %1 : tensor<?x?x4x4xf32, #tenon.dims<"b", "s", "4", "4">>
}
