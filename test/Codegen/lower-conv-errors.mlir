// RUN: tenon-opt %s --tenon-lower-conv --verify-diagnostics

func.func @kernelOfUnknownSize(%x: tensor<1x4x8xf32>, %w: tensor<6x4x?xf32, #tenon.dims<"6", "4", "k">>) -> tensor<1x6x?xf32, #tenon.dims<"1", "6", "9 - k">> {
  // expected-error @below {{the kernel's dims must be known when compiling, found k}}
  %0 = tenon.conv %x, %w strides [1] pads [0, 0] dilations [1] group 1 : tensor<1x4x8xf32>, tensor<6x4x?xf32, #tenon.dims<"6", "4", "k">>
  return %0 : tensor<1x6x?xf32, #tenon.dims<"1", "6", "9 - k">>
}
