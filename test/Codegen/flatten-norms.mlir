// RUN: tenon-opt %s --tenon-flatten-norms | FileCheck %s

// A norm over two dims becomes one over their product; parameters follow.
// CHECK-LABEL: @overTwoDims
// CHECK: %[[X:.+]] = tenon.reshape %arg0 to <"n", "12">
// CHECK: %[[S:.+]] = tenon.reshape %arg1 to <"12">
// CHECK: %[[B:.+]] = tenon.reshape %arg2 to <"12">
// CHECK: %[[N:.+]] = tenon.layer_norm %[[X]] scale %[[S]] bias %[[B]] epsilon {{.*}} dims 1
// CHECK: %[[R:.+]] = tenon.reshape %[[N]] to <"n", "3", "4">
// CHECK: return %[[R]]
func.func @overTwoDims(%x: tensor<?x3x4xf32, #tenon.dims<"n", "3", "4">>, %s: tensor<3x4xf32>, %b: tensor<3x4xf32>) -> tensor<?x3x4xf32, #tenon.dims<"n", "3", "4">> {
  %0 = tenon.layer_norm %x scale %s bias %b epsilon 1.0e-5 dims 2 : tensor<?x3x4xf32, #tenon.dims<"n", "3", "4">>, tensor<3x4xf32>, tensor<3x4xf32>
  return %0 : tensor<?x3x4xf32, #tenon.dims<"n", "3", "4">>
}

// One over the last dim stays.
// CHECK-LABEL: @overOne
// CHECK-NOT: tenon.reshape
// CHECK: tenon.rms_norm %arg0 epsilon
func.func @overOne(%x: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %0 = tenon.rms_norm %x epsilon 1.0e-5 dims 1 : tensor<2x4xf32>
  return %0 : tensor<2x4xf32>
}
