// RUN: tenon-opt %s --tenon-winograd | FileCheck %s
// RUN: tenon-opt %s --tenon-winograd=vector-bits=256 | FileCheck %s --check-prefix=NARROW
// RUN: tenon-opt %s --tenon-winograd --cse --tenon-form-kernels | FileCheck %s --check-prefix=KERNELS
// RUN: tenon-opt %s --tenon-winograd --cse --tenon-form-kernels=materialize-all | FileCheck %s --check-prefix=KERNELS

// 16 numbers for each filter's nine. 1 everywhere gives 1, 3/2, 1/2, 1 along a
// row and a column.

// CHECK-LABEL: @ones
// CHECK-DAG: %[[U:.+]] = tenon.constant dense_resource<winograd{{.*}}> : tensor<16x16x16xf32>
// CHECK-DAG: %[[P:.+]] = tenon.im2col %arg0
// CHECK-DAG: %[[W:.+]] = tenon.pack_b %[[U]] transposed
// CHECK: tenon.packed_matmul %[[P]], %[[W]] columns "16" winograd : tensor<1x4096x144xf32>, tensor<16x1x16x32xf32>
func.func @ones(%x: tensor<1x64x64x16xf32>) -> tensor<1x4096x16xf32> {
  %w = tenon.constant dense<1.0> : tensor<16x144xf32>
  %p = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x64x64x16xf32>
  %b = tenon.pack_b %w transposed : tensor<16x144xf32>
  %0 = tenon.packed_matmul %p, %b columns "16" : tensor<1x4096x144xf32>, tensor<1x144x32xf32>
  return %0 : tensor<1x4096x16xf32>
}

// Sizes that are not known may be large, or small; two products by one weight have one
// weight.

// CHECK-LABEL: @dynamic
// CHECK: tenon.constant dense_resource
// CHECK-NOT: tenon.constant dense_resource
// CHECK: tenon.packed_matmul {{.*}} winograd unless "max(
// CHECK: tenon.packed_matmul {{.*}} winograd :
func.func @dynamic(%x: tensor<?x?x?x16xf32, #tenon.dims<"n", "h", "w", "16">>, %y: tensor<1x66x66x16xf32>) -> (tensor<?x?x16xf32, #tenon.dims<"n", "h*w", "16">>, tensor<1x4096x16xf32>) {
  %w = tenon.constant dense<1.0> : tensor<16x144xf32>
  %p = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<?x?x?x16xf32, #tenon.dims<"n", "h", "w", "16">>
  %q = tenon.im2col %y kernel [3, 3] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] channels_last : tensor<1x66x66x16xf32>
  %b = tenon.pack_b %w transposed : tensor<16x144xf32>
  %c = tenon.pack_b %w transposed : tensor<16x144xf32>
  %0 = tenon.packed_matmul %p, %b columns "16" : tensor<?x?x144xf32, #tenon.dims<"n", "h*w", "144">>, tensor<1x144x32xf32>
  %1 = tenon.packed_matmul %q, %c columns "16" : tensor<1x4096x144xf32>, tensor<1x144x32xf32>
  return %0, %1 : tensor<?x?x16xf32, #tenon.dims<"n", "h*w", "16">>, tensor<1x4096x16xf32>
}

// Positions of a square lie a dilation apart; those of the last block of 2 x 4
// columns, and of an image that may be large, are counted.

// CHECK-LABEL: @dilated
// CHECK: tenon.packed_matmul {{.*}} winograd
// CHECK: tenon.packed_matmul {{.*}} winograd
func.func @dilated(%x: tensor<1x64x64x16xf32>, %y: tensor<?x?x?x16xf32, #tenon.dims<"n", "h", "w", "16">>) -> (tensor<1x4096x16xf32>, tensor<?x?x16xf32, #tenon.dims<"n", "h*w", "16">>) {
  %w = tenon.constant dense<1.0> : tensor<16x144xf32>
  %p = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [2, 4, 2, 4] dilations [2, 4] channels_last : tensor<1x64x64x16xf32>
  %q = tenon.im2col %y kernel [3, 3] strides [1, 1] pads [6, 6, 6, 6] dilations [6, 6] channels_last : tensor<?x?x?x16xf32, #tenon.dims<"n", "h", "w", "16">>
  %b = tenon.pack_b %w transposed : tensor<16x144xf32>
  %0 = tenon.packed_matmul %p, %b columns "16" : tensor<1x4096x144xf32>, tensor<1x144x32xf32>
  %1 = tenon.packed_matmul %q, %b columns "16" : tensor<?x?x144xf32, #tenon.dims<"n", "h*w", "144">>, tensor<1x144x32xf32>
  return %0, %1 : tensor<1x4096x16xf32>, tensor<?x?x16xf32, #tenon.dims<"n", "h*w", "16">>
}

// Patches are of one product's kernel, whoever else reads such.

