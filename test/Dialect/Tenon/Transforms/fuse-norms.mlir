// RUN: tenon-opt %s --tenon-fuse-norms --canonicalize | FileCheck %s

!x = tensor<?x8xf32, #tenon.dims<"n", "8">>
!s = tensor<?x1xf32, #tenon.dims<"n", "1">>
!v = tensor<8xf32>
!c = tensor<f32>

// ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add.
// CHECK-LABEL: @layerNorm
func.func @layerNorm(%x: !x, %w: !v, %b: !v) -> !x {
  // CHECK-NEXT: tenon.layer_norm %arg0 scale %arg1 bias %arg2 epsilon 9.99{{.*}}E-6 dims 1
  // CHECK-NEXT: return
  %two = tenon.constant dense<2.0> : !c
  %eps = tenon.constant dense<1.0e-05> : !c
  %0 = tenon.reduce mean %x over [1] keepdims : !x
  %1 = tenon.sub %x, %0 : !x, !s
  %2 = tenon.pow %1, %two : !x, !c
  %3 = tenon.reduce mean %2 over [1] keepdims : !x
  %4 = tenon.add %3, %eps : !s, !c
  %5 = tenon.sqrt %4 : !s
  %6 = tenon.div %1, %5 : !x, !s
  %7 = tenon.mul %6, %w : !x, !v
  %8 = tenon.add %7, %b : !x, !v
  return %8 : !x
}

// Two subtractions, Mul for the square, Reciprocal, other orders, and
// parameters with leading 1s.
// CHECK-LABEL: @layerNormOtherOrder
func.func @layerNormOtherOrder(%x: !x, %w: tensor<1x8xf32>, %b: !v) -> !x {
  // CHECK-NEXT: %[[W:.*]] = tenon.reshape %arg1 to <"8">
  // CHECK-NEXT: tenon.layer_norm %arg0 scale %[[W]] bias %arg2
  // CHECK-NEXT: return
  %eps = tenon.constant dense<1.0e-05> : !c
  %0 = tenon.reduce mean %x over [1] keepdims : !x
  %1 = tenon.sub %x, %0 : !x, !s
  %d = tenon.sub %x, %0 : !x, !s
  %2 = tenon.mul %d, %d : !x, !x
  %3 = tenon.reduce mean %2 over [1] keepdims : !x
  %4 = tenon.add %eps, %3 : !c, !s
  %5 = tenon.sqrt %4 : !s
  %6 = tenon.reciprocal %5 : !s
  %7 = tenon.mul %6, %1 : !s, !x
  %8 = tenon.mul %w, %7 : tensor<1x8xf32>, !x
  %9 = tenon.add %b, %8 : !v, !x
  return %9 : !x
}

// Llama: Pow, ReduceMean, Add, Sqrt, Reciprocal, Mul, Mul.
// CHECK-LABEL: @rmsNorm
func.func @rmsNorm(%x: !x, %w: !v) -> !x {
  // CHECK-NEXT: tenon.rms_norm %arg0 scale %arg1 epsilon 9.99{{.*}}E-7 dims 1
  // CHECK-NEXT: return
  %two = tenon.constant dense<2.0> : !c
  %eps = tenon.constant dense<1.0e-06> : !c
  %0 = tenon.pow %x, %two : !x, !c
  %1 = tenon.reduce mean %0 over [1] keepdims : !x
  %2 = tenon.add %1, %eps : !s, !c
  %3 = tenon.sqrt %2 : !s
  %4 = tenon.reciprocal %3 : !s
  %5 = tenon.mul %x, %4 : !x, !s
  %6 = tenon.mul %w, %5 : !v, !x
  return %6 : !x
}

// 1/sqrt and pow(-0.5), without a scale.
// CHECK-LABEL: @rmsNormOtherRoots
func.func @rmsNormOtherRoots(%x: !x) -> (!x, !x) {
  // CHECK-NEXT: tenon.rms_norm %arg0 epsilon
  // CHECK-NEXT: tenon.rms_norm %arg0 epsilon
  // CHECK-NEXT: return
  %one = tenon.constant dense<1.0> : !c
  %minusHalf = tenon.constant dense<-0.5> : !c
  %eps = tenon.constant dense<1.0e-06> : !c
  %0 = tenon.mul %x, %x : !x, !x
  %1 = tenon.reduce mean %0 over [1] keepdims : !x
  %2 = tenon.add %1, %eps : !s, !c
  %3 = tenon.sqrt %2 : !s
  %4 = tenon.div %one, %3 : !c, !s
  %5 = tenon.mul %x, %4 : !x, !s
  %6 = tenon.pow %2, %minusHalf : !s, !c
  %7 = tenon.mul %6, %x : !s, !x
  return %5, %7 : !x, !x
}

