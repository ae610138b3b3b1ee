// RUN: tenon-opt %s --split-input-file --tenon-form-kernels | FileCheck %s
// RUN: tenon-opt %s --split-input-file --tenon-form-kernels=finished-rows=false | FileCheck %s --check-prefix=APART
// RUN: tenon-opt %s --split-input-file --tenon-form-kernels="gathers-rows=0 turned-tiles=0" | FileCheck %s --check-prefix=STORED

// What follows a matmul pointwise is its epilogue.
// CHECK-LABEL: @epilogue
// CHECK: %[[K:.+]] = tenon.kernel matmul(%arg0, %arg1, %arg2)
// CHECK: tenon.packed_matmul
// CHECK: tenon.add
// CHECK: tenon.gelu
// CHECK: return %[[K]]
func.func @epilogue(%x: tensor<?x64xf32, #tenon.dims<"m", "64">>, %p: tensor<2x64x32xf32>, %b: tensor<48xf32>) -> tensor<?x48xf32, #tenon.dims<"m", "48">> {
  %0 = tenon.packed_matmul %x, %p columns "48" : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<2x64x32xf32>
  %1 = tenon.add %0, %b : tensor<?x48xf32, #tenon.dims<"m", "48">>, tensor<48xf32>
  %2 = tenon.gelu %1 : tensor<?x48xf32, #tenon.dims<"m", "48">>
  return %2 : tensor<?x48xf32, #tenon.dims<"m", "48">>
}

// -----

// A residual that two ops read is stored, the sum with it is not repeated.
// CHECK-LABEL: @storesSharedValues
// CHECK: %[[S:.+]] = tenon.kernel matmul
// CHECK: tenon.kernel row(%[[S]])
// CHECK: tenon.kernel map
func.func @storesSharedValues(%x: tensor<4x64xf32>, %p: tensor<2x64x32xf32>, %r: tensor<4x64xf32>) -> tensor<4x64xf32> {
  %0 = tenon.packed_matmul %x, %p columns "64" : tensor<4x64xf32>, tensor<2x64x32xf32>
  %1 = tenon.add %0, %r : tensor<4x64xf32>, tensor<4x64xf32>
  %2 = tenon.softmax %1 : tensor<4x64xf32>
  %3 = tenon.exp %1 : tensor<4x64xf32>
  %4 = tenon.concat %2, %3 axis 0 : tensor<4x64xf32>, tensor<4x64xf32>
  %5 = tenon.slice %4 from <"0", "0"> step [2, 1] to <"4", "64"> : tensor<8x64xf32>
  return %5 : tensor<4x64xf32>
}

// -----

// A prologue is computed where it is used, unless that would repeat work: the
// sum is broadcast, so it is stored.
// CHECK-LABEL: @doesNotRepeatWork
// CHECK: tenon.kernel map(%arg0, %arg1)
// CHECK-NEXT: ^bb0
// CHECK-NEXT: tenon.add
// CHECK-NEXT: tenon.yield
// CHECK: tenon.kernel map
// CHECK: tenon.mul
func.func @doesNotRepeatWork(%a: tensor<1x8xf32>, %b: tensor<1x8xf32>, %c: tensor<16x8xf32>) -> tensor<16x8xf32> {
  %0 = tenon.add %a, %b : tensor<1x8xf32>, tensor<1x8xf32>
  %1 = tenon.mul %0, %c : tensor<1x8xf32>, tensor<16x8xf32>
  return %1 : tensor<16x8xf32>
}

// -----

// The scale of squeezed channels is taken by a product of few columns, which
// packs each row once; one of more columns would do so again.
// CHECK-LABEL: @scaledRows
// CHECK: tenon.kernel matmul(%arg0, %arg1, %arg2)
// CHECK: tenon.mul
// CHECK: tenon.packed_matmul
// CHECK: tenon.kernel map(%arg0, %arg1)
// CHECK: tenon.mul
// CHECK: tenon.kernel matmul
func.func @scaledRows(%x: tensor<1x50x96xf32>, %s: tensor<1x1x96xf32>, %p: tensor<2x96x32xf32>, %q: tensor<9x96x32xf32>) -> (tensor<1x50x40xf32>, tensor<1x50x288xf32>) {
  %0 = tenon.mul %x, %s : tensor<1x50x96xf32>, tensor<1x1x96xf32>
  %1 = tenon.packed_matmul %0, %p columns "40" : tensor<1x50x96xf32>, tensor<2x96x32xf32>
  %2 = tenon.mul %x, %s : tensor<1x50x96xf32>, tensor<1x1x96xf32>
  %3 = tenon.packed_matmul %2, %q columns "288" : tensor<1x50x96xf32>, tensor<9x96x32xf32>
  return %1, %3 : tensor<1x50x40xf32>, tensor<1x50x288xf32>
}

// -----

// What is read from memory alone lies there, be it the same everywhere.
// CHECK-LABEL: @boxFilter
// CHECK: %[[BOX:.+]] = tenon.constant dense<2.500000e-01>
// CHECK: tenon.kernel depthwise(%arg0, %[[BOX]])
func.func @boxFilter(%x: tensor<1x8x8x4xf32>) -> tensor<1x49x4xf32> {
  %w = tenon.constant dense<2.500000e-01> : tensor<4x4xf32>
  %0 = tenon.depthwise %x, %w kernel [2, 2] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] : tensor<1x8x8x4xf32>, tensor<4x4xf32>
  return %0 : tensor<1x49x4xf32>
}

// -----

