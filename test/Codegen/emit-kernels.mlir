// RUN: tenon-opt %s --split-input-file --tenon-emit-kernels --canonicalize | FileCheck %s
// RUN: tenon-opt %s --split-input-file --tenon-emit-kernels="vector-bits=512 vector-registers=32" --canonicalize | FileCheck %s --check-prefix=WIDE
// RUN: tenon-opt %s --split-input-file --tenon-emit-kernels="vector-bits=128" --canonicalize | FileCheck %s --check-prefix=NARROW

// What is pointwise is one loop over the elements of a task, vectors of the
// level's width and a masked end.
// CHECK-LABEL: func.func @map_0
// CHECK-SAME: (%[[BEGIN:.+]]: index, %[[END:.+]]: index, %{{.+}}: memref<?xi8>, %{{.+}}: memref<?xi64>, %[[X:.+]]: memref<?xf32>, %[[OUT:.+]]: memref<?xf32>, %{{.+}}: index) -> i32
// CHECK-DAG: %[[CHUNK:.+]] = arith.constant 128 : index
// CHECK: scf.for %[[TASK:.+]] = %[[BEGIN]] to %[[END]]
// CHECK: arith.muli %[[TASK]], %[[CHUNK]]
// CHECK: vector.load %[[X]]{{.*}} : memref<?xf32>, vector<8xf32>
// CHECK: arith.negf {{.*}} : vector<8xf32>
// CHECK: vector.maskedload
// WIDE-LABEL: func.func @map_0
// WIDE: arith.negf {{.*}} : vector<16xf32>
func.func @pointwise(%x: tensor<?xf32, #tenon.dims<"n">>) -> tensor<?xf32, #tenon.dims<"n">> {
  %0 = tenon.kernel map(%x) : (tensor<?xf32, #tenon.dims<"n">>) -> tensor<?xf32, #tenon.dims<"n">> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<?xf32, #tenon.dims<"n">>):
    %1 = tenon.neg %a : tensor<?xf32, #tenon.dims<"n">>
    tenon.yield %1 : tensor<?xf32, #tenon.dims<"n">>
  }
  return %0 : tensor<?xf32, #tenon.dims<"n">>
}

// -----

// Cubes are products of doubles, rounded once; others are logarithms.
// CHECK-LABEL: func.func @map_0
// CHECK-NOT: math.powf
// CHECK: %[[D:.+]] = arith.extf %{{.+}} : vector<8xf32> to vector<8xf64>
// CHECK: %[[S:.+]] = arith.mulf %[[D]], %[[D]] : vector<8xf64>
// CHECK: %[[C:.+]] = arith.mulf %[[S]], %[[D]] : vector<8xf64>
// CHECK: arith.truncf %[[C]] : vector<8xf64> to vector<8xf32>
// CHECK-NOT: math.powf
// CHECK-LABEL: func.func @map_1
// CHECK: math.powf
// WIDE-LABEL: func.func @map_0
// WIDE: arith.extf {{.*}} : vector<16xf32> to vector<16xf64>
func.func @cubes(%x: tensor<?xf32, #tenon.dims<"n">>) -> (tensor<?xf32, #tenon.dims<"n">>, tensor<?xf32, #tenon.dims<"n">>) {
  %0 = tenon.kernel map(%x) : (tensor<?xf32, #tenon.dims<"n">>) -> tensor<?xf32, #tenon.dims<"n">> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<?xf32, #tenon.dims<"n">>):
    %three = tenon.constant dense<3.0> : tensor<f32>
    %2 = tenon.pow %a, %three : tensor<?xf32, #tenon.dims<"n">>, tensor<f32>
    tenon.yield %2 : tensor<?xf32, #tenon.dims<"n">>
  }
  %1 = tenon.kernel map(%x) : (tensor<?xf32, #tenon.dims<"n">>) -> tensor<?xf32, #tenon.dims<"n">> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<?xf32, #tenon.dims<"n">>):
    %other = tenon.constant dense<3.5> : tensor<f32>
    %2 = tenon.pow %a, %other : tensor<?xf32, #tenon.dims<"n">>, tensor<f32>
    tenon.yield %2 : tensor<?xf32, #tenon.dims<"n">>
  }
  return %0, %1 : tensor<?xf32, #tenon.dims<"n">>, tensor<?xf32, #tenon.dims<"n">>
}

// -----

// Every other element of padded rows: where all lanes are inside they are taken
// out of two vectors, the second of which ends with the last lane's element; at
// the borders too, which masks leave out.
// CHECK-LABEL: func.func @map_0
// CHECK-NOT: vector.gather
// CHECK: scf.if
// CHECK: %[[A:.+]] = vector.load
// CHECK: %[[B:.+]] = vector.load
// CHECK: vector.shuffle %[[A]], %[[B]] [0, 2, 4, 6, 9, 11, 13, 15]
// CHECK: else
// CHECK: %[[V:.+]] = vector.broadcast
// CHECK: %[[M:.+]] = arith.andi
// CHECK: %[[A:.+]] = vector.maskedload %{{.+}}, %[[M]]
// CHECK: arith.select %[[M]], %[[A]], %[[V]]
// CHECK: vector.maskedload
// CHECK: vector.shuffle {{.*}} [0, 2, 4, 6, 9, 11, 13, 15]
// CHECK-NOT: vector.gather
// WIDE-LABEL: func.func @map_0
func.func @everyOther(%x: tensor<4x64xf32>, %v: tensor<f32>) -> tensor<4x32xf32> {
  %0 = tenon.kernel map(%x, %v) : (tensor<4x64xf32>, tensor<f32>) -> tensor<4x32xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<4x64xf32>, %b: tensor<f32>):
    %1 = tenon.pad constant %a, %b low <"0", "1"> high <"0", "1"> : tensor<4x64xf32>, tensor<f32>
    %2 = tenon.slice %1 from <"0", "0"> step [1, 2] to <"4", "32"> : tensor<4x66xf32>
    tenon.yield %2 : tensor<4x32xf32>
  }
  return %0 : tensor<4x32xf32>
}

// -----

// Joined rows are written part by part, whatever lanes they fill.
// CHECK-LABEL: func.func @map_0
// CHECK-NOT: vector.gather
// CHECK: return
// WIDE-LABEL: func.func @map_0
// WIDE-NOT: vector.gather
// WIDE: vector.maskedstore
// WIDE: vector.maskedstore
func.func @joined(%x: tensor<?x24xf32, #tenon.dims<"n", "24">>, %y: tensor<?x20xf32, #tenon.dims<"n", "20">>) -> tensor<?x44xf32, #tenon.dims<"n", "44">> {
  %0 = tenon.kernel map(%x, %y) : (tensor<?x24xf32, #tenon.dims<"n", "24">>, tensor<?x20xf32, #tenon.dims<"n", "20">>) -> tensor<?x44xf32, #tenon.dims<"n", "44">> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<?x24xf32, #tenon.dims<"n", "24">>, %b: tensor<?x20xf32, #tenon.dims<"n", "20">>):
    %1 = tenon.neg %b : tensor<?x20xf32, #tenon.dims<"n", "20">>
    %2 = tenon.concat %a, %1 axis 1 : tensor<?x24xf32, #tenon.dims<"n", "24">>, tensor<?x20xf32, #tenon.dims<"n", "20">>
    tenon.yield %2 : tensor<?x44xf32, #tenon.dims<"n", "44">>
  }
  return %0 : tensor<?x44xf32, #tenon.dims<"n", "44">>
}

// -----

// Where lanes that a gather takes from a row lie is the same for all rows: once,
// a table is made of windows of a vector and places in these. If the windows have
// all lanes each is a permuted vector. Otherwise each vector is looked at: it may
// lie in a window, or inside the row by loads of its own, or anywhere.
// CHECK-LABEL: func.func @map_0
// CHECK: %[[WHOLE:.+]] = scf.for %{{.+}} iter_args
// CHECK: %[[I:.+]] = vector.load %{{.+}} : memref<?xi64>, vector<8xi64>
// CHECK: vector.extract %[[I]][0]
// CHECK: vector.reduction <or>, %{{.+}} : vector<8xi64> into i64
// CHECK: vector.store %{{.+}}, %[[ORDERS:.+]][%{{.+}}] : memref<96xi32>, vector<8xi32>
// CHECK: memref.store %{{.+}}, %[[BASES:.+]][%{{.+}}] : memref<12xi64>
// CHECK: scf.if %[[WHOLE]]
// CHECK: memref.load %[[BASES]]
// CHECK: %[[O:.+]] = vector.load %[[ORDERS]]
// CHECK: %[[V:.+]] = vector.load %{{.+}} : memref<?xf32>, vector<8xf32>
// CHECK-NEXT: llvm.call_intrinsic "llvm.x86.avx2.permps"(%[[V]], %[[O]]) : (vector<8xf32>, vector<8xi32>) -> vector<8xf32>
// CHECK-NEXT: vector.store
// CHECK: scf.if
// CHECK: vector.reduction <or>, %{{.+}} : vector<8xi64> into i64
// CHECK: scf.if
// CHECK: llvm.call_intrinsic "llvm.x86.avx2.permps"
// CHECK: else
// CHECK: scf.if
// CHECK: vector.gather
// CHECK: else
// CHECK: memref.load %{{.+}} : memref<?xi64>
// CHECK: memref.load %{{.+}} : memref<?xf32>
// CHECK: vector.insert {{.+}} [7]
// CHECK-NOT: permps
// WIDE-LABEL: func.func @map_0
// WIDE: llvm.call_intrinsic "llvm.x86.avx512.permvar.sf.512"
// WIDE: vector.gather
// Four lanes are permuted as bytes.
// NARROW: %[[PLACES:.+]] = arith.muli %{{.+}}, %{{.+}} : vector<4xi32>
// NARROW: %[[BYTES:.+]] = arith.addi %[[PLACES]], %{{.+}} : vector<4xi32>
// NARROW: vector.store %[[BYTES]]
// NARROW: llvm.call_intrinsic "llvm.x86.ssse3.pshuf.b.128"({{.+}}) : (vector<16xi8>, vector<16xi8>) -> vector<16xi8>
func.func @neighbours(%x: tensor<3x64xf32>, %i: tensor<96xi64>) -> tensor<3x96xf32> {
  %0 = tenon.kernel map(%x, %i) : (tensor<3x64xf32>, tensor<96xi64>) -> tensor<3x96xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<3x64xf32>, %b: tensor<96xi64>):
    %1 = tenon.gather %a, %b axis 1 : tensor<3x64xf32>, tensor<96xi64>
    tenon.yield %1 : tensor<3x96xf32>
  }
  return %0 : tensor<3x96xf32>
}

// -----

// Where fewer are taken windows have two vectors. Lanes whose indices differ from
// row to row have no table. Indices of 32 bits of a row that is known are not
// widened. Of a size that only a run knows windows may be too large.
// CHECK-LABEL: func.func @map_0
// CHECK: vector.reduction <or>, %{{.+}} : vector<8xi32> into i32
// CHECK: scf.if
// CHECK-COUNT-2: llvm.call_intrinsic "llvm.x86.avx2.permps"
// CHECK: arith.select
// CHECK: vector.gather {{.+}} : memref<?xf32>, vector<8xi32>
// CHECK-NOT: permps
// CHECK-LABEL: func.func @map_1
// CHECK: iter_args
// CHECK: vector.reduction <or>
// CHECK: arith.cmpi sge
// CHECK-COUNT-2: llvm.call_intrinsic "llvm.x86.avx2.permps"
// WIDE-LABEL: func.func @map_0
// WIDE: llvm.call_intrinsic "llvm.x86.avx512.vpermi2var.ps.512"
// WIDE-NOT: permvar
// WIDE-LABEL: func.func @map_1
func.func @fewer(%x: tensor<3x64xf32>, %i: tensor<3x40xi32>, %y: tensor<3x?xf32, #tenon.dims<"3", "w">>, %j: tensor<40xi32>) -> (tensor<3x40xf32>, tensor<3x40xf32>) {
  %0 = tenon.kernel map(%x, %i) : (tensor<3x64xf32>, tensor<3x40xi32>) -> tensor<3x40xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<3x64xf32>, %b: tensor<3x40xi32>):
    %2 = tenon.gather_elements %a, %b axis 1 : tensor<3x64xf32>, tensor<3x40xi32>
    tenon.yield %2 : tensor<3x40xf32>
  }
  %1 = tenon.kernel map(%y, %j) : (tensor<3x?xf32, #tenon.dims<"3", "w">>, tensor<40xi32>) -> tensor<3x40xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<3x?xf32, #tenon.dims<"3", "w">>, %b: tensor<40xi32>):
    %2 = tenon.gather %a, %b axis 1 : tensor<3x?xf32, #tenon.dims<"3", "w">>, tensor<40xi32>
    tenon.yield %2 : tensor<3x40xf32>
  }
  return %0, %1 : tensor<3x40xf32>, tensor<3x40xf32>
}

// -----

// A third of a row's elements lie in windows of four vectors, where one instruction
// permutes two.
// CHECK-LABEL: func.func @map_0
// CHECK-NOT: permps
// WIDE-LABEL: func.func @map_0
// WIDE: scf.if
// WIDE-COUNT-2: llvm.call_intrinsic "llvm.x86.avx512.vpermi2var.ps.512"
// WIDE-NEXT: arith.select
func.func @third(%x: tensor<3x96xf32>, %i: tensor<3x32xi32>) -> tensor<3x32xf32> {
  %0 = tenon.kernel map(%x, %i) : (tensor<3x96xf32>, tensor<3x32xi32>) -> tensor<3x32xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<3x96xf32>, %b: tensor<3x32xi32>):
    %1 = tenon.gather_elements %a, %b axis 1 : tensor<3x96xf32>, tensor<3x32xi32>
    tenon.yield %1 : tensor<3x32xf32>
  }
  return %0 : tensor<3x32xf32>
}