// The cast back to f16 rounds before the scale: it stays between the two.
// CHECK-LABEL: @rmsNormBetweenCasts
func.func @rmsNormBetweenCasts(%h: tensor<4x8xf16>, %w: tensor<8xf16>) -> tensor<4x8xf16> {
  // CHECK-NEXT: %[[X:.*]] = tenon.cast %arg0 to f32
  // CHECK-NEXT: %[[N:.*]] = tenon.rms_norm %[[X]] epsilon
  // CHECK-NEXT: %[[H:.*]] = tenon.cast %[[N]] to f16
  // CHECK-NEXT: tenon.mul %arg1, %[[H]]
  %two = tenon.constant dense<2.0> : !c
  %eps = tenon.constant dense<1.0e-06> : !c
  %x = tenon.cast %h to f32 : tensor<4x8xf16>
  %0 = tenon.pow %x, %two : tensor<4x8xf32>, !c
  %1 = tenon.reduce mean %0 over [1] keepdims : tensor<4x8xf32>
  %2 = tenon.add %1, %eps : tensor<4x1xf32>, !c
  %3 = tenon.sqrt %2 : tensor<4x1xf32>
  %4 = tenon.reciprocal %3 : tensor<4x1xf32>
  %5 = tenon.mul %x, %4 : tensor<4x8xf32>, tensor<4x1xf32>
  %6 = tenon.cast %5 to f16 : tensor<4x8xf32>
  %7 = tenon.mul %w, %6 : tensor<8xf16>, tensor<4x8xf16>
  return %7 : tensor<4x8xf16>
}

// Over two trailing dims.
// CHECK-LABEL: @twoDims
func.func @twoDims(%x: tensor<2x4x8xf32>, %w: tensor<4x8xf32>) -> tensor<2x4x8xf32> {
  // CHECK-NEXT: tenon.rms_norm %arg0 scale %arg1 epsilon {{.*}} dims 2
  %eps = tenon.constant dense<1.0e-06> : !c
  %0 = tenon.mul %x, %x : tensor<2x4x8xf32>, tensor<2x4x8xf32>
  %1 = tenon.reduce mean %0 over [1, 2] keepdims : tensor<2x4x8xf32>
  %2 = tenon.add %1, %eps : tensor<2x1x1xf32>, !c
  %3 = tenon.sqrt %2 : tensor<2x1x1xf32>
  %4 = tenon.div %x, %3 : tensor<2x4x8xf32>, tensor<2x1x1xf32>
  %5 = tenon.mul %4, %w : tensor<2x4x8xf32>, tensor<4x8xf32>
  return %5 : tensor<2x4x8xf32>
}

// Centred by the mean over another axis: an RMS norm of the difference.
// CHECK-LABEL: @centredByOtherMean
func.func @centredByOtherMean(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  // CHECK: %[[D:.*]] = tenon.sub
  // CHECK-NEXT: tenon.rms_norm %[[D]]
  %eps = tenon.constant dense<1.0e-06> : !c
  %0 = tenon.reduce mean %x over [0] keepdims : tensor<4x8xf32>
  %1 = tenon.sub %x, %0 : tensor<4x8xf32>, tensor<1x8xf32>
  %2 = tenon.mul %1, %1 : tensor<4x8xf32>, tensor<4x8xf32>
  %3 = tenon.reduce mean %2 over [1] keepdims : tensor<4x8xf32>
  %4 = tenon.add %3, %eps : tensor<4x1xf32>, !c
  %5 = tenon.sqrt %4 : tensor<4x1xf32>
  %6 = tenon.div %1, %5 : tensor<4x8xf32>, tensor<4x1xf32>
  return %6 : tensor<4x8xf32>
}