// matmul, softmax, matmul: scores never reach memory; the transpose at the end
// is where the result is stored.
// CHECK-LABEL: @attention
// CHECK-NOT: tenon.kernel row
// CHECK: tenon.kernel attention(%arg0, %arg1, %arg3, %arg2)
// CHECK: tenon.packed_matmul
// CHECK: tenon.add
// CHECK: tenon.softmax
// CHECK: tenon.packed_matmul
// CHECK: tenon.transpose
// CHECK-NOT: tenon.kernel
func.func @attention(%q: tensor<2x4x10x32xf32>, %k: tensor<2x4x1x32x32xf32>, %v: tensor<2x4x1x10x32xf32>, %mask: tensor<2x1x10x10xf32>) -> tensor<2x10x4x32xf32> {
  %0 = tenon.packed_matmul %q, %k columns "10" : tensor<2x4x10x32xf32>, tensor<2x4x1x32x32xf32>
  %1 = tenon.add %0, %mask : tensor<2x4x10x10xf32>, tensor<2x1x10x10xf32>
  %2 = tenon.softmax %1 : tensor<2x4x10x10xf32>
  %3 = tenon.packed_matmul %2, %v columns "32" : tensor<2x4x10x10xf32>, tensor<2x4x1x10x32xf32>
  %4 = tenon.transpose %3 [0, 2, 1, 3] : tensor<2x4x10x32xf32>
  return %4 : tensor<2x10x4x32xf32>
}

// -----

// A quantised model rounds probabilities: their rows are finished before they
// meet the values, where the target does so. Scales are no reason for two kernels.
// CHECK-LABEL: @finishedRows
// CHECK-NOT: tenon.kernel row
// CHECK: %[[ONE:.+]] = tenon.constant dense<0.00392156886>
// CHECK: tenon.kernel attention(%arg0, %arg1, %arg2, %[[ONE]])
// CHECK: tenon.softmax
// CHECK: tenon.div
// CHECK: tenon.round
// CHECK: tenon.mul
// CHECK: tenon.packed_matmul
// CHECK: %[[OTHER:.+]] = tenon.constant dense<7.812500e-03>
// CHECK: tenon.kernel attention({{.+}}, %arg1, %arg2, %[[OTHER]])
// CHECK-NOT: tenon.kernel
// APART-LABEL: @finishedRows
// APART: tenon.kernel matmul
// APART: tenon.kernel row
// APART: tenon.kernel matmul
func.func @finishedRows(%q: tensor<2x10x32xf32>, %k: tensor<2x1x32x32xf32>, %v: tensor<2x1x10x32xf32>) -> tensor<2x10x32xf32> {
  %s = tenon.constant dense<0.00392156886> : tensor<f32>
  %t = tenon.constant dense<0.0078125> : tensor<f32>
  %0 = tenon.packed_matmul %q, %k columns "10" : tensor<2x10x32xf32>, tensor<2x1x32x32xf32>
  %1 = tenon.softmax %0 : tensor<2x10x10xf32>
  %2 = tenon.div %1, %s : tensor<2x10x10xf32>, tensor<f32>
  %3 = tenon.round %2 : tensor<2x10x10xf32>
  %4 = tenon.mul %3, %s : tensor<2x10x10xf32>, tensor<f32>
  %5 = tenon.packed_matmul %4, %v columns "32" : tensor<2x10x10xf32>, tensor<2x1x10x32xf32>
  %6 = tenon.packed_matmul %5, %k columns "10" : tensor<2x10x32xf32>, tensor<2x1x32x32xf32>
  %7 = tenon.softmax %6 : tensor<2x10x10xf32>
  %8 = tenon.div %7, %t : tensor<2x10x10xf32>, tensor<f32>
  %9 = tenon.round %8 : tensor<2x10x10xf32>
  %10 = tenon.mul %9, %t : tensor<2x10x10xf32>, tensor<f32>
  %11 = tenon.packed_matmul %10, %v columns "32" : tensor<2x10x10xf32>, tensor<2x1x10x32xf32>
  return %11 : tensor<2x10x32xf32>
}

// -----

// Scores may be sums of integers.
// CHECK-LABEL: @attentionOfCodes
// CHECK: tenon.kernel attention(%arg0, %arg1, %arg3, %arg2)
// CHECK: tenon.packed_matmul {{.+}} as <i8>
// CHECK-NOT: tenon.kernel
// APART-LABEL: @attentionOfCodes
// APART: tenon.kernel matmul
// APART: tenon.kernel row
// APART: tenon.kernel matmul
func.func @attentionOfCodes(%q: tensor<2x10x32xui8>, %k: tensor<2x1x1024xui8>, %v: tensor<2x1x10x32xf32>, %points: tensor<2x1x10xi32>) -> tensor<2x10x32xf32> {
  %s = tenon.constant dense<0.0078125> : tensor<f32>
  %0 = tenon.packed_matmul %q, %k columns "10" as <i8> : tensor<2x10x32xui8>, tensor<2x1x1024xui8>
  %1 = tenon.sub %0, %points : tensor<2x10x10xi32>, tensor<2x1x10xi32>
  %2 = tenon.cast %1 to f32 : tensor<2x10x10xi32>
  %3 = tenon.mul %2, %s : tensor<2x10x10xf32>, tensor<f32>
  %4 = tenon.softmax %3 : tensor<2x10x10xf32>
  %5 = tenon.packed_matmul %4, %v columns "32" : tensor<2x10x10xf32>, tensor<2x1x10x32xf32>
  return %5 : tensor<2x10x32xf32>
}

// -----

// So may the output: then the sums of the weights' codes are taken with the rows.
// CHECK-LABEL: @attentionByCodes
// CHECK: tenon.kernel attention(%arg0, %arg1, %arg2)
// CHECK: tenon.packed_matmul {{.+}} columns "32" as <i8>
// CHECK: tenon.reduce
// CHECK-NOT: tenon.kernel
// APART-LABEL: @attentionByCodes
// APART: tenon.kernel matmul
// APART: tenon.kernel row
func.func @attentionByCodes(%q: tensor<2x10x32xf32>, %k: tensor<2x1x32x32xf32>, %v: tensor<2x1x384xui8>) -> tensor<2x10x32xi32> {
  %z = tenon.constant dense<3> : tensor<i32>
  %0 = tenon.packed_matmul %q, %k columns "10" : tensor<2x10x32xf32>, tensor<2x1x32x32xf32>
  %1 = tenon.softmax %0 : tensor<2x10x10xf32>
  %2 = tenon.cast %1 to ui8 : tensor<2x10x10xf32>
  %3 = tenon.packed_matmul %2, %v columns "32" as <i8> : tensor<2x10x10xui8>, tensor<2x1x384xui8>
  %4 = tenon.cast %2 to i32 : tensor<2x10x10xui8>
  %5 = tenon.reduce sum %4 over [2] keepdims : tensor<2x10x10xi32>
  %6 = tenon.mul %5, %z : tensor<2x10x1xi32>, tensor<i32>
  %7 = tenon.sub %3, %6 : tensor<2x10x32xi32>, tensor<2x10x1xi32>
  return %7 : tensor<2x10x32xi32>
}