// -----

// What a map gathers from along its rows is computed two rows at a time, into
// scratch memory; of both, all is read before something is written.
// CHECK-LABEL: func.func @map_0
// CHECK: scf.for {{.*}} iter_args
// CHECK: scf.for {{.*}} step %c2
// CHECK: scf.for
// CHECK-COUNT-2: arith.addf
// CHECK: vector.store %{{.+}}, %[[ROW:.+]][%{{.+}}] : memref<64xf32>
// CHECK: vector.store %{{.+}}, %[[NEXT:.+]][%{{.+}}] : memref<64xf32>
// CHECK: scf.if
// CHECK: %[[V:.+]] = vector.load %[[ROW]][
// CHECK-NEXT: llvm.call_intrinsic "llvm.x86.avx2.permps"(%[[V]]
// CHECK-NOT: vector.store
// CHECK: %[[W:.+]] = vector.load %[[NEXT]][
// CHECK-NEXT: llvm.call_intrinsic "llvm.x86.avx2.permps"(%[[W]]
// CHECK-NOT: arith.addf
// WIDE-LABEL: func.func @map_0
func.func @computedRows(%x: tensor<3x64xf32>, %y: tensor<3x64xf32>, %i: tensor<96xi64>) -> tensor<3x96xf32> {
  %0 = tenon.kernel map(%x, %y, %i) : (tensor<3x64xf32>, tensor<3x64xf32>, tensor<96xi64>) -> tensor<3x96xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<3x64xf32>, %b: tensor<3x64xf32>, %c: tensor<96xi64>):
    %1 = tenon.add %a, %b : tensor<3x64xf32>, tensor<3x64xf32>
    %2 = tenon.gather %1, %c axis 1 : tensor<3x64xf32>, tensor<96xi64>
    tenon.yield %2 : tensor<3x96xf32>
  }
  return %0 : tensor<3x96xf32>
}

// -----

// Neighbours lie in one window, if it has room for both: one table says where it
// begins. Nine elements are too many.
// CHECK-LABEL: func.func @map_0
// CHECK-COUNT-1: memref.view {{.+}} to memref<{{.+}}xi64>
// CHECK-NOT: memref.view {{.+}} to memref<{{.+}}xi64>
// CHECK: arith.minsi %{{.+}}, %{{.+}} : i64
// CHECK: llvm.call_intrinsic "llvm.x86.avx2.permps"
// CHECK: llvm.call_intrinsic "llvm.x86.avx2.permps"
// CHECK-LABEL: func.func @map_1
// CHECK-COUNT-2: memref.view {{.+}} to memref<{{.+}}xi64>
// WIDE-LABEL: func.func @map_0
func.func @neighbours(%x: tensor<3x48xf32>, %y: tensor<3x96xf32>, %i: tensor<96xi64>, %j: tensor<96xi64>) -> (tensor<3x96xf32>, tensor<3x96xf32>) {
  %0 = tenon.kernel map(%x, %i, %j) : (tensor<3x48xf32>, tensor<96xi64>, tensor<96xi64>) -> tensor<3x96xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<3x48xf32>, %b: tensor<96xi64>, %c: tensor<96xi64>):
    %2 = tenon.gather %a, %b axis 1 : tensor<3x48xf32>, tensor<96xi64>
    %3 = tenon.gather %a, %c axis 1 : tensor<3x48xf32>, tensor<96xi64>
    %4 = tenon.add %2, %3 : tensor<3x96xf32>, tensor<3x96xf32>
    tenon.yield %4 : tensor<3x96xf32>
  }
  %1 = tenon.kernel map(%y, %i, %j) : (tensor<3x96xf32>, tensor<96xi64>, tensor<96xi64>) -> tensor<3x96xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<3x96xf32>, %b: tensor<96xi64>, %c: tensor<96xi64>):
    %2 = tenon.gather %a, %b axis 1 : tensor<3x96xf32>, tensor<96xi64>
    %3 = tenon.gather %a, %c axis 1 : tensor<3x96xf32>, tensor<96xi64>
    %4 = tenon.add %2, %3 : tensor<3x96xf32>, tensor<3x96xf32>
    tenon.yield %4 : tensor<3x96xf32>
  }
  return %0, %1 : tensor<3x96xf32>, tensor<3x96xf32>
}

// -----

// A channel of pixels that have three: three vectors in place of a gather, of
// which bytes have none.
// CHECK-LABEL: func.func @map_0
// CHECK-NOT: vector.gather
// CHECK: vector.load
// CHECK: vector.load
// CHECK: vector.shuffle {{.*}} [0, 3, 6, 9, 12, 15, 15, 15]
// CHECK: vector.load
// CHECK: vector.shuffle {{.*}} [0, 1, 2, 3, 4, 5, 12, 15]
// CHECK-NOT: vector.gather
// WIDE-LABEL: func.func @map_0
func.func @everyThird(%x: tensor<64x3xui8>) -> tensor<3x64xf32> {
  %0 = tenon.kernel map(%x) : (tensor<64x3xui8>) -> tensor<3x64xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<64x3xui8>):
    %1 = tenon.transpose %a [1, 0] : tensor<64x3xui8>
    %2 = tenon.cast %1 to f32 : tensor<3x64xui8>
    tenon.yield %2 : tensor<3x64xf32>
  }
  return %0 : tensor<3x64xf32>
}

// -----

// Rows that become columns: lanes along those that lie together in memory, and a
// square of vectors is turned.
// CHECK-LABEL: func.func @map_0
// CHECK: scf.if
// CHECK-COUNT-8: vector.load {{.+}} : memref<?xf32>, vector<8xf32>
// CHECK-NOT: vector.load
// CHECK-COUNT-24: vector.shuffle
// CHECK-NOT: vector.shuffle
// CHECK-COUNT-8: vector.store {{.+}} : memref<?xf32>, vector<8xf32>
// CHECK: scf.if
// WIDE-LABEL: func.func @map_0
// WIDE-COUNT-16: vector.load {{.+}} : memref<?xf32>, vector<16xf32>
// WIDE-COUNT-80: vector.shuffle
// WIDE-NOT: vector.shuffle
// WIDE-COUNT-16: vector.store {{.+}} : memref<?xf32>, vector<16xf32>
func.func @turned(%x: tensor<64x40xf32>) -> tensor<40x64xf32> {
  %0 = tenon.kernel map(%x) : (tensor<64x40xf32>) -> tensor<40x64xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<64x40xf32>):
    %1 = tenon.transpose %a [1, 0] : tensor<64x40xf32>
    %2 = tenon.neg %1 : tensor<40x64xf32>
    tenon.yield %2 : tensor<40x64xf32>
  }
  return %0 : tensor<40x64xf32>
}

// -----

// So are an image's channels, with other dims between, here the rows of a
// transposed convolution's phases; of a square at an end what is there.
// CHECK-LABEL: func.func @map_0
// CHECK: scf.if
// CHECK-COUNT-8: vector.load {{.+}} : memref<?xf32>, vector<8xf32>
// CHECK-NOT: vector.load
// CHECK-COUNT-24: vector.shuffle
// CHECK-COUNT-8: vector.store {{.+}} : memref<?xf32>, vector<8xf32>
// CHECK: scf.if
// CHECK: scf.if
// CHECK-COUNT-8: vector.maskedload
// CHECK-COUNT-24: vector.shuffle
// CHECK-COUNT-8: vector.maskedstore
// WIDE-LABEL: func.func @map_0
// WIDE-COUNT-16: vector.load {{.+}} : memref<?xf32>, vector<16xf32>
// WIDE-COUNT-80: vector.shuffle
// WIDE-COUNT-16: vector.store {{.+}} : memref<?xf32>, vector<16xf32>
// WIDE-COUNT-16: vector.maskedload
// WIDE-COUNT-80: vector.shuffle
// WIDE-COUNT-16: vector.store {{.+}} : memref<?xf32>, vector<16xf32>
func.func @phases(%x: tensor<1x8x8x2x2x20xf32>) -> tensor<1x20x16x16xf32> {
  %0 = tenon.kernel map(%x) : (tensor<1x8x8x2x2x20xf32>) -> tensor<1x20x16x16xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<1x8x8x2x2x20xf32>):
    %1 = tenon.transpose %a [0, 1, 3, 2, 4, 5] : tensor<1x8x8x2x2x20xf32>
    %2 = tenon.reshape %1 to <"1", "16", "16", "20"> : tensor<1x8x2x8x2x20xf32>
    %3 = tenon.transpose %2 [0, 3, 1, 2] : tensor<1x16x16x20xf32>
    tenon.yield %3 : tensor<1x20x16x16xf32>
  }
  return %0 : tensor<1x20x16x16xf32>
}

// -----

// Four channels of pixels: whole vectors of several pixels, of which blocks are
// turned; narrower ones at the end.
// CHECK-LABEL: func.func @map_0
// CHECK-NOT: vector.maskedload
// CHECK-COUNT-4: vector.load {{.+}} : memref<?xf32>, vector<8xf32>
// CHECK-NOT: vector.load
// CHECK-COUNT-8: vector.shuffle {{.+}} : vector<8xf32>, vector<8xf32>
// CHECK: vector.shuffle {{.+}} [0, 4, 1, 5, 2, 6, 3, 7]
// CHECK-NOT: vector.maskedload
// CHECK-COUNT-4: vector.load {{.+}} : memref<?xf32>, vector<4xf32>
// CHECK-COUNT-4: vector.store {{.+}} : memref<?xf32>, vector<4xf32>
// WIDE-LABEL: func.func @map_0
// WIDE-COUNT-4: vector.load {{.+}} : memref<?xf32>, vector<16xf32>
// WIDE-NOT: vector.load
// WIDE: vector.shuffle {{.+}} [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15]
// WIDE-COUNT-4: vector.load {{.+}} : memref<?xf32>, vector<8xf32>
// WIDE-COUNT-4: vector.load {{.+}} : memref<?xf32>, vector<4xf32>
func.func @everyFourth(%x: tensor<3x28x4xf32>) -> tensor<4x3x28xf32> {
  %0 = tenon.kernel map(%x) : (tensor<3x28x4xf32>) -> tensor<4x3x28xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<3x28x4xf32>):
    %1 = tenon.transpose %a [2, 0, 1] : tensor<3x28x4xf32>
    tenon.yield %1 : tensor<4x3x28xf32>
  }
  return %0 : tensor<4x3x28xf32>
}

// -----

// A tail that is known is stored in parts, where masks are not the machine's own.
// CHECK-LABEL: func.func @map_0
// CHECK: vector.store {{.+}} : memref<?xf32>, vector<8xf32>
// CHECK: vector.store {{.+}} : memref<?xf32>, vector<4xf32>
// CHECK: vector.store {{.+}} : memref<?xf32>, vector<2xf32>
// CHECK: memref.store {{.+}} : memref<?xf32>
// CHECK-NOT: vector.maskedstore
// WIDE-LABEL: func.func @map_0
// WIDE: vector.maskedstore {{.+}} vector<16xf32>
func.func @tail(%x: tensor<3x15xf32>, %y: tensor<15xf32>) -> tensor<3x15xf32> {
  %0 = tenon.kernel map(%x, %y) : (tensor<3x15xf32>, tensor<15xf32>) -> tensor<3x15xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<3x15xf32>, %b: tensor<15xf32>):
    %1 = tenon.add %a, %b : tensor<3x15xf32>, tensor<15xf32>
    tenon.yield %1 : tensor<3x15xf32>
  }
  return %0 : tensor<3x15xf32>
}

// -----

// A reduction of the last dim: four vectors of partial sums, combined at the
// end. A task is as many rows as have the tiling's elements together.
// CHECK-LABEL: func.func @map_0
// CHECK: scf.for
// CHECK: scf.for
// CHECK: arith.addf {{.*}} : vector<32xf64>
// CHECK: vector.extract_strided_slice {{.*}} : vector<32xf64> to vector<16xf64>
// CHECK: vector.extract {{.*}}[0]
func.func @reduce(%x: tensor<9x64xf32>) -> tensor<9xf32> {
  %0 = tenon.kernel map(%x) : (tensor<9x64xf32>) -> tensor<9xf32> tiling #tenon.cpu_reduce<elements = 128, columns = 16> {
  ^bb0(%a: tensor<9x64xf32>):
    %1 = tenon.reduce sum %a over [1] : tensor<9x64xf32>
    tenon.yield %1 : tensor<9xf32>
  }
  return %0 : tensor<9xf32>
}

// -----

// A row at a time: the largest, the sum, the quotients.
// CHECK-LABEL: func.func @row_0
// CHECK: scf.for
// CHECK: arith.maxnumf
// CHECK: math.exp
// CHECK: arith.addf
// CHECK: arith.divf
func.func @row(%x: tensor<4x64xf32>) -> tensor<4x64xf32> {
  %0 = tenon.kernel row(%x) : (tensor<4x64xf32>) -> tensor<4x64xf32> {
  ^bb0(%a: tensor<4x64xf32>):
    %1 = tenon.softmax %a : tensor<4x64xf32>
    tenon.yield %1 : tensor<4x64xf32>
  }
  return %0 : tensor<4x64xf32>
}

