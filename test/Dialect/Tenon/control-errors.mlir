// RUN: tenon-opt %s --split-input-file --verify-diagnostics

func.func @mergeRanks(%x: tensor<4xf32>, %y: tensor<2x2xf32>) {
  // expected-error @below {{expected branches of one rank, found ranks 1 and 2}}
  %0 = tenon.merge "c" then %x else %y to <"4"> : tensor<4xf32>, tensor<2x2xf32>
  return
}

// -----
func.func @mergeTypes(%x: tensor<4xf32>, %y: tensor<4xi32>) {
  // expected-error @below {{expected branches of one element type, found 'f32' and 'i32'}}
  %0 = tenon.merge "c" then %x else %y to <"4"> : tensor<4xf32>, tensor<4xi32>
  return
}

// -----
func.func @mergeCondition(%x: tensor<4xf32>) {
  // expected-error @below {{expected a dim expression, found "c +"}}
  %0 = tenon.merge "c +" then %x else %x to <"4"> : tensor<4xf32>, tensor<4xf32>
  return
}

// -----
func.func @readDimsBound(%a: tensor<2xi64>) {
  // expected-error @below {{expected a dim expression, found "n +"}}
  tenon.read_dims %a as "a" bound "n +" : tensor<2xi64>
  return
}

// -----
func.func @compactRank(%x: tensor<2x2xi1>) {
  // expected-error @below {{expected flags of rank 1, found rank 2}}
  %0 = tenon.compact %x : tensor<2x2xi1>
  return
}

// -----
func.func @uniqueRank(%x: tensor<2xf32>) {
  // expected-error @below {{expected an input of rank 2, found rank 1}}
  %0 = tenon.unique %x : tensor<2xf32>
  return
}

// -----
func.func @suppressionRanks(%x: tensor<9x4xf32>, %s: tensor<1x2x9xf32>, %t: tensor<f32>) {
  // expected-error @below {{expected boxes and scores of rank 3, found ranks 2 and 3}}
  %0 = tenon.non_max_suppression %x, %s overlap %t score %t most "5"
    : tensor<9x4xf32>, tensor<1x2x9xf32>, tensor<f32>, tensor<f32>
  return
}

// -----
func.func @suppressionThreshold(%x: tensor<1x9x4xf32>, %s: tensor<1x2x9xf32>, %t: tensor<2xf32>) {
  // expected-error @below {{expected thresholds of one element, found 'tensor<2xf32>'}}
  %0 = tenon.non_max_suppression %x, %s overlap %t score %t most "5"
    : tensor<1x9x4xf32>, tensor<1x2x9xf32>, tensor<2xf32>, tensor<2xf32>
  return
}

// -----
func.func @loopNumber(%x: tensor<4xf32>) {
  // expected-error @below {{expected the iteration's number as i64, found 'tensor<i32>'}}
  %0 = tenon.loop "l"(%x) trips "n" : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%i: tensor<i32>, %a: tensor<4xf32>):
    tenon.yield %a : tensor<4xf32>
  }
  return
}

// -----
func.func @loopHanded(%x: tensor<4xf32>) {
  // expected-error @below {{expected handed value 0 to keep its type 'tensor<4xf32>', found 'tensor<5xf32>'}}
  %0 = tenon.loop "l"(%x) trips "n" : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%i: tensor<i64>, %a: tensor<4xf32>):
    %1 = tenon.constant dense<0.0> : tensor<5xf32>
    tenon.yield %1 : tensor<5xf32>
  }
  return
}

// -----
func.func @loopCondition(%x: tensor<4xf32>) {
  // expected-error @below {{expected conditions of one bool, found 'tensor<4xf32>'}}
  tenon.loop "l"(%x) trips "n" conditional : (tensor<4xf32>) -> () {
  ^bb0(%i: tensor<i64>):
    tenon.yield %x : tensor<4xf32>
  }
  return
}

// -----
func.func @loopCounts(%x: tensor<4xf32>) {
  // expected-error @below {{expected 1 handed values in results, arguments and yield, found 1, 0 and 1}}
  %0 = tenon.loop "l"(%x) trips "n" : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%i: tensor<i64>):
    tenon.yield %x : tensor<4xf32>
  }
  return
}

// -----
func.func @loopRows(%x: tensor<4xf32>) {
  // expected-error @below {{expected stacked rows of type 'tensor<4xf32>', found 'tensor<4xf32>'}}
  %0 = tenon.loop "l"() trips "n" : () -> tensor<4xf32> {
  ^bb0(%i: tensor<i64>):
    tenon.yield %x : tensor<4xf32>
  }
  return
}

// -----
func.func @loopRank(%x: tensor<4xf32>) {
  // expected-error @below {{expected handed value 0 to keep its element type and rank, as in 'tensor<4xf32>', found 'tensor<1x4xf32>'}}
  %0 = tenon.loop "l"(%x) trips "n" : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%i: tensor<i64>, %a: tensor<4xf32>):
    %1 = tenon.constant dense<0.0> : tensor<1x4xf32>
    tenon.yield %1 : tensor<1x4xf32>
  }
  return
}

// -----
func.func @loopSizeBehind(%x: tensor<4xf32>) {
  // expected-error @below {{expected dim 0 of result 0 to be "l[3]", found "l[2]"}}
  %0 = tenon.loop "l"(%x) trips "n" : (tensor<4xf32>) -> tensor<?xf32, #tenon.dims<"l[2]">> {
  ^bb0(%i: tensor<i64>, %a: tensor<?xf32, #tenon.dims<"l[2]">>):
    tenon.yield %a : tensor<?xf32, #tenon.dims<"l[2]">>
  }
  return
}

// -----
func.func @loopSizeOrder(%x: tensor<4xf32>) {
  // expected-error @below {{expected dim 0 of argument 1 to be outside of the loop, or "l[2]", found "l[4]"}}
  %0 = tenon.loop "l"(%x) trips "n" : (tensor<4xf32>) -> tensor<?xf32, #tenon.dims<"l[5]">> {
  ^bb0(%i: tensor<i64>, %a: tensor<?xf32, #tenon.dims<"l[4]">>):
    tenon.yield %a : tensor<?xf32, #tenon.dims<"l[4]">>
  }
  return
}

// -----
!now = tensor<?xf32, #tenon.dims<"l[2]">>
!then = tensor<?xf32, #tenon.dims<"l[3]">>
func.func @loopSizesShared(%x: tensor<4xf32>) {
  // expected-error @below {{expected dims named "l[2]" to begin and change alike, found 4, then 2*l[2] and 4, then l[2]}}
  %0:2 = tenon.loop "l"(%x, %x) trips "n" : (tensor<4xf32>, tensor<4xf32>) -> (!then, !then) {
  ^bb0(%i: tensor<i64>, %a: !now, %b: !now):
    %1 = tenon.concat %a, %a axis 0 : !now, !now
    tenon.yield %1, %b : tensor<?xf32, #tenon.dims<"2*l[2]">>, !now
  }
  return
}
