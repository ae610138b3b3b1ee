// RUN: tenon-opt %s --split-input-file --tenon-form-kernels --tenon-tile=family=gpu --tenon-emit-kernels=family=gpu --canonicalize | FileCheck %s
// RUN: tenon-opt %s --split-input-file --tenon-form-kernels --tenon-tile=family=gpu | FileCheck %s --check-prefix=TILE
// RUN: tenon-opt %s --split-input-file --tenon-form-kernels --tenon-tile="family=gpu products=bf16" --tenon-emit-kernels=family=gpu | FileCheck %s --check-prefix=BF16
// RUN: not tenon-opt %s --split-input-file --tenon-tile="family=gpu products=f64" 2>&1 | FileCheck %s --check-prefix=PRODUCTS

// PRODUCTS: error: expected products tf32x3, tf32, bf16 or f16, found f64

// A thread has four neighbours where they divide the rows, and says how they are
// aligned: 16 bytes at a time.
// TILE-LABEL: @four
// TILE: tenon.kernel map{{.*}} tiling #tenon.gpu_threads<threads = 256, elements = 4>
// CHECK-LABEL: func.func @map_0
// CHECK: vector.load {{.*}} {alignment = 16 : i64} : memref<?xf32>, vector<4xf32>
// CHECK: vector.store {{.*}} {alignment = 16 : i64} : memref<?xf32>, vector<4xf32>
func.func @four(%x: tensor<?x64xf32, #tenon.dims<"m", "64">>) -> tensor<?x64xf32, #tenon.dims<"m", "64">> {
  %0 = tenon.neg %x : tensor<?x64xf32, #tenon.dims<"m", "64">>
  return %0 : tensor<?x64xf32, #tenon.dims<"m", "64">>
}

// -----

// Of rows whose padding the four may meet each is looked at: there are no masks.
// TILE-LABEL: @padded
// TILE: tiling #tenon.gpu_threads<threads = 256, elements = 4>
// CHECK-LABEL: func.func @map_0
// CHECK-NOT: vector.create_mask
// CHECK: vector.load {{.*}} : memref<?xf32>, vector<4xf32>
// CHECK-NOT: vector.create_mask
// CHECK: return
func.func @padded(%x: tensor<?x14xf32, #tenon.dims<"m", "14">>) -> tensor<?x16xf32, #tenon.dims<"m", "16">> {
  %v = tenon.constant dense<0.0> : tensor<f32>
  %0 = tenon.pad constant %x, %v low <"0", "1"> high <"0", "1"> : tensor<?x14xf32, #tenon.dims<"m", "14">>, tensor<f32>
  return %0 : tensor<?x16xf32, #tenon.dims<"m", "16">>
}

// -----

// Any other element is a thread's own.
// TILE-LABEL: @one
// TILE: tiling #tenon.gpu_threads<threads = 256, elements = 1>
// CHECK-LABEL: func.func @map_0
// CHECK: memref.load
// CHECK-NOT: vector.
func.func @one(%x: tensor<?xf32, #tenon.dims<"n">>) -> tensor<?xf32, #tenon.dims<"n">> {
  %0 = tenon.neg %x : tensor<?xf32, #tenon.dims<"n">>
  return %0 : tensor<?xf32, #tenon.dims<"n">>
}

// -----

// A row is a block's: its threads take every so many-th group of four; sums go
// through the lanes, the warps and shared memory.
// TILE-LABEL: @row
// TILE: tenon.kernel row{{.*}} tiling #tenon.gpu_blocks<threads = 96, elements = 4>
// CHECK: llvm.mlir.global internal @tenon_partials_32() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<32 x i32>
// CHECK-LABEL: func.func @row_0
// CHECK: nvvm.read.ptx.sreg.tid.x
// CHECK: scf.for %{{.*}} = %{{.*}} to %c384 step %c384
// CHECK: nvvm.shfl.sync bfly
// CHECK: nvvm.barrier
// CHECK: llvm.store {{.*}} !llvm.ptr<3>
// CHECK: nvvm.barrier
// CHECK: llvm.load {{.*}} !llvm.ptr<3>
func.func @row(%x: tensor<?x384xf32, #tenon.dims<"m", "384">>) -> tensor<?x384xf32, #tenon.dims<"m", "384">> {
  %0 = tenon.softmax %x : tensor<?x384xf32, #tenon.dims<"m", "384">>
  return %0 : tensor<?x384xf32, #tenon.dims<"m", "384">>
}

// -----