// -----

// A product calls micro-kernels of at most the tile's rows; a task of more
// panels than a tile has walks them, and the epilogue is computed on the tile.
// CHECK-LABEL: func.func @matmul_0
// CHECK-DAG: %[[STEP:.+]] = arith.constant 1 : index
// CHECK: scf.index_switch
// CHECK: case 1
// CHECK: case 2
// CHECK-NOT: case 4
// CHECK: default
// CHECK: vector.load
// CHECK: arith.negf
// CHECK: vector.store
func.func @matmul(%x: tensor<64x64xf32>, %p: tensor<4x64x32xf32>) -> tensor<64x128xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<64x64xf32>, tensor<4x64x32xf32>) -> tensor<64x128xf32> tiling #tenon.cpu_matmul<task = 12 x 4, tile = 4 x 2, block_bytes = 65536, chunk = 1024> {
  ^bb0(%a: tensor<64x64xf32>, %b: tensor<4x64x32xf32>):
    %1 = tenon.packed_matmul %a, %b columns "128" : tensor<64x64xf32>, tensor<4x64x32xf32>
    %2 = tenon.neg %1 : tensor<64x128xf32>
    tenon.yield %2 : tensor<64x128xf32>
  }
  return %0 : tensor<64x128xf32>
}

// -----

// Of integers the epilogue reads before its loops what is one number, and what
// rows have in common once for all of them.
// CHECK-LABEL: func.func @matmul_0
// CHECK: %[[POINT:.+]] = memref.load {{.+}} : memref<?xi32>
// CHECK: call @gemm_i8_
// CHECK: scf.for
// CHECK: %[[SUMS:.+]] = vector.load {{.+}} : memref<?xi32>
// CHECK: scf.for
// CHECK: vector.broadcast %[[POINT]]
// CHECK: arith.muli {{.+}}%[[SUMS]]
// CHECK: vector.store
func.func @matmulOfIntegers(%x: tensor<64x64xui8>, %p: tensor<2x2048xui8>, %points: tensor<2xi32>, %sums: tensor<64xi32>) -> tensor<64x64xi32> {
  %0 = tenon.kernel matmul(%x, %p, %points, %sums) : (tensor<64x64xui8>, tensor<2x2048xui8>, tensor<2xi32>, tensor<64xi32>) -> tensor<64x64xi32> tiling #tenon.cpu_matmul<task = 12 x 4, tile = 4 x 2, block_bytes = 65536, chunk = 1024> {
  ^bb0(%a: tensor<64x64xui8>, %b: tensor<2x2048xui8>, %c: tensor<2xi32>, %d: tensor<64xi32>):
    %1 = tenon.packed_matmul %a, %b columns "64" as <i8> : tensor<64x64xui8>, tensor<2x2048xui8>
    %2 = tenon.slice %c from <"1"> step [1] to <"1"> : tensor<2xi32>
    %3 = tenon.mul %2, %d : tensor<1xi32>, tensor<64xi32>
    %4 = tenon.sub %1, %3 : tensor<64x64xi32>, tensor<64xi32>
    tenon.yield %4 : tensor<64x64xi32>
  }
  return %0 : tensor<64x64xi32>
}

// -----

// Rows of the queries are packed, their scores multiplied, exponentiated and
// multiplied again, as many at a time as the tiling says.
// CHECK-LABEL: func.func @attention_0
// CHECK-DAG: arith.constant 12 : index
// CHECK: scf.for
// CHECK: call @gemm_f32
// CHECK: math.exp
// CHECK: call @gemm_f32
func.func @attention(%q: tensor<2x64x32xf32>, %k: tensor<2x2x32x32xf32>, %v: tensor<2x1x64x32xf32>) -> tensor<2x64x32xf32> {
  %0 = tenon.kernel attention(%q, %k, %v) : (tensor<2x64x32xf32>, tensor<2x2x32x32xf32>, tensor<2x1x64x32xf32>) -> tensor<2x64x32xf32> tiling #tenon.cpu_attention<queries = 12> {
  ^bb0(%a: tensor<2x64x32xf32>, %b: tensor<2x2x32x32xf32>, %c: tensor<2x1x64x32xf32>):
    %1 = tenon.packed_matmul %a, %b columns "64" : tensor<2x64x32xf32>, tensor<2x2x32x32xf32>
    %2 = tenon.softmax %1 : tensor<2x64x64xf32>
    %3 = tenon.packed_matmul %2, %c columns "32" : tensor<2x64x64xf32>, tensor<2x1x64x32xf32>
    tenon.yield %3 : tensor<2x64x32xf32>
  }
  return %0 : tensor<2x64x32xf32>
}

// -----

// Sums of integers lie where scores do, until what makes these of them is pulled;
// a row is finished before it meets the values.
// CHECK-LABEL: func.func @attention_0
// CHECK: arith.extui {{.+}} to vector<{{[0-9]+}}xi16>
// CHECK: call @gemm_i8_
// CHECK: arith.bitcast {{.+}}xi32> to vector<{{[0-9]+}}xf32>
// CHECK: arith.bitcast {{.+}}xf32> to vector<{{[0-9]+}}xi32>
// CHECK: arith.subi
// CHECK: arith.sitofp
// CHECK: math.exp
// CHECK: math.roundeven
// CHECK: call @gemm_f32
func.func @attentionOfCodes(%q: tensor<2x64x32xui8>, %k: tensor<2x2x1024xui8>, %v: tensor<2x1x64x32xf32>, %points: tensor<2x1x64xi32>) -> tensor<2x64x32xf32> {
  %0 = tenon.kernel attention(%q, %k, %v, %points) : (tensor<2x64x32xui8>, tensor<2x2x1024xui8>, tensor<2x1x64x32xf32>, tensor<2x1x64xi32>) -> tensor<2x64x32xf32> tiling #tenon.cpu_attention<queries = 12> {
  ^bb0(%a: tensor<2x64x32xui8>, %b: tensor<2x2x1024xui8>, %c: tensor<2x1x64x32xf32>, %d: tensor<2x1x64xi32>):
    %1 = tenon.packed_matmul %a, %b columns "64" as <i8> : tensor<2x64x32xui8>, tensor<2x2x1024xui8>
    %2 = tenon.sub %1, %d : tensor<2x64x64xi32>, tensor<2x1x64xi32>
    %3 = tenon.cast %2 to f32 : tensor<2x64x64xi32>
    %4 = tenon.softmax %3 : tensor<2x64x64xf32>
    %5 = tenon.round %4 : tensor<2x64x64xf32>
    %6 = tenon.packed_matmul %5, %c columns "32" : tensor<2x64x64xf32>, tensor<2x1x64x32xf32>
    tenon.yield %6 : tensor<2x64x32xf32>
  }
  return %0 : tensor<2x64x32xf32>
}

// -----

// Weights that are codes are finished into memory of their own, their sums beside.
// CHECK-LABEL: func.func @attention_0
// CHECK: call @gemm_f32
// CHECK: math.exp
// CHECK: arith.fptosi
// CHECK: arith.extui {{.+}} to vector<{{[0-9]+}}xi16>
// CHECK: arith.extui {{.+}} to vector<{{[0-9]+}}xi32>
// CHECK: scf.yield {{.+}} : vector<{{[0-9]+}}xi32>
// CHECK: call @gemm_i8_
func.func @attentionByCodes(%q: tensor<2x64x32xf32>, %k: tensor<2x2x32x32xf32>, %v: tensor<2x1x2048xui8>) -> tensor<2x64x32xi32> {
  %0 = tenon.kernel attention(%q, %k, %v) : (tensor<2x64x32xf32>, tensor<2x2x32x32xf32>, tensor<2x1x2048xui8>) -> tensor<2x64x32xi32> tiling #tenon.cpu_attention<queries = 12> {
  ^bb0(%a: tensor<2x64x32xf32>, %b: tensor<2x2x32x32xf32>, %c: tensor<2x1x2048xui8>):
    %1 = tenon.packed_matmul %a, %b columns "64" : tensor<2x64x32xf32>, tensor<2x2x32x32xf32>
    %2 = tenon.softmax %1 : tensor<2x64x64xf32>
    %3 = tenon.cast %2 to ui8 : tensor<2x64x64xf32>
    %4 = tenon.packed_matmul %3, %c columns "32" as <i8> : tensor<2x64x64xui8>, tensor<2x1x2048xui8>
    %5 = tenon.cast %3 to i32 : tensor<2x64x64xui8>
    %6 = tenon.reduce sum %5 over [2] keepdims : tensor<2x64x64xi32>
    %7 = tenon.sub %4, %6 : tensor<2x64x32xi32>, tensor<2x64x1xi32>
    tenon.yield %7 : tensor<2x64x32xi32>
  }
  return %0 : tensor<2x64x32xi32>
}

// -----

// Lanes lie along the columns, a chain of additions runs down each.
// CHECK-LABEL: func.func @scan_0
// CHECK-DAG: arith.constant 64 : index
// CHECK: iter_args
// CHECK: arith.addf
// CHECK: vector.store
func.func @scan(%x: tensor<5x128xf32>) -> tensor<5x128xf32> {
  %0 = tenon.kernel scan(%x) : (tensor<5x128xf32>) -> tensor<5x128xf32> tiling #tenon.cpu_columns<columns = 64> {
  ^bb0(%a: tensor<5x128xf32>):
    %1 = tenon.cumulate sum %a over 0 : tensor<5x128xf32>
    tenon.yield %1 : tensor<5x128xf32>
  }
  return %0 : tensor<5x128xf32>
}

// -----

// The input is copied, then the updates are applied, whose indices are checked.
// CHECK-LABEL: func.func @scatter_0
// CHECK: vector.store
// CHECK: arith.cmpi
// CHECK: memref.store
func.func @scatter(%x: tensor<5x8xf32>, %i: tensor<2x1xi64>, %u: tensor<2x8xf32>) -> tensor<5x8xf32> {
  %0 = tenon.kernel scatter(%x, %i, %u) : (tensor<5x8xf32>, tensor<2x1xi64>, tensor<2x8xf32>) -> tensor<5x8xf32> tiling #tenon.cpu_scatter<columns = 16, tasks = 4> {
  ^bb0(%a: tensor<5x8xf32>, %b: tensor<2x1xi64>, %c: tensor<2x8xf32>):
    %1 = tenon.scatter_nd none %a, %b, %c : tensor<5x8xf32>, tensor<2x1xi64>, tensor<2x8xf32>
    tenon.yield %1 : tensor<5x8xf32>
  }
  return %0 : tensor<5x8xf32>
}

// -----

// CHECK-LABEL: func.func @top_k_0
// CHECK: scf.while
func.func @topK(%x: tensor<5x8xf32>) -> tensor<5x3xi64> {
  %0 = tenon.kernel top_k(%x) : (tensor<5x8xf32>) -> tensor<5x3xi64> {
  ^bb0(%a: tensor<5x8xf32>):
    %1 = tenon.top_k %a k "3" : tensor<5x8xf32>
    tenon.yield %1 : tensor<5x3xi64>
  }
  return %0 : tensor<5x3xi64>
}

// -----

// Columns of the state are the lanes; so many are a task at every level.
// CHECK-LABEL: func.func @recurrence_0
// CHECK-DAG: arith.constant 16 : index
// CHECK: iter_args
// WIDE-LABEL: func.func @recurrence_0
// WIDE-DAG: arith.constant 16 : index
func.func @recurrence(%q: tensor<1x3x2x1x4xf32>, %k: tensor<1x3x2x4xf32>, %v: tensor<1x3x2x32xf32>) -> tensor<1x2x7x32xf32> {
  %0 = tenon.kernel recurrence(%q, %k, %v) : (tensor<1x3x2x1x4xf32>, tensor<1x3x2x4xf32>, tensor<1x3x2x32xf32>) -> tensor<1x2x7x32xf32> tiling #tenon.cpu_columns<columns = 16> {
  ^bb0(%a: tensor<1x3x2x1x4xf32>, %b: tensor<1x3x2x4xf32>, %c: tensor<1x3x2x32xf32>):
    %1 = tenon.linear_attention %a, %b, %c : tensor<1x3x2x1x4xf32>, tensor<1x3x2x4xf32>, tensor<1x3x2x32xf32>
    tenon.yield %1 : tensor<1x2x7x32xf32>
  }
  return %0 : tensor<1x2x7x32xf32>
}

// -----

// Eight pixels at a time: the weights of a row of the kernel, then each of the
// ten pixels that they meet, loaded once. A row of the kernel outside the image
// is left out. Two vectors of channels of this level, one of the wider: no mask.
// CHECK-LABEL: func.func @depthwise_0
// CHECK-NOT: maskedload
// CHECK: scf.for {{.*}} iter_args({{.*}}) -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>)
// CHECK-COUNT-13: vector.load
// CHECK-NOT: vector.load
// CHECK: scf.yield
// CHECK-NOT: vector.load
// CHECK: arith.negf
// CHECK-NEXT: vector.store
// WIDE-LABEL: func.func @depthwise_0
// WIDE: iter_args({{.*}}) -> (vector<16xf32>
func.func @depthwise(%x: tensor<1x?x?x16xf32, #tenon.dims<"1", "h", "w", "16">>, %w: tensor<9x16xf32>) -> tensor<1x?x16xf32, #tenon.dims<"1", "h*w", "16">> {
  %0 = tenon.kernel depthwise(%x, %w) : (tensor<1x?x?x16xf32, #tenon.dims<"1", "h", "w", "16">>, tensor<9x16xf32>) -> tensor<1x?x16xf32, #tenon.dims<"1", "h*w", "16">> tiling #tenon.cpu_depthwise<pixels = 64, channels = 64> {
  ^bb0(%a: tensor<1x?x?x16xf32, #tenon.dims<"1", "h", "w", "16">>, %b: tensor<9x16xf32>):
    %1 = tenon.depthwise %a, %b kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] : tensor<1x?x?x16xf32, #tenon.dims<"1", "h", "w", "16">>, tensor<9x16xf32>
    %2 = tenon.neg %1 : tensor<1x?x16xf32, #tenon.dims<"1", "h*w", "16">>
    tenon.yield %2 : tensor<1x?x16xf32, #tenon.dims<"1", "h*w", "16">>
  }
  return %0 : tensor<1x?x16xf32, #tenon.dims<"1", "h*w", "16">>
}

