// RUN: tenon-opt %s --tenon-lower-conv | FileCheck %s

// CHECK-LABEL: @patchesTimesWeights
// CHECK: %[[P:.+]] = tenon.im2col %arg0 kernel [16, 16] strides [16, 16] pads [0, 0, 0, 0]
// CHECK: %[[W:.+]] = tenon.reshape %arg1 to <"8", "768">
// CHECK: %[[Y:.+]] = tenon.matmul %[[P]], %[[W]] transposed
// CHECK: %[[T:.+]] = tenon.transpose %[[Y]] [0, 2, 1]
// CHECK: tenon.reshape %[[T]] to <"n", "8", "2", "2">
func.func @patchesTimesWeights(%x: tensor<?x3x32x32xf32, #tenon.dims<"n", "3", "32", "32">>, %w: tensor<8x3x16x16xf32>) -> tensor<?x8x2x2xf32, #tenon.dims<"n", "8", "2", "2">> {
  %0 = tenon.conv %x, %w strides [16, 16] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<?x3x32x32xf32, #tenon.dims<"n", "3", "32", "32">>, tensor<8x3x16x16xf32>
  return %0 : tensor<?x8x2x2xf32, #tenon.dims<"n", "8", "2", "2">>
}

// CHECK-LABEL: @groupsAreABatchDim
// CHECK: tenon.im2col
// CHECK: tenon.reshape {{.*}} to <"1", "6", "2", "6">
// CHECK: tenon.matmul {{.*}} : tensor<1x2x6x6xf32>, tensor<2x3x6xf32>
func.func @groupsAreABatchDim(%x: tensor<1x4x8xf32>, %w: tensor<6x2x3xf32>) -> tensor<1x6x6xf32> {
  %0 = tenon.conv %x, %w strides [1] pads [0, 0] dilations [1] group 2 : tensor<1x4x8xf32>, tensor<6x2x3xf32>
  return %0 : tensor<1x6x6xf32>
}
