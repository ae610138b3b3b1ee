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

// The channels of a group are brought together: its patches are runs of them.

// CHECK-LABEL: @groupsAreABatchDim
// CHECK: tenon.reshape {{.*}} to <"1", "8", "2", "9">
// CHECK: tenon.transpose {{.*}} [0, 2, 1, 3]
// CHECK: tenon.im2col {{.*}} channels_last : tensor<2x8x9xf32>
// CHECK: tenon.matmul {{.*}} transposed : tensor<1x2x6x27xf32>, tensor<2x8x27xf32>
func.func @groupsAreABatchDim(%x: tensor<1x18x8xf32>, %w: tensor<16x9x3xf32>) -> tensor<1x16x6xf32> {
  %0 = tenon.conv %x, %w strides [1] pads [0, 0] dilations [1] group 2 : tensor<1x18x8xf32>, tensor<16x9x3xf32>
  return %0 : tensor<1x16x6xf32>
}

// Groups of 2, 4, 8 or 16 channels read each other's lanes: nothing is repeated.

// CHECK-LABEL: @permuted
// CHECK-NOT: tenon.broadcast_to
// CHECK: tenon.depthwise {{.*}} kernel [3] strides [1] pads [1, 1] dilations [1] : tensor<1x7x32xf32>, tensor<12x32xf32>
func.func @permuted(%x: tensor<1x32x7xf32>, %w: tensor<32x4x3xf32>) -> tensor<1x32x7xf32> {
  %0 = tenon.conv %x, %w strides [1] pads [1, 1] dilations [1] group 8 : tensor<1x32x7xf32>, tensor<32x4x3xf32>
  return %0 : tensor<1x32x7xf32>
}

// One channel each: a kernel of its own, between two products of rows without a
// transpose.

// CHECK-LABEL: @depthwise
// CHECK: %[[W:.+]] = tenon.constant dense_resource<channels_last{{.*}}> : tensor<2x4xf32>
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK-NOT: tenon.transpose
// CHECK: %[[IN:.+]] = tenon.reshape %[[Y]] to <"1", "9", "4">
// CHECK: %[[D:.+]] = tenon.depthwise %[[IN]], %[[W]] kernel [2] strides [2] pads [1, 0] dilations [1]
// CHECK: %[[R:.+]] = tenon.neg %[[D]] : tensor<1x5x4xf32>
// CHECK: tenon.matmul %[[R]]
func.func @depthwise(%x: tensor<1x3x9xf32>, %a: tensor<4x3x1xf32>, %b: tensor<5x4x1xf32>) -> tensor<1x5x5xf32> {
  %w = tenon.constant dense<[[[0.0, 1.0]], [[2.0, 3.0]], [[4.0, 5.0]], [[6.0, 7.0]]]> : tensor<4x1x2xf32>
  %0 = tenon.conv %x, %a strides [1] pads [0, 0] dilations [1] group 1 : tensor<1x3x9xf32>, tensor<4x3x1xf32>
  %1 = tenon.conv %0, %w strides [2] pads [1, 0] dilations [1] group 4 : tensor<1x4x9xf32>, tensor<4x1x2xf32>
  %2 = tenon.neg %1 : tensor<1x4x5xf32>
  %3 = tenon.conv %2, %b strides [1] pads [0, 0] dilations [1] group 1 : tensor<1x4x5xf32>, tensor<5x4x1xf32>
  return %3 : tensor<1x5x5xf32>
}

// Two images meet one weight.

// CHECK-LABEL: @sharedWeight
// CHECK: tenon.constant dense_resource<channels_last
// CHECK-NOT: tenon.constant dense_resource<channels_last
// CHECK: return
func.func @sharedWeight(%x: tensor<1x3x9xf32>, %y: tensor<1x3x9xf32>) -> (tensor<1x2x8xf32>, tensor<1x2x8xf32>) {
  %w = tenon.constant dense<[[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], [[6.0, 7.0], [8.0, 9.0], [0.5, 1.5]]]> : tensor<2x3x2xf32>
  %0 = tenon.conv %x, %w strides [1] pads [0, 0] dilations [1] group 1 : tensor<1x3x9xf32>, tensor<2x3x2xf32>
  %1 = tenon.conv %y, %w strides [1] pads [0, 0] dilations [1] group 1 : tensor<1x3x9xf32>, tensor<2x3x2xf32>
  return %0, %1 : tensor<1x2x8xf32>, tensor<1x2x8xf32>
}

// In small groups each output channel meets its group's inputs one after the
// other, as one more dim of the kernel.

// CHECK-LABEL: @smallGroups
// CHECK: %[[T:.+]] = tenon.transpose {{.*}} [0, 3, 1, 2] : tensor<1x8x2x2xf32>
// CHECK: tenon.broadcast_to {{.*}} to <"1", "2", "8", "2", "3">
// CHECK: tenon.depthwise {{.*}} kernel [2, 3] strides [1, 1] pads [0, 1, 0, 0] dilations [1, 1] : tensor<1x2x8x6xf32>, tensor<6x6xf32>
func.func @smallGroups(%x: tensor<1x4x8xf32>, %w: tensor<6x2x3xf32>) -> tensor<1x6x7xf32> {
  %0 = tenon.conv %x, %w strides [1] pads [1, 0] dilations [1] group 2 : tensor<1x4x8xf32>, tensor<6x2x3xf32>
  return %0 : tensor<1x6x7xf32>
}

