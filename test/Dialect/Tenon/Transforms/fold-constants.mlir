// RUN: tenon-opt %s --tenon-fold-constants --canonicalize | FileCheck %s

// CHECK-LABEL: @floats
func.func @floats() -> (tensor<f32>, tensor<2xf32>, tensor<2xf32>) {
  // CHECK-DAG: tenon.constant dense<8.000000e+00> : tensor<f32>
  // CHECK-DAG: tenon.constant dense<[3.000000e+00, 5.000000e+00]> : tensor<2xf32>
  // CHECK-DAG: tenon.constant dense<[1.000000e+00, 2.500000e-01]> : tensor<2xf32>
  %a = tenon.constant dense<64.0> : tensor<f32>
  %b = tenon.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %one = tenon.constant dense<1.0> : tensor<f32>
  %two = tenon.constant dense<2.0> : tensor<f32>
  %0 = tenon.sqrt %a : tensor<f32>
  %1 = tenon.mul %b, %two : tensor<2xf32>, tensor<f32>
  %2 = tenon.add %one, %1 : tensor<f32>, tensor<2xf32>
  %neg = tenon.neg %two : tensor<f32>
  %3 = tenon.pow %b, %neg : tensor<2xf32>, tensor<f32>
  return %0, %2, %3 : tensor<f32>, tensor<2xf32>, tensor<2xf32>
}

// CHECK-LABEL: @integers
func.func @integers() -> (tensor<4xi64>, tensor<4xi64>, tensor<4xi32>, tensor<4xi1>) {
  // CHECK-DAG: tenon.constant dense<[-1, 1, -3, 0]> : tensor<4xi64>
  // CHECK-DAG: tenon.constant dense<[1, 1, -1, 0]> : tensor<4xi64>
  // CHECK-DAG: tenon.constant dense<[-3, 3, -7, 5]> : tensor<4xi32>
  // CHECK-DAG: tenon.constant dense<[true, false, true, false]> : tensor<4xi1>
  %a = tenon.constant dense<[-3, 3, -7, 5]> : tensor<4xi64>
  %b = tenon.constant dense<[2, 2, 2, 0]> : tensor<4xi64>
  %c = tenon.constant dense<[2, 2, -2, 0]> : tensor<4xi64>
  %0 = tenon.div %a, %b : tensor<4xi64>, tensor<4xi64>
  %1 = tenon.mod %a, %c : tensor<4xi64>, tensor<4xi64>
  %2 = tenon.cast %a to i32 : tensor<4xi64>
  %3 = tenon.compare lt %a, %b : tensor<4xi64>, tensor<4xi64>
  return %0, %1, %2, %3 : tensor<4xi64>, tensor<4xi64>, tensor<4xi32>, tensor<4xi1>
}

// Not a number becomes 0, what does not fit the largest.
// CHECK-LABEL: @casts
func.func @casts() -> (tensor<3xi32>, tensor<2xi1>, tensor<2xf64>) {
  // CHECK-DAG: tenon.constant dense<[0, 2147483647, -2]> : tensor<3xi32>
  // CHECK-DAG: tenon.constant dense<[false, true]> : tensor<2xi1>
  // CHECK-DAG: tenon.constant dense<[1.000000e+00, 0.000000e+00]> : tensor<2xf64>
  %a = tenon.constant dense<[0x7FC00000, 1.0e+20, -2.9]> : tensor<3xf32>
  %b = tenon.constant dense<[0.0, -0.5]> : tensor<2xf32>
  %c = tenon.constant dense<[true, false]> : tensor<2xi1>
  %0 = tenon.cast %a to i32 : tensor<3xf32>
  %1 = tenon.cast %b to i1 : tensor<2xf32>
  %2 = tenon.cast %c to f64 : tensor<2xi1>
  return %0, %1, %2 : tensor<3xi32>, tensor<2xi1>, tensor<2xf64>
}

