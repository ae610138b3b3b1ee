// RUN: tenon-opt %s --tenon-pack-matmul --tenon-merge-matmul | FileCheck %s

// CHECK-LABEL: @biasOfOne
// CHECK-DAG: %[[W:.+]] = tenon.pack_b %{{.+}} : tensor<64x64xf32>
// CHECK-DAG: %[[V:.+]] = tenon.pack_b %{{.+}} : tensor<64x32xf32>
// CHECK: %[[P:.+]] = tenon.concat %[[W]], %[[V]] axis 0
// CHECK: %[[M:.+]] = tenon.packed_matmul %arg0, %[[P]] columns "96"
// CHECK: %[[B:.+]] = tenon.constant {{.*}}tensor<96xf32>
// CHECK: %[[S:.+]] = tenon.add %[[M]], %[[B]]
// CHECK: tenon.slice %[[S]] from <"0", "0"> step [1, 1] to <"4", "64">
// CHECK: tenon.slice %[[S]] from <"0", "64"> step [1, 1] to <"4", "32">
// CHECK-NOT: tenon.add
func.func @biasOfOne(%x: tensor<4x64xf32>) -> (tensor<2x2x64xf32>, tensor<32x4xf32>) {
  %w = tenon.constant dense<1.0> : tensor<64x64xf32>
  %v = tenon.constant dense<2.0> : tensor<64x32xf32>
  %c = tenon.constant dense<3.0> : tensor<32xf32>
  %0 = tenon.matmul %x, %w : tensor<4x64xf32>, tensor<64x64xf32>
  %1 = tenon.matmul %x, %v : tensor<4x64xf32>, tensor<64x32xf32>
  %2 = tenon.add %1, %c : tensor<4x32xf32>, tensor<32xf32>
  %3 = tenon.reshape %0 to <"2", "2", "64"> : tensor<4x64xf32>
  %4 = tenon.transpose %2 [1, 0] : tensor<4x32xf32>
  return %3, %4 : tensor<2x2x64xf32>, tensor<32x4xf32>
}

// An activation is the end of its own matmul; 40 columns are no whole panels.
// CHECK-LABEL: @keepsEpilogues
// CHECK-NOT: tenon.concat
func.func @keepsEpilogues(%x: tensor<4x64xf32>) -> (tensor<4x64xf32>, tensor<64x4xf32>, tensor<40x4xf32>) {
  %w = tenon.constant dense<1.0> : tensor<64x64xf32>
  %u = tenon.constant dense<2.0> : tensor<64x64xf32>
  %v = tenon.constant dense<2.0> : tensor<64x40xf32>
  %0 = tenon.matmul %x, %w : tensor<4x64xf32>, tensor<64x64xf32>
  %1 = tenon.matmul %x, %u : tensor<4x64xf32>, tensor<64x64xf32>
  %2 = tenon.matmul %x, %v : tensor<4x64xf32>, tensor<64x40xf32>
  %3 = tenon.gelu %0 : tensor<4x64xf32>
  %4 = tenon.transpose %1 [1, 0] : tensor<4x64xf32>
  %5 = tenon.transpose %2 [1, 0] : tensor<4x40xf32>
  return %3, %4, %5 : tensor<4x64xf32>, tensor<64x4xf32>, tensor<40x4xf32>
}

