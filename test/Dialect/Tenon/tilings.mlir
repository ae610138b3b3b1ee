// RUN: tenon-opt %s | tenon-opt | FileCheck %s

// CHECK-LABEL: @matmul
// CHECK: tenon.kernel matmul(%arg0, %arg1) : {{.*}} tiling #tenon.cpu_matmul<task = 48 x 4, tile = 6 x 2, block_bytes = 786432, chunk = 1024>
func.func @matmul(%x: tensor<4x64xf32>, %p: tensor<2x64x32xf32>) -> tensor<4x64xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<4x64xf32>, tensor<2x64x32xf32>) -> tensor<4x64xf32> tiling #tenon.cpu_matmul<task = 48 x 4, tile = 6 x 2, block_bytes = 786432, chunk = 1024> {
  ^bb0(%a: tensor<4x64xf32>, %b: tensor<2x64x32xf32>):
    %1 = tenon.packed_matmul %a, %b columns "64" : tensor<4x64xf32>, tensor<2x64x32xf32>
    tenon.yield %1 : tensor<4x64xf32>
  }
  return %0 : tensor<4x64xf32>
}

// CHECK-LABEL: @elements
// CHECK: tenon.kernel map(%arg0) : {{.*}} tiling #tenon.cpu_elements<chunk = 4096>
// CHECK: tenon.kernel map({{.*}}) : {{.*}} tiling #tenon.cpu_reduce<elements = 512, columns = 64>
// CHECK: tenon.kernel scan({{.*}}) : {{.*}} tiling #tenon.cpu_columns<columns = 128>
// CHECK: tenon.kernel scatter({{.*}}) : {{.*}} tiling #tenon.cpu_scatter<columns = 32, tasks = 8>
func.func @elements(%x: tensor<4x4xf32>, %i: tensor<4x4xi64>) -> tensor<4x4xf32> {
  %0 = tenon.kernel map(%x) : (tensor<4x4xf32>) -> tensor<4x4xf32> tiling #tenon.cpu_elements<chunk = 4096> {
  ^bb0(%a: tensor<4x4xf32>):
    %9 = tenon.neg %a : tensor<4x4xf32>
    tenon.yield %9 : tensor<4x4xf32>
  }
  %1 = tenon.kernel map(%0) : (tensor<4x4xf32>) -> tensor<4xf32> tiling #tenon.cpu_reduce<elements = 512, columns = 64> {
  ^bb0(%a: tensor<4x4xf32>):
    %9 = tenon.reduce sum %a over [1] : tensor<4x4xf32>
    tenon.yield %9 : tensor<4xf32>
  }
  %2 = tenon.kernel scan(%0) : (tensor<4x4xf32>) -> tensor<4x4xf32> tiling #tenon.cpu_columns<columns = 128> {
  ^bb0(%a: tensor<4x4xf32>):
    %9 = tenon.cumulate sum %a over 0 : tensor<4x4xf32>
    tenon.yield %9 : tensor<4x4xf32>
  }
  %3 = tenon.kernel scatter(%2, %i) : (tensor<4x4xf32>, tensor<4x4xi64>) -> tensor<4x4xf32> tiling #tenon.cpu_scatter<columns = 32, tasks = 8> {
  ^bb0(%a: tensor<4x4xf32>, %b: tensor<4x4xi64>):
    %9 = tenon.scatter_elements none %a, %b, %a axis 0 : tensor<4x4xf32>, tensor<4x4xi64>, tensor<4x4xf32>
    tenon.yield %9 : tensor<4x4xf32>
  }
  return %3 : tensor<4x4xf32>
}

// CHECK-LABEL: @depthwise
// CHECK: tenon.kernel depthwise(%arg0, %arg1) : {{.*}} tiling #tenon.cpu_depthwise<pixels = 64, channels = 128>
func.func @depthwise(%x: tensor<1x4x8xf32>, %w: tensor<3x8xf32>) -> tensor<1x2x8xf32> {
  %0 = tenon.kernel depthwise(%x, %w) : (tensor<1x4x8xf32>, tensor<3x8xf32>) -> tensor<1x2x8xf32> tiling #tenon.cpu_depthwise<pixels = 64, channels = 128> {
  ^bb0(%a: tensor<1x4x8xf32>, %b: tensor<3x8xf32>):
    %1 = tenon.depthwise %a, %b kernel [3] strides [1] pads [0, 0] dilations [1] : tensor<1x4x8xf32>, tensor<3x8xf32>
    tenon.yield %1 : tensor<1x2x8xf32>
  }
  return %0 : tensor<1x2x8xf32>
}

// CHECK-LABEL: @squares
// CHECK: tenon.kernel matmul(%arg0, %arg1) : {{.*}} tiling #tenon.cpu_winograd<squares = 24, panels = 4, tile = 6 x 2>
// CHECK: tenon.packed_matmul {{.*}} columns "32" winograd : tensor<1x64x144xf32>, tensor<16x1x16x32xf32>
func.func @squares(%x: tensor<1x8x8x16xf32>, %p: tensor<16x1x16x32xf32>) -> tensor<1x64x32xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x8x8x16xf32>, tensor<16x1x16x32xf32>) -> tensor<1x64x32xf32> tiling #tenon.cpu_winograd<squares = 24, panels = 4, tile = 6 x 2> {
  ^bb0(%a: tensor<1x8x8x16xf32>, %b: tensor<16x1x16x32xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x16xf32>
    %2 = tenon.packed_matmul %1, %b columns "32" winograd : tensor<1x64x144xf32>, tensor<16x1x16x32xf32>
    tenon.yield %2 : tensor<1x64x32xf32>
  }
  return %0 : tensor<1x64x32xf32>
}

// CHECK-LABEL: @patches
// CHECK: tenon.kernel matmul(%arg0, %arg1) : {{.*}} tiling #tenon.cpu_conv<positions = 128, panels = 2, tile = 6 x 2, chunk = 1024>
func.func @patches(%x: tensor<1x8x8x6xf32>, %p: tensor<1x54x32xf32>) -> tensor<1x64x12xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x8x8x6xf32>, tensor<1x54x32xf32>) -> tensor<1x64x12xf32> tiling #tenon.cpu_conv<positions = 128, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x8x8x6xf32>, %b: tensor<1x54x32xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x6xf32>
    %2 = tenon.packed_matmul %1, %b columns "12" : tensor<1x64x54xf32>, tensor<1x54x32xf32>
    tenon.yield %2 : tensor<1x64x12xf32>
  }
  return %0 : tensor<1x64x12xf32>
}

// Attributes stand alone too.
// CHECK-LABEL: @alone
// CHECK-SAME: a = #tenon.cpu_attention<queries = 96>
func.func private @alone() attributes {a = #tenon.cpu_attention<queries = 96>}
