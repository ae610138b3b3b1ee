// RUN: tenon-opt %s --tenon-lay-columns --split-input-file | FileCheck %s

// Two columns of 49 numbers: each is filled up to whole vectors of 16 lanes. The kernel
// reads them where it read a panel.

// CHECK-LABEL: @matmul
// CHECK-NOT: tenon.pack_b
// CHECK: %[[W:.+]] = tenon.constant dense_resource<[[COLUMNS:[a-z0-9_]+]]> : tensor<2x64x1xf32>
// CHECK: tenon.kernel matmul(%arg0, %[[W]]) : (tensor<?x49xf32, #tenon.dims<"m", "49">>, tensor<2x64x1xf32>)
// CHECK: ^bb0(%{{.+}}: tensor<?x49xf32, #tenon.dims<"m", "49">>, %[[P:.+]]: tensor<2x64x1xf32>):
// CHECK: tenon.packed_matmul %{{.+}}, %[[P]] columns "2"
// CHECK: [[COLUMNS]]: "0x08000000000000000000803F0000004000004040000000000000803F0000004000004040000000000000803F0000004000004040000000000000803F0000004000004040000000000000803F0000004000004040000000000000803F0000004000004040000000000000803F0000004000004040000000000000803F0000004000004040000000000000803F0000004000004040000000000000803F0000004000004040000000000000803F0000004000004040000000000000803F0000004000004040000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000803F0000004000004040000080400000A0400000C0400000E0400000004100001041000020410000304100004041000050410000604100007041000080410000884100009041000098410000A0410000A8410000B0410000B8410000C0410000C8410000D0410000D8410000E0410000E8410000F0410000F84100000042000004420000084200000C4200001042000014420000184200001C4200002042000024420000284200002C4200003042000034420000384200003C420000404200004442000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
func.func @matmul(%x: tensor<?x49xf32, #tenon.dims<"m", "49">>) -> tensor<?x2xf32, #tenon.dims<"m", "2">> {
  %w = tenon.constant dense<[[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [3.0, 4.0], [0.0, 5.0], [1.0, 6.0], [2.0, 7.0], [3.0, 8.0], [0.0, 9.0], [1.0, 10.0], [2.0, 11.0], [3.0, 12.0], [0.0, 13.0], [1.0, 14.0], [2.0, 15.0], [3.0, 16.0], [0.0, 17.0], [1.0, 18.0], [2.0, 19.0], [3.0, 20.0], [0.0, 21.0], [1.0, 22.0], [2.0, 23.0], [3.0, 24.0], [0.0, 25.0], [1.0, 26.0], [2.0, 27.0], [3.0, 28.0], [0.0, 29.0], [1.0, 30.0], [2.0, 31.0], [3.0, 32.0], [0.0, 33.0], [1.0, 34.0], [2.0, 35.0], [3.0, 36.0], [0.0, 37.0], [1.0, 38.0], [2.0, 39.0], [3.0, 40.0], [0.0, 41.0], [1.0, 42.0], [2.0, 43.0], [3.0, 44.0], [0.0, 45.0], [1.0, 46.0], [2.0, 47.0], [3.0, 48.0], [0.0, 49.0]]> : tensor<49x2xf32>
  %p = tenon.pack_b %w : tensor<49x2xf32>
  %0 = tenon.kernel matmul(%x, %p) : (tensor<?x49xf32, #tenon.dims<"m", "49">>, tensor<1x49x32xf32>) -> tensor<?x2xf32, #tenon.dims<"m", "2">> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<?x49xf32, #tenon.dims<"m", "49">>, %b: tensor<1x49x32xf32>):
    %1 = tenon.packed_matmul %a, %b columns "2" : tensor<?x49xf32, #tenon.dims<"m", "49">>, tensor<1x49x32xf32>
    tenon.yield %1 : tensor<?x2xf32, #tenon.dims<"m", "2">>
  }
  return %0 : tensor<?x2xf32, #tenon.dims<"m", "2">>
}

// -----

// Of a convolution each run, here a row of its kernel.

// CHECK-LABEL: @conv
// CHECK: tenon.constant dense_resource<[[COLUMNS:[a-z0-9_]+]]> : tensor<1x32x1xf32>
// CHECK: [[COLUMNS]]: "0x080000000000803F0000004000004040000080400000A0400000C0400000E04000000041000010410000000000000000000000000000000000000000000000000000000000002041000030410000404100005041000060410000704100008041000088410000904100000000000000000000000000000000000000000000000000000000"
func.func @conv(%x: tensor<1x8x16x1xf32>) -> tensor<1x56x1xf32> {
  %w = tenon.constant dense<[[1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0], [8.0], [9.0], [10.0], [11.0], [12.0], [13.0], [14.0], [15.0], [16.0], [17.0], [18.0]]> : tensor<18x1xf32>
  %t = tenon.reshape %w to <"1", "18"> : tensor<18x1xf32>
  %p = tenon.pack_b %t transposed : tensor<1x18xf32>
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x8x16x1xf32>, tensor<1x18x32xf32>) -> tensor<1x56x1xf32> tiling #tenon.cpu_conv<positions = 96, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x8x16x1xf32>, %b: tensor<1x18x32xf32>):
    %1 = tenon.im2col %a kernel [2, 9] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] channels_last : tensor<1x8x16x1xf32>
    %2 = tenon.packed_matmul %1, %b columns "1" : tensor<1x56x18xf32>, tensor<1x18x32xf32>
    tenon.yield %2 : tensor<1x56x1xf32>
  }
  return %0 : tensor<1x56x1xf32>
}