// A gate and what it lets through come together: one matmul, whatever the
// activation, though neither result is only moved; a third that does not take
// part stays alone.
// CHECK-LABEL: @gated
// CHECK: %[[P:.+]] = tenon.concat %{{.+}}, %{{.+}} axis 0 : tensor<3x64x32xf32>, tensor<3x64x32xf32>
// CHECK: %[[M:.+]] = tenon.packed_matmul %arg0, %[[P]] columns "192"
// CHECK: %[[A:.+]] = tenon.slice %[[M]] from <"0", "0"> step [1, 1] to <"m", "96">
// CHECK: %[[B:.+]] = tenon.slice %[[M]] from <"0", "96"> step [1, 1] to <"m", "96">
// CHECK: tenon.packed_matmul %arg0, %{{.+}} columns "96"
// CHECK: %[[S:.+]] = tenon.add %[[A]]
// CHECK: %[[T:.+]] = tenon.gelu %[[S]]
// CHECK: tenon.mul %[[T]], %[[B]]
func.func @gated(%x: tensor<?x64xf32, #tenon.dims<"m", "64">>, %b: tensor<96xf32>) -> (tensor<?x96xf32, #tenon.dims<"m", "96">>, tensor<?x96xf32, #tenon.dims<"m", "96">>) {
  %w = tenon.constant dense<1.0> : tensor<64x96xf32>
  %u = tenon.constant dense<2.0> : tensor<64x96xf32>
  %v = tenon.constant dense<3.0> : tensor<64x96xf32>
  %0 = tenon.matmul %x, %w : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<64x96xf32>
  %1 = tenon.matmul %x, %u : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<64x96xf32>
  %2 = tenon.matmul %x, %v : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<64x96xf32>
  %3 = tenon.add %0, %b : tensor<?x96xf32, #tenon.dims<"m", "96">>, tensor<96xf32>
  %4 = tenon.gelu %3 : tensor<?x96xf32, #tenon.dims<"m", "96">>
  %5 = tenon.mul %4, %2 : tensor<?x96xf32, #tenon.dims<"m", "96">>, tensor<?x96xf32, #tenon.dims<"m", "96">>
  %6 = tenon.exp %1 : tensor<?x96xf32, #tenon.dims<"m", "96">>
  return %5, %6 : tensor<?x96xf32, #tenon.dims<"m", "96">>, tensor<?x96xf32, #tenon.dims<"m", "96">>
}

// Something else reads the gate: it is stored, and so is each product.
// CHECK-LABEL: @gateIsRead
// CHECK-NOT: tenon.concat
func.func @gateIsRead(%x: tensor<4x64xf32>) -> (tensor<4x64xf32>, tensor<4xf32>) {
  %w = tenon.constant dense<1.0> : tensor<64x64xf32>
  %u = tenon.constant dense<2.0> : tensor<64x64xf32>
  %0 = tenon.matmul %x, %w : tensor<4x64xf32>, tensor<64x64xf32>
  %1 = tenon.matmul %x, %u : tensor<4x64xf32>, tensor<64x64xf32>
  %2 = tenon.silu %0 : tensor<4x64xf32>
  %3 = tenon.mul %2, %1 : tensor<4x64xf32>, tensor<4x64xf32>
  %4 = tenon.reduce sum %2 over [1] : tensor<4x64xf32>
  return %3, %4 : tensor<4x64xf32>, tensor<4xf32>
}