// -----

// A row of 14 pixels, which is known: two tiles of 7, of whose first and last
// pixel the tap outside is left out. Where there are registers for them two
// vectors of channels are summed up at once.
// CHECK-LABEL: func.func @depthwise_0
// CHECK: scf.for {{.*}} iter_args(%{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}) -> (vector<8xf32>,
// CHECK-COUNT-20: math.fma
// CHECK-NOT: math.fma
// CHECK: scf.yield
// CHECK: scf.for {{.*}} iter_args
// CHECK-COUNT-20: math.fma
// CHECK-NOT: math.fma
// WIDE-LABEL: func.func @depthwise_0
// WIDE: scf.for {{.*}} iter_args
// WIDE-COUNT-40: math.fma
// WIDE-NOT: math.fma
// WIDE: scf.yield
func.func @knownRow(%x: tensor<1x?x14x32xf32, #tenon.dims<"1", "h", "14", "32">>, %w: tensor<9x32xf32>) -> tensor<1x?x32xf32, #tenon.dims<"1", "14*h", "32">> {
  %0 = tenon.kernel depthwise(%x, %w) : (tensor<1x?x14x32xf32, #tenon.dims<"1", "h", "14", "32">>, tensor<9x32xf32>) -> tensor<1x?x32xf32, #tenon.dims<"1", "14*h", "32">> tiling #tenon.cpu_depthwise<pixels = 64, channels = 64> {
  ^bb0(%a: tensor<1x?x14x32xf32, #tenon.dims<"1", "h", "14", "32">>, %b: tensor<9x32xf32>):
    %1 = tenon.depthwise %a, %b kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] : tensor<1x?x14x32xf32, #tenon.dims<"1", "h", "14", "32">>, tensor<9x32xf32>
    tenon.yield %1 : tensor<1x?x32xf32, #tenon.dims<"1", "14*h", "32">>
  }
  return %0 : tensor<1x?x32xf32, #tenon.dims<"1", "14*h", "32">>
}

// -----

// Patches are copied out of the image by runs, a row of the kernel in all of
// its channels; where it hangs over the border, a tap. Of the one panel two
// vectors of columns are computed.
// CHECK-LABEL: func.func private @gemm_f32_6x32_last16
// CHECK: scf.for {{.*}} -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, index)
// CHECK-LABEL: func.func @matmul_0
// CHECK: vector.load
// CHECK: vector.store
// WIDE-LABEL: func.func @matmul_0
func.func @patches(%x: tensor<1x8x8x6xf32>, %p: tensor<1x54x32xf32>) -> tensor<1x64x12xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x8x8x6xf32>, tensor<1x54x32xf32>) -> tensor<1x64x12xf32> tiling #tenon.cpu_matmul<task = 48 x 2, tile = 6 x 2, block_bytes = 65536, chunk = 1024> {
  ^bb0(%a: tensor<1x8x8x6xf32>, %b: tensor<1x54x32xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x6xf32>
    %2 = tenon.packed_matmul %1, %b columns "12" : tensor<1x64x54xf32>, tensor<1x54x32xf32>
    tenon.yield %2 : tensor<1x64x12xf32>
  }
  return %0 : tensor<1x64x12xf32>
}

// -----

// By Winograd's filters: functions of their own transform pixels, of squares
// that meet no border where the image lies, and products, the latter to the
// positions of a square; one vector of channels takes 16 loads and 32 sums.
// CHECK-LABEL: func.func private @winograd_output
// CHECK-COUNT-16: vector.load
// CHECK-COUNT-4: vector.store
// CHECK-LABEL: func.func private @gemm_f32_6x32_next2_rows
// CHECK-LABEL: func.func private @winograd_input
// CHECK: arith.minsi
// CHECK-COUNT-4: vector.load {{.*}} : memref<?xf32>, vector<8xf32>
// CHECK: arith.subf {{.*}} : vector<8xf32>
// CHECK-COUNT-16: vector.store
// CHECK-NOT: vector.store
// CHECK-LABEL: func.func @matmul_0
// CHECK: call @winograd_input(%arg4,
// CHECK: call @winograd_input
// CHECK: scf.for {{.*}} = %c0 to %c16 step %c1
// CHECK: call @gemm_f32_1x32_rows
// CHECK: call @winograd_output
// CHECK: vector.store
// WIDE-LABEL: func.func private @winograd_input
// WIDE-COUNT-16: vector.store {{.*}} : memref<?xf32>, vector<16xf32>
// WIDE-LABEL: func.func @matmul_0
// WIDE: call @winograd_output
// NARROW-LABEL: func.func private @winograd_input
// NARROW-COUNT-16: vector.store {{.*}} : memref<?xf32>, vector<4xf32>
// NARROW-LABEL: func.func @matmul_0
// NARROW: call @winograd_output
func.func @squares(%x: tensor<1x8x8x16xf32>, %p: tensor<16x1x16x32xf32>) -> tensor<1x64x32xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x8x8x16xf32>, tensor<16x1x16x32xf32>) -> tensor<1x64x32xf32> tiling #tenon.cpu_winograd<squares = 24, panels = 2, tile = 6 x 2> {
  ^bb0(%a: tensor<1x8x8x16xf32>, %b: tensor<16x1x16x32xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x16xf32>
    %2 = tenon.packed_matmul %1, %b columns "32" winograd : tensor<1x64x144xf32>, tensor<16x1x16x32xf32>
    tenon.yield %2 : tensor<1x64x32xf32>
  }
  return %0 : tensor<1x64x32xf32>
}

// -----

// Squares of dilated windows: those of a block of columns, a pixel from one to
// the next, have functions of their own where the image lies.
// CHECK-LABEL: func.func private @winograd_dilated_input
// CHECK-COUNT-16: vector.load
// CHECK-COUNT-16: vector.store
// CHECK-LABEL: func.func @matmul_0
// CHECK: call @winograd_dilated_input(%arg4,
// CHECK: call @winograd_input
// CHECK: call @winograd_output
// WIDE-LABEL: func.func private @winograd_dilated_input
// WIDE-LABEL: func.func @matmul_0
// NARROW-LABEL: func.func private @winograd_dilated_input
// NARROW-LABEL: func.func @matmul_0
func.func @dilatedSquares(%x: tensor<1x16x16x16xf32>, %p: tensor<16x1x16x32xf32>) -> tensor<1x256x32xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x16x16x16xf32>, tensor<16x1x16x32xf32>) -> tensor<1x256x32xf32> tiling #tenon.cpu_winograd<squares = 24, panels = 2, tile = 6 x 2> {
  ^bb0(%a: tensor<1x16x16x16xf32>, %b: tensor<16x1x16x32xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [2, 2, 2, 2] dilations [2, 2] channels_last : tensor<1x16x16x16xf32>
    %2 = tenon.packed_matmul %1, %b columns "32" winograd : tensor<1x256x144xf32>, tensor<16x1x16x32xf32>
    tenon.yield %2 : tensor<1x256x32xf32>
  }
  return %0 : tensor<1x256x32xf32>
}

// -----

// A product without patches: rows of the image with their borders are
// copied once, and each tile reads them through the offsets of its positions
// and of the three taps, rows of the kernel in all channels, which are unrolled.
// CHECK-LABEL: func.func private @window_f32_6x32_run24_last16
// CHECK-COUNT-6: memref.load {{.*}} : memref<?xi64>
// CHECK: scf.for {{.*}} -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, index)
// CHECK: memref.load {{.*}} : memref<?xi64>
// CHECK-COUNT-288: math.fma
// CHECK-NOT: math.fma
// CHECK-LABEL: func.func private @window_f32_5x32_run24_last16
// CHECK-LABEL: func.func @matmul_0
// CHECK: memref.store {{.*}}xi64>
// CHECK: vector.load
// CHECK: vector.store
// CHECK: call @window_f32_1x32_run24_last16
// CHECK-NOT: gemm
// WIDE-LABEL: func.func @matmul_0
func.func @window(%x: tensor<1x8x8x8xf32>, %p: tensor<1x72x32xf32>) -> tensor<1x64x16xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x8x8x8xf32>, tensor<1x72x32xf32>) -> tensor<1x64x16xf32> tiling #tenon.cpu_conv<positions = 96, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x8x8x8xf32>, %b: tensor<1x72x32xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x8xf32>
    %2 = tenon.packed_matmul %1, %b columns "16" : tensor<1x64x72xf32>, tensor<1x72x32xf32>
    tenon.yield %2 : tensor<1x64x16xf32>
  }
  return %0 : tensor<1x64x16xf32>
}

// -----

// Of 27 terms, of three channels that are moved to the back in the copy: a tile is
// neighbours in a row, which fill one of 12, and its sums meet their epilogue in
// registers. Its last row's last tile is no other one.
// CHECK-LABEL: func.func @matmul_0
// CHECK: scf.for {{.*}} -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>)
// CHECK-COUNT-108: math.fma
// CHECK-NOT: math.fma
// CHECK-COUNT-12: arith.negf {{.*}} : vector<8xf32>
// CHECK-NOT: call
// CHECK: return
// WIDE-LABEL: func.func @matmul_0
// WIDE-COUNT-108: math.fma
// WIDE-NOT: math.fma
// WIDE-COUNT-12: arith.negf {{.*}} : vector<16xf32>
// WIDE-NOT: call
// WIDE: return
func.func @fewTerms(%x: tensor<1x3x?x24xf32, #tenon.dims<"1", "3", "2*h", "24">>, %p: tensor<1x27x32xf32>) -> tensor<1x?x16xf32, #tenon.dims<"1", "12*h", "16">> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x3x?x24xf32, #tenon.dims<"1", "3", "2*h", "24">>, tensor<1x27x32xf32>) -> tensor<1x?x16xf32, #tenon.dims<"1", "12*h", "16">> tiling #tenon.cpu_conv<positions = 96, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x3x?x24xf32, #tenon.dims<"1", "3", "2*h", "24">>, %b: tensor<1x27x32xf32>):
    %1 = tenon.transpose %a [0, 2, 3, 1] : tensor<1x3x?x24xf32, #tenon.dims<"1", "3", "2*h", "24">>
    %2 = tenon.im2col %1 kernel [3, 3] strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x?x24x3xf32, #tenon.dims<"1", "2*h", "24", "3">>
    %3 = tenon.packed_matmul %2, %b columns "16" : tensor<1x?x27xf32, #tenon.dims<"1", "12*h", "27">>, tensor<1x27x32xf32>
    %4 = tenon.neg %3 : tensor<1x?x16xf32, #tenon.dims<"1", "12*h", "16">>
    tenon.yield %4 : tensor<1x?x16xf32, #tenon.dims<"1", "12*h", "16">>
  }
  return %0 : tensor<1x?x16xf32, #tenon.dims<"1", "12*h", "16">>
}

// -----

// Where the channels come first in the result, a tile is a square of positions and
// channels, which is turned; with many registers half of its positions meet two
// vectors of channels at a time. Rows of fewer positions are scattered.
// CHECK-LABEL: func.func @matmul_0
// CHECK-COUNT-24: math.fma
// CHECK-NOT: math.fma
// CHECK-COUNT-24: vector.shuffle
// CHECK-NOT: vector.shuffle
// CHECK-COUNT-8: vector.store {{.*}} : memref<?xf32>, vector<8xf32>
// CHECK: vector.scatter
// WIDE-LABEL: func.func @matmul_0
// WIDE-COUNT-96: math.fma
// WIDE-NOT: math.fma
// WIDE-COUNT-80: vector.shuffle
// WIDE-NOT: vector.shuffle
// WIDE-COUNT-16: vector.store {{.*}} : memref<?xf32>, vector<16xf32>
func.func @fewTermsTurned(%x: tensor<1x?x?x1xf32, #tenon.dims<"1", "h", "w", "1">>, %p: tensor<2x9x32xf32>) -> tensor<1x64x?xf32, #tenon.dims<"1", "64", "h*w">> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x?x?x1xf32, #tenon.dims<"1", "h", "w", "1">>, tensor<2x9x32xf32>) -> tensor<1x64x?xf32, #tenon.dims<"1", "64", "h*w">> tiling #tenon.cpu_conv<positions = 96, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x?x?x1xf32, #tenon.dims<"1", "h", "w", "1">>, %b: tensor<2x9x32xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x?x?x1xf32, #tenon.dims<"1", "h", "w", "1">>
    %2 = tenon.packed_matmul %1, %b columns "64" : tensor<1x?x9xf32, #tenon.dims<"1", "h*w", "9">>, tensor<2x9x32xf32>
    %3 = tenon.transpose %2 [0, 2, 1] : tensor<1x?x64xf32, #tenon.dims<"1", "h*w", "64">>
    tenon.yield %3 : tensor<1x64x?xf32, #tenon.dims<"1", "64", "h*w">>
  }
  return %0 : tensor<1x64x?xf32, #tenon.dims<"1", "64", "h*w">>
}

