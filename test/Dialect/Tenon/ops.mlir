// RUN: tenon-opt %s --verify-roundtrip | FileCheck %s

!x = tensor<?x?x384xf32, #tenon.dims<"batch", "seq", "384">>
!i = tensor<?x?xi64, #tenon.dims<"batch", "seq">>
!b = tensor<?x?xi1, #tenon.dims<"batch", "seq">>

// CHECK-LABEL: @unary
func.func @unary(%x: !x, %b: !b, %i: !i) {
  // CHECK-COUNT-25: tenon.{{[a-z]+}} %arg0 : tensor<?x?x384xf32, #tenon.dims<"batch", "seq", "384">>
  %0 = tenon.neg %x : !x
  %1 = tenon.abs %x : !x
  %2 = tenon.sign %x : !x
  %3 = tenon.exp %x : !x
  %4 = tenon.log %x : !x
  %5 = tenon.sqrt %x : !x
  %6 = tenon.reciprocal %x : !x
  %7 = tenon.erf %x : !x
  %8 = tenon.tanh %x : !x
  %9 = tenon.sigmoid %x : !x
  %10 = tenon.silu %x : !x
  %11 = tenon.sin %x : !x
  %12 = tenon.cos %x : !x
  %13 = tenon.tan %x : !x
  %14 = tenon.asin %x : !x
  %15 = tenon.acos %x : !x
  %16 = tenon.atan %x : !x
  %17 = tenon.sinh %x : !x
  %18 = tenon.cosh %x : !x
  %19 = tenon.asinh %x : !x
  %20 = tenon.acosh %x : !x
  %21 = tenon.atanh %x : !x
  %22 = tenon.floor %x : !x
  %23 = tenon.ceil %x : !x
  %24 = tenon.round %x : !x
  // CHECK: tenon.not %arg1
  %25 = tenon.not %b : !b
  // CHECK: tenon.bit_not %arg2
  %26 = tenon.bit_not %i : !i
  // CHECK: tenon.gelu %arg0 : tensor
  %27 = tenon.gelu %x : !x
  // CHECK: tenon.gelu %arg0 approximate : tensor
  %28 = tenon.gelu %x approximate : !x
  // CHECK: tenon.is_nan %arg0
  %29 = tenon.is_nan %x : !x
  // CHECK: tenon.is_inf %arg0
  %30 = tenon.is_inf %x : !x
  // CHECK: tenon.cast %arg0 to i64
  %31 = tenon.cast %x to i64 : !x
  return
}

// Equal texts are equal dims; a 1 gives way; two unknown dims make a bcast.
// CHECK-LABEL: @binary
func.func @binary(%x: !x, %v: tensor<384xf32>,
                  %r: tensor<?x1x384xf32, #tenon.dims<"rows", "1", "384">>,
                  %b: !b, %i: !i, %u: tensor<4xui8>) {
  // CHECK: %[[ADD:.*]] = tenon.add %arg0, %arg1
  %0 = tenon.add %x, %v : !x, tensor<384xf32>
  // CHECK: tenon.sub %[[ADD]], %arg2 : tensor<?x?x384xf32, #tenon.dims<"batch", "seq", "384">>, tensor<?x1x384xf32, #tenon.dims<"rows", "1", "384">>
  %1 = tenon.sub %0, %r : !x, tensor<?x1x384xf32, #tenon.dims<"rows", "1", "384">>
  // CHECK: tenon.mul %{{.*}}, %{{.*}} : tensor<?x?x384xf32, #tenon.dims<"bcast(batch,rows)", "seq", "384">>
  %2 = tenon.mul %1, %1 : tensor<?x?x384xf32, #tenon.dims<"bcast(batch,rows)", "seq", "384">>, tensor<?x?x384xf32, #tenon.dims<"bcast(batch,rows)", "seq", "384">>
  // CHECK: tenon.div
  %3 = tenon.div %x, %x : !x, !x
  // CHECK: tenon.mod
  %4 = tenon.mod %i, %i : !i, !i
  // CHECK: tenon.fmod
  %5 = tenon.fmod %i, %i : !i, !i
  // CHECK: tenon.pow
  %6 = tenon.pow %x, %x : !x, !x
  // CHECK: tenon.max
  %7 = tenon.max %x, %x : !x, !x
  // CHECK: tenon.min
  %8 = tenon.min %x, %x : !x, !x
  // CHECK: tenon.and
  %9 = tenon.and %b, %b : !b, !b
  // CHECK: tenon.or
  %10 = tenon.or %b, %b : !b, !b
  // CHECK: tenon.xor
  %11 = tenon.xor %b, %b : !b, !b
  // CHECK: tenon.bit_and
  %12 = tenon.bit_and %i, %i : !i, !i
  // CHECK: tenon.bit_or
  %13 = tenon.bit_or %i, %i : !i, !i
  // CHECK: tenon.bit_xor
  %14 = tenon.bit_xor %i, %i : !i, !i
  // CHECK: tenon.shl %{{.*}} : tensor<4xui8>, tensor<4xui8>
  %15 = tenon.shl %u, %u : tensor<4xui8>, tensor<4xui8>
  // CHECK: tenon.shr
  %16 = tenon.shr %u, %u : tensor<4xui8>, tensor<4xui8>
  // CHECK: tenon.compare le %arg4, %arg4
  %17 = tenon.compare le %i, %i : !i, !i
  // CHECK: tenon.select %arg3, %arg4, %arg4
  %18 = tenon.select %b, %i, %i : !b, !i, !i
  return
}

