// RUN: tenon-opt %s --tenon-fold-shapes --split-input-file --verify-diagnostics | FileCheck %s

// The usual way to reshape to heads.
// CHECK-LABEL: @foldsArithmetic
func.func @foldsArithmetic() -> (tensor<4xi64>, tensor<i64>, tensor<i64>) {
  %shape = tenon.dims_value <"batch", "seq", "384"> : i64
  %zero = tenon.constant dense<0> : tensor<1xi64>
  %one = tenon.constant dense<1> : tensor<i64>
  %two = tenon.constant dense<[2]> : tensor<1xi64>
  %heads = tenon.constant dense<12> : tensor<1xi64>
  %batch = tenon.gather %shape, %zero axis 0 : tensor<3xi64>, tensor<1xi64>
  %seq = tenon.slice %shape from <"1"> step [1] to <"1"> : tensor<3xi64>
  %width = tenon.gather %shape, %two axis 0 : tensor<3xi64>, tensor<1xi64>
  %size = tenon.div %width, %heads : tensor<1xi64>, tensor<1xi64>
  // CHECK: %[[A:.*]] = tenon.dims_value <"batch", "seq", "12", "32"> : i64
  %0 = tenon.concat %batch, %seq, %heads, %size axis 0 : tensor<1xi64>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>
  // CHECK: %[[B:.*]] = tenon.dims_value scalar <"384*batch*seq"> : i64
  %1 = tenon.reduce prod %shape over [0] : tensor<3xi64>
  %scalar = tenon.reshape %seq to <> : tensor<1xi64>
  // CHECK: %[[C:.*]] = tenon.dims_value scalar <"seq - 1"> : i64
  %2 = tenon.sub %scalar, %one : tensor<i64>, tensor<i64>
  // CHECK: return %[[A]], %[[B]], %[[C]]
  return %0, %1, %2 : tensor<4xi64>, tensor<i64>, tensor<i64>
}

// -----

// Expand's -1: no dim is -1, so the choice is made here.
// CHECK-LABEL: @decidesWhere
func.func @decidesWhere() -> tensor<3xi64> {
  %shape = tenon.dims_value <"batch", "-1", "seq"> : i64
  %target = tenon.dims_value <"batch", "heads", "seq + 1"> : i64
  %minus = tenon.constant dense<-1> : tensor<3xi64>
  %0 = tenon.compare eq %shape, %minus : tensor<3xi64>, tensor<3xi64>
  // CHECK: %[[A:.*]] = tenon.dims_value <"batch", "heads", "seq"> : i64
  // CHECK: return %[[A]]
  %1 = tenon.select %0, %target, %shape : tensor<3xi1>, tensor<3xi64>, tensor<3xi64>
  return %1 : tensor<3xi64>
}

// -----

// Whether two symbols are equal is known at run time only.
// CHECK-LABEL: @keepsUndecided
func.func @keepsUndecided() -> tensor<i1> {
  %a = tenon.dims_value scalar <"a"> : i64
  %b = tenon.dims_value scalar <"b"> : i64
  // CHECK: tenon.compare eq
  %0 = tenon.compare eq %a, %b : tensor<i64>, tensor<i64>
  return %0 : tensor<i1>
}

// -----

// Data is not shape arithmetic.
// CHECK-LABEL: @keepsData
func.func @keepsData(%x: tensor<3xi64>) -> tensor<3xi64> {
  %one = tenon.constant dense<1> : tensor<i64>
  // CHECK: tenon.add
  %0 = tenon.add %x, %one : tensor<3xi64>, tensor<i64>
  return %0 : tensor<3xi64>
}

// -----

// As torch spells the pads of Pad: rank 2 on the way.
// CHECK-LABEL: @foldsTables
func.func @foldsTables() -> (tensor<4xi64>, tensor<2x2xi64>) {
  // CHECK: tenon.reshape
  // CHECK: tenon.reshape
  // CHECK: %[[A:.*]] = tenon.dims_value <"a", "c", "b", "d"> : i64
  // CHECK: %[[B:.*]] = tenon.dims_value <"a", "b", "c", "d"> : i64
  // CHECK: %[[C:.*]] = tenon.reshape %[[B]] to <"2", "2">
  // CHECK: return %[[A]], %[[C]]
  %0 = tenon.dims_value <"a", "b", "c", "d"> : i64
  %1 = tenon.reshape %0 to <"2", "2"> : tensor<4xi64>
  %2 = tenon.transpose %1 [1, 0] : tensor<2x2xi64>
  %3 = tenon.reshape %2 to <"4"> : tensor<2x2xi64>
  %4 = tenon.transpose %2 [1, 0] : tensor<2x2xi64>
  return %3, %4 : tensor<4xi64>, tensor<2x2xi64>
}

// -----

// A product that wraps is left to the run.
// CHECK-LABEL: @keepsWrapping
func.func @keepsWrapping() -> tensor<i32> {
  // CHECK: tenon.mul
  %0 = tenon.constant dense<2000000000> : tensor<i32>
  %1 = tenon.mul %0, %0 : tensor<i32>, tensor<i32>
  return %1 : tensor<i32>
}

// -----

// Integer division truncates: -1/2 is 0, floordiv(-1, 2) is -1.
// CHECK-LABEL: @dividesTowardsZero
func.func @dividesTowardsZero() -> tensor<2xi64> {
  %a = tenon.dims_value <"seq", "seq - 1"> : i64
  %two = tenon.constant dense<2> : tensor<i64>
  // CHECK: tenon.dims_value <"floordiv(seq,2)", "quot(seq - 1,2)">
  %0 = tenon.div %a, %two : tensor<2xi64>, tensor<i64>
  return %0 : tensor<2xi64>
}

// -----

// Types follow from the operands, down to the function's results.
// CHECK-LABEL: @infersAgain
// CHECK-SAME: -> tensor<?x4xf32, #tenon.dims<"n", "4">>
func.func @infersAgain(%x: tensor<?x4xf32, #tenon.dims<"n", "4">>) -> tensor<?x?xf32, #tenon.dims<"a", "b">> {
  // CHECK: %[[A:.*]] = tenon.exp
  // CHECK: return %[[A]] : tensor<?x4xf32, #tenon.dims<"n", "4">>
  %0 = "tenon.exp"(%x) : (tensor<?x4xf32, #tenon.dims<"n", "4">>) -> tensor<?x?xf32, #tenon.dims<"a", "b">>
  return %0 : tensor<?x?xf32, #tenon.dims<"a", "b">>
}

// -----

// CHECK-LABEL: @tidiesChecks
func.func @tidiesChecks() {
  // CHECK-NEXT: tenon.check le "seq", "512"
  // CHECK-NEXT: tenon.check eq "a", "b"
  // CHECK-NEXT: return
  tenon.check le "seq", "512"
  tenon.check le "seq", "512"
  tenon.check eq "a", "a"
  tenon.check bcast "1", "a"
  tenon.check le "seq", "past + seq"
  tenon.check eq "a", "b"
  return
}

// -----

func.func @checkThatNeverHolds() {
  // expected-error @below {{'tenon.check' op can never hold}}
  tenon.check eq "seq", "seq + 1"
  return
}