// -----

// Of more terms they do with few registers, too.
// CHECK-LABEL: func.func @matmul_0
// CHECK-COUNT-96: math.fma
// CHECK-NOT: math.fma
// CHECK-COUNT-48: vector.shuffle
// CHECK-NOT: vector.shuffle
// CHECK-COUNT-8: vector.store {{.*}} : memref<?xf32>, vector<8xf32>
// WIDE-LABEL: func.func @matmul_0
func.func @moreTermsTurned(%x: tensor<1x?x?x2xf32, #tenon.dims<"1", "h", "w", "2">>, %p: tensor<2x18x32xf32>) -> tensor<1x64x?xf32, #tenon.dims<"1", "64", "h*w">> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x?x?x2xf32, #tenon.dims<"1", "h", "w", "2">>, tensor<2x18x32xf32>) -> tensor<1x64x?xf32, #tenon.dims<"1", "64", "h*w">> tiling #tenon.cpu_conv<positions = 96, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x?x?x2xf32, #tenon.dims<"1", "h", "w", "2">>, %b: tensor<2x18x32xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x?x?x2xf32, #tenon.dims<"1", "h", "w", "2">>
    %2 = tenon.packed_matmul %1, %b columns "64" : tensor<1x?x18xf32, #tenon.dims<"1", "h*w", "18">>, tensor<2x18x32xf32>
    %3 = tenon.transpose %2 [0, 2, 1] : tensor<1x?x64xf32, #tenon.dims<"1", "h*w", "64">>
    tenon.yield %3 : tensor<1x64x?xf32, #tenon.dims<"1", "64", "h*w">>
  }
  return %0 : tensor<1x64x?xf32, #tenon.dims<"1", "64", "h*w">>
}

// -----

// Few columns of an image whose channels come first: lanes lie along its pixels,
// two vectors of them at a time, whose sums are turned.
// CHECK-LABEL: func.func @matmul_0
// CHECK: scf.for {{.*}} -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>)
// CHECK-COUNT-2: vector.load
// CHECK-COUNT-8: math.fma
// CHECK-NOT: math.fma
// CHECK-COUNT-24: vector.shuffle
// CHECK-NOT: gemm
// CHECK: return
func.func @planes(%x: tensor<2x24x?x?xf32, #tenon.dims<"2", "24", "h", "w">>, %p: tensor<1x24x32xf32>) -> tensor<2x?x4xf32, #tenon.dims<"2", "h*w", "4">> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<2x24x?x?xf32, #tenon.dims<"2", "24", "h", "w">>, tensor<1x24x32xf32>) -> tensor<2x?x4xf32, #tenon.dims<"2", "h*w", "4">> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 65536, chunk = 512> {
  ^bb0(%a: tensor<2x24x?x?xf32, #tenon.dims<"2", "24", "h", "w">>, %b: tensor<1x24x32xf32>):
    %1 = tenon.im2col %a kernel [1, 1] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] : tensor<2x24x?x?xf32, #tenon.dims<"2", "24", "h", "w">>
    %2 = tenon.packed_matmul %1, %b columns "4" : tensor<2x?x24xf32, #tenon.dims<"2", "h*w", "24">>, tensor<1x24x32xf32>
    tenon.yield %2 : tensor<2x?x4xf32, #tenon.dims<"2", "h*w", "4">>
  }
  return %0 : tensor<2x?x4xf32, #tenon.dims<"2", "h*w", "4">>
}

// -----

// Patches that meet no border are read where the image lies.
// CHECK-LABEL: func.func @matmul_0
// CHECK-NOT: vector.store
// CHECK: call @window_f32_1x64{{.*}}(%arg4,
func.func @inPlace(%x: tensor<1x8x8x40xf32>, %p: tensor<2x80x32xf32>) -> tensor<1x16x64xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x8x8x40xf32>, tensor<2x80x32xf32>) -> tensor<1x16x64xf32> tiling #tenon.cpu_conv<positions = 96, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x8x8x40xf32>, %b: tensor<2x80x32xf32>):
    %1 = tenon.im2col %a kernel [2, 1] strides [2, 2] pads [0, 0, 0, 0] dilations [1, 1] channels_last : tensor<1x8x8x40xf32>
    %2 = tenon.packed_matmul %1, %b columns "64" : tensor<1x16x80xf32>, tensor<2x80x32xf32>
    tenon.yield %2 : tensor<1x16x64xf32>
  }
  return %0 : tensor<1x16x64xf32>
}

// -----

// A block that meets neither the first nor the last row's border reads the image
// there too, but for what the positions at the ends of its rows meet: three pixels
// of each row for either end. Tiles have positions of one part.
// CHECK-LABEL: func.func @matmul_0
// CHECK: %[[INSIDE:.+]] = arith.andi
// CHECK: %[[EDGE:.+]] = arith.xori %[[INSIDE]]
// CHECK: scf.if %[[EDGE]] {
// CHECK: scf.if %[[INSIDE]] {
// CHECK: arith.muli {{.*}}, %c96
// CHECK: %[[FIRST:.+]] = arith.select %[[INSIDE]], %arg4, %[[STRIP:.+]] : memref<?xf32>
// CHECK: scf.for {{.*}} iter_args(%[[AT:.+]] = %c0)
// CHECK: %[[END:.+]] = arith.cmpi uge, %[[AT]]
// CHECK: %[[FROM:.+]] = arith.select %[[END]], %[[STRIP]], %[[FIRST]] : memref<?xf32>
// CHECK: call @window_f32_1x32{{.*}}(%[[FROM]],
func.func @mostlyInPlace(%x: tensor<1x12x16x16xf32>, %p: tensor<1x144x32xf32>) -> tensor<1x192x32xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x12x16x16xf32>, tensor<1x144x32xf32>) -> tensor<1x192x32xf32> tiling #tenon.cpu_conv<positions = 32, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x12x16x16xf32>, %b: tensor<1x144x32xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x12x16x16xf32>
    %2 = tenon.packed_matmul %1, %b columns "32" : tensor<1x192x144xf32>, tensor<1x144x32xf32>
    tenon.yield %2 : tensor<1x192x32xf32>
  }
  return %0 : tensor<1x192x32xf32>
}

// -----

// The images of a convolution's groups of channels have panels of their own: a
// block has positions of one image, and its panels are those of the group.
// CHECK-LABEL: func.func @matmul_0
// CHECK: %[[PLACE:.+]] = arith.muli {{.*}}, %c4608
// CHECK: call @window_f32_{{.*}}
// CHECK-NOT: call @gemm
func.func @groupsInTurns(%x: tensor<6x8x8x16xf32>, %p: tensor<3x1x144x32xf32>) -> tensor<2x64x3x24xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<6x8x8x16xf32>, tensor<3x1x144x32xf32>) -> tensor<2x64x3x24xf32> tiling #tenon.cpu_conv<positions = 96, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<6x8x8x16xf32>, %b: tensor<3x1x144x32xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<6x8x8x16xf32>
    %2 = tenon.reshape %1 to <"2", "3", "64", "144"> : tensor<6x64x144xf32>
    %3 = tenon.packed_matmul %2, %b columns "24" : tensor<2x3x64x144xf32>, tensor<3x1x144x32xf32>
    %4 = tenon.transpose %3 [0, 2, 1, 3] : tensor<2x3x64x24xf32>
    tenon.yield %4 : tensor<2x64x3x24xf32>
  }
  return %0 : tensor<2x64x3x24xf32>
}

// -----

// Not where the ends would be more tiles (9 of 7 for 7 + 2 positions of 4 rows), nor
// where all blocks meet the first or the last row.
// CHECK-LABEL: func.func @matmul_0
// CHECK-NOT: arith.select {{.*}} : memref
// CHECK: call @window_f32_1x32
func.func @tooManyTiles(%x: tensor<1x16x9x16xf32>, %p: tensor<1x144x32xf32>) -> tensor<1x144x32xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x16x9x16xf32>, tensor<1x144x32xf32>) -> tensor<1x144x32xf32> tiling #tenon.cpu_conv<positions = 36, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x16x9x16xf32>, %b: tensor<1x144x32xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x16x9x16xf32>
    %2 = tenon.packed_matmul %1, %b columns "32" : tensor<1x144x144xf32>, tensor<1x144x32xf32>
    tenon.yield %2 : tensor<1x144x32xf32>
  }
  return %0 : tensor<1x144x32xf32>
}

// -----

// By eight columns two positions have as many sums as a vector of 16 lanes, which
// are added up as one and stored as two rows. No border: nothing is copied.
// WIDE-LABEL: func.func private @dot_f32_2x8_taps3_run96_ldc32
// WIDE-COUNT-96: math.fma
// WIDE-NOT: math.fma
// WIDE: vector.extract_strided_slice {{.*}} : vector<16xf32> to vector<8xf32>
// WIDE: vector.store {{.*}} : memref<?xf32>, vector<8xf32>
// WIDE: vector.store {{.*}} : memref<?xf32>, vector<8xf32>
// WIDE: return
// WIDE-LABEL: func.func @matmul_0
// WIDE: func.call @dot_f32_1x8_taps3_run96_ldc32(%arg4,
func.func @fewInPlace(%x: tensor<1x12x16x32xf32>, %p: tensor<1x288x32xf32>) -> tensor<1x140x8xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x12x16x32xf32>, tensor<1x288x32xf32>) -> tensor<1x140x8xf32> tiling #tenon.cpu_conv<positions = 32, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x12x16x32xf32>, %b: tensor<1x288x32xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] channels_last : tensor<1x12x16x32xf32>
    %2 = tenon.packed_matmul %1, %b columns "8" : tensor<1x140x288xf32>, tensor<1x288x32xf32>
    tenon.yield %2 : tensor<1x140x8xf32>
  }
  return %0 : tensor<1x140x8xf32>
}

// -----

// With wide vectors a block's last panels fetch what blocks behind it meet of
// the image, and a tile meets all panels of a task before the next tile. Rows of
// a tile are counted by floats: LLVM would divide again in each loop over them.
// CHECK-LABEL: func.func @matmul_0
// CHECK: scf.for {{.*}} = %c0 to %c4 step %c2
// CHECK: arith.divf
// CHECK: scf.for {{.*}} iter_args
// CHECK-NOT: arith.select {{.*}} : memref
// CHECK: call @window_f32_6x64_next1(%arg4, {{.*}} %arg5, %c4096)
// WIDE-LABEL: func.func private @window_f32_1x64(
// WIDE-LABEL: func.func @matmul_0
// WIDE: %[[BEHIND:.+]] = arith.cmpi ult, %{{.+}}, %c9
// WIDE: arith.divf
// WIDE: scf.for {{.*}} iter_args
// WIDE: scf.for {{.*}} = %c0 to %c4 step %c2
// WIDE: %[[LAST:.+]] = arith.andi %[[BEHIND]]
// WIDE: %[[IN:.+]] = arith.select %[[LAST]], %arg4, %arg5 : memref<?xf32>
// WIDE: call @window_f32_6x64_next1(%arg4, {{.*}} %[[IN]], %{{[0-9]+}})
func.func @behind(%x: tensor<1x64x8x32xf32>, %p: tensor<4x128x32xf32>) -> tensor<1x441x128xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x64x8x32xf32>, tensor<4x128x32xf32>) -> tensor<1x441x128xf32> tiling #tenon.cpu_conv<positions = 96, panels = 4, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x64x8x32xf32>, %b: tensor<4x128x32xf32>):
    %1 = tenon.im2col %a kernel [2, 2] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] channels_last : tensor<1x64x8x32xf32>
    %2 = tenon.packed_matmul %1, %b columns "128" : tensor<1x441x128xf32>, tensor<4x128x32xf32>
    tenon.yield %2 : tensor<1x441x128xf32>
  }
  return %0 : tensor<1x441x128xf32>
}

// -----

// Two columns of long runs, neighbours in a row: six positions have twelve sums, a vector of
// which are added up at once, and then the other four. The bias is read as one.
// CHECK-LABEL: func.func private @dot_f32_6x2_taps1_run512_ldc2_apart256
// CHECK-COUNT-48: math.fma
// CHECK-NOT: math.fma
// CHECK: vector.store {{.*}} : memref<?xf32>, vector<8xf32>
// CHECK: vector.store {{.*}} : memref<?xf32>, vector<4xf32>
// CHECK: return
// CHECK-LABEL: func.func @matmul_0
// CHECK: %[[BIAS:.+]] = vector.load %arg6[%c0] : memref<?xf32>, vector<2xf32>
// CHECK: vector.shuffle %[[BIAS]], %{{.+}} [0, 1, 0, 1, 0, 1, 0, 1] : vector<2xf32>
// NARROW-LABEL: func.func private @dot_f32_{{.}}x2_taps1_run512_ldc2_apart256
// WIDE-LABEL: func.func private @dot_f32_8x2_taps1_run512_ldc2_apart256
func.func @twoColumns(%x: tensor<1x4608x1xf32>, %p: tensor<1x512x32xf32>, %c: tensor<2xf32>) -> tensor<1x17x2xf32> {
  %0 = tenon.kernel matmul(%x, %p, %c) : (tensor<1x4608x1xf32>, tensor<1x512x32xf32>, tensor<2xf32>) -> tensor<1x17x2xf32> tiling #tenon.cpu_conv<positions = 256, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x4608x1xf32>, %b: tensor<1x512x32xf32>, %d: tensor<2xf32>):
    %1 = tenon.im2col %a kernel [512] strides [256] pads [0, 0] dilations [1] channels_last : tensor<1x4608x1xf32>
    %2 = tenon.packed_matmul %1, %b columns "2" : tensor<1x17x512xf32>, tensor<1x512x32xf32>
    %3 = tenon.add %2, %d : tensor<1x17x2xf32>, tensor<2xf32>
    tenon.yield %3 : tensor<1x17x2xf32>
  }
  return %0 : tensor<1x17x2xf32>
}

