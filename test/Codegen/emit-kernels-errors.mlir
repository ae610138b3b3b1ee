// RUN: tenon-opt %s --split-input-file --tenon-emit-kernels --verify-diagnostics

func.func @noTiling(%x: tensor<8xf32>) -> tensor<8xf32> {
  // expected-error @below {{a 'map' kernel has no tiling of this family: run tenon-tile first}}
  %0 = tenon.kernel map(%x) : (tensor<8xf32>) -> tensor<8xf32> {
  ^bb0(%a: tensor<8xf32>):
    tenon.yield %a : tensor<8xf32>
  }
  return %0 : tensor<8xf32>
}