// What moves, joins and reduces elements is moved before the view as well.

// CHECK-LABEL: @betweenConvolutions
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK-NOT: tenon.transpose
// CHECK: %[[IMAGE:.+]] = tenon.reshape %[[Y]] to <"1", "4", "6", "8">
// CHECK: %[[P:.+]] = tenon.pad constant %[[IMAGE]], %{{.+}} low <"0", "1", "0", "0"> high <"0", "1", "2", "0">
// CHECK: %[[S:.+]] = tenon.slice %[[P]] from <"0", "0", "1", "0"> step [1, 2, 1, 1] to <"1", "3", "6", "8">
// CHECK: %[[G:.+]] = tenon.gather %[[S]], %arg2 axis 1
// CHECK: %[[R:.+]] = tenon.neg %[[G]] : tensor<1x4x6x8xf32>
// CHECK: %[[FLAT:.+]] = tenon.reshape %[[R]] to <"1", "24", "8">
// CHECK: %[[C:.+]] = tenon.concat %[[FLAT]], %[[Y]] axis 2
// CHECK: %[[M:.+]] = tenon.reduce mean %[[C]] over [1] keepdims
// CHECK: tenon.matmul %[[M]]
func.func @betweenConvolutions(%x: tensor<1x3x4x6xf32>, %a: tensor<8x3x1x1xf32>, %i: tensor<4xi64>, %b: tensor<5x16x1x1xf32>) -> tensor<1x5x1x1xf32> {
  %zero = tenon.constant dense<0.0> : tensor<f32>
  %0 = tenon.conv %x, %a strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x3x4x6xf32>, tensor<8x3x1x1xf32>
  %1 = tenon.pad constant %0, %zero low <"0", "0", "1", "0"> high <"0", "0", "1", "2"> : tensor<1x8x4x6xf32>, tensor<f32>
  %2 = tenon.slice %1 from <"0", "0", "0", "1"> step [1, 1, 2, 1] to <"1", "8", "3", "6"> : tensor<1x8x6x8xf32>
  %3 = tenon.gather %2, %i axis 2 : tensor<1x8x3x6xf32>, tensor<4xi64>
  %4 = tenon.neg %3 : tensor<1x8x4x6xf32>
  %5 = tenon.concat %4, %0 axis 1 : tensor<1x8x4x6xf32>, tensor<1x8x4x6xf32>
  %6 = tenon.reduce mean %5 over [2, 3] keepdims : tensor<1x16x4x6xf32>
  %7 = tenon.conv %6, %b strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x16x1x1xf32>, tensor<5x16x1x1xf32>
  return %7 : tensor<1x5x1x1xf32>
}

// Channels of zeros, as residual sums of more channels need, are rows too.

// CHECK-LABEL: @filledUp
// CHECK-DAG: %[[Z:.+]] = tenon.constant dense<0.000000e+00> : tensor<1x24x5xf32>
// CHECK-DAG: %[[Y:.+]] = tenon.matmul
// CHECK: %[[C:.+]] = tenon.concat %[[Y]], %[[Z]] axis 2
// CHECK-NOT: tenon.transpose
// CHECK: tenon.matmul %[[C]]
func.func @filledUp(%x: tensor<1x3x4x6xf32>, %a: tensor<8x3x1x1xf32>, %b: tensor<5x13x1x1xf32>) -> tensor<1x5x4x6xf32> {
  %zeros = tenon.constant dense<0.0> : tensor<1x5x4x6xf32>
  %0 = tenon.conv %x, %a strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x3x4x6xf32>, tensor<8x3x1x1xf32>
  %1 = tenon.concat %0, %zeros axis 1 : tensor<1x8x4x6xf32>, tensor<1x5x4x6xf32>
  %2 = tenon.conv %1, %b strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x13x4x6xf32>, tensor<5x13x1x1xf32>
  return %2 : tensor<1x5x4x6xf32>
}

// Channels that become positions are moved together.

// CHECK-LABEL: @depthToSpace
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK: %[[IMAGE:.+]] = tenon.reshape %[[Y]] to <"1", "3", "5", "32">
// CHECK: %[[PARTS:.+]] = tenon.reshape %[[IMAGE]] to <"1", "3", "5", "2", "2", "8">
// CHECK: %[[MOVED:.+]] = tenon.transpose %[[PARTS]] [0, 1, 3, 2, 4, 5]
// CHECK: %[[LAST:.+]] = tenon.reshape %[[MOVED]] to <"1", "6", "10", "8">
// CHECK: tenon.im2col %[[LAST]] {{.*}} channels_last
func.func @depthToSpace(%x: tensor<1x3x3x5xf32>, %a: tensor<32x3x1x1xf32>, %b: tensor<4x8x3x3xf32>) -> tensor<1x4x4x8xf32> {
  %0 = tenon.conv %x, %a strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x3x3x5xf32>, tensor<32x3x1x1xf32>
  %1 = tenon.reshape %0 to <"1", "2", "2", "8", "3", "5"> : tensor<1x32x3x5xf32>
  %2 = tenon.transpose %1 [0, 3, 4, 1, 5, 2] : tensor<1x2x2x8x3x5xf32>
  %3 = tenon.reshape %2 to <"1", "8", "6", "10"> : tensor<1x8x3x2x5x2xf32>
  %4 = tenon.conv %3, %b strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x8x6x10xf32>, tensor<4x8x3x3xf32>
  return %4 : tensor<1x4x4x8xf32>
}