// -----

// Panels of codes that a view repeats lie in memory once.
// CHECK-LABEL: @attentionOfRepeatedCodes
// CHECK: %[[ONE:.+]] = tenon.kernel map(%arg1) : (tensor<1x1024xi32>) -> tensor<1x1024xui8>
// CHECK: %[[PANELS:.+]] = tenon.reshape %[[ONE]]
// CHECK: tenon.kernel attention(%[[PANELS]], %arg0, %arg2)
// CHECK: tenon.broadcast_to %{{.+}} to <"2", "1", "1024">
// CHECK: tenon.packed_matmul {{.+}} as <i8>
// CHECK-NOT: tenon.kernel
func.func @attentionOfRepeatedCodes(%q: tensor<2x10x32xui8>, %k: tensor<1x1024xi32>, %v: tensor<2x1x10x32xf32>) -> tensor<2x10x32xf32> {
  %0 = tenon.cast %k to ui8 : tensor<1x1024xi32>
  %1 = tenon.reshape %0 to <"1", "1", "1024"> : tensor<1x1024xui8>
  %2 = tenon.broadcast_to %1 to <"2", "1", "1024"> : tensor<1x1x1024xui8>
  %3 = tenon.packed_matmul %q, %2 columns "10" as <i8> : tensor<2x10x32xui8>, tensor<2x1x1024xui8>
  %4 = tenon.cast %3 to f32 : tensor<2x10x10xi32>
  %5 = tenon.softmax %4 : tensor<2x10x10xf32>
  %6 = tenon.packed_matmul %5, %v columns "32" : tensor<2x10x10xf32>, tensor<2x1x10x32xf32>
  return %6 : tensor<2x10x32xf32>
}

// -----

// Someone else wants the probabilities: no attention.
// CHECK-LABEL: @notAttentionWhenScoresAreUsed
// CHECK: tenon.kernel matmul
// CHECK: tenon.kernel row
// CHECK: tenon.kernel matmul
func.func @notAttentionWhenScoresAreUsed(%q: tensor<2x10x32xf32>, %k: tensor<2x1x32x32xf32>, %v: tensor<2x1x10x32xf32>) -> (tensor<2x10x32xf32>, tensor<2x10x10xf32>) {
  %0 = tenon.packed_matmul %q, %k columns "10" : tensor<2x10x32xf32>, tensor<2x1x32x32xf32>
  %2 = tenon.softmax %0 : tensor<2x10x10xf32>
  %3 = tenon.packed_matmul %2, %v columns "32" : tensor<2x10x10xf32>, tensor<2x1x10x32xf32>
  return %3, %2 : tensor<2x10x32xf32>, tensor<2x10x10xf32>
}

// -----

// Results that no kernel computes are copied.
// CHECK-LABEL: @copiesArguments
// CHECK: %[[R:.+]] = tenon.kernel map(%arg0)
// CHECK: return %[[R]]
func.func @copiesArguments(%a: tensor<1x8xf32>) -> tensor<1x8xf32> {
  return %a : tensor<1x8xf32>
}

// -----

// A running sum reads each element once, so it computes what it sums; what
// follows is another kernel.
// CHECK-LABEL: @ownKernels
// CHECK: %[[C:.+]] = tenon.kernel scan(%arg0)
// CHECK: tenon.exp
// CHECK: tenon.cumulate sum
// CHECK: %[[N:.+]] = tenon.kernel map(%[[C]])
// CHECK: tenon.neg
// CHECK: tenon.kernel top_k(%[[N]])
func.func @ownKernels(%a: tensor<4x8xf32>) -> (tensor<4x3xi64>, tensor<4x8xf32>) {
  %0 = tenon.exp %a : tensor<4x8xf32>
  %1 = tenon.cumulate sum %0 over 0 : tensor<4x8xf32>
  %2 = tenon.neg %1 : tensor<4x8xf32>
  %3 = tenon.top_k %2 k "3" : tensor<4x8xf32>
  return %3, %2 : tensor<4x3xi64>, tensor<4x8xf32>
}

// -----

// Every task of a scatter reads all indices, so they are stored; the input is
// computed while it is copied.
// CHECK-LABEL: @scatter
// CHECK: %[[I:.+]] = tenon.kernel map(%arg1)
// CHECK: tenon.cast
// CHECK: tenon.kernel scatter(%arg0, %[[I]], %arg2)
// CHECK: tenon.exp
// CHECK: tenon.scatter_nd none
func.func @scatter(%a: tensor<4x8xf32>, %i: tensor<2x1xi32>, %u: tensor<2x8xf32>) -> tensor<4x8xf32> {
  %0 = tenon.exp %a : tensor<4x8xf32>
  %1 = tenon.cast %i to i64 : tensor<2x1xi32>
  %2 = tenon.scatter_nd none %0, %1, %u : tensor<4x8xf32>, tensor<2x1xi64>, tensor<2x8xf32>
  return %2 : tensor<4x8xf32>
}

// -----