// Over the first axis, the sum of squares, the cube, no epsilon that is known,
// the wrong way round.
// CHECK-LABEL: @keepsOthers
func.func @keepsOthers(%x: tensor<8x8xf32>, %e: !c) -> (tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>) {
  // CHECK-NOT: _norm
  %eps = tenon.constant dense<1.0e-06> : !c
  %three = tenon.constant dense<3.0> : !c
  %0 = tenon.mul %x, %x : tensor<8x8xf32>, tensor<8x8xf32>
  %1 = tenon.reduce mean %0 over [0] keepdims : tensor<8x8xf32>
  %2 = tenon.add %1, %eps : tensor<1x8xf32>, !c
  %3 = tenon.sqrt %2 : tensor<1x8xf32>
  %4 = tenon.div %x, %3 : tensor<8x8xf32>, tensor<1x8xf32>
  %5 = tenon.reduce sum %0 over [1] keepdims : tensor<8x8xf32>
  %6 = tenon.add %5, %eps : tensor<8x1xf32>, !c
  %7 = tenon.sqrt %6 : tensor<8x1xf32>
  %8 = tenon.div %x, %7 : tensor<8x8xf32>, tensor<8x1xf32>
  %9 = tenon.pow %x, %three : tensor<8x8xf32>, !c
  %10 = tenon.reduce mean %9 over [1] keepdims : tensor<8x8xf32>
  %11 = tenon.add %10, %eps : tensor<8x1xf32>, !c
  %12 = tenon.sqrt %11 : tensor<8x1xf32>
  %13 = tenon.div %x, %12 : tensor<8x8xf32>, tensor<8x1xf32>
  %14 = tenon.reduce mean %0 over [1] keepdims : tensor<8x8xf32>
  %15 = tenon.add %14, %e : tensor<8x1xf32>, !c
  %16 = tenon.sqrt %15 : tensor<8x1xf32>
  %17 = tenon.div %x, %16 : tensor<8x8xf32>, tensor<8x1xf32>
  %18 = tenon.add %14, %eps : tensor<8x1xf32>, !c
  %19 = tenon.sqrt %18 : tensor<8x1xf32>
  %20 = tenon.div %19, %x : tensor<8x1xf32>, tensor<8x8xf32>
  return %4, %8, %13, %17, %20 : tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>
}

// Another use of the plain norm: folding the scale in would compute it twice.
// CHECK-LABEL: @keepsSharedNorm
func.func @keepsSharedNorm(%x: !x, %w: !v) -> (!x, !x) {
  // CHECK: %[[N:.*]] = tenon.rms_norm %arg0 epsilon
  // CHECK: tenon.mul %[[N]], %arg1
  %0 = tenon.rms_norm %x epsilon 1.0E-6 dims 1 : !x
  %1 = tenon.mul %0, %w : !x, !v
  return %0, %1 : !x, !x
}

// A residual is no bias, a gate no scale.
// CHECK-LABEL: @keepsResidual
func.func @keepsResidual(%x: !x, %w: !v) -> (!x, !x) {
  // CHECK: tenon.layer_norm %arg0 scale %arg1 epsilon
  // CHECK: tenon.add
  // CHECK: tenon.rms_norm %arg0 epsilon
  // CHECK: tenon.mul
  %0 = tenon.layer_norm %x scale %w epsilon 1.0E-6 dims 1 : !x, !v
  %1 = tenon.add %0, %x : !x, !x
  %2 = tenon.rms_norm %x epsilon 1.0E-6 dims 1 : !x
  %3 = tenon.mul %2, %x : !x, !x
  return %1, %3 : !x, !x
}

// A variance over the first axis: the mean of the differences is taken away, and
// the second difference stands for the first wherever that was used.
// CHECK-LABEL: @centresAgain
func.func @centresAgain(%x: tensor<8x8xf32>) -> (tensor<8x8xf32>, tensor<1x8xf32>) {
  // CHECK: %[[M:.*]] = tenon.reduce mean %arg0 over [0] keepdims
  // CHECK-NEXT: %[[D:.*]] = tenon.sub %arg0, %[[M]]
  // CHECK-NEXT: %[[AGAIN:.*]] = tenon.reduce mean %[[D]] over [0] keepdims
  // CHECK-NEXT: %[[E:.*]] = tenon.sub %[[D]], %[[AGAIN]]
  // CHECK-NEXT: %[[S:.*]] = tenon.mul %[[E]], %[[E]]
  // CHECK-NEXT: %[[V:.*]] = tenon.reduce mean %[[S]]
  // CHECK-NEXT: return %[[E]], %[[V]]
  %0 = tenon.reduce mean %x over [0] keepdims : tensor<8x8xf32>
  %1 = tenon.sub %x, %0 : tensor<8x8xf32>, tensor<1x8xf32>
  %2 = tenon.mul %1, %1 : tensor<8x8xf32>, tensor<8x8xf32>
  %3 = tenon.reduce mean %2 over [0] keepdims : tensor<8x8xf32>
  return %1, %3 : tensor<8x8xf32>, tensor<1x8xf32>
}

// No variance.
// CHECK-LABEL: @keepsDifference
func.func @keepsDifference(%x: tensor<8x8xf32>) -> tensor<8x8xf32> {
  // CHECK: %[[D:.*]] = tenon.sub
  // CHECK-NEXT: return %[[D]]
  %0 = tenon.reduce mean %x over [0] keepdims : tensor<8x8xf32>
  %1 = tenon.sub %x, %0 : tensor<8x8xf32>, tensor<1x8xf32>
  return %1 : tensor<8x8xf32>
}
