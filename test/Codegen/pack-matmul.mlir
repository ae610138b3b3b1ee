// RUN: tenon-opt %s --tenon-pack-matmul | FileCheck %s

// CHECK-LABEL: @packsTheRightOperand
// CHECK: %[[P:.+]] = tenon.pack_b %arg1 : tensor<64x48xf32>
// CHECK: tenon.packed_matmul %arg0, %[[P]] columns "48"
func.func @packsTheRightOperand(%x: tensor<?x64xf32, #tenon.dims<"m", "64">>, %w: tensor<64x48xf32>) -> tensor<?x48xf32, #tenon.dims<"m", "48">> {
  %0 = tenon.matmul %x, %w : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<64x48xf32>
  return %0 : tensor<?x48xf32, #tenon.dims<"m", "48">>
}

// The transpose of B is a way to read it while packing; A's is an op.
// CHECK-LABEL: @keepsTransposes
// CHECK: %[[A:.+]] = tenon.transpose %arg0 [1, 0]
// CHECK: %[[P:.+]] = tenon.pack_b %arg1 transposed
// CHECK: tenon.packed_matmul %[[A]], %[[P]] columns "n"
func.func @keepsTransposes(%x: tensor<8x4xf32>, %w: tensor<?x8xf32, #tenon.dims<"n", "8">>) -> tensor<4x?xf32, #tenon.dims<"4", "n">> {
  %0 = tenon.matmul %x transposed, %w transposed : tensor<8x4xf32>, tensor<?x8xf32, #tenon.dims<"n", "8">>
  return %0 : tensor<4x?xf32, #tenon.dims<"4", "n">>
}

// Integers and f64 have no packed kernel.
// CHECK-LABEL: @leavesIntegers
// CHECK: tenon.matmul
// CHECK-NOT: pack_b
func.func @leavesIntegers(%x: tensor<2x3xi32>, %w: tensor<3x4xi32>) -> tensor<2x4xi32> {
  %0 = tenon.matmul %x, %w : tensor<2x3xi32>, tensor<3x4xi32>
  return %0 : tensor<2x4xi32>
}

// A tied embedding is stored once, in panels.
// CHECK-LABEL: @tiedEmbedding
// CHECK: %[[W:.+]] = tenon.constant
// CHECK-NEXT: %[[P:.+]] = tenon.pack_b %[[W]] transposed : tensor<50x8xf32>
// CHECK-NEXT: %[[T:.+]] = tenon.transpose %[[P]] [0, 2, 1]
// CHECK-NEXT: %[[R:.+]] = tenon.reshape %[[T]] to <"64", "8">
// CHECK-NEXT: %[[S:.+]] = tenon.slice %[[R]] from <"0", "0"> step [1, 1] to <"50", "8">
// CHECK: tenon.gather %[[S]]
// CHECK: tenon.packed_matmul %{{.+}}, %[[P]] columns "50"
func.func @tiedEmbedding(%ids: tensor<?xi64, #tenon.dims<"s">>) -> tensor<?x50xf32, #tenon.dims<"s", "50">> {
  %t = tenon.constant dense_resource<table> : tensor<50x8xf32>
  %w = tenon.constant dense<[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]> : tensor<1x8xf32>
  %0 = tenon.gather %t, %ids axis 0 : tensor<50x8xf32>, tensor<?xi64, #tenon.dims<"s">>
  %1 = tenon.add %0, %w : tensor<?x8xf32, #tenon.dims<"s", "8">>, tensor<1x8xf32>
  %2 = tenon.matmul %1, %t transposed : tensor<?x8xf32, #tenon.dims<"s", "8">>, tensor<50x8xf32>
  return %2 : tensor<?x50xf32, #tenon.dims<"s", "50">>
}

