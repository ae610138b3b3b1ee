// RUN: tenon-opt %s --tenon-pack-matmul --canonicalize | FileCheck %s
// RUN: tenon-opt %s --tenon-pack-matmul --canonicalize --tenon-merge-matmul | FileCheck %s --check-prefix=MERGE
// RUN: tenon-opt %s --tenon-pack-matmul=attention-of-codes --canonicalize | FileCheck %s --check-prefix=SCORES
// RUN: tenon-opt %s --tenon-pack-matmul=inverses --canonicalize | FileCheck %s --check-prefix=INVERSES

// Codes stay as they are stored, seen through what unpacks and cuts them. All
// scales fit f16; the zero point is the middle, and is none.
// CHECK-LABEL: @fourBits
// CHECK-DAG: %[[CODES:.+]] = tenon.constant dense<17> : tensor<1280xui8>
// CHECK-DAG: %[[SCALE:.+]] = tenon.constant dense<5.000000e-01> : tensor<160xf32>
// CHECK: %[[P:.+]] = tenon.pack_weight %[[CODES]] <ui4 at 0, 1, 64> scale %[[SCALE]] <f32 at 0, 1, 4> as <ui4 block 16 scale f16> rows 56 columns 40 : tensor<1280xui8> scale tensor<160xf32>
// CHECK: tenon.packed_matmul %arg0, %[[P]] columns "40" as <ui4 block 16 scale f16> : tensor<?x56xf32, #tenon.dims<"m", "56">>, tensor<2x1280xui8>
func.func @fourBits(%x: tensor<?x56xf32, #tenon.dims<"m", "56">>) -> tensor<?x40xf32, #tenon.dims<"m", "40">> {
  %bytes = tenon.constant dense<17> : tensor<1280xui8>
  %codes = tenon.unpack %bytes size "2560" to ui4 : tensor<1280xui8>
  %rows = tenon.reshape %codes to <"40", "64"> : tensor<2560xui4>
  %cut = tenon.slice %rows from <"0", "0"> step [1, 1] to <"40", "56"> : tensor<40x64xui4>
  %scales = tenon.constant dense<0.5> : tensor<160xf32>
  %scale = tenon.reshape %scales to <"40", "4"> : tensor<160xf32>
  %zero = tenon.constant dense<8> : tensor<40x4xui4>
  %w = tenon.dequantize %cut scale %scale zero %zero blocks [1, 16] to f32 : tensor<40x56xui4>, tensor<40x4xf32> zero tensor<40x4xui4>
  %0 = tenon.matmul %x, %w transposed : tensor<?x56xf32, #tenon.dims<"m", "56">>, tensor<40x56xf32>
  return %0 : tensor<?x40xf32, #tenon.dims<"m", "40">>
}

