// RUN: tenon-opt %s --split-input-file --verify-diagnostics

// expected-error @+1 {{expected the threads to be a multiple of 32 in [32, 1024], found 48}}
#threads = #tenon.gpu_threads<threads = 48, elements = 1>

// -----

// expected-error @+1 {{expected the elements to be 1 or 4, found 2}}
#elements = #tenon.gpu_blocks<threads = 64, elements = 2>

// -----

// expected-error @+1 {{expected the bytes of shared memory to be in [1, 49152], found 73728}}
#ring = #tenon.gpu_matmul<tile = 128 x 128, stages = 4, products = tf32>

// -----

// expected-error @+1 {{expected the split to be a multiple of 4 in [4, 64], found 3}}
#split = #tenon.gpu_matmul<tile = 64 x 64, stages = 3, split = 3, products = tf32>

// -----

// expected-error @+1 {{expected the warps of a split to be a multiple of 4 in [4, 32], found 2}}
#warps = #tenon.gpu_matmul<tile = 32 x 64, stages = 3, split = 4, products = tf32>

// -----

// expected-error @+1 {{expected tiles of 128 x 64 floats, found #tenon.gpu_matmul<tile = 64 x 64, stages = 3, products = tf32>}}
#grid = #tenon.gpu_grid<#tenon.gpu_matmul<tile = 64 x 64, stages = 3, products = tf32>>

// -----

// expected-error @+1 {{expected the rows to be a multiple of 16 in [16, 128], found 8}}
#rows = #tenon.gpu_attention<rows = 8, products = bf16>

// -----

func.func @kind(%x: tensor<8xf32>) -> tensor<8xf32> {
  // expected-error @+1 {{expected a tiling of a map kernel, found that of a matmul}}
  %0 = tenon.kernel map(%x) : (tensor<8xf32>) -> tensor<8xf32> tiling #tenon.gpu_matmul<tile = 64 x 64, stages = 3, products = tf32x3> {
  ^bb0(%a: tensor<8xf32>):
    %1 = tenon.neg %a : tensor<8xf32>
    tenon.yield %1 : tensor<8xf32>
  }
  return %0 : tensor<8xf32>
}

// -----

func.func @grid_kind(%x: tensor<8xf32>) -> tensor<8xf32> {
  // expected-error @+1 {{expected a tiling of a map kernel, found that of a matmul}}
  %0 = tenon.kernel map(%x) : (tensor<8xf32>) -> tensor<8xf32> tiling #tenon.gpu_grid<#tenon.gpu_matmul<tile = 128 x 64, stages = 3, products = bf16>> {
  ^bb0(%a: tensor<8xf32>):
    %1 = tenon.neg %a : tensor<8xf32>
    tenon.yield %1 : tensor<8xf32>
  }
  return %0 : tensor<8xf32>
}
