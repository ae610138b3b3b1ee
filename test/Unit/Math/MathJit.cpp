//===- MathJit.cpp - expanded math operations as functions ----------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MathJit.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "tenon/Codegen/Passes.h"
#include "tenon/Target/Emit.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/Module.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::test;

MathFunction::~MathFunction() = default;

static std::string typeOf(StringRef element, unsigned lanes) {
  if (lanes == 0)
    return element.str();
  return "vector<" + std::to_string(lanes) + "x" + element.str() + ">";
}

MathFunction::MathFunction(StringRef op, StringRef element, unsigned lanes,
                           unsigned operands, StringRef target) {
  std::string type = typeOf(element, lanes);
  std::string args = operands == 2 ? "%0, %1" : "%0";
  build("math." + op.str() + " " + args + " : " + type, type, type, target);
}

MathFunction::MathFunction(Value (*emit)(const MathEmitter &, Value),
                           StringRef element, unsigned lanes,
                           StringRef target) {
  std::string type = typeOf(element, lanes);
  build("math.absf %0 : " + type, type, type, target, emit);
}

MathFunction tenon::test::convert(StringRef from, StringRef to, unsigned lanes,
                                  StringRef target) {
  auto width = [](StringRef type) {
    return type == "f64" ? 64 : type == "f32" ? 32 : 16;
  };
  std::string fromType = typeOf(from, lanes), toType = typeOf(to, lanes);
  MathFunction function;
  function.build((width(from) < width(to) ? "arith.extf" : "arith.truncf") +
                     (" %0 : " + fromType) + " to " + toType,
                 fromType, toType, target);
  return function;
}

void MathFunction::build(const std::string &body, const std::string &from,
                         const std::string &to, StringRef targetName,
                         Value (*emit)(const MathEmitter &, Value)) {
  llvm::Expected<TargetInfo> target = resolveTarget(targetName);
  if (!target) {
    ADD_FAILURE() << llvm::toString(target.takeError());
    return;
  }
  std::string load = "{alignment = 2 : i64} : !llvm.ptr -> " + from + "\n";
  bool binary = body.find("%1") != std::string::npos;
  std::string text =
      "func.func @f(%x: !llvm.ptr, %y: !llvm.ptr, %out: !llvm.ptr) {\n"
      "  %0 = llvm.load %x " +
      load + (binary ? "  %1 = llvm.load %y " + load : std::string()) +
      "  %2 = " + body +
      "\n  llvm.store %2, %out {alignment = 2 : i64} : " + to +
      ", !llvm.ptr\n  return\n}\n";

  MLIRContext context;
  context.disableMultithreading();
  context.loadDialect<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect,
                      math::MathDialect, vector::VectorDialect>();
  registerBuiltinDialectTranslation(context);
  registerLLVMDialectTranslation(context);
  OwningOpRef<ModuleOp> module =
      parseSourceString<ModuleOp>(text, ParserConfig(&context));
  ASSERT_TRUE(module) << text;
  if (emit)
    module->walk([&](math::AbsFOp place) {
      OpBuilder b(place);
      MathEmitter e(b, place.getLoc(), place.getType());
      place.replaceAllUsesWith(emit(e, place.getOperand()));
      place.erase();
      return WalkResult::interrupt();
    });
  PassManager passes(&context);
  passes.addPass(createExpandMathPass());
  passes.addPass(createConvertVectorToLLVMPass());
  passes.addPass(createConvertMathToLLVMPass());
  passes.addPass(createArithToLLVMConversionPass());
  passes.addPass(createConvertFuncToLLVMPass());
  ASSERT_TRUE(succeeded(passes.run(*module)));

  auto llvmContext = std::make_unique<llvm::LLVMContext>();
  std::unique_ptr<llvm::Module> llvmModule =
      translateModuleToLLVMIR(*module, *llvmContext);
  ASSERT_TRUE(llvmModule);
  for (llvm::Function &function : *llvmModule)
    if (!function.isDeclaration())
      setTargetAttributes(function, *target);
  ASSERT_FALSE(llvm::errorToBool(prepareModule(*llvmModule)));
  ASSERT_FALSE(llvm::errorToBool(optimizeModule(*llvmModule, EmitOptions())));
  for (const llvm::Function &function : *llvmModule)
    EXPECT_TRUE(function.isIntrinsic() || !function.isDeclaration())
        << body << " calls " << function.getName().str();

  llvm::Expected<std::unique_ptr<llvm::orc::LLJIT>> built =
      llvm::orc::LLJITBuilder().create();
  ASSERT_TRUE(bool(built)) << llvm::toString(built.takeError());
  jit = std::move(*built);
  llvm::Error error = jit->addIRModule(llvm::orc::ThreadSafeModule(
      std::move(llvmModule), std::move(llvmContext)));
  ASSERT_FALSE(bool(error)) << llvm::toString(std::move(error));
  llvm::Expected<llvm::orc::ExecutorAddr> address = jit->lookup("f");
  ASSERT_TRUE(bool(address)) << llvm::toString(address.takeError());
  call = address->toPtr<void(const void *, const void *, void *)>();
}
