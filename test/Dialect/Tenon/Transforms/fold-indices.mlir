// RUN: tenon-opt %s --tenon-fold-indices --canonicalize --cse | FileCheck %s

// A causal mask of position ids that GatherND picks: ranges compared.
// CHECK-LABEL: @gatheredPositions
// CHECK: %[[I:.+]] = tenon.iota "0" step "1" size "s" : i64
// CHECK-DAG: tenon.reshape %[[I]] to <"1", "s">
// CHECK-NOT: gather_nd
// CHECK: tenon.compare le
func.func @gatheredPositions() -> tensor<?x?xi1, #tenon.dims<"s", "s">> {
  %ids = tenon.iota "0" step "1" size "s" : i64
  %tuples = tenon.reshape %ids to <"s", "1"> : tensor<?xi64, #tenon.dims<"s">>
  %picked = tenon.gather_nd %ids, %tuples batch_dims 0 : tensor<?xi64, #tenon.dims<"s">>, tensor<?x1xi64, #tenon.dims<"s", "1">>
  %column = tenon.reshape %picked to <"1", "s"> : tensor<?xi64, #tenon.dims<"s">>
  %row = tenon.reshape %ids to <"s", "1"> : tensor<?xi64, #tenon.dims<"s">>
  %mask = tenon.compare le %column, %row : tensor<1x?xi64, #tenon.dims<"1", "s">>, tensor<?x1xi64, #tenon.dims<"s", "1">>
  return %mask : tensor<?x?xi1, #tenon.dims<"s", "s">>
}

// Document numbers of one document: positions after one another differ by one,
// whatever min(s,1) is where there is a position at all.
// CHECK-LABEL: @oneDocument
// CHECK: %[[ZERO:.+]] = tenon.constant dense<0> : tensor<1xi64>
// CHECK: %[[ALL:.+]] = tenon.broadcast_to %[[ZERO]]
// CHECK: return %[[ALL]]
func.func @oneDocument() -> tensor<?xi64, #tenon.dims<"s">> {
  %one = tenon.constant dense<1> : tensor<i64>
  %ids = tenon.iota "0" step "1" size "s" : i64
  %first = tenon.slice %ids from <"0"> step [1] to <"min(s,1)"> : tensor<?xi64, #tenon.dims<"s">>
  %before = tenon.sub %first, %one : tensor<?xi64, #tenon.dims<"min(s,1)">>, tensor<i64>
  %all = tenon.concat %before, %ids axis 0 : tensor<?xi64, #tenon.dims<"min(s,1)">>, tensor<?xi64, #tenon.dims<"s">>
  %next = tenon.slice %all from <"1"> step [1] to <"s"> : tensor<?xi64, #tenon.dims<"min(s,1) + s">>
  %here = tenon.slice %all from <"0"> step [1] to <"s"> : tensor<?xi64, #tenon.dims<"min(s,1) + s">>
  %step = tenon.sub %next, %here : tensor<?xi64, #tenon.dims<"s">>, tensor<?xi64, #tenon.dims<"s">>
  %same = tenon.compare eq %step, %one : tensor<?xi64, #tenon.dims<"s">>, tensor<i64>
  %new = tenon.not %same : tensor<?xi1, #tenon.dims<"s">>
  %number = tenon.cast %new to i64 : tensor<?xi1, #tenon.dims<"s">>
  %document = tenon.cumulate sum %number over 0 : tensor<?xi64, #tenon.dims<"s">>
  return %document : tensor<?xi64, #tenon.dims<"s">>
}

// CHECK-LABEL: @certainOperand
// CHECK: %[[B:.+]] = tenon.broadcast_to %arg0 to <"b", "s">
// CHECK: return %[[B]]
func.func @certainOperand(%x: tensor<?xi1, #tenon.dims<"s">>) -> tensor<?x?xi1, #tenon.dims<"b", "s">> {
  %minus = tenon.constant dense<-1> : tensor<i64>
  %rows = tenon.iota "0" step "1" size "b" : i64
  %column = tenon.reshape %rows to <"b", "1"> : tensor<?xi64, #tenon.dims<"b">>
  %true = tenon.compare gt %column, %minus : tensor<?x1xi64, #tenon.dims<"b", "1">>, tensor<i64>
  %both = tenon.and %true, %x : tensor<?x1xi1, #tenon.dims<"b", "1">>, tensor<?xi1, #tenon.dims<"s">>
  return %both : tensor<?x?xi1, #tenon.dims<"b", "s">>
}