// -----

// Weights that lie as the lanes meet them are read where they lie, the second column 512
// numbers behind the first.
// CHECK-LABEL: func.func private @dot_f32_6x2_taps1_run512_ldc2_apart256_columns
// CHECK: scf.for
// CHECK: arith.addi {{.*}}%c512
// CHECK-LABEL: func.func @matmul_0
// CHECK-NOT: vector.shuffle {{.*}} : vector<8xf32>, vector<8xf32>
// CHECK: call @dot_f32_6x2_taps1_run512_ldc2_apart256_columns(%arg4, {{.*}}%arg5,
func.func @laidColumns(%x: tensor<1x4608x1xf32>, %p: tensor<2x512x1xf32>) -> tensor<1x17x2xf32> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<1x4608x1xf32>, tensor<2x512x1xf32>) -> tensor<1x17x2xf32> tiling #tenon.cpu_conv<positions = 256, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x4608x1xf32>, %b: tensor<2x512x1xf32>):
    %1 = tenon.im2col %a kernel [512] strides [256] pads [0, 0] dilations [1] channels_last : tensor<1x4608x1xf32>
    %2 = tenon.packed_matmul %1, %b columns "2" : tensor<1x17x512xf32>, tensor<2x512x1xf32>
    tenon.yield %2 : tensor<1x17x2xf32>
  }
  return %0 : tensor<1x17x2xf32>
}

// -----

// One column: lanes lie along the runs of 24 elements, eight positions of a row at
// a time, the last ones again, and along the positions in the epilogue. The weights
// are turned for that, eight rows at a time, and the three channels are moved to the
// back in the copy, a vector of each at a time.
// CHECK-LABEL: func.func private @dot_f32_7x1_taps3_run24_ldc1_apart3
// CHECK-LABEL: func.func private @dot_f32_8x1_taps3_run24_ldc1_apart3
// CHECK: scf.for {{.*}} -> (vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>)
// CHECK-COUNT-24: math.fma
// CHECK-NOT: math.fma
// CHECK-COUNT-14: vector.shuffle
// CHECK: vector.store {{.*}} : memref<?xf32>, vector<8xf32>
// CHECK-LABEL: func.func @matmul_0
// CHECK-COUNT-8: vector.insert_strided_slice {{.*}} : vector<4xf32> into vector<8xf32>
// CHECK-COUNT-9: vector.shuffle
// CHECK: call @dot_f32_8x1_taps3_run24_ldc1_apart3
// CHECK: call @dot_f32_1x1_taps3_run24_ldc1_apart3
// CHECK: arith.negf {{.*}} : vector<8xf32>
func.func @fewChannels(%x: tensor<2x3x?x?xf32, #tenon.dims<"2", "3", "h", "w">>, %p: tensor<1x72x32xf32>) -> tensor<2x?x1xf32, #tenon.dims<"2", "h*w", "1">> {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<2x3x?x?xf32, #tenon.dims<"2", "3", "h", "w">>, tensor<1x72x32xf32>) -> tensor<2x?x1xf32, #tenon.dims<"2", "h*w", "1">> tiling #tenon.cpu_conv<positions = 96, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<2x3x?x?xf32, #tenon.dims<"2", "3", "h", "w">>, %b: tensor<1x72x32xf32>):
    %1 = tenon.transpose %a [0, 2, 3, 1] : tensor<2x3x?x?xf32, #tenon.dims<"2", "3", "h", "w">>
    %2 = tenon.im2col %1 kernel [3, 8] strides [1, 1] pads [1, 4, 1, 3] dilations [1, 1] channels_last : tensor<2x?x?x3xf32, #tenon.dims<"2", "h", "w", "3">>
    %3 = tenon.packed_matmul %2, %b columns "1" : tensor<2x?x72xf32, #tenon.dims<"2", "h*w", "72">>, tensor<1x72x32xf32>
    %4 = tenon.neg %3 : tensor<2x?x1xf32, #tenon.dims<"2", "h*w", "1">>
    tenon.yield %4 : tensor<2x?x1xf32, #tenon.dims<"2", "h*w", "1">>
  }
  return %0 : tensor<2x?x1xf32, #tenon.dims<"2", "h*w", "1">>
}

// -----