// -----

// Not what is no constant, what something else reads too, or rows that are known to be
// few, which meet panels.

// CHECK-LABEL: @kept
// CHECK-NOT: dense_resource
func.func @kept(%x: tensor<9x34xf32>, %few: tensor<2x34xf32>, %v: tensor<34x1xf32>) -> (tensor<9x1xf32>, tensor<9x1xf32>, tensor<2x1xf32>, tensor<1x34x32xf32>) {
  %w = tenon.constant dense<[[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0], [8.0], [9.0], [10.0], [11.0], [12.0], [13.0], [14.0], [15.0], [16.0], [17.0], [18.0], [19.0], [20.0], [21.0], [22.0], [23.0], [24.0], [25.0], [26.0], [27.0], [28.0], [29.0], [30.0], [31.0], [32.0], [33.0]]> : tensor<34x1xf32>
  %computed = tenon.pack_b %v : tensor<34x1xf32>
  %read = tenon.pack_b %w : tensor<34x1xf32>
  %alone = tenon.pack_b %w : tensor<34x1xf32>
  %0 = tenon.kernel matmul(%x, %computed) : (tensor<9x34xf32>, tensor<1x34x32xf32>) -> tensor<9x1xf32> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<9x34xf32>, %b: tensor<1x34x32xf32>):
    %3 = tenon.packed_matmul %a, %b columns "1" : tensor<9x34xf32>, tensor<1x34x32xf32>
    tenon.yield %3 : tensor<9x1xf32>
  }
  %1 = tenon.kernel matmul(%x, %read) : (tensor<9x34xf32>, tensor<1x34x32xf32>) -> tensor<9x1xf32> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<9x34xf32>, %b: tensor<1x34x32xf32>):
    %3 = tenon.packed_matmul %a, %b columns "1" : tensor<9x34xf32>, tensor<1x34x32xf32>
    tenon.yield %3 : tensor<9x1xf32>
  }
  %2 = tenon.kernel matmul(%few, %alone) : (tensor<2x34xf32>, tensor<1x34x32xf32>) -> tensor<2x1xf32> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<2x34xf32>, %b: tensor<1x34x32xf32>):
    %3 = tenon.packed_matmul %a, %b columns "1" : tensor<2x34xf32>, tensor<1x34x32xf32>
    tenon.yield %3 : tensor<2x1xf32>
  }
  return %0, %1, %2, %read : tensor<9x1xf32>, tensor<9x1xf32>, tensor<2x1xf32>, tensor<1x34x32xf32>
}
