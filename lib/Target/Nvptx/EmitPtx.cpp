//===- EmitPtx.cpp - from an LLVM module to PTX ---------------------------===//
//
// Part of Tenon, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#include "tenon/Target/Gpu.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

using namespace llvm;

namespace tenon {

static constexpr StringLiteral kTriple = "nvptx64-nvidia-cuda";

static Expected<std::unique_ptr<TargetMachine>>
createMachine(const TargetInfo &level, int optLevel) {
  static bool initialized = [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    return true;
  }();
  (void)initialized;
  Triple triple(kTriple);
  std::string message;
  const Target *target = TargetRegistry::lookupTarget(triple, message);
  if (!target)
    return createStringError(message);
  // As on a CPU: a multiply and an add are one operation where the emitter says
  // so, and nowhere else.
  TargetOptions options;
  options.AllowFPOpFusion = FPOpFusion::Strict;
  std::unique_ptr<TargetMachine> machine(target->createTargetMachine(
      triple, level.cpu, level.features, options, Reloc::PIC_, std::nullopt,
      CodeGenOpt::getLevel(optLevel).value_or(CodeGenOptLevel::Aggressive)));
  if (!machine)
    return createStringError("LLVM has no code generator for " + kTriple);
  return machine;
}

Error prepareGpuModule(Module &module, const TargetInfo &target) {
  auto machine = createMachine(target, 3);
  if (!machine)
    return machine.takeError();
  module.setTargetTriple(Triple(kTriple));
  module.setDataLayout((*machine)->createDataLayout());
  return Error::success();
}

/// LLVM's vectorisers stay out of it: they change the order of additions, and
/// what is worth a vector has been one since it was emitted.
static void optimize(Module &module, TargetMachine &machine, int optLevel) {
  PipelineTuningOptions tuning;
  tuning.LoopVectorization = tuning.SLPVectorization = false;
  tuning.LoopInterleaving = false;
  PassBuilder builder(&machine, tuning);
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager components;
  ModuleAnalysisManager modules;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  OptimizationLevel level = optLevel == 0   ? OptimizationLevel::O0
                            : optLevel == 1 ? OptimizationLevel::O1
                            : optLevel == 2 ? OptimizationLevel::O2
                                            : OptimizationLevel::O3;
  builder.buildPerModuleDefaultPipeline(level).run(module, modules);
}

Expected<std::string> emitPtx(Module &module, const TargetInfo &target,
                              int optLevel) {
  auto machine = createMachine(target, optLevel);
  if (!machine)
    return machine.takeError();
  std::string problem;
  raw_string_ostream problems(problem);
  if (verifyModule(module, &problems))
    return createStringError("the GPU's module is invalid: " + problem);
  optimize(module, **machine, optLevel);
  SmallVector<char> text;
  raw_svector_ostream os(text);
  legacy::PassManager passes;
  if ((*machine)->addPassesToEmitFile(passes, os, nullptr,
                                      CodeGenFileType::AssemblyFile))
    return createStringError("LLVM cannot write PTX");
  passes.run(module);
  return std::string(text.data(), text.size());
}

} // namespace tenon