// Key heads that query heads share are scaled and packed once; the matmul reads
// the panels through the views.
// CHECK-LABEL: @groupedHeads
// CHECK: %[[K:.+]] = tenon.mul %arg1, %{{.+}} : tensor<?x2x1x?x16xf32
// CHECK: %[[P:.+]] = tenon.pack_b %[[K]] transposed
// CHECK: %[[B:.+]] = tenon.broadcast_to %[[P]] to <"b", "2", "3", "floordiv(t + 31,32)", "16", "32">
// CHECK: %[[R:.+]] = tenon.reshape %[[B]] to <"b", "6", "floordiv(t + 31,32)", "16", "32">
// CHECK: tenon.packed_matmul %arg0, %[[R]] columns "t"
func.func @groupedHeads(%q: tensor<?x6x?x16xf32, #tenon.dims<"b", "6", "s", "16">>, %k: tensor<?x2x1x?x16xf32, #tenon.dims<"b", "2", "1", "t", "16">>) -> tensor<?x6x?x?xf32, #tenon.dims<"b", "6", "s", "t">> {
  %scale = tenon.constant dense<0.5> : tensor<f32>
  %0 = tenon.broadcast_to %k to <"b", "2", "3", "t", "16"> : tensor<?x2x1x?x16xf32, #tenon.dims<"b", "2", "1", "t", "16">>
  %1 = tenon.reshape %0 to <"b", "6", "t", "16"> : tensor<?x2x3x?x16xf32, #tenon.dims<"b", "2", "3", "t", "16">>
  %2 = tenon.mul %1, %scale : tensor<?x6x?x16xf32, #tenon.dims<"b", "6", "t", "16">>, tensor<f32>
  %3 = tenon.matmul %q, %2 transposed : tensor<?x6x?x16xf32, #tenon.dims<"b", "6", "s", "16">>, tensor<?x6x?x16xf32, #tenon.dims<"b", "6", "t", "16">>
  return %3 : tensor<?x6x?x?xf32, #tenon.dims<"b", "6", "s", "t">>
}

// The weight of a recurrent layer, of both directions.
// CHECK-LABEL: @recurrent
// CHECK: %[[P:.+]] = tenon.pack_b %arg1 transposed : tensor<2x24x8xf32>
// CHECK: tenon.recurrent gru %arg0, %[[P]] units 8 : tensor<5x3x48xf32>, tensor<2x1x8x32xf32>
func.func @recurrent(%x: tensor<5x3x48xf32>, %w: tensor<2x24x8xf32>) -> tensor<6x2x3x8xf32> {
  %0 = tenon.recurrent gru %x, %w units 8 : tensor<5x3x48xf32>, tensor<2x24x8xf32>
  return %0 : tensor<6x2x3x8xf32>
}

// One that stands the other way round is packed as it is.
// CHECK-LABEL: @turned
// CHECK: tenon.pack_b %arg1 : tensor<2x8x24xf32>
func.func @turned(%x: tensor<5x3x48xf32>, %w: tensor<2x8x24xf32>) -> tensor<6x2x3x8xf32> {
  %0 = tenon.transpose %w [0, 2, 1] : tensor<2x8x24xf32>
  %1 = tenon.recurrent gru %x, %0 units 8 : tensor<5x3x48xf32>, tensor<2x24x8xf32>
  return %1 : tensor<6x2x3x8xf32>
}

