// RUN: tenon-opt %s --tenon-expand-math --split-input-file | FileCheck %s

// No operation of libm is left, and none carries a fast-math flag.

// CHECK-LABEL: @exp
//   CHECK-NOT: math.exp
//   CHECK-NOT: fastmath
//       CHECK: math.fma {{.*}} : vector<16xf32>
//       CHECK: return
func.func @exp(%x: vector<16xf32>) -> vector<16xf32> {
  %0 = math.exp %x fastmath<fast> : vector<16xf32>
  return %0 : vector<16xf32>
}

// -----

// The clamp is a compare and a select, which keep NaN.

// CHECK-LABEL: @clampKeepsNaN
//  CHECK-SAME: %[[X:.+]]: f32
//       CHECK: %[[HIGH:.+]] = arith.constant 8.900000e+01 : f32
//       CHECK: %[[C:.+]] = arith.cmpf ogt, %[[X]], %[[HIGH]] : f32
//       CHECK: arith.select %[[C]], %{{.+}}, %[[X]] : f32
func.func @clampKeepsNaN(%x: f32) -> f32 {
  %0 = math.exp %x : f32
  return %0 : f32
}

// -----

// CHECK-LABEL: @halfTypesAreWidened
//       CHECK: arith.extf %{{.+}} : bf16 to f32
//   CHECK-NOT: math.tanh
//       CHECK: arith.truncf %{{.+}} : f32 to bf16
func.func @halfTypesAreWidened(%x: bf16) -> bf16 {
  %0 = math.tanh %x : bf16
  return %0 : bf16
}

// -----

// CHECK-LABEL: @rareFunctionsGoThroughF64
//       CHECK: arith.extf %{{.+}} : vector<4xf32> to vector<4xf64>
//   CHECK-NOT: math.atan
//       CHECK: arith.truncf %{{.+}} : vector<4xf64> to vector<4xf32>
func.func @rareFunctionsGoThroughF64(%x: vector<4xf32>) -> vector<4xf32> {
  %0 = math.atan %x : vector<4xf32>
  return %0 : vector<4xf32>
}

// -----

// What is one instruction stays.

// CHECK-LABEL: @instructionsStay
//       CHECK: math.sqrt
//       CHECK: math.floor
//       CHECK: math.roundeven
//       CHECK: math.copysign
func.func @instructionsStay(%x: vector<8xf32>) -> vector<8xf32> {
  %0 = math.sqrt %x : vector<8xf32>
  %1 = math.floor %0 : vector<8xf32>
  %2 = math.roundeven %1 : vector<8xf32>
  %3 = math.copysign %2, %x : vector<8xf32>
  return %3 : vector<8xf32>
}

// -----

// Any shape of vector; a tensor is none of this pass's business.

// CHECK-LABEL: @shapes
//       CHECK: math.fma {{.*}} : vector<2x8xf32>
//       CHECK: math.exp {{.*}} : tensor<4xf32>
func.func @shapes(%x: vector<2x8xf32>, %t: tensor<4xf32>)
    -> (vector<2x8xf32>, tensor<4xf32>) {
  %0 = math.exp %x : vector<2x8xf32>
  %1 = math.exp %t : tensor<4xf32>
  return %0, %1 : vector<2x8xf32>, tensor<4xf32>
}