// A reduction of what lies together is a block's as well; one of a few elements,
// or of another dim, a thread's.
// TILE-LABEL: @reductions
// TILE: tiling #tenon.gpu_blocks<threads = 32, elements = 4>
// TILE: tiling #tenon.gpu_threads<threads = 256, elements = 1>
// CHECK-LABEL: func.func @map_0
// CHECK: nvvm.shfl.sync bfly
// CHECK-NOT: nvvm.barrier
// CHECK-LABEL: func.func @map_1
// CHECK-NOT: nvvm.
func.func @reductions(%x: tensor<?x64xf32, #tenon.dims<"m", "64">>) -> (tensor<?xf32, #tenon.dims<"m">>, tensor<64xf32>) {
  %0 = tenon.reduce sum %x over [1] : tensor<?x64xf32, #tenon.dims<"m", "64">>
  %1 = tenon.reduce sum %x over [0] : tensor<?x64xf32, #tenon.dims<"m", "64">>
  return %0, %1 : tensor<?xf32, #tenon.dims<"m">>, tensor<64xf32>
}

// -----

// A wrong index is noted by the first thread that meets one, in a record that is
// claimed.
// TILE-LABEL: @gather
// CHECK-LABEL: func.func @map_0
// CHECK-SAME: %[[ERROR:[^ ]+]]: memref<?xi64>, %{{[^ ]+}}: memref<?xf32>, %{{[^ ]+}}: memref<?xi64>
// CHECK: memref.generic_atomic_rmw %[[ERROR]]
// CHECK: memref.store {{.*}}, %[[ERROR]]
// CHECK: return %c0_i32
func.func @gather(%x: tensor<9x8xf32>, %i: tensor<?xi64, #tenon.dims<"n">>) -> tensor<?x8xf32, #tenon.dims<"n", "8">> {
  %0 = tenon.gather %x, %i axis 0 : tensor<9x8xf32>, tensor<?xi64, #tenon.dims<"n">>
  return %0 : tensor<?x8xf32, #tenon.dims<"n", "8">>
}

// -----

// A product is a block's tensor cores'. Both operands are copied asynchronously;
// an f32 is three products of tf32.
// TILE-LABEL: @matmul
// TILE: tenon.kernel matmul{{.*}} tiling #tenon.gpu_matmul<tile = 64 x 64, stages = 3, products = tf32x3>
// CHECK: llvm.mlir.global internal @matmul_0_ring() {addr_space = 3 : i32
// CHECK-LABEL: func.func @matmul_0
// CHECK: nvvm.cp.async.shared.global {{.*}}, 16, cache = cg
// CHECK: nvvm.cp.async.commit.group
// CHECK: scf.for {{.*}} iter_args
// CHECK: nvvm.cp.async.wait.group 1
// CHECK-NEXT: nvvm.barrier
// CHECK: nvvm.convert.float.to.tf32
// CHECK-COUNT-48: nvvm.mma.sync {{.*}}multiplicandAPtxType = #nvvm.mma_type<tf32>
// CHECK: nvvm.cp.async.wait.group 0
// BF16-LABEL: func.func @matmul_0
// BF16-COUNT-8: nvvm.mma.sync {{.*}}multiplicandAPtxType = #nvvm.mma_type<bf16>
func.func @matmul(%x: tensor<?x64xf32, #tenon.dims<"m", "64">>, %p: tensor<2x64x32xf32>) -> tensor<?x64xf32, #tenon.dims<"m", "64">> {
  %0 = tenon.packed_matmul %x, %p columns "64" : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<2x64x32xf32>
  return %0 : tensor<?x64xf32, #tenon.dims<"m", "64">>
}

// -----

// A long K is split where there may be few rows: a warp of 16 of them has a
// range, a ring of its own, and waits for nobody before its sums are there. Two
// blocks have four ranges each; the one that counts last adds up. Many rows are
// tiles, whose sums are those of the same ranges.
// TILE-LABEL: @split
// TILE: tiling #tenon.gpu_matmul<tile = 64 x 64, stages = 3, split = 8, products = tf32x3>
// CHECK-LABEL: func.func @matmul_0
// CHECK: scf.if
// CHECK: scf.for {{.*}} iter_args
// CHECK: nvvm.cp.async.wait.group 1
// CHECK-NEXT: nvvm.bar.warp.sync
// CHECK-COUNT-24: nvvm.mma.sync
// CHECK-NOT: nvvm.mma.sync
// CHECK: nvvm.barrier
// CHECK: vector.store
// CHECK: nvvm.barrier
// CHECK: llvm.fence syncscope("device") acq_rel
// CHECK: llvm.atomicrmw uinc_wrap {{.*}} syncscope("device") monotonic
// CHECK-NEXT: llvm.fence syncscope("device") acq_rel
// CHECK: nvvm.barrier
// CHECK: scf.if
// CHECK: scf.for %{{[^ ]+}} = %c0 to %c8 step %c1 iter_args
// CHECK: scf.for {{.*}} iter_args
// CHECK: nvvm.cp.async.wait.group 1
// CHECK-NEXT: nvvm.barrier
// CHECK-COUNT-48: nvvm.mma.sync
func.func @split(%x: tensor<?x256xf32, #tenon.dims<"m", "256">>, %p: tensor<2x256x32xf32>) -> tensor<?x64xf32, #tenon.dims<"m", "64">> {
  %0 = tenon.packed_matmul %x, %p columns "64" : tensor<?x256xf32, #tenon.dims<"m", "256">>, tensor<2x256x32xf32>
  return %0 : tensor<?x64xf32, #tenon.dims<"m", "64">>
}