// CHECK-LABEL: @shapes
func.func @shapes(%x: !x, %i: !i, %shape: tensor<2xi64>) {
  // CHECK: tenon.constant dense<1.000000e+00> : tensor<2xf32>
  %0 = tenon.constant dense<1.0> : tensor<2xf32>
  // CHECK: tenon.dims_value <"batch", "2*seq + 1"> : i64
  %1 = tenon.dims_value <"batch", "2*seq + 1"> : i64
  // CHECK: tenon.dims_value scalar <"seq"> : i32
  %2 = tenon.dims_value scalar <"seq"> : i32
  // CHECK: tenon.dims_value <> : i64
  %3 = tenon.dims_value <> : i64
  // CHECK: tenon.check le "seq", "512"
  tenon.check le "seq", "512"
  // CHECK: tenon.read_dims %{{.*}} as "shape" : tensor<2xi64>
  // CHECK: tenon.check le "0", "shape[1]"
  tenon.read_dims %shape as "shape" : tensor<2xi64>
  tenon.check le "0", "shape[1]"
  // CHECK: %[[HEADS:.*]] = tenon.reshape %arg0 to <"batch", "seq", "12", "32">
  %4 = tenon.reshape %x to <"batch", "seq", "12", "32"> : !x
  // CHECK: tenon.transpose %[[HEADS]] [0, 2, 1, 3] : tensor<?x?x12x32xf32, #tenon.dims<"batch", "seq", "12", "32">>
  %5 = tenon.transpose %4 [0, 2, 1, 3] : tensor<?x?x12x32xf32, #tenon.dims<"batch", "seq", "12", "32">>
  // CHECK: tenon.broadcast_to %arg1 to <"3", "batch", "seq">
  %6 = tenon.broadcast_to %i to <"3", "batch", "seq"> : !i
  // CHECK: tenon.slice %arg1 from <"0", "1"> step [1, 1] to <"batch", "seq - 1">
  %7 = tenon.slice %i from <"0", "1"> step [1, 1] to <"batch", "seq - 1"> : !i
  // CHECK: tenon.concat %arg1, %{{.*}} axis 1
  %8 = tenon.concat %i, %7 axis 1 : !i, tensor<?x?xi64, #tenon.dims<"batch", "seq - 1">>
  // CHECK: tenon.neg %{{.*}} : tensor<?x?xi64, #tenon.dims<"batch", "2*seq - 1">>
  %9 = tenon.neg %8 : tensor<?x?xi64, #tenon.dims<"batch", "2*seq - 1">>
  %zero = tenon.constant dense<0> : tensor<i64>
  // CHECK: tenon.pad edge %arg1, %{{.*}} low <"0", "1"> high <"0", "1">
  %10 = tenon.pad edge %i, %zero low <"0", "1"> high <"0", "1"> : !i, tensor<i64>
  // CHECK: tenon.iota "0" step "1" size "past + seq" : i64
  %11 = tenon.iota "0" step "1" size "past + seq" : i64
  return
}

