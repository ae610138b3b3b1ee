// RUN: tenon-opt %s --tenon-winograd --cse --tenon-form-kernels --tenon-choose-products | FileCheck %s
// RUN: tenon-opt %s --tenon-winograd --cse --tenon-form-kernels --tenon-choose-products --tenon-tile | FileCheck %s --check-prefix=TILED

// Of an image whose sizes are not known, direct sums where it is small: two
// kernels, each with what follows the product and its own weight alone.

// CHECK-LABEL: @open
// CHECK-DAG: %[[U:.+]] = tenon.constant dense_resource<winograd
// CHECK-DAG: %[[W:.+]] = tenon.pack_b %[[U]] transposed
// CHECK-DAG: %[[G:.+]] = tenon.constant dense<1.0
// CHECK-DAG: %[[D:.+]] = tenon.pack_b %[[G]] transposed
// CHECK: %[[ONE:.+]] = tenon.kernel matmul(%arg0, %[[D]])
// CHECK: tenon.packed_matmul %{{.*}}, %{{.*}} columns "16" : {{.*}}, tensor<1x144x32xf32>
// CHECK: tenon.neg
// CHECK: %[[OTHER:.+]] = tenon.kernel matmul(%arg0, %[[W]])
// CHECK: tenon.packed_matmul %{{.*}}, %{{.*}} columns "16" winograd : {{.*}}, tensor<16x1x16x32xf32>
// CHECK: tenon.neg
// CHECK: %[[BOTH:.+]] = tenon.merge "max(lt({{.*}}),lt({{.*}},9))" then %[[ONE]] else %[[OTHER]]
// CHECK: return %[[BOTH]]
// TILED-LABEL: @open
// TILED: tiling #tenon.cpu_conv
// TILED: tiling #tenon.cpu_winograd
func.func @open(%x: tensor<?x?x?x16xf32, #tenon.dims<"n", "h", "w", "16">>) -> tensor<?x?x16xf32, #tenon.dims<"n", "h*w", "16">> {
  %w = tenon.constant dense<1.0> : tensor<16x144xf32>
  %p = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<?x?x?x16xf32, #tenon.dims<"n", "h", "w", "16">>
  %b = tenon.pack_b %w transposed : tensor<16x144xf32>
  %0 = tenon.packed_matmul %p, %b columns "16" : tensor<?x?x144xf32, #tenon.dims<"n", "h*w", "144">>, tensor<1x144x32xf32>
  %1 = tenon.neg %0 : tensor<?x?x16xf32, #tenon.dims<"n", "h*w", "16">>
  return %1 : tensor<?x?x16xf32, #tenon.dims<"n", "h*w", "16">>
}

// Where the sizes are known, or one of them leaves half of each square out,
// there is nothing to choose.

// CHECK-LABEL: @certain
// CHECK-NOT: tenon.merge
func.func @certain(%x: tensor<?x64x64x16xf32, #tenon.dims<"n", "64", "64", "16">>, %y: tensor<1x1x?x16xf32, #tenon.dims<"1", "1", "w", "16">>) -> (tensor<?x4096x16xf32, #tenon.dims<"n", "4096", "16">>, tensor<1x?x16xf32, #tenon.dims<"1", "w", "16">>) {
  %w = tenon.constant dense<1.0> : tensor<16x144xf32>
  %p = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<?x64x64x16xf32, #tenon.dims<"n", "64", "64", "16">>
  %q = tenon.im2col %y kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x1x?x16xf32, #tenon.dims<"1", "1", "w", "16">>
  %b = tenon.pack_b %w transposed : tensor<16x144xf32>
  %0 = tenon.packed_matmul %p, %b columns "16" : tensor<?x4096x144xf32, #tenon.dims<"n", "4096", "144">>, tensor<1x144x32xf32>
  %1 = tenon.packed_matmul %q, %b columns "16" : tensor<1x?x144xf32, #tenon.dims<"1", "w", "144">>, tensor<1x144x32xf32>
  return %0, %1 : tensor<?x4096x16xf32, #tenon.dims<"n", "4096", "16">>, tensor<1x?x16xf32, #tenon.dims<"1", "w", "16">>
}

// A larger weight is held twice only if an input of 32 pixels a side would do
// better by direct sums.

// CHECK-LABEL: @once
// CHECK: tenon.packed_matmul {{.*}} winograd :
// CHECK-NOT: tenon.merge
// CHECK-LABEL: @reduced
// CHECK: tenon.merge
func.func @once(%x: tensor<?x?x?x128xf32, #tenon.dims<"n", "h", "w", "128">>) -> tensor<?x?x128xf32, #tenon.dims<"n", "h*w", "128">> {
  %w = tenon.constant dense<1.0> : tensor<128x1152xf32>
  %p = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<?x?x?x128xf32, #tenon.dims<"n", "h", "w", "128">>
  %b = tenon.pack_b %w transposed : tensor<128x1152xf32>
  %0 = tenon.packed_matmul %p, %b columns "128" : tensor<?x?x1152xf32, #tenon.dims<"n", "h*w", "1152">>, tensor<4x1152x32xf32>
  return %0 : tensor<?x?x128xf32, #tenon.dims<"n", "h*w", "128">>
}
func.func @reduced(%x: tensor<?x?x?x128xf32, #tenon.dims<"n", "floordiv(h,16)", "floordiv(w,16)", "128">>) -> tensor<?x?x128xf32, #tenon.dims<"n", "floordiv(h,16)*floordiv(w,16)", "128">> {
  %w = tenon.constant dense<1.0> : tensor<128x1152xf32>
  %p = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<?x?x?x128xf32, #tenon.dims<"n", "floordiv(h,16)", "floordiv(w,16)", "128">>
  %b = tenon.pack_b %w transposed : tensor<128x1152xf32>
  %0 = tenon.packed_matmul %p, %b columns "128" : tensor<?x?x1152xf32, #tenon.dims<"n", "floordiv(h,16)*floordiv(w,16)", "1152">>, tensor<4x1152x32xf32>
  return %0 : tensor<?x?x128xf32, #tenon.dims<"n", "floordiv(h,16)*floordiv(w,16)", "128">>
}
