//===- TenonBase.td - element types, op base classes -------*- tablegen -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_BASE_TD
#define TENON_BASE_TD

include "dialects/Tenon/IR/TenonDialect.td"
include "dialects/Tenon/IR/TenonInterfaces.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/TensorEncoding.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Tenon_DimsAttr : Tenon_Attr<"Dims", "dims", [
    DeclareAttrInterfaceMethods<VerifiableTensorEncoding>]> {
  let summary = "One symbolic expression per dim";
  let description = [{
    The encoding of a tensor type with dims known only at run time, and the
    value of an integer tensor that is computed from dims. Each element is the
    canonical text of a `SymExpr` (Support/SymExpr.h); static dims are written
    out too, so that element i always describes dim i. Two dims with equal
    texts are equal at run time.
  }];
  let parameters = (ins OptionalArrayRefParameter<"::mlir::StringAttr">:$exprs);
  let hasCustomAssemblyFormat = 1; // <"batch", "seq">; <> for rank 0
  let extraClassDeclaration = [{
    /// The expressions, parsed.
    ::llvm::SmallVector<::tenon::SymExpr> getSymExprs() const;
    static DimsAttr get(::mlir::MLIRContext *context,
                        ::llvm::ArrayRef<::tenon::SymExpr> exprs);
    static DimsAttr get(::mlir::MLIRContext *context,
                        const ::llvm::SmallVectorImpl<::tenon::SymExpr> &exprs) {
      return get(context, ::llvm::ArrayRef<::tenon::SymExpr>(exprs));
    }
  }];
  let genVerifyDecl = 1; // every text parses and is canonical
}

class Tenon_Op<string mnemonic, list<Trait> traits = []>
    : Op<Tenon_Dialect, mnemonic, traits>;

/// Pure ops whose result types follow from operands and attributes. The same
/// static inferReturnTypes serves builders, the importer and the verifier.
/// A result may differ from the inferred type in the texts of its dims, where
/// a check or a rewrite knows more than the operands' types say.
class Tenon_PureOp<string mnemonic, list<Trait> traits = []>
    : Tenon_Op<mnemonic, traits # [Pure, DeclareOpInterfaceMethods<Tenon_InferDimsInterface>,
      Tenon_FusionInterface,
      InferTypeOpAdaptorBase<[{
        static bool isCompatibleReturnTypes(::mlir::TypeRange l,
                                            ::mlir::TypeRange r) {
          return ::tenon::areCompatibleTypes(l, r);
        }
      }]>]>;

/// A ranked tensor of these element types whose dynamic dims are all named.
class Tenon_TensorOf<list<Type> elements, string what>
    : ConfinedType<RankedTensorOf<elements>,
                   [CPred<"::tenon::hasNamedDims($_self)">],
                   "tensor of " # what # " with named dims",
                   "::mlir::RankedTensorType">;

defvar floats = [F32, F64, F16, BF16];
defvar integers = [I8, I16, I32, I64, UI8, UI16, UI32, UI64];
defvar smallFloats = [F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0FNU];
defvar packed = [I<4>, UI<4>, I<2>, UI<2>, F4E2M1FN];
def Tenon_Tensor : Tenon_TensorOf<floats # integers # [I1] # smallFloats # packed,
    "floats, integers or bools">;
def Tenon_ValueTensor : Tenon_TensorOf<floats # integers # [I1],
    "floats, integers or bools of 8 bits or more">;
def Tenon_PackedTensor : Tenon_TensorOf<packed, "numbers of 2 or 4 bits">;
def Tenon_ByteTensor : Tenon_TensorOf<[UI8], "bytes">;
def Tenon_FloatTensor : Tenon_TensorOf<floats, "floats">;
def Tenon_IntTensor : Tenon_TensorOf<integers, "integers">;
def Tenon_NumberTensor : Tenon_TensorOf<floats # integers, "floats or integers">;
def Tenon_BoolTensor : Tenon_TensorOf<[I1], "bools">;
def Tenon_IndexTensor : Tenon_TensorOf<[I32, I64], "i32 or i64">;

#endif // TENON_BASE_TD