// The bias and the activation end the first matmul's kernel; the second one's
// patches are copied from its rows, and its weight is stored in their order.

// CHECK-LABEL: @channelsStayLast
// CHECK: %[[T:.+]] = tenon.transpose %arg0 [0, 2, 1]
// CHECK: tenon.im2col %[[T]] {{.*}} dilations [1] channels_last : tensor<2x8x3xf32>
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK: %[[BIAS:.+]] = tenon.reshape %arg1 to <"4">
// CHECK: %[[SUM:.+]] = tenon.add %[[Y]], %[[BIAS]] : tensor<2x6x4xf32>, tensor<4xf32>
// CHECK: %[[GELU:.+]] = tenon.gelu %[[SUM]] : tensor<2x6x4xf32>
// CHECK: %[[IN:.+]] = tenon.reshape %[[GELU]] to <"2", "6", "4">
// CHECK: %[[W:.+]] = tenon.constant dense_resource<channels_last{{.*}}> : tensor<2x8xf32>
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

// The range of what is quantised as it comes: of the rows, a line of the image at
// a time.

// CHECK-LABEL: @extremes
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK: %[[LINES:.+]] = tenon.reshape %[[Y]] to <"1", "3", "160">
// CHECK: %[[BOTH:.+]] = tenon.mul %[[LINES]], %{{.+}} : tensor<1x3x160xf32>, tensor<2x1x1xf32>
// CHECK: %[[OF_LINES:.+]] = tenon.reduce max %[[BOTH]] over [2] keepdims
// CHECK: tenon.reduce max %[[OF_LINES]] over [1, 2] : tensor<2x3x1xf32>
func.func @extremes(%x: tensor<1x3x3x5xf32>, %w: tensor<32x3x1x1xf32>) -> tensor<2xf32> {
  %0 = tenon.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x3x3x5xf32>, tensor<32x3x1x1xf32>
  %1 = tenon.reshape %0 to <"1", "1", "32", "3", "5"> : tensor<1x32x3x5xf32>
  %2 = tenon.constant dense<[[[[[1.0]]]], [[[[-1.0]]]]]> : tensor<2x1x1x1x1xf32>
  %3 = tenon.mul %1, %2 : tensor<1x1x32x3x5xf32>, tensor<2x1x1x1x1xf32>
  %4 = tenon.reduce max %3 over [4] keepdims : tensor<2x1x32x3x5xf32>
  %5 = tenon.reduce max %4 over [1, 2, 3, 4] : tensor<2x1x32x3x1xf32>
  return %5 : tensor<2xf32>
}

// CHECK-LABEL: @rowsOfTheModel
// CHECK: %[[ROWS:.+]] = tenon.reshape %arg0 to <"1", "t", "20">
// CHECK: %[[NEG:.+]] = tenon.neg %[[ROWS]] : tensor<1x?x20xf32
// CHECK: %[[IN:.+]] = tenon.reshape %[[NEG]] to <"1", "t", "20">
// CHECK: tenon.im2col %[[IN]] {{.*}} channels_last
// CHECK: tenon.transpose %arg1 [0, 2, 1]
func.func @rowsOfTheModel(%x: tensor<1x?x20xf32, #tenon.dims<"1", "t", "20">>, %w: tensor<4x20x3xf32>) -> tensor<1x4x?xf32, #tenon.dims<"1", "4", "t">> {
  %0 = tenon.transpose %x [0, 2, 1] : tensor<1x?x20xf32, #tenon.dims<"1", "t", "20">>
  %1 = tenon.neg %0 : tensor<1x20x?xf32, #tenon.dims<"1", "20", "t">>
  %2 = tenon.conv %1, %w strides [1] pads [1, 1] dilations [1] group 1 : tensor<1x20x?xf32, #tenon.dims<"1", "20", "t">>, tensor<4x20x3xf32>
  return %2 : tensor<1x4x?xf32, #tenon.dims<"1", "4", "t">>
}

// CHECK-LABEL: @imageOfRows
// CHECK: %[[ROWS:.+]] = tenon.reshape %arg0 to <"n", "6", "20">
// CHECK: %[[NEG:.+]] = tenon.neg %[[ROWS]] : tensor<?x6x20xf32
// CHECK: %[[IN:.+]] = tenon.reshape %[[NEG]] to <"n", "2", "3", "20">
// CHECK: tenon.im2col %[[IN]] {{.*}} channels_last
func.func @imageOfRows(%x: tensor<?x6x20xf32, #tenon.dims<"n", "6", "20">>, %w: tensor<4x20x1x2xf32>) -> tensor<?x4x2x2xf32, #tenon.dims<"n", "4", "2", "2">> {
  %0 = tenon.transpose %x [0, 2, 1] : tensor<?x6x20xf32, #tenon.dims<"n", "6", "20">>
  %1 = tenon.reshape %0 to <"n", "20", "2", "3"> : tensor<?x20x6xf32, #tenon.dims<"n", "20", "6">>
  %2 = tenon.neg %1 : tensor<?x20x2x3xf32, #tenon.dims<"n", "20", "2", "3">>
  %3 = tenon.conv %2, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<?x20x2x3xf32, #tenon.dims<"n", "20", "2", "3">>, tensor<4x20x1x2xf32>
  return %3 : tensor<?x4x2x2xf32, #tenon.dims<"n", "4", "2", "2">>
}

