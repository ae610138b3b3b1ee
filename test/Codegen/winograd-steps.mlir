// RUN: tenon-opt %s --tenon-winograd --mlir-elide-resource-strings-if-larger=64 | FileCheck %s

// Of windows in steps of 2 one matrix of 25 numbers for each filter's nine.

// CHECK-LABEL: @steps
// CHECK-DAG: %[[U:.+]] = tenon.constant dense_resource<winograd{{.*}}> : tensor<64x1600xf32>
// CHECK-DAG: %[[P:.+]] = tenon.im2col %arg0
// CHECK-DAG: %[[W:.+]] = tenon.pack_b %[[U]] transposed
// CHECK: tenon.packed_matmul %[[P]], %[[W]] columns "64" winograd : tensor<1x784x576xf32>, tensor<2x1600x32xf32>
func.func @steps(%x: tensor<1x56x56x64xf32>) -> tensor<1x784x64xf32> {
  %w = tenon.constant dense<1.0> : tensor<64x576xf32>
  %p = tenon.im2col %x kernel [3, 3] strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x56x56x64xf32>
  %b = tenon.pack_b %w transposed : tensor<64x576xf32>
  %0 = tenon.packed_matmul %p, %b columns "64" : tensor<1x784x576xf32>, tensor<2x576x32xf32>
  return %0 : tensor<1x784x64xf32>
}

// Few channels, whose transforms take what is gained; a weight that few positions
// meet, or a large one that images of unknown sizes do; steps of one dim alone.

// CHECK-LABEL: @others
// CHECK-NOT: winograd
func.func @others(%x: tensor<1x64x64x16xf32>, %y: tensor<1x14x14x512xf32>, %z: tensor<?x?x?x512xf32, #tenon.dims<"n", "2*h", "2*w", "512">>, %v: tensor<1x16x16x32xf32>, %t: tensor<1x16x16x64xf32>)
    -> (tensor<1x1024x16xf32>, tensor<1x49x512xf32>, tensor<?x?x512xf32, #tenon.dims<"n", "h*w", "512">>, tensor<1x128x32xf32>, tensor<1x64x64xf32>) {
  %few = tenon.constant dense<1.0> : tensor<16x144xf32>
  %deep = tenon.constant dense<1.0> : tensor<512x4608xf32>
  %some = tenon.constant dense<1.0> : tensor<32x288xf32>
  %p = tenon.im2col %x kernel [3, 3] strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x64x64x16xf32>
  %q = tenon.im2col %y kernel [3, 3] strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x14x14x512xf32>
  %r = tenon.im2col %z kernel [3, 3] strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<?x?x?x512xf32, #tenon.dims<"n", "2*h", "2*w", "512">>
  %s = tenon.im2col %v kernel [3, 3] strides [2, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x16x16x32xf32>
  %b = tenon.pack_b %few transposed : tensor<16x144xf32>
  %c = tenon.pack_b %deep transposed : tensor<512x4608xf32>
  %d = tenon.pack_b %some transposed : tensor<32x288xf32>
  %0 = tenon.packed_matmul %p, %b columns "16" : tensor<1x1024x144xf32>, tensor<1x144x32xf32>
  %1 = tenon.packed_matmul %q, %c columns "512" : tensor<1x49x4608xf32>, tensor<16x4608x32xf32>
  %2 = tenon.packed_matmul %r, %c columns "512" : tensor<?x?x4608xf32, #tenon.dims<"n", "h*w", "4608">>, tensor<16x4608x32xf32>
  %3 = tenon.packed_matmul %s, %d columns "32" : tensor<1x128x288xf32>, tensor<1x288x32xf32>
  %wide = tenon.constant dense<1.0> : tensor<64x576xf32>
  %e = tenon.pack_b %wide transposed : tensor<64x576xf32>
  %u = tenon.im2col %t kernel [3, 3] strides [2, 2] pads [1, 1, 0, 0] dilations [1, 1] channels_last : tensor<1x16x16x64xf32>
  %4 = tenon.packed_matmul %u, %e columns "64" : tensor<1x64x576xf32>, tensor<2x576x32xf32>
  return %0, %1, %2, %3, %4 : tensor<1x1024x16xf32>, tensor<1x49x512xf32>, tensor<?x?x512xf32, #tenon.dims<"n", "h*w", "512">>, tensor<1x128x32xf32>, tensor<1x64x64xf32>
}
