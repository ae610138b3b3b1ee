//===- ChooseProducts.td - the pass tenon-choose-products --*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_CODEGEN_CHOOSEPRODUCTS_TD
#define TENON_CODEGEN_CHOOSEPRODUCTS_TD

include "mlir/Pass/PassBase.td"

def ChooseProductsPass : Pass<"tenon-choose-products", "::mlir::ModuleOp"> {
  let summary = "Make two kernels of one whose product's form is known when it runs";
  let description = [{
    A kernel of a product by Winograd's filters that loses on some sizes of its image
    (tenon.packed_matmul, `unless`) becomes two, each with the whole epilogue; a
    tenon.merge by those sizes says whose result counts. The other one is not run.

    ```mlir
    %0 = tenon.kernel matmul(%x, %w, %d) : ... {
      %1 = tenon.packed_matmul %p, %w columns "64" winograd unless "lt(h*w,64)" direct %d : ...
    }
    // becomes
    %0 = tenon.kernel matmul(%x, %d) : ... { %1 = tenon.packed_matmul %p, %d columns "64" : ... }
    %1 = tenon.kernel matmul(%x, %w) : ... { %1 = tenon.packed_matmul %p, %w columns "64" winograd : ... }
    %2 = tenon.merge "lt(h*w,64)" then %0 else %1 to #tenon.dims<...> : ...
    ```
  }];
  let dependentDialects = ["::tenon::TenonDialect"];
  let statistics = [Statistic<"numChoices", "choices", "Products of two forms">];
}

#endif // TENON_CODEGEN_CHOOSEPRODUCTS_TD