// A model that has its channels last between convolutions says the same: what it
// adds ends the first one's kernel.

// CHECK-LABEL: @lastInTheModel
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK: %[[B:.+]] = tenon.reshape %{{.+}} to <"4">
// CHECK: %[[SUM:.+]] = tenon.add %[[Y]], %[[B]] : tensor<1x6x4xf32>, tensor<4xf32>
// CHECK: %[[NEG:.+]] = tenon.neg %[[SUM]] : tensor<1x6x4xf32>
// CHECK: %[[IMAGE:.+]] = tenon.reshape %[[NEG]] to <"1", "2", "3", "4">
// CHECK: %[[OUT:.+]] = tenon.reshape %[[IMAGE]] to <"1", "2", "3", "4">
// CHECK: tenon.matmul %[[NEG]]
// CHECK: tenon.reduce max %[[OUT]] over [1, 2]
func.func @lastInTheModel(%x: tensor<1x3x2x3xf32>, %w: tensor<4x3x1x1xf32>, %b: tensor<1x1x1x4xf32>, %v: tensor<5x4x1x1xf32>) -> (tensor<1x5x2x3xf32>, tensor<1x4xf32>) {
  %0 = tenon.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x3x2x3xf32>, tensor<4x3x1x1xf32>
  %1 = tenon.transpose %0 [0, 2, 3, 1] : tensor<1x4x2x3xf32>
  %2 = tenon.add %1, %b : tensor<1x2x3x4xf32>, tensor<1x1x1x4xf32>
  %3 = tenon.neg %2 : tensor<1x2x3x4xf32>
  %4 = tenon.transpose %3 [0, 3, 1, 2] : tensor<1x2x3x4xf32>
  %5 = tenon.conv %4, %v strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x4x2x3xf32>, tensor<5x4x1x1xf32>
  %6 = tenon.reduce max %3 over [1, 2] : tensor<1x2x3x4xf32>
  return %5, %6 : tensor<1x5x2x3xf32>, tensor<1x4xf32>
}

// A pointwise convolution multiplies the rows themselves; what varies along a
// part of the spatial dims makes an image of them.

// CHECK-LABEL: @pointwise
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK-NOT: tenon.im2col
// CHECK: %[[Z:.+]] = tenon.matmul %[[Y]]
// CHECK: %[[IMAGE:.+]] = tenon.reshape %[[Z]] to <"1", "2", "3", "5">
// CHECK: %[[S:.+]] = tenon.reshape %arg3 to <"1", "1", "3", "1">
// CHECK: %[[R:.+]] = tenon.mul %[[IMAGE]], %[[S]] : tensor<1x2x3x5xf32>, tensor<1x1x3x1xf32>
// CHECK: tenon.transpose %[[R]] [0, 3, 1, 2]
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

// Images of sizes that are the same, or 1, when the model runs: they are joined as
// images.

// CHECK-LABEL: @joinedSizes
// CHECK: %[[X:.+]] = tenon.matmul
// CHECK: %[[A:.+]] = tenon.reshape %[[X]] to <"1", "h", "5", "4">
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK-NOT: tenon.transpose
// CHECK: %[[B:.+]] = tenon.reshape %[[Y]] to <"1", "k", "5", "4">
// CHECK: %[[SUM:.+]] = tenon.add %[[A]], %[[B]]
// CHECK: tenon.im2col %[[SUM]] kernel [3, 3] {{.*}} channels_last
func.func @joinedSizes(%x: tensor<1x3x?x5xf32, #tenon.dims<"1", "3", "h", "5">>, %y: tensor<1x3x?x5xf32, #tenon.dims<"1", "3", "k", "5">>, %w: tensor<4x3x1x1xf32>, %v: tensor<2x4x3x3xf32>) -> tensor<1x2x?x5xf32, #tenon.dims<"1", "2", "bcast(h,k)", "5">> {
  %0 = tenon.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x3x?x5xf32, #tenon.dims<"1", "3", "h", "5">>, tensor<4x3x1x1xf32>
  %1 = tenon.conv %y, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x3x?x5xf32, #tenon.dims<"1", "3", "k", "5">>, tensor<4x3x1x1xf32>
  %2 = tenon.add %0, %1 : tensor<1x4x?x5xf32, #tenon.dims<"1", "4", "h", "5">>, tensor<1x4x?x5xf32, #tenon.dims<"1", "4", "k", "5">>
  %3 = tenon.conv %2, %v strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] group 1 : tensor<1x4x?x5xf32, #tenon.dims<"1", "4", "bcast(h,k)", "5">>, tensor<2x4x3x3xf32>
  return %3 : tensor<1x2x?x5xf32, #tenon.dims<"1", "2", "bcast(h,k)", "5">>
}

// Of one channel the image is the same either way.