// CHECK-LABEL: @movesData
func.func @movesData() -> (tensor<3x2xi64>, tensor<2x2xi64>, tensor<4x3xi64>, tensor<2xi64>) {
  // CHECK-DAG: tenon.constant dense<{{\[}}[1, 4], [2, 5], [3, 6]]> : tensor<3x2xi64>
  // CHECK-DAG: tenon.constant dense<{{\[}}[3, 1], [6, 4]]> : tensor<2x2xi64>
  // CHECK-DAG: tenon.constant dense<{{\[}}[1, 2, 3], [4, 5, 6], [1, 2, 3], [4, 5, 6]]> : tensor<4x3xi64>
  // CHECK-DAG: tenon.constant dense<[3, 6]> : tensor<2xi64>
  %a = tenon.constant dense<[[1, 2, 3], [4, 5, 6]]> : tensor<2x3xi64>
  %last = tenon.constant dense<-1> : tensor<i64>
  %0 = tenon.transpose %a [1, 0] : tensor<2x3xi64>
  %1 = tenon.slice %a from <"0", "2"> step [1, -2] to <"2", "2"> : tensor<2x3xi64>
  %2 = tenon.concat %a, %a axis 0 : tensor<2x3xi64>, tensor<2x3xi64>
  %3 = tenon.gather %a, %last axis 1 : tensor<2x3xi64>, tensor<i64>
  return %0, %1, %2, %3 : tensor<3x2xi64>, tensor<2x2xi64>, tensor<4x3xi64>, tensor<2xi64>
}

// The run says which node reads outside.
// CHECK-LABEL: @keepsGatherOutside
func.func @keepsGatherOutside() -> tensor<i64> {
  // CHECK: tenon.gather
  %a = tenon.constant dense<[1, 2]> : tensor<2xi64>
  %i = tenon.constant dense<2> : tensor<i64>
  %0 = tenon.gather %a, %i axis 0 : tensor<2xi64>, tensor<i64>
  return %0 : tensor<i64>
}

// CHECK-LABEL: @keepsLarge
func.func @keepsLarge() -> (tensor<4097xf32>, tensor<512x257xf32>) {
  // CHECK: tenon.neg
  // CHECK: tenon.add
  %a = tenon.constant dense<1.0> : tensor<4097xf32>
  %b = tenon.constant dense<1.0> : tensor<512x1xf32>
  %c = tenon.constant dense<1.0> : tensor<257xf32>
  %0 = tenon.neg %a : tensor<4097xf32>
  %1 = tenon.add %b, %c : tensor<512x1xf32>, tensor<257xf32>
  return %0, %1 : tensor<4097xf32>, tensor<512x257xf32>
}

// A broadcast is free where it is used; a large constant is not.
// CHECK-LABEL: @keepsBroadcast
func.func @keepsBroadcast() -> tensor<64x64xf32> {
  // CHECK: tenon.broadcast_to
  %a = tenon.constant dense<1.0> : tensor<f32>
  %0 = tenon.broadcast_to %a to <"64", "64"> : tensor<f32>
  return %0 : tensor<64x64xf32>
}

// Small floats saturate unless they are told not to; integers of 4 bits wrap.
// CHECK-LABEL: @smallTypes
func.func @smallTypes() -> (tensor<3xi8>, tensor<3xi8>, tensor<3xf8E8M0FNU>, tensor<3xi4>, tensor<3xf32>, tensor<3xui4>) {
  // CHECK-DAG: tenon.constant dense<[56, 126, 0]> : tensor<3xi8>
  // CHECK-DAG: tenon.constant dense<[60, 124, 0]> : tensor<3xi8>
  // CHECK-DAG: tenon.constant dense<[1.000000e+00, 1.310720e+05, 5.877470e-39]> : tensor<3xf8E8M0FNU>
  // CHECK-DAG: tenon.constant dense<[1, 0, 0]> : tensor<3xi4>
  // CHECK-DAG: tenon.constant dense<[1.000000e+00, 6.000000e+00, 0.000000e+00]> : tensor<3xf32>
  // CHECK-DAG: tenon.constant dense<[1, 15, 7]> : tensor<3xui4>
  %x = tenon.constant dense<[1.0, 100000.0, 0.0]> : tensor<3xf32>
  %0 = tenon.cast %x to f8E4M3FN : tensor<3xf32>
  %1 = tenon.bitcast %0 to i8 : tensor<3xf8E4M3FN>
  %2 = tenon.cast %x to f8E5M2 unsaturated : tensor<3xf32>
  %3 = tenon.bitcast %2 to i8 : tensor<3xf8E5M2>
  %4 = tenon.cast %x to f8E8M0FNU : tensor<3xf32>
  %5 = tenon.cast %x to i4 : tensor<3xf32>
  %6 = tenon.cast %x to f4E2M1FN : tensor<3xf32>
  %7 = tenon.cast %6 to f32 : tensor<3xf4E2M1FN>
  %i = tenon.constant dense<[1, -1, 7]> : tensor<3xi4>
  %8 = tenon.bitcast %i to ui4 : tensor<3xi4>
  return %1, %3, %4, %5, %7, %8 : tensor<3xi8>, tensor<3xi8>, tensor<3xf8E8M0FNU>, tensor<3xi4>, tensor<3xf32>, tensor<3xui4>
}