// KERNELS-LABEL: @shared
// KERNELS-COUNT-2: tenon.packed_matmul {{.*}} winograd
func.func @shared(%x: tensor<1x64x64x16xf32>) -> (tensor<1x4096x16xf32>, tensor<1x4096x32xf32>) {
  %w = tenon.constant dense<1.0> : tensor<16x144xf32>
  %v = tenon.constant dense<2.0> : tensor<32x144xf32>
  %p = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x64x64x16xf32>
  %a = tenon.pack_b %w transposed : tensor<16x144xf32>
  %b = tenon.pack_b %v transposed : tensor<32x144xf32>
  %0 = tenon.packed_matmul %p, %a columns "16" : tensor<1x4096x144xf32>, tensor<1x144x32xf32>
  %1 = tenon.packed_matmul %p, %b columns "32" : tensor<1x4096x144xf32>, tensor<1x144x32xf32>
  return %0, %1 : tensor<1x4096x16xf32>, tensor<1x4096x32xf32>
}

// A large weight takes less time beside products by narrow vectors.

// NARROW-LABEL: @others
// NARROW: winograd : tensor<1x49x4608xf32>
// NARROW-NOT: packed_matmul {{.*}} winograd

// Steps, weights that a run gives, few channels, images that leave much of their
// squares out, as dilations do that are large beside them, have few squares or most
// of them at the border, large weights that few
// positions meet, numbers that overflow.

// CHECK-LABEL: @others
// CHECK-NOT: winograd
func.func @others(%x: tensor<1x64x64x16xf32>, %v: tensor<16x144xf32>, %y: tensor<1x64x64x8xf32>, %z: tensor<1x3x3x16xf32>, %t: tensor<1x7x7x512xf32>, %u: tensor<1x5x5x64xf32>, %o: tensor<1x9x9x33xf32>, %i: tensor<1x9x9x64xf32>)
    -> (tensor<1x1024x16xf32>, tensor<1x4096x16xf32>, tensor<1x4096x16xf32>, tensor<1x9x16xf32>, tensor<1x49x512xf32>, tensor<1x4096x16xf32>, tensor<1x25x64xf32>, tensor<1x81x40xf32>, tensor<1x81x64xf32>) {
  %w = tenon.constant dense<1.0> : tensor<16x144xf32>
  %few = tenon.constant dense<1.0> : tensor<16x72xf32>
  %deep = tenon.constant dense<1.0> : tensor<512x4608xf32>
  %huge = tenon.constant dense<3.0e38> : tensor<16x144xf32>
  %steps = tenon.im2col %x kernel [3, 3] strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x64x64x16xf32>
  %p = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x64x64x16xf32>
  %q = tenon.im2col %y kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x64x64x8xf32>
  %r = tenon.im2col %z kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x3x3x16xf32>
  %s = tenon.im2col %t kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x7x7x512xf32>
  %b = tenon.pack_b %w transposed : tensor<16x144xf32>
  %c = tenon.pack_b %v transposed : tensor<16x144xf32>
  %d = tenon.pack_b %few transposed : tensor<16x72xf32>
  %e = tenon.pack_b %deep transposed : tensor<512x4608xf32>
  %f = tenon.pack_b %huge transposed : tensor<16x144xf32>
  %0 = tenon.packed_matmul %steps, %b columns "16" : tensor<1x1024x144xf32>, tensor<1x144x32xf32>
  %1 = tenon.packed_matmul %p, %c columns "16" : tensor<1x4096x144xf32>, tensor<1x144x32xf32>
  %2 = tenon.packed_matmul %q, %d columns "16" : tensor<1x4096x72xf32>, tensor<1x72x32xf32>
  %3 = tenon.packed_matmul %r, %b columns "16" : tensor<1x9x144xf32>, tensor<1x144x32xf32>
  %4 = tenon.packed_matmul %s, %e columns "512" : tensor<1x49x4608xf32>, tensor<16x4608x32xf32>
  %5 = tenon.packed_matmul %p, %f columns "16" : tensor<1x4096x144xf32>, tensor<1x144x32xf32>
  %narrow = tenon.constant dense<1.0> : tensor<64x576xf32>
  %odd = tenon.constant dense<1.0> : tensor<40x297xf32>
  %k = tenon.im2col %u kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x5x5x64xf32>
  %l = tenon.im2col %o kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x9x9x33xf32>
  %m = tenon.im2col %i kernel [3, 3] strides [1, 1] pads [6, 6, 6, 6] dilations [6, 6] channels_last : tensor<1x9x9x64xf32>
  %g = tenon.pack_b %narrow transposed : tensor<64x576xf32>
  %h = tenon.pack_b %odd transposed : tensor<40x297xf32>
  %6 = tenon.packed_matmul %k, %g columns "64" : tensor<1x25x576xf32>, tensor<2x576x32xf32>
  %7 = tenon.packed_matmul %l, %h columns "40" : tensor<1x81x297xf32>, tensor<2x297x32xf32>
  %8 = tenon.packed_matmul %m, %g columns "64" : tensor<1x81x576xf32>, tensor<2x576x32xf32>
  return %0, %1, %2, %3, %4, %5, %6, %7, %8 : tensor<1x1024x16xf32>, tensor<1x4096x16xf32>, tensor<1x4096x16xf32>, tensor<1x9x16xf32>, tensor<1x49x512xf32>, tensor<1x4096x16xf32>, tensor<1x25x64xf32>, tensor<1x81x40xf32>, tensor<1x81x64xf32>
}

// The first one is made of 1 alone.

// CHECK: winograd: "0x08000000{{(0000803F){250}[0-9A-F]}}