// The halves of one weight's product come together: only what comes of both is
// stored.
// CHECK-LABEL: @gated
// CHECK: %[[K:.+]] = tenon.kernel matmul(%arg0, %arg1, %arg2)
// CHECK: tenon.packed_matmul
// CHECK: tenon.slice
// CHECK: tenon.silu
// CHECK: tenon.mul
// CHECK: tenon.add
// CHECK: tenon.yield
// CHECK-NOT: tenon.kernel
// CHECK: return %[[K]]
func.func @gated(%x: tensor<?x64xf32, #tenon.dims<"m", "64">>, %p: tensor<4x64x32xf32>, %r: tensor<?x64xf32, #tenon.dims<"m", "64">>) -> tensor<?x64xf32, #tenon.dims<"m", "64">> {
  %0 = tenon.packed_matmul %x, %p columns "128" : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<4x64x32xf32>
  %1 = tenon.slice %0 from <"0", "0"> step [1, 1] to <"m", "64"> : tensor<?x128xf32, #tenon.dims<"m", "128">>
  %2 = tenon.slice %0 from <"0", "64"> step [1, 1] to <"m", "64"> : tensor<?x128xf32, #tenon.dims<"m", "128">>
  %3 = tenon.silu %2 : tensor<?x64xf32, #tenon.dims<"m", "64">>
  %4 = tenon.mul %1, %3 : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<?x64xf32, #tenon.dims<"m", "64">>
  %5 = tenon.add %4, %r : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<?x64xf32, #tenon.dims<"m", "64">>
  return %5 : tensor<?x64xf32, #tenon.dims<"m", "64">>
}

// -----

// Halves of 40 columns are no whole panels.
// CHECK-LABEL: @halfPanels
// CHECK: tenon.kernel matmul
// CHECK: tenon.kernel map
func.func @halfPanels(%x: tensor<4x64xf32>, %p: tensor<3x64x32xf32>) -> tensor<4x40xf32> {
  %0 = tenon.packed_matmul %x, %p columns "80" : tensor<4x64xf32>, tensor<3x64x32xf32>
  %1 = tenon.slice %0 from <"0", "0"> step [1, 1] to <"4", "40"> : tensor<4x80xf32>
  %2 = tenon.slice %0 from <"0", "40"> step [1, 1] to <"4", "40"> : tensor<4x80xf32>
  %3 = tenon.silu %2 : tensor<4x40xf32>
  %4 = tenon.mul %1, %3 : tensor<4x40xf32>, tensor<4x40xf32>
  return %4 : tensor<4x40xf32>
}

// -----

// A depthwise convolution reads its input, which is computed once, from memory;
// what follows it pointwise ends its kernel, also where a value has several
// users that come together again.
// CHECK-LABEL: @depthwise
// CHECK: %[[X:.+]] = tenon.kernel map(%arg0)
// CHECK: tenon.exp
// CHECK: %[[K:.+]] = tenon.kernel depthwise(%[[X]], %arg1)
// CHECK: tenon.depthwise
// CHECK: tenon.max
// CHECK: tenon.mul
// CHECK-NOT: tenon.kernel
// CHECK: return %[[K]]
func.func @depthwise(%x: tensor<1x6x8xf32>, %w: tensor<3x8xf32>) -> tensor<1x4x8xf32> {
  %zero = tenon.constant dense<0.0> : tensor<f32>
  %0 = tenon.exp %x : tensor<1x6x8xf32>
  %1 = tenon.depthwise %0, %w kernel [3] strides [1] pads [0, 0] dilations [1] : tensor<1x6x8xf32>, tensor<3x8xf32>
  %2 = tenon.max %1, %zero : tensor<1x4x8xf32>, tensor<f32>
  %3 = tenon.mul %1, %2 : tensor<1x4x8xf32>, tensor<1x4x8xf32>
  return %3 : tensor<1x4x8xf32>
}

// -----

// One of the users is no part of it: the product is stored.
// CHECK-LABEL: @usersThatPart
// CHECK: %[[K:.+]] = tenon.kernel matmul(%arg0, %arg1)
// CHECK-NEXT: ^bb0
// CHECK-NEXT: tenon.packed_matmul
// CHECK-NEXT: tenon.yield
// CHECK: tenon.kernel map(%[[K]])
// CHECK: tenon.kernel map(%[[K]])
// CHECK: tenon.reduce sum
func.func @usersThatPart(%x: tensor<4x64xf32>, %p: tensor<1x64x32xf32>) -> (tensor<4x32xf32>, tensor<4xf32>) {
  %0 = tenon.packed_matmul %x, %p columns "32" : tensor<4x64xf32>, tensor<1x64x32xf32>
  %1 = tenon.exp %0 : tensor<4x32xf32>
  %2 = tenon.mul %0, %1 : tensor<4x32xf32>, tensor<4x32xf32>
  %3 = tenon.reduce sum %0 over [1] : tensor<4x32xf32>
  return %2, %3 : tensor<4x32xf32>, tensor<4xf32>
}

// -----

// Kernels that differ in single numbers read those from memory, and are one;
// what they have in common stays.
// CHECK-LABEL: @numbers
// CHECK: %[[A:.+]] = tenon.constant dense<1.500000e+00>
// CHECK: tenon.kernel map(%arg0, %[[A]])
// CHECK: tenon.mul %{{.*}}, %{{.*}} : tensor<8xf32>, tensor<f32>
// CHECK: tenon.constant dense<3.000000e+00>
// CHECK: tenon.add
// CHECK: %[[B:.+]] = tenon.constant dense<2.500000e+00>
// CHECK: tenon.kernel map(%arg0, %[[B]])
// CHECK: tenon.kernel map(%arg0)
// CHECK: tenon.constant dense<3.500000e+00>
func.func @numbers(%x: tensor<8xf32>) -> (tensor<8xf32>, tensor<8xf32>, tensor<8xf32>) {
  %a = tenon.constant dense<1.5> : tensor<f32>
  %b = tenon.constant dense<2.5> : tensor<f32>
  %c = tenon.constant dense<3.5> : tensor<f32>
  %three = tenon.constant dense<3.0> : tensor<f32>
  %0 = tenon.mul %x, %a : tensor<8xf32>, tensor<f32>
  %1 = tenon.add %0, %three : tensor<8xf32>, tensor<f32>
  %2 = tenon.mul %x, %b : tensor<8xf32>, tensor<f32>
  %3 = tenon.add %2, %three : tensor<8xf32>, tensor<f32>
  %4 = tenon.pow %x, %c : tensor<8xf32>, tensor<f32>
  return %1, %3, %4 : tensor<8xf32>, tensor<8xf32>, tensor<8xf32>
}

