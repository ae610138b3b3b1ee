//===- compile.cpp - kernels of a wide level for a CPU that lacks it ------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// usage: compile MODEL -o OUT.so --target=LEVEL,... [--on=LEVEL] [-O 0-3]
//                [--precision=...] [--keep-f32=...]
//
// As `tenon compile`: kernels are emitted as the levels have them, with their
// lanes, tiles and formats. Before LLVM sees them, each call of an intrinsic of
// x86 becomes one of a function of instructions.c, which a manual says how to
// write; what is left are vectors of any width, which LLVM cuts for the level
// that --on names (x86-64-v3). An instruction that instructions.c lacks is an
// undefined symbol, and an error.
//
//===----------------------------------------------------------------------===//
#include "tenon/Pipelines/Pipelines.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>
#include <map>

using namespace llvm;

static cl::opt<std::string> input(cl::Positional, cl::Required);
static cl::opt<std::string> output("o", cl::Required);
static cl::list<std::string> targets("target", cl::CommaSeparated,
                                     cl::Required);
static cl::opt<std::string> on("on", cl::init("x86-64-v3"));
static cl::opt<int> optLevel("O", cl::Prefix, cl::init(3));
static cl::opt<std::string> precision("precision", cl::init("f32"));
static cl::list<std::string> keepF32("keep-f32");

namespace {

/// Vectors go by way of memory of the caller's, so that a function of C needs
/// no type for them; anything else as it is.
class Rewriter {
public:
  explicit Rewriter(Function &function) : function(function) {}
  void run() {
    SmallVector<IntrinsicInst *> calls;
    for (BasicBlock &block : function)
      for (Instruction &instruction : block)
        if (auto *call = dyn_cast<IntrinsicInst>(&instruction))
          if (call->getCalledFunction()->getName().starts_with("llvm.x86."))
            calls.push_back(call);
    for (IntrinsicInst *call : calls)
      replace(*call);
  }

private:
  /// The n-th value of that type which a call hands over.
  AllocaInst *slot(Type *type, unsigned n) {
    AllocaInst *&found = slots[{type, n}];
    if (!found) {
      IRBuilder<> b(&*function.getEntryBlock().getFirstInsertionPt());
      found = b.CreateAlloca(type);
      found->setAlignment(Align(64));
    }
    return found;
  }
  void replace(IntrinsicInst &call);

  Function &function;
  std::map<std::pair<Type *, unsigned>, AllocaInst *> slots;
};

void Rewriter::replace(IntrinsicInst &call) {
  IRBuilder<> b(&call);
  SmallVector<Value *> operands;
  SmallVector<Type *> types;
  std::map<Type *, unsigned> used;
  auto add = [&](Value *value) {
    operands.push_back(value);
    types.push_back(value->getType());
  };
  Type *type = call.getType();
  bool byMemory = type->isVectorTy();
  AllocaInst *result = byMemory ? slot(type, used[type]++) : nullptr;
  if (byMemory)
    add(result);
  for (Value *operand : call.args()) {
    Type *own = operand->getType();
    if (!own->isVectorTy()) {
      add(operand);
      continue;
    }
    AllocaInst *memory = slot(own, used[own]++);
    b.CreateStore(operand, memory);
    add(memory);
  }
  std::string name = call.getCalledFunction()->getName().str();
  std::replace(name.begin(), name.end(), '.', '_');
  Type *returned = byMemory ? b.getVoidTy() : type;
  FunctionCallee callee = call.getModule()->getOrInsertFunction(
      name, FunctionType::get(returned, types, false));
  cast<Function>(callee.getCallee())
      ->setVisibility(GlobalValue::HiddenVisibility);
  Value *value = b.CreateCall(callee, operands);
  if (byMemory)
    value = b.CreateLoad(type, result);
  call.replaceAllUsesWith(value);
  call.eraseFromParent();
}

} // namespace

int main(int argc, char **argv) {
  cl::ParseCommandLineOptions(argc, argv);
  auto object = MemoryBuffer::getFile(TENON_INSTRUCTIONS);
  if (!object) {
    errs() << "compile: error: cannot read " TENON_INSTRUCTIONS "\n";
    return 1;
  }
  tenon::CompileOptions options;
  options.input = input;
  options.output = output;
  options.targets = targets;
  options.optLevel = optLevel;
  options.layout.precision = precision;
  options.layout.keepF32 = keepF32;
  options.emulation.on = on;
  options.emulation.object = (*object)->getBuffer();
  options.emulation.rewrite = [](Module &kernels) {
    for (Function &function : kernels)
      if (!function.isDeclaration())
        Rewriter(function).run();
    return Error::success();
  };
  tenon::CompileResult result = tenon::compileModel(options);
  for (const std::string &warning : result.warnings)
    errs() << "compile: warning: " << warning << "\n";
  if (result.ok)
    return 0;
  errs() << "compile: error: " << result.error << "\n";
  return 1;
}
