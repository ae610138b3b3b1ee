//===- Check.cpp - tenon check --------------------------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "Commands.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"
#include "tenon/Pipelines/Pipelines.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace tenon {

static cl::SubCommand command("check", "Say whether a model will compile");

static cl::opt<std::string> path(cl::Positional, cl::Required,
                                 cl::desc("MODEL.onnx"), cl::sub(command));

int checkMain() {
  mlir::DialectRegistry registry;
  registerDialects(registry);
  mlir::MLIRContext context(registry);
  int errors = 0;
  mlir::ScopedDiagnosticHandler handler(
      &context, [&](mlir::Diagnostic &diagnostic) {
        if (diagnostic.getSeverity() != mlir::DiagnosticSeverity::Error)
          return mlir::success();
        errs() << "tenon check: error: " << diagnostic.str() << "\n";
        ++errors;
        return mlir::success();
      });
  // The stages before code is generated: they refuse whatever is unsupported.
  auto module = importOnnxFile(path, context);
  if (succeeded(module)) {
    mlir::PassManager passes(&context);
    populateGraphStage(passes, /*debugValues=*/false);
    populateFuseStage(passes, /*debugValues=*/false);
    if (failed(passes.run(**module)) && errors == 0)
      return reportError("check", "the model does not compile");
  } else if (errors == 0) {
    return reportError("check", "'" + path + "' cannot be imported");
  }
  if (errors)
    return 1;
  outs() << path << " will compile\n";
  return 0;
}

} // namespace tenon
