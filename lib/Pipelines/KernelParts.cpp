//===- KernelParts.cpp - a level's kernels in several modules -------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelParts.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "tenon/Codegen/Program.h"
#include "tenon/Target/Emit.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/IR/Module.h"
#include <map>

using namespace mlir;

namespace tenon {

/// Operations of a part, more or less: what a module costs by itself is small
/// beside them, and a model of a few kernels still has work for several cores.
static constexpr size_t kPartOperations = 1500;

static size_t operationsOf(Operation *op) {
  size_t count = 0;
  op->walk([&](Operation *) { ++count; });
  return count;
}

size_t sizeOfPart(ModuleOp part) { return operationsOf(part); }

static bool areAlike(func::FuncOp x, func::FuncOp y) {
  return x.getFunctionType() == y.getFunctionType() &&
         x.getArgAttrsAttr() == y.getArgAttrsAttr() &&
         x->getDiscardableAttrDictionary() ==
             y->getDiscardableAttrDictionary() &&
         OperationEquivalence::isRegionEquivalentTo(
             &x.getBody(), &y.getBody(), OperationEquivalence::IgnoreLocations);
}

void mergeKernels(ArrayRef<ModuleOp> levels, Schedule &schedule) {
  struct Kernel {
    StringRef symbol;
    SmallVector<func::FuncOp> functions; // of each level
  };
  std::map<size_t, std::vector<Kernel>> bySize; // of the first level's function
  llvm::StringMap<StringRef> merged;
  for (const std::string &symbol : schedule.kernels) {
    Kernel kernel{symbol, {}};
    for (ModuleOp level : levels)
      if (auto function = level.lookupSymbol<func::FuncOp>(symbol))
        kernel.functions.push_back(function);
    if (kernel.functions.empty()) // one of the runtime's
      continue;
    std::vector<Kernel> &others = bySize[operationsOf(kernel.functions[0])];
    auto alike = llvm::find_if(others, [&](const Kernel &other) {
      return llvm::all_of_zip(kernel.functions, other.functions, areAlike);
    });
    if (alike == others.end()) {
      others.push_back(kernel);
      continue;
    }
    merged[symbol] = alike->symbol;
    for (func::FuncOp function : kernel.functions)
      function.erase();
  }
  for (ScheduleStep &step : schedule.steps)
    if (auto it = merged.find(step.kernel.symbol); it != merged.end())
      step.kernel.symbol = it->second.str();
  llvm::erase_if(schedule.kernels, [&](const std::string &symbol) {
    return merged.contains(symbol);
  });
}

/// Declares what the part's functions call and do not find in it.
static void declareCallees(ModuleOp part,
                           const llvm::StringMap<func::FuncOp> &all) {
  llvm::StringSet<> known;
  for (auto function : part.getOps<func::FuncOp>())
    known.insert(function.getName());
  SmallVector<func::FuncOp> wanted;
  part.walk([&](func::CallOp call) {
    if (known.insert(call.getCallee()).second)
      wanted.push_back(all.lookup(call.getCallee()));
  });
  OpBuilder b = OpBuilder::atBlockEnd(part.getBody());
  for (func::FuncOp function : wanted)
    func::FuncOp::create(b, function.getLoc(), function.getName(),
                         function.getFunctionType())
        .setPrivate();
}

OwningOpRef<ModuleOp> splitKernels(ModuleOp kernels) {
  OwningOpRef<ModuleOp> parts = ModuleOp::create(kernels.getLoc());
  OpBuilder b = OpBuilder::atBlockEnd(parts->getBody());
  llvm::StringMap<func::FuncOp> all;
  ModuleOp part;
  size_t size = 0;
  for (auto function :
       llvm::make_early_inc_range(kernels.getOps<func::FuncOp>())) {
    all[function.getName()] = function;
    size_t own = operationsOf(function);
    if (!part || size + own > kPartOperations) {
      part = ModuleOp::create(b, kernels.getLoc());
      size = 0;
    }
    size += own;
    function->moveBefore(part.getBody(), part.getBody()->end());
  }
  for (auto each : parts->getOps<ModuleOp>())
    declareCallees(each, all);
  return parts;
}

OwningOpRef<ModuleOp> joinKernels(ModuleOp parts) {
  OwningOpRef<ModuleOp> joined = ModuleOp::create(parts.getLoc());
  OpBuilder b = OpBuilder::atBlockEnd(joined->getBody());
  llvm::StringSet<> known;
  auto add = [&](bool declarations) {
    for (auto part : parts.getOps<ModuleOp>())
      for (auto function : part.getOps<FunctionOpInterface>())
        if (function.isExternal() == declarations &&
            known.insert(function.getName()).second)
          b.clone(*function);
  };
  add(false);
  add(true);
  return joined;
}

PartFunctions functionsOfParts(ModuleOp parts, const Schedule &schedule) {
  PartFunctions functions;
  for (auto part : parts.getOps<ModuleOp>())
    for (auto function : part.getOps<FunctionOpInterface>())
      if (!function.isExternal())
        functions[function.getName()];
  for (const ScheduleStep &step : schedule.steps)
    if (!step.kernel.native)
      functions[step.kernel.symbol] =
          EntryShape{step.buffers.size(), step.kernel.dims.size()};
  return functions;
}

/// Products and their register tiles, as opposed to kernels that leave one loop
/// over vectors to LLVM.
static bool unrollsItsLoops(StringRef function) {
  for (StringRef kind : {"matmul", "depthwise", "gemm", "window", "dot"})
    if (function.starts_with(kind))
      return true;
  return false;
}

llvm::Expected<std::unique_ptr<llvm::Module>>
translatePart(ModuleOp part, const PartFunctions &functions,
              const TargetInfo &target, StringRef suffix,
              llvm::LLVMContext &context) {
  std::unique_ptr<llvm::Module> module =
      translateModuleToLLVMIR(part, context, "tenon");
  if (!module)
    return llvm::createStringError("translation to LLVM IR failed");
  if (llvm::Error error = prepareModule(*module))
    return std::move(error);
  for (auto op : part.getOps<LLVM::LLVMFuncOp>()) {
    auto known = functions.find(op.getName());
    if (known == functions.end()) // of the C library
      continue;
    llvm::Function *function = module->getFunction(op.getName());
    function->setName(op.getName() + suffix);
    function->setVisibility(llvm::GlobalValue::HiddenVisibility);
    function->setDSOLocal(true);
    if (function->isDeclaration())
      continue;
    setTargetAttributes(*function, target);
    if (unrollsItsLoops(op.getName()))
      function->addFnAttr(kKeepsLoops);
    // Micro-kernels are called from everywhere; kernels from their entry
    // alone, which takes them in.
    if (const std::optional<EntryShape> &entry = known->second)
      addKernelEntry(*function, entry->numBuffers, entry->numDims);
    else
      function->addFnAttr(llvm::Attribute::NoInline);
  }
  return module;
}

} // namespace tenon
