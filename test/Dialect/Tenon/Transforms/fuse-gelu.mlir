// RUN: tenon-opt %s --tenon-fuse-gelu --canonicalize | FileCheck %s

!x = tensor<?x8xf32, #tenon.dims<"n", "8">>
!c = tensor<f32>

// As torch exports it: x * (0.5 * (1 + erf(x / sqrt 2))).
// CHECK-LABEL: @erf
func.func @erf(%x: !x) -> !x {
  // CHECK-NEXT: %[[G:.*]] = tenon.gelu %arg0 : tensor
  // CHECK-NEXT: return %[[G]]
  %half = tenon.constant dense<0.5> : !c
  %one = tenon.constant dense<1.0> : !c
  %root = tenon.constant dense<1.41421354> : !c
  %0 = tenon.div %x, %root : !x, !c
  %1 = tenon.erf %0 : !x
  %2 = tenon.add %1, %one : !x, !c
  %3 = tenon.mul %half, %2 : !c, !x
  %4 = tenon.mul %x, %3 : !x, !x
  return %4 : !x
}

// (x * (erf(x * sqrt 1/2) + 1)) / 2, operands the other way round.
// CHECK-LABEL: @erfOtherOrder
func.func @erfOtherOrder(%x: !x) -> !x {
  // CHECK-NEXT: tenon.gelu %arg0 : tensor
  // CHECK-NEXT: return
  %two = tenon.constant dense<2.0> : !c
  %one = tenon.constant dense<1.0> : tensor<1xf32>
  %root = tenon.constant dense<0.707106769> : !c
  %0 = tenon.mul %root, %x : !c, !x
  %1 = tenon.erf %0 : !x
  %2 = tenon.add %one, %1 : tensor<1xf32>, !x
  %3 = tenon.mul %2, %x : !x, !x
  %4 = tenon.div %3, %two : !x, !c
  return %4 : !x
}

// x * (0.5 + 0.5 erf), where x itself is a product.
// CHECK-LABEL: @erfOfProduct
func.func @erfOfProduct(%a: !x, %b: !x) -> !x {
  // CHECK-NEXT: %[[X:.*]] = tenon.mul %arg0, %arg1
  // CHECK-NEXT: tenon.gelu %[[X]] : tensor
  // CHECK-NEXT: return
  %half = tenon.constant dense<0.5> : !c
  %root = tenon.constant dense<0.707106769> : !c
  %x = tenon.mul %a, %b : !x, !x
  %0 = tenon.mul %x, %root : !x, !c
  %1 = tenon.erf %0 : !x
  %2 = tenon.mul %1, %half : !x, !c
  %3 = tenon.add %2, %half : !x, !c
  %4 = tenon.mul %x, %3 : !x, !x
  return %4 : !x
}

// GPT-2: 0.5 x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))).
// CHECK-LABEL: @tanhPow
func.func @tanhPow(%x: !x) -> !x {
  // CHECK-NEXT: tenon.gelu %arg0 approximate : tensor
  // CHECK-NEXT: return
  %half = tenon.constant dense<0.5> : !c
  %one = tenon.constant dense<1.0> : !c
  %three = tenon.constant dense<3.0> : !c
  %k = tenon.constant dense<0.0447149985> : !c
  %root = tenon.constant dense<0.797884583> : !c
  %0 = tenon.mul %x, %half : !x, !c
  %1 = tenon.pow %x, %three : !x, !c
  %2 = tenon.mul %1, %k : !x, !c
  %3 = tenon.add %x, %2 : !x, !x
  %4 = tenon.mul %3, %root : !x, !c
  %5 = tenon.tanh %4 : !x
  %6 = tenon.add %5, %one : !x, !c
  %7 = tenon.mul %0, %6 : !x, !x
  return %7 : !x
}

// tanh(x * 0.7978 * (1 + 0.044715 x * x)).
// CHECK-LABEL: @tanhFactored
func.func @tanhFactored(%x: !x) -> !x {
  // CHECK-NEXT: tenon.gelu %arg0 approximate : tensor
  // CHECK-NEXT: return
  %half = tenon.constant dense<0.5> : !c
  %one = tenon.constant dense<1.0> : !c
  %k = tenon.constant dense<0.0447149985> : !c
  %root = tenon.constant dense<0.797884583> : !c
  %0 = tenon.mul %k, %x : !c, !x
  %1 = tenon.mul %0, %x : !x, !x
  %2 = tenon.add %1, %one : !x, !c
  %3 = tenon.mul %x, %root : !x, !c
  %4 = tenon.mul %3, %2 : !x, !x
  %5 = tenon.tanh %4 : !x
  %6 = tenon.add %one, %5 : !c, !x
  %7 = tenon.mul %6, %half : !x, !c
  %8 = tenon.mul %7, %x : !x, !x
  return %8 : !x
}

// CHECK-LABEL: @keepsOtherConstants
func.func @keepsOtherConstants(%x: !x) -> (!x, !x) {
  // CHECK-NOT: tenon.gelu
  %half = tenon.constant dense<0.5> : !c
  %one = tenon.constant dense<1.0> : !c
  %third = tenon.constant dense<0.33> : !c
  %root = tenon.constant dense<1.4142> : !c
  %exact = tenon.constant dense<1.41421354> : !c
  // sqrt 2 to four digits is another function.
  %0 = tenon.div %x, %root : !x, !c
  %1 = tenon.erf %0 : !x
  %2 = tenon.add %1, %one : !x, !c
  %3 = tenon.mul %half, %2 : !c, !x
  %4 = tenon.mul %x, %3 : !x, !x
  // So is a third.
  %5 = tenon.div %x, %exact : !x, !c
  %6 = tenon.erf %5 : !x
  %7 = tenon.add %6, %one : !x, !c
  %8 = tenon.mul %third, %7 : !c, !x
  %9 = tenon.mul %x, %8 : !x, !x
  return %4, %9 : !x, !x
}

// CHECK-LABEL: @keepsOtherFactor
func.func @keepsOtherFactor(%x: !x, %y: !x) -> !x {
  // CHECK-NOT: tenon.gelu
  %half = tenon.constant dense<0.5> : !c
  %one = tenon.constant dense<1.0> : !c
  %root = tenon.constant dense<1.41421354> : !c
  %0 = tenon.div %x, %root : !x, !c
  %1 = tenon.erf %0 : !x
  %2 = tenon.add %1, %one : !x, !c
  %3 = tenon.mul %half, %2 : !c, !x
  %4 = tenon.mul %y, %3 : !x, !x
  return %4 : !x
}