// Constant codes are panels of a format, of each direction, with what their
// columns add up to. Those without a sign are 128 lower, and so is their zero point.
// CHECK-LABEL: @recurrentCodes
// CHECK: %[[C:.+]] = tenon.constant dense<3> : tensor<2x8x32xui8>
// CHECK: %[[A:.+]] = tenon.pack_weight %[[C]] <ui8 at 0, 32, 1> as <i8> rows 8 columns 32
// CHECK: %[[B:.+]] = tenon.pack_weight %[[C]] <ui8 at 256, 32, 1> as <i8> rows 8 columns 32
// CHECK: %[[P:.+]] = tenon.concat %[[A]], %[[B]] axis 0
// CHECK: %[[Z:.+]] = tenon.constant dense<-128> : tensor<2x1xi8>
// CHECK: %[[S:.+]] = tenon.constant dense<-1000> : tensor<2x32xi32>
// CHECK: tenon.recurrent lstm %arg0, %[[P]] scale %arg1 zero %[[Z]] sums %[[S]] units 8 as <i8>
func.func @recurrentCodes(%x: tensor<5x3x64xf32>, %s: tensor<2x1xf32>) -> tensor<7x2x3x8xf32> {
  %w = tenon.constant dense<3> : tensor<2x8x32xui8>
  %0 = tenon.recurrent lstm %x, %w scale %s units 8 : tensor<5x3x64xf32>, tensor<2x8x32xui8> scale tensor<2x1xf32>
  return %0 : tensor<7x2x3x8xf32>
}

// A layer of floats has those that its weight's codes stand for: it would be
// dequantised in every run.
// CHECK-LABEL: @recurrentDequantized
// CHECK: %[[W:.+]] = tenon.constant dense<2.000000e+00> : tensor<1x24x8xf32>
// CHECK: %[[P:.+]] = tenon.pack_b %[[W]] transposed
// CHECK: tenon.recurrent gru %arg0, %[[P]] units 8
func.func @recurrentDequantized(%x: tensor<5x3x24xf32>) -> tensor<6x1x3x8xf32> {
  %c = tenon.constant dense<7> : tensor<1x24x8xui8>
  %z = tenon.constant dense<3> : tensor<i32>
  %s = tenon.constant dense<0.5> : tensor<f32>
  %0 = tenon.cast %c to i32 : tensor<1x24x8xui8>
  %1 = tenon.sub %0, %z : tensor<1x24x8xi32>, tensor<i32>
  %2 = tenon.cast %1 to f32 : tensor<1x24x8xi32>
  %3 = tenon.mul %2, %s : tensor<1x24x8xf32>, tensor<f32>
  %4 = tenon.recurrent gru %x, %3 units 8 : tensor<5x3x24xf32>, tensor<1x24x8xf32>
  return %4 : tensor<6x1x3x8xf32>
}

// As a matrix, of which a step takes a product, it stays in its codes.
// CHECK-LABEL: @spelledCodes
// CHECK: tenon.pack_weight %{{.+}} <ui8 at 0, 1, 8> scale %{{.+}} zero %{{.+}} as <ui8 scale f16 zero ui8> rows 8 columns 24
func.func @spelledCodes(%x: tensor<3x8xf32>) -> tensor<3x24xf32> {
  %c = tenon.constant dense<7> : tensor<24x8xui8>
  %z = tenon.constant dense<3> : tensor<i32>
  %s = tenon.constant dense<0.5> : tensor<f32>
  %0 = tenon.cast %c to i32 : tensor<24x8xui8>
  %1 = tenon.sub %0, %z : tensor<24x8xi32>, tensor<i32>
  %2 = tenon.cast %1 to f32 : tensor<24x8xi32>
  %3 = tenon.mul %2, %s : tensor<24x8xf32>, tensor<f32>
  %4 = tenon.matmul %x, %3 transposed : tensor<3x8xf32>, tensor<24x8xf32>
  return %4 : tensor<3x24xf32>
}