// -----

// Attention: rows of queries stay, keys and values come 32 at a time; a row's
// four threads agree on its largest score by shuffles.
// TILE-LABEL: @attention
// TILE: tenon.kernel attention{{.*}} tiling #tenon.gpu_attention<rows = 64, products = tf32x3>
// CHECK: llvm.mlir.global internal @attention_0_tiles() {addr_space = 3 : i32
// CHECK-LABEL: func.func @attention_0
// CHECK: nvvm.cp.async.shared.global
// CHECK: scf.for {{.*}} iter_args
// CHECK: nvvm.cp.async.wait.group 0
// CHECK: nvvm.barrier
// CHECK: nvvm.mma.sync
// CHECK: nvvm.barrier
// CHECK: nvvm.cp.async.wait.group 1
// CHECK-NEXT: nvvm.barrier
// CHECK-COUNT-2: nvvm.shfl.sync bfly
// CHECK: math.exp
// CHECK: nvvm.mma.sync
func.func @attention(%q: tensor<4x?x64xf32, #tenon.dims<"4", "m", "64">>, %k: tensor<4x3x64x32xf32>, %v: tensor<4x2x96x32xf32>)
    -> tensor<4x?x64xf32, #tenon.dims<"4", "m", "64">> {
  %0 = tenon.packed_matmul %q, %k columns "96" : tensor<4x?x64xf32, #tenon.dims<"4", "m", "64">>, tensor<4x3x64x32xf32>
  %1 = tenon.softmax %0 : tensor<4x?x96xf32, #tenon.dims<"4", "m", "96">>
  %2 = tenon.packed_matmul %1, %v columns "64" : tensor<4x?x96xf32, #tenon.dims<"4", "m", "96">>, tensor<4x2x96x32xf32>
  return %2 : tensor<4x?x64xf32, #tenon.dims<"4", "m", "64">>
}

// -----

// Wide heads need more shared memory than there is without asking: its size is
// the launch's.
// TILE-LABEL: @wide_heads
// TILE: tenon.kernel attention{{.*}} tiling #tenon.gpu_attention<rows = 64, products = tf32x3>
// CHECK: llvm.mlir.global external @attention_0_tiles() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<0 x f32>
// CHECK-LABEL: func.func @attention_0
func.func @wide_heads(%q: tensor<4x?x128xf32, #tenon.dims<"4", "m", "128">>, %k: tensor<4x3x128x32xf32>, %v: tensor<4x4x96x32xf32>)
    -> tensor<4x?x128xf32, #tenon.dims<"4", "m", "128">> {
  %0 = tenon.packed_matmul %q, %k columns "96" : tensor<4x?x128xf32, #tenon.dims<"4", "m", "128">>, tensor<4x3x128x32xf32>
  %1 = tenon.softmax %0 : tensor<4x?x96xf32, #tenon.dims<"4", "m", "96">>
  %2 = tenon.packed_matmul %1, %v columns "128" : tensor<4x?x96xf32, #tenon.dims<"4", "m", "96">>, tensor<4x4x96x32xf32>
  return %2 : tensor<4x?x128xf32, #tenon.dims<"4", "m", "128">>
}

// -----

// A recurrent layer's codes are read out of panels, where four rows of a column
// lie side by side.
// CHECK-LABEL: func.func @recurrence_0
// CHECK: arith.divui %[[C:.+]], %c32
// CHECK: %[[COLUMN:.+]] = arith.remui %[[C]], %c32
// CHECK: arith.muli %[[COLUMN]], %c4
// CHECK: %[[CODE:.+]] = memref.load %{{.*}} : memref<?xi8>
// CHECK: arith.sitofp %[[CODE]] : i8 to f32
func.func @codes(%x: tensor<5x3x32xf32>, %w: tensor<1x256xui8>, %s: tensor<1x1xf32>, %c: tensor<1x32xi32>) -> tensor<7x1x3x8xf32> {
  %0 = tenon.recurrent lstm %x, %w scale %s sums %c units 8 as <i8> : tensor<5x3x32xf32>, tensor<1x256xui8> scale tensor<1x1xf32> sums tensor<1x32xi32>
  return %0 : tensor<7x1x3x8xf32>
}