// CHECK-LABEL: @gathers
func.func @gathers(%x: !x, %i: !i, %t: tensor<?x2xi64, #tenon.dims<"n", "2">>) {
  // CHECK: tenon.gather %{{.*}}, %arg1 axis 0 : tensor<30522x384xf32>, tensor<?x?xi64
  %0 = tenon.constant dense<0.0> : tensor<30522x384xf32>
  %1 = tenon.gather %0, %i axis 0 : tensor<30522x384xf32>, !i
  // CHECK: tenon.gather_elements %arg1, %arg1 axis 1
  %2 = tenon.gather_elements %i, %i axis 1 : !i, !i
  // CHECK: %[[ND:.*]] = tenon.gather_nd %arg0, %arg2 batch_dims 0
  %3 = tenon.gather_nd %x, %t batch_dims 0 : !x, tensor<?x2xi64, #tenon.dims<"n", "2">>
  // CHECK: tenon.neg %[[ND]] : tensor<?x384xf32, #tenon.dims<"n", "384">>
  %4 = tenon.neg %3 : tensor<?x384xf32, #tenon.dims<"n", "384">>
  return
}

// CHECK-LABEL: @compute
func.func @compute(%x: !x, %w: tensor<1536x384xf32>, %v: tensor<384xf32>,
                   %image: tensor<?x3x224x224xf32, #tenon.dims<"batch", "3", "224", "224">>,
                   %kernel: tensor<768x3x16x16xf32>) {
  // CHECK: tenon.reduce mean %arg0 over [2] keepdims
  %0 = tenon.reduce mean %x over [2] keepdims : !x
  // CHECK: tenon.reduce sum %arg0 over [0, 1] : tensor
  %1 = tenon.reduce sum %x over [0, 1] : !x
  // CHECK: tenon.arg_reduce %arg0 over 2 min keepdims select_last
  %2 = tenon.arg_reduce %x over 2 min keepdims select_last : !x
  // CHECK: tenon.cumulate sum %arg0 over 1 exclusive reverse
  %3 = tenon.cumulate sum %x over 1 exclusive reverse : !x
  // CHECK: tenon.softmax %arg0 : tensor
  %4 = tenon.softmax %x : !x
  // CHECK: tenon.softmax %arg0 guard : tensor
  %5 = tenon.softmax %x guard : !x
  // CHECK: tenon.softmax %arg0 log : tensor
  %6 = tenon.softmax %x log : !x
  // CHECK: tenon.layer_norm %arg0 scale %arg2 bias %arg2 epsilon {{.*}} dims 1
  %7 = tenon.layer_norm %x scale %v bias %v epsilon 1.0E-12 dims 1 : !x, tensor<384xf32>, tensor<384xf32>
  // CHECK: tenon.layer_norm %arg0 epsilon {{.*}} dims 1 : tensor<?x?x384xf32, #tenon.dims<"batch", "seq", "384">>
  %8 = tenon.layer_norm %x epsilon 1.0E-12 dims 1 : !x
  // CHECK: tenon.rms_norm %arg0 scale %arg2 epsilon {{.*}} dims 1
  %9 = tenon.rms_norm %x scale %v epsilon 1.0E-6 dims 1 : !x, tensor<384xf32>
  // CHECK: %[[MM:.*]] = tenon.matmul %arg0, %arg1 transposed
  %10 = tenon.matmul %x, %w transposed : !x, tensor<1536x384xf32>
  // CHECK: tenon.neg %[[MM]] : tensor<?x?x1536xf32, #tenon.dims<"batch", "seq", "1536">>
  %11 = tenon.neg %10 : tensor<?x?x1536xf32, #tenon.dims<"batch", "seq", "1536">>
  // CHECK: tenon.matmul %arg0 transposed, %arg0
  %12 = tenon.matmul %x transposed, %x : !x, !x
  // CHECK: %[[CONV:.*]] = tenon.conv %arg3, %arg4 strides [16, 16] pads [0, 0, 0, 0] dilations [1, 1] group 1
  %13 = tenon.conv %image, %kernel strides [16, 16] pads [0, 0, 0, 0] dilations [1, 1] group 1
    : tensor<?x3x224x224xf32, #tenon.dims<"batch", "3", "224", "224">>, tensor<768x3x16x16xf32>
  // CHECK: tenon.neg %[[CONV]] : tensor<?x768x14x14xf32, #tenon.dims<"batch", "768", "14", "14">>
  %14 = tenon.neg %13 : tensor<?x768x14x14xf32, #tenon.dims<"batch", "768", "14", "14">>
  return
}