// -----

// Zero points are numbers, too.
// CHECK-LABEL: @zeroPoints
// CHECK: %[[A:.+]] = tenon.constant dense<123> : tensor<i32>
// CHECK: tenon.kernel map(%arg0, %[[A]])
// CHECK: %[[B:.+]] = tenon.constant dense<127> : tensor<i32>
// CHECK: tenon.kernel map(%arg0, %[[B]])
func.func @zeroPoints(%x: tensor<8xui8>) -> (tensor<8xi32>, tensor<8xi32>) {
  %a = tenon.constant dense<123> : tensor<i32>
  %b = tenon.constant dense<127> : tensor<i32>
  %0 = tenon.cast %x to i32 : tensor<8xui8>
  %1 = tenon.sub %0, %a : tensor<8xi32>, tensor<i32>
  %2 = tenon.cast %x to i32 : tensor<8xui8>
  %3 = tenon.sub %2, %b : tensor<8xi32>, tensor<i32>
  return %1, %3 : tensor<8xi32>, tensor<8xi32>
}

// -----

// Those that rounded numbers are added to are integers in memory, too.
// CHECK-LABEL: @zeroPointsOfNumbers
// CHECK: %[[A:.+]] = tenon.constant dense<123> : tensor<i16>
// CHECK: tenon.kernel map(%arg0, %[[A]])
// CHECK: %[[Z:.+]] = tenon.cast %{{.*}} to f32 : tensor<i16>
// CHECK: tenon.add %{{.*}}, %[[Z]]
// CHECK: %[[B:.+]] = tenon.constant dense<-127> : tensor<i16>
// CHECK: tenon.kernel map(%arg0, %[[B]])
// CHECK: %[[C:.+]] = tenon.constant dense<5.000000e-01> : tensor<f32>
// CHECK: tenon.kernel map(%arg0, %[[C]])
func.func @zeroPointsOfNumbers(%x: tensor<8xf32>) -> (tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>) {
  %a = tenon.constant dense<123.0> : tensor<f32>
  %b = tenon.constant dense<-127.0> : tensor<f32>
  %c = tenon.constant dense<0.5> : tensor<f32>
  %0 = tenon.round %x : tensor<8xf32>
  %1 = tenon.add %0, %a : tensor<8xf32>, tensor<f32>
  %2 = tenon.round %x : tensor<8xf32>
  %3 = tenon.add %2, %b : tensor<8xf32>, tensor<f32>
  %4 = tenon.ceil %x : tensor<8xf32>
  %5 = tenon.add %4, %a : tensor<8xf32>, tensor<f32>
  %6 = tenon.ceil %x : tensor<8xf32>
  %7 = tenon.add %6, %c : tensor<8xf32>, tensor<f32>
  return %7, %1, %3, %5 : tensor<8xf32>, tensor<8xf32>, tensor<8xf32>, tensor<8xf32>
}

// -----

// Few channels are moved to the back where the patches are read, if these repeat
// much of the image.
// CHECK-LABEL: @fewChannels
// CHECK: tenon.kernel matmul(%arg0, %arg1)
// CHECK: tenon.transpose
// CHECK: tenon.im2col
// CHECK: tenon.kernel map(%arg0)
// CHECK: tenon.transpose
// CHECK: tenon.kernel matmul(
// CHECK-NOT: tenon.transpose
// CHECK: return
func.func @fewChannels(%x: tensor<1x3x8x8xf32>, %p: tensor<1x27x32xf32>, %q: tensor<1x12x32xf32>) -> (tensor<1x64x8xf32>, tensor<1x16x8xf32>) {
  %0 = tenon.transpose %x [0, 2, 3, 1] : tensor<1x3x8x8xf32>
  %1 = tenon.im2col %0 kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x3xf32>
  %2 = tenon.packed_matmul %1, %p columns "8" : tensor<1x64x27xf32>, tensor<1x27x32xf32>
  %3 = tenon.transpose %x [0, 2, 3, 1] : tensor<1x3x8x8xf32>
  %4 = tenon.im2col %3 kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] dilations [1, 1] channels_last : tensor<1x8x8x3xf32>
  %5 = tenon.packed_matmul %4, %q columns "8" : tensor<1x16x12xf32>, tensor<1x12x32xf32>
  return %2, %5 : tensor<1x64x8xf32>, tensor<1x16x8xf32>
}

// -----

// A product in a format copies runs of pixels: a map moves the channels.
// CHECK-LABEL: @fewChannelsInFormat
// CHECK: tenon.kernel map(%arg0)
// CHECK: tenon.transpose
// CHECK: tenon.kernel matmul(
// CHECK-NOT: tenon.transpose
// CHECK: tenon.im2col
// CHECK-NOT: tenon.transpose
// CHECK: return
func.func @fewChannelsInFormat(%x: tensor<1x3x8x8xf32>, %p: tensor<1x1792xui8>) -> tensor<1x64x8xf32> {
  %0 = tenon.transpose %x [0, 2, 3, 1] : tensor<1x3x8x8xf32>
  %1 = tenon.im2col %0 kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x3xf32>
  %2 = tenon.packed_matmul %1, %p columns "8" as <bf16 by bf16> : tensor<1x64x27xf32>, tensor<1x1792xui8>
  return %2 : tensor<1x64x8xf32>
}

// -----

