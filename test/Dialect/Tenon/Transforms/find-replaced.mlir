// States that each run makes anew: the last columns of a convolution, a window
// that fills, an lstm's, what only the names tell; and one that changes its size.

// RUN: tenon-opt %s --pass-pipeline='builtin.module(func.func(tenon-find-state))' \
// RUN:   | FileCheck %s

// CHECK: tenon.name = "past_conv", tenon.state = {output = 0 : i64, replaced}}
// CHECK-SAME: tenon.name = "w", tenon.state = {axis = 2 : i64, most = 4 : i64, output = 1 : i64, replaced}}
// CHECK-SAME: tenon.name = "h", tenon.state = {output = 3 : i64, replaced}}
// CHECK-SAME: tenon.name = "c", tenon.state = {output = 2 : i64, replaced}}
// CHECK-SAME: tenon.name = "cache_params.past.ssm.0", tenon.state = {output = 4 : i64, replaced}}
// CHECK-SAME: tenon.name = "state_in", tenon.stateless = "its dim 1 is 6, in output 'state_out' 12, expected the same, or a window of at most so many rows"}
// CHECK-SAME: tenon.name = "residual"}
!conv = tensor<?x6x3xf32, #tenon.dims<"b", "6", "3">>
!window = tensor<?x2x?x4xf32, #tenon.dims<"b", "2", "past", "4">>
!filled = tensor<?x2x?x4xf32, #tenon.dims<"b", "2", "past + s - max(past + s - 4,0)", "4">>
!cell = tensor<1x?x3xf32, #tenon.dims<"1", "b", "3">>
!ssm = tensor<?x6x8xf32, #tenon.dims<"b", "6", "8">>
!more = tensor<?x12x8xf32, #tenon.dims<"b", "12", "8">>
!x = tensor<?x6x?xf32, #tenon.dims<"b", "6", "s">>
!k = tensor<?x2x?x4xf32, #tenon.dims<"b", "2", "s", "4">>
!gates = tensor<?x?x12xf32, #tenon.dims<"s", "b", "12">>
func.func @main(%conv: !conv {tenon.name = "past_conv"}, %window: !window {tenon.name = "w"},
                %h: !cell {tenon.name = "h"}, %c: !cell {tenon.name = "c"},
                %ssm: !ssm {tenon.name = "cache_params.past.ssm.0"}, %state: !ssm {tenon.name = "state_in"},
                %residual: !ssm {tenon.name = "residual"},
                %x: !x, %k: !k, %gates: !gates, %weight: tensor<1x12x3xf32>)
    -> (!conv {tenon.name = "present_conv"}, !filled {tenon.name = "w_next"}, !cell {tenon.name = "first"},
        !cell {tenon.name = "second"}, !ssm {tenon.name = "cache_params.present.ssm.0"}, !more {tenon.name = "state_out"},
        !ssm {tenon.name = "residual_out"}) {
  %columns = tenon.concat %conv, %x axis 2 : !conv, !x
  %next = tenon.slice %columns from <"0", "0", "s"> step [1, 1, 1] to <"b", "6", "3"> : tensor<?x6x?xf32, #tenon.dims<"b", "6", "s + 3">>
  %rows = tenon.concat %window, %k axis 2 : !window, !k
  %filled = tenon.slice %rows from <"0", "0", "max(past + s - 4,0)", "0"> step [1, 1, 1, 1]
      to <"b", "2", "past + s - max(past + s - 4,0)", "4"> : tensor<?x2x?x4xf32, #tenon.dims<"b", "2", "past + s", "4">>
  %all = tenon.recurrent lstm %gates, %weight hidden %h cell %c units 3 : !gates, tensor<1x12x3xf32> hidden !cell cell !cell
  %cells = tenon.slice %all from <"1", "0", "0", "0"> step [1, 1, 1, 1] to <"1", "1", "b", "3"> : tensor<?x1x?x3xf32, #tenon.dims<"s + 2", "1", "b", "3">>
  %lastc = tenon.reshape %cells to <"1", "b", "3"> : tensor<1x1x?x3xf32, #tenon.dims<"1", "1", "b", "3">>
  %hiddens = tenon.slice %all from <"0", "0", "0", "0"> step [1, 1, 1, 1] to <"1", "1", "b", "3"> : tensor<?x1x?x3xf32, #tenon.dims<"s + 2", "1", "b", "3">>
  %lasth = tenon.reshape %hiddens to <"1", "b", "3"> : tensor<1x1x?x3xf32, #tenon.dims<"1", "1", "b", "3">>
  %new = tenon.exp %ssm : !ssm
  %twice = tenon.concat %state, %state axis 1 : !ssm, !ssm
  %sum = tenon.add %residual, %new : !ssm, !ssm
  return %next, %filled, %lastc, %lasth, %new, %twice, %sum : !conv, !filled, !cell, !cell, !ssm, !more, !ssm
}
