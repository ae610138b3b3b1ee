// RUN: tenon-opt %s --tenon-fuse-cells --canonicalize | FileCheck %s

!x = tensor<?x?x3xf32, #tenon.dims<"t", "b", "3">>
!row = tensor<?x3xf32, #tenon.dims<"b", "3">>
!h = tensor<?x8xf32, #tenon.dims<"b", "8">>
!g = tensor<?x32xf32, #tenon.dims<"b", "32">>
!u = tensor<?x24xf32, #tenon.dims<"b", "24">>
!y = tensor<?x?x8xf32, #tenon.dims<"t", "b", "8">>

// An LSTM whose gates lie as torch has them: i, f, g, o. One product of the state
// has them all, so that their columns stay as they are.

// CHECK-LABEL: @lstm
// CHECK: %[[P:.+]] = tenon.matmul %arg0, %arg3 : tensor<?x?x3xf32
// CHECK: %[[X:.+]] = tenon.add %[[P]], %arg5
// CHECK: %[[T:.+]] = tenon.reshape %arg4 to <"1", "8", "32">
// CHECK: %[[W:.+]] = tenon.transpose %[[T]] [0, 2, 1]
// CHECK: %[[ALL:.+]] = tenon.recurrent lstm %[[X]], %[[W]] hidden %{{.+}} cell %{{.+}} units 8 order [0, 3, 1, 2]
// CHECK: tenon.slice %[[ALL]] from <"0", "0", "0", "0"> step [1, 1, 1, 1] to <"1", "1", "b", "8">
// CHECK: tenon.slice %[[ALL]] from <"1", "0", "0", "0"> step [1, 1, 1, 1] to <"1", "1", "b", "8">
// CHECK: tenon.slice %[[ALL]] from <"2", "0", "0", "0"> step [1, 1, 1, 1] to <"t", "1", "b", "8">
// CHECK-NOT: tenon.loop
func.func @lstm(%x: !x, %h: !h, %c: !h, %w: tensor<3x32xf32>, %r: tensor<8x32xf32>, %b: tensor<32xf32>) -> (!h, !h, !y) {
  %0:3 = tenon.loop "loop"(%h, %c) trips "t" : (!h, !h) -> (!h, !h, !y) {
  ^bb0(%number: tensor<i64>, %before: !h, %cell: !h):
    %row = tenon.gather %x, %number axis 0 : !x, tensor<i64>
    %1 = tenon.matmul %row, %w : !row, tensor<3x32xf32>
    %2 = tenon.add %1, %b : !g, tensor<32xf32>
    %3 = tenon.matmul %before, %r : !h, tensor<8x32xf32>
    %4 = tenon.add %2, %3 : !g, !g
    %i = tenon.slice %4 from <"0", "0"> step [1, 1] to <"b", "8"> : !g
    %f = tenon.slice %4 from <"0", "8"> step [1, 1] to <"b", "8"> : !g
    %g = tenon.slice %4 from <"0", "16"> step [1, 1] to <"b", "8"> : !g
    %o = tenon.slice %4 from <"0", "24"> step [1, 1] to <"b", "8"> : !g
    %5 = tenon.sigmoid %i : !h
    %6 = tenon.sigmoid %f : !h
    %7 = tenon.tanh %g : !h
    %8 = tenon.sigmoid %o : !h
    %9 = tenon.mul %6, %cell : !h, !h
    %10 = tenon.mul %5, %7 : !h, !h
    %11 = tenon.add %9, %10 : !h, !h
    %12 = tenon.tanh %11 : !h
    %13 = tenon.mul %8, %12 : !h, !h
    tenon.yield %13, %11, %13 : !h, !h, !h
  }
  return %0#0, %0#1, %0#2 : !h, !h, !y
}

// A GRU as torch spells it, r, z, n: the bias beside the product of the state is
// inside the reset. It takes the rows from the last one on.

