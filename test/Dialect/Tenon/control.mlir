// RUN: tenon-opt %s --verify-roundtrip | FileCheck %s

!n = tensor<?xf32, #tenon.dims<"n">>

// CHECK-LABEL: @merge
func.func @merge(%c: tensor<1xi1>, %x: !n, %y: tensor<4xf32>) {
  // CHECK: tenon.read_dims %arg0 as "c" bound "1" when "m" : tensor<1xi1>
  tenon.read_dims %c as "c" bound "1" when "m" : tensor<1xi1>
  // CHECK: tenon.check le "n", "512" when "c[0]"
  tenon.check le "n", "512" when "c[0]"
  // CHECK: tenon.merge "c[0]" then %arg1 else %arg2 to <"select(c[0],n,4)"> : tensor<?xf32, #tenon.dims<"n">>, tensor<4xf32>
  %0 = tenon.merge "c[0]" then %x else %y to <"select(c[0],n,4)"> : !n, tensor<4xf32>
  return
}

// CHECK-LABEL: @found
func.func @found(%flags: tensor<?xi1, #tenon.dims<"n">>, %rows: tensor<?x3xf32, #tenon.dims<"n", "3">>,
                 %boxes: tensor<1x9x4xf32>, %scores: tensor<1x2x9xf32>, %t: tensor<f32>) {
  // CHECK: %[[AT:.*]] = tenon.compact %arg0 : tensor<?xi1, #tenon.dims<"n">>
  // CHECK: %[[ROWS:.*]] = tenon.unique %arg1 sorted : tensor<?x3xf32, #tenon.dims<"n", "3">>
  // CHECK: %[[BOXES:.*]] = tenon.non_max_suppression %arg2, %arg3 overlap %arg4 score %arg4 most "5" centered
  %0 = tenon.compact %flags : tensor<?xi1, #tenon.dims<"n">>
  %1 = tenon.unique %rows sorted : tensor<?x3xf32, #tenon.dims<"n", "3">>
  %2 = tenon.non_max_suppression %boxes, %scores overlap %t score %t most "5" centered
    : tensor<1x9x4xf32>, tensor<1x2x9xf32>, tensor<f32>, tensor<f32>
  // CHECK: tenon.neg %[[AT]] : tensor<?xi64, #tenon.dims<"n + 1">>
  // CHECK: tenon.neg %[[ROWS]] : tensor<?xi64, #tenon.dims<"3*n + 1">>
  // CHECK: tenon.neg %[[BOXES]] : tensor<31xi64>
  %3 = tenon.neg %0 : tensor<?xi64, #tenon.dims<"n + 1">>
  %4 = tenon.neg %1 : tensor<?xi64, #tenon.dims<"3*n + 1">>
  %5 = tenon.neg %2 : tensor<31xi64>
  return
}

// CHECK-LABEL: @loop
func.func @loop(%c: tensor<i1>, %x: !n) {
  // CHECK: tenon.loop "l"(%arg0, %arg1) trips "10" conditional when "c" : (tensor<i1>, tensor<?xf32, #tenon.dims<"n">>) -> (tensor<?xf32, #tenon.dims<"n">>, tensor<?x?xf32, #tenon.dims<"l[1]", "n">>)
  %0:2 = tenon.loop "l"(%c, %x) trips "10" conditional when "c"
      : (tensor<i1>, !n) -> (!n, tensor<?x?xf32, #tenon.dims<"l[1]", "n">>) {
  ^bb0(%i: tensor<i64>, %a: !n):
    %1 = tenon.exp %a : !n
    // CHECK: tenon.yield %arg0, %{{.*}}, %{{.*}} : tensor<i1>, tensor<?xf32, #tenon.dims<"n">>, tensor<?xf32, #tenon.dims<"n">>
    tenon.yield %c, %1, %1 : tensor<i1>, !n, !n
  }
  return
}

!now = tensor<?x?xf32, #tenon.dims<"l[2]", "l[4]">>
!then = tensor<?x?xf32, #tenon.dims<"l[3]", "l[5]">>

// CHECK-LABEL: @sizes
func.func @sizes(%x: tensor<?x?xf32, #tenon.dims<"n", "m">>, %y: tensor<?xf32, #tenon.dims<"n">>) {
  // CHECK: tenon.loop "l"(%arg0, %arg1) trips "10" : (tensor<?x?xf32, #tenon.dims<"n", "m">>, tensor<?xf32, #tenon.dims<"n">>) -> (tensor<?x?xf32, #tenon.dims<"l[3]", "l[5]">>, tensor<?xf32, #tenon.dims<"l[3]">>)
  %0:2 = tenon.loop "l"(%x, %y) trips "10"
      : (tensor<?x?xf32, #tenon.dims<"n", "m">>, tensor<?xf32, #tenon.dims<"n">>) -> (!then, tensor<?xf32, #tenon.dims<"l[3]">>) {
  ^bb0(%i: tensor<i64>, %a: !now, %b: tensor<?xf32, #tenon.dims<"l[2]">>):
    %1 = tenon.concat %a, %a axis 0 : !now, !now
    %2 = tenon.concat %b, %b axis 0 : tensor<?xf32, #tenon.dims<"l[2]">>, tensor<?xf32, #tenon.dims<"l[2]">>
    // CHECK: tenon.yield %{{.*}}, %{{.*}} : tensor<?x?xf32, #tenon.dims<"2*l[2]", "l[4]">>, tensor<?xf32, #tenon.dims<"2*l[2]">>
    tenon.yield %1, %2 : tensor<?x?xf32, #tenon.dims<"2*l[2]", "l[4]">>, tensor<?xf32, #tenon.dims<"2*l[2]">>
  }
  return
}