// A convolution of few terms stores its channels first itself; of more terms, or of
// few columns, a map moves them.
// CHECK-LABEL: @turnedTiles
// CHECK: tenon.kernel matmul(
// CHECK: tenon.neg
// CHECK-NEXT: tenon.transpose
// CHECK-NEXT: tenon.yield
// CHECK: tenon.kernel matmul(
// CHECK-NOT: tenon.transpose
// CHECK: tenon.kernel map(
// CHECK: tenon.transpose
// CHECK: tenon.kernel matmul(
// CHECK-NOT: tenon.transpose
// CHECK: tenon.kernel map(
// STORED-LABEL: @turnedTiles
// STORED: tenon.neg
// STORED-NOT: tenon.transpose
// STORED: tenon.kernel map(
func.func @turnedTiles(%x: tensor<1x8x8x3xf32>, %y: tensor<1x8x8x4xf32>, %p: tensor<1x27x32xf32>, %q: tensor<1x100x32xf32>) -> (tensor<1x16x64xf32>, tensor<1x16x64xf32>, tensor<1x8x64xf32>) {
  %0 = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x3xf32>
  %1 = tenon.packed_matmul %0, %p columns "16" : tensor<1x64x27xf32>, tensor<1x27x32xf32>
  %2 = tenon.neg %1 : tensor<1x64x16xf32>
  %3 = tenon.transpose %2 [0, 2, 1] : tensor<1x64x16xf32>
  %4 = tenon.im2col %y kernel [5, 5] strides [1, 1] pads [2, 2, 2, 2] dilations [1, 1] channels_last : tensor<1x8x8x4xf32>
  %5 = tenon.packed_matmul %4, %q columns "16" : tensor<1x64x100xf32>, tensor<1x100x32xf32>
  %6 = tenon.transpose %5 [0, 2, 1] : tensor<1x64x16xf32>
  %7 = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x3xf32>
  %8 = tenon.packed_matmul %7, %p columns "8" : tensor<1x64x27xf32>, tensor<1x27x32xf32>
  %9 = tenon.transpose %8 [0, 2, 1] : tensor<1x64x8xf32>
  return %3, %6, %9 : tensor<1x16x64xf32>, tensor<1x16x64xf32>, tensor<1x8x64xf32>
}

// -----

// The elements of long rows are brought together before a norm; of short ones,
// and of rows that lie together through several views, nothing is moved.
// CHECK-LABEL: @longRows
// CHECK: tenon.kernel map(%arg0)
// CHECK: tenon.transpose
// CHECK: tenon.kernel row(
// CHECK-NOT: tenon.transpose
// CHECK: tenon.layer_norm
// CHECK-NOT: tenon.kernel map
// CHECK: tenon.kernel row(%arg1)
// CHECK-NOT: tenon.kernel map
// CHECK: tenon.kernel row(%arg2)
// CHECK: return
func.func @longRows(%x: tensor<1x600x64xf32>, %y: tensor<1x8x600xf32>, %z: tensor<1x48x32xf32>) -> (tensor<1x32x1200xf32>, tensor<1x8x600xf32>, tensor<1x32x48xf32>) {
  %0 = tenon.transpose %x [0, 2, 1] : tensor<1x600x64xf32>
  %1 = tenon.reshape %0 to <"1", "32", "1200"> : tensor<1x64x600xf32>
  %2 = tenon.layer_norm %1 epsilon 1.0e-5 dims 1 : tensor<1x32x1200xf32>
  %3 = tenon.transpose %y [0, 2, 1] : tensor<1x8x600xf32>
  %4 = tenon.transpose %3 [0, 2, 1] : tensor<1x600x8xf32>
  %5 = tenon.softmax %4 : tensor<1x8x600xf32>
  %6 = tenon.transpose %z [0, 2, 1] : tensor<1x48x32xf32>
  %7 = tenon.softmax %6 : tensor<1x32x48xf32>
  return %2, %5, %7 : tensor<1x32x1200xf32>, tensor<1x8x600xf32>, tensor<1x32x48xf32>
}

// -----

// An image whose height is resized, then its width: one map, which computes each
// row once. What another reads as well, or fewer columns than a vector has, is
// stored first.
// CHECK-LABEL: @rowsOfGathers
// CHECK: %[[Y:.+]] = tenon.kernel map(%arg0, %arg1, %arg2, %arg3)
// CHECK: %[[R:.+]] = tenon.add
// CHECK: tenon.gather %[[R]], %{{.+}} axis 2
// CHECK: tenon.gather %[[R]], %{{.+}} axis 2
// CHECK: tenon.yield
// CHECK: %[[A:.+]] = tenon.kernel map(%arg0, %arg1)
// CHECK: tenon.kernel map(%[[A]], %arg2)
// CHECK: tenon.kernel map(%[[A]])
// STORED-LABEL: @rowsOfGathers
// STORED: %[[A:.+]] = tenon.kernel map(%arg0, %arg1)
// STORED: tenon.kernel map(%[[A]], %arg2, %arg3)
func.func @rowsOfGathers(%x: tensor<2x9x64xf32>, %i: tensor<5xi64>, %j: tensor<96xi64>, %k: tensor<96xi64>)
    -> (tensor<2x5x96xf32>, tensor<2x5x96xf32>, tensor<2x5x64xf32>) {
  %0 = tenon.gather %x, %i axis 1 : tensor<2x9x64xf32>, tensor<5xi64>
  %1 = tenon.add %0, %0 : tensor<2x5x64xf32>, tensor<2x5x64xf32>
  %2 = tenon.gather %1, %j axis 2 : tensor<2x5x64xf32>, tensor<96xi64>
  %3 = tenon.gather %1, %k axis 2 : tensor<2x5x64xf32>, tensor<96xi64>
  %4 = tenon.mul %2, %3 : tensor<2x5x96xf32>, tensor<2x5x96xf32>
  %5 = tenon.exp %0 : tensor<2x5x64xf32>
  %6 = tenon.gather %5, %j axis 2 : tensor<2x5x64xf32>, tensor<96xi64>
  %7 = tenon.neg %5 : tensor<2x5x64xf32>
  return %4, %6, %7 : tensor<2x5x96xf32>, tensor<2x5x96xf32>, tensor<2x5x64xf32>
}

// -----

