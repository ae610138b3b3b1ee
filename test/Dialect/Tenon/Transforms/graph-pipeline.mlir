// RUN: tenon-opt %s --tenon-graph | FileCheck %s

// An attention as torch exports it: shapes computed, K transposed with batch
// and heads joined, scaled twice, the NaN guard. All of it leaves.

!x = tensor<?x?x64xf32, #tenon.dims<"batch", "seq", "64">>
!h = tensor<?x?x4x16xf32, #tenon.dims<"batch", "seq", "4", "16">>
!q = tensor<?x4x?x16xf32, #tenon.dims<"batch", "4", "seq", "16">>
!k = tensor<?x4x16x?xf32, #tenon.dims<"batch", "4", "16", "seq">>
!s = tensor<?x4x?x?xf32, #tenon.dims<"batch", "4", "seq", "seq">>
!m = tensor<?x4x?x?xi1, #tenon.dims<"batch", "4", "seq", "seq">>

// CHECK-LABEL: @attention
func.func @attention(%q: !q, %k: !q, %v: !q) -> (!x, tensor<i64>) {
  // CHECK-DAG: %[[SCALE:.*]] = tenon.constant dense<5.000000e-01> : tensor<f32>
  // CHECK-DAG: %[[SIZE:.*]] = tenon.dims_value scalar <"64*batch*seq"> : i64
  // CHECK: %[[Q:.*]] = tenon.mul %arg0, %[[SCALE]]
  // CHECK-NEXT: %[[K:.*]] = tenon.mul %arg1, %[[SCALE]]
  // CHECK-NEXT: %[[S:.*]] = tenon.matmul %[[Q]], %[[K]] transposed
  // CHECK-NEXT: %[[P:.*]] = tenon.softmax %[[S]] guard
  // CHECK-NEXT: %[[O:.*]] = tenon.matmul %[[P]], %arg2
  // CHECK-NEXT: %[[T:.*]] = tenon.transpose %[[O]] [0, 2, 1, 3]
  // CHECK-NEXT: %[[R:.*]] = tenon.reshape %[[T]] to <"batch", "seq", "64">
  // CHECK-NEXT: return %[[R]], %[[SIZE]]
  %shape = tenon.dims_value <"batch", "seq", "64"> : i64
  %size = tenon.reduce prod %shape over [0] : tensor<3xi64>
  %sixteen = tenon.constant dense<16.0> : tensor<f32>
  %root = tenon.sqrt %sixteen : tensor<f32>
  %one = tenon.constant dense<1.0> : tensor<f32>
  %inverse = tenon.div %one, %root : tensor<f32>, tensor<f32>
  %scale = tenon.sqrt %inverse : tensor<f32>
  %zero = tenon.constant dense<0.0> : tensor<f32>
  %0 = tenon.mul %q, %scale : !q, tensor<f32>
  %1 = tenon.reshape %k to <"4*batch", "seq", "16"> : !q
  %2 = tenon.transpose %1 [0, 2, 1] : tensor<?x?x16xf32, #tenon.dims<"4*batch", "seq", "16">>
  %3 = tenon.reshape %2 to <"batch", "4", "16", "seq"> : tensor<?x16x?xf32, #tenon.dims<"4*batch", "16", "seq">>
  %4 = tenon.mul %3, %scale : !k, tensor<f32>
  %5 = tenon.matmul %0, %4 : !q, !k
  %6 = tenon.softmax %5 : !s
  %7 = tenon.is_nan %6 : !s
  %8 = tenon.select %7, %zero, %6 : !m, tensor<f32>, !s
  %9 = tenon.matmul %8, %v : !s, !q
  %10 = tenon.transpose %9 [0, 2, 1, 3] : !q
  %11 = tenon.reshape %10 to <"batch", "seq", "64"> : !h
  return %11, %size : !x, tensor<i64>
}