// Codes with a sign are made without one, 128 higher.
// CHECK-LABEL: @unsignedCodes
// CHECK: %[[Z:.+]] = tenon.constant dense<1.260000e+02> : tensor<f32>
// CHECK: tenon.add %{{.+}}, %[[Z]]
// CHECK: tenon.cast %{{.+}} to ui8
// CHECK: %[[W:.+]] = tenon.cast %{{.+}} to i32
// CHECK: %[[P:.+]] = tenon.constant dense<126> : tensor<i32>
// CHECK: tenon.sub %[[W]], %[[P]]
// CHECK-NOT: to i8
func.func @unsignedCodes(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %s = tenon.constant dense<0.5> : tensor<f32>
  %zf = tenon.constant dense<-2.0> : tensor<f32>
  %z = tenon.constant dense<-2> : tensor<i32>
  %low = tenon.constant dense<-128.0> : tensor<f32>
  %high = tenon.constant dense<127.0> : tensor<f32>
  %0 = tenon.div %x, %s : tensor<4x8xf32>, tensor<f32>
  %1 = tenon.round %0 : tensor<4x8xf32>
  %2 = tenon.add %1, %zf : tensor<4x8xf32>, tensor<f32>
  %3 = tenon.max %2, %low : tensor<4x8xf32>, tensor<f32>
  %4 = tenon.min %3, %high : tensor<4x8xf32>, tensor<f32>
  %5 = tenon.cast %4 to i8 : tensor<4x8xf32>
  %6 = tenon.cast %5 to i32 : tensor<4x8xi8>
  %7 = tenon.sub %6, %z : tensor<4x8xi32>, tensor<i32>
  %8 = tenon.cast %7 to f32 : tensor<4x8xi32>
  %9 = tenon.mul %8, %s : tensor<4x8xf32>, tensor<f32>
  return %9 : tensor<4x8xf32>
}

// The largest of numbers that codes stand for, as codes of the same scale and
// zero point: that of the largest code. Outside an image of which there is
// nothing lies the least one.
// CHECK-LABEL: @poolOfCodes
// CHECK: %[[L:.+]] = tenon.constant dense<0> : tensor<ui8>
// CHECK: %[[P:.+]] = tenon.pad constant %arg0, %[[L]] low <"0", "1"> high <"0", "0"> : tensor<4x8xui8>, tensor<ui8>
// CHECK: %[[A:.+]] = tenon.slice %[[P]]
// CHECK: %[[B:.+]] = tenon.slice %[[P]]
// CHECK: %[[M:.+]] = tenon.max %[[A]], %[[B]] : tensor<4x8xui8>, tensor<4x8xui8>
// CHECK: return %[[M]]
func.func @poolOfCodes(%x: tensor<4x8xui8>) -> tensor<4x8xui8> {
  %s = tenon.constant dense<0.5> : tensor<f32>
  %zf = tenon.constant dense<7.0> : tensor<f32>
  %z = tenon.constant dense<7> : tensor<i32>
  %low = tenon.constant dense<0.0> : tensor<f32>
  %high = tenon.constant dense<255.0> : tensor<f32>
  %none = tenon.constant dense<0xFF800000> : tensor<f32>
  %0 = tenon.cast %x to i32 : tensor<4x8xui8>
  %1 = tenon.sub %0, %z : tensor<4x8xi32>, tensor<i32>
  %2 = tenon.cast %1 to f32 : tensor<4x8xi32>
  %3 = tenon.mul %2, %s : tensor<4x8xf32>, tensor<f32>
  %4 = tenon.pad constant %3, %none low <"0", "1"> high <"0", "0"> : tensor<4x8xf32>, tensor<f32>
  %5 = tenon.slice %4 from <"0", "0"> step [1, 1] to <"4", "8"> : tensor<4x9xf32>
  %6 = tenon.slice %4 from <"0", "1"> step [1, 1] to <"4", "8"> : tensor<4x9xf32>
  %7 = tenon.max %5, %6 : tensor<4x8xf32>, tensor<4x8xf32>
  %8 = tenon.div %7, %s : tensor<4x8xf32>, tensor<f32>
  %9 = tenon.round %8 : tensor<4x8xf32>
  %10 = tenon.add %9, %zf : tensor<4x8xf32>, tensor<f32>
  %11 = tenon.max %10, %low : tensor<4x8xf32>, tensor<f32>
  %12 = tenon.min %11, %high : tensor<4x8xf32>, tensor<f32>
  %13 = tenon.cast %12 to ui8 : tensor<4x8xf32>
  return %13 : tensor<4x8xui8>
}