// CHECK-LABEL: @scatters
func.func @scatters(%x: !x, %i: tensor<?x2xi64, #tenon.dims<"n", "2">>,
                    %u: tensor<?x384xf32, #tenon.dims<"n", "384">>,
                    %e: tensor<1x1x7xi32>, %v: tensor<1x1x7xf32>) {
  // CHECK: %[[S:.*]] = tenon.scatter_nd add %arg0, %arg1, %arg2
  %0 = tenon.scatter_nd add %x, %i, %u : !x, tensor<?x2xi64, #tenon.dims<"n", "2">>, tensor<?x384xf32, #tenon.dims<"n", "384">>
  // CHECK: tenon.scatter_elements none %[[S]], %arg3, %arg4 axis 2
  %1 = tenon.scatter_elements none %0, %e, %v axis 2 : !x, tensor<1x1x7xi32>, tensor<1x1x7xf32>
  // CHECK: %[[K:.*]] = tenon.top_k %arg0 k "5" smallest
  %2 = tenon.top_k %x k "5" smallest : !x
  // CHECK: tenon.neg %[[K]] : tensor<?x?x5xi64, #tenon.dims<"batch", "seq", "5">>
  %3 = tenon.neg %2 : tensor<?x?x5xi64, #tenon.dims<"batch", "seq", "5">>
  return
}

// CHECK-LABEL: @recurrence
func.func @recurrence(%q: tensor<?x?x2x3x8xf16, #tenon.dims<"batch", "seq", "2", "3", "8">>,
                      %k: tensor<?x?x2x8xf16, #tenon.dims<"batch", "seq", "2", "8">>,
                      %v: tensor<?x?x2x4xf16, #tenon.dims<"batch", "seq", "2", "4">>,
                      %beta: tensor<?x?x1x1xf16, #tenon.dims<"batch", "seq", "1", "1">>) {
  // CHECK: %[[R:.*]] = tenon.linear_attention %arg0, %arg1, %arg2 decay %arg1 beta %arg3
  %0 = tenon.linear_attention %q, %k, %v decay %k beta %beta
    : tensor<?x?x2x3x8xf16, #tenon.dims<"batch", "seq", "2", "3", "8">>,
      tensor<?x?x2x8xf16, #tenon.dims<"batch", "seq", "2", "8">>,
      tensor<?x?x2x4xf16, #tenon.dims<"batch", "seq", "2", "4">>
      decay tensor<?x?x2x8xf16, #tenon.dims<"batch", "seq", "2", "8">>
      beta tensor<?x?x1x1xf16, #tenon.dims<"batch", "seq", "1", "1">>
  // CHECK: tenon.neg %[[R]] : tensor<?x2x?x4xf32, #tenon.dims<"batch", "2", "3*seq + 8", "4">>
  %1 = tenon.neg %0 : tensor<?x2x?x4xf32, #tenon.dims<"batch", "2", "3*seq + 8", "4">>
  return
}