// CHECK-LABEL: @gru
// CHECK: %[[X:.+]] = tenon.matmul %arg0, %arg2 : tensor<?x?x3xf32
// CHECK: %[[B:.+]] = tenon.reshape %arg4 to <"1", "24">
// CHECK: %[[ALL:.+]] = tenon.recurrent gru %[[X]], %{{.+}} bias %[[B]] hidden %{{.+}} units 8 backward order [1, 0, 2]
// CHECK: tenon.slice %[[ALL]] from <"t", "0", "0", "0"> step [-1, 1, 1, 1] to <"t", "1", "b", "8">
// CHECK-NOT: tenon.loop
func.func @gru(%x: !x, %h: !h, %w: tensor<3x24xf32>, %r: tensor<8x24xf32>, %b: tensor<24xf32>) -> !y {
  %last = tenon.dims_value scalar <"t - 1"> : i64
  %0:2 = tenon.loop "loop"(%h) trips "t" : (!h) -> (!h, !y) {
  ^bb0(%number: tensor<i64>, %before: !h):
    %at = tenon.sub %last, %number : tensor<i64>, tensor<i64>
    %row = tenon.gather %x, %at axis 0 : !x, tensor<i64>
    %1 = tenon.matmul %row, %w : !row, tensor<3x24xf32>
    %2 = tenon.matmul %before, %r : !h, tensor<8x24xf32>
    %3 = tenon.add %2, %b : !u, tensor<24xf32>
    %xr = tenon.slice %1 from <"0", "0"> step [1, 1] to <"b", "8"> : !u
    %xz = tenon.slice %1 from <"0", "8"> step [1, 1] to <"b", "8"> : !u
    %xn = tenon.slice %1 from <"0", "16"> step [1, 1] to <"b", "8"> : !u
    %hr = tenon.slice %3 from <"0", "0"> step [1, 1] to <"b", "8"> : !u
    %hz = tenon.slice %3 from <"0", "8"> step [1, 1] to <"b", "8"> : !u
    %hn = tenon.slice %3 from <"0", "16"> step [1, 1] to <"b", "8"> : !u
    %4 = tenon.add %xr, %hr : !h, !h
    %5 = tenon.sigmoid %4 : !h
    %6 = tenon.add %xz, %hz : !h, !h
    %7 = tenon.sigmoid %6 : !h
    %8 = tenon.mul %5, %hn : !h, !h
    %9 = tenon.add %xn, %8 : !h, !h
    %10 = tenon.tanh %9 : !h
    %11 = tenon.sub %before, %10 : !h, !h
    %12 = tenon.mul %7, %11 : !h, !h
    %13 = tenon.add %10, %12 : !h, !h
    tenon.yield %13, %13 : !h, !h
  }
  return %0#1 : !y
}

// A GRU of three products, whose candidate takes the product of r*h: the rows of
// a weight of all gates are joined.

// CHECK-LABEL: @resets
// CHECK: tenon.concat {{.+}} axis 0
// CHECK: tenon.concat {{.+}} axis 2
// CHECK: tenon.recurrent gru {{.+}} units 8 resets_first activations ["sigmoid", "relu"]
// CHECK-NOT: tenon.loop
func.func @resets(%x: !y, %h: !h, %z: tensor<8x8xf32>, %r: tensor<8x8xf32>, %n: tensor<8x8xf32>) -> !h {
  %one = tenon.constant dense<1.0> : tensor<f32>
  %zero = tenon.constant dense<0.0> : tensor<f32>
  %0 = tenon.loop "loop"(%h) trips "t" : (!h) -> !h {
  ^bb0(%number: tensor<i64>, %before: !h):
    %row = tenon.gather %x, %number axis 0 : !y, tensor<i64>
    %1 = tenon.matmul %before, %z : !h, tensor<8x8xf32>
    %2 = tenon.add %1, %row : !h, !h
    %3 = tenon.sigmoid %2 : !h
    %4 = tenon.matmul %before, %r : !h, tensor<8x8xf32>
    %5 = tenon.add %4, %row : !h, !h
    %6 = tenon.sigmoid %5 : !h
    %7 = tenon.mul %before, %6 : !h, !h
    %8 = tenon.matmul %7, %n : !h, tensor<8x8xf32>
    %9 = tenon.add %row, %8 : !h, !h
    %10 = tenon.max %9, %zero : !h, tensor<f32>
    %11 = tenon.sub %one, %3 : tensor<f32>, !h
    %12 = tenon.mul %11, %10 : !h, !h
    %13 = tenon.mul %before, %3 : !h, !h
    %14 = tenon.add %12, %13 : !h, !h
    tenon.yield %14 : !h
  }
  return %0 : !h
}

