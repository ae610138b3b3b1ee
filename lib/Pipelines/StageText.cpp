//===- StageText.cpp - a stage's text, written and read back --------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "StageText.h"
#include "dialects/Tenon/IR/TenonDialect.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace tenon {

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

void printStage(ModuleOp module, raw_ostream &os,
                const StageTextOptions &options) {
  // Only resources are left out: each has a name, so that two stay two.
  OpPrintingFlags flags;
  if (options.elideWeights)
    flags.elideLargeResourceString(64);
  if (!options.locations) {
    module.print(os, flags);
    os << "\n";
    return;
  }
  // In the local scope a location stands where it belongs, not in a table at
  // the end; but that leaves out the resources.
  OpPrintingFlags here = flags;
  here.enableDebugInfo(true, /*prettyForm=*/false).useLocalScope();
  module.print(os, here);
  std::string text;
  llvm::raw_string_ostream whole(text);
  module.print(whole, flags);
  size_t resources = text.rfind("\n{-#\n");
  if (resources != std::string::npos)
    os << StringRef(text).drop_front(resources);
  os << "\n";
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

/// What the later stages take for granted of every graph.
static LogicalResult checkGraph(ModuleOp module) {
  auto main = module.lookupSymbol<func::FuncOp>("main");
  if (!main || main.isExternal())
    return module.emitError("expected a function @main with a body");
  for (Operation &op : *module.getBody())
    if (&op != main)
      return op.emitError("expected nothing but @main");
  if (!main.getBody().hasOneBlock())
    return main.emitError("expected one block");
  Operation &last = main.getBody().front().back();
  if (!isa<func::ReturnOp>(last))
    return last.emitError("expected a func.return at the end");
  WalkResult walked = main.walk([&](Operation *op) {
    if (op == main || isa<func::ReturnOp>(op) ||
        isa_and_nonnull<TenonDialect>(op->getDialect()))
      return WalkResult::advance();
    op->emitError("expected an op of the tenon dialect, found ")
        << op->getName();
    return WalkResult::interrupt();
  });
  return failure(walked.wasInterrupted());
}

/// Every weight has its bytes, and as many as its type says.
static LogicalResult checkWeights(ModuleOp module) {
  LogicalResult result = success();
  module.walk([&](Operation *op) {
    op->getAttrDictionary().walk([&](DenseResourceElementsAttr weight) {
      if (failed(result))
        return;
      AsmResourceBlob *blob = weight.getRawHandle().getBlob();
      ShapedType type = weight.getType();
      Type element = type.getElementType();
      uint64_t bytes = type.getNumElements();
      if (element.isIntOrFloat())
        bytes *= llvm::divideCeil(element.getIntOrFloatBitWidth(), 8);
      if (!blob)
        result = op->emitError("the weight '")
                 << weight.getRawHandle().getKey()
                 << "' has no bytes in this text: --emit writes them to a file "
                    "or a pipe, --dump-dir does not";
      else if (blob->getData().size() != bytes)
        result = op->emitError("the weight '")
                 << weight.getRawHandle().getKey() << "' has "
                 << blob->getData().size() << " bytes, expected " << bytes
                 << " of " << type;
    });
  });
  return result;
}

OwningOpRef<ModuleOp> readStage(StringRef path, MLIRContext &context,
                                bool weights) {
  auto buffer = llvm::MemoryBuffer::getFileOrSTDIN(path);
  if (!buffer) {
    emitError(UnknownLoc::get(&context))
        << path << ": cannot open the file: " << buffer.getError().message();
    return {};
  }
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(*buffer), llvm::SMLoc());
  OwningOpRef<ModuleOp> module =
      parseSourceFile<ModuleOp>(sources, ParserConfig(&context));
  if (!module || failed(checkGraph(*module)) ||
      (weights && failed(checkWeights(*module))))
    return {};
  return module;
}

} // namespace tenon