// Indices that all channels share are stored once, and parts of them are read
// where they lie.
// CHECK-LABEL: @sharedIndices
// CHECK: %[[I:.+]] = tenon.kernel map(%arg1) : (tensor<2x2x40xi64>) -> tensor<2x2x40xi64>
// CHECK: tenon.kernel map(%[[I]], %arg0)
// CHECK: tenon.slice
// CHECK: tenon.broadcast_to
// CHECK: tenon.gather_elements
// CHECK: tenon.gather_elements
func.func @sharedIndices(%x: tensor<2x7x30xf32>, %i: tensor<2x2x40xi64>) -> tensor<2x7x40xf32> {
  %0 = tenon.abs %i : tensor<2x2x40xi64>
  %1 = tenon.neg %0 : tensor<2x2x40xi64>
  %2 = tenon.abs %1 : tensor<2x2x40xi64>
  %3 = tenon.slice %2 from <"0", "0", "0"> step [1, 1, 1] to <"2", "1", "40"> : tensor<2x2x40xi64>
  %4 = tenon.slice %2 from <"0", "1", "0"> step [1, 1, 1] to <"2", "1", "40"> : tensor<2x2x40xi64>
  %5 = tenon.broadcast_to %3 to <"2", "7", "40"> : tensor<2x1x40xi64>
  %6 = tenon.broadcast_to %4 to <"2", "7", "40"> : tensor<2x1x40xi64>
  %7 = tenon.gather_elements %x, %5 axis 2 : tensor<2x7x30xf32>, tensor<2x7x40xi64>
  %8 = tenon.gather_elements %x, %6 axis 2 : tensor<2x7x30xf32>, tensor<2x7x40xi64>
  %9 = tenon.add %7, %8 : tensor<2x7x40xf32>, tensor<2x7x40xf32>
  return %9 : tensor<2x7x40xf32>
}

// -----

// Pixels whose channels come together are stored before as many are gathered,
// and what is made of these before the channels are moved back.
// CHECK-LABEL: @rowsOfPixels
// CHECK: %[[T:.+]] = tenon.kernel map(%arg0) : (tensor<9x28xf32>) -> tensor<28x9xf32>
// CHECK: %[[S:.+]] = tenon.kernel map(%[[T]], %arg1) : (tensor<28x9xf32>, tensor<40xi64>) -> tensor<40x9xf32>
// CHECK: tenon.kernel map(%[[S]])
// STORED-LABEL: @rowsOfPixels
// STORED: tenon.kernel map(%arg0, %arg1)
// STORED-NEXT: ^bb0
// STORED: tenon.transpose
// STORED: tenon.gather
// STORED: tenon.transpose
func.func @rowsOfPixels(%x: tensor<9x28xf32>, %i: tensor<40xi64>) -> tensor<9x40xf32> {
  %0 = tenon.transpose %x [1, 0] : tensor<9x28xf32>
  %1 = tenon.gather %0, %i axis 0 : tensor<28x9xf32>, tensor<40xi64>
  %2 = tenon.neg %1 : tensor<40x9xf32>
  %3 = tenon.transpose %2 [1, 0] : tensor<40x9xf32>
  return %3 : tensor<9x40xf32>
}

// -----

// Codes reach memory, not what they stand for: a residual sum and a convolution
// of channels alone make numbers of them where they read them, not so a product
// of floats.
// CHECK-LABEL: @storedCodes
// CHECK: %[[C:.+]] = tenon.kernel matmul(%arg0, %arg1) : {{.*}} -> tensor<1x64x32xui8>
// CHECK: %[[R:.+]] = tenon.kernel matmul(%arg0, %arg1, %[[C]]) : {{.*}} -> tensor<1x64x32xf32>
// CHECK: %[[I:.+]] = tenon.reshape %[[C]]
// CHECK: tenon.kernel depthwise(%[[I]], %arg2)
func.func @storedCodes(%x: tensor<1x64x16xf32>, %w: tensor<1x16x32xf32>, %k: tensor<9x32xf32>) -> (tensor<1x64x32xf32>, tensor<1x64x32xf32>) {
  %s = tenon.constant dense<0.1> : tensor<f32>
  %z = tenon.constant dense<3> : tensor<i32>
  %0 = tenon.packed_matmul %x, %w columns "32" : tensor<1x64x16xf32>, tensor<1x16x32xf32>
  %1 = tenon.cast %0 to ui8 : tensor<1x64x32xf32>
  %2 = tenon.cast %1 to i32 : tensor<1x64x32xui8>
  %3 = tenon.sub %2, %z : tensor<1x64x32xi32>, tensor<i32>
  %4 = tenon.cast %3 to f32 : tensor<1x64x32xi32>
  %5 = tenon.mul %4, %s : tensor<1x64x32xf32>, tensor<f32>
  %6 = tenon.packed_matmul %x, %w columns "32" : tensor<1x64x16xf32>, tensor<1x16x32xf32>
  %7 = tenon.add %6, %5 : tensor<1x64x32xf32>, tensor<1x64x32xf32>
  %8 = tenon.reshape %1 to <"1", "8", "8", "32"> : tensor<1x64x32xui8>
  %9 = tenon.cast %8 to i32 : tensor<1x8x8x32xui8>
  %10 = tenon.cast %9 to f32 : tensor<1x8x8x32xi32>
  %11 = tenon.depthwise %10, %k kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] : tensor<1x8x8x32xf32>, tensor<9x32xf32>
  return %7, %11 : tensor<1x64x32xf32>, tensor<1x64x32xf32>
}

// -----

// Of codes that are made where they are turned what they stand for reaches memory:
// it is turned by squares.
// CHECK-LABEL: @turnedCodes
// CHECK: %[[N:.+]] = tenon.kernel map(%arg0) : {{.*}} -> tensor<1x32x64xi32>
// CHECK: tenon.kernel map(%[[N]])
// CHECK: tenon.kernel map(%[[N]])
func.func @turnedCodes(%x: tensor<1x64x32xui8>) -> (tensor<1x1x64xi32>, tensor<1x1x64xi32>) {
  %s = tenon.constant dense<0.1> : tensor<f32>
  %z = tenon.constant dense<3> : tensor<i32>
  %0 = tenon.transpose %x [0, 2, 1] : tensor<1x64x32xui8>
  %1 = tenon.cast %0 to f32 : tensor<1x32x64xui8>
  %2 = tenon.mul %1, %s : tensor<1x32x64xf32>, tensor<f32>
  %3 = tenon.round %2 : tensor<1x32x64xf32>
  %4 = tenon.cast %3 to ui8 : tensor<1x32x64xf32>
  %5 = tenon.cast %4 to i32 : tensor<1x32x64xui8>
  %6 = tenon.sub %5, %z : tensor<1x32x64xi32>, tensor<i32>
  %7 = tenon.reduce sum %6 over [1] keepdims : tensor<1x32x64xi32>
  %8 = tenon.reduce max %6 over [1] keepdims : tensor<1x32x64xi32>
  return %7, %8 : tensor<1x1x64xi32>, tensor<1x1x64xi32>
}

