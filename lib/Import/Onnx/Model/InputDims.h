//===- InputDims.h - the names of the inputs' dims --------------*- C++ -*-===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef TENON_IMPORT_ONNX_INPUTDIMS_H
#define TENON_IMPORT_ONNX_INPUTDIMS_H

#include "onnx/onnx_pb.h"
#include "tenon/Import/OnnxImporter.h"
#include "tenon/Support/SymExpr.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include <map>
#include <string>
#include <vector>

namespace tenon::onnximport {

/// Gives each dim of each input its expression. A dim_param is, in this order:
/// an integer as text, an expression of other dims' names ("past + seq"), a
/// name. Dims without one, or of a size or name like -1, are unknown: they are
/// named after the input. So is a dim of which a setting uses that name,
/// whatever the model calls it.
class InputDims {
public:
  /// What is wrong, or an empty string. A size of 0 may be an unknown one, too.
  std::string build(llvm::ArrayRef<const onnx::ValueInfoProto *> inputs,
                    const std::map<std::string, DimSetting> &settings,
                    bool zeroIsUnknown);

  llvm::ArrayRef<SymExpr> dims(size_t input) const { return all[input]; }
  /// A dim of a value inside the graph: what it names where an input's dims
  /// have that name, else a new symbol of the name `otherwise`.
  SymExpr innerDim(const onnx::TensorShapeProto::Dimension &dim,
                   const std::string &otherwise);
  /// The ranges that the settings declare, by symbol.
  const std::map<std::string, DimSetting> &ranges() const { return declared; }

private:
  std::string symbolFor(const std::string &text);
  std::string apply(const std::map<std::string, DimSetting> &settings);

  std::vector<llvm::SmallVector<SymExpr>> all;
  std::map<std::string, std::string> symbols; // dim_param -> symbol
  std::map<std::string, SymExpr> fixed;       // symbol -> what --dim says
  std::map<std::string, DimSetting> declared;
};

} // namespace tenon::onnximport

#endif // TENON_IMPORT_ONNX_INPUTDIMS_H
