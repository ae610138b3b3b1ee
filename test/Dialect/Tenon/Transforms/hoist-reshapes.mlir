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

// A transposed left operand has its rows in the last dim.
// CHECK-LABEL: @transposedRows
func.func @transposedRows(%x: tensor<?x8x4xf32, #tenon.dims<"b", "8", "4">>, %w: tensor<8x16xf32>) -> tensor<?x16xf32, #tenon.dims<"4*b", "16">> {
  // CHECK-NEXT: tenon.matmul %arg0 transposed, %arg1
  // CHECK-NEXT: tenon.reshape
  %0 = tenon.matmul %x transposed, %w : tensor<?x8x4xf32, #tenon.dims<"b", "8", "4">>, tensor<8x16xf32>
  %1 = tenon.reshape %0 to <"4*b", "16"> : tensor<?x4x16xf32, #tenon.dims<"b", "4", "16">>
  return %1 : tensor<?x16xf32, #tenon.dims<"4*b", "16">>
}

// Each op's value is used twice, so that it falls free one at a time.
// CHECK-LABEL: @longChain
func.func @longChain(%x: !out) -> !y {
  // CHECK-NEXT: tenon.reshape
  // CHECK-NOT: tenon.reshape
  // CHECK: return
  %0 = tenon.abs %x : !out
  %1 = tenon.exp %0 : !out
  %2 = tenon.abs %1 : !out
  %3 = tenon.exp %2 : !out
  %4 = tenon.abs %3 : !out
  %5 = tenon.exp %4 : !out
  %6 = tenon.abs %5 : !out
  %7 = tenon.exp %6 : !out
  %8 = tenon.abs %7 : !out
  %9 = tenon.exp %8 : !out
  %10 = tenon.abs %9 : !out
  %11 = tenon.exp %10 : !out
  %12 = tenon.abs %11 : !out
  %13 = tenon.exp %12 : !out
  %14 = tenon.reshape %13 to <"b", "s", "16"> : !out
  return %14 : !y
}

// An operand that another one spreads is left as it is; two that are spread both,
// and one whose dims are only known when the model runs, are not.
// CHECK-LABEL: @spread
func.func @spread(%x: !y, %slope: tensor<?x1x16xf32, #tenon.dims<"b", "1", "16">>, %n: tensor<?xf32, #tenon.dims<"n">>) -> (!y, !y, !y) {
  // CHECK: %[[A:.+]] = tenon.broadcast_to %arg1
  // CHECK: %[[P:.+]] = tenon.mul %arg0, %arg1
  // CHECK: %[[Q:.+]] = tenon.mul %[[A]], %[[A]]
  // CHECK: %[[B:.+]] = tenon.broadcast_to %arg2
  // CHECK: %[[R:.+]] = tenon.mul %arg0, %[[B]]
  // CHECK: return %[[P]], %[[Q]], %[[R]]
  %0 = tenon.broadcast_to %slope to <"b", "s", "16"> : tensor<?x1x16xf32, #tenon.dims<"b", "1", "16">>
  %1 = tenon.mul %x, %0 : !y, !y
  %2 = tenon.mul %0, %0 : !y, !y
  %3 = tenon.broadcast_to %n to <"b", "s", "16"> : tensor<?xf32, #tenon.dims<"n">>
  %4 = tenon.mul %x, %3 : !y, !y
  return %1, %2, %4 : !y, !y, !y
}