// -----

// What one map alone reads, for one row of each image, is computed there.
// CHECK-LABEL: @ofOneMap
// CHECK: tenon.kernel map(%arg1, %arg0)
// CHECK: tenon.floor
// CHECK: tenon.gather_elements
// CHECK-NOT: tenon.kernel
// CHECK: return
// STORED-LABEL: @ofOneMap
// STORED-COUNT-3: tenon.kernel map
func.func @ofOneMap(%x: tensor<2x1x30xf32>, %p: tensor<2x1x64xf32>) -> tensor<2x1x64xf32> {
  %i = tenon.iota "0" step "1" size "2" : f32
  %t = tenon.reshape %i to <"2", "1"> : tensor<2xf32>
  %0 = tenon.abs %p : tensor<2x1x64xf32>
  %1 = tenon.floor %0 : tensor<2x1x64xf32>
  %2 = tenon.sub %0, %1 : tensor<2x1x64xf32>, tensor<2x1x64xf32>
  %3 = tenon.add %1, %t : tensor<2x1x64xf32>, tensor<2x1xf32>
  %4 = tenon.cast %3 to i32 : tensor<2x2x64xf32>
  %5 = tenon.slice %4 from <"0", "0", "0"> step [1, 1, 1] to <"2", "1", "64"> : tensor<2x2x64xi32>
  %6 = tenon.slice %4 from <"0", "1", "0"> step [1, 1, 1] to <"2", "1", "64"> : tensor<2x2x64xi32>
  %7 = tenon.gather_elements %x, %5 axis 2 : tensor<2x1x30xf32>, tensor<2x1x64xi32>
  %8 = tenon.gather_elements %x, %6 axis 2 : tensor<2x1x30xf32>, tensor<2x1x64xi32>
  %9 = tenon.sub %8, %7 : tensor<2x1x64xf32>, tensor<2x1x64xf32>
  %10 = tenon.mul %9, %2 : tensor<2x1x64xf32>, tensor<2x1x64xf32>
  %11 = tenon.add %10, %7 : tensor<2x1x64xf32>, tensor<2x1x64xf32>
  return %11 : tensor<2x1x64xf32>
}

// -----

// Each of many rows would compute it anew.
// CHECK-LABEL: @ofManyRows
// CHECK: %[[I:.+]] = tenon.kernel map(%arg1)
// CHECK: tenon.kernel map({{.*}}%[[I]]
func.func @ofManyRows(%x: tensor<9x64xf32>, %p: tensor<1x64xf32>) -> tensor<9x64xf32> {
  %0 = tenon.abs %p : tensor<1x64xf32>
  %1 = tenon.floor %0 : tensor<1x64xf32>
  %2 = tenon.sub %0, %1 : tensor<1x64xf32>, tensor<1x64xf32>
  %3 = tenon.mul %x, %2 : tensor<9x64xf32>, tensor<1x64xf32>
  return %3 : tensor<9x64xf32>
}

// -----

// Nor is a value stored that comes together again, in as many rows as there are.
// CHECK-LABEL: @rowsThatMeet
// CHECK: tenon.kernel map(%arg0)
// CHECK-NOT: tenon.kernel
// CHECK: return
// STORED-LABEL: @rowsThatMeet
// STORED: %[[E:.+]] = tenon.kernel map(%arg0)
// STORED: tenon.kernel map(%[[E]])
func.func @rowsThatMeet(%x: tensor<9x64xf32>) -> tensor<9x64xf32> {
  %0 = tenon.exp %x : tensor<9x64xf32>
  %1 = tenon.sqrt %0 : tensor<9x64xf32>
  %2 = tenon.add %0, %1 : tensor<9x64xf32>, tensor<9x64xf32>
  return %2 : tensor<9x64xf32>
}

// -----

// Windows are stored before they are turned: a tile that is turned computes
// them for each of its rows, in code of its own.
// CHECK-LABEL: @turnedWindows
// CHECK: %[[W:.+]] = tenon.kernel map(%arg0)
// CHECK-COUNT-2: tenon.max
// CHECK: %[[T:.+]] = tenon.kernel map(%[[W]])
// CHECK-NOT: tenon.max
// CHECK: tenon.transpose
// CHECK: return %[[T]]
func.func @turnedWindows(%x: tensor<?x16xf32, #tenon.dims<"m + 2", "16">>) -> tensor<16x?xf32, #tenon.dims<"16", "m">> {
  %0 = tenon.slice %x from <"0", "0"> step [1, 1] to <"m", "16"> : tensor<?x16xf32, #tenon.dims<"m + 2", "16">>
  %1 = tenon.slice %x from <"1", "0"> step [1, 1] to <"m", "16"> : tensor<?x16xf32, #tenon.dims<"m + 2", "16">>
  %2 = tenon.slice %x from <"2", "0"> step [1, 1] to <"m", "16"> : tensor<?x16xf32, #tenon.dims<"m + 2", "16">>
  %3 = tenon.max %0, %1 : tensor<?x16xf32, #tenon.dims<"m", "16">>, tensor<?x16xf32, #tenon.dims<"m", "16">>
  %4 = tenon.max %3, %2 : tensor<?x16xf32, #tenon.dims<"m", "16">>, tensor<?x16xf32, #tenon.dims<"m", "16">>
  %5 = tenon.transpose %4 [1, 0] : tensor<?x16xf32, #tenon.dims<"m", "16">>
  return %5 : tensor<16x?xf32, #tenon.dims<"16", "m">>
}
