// RUN: tenon-opt %s --tenon-flush-tiny-weights --split-input-file | FileCheck %s

// A dead channel's weights and its bias become zeros, whichever views show them.

// CHECK-LABEL: @deadChannel
// CHECK: %[[W:.+]] = tenon.constant dense_resource<[[WEIGHT:[a-z0-9_]+]]> : tensor<2x2x1xf32>
// CHECK: %[[B:.+]] = tenon.constant dense_resource<[[BIAS:[a-z0-9_]+]]> : tensor<2xf32>
// CHECK: tenon.conv %arg0, %[[W]]
// CHECK: tenon.reshape %[[B]]
// CHECK-DAG: [[WEIGHT]]: "0x080000000000803F000000000000004000000000"
// CHECK-DAG: [[BIAS]]: "0x08000000CCBC8C2B00000000"
func.func @deadChannel(%x: tensor<1x2x4xf32>) -> tensor<1x2x4xf32> {
  %w = tenon.constant dense<[[[1.0], [1.0e-40]], [[2.0], [-1.0e-30]]]> : tensor<2x2x1xf32>
  %b = tenon.constant dense<[1.0e-12, -3.0e-35]> : tensor<2xf32>
  %0 = tenon.conv %x, %w strides [1] pads [0, 0] dilations [1] group 1 : tensor<1x2x4xf32>, tensor<2x2x1xf32>
  %1 = tenon.neg %0 : tensor<1x2x4xf32>
  %2 = tenon.reshape %b to <"2", "1"> : tensor<2xf32>
  %3 = tenon.add %1, %2 : tensor<1x2x4xf32>, tensor<2x1xf32>
  return %3 : tensor<1x2x4xf32>
}

// -----

// Not beside numbers that are small themselves, nor where no product comes
// before, nor what is read by something else, too.

// CHECK-LABEL: @kept
// CHECK-NOT: dense_resource
func.func @kept(%x: tensor<5x2xf32>, %i: tensor<1xi64>) -> (tensor<5x2xf32>, tensor<5x2xf32>, tensor<5x2xf32>, tensor<1x2xf32>) {
  %small = tenon.constant dense<[[1.0e-20, 1.0e-38], [1.0e-20, 0.0]]> : tensor<2x2xf32>
  %0 = tenon.matmul %x, %small : tensor<5x2xf32>, tensor<2x2xf32>
  %bias = tenon.constant dense<[1.0, 1.0e-40]> : tensor<2xf32>
  %1 = tenon.add %x, %bias : tensor<5x2xf32>, tensor<2xf32>
  %table = tenon.constant dense<[[1.0, 1.0e-40], [1.0, 0.0]]> : tensor<2x2xf32>
  %2 = tenon.matmul %x, %table : tensor<5x2xf32>, tensor<2x2xf32>
  %3 = tenon.gather %table, %i axis 0 : tensor<2x2xf32>, tensor<1xi64>
  return %0, %1, %2, %3 : tensor<5x2xf32>, tensor<5x2xf32>, tensor<5x2xf32>, tensor<1x2xf32>
}