// One scale for all; it needs f32. Codes without a zero point are less 0.
// CHECK-LABEL: @tensorScale
// CHECK: tenon.pack_weight %{{.+}} <ui8 at 0, 3, 1> scale %{{.+}} <f32 at 0, 0, 0> zero %{{.+}} <ui8 at 0, 0, 0> as <ui8 scale f32 zero ui8> rows 4 columns 3
func.func @tensorScale(%x: tensor<2x4xf32>) -> tensor<2x3xf32> {
  %codes = tenon.constant dense<[[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]> : tensor<4x3xui8>
  %scale = tenon.constant dense<0.1> : tensor<1x1xf32>
  %w = tenon.dequantize %codes scale %scale blocks [4, 3] to f32 : tensor<4x3xui8>, tensor<1x1xf32>
  %0 = tenon.matmul %x, %w : tensor<2x4xf32>, tensor<4x3xf32>
  return %0 : tensor<2x3xf32>
}

// Blocks that are no power of two have no format; codes that are no constant
// no panels in the file.
// CHECK-LABEL: @noFormat
// CHECK-COUNT-2: tenon.pack_b
// CHECK-NOT: tenon.pack_weight
func.func @noFormat(%x: tensor<2x40xf32>, %given: tensor<40x3xi8>) -> (tensor<2x3xf32>, tensor<2x3xf32>) {
  %codes = tenon.constant dense_resource<codes> : tensor<40x3xi8>
  %scale = tenon.constant dense<0.5> : tensor<2x3xf32>
  %scale2 = tenon.constant dense<0.5> : tensor<1x1xf32>
  %w = tenon.dequantize %codes scale %scale blocks [20, 1] to f32 : tensor<40x3xi8>, tensor<2x3xf32>
  %v = tenon.dequantize %given scale %scale2 blocks [40, 3] to f32 : tensor<40x3xi8>, tensor<1x1xf32>
  %0 = tenon.matmul %x, %w : tensor<2x40xf32>, tensor<40x3xf32>
  %1 = tenon.matmul %x, %v : tensor<2x40xf32>, tensor<40x3xf32>
  return %0, %1 : tensor<2x3xf32>, tensor<2x3xf32>
}

// Halves that are cast are multiplied as they are stored, but not by so few
// columns that kernels of f32 have forms for them.
// CHECK-LABEL: @castHalves
// CHECK: %[[P:.+]] = tenon.pack_weight %{{.+}} <f16 at 0, 1, 4> as <f16> rows 4 columns 17 : tensor<17x4xf16>
// CHECK: tenon.packed_matmul %arg0, %[[P]] columns "17" as <f16> : tensor<2x4xf32>
// CHECK: tenon.pack_weight %{{.+}} <bf16 at 0, 17, 1> as <bf16> rows 4 columns 17 : tensor<4x17xbf16>
// CHECK: tenon.pack_b
// CHECK: tenon.packed_matmul {{.*}} columns "3" : tensor<2x4xf32>
func.func @castHalves(%x: tensor<2x4xf32>) -> (tensor<2x17xf32>, tensor<2x17xf32>, tensor<2x3xf32>) {
  %a = tenon.constant dense<1.5> : tensor<17x4xf16>
  %b = tenon.constant dense<2.5> : tensor<4x17xbf16>
  %c = tenon.constant dense<[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [10.0, 11.0, 12.0]]> : tensor<4x3xbf16>
  %v = tenon.cast %a to f32 : tensor<17x4xf16>
  %w = tenon.cast %b to f32 : tensor<4x17xbf16>
  %u = tenon.cast %c to f32 : tensor<4x3xbf16>
  %0 = tenon.matmul %x, %v transposed : tensor<2x4xf32>, tensor<17x4xf32>
  %1 = tenon.matmul %x, %w : tensor<2x4xf32>, tensor<4x17xf32>
  %2 = tenon.matmul %x, %u : tensor<2x4xf32>, tensor<4x3xf32>
  return %0, %1, %2 : tensor<2x17xf32>, tensor<2x17xf32>, tensor<2x3xf32>
}

// Sums of codes; the left zero point times the sums of the weight's columns,
// 2 and 4, comes off.
// CHECK-LABEL: @integers
// CHECK-DAG: %[[W:.+]] = tenon.constant dense<{{\[}}[-1, 1], [3, 3]]> : tensor<2x2xi8>
// CHECK-DAG: %[[SUMS:.+]] = tenon.constant dense<[2, 4]> : tensor<2xi32>
// CHECK: %[[P:.+]] = tenon.pack_weight %[[W]] <i8 at 0, 2, 1> as <i8> rows 2 columns 2
// CHECK: %[[S:.+]] = tenon.packed_matmul %arg0, %[[P]] columns "2" as <i8> : tensor<?x2xui8, #tenon.dims<"m", "2">>, tensor<1x128xui8>
// CHECK: %[[WIDE:.+]] = tenon.broadcast_to %[[SUMS]] to <"m", "2">
// CHECK: %[[OFF:.+]] = tenon.mul %[[WIDE]], %arg1
// CHECK: tenon.sub %[[S]], %[[OFF]]
// CHECK-NOT: tenon.reduce
func.func @integers(%q: tensor<?x2xui8, #tenon.dims<"m", "2">>, %z: tensor<i32>) -> tensor<?x2xi32, #tenon.dims<"m", "2">> {
  %w = tenon.constant dense<[[-1, 1], [3, 3]]> : tensor<2x2xi8>
  %a = tenon.cast %q to i32 : tensor<?x2xui8, #tenon.dims<"m", "2">>
  %c = tenon.sub %a, %z : tensor<?x2xi32, #tenon.dims<"m", "2">>, tensor<i32>
  %b = tenon.cast %w to i32 : tensor<2x2xi8>
  %0 = tenon.matmul %c, %b : tensor<?x2xi32, #tenon.dims<"m", "2">>, tensor<2x2xi32>
  return %0 : tensor<?x2xi32, #tenon.dims<"m", "2">>
}

// The same of rows that a view shows.
// CHECK-LABEL: @integersOfView
// CHECK: %[[Q:.+]] = tenon.reshape %arg0 to <"m", "1", "2">
// CHECK: tenon.packed_matmul %[[Q]], %{{.+}} columns "2" as <i8> : tensor<?x1x2xui8
func.func @integersOfView(%q: tensor<?x2xui8, #tenon.dims<"m", "2">>, %z: tensor<i32>) -> tensor<?x1x2xi32, #tenon.dims<"m", "1", "2">> {
  %w = tenon.constant dense<[[-1, 1], [3, 3]]> : tensor<2x2xi8>
  %a = tenon.cast %q to i32 : tensor<?x2xui8, #tenon.dims<"m", "2">>
  %c = tenon.sub %a, %z : tensor<?x2xi32, #tenon.dims<"m", "2">>, tensor<i32>
  %v = tenon.reshape %c to <"m", "1", "2"> : tensor<?x2xi32, #tenon.dims<"m", "2">>
  %b = tenon.cast %w to i32 : tensor<2x2xi8>
  %0 = tenon.matmul %v, %b : tensor<?x1x2xi32, #tenon.dims<"m", "1", "2">>, tensor<2x2xi32>
  return %0 : tensor<?x1x2xi32, #tenon.dims<"m", "1", "2">>
}

// Integers so small that i16 holds what a block of them leads to, or mostly: of
// these 8 * 12 times 255, and 4 * 30, but not 4 * 40. How such others are added,
// lists say. Of few rows both take much.
// CHECK-LABEL: @blocks
// CHECK: as <i8 block 16> rows 64 columns 3 : tensor<64x3xi8>
// CHECK: as <i8 block 8> rows 64 columns 3 : tensor<64x3xi8>
// CHECK: as <i8 block 4> rows 64 columns 3 : tensor<64x3xi8>
// CHECK: as <i8 block 4> : tensor<2x64xui8>, tensor<1x2304xui8>
// CHECK: as <i8> rows 48 columns 3 : tensor<48x3xi8>
func.func @blocks(%q: tensor<2x64xui8>, %r: tensor<2x48xui8>) -> (tensor<2x3xi32>, tensor<2x3xi32>, tensor<2x3xi32>, tensor<2x3xi32>) {
  %w = tenon.constant dense<12> : tensor<64x3xi8>
  %u = tenon.constant dense<-30> : tensor<64x3xi8>
  %v = tenon.constant dense<40> : tensor<64x3xi8>
  %t = tenon.constant dense<1> : tensor<48x3xi8>
  %a = tenon.cast %q to i32 : tensor<2x64xui8>
  %c = tenon.cast %r to i32 : tensor<2x48xui8>
  %wi = tenon.cast %w to i32 : tensor<64x3xi8>
  %ui = tenon.cast %u to i32 : tensor<64x3xi8>
  %vi = tenon.cast %v to i32 : tensor<64x3xi8>
  %ti = tenon.cast %t to i32 : tensor<48x3xi8>
  %0 = tenon.matmul %a, %wi : tensor<2x64xi32>, tensor<64x3xi32>
  %1 = tenon.matmul %a, %ui : tensor<2x64xi32>, tensor<64x3xi32>
  %2 = tenon.matmul %a, %vi : tensor<2x64xi32>, tensor<64x3xi32>
  %3 = tenon.matmul %c, %ti : tensor<2x48xi32>, tensor<48x3xi32>
  return %0, %1, %2, %3 : tensor<2x3xi32>, tensor<2x3xi32>, tensor<2x3xi32>, tensor<2x3xi32>
}

// The last group that a list adds may have fewer rows than four.
// CHECK-LABEL: @partOfGroup
// CHECK: as <i8 block 4> rows 65 columns 3 : tensor<65x3xi8>
// CHECK: as <i8 block 4> : tensor<2x65xui8>, tensor<1x2432xui8>
func.func @partOfGroup(%q: tensor<2x65xui8>) -> tensor<2x3xi32> {
  %w = tenon.constant dense<40> : tensor<65x3xi8>
  %a = tenon.cast %q to i32 : tensor<2x65xui8>
  %b = tenon.cast %w to i32 : tensor<65x3xi8>
  %0 = tenon.matmul %a, %b : tensor<2x65xi32>, tensor<65x3xi32>
  return %0 : tensor<2x3xi32>
}

// A weight's own zero point takes sums of rows; 128 of a ui8 is none.
// CHECK-LABEL: @zeroOfWeight
// CHECK: tenon.pack_weight %{{.+}} <ui8 at 0, 1, 2> as <i8>
// CHECK-NOT: tenon.reduce
// CHECK: return
// CHECK-LABEL: @otherZeroOfWeight
// CHECK: tenon.packed_matmul
// CHECK: %[[ROWS:.+]] = tenon.reduce sum %{{.+}} over [1] keepdims
// CHECK: tenon.mul %[[ROWS]], %{{.+}}
func.func @zeroOfWeight(%q: tensor<?x2xui8, #tenon.dims<"m", "2">>) -> tensor<?x3xi32, #tenon.dims<"m", "3">> {
  %w = tenon.constant dense<[[200, 1], [3, 3], [128, 5]]> : tensor<3x2xui8>
  %z = tenon.constant dense<128> : tensor<i32>
  %a = tenon.cast %q to i32 : tensor<?x2xui8, #tenon.dims<"m", "2">>
  %b = tenon.cast %w to i32 : tensor<3x2xui8>
  %c = tenon.sub %b, %z : tensor<3x2xi32>, tensor<i32>
  %0 = tenon.matmul %a, %c transposed : tensor<?x2xi32, #tenon.dims<"m", "2">>, tensor<3x2xi32>
  return %0 : tensor<?x3xi32, #tenon.dims<"m", "3">>
}
func.func @otherZeroOfWeight(%q: tensor<?x2xui8, #tenon.dims<"m", "2">>) -> tensor<?x3xi32, #tenon.dims<"m", "3">> {
  %w = tenon.constant dense<[[200, 1], [3, 3], [128, 5]]> : tensor<3x2xui8>
  %z = tenon.constant dense<127> : tensor<i32>
  %a = tenon.cast %q to i32 : tensor<?x2xui8, #tenon.dims<"m", "2">>
  %b = tenon.cast %w to i32 : tensor<3x2xui8>
  %c = tenon.sub %b, %z : tensor<3x2xi32>, tensor<i32>
  %0 = tenon.matmul %a, %c transposed : tensor<?x2xi32, #tenon.dims<"m", "2">>, tensor<3x2xi32>
  return %0 : tensor<?x3xi32, #tenon.dims<"m", "3">>
}

// Codes that are no constant are put into panels when the model runs: four rows
// of a column in a dword. The sums of their columns are for the left zero point.
// CHECK-LABEL: @activations
// CHECK: %[[PADDED:.+]] = tenon.pad constant %{{.+}}, %{{.+}} low <"0", "0", "0"> high <"0", "1", "32*floordiv(n + 31,32) - n">
// CHECK: %[[SPLIT:.+]] = tenon.reshape %[[PADDED]] to <"2", "2", "4", "floordiv(n + 31,32)", "32">
// CHECK: %[[TURNED:.+]] = tenon.transpose %[[SPLIT]] [0, 3, 1, 4, 2]
// CHECK: %[[PANELS:.+]] = tenon.reshape %[[TURNED]] to <"2", "floordiv(n + 31,32)", "256">
// CHECK: %[[SUMS:.+]] = tenon.packed_matmul %arg0, %[[PANELS]] columns "n" as <i8>
// CHECK: %[[COLUMNS:.+]] = tenon.reduce sum %{{.+}} over [1] keepdims
// CHECK: %[[OFF:.+]] = tenon.mul %[[COLUMNS]], %arg2
// CHECK: tenon.sub %[[SUMS]], %[[OFF]]
func.func @activations(%q: tensor<2x?x7xui8, #tenon.dims<"2", "m", "7">>, %k: tensor<2x7x?xi8, #tenon.dims<"2", "7", "n">>, %z: tensor<i32>) -> tensor<2x?x?xi32, #tenon.dims<"2", "m", "n">> {
  %a = tenon.cast %q to i32 : tensor<2x?x7xui8, #tenon.dims<"2", "m", "7">>
  %c = tenon.sub %a, %z : tensor<2x?x7xi32, #tenon.dims<"2", "m", "7">>, tensor<i32>
  %b = tenon.cast %k to i32 : tensor<2x7x?xi8, #tenon.dims<"2", "7", "n">>
  %0 = tenon.matmul %c, %b : tensor<2x?x7xi32, #tenon.dims<"2", "m", "7">>, tensor<2x7x?xi32, #tenon.dims<"2", "7", "n">>
  return %0 : tensor<2x?x?xi32, #tenon.dims<"2", "m", "n">>
}

// Patches of floats that codes stand for are patches of the codes, with the zero
// point around the image; a scale for each column of the weight.
// CHECK-LABEL: @patches
// CHECK-DAG: %[[W:.+]] = tenon.constant dense<3> : tensor<32x16x3x3xi8>
// CHECK: %[[Z:.+]] = tenon.cast %arg1 to ui8 : tensor<i32>
// CHECK: %[[AROUND:.+]] = tenon.pad constant %arg0, %[[Z]] low <"0", "1", "1", "0"> high <"0", "1", "1", "0">
// CHECK: %[[ROWS:.+]] = tenon.im2col %[[AROUND]] kernel [3, 3] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] channels_last : tensor<2x11x10x16xui8>
// CHECK: %[[P:.+]] = tenon.pack_weight %[[W]] <i8 at 0, 1, 144> as <i8 block 16> rows 144 columns 32
// CHECK: tenon.packed_matmul %[[ROWS]], %[[P]] columns "32" as <i8 block 16> : tensor<2x72x144xui8>, tensor<1x4672xui8>
// CHECK: tenon.cast %{{.+}} to f32
// CHECK: tenon.mul
func.func @patches(%q: tensor<2x9x8x16xui8>, %z: tensor<i32>, %s: tensor<f32>) -> tensor<2x72x32xf32> {
  %w = tenon.constant dense<3> : tensor<32x16x3x3xi8>
  %scales = tenon.constant dense_resource<scales> : tensor<32x1x1x1xf32>
  %a = tenon.cast %q to i32 : tensor<2x9x8x16xui8>
  %c = tenon.sub %a, %z : tensor<2x9x8x16xi32>, tensor<i32>
  %f = tenon.cast %c to f32 : tensor<2x9x8x16xi32>
  %x = tenon.mul %f, %s : tensor<2x9x8x16xf32>, tensor<f32>
  %p = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<2x9x8x16xf32>
  %wi = tenon.cast %w to i32 : tensor<32x16x3x3xi8>
  %wf = tenon.cast %wi to f32 : tensor<32x16x3x3xi32>
  %ws = tenon.mul %wf, %scales : tensor<32x16x3x3xf32>, tensor<32x1x1x1xf32>
  %flat = tenon.reshape %ws to <"32", "144"> : tensor<32x16x3x3xf32>
  %y = tenon.matmul %p, %flat transposed : tensor<2x72x144xf32>, tensor<32x144xf32>
  return %y : tensor<2x72x32xf32>
}

// A zero point of the weight meets each patch's sum: that of its channels, along
// one dim of the window after the other.
// CHECK-LABEL: @patchSums
// CHECK: %[[I:.+]] = tenon.cast %arg0 to i32
// CHECK: %[[S:.+]] = tenon.reduce sum %[[I]] over [3] keepdims : tensor<2x11x17x16xi32>
// CHECK: %[[A:.+]] = tenon.slice %[[S]] from <"0", "0", "0", "0"> step [1, 1, 1, 1] to <"2", "9", "17", "1">
// CHECK: %[[B:.+]] = tenon.slice %[[S]] from <"0", "1", "0", "0"> step [1, 1, 1, 1] to <"2", "9", "17", "1">
// CHECK: tenon.add %[[A]], %[[B]]
// CHECK: tenon.slice %[[S]] from <"0", "2", "0", "0">
// CHECK: %[[T:.+]] = tenon.add
// CHECK: tenon.slice %[[T]] from <"0", "0", "0", "0"> step [1, 1, 2, 1] to <"2", "9", "8", "1">
// CHECK: tenon.slice %[[T]] from <"0", "0", "1", "0"> step [1, 1, 2, 1] to <"2", "9", "8", "1">
// CHECK: tenon.slice %[[T]] from <"0", "0", "2", "0"> step [1, 1, 2, 1] to <"2", "9", "8", "1">
// CHECK: %[[W:.+]] = tenon.add
// CHECK: tenon.reshape %[[W]] to <"2", "72", "1">
func.func @patchSums(%q: tensor<2x11x17x16xui8>) -> tensor<2x72x32xi32> {
  %w = tenon.constant dense<3> : tensor<32x144xui8>
  %p = tenon.im2col %q kernel [3, 3] strides [1, 2] pads [0, 0, 0, 0] dilations [1, 1] channels_last : tensor<2x11x17x16xui8>
  %a = tenon.cast %p to i32 : tensor<2x72x144xui8>
  %b = tenon.cast %w to i32 : tensor<32x144xui8>
  %y = tenon.matmul %a, %b transposed : tensor<2x72x144xi32>, tensor<32x144xi32>
  return %y : tensor<2x72x32xi32>
}

// Products of the same rows by weights in one format are one.
// MERGE-LABEL: @merged
// MERGE: %[[A:.+]] = tenon.pack_weight
// MERGE: %[[B:.+]] = tenon.pack_weight
// MERGE: %[[BOTH:.+]] = tenon.concat %{{.+}}, %{{.+}} axis 0 : tensor<1x{{.+}}xui8>
// MERGE: tenon.packed_matmul %arg0, %[[BOTH]] columns "64" as <ui8 scale f16>
func.func @merged(%x: tensor<?x4xf32, #tenon.dims<"m", "4">>) -> (tensor<?x4x8xf32, #tenon.dims<"m", "4", "8">>, tensor<?x4x8xf32, #tenon.dims<"m", "4", "8">>) {
  %p = tenon.constant dense_resource<p> : tensor<4x32xi8>
  %q = tenon.constant dense_resource<q> : tensor<4x32xi8>
  %scale = tenon.constant dense<0.5> : tensor<1x32xf32>
  %v = tenon.dequantize %p scale %scale blocks [4, 1] to f32 : tensor<4x32xi8>, tensor<1x32xf32>
  %w = tenon.dequantize %q scale %scale blocks [4, 1] to f32 : tensor<4x32xi8>, tensor<1x32xf32>
  %0 = tenon.matmul %x, %v : tensor<?x4xf32, #tenon.dims<"m", "4">>, tensor<4x32xf32>
  %1 = tenon.matmul %x, %w : tensor<?x4xf32, #tenon.dims<"m", "4">>, tensor<4x32xf32>
  %2 = tenon.reshape %0 to <"m", "4", "8"> : tensor<?x32xf32, #tenon.dims<"m", "32">>
  %3 = tenon.reshape %1 to <"m", "4", "8"> : tensor<?x32xf32, #tenon.dims<"m", "32">>
  return %2, %3 : tensor<?x4x8xf32, #tenon.dims<"m", "4", "8">>, tensor<?x4x8xf32, #tenon.dims<"m", "4", "8">>
}

// A tied embedding in codes is stored once, but for its scales: rows of bytes
// are cut out of the panels.
// CHECK-LABEL: @tiedCodes
// CHECK: %[[P:.+]] = tenon.pack_weight %{{.+}} <ui4 at 0, 1, 64> scale {{.+}} rows 64 columns 40
// CHECK-NEXT: %[[B:.+]] = tenon.reshape %[[P]] to <"2", "2", "608">
// CHECK-NEXT: %[[C:.+]] = tenon.slice %[[B]] from <"0", "0", "96"> step [1, 1, 1] to <"2", "2", "512">
// CHECK-NEXT: %[[G:.+]] = tenon.reshape %[[C]] to <"2", "2", "4", "32", "4">
// CHECK-NEXT: %[[T:.+]] = tenon.transpose %[[G]] [0, 3, 1, 2, 4]
// CHECK-NEXT: %[[R:.+]] = tenon.reshape %[[T]] to <"64", "32">
// CHECK-NEXT: %[[S:.+]] = tenon.slice %[[R]] from <"0", "0"> step [1, 1] to <"40", "32">
// CHECK: tenon.gather %[[S]], %arg0 axis 0
// CHECK: tenon.packed_matmul %arg1, %[[P]]
func.func @tiedCodes(%ids: tensor<?xi64, #tenon.dims<"s">>, %x: tensor<?x64xf32, #tenon.dims<"m", "64">>) -> (tensor<?x32xui8, #tenon.dims<"s", "32">>, tensor<?x40xf32, #tenon.dims<"m", "40">>) {
  %table = tenon.constant dense<17> : tensor<40x32xui8>
  %rows = tenon.gather %table, %ids axis 0 : tensor<40x32xui8>, tensor<?xi64, #tenon.dims<"s">>
  %bytes = tenon.reshape %table to <"1280"> : tensor<40x32xui8>
  %codes = tenon.unpack %bytes size "2560" to ui4 : tensor<1280xui8>
  %matrix = tenon.reshape %codes to <"40", "64"> : tensor<2560xui4>
  %scale = tenon.constant dense<0.5> : tensor<40x2xf32>
  %w = tenon.dequantize %matrix scale %scale blocks [1, 32] to f32 : tensor<40x64xui4>, tensor<40x2xf32>
  %0 = tenon.matmul %x, %w transposed : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<40x64xf32>
  return %rows, %0 : tensor<?x32xui8, #tenon.dims<"s", "32">>, tensor<?x40xf32, #tenon.dims<"m", "40">>
}

// Of a large table that is dequantised the rows that are gathered are. Its codes
// have a sign, their panels not.
// CHECK-LABEL: @tiedRows
// CHECK: %[[P:.+]] = tenon.pack_weight %{{.+}} <i8 at 0, 1, 64> scale
// CHECK: %[[G:.+]] = tenon.gather %{{.+}}, %arg0 axis 0 : tensor<1088x64xui8>
// CHECK: %[[A:.+]] = tenon.add %[[G]], %{{.+}} : tensor<?x64xui8
// CHECK: %[[I:.+]] = tenon.bitcast %[[A]] to i8
// CHECK: %[[Q:.+]] = tenon.gather %{{.+}}, %arg0 axis 0 : tensor<1088x1xf32>
// CHECK: tenon.dequantize %[[I]] scale %[[Q]] blocks [1, 64] to f32
// CHECK: tenon.packed_matmul %arg1, %[[P]]
func.func @tiedRows(%ids: tensor<?xi64, #tenon.dims<"s">>, %x: tensor<?x64xf32, #tenon.dims<"m", "64">>) -> (tensor<?x64xf32, #tenon.dims<"s", "64">>, tensor<?x1088xf32, #tenon.dims<"m", "1088">>) {
  %table = tenon.constant dense<3> : tensor<1088x64xi8>
  %scale = tenon.constant dense<0.5> : tensor<1088x1xf32>
  %w = tenon.dequantize %table scale %scale blocks [1, 64] to f32 : tensor<1088x64xi8>, tensor<1088x1xf32>
  %rows = tenon.gather %w, %ids axis 0 : tensor<1088x64xf32>, tensor<?xi64, #tenon.dims<"s">>
  %0 = tenon.matmul %x, %w transposed : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<1088x64xf32>
  return %rows, %0 : tensor<?x64xf32, #tenon.dims<"s", "64">>, tensor<?x1088xf32, #tenon.dims<"m", "1088">>
}

// Codes that stay what they are on their way are moved, not computed anew; by
// another scale they change.
// CHECK-LABEL: @requantised
// CHECK: %[[T:.+]] = tenon.transpose %arg0 [1, 0] : tensor<4x6xui8>
// CHECK-NEXT: tenon.div %{{.+}}, %{{.+}} : tensor<4x6xf32>, tensor<f32>
// CHECK: %[[C:.+]] = tenon.cast %{{.+}} to ui8
// CHECK: return %[[T]], %[[C]]
func.func @requantised(%codes: tensor<4x6xui8>) -> (tensor<6x4xui8>, tensor<4x6xui8>) {
  %scale = tenon.constant dense<0.3> : tensor<f32>
  %other = tenon.constant dense<0.4> : tensor<f32>
  %zero = tenon.constant dense<7> : tensor<i32>
  %point = tenon.constant dense<7.0> : tensor<f32>
  %low = tenon.constant dense<0.0> : tensor<f32>
  %high = tenon.constant dense<255.0> : tensor<f32>
  %0 = tenon.cast %codes to i32 : tensor<4x6xui8>
  %1 = tenon.sub %0, %zero : tensor<4x6xi32>, tensor<i32>
  %2 = tenon.cast %1 to f32 : tensor<4x6xi32>
  %3 = tenon.mul %2, %scale : tensor<4x6xf32>, tensor<f32>
  %4 = tenon.transpose %3 [1, 0] : tensor<4x6xf32>
  %5 = tenon.div %4, %scale : tensor<6x4xf32>, tensor<f32>
  %6 = tenon.round %5 : tensor<6x4xf32>
  %7 = tenon.add %6, %point : tensor<6x4xf32>, tensor<f32>
  %8 = tenon.max %7, %low : tensor<6x4xf32>, tensor<f32>
  %9 = tenon.min %8, %high : tensor<6x4xf32>, tensor<f32>
  %10 = tenon.cast %9 to ui8 : tensor<6x4xf32>
  %11 = tenon.div %3, %other : tensor<4x6xf32>, tensor<f32>
  %12 = tenon.round %11 : tensor<4x6xf32>
  %13 = tenon.add %12, %point : tensor<4x6xf32>, tensor<f32>
  %14 = tenon.max %13, %low : tensor<4x6xf32>, tensor<f32>
  %15 = tenon.min %14, %high : tensor<4x6xf32>, tensor<f32>
  %16 = tenon.cast %15 to ui8 : tensor<4x6xf32>
  return %10, %16 : tensor<6x4xui8>, tensor<4x6xui8>
}

// Queries and keys are codes, moved ones: so are their products for a softmax,
// where the target is asked for it, and for nothing else.
// CHECK-LABEL: @scores
// CHECK: tenon.pack_b
// CHECK: tenon.pack_b
// CHECK-NOT: as <i8>
// SCORES-LABEL: @scores
// SCORES: %[[KEYS:.+]] = tenon.transpose %arg1
// SCORES: tenon.packed_matmul %arg0, %{{.+}} columns "10" as <i8>
// SCORES: %[[FLOAT:.+]] = tenon.cast %{{.+}} to f32 : tensor<2x10x10xi32>
// SCORES: %[[SCALED:.+]] = tenon.mul %[[FLOAT]], %{{.+}} : tensor<2x10x10xf32>, tensor<f32>
// SCORES: tenon.softmax %[[SCALED]]
// SCORES: tenon.pack_b
func.func @scores(%q: tensor<2x10x64xui8>, %k: tensor<2x10x64xui8>) -> (tensor<2x10x10xf32>, tensor<2x10x10xf32>) {
  %z = tenon.constant dense<124> : tensor<i32>
  %s = tenon.constant dense<0.5> : tensor<f32>
  %0 = tenon.cast %q to i32 : tensor<2x10x64xui8>
  %1 = tenon.sub %0, %z : tensor<2x10x64xi32>, tensor<i32>
  %2 = tenon.cast %1 to f32 : tensor<2x10x64xi32>
  %3 = tenon.mul %2, %s : tensor<2x10x64xf32>, tensor<f32>
  %4 = tenon.cast %k to i32 : tensor<2x10x64xui8>
  %5 = tenon.sub %4, %z : tensor<2x10x64xi32>, tensor<i32>
  %6 = tenon.cast %5 to f32 : tensor<2x10x64xi32>
  %7 = tenon.mul %6, %s : tensor<2x10x64xf32>, tensor<f32>
  %8 = tenon.transpose %7 [0, 2, 1] : tensor<2x10x64xf32>
  %9 = tenon.matmul %3, %8 : tensor<2x10x64xf32>, tensor<2x64x10xf32>
  %10 = tenon.softmax %9 : tensor<2x10x10xf32>
  %11 = tenon.matmul %3, %8 : tensor<2x10x64xf32>, tensor<2x64x10xf32>
  return %10, %11 : tensor<2x10x10xf32>, tensor<2x10x10xf32>
}

// And so are those of probabilities, less no zero point, by values, as long as no
// sum can leave i32. The values' zero point needs the sums of the rows.
// SCORES-LABEL: @weights
// SCORES: %[[CODES:.+]] = tenon.cast %{{.+}} to ui8
// SCORES: %[[SUMS:.+]] = tenon.packed_matmul %[[CODES]], %{{.+}} columns "64" as <i8>
// SCORES: %[[WIDE:.+]] = tenon.cast %[[CODES]] to i32
// SCORES: tenon.reduce sum %[[WIDE]] over [2] keepdims
// SCORES: tenon.pack_b
// SCORES-NOT: as <i8>
func.func @weights(%x: tensor<2x10x10xf32>, %v: tensor<2x10x64xui8>, %y: tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>, %w: tensor<2x?x64xui8, #tenon.dims<"2", "t", "64">>) -> (tensor<2x10x64xf32>, tensor<2x10x64xf32>) {
  %z = tenon.constant dense<124> : tensor<i32>
  %s = tenon.constant dense<0.5> : tensor<f32>
  %0 = tenon.softmax %x : tensor<2x10x10xf32>
  %1 = tenon.cast %0 to ui8 : tensor<2x10x10xf32>
  %2 = tenon.cast %1 to f32 : tensor<2x10x10xui8>
  %3 = tenon.mul %2, %s : tensor<2x10x10xf32>, tensor<f32>
  %4 = tenon.cast %v to i32 : tensor<2x10x64xui8>
  %5 = tenon.sub %4, %z : tensor<2x10x64xi32>, tensor<i32>
  %6 = tenon.cast %5 to f32 : tensor<2x10x64xi32>
  %7 = tenon.mul %6, %s : tensor<2x10x64xf32>, tensor<f32>
  %8 = tenon.matmul %3, %7 : tensor<2x10x10xf32>, tensor<2x10x64xf32>
  %9 = tenon.softmax %y : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>
  %10 = tenon.cast %9 to ui8 : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>
  %11 = tenon.cast %10 to f32 : tensor<2x10x?xui8, #tenon.dims<"2", "10", "t">>
  %12 = tenon.mul %11, %s : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>, tensor<f32>
  %13 = tenon.cast %w to i32 : tensor<2x?x64xui8, #tenon.dims<"2", "t", "64">>
  %14 = tenon.sub %13, %z : tensor<2x?x64xi32, #tenon.dims<"2", "t", "64">>, tensor<i32>
  %15 = tenon.cast %14 to f32 : tensor<2x?x64xi32, #tenon.dims<"2", "t", "64">>
  %16 = tenon.mul %15, %s : tensor<2x?x64xf32, #tenon.dims<"2", "t", "64">>, tensor<f32>
  %17 = tenon.matmul %12, %16 : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>, tensor<2x?x64xf32, #tenon.dims<"2", "t", "64">>
  return %8, %17 : tensor<2x10x64xf32>, tensor<2x10x64xf32>
}

// A cast and a scale for each column say what a dequantisation says; of a table
// those rows that are gathered are scaled. A scale for each row of the product's
// terms stays a multiplication, and so does what something else reads too.
// CHECK-LABEL: @spelledOut
// CHECK: tenon.pack_weight %{{.+}} <i8 at 0, 3, 1> scale %{{.+}} <f32 at 0, 0, 1> as <ui8 scale f32> rows 2 columns 3
// CHECK: tenon.pack_weight %{{.+}} <i8 at 0, 1, 3> scale %{{.+}} <f32 at 0, 0, 0> as <ui8 scale f32> rows 3 columns 2
// CHECK-COUNT-2: tenon.pack_b
func.func @spelledOut(%x: tensor<2x2xf32>, %y: tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<2x2xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>) {
  %codes = tenon.constant dense<[[1, -2, 3], [4, 5, -6]]> : tensor<2x3xi8>
  %columns = tenon.constant dense<[0.1, 0.2, 0.3]> : tensor<3xf32>
  %all = tenon.constant dense<0.1> : tensor<f32>
  %rows = tenon.constant dense<[[0.1], [0.2]]> : tensor<2x1xf32>
  %f = tenon.cast %codes to f32 : tensor<2x3xi8>
  %w0 = tenon.mul %columns, %f : tensor<3xf32>, tensor<2x3xf32>
  %w1 = tenon.mul %f, %all : tensor<2x3xf32>, tensor<f32>
  %w2 = tenon.mul %f, %rows : tensor<2x3xf32>, tensor<2x1xf32>
  %w3 = tenon.mul %f, %columns : tensor<2x3xf32>, tensor<3xf32>
  %0 = tenon.matmul %x, %w0 : tensor<2x2xf32>, tensor<2x3xf32>
  %1 = tenon.matmul %y, %w1 transposed : tensor<2x3xf32>, tensor<2x3xf32>
  %2 = tenon.matmul %x, %w2 : tensor<2x2xf32>, tensor<2x3xf32>
  %3 = tenon.matmul %x, %w3 : tensor<2x2xf32>, tensor<2x3xf32>
  return %0, %1, %2, %3, %w3 : tensor<2x3xf32>, tensor<2x2xf32>, tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>
}

// CHECK-LABEL: @spelledTable
// CHECK: %[[ROWS:.+]] = tenon.gather %{{.+}}, %arg0 axis 0 : tensor<70000x1xi8>
// CHECK: %[[SCALES:.+]] = tenon.gather
// CHECK: tenon.dequantize %[[ROWS]] scale %[[SCALES]] blocks [1, 1] to f32
func.func @spelledTable(%i: tensor<5xi64>) -> tensor<5x1xf32> {
  %codes = tenon.constant dense_resource<codes> : tensor<70000x1xi8>
  %scale = tenon.constant dense_resource<scales> : tensor<70000x1xf32>
  %f = tenon.cast %codes to f32 : tensor<70000x1xi8>
  %table = tenon.mul %f, %scale : tensor<70000x1xf32>, tensor<70000x1xf32>
  %0 = tenon.gather %table, %i axis 0 : tensor<70000x1xf32>, tensor<5xi64>
  return %0 : tensor<5x1xf32>
}

// Sums over keys whose number is known at run time alone stay inside i32 where
// the codes are those of probabilities: they add up to what the scale says. A
// scale of 2^-23 leaves too much.
// SCORES-LABEL: @anyKeys
// SCORES: tenon.packed_matmul %{{.+}}, %{{.+}} columns "64" as <i8> : tensor<2x10x?xui8, {{.+}}>, tensor<2x2x?xui8, #tenon.dims<"2", "2", "128*floordiv(t + 3,4)">>
// SCORES: tenon.pack_b
// SCORES-NOT: as <i8>
func.func @anyKeys(%x: tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>, %v: tensor<2x?x64xui8, #tenon.dims<"2", "t", "64">>) -> (tensor<2x10x64xf32>, tensor<2x10x64xf32>) {
  %low = tenon.constant dense<0.0> : tensor<f32>
  %high = tenon.constant dense<255.0> : tensor<f32>
  %one = tenon.constant dense<0.00390625> : tensor<f32>
  %few = tenon.constant dense<1.1920929e-07> : tensor<f32>
  %0 = tenon.softmax %x : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>
  %1 = tenon.cast %v to f32 : tensor<2x?x64xui8, #tenon.dims<"2", "t", "64">>
  %2 = tenon.div %0, %one : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>, tensor<f32>
  %3 = tenon.round %2 : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>
  %4 = tenon.max %3, %low : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>, tensor<f32>
  %5 = tenon.min %4, %high : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>, tensor<f32>
  %6 = tenon.cast %5 to ui8 : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>
  %7 = tenon.cast %6 to f32 : tensor<2x10x?xui8, #tenon.dims<"2", "10", "t">>
  %8 = tenon.matmul %7, %1 : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>, tensor<2x?x64xf32, #tenon.dims<"2", "t", "64">>
  %9 = tenon.div %0, %few : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>, tensor<f32>
  %10 = tenon.round %9 : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>
  %11 = tenon.max %10, %low : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>, tensor<f32>
  %12 = tenon.min %11, %high : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>, tensor<f32>
  %13 = tenon.cast %12 to ui8 : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>
  %14 = tenon.cast %13 to f32 : tensor<2x10x?xui8, #tenon.dims<"2", "10", "t">>
  %15 = tenon.matmul %14, %1 : tensor<2x10x?xf32, #tenon.dims<"2", "10", "t">>, tensor<2x?x64xf32, #tenon.dims<"2", "t", "64">>
  return %8, %15 : tensor<2x10x64xf32>, tensor<2x10x64xf32>
}

// Keys that a broadcast repeats are packed once, and their sums taken once.
// SCORES-LABEL: @groupedKeys
// SCORES: %[[PANELS:.+]] = tenon.reshape %{{.+}} to <"2", "1", "1", "2048"> : tensor<2x{{.+}}xui8>
// SCORES: %[[ALL:.+]] = tenon.broadcast_to %[[PANELS]] to <"2", "3", "1", "2048">
// SCORES: tenon.packed_matmul %arg0, %{{.+}} columns "10" as <i8> : tensor<6x10x64xui8>, tensor<6x1x2048xui8>
// SCORES: tenon.reduce sum %{{.+}} : tensor<2x10x64xi32>
func.func @groupedKeys(%q: tensor<6x10x64xui8>, %k: tensor<2x10x64xui8>) -> tensor<6x10x10xf32> {
  %z = tenon.constant dense<124> : tensor<i32>
  %s = tenon.constant dense<0.5> : tensor<f32>
  %0 = tenon.cast %q to i32 : tensor<6x10x64xui8>
  %1 = tenon.sub %0, %z : tensor<6x10x64xi32>, tensor<i32>
  %2 = tenon.cast %1 to f32 : tensor<6x10x64xi32>
  %3 = tenon.cast %k to f32 : tensor<2x10x64xui8>
  %4 = tenon.mul %3, %s : tensor<2x10x64xf32>, tensor<f32>
  %5 = tenon.reshape %4 to <"2", "1", "10", "64"> : tensor<2x10x64xf32>
  %6 = tenon.broadcast_to %5 to <"2", "3", "10", "64"> : tensor<2x1x10x64xf32>
  %7 = tenon.reshape %6 to <"6", "10", "64"> : tensor<2x3x10x64xf32>
  %8 = tenon.matmul %2, %7 transposed : tensor<6x10x64xf32>, tensor<6x10x64xf32>
  %9 = tenon.softmax %8 : tensor<6x10x10xf32>
  return %9 : tensor<6x10x10xf32>
}

// A quantisation by a number that is known multiplies by its inverse and what that
// lacks; not where these do not give all quotients, nor where f32 may not hold them.
// CHECK-LABEL: @quantised
// CHECK-COUNT-3: tenon.div
// INVERSES-LABEL: @quantised
// INVERSES-DAG: %[[SCALE:.+]] = tenon.constant dense<1.250000e-01>
// INVERSES-DAG: %[[INVERSE:.+]] = tenon.constant dense<8.000000e+00>
// INVERSES: tenon.quotient %arg0, %[[SCALE]] inverse %[[INVERSE]] : tensor<?xf32, #tenon.dims<"n">>, tensor<f32>, tensor<f32>
// INVERSES-COUNT-2: tenon.div
func.func @quantised(%x: tensor<?xf32, #tenon.dims<"n">>) -> (tensor<?xui8, #tenon.dims<"n">>, tensor<?xui8, #tenon.dims<"n">>, tensor<?xui8, #tenon.dims<"n">>) {
  %low = tenon.constant dense<0.0> : tensor<f32>
  %high = tenon.constant dense<255.0> : tensor<f32>
  %zero = tenon.constant dense<3.0> : tensor<f32>
  %scale = tenon.constant dense<0.125> : tensor<f32>
  %tiny = tenon.constant dense<0x0D800000> : tensor<f32>
  %0 = tenon.div %x, %scale : tensor<?xf32, #tenon.dims<"n">>, tensor<f32>
  %1 = tenon.round %0 : tensor<?xf32, #tenon.dims<"n">>
  %2 = tenon.add %1, %zero : tensor<?xf32, #tenon.dims<"n">>, tensor<f32>
  %3 = tenon.max %2, %low : tensor<?xf32, #tenon.dims<"n">>, tensor<f32>
  %4 = tenon.min %3, %high : tensor<?xf32, #tenon.dims<"n">>, tensor<f32>
  %5 = tenon.cast %4 to ui8 : tensor<?xf32, #tenon.dims<"n">>
  %6 = tenon.div %x, %tiny : tensor<?xf32, #tenon.dims<"n">>, tensor<f32>
  %7 = tenon.round %6 : tensor<?xf32, #tenon.dims<"n">>
  %8 = tenon.max %7, %low : tensor<?xf32, #tenon.dims<"n">>, tensor<f32>
  %9 = tenon.min %8, %high : tensor<?xf32, #tenon.dims<"n">>, tensor<f32>
  %10 = tenon.cast %9 to ui8 : tensor<?xf32, #tenon.dims<"n">>
  %few = tenon.constant dense<1.66050375> : tensor<f32>
  %11 = tenon.div %x, %few : tensor<?xf32, #tenon.dims<"n">>, tensor<f32>
  %12 = tenon.round %11 : tensor<?xf32, #tenon.dims<"n">>
  %13 = tenon.max %12, %low : tensor<?xf32, #tenon.dims<"n">>, tensor<f32>
  %14 = tenon.min %13, %high : tensor<?xf32, #tenon.dims<"n">>, tensor<f32>
  %15 = tenon.cast %14 to ui8 : tensor<?xf32, #tenon.dims<"n">>
  return %5, %10, %15 : tensor<?xui8, #tenon.dims<"n">>, tensor<?xui8, #tenon.dims<"n">>, tensor<?xui8, #tenon.dims<"n">>
}
