// RUN: tenon-opt %s --tenon-widen-convs --split-input-file | FileCheck %s

// What is read by windows is stored as f32, the maximum of such too; what is
// between keeps its roundings. Other convolutions of such an image are of f32,
// a product of rows by the matrix as it is stored; not those of other images.

// CHECK-LABEL: @block
// CHECK-DAG: %[[W:.+]] = tenon.constant dense<5.000000e-01> : tensor<24x24x3x3xf32>
// CHECK-DAG: %[[ZERO:.+]] = tenon.constant dense<0.000000e+00> : tensor<f32>
// CHECK-DAG: %[[X:.+]] = tenon.cast %arg0 to f32
// CHECK: %[[C:.+]] = tenon.conv %[[X]], %[[W]]
// CHECK: %[[R:.+]] = tenon.cast %[[C]] to f16
// CHECK: %[[S:.+]] = tenon.silu %[[R]] : tensor<1x24x4x4xf16>
// CHECK: %[[SW:.+]] = tenon.cast %[[S]] to f32
// CHECK: %[[M:.+]] = tenon.max %[[SW]], %[[ZERO]] : tensor<1x24x4x4xf32>, tensor<f32>
// CHECK: tenon.conv %[[M]], %[[W]]
// CHECK: %[[V:.+]] = tenon.cast %{{.*}} to f32 : tensor<32x24x1x1xf16>
// CHECK: %[[D:.+]] = tenon.conv %[[M]], %[[V]]
// CHECK: %[[DH:.+]] = tenon.cast %[[D]] to f16
// CHECK: tenon.conv %[[DH]], {{.*}} : tensor<1x32x4x4xf16>, tensor<8x32x1x1xf16>
func.func @block(%x: tensor<1x24x4x4xf16>) -> (tensor<1x24x4x4xf16>, tensor<1x8x4x4xf16>) {
  %w = tenon.constant dense<0.5> : tensor<24x24x3x3xf16>
  %v = tenon.constant dense<0.25> : tensor<32x24x1x1xf16>
  %u = tenon.constant dense<0.25> : tensor<8x32x1x1xf16>
  %zero = tenon.constant dense<0.0> : tensor<f16>
  %0 = tenon.conv %x, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] group 1 : tensor<1x24x4x4xf16>, tensor<24x24x3x3xf16>
  %1 = tenon.silu %0 : tensor<1x24x4x4xf16>
  %2 = tenon.max %1, %zero : tensor<1x24x4x4xf16>, tensor<f16>
  %3 = tenon.conv %2, %w strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] group 1 : tensor<1x24x4x4xf16>, tensor<24x24x3x3xf16>
  %4 = tenon.conv %2, %v strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x24x4x4xf16>, tensor<32x24x1x1xf16>
  %5 = tenon.conv %4, %u strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x32x4x4xf16>, tensor<8x32x1x1xf16>
  return %3, %5 : tensor<1x24x4x4xf16>, tensor<1x8x4x4xf16>
}

// -----

// What the model casts to f32 reads what is stored; all else halves of it.

// CHECK-LABEL: @mixed
// CHECK: %[[A:.+]] = tenon.add
// CHECK: %[[AW:.+]] = tenon.cast %[[A]] to f32
// CHECK: %[[AH:.+]] = tenon.cast %[[AW]] to bf16
// CHECK: %[[C:.+]] = tenon.conv %[[AW]]
// CHECK: tenon.mul %[[AW]], %arg1 : tensor<1x4x8xf32>, tensor<f32>
// CHECK: tenon.matmul %[[AH]]
func.func @mixed(%x: tensor<1x4x8xbf16>, %s: tensor<f32>, %m: tensor<8x3xbf16>) -> (tensor<1x4x8xbf16>, tensor<1x4x8xf32>, tensor<1x4x3xbf16>) {
  %w = tenon.constant dense<0.5> : tensor<4x4x3xbf16>
  %2 = tenon.add %x, %x : tensor<1x4x8xbf16>, tensor<1x4x8xbf16>
  %3 = tenon.conv %2, %w strides [1] pads [1, 1] dilations [1] group 1 : tensor<1x4x8xbf16>, tensor<4x4x3xbf16>
  %4 = tenon.cast %2 to f32 : tensor<1x4x8xbf16>
  %5 = tenon.mul %4, %s : tensor<1x4x8xf32>, tensor<f32>
  %6 = tenon.matmul %2, %m : tensor<1x4x8xbf16>, tensor<8x3xbf16>
  return %3, %5, %6 : tensor<1x4x8xbf16>, tensor<1x4x8xf32>, tensor<1x4x3xbf16>
}

// -----

// No windows, channels alone, a filter that is no constant: all stays.

// CHECK-LABEL: @others
// CHECK-NOT: f32
// CHECK: return
func.func @others(%x: tensor<1x4x8xf16>, %w: tensor<4x4x3xf16>) -> (tensor<1x4x8xf16>, tensor<1x4x8xf16>, tensor<1x4x8xf16>) {
  %v = tenon.constant dense<0.5> : tensor<4x4x1xf16>
  %d = tenon.constant dense<0.5> : tensor<4x1x3xf16>
  %0 = tenon.conv %x, %w strides [1] pads [1, 1] dilations [1] group 1 : tensor<1x4x8xf16>, tensor<4x4x3xf16>
  %1 = tenon.conv %x, %v strides [1] pads [0, 0] dilations [1] group 1 : tensor<1x4x8xf16>, tensor<4x4x1xf16>
  %2 = tenon.conv %x, %d strides [1] pads [1, 1] dilations [1] group 4 : tensor<1x4x8xf16>, tensor<4x1x3xf16>
  return %0, %1, %2 : tensor<1x4x8xf16>, tensor<1x4x8xf16>, tensor<1x4x8xf16>
}
