// RUN: tenon-opt %s --split-input-file --tenon-emit-kernels=family=gpu --verify-diagnostics

func.func @room(%x: tensor<?x256xf32, #tenon.dims<"m", "256">>, %p: tensor<2x256x32xf32>) -> tensor<?x64xf32, #tenon.dims<"m", "64">> {
  // expected-error @+1 {{the ranges of a split have no room beside each other: expected other than}}
  %0 = tenon.kernel matmul(%x, %p) : (tensor<?x256xf32, #tenon.dims<"m", "256">>, tensor<2x256x32xf32>) -> tensor<?x64xf32, #tenon.dims<"m", "64">> tiling #tenon.gpu_matmul<tile = 128 x 64, stages = 3, split = 8, products = tf32> {
  ^bb0(%a: tensor<?x256xf32, #tenon.dims<"m", "256">>, %b: tensor<2x256x32xf32>):
    %1 = tenon.packed_matmul %a, %b columns "64" : tensor<?x256xf32, #tenon.dims<"m", "256">>, tensor<2x256x32xf32>
    tenon.yield %1 : tensor<?x64xf32, #tenon.dims<"m", "64">>
  }
  return %0 : tensor<?x64xf32, #tenon.dims<"m", "64">>
}

// -----

func.func @products(%x: tensor<?x64xf32, #tenon.dims<"m", "64">>, %p: tensor<2x64x32xf32>) -> tensor<?x64xf32, #tenon.dims<"m", "64">> {
  // expected-error @+1 {{integers alone are multiplied as i8: expected other products than}}
  %0 = tenon.kernel matmul(%x, %p) : (tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<2x64x32xf32>) -> tensor<?x64xf32, #tenon.dims<"m", "64">> tiling #tenon.gpu_matmul<tile = 64 x 64, stages = 3, products = i8> {
  ^bb0(%a: tensor<?x64xf32, #tenon.dims<"m", "64">>, %b: tensor<2x64x32xf32>):
    %1 = tenon.packed_matmul %a, %b columns "64" : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<2x64x32xf32>
    tenon.yield %1 : tensor<?x64xf32, #tenon.dims<"m", "64">>
  }
  return %0 : tensor<?x64xf32, #tenon.dims<"m", "64">>
}