// A task is up to six sequences of a direction, whose steps run inside of it: the
// gates' sums, then the cell on vectors of units, and at the end the states.
// CHECK-LABEL: func.func @recurrence_0
// CHECK: scf.for
// CHECK: scf.for
// CHECK: call @gemm_f32_1x32_ahead_rows
// CHECK: call @gemm_f32_6x32_rows
// CHECK: math.exp
// CHECK: math.tanh
// CHECK: arith.select {{.*}} : vector<8xf32>
func.func @recurrent(%x: tensor<?x?x48xf32, #tenon.dims<"seq", "batch", "48">>, %w: tensor<2x1x8x32xf32>, %n: tensor<?xi64, #tenon.dims<"batch">>) -> tensor<?x2x?x8xf32, #tenon.dims<"seq + 1", "2", "batch", "8">> {
  %0 = tenon.kernel recurrence(%x, %w, %n) : (tensor<?x?x48xf32, #tenon.dims<"seq", "batch", "48">>, tensor<2x1x8x32xf32>, tensor<?xi64, #tenon.dims<"batch">>) -> tensor<?x2x?x8xf32, #tenon.dims<"seq + 1", "2", "batch", "8">> {
  ^bb0(%a: tensor<?x?x48xf32, #tenon.dims<"seq", "batch", "48">>, %b: tensor<2x1x8x32xf32>, %c: tensor<?xi64, #tenon.dims<"batch">>):
    %1 = tenon.recurrent gru %a, %b lengths %c units 8 : tensor<?x?x48xf32, #tenon.dims<"seq", "batch", "48">>, tensor<2x1x8x32xf32> lengths tensor<?xi64, #tenon.dims<"batch">>
    tenon.yield %1 : tensor<?x2x?x8xf32, #tenon.dims<"seq + 1", "2", "batch", "8">>
  }
  return %0 : tensor<?x2x?x8xf32, #tenon.dims<"seq + 1", "2", "batch", "8">>
}

// -----

// A weight that no core's cache holds is read for more sequences at once: tiles of
// them fetch the panels that come next, one alone its own. Threads share each step
// of so large a weight: the first half fills states and counters, a task of the
// second one claims parts of the units, and waits for those of the step before.
// CHECK-LABEL: func.func @recurrence_0(
// CHECK-NOT: llvm.cmpxchg
// CHECK-LABEL: func.func @recurrence_0_columns(
// CHECK: llvm.load {{.*}} atomic acquire
// CHECK: scf.while
// CHECK: llvm.x86.sse2.pause
// CHECK: llvm.cmpxchg
// CHECK: call @gemm_f32_1x128_ahead_rows
// CHECK: call @gemm_f32_6x64_ahead_rows
// CHECK: call @gemm_f32_6x64_next2_rows
// CHECK: math.tanh
// CHECK: llvm.atomicrmw add
func.func @manySequences(%x: tensor<?x?x3072xf32, #tenon.dims<"seq", "batch", "3072">>, %w: tensor<2x48x512x32xf32>) -> tensor<?x2x?x512xf32, #tenon.dims<"seq + 1", "2", "batch", "512">> {
  %0 = tenon.kernel recurrence(%x, %w) : (tensor<?x?x3072xf32, #tenon.dims<"seq", "batch", "3072">>, tensor<2x48x512x32xf32>) -> tensor<?x2x?x512xf32, #tenon.dims<"seq + 1", "2", "batch", "512">> {
  ^bb0(%a: tensor<?x?x3072xf32, #tenon.dims<"seq", "batch", "3072">>, %b: tensor<2x48x512x32xf32>):
    %1 = tenon.recurrent gru %a, %b units 512 : tensor<?x?x3072xf32, #tenon.dims<"seq", "batch", "3072">>, tensor<2x48x512x32xf32>
    tenon.yield %1 : tensor<?x2x?x512xf32, #tenon.dims<"seq + 1", "2", "batch", "512">>
  }
  return %0 : tensor<?x2x?x512xf32, #tenon.dims<"seq + 1", "2", "batch", "512">>
}

// -----

// A gru that resets first multiplies the panels of z and r by the state, then
// those of its candidate by what r leaves of it.
// CHECK-LABEL: func.func @recurrence_0
// CHECK: call @gemm_f32_3x64_rows
// CHECK: math.exp
// CHECK: call @gemm_f32_3x32_rows
// CHECK-NOT: math.tanh
func.func @resetsFirst(%x: tensor<5x3x96xf32>, %w: tensor<1x3x32x32xf32>) -> tensor<6x1x3x32xf32> {
  %0 = tenon.kernel recurrence(%x, %w) : (tensor<5x3x96xf32>, tensor<1x3x32x32xf32>) -> tensor<6x1x3x32xf32> {
  ^bb0(%a: tensor<5x3x96xf32>, %b: tensor<1x3x32x32xf32>):
    %1 = tenon.recurrent gru %a, %b units 32 resets_first activations ["sigmoid", "relu"] : tensor<5x3x96xf32>, tensor<1x3x32x32xf32>
    tenon.yield %1 : tensor<6x1x3x32xf32>
  }
  return %0 : tensor<6x1x3x32xf32>
}

// -----

// Panels of integers are multiplied by the kernels of integers; from their sums
// the state's zero point comes off, times those of the columns.
// CHECK-LABEL: func.func @recurrence_0
// CHECK: math.roundeven
// CHECK: call @gemm_i8_3x32_alone
// CHECK: arith.muli {{.*}} : vector<8xi32>
// CHECK: arith.subi {{.*}} : vector<8xi32>
// CHECK: arith.sitofp {{.*}} : vector<8xi32> to vector<8xf32>
// CHECK: math.exp
func.func @codesOfFormat(%x: tensor<5x3x32xf32>, %w: tensor<1x256xui8>, %s: tensor<1x1xf32>, %c: tensor<1x32xi32>) -> tensor<7x1x3x8xf32> {
  %0 = tenon.kernel recurrence(%x, %w, %s, %c) : (tensor<5x3x32xf32>, tensor<1x256xui8>, tensor<1x1xf32>, tensor<1x32xi32>) -> tensor<7x1x3x8xf32> {
  ^bb0(%a: tensor<5x3x32xf32>, %b: tensor<1x256xui8>, %d: tensor<1x1xf32>, %e: tensor<1x32xi32>):
    %1 = tenon.recurrent lstm %a, %b scale %d sums %e units 8 as <i8> : tensor<5x3x32xf32>, tensor<1x256xui8> scale tensor<1x1xf32> sums tensor<1x32xi32>
    tenon.yield %1 : tensor<7x1x3x8xf32>
  }
  return %0 : tensor<7x1x3x8xf32>
}

// -----

// Bytes that are no constant are multiplied as they are read, eight rows at a time,
// with the states of all sequences, which each step quantises.
// CHECK-LABEL: func.func @recurrence_0
// CHECK: math.roundeven
// CHECK-COUNT-8: arith.sitofp %{{.+}} : vector<8xi8> to vector<8xf32>
// CHECK: math.fma
func.func @codes(%x: tensor<5x3x32xf32>, %w: tensor<1x8x32xi8>, %s: tensor<1x1xf32>) -> tensor<7x1x3x8xf32> {
  %0 = tenon.kernel recurrence(%x, %w, %s) : (tensor<5x3x32xf32>, tensor<1x8x32xi8>, tensor<1x1xf32>) -> tensor<7x1x3x8xf32> {
  ^bb0(%a: tensor<5x3x32xf32>, %b: tensor<1x8x32xi8>, %c: tensor<1x1xf32>):
    %1 = tenon.recurrent lstm %a, %b scale %c units 8 : tensor<5x3x32xf32>, tensor<1x8x32xi8> scale tensor<1x1xf32>
    tenon.yield %1 : tensor<7x1x3x8xf32>
  }
  return %0 : tensor<7x1x3x8xf32>
}

// -----

// Of few terms all rows of a call are one loop, four of them at a time, whose
// columns wait in registers. A row's last vector reaches into the next row; the
// last rows' ends are stored by themselves. Ten columns of five terms are stored by
// whole vectors: their ends take longer in parts. Two columns have the rows on the
// lanes: of five terms, an odd number, each lies on other lanes in all rows, so that
// they are blended, and put in order; the sums are turned.
// CHECK-LABEL: func.func @matmul_0
// CHECK-NOT: call
// CHECK-COUNT-5: vector.load {{.*}} : memref<?xf32>, vector<8xf32>
// CHECK: scf.for {{.*}} step %c4 {
// CHECK-COUNT-20: math.fma {{.*}} : vector<8xf32>
// CHECK-COUNT-4: vector.store {{.*}} : memref<?xf32>, vector<8xf32>
// CHECK: scf.for {{.*}} step %c1 {
// CHECK-COUNT-5: math.fma
// CHECK: vector.store {{.*}} : memref<?xf32>, vector<4xf32>
// CHECK: vector.store {{.*}} : memref<?xf32>, vector<2xf32>
// CHECK-LABEL: func.func @matmul_1
// CHECK: scf.for {{.*}} step %c8 {
// CHECK-COUNT-5: vector.load {{.*}} : memref<?xf32>, vector<8xf32>
// CHECK: vector.shuffle {{.*}} [0, 1, 10, 3, 4, 5, 6, 15]
// CHECK: vector.shuffle {{.*}} [0, 5, 2, 7, 4, 1, 6, 3]
// CHECK-COUNT-10: math.fma {{.*}} : vector<8xf32>
// CHECK-COUNT-2: vector.store {{.*}} : memref<?xf32>, vector<8xf32>
// CHECK: scf.for {{.*}} step %c1 {
// CHECK-LABEL: func.func @matmul_2
// CHECK: scf.for {{.*}} step %c2 {
// CHECK-COUNT-20: math.fma {{.*}} : vector<8xf32>
// CHECK-COUNT-4: vector.store {{.*}} : memref<?xf32>, vector<8xf32>
// CHECK: scf.for {{.*}} step %c1 {
// WIDE-LABEL: func.func @matmul_0
// WIDE: scf.for
func.func @fewTerms(%x: tensor<?x5xf32, #tenon.dims<"n", "5">>, %p: tensor<1x5x32xf32>) -> (tensor<?x6xf32, #tenon.dims<"n", "6">>, tensor<?x2xf32, #tenon.dims<"n", "2">>, tensor<?x10xf32, #tenon.dims<"n", "10">>) {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<?x5xf32, #tenon.dims<"n", "5">>, tensor<1x5x32xf32>) -> tensor<?x6xf32, #tenon.dims<"n", "6">> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<?x5xf32, #tenon.dims<"n", "5">>, %b: tensor<1x5x32xf32>):
    %2 = tenon.packed_matmul %a, %b columns "6" : tensor<?x5xf32, #tenon.dims<"n", "5">>, tensor<1x5x32xf32>
    tenon.yield %2 : tensor<?x6xf32, #tenon.dims<"n", "6">>
  }
  %1 = tenon.kernel matmul(%x, %p) : (tensor<?x5xf32, #tenon.dims<"n", "5">>, tensor<1x5x32xf32>) -> tensor<?x2xf32, #tenon.dims<"n", "2">> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<?x5xf32, #tenon.dims<"n", "5">>, %b: tensor<1x5x32xf32>):
    %2 = tenon.packed_matmul %a, %b columns "2" : tensor<?x5xf32, #tenon.dims<"n", "5">>, tensor<1x5x32xf32>
    tenon.yield %2 : tensor<?x2xf32, #tenon.dims<"n", "2">>
  }
  %3 = tenon.kernel matmul(%x, %p) : (tensor<?x5xf32, #tenon.dims<"n", "5">>, tensor<1x5x32xf32>) -> tensor<?x10xf32, #tenon.dims<"n", "10">> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<?x5xf32, #tenon.dims<"n", "5">>, %b: tensor<1x5x32xf32>):
    %2 = tenon.packed_matmul %a, %b columns "10" : tensor<?x5xf32, #tenon.dims<"n", "5">>, tensor<1x5x32xf32>
    tenon.yield %2 : tensor<?x10xf32, #tenon.dims<"n", "10">>
  }
  return %0, %1, %3 : tensor<?x6xf32, #tenon.dims<"n", "6">>, tensor<?x2xf32, #tenon.dims<"n", "2">>, tensor<?x10xf32, #tenon.dims<"n", "10">>
}

// -----

// Four columns are half a vector of eight lanes, and have two terms side by side
// there: pairs of a row are loaded at once, and the sums of two rows are added up
// together. Of sixteen lanes they are a quarter, for four terms; so are the last
// two of 18 columns. One column has four terms of some rows in a vector, or eight
// of two rows in a wide one, whose halves are added up first; a row that is left has
// them in a narrow one. Two columns lie side by side, as many terms of one row in both.
// CHECK-LABEL: func.func @matmul_0
// CHECK: scf.for {{.*}} step %c8 {
// CHECK: vector.broadcast {{.*}} : f64 to vector<4xf64>
// CHECK-COUNT-56: math.fma {{.*}} : vector<8xf32>
// CHECK: arith.select
// CHECK: vector.shuffle {{.*}} [0, 2, 8, 10, 4, 6, 12, 14]
// CHECK: vector.shuffle {{.*}} [1, 3, 9, 11, 5, 7, 13, 15]
// CHECK: arith.addf
// CHECK: vector.shuffle {{.*}} [0, 1, 4, 5, 2, 3, 6, 7]
// CHECK: vector.store {{.*}} : memref<?xf32>, vector<4xf32>
// CHECK: scf.for {{.*}} step %c4 {
// CHECK: scf.for {{.*}} step %c1 {
// CHECK-LABEL: func.func @matmul_2
// CHECK: scf.for {{.*}} step %c8 {
// CHECK-COUNT-8: vector.load {{.*}} : memref<?xf32>, vector<4xf32>
// CHECK-COUNT-12: math.fma {{.*}} : vector<8xf32>
// CHECK-COUNT-3: arith.addf
// CHECK: vector.store {{.*}} : memref<?xf32>, vector<8xf32>
// CHECK-LABEL: func.func @matmul_3
// CHECK: scf.for {{.*}} step %c8 {
// CHECK: vector.shuffle {{.*}} [0, 1, 2, 3, 0, 1, 2, 3]
// CHECK-COUNT-31: math.fma {{.*}} : vector<8xf32>
// CHECK-COUNT-6: arith.addf
// CHECK-NOT: arith.addf
// CHECK: scf.for {{.*}} step %c1 {
// CHECK-COUNT-4: math.fma {{.*}} : vector<8xf32>
// CHECK: vector.store {{.*}} : memref<?xf32>, vector<2xf32>
// WIDE: arith.muli {{.*}}, %c13
// WIDE: vector.shuffle {{.*}} [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]
// WIDE-COUNT-32: math.fma {{.*}} : vector<16xf32>
// WIDE: arith.addf
// WIDE: vector.shuffle {{.*}} [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15]
// WIDE: vector.store {{.*}} : memref<?xf32>, vector<4xf32>
// WIDE: func.func @matmul_1
// WIDE: scf.for {{.*}} step %c4 {
// WIDE-COUNT-68: math.fma {{.*}} : vector<16xf32>
// WIDE: vector.store {{.*}} : memref<?xf32>, vector<16xf32>
// WIDE: vector.store {{.*}} : memref<?xf32>, vector<4xf32>
// WIDE: func.func @matmul_2
// WIDE: scf.for {{.*}} step %c16 {
// WIDE-COUNT-16: math.fma {{.*}} : vector<16xf32>
// WIDE: vector.shuffle {{.*}} [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]
// WIDE-COUNT-7: arith.addf
// WIDE: vector.store {{.*}} : memref<?xf32>, vector<16xf32>
// WIDE: scf.for {{.*}} step %c1 {
// WIDE-COUNT-2: math.fma {{.*}} : vector<8xf32>
// WIDE: func.func @matmul_3
// WIDE: scf.for {{.*}} step %c16 {
// WIDE-COUNT-32: math.fma {{.*}} : vector<16xf32>
func.func @termsSideBySide(%x: tensor<?x13xf32, #tenon.dims<"n", "13">>, %p: tensor<1x13x32xf32>) -> (tensor<?x4xf32, #tenon.dims<"n", "4">>, tensor<?x18xf32, #tenon.dims<"n", "18">>, tensor<?x1xf32, #tenon.dims<"n", "1">>, tensor<?x2xf32, #tenon.dims<"n", "2">>) {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<?x13xf32, #tenon.dims<"n", "13">>, tensor<1x13x32xf32>) -> tensor<?x4xf32, #tenon.dims<"n", "4">> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<?x13xf32, #tenon.dims<"n", "13">>, %b: tensor<1x13x32xf32>):
    %9 = tenon.packed_matmul %a, %b columns "4" : tensor<?x13xf32, #tenon.dims<"n", "13">>, tensor<1x13x32xf32>
    tenon.yield %9 : tensor<?x4xf32, #tenon.dims<"n", "4">>
  }
  %1 = tenon.kernel matmul(%x, %p) : (tensor<?x13xf32, #tenon.dims<"n", "13">>, tensor<1x13x32xf32>) -> tensor<?x18xf32, #tenon.dims<"n", "18">> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<?x13xf32, #tenon.dims<"n", "13">>, %b: tensor<1x13x32xf32>):
    %9 = tenon.packed_matmul %a, %b columns "18" : tensor<?x13xf32, #tenon.dims<"n", "13">>, tensor<1x13x32xf32>
    tenon.yield %9 : tensor<?x18xf32, #tenon.dims<"n", "18">>
  }
  %2 = tenon.kernel matmul(%x, %p) : (tensor<?x13xf32, #tenon.dims<"n", "13">>, tensor<1x13x32xf32>) -> tensor<?x1xf32, #tenon.dims<"n", "1">> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<?x13xf32, #tenon.dims<"n", "13">>, %b: tensor<1x13x32xf32>):
    %9 = tenon.packed_matmul %a, %b columns "1" : tensor<?x13xf32, #tenon.dims<"n", "13">>, tensor<1x13x32xf32>
    tenon.yield %9 : tensor<?x1xf32, #tenon.dims<"n", "1">>
  }
  %3 = tenon.kernel matmul(%x, %p) : (tensor<?x13xf32, #tenon.dims<"n", "13">>, tensor<1x13x32xf32>) -> tensor<?x2xf32, #tenon.dims<"n", "2">> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<?x13xf32, #tenon.dims<"n", "13">>, %b: tensor<1x13x32xf32>):
    %9 = tenon.packed_matmul %a, %b columns "2" : tensor<?x13xf32, #tenon.dims<"n", "13">>, tensor<1x13x32xf32>
    tenon.yield %9 : tensor<?x2xf32, #tenon.dims<"n", "2">>
  }
  return %0, %1, %2, %3 : tensor<?x4xf32, #tenon.dims<"n", "4">>, tensor<?x18xf32, #tenon.dims<"n", "18">>, tensor<?x1xf32, #tenon.dims<"n", "1">>, tensor<?x2xf32, #tenon.dims<"n", "2">>
}

// -----

// Three columns are stored by blends on eight lanes. On sixteen lanes six terms are three
// pairs, an odd number, each on other lanes in eight rows. Nine terms of two columns are
// turned eight at a time, by fewer operations than fours of them.
// CHECK-LABEL: func.func @matmul_0
// CHECK: scf.for {{.*}} step %c8 {
// CHECK-COUNT-9: math.fma {{.*}} : vector<8xf32>
// CHECK: vector.shuffle {{.*}} [0, 3, 6, 1, 4, 7, 2, 5]
// CHECK: vector.shuffle {{.*}} [0, 9, 2, 3, 12, 5, 6, 15]
// CHECK: vector.store {{.*}} : memref<?xf32>, vector<8xf32>
// WIDE: func.func @matmul_1
// WIDE: scf.for {{.*}} step %c16 {
// WIDE-COUNT-6: vector.load {{.*}} : memref<?xf32>, vector<16xf32>
// WIDE-COUNT-18: vector.shuffle
// WIDE-COUNT-18: math.fma {{.*}} : vector<16xf32>
// WIDE: func.func @matmul_2
// WIDE: scf.for {{.*}} step %c16 {
// WIDE-COUNT-16: vector.load {{.*}} : memref<?xf32>, vector<8xf32>
// WIDE: vector.shuffle {{.*}} [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]
// WIDE-COUNT-18: math.fma {{.*}} : vector<16xf32>
func.func @turned(%x: tensor<?x3xf32, #tenon.dims<"n", "3">>, %p: tensor<1x3x32xf32>, %y: tensor<?x6xf32, #tenon.dims<"n", "6">>, %q: tensor<1x6x32xf32>, %z: tensor<?x9xf32, #tenon.dims<"n", "9">>, %r: tensor<1x9x32xf32>) -> (tensor<?x3xf32, #tenon.dims<"n", "3">>, tensor<?x3xf32, #tenon.dims<"n", "3">>, tensor<?x2xf32, #tenon.dims<"n", "2">>) {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<?x3xf32, #tenon.dims<"n", "3">>, tensor<1x3x32xf32>) -> tensor<?x3xf32, #tenon.dims<"n", "3">> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<?x3xf32, #tenon.dims<"n", "3">>, %b: tensor<1x3x32xf32>):
    %9 = tenon.packed_matmul %a, %b columns "3" : tensor<?x3xf32, #tenon.dims<"n", "3">>, tensor<1x3x32xf32>
    tenon.yield %9 : tensor<?x3xf32, #tenon.dims<"n", "3">>
  }
  %1 = tenon.kernel matmul(%y, %q) : (tensor<?x6xf32, #tenon.dims<"n", "6">>, tensor<1x6x32xf32>) -> tensor<?x3xf32, #tenon.dims<"n", "3">> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<?x6xf32, #tenon.dims<"n", "6">>, %b: tensor<1x6x32xf32>):
    %9 = tenon.packed_matmul %a, %b columns "3" : tensor<?x6xf32, #tenon.dims<"n", "6">>, tensor<1x6x32xf32>
    tenon.yield %9 : tensor<?x3xf32, #tenon.dims<"n", "3">>
  }
  %2 = tenon.kernel matmul(%z, %r) : (tensor<?x9xf32, #tenon.dims<"n", "9">>, tensor<1x9x32xf32>) -> tensor<?x2xf32, #tenon.dims<"n", "2">> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<?x9xf32, #tenon.dims<"n", "9">>, %b: tensor<1x9x32xf32>):
    %9 = tenon.packed_matmul %a, %b columns "2" : tensor<?x9xf32, #tenon.dims<"n", "9">>, tensor<1x9x32xf32>
    tenon.yield %9 : tensor<?x2xf32, #tenon.dims<"n", "2">>
  }
  return %0, %1, %2 : tensor<?x3xf32, #tenon.dims<"n", "3">>, tensor<?x3xf32, #tenon.dims<"n", "3">>, tensor<?x2xf32, #tenon.dims<"n", "2">>
}