// A filter that the model spells out is one constant, its conditions too; what
// is computed of integers stays as it is made.

// CHECK-LABEL: @filter
// CHECK-DAG: tenon.constant dense<5.000000e-01> : tensor<70x90xf32>
// CHECK-DAG: tenon.add {{.*}} : tensor<70x1xi64>, tensor<1x90xi64>
// CHECK: return
func.func @filter() -> (tensor<70x90xf32>, tensor<70x90xi64>) {
  %a = tenon.constant dense<1.0> : tensor<70x1xf32>
  %b = tenon.constant dense<-1.0> : tensor<1x90xf32>
  %zero = tenon.constant dense<0.0> : tensor<f32>
  %half = tenon.constant dense<0.5> : tensor<f32>
  %0 = tenon.add %a, %b : tensor<70x1xf32>, tensor<1x90xf32>
  %1 = tenon.compare eq %0, %zero : tensor<70x90xf32>, tensor<f32>
  %2 = tenon.div %a, %0 : tensor<70x1xf32>, tensor<70x90xf32>
  %3 = tenon.select %1, %half, %2 : tensor<70x90xi1>, tensor<f32>, tensor<70x90xf32>
  %i = tenon.constant dense<1> : tensor<70x1xi64>
  %j = tenon.constant dense<2> : tensor<1x90xi64>
  %4 = tenon.add %i, %j : tensor<70x1xi64>, tensor<1x90xi64>
  return %3, %4 : tensor<70x90xf32>, tensor<70x90xi64>
}

// Halves that are cast: small constants and filters are of f32 here; a matrix
// stays as it is stored.

// CHECK-LABEL: @halves
// CHECK-DAG: tenon.constant dense<[1.500000e+00, 5.96046448E-8, 0xFF800000]> : tensor<3xf32>
// CHECK-DAG: tenon.constant dense<[1.500000e+00, 9.183550e-41]> : tensor<2xf32>
// CHECK-DAG: tenon.constant dense<2.500000e-01> : tensor<70x60x1x1xf32>
// CHECK-DAG: tenon.constant dense<5.000000e-01> : tensor<70x60xf16>
// CHECK: tenon.cast {{.*}} : tensor<70x60xf16>
func.func @halves(%x: tensor<1x60x2x2xf32>, %rows: tensor<5x70xf32>) -> (tensor<3xf32>, tensor<2xf32>, tensor<1x70x2x2xf32>, tensor<5x60xf32>) {
  %a = tenon.constant dense<[1.5, 0x0001, 0xFC00]> : tensor<3xf16>
  %b = tenon.constant dense<[1.5, 0x0001]> : tensor<2xbf16>
  %f = tenon.constant dense<0.25> : tensor<70x60x1x1xf16>
  %m = tenon.constant dense<0.5> : tensor<70x60xf16>
  %0 = tenon.cast %a to f32 : tensor<3xf16>
  %1 = tenon.cast %b to f32 : tensor<2xbf16>
  %2 = tenon.cast %f to f32 : tensor<70x60x1x1xf16>
  %3 = tenon.cast %m to f32 : tensor<70x60xf16>
  %4 = tenon.conv %x, %2 strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x60x2x2xf32>, tensor<70x60x1x1xf32>
  %5 = tenon.matmul %rows, %3 : tensor<5x70xf32>, tensor<70x60xf32>
  return %0, %1, %4, %5 : tensor<3xf32>, tensor<2xf32>, tensor<1x70x2x2xf32>, tensor<5x60xf32>
}

// A filter of codes; of integers that are multiplied as such there is no scale,
// and where a model makes codes of its images (@codes) both stay codes. Names of
// constants are numbered in any order: functions are folded at the same time.