// CHECK-LABEL: @oneChannel
// CHECK: %[[X:.+]] = tenon.reshape %arg0 to <"1", "4", "6", "1">
// CHECK: tenon.im2col %[[X]] {{.*}} channels_last
func.func @oneChannel(%x: tensor<1x1x4x6xf32>, %w: tensor<4x1x3x3xf32>) -> tensor<1x4x2x4xf32> {
  %0 = tenon.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x1x4x6xf32>, tensor<4x1x3x3xf32>
  return %0 : tensor<1x4x2x4xf32>
}

// Channels that fill vectors are brought together first.

// CHECK-LABEL: @manyChannels
// CHECK: %[[T:.+]] = tenon.transpose %arg0 [0, 2, 3, 1]
// CHECK: tenon.im2col %[[T]] {{.*}} channels_last
func.func @manyChannels(%x: tensor<1x32x4x4xf32>, %w: tensor<4x32x3x3xf32>) -> tensor<1x4x2x2xf32> {
  %0 = tenon.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x32x4x4xf32>, tensor<4x32x3x3xf32>
  return %0 : tensor<1x4x2x2xf32>
}

// So is an image that grows, while it is small.

// CHECK-LABEL: @grownImage
// CHECK: %[[T:.+]] = tenon.transpose %arg0 [0, 2, 3, 1] : tensor<1x16x2x3xf32>
// CHECK: %[[H:.+]] = tenon.gather %[[T]], %arg1 axis 1
// CHECK: %[[W:.+]] = tenon.gather %[[H]], %arg2 axis 2 : tensor<1x4x3x16xf32>, tensor<6xi64>
// CHECK: tenon.im2col %[[W]] {{.*}} channels_last
func.func @grownImage(%x: tensor<1x16x2x3xf32>, %h: tensor<4xi64>, %v: tensor<6xi64>, %w: tensor<4x16x3x3xf32>) -> tensor<1x4x2x4xf32> {
  %0 = tenon.gather %x, %h axis 2 : tensor<1x16x2x3xf32>, tensor<4xi64>
  %1 = tenon.gather %0, %v axis 3 : tensor<1x16x4x3xf32>, tensor<6xi64>
  %2 = tenon.conv %1, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x16x4x6xf32>, tensor<4x16x3x3xf32>
  return %2 : tensor<1x4x2x4xf32>
}

// Flattened channels and pixels are rows as they lie, by a constant whose rows
// stand in their order; of all pixels, and of those of each row of the image.

// CHECK-LABEL: @flattened
// CHECK: tenon.matmul
// CHECK: %[[I:.+]] = tenon.reshape %{{.+}} to <"1", "1", "3", "2">
// CHECK-NOT: tenon.transpose
// CHECK: tenon.constant dense_resource<{{.*}}> : tensor<2x6xf32>
// CHECK-NEXT: %[[W:.+]] = tenon.constant dense_resource<{{.*}}> : tensor<2x6xf32>
// CHECK-NEXT: %[[R:.+]] = tenon.reshape %[[I]] to <"1", "6">
// CHECK-NEXT: tenon.matmul %[[R]], %[[W]] transposed
func.func @flattened(%x: tensor<1x3x1x3xf32>, %w: tensor<2x3x1x1xf32>) -> tensor<1x2xf32> {
  %0 = tenon.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x3x1x3xf32>, tensor<2x3x1x1xf32>
  %1 = tenon.reshape %0 to <"1", "6"> : tensor<1x2x1x3xf32>
  %c = tenon.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, 10.0], [11.0, 12.0]]> : tensor<6x2xf32>
  %2 = tenon.matmul %1, %c : tensor<1x6xf32>, tensor<6x2xf32>
  return %2 : tensor<1x2xf32>
}

// CHECK-LABEL: @flattenedRows
// CHECK: tenon.matmul
// CHECK: %[[I:.+]] = tenon.reshape %{{.+}} to <"1", "h", "3", "2">
// CHECK-NOT: tenon.transpose
// CHECK: %[[R:.+]] = tenon.reshape %[[I]] to <"1", "h", "6">
// CHECK: tenon.matmul %[[R]], %{{.+}} transposed
func.func @flattenedRows(%x: tensor<1x3x?x3xf32, #tenon.dims<"1", "3", "h", "3">>, %w: tensor<2x3x1x1xf32>) -> tensor<1x?x2xf32, #tenon.dims<"1", "h", "2">> {
  %0 = tenon.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x3x?x3xf32, #tenon.dims<"1", "3", "h", "3">>, tensor<2x3x1x1xf32>
  %1 = tenon.transpose %0 [0, 2, 1, 3] : tensor<1x2x?x3xf32, #tenon.dims<"1", "2", "h", "3">>
  %2 = tenon.reshape %1 to <"1", "h", "6"> : tensor<1x?x2x3xf32, #tenon.dims<"1", "h", "2", "3">>
  %c = tenon.constant dense<[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]> : tensor<2x6xf32>
  %3 = tenon.matmul %2, %c transposed : tensor<1x?x6xf32, #tenon.dims<"1", "h", "6">>, tensor<2x6xf32>
  return %3 : tensor<1x?x2xf32, #tenon.dims<"1", "h", "2">>
}