// -----

// Codes of numbers that are clamped first, by what the ends of the codes' type
// stand for. The quotient is finite and needs no other rounding than that of
// the sum with 1.5 * 2^23; what makes a number of a code takes it as an i32.
// CHECK-LABEL: func.func @map_0
// CHECK-DAG: %[[UNIT:.+]] = arith.constant dense<0x4B400000> : vector<8xf32>
// CHECK-DAG: %[[LEAST:.+]] = arith.constant dense<-1.500000e+00> : vector<8xf32>
// CHECK-DAG: %[[MOST:.+]] = arith.constant dense<1.260000e+02> : vector<8xf32>
// CHECK: %[[X:.+]] = vector.load
// CHECK: %[[ABOVE:.+]] = arith.cmpf ogt, %[[X]], %[[LEAST]]
// CHECK: %[[UP:.+]] = arith.select %[[ABOVE]], %[[X]], %[[LEAST]]
// CHECK: %[[BELOW:.+]] = arith.cmpf ogt, %[[MOST]], %[[UP]]
// CHECK: %[[INSIDE:.+]] = arith.select %[[BELOW]], %[[UP]], %[[MOST]]
// CHECK: %[[Q:.+]] = arith.divf %[[INSIDE]]
// CHECK: %[[SUM:.+]] = arith.addf %[[Q]], %[[UNIT]]
// CHECK: %[[BITS:.+]] = arith.bitcast %[[SUM]] : vector<8xf32> to vector<8xi32>
// CHECK: %[[CODE:.+]] = arith.addi %[[BITS]]
// CHECK: arith.trunci %[[CODE]] : vector<8xi32> to vector<8xi8>
// CHECK-NOT: math.roundeven
// CHECK-LABEL: func.func @map_1
// CHECK: memref.load {{.*}} : memref<?xi16>
// CHECK: scf.for
// CHECK: %[[X:.+]] = vector.load
// CHECK: arith.bitcast {{.*}} to vector<8xi32>
// CHECK: arith.cmpf uno, %[[X]], %[[X]]
// CHECK-NOT: arith.trunci
// CHECK: arith.sitofp {{.*}} : vector<8xi32> to vector<8xf32>
// WIDE-LABEL: func.func @map_0
// WIDE: math.fma {{.*}} : f32
// WIDE: math.fma {{.*}} : vector<16xf32>
// WIDE-NOT: math.fma
// WIDE-NOT: arith.cmpf uno
// WIDE: arith.bitcast {{.*}} to vector<16xi32>

// A scale that the model computes has its inverse taken, where that is a normal
// number; narrower vectors divide, and clamp the quotient.
// CHECK-LABEL: func.func @map_2
// CHECK: %[[Q:.+]] = arith.divf {{.*}} : vector<8xf32>
// CHECK: arith.cmpf ogt, %[[Q]]
// CHECK: arith.bitcast {{.*}} to vector<8xi32>
// WIDE-LABEL: func.func @map_2
// WIDE: %[[S:.+]] = memref.load {{.*}} : memref<?xf32>
// WIDE: scf.for
// WIDE: scf.for
// WIDE: arith.divf %{{.*}}, %[[S]] : f32
// WIDE: arith.cmpf ole, %{{.*}}, %[[S]]
// WIDE: scf.if
// WIDE: math.fma
// WIDE: math.fma
// WIDE: } else {
// WIDE: arith.divf {{.*}} : vector<16xf32>
// WIDE: }
// WIDE: arith.bitcast {{.*}} to vector<16xi32>
func.func @codes(%x: tensor<64xf32>, %z: tensor<i16>, %s: tensor<f32>, %u: tensor<ui8>) -> (tensor<64xui8>, tensor<64xf32>, tensor<64xui8>) {
  %0 = tenon.kernel map(%x) : (tensor<64xf32>) -> tensor<64xui8> tiling #tenon.cpu_elements<chunk = 64> {
  ^bb0(%a: tensor<64xf32>):
    %scale = tenon.constant dense<0.5> : tensor<f32>
    %inverse = tenon.constant dense<2.0> : tensor<f32>
    %zero = tenon.constant dense<3.0> : tensor<f32>
    %low = tenon.constant dense<0.0> : tensor<f32>
    %high = tenon.constant dense<255.0> : tensor<f32>
    %1 = tenon.quotient %a, %scale inverse %inverse : tensor<64xf32>, tensor<f32>, tensor<f32>
    %2 = tenon.round %1 : tensor<64xf32>
    %3 = tenon.add %2, %zero : tensor<64xf32>, tensor<f32>
    %4 = tenon.max %3, %low : tensor<64xf32>, tensor<f32>
    %5 = tenon.min %4, %high : tensor<64xf32>, tensor<f32>
    %6 = tenon.cast %5 to ui8 : tensor<64xf32>
    tenon.yield %6 : tensor<64xui8>
  }
  %10 = tenon.kernel map(%x, %z) : (tensor<64xf32>, tensor<i16>) -> tensor<64xf32> tiling #tenon.cpu_elements<chunk = 64> {
  ^bb0(%a: tensor<64xf32>, %b: tensor<i16>):
    %scale = tenon.constant dense<0.5> : tensor<f32>
    %inverse = tenon.constant dense<2.0> : tensor<f32>
    %low = tenon.constant dense<-128.0> : tensor<f32>
    %high = tenon.constant dense<127.0> : tensor<f32>
    %zero = tenon.cast %b to f32 : tensor<i16>
    %11 = tenon.quotient %a, %scale inverse %inverse : tensor<64xf32>, tensor<f32>, tensor<f32>
    %12 = tenon.round %11 : tensor<64xf32>
    %13 = tenon.add %12, %zero : tensor<64xf32>, tensor<f32>
    %14 = tenon.max %13, %low : tensor<64xf32>, tensor<f32>
    %15 = tenon.min %14, %high : tensor<64xf32>, tensor<f32>
    %16 = tenon.cast %15 to i8 : tensor<64xf32>
    %17 = tenon.cast %16 to f32 : tensor<64xi8>
    tenon.yield %17 : tensor<64xf32>
  }
  %20 = tenon.kernel map(%x, %s, %u) : (tensor<64xf32>, tensor<f32>, tensor<ui8>) -> tensor<64xui8> tiling #tenon.cpu_elements<chunk = 64> {
  ^bb0(%a: tensor<64xf32>, %b: tensor<f32>, %c: tensor<ui8>):
    %low = tenon.constant dense<0.0> : tensor<f32>
    %high = tenon.constant dense<255.0> : tensor<f32>
    %zero = tenon.cast %c to f32 : tensor<ui8>
    %21 = tenon.div %a, %b : tensor<64xf32>, tensor<f32>
    %22 = tenon.round %21 : tensor<64xf32>
    %23 = tenon.add %22, %zero : tensor<64xf32>, tensor<f32>
    %24 = tenon.max %23, %low : tensor<64xf32>, tensor<f32>
    %25 = tenon.min %24, %high : tensor<64xf32>, tensor<f32>
    %26 = tenon.cast %25 to ui8 : tensor<64xf32>
    tenon.yield %26 : tensor<64xui8>
  }
  return %0, %10, %20 : tensor<64xui8>, tensor<64xf32>, tensor<64xui8>
}

// -----

// So they are by two panels, where rows of several rounds leave what lies behind
// them alone, and so are 31 terms by one.
// CHECK-LABEL: func.func @matmul_0
// CHECK-NOT: call
// CHECK: scf.for
// CHECK-COUNT-10: math.fma {{.*}} : vector<8xf32>
// CHECK-LABEL: func.func @matmul_1
// CHECK-NOT: call
// CHECK: scf.for
// CHECK-COUNT-124: math.fma {{.*}} : vector<8xf32>
// WIDE-LABEL: func.func @matmul_0
// WIDE: scf.for
// WIDE-COUNT-6: math.fma {{.*}} : vector<16xf32>
func.func @fewTermsOfPanels(%x: tensor<?x1xf32, #tenon.dims<"n", "1">>, %p: tensor<2x1x32xf32>, %y: tensor<?x31xf32, #tenon.dims<"n", "31">>, %q: tensor<1x31x32xf32>) -> (tensor<?x33xf32, #tenon.dims<"n", "33">>, tensor<?x16xf32, #tenon.dims<"n", "16">>) {
  %0 = tenon.kernel matmul(%x, %p) : (tensor<?x1xf32, #tenon.dims<"n", "1">>, tensor<2x1x32xf32>) -> tensor<?x33xf32, #tenon.dims<"n", "33">> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<?x1xf32, #tenon.dims<"n", "1">>, %b: tensor<2x1x32xf32>):
    %2 = tenon.packed_matmul %a, %b columns "33" : tensor<?x1xf32, #tenon.dims<"n", "1">>, tensor<2x1x32xf32>
    tenon.yield %2 : tensor<?x33xf32, #tenon.dims<"n", "33">>
  }
  %1 = tenon.kernel matmul(%y, %q) : (tensor<?x31xf32, #tenon.dims<"n", "31">>, tensor<1x31x32xf32>) -> tensor<?x16xf32, #tenon.dims<"n", "16">> tiling #tenon.cpu_matmul<task = 192 x 2, tile = 6 x 2, block_bytes = 786432, chunk = 512> {
  ^bb0(%a: tensor<?x31xf32, #tenon.dims<"n", "31">>, %b: tensor<1x31x32xf32>):
    %2 = tenon.packed_matmul %a, %b columns "16" : tensor<?x31xf32, #tenon.dims<"n", "31">>, tensor<1x31x32xf32>
    tenon.yield %2 : tensor<?x16xf32, #tenon.dims<"n", "16">>
  }
  return %0, %1 : tensor<?x33xf32, #tenon.dims<"n", "33">>, tensor<?x16xf32, #tenon.dims<"n", "16">>
}

// -----

// Three elements of each place: vectors of them are joined one after the other.
// CHECK-LABEL: func.func @map_0
// CHECK-COUNT-3: vector.load
// CHECK: %[[P:.+]] = vector.shuffle %{{.+}}, %{{.+}} [0, 8, 2, 1, 9, 5, 2, 10] : vector<8xf32>, vector<8xf32>
// CHECK: %[[V:.+]] = vector.shuffle %[[P]], %{{.+}} [0, 1, 8, 3, 4, 9, 6, 7] : vector<8xf32>, vector<8xf32>
// CHECK: vector.store %[[V]]
// CHECK-NOT: vector.gather
func.func @three(%x: tensor<3x60xf32>) -> tensor<60x3xf32> {
  %0 = tenon.kernel map(%x) : (tensor<3x60xf32>) -> tensor<60x3xf32> tiling #tenon.cpu_elements<chunk = 128> {
  ^bb0(%a: tensor<3x60xf32>):
    %1 = tenon.transpose %a [1, 0] : tensor<3x60xf32>
    tenon.yield %1 : tensor<60x3xf32>
  }
  return %0 : tensor<60x3xf32>
}

// -----

// Of 20 columns four have their lanes along the runs: behind their sums lies any
// number, of which nothing is computed.
// CHECK-LABEL: func.func @matmul_0
// CHECK: %[[SUMS:.+]] = vector.maskedload {{.*}} : memref<384xf32>, vector<8xi1>
// CHECK-NEXT: %[[BIAS:.+]] = vector.maskedload
// CHECK-NEXT: %[[SUM:.+]] = arith.addf %[[SUMS]], %[[BIAS]]
// CHECK-NEXT: math.exp %[[SUM]]
func.func @columnsBehind(%x: tensor<1x8x26x10xf32>, %p: tensor<1x90x32xf32>, %bias: tensor<20xf32>) -> tensor<1x144x20xf32> {
  %0 = tenon.kernel matmul(%x, %p, %bias) : (tensor<1x8x26x10xf32>, tensor<1x90x32xf32>, tensor<20xf32>) -> tensor<1x144x20xf32> tiling #tenon.cpu_conv<positions = 1024, panels = 2, tile = 6 x 2, chunk = 1024> {
  ^bb0(%a: tensor<1x8x26x10xf32>, %b: tensor<1x90x32xf32>, %c: tensor<20xf32>):
    %1 = tenon.im2col %a kernel [3, 3] strides [1, 1] pads [0, 0, 0, 0] dilations [1, 1] channels_last : tensor<1x8x26x10xf32>
    %2 = tenon.packed_matmul %1, %b columns "20" : tensor<1x144x90xf32>, tensor<1x90x32xf32>
    %3 = tenon.add %2, %c : tensor<1x144x20xf32>, tensor<20xf32>
    %4 = tenon.exp %3 : tensor<1x144x20xf32>
    tenon.yield %4 : tensor<1x144x20xf32>
  }
  return %0 : tensor<1x144x20xf32>
}
