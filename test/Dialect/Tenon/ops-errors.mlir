// RUN: tenon-opt %s --split-input-file --verify-diagnostics

// One function per error, named after what is wrong.

// expected-error @below {{expected a dim expression, found "seq +"}}
func.func @dimsUnparsable(%x: tensor<?xf32, #tenon.dims<"seq +">>)

// -----
// expected-error @below {{expected the canonical dim expression "2*seq", found "seq*2"}}
func.func @dimsNotCanonical(%x: tensor<?xf32, #tenon.dims<"seq*2">>)

// -----
// expected-error @below {{expected 2 dims in #tenon.dims<"seq">, found 1}}
func.func @dimsTooFew(%x: tensor<?x2xf32, #tenon.dims<"seq">>)

// -----
// expected-error @below {{expected dim 1 of #tenon.dims<"seq", "3"> to be 2, found "3"}}
func.func @dimsOtherConstant(%x: tensor<?x2xf32, #tenon.dims<"seq", "3">>)

// -----
// expected-error @below {{expected dim 0 of #tenon.dims<"4"> to be symbolic, found a constant for a dynamic dim}}
func.func @dimsConstantForDynamic(%x: tensor<?xf32, #tenon.dims<"4">>)

// -----
// expected-error @below {{expected a dynamic dim beside #tenon.dims<"4">, found a static shape}}
func.func @dimsOfStatic(%x: tensor<4xf32, #tenon.dims<"4">>)

// -----
func.func @unnamedDim(%x: tensor<?xf32>) {
  // expected-error @below {{operand #0 must be tensor of floats with named dims, but got 'tensor<?xf32>'}}
  %0 = "tenon.exp"(%x) : (tensor<?xf32>) -> tensor<?xf32>
  return
}

// -----
func.func @unnamedDimInText(%x: tensor<?x8xf32>) -> tensor<?x8xf32> {
  // expected-error @below {{'tenon.neg' op expected each operand to name its dynamic dims, as 'tensor<?x8xf32, #tenon.dims<"d0", "8">>' does, found 'tensor<?x8xf32>'}}
  %0 = tenon.neg %x : tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// -----
func.func @unnamedDimOfWeight(%x: tensor<4x8xf32>, %w: tensor<8x?xf32>) -> tensor<4x?xf32> {
  // expected-error @below {{'tenon.matmul' op expected rhs to name its dynamic dims, as 'tensor<8x?xf32, #tenon.dims<"8", "d1">>' does, found 'tensor<8x?xf32>'}}
  %0 = tenon.matmul %x, %w : tensor<4x8xf32>, tensor<8x?xf32>
  return %0 : tensor<4x?xf32>
}

// -----
func.func @notRanked(%x: tensor<*xf32>) {
  // expected-error @below {{operand #0 must be tensor of floats with named dims, but got}}
  %0 = "tenon.exp"(%x) : (tensor<*xf32>) -> tensor<4xf32>
  return
}

// -----
func.func @dimsThatClash(%x: tensor<2x3xf32>, %y: tensor<2x4xf32>) {
  // expected-error @below {{'tenon.add' op expected dims that broadcast, found [2, 3] and [2, 4] (they clash in dim 0 from the last)}}
  %0 = tenon.add %x, %y : tensor<2x3xf32>, tensor<2x4xf32>
  return
}

// -----
func.func @mixedElements(%x: tensor<2xf32>, %y: tensor<2xf64>) {
  // expected-error @below {{operands have one element type}}
  %0 = tenon.add %x, %y : tensor<2xf32>, tensor<2xf64>
  return
}

// -----
func.func @mixedBranches(%c: tensor<2xi1>, %x: tensor<2xf32>, %y: tensor<2xf64>) {
  // expected-error @below {{both branches have one element type}}
  %0 = tenon.select %c, %x, %y : tensor<2xi1>, tensor<2xf32>, tensor<2xf64>
  return
}

// -----
func.func @castToIndex(%x: tensor<2xf32>) {
  // expected-error @below {{'tenon.cast' op expected a number or bool element type, found 'index'}}
  %0 = tenon.cast %x to index : tensor<2xf32>
  return
}

// -----
func.func @wrongResult(%x: tensor<2xf32>) {
  // expected-error @below {{failed to infer returned types}}
  // expected-error @below {{'tenon.exp' op inferred type(s) 'tensor<2xf32>' are incompatible with return type(s) of operation 'tensor<3xf32>'}}
  %0 = "tenon.exp"(%x) : (tensor<2xf32>) -> tensor<3xf32>
  return
}

// -----
func.func @constantElement() {
  // expected-error @below {{'tenon.constant' op expected a number or bool element type, found 'i7'}}
  %0 = tenon.constant dense<0> : tensor<2xi7>
  return
}

// -----
func.func @constantNoTensor() {
  // expected-error @below {{'tenon.constant' op expected a value of plain tensor type, found 'vector<2xi64>'}}
  %0 = tenon.constant dense<0> : vector<2xi64>
  return
}

// -----
func.func @dimsValueFloat() {
  // expected-error @below {{expected an integer element type, found 'f32'}}
  %0 = tenon.dims_value <"seq"> : f32
  return
}

// -----
func.func @dimsValueScalarOfTwo() {
  // expected-error @below {{expected one expression for a scalar, found 2}}
  %0 = tenon.dims_value scalar <"a", "b"> : i64
  return
}

// -----
func.func @checkUnparsable() {
  // expected-error @below {{expected a dim expression, found "a b"}}
  tenon.check eq "a b", "c"
  return
}

// -----
func.func @readDimsBadName(%a: tensor<2xi64>) {
  // expected-error @below {{expected a name of letters, digits and _.:/, found "a b"}}
  tenon.read_dims %a as "a b" : tensor<2xi64>
  return
}

// -----
func.func @readDimsCount(%a: tensor<2xi64>) {
  // expected-error @below {{expected a bound for "#a", which is never negative, found none}}
  tenon.read_dims %a as "#a" : tensor<2xi64>
  return
}

// -----

func.func @readDimsOfUnknownLength(%a: tensor<?xi64, #tenon.dims<"n">>) {
  // expected-error @below {{expected numbers or bools of static dims, found}}
  tenon.read_dims %a as "a" : tensor<?xi64, #tenon.dims<"n">>
  return
}

// -----
func.func @checkNotCanonical() {
  // expected-error @below {{expected the canonical dim expression "a + b", found "b + a"}}
  tenon.check eq "b + a", "c"
  return
}

// -----
func.func @reshapeCount(%x: tensor<2x3xf32>) {
  // expected-error @below {{'tenon.reshape' op expected dims with 6 elements like the input's, found 8}}
  %0 = tenon.reshape %x to <"8"> : tensor<2x3xf32>
  return
}

// -----
func.func @reshapeNegative(%x: tensor<?xf32, #tenon.dims<"a">>) {
  // expected-error @below {{'tenon.reshape' op expected dims >= 0, found -1 in dim 0 of the result}}
  %0 = tenon.reshape %x to <"-1"> : tensor<?xf32, #tenon.dims<"a">>
  return
}

// -----
func.func @broadcastRank(%x: tensor<2x3xf32>) {
  // expected-error @below {{expected at least 2 dims like the input's, found 1}}
  %0 = tenon.broadcast_to %x to <"3"> : tensor<2x3xf32>
  return
}

// -----
func.func @broadcastDim(%x: tensor<2x3xf32>) {
  // expected-error @below {{expected dim 1 of the result to be 2 like the input's, found 5}}
  %0 = tenon.broadcast_to %x to <"4", "5", "3"> : tensor<2x3xf32>
  return
}

// -----
func.func @permLength(%x: tensor<2x3xf32>) {
  // expected-error @below {{expected 2 numbers in perm, found 3}}
  %0 = tenon.transpose %x [0, 1, 2] : tensor<2x3xf32>
  return
}

// -----
func.func @permRepeats(%x: tensor<2x3xf32>) {
  // expected-error @below {{expected a permutation of 0 to 1, found array<i64: 1, 1>}}
  %0 = tenon.transpose %x [1, 1] : tensor<2x3xf32>
  return
}

// -----
func.func @permNegative(%x: tensor<2x3xf32>) {
  // expected-error @below {{expected a permutation of 0 to 1, found array<i64: -1, 0>}}
  %0 = tenon.transpose %x [-1, 0] : tensor<2x3xf32>
  return
}

// -----
func.func @sliceStarts(%x: tensor<2x3xf32>) {
  // expected-error @below {{expected 2 starts, found 1}}
  %0 = tenon.slice %x from <"0"> step [1, 1] to <"1", "1"> : tensor<2x3xf32>
  return
}

// -----
func.func @sliceSteps(%x: tensor<2x3xf32>) {
  // expected-error @below {{expected 2 steps, found 1}}
  %0 = tenon.slice %x from <"0", "0"> step [1] to <"1", "1"> : tensor<2x3xf32>
  return
}

// -----
func.func @sliceStepZero(%x: tensor<2x3xf32>) {
  // expected-error @below {{expected steps other than 0, found 0 in dim 1}}
  %0 = tenon.slice %x from <"0", "0"> step [1, 0] to <"1", "1"> : tensor<2x3xf32>
  return
}

// -----
func.func @sliceOutside(%x: tensor<2x3xf32>) {
  // expected-error @below {{expected elements in [0, 3) of dim 1, found 2 to 3}}
  %0 = tenon.slice %x from <"0", "2"> step [1, 1] to <"1", "2"> : tensor<2x3xf32>
  return
}

// -----
func.func @sliceBackwardsOutside(%x: tensor<3xf32>) {
  // expected-error @below {{expected elements in [0, 3) of dim 0, found 1 to -1}}
  %0 = tenon.slice %x from <"1"> step [-1] to <"3"> : tensor<3xf32>
  return
}

// -----
func.func @concatNone() {
  // expected-error @below {{expected at least one input, found none}}
  // expected-error @below {{failed to infer returned types}}
  %0 = "tenon.concat"() {axis = 0 : i64} : () -> tensor<1xf32>
  return
}

// -----
func.func @concatAxis(%x: tensor<2x3xf32>) {
  // expected-error @below {{expected an axis in [0, 2), found -1}}
  %0 = tenon.concat %x axis -1 : tensor<2x3xf32>
  return
}

// -----
func.func @concatRanks(%x: tensor<2x3xf32>, %y: tensor<2xf32>) {
  // expected-error @below {{expected inputs of one rank, found ranks 2 and 1}}
  %0 = tenon.concat %x, %y axis 0 : tensor<2x3xf32>, tensor<2xf32>
  return
}

// -----
func.func @concatElements(%x: tensor<2xf32>, %y: tensor<2xi64>) {
  // expected-error @below {{expected inputs of one element type, found 'f32' and 'i64'}}
  %0 = tenon.concat %x, %y axis 0 : tensor<2xf32>, tensor<2xi64>
  return
}

// -----
func.func @concatOtherDims(%x: tensor<2x3xf32>, %y: tensor<2x4xf32>) {
  // expected-error @below {{expected dim 1 of all inputs to be equal, found 3 and 4}}
  %0 = tenon.concat %x, %y axis 0 : tensor<2x3xf32>, tensor<2x4xf32>
  return
}

// -----
func.func @padValue(%x: tensor<2xf32>, %v: tensor<1xf32>) {
  // expected-error @below {{expected a scalar value of the input's element type, found 'tensor<1xf32>'}}
  %0 = tenon.pad constant %x, %v low <"0"> high <"1"> : tensor<2xf32>, tensor<1xf32>
  return
}

// -----
func.func @padLow(%x: tensor<2xf32>, %v: tensor<f32>) {
  // expected-error @below {{expected 1 low amounts, found 2}}
  %0 = tenon.pad constant %x, %v low <"0", "0"> high <"1"> : tensor<2xf32>, tensor<f32>
  return
}

// -----
func.func @padNegative(%x: tensor<2xf32>, %v: tensor<f32>) {
  // expected-error @below {{expected dims >= 0, found -1 in dim 0 of the result}}
  %0 = tenon.pad constant %x, %v low <"-3"> high <"0"> : tensor<2xf32>, tensor<f32>
  return
}

// -----
func.func @iotaSize() {
  // expected-error @below {{expected a dim expression, found "?"}}
  %0 = tenon.iota "0" step "1" size "?" : i64
  return
}

// -----
func.func @iotaBool() {
  // expected-error @below {{expected a number element type, found 'i1'}}
  %0 = tenon.iota "0" step "1" size "4" : i1
  return
}

// -----
func.func @iotaStart() {
  // expected-error @below {{expected the canonical dim expression "seq + 1", found "1 + seq"}}
  %0 = tenon.iota "1 + seq" step "1" size "4" : i64
  return
}

// -----
func.func @gatherAxis(%x: tensor<2xf32>, %i: tensor<3xi64>) {
  // expected-error @below {{expected an axis in [0, 1), found 1}}
  %0 = tenon.gather %x, %i axis 1 : tensor<2xf32>, tensor<3xi64>
  return
}

// -----
func.func @gatherElementsRank(%x: tensor<2x2xf32>, %i: tensor<3xi64>) {
  // expected-error @below {{expected indices of rank 2 like the input's, found rank 1}}
  %0 = tenon.gather_elements %x, %i axis 1 : tensor<2x2xf32>, tensor<3xi64>
  return
}

// -----
func.func @gatherElementsDim(%x: tensor<2x2xf32>, %i: tensor<3x2xi64>) {
  // expected-error @below {{expected dim 0 of indices to be at most 2, found 3}}
  %0 = tenon.gather_elements %x, %i axis 1 : tensor<2x2xf32>, tensor<3x2xi64>
  return
}

// -----
func.func @gatherNDScalar(%x: tensor<f32>, %i: tensor<1xi64>) {
  // expected-error @below {{expected input and indices of rank >= 1, found ranks 0 and 1}}
  %0 = tenon.gather_nd %x, %i batch_dims 0 : tensor<f32>, tensor<1xi64>
  return
}

// -----
func.func @gatherNDBatch(%x: tensor<2x2xf32>, %i: tensor<2x1xi64>) {
  // expected-error @below {{expected batch_dims in [0, 1], found 2}}
  %0 = tenon.gather_nd %x, %i batch_dims 2 : tensor<2x2xf32>, tensor<2x1xi64>
  return
}

// -----
func.func @gatherNDTuple(%x: tensor<2x2xf32>, %i: tensor<2x3xi64>) {
  // expected-error @below {{expected index tuples of 1 to 2 numbers in the last dim of indices, found 3}}
  %0 = tenon.gather_nd %x, %i batch_dims 0 : tensor<2x2xf32>, tensor<2x3xi64>
  return
}

// -----
func.func @reduceAxes(%x: tensor<2x2xf32>) {
  // expected-error @below {{expected rising axes in [0, 2), found array<i64: 1, 0>}}
  %0 = tenon.reduce sum %x over [1, 0] : tensor<2x2xf32>
  return
}

// -----
func.func @reduceAllOfNumbers(%x: tensor<2x2xf32>) {
  // expected-error @below {{expected a bool element type for all, found 'f32'}}
  %0 = tenon.reduce all %x over [0] : tensor<2x2xf32>
  return
}

// -----
func.func @reduceSumOfBools(%x: tensor<2x2xi1>) {
  // expected-error @below {{expected a number element type for sum, found 'i1'}}
  %0 = tenon.reduce sum %x over [0] : tensor<2x2xi1>
  return
}

// -----
func.func @scatterElementsRanks(%x: tensor<4x5xf32>, %i: tensor<4xi64>, %u: tensor<4xf32>) {
  // expected-error @below {{expected indices and updates of rank 2 like the input's, found ranks 1 and 1}}
  %0 = tenon.scatter_elements none %x, %i, %u axis 0 : tensor<4x5xf32>, tensor<4xi64>, tensor<4xf32>
  return
}

// -----
func.func @scatterElementsAxis(%x: tensor<4xf32>, %i: tensor<4xi64>) {
  // expected-error @below {{expected an axis in [0, 1), found 1}}
  %0 = tenon.scatter_elements none %x, %i, %x axis 1 : tensor<4xf32>, tensor<4xi64>, tensor<4xf32>
  return
}

// -----
func.func @scatterElementsUpdates(%x: tensor<4xf32>, %i: tensor<3xi64>) {
  // expected-error @below {{dim 0 of indices and updates}}
  %0 = tenon.scatter_elements none %x, %i, %x axis 0 : tensor<4xf32>, tensor<3xi64>, tensor<4xf32>
  return
}

// -----
func.func @scatterElementsDims(%x: tensor<4x2xf32>, %i: tensor<4x3xi64>, %u: tensor<4x3xf32>) {
  // expected-error @below {{expected dim 1 of indices to be at most 2, found 3}}
  %0 = tenon.scatter_elements none %x, %i, %u axis 0 : tensor<4x2xf32>, tensor<4x3xi64>, tensor<4x3xf32>
  return
}

// -----
func.func @scatterElementsTypes(%x: tensor<4xf32>, %i: tensor<4xi64>) {
  // expected-error @below {{expected input and updates of one element type, found 'f32' and 'i64'}}
  %0 = tenon.scatter_elements none %x, %i, %i axis 0 : tensor<4xf32>, tensor<4xi64>, tensor<4xi64>
  return
}

// -----
func.func @scatterNDRanks(%x: tensor<f32>, %i: tensor<1xi64>) {
  // expected-error @below {{expected input and indices of rank >= 1, found ranks 0 and 1}}
  %0 = tenon.scatter_nd none %x, %i, %x : tensor<f32>, tensor<1xi64>, tensor<f32>
  return
}

// -----
func.func @scatterNDTuple(%x: tensor<4xf32>, %i: tensor<3x2xi64>, %u: tensor<3xf32>) {
  // expected-error @below {{expected index tuples of 1 to 1 numbers in the last dim of indices, found 2}}
  %0 = tenon.scatter_nd none %x, %i, %u : tensor<4xf32>, tensor<3x2xi64>, tensor<3xf32>
  return
}

// -----
func.func @scatterNDUpdatesRank(%x: tensor<4x5xf32>, %i: tensor<3x1xi64>, %u: tensor<3xf32>) {
  // expected-error @below {{expected updates of rank 2, found rank 1}}
  %0 = tenon.scatter_nd none %x, %i, %u : tensor<4x5xf32>, tensor<3x1xi64>, tensor<3xf32>
  return
}

// -----
func.func @scatterNDUpdates(%x: tensor<4x5xf32>, %i: tensor<3x1xi64>, %u: tensor<3x4xf32>) {
  // expected-error @below {{dim 1 of updates}}
  %0 = tenon.scatter_nd none %x, %i, %u : tensor<4x5xf32>, tensor<3x1xi64>, tensor<3x4xf32>
  return
}

// -----
func.func @scatterNDBools(%x: tensor<4xi1>, %i: tensor<3x1xi64>, %u: tensor<3xi1>) {
  // expected-error @below {{expected a number element type for add, found 'i1'}}
  %0 = tenon.scatter_nd add %x, %i, %u : tensor<4xi1>, tensor<3x1xi64>, tensor<3xi1>
  return
}

// -----
func.func @appendAxis(%x: tensor<2x4x8xf32>, %r: tensor<1x2xi64>) {
  // expected-error @below {{expected an axis behind the first dim, operands of one rank and rows of rank 2, found axis 0 and ranks 3, 3 and 2}}
  %0 = tenon.append %x, %x at %r axis 0 to "4" : tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<1x2xi64>
  return
}

// -----
func.func @appendRows(%x: tensor<2x4x8xf32>, %f: tensor<2x3x8xf32>, %r: tensor<1x2xi64>) {
  // expected-error @below {{dim 1 of rows}}
  %0 = tenon.append %x, %f at %r axis 1 to "4" : tensor<2x4x8xf32>, tensor<2x3x8xf32>, tensor<1x2xi64>
  return
}

// -----
func.func @appendTypes(%x: tensor<2x4x8xf32>, %f: tensor<2x3x8xf16>, %r: tensor<1x3xi64>) {
  // expected-error @below {{expected input and fresh of one element type, found 'f32' and 'f16'}}
  %0 = tenon.append %x, %f at %r axis 1 to "4" : tensor<2x4x8xf32>, tensor<2x3x8xf16>, tensor<1x3xi64>
  return
}

// -----
func.func @storePagesRank(%x: tensor<4x8xf32>, %r: tensor<1x4xi64>) {
  // expected-error @below {{expected operands of one rank >= 3 and rows of rank 2, found ranks 2, 2 and 2}}
  %0 = tenon.store_pages %x, %x at %r as f16 carried "c" table "0" : tensor<4x8xf32>, tensor<4x8xf32>, tensor<1x4xi64>
  return
}

// -----
func.func @storePagesType(%x: tensor<2x4x8xf16>, %r: tensor<1x4xi64>) {
  // expected-error @below {{expected rows of f32 as f32, f16, bf16 or i8, found 'f16' and 'f16' as 'i8'}}
  %0 = tenon.store_pages %x, %x at %r as i8 carried "c" table "0" : tensor<2x4x8xf16>, tensor<2x4x8xf16>, tensor<1x4xi64>
  return
}

// -----
func.func @storePagesElement(%x: tensor<2x4x8xf32>, %r: tensor<1x4xi64>) {
  // expected-error @below {{expected rows of f32 as f32, f16, bf16 or i8, found 'f32' and 'f32' as 'f64'}}
  %0 = tenon.store_pages %x, %x at %r as f64 carried "c" table "0" : tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<1x4xi64>
  return
}

// -----
func.func @storePagesRows(%x: tensor<2x4x8xf32>, %r: tensor<1x3xi64>) {
  // expected-error @below {{dim 1 of rows}}
  %0 = tenon.store_pages %x, %x at %r as i8 carried "c" table "0" : tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<1x3xi64>
  return
}

// -----
func.func @loadPagesSize(%x: tensor<2x1x384xi8>) {
  // expected-error @below {{expected pages of rank >= 3, a length and a size, found rank 3, size 0}}
  %0 = tenon.load_pages %x size 0 length "4" table "0" : tensor<2x1x384xi8>
  return
}

// -----
func.func @loadPagesWidth(%x: tensor<2x1x384xi8>) {
  // expected-error @below {{expected pages of 1152 elements for rows of 8, found 384}}
  %0 = tenon.load_pages %x size 8 length "4" table "0" : tensor<2x1x384xi8>
  return
}

// -----
func.func @loadPagesEnds(%x: tensor<2x1x384xi8>, %e: tensor<2x1xi64>) {
  // expected-error @below {{expected ends of rank 1, found rank 2}}
  %0 = tenon.load_pages %x ends %e size 8 length "4" table "0" transposed : tensor<2x1x384xi8>, tensor<2x1xi64>
  return
}

// -----
func.func @loadPagesSequences(%x: tensor<2x1x384xi8>, %e: tensor<3xi64>) {
  // expected-error @below {{dim 0 of ends}}
  %0 = tenon.load_pages %x ends %e size 8 length "4" table "0" transposed : tensor<2x1x384xi8>, tensor<3xi64>
  return
}

// -----
func.func @storedRows() {
  // expected-error @below {{expected a dim expression, found "p +"}}
  %0 = tenon.stored_rows "p +" of "2" table "0"
  return
}

// -----
func.func @loadPagesElements(%x: tensor<2x1x383xi8>) {
  // expected-error @below {{expected pages of 384 elements for rows of 8, found 383}}
  %0 = tenon.load_pages %x size 8 length "4" table "0" transposed : tensor<2x1x383xi8>
  return
}

// -----
func.func @loadPagesType(%x: tensor<2x1x256xi32>) {
  // expected-error @below {{expected pages of f32, f16, bf16 or i8, found 'i32'}}
  %0 = tenon.load_pages %x size 8 length "4" table "0" transposed : tensor<2x1x256xi32>
  return
}

// -----
func.func @argReduceAxis(%x: tensor<2x2xf32>) {
  // expected-error @below {{expected an axis in [0, 2), found 2}}
  %0 = tenon.arg_reduce %x over 2 : tensor<2x2xf32>
  return
}

// -----
func.func @cumulateAxis(%x: tensor<f32>) {
  // expected-error @below {{expected an axis in [0, 0), found 0}}
  %0 = tenon.cumulate sum %x over 0 : tensor<f32>
  return
}

// -----
func.func @cumulateKind(%x: tensor<3xf32>) {
  // expected-error @below {{expected sum or prod, found max}}
  %0 = tenon.cumulate max %x over 0 : tensor<3xf32>
  return
}

// -----
func.func @topKScalar(%x: tensor<f32>) {
  // expected-error @below {{expected an input of rank >= 1, found rank 0}}
  %0 = tenon.top_k %x k "1" : tensor<f32>
  return
}

// -----
func.func @topKExpression(%x: tensor<4xf32>) {
  // expected-error @below {{expected a dim expression for k, found "k+"}}
  %0 = tenon.top_k %x k "k+" : tensor<4xf32>
  return
}

// -----
func.func @topKTooMany(%x: tensor<4xf32>) {
  // expected-error @below {{expected k in [0, 4], found 5}}
  %0 = tenon.top_k %x k "5" : tensor<4xf32>
  return
}

// -----
func.func @linearAttentionRanks(%q: tensor<2x3x4x8xf32>, %k: tensor<2x3x4x8xf32>) {
  // expected-error @below {{expected a query of rank 5 and a value of rank 4, found ranks 4 and 4}}
  %0 = tenon.linear_attention %q, %k, %k : tensor<2x3x4x8xf32>, tensor<2x3x4x8xf32>, tensor<2x3x4x8xf32>
  return
}

// -----
!q = tensor<2x3x4x?x8xf32, #tenon.dims<"2", "3", "4", "g", "8">>
func.func @linearAttentionGroups(%q: !q, %k: tensor<2x3x4x8xf32>) {
  // expected-error @below {{expected a static dim 3 of query, found g}}
  %0 = tenon.linear_attention %q, %k, %k : !q, tensor<2x3x4x8xf32>, tensor<2x3x4x8xf32>
  return
}

// -----
func.func @linearAttentionKey(%q: tensor<2x3x4x1x8xf32>, %k: tensor<2x3x4x9xf32>) {
  // expected-error @below {{dim 3 of key}}
  %0 = tenon.linear_attention %q, %k, %k : tensor<2x3x4x1x8xf32>, tensor<2x3x4x9xf32>, tensor<2x3x4x9xf32>
  return
}

// -----
func.func @linearAttentionBeta(%q: tensor<2x3x4x1x8xf32>, %k: tensor<2x3x4x8xf32>, %b: tensor<2x3x4xf32>) {
  // expected-error @below {{expected beta of rank 4, found rank 3}}
  %0 = tenon.linear_attention %q, %k, %k beta %b : tensor<2x3x4x1x8xf32>, tensor<2x3x4x8xf32>, tensor<2x3x4x8xf32> beta tensor<2x3x4xf32>
  return
}

// -----
func.func @softmaxScalar(%x: tensor<f32>) {
  // expected-error @below {{expected an input of rank >= 1, found rank 0}}
  %0 = tenon.softmax %x : tensor<f32>
  return
}

// -----
func.func @normDims(%x: tensor<2x4xf32>) {
  // expected-error @below {{expected dims in [1, 2], found 3}}
  %0 = tenon.rms_norm %x epsilon 1.0E-6 dims 3 : tensor<2x4xf32>
  return
}

// -----
func.func @normScaleRank(%x: tensor<2x4xf32>, %s: tensor<1x4xf32>) {
  // expected-error @below {{expected scale and bias of rank 1, found rank 2}}
  %0 = tenon.rms_norm %x scale %s epsilon 1.0E-6 dims 1 : tensor<2x4xf32>, tensor<1x4xf32>
  return
}

// -----
func.func @normScaleElement(%x: tensor<2x4xf32>, %s: tensor<4xf64>) {
  // expected-error @below {{expected scale and bias of the input's element type 'f32', found 'f64'}}
  %0 = tenon.rms_norm %x scale %s epsilon 1.0E-6 dims 1 : tensor<2x4xf32>, tensor<4xf64>
  return
}

// -----
func.func @normScaleDim(%x: tensor<2x4xf32>, %s: tensor<5xf32>) {
  // expected-error @below {{expected normalised dim 0 and scale's or bias' to be equal, found 4 and 5}}
  %0 = tenon.rms_norm %x scale %s epsilon 1.0E-6 dims 1 : tensor<2x4xf32>, tensor<5xf32>
  return
}

// -----
func.func @normEpsilon(%x: tensor<2x4xf32>) {
  // expected-error @below {{expected a finite epsilon >= 0, found -1}}
  %0 = tenon.layer_norm %x epsilon -1.0 dims 1 : tensor<2x4xf32>
  return
}

// -----
func.func @normBiasAlone(%x: tensor<2x4xf32>, %b: tensor<4xf32>) {
  // expected-error @below {{expected a scale beside the bias, found none}}
  %0 = "tenon.layer_norm"(%x, %b) {epsilon = 1.0 : f64, dims = 1 : i64, operandSegmentSizes = array<i32: 1, 0, 1>} : (tensor<2x4xf32>, tensor<4xf32>) -> tensor<2x4xf32>
  return
}

// -----
func.func @matmulRank(%x: tensor<4xf32>, %y: tensor<4x2xf32>) {
  // expected-error @below {{expected operands of rank >= 2, found ranks 1 and 2}}
  %0 = tenon.matmul %x, %y : tensor<4xf32>, tensor<4x2xf32>
  return
}

// -----
func.func @matmulInner(%x: tensor<2x4xf32>, %y: tensor<5x2xf32>) {
  // expected-error @below {{expected the dims that are summed over to be equal, found 4 and 5}}
  %0 = tenon.matmul %x, %y : tensor<2x4xf32>, tensor<5x2xf32>
  return
}

// -----
func.func @matmulElements(%x: tensor<2x4xf32>, %y: tensor<4x2xf64>) {
  // expected-error @below {{expected operands of one element type, found 'f32' and 'f64'}}
  %0 = tenon.matmul %x, %y : tensor<2x4xf32>, tensor<4x2xf64>
  return
}

// -----
func.func @convRank(%x: tensor<2x4xf32>, %w: tensor<4x4xf32>) {
  // expected-error @below {{expected input and weight of one rank >= 3, found ranks 2 and 2}}
  %0 = tenon.conv %x, %w strides [] pads [] dilations [] group 1 : tensor<2x4xf32>, tensor<4x4xf32>
  return
}

// -----
func.func @convStrides(%x: tensor<1x4x8xf32>, %w: tensor<6x4x3xf32>) {
  // expected-error @below {{expected strides in [1, 2147483648], found 0}}
  %0 = tenon.conv %x, %w strides [0] pads [0, 0] dilations [1] group 1 : tensor<1x4x8xf32>, tensor<6x4x3xf32>
  return
}

// -----
func.func @convPads(%x: tensor<1x4x8xf32>, %w: tensor<6x4x3xf32>) {
  // expected-error @below {{expected 2 pads, found 1}}
  %0 = tenon.conv %x, %w strides [1] pads [0] dilations [1] group 1 : tensor<1x4x8xf32>, tensor<6x4x3xf32>
  return
}

// -----
func.func @convChannels(%x: tensor<1x4x8xf32>, %w: tensor<6x4x3xf32>) {
  // expected-error @below {{expected the input's channels and weight's times group to be equal, found 4 and 8}}
  %0 = tenon.conv %x, %w strides [1] pads [0, 0] dilations [1] group 2 : tensor<1x4x8xf32>, tensor<6x4x3xf32>
  return
}

// -----
func.func @convGroup(%x: tensor<1x8x8xf32>, %w: tensor<5x4x3xf32>) {
  // expected-error @below {{expected output channels divisible by group 2, found 5}}
  %0 = tenon.conv %x, %w strides [1] pads [0, 0] dilations [1] group 2 : tensor<1x8x8xf32>, tensor<5x4x3xf32>
  return
}

// -----
func.func @convTooSmall(%x: tensor<1x4x2xf32>, %w: tensor<6x4x5xf32>) {
  // expected-error @below {{expected dims >= 0, found -2 in dim 2 of the result}}
  %0 = tenon.conv %x, %w strides [1] pads [0, 0] dilations [1] group 1 : tensor<1x4x2xf32>, tensor<6x4x5xf32>
  return
}

// -----
func.func @convElements(%x: tensor<1x4x8xf32>, %w: tensor<6x4x3xf64>) {
  // expected-error @below {{expected operands of one element type, found 'f32' and 'f64'}}
  %0 = tenon.conv %x, %w strides [1] pads [0, 0] dilations [1] group 1 : tensor<1x4x8xf32>, tensor<6x4x3xf64>
  return
}

// -----
func.func @im2colRank(%x: tensor<4x8xf32>) {
  // expected-error @below {{expected an input of rank >= 3, found rank 2}}
  %0 = tenon.im2col %x kernel [] strides [] pads [] dilations [] : tensor<4x8xf32>
  return
}

// -----
func.func @im2colChannelsLast(%x: tensor<1x2x8xf32>) {
  // expected-error @below {{expected dims >= 0, found -2 in dim 1 of the result}}
  %0 = tenon.im2col %x kernel [5] strides [1] pads [0, 0] dilations [1] channels_last : tensor<1x2x8xf32>
  return
}

// -----
func.func @depthwiseRank(%x: tensor<4x8xf32>, %w: tensor<1x8xf32>) {
  // expected-error @below {{expected an input of rank >= 3, found rank 2}}
  %0 = tenon.depthwise %x, %w kernel [] strides [] pads [] dilations [] : tensor<4x8xf32>, tensor<1x8xf32>
  return
}

// -----
func.func @depthwiseWeight(%x: tensor<1x4x8xf32>, %w: tensor<8x1x3xf32>) {
  // expected-error @below {{expected a weight of rank 2, found rank 3}}
  %0 = tenon.depthwise %x, %w kernel [3] strides [1] pads [0, 0] dilations [1] : tensor<1x4x8xf32>, tensor<8x1x3xf32>
  return
}

// -----
func.func @depthwiseTaps(%x: tensor<1x4x8xf32>, %w: tensor<4x8xf32>) {
  // expected-error @below {{expected the weight's rows and the kernel's places to be equal, found 4 and 3}}
  %0 = tenon.depthwise %x, %w kernel [3] strides [1] pads [0, 0] dilations [1] : tensor<1x4x8xf32>, tensor<4x8xf32>
  return
}

// -----
func.func @depthwiseChannels(%x: tensor<1x4x8xf32>, %w: tensor<3x6xf32>) {
  // expected-error @below {{expected the weight's and the input's channels to be equal, found 6 and 8}}
  %0 = tenon.depthwise %x, %w kernel [3] strides [1] pads [0, 0] dilations [1] : tensor<1x4x8xf32>, tensor<3x6xf32>
  return
}

// -----
func.func @depthwiseTypes(%x: tensor<1x4x8xf32>, %w: tensor<3x8xf64>) {
  // expected-error @below {{all of {input, weight} have same element type}}
  %0 = tenon.depthwise %x, %w kernel [3] strides [1] pads [0, 0] dilations [1] : tensor<1x4x8xf32>, tensor<3x8xf64>
  return
}

// -----
func.func @packRank(%x: tensor<4xf32>) {
  // expected-error @below {{expected an input of rank >= 2, found rank 1}}
  %0 = tenon.pack_b %x : tensor<4xf32>
  return
}

// -----
func.func @winogradMatrices(%x: tensor<1x8x8x16xf32>, %p: tensor<9x1x16x32xf32>) {
  %0 = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x16xf32>
  // expected-error @below {{expected with winograd lhs of rank 3 and 16 packed matrices, found rank 3 and packed of rank 4, first dim 9}}
  %1 = tenon.packed_matmul %0, %p columns "32" winograd : tensor<1x64x144xf32>, tensor<9x1x16x32xf32>
  return
}

// -----
func.func @winogradDepth(%x: tensor<1x8x8x16xf32>, %p: tensor<16x1x8x32xf32>) {
  %0 = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x16xf32>
  // expected-error @below {{expected the dims that are summed over to be equal, found 16 and 8}}
  %1 = tenon.packed_matmul %0, %p columns "32" winograd : tensor<1x64x144xf32>, tensor<16x1x8x32xf32>
  return
}

// -----
func.func @winogradSteps(%x: tensor<1x8x8x16xf32>, %p: tensor<16x1x16x32xf32>) {
  %0 = tenon.im2col %x kernel [3, 3] strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x16xf32>
  // expected-error @below {{expected for winograd an im2col of f32 with channels_last, kernel 3x3, and strides of 1 by 16 matrices or, with dilations of 1, of 2 by one}}
  %1 = tenon.packed_matmul %0, %p columns "32" winograd : tensor<1x16x144xf32>, tensor<16x1x16x32xf32>
  return
}

// -----
func.func @winogradOneMatrix(%x: tensor<1x8x8x16xf32>, %p: tensor<1x400x32xf32>) {
  %0 = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x16xf32>
  // expected-error @below {{strides of 1 by 16 matrices or, with dilations of 1, of 2 by one}}
  %1 = tenon.packed_matmul %0, %p columns "32" winograd : tensor<1x64x144xf32>, tensor<1x400x32xf32>
  return
}

// -----
func.func @winogradStepsDilated(%x: tensor<1x8x8x16xf32>, %p: tensor<1x400x32xf32>) {
  %0 = tenon.im2col %x kernel [3, 3] strides [2, 2] pads [2, 2, 2, 2] dilations [2, 2] channels_last : tensor<1x8x8x16xf32>
  // expected-error @below {{with dilations of 1, of 2 by one}}
  %1 = tenon.packed_matmul %0, %p columns "32" winograd : tensor<1x16x144xf32>, tensor<1x400x32xf32>
  return
}

// -----
func.func @winogradStepsDepth(%x: tensor<1x8x8x16xf32>, %p: tensor<1x144x32xf32>) {
  %0 = tenon.im2col %x kernel [3, 3] strides [2, 2] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x16xf32>
  // expected-error @below {{expected the dims that are summed over to be equal, found 400 and 144}}
  %1 = tenon.packed_matmul %0, %p columns "32" winograd : tensor<1x16x144xf32>, tensor<1x144x32xf32>
  return
}

// -----
func.func @winogradRows(%x: tensor<1x64x144xf32>, %p: tensor<16x1x16x32xf32>) {
  // expected-error @below {{expected for winograd an im2col of f32}}
  %0 = tenon.packed_matmul %x, %p columns "32" winograd : tensor<1x64x144xf32>, tensor<16x1x16x32xf32>
  return
}

// -----
func.func @winogradElement(%x: tensor<1x64x144xf16>, %p: tensor<16x1x16x32xf32>) {
  // expected-error @below {{expected f32 without a format for winograd, found 'f16'}}
  %0 = tenon.packed_matmul %x, %p columns "32" winograd : tensor<1x64x144xf16>, tensor<16x1x16x32xf32>
  return
}

// -----
func.func @winogradUnless(%x: tensor<1x8x8x16xf32>, %p: tensor<16x1x16x32xf32>, %d: tensor<1x128x32xf32>) {
  %0 = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x16xf32>
  // expected-error @below {{expected direct to be panels in f32 of 144 rows, found 'tensor<1x128x32xf32>'}}
  %1 = tenon.packed_matmul %0, %p columns "32" winograd unless "0" direct %d : tensor<1x64x144xf32>, tensor<16x1x16x32xf32>, tensor<1x128x32xf32>
  return
}

// -----
func.func @winogradWhen(%x: tensor<1x8x8x16xf32>, %p: tensor<16x1x16x32xf32>, %d: tensor<1x144x32xf32>) {
  %0 = tenon.im2col %x kernel [3, 3] strides [1, 1] pads [1, 1, 1, 1] dilations [1, 1] channels_last : tensor<1x8x8x16xf32>
  // expected-error @below {{expected a dim expression, found "small of"}}
  %1 = tenon.packed_matmul %0, %p columns "32" winograd unless "small of" direct %d : tensor<1x64x144xf32>, tensor<16x1x16x32xf32>, tensor<1x144x32xf32>
  return
}

// -----
func.func @directAlone(%x: tensor<1x64x144xf32>, %p: tensor<1x144x32xf32>) {
  // expected-error @below {{expected direct and unless with winograd alone, each beside the other}}
  %0 = tenon.packed_matmul %x, %p columns "32" unless "0" direct %p : tensor<1x64x144xf32>, tensor<1x144x32xf32>, tensor<1x144x32xf32>
  return
}

// -----
func.func @packedRank(%x: tensor<4x4xf32>, %p: tensor<4x32xf32>) {
  // expected-error @below {{expected lhs of rank >= 2 and packed of rank >= 3, found ranks 2 and 2}}
  %0 = tenon.packed_matmul %x, %p columns "32" : tensor<4x4xf32>, tensor<4x32xf32>
  return
}

// -----
func.func @packedColumns(%x: tensor<4x4xf32>, %p: tensor<1x4x32xf32>) {
  // expected-error @below {{expected a dim expression for the columns, found "3 2"}}
  %0 = tenon.packed_matmul %x, %p columns "3 2" : tensor<4x4xf32>, tensor<1x4x32xf32>
  return
}

// -----
func.func @packedWidth(%x: tensor<4x4xf32>, %p: tensor<1x4x16xf32>) {
  // expected-error @below {{expected panels of 32 columns or of one, found 16}}
  %0 = tenon.packed_matmul %x, %p columns "16" : tensor<4x4xf32>, tensor<1x4x16xf32>
  return
}

// -----
func.func @shortColumns(%x: tensor<4x17xf32>, %p: tensor<2x16x1xf32>) {
  // expected-error @below {{expected columns of at least 17 numbers, found 16}}
  %0 = tenon.packed_matmul %x, %p columns "2" : tensor<4x17xf32>, tensor<2x16x1xf32>
  return
}

// -----
func.func @packedPanels(%x: tensor<4x4xf32>, %p: tensor<1x4x32xf32>) {
  // expected-error @below {{expected the panels of n columns and packed's to be equal, found 2 and 1}}
  %0 = tenon.packed_matmul %x, %p columns "33" : tensor<4x4xf32>, tensor<1x4x32xf32>
  return
}

// -----
func.func @kernelArguments(%x: tensor<4xf32>) {
  // expected-error @below {{expected block arguments of types 'tensor<4xf32>', found 'tensor<5xf32>'}}
  %0 = tenon.kernel map(%x) : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<5xf32>):
    %1 = tenon.constant dense<0.0> : tensor<4xf32>
    tenon.yield %1 : tensor<4xf32>
  }
  return
}

// -----
func.func @kernelYield(%x: tensor<4xf32>) {
  // expected-error @below {{expected yielded values of types 'tensor<5xf32>', found 'tensor<4xf32>'}}
  %0 = tenon.kernel map(%x) : (tensor<4xf32>) -> tensor<5xf32> {
  ^bb0(%a: tensor<4xf32>):
    tenon.yield %a : tensor<4xf32>
  }
  return
}

// -----
func.func @kernelKind(%x: tensor<4xf32>) {
  // expected-error @below {{expected kind row for what the region holds, found map}}
  %0 = tenon.kernel map(%x) : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    %1 = tenon.softmax %a : tensor<4xf32>
    tenon.yield %1 : tensor<4xf32>
  }
  return
}

// -----
func.func @kernelKindOfRoot(%x: tensor<4xf32>) {
  // expected-error @below {{expected kind scan for what the region holds, found top_k}}
  %0 = tenon.kernel top_k(%x) : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    %1 = tenon.cumulate sum %a over 0 : tensor<4xf32>
    tenon.yield %1 : tensor<4xf32>
  }
  return
}

// -----
func.func @kernelOfTwoConvolutions(%x: tensor<1x4x8xf32>, %w: tensor<1x8xf32>) {
  // expected-error @below {{holds anchors that make no kernel together}}
  %0 = tenon.kernel depthwise(%x, %w) : (tensor<1x4x8xf32>, tensor<1x8xf32>) -> tensor<1x4x8xf32> {
  ^bb0(%a: tensor<1x4x8xf32>, %b: tensor<1x8xf32>):
    %1 = tenon.depthwise %a, %b kernel [1] strides [1] pads [0, 0] dilations [1] : tensor<1x4x8xf32>, tensor<1x8xf32>
    %2 = tenon.depthwise %1, %b kernel [1] strides [1] pads [0, 0] dilations [1] : tensor<1x4x8xf32>, tensor<1x8xf32>
    tenon.yield %2 : tensor<1x4x8xf32>
  }
  return
}

// -----
func.func @kernelOfNoKind(%x: tensor<4xf32>) {
  // expected-error @below {{holds anchors that make no kernel together}}
  %0 = tenon.kernel row(%x) : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    %1 = tenon.softmax %a : tensor<4xf32>
    %2 = tenon.softmax %1 : tensor<4xf32>
    tenon.yield %2 : tensor<4xf32>
  }
  return
}

// -----
func.func @computesInStorageType(%x: tensor<4xf8E4M3FN>) {
  // expected-error @below {{operand #0 must be tensor of floats or integers with named dims, but got 'tensor<4xf8E4M3FN>'}}
  %0 = tenon.neg %x : tensor<4xf8E4M3FN>
  return
}

// -----
func.func @comparesStorageType(%x: tensor<4xi4>) {
  // expected-error @below {{operand #0 must be tensor of floats, integers or bools of 8 bits or more with named dims, but got 'tensor<4xi4>'}}
  %0 = tenon.compare lt %x, %x : tensor<4xi4>, tensor<4xi4>
  return
}

// -----
func.func @lookUpInFew(%x: tensor<4xui8>) {
  // expected-error @below {{'tenon.look_up' op expected a table of 256 codes, found one of 3}}
  %0 = tenon.look_up %x in [1, 2, 3] to ui8 : tensor<4xui8>
  return
}

// -----
func.func @bitcastWidth(%x: tensor<4xf32>) {
  // expected-error @below {{'tenon.bitcast' op expected a type of 32 bits like 'f32', found 'i16'}}
  %0 = tenon.bitcast %x to i16 : tensor<4xf32>
  return
}

// -----
func.func @roundTo(%x: tensor<4xf32>) {
  // expected-error @below {{'tenon.round_to' op attribute 'to' failed to satisfy constraint: type attribute of 16-bit float or bfloat16 type}}
  %0 = tenon.round_to %x to f64 : tensor<4xf32>
  return
}

// -----
func.func @roundsF32(%x: tensor<4xf16>) {
  // expected-error @below {{'tenon.round_to' op operand #0 must be tensor of f32 with named dims, but got 'tensor<4xf16>'}}
  %0 = tenon.round_to %x to bf16 : tensor<4xf16>
  return
}

// -----
func.func @castToUnknown(%x: tensor<4xf32>) {
  // expected-error @below {{expected a number or bool element type, found 'i3'}}
  %0 = tenon.cast %x to i3 : tensor<4xf32>
  return
}

// -----
func.func @unpackSize(%x: tensor<4xui8>) {
  // expected-error @below {{expected a dim expression for the size, found "n +"}}
  %0 = tenon.unpack %x size "n +" to i4 : tensor<4xui8>
  return
}

// -----
func.func @unpackElement(%x: tensor<4xui8>) {
  // expected-error @below {{expected an element type of 2 or 4 bits, found 'i8'}}
  %0 = tenon.unpack %x size "4" to i8 : tensor<4xui8>
  return
}

// -----
func.func @unpackRank(%x: tensor<2x2xui8>) {
  // expected-error @below {{expected an input of rank 1, found rank 2}}
  %0 = tenon.unpack %x size "8" to i4 : tensor<2x2xui8>
  return
}

// -----
func.func @unpackBytes(%x: tensor<4xui8>) {
  // expected-error @below {{the bytes of `size` elements and the input's}}
  %0 = tenon.unpack %x size "9" to i4 : tensor<4xui8>
  return
}

// -----
func.func @packElement(%x: tensor<4xi8>) {
  // expected-error @below {{expected elements of 2 or 4 bits, found 'i8'}}
  %0 = tenon.pack %x : tensor<4xi8>
  return
}

// -----
func.func @packRank(%x: tensor<2x2xi4>) {
  // expected-error @below {{expected an input of rank 1, found rank 2}}
  %0 = tenon.pack %x : tensor<2x2xi4>
  return
}

// -----
func.func @reducesStorageType(%x: tensor<4xf8E5M2>) {
  // expected-error @below {{operand #0 must be tensor of floats, integers or bools of 8 bits or more with named dims, but got 'tensor<4xf8E5M2>'}}
  %0 = tenon.reduce sum %x over [0] : tensor<4xf8E5M2>
  return
}

// -----
func.func @scattersStorageType(%x: tensor<4xi4>, %i: tensor<2xi64>, %u: tensor<2xi4>) {
  // expected-error @below {{expected a number element type for add, found 'i4'}}
  %0 = tenon.scatter_elements add %x, %i, %u axis 0 : tensor<4xi4>, tensor<2xi64>, tensor<2xi4>
  return
}

// -----
func.func @quotientOfHalves(%x: tensor<4xf16>, %y: tensor<f16>) {
  // expected-error @below {{operand #0 must be tensor of f32 with named dims, but got 'tensor<4xf16>'}}
  %0 = tenon.quotient %x, %y inverse %y : tensor<4xf16>, tensor<f16>, tensor<f16>
  return
}

// -----
func.func @formatOfUnknownRows(%x: tensor<2x?xui8, #tenon.dims<"2", "k">>, %p: tensor<1x128xui8>) {
  // expected-error @below {{expected panels of 128*floordiv(k + 3,4) bytes for k rows, found 128}}
  %0 = tenon.packed_matmul %x, %p columns "3" as <i8> : tensor<2x?xui8, #tenon.dims<"2", "k">>, tensor<1x128xui8>
  return
}

// -----
func.func @formatOfI4(%x: tensor<2x4xui8>, %p: tensor<1x128xui8>) {
  // expected-error @below {{expected i8, f16 or bf16 alone for a format without scales, found 'i4'}}
  %0 = tenon.packed_matmul %x, %p columns "3" as <i4> : tensor<2x4xui8>, tensor<1x128xui8>
  return
}

// -----
func.func @formatOfOddBlocks(%x: tensor<2x4xf32>, %p: tensor<1x128xui8>) {
  // expected-error @below {{expected a block of a power of two in [16, 65536], found 24}}
  %0 = tenon.packed_matmul %x, %p columns "3" as <ui4 block 24 scale f16> : tensor<2x4xf32>, tensor<1x128xui8>
  return
}

// -----
func.func @formatOfSignedCodes(%x: tensor<2x4xf32>, %p: tensor<1x128xui8>) {
  // expected-error @below {{expected codes of ui2, ui4 or ui8, found 'i8'}}
  %0 = tenon.packed_matmul %x, %p columns "3" as <i8 scale f16> : tensor<2x4xf32>, tensor<1x128xui8>
  return
}

// -----
func.func @formatScale(%x: tensor<2x4xf32>, %p: tensor<1x128xui8>) {
  // expected-error @below {{expected a scale of f32 or f16, found 'bf16'}}
  %0 = tenon.packed_matmul %x, %p columns "3" as <ui8 scale bf16> : tensor<2x4xf32>, tensor<1x128xui8>
  return
}

// -----
func.func @formatZero(%x: tensor<2x4xf32>, %p: tensor<1x128xui8>) {
  // expected-error @below {{expected a zero point of ui8 or f32, found 'i8'}}
  %0 = tenon.packed_matmul %x, %p columns "3" as <ui8 scale f16 zero i8> : tensor<2x4xf32>, tensor<1x128xui8>
  return
}

// -----
func.func @formatRows(%x: tensor<2x4xf32>, %p: tensor<1x128xui8>) {
  // expected-error @below {{expected rows of the format's own f16 or bf16, found 'f16'}}
  %0 = tenon.packed_matmul %x, %p columns "3" as <bf16 by f16> : tensor<2x4xf32>, tensor<1x128xui8>
  return
}

// -----
func.func @formatRowsOfCodes(%x: tensor<2x4xf32>, %p: tensor<1x128xui8>) {
  // expected-error @below {{expected rows of i8 beside scales, found 'bf16'}}
  %0 = tenon.packed_matmul %x, %p columns "3" as <ui4 block 16 scale f16 by bf16> : tensor<2x4xf32>, tensor<1x128xui8>
  return
}

// -----
func.func @packTooManyRows() {
  %codes = tenon.constant dense<1> : tensor<65537x1xui8>
  %scale = tenon.constant dense<1.0> : tensor<1xf32>
  %zero = tenon.constant dense<1> : tensor<1xui8>
  // expected-error @below {{expected at most 65536 rows of integers, found 65537}}
  %0 = tenon.pack_weight %codes <ui8 at 0, 1, 1> scale %scale <f32 at 0, 0, 0> zero %zero <ui8 at 0, 0, 0> as <ui8 scale f16 zero ui8 by i8> rows 65537 columns 1 : tensor<65537x1xui8> scale tensor<1xf32> zero tensor<1xui8>
  return
}

// -----
func.func @formatOfOtherBytes(%x: tensor<2x5xui8>, %p: tensor<1x128xui8>) {
  // expected-error @below {{expected panels of 256 bytes for 5 rows, found 128}}
  %0 = tenon.packed_matmul %x, %p columns "3" as <i8> : tensor<2x5xui8>, tensor<1x128xui8>
  return
}

// -----
func.func @formatOfPartOfBlock(%x: tensor<2x20xui8>, %p: tensor<1x1088xui8>) {
  // expected-error @below {{expected whole blocks of 16 rows, found 20}}
  %0 = tenon.packed_matmul %x, %p columns "3" as <i8 block 16> : tensor<2x20xui8>, tensor<1x1088xui8>
  return
}

// -----
func.func @formatOfOtherBlock(%x: tensor<2x64xui8>, %p: tensor<1x2112xui8>) {
  // expected-error @below {{expected a block of 4, 8 or 16 for i8, found 32}}
  %0 = tenon.packed_matmul %x, %p columns "3" as <i8 block 32> : tensor<2x64xui8>, tensor<1x2112xui8>
  return
}

// -----
func.func @formatOfFloats(%x: tensor<2x4xf32>, %p: tensor<1x128xui8>) {
  // expected-error @below {{expected lhs of ui8, found 'f32'}}
  %0 = tenon.packed_matmul %x, %p columns "3" as <i8> : tensor<2x4xf32>, tensor<1x128xui8>
  return
}

// -----
func.func @packedIntegers(%x: tensor<2x4xi32>, %p: tensor<1x4x32xf32>) {
  // expected-error @below {{expected lhs of floats, found 'i32'}}
  %0 = tenon.packed_matmul %x, %p columns "3" : tensor<2x4xi32>, tensor<1x4x32xf32>
  return
}

// -----
func.func @packBeyondConstant() {
  %c = tenon.constant dense<1> : tensor<4x3xi8>
  // expected-error @below {{expected the codes to lie in the constant's 12 elements, found #tenon.matrix<i8 at 0, 4, 1>}}
  %0 = tenon.pack_weight %c <i8 at 0, 4, 1> as <i8> rows 4 columns 3 : tensor<4x3xi8>
  return
}

// -----
func.func @packOtherCodes() {
  %c = tenon.constant dense<1> : tensor<4x3xi16>
  // expected-error @below {{expected codes of 8 bits, found 'i16'}}
  %0 = tenon.pack_weight %c <i16 at 0, 3, 1> as <i8> rows 4 columns 3 : tensor<4x3xi16>
  return
}

// -----
func.func @packPartOfBlock() {
  %c = tenon.constant dense<1> : tensor<12x3xi8>
  // expected-error @below {{expected whole blocks of 8 rows, found 12}}
  %0 = tenon.pack_weight %c <i8 at 0, 3, 1> as <i8 block 8> rows 12 columns 3 : tensor<12x3xi8>
  return
}

// -----
func.func @packWithoutScale() {
  %c = tenon.constant dense<1> : tensor<4x3xui8>
  // expected-error @below {{expected a scale and a zero point as in #tenon.format<ui8 scale f32>}}
  %0 = tenon.pack_weight %c <ui8 at 0, 3, 1> as <ui8 scale f32> rows 4 columns 3 : tensor<4x3xui8>
  return
}

// -----
func.func @packNothing() {
  %c = tenon.constant dense<1> : tensor<4x3xi8>
  // expected-error @below {{expected rows and columns in [1, 2147483648], found 0 and 3}}
  %0 = tenon.pack_weight %c <i8 at 0, 3, 1> as <i8> rows 0 columns 3 : tensor<4x3xi8>
  return
}

// -----
func.func @dequantizeBlocks(%c: tensor<4x3xi8>, %s: tensor<1x3xf32>) {
  // expected-error @below {{the parameters and blocks of dim 0}}
  %0 = tenon.dequantize %c scale %s blocks [2, 1] to f32 : tensor<4x3xi8>, tensor<1x3xf32>
  return
}

// -----
func.func @dequantizeRank(%c: tensor<4x3xi8>, %s: tensor<3xf32>) {
  // expected-error @below {{expected parameters of rank 2, found rank 1}}
  %0 = tenon.dequantize %c scale %s blocks [4, 1] to f32 : tensor<4x3xi8>, tensor<3xf32>
  return
}

// -----
func.func @dequantizeTo(%c: tensor<4x3xi8>, %s: tensor<1x3xf32>) {
  // expected-error @below {{expected a result of f32, f16 or bf16, found 'f64'}}
  %0 = tenon.dequantize %c scale %s blocks [4, 1] to f64 : tensor<4x3xi8>, tensor<1x3xf32>
  return
}

// -----
func.func @dequantizeZero(%c: tensor<4x3xi8>, %s: tensor<1x3xf32>, %z: tensor<1x3xi32>) {
  // expected-error @below {{expected a zero point of floats or at most 8 bits, found 'i32'}}
  %0 = tenon.dequantize %c scale %s zero %z blocks [4, 1] to f32 : tensor<4x3xi8>, tensor<1x3xf32> zero tensor<1x3xi32>
  return
}

// -----
func.func @recurrentRanks(%x: tensor<2x24xf32>, %w: tensor<1x24x8xf32>) {
  // expected-error @below {{expected inputs of rank 3 and a weight of rank 3 or 4, found ranks 2 and 3}}
  %0 = tenon.recurrent gru %x, %w units 8 : tensor<2x24xf32>, tensor<1x24x8xf32>
  return
}

// -----
func.func @recurrentDirections(%x: tensor<2x3x24xf32>, %w: tensor<3x24x8xf32>) {
  // expected-error @below {{expected 1 or 2 directions of at least one unit, found 3 of 8}}
  %0 = tenon.recurrent gru %x, %w units 8 : tensor<2x3x24xf32>, tensor<3x24x8xf32>
  return
}

// -----
func.func @recurrentInputs(%x: tensor<2x3x24xf32>, %w: tensor<2x24x8xf32>) {
  // expected-error @below {{dim 2 of inputs}}
  %0 = tenon.recurrent gru %x, %w units 8 : tensor<2x3x24xf32>, tensor<2x24x8xf32>
  return
}

// -----
func.func @recurrentCell(%x: tensor<2x3x24xf32>, %w: tensor<1x24x8xf32>, %c: tensor<1x3x8xf32>) {
  // expected-error @below {{expected no cell state but of an lstm}}
  %0 = tenon.recurrent gru %x, %w cell %c units 8 : tensor<2x3x24xf32>, tensor<1x24x8xf32> cell tensor<1x3x8xf32>
  return
}

// -----
func.func @recurrentPeephole(%x: tensor<2x3x24xf32>, %w: tensor<1x24x8xf32>, %p: tensor<1x24xf32>) {
  // expected-error @below {{expected no peephole but of an lstm}}
  %0 = tenon.recurrent gru %x, %w peephole %p units 8 : tensor<2x3x24xf32>, tensor<1x24x8xf32> peephole tensor<1x24xf32>
  return
}

// -----
func.func @recurrentActivations(%x: tensor<2x3x24xf32>, %w: tensor<1x24x8xf32>) {
  // expected-error @below {{expected 2 activations, found 1}}
  %0 = tenon.recurrent gru %x, %w units 8 activations ["tanh"] : tensor<2x3x24xf32>, tensor<1x24x8xf32>
  return
}

// -----
func.func @recurrentUnknown(%x: tensor<2x3x24xf32>, %w: tensor<1x24x8xf32>) {
  // expected-error @below {{knows no activation "gelu"}}
  %0 = tenon.recurrent gru %x, %w units 8 activations ["gelu", "tanh"] : tensor<2x3x24xf32>, tensor<1x24x8xf32>
  return
}

// -----
func.func @recurrentParameters(%x: tensor<2x3x24xf32>, %w: tensor<1x24x8xf32>) {
  // expected-error @below {{expected 4 parameters, found 1}}
  %0 = tenon.recurrent gru %x, %w units 8 parameters [1.0] : tensor<2x3x24xf32>, tensor<1x24x8xf32>
  return
}

// -----
func.func @recurrentCoupled(%x: tensor<2x3x24xf32>, %w: tensor<1x24x8xf32>) {
  // expected-error @below {{expected no coupled gates but of an lstm}}
  %0 = tenon.recurrent gru %x, %w units 8 coupled : tensor<2x3x24xf32>, tensor<1x24x8xf32>
  return
}

// -----
func.func @recurrentReset(%x: tensor<2x3x8xf32>, %w: tensor<1x8x8xf32>) {
  // expected-error @below {{expected no reset but of a gru}}
  %0 = tenon.recurrent rnn %x, %w units 8 resets_first : tensor<2x3x8xf32>, tensor<1x8x8xf32>
  return
}

// -----
func.func @recurrentCodes(%x: tensor<2x3x8xf32>, %w: tensor<1x8x8xi8>) {
  // expected-error @below {{expected a scale, and maybe a zero point, of a weight of integers alone}}
  %0 = tenon.recurrent rnn %x, %w units 8 : tensor<2x3x8xf32>, tensor<1x8x8xi8>
  return
}

// -----
func.func @recurrentSums(%x: tensor<2x3x8xf32>, %w: tensor<1x256xui8>, %s: tensor<1x1xf32>) {
  // expected-error @below {{expected the sums of columns beside a format, and a weight of integers}}
  %0 = tenon.recurrent rnn %x, %w scale %s units 8 as <i8> : tensor<2x3x8xf32>, tensor<1x256xui8> scale tensor<1x1xf32>
  return
}

// -----
func.func @recurrentFormat(%x: tensor<2x3x8xf32>, %w: tensor<1x512xui8>, %s: tensor<1x1xf32>, %t: tensor<1x8xi32>) {
  // expected-error @below {{expected a format of i8, and zero points of i8}}
  %0 = tenon.recurrent rnn %x, %w scale %s sums %t units 8 as <f16> : tensor<2x3x8xf32>, tensor<1x512xui8> scale tensor<1x1xf32> sums tensor<1x8xi32>
  return
}

// -----
func.func @recurrentPanels(%x: tensor<2x3x8xf32>, %w: tensor<3x256xui8>, %s: tensor<1x1xf32>, %t: tensor<1x8xi32>) {
  // expected-error @below {{expected 1 or 2 directions of at least one unit, found 3 of 8}}
  %0 = tenon.recurrent rnn %x, %w scale %s sums %t units 8 as <i8> : tensor<2x3x8xf32>, tensor<3x256xui8> scale tensor<1x1xf32> sums tensor<1x8xi32>
  return
}

// -----
func.func @recurrentPanelRank(%x: tensor<2x3x8xf32>, %w: tensor<1x8x8xi8>, %s: tensor<1x1xf32>, %t: tensor<1x8xi32>) {
  // expected-error @below {{expected inputs of rank 3 and a weight of rank 2, found ranks 3 and 3}}
  %0 = tenon.recurrent rnn %x, %w scale %s sums %t units 8 as <i8> : tensor<2x3x8xf32>, tensor<1x8x8xi8> scale tensor<1x1xf32> sums tensor<1x8xi32>
  return
}

// -----
func.func @recurrentQuantizedReset(%x: tensor<2x3x24xf32>, %w: tensor<1x8x24xi8>, %s: tensor<1x1xf32>) {
  // expected-error @below {{expected no quantised weight of a gru that resets first}}
  %0 = tenon.recurrent gru %x, %w scale %s units 8 resets_first : tensor<2x3x24xf32>, tensor<1x8x24xi8> scale tensor<1x1xf32>
  return
}

// -----
func.func @recurrentOrder(%x: tensor<2x3x24xf32>, %w: tensor<1x24x8xf32>) {
  // expected-error @below {{expected an order of 3 gates, that of a gru that resets first with the candidate last}}
  %0 = tenon.recurrent gru %x, %w units 8 resets_first order [2, 1, 0] : tensor<2x3x24xf32>, tensor<1x24x8xf32>
  return
}
