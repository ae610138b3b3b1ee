// Of a ragged run's outputs the rows that an input names are computed alone: a
// norm and a head, of what two layers have left.

// RUN: tenon-opt %s --pass-pipeline='builtin.module(func.func(tenon-find-state,tenon-select-rows))' \
// RUN:   | FileCheck %s

// Or the last of each sequence's new tokens, whatever counts the sequences.
// RUN: tenon-opt %s --pass-pipeline='builtin.module(func.func(tenon-find-state,tenon-select-rows{last=true}))' \
// RUN:   | FileCheck %s --check-prefix=LAST

// LAST-NOT: output_rows
// LAST: %[[SUM:.*]] = tenon.add
// LAST: tenon.slice %[[SUM]] from <"0", "s - min(s,1)", "0"> step [1, 1, 1] to <"b", "min(s,1)", "8">
// LAST: tenon.rms_norm %{{.*}} : tensor<?x?x8xf32, #tenon.dims<"b", "min(s,1)", "8">>
// LAST: tenon.reshape %{{.*}} to <"b", "min(s,1)", "4", "2">
// LAST: tenon.reshape %{{.*}} to <"b", "min(s,1)", "8">
// LAST: tenon.matmul %{{.*}} : tensor<?x?x8xf32, #tenon.dims<"b", "min(s,1)", "8">>
// LAST: tenon.append
// LAST: tenon.exp %{{.*}} : tensor<?x?x8xf32, #tenon.dims<"b", "min(s,1)", "8">>

// CHECK: func.func @main(
// CHECK-SAME: %[[ROWS:[a-z0-9]+]]: tensor<?xi64, #tenon.dims<"output_rows">> {tenon.name = "output_rows"}
// CHECK: %[[SUM:.*]] = tenon.add
// CHECK: tenon.gather %[[SUM]], %[[ROWS]] axis 0
// CHECK: tenon.gather %[[SUM]], %[[ROWS]] axis 0
// CHECK: %[[NORM:.*]] = tenon.rms_norm %{{.*}} epsilon {{.*}} : tensor<?x?x8xf32, #tenon.dims<"output_rows", "s", "8">>
// CHECK: %[[SPLIT:.*]] = tenon.reshape %[[NORM]] to <"output_rows", "s", "4", "2">
// CHECK: %[[WHOLE:.*]] = tenon.reshape %[[SPLIT]] to <"output_rows", "s", "8">
// CHECK: %[[HEAD:.*]] = tenon.matmul %[[WHOLE]]
// CHECK: %[[ALL:.*]] = tenon.append
// CHECK: %[[OTHER:.*]] = tenon.exp %{{.*}} : tensor<?x?x8xf32, #tenon.dims<"output_rows", "s", "8">>
// CHECK: return %[[HEAD]], %[[ALL]], %[[OTHER]]
!x = tensor<?x?x8xf32, #tenon.dims<"b", "s", "8">>
!split = tensor<?x?x4x2xf32, #tenon.dims<"b", "s", "4", "2">>
!past = tensor<?x?x8xf32, #tenon.dims<"b", "past", "8">>
!present = tensor<?x?x8xf32, #tenon.dims<"b", "past + s", "8">>
!y = tensor<?x?x16xf32, #tenon.dims<"b", "s", "16">>
func.func @main(%a: !x, %c: !x, %w: tensor<8x16xf32>, %past: !past {tenon.name = "past"}) -> (!y, !present, !x) {
  %sum = tenon.add %a, %c : !x, !x
  %norm = tenon.rms_norm %sum epsilon 1.0e-05 dims 1 : !x
  %split = tenon.reshape %norm to <"b", "s", "4", "2"> : !x
  %whole = tenon.reshape %split to <"b", "s", "8"> : !split
  %y = tenon.matmul %whole, %w : !x, tensor<8x16xf32>
  %present = tenon.concat %past, %a axis 1 : !past, !x
  %other = tenon.exp %sum : !x
  return %y, %present, %other : !y, !present, !x
}
