// RUN: tenon-opt %s --split-input-file --tenon-split-phases | FileCheck %s
// RUN: tenon-opt %s --split-input-file --tenon-split-phases --tenon-form-kernels --tenon-tile --tenon-emit-kernels --canonicalize --cse | FileCheck %s --check-prefix=EMIT

// Of each element two: it is read once, and interleaved with itself.
// CHECK-LABEL: @twice
// CHECK: %[[A:.+]] = tenon.reshape %arg0 to <"3", "8", "1">
// CHECK: %[[B:.+]] = tenon.broadcast_to %[[A]] to <"3", "8", "2">
// CHECK: tenon.reshape %[[B]] to <"3", "16">
// EMIT-LABEL: func.func @map_0
// EMIT: %[[X:.+]] = vector.load %{{.+}} : memref<?xf32>, vector<8xf32>
// EMIT: %[[Y:.+]] = vector.interleave %[[X]], %[[X]]
// EMIT: vector.store %[[Y]], %{{.+}} : memref<?xf32>, vector<16xf32>
// EMIT-NOT: vector.gather
func.func @twice(%x: tensor<3x8xf32>) -> tensor<3x16xf32> {
  %i = tenon.constant dense<[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]> : tensor<16xi64>
  %0 = tenon.gather %x, %i axis 1 : tensor<3x8xf32>, tensor<16xi64>
  return %0 : tensor<3x16xf32>
}

// -----

// Bytes have no permutation.
// CHECK-LABEL: @bytes
// CHECK-NOT: tenon.gather
// EMIT-LABEL: func.func @map_0
// EMIT: vector.interleave
func.func @bytes(%x: tensor<3x16xui8>) -> tensor<3x32xui8> {
  %i = tenon.constant dense<[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15]> : tensor<32xi64>
  %0 = tenon.gather %x, %i axis 1 : tensor<3x16xui8>, tensor<32xi64>
  return %0 : tensor<3x32xui8>
}

// -----

// The one before each element, and the element itself: the first is repeated in
// front. What follows is computed on the same vectors.
// CHECK-LABEL: @linear
// CHECK: %[[P:.+]] = tenon.pad edge %arg0, %{{.+}} low <"0", "1"> high <"0", "0">
// CHECK: %[[S:.+]] = tenon.slice %[[P]] from <"0", "0"> step [1, 1] to <"3", "8">
// CHECK: %[[A:.+]] = tenon.reshape %[[S]] to <"3", "8", "1">
// CHECK: %[[T:.+]] = tenon.slice %[[P]] from <"0", "1"> step [1, 1] to <"3", "8">
// CHECK: %[[B:.+]] = tenon.reshape %[[T]] to <"3", "8", "1">
// CHECK: %[[C:.+]] = tenon.concat %[[A]], %[[B]] axis 2
// CHECK: tenon.reshape %[[C]] to <"3", "16">
// EMIT-LABEL: func.func @map_0
// EMIT: arith.mulf
// EMIT: arith.mulf
// EMIT: vector.interleave
// EMIT: vector.store {{.+}} vector<16xf32>
// EMIT-NOT: vector.gather
func.func @linear(%x: tensor<3x8xf32>, %w: tensor<16xf32>) -> tensor<3x16xf32> {
  %i = tenon.constant dense<[0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7]> : tensor<16xi64>
  %0 = tenon.gather %x, %i axis 1 : tensor<3x8xf32>, tensor<16xi64>
  %1 = tenon.mul %0, %w : tensor<3x16xf32>, tensor<16xf32>
  return %1 : tensor<3x16xf32>
}

// -----

// Other indices, another dim and few elements keep their gather, and so do the
// elements of a row that fills vectors, which are permuted.
// CHECK-LABEL: @kept
// CHECK-COUNT-4: tenon.gather
// EMIT-LABEL: func.func @map_0
// EMIT: vector.gather
func.func @kept(%x: tensor<8x8xf32>, %y: tensor<3x4xf32>, %z: tensor<3x16xf32>) -> (tensor<8x16xf32>, tensor<16x8xf32>, tensor<3x8xf32>, tensor<3x32xf32>) {
  %i = tenon.constant dense<[0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 5, 5, 6, 6, 7, 7]> : tensor<16xi64>
  %j = tenon.constant dense<[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]> : tensor<16xi64>
  %k = tenon.constant dense<[0, 0, 1, 1, 2, 2, 3, 3]> : tensor<8xi64>
  %0 = tenon.gather %x, %i axis 1 : tensor<8x8xf32>, tensor<16xi64>
  %1 = tenon.gather %x, %j axis 0 : tensor<8x8xf32>, tensor<16xi64>
  %2 = tenon.gather %y, %k axis 1 : tensor<3x4xf32>, tensor<8xi64>
  %l = tenon.constant dense<[0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15]> : tensor<32xi64>
  %3 = tenon.gather %z, %l axis 1 : tensor<3x16xf32>, tensor<32xi64>
  return %0, %1, %2, %3 : tensor<8x16xf32>, tensor<16x8xf32>, tensor<3x8xf32>, tensor<3x32xf32>
}
