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

// The bias and the activation end the first matmul's kernel; the second one's
// patches are copied from its rows, and its weight is stored in their order.

// CHECK-LABEL: @channelsStayLast
// CHECK: tenon.im2col %arg0 {{.*}} dilations [1] : tensor<2x3x8xf32>
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK: %[[BIAS:.+]] = tenon.reshape %arg1 to <"4">
// CHECK: %[[SUM:.+]] = tenon.add %[[Y]], %[[BIAS]] : tensor<2x6x4xf32>, tensor<4xf32>
// CHECK: %[[GELU:.+]] = tenon.gelu %[[SUM]] : tensor<2x6x4xf32>
// CHECK: %[[W:.+]] = tenon.constant dense_resource<channels_last> : tensor<2x8xf32>
// CHECK: %[[IN:.+]] = tenon.reshape %[[GELU]] to <"2", "6", "4">
// CHECK: %[[P:.+]] = tenon.im2col %[[IN]] kernel [2] strides [2] pads [1, 1] dilations [1] channels_last
// CHECK: tenon.matmul %[[P]], %[[W]] transposed : tensor<2x4x8xf32>, tensor<2x8xf32>
func.func @channelsStayLast(%x: tensor<2x3x8xf32>, %b: tensor<4x1xf32>, %w: tensor<4x3x3xf32>) -> tensor<2x2x4xf32> {
  %0 = tenon.conv %x, %w strides [1] pads [0, 0] dilations [1] group 1 : tensor<2x3x8xf32>, tensor<4x3x3xf32>
  %1 = tenon.add %0, %b : tensor<2x4x6xf32>, tensor<4x1xf32>
  %2 = tenon.gelu %1 : tensor<2x4x6xf32>
  %3 = tenon.constant dense<[[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]], [[8.0, 9.0], [10.0, 11.0], [12.0, 13.0], [14.0, 15.0]]]> : tensor<2x4x2xf32>
  %4 = tenon.conv %2, %3 strides [2] pads [1, 1] dilations [1] group 1 : tensor<2x4x6xf32>, tensor<2x4x2xf32>
  return %4 : tensor<2x2x4xf32>
}

// CHECK-LABEL: @rowsOfTheModel
// CHECK: %[[NEG:.+]] = tenon.neg %arg0 : tensor<1x?x20xf32
// CHECK: %[[IN:.+]] = tenon.reshape %[[NEG]] to <"1", "t", "20">
// CHECK: tenon.im2col %[[IN]] {{.*}} channels_last
// CHECK: tenon.transpose %arg1 [0, 2, 1]
func.func @rowsOfTheModel(%x: tensor<1x?x20xf32, #tenon.dims<"1", "t", "20">>, %w: tensor<4x20x3xf32>) -> tensor<1x4x?xf32, #tenon.dims<"1", "4", "t">> {
  %0 = tenon.transpose %x [0, 2, 1] : tensor<1x?x20xf32, #tenon.dims<"1", "t", "20">>
  %1 = tenon.neg %0 : tensor<1x20x?xf32, #tenon.dims<"1", "20", "t">>
  %2 = tenon.conv %1, %w strides [1] pads [1, 1] dilations [1] group 1 : tensor<1x20x?xf32, #tenon.dims<"1", "20", "t">>, tensor<4x20x3xf32>
  return %2 : tensor<1x4x?xf32, #tenon.dims<"1", "4", "t">>
}

// A pointwise convolution multiplies the rows themselves; what varies along the
// positions keeps a value as it is.

// CHECK-LABEL: @pointwise
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK-NOT: tenon.im2col
// CHECK: %[[Z:.+]] = tenon.matmul %[[Y]]
// CHECK: %[[T:.+]] = tenon.transpose %[[Z]] [0, 2, 1]
// CHECK: %[[R:.+]] = tenon.reshape %[[T]] to <"1", "5", "2", "3">
// CHECK: tenon.mul %[[R]], %arg3 : tensor<1x5x2x3xf32>, tensor<3xf32>
func.func @pointwise(%x: tensor<1x3x2x3xf32>, %w: tensor<4x3x1x1xf32>, %v: tensor<5x4x1x1xf32>, %s: tensor<3xf32>) -> tensor<1x5x2x3xf32> {
  %0 = tenon.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x3x2x3xf32>, tensor<4x3x1x1xf32>
  %1 = tenon.conv %0, %v strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x4x2x3xf32>, tensor<5x4x1x1xf32>
  %2 = tenon.mul %1, %s : tensor<1x5x2x3xf32>, tensor<3xf32>
  return %2 : tensor<1x5x2x3xf32>
}

// What is computed for each channel of each batch element, a gate say, is
// multiplied with rows; the view that it replaces is gone.

// CHECK-LABEL: @gate
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK-NOT: tenon.transpose
// CHECK: %[[G:.+]] = tenon.reshape %arg2 to <"n", "1", "4">
// CHECK: %[[R:.+]] = tenon.mul %[[Y]], %[[G]] : tensor<?x6x4xf32
// CHECK: %[[T:.+]] = tenon.transpose %[[R]] [0, 2, 1]
// CHECK: tenon.reshape %[[T]] to <"n", "4", "2", "3">
func.func @gate(%x: tensor<?x3x2x3xf32, #tenon.dims<"n", "3", "2", "3">>, %w: tensor<4x3x1x1xf32>, %g: tensor<?x4x1x1xf32, #tenon.dims<"n", "4", "1", "1">>) -> tensor<?x4x2x3xf32, #tenon.dims<"n", "4", "2", "3">> {
  %0 = tenon.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<?x3x2x3xf32, #tenon.dims<"n", "3", "2", "3">>, tensor<4x3x1x1xf32>
  %1 = tenon.mul %0, %g : tensor<?x4x2x3xf32, #tenon.dims<"n", "4", "2", "3">>, tensor<?x4x1x1xf32, #tenon.dims<"n", "4", "1", "1">>
  return %1 : tensor<?x4x2x3xf32, #tenon.dims<"n", "4", "2", "3">>
}

// CHECK-LABEL: @readTwice
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK-NOT: tenon.transpose
// CHECK: %[[R:.+]] = tenon.mul %[[Y]], %[[Y]] : tensor<1x6x4xf32>
// CHECK: tenon.transpose %[[R]] [0, 2, 1]
func.func @readTwice(%x: tensor<1x3x2x3xf32>, %w: tensor<4x3x1x1xf32>) -> tensor<1x4x2x3xf32> {
  %0 = tenon.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x3x2x3xf32>, tensor<4x3x1x1xf32>
  %1 = tenon.mul %0, %0 : tensor<1x4x2x3xf32>, tensor<1x4x2x3xf32>
  return %1 : tensor<1x4x2x3xf32>
}

// Channels that fill vectors are brought together first.

// CHECK-LABEL: @manyChannels
// CHECK: %[[T:.+]] = tenon.transpose %arg0 [0, 2, 3, 1]
// CHECK: tenon.im2col %[[T]] {{.*}} channels_last
func.func @manyChannels(%x: tensor<1x32x4x4xf32>, %w: tensor<4x32x3x3xf32>) -> tensor<1x4x2x2xf32> {
  %0 = tenon.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x32x4x4xf32>, tensor<4x32x3x3xf32>
  return %0 : tensor<1x4x2x2xf32>
}
