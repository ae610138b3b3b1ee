// RUN: tenon-opt %s --tenon-fuse | FileCheck %s
// RUN: tenon-opt %s --tenon-fuse > %t
// RUN: tenon-opt %s --tenon-fuse --tenon-tile | diff %t -
// RUN: tenon-opt %s --tenon-form-kernels --tenon-tile="l2-bytes=524288 candidate=1" | FileCheck %s --check-prefix=OTHER
// RUN: not tenon-opt %s --tenon-tile=family=abacus 2>&1 | FileCheck %s --check-prefix=FAMILY

// FAMILY: error: expected the family cpu or gpu, found abacus

// Each kind of kernel has a tiling of its own, or none where nothing can be
// chosen; a chooser's numbers, of which the block follows the second cache.
// CHECK-LABEL: @kinds
// CHECK: tenon.kernel matmul({{.*}}) : {{.*}} tiling #tenon.cpu_matmul<task = 48 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512>
// CHECK: tenon.kernel row(%{{[0-9]+}}) :
// CHECK: tenon.kernel map({{.*}}) : {{.*}} tiling #tenon.cpu_elements<chunk = 1024>
// CHECK: tenon.kernel map({{.*}}) : {{.*}} tiling #tenon.cpu_reduce<elements = 4096, columns = 256>
// CHECK: tenon.kernel scan({{.*}}) : {{.*}} tiling #tenon.cpu_columns<columns = 256>
// OTHER-LABEL: @kinds
// OTHER: tiling #tenon.cpu_matmul<task = 24 x 2, tile = 6 x 2, block_bytes = 393216, chunk = 512>
// OTHER: tenon.kernel map({{.*}}) : {{.*}} tiling #tenon.cpu_elements<chunk = 4096>
func.func @kinds(%x: tensor<?x64xf32, #tenon.dims<"m", "64">>, %p: tensor<2x64x32xf32>)
    -> (tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<?xf32, #tenon.dims<"m">>, tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<?x64xf32, #tenon.dims<"m", "64">>) {
  %0 = tenon.packed_matmul %x, %p columns "64" : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<2x64x32xf32>
  %1 = tenon.softmax %0 : tensor<?x64xf32, #tenon.dims<"m", "64">>
  %5 = tenon.exp %x : tensor<?x64xf32, #tenon.dims<"m", "64">>
  %2 = tenon.neg %x : tensor<?x64xf32, #tenon.dims<"m", "64">>
  %3 = tenon.reduce sum %2 over [1] : tensor<?x64xf32, #tenon.dims<"m", "64">>
  %4 = tenon.cumulate sum %2 over 0 : tensor<?x64xf32, #tenon.dims<"m", "64">>
  return %1, %3, %4, %5 : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<?xf32, #tenon.dims<"m">>, tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<?x64xf32, #tenon.dims<"m", "64">>
}

// CHECK-LABEL: @depthwise
// CHECK: tiling #tenon.cpu_depthwise<pixels = 256, channels = 64>
// OTHER-LABEL: @depthwise
// OTHER: tiling #tenon.cpu_depthwise<pixels = 64, channels = 64>
func.func @depthwise(%x: tensor<1x4x8xf32>, %w: tensor<3x8xf32>) -> tensor<1x2x8xf32> {
  %0 = tenon.depthwise %x, %w kernel [3] strides [1] pads [0, 0] dilations [1] : tensor<1x4x8xf32>, tensor<3x8xf32>
  return %0 : tensor<1x2x8xf32>
}

// A product of patches that repeat much of the image, or that meet no border,
// reads the image; other patches are copied.
// CHECK-LABEL: @patches
// CHECK: tiling #tenon.cpu_conv<positions = 1024, panels = 2, tile = 6 x 2, chunk = 1024>
// CHECK: tiling #tenon.cpu_conv<positions = 256, panels = 2, tile = 6 x 2, chunk = 1024>
// CHECK: tiling #tenon.cpu_matmul
// OTHER-LABEL: @patches
// OTHER: tiling #tenon.cpu_conv<positions = 256, panels = 2, tile = 6 x 2, chunk = 1024>
func.func @patches(%x: tensor<1x8x8x64xf32>, %p: tensor<1x576x32xf32>, %q: tensor<1x256x32xf32>) -> (tensor<1x64x32xf32>, tensor<1x16x32xf32>, tensor<1x4x32xf32>) {
  %0 = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x64xf32>
  %1 = tenon.packed_matmul %0, %p columns "32" : tensor<1x64x576xf32>, tensor<1x576x32xf32>
  %2 = tenon.im2col %x kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] dilations [1, 1] channels_last : tensor<1x8x8x64xf32>
  %3 = tenon.packed_matmul %2, %q columns "32" : tensor<1x16x256xf32>, tensor<1x256x32xf32>
  %4 = tenon.im2col %x kernel [3, 3] strides [4, 4] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x64xf32>
  %5 = tenon.packed_matmul %4, %p columns "32" : tensor<1x4x576xf32>, tensor<1x576x32xf32>
  return %1, %3, %5 : tensor<1x64x32xf32>, tensor<1x16x32xf32>, tensor<1x4x32xf32>
}

// One of few terms waits for its stores: a task has all its panels, whole
// tiles of two.
// CHECK-LABEL: @fewTerms
// CHECK: tiling #tenon.cpu_conv<positions = 1024, panels = 6, tile = 6 x 2, chunk = 1024>
func.func @fewTerms(%x: tensor<1x8x8x3xf32>, %p: tensor<5x27x32xf32>) -> tensor<1x64x130xf32> {
  %0 = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x3xf32>
  %1 = tenon.packed_matmul %0, %p columns "130" : tensor<1x64x27xf32>, tensor<5x27x32xf32>
  return %1 : tensor<1x64x130xf32>
}

// What stands is kept.
// CHECK-LABEL: @kept
// CHECK: tiling #tenon.cpu_elements<chunk = 128>
func.func @kept(%x: tensor<8xf32>) -> tensor<8xf32> {
  %0 = tenon.kernel map(%x) : (tensor<8xf32>) -> tensor<8xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<8xf32>):
    %1 = tenon.neg %a : tensor<8xf32>
    tenon.yield %1 : tensor<8xf32>
  }
  return %0 : tensor<8xf32>
}