// 1 - z keeps the state: the columns of z are negated, of the weight (a constant,
// so when compiling), the inputs and the bias. h - z*h + z*n is the same.

// CHECK-LABEL: @swapped
// CHECK-DAG: %[[W:.+]] = tenon.constant dense<{{.+}}> : tensor<1x24x8xf32>
// CHECK-DAG: %[[S:.+]] = tenon.constant dense<[-1.000000e+00, {{.+}} : tensor<24xf32>
// CHECK: %[[X:.+]] = tenon.mul %{{.+}}, %[[S]] : tensor<?x?x24xf32
// CHECK: tenon.recurrent gru %[[X]], %[[W]] hidden {{.+}} units 8 resets_first :
// CHECK: %[[X:.+]] = tenon.mul %{{.+}}, %{{.+}} : tensor<?x?x24xf32
// CHECK: tenon.recurrent gru %[[X]], {{.+}} units 8 resets_first :
// CHECK-NOT: tenon.loop
func.func @swapped(%x: !y, %h: !h) -> (!h, !h) {
  %one = tenon.constant dense<1.0> : tensor<f32>
  %m = tenon.constant dense<0.5> : tensor<8x8xf32>
  %0 = tenon.loop "loop"(%h) trips "t" : (!h) -> !h {
  ^bb0(%number: tensor<i64>, %before: !h):
    %row = tenon.gather %x, %number axis 0 : !y, tensor<i64>
    %1 = tenon.matmul %before, %m : !h, tensor<8x8xf32>
    %2 = tenon.add %1, %row : !h, !h
    %3 = tenon.sigmoid %2 : !h
    %7 = tenon.mul %before, %3 : !h, !h
    %8 = tenon.matmul %7, %m : !h, tensor<8x8xf32>
    %9 = tenon.add %row, %8 : !h, !h
    %10 = tenon.tanh %9 : !h
    %11 = tenon.sub %one, %3 : tensor<f32>, !h
    %12 = tenon.mul %11, %before : !h, !h
    %13 = tenon.mul %3, %10 : !h, !h
    %14 = tenon.add %12, %13 : !h, !h
    tenon.yield %14 : !h
  }
  %20 = tenon.loop "again"(%h) trips "t" : (!h) -> !h {
  ^bb0(%number: tensor<i64>, %before: !h):
    %row = tenon.gather %x, %number axis 0 : !y, tensor<i64>
    %1 = tenon.matmul %before, %m : !h, tensor<8x8xf32>
    %2 = tenon.add %1, %row : !h, !h
    %3 = tenon.sigmoid %2 : !h
    %7 = tenon.mul %before, %3 : !h, !h
    %8 = tenon.matmul %7, %m : !h, tensor<8x8xf32>
    %9 = tenon.add %row, %8 : !h, !h
    %10 = tenon.tanh %9 : !h
    %12 = tenon.mul %3, %before : !h, !h
    %13 = tenon.mul %3, %10 : !h, !h
    %14 = tenon.sub %before, %12 : !h, !h
    %15 = tenon.add %14, %13 : !h, !h
    tenon.yield %15 : !h
  }
  return %0, %20 : !h, !h
}

// An LSTM with peepholes whose i is 1 - f, with hard gates. Its o takes nothing of
// the rows.