// CHECK-LABEL: @filterOfCodes
// CHECK-DAG: tenon.constant dense_resource<filter{{.*}}> : tensor<70x60x1x1xf32>
// CHECK: tenon.sub {{.*}} : tensor<70x60x1x1xf32>, tensor<f32>
func.func @filterOfCodes(%x: tensor<1x60x2x2xf32>) -> (tensor<1x70x2x2xf32>, tensor<1x70x2x2xf32>) {
  %codes = tenon.constant dense<3> : tensor<70x60x1x1xi8>
  %scale = tenon.constant dense<0.5> : tensor<70x1x1x1xf32>
  %zero = tenon.constant dense<1.0> : tensor<f32>
  %0 = tenon.cast %codes to f32 : tensor<70x60x1x1xi8>
  %1 = tenon.mul %0, %scale : tensor<70x60x1x1xf32>, tensor<70x1x1x1xf32>
  %2 = tenon.sub %0, %zero : tensor<70x60x1x1xf32>, tensor<f32>
  %3 = tenon.conv %x, %1 strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x60x2x2xf32>, tensor<70x60x1x1xf32>
  %4 = tenon.conv %x, %2 strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x60x2x2xf32>, tensor<70x60x1x1xf32>
  return %3, %4 : tensor<1x70x2x2xf32>, tensor<1x70x2x2xf32>
}

// CHECK-LABEL: @codes
// CHECK: tenon.mul
// CHECK: tenon.conv
func.func @codes(%x: tensor<1x60x2x2xf32>) -> (tensor<1x70x2x2xf32>, tensor<1x60x2x2xi8>) {
  %codes = tenon.constant dense<3> : tensor<70x60x1x1xi8>
  %scale = tenon.constant dense<0.5> : tensor<70x1x1x1xf32>
  %0 = tenon.cast %codes to f32 : tensor<70x60x1x1xi8>
  %1 = tenon.mul %0, %scale : tensor<70x60x1x1xf32>, tensor<70x1x1x1xf32>
  %2 = tenon.cast %x to i8 : tensor<1x60x2x2xf32>
  %3 = tenon.conv %x, %1 strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x60x2x2xf32>, tensor<70x60x1x1xf32>
  return %3, %2 : tensor<1x70x2x2xf32>, tensor<1x60x2x2xi8>
}

// Few codes as well. Of channels alone sums of codes are exact in f32: their
// scales come behind.

// CHECK-LABEL: @fewCodes
// CHECK-DAG: %[[F:.+]] = tenon.constant dense_resource<filter{{.*}}> : tensor<6x1x3x3xf32>
// CHECK-DAG: %[[S:.+]] = tenon.constant dense<2.500000e-01> : tensor<f32>
// CHECK-DAG: %[[I:.+]] = tenon.constant dense<3> : tensor<4x6x1x1xi8>
// CHECK: %[[N:.+]] = tenon.cast %{{.+}} to f32 : tensor<1x6x4x4xui8>
// CHECK: tenon.cast %[[I]] to f32
// CHECK: %[[D:.+]] = tenon.conv %[[N]], %[[F]]
// CHECK: tenon.mul %[[D]], %[[S]]
func.func @fewCodes(%x: tensor<1x6x4x4xf32>) -> (tensor<1x6x2x2xf32>, tensor<1x4x4x4xf32>) {
  %k = tenon.constant dense<2> : tensor<6x1x3x3xi8>
  %w = tenon.constant dense<3> : tensor<4x6x1x1xi8>
  %scale = tenon.constant dense<0.5> : tensor<f32>
  %0 = tenon.cast %x to ui8 : tensor<1x6x4x4xf32>
  %1 = tenon.cast %0 to f32 : tensor<1x6x4x4xui8>
  %2 = tenon.mul %1, %scale : tensor<1x6x4x4xf32>, tensor<f32>
  %3 = tenon.cast %k to f32 : tensor<6x1x3x3xi8>
  %4 = tenon.mul %3, %scale : tensor<6x1x3x3xf32>, tensor<f32>
  %5 = tenon.cast %w to f32 : tensor<4x6x1x1xi8>
  %6 = tenon.mul %5, %scale : tensor<4x6x1x1xf32>, tensor<f32>
  %7 = tenon.conv %2, %4 strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 6 : tensor<1x6x4x4xf32>, tensor<6x1x3x3xf32>
  %8 = tenon.conv %2, %6 strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] group 1 : tensor<1x6x4x4xf32>, tensor<4x6x1x1xf32>
  return %7, %8 : tensor<1x6x2x2xf32>, tensor<1x4x4x4xf32>
}

