// RUN: tenon-opt %s --tenon-pack-matmul="tables inverses" --canonicalize | FileCheck %s
// RUN: tenon-opt %s --tenon-pack-matmul --canonicalize | FileCheck %s --check-prefix=PLAIN

// x times its sigmoid, quantised both times, is a function of the code of x. The
// table begins with what -64, -63.5 and -63 give, which the codes 0, 1 and 2 stand
// for; the bits of the last are those of 137 = 127 * 0.5 / 0.5 + 10.
// CHECK-LABEL: @silu
// CHECK-NOT: tenon.sigmoid
// CHECK: %[[Y:.+]] = tenon.look_up %arg0 in [10, 10, 10,
// CHECK-SAME: -120, -119] to ui8 : tensor<4x6xui8>
// CHECK-NOT: tenon.look_up
// CHECK: return %[[Y]]
// PLAIN-LABEL: @silu
// PLAIN: tenon.sigmoid
func.func @silu(%codes: tensor<4x6xui8>) -> tensor<4x6xui8> {
  %scale = tenon.constant dense<0.5> : tensor<f32>
  %small = tenon.constant dense<0.00390625> : tensor<f32>
  %point = tenon.constant dense<10.0> : tensor<f32>
  %zero = tenon.constant dense<128> : tensor<i32>
  %low = tenon.constant dense<0.0> : tensor<f32>
  %high = tenon.constant dense<255.0> : tensor<f32>
  %0 = tenon.cast %codes to i32 : tensor<4x6xui8>
  %1 = tenon.sub %0, %zero : tensor<4x6xi32>, tensor<i32>
  %2 = tenon.cast %1 to f32 : tensor<4x6xi32>
  %3 = tenon.mul %2, %scale : tensor<4x6xf32>, tensor<f32>
  %4 = tenon.sigmoid %3 : tensor<4x6xf32>
  %5 = tenon.div %4, %small : tensor<4x6xf32>, tensor<f32>
  %6 = tenon.round %5 : tensor<4x6xf32>
  %7 = tenon.max %6, %low : tensor<4x6xf32>, tensor<f32>
  %8 = tenon.min %7, %high : tensor<4x6xf32>, tensor<f32>
  %9 = tenon.cast %8 to ui8 : tensor<4x6xf32>
  %10 = tenon.cast %9 to i32 : tensor<4x6xui8>
  %11 = tenon.cast %10 to f32 : tensor<4x6xi32>
  %12 = tenon.mul %11, %small : tensor<4x6xf32>, tensor<f32>
  %13 = tenon.mul %3, %12 : tensor<4x6xf32>, tensor<4x6xf32>
  %14 = tenon.div %13, %scale : tensor<4x6xf32>, tensor<f32>
  %15 = tenon.round %14 : tensor<4x6xf32>
  %16 = tenon.add %15, %point : tensor<4x6xf32>, tensor<f32>
  %17 = tenon.max %16, %low : tensor<4x6xf32>, tensor<f32>
  %18 = tenon.min %17, %high : tensor<4x6xf32>, tensor<f32>
  %19 = tenon.cast %18 to ui8 : tensor<4x6xf32>
  return %19 : tensor<4x6xui8>
}

// What costs little is computed, and what other things are needed for is no
// function of codes.
// CHECK-LABEL: @noTable
// CHECK-NOT: tenon.look_up
// CHECK: tenon.sigmoid
// CHECK-NOT: tenon.look_up
// CHECK: return
func.func @noTable(%codes: tensor<6xui8>, %x: tensor<6xf32>) -> (tensor<6xui8>, tensor<6xui8>) {
  %scale = tenon.constant dense<0.5> : tensor<f32>
  %low = tenon.constant dense<0.0> : tensor<f32>
  %high = tenon.constant dense<255.0> : tensor<f32>
  %0 = tenon.cast %codes to f32 : tensor<6xui8>
  %1 = tenon.mul %0, %scale : tensor<6xf32>, tensor<f32>
  %2 = tenon.round %1 : tensor<6xf32>
  %3 = tenon.max %2, %low : tensor<6xf32>, tensor<f32>
  %4 = tenon.min %3, %high : tensor<6xf32>, tensor<f32>
  %5 = tenon.cast %4 to ui8 : tensor<6xf32>
  %6 = tenon.sigmoid %1 : tensor<6xf32>
  %7 = tenon.mul %6, %x : tensor<6xf32>, tensor<6xf32>
  %8 = tenon.div %7, %scale : tensor<6xf32>, tensor<f32>
  %9 = tenon.round %8 : tensor<6xf32>
  %10 = tenon.max %9, %low : tensor<6xf32>, tensor<f32>
  %11 = tenon.min %10, %high : tensor<6xf32>, tensor<f32>
  %12 = tenon.cast %11 to ui8 : tensor<6xf32>
  return %5, %12 : tensor<6xui8>, tensor<6xui8>
}

