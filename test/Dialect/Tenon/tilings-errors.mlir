// RUN: tenon-opt %s --split-input-file --verify-diagnostics

// expected-error @below {{expected the tile's rows to be in [1, 6], found 8}}
func.func private @tileRows() attributes {a = #tenon.cpu_matmul<task = 48 x 2, tile = 8 x 2, block_bytes = 786432, chunk = 1024>}

// -----
// expected-error @below {{expected the tile's panels to be in [1, 2], found 3}}
func.func private @tilePanels() attributes {a = #tenon.cpu_matmul<task = 48 x 3, tile = 6 x 3, block_bytes = 786432, chunk = 1024>}

// -----
// expected-error @below {{expected the task's rows to be a multiple of 6 in [6, 1048576], found 50}}
func.func private @taskRows() attributes {a = #tenon.cpu_matmul<task = 50 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 1024>}

// -----
// expected-error @below {{expected the task's panels to be a multiple of 2 in [2, 1048576], found 3}}
func.func private @taskPanels() attributes {a = #tenon.cpu_matmul<task = 48 x 3, tile = 6 x 2, block_bytes = 786432, chunk = 1024>}

// -----
// expected-error @below {{expected block_bytes to be in [4096, 1073741824], found 1}}
func.func private @block() attributes {a = #tenon.cpu_matmul<task = 48 x 2, tile = 6 x 2, block_bytes = 1, chunk = 1024>}

// -----
// expected-error @below {{expected the chunk to be a multiple of 4 in [64, 1073741824], found 66}}
func.func private @chunk() attributes {a = #tenon.cpu_matmul<task = 48 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 66>}

// -----
// expected-error @below {{expected the queries to be a multiple of 6 in [6, 576], found 32}}
func.func private @queries() attributes {a = #tenon.cpu_attention<queries = 32>}

// -----
// expected-error @below {{expected the chunk to be a multiple of 64 in [64, 1073741824], found 0}}
func.func private @elements() attributes {a = #tenon.cpu_elements<chunk = 0>}

// -----
// expected-error @below {{expected the elements to be in [1, 1073741824], found -1}}
func.func private @reduceElements() attributes {a = #tenon.cpu_reduce<elements = -1, columns = 64>}

// -----
// expected-error @below {{expected the columns to be a multiple of 16 in [16, 1073741824], found 8}}
func.func private @reduceColumns() attributes {a = #tenon.cpu_reduce<elements = 1, columns = 8>}

// -----
// expected-error @below {{expected the columns to be a multiple of 16 in [16, 1073741824], found 8}}
func.func private @columns() attributes {a = #tenon.cpu_columns<columns = 8>}

// -----
// expected-error @below {{expected the tasks to be in [1, 65536], found 0}}
func.func private @tasks() attributes {a = #tenon.cpu_scatter<columns = 16, tasks = 0>}

// -----
// expected-error @below {{expected the pixels to be a multiple of 8 in [8, 1073741824], found 12}}
func.func private @pixels() attributes {a = #tenon.cpu_depthwise<pixels = 12, channels = 64>}

// -----
// expected-error @below {{expected the channels to be a multiple of 64 in [64, 1048576], found 32}}
func.func private @channels() attributes {a = #tenon.cpu_depthwise<pixels = 8, channels = 32>}

// -----
// expected-error @below {{expected the squares to be in [6, 65536], found 4}}
func.func private @squares() attributes {a = #tenon.cpu_winograd<squares = 4, panels = 2, tile = 6 x 2>}

// -----
// expected-error @below {{expected the tile's squares to be in [1, 6], found 8}}
func.func private @squaresOfTile() attributes {a = #tenon.cpu_winograd<squares = 8, panels = 2, tile = 8 x 2>}

// -----
// expected-error @below {{expected the task's panels to be a multiple of 2 in [2, 1048576], found 3}}
func.func private @panelsBySquares() attributes {a = #tenon.cpu_winograd<squares = 6, panels = 3, tile = 6 x 2>}

// -----
func.func @winogradOfMatrix(%x: tensor<4x64xf32>, %p: tensor<2x64x32xf32>) -> tensor<4x64xf32> {
  // expected-error @below {{expected a tiling of a matmul kernel, found that of a product with winograd}}
  %0 = tenon.kernel matmul(%x, %p) : (tensor<4x64xf32>, tensor<2x64x32xf32>) -> tensor<4x64xf32> tiling #tenon.cpu_winograd<squares = 24, panels = 2, tile = 6 x 2> {
  ^bb0(%a: tensor<4x64xf32>, %b: tensor<2x64x32xf32>):
    %1 = tenon.packed_matmul %a, %b columns "64" : tensor<4x64xf32>, tensor<2x64x32xf32>
    tenon.yield %1 : tensor<4x64xf32>
  }
  return %0 : tensor<4x64xf32>
}

// -----
func.func @matmulByWinograd(%x: tensor<1x8x8x16xf32>, %p: tensor<16x1x16x32xf32>) -> tensor<1x64x32xf32> {
  // expected-error @below {{found that of a matmul, #tenon.cpu_matmul}}
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x8x8x16xf32>, tensor<16x1x16x32xf32>) -> tensor<1x64x32xf32> tiling #tenon.cpu_matmul<task = 48 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 1024> {
  ^bb0(%a: tensor<1x8x8x16xf32>, %b: tensor<16x1x16x32xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x16xf32>
    %2 = tenon.packed_matmul %1, %b columns "32" winograd : tensor<1x64x144xf32>, tensor<16x1x16x32xf32>
    tenon.yield %2 : tensor<1x64x32xf32>
  }
  return %0 : tensor<1x64x32xf32>
}

// -----
// expected-error @below {{expected the positions to be in [6, 1048576], found 4}}
func.func private @positions() attributes {a = #tenon.cpu_conv<positions = 4, panels = 2, tile = 6 x 2, chunk = 1024>}

// -----
// expected-error @below {{expected the task's panels to be a multiple of 2 in [2, 1048576], found 3}}
func.func private @panels() attributes {a = #tenon.cpu_conv<positions = 48, panels = 3, tile = 6 x 2, chunk = 1024>}

// -----
func.func @noPatches(%x: tensor<8x64xf32>, %p: tensor<2x64x32xf32>) {
  // expected-error @below {{expected a tiling of a matmul kernel, found that of a product of an image's patches}}
  %0 = tenon.kernel matmul(%x, %p) : (tensor<8x64xf32>, tensor<2x64x32xf32>) -> tensor<8x64xf32> tiling #tenon.cpu_conv<positions = 48, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<8x64xf32>, %b: tensor<2x64x32xf32>):
    %1 = tenon.packed_matmul %a, %b columns "64" : tensor<8x64xf32>, tensor<2x64x32xf32>
    tenon.yield %1 : tensor<8x64xf32>
  }
  return
}

// -----
func.func @noConvolution(%x: tensor<4xf32>) {
  // expected-error @below {{expected a tiling of a map kernel, found that of a depthwise convolution}}
  %0 = tenon.kernel map(%x) : (tensor<4xf32>) -> tensor<4xf32> tiling #tenon.cpu_depthwise<pixels = 8, channels = 64> {
  ^bb0(%a: tensor<4xf32>):
    tenon.yield %a : tensor<4xf32>
  }
  return
}

// -----
func.func @ofAnotherKind(%x: tensor<4xf32>) {
  // expected-error @below {{expected a tiling of a map kernel, found that of a matmul}}
  %0 = tenon.kernel map(%x) : (tensor<4xf32>) -> tensor<4xf32> tiling #tenon.cpu_matmul<task = 48 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 1024> {
  ^bb0(%a: tensor<4xf32>):
    tenon.yield %a : tensor<4xf32>
  }
  return
}

// -----
func.func @ofAReduction(%x: tensor<4xf32>) {
  // expected-error @below {{expected a tiling of a map kernel, found that of a map that ends with a reduction}}
  %0 = tenon.kernel map(%x) : (tensor<4xf32>) -> tensor<4xf32> tiling #tenon.cpu_reduce<elements = 1, columns = 16> {
  ^bb0(%a: tensor<4xf32>):
    tenon.yield %a : tensor<4xf32>
  }
  return
}

// -----
func.func @noTiling(%x: tensor<4xf32>) {
  // expected-error @below {{invalid kind of attribute specified}}
  %0 = tenon.kernel map(%x) : (tensor<4xf32>) -> tensor<4xf32> tiling #tenon.dims<"a"> {
  ^bb0(%a: tensor<4xf32>):
    tenon.yield %a : tensor<4xf32>
  }
  return
}
