// A past and fresh rows joined become an append to memory with room for more.
// Of it attention reads values as they lie, and keys in pages, each a panel: a
// state's memory holds these, which take the new rows instead of the append.
// Where all is joined as f16, the fresh rows are cast, and what reads all rows.

// RUN: tenon-opt %s --pass-pipeline='builtin.module(func.func(tenon-find-state))' \
// RUN:   | FileCheck %s
// RUN: tenon-opt %s --pass-pipeline='builtin.module(func.func(tenon-find-state),tenon-pack-matmul,tenon-form-kernels)' \
// RUN:   | FileCheck %s --check-prefix=FUSE
// RUN: tenon-opt %s --pass-pipeline='builtin.module(func.func(tenon-find-state),tenon-pack-matmul,tenon-form-kernels{kv=int8})' \
// RUN:   | FileCheck %s --check-prefix=INT8
// RUN: not tenon-opt %s --pass-pipeline='builtin.module(tenon-form-kernels{kv=f64})' 2>&1 \
// RUN:   | FileCheck %s --check-prefix=WRONG

// CHECK: func.func @main(%[[PAST:.*]]: tensor<?x2x?x64xf32, #tenon.dims<"b", "2", "past", "64">> {tenon.name = "past_v", tenon.state = {axis = 2 : i64, capacity = "state.capacity", carried = "state.carried", length = "past + seq", output = 1 : i64}}
// CHECK-SAME: {tenon.name = "past_k", tenon.state = {axis = 2 : i64, capacity = "state.capacity", carried = "state.carried", length = "past + seq", output = 2 : i64}}
// CHECK-SAME: {tenon.name = "past_old", tenon.stateless = "node '' (tenon.exp) reads it, and adds no rows"}
// CHECK-SAME: {tenon.dims = #tenon.dims<"b", "2", "past + seq", "64">}
// CHECK: %[[ROWS:.*]] = tenon.iota "past" step "1" size "seq" : i64
// CHECK: tenon.reshape %[[ROWS]] to <"1", "seq">
// CHECK: %[[ALL:.*]] = tenon.append %[[PAST]], %{{.*}} at %{{.*}} axis 2 to "state.capacity" {carried = "state.carried"}
// CHECK: %[[PRESENT:.*]] = tenon.slice %[[ALL]] from <"0", "0", "0", "0"> step [1, 1, 1, 1] to <"b", "2", "past + seq", "64">
// CHECK: %[[FRESH:.*]] = tenon.cast %{{.*}} to f32 :
// CHECK: %[[WIDE:.*]] = tenon.append %{{.*}}, %[[FRESH]] at %{{.*}} axis 2 to "state.capacity" {carried = "state.carried"}
// CHECK: %[[ROWS32:.*]] = tenon.slice %[[WIDE]]
// CHECK: %[[ROWS16:.*]] = tenon.cast %[[ROWS32]] to f16 :
// CHECK: tenon.exp %[[ROWS16]] :
// CHECK: tenon.matmul %{{.*}}, %[[PRESENT]] :
// CHECK: return %{{.*}}, %[[ALL]]

// FUSE: output = 1 : i64}}
// FUSE-SAME: output = 2 : i64, pages = f32, panels, table = "state.pages"}}
// FUSE: %[[V:.*]] = tenon.kernel scatter(
// FUSE: %[[K:.*]] = tenon.kernel scatter(
// FUSE: tenon.append {{.*}} to "state.capacity" {carried = "state.carried"}
// FUSE: %[[PAGES:.*]] = tenon.kernel scatter(%[[K]], %{{[a-z0-9]+}}) : {{.*}}<"b", "2", "floordiv(state.capacity + 31,32)", "2048">
// FUSE: tenon.store_pages %{{.*}}, %{{.*}} at %{{.*}} as f32 carried "state.carried" table "state.pages" transposed
// FUSE: tenon.kernel attention(%[[PAGES]], %{{.*}}, %[[V]])
// FUSE: tenon.load_pages %{{.*}} size 64 length "past + seq" table "state.pages" transposed
// FUSE: tenon.softmax
// FUSE: %[[FIRST:.*]] = tenon.slice
// FUSE: %[[SPLIT:.*]] = tenon.reshape %[[FIRST]] to <"b", "2", "past + seq", "2", "32">
// FUSE: %[[PANELS:.*]] = tenon.transpose %[[SPLIT]]
// FUSE: tenon.packed_matmul %{{.*}}, %[[PANELS]] columns "64"

// Codes of both have their scales in front of them.
// INT8: output = 1 : i64, pages = i8, table = "state.pages"}}
// INT8-SAME: output = 2 : i64, pages = i8, panels, table = "state.pages"}}
// INT8: tenon.store_pages %{{.*}} as i8 carried "state.carried" table "state.pages" transposed
// INT8: tenon.store_pages %{{.*}} as i8 carried "state.carried" table "state.pages" :
// INT8: tenon.load_pages %{{.*}} size 64 length "past + seq" table "state.pages" transposed : tensor<?x2x?x2176xi8
// INT8: tenon.load_pages %{{.*}} size 64 length "past + seq" table "state.pages" : tensor<?x2x?x2176xi8

// WRONG: expected a kv of f32, bf16, f16 or int8, found f64
!past = tensor<?x2x?x64xf32, #tenon.dims<"b", "2", "past", "64">>
!fresh = tensor<?x2x?x64xf32, #tenon.dims<"b", "2", "seq", "64">>
!present = tensor<?x2x?x64xf32, #tenon.dims<"b", "2", "past + seq", "64">>
!past16 = tensor<?x2x?x64xf16, #tenon.dims<"b", "2", "past", "64">>
!fresh16 = tensor<?x2x?x64xf16, #tenon.dims<"b", "2", "seq", "64">>
!present16 = tensor<?x2x?x64xf16, #tenon.dims<"b", "2", "past + seq", "64">>
!scores = tensor<?x2x?x?xf32, #tenon.dims<"b", "2", "seq", "past + seq">>
func.func @main(%past_v: !past {tenon.name = "past_v"}, %past_k: !past {tenon.name = "past_k"},
                %old: !past {tenon.name = "past_old"}, %q: !fresh, %k: !fresh, %v: !fresh,
                %past_h: !past {tenon.name = "past_h"}, %h: !fresh16)
    -> (!fresh, !present, !present, !past, !present, !present16) {
  %values = tenon.concat %past_v, %v axis 2 : !past, !fresh
  %keys = tenon.concat %past_k, %k axis 2 : !past, !fresh
  %read = tenon.exp %old : !past
  %narrow = tenon.cast %past_h to f16 : !past
  %joined = tenon.concat %narrow, %h axis 2 : !past16, !fresh16
  %wide = tenon.cast %joined to f32 : !present16
  %seen = tenon.exp %joined : !present16
  %scores = tenon.matmul %q, %keys transposed : !fresh, !present
  %p = tenon.softmax %scores : !scores
  %y = tenon.matmul %p, %values : !scores, !present
  return %y, %values, %keys, %read, %wide, %seen : !fresh, !present, !present, !past, !present, !present16
}
