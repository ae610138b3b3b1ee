// Sequences of unequal lengths where pasts grow: positions count from the rows
// of each, its rows are put behind its own, and attention ends there.

// RUN: tenon-opt %s -split-input-file --pass-pipeline='builtin.module(func.func(tenon-find-state))' \
// RUN:   | FileCheck %s
// RUN: tenon-opt %s -split-input-file --pass-pipeline='builtin.module(func.func(tenon-find-state),tenon-pack-matmul,tenon-form-kernels)' \
// RUN:   | FileCheck %s --check-prefix=FUSE

// The rotation is made of positions, for each sequence; the mask stays as it is.
// CHECK: func.func @main
// CHECK: %[[STORED:.*]] = tenon.stored_rows "past" of "b" table "state.lengths"
// CHECK: %[[FROM:.*]] = tenon.iota "0" step "1" size "seq" : i64
// CHECK: %[[ROWS:.*]] = tenon.reshape %[[STORED]] to <"b", "1">
// CHECK: %[[AT:.*]] = tenon.add %[[ROWS]], %[[FROM]]
// CHECK: tenon.cast %[[AT]] to f32
// CHECK: %[[ANGLE:.*]] = tenon.cos %{{.*}}<"b", "seq", "1">
// CHECK: tenon.reshape %[[ANGLE]] to <"b", "1", "seq", "1">
// CHECK: tenon.compare le %{{.*}} : tensor<?xi64, #tenon.dims<"past + seq">>, tensor<?x1xi64, #tenon.dims<"seq", "1">>

// FUSE: func.func @main
// FUSE-SAME: lengths = "state.lengths"
// FUSE: tenon.kernel scatter
// FUSE: tenon.stored_rows "past" of "b" table "state.lengths"
// FUSE: tenon.append
// FUSE: tenon.kernel attention
// FUSE: tenon.load_pages %{{.*}} ends %{{.*}} size 32 length "past + seq" table "state.pages" transposed : tensor<{{.*}}>, tensor<?xi64, #tenon.dims<"b">>
!past = tensor<?x2x?x32xf32, #tenon.dims<"b", "2", "past", "32">>
!fresh = tensor<?x2x?x32xf32, #tenon.dims<"b", "2", "seq", "32">>
!present = tensor<?x2x?x32xf32, #tenon.dims<"b", "2", "past + seq", "32">>
!scores = tensor<?x2x?x?xf32, #tenon.dims<"b", "2", "seq", "past + seq">>
!at = tensor<?xf32, #tenon.dims<"seq">>
!column = tensor<?x1xf32, #tenon.dims<"seq", "1">>
!rows = tensor<?xi64, #tenon.dims<"seq">>
!row = tensor<?x1xi64, #tenon.dims<"seq", "1">>
!all = tensor<?xi64, #tenon.dims<"past + seq">>
!seen = tensor<?x?xi1, #tenon.dims<"seq", "past + seq">>
func.func @main(%past_k: !past {tenon.name = "past_k"}, %past_v: !past {tenon.name = "past_v"},
                %q: !fresh, %k: !fresh, %v: !fresh) -> (!fresh, !present, !present) {
  %at = tenon.iota "past" step "1" size "seq" : f32
  %column = tenon.reshape %at to <"seq", "1"> : !at
  %angle = tenon.cos %column : !column
  %turned = tenon.mul %q, %angle : !fresh, !column
  %kept = tenon.mul %k, %angle : !fresh, !column
  %keys = tenon.concat %past_k, %kept axis 2 : !past, !fresh
  %values = tenon.concat %past_v, %v axis 2 : !past, !fresh
  %rows = tenon.iota "past" step "1" size "seq" : i64
  %row = tenon.reshape %rows to <"seq", "1"> : !rows
  %columns = tenon.iota "0" step "1" size "past + seq" : i64
  %seen = tenon.compare le %columns, %row : !all, !row
  %low = tenon.constant dense<-3.0e38> : tensor<f32>
  %scores = tenon.matmul %turned, %keys transposed : !fresh, !present
  %masked = tenon.select %seen, %scores, %low : !seen, !scores, tensor<f32>
  %p = tenon.softmax %masked : !scores
  %y = tenon.matmul %p, %values : !scores, !present
  return %y, %keys, %values : !fresh, !present, !present
}

// -----

// Numbers of columns, not of distances, are others where a sequence is alone:
// all have one length, and positions are those of the past's length again.
// CHECK: func.func @main
// CHECK: tenon.stored_rows
// FUSE: func.func @main
// FUSE-NOT: lengths =
// FUSE-NOT: tenon.stored_rows
// FUSE-NOT: ends
// FUSE: return
!past = tensor<?x2x?x32xf32, #tenon.dims<"b", "2", "past", "32">>
!fresh = tensor<?x2x?x32xf32, #tenon.dims<"b", "2", "seq", "32">>
!present = tensor<?x2x?x32xf32, #tenon.dims<"b", "2", "past + seq", "32">>
!scores = tensor<?x2x?x?xf32, #tenon.dims<"b", "2", "seq", "past + seq">>
!column = tensor<?x1xf32, #tenon.dims<"seq", "1">>
!bias = tensor<?xf32, #tenon.dims<"past + seq">>
func.func @main(%past_k: !past {tenon.name = "past_k"}, %past_v: !past {tenon.name = "past_v"},
                %q: !fresh, %k: !fresh, %v: !fresh) -> (!fresh, !present, !present) {
  %at = tenon.iota "past" step "1" size "seq" : f32
  %column = tenon.reshape %at to <"seq", "1"> : tensor<?xf32, #tenon.dims<"seq">>
  %turned = tenon.mul %q, %column : !fresh, !column
  %keys = tenon.concat %past_k, %k axis 2 : !past, !fresh
  %values = tenon.concat %past_v, %v axis 2 : !past, !fresh
  %bias = tenon.iota "0" step "1" size "past + seq" : f32
  %scores = tenon.matmul %turned, %keys transposed : !fresh, !present
  %biased = tenon.add %scores, %bias : !scores, !bias
  %p = tenon.softmax %biased : !scores
  %y = tenon.matmul %p, %values : !scores, !present
  return %y, %keys, %values : !fresh, !present, !present
}