// Tuples (b, j) in order walk over all of the input.
// CHECK-LABEL: @wholeGather
// CHECK: tenon.reshape %arg0 to <"b", "1", "t">
// CHECK-NOT: gather_nd
func.func @wholeGather(%x: tensor<?x?xi1, #tenon.dims<"b", "t">>) -> tensor<?x1x?xi1, #tenon.dims<"b", "1", "t">> {
  %b = tenon.iota "0" step "1" size "b" : i64
  %t = tenon.iota "0" step "1" size "t" : i64
  %rb = tenon.reshape %b to <"b", "1", "1", "1"> : tensor<?xi64, #tenon.dims<"b">>
  %rt = tenon.reshape %t to <"1", "1", "t", "1"> : tensor<?xi64, #tenon.dims<"t">>
  %eb = tenon.broadcast_to %rb to <"b", "1", "t", "1"> : tensor<?x1x1x1xi64, #tenon.dims<"b", "1", "1", "1">>
  %et = tenon.broadcast_to %rt to <"b", "1", "t", "1"> : tensor<1x1x?x1xi64, #tenon.dims<"1", "1", "t", "1">>
  %tuples = tenon.concat %eb, %et axis 3 : tensor<?x1x?x1xi64, #tenon.dims<"b", "1", "t", "1">>, tensor<?x1x?x1xi64, #tenon.dims<"b", "1", "t", "1">>
  %0 = tenon.gather_nd %x, %tuples batch_dims 0 : tensor<?x?xi1, #tenon.dims<"b", "t">>, tensor<?x1x?x2xi64, #tenon.dims<"b", "1", "t", "2">>
  return %0 : tensor<?x1x?xi1, #tenon.dims<"b", "1", "t">>
}

// An index that may be outside stays: the run reports it.
// CHECK-LABEL: @mayBeOutside
// CHECK: tenon.gather_nd
func.func @mayBeOutside(%x: tensor<?xi64, #tenon.dims<"t">>) -> tensor<?xi64, #tenon.dims<"s">> {
  %s = tenon.iota "0" step "1" size "s" : i64
  %tuples = tenon.reshape %s to <"s", "1"> : tensor<?xi64, #tenon.dims<"s">>
  %0 = tenon.gather_nd %x, %tuples batch_dims 0 : tensor<?xi64, #tenon.dims<"t">>, tensor<?x1xi64, #tenon.dims<"s", "1">>
  return %0 : tensor<?xi64, #tenon.dims<"s">>
}

// A dim that may be 1 or not has no certain coefficient.
// CHECK-LABEL: @mayBroadcast
// CHECK: tenon.add
func.func @mayBroadcast() -> tensor<?xi64, #tenon.dims<"bcast(s,t)">> {
  tenon.check bcast "s", "t"
  %s = tenon.iota "0" step "1" size "s" : i64
  %t = tenon.iota "0" step "1" size "t" : i64
  %0 = tenon.add %s, %t : tensor<?xi64, #tenon.dims<"s">>, tensor<?xi64, #tenon.dims<"t">>
  return %0 : tensor<?xi64, #tenon.dims<"bcast(s,t)">>
}

// A causal mask in the file, of which the used part is cut out.
// CHECK-LABEL: @storedTriangle
// CHECK-DAG: %[[ROW:.+]] = tenon.iota "past" step "1" size "s" : i64
// CHECK-DAG: %[[COLUMN:.+]] = tenon.iota "0" step "1" size "past + s" : i64
// CHECK: %[[KEEP:.+]] = tenon.compare le
// CHECK: return %[[KEEP]]
func.func @storedTriangle() -> tensor<?x?xi1, #tenon.dims<"s", "past + s">> {
  %0 = tenon.constant dense<[[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]> : tensor<4x4xi1>
  %1 = tenon.slice %0 from <"past", "0"> step [1, 1] to <"s", "past + s"> : tensor<4x4xi1>
  return %1 : tensor<?x?xi1, #tenon.dims<"s", "past + s">>
}

// CHECK-LABEL: @storedNumbers
// CHECK: %[[KEEP:.+]] = tenon.compare le
// CHECK: tenon.select %[[KEEP]]
// CHECK-NOT: tenon.slice
func.func @storedNumbers() -> tensor<?x?xf32, #tenon.dims<"s", "s">> {
  %0 = tenon.constant dense<[[0.0, -1.0, -1.0, -1.0], [0.0, 0.0, -1.0, -1.0], [0.0, 0.0, 0.0, -1.0], [0.0, 0.0, 0.0, 0.0]]> : tensor<4x4xf32>
  %1 = tenon.slice %0 from <"0", "0"> step [1, 1] to <"s", "s"> : tensor<4x4xf32>
  return %1 : tensor<?x?xf32, #tenon.dims<"s", "s">>
}

// A bool is no number: what alternates is read.
// CHECK-LABEL: @boolsStay
// CHECK: tenon.constant dense<[true, false]>
// CHECK: tenon.slice
func.func @boolsStay() -> tensor<?xi1, #tenon.dims<"s">> {
  %0 = tenon.constant dense<[true, false]> : tensor<2xi1>
  %1 = tenon.slice %0 from <"0"> step [1] to <"s"> : tensor<2xi1>
  return %1 : tensor<?xi1, #tenon.dims<"s">>
}