// CHECK-LABEL: @kernels
func.func @kernels(%x: !x, %w: tensor<384x100xf32>,
                   %image: tensor<?x3x8x8xf32, #tenon.dims<"batch", "3", "8", "8">>,
                   %taps: tensor<6x8xf32>) {
  // CHECK: %[[P:.*]] = tenon.pack_b %arg1 : tensor<384x100xf32>
  %0 = tenon.pack_b %w : tensor<384x100xf32>
  // CHECK: tenon.packed_matmul %arg0, %[[P]] columns "100" : {{.*}}, tensor<4x384x32xf32>
  %1 = tenon.packed_matmul %x, %0 columns "100" : !x, tensor<4x384x32xf32>
  %codes = tenon.constant dense<3> : tensor<100x192xui8>
  %scale = tenon.constant dense<0.5> : tensor<100x12xf32>
  // CHECK: %[[Q:.*]] = tenon.pack_weight %{{.*}} <ui4 at 0, 1, 384> scale %{{.*}} <f32 at 0, 1, 12> as <ui4 block 32 scale f16> rows 384 columns 100 : tensor<100x192xui8> scale tensor<100x12xf32>
  %q = tenon.pack_weight %codes <ui4 at 0, 1, 384> scale %scale <f32 at 0, 1, 12> as <ui4 block 32 scale f16> rows 384 columns 100 : tensor<100x192xui8> scale tensor<100x12xf32>
  // CHECK: tenon.packed_matmul %arg0, %[[Q]] columns "100" as <ui4 block 32 scale f16> : {{.*}}, tensor<4x6912xui8>
  %r = tenon.packed_matmul %x, %q columns "100" as <ui4 block 32 scale f16> : !x, tensor<4x6912xui8>
  // CHECK: tenon.packed_matmul %arg0, %[[Q]] columns "100" as <ui4 block 32 scale f16 by i8>
  %by = tenon.packed_matmul %x, %q columns "100" as <ui4 block 32 scale f16 by i8> : !x, tensor<4x6912xui8>
  // CHECK: tenon.dequantize %{{.*}} scale %{{.*}} blocks [1, 16] to f32 : tensor<100x192xui8>, tensor<100x12xf32>
  %d = tenon.dequantize %codes scale %scale blocks [1, 16] to f32 : tensor<100x192xui8>, tensor<100x12xf32>
  // CHECK: %[[R:.*]] = tenon.im2col %arg2 kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] dilations [1, 1]
  %2 = tenon.im2col %image kernel [2, 2] strides [2, 2] pads [0, 0, 0, 0] dilations [1, 1]
    : tensor<?x3x8x8xf32, #tenon.dims<"batch", "3", "8", "8">>
  // CHECK: tenon.neg %[[R]] : tensor<?x16x12xf32, #tenon.dims<"batch", "16", "12">>
  %3 = tenon.neg %2 : tensor<?x16x12xf32, #tenon.dims<"batch", "16", "12">>
  // CHECK: %[[L:.*]] = tenon.im2col %arg2 {{.*}} dilations [1, 1] channels_last
  %last = tenon.im2col %image kernel [2, 2] strides [1, 2] pads [0, 0, 0, 0] dilations [1, 1] channels_last
    : tensor<?x3x8x8xf32, #tenon.dims<"batch", "3", "8", "8">>
  // CHECK: tenon.neg %[[L]] : tensor<?x8x32xf32, #tenon.dims<"batch", "8", "32">>
  %negLast = tenon.neg %last : tensor<?x8x32xf32, #tenon.dims<"batch", "8", "32">>
  // CHECK: %[[D:.*]] = tenon.depthwise %arg2, %arg3 kernel [3, 2] strides [2, 1] pads [1, 0, 1, 1] dilations [1, 2]
  %depthwise = tenon.depthwise %image, %taps kernel [3, 2] strides [2, 1] pads [1, 0, 1, 1] dilations [1, 2]
    : tensor<?x3x8x8xf32, #tenon.dims<"batch", "3", "8", "8">>, tensor<6x8xf32>
  // CHECK: tenon.neg %[[D]] : tensor<?x14x8xf32, #tenon.dims<"batch", "14", "8">>
  %negApart = tenon.neg %depthwise : tensor<?x14x8xf32, #tenon.dims<"batch", "14", "8">>
  // CHECK: tenon.kernel map(%arg0)
  %4 = tenon.kernel map(%x) : (!x) -> !x {
  ^bb0(%a: !x):
    // CHECK: tenon.exp
    %5 = tenon.exp %a : !x
    // CHECK: tenon.yield
    tenon.yield %5 : !x
  }
  return
}

// CHECK-LABEL: @smallTypes
func.func @smallTypes(%x: !x, %b: tensor<?xui8, #tenon.dims<"floordiv(batch*seq + 1,2)">>) {
  // CHECK: %[[F:.*]] = tenon.cast %arg0 to f8E4M3FN : tensor<?x?x384xf32
  %0 = tenon.cast %x to f8E4M3FN : !x
  // CHECK: tenon.cast %arg0 to f8E5M2 unsaturated : tensor<?x?x384xf32
  %1 = tenon.cast %x to f8E5M2 unsaturated : !x
  // CHECK: tenon.cast %arg0 to f8E8M0FNU unsaturated round nearest : tensor<?x?x384xf32
  %2 = tenon.cast %x to f8E8M0FNU unsaturated round nearest : !x
  // CHECK: tenon.bitcast %[[F]] to ui8 : tensor<?x?x384xf8E4M3FN
  %3 = tenon.bitcast %0 to ui8 : tensor<?x?x384xf8E4M3FN, #tenon.dims<"batch", "seq", "384">>
  // CHECK: %[[I:.*]] = tenon.unpack %arg1 size "batch*seq" to i4 : tensor<?xui8, #tenon.dims<"floordiv(batch*seq + 1,2)">>
  %4 = tenon.unpack %b size "batch*seq" to i4 : tensor<?xui8, #tenon.dims<"floordiv(batch*seq + 1,2)">>
  // CHECK: %[[P:.*]] = tenon.pack %[[I]] : tensor<?xi4, #tenon.dims<"batch*seq">>
  %5 = tenon.pack %4 : tensor<?xi4, #tenon.dims<"batch*seq">>
  // CHECK: tenon.neg %[[P]] : tensor<?xui8, #tenon.dims<"floordiv(batch*seq + 1,2)">>
  %6 = tenon.neg %5 : tensor<?xui8, #tenon.dims<"floordiv(batch*seq + 1,2)">>
  return
}