// CHECK-LABEL: @peeps
// CHECK: %[[N:.+]] = tenon.neg %arg4 : tensor<8xf32>
// CHECK: %[[P:.+]] = tenon.concat %[[N]], %arg5, %arg4 axis 0
// CHECK: %[[V:.+]] = tenon.reshape %[[P]] to <"1", "24">
// CHECK: tenon.recurrent lstm {{.+}} peephole %[[V]] units 8 activations ["hard_sigmoid", "tanh", "tanh"] parameters [2.000000e-01, 5.000000e-01, 0.000000e+00, 0.000000e+00, 0.000000e+00, 0.000000e+00]
// CHECK-NOT: tenon.loop
func.func @peeps(%x: !y, %h: !h, %c: !h, %r: tensor<8x24xf32>, %pf: tensor<8xf32>, %po: tensor<8xf32>) -> !h {
  %zero = tenon.constant dense<0.0> : tensor<f32>
  %one = tenon.constant dense<1.0> : tensor<f32>
  %half = tenon.constant dense<0.5> : tensor<f32>
  %fifth = tenon.constant dense<0.2> : tensor<f32>
  %0:2 = tenon.loop "loop"(%h, %c) trips "t" : (!h, !h) -> (!h, !h) {
  ^bb0(%number: tensor<i64>, %before: !h, %cell: !h):
    %row = tenon.gather %x, %number axis 0 : !y, tensor<i64>
    %1 = tenon.matmul %before, %r : !h, tensor<8x24xf32>
    %hf = tenon.slice %1 from <"0", "0"> step [1, 1] to <"b", "8"> : !u
    %hg = tenon.slice %1 from <"0", "8"> step [1, 1] to <"b", "8"> : !u
    %ho = tenon.slice %1 from <"0", "16"> step [1, 1] to <"b", "8"> : !u
    %2 = tenon.mul %pf, %cell : tensor<8xf32>, !h
    %3 = tenon.add %hf, %2 : !h, !h
    %4 = tenon.add %3, %row : !h, !h
    %5 = tenon.mul %4, %fifth : !h, tensor<f32>
    %6 = tenon.add %5, %half : !h, tensor<f32>
    %7 = tenon.min %6, %one : !h, tensor<f32>
    %f = tenon.max %7, %zero : !h, tensor<f32>
    %8 = tenon.add %hg, %row : !h, !h
    %g = tenon.tanh %8 : !h
    %9 = tenon.sub %cell, %g : !h, !h
    %10 = tenon.mul %f, %9 : !h, !h
    %11 = tenon.add %g, %10 : !h, !h
    %12 = tenon.mul %11, %po : !h, tensor<8xf32>
    %13 = tenon.add %ho, %12 : !h, !h
    %14 = tenon.mul %13, %fifth : !h, tensor<f32>
    %15 = tenon.add %14, %half : !h, tensor<f32>
    %16 = tenon.max %15, %zero : !h, tensor<f32>
    %o = tenon.min %16, %one : !h, tensor<f32>
    %17 = tenon.tanh %11 : !h
    %18 = tenon.mul %o, %17 : !h, !h
    tenon.yield %18, %11 : !h, !h
  }
  return %0#0 : !h
}

// One product of the row and the state, joined.

// CHECK-LABEL: @joined
// CHECK-DAG: %[[A:.+]] = tenon.slice %arg2 from <"0", "0"> step [1, 1] to <"3", "8">
// CHECK-DAG: %[[B:.+]] = tenon.slice %arg2 from <"3", "0"> step [1, 1] to <"8", "8">
// CHECK: %[[X:.+]] = tenon.matmul %arg0, %[[A]]
// CHECK: tenon.recurrent rnn %[[X]], {{.+}} units 8 :
func.func @joined(%x: !x, %h: !h, %w: tensor<11x8xf32>) -> !h {
  %0 = tenon.loop "loop"(%h) trips "t" : (!h) -> !h {
  ^bb0(%number: tensor<i64>, %before: !h):
    %row = tenon.gather %x, %number axis 0 : !x, tensor<i64>
    %1 = tenon.concat %row, %before axis 1 : !row, !h
    %2 = tenon.matmul %1, %w : tensor<?x11xf32, #tenon.dims<"b", "11">>, tensor<11x8xf32>
    %3 = tenon.tanh %2 : !h
    tenon.yield %3 : !h
  }
  return %0 : !h
}

// A single column of a row, in all units.