// Channels that stand before the images are no rows of one.
// CHECK-LABEL: @channelsFirst
// CHECK: tenon.matmul %{{.+}}, %{{.+}} : tensor<2x3xf32>, tensor<3x2xf32>
func.func @channelsFirst(%x: tensor<1x3x1x3xf32>, %w: tensor<2x3x1x1xf32>) -> tensor<2x2xf32> {
  %0 = tenon.conv %x, %w strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x3x1x3xf32>, tensor<2x3x1x1xf32>
  %1 = tenon.transpose %0 [1, 0, 2, 3] : tensor<1x2x1x3xf32>
  %2 = tenon.reshape %1 to <"2", "3"> : tensor<2x1x1x3xf32>
  %c = tenon.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %3 = tenon.matmul %2, %c : tensor<2x3xf32>, tensor<3x2xf32>
  return %3 : tensor<2x2xf32>
}

// Sums over an image's elements read them as they lie, and so do those over
// positions of which no dim is kept.

// CHECK-LABEL: @wholeImages
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK-NOT: tenon.transpose
// CHECK: %[[M:.+]] = tenon.reduce mean %[[Y]] over [1, 2] : tensor<2x5x8xf32>
// CHECK: tenon.reshape %[[M]] to <"2", "1", "1">
// CHECK: tenon.reduce max %[[Y]] over [1] : tensor<2x5x8xf32>
func.func @wholeImages(%x: tensor<2x3x5xf32>, %a: tensor<8x3x1xf32>) -> (tensor<2x1x1xf32>, tensor<2x8xf32>) {
  %0 = tenon.conv %x, %a strides [1] pads [0, 0] dilations [1] group 1 : tensor<2x3x5xf32>, tensor<8x3x1xf32>
  %1 = tenon.reduce mean %0 over [1, 2] keepdims : tensor<2x8x5xf32>
  %2 = tenon.reduce max %0 over [2] : tensor<2x8x5xf32>
  return %1, %2 : tensor<2x1x1xf32>, tensor<2x8xf32>
}

// What a model repeats at all positions is joined as rows, and read by channel
// by what repeats it itself.

// CHECK-LABEL: @repeated
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK-NOT: tenon.transpose
// CHECK: %[[S:.+]] = tenon.reshape %arg2 to <"2", "1", "8">
// CHECK: %[[R:.+]] = tenon.broadcast_to %[[S]] to <"2", "5", "8">
// CHECK: %[[C:.+]] = tenon.concat %[[Y]], %[[R]] axis 2
// CHECK: tenon.matmul %[[C]]
// CHECK: %[[T:.+]] = tenon.reshape %arg2 to <"2", "1", "8">
// CHECK: tenon.mul %[[Y]], %[[T]] : tensor<2x5x8xf32>, tensor<2x1x8xf32>
func.func @repeated(%x: tensor<2x3x5xf32>, %a: tensor<8x3x1xf32>, %s: tensor<2x8x1xf32>, %b: tensor<4x16x1xf32>) -> (tensor<2x4x5xf32>, tensor<2x8x5xf32>) {
  %0 = tenon.conv %x, %a strides [1] pads [0, 0] dilations [1] group 1 : tensor<2x3x5xf32>, tensor<8x3x1xf32>
  %1 = tenon.broadcast_to %s to <"2", "8", "5"> : tensor<2x8x1xf32>
  %2 = tenon.concat %0, %1 axis 1 : tensor<2x8x5xf32>, tensor<2x8x5xf32>
  %3 = tenon.conv %2, %b strides [1] pads [0, 0] dilations [1] group 1 : tensor<2x16x5xf32>, tensor<4x16x1xf32>
  %4 = tenon.mul %0, %1 : tensor<2x8x5xf32>, tensor<2x8x5xf32>
  return %3, %4 : tensor<2x4x5xf32>, tensor<2x8x5xf32>
}

// Taps that meet padding alone are none.

// CHECK-LABEL: @croppedTaps
// CHECK: %[[W:.+]] = tenon.constant dense_resource<taps{{.*}}> : tensor<2x1x2x1xf32>
// CHECK: tenon.im2col {{.*}} kernel [2, 1] strides [1, 1] pads [1, 0, 0, 0] dilations [1, 4]
func.func @croppedTaps(%x: tensor<1x1x2x3xf32>) -> tensor<1x2x2x3xf32> {
  %w = tenon.constant dense<[[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]], [[[7.0, 8.0, 9.0], [10.0, 11.0, 12.0]]]]> : tensor<2x1x2x3xf32>
  %0 = tenon.conv %x, %w strides [1, 1] pads [1, 4, 0, 4] dilations [1, 4] group 1 : tensor<1x1x2x3xf32>, tensor<2x1x2x3xf32>
  return %0 : tensor<1x2x2x3xf32>
}

// Each tap of a wide dilation is a product of the few positions where it meets
// the image.