// Floats that are cast to halves are halves here: to nearest, ties to even; what
// is too large is infinite, and a NaN keeps what it says.

// CHECK-LABEL: @narrowed
// CHECK-DAG: tenon.constant dense<[1.000000e+00, 1.001950e+00, 0x7C00, 6.550400e+04, 5.960460e-08, -0.000000e+00, 0x7E01]> : tensor<7xf16>
// CHECK-DAG: tenon.constant dense<[1.000000e+00, 1.015630e+00, 0x7F80, 9.183550e-41, 0x7FC1]> : tensor<5xbf16>
// CHECK-DAG: tenon.constant dense<1.500000e+00> : tensor<70x60xbf16>
// CHECK-NOT: tenon.cast
// CHECK: return
func.func @narrowed() -> (tensor<7xf16>, tensor<5xbf16>, tensor<70x60xbf16>) {
  %a = tenon.constant dense<[0x3F801000, 0x3F803000, 0x477FF000, 0x477FEFFF, 0x33000001, 0xB3000000, 0x7F802000]> : tensor<7xf32>
  %b = tenon.constant dense<[0x3F808000, 0x3F818000, 0x7F7F8000, 0x00008001, 0x7F810000]> : tensor<5xf32>
  %s = tenon.constant dense<1.501> : tensor<70x60xf32>
  %0 = tenon.cast %a to f16 : tensor<7xf32>
  %1 = tenon.cast %b to bf16 : tensor<5xf32>
  %2 = tenon.cast %s to bf16 : tensor<70x60xf32>
  return %0, %1, %2 : tensor<7xf16>, tensor<5xbf16>, tensor<70x60xbf16>
}

// A weight that a model normalises is one: ([1, 2, 3] - 2) * 3 and the same of
// its second row. What is summed of an input is not.

// CHECK-LABEL: @normed
// CHECK-DAG: %[[W:.+]] = tenon.constant dense_resource<normed{{.*}}> : tensor<2x3xf32>
// CHECK-DAG: %[[V:.+]] = tenon.reshape %[[W]] to <"2", "3", "1">
// CHECK: tenon.conv %arg0, %[[V]]
// CHECK: %[[M:.+]] = tenon.reduce mean %arg1
// CHECK: %[[D:.+]] = tenon.sub %arg1, %[[M]]
// CHECK: tenon.matmul %arg2, %[[D]]
// CHECK: normed: "0x08000000000040C000000000000040400000C0C0000000000000C040"
func.func @normed(%x: tensor<1x3x4xf32>, %y: tensor<3x2xf32>, %z: tensor<2x3xf32>) -> (tensor<1x2x4xf32>, tensor<2x2xf32>) {
  %w = tenon.constant dense<[[1.0, 2.0, 3.0], [4.0, 6.0, 8.0]]> : tensor<2x3xf32>
  %three = tenon.constant dense<3.0> : tensor<f32>
  %0 = tenon.reduce mean %w over [1] keepdims : tensor<2x3xf32>
  %1 = tenon.sub %w, %0 : tensor<2x3xf32>, tensor<2x1xf32>
  %2 = tenon.mul %1, %three : tensor<2x3xf32>, tensor<f32>
  %3 = tenon.reshape %2 to <"2", "3", "1"> : tensor<2x3xf32>
  %4 = tenon.conv %x, %3 strides [1] pads [0, 0] dilations [1] group 1 : tensor<1x3x4xf32>, tensor<2x3x1xf32>
  %5 = tenon.reduce mean %y over [0] keepdims : tensor<3x2xf32>
  %6 = tenon.sub %y, %5 : tensor<3x2xf32>, tensor<1x2xf32>
  %7 = tenon.matmul %z, %6 : tensor<2x3xf32>, tensor<3x2xf32>
  return %4, %7 : tensor<1x2x4xf32>, tensor<2x2xf32>
}
