// RUN: tenon-opt %s --tenon-hoist-invariants | FileCheck %s

// What packs a value from before the loop is done once, with the transpose that
// it reads; what reads the iteration's values stays.

// CHECK-LABEL: @packing
// CHECK: %[[T:.+]] = tenon.transpose %arg0
// CHECK: %[[P:.+]] = tenon.pack_b %[[T]]
// CHECK: tenon.loop "loop"
// CHECK-NOT: tenon.pack_b
// CHECK: tenon.packed_matmul %{{.*}}, %[[P]]
func.func @packing(%w: tensor<8x8xf32>, %h: tensor<1x8xf32>) -> tensor<1x8xf32> {
  %0 = tenon.loop "loop"(%h) trips "5" : (tensor<1x8xf32>) -> tensor<1x8xf32> {
  ^bb0(%number: tensor<i64>, %before: tensor<1x8xf32>):
    %t = tenon.transpose %w [1, 0] : tensor<8x8xf32>
    %p = tenon.pack_b %t : tensor<8x8xf32>
    %y = tenon.packed_matmul %before, %p columns "8" : tensor<1x8xf32>, tensor<1x8x32xf32>
    tenon.yield %y : tensor<1x8xf32>
  }
  return %0 : tensor<1x8xf32>
}

// A constant's panels are stored when compiling: nothing to move. Nor is what
// only moves elements, a single number, what repeats its operands, or what may
// end the run with an error.

// CHECK-LABEL: @stays
// CHECK: tenon.loop "loop"
// CHECK: tenon.transpose %arg0
// CHECK: tenon.neg
// CHECK: tenon.add
// CHECK: tenon.gather
// CHECK: tenon.pack_b
func.func @stays(%w: tensor<8x8xf32>, %h: tensor<8x8xf32>, %s: tensor<f32>, %r: tensor<8x1xf32>, %q: tensor<1x8xf32>, %i: tensor<8xi64>) -> tensor<8x8xf32> {
  %c = tenon.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %0 = tenon.loop "loop"(%h) trips "5" : (tensor<8x8xf32>) -> tensor<8x8xf32> {
  ^bb0(%number: tensor<i64>, %before: tensor<8x8xf32>):
    %t = tenon.transpose %w [1, 0] : tensor<8x8xf32>
    %n = tenon.neg %s : tensor<f32>
    %u = tenon.add %r, %q : tensor<8x1xf32>, tensor<1x8xf32>
    %g = tenon.gather %w, %i axis 0 : tensor<8x8xf32>, tensor<8xi64>
    %p = tenon.pack_b %c : tensor<2x2xf32>
    %1 = tenon.add %before, %t : tensor<8x8xf32>, tensor<8x8xf32>
    %2 = tenon.mul %1, %n : tensor<8x8xf32>, tensor<f32>
    %3 = tenon.add %2, %u : tensor<8x8xf32>, tensor<8x8xf32>
    %4 = tenon.add %3, %g : tensor<8x8xf32>, tensor<8x8xf32>
    tenon.yield %4 : tensor<8x8xf32>
  }
  return %0 : tensor<8x8xf32>
}

// The iteration's number in a dim expression is the iteration's, too; another
// loop's is not. From an inner loop's body work goes as far out as it can.

// CHECK-LABEL: @nested
// CHECK: %[[E:.+]] = tenon.exp %arg0
// CHECK: tenon.loop "outer"
// CHECK-NEXT: ^bb0(%{{.*}}, %[[ROW:.+]]: tensor<1x8xf32>):
// CHECK-NEXT: %[[S:.+]] = tenon.slice %[[E]] from <"outer[0]", "0">
// CHECK-NEXT: %[[SUM:.+]] = tenon.add %[[ROW]], %[[S]]
// CHECK-NEXT: tenon.loop "inner"
// CHECK: tenon.mul %{{.*}}, %[[SUM]]
func.func @nested(%x: tensor<8x8xf32>, %h: tensor<1x8xf32>) -> tensor<1x8xf32> {
  %0 = tenon.loop "outer"(%h) trips "5" : (tensor<1x8xf32>) -> tensor<1x8xf32> {
  ^bb0(%number: tensor<i64>, %row: tensor<1x8xf32>):
    %1 = tenon.loop "inner"(%row) trips "3" : (tensor<1x8xf32>) -> tensor<1x8xf32> {
    ^bb0(%n: tensor<i64>, %before: tensor<1x8xf32>):
      %e = tenon.exp %x : tensor<8x8xf32>
      %s = tenon.slice %e from <"outer[0]", "0"> step [1, 1] to <"1", "8"> : tensor<8x8xf32>
      %a = tenon.add %row, %s : tensor<1x8xf32>, tensor<1x8xf32>
      %m = tenon.mul %before, %a : tensor<1x8xf32>, tensor<1x8xf32>
      tenon.yield %m : tensor<1x8xf32>
    }
    tenon.yield %1 : tensor<1x8xf32>
  }
  return %0 : tensor<1x8xf32>
}