// A bias of 3 and -5 times the scale is added to the integers, from which the
// zero point, 7, takes 7 * 8 off; one of other numbers is added to floats.
// CHECK-LABEL: @biases
// CHECK-DAG: %[[LESS:.+]] = tenon.constant dense<[53, 61]> : tensor<2xi32>
// CHECK-DAG: %[[OTHER:.+]] = tenon.constant dense<[3.000000e-01, 1.000000e+00]> : tensor<2xf32>
// CHECK: %[[P:.+]] = tenon.packed_matmul
// CHECK: %[[S:.+]] = tenon.sub %[[P]], %[[LESS]]
// CHECK: %[[F:.+]] = tenon.cast %[[S]] to f32
// CHECK: %[[Y:.+]] = tenon.mul %[[F]], %{{.+}} : tensor<4x2xf32>, tensor<f32>
// CHECK: %[[Z:.+]] = tenon.add %{{.+}}, %[[OTHER]]
// CHECK: return %[[Y]], %[[Z]]
func.func @biases(%codes: tensor<4x8xui8>) -> (tensor<4x2xf32>, tensor<4x2xf32>) {
  %zero = tenon.constant dense<7> : tensor<i32>
  %scale = tenon.constant dense<0.25> : tensor<f32>
  %w = tenon.constant dense<1> : tensor<8x2xi8>
  %bias = tenon.constant dense<[0.75, -1.25]> : tensor<2xf32>
  %other = tenon.constant dense<[0.3, 1.0]> : tensor<2xf32>
  %0 = tenon.cast %codes to i32 : tensor<4x8xui8>
  %1 = tenon.sub %0, %zero : tensor<4x8xi32>, tensor<i32>
  %2 = tenon.cast %w to i32 : tensor<8x2xi8>
  %3 = tenon.matmul %1, %2 : tensor<4x8xi32>, tensor<8x2xi32>
  %4 = tenon.cast %3 to f32 : tensor<4x2xi32>
  %5 = tenon.mul %4, %scale : tensor<4x2xf32>, tensor<f32>
  %6 = tenon.add %5, %bias : tensor<4x2xf32>, tensor<2xf32>
  %7 = tenon.matmul %1, %2 : tensor<4x8xi32>, tensor<8x2xi32>
  %8 = tenon.cast %7 to f32 : tensor<4x2xi32>
  %9 = tenon.mul %8, %scale : tensor<4x2xf32>, tensor<f32>
  %10 = tenon.add %9, %other : tensor<4x2xf32>, tensor<2xf32>
  return %6, %10 : tensor<4x2xf32>, tensor<4x2xf32>
}

// Codes with a sign become such without one, whose quotients know their
// inverse.
// CHECK-LABEL: @signed
// CHECK: tenon.quotient
// CHECK-NOT: tenon.div
// CHECK: tenon.cast %{{.+}} to ui8
func.func @signed(%x: tensor<4x6xf32>) -> tensor<4x6xf32> {
  %scale = tenon.constant dense<0.3> : tensor<f32>
  %point = tenon.constant dense<-5.0> : tensor<f32>
  %zero = tenon.constant dense<-5> : tensor<i32>
  %low = tenon.constant dense<-128.0> : tensor<f32>
  %high = tenon.constant dense<127.0> : tensor<f32>
  %0 = tenon.div %x, %scale : tensor<4x6xf32>, tensor<f32>
  %1 = tenon.round %0 : tensor<4x6xf32>
  %2 = tenon.add %1, %point : tensor<4x6xf32>, tensor<f32>
  %3 = tenon.max %2, %low : tensor<4x6xf32>, tensor<f32>
  %4 = tenon.min %3, %high : tensor<4x6xf32>, tensor<f32>
  %5 = tenon.cast %4 to i8 : tensor<4x6xf32>
  %6 = tenon.cast %5 to i32 : tensor<4x6xi8>
  %7 = tenon.sub %6, %zero : tensor<4x6xi32>, tensor<i32>
  %8 = tenon.cast %7 to f32 : tensor<4x6xi32>
  %9 = tenon.mul %8, %scale : tensor<4x6xf32>, tensor<f32>
  return %9 : tensor<4x6xf32>
}