// Products of integers: what each weight has of its own, sums of columns, scales
// and biases, stands side by side; what the rows have is one for all. The last
// weight has no bias.
// CHECK-LABEL: @integers
// CHECK: %[[P:.+]] = tenon.concat %{{.+}}, %{{.+}}, %{{.+}} axis 0 : tensor<2x2112xui8>, tensor<1x2112xui8>, tensor<1x2112xui8>
// CHECK: %[[M:.+]] = tenon.packed_matmul %arg0, %[[P]] columns "128" as <i8 block 16>
// CHECK: %[[SUMS:.+]] = tenon.constant dense<{{.+}}> : tensor<128xi32>
// CHECK: %[[WIDE:.+]] = tenon.broadcast_to %[[SUMS]] to <"m", "128">
// CHECK: %[[OFF:.+]] = tenon.mul %[[WIDE]], %arg1
// CHECK: %[[D:.+]] = tenon.sub %[[M]], %[[OFF]]
// CHECK: %[[F:.+]] = tenon.cast %[[D]] to f32
// CHECK: %[[FACTORS:.+]] = tenon.constant dense<{{.+}}> : tensor<128xf32>
// CHECK: %[[SCALE:.+]] = tenon.mul %arg2, %[[FACTORS]]
// CHECK: %[[Y:.+]] = tenon.mul %[[F]], %[[SCALE]]
// CHECK: %[[B:.+]] = tenon.constant dense<{{.+}}> : tensor<128xf32>
// CHECK: %[[Z:.+]] = tenon.add %[[Y]], %[[B]]
// CHECK: tenon.slice %[[Z]] from <"0", "0"> step [1, 1] to <"m", "64">
// CHECK: tenon.slice %[[Z]] from <"0", "64"> step [1, 1] to <"m", "32">
// CHECK: tenon.slice %[[Z]] from <"0", "96"> step [1, 1] to <"m", "32">
// CHECK-NOT: tenon.packed_matmul
func.func @integers(%q: tensor<?x64xui8, #tenon.dims<"m", "64">>, %z: tensor<i32>, %s: tensor<f32>) -> (tensor<?x2x32xf32, #tenon.dims<"m", "2", "32">>, tensor<?x2x16xf32, #tenon.dims<"m", "2", "16">>, tensor<?x2x16xf32, #tenon.dims<"m", "2", "16">>) {
  %w = tenon.constant dense<3> : tensor<64x64xi8>
  %v = tenon.constant dense<-5> : tensor<64x32xi8>
  %fw = tenon.constant dense<0.5> : tensor<f32>
  %fv = tenon.constant dense<0.25> : tensor<f32>
  %u = tenon.constant dense<7> : tensor<64x32xi8>
  %fu = tenon.constant dense<0.125> : tensor<f32>
  %bw = tenon.constant dense<1.0> : tensor<64xf32>
  %bv = tenon.constant dense<2.0> : tensor<32xf32>
  %a = tenon.cast %q to i32 : tensor<?x64xui8, #tenon.dims<"m", "64">>
  %c = tenon.sub %a, %z : tensor<?x64xi32, #tenon.dims<"m", "64">>, tensor<i32>
  %wi = tenon.cast %w to i32 : tensor<64x64xi8>
  %vi = tenon.cast %v to i32 : tensor<64x32xi8>
  %0 = tenon.matmul %c, %wi : tensor<?x64xi32, #tenon.dims<"m", "64">>, tensor<64x64xi32>
  %1 = tenon.cast %0 to f32 : tensor<?x64xi32, #tenon.dims<"m", "64">>
  %2 = tenon.mul %s, %fw : tensor<f32>, tensor<f32>
  %3 = tenon.mul %1, %2 : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<f32>
  %4 = tenon.add %3, %bw : tensor<?x64xf32, #tenon.dims<"m", "64">>, tensor<64xf32>
  %5 = tenon.reshape %4 to <"m", "2", "32"> : tensor<?x64xf32, #tenon.dims<"m", "64">>
  %6 = tenon.matmul %c, %vi : tensor<?x64xi32, #tenon.dims<"m", "64">>, tensor<64x32xi32>
  %7 = tenon.cast %6 to f32 : tensor<?x32xi32, #tenon.dims<"m", "32">>
  %8 = tenon.mul %s, %fv : tensor<f32>, tensor<f32>
  %9 = tenon.mul %7, %8 : tensor<?x32xf32, #tenon.dims<"m", "32">>, tensor<f32>
  %10 = tenon.add %9, %bv : tensor<?x32xf32, #tenon.dims<"m", "32">>, tensor<32xf32>
  %11 = tenon.reshape %10 to <"m", "2", "16"> : tensor<?x32xf32, #tenon.dims<"m", "32">>
  %ui = tenon.cast %u to i32 : tensor<64x32xi8>
  %12 = tenon.matmul %c, %ui : tensor<?x64xi32, #tenon.dims<"m", "64">>, tensor<64x32xi32>
  %13 = tenon.cast %12 to f32 : tensor<?x32xi32, #tenon.dims<"m", "32">>
  %14 = tenon.mul %s, %fu : tensor<f32>, tensor<f32>
  %15 = tenon.mul %13, %14 : tensor<?x32xf32, #tenon.dims<"m", "32">>, tensor<f32>
  %16 = tenon.reshape %15 to <"m", "2", "16"> : tensor<?x32xf32, #tenon.dims<"m", "32">>
  return %5, %11, %16 : tensor<?x2x32xf32, #tenon.dims<"m", "2", "32">>, tensor<?x2x16xf32, #tenon.dims<"m", "2", "16">>, tensor<?x2x16xf32, #tenon.dims<"m", "2", "16">>
}