// CHECK-LABEL: @wideDilation
// CHECK: tenon.slice %[[I:.+]] from <"0", "0", "0", "0"> step [1, 1, 1, 1] to <"1", "1", "1", "16">
// CHECK: tenon.matmul %{{.+}}, %{{.+}} transposed : tensor<1x1x16xf32>, tensor<16x16xf32>
// CHECK: %[[Z:.+]] = tenon.pad constant %{{.+}}, %{{.+}} low <"0", "6", "6", "0"> high <"0", "0", "0", "0">
// CHECK: tenon.slice %[[I]] from <"0", "0", "0", "0"> step [1, 1, 1, 1] to <"1", "1", "7", "16">
// CHECK: tenon.matmul %{{.+}}, %{{.+}} transposed : tensor<1x7x16xf32>, tensor<16x16xf32>
// CHECK: %[[Y:.+]] = tenon.pad constant %{{.+}}, %{{.+}} low <"0", "6", "0", "0"> high <"0", "0", "0", "0">
// CHECK: tenon.add %[[Z]], %[[Y]]
// CHECK-COUNT-7: tenon.matmul
// CHECK-NOT: tenon.matmul
// CHECK: return
func.func @wideDilation(%x: tensor<1x16x7x7xf32>) -> tensor<1x16x7x7xf32> {
  %w = tenon.constant dense<1.0> : tensor<16x16x5x3xf32>
  %0 = tenon.conv %x, %w strides [1, 1] pads [12, 6, 12, 6] dilations [6, 6] group 1 : tensor<1x16x7x7xf32>, tensor<16x16x5x3xf32>
  return %0 : tensor<1x16x7x7xf32>
}

// Windows of 3x3 at several depths are one of images with the channels of all.

// CHECK-LABEL: @stackedDepth
// CHECK: tenon.pad constant %{{.+}}, %{{.+}} low <"0", "1", "0", "0", "0"> high <"0", "0", "0", "0", "0">
// CHECK: %[[A:.+]] = tenon.slice %{{.+}} from <"0", "0", "0", "0", "0"> step [1, 2, 1, 1, 1] to <"1", "2", "5", "6", "16">
// CHECK: %[[B:.+]] = tenon.slice %{{.+}} from <"0", "1", "0", "0", "0"> step [1, 2, 1, 1, 1] to <"1", "2", "5", "6", "16">
// CHECK: %[[C:.+]] = tenon.concat %[[A]], %[[B]] axis 4
// CHECK: %[[S:.+]] = tenon.reshape %[[C]] to <"2", "5", "6", "32">
// CHECK: %[[P:.+]] = tenon.im2col %[[S]] kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last
// CHECK: %[[W:.+]] = tenon.constant dense<1.000000e+00> : tensor<16x288xf32>
// CHECK: %[[Y:.+]] = tenon.matmul %[[P]], %[[W]] transposed
// CHECK: tenon.reshape %[[Y]] to <"1", "60", "16">
func.func @stackedDepth(%x: tensor<1x16x3x5x6xf32>) -> tensor<1x16x2x5x6xf32> {
  %w = tenon.constant dense<1.0> : tensor<16x16x2x3x3xf32>
  %0 = tenon.conv %x, %w strides [2, 1, 1] pads [1, 1, 1, 0, 1, 1] dilations [1, 1, 1] group 1 : tensor<1x16x3x5x6xf32>, tensor<16x16x2x3x3xf32>
  return %0 : tensor<1x16x2x5x6xf32>
}

// Branches are parts of the channels: what adds them up reads rows.

// CHECK-LABEL: @branches
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK-NOT: tenon.transpose
// CHECK: %[[N:.+]] = tenon.neg %[[Y]] : tensor<1x5x16xf32>
// CHECK: %[[P:.+]] = tenon.reshape %[[N]] to <"1", "5", "2", "8">
// CHECK: %[[S:.+]] = tenon.reshape %arg2 to <"1", "1", "2", "8">
// CHECK: %[[M:.+]] = tenon.mul %[[P]], %[[S]]
// CHECK: %[[R:.+]] = tenon.reduce sum %[[M]] over [2]
// CHECK: tenon.matmul %[[R]]
func.func @branches(%x: tensor<1x3x5xf32>, %a: tensor<16x3x1xf32>, %s: tensor<1x2x8x1xf32>, %b: tensor<4x8x1xf32>) -> tensor<1x4x5xf32> {
  %0 = tenon.conv %x, %a strides [1] pads [0, 0] dilations [1] group 1 : tensor<1x3x5xf32>, tensor<16x3x1xf32>
  %1 = tenon.reshape %0 to <"1", "2", "8", "5"> : tensor<1x16x5xf32>
  %2 = tenon.neg %1 : tensor<1x2x8x5xf32>
  %3 = tenon.mul %2, %s : tensor<1x2x8x5xf32>, tensor<1x2x8x1xf32>
  %4 = tenon.reduce sum %3 over [1] : tensor<1x2x8x5xf32>
  %5 = tenon.conv %4, %b strides [1] pads [0, 0] dilations [1] group 1 : tensor<1x8x5xf32>, tensor<4x8x1xf32>
  return %5 : tensor<1x4x5xf32>
}

// Heads of attention that become channels lie as rows do but for their order, and
// what is computed of them is asked for by what reads other rows.

// CHECK-LABEL: @heads
// CHECK: %[[T:.+]] = tenon.transpose %arg1 [0, 2, 1, 3] : tensor<1x2x5x8xf32>
// CHECK: %[[R:.+]] = tenon.reshape %[[T]] to <"1", "5", "16">
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK: %[[N:.+]] = tenon.neg %[[R]] : tensor<1x5x16xf32>
// CHECK: tenon.add %[[Y]], %[[N]] : tensor<1x5x16xf32>
func.func @heads(%x: tensor<1x3x5xf32>, %y: tensor<1x2x5x8xf32>, %a: tensor<16x3x1xf32>) -> tensor<1x16x5xf32> {
  %0 = tenon.conv %x, %a strides [1] pads [0, 0] dilations [1] group 1 : tensor<1x3x5xf32>, tensor<16x3x1xf32>
  %1 = tenon.transpose %y [0, 1, 3, 2] : tensor<1x2x5x8xf32>
  %2 = tenon.reshape %1 to <"1", "16", "5"> : tensor<1x2x8x5xf32>
  %3 = tenon.neg %2 : tensor<1x16x5xf32>
  %4 = tenon.add %0, %3 : tensor<1x16x5xf32>, tensor<1x16x5xf32>
  return %4 : tensor<1x16x5xf32>
}