// CHECK-LABEL: @recurrent
func.func @recurrent(%x: tensor<?x?x64xf32, #tenon.dims<"seq", "batch", "64">>, %w: tensor<2x32x8xf32>, %p: tensor<1x1x8x32xf32>,
                     %b: tensor<2x32xf32>, %h: tensor<2x?x8xf32, #tenon.dims<"2", "batch", "8">>, %n: tensor<?xi64, #tenon.dims<"batch">>,
                     %y: tensor<?x?x24xf32, #tenon.dims<"seq", "batch", "24">>) {
  // CHECK: %[[R:.*]] = tenon.recurrent lstm %arg0, %arg1 bias %arg3 hidden %arg4 cell %arg4 lengths %arg5 units 8
  %0 = tenon.recurrent lstm %x, %w bias %b hidden %h cell %h lengths %n units 8
    : tensor<?x?x64xf32, #tenon.dims<"seq", "batch", "64">>, tensor<2x32x8xf32> bias tensor<2x32xf32>
      hidden tensor<2x?x8xf32, #tenon.dims<"2", "batch", "8">> cell tensor<2x?x8xf32, #tenon.dims<"2", "batch", "8">>
      lengths tensor<?xi64, #tenon.dims<"batch">>
  // CHECK: tenon.neg %[[R]] : tensor<?x2x?x8xf32, #tenon.dims<"seq + 2", "2", "batch", "8">>
  %1 = tenon.neg %0 : tensor<?x2x?x8xf32, #tenon.dims<"seq + 2", "2", "batch", "8">>
  // CHECK: tenon.recurrent gru %arg6, %arg2 units 8 backward
  %2 = tenon.recurrent gru %y, %p units 8 backward : tensor<?x?x24xf32, #tenon.dims<"seq", "batch", "24">>, tensor<1x1x8x32xf32>
  %3 = tenon.neg %2 : tensor<?x1x?x8xf32, #tenon.dims<"seq + 1", "1", "batch", "8">>
  return
}

// CHECK-LABEL: @cells
func.func @cells(%x: tensor<5x3x32xf32>, %c: tensor<1x8x32xui8>, %s: tensor<1x1xf32>, %z: tensor<1x32xui8>, %p: tensor<1x24xf32>,
                 %y: tensor<5x3x24xf32>, %w: tensor<1x24x8xf32>, %q: tensor<1x256xui8>, %t: tensor<1x32xi32>) {
  // CHECK: tenon.recurrent lstm %arg0, %arg1 peephole %arg4 scale %arg2 zero %arg3 units 8 coupled clip 5.000000e-01
  %0 = tenon.recurrent lstm %x, %c peephole %p scale %s zero %z units 8 coupled clip 0.5
    : tensor<5x3x32xf32>, tensor<1x8x32xui8> peephole tensor<1x24xf32> scale tensor<1x1xf32> zero tensor<1x32xui8>
  // CHECK: tenon.recurrent gru %arg5, %arg6 units 8 resets_first activations ["hard_sigmoid", "relu"] parameters [2.500000e-01, 5.000000e-01, 0.000000e+00, 0.000000e+00]
  %1 = tenon.recurrent gru %y, %w units 8 resets_first activations ["hard_sigmoid", "relu"] parameters [0.25, 0.5, 0.0, 0.0]
    : tensor<5x3x24xf32>, tensor<1x24x8xf32>
  // CHECK: tenon.recurrent lstm %arg0, %arg7 scale %arg2 sums %arg8 units 8 as <i8>
  %2 = tenon.recurrent lstm %x, %q scale %s sums %t units 8 as <i8>
    : tensor<5x3x32xf32>, tensor<1x256xui8> scale tensor<1x1xf32> sums tensor<1x32xi32>
  return
}