// CHECK-LABEL: @column
// CHECK: %[[S:.+]] = tenon.slice %arg0 from <"0", "0", "1"> step [1, 1, 1] to <"t", "b", "1">
// CHECK: %[[X:.+]] = tenon.broadcast_to %[[S]] to <"t", "b", "8">
// CHECK: tenon.recurrent rnn %[[X]], {{.+}} units 8 activations ["sigmoid"]
func.func @column(%x: !x, %h: !h, %r: tensor<8x8xf32>) -> !h {
  %0 = tenon.loop "loop"(%h) trips "t" : (!h) -> !h {
  ^bb0(%number: tensor<i64>, %before: !h):
    %row = tenon.gather %x, %number axis 0 : !x, tensor<i64>
    %1 = tenon.slice %row from <"0", "1"> step [1, 1] to <"b", "1"> : !row
    %2 = tenon.matmul %before, %r : !h, tensor<8x8xf32>
    %3 = tenon.add %2, %1 : !h, tensor<?x1xf32, #tenon.dims<"b", "1">>
    %4 = tenon.sigmoid %3 : !h
    tenon.yield %4 : !h
  }
  return %0 : !h
}

// What is no cell keeps its loop; products of its rows are one before it. The
// state goes through a function of its own here.

// CHECK-LABEL: @products
// CHECK: %[[P:.+]] = tenon.matmul %arg0, %arg2 : tensor<?x?x3xf32
// CHECK: tenon.loop
// CHECK: %[[S:.+]] = tenon.slice %[[P]] from <"loop[0]", "0", "0"> step [1, 1, 1] to <"1", "b", "8">
// CHECK: tenon.reshape %[[S]] to <"b", "8">
// CHECK: tenon.matmul
// CHECK-NOT: tenon.matmul
func.func @products(%x: !x, %h: !h, %w: tensor<3x8xf32>, %r: tensor<8x8xf32>) -> !h {
  %0 = tenon.loop "loop"(%h) trips "t" : (!h) -> !h {
  ^bb0(%number: tensor<i64>, %before: !h):
    %row = tenon.gather %x, %number axis 0 : !x, tensor<i64>
    %1 = tenon.matmul %row, %w : !row, tensor<3x8xf32>
    %2 = tenon.exp %before : !h
    %3 = tenon.matmul %2, %r : !h, tensor<8x8xf32>
    %4 = tenon.add %1, %3 : !h, !h
    %5 = tenon.tanh %4 : !h
    tenon.yield %5 : !h
  }
  return %0 : !h
}

// A product of one column is no gate's, though it is added to all of them.

// CHECK-LABEL: @thin
// CHECK: tenon.loop
func.func @thin(%x: !y, %h: !h, %r: tensor<8x1xf32>) -> !h {
  %0 = tenon.loop "loop"(%h) trips "t" : (!h) -> !h {
  ^bb0(%number: tensor<i64>, %before: !h):
    %row = tenon.gather %x, %number axis 0 : !y, tensor<i64>
    %1 = tenon.matmul %before, %r : !h, tensor<8x1xf32>
    %2 = tenon.add %row, %1 : !h, tensor<?x1xf32, #tenon.dims<"b", "1">>
    %3 = tenon.tanh %2 : !h
    tenon.yield %3 : !h
  }
  return %0 : !h
}

// A gate's product is of rows of another number than there are steps: nothing is
// known of the others.

// CHECK-LABEL: @longer
// CHECK: tenon.loop
// CHECK: tenon.gather %arg0
// CHECK: tenon.matmul
// CHECK: tenon.matmul
func.func @longer(%x: tensor<?x?x3xf32, #tenon.dims<"n", "b", "3">>, %h: !h, %w: tensor<3x8xf32>, %r: tensor<8x8xf32>) -> !h {
  %0 = tenon.loop "loop"(%h) trips "t" : (!h) -> !h {
  ^bb0(%number: tensor<i64>, %before: !h):
    %row = tenon.gather %x, %number axis 0 : tensor<?x?x3xf32, #tenon.dims<"n", "b", "3">>, tensor<i64>
    %1 = tenon.matmul %row, %w : !row, tensor<3x8xf32>
    %3 = tenon.matmul %before, %r : !h, tensor<8x8xf32>
    %4 = tenon.add %1, %3 : !h, !h
    %5 = tenon.tanh %4 : !h
    tenon.yield %5 : !h
  }
  return %0 : !h
}