// Windows are positions in another order, whose sums are some of the dims; what
// is repeated along them is read as it is, and a norm over an image is one of rows.

// CHECK-LABEL: @windows
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK: %[[I:.+]] = tenon.reshape %[[Y]] to <"1", "2", "6", "8">
// CHECK: %[[G:.+]] = tenon.gather %[[I]], %arg2 axis 2
// CHECK: %[[T:.+]] = tenon.transpose %[[G]] [0, 2, 1, 3, 4] : tensor<1x2x2x3x8xf32>
// CHECK: %[[S:.+]] = tenon.reduce sum %[[T]] over [3] keepdims
// CHECK: %[[M:.+]] = tenon.mul %[[T]], %[[S]] : tensor<1x2x2x3x8xf32>, tensor<1x2x2x1x8xf32>
// CHECK: %[[F:.+]] = tenon.reshape %{{.+}} to <"1", "1", "96"> : tensor<1x12x8xf32>
// CHECK: %[[N:.+]] = tenon.layer_norm %[[F]]
// CHECK: %[[P:.+]] = tenon.mul %[[N]], %arg3
// CHECK: %[[R:.+]] = tenon.reshape %[[P]] to <"1", "12", "8">
// CHECK: tenon.matmul %[[R]]
func.func @windows(%x: tensor<1x3x2x6xf32>, %a: tensor<8x3x1x1xf32>, %i: tensor<2x3xi64>, %s: tensor<1x1xf32>, %b: tensor<4x8x1x1xf32>) -> tensor<1x4x4x3xf32> {
  %0 = tenon.conv %x, %a strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x3x2x6xf32>, tensor<8x3x1x1xf32>
  %1 = tenon.gather %0, %i axis 3 : tensor<1x8x2x6xf32>, tensor<2x3xi64>
  %2 = tenon.transpose %1 [0, 1, 3, 2, 4] : tensor<1x8x2x2x3xf32>
  %3 = tenon.reduce sum %2 over [4] keepdims : tensor<1x8x2x2x3xf32>
  %4 = tenon.broadcast_to %3 to <"1", "8", "2", "2", "3"> : tensor<1x8x2x2x1xf32>
  %5 = tenon.mul %2, %4 : tensor<1x8x2x2x3xf32>, tensor<1x8x2x2x3xf32>
  %6 = tenon.reshape %5 to <"1", "1", "96"> : tensor<1x8x2x2x3xf32>
  %7 = tenon.layer_norm %6 epsilon 1.0e-5 dims 1 : tensor<1x1x96xf32>
  %8 = tenon.mul %7, %s : tensor<1x1x96xf32>, tensor<1x1xf32>
  %9 = tenon.reshape %8 to <"1", "8", "4", "3"> : tensor<1x1x96xf32>
  %10 = tenon.conv %9, %b strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x8x4x3xf32>, tensor<4x8x1x1xf32>
  return %10 : tensor<1x4x4x3xf32>
}

// A constant beside what has rows, an embedding of positions, is turned here.

// CHECK-LABEL: @positions
// CHECK: tenon.constant dense_resource<channels_last{{.*}}> : tensor<2x8xf32>
// CHECK: %[[Y:.+]] = tenon.matmul
// CHECK-NOT: tenon.transpose
// CHECK: tenon.add %[[Y]], %{{.+}} : tensor<1x2x8xf32>, tensor<1x2x8xf32>
func.func @positions(%x: tensor<1x3x2xf32>, %a: tensor<8x3x1xf32>) -> tensor<1x8x2xf32> {
  %p = tenon.constant dense<[[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0], [8.0, 9.0], [1.5, 2.5], [3.5, 4.5], [5.5, 6.5]]]> : tensor<1x8x2xf32>
  %0 = tenon.conv %x, %a strides [1] pads [0, 0] dilations [1] group 1 : tensor<1x3x2xf32>, tensor<8x3x1xf32>
  %1 = tenon.add %0, %p : tensor<1x8x2xf32>, tensor<1x8x2xf32>
  return %1 : tensor<1x8x2xf32>
}

// A convolution to no channels, or of no images, has no numbers.

// CHECK-LABEL: @noOutputs
// CHECK: %[[Z:.+]] = tenon.constant dense<0.000000e+00> : tensor<f16>
// CHECK: %[[Y:.+]] = tenon.broadcast_to %[[Z]] to <"2", "0", "8"> : tensor<f16>
// CHECK: return %[[Y]]
func.func @noOutputs(%x: tensor<2x4x11xf16>, %w: tensor<0x1x4xf16>) -> tensor<2x0x8xf16> {
  %0 = tenon.conv %x, %w strides [1] pads [0, 0] dilations [1] group 4 : tensor<2x4x11xf16>, tensor<0x1x4xf16>
  return %0 : tensor<2x0x8xf16>
}
