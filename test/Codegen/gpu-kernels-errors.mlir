// RUN: tenon-opt %s --split-input-file --tenon-emit-kernels=family=gpu --verify-diagnostics

func.func @products(%x: tensor<?x64xf32, #tenon.dims<"m", "64">>, %p: tensor<2x64x32xf32>) -> tensor<?x64xf32, #tenon.dims<"m", "64">> {
  // expected-error @+1 {{integers alone are multiplied as i8: expected other products than}}
  %0 = tenon.kernel matmul(%x, %p) : (tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<2x64x32xf32>) -> tensor<?x64xf32, #tenon.dims<"m", "64">> tiling #tenon.gpu_matmul<tile = 64 x 64, stages = 3, products = i8> {
  ^bb0(%a: tensor<?x64xf32, #tenon.dims<"m", "64">>, %b: tensor<2x64x32xf32>):
    %1 = tenon.packed_matmul %a, %b columns "64" : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<2x64x32xf32>
    tenon.yield %1 : tensor<?x64xf32, #tenon.dims<"m", "64">>
  }
  return %0 : tensor<?x64xf32, #tenon.dims<"m", "64">>
}

// -----

func.func @winograd(%x: tensor<1x8x8x16xf32>, %p: tensor<16x1x16x32xf32>) -> tensor<1x64x32xf32> {
  // expected-error @+1 {{a GPU multiplies patches: expected a product without winograd (--winograd=off)}}
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x8x8x16xf32>, tensor<16x1x16x32xf32>) -> tensor<1x64x32xf32> {
  ^bb0(%a: tensor<1x8x8x16xf32>, %b: tensor<16x1x16x32xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x16xf32>
    %2 = tenon.packed_matmul %1, %b columns "32" winograd : tensor<1x64x144xf32>, tensor<16x1x16x32xf32>
    tenon.yield %2 : tensor<1x64x32xf32>
  }
  return %0 : tensor<1x64x32xf32>
}

// -----

func.func @matrices(%x: tensor<4x?x256xf32, #tenon.dims<"4", "m", "256">>, %p: tensor<4x2x256x32xf32>) -> tensor<4x?x64xf32, #tenon.dims<"4", "m", "64">> {
  // expected-error @+1 {{a split over blocks is for one matrix of weights and at most 4096 tiles: expected other than}}
  %0 = tenon.kernel matmul(%x, %p) : (tensor<4x?x256xf32, #tenon.dims<"4", "m", "256">>, tensor<4x2x256x32xf32>) -> tensor<4x?x64xf32, #tenon.dims<"4", "m", "64">> tiling #tenon.gpu_matmul<tile = 64 x 64, stages = 3, split = 8, products = tf32> {
  ^bb0(%a: tensor<4x?x256xf32, #tenon.dims<"4", "m", "256">>, %b: tensor<4x2x256x32xf32>):
    %1 = tenon.packed_matmul %a, %b columns "64" : tensor<4x?x256xf32, #tenon.dims<"4", "m", "256">>, tensor<4x2x256x32xf32>
    tenon.yield %1 : tensor<4x?x64xf32, #tenon.dims<"4", "m", "64">>
  }
  return %0 : tensor<4x?x64xf32, #tenon.dims<"4", "m", "64">>
}

// -----

func.func @finished(%q: tensor<2x64x32xf32>, %k: tensor<2x2x32x32xf32>, %v: tensor<2x1x64x32xf32>) -> tensor<2x64x32xf32> {
  // expected-error @+1 {{an attention on a GPU multiplies what its softmax gives; expected nothing between them}}
  %0 = tenon.kernel attention(%q, %k, %v) : (tensor<2x64x32xf32>, tensor<2x2x32x32xf32>, tensor<2x1x64x32xf32>) -> tensor<2x64x32xf32> tiling #tenon.gpu_threads<threads = 128, elements = 1> {
  ^bb0(%a: tensor<2x64x32xf32>, %b: tensor<2x2x32x32xf32>, %c: tensor<2x1x64x32xf32>):
    %1 = tenon.packed_matmul %a, %b columns "64" : tensor<2x64x32xf32>, tensor<2x2x32x32xf32>
    %2 = tenon.softmax %1 : tensor<2x64x64xf32>
    %3 = tenon.round %2 : tensor<2x64x64xf32>
    %4 = tenon.packed_matmul %3, %c columns "32" : tensor<2x64x64xf32>, tensor<2x1x64x32xf32>
    tenon.yield %4 : tensor<2x64x32xf32>
  }
  return %0 : tensor<2x64x32xf32>
}
