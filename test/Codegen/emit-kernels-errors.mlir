// RUN: tenon-opt %s --split-input-file --tenon-emit-kernels --verify-diagnostics

func.func @noTiling(%x: tensor<8xf32>) -> tensor<8xf32> {
  // expected-error @below {{a 'map' kernel has no tiling of this family: run tenon-tile first}}
  %0 = tenon.kernel map(%x) : (tensor<8xf32>) -> tensor<8xf32> {
  ^bb0(%a: tensor<8xf32>):
    tenon.yield %a : tensor<8xf32>
  }
  return %0 : tensor<8xf32>
}

// -----

func.func @computedImage(%x: tensor<1x8x8x6xf32>, %p: tensor<1x54x32xf32>) -> tensor<1x64x12xf32> {
  // expected-error @below {{expected patches of a stored image and one product of them for #tenon.cpu_conv<positions = 96, panels = 2, tile = 6 x 2, chunk = 1024>}}
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x8x8x6xf32>, tensor<1x54x32xf32>) -> tensor<1x64x12xf32> tiling #tenon.cpu_conv<positions = 96, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x8x8x6xf32>, %b: tensor<1x54x32xf32>):
    %3 = tenon.neg %a : tensor<1x8x8x6xf32>
    %1 = tenon.im2col %3 kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x6xf32>
    %2 = tenon.packed_matmul %1, %b columns "12" : tensor<1x64x54xf32>, tensor<1x54x32xf32>
    tenon.yield %2 : tensor<1x64x12xf32>
  }
  return %0 : tensor<1x64x12xf32>
}

// -----

// Of a convolution's two runs each is filled up to whole vectors.
func.func @shortColumns(%x: tensor<1x8x16x1xf32>, %p: tensor<1x18x1xf32>) -> tensor<1x56x1xf32> {
  // expected-error @below {{expected columns of 32 numbers, found 18}}
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x8x16x1xf32>, tensor<1x18x1xf32>) -> tensor<1x56x1xf32> tiling #tenon.cpu_conv<positions = 96, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x8x16x1xf32>, %b: tensor<1x18x1xf32>):
    %1 = tenon.im2col %a kernel [2, 9] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] channels_last : tensor<1x8x16x1xf32>
    %2 = tenon.packed_matmul %1, %b columns "1" : tensor<1x56x18xf32>, tensor<1x18x1xf32>
    tenon.yield %2 : tensor<1x56x1xf32>
  }
  return %0 : tensor<1x56x1xf32>
}

// -----

func.func @unpackedWeight(%x: tensor<4x1x24xf32>, %w: tensor<1x24x8xf32>) -> tensor<5x1x1x8xf32> {
  // expected-error @below {{a recurrent layer needs panels of its weight in memory: run tenon-pack-matmul first}}
  %0 = tenon.kernel recurrence(%x, %w) : (tensor<4x1x24xf32>, tensor<1x24x8xf32>) -> tensor<5x1x1x8xf32> {
  ^bb0(%a: tensor<4x1x24xf32>, %b: tensor<1x24x8xf32>):
    %1 = tenon.recurrent gru %a, %b units 8 : tensor<4x1x24xf32>, tensor<1x24x8xf32>
    tenon.yield %1 : tensor<5x1x1x8xf32>
  }
  return %0 : tensor<5x1x1x8xf32>
}

// -----

func.func @winogradOfComputedPixels(%x: tensor<1x8x8x16xf32>, %p: tensor<16x1x16x32xf32>) -> tensor<1x64x32xf32> {
  // expected-error @+1 {{expected patches of a stored image for #tenon.cpu_winograd}}
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x8x8x16xf32>, tensor<16x1x16x32xf32>) -> tensor<1x64x32xf32> tiling #tenon.cpu_winograd<squares = 24, panels = 2, tile = 6 x 2> {
  ^bb0(%a: tensor<1x8x8x16xf32>, %b: tensor<16x1x16x32xf32>):
    %1 = tenon.neg %a : tensor<1x8x8x16xf32>
    %2 = tenon.im2col %1 kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x16xf32>
    %3 = tenon.packed_matmul %2, %b columns "32" winograd : tensor<1x64x144xf32>, tensor<16x1x16x32xf32>
    tenon.yield %3 : tensor<1x64x32xf32>
  }
  return %0 : tensor<1x64x32xf32>
}
